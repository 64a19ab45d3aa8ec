/* Links over real socket pairs: calls, descriptors, dead, slow and hostile peers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "bus/bus_table.h"

#include "base/log.h"

#include <fcntl.h>
#include <sys/socket.h>

/* A clerk and a gate on one loop. */
struct world {
	struct house house;
	struct loop *loop;
	struct bus *clerk, *gate;
	struct fiber *gone_wake;
	int handled, closed, sleep_ms;
	int pipe_end;
};

static int
on_rcpt(struct world *w, struct bus_peer *from, struct bus_clerk_rcpt_request *r, struct arena *a,
    struct bus_clerk_rcpt_reply *reply)
{
	(void)a;
	w->handled++;
	assert_int_equal(bus_peer_role(from), ROLE_GATE);
	if (slice_eq(r->address, SLICE("none")))
		return ERR_NOTFOUND;
	if (slice_eq(r->address, SLICE("slow"))) {
		int err = fiber_sleep(w->loop, w->sleep_ms);

		if (err != 0)
			return err;
	}
	reply->result = (int64_t)r->address.n;
	return 0;
}

static int
on_submit(struct world *w, struct bus_peer *from, struct bus_clerk_submit_request *r, struct arena *a,
    struct bus_clerk_submit_reply *reply)
{
	(void)w;
	(void)from;
	reply->result = (int64_t)r->body.n;
	reply->detail = arena_printf(a, "%zu recipients", r->recipients.n);
	return 0;
}

static int
on_blob(struct world *w, struct bus_peer *from, struct bus_clerk_blob_create_request *r, struct arena *a,
    struct bus_clerk_blob_create_reply *reply)
{
	int fds[2];

	(void)from;
	(void)r;
	reply->blob = arena_printf(a, "blob");
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	reply->file = fds[1];
	w->pipe_end = fds[0];
	return 0;
}

static void
on_closed(void *ctx, enum bus_role role, int index)
{
	struct world *w = ctx;

	assert_int_equal(role, ROLE_CLERK);
	assert_int_equal(index, 0);
	w->closed++;
}

static void
handle_all(struct world *w)
{
	BUS_HANDLE(w->clerk, clerk_rcpt, on_rcpt, w);
	BUS_HANDLE(w->clerk, clerk_submit, on_submit, w);
	BUS_HANDLE(w->clerk, clerk_blob_create, on_blob, w);
}

static void
join(struct world *w)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	assert_int_equal(bus_add_peer(w->clerk, ROLE_GATE, 0, sv[0]), 0);
	assert_int_equal(bus_add_peer(w->gate, ROLE_CLERK, 0, sv[1]), 0);
}

static void
world_open(struct world *w)
{
	memset(w, 0, sizeof(*w));
	house_init(&w->house, "test");
	w->house.log_level = LOG_ERROR + 1;
	assert_int_equal(loop_new(&w->loop, &w->house), 0);
	assert_int_equal(bus_new(&w->clerk, w->loop, ROLE_CLERK, 0), 0);
	assert_int_equal(bus_new(&w->gate, w->loop, ROLE_GATE, 0), 0);
	handle_all(w);
	bus_on_peer_closed(w->gate, on_closed, w);
	join(w);
}

/* Runs fn on a fiber until it ends. */
struct run {
	struct world *w;
	void (*fn)(struct world *w);
};

static void
run_fiber(void *arg)
{
	struct run *r = arg;

	r->fn(r->w);
	loop_stop(r->w->loop);
}

static void
run(void (*fn)(struct world *w))
{
	struct world w;
	struct run r = {&w, fn};

	world_open(&w);
	assert_int_equal(fiber_start(w.loop, "test", run_fiber, &r, NULL), 0);
	loop_run(w.loop);
	bus_free(&w.gate);
	bus_free(&w.clerk);
	loop_free(&w.loop);
}

static int
ask(struct world *w, struct slice address, int64_t *result, int64_t timeout_ms)
{
	struct bus_clerk_rcpt_request req = {.address = address};
	struct bus_clerk_rcpt_reply rep;
	struct arena a ARENA_CLEANUP;
	int err;

	arena_init(&a, 65536);
	err = BUS_CALL(w->gate, ROLE_CLERK, 0, clerk_rcpt, &req, &a, &rep, timeout_ms);
	*result = rep.result;
	return err;
}

