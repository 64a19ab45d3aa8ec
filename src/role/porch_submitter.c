/* porch_submitter.c: a listed device on a submission port, which begins a message without signing in: a gate serves it. */
#include "role/porch_private.h"

#include <errno.h>
#include <sys/socket.h>

#define GATE_MS 10000
#define REPLY_BYTES_MAX 65536

int
porch_join_gate(void *ctx, struct slice helo, struct slice tls, struct stream **session)
{
	struct porch_session *s = ctx;
	struct porch *p = s->porch;
	struct bus_gate_session_request q = {.client = slice_z(s->address), .tls = tls};
	struct bus_gate_session_reply rep;
	struct arena ARENA_CLEANUP a;
	int fds[2], gates = bus_peer_count(p->c->bus, ROLE_GATE), e = ERR_UNAVAILABLE;

	if (slice_is_utf8(helo, true))
		q.helo = helo;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0)
		return err_from_errno(errno);
	arena_init(&a, REPLY_BYTES_MAX);
	q.socket = fds[1];
	for (int i = 0; i < gates && e == ERR_UNAVAILABLE; i++)
		if (bus_peer(p->c->bus, ROLE_GATE, i) != NULL)
			e = BUS_CALL(p->c->bus, ROLE_GATE, i, gate_session, &q, &a, &rep, GATE_MS);
	(void)close(fds[1]);
	if (e == 0)
		e = stream_new(session, p->c->loop, fds[0]);
	if (e != 0)
		(void)close(fds[0]);
	else
		porch_brake_depart(&p->brake, &s->brake);
	return e;
}
