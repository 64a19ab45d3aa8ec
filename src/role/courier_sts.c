#include "role/courier_sts.h"

#include "base/log.h"
#include "role/courier_https.h"

#define CLERK_MS 10000
#define ARENA_BYTES ((size_t)1 << 20)
#define REFRESH_S 86400          /* a policy that is older is fetched again when the next mail comes */
#define RETRY_MS (5 * 60 * 1000) /* RFC 8461 §3.3: after a failure */
#define TXT_MAX 50

struct sts_domain {
	struct list_node node;
	struct slice name; /* behind the struct */
	bool busy;
	bool asked; /* the clerk */
	char id[MTA_STS_ID_MAX + 1];
	struct buf policy; /* its text; empty: none */
	int64_t fetched_s, expires_s;
	int64_t looked_ms; /* when it was last looked up, monotonic; 0: never */
	int64_t retry_ms;  /* no fetching before */
	const char *failure;
	char detail[300];
};

/* ---- domains ------------------------------------------------------------------------------------------------ */

static void
domain_free(struct courier_sts *s, struct sts_domain *d)
{
	list_remove(&d->node);
	(void)map_remove(&s->domains, d->name);
	buf_free(&d->policy);
	free(d);
}

static struct sts_domain *
domain_get(struct courier_sts *s, struct slice name)
{
	struct sts_domain *d = map_get(&s->domains, name);

	if (d != NULL) {
		list_remove(&d->node);
		list_push(&s->all, &d->node);
		return d;
	}
	if (s->domains.n >= (size_t)s->c->house->limits.mta_sts_policies)
		LIST_FOREACH (&s->all, node) {
			struct sts_domain *oldest = CONTAINER_OF(node, struct sts_domain, node);

			if (oldest->busy)
				continue;
			domain_free(s, oldest);
			break;
		}
	d = calloc(1, sizeof(*d) + name.n);
	if (d == NULL)
		return NULL;
	memcpy(d + 1, name.p, name.n);
	d->name = slice_of(d + 1, name.n);
	buf_init(&d->policy, MTA_STS_POLICY_BYTES_MAX);
	if (map_put(&s->domains, name, d) != 0) {
		free(d);
		return NULL;
	}
	list_push(&s->all, &d->node);
	return d;
}

void
courier_sts_init(struct courier_sts *s, struct role_context *c, struct tls_client *tls)
{
	*s = (struct courier_sts){.c = c, .tls = tls};
	list_init(&s->all);
	waitq_init(&s->done);
	map_init(&s->domains, (size_t)c->house->limits.mta_sts_policies + 1000, house_random_u64(c->house));
}

void
courier_sts_free(struct courier_sts *s)
{
	if (s->c == NULL)
		return;
	while (!list_empty(&s->all))
		domain_free(s, CONTAINER_OF(list_first(&s->all), struct sts_domain, node));
	map_free(&s->domains);
	s->c = NULL;
}

static void
fail(struct sts_domain *d, const char *failure, struct slice detail)
{
	d->failure = failure;
	(void)snprintf(d->detail, sizeof(d->detail), "%.*s", SLICE_ARG(detail));
}

static bool
is_good(const struct courier_sts *s, const struct sts_domain *d)
{
	return d->policy.n > 0 && house_now_s(s->c->house) < d->expires_s;
}

/* ---- fetching ------------------------------------------------------------------------------------------------ */

struct fetch {
	struct courier_sts *s;
	struct sts_domain *d;
	struct arena *a;
	struct slice host;
	int64_t end_ms;
	struct http_reply reply;
};

/* RFC 8461 §3.3: no redirects, no caches. */
static int
get(struct fetch *f, struct dns *dns)
{
	static const char *const failures[] = {[HTTPS_CONNECTING] = "sts-policy-fetch-error",
	    [HTTPS_SECURING] = "sts-webpki-invalid",
	    [HTTPS_ASKING] = "sts-policy-fetch-error"};
	const struct https_ask q = {.c = f->s->c,
	    .tls = f->s->tls,
	    .dns = dns,
	    .a = f->a,
	    .host = f->host,
	    .port = f->s->c->settings->mta_sts_port,
	    .head = SLICE("GET /.well-known/mta-sts.txt HTTP/1.1\r\nAccept: text/plain\r\n"),
	    .end_ms = f->end_ms};
	enum https_stage stage;
	struct slice why;
	int e = courier_https(&q, &f->reply, &stage, &why);

	if (e != 0)
		fail(f->d, failures[stage], why);
	return e;
}

