/* params_test.c: parameters of Content-Type and Content-Disposition. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "message/params.h"

static const struct {
	const char *raw, *shown; /* value|name=value|… sorted by name */
} rows[] = {
    {"", ""},
    {"text/plain", "text/plain"},
    {" Text/HTML ; Charset=\"UTF-8\"", "text/html|charset=UTF-8"},
    {"text/plain; charset=us-ascii (Plain text)", "text/plain|charset=us-ascii"},
    {"text (c) / (d) plain;charset=(x)y", "text/plain|charset=y"},
    {"text/plain charset=utf-8 format=flowed", "text/plain|charset=utf-8|format=flowed"},
    {"text/plain;; ;charset = utf-8;", "text/plain|charset=utf-8"},
    {"attachment; filename=my file (1).doc", "attachment|filename=my file"},
    {"attachment; filename=my  long file.doc; size=3", "attachment|filename=my long file.doc|size=3"},
    {"attachment; filename=\"a;b=c\\\"d\\\\e\"", "attachment|filename=a;b=c\"d\\e"},
    {"attachment; filename=\"open; size=3", "attachment|filename=open; size=3"},
    {"attachment; filename=", "attachment|filename="},
    {"attachment; =x; filename=y", "attachment|filename=y"},
    {"attachment; filename=a; filename=b", "attachment|filename=a"},
    {"text/plain; name=\"a\r\n b\"", "text/plain|name=a b"},
    {"name=x", "name|name=x"},
    /* RFC 2231 */
    {"m/e; url*0=\"ftp://\"; url*1=\"cs.utk.edu/pub\"", "m/e|url=ftp://cs.utk.edu/pub"},
    {"m/e; url*1=\"cs\"; url*0=\"ftp://\"", "m/e|url=ftp://cs"},
    {"a/b; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A", "a/b|title=This is ***fun***"},
    {"a/b; title*0*=us-ascii'en'This%20is%20even%20more%20; title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2=\"isn't it!\"",
	"a/b|title=This is even more ***fun*** isn't it!"},
    {"a/b; f*=utf-8''%C3%A4.txt; f=ae.txt", "a/b|f=\xc3\xa4.txt"},
    {"a/b; f=ae.txt; f*0*=iso-8859-1''%E4; f*1=.txt", "a/b|f=\xc3\xa4.txt"},
    {"a/b; f*0*=utf-8''%C3; f*1*=%A4", "a/b|f=\xc3\xa4"},
    {"a/b; f*0=a; f*2=c", "a/b|f=a"},
    {"a/b; f*1=a; f*2=c", "a/b|f=ac"},
    {"a/b; f*0=a; f*0=b; f*1=c", "a/b|f=ac"},
    {"a/b; f*=no quotes %41", "a/b|f=no quotes A"},
    {"a/b; f*=utf-8''%zz%4", "a/b|f=%zz%4"},
    {"a/b; f*5=x; f=y", "a/b|f=y"},
    {"a/b; f*99999999999=x", "a/b|f*99999999999=x"},
    {"a/b; *=x; *0=y", "a/b|*=x|*0=y"},
    /* RFC 2047 where it should not be */
    {"a/b; name=\"=?utf-8?B?w6Q=?=.txt\"", "a/b|name=\xc3\xa4.txt"},
    {"a/b; name==?utf-8?Q?=C3=A4?=", "a/b|name=\xc3\xa4"},
    {"a/b; name=\"=?utf-8?Q?=C3?=\r\n =?utf-8?Q?=A4?=\"", "a/b|name=\xc3\xa4"},
    {"a/b; name=\"\xe4\"", "a/b|name=\xc3\xa4"},
    {"a/b; name=\"x=?utf-8?q?=0D=0A=00?=\"", "a/b|name=x   "},
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
		struct mime_params p;
		struct slice value;

		arena_init(&a, 1 << 20);
		buf_init(&b, 1 << 16);
		assert_int_equal(params_parse(&a, slice_z(rows[i].raw), &limits, CHARSET_THREAD, &value, &p), 0);
		buf_put(&b, value);
		for (size_t k = 0; k < p.n; k++) {
			buf_put_u8(&b, '|');
			buf_put(&b, p.v[k].name);
			buf_put_u8(&b, '=');
			buf_put(&b, p.v[k].value);
		}
		buf_put_u8(&b, 0);
		if (strcmp((char *)b.p, rows[i].shown) != 0)
			print_message("%s\n", rows[i].raw);
		assert_string_equal((char *)b.p, rows[i].shown);
	}
}

