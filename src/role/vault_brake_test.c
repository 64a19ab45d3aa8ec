/* Guesses at an account from many addresses, and its owner among them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "role/vault_brake.h"

#include "rt/rt_test.h"

#define ALICE SLICE("01ALICE")
#define BOB SLICE("01BOB")

static int
guess(struct vault_brake *b, struct slice account_id, const char *client, int err)
{
	struct braked_account *turn = NULL;
	int entered = vault_brake_enter(b, account_id, slice_z(client), &turn);

	if (entered == 0)
		vault_brake_leave(b, account_id, slice_z(client), &turn, err);
	assert_null(turn);
	return entered;
}

struct guesser {
	struct vault_brake *b;
	int number, *under_way, *most, *finished, *refused;
};

static void
guess_fiber(void *arg)
{
	struct guesser *g = arg;
	struct braked_account *turn = NULL;
	char client[32];

	(void)snprintf(client, sizeof(client), "192.0.2.%d", g->number);
	if (vault_brake_enter(g->b, ALICE, slice_z(client), &turn) != 0) {
		++*g->refused;
		return;
	}
	if (++*g->under_way > *g->most)
		*g->most = *g->under_way;
	assert_int_equal(fiber_sleep(g->b->loop, 1), 0);
	--*g->under_way;
	vault_brake_leave(g->b, ALICE, slice_z(client), &turn, ERR_BUSY); /* gives the turn on at once */
	++*g->finished;
}

RT_TEST(test_many_addresses)
{
	struct vault_brake b;
	struct guesser g[60];
	int under_way = 0, most = 0, finished = 0, refused = 0;
	char client[32];

	vault_brake_init(&b, x->loop);
	assert_int_equal(guess(&b, ALICE, "198.51.100.7", 0), 0); /* the owner */
	assert_int_equal(guess(&b, ALICE, "2001:db8::1", 0), 0);
	for (int i = 0; i < 12; i++) {
		(void)snprintf(client, sizeof(client), "203.0.113.%d", i);
		assert_int_equal(guess(&b, ALICE, client, ERR_DENIED), 0);
	}
	assert_int_equal(vault_brake_failures(&b, ALICE), 12);
	for (size_t i = 0; i < COUNT_OF(g); i++) {
		g[i] = (struct guesser){&b, (int)i, &under_way, &most, &finished, &refused};
		assert_int_equal(fiber_start(x->loop, "guess", guess_fiber, &g[i], NULL), 0);
	}
	while (finished == 0)
		assert_int_equal(fiber_sleep(x->loop, 1), 0);
	/* Others wait one behind the other; the owner does not, nor does anybody else's account. */
	assert_int_equal(guess(&b, ALICE, "198.51.100.7", 0), 0);
	assert_int_equal(guess(&b, ALICE, "2001:db8::ffff:2", ERR_DENIED), 0);
	assert_int_equal(guess(&b, BOB, "192.0.2.1", 0), 0);
	assert_true(finished < 50);
	while (finished + refused < (int)COUNT_OF(g))
		assert_int_equal(fiber_sleep(x->loop, 1), 0);
	assert_int_equal(most, 1);
	assert_int_equal(refused, 10);
	vault_brake_free(&b);
}

/* A wrong guess keeps its turn; failures are forgiven with time, which is not waited for here. */
RT_TEST(test_a_guess_takes_time)
{
	struct vault_brake b;
	int64_t began;

	vault_brake_init(&b, x->loop);
	for (int i = 0; i < 11; i++)
		assert_int_equal(guess(&b, ALICE, "203.0.113.1", ERR_DENIED), 0);
	began = loop_now_ms(x->loop);
	assert_int_equal(guess(&b, ALICE, "203.0.113.2", ERR_DENIED), 0);
	assert_true(loop_now_ms(x->loop) - began >= 390);
	assert_int_equal(guess(&b, ALICE, "", 0), 0); /* no address: nothing to know */
	assert_int_equal(guess(&b, SLICE(""), "203.0.113.2", ERR_DENIED), 0);
	vault_brake_free(&b);
}

/* What is written down and read again is what was there; nothing comes of damaged rows. */
RT_TEST(test_counts_are_kept)
{
	struct vault_brake b, again;
	struct vault_brake_row *rows,
	    bad = {.account_id = BOB, .failures = INT64_MAX, .since_ms = -5, .known = SLICE("x")};
	struct arena a;
	size_t n;

	arena_init(&a, 1 << 20);
	vault_brake_init(&b, x->loop);
	vault_brake_init(&again, x->loop);
	assert_int_equal(vault_brake_rows(&b, &a, &rows, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(guess(&b, ALICE, "198.51.100.7", 0), 0);
	assert_int_equal(guess(&b, BOB, "203.0.113.1", ERR_DENIED), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(guess(&b, ALICE, "203.0.113.1", ERR_DENIED), 0);
	assert_true(b.changed);
	assert_int_equal(guess(&b, SLICE("not \xff UTF-8"), "203.0.113.1", ERR_DENIED), 0);
	assert_int_equal(vault_brake_rows(&b, &a, &rows, &n), 0);
	assert_int_equal(n, 2);
	assert_true(slice_eq(rows[0].account_id, ALICE));
	assert_int_equal(rows[0].failures, 3);
	assert_int_equal(rows[0].known.n, 16);
	for (size_t i = 0; i < n; i++)
		vault_brake_restore(&again, &rows[i]);
	assert_int_equal(vault_brake_failures(&again, ALICE), 3);
	assert_int_equal(vault_brake_failures(&again, BOB), 1);
	assert_true(vault_brake_lift(&again, ALICE));
	assert_false(vault_brake_lift(&again, ALICE));
	assert_int_equal(vault_brake_failures(&again, ALICE), 0);
	vault_brake_restore(&again, &bad);
	assert_int_equal(vault_brake_failures(&again, BOB), 1000);
	rows[0].since_ms = INT64_C(10) * 60000; /* forgiven long ago */
	vault_brake_restore(&again, &rows[0]);
	assert_int_equal(vault_brake_failures(&again, ALICE), 0);
	arena_free(&a);
	vault_brake_free(&again);
	vault_brake_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_many_addresses_run),
	    cmocka_unit_test(test_a_guess_takes_time_run),
	    cmocka_unit_test(test_counts_are_kept_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
