/* spf.c: check_host() (RFC 7208 §4): the records of a domain, and of those that it includes or redirects to, term by term. What comes of
 * DNS lies in an arena of the check's own, which is given back term by term; sentences lie in the caller's. */
#include "trust/spf.h"

#include "message/mailbox.h"
#include "trust/reverse.h"
#include "trust/spf_macro.h"
#include "trust/spf_record.h"

#define WORK_BYTES_MAX (16u << 20)
#define SHOWN_BYTES_MAX 255u

struct check {
	const struct spf_question *q;
	struct trust_dns dns; /* the question's, until the time is over */
	struct arena *a;      /* the caller's */
	struct arena work;
	struct client_ip ip;
	struct spf_values values;
	struct reverse reverse;
	bool reversed; /* the names of the address are known */
	int64_t deadline_ms;
	bool late;
	bool answered; /* a question of the present term had an answer */
	unsigned lookups, voids;
	struct slice problem; /* why it is temperror, permerror or none: a sentence */
	struct slice matched; /* the term that matched, for people: with whose it is, and by way of which include */
};

/* One evaluation of check_host(): the first, or that of an include. */
struct level {
	struct slice domain; /* whose record it is; changes with a redirect */
	bool included, redirected;
	struct spf_record record;
	enum trust_result result;
	struct slice term; /* which decided */
};

/* What a mechanism comes to (§4.6.2). */
enum outcome { NO_MATCH, MATCH, TEMPORARY, PERMANENT };

static int check_host(struct check *c, struct level *l);

/* ---- small things ---------------------------------------------------------------------------------------------- */

const char *
spf_identity_name(enum spf_identity identity)
{
	return identity == SPF_HELO ? "helo" : "mailfrom";
}

/* What strangers wrote, fit to stand in a sentence. */
static struct slice
shown(struct arena *a, struct slice s)
{
	uint8_t *p = arena_alloc(a, SHOWN_BYTES_MAX);
	size_t n = s.n < SHOWN_BYTES_MAX ? s.n : SHOWN_BYTES_MAX;

	for (size_t i = 0; p != NULL && i < n; i++) {
		uint8_t c = slice_at(s, i);

		p[i] = c < ' ' || c > '~' ? '?' : c;
	}
	return slice_of(p, p == NULL ? 0 : n);
}

static int
query(void *of, struct slice name, enum trust_dns_type type, struct arena *a, struct trust_answer *out)
{
	struct check *c = of;

	if (house_mono_ms(c->q->house) >= c->deadline_ms) {
		c->late = true;
		*out = (struct trust_answer){.status = TRUST_DNS_TEMPORARY};
		return 0;
	}
	return c->q->dns.query(c->q->dns.of, name, type, a, out);
}

/* As trust_dns_ask(), for a mechanism: *outcome becomes TEMPORARY, with its sentence, when there is no telling. */
static int
ask(struct check *c, struct slice name, enum trust_dns_type type, struct trust_answer *answer, enum outcome *outcome)
{
	int e = trust_dns_ask(&c->dns, name, type, &c->work, answer);

	if (e != 0)
		return e;
	if (answer->status != TRUST_DNS_TEMPORARY)
		return 0;
	*outcome = TEMPORARY;
	c->problem = c->late ? arena_printf(c->a, "the check took longer than %lld seconds",
				   (long long)(c->q->house->limits.spf_timeout_ms / 1000))
			     : arena_printf(c->a, "the %s records of %.*s could not be looked up",
				   trust_dns_type_name(type), SLICE_ARG(shown(&c->work, name)));
	return 0;
}

/* One more term that asks DNS (§4.6.4). */
static bool
count_lookup(struct check *c, enum outcome *outcome)
{
	if (++c->lookups <= SPF_LOOKUPS_MAX)
		return true;
	*outcome = PERMANENT;
	c->problem = arena_printf(c->a, "the check takes more than %u lookups in DNS", SPF_LOOKUPS_MAX);
	return false;
}

