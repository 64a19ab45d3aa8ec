/* scram.h: the messages of SCRAM (RFC 5802 §7, RFC 7677) as a server reads and writes them, and its proofs. Pure functions;
 * who is allowed what is decided by sasl.c and, with the keys, by the vault. */
#ifndef DIRECTORY_SCRAM_H
#define DIRECTORY_SCRAM_H

#include "base/arena.h"
#include "base/buf.h"

enum scram_hash { SCRAM_SHA_1, SCRAM_SHA_256 };
#define SCRAM_KINDS 2
#define SCRAM_KEY_MAX 32
#define SCRAM_SALT_MAX 256
/* What an imported key may ask of a client, and a settings file of ours. */
#define SCRAM_ITERATIONS_MAX 10000000

struct scram_kind {
	struct slice name; /* "SCRAM-SHA-256" */
	const char *md;    /* OpenSSL's name */
	size_t n;          /* bytes of a key */
};
extern const struct scram_kind scram_kinds[SCRAM_KINDS];

/* The client's first message. Slices lie in the message or in the arena. */
struct scram_first {
	uint8_t flag; /* 'n': no channel binding; 'y': the client could, but thinks that the server cannot; 'p' */
	struct slice binding;  /* of 'p': its name, "tls-exporter" */
	struct slice authzid;  /* unescaped, or empty */
	struct slice gs2;      /* the header with its last comma: what `c=` begins with */
	struct slice bare;     /* the rest, which the proof covers */
	struct slice username; /* unescaped, not prepared */
	struct slice nonce;
};
/* ERR_SYNTAX, ERR_UNSUPPORTED (a mandatory extension, `m=`), ERR_NOMEM. */
NODISCARD int scram_first_parse(struct slice message, struct arena *a, struct scram_first *out);

/* The client's last message. */
struct scram_final {
	struct slice binding; /* `c=`, out of its base64: the GS2 header and the channel's bytes */
	struct slice nonce;
	struct slice proof;         /* out of its base64 */
	struct slice without_proof; /* what the proof covers */
};
NODISCARD int scram_final_parse(struct slice message, struct arena *a, struct scram_final *out);

/* What a server stores of a password (RFC 5802 §3). In text, as password_scram() writes it:
 * "{SCRAM-SHA-256}iterations,salt,StoredKey,ServerKey", salt and keys in base64. */
struct scram_keys {
	int iterations;
	uint8_t salt[SCRAM_SALT_MAX];
	size_t salt_n;
	uint8_t stored[SCRAM_KEY_MAX], server[SCRAM_KEY_MAX];
};
/* Behind the "{…}". ERR_SYNTAX. */
NODISCARD int scram_keys_parse(enum scram_hash kind, struct slice text, struct scram_keys *out);
/* Derives the keys with out->salt and out->iterations, which the caller has set. The password is prepared. */
NODISCARD int scram_keys_make(enum scram_hash kind, struct slice password, struct scram_keys *out);
void scram_keys_put(enum scram_hash kind, const struct scram_keys *k, struct buf *out);
void scram_keys_wipe(struct scram_keys *k);
#define SCRAM_KEYS_CLEANUP __attribute__((cleanup(scram_keys_wipe)))

/* Was the proof made with the password of these keys? auth_message: the client's first message without its GS2 header,
 * the server's first and the client's last without its proof, joined by commas. 0 with the server's signature
 * (scram_kinds[kind].n bytes), ERR_DENIED. */
NODISCARD int scram_verify(enum scram_hash kind, const struct scram_keys *k, struct slice auth_message,
    struct slice proof, uint8_t signature[SCRAM_KEY_MAX]);

#endif
