/* RSA keys out of DER: what is taken is a key of the size that is told, no larger than the text. */
#include "trust/dkim_rsa.h"

#include <openssl/err.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	int bits;
	EVP_PKEY *key = dkim_rsa_open(slice_of(p, n), 8192, &bits);

	if (key != NULL)
		ASSERT(EVP_PKEY_get_bits(key) == bits && bits <= 8192 && (size_t)bits <= n * 8);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return 0;
}
