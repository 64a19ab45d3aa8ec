/* slice.h: bytes with their length. Mail contains NULs, so NUL-terminated strings exist only at
 * system-call edges. Outside base/ a slice is read through these accessors and through cursors, which
 * trap on a bad index in release builds too; script/check-style refuses `.p[` elsewhere. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `n` bytes at `p`. Owns nothing. p may be NULL when n is 0. */
struct slice {
	const uint8_t *p;
	size_t n;
};

/* `n` slices at `v`. Owns nothing. */
struct slice_list {
	const struct slice *v;
	size_t n;
};

#define SLICE(lit) ((struct slice){(const uint8_t *)("" lit), sizeof(lit) - 1})
/* The same as a constant initialiser of static tables. */
#define SLICE_INIT(lit) \
	{ \
		(const uint8_t *)("" lit), sizeof(lit) - 1 \
	}
#define SLICE_EMPTY ((struct slice){NULL, 0})
#define SLICE_NONE ((size_t)-1)
/* For printf's %.*s (prints up to the first NUL). */
#define SLICE_ARG(s) (int)((s).n > 4096 ? 4096 : (s).n), (const char *)((s).p ? (s).p : (const uint8_t *)"")

static inline struct slice
slice_of(const void *p, size_t n)
{
	return (struct slice){(const uint8_t *)p, n};
}

static inline struct slice
slice_z(const char *z)
{
	return slice_of(z, z == NULL ? 0 : strlen(z));
}

static inline uint8_t
slice_at(struct slice s, size_t i)
{
	ASSERT(i < s.n);
	return s.p[i];
}

/* The bytes from..to (to excluded). Traps unless from <= to <= s.n. */
static inline struct slice
slice_range(struct slice s, size_t from, size_t to)
{
	ASSERT(from <= to && to <= s.n);
	return (struct slice){s.p == NULL ? NULL : s.p + from, to - from};
}

/* Everything from index `from` on. Traps if from > s.n. */
static inline struct slice
slice_from(struct slice s, size_t from)
{
	return slice_range(s, from, s.n);
}

/* At most the first `max` bytes. */
static inline struct slice
slice_head(struct slice s, size_t max)
{
	return (struct slice){s.p, s.n < max ? s.n : max};
}

static inline bool
slice_eq(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline uint8_t
ascii_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}
static inline uint8_t
ascii_upper(uint8_t c)
{
	return c >= 'a' && c <= 'z' ? (uint8_t)(c & ~0x20) : c;
}
static inline bool
ascii_is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}
static inline bool
ascii_is_alpha(uint8_t c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}
static inline bool
ascii_is_alnum(uint8_t c)
{
	return ascii_is_digit(c) || ascii_is_alpha(c);
}
static inline bool
ascii_is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Equal when ASCII letters are folded; other bytes as they are. */
bool slice_ieq(struct slice a, struct slice b);
/* memcmp order, shorter first on a tie: <0, 0, >0. */
int slice_cmp(struct slice a, struct slice b);
int slice_icmp(struct slice a, struct slice b);
bool slice_starts(struct slice s, struct slice prefix);
bool slice_istarts(struct slice s, struct slice prefix);
bool slice_ends(struct slice s, struct slice suffix);
bool slice_iends(struct slice s, struct slice suffix);
/* Index of the first (last) byte c, or SLICE_NONE. */
size_t slice_find_byte(struct slice s, uint8_t c);
size_t slice_rfind_byte(struct slice s, uint8_t c);
/* Index of the first occurrence of `needle`, or SLICE_NONE; an empty needle is found at 0. */
size_t slice_find(struct slice s, struct slice needle);
size_t slice_ifind(struct slice s, struct slice needle);
/* Without white space (space, TAB, CR, LF, VT, FF) at both ends. */
struct slice slice_trim(struct slice s);
/* Cuts *rest at the first `sep`: returns what precedes it and leaves what follows in *rest. Without a
 * `sep` the whole of *rest is returned and *rest becomes empty with p == NULL. */
struct slice slice_cut(struct slice *rest, uint8_t sep);
/* The whole slice as a decimal number: 0, ERR_SYNTAX (empty, other bytes) or ERR_LIMIT (over max). */
NODISCARD int slice_to_u64(struct slice s, uint64_t max, uint64_t *out);
/* True if the bytes are valid UTF-8 (RFC 3629: no surrogates, no overlong forms); with `no_nul`, also
 * without U+0000. This is what TEXT columns may hold. */
bool slice_is_utf8(struct slice s, bool no_nul);
bool slice_is_ascii(struct slice s);
/* Copies into out[max] and terminates with NUL: 0, ERR_LIMIT if it does not fit, ERR_INVALID if the
 * slice contains a NUL. For system-call edges only. */
NODISCARD int slice_to_z(struct slice s, char *out, size_t max);
/* FNV-1a style 64-bit hash, keyed so that strangers cannot choose collisions. */
uint64_t slice_hash(struct slice s, uint64_t key);
uint64_t slice_ihash(struct slice s, uint64_t key);

/* A big-endian-free way to fill a slice list on the stack: */
#define SLICE_LIST(...) \
	((struct slice_list){ \
	    (const struct slice[]){__VA_ARGS__}, sizeof((const struct slice[]){__VA_ARGS__}) / sizeof(struct slice)})

#endif
