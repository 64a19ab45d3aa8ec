/* queue_testing.h: a queue with desks and couriers of straw, for the tests of this room. Every test body runs on a fiber;
 * the clock is the house's test clock. */
#ifndef QUEUE_QUEUE_TESTING_H
#define QUEUE_QUEUE_TESTING_H

#include "base/map.h"
#include "queue/queue_private.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define HOUR_US (3600 * INT64_C(1000000))
#define DELIVERIES_MAX 5000

struct world;
/* What a remote says to an address. */
struct straw_reply {
	int result; /* enum bus_send */
	const char *code, *status, *text;
	enum bus_reply_class reply_class;
};
typedef struct straw_reply straw_fn(struct world *w, struct slice address);

struct straw_delivery {
	uint8_t id[DELIVERY_ID_LEN];
	char account[64];
	char message[ULID_LEN + 1];
	char from[100], to[100], mailbox[20];
	bool durable; /* the desk has synced it */
	bool lost;    /* it had not, and the power failed */
};

struct world {
	struct house house;
	struct loop *loop;
	struct sqldb *db;
	struct workers *workers;
	struct queue *queue;
	char dir[64];
	const char *vfs;
	void (*body)(struct world *w);
	/* the desk */
	struct map mailboxes;                             /* delivery id → w: what a desk has taken */
	struct straw_delivery deliveries[DELIVERIES_MAX]; /* each once */
	size_t deliveries_n, deliver_calls, durable_n, forgotten, reporting;
	bool judged_junk; /* what is submitted */
	bool judged_forged;
	bool silent_desk;    /* takes mail and never says that it is durable */
	int desk_error;      /* what deliver returns instead of asking */
	int64_t desk_result; /* 0: DELIVER_OK */
	char last_body[65536];
	size_t last_body_n;
	/* the courier */
	straw_fn *straw;
	const char *envelope, *rcpt_envelope; /* of what is submitted; NULL: none */
	char site[100];                       /* that the courier tells; "": none */
	char from[100];                       /* of the last that it was given */
	char route[100];
	bool dsn; /* the next server reports itself */
	size_t sends, sent_recipients, largest_send, sending, most_sending;
	int send_ms;
	int fatal;
	void *extra; /* the test's own */
};

/* ---- straw -------------------------------------------------------------------------------------------- */

struct straw_durable {
	struct world *w;
	struct straw_delivery d;
};

static inline struct straw_delivery *
straw_find(struct world *w, const uint8_t id[DELIVERY_ID_LEN])
{
	for (size_t i = 0; i < w->deliveries_n; i++)
		if (!w->deliveries[i].lost && memcmp(w->deliveries[i].id, id, DELIVERY_ID_LEN) == 0)
			return &w->deliveries[i];
	return NULL;
}

static inline void
straw_durable_main(void *arg)
{
	struct straw_durable *x = arg;
	struct slice id = slice_of(x->d.id, DELIVERY_ID_LEN);

	struct straw_delivery *d;

	if (fiber_sleep(x->w->loop, 2) == 0 && x->w->queue != NULL && !x->w->queue->stopping &&
	    (d = straw_find(x->w, x->d.id)) != NULL) {
		d->durable = true;
		x->w->reporting++;
		if (queue_delivered(x->w->queue, slice_z(x->d.account), (struct slice_list){&id, 1}) == 0)
			x->w->durable_n++;
		x->w->reporting--;
	}
	free(x);
}

static inline void
straw_read_body(struct world *w, const struct bus_desk_deliver_request *r)
{
	w->last_body_n = 0;
	if (r->file >= 0) {
		ssize_t n = pread((int)r->file, w->last_body, sizeof(w->last_body), 0);

		w->last_body_n = n < 0 ? 0 : (size_t)n;
	} else if (r->body.n <= sizeof(w->last_body)) {
		w->last_body_n = r->body.n;
		memcpy(w->last_body, r->body.p, r->body.n);
	}
}

