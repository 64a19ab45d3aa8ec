/* resolver.h: the resolver of a role that asks DNS, as [dns] says; one for each generation of settings that says something else. */
#ifndef ROLE_RESOLVER_H
#define ROLE_RESOLVER_H

#include "dns/dns.h"
#include "role/role.h"

/* Goes when its last user is done. */
struct resolver {
	struct dns *dns;
	size_t users;
	bool retired;
};

/* Starts unbound's thread: after the sandbox. */
NODISCARD int resolver_new(struct resolver **out, struct role_context *c, const struct settings *s, struct buf *detail);
struct resolver *resolver_use(struct resolver *r);
void resolver_release(struct resolver **r);
/* No further users: it goes with the last one. */
void resolver_retire(struct resolver **r);
/* One with other settings begins with an empty cache, so that the old one stays while they are the same. */
NODISCARD int resolver_reload(
    struct resolver **r, struct role_context *c, const struct settings *fresh, struct buf *detail);

/* Its counters, for status; NULL: there is none. */
void resolver_status(const struct resolver *r, json_t *into);

#endif
