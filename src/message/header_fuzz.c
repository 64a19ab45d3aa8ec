/* header_fuzz.c: any bytes as a header; fields lie in order inside it. */
#include "message/header.h"

#include "message/threads.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice raw = slice_of(data, size);
	struct limits limits;
	struct message_thread t;
	struct header h;
	ARENA_CLEANUP struct arena a;
	const uint8_t *end = data;

	limits_default(&limits);
	arena_init(&a, 64 << 20);
	ASSERT(header_parse(&a, raw, &limits, &h) == 0);
	ASSERT(h.size <= size);
	for (size_t i = 0; i < h.n; i++) {
		ASSERT(h.v[i].raw.p >= end && h.v[i].raw.p + h.v[i].raw.n <= data + size);
		end = h.v[i].raw.p + h.v[i].raw.n;
		ASSERT(header_name_is_valid(h.v[i].name));
		ASSERT(slice_find_byte(header_unfold(&a, h.v[i].value), '\n') == SLICE_NONE);
		ASSERT(slice_is_utf8(header_text(&a, h.v[i].value, CHARSET_THREAD), true));
	}
	ASSERT(message_thread_parse(&a, &h, CHARSET_THREAD, &t) == 0);
	return 0;
}
