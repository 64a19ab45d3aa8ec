/* dkim.h: verifying DKIM signatures (RFC 6376 with 8301, 8463, 8616). A message is read with a dkim_reader; then each of its signatures
 * gets a result. */
#ifndef TRUST_DKIM_H
#define TRUST_DKIM_H

#include "trust/dkim_reader.h"
#include "trust/trust_dns.h"
#include "trust/trust_result.h"

/* What came of one signature. Everything lies in the arena of dkim_verify(). */
struct dkim_result {
	/* RFC 8601 §2.7.1: pass; fail: the message or the signature was changed; policy: not acceptable here (a key or an algorithm that
	 * is too weak, l= that leaves a part unsigned, fields added, expired, of a public suffix); neutral: it is not well formed; permerror:
	 * there is no key for it; temperror: DNS. */
	enum trust_result result;
	struct slice domain,
	    selector;            /* d= and s=, in lower case, as A-labels; empty when the field could not be read */
	struct slice identity;   /* i=, or "@" and d= */
	struct slice algorithm;  /* a= as written */
	struct slice signature;  /* b=, in base64 without white space: its beginning is what header.b tells */
	int key_bits;            /* 0: not known */
	bool testing;            /* the key says t=y: a failure is neutral then */
	bool has_length;         /* l= was there */
	uint64_t unsigned_bytes; /* canonical bytes of the body that l= leaves out */
	struct slice reason;     /* a sentence: "the signature of example.org is valid" */
};

struct dkim_results {
	const struct dkim_result *v; /* from the top of the message down */
	size_t n;
	size_t skipped; /* further signatures, which were not looked at */
};

/* After dkim_reader_end(). Asks DNS for each key once. 0; ERR_NOMEM, ERR_CANCELLED. A message without signatures has no results. */
NODISCARD int dkim_verify(
    struct dkim_reader *r, const struct trust_dns *dns, int64_t now_s, struct arena *a, struct dkim_results *out);

/* ---- shared with ARC -------------------------------------------------------------------------------------------- */

/* Keys that were asked for; those of one message. */
struct dkim_key_cache;
struct dkim_key_cache *dkim_key_cache_new(struct arena *a);
void dkim_key_cache_free(struct dkim_key_cache **c);
#define DKIM_KEY_CACHE_CLEANUP __attribute__((cleanup(dkim_key_cache_free)))

/* The key of a selector, or why there is none. */
struct dkim_fetched {
	enum trust_result result; /* TRUST_PASS: there is one */
	struct dkim_record record;
	EVP_PKEY *key; /* the cache's */
	int bits;
	struct slice reason; /* when there is none: a sentence */
};
/* The key for this signature. 0 with *out; ERR_NOMEM, ERR_CANCELLED. */
NODISCARD int dkim_key_fetch(struct dkim_key_cache *c, const struct dkim_signature *s, const struct trust_dns *dns,
    struct arena *a, const struct dkim_fetched **out);
/* Is the hash of all that this signature covers in the header the one that was signed? 0 with *good, ERR_NOMEM. */
NODISCARD int dkim_check_header(struct dkim_reader *r, const struct dkim_signature *s, EVP_PKEY *key, bool *good);

#endif