static void
body_calls(struct world *w)
{
	int64_t n;

	assert_int_equal(ask(w, SLICE("hello"), &n, 1000), 0);
	assert_int_equal(n, 5);
	assert_int_equal(ask(w, SLICE("none"), &n, 1000), ERR_NOTFOUND);
	assert_int_equal(n, 0);
	assert_int_equal(bus_peer_count(w->gate, ROLE_CLERK), 1);
	assert_int_equal(bus_peer_count(w->gate, ROLE_DESK), 0);
	assert_null(bus_peer(w->gate, ROLE_CLERK, 1));
	/* Nobody handles it: an error, and the link lives. */
	{
		struct bus_clerk_history_request req = {.id = SLICE("x")};
		struct bus_clerk_history_reply rep;
		struct arena a ARENA_CLEANUP;

		arena_init(&a, 65536);
		assert_int_equal(
		    BUS_CALL(w->gate, ROLE_CLERK, 0, clerk_history, &req, &a, &rep, 1000), ERR_UNAVAILABLE);
		assert_int_equal(BUS_CALL(w->gate, ROLE_CLERK, 3, clerk_history, &req, &a, &rep, 1000), ERR_CLOSED);
	}
	assert_int_equal(ask(w, SLICE("x"), &n, 1000), 0);
	assert_int_equal(w->closed, 0);
}

static void
body_large(struct world *w)
{
	struct bus_clerk_submit_request req = {.origin = 1};
	struct bus_clerk_submit_reply rep;
	struct slice *v = calloc(1000, sizeof(*v));
	uint8_t *body = malloc(5u << 20);

	memset(body, 'x', 5u << 20);
	for (size_t i = 0; i < 1000; i++)
		v[i] = SLICE("someone@example.test");
	req.recipients = (struct slice_list){v, 1000};
	for (size_t n = 1; n <= 5u << 20; n = n * 3 + 7) {
		struct arena a ARENA_CLEANUP;
		int err;

		arena_init(&a, 65536);
		req.body = slice_of(body, n);
		err = BUS_CALL(w->gate, ROLE_CLERK, 0, clerk_submit, &req, &a, &rep, 10000);
		assert_int_equal(err, n < 4u << 20 ? 0 : ERR_LIMIT);
		if (err == 0) {
			assert_int_equal(rep.result, n);
			assert_true(slice_eq(rep.detail, SLICE("1000 recipients")));
		}
	}
	free(body);
	free(v);
}

static void
body_descriptors(struct world *w)
{
	for (int i = 0; i < 100; i++) {
		struct bus_clerk_blob_create_request req = {};
		struct bus_clerk_blob_create_reply rep;
		struct arena a ARENA_CLEANUP;
		char c = 0;

		arena_init(&a, 65536);
		assert_int_equal(BUS_CALL(w->gate, ROLE_CLERK, 0, clerk_blob_create, &req, &a, &rep, 1000), 0);
		assert_true(rep.file > 2);
		assert_int_equal(fcntl((int)rep.file, F_GETFD), FD_CLOEXEC);
		assert_int_equal(write((int)rep.file, "y", 1), 1);
		assert_int_equal(read(w->pipe_end, &c, 1), 1);
		assert_int_equal(c, 'y');
		/* Ours was the only copy: the handler's is closed. */
		close((int)rep.file);
		assert_int_equal(read(w->pipe_end, &c, 1), 0);
		close(w->pipe_end);
	}
}

struct asker {
	struct world *w;
	int i, *left;
};

static void
many_fiber(void *arg)
{
	struct asker *k = arg;
	char text[64];
	int64_t n;

	memset(text, 'a', sizeof(text));
	for (int round = 0; round < 20; round++) {
		size_t len = (size_t)((k->i * 7 + round * 13) % 64);

		if (k->i % 10 == 0 && round == 3)
			assert_int_equal(ask(k->w, SLICE("slow"), &n, 20000), 0);
		assert_int_equal(ask(k->w, slice_of(text, len), &n, 20000), 0);
		assert_int_equal(n, len);
	}
	if (--*k->left == 0)
		fiber_wake(k->w->gone_wake);
}

/* Many callers at once; slow ones are overtaken. */
static void
body_many(struct world *w)
{
	static const int count = 300;
	struct asker *v = calloc((size_t)count, sizeof(*v));
	int left = count;

	w->sleep_ms = 30;
	w->gone_wake = fiber_self(w->loop);
	for (int i = 0; i < count; i++) {
		v[i] = (struct asker){w, i, &left};
		assert_int_equal(fiber_start(w->loop, "asker", many_fiber, &v[i], NULL), 0);
	}
	while (left > 0)
		assert_int_equal(fiber_park(w->loop, loop_deadline(w->loop, 60000)), 0);
	assert_int_equal(w->handled, count * 20 + count / 10);
	free(v);
}

