/* Names of mailboxes: what is accepted is a fixed point, within limits and without anything that could hurt. */
#include "store/store_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct house h;
	struct arena ARENA_CLEANUP a;
	struct slice out, again;

	house_init(&h, "fuzz");
	arena_init(&a, 1u << 20);
	(void)store_keyword_valid(&h.limits, slice_of(data, size));
	if (store_name_normal(&h.limits, slice_of(data, size), &a, &out) != 0)
		return 0;
	ASSERT(out.n > 0 && out.n <= (size_t)h.limits.mailbox_name_bytes && slice_is_utf8(out, true));
	ASSERT(slice_at(out, 0) != '/' && slice_at(out, out.n - 1) != '/');
	ASSERT(store_name_normal(&h.limits, out, &a, &again) == 0 && slice_eq(out, again));
	return 0;
}
