/* assess.c: the checks in their order, and what follows from them. */
#include "trust/assess.h"

#include "trust/auth_results.h"

#define REPLY_BYTES_MAX 400

const char *
assess_override_name(enum assess_override o)
{
	switch (o) {
	case ASSESS_LOCAL_POLICY: return "local_policy";
	case ASSESS_MAILING_LIST: return "mailing_list";
	case ASSESS_TRUSTED_FORWARDER: return "trusted_forwarder";
	case ASSESS_TEST_MODE: return "policy_test_mode";
	case ASSESS_AS_ASKED: break;
	}
	return "";
}

const char *
assess_verdict_name(enum assess_verdict v)
{
	switch (v) {
	case ASSESS_TO_JUNK: return "junk";
	case ASSESS_DEFER: return "defer";
	case ASSESS_REFUSE:
	case ASSESS_REFUSE_SPF: return "refuse";
	case ASSESS_FINE: break;
	}
	return "fine";
}

enum dmarc_policy
assess_disposition(const struct assessment *r)
{
	if (r->verdict == ASSESS_REFUSE)
		return DMARC_POLICY_REJECT;
	return r->verdict == ASSESS_TO_JUNK ? DMARC_POLICY_QUARANTINE : DMARC_POLICY_NONE;
}

bool
assess_is_forged(const struct assessment *r)
{
	bool vouched = r->spf.result == TRUST_PASS || (r->dmarc.result == TRUST_PASS && r->dmarc.spf_aligned);

	return !vouched && (r->spf.result == TRUST_FAIL || r->dmarc.result == TRUST_FAIL);
}

/* ---- DMARC ---------------------------------------------------------------------------------------------------- */

/* How bad a result is, that of several authors counts the worst. */
static int
badness(const struct dmarc_result *r)
{
	if (r->result == TRUST_FAIL)
		return 10 + (int)r->policy;
	if (r->result == TRUST_PERMERROR)
		return 3;
	return r->result == TRUST_TEMPERROR ? 2 : r->result == TRUST_NONE ? 1 : 0;
}

static struct slice_list
from_values(const struct dkim_reader *reader, struct arena *a)
{
	const struct header *h = dkim_reader_header(reader);
	struct slice *v = ARENA_ARRAY(a, struct slice, h->n + 1);
	size_t n = 0;

	for (const struct header_field *f = header_find(h, SLICE("From")); v != NULL && f != NULL;
	     f = header_find_next(h, f))
		v[n++] = f->value;
	return (struct slice_list){v, n};
}

static int
judge_author(const struct assess_question *q, struct arena *a, struct slice author, struct assessment *r)
{
	struct dmarc_signature *v = ARENA_ARRAY(a, struct dmarc_signature, r->dkim.n + 1);
	struct dmarc_input in = {.author = author,
	    .spf = r->spf.result,
	    .spf_domain = r->spf.domain,
	    .signatures = v,
	    .signatures_n = r->dkim.n};
	struct dmarc_result one;
	int e;

	if (v == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < r->dkim.n; i++)
		v[i] = (struct dmarc_signature){.domain = r->dkim.v[i].domain, .result = r->dkim.v[i].result};
	e = dmarc_evaluate(&q->dns, a, &in, &one);
	if (e == 0 && (r->signatures == NULL || badness(&one) > badness(&r->dmarc))) {
		r->dmarc = one;
		r->signatures = v;
	}
	return e;
}

/* RFC 9989 §5.3.1 and §11.5: who writes several authors into a message does not get around their policies. */
static int
judge_authors(const struct assess_question *q, struct arena *a, struct assessment *r)
{
	struct slice_list authors;
	bool complete;
	int e = dmarc_authors(a, from_values(q->reader, a), ASSESS_AUTHORS_MAX, &authors, &complete);

	r->dmarc = (struct dmarc_result){0};
	r->authors = authors.n;
	for (size_t i = 0; e == 0 && i < authors.n; i++)
		e = judge_author(q, a, authors.v[i], r);
	if (e != 0 || r->dmarc.result == TRUST_FAIL || (authors.n > 0 && complete))
		return e;
	r->dmarc.result = TRUST_PERMERROR;
	r->dmarc.policy = r->dmarc.published = DMARC_POLICY_NONE;
	r->dmarc.reason = SLICE(
	    "the message does not say clearly whom it is from: its From has no address, one that is not "
	    "valid, or too many");
	return 0;
}

