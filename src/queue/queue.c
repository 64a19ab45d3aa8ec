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
	int64_t messages, waiting;
};

static int
read_count(struct sqltx *tx, const struct sql_text *t, int64_t *out)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = sql_query(tx, &r, t, NULL, 0);

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
	int err = read_count(tx, &queue_sql_count_content, &g->messages);

	return err != 0 ? err : read_count(tx, &queue_sql_count_waiting, &g->waiting);
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
