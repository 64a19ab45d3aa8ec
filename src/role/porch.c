/* porch.c: the role that talks to users before they have signed in: IMAP, POP3 and submission, each in the clear with
 * STARTTLS or under TLS from the first byte. It has no file, no mailbox and no key. When a password is right, the vault
 * gives a ticket; with it the account's desk takes one end of a socket pair, and the porch joins the other end
 * to the client and forgets everything else about the session.
 *
 * A session's fiber only waits and copies, on a stack that stays small; the talk before sign-in, with its handshake, runs
 * on a fiber of its own whose stack is used again. */
#include "role/listener.h"
#include "role/porch_private.h"
#include "role/submitters.h"

#define STOP_POLL_MS 20
/* Connections to a listener of metrics at a time. */
#define SCRAPERS_MAX 16
/* The most that comes back from a desk: what sockets and streams hold. */
#define RETURNED_BYTES_MAX ((size_t)1 << 20)

/* ---- one session -------------------------------------------------------------------------------------------------- */

static bool
is_implicit_tls(enum listen_service s)
{
	return s == LISTEN_IMAPS || s == LISTEN_POP3S || s == LISTEN_SUBMISSIONS;
}

static void
talk(struct porch_session *s)
{
	struct porch *p = s->porch;
	bool imap = s->service == LISTEN_IMAP || s->service == LISTEN_IMAPS;
	struct signin_ops ops = porch_signin_ops(s);
	struct guest_config c = {.house = p->c->house,
	    .loop = p->c->loop,
	    .tls = tls_bus_server(p->tls),
	    .cleartext_sign_in = p->c->settings->cleartext_sign_in,
	    .again = s->returned,
	    .client = slice_z(s->address),
	    .counters = imap ? &p->imap : &p->pop3,
	    .stopping = &p->stopping};
	int e = 0;

	if (is_implicit_tls(s->service) && !s->returned)
		e = stream_start_tls_server(s->client, tls_bus_server(p->tls),
		    loop_deadline(p->c->loop, p->c->house->limits.handshake_timeout_ms));
	if (e != 0) {
		p->handshakes_failed++;
		LOG(p->c->house, INFO, "handshake_failed", LOG_Z("client", s->address), LOG_E(e));
		return;
	}
	e = imap ? imap_presession(s->client, &c, &ops, &s->desk) : pop3_presession(s->client, &c, &ops, &s->desk);
	if (e != 0 && e != ERR_CLOSED)
		LOG(p->c->house, INFO, "session_ended_early", LOG_Z("client", s->address), LOG_E(e));
}

static void
talk_fiber(void *arg)
{
	struct porch_session *s = arg;

	talk(s);
	s->done = true;
	fiber_wake(s->waiter);
}

/* Runs the talk before sign-in; a cancelled session takes it along. */
static void
run_talk(struct porch_session *s)
{
	struct porch *p = s->porch;

	s->done = false;
	if (fiber_start(p->c->loop, "sign-in", talk_fiber, s, &s->talk) != 0)
		return;
	list_push(&p->waiting, &s->node);
	while (!s->done) {
		if (fiber_park(p->c->loop, DEADLINE_NEVER) != 0) {
			fiber_cancel(s->talk);
			break;
		}
	}
	list_remove(&s->node);
	fiber_join(p->c->loop, &s->talk);
}

/* SMTP's own function joins the desk itself. */
static void
serve_submission(struct porch_session *s)
{
	struct porch *p = s->porch;
	int e = 0;

	if (is_implicit_tls(s->service))
		e = stream_start_tls_server(s->client, tls_bus_server(p->tls),
		    loop_deadline(p->c->loop, p->c->house->limits.handshake_timeout_ms));
	if (e != 0) {
		p->handshakes_failed++;
		LOG(p->c->house, INFO, "handshake_failed", LOG_Z("client", s->address), LOG_E(e));
		return;
	}
	smtp_presession(s->client,
	    &(struct smtp_presession_config){.loop = p->c->loop,
		.sessions = &p->smtp,
		.hostname = p->c->settings->hostname,
		.tls = tls_bus_server(p->tls),
		.cleartext_sign_in = p->c->settings->cleartext_sign_in,
		.channel_binding = p->c->settings->submission_channel_binding,
		.client = slice_z(s->address),
		.unsigned_session = s->listed ? porch_join_gate : NULL,
		.signin = porch_signin_ops(s)});
}

/* The client with its desk. True when it comes back, to sign in again. */
static bool
join(struct porch_session *s)
{
	struct porch *p = s->porch;
	int e;

	p->joined++;
	/* The desk decides how long its client may idle. */
	e = stream_proxy_until(s->client, s->desk, p->c->house->limits.imap_idle_timeout_ms * 2, &s->returning);
	p->joined--;
	if (e == ERR_TIMEOUT)
		LOG(p->c->house, INFO, "session_stalled", LOG_Z("client", s->address));
	porch_return_forget(s);
	stream_close(&s->desk);
	if (e == 0 && s->returned)
		e = stream_unread(s->client, buf_slice(&s->unread));
	/* It may hold a password. */
	if (s->unread.p != NULL)
		explicit_bzero(s->unread.p, s->unread.n);
	buf_free(&s->unread);
	buf_init(&s->unread, RETURNED_BYTES_MAX);
	if (e != 0 || !s->returned)
		return false;
	/* Without an account it counts among those of its address again. */
	if (!p->c->settings->plain)
		s->brake = porch_brake_arrive(&p->brake, &s->peer);
	return s->brake != NULL || p->c->settings->plain;
}

