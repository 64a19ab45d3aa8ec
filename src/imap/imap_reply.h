/* imap_reply.h: writing IMAP's data types (RFC 3501 §9) into a buffer. */
#ifndef IMAP_REPLY_H
#define IMAP_REPLY_H

#include "base/buf.h"
#include "base/limits.h"

/* string: quoted where it can be (7-bit, no line ends, not long), else a literal. NULs, which neither form allows, become '?'. */
void imap_put_string(struct buf *out, struct slice s);
/* NIL for p == NULL. */
void imap_put_nstring(struct buf *out, struct slice s);
/* A mailbox name in UTF-8 as an astring: in modified UTF-7, or as it is (RFC 9051 §5.1). */
void imap_put_mailbox(struct buf *out, struct slice utf8, bool as_utf8);
/* An identifier of RFC 8474: a letter for its kind, then the bytes in hexadecimal digits. */
void imap_put_object_id(struct buf *out, char kind, struct slice id);
/* Flags without parentheses: "\Seen work"; true if anything was written. */
bool imap_put_flags(struct buf *out, uint8_t flags, bool recent, const struct slice *keywords, size_t n);
void imap_put_literal_size(struct buf *out, uint64_t n);

#endif
