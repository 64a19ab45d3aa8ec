/* buf_test.c: the growing buffer, its limit and its codecs. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"

static void
test_put(void **state)
{
	BUF_CLEANUP struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_null(b.p);
	buf_put(&b, SLICE_EMPTY);
	buf_put(&b, SLICE("a\0b"));
	buf_put_z(&b, "c");
	buf_put_be16(&b, 0x0102);
	buf_put_be32(&b, 0x03040506);
	buf_put_be64(&b, 0x0708090a0b0c0d0eull);
	assert_true(slice_eq(buf_slice(&b), SLICE("a\0bc\1\2\3\4\5\6\7\x08\x09\x0a\x0b\x0c\x0d\x0e")));
	buf_consume(&b, 2);
	buf_truncate(&b, 2);
	assert_true(slice_eq(buf_slice(&b), SLICE("bc")));
	buf_consume(&b, 0);
	buf_consume(&b, 2);
	assert_int_equal(b.n, 0);
	buf_put_u64(&b, 0);
	buf_put_u64(&b, UINT64_MAX);
	buf_printf(&b, " %d %s", -5, "x");
	buf_put_hex(&b, SLICE("\x00\xfe"));
	assert_true(slice_eq(buf_slice(&b), SLICE("018446744073709551615 -5 x00fe")));
}

/* The first failure stays, and nothing is added after it, even if it would fit. */
static void
test_limit(void **state)
{
	BUF_CLEANUP struct buf b;

	(void)state;
	buf_init(&b, 5);
	buf_put(&b, SLICE("abc"));
	buf_put(&b, SLICE("def"));
	assert_int_equal(b.err, ERR_LIMIT);
	buf_put_u8(&b, 'x');
	assert_null(buf_reserve(&b, 1));
	assert_true(slice_eq(buf_slice(&b), SLICE("abc")));
	buf_reset(&b);
	assert_int_equal(b.err, 0);
	buf_put(&b, SLICE("abcde"));
	assert_int_equal(b.err, 0);
	buf_put_u8(&b, 'x');
	assert_int_equal(b.err, ERR_LIMIT);
	buf_reset(&b);
	assert_null(buf_reserve(&b, SIZE_MAX));
	buf_free(&b);
	buf_init(&b, 0);
	buf_put_u8(&b, 'x');
	assert_int_equal(b.err, ERR_LIMIT);
}

static void
test_growth(void **state)
{
	BUF_CLEANUP struct buf b;
	uint8_t *p;

	(void)state;
	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < 300000; i++)
		buf_put_u8(&b, (uint8_t)i);
	assert_int_equal(b.n, 300000);
	for (size_t i = 0; i < b.n; i++)
		assert_int_equal(b.p[i], (uint8_t)i);
	p = buf_reserve(&b, 10);
	memcpy(p, "0123456789", 10);
	buf_added(&b, 3);
	assert_true(slice_ends(buf_slice(&b), SLICE("012")));
	/* A large buffer gives its memory back. */
	buf_reset(&b);
	assert_int_equal(b.cap, 0);
}

static void
test_base64(void **state)
{
	static const char *const bad[] = {
	    "A", "AA", "AAA", "A===", "AA=A", "AAAA=", "AA==AAAA", "A A=", "AAA\n", "AB==", "AAB=", "====", "AA-_"};
	struct slice all = SLICE("\x00\x01\xfe\xff"
				 "foobar");

	(void)state;
	for (size_t n = 0; n <= all.n; n++) {
		BUF_CLEANUP struct buf b;
		BUF_CLEANUP struct buf back;

		buf_init(&b, 100);
		buf_init(&back, 100);
		buf_put_base64(&b, slice_head(all, n));
		assert_int_equal(b.n, (n + 2) / 3 * 4);
		assert_int_equal(buf_put_unbase64(&back, buf_slice(&b)), 0);
		assert_true(slice_eq(buf_slice(&back), slice_head(all, n)));
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		BUF_CLEANUP struct buf b;

		buf_init(&b, 100);
		assert_int_equal(buf_put_unbase64(&b, slice_z(bad[i])), ERR_SYNTAX);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_put),
	    cmocka_unit_test(test_limit),
	    cmocka_unit_test(test_growth),
	    cmocka_unit_test(test_base64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
