/* courier_attempt.c: one attempt to carry a message to one destination. Hosts are tried in their order; a connection that waits
 * is used before a new one is opened. */
#include "role/courier_private.h"

#include "base/log.h"
#include "smtp/send_class.h"

#define ATTEMPT_MS (20 * 60 * 1000) /* after this no further host is tried */
#define HOST_ADDRESSES_MAX 6        /* tried of one host */
#define WAITING_TRIED_MAX 3         /* connections that turn out to be lost, before a new one is opened */

/* One attempt. */
struct attempt {
	struct courier *k;
	struct smtp_send_job job;
	const struct net_address *to;
	const struct net_address *from; /* or NULL */
	struct slice host;              /* "name [address]" of the last host that was reached */
	struct slice site;
	int64_t end_ms, connection_messages; /* 0: over a connection go any number */
};

/* ---- trying hosts --------------------------------------------------------------------------------------- */

static int
connect_host(void *ctx, struct stream **out)
{
	struct attempt *t = ctx;
	struct loop *l = t->k->c->loop;
	const struct net_address *from = t->from != NULL && t->from->sa.ss_family == t->to->sa.ss_family ? t->from
													 : NULL;

	t->k->connections++;
	return net_connect(l, t->to, from, loop_deadline(l, t->k->c->house->limits.send_connect_timeout_ms), out);
}

static bool
all_final(const struct attempt *t)
{
	for (size_t i = 0; i < t->job.recipients_count; i++)
		if (!t->job.recipients[i].r.final)
			return false;
	return true;
}

/* For the recipients that are still open, or only for those of whom nothing is known yet. */
static void
set_open_results(struct attempt *t, int result, const char *status, struct slice text, bool overwrite)
{
	for (size_t i = 0; i < t->job.recipients_count; i++) {
		struct smtp_send_result *r = &t->job.recipients[i].r;

		if (r->final || (!overwrite && r->result != 0))
			continue;
		*r = (struct smtp_send_result){.result = result, .text = text};
		(void)!slice_to_z(slice_z(status), r->status, sizeof(r->status));
	}
}

/* The reply's host is the last that said something. */
static void
note_host(struct attempt *t)
{
	for (size_t i = 0; i < t->job.recipients_count; i++)
		if (t->job.recipients[i].r.code != 0)
			t->host = t->job.host;
}

/* Sends over a new connection to t->to, or over job.connection, and keeps the connection for the next. */
static int
send_and_keep(struct attempt *t, struct slice place, int64_t opened_ms)
{
	struct pool_connection c;
	size_t sent;
	int e;

	sent = t->job.connection == NULL ? 0 : smtp_connection_messages(t->job.connection);
	t->job.keep = t->connection_messages <= 0 || sent + 1 < (size_t)t->connection_messages;
	e = smtp_send(&t->job);
	c = (struct pool_connection){t->job.connection, t->job.host, opened_ms};
	t->job.connection = NULL;
	courier_pool_put(&t->k->pool, place, &c);
	return e;
}

static int
try_address(struct attempt *t, const struct route_host *host, struct slice place, const struct net_address *address)
{
	char text[NET_ADDRESS_TEXT_MAX];
	int e;

	net_address_text(address, text);
	t->to = address;
	t->job.host = host->is_address
	    ? arena_printf(t->job.arena, "[%s]:%u", text, (unsigned)host->port)
	    : arena_printf(t->job.arena, "%.*s [%s]:%u", SLICE_ARG(host->name), text, (unsigned)host->port);
	e = send_and_keep(t, place, loop_now_ms(t->k->c->loop));
	if (e == 0 || t->host.n == 0)
		note_host(t);
	return e;
}

/* Over connections that wait, until one works: 0 or an error of smtp_send(). ERR_NOTFOUND: none has. */
static int
try_waiting(struct attempt *t, struct slice place)
{
	struct pool_connection c;

	for (int i = 0; i < WAITING_TRIED_MAX && courier_pool_take(&t->k->pool, place, t->job.arena, &c); i++) {
		int e;

		t->job.connection = c.connection;
		t->job.host = c.host;
		e = send_and_keep(t, place, c.opened_ms);
		if (e != ERR_CLOSED) {
			if (e == 0)
				note_host(t);
			return e;
		}
	}
	return ERR_NOTFOUND;
}

