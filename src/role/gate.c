/* gate.c: the role that talks to strangers on port 25, and to local programs that deliver by LMTP. It has no files, no mailboxes and no keys: whom mail may be for, where
 * a large body goes and whether a message is safely kept it asks the clerk; the vault signs its handshakes. */
#include "role/gate_brake.h"
#include "role/gate_submitter.h"
#include "role/gate_trust.h"
#include "role/listener.h"
#include "role/metrics.h"
#include "role/role.h"
#include "role/submit_bus.h"
#include "role/submitters.h"
#include "role/tls_bus.h"

#include "base/log.h"

#define FILE_THREADS 2
#define FILE_QUEUE 4000

struct door {
	struct gate *gate;
	const struct role_listener *listener;
	struct net_acceptor *acceptor;
};

struct gate {
	struct role_context *c;
	struct tls_bus *tls;
	struct workers *workers;
	struct smtp_sessions sessions;
	struct gate_submitters submitters;
	struct gate_brake brake;
	struct gate_trust trust;
	struct door *doors;
	size_t doors_count;
	uint64_t refused_sessions;
};

/* One client, on its fiber's stack. */
struct session {
	struct gate *gate;
	const struct listen_settings *listener; /* of the generation in which it began */
	struct gate_visit visit;                /* empty: no limits hold */
	bool limited;
};

/* ---- sessions ----------------------------------------------------------------------------------------------- */

/* Counts the session as the client's; false when he has too many. */
static bool
arrive(struct session *s, const struct net_address *client)
{
	const struct listen_settings *l = s->listener;

	gate_brake_depart(&s->gate->brake, &s->visit);
	s->limited = l->client_limits && !s->gate->c->settings->plain && !network_list_contains(l->trusted, client);
	return !s->limited || gate_brake_arrive(&s->gate->brake, client, &s->visit);
}

static enum smtp_guarded
guard_count(void *ctx, enum smtp_counted what)
{
	struct session *s = ctx;

	if (!s->limited)
		return SMTP_GUARD_FREE;
	return gate_brake_count(&s->gate->brake, &s->visit, what) ? SMTP_GUARD_FINE : SMTP_GUARD_OVER;
}

static bool
guard_renamed(void *ctx, const struct net_address *client)
{
	struct session *s = ctx;
	bool fine = arrive(s, client);

	s->gate->refused_sessions += !fine;
	return fine;
}

static void
talk(struct session *s, struct net_session *n)
{
	struct gate *g = s->gate;
	const struct listen_settings *l = s->listener;
	const struct smtp_guard guard = {guard_count, guard_renamed, s};
	const struct smtp_checks checks = gate_trust_checks(&g->trust);
	const struct slice own_names[] = {g->c->settings->hostname};
	bool listed = l->service == LISTEN_SMTP && submitters_list_address(g->c->settings, &n->peer);
	struct submit_bus backend = {.bus = g->c->bus, .origin = listed ? ORIGIN_SUBMITTER : ORIGIN_STRANGER};
	bool fine = arrive(s, &n->peer), lmtp = l->service == LISTEN_LMTP, plain = g->c->settings->plain;
	char text[NET_ADDRESS_TEXT_MAX], literal[NET_ADDRESS_TEXT_MAX];

	net_address_text(&n->peer, text);
	net_address_literal(&n->peer, literal);
	backend.client = slice_z(text);
	g->refused_sessions += !fine;
	smtp_session(n->stream,
	    &(struct smtp_session_config){.loop = g->c->loop,
		.sessions = &g->sessions,
		.workers = g->workers,
		.hostname = g->c->settings->hostname,
		.own_names = {own_names, COUNT_OF(own_names)},
		.checks = lmtp || !l->check_senders ? NULL : &checks,
		.backend = submit_bus_backend(&backend),
		.client = slice_z(text),
		.client_literal = slice_z(literal),
		.listed = listed,
		.tls = tls_bus_server(g->tls),
		.refused = !fine,
		.lmtp = lmtp,
		.guard = &guard,
		.policy = {.message_bytes = l->message_bytes,
		    .require_tls = l->require_tls,
		    .plain = plain,
		    .early_talker_check = l->early_talker_check && !lmtp && !plain &&
			!network_list_contains(l->trusted, &n->peer),
		    .xclient = network_list_contains(l->xclient, &n->peer)}});
	gate_brake_depart(&g->brake, &s->visit);
}

