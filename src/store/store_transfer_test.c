/* Copies between accounts: what is the same, what is counted where, and what is taken back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/store_testing.h"

#define MAIL "Message-ID: <one@example.test>\r\nSubject: Hello\r\n\r\nText\r\n"

struct pair {
	struct arena mem;
	struct store_account *a, *b;
	struct store_view *from;
};

static const struct store_filter all = {STORE_FLAGS_ALL, true};

static void
pair_begin(struct pair *t, struct place *p)
{
	*t = (struct pair){.a = make_account(p, "01A"), .b = make_account(p, "01B")};
	arena_init(&t->mem, 64u << 20);
}

static void
pair_end(struct pair *t)
{
	store_view_close(&t->from);
	store_account_put(&t->a);
	store_account_put(&t->b);
	arena_free(&t->mem);
}

static struct store_fetched
fetch_one(struct pair *t, struct store_account *acc, const char *mailbox, uint32_t uid)
{
	struct store_view *v = open_view(acc, mailbox);
	struct store_fetched f = {.uid = uid};
	size_t done;

	assert_int_equal(store_fetch(v, &f, 1, STORE_WANT_IDS | STORE_WANT_RAW, &t->mem, &done), 0);
	store_view_close(&v);
	return f;
}

static int64_t
used(struct store_account *a)
{
	struct store_usage u;

	assert_int_equal(store_account_usage(a, &u), 0);
	return u.bytes;
}

static void
body_same(struct place *p)
{
	static const struct store_filter some = {STORE_SEEN, false};
	const uint32_t one = 1, two[] = {1, 2};
	struct store_fetched f, g;
	struct store_copied c;
	struct store_view *v;
	struct pair t;

	pair_begin(&t, p);
	(void)append_ok(t.a, "INBOX", MAIL, STORE_SEEN | STORE_FLAGGED);
	t.from = open_view(t.a, "INBOX");
	assert_int_equal(store_transfer(t.from, &one, 1, t.b, SLICE("Archive"), &all, false, &t.mem, &c), 0);
	assert_true(c.n == 1 && c.source[0] == 1 && c.target[0] == 1);
	f = fetch_one(&t, t.a, "INBOX", 1);
	g = fetch_one(&t, t.b, "Archive", 1);
	assert_true(g.found && slice_eq(f.raw, g.raw));
	assert_memory_equal(f.email_id, g.email_id, STORE_ID_BYTES);
	assert_memory_equal(f.thread_id, g.thread_id, STORE_ID_BYTES);
	assert_int_equal(used(t.b), (int64_t)sizeof(MAIL) - 1);
	/* Once more: another placement, kept once. With fewer flags. */
	assert_int_equal(store_transfer(t.from, &one, 1, t.b, SLICE("Archive"), &some, false, &t.mem, &c), 0);
	assert_int_equal(used(t.b), (int64_t)sizeof(MAIL) - 1);
	v = open_view(t.b, "Archive");
	assert_int_equal(store_view_count(v), 2);
	assert_int_equal(store_view_at(v, 1).flags, STORE_SEEN | STORE_FLAGGED);
	assert_int_equal(store_view_at(v, 2).flags, STORE_SEEN);
	assert_int_equal(store_view_at(v, 2).internal_s, 1600000000);
	/* And back, both: the account they come from has them. */
	assert_int_equal(store_transfer(v, two, 2, t.a, SLICE("Trash"), &all, true, &t.mem, &c), 0);
	assert_int_equal(c.n, 2);
	assert_int_equal(used(t.a), (int64_t)sizeof(MAIL) - 1);
	assert_int_equal(used(t.b), 0);
	store_view_close(&v);
	g = fetch_one(&t, t.a, "Trash", 2);
	assert_memory_equal(f.email_id, g.email_id, STORE_ID_BYTES);
	assert_int_equal(f.email, g.email);
	pair_end(&t);
}

static void
test_same(void **state)
{
	(void)state;
	with_place(body_same);
}

