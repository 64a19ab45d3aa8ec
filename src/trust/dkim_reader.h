/* dkim_reader.h: one pass over a message for all that DKIM and ARC want of it: the header section is kept (at most
 * limits.message_header_bytes), the body is hashed while it streams by, once for each canonicalization and length that the signatures
 * ask for, and not kept. So a message of any size takes the same memory. DNS is asked after the end, by those who verify
 * (dkim.h, arc.h). Signing reads the message in the same way. */
#ifndef TRUST_DKIM_READER_H
#define TRUST_DKIM_READER_H

#include "base/limits.h"
#include "trust/dkim_headers.h"
#include "trust/dkim_signature.h"

struct dkim_reader;

/* One DKIM-Signature field, from the top of the message down. */
struct dkim_found {
	struct dkim_signature signature;
	const char *fault; /* what is wrong with it, in a few words; NULL: nothing */
	int hash;          /* for dkim_reader_body_hash(); -1: none */
};

enum dkim_reading { DKIM_VERIFYING, DKIM_SIGNING };

NODISCARD int dkim_reader_new(struct dkim_reader **out, const struct limits *l, enum dkim_reading what);
void dkim_reader_free(struct dkim_reader **r);
/* Bytes of the message, from its first header field on; in any pieces. */
void dkim_reader_feed(struct dkim_reader *r, struct slice run);
/* The message is over. 0, or ERR_NOMEM. */
NODISCARD int dkim_reader_end(struct dkim_reader *r);

/* ---- after the end ------------------------------------------------------------------------------------------- */

/* The parsed header, valid as long as the reader. */
const struct header *dkim_reader_header(const struct dkim_reader *r);
/* A sentence about a header section for which no signature is worth anything (too large, a CR or LF alone); NULL: it is sound. */
const char *dkim_reader_fault(const struct dkim_reader *r);
struct dkim_headers *dkim_reader_headers(struct dkim_reader *r);
/* At most limits.dkim_signatures of them; *all: how many the message has. Verifying only. */
const struct dkim_found *dkim_reader_signatures(const struct dkim_reader *r, size_t *n, size_t *all);
/* The ARC-Message-Signature with the highest instance, likewise; NULL: there is none. */
const struct dkim_found *dkim_reader_arc_signature(const struct dkim_reader *r);
/* The body's hash; when signing 0 is the relaxed one of all of it. *bytes: how many canonical bytes there are in all. */
void dkim_reader_body_hash(const struct dkim_reader *r, int hash, uint8_t out[DKIM_HASH_BYTES], uint64_t *bytes);

#endif
