/* What is seen of a message: words through disguises, links through tricks, and nothing of what the receiving side added. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "spam/extract.h"
#include "spam/html_scan.h"
#include "spam/plain_text.h"
#include "spam/url.h"

struct seen {
	struct limits limits;
	struct spam_extractor x;
	struct spam_features f;
	struct buf names; /* "kind|text" a line */
};

static void
take_name(void *of, spam_key key, const char *kind, struct slice text)
{
	struct seen *s = of;

	(void)key;
	buf_put_z(&s->names, kind);
	buf_put_u8(&s->names, '|');
	buf_put(&s->names, text);
	buf_put_u8(&s->names, '\n');
}

static int
setup(void **state)
{
	struct seen *s = calloc(1, sizeof(*s));

	limits_default(&s->limits);
	spam_extractor_init(&s->x, &s->limits);
	assert_int_equal(spam_features_init(&s->f), 0);
	s->f.namer = take_name;
	s->f.namer_of = s;
	buf_init(&s->names, 16u << 20);
	*state = s;
	return 0;
}

static int
teardown(void **state)
{
	struct seen *s = *state;

	spam_extractor_free(&s->x);
	spam_features_free(&s->f);
	buf_free(&s->names);
	free(s);
	return 0;
}

static void
look(struct seen *s, struct slice raw)
{
	struct spam_message m = {.raw = raw, .texts = spam_texts_here(), .place = CHARSET_THREAD};

	buf_reset(&s->names);
	assert_int_equal(spam_extract(&s->x, &m, &s->f), 0);
}

static bool
has(struct seen *s, const char *name)
{
	char line[300];

	(void)snprintf(line, sizeof(line), "%s\n", name);
	return slice_find(buf_slice(&s->names), slice_z(line)) != SLICE_NONE;
}

static void
assert_has(struct seen *s, const char *name)
{
	if (!has(s, name))
		fail_msg("no feature %s in:\n%.*s", name, (int)s->names.n, (const char *)s->names.p);
}

static void
test_message(void **state)
{
	struct seen *s = *state;

	look(s,
	    SLICE("Received: from relay.example.co.uk (unknown [192.0.2.9]) by mx.elsewhere.test with SMTP id x; Mon, "
		  "1 Jan "
		  "2024 00:00:00 +0000\r\n"
		  "From: \"Cheap Pills\" <sales@shop.example.co.uk>\r\nReply-To: other@elsewhere.test\r\n"
		  "Subject: =?utf-8?Q?F=C3=BCr_Sie?= free offer!\r\nX-Mailer: Bulk Sender 3\r\n"
		  "Message-ID: <123@shop.example.co.uk>\r\n\r\nBuy now at http://www.shop.example.co.uk/buy.php?id=7 "
		  "!\r\n"));
	assert_has(s, "word|free");
	assert_has(s, "word|offer!");
	assert_has(s, "word|fur");
	assert_has(s, "words|buy now");
	assert_has(s, "link to|example.co.uk");
	assert_has(s, "link to its sender|");
	assert_has(s, "link asks for|id");
	assert_has(s, "link to a file|.php");
	assert_has(s, "field|X-Mailer");
	assert_has(s, "x-mailer|bulk");
	assert_has(s, "relay|example.co.uk");
	assert_has(s, "relay's network|192.0.2");
	assert_has(s, "against From:|reply-to another domain");
	assert_has(s, "Message-ID of its sender|yes");
}