static void
test_boundary(void **state)
{
	ARENA_CLEANUP struct arena a;
	struct limits limits;
	struct mime_params p;
	struct slice value;

	(void)state;
	limits_default(&limits);
	arena_init(&a, 1 << 20);
	/* Bytes as they are, whatever they look like. */
	assert_int_equal(
	    params_parse(&a, SLICE("m/x; boundary=\"=?utf-8?q?x?=\xff\""), &limits, CHARSET_FIBER, &value, &p), 0);
	assert_true(slice_eq(p.boundary, SLICE("=?utf-8?q?x?=\xff")));
	assert_int_equal(
	    params_parse(&a, SLICE("m/x; boundary*0=ab; boundary*1=cd"), &limits, CHARSET_FIBER, &value, &p), 0);
	assert_true(slice_eq(p.boundary, SLICE("abcd")));
	assert_null(params_get(&p, SLICE("charset")));
}

static void
test_floods(void **state)
{
	static const char *const units[] = {
	    ";a=b", ";a*0=b", ";a*%d*=%%41", ";", "a ", ";n=a b=c", "(", "\"", "\\", ";x%d=1", "*", ";a*=x'"};
	struct limits limits;

	(void)state;
	limits_default(&limits);
	for (size_t i = 0; i < COUNT_OF(units); i++) {
		ARENA_CLEANUP struct arena a;
		BUF_CLEANUP struct buf b;
		struct mime_params p;
		struct slice value;

		arena_init(&a, 16 << 20);
		buf_init(&b, 1 << 20);
		for (int n = 0; b.n + 40 < b.max; n++)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
			buf_printf(&b, units[i], n);
#pragma GCC diagnostic pop
		assert_int_equal(params_parse(&a, buf_slice(&b), &limits, CHARSET_THREAD, &value, &p), 0);
		assert_true(p.n <= 200);
	}
}

static void
check_put(const char *name, const char *value, const char *written)
{
	BUF_CLEANUP struct buf b;
	size_t column = 20;

	buf_init(&b, 10000);
	params_put(&b, slice_z(name), slice_z(value), &column);
	buf_put_u8(&b, 0);
	assert_string_equal((char *)b.p, written);
}

static void
test_writing(void **state)
{
	ARENA_CLEANUP struct arena a;
	struct mime_param p = {.name = SLICE("name"), .value = SLICE("\xc3\xa4 b")};
	struct slice name, value;

	(void)state;
	check_put("charset", "utf-8", "; charset=utf-8");
	check_put("name", "a \"b\"\r\n", "; name=\"a \\\"b\\\"  \"");
	check_put("name", "", "; name=\"\"");
	check_put("name", "\xc3\xa4.txt", "; name*0*=utf-8''%C3%A4.txt");
	check_put("filename", "a name that does not fit into what is left of this line.txt",
	    ";\r\n filename=\"a name that does not fit into what is left of this line.txt\"");
	arena_init(&a, 1000);
	params_wire(&a, &p, &name, &value);
	assert_true(slice_eq(name, SLICE("name*")) && slice_eq(value, SLICE("utf-8''%C3%A4%20b")));
	p.value = SLICE("plain b");
	params_wire(&a, &p, &name, &value);
	assert_true(slice_eq(name, SLICE("name")) && slice_eq(value, SLICE("plain b")));
	p.written = SLICE("=?us-ascii?Q?plain_b?=");
	params_wire(&a, &p, &name, &value);
	assert_true(slice_eq(name, SLICE("name")) && slice_eq(value, p.written));
}

/* Long names of any kind come back as they were. */
static void
test_round_trip(void **state)
{
	struct limits limits;

	(void)state;
	limits_default(&limits);
	for (size_t n = 1; n < 2000; n = n * 3 / 2 + 1) {
		ARENA_CLEANUP struct arena a;
		BUF_CLEANUP struct buf text;
		BUF_CLEANUP struct buf field;
		struct mime_params p;
		struct slice value;
		size_t column = 30;

		arena_init(&a, 1 << 20);
		buf_init(&text, 10000);
		buf_init(&field, 100000);
		for (size_t i = 0; i < n; i++)
			buf_put_z(&text, i % 3 == 0 ? "\xc3\xa4" : i % 3 == 1 ? "x" : "'");
		buf_put(&field, SLICE("attachment"));
		params_put(&field, SLICE("filename"), buf_slice(&text), &column);
		assert_int_equal(params_parse(&a, buf_slice(&field), &limits, CHARSET_FIBER, &value, &p), 0);
		assert_true(slice_eq(*params_get(&p, SLICE("filename")), buf_slice(&text)));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_boundary),
	    cmocka_unit_test(test_floods),
	    cmocka_unit_test(test_writing),
	    cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
