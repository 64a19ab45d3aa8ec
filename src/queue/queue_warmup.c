/* queue_warmup.c: addresses that others do not know yet are warmed up: a site gets few recipients on the first day, and each day a
 * little more than on the best one before, until it takes enough (struct queue_ops, warmup). What is over a day's share waits for
 * the next day (of UTC, by the house's clock). Bulk mail gets no more than three quarters of a share, so that persons' mail goes first.
 *
 * Counted is what is under way and what was taken. The volumes are in memory, and in queue.db for the next start: written every few
 * seconds, so that a crash forgets a few recipients at most. */
#include "queue/queue_tell.h"

#define DAY_US (86400 * INT64_C(1000000))
#define FLUSH_MS 5000
#define FLUSH_MAX 500
#define KEEP_DAYS 60 /* then a site does not know us any more */
#define SHARE_MAX INT64_C(1000000000)

const struct slice warmup_words = SLICE_INIT(
    "waits for tomorrow's share of its site while the house's address is warmed up");

struct volume {
	int64_t day, sent, best;
	bool dirty;
};

struct plan {
	int64_t start, growth, target;
};

static bool
is_on(const struct queue *q, struct plan *p)
{
	*p = (struct plan){0};
	if (q->c.ops.warmup != NULL)
		q->c.ops.warmup(q->c.ops.ctx, &p->start, &p->growth, &p->target);
	return p->start > 0;
}

static int64_t
today(const struct queue *q)
{
	return house_now_us(q->house) / DAY_US;
}

static struct volume *
put(struct queue *q, struct slice site, const struct volume *from)
{
	struct volume *v;

	/* What is too many shares one volume. */
	if (q->warmth.n >= (size_t)q->house->limits.queue_sites)
		site = SLICE_EMPTY;
	v = map_get(&q->warmth, site);
	if (v != NULL)
		return v;
	v = malloc(sizeof(*v));
	if (v == NULL)
		return NULL;
	*v = *from;
	if (map_put(&q->warmth, site, v) != 0) {
		free(v);
		return NULL;
	}
	return v;
}

/* The site's, as of today; NULL: it has none yet. */
static struct volume *
find(struct queue *q, struct slice site)
{
	struct volume *v = map_get(&q->warmth, site);
	int64_t day = today(q);

	if (v == NULL && q->warmth.n >= (size_t)q->house->limits.queue_sites)
		v = map_get(&q->warmth, SLICE_EMPTY);
	if (v != NULL && day > v->day) {
		v->best = day - v->day > KEEP_DAYS ? 0 : v->sent > v->best ? v->sent : v->best;
		v->sent = 0;
		v->day = day;
	}
	return v;
}

/* -1: any number. */
static int64_t
share(const struct plan *p, const struct volume *v)
{
	int64_t best = v != NULL ? v->best : 0, growth = p->growth > 1000 ? 1000 : p->growth, more;

	if (best >= p->target || best >= SHARE_MAX)
		return -1;
	more = best + (best * growth + 99) / 100;
	return more > p->start ? more : p->start;
}

bool
warmup_closed(struct queue *q, const struct site *s, enum lane lane, int64_t *until_us)
{
	struct plan p;
	const struct volume *v;
	int64_t most;

	if (s == NULL || !is_on(q, &p))
		return false;
	v = find(q, s->key);
	most = share(&p, v);
	if (most > 1 && (lane == LANE_BULK || lane == LANE_SLOW))
		most = most * 3 / 4;
	if (v == NULL || most < 0 || v->sent < most)
		return false;
	*until_us = (today(q) + 1) * DAY_US;
	return true;
}

void
warmup_count(struct queue *q, struct site *s, int64_t recipients)
{
	struct volume *v, fresh = {.day = today(q)};
	struct plan p;
	int64_t until_us;

	if (recipients == 0 || !is_on(q, &p))
		return;
	v = find(q, s->key);
	if (v == NULL)
		v = put(q, s->key, &fresh);
	if (v == NULL)
		return;
	v->sent = v->sent + recipients < 0 ? 0 : v->sent + recipients;
	v->dirty = q->warmth_dirty = true;
	/* What is ready and has to wait goes back to the database. */
	for (int i = 0; i < LANES && !s->evict; i++)
		if (s->ready[i] > 0 && warmup_closed(q, s, (enum lane)i, &until_us)) {
			s->evict = true;
			queue_wake(q);
		}
}

void
warmup_tell(struct queue *q, const struct site *s, json_t *into)
{
	struct plan p;
	const struct volume *v;
	int64_t most;

	if (!is_on(q, &p))
		return;
	v = find(q, s->key);
	most = share(&p, v);
	json_object_set_new(into, "sent_today", json_integer(v != NULL ? v->sent : 0));
	if (most >= 0)
		json_object_set_new(into, "share_today", json_integer(most));
}

/* ---- in the database -------------------------------------------------------------------------------------- */

struct flush {
	struct slice sites[FLUSH_MAX];
	struct volume v[FLUSH_MAX];
	size_t n;
	int64_t before_day;
};

static int
write_volumes(struct sqltx *tx, void *arg)
{
	const struct flush *f = arg;
	int err = SQL_EXEC(tx, &queue_sql_prune_volumes, SQLI(f->before_day));

	for (size_t i = 0; err == 0 && i < f->n; i++)
		err = SQL_EXEC(tx, &queue_sql_volume_put, SQLT(f->sites[i]), SQLI(f->v[i].day), SQLI(f->v[i].sent),
		    SQLI(f->v[i].best));
	return err;
}

void
warmup_flush(struct queue *q, bool now)
{
	struct arena a ARENA_CLEANUP;
	int64_t now_ms = house_mono_ms(q->house);
	struct flush *f;
	struct slice key;
	size_t at = 0;
	void *entry;

	arena_init(&a, sizeof(*f) + FLUSH_MAX * 1024 + 4096);
	if (!q->warmth_dirty || (!now && now_ms - q->warmth_flushed_ms < FLUSH_MS))
		return;
	f = ARENA_NEW(&a, struct flush);
	if (f == NULL)
		return;
	f->before_day = today(q) - KEEP_DAYS;
	while (f->n < FLUSH_MAX && map_next(&q->warmth, &at, &key, &entry)) {
		struct volume *v = entry;

		if (!v->dirty)
			continue;
		v->dirty = false;
		/* Copies: while they are written, the map may change. */
		f->sites[f->n] = arena_copy(&a, key);
		f->v[f->n++] = *v;
	}
	q->warmth_dirty = f->n == FLUSH_MAX;
	q->warmth_flushed_ms = now_ms;
	if (f->n > 0 && !arena_failed(&a) && sql_write(q->db, write_volumes, f) != 0)
		LOG(q->house, WARN, "volumes_not_written", LOG_I("sites", f->n));
}

static int
read_volumes(struct sqltx *tx, void *arg)
{
	struct queue *q = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &queue_sql_volume_all, SQLI(q->house->limits.queue_sites));

	while (err == 0 && (err = sql_next(&r)) == 1) {
		struct volume v = {.day = sql_col_int(&r, 1), .sent = sql_col_int(&r, 2), .best = sql_col_int(&r, 3)};

		err = put(q, sql_col_bytes(&r, 0), &v) == NULL ? ERR_NOMEM : 0;
	}
	return err;
}

int
warmup_load(struct queue *q)
{
	return sql_read(q->db, read_volumes, q);
}

void
warmup_free(struct queue *q)
{
	struct slice key;
	size_t at = 0;
	void *v;

	while (map_next(&q->warmth, &at, &key, &v))
		free(v);
	map_free(&q->warmth);
}
