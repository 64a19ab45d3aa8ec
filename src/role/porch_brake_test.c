#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "role/porch_brake.h"

#include "base/house.h"
#include "rt/fiber.h"

struct world {
	struct house house;
	struct loop *loop;
	struct porch_brake brake;
	int finished, at_once, most;
	bool wrong;
	struct brake_address *address;
};

static struct net_address
client(const char *text)
{
	struct net_address a;

	assert_int_equal(net_address_parse(slice_z(text), 1000, &a), 0);
	return a;
}

static void
run(struct world *w, fiber_fn *fn)
{
	house_init(&w->house, "test");
	assert_int_equal(loop_new(&w->loop, &w->house), 0);
	porch_brake_init(&w->brake, w->loop);
	assert_int_equal(fiber_start(w->loop, "test", fn, w, NULL), 0);
	loop_run(w->loop);
	porch_brake_free(&w->brake);
	loop_free(&w->loop);
}

static void
many_sessions(void *arg)
{
	struct world *w = arg;
	struct net_address one = client("2001:db8::1"), same = client("2001:db8::ffff:2"),
			   other = client("2001:db8:0:1::1");
	struct brake_address *v[3], *o;

	w->house.limits.porch_waiting_per_address = 2;
	v[0] = porch_brake_arrive(&w->brake, &one);
	v[1] = porch_brake_arrive(&w->brake, &same);
	assert_non_null(v[0]);
	assert_ptr_equal(v[0], v[1]); /* one /64 */
	assert_null(porch_brake_arrive(&w->brake, &one));
	o = porch_brake_arrive(&w->brake, &other);
	assert_non_null(o);
	porch_brake_depart(&w->brake, &v[0]);
	v[2] = porch_brake_arrive(&w->brake, &same);
	assert_non_null(v[2]);
	porch_brake_depart(&w->brake, &v[1]);
	porch_brake_depart(&w->brake, &v[2]);
	porch_brake_depart(&w->brake, &o);
	assert_null(o);
	porch_brake_depart(&w->brake, &o);
	assert_int_equal(w->brake.by_address.n, 0); /* whoever behaves is forgotten */
	assert_int_equal(w->brake.refused, 1);
}

static void
test_sessions_of_an_address(void **state)
{
	struct world w = {0};

	(void)state;
	run(&w, many_sessions);
}

static void
one_sign_in(void *arg)
{
	struct world *w = arg;

	assert_int_equal(porch_brake_enter(&w->brake, w->address), 0);
	w->at_once++;
	if (w->at_once > w->most)
		w->most = w->at_once;
	assert_int_equal(fiber_sleep(w->loop, 5), 0);
	w->at_once--;
	porch_brake_leave(&w->brake, w->address, w->wrong);
	w->finished++;
}

static void
many_sign_ins(void *arg)
{
	struct world *w = arg;
	struct net_address one = client("192.0.2.1");
	int64_t began;

	w->house.limits.sign_ins_per_address = 2;
	w->address = porch_brake_arrive(&w->brake, &one);
	began = loop_now_ms(w->loop);
	for (int i = 0; i < 6; i++)
		assert_int_equal(fiber_start(w->loop, "sign-in", one_sign_in, w, NULL), 0);
	while (w->finished < 6)
		assert_int_equal(fiber_sleep(w->loop, 1), 0);
	assert_int_equal(w->most, 2);
	/* Two at a time, whose failures cost 0, 100, 200, 300, 400, 500 ms. */
	if (w->wrong)
		assert_true(loop_now_ms(w->loop) - began >= 600);
	else
		assert_true(loop_now_ms(w->loop) - began < 600);
	porch_brake_depart(&w->brake, &w->address);
	/* Failures are remembered beyond the connection. */
	assert_int_equal(w->brake.by_address.n, w->wrong ? 1 : 0);
}

static void
test_wrong_passwords_take_longer(void **state)
{
	struct world w = {.wrong = true};

	(void)state;
	run(&w, many_sign_ins);
}

static void
test_right_passwords_do_not(void **state)
{
	struct world w = {.wrong = false};

	(void)state;
	run(&w, many_sign_ins);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sessions_of_an_address),
	    cmocka_unit_test(test_wrong_passwords_take_longer),
	    cmocka_unit_test(test_right_passwords_do_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