/* All that makes a connection fit for one message and not for another. */
static struct slice
place_of(struct attempt *t, const struct route_host *host)
{
	char from[NET_ADDRESS_TEXT_MAX] = "";

	if (t->from != NULL)
		net_address_text(t->from, from);
	return arena_printf(t->job.arena, "%.*s|%u|%s", SLICE_ARG(host->name), (unsigned)host->port, from);
}

/* All addresses of a host, until one answers. */
static int
try_host(struct attempt *t, struct dns *d, const struct route_host *host)
{
	struct net_address *v;
	bool temporary;
	size_t n;
	struct slice place = place_of(t, host);
	int e;

	t->job.security = (struct smtp_security){.level = SMTP_TLS_MAY,
	    .client = t->k->tls,
	    .expect = {.name = host->is_address ? SLICE_EMPTY : host->name}};
	e = try_waiting(t, place);
	if (e == 0 || e == ERR_CANCELLED || e == ERR_NOMEM || all_final(t))
		return e;
	e = route_addresses(d, host, t->job.arena, loop_deadline(t->k->c->loop, t->k->c->house->limits.dns_timeout_ms),
	    &v, &n, &temporary);

	if (e != 0)
		return e;
	if (n == 0)
		set_open_results(t, temporary ? SEND_TEMPFAIL : SEND_FAIL, temporary ? "4.4.3" : "5.4.4",
		    arena_printf(t->job.arena,
			temporary ? "The address of %.*s could not be looked up in DNS"
				  : "The mail server %.*s has no address in DNS",
			SLICE_ARG(host->name)),
		    false);
	for (size_t i = 0; i < n && i < HOST_ADDRESSES_MAX; i++) {
		e = try_address(t, host, place, &v[i]);
		if (e == 0 || e == ERR_CANCELLED || e == ERR_NOMEM)
			return e;
		if (all_final(t) || loop_now_ms(t->k->c->loop) >= t->end_ms)
			return 0;
	}
	return 0;
}

static int
try_all(struct attempt *t, struct dns *d, const struct bus_courier_send_request *q)
{
	struct role_context *c = t->k->c;
	struct route route;
	int e = route_find(d, c->house, c->settings, q->domain, q->route, t->job.arena,
	    loop_deadline(c->loop, c->house->limits.dns_timeout_ms), &route);

	t->site = route.site;
	if (e == 0 && route.n == 0)
		set_open_results(t, route.result, route.status, route.text, true);
	for (size_t i = 0; e == 0 && i < route.n && !all_final(t); i++) {
		if (i > 0 && loop_now_ms(c->loop) >= t->end_ms)
			break;
		e = try_host(t, d, &route.hosts[i]);
	}
	return e;
}

/* ---- the request ------------------------------------------------------------------------------------------ */

static int
fill_reply(struct attempt *t, struct arena *a, struct bus_courier_send_reply *rep)
{
	size_t n = t->job.recipients_count;
	struct slice *results = ARENA_ARRAY(a, struct slice, n), *codes = ARENA_ARRAY(a, struct slice, n);
	struct slice *statuses = ARENA_ARRAY(a, struct slice, n), *texts = ARENA_ARRAY(a, struct slice, n);
	struct slice *classes = ARENA_ARRAY(a, struct slice, n), *dsn = ARENA_ARRAY(a, struct slice, n);

	if (results == NULL || codes == NULL || statuses == NULL || texts == NULL || classes == NULL || dsn == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct smtp_send_result *r = &t->job.recipients[i].r;

		/* Looking for words takes time, and a hostile server may give long replies to many recipients. */
		if (i % 100 == 99 && fiber_yield(t->k->c->loop) != 0)
			return ERR_CANCELLED;
		results[i] = arena_printf(a, "%d", r->result);
		codes[i] = r->code == 0 ? SLICE_EMPTY : arena_printf(a, "%d", r->code);
		statuses[i] = slice_z(r->status);
		texts[i] = r->text;
		classes[i] = arena_printf(a, "%d",
		    r->result == SEND_OK ? REPLY_NONE : (int)smtp_reply_classify(r->code, slice_z(r->status), r->text));
		dsn[i] = r->result == SEND_OK && r->dsn ? SLICE("1") : SLICE("0");
		t->k->recipients_sent += r->result == SEND_OK;
		t->k->recipients_deferred += r->result == SEND_TEMPFAIL;
		t->k->recipients_failed += r->result == SEND_FAIL;
	}
	*rep = (struct bus_courier_send_reply){.results = {results, n},
	    .codes = {codes, n},
	    .statuses = {statuses, n},
	    .texts = {texts, n},
	    .classes = {classes, n},
	    .dsn = {dsn, n},
	    .host = t->host,
	    .site = t->site,
	    .tls = t->job.tls_text};
	t->k->over_tls += t->job.tls_text.n > 0;
	return arena_failed(a) ? ERR_NOMEM : 0;
}

