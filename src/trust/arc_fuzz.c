/* ARC sets of strangers: read, verified, and sealed once more; and our own results gathered out of them. */
#include "trust/arc.h"

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

static int
sign(void *of, const struct dkim_signing_key *keys, const uint8_t (*hashes)[DKIM_HASH_BYTES], size_t n, struct arena *a,
    struct slice *signatures)
{
	(void)of;
	(void)keys;
	for (size_t i = 0; i < n; i++)
		signatures[i] = arena_copy(a, slice_of(hashes[i], DKIM_HASH_BYTES));
	return 0;
}

static struct dkim_reader *
read_in(struct slice text, enum dkim_reading what, const struct limits *l)
{
	struct dkim_reader *r;

	ASSERT(dkim_reader_new(&r, l, what) == 0);
	dkim_reader_feed(r, text);
	ASSERT(dkim_reader_end(r) == 0);
	return r;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const struct trust_dns dns = {.query = query};
	static const struct dkim_signer signer = {.sign = sign};
	struct arc_sealing s = {.key = {SLICE_INIT("example.org"), SLICE_INIT("k"), DKIM_ED25519_SHA256}};
	struct buf results BUF_CLEANUP, fields BUF_CLEANUP;
	struct arena a ARENA_CLEANUP;
	struct arc_result r;
	struct limits l;
	struct dkim_reader *reader;

	limits_default(&l);
	arena_init(&a, 64 << 20);
	buf_init(&results, 1 << 20);
	buf_init(&fields, 1 << 20);
	reader = read_in(slice_of(p, n), DKIM_VERIFYING, &l);
	ASSERT(arc_verify(reader, &dns, 1528640000, &a, &r) == 0);
	ASSERT(r.reason.n > 0 && (r.result == TRUST_PASS) == (r.n > 0));
	arc_results_gather(dkim_reader_header(reader), SLICE("mx.test"), &results, &s.chain);
	s.chain = r.result;
	dkim_reader_free(&reader);
	reader = read_in(slice_of(p, n), DKIM_SIGNING, &l);
	s.results = buf_slice(&results);
	if (arc_seal(reader, &s, &signer, &a, &fields) == 0 && fields.n > 0)
		ASSERT(slice_starts(buf_slice(&fields), SLICE("ARC-Seal: ")) &&
		    slice_ends(buf_slice(&fields), SLICE("\r\n")));
	dkim_reader_free(&reader);
	return 0;
}