/* The same message before and after it was delivered gives the same features. */
static void
test_what_delivery_adds(void **state)
{
	struct seen *s = *state;
	struct slice bare = SLICE(
			 "From: a@b.test\nSubject: hello there\nDate: Mon, 1 Jan 2024 00:00:00 +0000\n\ntext of it\n"),
		     full = SLICE(
			 "Return-Path: <a@b.test>\nDelivered-To: c@d.test\nX-Spam-Status: Yes, score=9\nX-Keywords: x\n"
			 "Authentication-Results: d.test; spf=pass\nReceived: from b.test by d.test; Tue, 2 Jan 2024\n"
			 "From: a@b.test\nSubject: hello there\nDate: Wed, 3 Jan 2024 00:00:00 +0000\n\ntext of it\n");
	struct spam_message m = {.raw = full, .own_received = 1, .texts = spam_texts_here(), .place = CHARSET_THREAD};
	BUF_CLEANUP struct buf before;

	buf_init(&before, 1u << 20);
	look(s, bare);
	buf_put(&before, slice_of(s->f.v, s->f.n * sizeof(*s->f.v)));
	assert_int_equal(spam_extract(&s->x, &m, &s->f), 0);
	assert_true(slice_eq(slice_of(s->f.v, s->f.n * sizeof(*s->f.v)), buf_slice(&before)));
}

static void
test_disguise(void **state)
{
	struct seen *s = *state;

	look(s,
	    SLICE("Subject: x\nContent-Type: text/plain; charset=utf-8\n\n"
		  "v\xe2\x80\x8bia\xc2\xadgra and V I A G R A, \xef\xbd\x86\xef\xbd\x92\xef\xbd\x85\xef\xbd\x85 "
		  "p\xd0\xb0yp\xd0\xb0l \xe2\x80\xae"
		  "reversed\n"));
	assert_has(s, "word|viagra");
	assert_has(s, "a word in single letters|");
	assert_has(s, "word|free");
	assert_has(s, "word|paypal");
	assert_has(s, "a word in two alphabets|");
	assert_has(s, "marks of direction:|1 or more");
	assert_has(s, "invisible characters:|2 or more");
}

static void
test_page(void **state)
{
	struct seen *s = *state;

	look(s,
	    SLICE("Subject: x\nContent-Type: text/html; charset=utf-8\n\n<HTML><body bgcolor=\"#FFF\"><!-- noise "
		  "--><p>Die<b>t</b> "
		  "now<a href='http://user@%77ww.evil.test:8080/x'>http://bank.test/</a><img "
		  "src=\"http://0x7f000001/p.gif\">"
		  "<div style='display:none'>secret</div><a href=\"http://p\xc3\xa4ypal.test/\">x</a></body></html>"));
	assert_has(s, "word|diet");
	assert_false(has(s, "word|secret"));
	assert_has(s, "style|display:none");
	assert_has(s, "link to|evil.test");
	assert_has(s, "link with a user's name|");
	assert_has(s, "link with a port|");
	assert_has(s, "link with an escaped host|");
	assert_has(s, "picture from|0x7f000001");
	assert_has(s, "link to a number|");
	assert_has(s, "link to|xn--pypal-gra.test");
	assert_has(s, "attribute|bgcolor #fff");
	assert_has(s, "page|alone");
	assert_has(s, "comments in the page:|1 or more");
}

static void
test_attachment(void **state)
{
	struct seen *s = *state;

	look(s,
	    SLICE("Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nsee "
		  "it\n--b\n"
		  "Content-Type: application/octet-stream; name=\"Invoice.PDF.exe\"\nContent-Disposition: "
		  "attachment\n\nMZ\n--b--\n"));
	assert_has(s, "attachment|application octet-stream");
	assert_has(s, "attached file|.exe");
	assert_has(s, "part within|mixed octet-stream");
	assert_has(s, "word|see");
}

/* Whatever comes, the features are bounded, and it ends. */
static void
test_huge(void **state)
{
	struct seen *s = *state;
	BUF_CLEANUP struct buf raw;

	buf_init(&raw, 64u << 20);
	buf_put_z(&raw, "Subject: x\nContent-Type: text/html\n\n");
	for (unsigned i = 0; i < 10000; i++)
		buf_printf(&raw, "<a href=http://host%u.test/%u>w%u</a>", i, i, i);
	for (unsigned i = 0; i < 1000; i++)
		buf_put_z(&raw, "<table><tr><td>");
	while (raw.n < 50u << 20)
		buf_put_z(&raw, "<b><i><font color=red>and so on, and so on, and so on, and so on, and so on</b>");
	look(s, buf_slice(&raw));
	for (size_t g = 0; g < SPAM_GROUPS; g++)
		assert_true(s->f.counts[g] <= spam_groups[g].max);
	buf_reset(&raw);
	for (unsigned i = 0; i < 1000; i++)
		buf_put_z(&raw, "<table><tr><td>");
	look(s, buf_slice(&raw));
	buf_reset(&raw);
	for (unsigned i = 0; i < 20000; i++)
		buf_printf(&raw, "X-%u: y\n", i);
	look(s, buf_slice(&raw));
	look(s, SLICE_EMPTY);
}

