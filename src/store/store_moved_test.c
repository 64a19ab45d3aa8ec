/* Messages from other servers: once each, whatever is repeated or cut off; UIDs as they were; what comes from elsewhere meanwhile. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/store_testing.h"

#define MAIL "Subject: delivered\r\n\r\nx\r\n"

static const uint8_t there[STORE_ID_BYTES] = {7};

/* The UID that the message got here; 0: it was known. */
static uint32_t
bring(struct store_account *a, int64_t number, uint32_t uid, const char *keyword)
{
	struct store_upload *u STORE_UPLOAD_CLEANUP = NULL;
	struct slice k = slice_z(keyword);
	struct store_append one = {.flags = STORE_SEEN, .internal_s = 1000000000, .origin = {true, {7}, number, uid}};
	struct store_copied out;
	struct arena ARENA_CLEANUP mem;

	arena_init(&mem, 1u << 20);
	if (keyword != NULL)
		one.keywords = (struct slice_list){&k, 1};
	assert_int_equal(store_upload_new(a, 1u << 20, &u), 0);
	assert_int_equal(store_upload_write(u, SLICE("Subject: moved\r\n\r\nhere\r\n")), 0);
	one.upload = u;
	assert_int_equal(store_append(a, NULL, SLICE("INBOX"), &one, 1, &mem, &out), 0);
	assert_int_equal(out.n, 1);
	return out.target[0];
}

static bool
adopt(struct store_account *a, const char *name, uint32_t uidvalidity, uint32_t uidnext, bool done)
{
	bool kept;

	assert_int_equal(store_mailbox_adopt(a, slice_z(name), uidvalidity, uidnext, 0, done, &kept), 0);
	return kept;
}

static struct store_mailbox
inbox(struct store_account *a, struct arena *mem)
{
	struct store_mailbox m;

	assert_int_equal(store_mailbox(a, SLICE("INBOX"), mem, &m), 0);
	return m;
}

static void
body_uids(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct arena ARENA_CLEANUP mem;
	struct store_mailbox m;
	bool kept;

	arena_init(&mem, 1u << 20);
	assert_true(adopt(a, "INBOX", 5, 100, false));
	assert_int_equal(inbox(a, &mem).uidvalidity, 5);
	assert_int_equal(bring(a, 3, 3, NULL), 3);
	assert_int_equal(bring(a, 50, 50, "$Label1"), 50);
	assert_int_equal(bring(a, 50, 50, NULL), 0); /* again */
	assert_int_equal(bring(a, 3, 3, NULL), 0);
	assert_true(adopt(a, "INBOX", 5, 100, true));
	m = inbox(a, &mem);
	assert_int_equal(m.uidnext, 100);
	assert_int_equal(m.messages, 2);
	/* The next pass finds more there. */
	assert_true(adopt(a, "INBOX", 5, 110, false));
	assert_int_equal(bring(a, 105, 105, NULL), 105);
	/* From here on mail comes here: far from what may still come there. */
	deliver_ok(a, 1, MAIL);
	m = inbox(a, &mem);
	assert_int_equal(m.uidnext, 110 + 100000 + 1);
	assert_int_equal(bring(a, 109, 109, NULL), 110 + 100000 + 1); /* its own UID is not to be had any more */
	assert_true(adopt(a, "INBOX", 5, 120, false));
	assert_int_equal(bring(a, 109, 109, NULL), 0);
	assert_int_equal(inbox(a, &mem).messages, 5);
	/* Another server cannot take it over, nor this one a mailbox that has been used. */
	assert_false(adopt(a, "INBOX", 6, 10, false));
	assert_int_equal(inbox(a, &mem).uidvalidity, 5);
	assert_int_equal(store_mailbox_adopt(a, SLICE("nowhere"), 5, 5, 0, false, &kept), ERR_NOTFOUND);
	assert_false(adopt(a, "Sent", UINT32_MAX, 5, false));
	assert_false(adopt(a, "Sent", 9, UINT32_MAX, false));
	store_account_put(&a);
}

