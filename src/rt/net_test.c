#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rt/net.h"

#include "rt/rt_test.h"

#include <netinet/in.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define CRLF SLICE("\r\n")

static struct net_address
address(const char *host, uint16_t port)
{
	struct net_address a;

	assert_int_equal(net_address_parse(slice_z(host), port, &a), 0);
	return a;
}

static void
test_addresses(void **state)
{
	static const struct {
		const char *in, *text, *literal;
		bool loopback;
	} good[] = {
	    {"192.0.2.1", "192.0.2.1", "[192.0.2.1]", false},
	    {"127.3.2.1", "127.3.2.1", "[127.3.2.1]", true},
	    {"2001:DB8:0:0::1", "2001:db8::1", "[IPv6:2001:db8::1]", false},
	    {"::1", "::1", "[IPv6:::1]", true},
	    {"::ffff:192.0.2.9", "192.0.2.9", "[192.0.2.9]", false},
	    {"::ffff:127.0.0.1", "127.0.0.1", "[127.0.0.1]", true},
	};
	static const char *const bad[] = {"", "localhost", "1.2.3", "1.2.3.4.5", "256.1.1.1", "::g", "1.2.3.4 ",
	    "fe80::1%lo", "[::1]", "01.2.3.4", "1:2:3:4:5:6:7:8:9",
	    "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000001"};
	struct net_address a, b;
	char text[NET_ADDRESS_TEXT_MAX];
	uint8_t k[16], m[16];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		a = address(good[i].in, 2525);
		net_address_text(&a, text);
		assert_string_equal(text, good[i].text);
		net_address_literal(&a, text);
		assert_string_equal(text, good[i].literal);
		assert_int_equal(net_address_is_loopback(&a), good[i].loopback);
		assert_int_equal(net_address_port(&a), 2525);
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(net_address_parse(slice_z(bad[i]), 1, &a), ERR_SYNTAX);
	assert_int_equal(net_address_parse(SLICE("1.2.3.4\0x"), 1, &a), ERR_SYNTAX);
	/* Keys: IPv4 whole and however it is written, IPv6 by its /64. */
	a = address("192.0.2.1", 1);
	b = address("::ffff:192.0.2.1", 2);
	net_address_prefix_key(&a, k);
	net_address_prefix_key(&b, m);
	assert_memory_equal(k, m, 16);
	b = address("192.0.2.2", 1);
	net_address_prefix_key(&b, m);
	assert_memory_not_equal(k, m, 16);
	a = address("2001:db8:1:2:3:4:5:6", 1);
	b = address("2001:db8:1:2::9", 1);
	net_address_prefix_key(&a, k);
	net_address_prefix_key(&b, m);
	assert_memory_equal(k, m, 16);
	b = address("2001:db8:1:3:3:4:5:6", 1);
	net_address_prefix_key(&b, m);
	assert_memory_not_equal(k, m, 16);
}

struct server {
	struct loop *loop;
	int live, live_max, total, cancelled;
};

static struct net_address
bound(int fd)
{
	struct net_address a = {.n = sizeof(a.sa)};

	assert_int_equal(getsockname(fd, (struct sockaddr *)&a.sa, &a.n), 0);
	return a;
}

static void
echo_line(struct net_session *n)
{
	struct server *s = n->arg;
	struct slice line;
	int r;

	if (++s->live > s->live_max)
		s->live_max = s->live;
	s->total++;
	assert_true(net_address_is_loopback(&n->peer));
	assert_true(net_address_is_loopback(&n->local));
	r = stream_read_line(n->stream, CRLF, 100, &line);
	if (r == 0) {
		(void)!stream_write(n->stream, line);
		(void)!stream_write(n->stream, CRLF);
		(void)!stream_shutdown(n->stream);
	}
	if (r == ERR_CANCELLED)
		s->cancelled++;
	s->live--;
	stream_close(&n->stream);
}

struct caller {
	struct loop *loop;
	struct net_address to;
	int64_t wait_ms;
	int result;
	struct fiber *fiber;
};