/* A caller that gave up does not see the late reply, nor does anybody else. */
static void
body_timeout(struct world *w)
{
	int64_t n;

	w->sleep_ms = 60;
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask(w, SLICE("slow"), &n, 10), ERR_TIMEOUT);
	assert_int_equal(ask(w, SLICE("seven77"), &n, 1000), 0);
	assert_int_equal(n, 7);
	assert_int_equal(fiber_sleep(w->loop, 120), 0);
	assert_int_equal(ask(w, SLICE("x"), &n, 1000), 0);
	assert_int_equal(w->closed, 0);
	assert_int_equal(w->handled, 5);
}

static void
cancelled_fiber(void *arg)
{
	struct world *w = arg;
	int64_t n;

	assert_int_equal(ask(w, SLICE("slow"), &n, 10000), ERR_CANCELLED);
	w->handled += 100;
}

static void
body_cancel(struct world *w)
{
	struct fiber *f;
	int64_t n;

	w->sleep_ms = 50;
	assert_int_equal(fiber_start(w->loop, "cancelled", cancelled_fiber, w, &f), 0);
	assert_int_equal(fiber_sleep(w->loop, 10), 0);
	fiber_cancel(f);
	fiber_join(w->loop, &f);
	assert_int_equal(w->handled, 101);
	assert_int_equal(fiber_sleep(w->loop, 80), 0);
	assert_int_equal(ask(w, SLICE("x"), &n, 1000), 0);
}

/* A wake for another purpose that comes during a call is not lost. */
static void
waker_fiber(void *arg)
{
	struct world *w = arg;

	fiber_wake(w->gone_wake);
}

static void
body_stray_wake(struct world *w)
{
	int64_t n;

	w->sleep_ms = 30;
	w->gone_wake = fiber_self(w->loop);
	assert_int_equal(fiber_start(w->loop, "waker", waker_fiber, w, NULL), 0);
	assert_int_equal(ask(w, SLICE("slow"), &n, 1000), 0);
	assert_int_equal(fiber_park(w->loop, loop_deadline(w->loop, 1000)), 0);
	assert_int_equal(fiber_park(w->loop, loop_deadline(w->loop, 10)), ERR_TIMEOUT);
}

static void
restart_fiber(void *arg)
{
	struct world *w = arg;

	assert_int_equal(fiber_sleep(w->loop, 30), 0);
	bus_free(&w->clerk); /* dies with a request in hand */
	assert_int_equal(fiber_sleep(w->loop, 30), 0);
	assert_int_equal(bus_new(&w->clerk, w->loop, ROLE_CLERK, 0), 0);
	handle_all(w);
	join(w);
}

static void
body_dead_peer(struct world *w)
{
	struct bus_clerk_rcpt_request req = {.address = SLICE("slow")};
	struct bus_clerk_rcpt_reply rep;
	struct arena a ARENA_CLEANUP;
	int64_t n;

	arena_init(&a, 65536);
	w->sleep_ms = 100;
	assert_int_equal(fiber_start(w->loop, "restart", restart_fiber, w, NULL), 0);
	assert_int_equal(ask(w, SLICE("slow"), &n, 5000), ERR_CLOSED);
	assert_int_equal(w->closed, 1);
	assert_int_equal(ask(w, SLICE("x"), &n, 5000), ERR_CLOSED);
	/* Harmless requests wait for the new link. */
	assert_int_equal(bus_call_again(w->gate, ROLE_CLERK, 0, BUS_clerk_rcpt, &req, &a, &rep, 5000), 0);
	assert_int_equal(rep.result, 4);
	assert_int_equal(bus_call_again(w->gate, ROLE_CLERK, 1, BUS_clerk_rcpt, &req, &a, &rep, 20), ERR_TIMEOUT);
	/* A link that is replaced while requests are under way. */
	assert_int_equal(fiber_start(w->loop, "again", restart_fiber, w, NULL), 0);
	w->sleep_ms = 10;
	for (int i = 0; i < 10; i++)
		assert_int_equal(bus_call_again(w->gate, ROLE_CLERK, 0, BUS_clerk_rcpt, &req, &a, &rep, 5000), 0);
}

