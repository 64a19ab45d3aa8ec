/* queue_finish.c: what an attempt came to is written: sent, deferred, or failed (which the bounce writes). The
 * window follows the database: a recipient leaves it after the commit. */
#include "queue/queue_tell.h"

#define RETRY_MS 1000
#define OUTCOME_RETRY_MS 10000
#define DURABLE_STEP_US 1000

void
finish_storage_failed(struct queue *q, int err, const char *what)
{
	q->failed = err;
	q->c.ops.fatal(q->c.ops.ctx, err, what);
}

int
finish_write(struct queue *q, sql_fn *fn, void *arg)
{
	int err;

	for (;;) {
		err = q->failed != 0 ? q->failed : sql_write(q->db, fn, arg);
		if (err == 0)
			return 0;
		if (sqldb_failed(q->db) != 0) {
			finish_storage_failed(q, err, "a commit to queue.db failed");
			return err;
		}
		if (q->stopping || (err != ERR_FULL && err != ERR_BUSY && err != ERR_NOMEM))
			return err;
		LOG(q->house, ERROR, "queue_write_repeated", LOG_E(err));
		err = fiber_sleep(q->loop, RETRY_MS);
		if (err != 0)
			return err;
	}
}

struct unlink_job {
	struct queue *q;
	struct slice id;
};

static int
unlink_file(void *arg)
{
	struct unlink_job *u = arg;
	char name[ULID_LEN + 1];

	if (slice_to_z(u->id, name, sizeof(name)) == 0)
		(void)unlinkat(u->q->blobs_fd, name, 0);
	return 0;
}

void
finish_unlink(struct queue *q, struct slice id)
{
	struct unlink_job u = {q, id};

	/* Not fatal: the sweep at the next start finds it. */
	if (work_run(q->c.workers, unlink_file, &u) != 0)
		LOG(q->house, WARN, "blob_left_behind", LOG_S("id", id));
}

/* ---- writing -------------------------------------------------------------------------------------------- */

struct finish {
	struct slice id;
	struct outcome *v;
	size_t n;
	int64_t *due_us; /* parallel, of the deferred */
	int64_t now_us;
	bool suppress_counts;
	bool left, in_file, to_tell;
};

/* What waits for a destination that does not answer goes to a lane of its own, until it does. */
static enum lane
lane_after(const struct outcome *o)
{
	if (o->reply_class == REPLY_CONNECTION || o->reply_class == REPLY_DNS)
		return LANE_SLOW;
	return o->rcpt->lane == LANE_SLOW ? LANE_BULK : o->rcpt->lane;
}

static int
write_deferred(struct sqltx *tx, struct finish *f, const struct outcome *o, int64_t due_us)
{
	struct arena a ARENA_CLEANUP;
	struct slice detail;
	int err;

	arena_init(&a, 16384);
	detail = tell_deferred(&a, o->host, o->code, o->status, o->reply, o->reply_class, due_us);
	err = SQL_EXEC(tx, &queue_sql_recipient_defer, SQLB(slice_of(o->rcpt->delivery_id, DELIVERY_ID_LEN)),
	    SQLI(due_us), SQLI(f->now_us), SQLB(o->code), SQLB(o->status), SQLB(o->reply), SQLB(o->host),
	    SQLI(lane_after(o)), SQLI(o->reply_class));
	if (err == 0)
		err = row_history_add(tx, f->id, f->now_us, o->rcpt->original, HISTORY_DEFERRED, detail);
	return err;
}

static int
write_sent(struct sqltx *tx, struct finish *f, const struct outcome *o, int64_t *done)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	/* RFC 3461 §5.2.2: "relayed" where the next server will not report itself; RFC 2852 §4.2: in any case when asked to. */
	bool tell = ((o->rcpt->tell & TELL_SUCCESS) != 0 && !o->reports) || (o->rcpt->tell & TELL_RELAYED) != 0;
	int err = SQL_QUERY(tx, &r, &queue_sql_recipient_done, SQLB(slice_of(o->rcpt->delivery_id, DELIVERY_ID_LEN)),
	    SQLI(RESULT_SENT), SQLI(f->now_us), SQLB(o->code), SQLB(o->status), SQLB(o->reply), SQLB(o->host),
	    SQLI(tell ? ROW_TO_TELL : ROW_DONE), SQLI(o->reply_class));

	if (err == 0)
		err = sql_next(&r);
	if (err == 1) {
		*done += !tell;
		f->to_tell = f->to_tell || tell;
	}
	sql_done(&r);
	if (err == 1 && f->suppress_counts)
		err = suppress_worked(tx, o->rcpt->address);
	return err < 0 ? err : 0;
}

