/* queue_bounce.c: reports of recipients that failed for good, and once of a delay. The report enters the queue in the
 * transaction that ends the recipients, so that neither is lost nor doubled. Recipients of one message that fail together share
 * a report. */
#include "queue/queue_report.h"

/* ---- failures --------------------------------------------------------------------------------------- */

static int
end_rcpts(struct sqltx *tx, struct report *p, int64_t *ended)
{
	int err = 0;

	p->suppressed_n = 0;
	for (size_t i = 0; err == 0 && i < p->failed_n; i++) {
		const struct window_rcpt *r = p->failed[i];
		struct sql_rows rows SQL_ROWS_CLEANUP = {0};
		bool now = false;

		err = SQL_QUERY(tx, &rows, &queue_sql_recipient_done, SQLB(slice_of(r->delivery_id, DELIVERY_ID_LEN)),
		    SQLI(RESULT_FAILED), SQLI(p->now_us), SQLB(r->code), SQLB(r->status), SQLB(r->reply), SQLB(r->host),
		    SQLI(ROW_DONE), SQLI(r->reply_class));
		if (err == 0)
			err = sql_next(&rows);
		sql_done(&rows);
		if (err != 1)
			continue;
		(*ended)++;
		err = 0;
		if (r->kind == QUEUE_TARGET_REMOTE && r->reply_class == REPLY_BAD_MAILBOX && is_submitted(p->m->origin))
			err = suppress_failed(tx, &p->q->house->limits, r->address, r->reply, p->now_us, &now);
		if (now)
			p->suppressed[p->suppressed_n++] = p->failed[i];
	}
	return err;
}

static int
write_failed(struct sqltx *tx, void *arg)
{
	struct report *p = arg;
	int64_t ended = 0;
	int err;

	p->left = p->in_file = false;
	err = end_rcpts(tx, p, &ended);
	if (err == 0 && ended > 0)
		err = row_message_less(tx, p->m->id, ended, p->now_us, &p->left, &p->in_file);
	if (err != 0)
		return err;
	return ended == 0 ? ERR_NOTFOUND : report_note(tx, p); /* others were quicker: nothing to report */
}

static void
settle(struct report *p, bool written)
{
	struct queue *q = p->q;

	for (size_t i = 0; written && i < p->suppressed_n; i++) {
		suppress_enter(q, p->suppressed[i]->address);
		LOG(q->house, INFO, "address_suppressed", LOG_S("address", p->suppressed[i]->address),
		    LOG_S("reply", p->suppressed[i]->reply));
	}
	for (size_t i = 0; i < p->failed_n; i++) {
		struct window_rcpt *r = p->failed[i];

		q->suppress_counts = q->suppress_counts || r->reply_class == REPLY_BAD_MAILBOX;
		if (written) {
			LOG(q->house, INFO, "delivery_failed", LOG_S("id", p->m->id), LOG_S("recipient", r->original),
			    LOG_S("host", r->host), LOG_S("status", r->status), LOG_S("reply", r->reply));
			q->counters.failed++;
		}
		window_rcpt_remove(q, r);
	}
	if (!written)
		return;
	if (p->fresh.rcpts_n > 0) {
		q->counters.bounces++;
	} else {
		q->counters.double_bounces++;
		LOG(q->house, WARN, "bounce_to_nobody", LOG_S("id", p->m->id), LOG_S("why", p->silent));
	}
}

static bool
same_return_path(const struct window_rcpt *x, const struct window_rcpt *y)
{
	return x->return_path_set == y->return_path_set && slice_eq(x->return_path, y->return_path);
}

/* Whom the report names: the owner of a group has to know which member it is about, who wrote to the group has not. */
static struct slice
named(const struct window_rcpt *r)
{
	struct slice local = slice_head(r->return_path, slice_rfind_byte(r->return_path, '@'));
	bool owner = r->return_path_set && slice_ends(local, SLICE("-bounces"));

	return owner && r->address.n > 0 ? r->address : r->original;
}

