#include "role/courier_route.h"

#include "bus/values.h"

#define ADDRESSES_MAX 16 /* of one host and family */

static void
no_route(struct route *r, int result, const char *status, struct slice text)
{
	r->n = 0;
	r->result = result;
	r->status = status;
	r->text = text;
}

/* One host, nothing looked up. */
static int
single(struct route *out, struct arena *a, struct slice name, uint16_t port)
{
	out->hosts = ARENA_ARRAY(a, struct route_host, 1);
	if (out->hosts == NULL)
		return ERR_NOMEM;
	out->hosts[0] = (struct route_host){.name = name, .port = port};
	out->hosts[0].is_address = net_address_parse(name, port, &out->hosts[0].address) == 0;
	out->n = 1;
	if (port != 25)
		out->site = arena_printf(a, "%.*s:%u", SLICE_ARG(name), (unsigned)port);
	else
		out->site = name;
	return 0;
}

/* "host:port", "192.0.2.1:25", "[2001:db8::1]:25" */
static int
fixed_host(struct route *out, struct arena *a, struct slice text)
{
	size_t colon = slice_rfind_byte(text, ':');
	struct slice host;
	uint64_t port;

	if (colon == SLICE_NONE || colon == 0 || slice_to_u64(slice_from(text, colon + 1), 65535, &port) != 0 ||
	    port == 0) {
		no_route(out, SEND_TEMPFAIL, "4.3.5",
		    arena_printf(a, "The configured route %.*s is not host:port", SLICE_ARG(text)));
		return 0;
	}
	host = slice_head(text, colon);
	if (slice_starts(host, SLICE("[")) && slice_ends(host, SLICE("]")))
		host = slice_range(host, 1, host.n - 1);
	return single(out, a, host, (uint16_t)port);
}

/* user@[192.0.2.1], user@[IPv6:2001:db8::1] (RFC 5321 §4.1.3). */
static int
literal_host(struct route *out, struct arena *a, struct slice domain, uint16_t port)
{
	struct slice inside = slice_range(domain, 1, domain.n - 1);
	int e;

	if (slice_istarts(inside, SLICE("IPv6:")))
		inside = slice_from(inside, 5);
	e = single(out, a, inside, port);
	if (e == 0 && !out->hosts[0].is_address)
		no_route(out, SEND_FAIL, "5.1.2",
		    arena_printf(a, "%.*s is not an address literal that mail can be sent to", SLICE_ARG(domain)));
	return e;
}

/* Insertion sort by preference; equals are in random order because they come shuffled (RFC 5321 §5.1). */
static void
order(struct house *h, struct route_host *v, size_t n)
{
	for (size_t i = n; i > 1; i--) {
		size_t j = (size_t)house_random_below(h, i);
		struct route_host t = v[i - 1];

		v[i - 1] = v[j];
		v[j] = t;
	}
	for (size_t i = 1; i < n; i++)
		for (size_t j = i; j > 0 && v[j - 1].preference > v[j].preference; j--) {
			struct route_host t = v[j];

			v[j] = v[j - 1];
			v[j - 1] = t;
		}
}

/* If we are one of the hosts, only those that are preferred to us count: else mail would come back to us. */
static void
drop_ourselves(struct route *out, struct slice hostname, struct slice domain, struct arena *a)
{
	for (size_t i = 0; i < out->n; i++) {
		if (!slice_ieq(out->hosts[i].name, hostname))
			continue;
		while (i > 0 && out->hosts[i - 1].preference == out->hosts[i].preference)
			i--;
		out->n = i;
	}
	if (out->n == 0)
		no_route(out, SEND_FAIL, "5.4.6",
		    arena_printf(a,
			"The mail server of %.*s is this one, which does not know that domain: mail would loop",
			SLICE_ARG(domain)));
}

/* Hosts are in their order. Before those that are not preferred to us are cut off, so that the name does not depend on
 * who asks. */
static struct slice
site_name(const struct route *r)
{
	struct slice best = r->hosts[0].name;

	for (size_t i = 1; i < r->n && r->hosts[i].preference == r->hosts[0].preference; i++)
		if (slice_cmp(r->hosts[i].name, best) < 0)
			best = r->hosts[i].name;
	return best;
}

static int
hosts_of_mx(struct house *h, const struct dns_answer *mx, uint16_t port, struct slice domain, struct arena *a,
    struct route *out)
{
	size_t max = (size_t)h->limits.send_mx_hosts;
	bool null_mx = false;

	out->hosts = ARENA_ARRAY(a, struct route_host, mx->rdata.n);
	if (out->hosts == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < mx->rdata.n; i++) {
		struct dns_mx record;
		int e = dns_mx_decode(mx->rdata.v[i], a, &record);

		if (e == ERR_NOMEM)
			return e;
		null_mx |= e == 0 && record.host.n == 0;
		if (e == 0 && record.host.n > 0)
			out->hosts[out->n++] = (struct route_host){
			    .name = record.host, .port = port, .preference = record.preference};
	}
	if (out->n == 0 && null_mx)
		no_route(out, SEND_FAIL, "5.1.10",
		    arena_printf(a, "%.*s says that it does not accept mail (null MX)", SLICE_ARG(domain)));
	else if (out->n == 0)
		no_route(out, SEND_TEMPFAIL, "4.4.3",
		    arena_printf(a, "The MX records of %.*s cannot be read", SLICE_ARG(domain)));
	order(h, out->hosts, out->n);
	if (out->n > 0)
		out->site = site_name(out);
	if (out->n > max)
		out->n = max;
	return 0;
}

