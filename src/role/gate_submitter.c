#include "role/gate_submitter.h"

#include "role/submit_bus.h"

struct session {
	struct list_node node;
	struct gate_submitters *g;
	struct fiber *fiber;
	struct stream *stream;
	struct arena mem; /* what follows lies here */
	struct slice ticket, sender, client, helo, tls;
};

static void
session_free(struct session *s)
{
	stream_close(&s->stream);
	if (list_linked(&s->node))
		list_remove(&s->node);
	arena_free(&s->mem);
	free(s);
}

static void
run(struct session *s)
{
	struct role_context *c = s->g->c;
	bool local = s->ticket.n > 0;
	const struct slice own_names[] = {c->settings->hostname};
	struct submit_bus backend = {.bus = c->bus,
	    .origin = ORIGIN_SUBMITTER,
	    .account_id = s->ticket,
	    .client = s->client,
	    .local_domain = local ? settings_local_domain(c->settings) : SLICE_EMPTY};

	s->fiber = fiber_self(c->loop);
	list_push(&s->g->running, &s->node);
	smtp_session(s->stream,
	    &(struct smtp_session_config){.loop = c->loop,
		.sessions = s->g->sessions,
		.workers = s->g->workers,
		.hostname = c->settings->hostname,
		.own_names = {own_names, COUNT_OF(own_names)},
		.backend = submit_bus_backend(&backend),
		.client = s->client,
		.policy = {.plain = c->settings->plain},
		.submission = true,
		.local_sender = s->sender,
		.beginning = local ? SMTP_BEGINS_GREETING : SMTP_BEGINS_SILENT,
		.helo = s->helo,
		.tls_text = s->tls});
}

static void
session_main(void *arg)
{
	struct session *s = arg;

	run(s);
	session_free(s);
}

static int
on_session(struct gate_submitters *g, struct bus_peer *from, struct bus_gate_session_request *q, struct arena *a,
    struct bus_gate_session_reply *rep)
{
	struct session *s;
	int err = 0;

	(void)a;
	(void)rep;
	if (g->sessions->stopping)
		return ERR_UNAVAILABLE;
	/* Only the clerk gives tickets, and only with them a session is a local program's. */
	if ((bus_peer_role(from) == ROLE_CLERK) != (q->ticket.n > 0))
		return ERR_DENIED;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return ERR_NOMEM;
	s->g = g;
	arena_init(&s->mem, 65536);
	s->ticket = arena_copy(&s->mem, q->ticket);
	s->sender = arena_copy(&s->mem, q->sender);
	s->client = arena_copy(&s->mem, q->client);
	s->helo = arena_copy(&s->mem, q->helo);
	s->tls = arena_copy(&s->mem, q->tls);
	if (arena_failed(&s->mem))
		err = ERR_LIMIT;
	if (err == 0 && (err = stream_new(&s->stream, g->c->loop, (int)q->socket)) == 0)
		q->socket = -1;
	if (err == 0 && s->ticket.n == 0)
		err = fiber_start(g->c->loop, "submitter", session_main, s, NULL);
	else if (err == 0)
		session_main(s);
	if (err != 0)
		session_free(s);
	return err;
}

void
gate_submitters_start(
    struct gate_submitters *g, struct role_context *c, struct smtp_sessions *sessions, struct workers *workers)
{
	*g = (struct gate_submitters){.c = c, .sessions = sessions, .workers = workers};
	list_init(&g->running);
	BUS_HANDLE(c->bus, gate_session, on_session, g);
}

void
gate_submitters_cancel(struct gate_submitters *g)
{
	LIST_FOREACH (&g->running, n)
		fiber_cancel(CONTAINER_OF(n, struct session, node)->fiber);
}
