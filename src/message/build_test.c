/* build_test.c: what is built is well formed and reads back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "message/build.h"
#include "message/date.h"
#include "message/text.h"

struct fixture {
	struct house h;
	struct arena a;
	struct buf b;
	struct mime m;
	struct header header;
};

static void
fixture_init(struct fixture *f)
{
	house_init(&f->h, "test");
	f->h.random_seed = 7;
	arena_init(&f->a, 8 << 20);
	buf_init(&f->b, 8 << 20);
}

static void
fixture_free(struct fixture *f)
{
	arena_free(&f->a);
	buf_free(&f->b);
}

/* CRLF lines only, none too long, ASCII only. */
static void
read_back(struct fixture *f)
{
	struct slice rest = buf_slice(&f->b);

	assert_int_equal(f->b.err, 0);
	assert_true(slice_is_ascii(rest) && slice_find_byte(rest, 0) == SLICE_NONE);
	while (rest.n > 0) {
		struct slice line = slice_cut(&rest, '\n');

		assert_true(line.n <= 999 && slice_ends(line, SLICE("\r")));
		assert_true(slice_find_byte(slice_head(line, line.n - 1), '\r') == SLICE_NONE);
	}
	assert_int_equal(mime_parse(&f->a, buf_slice(&f->b), &f->h.limits, CHARSET_FIBER, &f->m), 0);
	assert_int_equal(mime_header(&f->a, &f->m, &f->m.v[0], &f->h.limits, &f->header), 0);
}

static struct slice
field(struct fixture *f, struct slice name)
{
	assert_non_null(header_find(&f->header, name));
	assert_null(header_find_next(&f->header, header_find(&f->header, name)));
	return header_text(&f->a, header_value(&f->header, name), CHARSET_FIBER);
}

static struct slice
text(struct fixture *f, size_t part)
{
	BUF_CLEANUP struct buf b;

	buf_init(&b, 1 << 20);
	assert_int_equal(text_of_part(&f->m, &f->m.v[part], &f->h.limits, CHARSET_FIBER, &b), 0);
	return arena_copy(&f->a, buf_slice(&b));
}

static void
test_message(void **state)
{
	__attribute__((cleanup(fixture_free))) struct fixture f;
	struct address from = {
	    .name = SLICE("J\xc3\xb6rg, the \"one\""), .local = SLICE("j o"), .domain = SLICE("x.test")};
	struct address_list from_list = {.v = &from, .n = 1}, to;
	struct message_date d;
	struct build_message m = {.from = &from_list,
	    .to = &to,
	    .subject = SLICE("Gr\xc3\xbc\xc3\x9f"
			     "e\r\nBcc: evil@x.test"),
	    .text = SLICE("Hallo\nW\xc3\xb6rld\n"),
	    .message_id_domain = SLICE("host.test"),
	    .in_reply_to = SLICE("a@b>\r\nX: y"),
	    .references = SLICE_LIST(SLICE("r1@x"), SLICE("r2@x")),
	    .extra = SLICE_LIST(SLICE("Auto-Submitted: auto-replied\r\nEvil: yes"), SLICE("bad name: x"))};

	(void)state;
	fixture_init(&f);
	assert_int_equal(address_parse(&f.a,
			     SLICE("G: a@b.test, Long Name Of Somebody <long.local.part@some.domain.test>, "
				   "Another Long Name <another@some.domain.test>;, last@x.test"),
			     10, &to),
	    0);
	assert_int_equal(build_message(&f.h, &m, &f.b), 0);
	read_back(&f);
	assert_true(slice_eq(field(&f, SLICE("Subject")),
	    SLICE("Gr\xc3\xbc\xc3\x9f"
		  "e  Bcc: evil@x.test")));
	assert_true(slice_eq(field(&f, SLICE("From")), SLICE("J\xc3\xb6rg, the \"one\" <\"j o\"@x.test>")));
	assert_true(slice_eq(field(&f, SLICE("To")),
	    SLICE("G: a@b.test, Long Name Of Somebody <long.local.part@some.domain.test>, "
		  "Another Long Name <another@some.domain.test>;, last@x.test")));
	assert_true(slice_eq(field(&f, SLICE("References")), SLICE("<r1@x> <r2@x>")));
	assert_true(slice_eq(field(&f, SLICE("In-Reply-To")), SLICE("<a@bX:y>")));
	assert_true(slice_eq(field(&f, SLICE("Auto-Submitted")), SLICE("auto-replied Evil: yes")));
	assert_true(slice_ends(field(&f, SLICE("Message-ID")), SLICE("@host.test>")));
	assert_null(header_find(&f.header, SLICE("Bcc")));
	assert_null(header_find(&f.header, SLICE("Evil")));
	assert_null(header_find(&f.header, SLICE("X")));
	assert_int_equal(date_parse(field(&f, SLICE("Date")), &d), 0);
	assert_true(house_now_s(&f.h) - d.epoch_s < 10);
	assert_true(slice_eq(text(&f, 0), SLICE("Hallo\nW\xc3\xb6rld\n")));
}

