#include "role/gate_trust.h"

#include "base/log.h"
#include "trust/failure_report.h"

#define CHECK_ARENA_BYTES ((size_t)32 << 20)
#define TEXT_BYTES_MAX 49152
#define CLERK_MS 5000

/* One message. */
struct check {
	struct gate_trust *t;
	const struct settings *s; /* of the generation in which it began */
	struct resolver *resolver;
	struct trust_lookup lookup;
	struct dkim_reader *reader;
	struct net_address client;
	struct slice helo, sender;
	struct arena arena;
};

int
gate_trust_start(struct gate_trust *t, struct role_context *c, struct buf *detail)
{
	int e;

	*t = (struct gate_trust){.c = c};
	trust_cache_init(&t->cache, c->house);
	e = c->settings->trust_checks ? resolver_new(&t->resolver, c, c->settings, detail) : 0;
	return e == 0 ? gate_tally_start(&t->tally, c, &t->cache, &t->resolver) : e;
}

void
gate_trust_stop(struct gate_trust *t)
{
	gate_tally_stop(&t->tally);
}

int
gate_trust_reload(struct gate_trust *t, const struct settings *fresh, struct buf *detail)
{
	if (t->resolver == NULL)
		return fresh->trust_checks ? resolver_new(&t->resolver, t->c, fresh, detail) : 0;
	return resolver_reload(&t->resolver, t->c, fresh, detail);
}

void
gate_trust_status(const struct gate_trust *t, json_t *into)
{
	json_object_set_new(into, "senders_checked", json_integer((json_int_t)t->checked));
	json_object_set_new(into, "messages_to_junk", json_integer((json_int_t)t->to_junk));
	json_object_set_new(into, "senders_refused", json_integer((json_int_t)t->refused));
	json_object_set_new(into, "senders_deferred", json_integer((json_int_t)t->deferred));
	json_object_set_new(into, "sender_answers_kept", json_integer((json_int_t)t->cache.by_key.n));
	resolver_status(t->resolver, into);
}

/* ---- one message -------------------------------------------------------------------------------------------- */

static void
check_end(void *arg)
{
	struct check *k = arg;

	dkim_reader_free(&k->reader);
	if (k->resolver != NULL)
		resolver_release(&k->resolver);
	arena_free(&k->arena);
	free(k);
}

static int
check_begin(void *ctx, const struct smtp_checked *who, void **check)
{
	struct gate_trust *t = ctx;
	const struct settings *s = t->c->settings;
	struct net_address client;
	struct check *k;
	int e;

	*check = NULL;
	if (!s->trust_checks || t->resolver == NULL || net_address_parse(who->client, 0, &client) != 0 ||
	    network_list_contains(s->trust_exempt, &client))
		return 0;
	k = calloc(1, sizeof(*k));
	if (k == NULL)
		return ERR_NOMEM;
	*k = (struct check){.t = t, .s = s, .resolver = resolver_use(t->resolver), .client = client};
	arena_init(&k->arena, CHECK_ARENA_BYTES);
	k->helo = arena_copy(&k->arena, who->helo);
	k->sender = arena_copy(&k->arena, who->reverse_path);
	e = dkim_reader_new(&k->reader, &t->c->house->limits, DKIM_VERIFYING);
	if (e == 0 && arena_failed(&k->arena))
		e = ERR_NOMEM;
	if (e != 0)
		check_end(k);
	else
		*check = k;
	return e;
}

static void
check_feed(void *arg, struct slice run)
{
	struct check *k = arg;

	dkim_reader_feed(k->reader, run);
}

static enum smtp_checked_result
result_of(enum assess_verdict v)
{
	switch (v) {
	case ASSESS_DEFER: return SMTP_CHECKED_LATER;
	case ASSESS_REFUSE: return SMTP_CHECKED_DMARC;
	case ASSESS_REFUSE_SPF: return SMTP_CHECKED_SPF;
	case ASSESS_FINE:
	case ASSESS_TO_JUNK: break;
	}
	return SMTP_CHECKED_FINE;
}

