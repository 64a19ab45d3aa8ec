/* stream_io.c: a stream's descriptor: attempts that never wait, and waiting. Reads and writes are always tried
 * first; the poll handle is made at the first EAGAIN and then left armed, so that a session that asks and answers
 * costs no epoll_ctl. An event that nobody waits for disarms its direction. */
#include "rt/stream_private.h"

#include <errno.h>
#include <sys/socket.h>

/* After so many bytes without waiting, a fiber lets the others run. */
#define BURST_BYTES ((size_t)256 * 1024)

struct stream_poll {
	uv_poll_t uv;
	struct stream *stream;
};

int
stream_fail(struct stream *st, int err)
{
	if (st->err_out == 0)
		st->err_out = err;
	if (st->err_in == 0)
		st->err_in = err;
	return err;
}

int64_t
stream_try_read(struct stream *st, void *p, size_t n, int *want)
{
	return st->deflate != NULL ? stream_deflate_read(st, p, n, want) : stream_transport_read(st, p, n, want);
}

int64_t
stream_try_write(struct stream *st, const void *p, size_t n, int *want)
{
	return st->deflate != NULL ? stream_deflate_write(st, p, n, want) : stream_transport_write(st, p, n, want);
}

int64_t
stream_transport_read(struct stream *st, void *p, size_t n, int *want)
{
	ssize_t got;

	if (st->tls != NULL)
		return tls_session_read(st, p, n, want);
	if (st->dry) {
		st->dry = false;
		*want = UV_READABLE;
		return ERR_BUSY;
	}
	do
		got = read(st->fd, p, n);
	while (got < 0 && errno == EINTR);
	if (got > 0) {
		st->dry = (size_t)got < n;
		st->bytes_in += (size_t)got;
		return got;
	}
	if (got == 0)
		return ERR_CLOSED;
	*want = UV_READABLE;
	return errno == EAGAIN ? ERR_BUSY : stream_fail(st, err_from_errno(errno));
}

int64_t
stream_transport_write(struct stream *st, const void *p, size_t n, int *want)
{
	ssize_t put;

	if (st->tls != NULL)
		return tls_session_write(st, p, n, want);
	do
		put = st->socket ? send(st->fd, p, n, MSG_NOSIGNAL) : write(st->fd, p, n);
	while (put < 0 && errno == EINTR);
	if (put >= 0) {
		st->bytes_out += (size_t)put;
		return put;
	}
	*want = UV_WRITABLE;
	return errno == EAGAIN ? ERR_BUSY : err_from_errno(errno);
}

int
stream_try_shutdown(struct stream *st, int *want)
{
	if (st->tls != NULL) {
		int r = tls_session_shutdown(st, want);

		if (r != 0)
			return r;
	}
	/* A pipe has one direction only, and a peer that is gone needs no end: both refuse. */
	if (st->socket && shutdown(st->fd, SHUT_WR) != 0 && errno != ENOTCONN)
		return err_from_errno(errno);
	st->shut = true;
	return 0;
}

static void arm(struct stream *st, int events);

static void
fire(struct stream_waiter *w)
{
	w->fired = true;
	fiber_resume(w->fiber);
}

static void
on_poll(uv_poll_t *h, int status, int events)
{
	struct stream *st = CONTAINER_OF(h, struct stream_poll, uv)->stream;
	int stray = events;

	if (status < 0 || (events & UV_READABLE) != 0)
		st->dry = false;
	if (status < 0) {
		/* An error on the socket, and libuv has stopped watching: the next attempt learns which. */
		st->armed = 0;
		events = UV_READABLE | UV_WRITABLE;
		stray = 0;
	}
	for (size_t i = 0; i < STREAM_SIDES; i++) {
		struct stream_waiter *w = &st->wait[i];

		if (w->fiber != NULL && (w->events & events) != 0) {
			stray &= ~w->events;
			fire(w);
		}
	}
	if (stray != 0)
		arm(st, st->armed & ~stray);
}

static void
arm(struct stream *st, int events)
{
	if (events == 0)
		(void)uv_poll_stop(&st->poll->uv);
	else
		ASSERT(uv_poll_start(&st->poll->uv, events, on_poll) == 0);
	st->armed = events;
}

static void
on_poll_closed(uv_handle_t *h)
{
	free(CONTAINER_OF((uv_poll_t *)h, struct stream_poll, uv));
}

void
stream_poll_close(struct stream *st)
{
	if (st->poll == NULL)
		return;
	uv_close((uv_handle_t *)&st->poll->uv, on_poll_closed);
	st->poll->stream = NULL;
	st->poll = NULL;
	st->armed = 0;
}

int
stream_watch(struct stream *st, enum stream_side side, int events)
{
	struct stream_waiter *w = &st->wait[side];

	ASSERT(w->fiber == NULL);
	if (st->poll == NULL) {
		struct stream_poll *p = malloc(sizeof(*p));
		int r;

		if (p == NULL)
			return ERR_NOMEM;
		r = uv_poll_init(&st->loop->uv, &p->uv, st->fd);
		if (r != 0) {
			free(p);
			return err_from_errno(-r);
		}
		p->stream = st;
		st->poll = p;
	}
	if ((st->armed & events) != events)
		arm(st, st->armed | events);
	*w = (struct stream_waiter){.fiber = fiber_self(st->loop), .events = events};
	return 0;
}

void
stream_unwatch(struct stream *st, enum stream_side side)
{
	st->wait[side].fiber = NULL;
}

int
stream_wait(struct stream *st, enum stream_side side, int events, int64_t deadline_ms)
{
	int r = stream_watch(st, side, events);

	if (r != 0)
		return r;
	r = fiber_wait(st->loop, deadline_ms);
	if (st->wait[side].fired)
		r = 0;
	stream_unwatch(st, side);
	st->burst = 0;
	return r;
}

int64_t
stream_wait_end(const struct stream *st, int64_t ms)
{
	int64_t end = loop_deadline(st->loop, ms);

	return end < st->deadline_ms ? end : st->deadline_ms;
}

int
stream_moved(struct stream *st, size_t n)
{
	st->burst += n;
	if (st->burst < BURST_BYTES)
		return 0;
	st->burst = 0;
	if (st->deadline_ms <= loop_now_ms(st->loop))
		return ERR_TIMEOUT;
	return fiber_self(st->loop) == NULL ? 0 : fiber_yield(st->loop);
}

static ssize_t
send_with_fd(const struct stream *st, struct slice s, int fd)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.space = {0}};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)s.p, .iov_len = s.n};
	struct msghdr m = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	ssize_t sent;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	do
		sent = sendmsg(st->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	return sent;
}

int
stream_send_fd(struct stream *st, struct slice s, int fd)
{
	int err = stream_flush(st);
	ssize_t sent = -1;

	ASSERT(s.n > 0 && st->tls == NULL && st->deflate == NULL);
	while (err == 0 && (sent = send_with_fd(st, s, fd)) < 0) {
		if (errno != EAGAIN)
			return stream_fail(st, err_from_errno(errno));
		err = stream_wait(st, STREAM_WRITER, UV_WRITABLE, stream_wait_end(st, st->write_ms));
		if (err != 0)
			(void)stream_fail(st, err);
	}
	if (err == 0)
		err = stream_write(st, slice_from(s, (size_t)sent));
	return err == 0 ? stream_flush(st) : err;
}
