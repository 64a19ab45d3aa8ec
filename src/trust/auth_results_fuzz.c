/* Authentication-Results of strangers: reading them; and what is written of their words can be read again, as one field. */
#include "trust/auth_results.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* No line of it begins with anything but white space. */
static void
check_one_field(struct slice s)
{
	for (size_t i = 0; i + 1 < s.n; i++)
		ASSERT(slice_at(s, i) != '\n' || slice_at(s, i + 1) == '\t');
	ASSERT(s.n == 0 || slice_at(s, s.n - 1) != '\n');
}

static void
write_again(struct slice word)
{
	struct arena a ARENA_CLEANUP;
	struct buf out BUF_CLEANUP;
	struct auth_results w;
	struct auth_results_field f;

	buf_init(&out, 1 << 20);
	arena_init(&a, 4 << 20);
	auth_results_begin(&w, &out, SLICE("mx.example.org"));
	auth_results_put(&w, "spf", TRUST_PASS, word);
	auth_results_property(&w, "smtp.mailfrom", word);
	auth_results_comment(&w, word);
	auth_results_put(&w, "iprev", TRUST_FAIL, SLICE_EMPTY);
	auth_results_end(&w);
	check_one_field(buf_slice(&out));
	ASSERT(auth_results_parse(&a, buf_slice(&out), &f) == 0);
	ASSERT(f.n == 2 && slice_eq(f.v[1].method, SLICE("iprev")));
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct slice value = slice_of(p, n);
	struct slice_list own = SLICE_LIST(SLICE("mx.example.org"));
	struct arena a ARENA_CLEANUP;
	struct auth_results_field f;
	enum auth_results_author whole = auth_results_author(value, own, true), part;

	ASSERT(whole != AUTH_RESULTS_UNKNOWN);
	part = auth_results_author(slice_head(value, n / 2), own, false);
	/* What was known early is not taken back. */
	ASSERT(part == AUTH_RESULTS_UNKNOWN || part == whole);
	arena_init(&a, 8 << 20);
	if (auth_results_parse(&a, value, &f) == 0)
		ASSERT(f.id.n > 0 && f.n <= AUTH_RESULTS_ITEMS_MAX);
	write_again(value);
	return 0;
}
