/* control_request_test.c: requests of the control socket: what is taken and in which words others are refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "role/control_request.h"

static void
refused(const char *line, int err, const char *words)
{
	struct control_request r CONTROL_REQUEST_CLEANUP = {0};
	struct buf what BUF_CLEANUP;

	buf_init(&what, 4096);
	assert_int_equal(control_request_parse(slice_z(line), &r, &what), err);
	buf_put_u8(&what, '\0');
	assert_string_equal((const char *)what.p, words);
}

#define FORM "a request is one line of JSON: {\"command\":\"...\",\"args\":{...}}"

static void
test_refused(void **state)
{
	(void)state;
	refused("", ERR_SYNTAX, FORM);
	refused("status", ERR_SYNTAX, FORM);
	refused("[1]", ERR_SYNTAX, FORM);
	refused("{\"command\":7}", ERR_SYNTAX, FORM);
	refused("{\"command\":\"status\",\"args\":[]}", ERR_SYNTAX, FORM);
	refused("{\"command\":\"status\",\"more\":1}", ERR_SYNTAX, FORM);
	refused("{\"command\":\"status\",\"command\":\"stop\"}", ERR_SYNTAX, FORM);
	refused("{\"command\":\"status\"} x", ERR_SYNTAX, FORM);
	refused("{\"command\":\"a\\u0000b\"}", ERR_SYNTAX, FORM);
	refused("{\"command\":\"fly\"}", ERR_NOTFOUND, "there is no command \"fly\"");
	refused("{\"command\":\"status\",\"args\":{\"fast\":true}}", ERR_INVALID, "status has no argument \"fast\"");
	refused("{\"command\":\"queue show\"}", ERR_INVALID, "queue show needs the argument \"id\"");
	refused("{\"command\":\"queue show\",\"args\":{\"id\":5}}", ERR_INVALID,
	    "the argument \"id\" of queue show must be a text");
	refused("{\"command\":\"queue list\",\"args\":{\"held\":1}}", ERR_INVALID,
	    "the argument \"held\" of queue list must be true or false");
	refused("{\"command\":\"clock advance\",\"args\":{\"seconds\":1.5}}", ERR_INVALID,
	    "the argument \"seconds\" of clock advance must be a whole number");
	refused("{\"command\":\"alias add\",\"args\":{\"address\":\"a@b\",\"targets\":[1]}}", ERR_INVALID,
	    "the argument \"targets\" of alias add must be a list of texts");
}

static void
test_deep(void **state)
{
	static char deep[1u << 20];

	(void)state;
	memset(deep, '[', sizeof(deep) - 1);
	refused(deep, ERR_SYNTAX, FORM);
	for (size_t i = 0; i + 5 < sizeof(deep); i += 5)
		memcpy(deep + i, "{\"a\":", 5);
	refused(deep, ERR_SYNTAX, FORM);
}

static void
test_taken(void **state)
{
	struct control_request r CONTROL_REQUEST_CLEANUP = {0}, s CONTROL_REQUEST_CLEANUP = {0};
	struct buf what BUF_CLEANUP;

	(void)state;
	buf_init(&what, 4096);
	assert_int_equal(
	    control_request_parse(
		SLICE("{\"args\":{\"held\":true,\"address\":\"[[[[[[\\\"{{{\"},\"command\":\"queue list\"}"), &r,
		&what),
	    0);
	assert_int_equal(r.command, CONTROL_queue_list);
	assert_true(control_bool(&r, "held"));
	assert_false(control_bool(&r, "all"));
	assert_true(slice_eq(control_text(&r, "address"), SLICE("[[[[[[\"{{{")));
	assert_int_equal(control_text(&r, "id").n, 0);
	assert_int_equal(control_int(&r, "seconds", 7), 7);
	assert_int_equal(control_request_parse(SLICE("{\"command\":\"status\"}"), &s, &what), 0);
	assert_int_equal(s.command, CONTROL_status);
}

/* Every argument belongs to a command, and no command has one twice. */
static void
test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < control_args_count; i++) {
		assert_true(control_args[i].command < CONTROL_COUNT);
		for (size_t j = 0; j < i; j++)
			assert_false(control_args[i].command == control_args[j].command &&
			    strcmp(control_args[i].key, control_args[j].key) == 0);
	}
	for (size_t i = 0; i < CONTROL_COUNT; i++)
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(control_commands[i].words, control_commands[j].words);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_deep),
	    cmocka_unit_test(test_taken),
	    cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
