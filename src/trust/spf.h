/* spf.h: Sender Policy Framework (RFC 7208): may this address send mail in the name of that domain? */
#ifndef TRUST_SPF_H
#define TRUST_SPF_H

#include "base/house.h"
#include "rt/net.h"
#include "trust/trust_dns.h"
#include "trust/trust_result.h"

#define SPF_LOOKUPS_MAX 10u            /* terms that ask DNS, of all records of a check (§4.6.4) */
#define SPF_MX_MAX 10u                 /* records of one mx (§4.6.4) */
#define SPF_EXPLANATION_BYTES_MAX 400u /* what is passed on of an explanation: a reply of SMTP has 512 */

enum spf_identity {
	SPF_HELO,     /* the name in HELO or EHLO (§2.3) */
	SPF_MAIL_FROM /* the reverse-path, or postmaster at that name when it is null (§2.4) */
};

struct spf_question {
	struct trust_dns dns;
	struct house *house; /* clock and limits */
	struct net_address client;
	struct slice helo;     /* as it was said, unchecked */
	struct slice sender;   /* as mailbox_normalise() gives it; empty for the null reverse-path */
	struct slice receiver; /* our name, or empty */
};

struct spf_result {
	enum trust_result result;
	enum spf_identity identity;
	struct slice domain; /* whose policy was asked for, in A-labels; as it was said when it is no domain */
	struct slice term;   /* the term of its record that decided, or empty */
	struct slice
	    explanation; /* for fail: what the domain wants to be told (exp=), ASCII without control characters; or empty.
				   * It is a stranger's text: whoever passes it on says so (§6.2) */
	struct slice reason;   /* a sentence, such as "192.0.2.1 may send for example.org: it matches \"mx\"" */
	unsigned lookups;      /* counted terms that asked DNS */
	unsigned void_lookups; /* those that led to nothing */
};

/* Checks one identity: 0 whenever *out is filled, whatever the result; ERR_NOMEM, ERR_CANCELLED, ERR_INVALID (the client has no
 * IP address). What *out points at lies in the arena, at most a few KB; what the check needs on its way does not. Asks DNS at
 * most 10 × 11 + 12 times and ends within limits.spf_timeout_ms and the last answer. */
NODISCARD int spf_check(
    const struct spf_question *q, enum spf_identity identity, struct arena *a, struct spf_result *out);
/* "helo", "mailfrom" */
const char *spf_identity_name(enum spf_identity identity);

#endif