/* Many, some as files, twice in one batch, with keywords; nobody else's flags. */
static void
body_many(struct place *p)
{
	struct slice words[] = {SLICE("$Work"), SLICE("later")};
	struct store_flag_change change = {
	    .op = STORE_FLAGS_ADD, .keywords = {words, 2}, .unchanged_since = UINT64_MAX};
	char *large = malloc(400000);
	uint32_t uids[300];
	struct store_copied c;
	struct store_view *v;
	struct slice got[4];
	struct store_entry e;
	struct pair t;

	assert_non_null(large);
	(void)snprintf(large, 400000, "Subject: large\r\n\r\n");
	memset(large + strlen(large), 'x', 399999 - strlen(large));
	large[399999] = 0;
	pair_begin(&t, p);
	for (uint32_t i = 0; i < 200; i++) {
		(void)append_ok(t.a, "INBOX", i % 20 == 7 ? large : MAIL, 0);
		uids[i] = i + 1;
	}
	t.from = open_view(t.a, "INBOX");
	assert_int_equal(store_copy(t.from, uids, 100, SLICE("INBOX"), false, &t.mem, &c), 0);
	while (store_view_next(t.from, true).kind != STORE_EVENT_NONE)
		;
	for (uint32_t i = 200; i < 300; i++)
		uids[i] = i + 1;
	assert_int_equal(store_flags(t.from, uids + 5, 1, &change, NULL), 0);
	assert_int_equal(store_transfer(t.from, uids, 300, t.b, SLICE("INBOX"), &all, false, &t.mem, &c), 0);
	assert_int_equal(c.n, 300);
	assert_int_equal(used(t.b), used(t.a));
	v = open_view(t.b, "INBOX");
	assert_int_equal(store_view_count(v), 300);
	e = store_view_at(v, 6);
	assert_int_equal(store_view_keywords(v, &e, got, 4), 2);
	assert_true(slice_eq(got[0], words[0]) || slice_eq(got[1], words[0]));
	store_view_close(&v);
	assert_int_equal(fetch_one(&t, t.b, "INBOX", 8).size, 399999);
	assert_true(fetch_one(&t, t.b, "INBOX", 8).large);
	/* A large one that is there already leaves no second file. */
	assert_int_equal(store_transfer(t.from, uids + 7, 1, t.b, SLICE("INBOX"), &all, false, &t.mem, &c), 0);
	assert_int_equal(used(t.b), used(t.a));
	free(large);
	pair_end(&t);
}

static void
test_many(void **state)
{
	(void)state;
	with_place(body_many);
}

/* What does not fit is taken back as a whole; a move leaves the messages where they are. */
static void
body_quota(struct place *p)
{
	struct store_mailbox m;
	struct store_copied c;
	uint32_t uids[100];
	char text[256];
	struct pair t;

	pair_begin(&t, p);
	for (uint32_t i = 0; i < 100; i++) {
		(void)snprintf(text, sizeof(text), "Subject: %u\r\n\r\n%0100u\r\n", i, i);
		(void)append_ok(t.a, "INBOX", text, 0);
		uids[i] = i + 1;
	}
	store_account_set_quota(t.b, 90 * 115);
	t.from = open_view(t.a, "INBOX");
	assert_int_equal(store_transfer(t.from, uids, 100, t.b, SLICE("INBOX"), &all, true, &t.mem, &c), ERR_QUOTA);
	assert_int_equal(store_mailbox(t.b, SLICE("INBOX"), &t.mem, &m), 0);
	assert_int_equal(m.messages, 0);
	assert_int_equal(used(t.b), 0);
	assert_int_equal(store_view_count(t.from), 100);
	assert_false(store_view_has_news(t.from));
	assert_int_equal(store_transfer(t.from, uids, 5, t.b, SLICE("nowhere"), &all, true, &t.mem, &c), ERR_NOTFOUND);
	store_account_set_quota(t.b, 0);
	assert_int_equal(store_transfer(t.from, uids, 100, t.b, SLICE("INBOX"), &all, true, &t.mem, &c), 0);
	assert_int_equal(store_mailbox(t.a, SLICE("INBOX"), &t.mem, &m), 0);
	assert_int_equal(m.messages, 0);
	assert_int_equal(used(t.a), 0);
	pair_end(&t);
	place_crash(p);
	pair_begin(&t, p);
	assert_int_equal(store_mailbox(t.b, SLICE("INBOX"), &t.mem, &m), 0);
	assert_int_equal(m.messages, 100);
	pair_end(&t);
}

static void
test_quota(void **state)
{
	(void)state;
	with_place(body_quota);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_same),
	    cmocka_unit_test(test_many),
	    cmocka_unit_test(test_quota),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
