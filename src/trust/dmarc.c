/* dmarc.c: finding the record, the organisations' domains, and what follows from them. */
#include "trust/dmarc.h"

#include "message/address.h"

/* Queries of one walk (§4.10): the domain itself, then at most 7 labels. */
#define WALK_MAX 8
#define WALK_LABELS 7
#define NAME_BYTES_MAX 253

/* One name at which a record was found. */
struct step {
	struct slice domain;
	struct dmarc_record record;
};

/* The records above a domain, from the longest name to the shortest. */
struct walk {
	struct slice domain;
	struct step v[WALK_MAX];
	size_t n;
};

struct context {
	const struct trust_dns *dns;
	struct arena *a;
};

/* ---- the walk ----------------------------------------------------------------------------------------------- */

static size_t
count_labels(struct slice name)
{
	size_t n = 0;

	while (name.p != NULL) {
		(void)slice_cut(&name, '.');
		n++;
	}
	return n;
}

static struct slice
parent(struct slice name)
{
	(void)slice_cut(&name, '.');
	return name;
}

/* The record of one name: 0; ERR_NOTFOUND: none, or several (step 2); ERR_UNAVAILABLE: no answer. */
static int
ask_record(const struct context *c, struct slice domain, struct dmarc_record *out)
{
	struct trust_answer answer;
	struct slice name;
	size_t found = 0;
	int e;

	if (domain.n > NAME_BYTES_MAX)
		return ERR_NOTFOUND;
	name = arena_printf(c->a, "_dmarc.%.*s", SLICE_ARG(domain));
	if (name.n == 0)
		return ERR_NOMEM;
	e = trust_dns_ask(c->dns, name, TRUST_DNS_TXT, c->a, &answer);
	if (e != 0)
		return e;
	if (answer.status == TRUST_DNS_TEMPORARY)
		return ERR_UNAVAILABLE;
	for (size_t i = 0; answer.status == TRUST_DNS_FOUND && i < answer.n; i++) {
		struct dmarc_record r;

		e = dmarc_record_parse(c->a, answer.v[i].data, &r);
		if (e == ERR_NOTFOUND)
			continue;
		if (e != 0)
			return e;
		*out = r;
		found++;
	}
	return found == 1 ? 0 : ERR_NOTFOUND;
}

/* Walks up from `domain`: 0, with what was found; or an error of ask_record. */
static int
walk_up(const struct context *c, struct slice domain, struct walk *w)
{
	struct slice at = domain;
	size_t labels = count_labels(domain);

	*w = (struct walk){.domain = domain};
	for (int i = 0; i < WALK_MAX && at.n > 0; i++) {
		struct step *s = &w->v[w->n];
		int e = ask_record(c, at, &s->record);

		if (e != 0 && e != ERR_NOTFOUND)
			return e;
		if (e == 0) {
			s->domain = at;
			w->n++;
			if (s->record.psd != DMARC_PSD_UNKNOWN)
				break;
		}
		at = parent(at);
		labels--;
		/* A name of many labels does not cost many questions (step 4). */
		for (; i == 0 && labels > WALK_LABELS; labels--)
			at = parent(at);
	}
	return 0;
}

/* One label below `above` on the way to `domain`. */
static struct slice
one_below(struct slice domain, struct slice above)
{
	struct slice at = domain;

	while (at.n > 0 && parent(at).n > above.n)
		at = parent(at);
	return at;
}

/* §4.10.2: the domain of the organisation; the one where the walk began when no record says otherwise. */
static struct slice
organisation_of(const struct walk *w)
{
	for (size_t i = 0; i < w->n; i++) {
		const struct step *s = &w->v[i];

		if (s->record.psd == DMARC_PSD_NO)
			return s->domain;
		if (s->record.psd == DMARC_PSD_YES && s->domain.n < w->domain.n)
			return one_below(w->domain, s->domain);
	}
	return w->n > 0 ? w->v[w->n - 1].domain : w->domain;
}

