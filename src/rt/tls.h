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
/* Whether clients of handshakes from now on are asked for a certificate. Any is taken, and none; stream_tls_peer() tells what
 * came. ca_pem: the authorities that vouch for names in it; empty: none does. `detail` gets a sentence on failure. */
NODISCARD int tls_server_ask_certificates(struct tls_server *s, bool ask, struct slice ca_pem, struct buf *detail);
bool tls_server_ready(const struct tls_server *s);
void tls_server_free(struct tls_server **s);

struct tls_client_config {
	bool verify;         /* chain and name, against ca_pem or the system's roots; also fit for DANE */
	struct slice ca_pem; /* empty: the system's */
	bool no_roots;       /* none at all: only DANE can succeed */
	bool opportunistic;  /* RFC 7435: anything but null ciphers; never fails on the certificate */
};
NODISCARD int tls_client_new(
    struct tls_client **out, struct loop *l, const struct tls_client_config *c, struct buf *detail);
void tls_client_free(struct tls_client **c);

/* A TLSA record (RFC 6698 §2.1). */
enum { TLSA_DANE_TA = 2, TLSA_DANE_EE = 3 };
struct tls_tlsa {
	uint8_t usage, selector, matching;
	struct slice data;
};

enum tls_check {
	TLS_CHECK_NONE,  /* whoever it is */
	TLS_CHECK_ROOTS, /* a chain to the client's roots, valid now, for one of the names */
	TLS_CHECK_DANE   /* the records, as RFC 7672 §3.1 has it: usages 2 and 3 only, names count for 2 only */
};

/* What a server must show. The client must verify for anything but TLS_CHECK_NONE. */
struct tls_expect {
	enum tls_check check;
	bool lenient;            /* the handshake goes on whatever comes of the check; the info tells */
	struct slice name;       /* SNI, and the name to check for */
	struct slice_list names; /* others that are as good */
	const struct tls_tlsa *tlsa;
	size_t tlsa_n;
};

/* What was wrong with a certificate, as reports want to know it (RFC 8460 §4.3.2). */
enum tls_problem {
	TLS_PROBLEM_NONE,
	TLS_PROBLEM_NAME,      /* for another name */
	TLS_PROBLEM_EXPIRED,   /* or not valid yet */
	TLS_PROBLEM_UNTRUSTED, /* no chain to a root that counts, or no record that fits */
	TLS_PROBLEM_OTHER
};

struct tls_info {
	const char *version; /* "TLSv1.3" */
	const char *cipher;  /* "TLS_AES_256_GCM_SHA384" */
	int bits;
	char server_name[256]; /* SNI, or "" */
	bool verified;
	enum tls_problem problem; /* of the certificate; also after a lenient handshake */
	char error[256];          /* of a failed handshake or verification, one sentence */
	uint8_t fingerprint
	    [32]; /* SHA-256 of the certificate that a server has shown to a client that checks; zeros: none */
};

#define TLS_PEER_FINGERPRINT_BYTES 32
#define TLS_PEER_NAMES_MAX 8

/* The certificate of a client, of which it has the key. */
struct tls_peer {
	uint8_t fingerprint[TLS_PEER_FINGERPRINT_BYTES]; /* SHA-256 of the whole certificate */
	int64_t from_s, until_s;         /* seconds since 1970: when it is valid, the last one included */
	bool vouched;                    /* by one of the server's authorities, when it was shown first */
	char *names[TLS_PEER_NAMES_MAX]; /* only then: its mail addresses (rfc822Name) */
	size_t names_n;
};

#endif