/* Clients that come from the other server know its modseqs. */
static void
body_modseqs(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct arena ARENA_CLEANUP mem;
	struct store_view *v;
	struct store_uid_range *gone;
	size_t n;
	bool kept;

	arena_init(&mem, 1u << 20);
	assert_int_equal(store_mailbox_adopt(a, SLICE("INBOX"), 5, 100, 5000, false, &kept), 0);
	assert_int_equal(bring(a, 3, 3, NULL), 3);
	assert_int_equal(bring(a, 6, 6, NULL), 6);
	assert_true(inbox(a, &mem).highestmodseq > 5001);
	/* It goes on there, and is taken up where it is, but not what no server can have given. */
	assert_int_equal(store_mailbox_adopt(a, SLICE("INBOX"), 5, 100, 9000, false, &kept), 0);
	assert_int_equal(store_mailbox_adopt(a, SLICE("INBOX"), 5, 100, INT64_MAX, false, &kept), 0);
	assert_int_equal(inbox(a, &mem).highestmodseq, 9001);
	/* What went there before it could come here is told to who may still have it. */
	assert_int_equal(store_view_open(a, SLICE("INBOX"), true, &v), 0);
	assert_int_equal(store_vanished(v, 8999, &mem, &gone, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(gone[0].hi, 2);
	assert_int_equal(gone[1].lo, 4);
	assert_int_equal(gone[1].hi, 5);
	assert_int_equal(store_vanished(v, 9001, &mem, &gone, &n), 0);
	assert_int_equal(n, 0);
	store_view_close(&v);
	store_account_put(&a);
}

static void
body_power(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct arena ARENA_CLEANUP mem;

	arena_init(&mem, 1u << 20);
	assert_true(adopt(a, "INBOX", 5, 100, false));
	assert_int_equal(bring(a, 3, 3, NULL), 3);
	store_account_put(&a);
	place_crash(p);
	/* The gap of an unclean end is that of the UIDs that others get. */
	a = get_account(p, "01A");
	assert_int_equal(bring(a, 3, 3, NULL), 0);
	assert_int_equal(bring(a, 4, 4, NULL), 4);
	deliver_ok(a, 1, MAIL);
	assert_int_equal(inbox(a, &mem).uidnext, 100 + 100000 + STORE_GAP_UID + 1);
	store_account_put(&a);
	place_crash(p);
	a = get_account(p, "01A");
	assert_int_equal(inbox(a, &mem).uidnext, 100 + 100000 + 2 * STORE_GAP_UID + 1);
	store_account_put(&a);
}

static void
body_remembered(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct store_view *v STORE_VIEW_CLEANUP = NULL;
	struct store_moved what[3] = {{.number = 1}, {.number = 2}, {.number = 9}}, *all;
	struct arena ARENA_CLEANUP mem;
	uint32_t uid = 1;
	size_t n;

	arena_init(&mem, 1u << 20);
	assert_true(adopt(a, "INBOX", 5, 10, false));
	assert_int_equal(bring(a, 1, 1, NULL), 1);
	assert_int_equal(bring(a, 2, 2, "Work"), 2);
	assert_int_equal(store_moved_get(a, there, what, 3, &mem), 0);
	assert_true(what[0].known && what[1].known && !what[2].known);
	assert_int_equal(what[1].flags, STORE_SEEN);
	assert_true(slice_eq(what[1].keywords, SLICE("Work")));
	/* Expunged here: it does not come again. */
	assert_int_equal(store_view_open(a, SLICE("INBOX"), false, &v), 0);
	assert_int_equal(store_expunge(v, &uid, 1, false), 0);
	assert_int_equal(bring(a, 1, 1, NULL), 0);
	what[0].flags = STORE_FLAGGED;
	what[0].keywords = SLICE("a b");
	assert_int_equal(store_moved_flags(a, there, what, 1), 0);
	assert_int_equal(store_moved_get(a, there, what, 1, &mem), 0);
	assert_int_equal(what[0].flags, STORE_FLAGGED);
	assert_int_equal(store_moved_range(a, there, 2, INT64_MAX, &mem, &all, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(all[0].number, 2);
	assert_int_equal(all[0].uid, 2);
	store_view_close(&v);
	/* What is known goes with its mailbox. */
	assert_int_equal(store_mailbox_create(a, SLICE("Old"), STORE_ROLE_NONE), 0);
	assert_true(adopt(a, "Old", 77, 10, false));
	assert_int_equal(store_mailbox_delete(a, SLICE("Old")), 0);
	assert_int_equal(store_mailbox_create(a, SLICE("Old"), STORE_ROLE_NONE), 0);
	{
		struct store_mailbox m;

		assert_int_equal(store_mailbox(a, SLICE("Old"), &mem, &m), 0);
		assert_true(m.uidvalidity > 77);
	}
	store_account_put(&a);
}

static void
body_watched(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct store_view *v STORE_VIEW_CLEANUP = NULL;

	/* Who looks at the mailbox while it becomes another one has to look again. */
	assert_int_equal(store_view_open(a, SLICE("INBOX"), false, &v), 0);
	assert_true(adopt(a, "INBOX", 5, 10, false));
	assert_true(store_view_gone(v));
	store_view_close(&v);
	assert_int_equal(store_view_open(a, SLICE("INBOX"), false, &v), 0);
	assert_int_equal(store_view_uidvalidity(v), 5);
	assert_int_equal(bring(a, 4, 4, NULL), 4);
	assert_true(adopt(a, "INBOX", 5, 10, true));
	assert_false(store_view_gone(v));
	assert_int_equal(store_view_next(v, true).kind, STORE_EVENT_EXISTS);
	assert_int_equal(store_view_uidnext(v), 10);
	store_view_close(&v);
	store_account_put(&a);
}

static void
test_uids(void **state)
{
	(void)state;
	with_place(body_uids);
}

static void
test_modseqs(void **state)
{
	(void)state;
	with_place(body_modseqs);
}

static void
test_power(void **state)
{
	(void)state;
	with_place(body_power);
}

static void
test_remembered(void **state)
{
	(void)state;
	with_place(body_remembered);
}

static void
test_watched(void **state)
{
	(void)state;
	with_place(body_watched);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_uids), cmocka_unit_test(test_modseqs),
	    cmocka_unit_test(test_power), cmocka_unit_test(test_remembered), cmocka_unit_test(test_watched)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