static struct build_dsn
sample_dsn(const struct build_dsn_recipient *r, size_t n, struct slice original)
{
	return (struct build_dsn){.reporting_mta = SLICE("mx.here.test"),
	    .from = SLICE("mailer-daemon@here.test"),
	    .from_name = SLICE("Mail Delivery System"),
	    .to = SLICE("s ender@there.test"),
	    .subject = SLICE("Undelivered: \xc3\xa4"),
	    .text = SLICE("Your message could not be delivered."),
	    .envelope_id = SLICE("env-1"),
	    .queue_id = SLICE("01ABC"),
	    .arrival_s = 1795315346,
	    .recipients = r,
	    .recipients_n = n,
	    .original = original};
}

static void
test_dsn(void **state)
{
	static const char original[] = "Subject: orig\nX: y\n\n.body\n--=_0000\n";
	__attribute__((cleanup(fixture_free))) struct fixture f;
	struct build_dsn_recipient r[2] = {
	    {.original = SLICE("rfc822;o@x.test"),
		.final = SLICE("a@x.test"),
		.action = BUILD_DSN_FAILED,
		.status = SLICE("5.1.1"),
		.remote_mta = SLICE("mx.x.test"),
		.diagnostic = SLICE("550 5.1.1 no\r\nsuch \xc3\xa4 user"),
		.explanation = SLICE("There is no such mailbox."),
		.last_attempt_s = 1795315346},
	    {.final = SLICE("j\xc3\xb6@x.test"),
		.action = BUILD_DSN_DELAYED,
		.status = SLICE("5.x"),
		.will_retry_until_s = 1795315346},
	};
	struct build_dsn d = sample_dsn(r, 2, slice_z(original));
	struct slice status;

	(void)state;
	fixture_init(&f);
	assert_int_equal(build_dsn(&f.h, &d, &f.b), 0);
	read_back(&f);
	assert_int_equal(f.m.n, 5);
	assert_true(mime_is(&f.m.v[0], SLICE("multipart"), SLICE("report")) && !f.m.v[0].boundary_missing);
	assert_true(slice_eq(*params_get(&f.m.v[0].params, SLICE("report-type")), SLICE("delivery-status")));
	assert_true(slice_eq(field(&f, SLICE("To")), SLICE("\"s ender\"@there.test")));
	assert_true(slice_eq(field(&f, SLICE("Auto-Submitted")), SLICE("auto-replied")));
	assert_true(slice_find(text(&f, 1), SLICE("<a@x.test>\n    There is no such mailbox.\n")) != SLICE_NONE);
	assert_true(slice_find(text(&f, 1), SLICE("\n    mx.x.test said: 550 5.1.1 no")) != SLICE_NONE);
	assert_true(slice_find(text(&f, 1), SLICE("01ABC")) != SLICE_NONE);
	assert_true(mime_is(&f.m.v[2], SLICE("message"), SLICE("delivery-status")));
	status = mime_raw_body(&f.m, &f.m.v[2]);
	assert_true(slice_eq(status,
	    SLICE("Original-Envelope-Id: env-1\r\nReporting-MTA: dns; mx.here.test\r\n"
		  "Arrival-Date: Sun, 22 Nov 2026 02:42:26 +0000\r\n\r\n"
		  "Original-Recipient: rfc822;o@x.test\r\nFinal-Recipient: rfc822; a@x.test\r\nAction: "
		  "failed\r\nStatus: 5.1.1\r\n"
		  "Remote-MTA: dns; mx.x.test\r\nDiagnostic-Code: smtp; 550 5.1.1 no such ?? user\r\n"
		  "Last-Attempt-Date: Sun, 22 Nov 2026 02:42:26 +0000\r\n\r\n"
		  "Final-Recipient: utf-8; j\\x{F6}@x.test\r\nAction: delayed\r\nStatus: 4.0.0\r\n"
		  "Will-Retry-Until: Sun, 22 Nov 2026 02:42:26 +0000\r\n")));
	assert_true(f.m.v[3].has_message);
	assert_true(
	    slice_eq(mime_raw_body(&f.m, &f.m.v[3]), SLICE("Subject: orig\r\nX: y\r\n\r\n.body\r\n--=_0000\r\n")));
}

/* A long reply is broken between words, however long these are. */
static void
test_dsn_lines(void **state)
{
	__attribute__((cleanup(fixture_free))) struct fixture f;
	struct build_dsn_recipient r = {.final = SLICE("a@x.test"),
	    .status = SLICE("5.0.0"),
	    .diagnostic = SLICE(
		"550 the first words of a reply that goes on and on, to the end of the line and then "
		"further https://x.test/"
		"a-very-long-word-that-no-line-of-this-width-can-hold-and-that-stays-whole-nevertheless end")};
	struct build_dsn d = sample_dsn(&r, 1, SLICE_EMPTY);

	(void)state;
	fixture_init(&f);
	assert_int_equal(build_dsn(&f.h, &d, &f.b), 0);
	read_back(&f);
	assert_true(slice_find(text(&f, 1),
			SLICE("<a@x.test>\n"
			      "    The other server said: 550 the first words of a reply that goes on and\n"
			      "    on, to the end of the line and then further\n"
			      "    https://x.test/"
			      "a-very-long-word-that-no-line-of-this-width-can-hold-and-that-stays-whole-nevertheless\n"
			      "    end\n")) != SLICE_NONE);
}

