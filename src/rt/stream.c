/* stream.c: the buffers of a stream. Input passes through the loop's scratch buffer into a buffer of the size that
 * is needed; output gathers until it is flushed or over 16 KB. A session that waits holds neither. The end of
 * input and errors of reading that leave the connection whole (a deadline, cancellation) stop only reading, so that a
 * last line can be said; every other error stops both. */
#include "rt/stream_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/socket.h>

#define OUT_BYTES ((size_t)16 * 1024)
#define SKIP_BYTES ((size_t)16 * 1024)
#define WAIT_MS (5 * 60 * 1000)

/* ---- bytes ---- */

static int
bytes_room(struct stream_bytes *b, size_t n)
{
	size_t cap = b->cap == 0 ? 512 : b->cap;
	uint8_t *p;

	if (b->cap - b->at - b->n >= n && b->p != NULL)
		return 0;
	if (b->at > 0) {
		memmove(b->p, b->p + b->at, b->n);
		b->at = 0;
		if (b->cap - b->n >= n)
			return 0;
	}
	if (n > SIZE_MAX / 4 || b->n > SIZE_MAX / 4)
		return ERR_LIMIT;
	while (cap < b->n + n)
		cap *= 2;
	p = realloc(b->p, cap);
	if (p == NULL)
		return ERR_NOMEM;
	b->p = p;
	b->cap = cap;
	return 0;
}

int
stream_bytes_put(struct stream_bytes *b, const void *p, size_t n)
{
	int r = bytes_room(b, n);

	if (r == 0) {
		memcpy(b->p + b->at + b->n, p, n);
		b->n += n;
	}
	return r;
}

void
stream_bytes_took(struct stream_bytes *b, size_t n)
{
	ASSERT(n <= b->n);
	b->n -= n;
	b->at = b->n == 0 ? 0 : b->at + n;
}

void
stream_bytes_free(struct stream_bytes *b)
{
	free(b->p);
	*b = (struct stream_bytes){0};
}

void
stream_release_idle(struct stream *st)
{
	if (st->in.n == 0)
		stream_bytes_free(&st->in);
	if (st->out.n == 0)
		stream_bytes_free(&st->out);
	if (st->deflate != NULL)
		stream_deflate_release(st->deflate);
}

/* ---- life ---- */

int
stream_new(struct stream **out, struct loop *l, int fd)
{
	struct stream *st = calloc(1, sizeof(*st));
	int type, flags = fcntl(fd, F_GETFL);
	socklen_t n = sizeof(type);

	*out = NULL;
	if (st == NULL || flags < 0 || ((flags & O_NONBLOCK) == 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)) {
		int e = errno;

		free(st);
		return st == NULL ? ERR_NOMEM : err_from_errno(e);
	}
	st->loop = l;
	st->fd = fd;
	st->socket = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0;
	st->read_ms = st->write_ms = WAIT_MS;
	st->deadline_ms = DEADLINE_NEVER;
	*out = st;
	return 0;
}

int
stream_pair(struct loop *l, struct stream **a, struct stream **b)
{
	int fd[2], r;

	*a = *b = NULL;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) != 0)
		return err_from_errno(errno);
	r = stream_new(a, l, fd[0]);
	if (r == 0)
		r = stream_new(b, l, fd[1]);
	if (r != 0) {
		if (*a != NULL)
			stream_close(a);
		else
			(void)close(fd[0]);
		(void)close(fd[1]);
	}
	return r;
}

static void
stream_free(struct stream **stp)
{
	struct stream *st = *stp;

	*stp = NULL;
	ASSERT(st->wait[STREAM_READER].fiber == NULL && st->wait[STREAM_WRITER].fiber == NULL);
	stream_poll_close(st);
	stream_deflate_free(&st->deflate);
	stream_bytes_free(&st->in);
	stream_bytes_free(&st->out);
	free(st);
}

