/* process_usage_test.c: /proc/PID/stat with every name that a process may give itself; this process. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "role/process_usage.h"

#include <fcntl.h>
#include <unistd.h>

static void
test_parse(void **state)
{
	struct process_usage u;

	(void)state;
	assert_int_equal(
	    process_usage_parse(
		SLICE("12 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 150 0 0 20 0 3 0 999 4096000 77 184467\n"), 100, 4096, &u),
	    0);
	assert_int_equal(u.cpu_ms, 4000);
	assert_int_equal(u.memory_bytes, 77 * 4096);
	assert_int_equal(process_usage_parse(SLICE(""), 100, 4096, &u), ERR_SYNTAX);
	assert_int_equal(process_usage_parse(SLICE("12 (a)"), 100, 4096, &u), ERR_SYNTAX);
	assert_int_equal(process_usage_parse(SLICE("12 (a) S 1 2 3"), 100, 4096, &u), ERR_SYNTAX);
}

static void
test_this_process(void **state)
{
	struct process_usage u;
	int64_t max, before = process_open_files(&max), fd;

	(void)state;
	assert_int_equal(process_usage(getpid(), &u), 0);
	assert_true(u.memory_bytes > 0 && u.cpu_ms >= 0);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && max > fd);
	assert_int_equal(process_open_files(&max), before + 1);
	(void)close((int)fd);
	assert_int_equal(process_open_files(&max), before);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_parse), cmocka_unit_test(test_this_process)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
