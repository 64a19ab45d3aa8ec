/* queue_private.h: what the files of the queue share: the window (recipients under way, in memory), rows as data,
 * and results. Everything is touched on the loop's thread only, except what a transaction function is given.
 *
 * Life of a recipient in the window: RESERVED while its acceptance commits; READY in a job; RUNNING while the desk or a
 * courier works; then removed (done, deferred), AWAITING (the desk has it, not yet durable) or FAILED (waits for
 * the bounce that takes it away). The database knows only waiting, held and done: what a crash
 * interrupts is waiting there. */
#ifndef QUEUE_QUEUE_PRIVATE_H
#define QUEUE_QUEUE_PRIVATE_H

#include "base/histogram.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "queue/queue.h"

#define DELIVERY_ID_LEN 16

enum row_state {
	ROW_WAITING = 0,
	ROW_HELD = 1,
	ROW_DONE = 2,
	ROW_TO_TELL = 3 /* done; the sender is still to hear of it */
};
enum row_result {
	RESULT_NONE = 0,
	RESULT_DELIVERED = 1,
	RESULT_SENT = 2,
	RESULT_FAILED = 3,
	RESULT_REMOVED = 4,
	RESULT_EXPANDED = 5 /* no recipient: stands for a group or an alias whose targets are rows of their own */
};
/* row_rcpt.tell: the sender wants to hear of a delivery (NOTIFY=SUCCESS), and of a relaying in any case (BY=...T). */
enum { TELL_SUCCESS = 1, TELL_RELAYED = 2 };

/* From somebody whom this house knows, not a stranger and not itself. */
static inline bool
is_submitted(int64_t origin)
{
	return origin == ORIGIN_ACCOUNT || origin == ORIGIN_SUBMITTER;
}

/* Lanes: whose turn it is. Each has its own order and its part of the window and of the sessions (queue_lane.c). */
enum lane {
	LANE_URGENT, /* a priority above the ordinary */
	LANE_NORMAL, /* what a person sends */
	LANE_BULK,   /* one of many */
	LANE_SLOW,   /* waits for a destination that does not answer */
	LANES
};

#define SQL_STATEMENT(name, text) extern const struct sql_text queue_sql_##name;
#include "queue/queue_sql.def"
#undef SQL_STATEMENT

/* ---- rows as data -------------------------------------------------------------------------------- */

struct row_message {
	struct slice id;
	int64_t origin;
	struct slice account_id, reverse_path, envelope, client, helo, tls, message_id;
	int64_t size_bytes, received_us, recipients, waiting, warned, left_us;
	/* recipients: without the rows that stand for groups; waiting: all rows that are not done */
	struct slice head, body; /* content: only for inserting */
	bool in_file;
	bool junk;             /* for the mailbox Junk */
	bool forged;           /* its sender is told of no failure, unless he lives here */
	struct slice findings; /* what was found out about it before it was taken, in sentences */
};

struct row_rcpt {
	uint8_t delivery_id[DELIVERY_ID_LEN];
	int64_t number, kind;
	struct slice account_id, original, address, via, envelope;
	int64_t state, result, attempts, due_us, changed_us;
	struct slice code, status, reply, host;
	int64_t lane, tell, reply_class; /* enum lane, TELL_, enum bus_reply_class */
	bool return_path_set;
	struct slice return_path; /* the envelope's sender, when it is not the message's own */
	struct slice route;       /* the operator's host:port, or empty */
};

