/* courier_advice.c: asks DNS what it says of a domain of ours, for `posthouse dns --check`: the clerk has no network, and reads no strangers'
 * answers. */
#include "role/courier_private.h"
#include "role/trust_resolver.h"
#include "trust/dns_advice.h"
#include "trust/reverse.h"
#include "trust/spf.h"

#define FOUND_MAX 20
#define FOUND_BYTES_MAX 4000
#define ADVICE_MS 20000
#define ADVICE_ARENA_BYTES ((size_t)8 << 20)

struct advising {
	struct courier *k;
	struct dns *dns;
	struct trust_dns trust;
	struct arena *a;
	int64_t end_ms;
};

/* ---- records as texts -------------------------------------------------------------------------------------------- */

static const enum dns_type types[] = {[ADVICE_MX] = DNS_MX,
    [ADVICE_SPF] = DNS_TXT,
    [ADVICE_DKIM] = DNS_TXT,
    [ADVICE_DMARC] = DNS_TXT,
    [ADVICE_STS] = DNS_TXT,
    [ADVICE_TLS_REPORT] = DNS_TXT,
    [ADVICE_TLSA] = DNS_TLSA,
    [ADVICE_SRV] = DNS_SRV};

static int
tell_record(enum dns_type type, struct slice rdata, struct arena *a, struct slice *out)
{
	struct buf hex BUF_CLEANUP;
	struct dns_tlsa t;
	struct dns_srv s;
	struct dns_mx m;
	int e;

	switch (type) {
	case DNS_MX:
		e = dns_mx_decode(rdata, a, &m);
		if (e == 0)
			*out = arena_printf(a, "%u %.*s.", (unsigned)m.preference, SLICE_ARG(m.host));
		return e;
	case DNS_SRV:
		e = dns_srv_decode(rdata, a, &s);
		if (e == 0)
			*out = arena_printf(a, "%u %u %u %.*s.", (unsigned)s.priority, (unsigned)s.weight,
			    (unsigned)s.port, SLICE_ARG(s.host));
		return e;
	case DNS_TLSA:
		e = dns_tlsa_decode(rdata, &t);
		buf_init(&hex, FOUND_BYTES_MAX);
		buf_put_hex(&hex, t.data);
		if (e == 0)
			*out = arena_printf(a, "%u %u %u %.*s", (unsigned)t.usage, (unsigned)t.selector,
			    (unsigned)t.matching, SLICE_ARG(buf_slice(&hex)));
		return e;
	default: return dns_txt_decode(rdata, a, out);
	}
}

/* *unknown: DNS did not answer. */
static int
look_up(struct advising *x, enum dns_advice_kind kind, struct slice name, struct slice_list *found, bool *secure,
    bool *unknown)
{
	struct slice *v = ARENA_ARRAY(x->a, struct slice, FOUND_MAX);
	struct dns_answer answer;
	size_t n = 0;
	int e = v == NULL ? ERR_NOMEM : dns_ask(x->dns, name, types[kind], x->a, x->end_ms, &answer);

	*found = (struct slice_list){v, 0};
	*unknown = e == 0 && (answer.status == DNS_TEMPFAIL || answer.status == DNS_BOGUS);
	if (e != 0)
		return e == ERR_INVALID ? 0 : e;
	*secure = answer.secure;
	for (size_t i = 0; answer.status == DNS_OK && i < answer.rdata.n && n < FOUND_MAX; i++) {
		e = tell_record(types[kind], answer.rdata.v[i], x->a, &v[n]);
		if (e == ERR_NOMEM)
			return e;
		n += e == 0;
	}
	found->n = n;
	return 0;
}

/* One line; what is no text is not shown. */
static struct slice
join(struct slice_list found, struct arena *a)
{
	struct buf b BUF_CLEANUP;

	buf_init(&b, FOUND_BYTES_MAX);
	for (size_t i = 0; i < found.n && b.n + found.v[i].n + 3 <= FOUND_BYTES_MAX; i++)
		if (slice_is_utf8(found.v[i], true)) {
			buf_put_z(&b, b.n > 0 ? " | " : "");
			buf_put(&b, found.v[i]);
		}
	return arena_copy(a, buf_slice(&b));
}

/* ---- the house's own addresses -------------------------------------------------------------------------------------- */

static int
own_addresses(struct advising *x, struct route_addresses *out)
{
	struct route_host host = {.name = x->k->c->settings->hostname, .port = 25};

	return route_addresses(x->dns, &host, x->a, x->end_ms, out);
}

/* Does the name's SPF allow each of them? The first that it does not decides. */
static int
judge_spf(struct advising *x, struct slice name, struct dns_advice *out)
{
	struct slice hostname = x->k->c->settings->hostname;
	struct route_addresses own;
	int e = own_addresses(x, &own);

	for (size_t i = 0; e == 0 && i < own.n; i++) {
		const struct spf_question q = {.dns = x->trust,
		    .house = x->k->c->house,
		    .client = own.v[i],
		    .helo = hostname,
		    .sender = slice_ieq(name, hostname) ? SLICE_EMPTY
							: arena_printf(x->a, "postmaster@%.*s", SLICE_ARG(name)),
		    .receiver = hostname};
		struct spf_result r;

		e = spf_check(&q, SPF_MAIL_FROM, x->a, &r);
		if (e != 0)
			return e;
		out->told = r.reason;
		if (r.result == TRUST_PASS)
			continue;
		out->state = r.result == TRUST_TEMPERROR ? ADVICE_UNKNOWN : ADVICE_WRONG;
		out->todo = SLICE("Have the record allow this house, as the one that is shown does.");
		return 0;
	}
	return e;
}