int
dmarc_organisation(const struct trust_dns *dns, struct arena *a, struct slice domain, struct slice *out, bool *found)
{
	const struct context c = {dns, a};
	struct walk *w = ARENA_NEW(a, struct walk);
	int e;

	*out = domain;
	*found = false;
	if (w == NULL)
		return ERR_NOMEM;
	e = walk_up(&c, domain, w);
	if (e != 0)
		return e;
	*out = organisation_of(w);
	*found = w->n > 0;
	return 0;
}

/* ---- the policy ---------------------------------------------------------------------------------------------- */

/* The record that applies (§4.10.1): the author's own, his organisation's, or that of the public suffix above; or NULL. */
static const struct step *
policy_of(const struct walk *w, struct slice org)
{
	const struct step *last = w->n > 0 ? &w->v[w->n - 1] : NULL;

	if (last == NULL || slice_eq(w->v[0].domain, w->domain))
		return last == NULL ? NULL : &w->v[0];
	for (size_t i = 0; i < w->n; i++)
		if (slice_eq(w->v[i].domain, org))
			return &w->v[i];
	return last->record.psd == DMARC_PSD_YES ? last : NULL;
}

/* Is there anything in DNS at this name (Appendix A.4)? */
static int
exists(const struct context *c, struct slice domain, bool *out)
{
	struct trust_answer answer;
	int e = trust_dns_ask(c->dns, domain, TRUST_DNS_A, c->a, &answer);

	*out = answer.status != TRUST_DNS_NO_NAME;
	if (e == 0 && answer.status == TRUST_DNS_TEMPORARY)
		return ERR_UNAVAILABLE;
	return e;
}

/* p, sp or np: which one is for this author. */
static int
published_for(const struct context *c, const struct step *s, struct slice author, enum dmarc_policy *out)
{
	bool there = true;
	int e = 0;

	*out = s->record.p;
	if (slice_eq(s->domain, author))
		return 0;
	*out = s->record.sp;
	if (s->record.np != s->record.sp)
		e = exists(c, author, &there);
	if (!there)
		*out = s->record.np;
	return e;
}

static enum dmarc_policy
one_less(enum dmarc_policy p)
{
	return p == DMARC_POLICY_REJECT ? DMARC_POLICY_QUARANTINE : DMARC_POLICY_NONE;
}

/* ---- alignment ----------------------------------------------------------------------------------------------- */

/* Is `name` the domain itself or below it? */
static bool
is_within(struct slice name, struct slice domain)
{
	return name.n >= domain.n && slice_iends(name, domain) &&
	    (name.n == domain.n || slice_at(name, name.n - domain.n - 1) == '.');
}

/* Are both of one organisation (or the same, where that is demanded)? A domain that is not within the author's organisation is of
 * another one, whatever its own records say, so that strangers' domains cost no questions. */
static int
aligned(const struct context *c, struct slice domain, struct slice author, struct slice org, bool strict, bool *out)
{
	struct walk *w;
	int e;

	*out = slice_ieq(domain, author);
	if (*out || strict || domain.n == 0 || !is_within(domain, org))
		return 0;
	w = ARENA_NEW(c->a, struct walk);
	if (w == NULL)
		return ERR_NOMEM;
	e = walk_up(c, domain, w);
	if (e == 0)
		*out = slice_ieq(organisation_of(w), org);
	return e;
}

/* DNS that does not answer for one identity takes only that one out: *unknown says so. */
static int
align_one(
    const struct context *c, struct slice domain, const struct dmarc_result *r, bool strict, bool *out, bool *unknown)
{
	struct slice name;
	int e;

	*out = *unknown = false;
	/* What is no domain is nobody's. */
	e = domain_normalise(c->a, domain, &name);
	if (e != 0)
		return e == ERR_SYNTAX ? 0 : ERR_NOMEM;
	e = aligned(c, name, r->author, r->org_domain, strict, out);
	if (e != ERR_UNAVAILABLE)
		return e;
	*unknown = true;
	return 0;
}

