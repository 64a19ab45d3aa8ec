/* queue_schedule.c: what is tried when. One fiber wakes when something is due (and every second, since the clock may
 * be advanced): it reads due rows by the index, a page at a time from where it left off, into the window. Destinations
 * with ready jobs start fibers for them, each destination within its own limit.
 *
 * Nothing is forgotten because whoever commits a waiting row that is not in the window calls schedule_due()
 * afterwards; a time before the cursor moves the cursor back, and rows that are in the window already are
 * skipped. A row that was finished while its page was being read is known from `gone`. */
#include "queue/queue_private.h"

#define PAGE_ROWS 256
#define PAGE_ARENA_BYTES (8u << 20)
#define TICK_MS 1000
#define AWAITING_MS_MAX 60000 /* then delivered again, under the same id */
#define FAILING_MS_MAX 10000  /* then bounced without waiting for the other recipients */
#define PAUSE_MS_MAX 10000
#define POSTPONE_US_MIN INT64_C(1000000)
#define POSTPONE_SHARE_S 10 /* a destination is taken to get through its part of the window in this time */
#define POSTPONE_US_MAX (3600 * INT64_C(1000000))
#define NOBODY_RUNNERS 4

static void
wake(struct queue *q)
{
	q->woken = true;
	waitq_wake_all(&q->wake);
}

void
schedule_init(struct queue *q)
{
	q->cursor_us = INT64_MIN;
	q->next_due_us = INT64_MIN;
}

void
schedule_due(struct queue *q, int64_t due_us)
{
	if (due_us <= q->cursor_us) {
		q->cursor_us = due_us - 1;
		memset(q->cursor_id, 0xff, sizeof(q->cursor_id));
		if (q->filling)
			q->fill_stale = true;
	}
	if (due_us < q->next_due_us) {
		q->next_due_us = due_us;
		if (due_us <= house_now_us(q->house))
			wake(q);
	}
}

void
queue_wake(struct queue *q)
{
	wake(q);
}

void
schedule_room(struct queue *q)
{
	if (q->backlog && q->rcpts.n <= (size_t)q->house->limits.queue_window / 2) {
		q->backlog = false;
		wake(q);
	}
}

/* ---- from the database into the window ---------------------------------------------------------- */

struct due_row {
	struct row_rcpt r;
	struct row_message m;
};

struct page {
	struct arena *arena;
	int64_t cursor_us, now_us, next_due_us;
	struct slice cursor_id;
	struct due_row *v;
	size_t n;
	bool last; /* nothing more is due */
};

static void
read_due(struct sql_rows *r, struct arena *a, struct due_row *d)
{
	struct slice id = sql_col_bytes(r, 0);

	*d = (struct due_row){
	    .r =
		{
		    .number = sql_col_int(r, 1),
		    .kind = sql_col_int(r, 2),
		    .account_id = arena_copy(a, sql_col_bytes(r, 3)),
		    .original = arena_copy(a, sql_col_bytes(r, 4)),
		    .address = arena_copy(a, sql_col_bytes(r, 5)),
		    .envelope = arena_copy(a, sql_col_bytes(r, 6)),
		    .attempts = sql_col_int(r, 7),
		    .due_us = sql_col_int(r, 8),
		    .status = arena_copy(a, sql_col_bytes(r, 9)),
		    .reply = arena_copy(a, sql_col_bytes(r, 10)),
		},
	    .m =
		{
		    .id = arena_copy(a, sql_col_bytes(r, 11)),
		    .reverse_path = arena_copy(a, sql_col_bytes(r, 12)),
		    .envelope = arena_copy(a, sql_col_bytes(r, 13)),
		    .received_us = sql_col_int(r, 14),
		    .size_bytes = sql_col_int(r, 15),
		    .warned = sql_col_int(r, 16),
		    .message_id = arena_copy(a, sql_col_bytes(r, 17)),
		},
	};
	if (id.n == DELIVERY_ID_LEN)
		memcpy(d->r.delivery_id, id.p, id.n);
}

/* May run more than once: starts afresh each time. */
static int
read_page(struct sqltx *tx, void *arg)
{
	struct page *p = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err;

	arena_reset(p->arena);
	p->n = 0;
	p->next_due_us = INT64_MAX;
	p->v = ARENA_ARRAY(p->arena, struct due_row, PAGE_ROWS);
	if (p->v == NULL)
		return ERR_NOMEM;
	err = SQL_QUERY(
	    tx, &r, &queue_sql_due_after, SQLI(p->cursor_us), SQLB(p->cursor_id), SQLI(p->now_us), SQLI(PAGE_ROWS));
	while (err == 0 && (err = sql_next(&r)) == 1) {
		read_due(&r, p->arena, &p->v[p->n]);
		err = 0;
		if (arena_failed(p->arena)) /* the rest comes with the next page */
			return p->n > 0 ? 0 : ERR_LIMIT;
		p->n++;
	}
	if (err != 0)
		return err;
	p->last = p->n < PAGE_ROWS;
	if (!p->last)
		return 0;
	err = SQL_QUERY(tx, &r, &queue_sql_due_next, SQLI(p->now_us));
	if (err == 0)
		err = sql_next(&r);
	if (err == 1)
		p->next_due_us = sql_col_int(&r, 0);
	return err < 0 ? err : 0;
}