static int
write_outcomes(struct sqltx *tx, void *arg)
{
	struct finish *f = arg;
	int64_t done = 0;
	bool deferred = false;
	int err = 0;

	f->left = f->in_file = f->to_tell = false;
	for (size_t i = 0; err == 0 && i < f->n; i++) {
		deferred = deferred || f->v[i].kind == OUTCOME_DEFER;
		if (f->v[i].kind == OUTCOME_DEFER)
			err = write_deferred(tx, f, &f->v[i], f->due_us[i]);
		else if (f->v[i].kind == OUTCOME_SENT)
			err = write_sent(tx, f, &f->v[i], &done);
	}
	if (err == 0 && deferred)
		err = SQL_EXEC(tx, &queue_sql_message_attempted, SQLT(f->id));
	if (err == 0 && done > 0)
		err = row_message_less(tx, f->id, done, f->now_us, &f->left, &f->in_file);
	return err;
}

/* ---- deciding --------------------------------------------------------------------------------------------- */

/* Into FAILED: the recipient waits for the bounce. */
static void
mark_failed(struct queue *q, struct window_message *m, struct outcome *o)
{
	struct window_rcpt *r = o->rcpt;
	size_t n = o->code.n + o->status.n + o->reply.n + o->host.n;
	uint8_t *p = malloc(n + 1);
	struct slice *parts[] = {&o->code, &o->status, &o->reply, &o->host};

	if (p != NULL) {
		free(r->why);
		r->why = p;
		for (size_t i = 0; i < COUNT_OF(parts); i++) {
			size_t k = parts[i]->n;

			if (k > 0)
				memcpy(p, parts[i]->p, k);
			*parts[i] = slice_of(p, k);
			p += k;
		}
		r->code = o->code;
		r->status = o->status;
		r->reply = o->reply;
		r->host = o->host;
		r->reply_class = o->reply_class;
	}
	list_remove(&r->node);
	if (--m->active == 0)
		window_content_drop(q, m);
	r->way = WAY_FAILED;
	list_push(&m->failed, &r->node);
	if (m->failed_n++ == 0) {
		m->failed_since_ms = house_mono_ms(q->house);
		list_push(&q->failing, &m->failing);
	}
}

static void
mark_awaiting(struct queue *q, struct window_message *m, struct window_rcpt *r)
{
	list_remove(&r->node);
	if (--m->active == 0)
		window_content_drop(q, m);
	r->way = WAY_AWAITING;
	r->awaiting_since_ms = house_mono_ms(q->house);
	histogram_add(&q->local_times, HISTOGRAM_DELIVERIES, house_now_us(q->house) - m->when.base_us);
	list_push(&q->awaiting, &r->node);
}

/* A failure for now after the lifetime is one for good. */
static void
expire(struct queue *q, const struct window_message *m, struct outcome *o, int64_t now_us)
{
	if (o->kind != OUTCOME_DEFER || !backoff_expired(&q->house->limits, now_us, &m->when))
		return;
	o->kind = OUTCOME_FAIL;
	if (m->when.by_return && now_us >= m->when.by_us && m->when.by_us > 0)
		o->status = SLICE("5.4.7"); /* RFC 2852 §4.1.4 */
	else if (slice_eq(o->status, SLICE("4.2.2")))
		o->status = SLICE("5.2.2");
	else
		o->status = SLICE("4.4.7");
}

