#include "rt/net_prefix.h"

#include <netinet/in.h>

/* RFC 4291 §2.5.5.2 */
static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool
net_prefix_is_v4(const struct net_prefix *p)
{
	return p->bits >= 96 && memcmp(p->bytes, mapped, sizeof(mapped)) == 0;
}

/* The address as IPv6 bytes, an IPv4 one as v4-mapped. False for others. */
static bool
address_bytes(const struct net_address *a, uint8_t out[16], bool *v4)
{
	*v4 = a->sa.ss_family == AF_INET;
	if (*v4) {
		struct sockaddr_in in;

		memcpy(&in, &a->sa, sizeof(in));
		memcpy(out, mapped, sizeof(mapped));
		memcpy(out + 12, &in.sin_addr, 4);
		return true;
	}
	if (a->sa.ss_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, &a->sa, sizeof(in6));
		memcpy(out, &in6.sin6_addr, 16);
		return true;
	}
	return false;
}

/* The bits of byte i that belong to the prefix. */
static unsigned
mask_of(int bits, size_t i)
{
	int left = bits - (int)i * 8;

	return left >= 8 ? 0xffu : left <= 0 ? 0u : (0xffu << (8 - left)) & 0xffu;
}

int
net_prefix_parse(struct slice text, struct net_prefix *out)
{
	struct slice bits = text, host = slice_cut(&bits, '/');
	struct net_address a;
	uint64_t n = 0;
	bool v4;

	if (net_address_parse(host, 0, &a) != 0 || !address_bytes(&a, out->bytes, &v4))
		return ERR_SYNTAX;
	out->bits = 128;
	if (bits.p != NULL) {
		if (slice_to_u64(bits, v4 ? 32 : 128, &n) != 0)
			return ERR_SYNTAX;
		out->bits = (int)n + (v4 ? 96 : 0);
	}
	for (size_t i = 0; i < 16; i++)
		if ((out->bytes[i] & ~mask_of(out->bits, i)) != 0)
			return ERR_SYNTAX;
	return 0;
}

bool
net_prefix_contains(const struct net_prefix *p, const struct net_address *a)
{
	uint8_t bytes[16];
	bool v4;

	if (!address_bytes(a, bytes, &v4))
		return false;
	for (size_t i = 0; i < 16; i++)
		if ((((unsigned)bytes[i] ^ p->bytes[i]) & mask_of(p->bits, i)) != 0)
			return false;
	return true;
}
