/* dkim_signature.c: see the header. */
#include "trust/dkim_signature.h"

#include "message/mailbox.h"
#include "trust/tag_list.h"
#include "trust/trust_dns.h"

#define BASE64_MAX (2 * DKIM_SIGNATURE_BYTES_MAX)
#define NUMBER_MAX UINT64_C(999999999999) /* 12 digits, as RFC 6376 §3.5 asks for */
#define LENGTH_DIGITS_MAX UINT64_C(9007199254740992)

/* What is being read: the first failure stays. */
struct reading {
	struct arena *arena;
	struct tag_list tags;
	const char *why;
	int err;
};

static void
fail(struct reading *r, const char *why)
{
	if (r->err == 0) {
		r->err = ERR_SYNTAX;
		r->why = why;
	}
}

static struct slice
get(struct reading *r, struct slice name, const char *missing)
{
	const struct tag *t = tag_list_find(&r->tags, name);

	if (t == NULL && missing != NULL)
		fail(r, missing);
	return t == NULL ? SLICE_EMPTY : t->value;
}

static struct slice
get_domain(struct reading *r, struct slice text, const char *wrong)
{
	struct slice out = SLICE_EMPTY;

	if (r->err == 0 &&
	    (domain_normalise(r->arena, text, &out) != 0 || !trust_dns_is_name(out) || slice_at(out, 0) == '['))
		fail(r, wrong);
	return out;
}

/* A selector is one or more labels; underscores are seen in them. */
static struct slice
get_selector(struct reading *r)
{
	struct slice text = get(r, SLICE("s"), "it has no s="), out = SLICE_EMPTY;
	uint8_t *lower;

	if (r->err != 0)
		return out;
	if (!slice_is_ascii(text))
		return get_domain(r, text, "its s= is no name");
	lower = arena_alloc(r->arena, text.n + 1);
	for (size_t i = 0; lower != NULL && i < text.n; i++) {
		lower[i] = ascii_lower(slice_at(text, i));
		if (!ascii_is_alnum(lower[i]) && strchr("-_.", lower[i]) == NULL)
			fail(r, "its s= is no name");
	}
	out = slice_of(lower, lower == NULL ? 0 : text.n);
	if (!trust_dns_is_name(out))
		fail(r, "its s= is no name");
	return out;
}

static struct slice
get_base64(struct reading *r, struct slice name, const char *missing, const char *wrong, struct slice *text)
{
	struct buf out BUF_CLEANUP;

	buf_init(&out, BASE64_MAX);
	*text = tag_without_space(r->arena, get(r, name, missing));
	if (r->err != 0)
		return SLICE_EMPTY;
	if (text->n == 0 || text->n > BASE64_MAX || buf_put_unbase64(&out, *text) != 0)
		fail(r, wrong);
	return arena_copy(r->arena, buf_slice(&out));
}

static int64_t
get_time(struct reading *r, struct slice name, const char *wrong)
{
	const struct tag *t = tag_list_find(&r->tags, name);
	uint64_t v = 0;

	if (t == NULL)
		return -1;
	if (slice_to_u64(t->value, NUMBER_MAX, &v) != 0)
		fail(r, wrong);
	return (int64_t)v;
}

static enum dkim_canon
canon_of(struct reading *r, struct slice name)
{
	if (!slice_ieq(name, SLICE("simple")) && !slice_ieq(name, SLICE("relaxed")))
		fail(r, "its c= names no canonicalization");
	return slice_ieq(name, SLICE("relaxed")) ? DKIM_RELAXED : DKIM_SIMPLE;
}

/* RFC 6376 §3.5: simple/simple without c=, and simple for the body without a second word. ARC's suites want relaxed/relaxed without. */
static void
get_canons(struct reading *r, bool arc, struct dkim_signature *s)
{
	const struct tag *t = tag_list_find(&r->tags, SLICE("c"));
	struct slice rest = t != NULL ? t->value
	    : arc                     ? SLICE("relaxed/relaxed")
				      : SLICE("simple/simple"),
		     header = slice_cut(&rest, '/');

	s->header_canon = canon_of(r, header);
	s->body_canon = rest.p == NULL ? DKIM_SIMPLE : canon_of(r, rest);
}

static void
get_length(struct reading *r, struct dkim_signature *s)
{
	const struct tag *t = tag_list_find(&r->tags, SLICE("l"));

	s->has_length = t != NULL;
	if (t != NULL && slice_to_u64(t->value, LENGTH_DIGITS_MAX, &s->length) != 0)
		fail(r, "its l= is no number");
}

static bool
is_within(struct slice domain, struct slice parent)
{
	return slice_eq(domain, parent) ||
	    (domain.n > parent.n && slice_ends(domain, parent) && slice_at(domain, domain.n - parent.n - 1) == '.');
}

/* RFC 6376 §3.5: the domain of i= is d= or below it. */
static void
get_identity(struct reading *r, struct dkim_signature *s)
{
	const struct tag *t = tag_list_find(&r->tags, SLICE("i"));
	size_t at;

	s->identity_domain = s->domain;
	if (t == NULL) {
		s->identity = arena_printf(r->arena, "@%.*s", SLICE_ARG(s->domain));
		return;
	}
	s->identity = t->value;
	at = slice_rfind_byte(t->value, '@');
	if (at == SLICE_NONE) {
		fail(r, "its i= has no @");
		return;
	}
	s->identity_domain = get_domain(r, slice_from(t->value, at + 1), "the domain of its i= is no name");
	if (r->err == 0 && !is_within(s->identity_domain, s->domain))
		fail(r, "the domain of its i= is neither its d= nor below it");
}

