/* The store as a whole: accounts, what is kept over ends of all kinds, handles, damage. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/store_testing.h"

#include <fcntl.h>

#define MAIL "Message-ID: <one@example.test>\r\nSubject: Hello\r\n\r\nText\r\n"

static void
body_accounts(struct place *p)
{
	struct store_account *a = NULL;
	struct store_usage u;
	struct store_counters n;

	assert_int_equal(store_account_get(p->store, SLICE("01NOBODY"), &a), ERR_NOTFOUND);
	assert_null(a);
	assert_int_equal(store_account_create(p->store, SLICE("../evil")), ERR_INVALID);
	assert_int_equal(store_account_create(p->store, SLICE("")), ERR_INVALID);
	assert_int_equal(store_account_create(p->store, SLICE("-x")), ERR_INVALID);
	a = make_account(p, "01A");
	store_account_put(&a);
	a = make_account(p, "01A"); /* again: fine */
	deliver_ok(a, 1, MAIL);
	assert_int_equal(store_account_usage(a, &u), 0);
	assert_int_equal(u.messages, 1);
	assert_int_equal(u.bytes, sizeof(MAIL) - 1 + 17);
	store_account_put(&a);
	assert_int_equal(store_account_remove(p->store, SLICE("01A")), 0);
	assert_int_equal(store_account_remove(p->store, SLICE("01A")), 0);
	assert_int_equal(store_account_get(p->store, SLICE("01A"), &a), ERR_NOTFOUND);
	store_counters(p->store, &n);
	assert_int_equal(n.accounts, 0);
	assert_int_equal(n.handles, 0);
	a = make_account(p, "01A"); /* afresh */
	assert_int_equal(store_account_usage(a, &u), 0);
	assert_int_equal(u.messages, 0);
	store_account_put(&a);
}

static void
body_remove_in_use(struct place *p)
{
	struct store_account *a = make_account(p, "01A"), *b;
	struct store_view *v = open_view(a, "INBOX");
	struct store_usage u;
	uint32_t uid = 1;

	assert_int_equal(store_account_remove(p->store, SLICE("01A")), 0);
	assert_int_equal(store_view_next(v, true).kind, STORE_EVENT_GONE);
	assert_int_equal(store_view_next(v, true).kind, STORE_EVENT_NONE);
	assert_int_equal(store_expunge(v, &uid, 1, false), ERR_NOTFOUND);
	assert_int_equal(store_account_usage(a, &u), ERR_NOTFOUND);
	b = make_account(p, "01A");
	assert_ptr_not_equal(a, b);
	deliver_ok(b, 1, MAIL);
	store_view_close(&v);
	store_account_put(&a);
	store_account_put(&b);
}

static void
body_clean_and_unclean(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct store_mailbox m;
	struct arena ARENA_CLEANUP mem;
	uint32_t validity;
	uint64_t modseq;

	arena_init(&mem, 1u << 20);
	for (uint64_t i = 1; i <= 5; i++)
		deliver_ok(a, i, MAIL);
	assert_int_equal(store_mailbox(a, SLICE("Inbox"), &mem, &m), 0);
	assert_int_equal(m.uidnext, 6);
	validity = m.uidvalidity;
	modseq = m.highestmodseq;
	store_account_put(&a);

	place_restart(p);
	a = get_account(p, "01A");
	assert_int_equal(store_mailbox(a, SLICE("INBOX"), &mem, &m), 0);
	assert_int_equal(m.uidnext, 6);
	assert_int_equal(m.highestmodseq, modseq);
	deliver_ok(a, 6, MAIL);
	store_account_put(&a);

	place_crash(p);
	a = get_account(p, "01A");
	assert_int_equal(store_mailbox(a, SLICE("INBOX"), &mem, &m), 0);
	assert_int_equal(m.uidnext, 7 + STORE_GAP_UID);
	assert_true(m.highestmodseq >= modseq + STORE_GAP_MODSEQ);
	assert_int_equal(m.uidvalidity, validity);
	assert_int_equal(m.messages, 6);
	store_account_put(&a);
	a = get_account(p, "01A"); /* once is enough */
	assert_int_equal(store_mailbox(a, SLICE("INBOX"), &mem, &m), 0);
	assert_int_equal(m.uidnext, 7 + STORE_GAP_UID);
	store_account_put(&a);
}

