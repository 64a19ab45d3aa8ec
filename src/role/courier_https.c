#include "role/courier_https.h"

#include "role/courier_route.h"

#define READ_BYTES 16384

static int
connect_any(const struct https_ask *q, struct stream **st)
{
	struct route_host host = {.name = q->host, .port = q->port};
	struct route_addresses found;
	int e = route_addresses(q->dns, &host, q->a, q->end_ms, &found);

	if (e == 0)
		e = ERR_DNS;
	for (size_t i = 0; e != 0 && e != ERR_CANCELLED && i < found.n; i++)
		e = net_connect(q->c->loop, &found.v[i], NULL, q->end_ms, st);
	return e;
}

static int
ask(const struct https_ask *q, struct stream *st, struct http_reply *reply)
{
	struct slice line = q->head, first = slice_cut(&line, '\n');
	int e = stream_printf(st, "%.*s\nHost: %.*s\r\nUser-Agent: Posthouse\r\nConnection: close\r\n%.*s\r\n",
	    SLICE_ARG(first), SLICE_ARG(q->host), SLICE_ARG(line));

	if (e == 0)
		e = stream_write(st, q->body);
	if (e == 0)
		e = stream_flush(st);
	while (e == 0 && reply->stage != HTTP_DONE) {
		struct slice got;

		e = stream_fill(st, READ_BYTES);
		if (e == ERR_CLOSED)
			return http_reply_end(reply);
		if (e != 0)
			break;
		got = stream_pending(st);
		e = http_reply_feed(reply, got);
		stream_consume(st, got.n);
	}
	return e;
}

int
courier_https(const struct https_ask *q, struct http_reply *reply, enum https_stage *stage, struct slice *why)
{
	struct tls_expect expect = {.check = TLS_CHECK_ROOTS, .name = q->host};
	struct stream *st STREAM_CLEANUP = NULL;
	int e;

	*stage = HTTPS_CONNECTING;
	e = connect_any(q, &st);
	if (e != 0) {
		*why = arena_printf(q->a, "%.*s could not be reached: %s", SLICE_ARG(q->host), err_text(e));
		return e;
	}
	stream_set_deadline(st, q->end_ms);
	*stage = HTTPS_SECURING;
	e = stream_start_tls_expect(st, q->tls, &expect, q->end_ms);
	if (e != 0) {
		*why = arena_printf(q->a, "%.*s: %s", SLICE_ARG(q->host), stream_tls_info(st)->error);
		return e;
	}
	*stage = HTTPS_ASKING;
	e = ask(q, st, reply);
	if (e != 0)
		*why = arena_printf(q->a, "%.*s did not answer as it should: %s", SLICE_ARG(q->host), err_text(e));
	return e;
}
