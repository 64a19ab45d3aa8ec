/* clerk_private.h: the clerk's state and what its files do for each other. */
#ifndef ROLE_CLERK_PRIVATE_H
#define ROLE_CLERK_PRIVATE_H

#include "base/log.h"
#include "base/map.h"
#include "directory/directory.h"
#include "guard/guard.h"
#include "queue/queue.h"
#include "role/control_request.h"
#include "role/role.h"
#include "rt/net.h"

#include <sys/types.h>

struct clerk {
	struct role_context *c;
	uid_t keeper_uid; /* who else than root may use the control socket */
	struct sqldb *directory_db, *queue_db, *guard_db;
	struct directory *directory;
	struct guard *guard;
	struct queue *queue;
	struct workers *workers;
	struct map targets;  /* spelt address → struct target_cached: addresses that lead to one mailbox */
	struct map full;     /* account → until when it counts as full, in seconds (clerk_full.c) */
	int64_t archives;    /* domains whose mail is copied; -1: not counted yet */
	uint64_t generation; /* of the directory: it has changed so often */
	struct net_acceptor *control, *local;
	struct map programs; /* ticket → struct program of clerk_program.c */
	int next_courier;
	struct fiber *reporter;                  /* of clerk_reports.c */
	struct fiber *tls_reporter;              /* of clerk_tls_reports.c */
	struct failure_reports *failure_reports; /* of clerk_failure_reports.c */
	bool backing_up;                         /* a backup is being made: desks are told to forget nothing */
	int busy;                                /* handlers that use what is open */
	bool closed;                             /* nothing is open any more */
	struct {                                 /* clerk_watch.c; times in seconds since 1970, 0: never */
		struct fiber *fiber;
		int64_t clock_base_us; /* of the clock over the monotonic one; 0: not looked yet */
		int64_t jumps, jump_s, jumped_at_s;
		int64_t begin_s, backup_s;
		int64_t told_s; /* that the disk is full */
		bool told_low;  /* and not yet that it has room again */
	} watch;
	struct {
		int64_t rcpt, login, account, sender, over_rate, submit, control, dkim_signed, arc_sealed;
	} counters;
};

/* Every handler begins with CLERK_ENTER(k): the databases are closed only when none is at work. */
static inline struct clerk *
clerk_enter(struct clerk *k)
{
	if (k->closed)
		return NULL;
	k->busy++;
	return k;
}
static inline void
clerk_leave(struct clerk **k)
{
	if (*k != NULL)
		(*k)->busy--;
}
#define CLERK_ENTER(k) \
	struct clerk *entered_ __attribute__((cleanup(clerk_leave))) = clerk_enter(k); \
	if (entered_ == NULL) \
	return ERR_UNAVAILABLE

/* Who a large body belongs to until it is submitted. */
static inline uint64_t
clerk_blob_owner(enum bus_role role, int index)
{
	return ((uint64_t)role << 32) | (uint64_t)(index + 1);
}

/* How long the clerk waits for other roles. */
#define CLERK_ASK_MS 60000
/* A courier may try many slow hosts, each with RFC 5321's own timeouts. */
#define CLERK_SEND_MS (90 * 60 * 1000)

/* clerk_directory.c: whom mail may be for, who signs in. */
void clerk_directory_handle(struct clerk *k);
/* Writes to the directory; forgets every cache. */
NODISCARD int clerk_directory_write(struct clerk *k, sql_fn *fn, void *arg);

/* clerk_share.c: who shares mailboxes with whom. */
void clerk_share_handle(struct clerk *k);

/* clerk_sending.c: who may send as whom, and how much. */
struct clerk_sender {
	enum bus_sender result;            /* of the address that was asked for; never SENDER_RATE */
	int64_t message_bytes, recipients; /* the most that one message may have; 0: as anybody's */
	struct guard_rates rates;
	char name[128]; /* for guard: "account:ID", "submitter:NAME", "user:NAME" */
};
void clerk_sending_handle(struct clerk *k);
/* Who submits: ERR_DENIED for what this peer may not ask, or the database's error. An empty address is the null reverse-path. */
NODISCARD int clerk_sender_find(struct clerk *k, const struct bus_peer *from, int64_t origin, struct slice account_id,
    struct slice client, struct slice address, struct clerk_sender *out);
