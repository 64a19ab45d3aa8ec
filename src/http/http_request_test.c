/* http_request_test.c: what a scraper sends, and what nobody who means well does. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "http/http_request.h"

static void
test_good(void **state)
{
	struct http_request r;

	(void)state;
	assert_int_equal(http_request_parse(SLICE("GET /metrics?x=1&y HTTP/1.1\r\nHost: localhost:9825\r\n"
						  "Accept-Encoding:gzip\r\nX-Empty:\r\n\r\n"),
			     &r),
	    0);
	assert_true(slice_eq(r.method, SLICE("GET")) && slice_eq(r.path, SLICE("/metrics")));
	assert_true(slice_eq(r.query, SLICE("x=1&y")) && slice_eq(r.host, SLICE("localhost")));
	assert_int_equal(r.minor, 1);
	assert_int_equal(http_request_parse(SLICE("GET /health HTTP/1.0\r\n\r\n"), &r), 0);
	assert_int_equal(r.minor + (int)r.host.n + (int)r.query.n, 0);
	assert_int_equal(
	    http_request_parse(SLICE("HEAD / HTTP/1.1\r\nhost:\t[::1]:80 \r\nContent-Length: 0\r\n\r\n"), &r), 0);
	assert_true(slice_eq(r.host, SLICE("[::1]")));
	assert_int_equal(http_request_parse(SLICE("GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n"), &r), 0);
	assert_true(slice_eq(r.host, SLICE("[::1]")));
}

static void
test_bad(void **state)
{
#define HOST "Host: a\r\n"
	static const struct {
		struct slice head;
		int status;
	} v[] = {
	    {SLICE_INIT("\r\n\r\n"), 400},
	    {SLICE_INIT("GET /\r\n\r\n"), 400},
	    {SLICE_INIT("GET  / HTTP/1.1\r\n" HOST "\r\n"), 400},
	    {SLICE_INIT("GET / HTTP/1.1 \r\n" HOST "\r\n"), 505},
	    {SLICE_INIT("GET / HTTP/2\r\n" HOST "\r\n"), 505},
	    {SLICE_INIT("GET / http/1.1\r\n" HOST "\r\n"), 400},
	    {SLICE_INIT("GET http://a/ HTTP/1.1\r\n" HOST "\r\n"), 400},
	    {SLICE_INIT("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), 400},
	    {SLICE_INIT("GET /\x80 HTTP/1.1\r\n" HOST "\r\n"), 400},
	    {SLICE_INIT("GET /#x HTTP/1.1\r\n" HOST "\r\n"), 400},
	    {SLICE_INIT("G(T / HTTP/1.1\r\n" HOST "\r\n"), 400},
	    {SLICE_INIT("GETGETGETGETGETGETGETGET / HTTP/1.1\r\n" HOST "\r\n"), 501},
	    {SLICE_INIT("GET / HTTP/1.1\r\n\r\n"), 400},
	    {SLICE_INIT("GET / HTTP/1.1\r\n" HOST HOST "\r\n"), 400},
	    {SLICE_INIT("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), 400},
	    {SLICE_INIT("GET / HTTP/1.1\r\nHost: a:x\r\n\r\n"), 400},
	    {SLICE_INIT("GET / HTTP/1.1\r\n" HOST "X : y\r\n\r\n"), 400},
	    {SLICE_INIT("GET / HTTP/1.1\r\n" HOST " folded\r\n\r\n"), 400},
	    {SLICE_INIT("GET / HTTP/1.1\r\n" HOST "X: a\nb\r\n\r\n"), 400},
	    {SLICE_INIT("GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n"), 400},
	    {SLICE_INIT("GET / HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n"), 400},
	    {SLICE_INIT("GET / HTTP/1.1\r\n" HOST "X: a\x01\r\n\r\n"), 400},
	    {SLICE_INIT("GET / HTTP/1.1\r\n" HOST "no colon\r\n\r\n"), 400},
	    {SLICE_INIT("GET / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n"), 413},
	    {SLICE_INIT("GET / HTTP/1.1\r\n" HOST "Content-Length: +0\r\n\r\n"), 400},
	    {SLICE_INIT("GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"), 413},
	    {SLICE_INIT("GET / HTTP/1.1\r\n" HOST "\r\nmore"), 400},
	};
	struct http_request r;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(v); i++)
		if (http_request_parse(v[i].head, &r) != v[i].status)
			fail_msg("%.*s: %d", SLICE_ARG(v[i].head), http_request_parse(v[i].head, &r));
}

static void
test_limits(void **state)
{
	static char text[HTTP_HEAD_BYTES_MAX * 2];
	struct http_request r;
	size_t n = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n");

	(void)state;
	for (unsigned i = 0; i < HTTP_FIELDS_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "a:\r\n");
	n += (size_t)snprintf(text + n, sizeof(text) - n, "\r\n");
	assert_int_equal(http_request_parse(slice_of(text, n), &r), 431);
	n = (size_t)snprintf(text, sizeof(text), "GET /%03000d HTTP/1.1\r\nHost: a\r\n\r\n", 0);
	assert_int_equal(http_request_parse(slice_of(text, n), &r), 414);
	n = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\nX: %09000d\r\n\r\n", 0);
	assert_int_equal(http_request_parse(slice_of(text, n), &r), 431);
	assert_int_equal(http_head_length(SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r")), 0);
	assert_int_equal(http_head_length(SLICE("a\r\n\r\nb")), 5);
	assert_string_equal(http_reason(503), "Service Unavailable");
	assert_string_equal(http_reason(299), "Error");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_good), cmocka_unit_test(test_bad), cmocka_unit_test(test_limits)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
