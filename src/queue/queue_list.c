/* queue_list.c: what the operator sees. Messages are walked by their ids, a page at a time, so that a queue of
 * any length is listed in constant memory. What is under way at the moment is known from the window. */
#include "queue/queue_list.h"

#define PAGE_IDS 50
/* Of one message in a row, which has to stay a readable line. */
#define LIST_RCPTS_MAX 100
#define SHOW_RCPTS_MAX 2000

struct ids {
	char after[ULID_LEN + 1];
	char v[PAGE_IDS][ULID_LEN + 1];
	size_t n;
};

static int
read_ids(struct sqltx *tx, void *arg)
{
	struct ids *p = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &queue_sql_content_after, SQLT(slice_z(p->after)), SQLI(PAGE_IDS));

	p->n = 0;
	while (err == 0 && (err = sql_next(&r)) == 1)
		err = slice_to_z(sql_col_bytes(&r, 0), p->v[p->n++], ULID_LEN + 1);
	return err;
}

static int
read_history_lines(struct sqltx *tx, struct whole *w)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &queue_sql_history_of_message, SQLT(w->id));

	while (err == 0 && (err = sql_next(&r)) == 1) {
		json_t *o = json_object();

		json_set_time(o, "at", sql_col_int(&r, 0));
		json_set_text(o, "recipient", w->arena, sql_col_bytes(&r, 1));
		json_object_set_new(o, "kind", json_string(tell_history_kind(sql_col_int(&r, 2))));
		json_set_text(o, "text", w->arena, sql_col_bytes(&r, 3));
		json_array_append_new(w->lines, o);
		err = 0;
	}
	return err;
}

int
whole_read(struct sqltx *tx, void *arg)
{
	struct whole *w = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = row_message_get(tx, w->arena, w->id, &w->m);

	if (err == 0)
		err = row_rcpts_get(tx, w->arena, w->id, &w->rcpts, &w->rcpts_n);
	if (err != 0)
		return err;
	err = SQL_QUERY(tx, &r, &queue_sql_content_exists, SQLT(w->id));
	if (err == 0)
		err = sql_next(&r);
	w->here = err == 1;
	sql_done(&r);
	if (err >= 0 && w->lines != NULL) {
		json_t *o = json_object();

		json_array_clear(w->lines);
		json_set_time(o, "at", w->m.received_us);
		json_set_text(o, "recipient", w->arena, SLICE_EMPTY);
		json_object_set_new(o, "kind", json_string("received"));
		json_set_text(o, "text", w->arena, tell_received(w->arena, &w->m));
		json_array_append_new(w->lines, o);
		err = read_history_lines(tx, w);
	}
	return err < 0 ? err : 0;
}

static const char *
state_word(struct queue *q, const struct row_rcpt *r, int64_t hold_us)
{
	struct window_rcpt *w = window_rcpt_find(q, slice_of(r->delivery_id, DELIVERY_ID_LEN));
	const char *closed;

	if (r->state >= ROW_DONE)
		return r->result == RESULT_DELIVERED ? "delivered"
		    : r->result == RESULT_SENT       ? "sent"
		    : r->result == RESULT_FAILED     ? "failed"
		    : r->result == RESULT_EXPANDED   ? "expanded"
						     : "removed";
	if (r->state == ROW_HELD)
		return "held";
	if (w != NULL && w->way == WAY_RUNNING)
		return "in-flight";
	if (w != NULL && w->way == WAY_AWAITING)
		return "delivered-not-durable";
	if (w != NULL && w->way == WAY_FAILED)
		return "failing";
	if (w == NULL && site_why_closed(q, r, &closed).n > 0)
		return closed;
	if (r->attempts == 0 && w == NULL && hold_us > house_now_us(q->house) && r->due_us >= hold_us)
		return "scheduled";
	return r->attempts > 0 ? "deferred" : "pending";
}

/* ---- filters --------------------------------------------------------------------------------------------- */

static bool
address_matches(struct slice address, struct slice wanted)
{
	if (wanted.n > 0 && slice_at(wanted, 0) == '@')
		return slice_iends(address, wanted);
	return slice_ieq(address, wanted);
}

static bool
at_domain_of(const struct map *domains, struct slice address)
{
	size_t at = slice_rfind_byte(address, '@');
	struct arena a ARENA_CLEANUP;

	arena_init(&a, 65536);
	return at != SLICE_NONE && map_get(domains, address_key(&a, slice_from(address, at + 1))) != NULL;
}

