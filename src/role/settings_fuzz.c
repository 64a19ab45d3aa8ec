/* Any bytes as the settings of a house; what is accepted can be printed and is accepted again. */
#include "role/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size);
	struct buf detail, out;
	struct settings *s;

	buf_init(&detail, 1 << 16);
	buf_init(&out, 1 << 20);
	if (settings_parse(&s, in, &detail) == 0) {
		settings_free(&s);
		ASSERT(settings_print_diff(in, &out, &detail) == 0);
		ASSERT(settings_parse(&s, buf_slice(&out), &detail) == 0);
		settings_free(&s);
	} else {
		ASSERT(s == NULL);
	}
	buf_free(&out);
	buf_free(&detail);
	return 0;
}
