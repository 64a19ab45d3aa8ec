/* Rdata of hostile servers. */
#include "dns/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	ARENA_CLEANUP struct arena a;
	struct slice rdata = slice_of(p, n), text;
	struct net_address address;
	struct dns_mx mx;
	struct dns_srv srv;
	struct dns_tlsa tlsa;

	arena_init(&a, 1 << 20);
	if (dns_mx_decode(rdata, &a, &mx) == 0)
		for (size_t i = 0; i < mx.host.n; i++)
			ASSERT(
			    slice_at(mx.host, i) > ' ' && slice_at(mx.host, i) < 127 && slice_at(mx.host, i) != '\\');
	if (dns_srv_decode(rdata, &a, &srv) == 0)
		ASSERT(srv.host.n <= 253);
	if (dns_name_decode(rdata, &a, &text) == 0)
		ASSERT(text.n <= 253);
	if (dns_txt_decode(rdata, &a, &text) == 0)
		ASSERT(text.n < n);
	if (dns_tlsa_decode(rdata, &tlsa) == 0)
		ASSERT(tlsa.data.n == n - 3);
	(void)!dns_address_decode(DNS_A, rdata, 25, &address);
	(void)!dns_address_decode(DNS_AAAA, rdata, 25, &address);
	return 0;
}