static void
count(struct gate_trust *t, const struct check *k, const struct assessment *r)
{
	const char *override = assess_override_name(r->override);
	char client[NET_ADDRESS_TEXT_MAX];

	t->checked++;
	t->to_junk += r->verdict == ASSESS_TO_JUNK;
	t->deferred += r->verdict == ASSESS_DEFER;
	t->refused += r->verdict == ASSESS_REFUSE || r->verdict == ASSESS_REFUSE_SPF;
	net_address_text(&k->client, client);
	LOG(t->c->house, INFO, "sender_checked", LOG_Z("client", client), LOG_S("from", k->sender),
	    LOG_S("author", r->dmarc.author), LOG_Z("spf", trust_result_name(r->spf.result)),
	    LOG_I("signatures", r->dkim.n), LOG_Z("dmarc", trust_result_name(r->dmarc.result)),
	    LOG_Z("done", dmarc_policy_name(assess_disposition(r))), LOG_Z("override", override));
}

/* What is told of it, in the check's arena. */
static int
tell(struct check *k, const struct assess_question *q, const struct assessment *r, struct smtp_finding *out)
{
	struct buf results BUF_CLEANUP, findings BUF_CLEANUP;

	buf_init(&results, TEXT_BYTES_MAX);
	buf_init(&findings, TEXT_BYTES_MAX);
	assess_put_results(q, r, &results);
	assess_put_findings(q, r, &findings);
	*out = (struct smtp_finding){.result = result_of(r->verdict),
	    .reply = r->reply,
	    .judged = (r->verdict == ASSESS_TO_JUNK ? JUDGED_JUNK : 0) |
		(r->spf.result == TRUST_PASS ? 0 : JUDGED_UNPROVEN) | (assess_is_forged(r) ? JUDGED_FORGED : 0),
	    .results = arena_copy(&k->arena, buf_slice(&results)),
	    .findings = arena_copy(&k->arena, buf_slice(&findings))};
	return results.err != 0 || findings.err != 0 || arena_failed(&k->arena) ? ERR_NOMEM : 0;
}

/* A report that cannot be told of is not sent. */
static void
report_failure(struct check *k, const struct assess_question *q, const struct assessment *r)
{
	struct bus_clerk_dmarc_failure_reply rep;
	struct bus_clerk_dmarc_failure_request m = {.domain = r->dmarc.policy_domain, .addresses = r->dmarc.record.ruf};
	struct buf fields BUF_CLEANUP, header BUF_CLEANUP;

	buf_init(&fields, TEXT_BYTES_MAX);
	buf_init(&header, FAILURE_REPORT_BYTES_MAX);
	failure_report_put_header(q, &header);
	if (failure_report_put_fields(q, r, &k->arena, POSTHOUSE_VERSION, &fields) != 0 || fields.err != 0 ||
	    header.err != 0)
		return;
	m.fields = buf_slice(&fields);
	m.header = buf_slice(&header);
	(void)!BUS_CALL(k->t->c->bus, ROLE_CLERK, 0, clerk_dmarc_failure, &m, &k->arena, &rep, CLERK_MS);
}

static int
check_judge(void *arg, struct smtp_finding *out)
{
	struct check *k = arg;
	struct role_context *c = k->t->c;
	struct assess_question q = {.dns = trust_lookup_dns(&k->lookup),
	    .house = c->house,
	    .hostname = k->s->hostname,
	    .client = k->client,
	    .helo = k->helo,
	    .sender = k->sender,
	    .reader = k->reader,
	    .rules = &k->s->trust};
	struct assessment *r = ARENA_NEW(&k->arena, struct assessment);
	int e;

	if (r == NULL)
		return ERR_NOMEM;
	k->lookup = (struct trust_lookup){.dns = k->resolver->dns,
	    .cache = &k->t->cache,
	    .deadline_ms = loop_deadline(c->loop, c->house->limits.trust_timeout_ms)};
	e = dkim_reader_end(k->reader);
	if (e == 0)
		e = assess_message(&q, &k->arena, r);
	if (e != 0)
		return e;
	count(k->t, k, r);
	if (r->verdict != ASSESS_DEFER && k->s->report_sender.n > 0 && k->s->failure_reports &&
	    failure_report_wanted(&q, r))
		report_failure(k, &q, r);
	if (r->verdict != ASSESS_DEFER && k->s->report_sender.n > 0)
		gate_tally_add(&k->t->tally, &q, r);
	return tell(k, &q, r, out);
}

struct smtp_checks
gate_trust_checks(struct gate_trust *t)
{
	return (struct smtp_checks){check_begin, check_feed, check_judge, check_end, t};
}
