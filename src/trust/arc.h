/* arc.h: the Authenticated Received Chain (RFC 8617): who has passed a message on, and what they found when it came. Verifying, and
 * sealing what this house passes on. */
#ifndef TRUST_ARC_H
#define TRUST_ARC_H

#include "trust/dkim.h"
#include "trust/dkim_sign.h"

/* One who has sealed. */
struct arc_sealer {
	struct slice domain; /* d= of the ARC-Seal */
	struct slice
	    results; /* the ARC-Authentication-Results behind its instance: "mx.example.org; spf=pass …", folded */
};

struct arc_result {
	enum trust_result result; /* none: there is no chain; pass; fail, which counts like none (RFC 8617 §5.2) */
	const struct arc_sealer *sealers; /* with pass: [0] has instance 1, the last is the newest */
	size_t n;
	struct slice reason; /* a sentence */
};

/* After dkim_reader_end() of a reader for DKIM_VERIFYING. Asks DNS for each key once. Lies in the arena, or is the reader's. 0; ERR_NOMEM,
 * ERR_CANCELLED. */
NODISCARD int arc_verify(
    struct dkim_reader *r, const struct trust_dns *dns, int64_t now_s, struct arena *a, struct arc_result *out);

struct arc_sealing {
	/* What was found when the message came: the payload of our Authentication-Results, "mx.example.org; spf=pass …"; may be
	 * folded with CR LF and white space. */
	struct slice results;
	enum trust_result chain; /* what arc_verify() found then: none, pass or fail */
	struct dkim_signing_key key;
	struct slice names; /* h= of the ARC-Message-Signature; empty: what DKIM signs, and DKIM-Signature */
	int64_t now_s;
};

/* The results of all Authentication-Results fields (RFC 8601) that bear our name, which is their authserv-id, joined into one payload for
 * `results` (RFC 8617 §4.1.1: "none" when there is no result), and what their `arc=` says of the chain: TRUST_NONE without one. Errors are
 * out->err. */
void arc_results_gather(const struct header *h, struct slice authserv_id, struct buf *out, enum trust_result *chain);

/* Appends a set of ARC-Seal, ARC-Message-Signature and ARC-Authentication-Results fields, which have to become the first of the
 * message. The reader is one for DKIM_SIGNING that has read the message as it goes out. Nothing is appended to a chain that is known to be
 * broken, or is as long as can be. ERR_INVALID: the header cannot be sealed, or `chain` contradicts it; ERR_NOMEM; the signer's. */
NODISCARD int arc_seal(struct dkim_reader *r, const struct arc_sealing *s, const struct dkim_signer *signer,
    struct arena *a, struct buf *out);

/* ---- between arc.c and arc_seal.c ---------------------------------------------------------------------------------- */

/* The ARC fields of a header by their instance. */
struct arc_sets {
	const struct header_field *results[ARC_INSTANCE_MAX + 1], *signature[ARC_INSTANCE_MAX + 1],
	    *seal[ARC_INSTANCE_MAX + 1];
	int n;             /* the highest instance; 0: no ARC field at all */
	const char *fault; /* fields that are there twice or have no sound instance, in a few words; NULL: none */
};
void arc_sets_find(const struct header *h, struct arc_sets *out);

#endif
