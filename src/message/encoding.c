/* encoding.c: decoders that take pieces of any size and any damage. A byte that makes no sense is skipped (base64) or
 * kept as it is (quoted-printable), as other mail programs do, so that as much as possible can be read. */
#include "message/encoding.h"

#define LINE_MAX_ENCODED 76
#define LINE_MAX_SAFE 998 /* RFC 5322 §2.1.1 */

static const struct {
	struct slice name;
	enum encoding encoding;
} names[] = {
    {SLICE_INIT("7bit"), ENCODING_7BIT},
    {SLICE_INIT("8bit"), ENCODING_8BIT},
    {SLICE_INIT("binary"), ENCODING_BINARY},
    {SLICE_INIT("quoted-printable"), ENCODING_QP},
    {SLICE_INIT("base64"), ENCODING_BASE64},
    {SLICE_INIT("x-uuencode"), ENCODING_UUENCODE},
    {SLICE_INIT("uuencode"), ENCODING_UUENCODE},
    {SLICE_INIT("x-uue"), ENCODING_UUENCODE},
    {SLICE_INIT("uue"), ENCODING_UUENCODE},
    {SLICE_INIT("quotedprintable"), ENCODING_QP},
    {SLICE_INIT("7-bit"), ENCODING_7BIT},
    {SLICE_INIT("8-bit"), ENCODING_8BIT},
};

/* The first word outside comments and quotes. */
static struct slice
first_word(struct slice s)
{
	size_t from = 0, depth = 0;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
		else if (depth == 0 && c > ' ' && c != '"') {
			from = i;
			while (i < s.n && (c = slice_at(s, i)) > ' ' && c != '"' && c != ';' && c != '(')
				i++;
			return slice_range(s, from, i);
		}
	}
	return SLICE_EMPTY;
}

enum encoding
encoding_parse(struct slice value)
{
	struct slice word = first_word(value);

	if (word.n == 0)
		return ENCODING_7BIT;
	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (slice_ieq(names[i].name, word))
			return names[i].encoding;
	return ENCODING_UNKNOWN;
}

const char *
encoding_name(enum encoding e)
{
	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (names[i].encoding == e)
			return (const char *)names[i].name.p;
	return "unknown";
}

/* ---- decoding ------------------------------------------------------------------------------------------------ */

/* Appends as much as fits; what does not sets the error. */
static void
put_fitting(struct buf *out, struct slice s)
{
	size_t room = out->max - out->n;

	if (out->err != 0 || s.n <= room) {
		buf_put(out, s);
		return;
	}
	buf_put(out, slice_head(s, room));
	if (out->err == 0)
		out->err = ERR_LIMIT;
}

static void
put_byte(struct buf *out, uint8_t c)
{
	put_fitting(out, slice_of(&c, 1));
}

void
decoder_init(struct decoder *d, enum encoding e)
{
	*d = (struct decoder){.encoding = e};
}

#define B64_SKIP (-1)
#define B64_PAD (-2)
#define B64_SPACE (-3)

static int
base64_value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (ascii_is_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : c == '=' ? B64_PAD : ascii_is_space(c) ? B64_SPACE : B64_SKIP;
}

/* What the characters collected so far give: 2 make a byte, 3 make two. */
static size_t
base64_flush(struct decoder *d, uint8_t tail[2])
{
	size_t n = d->count == 3 ? 2 : d->count == 2 ? 1 : 0;
	uint32_t bits = d->count == 3 ? d->bits >> 2 : d->bits >> 4;

	if (d->count == 1)
		d->damaged = true;
	if (n == 2)
		tail[0] = (uint8_t)(bits >> 8);
	if (n > 0)
		tail[n - 1] = (uint8_t)bits;
	d->bits = 0;
	d->count = 0;
	return n;
}

static void
feed_base64(struct decoder *d, struct slice in, struct buf *out)
{
	uint8_t piece[1024];
	size_t n = 0;

	for (size_t i = 0; i < in.n && out->err == 0; i++) {
		int v = base64_value(slice_at(in, i));

		if (v == B64_SPACE)
			continue;
		if (d->ended && v != B64_PAD) {
			/* Behind the padding comes no data, but the footer of a mailing list perhaps. */
			d->damaged = true;
			break;
		}
		if (v == B64_PAD) {
			d->ended |= d->count > 1;
			n += base64_flush(d, piece + n);
		} else if (v == B64_SKIP) {
			d->damaged = true;
		} else {
			d->bits = d->bits << 6 | (uint32_t)v;
			if (++d->count == 4) {
				piece[n++] = (uint8_t)(d->bits >> 16);
				piece[n++] = (uint8_t)(d->bits >> 8);
				piece[n++] = (uint8_t)d->bits;
				d->bits = 0;
				d->count = 0;
			}
		}
		if (n > sizeof(piece) - 3) {
			put_fitting(out, slice_of(piece, n));
			n = 0;
		}
	}
	put_fitting(out, slice_of(piece, n));
}

