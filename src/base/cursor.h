/* cursor.h: a reader over bytes that keeps its first error. Parsers move a cursor and look at
 * `err` once, at the end. Past an error every read returns 0, an empty slice or false. */
#ifndef BASE_CURSOR_H
#define BASE_CURSOR_H

#include "base/slice.h"

struct cursor {
	struct slice s;
	size_t pos; /* <= s.n */
	int err;    /* 0, or ERR_SYNTAX of the first failed read */
};

static inline struct cursor
cursor_of(struct slice s)
{
	return (struct cursor){s, 0, 0};
}
static inline size_t
cursor_left(const struct cursor *c)
{
	return c->err != 0 ? 0 : c->s.n - c->pos;
}
static inline bool
cursor_end(const struct cursor *c)
{
	return cursor_left(c) == 0;
}
static inline struct slice
cursor_rest(const struct cursor *c)
{
	return slice_range(c->s, c->s.n - cursor_left(c), c->s.n);
}
void cursor_fail(struct cursor *c, int err);

/* The next byte without moving, or -1 at the end. */
static inline int
cursor_peek(const struct cursor *c)
{
	return cursor_end(c) ? -1 : slice_at(c->s, c->pos);
}
/* The byte `ahead` places on without moving, or -1. */
static inline int
cursor_peek_at(const struct cursor *c, size_t ahead)
{
	return ahead >= cursor_left(c) ? -1 : slice_at(c->s, c->pos + ahead);
}
static inline void
cursor_skip(struct cursor *c, size_t n)
{
	if (n > cursor_left(c))
		cursor_fail(c, ERR_SYNTAX);
	else
		c->pos += n;
}
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_be16(struct cursor *c);
uint32_t cursor_be32(struct cursor *c);
uint64_t cursor_be64(struct cursor *c);
/* Exactly n bytes. */
struct slice cursor_take(struct cursor *c, size_t n);
/* Moves past `lit` if it is next (ASCII case folded in the i form); tells whether it was. */
bool cursor_accept(struct cursor *c, struct slice lit);
bool cursor_iaccept(struct cursor *c, struct slice lit);
bool cursor_accept_byte(struct cursor *c, uint8_t b);
/* As accept, but failure is an error. */
void cursor_expect(struct cursor *c, struct slice lit);
void cursor_expect_byte(struct cursor *c, uint8_t b);
/* The longest run of bytes whose entry in set[256] is true; may be empty. */
struct slice cursor_span(struct cursor *c, const bool set[256]);
/* Everything up to (excluding) byte b, or to the end; b is not consumed. */
struct slice cursor_until(struct cursor *c, uint8_t b);
void cursor_skip_wsp(struct cursor *c); /* spaces and TABs */
/* A decimal number up to max; ERR_SYNTAX without digits, ERR_LIMIT over max. */
uint64_t cursor_number(struct cursor *c, uint64_t max);

#endif
