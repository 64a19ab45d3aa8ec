/* reverse.h: the names of an address that lead back to it: for SPF's ptr and %{p} (RFC 7208 §5.5) and for iprev (RFC 8601 §3). */
#ifndef TRUST_REVERSE_H
#define TRUST_REVERSE_H

#include "trust/client_ip.h"
#include "trust/trust_result.h"

#define REVERSE_NAMES_MAX \
	10 /* of PTR records, how many are looked at (RFC 7208 §4.6.4); whoever has the address chooses them */

struct reverse {
	enum trust_dns_status status; /* of the question for PTR records */
	struct slice first;           /* the first name in them, whether it leads back or not; or empty */
	struct slice_list names;      /* those that do, in the order of the answer */
	bool temporary;               /* the addresses of a name could not be looked up now */
};

/* 0 whenever *out is filled; ERR_NOMEM, ERR_CANCELLED. */
NODISCARD int reverse_look(
    const struct trust_dns *dns, const struct client_ip *ip, struct arena *a, struct reverse *out);

struct iprev_result {
	enum trust_result result; /* pass, fail, temperror or permerror (RFC 8601 §2.7.3) */
	struct slice name;        /* the name that leads back, or the first that does not; or empty */
	struct slice reason;      /* a sentence */
};

/* The iprev method (RFC 8601 §3): 0 whenever *out is filled; ERR_NOMEM, ERR_CANCELLED, ERR_INVALID (no IP address). */
NODISCARD int iprev_check(
    const struct trust_dns *dns, const struct net_address *client, struct arena *a, struct iprev_result *out);

#endif
