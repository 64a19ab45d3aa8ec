/* queue_suppress.c: addresses elsewhere that get no mail from accounts of this house: the operator put them there, or their servers
 * have said limits.suppress_after times in a row that there is no such mailbox. Sending on to these costs the house
 * its good name. A delivery that succeeds clears the count. Mail for mailboxes here is never touched by it.
 *
 * The table is in queue.db; the suppressed addresses are in memory too, so that acceptance asks no database. */
#include "queue/queue_tell.h"

#define REASON_MAX 500
#define PAGE_ROWS 200

bool
suppress_is(struct queue *q, struct slice address)
{
	struct arena a ARENA_CLEANUP;

	if (q->suppressed.n == 0)
		return false;
	arena_init(&a, 65536);
	return map_get(&q->suppressed, address_key(&a, address)) != NULL;
}

void
suppress_enter(struct queue *q, struct slice address)
{
	struct arena a ARENA_CLEANUP;

	arena_init(&a, 65536);
	if (map_put(&q->suppressed, address_key(&a, address), q) != 0)
		LOG(q->house, WARN, "suppression_full", LOG_S("address", address),
		    LOG_Z("do", "raise [limits] suppressed_addresses, or remove what is old"));
}

int
suppress_failed(
    struct sqltx *tx, const struct limits *l, struct slice address, struct slice reason, int64_t now_us, bool *now)
{
	struct arena a ARENA_CLEANUP;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err;

	*now = false;
	if (l->suppress_after <= 0)
		return 0;
	arena_init(&a, 65536);
	err = SQL_QUERY(tx, &r, &queue_sql_suppression_count, SQLB(address_key(&a, address)), SQLI(now_us),
	    SQLT(text_clean(&a, reason, REASON_MAX)), SQLI(l->suppress_after));
	if (err == 0)
		err = sql_next(&r);
	if (err == 1)
		*now = sql_col_int(&r, 0) == 1;
	return err < 0 ? err : 0;
}

int
suppress_worked(struct sqltx *tx, struct slice address)
{
	struct arena a ARENA_CLEANUP;

	arena_init(&a, 65536);
	return SQL_EXEC(tx, &queue_sql_suppression_clear, SQLB(address_key(&a, address)));
}

/* ---- who submits ----------------------------------------------------------------------------------- */

struct get {
	struct arena *arena;
	struct slice address, reason;
	bool by_hand;
};

static int
read_reason(struct sqltx *tx, void *arg)
{
	struct get *g = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &queue_sql_suppression_get, SQLB(g->address));

	if (err == 0)
		err = sql_next(&r);
	if (err != 1)
		return err;
	g->by_hand = sql_col_int(&r, 0) != 0;
	g->reason = text_clean(g->arena, sql_col_bytes(&r, 1), REASON_MAX);
	return 0;
}

bool
queue_suppressed(struct queue *q, struct slice address, struct arena *a, struct slice *why)
{
	struct get g = {.arena = a, .address = address_key(a, address)};

	if (!suppress_is(q, address))
		return false;
	if (sql_read(q->db, read_reason, &g) != 0 || g.reason.n == 0)
		g.reason = SLICE("the reason cannot be read");
	*why = arena_printf(a,
	    "This address is on the list of suppressed addresses of this house, %s: \"%.*s\". If it is good, the "
	    "postmaster "
	    "takes it from the list (posthouse queue suppress remove)",
	    g.by_hand ? "where the postmaster put it" : "because its server has refused it for good again and again",
	    SLICE_ARG(g.reason));
	return true;
}

/* ---- the operator ----------------------------------------------------------------------------------- */

struct change {
	struct slice address, reason;
	int64_t now_us, changed;
};

static int
write_add(struct sqltx *tx, void *arg)
{
	const struct change *c = arg;

	return SQL_EXEC(tx, &queue_sql_suppression_put, SQLB(c->address), SQLI(c->now_us), SQLT(c->reason));
}

