/* Modified UTF-7: the examples of RFC 3501 §5.1.3, round trips, and everything that must be refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "imap/imap_utf7.h"

static void
both_ways(const char *utf7, const char *utf8)
{
	struct buf BUF_CLEANUP out;

	buf_init(&out, 4096);
	assert_int_equal(imap_utf7_decode(slice_z(utf7), &out), 0);
	assert_true(slice_eq(buf_slice(&out), slice_z(utf8)));
	buf_reset(&out);
	assert_int_equal(imap_utf7_encode(slice_z(utf8), &out), 0);
	assert_true(slice_eq(buf_slice(&out), slice_z(utf7)));
}

static void
test_pairs(void **state)
{
	(void)state;
	both_ways("~peter/mail/&U,BTFw-/&ZeVnLIqe-",
	    "~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e");
	both_ways("", "");
	both_ways("INBOX", "INBOX");
	both_ways("&-", "&");
	both_ways("a&-b&-&-", "a&b&&");
	both_ways("Entw&APw-rfe", "Entw\xc3\xbcrfe");
	both_ways("&APw-&-", "\xc3\xbc&");
	both_ways("&2D3eAA-", "\xf0\x9f\x98\x80");
	both_ways("&AAE-", "\x01");
}

static void
test_refused(void **state)
{
	static const char *const bad[] = {"&", "&A", "&AP", "&APw", "&APw-&AOQ-", "&AGE-", "&AAA-", "&APx-", "&2D0-",
	    "&3gA-", "&2D0AYQ-", "\xc3\xbc", "a\tb", "&AP/-", "&APw=-", "&APwA-", "&/-", "&!", "&,", "&APwAAAAA-"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct buf BUF_CLEANUP out;

		buf_init(&out, 4096);
		if (imap_utf7_decode(slice_z(bad[i]), &out) != ERR_SYNTAX)
			fail_msg("%s was taken", bad[i]);
	}
}

static void
test_encode_invalid(void **state)
{
	struct buf BUF_CLEANUP out;

	(void)state;
	buf_init(&out, 16);
	assert_int_equal(imap_utf7_encode(SLICE("\xff"), &out), ERR_INVALID);
	assert_int_equal(imap_utf7_encode(SLICE("a\0b"), &out), ERR_INVALID);
	assert_int_equal(imap_utf7_encode(SLICE("12345678901234567890"), &out), ERR_LIMIT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_pairs),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_encode_invalid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