/* ---- others who send messages on -------------------------------------------------------------------------------- */

static bool
is_within(struct slice name, struct slice domain)
{
	return name.n >= domain.n && domain.n > 0 && slice_iends(name, domain) &&
	    (name.n == domain.n || slice_at(name, name.n - domain.n - 1) == '.');
}

static bool
is_listed(struct slice name, struct slice_list domains)
{
	for (size_t i = 0; i < domains.n; i++)
		if (is_within(name, domains.v[i]))
			return true;
	return false;
}

/* Is somebody of these domains shown to have sent the message? NULL: of any. */
static bool
is_from(const struct assessment *r, const struct slice_list *domains)
{
	if (r->spf.result == TRUST_PASS && (domains == NULL || is_listed(r->spf.domain, *domains)))
		return true;
	for (size_t i = 0; i < r->dkim.n; i++)
		if (r->dkim.v[i].result == TRUST_PASS && (domains == NULL || is_listed(r->dkim.v[i].domain, *domains)))
			return true;
	return false;
}

/* The fields of a mailing list (RFC 2919, RFC 2369). */
static bool
looks_like_list(const struct dkim_reader *reader)
{
	const struct header *h = dkim_reader_header(reader);

	return header_find(h, SLICE("List-Id")) != NULL || header_find(h, SLICE("List-Post")) != NULL;
}

/* Do these results say that the message was the author's when it came there? */
static bool
confirms(struct arena *a, struct slice results, const struct dmarc_result *d)
{
	struct auth_results_field f;

	if (auth_results_parse(a, results, &f) != 0)
		return false;
	for (size_t i = 0; i < f.n; i++) {
		const struct auth_results_item *m = &f.v[i];
		struct slice from = auth_results_find(m, SLICE("header.from"));
		struct slice signer = auth_results_find(m, SLICE("header.d"));

		if (!slice_eq(m->result, SLICE("pass")))
			continue;
		if (slice_eq(m->method, SLICE("dmarc")) && slice_ieq(from, d->author))
			return true;
		if (slice_eq(m->method, SLICE("dkim")) && d->org_domain.n > 0 && is_within(signer, d->org_domain))
			return true;
	}
	return false;
}

/* From the newest seal back as long as the sealers are trusted: did one of them see the message pass (RFC 8617 §7.2.1)? */
static bool
is_trusted_forwarder(const struct assess_question *q, struct arena *a, const struct assessment *r)
{
	if (r->arc.result != TRUST_PASS)
		return false;
	for (size_t i = r->arc.n; i > 0; i--) {
		const struct arc_sealer *s = &r->arc.sealers[i - 1];

		if (!is_listed(s->domain, q->rules->sealers))
			return false;
		if (confirms(a, s->results, &r->dmarc))
			return true;
	}
	return false;
}

/* ---- the verdict -------------------------------------------------------------------------------------------------- */

static void
decide(struct assessment *r, enum assess_verdict verdict, enum assess_override override, const char *comment)
{
	r->verdict = verdict;
	r->override = override;
	r->override_comment = comment;
}

/* What is asked for, or what is known to be better. To refuse because of the domain's policy alone is not allowed (RFC 9989 §7.4): what
 * speaks for a message that was passed on by a mailing list is looked at first. */
static void
apply_policy(const struct assess_question *q, struct arena *a, struct assessment *r)
{
	const struct assess_rules *rules = q->rules;
	bool reject = r->dmarc.policy == DMARC_POLICY_REJECT;

	if (r->dmarc.policy == DMARC_POLICY_NONE)
		return;
	if (is_trusted_forwarder(q, a, r))
		decide(
		    r, ASSESS_FINE, ASSESS_TRUSTED_FORWARDER, "an ARC seal that is trusted says that it was in order");
	else if (is_from(r, &rules->lists))
		decide(r, ASSESS_FINE, ASSESS_MAILING_LIST, "it comes from a mailing list that is known");
	else if (rules->dmarc == ASSESS_NOTE)
		decide(r, ASSESS_FINE, ASSESS_LOCAL_POLICY, "policies are only noted here");
	else if (!reject)
		r->verdict = ASSESS_TO_JUNK;
	else if (looks_like_list(q->reader) && is_from(r, NULL))
		decide(r, ASSESS_TO_JUNK, ASSESS_MAILING_LIST, "it looks as if a mailing list passed it on");
	else if (rules->dmarc == ASSESS_JUNK)
		decide(r, ASSESS_TO_JUNK, ASSESS_LOCAL_POLICY, "nothing is refused here because of its author");
	else
		r->verdict = ASSESS_REFUSE;
}

