#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rt/stream.h"

#include "rt/rt_test.h"

#include <fcntl.h>
#include <sys/socket.h>

#define CRLF SLICE("\r\n")

static void
write_raw(int fd, struct slice s)
{
	assert_int_equal(write(fd, s.p, s.n), s.n);
}

/* A stream and the naked other end. */
static int
half(struct rt_test *x, struct stream **st)
{
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	assert_int_equal(stream_new(st, x->loop, fd[0]), 0);
	return fd[1];
}

static void
expect_line(struct stream *st, struct slice end, size_t max, const char *want)
{
	struct slice line;

	assert_int_equal(stream_read_line(st, end, max, &line), 0);
	assert_int_equal(line.n, strlen(want));
	assert_memory_equal(line.p, want, line.n);
}

struct splitter {
	struct loop *loop;
	int fd;
	struct slice text;
	size_t at, at2;
};

static void
splitter_main(void *arg)
{
	struct splitter *s = arg;

	write_raw(s->fd, slice_head(s->text, s->at));
	(void)!fiber_yield(s->loop);
	(void)!fiber_yield(s->loop);
	write_raw(s->fd, slice_range(s->text, s->at, s->at2));
	(void)!fiber_yield(s->loop);
	(void)!fiber_yield(s->loop);
	write_raw(s->fd, slice_from(s->text, s->at2));
}

/* Lines come out alike however the bytes were cut. */
RT_TEST(test_lines_split)
{
	struct slice text = SLICE("EHLO a\r\n\r\nx\ry\nz\r\r\nlast\r\n");

	for (size_t i = 0; i <= text.n; i++) {
		for (size_t k = i; k <= text.n; k++) {
			struct splitter s = {x->loop, -1, text, i, k};
			struct stream *st;
			struct fiber *f;

			s.fd = half(x, &st);
			assert_int_equal(fiber_start(x->loop, "splitter", splitter_main, &s, &f), 0);
			expect_line(st, CRLF, 100, "EHLO a");
			expect_line(st, CRLF, 100, "");
			expect_line(st, CRLF, 100, "x\ry\nz\r");
			expect_line(st, CRLF, 4, "last");
			fiber_join(x->loop, &f);
			assert_int_equal(stream_bytes_in(st), text.n);
			assert_false(stream_readable_now(st));
			stream_close(&st);
			assert_null(st);
			(void)close(s.fd);
		}
	}
}

RT_TEST(test_line_limits)
{
	struct stream *st;
	struct slice line;
	int fd = half(x, &st);

	/* Exactly the limit, one more, and no end at all. */
	write_raw(fd, SLICE("12345\r\n123456\r\nok\n"));
	expect_line(st, CRLF, 5, "12345");
	assert_int_equal(stream_read_line(st, CRLF, 5, &line), ERR_LIMIT);
	assert_int_equal(stream_read_line(st, CRLF, 5, &line), ERR_LIMIT);
	assert_int_equal(stream_error(st), 0);
	assert_int_equal(stream_skip_line(st, CRLF), 0);
	expect_line(st, SLICE("\n"), 5, "ok");
	write_raw(fd, SLICE("123456789\r"));
	assert_int_equal(stream_read_line(st, CRLF, 5, &line), ERR_LIMIT);
	assert_true(stream_pending(st).n <= 7);
	write_raw(fd, SLICE("abc\r\r\nnext\r\n"));
	assert_int_equal(stream_skip_line(st, CRLF), 0);
	expect_line(st, CRLF, 5, "next");
	/* An unfinished last line. */
	write_raw(fd, SLICE("part"));
	(void)close(fd);
	assert_int_equal(stream_read_line(st, CRLF, 100, &line), ERR_CLOSED);
	assert_int_equal(stream_pending(st).n, 4);
	assert_int_equal(stream_read_line(st, CRLF, 100, &line), ERR_CLOSED);
	assert_int_equal(stream_skip_line(st, CRLF), ERR_CLOSED);
	assert_int_equal(stream_error(st), ERR_CLOSED);
	stream_close(&st);
}

struct flood {
	struct stream *st;
	size_t n;
	int result;
};

