/* Key records, and the keys in them. */
#include "trust/dkim_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const uint8_t hash[DKIM_HASH_BYTES] = {1};
	struct arena a ARENA_CLEANUP;
	struct dkim_record r;
	EVP_PKEY *key DKIM_KEY_CLEANUP = NULL;
	const char *why = NULL;
	int bits;

	arena_init(&a, 1 << 20);
	if (dkim_record_parse(&a, slice_of(p, n), &r, &why) != 0) {
		ASSERT(why != NULL);
		return 0;
	}
	ASSERT(r.revoked == (r.key.n == 0));
	if (dkim_key_open(&r, &key, &bits, &why) != 0) {
		ASSERT(why != NULL && key == NULL);
		return 0;
	}
	ASSERT(bits <= DKIM_RSA_BITS_MAX);
	ASSERT(!dkim_key_verify(key, hash, slice_of(p, n)));
	return 0;
}