static void
serve_session(struct porch_session *s)
{
	struct porch *p = s->porch;

	if (s->service == LISTEN_SUBMISSION || s->service == LISTEN_SUBMISSIONS) {
		serve_submission(s);
		return;
	}
	s->waiter = fiber_self(p->c->loop);
	buf_init(&s->unread, RETURNED_BYTES_MAX);
	do {
		run_talk(s);
	} while (s->desk != NULL && join(s));
	porch_return_forget(s);
	buf_free(&s->unread);
}

static void
admitted(struct net_session *n)
{
	const struct door *d = n->arg;
	struct porch *p = d->porch;
	struct porch_session s = {
	    .porch = p, .service = d->listener->settings->service, .client = n->stream, .peer = n->peer};

	n->stream = NULL;
	net_address_text(&n->peer, s.address);
	s.listed = submitters_list_address(p->c->settings, &n->peer);
	if (!p->c->settings->plain)
		s.brake = porch_brake_arrive(&p->brake, &n->peer);
	if (s.brake != NULL || p->c->settings->plain)
		serve_session(&s);
	else
		LOG(p->c->house, INFO, "too_many_sessions", LOG_Z("client", s.address));
	porch_brake_depart(&p->brake, &s.brake);
	stream_close(&s.desk);
	stream_close(&s.client);
}

static void
serve(struct net_session *n)
{
	const struct door *d = n->arg;

	if (listener_admit(d->porch->c, d->listener->settings, n) == 0)
		admitted(n);
	else
		stream_close(&n->stream);
}

/* ---- the role ------------------------------------------------------------------------------------------------------ */

static int
listen_all(struct porch *p, struct buf *detail)
{
	struct role_context *c = p->c;

	p->doors = calloc(c->listeners_count + 1, sizeof(*p->doors));
	if (p->doors == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < c->listeners_count; i++) {
		struct door *d = &p->doors[p->doors_count];
		bool metrics = c->listeners[i].settings->service == LISTEN_METRICS;
		int e;

		if (!metrics && !listen_service_is_porch(c->listeners[i].settings->service))
			continue;
		*d = (struct door){.porch = p, .listener = &c->listeners[i]};
		e = net_accept_start(&d->acceptor, c->loop, d->listener->fd,
		    metrics ? SCRAPERS_MAX : (size_t)c->house->limits.porch_sessions,
		    metrics ? porch_metrics_serve : serve, d);
		if (e != 0) {
			buf_printf(detail, "[listen %.*s] cannot accept connections: %s",
			    SLICE_ARG(c->listeners[i].settings->name), err_text(e));
			return e;
		}
		p->doors_count++;
	}
	return 0;
}

static int
start(struct role_context *c, struct buf *detail)
{
	struct porch *p = calloc(1, sizeof(*p));
	int e;

	if (p == NULL)
		return ERR_NOMEM;
	p->c = c;
	c->state = p;
	list_init(&p->waiting);
	smtp_sessions_init(&p->smtp);
	porch_brake_init(&p->brake, c->loop);
	porch_return_start(p);
	e = tls_bus_new(&p->tls, c->loop, c->bus, detail);
	return e == 0 ? listen_all(p, detail) : e;
}

static void
count(json_t *into, const char *name, int64_t n)
{
	json_object_set_new(into, name, json_integer((json_int_t)n));
}

static void
status(struct role_context *c, json_t *into)
{
	const struct porch *p = c->state;

	count(into, "sessions_before_sign_in", p->imap.sessions_open + p->pop3.sessions_open);
	count(into, "sessions_signed_in", p->joined);
	count(into, "sessions_submission", (int64_t)p->smtp.count);
	count(into, "imap_sessions_total", p->imap.sessions);
	count(into, "pop3_sessions_total", p->pop3.sessions);
	count(into, "submission_sessions_total", (int64_t)p->smtp.started);
	count(into, "sign_ins", p->sign_ins);
	count(into, "sign_ins_failed", p->sign_ins_failed);
	count(into, "handshakes_failed", p->handshakes_failed);
	count(into, "braked", p->brake.refused);
	count(into, "scrapes", p->scrapes);
	count(into, "commands_bad", p->imap.commands_bad + p->pop3.commands_bad);
}

static int
reload(struct role_context *c, const struct settings *fresh, struct buf *detail)
{
	struct porch *p = c->state;

	(void)fresh; /* sessions read the settings of the context when they begin */
	return tls_bus_refresh(p->tls, detail);
}

static size_t
open_sessions(const struct porch *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->doors_count; i++)
		n += net_acceptor_sessions(p->doors[i].acceptor);
	return n;
}

static void
shut_down(struct role_context *c, int64_t grace_ms)
{
	struct porch *p = c->state;
	int64_t end_ms = loop_deadline(c->loop, grace_ms);

	for (size_t i = 0; i < p->doors_count; i++)
		net_acceptor_stop(p->doors[i].acceptor);
	p->stopping = true;
	smtp_sessions_stop(&p->smtp);
	LIST_FOREACH (&p->waiting, n) {
		struct porch_session *s = CONTAINER_OF(n, struct porch_session, node);

		if (!s->done)
			fiber_wake(s->talk);
	}
	/* The others end with their desk, which says good-bye to the clients. */
	while (open_sessions(p) > 0 && loop_now_ms(c->loop) < end_ms)
		if (fiber_sleep(c->loop, STOP_POLL_MS) != 0)
			break;
	for (size_t i = 0; i < p->doors_count; i++)
		net_acceptor_cancel_sessions(p->doors[i].acceptor);
}

const struct role_ops role_porch_ops = {
    .role = ROLE_PORCH, .start = start, .status = status, .reload = reload, .shutdown = shut_down};
