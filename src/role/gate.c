/* gate.c: the role that talks to strangers on port 25. It has no files, no mailboxes and no keys: whom mail may be for, where
 * a large body goes and whether a message is safely kept it asks the clerk; the vault signs its handshakes. */
#include "role/gate_submitter.h"
#include "role/role.h"
#include "role/submit_bus.h"
#include "role/submitters.h"
#include "role/tls_bus.h"

#include "base/log.h"
#include "base/map.h"

#define FILE_THREADS 2
#define FILE_QUEUE 4000

struct gate {
	struct role_context *c;
	struct tls_bus *tls;
	struct workers *workers;
	struct smtp_sessions sessions;
	struct gate_submitters submitters;
	struct map by_address; /* prefix key of the client -> its count + 1, as a pointer */
	struct net_acceptor **acceptors;
	size_t acceptors_count;
	uint64_t refused_sessions;
};

/* ---- sessions ----------------------------------------------------------------------------------------------- */

/* Counts the session; false when the client's address has too many. */
static bool
address_enter(struct gate *g, struct slice key)
{
	uintptr_t n = (uintptr_t)map_get(&g->by_address, key);
	int64_t max = g->c->settings->plain ? INT64_MAX : g->c->house->limits.smtp_sessions_per_address;

	if ((int64_t)n >= max)
		return false;
	return map_put(&g->by_address, key, (void *)(n + 1)) == 0;
}

static void
address_leave(struct gate *g, struct slice key)
{
	uintptr_t n = (uintptr_t)map_get(&g->by_address, key);

	if (n <= 1)
		(void)map_remove(&g->by_address, key);
	else if (map_put(&g->by_address, key, (void *)(n - 1)) != 0)
		ASSERT(false); /* replacing takes no memory */
}

static void
serve(struct net_session *n)
{
	struct gate *g = n->arg;
	bool listed = submitters_list_address(g->c->settings, &n->peer);
	struct submit_bus backend = {.bus = g->c->bus, .origin = listed ? ORIGIN_SUBMITTER : ORIGIN_STRANGER};
	char text[NET_ADDRESS_TEXT_MAX], literal[NET_ADDRESS_TEXT_MAX];
	uint8_t key[16];
	bool counted;

	net_address_text(&n->peer, text);
	net_address_literal(&n->peer, literal);
	net_address_prefix_key(&n->peer, key);
	backend.client = slice_z(text);
	counted = address_enter(g, slice_of(key, sizeof(key)));
	g->refused_sessions += !counted;
	smtp_session(n->stream,
	    &(struct smtp_session_config){.loop = g->c->loop,
		.sessions = &g->sessions,
		.workers = g->workers,
		.hostname = g->c->settings->hostname,
		.backend = submit_bus_backend(&backend),
		.client = slice_z(text),
		.client_literal = slice_z(literal),
		.listed = listed,
		.tls = tls_bus_server(g->tls),
		.refused = !counted});
	if (counted)
		address_leave(g, slice_of(key, sizeof(key)));
	stream_close(&n->stream);
}

/* ---- the role --------------------------------------------------------------------------------------------- */

static int
listen_all(struct gate *g, struct buf *detail)
{
	struct role_context *c = g->c;

	g->acceptors = calloc(c->listeners_count + 1, sizeof(struct net_acceptor *));
	if (g->acceptors == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < c->listeners_count; i++) {
		int e;

		if (c->listeners[i].settings->service != LISTEN_SMTP)
			continue;
		e = net_accept_start(&g->acceptors[g->acceptors_count], c->loop, c->listeners[i].fd,
		    (size_t)c->house->limits.smtp_sessions, serve, g);
		if (e != 0) {
			buf_printf(detail, "[listen %.*s] cannot accept connections: %s",
			    SLICE_ARG(c->listeners[i].settings->name), err_text(e));
			return e;
		}
		g->acceptors_count++;
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
	map_init(&g->by_address, 1u << 20, house_random_u64(c->house));
	e = workers_new(&g->workers, c->loop, "gate-file", FILE_THREADS, FILE_QUEUE);
	if (e == 0)
		e = workers_start(g->workers);
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
	json_object_set_new(into, "messages", json_integer((json_int_t)g->sessions.messages));
	json_object_set_new(into, "messages_refused", json_integer((json_int_t)g->sessions.messages_refused));
	json_object_set_new(into, "recipients_refused", json_integer((json_int_t)g->sessions.recipients_refused));
	json_object_set_new(into, "bytes", json_integer((json_int_t)g->sessions.bytes));
}

static int
reload(struct role_context *c, const struct settings *fresh, struct buf *detail)
{
	struct gate *g = c->state;

	(void)fresh; /* sessions read the settings of the context when they begin */
	return tls_bus_refresh(g->tls, detail);
}

static void
shut_down(struct role_context *c, int64_t grace_ms)
{
	struct gate *g = c->state;
	int64_t end_ms = loop_deadline(c->loop, grace_ms);

	for (size_t i = 0; i < g->acceptors_count; i++)
		net_acceptor_stop(g->acceptors[i]);
	smtp_sessions_stop(&g->sessions);
	while (g->sessions.count > 0 && loop_now_ms(c->loop) < end_ms)
		if (fiber_sleep(c->loop, 20) != 0)
			break;
	for (size_t i = 0; i < g->acceptors_count; i++)
		net_acceptor_cancel_sessions(g->acceptors[i]);
	gate_submitters_cancel(&g->submitters);
}

const struct role_ops role_gate_ops = {
    .role = ROLE_GATE, .start = start, .status = status, .reload = reload, .shutdown = shut_down};
