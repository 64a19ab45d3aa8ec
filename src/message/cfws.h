/* cfws.h: comments and folding white space (RFC 5322 §3.2.2), which may stand almost anywhere in structured fields. */
#ifndef MESSAGE_CFWS_H
#define MESSAGE_CFWS_H

#include "base/buf.h"
#include "base/cursor.h"

/* Moves past white space, line ends, NULs and nested comments. A comment without end goes to the end of the bytes. When
 * `comment` is not NULL it is set to the content of the last comment skipped (nested parentheses and escapes
 * left in), and not touched if there was none. */
void cfws_skip(struct cursor *c, struct slice *comment);
/* Reads a quoted string behind its opening quote up to the closing one (or the end) and appends its text without
 * escapes and without line ends of folding. False if the closing quote is missing. */
bool cfws_quoted(struct cursor *c, struct buf *out);
/* Appends a comment's content without escapes and line ends. */
void cfws_put_comment(struct slice comment, struct buf *out);

#endif
