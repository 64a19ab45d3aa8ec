/* courier_attempt.c: one attempt to carry a message to one destination. Hosts are tried in their order; a connection that waits
 * is used before a new one is opened. */
#include "role/courier_security.h"

#include "base/log.h"
#include "smtp/send_class.h"

#define VAULT_MS 10000
#define ATTEMPT_MS (20 * 60 * 1000) /* after this no further host is tried */
#define HOST_ADDRESSES_MAX 6        /* tried of one host */
#define WAITING_TRIED_MAX 3         /* connections that turn out to be lost, before a new one is opened */

/* One attempt. */
struct attempt {
	struct courier *k;
	struct dns *dns;
	struct smtp_send_job job;
	struct security_wish wish;
	struct route route;
	struct slice_list bind;      /* source addresses */
	struct smtp_sign_in sign_in; /* of the relay; without a password while it has not been asked for */
	const struct net_address *to;
	bool over;                           /* no further host is tried */
	struct slice host;                   /* "name [address]" of the last host that was reached */
	int64_t end_ms, connection_messages; /* 0: over a connection go any number */
};

/* ---- results -------------------------------------------------------------------------------------------- */

static bool
all_final(const struct attempt *t)
{
	for (size_t i = 0; i < t->job.recipients_count; i++)
		if (!t->job.recipients[i].r.final)
			return false;
	return true;
}

