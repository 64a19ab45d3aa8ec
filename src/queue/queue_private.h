/* queue_private.h: what the files of the queue share: the window (recipients under way, in memory), rows as data,
 * and results. Everything is touched on the loop's thread only, except what a transaction function is given.
 *
 * Life of a recipient in the window: RESERVED while its acceptance commits; READY in a job; RUNNING while the desk or a
 * courier works; then removed (done, deferred), AWAITING (the desk has it, not yet durable) or FAILED (waits for
 * the bounce that takes it away). The database knows only waiting, held and done: what a crash
 * interrupts is waiting there. */
#ifndef QUEUE_QUEUE_PRIVATE_H
#define QUEUE_QUEUE_PRIVATE_H

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "queue/queue.h"

#define DELIVERY_ID_LEN 16

enum row_state { ROW_WAITING = 0, ROW_HELD = 1, ROW_DONE = 2 };
enum row_result { RESULT_NONE = 0, RESULT_DELIVERED = 1, RESULT_SENT = 2, RESULT_FAILED = 3, RESULT_REMOVED = 4 };

#define SQL_STATEMENT(name, text) extern const struct sql_text queue_sql_##name;
#include "queue/queue_sql.def"
#undef SQL_STATEMENT

/* ---- rows as data -------------------------------------------------------------------------------- */

struct row_message {
	struct slice id;
	int64_t origin;
	struct slice account_id, reverse_path, envelope, client, helo, tls, message_id;
	int64_t size_bytes, received_us, recipients, waiting, warned, left_us;
	struct slice head, body; /* content: only for inserting */
	bool in_file;
};

struct row_rcpt {
	uint8_t delivery_id[DELIVERY_ID_LEN];
	int64_t number, kind;
	struct slice account_id, original, address, via, envelope;
	int64_t state, result, attempts, due_us, changed_us;
	struct slice code, status, reply, host;
};

/* A message to be inserted with its recipients. */
struct row_new {
	struct row_message m;
	struct row_rcpt *rcpts;
	size_t rcpts_n;
	bool existed; /* set by row_new_insert: the id is there already, nothing was inserted */
};

NODISCARD int row_new_insert(struct sqltx *tx, struct row_new *n);
NODISCARD int row_message_get(
    struct sqltx *tx, struct arena *a, struct slice id, struct row_message *out); /* ERR_NOTFOUND */
/* All recipients; ERR_LIMIT when the arena is too small. */
NODISCARD int row_rcpts_get(struct sqltx *tx, struct arena *a, struct slice id, struct row_rcpt **v, size_t *n);
NODISCARD int row_history_add(struct sqltx *tx, struct slice id, int64_t at_us, struct slice recipient,
    enum bus_history kind, struct slice detail);
/* `count` recipients of the message are done: *left when they were the last; its content is then gone, *in_file
 * tells that a file must go after the commit. */
NODISCARD int row_message_less(
    struct sqltx *tx, struct slice id, int64_t count, int64_t now_us, bool *left, bool *in_file);

/* The address in lower case (ASCII), for keys. */
struct slice address_key(struct arena *a, struct slice address);
/* Valid UTF-8 without control characters for TEXT columns, JSON and sentences: bad bytes become '?'. At most `max`
 * bytes, cut at a character. */
struct slice text_clean(struct arena *a, struct slice s, size_t max);
/* The Message-ID of a header without <>, cut to 998 bytes; or empty. */
struct slice header_message_id(struct slice header, size_t max_bytes);
/* A fresh delivery id: 48 bits of milliseconds, so that rows are inserted in order, and 80 random bits. */
void delivery_id_make(struct house *h, uint8_t out[DELIVERY_ID_LEN]);

/* ---- the window ------------------------------------------------------------------------------------ */

enum under_way { WAY_RESERVED, WAY_READY, WAY_RUNNING, WAY_AWAITING, WAY_FAILED };

struct window_message {
	struct slice id, reverse_path, envelope;
	struct slice message_id; /* of the header */
	int64_t received_us, size_bytes;
	bool warned;
	size_t refs;        /* its recipients in the window, and fibers that work on it */
	size_t active;      /* recipients that are READY or RUNNING */
	struct list failed; /* recipients in FAILED */
	size_t failed_n;
	bool bouncing; /* a fiber writes the bounce */
	int64_t failed_since_ms;
	struct list_node failing; /* in queue.failing while failed_n > 0 */
	bool loaded;              /* head and content are there, or the body is in a file */
	bool in_file;
	uint8_t *content; /* head and body */
	size_t head_n, content_n;
};

struct destination;
struct job;

