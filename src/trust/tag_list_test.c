/* Lists of tags: what is one, and what is not. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "trust/tag_list.h"

static void
lists(void **state)
{
	static const struct {
		const char *text;
		int err;
		size_t n;
	} cases[] = {
	    {"", 0, 0},
	    {" \r\n\t", 0, 0},
	    {"a=b", 0, 1},
	    {"a=b;", 0, 1},
	    {"a=b; ", 0, 1},
	    {"a=b;;", ERR_SYNTAX, 0},
	    {";a=b", ERR_SYNTAX, 0},
	    {"a=b;c", ERR_SYNTAX, 0},
	    {"a=;b=", 0, 2},
	    {" a1_ = b c ; d\t=\r\n e\r\n\tf ", 0, 2},
	    {"a=1;a=2", ERR_SYNTAX, 0},
	    {"a=1;A=2", 0, 2},
	    {"1a=1", ERR_SYNTAX, 0},
	    {"_a=1", ERR_SYNTAX, 0},
	    {"a b=1", ERR_SYNTAX, 0},
	    {"=1", ERR_SYNTAX, 0},
	    {"a=b=c", 0, 1},
	    {"a=\x01", ERR_SYNTAX, 0},
	    {"a=\x7f", ERR_SYNTAX, 0},
	    {"a=\xc3\xa4", 0, 1},
	};
	struct tag_list l;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(tag_list_parse(slice_z(cases[i].text), &l), cases[i].err);
		if (cases[i].err == 0)
			assert_int_equal(l.n, cases[i].n);
	}
	assert_int_equal(tag_list_parse(SLICE("a = x y ;b=2"), &l), 0);
	assert_true(slice_eq(tag_list_find(&l, SLICE("a"))->value, SLICE("x y")));
	assert_true(slice_eq(tag_list_find(&l, SLICE("a"))->span, SLICE(" x y ")));
	assert_null(tag_list_find(&l, SLICE("B")));
}

static void
limits(void **state)
{
	struct arena a ARENA_CLEANUP;
	struct buf text BUF_CLEANUP;
	struct tag_list l;

	(void)state;
	arena_init(&a, 1 << 20);
	buf_init(&text, 1 << 20);
	for (int i = 0; i < TAG_LIST_MAX; i++)
		buf_printf(&text, "t%d=%d;", i, i);
	assert_int_equal(tag_list_parse(buf_slice(&text), &l), 0);
	buf_put_z(&text, "more=1");
	assert_int_equal(tag_list_parse(buf_slice(&text), &l), ERR_LIMIT);
	assert_true(slice_eq(tag_without_space(&a, SLICE(" a\r\n b\tc ")), SLICE("abc")));
	assert_true(slice_eq(tag_without_space(&a, SLICE("abc")), SLICE("abc")));
	assert_true(tag_names(SLICE("a : B:c"), SLICE("b")));
	assert_false(tag_names(SLICE("a:bb"), SLICE("b")));
	assert_false(tag_names(SLICE(""), SLICE("b")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(lists), cmocka_unit_test(limits)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
