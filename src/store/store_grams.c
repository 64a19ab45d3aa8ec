/* store_grams.c: grams are made while the text is decoded once; lists are varints or bitmaps. */
#include "store/store_grams.h"

#include "base/cursor.h"

#define FORM_DELTAS 0
#define FORM_BITMAP 1

/* Three characters: ASCII ones in 21 bits above zero, others below zero in 63, so that the frequent ones are small numbers. */
static int64_t
gram_of(uint32_t a, uint32_t b, uint32_t c)
{
	if ((a | b | c) < 0x80)
		return (int64_t)(a << 14 | b << 7 | c);
	return ~(int64_t)((uint64_t)a << 42 | (uint64_t)b << 21 | (uint64_t)c);
}

/* The character at *i, which moves on. Bytes that are no UTF-8 count as themselves. */
static uint32_t
next_character(struct slice s, size_t *i)
{
	uint8_t b = slice_at(s, (*i)++);
	size_t more = b >= 0xf0 ? 3 : b >= 0xe0 ? 2 : b >= 0xc0 ? 1 : 0;
	uint32_t c = more == 3 ? b & 7 : more == 2 ? b & 15 : more == 1 ? b & 31 : b;

	if (more > s.n - *i)
		return b;
	for (size_t k = 0; k < more; k++)
		c = c << 6 | (slice_at(s, (*i)++) & 0x3fu);
	return c;
}

void
grams_each(struct slice folded, gram_fn *fn, void *arg)
{
	uint32_t a = '\n', b = '\n';

	for (size_t i = 0; i < folded.n;) {
		uint32_t c = next_character(folded, &i);

		if (a != '\n' && b != '\n' && c != '\n')
			fn(arg, gram_of(a, b, c));
		a = b;
		b = c;
	}
}

static int
compare_pairs(const void *x, const void *y)
{
	const struct gram_pair *a = x, *b = y;

	if (a->gram != b->gram)
		return a->gram < b->gram ? -1 : 1;
	return a->doc < b->doc ? -1 : a->doc > b->doc;
}

/* Of pairs in order of documents and with ASCII grams three stable passes, by a character each, do; without memory
 * for them, or with other grams, the library's sort. */
void
gram_pairs_sort(struct gram_pair *v, size_t n)
{
	struct gram_pair *other = NULL;
	bool ascii = true;

	for (size_t i = 0; i < n && ascii; i++)
		ascii = v[i].gram >= 0 && v[i].gram < 1 << 21 && (i == 0 || v[i - 1].doc <= v[i].doc);
	if (ascii)
		other = malloc((n + 1) * sizeof(*other));
	if (other == NULL) {
		if (n > 1)
			qsort(v, n, sizeof(*v), compare_pairs);
		return;
	}
	for (int pass = 0; pass < 3; pass++) {
		size_t at[129] = {0};
		struct gram_pair *from = pass % 2 == 0 ? v : other, *to = pass % 2 == 0 ? other : v;
		int shift = pass * 7;

		for (size_t i = 0; i < n; i++)
			at[(from[i].gram >> shift & 127) + 1]++;
		for (size_t i = 1; i < COUNT_OF(at); i++)
			at[i] += at[i - 1];
		for (size_t i = 0; i < n; i++)
			to[at[from[i].gram >> shift & 127]++] = from[i];
	}
	if (n > 0)
		memcpy(v, other, n * sizeof(*v));
	free(other);
}

/* ---- lists -------------------------------------------------------------------------------------------------- */

static size_t
varint_size(uint32_t v)
{
	return v < 1u << 7 ? 1 : v < 1u << 14 ? 2 : v < 1u << 21 ? 3 : v < 1u << 28 ? 4 : 5;
}

static void
put_bitmap(struct buf *out, const uint32_t *v, size_t n, size_t docs)
{
	size_t bytes = (docs + 7) / 8;
	uint8_t *p;

	buf_put_u8(out, FORM_BITMAP);
	if ((p = buf_reserve(out, bytes)) == NULL)
		return;
	memset(p, 0, bytes);
	for (size_t i = 0; i < n; i++)
		p[v[i] / 8] |= (uint8_t)(1u << (v[i] % 8));
	buf_added(out, bytes);
}

void
gram_list_put(struct buf *out, const uint32_t *v, size_t n, size_t docs)
{
	uint32_t last = 0;
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++) {
		ASSERT(v[i] < docs && (i == 0 || v[i] > v[i - 1]));
		bytes += varint_size(v[i] - last);
		last = v[i];
	}
	if (bytes > (docs + 7) / 8) {
		put_bitmap(out, v, n, docs);
		return;
	}
	last = 0;
	buf_put_u8(out, FORM_DELTAS);
	for (size_t i = 0; i < n; i++) {
		uint32_t d = v[i] - last;

		for (; d >= 0x80; d >>= 7)
			buf_put_u8(out, (uint8_t)(d | 0x80));
		buf_put_u8(out, (uint8_t)d);
		last = v[i];
	}
}

static bool
deltas_each(struct cursor *c, size_t docs, uint32_t base, doc_fn *fn, void *arg)
{
	uint64_t doc = 0;
	bool first = true;

	while (!cursor_end(c)) {
		uint64_t d = 0;
		unsigned shift = 0;
		uint8_t b;

		do {
			b = cursor_u8(c);
			d |= (uint64_t)(b & 0x7f) << shift;
			shift += 7;
		} while ((b & 0x80) != 0 && shift < 35);
		doc += d;
		if (c->err != 0 || (b & 0x80) != 0 || doc >= docs || (!first && d == 0))
			return false;
		first = false;
		fn(arg, base + (uint32_t)doc);
	}
	return c->err == 0;
}

bool
gram_list_each(struct slice list, size_t docs, uint32_t base, doc_fn *fn, void *arg)
{
	struct cursor c = cursor_of(list);
	uint8_t form = cursor_u8(&c);
	struct slice map;

	if (form == FORM_DELTAS)
		return deltas_each(&c, docs, base, fn, arg);
	map = cursor_rest(&c);
	if (c.err != 0 || form != FORM_BITMAP || map.n != (docs + 7) / 8)
		return false;
	for (size_t i = 0; i < map.n; i++)
		for (unsigned b = slice_at(map, i), k = 0; b != 0; b >>= 1, k++) {
			if ((b & 1) == 0)
				continue;
			if (i * 8 + k >= docs)
				return false;
			fn(arg, base + (uint32_t)(i * 8 + k));
		}
	return true;
}

static void
set_bit(void *arg, uint32_t doc)
{
	uint64_t *bits = arg;

	bits[doc / 64] |= (uint64_t)1 << (doc % 64);
}

bool
gram_list_and(struct slice list, size_t docs, uint64_t *bits, uint64_t *other)
{
	size_t words = (docs + 63) / 64;

	memset(other, 0, words * sizeof(*other));
	if (list.n == 1 + (docs + 7) / 8 && slice_at(list, 0) == FORM_BITMAP) {
		uint8_t *to = (uint8_t *)other;

		/* On machines of the other byte order a bit at a time. */
		if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
			memcpy(to, slice_from(list, 1).p, list.n - 1);
		else if (!gram_list_each(list, docs, 0, set_bit, other))
			return false;
	} else if (!gram_list_each(list, docs, 0, set_bit, other)) {
		return false;
	}
	for (size_t i = 0; i < words; i++)
		bits[i] &= other[i];
	return true;
}
