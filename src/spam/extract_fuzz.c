/* extract_fuzz.c: any bytes as a message: the work and the features are bounded, no key stands twice, and twice gives the same. */
#include "base/house.h"
#include "spam/extract.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t
run(struct spam_extractor *x, struct spam_features *f, const struct spam_message *m)
{
	ASSERT(spam_extract(x, m, f) == 0);
	for (size_t g = 0; g < SPAM_GROUPS; g++)
		ASSERT(f->counts[g] <= spam_groups[g].max);
	for (size_t i = 0; i < f->n; i++)
		ASSERT(f->v[i] != 0 && spam_key_group(f->v[i]) < SPAM_GROUPS);
	return slice_hash(slice_of(f->v, f->n * sizeof(*f->v)), f->n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct limits limits;
	SPAM_EXTRACTOR_CLEANUP struct spam_extractor x;
	SPAM_FEATURES_CLEANUP struct spam_features f;
	struct spam_message m = {.raw = slice_of(data, size), .texts = spam_texts_here(), .place = CHARSET_THREAD};
	uint64_t first;

	limits_default(&limits);
	spam_extractor_init(&x, &limits);
	ASSERT(spam_features_init(&f) == 0);
	first = run(&x, &f, &m);
	ASSERT(run(&x, &f, &m) == first);
	return 0;
}