static void
caller_main(void *arg)
{
	struct caller *c = arg;
	struct stream *st;
	struct slice line;

	c->result = net_connect(c->loop, &c->to, NULL, loop_deadline(c->loop, 10000), &st);
	if (c->result == 0 && c->wait_ms > 0)
		c->result = fiber_sleep(c->loop, c->wait_ms);
	if (c->result == 0)
		c->result = stream_printf(st, "hello\r\n");
	if (c->result == 0)
		c->result = stream_flush(st);
	if (c->result == 0)
		c->result = stream_read_line(st, CRLF, 100, &line);
	if (c->result == 0)
		assert_true(slice_eq(line, SLICE("hello")));
	stream_close(&st);
}

/* More callers than sessions are allowed: all are served, never more than `max` at a time. */
RT_TEST(test_acceptor_limit)
{
	static const char *const hosts[] = {"127.0.0.1", "::1"};

	for (size_t h = 0; h < COUNT_OF(hosts); h++) {
		struct server s = {.loop = x->loop};
		struct net_address a = address(hosts[h], 0);
		struct net_acceptor *acceptor;
		struct caller c[40];
		int fd, other;

		if (net_listen(&a, 64, &fd) != 0)
			continue; /* a machine without IPv6 */
		a = bound(fd);
		assert_int_equal(net_listen(&a, 64, &other), ERR_BUSY);
		assert_int_equal(net_accept_start(&acceptor, x->loop, fd, 5, echo_line, &s), 0);
		for (size_t i = 0; i < COUNT_OF(c); i++) {
			c[i] = (struct caller){.loop = x->loop, .to = a, .wait_ms = 1 + (int64_t)i % 5};
			assert_int_equal(fiber_start(x->loop, "caller", caller_main, &c[i], &c[i].fiber), 0);
		}
		for (size_t i = 0; i < COUNT_OF(c); i++) {
			fiber_join(x->loop, &c[i].fiber);
			assert_int_equal(c[i].result, 0);
		}
		assert_int_equal(s.total, COUNT_OF(c));
		assert_int_equal(s.live_max, 5);
		/* Stopped: nobody is served any more, sessions go on until they are cancelled. */
		c[0] = (struct caller){.loop = x->loop, .to = a, .wait_ms = 50};
		assert_int_equal(fiber_start(x->loop, "caller", caller_main, &c[0], &c[0].fiber), 0);
		assert_int_equal(fiber_sleep(x->loop, 10), 0);
		assert_int_equal(net_acceptor_sessions(acceptor), 1);
		net_acceptor_stop(acceptor);
		fiber_join(x->loop, &c[0].fiber);
		assert_int_equal(c[0].result, 0);
		net_acceptor_free(&acceptor);
		assert_null(acceptor);
		assert_int_not_equal(
		    net_connect(x->loop, &a, NULL, loop_deadline(x->loop, 1000), &(struct stream *){NULL}), 0);
	}
}

RT_TEST(test_acceptor_cancel)
{
	struct server s = {.loop = x->loop};
	struct net_address a = address("127.0.0.1", 0);
	struct net_acceptor *acceptor;
	struct stream *st[4];
	int fd;

	assert_int_equal(net_listen(&a, 64, &fd), 0);
	a = bound(fd);
	assert_int_equal(net_accept_start(&acceptor, x->loop, fd, 100, echo_line, &s), 0);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(net_connect(x->loop, &a, NULL, loop_deadline(x->loop, 5000), &st[i]), 0);
	assert_int_equal(fiber_sleep(x->loop, 20), 0);
	assert_int_equal(s.live, 4);
	net_acceptor_cancel_sessions(acceptor);
	/* It goes with its last session. */
	net_acceptor_free(&acceptor);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(stream_fill(st[i], 10), ERR_CLOSED);
		stream_close(&st[i]);
	}
	assert_int_equal(s.cancelled, 4);
}

