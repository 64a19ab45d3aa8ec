/* fold_test.c: what is alike when searched for. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "message/fold.h"

static void
is(const char *in, const char *folded)
{
	BUF_CLEANUP struct buf b;

	buf_init(&b, 4096);
	text_fold(slice_z(in), &b);
	buf_put_u8(&b, 0);
	assert_string_equal((const char *)b.p, folded);
}

static void
test_fold(void **state)
{
	(void)state;
	is("", "");
	is("Hello, World", "HELLO, WORLD");
	is("a \t\r\n b\x01"
	   "c",
	    "A B C");
	is("\xc3\xa9", "E\xcc\x81");  /* é */
	is("e\xcc\x81", "E\xcc\x81"); /* e and an accent */
	is("\xc3\x89", "E\xcc\x81");  /* É */
	is("\xc3\x9f", "\xc3\x9f");   /* ß has no title case of its own (RFC 5051) */
	is("\xef\xac\x81", "fi");     /* ﬁ decomposes behind its title case */
	is("\xc7\x84", "Dz\xcc\x8c"); /* RFC 5051 §2: U+01C4 becomes D z and caron */
	is("\xd0\xb6", "\xd0\x96");   /* ж */
	is("\xce\xc1", "\xce\xc1");   /* not UTF-8: as it is */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_fold)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