void
stream_close(struct stream **stp)
{
	struct stream *st = *stp;
	int fd;

	if (st == NULL)
		return;
	fd = st->fd;
	if (st->tls != NULL)
		tls_session_free(&st->tls, st->err_out == 0 && st->out.n == 0 && !st->shut);
	/* Closing a socket with unread input resets it, and the peer may lose our last words. */
	if (st->shut && st->socket && st->err_in != ERR_CLOSED)
		(void)!recv(fd, st->loop->scratch, LOOP_SCRATCH_BYTES, MSG_DONTWAIT);
	stream_free(stp);
	(void)close(fd);
}

int
stream_detach(struct stream **stp, struct buf *unread, int *fd)
{
	struct stream *st = *stp;

	*fd = -1;
	if (st->tls != NULL || st->deflate != NULL || st->out.n > 0)
		return ERR_INVALID;
	if (st->err_out != 0)
		return st->err_out;
	buf_put(unread, stream_pending(st));
	if (unread->err != 0)
		return unread->err;
	*fd = st->fd;
	stream_free(stp);
	return 0;
}

int
stream_unread(struct stream *st, struct slice bytes)
{
	struct stream_bytes all = {0};
	int r = bytes.n == 0 ? 0 : stream_bytes_put(&all, bytes.p, bytes.n);

	if (r == 0 && st->in.n > 0)
		r = stream_bytes_put(&all, stream_bytes_first(&st->in), st->in.n);
	if (r != 0 || bytes.n == 0) {
		stream_bytes_free(&all);
		return r;
	}
	stream_bytes_free(&st->in);
	st->in = all;
	st->scanned = 0;
	return 0;
}

void
stream_set_timeouts(struct stream *st, int64_t read_ms, int64_t write_ms)
{
	st->read_ms = read_ms;
	st->write_ms = write_ms;
}

void
stream_set_deadline(struct stream *st, int64_t deadline_ms)
{
	st->deadline_ms = deadline_ms;
}

int
stream_error(const struct stream *st)
{
	return st->err_out != 0 ? st->err_out : st->err_in;
}

uint64_t
stream_bytes_in(const struct stream *st)
{
	return st->bytes_in;
}

uint64_t
stream_bytes_out(const struct stream *st)
{
	return st->bytes_out;
}

/* ---- input ---- */

struct slice
stream_pending(const struct stream *st)
{
	return slice_of(stream_bytes_first(&st->in), st->in.n);
}

static int
fail_in(struct stream *st, int err)
{
	if (err == ERR_CLOSED || err == ERR_TIMEOUT || err == ERR_CANCELLED) {
		if (st->err_in == 0)
			st->err_in = err;
		return st->err_in;
	}
	return stream_fail(st, err);
}

/* At least one and at most n bytes to p, waiting for them. */
static int
read_some(struct stream *st, void *p, size_t n, size_t *got)
{
	*got = 0;
	for (;;) {
		int want = 0, r;
		int64_t v;

		if (st->err_in != 0)
			return st->err_in;
		v = stream_try_read(st, p, n, &want);
		if (v > 0) {
			*got = (size_t)v;
			return 0;
		}
		if (v != ERR_BUSY)
			return fail_in(st, (int)v);
		stream_release_idle(st);
		r = stream_wait(st, STREAM_READER, want, stream_wait_end(st, st->read_ms));
		if (r != 0)
			return fail_in(st, r);
	}
}

int
stream_fill(struct stream *st, size_t max)
{
	size_t got;
	int r;

	if (st->in.n >= max)
		return ERR_LIMIT;
	/* Yields before the scratch buffer is in use, and before anything is read that an error would hide. */
	r = st->err_in != 0 ? st->err_in : stream_moved(st, 0);
	if (r == 0)
		r = read_some(st, st->loop->scratch,
		    max - st->in.n < LOOP_SCRATCH_BYTES ? max - st->in.n : LOOP_SCRATCH_BYTES, &got);
	else
		return fail_in(st, r);
	if (r != 0)
		return r;
	st->burst += got;
	r = stream_bytes_put(&st->in, st->loop->scratch, got);
	return r == 0 ? 0 : stream_fail(st, r);
}

