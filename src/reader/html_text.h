/* html_text.h: the text of an HTML document as a person would read it: for searching and for previews. Only readers
 * (role/reader.c) call this: the parser beneath is a library that eats strangers' bytes. */
#ifndef READER_HTML_TEXT_H
#define READER_HTML_TEXT_H

#include "base/buf.h"

/* Appends the text of `html`, which should be UTF-8 (what is not becomes U+FFFD): entities resolved; scripts, styles,
 * comments, templates and elements hidden by attribute or inline style left out; images as their alternative text;
 * blocks, rows and breaks on lines of their own, cells apart, white space collapsed outside of pre. Inline marks
 * leave no trace, so that words that they cut are whole. At most memory_max bytes are used for the tree: ERR_LIMIT
 * (nothing was appended). Otherwise 0 or out->err. */
NODISCARD int html_text(struct slice html, size_t memory_max, struct buf *out);
/* The charset that a document declares for itself in its first 1024 bytes (`<meta charset=…>`, `<meta … content="…;
 * charset=…">`), for mail that does not say; empty without one. */
struct slice html_charset(struct slice html);

#endif
