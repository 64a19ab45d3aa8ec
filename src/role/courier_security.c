#include "role/courier_security.h"

#include "base/log.h"

#define TLSA_MAX 50
#define TOLD_BYTES_MAX 2000u /* of a policy, in reports */

struct deciding {
	struct courier *k;
	struct dns *dns;
	const struct security_wish *w;
	const struct route *route;
	const struct route_host *host;
	const struct route_addresses *addresses;
	struct arena *a;
	struct host_security *out;
};

static void
refuse(struct deciding *x, int result, const char *status, const char *failure, struct slice text)
{
	x->out->usable = false;
	x->out->result = result;
	x->out->status = status;
	x->out->failure = failure;
	x->out->text = text;
}

/* Encrypted if possible, whoever it is. */
static void
take_opportunistic(struct deciding *x)
{
	x->out->how = (struct smtp_security){.level = SMTP_TLS_MAY,
	    .client = x->k->tls_any,
	    .expect = {.name = x->host->is_address ? SLICE_EMPTY : x->host->name}};
	x->out->key = SLICE("any");
}

/* A certificate for the host from a root. */
static void
take_roots(struct deciding *x, bool implicit, struct slice demanded_by)
{
	x->out->how = (struct smtp_security){.level = SMTP_TLS_MUST,
	    .implicit = implicit,
	    .client = x->k->tls_checked,
	    .expect = {.check = TLS_CHECK_ROOTS, .name = x->host->name},
	    .demanded_by = demanded_by,
	    .verified_by = SLICE("a root certificate")};
	x->out->key = implicit ? SLICE("implicit") : SLICE("roots");
}

/* The check is made and counted, and nothing depends on it. */
static void
make_lenient(struct deciding *x)
{
	x->out->how.level = SMTP_TLS_MAY;
	x->out->how.expect.lenient = true;
	x->out->key = arena_printf(x->a, "lenient %.*s", SLICE_ARG(x->out->key));
}

/* ---- DANE ---------------------------------------------------------------------------------------------------- */

enum dane { DANE_NONE, DANE_USABLE, DANE_UNUSABLE, DANE_UNKNOWN };

/* Records with usages 2 and 3 and sound values (RFC 7672 §3.1). */
static bool
is_usable(const struct dns_tlsa *t)
{
	static const size_t lengths[] = {0, 32, 64};

	return (t->usage == TLSA_DANE_TA || t->usage == TLSA_DANE_EE) && t->selector <= 1 && t->matching <= 2 &&
	    (t->matching == 0 || t->data.n == lengths[t->matching]);
}

/* The records in the form of zone files (RFC 6698 §2.2). */
static void
tell_records(struct deciding *x, const struct dns_answer *answer)
{
	struct buf b BUF_CLEANUP;

	buf_init(&b, TOLD_BYTES_MAX);
	buf_put_z(&b, "tlsa");
	for (size_t i = 0; i < answer->rdata.n; i++) {
		struct dns_tlsa t;

		if (dns_tlsa_decode(answer->rdata.v[i], &t) != 0 || b.n + 2 * t.data.n + 20 > TOLD_BYTES_MAX)
			continue;
		buf_printf(&b, "\n%u %u %u ", (unsigned)t.usage, (unsigned)t.selector, (unsigned)t.matching);
		buf_put_hex(&b, t.data);
	}
	x->out->policy = arena_copy(x->a, buf_slice(&b));
}

static int
take_records(struct deciding *x, const struct dns_answer *answer, enum dane *out)
{
	struct tls_tlsa *v = ARENA_ARRAY(x->a, struct tls_tlsa, TLSA_MAX);
	size_t n = 0;

	if (v == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < answer->rdata.n && n < TLSA_MAX; i++) {
		struct dns_tlsa t;

		if (dns_tlsa_decode(answer->rdata.v[i], &t) == 0 && is_usable(&t))
			v[n++] = (struct tls_tlsa){t.usage, t.selector, t.matching, t.data};
	}
	tell_records(x, answer);
	x->out->how.expect.tlsa = v;
	x->out->how.expect.tlsa_n = n;
	*out = n > 0 ? DANE_USABLE : DANE_UNUSABLE;
	return 0;
}

/* Looks at _PORT._tcp.BASE (RFC 7672 §2.2.3). */
static int
ask_records(struct deciding *x, struct slice base, enum dane *out)
{
	struct loop *l = x->k->c->loop;
	struct dns_answer answer;
	struct slice name = arena_printf(x->a, "_%u._tcp.%.*s", (unsigned)x->host->port, SLICE_ARG(base));
	int e = dns_ask(x->dns, name, DNS_TLSA, x->a, loop_deadline(l, x->k->c->house->limits.dns_timeout_ms), &answer);

	*out = DANE_NONE;
	if (e != 0)
		return e == ERR_INVALID ? 0 : e;
	if (answer.status == DNS_TEMPFAIL || answer.status == DNS_BOGUS) {
		*out = DANE_UNKNOWN;
		x->out->failure = "dnssec-invalid";
		x->out->policy = SLICE("tlsa");
	} else if (answer.status == DNS_OK && answer.secure) {
		return take_records(x, &answer, out);
	}
	return 0;
}

