#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rt/fiber.h"

struct fixture {
	struct house house;
	struct loop *loop;
};

static int
setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	house_init(&x->house, "test");
	assert_int_equal(loop_new(&x->loop, &x->house), 0);
	*state = x;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *x = *state;

	loop_free(&x->loop);
	free(x);
	return 0;
}

struct many {
	struct loop *loop;
	int done;
	int cancelled;
	int live, live_max;
};

/* Uses a good part of the stack, so that recycled and trimmed stacks are seen to work. */
static __attribute__((noinline)) int
deep(int levels)
{
	volatile char fill[512];

	memset((char *)fill, levels, sizeof(fill));
	return levels == 0 ? fill[7] : deep(levels - 1) + fill[0] - levels + fill[511] - levels;
}

static void
many_main(void *arg)
{
	struct many *m = arg;

	if (++m->live > m->live_max)
		m->live_max = m->live;
	assert_int_equal(deep(60), 0);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(fiber_yield(m->loop), 0);
		if (i == 2)
			assert_int_equal(fiber_sleep(m->loop, m->done % 7), 0);
	}
	assert_int_equal(deep(60), 0);
	m->live--;
	m->done++;
}

static void
test_thousands(void **state)
{
	struct fixture *x = *state;
	struct many m = {.loop = x->loop};

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 3000; i++)
			assert_int_equal(fiber_start(x->loop, "many", many_main, &m, NULL), 0);
		assert_int_equal(fiber_count(x->loop), 3000);
		loop_run(x->loop);
		assert_int_equal(fiber_count(x->loop), 0);
	}
	assert_int_equal(m.done, 6000);
	assert_int_equal(m.live_max, 3000);
}

struct step {
	struct loop *loop;
	struct fiber *fiber;
	int result;
	int64_t at_ms;
	int count;
	struct waitq q;
	struct fiber_lock lock;
	char order[16];
	size_t order_n;
};

static void
park_until(void *arg)
{
	struct step *s = arg;

	s->result = fiber_park(s->loop, s->at_ms);
	s->count++;
}

static void
sleep_long(void *arg)
{
	struct step *s = arg;

	s->result = fiber_sleep(s->loop, 1000000);
	s->count++;
	assert_true(fiber_cancelled(s->loop));
	/* Cleanups run; every wait fails at once. */
	assert_int_equal(fiber_sleep(s->loop, 10), ERR_CANCELLED);
	assert_int_equal(fiber_yield(s->loop), ERR_CANCELLED);
}

static void
test_timeout(void **state)
{
	struct fixture *x = *state;
	int64_t start = house_mono_ms(&x->house);
	struct step s = {.loop = x->loop, .at_ms = start + 30};

	assert_int_equal(fiber_start(x->loop, "park", park_until, &s, NULL), 0);
	loop_run(x->loop);
	assert_int_equal(s.result, ERR_TIMEOUT);
	assert_true(house_mono_ms(&x->house) >= start + 25);
}

static void
wake_main(void *arg)
{
	struct step *s = arg, p = {.loop = s->loop, .at_ms = DEADLINE_NEVER}, c = {.loop = s->loop};
	struct fiber *f;

	/* A wake before the first park is kept, a second one is not counted. */
	assert_int_equal(fiber_start(s->loop, "park", park_until, &p, &f), 0);
	fiber_wake(f);
	fiber_wake(f);
	fiber_join(s->loop, &f);
	assert_null(f);
	assert_int_equal(p.result, 0);
	/* A wake of a parked fiber. */
	assert_int_equal(fiber_start(s->loop, "park", park_until, &p, &f), 0);
	assert_int_equal(fiber_sleep(s->loop, 2), 0);
	assert_int_equal(p.count, 1);
	fiber_wake(f);
	fiber_wake(f);
	fiber_join(s->loop, &f);
	assert_int_equal(p.count, 2);
	/* Cancelled before it runs, while it waits, and after its end. */
	assert_int_equal(fiber_start(s->loop, "sleep", sleep_long, &c, &f), 0);
	fiber_cancel(f);
	fiber_join(s->loop, &f);
	assert_int_equal(c.result, ERR_CANCELLED);
	assert_int_equal(fiber_start(s->loop, "sleep", sleep_long, &c, &f), 0);
	assert_int_equal(fiber_sleep(s->loop, 2), 0);
	fiber_cancel(f);
	assert_int_equal(fiber_sleep(s->loop, 2), 0);
	assert_int_equal(c.count, 2);
	fiber_cancel(f);
	fiber_wake(f);
	fiber_join(s->loop, &f);
	fiber_join(s->loop, &f);
	s->count = 1;
}

static void
test_wake_cancel_join(void **state)
{
	struct fixture *x = *state;
	struct step s = {.loop = x->loop};

	assert_int_equal(fiber_start(x->loop, "main", wake_main, &s, NULL), 0);
	loop_run(x->loop);
	assert_int_equal(s.count, 1);
}

