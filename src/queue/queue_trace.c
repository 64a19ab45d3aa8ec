/* queue_trace.c: the story of messages: found by ULID, Message-ID or address, told in the order in which it happened. It is
 * made of the message's row, its recipients' rows and the history. */
#include "queue/queue_tell.h"

#define TRACE_ARENA_BYTES ((size_t)16 << 20)

struct note {
	struct slice id, recipient, detail;
	enum bus_history kind;
	int64_t at_us;
};

static int
write_note(struct sqltx *tx, void *arg)
{
	struct note *n = arg;

	return row_history_add(tx, n->id, n->at_us, n->recipient, n->kind, n->detail);
}

int
queue_history_add(struct queue *q, struct slice id, struct slice recipient, enum bus_history kind, struct slice detail)
{
	struct arena a ARENA_CLEANUP;
	struct note n = {
	    .id = id, .recipient = slice_head(recipient, 1000), .kind = kind, .at_us = house_now_us(q->house)};

	arena_init(&a, 65536);
	if (!ulid_is_valid(id) || kind < HISTORY_RECEIVED || kind > HISTORY_NOTE)
		return ERR_INVALID;
	n.detail = text_clean(&a, detail, 2000);
	return sql_write(q->db, write_note, &n);
}

/* ---- finding -------------------------------------------------------------------------------------- */

/* Each of the four places may give `max` messages. */
#define PLACES 4

struct trace_find {
	struct slice key; /* a Message-ID without <>, or an address in lower case */
	int64_t max;
	bool behind; /* the database has messages that were never tried and are not in the window */
	char (*v)[ULID_LEN + 1];
	size_t n, window_n; /* those from the window come first */
};

static void
add_found(struct trace_find *f, struct slice id, size_t max)
{
	if (f->n < max && slice_to_z(id, f->v[f->n], sizeof(f->v[f->n])) == 0)
		f->n++;
}

/* What is under way has no entries in the indexes until its first attempt is over. */
static void
find_in_window(struct queue *q, struct trace_find *f)
{
	size_t at = 0;
	struct slice key;
	void *v;

	while (map_next(&q->messages, &at, &key, &v)) {
		const struct window_message *m = v;

		if (slice_eq(m->message_id, f->key) || slice_ieq(m->reverse_path, f->key))
			add_found(f, m->id, (size_t)f->max);
	}
	at = 0;
	while (map_next(&q->rcpts, &at, &key, &v)) {
		const struct window_rcpt *r = v;

		if (slice_ieq(r->original, f->key) || slice_ieq(r->address, f->key))
			add_found(f, r->message->id, 2 * (size_t)f->max);
	}
	f->behind = schedule_backlog(q) || schedule_next_due_us(q) <= house_now_us(q->house);
	LIST_FOREACH (&q->destinations_all, n)
		f->behind = f->behind || CONTAINER_OF(n, struct destination, all)->slot_us > house_now_us(q->house);
	f->window_n = f->n;
}

static int
read_found(struct sqltx *tx, struct trace_find *f, const struct sql_text *t, struct slice key)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, t, SQLB(key), SQLI(f->max));

	while (err == 0 && (err = sql_next(&r)) == 1) {
		add_found(f, sql_col_bytes(&r, 0), PLACES * (size_t)f->max);
		err = 0;
	}
	return err;
}

static int
find_in_tables(struct sqltx *tx, void *arg)
{
	struct trace_find *f = arg;
	struct arena a ARENA_CLEANUP;
	struct slice address;
	int err;

	arena_init(&a, 65536);
	address = address_key(&a, f->key);
	f->n = f->window_n;
	err = read_found(tx, f, &queue_sql_trace_by_message_id, f->key);
	if (err == 0 && f->n == f->window_n)
		err = read_found(tx, f, &queue_sql_trace_by_address, address);
	if (err == 0 && f->behind)
		err = read_found(tx, f, &queue_sql_trace_untried, address);
	return err;
}

static int
compare_ids(const void *x, const void *y)
{
	return memcmp(x, y, ULID_LEN);
}

