/* reader_child.c: one reader: requests from its socket, one by one, answered in order. It can only read, write and use
 * memory; what a document makes it do costs that document's text. Too much memory, time or a crash end it, and whoever asked opens another. */
#include "role/reader_private.h"

#include "reader/reader_report.h"
#include "reader/reader_texts.h"

#include <errno.h>
#include <jansson.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sysexits.h>

static void
close_others(int fd)
{
	if (fd > STDERR_FILENO + 1)
		(void)syscall(SYS_close_range, STDERR_FILENO + 1, fd - 1, 0);
	(void)syscall(SYS_close_range, fd + 1, ~0u, 0);
	(void)close(STDIN_FILENO);
	(void)close(STDOUT_FILENO);
}

static bool
limit(int what, uint64_t soft, uint64_t hard)
{
	const struct rlimit r = {soft, hard};

	return setrlimit(what, &r) == 0;
}

static bool
limit_self(const struct limits *l)
{
	uint64_t cpu_s = ((uint64_t)l->reader_cpu_ms + 999) / 1000;
	bool ok = limit(RLIMIT_CPU, cpu_s, cpu_s) && limit(RLIMIT_NOFILE, 0, 0) && limit(RLIMIT_FSIZE, 0, 0);

#ifndef POSTHOUSE_SANITIZED
	/* Sanitizers map terabytes that they never touch. */
	ok = ok && limit(RLIMIT_AS, (uint64_t)l->reader_memory_bytes, (uint64_t)l->reader_memory_bytes);
#endif
	return ok;
}

/* False at the end of the stream or on an error. */
static bool
read_all(int fd, uint8_t *to, size_t n)
{
	while (n > 0) {
		ssize_t r = read(fd, to, n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return false;
		to += r;
		n -= (size_t)r;
	}
	return true;
}

static bool
write_all(int fd, struct slice s)
{
	while (s.n > 0) {
		ssize_t r = write(fd, s.p, s.n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return false;
		s = slice_from(s, (size_t)r);
	}
	return true;
}

/* What a request is answered with. */
struct answering {
	const struct limits *limits;
	enum bus_reader what;
	uint64_t salt;
};

static int
answer_texts(const struct answering *w, struct slice in, struct arena *a, struct buf *out)
{
	struct bus_reader_texts_request q = {0};
	struct bus_reader_texts_reply reply = {0};
	size_t nfds;
	int err = bus_decode(BUS_reader_texts, false, in, NULL, 0, a, &q);

	if (err == 0)
		err = reader_texts(w->limits, &q, a, &reply);
	return err == 0 ? bus_encode(BUS_reader_texts, true, &reply, out, NULL, &nfds, 0) : err;
}

static int
answer_report(const struct answering *w, struct slice in, struct arena *a, struct buf *out)
{
	struct bus_reader_report_request q = {0};
	struct bus_reader_report_reply reply = {0};
	size_t nfds;
	int err = bus_decode(BUS_reader_report, false, in, NULL, 0, a, &q);

	if (err == 0)
		err = reader_report(w->limits, w->salt, &q, a, &reply);
	return err == 0 ? bus_encode(BUS_reader_report, true, &reply, out, NULL, &nfds, 0) : err;
}

/* One request and its answer: 0, ERR_CLOSED at the end, or what makes this reader useless. */
static int
serve_one(const struct answering *w, int fd)
{
	struct arena ARENA_CLEANUP a;
	struct buf BUF_CLEANUP out;
	uint32_t length;
	uint8_t *in;
	int err;

	arena_init(&a, (size_t)READER_FRAME_MAX * 4 + READER_REPORT_ARENA);
	buf_init(&out, READER_FRAME_MAX);
	if (!read_all(fd, (uint8_t *)&length, sizeof(length)))
		return ERR_CLOSED;
	length = be32toh(length);
	if (length > READER_FRAME_MAX)
		return ERR_LIMIT;
	if ((in = arena_alloc(&a, length)) == NULL)
		return ERR_NOMEM;
	if (!read_all(fd, in, length))
		return ERR_CLOSED;
	buf_put_be32(&out, 0);
	if (w->what == READER_REPORTS)
		err = answer_report(w, slice_of(in, length), &a, &out);
	else
		err = answer_texts(w, slice_of(in, length), &a, &out);
	if (err != 0)
		return err;
	buf_patch_be32(&out, 0, (uint32_t)(out.n - 4));
	return write_all(fd, buf_slice(&out)) ? 0 : ERR_CLOSED;
}

_Noreturn void
reader_child_main(const struct reader_child *c, enum bus_reader what, int fd)
{
	struct answering w = {&c->house->limits, what, house_random_u64(c->house)};
	int err = 0;

	(void)signal(SIGPIPE, SIG_IGN);
	close_others(fd);
	/* Else it would look for randomness where it may not. */
	json_object_seed((size_t)w.salt | 1);
	if (!limit_self(&c->house->limits) || sandbox_child_enter(c->sandbox) != 0)
		_exit(EX_OSERR);
	while (err == 0)
		err = serve_one(&w, fd);
	_exit(err == ERR_CLOSED ? 0 : EX_DATAERR);
}