static inline int
straw_deliver(
    void *ctx, int desk, const struct bus_desk_deliver_request *r, struct arena *a, struct bus_desk_deliver_reply *rep)
{
	struct world *w = ctx;
	struct straw_durable *x;

	(void)a;
	assert_int_equal(desk, 0);
	w->deliver_calls++;
	if (w->desk_error != 0)
		return w->desk_error;
	if (fiber_yield(w->loop) != 0)
		return ERR_CANCELLED;
	rep->result = w->desk_result != 0 ? w->desk_result : DELIVER_OK;
	if (rep->result != DELIVER_OK)
		return 0;
	straw_read_body(w, r);
	x = calloc(1, sizeof(*x));
	assert_non_null(x);
	x->w = w;
	memcpy(x->d.id, r->delivery_id.p, DELIVERY_ID_LEN);
	assert_int_equal(slice_to_z(r->account_id, x->d.account, sizeof(x->d.account)), 0);
	assert_int_equal(slice_to_z(r->message_id, x->d.message, sizeof(x->d.message)), 0);
	assert_int_equal(slice_to_z(r->reverse_path, x->d.from, sizeof(x->d.from)), 0);
	assert_int_equal(slice_to_z(r->recipient, x->d.to, sizeof(x->d.to)), 0);
	assert_int_equal(slice_to_z(r->mailbox, x->d.mailbox, sizeof(x->d.mailbox)), 0);
	if (map_get(&w->mailboxes, r->delivery_id) != NULL) {
		rep->result = DELIVER_DUPLICATE;
	} else {
		assert_int_equal(map_put(&w->mailboxes, r->delivery_id, w), 0);
		assert_true(w->deliveries_n < DELIVERIES_MAX);
		w->deliveries[w->deliveries_n++] = x->d;
	}
	if (w->silent_desk)
		free(x);
	else
		assert_int_equal(fiber_start(w->loop, "durable", straw_durable_main, x, NULL), 0);
	return 0;
}

static inline int
straw_send(void *ctx, const struct bus_courier_send_request *r, struct arena *a, struct bus_courier_send_reply *rep)
{
	struct world *w = ctx;
	size_t n = r->recipients.n;
	struct slice *results = ARENA_ARRAY(a, struct slice, n), *codes = ARENA_ARRAY(a, struct slice, n);
	struct slice *statuses = ARENA_ARRAY(a, struct slice, n), *texts = ARENA_ARRAY(a, struct slice, n);
	struct slice *classes = ARENA_ARRAY(a, struct slice, n), *dsn = ARENA_ARRAY(a, struct slice, n);

	assert_int_equal(slice_to_z(r->reverse_path, w->from, sizeof(w->from)), 0);
	assert_int_equal(slice_to_z(r->route, w->route, sizeof(w->route)), 0);
	w->sends++;
	w->sent_recipients += n;
	w->largest_send = n > w->largest_send ? n : w->largest_send;
	if (++w->sending > w->most_sending)
		w->most_sending = w->sending;
	if (fiber_sleep(w->loop, w->send_ms) != 0) {
		w->sending--;
		return ERR_CANCELLED;
	}
	w->sending--;
	for (size_t i = 0; i < n; i++) {
		struct straw_reply s = w->straw(w, r->recipients.v[i]);

		results[i] = arena_printf(a, "%d", s.result);
		codes[i] = slice_z(s.code);
		statuses[i] = slice_z(s.status);
		texts[i] = slice_z(s.text);
		classes[i] = arena_printf(a, "%d", (int)s.reply_class);
		dsn[i] = w->dsn ? SLICE("1") : SLICE("0");
	}
	*rep = (struct bus_courier_send_reply){.results = {results, n},
	    .codes = {codes, n},
	    .statuses = {statuses, n},
	    .texts = {texts, n},
	    .classes = {classes, n},
	    .dsn = {dsn, n},
	    .site = slice_z(w->site),
	    .host = SLICE("mx.b.test [127.0.0.1]:25")};
	return 0;
}

static inline int
straw_forget(void *ctx, int desk, const struct bus_desk_forget_request *r)
{
	struct world *w = ctx;

	(void)desk;
	w->forgotten += r->delivery_ids.n;
	for (size_t i = 0; i < r->delivery_ids.n; i++)
		(void)map_remove(&w->mailboxes, r->delivery_ids.v[i]);
	return 0;
}

static inline int
straw_desk(void *ctx, struct slice account_id)
{
	(void)ctx;
	(void)account_id;
	return 0;
}

/* NAME@example.test is the account NAME, but gone@ is nobody; all else is remote. */
static inline void
straw_target(struct slice address, struct queue_target *t)
{
	struct slice rest = address, local = slice_cut(&rest, '@');

	*t = (struct queue_target){.address = address};
	if (!slice_ieq(rest, SLICE("example.test"))) {
		t->kind = QUEUE_TARGET_REMOTE;
	} else if (slice_eq(local, SLICE("gone"))) {
		t->kind = QUEUE_TARGET_NONE;
		t->status = SLICE("5.1.1");
		t->reason = SLICE("there is no such mailbox here");
	} else {
		t->kind = QUEUE_TARGET_LOCAL;
		t->account_id = local;
	}
}

static inline int
straw_expand(void *ctx, struct slice address, struct arena *a, struct queue_target **v, size_t *n)
{
	(void)ctx;
	*v = ARENA_NEW(a, struct queue_target);
	assert_non_null(*v);
	straw_target(address, *v);
	*n = 1;
	return 0;
}

