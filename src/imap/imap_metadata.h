/* imap_metadata.h: entry names of annotations (RFC 5464), for GETMETADATA and for LIST (RFC 9590). */
#ifndef IMAP_METADATA_H
#define IMAP_METADATA_H

#include "imap/imap_session.h"

/* One entry name in its one form (lower case), in the lexer's arena: "/private/…" or "/shared/…". Fails the lexer for others. */
struct slice imap_lex_entry(struct imap_lex *x);
/* "(entry entry …)" or a single one. At most limits.metadata_entries. */
void imap_lex_entries(struct imap_lex *x, const struct limits *l, struct slice_list *out);
/* The untagged METADATA response of a mailbox with these entries; those without a value as NIL. 0, or an error of the store with
 * nothing written. */
NODISCARD int imap_put_metadata(
    struct imap_session *s, struct buf *out, struct slice mailbox, const struct slice_list *entries);
/* "* METADATA mailbox entry": it was changed (RFC 5464 §4.4.2). */
void imap_put_metadata_change(struct imap_session *s, struct buf *out, struct slice mailbox, struct slice entry);

#endif