static void
flood_main(void *arg)
{
	struct flood *f = arg;
	uint8_t block[1000];

	memset(block, 'x', sizeof(block));
	for (size_t sent = 0; f->result == 0 && sent < f->n; sent += sizeof(block))
		f->result = stream_write(f->st, slice_of(block, sizeof(block)));
	if (f->result == 0)
		f->result = stream_write(f->st, SLICE("\r\nend\r\n"));
	if (f->result == 0)
		f->result = stream_flush(f->st);
}

/* A line of 20 MB is skipped in constant memory, and does not keep other fibers from running. */
RT_TEST(test_skip_huge_line)
{
	struct stream *a, *b;
	struct flood f = {.n = 20000000};
	struct slice line;
	struct fiber *fiber;

	assert_int_equal(stream_pair(x->loop, &a, &b), 0);
	f.st = a;
	assert_int_equal(fiber_start(x->loop, "flood", flood_main, &f, &fiber), 0);
	assert_int_equal(stream_read_line(b, CRLF, 1000, &line), ERR_LIMIT);
	assert_int_equal(stream_skip_line(b, CRLF), 0);
	expect_line(b, CRLF, 100, "end");
	fiber_join(x->loop, &fiber);
	assert_int_equal(f.result, 0);
	assert_int_equal(stream_bytes_out(a), 20000007);
	stream_close(&a);
	stream_close(&b);
}

RT_TEST(test_fill_and_exact)
{
	struct stream *st;
	uint8_t v[8];
	int fd = half(x, &st);

	write_raw(fd, SLICE("abcdefgh"));
	assert_int_equal(stream_fill(st, 3), 0);
	assert_int_equal(stream_pending(st).n, 3);
	assert_int_equal(stream_fill(st, 3), ERR_LIMIT);
	assert_int_equal(stream_fill(st, 5), 0);
	assert_int_equal(stream_pending(st).n, 5);
	stream_consume(st, 2);
	assert_int_equal(stream_read_exact(st, v, 6), 0);
	assert_memory_equal(v, "cdefgh", 6);
	write_raw(fd, SLICE("xy"));
	(void)close(fd);
	assert_int_equal(stream_read_exact(st, v, 3), ERR_CLOSED);
	stream_close(&st);
}

/* Timeouts of single waits and the end of everything; a read that timed out still lets a last word be written. */
RT_TEST(test_deadlines)
{
	struct stream *st;
	struct slice line;
	struct flood f = {.n = 50000000};
	char got[16];
	int64_t start = house_mono_ms(&x->house);
	int fd = half(x, &st);

	stream_set_timeouts(st, 30, 30);
	write_raw(fd, SLICE("slow"));
	assert_int_equal(stream_read_line(st, CRLF, 100, &line), ERR_TIMEOUT);
	assert_true(house_mono_ms(&x->house) - start >= 20);
	write_raw(fd, SLICE("er\r\n"));
	assert_int_equal(stream_read_line(st, CRLF, 100, &line), ERR_TIMEOUT);
	assert_int_equal(stream_error(st), ERR_TIMEOUT);
	assert_int_equal(stream_printf(st, "%d %s\r\n", 421, "bye"), 0);
	assert_int_equal(stream_shutdown(st), 0);
	assert_int_equal(read(fd, got, sizeof(got)), 9);
	assert_memory_equal(got, "421 bye\r\n", 9);
	assert_int_equal(read(fd, got, sizeof(got)), 0);
	stream_close(&st);
	(void)close(fd);

	/* Nobody takes what is written. */
	fd = half(x, &st);
	stream_set_timeouts(st, 30, 30);
	f.st = st;
	flood_main(&f);
	assert_int_equal(f.result, ERR_TIMEOUT);
	assert_int_equal(stream_write(st, SLICE("x")), ERR_TIMEOUT);
	assert_int_equal(stream_flush(st), ERR_TIMEOUT);
	stream_close(&st);
	(void)close(fd);

	fd = half(x, &st);
	stream_set_deadline(st, loop_deadline(x->loop, 20));
	assert_int_equal(stream_fill(st, 10), ERR_TIMEOUT);
	stream_close(&st);
	(void)close(fd);
}

