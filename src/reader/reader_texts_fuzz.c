/* reader_texts_fuzz.c: any bytes as a coded request to a reader: what decodes is answered with valid UTF-8, an answer for
 * each input. */
#include "reader/reader_texts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bus_reader_texts_request q = {0};
	struct bus_reader_texts_reply reply = {0};
	struct limits l;
	ARENA_CLEANUP struct arena a;

	limits_default(&l);
	arena_init(&a, 64u << 20);
	if (bus_decode(BUS_reader_texts, false, slice_of(data, size), NULL, 0, &a, &q) != 0 ||
	    reader_texts(&l, &q, &a, &reply) != 0)
		return 0;
	ASSERT(reply.texts.n == q.inputs.n);
	for (size_t i = 0; i < reply.texts.n; i++)
		ASSERT(slice_is_utf8(reply.texts.v[i], false));
	return 0;
}
