/* queue_attempt.c: one attempt, on a fiber of the schedule: asks the desk or a courier and turns the answer into
 * outcomes. When nobody can be asked (the process is being restarted) the job goes back to the front of its destination;
 * after a few times it is put off as any other failure, so that a message that kills its courier does not do so
 * for ever. */
#include "queue/queue_private.h"

#define ATTEMPT_ARENA_BYTES ((size_t)8 << 20)
#define REFUSED_MAX 5
#define REPLY_MAX 1000

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}
#define FD_CLEANUP __attribute__((cleanup(close_fd)))

static void
set(struct outcome *o, enum outcome_kind kind, const char *status, struct slice reply)
{
	o->kind = kind;
	o->status = slice_z(status);
	o->reply = reply;
}

/* ---- local -------------------------------------------------------------------------------------------- */

static int
attempt_local(struct queue *q, struct destination *d, struct window_message *m, struct carried *c, struct arena *a,
    struct outcome *o)
{
	struct window_rcpt *r = o->rcpt;
	struct bus_desk_deliver_request req = {
	    .delivery_id = slice_of(r->delivery_id, DELIVERY_ID_LEN),
	    .account_id = r->account_id,
	    .message_id = m->id,
	    .reverse_path = r->return_path_set ? r->return_path : m->reverse_path,
	    .recipient = r->original,
	    .received_us = m->received_us,
	    .mailbox = m->junk ? SLICE("junk") : SLICE_EMPTY,
	    .head = c->head,
	    .body = c->body,
	    .file = c->fd,
	    .size_bytes = m->size_bytes,
	};
	struct bus_desk_deliver_reply rep = {0};
	int err = q->c.ops.deliver(q->c.ops.ctx, d->desk, &req, a, &rep);
	struct slice detail;

	if (err != 0)
		return err;
	detail = text_clean(a, rep.detail, REPLY_MAX);
	switch ((enum bus_deliver)rep.result) {
	case DELIVER_OK:
	case DELIVER_DUPLICATE: set(o, OUTCOME_AWAITING, "2.0.0", SLICE_EMPTY); break;
	case DELIVER_OVER_QUOTA:
	case DELIVER_FULL: set(o, OUTCOME_DEFER, "4.2.2", detail.n > 0 ? detail : SLICE("the mailbox is full")); break;
	case DELIVER_NO_ACCOUNT:
		set(o, OUTCOME_FAIL, "5.1.1", detail.n > 0 ? detail : SLICE("there is no such mailbox here"));
		break;
	case DELIVER_TEMPFAIL:
	default:
		set(o, OUTCOME_DEFER, "4.3.0", detail.n > 0 ? detail : SLICE("the mailbox could not be written"));
		break;
	}
	return 0;
}

/* ---- remote ------------------------------------------------------------------------------------------- */

static struct slice
list_at(struct slice_list l, size_t i)
{
	return i < l.n ? l.v[i] : SLICE_EMPTY;
}

static void
read_result(const struct bus_courier_send_reply *rep, size_t i, struct arena *a, struct outcome *o)
{
	uint64_t result = 0, reply_class = 0;

	o->code = text_clean(a, list_at(rep->codes, i), 3);
	o->status = text_clean(a, list_at(rep->statuses, i), 16);
	o->reply = text_clean(a, list_at(rep->texts, i), REPLY_MAX);
	o->host = text_clean(a, rep->host, 300);
	if (slice_to_u64(list_at(rep->results, i), SEND_FAIL, &result) != 0)
		result = 0;
	if (slice_to_u64(list_at(rep->classes, i), 1000, &reply_class) == 0)
		o->reply_class = (enum bus_reply_class)reply_class;
	o->reports = slice_eq(list_at(rep->dsn, i), SLICE("1"));
	if (result == SEND_OK)
		o->kind = OUTCOME_SENT;
	else
		o->kind = result == SEND_FAIL ? OUTCOME_FAIL : OUTCOME_DEFER;
	/* How well it was protected on its way belongs to the story. */
	if (o->kind == OUTCOME_SENT && rep->tls.n > 0)
		o->reply = arena_printf(
		    a, "%.*s (sent over %.*s)", SLICE_ARG(o->reply), SLICE_ARG(text_clean(a, rep->tls, REPLY_MAX)));
	if (o->reply.n == 0 && o->kind != OUTCOME_SENT)
		o->reply = text_clean(a, rep->detail, REPLY_MAX);
	if (o->status.n == 0)
		o->status = o->kind == OUTCOME_SENT ? SLICE("2.0.0")
		    : o->kind == OUTCOME_FAIL       ? SLICE("5.0.0")
						    : SLICE("4.0.0");
}

