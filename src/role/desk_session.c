/* desk_session.c: signed-in connections. The porch has checked the password and passes the client's bytes through a
 * socket pair; the ticket, which the vault gave out for it, says whose account it is. Each session is a fiber that
 * runs its protocol's session to the end. */
#include "role/desk_private.h"
#include "role/submit_bus.h"

#define CANCEL_MS 5000
#define BACK_MS 30000 /* the porch is asked to take a client back */
#define BACK_BYTES_MAX ((size_t)1 << 20)

struct session {
	struct list_node node;
	struct desk *d;
	struct fiber *fiber;
	struct stream *stream;
	struct store_account *account;
	enum bus_service service;
	bool utf8, stopping;
	bool back;            /* the client has left the account and goes back to its porch */
	int porch;            /* index */
	int64_t porch_number; /* what that knows the session by; 0: nothing */
	bool moving;          /* the operator's */
	struct arena mem;     /* what follows lies here */
	struct slice account_id, login, client, helo, tls, tag;
};

/* ---- running ------------------------------------------------------------------------------------------------------ */

static void
serve_submission(struct session *s)
{
	struct desk *d = s->d;
	struct submit_bus backend = {.bus = d->c->bus, .origin = ORIGIN_ACCOUNT, .account_id = s->account_id};
	bool v6 = slice_find_byte(s->client, ':') != SLICE_NONE;
	struct slice literal = arena_printf(&s->mem, "[%s%.*s]", v6 ? "IPv6:" : "", SLICE_ARG(s->client));
	const struct slice own_names[] = {d->c->settings->hostname};

	smtp_session(s->stream,
	    &(struct smtp_session_config){.loop = d->c->loop,
		.sessions = &d->smtp,
		.workers = d->workers,
		.hostname = d->c->settings->hostname,
		.own_names = {own_names, COUNT_OF(own_names)},
		.backend = submit_bus_backend(&backend),
		.client = s->client,
		.client_literal = literal,
		.submission = true,
		.signed_in = true,
		.policy = {.plain = d->c->settings->plain},
		.beginning = SMTP_BEGINS_SIGNED_IN,
		.helo = s->helo,
		.tls_text = s->tls});
}

static int
serve_imap(struct session *s)
{
	struct desk *d = s->d;
	struct imap_sharing sharing = desk_sharing(d);

	return imap_session(s->stream, s->account,
	    &(struct imap_session_config){.house = d->c->house,
		.loop = d->c->loop,
		.workers = d->workers,
		.login = s->login,
		.client = s->client,
		.tls = s->tls,
		.tag = s->tag,
		.moving = s->moving,
		.sharing = &sharing,
		.counters = &d->imap,
		.stopping = &s->stopping,
		.back = s->porch_number != 0 ? &s->back : NULL});
}

static int
serve_pop3(struct session *s)
{
	struct desk *d = s->d;

	return pop3_session(s->stream, s->account,
	    &(struct pop3_session_config){.house = d->c->house,
		.loop = d->c->loop,
		.login = s->login,
		.client = s->client,
		.tls = s->tls,
		.utf8 = s->utf8,
		.refused = desk_pop3_too_soon(d, s->account_id),
		.counters = &d->pop3,
		.stopping = &s->stopping});
}

static void
session_free(struct session *s)
{
	stream_close(&s->stream);
	store_account_put(&s->account);
	if (list_linked(&s->node)) {
		list_remove(&s->node);
		s->d->sessions_count--;
	}
	arena_free(&s->mem);
	free(s);
}

/* Gives the client back to its porch, with all that it has sent meanwhile. */
static int
give_back(struct session *s)
{
	struct bus *b = s->d->c->bus;
	struct bus_porch_return_request q = {.session = s->porch_number};
	struct bus_porch_returned_request last = {.session = s->porch_number};
	struct bus_porch_return_reply rep;
	struct bus_porch_returned_reply last_rep;
	struct arena ARENA_CLEANUP a;
	int err;

	arena_init(&a, 65536);
	err = BUS_CALL(b, ROLE_PORCH, s->porch, porch_return, &q, &a, &rep, BACK_MS);
	stream_set_timeouts(s->stream, BACK_MS, BACK_MS);
	while (err == 0)
		err = stream_fill(s->stream, BACK_BYTES_MAX);
	if (err != ERR_CLOSED)
		return err;
	last.pending = stream_pending(s->stream);
	return BUS_CALL(b, ROLE_PORCH, s->porch, porch_returned, &last, &a, &last_rep, BACK_MS);
}

static void
run_session(void *arg)
{
	struct session *s = arg;
	int err = 0;

	s->fiber = fiber_self(s->d->c->loop);
	switch (s->service) {
	case SERVICE_IMAP: err = serve_imap(s); break;
	case SERVICE_POP3: err = serve_pop3(s); break;
	case SERVICE_SUBMISSION: serve_submission(s); break;
	default: break;
	}
	if (s->back && err == 0)
		err = give_back(s);
	LOG(s->d->c->house, DEBUG, "session_ended", LOG_S("account", s->account_id), LOG_S("client", s->client),
	    LOG_I("service", s->service), LOG_E(err));
	session_free(s);
}

/* ---- taking ---------------------------------------------------------------------------------------------------------- */