static int
look_up(struct dns *d, struct house *h, const struct settings *s, struct slice domain, struct arena *a,
    int64_t deadline_ms, struct route *out)
{
	uint16_t port = s->smtp_port != 0 ? s->smtp_port : 25;
	struct dns_answer mx;
	int e = dns_ask(d, domain, DNS_MX, a, deadline_ms, &mx);

	if (e == ERR_INVALID) {
		no_route(out, SEND_FAIL, "5.1.2", arena_printf(a, "%.*s is not a domain name", SLICE_ARG(domain)));
		return 0;
	}
	if (e != 0)
		return e;
	out->by_dns = true;
	out->secure = mx.secure;
	switch (mx.status) {
	case DNS_OK: e = hosts_of_mx(h, &mx, port, domain, a, out); break;
	case DNS_NODATA:
		/* The domain itself is the host (RFC 5321 §5.1). */
		e = single(out, a, domain, port);
		break;
	case DNS_NXDOMAIN:
		no_route(out, SEND_FAIL, "5.1.2", arena_printf(a, "The domain %.*s does not exist", SLICE_ARG(domain)));
		return 0;
	case DNS_TEMPFAIL:
		no_route(out, SEND_TEMPFAIL, "4.4.3",
		    arena_printf(a, "The mail servers of %.*s could not be looked up in DNS", SLICE_ARG(domain)));
		return 0;
	case DNS_BOGUS:
		no_route(out, SEND_TEMPFAIL, "4.4.3",
		    arena_printf(a,
			"The DNS records of %.*s are not signed as they should be (DNSSEC): they may be forged",
			SLICE_ARG(domain)));
		return 0;
	}
	if (e == 0 && out->n > 0)
		drop_ourselves(out, s->hostname, domain, a);
	return e;
}

/* A host of the settings. */
static int
configured(struct route *out, struct arena *a, struct slice host, uint16_t port, enum send_security tls)
{
	out->tls = tls;
	return single(out, a, host, port);
}

static int
by_relay(struct route *out, struct arena *a, const struct settings *s, struct slice name)
{
	/* The settings were checked: it is there. */
	out->relay = settings_relay(s, name);
	ASSERT(out->relay != NULL);
	return configured(out, a, out->relay->host, out->relay->port, out->relay->tls);
}

int
route_find(struct dns *d, struct house *h, const struct settings *s, const struct route_question *q, struct arena *a,
    int64_t deadline_ms, struct route *out)
{
	const struct sender_settings *sender = settings_sender(s, q->sender);
	struct slice domain = q->domain;
	int e;

	*out = (struct route){.tls = SECURITY_OPPORTUNISTIC};
	if (slice_ends(domain, SLICE(".")))
		domain = slice_head(domain, domain.n - 1);
	out->site = domain;
	if (q->fixed.n > 0) {
		e = fixed_host(out, a, q->fixed);
		return e == 0 && arena_failed(a) ? ERR_NOMEM : e;
	}
	for (size_t i = 0; i < s->routes_count; i++) {
		const struct route_settings *r = &s->routes[i];

		if (slice_ieq(r->domain, domain))
			return r->relay.n > 0 ? by_relay(out, a, s, r->relay)
					      : configured(out, a, r->host, r->port, r->tls);
	}
	if (sender != NULL && sender->relay.n > 0)
		return by_relay(out, a, s, sender->relay);
	if (s->send_relay.n > 0)
		return by_relay(out, a, s, s->send_relay);
	if (slice_starts(domain, SLICE("[")) && slice_ends(domain, SLICE("]")))
		e = literal_host(out, a, domain, s->smtp_port != 0 ? s->smtp_port : 25);
	else
		e = look_up(d, h, s, domain, a, deadline_ms, out);
	return e == 0 && arena_failed(a) ? ERR_NOMEM : e;
}

int
route_addresses(
    struct dns *d, const struct route_host *host, struct arena *a, int64_t deadline_ms, struct route_addresses *out)
{
	static const enum dns_type types[] = {DNS_AAAA, DNS_A};
	struct dns_answer answers[COUNT_OF(types)];

	*out = (struct route_addresses){.secure = true};
	out->v = ARENA_ARRAY(a, struct net_address, COUNT_OF(types) * ADDRESSES_MAX);
	if (out->v == NULL)
		return ERR_NOMEM;
	if (host->is_address) {
		out->v[out->n++] = host->address;
		out->secure = false;
		return 0;
	}
	for (size_t t = 0; t < COUNT_OF(types); t++) {
		int e = dns_ask(d, host->name, types[t], a, deadline_ms, &answers[t]);

		if (e == ERR_INVALID)
			return 0;
		if (e != 0)
			return e;
		out->temporary |= answers[t].status == DNS_TEMPFAIL || answers[t].status == DNS_BOGUS;
		out->secure &= answers[t].secure;
		if (answers[t].status == DNS_OK && answers[t].canonical.n > 0)
			out->canonical = answers[t].canonical;
	}
	for (size_t i = 0; i < ADDRESSES_MAX; i++)
		for (size_t t = 0; t < COUNT_OF(types); t++)
			if (answers[t].status == DNS_OK && i < answers[t].rdata.n &&
			    dns_address_decode(types[t], answers[t].rdata.v[i], host->port, &out->v[out->n]) == 0)
				out->n++;
	return 0;
}
