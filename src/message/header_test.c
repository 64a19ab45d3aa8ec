/* header_test.c: walking, unfolding and decoding fields. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "message/header.h"

static const struct {
	struct slice raw;
	const char *shown; /* name=value; of each field, value unfolded */
	size_t size;
} rows[] = {
    {SLICE_INIT(""), "", 0},
    {SLICE_INIT("\r\nbody"), "", 2},
    {SLICE_INIT("\nA: b\n"), "", 1},
    {SLICE_INIT("A: b\r\nC:d\r\n\r\nbody"), "A=b;C=d;", 13},
    {SLICE_INIT("A: b\nC: d\n e\n\tf\n\nbody"), "A=b;C=d e\tf;", 17},
    {SLICE_INIT("A: b"), "A=b;", 4},
    {SLICE_INIT("A: b\r\n"), "A=b;", 6},
    {SLICE_INIT("A:\r\n\r\n"), "A=;", 6},
    {SLICE_INIT("A :\t b \r\n\r\n"), "A=b;", 11},
    {SLICE_INIT("From a@b Mon Jan  1 00:00:00 2001\nA: b\n\nx"), "A=b;", 40},
    {SLICE_INIT(" lead\r\n more\r\nA: b\r\n\r\n"), "A=b;", 22},
    {SLICE_INIT("A: b\r\nno colon here\r\n still\r\nC: d\r\n\r\n"), "A=b;C=d;", 37},
    {SLICE_INIT("A: b\r\nbad name: x\r\nC: d\r\n\r\n"), "A=b;C=d;", 27},
    {SLICE_INIT(": x\r\nA: b\r\n\r\n"), "A=b;", 13},
    {SLICE_INIT("A: b\r\n \r\nC: d\r\n\r\n"), "A=b;C=d;", 17},
    {SLICE_INIT("A: b\rc\r\n\r\n"), "A=b c;", 10},
    {SLICE_INIT("A: b\r\n\rC: d\r\n"), "A=b;", 13},
};

static void
test_rows(void **state)
{
	struct limits limits;

	(void)state;
	limits_default(&limits);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		ARENA_CLEANUP struct arena a;
		BUF_CLEANUP struct buf b;
		struct header h;

		arena_init(&a, 1 << 20);
		buf_init(&b, 1 << 16);
		assert_int_equal(header_parse(&a, rows[i].raw, &limits, &h), 0);
		for (size_t k = 0; k < h.n; k++) {
			buf_put(&b, h.v[k].name);
			buf_put_u8(&b, '=');
			buf_put(&b, header_unfold(&a, h.v[k].value));
			buf_put_u8(&b, ';');
		}
		buf_put_u8(&b, 0);
		assert_string_equal((char *)b.p, rows[i].shown);
		assert_int_equal(h.size, rows[i].size);
	}
}

static void
test_lookup(void **state)
{
	ARENA_CLEANUP struct arena a;
	struct limits limits;
	const struct header_field *f;
	struct header h;

	(void)state;
	limits_default(&limits);
	arena_init(&a, 1 << 20);
	assert_int_equal(
	    header_parse(&a, SLICE("Received: 1\nsubject: =?utf-8?q?=C3=A4?=\n\tx\nRECEIVED: 2\nNul: a\0b\xff\n\n"),
		&limits, &h),
	    0);
	f = header_find(&h, SLICE("received"));
	assert_true(slice_eq(f->value, SLICE(" 1")) && slice_eq(f->raw, SLICE("Received: 1\n")));
	f = header_find_next(&h, f);
	assert_true(slice_eq(f->value, SLICE(" 2")) && f == header_find_last(&h, SLICE("Received")));
	assert_null(header_find_next(&h, f));
	assert_null(header_find(&h, SLICE("To")));
	assert_int_equal(header_value(&h, SLICE("To")).n, 0);
	assert_true(
	    slice_eq(header_text(&a, header_value(&h, SLICE("Subject")), CHARSET_FIBER), SLICE("\xc3\xa4\tx")) ||
	    slice_eq(header_text(&a, header_value(&h, SLICE("Subject")), CHARSET_FIBER), SLICE("\xc3\xa4 x")));
	assert_true(slice_eq(header_text(&a, header_value(&h, SLICE("Nul")), CHARSET_FIBER), SLICE("a b\xc3\xbf")));
}

static void
test_limits(void **state)
{
	ARENA_CLEANUP struct arena a;
	BUF_CLEANUP struct buf b;
	struct limits limits;
	struct header h;

	(void)state;
	limits_default(&limits);
	arena_init(&a, 16 << 20);
	buf_init(&b, 1 << 20);
	while (b.n + 10 < b.max)
		buf_put(&b, SLICE("A:b\n"));
	limits.message_headers = 100;
	assert_int_equal(header_parse(&a, buf_slice(&b), &limits, &h), 0);
	assert_int_equal(h.n, 100);
	assert_true(h.truncated);
	assert_int_equal(h.size, b.n);
	limits.message_header_bytes = 10;
	assert_int_equal(header_parse(&a, buf_slice(&b), &limits, &h), 0);
	assert_int_equal(h.size, 10);
	assert_int_equal(h.n, 3); /* the third one lost its value */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_lookup),
	    cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
