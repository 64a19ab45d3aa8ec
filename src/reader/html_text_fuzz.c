/* html_text_fuzz.c: any bytes as an HTML document: the text is valid UTF-8, and the memory is bounded. */
#include "reader/html_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size), charset = html_charset(in);
	BUF_CLEANUP struct buf b;
	int err;

	ASSERT(charset.n <= size);
	buf_init(&b, size * 16 + 64);
	err = html_text(in, 16u << 20, &b);
	ASSERT((err == 0 || err == ERR_LIMIT) && slice_is_utf8(buf_slice(&b), false));
	return 0;
}
