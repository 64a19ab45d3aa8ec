/* date_test.c: dates of mail and of IMAP. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "message/date.h"

#define NONE INT64_MIN

static const struct {
	const char *in;
	int64_t epoch_s;
	int offset_min;
	bool known;
} rows[] = {
    {"Sun, 22 Nov 2026 02:42:26 +0000", 1795315346, 0, true},
    {"Sun, 22 Nov 2026 03:42:26 +0100 (CET)", 1795315346, 60, true},
    {"22 Nov 2026 02:42 -0000", 1795315320, 0, false},
    {" Sun,22 Nov 2026 02:42:26 GMT", 1795315346, 0, true},
    {"Sat, 21 Nov 2026 21:42:26 EST", 1795315346, -300, true},
    {"Sat, 21 Nov 2026 21:42:26 \"EST\"", 1795315346, -300, true},
    {"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", 880127706, -360, true},
    {"21 Nov 97 09:55:06 GMT", 880106106, 0, true},
    {"21 Nov 097 09:55:06 GMT", 880106106, 0, true},
    {"Fri, 21-Nov-1997 09:55:06 Z", 880106106, 0, true},
    {"Fri Nov 21 09:55:06 1997", 880106106, 0, false},
    {"Fri Nov 21 09:55:06 EST 1997", 880124106, -300, true},
    {"1 November 2026", 1793491200, 0, false},
    {"2026-11-22T02:42:26Z", 1795315346, 0, true},
    {"2026-11-22 02:42:26.123+01:00", 1795311746, 60, true},
    {"22 Nov 2026 2:42:26 PM +0000", 1795358546, 0, true},
    {"22 Nov 2026 12:00:00 AM", 1795305600, 0, false},
    {"22 Nov 2026 02:42:26 K", 1795315346, 0, false},
    {"22 Nov 2026 02:42:26 +9999", 1795315346, 0, false},
    {"22 Nov 2026 02:42:26 GMT+0200", 1795308146, 120, true},
    {"31 Dec 2016 23:59:60 +0000", 1483228800, 0, true},
    {"22 Nov 2026 99:99:99", 1795305600, 0, false},
    {"1 Jan 1969 00:00:00 +0000", -31536000, 0, true},
    {"Wed, 01 May 102 08:40:01 +0800", 1020213601, 480, true},
    {"Wed, 01 May 0102 08:40:01 +0800", NONE, 0, false},
    {"31 Dec 1899 23:59:59 +0000", NONE, 0, false},
    {"1 Jan 1900 00:00:00 +0000", -2208988800, 0, true},
    {"0001-01-01T00:00:00Z", NONE, 0, false},
    {"", NONE, 0, false},
    {"never", NONE, 0, false},
    {"Nov 2026", NONE, 0, false},
    {"32 Nov 2026", NONE, 0, false},
    {"0 Nov 2026", NONE, 0, false},
    {"(Sun, 22 Nov 2026 02:42:26 +0000", NONE, 0, false},
    {"99999999999999999999 Nov 99999999999", NONE, 0, false},
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct message_date d = {0};
		int err = date_parse(slice_z(rows[i].in), &d);

		if (err != (rows[i].epoch_s == NONE ? ERR_SYNTAX : 0) || (err == 0 && d.epoch_s != rows[i].epoch_s))
			print_message("%s: %d %lld\n", rows[i].in, err, (long long)d.epoch_s);
		assert_int_equal(err, rows[i].epoch_s == NONE ? ERR_SYNTAX : 0);
		if (err != 0)
			continue;
		assert_int_equal(d.epoch_s, rows[i].epoch_s);
		assert_int_equal(d.offset_min, rows[i].offset_min);
		assert_int_equal(d.zone_known, rows[i].known);
	}
}

static void
check(struct buf *b, const char *text)
{
	assert_true(slice_eq(buf_slice(b), slice_z(text)));
	buf_reset(b);
}

static void
test_printing(void **state)
{
	BUF_CLEANUP struct buf b;

	(void)state;
	buf_init(&b, 100);
	date_put(&b, 1795315346, 0);
	check(&b, "Sun, 22 Nov 2026 02:42:26 +0000");
	date_put(&b, 1795315346, -330);
	check(&b, "Sat, 21 Nov 2026 21:12:26 -0530");
	date_put_imap(&b, 1793595746, 60);
	check(&b, " 2-Nov-2026 06:02:26 +0100");
}

static void
test_imap(void **state)
{
	static const char *const bad[] = {"", "1-Nov-2026", "01-Nov-2026 02:42:26", "01-Nov-2026 02:42:26 0000",
	    "01-Nov-2026 24:42:26 +0000", "01-Foo-2026 02:42:26 +0000", "32-Nov-2026 02:42:26 +0000",
	    "01-Nov-26 02:42:26 +0000", "01-Nov-2026 02:42:26 +000a", "01-Nov-2026 02:42:26 +0000 ",
	    "001-Nov-2026 02:42:26 +0000", "01-Nov-2026 2:42:26 +0000", "01-Nov-2026 02:42:26 +0060",
	    "01-Nov-2026 02:42:26 +2400"};
	struct message_date d;
	int64_t day;

	(void)state;
	assert_int_equal(date_parse_imap(SLICE("22-Nov-2026 02:42:26 +0000"), &d), 0);
	assert_int_equal(d.epoch_s, 1795315346);
	assert_int_equal(date_parse_imap(SLICE(" 2-nov-2026 06:02:26 +0100"), &d), 0);
	assert_int_equal(d.epoch_s, 1793595746);
	assert_int_equal(d.offset_min, 60);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(date_parse_imap(slice_z(bad[i]), &d), ERR_SYNTAX);
	assert_int_equal(date_parse_imap_day(SLICE("2-Jan-1970"), &day), 0);
	assert_int_equal(day, 1);
	assert_int_equal(date_parse_imap_day(SLICE("31-Dec-1969"), &day), 0);
	assert_int_equal(day, -1);
	assert_int_equal(date_parse_imap_day(SLICE("2-Jan-1970x"), &day), ERR_SYNTAX);
	/* SENTON looks at the day as written, whatever the zone says. */
	assert_int_equal(date_parse(SLICE("1 Jan 1970 23:30:00 -0500"), &d), 0);
	assert_int_equal(date_day(&d), 0);
	assert_int_equal(date_parse(SLICE("1 Jan 1970 00:30:00 +0500"), &d), 0);
	assert_int_equal(date_day(&d), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_printing),
	    cmocka_unit_test(test_imap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