static int
redeem(struct desk *d, struct slice ticket, int64_t service, struct arena *mem, struct slice *account_id)
{
	struct bus_vault_redeem_request q = {.ticket = ticket};
	struct bus_vault_redeem_reply rep = {0};
	int err = BUS_CALL(d->c->bus, ROLE_VAULT, 0, vault_redeem, &q, mem, &rep, DESK_ASK_MS);

	if (err != 0)
		return err;
	if (rep.service != service) /* a ticket for another service is none */
		return ERR_DENIED;
	*account_id = rep.account_id;
	return 0;
}

static int
fill_session(struct session *s, const struct bus_desk_session_request *q)
{
	struct arena *mem = &s->mem;
	int err = redeem(s->d, q->ticket, q->service, mem, &s->account_id);
	struct desk_account settings;

	if (err == 0)
		err = desk_account_settings(s->d, s->account_id, false, &settings);
	if (err == 0 && !settings.enabled)
		err = ERR_DENIED;
	if (err == 0)
		err = desk_account_open(s->d, s->account_id, true, &s->account);
	if (err != 0)
		return err;
	s->service = (enum bus_service)q->service;
	s->utf8 = q->utf8 == 1;
	s->porch_number = q->session;
	s->login = arena_copy(mem, q->login);
	s->client = arena_copy(mem, q->client);
	s->helo = arena_copy(mem, q->helo);
	s->tls = arena_copy(mem, q->tls);
	s->tag = arena_copy(mem, q->tag);
	return arena_failed(mem) ? ERR_LIMIT : 0;
}

static int
fill_operator(struct session *s, const struct bus_desk_operator_request *q)
{
	int err = desk_account_open(s->d, q->account_id, true, &s->account);

	s->service = SERVICE_IMAP;
	s->moving = true;
	s->account_id = arena_copy(&s->mem, q->account_id);
	s->login = arena_copy(&s->mem, q->login);
	s->client = SLICE("operator");
	s->tls = SLICE_EMPTY;
	s->tag = SLICE("0");
	return err != 0 ? err : arena_failed(&s->mem) ? ERR_LIMIT : 0;
}

static int
new_session(struct desk *d, struct session **out)
{
	struct session *s = d->stopping ? NULL : calloc(1, sizeof(*s));

	*out = s;
	if (s == NULL)
		return d->stopping ? ERR_UNAVAILABLE : ERR_NOMEM;
	s->d = d;
	arena_init(&s->mem, 1u << 20);
	return 0;
}

/* It has been filled, with this result; takes the socket. */
static int
begin_session(struct session *s, int err, int64_t *socket)
{
	struct desk *d = s->d;

	if (err == 0 && d->stopping)
		err = ERR_UNAVAILABLE;
	if (err == 0 && (err = stream_new(&s->stream, d->c->loop, (int)*socket)) == 0)
		*socket = -1;
	if (err != 0) {
		d->sessions_refused++;
		session_free(s);
		return err;
	}
	list_push(&d->sessions, &s->node);
	d->sessions_count++;
	d->sessions_total++;
	if ((err = fiber_start(d->c->loop, "session", run_session, s, NULL)) != 0)
		session_free(s);
	return err;
}

int
desk_session_take(struct desk *d, int porch, struct bus_desk_session_request *q)
{
	struct session *s;
	int err;

	if (q->pending.n > 0) /* what follows the sign-in comes through the socket */
		return ERR_INVALID;
	if (q->service != SERVICE_IMAP && q->service != SERVICE_POP3 && q->service != SERVICE_SUBMISSION)
		return ERR_UNSUPPORTED;
	err = new_session(d, &s);
	if (err != 0)
		return err;
	s->porch = porch;
	return begin_session(s, fill_session(s, q), &q->socket);
}

int
desk_session_take_operator(struct desk *d, struct bus_desk_operator_request *q)
{
	struct session *s;
	int err = new_session(d, &s);

	return err != 0 ? err : begin_session(s, fill_operator(s, q), &q->socket);
}

static void
wait_for_sessions(struct desk *d, int64_t end_ms)
{
	while (d->sessions_count > 0 && loop_now_ms(d->c->loop) < end_ms)
		if (fiber_sleep(d->c->loop, 10) != 0)
			return;
}

static void
end_session(struct session *s)
{
	s->stopping = true;
	if (s->fiber != NULL && s->service != SERVICE_SUBMISSION)
		fiber_wake(s->fiber);
}

void
desk_sessions_end_of(struct desk *d, struct slice account_id)
{
	LIST_FOREACH (&d->sessions, n) {
		struct session *s = CONTAINER_OF(n, struct session, node);

		if (!slice_eq(s->account_id, account_id))
			continue;
		end_session(s);
		if (s->fiber != NULL && s->service == SERVICE_SUBMISSION)
			fiber_cancel(s->fiber);
	}
}

void
desk_sessions_end(struct desk *d, int64_t end_ms)
{
	d->stopping = true;
	smtp_sessions_stop(&d->smtp);
	LIST_FOREACH (&d->sessions, n)
		end_session(CONTAINER_OF(n, struct session, node));
	wait_for_sessions(d, end_ms);
	LIST_FOREACH (&d->sessions, n) {
		struct session *s = CONTAINER_OF(n, struct session, node);

		if (s->fiber != NULL)
			fiber_cancel(s->fiber);
	}
	wait_for_sessions(d, loop_deadline(d->c->loop, CANCEL_MS));
}