/* What the answers say of the site as a whole: one that was not reached at all, one that wants less. */
static void
tell_site(struct queue *q, struct site *s, const struct outcome *o, size_t n)
{
	size_t down = 0, less = 0, sent = 0;

	for (size_t i = 0; i < n; i++) {
		sent += o[i].kind == OUTCOME_SENT;
		s->deferred += o[i].kind == OUTCOME_DEFER;
		s->failed += o[i].kind == OUTCOME_FAIL;
		if (o[i].kind != OUTCOME_DEFER)
			continue;
		/* A connection that broke after the server had spoken says less. */
		if (o[i].reply_class == REPLY_CONNECTION || o[i].reply_class == REPLY_DNS)
			*(o[i].code.n == 0 ? &down : &less) += 1;
		else if (o[i].reply_class == REPLY_RATE_LIMITED || o[i].reply_class == REPLY_BLOCKLISTED ||
		    slice_eq(o[i].code, SLICE("421")))
			less++;
	}
	s->sent += (int64_t)sent;
	warmup_count(q, s, (int64_t)sent);
	site_feedback(q, s,
	    n > 0 && down == n ? SITE_DOWN
		: less > 0     ? SITE_TOO_MUCH
			       : SITE_GOOD,
	    n > 0 ? &o[0] : NULL);
}

static int
attempt_remote(struct queue *q, struct destination *d, struct window_message *m, struct carried *c, struct arena *a,
    struct outcome *o, size_t n)
{
	struct slice *recipients = ARENA_ARRAY(a, struct slice, n), *envelopes = ARENA_ARRAY(a, struct slice, n);
	const struct window_rcpt *first = o[0].rcpt;
	struct site *s = d->site;
	struct bus_courier_send_request req = {
	    .id = m->id,
	    .domain = d->domain,
	    .route = d->route,
	    .reverse_path = first->return_path_set ? first->return_path : m->reverse_path,
	    .envelope = m->envelope,
	    .recipients = {recipients, n},
	    .recipient_envelopes = {envelopes, n},
	    .head = c->head,
	    .body = c->body,
	    .file = c->fd,
	    .size_bytes = m->size_bytes,
	    .connection_messages = s->rate.connection_messages,
	};
	struct bus_courier_send_reply rep = {0};
	int err;

	if (recipients == NULL || envelopes == NULL)
		return ERR_NOMEM;
	if (!slice_is_utf8(req.domain, true)) {
		for (size_t i = 0; i < n; i++)
			set(&o[i], OUTCOME_FAIL, "5.1.2", SLICE("the domain of the address is not valid"));
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		recipients[i] = o[i].rcpt->address;
		envelopes[i] = o[i].rcpt->envelope;
	}
	err = q->c.ops.send(q->c.ops.ctx, &req, a, &rep);
	warmup_count(q, s, -(int64_t)n);
	for (size_t i = 0; err == 0 && i < n; i++)
		read_result(&rep, i, a, &o[i]);
	if (err == 0) {
		if (o[0].reply_class != REPLY_DNS && d->site == s)
			site_learn(q, d, text_clean(a, rep.site, 300));
		tell_site(q, d->site, o, n);
	}
	return err;
}

/* ---- both ----------------------------------------------------------------------------------------------- */

