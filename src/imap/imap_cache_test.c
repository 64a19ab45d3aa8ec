/* What is remembered reads back; what is damaged is not believed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "imap/imap_cache.h"

static void
test_cache(void **state)
{
	const struct slice told[IMAP_TOLD] = {SLICE("(NIL)"), SLICE("(\"text\")"), SLICE("()")};
	struct slice back[IMAP_TOLD];
	struct buf BUF_CLEANUP b;

	(void)state;
	buf_init(&b, 4096);
	imap_cache_write(told, &b);
	assert_true(imap_cache_read(buf_slice(&b), back));
	for (int i = 0; i < IMAP_TOLD; i++)
		assert_true(slice_eq(told[i], back[i]));
	for (size_t n = 0; n < b.n; n++)
		assert_false(imap_cache_read(slice_head(buf_slice(&b), n), back));
	buf_put_u8(&b, ')');
	assert_false(imap_cache_read(buf_slice(&b), back));
	buf_truncate(&b, b.n - 1);
	for (size_t i = 0; i < 17; i++) {
		b.p[i] ^= 0x40;
		assert_false(imap_cache_read(buf_slice(&b), back));
		b.p[i] ^= 0x40;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cache)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