struct postponed {
	uint8_t delivery_id[DELIVERY_ID_LEN];
	int64_t due_us;
};
struct postpone {
	struct postponed v[PAGE_ROWS];
	size_t n;
	int64_t earliest_us;
	int64_t was_due_us; /* the earliest of what they were */
};

static int
write_postponed(struct sqltx *tx, void *arg)
{
	struct postpone *p = arg;
	int err = 0;

	for (size_t i = 0; err == 0 && i < p->n; i++)
		err = SQL_EXEC(tx, &queue_sql_recipient_postpone, SQLB(slice_of(p->v[i].delivery_id, DELIVERY_ID_LEN)),
		    SQLI(p->v[i].due_us));
	return err;
}

/* The destination has its part of the window: this recipient waits until it is likely to be its turn. */
static void
postpone(struct queue *q, struct postpone *p, const struct row_rcpt *r, int64_t now_us)
{
	struct destination *d = window_destination(q, r);
	int64_t rate, rate_min, due;

	if (d == NULL || p->n == PAGE_ROWS)
		return;
	rate = d->rate * 3 / 2;
	rate_min = (int64_t)window_share(q, d) / POSTPONE_SHARE_S + 1;
	if (rate < rate_min)
		rate = rate_min;
	if (d->slot_us < now_us + POSTPONE_US_MIN)
		d->slot_us = now_us + POSTPONE_US_MIN;
	d->slot_us += 1000000 / rate;
	if (d->slot_us > now_us + POSTPONE_US_MAX)
		d->slot_us = now_us + POSTPONE_US_MAX;
	due = d->slot_us;
	memcpy(p->v[p->n].delivery_id, r->delivery_id, DELIVERY_ID_LEN);
	p->v[p->n].due_us = due;
	p->n++;
	if (due < p->earliest_us)
		p->earliest_us = due;
	if (r->due_us < p->was_due_us)
		p->was_due_us = r->due_us;
}

/* Takes the rows of a page. False: the window is full. */
static bool
take_page(struct queue *q, struct page *p, struct postpone *later)
{
	for (size_t i = 0; i < p->n; i++) {
		struct due_row *d = &p->v[i];
		struct slice id = slice_of(d->r.delivery_id, DELIVERY_ID_LEN);
		bool destination_full = false;

		if (window_rcpt_find(q, id) == NULL && map_get(&q->gone, id) == NULL &&
		    map_get(&q->acting, id) == NULL) {
			struct window_message *m = window_message_get(q, &d->m);
			struct window_rcpt *r = m == NULL ? NULL : window_rcpt_add(q, m, &d->r, &destination_full);

			if (r != NULL)
				window_rcpt_ready(q, r);
			if (m != NULL)
				window_message_unref(q, m);
			if (r == NULL && !destination_full)
				return false;
			if (r == NULL)
				postpone(q, later, &d->r, p->now_us);
		}
		q->cursor_us = d->r.due_us;
		memcpy(q->cursor_id, d->r.delivery_id, DELIVERY_ID_LEN);
	}
	return true;
}

static int
fill_page(struct queue *q, struct arena *a, struct postpone *later, bool *more)
{
	uint8_t cursor_id[DELIVERY_ID_LEN];
	struct page p = {.arena = a, .cursor_us = q->cursor_us, .now_us = house_now_us(q->house)};
	int err;
	bool room;

	*more = false;
	memcpy(cursor_id, q->cursor_id, sizeof(cursor_id));
	p.cursor_id = slice_of(cursor_id, sizeof(cursor_id));
	q->filling = true;
	q->fill_stale = false;
	err = sql_read(q->db, read_page, &p);
	q->filling = false;
	if (err == 0 && q->fill_stale) {
		*more = true;
	} else if (err == 0) {
		later->n = 0;
		later->earliest_us = later->was_due_us = INT64_MAX;
		room = take_page(q, &p, later);
		q->backlog = !room;
		if (room && p.last) {
			q->cursor_us = p.now_us > q->cursor_us ? p.now_us : q->cursor_us;
			memset(q->cursor_id, 0xff, sizeof(q->cursor_id));
			q->next_due_us = p.next_due_us;
		}
		*more = room && !p.last;
	}
	map_free(&q->gone);
	map_init(&q->gone, SIZE_MAX, house_random_u64(q->house));
	if (err == 0 && later->n > 0) {
		err = sql_write(q->db, write_postponed, later);
		later->n = 0;
		schedule_due(q, err == 0 ? later->earliest_us : later->was_due_us);
	}
	return err;
}