static bool
reported(const struct place *p, uint64_t number)
{
	for (size_t i = 0; i + STORE_ID_BYTES <= p->durable.n; i += STORE_ID_BYTES)
		if (memcmp(p->durable.p + i, &number, sizeof(number)) == 0)
			return true;
	return false;
}

static void
body_durable(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	enum store_delivered how;
	uint64_t one = 1;
	uint8_t id[STORE_ID_BYTES] = {0};

	deliver_ok(a, 1, MAIL);
	deliver_ok(a, 2, MAIL);
	assert_false(reported(p, 1));
	assert_int_equal(fiber_sleep(p->loop, 300), 0);
	assert_true(reported(p, 1));
	assert_true(reported(p, 2));
	assert_int_equal(p->durable.n, 2 * STORE_ID_BYTES);
	buf_reset(&p->durable);
	/* The clerk lost our report: it delivers again and is told again. */
	assert_int_equal(deliver_to(a, 1, "", SLICE(MAIL), &how), 0);
	assert_int_equal(how, STORE_DUPLICATE);
	assert_int_equal(store_sync(p->store), 0);
	assert_true(reported(p, 1));
	memcpy(id, &one, sizeof(one));
	assert_int_equal(store_forget(a, SLICE_LIST(slice_of(id, sizeof(id)), SLICE("short"))), 0);
	assert_int_equal(deliver_to(a, 1, "", SLICE(MAIL), &how), 0);
	assert_int_equal(how, STORE_DELIVERED); /* forgotten is forgotten */
	store_account_put(&a);
}

static void
body_handles(struct place *p)
{
	struct store_account *a[10];
	struct store_counters n;
	struct store_usage u;
	char id[16];

	p->house.limits.search_delay_ms = 10;
	p->house.limits.search_handles = 1;
	for (int i = 0; i < 10; i++) {
		(void)snprintf(id, sizeof(id), "01A%d", i);
		a[i] = make_account(p, id);
	}
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < 10; i++)
			deliver_ok(a[i], (uint64_t)(round + 1), MAIL);
	store_counters(p->store, &n);
	assert_in_range(n.handles, 1, 3);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(store_account_usage(a[i], &u), 0);
		assert_int_equal(u.messages, 3);
	}
	assert_int_equal(store_sync(p->store), 0);
	assert_int_equal(p->durable.n, 30 * STORE_ID_BYTES);
	for (int i = 0; i < 10; i++)
		store_account_put(&a[i]);
	/* Those that wait for their search index, until it has them; then those with open handles, and an open index. */
	for (int i = 0; i < 6000 && (n.indexed < 30 || n.accounts > 4); i++) {
		assert_int_equal(fiber_sleep(p->loop, 20), 0);
		store_counters(p->store, &n);
	}
	assert_in_range(n.accounts, 1, 4);
}

static void
body_damage(struct place *p)
{
	struct store_account *a = make_account(p, "01A"), *b = make_account(p, "01B");
	char path[STORE_PATH_MAX];
	enum store_delivered how;
	uint8_t junk[8192];
	int fd;

	deliver_ok(a, 1, MAIL);
	deliver_ok(b, 1, MAIL);
	store_account_put(&a);
	store_account_put(&b);
	place_restart(p);
	assert_int_equal(store_path(p->store, SLICE("01A"), "/mail.db", path), 0);
	memset(junk, 0x5a, sizeof(junk));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, junk, sizeof(junk), 0), sizeof(junk));
	close(fd);
	a = get_account(p, "01A");
	b = get_account(p, "01B");
	assert_int_equal(deliver_to(a, 2, "", SLICE(MAIL), &how), ERR_DAMAGED);
	assert_int_equal(deliver_to(a, 2, "", SLICE(MAIL), &how), ERR_DAMAGED);
	deliver_ok(b, 2, MAIL); /* others are well */
	assert_false(store_has_failed(p->store));
	store_account_put(&a);
	store_account_put(&b);
	assert_int_equal(store_account_remove(p->store, SLICE("01A")), 0);
}

