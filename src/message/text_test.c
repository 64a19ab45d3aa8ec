/* text_test.c: text for searching and previews. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "message/text.h"

static const char sample[] =
    "Content-Type: multipart/mixed; boundary=x\r\n\r\n"
    "--x\r\nContent-Type: text/html\r\n\r\n<b>hidden</b>\r\n"
    "--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: =?utf-8?q?=C3=A4?=\r\n\r\ninner text\r\n"
    "--x\r\nContent-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nattached\r\n"
    "--x\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    "> quoted\r\nH=E4llo   W=F6rld\r\n\r\nagain\rand =\r\nagain\r\n--=20\r\nsignature\r\n--x--\r\n";

struct fixture {
	struct arena a;
	struct limits limits;
	struct mime m;
	struct buf b;
};

static void
fixture_init(struct fixture *f, struct slice raw)
{
	limits_default(&f->limits);
	arena_init(&f->a, 1 << 20);
	buf_init(&f->b, 1 << 20);
	assert_int_equal(mime_parse(&f->a, raw, &f->limits, CHARSET_FIBER, &f->m), 0);
}

static void
fixture_free(struct fixture *f)
{
	arena_free(&f->a);
	buf_free(&f->b);
}

static void
test_parts(void **state)
{
	__attribute__((cleanup(fixture_free))) struct fixture f;
	const struct mime_part *p;

	(void)state;
	fixture_init(&f, slice_z(sample));
	p = text_plain_part(&f.m);
	assert_ptr_equal(p, &f.m.v[5]);
	assert_int_equal(text_of_part(&f.m, p, &f.limits, CHARSET_FIBER, &f.b), 0);
	assert_true(slice_eq(
	    buf_slice(&f.b), SLICE("> quoted\nH\xc3\xa4llo   W\xc3\xb6rld\n\nagain\nand again\n-- \nsignature")));
	assert_int_equal(text_of_part(&f.m, &f.m.v[0], &f.limits, CHARSET_FIBER, &f.b), ERR_UNSUPPORTED);
	buf_reset(&f.b);
	assert_int_equal(text_of_message(&f.m, &f.limits, CHARSET_FIBER, &f.b), 0);
	assert_true(slice_eq(buf_slice(&f.b),
	    SLICE("Subject: \xc3\xa4\ninner text\nattached\n> quoted\nH\xc3\xa4llo   W\xc3\xb6rld\n\n"
		  "again\nand again\n-- \nsignature\n")));
}

static void
test_preview(void **state)
{
	__attribute__((cleanup(fixture_free))) struct fixture f;

	(void)state;
	fixture_init(&f, slice_z(sample));
	assert_int_equal(text_preview(&f.m, &f.limits, CHARSET_FIBER, 200, &f.b), 0);
	assert_true(slice_eq(buf_slice(&f.b), SLICE("H\xc3\xa4llo W\xc3\xb6rld again and again")));
	for (size_t n = 0; n < 30; n++) {
		size_t chars = 0;

		buf_reset(&f.b);
		assert_int_equal(text_preview(&f.m, &f.limits, CHARSET_FIBER, n, &f.b), 0);
		for (size_t i = 0; i < f.b.n; i++)
			chars += (f.b.p[i] & 0xc0) != 0x80;
		assert_true(chars <= n && slice_is_utf8(buf_slice(&f.b), true));
	}
	buf_reset(&f.b);
	assert_int_equal(mime_parse(&f.a, SLICE("Content-Type: image/png\n\nx"), &f.limits, CHARSET_FIBER, &f.m), 0);
	assert_int_equal(text_preview(&f.m, &f.limits, CHARSET_FIBER, 20, &f.b), 0);
	assert_int_equal(f.b.n, 0);
}

/* The limit cuts at a character, whatever the encoding. */
static void
test_limit(void **state)
{
	static const char *const raws[] = {
	    "Content-Type: text/plain; charset=utf-8\n\n\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4",
	    "Content-Type: text/plain; charset=iso-8859-1\n\n\xe4\xe4\xe4\xe4\xe4",
	    "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nw6TDpMOkw6TDpMOk",
	    "Content-Type: text/plain; charset=iso-2022-jp\n\n\x1b$BF|K\\F|K\\"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(raws); i++)
		for (int64_t max = 0; max < 12; max++) {
			__attribute__((cleanup(fixture_free))) struct fixture f;

			fixture_init(&f, slice_z(raws[i]));
			f.limits.message_text_bytes = max;
			assert_int_equal(text_of_part(&f.m, &f.m.v[0], &f.limits, CHARSET_THREAD, &f.b), 0);
			assert_true((int64_t)f.b.n <= max && slice_is_utf8(buf_slice(&f.b), false));
		}
}

static void
test_header(void **state)
{
	__attribute__((cleanup(fixture_free))) struct fixture f;
	struct header h;

	(void)state;
	fixture_init(&f, SLICE("Subject: a\r\n =?utf-8?q?b?=\r\nX-Y:\r\n\r\n"));
	assert_int_equal(mime_header(&f.a, &f.m, &f.m.v[0], &f.limits, &h), 0);
	text_of_header(&h, CHARSET_FIBER, &f.b);
	assert_true(slice_eq(buf_slice(&f.b), SLICE("Subject: a b\nX-Y: \n")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parts),
	    cmocka_unit_test(test_preview),
	    cmocka_unit_test(test_limit),
	    cmocka_unit_test(test_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