void
stream_consume(struct stream *st, size_t n)
{
	stream_bytes_took(&st->in, n);
	st->scanned = st->scanned > n ? st->scanned - n : 0;
}

/* The place of `end` in what is pending, looking only at what is new. */
static size_t
find_end(struct stream *st, struct slice end)
{
	size_t from = st->scanned < end.n ? 0 : st->scanned - (end.n - 1);
	size_t at = slice_find(slice_from(stream_pending(st), from), end);

	if (at != SLICE_NONE)
		return from + at;
	st->scanned = st->in.n;
	return SLICE_NONE;
}

int
stream_read_line(struct stream *st, struct slice end, size_t max, struct slice *line)
{
	*line = SLICE_EMPTY;
	ASSERT(end.n > 0 && max < SIZE_MAX - end.n);
	for (;;) {
		size_t at = find_end(st, end);
		int r;

		if (at != SLICE_NONE && at <= max) {
			*line = slice_head(stream_pending(st), at);
			stream_consume(st, at + end.n);
			st->scanned = 0;
			return 0;
		}
		if (at != SLICE_NONE || st->in.n >= max + end.n) {
			st->scanned = 0;
			return ERR_LIMIT;
		}
		r = stream_fill(st, max + end.n);
		if (r != 0) {
			st->scanned = 0;
			return r;
		}
	}
}

int
stream_skip_line(struct stream *st, struct slice end)
{
	ASSERT(end.n > 0);
	st->scanned = 0;
	for (;;) {
		size_t at = find_end(st, end);
		int r;

		if (at != SLICE_NONE) {
			stream_consume(st, at + end.n);
			st->scanned = 0;
			return 0;
		}
		/* What may be the beginning of `end` stays. */
		if (st->in.n >= end.n)
			stream_consume(st, st->in.n - (end.n - 1));
		st->scanned = 0;
		r = stream_fill(st, SKIP_BYTES);
		if (r != 0)
			return r;
	}
}

int
stream_read_exact(struct stream *st, void *p, size_t n)
{
	uint8_t *to = p;
	size_t step = n < st->in.n ? n : st->in.n;

	if (step > 0) {
		memcpy(to, stream_bytes_first(&st->in), step);
		stream_consume(st, step);
	}
	while (step < n) {
		size_t got;
		int r = stream_moved(st, 0);

		r = r != 0 ? fail_in(st, r) : read_some(st, to + step, n - step, &got);
		if (r != 0)
			return r;
		st->burst += got;
		step += got;
	}
	return 0;
}

/* Not `dry`: whether something can be read without waiting. */
static bool
readable(struct stream *st)
{
	int want = 0;
	int64_t v;

	if (st->in.n > 0 || st->err_in != 0)
		return true;
	v = stream_try_read(st, st->loop->scratch, OUT_BYTES, &want);
	if (v == ERR_BUSY)
		return false;
	if (v < 0) {
		(void)fail_in(st, (int)v);
		return true;
	}
	st->burst += (size_t)v;
	if (stream_bytes_put(&st->in, st->loop->scratch, (size_t)v) != 0)
		(void)stream_fail(st, ERR_NOMEM);
	return true;
}

bool
stream_readable_now(struct stream *st)
{
	bool now;

	st->dry = false;
	now = readable(st);
	st->dry = !now;
	return now;
}

int
stream_wait_readable_or_wake(struct stream *st, int64_t deadline_ms)
{
	if (deadline_ms > st->deadline_ms)
		deadline_ms = st->deadline_ms;
	while (!readable(st)) {
		bool fired;
		int r;

		if (fiber_take_kept(st->loop))
			return 0;
		stream_release_idle(st);
		/* Under TLS a read may want to write first, but then nothing is readable yet: wait for either. */
		r = stream_watch(st, STREAM_READER, UV_READABLE);
		if (r != 0)
			return fail_in(st, r);
		r = fiber_park(st->loop, deadline_ms);
		fired = st->wait[STREAM_READER].fired;
		stream_unwatch(st, STREAM_READER);
		st->burst = 0;
		if (r != 0 || !fired || fiber_was_woken(st->loop))
			return r;
	}
	return st->err_in == 0 || st->err_in == ERR_CLOSED || st->in.n > 0 ? 0 : st->err_in;
}

