/* What is read ahead is what would be read later: in order, without what is marked, within bounds, and without what others remove. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "pop3/pop3_ahead.h"
#include "store/store_testing.h"

#define MESSAGES 300u

static void
expect(struct pop3_ahead *a, size_t seq)
{
	const struct store_fetched *f;
	char text[64];

	(void)snprintf(text, sizeof(text), "Subject: %zu\r\n\r\n%040zu\r\n", seq, seq);
	assert_int_equal(pop3_ahead_take(a, seq, &f), 0);
	assert_true(f->found);
	assert_true(slice_eq(f->raw, slice_z(text)));
	assert_true(pop3_ahead_holds(a));
}

static struct store_account *
fill(struct place *p, struct store_view **v)
{
	struct store_account *a = make_account(p, "01ALICE");

	for (size_t i = 1; i <= MESSAGES; i++) {
		char text[64];

		(void)snprintf(text, sizeof(text), "Subject: %zu\r\n\r\n%040zu\r\n", i, i);
		(void)append_ok(a, "INBOX", text, 0);
	}
	assert_int_equal(store_view_open(a, SLICE("INBOX"), true, v), 0);
	return a;
}

static void
body_in_order(struct place *p)
{
	struct store_view *v;
	struct store_account *a = fill(p, &v);
	bool deleted[MESSAGES] = {false};
	struct pop3_ahead ahead;

	pop3_ahead_init(&ahead, v, deleted, 1 << 20);
	expect(&ahead, 1);
	assert_int_equal(ahead.n, 1); /* one message may be all that is wanted */
	expect(&ahead, 2);
	assert_int_equal(ahead.n, 4);
	for (size_t i = 3; i <= MESSAGES; i++)
		expect(&ahead, i);
	assert_int_equal(ahead.n, MESSAGES - 5 - 16 - 3 * 64 - 64);
	/* Out of order, each by itself; again what is there. */
	expect(&ahead, 7);
	assert_int_equal(ahead.n, 1);
	expect(&ahead, 3);
	expect(&ahead, 3);
	/* What is marked is passed over, and is nobody's next. */
	deleted[4] = deleted[5] = true;
	expect(&ahead, 4);
	expect(&ahead, 7);
	assert_int_equal(ahead.n, 4);
	assert_int_equal(ahead.seqs[3], 9);
	pop3_ahead_forget(&ahead);
	assert_false(pop3_ahead_holds(&ahead));
	expect(&ahead, 8);
	pop3_ahead_forget(&ahead);
	store_view_close(&v);
	store_account_put(&a);
}

static void
body_bounded(struct place *p)
{
	struct store_view *v;
	struct store_account *a = fill(p, &v);
	bool deleted[MESSAGES] = {false};
	struct pop3_ahead ahead;

	/* Three of them fit; none does, and yet one is read. */
	pop3_ahead_init(&ahead, v, deleted, 3 * 60);
	for (size_t i = 1; i <= 20; i++) {
		expect(&ahead, i);
		assert_true(ahead.n <= 3);
	}
	assert_true(ahead.n > 1);
	pop3_ahead_forget(&ahead);
	pop3_ahead_init(&ahead, v, deleted, 0);
	for (size_t i = 1; i <= 20; i++) {
		expect(&ahead, i);
		assert_int_equal(ahead.n, 1);
	}
	pop3_ahead_forget(&ahead);
	store_view_close(&v);
	store_account_put(&a);
}

/* Another session removes what was read already. */
static void
body_removed(struct place *p)
{
	struct store_view *v, *other;
	struct store_account *a = fill(p, &v);
	bool deleted[MESSAGES] = {false};
	const struct store_fetched *f;
	struct pop3_ahead ahead;
	uint32_t uid;

	pop3_ahead_init(&ahead, v, deleted, 1 << 20);
	expect(&ahead, 1);
	expect(&ahead, 2);
	expect(&ahead, 3);
	assert_true(ahead.seqs[ahead.n - 1] >= 4);
	uid = store_view_at(v, 4).uid;
	other = open_view(a, "INBOX");
	assert_int_equal(store_expunge(other, &uid, 1, false), 0);
	assert_int_equal(pop3_ahead_take(&ahead, 4, &f), 0);
	assert_false(f->found);
	expect(&ahead, 5);
	store_view_close(&other);
	assert_int_equal(store_account_remove(p->store, SLICE("01ALICE")), 0);
	assert_int_not_equal(pop3_ahead_take(&ahead, 6, &f), 0);
	pop3_ahead_forget(&ahead);
	store_view_close(&v);
	store_account_put(&a);
}

#define PLACE_TEST(name) \
	static void test_##name(void **state) \
	{ \
		(void)state; \
		with_place(body_##name); \
	}
PLACE_TEST(in_order)
PLACE_TEST(bounded)
PLACE_TEST(removed)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_in_order),
	    cmocka_unit_test(test_bounded),
	    cmocka_unit_test(test_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
