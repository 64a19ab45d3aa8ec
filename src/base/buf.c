/* buf.c: the growing buffer. */
#include "base/buf.h"

#include <stdarg.h>

#define BUF_KEEP_MAX (64u * 1024u)

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void
buf_free(struct buf *b)
{
	free(b->p);
	b->p = NULL;
	b->n = b->cap = 0;
}

void
buf_reset(struct buf *b)
{
	if (b->cap > BUF_KEEP_MAX)
		buf_free(b);
	b->n = 0;
	b->err = 0;
}

uint8_t *
buf_reserve(struct buf *b, size_t n)
{
	if (b->err != 0)
		return NULL;
	if (n > b->max || b->n > b->max - n) {
		b->err = ERR_LIMIT;
		return NULL;
	}
	if (b->cap - b->n < n) {
		size_t cap = b->cap == 0 ? 256 : b->cap;
		uint8_t *p;

		while (cap < b->n + n)
			cap *= 2;
		if (cap > b->max)
			cap = b->max;
		p = realloc(b->p, cap);
		if (p == NULL) {
			b->err = ERR_NOMEM;
			return NULL;
		}
		b->p = p;
		b->cap = cap;
	}
	return b->p + b->n;
}

void
buf_added(struct buf *b, size_t n)
{
	ASSERT(n <= b->cap - b->n);
	b->n += n;
}

void
buf_put(struct buf *b, struct slice s)
{
	uint8_t *p;

	if (s.n == 0)
		return;
	p = buf_reserve(b, s.n);
	if (p == NULL)
		return;
	memcpy(p, s.p, s.n);
	b->n += s.n;
}

void
buf_put_z(struct buf *b, const char *z)
{
	buf_put(b, slice_z(z));
}

void
buf_put_u8(struct buf *b, uint8_t c)
{
	buf_put(b, slice_of(&c, 1));
}

void
buf_put_be16(struct buf *b, uint16_t v)
{
	uint8_t d[2] = {(uint8_t)(v >> 8), (uint8_t)v};

	buf_put(b, slice_of(d, sizeof(d)));
}

void
buf_put_be32(struct buf *b, uint32_t v)
{
	uint8_t d[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

	buf_put(b, slice_of(d, sizeof(d)));
}

void
buf_put_be64(struct buf *b, uint64_t v)
{
	buf_put_be32(b, (uint32_t)(v >> 32));
	buf_put_be32(b, (uint32_t)v);
}

void
buf_put_u64(struct buf *b, uint64_t v)
{
	char d[20];
	size_t i = sizeof(d);

	do {
		d[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	buf_put(b, slice_of(d + i, sizeof(d) - i));
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	uint8_t *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	/* One byte more for the NUL that vsnprintf writes; it is not counted. */
	p = buf_reserve(b, (size_t)n + 1);
	if (p == NULL)
		return;
	va_start(ap, fmt);
	(void)vsnprintf((char *)p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->n += (size_t)n;
}

void
buf_put_hex(struct buf *b, struct slice s)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < s.n; i++) {
		buf_put_u8(b, (uint8_t)digits[s.p[i] >> 4]);
		buf_put_u8(b, (uint8_t)digits[s.p[i] & 15]);
	}
}

void
buf_put_base64(struct buf *b, struct slice s)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < s.n; i += 3) {
		uint32_t v = (uint32_t)s.p[i] << 16;
		uint8_t d[4];

		if (i + 1 < s.n)
			v |= (uint32_t)s.p[i + 1] << 8;
		if (i + 2 < s.n)
			v |= s.p[i + 2];
		d[0] = (uint8_t)digits[v >> 18];
		d[1] = (uint8_t)digits[(v >> 12) & 63];
		d[2] = i + 1 < s.n ? (uint8_t)digits[(v >> 6) & 63] : '=';
		d[3] = i + 2 < s.n ? (uint8_t)digits[v & 63] : '=';
		buf_put(b, slice_of(d, 4));
	}
}

static int
base64_value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (ascii_is_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int
buf_put_unbase64(struct buf *b, struct slice s)
{
	if (s.n % 4 != 0)
		return ERR_SYNTAX;
	for (size_t i = 0; i < s.n; i += 4) {
		bool last = i + 4 == s.n;
		int pad = !last ? 0 : s.p[i + 3] != '=' ? 0 : s.p[i + 2] == '=' ? 2 : 1;
		uint32_t v = 0;

		for (int k = 0; k < 4; k++) {
			int d = k >= 4 - pad ? 0 : base64_value(s.p[i + (size_t)k]);

			if (d < 0)
				return ERR_SYNTAX;
			v = v << 6 | (uint32_t)d;
		}
		if ((pad == 1 && (v & 0xff) != 0) || (pad == 2 && (v & 0xffff) != 0))
			return ERR_SYNTAX;
		buf_put_u8(b, (uint8_t)(v >> 16));
		if (pad < 2)
			buf_put_u8(b, (uint8_t)(v >> 8));
		if (pad < 1)
			buf_put_u8(b, (uint8_t)v);
	}
	return b->err;
}

void
buf_consume(struct buf *b, size_t n)
{
	ASSERT(n <= b->n);
	if (n == 0)
		return;
	b->n -= n;
	memmove(b->p, b->p + n, b->n);
}

void
buf_truncate(struct buf *b, size_t n)
{
	ASSERT(n <= b->n);
	b->n = n;
}

void
buf_patch_u8(struct buf *b, size_t at, uint8_t v)
{
	ASSERT(at < b->n);
	b->p[at] = v;
}

void
buf_patch_be32(struct buf *b, size_t at, uint32_t v)
{
	ASSERT(at <= b->n && b->n - at >= 4);
	for (size_t i = 0; i < 4; i++)
		b->p[at + i] = (uint8_t)(v >> (24 - 8 * i));
}
