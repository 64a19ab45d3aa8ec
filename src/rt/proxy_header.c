#include "rt/proxy_header.h"

#include "base/cursor.h"

#include <netinet/in.h>

#define V2_FIXED 16
#define V2_TCP4 0x11
#define V2_TCP6 0x21

static const uint8_t v2_signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

/* ---- version 1 ------------------------------------------------------------------------------------------ */

static int
v1_port(struct slice s, uint16_t *out)
{
	uint64_t n;

	if (s.n == 0 || s.n > 5 || (s.n > 1 && slice_at(s, 0) == '0') || slice_to_u64(s, 65535, &n) != 0)
		return ERR_SYNTAX;
	*out = (uint16_t)n;
	return 0;
}

/* "TCP4 192.0.2.1 192.0.2.2 56324 25": single spaces, nothing else. */
static int
v1_addresses(struct slice rest, struct proxy_header *out)
{
	struct slice family = slice_cut(&rest, ' '), client = slice_cut(&rest, ' '), server = slice_cut(&rest, ' ');
	struct slice client_port = slice_cut(&rest, ' ');
	sa_family_t want = slice_eq(family, SLICE("TCP4")) ? AF_INET : AF_INET6;
	uint16_t from, to;

	if (want == AF_INET6 && !slice_eq(family, SLICE("TCP6")))
		return ERR_SYNTAX;
	if (v1_port(client_port, &from) != 0 || v1_port(rest, &to) != 0)
		return ERR_SYNTAX;
	if (net_address_parse(client, from, &out->client) != 0 || net_address_parse(server, to, &out->server) != 0)
		return ERR_SYNTAX;
	if (out->client.sa.ss_family != want || out->server.sa.ss_family != want)
		return ERR_SYNTAX;
	out->known = true;
	return 0;
}

static int
v1_parse(struct slice in, size_t *size, struct proxy_header *out)
{
	static const struct slice head = SLICE_INIT("PROXY ");
	size_t lf = slice_find_byte(slice_head(in, PROXY_HEADER_V1_MAX), '\n');
	struct slice line;

	if (!slice_starts(head, slice_head(in, head.n)))
		return ERR_SYNTAX;
	if (lf == SLICE_NONE) {
		*size = in.n < head.n ? head.n + 2 : slice_ends(in, SLICE("\r")) ? in.n + 1 : in.n + 2;
		return *size <= PROXY_HEADER_V1_MAX ? ERR_BUSY : ERR_SYNTAX;
	}
	line = slice_head(in, lf);
	if (!slice_starts(line, head) || !slice_ends(line, SLICE("\r")))
		return ERR_SYNTAX;
	line = slice_range(line, head.n, line.n - 1);
	*size = lf + 1;
	/* What else stands there is to be passed over. */
	if (slice_eq(line, SLICE("UNKNOWN")) || slice_starts(line, SLICE("UNKNOWN ")))
		return 0;
	return v1_addresses(line, out);
}

/* ---- version 2 ------------------------------------------------------------------------------------------ */

static void
v2_take_v4(struct cursor *c, struct proxy_header *out)
{
	struct sockaddr_in client = {.sin_family = AF_INET}, server = {.sin_family = AF_INET};
	struct slice from = cursor_take(c, 4), to = cursor_take(c, 4);

	client.sin_port = htons(cursor_be16(c));
	server.sin_port = htons(cursor_be16(c));
	if (c->err != 0)
		return;
	memcpy(&client.sin_addr, from.p, 4);
	memcpy(&server.sin_addr, to.p, 4);
	memcpy(&out->client.sa, &client, sizeof(client));
	memcpy(&out->server.sa, &server, sizeof(server));
	out->client.n = out->server.n = sizeof(client);
	out->known = true;
}

static void
v2_take_v6(struct cursor *c, struct proxy_header *out)
{
	struct sockaddr_in6 client = {.sin6_family = AF_INET6}, server = {.sin6_family = AF_INET6};
	struct slice from = cursor_take(c, 16), to = cursor_take(c, 16);

	client.sin6_port = htons(cursor_be16(c));
	server.sin6_port = htons(cursor_be16(c));
	if (c->err != 0)
		return;
	memcpy(&client.sin6_addr, from.p, 16);
	memcpy(&server.sin6_addr, to.p, 16);
	memcpy(&out->client.sa, &client, sizeof(client));
	memcpy(&out->server.sa, &server, sizeof(server));
	out->client.n = out->server.n = sizeof(client);
	out->known = true;
}

static int
v2_parse(struct slice in, size_t *size, struct proxy_header *out)
{
	struct cursor c = cursor_of(slice_head(in, V2_FIXED));
	uint8_t command, family;
	size_t length;

	*size = V2_FIXED;
	if (in.n < V2_FIXED)
		return ERR_BUSY;
	cursor_skip(&c, sizeof(v2_signature));
	command = cursor_u8(&c);
	family = cursor_u8(&c);
	length = cursor_be16(&c);
	if (command != 0x20 && command != 0x21)
		return ERR_SYNTAX;
	*size = V2_FIXED + length;
	if (*size > PROXY_HEADER_V2_MAX)
		return ERR_SYNTAX;
	if (in.n < *size)
		return ERR_BUSY;
	c = cursor_of(slice_range(in, V2_FIXED, *size));
	if (command == 0x21 && family == V2_TCP4)
		v2_take_v4(&c, out);
	else if (command == 0x21 && family == V2_TCP6)
		v2_take_v6(&c, out);
	else if (command == 0x21 && (family >> 4 > 3 || (family & 15) > 2))
		return ERR_SYNTAX;
	return c.err != 0 ? ERR_SYNTAX : 0;
}

int
proxy_header_parse(struct slice in, size_t *size, struct proxy_header *out)
{
	struct slice signature = slice_of(v2_signature, sizeof(v2_signature));

	*out = (struct proxy_header){.known = false};
	*size = 8; /* the shortest beginning of either */
	if (in.n == 0)
		return ERR_BUSY;
	if (slice_at(in, 0) != 0x0d)
		return v1_parse(in, size, out);
	if (!slice_starts(signature, slice_head(in, signature.n)))
		return ERR_SYNTAX;
	return v2_parse(in, size, out);
}

int
proxy_header_read(struct stream *st, int64_t deadline_ms, struct proxy_header *out)
{
	size_t size;
	int e;

	stream_set_deadline(st, deadline_ms);
	while ((e = proxy_header_parse(stream_pending(st), &size, out)) == ERR_BUSY) {
		e = stream_fill(st, size);
		if (e != 0)
			break;
	}
	stream_set_deadline(st, DEADLINE_NEVER);
	if (e == 0)
		stream_consume(st, size);
	return e;
}
