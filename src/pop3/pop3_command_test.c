/* Command lines, numbers, and byte-stuffing in pieces of every size. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "pop3/pop3_command.h"
#include "pop3/pop3_stuff.h"

static void
test_lines(void **state)
{
	struct pop3_command c;

	(void)state;
	assert_int_equal(pop3_command_parse(SLICE("RETR 1"), &c), 0);
	assert_true(slice_eq(c.verb, SLICE("RETR")));
	assert_true(slice_eq(c.argument, SLICE("1")));
	assert_int_equal(pop3_command_parse(SLICE("PASS a  b "), &c), 0);
	assert_true(slice_eq(c.argument, SLICE("a  b ")));
	assert_int_equal(pop3_command_parse(SLICE("quit"), &c), 0);
	assert_false(c.has_argument);
	assert_int_equal(pop3_command_parse(SLICE(""), &c), ERR_SYNTAX);
	assert_int_equal(pop3_command_parse(SLICE(" STAT"), &c), ERR_SYNTAX);
	assert_int_equal(pop3_command_parse(SLICE("STAT\t"), &c), ERR_SYNTAX);
	assert_int_equal(pop3_command_parse(SLICE("RETR 1\0"), &c), ERR_SYNTAX);
	assert_int_equal(pop3_command_parse(SLICE("RETR 1\n"), &c), ERR_SYNTAX);
}

static int
numbers(const char *argument, uint64_t out[2])
{
	struct pop3_command c = {.has_argument = true, .argument = slice_z(argument)};

	return pop3_numbers(&c, out, 2);
}

static void
test_numbers(void **state)
{
	struct pop3_command none = {0};
	uint64_t v[2];

	(void)state;
	assert_int_equal(pop3_numbers(&none, v, 2), 0);
	assert_int_equal(numbers("7", v), 1);
	assert_int_equal(v[0], 7);
	assert_int_equal(numbers("7 4294967295", v), 2);
	assert_int_equal(v[1], 4294967295u);
	assert_int_equal(numbers("7 ", v), 1);
	assert_int_equal(numbers("", v), -1);
	assert_int_equal(numbers("7  8", v), -1);
	assert_int_equal(numbers("7 8 9", v), -1);
	assert_int_equal(numbers("-1", v), -1);
	assert_int_equal(numbers("4294967296", v), -1);
	assert_int_equal(numbers("1x", v), -1);
}

static void
stuffed(struct slice in, uint64_t header, bool limited, uint64_t lines, const char *want)
{
	for (size_t step = 1; step <= in.n + 1; step++) {
		struct pop3_stuff s = pop3_stuff_of(header, limited, lines);
		struct buf BUF_CLEANUP out;

		buf_init(&out, 1 << 20);
		for (size_t at = 0; at < in.n; at += step)
			pop3_stuff_feed(&s, slice_range(in, at, at + step < in.n ? at + step : in.n), &out);
		pop3_stuff_end(&s, &out);
		if (!slice_eq(buf_slice(&out), slice_z(want)))
			fail_msg("step %zu: %.*s instead of %s", step, SLICE_ARG(buf_slice(&out)), want);
	}
}

static void
test_stuffing(void **state)
{
	struct slice mail = SLICE("A: b\r\n\r\none\r\n.two\r\n..\r\nfour\r\n");

	(void)state;
	stuffed(SLICE(""), 0, false, 0, ".\r\n");
	stuffed(SLICE(".\r\n"), 0, false, 0, "..\r\n.\r\n");
	stuffed(SLICE("a\r\n.b"), 0, false, 0, "a\r\n..b\r\n.\r\n");
	stuffed(SLICE("a\r"), 0, false, 0, "a\r\n.\r\n");
	stuffed(SLICE("a\n.\r\nb"), 0, false, 0, "a\n..\r\nb\r\n.\r\n");
	stuffed(SLICE("a\n"), 0, false, 0, "a\n\r\n.\r\n");
	stuffed(SLICE("\n"), 0, false, 0, "\n\r\n.\r\n");
	stuffed(mail, 8, false, 0, "A: b\r\n\r\none\r\n..two\r\n...\r\nfour\r\n.\r\n");
	stuffed(mail, 8, true, 0, "A: b\r\n\r\n.\r\n");
	stuffed(mail, 8, true, 2, "A: b\r\n\r\none\r\n..two\r\n.\r\n");
	stuffed(mail, 8, true, 99, "A: b\r\n\r\none\r\n..two\r\n...\r\nfour\r\n.\r\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_numbers),
	    cmocka_unit_test(test_stuffing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
