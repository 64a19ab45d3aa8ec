/* queue_schedule.c: what is tried when. One fiber wakes when something is due (and every second, since the clock may
 * be advanced): for each lane it reads due rows by the index, a page at a time from where it left off, into the window.
 * queue_dispatch.c starts fibers for what is ready there.
 *
 * Nothing is forgotten because whoever commits a waiting row that is not in the window calls schedule_due()
 * afterwards; a time before the lane's cursor moves the cursor back, and rows that are in the window already are
 * skipped. A row that was finished while its page was being read is known from `gone`. */
#include "queue/queue_private.h"

#define PAGE_ROWS 256
#define PAGE_ARENA_BYTES (8u << 20)
#define TICK_MS 1000
#define AWAITING_MS_MAX 60000 /* then delivered again, under the same id */
#define FAILING_MS_MAX 10000  /* then bounced without waiting for the other recipients */
#define POSTPONE_US_MIN INT64_C(1000000)
#define POSTPONE_SHARE_S 10 /* a destination is taken to get through its part of the window in this time */
#define POSTPONE_US_MAX (3600 * INT64_C(1000000))
#define FILL_MS_MAX 250 /* at a time */

static void
wake(struct queue *q)
{
	q->woken = true;
	waitq_wake_all(&q->wake);
}

void
schedule_init(struct queue *q)
{
	for (int i = 0; i < LANES; i++)
		q->lanes[i] = (struct lane_place){.cursor_us = INT64_MIN, .next_due_us = INT64_MIN};
}

void
schedule_due(struct queue *q, enum lane lane, int64_t due_us)
{
	struct lane_place *p = &q->lanes[lane];

	if (due_us <= p->cursor_us) {
		p->cursor_us = due_us - 1;
		memset(p->cursor_id, 0xff, sizeof(p->cursor_id));
		if (q->filling && q->filling_lane == lane)
			q->fill_stale = true;
	}
	if (due_us < p->next_due_us) {
		p->next_due_us = due_us;
		if (due_us <= house_now_us(q->house))
			wake(q);
	}
}

int64_t
schedule_next_due_us(const struct queue *q)
{
	int64_t next = INT64_MAX;

	for (int i = 0; i < LANES; i++)
		next = q->lanes[i].next_due_us < next ? q->lanes[i].next_due_us : next;
	return next;
}

bool
schedule_backlog(const struct queue *q)
{
	for (int i = 0; i < LANES; i++)
		if (q->lanes[i].backlog)
			return true;
	return false;
}

void
queue_wake(struct queue *q)
{
	wake(q);
}

