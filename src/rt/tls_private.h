/* tls_private.h: the inside of a TLS server and a TLS client; private to rt/.
 *
 * A server has one SSL_CTX without certificates. The certificates and their stand-in keys form a generation, counted
 * by the handshakes that began with it; a reload puts a new one in its place. A finished session holds neither
 * keys nor certificates. */
#ifndef RT_TLS_PRIVATE_H
#define RT_TLS_PRIVATE_H

#include "base/map.h"
#include "rt/loop_private.h"
#include "rt/tls.h"

#include <openssl/ssl.h>

#define TLS_TICKET_KEYS_MAX 4
#define TLS_TICKET_KEY_BYTES 80

enum tls_key_type { TLS_KEY_EC, TLS_KEY_RSA, TLS_KEY_TYPES };

/* One certificate with its chain, and a key that can only ask for signatures. */
struct tls_entry {
	struct loop *loop;
	struct tls_signer signer;
	enum tls_key_type type;
	X509 *leaf;
	STACK_OF(X509) * chain;
	EVP_PKEY *key;
	uint8_t *key_id;
	size_t key_id_n;
};

/* The certificates for one name, one of each type of key at most. */
struct tls_choice {
	struct tls_entry *by_type[TLS_KEY_TYPES];
};

struct tls_generation {
	size_t refs;
	struct tls_entry *entries;
	size_t n;
	struct map names; /* lower case name or "*.parent" → struct tls_choice */
	struct tls_choice fallback;
};

struct tls_key_methods;

struct tls_server {
	struct loop *loop;
	size_t refs; /* the owner and the handshakes under way */
	struct tls_signer signer;
	SSL_CTX *ctx;
	struct tls_key_methods *methods;
	bool vouches;               /* there are authorities for certificates of clients */
	struct tls_generation *now; /* NULL before the first certificates */
	uint8_t ticket_keys[TLS_TICKET_KEYS_MAX][TLS_TICKET_KEY_BYTES];
	size_t ticket_keys_n;
};

struct tls_client {
	SSL_CTX *ctx;
	bool verify;
};

/* A connection's TLS: see stream_tls.c. SSL_get_app_data() of its SSL is this. */
struct tls_session {
	SSL *ssl;                          /* NULL after a failed handshake */
	struct tls_server *server;         /* during a handshake only */
	struct tls_generation *generation; /* likewise */
	bool inside;                       /* a fiber is in SSL_do_handshake(), perhaps parked in a signature */
	bool dead;                         /* an error that OpenSSL does not recover from */
	struct tls_info info;
	struct tls_peer *peer;              /* of a server: NULL when the client has shown no certificate */
	uint8_t end_point[EVP_MAX_MD_SIZE]; /* of a server: the hash of its certificate (RFC 5929 §4) */
	size_t end_point_n;                 /* 0: not known */
};

/* tls_key.c */
NODISCARD int tls_key_methods_new(struct tls_key_methods **out);
void tls_key_methods_free(struct tls_key_methods **m);
/* Makes e->key for the public key of e->leaf: 0, ERR_UNSUPPORTED for a kind of key that is neither RSA nor EC, ERR_NOMEM. */
NODISCARD int tls_key_make(const struct tls_key_methods *m, struct tls_entry *e);

/* tls_server.c */
void tls_server_unref(struct tls_server *s);
void tls_generation_unref(struct tls_generation *g);

/* The certificate that the handshake's client was shown, or NULL where a resumption leaves that open. */
X509 *tls_server_shown(struct tls_session *t);

/* tls_peer.c */
/* Takes down what certificate the client has shown, after a handshake. */
void tls_peer_keep(struct tls_session *t);
/* What is kept of a certificate, its names only if somebody vouches for it; NULL without memory. */
struct tls_peer *tls_peer_of(X509 *leaf, bool vouched);
void tls_peer_free(struct tls_peer **p);

/* tls_common.c */
/* What both sides share: TLS 1.2 or later, no renegotiation, no compression, buffers given back. */
NODISCARD int tls_context_new(SSL_CTX **out, const SSL_METHOD *method);
/* The first error of OpenSSL's queue as text; empties the queue. */
void tls_error_text(char *out, size_t max);
/* The certificates of a PEM text in their order: 0, ERR_SYNTAX when there is none or one is damaged, ERR_LIMIT. */
NODISCARD int tls_parse_pem(struct slice pem, STACK_OF(X509) * *out);

#endif