/* How many recipients an action of the operator's waits for, in `again`. */
static size_t
after_commit(struct queue *q, struct window_message *m, struct finish *f, struct act_later *again, bool *deferred)
{
	size_t again_n = 0;

	if (f->left && f->in_file)
		finish_unlink(q, m->id);
	for (size_t i = 0; i < f->n; i++) {
		struct outcome *o = &f->v[i];
		enum lane lane = lane_after(o);

		if (o->kind == OUTCOME_SENT) {
			LOG(q->house, INFO, "message_sent", LOG_S("id", m->id), LOG_S("recipient", o->rcpt->original),
			    LOG_S("host", o->host));
			q->counters.sent++;
			histogram_add(&q->remote_times, HISTOGRAM_DELIVERIES, f->now_us - m->when.base_us);
			window_rcpt_remove(q, o->rcpt);
		} else if (o->kind == OUTCOME_DEFER) {
			LOG(q->house, INFO, "delivery_deferred", LOG_S("id", m->id),
			    LOG_S("recipient", o->rcpt->original), LOG_S("host", o->host), LOG_S("status", o->status),
			    LOG_S("reply", o->reply));
			q->counters.deferred++;
			*deferred = true;
			if (o->rcpt->after >= 0) {
				memcpy(again[again_n].delivery_id, o->rcpt->delivery_id, DELIVERY_ID_LEN);
				again[again_n++].what = (enum queue_action)o->rcpt->after;
			}
			window_rcpt_remove(q, o->rcpt);
			schedule_due(q, lane, f->due_us[i]);
		}
	}
	if (f->to_tell)
		success_wake(q);
	return again_n;
}

void
finish_outcomes(struct queue *q, struct window_message *m, struct outcome *v, size_t n)
{
	int64_t *due_us = calloc(n + 1, sizeof(*due_us));
	struct act_later *again = calloc(n + 1, sizeof(*again));
	struct finish f = {.id = m->id,
	    .v = v,
	    .n = n,
	    .due_us = due_us,
	    .now_us = house_now_us(q->house),
	    .suppress_counts = q->suppress_counts};
	bool write = false, deferred = false;
	int64_t together = 0;
	size_t again_n = 0;
	int err = due_us == NULL || again == NULL ? ERR_NOMEM : 0;

	for (size_t i = 0; err == 0 && i < n; i++) {
		expire(q, m, &v[i], f.now_us);
		write = write || v[i].kind == OUTCOME_SENT || v[i].kind == OUTCOME_DEFER;
		/* What was deferred together is tried together. */
		if (v[i].kind == OUTCOME_DEFER && together == 0)
			together = backoff_next_us(
			    &q->house->limits, q->house, f.now_us, &m->when, v[i].rcpt->attempts + 1, m->warned);
		due_us[i] = together;
	}
	/* Until it is written: a row that still says "waiting" would be read again, and its message sent again and again. */
	while (
	    err == 0 && write && (err = finish_write(q, write_outcomes, &f)) != 0 && q->failed == 0 && !q->stopping) {
		LOG(q->house, ERROR, "outcome_not_written", LOG_S("id", m->id), LOG_E(err),
		    LOG_Z("do", "look after queue.db: see the lines sql_failed"));
		err = fiber_sleep(q->loop, OUTCOME_RETRY_MS);
	}
	for (size_t i = 0; i < n; i++) {
		if (v[i].kind == OUTCOME_FAIL)
			mark_failed(q, m, &v[i]);
		else if (v[i].kind == OUTCOME_AWAITING)
			mark_awaiting(q, m, v[i].rcpt);
		else if (err != 0) {
			/* Not written: as if the process had died here. The row waits and is found again. */
			schedule_due(q, v[i].rcpt->lane, v[i].rcpt->due_us);
			window_rcpt_remove(q, v[i].rcpt);
		}
	}
	if (err == 0)
		again_n = after_commit(q, m, &f, again, &deferred);
	free(due_us);
	if (deferred && !m->warned && backoff_late(&q->house->limits, f.now_us, &m->when))
		bounce_warn(q, m);
	bounce_flush(q, m, false);
	if (again_n > 0)
		act_again(q, m->id, again, again_n);
	free(again);
}

/* ---- deliveries that are durable ---------------------------------------------------------------------------- */

struct durable {
	struct slice account_id;
	struct slice_list ids; /* those from `at` on */
	size_t at, end;        /* this transaction has written those before `end` */
	const struct house *house;
	struct arena *arena;
	int64_t now_us;
	char (*files)[ULID_LEN +
	    1]; /* messages whose file must go; one for each of `ids`, however often a full disk has the step run again */
	size_t files_n;
	int64_t delivered;
	bool to_tell;
};

/* One statement ends the recipient, one counts it off its message, one removes the content of the last. After a moment it makes way: who
 * waits for a 250 shares the commit. */