static void
body_replaced(struct world *w)
{
	int64_t n;

	join(w);
	assert_int_equal(ask(w, SLICE("abc"), &n, 1000), 0);
	join(w);
	join(w);
	assert_int_equal(ask(w, SLICE("abc"), &n, 1000), 0);
	assert_int_equal(w->closed, 0);
}

static void
body_overload(struct world *w)
{
	int64_t n;

	w->house.limits.bus_in_flight = 3;
	w->sleep_ms = 50;
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask(w, SLICE("slow"), &n, 0), ERR_TIMEOUT);
	assert_int_equal(ask(w, SLICE("x"), &n, 1000), ERR_LIMIT);
	assert_int_equal(fiber_sleep(w->loop, 80), 0);
	assert_int_equal(ask(w, SLICE("x"), &n, 1000), 0);
	w->house.limits.bus_held_bytes = 2;
	assert_int_equal(ask(w, SLICE("xyz"), &n, 1000), ERR_BUSY);
	assert_int_equal(w->closed, 0);
}

/* Raw bytes of a hostile peer: the link ends, the house does not. */
static void
hostile(struct world *w, struct slice bytes, const int *fd, bool ends)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {(void *)(uintptr_t)bytes.p, bytes.n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	assert_int_equal(bus_add_peer(w->clerk, ROLE_GATE, 7, sv[0]), 0);
	if (fd != NULL) {
		memset(&control, 0, sizeof(control));
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
		CMSG_FIRSTHDR(&m)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&m)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&m)->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), fd, sizeof(int));
	}
	assert_int_equal(sendmsg(sv[1], &m, 0), bytes.n);
	assert_int_equal(fiber_sleep(w->loop, 5), 0);
	assert_int_equal(bus_peer(w->clerk, ROLE_GATE, 7) == NULL, ends);
	close(sv[1]);
	assert_int_equal(fiber_sleep(w->loop, 5), 0);
	assert_null(bus_peer(w->clerk, ROLE_GATE, 7));
}

#define HEAD(kind, fds, type) \
	"\0\0\0" \
	"\x0c" kind fds "\0" type "\0\0\0\0\0\0\0\1"

static void
body_hostile(struct world *w)
{
	char denied[] = HEAD("\1", "\0", "\0"), unknown[] = HEAD("\1", "\0", "\xee"),
	     short_one[] = HEAD("\1", "\0", "\0");
	int64_t n;
	int fd = 0;

	denied[7] = (char)BUS_vault_redeem;
	short_one[7] = (char)BUS_clerk_rcpt;
	hostile(w, SLICE("\0\0\0\1"), NULL, true);             /* too short a frame */
	hostile(w, SLICE("\xff\xff\xff\xff"), NULL, true);     /* too long */
	hostile(w, SLICE("\0\0"), NULL, false);                /* not whole: waits */
	hostile(w, SLICE(HEAD("\0", "\0", "\1")), NULL, true); /* no such kind */
	hostile(w, SLICE(HEAD("\1", "\0", "\0")), NULL, true); /* no such type */
	hostile(w, slice_of(unknown, sizeof(unknown) - 1), NULL, true);
	hostile(w, slice_of(denied, sizeof(denied) - 1), NULL, true);
	hostile(w, slice_of(short_one, sizeof(short_one) - 1), NULL, true);
	hostile(w, SLICE(HEAD("\2", "\0", "\5")), NULL, true); /* a reply that nobody asked for */
	hostile(w, SLICE(HEAD("\3", "\0", "\5")), NULL, true);
	hostile(w, SLICE(HEAD("\1", "\1", "\5")), NULL, true); /* claims a descriptor that did not come */
	hostile(w, SLICE("\0"), &fd, false);                   /* a descriptor that nobody claims */
	assert_int_equal(ask(w, SLICE("abc"), &n, 1000), 0);
	assert_int_equal(bus_add_peer(w->clerk, ROLE_GATE, -1, open("/dev/null", O_RDONLY)), ERR_INVALID);
}

