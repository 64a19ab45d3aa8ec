/* The small words of the grammar, and that what is printed of a section is what was asked. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "imap/imap_parse.h"
#include "imap/imap_reply.h"

static struct arena arena;

static struct imap_lex
lex(const char *z)
{
	return imap_lex_of(slice_z(z), &arena, 50);
}

static void
test_strings(void **state)
{
	struct imap_lex x;

	(void)state;
	x = lex("atom]x \"q \\\"\\\\\" {3}\r\n\r\n) {2+}\r\nab NIL \"\xc3\xbc\"");
	assert_true(slice_eq(imap_lex_astring(&x), SLICE("atom]x")));
	imap_lex_space(&x);
	assert_true(slice_eq(imap_lex_astring(&x), SLICE("q \"\\")));
	imap_lex_space(&x);
	assert_true(slice_eq(imap_lex_astring(&x), SLICE("\r\n)")));
	imap_lex_space(&x);
	assert_true(slice_eq(imap_lex_string(&x), SLICE("ab")));
	imap_lex_space(&x);
	assert_true(slice_eq(imap_lex_astring(&x), SLICE("NIL")));
	imap_lex_space(&x);
	assert_true(slice_eq(imap_lex_astring(&x), SLICE("\xc3\xbc")));
	imap_lex_end(&x);
	assert_false(imap_lex_failed(&x));
}

static void
test_strings_refused(void **state)
{
	static const char *const bad[] = {"", "\"", "\"\\", "\"\\a\"", "\"a\rb\"", "{", "{}", "{3}", "{3}\r\nab",
	    "{-1}\r\n", "{1\r\na", "(", ")", "%", "{4294967296}\r\n", "\x80", "\x7f"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct imap_lex x = lex(bad[i]);

		(void)imap_lex_astring(&x);
		if (!imap_lex_failed(&x) || x.why == NULL)
			fail_msg("%s was taken", bad[i]);
	}
}

static void
test_dates(void **state)
{
	static const struct {
		const char *text;
		int64_t value;
	} dates[] = {{"1-Jan-1970", 0}, {"01-jan-1970", 0}, {"\"31-Dec-1969\"", -1}, {"29-Feb-2024", 19782},
	    {"31-Dec-9999", 2932896}},
	  times[] = {{"\" 1-Jan-1970 00:00:00 +0000\"", 0}, {"\"01-Jan-1970 01:30:00 +0130\"", 0},
	      {"\"31-Dec-1969 16:00:00 -0800\"", 0}};
	static const char *const bad[] = {"0-Jan-2020", "30-Feb-2024", "29-Feb-2023", "1-Jan-20", "1-Jen-2020",
	    "1 Jan 2020", "", "1-Jan-2020x", "\"1-Jan-2020"};
	static const char *const bad_times[] = {"01-Jan-1970 00:00:00 +0000", "\"1-Jan-1970 00:00:00 +0000\"",
	    "\"01-Jan-1970 24:00:00 +0000\"", "\"01-Jan-1970 00:00 +0000\"", "\"01-Jan-1970 00:00:00 UTC\"",
	    "\"01-Jan-1970 00:00:00 +0060\""};
	struct imap_lex x;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(dates); i++) {
		x = lex(dates[i].text);
		assert_int_equal(imap_lex_date(&x), dates[i].value);
		imap_lex_end(&x);
		assert_false(imap_lex_failed(&x));
	}
	for (size_t i = 0; i < COUNT_OF(times); i++) {
		x = lex(times[i].text);
		assert_int_equal(imap_lex_date_time(&x), times[i].value);
		imap_lex_end(&x);
		assert_false(imap_lex_failed(&x));
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		x = lex(bad[i]);
		(void)imap_lex_date(&x);
		imap_lex_end(&x);
		assert_true(imap_lex_failed(&x));
	}
	for (size_t i = 0; i < COUNT_OF(bad_times); i++) {
		x = lex(bad_times[i]);
		(void)imap_lex_date_time(&x);
		assert_true(imap_lex_failed(&x));
	}
}

static void
test_literal_at_end(void **state)
{
	uint64_t n;
	bool nonsync;

	(void)state;
	assert_int_equal(imap_literal_at_end(SLICE("a LOGIN {5}"), &n, &nonsync), 1);
	assert_int_equal(n, 5);
	assert_false(nonsync);
	assert_int_equal(imap_literal_at_end(SLICE("{0+}"), &n, &nonsync), 1);
	assert_true(nonsync);
	assert_int_equal(imap_literal_at_end(SLICE("{}"), &n, &nonsync), 0);
	assert_int_equal(imap_literal_at_end(SLICE("{+}"), &n, &nonsync), 0);
	assert_int_equal(imap_literal_at_end(SLICE("5}"), &n, &nonsync), 0);
	assert_int_equal(imap_literal_at_end(SLICE(""), &n, &nonsync), 0);
	assert_int_equal(imap_literal_at_end(SLICE("{18446744073709551616}"), &n, &nonsync), ERR_SYNTAX);
}

static void
test_sections_print(void **state)
{
	static const char *const sections[] = {"BODY[]", "BODY[1]", "BODY[1.2.3]", "BODY[TEXT]", "BODY[HEADER]",
	    "BODY[4.MIME]", "BODY[4.TEXT]", "BODY[1.HEADER.FIELDS (To From)]", "BODY[HEADER.FIELDS.NOT (To \"a b\")]",
	    "RFC822", "RFC822.HEADER", "RFC822.TEXT"};
	struct limits l;

	(void)state;
	limits_default(&l);
	for (size_t i = 0; i < COUNT_OF(sections); i++) {
		struct imap_lex x = lex(sections[i]);
		struct buf BUF_CLEANUP out;
		struct imap_fetch f;

		imap_parse_fetch(&x, &l, &f);
		imap_lex_end(&x);
		assert_false(imap_lex_failed(&x));
		assert_int_equal(f.sections_n, 1);
		buf_init(&out, 4096);
		imap_put_section(&out, &f.sections[0]);
		assert_true(slice_eq(buf_slice(&out), slice_z(sections[i])));
	}
}

static void
test_output(void **state)
{
	struct buf BUF_CLEANUP out;

	(void)state;
	buf_init(&out, 4096);
	imap_put_string(&out, SLICE("a\"b\\c"));
	imap_put_string(&out, SLICE("x\r\ny"));
	imap_put_string(&out, SLICE("\xc3\xbc"));
	imap_put_string(&out, SLICE("n\0l\x80"));
	imap_put_nstring(&out, SLICE_EMPTY);
	imap_put_nstring(&out, SLICE(""));
	imap_put_mailbox(&out, SLICE("nil"), false);
	imap_put_mailbox(&out, SLICE("a b"), false);
	imap_put_mailbox(&out, SLICE("a%"), false);
	assert_true(slice_eq(buf_slice(&out),
	    SLICE("\"a\\\"b\\\\c\"{4}\r\nx\r\ny{2}\r\n\xc3\xbc{4}\r\nn?l\x80NIL\"\"\"nil\"\"a b\"\"a%\"")));
}

static int
setup(void **state)
{
	(void)state;
	arena_init(&arena, 1 << 22);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_strings),
	    cmocka_unit_test(test_strings_refused),
	    cmocka_unit_test(test_dates),
	    cmocka_unit_test(test_literal_at_end),
	    cmocka_unit_test(test_sections_print),
	    cmocka_unit_test(test_output),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
