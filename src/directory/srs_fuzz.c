/* Any local part is read without harm, and what we make of any sender leads back to it. */
#include "directory/srs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct slice key = SLICE("0123456789abcdef0123456789abcdef"), in = slice_of(data, size);
	struct slice made, back;
	struct arena a;

	arena_init(&a, 1 << 20);
	(void)!srs_reverse(key, 1000000000, 21, in, &a, &back);
	if (srs_forward(key, 1000000000, in, SLICE("ours.test"), &a, &made) == 0) {
		struct slice local = slice_head(made, made.n - SLICE("@ours.test").n);

		ASSERT(srs_is(local));
		ASSERT(srs_reverse(key, 1000000000, 21, local, &a, &back) == 0 || slice_istarts(in, SLICE("srs1")));
	}
	arena_free(&a);
	return 0;
}
