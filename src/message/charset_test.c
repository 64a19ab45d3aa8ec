/* charset_test.c: conversion to UTF-8. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "message/charset.h"

#define FFFD "\xef\xbf\xbd"

static const struct {
	const char *name;
	struct slice in;
	const char *utf8;
	int err;
} rows[] = {
    {"us-ascii", SLICE_INIT("abc"), "abc", 0},
    {"US-ASCII", SLICE_INIT("a\xe4"), "a\xc3\xa4", ERR_INVALID},
    {"us-ascii", SLICE_INIT("a\xc3\xa4"), "a\xc3\xa4", ERR_INVALID},
    {"utf-8", SLICE_INIT("a\xc3\xa4"), "a\xc3\xa4", 0},
    {"UTF8",
	SLICE_INIT("a\xc3\xa4\xff"
		   "b"),
	"a\xc3\xa4" FFFD "b", ERR_INVALID},
    {"utf-8",
	SLICE_INIT("a\xc3\xa4\xed\xa0\x80"
		   "b"),
	"a\xc3\xa4" FFFD "b", ERR_INVALID},
    {"utf-8", SLICE_INIT("gr\xfc\xdf"), "gr\xc3\xbc\xc3\x9f", ERR_INVALID},
    {"iso-8859-1", SLICE_INIT("\xe4\x80"), "\xc3\xa4\xe2\x82\xac", 0},
    {"Windows-1252", SLICE_INIT("\x81\x9f"), FFFD "\xc5\xb8", ERR_INVALID},
    {"", SLICE_INIT("\xc3\xa4"), "\xc3\xa4", ERR_UNSUPPORTED},
    {"x-unknown", SLICE_INIT("\xe4"), "\xc3\xa4", ERR_UNSUPPORTED},
    {"iso-8859-15", SLICE_INIT("\xa4"), "\xe2\x82\xac", 0},
    {"latin2", SLICE_INIT("\xb1"), "\xc4\x85", 0},
    {"koi8-r", SLICE_INIT("\xc1"), "\xd0\xb0", 0},
    {"windows-1251", SLICE_INIT("\xe0"), "\xd0\xb0", 0},
    {"gb2312", SLICE_INIT("\xc4\xe3\xba\xc3"), "\xe4\xbd\xa0\xe5\xa5\xbd", 0},
    {"gb2312",
	SLICE_INIT("\xc4\xe3\xff"
		   "a"),
	"\xe4\xbd\xa0" FFFD "a", ERR_INVALID},
    {"big5", SLICE_INIT("\xa7\x41"), "\xe4\xbd\xa0", 0},
    {"Shift_JIS", SLICE_INIT("\x93\xfa\x96\x7b"), "\xe6\x97\xa5\xe6\x9c\xac", 0},
    {"iso-2022-jp", SLICE_INIT("\x1b$BF|K\\\x1b(B!"), "\xe6\x97\xa5\xe6\x9c\xac!", 0},
    {"ks_c_5601-1987", SLICE_INIT("\xc7\xd1"), "\xed\x95\x9c", 0},
    {"utf-16le", SLICE_INIT("a\0\xe4\0"), "a\xc3\xa4", 0},
    {"utf-16le", SLICE_INIT("a\0\x00"), "a" FFFD, ERR_INVALID},
    {"utf-7", SLICE_INIT("+AOQ-"), "\xc3\xa4", 0},
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		BUF_CLEANUP struct buf b;
		int err;

		buf_init(&b, 1000);
		err = charset_to_utf8(slice_z(rows[i].name), rows[i].in, CHARSET_THREAD, &b);
		if (err != rows[i].err || !slice_eq(buf_slice(&b), slice_z(rows[i].utf8)))
			print_message("%s: %d, %.*s\n", rows[i].name, err, SLICE_ARG(buf_slice(&b)));
		assert_int_equal(err, rows[i].err);
		assert_true(slice_eq(buf_slice(&b), slice_z(rows[i].utf8)));
	}
}

static void
test_fiber(void **state)
{
	BUF_CLEANUP struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_int_equal(charset_to_utf8(SLICE("koi8-r"), SLICE("\xc1"), CHARSET_FIBER, &b), ERR_UNSUPPORTED);
	assert_true(slice_eq(buf_slice(&b), SLICE("\xc3\x81")));
	assert_int_equal(charset_to_utf8(SLICE("l1"), SLICE("\xc1"), CHARSET_FIBER, &b), 0);
	assert_true(charset_is_builtin(SLICE("Latin1")) && !charset_is_builtin(SLICE("koi8-r")) &&
	    charset_is_known(SLICE("koi8-r")));
	assert_false(charset_is_known(SLICE("nonsense")));
	assert_false(charset_is_known(SLICE("a name that is far longer than any name of a charset")));
	assert_string_equal(charset_canonical(SLICE("CP1252")), "windows-1252");
	assert_null(charset_canonical(SLICE(" ")));
}

static void
test_limit_and_length(void **state)
{
	static const char *const names[] = {"utf-8", "iso-8859-1", "shift_jis", "utf-16", "gb18030", "iso-2022-kr"};
	BUF_CLEANUP struct buf in;

	(void)state;
	buf_init(&in, 100000);
	for (int i = 0; i < 100000; i++)
		buf_put_u8(&in, (uint8_t)(i * 7919 >> 3));
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		BUF_CLEANUP struct buf out;
		BUF_CLEANUP struct buf small;

		buf_init(&out, 1000000);
		buf_init(&small, 1000);
		(void)charset_to_utf8(slice_z(names[i]), buf_slice(&in), CHARSET_THREAD, &out);
		assert_int_equal(out.err, 0);
		assert_true(slice_is_utf8(buf_slice(&out), false));
		assert_int_equal(charset_to_utf8(slice_z(names[i]), buf_slice(&in), CHARSET_THREAD, &small), ERR_LIMIT);
	}
}

static void
test_warm(void **state)
{
	size_t missing;
	struct charset_warmth *w = charset_warm(&missing);

	(void)state;
	assert_non_null(w);
	assert_int_equal(missing, 0);
	charset_cool(w);
	charset_cool(NULL);
}

#define VECTORS "../shared/vectors/mime/tests/data/filters/"

static struct slice
file(const char *name, struct buf *b)
{
	char path[200];
	FILE *f;
	size_t n;

	(void)snprintf(path, sizeof(path), VECTORS "%s", name);
	f = fopen(path, "rb");
	assert_non_null(f);
	buf_init(b, 1 << 20);
	while ((n = fread(buf_reserve(b, 4096), 1, 4096, f)) > 0)
		buf_added(b, n);
	(void)fclose(f);
	return buf_slice(b);
}

static void
test_vectors(void **state)
{
	static const struct {
		const char *name, *in, *utf8;
	} files[] = {{"windows-1251", "cyrillic.cp1251.txt", "cyrillic.utf-8.txt"},
	    {"iso-8859-5", "cyrillic.iso-8859-5.txt", "cyrillic.utf-8.txt"},
	    {"koi8-r", "cyrillic.koi8-r.txt", "cyrillic.utf-8.txt"},
	    {"iso-2022-jp", "japanese.iso-2022-jp.txt", "japanese.utf-8.txt"},
	    {"shift_jis", "japanese.shift-jis.txt", "japanese.utf-8.txt"}};

	(void)state;
	if (access(VECTORS, R_OK) != 0)
		skip();
	for (size_t i = 0; i < COUNT_OF(files); i++) {
		BUF_CLEANUP struct buf in;
		BUF_CLEANUP struct buf utf8;
		BUF_CLEANUP struct buf out;

		buf_init(&out, 1 << 20);
		assert_int_equal(
		    charset_to_utf8(slice_z(files[i].name), file(files[i].in, &in), CHARSET_THREAD, &out), 0);
		if (!slice_eq(buf_slice(&out), file(files[i].utf8, &utf8)))
			print_message("%s\n", files[i].in);
		assert_true(slice_eq(buf_slice(&out), buf_slice(&utf8)));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_fiber),
	    cmocka_unit_test(test_limit_and_length),
	    cmocka_unit_test(test_warm),
	    cmocka_unit_test(test_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
