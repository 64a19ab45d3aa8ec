/* dns_advice.h: is what DNS says of a domain what its mail needs? Each record that it should have is held against what is there, and told in
 * plain words. No I/O. */
#ifndef TRUST_DNS_ADVICE_H
#define TRUST_DNS_ADVICE_H

#include "base/arena.h"

enum dns_advice_kind {
	ADVICE_MX,
	ADVICE_SPF,
	ADVICE_DKIM,
	ADVICE_DMARC,
	ADVICE_STS,
	ADVICE_TLS_REPORT,
	ADVICE_TLSA,
	ADVICE_SRV,
	ADVICE_KINDS /* none: how many there are */
};

enum dns_advice_state { ADVICE_RIGHT = 1, ADVICE_WRONG = 2, ADVICE_MISSING = 3, ADVICE_UNKNOWN = 4 };

struct dns_advice {
	enum dns_advice_state state;
	struct slice told; /* a sentence: what is so */
	struct slice todo; /* a sentence: what to do; empty when nothing is to be done */
};

/* "mx", "spf", …: as the kinds travel between roles. A static string; NULL for ADVICE_KINDS. */
const char *dns_advice_kind_name(enum dns_advice_kind kind);
/* ADVICE_KINDS: none has this name. */
enum dns_advice_kind dns_advice_kind_of(struct slice name);
/* `found`: the records of the type at that name, as texts in the form of zone files, TXT without quotes; `wanted` is such a text; secure: DNSSEC
 * vouches for them. Of SPF it is said only whether there is one record, not whom it allows. What *out points at is in the arena or static. 0 or
 * ERR_NOMEM. */
NODISCARD int dns_advice_judge(enum dns_advice_kind kind, struct slice wanted, struct slice_list found, bool secure,
    struct arena *a, struct dns_advice *out);

#endif
