/* queue_act.c: what the operator does to messages that wait. What is under way at the moment is left to its attempt: when that
 * fails for now, the action follows; the answer tells how many these are. */
#include "queue/queue_list.h"

struct act {
	enum queue_action what;
	bool reroute;
	struct slice route, id;
	struct row_rcpt **v; /* those that are not under way */
	size_t n;
	int64_t now_us;
	int64_t changed;
	struct queue_acted *total;
	const struct act_later *only; /* NULL, or whom it is about */
	size_t only_n;
	bool left, in_file;
};

static const char *const action_words[] = {
    [QUEUE_RETRY] = "the operator had it tried at once",
    [QUEUE_HOLD] = "the operator held it",
    [QUEUE_RELEASE] = "the operator released it",
    [QUEUE_REMOVE] = "the operator removed it",
    [QUEUE_FAIL] = "the operator ended it",
};

static int
act_on(struct sqltx *tx, const struct act *c, const struct row_rcpt *r, bool *changed)
{
	struct slice id = slice_of(r->delivery_id, DELIVERY_ID_LEN);
	struct sql_rows rows SQL_ROWS_CLEANUP = {0};
	/* A lane of its own for what does not answer would only make it wait. */
	int64_t lane = r->lane == LANE_SLOW ? LANE_NORMAL : r->lane;
	int err = 0;

	if (c->reroute) {
		err = SQL_EXEC(tx, &queue_sql_recipient_reroute, SQLB(id), c->route.n == 0 ? SQLN : SQLB(c->route),
		    SQLI(c->now_us), SQLI(lane));
		*changed = err == 0 && sql_changes(tx) > 0;
		return err;
	}
	switch (c->what) {
	case QUEUE_RETRY: err = SQL_EXEC(tx, &queue_sql_recipient_retry, SQLB(id), SQLI(c->now_us), SQLI(lane)); break;
	case QUEUE_HOLD: err = SQL_EXEC(tx, &queue_sql_recipient_hold, SQLB(id), SQLI(c->now_us)); break;
	case QUEUE_RELEASE: err = SQL_EXEC(tx, &queue_sql_recipient_release, SQLB(id), SQLI(c->now_us)); break;
	case QUEUE_FAIL: *changed = true; return 0; /* its bounce ends it */
	case QUEUE_REMOVE:
	default:
		err = SQL_QUERY(tx, &rows, &queue_sql_recipient_remove, SQLB(id), SQLI(c->now_us));
		if (err == 0)
			err = sql_next(&rows);
		*changed = err == 1;
		return err < 0 ? err : 0;
	}
	*changed = err == 0 && sql_changes(tx) > 0;
	return err;
}

static int
write_act(struct sqltx *tx, void *arg)
{
	struct act *c = arg;
	struct arena a ARENA_CLEANUP;
	struct slice words = slice_z(action_words[c->what]);
	bool changed = false;
	int err = 0;

	arena_init(&a, 4096);
	if (c->reroute)
		words = c->route.n > 0 ? arena_printf(&a, "the operator sends it by way of %.*s", SLICE_ARG(c->route))
				       : SLICE("the operator sends it where DNS says again");
	c->changed = 0;
	c->left = c->in_file = false;
	for (size_t i = 0; err == 0 && i < c->n; i++) {
		err = act_on(tx, c, c->v[i], &changed);
		if (err == 0 && changed) {
			c->changed++;
			err = row_history_add(tx, c->id, c->now_us, c->v[i]->original, HISTORY_OPERATOR, words);
		}
	}
	if (err == 0 && c->changed > 0)
		err = SQL_EXEC(tx, &queue_sql_message_attempted, SQLT(c->id));
	if (err == 0 && c->what == QUEUE_REMOVE && c->changed > 0)
		err = row_message_less(tx, c->id, c->changed, c->now_us, &c->left, &c->in_file);
	return err;
}

/* While an action is being written its rows may not enter the window: the schedule passes over what is in
 * queue.acting. */
static bool
reserve(struct queue *q, const struct act *c, const struct row_rcpt *r)
{
	struct slice id = slice_of(r->delivery_id, DELIVERY_ID_LEN);
	struct window_rcpt *w = window_rcpt_find(q, id);

	if (w != NULL && w->way != WAY_READY) {
		c->total->under_way++;
		if (w->way == WAY_RUNNING && !c->reroute && c->what != QUEUE_RETRY && c->what != QUEUE_RELEASE)
			w->after = (int)c->what;
		return false;
	}
	if (map_get(&q->acting, id) != NULL || map_put(&q->acting, id, q) != 0)
		return false;
	if (w != NULL)
		window_rcpt_remove(q, w);
	return true;
}

static bool
is_meant(const struct act *c, const struct row_rcpt *r)
{
	for (size_t i = 0; i < c->only_n; i++)
		if (memcmp(c->only[i].delivery_id, r->delivery_id, DELIVERY_ID_LEN) == 0)
			return true;
	return c->only == NULL;
}

