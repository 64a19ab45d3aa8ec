/* err_test.c: every code has a name and a sentence. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"

#include <errno.h>

static void
test_names(void **state)
{
	(void)state;
	for (int e = 0; e < ERRN_COUNT; e++) {
		assert_true(strlen(err_text(-e)) > 0 && strlen(err_name(-e)) > 0);
		assert_string_not_equal(err_name(-e), "unknown");
		for (int k = 0; k < e; k++)
			assert_string_not_equal(err_name(-e), err_name(-k));
	}
	assert_string_equal(err_name(-ERRN_COUNT), "unknown");
	assert_string_equal(err_name(1), "unknown");
	assert_string_equal(err_name(INT32_MIN), "unknown");
	assert_string_equal(err_text(INT32_MIN), "an unknown error");
}

static void
test_errno(void **state)
{
	(void)state;
	assert_int_equal(err_from_errno(0), 0);
	assert_int_equal(err_from_errno(ENOSPC), ERR_FULL);
	assert_int_equal(err_from_errno(ECONNRESET), ERR_CLOSED);
	for (int e = 1; e < 200; e++)
		assert_true(err_from_errno(e) < 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_errno)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
