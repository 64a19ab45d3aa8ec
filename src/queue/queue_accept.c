/* queue_accept.c: taking a message: checks, the file of a large body, one transaction, and then its deliveries begin
 * from memory without reading it back. Its recipients enter the window before the commit, so that the schedule,
 * which may read the rows the moment they are there, does not take them a second time. */
#include "message/header.h"
#include "queue/queue_private.h"

int
accept_enter(struct queue *q, struct row_new *n, struct window_rcpt **entered)
{
	struct window_message *m = window_message_get(q, &n->m);
	bool destination_full;

	if (m == NULL)
		return 0; /* the window is full of messages: the schedule will find it */
	for (size_t i = 0; i < n->rcpts_n && !q->backlog; i++)
		entered[i] = window_rcpt_add(q, m, &n->rcpts[i], &destination_full);
	if (m->refs > 1)
		(void)window_content_keep(q, m, n->m.head, n->m.body, n->m.in_file);
	window_message_unref(q, m);
	return 0;
}

void
accept_go(struct queue *q, struct row_new *n, struct window_rcpt **entered, bool committed)
{
	for (size_t i = 0; i < n->rcpts_n; i++) {
		if (entered[i] != NULL && committed)
			window_rcpt_ready(q, entered[i]);
		else if (entered[i] != NULL)
			window_rcpt_remove(q, entered[i]);
		else if (committed)
			schedule_due(q, n->rcpts[i].due_us);
	}
	if (committed)
		schedule_dispatch(q);
}

static int
write_new(struct sqltx *tx, void *arg)
{
	return row_new_insert(tx, arg);
}

/* The rows of what was submitted. */
static int
make_rows(struct queue *q, const struct queue_submission *s, struct arena *a, struct row_new *n)
{
	int64_t now_us = house_now_us(q->house);

	n->m = (struct row_message){
	    .id = s->id,
	    .origin = s->origin,
	    .account_id = s->account_id,
	    .reverse_path = s->reverse_path,
	    .envelope = s->envelope,
	    .client = text_clean(a, s->client, 300),
	    .helo = slice_head(s->helo, 1000),
	    .tls = text_clean(a, s->tls, 300),
	    .size_bytes = s->size_bytes,
	    .received_us = now_us,
	    .head = s->head,
	    .body = s->body,
	    .in_file = s->blob.n > 0,
	};
	n->rcpts_n = s->rcpts_n;
	n->rcpts = ARENA_ARRAY(a, struct row_rcpt, s->rcpts_n);
	if (n->rcpts == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < s->rcpts_n; i++) {
		const struct queue_rcpt *r = &s->rcpts[i];

		n->rcpts[i] = (struct row_rcpt){
		    .number = (int64_t)i + 1,
		    .kind = r->target.kind,
		    .account_id = r->target.account_id,
		    .original = r->original,
		    .address = r->target.address,
		    .via = r->target.via,
		    .envelope = r->envelope,
		    .due_us = now_us,
		    .status = r->target.status,
		    .reply = r->target.reason,
		};
		delivery_id_make(q->house, n->rcpts[i].delivery_id);
	}
	return 0;
}

static enum bus_submit
refuse(struct queue *q, enum bus_submit result, struct buf *detail, const char *why)
{
	q->counters.refused++;
	buf_put_z(detail, why);
	return result;
}

static enum bus_submit
refuse_error(struct queue *q, int err, struct buf *detail)
{
	LOG(q->house, ERROR, "message_not_taken", LOG_E(err),
	    LOG_Z("do",
		err == ERR_FULL       ? "free space on the disk of the data folder"
		    : err == ERR_BUSY ? "end the other process that holds queue.db"
				      : "see the lines sql_failed before this one"));
	if (err == ERR_FULL)
		return refuse(q, SUBMIT_NO_SPACE, detail, "there is no space left for mail");
	return refuse(q, SUBMIT_TEMPFAIL, detail, "the message could not be stored");
}

/* Checks what a bug or a hostile role could break. */
static const char *
bad_submission(struct queue *q, const struct queue_submission *s)
{
	if (!ulid_is_valid(s->id))
		return "the message has no valid id";
	if (s->rcpts_n == 0)
		return "the message has no recipients";
	if (s->rcpts_n > (size_t)q->house->limits.queue_targets)
		return "the message has too many recipients";
	if (s->blob.n > 0 && s->body.n > 0)
		return "the message has two bodies";
	if (!slice_is_utf8(s->account_id, true))
		return "the account is not valid";
	for (size_t i = 0; i < s->rcpts_n; i++)
		if (!slice_is_utf8(s->rcpts[i].target.account_id, true))
			return "a recipient is not valid";
	return NULL;
}

static enum bus_submit
commit(struct queue *q, const struct queue_submission *s, struct row_new *n, struct window_rcpt **entered,
    struct buf *detail)
{
	int err = accept_enter(q, n, entered);

	if (err == 0)
		err = sql_write(q->db, write_new, n);
	accept_go(q, n, entered, err == 0 && !n->existed);
	if (s->blob.n > 0 && err != 0)
		blob_discard(q, s->id);
	if (err != 0 && sqldb_failed(q->db) != 0)
		finish_storage_failed(q, err, "a commit to queue.db failed");
	if (err != 0)
		return refuse_error(q, err, detail);
	if (!n->existed) {
		q->counters.accepted++;
		q->counters.accepted_bytes += s->size_bytes;
	}
	LOG(q->house, INFO, n->existed ? "message_repeated" : "message_accepted", LOG_S("id", s->id),
	    LOG_S("from", s->reverse_path), LOG_I("recipients", s->rcpts_n), LOG_I("size", s->size_bytes),
	    LOG_S("client", s->client));
	return SUBMIT_OK;
}

enum bus_submit
queue_submit(struct queue *q, const struct queue_submission *s, struct buf *detail)
{
	struct arena a ARENA_CLEANUP;
	struct row_new n = {0};
	struct window_rcpt **entered;
	struct slice start = s->body;
	const char *bad = bad_submission(q, s);
	int err;

	arena_init(&a, (s->rcpts_n + 1) * (sizeof(struct row_rcpt) + sizeof(void *)) + (1u << 20));
	if (bad != NULL)
		return refuse(q, SUBMIT_REFUSED, detail, bad);
	if (q->failed != 0 || q->stopping)
		return refuse(q, SUBMIT_TEMPFAIL, detail, "the queue is closed");
	if (blob_disk_low(q))
		return refuse(q, SUBMIT_NO_SPACE, detail, "there is little space left on the disk");
	err = make_rows(q, s, &a, &n);
	entered = ARENA_ARRAY(&a, struct window_rcpt *, s->rcpts_n);
	if (err != 0 || entered == NULL)
		return refuse_error(q, ERR_NOMEM, detail);
	if (s->blob.n > 0) {
		err = blob_take(q, s->blob, s->blob_owner, s->id, &a, &start);
		/* The same submission once more, whose file was taken by the first. */
		if (err != 0 && err != ERR_NOTFOUND && err != ERR_EXISTS)
			return refuse_error(q, err, detail);
		if (err != 0)
			return refuse(q, SUBMIT_TEMPFAIL, detail, "the body of the message is gone");
	}
	n.m.message_id = header_message_id(start, (size_t)q->house->limits.message_header_bytes);
	return commit(q, s, &n, entered, detail);
}