static int
align_all(const struct context *c, struct dmarc_input *in, struct dmarc_result *r, bool *passed, bool *open)
{
	bool unknown;
	int e = align_one(c, in->spf_domain, r, r->record.spf_strict, &r->spf_aligned, &unknown);

	*passed = r->spf_aligned && in->spf == TRUST_PASS;
	*open = (unknown && in->spf == TRUST_PASS) || (r->spf_aligned && in->spf == TRUST_TEMPERROR);
	for (size_t i = 0; e == 0 && i < in->signatures_n && i < DMARC_SIGNATURES_MAX; i++) {
		struct dmarc_signature *s = &in->signatures[i];

		e = align_one(c, s->domain, r, r->record.dkim_strict, &s->aligned, &unknown);
		*passed = *passed || (s->aligned && s->result == TRUST_PASS);
		*open = *open || (unknown && s->result == TRUST_PASS) || (s->aligned && s->result == TRUST_TEMPERROR);
	}
	return e;
}

/* ---- the result ---------------------------------------------------------------------------------------------- */

/* Who vouched for the author, or why nobody did. */
static void
explain(const struct context *c, const struct dmarc_input *in, struct dmarc_result *r)
{
	const struct dmarc_signature *signer = NULL, *other = NULL;

	for (size_t i = 0; i < in->signatures_n && i < DMARC_SIGNATURES_MAX; i++) {
		if (in->signatures[i].result != TRUST_PASS)
			continue;
		other = &in->signatures[i];
		if (in->signatures[i].aligned && signer == NULL)
			signer = other;
	}
	if (r->result == TRUST_TEMPERROR)
		r->reason = arena_printf(c->a,
		    "DNS did not answer when asked for what could confirm that the message is from %.*s",
		    SLICE_ARG(r->author));
	else if (r->result == TRUST_PASS && signer != NULL)
		r->reason = arena_printf(c->a, "the signature of %.*s is valid, and its domain matches the From (%.*s)",
		    SLICE_ARG(signer->domain), SLICE_ARG(r->author));
	else if (r->result == TRUST_PASS)
		r->reason = arena_printf(c->a, "the server may send for %.*s, whose domain matches the From (%.*s)",
		    SLICE_ARG(in->spf_domain), SLICE_ARG(r->author));
	else if (other != NULL)
		r->reason = arena_printf(c->a,
		    "the message says that it is from %.*s, but it is signed by %.*s only, which is somebody else",
		    SLICE_ARG(r->author), SLICE_ARG(other->domain));
	else if (in->spf == TRUST_PASS)
		r->reason = arena_printf(c->a,
		    "the message says that it is from %.*s, but comes from a server of %.*s and has no valid signature",
		    SLICE_ARG(r->author), SLICE_ARG(in->spf_domain));
	else
		r->reason = arena_printf(c->a,
		    "the message says that it is from %.*s, and neither a signature nor the server that sent it "
		    "confirms that",
		    SLICE_ARG(r->author));
}

static void
set_none(const struct context *c, struct dmarc_result *r, const char *why)
{
	r->result = TRUST_NONE;
	r->published = r->policy = DMARC_POLICY_NONE;
	r->reason = arena_printf(c->a, "%.*s %s", SLICE_ARG(r->author), why);
}

/* DNS did not answer: what can be said without it is said. */
static int
unanswered(const struct context *c, struct dmarc_result *r)
{
	r->result = TRUST_TEMPERROR;
	r->policy = DMARC_POLICY_NONE;
	r->reason = arena_printf(
	    c->a, "DNS did not answer when asked what %.*s says of its mail (DMARC)", SLICE_ARG(r->author));
	return r->reason.n == 0 ? ERR_NOMEM : 0;
}

/* Did everything that passed pass for the author's own domain? Then nothing has to be known of his organisation (§4.10.2). */
static bool
is_own(const struct dmarc_input *in)
{
	bool some = in->spf == TRUST_PASS;

	if (some && !slice_ieq(in->spf_domain, in->author))
		return false;
	for (size_t i = 0; i < in->signatures_n; i++) {
		if (in->signatures[i].result != TRUST_PASS)
			continue;
		if (!slice_ieq(in->signatures[i].domain, in->author))
			return false;
		some = true;
	}
	return some;
}

