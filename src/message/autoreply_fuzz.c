/* Whatever a header says, it is judged, and what an answer takes over from it is text in one line. */
#include "message/autoreply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct limits limits;
	struct slice_list to;
	struct autoreply about;
	struct header h;
	struct arena a;

	limits_default(&limits);
	arena_init(&a, 8 << 20);
	if (header_parse(&a, slice_of(data, n), &limits, &h) == 0) {
		(void)autoreply_refusal(&h, slice_head(slice_of(data, n), 40));
		if (autoreply_recipients(&a, &h, 10, &to) == 0)
			ASSERT(to.n <= 10);
		if (autoreply_make(&a, &h, &about) == 0) {
			ASSERT(slice_find_byte(about.subject, '\n') == SLICE_NONE);
			ASSERT(slice_is_utf8(about.subject, false));
			ASSERT(about.references.n <= 20);
		}
	}
	arena_free(&a);
	return 0;
}
