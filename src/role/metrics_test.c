/* metrics_test.c: the text format, from rows as they should be and as no process should send them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "role/metrics.h"

static void
put(const char *json, struct buf *out)
{
	json_t *rows = json_loads(json, 0, NULL);

	assert_non_null(rows);
	buf_init(out, 1 << 20);
	metrics_put(rows, out);
	assert_int_equal(out->err, 0);
	buf_put_u8(out, 0);
	json_decref(rows);
}

static void
assert_has(const struct buf *out, const char *line)
{
	if (slice_find(buf_slice(out), slice_z(line)) == SLICE_NONE)
		fail_msg("no %s", line);
}

static void
assert_has_not(const struct buf *out, const char *text)
{
	if (slice_find(buf_slice(out), slice_z(text)) != SLICE_NONE)
		fail_msg("there is %s", text);
}

static void
test_numbers(void **state)
{
	struct buf out BUF_CLEANUP;

	(void)state;
	put("[{\"role\":\"gate\",\"index\":1,\"up\":true,\"restarts\":3,\"cpu_ms\":12340,"
	    "\"counters\":{\"messages\":9007199254740993}},"
	    "{\"role\":\"vault\",\"index\":0,\"counters\":{\"certificates_expire\":{\"a\\\\b\\\"c\\nd\\u0001\":-5}}},"
	    "{\"role\":\"clerk\",\"index\":0,\"counters\":{\"queue\":{\"disk_low\":false}}}]",
	    &out);
	assert_has(&out, "# HELP posthouse_process_up 1 when");
	assert_has(&out, "# TYPE posthouse_process_cpu_seconds_total counter\n");
	assert_has(&out, "\nposthouse_process_up{role=\"gate\",index=\"1\"} 1\n");
	assert_has(&out, "\nposthouse_process_restarts_total{role=\"gate\",index=\"1\"} 3\n");
	assert_has(&out, "\nposthouse_process_cpu_seconds_total{role=\"gate\",index=\"1\"} 12.34\n");
	assert_has(
	    &out, "\nposthouse_smtp_messages_total{role=\"gate\",index=\"1\",outcome=\"accepted\"} 9007199254740993\n");
	assert_has(&out, "{role=\"vault\",index=\"0\",name=\"a\\\\b\\\"c\\nd?\"} -5\n");
	assert_has(&out, "\nposthouse_disk_low{role=\"clerk\",index=\"0\"} 0\n");
}

static void
test_histogram(void **state)
{
	struct buf out BUF_CLEANUP;
	struct histogram h = {0};
	json_t *row = json_pack("{s:s, s:i, s:{}}", "role", "gate", "index", 0, "counters"), *rows = json_array();

	(void)state;
	histogram_add(&h, HISTOGRAM_COMMANDS, 90);
	histogram_add(&h, HISTOGRAM_COMMANDS, 700);
	histogram_add(&h, HISTOGRAM_COMMANDS, 99000000);
	json_object_set_new(json_object_get(row, "counters"), "command_times", metrics_times(&h));
	json_array_append_new(rows, row);
	buf_init(&out, 1 << 20);
	metrics_put(rows, &out);
	json_decref(rows);
	assert_has(&out, "# TYPE posthouse_command_seconds histogram\n");
	assert_has(
	    &out, "posthouse_command_seconds_bucket{role=\"gate\",index=\"0\",service=\"smtp\",le=\"0.0001\"} 1\n");
	assert_has(&out, "service=\"smtp\",le=\"0.0005\"} 1\n");
	assert_has(&out, "service=\"smtp\",le=\"0.001\"} 2\n");
	assert_has(&out, "service=\"smtp\",le=\"30\"} 2\n");
	assert_has(&out, "service=\"smtp\",le=\"+Inf\"} 3\n");
	assert_has(&out, "posthouse_command_seconds_sum{role=\"gate\",index=\"0\",service=\"smtp\"} 99.00079\n");
	assert_has(&out, "posthouse_command_seconds_count{role=\"gate\",index=\"0\",service=\"smtp\"} 3\n");
}

static void
test_what_no_process_should_send(void **state)
{
	struct buf out BUF_CLEANUP;

	(void)state;
	put("[7, {}, {\"role\":\"nobody\",\"up\":true}, {\"role\":5,\"up\":true}, "
	    "{\"role\":\"gate\",\"index\":\"x\",\"up\":\"1\","
	    "\"restarts\":1.5,\"counters\":[]}, "
	    "{\"role\":\"gate\",\"index\":0,\"counters\":{\"command_times\":{\"counts\":[1,2],"
	    "\"sum_us\":3},\"message_times\":7}}, {\"role\":\"vault\",\"counters\":{\"certificates_expire\":[1]}}]",
	    &out);
	assert_has_not(&out, "\nposthouse_process_up{");
	assert_has_not(&out, "restarts_total{");
	assert_has_not(&out, "command_seconds_bucket{");
	assert_has_not(&out, "expiry_timestamp_seconds{");
}

static void
test_each_is_bounded(void **state)
{
	struct buf out BUF_CLEANUP;
	json_t *row = json_pack("{s:s, s:i, s:{s:{}}}", "role", "clerk", "index", 0, "counters", "sites_deferred"),
	       *rows = json_array();
	json_t *sites = json_object_get(json_object_get(row, "counters"), "sites_deferred");
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 2 * METRICS_EACH_MAX; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "s%d.test", i);
		json_object_set_new(sites, name, json_integer(1));
	}
	json_array_append_new(rows, row);
	buf_init(&out, 1 << 20);
	metrics_put(rows, &out);
	json_decref(rows);
	for (struct slice rest = buf_slice(&out); rest.p != NULL;)
		n += slice_starts(slice_cut(&rest, '\n'), SLICE("posthouse_queue_site_deferred{"));
	assert_int_equal(n, METRICS_EACH_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_numbers), cmocka_unit_test(test_histogram),
	    cmocka_unit_test(test_what_no_process_should_send), cmocka_unit_test(test_each_is_bounded)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
