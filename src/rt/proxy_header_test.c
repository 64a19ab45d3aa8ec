/* Headers of the PROXY protocol, byte by byte. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rt/proxy_header.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"

static void
version_1(void **state)
{
	static const struct {
		const char *line;
		int error;
		const char *client; /* "": unknown */
		uint16_t port;
	} v[] = {{"PROXY TCP4 192.0.2.1 192.0.2.2 56324 25\r\n", 0, "192.0.2.1", 56324},
	    {"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", 0, "2001:db8::1", 1},
	    {"PROXY TCP6 ::ffff:192.0.2.1 ::1 0 25\r\n", 0, "192.0.2.1", 0}, {"PROXY UNKNOWN\r\n", 0, "", 0},
	    {"PROXY UNKNOWN a b c\r\n", 0, "", 0}, {"PROXY UNKNOWNX\r\n", ERR_SYNTAX, "", 0},
	    {"PROXY TCP4 192.0.2.1 192.0.2.2 56324 25\n", ERR_SYNTAX, "", 0},
	    {"PROXY TCP4 192.0.2.1 192.0.2.2 56324 025\r\n", ERR_SYNTAX, "", 0},
	    {"PROXY TCP4 192.0.2.1 192.0.2.2 56324 65536\r\n", ERR_SYNTAX, "", 0},
	    {"PROXY TCP4 192.0.2.1 192.0.2.2 56324\r\n", ERR_SYNTAX, "", 0},
	    {"PROXY TCP4 192.0.2.1 192.0.2.2 56324 25 \r\n", ERR_SYNTAX, "", 0},
	    {"PROXY TCP4  192.0.2.1 192.0.2.2 56324 25\r\n", ERR_SYNTAX, "", 0},
	    {"PROXY TCP4 2001:db8::1 192.0.2.2 56324 25\r\n", ERR_SYNTAX, "", 0},
	    {"PROXY TCP6 192.0.2.1 192.0.2.2 56324 25\r\n", ERR_SYNTAX, "", 0},
	    {"PROXY UDP4 192.0.2.1 192.0.2.2 56324 25\r\n", ERR_SYNTAX, "", 0},
	    {"PROXY TCP4 localhost 192.0.2.2 56324 25\r\n", ERR_SYNTAX, "", 0}, {"EHLO c.test\r\n", ERR_SYNTAX, "", 0},
	    {"proxy unknown\r\n", ERR_SYNTAX, "", 0}, {"\n", ERR_SYNTAX, "", 0}, {"PRO", ERR_BUSY, "", 0},
	    {"PROXY UNKNOWN", ERR_BUSY, "", 0}, {"", ERR_BUSY, "", 0}};
	char text[NET_ADDRESS_TEXT_MAX], line[200];
	struct proxy_header h;
	size_t size;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(v); i++) {
		int e = proxy_header_parse(slice_z(v[i].line), &size, &h);

		if (e != v[i].error)
			fail_msg("%s: %s", v[i].line, err_name(e));
		if (e != 0)
			continue;
		assert_int_equal(size, strlen(v[i].line));
		assert_int_equal(h.known, v[i].client[0] != '\0');
		net_address_text(&h.client, text);
		assert_string_equal(text, v[i].client);
		assert_int_equal(net_address_port(&h.client), v[i].port);
	}
	/* 107 bytes, and one more. */
	(void)snprintf(line, sizeof(line), "PROXY UNKNOWN %091d\r\n", 0);
	assert_int_equal(strlen(line), PROXY_HEADER_V1_MAX);
	assert_int_equal(proxy_header_parse(slice_z(line), &size, &h), 0);
	(void)snprintf(line, sizeof(line), "PROXY UNKNOWN %092d\r\n", 0);
	assert_int_equal(proxy_header_parse(slice_z(line), &size, &h), ERR_SYNTAX);
}

