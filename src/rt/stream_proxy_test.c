#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rt/stream.h"

#include "rt/rt_test.h"

#include <sys/socket.h>

#define CRLF SLICE("\r\n")

/* client ═ near | far ═ desk, with a proxy between near and far. */
struct chain {
	struct loop *loop;
	struct stream *client, *near, *far, *desk;
	int64_t idle_ms;
	int result;
	struct fiber *fiber;
};

static void
proxy_main(void *arg)
{
	struct chain *c = arg;

	c->result = stream_proxy(c->near, c->far, c->idle_ms);
	stream_close(&c->near);
	stream_close(&c->far);
}

static void
chain_start(struct rt_test *x, struct chain *c, int64_t idle_ms)
{
	*c = (struct chain){.loop = x->loop, .idle_ms = idle_ms, .result = 1};
	assert_int_equal(stream_pair(x->loop, &c->client, &c->near), 0);
	assert_int_equal(stream_pair(x->loop, &c->far, &c->desk), 0);
	assert_int_equal(fiber_start(x->loop, "proxy", proxy_main, c, &c->fiber), 0);
}

static void
chain_end(struct rt_test *x, struct chain *c)
{
	fiber_join(x->loop, &c->fiber);
	stream_close(&c->client);
	stream_close(&c->desk);
}

static void
send_text(struct stream *st, const char *text)
{
	assert_int_equal(stream_write(st, slice_z(text)), 0);
	assert_int_equal(stream_flush(st), 0);
}

static void
expect(struct stream *st, const char *want)
{
	struct slice line;

	assert_int_equal(stream_read_line(st, CRLF, 1000, &line), 0);
	assert_true(slice_eq(line, slice_z(want)));
}

/* What was read or written before the proxy began is handed on too. */
RT_TEST(test_half_close)
{
	struct chain c;

	for (int first = 0; first < 2; first++) {
		struct stream *one, *two;

		chain_start(x, &c, 5000);
		one = first == 0 ? c.client : c.desk;
		two = first == 0 ? c.desk : c.client;
		send_text(c.client, "early\r\nnext\r\n");
		expect(c.near, "early");
		assert_int_equal(stream_write(c.near, SLICE("unsent\r\n")), 0);
		expect(c.desk, "next");
		expect(c.client, "unsent");
		send_text(c.desk, "* OK\r\n");
		expect(c.client, "* OK");
		assert_int_equal(stream_shutdown(one), 0);
		assert_int_equal(stream_fill(two, 10), ERR_CLOSED);
		send_text(two, "still here\r\n");
		expect(one, "still here");
		assert_int_equal(c.result, 1);
		assert_int_equal(stream_shutdown(two), 0);
		assert_int_equal(stream_fill(one, 10), ERR_CLOSED);
		chain_end(x, &c);
		assert_int_equal(c.result, 0);
	}
}

RT_TEST(test_idle_and_cancel)
{
	struct chain c;

	chain_start(x, &c, 40);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(fiber_sleep(x->loop, 20), 0);
		send_text(c.client, "NOOP\r\n");
		expect(c.desk, "NOOP");
	}
	chain_end(x, &c);
	assert_int_equal(c.result, ERR_TIMEOUT);
	chain_start(x, &c, 5000);
	assert_int_equal(fiber_sleep(x->loop, 5), 0);
	fiber_wake(c.fiber);
	assert_int_equal(fiber_sleep(x->loop, 5), 0);
	assert_int_equal(c.result, 1);
	fiber_cancel(c.fiber);
	chain_end(x, &c);
	assert_int_equal(c.result, ERR_CANCELLED);
	chain_start(x, &c, 5000);
	stream_set_deadline(c.near, loop_deadline(x->loop, 20));
	chain_end(x, &c);
	assert_int_equal(c.result, ERR_TIMEOUT);
}

