/* dmarc.h: DMARC (RFC 9989): may mail say that it is from this domain? The owner has published a record (dmarc_record.h) at the
 * domain, or above it, where a walk up the tree of DNS finds it (§4.10). The answer is yes when SPF or a signature of DKIM
 * passed for a domain of the same organisation (§4.4). */
#ifndef TRUST_DMARC_H
#define TRUST_DMARC_H

#include "trust/dmarc_record.h"
#include "trust/trust_dns.h"
#include "trust/trust_result.h"

/* Domains that signed a message and that are looked at. */
#define DMARC_SIGNATURES_MAX 32

/* A signature that was checked. */
struct dmarc_signature {
	struct slice domain; /* d= */
	enum trust_result result;
	bool aligned; /* out: the domain is of the author's organisation (also where the signature is not valid) */
};

struct dmarc_input {
	struct slice author; /* domain of the From field, as dmarc_authors() gives it */
	enum trust_result spf;
	struct slice spf_domain; /* of the MAIL FROM identity; with the null reverse-path that of HELO (§3.2.4) */
	struct dmarc_signature *signatures;
	size_t signatures_n;
};

struct dmarc_result {
	/* none: the domain has no record, or one that asks for nothing; pass, fail; temperror: DNS did not answer. */
	enum trust_result result;
	struct slice author;
	struct slice policy_domain;  /* where the record was found, or empty */
	struct slice org_domain;     /* the author's organisation, or empty where nothing had to be known of it */
	struct dmarc_record record;  /* that record */
	enum dmarc_policy published; /* of p, sp, np what fits the author's domain */
	enum dmarc_policy policy;    /* what is asked for: one less where the record is a test (t=y) */
	bool spf_aligned;    /* the domain of SPF is of the author's organisation (also where it did not pass) */
	struct slice reason; /* one English sentence for people, without full stop */
};

/* Everything in the result lies in the arena or in the input. 0, or ERR_NOMEM or ERR_CANCELLED. At most 8 questions for the author's
 * domain, one more for whether it exists, and 8 for each other domain below the same top. */
NODISCARD int dmarc_evaluate(
    const struct trust_dns *dns, struct arena *a, struct dmarc_input *in, struct dmarc_result *out);

/* Where a walk leads: the domain of the organisation (§4.10.2); the domain itself when no record is found. *found is false then.
 * 0; ERR_UNAVAILABLE when DNS did not answer; ERR_NOMEM, ERR_CANCELLED. */
NODISCARD int dmarc_organisation(
    const struct trust_dns *dns, struct arena *a, struct slice domain, struct slice *out, bool *found);

/* The domains of all From fields (§5.3.1): normalised, each once, at most `max`. `values` are those of the fields, raw. *complete
 * is false when there are more, or addresses that have no domain or none that can be one: then nothing can be said of the message. */
NODISCARD int dmarc_authors(
    struct arena *a, struct slice_list values, size_t max, struct slice_list *out, bool *complete);

#endif