/* Has the recipients enter the window as failed: the bounce takes them out of the queue. */
static int
fail(struct queue *q, struct whole *w, struct act *c)
{
	struct outcome *o = ARENA_ARRAY(w->arena, struct outcome, c->n + 1);
	struct window_message *m = o == NULL ? NULL : window_message_get(q, &w->m);
	size_t n = 0;

	if (m == NULL)
		return o == NULL ? ERR_NOMEM : ERR_BUSY;
	for (size_t i = 0; i < c->n; i++) {
		struct row_rcpt nobody = *c->v[i];
		struct window_rcpt *r;
		bool postpone;

		nobody.kind = QUEUE_TARGET_NONE;
		r = window_rcpt_add(q, m, &nobody, &postpone);
		if (r == NULL)
			continue;
		window_rcpt_run(r);
		o[n++] = (struct outcome){.rcpt = r,
		    .kind = OUTCOME_FAIL,
		    .status = SLICE("5.7.0"),
		    .reply = SLICE("the postmaster of this server has ended the delivery")};
	}
	if (n > 0)
		finish_outcomes(q, m, o, n);
	window_message_unref(q, m);
	/* The window was full: some are left, and the operator may say it again. */
	c->changed = (int64_t)n;
	return n < c->n ? ERR_BUSY : 0;
}

/* The operator wants to see an attempt: a pause of the site does not hold it up. */
static void
open_sites(struct queue *q, const struct act *c)
{
	for (size_t i = 0; i < c->n; i++) {
		struct row_rcpt r = *c->v[i];
		struct destination *d;

		if (c->reroute)
			r.route = c->route;
		d = r.kind == QUEUE_TARGET_REMOTE ? window_destination(q, &r) : NULL;
		if (d != NULL) {
			site_unpause(q, d->site);
			window_destination_release(q, d);
		}
	}
}

static int
act_one(struct queue *q, const struct queue_filter *f, struct whole *w, void *ctx)
{
	struct act *c = ctx;
	int err = 0;

	c->id = w->m.id;
	c->now_us = house_now_us(q->house);
	c->n = 0;
	c->changed = 0;
	c->left = false;
	c->v = ARENA_ARRAY(w->arena, struct row_rcpt *, w->rcpts_n + 1);
	if (c->v == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < w->rcpts_n; i++)
		if (whole_rcpt_matches(f, &w->m, &w->rcpts[i]) && is_meant(c, &w->rcpts[i]) &&
		    reserve(q, c, &w->rcpts[i]))
			c->v[c->n++] = &w->rcpts[i];
	if (c->n > 0)
		err = sql_write(q->db, write_act, c);
	if (err == 0 && c->n > 0 && !c->reroute && c->what == QUEUE_FAIL)
		err = fail(q, w, c);
	if (err == 0 && (c->reroute || c->what == QUEUE_RETRY || c->what == QUEUE_RELEASE))
		open_sites(q, c);
	for (size_t i = 0; i < c->n; i++) {
		enum lane lane = (enum lane)c->v[i]->lane;

		map_remove(&q->acting, slice_of(c->v[i]->delivery_id, DELIVERY_ID_LEN));
		/* Whether it waits from now on or as before: the schedule shall look. */
		schedule_due(q, lane, c->v[i]->due_us < c->now_us ? c->v[i]->due_us : c->now_us);
		if (lane == LANE_SLOW)
			schedule_due(q, LANE_NORMAL, c->now_us);
	}
	if (err == 0 || err == ERR_BUSY)
		c->total->changed += c->changed;
	if (err == 0 && !c->reroute && c->what == QUEUE_REMOVE)
		q->counters.removed += c->changed;
	if (err == 0 && c->left && c->in_file)
		finish_unlink(q, c->id);
	return err;
}

static int
act(struct queue *q, const struct queue_filter *f, struct act *c)
{
	struct arena a ARENA_CLEANUP;
	struct whole w = {.id = f->id, .arena = &a};
	int err = 0;

	*c->total = (struct queue_acted){0};
	arena_init(&a, WHOLE_ARENA_BYTES);
	if (f->id.n > 0) {
		err = ulid_is_valid(f->id) ? sql_read(q->db, whole_read, &w) : ERR_NOTFOUND;
		if (err != 0 || !w.here)
			return err != 0 ? err : ERR_NOTFOUND;
	}
	return whole_each(q, f, act_one, c);
}

int
queue_act(struct queue *q, const struct queue_filter *f, enum queue_action what, struct queue_acted *acted)
{
	struct act c = {.what = what, .total = acted};

	return act(q, f, &c);
}

int
queue_reroute(struct queue *q, const struct queue_filter *f, struct slice route, struct queue_acted *acted)
{
	struct act c = {.what = QUEUE_RETRY, .reroute = true, .route = route, .total = acted};

	return act(q, f, &c);
}

void
act_again(struct queue *q, struct slice id, const struct act_later *v, size_t n)
{
	/* Those of one kind at a time; mostly there is one. */
	static const enum queue_action kinds[] = {QUEUE_HOLD, QUEUE_REMOVE, QUEUE_FAIL};
	struct queue_filter f = {.id = id};
	struct act_later *these = calloc(n, sizeof(*these));

	for (size_t k = 0; these != NULL && k < COUNT_OF(kinds); k++) {
		struct queue_acted acted;
		struct act c = {.what = kinds[k], .total = &acted, .only = these};
		int err = 0;

		for (size_t i = 0; i < n; i++)
			if (v[i].what == kinds[k])
				these[c.only_n++] = v[i];
		if (c.only_n > 0)
			err = act(q, &f, &c);
		if (err != 0 && err != ERR_NOTFOUND)
			LOG(q->house, ERROR, "operator_action_not_done", LOG_S("id", id), LOG_E(err),
			    LOG_Z("do", "give the command again"));
	}
	free(these);
}