static void
serve(struct net_session *n)
{
	const struct door *d = n->arg;
	struct session s = {.gate = d->gate, .listener = d->listener->settings};

	if (listener_admit(d->gate->c, s.listener, n) == 0)
		talk(&s, n);
	else
		d->gate->refused_sessions++;
	stream_close(&n->stream);
}

/* ---- the role --------------------------------------------------------------------------------------------- */

static int
listen_all(struct gate *g, struct buf *detail)
{
	struct role_context *c = g->c;

	g->doors = calloc(c->listeners_count + 1, sizeof(*g->doors));
	if (g->doors == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < c->listeners_count; i++) {
		struct door *d = &g->doors[g->doors_count];
		int e;

		if (c->listeners[i].settings->service != LISTEN_SMTP &&
		    c->listeners[i].settings->service != LISTEN_LMTP)
			continue;
		*d = (struct door){.gate = g, .listener = &c->listeners[i]};
		e = net_accept_start(
		    &d->acceptor, c->loop, d->listener->fd, (size_t)c->house->limits.smtp_sessions, serve, d);
		if (e != 0) {
			buf_printf(detail, "[listen %.*s] cannot accept connections: %s",
			    SLICE_ARG(c->listeners[i].settings->name), err_text(e));
			return e;
		}
		g->doors_count++;
	}
	return 0;
}

static int
start(struct role_context *c, struct buf *detail)
{
	struct gate *g = calloc(1, sizeof(*g));
	int e;

	if (g == NULL)
		return ERR_NOMEM;
	g->c = c;
	c->state = g;
	smtp_sessions_init(&g->sessions);
	gate_brake_init(&g->brake, c->loop);
	e = workers_new(&g->workers, c->loop, "gate-file", FILE_THREADS, FILE_QUEUE);
	if (e == 0)
		e = workers_start(g->workers);
	if (e == 0)
		e = gate_trust_start(&g->trust, c, detail);
	if (e == 0)
		gate_submitters_start(&g->submitters, c, &g->sessions, g->workers);
	if (e == 0)
		e = tls_bus_new(&g->tls, c->loop, c->bus, detail);
	return e == 0 ? listen_all(g, detail) : e;
}

static void
status(struct role_context *c, json_t *into)
{
	const struct gate *g = c->state;

	json_object_set_new(into, "sessions", json_integer((json_int_t)g->sessions.count));
	json_object_set_new(into, "sessions_total", json_integer((json_int_t)g->sessions.started));
	json_object_set_new(into, "sessions_refused", json_integer((json_int_t)g->refused_sessions));
	json_object_set_new(into, "braked", json_integer((json_int_t)g->brake.refused));
	json_object_set_new(into, "messages", json_integer((json_int_t)g->sessions.messages));
	json_object_set_new(into, "messages_refused", json_integer((json_int_t)g->sessions.messages_refused));
	json_object_set_new(into, "recipients_refused", json_integer((json_int_t)g->sessions.recipients_refused));
	json_object_set_new(into, "bytes", json_integer((json_int_t)g->sessions.bytes));
	json_object_set_new(into, "command_times", metrics_times(&g->sessions.times));
	json_object_set_new(into, "message_times", metrics_times(&g->sessions.message_times));
	gate_trust_status(&g->trust, into);
}

static int
reload(struct role_context *c, const struct settings *fresh, struct buf *detail)
{
	struct gate *g = c->state;

	/* Sessions read the settings of the context when they begin. */
	int e = gate_trust_reload(&g->trust, fresh, detail);

	return e != 0 ? e : tls_bus_refresh(g->tls, detail);
}

static void
shut_down(struct role_context *c, int64_t grace_ms)
{
	struct gate *g = c->state;
	int64_t end_ms = loop_deadline(c->loop, grace_ms);

	for (size_t i = 0; i < g->doors_count; i++)
		net_acceptor_stop(g->doors[i].acceptor);
	smtp_sessions_stop(&g->sessions);
	while (g->sessions.count > 0 && loop_now_ms(c->loop) < end_ms)
		if (fiber_sleep(c->loop, 20) != 0)
			break;
	for (size_t i = 0; i < g->doors_count; i++)
		net_acceptor_cancel_sessions(g->doors[i].acceptor);
	gate_submitters_cancel(&g->submitters);
	gate_trust_stop(&g->trust);
}

const struct role_ops role_gate_ops = {
    .role = ROLE_GATE, .start = start, .status = status, .reload = reload, .shutdown = shut_down};
