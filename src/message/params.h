/* params.h: `value; name=value` fields: Content-Type and Content-Disposition (RFC 2045 §5.1, RFC 2183), with the
 * continuations, charsets and percent escapes of RFC 2231 and with the encoded words that mailers put there. */
#ifndef MESSAGE_PARAMS_H
#define MESSAGE_PARAMS_H

#include "base/arena.h"
#include "base/limits.h"
#include "message/charset.h"

struct mime_param {
	struct slice name;  /* lower case; without RFC 2231 marks */
	struct slice value; /* unquoted, continuations joined, decoded: valid UTF-8 without NUL */
	/* The value before encoded words in it were decoded; empty if there were none. By RFC 2047 §5 they mean nothing there. */
	struct slice written;
};

struct mime_params {
	const struct mime_param *v;
	size_t n;
	struct slice boundary; /* bytes of the boundary parameter as they are; empty without one */
	bool truncated;        /* more than limits.message_parameters */
};

/* Reads the raw value. *value gets the first word(s) before the first `;` in lower case without CFWS ("text/plain",
 * "attachment"), may be empty. Never fails on garbage. ERR_LIMIT or ERR_NOMEM when the arena is exhausted. Linear
 * time. */
NODISCARD int params_parse(struct arena *a, struct slice raw, const struct limits *limits, enum charset_place place,
    struct slice *value, struct mime_params *out);
/* The value of the parameter (name in lower case), or NULL. */
const struct slice *params_get(const struct mime_params *p, struct slice name);
/* The pair for an IMAP body structure, which is ASCII: as it was written, or `name*` with the value in RFC 2231 form. */
void params_wire(struct arena *a, const struct mime_param *p, struct slice *name, struct slice *value);
/* Appends `; name=value`, quoted or in RFC 2231 form with continuations where needed, folded. *column is the
 * current column. */
void params_put(struct buf *out, struct slice name, struct slice utf8, size_t *column);

#endif