static int
take_policy(struct fetch *f, struct slice id)
{
	struct sts_domain *d = f->d;
	struct role_context *c = f->s->c;
	struct mta_sts_policy policy;
	int e;

	if (f->reply.status != 200 || strcmp(f->reply.type, "text/plain") != 0) {
		fail(d, "sts-policy-fetch-error",
		    arena_printf(f->a, "%.*s answered with status %d and type %s, not with 200 and text/plain",
			SLICE_ARG(f->host), f->reply.status, f->reply.type[0] != '\0' ? f->reply.type : "none"));
		return ERR_INVALID;
	}
	e = !slice_is_utf8(buf_slice(&f->reply.body), true)
	    ? ERR_SYNTAX
	    : mta_sts_policy_parse(buf_slice(&f->reply.body), f->a, (size_t)c->house->limits.mta_sts_names, &policy);
	if (e != 0) {
		fail(d, "sts-policy-invalid",
		    arena_printf(
			f->a, "What %.*s answered is not an MTA-STS policy: %s", SLICE_ARG(f->host), err_text(e)));
		return e;
	}
	buf_reset(&d->policy);
	buf_put(&d->policy, buf_slice(&f->reply.body));
	d->failure = NULL;
	d->fetched_s = house_now_s(c->house);
	d->expires_s = d->fetched_s + policy.max_age_s;
	return slice_to_z(id, d->id, sizeof(d->id));
}

/* So that a restart does not forget it, and other couriers know. */
static void
tell_clerk(struct courier_sts *s, const struct sts_domain *d, struct arena *a)
{
	struct bus_clerk_sts_put_request q = {
	    d->name, slice_z(d->id), buf_slice(&d->policy), d->fetched_s, d->expires_s};
	struct bus_clerk_sts_put_reply rep;
	int e = BUS_CALL(s->c->bus, ROLE_CLERK, 0, clerk_sts_put, &q, a, &rep, CLERK_MS);

	if (e != 0)
		LOG(s->c->house, WARN, "sts_policy_not_kept", LOG_S("domain", d->name), LOG_E(e));
}

static int
fetch(struct courier_sts *s, struct dns *dns, struct sts_domain *d, struct slice id, struct arena *a)
{
	struct fetch f = {.s = s,
	    .d = d,
	    .a = a,
	    .host = arena_printf(a, "mta-sts.%.*s", SLICE_ARG(d->name)),
	    .end_ms = loop_deadline(s->c->loop, s->c->house->limits.mta_sts_fetch_ms)};
	int e;

	http_reply_init(&f.reply, MTA_STS_POLICY_BYTES_MAX);
	e = get(&f, dns);
	if (e == 0)
		e = take_policy(&f, id);
	http_reply_free(&f.reply);
	if (e == 0) {
		s->fetched++;
		tell_clerk(s, d, a);
		LOG(s->c->house, INFO, "sts_policy_fetched", LOG_S("domain", d->name), LOG_Z("id", d->id),
		    LOG_I("expires_s", d->expires_s));
	} else if (e != ERR_CANCELLED && e != ERR_NOMEM) {
		s->failed++;
		d->retry_ms = loop_deadline(s->c->loop, RETRY_MS);
		LOG(s->c->house, WARN, "sts_policy_not_fetched", LOG_S("domain", d->name), LOG_Z("failure", d->failure),
		    LOG_Z("why", d->detail));
	}
	return e == ERR_CANCELLED || e == ERR_NOMEM ? e : 0;
}

/* ---- looking up ---------------------------------------------------------------------------------------------- */

/* What was fetched before this process began, or by another courier. */
static int
ask_clerk(struct courier_sts *s, struct sts_domain *d, struct arena *a)
{
	struct bus_clerk_sts_get_request q = {d->name};
	struct bus_clerk_sts_get_reply rep;
	struct mta_sts_policy policy;
	int e = BUS_CALL(s->c->bus, ROLE_CLERK, 0, clerk_sts_get, &q, a, &rep, CLERK_MS);

	if (e == ERR_CANCELLED || e == ERR_NOMEM)
		return e;
	d->asked = e == 0;
	if (e != 0 || rep.found != 1 || slice_to_z(rep.policy_id, d->id, sizeof(d->id)) != 0 ||
	    mta_sts_policy_parse(rep.policy, a, (size_t)s->c->house->limits.mta_sts_names, &policy) != 0)
		return 0;
	buf_reset(&d->policy);
	buf_put(&d->policy, rep.policy);
	d->fetched_s = rep.fetched_s;
	d->expires_s = rep.fetched_s + policy.max_age_s;
	return 0;
}

