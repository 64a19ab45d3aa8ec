/* SPF as a whole: the first line is "address helo sender", the rest a zone file. Every check ends, within its limits. */
#include "trust/reverse.h"
#include "trust/spf.h"
#include "trust/zone_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct counted {
	struct trust_dns zone;
	unsigned questions;
};

static int
query(void *of, struct slice name, enum trust_dns_type type, struct arena *a, struct trust_answer *out)
{
	struct counted *c = of;

	c->questions++;
	return c->zone.query(c->zone.of, name, type, a, out);
}

static void
check(struct spf_question *q, struct counted *c, enum spf_identity identity)
{
	struct arena a ARENA_CLEANUP;
	struct spf_result r;

	c->questions = 0;
	arena_init(&a, 1 << 20);
	ASSERT(spf_check(q, identity, &a, &r) == 0);
	ASSERT(c->questions <= 10 * 11 + 12);
	ASSERT(r.lookups <= SPF_LOOKUPS_MAX + 1 && r.reason.n > 0 && r.result != TRUST_POLICY);
	ASSERT(r.explanation.n == 0 || r.result == TRUST_FAIL);
	for (size_t i = 0; i < r.explanation.n; i++)
		ASSERT(slice_at(r.explanation, i) >= ' ' && slice_at(r.explanation, i) <= '~');
	for (size_t i = 0; i < r.reason.n; i++)
		ASSERT(slice_at(r.reason, i) >= ' ' && slice_at(r.reason, i) <= '~');
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct slice rest = slice_of(p, n), line = slice_cut(&rest, '\n'), ip = slice_cut(&line, ' ');
	ZONE_FILE_CLEANUP struct zone_file *z = NULL;
	BUF_CLEANUP struct buf detail;
	struct counted c = {.questions = 0};
	struct arena a ARENA_CLEANUP;
	struct iprev_result iprev;
	struct house house;
	struct spf_question q = {
	    .dns = {.query = query, .of = &c}, .house = &house, .receiver = SLICE("mx.example.org")};

	arena_init(&a, 1 << 20);
	buf_init(&detail, 10000);
	if (net_address_parse(ip, 0, &q.client) != 0 || zone_file_new(&z, rest, &detail) != 0)
		return 0;
	house_init(&house, "fuzz");
	c.zone = zone_file_dns(z);
	q.helo = slice_cut(&line, ' ');
	q.sender = line;
	check(&q, &c, SPF_HELO);
	check(&q, &c, SPF_MAIL_FROM);
	ASSERT(iprev_check(&c.zone, &q.client, &a, &iprev) == 0);
	return 0;
}