/* What may stand in a reply. */
static struct slice
make_reply(struct arena *a, struct slice text)
{
	char *z = arena_z(a, slice_head(text, REPLY_BYTES_MAX));
	size_t n = text.n < REPLY_BYTES_MAX ? text.n : REPLY_BYTES_MAX;

	for (size_t i = 0; z != NULL && i < n; i++)
		if ((uint8_t)z[i] < 32 || (uint8_t)z[i] > 126)
			z[i] = '?';
	return slice_of(z, z == NULL ? 0 : n);
}

static void
judge(const struct assess_question *q, struct arena *a, struct assessment *r)
{
	const struct dmarc_result *d = &r->dmarc;

	decide(r, ASSESS_FINE, ASSESS_AS_ASKED, "");
	if (d->result == TRUST_FAIL) {
		if (d->policy != d->published)
			decide(r, ASSESS_FINE, ASSESS_TEST_MODE, "the domain is testing its policy");
		apply_policy(q, a, r);
	} else if (r->authors == ASSESS_AUTHORS_MAX && d->result == TRUST_PERMERROR && q->rules->dmarc != ASSESS_NOTE) {
		/* More authors than are looked at are there to hide one. */
		r->verdict = ASSESS_TO_JUNK;
	}
	if (r->verdict == ASSESS_FINE && q->rules->spf_reject && r->spf.result == TRUST_FAIL &&
	    d->result != TRUST_PASS && r->override != ASSESS_TRUSTED_FORWARDER)
		r->verdict = ASSESS_REFUSE_SPF;
	if (r->verdict == ASSESS_FINE && q->rules->defer &&
	    (d->result == TRUST_TEMPERROR || (d->result == TRUST_NONE && r->spf.result == TRUST_TEMPERROR)))
		r->verdict = ASSESS_DEFER;
	if (r->verdict == ASSESS_REFUSE)
		r->reply = make_reply(a,
		    arena_printf(a, "DMARC: %.*s; %.*s asks to refuse such mail", SLICE_ARG(d->reason),
			SLICE_ARG(d->policy_domain)));
	else if (r->verdict == ASSESS_REFUSE_SPF && r->spf.explanation.n > 0)
		r->reply = make_reply(a,
		    arena_printf(a, "SPF: %.*s; that domain says: %.*s", SLICE_ARG(r->spf.reason),
			SLICE_ARG(r->spf.explanation)));
	else if (r->verdict == ASSESS_REFUSE_SPF)
		r->reply = make_reply(a, arena_printf(a, "SPF: %.*s", SLICE_ARG(r->spf.reason)));
	else if (r->verdict == ASSESS_DEFER)
		r->reply = make_reply(a, d->result == TRUST_TEMPERROR ? d->reason : r->spf.reason);
}

int
assess_weigh(const struct assess_question *q, struct arena *a, struct assessment *r)
{
	int e = judge_authors(q, a, r);

	if (e == 0)
		judge(q, a, r);
	return e == 0 && arena_failed(a) ? ERR_NOMEM : e;
}

int
assess_message(const struct assess_question *q, struct arena *a, struct assessment *out)
{
	const struct spf_question spf = {.dns = q->dns,
	    .house = q->house,
	    .client = q->client,
	    .helo = q->helo,
	    .sender = q->sender,
	    .receiver = q->hostname};
	int64_t now_s = house_now_s(q->house);
	int e;

	*out = (struct assessment){.override_comment = ""};
	e = iprev_check(&q->dns, &q->client, a, &out->iprev);
	if (e == 0)
		e = spf_check(&spf, SPF_MAIL_FROM, a, &out->spf);
	if (e == 0 && q->sender.n > 0)
		e = spf_check(&spf, SPF_HELO, a, &out->helo);
	if (e == 0)
		e = dkim_verify(q->reader, &q->dns, now_s, a, &out->dkim);
	if (e == 0)
		e = arc_verify(q->reader, &q->dns, now_s, a, &out->arc);
	return e == 0 ? assess_weigh(q, a, out) : e;
}

