/* Mailboxes: names, making, deleting, renaming, lists, subscriptions; appending, copying, moving, searching. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/store_testing.h"

#define MAIL "Subject: Hello\r\n\r\nText\r\n"

static void
test_names(void **state)
{
	static const struct {
		const char *in, *out; /* NULL: refused */
	} cases[] = {{"inbox", "INBOX"}, {"InBoX/Sub", "INBOX/Sub"}, {"Inboxes", "Inboxes"}, {"a/b/c", "a/b/c"},
	    {"a/", "a"}, {"a//b", NULL}, {"/a", NULL}, {"a//", NULL}, {"", NULL}, {"/", NULL}, {"..", NULL},
	    {"a/../b", NULL}, {"a\tb", NULL}, {"\xc3\xa4/\xf0\x9f\x93\xac", "\xc3\xa4/\xf0\x9f\x93\xac"},
	    {"\xff", NULL}, {"a\xc2\x85", NULL}, {"\xe2\x80\xa8", NULL}, {"1/2/3/4", "1/2/3/4"}, {"1/2/3/4/5", NULL},
	    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL}};
	struct house h;
	struct arena ARENA_CLEANUP a;

	(void)state;
	house_init(&h, "test");
	h.limits.mailbox_depth = 4;
	h.limits.mailbox_name_bytes = 40;
	arena_init(&a, 1u << 20);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct slice out;
		int err = store_name_normal(&h.limits, slice_z(cases[i].in), &a, &out);

		assert_int_equal(err == 0, cases[i].out != NULL);
		if (err == 0)
			assert_true(slice_eq(out, slice_z(cases[i].out)));
	}
}

