/* slice_test.c: comparing, searching, cutting. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/slice.h"

static void
test_compare(void **state)
{
	(void)state;
	assert_true(slice_eq(SLICE_EMPTY, SLICE("")) && slice_eq(SLICE("a\0b"), SLICE("a\0b")) &&
	    !slice_eq(SLICE("a"), SLICE("ab")));
	assert_true(slice_ieq(SLICE("AbC\xc4"), SLICE("aBc\xc4")) && !slice_ieq(SLICE("\xc4"), SLICE("\xe4")));
	assert_true(slice_cmp(SLICE("a"), SLICE("ab")) < 0 && slice_cmp(SLICE("b"), SLICE("ab")) > 0 &&
	    slice_cmp(SLICE_EMPTY, SLICE("")) == 0);
	assert_true(slice_cmp(SLICE("\xff"), SLICE("a")) > 0 && slice_icmp(SLICE("B"), SLICE("a")) > 0 &&
	    slice_icmp(SLICE("A"), SLICE("a")) == 0);
	assert_true(slice_starts(SLICE("abc"), SLICE("ab")) && slice_starts(SLICE("abc"), SLICE("")) &&
	    !slice_starts(SLICE("a"), SLICE("ab")));
	assert_true(slice_istarts(SLICE("ABc"), SLICE("ab")) && slice_ends(SLICE("abc"), SLICE("bc")) &&
	    slice_iends(SLICE("aBC"), SLICE("bc")));
	assert_false(slice_ends(SLICE("c"), SLICE("bc")));
}

static void
test_find(void **state)
{
	(void)state;
	assert_int_equal(slice_find_byte(SLICE("a\0b\0"), 0), 1);
	assert_int_equal(slice_rfind_byte(SLICE("a\0b\0"), 0), 3);
	assert_int_equal(slice_find_byte(SLICE_EMPTY, 0), SLICE_NONE);
	assert_int_equal(slice_rfind_byte(SLICE_EMPTY, 0), SLICE_NONE);
	assert_int_equal(slice_find(SLICE("abcabd"), SLICE("abd")), 3);
	assert_int_equal(slice_find(SLICE("ab"), SLICE("abc")), SLICE_NONE);
	assert_int_equal(slice_find(SLICE_EMPTY, SLICE_EMPTY), 0);
	assert_int_equal(slice_ifind(SLICE("xABC"), SLICE("bc")), 2);
	assert_int_equal(slice_ifind(SLICE("x"), SLICE("bc")), SLICE_NONE);
	assert_int_equal(slice_ifind(SLICE("x"), SLICE_EMPTY), 0);
}

static void
test_cut(void **state)
{
	struct slice rest = SLICE("a,,b");

	(void)state;
	assert_true(slice_eq(slice_cut(&rest, ','), SLICE("a")));
	assert_true(slice_eq(slice_cut(&rest, ','), SLICE("")) && slice_eq(rest, SLICE("b")) && rest.p != NULL);
	assert_true(slice_eq(slice_cut(&rest, ','), SLICE("b")) && rest.p == NULL);
	/* A separator at the very end leaves an empty rest that is still there. */
	rest = SLICE("a,");
	(void)slice_cut(&rest, ',');
	assert_true(rest.n == 0 && rest.p != NULL);
	assert_true(slice_eq(slice_trim(SLICE(" \t\r\n\v\fa b ")), SLICE("a b")) && slice_trim(SLICE("  ")).n == 0);
	assert_true(slice_eq(slice_range(SLICE("abc"), 1, 2), SLICE("b")) &&
	    slice_eq(slice_head(SLICE("abc"), 9), SLICE("abc")));
}

