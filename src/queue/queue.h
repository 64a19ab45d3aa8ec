/* queue.h: accepted mail on its way (queue.db, the clerk's): messages, their recipients, the schedule, what
 * happened to them, and the reports that senders get.
 *
 * Promises. queue_submit() returns 0 only when the message is durable. Every recipient leaves the queue exactly
 * once: delivered (the desk said that its mail is durable), taken by another server, bounced, or removed by the
 * operator; the bounce enters the queue in the transaction that ends the recipient. After a crash of any
 * process at any point what is not done is tried again, local deliveries under the same delivery id.
 *
 * Memory. The database is the queue; in memory is a window of at most limits.queue_window recipients that are under
 * way, bodies of at most limits.queue_window_bytes. What does not fit waits in the database, found by an index, and
 * one destination may fill only a part of the window.
 *
 * Threads. All functions are for fibers of the loop, unless they say otherwise. The room talks to nobody: the
 * clerk gives it functions (struct queue_ops). Times are house_now_us(). */
#ifndef QUEUE_QUEUE_H
#define QUEUE_QUEUE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/histogram.h"
#include "bus/bus.h"
#include "rt/work.h"
#include "sql/sql.h"

#include <jansson.h>

struct queue;
struct map;

enum queue_target_kind {
	QUEUE_TARGET_LOCAL = 1,  /* a mailbox of this house */
	QUEUE_TARGET_REMOTE = 2, /* another server's */
	QUEUE_TARGET_NONE = 3    /* nobody: bounces at once with `reason` */
};

/* Where mail to an address ends up, after aliases. */
struct queue_target {
	enum queue_target_kind kind;
	struct slice account_id; /* local; else empty */
	struct slice address;    /* of the mailbox, or the remote address */
	struct slice via;        /* the alias that led here, or empty */
	/* The envelope's sender towards this target, when it is not the message's own: a group's bounce address, an SRS
	 * address, or the null one. Mail to the target is sent from it, and its bounces go there. */
	bool reverse_path_set;
	struct slice reverse_path;
	bool expanded;       /* of a group, or of an alias with several targets: RFC 3464 §2.3.3 "expanded" */
	struct slice status; /* none: enhanced status code, "5.1.1" */
	struct slice reason; /* none: one plain sentence */
};

struct queue_rcpt {
	struct slice original; /* as it was in RCPT */
	struct slice envelope; /* `NAME=value` lines of RCPT's parameters */
	struct queue_target target;
};

struct queue_submission {
	struct slice id; /* ULID */
	enum bus_origin origin;
	struct slice account_id;
	struct slice reverse_path; /* "" is the null one */
	struct slice envelope;     /* `NAME=value` lines of MAIL's parameters */
	struct slice client, helo, tls;
	struct slice head; /* our trace fields */
	struct slice body; /* inline, or */
	struct slice blob; /* the name that queue_blob_create() gave */
	uint64_t blob_owner;
	int64_t size_bytes;
	bool junk;             /* its mailboxes are those for unwanted mail */
	bool despite_low_disk; /* the house's own word about that: taken all the same */
	bool sender_unproven;  /* nobody vouches for the reverse-path: it is not told of success */
	bool forged;           /* the reverse-path is most likely a bystander's: nobody elsewhere is told of failure */
	struct slice findings; /* sentences for the story, UTF-8 */
	const struct queue_rcpt *rcpts; /* each target once */
	size_t rcpts_n;
};

/* What the queue asks of the house. All run on fibers and may park. */
struct queue_ops {
	void *ctx;
	/* Negative when the role could not be asked: the same request is repeated later. */
	int (*deliver)(void *ctx, int desk, const struct bus_desk_deliver_request *r, struct arena *a,
	    struct bus_desk_deliver_reply *reply);
	int (*send)(
	    void *ctx, const struct bus_courier_send_request *r, struct arena *a, struct bus_courier_send_reply *reply);
	int (*forget)(void *ctx, int desk, const struct bus_desk_forget_request *r);
	/* The desk of an account; does not park. */
	int (*desk)(void *ctx, struct slice account_id);
	/* What the configuration says of a site (its canonical name): changes what is set there, leaves the rest; may be NULL; does not
	 * park. Sessions at a time, messages of a connection, messages a minute. */
	void (*site_rate)(
	    void *ctx, struct slice site, int64_t *connections, int64_t *connection_messages, int64_t *per_minute);
	/* Recipients that a site gets on the first day (0: any number), by how many percent more on each, and from how many on in a
	 * day it gets any number; may be NULL; does not park. */
	void (*warmup)(void *ctx, int64_t *start, int64_t *growth_percent, int64_t *target);
	/* Where a bounce to this address goes. 0 with *n targets (0: nobody). */
	int (*expand)(void *ctx, struct slice address, struct arena *a, struct queue_target **v, size_t *n);
	/* Puts into s->head (in the arena) the fields that are to stand above a report that leaves the house; may be NULL. */
	int (*sign)(void *ctx, struct queue_submission *s, struct arena *a);
	/* Storage failed in a way that must end the process (a failed fsync): does not return in a role; a test may
	 * return, and every later submission then fails. */
	void (*fatal)(void *ctx, int err, const char *what);
};

