#include "trust/trust_dns.h"

#define NAME_BYTES_MAX 253
#define LABEL_BYTES_MAX 63

bool
trust_dns_is_name(struct slice name)
{
	if (name.n == 0 || name.n > NAME_BYTES_MAX)
		return false;
	while (name.p != NULL) {
		size_t n = slice_cut(&name, '.').n;

		if (n == 0 || n > LABEL_BYTES_MAX)
			return false;
	}
	return true;
}

int
trust_dns_ask(
    const struct trust_dns *d, struct slice name, enum trust_dns_type type, struct arena *a, struct trust_answer *out)
{
	*out = (struct trust_answer){.status = TRUST_DNS_NO_NAME};
	if (slice_ends(name, SLICE(".")))
		name = slice_head(name, name.n - 1);
	return trust_dns_is_name(name) ? d->query(d->of, name, type, a, out) : 0;
}

const char *
trust_dns_type_name(enum trust_dns_type type)
{
	switch (type) {
	case TRUST_DNS_A: return "A";
	case TRUST_DNS_CNAME: return "CNAME";
	case TRUST_DNS_PTR: return "PTR";
	case TRUST_DNS_MX: return "MX";
	case TRUST_DNS_TXT: return "TXT";
	case TRUST_DNS_AAAA: return "AAAA";
	}
	return "?";
}