static int
attempt_run(struct courier *k, struct bus_courier_send_request *q, struct arena *a, struct bus_courier_send_reply *rep)
{
	struct role_context *c = k->c;
	struct resolver *resolver = k->resolver;
	struct net_address from;
	struct smtp_send_recipient *recipients = ARENA_ARRAY(a, struct smtp_send_recipient, q->recipients.n);
	struct attempt t = {
	    .k = k, .end_ms = loop_deadline(c->loop, ATTEMPT_MS), .connection_messages = q->connection_messages};
	int e;

	if (recipients == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < q->recipients.n; i++)
		recipients[i] = (struct smtp_send_recipient){.address = q->recipients.v[i],
		    .envelope = i < q->recipient_envelopes.n ? q->recipient_envelopes.v[i] : SLICE_EMPTY};
	if (c->settings->send_bind.n > 0 && net_address_parse(c->settings->send_bind, 0, &from) == 0)
		t.from = &from;
	t.job = (struct smtp_send_job){.loop = c->loop,
	    .workers = k->workers,
	    .arena = a,
	    .hostname = c->settings->hostname,
	    .reverse_path = q->reverse_path,
	    .envelope = q->envelope,
	    .recipients = recipients,
	    .recipients_count = q->recipients.n,
	    .head = q->head,
	    .body = q->body,
	    .fd = (int)q->file,
	    .size_bytes = q->file >= 0 ? q->size_bytes : (int64_t)q->body.n,
	    .connect = connect_host,
	    .connect_ctx = &t};
	resolver->users++;
	e = try_all(&t, resolver->dns, q);
	resolver_release(&resolver);
	if (e == ERR_CANCELLED || e == ERR_NOMEM)
		return e;
	set_open_results(&t, SEND_TEMPFAIL, "4.4.1", SLICE("No mail server could be reached"), false);
	return fill_reply(&t, a, rep);
}

int
courier_on_send(struct courier *k, struct bus_peer *from, struct bus_courier_send_request *q, struct arena *a,
    struct bus_courier_send_reply *rep)
{
	struct role_context *c = k->c;
	int64_t began_ms = loop_now_ms(c->loop);
	int e;

	(void)from;
	while (!k->stopping && k->active >= (size_t)c->house->limits.courier_sessions) {
		e = waitq_wait(c->loop, &k->slots, DEADLINE_NEVER);
		if (e != 0)
			return e;
	}
	if (k->stopping || q->recipients.n == 0)
		return k->stopping ? ERR_UNAVAILABLE : ERR_INVALID;
	k->active++;
	k->attempts++;
	e = attempt_run(k, q, a, rep);
	k->active--;
	waitq_wake_one(&k->slots);
	LOG(c->house, INFO, "send_attempt", LOG_S("id", q->id), LOG_S("domain", q->domain), LOG_S("host", rep->host),
	    LOG_S("tls", rep->tls), LOG_S("first_status", rep->statuses.n > 0 ? rep->statuses.v[0] : SLICE_EMPTY),
	    LOG_S("first_text", rep->texts.n > 0 ? rep->texts.v[0] : SLICE_EMPTY), LOG_I("recipients", q->recipients.n),
	    LOG_I("ms", loop_now_ms(c->loop) - began_ms), LOG_E(e));
	return e;
}
