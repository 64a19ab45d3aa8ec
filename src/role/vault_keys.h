/* vault_keys.h: the private keys of TLS and their certificates: import into secrets/tls/, loading, and signing of TLS
 * handshakes and nothing else. */
#ifndef ROLE_VAULT_KEYS_H
#define ROLE_VAULT_KEYS_H

#include "base/arena.h"
#include "base/buf.h"
#include "role/settings.h"
#include "rt/tls.h"

#include <openssl/evp.h>

#define VAULT_KEY_ID_BYTES 16
#define VAULT_SIGNATURE_MAX 2048

struct vault_key {
	struct slice names;             /* DNS names in lower case joined by spaces */
	struct slice chain_pem;         /* leaf first, without the key */
	uint8_t id[VAULT_KEY_ID_BYTES]; /* of the public key: the same after a renewal with the same key */
	EVP_PKEY *pkey;
	int64_t expires_s;
};
struct vault_keys {
	struct vault_key *v; /* the first is the default */
	size_t n;
	struct arena arena;
};

/* Copies the pairs of [tls NAME] into DIR/secrets/tls/NAME.pem (0600; key and chain in one file, so that a power cut
 * cannot part them). A pair that cannot be read is an error only if no earlier copy is there. */
NODISCARD int vault_keys_import(struct house *h, const char *data_dir, const struct settings *s, struct buf *detail);
/* Loads what was imported; without any [tls NAME] a self-signed P-256 certificate for s->hostname, made at need. */
NODISCARD int vault_keys_load(
    struct vault_keys **out, struct house *h, const char *data_dir, const struct settings *s, struct buf *detail);
void vault_keys_free(struct vault_keys **k);
const struct vault_key *vault_keys_find(const struct vault_keys *k, struct slice id);

/* Is it what a TLS 1.2 or 1.3 server signs in a handshake with this key: the digest's size (ECDSA), a DigestInfo (PKCS #1), a
 * whole EMSA-PSS block (raw RSA), a CertificateVerify or ServerKeyExchange (Ed25519)? So nothing else, above all no
 * RSA ciphertext, passes through the key. */
bool vault_sign_shape(EVP_PKEY *pkey, enum tls_sign_kind kind, struct slice input);
/* Blocks. Does not look at the shape. */
NODISCARD int vault_sign_raw(
    EVP_PKEY *pkey, enum tls_sign_kind kind, struct slice input, uint8_t out[VAULT_SIGNATURE_MAX], size_t *n);

#endif
