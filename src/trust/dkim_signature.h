/* dkim_signature.h: what a DKIM-Signature (RFC 6376 §3.5) or an ARC-Message-Signature (RFC 8617 §4.1.2) says. */
#ifndef TRUST_DKIM_SIGNATURE_H
#define TRUST_DKIM_SIGNATURE_H

#include "message/header.h"
#include "trust/dkim_canon.h"
#include "trust/dkim_key.h"

#define ARC_INSTANCE_MAX 50 /* RFC 8617 §4.2.1 */

struct dkim_signature {
	struct slice field;           /* the whole field, raw */
	struct slice domain;          /* d= in lower case, as A-labels */
	struct slice selector;        /* s=, likewise */
	struct slice identity;        /* i= as written, or "@" and the domain */
	struct slice identity_domain; /* of i=, as d= */
	int instance;                 /* ARC: i= */
	enum dkim_algorithm algorithm;
	struct slice algorithm_text;
	enum dkim_canon header_canon, body_canon;
	struct slice headers;        /* h=: names with colons, folded */
	struct slice body_hash;      /* bh=, decoded */
	struct slice signature;      /* b=, decoded */
	struct slice signature_text; /* b= in base64, without white space */
	struct slice signature_span; /* of b= in `field`, white space too: what is left away for hashing */
	bool has_length;             /* l= */
	uint64_t length;
	int64_t time_s, expires_s; /* t=, x=; -1: not there */
};

/* Reads a field. ERR_SYNTAX with a few words in *why: not well formed, something that must be there is not, or (RFC 6376 §6.1.1) one thing
 * contradicts another. An algorithm that is not known, or is too old, is no error here. ERR_NOMEM. Lies in the arena and the field. */
NODISCARD int dkim_signature_parse(
    struct arena *a, const struct header_field *f, bool arc, struct dkim_signature *out, const char **why);
/* The same of an ARC-Seal (RFC 8617 §4.1.3): domain, selector, algorithm, signature, instance and time, and cv= in *cv. */
NODISCARD int dkim_seal_parse(
    struct arena *a, const struct header_field *f, struct dkim_signature *out, struct slice *cv, const char **why);
/* The instance that an ARC field begins with or has among its tags, 1..ARC_INSTANCE_MAX; 0 without a sound one. */
int arc_instance_of(struct slice text);
/* The field with b= empty, canonical and without its last line end (RFC 6376 §3.7). Errors are out->err. */
void dkim_signature_put_unsigned(const struct dkim_signature *s, enum dkim_canon c, struct buf *out);

#endif
