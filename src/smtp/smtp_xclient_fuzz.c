/* Arguments of XCLIENT: what is accepted is an address and a name that can stand in a Received field. */
#include "smtp/command.h"
#include "smtp/xclient.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char text[NET_ADDRESS_TEXT_MAX];
	struct smtp_xclient x;

	if (smtp_xclient_parse(slice_of(p, n), &x) != 0)
		return 0;
	if (x.has_helo)
		ASSERT(smtp_helo_is_valid(slice_z(x.helo)));
	if (x.has_address) {
		net_address_text(&x.address, text);
		ASSERT(text[0] != '\0');
	}
	return 0;
}