NODISCARD int clerk_sender_of_account(
    struct clerk *k, struct slice account_id, struct slice address, struct clerk_sender *out);
/* Whether a message to so many may be sent now; counts it if so, with `count`. If not, a sentence for the sender. */
bool clerk_sender_take(
    struct clerk *k, const struct clerk_sender *s, int64_t recipients, bool count, struct buf *detail);
/* What holds for an account, and what it has sent, into a JSON object. */
struct control_session;
NODISCARD int clerk_sending_show(struct control_session *s, struct slice account_id, json_t *into);
/* The message was not taken after all. */
void clerk_sender_give_back(struct clerk *k, const struct clerk_sender *s, int64_t recipients);

/* clerk_program.c: programs of this machine that send mail. */
NODISCARD int clerk_program_start(struct clerk *k, struct buf *detail);
void clerk_program_stop(struct clerk *k);
/* Is the ticket that of a program that is connected now? */
bool clerk_program_is(const struct clerk *k, struct slice ticket);
/* As clerk_sender_find(), for who need not sign in: the program with this ticket, or (ticket empty) the client of this address. */
NODISCARD int clerk_sender_of_submitter(
    struct clerk *k, struct slice ticket, struct slice client, struct slice address, struct clerk_sender *out);
/* An address of the machine's own domain ([house] local_domain), where that is no address of the directory, is the one of the
 * same name in the first domain; with `or_postmaster`, else that domain's postmaster. Others stay what they are. */
NODISCARD int clerk_program_address(
    struct clerk *k, struct slice address, bool or_postmaster, struct arena *a, struct slice *out);
NODISCARD int clerk_program_addresses(
    struct clerk *k, struct slice_list in, bool or_postmaster, struct arena *a, struct slice_list *out);

/* clerk_targets.c: where mail to an address ends up. */
void clerk_targets_init(struct clerk *k);
void clerk_targets_forget(struct clerk *k);
struct clerk_expansion {
	struct slice_list addresses, envelopes; /* envelopes: parallel, or empty */
	struct directory_writer from;
	struct slice_list passed; /* marks that the message bears */
	/* What it comes to: each target once. */
	struct queue_rcpt *v;
	size_t n, cap;
	struct slice *marks; /* to be put on the message, since it goes on to other houses */
	size_t marks_n, marks_cap;
};
/* 0, ERR_LIMIT, or the database's error. */
NODISCARD int clerk_targets_expand(struct clerk *k, struct clerk_expansion *x, struct arena *a);

/* clerk_full.c: accounts that are full. */
void clerk_full_handle(struct clerk *k);
void clerk_full_put(struct clerk *k, struct slice account_id);
void clerk_full_remove(struct clerk *k, struct slice account_id);
/* Does an address that may be written to lead to full mailboxes only? Parks only while any account is full. */
bool clerk_full(struct clerk *k, struct slice address, const struct directory_writer *from);

/* clerk_recipients.c: who gets a submitted message: sets s->rcpts and s->head. Errors as above. */
NODISCARD int clerk_recipients(struct clerk *k, const struct bus_peer *from, const struct bus_clerk_submit_request *q,
    struct arena *a, struct queue_submission *s);

/* clerk_sign.c: what leaves the house is signed, or, when a stranger's message is passed on, sealed: puts fields in front of s->head,
 * whose body is `s->body` or the file. 0 also when there is nothing to sign with; an error for which the submission is to be made again. */
NODISCARD int clerk_sign(struct clerk *k, struct queue_submission *s, struct arena *a);

/* clerk_queue.c: acceptance and deliveries. */
void clerk_queue_handle(struct clerk *k);
struct queue_ops clerk_queue_ops(struct clerk *k);
void clerk_peer_gone(struct clerk *k, enum bus_role role, int index);

/* clerk_tls.c: other domains' policies for encryption, and what came of it. */
void clerk_tls_handle(struct clerk *k);

/* clerk_reports.c: the reports that other domains want (RFC 9990). */
NODISCARD int clerk_reports_start(struct clerk *k);
void clerk_reports_stop(struct clerk *k);

/* clerk_tls_reports.c: the reports on TLS (RFC 8460). */
NODISCARD int clerk_tls_reports_start(struct clerk *k);
void clerk_tls_reports_stop(struct clerk *k);

