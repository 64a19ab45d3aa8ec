#include "trust/client_ip.h"

#include <arpa/inet.h>
#include <netinet/in.h>

int
client_ip_of(const struct net_address *a, struct client_ip *out)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a->sa;

	*out = (struct client_ip){.n = 0};
	if (a->sa.ss_family == AF_INET) {
		out->n = 4;
		memcpy(out->bytes, &((const struct sockaddr_in *)&a->sa)->sin_addr, 4);
	} else if (a->sa.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
		out->n = 4;
		memcpy(out->bytes, v6->sin6_addr.s6_addr + 12, 4);
	} else if (a->sa.ss_family == AF_INET6) {
		out->n = 16;
		memcpy(out->bytes, v6->sin6_addr.s6_addr, 16);
	} else {
		return ERR_INVALID;
	}
	return 0;
}

bool
client_ip_within(const struct client_ip *ip, struct slice network, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (network.n != ip->n || bits > ip->n * 8 || memcmp(ip->bytes, network.p, whole) != 0)
		return false;
	return rest == 0 || ((ip->bytes[whole] ^ slice_at(network, whole)) & (0xff00u >> rest) & 0xff) == 0;
}

void
client_ip_text(const struct client_ip *ip, char out[CLIENT_IP_TEXT_MAX])
{
	if (inet_ntop(ip->n == 4 ? AF_INET : AF_INET6, ip->bytes, out, CLIENT_IP_TEXT_MAX) == NULL)
		out[0] = '\0';
}

struct slice
client_ip_dotted(const struct client_ip *ip, char out[CLIENT_IP_DOTTED_MAX])
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = 0;

	if (ip->n == 4) {
		client_ip_text(ip, out);
		return slice_z(out);
	}
	for (size_t i = 0; i < 32; i++) {
		out[n++] = hex[i % 2 == 0 ? ip->bytes[i / 2] >> 4 : ip->bytes[i / 2] & 15];
		out[n++] = '.';
	}
	return slice_of(out, n - 1);
}

struct slice
client_ip_reverse_name(const struct client_ip *ip, struct arena *a)
{
	static const char hex[] = "0123456789abcdef";
	const uint8_t *b = ip->bytes;
	char text[CLIENT_IP_DOTTED_MAX + 1];
	size_t n = 0;

	if (ip->n == 4)
		return arena_printf(a, "%u.%u.%u.%u.in-addr.arpa", b[3], b[2], b[1], b[0]);
	for (size_t i = 32; i > 0; i--) {
		text[n++] = hex[i % 2 == 0 ? b[i / 2 - 1] & 15 : b[i / 2] >> 4];
		text[n++] = '.';
	}
	text[n] = '\0';
	return arena_printf(a, "%sip6.arpa", text);
}
