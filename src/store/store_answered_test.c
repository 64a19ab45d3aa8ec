/* Who was answered: once in a period, by the same delivery again, across restarts and crashes, in a bounded table. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/store_testing.h"

#define DAY 86400
#define ACCOUNT SLICE("01J00000000000000000000001")

static bool
claim(struct store_account *a, const char *sender, uint8_t delivery, int64_t days)
{
	uint8_t id[STORE_ID_BYTES] = {delivery};
	bool mine = false;

	assert_int_equal(store_answer_claim(a, slice_z(sender), id, days * DAY, &mine), 0);
	return mine;
}

static struct store_account *
account(struct place *p)
{
	struct store_account *a = NULL;

	assert_int_equal(store_account_get(p->store, ACCOUNT, &a), 0);
	return a;
}

static void
claims_body(struct place *p)
{
	struct store_account *a;
	uint8_t id[STORE_ID_BYTES] = {1};
	bool mine;

	assert_int_equal(store_account_create(p->store, ACCOUNT), 0);
	a = account(p);
	assert_true(claim(a, "bob", 1, 7));
	assert_true(claim(a, "bob", 1, 7)); /* the same delivery again */
	assert_false(claim(a, "bob", 2, 7));
	assert_true(claim(a, "carol", 2, 7));
	house_clock_advance(&p->house, INT64_C(6) * DAY * 1000000);
	assert_false(claim(a, "bob", 3, 7));
	store_account_put(&a);
	place_crash(p); /* a claim is durable when it is made */
	a = account(p);
	assert_false(claim(a, "bob", 4, 7));
	assert_true(claim(a, "bob", 4, 1)); /* a shorter period */
	assert_false(claim(a, "bob", 5, 7));
	id[0] = 4;
	assert_int_equal(store_answer_release(a, SLICE("bob"), id), 0);
	assert_true(claim(a, "bob", 5, 7));
	id[0] = 4; /* of an older delivery: nothing to release */
	assert_int_equal(store_answer_release(a, SLICE("bob"), id), 0);
	assert_false(claim(a, "bob", 6, 7));
	house_clock_advance(&p->house, INT64_C(7) * DAY * 1000000);
	assert_true(claim(a, "bob", 7, 7));
	house_clock_advance(&p->house, -INT64_C(400) * DAY * 1000000);
	assert_true(claim(a, "bob", 8, 7)); /* the clock was set back */
	assert_int_equal(store_answer_claim(a, SLICE_EMPTY, id, DAY, &mine), ERR_INVALID);
	store_account_put(&a);
}

static void
bounded_body(struct place *p)
{
	struct store_account *a;
	char name[32];

	p->house.limits.vacation_answered = 20;
	assert_int_equal(store_account_create(p->store, ACCOUNT), 0);
	a = account(p);
	for (int i = 0; i < 60; i++) {
		(void)snprintf(name, sizeof(name), "s%d", i);
		assert_true(claim(a, name, 1, 7));
		house_clock_advance(&p->house, 1000000);
	}
	assert_false(claim(a, "s59", 2, 7));
	assert_false(claim(a, "s50", 2, 7));
	assert_true(claim(a, "s0", 2, 7)); /* the oldest were forgotten */
	store_account_put(&a);
}

static void
test_claims(void **state)
{
	(void)state;
	with_place(claims_body);
}

static void
test_bounded(void **state)
{
	(void)state;
	with_place(bounded_body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_claims), cmocka_unit_test(test_bounded)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
