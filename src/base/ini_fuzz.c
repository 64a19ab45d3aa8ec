/* Any bytes as a configuration file: no crash, and complaints when it is refused. */
#include "base/ini.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct buf detail;
	struct ini ini;
	int err;

	arena_init(&a, 1 << 20);
	buf_init(&detail, 1 << 16);
	err = ini_parse(slice_of(data, size), &a, &ini, &detail);
	ASSERT(err == 0 || err == ERR_NOMEM || detail.n > 0);
	buf_free(&detail);
	arena_free(&a);
	return 0;
}
