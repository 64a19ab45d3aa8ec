/* queue_accept.c: taking a message: checks, the file of a large body, one transaction, and then its deliveries begin
 * from memory without reading it back. Its recipients enter the window before the commit, so that the schedule,
 * which may read the rows the moment they are there, does not take them a second time. */
#include "message/header.h"
#include "queue/queue_private.h"

#define FINDINGS_MAX 4000

int
accept_enter(struct queue *q, struct row_new *n, struct window_rcpt **entered)
{
	struct window_message *m = window_message_get(q, &n->m);
	bool postpone;

	if (m == NULL)
		return 0; /* the window is full of messages: the schedule will find it */
	for (size_t i = 0; i < n->rcpts_n; i++)
		if (n->rcpts[i].state == ROW_WAITING && n->rcpts[i].due_us <= n->m.received_us &&
		    !q->lanes[n->rcpts[i].lane].backlog)
			entered[i] = window_rcpt_add(q, m, &n->rcpts[i], &postpone);
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
		else if (committed && n->rcpts[i].state == ROW_WAITING)
			schedule_due(q, (enum lane)n->rcpts[i].lane, n->rcpts[i].due_us);
	}
	if (committed)
		schedule_dispatch(q);
}

static int
write_new(struct sqltx *tx, void *arg)
{
	return row_new_insert(tx, arg);
}

/* ---- rows ------------------------------------------------------------------------------------------- */

/* What the sender wants to hear of success; nothing where nobody is to be answered. */
static int64_t
tell_of(const struct queue_submission *s, const struct queue_rcpt *r, const struct deadlines *when)
{
	struct slice to = r->target.reverse_path_set ? r->target.reverse_path : s->reverse_path;

	if (to.n == 0 || r->target.kind == QUEUE_TARGET_NONE || s->sender_unproven)
		return 0;
	return (r->envelope.n > 0 && envelope_notify(r->envelope, SLICE("SUCCESS")) ? TELL_SUCCESS : 0) |
	    (when->by_trace && r->target.kind == QUEUE_TARGET_REMOTE ? TELL_RELAYED : 0);
}

static struct row_rcpt
make_rcpt(struct queue *q, const struct queue_submission *s, const struct queue_rcpt *r, const struct deadlines *when,
    enum lane lane, struct arena *a)
{
	struct row_rcpt row = {
	    .kind = r->target.kind,
	    .account_id = r->target.account_id,
	    .original = r->original,
	    .address = r->target.address,
	    .via = r->target.via,
	    .envelope = r->envelope,
	    .due_us = when->base_us,
	    .status = r->target.status,
	    .reply = r->target.reason,
	    .lane = lane,
	    .tell = tell_of(s, r, when),
	    .return_path_set = r->target.reverse_path_set,
	    .return_path = r->target.reverse_path,
	};

	/* Its success is told of the group. */
	if (r->target.expanded && r->envelope.n > 0) {
		row.tell &= ~TELL_SUCCESS;
		row.envelope = envelope_of_target(a, r->envelope, r->target.reverse_path_set);
	}
	if (row.kind == QUEUE_TARGET_REMOTE && is_submitted(s->origin) && suppress_is(q, row.address)) {
		row.kind = QUEUE_TARGET_NONE;
		row.status = SLICE("5.1.1");
		row.reply = SLICE(
		    "this address is on the list of suppressed addresses of this house, because its server has refused "
		    "mail "
		    "for it again and again or the postmaster put it there; the postmaster can take it off "
		    "(posthouse queue suppress remove)");
		row.due_us = house_now_us(q->house);
		q->counters.suppressed++;
	}
	delivery_id_make(q->house, row.delivery_id);
	return row;
}

/* A group, or an alias of several, that the sender wants to hear of: a row that is done but for the telling. */
static bool
is_first_of_group(const struct queue_submission *s, size_t i)
{
	const struct queue_rcpt *r = &s->rcpts[i];

	if (!r->target.expanded || r->envelope.n == 0 || s->reverse_path.n == 0 || s->sender_unproven ||
	    !envelope_notify(r->envelope, SLICE("SUCCESS")))
		return false;
	/* The targets of a recipient follow each other. */
	return i == 0 || !slice_eq(s->rcpts[i - 1].original, r->original);
}

