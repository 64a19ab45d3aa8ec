#include "role/trust_resolver.h"

#include <netinet/in.h>

#define PATH_BYTES 4096
#define FAIR_MS 1000 /* for an answer */

/* ---- answers ----------------------------------------------------------------------------------------------- */

static int
read_address(enum trust_dns_type type, struct slice rdata, struct trust_record *out)
{
	if (rdata.n != (type == TRUST_DNS_A ? sizeof(struct in_addr) : sizeof(struct in6_addr)))
		return ERR_SYNTAX;
	out->data = rdata;
	return 0;
}

static int
read_record(enum trust_dns_type type, struct slice rdata, struct arena *a, struct trust_record *out)
{
	struct dns_mx mx;
	int e;

	switch (type) {
	case TRUST_DNS_A:
	case TRUST_DNS_AAAA: return read_address(type, rdata, out);
	case TRUST_DNS_TXT: return dns_txt_decode(rdata, a, &out->data);
	case TRUST_DNS_CNAME:
	case TRUST_DNS_PTR: return dns_name_decode(rdata, a, &out->data);
	case TRUST_DNS_MX:
		e = dns_mx_decode(rdata, a, &mx);
		*out = (struct trust_record){.data = mx.host, .preference = mx.preference};
		return e;
	}
	return ERR_SYNTAX;
}

static int
read_records(enum trust_dns_type type, const struct dns_answer *from, struct arena *a, struct trust_answer *out)
{
	struct trust_record *v = ARENA_ARRAY(a, struct trust_record, from->rdata.n);

	if (v == NULL)
		return ERR_NOMEM;
	out->v = v;
	for (size_t i = 0; i < from->rdata.n; i++) {
		int e = read_record(type, from->rdata.v[i], a, &v[out->n]);

		if (e == 0)
			out->n++;
		else if (e != ERR_SYNTAX)
			return e;
	}
	out->status = out->n > 0 ? TRUST_DNS_FOUND : TRUST_DNS_NO_DATA;
	return 0;
}

static int
ask(struct dns *d, struct slice name, enum trust_dns_type type, struct arena *a, int64_t deadline_ms,
    struct trust_answer *out, uint32_t *ttl_s)
{
	struct dns_answer answer;
	int e = dns_ask(d, name, (enum dns_type)type, a, deadline_ms, &answer);

	*out = (struct trust_answer){.status = TRUST_DNS_TEMPORARY};
	*ttl_s = answer.ttl_s;
	if (e == ERR_INVALID) {
		out->status = TRUST_DNS_NO_NAME;
		return 0;
	}
	if (e != 0)
		return e;
	out->secure = answer.secure;
	switch (answer.status) {
	case DNS_OK: return read_records(type, &answer, a, out);
	case DNS_NXDOMAIN: out->status = TRUST_DNS_NO_NAME; break;
	case DNS_NODATA: out->status = TRUST_DNS_NO_DATA; break;
	case DNS_TEMPFAIL:
	case DNS_BOGUS: break;
	}
	return 0;
}

static int
query(void *of, struct slice name, enum trust_dns_type type, struct arena *a, struct trust_answer *out)
{
	uint32_t ttl_s;

	return ask(of, name, type, a, DEADLINE_NEVER, out, &ttl_s);
}

static int
look(void *of, struct slice name, enum trust_dns_type type, struct arena *a, struct trust_answer *out)
{
	struct trust_lookup *l = of;
	int64_t began_ms, ended_ms;
	uint32_t ttl_s;
	int e = trust_cache_get(l->cache, name, type, a, out);

	if (e != 0)
		return e < 0 ? e : 0;
	began_ms = house_mono_ms(l->cache->house);
	e = ask(l->dns, name, type, a, l->deadline_ms, out, &ttl_s);
	ended_ms = house_mono_ms(l->cache->house);
	/* A question for which no time was left has not been asked. */
	if (e == 0 &&
	    (out->status != TRUST_DNS_TEMPORARY || ended_ms < l->deadline_ms || ended_ms - began_ms >= FAIR_MS))
		trust_cache_put(l->cache, name, type, out, ttl_s);
	return e;
}

struct trust_dns
trust_lookup_dns(struct trust_lookup *l)
{
	return (struct trust_dns){.query = look, .of = l};
}

struct trust_dns
trust_resolver_dns(struct dns *d)
{
	return (struct trust_dns){.query = query, .of = d};
}

/* ---- the resolver -------------------------------------------------------------------------------------------- */

int
trust_resolver_new(struct dns **out, struct loop *l, const struct settings *s, struct buf *detail)
{
	struct dns_config config = {.forwarders = s->dns_forwarders,
	    .trust_anchors = s->dns_trust_anchors,
	    .stubs = s->dns_stubs,
	    .insecure = s->dns_insecure};
	char path[PATH_BYTES];
	int e = 0;

	*out = NULL;
	if (s->dns_resolv_conf.n > 0) {
		e = slice_to_z(s->dns_resolv_conf, path, sizeof(path));
		config.resolv_conf = path;
	}
	if (e == 0)
		e = dns_new(out, l, &config, detail);
	if (e == 0)
		e = dns_start(*out);
	if (e != 0)
		dns_free(out);
	return e;
}