static void
expect_names(struct store_account *a, const char *const *names, size_t n)
{
	struct arena ARENA_CLEANUP mem;
	struct store_mailbox *v;
	size_t found;

	arena_init(&mem, 1u << 20);
	assert_int_equal(store_mailboxes(a, &mem, &v, &found), 0);
	assert_int_equal(found, n);
	for (size_t i = 0; i < n; i++)
		assert_true(slice_eq(v[i].name, slice_z(names[i])));
}
#define EXPECT(a, ...) \
	expect_names( \
	    (a), (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static int
create(struct store_account *a, const char *name)
{
	return store_mailbox_create(a, slice_z(name), STORE_ROLE_NONE);
}

static int
rename_to(struct store_account *a, const char *from, const char *to)
{
	return store_mailbox_rename(a, slice_z(from), slice_z(to));
}

static void
body_tree(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct arena ARENA_CLEANUP mem;
	struct store_mailbox m;
	uint32_t validity;

	arena_init(&mem, 1u << 20);
	EXPECT(a, "INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash");
	assert_int_equal(create(a, "b/c/d"), 0);
	assert_int_equal(create(a, "b"), ERR_EXISTS);
	assert_int_equal(create(a, "inbox"), ERR_EXISTS);
	assert_int_equal(store_mailbox_create(a, SLICE("Two"), STORE_ROLE_SENT), ERR_CONFLICT);
	EXPECT(a, "INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash", "b", "b/c", "b/c/d");
	assert_int_equal(store_mailbox(a, SLICE("b/c"), &mem, &m), 0);
	assert_true(m.has_children && m.selectable && !m.subscribed);
	validity = m.uidvalidity;
	(void)append_ok(a, "b/c", MAIL, 0);
	assert_int_equal(store_append_check(a, SLICE("b/c")), 0);
	assert_int_equal(store_mailbox_delete(a, SLICE("b/c")), 0); /* stays for its child */
	assert_int_equal(store_append_check(a, SLICE("b/c")), ERR_NOTFOUND);
	assert_int_equal(store_mailbox_delete(a, SLICE("b/c")), ERR_DENIED);
	assert_int_equal(store_mailbox(a, SLICE("b/c"), &mem, &m), 0);
	assert_false(m.selectable);
	assert_int_equal(create(a, "b/c"), 0);
	assert_int_equal(store_mailbox(a, SLICE("b/c"), &mem, &m), 0);
	assert_true(m.selectable && m.messages == 0 && m.uidvalidity > validity);
	assert_int_equal(store_mailbox_delete(a, SLICE("b/c")), 0);
	assert_int_equal(store_mailbox_delete(a, SLICE("b/c/d")), 0); /* and takes the empty name with it */
	EXPECT(a, "INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash", "b");
	assert_int_equal(store_mailbox_delete(a, SLICE("INBOX")), ERR_DENIED);
	assert_int_equal(store_mailbox_delete(a, SLICE("None")), ERR_NOTFOUND);
	assert_int_equal(store_mailbox(a, SLICE("b"), &mem, &m), 0);
	validity = m.uidvalidity;
	assert_int_equal(store_mailbox_delete(a, SLICE("b")), 0);
	assert_int_equal(create(a, "b"), 0);
	assert_int_equal(store_mailbox(a, SLICE("b"), &mem, &m), 0);
	assert_true(m.uidvalidity > validity);
	store_account_put(&a);
}

static void
body_rename(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct arena ARENA_CLEANUP mem;
	struct store_mailbox m;
	struct store_view *v, *inbox;

	arena_init(&mem, 1u << 20);
	assert_int_equal(create(a, "x/y/z"), 0);
	(void)append_ok(a, "x/y", MAIL, STORE_SEEN);
	v = open_view(a, "x/y");
	assert_int_equal(rename_to(a, "x", "x/q"), ERR_INVALID);
	assert_int_equal(rename_to(a, "x", "Sent"), ERR_EXISTS);
	assert_int_equal(rename_to(a, "none", "q"), ERR_NOTFOUND);
	assert_int_equal(rename_to(a, "x", "new/place"), 0);
	EXPECT(a, "INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash", "new", "new/place", "new/place/y",
	    "new/place/y/z");
	assert_int_equal(store_view_next(v, true).kind, STORE_EVENT_RENAMED);
	assert_true(slice_eq(store_view_name(v), SLICE("new/place/y")));
	assert_int_equal(store_view_count(v), 1);
	assert_int_equal(store_mailbox_delete(a, SLICE("new/place/y")), 0);
	assert_int_equal(store_view_next(v, true).kind, STORE_EVENT_GONE);
	assert_true(store_view_gone(v));
	store_view_close(&v);
	assert_int_equal(rename_to(a, "Sent", "Gesendet"), 0);
	assert_int_equal(store_mailbox(a, SLICE("Gesendet"), &mem, &m), 0);
	assert_int_equal(m.role, STORE_ROLE_SENT);
	/* INBOX stays; its messages move. */
	for (uint64_t i = 1; i <= 3; i++)
		deliver_ok(a, i, MAIL);
	inbox = open_view(a, "INBOX");
	assert_int_equal(rename_to(a, "INBOX", "Old"), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(store_view_next(inbox, true).kind, STORE_EVENT_EXPUNGE);
	assert_int_equal(store_view_next(inbox, true).kind, STORE_EVENT_NONE);
	store_view_close(&inbox);
	assert_int_equal(store_mailbox(a, SLICE("Old"), &mem, &m), 0);
	assert_int_equal(m.messages, 3);
	assert_int_equal(store_mailbox(a, SLICE("INBOX"), &mem, &m), 0);
	assert_int_equal(m.messages, 0);
	assert_int_equal(m.uidnext, 4);
	store_account_put(&a);
}

static void
body_subscriptions(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct arena ARENA_CLEANUP mem;
	struct slice_list l;

	arena_init(&mem, 1u << 20);
	assert_int_equal(store_subscribe(a, SLICE("Later"), true), 0);
	assert_int_equal(store_subscribe(a, SLICE("Later"), true), 0);
	assert_int_equal(store_subscribe(a, SLICE("Junk"), false), 0);
	assert_int_equal(store_subscriptions(a, &mem, &l), 0);
	assert_int_equal(l.n, 6);
	assert_true(slice_eq(l.v[0], SLICE("INBOX")));
	assert_true(slice_eq(l.v[3], SLICE("Later")));
	store_account_put(&a);
}

static void
body_limits(struct place *p)
{
	struct store_account *a = make_account(p, "01A");

	assert_int_equal(create(a, "one"), 0);
	assert_int_equal(create(a, "two/three"), ERR_LIMIT);
	assert_int_equal(create(a, "two"), 0);
	assert_int_equal(create(a, "three"), ERR_LIMIT);
	store_account_put(&a);
}

/* ---- messages ------------------------------------------------------------------------------------------------- */

static void
body_copy(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct store_view *v, *w;
	struct arena ARENA_CLEANUP mem;
	struct store_copied c;
	struct store_usage u;
	struct slice keyword = SLICE("$Label"), names[2];
	struct store_flag_change f = {
	    .op = STORE_FLAGS_ADD, .flags = STORE_FLAGGED, .keywords = {&keyword, 1}, .unchanged_since = UINT64_MAX};
	uint32_t uids[] = {1, 2, 7};
	struct store_entry e, o;

	arena_init(&mem, 1u << 20);
	for (uint64_t i = 1; i <= 3; i++)
		deliver_ok(a, i, MAIL);
	v = open_view(a, "INBOX");
	w = open_view(a, "Archive");
	assert_int_equal(store_flags(v, uids, 1, &f, NULL), 0);
	assert_int_equal(store_copy(v, uids, 3, SLICE("Nowhere"), false, &mem, &c), ERR_NOTFOUND);
	assert_int_equal(store_copy(v, uids, 3, SLICE("Archive"), false, &mem, &c), 0);
	assert_int_equal(c.n, 2);
	assert_int_equal(c.source[1], 2);
	assert_int_equal(c.target[1], 2);
	assert_int_equal(c.uidvalidity, store_view_uidvalidity(w));
	assert_int_equal(store_view_next(w, true).kind, STORE_EVENT_EXISTS);
	e = store_view_at(w, 1);
	o = store_view_at(v, 1);
	assert_int_equal(e.email, o.email); /* the same email */
	assert_int_equal(e.flags, STORE_FLAGGED);
	assert_int_equal(e.internal_s, o.internal_s);
	assert_int_equal(store_view_keywords(w, &e, names, 2), 1);
	assert_int_equal(store_account_usage(a, &u), 0);
	assert_int_equal(u.messages, 5);
	assert_int_equal(u.bytes, 3 * (sizeof(MAIL) - 1 + 17)); /* each email once */
	/* Expunging one placement leaves the other. */
	assert_int_equal(store_expunge(v, uids, 1, false), 0);
	assert_int_equal(store_account_usage(a, &u), 0);
	assert_int_equal(u.bytes, 3 * (sizeof(MAIL) - 1 + 17));
	assert_int_equal(store_expunge(w, uids, 1, false), 0);
	assert_int_equal(store_account_usage(a, &u), 0);
	assert_int_equal(u.bytes, 2 * (sizeof(MAIL) - 1 + 17));
	/* Moving. */
	assert_int_equal(store_copy(v, (const uint32_t[]){2, 3}, 2, SLICE("Archive"), true, &mem, &c), 0);
	assert_int_equal(c.n, 2);
	while (store_view_next(v, true).kind != STORE_EVENT_NONE)
		;
	assert_int_equal(store_view_count(v), 0);
	while (store_view_next(w, true).kind != STORE_EVENT_NONE)
		;
	assert_int_equal(store_view_count(w), 3);
	store_view_close(&v);
	store_view_close(&w);
	store_account_put(&a);
}

static void
body_append(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct store_upload *u[2], *big;
	struct store_append v[2] = {{.internal_s = INT64_MIN}, {.internal_s = -100000}};
	struct slice keyword = SLICE("One");
	struct store_copied c;
	struct store_view *view;
	struct store_entry e;
	struct store_body *b;
	struct slice raw;
	struct arena ARENA_CLEANUP mem;
	static uint8_t block[300000];

	arena_init(&mem, 1u << 20);
	memset(block, 'x', sizeof(block));
	block[0] = 0;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(store_upload_new(a, 10u << 20, &u[i]), 0);
		v[i].upload = u[i];
	}
	assert_int_equal(store_upload_write(u[0], SLICE(MAIL)), 0);
	for (int i = 0; i < 5; i++) /* this one becomes a file */
		assert_int_equal(store_upload_write(u[1], slice_of(block, sizeof(block))), 0);
	v[0].keywords = (struct slice_list){&keyword, 1};
	assert_int_equal(store_append(a, NULL, SLICE("Nowhere"), v, 1, &mem, &c), ERR_NOTFOUND);
	assert_int_equal(store_append_check(a, SLICE("Nowhere")), ERR_NOTFOUND);
	assert_int_equal(store_append_check(a, SLICE("a//b")), ERR_NOTFOUND);
	for (int i = 0; i < 2; i++) /* looked up, and known */
		assert_int_equal(store_append_check(a, SLICE("Sent")), 0);
	assert_int_equal(store_append(a, NULL, SLICE("Sent"), v, 2, &mem, &c), 0);
	assert_int_equal(c.n, 2);
	assert_int_equal(c.target[1], 2);
	for (int i = 0; i < 2; i++)
		store_upload_free(&u[i]);
	assert_int_equal(store_upload_new(a, 10, &big), 0);
	assert_int_equal(store_upload_write(big, SLICE("12345678901")), ERR_LIMIT);
	store_upload_free(&big);
	assert_int_equal(store_upload_new(a, 10u << 20, &big), 0); /* given up half way */
	for (int i = 0; i < 3; i++)
		assert_int_equal(store_upload_write(big, slice_of(block, sizeof(block))), 0);
	store_upload_free(&big);
	view = open_view(a, "Sent");
	e = store_view_at(view, 2);
	assert_int_equal(e.internal_s, -100000);
	assert_int_equal(store_body_open(a, e.email, &b), 0);
	assert_int_equal(store_body_raw(b, &raw), 0);
	assert_int_equal(raw.n, 5 * sizeof(block));
	for (size_t i = 0; i < 5; i++)
		assert_memory_equal(slice_from(raw, i * sizeof(block)).p, block, sizeof(block));
	store_body_close(&b);
	e = store_view_at(view, 1);
	assert_true(store_view_has_keyword(view, &e, SLICE("one")));
	store_view_close(&view);
	store_account_put(&a);
}

static int
match(void *arg, const struct store_candidate *c)
{
	return slice_find(c->raw, *(struct slice *)arg) != SLICE_NONE;
}

static int
match_fails(void *arg, const struct store_candidate *c)
{
	(void)arg;
	return c->uid == 2 ? ERR_UNSUPPORTED : 0;
}

static void
body_search(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct store_view *v;
	enum { N = 400 };
	uint32_t uids[N];
	bool hits[N];
	struct slice needle = SLICE("needle"), cache = SLICE("kept");
	struct store_fetched f = {.uid = 7};
	struct arena ARENA_CLEANUP mem;
	size_t n = 0, done;

	arena_init(&mem, 1u << 20);
	for (uint64_t i = 1; i <= N; i++) {
		uids[i - 1] = (uint32_t)i;
		deliver_ok(a, i,
		    i % 50 == 0        ? "Subject: a\r\n\r\nneedle\r\n"
			: i % 100 == 7 ? "Subject: needle\r\n\r\n\r\n"
				       : MAIL);
	}
	v = open_view(a, "INBOX");
	assert_int_equal(store_expunge(v, (const uint32_t[]){50}, 1, false), 0);
	assert_int_equal(store_search(v, uids, N, false, match, &needle, hits), 0);
	for (size_t i = 0; i < N; i++)
		n += hits[i];
	assert_int_equal(n, 11);
	assert_false(hits[49]);
	assert_true(hits[99]);
	assert_int_equal(store_search(v, uids, N, true, match, &needle, hits), 0);
	n = 0;
	for (size_t i = 0; i < N; i++)
		n += hits[i];
	assert_int_equal(n, 4);
	assert_int_equal(store_search(v, uids, N, false, match_fails, NULL, hits), ERR_UNSUPPORTED);
	/* What is kept with an email. */
	assert_int_equal(store_cache_put(a, store_view_at(v, 7).email, cache), 0);
	assert_int_equal(store_cache_put(a, 12345, cache), 0);
	assert_int_equal(store_fetch(v, &f, 1, STORE_WANT_CACHE, &mem, &done), 0);
	assert_true(slice_eq(f.cache, cache));
	store_view_close(&v);
	store_account_put(&a);
}

/* 10,000 messages: the batches of an arena, sums, deleting the mailbox. */
static void
body_many(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct store_view *v;
	enum { N = 10000 };
	static uint32_t uids[N];
	static struct store_fetched f[N];
	struct arena ARENA_CLEANUP mem;
	struct store_copied c;
	struct store_mailbox m;
	struct store_flag_change seen = {.op = STORE_FLAGS_ADD, .flags = STORE_SEEN, .unchanged_since = UINT64_MAX};
	size_t at = 0, done, batches = 0;

	arena_init(&mem, 1u << 20);
	assert_int_equal(create(a, "Many"), 0);
	(void)append_ok(a, "Many", MAIL, 0);
	v = open_view(a, "Many");
	for (size_t n = 1; n < N; n = store_view_count(v)) {
		for (size_t i = 0; i < n; i++)
			uids[i] = store_view_at(v, i + 1).uid;
		assert_int_equal(store_copy(v, uids, n * 2 > N ? N - n : n, SLICE("Many"), false, &mem, &c), 0);
		while (store_view_next(v, true).kind != STORE_EVENT_NONE)
			;
		arena_reset(&mem);
	}
	for (size_t i = 0; i < N; i++)
		f[i].uid = uids[i] = store_view_at(v, i + 1).uid;
	assert_int_equal(store_flags(v, uids, N, &seen, NULL), 0);
	arena_free(&mem);
	arena_init(&mem, 65536);
	for (; at < N; at += done, batches++) {
		assert_int_equal(store_fetch(v, f + at, N - at, STORE_WANT_RAW, &mem, &done), 0);
		assert_true(done > 0);
		for (size_t i = at; i < at + done; i++)
			assert_true(slice_eq(f[i].raw, SLICE(MAIL)));
		arena_reset(&mem);
	}
	assert_true(batches > 3);
	arena_free(&mem);
	arena_init(&mem, 1u << 20);
	assert_int_equal(store_mailbox(a, SLICE("Many"), &mem, &m), 0);
	assert_int_equal(m.messages, N);
	assert_int_equal(m.unseen, 0);
	store_view_close(&v);
	assert_int_equal(store_mailbox_delete(a, SLICE("Many")), 0);
	store_account_put(&a);
}

#define TEST(name) \
	static void test_##name(void **state) \
	{ \
		(void)state; \
		with_place(body_##name); \
	}
TEST(tree)
TEST(rename)
TEST(subscriptions)
TEST(copy)
TEST(append)
TEST(search)
TEST(many)

static void
test_limits(void **state)
{
	struct place p;

	(void)state;
	place_init(&p);
	p.house.limits.mailboxes = 8;
	place_run(&p, body_limits);
	place_free(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_tree),
	    cmocka_unit_test(test_rename),
	    cmocka_unit_test(test_subscriptions),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_copy),
	    cmocka_unit_test(test_append),
	    cmocka_unit_test(test_search),
	    cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
