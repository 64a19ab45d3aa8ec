/* imap_utf7.h: modified UTF-7, in which mailbox names travel (RFC 3501 §5.1.3), to and from UTF-8. */
#ifndef IMAP_UTF7_H
#define IMAP_UTF7_H

#include "base/buf.h"

/* Appends the UTF-8 form. ERR_SYNTAX for anything but the one canonical encoding: 8-bit or control bytes, printable
 * ASCII inside base64, padding bits that are not zero, "&" sections that follow each other, lone surrogates, NUL. */
NODISCARD int imap_utf7_decode(struct slice in, struct buf *out);
/* Appends the modified UTF-7 form of valid UTF-8; ERR_INVALID if it is not valid. */
NODISCARD int imap_utf7_encode(struct slice in, struct buf *out);

#endif
