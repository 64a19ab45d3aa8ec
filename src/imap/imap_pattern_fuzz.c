/* The automaton against the definition written down naively (exponential, so short inputs only). First byte: where the
 * pattern ends and the name begins. */
#include "imap/imap_pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static bool
naive(struct slice pat, struct slice name)
{
	if (pat.n == 0)
		return name.n == 0;
	if (slice_at(pat, 0) == '*' || slice_at(pat, 0) == '%') {
		if (naive(slice_from(pat, 1), name))
			return true;
		return name.n > 0 && (slice_at(pat, 0) == '*' || slice_at(name, 0) != '/') &&
		    naive(pat, slice_from(name, 1));
	}
	return name.n > 0 && slice_at(pat, 0) == slice_at(name, 0) && naive(slice_from(pat, 1), slice_from(name, 1));
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct arena ARENA_CLEANUP a;
	struct imap_pattern *c;
	struct slice pattern, name;
	size_t cut;

	if (n < 1 || n > 20)
		return 0;
	cut = 1 + p[0] % n;
	pattern = slice_of(p + 1, cut - 1);
	name = slice_of(p + cut, n - cut);
	arena_init(&a, 1 << 20);
	c = imap_pattern_new(&a, SLICE_EMPTY, pattern, 20);
	ASSERT(c != NULL);
	ASSERT(imap_pattern_match(c, name, false) == naive(pattern, name));
	return 0;
}
