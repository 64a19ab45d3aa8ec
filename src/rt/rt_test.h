/* rt_test.h: a loop and a test that runs as a fiber on it; for the tests of rt/. */
#ifndef RT_RT_TEST_H
#define RT_RT_TEST_H

#include "rt/fiber.h"

struct rt_test {
	struct house house;
	struct loop *loop;
	void (*body)(struct rt_test *x);
	bool ended;
};

static void
rt_test_main(void *arg)
{
	struct rt_test *x = arg;

	x->body(x);
	x->ended = true;
	loop_stop(x->loop);
}

/* Runs body in a fiber and frees the loop, which traps if a handle was forgotten. */
static void
rt_test_run(void (*body)(struct rt_test *x))
{
	struct rt_test x = {.body = body};

	house_init(&x.house, "test");
	assert_int_equal(loop_new(&x.loop, &x.house), 0);
	assert_int_equal(fiber_start(x.loop, "test", rt_test_main, &x, NULL), 0);
	loop_run(x.loop);
	assert_true(x.ended);
	loop_free(&x.loop);
}

#define RT_TEST(name) \
	static void name(struct rt_test *x); \
	static void name##_run(void **state) \
	{ \
		(void)state; \
		rt_test_run(name); \
	} \
	static void name(struct rt_test *x)

#endif
