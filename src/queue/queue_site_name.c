/* queue_site_name.c: which site takes a domain's mail, as far as the courier has told: in memory for the domains used last
 * (limits.queue_sites), in queue.db for the next start. It is knowledge that DNS can give again: written now and
 * then, and lost without harm. */
#include "queue/queue_private.h"

#define FLUSH_MAX 500
#define FLUSH_MS 5000
#define FRESH_US (24 * 3600 * INT64_C(1000000)) /* a name that is used is written again once a day */

struct site_name {
	struct list_node node;
	struct slice domain, site;
	int64_t seen_us;
	bool dirty;
};

static void
name_drop(struct queue *q, struct site_name *n)
{
	map_remove(&q->site_names, n->domain);
	list_remove(&n->node);
	free(n);
}

static struct site_name *
name_put(struct queue *q, struct slice domain, struct slice site, int64_t seen_us, bool dirty)
{
	struct site_name *n = map_get(&q->site_names, domain);
	uint8_t *p;

	if (n != NULL)
		name_drop(q, n);
	while (q->site_names.n >= (size_t)q->house->limits.queue_sites && !list_empty(&q->site_names_list))
		name_drop(q, CONTAINER_OF(list_first(&q->site_names_list), struct site_name, node));
	n = calloc(1, sizeof(*n) + domain.n + site.n + 1);
	if (n == NULL)
		return NULL;
	p = (uint8_t *)(n + 1);
	if (domain.n > 0)
		memcpy(p, domain.p, domain.n);
	if (site.n > 0)
		memcpy(p + domain.n, site.p, site.n);
	n->domain = slice_of(p, domain.n);
	n->site = slice_of(p + domain.n, site.n);
	n->seen_us = seen_us;
	n->dirty = dirty;
	if (map_put(&q->site_names, n->domain, n) != 0) {
		free(n);
		return NULL;
	}
	list_push(&q->site_names_list, &n->node);
	return n;
}

struct slice
site_name_of(struct queue *q, struct slice domain)
{
	struct site_name *n = map_get(&q->site_names, domain);
	int64_t now_us = house_now_us(q->house);

	if (n == NULL)
		return domain;
	list_remove(&n->node);
	list_push(&q->site_names_list, &n->node);
	if (now_us - n->seen_us > FRESH_US) {
		n->seen_us = now_us;
		n->dirty = true;
		q->site_names_dirty = true;
	}
	return n->site;
}

void
site_name_remember(struct queue *q, struct slice domain, struct slice site)
{
	if (slice_is_utf8(site, true) && slice_is_utf8(domain, true) &&
	    name_put(q, domain, site, house_now_us(q->house), true) != NULL)
		q->site_names_dirty = true;
}

int
site_name_domains(struct queue *q, struct slice site, struct map *out)
{
	int err = 0;

	LIST_FOREACH (&q->site_names_list, node) {
		const struct site_name *n = CONTAINER_OF(node, struct site_name, node);

		if (err == 0 && slice_ieq(n->site, site))
			err = map_put(out, n->domain, q);
	}
	return err;
}

/* ---- in the database ------------------------------------------------------------------------------------ */

struct flush {
	struct slice domains[FLUSH_MAX], sites[FLUSH_MAX];
	int64_t seen_us[FLUSH_MAX];
	size_t n;
};

static int
write_names(struct sqltx *tx, void *arg)
{
	const struct flush *f = arg;
	int err = 0;

	for (size_t i = 0; err == 0 && i < f->n; i++)
		err = SQL_EXEC(tx, &queue_sql_site_put, SQLT(f->domains[i]), SQLT(f->sites[i]), SQLI(f->seen_us[i]));
	return err;
}

/* Copies: while they are written, names may go. */
void
site_names_flush(struct queue *q, bool now)
{
	struct arena a ARENA_CLEANUP;
	int64_t now_ms = house_mono_ms(q->house);
	struct flush *f;

	arena_init(&a, sizeof(*f) + FLUSH_MAX * 1024 + 4096);
	if (!q->site_names_dirty || (!now && now_ms - q->site_names_flushed_ms < FLUSH_MS))
		return;
	f = ARENA_NEW(&a, struct flush);
	if (f == NULL)
		return;
	LIST_FOREACH (&q->site_names_list, node) {
		struct site_name *n = CONTAINER_OF(node, struct site_name, node);

		if (!n->dirty || f->n == FLUSH_MAX)
			continue;
		n->dirty = false;
		f->domains[f->n] = arena_copy(&a, n->domain);
		f->sites[f->n] = arena_copy(&a, n->site);
		f->seen_us[f->n++] = n->seen_us;
	}
	q->site_names_dirty = f->n == FLUSH_MAX;
	q->site_names_flushed_ms = now_ms;
	if (f->n > 0 && !arena_failed(&a) && sql_write(q->db, write_names, f) != 0)
		LOG(q->house, WARN, "sites_not_written", LOG_I("domains", f->n));
}

static int
read_names(struct sqltx *tx, void *arg)
{
	struct queue *q = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &queue_sql_site_all, SQLI(q->house->limits.queue_sites));

	while (err == 0 && (err = sql_next(&r)) == 1) {
		struct site_name *n = name_put(
		    q, sql_col_bytes(&r, 0), sql_col_bytes(&r, 1), sql_col_int(&r, 2), false);

		/* They come newest first. */
		if (n != NULL) {
			list_remove(&n->node);
			list_push_front(&q->site_names_list, &n->node);
		}
		err = 0;
	}
	return err;
}

int
site_names_load(struct queue *q)
{
	return sql_read(q->db, read_names, q);
}

void
site_names_free(struct queue *q)
{
	LIST_FOREACH (&q->site_names_list, n)
		name_drop(q, CONTAINER_OF(n, struct site_name, node));
	map_free(&q->site_names);
}