/* "address": the host has one, and each leads back to a name (RFC 8601 §3). */
static int
judge_address(struct advising *x, struct slice *found, struct dns_advice *out)
{
	struct slice texts[FOUND_MAX];
	struct route_addresses own;
	struct iprev_result r;
	size_t n = 0;
	int e = own_addresses(x, &own);

	*out = own.temporary
	    ? (struct dns_advice){ADVICE_UNKNOWN, SLICE("DNS did not answer"), SLICE("Ask again later.")}
	    : (struct dns_advice){ADVICE_MISSING, SLICE("the host has no address: nobody can reach it"),
		  SLICE("Publish an A record, and AAAA where there is IPv6, with the addresses of this machine.")};
	for (size_t i = 0; e == 0 && i < own.n && n < FOUND_MAX; i++) {
		char text[NET_ADDRESS_TEXT_MAX];

		net_address_text(&own.v[i], text);
		texts[n++] = arena_copy(x->a, slice_z(text));
		e = iprev_check(&x->trust, &own.v[i], x->a, &r);
		if (e != 0 || out->state == ADVICE_WRONG)
			continue;
		*out = (struct dns_advice){ADVICE_RIGHT, r.reason, SLICE_EMPTY};
		if (r.result != TRUST_PASS)
			*out = (struct dns_advice){ADVICE_WRONG, r.reason,
			    SLICE(
				"Ask whoever gave you the address for a PTR record that leads to the host's name: many "
				"servers refuse mail without it.")};
	}
	*found = join((struct slice_list){texts, n}, x->a);
	return e;
}

/* "policy": what the policy host of the domain hands out. */
static int
judge_policy(struct advising *x, struct slice domain, struct slice *found, struct dns_advice *out)
{
	struct sts_answer sts;
	int e = courier_sts_find(&x->k->sts, x->dns, domain, x->a, &sts);

	if (e != 0)
		return e;
	if (!sts.found && sts.failure == NULL) {
		*out = (struct dns_advice){ADVICE_MISSING, SLICE("there is no policy, or one that asks for nothing"),
		    SLICE("Let a web server hand out the policy as it is shown, and publish the record _mta-sts.")};
	} else if (!sts.found) {
		*out = (struct dns_advice){ADVICE_WRONG, sts.detail,
		    SLICE("Let a web server with a certificate for that name hand out the policy as it is shown.")};
	} else {
		*found = slice_z(mta_sts_mode_name(sts.policy.mode));
		*out = (struct dns_advice){ADVICE_RIGHT, SLICE("the policy names this house"), SLICE_EMPTY};
		if (!mta_sts_matches(&sts.policy, x->k->c->settings->hostname))
			*out = (struct dns_advice){ADVICE_WRONG,
			    SLICE("the policy does not name this house: mail does not come here"),
			    SLICE("Correct the lines mx of the policy, and then change the id in _mta-sts.")};
	}
	return 0;
}

/* ---- asking ----------------------------------------------------------------------------------------------------------- */

static int
judge(struct advising *x, struct slice kind, struct slice name, struct slice wanted, struct slice *found,
    struct dns_advice *out)
{
	enum dns_advice_kind k = dns_advice_kind_of(kind);
	struct slice_list texts;
	bool secure = false, unknown;
	int e;

	*found = SLICE_EMPTY;
	if (slice_eq(kind, SLICE("address")))
		return judge_address(x, found, out);
	if (slice_eq(kind, SLICE("policy")))
		return judge_policy(x, name, found, out);
	if (k == ADVICE_KINDS)
		return ERR_INVALID;
	e = look_up(x, k, name, &texts, &secure, &unknown);
	if (e != 0)
		return e;
	*found = join(texts, x->a);
	*out = (struct dns_advice){ADVICE_UNKNOWN, SLICE("DNS did not answer"), SLICE("Ask again later.")};
	if (unknown)
		return 0;
	e = dns_advice_judge(k, wanted, texts, secure, x->a, out);
	return e == 0 && k == ADVICE_SPF && out->state == ADVICE_RIGHT ? judge_spf(x, name, out) : e;
}

int
courier_on_advice(struct courier *k, struct bus_peer *from, struct bus_courier_advice_request *q, struct arena *a,
    struct bus_courier_advice_reply *rep)
{
	struct resolver *resolver = resolver_use(k->resolver);
	struct arena own ARENA_CLEANUP;
	struct advising x = {.k = k,
	    .dns = resolver->dns,
	    .trust = trust_resolver_dns(resolver->dns),
	    .a = &own,
	    .end_ms = loop_deadline(k->c->loop, ADVICE_MS)};
	struct slice found = SLICE_EMPTY;
	struct dns_advice advice = {0};
	int e;

	(void)from;
	arena_init(&own, ADVICE_ARENA_BYTES);
	e = judge(&x, q->kind, q->name, q->wanted, &found, &advice);
	resolver_release(&resolver);
	if (e == 0 && arena_failed(&own))
		e = ERR_NOMEM;
	if (e != 0)
		return e;
	*rep = (struct bus_courier_advice_reply){
	    advice.state, arena_copy(a, found), arena_copy(a, advice.told), arena_copy(a, advice.todo)};
	return arena_failed(a) ? ERR_NOMEM : 0;
}
