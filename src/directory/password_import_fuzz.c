/* Imported hashes: any text is checked without harm, and what is cheap is verified too. */
#include "directory/password.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf detail BUF_CLEANUP;
	struct slice hash = slice_of(data, n), rest, scheme;
	int err;

	buf_init(&detail, 4096);
	err = password_check_import(hash, &detail);
	ASSERT((err == 0) == (detail.n == 0));
	scheme = password_scheme(hash, &rest);
	ASSERT(scheme.n + rest.n <= n + 8);
	if (err == 0 && (slice_ifind(scheme, SLICE("SHA")) == 0 || slice_ifind(scheme, SLICE("SSHA")) == 0) &&
	    slice_ifind(scheme, SLICE("CRYPT")) == SLICE_NONE)
		ASSERT(password_verify(hash, SLICE("secret")) != ERR_SYNTAX);
	return 0;
}