/* One report: of the recipients whose mail came from where the first one's did. */
static int
flush_some(struct queue *q, struct window_message *m)
{
	struct window_rcpt *first = CONTAINER_OF(list_first(&m->failed), struct window_rcpt, node);
	struct arena a ARENA_CLEANUP;
	struct report p;
	int err = ERR_NOMEM;

	arena_init(&a, REPORT_ARENA_BYTES);
	if (!report_init(&p, q, m, &a, REPORT_FAILED))
		return err;
	p.suppressed = ARENA_ARRAY(&a, struct window_rcpt *, REPORT_RECIPIENTS_MAX);
	if (first->return_path_set)
		p.return_path = first->return_path;
	p.return_path_set = first->return_path_set;
	LIST_FOREACH (&m->failed, n) {
		struct window_rcpt *r = CONTAINER_OF(n, struct window_rcpt, node);
		struct report_recipient told = {
		    named(r), r->envelope, r->code, r->status, r->reply, r->host, p.now_us, RESULT_FAILED};

		if (p.failed_n == REPORT_RECIPIENTS_MAX || !same_return_path(first, r))
			continue;
		p.failed[p.failed_n++] = r;
		report_list(&p, &told);
	}
	if (p.suppressed != NULL)
		err = report_send(&p, write_failed);
	if (err == 0 || err == ERR_NOTFOUND)
		settle(&p, err == 0);
	else
		LOG(q->house, ERROR, "bounce_not_written", LOG_S("id", m->id), LOG_E(err));
	buf_free(&p.text);
	return err;
}

void
bounce_flush(struct queue *q, struct window_message *m, bool now)
{
	int err = 0;

	if (m->failed_n == 0 || m->bouncing || (m->active > 0 && !now))
		return;
	m->bouncing = true;
	window_message_ref(m);
	while (m->failed_n > 0 && (err == 0 || err == ERR_NOTFOUND))
		err = flush_some(q, m);
	m->bouncing = false;
	window_message_unref(q, m);
}

/* ---- the delay warning ------------------------------------------------------------------------------------- */

static int
write_warned(struct sqltx *tx, void *arg)
{
	struct report *p = arg;
	int err = SQL_EXEC(tx, &queue_sql_message_warned, SQLT(p->m->id));

	if (err != 0)
		return err;
	return sql_changes(tx) == 0 ? ERR_NOTFOUND : report_note(tx, p);
}

static int
read_waiting(struct sqltx *tx, void *arg)
{
	struct report *p = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &queue_sql_recipient_waiting, SQLT(p->m->id), SQLI(REPORT_RECIPIENTS_MAX));
	bool first = true;

	p->listed_n = 0;
	while (err == 0 && (err = sql_next(&r)) == 1) {
		bool set = !sql_col_null(&r, 8);
		struct slice path = set ? arena_copy(p->arena, sql_col_bytes(&r, 8)) : p->m->reverse_path;
		struct report_recipient told = {arena_copy(p->arena, sql_col_bytes(&r, 0)),
		    arena_copy(p->arena, sql_col_bytes(&r, 1)), arena_copy(p->arena, sql_col_bytes(&r, 3)),
		    arena_copy(p->arena, sql_col_bytes(&r, 4)), arena_copy(p->arena, sql_col_bytes(&r, 5)),
		    arena_copy(p->arena, sql_col_bytes(&r, 6)), sql_col_int(&r, 2), RESULT_NONE};

		if (first) {
			p->return_path = path;
			p->return_path_set = set;
		}
		/* The warning is given once, to whom the first of them goes back. */
		first = false;
		if (slice_eq(path, p->return_path))
			report_list(p, &told);
		err = arena_failed(p->arena) ? ERR_LIMIT : 0;
	}
	return err;
}

void
bounce_warn(struct queue *q, struct window_message *m)
{
	struct arena a ARENA_CLEANUP;
	struct report p;
	int err;

	arena_init(&a, REPORT_ARENA_BYTES);
	if (m->warned || !report_init(&p, q, m, &a, REPORT_DELAYED))
		return;
	m->warned = true;
	window_message_ref(m);
	err = sql_read(q->db, read_waiting, &p);
	if (err == 0 && p.listed_n > 0)
		err = report_send(&p, write_warned);
	if (err == 0 && p.fresh.rcpts_n > 0)
		q->counters.warnings++;
	if (err != 0 && err != ERR_NOTFOUND) {
		m->warned = false;
		LOG(q->house, ERROR, "warning_not_written", LOG_S("id", m->id), LOG_E(err));
	}
	buf_free(&p.text);
	window_message_unref(q, m);
}
