/* net_accept.c: accepting connections: one fiber waits at the listening socket and starts one for each connection.
 * The acceptor lives until net_acceptor_free(), and then until its last session has ended. */
#include "rt/loop_private.h"
#include "rt/net.h"

#include "base/log.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

/* Out of descriptors or memory: how long the kernel queues. */
#define EXHAUSTED_WAIT_MS 100
/* Accepted at once before the sessions get their turn. */
#define ACCEPT_BATCH 64

struct net_acceptor {
	struct loop *loop;
	int fd;
	uv_poll_t *poll;
	struct fiber *fiber; /* at the socket, while it lives */
	struct waitq room;   /* woken when a session ends */
	struct list sessions;
	size_t sessions_n, max;
	size_t refs; /* the owner, the fiber and the sessions */
	net_session_fn *fn;
	void *arg;
	bool armed, waiting, readable;
	bool stopped;
};

struct accepted {
	struct list_node node;
	struct net_acceptor *acceptor;
	struct fiber *fiber; /* once it runs */
	bool cancelled;
	struct net_session session;
};

static void
unref(struct net_acceptor *a)
{
	if (--a->refs == 0)
		free(a);
}

static void
session_main(void *arg)
{
	struct accepted *s = arg;
	struct net_acceptor *a = s->acceptor;

	s->fiber = fiber_self(a->loop);
	if (s->cancelled)
		fiber_cancel(s->fiber);
	a->fn(&s->session);
	list_remove(&s->node);
	a->sessions_n--;
	free(s);
	waitq_wake_one(&a->room);
	unref(a);
}

static void
session_start(struct net_acceptor *a, int fd, const struct net_address *peer)
{
	struct accepted *s = calloc(1, sizeof(*s));
	int one = 1, r = s == NULL ? ERR_NOMEM : stream_new(&s->session.stream, a->loop, fd);

	if (r != 0) {
		free(s);
		(void)close(fd);
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	s->acceptor = a;
	s->session.peer = *peer;
	s->session.local.n = sizeof(s->session.local.sa);
	if (getsockname(fd, (struct sockaddr *)&s->session.local.sa, &s->session.local.n) != 0)
		s->session.local = (struct net_address){0};
	s->session.arg = a->arg;
	list_push(&a->sessions, &s->node);
	a->sessions_n++;
	a->refs++;
	if (fiber_start(a->loop, "session", session_main, s, NULL) != 0) {
		list_remove(&s->node);
		a->sessions_n--;
		a->refs--;
		stream_close(&s->session.stream);
		free(s);
	}
}

static void
on_readable(uv_poll_t *h, int status, int events)
{
	struct net_acceptor *a = h->data;

	(void)events;
	if (a->waiting) {
		a->readable = true;
		fiber_resume(a->fiber);
	}
	if (status < 0 || !a->waiting) {
		(void)uv_poll_stop(h);
		a->armed = false;
	}
	a->waiting = false;
}

static int
wait_readable(struct net_acceptor *a)
{
	int r = a->armed ? 0 : uv_poll_start(a->poll, UV_READABLE, on_readable);

	if (r != 0)
		return err_from_errno(-r);
	a->armed = a->waiting = true;
	a->readable = false;
	r = fiber_wait(a->loop, DEADLINE_NEVER);
	a->waiting = false;
	return a->readable ? 0 : r;
}

/* 0: go on; ERR_BUSY: none is waiting; ERR_LIMIT: out of descriptors or memory; else the listening socket is broken. */
static int
accept_one(struct net_acceptor *a)
{
	struct net_address peer = {.n = sizeof(peer.sa)};
	int fd = accept4(a->fd, (struct sockaddr *)&peer.sa, &peer.n, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		session_start(a, fd, &peer);
		return 0;
	}
	switch (errno) {
	case EAGAIN: return ERR_BUSY;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case ENOBUFS: return ERR_LIMIT;
	case EBADF:
	case EINVAL:
	case ENOTSOCK:
	case EOPNOTSUPP: return err_from_errno(errno);
	default: return 0; /* of the one connection: accept(2) hands on its network errors */
	}
}

static void
accept_main(void *arg)
{
	struct net_acceptor *a = arg;
	int r = 0, batch = 0;

	a->fiber = fiber_self(a->loop);
	while (r == 0 && !a->stopped) {
		if (a->sessions_n >= a->max) {
			r = waitq_wait(a->loop, &a->room, DEADLINE_NEVER);
			continue;
		}
		r = accept_one(a);
		if (r == ERR_BUSY) {
			r = wait_readable(a);
			batch = 0;
		} else if (r == ERR_LIMIT) {
			LOG(loop_house(a->loop), WARN, "accept_exhausted", LOG_I("sessions", a->sessions_n));
			r = fiber_sleep(a->loop, EXHAUSTED_WAIT_MS);
		} else if (r == 0 && ++batch % ACCEPT_BATCH == 0) {
			r = fiber_yield(a->loop);
		}
	}
	if (r != 0 && r != ERR_CANCELLED)
		LOG(loop_house(a->loop), ERROR, "accept_failed", LOG_E(r));
	a->fiber = NULL;
	unref(a);
}

static void
on_poll_closed(uv_handle_t *h)
{
	free(h);
}

int
net_accept_start(struct net_acceptor **out, struct loop *l, int fd, size_t max, net_session_fn *fn, void *arg)
{
	struct net_acceptor *a = calloc(1, sizeof(*a));
	int r;

	*out = NULL;
	ASSERT(max > 0);
	if (a != NULL)
		a->poll = calloc(1, sizeof(*a->poll));
	if (a == NULL || a->poll == NULL) {
		free(a);
		return ERR_NOMEM;
	}
	r = uv_poll_init(&l->uv, a->poll, fd);
	if (r != 0) {
		free(a->poll);
		free(a);
		return err_from_errno(-r);
	}
	a->loop = l;
	a->fd = fd;
	a->poll->data = a;
	a->max = max;
	a->fn = fn;
	a->arg = arg;
	list_init(&a->sessions);
	waitq_init(&a->room);
	a->refs = 2;
	r = fiber_start(l, "accept", accept_main, a, NULL);
	if (r != 0) {
		uv_close((uv_handle_t *)a->poll, on_poll_closed);
		free(a);
		return r;
	}
	*out = a;
	return 0;
}

size_t
net_acceptor_sessions(const struct net_acceptor *a)
{
	return a->sessions_n;
}

void
net_acceptor_stop(struct net_acceptor *a)
{
	a->stopped = true;
	if (a->fiber != NULL)
		fiber_cancel(a->fiber);
}

void
net_acceptor_cancel_sessions(struct net_acceptor *a)
{
	LIST_FOREACH (&a->sessions, n) {
		struct accepted *s = CONTAINER_OF(n, struct accepted, node);

		s->cancelled = true;
		if (s->fiber != NULL)
			fiber_cancel(s->fiber);
	}
}

void
net_acceptor_free(struct net_acceptor **ap)
{
	struct net_acceptor *a = *ap;

	if (a == NULL)
		return;
	*ap = NULL;
	net_acceptor_stop(a);
	uv_close((uv_handle_t *)a->poll, on_poll_closed);
	(void)close(a->fd);
	unref(a);
}
