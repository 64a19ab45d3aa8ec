/* words.h: encoded words (RFC 2047), as they should be and as they are met. */
#ifndef MESSAGE_WORDS_H
#define MESSAGE_WORDS_H

#include "message/charset.h"

/* Appends the value (unfolded or not) with its encoded words decoded, as valid UTF-8. White space between adjacent
 * words goes; adjacent words of one charset are joined before conversion, since mailers split characters between
 * them. Tolerated: spaces within Q words, missing padding, no space around words, language tags (RFC 2231 §5),
 * folding. What cannot be decoded stays as it is. Raw 8-bit bytes: UTF-8 if valid, else windows-1252. Control
 * characters become spaces. Linear time. Errors are out->err. */
void words_decode(struct slice value, enum charset_place place, struct buf *out);
/* Does the text need encoding: non-ASCII, control bytes, or something that would read as an encoded word? */
bool words_needed(struct slice utf8);
/* Appends UTF-8 text as encoded words (UTF-8, B or Q, the shorter) of at most 75 characters, never splitting a
 * character, joined by CRLF SP. `column` is how much of the first line is taken. Text that needs no encoding is
 * copied as it is, folded at 78 columns where it has spaces. */
void words_encode(struct slice utf8, size_t column, struct buf *out);

#endif
