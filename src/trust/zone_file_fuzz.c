/* Master files: the first line is a name to ask for, the rest a zone. Answers are well formed whatever the zone is. */
#include "trust/zone_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
look(const struct trust_dns *dns, struct slice name)
{
	static const enum trust_dns_type types[] = {
	    TRUST_DNS_A, TRUST_DNS_CNAME, TRUST_DNS_PTR, TRUST_DNS_MX, TRUST_DNS_TXT, TRUST_DNS_AAAA};
	struct arena a ARENA_CLEANUP;

	arena_init(&a, 64 << 20);
	for (size_t t = 0; t < COUNT_OF(types); t++) {
		struct trust_answer answer;

		if (trust_dns_ask(dns, name, types[t], &a, &answer) != 0)
			continue;
		ASSERT((answer.status == TRUST_DNS_FOUND) == (answer.n > 0));
		for (size_t i = 0; i < answer.n; i++) {
			struct slice data = answer.v[i].data;

			if (types[t] == TRUST_DNS_A)
				ASSERT(data.n == 4);
			else if (types[t] == TRUST_DNS_AAAA)
				ASSERT(data.n == 16);
			else if (types[t] != TRUST_DNS_TXT)
				ASSERT(data.n == 0 || trust_dns_is_name(data));
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct slice rest = slice_of(p, n), name = slice_cut(&rest, '\n');
	ZONE_FILE_CLEANUP struct zone_file *z = NULL;
	BUF_CLEANUP struct buf detail;
	struct trust_dns dns;
	int e;

	buf_init(&detail, 10000);
	e = zone_file_new(&z, rest, &detail);
	ASSERT(e == 0 || e == ERR_NOMEM || (e == ERR_SYNTAX && slice_starts(buf_slice(&detail), SLICE("line "))));
	if (e != 0)
		return 0;
	dns = zone_file_dns(z);
	look(&dns, name);
	look(&dns, SLICE("example.org"));
	look(&dns, SLICE("x.wild.example.org"));
	return 0;
}
