/* trust_dns.h: how everything in this room asks DNS: through a table of one function. Behind it is the resolver of the process
 * (where there is a loop: the call parks the fiber), or a zone file (zone_file.h). */
#ifndef TRUST_TRUST_DNS_H
#define TRUST_TRUST_DNS_H

#include "base/arena.h"

/* RFC 1035 §3.2.2, RFC 3596: the numbers of the wire. */
enum trust_dns_type {
	TRUST_DNS_A = 1,
	TRUST_DNS_CNAME = 5,
	TRUST_DNS_PTR = 12,
	TRUST_DNS_MX = 15,
	TRUST_DNS_TXT = 16,
	TRUST_DNS_AAAA = 28
};

enum trust_dns_status {
	TRUST_DNS_FOUND,    /* records, at least one */
	TRUST_DNS_NO_NAME,  /* NXDOMAIN; also for what cannot be a name in DNS */
	TRUST_DNS_NO_DATA,  /* the name exists, without such records */
	TRUST_DNS_TEMPORARY /* SERVFAIL, a timeout, or validation failed: later perhaps */
};

struct trust_record {
	struct slice data;   /* TXT: its strings joined. A, AAAA: 4 or 16 bytes. PTR, MX: the name in lower case
			      * without final dot; empty for the root, as of a null MX */
	uint16_t preference; /* MX */
};

struct trust_answer {
	enum trust_dns_status status;
	bool secure; /* validated with DNSSEC */
	const struct trust_record *v;
	size_t n;
};

/* `name` is ASCII without final dot; aliases (CNAME) are followed. What *out points at lives as long as the arena. 0 whenever
 * *out is filled, whatever its status; ERR_NOMEM (also when the arena is full), ERR_CANCELLED. */
typedef int trust_dns_query_fn(
    void *of, struct slice name, enum trust_dns_type type, struct arena *a, struct trust_answer *out);

struct trust_dns {
	trust_dns_query_fn *query;
	void *of;
};

/* As the table's function, but what cannot be asked (labels of none or more than 63 bytes, more than 253 in all) is answered
 * here: TRUST_DNS_NO_NAME. A final dot is taken away. */
NODISCARD int trust_dns_ask(
    const struct trust_dns *d, struct slice name, enum trust_dns_type type, struct arena *a, struct trust_answer *out);
/* "TXT", "MX", … A static string. */
const char *trust_dns_type_name(enum trust_dns_type type);
/* Is it a name of one or more labels, each of 1 to 63 bytes, 253 in all (RFC 1035 §2.3.4)? Without final dot. */
bool trust_dns_is_name(struct slice name);

#endif
