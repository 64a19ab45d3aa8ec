/* backup_seal.c: a sealed text is "PHBK" and the version of this form (1), then the header and the one message of a secretstream
 * (XChaCha20 and Poly1305), which is its last. The name is authenticated with it. */
#include "backup/backup_seal.h"

#include <sodium.h>

#define MAGIC SLICE("PHBK")
#define VERSION 1
#define HEADER_BYTES crypto_secretstream_xchacha20poly1305_HEADERBYTES
#define MORE_BYTES crypto_secretstream_xchacha20poly1305_ABYTES

_Static_assert(4 + 1 + HEADER_BYTES + MORE_BYTES == BACKUP_SEAL_EXTRA, "the form of a sealed text");

int
backup_seal(const uint8_t key[32], struct slice name, struct slice plain, struct buf *out)
{
	crypto_secretstream_xchacha20poly1305_state state;
	uint8_t header[HEADER_BYTES], *at;

	if (crypto_secretstream_xchacha20poly1305_init_push(&state, header, key) != 0)
		return ERR_INVALID;
	buf_put(out, MAGIC);
	buf_put_u8(out, VERSION);
	buf_put(out, slice_of(header, sizeof(header)));
	at = buf_reserve(out, plain.n + MORE_BYTES);
	if (at == NULL ||
	    crypto_secretstream_xchacha20poly1305_push(&state, at, NULL, plain.p, plain.n, name.p, name.n,
		crypto_secretstream_xchacha20poly1305_TAG_FINAL) != 0)
		return out->err != 0 ? out->err : ERR_INVALID;
	buf_added(out, plain.n + MORE_BYTES);
	sodium_memzero(&state, sizeof(state));
	return 0;
}

int
backup_unseal(const uint8_t key[32], struct slice name, struct slice sealed, struct buf *out)
{
	crypto_secretstream_xchacha20poly1305_state state;
	struct slice header, message;
	uint8_t tag = 0, *at;
	int bad;

	if (sealed.n < BACKUP_SEAL_EXTRA || !slice_starts(sealed, MAGIC))
		return ERR_DAMAGED;
	if (slice_at(sealed, 4) != VERSION)
		return slice_at(sealed, 4) > VERSION && slice_at(sealed, 4) < 16 ? ERR_VERSION : ERR_DAMAGED;
	header = slice_range(sealed, 5, 5 + HEADER_BYTES);
	message = slice_from(sealed, 5 + HEADER_BYTES);
	if (crypto_secretstream_xchacha20poly1305_init_pull(&state, header.p, key) != 0)
		return ERR_DAMAGED;
	at = buf_reserve(out, message.n - MORE_BYTES + 1);
	if (at == NULL)
		return out->err;
	bad = crypto_secretstream_xchacha20poly1305_pull(&state, at, NULL, &tag, message.p, message.n, name.p, name.n);
	sodium_memzero(&state, sizeof(state));
	if (bad != 0 || tag != crypto_secretstream_xchacha20poly1305_TAG_FINAL)
		return ERR_DAMAGED;
	buf_added(out, message.n - MORE_BYTES);
	return 0;
}