/* A wake during another wait (a sleep here) is there for the next park. */
static void
sleep_then_park(void *arg)
{
	struct step *s = arg;

	assert_int_equal(fiber_sleep(s->loop, 20), 0);
	s->result = fiber_park(s->loop, loop_deadline(s->loop, 5000));
	assert_int_equal(fiber_park(s->loop, loop_deadline(s->loop, 3)), ERR_TIMEOUT);
}

static void
kept_main(void *arg)
{
	struct step *s = arg;
	struct fiber *f;
	int64_t start = house_mono_ms(loop_house(s->loop));

	s->result = 1;
	assert_int_equal(fiber_start(s->loop, "sleeper", sleep_then_park, s, &f), 0);
	assert_int_equal(fiber_sleep(s->loop, 5), 0);
	fiber_wake(f);
	fiber_join(s->loop, &f);
	assert_int_equal(s->result, 0);
	start = house_mono_ms(loop_house(s->loop)) - start;
	assert_true(start >= 15 && start < 4000);
	s->count = 1;
}

static void
test_wake_during_sleep(void **state)
{
	struct fixture *x = *state;
	struct step s = {.loop = x->loop};

	assert_int_equal(fiber_start(x->loop, "main", kept_main, &s, NULL), 0);
	loop_run(x->loop);
	assert_int_equal(s.count, 1);
}

static void
always_main(void *arg)
{
	struct step *s = arg;

	fiber_park_always(s->loop);
	s->count++;
}

static void
deaf_main(void *arg)
{
	struct step *s = arg, a = {.loop = s->loop};
	struct fiber *f;

	assert_int_equal(fiber_start(s->loop, "deaf", always_main, &a, &f), 0);
	assert_int_equal(fiber_yield(s->loop), 0);
	fiber_cancel(f);
	assert_int_equal(fiber_sleep(s->loop, 5), 0);
	assert_int_equal(a.count, 0);
	fiber_wake(f);
	fiber_join(s->loop, &f);
	assert_int_equal(a.count, 1);
	s->count = 1;
}

static void
test_park_always(void **state)
{
	struct fixture *x = *state;
	struct step s = {.loop = x->loop};

	assert_int_equal(fiber_start(x->loop, "main", deaf_main, &s, NULL), 0);
	loop_run(x->loop);
	assert_int_equal(s.count, 1);
}

struct queued {
	struct step *s;
	char name;
	int64_t wait_ms;
	int result;
};

static void
queued_main(void *arg)
{
	struct queued *q = arg;

	q->result = waitq_wait(q->s->loop, &q->s->q, loop_deadline(q->s->loop, q->wait_ms));
	q->s->order[q->s->order_n++] = q->name;
}

static void
waitq_main(void *arg)
{
	struct step *s = arg;
	struct queued v[4] = {{s, 'a', 5000, 1}, {s, 'b', 5, 1}, {s, 'c', 5000, 1}, {s, 'd', 5000, 1}};
	struct fiber *f[4];

	waitq_init(&s->q);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(fiber_start(s->loop, "queued", queued_main, &v[i], &f[i]), 0);
	assert_int_equal(fiber_sleep(s->loop, 20), 0);
	waitq_wake_one(&s->q);
	assert_int_equal(fiber_sleep(s->loop, 2), 0);
	/* Woken and cancelled at the same time: the wake counts. */
	waitq_wake_one(&s->q);
	fiber_cancel(f[2]);
	waitq_wake_all(&s->q);
	waitq_wake_all(&s->q);
	for (size_t i = 0; i < 4; i++)
		fiber_join(s->loop, &f[i]);
	assert_memory_equal(s->order, "bacd", 4);
	assert_int_equal(v[0].result, 0);
	assert_int_equal(v[1].result, ERR_TIMEOUT);
	assert_int_equal(v[2].result, 0);
	assert_int_equal(v[3].result, 0);
	assert_true(list_empty(&s->q.waiters));
	s->count = 1;
}

static void
test_waitq(void **state)
{
	struct fixture *x = *state;
	struct step s = {.loop = x->loop};

	assert_int_equal(fiber_start(x->loop, "main", waitq_main, &s, NULL), 0);
	loop_run(x->loop);
	assert_int_equal(s.count, 1);
}

struct locker {
	struct step *s;
	char name;
	int result;
};

static void
locker_main(void *arg)
{
	struct locker *k = arg;
	struct step *s = k->s;

	for (int i = 0; i < 3; i++) {
		k->result = fiber_lock_take(s->loop, &s->lock, loop_deadline(s->loop, 5000));
		if (k->result != 0)
			return;
		assert_int_equal(s->result++, 0);
		s->order[s->order_n++] = k->name;
		assert_int_equal(fiber_yield(s->loop), 0);
		s->result--;
		fiber_lock_drop(s->loop, &s->lock);
	}
}

