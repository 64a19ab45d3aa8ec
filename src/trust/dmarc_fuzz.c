/* DMARC: a DNS whose records are the input, and a message of which all is too. Whatever they hold, the answer is sound and costs
 * a bounded number of questions. */
#include "trust/dmarc.h"

#define QUESTIONS_MAX (9 + 4 * 8 + 1)

struct source {
	struct slice rest;
	size_t questions;
};

static int
query(void *of, struct slice name, enum trust_dns_type type, struct arena *a, struct trust_answer *out)
{
	struct source *s = of;
	struct trust_record *v = ARENA_ARRAY(a, struct trust_record, 2);

	(void)name;
	(void)type;
	if (v == NULL)
		return ERR_NOMEM;
	s->questions++;
	v[0].data = slice_cut(&s->rest, '\n');
	v[1].data = SLICE("v=DMARC1; p=none");
	*out = (struct trust_answer){.v = v, .n = 1};
	if (v[0].data.n == 0)
		out->status = TRUST_DNS_NO_NAME;
	else if (slice_eq(v[0].data, SLICE("t")))
		out->status = TRUST_DNS_TEMPORARY;
	else
		out->n = slice_ends(v[0].data, SLICE("2")) ? 2 : 1;
	return 0;
}

static void
check_addresses(struct slice_list l)
{
	ASSERT(l.n <= DMARC_ADDRESSES_MAX);
	for (size_t i = 0; i < l.n; i++)
		ASSERT(slice_find_byte(l.v[i], '@') != SLICE_NONE && slice_find_byte(l.v[i], '\n') == SLICE_NONE);
}

static void
judge(struct arena *a, struct slice author, struct slice spf, struct slice signers, struct source *s)
{
	struct trust_dns dns = {query, s};
	struct dmarc_signature v[3] = {0};
	struct dmarc_input in = {
	    .author = author, .spf = TRUST_PASS, .spf_domain = spf, .signatures = v, .signatures_n = 3};
	struct dmarc_result r;

	for (size_t i = 0; i < 3; i++)
		v[i] = (struct dmarc_signature){
		    .domain = slice_cut(&signers, ' '), .result = i == 1 ? TRUST_TEMPERROR : TRUST_PASS};
	if (dmarc_evaluate(&dns, a, &in, &r) != 0)
		return;
	ASSERT(s->questions <= QUESTIONS_MAX);
	ASSERT(r.reason.n > 0);
	ASSERT(r.policy <= r.published);
	check_addresses(r.record.rua);
	check_addresses(r.record.ruf);
	ASSERT(r.result != TRUST_PASS || r.spf_aligned || v[0].aligned || v[2].aligned);
	ASSERT(r.result != TRUST_FAIL || !(r.spf_aligned || v[0].aligned || v[2].aligned));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice rest = slice_of(data, n), from = slice_cut(&rest, '\n'), spf = slice_cut(&rest, '\n'),
		     signers = slice_cut(&rest, '\n');
	struct arena a ARENA_CLEANUP;
	struct slice_list authors;
	struct source s = {rest, 0};
	bool complete;

	arena_init(&a, 4 << 20);
	if (dmarc_authors(&a, (struct slice_list){&from, 1}, 3, &authors, &complete) != 0 || authors.n == 0)
		return 0;
	judge(&a, authors.v[0], spf, signers, &s);
	return 0;
}
