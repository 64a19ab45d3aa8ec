/* text.h: decoded text of parts, for searching and for previews. */
#ifndef MESSAGE_TEXT_H
#define MESSAGE_TEXT_H

#include "message/mime.h"

/* Appends the part's text: transfer encoding removed, converted to UTF-8, CRLF made LF. For text/ parts (other than
 * that: ERR_UNSUPPORTED); HTML is given as it is, with its tags. At most limits.message_text_bytes: what is beyond
 * is cut at a character, which is no error. RFC 3676 flowed lines are left as they are. Otherwise out->err. */
NODISCARD int text_of_part(const struct mime *m, const struct mime_part *p, const struct limits *limits,
    enum charset_place place, struct buf *out);
/* True if the part is plain text to be read in the message, not a file put into it. */
bool text_is_plain(const struct mime_part *p);
/* The part to show as plain text: the first text/plain that is no attachment (text without type too), embedded
 * messages left out; NULL without one. */
const struct mime_part *text_plain_part(const struct mime *m);
/* The first HTML that is no attachment, likewise. */
const struct mime_part *text_html_part(const struct mime *m);
/* Appends the text of all text/plain parts, embedded messages included, and the decoded headers of embedded
 * messages: what SEARCH BODY reads. Each ends with LF. */
NODISCARD int text_of_message(
    const struct mime *m, const struct limits *limits, enum charset_place place, struct buf *out);
/* Appends the decoded, unfolded header fields, "Name: value" LF each: what SEARCH HEADER and TEXT read. */
void text_of_header(const struct header *h, enum charset_place place, struct buf *out);
/* Appends a preview of at most max_chars characters (RFC 8970): quoted lines and signatures left out, white space
 * collapsed. */
NODISCARD int text_preview(
    const struct mime *m, const struct limits *limits, enum charset_place place, size_t max_chars, struct buf *out);
/* The same of a text that is there: UTF-8, lines ended by LF. */
NODISCARD int text_preview_of(struct slice text, size_t max_chars, struct buf *out);

#endif
