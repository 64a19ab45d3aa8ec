/* Whatever is typed is a time of this calendar, or refused. */
#include "base/moment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	int64_t begin, end;

	if (moment_parse(slice_of(data, n), false, &begin) == 0) {
		ASSERT(moment_parse(slice_of(data, n), true, &end) == 0);
		ASSERT(end >= begin && end - begin <= (int64_t)86400 * 1000000);
	}
	return 0;
}
