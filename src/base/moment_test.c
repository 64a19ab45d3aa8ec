/* Days and times as people type them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/moment.h"

static void
test_good(void **state)
{
	static const struct {
		const char *text;
		int64_t s, end_s;
	} v[] = {
	    {"1970-01-01", 0, 86400},
	    {"2026-12-24", 1798070400, 1798156800},
	    {" 2028-02-29 ", 1835395200, 1835481600},
	    {"2026-12-24T18:00", 1798135200, 1798135200},
	    {"2026-12-24 18:00:30", 1798135230, 1798135230},
	    {"2026-12-24t18:00:00z", 1798135200, 1798135200},
	    {"2026-12-24T18:00:00+01:00", 1798131600, 1798131600},
	    {"2026-12-24T18:00-05:30", 1798155000, 1798155000},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(v); i++) {
		int64_t us;

		assert_int_equal(moment_parse(slice_z(v[i].text), false, &us), 0);
		assert_int_equal(us, v[i].s * 1000000);
		assert_int_equal(moment_parse(slice_z(v[i].text), true, &us), 0);
		assert_int_equal(us, v[i].end_s * 1000000);
	}
}

static void
test_bad(void **state)
{
	static const char *const v[] = {"", "2026", "2026-12", "2026-13-01", "2026-02-30", "2025-02-29", "2026-04-31",
	    "24.12.2026", "2026-1-1", "2026-12-24T", "2026-12-24T24:00", "2026-12-24T18", "2026-12-24T18:60",
	    "2026-12-24T18:00:60", "2026-12-24T18:00+0100", "2026-12-24T18:00:00 UTC", "2026-12-24Z", "+026-12-24",
	    "0000-01-01", "tomorrow", "2026-12-24T18:00+25:00", "99999-01-01"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(v); i++) {
		int64_t us;

		assert_int_equal(moment_parse(slice_z(v[i]), false, &us), ERR_SYNTAX);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
