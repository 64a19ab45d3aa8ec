/* Whatever a client shows as its certificate: what is kept of it. */
#include "rt/tls_private.h"

#include <openssl/err.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	X509 *leaf = d2i_X509(NULL, &data, (long)(size < 65536 ? size : 65536));

	for (int vouched = 0; leaf != NULL && vouched < 2; vouched++) {
		struct tls_peer *p = tls_peer_of(leaf, vouched != 0);

		if (p == NULL)
			continue;
		if (p->names_n > TLS_PEER_NAMES_MAX || (!p->vouched && p->names_n > 0))
			__builtin_trap();
		for (size_t i = 0; i < p->names_n; i++) {
			size_t n = strlen(p->names[i]);

			if (n == 0 || n > 320)
				__builtin_trap();
		}
		if (ERR_peek_error() != 0)
			__builtin_trap();
		tls_peer_free(&p);
	}
	X509_free(leaf);
	ERR_clear_error();
	return 0;
}