RT_TEST(test_half_close)
{
	struct stream *st;
	char got[16];
	int fd = half(x, &st);

	write_raw(fd, SLICE("QUIT\r\n"));
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	expect_line(st, CRLF, 100, "QUIT");
	assert_true(stream_readable_now(st));
	assert_int_equal(stream_fill(st, 10), ERR_CLOSED);
	assert_int_equal(stream_write(st, SLICE("bye")), 0);
	assert_int_equal(stream_flush(st), 0);
	assert_int_equal(read(fd, got, sizeof(got)), 3);
	(void)close(fd);
	/* Gone: the error sticks for both directions. */
	assert_int_equal(stream_write(st, SLICE("more")), 0);
	assert_int_equal(stream_flush(st), ERR_CLOSED);
	assert_int_equal(stream_write(st, SLICE("more")), ERR_CLOSED);
	stream_close(&st);
	stream_close(&st);
}

static void
reader_main(void *arg)
{
	struct flood *f = arg;

	f->result = stream_fill(f->st, 10);
	f->n = 1;
}

RT_TEST(test_cancelled_read)
{
	struct stream *st;
	struct flood r = {0};
	struct fiber *f;
	int fd = half(x, &st);

	r.st = st;
	assert_int_equal(fiber_start(x->loop, "reader", reader_main, &r, &f), 0);
	assert_int_equal(fiber_sleep(x->loop, 3), 0);
	fiber_wake(f); /* not what it waits for */
	assert_int_equal(fiber_sleep(x->loop, 3), 0);
	assert_int_equal(r.n, 0);
	fiber_cancel(f);
	fiber_join(x->loop, &f);
	assert_int_equal(r.result, ERR_CANCELLED);
	assert_int_equal(stream_fill(st, 10), ERR_CANCELLED);
	stream_close(&st);
	(void)close(fd);
}

struct idle {
	struct stream *st;
	int64_t deadline_ms;
	int result;
	bool readable;
};

static void
idle_main(void *arg)
{
	struct idle *i = arg;

	i->result = stream_wait_readable_or_wake(i->st, i->deadline_ms);
	i->readable = stream_readable_now(i->st);
}

static struct idle
idle_start(struct rt_test *x, struct stream *st, int64_t ms)
{
	return (struct idle){.st = st, .deadline_ms = loop_deadline(x->loop, ms), .result = 1};
}

RT_TEST(test_wait_readable_or_wake)
{
	struct stream *st;
	struct idle i;
	struct fiber *f;
	int fd = half(x, &st);

	/* By a wake, by input, by both before it waits, at its deadline, at the end of input. */
	i = idle_start(x, st, 5000);
	assert_int_equal(fiber_start(x->loop, "idle", idle_main, &i, &f), 0);
	assert_int_equal(fiber_sleep(x->loop, 2), 0);
	fiber_wake(f);
	fiber_join(x->loop, &f);
	assert_int_equal(i.result, 0);
	assert_false(i.readable);
	i = idle_start(x, st, 5000);
	assert_int_equal(fiber_start(x->loop, "idle", idle_main, &i, &f), 0);
	assert_int_equal(fiber_sleep(x->loop, 2), 0);
	write_raw(fd, SLICE("DONE\r\n"));
	fiber_join(x->loop, &f);
	assert_int_equal(i.result, 0);
	assert_true(i.readable);
	expect_line(st, CRLF, 10, "DONE");
	i = idle_start(x, st, 10);
	assert_int_equal(fiber_start(x->loop, "idle", idle_main, &i, &f), 0);
	fiber_join(x->loop, &f);
	assert_int_equal(i.result, ERR_TIMEOUT);
	assert_int_equal(stream_error(st), 0);
	i = idle_start(x, st, 5000);
	assert_int_equal(fiber_start(x->loop, "idle", idle_main, &i, &f), 0);
	fiber_wake(f);
	fiber_join(x->loop, &f);
	assert_int_equal(i.result, 0);
	(void)close(fd);
	i = idle_start(x, st, 5000);
	assert_int_equal(fiber_start(x->loop, "idle", idle_main, &i, &f), 0);
	fiber_join(x->loop, &f);
	assert_int_equal(i.result, 0);
	assert_true(i.readable);
	stream_close(&st);
}