/* A peer that asks without end and never reads the answers does not fill our memory. */
static void
body_flood(struct world *w)
{
	char one[] = HEAD("\1", "\0", "\0"), many[1000 * (sizeof(one) - 1)];
	bool ended = false;
	int64_t n;
	int sv[2];

	one[7] = (char)BUS_clerk_history; /* nobody handles it here */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
	assert_int_equal(bus_add_peer(w->clerk, ROLE_GATE, 7, sv[0]), 0);
	for (size_t i = 0; i < 1000; i++)
		memcpy(many + i * (sizeof(one) - 1), one, sizeof(one) - 1);
	for (int round = 0; round < 5000 && !ended; round++) {
		size_t sent = 0;

		while (sent < sizeof(many) && !ended) {
			ssize_t put = send(sv[1], many + sent, sizeof(many) - sent, MSG_NOSIGNAL);

			sent += put > 0 ? (size_t)put : 0;
			assert_int_equal(fiber_yield(w->loop), 0);
			ended = bus_peer(w->clerk, ROLE_GATE, 7) == NULL;
		}
	}
	assert_true(ended);
	close(sv[1]);
	assert_int_equal(ask(w, SLICE("abc"), &n, 1000), 0);
}

/* A peer that reads nothing holds up its own callers only, and they give up in time. */
static void
slow_reader_fiber(void *arg)
{
	struct asker *k = arg;
	struct bus_clerk_submit_request req = {.origin = 1};
	struct bus_clerk_submit_reply rep;
	struct arena a ARENA_CLEANUP;
	uint8_t *body = calloc(1, 3u << 20);

	arena_init(&a, 65536);
	req.body = slice_of(body, 3u << 20);
	assert_int_equal(BUS_CALL(k->w->gate, ROLE_CLERK, 5, clerk_submit, &req, &a, &rep, 100), ERR_TIMEOUT);
	free(body);
	if (--*k->left == 0)
		fiber_wake(k->w->gone_wake);
}

static void
body_slow_reader(struct world *w)
{
	struct asker v[10];
	int sv[2], left = COUNT_OF(v);
	int64_t n;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	bus_on_peer_closed(w->gate, NULL, NULL);
	assert_int_equal(bus_add_peer(w->gate, ROLE_CLERK, 5, sv[0]), 0);
	w->gone_wake = fiber_self(w->loop);
	for (size_t i = 0; i < COUNT_OF(v); i++) {
		v[i] = (struct asker){w, (int)i, &left};
		assert_int_equal(fiber_start(w->loop, "slow", slow_reader_fiber, &v[i], NULL), 0);
	}
	assert_int_equal(ask(w, SLICE("abc"), &n, 1000), 0);
	while (left > 0)
		assert_int_equal(fiber_park(w->loop, loop_deadline(w->loop, 5000)), 0);
	close(sv[1]);
}

/* Not a check but a figure: messages of 1 KB between two buses of one process. */
static void
body_many_and_rate(struct world *w)
{
	struct house *h = &w->house;
	int64_t from = house_mono_us(h), n;

	for (int i = 0; i < 2000; i++)
		assert_int_equal(ask(w, SLICE("0123456789"), &n, 1000), 0);
	print_message("one caller: %lld us a call\n", (long long)(house_mono_us(h) - from) / 2000);
	from = house_mono_us(h);
	w->handled = 0;
	body_many(w);
	print_message("300 callers: %.1f us a call\n", (double)(house_mono_us(h) - from) / 6030);
}

#define RUN(name) \
	static void test_##name(void **state) \
	{ \
		(void)state; \
		run(body_##name); \
	}
RUN(calls)
RUN(large)
RUN(descriptors)
RUN(timeout)
RUN(cancel)
RUN(stray_wake)
RUN(dead_peer)
RUN(replaced)
RUN(overload)
RUN(hostile)
RUN(slow_reader)
RUN(flood)
RUN(many_and_rate)

/* Handlers that still sleep when everything ends. */
static void
body_end_under_way(struct world *w)
{
	int64_t n;

	w->sleep_ms = 100000;
	assert_int_equal(ask(w, SLICE("slow"), &n, 5), ERR_TIMEOUT);
}
RUN(end_under_way)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_calls),
	    cmocka_unit_test(test_large),
	    cmocka_unit_test(test_descriptors),
	    cmocka_unit_test(test_timeout),
	    cmocka_unit_test(test_cancel),
	    cmocka_unit_test(test_stray_wake),
	    cmocka_unit_test(test_dead_peer),
	    cmocka_unit_test(test_replaced),
	    cmocka_unit_test(test_overload),
	    cmocka_unit_test(test_hostile),
	    cmocka_unit_test(test_slow_reader),
	    cmocka_unit_test(test_flood),
	    cmocka_unit_test(test_many_and_rate),
	    cmocka_unit_test(test_end_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
