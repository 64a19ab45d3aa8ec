/* porch.c: the role that talks to users before they have signed in: IMAP, POP3 and submission, each in the clear with
 * STARTTLS or under TLS from the first byte. It has no file, no mailbox and no key. When a password is right, the vault
 * gives a ticket; with it the account's desk takes one end of a socket pair, and the porch joins the other end
 * to the client and forgets everything else about the session.
 *
 * A session's fiber only waits and copies, on a stack that stays small; the talk before sign-in, with its handshake, runs
 * on a fiber of its own whose stack is used again. */
#include "role/porch_brake.h"
#include "role/role.h"
#include "role/tls_bus.h"

#include "base/log.h"
#include "imap/imap.h"
#include "pop3/pop3.h"
#include "smtp/smtp.h"

#include <errno.h>
#include <sys/socket.h>

#define ASK_MS 10000    /* the clerk's books */
#define VERIFY_MS 60000 /* the vault, with its queue of Argon2 */
#define DESK_MS 30000   /* the desk opens the account */
#define REPLY_BYTES_MAX 65536
#define NAME_BYTES_MAX 1000u
#define STOP_POLL_MS 20

/* No account has this id (ids are letters, digits, '-' and '_'): for equal time. */
#define NOBODY SLICE("=")

struct door {
	struct porch *porch;
	const struct role_listener *listener;
	struct net_acceptor *acceptor;
};

struct porch {
	struct role_context *c;
	struct tls_bus *tls;
	struct porch_brake brake;
	struct door *doors;
	size_t doors_count;
	struct list waiting; /* struct session: before sign-in */
	bool stopping;
	struct imap_counters imap;
	struct pop3_counters pop3;
	struct smtp_sessions smtp;
	int64_t joined; /* sessions with their desk now */
	int64_t handshakes_failed;
	int64_t sign_ins, sign_ins_failed;
};

/* One client, on its fiber's stack. */
struct session {
	struct list_node node; /* in porch.waiting */
	struct porch *porch;
	enum listen_service service;
	struct stream *client, *desk;
	char address[NET_ADDRESS_TEXT_MAX];
	struct brake_address *brake; /* until it is signed in; NULL where nothing is braked */
	struct fiber *waiter, *talk;
	bool done;
};

/* ---- signing in -------------------------------------------------------------------------------------------------- */

/* The account of a name, or NOBODY. */
static int
find_account(struct porch *p, struct slice name, struct arena *a, struct slice *account_id)
{
	struct bus_clerk_login_request q = {.name = name};
	struct bus_clerk_login_reply rep = {0};
	int e;

	/* What cannot be a name is asked for all the same, as something harmless, for equal time. */
	if (name.n == 0 || name.n > NAME_BYTES_MAX || !slice_is_utf8(name, true))
		q.name = SLICE("=");
	e = bus_call_again(p->c->bus, ROLE_CLERK, 0, BUS_clerk_login, &q, a, &rep, ASK_MS);
	*account_id = e == 0 && rep.found == 1 ? rep.account_id : NOBODY;
	return e;
}

/* 0 with a ticket, ERR_DENIED, ERR_BUSY or another error. */
static int
verify(struct porch *p, const struct signin_request *r, struct slice account_id, struct arena *a, struct slice *ticket)
{
	struct bus_vault_verify_request q = {
	    .account_id = account_id, .password = r->password, .service = r->service, .client = r->client};
	struct bus_vault_verify_reply rep = {0};
	int e = bus_call_again(p->c->bus, ROLE_VAULT, 0, BUS_vault_verify, &q, a, &rep, VERIFY_MS);

	if (e != 0)
		return e;
	*ticket = rep.ticket;
	return rep.result == VERIFY_OK ? 0 : rep.result == VERIFY_BUSY ? ERR_BUSY : ERR_DENIED;
}

/* Hands one end of a pair to the account's desk. */
static int
join_desk(struct porch *p, const struct signin_request *r, struct slice account_id, struct slice ticket,
    struct arena *a, struct stream **desk)
{
	struct bus_desk_session_request q = {.service = r->service,
	    .ticket = ticket,
	    .login = r->login,
	    .client = r->client,
	    .tls = r->tls,
	    .tag = r->tag};
	struct bus_desk_session_reply rep = {0};
	int fds[2], e;

	if (r->helo.n > 0 && slice_is_utf8(r->helo, true))
		q.helo = r->helo;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0)
		return err_from_errno(errno);
	q.socket = fds[1];
	e = BUS_CALL(p->c->bus, ROLE_DESK, account_desk(account_id, p->c->desks), desk_session, &q, a, &rep, DESK_MS);
	(void)close(fds[1]);
	if (e == 0 && rep.result < 0)
		e = (int)rep.result;
	if (e == 0)
		e = stream_new(desk, p->c->loop, fds[0]);
	if (e != 0)
		(void)close(fds[0]);
	return e;
}

static int
check_and_join(struct porch *p, const struct signin_request *r, struct arena *a, struct stream **desk)
{
	struct slice account_id, other, ticket;
	int e = find_account(p, r->login, a, &account_id);

	/* RFC 4616 §2: nobody acts for somebody else here. */
	if (e == 0 && r->authzid.n > 0) {
		e = find_account(p, r->authzid, a, &other);
		if (e == 0 && !slice_eq(other, account_id))
			account_id = NOBODY;
	}
	if (e == 0)
		e = verify(p, r, account_id, a, &ticket);
	if (e == 0 && slice_eq(account_id, NOBODY))
		e = ERR_DENIED;
	return e != 0 ? e : join_desk(p, r, account_id, ticket, a, desk);
}

