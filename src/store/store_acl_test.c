/* Rights of others: letters, what adds up to what, inheritance, and what goes with its mailbox. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/store_acl.h"
#include "store/store_testing.h"

#define BOB SLICE("01B")
#define EVE SLICE("01E")
#define ANYONE SLICE("")

static void
letters(const char *text, const char *want)
{
	struct buf BUF_CLEANUP out;
	enum store_flag_op op;
	unsigned rights;

	buf_init(&out, 64);
	assert_true(store_acl_parse_change(slice_z(text), &op, &rights));
	buf_put_u8(&out, op == STORE_FLAGS_ADD ? '+' : op == STORE_FLAGS_REMOVE ? '-' : '=');
	store_acl_put_rights(&out, rights);
	buf_put_u8(&out, 0);
	assert_string_equal((const char *)out.p, want);
}

static void
test_letters(void **state)
{
	enum store_flag_op op;
	unsigned rights;

	(void)state;
	letters("", "=");
	letters("lr", "=lr");
	letters("rl", "=lr");
	letters("+w", "+w");
	letters("-", "-");
	/* RFC 4314 §2.1.1 */
	letters("lrswida", "=lrswiteda");
	letters("lrswikda", "=lrswiktecda");
	letters("c", "=kxc");
	letters("-x", "-xc");
	letters("lrswipkxtecda", "=lrswipkxtecda");
	assert_true(store_acl_parse_change(SLICE("lrswipkxtea"), &op, &rights));
	assert_int_equal(rights, STORE_RIGHTS_ALL);
	assert_false(store_acl_parse_change(SLICE("lrQ"), &op, &rights));
	assert_false(store_acl_parse_change(SLICE("lrq"), &op, &rights));
	assert_false(store_acl_parse_change(SLICE("0"), &op, &rights));
	assert_false(store_acl_parse_change(SLICE("++l"), &op, &rights));
	assert_false(store_acl_parse_change(SLICE("l r"), &op, &rights));
}

static int
give(struct store_account *a, const char *mailbox, struct slice who, bool negative, const char *change)
{
	struct store_acl_entry e = {.who = who, .negative = negative};
	enum store_flag_op op;

	assert_true(store_acl_parse_change(slice_z(change), &op, &e.rights));
	return store_acl_set(a, slice_z(mailbox), op, &e);
}

static void
may(struct store_account *a, const char *mailbox, struct slice who, const char *want)
{
	struct buf BUF_CLEANUP out;
	unsigned rights;

	buf_init(&out, 64);
	assert_int_equal(store_acl_rights(a, slice_z(mailbox), who, &rights), 0);
	store_acl_put_rights(&out, rights);
	buf_put_u8(&out, 0);
	assert_string_equal((const char *)out.p, want);
}