static void
count_void(struct check *c, enum outcome *outcome)
{
	if (++c->voids <= (unsigned)c->q->house->limits.spf_void_lookups)
		return;
	*outcome = PERMANENT;
	c->problem = arena_printf(
	    c->a, "more than %lld terms lead to nothing in DNS", (long long)c->q->house->limits.spf_void_lookups);
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* Is it `domain`, or below it? */
static bool
is_within(struct slice name, struct slice domain)
{
	size_t from = name.n - domain.n;

	if (name.n < domain.n || !slice_ieq(slice_from(name, from), domain))
		return false;
	return from == 0 || (domain.n > 0 && slice_at(name, from - 1) == '.');
}

static int
look_reverse(struct check *c)
{
	struct reverse r;
	struct slice *v;
	int e;

	if (c->reversed)
		return 0;
	e = reverse_look(&c->dns, &c->ip, &c->work, &r);
	if (e != 0)
		return e;
	/* They outlive the term. */
	v = ARENA_ARRAY(c->a, struct slice, REVERSE_NAMES_MAX);
	for (size_t i = 0; v != NULL && i < r.names.n; i++)
		v[i] = arena_copy(c->a, r.names.v[i]);
	c->reverse = (struct reverse){.status = r.status, .names = {v, r.names.n}};
	c->reversed = true;
	return arena_failed(c->a) ? ERR_NOMEM : 0;
}

/* %{p} (§7.3): the domain itself, or a name below it, or any; "unknown" without one. */
static void
choose_validated(struct check *c)
{
	const struct slice_list *names = &c->reverse.names;
	struct slice best = names->n == 0 ? SLICE("unknown") : names->v[0];
	bool below = false;

	for (size_t i = 0; i < names->n; i++) {
		if (slice_ieq(names->v[i], c->values.domain)) {
			best = names->v[i];
			break;
		}
		if (!below && is_within(names->v[i], c->values.domain)) {
			below = true;
			best = names->v[i];
		}
	}
	c->values.validated = best;
}

/* The name that a term is about. *outcome becomes NO_MATCH with *out empty when the term cannot match (RFC 8616 §4). */
static int
target(struct check *c, struct slice spec, struct slice domain, struct slice *out, enum outcome *outcome)
{
	int e;

	*out = domain;
	if (spec.n == 0)
		return 0;
	*out = SLICE_EMPTY;
	if (!slice_is_ascii(c->values.local) && (spf_macro_uses(spec, 's') || spf_macro_uses(spec, 'l')))
		return 0;
	c->values.domain = domain;
	if (spf_macro_uses(spec, 'p')) {
		if (!c->reversed && !count_lookup(c, outcome))
			return 0;
		e = look_reverse(c);
		if (e != 0)
			return e;
		choose_validated(c);
	}
	e = spf_macro_domain(spec, &c->values, &c->work, out);
	if (e == 0 && !slice_is_ascii(*out))
		*out = SLICE_EMPTY;
	return e;
}

/* ---- mechanisms ---------------------------------------------------------------------------------------------------- */

static unsigned
bits_of(const struct check *c, const struct spf_term *t)
{
	return c->ip.n == 4 ? t->bits4 : t->bits6;
}

static int
match_addresses(struct check *c, const struct spf_term *t, struct slice name, enum outcome *outcome)
{
	struct trust_answer answer;
	int e = ask(c, name, client_ip_type(&c->ip), &answer, outcome);

	c->answered |= answer.n > 0;
	for (size_t i = 0; e == 0 && i < answer.n; i++)
		if (client_ip_within(&c->ip, answer.v[i].data, bits_of(c, t)))
			*outcome = MATCH;
	return e;
}

/* Too many records are an error whatever their order, which DNS does not keep (§5.4). */
static int
match_mx(struct check *c, const struct spf_term *t, struct slice name, enum outcome *outcome)
{
	struct trust_answer answer;
	int e = ask(c, name, TRUST_DNS_MX, &answer, outcome);

	if (e == 0 && answer.n > SPF_MX_MAX) {
		*outcome = PERMANENT;
		c->problem = arena_printf(
		    c->a, "%.*s has more than %u MX records", SLICE_ARG(shown(&c->work, name)), SPF_MX_MAX);
		return 0;
	}
	for (size_t i = 0; e == 0 && *outcome == NO_MATCH && i < answer.n; i++)
		if (answer.v[i].data.n > 0)
			e = match_addresses(c, t, answer.v[i].data, outcome);
		else
			c->answered = true; /* a null MX (RFC 7505) has no host, and that is an answer */
	return e;
}

/* Errors of DNS are no match here: the names are not the domain's (§5.5). */
static int
match_ptr(struct check *c, struct slice name, enum outcome *outcome)
{
	int e = look_reverse(c);

	if (e != 0)
		return e;
	c->answered = c->reverse.status != TRUST_DNS_NO_NAME && c->reverse.status != TRUST_DNS_NO_DATA;
	for (size_t i = 0; i < c->reverse.names.n; i++)
		if (is_within(c->reverse.names.v[i], name))
			*outcome = MATCH;
	return 0;
}

static int
match_exists(struct check *c, struct slice name, enum outcome *outcome)
{
	struct trust_answer answer;
	int e = ask(c, name, TRUST_DNS_A, &answer, outcome);

	if (answer.n > 0)
		*outcome = MATCH;
	return e;
}

/* The table of §5.2. */
static int
match_include(struct check *c, struct slice name, enum outcome *outcome)
{
	struct level l = {.domain = name, .included = true};
	int e = check_host(c, &l);

	c->answered = true;
	if (e != 0)
		return e;
	switch (l.result) {
	case TRUST_PASS: *outcome = MATCH; break;
	case TRUST_TEMPERROR: *outcome = TEMPORARY; break;
	case TRUST_PERMERROR:
	case TRUST_NONE: *outcome = PERMANENT; break;
	default: break;
	}
	return 0;
}

/* Those that ask DNS. */
static int
match_by_dns(struct check *c, const struct spf_term *t, struct slice domain, enum outcome *outcome)
{
	struct slice name;
	int e;

	if (!count_lookup(c, outcome))
		return 0;
	e = target(c, t->spec, domain, &name, outcome);
	if (e != 0 || *outcome != NO_MATCH || name.n == 0)
		return e;
	c->answered = false;
	switch (t->kind) {
	case SPF_INCLUDE: e = match_include(c, name, outcome); break;
	case SPF_MX: e = match_mx(c, t, name, outcome); break;
	case SPF_PTR: e = match_ptr(c, name, outcome); break;
	case SPF_EXISTS: e = match_exists(c, name, outcome); break;
	default: e = match_addresses(c, t, name, outcome); break;
	}
	if (e == 0 && *outcome == NO_MATCH && !c->answered)
		count_void(c, outcome);
	return e;
}

static int
match(struct check *c, const struct spf_term *t, struct slice domain, enum outcome *outcome)
{
	*outcome = NO_MATCH;
	switch (t->kind) {
	case SPF_ALL: *outcome = MATCH; return 0;
	case SPF_IP4:
	case SPF_IP6:
		if (client_ip_within(&c->ip, slice_of(t->network, t->kind == SPF_IP4 ? 4 : 16), bits_of(c, t)))
			*outcome = MATCH;
		return 0;
	case SPF_REDIRECT:
	case SPF_EXP:
	case SPF_UNKNOWN: return 0;
	default: return match_by_dns(c, t, domain, outcome);
	}
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

/* A name that may have a record (§4.3). *why is set when it is none. */
static bool
is_domain(struct slice s, const char **why)
{
	*why = slice_starts(s, SLICE("[")) ? "is an address, not a domain" : "is not a domain name";
	if (slice_ends(s, SLICE(".")))
		s = slice_head(s, s.n - 1);
	for (size_t i = 0; i < s.n; i++)
		if (slice_at(s, i) <= ' ' || slice_at(s, i) > '~')
			return false;
	return trust_dns_is_name(s) && slice_find_byte(s, '.') != SLICE_NONE && !slice_starts(s, SLICE("["));
}

/* The one record of SPF among those of the domain (§4.4, §4.5): TRUST_PASS when there is one, else what comes of it. */
static int
find_record(struct check *c, struct slice domain, struct slice *text, enum trust_result *out)
{
	enum outcome outcome = NO_MATCH;
	struct slice name = shown(&c->work, domain);
	struct trust_answer answer;
	size_t n = 0;
	const char *why;
	int e;

	*out = TRUST_NONE;
	if (!is_domain(domain, &why)) {
		c->problem = arena_printf(c->a, "\"%.*s\" %s", SLICE_ARG(name), why);
		return 0;
	}
	e = ask(c, domain, TRUST_DNS_TXT, &answer, &outcome);
	if (e != 0)
		return e;
	for (size_t i = 0; i < answer.n; i++)
		if (spf_record_is_spf(answer.v[i].data)) {
			*text = answer.v[i].data;
			n++;
		}
	if (outcome == TEMPORARY) {
		*out = TRUST_TEMPERROR;
	} else if (n == 1) {
		*out = TRUST_PASS;
	} else if (n == 0) {
		c->problem = arena_printf(c->a, "%.*s has no SPF record", SLICE_ARG(name));
	} else {
		*out = TRUST_PERMERROR;
		c->problem = arena_printf(c->a, "%.*s has more than one SPF record", SLICE_ARG(name));
	}
	return 0;
}

static int
read_record(struct check *c, struct level *l)
{
	struct slice text = SLICE_EMPTY, wrong;
	const char *why;
	int e = find_record(c, l->domain, &text, &l->result);

	if (e != 0 || l->result != TRUST_PASS || spf_record_parse(text, &l->record, &wrong, &why) == 0)
		return e;
	l->result = TRUST_PERMERROR;
	c->problem = arena_printf(c->a, "the SPF record of %.*s is broken: \"%.*s\" %s",
	    SLICE_ARG(shown(&c->work, l->domain)), SLICE_ARG(shown(&c->work, wrong)), why);
	return 0;
}

/* What the domain wants to be told to who is refused (§6.2); empty when there is nothing, or nothing fit to be told. */
static int
explain(struct check *c, struct slice spec, struct slice domain, struct slice *out)
{
	unsigned lookups = c->lookups;
	enum outcome outcome = NO_MATCH;
	struct trust_answer answer;
	struct slice name, text;
	int e;

	*out = SLICE_EMPTY;
	/* It is not subject to the limits: it comes once, when all is decided. */
	c->lookups = 0;
	e = target(c, spec, domain, &name, &outcome);
	c->lookups = lookups;
	if (e != 0 || outcome != NO_MATCH || spec.n == 0)
		return e;
	e = trust_dns_ask(&c->dns, name, TRUST_DNS_TXT, &c->work, &answer);
	if (e != 0 || answer.n != 1 || spf_macro_check(answer.v[0].data, SPF_EXPLAIN) != 0)
		return e;
	if (spf_macro_uses(answer.v[0].data, 'p')) {
		e = look_reverse(c);
		if (e != 0)
			return e;
		choose_validated(c);
	}
	e = spf_macro_explain(answer.v[0].data, &c->values, SPF_EXPLANATION_BYTES_MAX, &c->work, &text);
	for (size_t i = 0; e == 0 && i < text.n; i++)
		if (slice_at(text, i) < ' ' || slice_at(text, i) > '~')
			return 0;
	*out = e == 0 ? arena_copy(c->a, text) : SLICE_EMPTY;
	return e;
}

/* For people: which term it was, of an included record too. */
static void
tell_match(struct check *c, const struct level *l, const struct spf_term *t)
{
	struct slice term = shown(&c->work, t->text);

	if (t->kind == SPF_INCLUDE && !l->included)
		c->matched = arena_printf(c->a, "\"%.*s\", there %.*s", SLICE_ARG(term), SLICE_ARG(c->matched));
	else if (t->kind != SPF_INCLUDE && (l->included || l->redirected))
		c->matched = arena_printf(
		    c->a, "\"%.*s\" of %.*s", SLICE_ARG(term), SLICE_ARG(shown(&c->work, l->domain)));
	else if (t->kind != SPF_INCLUDE)
		c->matched = arena_printf(c->a, "\"%.*s\"", SLICE_ARG(term));
}

/* The mechanisms from left to right: *decided is false when none matched. */
static int
evaluate(struct check *c, struct level *l, bool *decided)
{
	struct slice rest = l->record.terms;
	struct spf_term t;

	*decided = false;
	while (!*decided && spf_record_next(&rest, &t)) {
		struct arena_mark mark = arena_mark(&c->work);
		enum outcome outcome;
		int e = match(c, &t, l->domain, &outcome);

		*decided = e == 0 && outcome != NO_MATCH;
		if (*decided && outcome == MATCH) {
			l->result = t.qualifier;
			l->term = arena_copy(c->a, slice_head(t.text, SHOWN_BYTES_MAX));
			tell_match(c, l, &t);
		} else if (*decided) {
			l->result = outcome == TEMPORARY ? TRUST_TEMPERROR : TRUST_PERMERROR;
		}
		arena_release(&c->work, mark);
		if (e != 0)
			return e;
	}
	return 0;
}

/* The record of a domain and those that it redirects to (§4, §6.1). */
static int
check_host(struct check *c, struct level *l)
{
	for (;; l->redirected = true) {
		enum outcome outcome = NO_MATCH;
		bool decided;
		int e = read_record(c, l);

		if (e == 0 && l->result == TRUST_NONE && l->redirected)
			l->result = TRUST_PERMERROR;
		if (e != 0 || l->result != TRUST_PASS)
			return e;
		e = evaluate(c, l, &decided);
		if (e != 0 || decided)
			return e;
		l->result = TRUST_NEUTRAL;
		if (l->record.redirect.n == 0)
			return 0;
		l->result = TRUST_PERMERROR;
		if (!count_lookup(c, &outcome))
			return 0;
		e = target(c, l->record.redirect, l->domain, &l->domain, &outcome);
		if (e != 0 || outcome != NO_MATCH)
			return e;
	}
}

/* ---- the check --------------------------------------------------------------------------------------------------- */

/* In A-labels where it is an IDN that can be one. */
static struct slice
ascii_domain(struct arena *a, struct slice s)
{
	struct slice out;

	if (!slice_is_ascii(s) && domain_normalise(a, s, &out) == 0)
		return out;
	return s;
}

/* Who is asked about, and what the macros stand for (§2.3, §2.4, §4.3). */
static struct slice
begin(struct check *c, enum spf_identity identity)
{
	struct slice helo = ascii_domain(&c->work, c->q->helo), local = SLICE_EMPTY, domain = helo;
	size_t at = slice_rfind_byte(c->q->sender, '@');

	if (identity == SPF_MAIL_FROM && c->q->sender.n > 0) {
		local = at == SLICE_NONE ? SLICE_EMPTY : slice_head(c->q->sender, at);
		domain = at == SLICE_NONE ? c->q->sender : slice_from(c->q->sender, at + 1);
		domain = ascii_domain(&c->work, domain);
	}
	if (slice_ends(domain, SLICE(".")))
		domain = slice_head(domain, domain.n - 1);
	c->values = (struct spf_values){.local = local.n == 0 ? SLICE("postmaster") : local,
	    .sender_domain = domain,
	    .domain = domain,
	    .helo = helo,
	    .validated = SLICE("unknown"),
	    .receiver = c->q->receiver.n == 0 ? SLICE("unknown") : c->q->receiver,
	    .ip = &c->ip,
	    .now_s = house_now_s(c->q->house)};
	return domain;
}

static struct slice
sentence(const struct check *c, const struct spf_result *r)
{
	struct slice domain = shown(c->a, r->domain);
	char ip[CLIENT_IP_TEXT_MAX];
	const char *says;

	client_ip_text(&c->ip, ip);
	switch (r->result) {
	case TRUST_PASS: says = "may send for"; break;
	case TRUST_FAIL: says = "may not send for"; break;
	case TRUST_SOFTFAIL: says = "should not send for"; break;
	case TRUST_NEUTRAL:
		if (r->term.n == 0)
			return arena_printf(
			    c->a, "%.*s does not say whether %s may send for it", SLICE_ARG(domain), ip);
		says = "may or may not send for";
		break;
	default: return c->problem;
	}
	return arena_printf(c->a, "%s %s %.*s: it matches %.*s", ip, says, SLICE_ARG(domain), SLICE_ARG(c->matched));
}

static int
run(struct check *c, enum spf_identity identity, struct spf_result *out)
{
	struct slice domain = begin(c, identity);
	struct level l = {.domain = domain};
	int e = check_host(c, &l);

	if (e == 0 && l.result == TRUST_FAIL && l.record.exp.n > 0)
		e = explain(c, l.record.exp, l.domain, &out->explanation);
	out->result = l.result;
	out->term = l.term;

	if (e == ERR_NOMEM && arena_failed(&c->work) && !arena_failed(c->a)) {
		/* Nobody needs so much: it is what the domain has published. */
		out->result = TRUST_PERMERROR;
		c->problem = arena_printf(c->a, "the check takes more than %u MB of memory", WORK_BYTES_MAX >> 20);
		e = 0;
	}
	if (e != 0)
		return e;
	out->domain = arena_copy(c->a, slice_head(domain, SHOWN_BYTES_MAX));
	out->lookups = c->lookups;
	out->void_lookups = c->voids;
	out->reason = sentence(c, out);
	return arena_failed(c->a) ? ERR_NOMEM : 0;
}

int
spf_check(const struct spf_question *q, enum spf_identity identity, struct arena *a, struct spf_result *out)
{
	struct check c = {.q = q, .a = a, .deadline_ms = house_mono_ms(q->house) + q->house->limits.spf_timeout_ms};
	int e = client_ip_of(&q->client, &c.ip);

	*out = (struct spf_result){.result = TRUST_TEMPERROR, .identity = identity};
	if (e != 0)
		return e;
	c.dns = (struct trust_dns){.query = query, .of = &c};
	arena_init(&c.work, WORK_BYTES_MAX);
	e = run(&c, identity, out);
	arena_free(&c.work);
	return e;
}
