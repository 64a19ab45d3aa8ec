/* trust_resolver.h: the resolver of a process (src/dns) as src/trust asks DNS; and the resolver that the settings describe. */
#ifndef ROLE_TRUST_RESOLVER_H
#define ROLE_TRUST_RESOLVER_H

#include "dns/dns.h"
#include "role/settings.h"
#include "trust/trust_cache.h"

/* As a source of answers for fibers of the resolver's loop; each question has limits.dns_timeout_ms. Records that cannot be read are
 * left out of an answer; what DNSSEC refuses counts as a temporary error. */
struct trust_dns trust_resolver_dns(struct dns *d);
/* The same with answers that are kept, and one deadline for all questions. */
struct trust_lookup {
	struct dns *dns;
	struct trust_cache *cache;
	int64_t deadline_ms; /* of the loop: what has no answer by then has none; TRUST_DNS_TEMPORARY */
};
struct trust_dns trust_lookup_dns(struct trust_lookup *l);
/* A resolver as [dns] says, started: 0, ERR_NOMEM, ERR_INVALID and others with a sentence in `detail`. */
NODISCARD int trust_resolver_new(struct dns **out, struct loop *l, const struct settings *s, struct buf *detail);

#endif