static void
unlink_in(struct place *p, const char *tail)
{
	char path[STORE_PATH_MAX];

	assert_int_equal(store_path(p->store, SLICE("01A"), tail, path), 0);
	assert_int_equal(remove(path), 0);
}

/* A database that is lost is not quietly made anew; neither from nothing nor from an empty file. */
static void
body_lost(struct place *p)
{
	struct store_account *a = make_account(p, "01A"), *again = NULL;
	char path[STORE_PATH_MAX], aside[STORE_PATH_MAX];
	enum store_delivered how;
	int fd;

	deliver_ok(a, 1, MAIL);
	store_account_put(&a);
	place_restart(p);
	assert_int_equal(store_path(p->store, SLICE("01A"), "/mail.db", path), 0);
	assert_int_equal(store_path(p->store, SLICE("01A"), "/aside", aside), 0);
	unlink_in(p, "/mail.db-wal");
	assert_int_equal(rename(path, aside), 0);
	assert_int_equal(store_account_get(p->store, SLICE("01A"), &again), ERR_DAMAGED);
	assert_null(again);
	assert_int_equal(store_account_create(p->store, SLICE("01A")), ERR_DAMAGED);
	assert_int_not_equal(access(path, F_OK), 0);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	a = get_account(p, "01A");
	assert_int_equal(deliver_to(a, 2, "", SLICE(MAIL), &how), ERR_DAMAGED);
	store_account_put(&a);
	assert_int_equal(store_account_create(p->store, SLICE("01A")), ERR_DAMAGED);
	/* the backup comes back */
	assert_int_equal(store_close(&p->store), 0);
	(void)snprintf(path + strlen(path), 8, "-wal");
	(void)unlink(path);
	path[strlen(path) - 4] = '\0';
	assert_int_equal(rename(aside, path), 0);
	place_open(p);
	a = get_account(p, "01A");
	assert_int_equal(deliver_to(a, 1, "", SLICE(MAIL), &how), 0);
	assert_int_equal(how, STORE_DUPLICATE);
	store_account_put(&a);
	/* a lost one can be removed, and made anew then */
	place_restart(p);
	unlink_in(p, "/mail.db");
	assert_int_equal(store_account_remove(p->store, SLICE("01A")), 0);
	assert_int_equal(store_account_get(p->store, SLICE("01A"), &again), ERR_NOTFOUND);
	a = make_account(p, "01A");
	deliver_ok(a, 1, MAIL);
	store_account_put(&a);
}

/* Making and removing an account, cut off at each step. */
static void
body_half_made(struct place *p)
{
	struct store_account *a = make_account(p, "01A"), *none = NULL;
	char blobs[STORE_PATH_MAX], removed[STORE_PATH_MAX];
	enum store_delivered how;

	deliver_ok(a, 1, MAIL);
	store_account_put(&a);
	assert_int_equal(store_path(p->store, SLICE("01A"), "/blobs", blobs), 0);
	assert_int_equal(store_path(p->store, SLICE("01A"), "/removed", removed), 0);
	/* all but the last step of making it: what is there stays */
	place_crash(p);
	unlink_in(p, "/blobs");
	assert_int_equal(store_account_get(p->store, SLICE("01A"), &none), ERR_NOTFOUND);
	a = make_account(p, "01A");
	assert_int_equal(deliver_to(a, 1, "", SLICE(MAIL), &how), 0);
	assert_int_equal(how, STORE_DUPLICATE);
	store_account_put(&a);
	/* only its folder was made */
	place_restart(p);
	unlink_in(p, "/blobs");
	unlink_in(p, "/mail.db-wal");
	unlink_in(p, "/mail.db");
	assert_int_equal(store_account_get(p->store, SLICE("01A"), &none), ERR_NOTFOUND);
	a = make_account(p, "01A");
	deliver_ok(a, 1, MAIL);
	store_account_put(&a);
	/* its removal had begun: nothing of it comes back */
	place_restart(p);
	assert_int_equal(rename(blobs, removed), 0);
	assert_int_equal(store_account_get(p->store, SLICE("01A"), &none), ERR_NOTFOUND);
	a = make_account(p, "01A");
	deliver_ok(a, 1, MAIL);
	store_account_put(&a);
	place_restart(p);
	assert_int_equal(rename(blobs, removed), 0);
	assert_int_equal(store_account_remove(p->store, SLICE("01A")), 0);
	*strrchr(removed, '/') = '\0';
	assert_int_not_equal(access(removed, F_OK), 0);
}

