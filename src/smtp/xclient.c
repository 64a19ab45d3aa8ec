#include "smtp/xclient.h"

#include "base/buf.h"
#include "smtp/command.h"

#define VALUE_MAX 512

enum attribute { NAME, ADDR, PORT, PROTO, HELO, LOGIN, DESTADDR, DESTPORT, ATTRIBUTES };
static const struct slice names[ATTRIBUTES] = {[NAME] = SLICE_INIT("NAME"),
    [ADDR] = SLICE_INIT("ADDR"),
    [PORT] = SLICE_INIT("PORT"),
    [PROTO] = SLICE_INIT("PROTO"),
    [HELO] = SLICE_INIT("HELO"),
    [LOGIN] = SLICE_INIT("LOGIN"),
    [DESTADDR] = SLICE_INIT("DESTADDR"),
    [DESTPORT] = SLICE_INIT("DESTPORT")};

static int
hex(uint8_t c)
{
	return ascii_is_digit(c)   ? c - '0'
	    : c >= 'A' && c <= 'F' ? c - 'A' + 10
	    : c >= 'a' && c <= 'f' ? c - 'a' + 10
				   : -1;
}

/* RFC 1891 xtext, as the sender of an XCLIENT makes it. */
static int
decode(struct slice s, struct buf *out)
{
	struct cursor c = cursor_of(s);

	while (!cursor_end(&c)) {
		int byte = cursor_u8(&c);

		if (byte == '+') {
			int high = hex(cursor_u8(&c)), low = hex(cursor_u8(&c));

			byte = high < 0 || low < 0 ? -1 : high * 16 + low;
		}
		if (c.err != 0 || byte < ' ' || byte == 127)
			return ERR_SYNTAX;
		buf_put_u8(out, (uint8_t)byte);
	}
	return out->err != 0 || out->n == 0 ? ERR_SYNTAX : 0;
}

static bool
is_unknown(struct slice value)
{
	return slice_ieq(value, SLICE("[UNAVAILABLE]")) || slice_ieq(value, SLICE("[TEMPUNAVAIL]"));
}

static int
take_address(struct slice value, struct smtp_xclient *out)
{
	bool v6 = slice_istarts(value, SLICE("IPV6:"));

	out->has_address = true;
	return net_address_parse(v6 ? slice_from(value, 5) : value, 0, &out->address);
}

static int
take_helo(struct slice value, struct smtp_xclient *out)
{
	if (!smtp_helo_is_valid(value))
		return ERR_SYNTAX;
	out->has_helo = true;
	return slice_to_z(value, out->helo, sizeof(out->helo));
}

static int
take(enum attribute a, struct slice value, struct smtp_xclient *out, uint16_t *port)
{
	uint64_t n = 0;

	if (is_unknown(value))
		return 0;
	switch (a) {
	case ADDR: return take_address(value, out);
	case HELO: return take_helo(value, out);
	case PROTO:
		out->extended = slice_ieq(value, SLICE("ESMTP"));
		return out->extended || slice_ieq(value, SLICE("SMTP")) ? 0 : ERR_SYNTAX;
	case PORT:
	case DESTPORT:
		if (slice_to_u64(value, 65535, &n) != 0)
			return ERR_SYNTAX;
		if (a == PORT)
			*port = (uint16_t)n;
		return 0;
	default: return 0;
	}
}

static int
take_word(struct slice word, unsigned *seen, struct smtp_xclient *out, uint16_t *port)
{
	struct slice value = word, name = slice_cut(&value, '=');
	BUF_CLEANUP struct buf text;
	unsigned a = 0;

	buf_init(&text, VALUE_MAX);
	while (a < ATTRIBUTES && !slice_ieq(name, names[a]))
		a++;
	if (a == ATTRIBUTES || (*seen & 1u << a) != 0 || decode(value, &text) != 0)
		return ERR_SYNTAX;
	*seen |= 1u << a;
	return take((enum attribute)a, buf_slice(&text), out, port);
}

int
smtp_xclient_parse(struct slice argument, struct smtp_xclient *out)
{
	char host[NET_ADDRESS_TEXT_MAX];
	uint16_t port = 0;
	unsigned seen = 0;

	*out = (struct smtp_xclient){.has_address = false};
	while (argument.n > 0) {
		struct slice word = slice_cut(&argument, ' ');

		if (word.n > 0 && take_word(word, &seen, out, &port) != 0)
			return ERR_SYNTAX;
	}
	if (seen == 0)
		return ERR_SYNTAX;
	if (!out->has_address)
		return 0;
	net_address_text(&out->address, host);
	return net_address_parse(slice_z(host), port, &out->address);
}
