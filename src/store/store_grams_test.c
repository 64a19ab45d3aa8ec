/* store_grams_test.c: grams of texts and lists of documents. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/house.h"
#include "store/store_grams.h"

struct seen {
	int64_t v[64];
	size_t n;
};

static void
note(void *arg, int64_t gram)
{
	struct seen *s = arg;

	assert_true(s->n < 64);
	s->v[s->n++] = gram;
}

static void
test_grams(void **state)
{
	struct seen s = {.n = 0}, t = {.n = 0};

	(void)state;
	grams_each(SLICE("AB"), note, &s);
	grams_each(SLICE("AB\nCD\n"), note, &s);
	assert_int_equal(s.n, 0);
	grams_each(SLICE("ABCA"), note, &s);
	assert_int_equal(s.n, 2);
	assert_int_equal(s.v[0], 'A' << 14 | 'B' << 7 | 'C');
	/* Characters, not bytes; never the same as another three. */
	grams_each(SLICE("\xd0\x96\xe2\x82\xac\xf0\x9f\x98\x80"
			 "A"),
	    note, &t);
	assert_int_equal(t.n, 2);
	assert_true(t.v[0] < 0 && t.v[1] < 0 && t.v[0] != t.v[1]);
	grams_each(SLICE("\xff\xfe\xc3"), note, &t); /* no UTF-8, and nothing is read beyond */
}

struct docs {
	uint32_t v[4096];
	size_t n;
};

static void
note_doc(void *arg, uint32_t doc)
{
	struct docs *d = arg;

	d->v[d->n++] = doc;
}

static void
test_lists(void **state)
{
	struct house h;

	(void)state;
	house_init(&h, "test");
	for (int round = 0; round < 300; round++) {
		size_t docs = 1 + (size_t)house_random_below(&h, 4000), share = 1 + (size_t)house_random_below(&h, 300);
		uint32_t v[4096];
		uint64_t bits[64], other[64];
		size_t n = 0;
		struct docs got = {.n = 0};
		struct buf BUF_CLEANUP b;

		for (uint32_t i = 0; i < docs; i++)
			if (house_random_below(&h, share) == 0)
				v[n++] = i;
		buf_init(&b, 65536);
		gram_list_put(&b, v, n, docs);
		assert_true(b.n <= 2 + docs / 8);
		assert_true(gram_list_each(buf_slice(&b), docs, 7, note_doc, &got));
		assert_int_equal(got.n, n);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(got.v[i], v[i] + 7);
		memset(bits, 0xff, sizeof(bits));
		assert_true(gram_list_and(buf_slice(&b), docs, bits, other));
		for (size_t i = 0, k = 0; i < docs; i++) {
			bool in = k < n && v[k] == i;

			k += in;
			assert_int_equal(bits[i / 64] >> (i % 64) & 1, in);
		}
	}
}

static void
test_damaged(void **state)
{
	static const struct slice v[] = {SLICE_INIT(""), SLICE_INIT("\x02"), SLICE_INIT("\x00\x05\x00"),
	    SLICE_INIT("\x00\x0a"), SLICE_INIT("\x00\x80"), SLICE_INIT("\x00\xff\xff\xff\xff\xff\xff\x01"),
	    SLICE_INIT("\x01\xff"), SLICE_INIT("\x01\xff\xff"), SLICE_INIT("\x01\xff\x03\x00")};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(v); i++) {
		struct docs got = {.n = 0};

		assert_false(gram_list_each(v[i], 10, 0, note_doc, &got));
	}
}

static void
test_sort(void **state)
{
	struct house h;
	struct gram_pair v[2000];

	(void)state;
	house_init(&h, "test");
	for (int round = 0; round < 4; round++) {
		for (size_t i = 0; i < COUNT_OF(v); i++)
			v[i] = (struct gram_pair){
			    (int64_t)house_random_below(&h, round < 2 ? 1 << 21 : 50) - (round % 2) * 30,
			    (uint32_t)(i / 20)};
		gram_pairs_sort(v, COUNT_OF(v));
		for (size_t i = 1; i < COUNT_OF(v); i++)
			assert_true(
			    v[i - 1].gram < v[i].gram || (v[i - 1].gram == v[i].gram && v[i - 1].doc <= v[i].doc));
	}
	gram_pairs_sort(v, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_grams),
	    cmocka_unit_test(test_lists),
	    cmocka_unit_test(test_damaged),
	    cmocka_unit_test(test_sort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
