/* SASL PLAIN: the forms of RFC 4616 and what is none. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "directory/sasl.h"

static void
test_plain(void **state)
{
	struct sasl_plain p;

	(void)state;
	assert_int_equal(sasl_plain_parse(SLICE("\0tim\0tanstaaftanstaaf"), &p), 0);
	assert_int_equal(p.authzid.n, 0);
	assert_true(slice_eq(p.authcid, SLICE("tim")));
	assert_true(slice_eq(p.password, SLICE("tanstaaftanstaaf")));
	assert_int_equal(sasl_plain_parse(SLICE("Ursel\0Kurt\0xipj3plmq"), &p), 0);
	assert_true(slice_eq(p.authzid, SLICE("Ursel")));
	assert_int_equal(sasl_plain_parse(SLICE(""), &p), ERR_SYNTAX);
	assert_int_equal(sasl_plain_parse(SLICE("\0"), &p), ERR_SYNTAX);
	assert_int_equal(sasl_plain_parse(SLICE("\0a"), &p), ERR_SYNTAX);
	assert_int_equal(sasl_plain_parse(SLICE("\0a\0"), &p), ERR_SYNTAX);
	assert_int_equal(sasl_plain_parse(SLICE("\0\0b"), &p), ERR_SYNTAX);
	assert_int_equal(sasl_plain_parse(SLICE("a\0b\0c\0d"), &p), ERR_SYNTAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_plain)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