void
schedule_room(struct queue *q)
{
	size_t max = (size_t)q->house->limits.queue_window;

	for (int i = 0; i < LANES; i++) {
		size_t roomy[LANES];

		if (!q->lanes[i].backlog)
			continue;
		/* Not for one place: for a good part of what the lane may have. */
		for (int k = 0; k < LANES; k++)
			roomy[k] = q->lane_held[k] + (k == i ? max / 16 : 0);
		if (!lane_has_room(roomy, (enum lane)i, max) && q->lane_held[i] > max / 64)
			continue;
		q->lanes[i].backlog = false;
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
	enum lane lane;
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
		    .lane = sql_col_int(r, 11),
		    .tell = sql_col_int(r, 12),
		    .return_path_set = !sql_col_null(r, 13),
		    .return_path = arena_copy(a, sql_col_bytes(r, 13)),
		    .route = arena_copy(a, sql_col_bytes(r, 14)),
		},
	    .m =
		{
		    .id = arena_copy(a, sql_col_bytes(r, 15)),
		    .origin = sql_col_int(r, 16),
		    .reverse_path = arena_copy(a, sql_col_bytes(r, 17)),
		    .envelope = arena_copy(a, sql_col_bytes(r, 18)),
		    .received_us = sql_col_int(r, 19),
		    .size_bytes = sql_col_int(r, 20),
		    .warned = sql_col_int(r, 21),
		    .message_id = arena_copy(a, sql_col_bytes(r, 22)),
		    .junk = sql_col_int(r, 23) != 0,
		    .forged = sql_col_int(r, 24) != 0,
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
	err = SQL_QUERY(tx, &r, &queue_sql_due_after, SQLI(p->cursor_us), SQLB(p->cursor_id), SQLI(p->now_us),
	    SQLI(PAGE_ROWS), SQLI(p->lane));
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
	err = SQL_QUERY(tx, &r, &queue_sql_due_next, SQLI(p->now_us), SQLI(p->lane));
	if (err == 0)
		err = sql_next(&r);
	if (err == 1)
		p->next_due_us = sql_col_int(&r, 0);
	return err < 0 ? err : 0;
}

/* ---- putting off ------------------------------------------------------------------------------------- */

struct postponed {
	uint8_t delivery_id[DELIVERY_ID_LEN];
	int64_t due_us, was_due_us;
	enum lane lane, was_lane;
};
struct postpone {
	struct postponed v[PAGE_ROWS];
	size_t n;
};

static int
write_postponed(struct sqltx *tx, void *arg)
{
	struct postpone *p = arg;
	int err = 0;

	for (size_t i = 0; err == 0 && i < p->n; i++)
		err = SQL_EXEC(tx, &queue_sql_recipient_postpone, SQLB(slice_of(p->v[i].delivery_id, DELIVERY_ID_LEN)),
		    SQLI(p->v[i].due_us), SQLI(p->v[i].lane));
	return err;
}

static int
postpone_flush(struct queue *q, struct postpone *p)
{
	int err = p->n == 0 ? 0 : sql_write(q->db, write_postponed, p);

	if (err == 0)
		q->counters.postponed += (int64_t)p->n;
	for (size_t i = 0; i < p->n; i++) {
		schedule_due(q, p->v[i].lane, p->v[i].due_us);
		if (err != 0)
			schedule_due(q, p->v[i].was_lane, p->v[i].was_due_us);
	}
	p->n = 0;
	return err;
}

/* The destination has its part of the window, or cannot be asked: this recipient waits until it is likely to be its turn. */
static void
postpone(struct queue *q, struct postpone *p, struct destination *d, const uint8_t id[DELIVERY_ID_LEN], enum lane lane,
    int64_t due_us)
{
	int64_t now_us = house_now_us(q->house), rate, rate_min, from_us = now_us + POSTPONE_US_MIN, until_us;
	bool closed = site_closed(q, d, &until_us), wait = closed || warmup_closed(q, d->site, lane, &until_us);

	if (p->n == PAGE_ROWS)
		return;
	rate = d->rate * 3 / 2;
	rate_min = (int64_t)window_share(q, d) / POSTPONE_SHARE_S + 1;
	if (rate < rate_min)
		rate = rate_min;
	/* Not for longer than this at a time: its end, and its sender's warning, may come before. */
	if (wait && until_us > from_us)
		from_us = until_us < now_us + POSTPONE_US_MAX ? until_us : now_us + POSTPONE_US_MAX;
	if (d->slot_us < from_us)
		d->slot_us = from_us;
	d->slot_us += 1000000 / rate;
	if (d->slot_us > from_us + POSTPONE_US_MAX)
		d->slot_us = from_us + POSTPONE_US_MAX;
	p->v[p->n] = (struct postponed){
	    .due_us = d->slot_us, .was_due_us = due_us, .lane = closed ? LANE_SLOW : lane, .was_lane = lane};
	memcpy(p->v[p->n++].delivery_id, id, DELIVERY_ID_LEN);
}

/* What is ready for a site that is paused or suspended goes back to the database. */
static int
evict_job(struct queue *q, struct postpone *later, struct destination *d, struct job *j)
{
	struct list_node *n;
	int err = 0;

	while ((n = list_first(&j->rcpts)) != NULL) {
		struct window_rcpt *r = CONTAINER_OF(n, struct window_rcpt, node);

		postpone(q, later, d, r->delivery_id, r->lane, r->due_us);
		window_rcpt_remove(q, r);
		if (later->n == PAGE_ROWS && err == 0)
			err = postpone_flush(q, later);
	}
	window_message_unref(q, j->message);
	free(j);
	return err;
}

static int
evict_site(struct queue *q, struct postpone *later, struct site *s)
{
	int64_t until_us;
	int err = 0;

	s->evict = false;
	for (int lane = 0; lane < LANES; lane++) {
		size_t left = s->ready[lane];
		struct list_node *n;

		while (err == 0 && left-- > 0 && (n = list_first(&s->runnable[lane])) != NULL) {
			struct destination *d = CONTAINER_OF(n, struct destination, runnable[lane]);
			struct job *j;

			if (!site_closed(q, d, &until_us) && !warmup_closed(q, s, (enum lane)lane, &until_us)) {
				/* Another domain of the site. */
				list_remove(n);
				list_push(&s->runnable[lane], n);
				continue;
			}
			j = window_job_take(d, (enum lane)lane);
			if (j == NULL)
				break;
			d->held++; /* stays while we work on it */
			err = evict_job(q, later, d, j);
			d->held--;
			window_destination_release(q, d);
			if (q->stopping)
				return ERR_CANCELLED;
		}
	}
	return err;
}

static void
evict_sites(struct queue *q)
{
	struct postpone *later = NULL;
	bool again = true;
	int err = 0;

	while (again && err == 0) {
		again = false;
		/* Eviction parks: the list is begun anew after each. */
		LIST_FOREACH (&q->sites_all, n) {
			struct site *s = CONTAINER_OF(n, struct site, all);

			if (!s->evict)
				continue;
			later = later != NULL ? later : calloc(1, sizeof(*later));
			if (later == NULL)
				return;
			s->domains++; /* stays while we work on it */
			err = evict_site(q, later, s);
			s->domains--;
			again = true;
			break;
		}
	}
	if (later != NULL && err != ERR_CANCELLED)
		err = postpone_flush(q, later);
	free(later);
	if (err != 0 && err != ERR_CANCELLED)
		LOG(q->house, ERROR, "queue_write_failed", LOG_E(err));
}

/* ---- pages ----------------------------------------------------------------------------------------------- */

/* Takes the rows of a page. False: the lane has its part of the window. */
static bool
take_page(struct queue *q, struct page *p, struct postpone *later)
{
	struct lane_place *at = &q->lanes[p->lane];

	for (size_t i = 0; i < p->n; i++) {
		struct due_row *d = &p->v[i];
		struct slice id = slice_of(d->r.delivery_id, DELIVERY_ID_LEN);
		bool put_off = false;

		if (window_rcpt_find(q, id) == NULL && map_get(&q->gone, id) == NULL &&
		    map_get(&q->acting, id) == NULL) {
			struct window_message *m = window_message_get(q, &d->m);
			struct window_rcpt *r = m == NULL ? NULL : window_rcpt_add(q, m, &d->r, &put_off);
			struct destination *to = put_off ? window_destination(q, &d->r) : NULL;

			if (r != NULL)
				window_rcpt_ready(q, r);
			if (m != NULL)
				window_message_unref(q, m);
			if (r == NULL && to == NULL)
				return false;
			if (r == NULL)
				postpone(q, later, to, d->r.delivery_id, p->lane, d->r.due_us);
		}
		at->cursor_us = d->r.due_us;
		memcpy(at->cursor_id, d->r.delivery_id, DELIVERY_ID_LEN);
	}
	return true;
}

static int
fill_page(struct queue *q, enum lane lane, struct arena *a, struct postpone *later, bool *more)
{
	struct lane_place *at = &q->lanes[lane];
	uint8_t cursor_id[DELIVERY_ID_LEN];
	struct page p = {.arena = a, .lane = lane, .cursor_us = at->cursor_us, .now_us = house_now_us(q->house)};
	int err, err_later;
	bool room;

	*more = false;
	memcpy(cursor_id, at->cursor_id, sizeof(cursor_id));
	p.cursor_id = slice_of(cursor_id, sizeof(cursor_id));
	q->filling = true;
	q->filling_lane = lane;
	q->fill_stale = false;
	err = sql_read(q->db, read_page, &p);
	q->filling = false;
	later->n = 0;
	if (err == 0 && q->fill_stale) {
		*more = true;
	} else if (err == 0) {
		room = take_page(q, &p, later);
		at->backlog = !room;
		if (room && p.last) {
			at->cursor_us = p.now_us > at->cursor_us ? p.now_us : at->cursor_us;
			memset(at->cursor_id, 0xff, sizeof(at->cursor_id));
			at->next_due_us = p.next_due_us;
		}
		*more = room && !p.last;
	}
	map_free(&q->gone);
	map_init(&q->gone, SIZE_MAX, house_random_u64(q->house));
	err_later = postpone_flush(q, later);
	return err != 0 ? err : err_later;
}

static void
fill(struct queue *q)
{
	struct arena a ARENA_CLEANUP;
	struct postpone *later;
	bool more = true;
	int64_t end_ms = house_mono_ms(q->house) + FILL_MS_MAX;
	int err = 0;

	if (schedule_next_due_us(q) > house_now_us(q->house))
		return;
	later = calloc(1, sizeof(*later));
	if (later == NULL)
		return;
	arena_init(&a, PAGE_ARENA_BYTES);
	/* A page of each lane in turn: what is urgent never waits for a long lane. */
	while (err == 0 && more && !q->stopping) {
		if (house_mono_ms(q->house) > end_ms) {
			q->woken = true;
			break;
		}
		more = false;
		for (int i = 0; err == 0 && i < LANES && !q->stopping; i++) {
			bool lane_more = false;

			if (q->lanes[i].next_due_us > house_now_us(q->house) || q->lanes[i].backlog)
				continue;
			err = fill_page(q, (enum lane)i, &a, later, &lane_more);
			more = more || lane_more;
			schedule_dispatch(q);
		}
	}
	free(later);
	if (err != 0 && err != ERR_CANCELLED)
		LOG(q->house, ERROR, "queue_read_failed", LOG_E(err));
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
		if (window_has_ready(d) && d->not_before_ms <= house_mono_ms(q->house))
			window_make_runnable(q, d);
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
		evict_sites(q);
		fill(q);
		now_ms = house_mono_ms(q->house);
		if (now_ms - reckoned_ms >= TICK_MS) {
			redeliver_overdue(q);
			reckon_destinations(q, now_ms - reckoned_ms);
			site_tick(q);
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
