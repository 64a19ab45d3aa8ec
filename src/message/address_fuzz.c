/* address_fuzz.c: any bytes as an address field and as an envelope path; what is printed must read back. */
#include "message/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice s = slice_of(data, size), out;
	struct address_list l, again;
	ARENA_CLEANUP struct arena a;
	BUF_CLEANUP struct buf b;

	arena_init(&a, 64 << 20);
	buf_init(&b, 64 << 20);
	ASSERT(address_parse(&a, s, 1000, &l) == 0);
	address_put_list(&b, &l);
	ASSERT(b.err == 0);
	ASSERT(address_parse(&a, buf_slice(&b), 2000, &again) == 0);
	if (mailbox_normalise(&a, s, &out) == 0) {
		struct slice local, domain;

		ASSERT(mailbox_cut(out, &local, &domain) && slice_is_ascii(domain));
		ASSERT(domain_normalise(&a, domain, &domain) == 0);
		(void)domain_display(&a, domain);
		(void)!mailbox_key(&a, s, &out);
	}
	return 0;
}