/* The id in DNS. ERR_NOTFOUND: none, or it cannot be known now: then what is known already counts (§3.1). */
static int
look_up_id(struct dns *dns, struct sts_domain *d, struct arena *a, int64_t end_ms, struct slice *id)
{
	struct dns_answer answer;
	struct slice texts[TXT_MAX];
	size_t n = 0;
	int e = dns_ask(dns, arena_printf(a, "_mta-sts.%.*s", SLICE_ARG(d->name)), DNS_TXT, a, end_ms, &answer);

	if (e != 0)
		return e == ERR_INVALID ? ERR_NOTFOUND : e;
	if (answer.status != DNS_OK)
		return ERR_NOTFOUND;
	for (size_t i = 0; i < answer.rdata.n && n < TXT_MAX; i++) {
		e = dns_txt_decode(answer.rdata.v[i], a, &texts[n]);
		if (e == ERR_NOMEM)
			return e;
		n += e == 0;
	}
	e = mta_sts_record((struct slice_list){texts, n}, id);
	return e == ERR_SYNTAX ? ERR_NOTFOUND : e;
}

static int
look_up(struct courier_sts *s, struct dns *dns, struct sts_domain *d)
{
	struct loop *l = s->c->loop;
	struct arena a ARENA_CLEANUP;
	struct slice id;
	int e = 0;

	arena_init(&a, ARENA_BYTES);
	if (!d->asked || !is_good(s, d))
		e = ask_clerk(s, d, &a);
	if (e == 0)
		e = look_up_id(dns, d, &a, loop_deadline(l, s->c->house->limits.dns_timeout_ms), &id);
	if (e == ERR_NOTFOUND) {
		d->failure = NULL;
		e = 0;
	} else if (e == 0 &&
	    (!is_good(s, d) || !slice_eq(id, slice_z(d->id)) || house_now_s(s->c->house) - d->fetched_s > REFRESH_S) &&
	    loop_now_ms(l) >= d->retry_ms) {
		e = fetch(s, dns, d, id, &a);
	}
	d->looked_ms = loop_now_ms(l);
	return e;
}

/* One at a time for each domain: the others wait for what it finds. */
static int
make_current(struct courier_sts *s, struct dns *dns, struct sts_domain *d)
{
	int e;

	d->busy = true;
	e = look_up(s, dns, d);
	d->busy = false;
	waitq_wake_all(&s->done);
	return e;
}

int
courier_sts_find(struct courier_sts *s, struct dns *dns, struct slice domain, struct arena *a, struct sts_answer *out)
{
	int64_t fresh_ms = s->c->house->limits.mta_sts_look_ms;
	struct sts_domain *d;
	int e = 0;

	*out = (struct sts_answer){.found = false};
	for (;;) {
		d = domain_get(s, domain);
		if (d == NULL)
			return ERR_NOMEM;
		if (!d->busy)
			break;
		e = waitq_wait(s->c->loop, &s->done, DEADLINE_NEVER);
		if (e != 0)
			return e;
	}
	if (d->looked_ms == 0 || loop_now_ms(s->c->loop) - d->looked_ms >= fresh_ms)
		e = make_current(s, dns, d);
	if (e != 0)
		return e;
	if (is_good(s, d)) {
		e = mta_sts_policy_parse(
		    arena_copy(a, buf_slice(&d->policy)), a, (size_t)s->c->house->limits.mta_sts_names, &out->policy);
		if (e == ERR_NOMEM)
			return e;
		out->found = e == 0 && out->policy.mode != MTA_STS_NONE;
	}
	out->failure = out->found ? NULL : d->failure;
	out->detail = arena_copy(a, slice_z(d->detail));
	return arena_failed(a) ? ERR_NOMEM : 0;
}

void
courier_sts_refresh(struct courier_sts *s, struct dns *dns)
{
	struct bus_clerk_sts_due_request q = {house_now_s(s->c->house) - REFRESH_S};
	struct bus_clerk_sts_due_reply rep;
	struct arena a ARENA_CLEANUP;

	arena_init(&a, ARENA_BYTES);
	if (BUS_CALL(s->c->bus, ROLE_CLERK, 0, clerk_sts_due, &q, &a, &rep, CLERK_MS) != 0)
		return;
	for (size_t i = 0; i < rep.domains.n; i++) {
		struct sts_domain *d = domain_get(s, rep.domains.v[i]);

		if (d != NULL && !d->busy && make_current(s, dns, d) == ERR_CANCELLED)
			return;
	}
}
