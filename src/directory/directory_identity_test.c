/* Who may send as whom beyond their own addresses, and how much. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "directory/directory_identity.h"
#include "directory/directory_testing.h"

static struct slice
account(struct sqltx *tx, struct place *p, const char *address)
{
	struct directory_account out;

	assert_int_equal(directory_account_find(tx, &p->arena, slice_z(address), &out), 0);
	return out.id;
}

static int
identity(struct sqltx *tx, struct place *p, const char *who, const char *as)
{
	return directory_identity_set(tx, &p->house, account(tx, p, who), slice_z(as), SLICE("Name"), &p->detail);
}

static enum directory_sender
sender(struct sqltx *tx, struct place *p, const char *who, const char *as)
{
	enum directory_sender out;

	assert_int_equal(directory_sender(tx, account(tx, p, who), slice_z(as), &out), 0);
	return out;
}

static void
identities_body(struct sqltx *tx, struct place *p)
{
	struct directory_identity *v;
	size_t n;

	assert_int_equal(sender(tx, p, "alice@example.test", "ALICE+x@example.test"), DIRECTORY_SENDER_OWN);
	assert_int_equal(sender(tx, p, "alice@example.test", "bob@example.test"), DIRECTORY_SENDER_OTHER);
	assert_int_equal(sender(tx, p, "alice@example.test", "nobody@example.test"), DIRECTORY_SENDER_OTHER);
	assert_int_equal(sender(tx, p, "alice@example.test", "a@elsewhere.test"), DIRECTORY_SENDER_FOREIGN);
	assert_int_equal(sender(tx, p, "alice@example.test", "postmaster"), DIRECTORY_SENDER_OTHER);
	assert_int_equal(sender(tx, p, "alice@example.test", "x@@"), DIRECTORY_SENDER_OTHER);

	assert_int_equal(identity(tx, p, "alice@example.test", "Bob@Example.Test"), 0);
	assert_int_equal(identity(tx, p, "alice@example.test", "bob@example.test"), 0);
	assert_int_equal(identity(tx, p, "alice@example.test", "@elsewhere.test"), 0);
	assert_int_equal(identity(tx, p, "alice@example.test", "no address"), ERR_SYNTAX);
	assert_int_equal(identity(tx, p, "alice@example.test", "postmaster"), ERR_SYNTAX);
	assert_int_equal(
	    directory_identity_set(tx, &p->house, SLICE("nobody"), SLICE("a@b.test"), SLICE_EMPTY, &p->detail),
	    ERR_NOTFOUND);
	assert_int_equal(directory_identity_list(tx, &p->arena, account(tx, p, "alice@example.test"), &v, &n), 0);
	assert_int_equal(n, 2);
	assert_true(slice_eq(v[0].address, SLICE("@elsewhere.test")));
	assert_true(slice_eq(v[1].name, SLICE("Name")));
	assert_int_equal(sender(tx, p, "alice@example.test", "bob+t@example.test"), DIRECTORY_SENDER_OWN);
	assert_int_equal(sender(tx, p, "alice@example.test", "any@ELSEWHERE.test"), DIRECTORY_SENDER_OWN);
	assert_int_equal(sender(tx, p, "alice@example.test", "any@sub.elsewhere.test"), DIRECTORY_SENDER_FOREIGN);
	assert_int_equal(sender(tx, p, "bob@example.test", "any@elsewhere.test"), DIRECTORY_SENDER_FOREIGN);
}

static void
removal_body(struct sqltx *tx, struct place *p)
{
	struct slice alice = account(tx, p, "alice@example.test");

	assert_int_equal(directory_account_remove(tx, account(tx, p, "bob@example.test"), &p->detail), 0);
	(void)add_account(tx, p, "bob@example.test", false);
	assert_int_equal(sender(tx, p, "alice@example.test", "bob@example.test"), DIRECTORY_SENDER_OTHER);
	assert_int_equal(directory_identity_remove(tx, alice, SLICE("@ELSEWHERE.test"), &p->detail), 0);
	assert_int_equal(directory_identity_remove(tx, alice, SLICE("@elsewhere.test"), &p->detail), ERR_NOTFOUND);
	assert_int_equal(sender(tx, p, "alice@example.test", "any@elsewhere.test"), DIRECTORY_SENDER_FOREIGN);
}

static void
too_many_body(struct sqltx *tx, struct place *p)
{
	int err = 0;
	int64_t i;

	p->house.limits.identities = 3;
	for (i = 0; i < 10 && err == 0; i++) {
		char text[32];

		(void)snprintf(text, sizeof(text), "u%d@elsewhere.test", (int)i);
		err = identity(tx, p, "admin@example.test", text);
	}
	assert_int_equal(err, ERR_LIMIT);
	assert_int_equal(i, 4);
}

static void
limits_body(struct sqltx *tx, struct place *p)
{
	struct slice alice = account(tx, p, "alice@example.test");
	struct directory_account_limits l;

	assert_int_equal(directory_limits_get(tx, alice, &l), 0);
	assert_int_equal(l.messages_per_day, DIRECTORY_LIMIT_DEFAULT);
	l.messages_per_day = 7;
	l.message_bytes = 0;
	assert_int_equal(directory_limits_set(tx, alice, &l), 0);
	l.messages_per_day = 8;
	assert_int_equal(directory_limits_set(tx, alice, &l), 0);
	assert_int_equal(directory_limits_get(tx, alice, &l), 0);
	assert_int_equal(l.messages_per_day, 8);
	assert_int_equal(l.message_bytes, 0);
	assert_int_equal(l.recipients_per_hour, DIRECTORY_LIMIT_DEFAULT);
	assert_int_equal(directory_limits_set(tx, SLICE("nobody"), &l), ERR_NOTFOUND);
}

static void
identities(void **state)
{
	in_transaction(state, identities_body);
	in_transaction(state, removal_body);
	in_transaction(state, too_many_body);
}

static void
limits(void **state)
{
	in_transaction(state, limits_body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(identities, setup, teardown),
	    cmocka_unit_test_setup_teardown(limits, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
