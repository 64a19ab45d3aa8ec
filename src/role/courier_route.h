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
	bool by_dns;                        /* found by the domain's MX records, or as the domain's own host */
	bool secure;                        /* what DNS said was validated with DNSSEC */
	enum send_security tls;             /* what the settings say of a host that is not found by DNS */
	const struct relay_settings *relay; /* NULL: none */
	/* One name for all domains that have the same mail servers: that of the most preferred host (of several, the first in
	 * the alphabet); "host:port" for a fixed one; the domain, where no host is known. */
	struct slice site;
	/* Without hosts: why. */
	int result;         /* enum bus_send */
	const char *status; /* RFC 3463 */
	struct slice text;  /* one sentence */
};

struct route_question {
	struct slice domain; /* as in the address, a literal in brackets included */
	struct slice fixed;  /* "host:port" instead of looking anything up, or empty */
	struct slice sender; /* domain of the reverse-path, or empty */
};
/* Without `fixed` the settings count: [route DOMAIN], then [sender DOMAIN], then [send] relay; then DNS. Everything lies in the arena
 * or in the settings. 0 with out->n > 0 or out->result set; ERR_CANCELLED, ERR_NOMEM. */
NODISCARD int route_find(struct dns *d, struct house *h, const struct settings *s, const struct route_question *q,
    struct arena *a, int64_t deadline_ms, struct route *out);

struct route_addresses {
	struct net_address *v; /* IPv6 and IPv4 in turns */
	size_t n;
	bool temporary;         /* a question had no answer: what is missing may be there later */
	bool secure;            /* validated with DNSSEC */
	struct slice canonical; /* the host's name behind aliases, or empty: its own */
};
/* The addresses of a host. */
NODISCARD int route_addresses(
    struct dns *d, const struct route_host *host, struct arena *a, int64_t deadline_ms, struct route_addresses *out);

#endif