RT_TEST(test_detach)
{
	struct stream *st;
	BUF_CLEANUP struct buf unread;
	int fd = half(x, &st), got;

	buf_init(&unread, 100);
	write_raw(fd, SLICE("one\r\ntwo"));
	expect_line(st, CRLF, 10, "one");
	assert_int_equal(stream_write(st, SLICE("x")), 0);
	assert_int_equal(stream_detach(&st, &unread, &got), ERR_INVALID);
	assert_int_equal(stream_flush(st), 0);
	assert_int_equal(stream_detach(&st, &unread, &got), 0);
	assert_null(st);
	assert_true(slice_eq(buf_slice(&unread), SLICE("two")));
	/* It can be used again, on the same loop too. */
	assert_int_equal(stream_new(&st, x->loop, got), 0);
	write_raw(fd, SLICE("three\r\n"));
	expect_line(st, CRLF, 10, "three");
	stream_close(&st);
	(void)close(fd);
}

/* Bytes that are put back come before those that are pending and those that come later, also in the middle of a line end. */
RT_TEST(test_unread)
{
	struct stream *st;
	int fd = half(x, &st);
	struct slice line;
	char got[4];

	assert_int_equal(stream_unread(st, SLICE_EMPTY), 0);
	assert_int_equal(stream_pending(st).n, 0);
	assert_int_equal(stream_unread(st, SLICE("a LOGIN\r\nb NO")), 0);
	expect_line(st, CRLF, 100, "a LOGIN");
	write_raw(fd, SLICE("OP\r\nrest\r"));
	expect_line(st, CRLF, 100, "b NOOP");
	/* A line that was looked through in vain is another one now. */
	stream_set_timeouts(st, 10, 10);
	assert_int_equal(stream_read_line(st, CRLF, 100, &line), ERR_TIMEOUT);
	stream_close(&st);
	(void)close(fd);

	fd = half(x, &st);
	write_raw(fd, SLICE("\nthird"));
	assert_int_equal(stream_fill(st, 1000), 0);
	assert_int_equal(stream_unread(st, SLICE("one\r\n")), 0);
	assert_int_equal(stream_unread(st, SLICE("zero\r\n")), 0);
	expect_line(st, CRLF, 100, "zero");
	expect_line(st, CRLF, 100, "one");
	assert_int_equal(stream_unread(st, SLICE("two\r")), 0);
	expect_line(st, CRLF, 100, "two");
	(void)close(fd);
	/* After the end too. */
	assert_int_equal(stream_read_exact(st, got, 4), 0);
	assert_memory_equal(got, "thir", 4);
	assert_int_equal(stream_read_line(st, CRLF, 100, &line), ERR_CLOSED);
	assert_int_equal(stream_unread(st, SLICE("la")), 0);
	expect_line(st, SLICE("d"), 100, "la");
	stream_close(&st);
}

/* What comes back from another process is at times much, and its lines have their limit all the same. */
RT_TEST(test_unread_much)
{
	struct stream *st;
	uint8_t *block = malloc(200000);
	struct slice line;
	int fd = half(x, &st);

	memset(block, 'x', 200000);
	write_raw(fd, SLICE("\r\nlast\r\n"));
	assert_int_equal(stream_fill(st, 1000), 0);
	assert_int_equal(stream_unread(st, slice_of(block, 200000)), 0);
	assert_int_equal(stream_read_line(st, CRLF, 1000, &line), ERR_LIMIT);
	assert_int_equal(stream_skip_line(st, CRLF), 0);
	expect_line(st, CRLF, 100, "last");
	free(block);
	stream_close(&st);
	(void)close(fd);
}

/* One fiber reads while another writes, both blocked at times. */
static void
echo_main(void *arg)
{
	struct flood *f = arg;

	while (f->result == 0) {
		struct slice p = stream_pending(f->st);

		if (p.n > 0)
			f->result = stream_write(f->st, p);
		stream_consume(f->st, p.n);
		if (f->result == 0 && !stream_readable_now(f->st))
			f->result = stream_flush(f->st);
		/* stream_readable_now() may have brought more already. */
		if (f->result == 0 && stream_pending(f->st).n == 0)
			f->result = stream_fill(f->st, 3000);
	}
	if (f->result == ERR_CLOSED)
		(void)!stream_shutdown(f->st);
}

