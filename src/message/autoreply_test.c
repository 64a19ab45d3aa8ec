/* Who is answered by a machine, and with what. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "message/autoreply.h"

static struct header
parse(struct arena *a, const char *fields)
{
	static struct limits limits; /* file scope: of the test */
	struct header h;

	limits_default(&limits);
	assert_int_equal(header_parse(a, slice_z(fields), &limits, &h), 0);
	return h;
}

static void
test_refusal(void **state)
{
	static const struct {
		const char *fields, *sender;
		bool answered;
	} v[] = {
	    {"Subject: x\r\n\r\n", "ann@a.test", true},
	    {"Subject: x\r\n\r\n", "\xc3\xa9t\xc3\xa9@a.test", true},
	    {"Subject: x\r\n\r\n", "", false},
	    {"Subject: x\r\n\r\n", "ann", false},
	    {"Subject: x\r\n\r\n", "@a.test", false},
	    {"Subject: x\r\n\r\n", "Mailer-Daemon@a.test", false},
	    {"Subject: x\r\n\r\n", "owner-list@a.test", false},
	    {"Subject: x\r\n\r\n", "list-request@a.test", false},
	    {"Subject: x\r\n\r\n", "list-bounces@a.test", false},
	    {"Subject: x\r\n\r\n", "bounces+ann=b.test@a.test", false},
	    {"Subject: x\r\n\r\n", "no-reply@a.test", false},
	    {"Subject: x\r\n\r\n", "reply@a.test", true},
	    {"Subject: x\r\n\r\n", "SRS0=abc=de=b.test=ann@a.test", true},
	    {"Auto-Submitted: no\r\n\r\n", "ann@a.test", true},
	    {"Auto-Submitted: (a comment) NO ; x=y\r\n\r\n", "ann@a.test", true},
	    {"Auto-Submitted: auto-notified\r\n\r\n", "ann@a.test", false},
	    {"Auto-Submitted: (no)\r\n auto-replied\r\n\r\n", "ann@a.test", false},
	    {"Auto-Submitted:\r\n\r\n", "ann@a.test", false},
	    {"LIST-UNSUBSCRIBE: <x>\r\n\r\n", "ann@a.test", false},
	    {"Listing: x\r\n\r\n", "ann@a.test", true},
	    {"Precedence: first-class\r\n\r\n", "ann@a.test", true},
	    {"precedence: junk\r\n\r\n", "ann@a.test", false},
	    {"X-Auto-Response-Suppress: DR, OOF\r\n\r\n", "ann@a.test", false},
	    {"X-Auto-Response-Suppress: DR\r\n\r\n", "ann@a.test", true},
	    {"X-Spam-Flag: YES\r\n\r\n", "ann@a.test", false},
	    {"Content-Type: Multipart/Report; boundary=x\r\n\r\n", "ann@a.test", false},
	    {"Content-Type: text/plain\r\n\r\nList-Id: in the body\r\n", "ann@a.test", true},
	};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < COUNT_OF(v); i++) {
		struct header h = parse(&a, v[i].fields);

		if ((autoreply_refusal(&h, slice_z(v[i].sender)) == NULL) != v[i].answered)
			fail_msg("row %zu", i);
	}
	arena_free(&a);
}

static void
test_recipients(void **state)
{
	struct arena a;
	struct slice_list to;
	struct header h;

	(void)state;
	arena_init(&a, 1 << 20);
	h = parse(&a,
	    "To: \"A, B\" <ann@a.test>, team: bob@b.test, \"c d\"@c.test;\r\nCC: nobody,\r\n eve@e.test\r\n"
	    "Resent-To: fay@f.test\r\nFrom: gus@g.test\r\n\r\n");
	assert_int_equal(autoreply_recipients(&a, &h, 100, &to), 0);
	assert_int_equal(to.n, 5);
	assert_true(slice_eq(to.v[0], SLICE("ann@a.test")));
	assert_true(slice_eq(to.v[1], SLICE("bob@b.test")));
	assert_true(slice_eq(to.v[2], SLICE("\"c d\"@c.test")));
	assert_true(slice_eq(to.v[3], SLICE("eve@e.test")));
	assert_true(slice_eq(to.v[4], SLICE("fay@f.test")));
	assert_int_equal(autoreply_recipients(&a, &h, 2, &to), 0);
	assert_int_equal(to.n, 2);
	arena_free(&a);
}

static void
test_make(void **state)
{
	struct arena a;
	struct autoreply r;
	struct header h;
	struct buf many BUF_CLEANUP;

	(void)state;
	arena_init(&a, 1 << 20);
	h = parse(&a,
	    "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe=0D=0ABcc:_x?=\r\nMessage-ID: <two@a.test>\r\nReferences: "
	    "<one@a.test>\r\n\r\n");
	assert_int_equal(autoreply_make(&a, &h, &r), 0);
	assert_true(slice_starts(r.subject,
	    SLICE("Auto: Gr\xc3\xbc\xc3\x9f"
		  "e")));
	assert_int_equal(slice_find_byte(r.subject, '\n'), SLICE_NONE);
	assert_true(slice_eq(r.in_reply_to, SLICE("two@a.test")));
	assert_int_equal(r.references.n, 2);
	assert_true(slice_eq(r.references.v[1], SLICE("two@a.test")));

	h = parse(&a, "From: x@y.test\r\n\r\n");
	assert_int_equal(autoreply_make(&a, &h, &r), 0);
	assert_true(slice_eq(r.subject, SLICE("Auto: your message")));
	assert_int_equal(r.in_reply_to.n + r.references.n, 0);

	buf_init(&many, 1 << 20);
	buf_put_z(&many, "Message-ID: <last@a.test>\r\nReferences:");
	for (int i = 0; i < 150; i++)
		buf_printf(&many, "\r\n <%d@a.test>", i);
	buf_put_z(&many, "\r\nSubject: ");
	for (int i = 0; i < 400; i++)
		buf_put_z(&many, "\xc3\xa4");
	buf_put_z(&many, "\r\n\r\n");
	buf_put_u8(&many, 0);
	h = parse(&a, (const char *)buf_slice(&many).p);
	assert_int_equal(autoreply_make(&a, &h, &r), 0);
	assert_int_equal(r.references.n, 20);
	assert_true(slice_eq(r.references.v[0], SLICE("131@a.test")));
	assert_true(slice_eq(r.references.v[19], SLICE("last@a.test")));
	assert_true(r.subject.n <= 306 && slice_is_utf8(r.subject, true));
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_refusal), cmocka_unit_test(test_recipients), cmocka_unit_test(test_make)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