static const char *
service_name(enum bus_service s)
{
	return s == SERVICE_IMAP ? "imap" : s == SERVICE_POP3 ? "pop3" : "submission";
}

/* One password of the session's address, at its turn. */
static int
braked(struct session *s, const struct signin_request *r, struct arena *a, struct stream **desk)
{
	struct porch *p = s->porch;
	int e;

	if (s->brake == NULL)
		return check_and_join(p, r, a, desk);
	e = porch_brake_enter(&p->brake, s->brake);
	if (e != 0)
		return e;
	e = check_and_join(p, r, a, desk);
	porch_brake_leave(&p->brake, s->brake, e == ERR_DENIED);
	if (e == 0)
		porch_brake_depart(&p->brake, &s->brake);
	return e;
}

static int
sign_in(void *ctx, const struct signin_request *r, struct stream **desk)
{
	struct session *s = ctx;
	struct porch *p = s->porch;
	struct arena ARENA_CLEANUP a;
	int e;

	arena_init(&a, REPLY_BYTES_MAX);
	*desk = NULL;
	e = braked(s, r, &a, desk);
	if (e == 0) {
		p->sign_ins++;
		LOG(p->c->house, INFO, "signed_in", LOG_S("login", r->login),
		    LOG_Z("service", service_name(r->service)), LOG_S("client", r->client), LOG_S("tls", r->tls));
		return 0;
	}
	p->sign_ins_failed++;
	LOG(p->c->house, WARN, "sign_in_failed", LOG_S("login", slice_head(r->login, 200)),
	    LOG_Z("service", service_name(r->service)), LOG_S("client", r->client), LOG_E(e));
	return e;
}

/* ---- one session -------------------------------------------------------------------------------------------------- */

static bool
is_implicit_tls(enum listen_service s)
{
	return s == LISTEN_IMAPS || s == LISTEN_POP3S || s == LISTEN_SUBMISSIONS;
}

static int
talk_imap(struct session *s, const struct signin_ops *ops)
{
	struct porch *p = s->porch;
	struct imap_presession_config c = {.house = p->c->house,
	    .loop = p->c->loop,
	    .tls = tls_bus_server(p->tls),
	    .cleartext_sign_in = p->c->settings->cleartext_sign_in,
	    .client = slice_z(s->address),
	    .counters = &p->imap,
	    .stopping = &p->stopping};

	return imap_presession(s->client, &c, ops, &s->desk);
}

static int
talk_pop3(struct session *s, const struct signin_ops *ops)
{
	struct porch *p = s->porch;
	struct pop3_presession_config c = {.house = p->c->house,
	    .loop = p->c->loop,
	    .tls = tls_bus_server(p->tls),
	    .cleartext_sign_in = p->c->settings->cleartext_sign_in,
	    .client = slice_z(s->address),
	    .counters = &p->pop3,
	    .stopping = &p->stopping};

	return pop3_presession(s->client, &c, ops, &s->desk);
}

static void
talk(struct session *s)
{
	struct porch *p = s->porch;
	struct signin_ops ops = {sign_in, s};
	int e = 0;

	if (is_implicit_tls(s->service))
		e = stream_start_tls_server(s->client, tls_bus_server(p->tls),
		    loop_deadline(p->c->loop, p->c->house->limits.handshake_timeout_ms));
	if (e != 0) {
		p->handshakes_failed++;
		LOG(p->c->house, INFO, "handshake_failed", LOG_Z("client", s->address), LOG_E(e));
		return;
	}
	if (s->service == LISTEN_IMAP || s->service == LISTEN_IMAPS)
		e = talk_imap(s, &ops);
	else
		e = talk_pop3(s, &ops);
	if (e != 0 && e != ERR_CLOSED)
		LOG(p->c->house, INFO, "session_ended_early", LOG_Z("client", s->address), LOG_E(e));
}

static void
talk_fiber(void *arg)
{
	struct session *s = arg;

	talk(s);
	s->done = true;
	fiber_wake(s->waiter);
}

/* Runs the talk before sign-in; a cancelled session takes it along. */
static void
run_talk(struct session *s)
{
	struct porch *p = s->porch;

	s->waiter = fiber_self(p->c->loop);
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
serve_submission(struct session *s)
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
		.client = slice_z(s->address),
		.signin = {sign_in, s}});
}

static void
serve_session(struct session *s)
{
	struct porch *p = s->porch;

	if (s->service == LISTEN_SUBMISSION || s->service == LISTEN_SUBMISSIONS) {
		serve_submission(s);
		return;
	}
	run_talk(s);
	if (s->desk == NULL)
		return;
	p->joined++;
	/* The desk decides how long its client may idle. */
	if (stream_proxy(s->client, s->desk, p->c->house->limits.imap_idle_timeout_ms * 2) == ERR_TIMEOUT)
		LOG(p->c->house, INFO, "session_stalled", LOG_Z("client", s->address));
	p->joined--;
}

static void
serve(struct net_session *n)
{
	const struct door *d = n->arg;
	struct porch *p = d->porch;
	struct session s = {.porch = p, .service = d->listener->settings->service, .client = n->stream};

	n->stream = NULL;
	net_address_text(&n->peer, s.address);
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
		int e;

		if (!listen_service_is_porch(c->listeners[i].settings->service))
			continue;
		*d = (struct door){.porch = p, .listener = &c->listeners[i]};
		e = net_accept_start(
		    &d->acceptor, c->loop, d->listener->fd, (size_t)c->house->limits.porch_sessions, serve, d);
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
		struct session *s = CONTAINER_OF(n, struct session, node);

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