/* ---- output ---- */

static int
write_all(struct stream *st, const uint8_t *p, size_t n, size_t *done)
{
	for (*done = 0; *done < n;) {
		int want = 0, r = st->err_out;
		int64_t v;

		if (r == 0)
			r = stream_moved(st, 0);
		if (r != 0)
			return stream_fail(st, r);
		v = stream_try_write(st, p + *done, n - *done, &want);
		if (v >= 0) {
			*done += (size_t)v;
			st->burst += (size_t)v;
			continue;
		}
		r = (int)v;
		if (r == ERR_BUSY)
			r = stream_wait(st, STREAM_WRITER, want, stream_wait_end(st, st->write_ms));
		if (r != 0)
			return stream_fail(st, r);
	}
	return 0;
}

int
stream_flush(struct stream *st)
{
	size_t done;
	int r;

	if (st->err_out != 0)
		return st->err_out;
	r = write_all(st, stream_bytes_first(&st->out), st->out.n, &done);
	stream_bytes_took(&st->out, done);
	while (r == 0 && st->deflate != NULL) {
		int want = 0;

		r = stream_deflate_flush(st, &want);
		if (r == 0)
			break;
		if (r == ERR_BUSY)
			r = stream_wait(st, STREAM_WRITER, want, stream_wait_end(st, st->write_ms));
		if (r != 0)
			return stream_fail(st, r);
	}
	return r;
}

int
stream_write(struct stream *st, struct slice s)
{
	size_t done;
	int r = st->err_out;

	if (r == 0 && st->shut)
		r = ERR_CLOSED;
	if (r == 0 && st->out.n > 0 && st->out.n + s.n >= OUT_BYTES) {
		size_t head = st->out.n < OUT_BYTES ? OUT_BYTES - st->out.n : 0;

		/* Fills the block, so that the bytes leave in full records and segments. */
		r = head == 0 ? 0 : stream_bytes_put(&st->out, s.p, head);
		s = slice_from(s, head);
		if (r == 0)
			r = stream_flush(st);
	}
	if (r == 0 && s.n >= OUT_BYTES) {
		size_t whole = s.n - s.n % OUT_BYTES;

		r = write_all(st, s.p, whole, &done);
		s = slice_from(s, done);
	}
	if (r == 0 && s.n > 0)
		r = stream_bytes_put(&st->out, s.p, s.n);
	return r == 0 ? 0 : stream_fail(st, r);
}

int
stream_printf(struct stream *st, const char *fmt, ...)
{
	va_list ap;
	int n, r = st->err_out;

	if (r != 0)
		return r;
	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	ASSERT(n >= 0);
	/* One byte more for the NUL that vsnprintf writes; it is not counted. */
	r = bytes_room(&st->out, (size_t)n + 1);
	if (r != 0)
		return stream_fail(st, r);
	va_start(ap, fmt);
	(void)vsnprintf((char *)stream_bytes_first(&st->out) + st->out.n, (size_t)n + 1, fmt, ap);
	va_end(ap);
	st->out.n += (size_t)n;
	return st->out.n >= OUT_BYTES ? stream_flush(st) : 0;
}

int
stream_shutdown(struct stream *st)
{
	int r = stream_flush(st), want = 0;

	while (r == 0 && !st->shut) {
		r = stream_try_shutdown(st, &want);
		if (r == ERR_BUSY)
			r = stream_wait(st, STREAM_WRITER, want, stream_wait_end(st, st->write_ms));
	}
	return r == 0 ? 0 : stream_fail(st, r);
}
