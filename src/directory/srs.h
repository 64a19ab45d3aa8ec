/* srs.h: the Sender Rewriting Scheme: a return address of ours that a bounce can be led back from, for mail that is
 * forwarded away, since the next server would refuse the original sender from us (SPF).
 *
 *   SRS0=HASH=DAY=domain=local@ours    stands for local@domain
 *   SRS1=HASH=host=REST@ours           stands for SRS0REST@host: mail that another house has forwarded to us already
 *
 * HASH is an HMAC of the rest, DAY the day (two characters) it was made on. Both forms are read without regard to case, since
 * some servers fold it. Addresses are `local@domain` with the local part unquoted (message/mailbox.h). */
#ifndef DIRECTORY_SRS_H
#define DIRECTORY_SRS_H

#include "base/arena.h"

#define SRS_KEY_BYTES 32

/* Has the local part the form of a rewritten one? */
bool srs_is(struct slice local);
/* The return address at `domain` (ours, normalised) for a sender that is not null. ERR_LIMIT: it would be longer than a local
 * part may be (DIRECTORY_LOCAL_MAX); ERR_SYNTAX: the sender has no domain, or quotes; ERR_NOMEM. */
NODISCARD int srs_forward(
    struct slice key, int64_t now_s, struct slice sender, struct slice domain, struct arena *a, struct slice *out);
/* What a local part of that form stands for. ERR_SYNTAX, ERR_DENIED (not made with this key), ERR_TIMEOUT (made more than `days`
 * days ago), ERR_NOMEM. */
NODISCARD int srs_reverse(
    struct slice key, int64_t now_s, int64_t days, struct slice local, struct arena *a, struct slice *out);
/* n characters of lower-case base 32 of an HMAC-SHA-256 of the text, ASCII case folded; at most 51. {NULL,0}: no memory. */
struct slice srs_digest(struct slice key, struct slice text, size_t n, struct arena *a);

#endif
