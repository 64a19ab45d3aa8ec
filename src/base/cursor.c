/* cursor.c: the sticky-error reader. */
#include "base/cursor.h"

void
cursor_fail(struct cursor *c, int err)
{
	if (c->err == 0)
		c->err = err;
}

uint8_t
cursor_u8(struct cursor *c)
{
	if (cursor_end(c)) {
		cursor_fail(c, ERR_SYNTAX);
		return 0;
	}
	return c->s.p[c->pos++];
}

uint16_t
cursor_be16(struct cursor *c)
{
	struct slice s = cursor_take(c, 2);

	return s.n < 2 ? 0 : (uint16_t)((unsigned)s.p[0] << 8 | s.p[1]);
}

uint32_t
cursor_be32(struct cursor *c)
{
	struct slice s = cursor_take(c, 4);

	return s.n < 4 ? 0 : (uint32_t)s.p[0] << 24 | (uint32_t)s.p[1] << 16 | (uint32_t)s.p[2] << 8 | s.p[3];
}

uint64_t
cursor_be64(struct cursor *c)
{
	uint64_t hi = cursor_be32(c);

	return hi << 32 | cursor_be32(c);
}

struct slice
cursor_take(struct cursor *c, size_t n)
{
	struct slice s;

	if (n > cursor_left(c)) {
		cursor_fail(c, ERR_SYNTAX);
		return SLICE_EMPTY;
	}
	s = slice_range(c->s, c->pos, c->pos + n);
	c->pos += n;
	return s;
}

bool
cursor_accept(struct cursor *c, struct slice lit)
{
	if (!slice_starts(cursor_rest(c), lit))
		return false;
	c->pos += lit.n;
	return true;
}

bool
cursor_iaccept(struct cursor *c, struct slice lit)
{
	if (!slice_istarts(cursor_rest(c), lit))
		return false;
	c->pos += lit.n;
	return true;
}

bool
cursor_accept_byte(struct cursor *c, uint8_t b)
{
	if (cursor_peek(c) != b)
		return false;
	c->pos++;
	return true;
}

void
cursor_expect(struct cursor *c, struct slice lit)
{
	if (!cursor_accept(c, lit))
		cursor_fail(c, ERR_SYNTAX);
}

void
cursor_expect_byte(struct cursor *c, uint8_t b)
{
	if (!cursor_accept_byte(c, b))
		cursor_fail(c, ERR_SYNTAX);
}

struct slice
cursor_span(struct cursor *c, const bool set[256])
{
	struct slice rest = cursor_rest(c);
	size_t n = 0;

	while (n < rest.n && set[rest.p[n]])
		n++;
	return cursor_take(c, n);
}

struct slice
cursor_until(struct cursor *c, uint8_t b)
{
	struct slice rest = cursor_rest(c);
	size_t at = slice_find_byte(rest, b);

	return cursor_take(c, at == SLICE_NONE ? rest.n : at);
}

void
cursor_skip_wsp(struct cursor *c)
{
	while (cursor_peek(c) == ' ' || cursor_peek(c) == '\t')
		c->pos++;
}

uint64_t
cursor_number(struct cursor *c, uint64_t max)
{
	struct slice rest = cursor_rest(c);
	uint64_t v = 0;
	size_t n = 0;
	int err;

	while (n < rest.n && ascii_is_digit(rest.p[n]))
		n++;
	err = slice_to_u64(cursor_take(c, n), max, &v);
	if (err != 0) {
		cursor_fail(c, err);
		return 0;
	}
	return v;
}