static void
test_url(void **state)
{
	ARENA_CLEANUP struct arena a;
	struct slice text = SLICE("see http://a.test/x, or (www.b.co.uk) and https://[::1]/ not www or ://"), link;
	struct url u;
	size_t at = 0;

	(void)state;
	arena_init(&a, 1u << 20);
	assert_true(url_next(text, &at, &link));
	assert_true(slice_eq(link, SLICE("http://a.test/x")));
	assert_true(url_next(text, &at, &link));
	assert_true(slice_eq(link, SLICE("www.b.co.uk")));
	assert_true(url_parse(&a, link, &u));
	assert_string_equal(u.domain, "b.co.uk");
	assert_true(url_next(text, &at, &link));
	assert_true(url_parse(&a, link, &u));
	assert_true(u.number);
	assert_false(url_next(text, &at, &link));
	assert_false(url_parse(&a, SLICE("mailto:a@b.test"), &u));
	assert_false(url_parse(&a, SLICE("#top"), &u));
	assert_true(url_parse(&a, SLICE("http:\\\\EVIL.test.\\x"), &u));
	assert_string_equal(u.host, "evil.test");
}

static void
test_html_scan(void **state)
{
	struct html_scan s = {
	    .in = SLICE("a < b <p class=x title='a>b'>t<script>if (a</b) '<i>'</script ><!-- <u> --></p><br/")};
	struct html_tag t;
	struct slice name, value;

	(void)state;
	assert_true(html_next(&s, &t));
	assert_true(slice_eq(t.name, SLICE("p")));
	assert_true(html_attribute(&t.attributes, &name, &value) && slice_eq(value, SLICE("x")));
	assert_true(html_attribute(&t.attributes, &name, &value) && slice_eq(value, SLICE("a>b")));
	assert_false(html_attribute(&t.attributes, &name, &value));
	assert_true(html_next(&s, &t) && slice_eq(t.name, SLICE("script")) && !t.closing);
	assert_true(html_next(&s, &t) && slice_eq(t.name, SLICE("script")) && t.closing);
	assert_true(html_next(&s, &t) && slice_eq(t.name, SLICE("p")) && t.closing);
	assert_true(html_next(&s, &t) && slice_eq(t.name, SLICE("br")));
	assert_false(html_next(&s, &t));
	assert_int_equal(s.comments, 1);
}

static void
test_plain(void **state)
{
	BUF_CLEANUP struct buf out;
	struct plain_counts c = {0};

	(void)state;
	buf_init(&out, 1000);
	plain_text(SLICE("A\xcc\x81\xc3\xa9\xef\xac\x81\xf0\x9d\x94\xb8 \xff ok"), &out, &c);
	assert_true(slice_eq(buf_slice(&out), SLICE("AefiA  ok")));
	buf_reset(&out);
	assert_true(plain_looks_like(SLICE("\xd0\xb0\xd1\x80\xd1\x80\xd3\x8f\xd0\xb5"), &out) || out.n > 0);
	buf_reset(&out);
	assert_false(plain_disguised(SLICE("\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82"), &out));
	assert_int_equal(out.n, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_message, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_what_delivery_adds, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_disguise, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_page, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_attachment, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_huge, setup, teardown),
	    cmocka_unit_test(test_url),
	    cmocka_unit_test(test_html_scan),
	    cmocka_unit_test(test_plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