static bool
query_method_is_known(const struct tag_list *l)
{
	const struct tag *t = tag_list_find(l, SLICE("q"));

	return t == NULL || tag_names(t->value, SLICE("dns/txt")) || tag_names(t->value, SLICE("dns"));
}

static void
get_key_and_signature(struct reading *r, struct dkim_signature *s)
{
	const struct tag *b;

	s->domain = get_domain(r, get(r, SLICE("d"), "it has no d="), "its d= is no domain");
	s->selector = get_selector(r);
	s->algorithm_text = get(r, SLICE("a"), "it has no a=");
	s->algorithm = dkim_algorithm_of(s->algorithm_text);
	s->signature = get_base64(r, SLICE("b"), "it has no b=", "its b= is not base64", &s->signature_text);
	b = tag_list_find(&r->tags, SLICE("b"));
	s->signature_span = b == NULL ? SLICE_EMPTY : b->span;
	s->time_s = get_time(r, SLICE("t"), "its t= is no time");
	s->expires_s = -1;
}

static void
get_signed(struct reading *r, bool arc, struct dkim_signature *s)
{
	struct slice text;

	s->headers = get(r, SLICE("h"), "it has no h=");
	if (r->err == 0 && s->headers.n == 0 && !arc)
		fail(r, "its h= is empty");
	s->body_hash = get_base64(r, SLICE("bh"), "it has no bh=", "its bh= is not base64", &text);
	if (r->err == 0 && s->body_hash.n != DKIM_HASH_BYTES && s->algorithm != DKIM_RSA_SHA1)
		fail(r, "its bh= is no SHA-256");
	get_canons(r, arc, s);
	get_length(r, s);
	s->expires_s = get_time(r, SLICE("x"), "its x= is no time");
	if (r->err == 0 && s->expires_s >= 0 && s->time_s > s->expires_s)
		fail(r, "it expired before it was made");
}

static int
begin(struct reading *r, struct arena *a, const struct header_field *f, struct dkim_signature *out)
{
	*r = (struct reading){.arena = a};
	*out = (struct dkim_signature){.field = f->raw};
	if (tag_list_parse(f->value, &r->tags) != 0)
		fail(r, "it is no list of tags");
	return r->err;
}

static int
end(struct reading *r, const char **why)
{
	*why = r->why;
	return arena_failed(r->arena) ? ERR_NOMEM : r->err;
}

int
dkim_signature_parse(
    struct arena *a, const struct header_field *f, bool arc, struct dkim_signature *out, const char **why)
{
	struct reading r;

	if (begin(&r, a, f, out) != 0)
		return end(&r, why);
	if (!arc && !slice_eq(get(&r, SLICE("v"), "it has no v="), SLICE("1")))
		fail(&r, "its version is not 1");
	get_key_and_signature(&r, out);
	get_signed(&r, arc, out);
	if (arc) {
		out->instance = arc_instance_of(f->value);
		if (out->instance == 0)
			fail(&r, "its i= is no instance");
		if (tag_names(out->headers, SLICE("arc-seal")))
			fail(&r, "it signs an ARC-Seal");
		return end(&r, why);
	}
	if (r.err == 0)
		get_identity(&r, out);
	if (!query_method_is_known(&r.tags))
		fail(&r, "its q= names no way to get the key");
	if (r.err == 0 && !tag_names(out->headers, SLICE("from")))
		fail(&r, "it does not sign From");
	return end(&r, why);
}

int
dkim_seal_parse(
    struct arena *a, const struct header_field *f, struct dkim_signature *out, struct slice *cv, const char **why)
{
	struct reading r;

	*cv = SLICE_EMPTY;
	if (begin(&r, a, f, out) != 0)
		return end(&r, why);
	get_key_and_signature(&r, out);
	*cv = get(&r, SLICE("cv"), "it has no cv=");
	out->instance = arc_instance_of(f->value);
	if (out->instance == 0)
		fail(&r, "its i= is no instance");
	/* RFC 8617 §4.1.3: it signs ARC sets whole, which is not for h= to say. */
	if (tag_list_find(&r.tags, SLICE("h")) != NULL)
		fail(&r, "it has an h=");
	return end(&r, why);
}

int
arc_instance_of(struct slice text)
{
	while (text.p != NULL) {
		struct slice value = slice_cut(&text, ';'), name = slice_trim(slice_cut(&value, '='));
		uint64_t n;

		if (slice_eq(name, SLICE("i")))
			return slice_to_u64(slice_trim(value), ARC_INSTANCE_MAX, &n) == 0 ? (int)n : 0;
	}
	return 0;
}

void
dkim_signature_put_unsigned(const struct dkim_signature *s, enum dkim_canon c, struct buf *out)
{
	struct buf raw BUF_CLEANUP;
	size_t from = (size_t)(s->signature_span.p - s->field.p);

	ASSERT(from <= s->field.n && s->signature_span.n <= s->field.n - from);
	buf_init(&raw, s->field.n + 1);
	buf_put(&raw, slice_head(s->field, from));
	buf_put(&raw, slice_from(s->field, from + s->signature_span.n));
	if (raw.err != 0)
		out->err = raw.err;
	else
		dkim_canon_field(c, buf_slice(&raw), true, out);
}
