/* net_prefix.h: networks: "192.0.2.0/24", "2001:db8::/32", or one address. */
#ifndef RT_NET_PREFIX_H
#define RT_NET_PREFIX_H

#include "rt/net.h"

struct net_prefix {
	uint8_t bytes[16]; /* IPv4 as v4-mapped IPv6 */
	int bits;          /* of 128 */
};

/* 0 or ERR_SYNTAX (also when bits behind the prefix are set: 192.0.2.1/24 is somebody's mistake). */
NODISCARD int net_prefix_parse(struct slice text, struct net_prefix *out);
/* Is it of IPv4 (also in v4-mapped form)? */
bool net_prefix_is_v4(const struct net_prefix *p);
/* False for what is no IP address. */
bool net_prefix_contains(const struct net_prefix *p, const struct net_address *a);

#endif
