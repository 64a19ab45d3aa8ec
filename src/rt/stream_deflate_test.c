#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rt/stream.h"

#include "rt/rt_test.h"

#include <sys/socket.h>
#include <zlib.h>

#define CRLF SLICE("\r\n")

/* A compressed stream and the naked other end. */
static int
half(struct rt_test *x, struct stream **st)
{
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	assert_int_equal(stream_new(st, x->loop, fd[0]), 0);
	assert_int_equal(stream_start_deflate(*st), 0);
	assert_true(stream_is_deflate(*st));
	return fd[1];
}

static void
write_raw(int fd, const void *p, size_t n)
{
	assert_int_equal(write(fd, p, n), n);
}

/* What a peer's zlib makes of n bytes, `flush` as zlib names it. */
static size_t
compressed(const void *p, size_t n, int flush, uint8_t *out, size_t max)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)p, .avail_in = (uInt)n, .next_out = out, .avail_out = (uInt)max};

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY), Z_OK);
	(void)deflate(&z, flush);
	assert_int_equal(z.avail_in, 0);
	(void)deflateEnd(&z);
	return max - z.avail_out;
}

struct talker {
	struct stream *st;
	int rounds;
};

static void
echo_main(void *arg)
{
	struct talker *t = arg;
	struct slice line;

	for (int i = 0; i < t->rounds; i++) {
		assert_int_equal(stream_read_line(t->st, CRLF, 100000, &line), 0);
		assert_int_equal(stream_write(t->st, line), 0);
		assert_int_equal(stream_write(t->st, CRLF), 0);
		assert_int_equal(stream_flush(t->st), 0);
	}
}

/* Both ends are ours: each line comes back, small and large, and the compressor is given back in between. */
RT_TEST(test_two_ways)
{
	struct stream *a, *b;
	enum { LINE = 70000 };
	char *text = malloc(LINE); /* a fiber's stack is smaller */
	struct slice line;

	assert_int_equal(stream_pair(x->loop, &a, &b), 0);
	assert_int_equal(stream_start_deflate(a), 0);
	assert_int_equal(stream_start_deflate(a), ERR_SYNTAX);
	assert_int_equal(stream_start_deflate(b), 0);
	struct talker t = {.st = b, .rounds = 60};
	assert_int_equal(fiber_start(x->loop, "echo", echo_main, &t, NULL), 0);
	for (int i = 0; i < t.rounds; i++) {
		size_t n = i % 7 == 6 ? (size_t)LINE : (size_t)(i * 13);

		for (size_t k = 0; k < n; k++)
			text[k] = (char)('a' + (k * (size_t)(i + 3) >> 2) % 26);
		assert_int_equal(stream_write(a, slice_of(text, n)), 0);
		assert_int_equal(stream_write(a, CRLF), 0);
		assert_int_equal(stream_flush(a), 0);
		assert_int_equal(stream_read_line(a, CRLF, LINE, &line), 0);
		assert_int_equal(line.n, n);
		assert_memory_equal(line.p, text, n);
	}
	assert_true(stream_bytes_out(a) < 300000);
	free(text);
	stream_close(&a);
	stream_close(&b);
}

/* What we write in pieces is one raw stream to a peer's zlib. */
RT_TEST(test_peer_inflates)
{
	struct stream *st;
	int fd = half(x, &st);
	static uint8_t raw[8192], out[8192];
	z_stream z = {0};
	ssize_t n;

	for (int i = 0; i < 5; i++) {
		assert_int_equal(stream_printf(st, "* %d EXISTS and the same words again\r\n", i), 0);
		assert_int_equal(stream_flush(st), 0);
		/* A wait gives the compressor back; the next line comes from a fresh one. */
		stream_set_timeouts(st, 1, 1000);
		if (i == 2)
			assert_int_equal(stream_wait_readable_or_wake(st, loop_deadline(x->loop, 2)), ERR_TIMEOUT);
	}
	n = read(fd, raw, sizeof(raw));
	assert_true(n > 0);
	assert_int_equal(inflateInit2(&z, -15), Z_OK);
	z.next_in = raw;
	z.avail_in = (uInt)n;
	z.next_out = out;
	z.avail_out = sizeof(out);
	assert_int_equal(inflate(&z, Z_SYNC_FLUSH), Z_OK);
	assert_int_equal(z.avail_in, 0);
	assert_int_equal(sizeof(out) - z.avail_out, 5 * 37);
	assert_memory_equal(out + 4 * 37, "* 4 EXISTS and the same words again\r\n", 37);
	(void)inflateEnd(&z);
	stream_close(&st);
	(void)close(fd);
}

