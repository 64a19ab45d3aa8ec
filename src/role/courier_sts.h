/* courier_sts.h: MTA-STS policies of the domains that mail goes to (RFC 8461): looked up, fetched over HTTPS, kept in memory while
 * they are good and by the clerk across restarts. */
#ifndef ROLE_COURIER_STS_H
#define ROLE_COURIER_STS_H

#include "base/map.h"
#include "dns/dns.h"
#include "role/role.h"
#include "rt/tls.h"
#include "trust/mta_sts.h"

struct courier_sts {
	struct role_context *c;
	struct tls_client *tls;   /* with roots; the owner's */
	struct map domains;       /* → struct sts_domain */
	struct list all;          /* longest unused first */
	struct waitq done;        /* a domain is no longer being looked up */
	uint64_t fetched, failed; /* for status */
};

/* What went wrong, as reports call it (RFC 8460 §4.3.2.2): NULL, "sts-policy-fetch-error", … */
struct sts_answer {
	bool found;                   /* a policy that is good now, and not of mode none */
	struct mta_sts_policy policy; /* in the caller's arena */
	const char *failure;
	struct slice detail; /* a sentence for it */
};

void courier_sts_init(struct courier_sts *s, struct role_context *c, struct tls_client *tls);
void courier_sts_free(struct courier_sts *s);
/* May park for as long as fetching takes. 0; ERR_CANCELLED, ERR_NOMEM. `domain` is a domain name in lower case. */
NODISCARD int courier_sts_find(
    struct courier_sts *s, struct dns *d, struct slice domain, struct arena *a, struct sts_answer *out);
/* Fetches anew what was fetched more than a day ago, so that nobody can wait until a policy has expired (RFC 8461 §3.3). */
void courier_sts_refresh(struct courier_sts *s, struct dns *d);

#endif