bool
whole_rcpt_matches(const struct queue_filter *f, const struct row_message *m, const struct row_rcpt *r)
{
	if (r->state >= ROW_DONE || (f->held && r->state != ROW_HELD))
		return false;
	if (f->domains != NULL)
		return at_domain_of(f->domains, r->address);
	return f->address.n == 0 || (!f->recipients_only && address_matches(m->reverse_path, f->address)) ||
	    address_matches(r->original, f->address) || address_matches(r->address, f->address);
}

static bool
message_matches(const struct queue_filter *f, const struct whole *w)
{
	for (size_t i = 0; i < w->rcpts_n; i++)
		if (whole_rcpt_matches(f, &w->m, &w->rcpts[i]))
			return true;
	return false;
}

static int
visit(struct queue *q, const struct queue_filter *f, struct slice id, whole_fn *fn, void *ctx)
{
	struct arena a ARENA_CLEANUP;
	struct whole w = {.id = id, .arena = &a};
	int err;

	arena_init(&a, WHOLE_ARENA_BYTES);
	err = sql_read(q->db, whole_read, &w);
	if (err != 0 || !w.here || !message_matches(f, &w))
		return err == ERR_NOTFOUND ? 0 : err;
	return fn(q, f, &w, ctx);
}

int
whole_each(struct queue *q, const struct queue_filter *f, whole_fn *fn, void *ctx)
{
	struct ids p = {.n = PAGE_IDS};
	int err = 0;

	if (f->id.n > 0)
		return visit(q, f, f->id, fn, ctx);
	while (err == 0 && p.n == PAGE_IDS) {
		err = sql_read(q->db, read_ids, &p);
		for (size_t i = 0; err == 0 && i < p.n; i++)
			err = visit(q, f, slice_z(p.v[i]), fn, ctx);
		if (err == 0 && p.n > 0)
			memcpy(p.after, p.v[p.n - 1], sizeof(p.after));
	}
	return err;
}

/* ---- list and show ---------------------------------------------------------------------------------------- */

struct row_out {
	queue_row_fn *fn;
	void *ctx;
};

static json_t *
whole_json(struct queue *q, struct whole *w, size_t max)
{
	json_t *o = tell_message_json(w->arena, &w->m), *list = json_array();
	size_t n = w->rcpts_n < max ? w->rcpts_n : max;
	int64_t hold_us = envelope_deadlines(w->m.envelope, 0).base_us;

	for (size_t i = 0; i < n; i++) {
		const struct row_rcpt *r = &w->rcpts[i];
		json_t *row = tell_rcpt_json(w->arena, r, state_word(q, r, hold_us));
		const char *closed;

		/* Never tried, since its site is known not to answer. */
		if (r->state == ROW_WAITING && r->reply.n == 0)
			json_set_text(row, "text", w->arena, site_why_closed(q, r, &closed));
		json_array_append_new(list, row);
	}
	json_object_set_new(o, "recipients", list);
	if (n < w->rcpts_n)
		json_object_set_new(o, "recipients_more", json_integer((json_int_t)(w->rcpts_n - n)));
	return o;
}

static int
list_one(struct queue *q, const struct queue_filter *f, struct whole *w, void *ctx)
{
	struct row_out *out = ctx;
	json_t *o = whole_json(q, w, LIST_RCPTS_MAX);
	int err = out->fn(out->ctx, o);

	(void)f;
	json_decref(o);
	return err;
}

int
queue_list(struct queue *q, const struct queue_filter *f, queue_row_fn *fn, void *ctx)
{
	struct row_out out = {fn, ctx};

	return whole_each(q, f, list_one, &out);
}

int
queue_show(struct queue *q, struct slice id, queue_row_fn *fn, void *ctx)
{
	struct arena a ARENA_CLEANUP;
	struct whole w = {.id = id, .arena = &a, .lines = json_array()};
	json_t *o;
	int err;

	arena_init(&a, WHOLE_ARENA_BYTES);
	err = ulid_is_valid(id) ? sql_read(q->db, whole_read, &w) : ERR_NOTFOUND;
	if (err != 0) {
		json_decref(w.lines);
		return err;
	}
	o = whole_json(q, &w, SHOW_RCPTS_MAX);
	json_object_set_new(o, "history", w.lines);
	err = fn(ctx, o);
	json_decref(o);
	return err;
}
