/* dkim_key.h: DKIM's public keys: the record in DNS (RFC 6376 §3.6.1, RFC 8301, RFC 8463), the key in it, and checking a signature with it.
 * DKIM signs the SHA-256 of the header: with RSA by PKCS #1 v1.5, with Ed25519 the 32 bytes of the hash as the message (RFC 8463 §3). */
#ifndef TRUST_DKIM_KEY_H
#define TRUST_DKIM_KEY_H

#include "base/arena.h"
#include "base/buf.h"

#include <openssl/evp.h>

#define DKIM_HASH_BYTES 32
#define DKIM_RSA_BITS_MIN 1024 /* RFC 8301 §3.2 */
#define DKIM_RSA_BITS_MAX 8192
#define DKIM_SIGNATURE_BYTES_MAX (DKIM_RSA_BITS_MAX / 8)

enum dkim_algorithm { DKIM_ALGORITHM_UNKNOWN, DKIM_RSA_SHA256, DKIM_ED25519_SHA256, DKIM_RSA_SHA1 };
/* "rsa-sha256", …; "" for the unknown one. A static string. */
const char *dkim_algorithm_name(enum dkim_algorithm a);
enum dkim_algorithm dkim_algorithm_of(struct slice name);

/* What a record says. */
struct dkim_record {
	enum dkim_algorithm algorithm; /* of k=: DKIM_RSA_SHA256, DKIM_ED25519_SHA256, or unknown */
	bool revoked;                  /* p= is empty */
	bool testing;                  /* t=y */
	bool strict;                   /* t=s: i= must have d= as its domain */
	bool email;                    /* s= allows it for mail */
	bool sha256;                   /* h= allows it */
	struct slice key;              /* p=, decoded; in the arena */
};
/* Reads the text of a TXT record. ERR_SYNTAX with a few words in *why ("p= is no base64"); ERR_NOMEM. A static string. */
NODISCARD int dkim_record_parse(struct arena *a, struct slice text, struct dkim_record *out, const char **why);
/* The text of a record for a public key in DER (SubjectPublicKeyInfo); of Ed25519 only the key itself is in the record. */
NODISCARD int dkim_record_put(EVP_PKEY *key, struct buf *out);

/* The key of a record that is not revoked. ERR_INVALID with a few words when it is none or is not acceptable (RFC 8301 §3.2: RSA of less
 * than 1024 bits). *bits: its size, also of one that is refused; else 0. */
NODISCARD int dkim_key_open(const struct dkim_record *r, EVP_PKEY **out, int *bits, const char **why);
void dkim_key_free(EVP_PKEY **key);
#define DKIM_KEY_CLEANUP __attribute__((cleanup(dkim_key_free)))
/* Is it the key's signature of this hash? */
bool dkim_key_verify(EVP_PKEY *key, const uint8_t hash[DKIM_HASH_BYTES], struct slice signature);
/* Signs the hash: *n bytes in out. ERR_INVALID for a key of another kind, ERR_TLS. */
NODISCARD int dkim_key_sign(
    EVP_PKEY *key, const uint8_t hash[DKIM_HASH_BYTES], uint8_t out[DKIM_SIGNATURE_BYTES_MAX], size_t *n);
/* What a private or public key signs with, or unknown. */
enum dkim_algorithm dkim_key_algorithm(EVP_PKEY *key);

#endif