static struct row_rcpt
make_group(struct queue *q, const struct queue_rcpt *r)
{
	struct row_rcpt row = {
	    .kind = QUEUE_TARGET_NONE,
	    .original = r->original,
	    .address = r->original,
	    .envelope = r->envelope,
	    .state = ROW_TO_TELL,
	    .result = RESULT_EXPANDED,
	    .changed_us = house_now_us(q->house),
	    .status = SLICE("2.1.5"),
	    .lane = LANE_NORMAL,
	};

	delivery_id_make(q->house, row.delivery_id);
	return row;
}

/* The rows of what was submitted. `start`: the beginning of its header. */
static int
make_rows(struct queue *q, const struct queue_submission *s, struct arena *a, struct slice start, struct row_new *n)
{
	size_t header_max = (size_t)q->house->limits.message_header_bytes;
	struct slice added = header_message_id(s->head, header_max); /* where the message had none */
	int64_t now_us = house_now_us(q->house);
	struct deadlines when = envelope_deadlines(s->envelope, now_us);
	enum lane lane = lane_choose(q, s, start);

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
	    .recipients = (int64_t)s->rcpts_n,
	    .head = s->head,
	    .body = s->body,
	    .in_file = s->blob.n > 0,
	    .junk = s->junk,
	    .forged = s->forged,
	    .findings = text_clean(a, s->findings, FINDINGS_MAX),
	    .message_id = added.n > 0 ? added : header_message_id(start, header_max),
	};
	n->rcpts = ARENA_ARRAY(a, struct row_rcpt, s->rcpts_n * 2);
	if (n->rcpts == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < s->rcpts_n; i++) {
		if (is_first_of_group(s, i)) {
			n->rcpts[n->rcpts_n] = make_group(q, &s->rcpts[i]);
			n->rcpts[n->rcpts_n++].number = (int64_t)i + 1;
			n->to_tell = true;
		}
		n->rcpts[n->rcpts_n] = make_rcpt(q, s, &s->rcpts[i], &when, lane, a);
		n->rcpts[n->rcpts_n++].number = (int64_t)i + 1;
	}
	return arena_failed(a) ? ERR_LIMIT : 0;
}

/* ---- acceptance -------------------------------------------------------------------------------------- */

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
	if (err == 0 && n->to_tell)
		success_wake(q);
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

	arena_init(&a, (s->rcpts_n + 1) * 2 * (sizeof(struct row_rcpt) + sizeof(void *) + 512) + (1u << 20));
	if (bad != NULL)
		return refuse(q, SUBMIT_REFUSED, detail, bad);
	if (q->failed != 0 || q->stopping)
		return refuse(q, SUBMIT_TEMPFAIL, detail, "the queue is closed");
	if (blob_disk_low(q) && !s->despite_low_disk)
		return refuse(q, SUBMIT_NO_SPACE, detail, "there is little space left on the disk");
	if (s->blob.n > 0) {
		err = blob_take(q, s->blob, s->blob_owner, s->id, &a, &start);
		/* The same submission once more, whose file was taken by the first. */
		if (err != 0 && err != ERR_NOTFOUND && err != ERR_EXISTS)
			return refuse_error(q, err, detail);
		if (err != 0)
			return refuse(q, SUBMIT_TEMPFAIL, detail, "the body of the message is gone");
	}
	err = make_rows(q, s, &a, start, &n);
	entered = ARENA_ARRAY(&a, struct window_rcpt *, n.rcpts_n + 1);
	if (err != 0 || entered == NULL) {
		if (s->blob.n > 0)
			blob_discard(q, s->id);
		return refuse_error(q, ERR_NOMEM, detail);
	}
	return commit(q, s, &n, entered, detail);
}
