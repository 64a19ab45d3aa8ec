/* scram_client.h: the client's side of SCRAM (RFC 5802, RFC 7677), without channel binding. No I/O. */
#ifndef SMTP_SCRAM_CLIENT_H
#define SMTP_SCRAM_CLIENT_H

#include "base/arena.h"
#include "rt/work.h"

#define SCRAM_CLIENT_ITERATIONS_MAX 1000000

struct scram_client {
	struct arena *arena;
	bool sha256; /* else SHA-1 */
	struct slice password;
	struct slice first_bare; /* client-first-message-bare */
	struct slice nonce;
	struct slice server_signature; /* what the server must show */
};

/* Begins: the client's first message. nonce: printable ASCII without comma, fresh for each sign-in. ERR_INVALID: the
 * user's name or the password cannot be said (not UTF-8, a NUL); ERR_NOMEM. Names and passwords are used as they are:
 * SASLprep (RFC 4013) changes nothing of ASCII. */
NODISCARD int scram_client_first(struct scram_client *c, struct arena *a, bool sha256, struct slice user,
    struct slice password, struct slice nonce, struct slice *out);
/* Takes the server's first message and gives the client's final one. The key is derived on a worker thread when there
 * are workers. ERR_SYNTAX: the server's message is not well formed, or not an answer to ours; ERR_LIMIT: more iterations
 * than SCRAM_CLIENT_ITERATIONS_MAX. */
NODISCARD int scram_client_final(
    struct scram_client *c, struct workers *w, struct slice server_first, struct slice *out);
/* Takes the server's final message. ERR_DENIED: it does not know the password either: somebody stands between. */
NODISCARD int scram_client_verify(const struct scram_client *c, struct slice server_final);

#endif
