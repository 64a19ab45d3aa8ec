/* Accounts, deliveries, reading, views, changes: what a session sees. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/store_testing.h"

#define MAIL "Message-ID: <one@example.test>\r\nSubject: Hello\r\n\r\nText\r\n"
#define REPLY "Message-ID: <two@example.test>\r\nIn-Reply-To: <one@example.test>\r\nSubject: Re: Hello\r\n\r\nText\r\n"

static void
body_first(struct place *p)
{
	struct store_account *a = make_account(p, "01ACCOUNT");
	struct store_view *v;
	struct store_entry e;
	struct store_fetched f[1];
	struct arena ARENA_CLEANUP mem;
	size_t done;

	arena_init(&mem, 1u << 20);
	deliver_ok(a, 1, MAIL);
	v = open_view(a, "inbox");
	assert_int_equal(store_view_count(v), 1);
	assert_int_equal(store_view_recent(v), 1);
	e = store_view_at(v, 1);
	assert_int_equal(e.uid, 1);
	assert_int_equal(e.size, sizeof(MAIL) - 1 + 17);
	assert_true(e.recent);
	f[0].uid = 1;
	assert_int_equal(store_fetch(v, f, 1, STORE_WANT_RAW | STORE_WANT_IDS, &mem, &done), 0);
	assert_int_equal(done, 1);
	assert_true(f[0].found);
	assert_true(slice_eq(f[0].raw, SLICE("Return-Path: <>\r\n" MAIL)));
	assert_true(slice_eq(f[0].header, SLICE("Return-Path: <>\r\nMessage-ID: <one@example.test>\r\nSubject: Hello\r\n\r\n")));
	store_view_close(&v);
	store_account_put(&a);
}

static void
test_first(void **state)
{
	(void)state;
	with_place(body_first);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_first)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