/* A message to be inserted with its recipients. */
struct row_new {
	struct row_message m;
	struct row_rcpt *rcpts;
	size_t rcpts_n;
	bool to_tell; /* some are ROW_TO_TELL */
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
/* A fresh delivery id: 48 bits of milliseconds, so that rows are inserted in order, and 80 random bits. */
void delivery_id_make(struct house *h, uint8_t out[DELIVERY_ID_LEN]);

/* ---- the window ------------------------------------------------------------------------------------ */

enum under_way { WAY_RESERVED, WAY_READY, WAY_RUNNING, WAY_AWAITING, WAY_FAILED };

/* Moments of a message's life (RFC 5321 §4.5.4.1, RFC 2852). */
struct deadlines {
	int64_t base_us; /* taken, or released from FUTURERELEASE */
	int64_t by_us;   /* DELIVERBY; 0: none */
	bool by_return;  /* R: it ends then; else the sender is told of the delay then */
	bool by_trace;   /* T: the sender hears of each relaying */
};

struct window_message {
	struct slice id, reverse_path, envelope;
	struct slice message_id; /* of the header */
	int64_t origin, received_us, size_bytes;
	struct deadlines when;
	bool warned, junk, forged;
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
	int64_t number, kind, attempts, due_us, tell, reply_class;
	enum lane lane;
	struct slice account_id, original, address, envelope, return_path;
	bool return_path_set;
	bool overdue; /* its destination cannot be asked, but its time is over, or its sender is to be warned */
	int after;    /* enum queue_action to be done when the attempt under way fails for now; -1: none */
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
	enum lane lane;
	int refused; /* times that the role could not be asked */
};

/* What a site is spared (queue_site_rates.def and the configuration); 0: not limited here. */
struct site_rate {
	int64_t connections, connection_messages, messages_per_minute;
};

/* The servers that take the mail of one or more domains: what is learned of them holds for all of these. */
struct site {
	struct slice key;
	size_t domains;              /* destinations that lead here */
	struct list runnable[LANES]; /* destinations with ready jobs */
	size_t ready[LANES];         /* jobs */
	struct list_node node;       /* in queue.runnable_sites or queue.blocked_sites */
	struct list_node all;
	size_t running;
	struct site_rate rate;
	int64_t limit_milli; /* sessions at a time, in thousandths: grows and shrinks with what comes back */
	bool met; /* it is known what takes the mail here: else one session, since many new domains may be one site */
	bool steady;      /* it has been too much once: grows slowly from then on */
	int64_t failures; /* connections failed since one succeeded */
	int64_t good_us;  /* when one did last */
	int64_t not_before_us, pause_us;
	int64_t tokens_milli, tokens_us; /* messages that may start now, in thousandths, as of then */
	unsigned turns;
	int64_t shrunk_us;
	bool evict; /* paused: what is ready goes back to the database */
	int64_t sent, deferred, failed;
	int64_t last_class;
	char last_status[16], last_reply[400];
};

/* Where attempts go: a desk, a domain (by a route of the operator's, perhaps), or nowhere (QUEUE_TARGET_NONE). */
struct destination {
	struct queue *queue;
	struct slice key;
	enum queue_target_kind kind;
	int desk;
	struct slice domain, route;
	struct site *site; /* remote */
	struct list ready[LANES];
	size_t running;
	size_t held; /* recipients in the window */
	size_t lane_held[LANES];
	int64_t pause_ms;                 /* the last pause: the role could not be asked */
	int64_t not_before_ms;            /* monotonic */
	int64_t done;                     /* since the last reckoning */
	int64_t rate;                     /* recipients per second, reckoned over seconds */
	int64_t slot_us;                  /* where the next postponed recipient goes */
	bool suspended;                   /* by the operator */
	struct list_node runnable[LANES]; /* in site.runnable, or [0] in queue.runnable_desks */
	struct list_node all;
};

struct runner {
	struct list_node node;
	struct fiber *fiber; /* NULL until it runs */
	struct destination *destination;
	struct site *site;
	struct job *job; /* its first */
	enum lane lane;  /* of its job */
};

/* One lane's place in the database: everything waiting up to the cursor is in the window or was put off. */
struct lane_place {
	int64_t cursor_us;
	uint8_t cursor_id[DELIVERY_ID_LEN];
	int64_t next_due_us; /* the earliest that waits behind the cursor; INT64_MAX: none */
	bool backlog;        /* due rows wait for room in the window */
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
	size_t lane_held[LANES]; /* recipients in the window */
	struct list runnable_desks;
	struct map sites; /* key → site */
	struct list sites_all, runnable_sites,
	    blocked_sites[LANES]; /* blocked: their lane has its part of the sessions */
	size_t running_remote, lane_running[LANES];
	struct map site_names;       /* domain → struct site_name */
	struct list site_names_list; /* the longest unused first */
	bool site_names_dirty, rates_stale;
	int64_t site_names_flushed_ms;
	struct map suspensions; /* domain or site → struct suspension */
	struct map suppressed;  /* address → queue */
	bool suppress_counts;   /* perhaps failures are being counted */
	struct map volumes;     /* account → recipients lately, as a number */
	int64_t volumes_us;
	struct map warmth; /* site → struct volume of queue_warmup.c */
	bool warmth_dirty;
	int64_t warmth_flushed_ms;
	struct list runners;
	struct list awaiting; /* oldest first */
	struct list failing;  /* window_message */

	/* The schedule. */
	struct waitq wake;
	bool woken;
	struct lane_place lanes[LANES];
	bool filling; /* a page of rows of filling_lane is being read: removals are remembered in `gone` */
	enum lane filling_lane;
	bool fill_stale;
	struct map gone;
	struct map acting; /* the operator's actions that are being written */
	struct fiber *schedule_fiber, *prune_fiber, *forget_fiber, *success_fiber;
	struct waitq success_wake;
	bool success_due;
	struct waitq idle;
	struct fiber *stopper; /* waits for the last runner */

