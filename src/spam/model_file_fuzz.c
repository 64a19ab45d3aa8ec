/* model_file_fuzz.c: any bytes as a model, with a checksum that is right, so that what is behind it is reached: refused, or a model
 * that can score, learn, forget and be saved again. */
#include "spam/model.h"

#include <openssl/sha.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
use(struct spam_model *m)
{
	SPAM_FEATURES_CLEANUP struct spam_features f;
	BUF_CLEANUP struct buf bytes;
	struct spam_score s;

	buf_init(&bytes, SPAM_MODEL_FILE_MAX);
	if (spam_features_init(&f) != 0)
		return;
	spam_feature(&f, SPAM_WORDS, "word", SLICE("free"));
	spam_feature_grams(&f, SPAM_BYTES, SLICE("free of charge"));
	spam_model_score(m, NULL, &f, &s);
	(void)spam_model_untrain(m, 1, &f);
	ASSERT(spam_model_save(m, &bytes) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct spam_model *m = NULL;
	BUF_CLEANUP struct buf b;
	uint8_t sum[SHA256_DIGEST_LENGTH];

	buf_init(&b, size + 64);
	if (size > 1u << 16)
		return 0;
	buf_put(&b, slice_of(data, size));
	if (size > 0 && b.err == 0) {
		(void)SHA256(data, size, sum);
		buf_put(&b, slice_of(sum, sizeof(sum)));
	}
	if (spam_model_load(buf_slice(&b), &m) == 0)
		use(m);
	spam_model_free(&m);
	return 0;
}
