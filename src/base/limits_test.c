/* limits_test.c: the table of limits. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"

static void
test_table(void **state)
{
	struct limits l;

	(void)state;
	memset(&l, 0xff, sizeof(l));
	limits_default(&l);
	assert_int_equal(limit_rows_count * sizeof(int64_t), sizeof(l));
	for (size_t i = 0; i < limit_rows_count; i++) {
		const struct limit_row *r = &limit_rows[i];

		assert_true(r->value >= 0 && strlen(r->text) > 0 && strlen(r->unit) > 0);
		assert_int_equal(*(int64_t *)(void *)((char *)&l + r->offset), r->value);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(limit_rows[k].name, r->name);
		/* "_ms" and "_bytes" in a name say what it counts. */
		if (slice_ends(slice_z(r->name), SLICE("_ms")))
			assert_string_equal(r->unit, "ms");
		if (slice_ends(slice_z(r->name), SLICE("_bytes")))
			assert_string_equal(r->unit, "bytes");
	}
}

static void
test_set(void **state)
{
	struct limits l;

	(void)state;
	limits_default(&l);
	assert_int_equal(limits_set(&l, SLICE("smtp_recipients"), SLICE("5")), 0);
	assert_int_equal(l.smtp_recipients, 5);
	assert_int_equal(limits_set(&l, SLICE("smtp_recipient"), SLICE("5")), ERR_NOTFOUND);
	assert_int_equal(limits_set(&l, SLICE("smtp_recipients"), SLICE("-1")), ERR_SYNTAX);
	assert_int_equal(limits_set(&l, SLICE("smtp_recipients"), SLICE("")), ERR_SYNTAX);
	assert_int_equal(limits_set(&l, SLICE("smtp_recipients"), SLICE("9223372036854775807")), ERR_LIMIT);
	assert_int_equal(l.smtp_recipients, 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_set)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
