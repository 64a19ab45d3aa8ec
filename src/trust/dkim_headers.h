/* dkim_headers.h: which header fields a signature covers, and their hash (RFC 6376 §3.7, §5.4.2): for each name in h= the lowest
 * field of that name that has not been taken yet. The time it takes grows with the header and h=, not with their product. */
#ifndef TRUST_DKIM_HEADERS_H
#define TRUST_DKIM_HEADERS_H

#include "message/header.h"
#include "trust/dkim_canon.h"
#include "trust/dkim_key.h"

struct dkim_headers;

/* An index of the fields; lies in the arena, as they do. ERR_NOMEM. */
NODISCARD int dkim_headers_index(struct arena *a, const struct header *h, struct dkim_headers **out);
/* The hash of the fields that `names` (with colons) picks, and then of `tail`, which is canonical already. `self`: the field that bears
 * the signature, which h= never means; or empty. ERR_NOMEM. */
NODISCARD int dkim_headers_hash(struct dkim_headers *h, struct slice names, enum dkim_canon c, struct slice self,
    struct slice tail, uint8_t hash[DKIM_HASH_BYTES]);
/* How many fields of that name there are. */
size_t dkim_headers_count(const struct dkim_headers *h, struct slice name);
/* The name of a field that may stand in a message once (RFC 5322 §3.6), or that says how it is shown, which is signed but not
 * as often as it is there: one was added after the signature, and readers may well show that one. NULL: there is none. */
const char *dkim_headers_added(const struct dkim_headers *h, struct slice names);

#endif
