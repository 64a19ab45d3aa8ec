/* mime.h: the tree of parts of a message (RFC 2045, 2046) as byte offsets into one contiguous slice. Linear time, no
 * recursion. What is beyond limits.message_parts or message_depth stays inside the last part. */
#ifndef MESSAGE_MIME_H
#define MESSAGE_MIME_H

#include "message/encoding.h"
#include "message/header.h"
#include "message/params.h"

#define MIME_NONE ((size_t)-1)

struct mime_part {
	/* Where it lies in the message. [header_start, header_end) includes the empty line; [header_end, body_end) is the
	 * body, without the line end that belongs to the boundary behind it. */
	size_t header_start;
	size_t header_end;
	size_t body_end;
	size_t header_lines; /* LFs in each, and one for a last line without */
	size_t body_lines;

	/* The tree, as indexes into mime.v. Children of a multipart; the embedded message of a message/rfc822 or
	 * message/global is its only child. */
	size_t parent; /* MIME_NONE for the whole message */
	size_t first_child;
	size_t next; /* sibling */
	size_t children;
	size_t number;         /* 1.. among its siblings */
	size_t depth;          /* 0 for the whole message */
	bool is_message;       /* the whole message, or an embedded one */
	bool is_multipart;     /* with a boundary and at least one part */
	bool has_message;      /* message/rfc822 whose child is the embedded message */
	bool boundary_missing; /* multipart whose closing boundary never came */

	/* Content-Type in lower case; "text" "plain" by default, "message" "rfc822" in a digest. Never empty. */
	struct slice type, subtype;
	bool type_given; /* there was a readable Content-Type field */
	struct mime_params params;
	struct slice disposition; /* lower case, or empty */
	struct mime_params disposition_params;
	enum encoding encoding;
	struct slice encoding_given; /* as written, lower case; empty without field */
	struct slice id;             /* Content-ID as written, with its <> ; or empty. As are the next four */
	struct slice description;
	struct slice md5;
	struct slice location;
	struct slice_list languages;
	/* charset parameter (or empty) and file name (filename, else name), decoded to UTF-8. */
	struct slice charset;
	struct slice filename;
};

struct mime {
	struct slice raw;
	struct mime_part *v; /* v[0] is the whole message; parts follow in the order of the bytes */
	size_t n;
	bool limited; /* a limit of parts or depth was reached */
};

/* Parses a whole message. Everything lives in the arena and refers to `raw`, which must stay. `place` is for names
 * in other charsets (see charset.h). ERR_LIMIT or ERR_NOMEM when the arena is exhausted. */
NODISCARD int mime_parse(
    struct arena *a, struct slice raw, const struct limits *limits, enum charset_place place, struct mime *out);
/* An arena of this size is enough for mime_parse() of any message of raw_bytes under these limits. */
size_t mime_arena_max(const struct limits *limits, size_t raw_bytes);

static inline struct slice
mime_raw_header(const struct mime *m, const struct mime_part *p)
{
	return slice_range(m->raw, p->header_start, p->header_end);
}
static inline struct slice
mime_raw_body(const struct mime *m, const struct mime_part *p)
{
	return slice_range(m->raw, p->header_end, p->body_end);
}
/* Header and body. */
static inline struct slice
mime_raw_part(const struct mime *m, const struct mime_part *p)
{
	return slice_range(m->raw, p->header_start, p->body_end);
}
/* Does the part have this type? `subtype` may be empty for any. */
bool mime_is(const struct mime_part *p, struct slice type, struct slice subtype);

/* ---- IMAP sections (RFC 9051 §6.4.5.1) ------------------------------------------------------------------------- */

enum mime_section {
	MIME_SECTION_ALL,    /* BODY[] or BODY[1.2]: the message; the body of the part */
	MIME_SECTION_HEADER, /* of the message, or of an embedded one (1.2.HEADER) */
	MIME_SECTION_TEXT,   /* the body of the message, or of an embedded one */
	MIME_SECTION_MIME,   /* the part's own header (1.2.MIME) */
};
/* The part that the numbers name, or NULL. No numbers: the whole message. In a message that is no multipart, 1 is its
 * body: the same part as the message itself. */
const struct mime_part *mime_find(const struct mime *m, const uint32_t *numbers, size_t n);
/* The bytes of the section: 0 or ERR_NOTFOUND (no such part; HEADER and TEXT of what is no message). */
NODISCARD int mime_section(
    const struct mime *m, const uint32_t *numbers, size_t n, enum mime_section section, struct slice *out);
/* The fields of the part's own header, parsed on demand, since a message may have millions. Errors of
 * header_parse(). */
NODISCARD int mime_header(
    struct arena *a, const struct mime *m, const struct mime_part *p, const struct limits *limits, struct header *out);
/* The header fields that HEADER.FIELDS and the ENVELOPE of an embedded message read: those of the message, or of
 * the embedded one for a message/rfc822 part. NULL if there is none. */
const struct mime_part *mime_message_of(const struct mime *m, const struct mime_part *p);
/* Writes the part's number ("1.2"; "" for the whole message). */
void mime_put_number(const struct mime *m, const struct mime_part *p, struct buf *out);

/* Appends the part's body, transfer encoding removed, bytes as they are. True if nothing was damaged. Errors are
 * out->err (ERR_LIMIT: `out` is full, what fits is there). */
bool mime_decode(const struct mime *m, const struct mime_part *p, struct buf *out);

#endif
