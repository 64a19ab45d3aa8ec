/* imap_utf7.c: strict both ways: one name has one encoding, so that names compare as bytes. */
#include "imap/imap_utf7.h"

#include "base/cursor.h"

static const struct slice digits = SLICE_INIT("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,");

static int
digit_value(int b)
{
	if (b >= 'A' && b <= 'Z')
		return b - 'A';
	if (b >= 'a' && b <= 'z')
		return b - 'a' + 26;
	if (b >= '0' && b <= '9')
		return b - '0' + 52;
	return b == '+' ? 62 : b == ',' ? 63 : -1;
}

static void
put_utf8(struct buf *out, uint32_t u)
{
	if (u < 0x80) {
		buf_put_u8(out, (uint8_t)u);
	} else if (u < 0x800) {
		buf_put_u8(out, (uint8_t)(0xc0 | u >> 6));
		buf_put_u8(out, (uint8_t)(0x80 | (u & 63)));
	} else if (u < 0x10000) {
		buf_put_u8(out, (uint8_t)(0xe0 | u >> 12));
		buf_put_u8(out, (uint8_t)(0x80 | (u >> 6 & 63)));
		buf_put_u8(out, (uint8_t)(0x80 | (u & 63)));
	} else {
		buf_put_u8(out, (uint8_t)(0xf0 | u >> 18));
		buf_put_u8(out, (uint8_t)(0x80 | (u >> 12 & 63)));
		buf_put_u8(out, (uint8_t)(0x80 | (u >> 6 & 63)));
		buf_put_u8(out, (uint8_t)(0x80 | (u & 63)));
	}
}

struct utf16_in {
	uint32_t high; /* a high surrogate that waits for its low one */
	struct buf *out;
};

static int
take_unit(struct utf16_in *t, uint32_t unit)
{
	if (t->high != 0) {
		if (unit < 0xdc00 || unit > 0xdfff)
			return ERR_SYNTAX;
		put_utf8(t->out, 0x10000 + ((t->high - 0xd800) << 10) + (unit - 0xdc00));
		t->high = 0;
		return 0;
	}
	if (unit >= 0xd800 && unit <= 0xdbff) {
		t->high = unit;
		return 0;
	}
	if (unit == 0 || (unit >= 0x20 && unit <= 0x7e) || (unit >= 0xdc00 && unit <= 0xdfff))
		return ERR_SYNTAX;
	put_utf8(t->out, unit);
	return 0;
}

/* Behind the '&', up to and with the '-'. */
static int
decode_section(struct cursor *c, struct buf *out)
{
	struct utf16_in t = {0, out};
	uint32_t bits = 0;
	int have = 0, units = 0;

	for (;;) {
		int b = cursor_u8(c), v = digit_value(b);

		if (c->err != 0)
			return ERR_SYNTAX;
		if (b == '-')
			break;
		if (v < 0)
			return ERR_SYNTAX;
		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have >= 16) {
			have -= 16;
			if (take_unit(&t, bits >> have & 0xffff) != 0)
				return ERR_SYNTAX;
			bits &= (1u << have) - 1;
			units++;
		}
	}
	if (units == 0 || t.high != 0 || have >= 6 || bits != 0)
		return ERR_SYNTAX;
	/* Two sections in a row should have been one. */
	if (cursor_peek(c) == '&' && cursor_peek_at(c, 1) != '-')
		return ERR_SYNTAX;
	return 0;
}

int
imap_utf7_decode(struct slice in, struct buf *out)
{
	struct cursor c = cursor_of(in);

	while (!cursor_end(&c)) {
		uint8_t b = cursor_u8(&c);
		int err;

		if (b < 0x20 || b > 0x7e)
			return ERR_SYNTAX;
		if (b != '&') {
			buf_put_u8(out, b);
			continue;
		}
		if (cursor_accept_byte(&c, '-')) {
			buf_put_u8(out, '&');
			continue;
		}
		err = decode_section(&c, out);
		if (err != 0)
			return err;
	}
	return out->err;
}

struct utf16_out {
	uint32_t bits;
	int have;
	bool open; /* inside a section */
	struct buf *out;
};

static void
put_unit(struct utf16_out *t, uint32_t unit)
{
	if (!t->open) {
		buf_put_u8(t->out, '&');
		t->open = true;
	}
	t->bits = t->bits << 16 | unit;
	t->have += 16;
	while (t->have >= 6) {
		t->have -= 6;
		buf_put_u8(t->out, slice_at(digits, t->bits >> t->have & 63));
	}
	t->bits &= (1u << t->have) - 1;
}

static void
close_section(struct utf16_out *t)
{
	if (!t->open)
		return;
	if (t->have > 0)
		buf_put_u8(t->out, slice_at(digits, t->bits << (6 - t->have) & 63));
	buf_put_u8(t->out, '-');
	t->bits = 0;
	t->have = 0;
	t->open = false;
}

/* The next code point of valid UTF-8. */
static uint32_t
take_utf8(struct cursor *c)
{
	uint32_t b = cursor_u8(c);
	int more = b < 0x80 ? 0 : b < 0xe0 ? 1 : b < 0xf0 ? 2 : 3;
	uint32_t u = more == 0 ? b : more == 1 ? b & 31 : more == 2 ? b & 15 : b & 7;

	while (more-- > 0)
		u = u << 6 | (cursor_u8(c) & 63u);
	return u;
}

int
imap_utf7_encode(struct slice in, struct buf *out)
{
	struct utf16_out t = {.out = out};
	struct cursor c = cursor_of(in);

	if (!slice_is_utf8(in, true))
		return ERR_INVALID;
	while (!cursor_end(&c)) {
		uint32_t u = take_utf8(&c);

		if (u >= 0x20 && u <= 0x7e) {
			close_section(&t);
			buf_put_u8(out, (uint8_t)u);
			if (u == '&')
				buf_put_u8(out, '-');
		} else if (u >= 0x10000) {
			put_unit(&t, 0xd800 + ((u - 0x10000) >> 10));
			put_unit(&t, 0xdc00 + ((u - 0x10000) & 0x3ff));
		} else {
			put_unit(&t, u);
		}
	}
	close_section(&t);
	return out->err;
}
