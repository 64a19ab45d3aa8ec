#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rt/work.h"

#include <stdatomic.h>

struct fixture {
	struct house house;
	struct loop *loop;
	struct workers *w;
	_Atomic int ran;
	_Atomic bool hold;
	int done, busy;
};

static int
job_square(void *arg)
{
	int *v = arg;

	*v *= *v;
	return *v > 100 ? ERR_LIMIT : 0;
}

static int
job_hold(void *arg)
{
	struct fixture *x = arg;

	atomic_fetch_add(&x->ran, 1);
	while (atomic_load(&x->hold))
		(void)usleep(500);
	return 7;
}

static void
many_main(void *arg)
{
	struct fixture *x = arg;

	for (int i = 0; i < 20; i++) {
		int v = i;

		assert_int_equal(work_run(x->w, job_square, &v), i > 10 ? ERR_LIMIT : 0);
		assert_int_equal(v, i * i);
	}
	x->done++;
}

static void
test_many(void **state)
{
	struct fixture *x = *state;

	for (int i = 0; i < 200; i++)
		assert_int_equal(fiber_start(x->loop, "many", many_main, x, NULL), 0);
	loop_run(x->loop);
	assert_int_equal(x->done, 200);
}

static void
hold_main(void *arg)
{
	struct fixture *x = arg;
	int r = work_run(x->w, job_hold, x);

	if (r == ERR_BUSY) {
		x->busy++;
		return;
	}
	assert_int_equal(r, 7);
	x->done++;
}

/* Cancelling a fiber whose job is on a thread does not let it go: its stack is still in use. */
static void
cancel_main(void *arg)
{
	struct fixture *x = arg;
	struct fiber *f;

	atomic_store(&x->hold, true);
	assert_int_equal(fiber_start(x->loop, "hold", hold_main, x, &f), 0);
	while (atomic_load(&x->ran) == 0)
		assert_int_equal(fiber_sleep(x->loop, 1), 0);
	fiber_cancel(f);
	assert_int_equal(fiber_sleep(x->loop, 10), 0);
	assert_int_equal(x->done, 0);
	atomic_store(&x->hold, false);
	fiber_join(x->loop, &f);
	assert_int_equal(x->done, 1);
}

static void
test_cancel_while_working(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(fiber_start(x->loop, "main", cancel_main, x, NULL), 0);
	loop_run(x->loop);
	assert_int_equal(x->done, 1);
}

static void
full_main(void *arg)
{
	struct fixture *x = arg;

	atomic_store(&x->hold, true);
	for (int i = 0; i < 2; i++)
		assert_int_equal(fiber_start(x->loop, "hold", hold_main, x, NULL), 0);
	while (atomic_load(&x->ran) < 2)
		assert_int_equal(fiber_sleep(x->loop, 1), 0);
	for (int i = 0; i < 300; i++)
		assert_int_equal(fiber_start(x->loop, "hold", hold_main, x, NULL), 0);
	assert_int_equal(fiber_yield(x->loop), 0);
	assert_int_equal(x->busy, 44);
	assert_int_equal(workers_waiting(x->w), 256);
	atomic_store(&x->hold, false);
}

static void
test_queue_full(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(fiber_start(x->loop, "main", full_main, x, NULL), 0);
	loop_run(x->loop);
	assert_int_equal(x->done, 258);
	assert_int_equal(x->busy, 44);
}

/* loop_free() waits for what is still on a thread. */
static void
test_free_while_working(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(fiber_start(x->loop, "many", many_main, x, NULL), 0);
	assert_int_equal(fiber_start(x->loop, "hold", hold_main, x, NULL), 0);
	loop_free(&x->loop);
	assert_int_equal(x->done, 2);
}

static int
setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	house_init(&x->house, "test");
	assert_int_equal(loop_new(&x->loop, &x->house), 0);
	assert_int_equal(workers_new(&x->w, x->loop, "test", 2, 256), 0);
	assert_int_equal(workers_start(x->w), 0);
	*state = x;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *x = *state;

	workers_free(&x->w);
	loop_free(&x->loop);
	free(x);
	return 0;
}

static void
test_bad_arguments(void **state)
{
	struct fixture *x = *state;
	struct workers *w;

	assert_int_equal(workers_new(&w, x->loop, "x", 0, 1), ERR_INVALID);
	assert_int_equal(workers_new(&w, x->loop, "x", 1, 0), ERR_INVALID);
	assert_null(w);
	workers_free(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_cancel_while_working, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_queue_full, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_free_while_working, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bad_arguments, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
