/* password.h: password hashes as pure functions: ours (Argon2id, and SCRAM keys made at the same time) and those of
 * other servers, in Dovecot's spelling "{SCHEME}hash". Everything here blocks for as long as the hash costs: worker
 * threads only. No function logs or keeps a password; copies are wiped.
 *
 * Passwords are bytes. Where they are UTF-8 they are prepared first (SASLprep, RFC 4013, by the tables of
 * today's Unicode instead of those of 3.2, and with unassigned characters allowed), so that a composed and a decomposed "ü" are one password. */
#ifndef DIRECTORY_PASSWORD_H
#define DIRECTORY_PASSWORD_H

#include "base/buf.h"
#include "base/house.h"
#include "directory/scram.h"

#define PASSWORD_HASH_MAX 1024

/* The prepared form. ERR_INVALID: not UTF-8, or with a character that may not be in it: then a password's bytes stand as they
 * are. */
NODISCARD int password_prepare(struct slice password, struct buf *out);
/* Appends "{ARGON2ID}$argon2id$…" with the costs of house->limits. ERR_LIMIT: too long; ERR_NOMEM. */
NODISCARD int password_hash(struct house *h, struct slice password, struct buf *out);
/* Appends the SCRAM keys of a password, with the salt and the iterations of `like`. ERR_INVALID: a password that SCRAM cannot
 * carry. */
NODISCARD int password_scram(
    struct house *h, enum scram_hash kind, struct slice password, const struct scram_keys *like, struct buf *out);
/* 0: it is the password; ERR_DENIED: it is not; ERR_UNSUPPORTED, ERR_SYNTAX or ERR_LIMIT: the hash cannot be checked. */
NODISCARD int password_verify(struct slice hash, struct slice password);
/* True if it is what password_hash() makes today: else it is renewed at the next sign-in. */
bool password_is_current(const struct house *h, struct slice hash);
/* May this hash be imported? A known scheme, well-formed, its cost bearable: 0, ERR_SYNTAX, ERR_UNSUPPORTED or ERR_LIMIT
 * with a sentence in `detail`. A hash without "{SCHEME}" that begins with "$" is crypt's or Argon2's. */
NODISCARD int password_check_import(struct slice hash, struct buf *detail);
/* Splits "{SCHEME}rest"; a scheme is guessed as above. {NULL,0} if there is none. */
struct slice password_scheme(struct slice hash, struct slice *rest);

#endif
