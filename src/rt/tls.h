/* tls.h: TLS with OpenSSL. Private keys live in another process: a server is given chains and key ids, and
 * a callback that has a digest signed while the fiber parks. */
#ifndef RT_TLS_H
#define RT_TLS_H

#include "base/buf.h"
#include "rt/fiber.h"

struct tls_server;
struct tls_client;

/* What is to be signed. */
enum tls_sign_kind {
	TLS_SIGN_ECDSA = 1, /* input: the digest; output: DER signature */
	TLS_SIGN_RSA_PKCS1, /* input: DigestInfo or MD5+SHA1; output: raw signature of the key's size */
	TLS_SIGN_RSA_RAW,   /* input: an already padded block (PSS); output: raw */
	TLS_SIGN_ED25519,   /* input: the message */
};

struct tls_signer {
	/* Called on the handshaking fiber; may park. Appends the signature: 0 or an error. */
	int (*sign)(void *arg, struct slice key_id, enum tls_sign_kind kind, struct slice input, struct buf *signature);
	void *arg;
};

struct tls_certificate {
	struct slice chain_pem; /* leaf first */
	struct slice key_id;
	struct slice_list names; /* lower case DNS names, "*.example.org" too; empty: from the leaf */
};

NODISCARD int tls_server_new(struct tls_server **out, struct loop *l, struct tls_signer signer);
/* Replaces all certificates at once (the first is the one for clients without SNI) or changes nothing.
 * Handshakes under way keep what they began with. `detail` gets a sentence on failure. */
NODISCARD int tls_server_set_certificates(
    struct tls_server *s, const struct tls_certificate *v, size_t n, struct buf *detail);
/* Session ticket keys, newest first: 80 bytes each (16 name, 32 HMAC, 32 AES-256). Up to 4. Before the first
 * call no tickets are issued. */
NODISCARD int tls_server_set_ticket_keys(struct tls_server *s, struct slice_list keys);
bool tls_server_ready(const struct tls_server *s);
void tls_server_free(struct tls_server **s);

struct tls_client_config {
	bool verify;         /* chain and name, against ca_pem or the system's roots */
	struct slice ca_pem; /* empty: the system's */
	bool opportunistic;  /* RFC 7435: anything but null ciphers; never fails on the certificate */
};
NODISCARD int tls_client_new(
    struct tls_client **out, struct loop *l, const struct tls_client_config *c, struct buf *detail);
void tls_client_free(struct tls_client **c);

struct tls_info {
	const char *version; /* "TLSv1.3" */
	const char *cipher;  /* "TLS_AES_256_GCM_SHA384" */
	int bits;
	char server_name[256]; /* SNI, or "" */
	bool verified;
	char error[256]; /* of a failed handshake or verification, one sentence */
};

#endif
