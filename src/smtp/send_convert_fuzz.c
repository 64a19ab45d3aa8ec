/* Converted messages: fit for where they go, and never longer than encoding makes them. */
#include "smtp/send_convert.h"

#include "message/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct slice message = slice_of(p, n);
	struct limits limits;

	limits_default(&limits);
	for (int i = 0; i < 4; i++) {
		struct arena a ARENA_CLEANUP;
		struct buf out BUF_CLEANUP;
		int e;

		arena_init(&a, mime_arena_max(&limits, n));
		buf_init(&out, n * 5 + 100000);
		e = smtp_convert_message(&a, message, (i & 1) != 0, (i & 2) != 0, &limits, &out);
		ASSERT(e == 0 || e == ERR_UNSUPPORTED || e == ERR_LIMIT || e == ERR_NOMEM);
	}
	return 0;
}
