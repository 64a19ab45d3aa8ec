/* Lists of tags, and what is read out of them. */
#include "trust/tag_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct arena a ARENA_CLEANUP;
	struct tag_list l;

	arena_init(&a, 1 << 20);
	if (tag_list_parse(slice_of(p, n), &l) != 0)
		return 0;
	ASSERT(l.n <= TAG_LIST_MAX);
	for (size_t i = 0; i < l.n; i++) {
		struct slice plain = tag_without_space(&a, l.v[i].value);

		ASSERT(tag_list_find(&l, l.v[i].name) == &l.v[i]);
		ASSERT(l.v[i].value.n <= l.v[i].span.n && plain.n <= l.v[i].value.n);
		ASSERT(slice_find_byte(plain, ' ') == SLICE_NONE || arena_failed(&a));
		(void)tag_names(l.v[i].value, l.v[0].name);
	}
	return 0;
}