/* A side that is gone ends the proxy, but what it said before still arrives. */
RT_TEST(test_abort)
{
	struct chain c;

	chain_start(x, &c, 5000);
	assert_int_equal(fiber_yield(x->loop), 0);
	send_text(c.desk, "* BYE\r\n");
	stream_close(&c.desk);
	send_text(c.client, "NOOP\r\n");
	expect(c.client, "* BYE");
	assert_int_equal(stream_fill(c.client, 10), ERR_CLOSED);
	stream_close(&c.client);
	chain_end(x, &c);
	assert_int_not_equal(c.result, 1);
	chain_start(x, &c, 5000);
	stream_close(&c.client);
	assert_int_equal(stream_fill(c.desk, 10), ERR_CLOSED);
	stream_close(&c.desk);
	chain_end(x, &c);
	assert_int_equal(c.result, 0);
}

struct flood {
	struct stream *st;
	size_t n, done;
	int result;
	struct fiber *fiber;
};

static void
flood_main(void *arg)
{
	struct flood *f = arg;
	uint8_t block[4096];

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)i;
	while (f->result == 0 && f->done < f->n) {
		f->result = stream_write(f->st, slice_of(block, sizeof(block)));
		if (f->result == 0)
			f->done += sizeof(block);
	}
	if (f->result == 0)
		f->result = stream_shutdown(f->st);
}

/* A reader that takes nothing holds the sender back: what lies in between stays small. */
RT_TEST(test_slow_reader)
{
	struct chain c;
	struct flood f = {.n = 4096 * 8000};
	size_t at = 0, held;

	chain_start(x, &c, 20000);
	f.st = c.desk;
	assert_int_equal(fiber_start(x->loop, "flood", flood_main, &f, &f.fiber), 0);
	assert_int_equal(fiber_sleep(x->loop, 100), 0);
	held = f.done;
	assert_true(held < 2000000);
	assert_int_equal(fiber_sleep(x->loop, 30), 0);
	assert_int_equal(f.done, held);
	/* Meanwhile the other direction works. */
	send_text(c.client, "DONE\r\n");
	expect(c.desk, "DONE");
	while (stream_fill(c.client, 100000) == 0) {
		struct slice p = stream_pending(c.client);

		for (size_t i = 0; i < p.n; i++)
			if (p.p[i] != (uint8_t)(at + i))
				fail();
		at += p.n;
		stream_consume(c.client, p.n);
	}
	assert_int_equal(at, f.n);
	fiber_join(x->loop, &f.fiber);
	assert_int_equal(f.result, 0);
	assert_int_equal(stream_shutdown(c.client), 0);
	chain_end(x, &c);
	assert_int_equal(c.result, 0);
}

static void
talk_main(void *arg)
{
	struct chain *c = arg;
	char text[64];

	for (int i = 0; i < 20; i++) {
		(void)snprintf(text, sizeof(text), "%d of %p\r\n", i, (void *)c);
		send_text(c->client, text);
		*strchr(text, '\r') = 0;
		expect(c->desk, text);
		send_text(c->desk, "OK\r\n");
		expect(c->client, "OK");
		assert_int_equal(fiber_sleep(c->loop, i % 3), 0);
	}
	assert_int_equal(stream_shutdown(c->client), 0);
	assert_int_equal(stream_shutdown(c->desk), 0);
}

#define PAIRS 200

RT_TEST(test_many_pairs)
{
	struct chain *c = calloc(PAIRS, sizeof(*c));
	struct fiber *f[PAIRS];

	for (size_t i = 0; i < PAIRS; i++) {
		chain_start(x, &c[i], 5000);
		assert_int_equal(fiber_start(x->loop, "talk", talk_main, &c[i], &f[i]), 0);
	}
	for (size_t i = 0; i < PAIRS; i++) {
		fiber_join(x->loop, &f[i]);
		chain_end(x, &c[i]);
		assert_int_equal(c[i].result, 0);
	}
	free(c);
}

#define T(name) cmocka_unit_test(name##_run)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_half_close),
	    T(test_idle_and_cancel),
	    T(test_abort),
	    T(test_slow_reader),
	    T(test_many_pairs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