/* Oldest first, each once, at most the newest `max`. */
static void
put_in_order(struct trace_find *f)
{
	size_t kept = 0;

	if (f->n > 1)
		qsort(f->v, f->n, sizeof(*f->v), compare_ids);
	for (size_t i = 0; i < f->n; i++)
		if (kept == 0 || compare_ids(f->v[kept - 1], f->v[i]) != 0)
			memmove(f->v[kept++], f->v[i], sizeof(*f->v));
	if (kept > (size_t)f->max)
		memmove(f->v, f->v + (kept - (size_t)f->max), (size_t)f->max * sizeof(*f->v));
	f->n = kept > (size_t)f->max ? (size_t)f->max : kept;
}

static int
find_messages(struct queue *q, struct trace_find *f)
{
	int err;

	if (ulid_is_valid(f->key)) {
		add_found(f, f->key, 1);
		return 0;
	}
	if (f->key.n > 2 && slice_at(f->key, 0) == '<' && slice_at(f->key, f->key.n - 1) == '>')
		f->key = slice_range(f->key, 1, f->key.n - 1);
	find_in_window(q, f);
	err = sql_read(q->db, find_in_tables, f);
	put_in_order(f);
	return err;
}

/* ---- telling --------------------------------------------------------------------------------------------- */

struct event {
	int64_t at_us;
	struct slice recipient, text;
	const char *kind;
	size_t order; /* of equal times */
};

struct story {
	struct slice id;
	struct arena *arena;
	struct event *v;
	size_t n, cap;
	struct row_rcpt *rcpts;
	size_t rcpts_n;
	bool found;
};

static void
add_event(struct story *s, int64_t at_us, const char *kind, struct slice recipient, struct slice text)
{
	s->v = arena_grow(s->arena, s->v, s->n, &s->cap, sizeof(*s->v), 1u << 20);
	if (s->v == NULL || text.n == 0)
		return;
	s->v[s->n] = (struct event){at_us, text_clean(s->arena, recipient, 320), text, kind, s->n};
	s->n++;
}

static const char *
rcpt_kind(const struct row_rcpt *r)
{
	switch ((enum row_result)r->result) {
	case RESULT_DELIVERED: return "delivered";
	case RESULT_SENT: return "sent";
	case RESULT_FAILED: return "failed";
	case RESULT_EXPANDED: return "expanded";
	case RESULT_REMOVED: return NULL; /* the operator's own line says so */
	case RESULT_NONE:
	default: return "state";
	}
}

static int
read_notes(struct sqltx *tx, struct story *s)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &queue_sql_history_of_message, SQLT(s->id));

	while (err == 0 && (err = sql_next(&r)) == 1) {
		struct slice who = sql_col_bytes(&r, 1);
		int64_t kind = sql_col_int(&r, 2);

		s->found = true;
		add_event(s, sql_col_int(&r, 0), tell_history_kind(kind), who,
		    tell_history(s->arena, who, kind, sql_col_bytes(&r, 3)));
		err = arena_failed(s->arena) ? ERR_LIMIT : 0;
	}
	return err;
}

static int
read_story(struct sqltx *tx, void *arg)
{
	struct story *s = arg;
	struct row_message m;
	struct row_rcpt *r = NULL;
	size_t n = 0;
	int err;

	arena_reset(s->arena);
	s->v = NULL;
	s->rcpts = NULL;
	s->n = s->cap = s->rcpts_n = 0;
	s->found = false;
	err = row_message_get(tx, s->arena, s->id, &m);
	if (err == 0) {
		s->found = true;
		add_event(s, m.received_us, "received", SLICE_EMPTY, tell_received(s->arena, &m));
		if (m.findings.n > 0)
			add_event(s, m.received_us, "checked", SLICE_EMPTY, m.findings);
		err = row_rcpts_get(tx, s->arena, s->id, &r, &n);
	}
	for (size_t i = 0; err == 0 && i < n; i++)
		add_event(s, m.received_us, "expanded", r[i].original, tell_expanded(s->arena, &r[i]));
	for (size_t i = 0; err == 0 && i < n; i++)
		if (r[i].state >= ROW_DONE && rcpt_kind(&r[i]) != NULL)
			add_event(s, r[i].changed_us, rcpt_kind(&r[i]), r[i].original, tell_rcpt(s->arena, &r[i]));
	s->rcpts = r;
	s->rcpts_n = n;
	/* After the recipients' ends: a bounce follows the failure that it tells of. */
	if (err == 0 || err == ERR_NOTFOUND)
		err = read_notes(tx, s);
	return err != 0 ? err : arena_failed(s->arena) ? ERR_LIMIT : 0;
}

