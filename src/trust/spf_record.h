/* spf_record.h: SPF records (RFC 7208 §4.5, §4.6, §5, §6): their syntax, term by term. No I/O, no memory. */
#ifndef TRUST_SPF_RECORD_H
#define TRUST_SPF_RECORD_H

#include "trust/trust_result.h"

#define SPF_RECORD_BYTES_MAX 65535u /* no TXT record can be longer (RFC 1035 §3.2.1) */

enum spf_kind {
	SPF_ALL,
	SPF_INCLUDE,
	SPF_A,
	SPF_MX,
	SPF_PTR,
	SPF_IP4,
	SPF_IP6,
	SPF_EXISTS,
	SPF_REDIRECT, /* from here on: modifiers */
	SPF_EXP,
	SPF_UNKNOWN
};

struct spf_term {
	enum spf_kind kind;
	enum trust_result qualifier; /* what a match means; TRUST_NONE of a modifier */
	struct slice text;           /* the whole term, as it is published */
	struct slice spec;           /* domain-spec, not expanded; empty where it may be left out and is */
	uint8_t network[16];         /* ip4 (4 bytes), ip6 */
	unsigned bits4, bits6;       /* prefix lengths of a, mx (both), ip4, ip6; whole addresses without one */
};

/* A record that is well formed. */
struct spf_record {
	struct slice terms;         /* behind the version */
	struct slice redirect, exp; /* their domain-specs, or empty */
};

/* Is the text of a TXT record one of SPF at all: is its version v=spf1 (§4.5)? */
bool spf_record_is_spf(struct slice text);
/* Reads a record that is one of SPF, to its end: 0, or ERR_SYNTAX with the term that is wrong, and a clause that says why
 * ("is no mechanism of SPF"); *redirect is left empty where an "all" makes it void (§6.1). */
NODISCARD int spf_record_parse(struct slice text, struct spf_record *out, struct slice *wrong, const char **why);
/* The next term of *rest, which is record.terms at first; false at the end. */
bool spf_record_next(struct slice *rest, struct spf_term *out);

#endif
