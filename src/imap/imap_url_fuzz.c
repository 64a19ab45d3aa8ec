#include "imap/imap_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena ARENA_CLEANUP a;
	struct imap_url u;

	arena_init(&a, 1u << 20);
	if (imap_url_parse(slice_of(data, size), &a, &u) == 0 &&
	    (u.uid == 0 || u.mailbox.n > size || u.section.n > size))
		__builtin_trap();
	return 0;
}