struct queue_config {
	struct house *house;
	struct loop *loop;
	struct sqldb *db;        /* opened with queue_migrations, FULL; stays the caller's */
	struct workers *workers; /* for fsync, unlink; stays the caller's */
	const char *dir;         /* DATA/queue: `blobs/` and `blobs/tmp/` are made in it */
	struct slice hostname;   /* of DSNs; copied */
	int couriers;            /* limits.courier_sessions each */
	struct queue_ops ops;
};

extern const struct sql_migration queue_migrations[];
extern const size_t queue_migrations_count;

/* Sweeps what a crash left behind in blobs/ and prepares everything; nothing is delivered yet. On failure one
 * sentence in `detail`. */
NODISCARD int queue_open(struct queue **out, const struct queue_config *c, struct buf *detail);
/* Starts the schedule. */
NODISCARD int queue_start(struct queue *q);
/* Ends the schedule: attempts under way have until the deadline to end, their results are written. */
void queue_stop(struct queue *q, int64_t deadline_ms);
/* After queue_stop(), or instead of queue_start(). */
void queue_close(struct queue **q);
/* The clock or the limits have changed: look again at once. (The clock is looked at every second anyway.) */
void queue_wake(struct queue *q);
NODISCARD int queue_set_hostname(struct queue *q, struct slice hostname);
/* What ops.site_rate answers is changing: it is asked again within a second or two. */
void queue_sites_changed(struct queue *q);
/* Is the suffix that of the site's name (without its port), at a dot? */
bool queue_site_fits(struct slice site, struct slice suffix);

/* ---- acceptance --------------------------------------------------------------------------------------- */

/* Takes a message: SUBMIT_OK only when it is durable. One that is there already (same id) is SUBMIT_OK and
 * not taken again. SUBMIT_REFUSED and others with a sentence in `detail`. */
enum bus_submit queue_submit(struct queue *q, const struct queue_submission *s, struct buf *detail);
/* A file to write a large body into. `owner` is whoever may submit it (a link of the bus); `name` is for
 * queue_submission.blob, *fd for writing and the caller's to close. ERR_FULL, ERR_LIMIT, ERR_IO. */
#define QUEUE_BLOB_NAME_MAX 32
NODISCARD int queue_blob_create(struct queue *q, uint64_t owner, char name[QUEUE_BLOB_NAME_MAX], int *fd);
/* Appends the first bytes (at most `max`) of what the owner has written so far. ERR_NOTFOUND, ERR_IO. */
NODISCARD int queue_blob_start(struct queue *q, struct slice name, uint64_t owner, size_t max, struct buf *out);
/* The file that the owner has written, for reading; the caller closes it. A descriptor, or ERR_NOTFOUND, ERR_IO. */
NODISCARD int queue_blob_open(struct queue *q, struct slice name, uint64_t owner);
/* The Message-ID of a header without <>, cut to 998 bytes; or empty. */
struct slice header_message_id(struct slice header, size_t max_bytes);
/* The owner is gone: what it has not submitted is removed. */
void queue_blob_owner_gone(struct queue *q, uint64_t owner);

/* ---- what other roles report --------------------------------------------------------------------------- */

/* These deliveries are durable in the account; their rows go with the next commit, and the desk is then told to
 * forget them. Unknown ids were removed before: forgotten too. */
NODISCARD int queue_delivered(struct queue *q, struct slice account_id, struct slice_list delivery_ids);
/* A desk has been restarted: what it has not reported durable is delivered again. */
void queue_desk_lost(struct queue *q, int desk);
NODISCARD int queue_history_add(
    struct queue *q, struct slice id, struct slice recipient, enum bus_history kind, struct slice detail);

/* ---- operator --------------------------------------------------------------------------------------------- */

