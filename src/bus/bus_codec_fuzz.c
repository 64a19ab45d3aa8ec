/* Any bytes as any message: the first two choose the type, the form and the number of descriptors. What decodes encodes to
 * the same bytes again. */
#include "bus/bus_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const int fds[BUS_FDS_MAX] = {100, 101, 102, 103};
	int again[BUS_FDS_MAX];
	struct slice in = slice_of(data, size);
	enum bus_type type;
	struct arena a;
	struct buf out;
	uint64_t msg[64];
	size_t nfds;
	bool reply;

	if (size < 2)
		return 0;
	type = (enum bus_type)(1 + slice_at(in, 0) % (BUS_TYPE_COUNT - 1));
	reply = (slice_at(in, 1) & 1) != 0;
	nfds = (slice_at(in, 1) >> 1) % (BUS_FDS_MAX + 1);
	in = slice_from(in, 2);
	arena_init(&a, 1 << 20);
	buf_init(&out, 1 << 20);
	if (bus_decode(type, reply, in, fds, nfds, &a, msg) == 0) {
		size_t n;

		ASSERT(bus_encode(type, reply, msg, &out, again, &n, BUS_FDS_MAX) == 0);
		ASSERT(n == nfds && memcmp(again, fds, n * sizeof(int)) == 0);
		ASSERT(slice_eq(buf_slice(&out), in));
	}
	buf_free(&out);
	arena_free(&a);
	return 0;
}