static size_t
begin(struct job *j, struct outcome *o, size_t max)
{
	size_t n = 0;

	LIST_FOREACH (&j->rcpts, node) {
		struct window_rcpt *r = CONTAINER_OF(node, struct window_rcpt, node);

		if (o != NULL && n < max) {
			r->way = WAY_RUNNING;
			o[n].rcpt = r;
		}
		n++;
	}
	return n;
}

static int
ask(struct queue *q, struct destination *d, struct window_message *m, struct arena *a, struct outcome *o, size_t n)
{
	struct carried c = {.fd = -1};
	int fd FD_CLEANUP = -1;
	int err;

	if (d->kind == QUEUE_TARGET_NONE) {
		for (size_t i = 0; i < n; i++) {
			o[i].kind = o[i].rcpt->overdue ? OUTCOME_DEFER : OUTCOME_FAIL;
			o[i].status = o[i].rcpt->status;
			o[i].reply = o[i].rcpt->reply;
			o[i].reply_class = o[i].rcpt->overdue ? REPLY_CONNECTION : REPLY_NONE;
		}
		return 0;
	}
	err = content_load(q, m, a, &c);
	fd = c.fd;
	if (err != 0)
		return err;
	return d->kind == QUEUE_TARGET_LOCAL ? attempt_local(q, d, m, &c, a, o) : attempt_remote(q, d, m, &c, a, o, n);
}

static void
put_off(struct outcome *o, size_t n, struct arena *a, enum queue_target_kind kind, int err)
{
	for (size_t i = 0; i < n; i++) {
		if (err == ERR_DAMAGED)
			set(&o[i], OUTCOME_DEFER, "4.3.0", SLICE("the message cannot be read here"));
		else
			set(&o[i], OUTCOME_DEFER, "4.3.2",
			    arena_printf(a, "the %s could not be asked: %s",
				kind == QUEUE_TARGET_LOCAL ? "desk" : "courier", err_text(err)));
	}
}

/* Leaves out what the desk has reported durable meanwhile. */
static size_t
drop_durable(struct queue *q, struct outcome *o, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		struct window_rcpt *r = o[i].rcpt;
		struct slice id = slice_of(r->delivery_id, DELIVERY_ID_LEN);

		if (!r->durable) {
			o[kept++] = o[i];
			continue;
		}
		forget_add(q, r->account_id, (struct slice_list){&id, 1});
		window_rcpt_remove(q, r);
	}
	return kept;
}

bool
attempt_run(struct queue *q, struct destination *d, struct job *j)
{
	struct arena a ARENA_CLEANUP;
	struct window_message *m = j->message;
	size_t n = begin(j, NULL, 0);
	struct outcome *o;
	int err;

	arena_init(&a, ATTEMPT_ARENA_BYTES);
	o = ARENA_ARRAY(&a, struct outcome, n + 1);
	if (o == NULL) {
		window_job_return(q, d, j);
		return false;
	}
	(void)begin(j, o, n);
	err = n == 0 ? 0 : ask(q, d, m, &a, o, n);
	n = drop_durable(q, o, n);
	if (err == ERR_NOTFOUND) {
		/* The message has left: these rows were done before the page that showed them was used. */
		for (size_t i = 0; i < n; i++)
			window_rcpt_remove(q, o[i].rcpt);
		n = 0;
	} else if (err != 0) {
		LOG(q->house, WARN, "attempt_not_made", LOG_S("id", m->id), LOG_S("destination", d->key), LOG_E(err));
		if (err == ERR_CANCELLED || q->stopping || (err != ERR_DAMAGED && ++j->refused < REFUSED_MAX)) {
			window_job_return(q, d, j);
			return false;
		}
		put_off(o, n, &a, d->kind, err);
	}
	if (n > 0)
		finish_outcomes(q, m, o, n);
	ASSERT(list_empty(&j->rcpts));
	free(j);
	window_message_unref(q, m);
	return err == 0 || err == ERR_NOTFOUND || err == ERR_DAMAGED;
}
