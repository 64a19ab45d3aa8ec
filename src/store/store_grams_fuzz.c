/* store_grams_fuzz.c: any bytes as a list of documents, and as a text: nothing is read beyond, and a list that is told twice
 * tells the same. */
#include "store/store_grams.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct told {
	uint64_t sum, n, last;
};

static void
tell(void *arg, uint32_t doc)
{
	struct told *t = arg;

	ASSERT(t->n == 0 || doc > t->last);
	t->last = doc;
	t->sum += doc;
	t->n++;
}

static void
tell_gram(void *arg, int64_t gram)
{
	ASSERT(gram != GRAM_WIDE);
	++*(size_t *)arg;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size);
	struct told each = {0}, anded = {0};
	uint64_t bits[16], other[16];
	size_t grams = 0, docs = 1000;

	memset(bits, 0xff, sizeof(bits));
	if (gram_list_each(in, docs, 0, tell, &each)) {
		ASSERT(gram_list_and(in, docs, bits, other));
		for (uint32_t i = 0; i < docs; i++)
			if ((bits[i / 64] >> (i % 64) & 1) != 0)
				tell(&anded, i);
		ASSERT(each.sum == anded.sum && each.n == anded.n);
	}
	grams_each(in, tell_gram, &grams);
	ASSERT(grams <= size);
	return 0;
}
