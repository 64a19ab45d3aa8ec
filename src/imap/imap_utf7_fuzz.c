/* Whatever decodes must encode back to the same bytes: there is one encoding of a name. */
#include "imap/imap_utf7.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct buf BUF_CLEANUP utf8;
	struct buf BUF_CLEANUP back;

	buf_init(&utf8, 1 << 20);
	buf_init(&back, 1 << 20);
	if (imap_utf7_decode(slice_of(p, n), &utf8) == 0) {
		ASSERT(slice_is_utf8(buf_slice(&utf8), true));
		ASSERT(imap_utf7_encode(buf_slice(&utf8), &back) == 0);
		ASSERT(slice_eq(buf_slice(&back), slice_of(p, n)));
	}
	buf_reset(&utf8);
	buf_reset(&back);
	if (imap_utf7_encode(slice_of(p, n), &utf8) == 0) {
		ASSERT(imap_utf7_decode(buf_slice(&utf8), &back) == 0);
		ASSERT(slice_eq(buf_slice(&back), slice_of(p, n)));
	}
	return 0;
}
