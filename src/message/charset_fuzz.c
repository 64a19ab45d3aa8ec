/* charset_fuzz.c: a charset name up to the first LF, then its bytes: the result is always valid UTF-8. */
#include "message/charset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_of(data, size), name = slice_cut(&rest, '\n');

	for (int place = CHARSET_FIBER; place <= CHARSET_THREAD; place++) {
		BUF_CLEANUP struct buf b;

		buf_init(&b, size * 16 + 64);
		(void)charset_to_utf8(name, rest, (enum charset_place)place, &b);
		ASSERT(b.err == 0 && slice_is_utf8(buf_slice(&b), false));
	}
	return 0;
}
