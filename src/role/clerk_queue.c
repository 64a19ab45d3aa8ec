/* clerk_queue.c: the queue's side of the clerk: takes messages from gates and desks, has them delivered by desks and
 * carried by couriers. */
#include "role/clerk_private.h"

#include <sysexits.h>

#define SUBMIT_ARENA_BYTES ((size_t)16 << 20)
#define DETAIL_BYTES 4096
#define PATH_BYTES_MAX 1000u

/* ---- acceptance ------------------------------------------------------------------------------------- */

static const char *
not_allowed(struct clerk *k, const struct bus_peer *from, const struct bus_clerk_submit_request *q)
{
	if (bus_peer_role(from) == ROLE_GATE && q->origin == ORIGIN_SUBMITTER)
		return NULL; /* who it is, is looked at with the sender */
	if (bus_peer_role(from) == ROLE_GATE)
		return q->origin == ORIGIN_STRANGER && q->account_id.n == 0 ? NULL
									    : "a gate takes mail of strangers only";
	if (q->origin != ORIGIN_ACCOUNT && q->origin != ORIGIN_SYSTEM)
		return "a desk submits for its accounts only";
	/* Out-of-office answers: what goes to many, or in somebody's name, has a sender that is looked at. */
	if (q->origin == ORIGIN_SYSTEM && (q->reverse_path.n > 0 || q->recipients.n != 1))
		return "an answer has the null sender and one recipient";
	return q->account_id.n > 0 && account_desk(q->account_id, k->c->desks) == bus_peer_index(from)
	    ? NULL
	    : "the account belongs to another desk";
}

