/* histogram_test.c: bounds, and which bucket a time falls into. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/histogram.h"

static void
test_bounds_rise(void **state)
{
	(void)state;
	for (int s = HISTOGRAM_COMMANDS; s <= HISTOGRAM_DELIVERIES; s++) {
		const int64_t *v;
		size_t n = histogram_bounds((enum histogram_scale)s, &v);

		assert_true(n > 0 && n <= HISTOGRAM_BUCKETS_MAX);
		for (size_t i = 1; i < n; i++)
			assert_true(v[i] > v[i - 1]);
	}
}

static void
test_a_bound_belongs_to_its_bucket(void **state)
{
	struct histogram h = {0};
	const int64_t *v;
	size_t n = histogram_bounds(HISTOGRAM_COMMANDS, &v);

	(void)state;
	histogram_add(&h, HISTOGRAM_COMMANDS, v[0]);
	histogram_add(&h, HISTOGRAM_COMMANDS, v[0] + 1);
	histogram_add(&h, HISTOGRAM_COMMANDS, -5);
	histogram_add(&h, HISTOGRAM_COMMANDS, v[n - 1] + 1);
	assert_int_equal(h.counts[0], 2);
	assert_int_equal(h.counts[1], 1);
	assert_int_equal(h.counts[n], 1);
	assert_int_equal(h.sum_us, v[0] + v[0] + 1 + v[n - 1] + 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bounds_rise), cmocka_unit_test(test_a_bound_belongs_to_its_bucket)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