/* For the recipients of whom nothing is known yet, or nothing that leaves hope where this host does. */
static void
set_open_results(struct attempt *t, int result, const char *status, struct slice text)
{
	for (size_t i = 0; i < t->job.recipients_count; i++) {
		struct smtp_send_result *r = &t->job.recipients[i].r;

		if (r->final || (r->result != 0 && (r->result != SEND_FAIL || result != SEND_TEMPFAIL || t->over)))
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

/* ---- connections ------------------------------------------------------------------------------------------- */

/* Where to send from to such an address: true, or the system chooses. */
static bool
source_for(const struct attempt *t, const struct net_address *to, struct net_address *from)
{
	for (size_t i = 0; i < t->bind.n; i++)
		if (net_address_parse(t->bind.v[i], 0, from) == 0 && from->sa.ss_family == to->sa.ss_family)
			return true;
	return false;
}

static int
connect_host(void *ctx, struct stream **out)
{
	struct attempt *t = ctx;
	struct loop *l = t->k->c->loop;
	struct net_address from;
	bool bound = source_for(t, t->to, &from);

	t->k->connections++;
	return net_connect(
	    l, t->to, bound ? &from : NULL, loop_deadline(l, t->k->c->house->limits.send_connect_timeout_ms), out);
}

/* Sends over a new connection to t->to, or over job.connection, and keeps the connection for the next. */
static int
send_and_keep(struct attempt *t, struct slice place, int64_t opened_ms)
{
	size_t sent = t->job.connection == NULL ? 0 : smtp_connection_messages(t->job.connection);
	struct pool_connection c;
	int e;

	t->job.keep = t->connection_messages <= 0 || sent + 1 < (size_t)t->connection_messages;
	e = smtp_send(&t->job);
	c = (struct pool_connection){t->job.connection, t->job.host, opened_ms};
	t->job.connection = NULL;
	courier_pool_put(&t->k->pool, place, &c);
	return e;
}

/* Counts what came of a new connection's encryption. */
static void
count_tls(struct attempt *t, const struct route_host *host, const struct host_security *security, const char *address)
{
	const char *result = courier_tally_result(t->job.tls_result);
	struct slice detail = t->job.tls_error;

	/* What was sent without regard to policies, such as reports, says nothing of them; and reports of reports would never end. */
	if (!t->route.by_dns || result == NULL || t->wish.ignore_policies)
		return;
	if (security->failure != NULL && t->job.tls_result == SMTP_TLS_FINE) {
		result = security->failure;
		detail = security->text;
	}
	courier_tally_add(&t->k->tally, t->wish.domain, security->policy, host->name, slice_z(address), result, detail);
}

static int
try_address(struct attempt *t, const struct route_host *host, const struct host_security *security, struct slice place,
    const struct net_address *address)
{
	char text[NET_ADDRESS_TEXT_MAX];
	int e;

	net_address_text(address, text);
	t->to = address;
	t->job.host = host->is_address
	    ? arena_printf(t->job.arena, "[%s]:%u", text, (unsigned)host->port)
	    : arena_printf(t->job.arena, "%.*s [%s]:%u", SLICE_ARG(host->name), text, (unsigned)host->port);
	t->job.security = security->how;
	e = send_and_keep(t, place, loop_now_ms(t->k->c->loop));
	count_tls(t, host, security, text);
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
place_of(struct attempt *t, const struct route_host *host, struct slice security)
{
	struct buf b BUF_CLEANUP;

	buf_init(&b, 70000);
	buf_printf(&b, "%.*s|%u|%.*s|%.*s|%.*s", SLICE_ARG(host->name), (unsigned)host->port,
	    SLICE_ARG(t->job.hostname), SLICE_ARG(t->route.relay == NULL ? SLICE_EMPTY : t->route.relay->name),
	    SLICE_ARG(security));
	for (size_t i = 0; i < t->bind.n; i++)
		buf_printf(&b, "|%.*s", SLICE_ARG(t->bind.v[i]));
	return arena_copy(t->job.arena, buf_slice(&b));
}

/* ---- hosts ------------------------------------------------------------------------------------------------ */

/* The relay's password, of the vault. Kept no longer than this attempt. */
static int
ask_password(struct attempt *t)
{
	const struct relay_settings *r = t->route.relay;
	struct bus_vault_relay_request q = {r == NULL ? SLICE_EMPTY : r->name};
	struct bus_vault_relay_reply rep;
	int e;

	if (r == NULL || r->user.n == 0 || t->job.sign_in != NULL)
		return 0;
	e = BUS_CALL(t->k->c->bus, ROLE_VAULT, 0, vault_relay, &q, t->job.arena, &rep, VAULT_MS);
	if (e == ERR_CANCELLED || e == ERR_NOMEM)
		return e;
	if (e != 0) {
		set_open_results(t, SEND_TEMPFAIL, "4.3.5",
		    arena_printf(t->job.arena, "The password for [relay %.*s] is not to be had from the vault: %s",
			SLICE_ARG(r->name), err_text(e)));
		return e;
	}
	t->sign_in = (struct smtp_sign_in){r->user, rep.password};
	t->job.sign_in = &t->sign_in;
	return 0;
}

static int
look_up_addresses(struct attempt *t, const struct route_host *host, struct route_addresses *out)
{
	return route_addresses(
	    t->dns, host, t->job.arena, loop_deadline(t->k->c->loop, t->k->c->house->limits.dns_timeout_ms), out);
}

static bool
is_wanted(const struct attempt *t, const struct net_address *a)
{
	enum send_ip ip = t->k->c->settings->send_ip;

	return ip == SEND_IP_BOTH || (ip == SEND_IP_V4) == (a->sa.ss_family == AF_INET);
}

/* All addresses of a host, until one answers. */
static int
try_addresses(struct attempt *t, const struct route_host *host, const struct host_security *security,
    struct slice place, const struct route_addresses *found)
{
	size_t tried = 0;

	for (size_t i = 0; i < found->n && tried < HOST_ADDRESSES_MAX; i++) {
		int e;

		if (!is_wanted(t, &found->v[i]))
			continue;
		tried++;
		e = try_address(t, host, security, place, &found->v[i]);
		if (e == 0 || e == ERR_CANCELLED || e == ERR_NOMEM)
			return e;
		if (all_final(t) || loop_now_ms(t->k->c->loop) >= t->end_ms)
			return 0;
	}
	if (tried == 0)
		set_open_results(t, found->temporary ? SEND_TEMPFAIL : SEND_FAIL, found->temporary ? "4.4.3" : "5.4.4",
		    arena_printf(t->job.arena,
			found->temporary   ? "The address of %.*s could not be looked up in DNS"
			    : found->n > 0 ? "The mail server %.*s has no address of the kind that is used here"
					   : "The mail server %.*s has no address in DNS",
			SLICE_ARG(host->name)));
	return 0;
}

static int
try_host(struct attempt *t, const struct route_host *host)
{
	bool signed_zone = t->route.by_dns && t->route.secure;
	struct route_addresses found;
	struct host_security security;
	struct slice place;
	int e = signed_zone ? look_up_addresses(t, host, &found) : 0;

	if (e == 0)
		e = courier_security(
		    t->k, t->dns, &t->wish, &t->route, host, signed_zone ? &found : NULL, t->job.arena, &security);
	if (e != 0)
		return e;
	if (!security.usable) {
		if (security.failure != NULL)
			courier_tally_add(&t->k->tally, t->wish.domain, security.policy, host->name, SLICE_EMPTY,
			    security.failure, security.text);
		set_open_results(t, security.result, security.status, security.text);
		return 0;
	}
	place = place_of(t, host, security.key);
	e = try_waiting(t, place);
	if (e == 0 || e == ERR_CANCELLED || e == ERR_NOMEM || all_final(t))
		return e;
	e = ask_password(t);
	if (e != 0)
		return e == ERR_CANCELLED || e == ERR_NOMEM ? e : 0;
	if (!signed_zone)
		e = look_up_addresses(t, host, &found);
	return e != 0 ? e : try_addresses(t, host, &security, place, &found);
}

/* What the domain says of encryption, where it is asked. */
static int
look_up_policy(struct attempt *t)
{
	struct sts_answer *sts = &t->wish.sts;
	int e;

	if (!t->route.by_dns || t->route.n == 0 || !t->k->c->settings->send_mta_sts)
		return 0;
	e = courier_sts_find(&t->k->sts, t->dns, t->wish.domain, t->job.arena, sts);
	if (e == 0 && sts->failure != NULL)
		courier_tally_add(
		    &t->k->tally, t->wish.domain, SLICE("sts"), SLICE_EMPTY, SLICE_EMPTY, sts->failure, sts->detail);
	return e;
}

static struct slice
domain_of(struct slice address)
{
	size_t at = slice_rfind_byte(address, '@');

	return at == SLICE_NONE ? SLICE_EMPTY : slice_from(address, at + 1);
}

static int
try_all(struct attempt *t, const struct bus_courier_send_request *q)
{
	struct role_context *c = t->k->c;
	struct route_question ask = {q->domain, q->route, domain_of(q->reverse_path)};
	int e = route_find(t->dns, c->house, c->settings, &ask, t->job.arena,
	    loop_deadline(c->loop, c->house->limits.dns_timeout_ms), &t->route);

	if (e == 0)
		e = look_up_policy(t);
	if (e == 0 && t->route.n == 0)
		set_open_results(t, t->route.result, t->route.status, t->route.text);
	for (size_t i = 0; e == 0 && i < t->route.n && !all_final(t); i++) {
		if (i > 0 && loop_now_ms(c->loop) >= t->end_ms)
			break;
		e = try_host(t, &t->route.hosts[i]);
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
	    .site = t->route.site,
	    .tls = t->job.tls_text};
	t->k->over_tls += t->job.tls_text.n > 0;
	return arena_failed(a) ? ERR_NOMEM : 0;
}

static bool
envelope_has(struct slice envelope, const char *name, const char *want)
{
	struct slice value;

	return smtp_envelope_get(envelope, slice_z(name), &value) && (want == NULL || slice_ieq(value, slice_z(want)));
}

/* In lower case, without a final dot. */
static struct slice
domain_key(struct arena *a, struct slice domain)
{
	uint8_t *p;

	if (slice_ends(domain, SLICE(".")))
		domain = slice_head(domain, domain.n - 1);
	p = arena_alloc(a, domain.n + 1);
	for (size_t i = 0; p != NULL && i < domain.n; i++)
		p[i] = ascii_lower(slice_at(domain, i));
	return slice_of(p, p == NULL ? 0 : domain.n);
}

static void
fill_job(struct attempt *t, const struct bus_courier_send_request *q, struct smtp_send_recipient *recipients)
{
	const struct settings *s = t->k->c->settings;
	const struct sender_settings *sender = settings_sender(s, domain_of(q->reverse_path));
	bool require_tls = q->reverse_path.n > 0 && envelope_has(q->envelope, "REQUIRETLS", NULL);

	for (size_t i = 0; i < q->recipients.n; i++)
		recipients[i] = (struct smtp_send_recipient){.address = q->recipients.v[i],
		    .envelope = i < q->recipient_envelopes.n ? q->recipient_envelopes.v[i] : SLICE_EMPTY};
	t->bind = sender != NULL && sender->bind.n > 0 ? sender->bind : s->send_bind;
	t->wish = (struct security_wish){.domain = domain_key(t->job.arena, q->domain),
	    .require_tls = require_tls,
	    .ignore_policies = !require_tls && envelope_has(q->envelope, "TLS-REQUIRED", "NO")};
	t->job = (struct smtp_send_job){.loop = t->k->c->loop,
	    .workers = t->k->workers,
	    .arena = t->job.arena,
	    .hostname = sender != NULL && sender->helo.n > 0 ? sender->helo : s->hostname,
	    .reverse_path = q->reverse_path,
	    .envelope = q->envelope,
	    .recipients = recipients,
	    .recipients_count = q->recipients.n,
	    .head = q->head,
	    .body = q->body,
	    .fd = (int)q->file,
	    .size_bytes = q->file >= 0 ? q->size_bytes : (int64_t)q->body.n,
	    .require_tls = require_tls,
	    .connect = connect_host,
	    .connect_ctx = t};
}

static int
attempt_run(struct courier *k, struct bus_courier_send_request *q, struct arena *a, struct bus_courier_send_reply *rep)
{
	struct resolver *resolver = k->resolver;
	struct smtp_send_recipient *recipients = ARENA_ARRAY(a, struct smtp_send_recipient, q->recipients.n);
	struct attempt t = {.k = k,
	    .dns = resolver->dns,
	    .job = {.arena = a},
	    .end_ms = loop_deadline(k->c->loop, ATTEMPT_MS),
	    .connection_messages = q->connection_messages};
	int e;

	if (recipients == NULL)
		return ERR_NOMEM;
	fill_job(&t, q, recipients);
	(void)resolver_use(resolver);
	e = try_all(&t, q);
	resolver_release(&resolver);
	if (e == ERR_CANCELLED || e == ERR_NOMEM)
		return e;
	t.over = true;
	set_open_results(&t, SEND_TEMPFAIL, "4.4.1", SLICE("No mail server could be reached"));
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
