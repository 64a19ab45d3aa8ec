/* surrogate.h: the header of an internationalised message (RFC 6532) for a client that knows ASCII headers only: RFC 6858's way,
 * text in encoded words, addresses that cannot be written made names of empty groups. */
#ifndef MESSAGE_SURROGATE_H
#define MESSAGE_SURROGATE_H

#include "base/buf.h"
#include "base/limits.h"

/* Does it have UTF-8 beyond ASCII? `header` is a header section with its empty line. Bytes that are not UTF-8 are older than
 * all this, and stay. */
bool surrogate_needed(struct slice header, const struct limits *limits);
/* Appends the header in ASCII; fields that are so already as they are. Errors are out->err. */
void surrogate_header(struct slice header, const struct limits *limits, struct buf *out);

#endif