static int
hex_value(uint8_t c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The pending = sequence turned out to be none: it stands for itself. */
static void
qp_literal(struct decoder *d, struct buf *out)
{
	put_fitting(out, slice_of(d->line, d->line_n));
	d->line_n = 0;
	d->damaged = true;
}

/* One byte after a pending "=". False: the byte is still to be handled as an ordinary one. */
static bool
qp_pending(struct decoder *d, uint8_t c, struct buf *out)
{
	bool soft = d->line_n == 1 || d->line[1] == ' ' || d->line[1] == '\t' || d->line[1] == '\r';

	if (d->line_n == 1 && hex_value(c) >= 0) {
		d->line[d->line_n++] = c;
		return true;
	}
	if (d->line_n == 2 && hex_value(d->line[1]) >= 0 && hex_value(c) >= 0) {
		put_byte(out, (uint8_t)(hex_value(d->line[1]) << 4 | hex_value(c)));
		d->line_n = 0;
		return true;
	}
	if (soft && c == '\n') {
		d->line_n = 0;
		return true;
	}
	if (soft && (c == ' ' || c == '\t' || c == '\r') && d->line_n < sizeof(d->line)) {
		d->line[d->line_n++] = c;
		return true;
	}
	qp_literal(d, out);
	return false;
}

/* The line ends: white space before it is not part of the text (RFC 2045 §6.7 rule 3). */
static void
qp_line_end(struct decoder *d, struct buf *out)
{
	size_t n = d->space_n;

	d->space_n = 0;
	if (out->err != 0)
		return;
	if (d->count > 0) {
		buf_truncate(out, out->n - 1 - n);
		put_fitting(out, SLICE("\r\n"));
	} else {
		buf_truncate(out, out->n - n);
		put_byte(out, '\n');
	}
	d->count = 0;
}

static size_t
qp_plain_run(struct slice in, size_t i)
{
	size_t from = i;

	while (i < in.n && slice_at(in, i) > ' ' && slice_at(in, i) != '=')
		i++;
	return i - from;
}

static void
feed_qp(struct decoder *d, struct slice in, struct buf *out)
{
	for (size_t i = 0; i < in.n && out->err == 0; i++) {
		uint8_t c = slice_at(in, i);
		size_t run;

		if (d->line_n > 0 && qp_pending(d, c, out))
			continue;
		if (c == '\n') {
			qp_line_end(d, out);
			continue;
		}
		if (d->count > 0) {
			/* The CR before was no line end. */
			d->count = 0;
			d->space_n = 0;
		}
		if (c == '=') {
			d->line[d->line_n++] = c;
			d->space_n = 0;
		} else if (c == ' ' || c == '\t') {
			put_byte(out, c);
			d->space_n++;
		} else if (c == '\r') {
			put_byte(out, c);
			d->count = 1;
		} else {
			run = qp_plain_run(in, i);
			run = run == 0 ? 1 : run;
			put_fitting(out, slice_range(in, i, i + run));
			i += run - 1;
			d->space_n = 0;
		}
	}
}

/* A whole line of uuencoded data without its end. */
static void
uu_line(struct decoder *d, struct slice line, struct buf *out)
{
	size_t n;

	if (!d->begun || d->ended) {
		if (!d->begun && slice_istarts(line, SLICE("begin ")))
			d->begun = true;
		return;
	}
	if (slice_eq(slice_trim(line), SLICE("end"))) {
		d->ended = true;
		return;
	}
	if (line.n == 0)
		return;
	n = (size_t)((slice_at(line, 0) - ' ') & 63);
	for (size_t i = 1; n > 0; i += 4) {
		uint32_t bits = 0;
		uint8_t piece[3];
		size_t take = n < 3 ? n : 3;

		/* The line is shorter than it says: a group that is missing altogether gives nothing. */
		if (i >= line.n) {
			d->damaged = true;
			return;
		}
		for (size_t k = i; k < i + 4; k++)
			bits = bits << 6 | (k < line.n ? (uint32_t)(slice_at(line, k) - ' ') & 63 : 0);
		if (i + take >= line.n)
			d->damaged = true;
		piece[0] = (uint8_t)(bits >> 16);
		piece[1] = (uint8_t)(bits >> 8);
		piece[2] = (uint8_t)bits;
		put_fitting(out, slice_of(piece, take));
		n -= take;
	}
}

static void
feed_uu(struct decoder *d, struct slice in, struct buf *out)
{
	for (size_t i = 0; i < in.n && out->err == 0; i++) {
		uint8_t c = slice_at(in, i);

		if (c == '\n') {
			uu_line(d, slice_of(d->line, d->line_n), out);
			d->line_n = 0;
		} else if (c == '\r') {
			continue;
		} else if (d->line_n < sizeof(d->line)) {
			d->line[d->line_n++] = c;
		} else {
			d->damaged = true;
		}
	}
}

void
decoder_feed(struct decoder *d, struct slice in, struct buf *out)
{
	switch (d->encoding) {
	case ENCODING_BASE64: feed_base64(d, in, out); break;
	case ENCODING_QP: feed_qp(d, in, out); break;
	case ENCODING_UUENCODE: feed_uu(d, in, out); break;
	default: put_fitting(out, in); break;
	}
}

void
decoder_end(struct decoder *d, struct buf *out)
{
	uint8_t tail[2];

	if (d->encoding == ENCODING_BASE64) {
		/* Characters without their padding. */
		if (d->count > 0)
			d->damaged = true;
		put_fitting(out, slice_of(tail, base64_flush(d, tail)));
	} else if (d->encoding == ENCODING_QP) {
		/* A soft line break at the very end, or half an escape. */
		if (d->line_n > 1 && hex_value(d->line[1]) >= 0)
			qp_literal(d, out);
		d->line_n = 0;
		/* The last line needs no end: that of a part belongs to the boundary behind it. */
		if (d->count == 0 && out->err == 0)
			buf_truncate(out, out->n - d->space_n);
		d->space_n = 0;
	} else if (d->encoding == ENCODING_UUENCODE) {
		uu_line(d, slice_of(d->line, d->line_n), out);
		d->line_n = 0;
		if (!d->ended)
			d->damaged = true;
	}
}

bool
encoding_decode(enum encoding e, struct slice in, struct buf *out)
{
	struct decoder d;

	decoder_init(&d, e);
	decoder_feed(&d, in, out);
	decoder_end(&d, out);
	return !d.damaged && out->err == 0;
}

/* ---- encoding ------------------------------------------------------------------------------------------------ */

void
encoding_put_base64(struct slice in, struct buf *out)
{
	const size_t step = LINE_MAX_ENCODED / 4 * 3;

	for (size_t i = 0; i < in.n; i += step) {
		buf_put_base64(out, slice_head(slice_from(in, i), step));
		buf_put(out, SLICE("\r\n"));
	}
}

/* Is a line end at i (LF, or CRLF)? Its length, or 0. */
static size_t
line_end_at(struct slice s, size_t i)
{
	if (i < s.n && slice_at(s, i) == '\n')
		return 1;
	return i + 1 < s.n && slice_at(s, i) == '\r' && slice_at(s, i + 1) == '\n' ? 2 : 0;
}

void
encoding_put_qp(struct slice in, bool text, struct buf *out)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t column = 0;

	for (size_t i = 0; i < in.n; i++) {
		uint8_t c = slice_at(in, i), code[3];
		size_t end = text ? line_end_at(in, i) : 0, n = 1;
		bool last = i + 1 == in.n || (text && line_end_at(in, i + 1) > 0);

		if (end > 0) {
			buf_put(out, SLICE("\r\n"));
			column = 0;
			i += end - 1;
			continue;
		}
		code[0] = c;
		/* White space at the end of a line; "From " and "." at its beginning, which transports change. */
		if (c < ' ' || c > '~' || c == '=' || (last && c == ' ') || (column == 0 && (c == 'F' || c == '.'))) {
			if (c != '\t' || last) {
				code[0] = '=';
				code[1] = (uint8_t)digits[c >> 4];
				code[2] = (uint8_t)digits[c & 15];
				n = 3;
			}
		}
		if (column + n > LINE_MAX_ENCODED - (last ? 0 : 1)) {
			buf_put(out, SLICE("=\r\n"));
			column = 0;
		}
		buf_put(out, slice_of(code, n));
		column += n;
	}
}

