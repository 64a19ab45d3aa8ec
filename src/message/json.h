/* json.h: what `posthouse message FILE` prints: the parse of a message, as JSON or for people. */
#ifndef MESSAGE_JSON_H
#define MESSAGE_JSON_H

#include "base/buf.h"
#include "base/house.h"

/* One JSON object and LF: decoded headers, addresses, date, parts with offsets, types, parameters, charset,
 * encoding, sizes and decoded text. Runs iconv: command line or worker thread. 0 or ERR_LIMIT, ERR_NOMEM (the
 * message or its parse is larger than `out` or the limits allow). */
NODISCARD int message_print_json(struct house *h, struct slice raw, struct buf *out);
/* The same for people: the main fields and a tree of parts with sizes. */
NODISCARD int message_print_text(struct house *h, struct slice raw, struct buf *out);

#endif