static void
fill(struct queue *q)
{
	struct arena a ARENA_CLEANUP;
	struct postpone *later;
	bool more = true;
	int err = 0;

	if (q->next_due_us > house_now_us(q->house) || q->backlog)
		return;
	later = calloc(1, sizeof(*later));
	if (later == NULL)
		return;
	arena_init(&a, PAGE_ARENA_BYTES);
	while (err == 0 && more && !q->stopping) {
		err = fill_page(q, &a, later, &more);
		schedule_dispatch(q);
	}
	free(later);
	if (err != 0 && err != ERR_CANCELLED)
		LOG(q->house, ERROR, "queue_read_failed", LOG_E(err));
}

/* ---- from the window to fibers ------------------------------------------------------------------------ */

static size_t
runners_max(struct queue *q, const struct destination *d)
{
	const struct limits *l = &q->house->limits;

	if (d->kind == QUEUE_TARGET_LOCAL)
		return (size_t)l->queue_desk_deliveries;
	return d->kind == QUEUE_TARGET_REMOTE ? (size_t)l->queue_concurrency : NOBODY_RUNNERS;
}

static size_t
domains_max(struct queue *q)
{
	return (size_t)q->house->limits.courier_sessions * (size_t)(q->c.couriers > 0 ? q->c.couriers : 1);
}

static bool
paused(struct queue *q, const struct destination *d)
{
	return d->not_before_ms > house_mono_ms(q->house);
}

static struct job *
pop_job(struct destination *d)
{
	struct list_node *n = list_pop(&d->ready);

	if (list_empty(&d->ready))
		list_remove(&d->runnable);
	return n == NULL ? NULL : CONTAINER_OF(n, struct job, node);
}

static struct job *
next_job(struct queue *q, struct destination *d)
{
	if (q->stopping || paused(q, d))
		return NULL;
	/* Others wait for a session of the courier: let them have this one. */
	if (d->kind == QUEUE_TARGET_REMOTE && q->running_domains >= domains_max(q) && !list_empty(&q->runnable_domains))
		return NULL;
	return pop_job(d);
}

static void
pause_destination(struct queue *q, struct destination *d)
{
	if (paused(q, d))
		return;
	d->pause_ms = d->pause_ms == 0 ? TICK_MS : d->pause_ms * 2;
	if (d->pause_ms > PAUSE_MS_MAX)
		d->pause_ms = PAUSE_MS_MAX;
	d->not_before_ms = house_mono_ms(q->house) + d->pause_ms;
}

static void
runner_main(void *arg)
{
	struct runner *r = arg;
	struct destination *d = r->destination;
	struct queue *q = d->queue;
	struct job *j = r->job;

	r->fiber = fiber_self(q->loop);
	r->job = NULL;
	while (j != NULL) {
		size_t n = j->n;

		if (q->stopping) {
			window_job_return(q, d, j);
			break;
		}
		if (attempt_run(q, d, j)) {
			d->pause_ms = 0;
			d->done += (int64_t)n;
		} else {
			pause_destination(q, d);
		}
		j = next_job(q, d);
	}
	list_remove(&r->node);
	free(r);
	d->running--;
	if (d->kind == QUEUE_TARGET_REMOTE)
		q->running_domains--;
	if (!list_empty(&d->ready) && !list_linked(&d->runnable) && !paused(q, d))
		list_push(d->kind == QUEUE_TARGET_REMOTE ? &q->runnable_domains : &q->runnable_desks, &d->runnable);
	window_destination_release(q, d);
	schedule_dispatch(q);
	if (list_empty(&q->runners))
		waitq_wake_all(&q->idle);
	if (q->stopper != NULL)
		fiber_wake(q->stopper);
}

/* Starts a fiber for the next ready job. */
static bool
start_runner(struct queue *q, struct destination *d)
{
	struct runner *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return false;
	r->destination = d;
	r->job = pop_job(d);
	if (fiber_start(q->loop, "delivery", runner_main, r, NULL) != 0) {
		window_job_return(q, d, r->job);
		free(r);
		return false;
	}
	list_push(&q->runners, &r->node);
	d->running++;
	if (d->kind == QUEUE_TARGET_REMOTE)
		q->running_domains++;
	return true;
}

