/* Names of folders from anywhere: what comes out is a name that the store takes, and one that is written can be read again. */
#include "move/move_name.h"

#include "base/house.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size), name, again, raw;
	uint8_t delimiter = in.n > 0 ? slice_at(in, 0) : '.';
	struct arena ARENA_CLEANUP a;
	struct house h;
	int err;

	house_init(&h, "fuzz");
	arena_init(&a, 16u << 20);
	err = move_name_read(slice_from(in, in.n > 0), delimiter, SLICE("INBOX."), &h.limits, &a, &name);
	if (err != 0)
		return 0;
	ASSERT(store_name_normal(&h.limits, name, &a, &again) == 0 && slice_eq(again, name));
	(void)move_name_role(name);
	if (move_name_write(name, '.', SLICE("INBOX."), &a, &raw) == 0)
		(void)!move_name_read(raw, '.', SLICE("INBOX."), &h.limits, &a, &again);
	return 0;
}
