/* Macros of SPF: the first line is the text, the second the local part, the third the HELO, the fourth the domain. Whatever they
 * are, a name and an explanation stay within their bounds. */
#include "trust/spf_macro.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define EXPLAIN_MAX 400

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct slice rest = slice_of(p, n), text = slice_cut(&rest, '\n');
	struct client_ip ip = {.bytes = {0x20, 1, 0xd, 0xb8, [15] = 1}, .n = n % 2 == 0 ? 4 : 16};
	struct spf_values values = {.ip = &ip, .receiver = SLICE("mx.example.org"), .validated = SLICE("unknown")};
	struct arena a ARENA_CLEANUP;
	struct slice out;

	values.local = slice_head(slice_cut(&rest, '\n'), 300);
	values.helo = slice_head(slice_cut(&rest, '\n'), 300);
	values.domain = values.sender_domain = slice_head(rest, 300);
	arena_init(&a, 1 << 20);
	if (spf_macro_check(text, SPF_MODIFIER) == 0)
		ASSERT(spf_macro_check(text, SPF_EXPLAIN) == 0);
	if (spf_macro_check(text, SPF_DOMAIN_SPEC) == 0) {
		ASSERT(spf_macro_check(text, SPF_MODIFIER) == 0 && !spf_macro_uses(text, 'c'));
		ASSERT(spf_macro_domain(text, &values, &a, &out) == 0);
		ASSERT(out.n <= 253 || slice_find_byte(out, '.') == SLICE_NONE);
	}
	if (spf_macro_check(text, SPF_EXPLAIN) == 0) {
		ASSERT(spf_macro_explain(text, &values, EXPLAIN_MAX, &a, &out) == 0);
		ASSERT(out.n <= EXPLAIN_MAX);
		if (slice_find_byte(text, '%') == SLICE_NONE)
			ASSERT(slice_eq(out, slice_head(text, EXPLAIN_MAX)));
	}
	return 0;
}
