/* dkim_sign.h: making DKIM signatures (RFC 6376 §5). The message is read with a dkim_reader; what is signed are hashes, by whoever has
 * the keys. */
#ifndef TRUST_DKIM_SIGN_H
#define TRUST_DKIM_SIGN_H

#include "trust/dkim_reader.h"

struct dkim_signing_key {
	struct slice domain, selector;
	enum dkim_algorithm algorithm;
};

/* Signs hashes[i] with keys[i]; the signatures lie in the arena. 0 or an error that is passed on. */
typedef int dkim_sign_fn(void *of, const struct dkim_signing_key *keys, const uint8_t (*hashes)[DKIM_HASH_BYTES],
    size_t n, struct arena *a, struct slice *signatures);
struct dkim_signer {
	dkim_sign_fn *sign;
	void *of;
};

#define DKIM_SIGNING_KEYS_MAX 8
#define DKIM_SIGNING_BITS_MAX 4096 /* of an RSA key; larger signatures do not fit into a line */

/* Appends a DKIM-Signature field for each key: relaxed/relaxed, over the fields that a reader sees; those that may be there once are named
 * once more than they are, so that none can be added (RFC 6376 §8.15). After dkim_reader_end() of a reader for DKIM_SIGNING. ERR_INVALID:
 * the header cannot be signed (dkim_reader_fault(), or no From); ERR_NOMEM; the signer's. */
NODISCARD int dkim_sign(struct dkim_reader *r, const struct dkim_signing_key *keys, size_t n, int64_t now_s,
    const struct dkim_signer *signer, struct arena *a, struct buf *out);

/* ---- shared with ARC -------------------------------------------------------------------------------------------- */

/* h= for this message, folded with CR LF TAB when `fold`; of the fields in DKIM's list, as far as they are there. */
void dkim_put_names(const struct dkim_headers *h, bool fold, struct buf *out);

#endif
