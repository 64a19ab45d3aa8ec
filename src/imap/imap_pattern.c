/* imap_pattern.c: a shift-and automaton. State k means that the first k literal bytes of the pattern are matched; a
 * wildcard before literal k lets state k stay. Time is length of the name times pattern length / 64. */
#include "imap/imap_pattern.h"

struct imap_pattern {
	bool never;        /* more literal bytes than any name has */
	size_t literals;   /* the accepting state */
	size_t words;      /* of a state set: literals + 1 bits */
	uint64_t *star;    /* states before which a "*" stands */
	uint64_t *percent; /* … or a "%" */
	uint64_t *at[256]; /* literal k is this byte; NULL if none is */
};

static void
set_bit(uint64_t *v, size_t bit)
{
	v[bit / 64] |= (uint64_t)1 << (bit % 64);
}

static bool
compile(struct imap_pattern *p, struct arena *a, struct slice s, size_t *k)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t b = slice_at(s, i);

		if (b == '*') {
			set_bit(p->star, *k);
		} else if (b == '%') {
			set_bit(p->percent, *k);
		} else {
			if (p->at[b] == NULL)
				p->at[b] = ARENA_ARRAY(a, uint64_t, p->words);
			if (p->at[b] == NULL)
				return false;
			set_bit(p->at[b], (*k)++);
		}
	}
	return true;
}

static size_t
count_literals(struct slice s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += slice_at(s, i) != '*' && slice_at(s, i) != '%';
	return n;
}

struct imap_pattern *
imap_pattern_new(struct arena *a, struct slice reference, struct slice pattern, size_t name_max)
{
	struct imap_pattern *p = ARENA_NEW(a, struct imap_pattern);
	size_t k = 0;

	if (p == NULL)
		return NULL;
	p->literals = count_literals(reference) + count_literals(pattern);
	if (p->literals > name_max) {
		p->never = true;
		return p;
	}
	p->words = p->literals / 64 + 1;
	p->star = ARENA_ARRAY(a, uint64_t, p->words * 3);
	p->percent = ARENA_ARRAY(a, uint64_t, p->words);
	if (p->star == NULL || p->percent == NULL || !compile(p, a, reference, &k) || !compile(p, a, pattern, &k))
		return NULL;
	return p;
}

bool
imap_pattern_match(const struct imap_pattern *p, struct slice name, bool inbox)
{
	/* Room for two state sets lies behind the stars; a match is not shared between threads. */
	uint64_t *now = p->never ? NULL : p->star + p->words, *next;

	if (p->never || p->literals > name.n)
		return false;
	next = now + p->words;
	memset(now, 0, p->words * sizeof(*now));
	now[0] = 1;
	for (size_t i = 0; i < name.n; i++) {
		uint8_t b = slice_at(name, i);
		const uint64_t *lower = p->at[inbox && i < 5 ? ascii_lower(b) : b];
		const uint64_t *upper = inbox && i < 5 ? p->at[ascii_upper(b)] : NULL;
		uint64_t carry = 0, any = 0;

		for (size_t w = 0; w < p->words; w++) {
			uint64_t mask = (lower == NULL ? 0 : lower[w]) | (upper == NULL ? 0 : upper[w]);
			uint64_t hit = now[w] & mask;

			next[w] = hit << 1 | carry | (now[w] & p->star[w]) | (b == '/' ? 0 : now[w] & p->percent[w]);
			carry = hit >> 63;
			any |= next[w];
		}
		if (any == 0)
			return false;
		memcpy(now, next, p->words * sizeof(*now));
	}
	return (now[p->literals / 64] >> (p->literals % 64) & 1) != 0;
}