static inline void
straw_fatal(void *ctx, int err, const char *what)
{
	struct world *w = ctx;

	(void)what;
	w->fatal = err;
}

static inline struct straw_reply
straw_says_ok(struct world *w, struct slice address)
{
	(void)w;
	(void)address;
	return (struct straw_reply){SEND_OK, "250", "2.0.0", "taken", REPLY_NONE};
}

static inline struct straw_reply
straw_says_later(struct world *w, struct slice address)
{
	(void)w;
	(void)address;
	return (struct straw_reply){SEND_TEMPFAIL, "451", "4.7.1", "try later", REPLY_OTHER};
}

/* By the first letter: k takes it, l is asked to come later, others are refused. */
static inline struct straw_reply
straw_says_mixed(struct world *w, struct slice address)
{
	if (slice_starts(address, SLICE("k")))
		return straw_says_ok(w, address);
	if (slice_starts(address, SLICE("l")))
		return straw_says_later(w, address);
	return (struct straw_reply){SEND_FAIL, "550", "5.1.1", "no such user", REPLY_BAD_MAILBOX};
}

/* ---- the world -------------------------------------------------------------------------------------------- */

static inline void
world_open(struct world *w)
{
	char path[100], queue_dir[100];
	struct sqldb_config dc = {.loop = w->loop,
	    .path = path,
	    .vfs = w->vfs,
	    .durability = SQL_FULL,
	    .migrations = queue_migrations,
	    .migrations_count = queue_migrations_count};
	struct queue_config qc = {.house = &w->house,
	    .loop = w->loop,
	    .workers = w->workers,
	    .dir = queue_dir,
	    .hostname = SLICE("mail.example.test"),
	    .couriers = 1,
	    .ops = {
		w, straw_deliver, straw_send, straw_forget, straw_desk, NULL, NULL, straw_expand, NULL, straw_fatal}};
	struct buf detail BUF_CLEANUP;

	buf_init(&detail, 4096);
	(void)snprintf(path, sizeof(path), "%s/queue.db", w->dir);
	(void)snprintf(queue_dir, sizeof(queue_dir), "%s/queue", w->dir);
	assert_int_equal(sqldb_open(&w->db, &w->house, &dc, &detail), 0);
	assert_int_equal(sqldb_start(w->db), 0);
	qc.db = w->db;
	assert_int_equal(queue_open(&w->queue, &qc, &detail), 0);
}

static inline void
world_close(struct world *w)
{
	queue_stop(w->queue, loop_deadline(w->loop, 1000));
	while (w->reporting > 0)
		assert_int_equal(fiber_sleep(w->loop, 1), 0);
	queue_close(&w->queue);
	sqldb_close(&w->db);
}

/* As a crash of the clerk, as far as that can be had in one process: nothing more is written. */
static inline void
world_restart(struct world *w)
{
	world_close(w);
	world_open(w);
	assert_int_equal(queue_start(w->queue), 0);
}

static inline void
world_main(void *arg)
{
	struct world *w = arg;

	world_open(w);
	assert_int_equal(queue_start(w->queue), 0);
	w->body(w);
	if (w->queue != NULL)
		world_close(w);
	(void)!fiber_sleep(w->loop, 10);
	loop_stop(w->loop);
}

static inline void
world_remove_dir(const char *path)
{
	char sub[400];
	DIR *d = opendir(path);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name) < (int)sizeof(sub) && unlink(sub) != 0)
			world_remove_dir(sub);
	}
	if (d != NULL)
		closedir(d);
	(void)rmdir(path);
}

static inline struct world *
world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	house_init(&w->house, "clerk");
	w->house.log_level = LOG_ERROR;
	w->straw = straw_says_ok;
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/queue-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	map_init(&w->mailboxes, SIZE_MAX, 1);
	assert_int_equal(loop_new(&w->loop, &w->house), 0);
	assert_int_equal(workers_new(&w->workers, w->loop, "test", 2, 100), 0);
	assert_int_equal(workers_start(w->workers), 0);
	return w;
}

static inline void
world_run(struct world *w, void (*body)(struct world *w))
{
	w->body = body;
	assert_int_equal(fiber_start(w->loop, "test", world_main, w, NULL), 0);
	loop_run(w->loop);
	workers_free(&w->workers);
	loop_free(&w->loop);
	map_free(&w->mailboxes);
	world_remove_dir(w->dir);
	free(w);
}

/* ---- acting ------------------------------------------------------------------------------------------------ */

/* Lets the others run until the condition holds, at most ten seconds. */
#define UNTIL(w, cond) \
	do { \
		bool until_ok_ = (cond); \
		for (int until_ = 0; until_ < 60000 && !until_ok_; until_++) { \
			assert_int_equal(fiber_sleep((w)->loop, 2), 0); \
			until_ok_ = (cond); \
		} \
		assert_true(until_ok_); \
	} while (0)

