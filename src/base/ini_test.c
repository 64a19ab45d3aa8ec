/* The strict INI reader: what it takes, and every complaint with its line. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/ini.h"

static void
assert_parse(struct slice text, int want, const char *says)
{
	struct arena a ARENA_CLEANUP;
	struct buf detail BUF_CLEANUP;
	struct ini ini;

	arena_init(&a, 4 << 20);
	buf_init(&detail, 1 << 20);
	assert_int_equal(ini_parse(text, &a, &ini, &detail), want);
	buf_put_u8(&detail, 0);
	assert_string_equal((const char *)detail.p, says);
}

static void
test_good(void **state)
{
	struct arena a ARENA_CLEANUP;
	struct buf detail BUF_CLEANUP;
	struct ini ini;

	(void)state;
	arena_init(&a, 1 << 20);
	buf_init(&detail, 4096);
	assert_int_equal(
	    ini_parse(
		SLICE(
		    "\xef\xbb\xbf# c\r\n; c\n\n[house]\r\n host_name\t=  a = b # c \n empty=\n[listen  smtp]\nport=25"),
		&a, &ini, &detail),
	    0);
	assert_int_equal(ini.n, 2);
	assert_true(slice_eq(ini.sections[0].entries[0].key, SLICE("host_name")));
	assert_true(slice_eq(ini.sections[0].entries[0].value, SLICE("a = b # c")));
	assert_int_equal(ini.sections[0].entries[0].line, 5);
	assert_int_equal(ini.sections[0].entries[1].value.n, 0);
	assert_true(slice_eq(ini.sections[1].kind, SLICE("listen")));
	assert_true(slice_eq(ini.sections[1].name, SLICE("smtp")));
	assert_int_equal(ini_parse(SLICE_EMPTY, &a, &ini, &detail), 0);
	assert_int_equal(ini.n, 0);
}

static void
test_bad(void **state)
{
	static char big[INI_FILE_BYTES + 2], lines[3 * INI_LINE_BYTES];

	(void)state;
	assert_parse(SLICE("a = 1\n[x]\nb = 1\nb = 2\n[x]\nc\n[y\n]\nd = 1\n"), ERR_SYNTAX,
	    "line 1: a stands before the first [section]\n"
	    "line 4: b is set already, at line 3\n"
	    "line 5: this section is there already, at line 2\n"
	    "line 6: expected key = value, [section] or # comment\n"
	    "line 7: a section heading ends with ]\n"
	    "line 8: expected key = value, [section] or # comment\n");
	assert_parse(SLICE("[X]\n"), ERR_SYNTAX,
	    "line 1: a section is called [word] or [word NAME], with a-z, 0-9 and _ in the word\n");
	assert_parse(
	    SLICE("[a b c]\n"), ERR_SYNTAX, "line 1: the name of a section is one word of at most 255 bytes\n");
	assert_parse(SLICE("[a]\nB = 1\n= 2\n"), ERR_SYNTAX,
	    "line 2: a key consists of a-z, 0-9 and _\nline 3: a key consists of a-z, 0-9 and _\n");
	assert_parse(SLICE("[a]\nb = \xff\nc = \0\nd = \x01\n"), ERR_SYNTAX,
	    "line 2: the line is not valid UTF-8\nline 3: the line is not valid UTF-8\nline 4: the line contains a "
	    "control character\n");
	memset(lines, 'k', sizeof(lines));
	assert_parse(slice_of(lines, sizeof(lines)), ERR_SYNTAX, "line 1: the line is longer than 4096 bytes\n");
	memcpy(lines, "[a]\n", 4);
	memcpy(lines + 100, "=1\n", 3);
	assert_parse(slice_of(lines, 103), ERR_SYNTAX, "line 2: a key has at most 64 bytes\n");
	memset(big, '\n', sizeof(big));
	assert_parse(slice_of(big, sizeof(big)), ERR_SYNTAX, "the file is larger than 1048576 bytes\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
