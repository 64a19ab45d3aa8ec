/* queue_success.c: reports of what went well, for senders who asked for them (RFC 3461 §4.1 NOTIFY=SUCCESS): delivered here,
 * relayed to a server that will not report itself, expanded to the members of a group. The recipient's end leaves its row
 * "to be told" in the same commit; here these rows are found by their own index, also after a restart, and a report for all of a
 * message's is written together with the news that they are told. Where nobody asks for success nothing of this costs
 * anything. */
#include "queue/queue_report.h"

#define GATHER_MS 500
#define WAIT_US (10 * INT64_C(1000000)) /* for the message's other recipients */
#define PAGE_MESSAGES 50
#define LOOK_MS 60000

struct waiting {
	char id[ULID_LEN + 1];
	int64_t since_us;
};
struct page {
	char after[ULID_LEN + 1];
	struct waiting v[PAGE_MESSAGES];
	size_t n;
};

static int
read_page(struct sqltx *tx, void *arg)
{
	struct page *p = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &queue_sql_to_tell_messages, SQLT(slice_z(p->after)), SQLI(PAGE_MESSAGES));

	p->n = 0;
	while (err == 0 && (err = sql_next(&r)) == 1) {
		err = slice_to_z(sql_col_bytes(&r, 0), p->v[p->n].id, sizeof(p->v[p->n].id));
		p->v[p->n++].since_us = sql_col_int(&r, 1);
	}
	return err;
}

struct gather {
	struct report *p;
	struct row_message m;
};

/* The rows of one return path; others come with the next report. */
static int
read_told(struct sqltx *tx, void *arg)
{
	struct report *p = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &queue_sql_to_tell, SQLT(p->m->id), SQLI(REPORT_RECIPIENTS_MAX));

	p->listed_n = p->told_n = 0;
	while (err == 0 && (err = sql_next(&r)) == 1) {
		bool set = !sql_col_null(&r, 9);
		struct slice path = set ? arena_copy(p->arena, sql_col_bytes(&r, 9)) : p->m->reverse_path;
		struct slice id = sql_col_bytes(&r, 0);
		struct report_recipient told = {arena_copy(p->arena, sql_col_bytes(&r, 1)),
		    arena_copy(p->arena, sql_col_bytes(&r, 2)), arena_copy(p->arena, sql_col_bytes(&r, 4)),
		    arena_copy(p->arena, sql_col_bytes(&r, 5)), arena_copy(p->arena, sql_col_bytes(&r, 6)),
		    arena_copy(p->arena, sql_col_bytes(&r, 7)), sql_col_int(&r, 3), sql_col_int(&r, 10)};

		err = arena_failed(p->arena) ? ERR_LIMIT : 0;
		if (p->told_n == 0) {
			p->return_path = path;
			p->return_path_set = set;
		}
		if (err != 0 || id.n != DELIVERY_ID_LEN || !slice_eq(path, p->return_path))
			continue;
		memcpy(p->told[p->told_n++], id.p, DELIVERY_ID_LEN);
		report_list(p, &told);
	}
	return err;
}

static int
write_told(struct sqltx *tx, void *arg)
{
	struct report *p = arg;
	int64_t ended = 0;
	int err = 0;

	p->left = p->in_file = false;
	for (size_t i = 0; err == 0 && i < p->told_n; i++) {
		err = SQL_EXEC(tx, &queue_sql_recipient_told, SQLB(slice_of(p->told[i], DELIVERY_ID_LEN)));
		ended += err == 0 ? sql_changes(tx) : 0;
	}
	if (err == 0 && ended > 0)
		err = row_message_less(tx, p->m->id, ended, p->now_us, &p->left, &p->in_file);
	if (err != 0)
		return err;
	return ended == 0 ? ERR_NOTFOUND : report_note(tx, p);
}

static int
read_message(struct sqltx *tx, void *arg)
{
	struct gather *g = arg;

	return row_message_get(tx, g->p->arena, g->m.id, &g->m);
}

/* The message is in the window, or is put there for as long as the report takes. */
static int
tell(struct queue *q, const struct waiting *w)
{
	struct arena a ARENA_CLEANUP;
	struct report p = {.arena = &a};
	struct gather g = {.p = &p, .m = {.id = slice_z(w->id)}};
	struct window_message *m;
	int err;

	arena_init(&a, REPORT_ARENA_BYTES);
	err = sql_read(q->db, read_message, &g);
	if (err != 0)
		return err;
	m = window_message_get(q, &g.m);
	if (m == NULL)
		return ERR_BUSY;
	err = report_init(&p, q, m, &a, REPORT_SUCCESS) ? 0 : ERR_NOMEM;
	p.told = err == 0 ? arena_array(&a, REPORT_RECIPIENTS_MAX, sizeof(*p.told)) : NULL;
	if (p.told == NULL)
		err = ERR_NOMEM;
	if (err == 0)
		err = sql_read(q->db, read_told, &p);
	if (err == 0 && p.told_n > 0)
		err = report_send(&p, write_told);
	if (err == 0 && p.fresh.rcpts_n > 0)
		q->counters.successes++;
	buf_free(&p.text);
	window_message_unref(q, m);
	return err == ERR_NOTFOUND ? 0 : err;
}

/* Others of the message, which are under way, may yet come to the same end. */
static bool
may_wait(struct queue *q, const struct waiting *w)
{
	return map_get(&q->messages, slice_z(w->id)) != NULL && house_now_us(q->house) - w->since_us < WAIT_US;
}

/* *left: something is still to be told. */
static int
round_of_reports(struct queue *q, bool *left)
{
	struct page p = {.n = PAGE_MESSAGES};
	int err = 0;

	*left = false;
	while (err == 0 && p.n == PAGE_MESSAGES) {
		err = sql_read(q->db, read_page, &p);
		for (size_t i = 0; err == 0 && i < p.n; i++) {
			*left = true;
			if (!may_wait(q, &p.v[i]))
				err = tell(q, &p.v[i]);
		}
		if (err == 0 && p.n > 0)
			memcpy(p.after, p.v[p.n - 1].id, sizeof(p.after));
	}
	return err;
}

void
success_wake(struct queue *q)
{
	q->success_due = true;
	waitq_wake_all(&q->success_wake);
}

void
success_main(void *arg)
{
	struct queue *q = arg;
	bool left = true; /* what the last run left behind */
	int err;

	while (!fiber_cancelled(q->loop)) {
		if (!left && !q->success_due && waitq_wait(q->loop, &q->success_wake, DEADLINE_NEVER) != 0)
			return;
		q->success_due = false;
		if (fiber_sleep(q->loop, GATHER_MS) != 0)
			return;
		err = round_of_reports(q, &left);
		if (err == ERR_CANCELLED)
			return;
		if (err != 0) {
			LOG(q->house, ERROR, "success_not_reported", LOG_E(err));
			left = true;
			if (fiber_sleep(q->loop, LOOK_MS) != 0)
				return;
		}
	}
}