enum encoding
encoding_choose(struct slice in)
{
	size_t column = 0, odd = 0;
	bool unsafe = false;

	for (size_t i = 0; i < in.n; i++) {
		uint8_t c = slice_at(in, i);
		size_t end = line_end_at(in, i);

		if (end > 0) {
			i += end - 1;
			column = 0;
			continue;
		}
		if (++column > LINE_MAX_SAFE)
			unsafe = true;
		if (c >= 0x7f || c == '=' || (c < ' ' && c != '\t'))
			odd++;
		if (c >= 0x7f || (c < ' ' && c != '\t'))
			unsafe = true;
	}
	if (!unsafe)
		return ENCODING_7BIT;
	return odd > in.n / 6 ? ENCODING_BASE64 : ENCODING_QP;
}

static void
put_lines(struct slice in, struct buf *out)
{
	while (in.n > 0) {
		size_t at = slice_find_byte(in, '\n');
		struct slice line = at == SLICE_NONE ? in : slice_head(in, at);

		if (at != SLICE_NONE && slice_ends(line, SLICE("\r")))
			line = slice_head(line, line.n - 1);
		buf_put(out, line);
		if (at == SLICE_NONE)
			break;
		buf_put(out, SLICE("\r\n"));
		in = slice_from(in, at + 1);
	}
}

void
encoding_encode(enum encoding e, struct slice in, struct buf *out)
{
	if (e == ENCODING_BASE64)
		encoding_put_base64(in, out);
	else if (e == ENCODING_QP)
		encoding_put_qp(in, true, out);
	else
		put_lines(in, out);
}
