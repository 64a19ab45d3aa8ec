/* buf.h: a growing byte buffer, created with its maximum. The first failure (over the maximum, out of
 * memory) sticks in `err` and later appends do nothing, so that it is checked once at the end. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/slice.h"

struct buf {
	uint8_t *p; /* malloc'd, owned */
	size_t n;
	size_t cap;
	size_t max;
	int err; /* 0, ERR_LIMIT or ERR_NOMEM */
};

void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b);
/* Empties it and clears the error; keeps the memory (gives it back over 64 KB). */
void buf_reset(struct buf *b);
#define BUF_CLEANUP __attribute__((cleanup(buf_free)))

void buf_put(struct buf *b, struct slice s);
void buf_put_z(struct buf *b, const char *z);
void buf_put_u8(struct buf *b, uint8_t c);
void buf_put_be16(struct buf *b, uint16_t v);
void buf_put_be32(struct buf *b, uint32_t v);
void buf_put_be64(struct buf *b, uint64_t v);
void buf_put_u64(struct buf *b, uint64_t v); /* decimal */
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_put_hex(struct buf *b, struct slice s);
void buf_put_base64(struct buf *b, struct slice s); /* RFC 4648 §4, padded, one line */
/* Decodes strict base64 (RFC 4648 §4; padding needed; no other bytes): 0 or ERR_SYNTAX, b->err. */
NODISCARD int buf_put_unbase64(struct buf *b, struct slice s);
/* Room for n more bytes to write at the returned place, then buf_added(). NULL on failure. */
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_added(struct buf *b, size_t n);
/* Removes n bytes at the front. */
void buf_consume(struct buf *b, size_t n);
void buf_truncate(struct buf *b, size_t n);
/* Overwrites bytes that are there already. Traps unless they are. */
void buf_patch_u8(struct buf *b, size_t at, uint8_t v);
void buf_patch_be32(struct buf *b, size_t at, uint32_t v);

static inline struct slice
buf_slice(const struct buf *b)
{
	return slice_of(b->p, b->n);
}

#endif
