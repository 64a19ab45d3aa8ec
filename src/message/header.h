/* header.h: header fields over raw bytes (RFC 5322 §2.2). Lines end with CRLF or a bare LF; 8-bit bytes and NULs are
 * kept; a line that is no field is tolerated and skipped, as is an mbox "From " line. Nothing is copied. */
#ifndef MESSAGE_HEADER_H
#define MESSAGE_HEADER_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "message/charset.h"

struct header_field {
	struct slice name; /* as written, without white space before the colon */
	struct slice
	    value; /* raw: after the colon, folded, without the last line end; leading and trailing white space kept */
	struct slice raw; /* the whole field, its last line end included */
};

/* Walks the fields one by one without memory. */
struct header_iter {
	struct slice raw; /* from the first byte of the header on; may go on into the body */
	size_t pos;       /* of the next line; after the end: of the first byte of the body */
	size_t max;       /* limits.message_header_bytes */
	bool ended;       /* the empty line, the end of the bytes, or the limit was reached */
	bool blank;       /* an empty line ended it */
	size_t skipped;   /* lines that were no field */
};
struct header_iter header_iter_of(struct slice raw, size_t max_bytes);
/* False at the end; then it->pos is where the body begins. A first line that is no field and has no colon at all is
 * skipped (mbox From); other such lines are skipped too, so that one damaged line hides no fields behind it. */
bool header_next(struct header_iter *it, struct header_field *f);

/* All fields of a part, up to limits.message_headers. */
struct header {
	const struct header_field *v;
	size_t n;
	size_t size;    /* bytes of the header, the empty line included: the body begins here */
	bool truncated; /* more fields than the limit: the rest is skipped, but still header */
};
/* ERR_LIMIT or ERR_NOMEM only when the arena is exhausted. */
NODISCARD int header_parse(struct arena *a, struct slice raw, const struct limits *limits, struct header *out);
/* The first (last) field of that name, ASCII case folded; NULL without one. */
const struct header_field *header_find(const struct header *h, struct slice name);
const struct header_field *header_find_last(const struct header *h, struct slice name);
/* The next one of that name after f. */
const struct header_field *header_find_next(const struct header *h, const struct header_field *f);
/* Raw value of the first field of that name, or empty. */
struct slice header_value(const struct header *h, struct slice name);

/* Unfolded (RFC 5322 §2.2.3: line ends removed) and trimmed; the input itself when there is nothing to remove.
 * Empty when the arena is exhausted. Bytes are not decoded. */
struct slice header_unfold(struct arena *a, struct slice value);
/* Unfolded and with encoded words decoded to valid UTF-8 (raw 8-bit bytes: UTF-8 if valid, else windows-1252). `place`
 * as in charset.h. */
struct slice header_text(struct arena *a, struct slice value, enum charset_place place);
/* May this be a field name (RFC 5322 §3.6.8: printable ASCII without colon)? */
bool header_name_is_valid(struct slice name);

#endif
