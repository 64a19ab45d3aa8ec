/* Answers to a GET, byte by byte and at once. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "trust/http_reply.h"

/* The error of feeding or of the end. */
static int
read_all(struct http_reply *r, struct slice text, size_t step)
{
	int e = 0;

	http_reply_init(r, 100);
	for (size_t at = 0; e == 0 && at < text.n; at += step)
		e = http_reply_feed(r, slice_head(slice_from(text, at), step));
	return e != 0 ? e : http_reply_end(r);
}

static void
want(const char *text, int err, int status, const char *type, const char *body)
{
	for (size_t step = 1; step < 1000; step = step == 1 ? 7 : 1000) {
		struct http_reply r HTTP_REPLY_CLEANUP;
		int e = read_all(&r, slice_z(text), step);

		if (e != err)
			fail_msg("%s: %s", text, err_name(e));
		if (err != 0)
			continue;
		assert_int_equal(r.status, status);
		assert_string_equal(r.type, type);
		assert_true(slice_eq(buf_slice(&r.body), slice_z(body)));
	}
}

static void
good_replies(void **state)
{
	(void)state;
	want("HTTP/1.1 200 OK\r\nContent-Type: Text/Plain; charset=utf-8\r\nContent-Length: 5\r\n\r\nhellomore", 0, 200,
	    "text/plain", "hello");
	want("HTTP/1.0 404 \r\n\r\nall there is", 0, 404, "", "all there is");
	want("HTTP/1.1 100 Continue\r\nContent-Length: 7\r\n\r\nHTTP/1.1 200\nTransfer-Encoding: "
	     "Chunked\n\n3;x=y\r\nabc\r\n02\r\nde\r\n0\r\nT: v\r\n\r\n",
	    0, 200, "", "abcde");
	want("HTTP/1.1 301 Moved\r\nLocation: https://x.test/\r\nContent-Length: 0\r\n\r\n", 0, 301, "", "");
	want("HTTP/1.1 204 No\r\n\r\n", 0, 204, "", "");
}

static void
bad_replies(void **state)
{
	(void)state;
	want("", ERR_CLOSED, 0, NULL, NULL);
	want("SSH-2.0\r\n", ERR_SYNTAX, 0, NULL, NULL);
	want("HTTP/2 200\r\n", ERR_SYNTAX, 0, NULL, NULL);
	want("HTTP/1.1 20\r\n", ERR_SYNTAX, 0, NULL, NULL);
	want("HTTP/1.1 200\r\nnonsense\r\n", ERR_SYNTAX, 0, NULL, NULL);
	want("HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhell", ERR_CLOSED, 0, NULL, NULL);
	want("HTTP/1.1 200\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", ERR_SYNTAX, 0, NULL, NULL);
	want("HTTP/1.1 200\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", ERR_SYNTAX, 0, NULL, NULL);
	want("HTTP/1.1 200\r\nTransfer-Encoding: gzip\r\n\r\n", ERR_SYNTAX, 0, NULL, NULL);
	want("HTTP/1.1 200\r\nContent-Length: 101\r\n\r\n", ERR_LIMIT, 0, NULL, NULL);
	want("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n", ERR_LIMIT, 0, NULL, NULL);
	want("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", ERR_SYNTAX, 0, NULL, NULL);
	want("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", ERR_SYNTAX, 0, NULL, NULL);
	want("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", ERR_CLOSED, 0, NULL, NULL);
}

static void
endless_replies(void **state)
{
	struct http_reply r HTTP_REPLY_CLEANUP;
	int e = 0;

	(void)state;
	http_reply_init(&r, 100);
	for (int i = 0; e == 0 && i < 10000; i++)
		e = http_reply_feed(&r, SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
	assert_int_equal(e, ERR_LIMIT);
	http_reply_free(&r);
	http_reply_init(&r, 100);
	e = http_reply_feed(&r, SLICE("HTTP/1.1 200 fine\r\n\r\n"));
	for (int i = 0; e == 0 && i < 1000; i++)
		e = http_reply_feed(&r, SLICE("body"));
	assert_int_equal(e, ERR_LIMIT);
	http_reply_free(&r);
	http_reply_init(&r, 100);
	for (int i = 0, f = 0; f == 0 && i < 100000; i++)
		e = f = http_reply_feed(&r, SLICE("no end of this line"));
	assert_int_equal(e, ERR_LIMIT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(good_replies), cmocka_unit_test(bad_replies), cmocka_unit_test(endless_replies)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
