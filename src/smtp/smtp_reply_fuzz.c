/* Replies of a remote server: what is kept of them is one line of UTF-8. */
#include "smtp/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	SMTP_REPLY_CLEANUP struct smtp_reply r;
	struct slice rest = slice_of(p, n), text;

	smtp_reply_init(&r, 1000);
	while (rest.n > 0) {
		int e = smtp_reply_line(&r, slice_cut(&rest, '\n'), &text);

		ASSERT(slice_is_utf8(buf_slice(&r.text), true));
		ASSERT(slice_find_byte(buf_slice(&r.text), '\n') == SLICE_NONE &&
		    slice_find_byte(buf_slice(&r.text), '\r') == SLICE_NONE);
		ASSERT(strlen(r.status) < SMTP_STATUS_MAX);
		if (e != 0)
			break;
		ASSERT(r.code >= 200 && r.code <= 599 && r.bytes <= 1000);
		if (r.complete)
			smtp_reply_reset(&r);
	}
	return 0;
}