static int
write_durable(struct sqltx *tx, void *arg)
{
	struct durable *d = arg;
	int64_t until_us = house_mono_us(d->house) + DURABLE_STEP_US;
	char id[ULID_LEN + 1];
	bool left, in_file, tell;
	int err = 0;

	d->to_tell = false;
	d->files_n = 0;
	d->delivered = 0;
	for (d->end = d->at; err == 0 && d->end < d->ids.n; d->end++) {
		struct sql_rows r SQL_ROWS_CLEANUP = {0};

		if (d->end > d->at && house_mono_us(d->house) >= until_us)
			break;

		err = SQL_QUERY(tx, &r, &queue_sql_recipient_delivered, SQLB(d->ids.v[d->end]), SQLT(d->account_id),
		    SQLI(d->now_us));
		if (err == 0)
			err = sql_next(&r);
		if (err <= 0)
			continue;
		err = slice_to_z(sql_col_bytes(&r, 0), id, sizeof(id));
		tell = sql_col_int(&r, 1) == ROW_TO_TELL;
		sql_done(&r);
		left = in_file = false;
		if (err == 0 && tell)
			d->to_tell = true;
		else if (err == 0)
			err = row_message_less(tx, slice_z(id), 1, d->now_us, &left, &in_file);
		d->delivered++;
		if (err == 0 && left && in_file)
			memcpy(d->files[d->files_n++], id, sizeof(id));
	}
	return err;
}

/* The row is done. False: the desk is being asked to deliver it once more at this moment; it may be told to forget
 * only after it has answered. */
static bool
settle_durable(struct queue *q, struct slice account_id, struct slice delivery_id)
{
	struct window_rcpt *r = window_rcpt_find(q, delivery_id);

	if (r == NULL) {
		/* A page that is being read may still show it as waiting. */
		if (q->filling && map_put(&q->gone, delivery_id, q) != 0)
			q->fill_stale = true;
		return true;
	}
	if (!slice_eq(r->account_id, account_id))
		return false;
	LOG(q->house, INFO, "message_delivered", LOG_S("id", r->message->id), LOG_S("recipient", r->original),
	    LOG_S("mailbox", r->address));
	if (r->way == WAY_RUNNING) {
		r->durable = true;
		return false;
	}
	/* FAILED: the bounce finds that there is nothing to end. */
	if (r->way == WAY_AWAITING || r->way == WAY_READY)
		window_rcpt_remove(q, r);
	return true;
}

/* What a step has written leaves the window; the desk may forget it. */
static void
after_durable(struct queue *q, struct durable *d)
{
	struct slice *forget = ARENA_ARRAY(d->arena, struct slice, d->end - d->at + 1);
	size_t n = 0;

	q->counters.delivered += d->delivered;
	if (d->to_tell)
		success_wake(q);
	for (size_t i = d->at; i < d->end; i++)
		if (settle_durable(q, d->account_id, d->ids.v[i]) && forget != NULL)
			forget[n++] = d->ids.v[i];
	for (size_t i = 0; i < d->files_n; i++)
		finish_unlink(q, slice_z(d->files[i]));
	forget_add(q, d->account_id, (struct slice_list){forget, n});
	d->at = d->end;
}

int
queue_delivered(struct queue *q, struct slice account_id, struct slice_list ids)
{
	struct arena a ARENA_CLEANUP;
	struct durable d = {
	    .account_id = account_id, .ids = ids, .house = q->house, .arena = &a, .now_us = house_now_us(q->house)};
	int err = 0;

	arena_init(&a, (ids.n + 1) * 256 + 65536);
	d.files = arena_alloc(&a, (ids.n + 1) * sizeof(*d.files));
	if (d.files == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < ids.n; i++)
		if (ids.v[i].n != DELIVERY_ID_LEN)
			return ERR_INVALID;
	/* One report at a time, for the same reason. */
	if ((err = fiber_lock_take(q->loop, &q->durable_lock, DEADLINE_NEVER)) != 0)
		return err;
	while (err == 0 && d.at < ids.n)
		if ((err = finish_write(q, write_durable, &d)) == 0)
			after_durable(q, &d);
	fiber_lock_drop(q->loop, &q->durable_lock);
	return err;
}