/* The records that matter. */
static int
find_records(const struct context *c, const struct dmarc_input *in, struct walk *w)
{
	int e;

	if (!is_own(in))
		return walk_up(c, in->author, w);
	*w = (struct walk){.domain = in->author};
	e = ask_record(c, in->author, &w->v[0].record);
	if (e == ERR_NOTFOUND)
		return walk_up(c, in->author, w);
	w->v[0].domain = in->author;
	w->n = 1;
	return e;
}

static int
evaluate(const struct context *c, struct dmarc_input *in, struct walk *w, struct dmarc_result *r)
{
	const struct step *s;
	bool passed = false, open = false;
	int e = find_records(c, in, w);

	if (e != 0)
		return e;
	r->org_domain = organisation_of(w);
	s = policy_of(w, r->org_domain);
	if (s == NULL) {
		set_none(c, r, "says nothing of its mail (no DMARC record)");
		return 0;
	}
	if (s->record.no_policy && !s->record.rua_given) {
		set_none(c, r, "has a DMARC record without a valid policy");
		return 0;
	}
	r->record = s->record;
	r->policy_domain = s->domain;
	e = align_all(c, in, r, &passed, &open);
	if (e == 0)
		e = published_for(c, s, in->author, &r->published);
	if (e == ERR_UNAVAILABLE && passed)
		e = 0; /* what was asked for does not matter then */
	if (e != 0)
		return e;
	r->policy = s->record.testing ? one_less(r->published) : r->published;
	r->result = passed ? TRUST_PASS : open ? TRUST_TEMPERROR : TRUST_FAIL;
	explain(c, in, r);
	return 0;
}

int
dmarc_evaluate(const struct trust_dns *dns, struct arena *a, struct dmarc_input *in, struct dmarc_result *out)
{
	const struct context c = {dns, a};
	struct walk *w = ARENA_NEW(a, struct walk);
	int e;

	*out = (struct dmarc_result){.author = in->author};
	for (size_t i = 0; i < in->signatures_n; i++)
		in->signatures[i].aligned = false;
	if (w == NULL)
		return ERR_NOMEM;
	if (in->author.n == 0) {
		out->reason = SLICE("the message has no From field with one domain");
		return 0;
	}
	e = evaluate(&c, in, w, out);
	if (e == ERR_UNAVAILABLE)
		e = unanswered(&c, out);
	return e == 0 && arena_failed(a) ? ERR_NOMEM : e;
}

/* ---- the author ---------------------------------------------------------------------------------------------- */

static bool
has(const struct slice *v, size_t n, struct slice s)
{
	for (size_t i = 0; i < n; i++)
		if (slice_eq(v[i], s))
			return true;
	return false;
}

int
dmarc_authors(struct arena *a, struct slice_list values, size_t max, struct slice_list *out, bool *complete)
{
	struct slice *v = ARENA_ARRAY(a, struct slice, max);
	size_t n = 0;

	*out = (struct slice_list){NULL, 0};
	*complete = true;
	if (v == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < values.n; i++) {
		struct address_list list;

		if (address_parse(a, values.v[i], 1000, &list) != 0)
			return ERR_NOMEM;
		*complete = *complete && !list.truncated;
		for (size_t k = 0; k < list.n; k++) {
			struct slice domain;

			if (list.v[k].kind != ADDRESS_MAILBOX)
				continue;
			if (domain_normalise(a, list.v[k].domain, &domain) != 0 || slice_at(domain, 0) == '[') {
				*complete = false;
			} else if (!has(v, n, domain)) {
				if (n < max)
					v[n++] = domain;
				else
					*complete = false;
			}
		}
	}
	*out = (struct slice_list){v, n};
	return arena_failed(a) ? ERR_NOMEM : 0;
}
