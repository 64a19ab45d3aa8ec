/* slice.c: comparing, searching and cutting bytes. Nothing here allocates. */
#include "base/slice.h"

bool
slice_ieq(struct slice a, struct slice b)
{
	return a.n == b.n && slice_icmp(a, b) == 0;
}

int
slice_cmp(struct slice a, struct slice b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int r = n == 0 ? 0 : memcmp(a.p, b.p, n);

	if (r != 0)
		return r;
	return a.n == b.n ? 0 : a.n < b.n ? -1 : 1;
}

int
slice_icmp(struct slice a, struct slice b)
{
	size_t n = a.n < b.n ? a.n : b.n;

	for (size_t i = 0; i < n; i++) {
		int d = (int)ascii_lower(a.p[i]) - (int)ascii_lower(b.p[i]);

		if (d != 0)
			return d;
	}
	return a.n == b.n ? 0 : a.n < b.n ? -1 : 1;
}

bool
slice_starts(struct slice s, struct slice prefix)
{
	return s.n >= prefix.n && slice_eq(slice_head(s, prefix.n), prefix);
}

bool
slice_istarts(struct slice s, struct slice prefix)
{
	return s.n >= prefix.n && slice_ieq(slice_head(s, prefix.n), prefix);
}

bool
slice_ends(struct slice s, struct slice suffix)
{
	return s.n >= suffix.n && slice_eq(slice_from(s, s.n - suffix.n), suffix);
}

bool
slice_iends(struct slice s, struct slice suffix)
{
	return s.n >= suffix.n && slice_ieq(slice_from(s, s.n - suffix.n), suffix);
}

size_t
slice_find_byte(struct slice s, uint8_t c)
{
	const uint8_t *hit = s.n == 0 ? NULL : memchr(s.p, c, s.n);

	return hit == NULL ? SLICE_NONE : (size_t)(hit - s.p);
}

size_t
slice_rfind_byte(struct slice s, uint8_t c)
{
	const uint8_t *hit = s.n == 0 ? NULL : memrchr(s.p, c, s.n);

	return hit == NULL ? SLICE_NONE : (size_t)(hit - s.p);
}

size_t
slice_find(struct slice s, struct slice needle)
{
	const uint8_t *hit;

	if (needle.n == 0)
		return 0;
	if (needle.n > s.n)
		return SLICE_NONE;
	hit = memmem(s.p, s.n, needle.p, needle.n);
	return hit == NULL ? SLICE_NONE : (size_t)(hit - s.p);
}

size_t
slice_ifind(struct slice s, struct slice needle)
{
	if (needle.n == 0)
		return 0;
	for (size_t i = 0; i + needle.n <= s.n; i++) {
		if (ascii_lower(s.p[i]) == ascii_lower(needle.p[0]) && slice_ieq(slice_of(s.p + i, needle.n), needle))
			return i;
	}
	return SLICE_NONE;
}

struct slice
slice_trim(struct slice s)
{
	while (s.n > 0 && ascii_is_space(s.p[0]))
		s = slice_from(s, 1);
	while (s.n > 0 && ascii_is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct slice
slice_cut(struct slice *rest, uint8_t sep)
{
	size_t at = slice_find_byte(*rest, sep);
	struct slice head = *rest;

	if (at == SLICE_NONE) {
		*rest = SLICE_EMPTY;
		return head;
	}
	head.n = at;
	*rest = slice_from(*rest, at + 1);
	return head;
}

int
slice_to_u64(struct slice s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0)
		return ERR_SYNTAX;
	for (size_t i = 0; i < s.n; i++) {
		uint64_t d = (uint64_t)s.p[i] - '0';

		if (!ascii_is_digit(s.p[i]))
			return ERR_SYNTAX;
		if (v > (UINT64_MAX - d) / 10)
			return ERR_LIMIT;
		v = v * 10 + d;
	}
	if (v > max)
		return ERR_LIMIT;
	*out = v;
	return 0;
}

bool
slice_is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] >= 0x80)
			return false;
	return true;
}

/* Length of the valid UTF-8 sequence at s.p[i], or 0. */
static size_t
utf8_sequence(struct slice s, size_t i)
{
	uint8_t c = s.p[i];
	size_t len = c < 0x80       ? 1
	    : c >= 0xc2 && c < 0xe0 ? 2
	    : c >= 0xe0 && c < 0xf0 ? 3
	    : c >= 0xf0 && c < 0xf5 ? 4
				    : 0;

	if (len == 0 || i + len > s.n)
		return 0;
	for (size_t k = 1; k < len; k++)
		if ((s.p[i + k] & 0xc0) != 0x80)
			return 0;
	if ((c == 0xe0 && s.p[i + 1] < 0xa0) || (c == 0xed && s.p[i + 1] > 0x9f) || (c == 0xf0 && s.p[i + 1] < 0x90) ||
	    (c == 0xf4 && s.p[i + 1] > 0x8f))
		return 0;
	return len;
}

bool
slice_is_utf8(struct slice s, bool no_nul)
{
	for (size_t i = 0; i < s.n;) {
		size_t len = utf8_sequence(s, i);

		if (len == 0 || (no_nul && s.p[i] == 0))
			return false;
		i += len;
	}
	return true;
}

int
slice_to_z(struct slice s, char *out, size_t max)
{
	if (max == 0 || s.n > max - 1)
		return ERR_LIMIT;
	if (slice_find_byte(s, 0) != SLICE_NONE)
		return ERR_INVALID;
	if (s.n > 0)
		memcpy(out, s.p, s.n);
	out[s.n] = 0;
	return 0;
}

static uint64_t
hash_step(uint64_t h, uint8_t c)
{
	return (h ^ c) * 0x100000001b3ull;
}

static uint64_t
hash_end(uint64_t h, uint64_t key)
{
	h ^= key + (h >> 32);
	h *= 0xff51afd7ed558ccdull;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ull;
	return h ^ (h >> 33);
}

uint64_t
slice_hash(struct slice s, uint64_t key)
{
	uint64_t h = 0xcbf29ce484222325ull ^ key;

	for (size_t i = 0; i < s.n; i++)
		h = hash_step(h, s.p[i]);
	return hash_end(h, key);
}

uint64_t
slice_ihash(struct slice s, uint64_t key)
{
	uint64_t h = 0xcbf29ce484222325ull ^ key;

	for (size_t i = 0; i < s.n; i++)
		h = hash_step(h, ascii_lower(s.p[i]));
	return hash_end(h, key);
}
