/* Addresses of strangers: the key of a key is itself, and the parts lie within it. */
#include "directory/directory_address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct directory_address at, again;
	struct slice user, tag;
	struct arena a;

	arena_init(&a, 1 << 20);
	if (directory_address_parse(slice_of(data, n), true, &a, &at) == 0) {
		ASSERT(slice_is_utf8(at.key, true));
		ASSERT(at.key.n == at.local.n + 1 + at.domain.n);
		ASSERT(slice_starts(at.key, at.local) && slice_ends(at.key, at.domain));
		if (directory_split_tag(at.local, &user, &tag))
			ASSERT(user.n > 0 && user.n + 1 + tag.n == at.local.n);
		/* what is stored as spelt leads back to the same key */
		if (at.domain.n > 0 && directory_address_parse(at.spelt, true, &a, &again) == 0)
			ASSERT(slice_eq(at.key, again.key));
	}
	arena_free(&a);
	return 0;
}
