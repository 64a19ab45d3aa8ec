/* Answers of any server. */
#include "move/move_answer.h"

#include "base/house.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena ARENA_CLEANUP a;
	struct move_answer out;
	struct house h;
	uint32_t n;
	uint64_t modseq = 0;

	house_init(&h, "fuzz");
	arena_init(&a, 4u << 20);
	move_answer_parse(slice_of(data, size), &h.limits, &a, &out);
	for (size_t i = 0; i < out.keywords.n; i++)
		ASSERT(store_keyword_valid(&h.limits, out.keywords.v[i]));
	ASSERT(!out.has_uid || out.kind != MOVE_ANSWER_FETCH || out.uid > 0);
	(void)move_answer_code_number(out.code, SLICE("UIDVALIDITY"), &n);
	(void)move_answer_code_number64(out.code, SLICE("HIGHESTMODSEQ"), &modseq);
	ASSERT(modseq <= INT64_MAX);
	(void)move_answer_is_throttle(&out);
	return 0;
}
