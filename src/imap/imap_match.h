/* imap_match.h: judges a message by the keys of a SEARCH program that read it. Runs on worker threads. */
#ifndef IMAP_MATCH_H
#define IMAP_MATCH_H

#include "imap/imap_parse.h"

/* Converts the program's strings from its charset and folds them for comparing, in `a`: 0, ERR_UNSUPPORTED (no such
 * charset), ERR_INVALID (not text in that charset), ERR_LIMIT. May block. */
NODISCARD int imap_match_prepare(struct imap_search *p, struct arena *a);

/* How the keys that need no message came out for one message, a bit for each (imap_key.leaf). */
struct imap_leaves {
	const uint64_t *bits;
};
static inline bool
imap_leaf(const struct imap_leaves *l, size_t i)
{
	return (l->bits[i / 64] >> (i % 64) & 1) != 0;
}

/* Judges with the message (or, unless p->needs_body, its header): 1 or 0, or an error (ERR_NOMEM, ERR_LIMIT). `*score` is how well
 * the fuzzy keys fit, 1..100 (RFC 6203 §4). May block. */
int imap_match_message(const struct imap_search *p, const struct imap_leaves *l, struct slice raw,
    const struct limits *limits, uint8_t *score);

#endif
