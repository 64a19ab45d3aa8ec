/* client_ip.h: the address of who sends, as SPF and iprev see it: IPv4 also when it came as IPv4-mapped IPv6 (RFC 7208 §5). */
#ifndef TRUST_CLIENT_IP_H
#define TRUST_CLIENT_IP_H

#include "rt/net.h"
#include "trust/trust_dns.h"

struct client_ip {
	uint8_t bytes[16];
	size_t n; /* 4 or 16 */
};

/* 0, or ERR_INVALID for what is no IP address (a local socket). */
NODISCARD int client_ip_of(const struct net_address *a, struct client_ip *out);
/* The type of records that hold such addresses: TRUST_DNS_A or TRUST_DNS_AAAA. */
static inline enum trust_dns_type
client_ip_type(const struct client_ip *ip)
{
	return ip->n == 4 ? TRUST_DNS_A : TRUST_DNS_AAAA;
}
/* Do the first `bits` bits agree with those of `network`? False when that is not of the same length. */
bool client_ip_within(const struct client_ip *ip, struct slice network, unsigned bits);
/* "192.0.2.1", "2001:db8::1" */
#define CLIENT_IP_TEXT_MAX 48
void client_ip_text(const struct client_ip *ip, char out[CLIENT_IP_TEXT_MAX]);
/* "192.0.2.1", "2.0.0.1.0.D.B.8. … .1" (RFC 7208 §7.3, %{i}) */
#define CLIENT_IP_DOTTED_MAX 64
struct slice client_ip_dotted(const struct client_ip *ip, char out[CLIENT_IP_DOTTED_MAX]);
/* "1.2.0.192.in-addr.arpa": the name whose PTR records name the address. Empty without memory. */
struct slice client_ip_reverse_name(const struct client_ip *ip, struct arena *a);

#endif