/* A megabyte that would be a gigabyte: read in pieces, in constant memory, and a line of it meets its limit. */
RT_TEST(test_bomb)
{
	enum { ZEROS = 16 << 20 };
	struct stream *st;
	int fd = half(x, &st);
	uint8_t *zeros = calloc(1, ZEROS), *bomb = malloc(65536);
	size_t n = compressed(zeros, ZEROS, Z_SYNC_FLUSH, bomb, 65536);
	struct slice line;

	assert_true(n < 20000);
	write_raw(fd, bomb, n);
	assert_int_equal(stream_read_line(st, CRLF, 8192, &line), ERR_LIMIT);
	assert_true(stream_pending(st).n <= 8194);
	for (size_t left = ZEROS; left > 0;) {
		size_t step = left < 65536 ? left : 65536;

		assert_int_equal(stream_read_exact(st, zeros, step), 0);
		left -= step;
	}
	assert_false(stream_readable_now(st));
	stream_close(&st);
	(void)close(fd);
	free(zeros);
	free(bomb);
}

RT_TEST(test_broken)
{
	static const uint8_t noise[] = {0xff, 0xfe, 0x00, 0x12, 0x77};
	uint8_t good[200];
	size_t n = compressed("a line\r\nanother\r\n", 17, Z_FINISH, good, sizeof(good));
	struct stream *st;
	struct slice line;
	int fd = half(x, &st);

	/* Not DEFLATE. */
	write_raw(fd, noise, sizeof(noise));
	assert_int_equal(stream_read_line(st, CRLF, 100, &line), ERR_SYNTAX);
	stream_close(&st);
	(void)close(fd);

	/* Cut at every byte: what came whole is read, then the end. */
	for (size_t cut = 0; cut <= n; cut++) {
		int r;

		fd = half(x, &st);
		write_raw(fd, good, cut);
		(void)close(fd);
		do
			r = stream_read_line(st, CRLF, 100, &line);
		while (r == 0);
		assert_int_equal(r, ERR_CLOSED);
		stream_close(&st);
	}

	/* After the final block of its stream the peer has nothing more to say. */
	fd = half(x, &st);
	write_raw(fd, good, n);
	write_raw(fd, good, n);
	assert_int_equal(stream_read_line(st, CRLF, 100, &line), 0);
	assert_int_equal(stream_read_line(st, CRLF, 100, &line), 0);
	assert_int_equal(stream_read_line(st, CRLF, 100, &line), ERR_CLOSED);
	stream_close(&st);
	(void)close(fd);
}

/* Bytes from before the start would pass for compressed ones. */
RT_TEST(test_unread_before)
{
	struct stream *a, *b;

	assert_int_equal(stream_pair(x->loop, &a, &b), 0);
	assert_int_equal(stream_write(b, SLICE("a NOOP\r\n")), 0);
	assert_int_equal(stream_flush(b), 0);
	assert_int_equal(stream_fill(a, 100), 0);
	assert_int_equal(stream_start_deflate(a), ERR_SYNTAX);
	assert_false(stream_is_deflate(a));
	stream_close(&a);
	stream_close(&b);
}

/* A peer that never reads holds up its own session for the time of one write, and no more memory than a block. */
RT_TEST(test_peer_never_reads)
{
	struct stream *st;
	int fd = half(x, &st), r = 0;
	static uint8_t block[16384];
	uint32_t seed = 1;

	stream_set_timeouts(st, 1000, 20);
	for (int i = 0; i < 1000 && r == 0; i++) {
		for (size_t k = 0; k < sizeof(block); k++) {
			seed = seed * 1664525 + 1013904223;
			block[k] = (uint8_t)(seed >> 24);
		}
		r = stream_write(st, slice_of(block, sizeof(block)));
		if (r == 0)
			r = stream_flush(st);
	}
	assert_int_equal(r, ERR_TIMEOUT);
	stream_close(&st);
	(void)close(fd);
}

#define T(name) cmocka_unit_test(name##_run)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_two_ways),
	    T(test_peer_inflates),
	    T(test_bomb),
	    T(test_broken),
	    T(test_unread_before),
	    T(test_peer_never_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