static void
body_sums(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	uint64_t before = store_acl_changes(a);
	struct arena ARENA_CLEANUP mem;
	struct store_acl_entry *v;
	struct store_acl_mine *mine;
	unsigned rights;
	bool gives;
	size_t n;

	arena_init(&mem, 1u << 20);
	may(a, "INBOX", BOB, "");
	assert_int_equal(give(a, "INBOX", BOB, false, "lrs"), 0);
	assert_int_not_equal(store_acl_changes(a), before);
	may(a, "INBOX", BOB, "lrs");
	may(a, "INBOX", EVE, "");
	may(a, "Drafts", BOB, "");
	assert_int_equal(give(a, "INBOX", ANYONE, false, "lp"), 0);
	may(a, "INBOX", BOB, "lrsp");
	may(a, "INBOX", EVE, "lp");
	/* What is taken is taken, whoever gave it. */
	assert_int_equal(give(a, "INBOX", BOB, true, "lw"), 0);
	may(a, "INBOX", BOB, "rsp");
	assert_int_equal(give(a, "INBOX", BOB, false, "+lw"), 0);
	may(a, "INBOX", BOB, "rsp");
	assert_int_equal(give(a, "INBOX", ANYONE, true, "p"), 0);
	may(a, "INBOX", EVE, "l");
	assert_int_equal(store_acl_get(a, SLICE("INBOX"), &mem, &v, &n), 0);
	assert_int_equal(n, 4);
	assert_true(v[0].who.n == 0 && !v[0].negative && v[1].negative);
	assert_int_equal(v[2].rights, STORE_RIGHT_LOOKUP | STORE_RIGHT_READ | STORE_RIGHT_SEEN | STORE_RIGHT_WRITE);
	assert_int_equal(give(a, "INBOX", BOB, true, "-lw"), 0); /* nothing is left of it: it goes */
	may(a, "INBOX", BOB, "lrsw");
	assert_int_equal(store_acl_mine(a, BOB, &mem, &mine, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(store_acl_gives(a, BOB, &gives), 0);
	assert_true(gives);
	assert_int_equal(give(a, "INBOX", BOB, false, ""), 0);
	assert_int_equal(store_acl_gives(a, BOB, &gives), 0);
	assert_false(gives);
	assert_int_equal(store_acl_get(a, SLICE("INBOX"), &mem, &v, &n), 0);
	assert_int_equal(n, 2);
	/* Only "-anyone" and "anyone" are left. */
	assert_int_equal(store_acl_mine(a, EVE, &mem, &mine, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(mine[0].rights, STORE_RIGHT_LOOKUP);
	assert_int_equal(give(a, "nowhere", BOB, false, "l"), ERR_NOTFOUND);
	assert_int_equal(give(a, "", BOB, false, "l"), ERR_NOTFOUND);
	assert_int_equal(store_acl_rights(a, SLICE("nowhere"), BOB, &rights), ERR_NOTFOUND);
	store_account_put(&a);
}

static void
test_sums(void **state)
{
	(void)state;
	with_place(body_sums);
}

static void
body_inherit(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	unsigned rights;

	assert_int_equal(store_mailbox_create(a, SLICE("top"), STORE_ROLE_NONE), 0);
	assert_int_equal(give(a, "top", BOB, false, "lrk"), 0);
	assert_int_equal(store_acl_rights_above(a, SLICE("top/x/y"), BOB, &rights), 0);
	assert_int_equal(rights, STORE_RIGHT_LOOKUP | STORE_RIGHT_READ | STORE_RIGHT_CREATE);
	assert_int_equal(store_mailbox_create(a, SLICE("top/mid/low"), STORE_ROLE_NONE), 0);
	may(a, "top/mid", BOB, "lrkc");
	may(a, "top/mid/low", BOB, "lrkc");
	/* Later changes above are not inherited. */
	assert_int_equal(give(a, "top", BOB, false, "+w"), 0);
	may(a, "top/mid", BOB, "lrkc");
	assert_int_equal(give(a, "top/mid", BOB, true, "k"), 0);
	assert_int_equal(store_acl_rights_above(a, SLICE("top/mid/new"), BOB, &rights), 0);
	assert_int_equal(rights, STORE_RIGHT_LOOKUP | STORE_RIGHT_READ);
	assert_int_equal(store_acl_rights_above(a, SLICE("elsewhere"), BOB, &rights), 0);
	assert_int_equal(rights, 0);
	/* RFC 4314 §4: they go with a rename, and end with a deletion. */
	assert_int_equal(store_mailbox_rename(a, SLICE("top/mid"), SLICE("moved")), 0);
	may(a, "moved", BOB, "lr");
	may(a, "moved/low", BOB, "lrkc");
	assert_int_equal(store_mailbox_delete(a, SLICE("moved")), 0);
	may(a, "moved", BOB, "");
	assert_int_equal(store_mailbox_create(a, SLICE("moved"), STORE_ROLE_NONE), 0);
	may(a, "moved", BOB, "");
	assert_int_equal(store_mailbox_delete(a, SLICE("top")), 0);
	assert_int_equal(store_mailbox_create(a, SLICE("top"), STORE_ROLE_NONE), 0);
	may(a, "top", BOB, "");
	store_account_put(&a);
}

static void
test_inherit(void **state)
{
	(void)state;
	with_place(body_inherit);
}

static void
body_limit(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	char id[16];

	p->house.limits.acl_entries = 5;
	for (int i = 0; i < 7; i++) {
		(void)snprintf(id, sizeof(id), "01X%d", i);
		assert_int_equal(give(a, "INBOX", slice_z(id), false, "l"), i < 5 ? 0 : ERR_LIMIT);
	}
	may(a, "INBOX", SLICE("01X4"), "l");
	may(a, "INBOX", SLICE("01X5"), "");
	assert_int_equal(give(a, "INBOX", SLICE("01X4"), false, "+r"), 0);
	store_account_put(&a);
}

static void
test_limit(void **state)
{
	(void)state;
	with_place(body_limit);
}

/* An entry that was acknowledged survives a power cut, and so does its end. */
static void
body_durable(struct place *p)
{
	struct store_account *a = make_account(p, "01A");

	assert_int_equal(give(a, "INBOX", BOB, false, "lr"), 0);
	assert_int_equal(give(a, "INBOX", EVE, false, "lr"), 0);
	assert_int_equal(give(a, "INBOX", EVE, false, ""), 0);
	store_account_put(&a);
	place_crash(p);
	a = get_account(p, "01A");
	may(a, "INBOX", BOB, "lr");
	may(a, "INBOX", EVE, "");
	store_account_put(&a);
}

static void
test_durable(void **state)
{
	(void)state;
	with_place(body_durable);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_letters),
	    cmocka_unit_test(test_sums),
	    cmocka_unit_test(test_inherit),
	    cmocka_unit_test(test_limit),
	    cmocka_unit_test(test_durable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