static void
dispatch_list(struct queue *q, struct list *runnable, bool domains)
{
	struct list_node *n;

	while ((n = list_first(runnable)) != NULL) {
		struct destination *d = CONTAINER_OF(n, struct destination, runnable);

		if (domains && q->running_domains >= domains_max(q))
			return;
		if (list_empty(&d->ready) || paused(q, d) || d->running >= runners_max(q, d)) {
			/* A runner that ends, the end of the pause, or a new job brings it back. */
			list_remove(n);
			continue;
		}
		/* One each in turn. */
		list_remove(n);
		list_push(runnable, n);
		if (!start_runner(q, d))
			return;
	}
}

void
schedule_dispatch(struct queue *q)
{
	if (q->stopping || !q->started)
		return;
	dispatch_list(q, &q->runnable_desks, false);
	dispatch_list(q, &q->runnable_domains, true);
}

/* ---- the clockwork ------------------------------------------------------------------------------------- */

static void
redeliver(struct queue *q, struct window_rcpt *r)
{
	q->counters.redelivered++;
	window_rcpt_ready(q, r);
}

void
queue_desk_lost(struct queue *q, int desk)
{
	LIST_FOREACH (&q->awaiting, n) {
		struct window_rcpt *r = CONTAINER_OF(n, struct window_rcpt, node);

		if (r->destination->desk == desk)
			redeliver(q, r);
	}
	schedule_dispatch(q);
}

static void
redeliver_overdue(struct queue *q)
{
	int64_t before = house_mono_ms(q->house) - AWAITING_MS_MAX;

	LIST_FOREACH (&q->awaiting, n) {
		struct window_rcpt *r = CONTAINER_OF(n, struct window_rcpt, node);

		if (r->awaiting_since_ms > before)
			return;
		LOG(q->house, WARN, "delivery_not_confirmed", LOG_S("id", r->message->id),
		    LOG_S("recipient", r->address));
		redeliver(q, r);
	}
}

static void
reckon_destinations(struct queue *q, int64_t elapsed_ms)
{
	LIST_FOREACH (&q->destinations_all, n) {
		struct destination *d = CONTAINER_OF(n, struct destination, all);

		d->rate = (d->rate + d->done * 1000 / elapsed_ms) / 2;
		d->done = 0;
		if (!list_empty(&d->ready) && !list_linked(&d->runnable) && !paused(q, d))
			list_push(
			    d->kind == QUEUE_TARGET_REMOTE ? &q->runnable_domains : &q->runnable_desks, &d->runnable);
		window_destination_release(q, d);
	}
}

static void
flush_failing(struct queue *q)
{
	int64_t before = house_mono_ms(q->house) - FAILING_MS_MAX;
	size_t left = q->messages.n;

	while (left-- > 0 && !list_empty(&q->failing)) {
		struct window_message *m = CONTAINER_OF(list_first(&q->failing), struct window_message, failing);

		if (m->failed_since_ms > before)
			return;
		/* Behind the others, should it not succeed. */
		m->failed_since_ms = house_mono_ms(q->house);
		list_remove(&m->failing);
		list_push(&q->failing, &m->failing);
		bounce_flush(q, m, true);
	}
}

static void
schedule_main(void *arg)
{
	struct queue *q = arg;
	int64_t reckoned_ms = house_mono_ms(q->house), now_ms;

	while (!q->stopping && !fiber_cancelled(q->loop)) {
		if (!q->woken)
			(void)!waitq_wait(q->loop, &q->wake, loop_deadline(q->loop, TICK_MS));
		q->woken = false;
		if (q->stopping || fiber_cancelled(q->loop))
			break;
		fill(q);
		now_ms = house_mono_ms(q->house);
		if (now_ms - reckoned_ms >= TICK_MS) {
			redeliver_overdue(q);
			reckon_destinations(q, now_ms - reckoned_ms);
			reckoned_ms = now_ms;
			flush_failing(q);
			blob_expire(q, now_ms);
		}
		schedule_dispatch(q);
	}
}

int
schedule_start(struct queue *q)
{
	q->started = true;
	return fiber_start(q->loop, "queue schedule", schedule_main, q, &q->schedule_fiber);
}

void
schedule_stop(struct queue *q, int64_t deadline_ms)
{
	q->stopping = true;
	if (q->schedule_fiber != NULL) {
		fiber_cancel(q->schedule_fiber);
		fiber_join(q->loop, &q->schedule_fiber);
	}
	while (!list_empty(&q->runners) && waitq_wait(q->loop, &q->idle, deadline_ms) == 0)
		;
	LIST_FOREACH (&q->runners, n) {
		struct runner *r = CONTAINER_OF(n, struct runner, node);

		if (r->fiber != NULL)
			fiber_cancel(r->fiber);
	}
	/* Their cleanups still need the queue. */
	q->stopper = fiber_self(q->loop);
	while (!list_empty(&q->runners))
		fiber_park_always(q->loop);
	q->stopper = NULL;
}
