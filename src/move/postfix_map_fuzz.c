/* Any text as a map of Postfix. */
#include "move/postfix_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (int colon = 0; colon < 2; colon++) {
		struct postfix_map m;
		struct postfix_entry e;
		int err;

		postfix_map_init(&m, slice_of(data, size), colon == 1);
		while ((err = postfix_map_next(&m, &e)) != 0) {
			struct slice value, rest = e.value;

			ASSERT(err != 1 || e.key.n > 0);
			while (err == 1 && postfix_value_next(&rest, &value))
				ASSERT(value.n > 0);
		}
		postfix_map_free(&m);
	}
	return 0;
}
