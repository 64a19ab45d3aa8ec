/* dkim_canon.h: the two canonicalizations of DKIM and ARC (RFC 6376 §3.4), of header fields and of the body. */
#ifndef TRUST_DKIM_CANON_H
#define TRUST_DKIM_CANON_H

#include "base/buf.h"

enum dkim_canon { DKIM_SIMPLE, DKIM_RELAXED };

/* Appends one header field: `raw` is the whole field with its line end, `last` leaves the canonical line end away, as of the field
 * that bears the signature (RFC 6376 §3.7). Errors are out->err. */
void dkim_canon_field(enum dkim_canon c, struct slice raw, bool last, struct buf *out);

/* A body in pieces of any size; what comes out does not depend on how it was cut. Constant memory. Only CR LF ends a line: a CR or LF alone
 * is a byte like others. */
#define DKIM_CANON_STAGE 2048
typedef void dkim_canon_sink(void *ctx, struct slice run);
struct dkim_body_canon {
	enum dkim_canon canon;
	dkim_canon_sink *sink;
	void *ctx;
	uint64_t blank; /* line ends that are held back: those at the end of the body do not count */
	bool space, cr; /* white space (relaxed), a CR are held back */
	bool text;      /* something was given to the sink */
	uint64_t bytes; /* given to the sink so far */
	size_t staged_n;
	uint8_t staged[DKIM_CANON_STAGE];
};
void dkim_body_canon_init(struct dkim_body_canon *b, enum dkim_canon c, dkim_canon_sink *sink, void *ctx);
void dkim_body_canon_feed(struct dkim_body_canon *b, struct slice run);
/* The body is over; then `bytes` is its canonical length. */
void dkim_body_canon_end(struct dkim_body_canon *b);

#endif
