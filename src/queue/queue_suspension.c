/* queue_suspension.c: domains and sites to which the operator sends nothing for now. In queue.db, and all of them in memory
 * (limits.queue_suspensions). What waits for one is put off, an hour at most at a time; its time and the
 * sender's warning go on. */
#include "queue/queue_tell.h"

#define LOOK_AGAIN_US (3600 * INT64_C(1000000))

struct suspension {
	int64_t until_us; /* 0: until it is resumed */
	int64_t made_us;
};

static const struct suspension *
find(struct queue *q, struct slice name)
{
	const struct suspension *s = map_get(&q->suspensions, name);

	return s != NULL && (s->until_us == 0 || s->until_us > house_now_us(q->house)) ? s : NULL;
}

bool
queue_suspended(struct queue *q, struct slice name)
{
	return q->suspensions.n > 0 && find(q, name) != NULL;
}

int64_t
queue_suspended_until_us(struct queue *q, struct destination *d)
{
	const struct suspension *s = find(q, d->domain);
	int64_t most = house_now_us(q->house) + LOOK_AGAIN_US;

	if (s == NULL)
		s = find(q, d->site->key);
	if (s == NULL) {
		d->suspended = false;
		return 0;
	}
	return s->until_us == 0 || s->until_us > most ? most : s->until_us;
}

static int
put(struct queue *q, struct slice name, int64_t until_us, int64_t made_us)
{
	struct suspension *s = map_get(&q->suspensions, name);

	if (s == NULL) {
		s = calloc(1, sizeof(*s));
		if (s == NULL || map_put(&q->suspensions, name, s) != 0) {
			free(s);
			return s == NULL ? ERR_NOMEM : ERR_LIMIT;
		}
	}
	s->until_us = until_us;
	s->made_us = made_us;
	return 0;
}

static void
destinations_look_again(struct queue *q)
{
	LIST_FOREACH (&q->destinations_all, n) {
		struct destination *d = CONTAINER_OF(n, struct destination, all);

		if (d->site == NULL)
			continue;
		d->suspended = queue_suspended(q, d->domain) || queue_suspended(q, d->site->key);
		d->site->evict = d->site->evict || d->suspended;
		if (!d->suspended)
			d->slot_us = 0;
	}
	queue_wake(q);
}

struct write {
	struct slice name;
	int64_t until_us, made_us, changed;
};

static int
write_suspension(struct sqltx *tx, void *arg)
{
	const struct write *w = arg;

	return SQL_EXEC(tx, &queue_sql_suspension_put, SQLT(w->name), SQLI(w->until_us), SQLI(w->made_us));
}

int
queue_suspend(struct queue *q, struct slice name, int64_t until_us)
{
	struct arena a ARENA_CLEANUP;
	struct write w = {.until_us = until_us, .made_us = house_now_us(q->house)};
	int err;

	arena_init(&a, 65536);
	w.name = address_key(&a, name);
	if (name.n == 0 || name.n > 300 || !slice_is_utf8(name, true))
		return ERR_INVALID;
	if (map_get(&q->suspensions, w.name) == NULL && q->suspensions.n >= (size_t)q->house->limits.queue_suspensions)
		return ERR_LIMIT;
	err = sql_write(q->db, write_suspension, &w);
	if (err == 0)
		err = put(q, w.name, until_us, w.made_us);
	destinations_look_again(q);
	return err;
}

static int
delete_suspension(struct sqltx *tx, void *arg)
{
	struct write *w = arg;
	int err = SQL_EXEC(tx, &queue_sql_suspension_delete, SQLT(w->name));

	w->changed = err == 0 ? sql_changes(tx) : 0;
	return err;
}

int
queue_resume(struct queue *q, struct slice name, int64_t *recipients)
{
	struct arena a ARENA_CLEANUP;
	struct write w = {0};
	struct queue_filter f = {0};
	struct queue_acted acted = {0};
	struct map domains;
	int err;

	*recipients = 0;
	arena_init(&a, 65536);
	w.name = address_key(&a, name);
	err = sql_write(q->db, delete_suspension, &w);
	if (err != 0)
		return err;
	if (w.changed == 0)
		return ERR_NOTFOUND;
	free(map_remove(&q->suspensions, w.name));
	destinations_look_again(q);
	/* What was put off need not wait: at the domain, or at those whose mail the site takes. */
	map_init(&domains, SIZE_MAX, house_random_u64(q->house));
	err = map_put(&domains, w.name, q);
	if (err == 0)
		err = site_name_domains(q, w.name, &domains);
	f.domains = &domains;
	if (err == 0)
		err = queue_act(q, &f, QUEUE_RETRY, &acted);
	map_free(&domains);
	*recipients = acted.changed;
	return err;
}

int
queue_suspensions(struct queue *q, queue_row_fn *fn, void *ctx)
{
	struct arena a ARENA_CLEANUP;
	json_t *rows = json_array();
	struct slice key;
	size_t at = 0;
	void *v;
	int err = 0;

	arena_init(&a, 8u << 20);
	/* The rows first: fn may park. */
	while (map_next(&q->suspensions, &at, &key, &v)) {
		const struct suspension *s = v;
		json_t *o = json_object();

		json_set_text(o, "name", &a, key);
		json_set_time(o, "since", s->made_us);
		json_set_time(o, "until", s->until_us);
		json_object_set_new(
		    o, "active", json_boolean(s->until_us == 0 || s->until_us > house_now_us(q->house)));
		json_array_append_new(rows, o);
	}
	for (size_t i = 0; err == 0 && i < json_array_size(rows); i++)
		err = fn(ctx, json_array_get(rows, i));
	json_decref(rows);
	return err;
}

static int
read_suspensions(struct sqltx *tx, void *arg)
{
	struct queue *q = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &queue_sql_suspension_all, SQLI(q->house->limits.queue_suspensions));

	while (err == 0 && (err = sql_next(&r)) == 1)
		err = put(q, sql_col_bytes(&r, 0), sql_col_int(&r, 1), sql_col_int(&r, 2));
	return err;
}

int
suspension_load(struct queue *q)
{
	return sql_read(q->db, read_suspensions, q);
}

void
suspension_free(struct queue *q)
{
	struct slice key;
	size_t at = 0;
	void *v;

	while (map_next(&q->suspensions, &at, &key, &v))
		free(v);
	map_free(&q->suspensions);
}
