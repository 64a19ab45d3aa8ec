/* Whole messages, with keys for what they may be signed with: every result has its sentence, and how the message was cut does not
 * matter. */
#include "trust/dkim.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* RFC 8463 appendix A.2. */
static int
query(void *of, struct slice name, enum trust_dns_type type, struct arena *a, struct trust_answer *out)
{
	static const struct trust_record record = {
	    .data = SLICE_INIT("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")};

	(void)of;
	(void)a;
	ASSERT(type == TRUST_DNS_TXT && trust_dns_is_name(name));
	*out = (struct trust_answer){.status = TRUST_DNS_FOUND, .v = &record, .n = 1};
	return 0;
}

static void
verify(struct slice text, size_t piece, struct arena *a, struct dkim_results *out)
{
	static const struct trust_dns dns = {.query = query};
	struct dkim_reader *r;
	struct limits l;

	limits_default(&l);
	ASSERT(dkim_reader_new(&r, &l, DKIM_VERIFYING) == 0);
	for (; text.n > 0; text = slice_from(text, text.n < piece ? text.n : piece))
		dkim_reader_feed(r, slice_head(text, piece));
	ASSERT(dkim_reader_end(r) == 0);
	ASSERT(dkim_verify(r, &dns, 1528640000, a, out) == 0);
	dkim_reader_free(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct dkim_results whole, cut;
	struct arena a ARENA_CLEANUP;

	arena_init(&a, 64 << 20);
	verify(slice_of(p, n), SIZE_MAX / 2, &a, &whole);
	verify(slice_of(p, n), n == 0 ? 1 : 1 + p[n - 1] % 32, &a, &cut);
	ASSERT(whole.n == cut.n && whole.skipped == cut.skipped);
	for (size_t i = 0; i < whole.n; i++)
		ASSERT(whole.v[i].reason.n > 0 && whole.v[i].result == cut.v[i].result);
	return 0;
}
