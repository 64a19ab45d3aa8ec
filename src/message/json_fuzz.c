/* json_fuzz.c: any bytes as a whole message, printed both ways. */
#include "message/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct house h;
	BUF_CLEANUP struct buf b;

	house_init(&h, "fuzz");
	buf_init(&b, 256 << 20);
	ASSERT(message_print_json(&h, slice_of(data, size), &b) == 0);
	ASSERT(slice_is_utf8(buf_slice(&b), true));
	ASSERT(message_print_text(&h, slice_of(data, size), &b) == 0);
	return 0;
}
