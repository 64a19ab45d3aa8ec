/* report_zip_fuzz.c: any bytes as a zip archive: what is found in it lies within it. */
#include "reader/report_zip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct report_zip_file f;
	const char *why = NULL;

	if (report_zip_find(slice_of(data, size), 20, &f, &why) != 0) {
		ASSERT(why != NULL);
		return 0;
	}
	ASSERT(f.name.n > 0 && f.name.n <= size && f.packed.n <= size);
	ASSERT(f.packed.n == 0 || (f.packed.p >= data && f.packed.p + f.packed.n <= data + size));
	return 0;
}
