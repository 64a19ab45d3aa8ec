/* What leaves the header section of a submitted message, however it is dressed and wherever it is cut. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/header_fix.h"

static int
put(void *ctx, struct slice run)
{
	buf_put(ctx, run);
	return 0;
}

static void
fix_as(bool submission, struct slice in, size_t cut, struct smtp_header_fix *f, struct buf *out)
{
	struct slice_list names = SLICE_LIST(SLICE("mx.example.org"));

	smtp_header_fix_init(f, submission, names);
	assert_int_equal(smtp_header_fix_feed(f, slice_head(in, cut), put, out), 0);
	assert_int_equal(smtp_header_fix_feed(f, slice_from(in, cut), put, out), 0);
	assert_int_equal(smtp_header_fix_end(f, put, out), 0);
	smtp_header_fix_free(f);
}

static void
fix(struct slice in, size_t cut, struct smtp_header_fix *f, struct buf *out)
{
	fix_as(true, in, cut, f, out);
}

static void
hidden_recipients_are_taken_out(void **state)
{
	static const struct {
		const char *in, *out;
	} v[] = {
	    {"From: a\r\nBcc: x@y\r\nTo: b\r\n\r\nBcc: body\r\n", "From: a\r\nTo: b\r\n\r\nBcc: body\r\n"},
	    {"bcc:x\r\n\r\n", "\r\n"},
	    {"BCC: x,\r\n y,\r\n\tz\r\nTo: b\r\n\r\n", "To: b\r\n\r\n"},
	    {"To: b\r\nBcc \t : x\r\n \r\n y\r\nSubject: s\r\n\r\n", "To: b\r\nSubject: s\r\n\r\n"},
	    {"Bcc: x\r\nBcc: y\r\nBcc:\r\n\r\n", "\r\n"},
	    {"Resent-Bcc: x\r\nReturn-Path: <z>\r\nTo: b\r\n\r\n", "To: b\r\n\r\n"},
	    {"Bccx: a\r\nX-Bcc: b\r\nBc: c\r\n\r\n", "Bccx: a\r\nX-Bcc: b\r\nBc: c\r\n\r\n"},
	    {"To: b\r\n Bcc: folded\r\n\r\n", "To: b\r\n Bcc: folded\r\n\r\n"},
	    {"Content-Type: message/rfc822\r\n\r\nBcc: inner\r\n\r\nx",
		"Content-Type: message/rfc822\r\n\r\nBcc: inner\r\n\r\nx"},
	    {"To: b\r\nBcc: x", "To: b\r\n"},
	    {"To: b\r\nBcc", "To: b\r\nBcc"},
	    {"To: b\r\nBcc x: y\r\n\r\n", "To: b\r\nBcc x: y\r\n\r\n"},
	    {"To: b\r\nno field\r\nBcc: x\r\n\r\n", "To: b\r\nno field\r\n\r\n"},
	    {"", ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(v); i++) {
		struct slice in = slice_z(v[i].in);

		for (size_t cut = 0; cut <= in.n; cut++) {
			BUF_CLEANUP struct buf out;
			struct smtp_header_fix f;

			buf_init(&out, 1000);
			fix(in, cut, &f, &out);
			if (!slice_eq(buf_slice(&out), slice_z(v[i].out)))
				fail_msg("%zu cut at %zu: %.*s", i, cut, SLICE_ARG(buf_slice(&out)));
			assert_false(f.headless);
		}
	}
}

static void
nul_bytes_do_not_hide_a_field(void **state)
{
	static const char text[] = "To: b\r\nB\0cc\0: x\r\n\r\n";
	BUF_CLEANUP struct buf out;
	struct smtp_header_fix f;

	(void)state;
	buf_init(&out, 1000);
	fix(slice_of(text, sizeof(text) - 1), 9, &f, &out);
	assert_true(slice_eq(buf_slice(&out), SLICE("To: b\r\n\r\n")));
}

static void
a_message_without_header_is_all_body(void **state)
{
	static const char *const v[] = {
	    "hello\r\nBcc: x\r\n", " To: b\r\nBcc: x\r\n\r\n", "hello", "a b: c\r\nBcc: x\r\n"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(v); i++)
		for (size_t cut = 0; cut <= strlen(v[i]); cut++) {
			BUF_CLEANUP struct buf out;
			struct smtp_header_fix f;

			buf_init(&out, 1000);
			fix(slice_z(v[i]), cut, &f, &out);
			assert_true(slice_eq(buf_slice(&out), slice_z(v[i])));
			assert_true(f.headless);
		}
}

static void
forged_results_are_taken_out(void **state)
{
	static const struct {
		const char *in, *out;
	} v[] = {
	    {"Authentication-Results: mx.example.org; spf=pass\r\nTo: b\r\n\r\n", "To: b\r\n\r\n"},
	    {"To: b\r\nauthentication-results :\r\n\tMX.example.ORG;\r\n\tdkim=pass;\r\n\tx\r\nX: y\r\n\r\nbody",
		"To: b\r\nX: y\r\n\r\nbody"},
	    {"Authentication-Results: (a; b)\r\n (c;)mx.example.org\r\n\r\n", "\r\n"},
	    {"Authentication-Results:\r\n\r\n", "\r\n"},
	    {"Authentication-Results: mx.example.org", ""},
	    {"Authentication-Results: other.test; spf=pass\r\n\tx (mx.example.org)\r\nTo: b\r\n\r\n",
		"Authentication-Results: other.test; spf=pass\r\n\tx (mx.example.org)\r\nTo: b\r\n\r\n"},
	    {"Authentication-Results: other.test\r\nAuthentication-Results: mx.example.org;\r\n x\r\n y\r\nTo: "
	     "b\r\n\r\n",
		"Authentication-Results: other.test\r\nTo: b\r\n\r\n"},
	    {"Authentication-Results-X: mx.example.org;\r\n\r\n", "Authentication-Results-X: mx.example.org;\r\n\r\n"},
	    {"ARC-Authentication-Results: i=1; mx.example.org;\r\n\r\nAuthentication-Results: mx.example.org;",
		"ARC-Authentication-Results: i=1; mx.example.org;\r\n\r\nAuthentication-Results: mx.example.org;"},
	    {"no field\r\nBcc: a\r\nAuthentication-Results: mx.example.org;\r\n\r\n", "no field\r\nBcc: a\r\n\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(v); i++) {
		struct slice in = slice_z(v[i].in);

		for (size_t cut = 0; cut <= in.n; cut++) {
			BUF_CLEANUP struct buf out;
			struct smtp_header_fix f;

			buf_init(&out, 1000);
			fix_as(false, in, cut, &f, &out);
			if (!slice_eq(buf_slice(&out), slice_z(v[i].out)))
				fail_msg("%zu cut at %zu: %.*s", i, cut, SLICE_ARG(buf_slice(&out)));
			assert_false(f.headless);
		}
	}
}

/* Semicolons without end in a comment before the name: the field goes, all of it, and costs little. */
static void
results_that_hide_their_author(void **state)
{
	BUF_CLEANUP struct buf in, out;
	struct smtp_header_fix f;

	(void)state;
	buf_init(&in, 1000000);
	buf_init(&out, 1000000);
	for (int field = 0; field < 2; field++) {
		buf_put_z(&in, "Authentication-Results: (");
		for (int i = 0; i < 200000; i++)
			buf_put_z(&in, i % 100 == 99 ? "\r\n " : ";");
		buf_put_z(&in, ") other.test; spf=pass\r\n");
	}
	buf_put_z(&in, "To: b\r\n\r\n");
	fix_as(false, buf_slice(&in), 30000, &f, &out);
	assert_true(slice_eq(buf_slice(&out), SLICE("To: b\r\n\r\n")));
	assert_int_equal(f.removed, 2);
}

/* However long: a name and its white space are held only up to a bound, and nothing is lost behind it. */
static void
long_names_are_held_no_longer_than_needed(void **state)
{
	BUF_CLEANUP struct buf in, out;
	struct smtp_header_fix f;

	(void)state;
	buf_init(&in, 100000);
	buf_init(&out, 100000);
	buf_put_z(&in, "To: b\r\n");
	for (int i = 0; i < 80000; i++)
		buf_put_u8(&in, 'b');
	buf_put_z(&in, ": x\r\n\r\n");
	fix(buf_slice(&in), 100, &f, &out);
	assert_true(slice_eq(buf_slice(&in), buf_slice(&out)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(hidden_recipients_are_taken_out),
	    cmocka_unit_test(nul_bytes_do_not_hide_a_field),
	    cmocka_unit_test(a_message_without_header_is_all_body),
	    cmocka_unit_test(forged_results_are_taken_out),
	    cmocka_unit_test(results_that_hide_their_author),
	    cmocka_unit_test(long_names_are_held_no_longer_than_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