/* ---- telling ------------------------------------------------------------------------------------------------------- */

static void
put_signature(struct auth_results *w, const struct dkim_result *d)
{
	auth_results_put(w, "dkim", d->result, d->result == TRUST_PASS ? SLICE_EMPTY : d->reason);
	auth_results_property(w, "header.d", d->domain);
	auth_results_property(w, "header.s", d->selector);
	auth_results_property(w, "header.a", d->algorithm);
	auth_results_property(w, "header.b", slice_head(d->signature, 8));
}

/* Most hosts publish nothing for their own name, and that need not be told. */
static bool
has_helo(const struct assessment *r)
{
	return r->helo.domain.n > 0 && r->helo.result != TRUST_NONE;
}

void
assess_put_results(const struct assess_question *q, const struct assessment *r, struct buf *out)
{
	char address[NET_ADDRESS_TEXT_MAX];
	struct auth_results w;

	net_address_text(&q->client, address);
	auth_results_begin(&w, out, q->hostname);
	auth_results_put(&w, "iprev", r->iprev.result, SLICE_EMPTY);
	auth_results_property(&w, "policy.iprev", slice_z(address));
	if (r->iprev.name.n > 0)
		auth_results_comment(&w, r->iprev.name);
	auth_results_put(&w, "spf", r->spf.result, SLICE_EMPTY);
	if (q->sender.n > 0)
		auth_results_property(&w, "smtp.mailfrom", q->sender);
	else
		auth_results_property(&w, "smtp.helo", q->helo);
	if (has_helo(r)) {
		auth_results_put(&w, "spf", r->helo.result, SLICE_EMPTY);
		auth_results_property(&w, "smtp.helo", q->helo);
	}
	for (size_t i = 0; i < r->dkim.n; i++)
		put_signature(&w, &r->dkim.v[i]);
	if (r->dkim.n == 0)
		auth_results_put(&w, "dkim", TRUST_NONE, SLICE_EMPTY);
	if (r->arc.result != TRUST_NONE) {
		auth_results_put(&w, "arc", r->arc.result, SLICE_EMPTY);
		auth_results_property(&w, "smtp.remote-ip", slice_z(address));
	}
	auth_results_put(&w, "dmarc", r->dmarc.result, SLICE_EMPTY);
	auth_results_property(&w, "header.from", r->dmarc.author);
	if (r->dmarc.policy_domain.n > 0)
		auth_results_property(&w, "policy.dmarc", slice_z(dmarc_policy_name(r->dmarc.policy)));
	auth_results_end(&w);
}

static void
put_finding(struct buf *out, const char *method, enum trust_result result, struct slice reason)
{
	buf_printf(out, "%s%s: %s", out->n > 0 ? ". " : "", method, trust_result_name(result));
	if (reason.n > 0) {
		buf_put_z(out, ", ");
		buf_put(out, reason);
	}
}

static const char *
verdict_words(const struct assessment *r)
{
	if (r->verdict == ASSESS_TO_JUNK && r->dmarc.result == TRUST_FAIL && r->override == ASSESS_AS_ASKED)
		return "it goes into Junk, as the author's domain asks";
	return r->verdict == ASSESS_TO_JUNK ? "it goes into Junk" : "it is taken all the same";
}

void
assess_put_findings(const struct assess_question *q, const struct assessment *r, struct buf *out)
{
	(void)q;
	put_finding(out, "SPF", r->spf.result, r->spf.reason);
	if (has_helo(r))
		put_finding(out, "SPF of the client's name", r->helo.result, r->helo.reason);
	if (r->dkim.n == 0)
		put_finding(out, "DKIM", TRUST_NONE, SLICE("the message is not signed"));
	for (size_t i = 0; i < r->dkim.n; i++)
		put_finding(out, "DKIM", r->dkim.v[i].result, r->dkim.v[i].reason);
	if (r->arc.result != TRUST_NONE)
		put_finding(out, "ARC", r->arc.result, r->arc.reason);
	put_finding(out, "DMARC", r->dmarc.result, r->dmarc.reason);
	if (r->verdict == ASSESS_FINE && r->override == ASSESS_AS_ASKED)
		return;
	buf_printf(out, ". So %s", verdict_words(r));
	if (r->override != ASSESS_AS_ASKED)
		buf_printf(out, ": %s", r->override_comment);
}
