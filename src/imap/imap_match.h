/* imap_match.h: the strings of a SEARCH program, and the keys of it that read a message's header. Runs on worker threads. */
#ifndef IMAP_MATCH_H
#define IMAP_MATCH_H

#include "imap/imap_parse.h"

/* Converts the program's strings from its charset and folds them for comparing, in `a`: 0, ERR_UNSUPPORTED (no such
 * charset), ERR_INVALID (not text in that charset), ERR_LIMIT. May block. */
NODISCARD int imap_match_prepare(struct imap_search *p, struct arena *a);

/* How the keys that need no header came out for one message, a bit for each (imap_key.leaf). */
struct imap_leaves {
	const uint64_t *bits;
};
static inline bool
imap_leaf(const struct imap_leaves *l, size_t i)
{
	return (l->bits[i / 64] >> (i % 64) & 1) != 0;
}

/* Judges with the header section: SENTON and its like. */
bool imap_match_header(
    const struct imap_search *p, const struct imap_leaves *l, struct slice header, const struct limits *limits);

#endif
