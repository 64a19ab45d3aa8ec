/* dns_decode.c: rdata of answers, in wire form (RFC 1035 §3.3). Unbound gives names without compression; a pointer is an
 * error. */
#include "base/cursor.h"
#include "dns/dns.h"

#include <netinet/in.h>

#define WIRE_NAME_MAX 255

/* A byte of a label that may be part of a host name as we show and use it: nothing that would need an escape. */
static bool
is_plain(uint8_t c)
{
	return c > ' ' && c < 127 && c != '.' && c != '\\' && c != '"';
}

static int
name_read(struct cursor *c, struct arena *a, struct slice *out)
{
	BUF_CLEANUP struct buf b;
	size_t from = c->pos;

	buf_init(&b, WIRE_NAME_MAX);
	for (;;) {
		uint8_t n = cursor_u8(c);
		struct slice label;

		if (c->err != 0 || n > 63 || c->pos - from > WIRE_NAME_MAX)
			return ERR_SYNTAX;
		if (n == 0)
			break;
		label = cursor_take(c, n);
		if (b.n > 0)
			buf_put_u8(&b, '.');
		for (size_t i = 0; i < label.n; i++) {
			if (!is_plain(slice_at(label, i)))
				return ERR_SYNTAX;
			buf_put_u8(&b, ascii_lower(slice_at(label, i)));
		}
	}
	if (c->err != 0 || b.err != 0)
		return ERR_SYNTAX;
	*out = arena_copy(a, buf_slice(&b));
	return arena_failed(a) ? ERR_NOMEM : 0;
}

int
dns_name_decode(struct slice rdata, struct arena *a, struct slice *out)
{
	struct cursor c = cursor_of(rdata);
	int e = name_read(&c, a, out);

	return e != 0 ? e : cursor_end(&c) ? 0 : ERR_SYNTAX;
}

int
dns_srv_decode(struct slice rdata, struct arena *a, struct dns_srv *out)
{
	struct cursor c = cursor_of(rdata);
	int e;

	out->priority = cursor_be16(&c);
	out->weight = cursor_be16(&c);
	out->port = cursor_be16(&c);
	e = name_read(&c, a, &out->host);
	return e != 0 ? e : cursor_end(&c) ? 0 : ERR_SYNTAX;
}

int
dns_mx_decode(struct slice rdata, struct arena *a, struct dns_mx *out)
{
	struct cursor c = cursor_of(rdata);
	int e;

	out->preference = cursor_be16(&c);
	e = name_read(&c, a, &out->host);
	return e != 0 ? e : cursor_end(&c) ? 0 : ERR_SYNTAX;
}

int
dns_txt_decode(struct slice rdata, struct arena *a, struct slice *out)
{
	struct cursor c = cursor_of(rdata);
	BUF_CLEANUP struct buf b;

	buf_init(&b, 65536);
	do
		buf_put(&b, cursor_take(&c, cursor_u8(&c)));
	while (!cursor_end(&c));
	if (c.err != 0 || b.err != 0)
		return ERR_SYNTAX;
	*out = arena_copy(a, buf_slice(&b));
	return arena_failed(a) ? ERR_NOMEM : 0;
}

int
dns_tlsa_decode(struct slice rdata, struct dns_tlsa *out)
{
	struct cursor c = cursor_of(rdata);

	out->usage = cursor_u8(&c);
	out->selector = cursor_u8(&c);
	out->matching = cursor_u8(&c);
	out->data = cursor_rest(&c);
	return c.err != 0 || out->data.n == 0 ? ERR_SYNTAX : 0;
}

int
dns_address_decode(enum dns_type type, struct slice rdata, uint16_t port, struct net_address *out)
{
	*out = (struct net_address){0};
	if (type == DNS_A && rdata.n == sizeof(struct in_addr)) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)&out->sa;

		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		memcpy(&v4->sin_addr, rdata.p, rdata.n);
		out->n = sizeof(*v4);
		return 0;
	}
	if (type == DNS_AAAA && rdata.n == sizeof(struct in6_addr)) {
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->sa;

		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		memcpy(&v6->sin6_addr, rdata.p, rdata.n);
		out->n = sizeof(*v6);
		return 0;
	}
	return ERR_SYNTAX;
}
