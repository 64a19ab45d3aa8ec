#include "trust/spf_record.h"

#include "rt/net.h"
#include "trust/spf_macro.h"

#include <netinet/in.h>

static const struct {
	const char *name;
	enum spf_kind kind;
} mechanisms[] = {{"all", SPF_ALL}, {"include", SPF_INCLUDE}, {"a", SPF_A}, {"mx", SPF_MX}, {"ptr", SPF_PTR},
    {"ip4", SPF_IP4}, {"ip6", SPF_IP6}, {"exists", SPF_EXISTS}};

#define VERSION_BYTES 6 /* of "v=spf1" */

bool
spf_record_is_spf(struct slice text)
{
	return slice_istarts(text, SLICE("v=spf1")) &&
	    (text.n == VERSION_BYTES || slice_at(text, VERSION_BYTES) == ' ');
}

/* ---- terms ---------------------------------------------------------------------------------------------------- */

/* The number of a prefix length: no leading zero, and not over `max`. */
static bool
read_bits(struct slice digits, unsigned max, unsigned *out)
{
	uint64_t n;

	if (slice_to_u64(digits, max, &n) != 0 || (digits.n > 1 && slice_at(digits, 0) == '0'))
		return false;
	*out = (unsigned)n;
	return true;
}

/* Cuts "/24" off the end of *s. *found tells whether there was something like it; false when it is wrong. */
static bool
cut_bits(struct slice *s, struct slice mark, unsigned max, unsigned *out, bool *found)
{
	size_t at = s->n;

	while (at > 0 && ascii_is_digit(slice_at(*s, at - 1)))
		at--;
	*found = at < s->n && slice_ends(slice_head(*s, at), mark);
	if (!*found)
		return true;
	if (!read_bits(slice_from(*s, at), max, out))
		return false;
	*s = slice_head(*s, at - mark.n);
	return true;
}

/* [ ip4-cidr-length ] [ "/" ip6-cidr-length ] */
static bool
cut_dual_bits(struct slice *s, struct spf_term *t)
{
	bool found;

	return cut_bits(s, SLICE("//"), 128, &t->bits6, &found) && cut_bits(s, SLICE("/"), 32, &t->bits4, &found);
}

static bool
read_address(struct slice text, int family, uint8_t out[16])
{
	struct net_address a;

	if (net_address_parse(text, 0, &a) != 0 || a.sa.ss_family != family)
		return false;
	if (family == AF_INET)
		memcpy(out, &((struct sockaddr_in *)&a.sa)->sin_addr, 4);
	else
		memcpy(out, ((struct sockaddr_in6 *)&a.sa)->sin6_addr.s6_addr, 16);
	return true;
}

/* What is wrong, as a clause behind the term; NULL for nothing. */
static const char *
read_network(struct slice arg, struct spf_term *t)
{
	bool v4 = t->kind == SPF_IP4;
	unsigned *bits = v4 ? &t->bits4 : &t->bits6;
	struct slice text = arg;

	if (!slice_starts(arg, SLICE(":")))
		return "lacks its address";
	text = slice_from(arg, 1);
	if (slice_find_byte(text, '/') != SLICE_NONE) {
		struct slice rest = text;

		text = slice_cut(&rest, '/');
		if (!read_bits(rest, v4 ? 32 : 128, bits))
			return "has a prefix length that is none";
	}
	if (!read_address(text, v4 ? AF_INET : AF_INET6, t->network))
		return v4 ? "has no IPv4 address" : "has no IPv6 address";
	return NULL;
}

/* What is wrong with a domain-spec. */
static const char *
spec_fault(struct slice spec)
{
	struct net_address a;

	if (spf_macro_check(spec, SPF_DOMAIN_SPEC) == 0)
		return NULL;
	if (!slice_is_ascii(spec))
		return "is not written in ASCII";
	if (spf_macro_check(spec, SPF_MODIFIER) != 0)
		return "has a macro that is none";
	return net_address_parse(spec, 0, &a) == 0 ? "has an address where a domain belongs (ip4: or ip6: take one)"
						   : "has no valid domain";
}

static const char *
read_spec(struct slice arg, bool needed, struct spf_term *t)
{
	if (arg.n == 0)
		return needed ? "lacks its domain" : NULL;
	if (slice_at(arg, 0) != ':')
		return "has something behind it that does not belong there";
	t->spec = slice_from(arg, 1);
	return spec_fault(t->spec);
}