/* What an attempt has come to, or is at, before it is written down; empty: neither. */
static struct slice
tell_under_way(struct queue *q, struct arena *a, const struct row_rcpt *r)
{
	const struct window_rcpt *w = window_rcpt_find(q, slice_of(r->delivery_id, DELIVERY_ID_LEN));
	struct row_rcpt failed = *r;

	if (w == NULL || r->state != ROW_WAITING)
		return SLICE_EMPTY;
	if (w->way == WAY_RUNNING)
		return arena_printf(
		    a, "%.*s: is being tried at this moment", SLICE_ARG(text_clean(a, r->original, 320)));
	if (w->way != WAY_FAILED)
		return SLICE_EMPTY;
	failed.result = RESULT_FAILED;
	failed.code = w->code;
	failed.status = w->status;
	failed.reply = w->reply;
	failed.host = w->host;
	failed.reply_class = w->reply_class;
	return arena_printf(
	    a, "%.*s; a report of all that fail together is written within a minute", SLICE_ARG(tell_rcpt(a, &failed)));
}

/* What waits, and what for. */
static void
add_states(struct queue *q, struct story *s)
{
	for (size_t i = 0; i < s->rcpts_n; i++) {
		const struct row_rcpt *r = &s->rcpts[i];
		struct slice text, why;
		const char *closed = "";

		if (r->state >= ROW_DONE)
			continue;
		text = tell_under_way(q, s->arena, r);
		if (text.n > 0) {
			add_event(s, INT64_MAX, rcpt_kind(r), r->original, text);
			continue;
		}
		text = tell_rcpt(s->arena, r);
		why = r->state == ROW_HELD ? SLICE_EMPTY : site_why_closed(q, r, &closed);
		if (why.n > 0)
			text = arena_printf(s->arena, "%.*s (%s%.*s)", SLICE_ARG(text),
			    strcmp(closed, "site-paused") == 0 ? "the server does not answer at present: " : "",
			    SLICE_ARG(why));
		add_event(s, INT64_MAX, rcpt_kind(r), r->original, text);
	}
}

static int
compare_events(const void *x, const void *y)
{
	const struct event *a = x, *b = y;

	if (a->at_us != b->at_us)
		return a->at_us < b->at_us ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

static int
tell_story(struct queue *q, struct slice id, bool *found, queue_row_fn *fn, void *ctx)
{
	struct arena a ARENA_CLEANUP;
	struct story s = {.id = id, .arena = &a};
	int err;

	arena_init(&a, TRACE_ARENA_BYTES);
	err = sql_read(q->db, read_story, &s);
	if (err != 0)
		return err;
	*found = *found || s.found;
	add_states(q, &s);
	if (s.n > 1)
		qsort(s.v, s.n, sizeof(*s.v), compare_events);
	for (size_t i = 0; err == 0 && i < s.n; i++) {
		json_t *o = json_object();

		json_set_text(o, "id", &a, id);
		json_set_time(o, "at", s.v[i].at_us == INT64_MAX ? house_now_us(q->house) : s.v[i].at_us);
		json_object_set_new(o, "kind", json_string(s.v[i].kind));
		if (s.v[i].recipient.n > 0)
			json_set_text(o, "recipient", &a, s.v[i].recipient);
		json_set_text(o, "text", &a, s.v[i].text);
		err = fn(ctx, o);
		json_decref(o);
	}
	return err;
}

int
queue_trace(struct queue *q, struct slice key, queue_row_fn *fn, void *ctx)
{
	struct arena a ARENA_CLEANUP;
	struct trace_find f = {.key = key, .max = q->house->limits.trace_messages};
	bool found = false;
	int err;

	arena_init(&a, ((size_t)f.max * PLACES + 1) * sizeof(*f.v) + 4096);
	f.v = arena_array(&a, (size_t)f.max * PLACES + 1, sizeof(*f.v));
	if (f.v == NULL || key.n == 0 || key.n > 1000)
		return ERR_NOTFOUND;
	err = find_messages(q, &f);
	for (size_t i = 0; err == 0 && i < f.n; i++)
		err = tell_story(q, slice_z(f.v[i]), &found, fn, ctx);
	return err != 0 ? err : found ? 0 : ERR_NOTFOUND;
}
