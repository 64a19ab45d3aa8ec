/* Whatever the header: what comes out needs no surrogate any more, unless it was too much. */
#include "message/surrogate.h"

#include "base/house.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice header = slice_of(data, n);
	struct buf out BUF_CLEANUP;
	struct house h;

	house_init(&h, "fuzz");
	buf_init(&out, 1 << 22);
	surrogate_header(header, &h.limits, &out);
	if (out.err == 0)
		ASSERT(!surrogate_needed(buf_slice(&out), &h.limits));
	return 0;
}
