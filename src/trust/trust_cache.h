/* trust_cache.h: answers of DNS that the checks of mail get again and again, kept in the process that asks, so that a message from a
 * domain that was here before costs no question. Bounded in entries and bytes; what was used longest ago goes first. That DNS did not
 * answer is kept too, for a while, so that a dead server delays one message and not every one. */
#ifndef TRUST_TRUST_CACHE_H
#define TRUST_TRUST_CACHE_H

#include "base/house.h"
#include "base/list.h"
#include "base/map.h"
#include "trust/trust_dns.h"

struct trust_cache {
	struct house *house;
	struct map by_key;
	struct list oldest_first;
	size_t bytes;
	uint64_t hits, misses;
};

void trust_cache_init(struct trust_cache *c, struct house *h);
void trust_cache_free(struct trust_cache *c);
/* 1 with a copy of the answer in the arena; 0: it is not there; ERR_NOMEM. `name` is ASCII, in any case. */
NODISCARD int trust_cache_get(
    struct trust_cache *c, struct slice name, enum trust_dns_type type, struct arena *a, struct trust_answer *out);
/* Keeps a copy for ttl_s seconds, at most a day; what does not fit is not kept. The time of TRUST_DNS_TEMPORARY is
 * limits.trust_dns_retry_s. */
void trust_cache_put(struct trust_cache *c, struct slice name, enum trust_dns_type type,
    const struct trust_answer *answer, uint32_t ttl_s);

#endif
