/* queue_report.h: a report to a sender while it is made: of failures, of a delay, of success. One report tells of all recipients
 * of a message that come to the same at the same time and whose mail came from the same reverse-path. */
#ifndef QUEUE_QUEUE_REPORT_H
#define QUEUE_QUEUE_REPORT_H

#include "message/build.h"
#include "queue/queue_private.h"

#define REPORT_RECIPIENTS_MAX 1000
#define REPORT_ARENA_BYTES ((size_t)16 << 20)

enum report_kind { REPORT_FAILED, REPORT_DELAYED, REPORT_SUCCESS };

struct report {
	struct queue *q;
	struct window_message *m;
	struct arena *arena;
	enum report_kind kind;
	struct slice return_path;           /* where it goes */
	bool return_path_set;               /* not the message's own: a group's, a forwarder's */
	struct build_dsn_recipient *listed; /* those that the sender wants to hear of */
	size_t listed_n;
	struct window_rcpt **failed; /* those that end */
	size_t failed_n;
	struct window_rcpt **suppressed; /* of these: whose addresses get no more mail */
	size_t suppressed_n;
	uint8_t (*told)[DELIVERY_ID_LEN]; /* those of whose success is told */
	size_t told_n;
	char id[ULID_LEN + 1];
	struct row_new fresh; /* the report; no recipients: none is sent */
	struct slice silent;  /* then: why */
	struct window_rcpt **entered;
	struct buf text;
	int64_t now_us;
	bool utf8, left, in_file;
};

/* What is told of one recipient. */
struct report_recipient {
	struct slice original, envelope, code, status, reply, host;
	int64_t at_us, result; /* enum row_result */
};

/* False: no memory. p->text is the caller's to free. */
bool report_init(struct report *p, struct queue *q, struct window_message *m, struct arena *a, enum report_kind kind);
/* Lists it, if the sender wants to hear of it. */
void report_list(struct report *p, const struct report_recipient *r);
/* Builds the report and commits `write` (with the report as its argument), which ends what is to end and calls report_note(). ERR_NOTFOUND
 * when `write` says that there is nothing to tell any more. */
NODISCARD int report_send(struct report *p, sql_fn *write);
/* In the transaction: the report into the queue, a line into the history. */
NODISCARD int report_note(struct sqltx *tx, struct report *p);

#endif