static void
body_quota(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	enum store_delivered how;

	store_account_set_quota(a, 200);
	deliver_ok(a, 1, MAIL);
	deliver_ok(a, 2, MAIL);
	assert_int_equal(deliver_to(a, 3, "", SLICE(MAIL), &how), ERR_QUOTA);
	store_account_put(&a);
	place_restart(p); /* it is remembered */
	a = get_account(p, "01A");
	assert_int_equal(deliver_to(a, 3, "", SLICE(MAIL), &how), ERR_QUOTA);
	store_account_set_quota(a, 0);
	deliver_ok(a, 3, MAIL); /* the refused one was not counted as delivered */
	store_account_put(&a);
}

/* Memory of an idle session: an account without a handle and a view of a small mailbox. */
static void
body_idle(struct place *p)
{
	enum { ACCOUNTS = 200 };
	struct store_account *a[ACCOUNTS];
	struct store_view *v[ACCOUNTS];
	struct store_counters n;
	size_t bytes = sizeof(struct store_account) + sizeof(struct store_box) + sizeof(struct store_view) +
	    10 * sizeof(struct message);
	char id[16];

	p->house.limits.search_delay_ms = 3600000; /* no index takes a handle meanwhile */
	for (int i = 0; i < ACCOUNTS; i++) {
		(void)snprintf(id, sizeof(id), "01A%d", i);
		a[i] = make_account(p, id);
		for (uint64_t m = 1; m <= 3; m++)
			deliver_ok(a[i], m, MAIL);
		v[i] = open_view(a[i], "INBOX");
	}
	store_counters(p->store, &n);
	assert_in_range(n.handles, 1, 3);
	assert_int_equal(n.views, ACCOUNTS);
	assert_true(bytes < 2000);
	for (int i = 0; i < ACCOUNTS; i++) {
		store_view_close(&v[i]);
		store_account_put(&a[i]);
	}
}

static void
test_accounts(void **state)
{
	(void)state;
	with_place(body_accounts);
	with_place(body_remove_in_use);
}

static void
test_clean_and_unclean(void **state)
{
	(void)state;
	with_place(body_clean_and_unclean);
}

static void
test_durable(void **state)
{
	(void)state;
	with_place(body_durable);
}

static void
test_handles(void **state)
{
	struct place p;

	(void)state;
	place_init(&p);
	p.house.limits.account_handles = 3;
	place_run(&p, body_handles);
	place_free(&p);
	place_init(&p);
	p.house.limits.account_handles = 3;
	place_run(&p, body_idle);
	place_free(&p);
}

static void
test_damage(void **state)
{
	(void)state;
	with_place(body_damage);
	with_place(body_lost);
	with_place(body_half_made);
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
	    cmocka_unit_test(test_accounts),
	    cmocka_unit_test(test_clean_and_unclean),
	    cmocka_unit_test(test_durable),
	    cmocka_unit_test(test_handles),
	    cmocka_unit_test(test_damage),
	    cmocka_unit_test(test_quota),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
