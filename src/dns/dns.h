/* dns.h: DNS questions from fibers, answered by libunbound in its own thread, DNSSEC validated. */
#ifndef DNS_DNS_H
#define DNS_DNS_H

#include "base/arena.h"
#include "base/buf.h"
#include "rt/fiber.h"
#include "rt/net.h"

struct dns;

enum dns_type {
	DNS_A = 1,
	DNS_CNAME = 5,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_SRV = 33,
	DNS_TLSA = 52
};

struct dns_config {
	struct slice_list forwarders;    /* "address" or "address@port"; empty with resolv_conf NULL: full recursion */
	const char *resolv_conf;         /* "/etc/resolv.conf" or NULL */
	struct slice_list trust_anchors; /* DS or DNSKEY records in text form */
	struct slice_list stubs;         /* "zone=address@port": authoritative servers for a zone (tests) */
	struct slice_list insecure;      /* zones never validated */
};

enum dns_status {
	DNS_OK,       /* records were found */
	DNS_NXDOMAIN, /* the name does not exist */
	DNS_NODATA,   /* it exists without such records */
	DNS_TEMPFAIL, /* SERVFAIL, timeout, unreachable: try later */
	DNS_BOGUS     /* DNSSEC validation failed: treat as DNS_TEMPFAIL, and say so */
};

struct dns_answer {
	enum dns_status status;
	bool secure;             /* validated with DNSSEC */
	struct slice canonical;  /* the name after CNAMEs, or empty */
	struct slice_list rdata; /* wire form of each record */
	uint32_t ttl_s;
};

struct dns_mx {
	uint16_t preference;
	struct slice host; /* lower case, no final dot; empty for the null MX (RFC 7505) */
};

struct dns_srv { /* RFC 2782 */
	uint16_t priority, weight, port;
	struct slice host; /* as in struct dns_mx; empty: there is no such service */
};

struct dns_tlsa { /* RFC 6698 §2.1 */
	uint8_t usage, selector, matching;
	struct slice data; /* of rdata */
};

/* Since dns_new(). */
struct dns_counters {
	int64_t questions;
	int64_t failed;    /* no answer: DNS_TEMPFAIL */
	int64_t bogus;     /* DNS_BOGUS */
	int64_t failing;   /* questions that had no answer since the last one that had */
	int64_t failing_s; /* for so long; 0: there is none such */
};

NODISCARD int dns_new(struct dns **out, struct loop *l, const struct dns_config *c, struct buf *detail);
/* Starts unbound's thread; after the sandbox. */
NODISCARD int dns_start(struct dns *d);
void dns_free(struct dns **d);
/* 0 whenever *out is filled (also for DNS_TEMPFAIL); ERR_CANCELLED, ERR_NOMEM, ERR_INVALID (not a name). Names
 * may be IDNs in UTF-8. */
NODISCARD int dns_ask(
    struct dns *d, struct slice name, enum dns_type type, struct arena *a, int64_t deadline_ms, struct dns_answer *out);
struct dns_counters dns_counters(const struct dns *d);
/* Decoding of rdata: 0 or ERR_SYNTAX. */
NODISCARD int dns_mx_decode(struct slice rdata, struct arena *a, struct dns_mx *out);
NODISCARD int dns_srv_decode(struct slice rdata, struct arena *a, struct dns_srv *out);
NODISCARD int dns_txt_decode(struct slice rdata, struct arena *a, struct slice *out); /* strings joined */
NODISCARD int dns_tlsa_decode(struct slice rdata, struct dns_tlsa *out);
NODISCARD int dns_address_decode(enum dns_type type, struct slice rdata, uint16_t port, struct net_address *out);
NODISCARD int dns_name_decode(struct slice rdata, struct arena *a, struct slice *out);

#endif
