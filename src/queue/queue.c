/* queue.c: opening, starting and stopping the queue, and its gauges. */
#include "queue/queue_private.h"

static void
queue_free(struct queue *q)
{
	forget_free(q);
	window_free(q);
	blob_close(q);
	free(q->dir);
	free(q);
}

int
queue_set_hostname(struct queue *q, struct slice hostname)
{
	return slice_to_z(hostname, q->hostname, sizeof(q->hostname));
}

int
queue_open(struct queue **out, const struct queue_config *c, struct buf *detail)
{
	struct queue *q = calloc(1, sizeof(*q));
	int err;

	*out = NULL;
	if (q == NULL)
		return ERR_NOMEM;
	q->c = *c;
	q->house = c->house;
	q->loop = c->loop;
	q->db = c->db;
	blob_init(q);
	q->dir = strdup(c->dir);
	waitq_init(&q->success_wake);
	q->suppress_counts = true; /* of former days, perhaps */
	err = window_init(q);
	if (err == 0)
		err = forget_init(q);
	fiber_lock_init(&q->durable_lock);
	schedule_init(q);
	if (err == 0 && q->dir == NULL)
		err = ERR_NOMEM;
	if (err == 0)
		err = queue_set_hostname(q, c->hostname);
	if (err == 0)
		err = blob_dirs_open(q, detail);
	if (err == 0)
		err = blob_sweep(q, detail);
	if (err == 0)
		err = site_names_load(q);
	if (err == 0)
		err = suspension_load(q);
	if (err == 0)
		err = warmup_load(q);
	if (err == 0)
		err = suppress_load(q);
	if (err != 0) {
		if (detail->n == 0)
			buf_printf(detail, "cannot open the queue: %s.", err_text(err));
		queue_free(q);
		return err;
	}
	*out = q;
	return 0;
}

int
queue_start(struct queue *q)
{
	int err = schedule_start(q);

	if (err == 0)
		err = fiber_start(q->loop, "queue prune", prune_main, q, &q->prune_fiber);
	if (err == 0)
		err = fiber_start(q->loop, "queue forget", forget_main, q, &q->forget_fiber);
	if (err == 0)
		err = fiber_start(q->loop, "queue success", success_main, q, &q->success_fiber);
	return err;
}

static void
end_fiber(struct queue *q, struct fiber **f)
{
	if (*f == NULL)
		return;
	fiber_cancel(*f);
	fiber_join(q->loop, f);
}

void
queue_stop(struct queue *q, int64_t deadline_ms)
{
	schedule_stop(q, deadline_ms);
	site_names_flush(q, true);
	warmup_flush(q, true);
	end_fiber(q, &q->prune_fiber);
	end_fiber(q, &q->forget_fiber);
	end_fiber(q, &q->success_fiber);
}

void
queue_close(struct queue **qp)
{
	struct queue *q = *qp;

	*qp = NULL;
	if (q == NULL)
		return;
	ASSERT(q->schedule_fiber == NULL && list_empty(&q->runners));
	queue_free(q);
}

struct gauges {
	int64_t messages, waiting, held;
	int64_t oldest_us, due_us; /* 0: none */
};

/* The one number that a query gives; 0: none. */
static int
read_number(struct sqltx *tx, const struct sql_text *t, const struct sql_value *v, size_t n, int64_t *out)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = sql_query(tx, &r, t, v, n);

	*out = 0;

	if (err == 0)
		err = sql_next(&r);
	if (err == 1)
		*out = sql_col_int(&r, 0);
	return err < 0 ? err : 0;
}

static int
read_gauges(struct sqltx *tx, void *arg)
{
	struct gauges *g = arg;
	int err = read_number(tx, &queue_sql_count_content, NULL, 0, &g->messages);

	if (err == 0)
		err = read_number(tx, &queue_sql_count_waiting, NULL, 0, &g->waiting);
	if (err == 0)
		err = read_number(tx, &queue_sql_count_held, NULL, 0, &g->held);
	if (err == 0)
		err = read_number(tx, &queue_sql_oldest_content, NULL, 0, &g->oldest_us);
	for (int64_t lane = 0; err == 0 && lane < LANES; lane++) {
		struct sql_value v[] = {SQLI(lane)};
		int64_t due_us;

		err = read_number(tx, &queue_sql_earliest_due, v, COUNT_OF(v), &due_us);
		if (due_us != 0 && (g->due_us == 0 || due_us < g->due_us))
			g->due_us = due_us;
	}
	return err;
}

static int64_t
seconds_since(const struct queue *q, int64_t then_us)
{
	int64_t us = house_now_us(q->house) - then_us;

	return then_us == 0 || us < 0 ? 0 : us / 1000000;
}

void
queue_times(const struct queue *q, struct histogram *local, struct histogram *remote)
{
	*local = q->local_times;
	*remote = q->remote_times;
}

void
queue_status(struct queue *q, json_t *into)
{
	struct gauges g = {0};
	size_t awaiting = 0, running = 0;

	LIST_FOREACH (&q->awaiting, n)
		awaiting++;
	LIST_FOREACH (&q->runners, n)
		running++;
	if (sql_read(q->db, read_gauges, &g) == 0) {
		json_object_set_new(into, "messages", json_integer(g.messages));
		json_object_set_new(into, "recipients_waiting", json_integer(g.waiting));
		json_object_set_new(into, "recipients_held", json_integer(g.held));
		json_object_set_new(into, "oldest_seconds", json_integer(seconds_since(q, g.oldest_us)));
		json_object_set_new(into, "overdue_seconds", json_integer(seconds_since(q, g.due_us)));
	}
	json_object_set_new(into, "recipients_under_way", json_integer((json_int_t)q->rcpts.n));
	json_object_set_new(into, "recipients_not_durable", json_integer((json_int_t)awaiting));
	json_object_set_new(into, "attempts_running", json_integer((json_int_t)running));
	json_object_set_new(into, "content_bytes_in_memory", json_integer((json_int_t)q->content_bytes));
	json_object_set_new(into, "disk_low", json_boolean(q->disk_low));
#define COUNTER(name) json_object_set_new(into, #name, json_integer(q->counters.name))
	COUNTER(accepted);
	COUNTER(accepted_bytes);
	COUNTER(refused);
	COUNTER(delivered);
	COUNTER(sent);
	COUNTER(deferred);
	COUNTER(failed);
	COUNTER(bounces);
	COUNTER(warnings);
	COUNTER(double_bounces);
	COUNTER(removed);
	COUNTER(redelivered);
	COUNTER(successes);
	COUNTER(postponed);
	COUNTER(suppressed);
	json_object_set_new(into, "sites", json_integer((json_int_t)q->sites.n));
#undef COUNTER
}
