/* A set that parses: after resolving it is ordered and disjoint, and the walk agrees with membership. */
#include "imap/imap_sequence.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct arena ARENA_CLEANUP a;
	struct imap_lex x;
	struct imap_sequence s;
	struct imap_walk w = {0};
	uint32_t max, expect = 1;

	if (n < 1)
		return 0;
	arena_init(&a, 1 << 20);
	max = p[0] % 40u;
	x = imap_lex_of(slice_of(p + 1, n - 1), &a, 50);
	s = imap_lex_sequence(&x);
	if (imap_lex_failed(&x))
		return 0;
	(void)imap_sequence_beyond(&s, max);
	imap_sequence_resolve(&s, max);
	for (size_t i = 0; i < s.n; i++) {
		ASSERT(s.v[i].lo >= 1 && s.v[i].lo <= s.v[i].hi);
		ASSERT(i == 0 || s.v[i].lo > s.v[i - 1].hi);
	}
	for (uint32_t k; (k = imap_sequence_next(&s, &w, max)) != 0; expect = k + 1) {
		for (; expect < k; expect++)
			ASSERT(!imap_sequence_has(&s, expect));
		ASSERT(imap_sequence_has(&s, k) && k <= max);
	}
	for (; expect <= max; expect++)
		ASSERT(!imap_sequence_has(&s, expect));
	return 0;
}