static void
lock_main(void *arg)
{
	struct step *s = arg;
	struct locker v[3] = {{s, 'a', 1}, {s, 'b', 1}, {s, 'c', 1}}, late = {s, 'x', 1};
	struct fiber *f[3], *g;

	fiber_lock_init(&s->lock);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(fiber_start(s->loop, "locker", locker_main, &v[i], &f[i]), 0);
	for (size_t i = 0; i < 3; i++)
		fiber_join(s->loop, &f[i]);
	/* First come, first served: nobody takes twice before the others had their turn. */
	assert_memory_equal(s->order, "abcabcabc", 9);
	assert_null(s->lock.owner);
	/* Cancelled while waiting for it. */
	assert_int_equal(fiber_lock_take(s->loop, &s->lock, DEADLINE_NEVER), 0);
	assert_int_equal(fiber_start(s->loop, "late", locker_main, &late, &g), 0);
	assert_int_equal(fiber_yield(s->loop), 0);
	fiber_cancel(g);
	fiber_join(s->loop, &g);
	assert_int_equal(late.result, ERR_CANCELLED);
	fiber_lock_drop(s->loop, &s->lock);
	assert_null(s->lock.owner);
	s->count = 1;
}

static void
test_lock(void **state)
{
	struct fixture *x = *state;
	struct step s = {.loop = x->loop};

	assert_int_equal(fiber_start(x->loop, "main", lock_main, &s, NULL), 0);
	loop_run(x->loop);
	assert_int_equal(s.count, 1);
}

/* loop_free() ends what is left: parked with and without deadline, waiting, never run. */
static void
test_loop_free_cancels(void **state)
{
	struct house house;
	struct loop *loop;
	struct step s[3];

	(void)state;
	house_init(&house, "test");
	assert_int_equal(loop_new(&loop, &house), 0);
	for (size_t i = 0; i < 3; i++)
		s[i] = (struct step){.loop = loop, .at_ms = i == 0 ? DEADLINE_NEVER : house_mono_ms(&house) + 100000};
	assert_int_equal(fiber_start(loop, "park", park_until, &s[0], NULL), 0);
	assert_int_equal(fiber_start(loop, "park", park_until, &s[1], NULL), 0);
	assert_int_equal(fiber_start(loop, "sleep", sleep_long, &s[2], NULL), 0);
	loop_free(&loop);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(s[i].count, 1);
		assert_int_equal(s[i].result, ERR_CANCELLED);
	}
}

struct timers {
	struct loop *loop;
	int64_t begun_ms;
	int ended;
};

/* Deadlines of all kinds at once, shortened and lengthened. */
static void
timers_main(void *arg)
{
	struct timers *t = arg;
	int64_t n = t->ended++ % 50, at;

	for (int i = 0; i < 4; i++) {
		at = loop_now_ms(t->loop) + (n * 7 + i * 13) % 41;
		assert_int_equal(fiber_sleep(t->loop, (n * 7 + i * 13) % 41), 0);
		assert_true(loop_now_ms(t->loop) >= at);
	}
}

static void
test_timer_heap(void **state)
{
	struct fixture *x = *state;
	struct timers t = {.loop = x->loop, .begun_ms = house_mono_ms(&x->house)};

	for (int i = 0; i < 1000; i++)
		assert_int_equal(fiber_start(x->loop, "timers", timers_main, &t, NULL), 0);
	loop_run(x->loop);
	assert_int_equal(t.ended, 1000);
	assert_true(house_mono_ms(&x->house) - t.begun_ms < 20000);
}

static void
stopper(void *arg)
{
	struct step *s = arg;

	loop_stop(s->loop);
	s->count++;
	s->result = fiber_sleep(s->loop, 100000);
}

static void
test_loop_stop(void **state)
{
	struct fixture *x = *state;
	struct step s = {.loop = x->loop};
	struct fiber *f;

	assert_int_equal(fiber_start(x->loop, "stopper", stopper, &s, &f), 0);
	loop_run(x->loop);
	assert_int_equal(s.count, 1);
	fiber_cancel(f);
	loop_run(x->loop);
	assert_int_equal(s.result, ERR_CANCELLED);
	fiber_join(x->loop, &f);
}

static void
posted(void *arg)
{
	(*(int *)arg)++;
}

static void
test_post_without_fibers(void **state)
{
	struct fixture *x = *state;
	int n = 0;
	struct loop_job j[2] = {{.fn = posted, .arg = &n}, {.fn = posted, .arg = &n}};

	loop_post(x->loop, &j[0]);
	loop_post(x->loop, &j[1]);
	loop_run(x->loop);
	assert_int_equal(n, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_thousands, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_timeout, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_wake_cancel_join, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_wake_during_sleep, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_park_always, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_waitq, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
	    cmocka_unit_test(test_loop_free_cancels),
	    cmocka_unit_test_setup_teardown(test_timer_heap, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_loop_stop, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_post_without_fibers, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