int
queue_suppress_add(struct queue *q, struct slice address, struct slice reason)
{
	struct arena a ARENA_CLEANUP;
	struct change c = {.now_us = house_now_us(q->house)};
	int err;

	arena_init(&a, 65536);
	if (address.n > 1000 || slice_find_byte(address, '@') == SLICE_NONE || slice_at(address, 0) == '@')
		return ERR_INVALID;
	if (q->suppressed.n >= (size_t)q->house->limits.suppressed_addresses)
		return ERR_LIMIT;
	c.address = address_key(&a, address);
	c.reason = text_clean(&a, reason.n > 0 ? reason : SLICE("put there by the postmaster"), REASON_MAX);
	err = sql_write(q->db, write_add, &c);
	if (err == 0)
		suppress_enter(q, address);
	return err;
}

static int
write_remove(struct sqltx *tx, void *arg)
{
	struct change *c = arg;
	int err = SQL_EXEC(tx, &queue_sql_suppression_delete, SQLB(c->address));

	c->changed = err == 0 ? sql_changes(tx) : 0;
	return err;
}

int
queue_suppress_remove(struct queue *q, struct slice address)
{
	struct arena a ARENA_CLEANUP;
	struct change c = {0};
	int err;

	arena_init(&a, 65536);
	c.address = address_key(&a, address);
	err = sql_write(q->db, write_remove, &c);
	if (err == 0)
		(void)map_remove(&q->suppressed, c.address);
	return err != 0 ? err : c.changed == 0 ? ERR_NOTFOUND : 0;
}

struct page {
	struct arena *arena;
	struct slice after;
	json_t *rows;
	struct slice last;
};

static int
read_page(struct sqltx *tx, void *arg)
{
	struct page *p = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &queue_sql_suppression_after, SQLB(p->after), SQLI(PAGE_ROWS));

	json_array_clear(p->rows);
	while (err == 0 && (err = sql_next(&r)) == 1) {
		json_t *o = json_object();

		p->last = arena_copy(p->arena, sql_col_bytes(&r, 0));
		json_set_text(o, "address", p->arena, p->last);
		json_object_set_new(o, "by", json_string(sql_col_int(&r, 1) != 0 ? "operator" : "failures"));
		json_object_set_new(o, "failures", json_integer(sql_col_int(&r, 2)));
		json_set_time(o, "since", sql_col_int(&r, 3));
		json_set_text(o, "reason", p->arena, sql_col_bytes(&r, 4));
		json_array_append_new(p->rows, o);
		err = 0;
	}
	return err;
}

int
queue_suppress_list(struct queue *q, queue_row_fn *fn, void *ctx)
{
	struct slice after = SLICE_EMPTY;
	uint8_t key[1024];
	size_t n = PAGE_ROWS;
	int err = 0;

	while (err == 0 && n == PAGE_ROWS) {
		struct arena a ARENA_CLEANUP;
		struct page p = {.arena = &a, .after = after, .rows = json_array()};

		arena_init(&a, 4u << 20);
		err = sql_read(q->db, read_page, &p);
		n = json_array_size(p.rows);
		for (size_t i = 0; err == 0 && i < n; i++)
			err = fn(ctx, json_array_get(p.rows, i));
		json_decref(p.rows);
		p.last = slice_head(p.last, sizeof(key));
		if (p.last.n > 0)
			memcpy(key, p.last.p, p.last.n);
		after = slice_of(key, p.last.n);
	}
	return err;
}

static int
read_all(struct sqltx *tx, void *arg)
{
	struct queue *q = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &queue_sql_suppression_all, SQLI(q->house->limits.suppressed_addresses));

	while (err == 0 && (err = sql_next(&r)) == 1)
		err = map_put(&q->suppressed, sql_col_bytes(&r, 0), q);
	return err;
}

int
suppress_load(struct queue *q)
{
	return sql_read(q->db, read_all, q);
}

void
suppress_free(struct queue *q)
{
	map_free(&q->suppressed);
}