/* Out of descriptors: accepting pauses and goes on when there are some again. */
RT_TEST(test_descriptors_exhausted)
{
	struct server s = {.loop = x->loop};
	struct net_address a = address("127.0.0.1", 0);
	struct net_acceptor *acceptor;
	struct rlimit old, low;
	struct stream *st;
	struct slice line;
	int fd, spare;

	assert_int_equal(net_listen(&a, 64, &fd), 0);
	a = bound(fd);
	assert_int_equal(net_accept_start(&acceptor, x->loop, fd, 100, echo_line, &s), 0);
	assert_int_equal(fiber_sleep(x->loop, 5), 0);
	x->house.log_level = LOG_ERROR;
	assert_int_equal(net_connect(x->loop, &a, NULL, loop_deadline(x->loop, 5000), &st), 0);
	spare = dup(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = (rlim_t)spare;
	(void)close(spare);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(fiber_sleep(x->loop, 30), 0);
	if (s.total == 0) {
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		assert_int_equal(fiber_sleep(x->loop, 200), 0);
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(stream_printf(st, "hello\r\n"), 0);
	assert_int_equal(stream_flush(st), 0);
	assert_int_equal(stream_read_line(st, CRLF, 100, &line), 0);
	stream_close(&st);
	net_acceptor_free(&acceptor);
}

RT_TEST(test_connect)
{
	struct net_address a = address("127.0.0.1", 0), from = address("127.0.0.9", 0);
	struct stream *st;
	struct net_address peer = {.n = sizeof(peer.sa)};
	int fd, got;

	assert_int_equal(net_listen(&a, 8, &fd), 0);
	a = bound(fd);
	assert_int_equal(net_connect(x->loop, &a, &from, loop_deadline(x->loop, 5000), &st), 0);
	assert_int_equal(fiber_sleep(x->loop, 2), 0);
	got = accept4(fd, (struct sockaddr *)&peer.sa, &peer.n, SOCK_CLOEXEC);
	assert_true(got >= 0);
	net_address_text(&peer, (char[NET_ADDRESS_TEXT_MAX]){0});
	assert_int_equal(
	    ((struct sockaddr_in *)&peer.sa)->sin_addr.s_addr, ((struct sockaddr_in *)&from.sa)->sin_addr.s_addr);
	stream_close(&st);
	(void)close(got);
	(void)close(fd);
	/* Nobody listens. */
	assert_int_equal(net_connect(x->loop, &a, NULL, loop_deadline(x->loop, 5000), &st), ERR_UNAVAILABLE);
	assert_null(st);
	/* A backlog that is full: the deadline ends it. */
	a = address("127.0.0.1", 0);
	assert_int_equal(net_listen(&a, 0, &fd), 0);
	a = bound(fd);
	got = 0;
	for (int i = 0; i < 4 && got == 0; i++) {
		got = net_connect(x->loop, &a, NULL, loop_deadline(x->loop, 50), &st);
		if (got == 0) {
			int keep = -1;
			BUF_CLEANUP struct buf none;

			buf_init(&none, 10);
			assert_int_equal(stream_detach(&st, &none, &keep), 0);
		}
	}
	assert_int_equal(got, ERR_TIMEOUT);
	(void)close(fd);
}

RT_TEST(test_unix)
{
	struct server s = {.loop = x->loop};
	struct net_acceptor *acceptor;
	char dir[] = "/tmp/net_test.XXXXXX", path[64];
	struct stat st;
	struct stream *c;
	struct slice line;
	int fd;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/socket", dir);
	assert_int_equal(net_connect_unix(x->loop, path, &c), ERR_NOTFOUND);
	/* Twice: what a killed process left is replaced. */
	assert_int_equal(net_listen_unix(path, 0600, 8, &fd), 0);
	(void)close(fd);
	assert_int_equal(net_connect_unix(x->loop, path, &c), ERR_UNAVAILABLE);
	assert_int_equal(net_listen_unix(path, 0660, 8, &fd), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_int_equal(net_accept_start(&acceptor, x->loop, fd, 10, echo_line, &s), 0);
	assert_int_equal(net_connect_unix(x->loop, path, &c), 0);
	assert_int_equal(stream_printf(c, "hello\r\n"), 0);
	assert_int_equal(stream_flush(c), 0);
	assert_int_equal(stream_read_line(c, CRLF, 100, &line), 0);
	stream_close(&c);
	net_acceptor_free(&acceptor);
	assert_int_equal(unlink(path), 0);
	/* A file of another kind stays. */
	fd = creat(path, 0600);
	(void)close(fd);
	assert_int_equal(net_listen_unix(path, 0600, 8, &fd), ERR_BUSY);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(net_listen_unix("", 0600, 8, &fd), ERR_INVALID);
	assert_int_equal(rmdir(dir), 0);
}

#define T(name) cmocka_unit_test(name##_run)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_addresses),
	    T(test_acceptor_limit),
	    T(test_acceptor_cancel),
	    T(test_descriptors_exhausted),
	    T(test_connect),
	    T(test_unix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
