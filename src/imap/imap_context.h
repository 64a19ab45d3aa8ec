/* imap_context.h: searches whose results the client is kept informed of (RFC 5267 §4.3, CONTEXT=SEARCH and CONTEXT=SORT). Private to the
 * room. */
#ifndef IMAP_CONTEXT_H
#define IMAP_CONTEXT_H

#include "imap/imap_search.h"

/* Of a SORT context at most so many results are kept in order. */
#define IMAP_CONTEXT_SORTED_MAX 5000u

/* Keeps the client informed of what `program` (the arguments behind RETURN) finds from now on, or tells NOUPDATE. `h` is what it found
 * now, in its order; `fetch` the items to tell of new messages that it finds, or empty. */
void imap_context_add(struct imap_session *s, struct slice program, struct slice fetch, bool sorted,
    const struct imap_search *p, const struct imap_hits *h);
/* Is the command's tag that of a context? Then it must be refused (RFC 5267 §4.3). */
bool imap_context_has_tag(const struct imap_session *s);

/* News, told by imap_tell_news(): a message is gone (before that is told), or is new or changed; at the end all contexts are brought up
 * to date, for which messages may be read. */
void imap_contexts_expunged(struct imap_session *s, const struct store_event *e);
void imap_contexts_touched(struct imap_session *s, uint32_t uid, bool is_new);
void imap_contexts_update(struct imap_session *s);
void imap_contexts_free(struct imap_session *s);

#endif