static void
test_number(void **state)
{
	uint64_t v = 7;

	(void)state;
	assert_int_equal(slice_to_u64(SLICE("0"), 9, &v), 0);
	assert_int_equal(v, 0);
	assert_int_equal(slice_to_u64(SLICE("18446744073709551615"), UINT64_MAX, &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(slice_to_u64(SLICE("18446744073709551616"), UINT64_MAX, &v), ERR_LIMIT);
	assert_int_equal(slice_to_u64(SLICE("99999999999999999999999"), UINT64_MAX, &v), ERR_LIMIT);
	assert_int_equal(slice_to_u64(SLICE("10"), 9, &v), ERR_LIMIT);
	assert_int_equal(slice_to_u64(SLICE(""), 9, &v), ERR_SYNTAX);
	assert_int_equal(slice_to_u64(SLICE("-1"), 9, &v), ERR_SYNTAX);
	assert_int_equal(slice_to_u64(SLICE("1 "), 9, &v), ERR_SYNTAX);
}

static void
test_utf8(void **state)
{
	static const struct {
		struct slice s;
		bool good;
	} rows[] = {
	    {SLICE_INIT(""), true},
	    {SLICE_INIT("a\x7f"), true},
	    {SLICE_INIT("\xc2\x80"), true},
	    {SLICE_INIT("\xdf\xbf"), true},
	    {SLICE_INIT("\xe0\xa0\x80"), true},
	    {SLICE_INIT("\xed\x9f\xbf"), true},
	    {SLICE_INIT("\xef\xbf\xbf"), true},
	    {SLICE_INIT("\xf0\x90\x80\x80"), true},
	    {SLICE_INIT("\xf4\x8f\xbf\xbf"), true},
	    {SLICE_INIT("\x80"), false},
	    {SLICE_INIT("\xc0\x80"), false},
	    {SLICE_INIT("\xc1\xbf"), false},
	    {SLICE_INIT("\xc2"), false},
	    {SLICE_INIT("\xc2\x41"), false},
	    {SLICE_INIT("\xe0\x9f\xbf"), false},
	    {SLICE_INIT("\xed\xa0\x80"), false},
	    {SLICE_INIT("\xe2\x82"), false},
	    {SLICE_INIT("\xf0\x8f\xbf\xbf"), false},
	    {SLICE_INIT("\xf4\x90\x80\x80"), false},
	    {SLICE_INIT("\xf5\x80\x80\x80"), false},
	    {SLICE_INIT("\xff"), false},
	    {SLICE_INIT("a\xf0\x90\x80"), false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_int_equal(slice_is_utf8(rows[i].s, true), rows[i].good);
	assert_true(slice_is_utf8(SLICE("a\0"), false) && !slice_is_utf8(SLICE("a\0"), true));
	assert_true(slice_is_ascii(SLICE("a\0\x7f")) && !slice_is_ascii(SLICE("\x80")));
}

static void
test_z(void **state)
{
	char z[4];

	(void)state;
	assert_int_equal(slice_to_z(SLICE("abc"), z, sizeof(z)), 0);
	assert_string_equal(z, "abc");
	assert_int_equal(slice_to_z(SLICE("abcd"), z, sizeof(z)), ERR_LIMIT);
	assert_int_equal(slice_to_z(SLICE("a\0b"), z, sizeof(z)), ERR_INVALID);
	assert_int_equal(slice_to_z(SLICE(""), z, 0), ERR_LIMIT);
	assert_int_equal(slice_z(NULL).n, 0);
}

static void
test_hash(void **state)
{
	(void)state;
	assert_true(slice_hash(SLICE("ab"), 1) == slice_hash(SLICE("ab"), 1));
	assert_true(slice_hash(SLICE("ab"), 1) != slice_hash(SLICE("ab"), 2));
	assert_true(slice_hash(SLICE("ab"), 1) != slice_hash(SLICE("ba"), 1));
	assert_true(slice_hash(SLICE(""), 1) != slice_hash(SLICE("\0"), 1));
	assert_true(slice_ihash(SLICE("AB"), 1) == slice_ihash(SLICE("ab"), 1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_compare),
	    cmocka_unit_test(test_find),
	    cmocka_unit_test(test_cut),
	    cmocka_unit_test(test_number),
	    cmocka_unit_test(test_utf8),
	    cmocka_unit_test(test_z),
	    cmocka_unit_test(test_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
