/* cursor_test.c: the reader with its sticky error. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cursor.h"

static void
test_numbers(void **state)
{
	struct cursor c = cursor_of(SLICE("\1\2\3\4\5\6\7\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"));

	(void)state;
	assert_int_equal(cursor_u8(&c), 1);
	assert_int_equal(cursor_be16(&c), 0x0203);
	assert_int_equal(cursor_be32(&c), 0x04050607);
	assert_true(cursor_be64(&c) == 0x08090a0b0c0d0e0full);
	assert_true(cursor_end(&c) && c.err == 0);
	assert_int_equal(cursor_u8(&c), 0);
	assert_int_equal(c.err, ERR_SYNTAX);
}

/* After an error nothing is read any more, and the first error stays. */
static void
test_sticky(void **state)
{
	struct cursor c = cursor_of(SLICE("abc"));

	(void)state;
	assert_int_equal(cursor_take(&c, 4).n, 0);
	assert_int_equal(c.err, ERR_SYNTAX);
	cursor_fail(&c, ERR_LIMIT);
	assert_int_equal(c.err, ERR_SYNTAX);
	assert_int_equal(cursor_peek(&c), -1);
	assert_true(cursor_end(&c) && cursor_left(&c) == 0 && cursor_rest(&c).n == 0);
	assert_false(cursor_accept(&c, SLICE("a")));
	assert_false(cursor_accept_byte(&c, 'a'));
	assert_int_equal(cursor_until(&c, 'c').n, 0);
	assert_int_equal(cursor_number(&c, 9), 0);
	cursor_skip_wsp(&c);
	cursor_skip(&c, 0);
	assert_int_equal(c.pos, 0);
}

static void
test_words(void **state)
{
	static const bool letters[256] = {['a' ... 'z'] = true};
	struct cursor c = cursor_of(SLICE("Hello  \tworld=42;rest"));

	(void)state;
	assert_false(cursor_accept(&c, SLICE("hello")));
	assert_true(cursor_iaccept(&c, SLICE("hello")));
	cursor_skip_wsp(&c);
	assert_int_equal(cursor_peek_at(&c, 5), '=');
	assert_int_equal(cursor_peek_at(&c, 100), -1);
	assert_true(slice_eq(cursor_span(&c, letters), SLICE("world")));
	assert_int_equal(cursor_span(&c, letters).n, 0);
	cursor_expect_byte(&c, '=');
	assert_int_equal(cursor_number(&c, 42), 42);
	assert_int_equal(cursor_until(&c, ';').n, 0);
	cursor_expect(&c, SLICE(";"));
	assert_true(slice_eq(cursor_until(&c, ';'), SLICE("rest")));
	assert_int_equal(c.err, 0);
	cursor_expect_byte(&c, 'x');
	assert_int_equal(c.err, ERR_SYNTAX);
}

static void
test_number_errors(void **state)
{
	struct cursor c = cursor_of(SLICE("43"));

	(void)state;
	assert_int_equal(cursor_number(&c, 42), 0);
	assert_int_equal(c.err, ERR_LIMIT);
	c = cursor_of(SLICE("x"));
	assert_int_equal(cursor_number(&c, 42), 0);
	assert_int_equal(c.err, ERR_SYNTAX);
	c = cursor_of(SLICE_EMPTY);
	assert_int_equal(cursor_number(&c, 42), 0);
	assert_int_equal(c.err, ERR_SYNTAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_numbers),
	    cmocka_unit_test(test_sticky),
	    cmocka_unit_test(test_words),
	    cmocka_unit_test(test_number_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