/* Is the alias itself validated, where what it leads to is not? (RFC 7672 §2.2.2) */
static int
alias_is_secure(struct deciding *x, bool *secure)
{
	struct dns_answer answer;
	int e = dns_ask(x->dns, x->host->name, DNS_CNAME, x->a,
	    loop_deadline(x->k->c->loop, x->k->c->house->limits.dns_timeout_ms), &answer);

	*secure = e == 0 && answer.status == DNS_OK && answer.secure;
	return e == ERR_INVALID ? 0 : e;
}

/* The records under the host's real name, else under the one that the MX record has. *base: the name under which they are. */
static int
find_records(struct deciding *x, enum dane *out, struct slice *base)
{
	struct slice canonical = x->addresses->canonical, own = x->host->name;
	bool is_alias, secure = x->addresses->secure;
	int e = 0;

	*out = DANE_NONE;
	*base = own;
	if (slice_ends(canonical, SLICE(".")))
		canonical = slice_head(canonical, canonical.n - 1);
	is_alias = canonical.n > 0 && !slice_ieq(canonical, own);
	if (secure && is_alias) {
		e = ask_records(x, canonical, out);
		if (e != 0 || *out != DANE_NONE) {
			*base = canonical;
			return e;
		}
	} else if (!secure && is_alias) {
		e = alias_is_secure(x, &secure);
	}
	return e == 0 && secure ? ask_records(x, own, out) : e;
}

/* Connections with other records or names are not as good as each other. */
static struct slice
records_key(struct deciding *x)
{
	const struct tls_expect *e = &x->out->how.expect;
	struct buf b BUF_CLEANUP;

	buf_init(&b, 65536);
	buf_printf(&b, "dane %.*s", SLICE_ARG(e->name));
	for (size_t i = 0; i < e->names.n; i++)
		buf_printf(&b, " %.*s", SLICE_ARG(e->names.v[i]));
	for (size_t i = 0; i < e->tlsa_n; i++) {
		buf_printf(&b, " %u%u%u", e->tlsa[i].usage, e->tlsa[i].selector, e->tlsa[i].matching);
		buf_put_hex(&b, slice_head(e->tlsa[i].data, 64));
	}
	return b.err != 0 ? arena_printf(x->a, "dane %llx", (unsigned long long)house_random_u64(x->k->c->house))
			  : arena_copy(x->a, buf_slice(&b));
}

/* Names count for DANE-TA only (§3.2.2): the base, the name in MX, and the domain. */
static int
reference_names(struct deciding *x, struct slice base)
{
	struct smtp_security *how = &x->out->how;
	struct slice *names = ARENA_ARRAY(x->a, struct slice, 2);
	bool anchors = false;
	size_t n = 0;

	if (names == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < how->expect.tlsa_n; i++)
		anchors |= how->expect.tlsa[i].usage == TLSA_DANE_TA;
	if (anchors && !slice_ieq(base, x->host->name))
		names[n++] = x->host->name;
	if (anchors && !slice_ieq(base, x->w->domain))
		names[n++] = x->w->domain;
	how->expect.name = base;
	how->expect.names = (struct slice_list){names, n};
	return 0;
}

static int
take_dane(struct deciding *x, enum dane kind, struct slice base)
{
	struct smtp_security *how = &x->out->how;
	int e;

	how->level = SMTP_TLS_MUST;
	how->demanded_by = arena_printf(x->a, "the TLSA records of %.*s (DANE)", SLICE_ARG(base));
	how->verified_by = SLICE("DANE");
	if (kind == DANE_UNUSABLE) {
		/* §2.2: encrypted, but nobody knows with whom. */
		x->out->failure = "tlsa-invalid";
		x->out->text = SLICE("none of the TLSA records can be used");
		how->client = x->k->tls_any;
		how->expect = (struct tls_expect){.name = base};
		x->out->key = SLICE("encrypted");
		return 0;
	}
	how->client = x->k->tls_checked;
	how->expect.check = TLS_CHECK_DANE;
	e = reference_names(x, base);
	x->out->key = records_key(x);
	return e;
}

/* *decided: DANE says how, or that the host is not to be used. */
static int
decide_dane(struct deciding *x, bool *decided)
{
	enum dane kind;
	struct slice base;
	int e;

	*decided = false;
	if (!x->k->c->settings->send_dane || !x->route->by_dns || !x->route->secure || x->host->is_address ||
	    x->addresses == NULL)
		return 0;
	e = find_records(x, &kind, &base);
	if (e != 0 || kind == DANE_NONE)
		return e;
	*decided = true;
	if (kind != DANE_UNKNOWN)
		return take_dane(x, kind, base);
	if (x->w->ignore_policies) {
		take_opportunistic(x);
		return 0;
	}
	refuse(x, SEND_TEMPFAIL, "4.7.5", x->out->failure,
	    arena_printf(x->a,
		"The TLSA records (DANE) of %.*s could not be looked up, or their DNSSEC signatures are wrong: nobody "
		"knows "
		"whether it is the right server",
		SLICE_ARG(base)));
	return 0;
}

