/* imap_sequence.c: parsing, joining and walking sets of numbers. A command line bounds how many ranges there are. */
#include "imap/imap_sequence.h"

static uint32_t
seq_number(struct imap_lex *x)
{
	return imap_lex_accept(x, '*') ? 0 : imap_lex_nz_number(x);
}

struct imap_sequence
imap_lex_sequence(struct imap_lex *x)
{
	struct imap_sequence s = {NULL, 0};
	size_t cap = 0;

	do {
		struct imap_range r;

		r.lo = seq_number(x);
		r.hi = imap_lex_accept(x, ':') ? seq_number(x) : r.lo;
		if (imap_lex_failed(x))
			break;
		s.v = arena_grow(x->arena, s.v, s.n, &cap, sizeof(*s.v), SIZE_MAX);
		if (s.v == NULL) {
			imap_lex_fail(x, "the command is too large");
			break;
		}
		s.v[s.n++] = r;
	} while (imap_lex_accept(x, ','));
	if (imap_lex_failed(x))
		return (struct imap_sequence){NULL, 0};
	return s;
}

bool
imap_sequence_beyond(const struct imap_sequence *s, uint32_t max)
{
	for (size_t i = 0; i < s->n; i++) {
		struct imap_range r = s->v[i];
		uint32_t lo = r.lo == 0 ? r.hi : r.hi == 0 ? r.lo : r.lo < r.hi ? r.lo : r.hi;

		if (lo == 0 ? max == 0 : lo > max)
			return true;
	}
	return false;
}

bool
imap_sequence_has_star(const struct imap_sequence *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].lo == 0 || s->v[i].hi == 0)
			return true;
	return false;
}

uint64_t
imap_sequence_count(const struct imap_sequence *s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += (uint64_t)s->v[i].hi - s->v[i].lo + 1;
	return n;
}

static int
by_lo(const void *a, const void *b)
{
	const struct imap_range *x = a, *y = b;

	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

void
imap_sequence_resolve(struct imap_sequence *s, uint32_t max)
{
	size_t n = 0;
	bool sorted = true;

	for (size_t i = 0; i < s->n; i++) {
		struct imap_range r = s->v[i];

		if (r.lo == 0)
			r.lo = max;
		if (r.hi == 0)
			r.hi = max;
		if (r.lo > r.hi)
			r = (struct imap_range){r.hi, r.lo};
		if (r.hi == 0)
			continue;
		if (r.lo == 0)
			r.lo = r.hi;
		if (n > 0 && s->v[n - 1].lo > r.lo)
			sorted = false;
		s->v[n++] = r;
	}
	s->n = n;
	if (!sorted)
		qsort(s->v, s->n, sizeof(*s->v), by_lo);
	n = 0;
	for (size_t i = 0; i < s->n; i++) {
		struct imap_range r = s->v[i];

		if (n > 0 && (s->v[n - 1].hi == UINT32_MAX || r.lo <= s->v[n - 1].hi + 1)) {
			if (r.hi > s->v[n - 1].hi)
				s->v[n - 1].hi = r.hi;
		} else {
			s->v[n++] = r;
		}
	}
	s->n = n;
}

bool
imap_sequence_has(const struct imap_sequence *s, uint32_t number)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (number < s->v[mid].lo)
			hi = mid;
		else if (number > s->v[mid].hi)
			lo = mid + 1;
		else
			return true;
	}
	return false;
}

uint32_t
imap_sequence_from(const struct imap_sequence *s, uint32_t number)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->v[mid].hi < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo == s->n ? 0 : number > s->v[lo].lo ? number : s->v[lo].lo;
}

uint32_t
imap_sequence_next(const struct imap_sequence *s, struct imap_walk *w, uint32_t max)
{
	for (; w->range < s->n; w->range++) {
		struct imap_range r = s->v[w->range];
		uint32_t next = w->last + 1;

		if (w->last >= max || r.lo > max)
			return 0;
		if (next < r.lo)
			next = r.lo;
		if (next <= r.hi) {
			w->last = next;
			return next;
		}
	}
	return 0;
}

void
imap_sequence_print(struct buf *out, const uint32_t *v, size_t n)
{
	for (size_t i = 0; i < n;) {
		size_t k = i;

		while (k + 1 < n && v[k] != UINT32_MAX && v[k + 1] == v[k] + 1)
			k++;
		if (i > 0)
			buf_put_u8(out, ',');
		buf_put_u64(out, v[i]);
		if (k > i) {
			buf_put_u8(out, ':');
			buf_put_u64(out, v[k]);
		}
		i = k + 1;
	}
}