/* Called for each row on the caller's fiber, takes no reference; a negative result ends the walk. */
typedef int queue_row_fn(void *ctx, json_t *row);

struct queue_filter {
	struct slice id;           /* one message, or empty */
	struct slice address;      /* sender or recipient, or "@domain", or empty */
	bool held;                 /* only what is held */
	bool recipients_only;      /* the address is a recipient's */
	const struct map *domains; /* only recipients at one of these (its keys, in lower case); or NULL */
};
/* One row a message: {id, from, received_at, size_bytes, origin, recipients:[{address, state, attempts, next_attempt_at,
 * status, text}], …}, at most 100 recipients, `recipients_more` tells how many are left out. Reads in pages. */
NODISCARD int queue_list(struct queue *q, const struct queue_filter *f, queue_row_fn *fn, void *ctx);
/* One message with its recipients (at most 2,000) and its history. ERR_NOTFOUND. */
NODISCARD int queue_show(struct queue *q, struct slice id, queue_row_fn *fn, void *ctx);
enum queue_action {
	QUEUE_RETRY, /* try now */
	QUEUE_HOLD,  /* do not try until released */
	QUEUE_RELEASE,
	QUEUE_REMOVE, /* drop without a bounce */
	QUEUE_FAIL    /* end it with a bounce */
};
struct queue_acted {
	int64_t changed; /* recipients */
	int64_t
	    under_way; /* an attempt is being made at this moment: done when it fails for now; a retry is one already */
};
/* On what the filter names (at least one of its fields is set). ERR_NOTFOUND when there is no such message. */
NODISCARD int queue_act(
    struct queue *q, const struct queue_filter *f, enum queue_action what, struct queue_acted *acted);
/* The recipients go to this host:port from now on instead of where DNS says; empty: to where DNS says again. */
NODISCARD int queue_reroute(
    struct queue *q, const struct queue_filter *f, struct slice route, struct queue_acted *acted);

/* Sends nothing to a domain, or to a site, until then (0: until it is resumed). ERR_INVALID, ERR_LIMIT. */
NODISCARD int queue_suspend(struct queue *q, struct slice name, int64_t until_us);
/* ERR_NOTFOUND. *recipients: what is tried at once. */
NODISCARD int queue_resume(struct queue *q, struct slice name, int64_t *recipients);
/* Rows {name, since, until, active}. */
NODISCARD int queue_suspensions(struct queue *q, queue_row_fn *fn, void *ctx);
/* Rows {site, sessions, sessions_max, ready, domains, paused_until, reply, ...} of the sites that are in use or paused. */
NODISCARD int queue_sites(struct queue *q, queue_row_fn *fn, void *ctx);

/* Addresses elsewhere that get no mail from accounts of this house. ERR_INVALID, ERR_LIMIT; ERR_NOTFOUND. */
NODISCARD int queue_suppress_add(struct queue *q, struct slice address, struct slice reason);
NODISCARD int queue_suppress_remove(struct queue *q, struct slice address);
/* Does the address get no mail from accounts of this house? Then one sentence why, and what to do, in `a`. */
bool queue_suppressed(struct queue *q, struct slice address, struct arena *a, struct slice *why);
/* Rows {address, by, failures, since, reason}. */
NODISCARD int queue_suppress_list(struct queue *q, queue_row_fn *fn, void *ctx);
/* The story of messages by ULID, Message-ID (with or without <>) or address, oldest first: rows {id, at, recipient, kind,
 * text} where `text` is one plain sentence. At most limits.trace_messages messages, the newest. ERR_NOTFOUND. */
NODISCARD int queue_trace(struct queue *q, struct slice key, queue_row_fn *fn, void *ctx);
/* How long deliveries took (HISTOGRAM_DELIVERIES) into mailboxes here and to other servers. */
void queue_times(const struct queue *q, struct histogram *local, struct histogram *remote);
/* The sites with the most recipients that had to wait, at most `max`: {site: recipients deferred}. */
json_t *queue_sites_deferred(struct queue *q, size_t max);
/* Is there too little room on the disk to take mail? */
bool queue_disk_low(struct queue *q);
/* Counters and gauges. */
void queue_status(struct queue *q, json_t *into);

/* What of the queue does not fit together, for `posthouse fsck`; in the arena. */
struct queue_flaw {
	const char *kind; /* a word */
	struct slice detail;
};
NODISCARD int queue_check(struct queue *q, struct arena *a, struct queue_flaw **v, size_t *n);

#endif
