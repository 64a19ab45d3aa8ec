/* html_text_test.c: documents and their text. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "bus/bus.h"
#include "reader/html_text.h"
#include "reader/reader_texts.h"

static void
is(const char *html, const char *text)
{
	BUF_CLEANUP struct buf b;

	buf_init(&b, 65536);
	assert_int_equal(html_text(slice_z(html), 1 << 20, &b), 0);
	buf_put_u8(&b, 0);
	assert_string_equal((const char *)b.p, text);
}

static void
test_shapes(void **state)
{
	(void)state;
	is("", "");
	is("just text", "just text");
	is("<p>one<p>two", "one\ntwo");
	is("a<b>b</b>c <i>d</i>e", "abc de");
	is("a<br>b<br/>c", "a\nb\nc");
	is("<ul><li>x</li><li> y </li></ul>z", "x\ny\nz");
	is("<table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>", "1 2\n3");
	is("<a href='http://x.test/'>click <b>he</b>re</a>", "click here");
	is("<img src=x alt='A cat'><img src=y>", "A cat");
	is("<pre>  a\n\n  b</pre>c", "a\nb\nc");
	is("  lots   of\n\n white\t space ", "lots of white space");
}

static void
test_left_out(void **state)
{
	(void)state;
	is("<head><title>t</title><style>p{}</style></head><body>x<script>y</script>", "x");
	is("<!-- c -->a<!--[if mso]>b<![endif]-->", "a");
	is("a<span style='color:red; Display : NONE !important'>b</span>c", "ac");
	is("<div hidden>b</div>c", "c");
	is("<p style='visibility:hidden'>b</p>c", "c");
	is("<template>b</template>c<iframe>d</iframe>", "c");
	is("<span style='display:inline'>b</span>c", "bc");
}

static void
test_characters(void **state)
{
	(void)state;
	is("&lt;b&gt; &amp;amp; &eacute;&#x20ac;&#8364;", "<b> &amp; \xc3\xa9\xe2\x82\xac\xe2\x82\xac");
	is("a&nbsp;b",
	    "a\xc2\xa0"
	    "b");
	is("\xff\xfe", "\xef\xbf\xbd\xef\xbf\xbd");
	is("unended &amp", "unended &");
	is("<p>unended <b", "unended");
}

static void
test_charset(void **state)
{
	struct {
		const char *html, *charset;
	} v[] = {{"<meta charset=koi8-r>", "koi8-r"},
	    {"<META http-equiv=x content='text/html; CHARSET=gb2312'>", "gb2312"},
	    {"<meta charset=\"utf-8\">", "utf-8"}, {"charset=koi8-r", ""}, {"<meta charset=", ""}, {"", ""}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(v); i++)
		assert_true(slice_eq(html_charset(slice_z(v[i].html)), slice_z(v[i].charset)));
}

/* A document that would need more memory than it may have gives up, and one as deep as it is long is walked. */
static void
test_bounds(void **state)
{
	BUF_CLEANUP struct buf html;
	BUF_CLEANUP struct buf out;

	(void)state;
	buf_init(&html, 4 << 20);
	buf_init(&out, 4 << 20);
	for (int i = 0; i < 20000; i++)
		buf_put_z(&html, "<div>");
	buf_put_z(&html, "deep");
	assert_int_equal(html_text(buf_slice(&html), 64 << 20, &out), 0);
	assert_true(slice_eq(buf_slice(&out), SLICE("deep")));
	assert_int_equal(html_text(buf_slice(&html), 1 << 20, &out), ERR_LIMIT);
	assert_true(slice_eq(buf_slice(&out), SLICE("deep")));
}

static void
test_request(void **state)
{
	struct limits l;
	ARENA_CLEANUP struct arena a;
	struct bus_reader_texts_reply r = {0};
	struct bus_reader_texts_request q = {
	    .kinds = SLICE_LIST(READER_HTML, READER_PLAIN, READER_WORDS, SLICE("what"), READER_HTML),
	    .charsets = SLICE_LIST(SLICE("koi8-r"), SLICE("koi8-r"), SLICE(""), SLICE(""), SLICE("")),
	    .inputs = SLICE_LIST(SLICE("<p>\xd0\xd2\xc9<i>x"), SLICE("\xd0\xd2\xc9"), SLICE("=?koi8-r?b?0NLJ?= y"),
		SLICE("?"), SLICE("<meta charset=koi8-r>\xd0\xd2\xc9"))};

	(void)state;
	limits_default(&l);
	arena_init(&a, 1 << 20);
	assert_int_equal(reader_texts(&l, &q, &a, &r), 0);
	assert_int_equal(r.texts.n, 5);
	assert_true(slice_eq(r.texts.v[0], SLICE("\xd0\xbf\xd1\x80\xd0\xb8x")));
	assert_true(slice_eq(r.texts.v[1], SLICE("\xd0\xbf\xd1\x80\xd0\xb8")));
	assert_true(slice_eq(r.texts.v[2], SLICE("\xd0\xbf\xd1\x80\xd0\xb8 y")));
	assert_int_equal(r.texts.v[3].n, 0);
	assert_true(slice_eq(r.texts.v[4], SLICE("\xd0\xbf\xd1\x80\xd0\xb8")));
	l.message_text_bytes = 5;
	assert_int_equal(reader_texts(&l, &q, &a, &r), 0);
	assert_true(slice_eq(r.texts.v[1], SLICE("\xd0\xbf\xd1\x80"))); /* between characters */
	q.charsets.n = 1;
	assert_int_equal(reader_texts(&l, &q, &a, &r), ERR_INVALID);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_shapes),
	    cmocka_unit_test(test_left_out),
	    cmocka_unit_test(test_characters),
	    cmocka_unit_test(test_charset),
	    cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