static inline void
settle_down(struct world *w)
{
	for (int i = 0; i < 20; i++)
		assert_int_equal(fiber_sleep(w->loop, 2), 0);
}

static inline void
advance(struct world *w, int64_t us)
{
	house_clock_advance(&w->house, us);
	queue_wake(w->queue);
	settle_down(w);
}

/* Submits a message; the id goes to `id`. */
static inline enum bus_submit
submit_body(struct world *w, const char *from, struct slice_list to, struct slice body, struct slice blob,
    uint64_t owner, char id[ULID_LEN + 1])
{
	struct queue_rcpt *v = calloc(to.n, sizeof(*v));
	struct queue_submission s = {.origin = ORIGIN_STRANGER,
	    .reverse_path = slice_z(from),
	    .envelope = slice_z(w->envelope == NULL ? "" : w->envelope),
	    .client = SLICE("127.0.0.1"),
	    .helo = SLICE("mail.a.test"),
	    .tls = SLICE("TLSv1.3 TLS_AES_256_GCM_SHA384"),
	    .head = SLICE("Received: from a\r\n"),
	    .body = body,
	    .blob = blob,
	    .blob_owner = owner,
	    .size_bytes = (int64_t)body.n,
	    .junk = w->judged_junk,
	    .sender_unproven = w->judged_junk,
	    .forged = w->judged_forged,
	    .findings = slice_z(w->judged_junk ? "it is not from whom it says" : ""),
	    .rcpts = v,
	    .rcpts_n = to.n};
	struct buf detail BUF_CLEANUP;
	enum bus_submit r;

	buf_init(&detail, 4096);
	assert_non_null(v);
	if (id[0] == '\0')
		house_ulid(&w->house, id);
	s.id = slice_z(id);
	/* Who lives here has signed in. */
	if (slice_ends(s.reverse_path, SLICE("@example.test"))) {
		struct slice rest = s.reverse_path;

		s.origin = ORIGIN_ACCOUNT;
		s.account_id = slice_cut(&rest, '@');
	}
	for (size_t i = 0; i < to.n; i++) {
		v[i].original = to.v[i];
		v[i].envelope = slice_z(w->rcpt_envelope == NULL ? "" : w->rcpt_envelope);
		straw_target(to.v[i], &v[i].target);
	}
	r = queue_submit(w->queue, &s, &detail);
	free(v);
	return r;
}

#define BODY SLICE("Message-ID: <one@a.test>\r\nSubject: hello\r\n\r\nHello.\r\n")

static inline enum bus_submit
submit(struct world *w, const char *from, const char *to, char id[ULID_LEN + 1])
{
	struct slice one = slice_z(to);

	id[0] = '\0';
	return submit_body(w, from, (struct slice_list){&one, 1}, BODY, SLICE_EMPTY, 0, id);
}

/* ---- looking ------------------------------------------------------------------------------------------------- */

/* Rows as lines of one key each; without a key they are counted only. */
struct lines {
	char text[18432]; /* on a fiber's stack */
	size_t n, rows;
	const char *key;
};

static inline int
collect(void *ctx, json_t *row)
{
	struct lines *l = ctx;
	const char *v;

	l->rows++;
	if (l->key == NULL)
		return 0;
	v = json_string_value(json_object_get(row, l->key));
	l->n += (size_t)snprintf(l->text + l->n, sizeof(l->text) - l->n, "%s\n", v == NULL ? "" : v);
	assert_true(l->n < sizeof(l->text));
	return 0;
}

static inline size_t
queue_length(struct world *w)
{
	struct queue_filter all = {.held = false};
	struct lines l = {.key = NULL};

	assert_int_equal(queue_list(w->queue, &all, collect, &l), 0);
	return l.rows;
}

/* Nothing waits and nothing is under way. A list alone would not do: a message may go and its bounce come while
 * it is read. */
static inline bool
is_idle(struct world *w)
{
	return w->queue->rcpts.n == 0 && queue_length(w) == 0 && w->queue->rcpts.n == 0 && queue_length(w) == 0;
}

/* Nothing is under way or due: what an action finds now, it may change. */
static inline bool
is_resting(const struct world *w)
{
	return w->queue->rcpts.n == 0 && schedule_next_due_us(w->queue) > house_now_us(&w->house);
}

static inline const struct straw_delivery *
delivered_to(struct world *w, const char *account, size_t nth)
{
	for (size_t i = 0; i < w->deliveries_n; i++)
		if (strcmp(w->deliveries[i].account, account) == 0 && nth-- == 0)
			return &w->deliveries[i];
	return NULL;
}

#endif
