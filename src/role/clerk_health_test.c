/* clerk_health_test.c: what is told of a house by its rows, worst first. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "role/clerk_health.h"

#define NOW 1800000000
#define DAY 86400

/* file scope: read-only defaults for all tests. */
static struct limits limits;

/* The kinds of what is wrong, each with the first letter of its level, joined by spaces. */
static void
assert_problems(const char *rows_json, const struct health_facts *more, const char *expected)
{
	json_t *rows = json_loads(rows_json, 0, NULL), *problems, *p;
	struct health_facts f = *more;
	struct buf out BUF_CLEANUP, line BUF_CLEANUP;
	size_t i;

	assert_non_null(rows);
	limits_default(&limits);
	f.limits = &limits;
	f.now_s = NOW;
	problems = health_judge(rows, &f);
	buf_init(&out, 65536);
	buf_init(&line, 65536);
	json_array_foreach(problems, i, p)
	{
		buf_printf(&out, "%s%c:%s", i > 0 ? " " : "", json_string_value(json_object_get(p, "level"))[0],
		    json_string_value(json_object_get(p, "problem")));
		assert_true(strlen(json_string_value(json_object_get(p, "what"))) > 10);
		assert_true(strlen(json_string_value(json_object_get(p, "do"))) > 10);
	}
	buf_put_u8(&out, 0);
	assert_string_equal((const char *)buf_slice(&out).p, expected);
	health_line(problems, &line);
	assert_true(slice_starts(buf_slice(&line), slice_z(health_word(health_level(problems)))));
	json_decref(problems);
	json_decref(rows);
}

static const struct health_facts fine = {.begin_s = NOW - DAY};

static void
test_processes(void **state)
{
	(void)state;
	assert_problems("[{\"role\":\"gate\",\"ready\":true,\"up\":true,\"restarts\":0,\"up_seconds\":3}]", &fine, "");
	assert_problems(
	    "[{\"role\":\"gate\",\"ready\":true,\"up\":true,\"restarts\":2,\"up_seconds\":3},"
	    "{\"role\":\"desk\",\"ready\":false,\"up\":false},{\"role\":\"reader\",\"ready\":true,\"up\":false}]",
	    &fine, "c:role_down c:role_silent w:role_restarted");
	assert_problems("[{\"role\":\"gate\",\"ready\":true,\"up\":true,\"restarts\":2,\"up_seconds\":5000,"
			"\"counters\":{\"open_files\":900,\"open_files_max\":1000}}]",
	    &fine, "w:files_nearly_used");
	assert_problems(
	    "[1, {}, {\"role\":1}, {\"role\":\"clerk\",\"ready\":true,\"up\":true,\"counters\":7}]", &fine, "");
}

#define CLERK(counters) "[{\"role\":\"clerk\",\"ready\":true,\"up\":true,\"counters\":{" counters "}}]"

static void
test_queue_and_disk(void **state)
{
	(void)state;
	assert_problems(CLERK("\"queue\":{\"overdue_seconds\":5000,\"attempts_running\":2}"), &fine, "");
	assert_problems(CLERK("\"queue\":{\"overdue_seconds\":9000,\"attempts_running\":2}"), &fine, "w:queue_behind");
	assert_problems(CLERK("\"queue\":{\"overdue_seconds\":700,\"attempts_running\":0}"), &fine, "c:queue_stuck");
	assert_problems(CLERK("\"storage\":{\"bytes_free\":900000000000,\"bytes\":1000000000000}"), &fine, "");
	assert_problems(CLERK("\"storage\":{\"bytes_free\":90000000,\"bytes\":1000000000000}"), &fine, "c:disk_low");
	assert_problems(
	    CLERK("\"storage\":{\"bytes_free\":9000000000,\"bytes\":1000000000000}"), &fine, "w:disk_nearly_full");
	assert_problems(CLERK("\"storage\":{\"bytes_free\":900000000000,\"bytes\":1000000000000,\"files_free\":5}"),
	    &fine, "c:disk_low");
}

static void
test_certificates_and_dns(void **state)
{
	(void)state;
	assert_problems("[{\"role\":\"vault\",\"ready\":true,\"up\":true,\"counters\":{\"certificates_expire\":"
			"{\"a.test\":1800800000,\"b.test\":1799999999,\"c.test\":1900000000}}}]",
	    &fine, "c:certificate_expires w:certificate_expires");
	assert_problems("[{\"role\":\"gate\",\"ready\":true,\"up\":true,\"counters\":{\"dns_failing\":6,"
			"\"dns_failing_seconds\":200}}, {\"role\":\"courier\",\"ready\":true,\"up\":true,\"counters\":{"
			"\"dns_failing\":30,\"dns_failing_seconds\":400}}]",
	    &fine, "c:dns_dead w:dns_fails");
}

static void
test_backup_and_clock(void **state)
{
	(void)state;
	assert_problems("[]", &(struct health_facts){.begin_s = NOW - 9 * DAY}, "w:backup_none");
	assert_problems("[]", &(struct health_facts){.begin_s = NOW - 9 * DAY, .backup_s = NOW - DAY}, "");
	assert_problems("[]", &(struct health_facts){.begin_s = 1, .backup_s = NOW - 4 * DAY}, "w:backup_old");
	assert_problems(
	    "[]", &(struct health_facts){.begin_s = NOW, .jump_s = -3600, .jumped_at_s = NOW - 100}, "w:clock_jumped");
	assert_problems(
	    "[]", &(struct health_facts){.begin_s = NOW, .jump_s = -3600, .jumped_at_s = NOW - 2 * DAY}, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_processes), cmocka_unit_test(test_queue_and_disk),
	    cmocka_unit_test(test_certificates_and_dns), cmocka_unit_test(test_backup_and_clock)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
