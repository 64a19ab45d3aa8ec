/* dmarc_record.h: the record in which the owner of a domain says what is to become of mail that wrongly says it comes from there
 * (RFC 9989 §4.7), the TXT record of _dmarc.DOMAIN. */
#ifndef TRUST_DMARC_RECORD_H
#define TRUST_DMARC_RECORD_H

#include "base/arena.h"

/* Addresses of one rua or ruf that are used. */
#define DMARC_ADDRESSES_MAX 10

enum dmarc_policy { DMARC_POLICY_NONE, DMARC_POLICY_QUARANTINE, DMARC_POLICY_REJECT };
enum dmarc_psd { DMARC_PSD_UNKNOWN, DMARC_PSD_YES, DMARC_PSD_NO };

/* fo: when a report of a single failure is wanted; bits. */
enum dmarc_failure {
	DMARC_FAILURE_ALL = 1, /* "0": nothing passed with a domain that matches */
	DMARC_FAILURE_ANY = 2, /* "1": something did not */
	DMARC_FAILURE_DKIM = 4,
	DMARC_FAILURE_SPF = 8
};

struct dmarc_record {
	enum dmarc_policy p, sp, np; /* sp and np: as they apply, when they are not there too */
	bool has_sp, has_np;
	/* p is not there or not valid, or sp or np is not: only reports are sent (§4.10.1), and p, sp and np say "none". */
	bool no_policy;
	enum dmarc_psd psd;
	bool testing;                 /* t=y */
	bool dkim_strict, spf_strict; /* adkim=s, aspf=s */
	unsigned failures;            /* fo: enum dmarc_failure */
	struct slice_list rua, ruf;   /* mail addresses: what is behind mailto:, decoded; at most DMARC_ADDRESSES_MAX */
	bool rua_given;               /* rua holds a URI, be it of another scheme */
};

/* Reads a record. What is wrong in it counts as not said, as do tags that nobody knows; of one that comes twice the first
 * counts. 0; ERR_NOTFOUND: it is no DMARC record (it does not begin with v=DMARC1); ERR_NOMEM. The addresses lie in the arena or in the text. */
NODISCARD int dmarc_record_parse(struct arena *a, struct slice text, struct dmarc_record *out);
/* The address of a mailto: URI (RFC 6068), without the fields that it may set, in the arena; empty: it is none that mail can be sent
 * to. */
struct slice dmarc_record_address(struct arena *a, struct slice uri);
/* "none", "quarantine", "reject". A static string. */
const char *dmarc_policy_name(enum dmarc_policy p);

#endif
