/* send_convert.h: a message in a form that goes where 8-bit or binary text does not (RFC 6152 §3, RFC 3030 §3): parts are
 * encoded as quoted-printable or base64 (RFC 2045 §6), and their header fields say so. Nothing else changes. */
#ifndef SMTP_SEND_CONVERT_H
#define SMTP_SEND_CONVERT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"

struct smtp_sender;

/* True when the text is not fit for transport: without eight_bit when it has octets over 127; with `binary`, also when it has
 * NULs, a CR or LF that stands alone, or lines over 998 octets. */
bool smtp_convert_is_needed(struct slice text, bool eight_bit, bool binary);
/* Appends the converted message. In the header of the message and of its parts octets stay as they are: there is no
 * encoding for those that would mean the same. ERR_UNSUPPORTED: what would have to change is signed (multipart/signed, RFC
 * 1847 §2.1), or the message has more parts than limits allow; ERR_LIMIT: `out` is full; ERR_NOMEM. */
NODISCARD int smtp_convert_message(
    struct arena *a, struct slice message, bool eight_bit, bool binary, const struct limits *limits, struct buf *out);

/* Puts s->content into a form for a server with (eight_bit) or without 8BITMIME. Errors as above; ERR_DAMAGED: its
 * file cannot be read. */
NODISCARD int smtp_convert(struct smtp_sender *s, bool eight_bit);

#endif
