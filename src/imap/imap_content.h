/* imap_content.h: what FETCH tells of a message's inside: ENVELOPE, BODYSTRUCTURE (RFC 3501 §7.4.2) and selected header
 * fields. Runs on worker threads; recursion is bounded by limits.message_depth. Errors stick in `out`. */
#ifndef IMAP_CONTENT_H
#define IMAP_CONTENT_H

#include "imap/imap_parse.h"
#include "message/mime.h"

/* "(date subject (from) …)" of these fields. */
void imap_put_envelope(struct buf *out, struct arena *a, const struct header *h, const struct limits *l);
/* BODYSTRUCTURE, or without `extended` BODY, of the whole message. */
void imap_put_structure(struct buf *out, struct arena *a, const struct mime *m, const struct limits *l, bool extended);
/* The fields of `header` (raw) that a HEADER.FIELDS or HEADER.FIELDS.NOT section selects, byte for byte, and the empty
 * line. */
void imap_put_fields(
    struct buf *out, struct arena *a, struct slice header, const struct imap_section *s, const struct limits *l);

#endif