static void
writer_main(void *arg)
{
	struct flood *f = arg;

	for (size_t i = 0; f->result == 0 && i < f->n; i++)
		f->result = stream_printf(f->st, "line %zu\r\n", i);
	if (f->result == 0)
		f->result = stream_shutdown(f->st);
}

RT_TEST(test_reader_and_writer)
{
	struct stream *a, *b;
	struct flood w = {.n = 100000}, e = {0};
	struct fiber *fw, *fe;
	char want[32];
	struct slice line;

	assert_int_equal(stream_pair(x->loop, &a, &b), 0);
	w.st = a;
	e.st = b;
	assert_int_equal(fiber_start(x->loop, "writer", writer_main, &w, &fw), 0);
	assert_int_equal(fiber_start(x->loop, "echo", echo_main, &e, &fe), 0);
	for (size_t i = 0; i < w.n; i++) {
		(void)snprintf(want, sizeof(want), "line %zu", i);
		expect_line(a, CRLF, 100, want);
	}
	assert_int_equal(stream_read_line(a, CRLF, 100, &line), ERR_CLOSED);
	fiber_join(x->loop, &fw);
	fiber_join(x->loop, &fe);
	assert_int_equal(w.result, 0);
	stream_close(&a);
	stream_close(&b);
}

RT_TEST(test_pipe)
{
	struct stream *in, *out;
	int fd[2];

	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	assert_int_equal(stream_new(&in, x->loop, fd[0]), 0);
	assert_int_equal(stream_new(&out, x->loop, fd[1]), 0);
	assert_int_equal(stream_printf(out, "%s\r\n", "through"), 0);
	assert_int_equal(stream_shutdown(out), 0);
	expect_line(in, CRLF, 10, "through");
	stream_close(&out);
	assert_int_equal(stream_fill(in, 10), ERR_CLOSED);
	stream_close(&in);
	/* Without a reader: an error, no signal. */
	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	assert_int_equal(stream_new(&out, x->loop, fd[1]), 0);
	(void)close(fd[0]);
	assert_int_equal(stream_write(out, SLICE("x")), 0);
	assert_int_equal(stream_flush(out), ERR_CLOSED);
	stream_close(&out);
}

RT_TEST(test_bad_descriptor)
{
	struct stream *st;

	assert_int_not_equal(stream_new(&st, x->loop, -1), 0);
	assert_null(st);
}

/* Large writes are not copied, small ones gather. */
RT_TEST(test_write_sizes)
{
	static const size_t sizes[] = {1, 100, 16383, 16384, 16385, 40000, 100000, 3, 16384};
	struct stream *a, *b;
	uint8_t *block = malloc(100000), *got = malloc(100000);

	assert_int_equal(stream_pair(x->loop, &a, &b), 0);
	for (size_t i = 0; i < 100000; i++)
		block[i] = (uint8_t)(i * 31 >> 3);
	for (size_t before = 0; before < 2; before++) {
		for (size_t i = 0; i < COUNT_OF(sizes); i++) {
			uint8_t first;

			if (before != 0)
				assert_int_equal(stream_write(a, SLICE("#")), 0);
			assert_int_equal(stream_write(a, slice_of(block, sizes[i])), 0);
			assert_int_equal(stream_flush(a), 0);
			if (before != 0)
				assert_int_equal(stream_read_exact(b, &first, 1), 0);
			assert_int_equal(stream_read_exact(b, got, sizes[i]), 0);
			assert_memory_equal(got, block, sizes[i]);
		}
	}
	free(block);
	free(got);
	stream_close(&a);
	stream_close(&b);
}

#define T(name) cmocka_unit_test(name##_run)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_lines_split),
	    T(test_line_limits),
	    T(test_skip_huge_line),
	    T(test_fill_and_exact),
	    T(test_deadlines),
	    T(test_half_close),
	    T(test_cancelled_read),
	    T(test_wait_readable_or_wake),
	    T(test_detach),
	    T(test_unread),
	    T(test_unread_much),
	    T(test_reader_and_writer),
	    T(test_pipe),
	    T(test_bad_descriptor),
	    T(test_write_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
