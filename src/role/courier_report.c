/* courier_report.c: what the clerk, which has no network, needs for reports: where a domain wants those on TLS (RFC 8460), taking one to a
 * web server; and which addresses those of single failures may go to. */
#include "base/log.h"
#include "role/courier_https.h"
#include "role/courier_private.h"
#include "role/trust_resolver.h"
#include "trust/dmarc_report.h"
#include "trust/tls_report.h"

#define TXT_MAX 50
#define REPLY_BYTES_MAX 65536
#define POST_ARENA_BYTES ((size_t)1 << 20)

/* The texts of the TXT records: 0; ERR_NOTFOUND: there are none; ERR_UNAVAILABLE: DNS did not answer. */
static int
look_up(struct courier *k, struct slice domain, struct arena *a, struct slice_list *out)
{
	struct resolver *resolver = resolver_use(k->resolver);
	struct slice *texts = ARENA_ARRAY(a, struct slice, TXT_MAX);
	struct slice name = arena_printf(a, "_smtp._tls.%.*s", SLICE_ARG(domain));
	struct dns_answer answer;
	size_t n = 0;
	int e = texts == NULL ? ERR_NOMEM
			      : dns_ask(resolver->dns, name, DNS_TXT, a,
				    loop_deadline(k->c->loop, k->c->house->limits.dns_timeout_ms), &answer);

	resolver_release(&resolver);
	if (e != 0)
		return e == ERR_INVALID ? ERR_NOTFOUND : e;
	if (answer.status == DNS_TEMPFAIL || answer.status == DNS_BOGUS)
		return ERR_UNAVAILABLE;
	for (size_t i = 0; answer.status == DNS_OK && i < answer.rdata.n && n < TXT_MAX; i++)
		n += dns_txt_decode(answer.rdata.v[i], a, &texts[n]) == 0;
	*out = (struct slice_list){texts, n};
	return arena_failed(a) ? ERR_NOMEM : n > 0 ? 0 : ERR_NOTFOUND;
}

int
courier_on_report_places(struct courier *k, struct bus_peer *from, struct bus_courier_report_places_request *q,
    struct arena *a, struct bus_courier_report_places_reply *rep)
{
	struct tls_report_places places;
	struct slice_list texts;
	int e = look_up(k, q->domain, a, &texts);

	(void)from;
	if (e == 0)
		e = tls_report_record(texts, a, &places);
	if (e == 0) {
		rep->result = 1;
		rep->mail = places.mail;
		rep->https = places.https;
	}
	return e == ERR_NOTFOUND ? 0 : e;
}

int
courier_on_report_addresses(struct courier *k, struct bus_peer *from, struct bus_courier_report_addresses_request *q,
    struct arena *a, struct bus_courier_report_addresses_reply *rep)
{
	struct resolver *resolver = resolver_use(k->resolver);
	struct trust_dns dns = trust_resolver_dns(resolver->dns);
	int e = dmarc_report_destinations(&dns, a, q->domain, q->addresses, &rep->addresses);

	(void)from;
	resolver_release(&resolver);
	return e;
}

/* Only a server whose certificate is right for the name is told anything: so nobody can make the house talk to what is behind its own walls. */
static int
post(struct courier *k, const struct bus_courier_report_post_request *q, struct arena *a, struct http_reply *reply,
    struct slice *why)
{
	struct resolver *resolver = resolver_use(k->resolver);
	struct https_url url;
	enum https_stage stage;
	int e = https_url_parse(q->url, &url);
	struct https_ask ask = {.c = k->c,
	    .tls = k->tls_checked,
	    .dns = resolver->dns,
	    .a = a,
	    .host = url.host,
	    .port = url.port,
	    .head = arena_printf(a, "POST %s%.*s HTTP/1.1\r\nContent-Type: %.*s\r\nContent-Length: %zu\r\n",
		slice_starts(url.target, SLICE("/")) ? "" : "/", SLICE_ARG(url.target), SLICE_ARG(q->type), q->body.n),
	    .body = q->body,
	    .end_ms = loop_deadline(k->c->loop, k->c->house->limits.tls_report_post_ms)};

	if (e == 0 && arena_failed(a))
		e = ERR_NOMEM;
	if (e == 0)
		e = courier_https(&ask, reply, &stage, why);
	resolver_release(&resolver);
	return e;
}

int
courier_on_report_post(struct courier *k, struct bus_peer *from, struct bus_courier_report_post_request *q,
    struct arena *a, struct bus_courier_report_post_reply *rep)
{
	struct http_reply reply HTTP_REPLY_CLEANUP;
	struct slice why = SLICE("the URL is none");
	struct arena own ARENA_CLEANUP;
	int e;

	(void)from;
	arena_init(&own, POST_ARENA_BYTES);
	http_reply_init(&reply, REPLY_BYTES_MAX);
	e = post(k, q, &own, &reply, &why);
	/* What the server says beside its status interests nobody. */
	if (e == ERR_LIMIT && reply.status / 100 == 2)
		e = 0;
	if (e == ERR_CANCELLED || e == ERR_NOMEM)
		return e;
	rep->taken = e == 0 && reply.status / 100 == 2;
	if (!rep->taken)
		rep->detail = e != 0 ? arena_copy(a, why)
				     : arena_printf(a, "the server answered with status %d", reply.status);
	return 0;
}