/* clerk_failure_reports.c: the reports of single failures (RFC 9991). */
NODISCARD int clerk_failure_reports_start(struct clerk *k);
void clerk_failure_reports_stop(struct clerk *k);

/* clerk_report_send.c: what reports have in common. */
struct clerk_report {
	struct clerk *k;
	struct arena *a;
	struct slice destination; /* an address */
	char id[ULID_LEN + 1];    /* of the message */
	char report_id[64];       /* of the report, whoever gets it */
};
/* Ids that are always the same for the same report: of that day, about that, to that destination. */
void clerk_report_ids(struct clerk_report *p, int64_t day, uint64_t about);
/* gzip. */
NODISCARD int clerk_report_pack(struct clerk *k, struct slice in, struct buf *out);
void clerk_report_put_base64(struct buf *out, struct slice s);
/* Into the queue, signed as the domain of report_sender; `domain` is whom it is about, for the log. */
NODISCARD int clerk_report_submit(
    struct clerk_report *p, struct slice domain, struct slice envelope, struct slice rcpt_envelope, struct slice body);

/* clerk_look.c: rows of all processes with their counters, as `posthouse status` prints them; the caller's to free. Parks. */
NODISCARD int clerk_look(struct clerk *k, json_t **rows);

/* clerk_watch.c: how the house is. */
NODISCARD int clerk_watch_start(struct clerk *k);
void clerk_watch_stop(struct clerk *k);
void clerk_watch_status(struct clerk *k, json_t *into);
/* What is wrong (clerk_health.h), by these rows; the caller's to free. */
json_t *clerk_problems(struct clerk *k, const json_t *rows);
/* A whole backup has ended. Parks. */
void clerk_backup_ended(struct clerk *k);

/* clerk_received.c: the reports of others about our domains. */
void clerk_received_handle(struct clerk *k);

/* clerk_control.c: the control socket. */
NODISCARD int clerk_control_start(struct clerk *k, struct buf *detail);
void clerk_control_stop(struct clerk *k);

/* One request on the control socket. */
struct control_session {
	struct clerk *k;
	struct stream *st;
	struct control_request request;
	struct arena arena;    /* of the request */
	struct buf what, todo; /* sentences of a failure: what happened, what to do */
	json_t *done;          /* fields beside "ok" */
	int stream_err;
	bool backing_up; /* this session makes the backup */
};
typedef int control_fn(struct control_session *s);
#define CONTROL_COMMAND(name, words, help) int control_run_##name(struct control_session *s);
#define CONTROL_ARG(command, key, type, need, help)
#include "role/control.def"
#undef CONTROL_COMMAND
#undef CONTROL_ARG

/* clerk_command_backup.c: the session is over, or its backup. */
void clerk_backup_end(struct control_session *s);
/* Removes what a backup has left that was cut off; blocking, at the start. */
void clerk_backup_clean(struct clerk *k);

/* The account that the request's `address` names, or words. */
NODISCARD int control_account(struct control_session *s, struct directory_account *out);
/* Its desk forgets what it knew of it; one that is not there knows nothing. */
void control_account_changed(struct control_session *s, struct slice account_id);
/* Sends {"row":row}; keeps no reference. */
NODISCARD int control_row(struct control_session *s, json_t *row);
/* The same of each object that another role has sent as text. ERR_INVALID: one is none. */
NODISCARD int control_json_rows(struct control_session *s, struct slice_list json);
/* clerk_command_dkim.c: the request's domain, or a name that stands for one; one of ours. Fails with words. */
NODISCARD int clerk_named_domain(struct control_session *s, struct slice *out);
/* clerk_command_dkim.c: sends a row for each DKIM key of a domain of ours (normalised), which are made if it never had any; destroys
 * them. */
NODISCARD int clerk_dkim_show(struct control_session *s, struct slice domain);
NODISCARD int clerk_dkim_forget(struct control_session *s, struct slice domain);
/* Fails with words. */
NODISCARD int control_fail(struct control_session *s, int err, const char *todo, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/* Words for an error of another role, when there are none yet. */
NODISCARD int control_fail_role(struct control_session *s, const char *role, int err, struct slice detail);
void control_set_text(json_t *o, const char *key, struct slice utf8);
void control_set_time(json_t *o, const char *key, int64_t us);

#endif
