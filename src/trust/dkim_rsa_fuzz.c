/* RSA keys out of DER: what is taken is a key, no larger than the text. */
#include "trust/dkim_rsa.h"

#include <openssl/err.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	EVP_PKEY *key = dkim_rsa_open(slice_of(p, n));

	if (key != NULL)
		ASSERT(EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_size(key) <= (int)n);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return 0;
}
