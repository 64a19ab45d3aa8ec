/* courier_route.h: where mail for a domain goes (RFC 5321 §5.1): the hosts to try, in their order. */
#ifndef ROLE_COURIER_ROUTE_H
#define ROLE_COURIER_ROUTE_H

#include "dns/dns.h"
#include "role/settings.h"

struct route_host {
	struct slice name; /* of the host; an address in text for literals and fixed addresses */
	bool is_address;
	struct net_address address; /* if is_address */
	uint16_t port;
	uint16_t preference;
};

struct route {
	struct route_host *hosts;
	size_t n;
	/* One name for all domains that have the same mail servers: that of the most preferred host (of several, the first in
	 * the alphabet); "host:port" for a fixed one; the domain, where no host is known. */
	struct slice site;
	/* Without hosts: why. */
	int result;         /* enum bus_send */
	const char *status; /* RFC 3463 */
	struct slice text;  /* one sentence */
};

/* domain: as in the address, a literal in brackets included. fixed: "host:port" instead of looking anything up, or empty:
 * then [route DOMAIN] of the settings counts. Everything lies in the arena. 0 with out->n > 0 or out->result set;
 * ERR_CANCELLED, ERR_NOMEM. */
NODISCARD int route_find(struct dns *d, struct house *h, const struct settings *s, struct slice domain,
    struct slice fixed, struct arena *a, int64_t deadline_ms, struct route *out);
/* The addresses of a host, IPv6 and IPv4 in turns. *n 0: none, and *temporary tells whether that may change soon. */
NODISCARD int route_addresses(struct dns *d, const struct route_host *host, struct arena *a, int64_t deadline_ms,
    struct net_address **v, size_t *n, bool *temporary);

#endif