/* What cannot go back as 7bit, or is too large, goes back as its header. */
static void
test_dsn_headers(void **state)
{
	__attribute__((cleanup(fixture_free))) struct fixture f;
	BUF_CLEANUP struct buf big;
	struct build_dsn_recipient r = {.final = SLICE("a@x.test"), .status = SLICE("5.0.0")};

	(void)state;
	buf_init(&big, 1 << 20);
	buf_put(&big, SLICE("Subject: big\r\n\r\n"));
	while (big.n < 100000)
		buf_put(&big, SLICE("line\r\n"));
	for (int i = 0; i < 4; i++) {
		struct build_dsn d = sample_dsn(&r, 1, SLICE("Subject: gr\xc3\xbc\xc3\x9f\r\nX: y\r\n\r\nbody\r\n"));
		struct slice want = SLICE("Subject: gr\xc3\xbc\xc3\x9f\nX: y\n");

		if (i == 1) {
			d.original = buf_slice(&big);
			want = SLICE("Subject: big\n");
		} else if (i == 2) {
			d.original = SLICE("Subject: small\r\n\r\nbody\r\n");
			d.headers_only = true;
			want = SLICE("Subject: small\n");
		} else if (i == 3) {
			d.original = SLICE("");
			d.headers_only = true;
			want = SLICE("");
		}
		fixture_init(&f);
		assert_int_equal(build_dsn(&f.h, &d, &f.b), 0);
		read_back(&f);
		assert_int_equal(f.m.n, 4);
		assert_true(mime_is(&f.m.v[3], SLICE("text"), SLICE("rfc822-headers")));
		assert_true(slice_eq(text(&f, 3), want));
		if (i < 3)
			fixture_free(&f);
	}
}

/* Hostile values of every field break no line and start no field. */
static void
test_injection(void **state)
{
	static const char evil[] = "x\r\n\r\nEvil: 1\r\n.\r\nEvil: 2\rEvil: 3\nEvil: 4\n\xff\xfe\x01";
	__attribute__((cleanup(fixture_free))) struct fixture f;
	struct slice e = slice_z(evil);
	struct build_dsn_recipient r = {
	    .original = e, .final = e, .status = e, .remote_mta = e, .diagnostic = e, .explanation = e};
	struct build_dsn d = {.reporting_mta = SLICE("h.test"),
	    .from = SLICE("d@h.test"),
	    .from_name = e,
	    .to = SLICE("x@y.test"),
	    .subject = e,
	    .text = e,
	    .envelope_id = e,
	    .queue_id = e,
	    .recipients = &r,
	    .recipients_n = 1,
	    .original = e};
	struct slice status;

	(void)state;
	fixture_init(&f);
	assert_int_equal(build_dsn(&f.h, &d, &f.b), 0);
	read_back(&f);
	assert_null(header_find(&f.header, SLICE("Evil")));
	assert_int_equal(f.m.n, 4);
	(void)text(&f, 1);
	assert_true(slice_eq(*params_get(&f.m.v[1].params, SLICE("charset")), SLICE("utf-8")));
	status = mime_raw_body(&f.m, &f.m.v[2]);
	assert_true(slice_find(status, SLICE("\nEvil")) == SLICE_NONE);
}

static void
test_long(void **state)
{
	__attribute__((cleanup(fixture_free))) struct fixture f;
	BUF_CLEANUP struct buf big;
	struct address ad;
	struct address_list l = {.v = &ad, .n = 1};

	(void)state;
	fixture_init(&f);
	buf_init(&big, 5000);
	while (big.n < 5000)
		buf_put_u8(&big, 'x');
	ad = (struct address){.name = buf_slice(&big), .local = SLICE("a"), .domain = SLICE("b")};
	build_field(&f.b, SLICE("Subject"), buf_slice(&big));
	build_field_raw(&f.b, SLICE("X"), buf_slice(&big));
	build_field_addresses(&f.b, SLICE("To"), &l);
	ad = (struct address){.local = buf_slice(&big), .domain = SLICE("b")};
	build_field_addresses(&f.b, SLICE("Cc"), &l);
	buf_put(&f.b, SLICE("\r\n"));
	read_back(&f);
	assert_int_equal(f.header.n, 4);
	assert_true(slice_eq(field(&f, SLICE("Subject")), buf_slice(&big)));
	/* A full buffer is told, not overrun. */
	f.b.max = f.b.n + 10;
	build_field(&f.b, SLICE("Subject"), buf_slice(&big));
	assert_int_equal(f.b.err, ERR_LIMIT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_message),
	    cmocka_unit_test(test_dsn),
	    cmocka_unit_test(test_dsn_lines),
	    cmocka_unit_test(test_dsn_headers),
	    cmocka_unit_test(test_injection),
	    cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
