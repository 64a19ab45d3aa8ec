/* words_fuzz.c: any bytes as header text: the result is UTF-8 without control characters; valid text encoded reads
 * back as it was. */
#include "message/words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size);
	BUF_CLEANUP struct buf b;
	BUF_CLEANUP struct buf coded;
	BUF_CLEANUP struct buf back;

	buf_init(&b, size * 4 + 64);
	words_decode(in, CHARSET_THREAD, &b);
	ASSERT(b.err == 0 && slice_is_utf8(buf_slice(&b), true) && slice_find_byte(buf_slice(&b), '\n') == SLICE_NONE);
	/* What was decoded has no control characters, so it must survive the way there and back. */
	buf_init(&coded, b.n * 10 + 256);
	buf_init(&back, coded.max * 4);
	words_encode(buf_slice(&b), 10, &coded);
	ASSERT(coded.err == 0 && slice_is_ascii(buf_slice(&coded)));
	words_decode(buf_slice(&coded), CHARSET_FIBER, &back);
	ASSERT(slice_eq(buf_slice(&back), buf_slice(&b)));
	return 0;
}