struct window_rcpt {
	struct window_message *message;
	struct destination *destination;
	enum under_way way;
	uint8_t delivery_id[DELIVERY_ID_LEN];
	int64_t number, kind, attempts, due_us;
	struct slice account_id, original, address, envelope;
	struct slice code, status, reply,
	    host; /* why it failed: set in FAILED (malloc'd in `why`) or of QUEUE_TARGET_NONE */
	uint8_t *why;
	bool durable; /* the desk has said so while it was RUNNING: it must not be asked again */
	int64_t awaiting_since_ms;
	struct list_node node; /* in job.rcpts, queue.awaiting or message.failed */
};

/* Recipients of one message that go in one attempt. */
struct job {
	struct list_node node; /* in destination.ready */
	struct window_message *message;
	struct list rcpts;
	size_t n;
	int refused; /* times that the role could not be asked */
};

/* Where attempts go: a desk, a domain, or nowhere (QUEUE_TARGET_NONE). */
struct destination {
	struct queue *queue;
	struct slice key;
	enum queue_target_kind kind;
	int desk;
	struct slice domain;
	struct list ready;
	size_t running;
	size_t held;           /* recipients in the window */
	int64_t pause_ms;      /* the last pause */
	int64_t not_before_ms; /* monotonic */
	int64_t done;          /* since the last reckoning */
	int64_t rate;          /* recipients per second, reckoned over seconds */
	int64_t slot_us;       /* where the next postponed recipient goes */
	struct list_node runnable;
	struct list_node all;
};

struct runner {
	struct list_node node;
	struct fiber *fiber; /* NULL until it runs */
	struct destination *destination;
	struct job *job; /* its first */
};

struct forget_account; /* queue_forget.c */

struct queue {
	struct queue_config c;
	char *dir;
	char hostname[256];
	struct house *house;
	struct loop *loop;
	struct sqldb *db;
	int blobs_fd, tmp_fd; /* directories */
	bool started, stopping;
	int failed; /* storage gave up: nothing is taken any more */

	struct map rcpts;        /* delivery id → window_rcpt */
	struct map messages;     /* id → window_message */
	struct map destinations; /* key → destination */
	size_t content_bytes;
	struct list destinations_all;
	struct list runnable_desks, runnable_domains;
	size_t running_desks, running_domains;
	struct list runners;
	struct list awaiting; /* oldest first */
	struct list failing;  /* window_message */

	/* The schedule: everything waiting up to the cursor is in the window or was put off. */
	struct waitq wake;
	bool woken;
	int64_t cursor_us;
	uint8_t cursor_id[DELIVERY_ID_LEN];
	int64_t next_due_us; /* the earliest that waits behind the cursor; INT64_MAX: none */
	bool filling;        /* a page of rows is being read: removals are remembered in `gone` */
	bool fill_stale;
	bool backlog; /* due rows wait for room in the window */
	struct map gone;
	struct map acting; /* the operator's actions that are being written */
	struct fiber *schedule_fiber, *prune_fiber, *forget_fiber;
	struct waitq idle;
	struct fiber *stopper; /* waits for the last runner */

	struct map forgets; /* account id → forget_account */
	struct list forgets_list;
	struct waitq forget_wake;

	struct map blobs;
	struct list blobs_list;
	int64_t blobs_looked_ms;
	int64_t disk_checked_ms;
	bool disk_low;

	struct {
		int64_t accepted, accepted_bytes, refused, delivered, sent, deferred, failed, bounces, warnings,
		    double_bounces, removed, redelivered;
	} counters;
};

/* queue_window.c */
struct window_message *window_message_get(struct queue *q, const struct row_message *m);
void window_message_ref(struct window_message *m);
void window_message_unref(struct queue *q, struct window_message *m);
/* Keeps head and body in memory while the window's bytes allow; false: not. */
bool window_content_keep(struct queue *q, struct window_message *m, struct slice head, struct slice body, bool in_file);
void window_content_drop(struct queue *q, struct window_message *m);
/* Enters a recipient as RESERVED. NULL: the window or its destination's part of it is full, or no memory: *destination_full tells. */
struct window_rcpt *window_rcpt_add(
    struct queue *q, struct window_message *m, const struct row_rcpt *r, bool *destination_full);
