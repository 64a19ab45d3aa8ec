/* keeper_log.c: the roles write their logs into pipes of their own; whole lines are copied to our standard error, so that
 * a role that dies in the middle of a line does not spoil another's. A log that nobody reads holds up nothing: its
 * lines are dropped and counted. */
#include "role/keeper_private.h"

#include <errno.h>
#include <poll.h>

#define LOG_PENDING_MAX (64u * 1024u)
#define LOG_STALL_MS 200

struct copy {
	struct keeper *k;
	struct stream *pipe;
};

static void
put(struct keeper *k, struct slice s)
{
	while (s.n > 0) {
		struct pollfd p = {.fd = k->house.log_fd, .events = POLLOUT};
		ssize_t n;

		if (poll(&p, 1, LOG_STALL_MS) != 1) {
			k->log_dropped++;
			return;
		}
		/* Up to PIPE_BUF bytes a ready pipe takes without waiting. */
		n = write(k->house.log_fd, s.p, s.n < 4096 ? s.n : 4096);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return;
		if (n > 0)
			s = slice_from(s, (size_t)n);
	}
}

static void
copy_fiber(void *arg)
{
	struct copy *c = arg;
	int err;

	do {
		struct slice pending;
		size_t end;

		err = stream_fill(c->pipe, LOG_PENDING_MAX);
		pending = stream_pending(c->pipe);
		end = slice_rfind_byte(pending, '\n');
		if (end != SLICE_NONE) {
			put(c->k, slice_head(pending, end + 1));
			stream_consume(c->pipe, end + 1);
		} else if (pending.n > 0 && (err != 0 || pending.n >= LOG_PENDING_MAX)) {
			put(c->k, pending);
			put(c->k, SLICE("\n"));
			stream_consume(c->pipe, pending.n);
			err = err == ERR_LIMIT ? 0 : err;
		}
	} while (err == 0);
	stream_close(&c->pipe);
	free(c);
}

int
keeper_log_copy(struct keeper *k, int fd)
{
	struct copy *c = calloc(1, sizeof(*c));
	int err;

	if (c == NULL) {
		(void)close(fd);
		return ERR_NOMEM;
	}
	c->k = k;
	err = stream_new(&c->pipe, k->loop, fd);
	if (err == 0) {
		stream_set_timeouts(c->pipe, INT64_MAX, INT64_MAX);
		err = fiber_start(k->loop, "log", copy_fiber, c, NULL);
		if (err != 0)
			stream_close(&c->pipe);
	}
	if (err != 0)
		free(c);
	return err;
}