/* ---- MTA-STS --------------------------------------------------------------------------------------------------- */

/* The lines of the policy as its owner may have written them (RFC 8461 §3.2). */
static struct slice
tell_policy(struct arena *a, const struct mta_sts_policy *p)
{
	struct buf b BUF_CLEANUP;

	buf_init(&b, TOLD_BYTES_MAX);
	buf_printf(
	    &b, "sts\nversion: STSv1\nmode: %s\nmax_age: %lld", mta_sts_mode_name(p->mode), (long long)p->max_age_s);
	for (size_t i = 0; i < p->mx.n && b.n + p->mx.v[i].n + 5 <= TOLD_BYTES_MAX; i++)
		buf_printf(&b, "\nmx: %.*s", SLICE_ARG(p->mx.v[i]));
	return arena_copy(a, buf_slice(&b));
}

static void
decide_sts(struct deciding *x)
{
	const struct sts_answer *sts = &x->w->sts;
	bool enforce = sts->policy.mode == MTA_STS_ENFORCE;

	x->out->policy = tell_policy(x->a, &sts->policy);
	if (mta_sts_matches(&sts->policy, x->host->name)) {
		take_roots(x, false, arena_printf(x->a, "the MTA-STS policy of %.*s", SLICE_ARG(x->w->domain)));
		x->out->how.verified_by = SLICE("MTA-STS");
		if (!enforce)
			make_lenient(x);
		return;
	}
	x->out->failure = "validation-failure";
	x->out->text = SLICE("the server is not one of those that the policy names");
	if (!enforce || x->w->ignore_policies) {
		take_opportunistic(x);
		return;
	}
	refuse(x, SEND_TEMPFAIL, "4.7.5", "validation-failure",
	    arena_printf(x->a,
		"%.*s is not one of the mail servers that the MTA-STS policy of %.*s names: no mail goes there",
		SLICE_ARG(x->host->name), SLICE_ARG(x->w->domain)));
}

/* ---- the settings, and what the message asks for ------------------------------------------------------------------ */

static void
decide_configured(struct deciding *x)
{
	struct slice by = x->route->relay != NULL
	    ? arena_printf(x->a, "the settings of [relay %.*s]", SLICE_ARG(x->route->relay->name))
	    : SLICE("the settings of its route");

	take_opportunistic(x);
	if (x->route->tls == SECURITY_REQUIRED || x->route->tls == SECURITY_IMPLICIT) {
		take_roots(x, x->route->tls == SECURITY_IMPLICIT, by);
	} else if (x->route->tls == SECURITY_NONE) {
		x->out->how.level = SMTP_TLS_NEVER;
		x->out->key = SLICE("clear");
	}
}

/* RFC 8689 §4.2.1: the name of the host must be vouched for, and its certificate checked. */
static void
demand_tls(struct deciding *x)
{
	struct smtp_security *how = &x->out->how;
	bool named = !x->route->by_dns || x->route->secure ||
	    (x->w->sts.found && mta_sts_matches(&x->w->sts.policy, x->host->name));

	if (!named) {
		refuse(x, SEND_FAIL, "5.7.30", NULL,
		    arena_printf(x->a,
			"REQUIRETLS support required: neither DNSSEC nor MTA-STS vouches for the mail servers of %.*s",
			SLICE_ARG(x->w->domain)));
		return;
	}
	if (how->level == SMTP_TLS_MUST && how->expect.check != TLS_CHECK_NONE)
		return;
	take_roots(x, x->out->how.implicit, SLICE("the message's sender (REQUIRETLS)"));
}

int
courier_security(struct courier *k, struct dns *d, const struct security_wish *w, const struct route *route,
    const struct route_host *host, const struct route_addresses *addresses, struct arena *a, struct host_security *out)
{
	struct deciding x = {k, d, w, route, host, addresses, a, out};
	bool decided = false;
	int e;

	*out = (struct host_security){.usable = true, .policy = SLICE("no-policy-found")};
	e = decide_dane(&x, &decided);
	if (e != 0)
		return e;
	if (!decided && !route->by_dns)
		decide_configured(&x);
	else if (!decided && w->sts.found)
		decide_sts(&x);
	else if (!decided)
		take_opportunistic(&x);
	if (out->usable && w->require_tls)
		demand_tls(&x);
	else if (out->usable && w->ignore_policies && route->by_dns && out->how.level == SMTP_TLS_MUST)
		make_lenient(&x);
	return arena_failed(a) ? ERR_NOMEM : 0;
}
