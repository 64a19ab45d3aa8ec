/* Headers of the PROXY protocol: a prefix of a header asks for more and never for more than the header has; the same header is
 * read whatever follows it. */
#include "rt/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct slice in = slice_of(p, n);
	struct proxy_header whole, part;
	size_t size, step;
	int e = proxy_header_parse(in, &size, &whole);

	ASSERT(e == 0 || e == ERR_BUSY || e == ERR_SYNTAX);
	if (e == ERR_BUSY)
		ASSERT(size > n && size <= PROXY_HEADER_V2_MAX);
	if (e != 0)
		return 0;
	ASSERT(size <= n && size <= PROXY_HEADER_V2_MAX);
	/* As a stream gives it: each time as much as was asked for. */
	for (size_t have = 0; have < size; have = step) {
		ASSERT(proxy_header_parse(slice_head(in, have), &step, &part) == ERR_BUSY);
		ASSERT(step > have && step <= size);
	}
	ASSERT(proxy_header_parse(slice_head(in, size), &step, &part) == 0 && step == size);
	ASSERT(part.known == whole.known && memcmp(&part.client, &whole.client, sizeof(part.client)) == 0);
	if (whole.known) {
		char text[NET_ADDRESS_TEXT_MAX];

		net_address_text(&whole.client, text);
		ASSERT(text[0] != '\0');
	}
	return 0;
}