static void
version_2(void **state)
{
	char text[NET_ADDRESS_TEXT_MAX];
	struct proxy_header h;
	size_t size;

	(void)state;
	/* TCP over IPv4, with three bytes of a TLV behind it and the client's first bytes. */
	assert_int_equal(
	    proxy_header_parse(SLICE(V2 "\x21\x11\x00\x0f\xc0\x00\x02\x01\xc0\x00\x02\x02\x00\x50\x00\x19\x04\x00\x00"
					"EHLO"),
		&size, &h),
	    0);
	assert_int_equal(size, 31);
	net_address_text(&h.client, text);
	assert_string_equal(text, "192.0.2.1");
	assert_int_equal(net_address_port(&h.client), 80);
	assert_int_equal(net_address_port(&h.server), 25);
	/* IPv6 */
	assert_int_equal(proxy_header_parse(SLICE(V2 "\x21\x21\x00\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
						     "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x00\x01\x00\x19"),
			     &size, &h),
	    0);
	net_address_text(&h.client, text);
	assert_string_equal(text, "2001:db8::1");
	/* LOCAL, UNSPEC and a UNIX socket: nobody is named. */
	assert_int_equal(proxy_header_parse(SLICE(V2 "\x20\x00\x00\x00"), &size, &h), 0);
	assert_false(h.known);
	assert_int_equal(proxy_header_parse(SLICE(V2 "\x21\x00\x00\x02zz"), &size, &h), 0);
	assert_false(h.known);
	assert_int_equal(proxy_header_parse(SLICE(V2 "\x21\x31\x00\x00"), &size, &h), 0);
	assert_false(h.known);
	/* Too short for its family; of no version, command, family; too long; another signature. */
	assert_int_equal(proxy_header_parse(SLICE(V2 "\x21\x11\x00\x04\xc0\x00\x02\x01"), &size, &h), ERR_SYNTAX);
	assert_int_equal(proxy_header_parse(SLICE(V2 "\x11\x11\x00\x00"), &size, &h), ERR_SYNTAX);
	assert_int_equal(proxy_header_parse(SLICE(V2 "\x22\x11\x00\x00"), &size, &h), ERR_SYNTAX);
	assert_int_equal(proxy_header_parse(SLICE(V2 "\x21\x41\x00\x00"), &size, &h), ERR_SYNTAX);
	assert_int_equal(proxy_header_parse(SLICE(V2 "\x21\x13\x00\x00"), &size, &h), ERR_SYNTAX);
	assert_int_equal(proxy_header_parse(SLICE(V2 "\x21\x11\xff\xff"), &size, &h), ERR_SYNTAX);
	assert_int_equal(proxy_header_parse(SLICE("\r\n\r\nX"), &size, &h), ERR_SYNTAX);
	assert_int_equal(proxy_header_parse(SLICE("\r\n\r\n\0\r\nQUIX\n\x20\x00\x00\x00"), &size, &h), ERR_SYNTAX);
	assert_int_equal(proxy_header_parse(SLICE("GET / HTTP/1.1"), &size, &h), ERR_SYNTAX);
	assert_int_equal(proxy_header_parse(SLICE(V2 "\x21"), &size, &h), ERR_BUSY);
	assert_int_equal(size, 16);
	assert_int_equal(proxy_header_parse(SLICE(V2 "\x21\x11\x00\x0c"), &size, &h), ERR_BUSY);
	assert_int_equal(size, 28);
}

/* ---- from a stream -------------------------------------------------------------------------------------- */

struct world {
	struct loop *loop;
	struct stream *a, *b;
};

static void
writer(void *arg)
{
	struct world *w = arg;
	struct slice text = SLICE("PROXY TCP4 192.0.2.1 192.0.2.2 56324 25\r\nEHLO");

	for (size_t i = 0; i < text.n; i++) {
		assert_int_equal(stream_write(w->a, slice_range(text, i, i + 1)), 0);
		assert_int_equal(stream_flush(w->a), 0);
		if (i % 5 == 0)
			assert_int_equal(fiber_yield(w->loop), 0);
	}
}

static void
reader(void *arg)
{
	struct world *w = arg;
	struct proxy_header h;

	assert_int_equal(proxy_header_read(w->b, loop_deadline(w->loop, 5000), &h), 0);
	assert_true(h.known);
	/* Nothing of what follows was read: a TLS handshake would start with it. */
	assert_int_equal(stream_pending(w->b).n, 0);
	assert_int_equal(stream_fill(w->b, 4), 0);
	while (stream_pending(w->b).n < 4)
		assert_int_equal(stream_fill(w->b, 4), 0);
	assert_true(slice_eq(stream_pending(w->b), SLICE("EHLO")));
	stream_consume(w->b, 4);
	/* And one that does not come. */
	assert_int_equal(proxy_header_read(w->b, loop_deadline(w->loop, 20), &h), ERR_TIMEOUT);
	stream_close(&w->a);
	stream_close(&w->b);
}

static void
takes_the_header_only(void **state)
{
	struct house house;
	struct world w = {0};

	(void)state;
	house_init(&house, "test");
	assert_int_equal(loop_new(&w.loop, &house), 0);
	assert_int_equal(stream_pair(w.loop, &w.a, &w.b), 0);
	assert_int_equal(fiber_start(w.loop, "writer", writer, &w, NULL), 0);
	assert_int_equal(fiber_start(w.loop, "reader", reader, &w, NULL), 0);
	loop_run(w.loop);
	loop_free(&w.loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(version_1),
	    cmocka_unit_test(version_2),
	    cmocka_unit_test(takes_the_header_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
