/* Watches: what is told once, what is told of whom, and what is too much. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/store_testing.h"

#define MAIL "Subject: Hello\r\n\r\nText\r\n"
#define ALL 63u

struct watching {
	struct arena mem;
	struct store_account *a;
	struct store_watch *w;
};

static void
watching_begin(struct watching *t, struct place *p, unsigned kinds)
{
	*t = (struct watching){.a = make_account(p, "01A")};
	arena_init(&t->mem, 1u << 20);
	assert_int_equal(store_watch_open(t->a, kinds, fiber_self(p->loop), &t->w), 0);
	assert_false(store_watch_has_changes(t->w));
}

static void
watching_end(struct watching *t)
{
	store_watch_close(&t->w);
	store_watch_close(&t->w);
	store_account_put(&t->a);
	arena_free(&t->mem);
}

static void
expect(struct watching *t, unsigned what, const char *name, const char *old_name)
{
	struct store_change c;

	assert_int_equal(store_watch_next(t->w, &t->mem, &c), 1);
	assert_int_equal(c.what, what);
	assert_true(slice_eq(c.name, slice_z(name)));
	assert_true(slice_eq(c.old_name, slice_z(old_name)));
}

static void
expect_messages(struct watching *t, unsigned what, const char *name)
{
	struct store_change c;
	struct store_mailbox m;

	assert_int_equal(store_watch_next(t->w, &t->mem, &c), 1);
	assert_int_equal(c.what, what);
	assert_int_equal(store_mailbox_by_id(t->a, c.mailbox, &t->mem, &m), 0);
	assert_true(slice_eq(m.name, slice_z(name)));
}

static void
expect_none(struct watching *t)
{
	struct store_change c;

	assert_false(store_watch_has_changes(t->w));
	assert_int_equal(store_watch_next(t->w, &t->mem, &c), 0);
}

static void
body_messages(struct place *p)
{
	static const struct store_flag_change seen = {
	    .op = STORE_FLAGS_ADD, .flags = STORE_SEEN, .unchanged_since = UINT64_MAX};
	struct watching t;
	struct store_copied copied;
	struct store_mailbox m;
	struct store_view *v;
	uint32_t uid = 1;

	watching_begin(&t, p, ALL);
	for (uint64_t i = 1; i <= 20; i++)
		deliver_ok(t.a, i, MAIL);
	assert_true(store_watch_has_changes(t.w));
	expect_messages(&t, STORE_CHANGE_NEW, "INBOX");
	expect_none(&t);
	v = open_view(t.a, "INBOX");
	assert_int_equal(store_flags(v, &uid, 1, &seen, NULL), 0);
	assert_int_equal(store_copy(v, &uid, 1, SLICE("Archive"), true, &t.mem, &copied), 0);
	expect_messages(&t, STORE_CHANGE_FLAGS | STORE_CHANGE_EXPUNGE, "INBOX");
	expect_messages(&t, STORE_CHANGE_NEW, "Archive");
	expect_none(&t);
	uid = 2;
	assert_int_equal(store_expunge(v, &uid, 1, false), 0);
	expect_messages(&t, STORE_CHANGE_EXPUNGE, "INBOX");
	store_watch_own(t.w, fiber_self(p->loop));
	uid = 3;
	assert_int_equal(store_expunge(v, &uid, 1, false), 0);
	expect_none(&t);
	assert_int_equal(store_mailbox_by_id(t.a, 1000, &t.mem, &m), ERR_NOTFOUND);
	store_view_close(&v);
	watching_end(&t);
}

static void
body_names(struct place *p)
{
	struct store_annotation note = {.entry = SLICE("/shared/comment"), .value = SLICE("x")};
	struct watching t;

	watching_begin(&t, p, STORE_CHANGE_NAME | STORE_CHANGE_SUBSCRIPTION | STORE_CHANGE_METADATA);
	deliver_ok(t.a, 1, MAIL);
	expect_none(&t);
	assert_int_equal(store_mailbox_create(t.a, SLICE("a/b/c"), STORE_ROLE_NONE), 0);
	expect(&t, STORE_CHANGE_NAME, "a", "");
	expect(&t, STORE_CHANGE_NAME, "a/b", "");
	expect(&t, STORE_CHANGE_NAME, "a/b/c", "");
	expect_none(&t);
	assert_int_equal(store_mailbox_create(t.a, SLICE("a/b/c"), STORE_ROLE_NONE), ERR_EXISTS);
	expect_none(&t);
	/* The level that is kept for its child goes with it. */
	assert_int_equal(store_mailbox_delete(t.a, SLICE("a/b")), 0);
	expect(&t, STORE_CHANGE_NAME, "a/b", "");
	assert_int_equal(store_mailbox_rename(t.a, SLICE("a/b/c"), SLICE("d/e")), 0);
	expect(&t, STORE_CHANGE_NAME, "d", "");
	expect(&t, STORE_CHANGE_NAME, "d/e", "a/b/c");
	expect(&t, STORE_CHANGE_NAME, "a/b", "");
	expect_none(&t);
	assert_int_equal(store_mailbox_rename(t.a, SLICE("INBOX"), SLICE("old")), 0);
	expect(&t, STORE_CHANGE_NAME, "old", "INBOX");
	expect_none(&t);
	for (int i = 0; i < 10; i++)
		assert_int_equal(store_subscribe(t.a, SLICE("d/e"), i % 2 == 0), 0);
	expect(&t, STORE_CHANGE_SUBSCRIPTION, "d/e", "");
	assert_int_equal(store_metadata_set(t.a, SLICE(""), &note, 1), 0);
	expect(&t, STORE_CHANGE_METADATA, "", "");
	expect_none(&t);
	watching_end(&t);
}

static void
body_too_much(struct place *p)
{
	struct watching t;
	struct store_change c;

	p->house.limits.imap_notify_pending = 3;
	watching_begin(&t, p, ALL);
	assert_int_equal(store_mailbox_create(t.a, SLICE("1/2/3/4"), STORE_ROLE_NONE), 0);
	assert_int_equal(store_mailbox_create(t.a, SLICE("5"), STORE_ROLE_NONE), 0);
	assert_true(store_watch_has_changes(t.w));
	assert_int_equal(store_watch_next(t.w, &t.mem, &c), ERR_LIMIT);
	expect_none(&t);
	assert_int_equal(store_mailbox_create(t.a, SLICE("6"), STORE_ROLE_NONE), 0);
	expect(&t, STORE_CHANGE_NAME, "6", "");
	/* What nobody took goes with the watch. */
	assert_int_equal(store_mailbox_create(t.a, SLICE("7"), STORE_ROLE_NONE), 0);
	watching_end(&t);
}

static void
test_messages(void **state)
{
	(void)state;
	with_place(body_messages);
}

static void
test_names(void **state)
{
	(void)state;
	with_place(body_names);
}

static void
test_too_much(void **state)
{
	(void)state;
	with_place(body_too_much);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_messages), cmocka_unit_test(test_names), cmocka_unit_test(test_too_much)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