	struct map forgets; /* account id → forget_account */
	struct list forgets_list;
	struct waitq forget_wake;
	struct fiber_lock durable_lock; /* one report of durable deliveries is written at a time */

	struct map blobs;
	struct list blobs_list;
	int64_t blobs_looked_ms;
	int64_t disk_checked_ms;
	bool disk_low;

	struct {
		int64_t accepted, accepted_bytes, refused, delivered, sent, deferred, failed, bounces, warnings,
		    double_bounces, removed, redelivered, successes, postponed, suppressed;
	} counters;
	/* From being taken (or released) to being in a mailbox, or taken by another server; HISTOGRAM_DELIVERIES. */
	struct histogram local_times, remote_times;
};

/* queue_window.c */
struct window_message *window_message_get(struct queue *q, const struct row_message *m);
void window_message_ref(struct window_message *m);
void window_message_unref(struct queue *q, struct window_message *m);
/* Keeps head and body in memory while the window's bytes allow; false: not. */
bool window_content_keep(struct queue *q, struct window_message *m, struct slice head, struct slice body, bool in_file);
void window_content_drop(struct queue *q, struct window_message *m);
/* Enters a recipient as RESERVED. NULL: its lane's part of the window is full, or its destination's part of that (or the destination
 * cannot be asked now: *postpone tells), or no memory. */
struct window_rcpt *window_rcpt_add(
    struct queue *q, struct window_message *m, const struct row_rcpt *r, bool *postpone);
struct window_rcpt *window_rcpt_find(struct queue *q, struct slice delivery_id);
/* Leaves the window (and what list it is in). */
void window_rcpt_remove(struct queue *q, struct window_rcpt *r);
/* RESERVED, RUNNING or AWAITING → READY: joins or makes a job. On no memory it leaves the window (the schedule finds it again). */
void window_rcpt_ready(struct queue *q, struct window_rcpt *r);
struct destination *window_destination(struct queue *q, const struct row_rcpt *r);
/* How many recipients of the window the destination may have in each lane. */
size_t window_share(const struct queue *q, const struct destination *d);
/* Takes the first job of a lane off. */
struct job *window_job_take(struct destination *d, enum lane lane);
bool window_has_ready(const struct destination *d);
/* RESERVED → RUNNING, without an attempt: its outcome is known. */
void window_rcpt_run(struct window_rcpt *r);
enum lane window_most_urgent(const struct destination *d);
void window_make_runnable(struct queue *q, struct destination *d);
void window_destination_release(struct queue *q, struct destination *d);
/* A job back to its destination's front, RUNNING → READY. */
void window_job_return(struct queue *q, struct destination *d, struct job *j);
NODISCARD int window_init(struct queue *q);
void window_free(struct queue *q);

/* queue_schedule.c */
void schedule_init(struct queue *q);
NODISCARD int schedule_start(struct queue *q);
/* Something waits in the database at this time: look there then. */
void schedule_due(struct queue *q, enum lane lane, int64_t due_us);
void schedule_dispatch(struct queue *q);
/* The earliest that waits; INT64_MAX: nothing does. */
int64_t schedule_next_due_us(const struct queue *q);
bool schedule_backlog(const struct queue *q);
/* The window has shrunk: perhaps there is room for what waits. */
void schedule_room(struct queue *q);
void schedule_stop(struct queue *q, int64_t deadline_ms);

/* queue_lane.c */
enum lane lane_choose(struct queue *q, const struct queue_submission *s, struct slice header);
/* Of `max` places, may one more be taken by this lane? */
bool lane_has_room(const size_t held[LANES], enum lane lane, size_t max);

/* queue_site.c: what is known of destinations' servers. */
NODISCARD int site_init(struct queue *q);
void site_free(struct queue *q);
/* Joins the destination to its site, which is made if need be. ERR_NOMEM. */
NODISCARD int site_join(struct queue *q, struct destination *d);
void site_leave(struct queue *q, struct destination *d);
/* The courier has told the site of a domain: remembered, and the destination moves there. */
void site_learn(struct queue *q, struct destination *d, struct slice site);
enum site_verdict { SITE_GOOD, SITE_TOO_MUCH, SITE_DOWN };
/* What an attempt says of the site. `why` may be NULL when it is good. */
struct outcome;
void site_feedback(struct queue *q, struct site *s, enum site_verdict v, const struct outcome *why);
bool site_paused(const struct queue *q, const struct site *s);
/* May another session to it start now? */
bool site_may_start(struct queue *q, struct site *s);
bool site_may_go_on(struct queue *q, struct site *s);
bool site_has_ready(const struct site *s);
void site_take_token(struct queue *q, struct site *s, size_t recipients);
/* The operator wants an attempt now. */
void site_unpause(struct queue *q, struct site *s);
/* Can the destination be asked (it is neither suspended nor is its site paused)? `*until_us` is when, if not. */
bool site_closed(struct queue *q, struct destination *d, int64_t *until_us);
/* Why a row's destination cannot be asked now, in words; empty: it can be. *state is a word for that. */
struct slice site_why_closed(struct queue *q, const struct row_rcpt *r, const char **state);
/* Once a second. */
void site_tick(struct queue *q);

/* queue_warmup.c: how much a site gets in a day while the house's addresses are new. */
NODISCARD int warmup_load(struct queue *q);
void warmup_free(struct queue *q);
void warmup_flush(struct queue *q, bool now);
/* May mail of this lane still go there today? If not, *until_us is when again. A NULL site may be asked always. */
bool warmup_closed(struct queue *q, const struct site *s, enum lane lane, int64_t *until_us);
/* So many recipients are being sent to; less than 0: were not taken after all. */
void warmup_count(struct queue *q, struct site *s, int64_t recipients);
void warmup_tell(struct queue *q, const struct site *s, json_t *into);
extern const struct slice warmup_words;

/* queue_site_name.c */
struct slice site_name_of(struct queue *q, struct slice domain);
void site_name_remember(struct queue *q, struct slice domain, struct slice site);
/* Adds the domains that are known to lead to the site. ERR_NOMEM. */
NODISCARD int site_name_domains(struct queue *q, struct slice site, struct map *out);
void site_names_flush(struct queue *q, bool now);
NODISCARD int site_names_load(struct queue *q);
void site_names_free(struct queue *q);

/* queue_suspension.c */
bool queue_suspended(struct queue *q, struct slice name);
/* When to look again at a suspended destination; 0: it is not suspended any more. */
int64_t queue_suspended_until_us(struct queue *q, struct destination *d);
NODISCARD int suspension_load(struct queue *q);
void suspension_free(struct queue *q);

/* queue_suppress.c: addresses that get no mail from accounts of this house. */
NODISCARD int suppress_load(struct queue *q);
void suppress_free(struct queue *q);
bool suppress_is(struct queue *q, struct slice address);
/* In the transaction that ends a recipient of an account's message. */
NODISCARD int suppress_failed(
    struct sqltx *tx, const struct limits *l, struct slice address, struct slice reason, int64_t now_us, bool *now);
NODISCARD int suppress_worked(struct sqltx *tx, struct slice address);
void suppress_enter(struct queue *q, struct slice address);

/* queue_act.c: what the operator asked for while the attempt was under way. */
struct act_later {
	uint8_t delivery_id[DELIVERY_ID_LEN];
	enum queue_action what;
};
void act_again(struct queue *q, struct slice id, const struct act_later *v, size_t n);

/* queue_success.c: reports of deliveries. */
void success_main(void *arg);
void success_wake(struct queue *q);

/* queue_attempt.c: one attempt on a fiber. The job is consumed. False: the destination cannot be asked now. */
bool attempt_run(struct queue *q, struct destination *d, struct job *j);

/* queue_finish.c */
enum outcome_kind { OUTCOME_AWAITING, OUTCOME_SENT, OUTCOME_DEFER, OUTCOME_FAIL };
struct outcome {
	struct window_rcpt *rcpt;
	enum outcome_kind kind;
	struct slice code, status, reply, host;
	enum bus_reply_class reply_class;
	bool reports; /* SENT: the next server reports itself (RFC 3461 §5.2.2) */
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
/* Is there a line of this name, with or without a value? */
bool envelope_has(struct slice envelope, struct slice name);
int64_t envelope_number(struct slice envelope, struct slice name, int64_t otherwise);
/* The parameters of a target of a group or an alias of several: success is told of the group alone (RFC 3461 §5.2.7). */
struct slice envelope_of_target(struct arena *a, struct slice envelope, bool drop_original);
struct deadlines envelope_deadlines(struct slice envelope, int64_t received_us);

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
    const struct limits *l, struct house *h, int64_t now_us, const struct deadlines *d, int64_t attempts, bool warned);
bool backoff_expired(const struct limits *l, int64_t now_us, const struct deadlines *d);
/* Is the sender to be told of the delay? */
bool backoff_late(const struct limits *l, int64_t now_us, const struct deadlines *d);

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
