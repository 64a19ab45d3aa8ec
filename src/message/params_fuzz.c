/* params_fuzz.c: any bytes as a Content-Type value; what is written from a value reads back as that value. */
#include "message/params.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct limits limits;
	struct mime_params p, again;
	struct slice value, ignored;
	ARENA_CLEANUP struct arena a;

	limits_default(&limits);
	limits.message_parameters = 20;
	arena_init(&a, 64 << 20);
	ASSERT(params_parse(&a, slice_of(data, size), &limits, CHARSET_THREAD, &value, &p) == 0);
	for (size_t i = 0; i < p.n; i++) {
		BUF_CLEANUP struct buf b;
		struct slice name, wire;
		size_t column = 10;

		ASSERT(slice_is_utf8(p.v[i].value, true));
		params_wire(&a, &p.v[i], &name, &wire);
		ASSERT(slice_is_ascii(name) && slice_is_ascii(wire));
		/* 10 sections a parameter are read; an encoded word inside a value would be decoded once more. */
		if (p.v[i].value.n > 100 || slice_find(p.v[i].value, SLICE("=?")) != SLICE_NONE)
			continue;
		buf_init(&b, 64 << 10);
		buf_put(&b, SLICE("x/y"));
		params_put(&b, SLICE("name"), p.v[i].value, &column);
		ASSERT(params_parse(&a, buf_slice(&b), &limits, CHARSET_FIBER, &ignored, &again) == 0);
		ASSERT(again.n == 1 && slice_eq(again.v[0].value, p.v[i].value));
	}
	return 0;
}