static const char *
read_argument(struct slice arg, struct spf_term *t)
{
	switch (t->kind) {
	case SPF_ALL: return arg.n == 0 ? NULL : "takes nothing behind it";
	case SPF_INCLUDE:
	case SPF_EXISTS: return read_spec(arg, true, t);
	case SPF_PTR: return read_spec(arg, false, t);
	case SPF_A:
	case SPF_MX: return cut_dual_bits(&arg, t) ? read_spec(arg, false, t) : "has a prefix length that is none";
	default: return read_network(arg, t);
	}
}

static enum trust_result
qualifier_of(uint8_t c)
{
	return c == '-' ? TRUST_FAIL : c == '~' ? TRUST_SOFTFAIL : c == '?' ? TRUST_NEUTRAL : TRUST_PASS;
}

static const char *
read_mechanism(struct slice text, struct spf_term *t)
{
	size_t n = 0;

	t->qualifier = qualifier_of(slice_at(text, 0));
	if (slice_find_byte(SLICE("+-~?"), slice_at(text, 0)) != SLICE_NONE)
		text = slice_from(text, 1);
	while (n < text.n && slice_at(text, n) != ':' && slice_at(text, n) != '/')
		n++;
	for (size_t i = 0; i < COUNT_OF(mechanisms); i++)
		if (slice_ieq(slice_head(text, n), slice_z(mechanisms[i].name))) {
			t->kind = mechanisms[i].kind;
			return read_argument(slice_from(text, n), t);
		}
	return "is no mechanism of SPF";
}

/* The length of the name of a modifier: ALPHA *( ALPHA / DIGIT / "-" / "_" / "." ) in front of "="; 0 for others. */
static size_t
modifier_name(struct slice text)
{
	size_t n = 0;

	if (!ascii_is_alpha(slice_at(text, 0)))
		return 0;
	while (n < text.n &&
	    (ascii_is_alnum(slice_at(text, n)) || slice_at(text, n) == '-' || slice_at(text, n) == '_' ||
		slice_at(text, n) == '.'))
		n++;
	return n < text.n && slice_at(text, n) == '=' ? n : 0;
}

static const char *
read_modifier(struct slice text, size_t name_n, struct spf_term *t)
{
	struct slice name = slice_head(text, name_n);

	t->kind = slice_ieq(name, SLICE("redirect")) ? SPF_REDIRECT
	    : slice_ieq(name, SLICE("exp"))          ? SPF_EXP
						     : SPF_UNKNOWN;
	t->spec = slice_from(text, name_n + 1);
	if (t->kind == SPF_UNKNOWN)
		return spf_macro_check(t->spec, SPF_MODIFIER) == 0 ? NULL : "has a macro that is none";
	return spec_fault(t->spec);
}

static const char *
read_term(struct slice text, struct spf_term *t)
{
	size_t name_n = modifier_name(text);

	*t = (struct spf_term){.text = text, .bits4 = 32, .bits6 = 128};
	return name_n > 0 ? read_modifier(text, name_n, t) : read_mechanism(text, t);
}

/* ---- the record ------------------------------------------------------------------------------------------------- */

/* Terms are separated by spaces, one or more; only by those. */
static struct slice
next_text(struct slice *rest)
{
	struct slice text = SLICE_EMPTY;

	while (text.n == 0 && rest->n > 0)
		text = slice_cut(rest, ' ');
	return text;
}

bool
spf_record_next(struct slice *rest, struct spf_term *out)
{
	struct slice text = next_text(rest);

	if (text.n == 0)
		return false;
	ASSERT(read_term(text, out) == NULL);
	return true;
}

int
spf_record_parse(struct slice text, struct spf_record *out, struct slice *wrong, const char **why)
{
	struct slice rest;
	bool all = false;

	ASSERT(spf_record_is_spf(text));
	*out = (struct spf_record){.terms = slice_from(text, VERSION_BYTES)};
	*wrong = slice_head(text, VERSION_BYTES);
	*why = text.n > SPF_RECORD_BYTES_MAX ? "begins a record that is too long" : NULL;
	for (rest = out->terms; *why == NULL;) {
		struct spf_term t;

		*wrong = next_text(&rest);
		if (wrong->n == 0)
			break;
		*why = read_term(*wrong, &t);
		if (*why != NULL)
			break;
		all |= t.kind == SPF_ALL;
		if (t.kind != SPF_REDIRECT && t.kind != SPF_EXP)
			continue;
		if ((t.kind == SPF_REDIRECT ? out->redirect : out->exp).n > 0)
			*why = "appears a second time";
		*(t.kind == SPF_REDIRECT ? &out->redirect : &out->exp) = t.spec;
	}
	if (all)
		out->redirect = SLICE_EMPTY;
	return *why == NULL ? 0 : ERR_SYNTAX;
}
