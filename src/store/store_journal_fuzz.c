/* A journal of arbitrary bytes, and one whose record is arbitrary but was written to its end. */
#include "store/store_journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
see(void *arg, const struct journal_record *r)
{
	size_t *n = arg;

	ASSERT(r->op <= STORE_FLAGS_REMOVE && r->keywords.n % 2 == 0);
	for (size_t i = 0; i < r->runs_n; i++)
		*n += r->runs[i].hi >= r->runs[i].lo;
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t room[JOURNAL_FRAME_BYTES];
	struct buf BUF_CLEANUP whole, record;
	struct arena ARENA_CLEANUP mem;
	size_t n = 0;

	arena_init(&mem, 4u << 20);
	buf_init(&record, 1u << 22);
	buf_init(&whole, 1u << 23);
	ASSERT(journal_each(slice_of(data, size), &mem, see, &n) == 0);
	buf_put(&record, slice_of(room, sizeof(room)));
	buf_put(&record, slice_of(data, size));
	journal_frame(&record, 7);
	buf_put(&whole, SLICE("phflags1 the boot id 16 b"));
	buf_truncate(&whole, 8 + STORE_ID_BYTES);
	for (int i = 0; i < 2; i++)
		buf_put(&whole, buf_slice(&record));
	ASSERT(whole.err != 0 || journal_each(buf_slice(&whole), &mem, see, &n) == 0);
	return 0;
}