struct window_rcpt *window_rcpt_find(struct queue *q, struct slice delivery_id);
/* Leaves the window (and what list it is in). */
void window_rcpt_remove(struct queue *q, struct window_rcpt *r);
/* RESERVED, RUNNING or AWAITING → READY: joins or makes a job. On no memory it leaves the window (the schedule finds it again). */
void window_rcpt_ready(struct queue *q, struct window_rcpt *r);
struct destination *window_destination(struct queue *q, const struct row_rcpt *r);
/* How many recipients of the window the destination may have. */
size_t window_share(const struct queue *q, const struct destination *d);
void window_destination_release(struct queue *q, struct destination *d);
/* A job back to its destination's front, RUNNING → READY. */
void window_job_return(struct queue *q, struct destination *d, struct job *j);
NODISCARD int window_init(struct queue *q);
void window_free(struct queue *q);

/* queue_schedule.c */
void schedule_init(struct queue *q);
NODISCARD int schedule_start(struct queue *q);
/* Something waits in the database at this time: look there then. */
void schedule_due(struct queue *q, int64_t due_us);
void schedule_dispatch(struct queue *q);
/* The window has shrunk: perhaps there is room for what waits. */
void schedule_room(struct queue *q);
void schedule_stop(struct queue *q, int64_t deadline_ms);

/* queue_attempt.c: one attempt on a fiber. The job is consumed. False: the destination cannot be asked now. */
bool attempt_run(struct queue *q, struct destination *d, struct job *j);

/* queue_finish.c */
enum outcome_kind { OUTCOME_AWAITING, OUTCOME_SENT, OUTCOME_DEFER, OUTCOME_FAIL };
struct outcome {
	struct window_rcpt *rcpt;
	enum outcome_kind kind;
	struct slice code, status, reply, host;
};
/* Writes what an attempt came to; recipients leave RUNNING. */
void finish_outcomes(struct queue *q, struct window_message *m, struct outcome *v, size_t n);
/* sql_write() that does not give up while the disk is full or the database busy, unless the queue is stopping. */
NODISCARD int finish_write(struct queue *q, sql_fn *fn, void *arg);
/* Storage failed for good. */
void finish_storage_failed(struct queue *q, int err, const char *what);
/* The file of a message that has left. */
void finish_unlink(struct queue *q, struct slice id);

/* queue_envelope.c: `NAME=value` lines. */
struct slice envelope_value(struct slice envelope, struct slice name);
/* RFC 3461 §4: xtext decoded; empty when it is not xtext. */
struct slice xtext_decode(struct arena *a, struct slice s);
/* Does the sender want to hear of this (RFC 3461 §4.1 NOTIFY; without one: of failures and delays)? */
bool envelope_notify(struct slice envelope, struct slice event);

/* queue_bounce.c */
/* Bounces the failed recipients of the message if nothing of it is active any more, or `now`. */
void bounce_flush(struct queue *q, struct window_message *m, bool now);
/* Tells the sender once that recipients wait. */
void bounce_warn(struct queue *q, struct window_message *m);

/* queue_content.c: what is to be carried. `fd` is -1 or a descriptor of the body that the caller closes. */
struct carried {
	struct slice head, body;
	int fd;
};
NODISCARD int content_load(struct queue *q, struct window_message *m, struct arena *a, struct carried *out);

/* queue_backoff.c */
int64_t backoff_next_us(
    const struct limits *l, struct house *h, int64_t now_us, int64_t received_us, int64_t attempts, bool warned);
bool backoff_expired(const struct limits *l, int64_t now_us, int64_t received_us);

/* queue_blob.c */
void blob_init(struct queue *q);
NODISCARD int blob_dirs_open(struct queue *q, struct buf *detail);
void blob_close(struct queue *q); /* removes what was not submitted */
NODISCARD int blob_sweep(struct queue *q, struct buf *detail);
void blob_expire(struct queue *q, int64_t now_ms); /* monotonic */
/* Makes the file durable under the message's id. ERR_NOTFOUND (no such file of this owner), ERR_EXISTS, ERR_FULL, ERR_IO. The first
 * bytes of the file go to *start. */
NODISCARD int blob_take(
    struct queue *q, struct slice name, uint64_t owner, struct slice id, struct arena *a, struct slice *start);
/* Undoes blob_take. */
void blob_discard(struct queue *q, struct slice id);
NODISCARD int blob_open(struct queue *q, struct slice id);
bool blob_disk_low(struct queue *q);

/* queue_forget.c */
NODISCARD int forget_init(struct queue *q);
void forget_free(struct queue *q);
void forget_add(struct queue *q, struct slice account_id, struct slice_list ids);
void forget_main(void *arg);

/* queue_prune.c */
void prune_main(void *arg);

/* queue_accept.c: prepares a message of our own (bounces) or one submitted. */
NODISCARD int accept_enter(struct queue *q, struct row_new *n, struct window_rcpt **entered);
void accept_go(struct queue *q, struct row_new *n, struct window_rcpt **entered, bool committed);

#endif