/* One line of printable bytes: an address, or the empty path. */
static bool
is_path(struct slice s)
{
	if (s.n > PATH_BYTES_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (slice_at(s, i) < 32 || slice_at(s, i) == 127)
			return false;
	return true;
}

/* What no gate or desk of ours sends: from here on it is in queue.db, in reports and on other servers' lines. */
static const char *
not_sound(struct clerk *k, const struct bus_clerk_submit_request *q)
{
	const struct limits *l = &k->c->house->limits;

	if (q->recipients.n > (size_t)l->smtp_recipients)
		return "the message has too many recipients";
	if (q->recipient_envelopes.n != 0 && q->recipient_envelopes.n != q->recipients.n)
		return "the recipients' parameters are not as many as they are";
	if (q->size_bytes < 0 || q->size_bytes > l->smtp_message_bytes)
		return "the message is too large";
	if (q->blob.n == 0 && (uint64_t)q->size_bytes != q->body.n)
		return "the message is not as large as it says";
	if (!is_path(q->reverse_path))
		return "the sender is not an address";
	for (size_t i = 0; i < q->recipients.n; i++)
		if (!is_path(q->recipients.v[i]))
			return "a recipient is not an address";
	return NULL;
}

/* What the gate or the desk has asked already is asked again: the answer is the clerk's. `sender` is whose rates the message has
 * been counted for. */
static enum bus_submit
check_sender(struct clerk *k, const struct bus_peer *from, const struct bus_clerk_submit_request *q,
    struct clerk_sender *sender, struct buf *detail)
{
	int err = clerk_sender_find(k, from, q->origin, q->account_id, q->client, q->reverse_path, sender);

	if (err != 0 && err != ERR_DENIED) {
		buf_put_z(detail, "the directory could not be read");
		return SUBMIT_TEMPFAIL;
	}
	if (err == ERR_DENIED || sender->result != SENDER_OK) {
		buf_put_z(detail, "the sender is not an address of who submits the message");
		return SUBMIT_REFUSED;
	}
	if ((sender->message_bytes > 0 && q->size_bytes > sender->message_bytes) ||
	    (sender->recipients > 0 && q->recipients.n > (uint64_t)sender->recipients)) {
		buf_put_z(detail, "the message is larger, or has more recipients, than this sender may submit");
		return SUBMIT_REFUSED;
	}
	return clerk_sender_take(k, sender, (int64_t)q->recipients.n, true, detail) ? SUBMIT_OK : SUBMIT_RATE;
}

/* Strangers get no further than our own addresses, and a message for nobody is refused rather than bounced. */
static enum bus_submit
check_targets(const struct bus_clerk_submit_request *q, const struct queue_rcpt *v, size_t n, struct buf *detail)
{
	size_t nobody = 0;
	bool loop = false;

	if (q->origin != ORIGIN_STRANGER)
		return SUBMIT_OK;
	for (size_t i = 0; i < n; i++) {
		const struct queue_target *t = &v[i].target;

		nobody += t->kind == QUEUE_TARGET_NONE;
		loop = loop || (t->kind == QUEUE_TARGET_NONE && slice_eq(t->status, SLICE("5.4.6")));
		if (t->kind == QUEUE_TARGET_REMOTE && t->via.n == 0) {
			buf_put_z(detail, "relaying is not permitted");
			return SUBMIT_REFUSED;
		}
	}
	if (nobody < n)
		return SUBMIT_OK;
	buf_put_z(detail, "there is nobody to deliver this to");
	return loop ? SUBMIT_LOOP : SUBMIT_REFUSED;
}

static enum bus_submit
submit_sound(struct clerk *k, const struct bus_peer *from, const struct bus_clerk_submit_request *asked, bool program,
    struct arena *a, struct buf *detail)
{
	struct bus_clerk_submit_request there = *asked, *q = &there;
	struct queue_submission s = {.id = q->id,
	    .origin = (enum bus_origin)q->origin,
	    .account_id = q->account_id,
	    .reverse_path = q->reverse_path,
	    .envelope = q->envelope,
	    .client = q->client,
	    .helo = q->helo,
	    .tls = q->tls,
	    .head = q->head,
	    .body = q->body,
	    .blob = q->blob,
	    .blob_owner = clerk_blob_owner(bus_peer_role(from), bus_peer_index(from)),
	    .size_bytes = q->size_bytes,
	    .junk = (q->judged & JUDGED_JUNK) != 0,
	    .sender_unproven = (q->judged & JUDGED_UNPROVEN) != 0,
	    .forged = (q->judged & JUDGED_FORGED) != 0,
	    .findings = q->findings};
	enum bus_submit targets;
	int err;

	if (q->origin == ORIGIN_SUBMITTER) /* a ticket is nobody's account */
		q->account_id = s.account_id = SLICE_EMPTY;
	err = clerk_program_addresses(k, asked->recipients, program, a, &q->recipients);
	if (err == 0)
		err = clerk_recipients(k, from, q, a, &s);
	if (err != 0) {
		LOG(k->c->house, ERROR, "recipients_not_expanded", LOG_S("id", q->id), LOG_E(err));
		buf_put_z(detail,
		    err == ERR_LIMIT ? "the message has too many recipients" : "the directory could not be read");
		return err == ERR_LIMIT ? SUBMIT_REFUSED : SUBMIT_TEMPFAIL;
	}
	targets = check_targets(q, s.rcpts, s.rcpts_n, detail);
	if (targets != SUBMIT_OK)
		return targets;
	err = clerk_sign(k, &s, a);
	if (err != 0) {
		LOG(k->c->house, ERROR, "mail_not_signed", LOG_S("id", q->id), LOG_E(err));
		buf_put_z(detail, "the message could not be signed");
		return err == ERR_FULL ? SUBMIT_NO_SPACE : SUBMIT_TEMPFAIL;
	}
	return queue_submit(k->queue, &s, detail);
}

static enum bus_submit
submit(struct clerk *k, const struct bus_peer *from, const struct bus_clerk_submit_request *q, struct arena *a,
    struct buf *detail)
{
	const char *why = not_allowed(k, from, q);
	struct clerk_sender sender;
	enum bus_submit result;

	if (why == NULL)
		why = not_sound(k, q);
	if (why != NULL) {
		LOG(k->c->house, WARN, "submission_refused", LOG_Z("role", bus_role_name(bus_peer_role(from))),
		    LOG_Z("why", why));
		buf_put_z(detail, why);
		return SUBMIT_REFUSED;
	}
	if (q->origin == ORIGIN_STRANGER || q->origin == ORIGIN_SYSTEM)
		return submit_sound(k, from, q, false, a, detail);
	result = check_sender(k, from, q, &sender, detail);
	if (result != SUBMIT_OK)
		return result;
	result = submit_sound(k, from, q, clerk_program_is(k, q->account_id), a, detail);
	if (result != SUBMIT_OK)
		clerk_sender_give_back(k, &sender, (int64_t)q->recipients.n);
	return result;
}

static int
on_submit(struct clerk *k, struct bus_peer *from, struct bus_clerk_submit_request *q, struct arena *a,
    struct bus_clerk_submit_reply *rep)
{
	CLERK_ENTER(k);
	struct arena own ARENA_CLEANUP;
	struct buf detail BUF_CLEANUP;

	arena_init(&own, SUBMIT_ARENA_BYTES);
	buf_init(&detail, DETAIL_BYTES);
	k->counters.submit++;
	rep->result = submit(k, from, q, &own, &detail);
	rep->detail = arena_copy(a, buf_slice(&detail));
	return 0;
}

static int
on_blob_create(struct clerk *k, struct bus_peer *from, struct bus_clerk_blob_create_request *q, struct arena *a,
    struct bus_clerk_blob_create_reply *rep)
{
	CLERK_ENTER(k);
	char name[QUEUE_BLOB_NAME_MAX];
	int fd = -1,
	    err = queue_blob_create(k->queue, clerk_blob_owner(bus_peer_role(from), bus_peer_index(from)), name, &fd);

	(void)q;
	rep->file = fd;
	if (err == 0)
		rep->blob = arena_copy(a, slice_z(name));
	return err;
}

/* ---- reports --------------------------------------------------------------------------------------------- */

static int
on_delivered(struct clerk *k, struct bus_peer *from, struct bus_clerk_delivered_request *q, struct arena *a,
    struct bus_clerk_delivered_reply *rep)
{
	CLERK_ENTER(k);
	(void)a;
	(void)rep;
	if (account_desk(q->account_id, k->c->desks) != bus_peer_index(from))
		return ERR_DENIED;
	return queue_delivered(k->queue, q->account_id, q->delivery_ids);
}

static int
on_history(struct clerk *k, struct bus_peer *from, struct bus_clerk_history_request *q, struct arena *a,
    struct bus_clerk_history_reply *rep)
{
	CLERK_ENTER(k);
	(void)from;
	(void)a;
	(void)rep;
	/* What has become of a message the queue itself writes down. */
	if (q->kind != HISTORY_NOTE)
		return ERR_DENIED;
	return queue_history_add(k->queue, q->id, q->recipient, (enum bus_history)q->kind, q->detail);
}

void
clerk_queue_handle(struct clerk *k)
{
	BUS_HANDLE(k->c->bus, clerk_submit, on_submit, k);
	BUS_HANDLE(k->c->bus, clerk_blob_create, on_blob_create, k);
	BUS_HANDLE(k->c->bus, clerk_delivered, on_delivered, k);
	BUS_HANDLE(k->c->bus, clerk_history, on_history, k);
}

void
clerk_peer_gone(struct clerk *k, enum bus_role role, int index)
{
	if (k->queue == NULL)
		return;
	queue_blob_owner_gone(k->queue, clerk_blob_owner(role, index));
	if (role == ROLE_DESK)
		queue_desk_lost(k->queue, index);
}

/* ---- what the queue asks ------------------------------------------------------------------------------------ */

static int
ask_deliver(
    void *ctx, int desk, const struct bus_desk_deliver_request *r, struct arena *a, struct bus_desk_deliver_reply *rep)
{
	struct clerk *k = ctx;
	int err = BUS_CALL(k->c->bus, ROLE_DESK, desk, desk_deliver, r, a, rep, CLERK_ASK_MS);

	if (err == 0 && rep->result == DELIVER_FULL)
		clerk_full_put(k, r->account_id);
	return err;
}

/* The next courier that is there. */
static int
next_courier(struct clerk *k)
{
	int n = bus_peer_count(k->c->bus, ROLE_COURIER);

	for (int i = 0; i < n; i++) {
		k->next_courier = (k->next_courier + 1) % n;
		if (bus_peer(k->c->bus, ROLE_COURIER, k->next_courier) != NULL)
			break;
	}
	return k->next_courier;
}

static int
ask_send(void *ctx, const struct bus_courier_send_request *r, struct arena *a, struct bus_courier_send_reply *rep)
{
	struct clerk *k = ctx;

	return BUS_CALL(k->c->bus, ROLE_COURIER, next_courier(k), courier_send, r, a, rep, CLERK_SEND_MS);
}

static int
ask_forget(void *ctx, int desk, const struct bus_desk_forget_request *r)
{
	struct clerk *k = ctx;
	struct bus_desk_forget_reply rep;
	struct arena a ARENA_CLEANUP;

	arena_init(&a, 4096);
	if (k->backing_up) /* it reports them again some day, and is told then */
		return ERR_UNAVAILABLE;
	return BUS_CALL(k->c->bus, ROLE_DESK, desk, desk_forget, r, &a, &rep, CLERK_ASK_MS);
}

static int
which_desk(void *ctx, struct slice account_id)
{
	struct clerk *k = ctx;

	return account_desk(account_id, k->c->desks);
}

/* What [site SUFFIX] says; the longest suffix that fits counts. */
static void
which_site_rate(void *ctx, struct slice site, int64_t *connections, int64_t *connection_messages, int64_t *per_minute)
{
	struct clerk *k = ctx;
	const struct settings *s = k->c->settings;
	const struct site_settings *best = NULL;

	for (size_t i = 0; i < s->sites_count; i++)
		if (queue_site_fits(site, s->sites[i].suffix) &&
		    (best == NULL || s->sites[i].suffix.n > best->suffix.n))
			best = &s->sites[i];
	if (best == NULL)
		return;
	*connections = best->connections > 0 ? best->connections : *connections;
	*connection_messages = best->connection_messages > 0 ? best->connection_messages : *connection_messages;
	*per_minute = best->messages_per_minute > 0 ? best->messages_per_minute : *per_minute;
}

static void
which_warmup(void *ctx, int64_t *start, int64_t *growth_percent, int64_t *target)
{
	const struct clerk *k = ctx;
	const struct settings *s = k->c->settings;

	*start = s->warmup_start;
	*growth_percent = s->warmup_growth;
	*target = s->warmup_target;
}

static int
ask_expand(void *ctx, struct slice address, struct arena *a, struct queue_target **v, size_t *n)
{
	struct clerk *k = ctx;
	struct slice there = address;
	struct clerk_expansion x = {.from = {.anybody = true}};
	int err = clerk_program_address(k, address, true, a, &there);

	x.addresses = (struct slice_list){&there, 1};
	if (err == 0)
		err = clerk_targets_expand(k, &x, a);
	*n = 0;
	if (err != 0)
		return err;
	*v = ARENA_ARRAY(a, struct queue_target, x.n + 1);
	if (*v == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < x.n; i++)
		(*v)[(*n)++] = x.v[i].target;
	return 0;
}

/* A report waits for nobody: without a vault it goes unsigned. */
static int
sign_report(void *ctx, struct queue_submission *s, struct arena *a)
{
	int err = clerk_sign(ctx, s, a);

	if (err != 0 && err != ERR_NOMEM && err != ERR_CANCELLED) {
		struct clerk *k = ctx;

		LOG(k->c->house, WARN, "mail_goes_unsigned", LOG_S("id", s->id), LOG_E(err));
		return 0;
	}
	return err;
}

static void
storage_failed(void *ctx, int err, const char *what)
{
	struct clerk *k = ctx;

	LOG(k->c->house, ERROR, "storage_failed", LOG_Z("what", what), LOG_E(err));
	_exit(EX_IOERR); /* the keeper starts the role afresh */
}

struct queue_ops
clerk_queue_ops(struct clerk *k)
{
	return (struct queue_ops){.ctx = k,
	    .deliver = ask_deliver,
	    .send = ask_send,
	    .forget = ask_forget,
	    .desk = which_desk,
	    .site_rate = which_site_rate,
	    .warmup = which_warmup,
	    .expand = ask_expand,
	    .sign = sign_report,
	    .fatal = storage_failed};
}
