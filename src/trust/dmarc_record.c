#include "trust/dmarc_record.h"

#include "message/mailbox.h"

/* Tags of one record that are looked at. */
#define TAGS_MAX 100
#define ADDRESS_BYTES_MAX 512

const char *
dmarc_policy_name(enum dmarc_policy p)
{
	switch (p) {
	case DMARC_POLICY_REJECT: return "reject";
	case DMARC_POLICY_QUARANTINE: return "quarantine";
	case DMARC_POLICY_NONE:
	default: return "none";
	}
}

/* ---- tags --------------------------------------------------------------------------------------------------- */

enum tag { TAG_P, TAG_SP, TAG_NP, TAG_PSD, TAG_T, TAG_ADKIM, TAG_ASPF, TAG_FO, TAG_RUA, TAG_RUF, TAG_COUNT };

static const struct slice tag_names[TAG_COUNT] = {[TAG_P] = SLICE_INIT("p"),
    [TAG_SP] = SLICE_INIT("sp"),
    [TAG_NP] = SLICE_INIT("np"),
    [TAG_PSD] = SLICE_INIT("psd"),
    [TAG_T] = SLICE_INIT("t"),
    [TAG_ADKIM] = SLICE_INIT("adkim"),
    [TAG_ASPF] = SLICE_INIT("aspf"),
    [TAG_FO] = SLICE_INIT("fo"),
    [TAG_RUA] = SLICE_INIT("rua"),
    [TAG_RUF] = SLICE_INIT("ruf")};

struct tags {
	struct slice value[TAG_COUNT];
	bool seen[TAG_COUNT];
};

/* Without spaces and TABs at both ends. */
static struct slice
trim_wsp(struct slice s)
{
	while (s.n > 0 && (slice_at(s, 0) == ' ' || slice_at(s, 0) == '\t'))
		s = slice_from(s, 1);
	while (s.n > 0 && (slice_at(s, s.n - 1) == ' ' || slice_at(s, s.n - 1) == '\t'))
		s = slice_head(s, s.n - 1);
	return s;
}

/* The version, which must be first: the rest of the record, or false. */
static bool
take_version(struct slice text, struct slice *rest)
{
	struct slice value, name;

	*rest = text;
	value = slice_cut(rest, ';');
	name = slice_cut(&value, '=');
	/* Nothing may stand before it, and its value is the one that looks at upper and lower case. */
	while (name.n > 0 && (slice_at(name, name.n - 1) == ' ' || slice_at(name, name.n - 1) == '\t'))
		name = slice_head(name, name.n - 1);
	return slice_ieq(name, SLICE("v")) && value.p != NULL && slice_eq(trim_wsp(value), SLICE("DMARC1"));
}

static bool
is_printable(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (slice_at(s, i) < 32 || slice_at(s, i) > 126)
			return false;
	return true;
}

static void
take_tags(struct slice rest, struct tags *t)
{
	for (int i = 0; i < TAGS_MAX && rest.p != NULL; i++) {
		struct slice value = slice_cut(&rest, ';'), name = trim_wsp(slice_cut(&value, '='));

		value = trim_wsp(value);
		if (value.n == 0 || !is_printable(value))
			continue;
		for (size_t k = 0; k < TAG_COUNT; k++) {
			if (t->seen[k] || !slice_ieq(name, tag_names[k]))
				continue;
			t->seen[k] = true;
			t->value[k] = value;
		}
	}
}

/* ---- values -------------------------------------------------------------------------------------------------- */

static bool
read_policy(struct slice s, enum dmarc_policy *out)
{
	for (enum dmarc_policy p = DMARC_POLICY_NONE; p <= DMARC_POLICY_REJECT; p++) {
		if (!slice_ieq(s, slice_z(dmarc_policy_name(p))))
			continue;
		*out = p;
		return true;
	}
	return false;
}

/* What p, sp and np say together (§4.10.1). */
static void
read_policies(const struct tags *t, struct dmarc_record *r)
{
	bool fine = read_policy(t->value[TAG_P], &r->p);

	r->has_sp = read_policy(t->value[TAG_SP], &r->sp);
	r->has_np = read_policy(t->value[TAG_NP], &r->np);
	fine = fine && r->has_sp == t->seen[TAG_SP] && r->has_np == t->seen[TAG_NP];
	if (!fine) {
		r->no_policy = true;
		r->p = r->sp = r->np = DMARC_POLICY_NONE;
		r->has_sp = r->has_np = false;
	}
	if (!r->has_sp)
		r->sp = r->p;
	if (!r->has_np)
		r->np = r->sp;
}

static unsigned
read_failures(struct slice s)
{
	unsigned bits = 0;

	while (s.p != NULL) {
		struct slice one = trim_wsp(slice_cut(&s, ':'));

		if (slice_eq(one, SLICE("0")))
			bits |= DMARC_FAILURE_ALL;
		else if (slice_eq(one, SLICE("1")))
			bits |= DMARC_FAILURE_ANY;
		else if (slice_ieq(one, SLICE("d")))
			bits |= DMARC_FAILURE_DKIM;
		else if (slice_ieq(one, SLICE("s")))
			bits |= DMARC_FAILURE_SPF;
		else
			return DMARC_FAILURE_ALL;
	}
	/* One excludes the other. */
	return (bits & DMARC_FAILURE_ALL) != 0 && (bits & DMARC_FAILURE_ANY) != 0 ? DMARC_FAILURE_ALL : bits;
}

static int
hex_digit(uint8_t c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decoding (RFC 3986 §2.1); empty when it is wrong or too long. */
static struct slice
decode_percent(struct arena *a, struct slice s)
{
	char *out = s.n > ADDRESS_BYTES_MAX ? NULL : arena_z(a, s);
	size_t n = 0;

	if (out == NULL || slice_find_byte(s, '%') == SLICE_NONE)
		return out == NULL ? SLICE_EMPTY : s;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (c == '%') {
			int high = i + 2 < s.n ? hex_digit(slice_at(s, i + 1)) : -1;
			int low = i + 2 < s.n ? hex_digit(slice_at(s, i + 2)) : -1;

			if (high < 0 || low < 0)
				return SLICE_EMPTY;
			c = (uint8_t)(high * 16 + low);
			i += 2;
		}
		out[n++] = (char)c;
	}
	return slice_of(out, n);
}

/* "!10m" behind an address was a limit once (obs-dmarc-report-size). */
static struct slice
cut_size(struct slice s)
{
	size_t at = slice_rfind_byte(s, '!');

	return at == SLICE_NONE ? s : slice_head(s, at);
}

/* A scheme and something behind it (RFC 3986 §3.1). */
static bool
is_uri(struct slice s)
{
	size_t colon = slice_find_byte(s, ':');

	if (colon == SLICE_NONE || colon == 0 || colon + 1 >= s.n || !ascii_is_alpha(slice_at(s, 0)))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (c <= ' ' || c > 126 || (i < colon && !ascii_is_alnum(c) && c != '+' && c != '-' && c != '.'))
			return false;
	}
	return true;
}

struct slice
dmarc_record_address(struct arena *a, struct slice uri)
{
	struct slice rest, address, local, domain;

	if (!is_uri(uri) || !slice_istarts(uri, SLICE("mailto:")))
		return SLICE_EMPTY;
	rest = slice_from(uri, 7);
	rest = decode_percent(a, slice_cut(&rest, '?'));
	if (rest.n == 0 || !is_printable(rest) || mailbox_split(a, rest, &local, &domain) != 0 ||
	    slice_at(domain, 0) == '[' || mailbox_normalise(a, rest, &address) != 0)
		return SLICE_EMPTY;
	return address;
}

static int
read_addresses(struct arena *a, struct slice s, struct slice_list *out, bool *given)
{
	struct slice *v = ARENA_ARRAY(a, struct slice, DMARC_ADDRESSES_MAX);
	size_t n = 0;

	if (v == NULL)
		return ERR_NOMEM;
	while (s.p != NULL && n < DMARC_ADDRESSES_MAX) {
		struct slice uri = cut_size(trim_wsp(slice_cut(&s, ',')));

		if (!is_uri(uri))
			continue;
		*given = true;
		if (!slice_istarts(uri, SLICE("mailto:")))
			continue;
		v[n] = dmarc_record_address(a, uri);
		n += v[n].n > 0;
	}
	*out = (struct slice_list){v, n};
	return arena_failed(a) ? ERR_NOMEM : 0;
}

int
dmarc_record_parse(struct arena *a, struct slice text, struct dmarc_record *out)
{
	struct tags t = {0};
	struct slice rest;
	bool ruf_given = false;
	int e = 0;

	*out = (struct dmarc_record){.failures = DMARC_FAILURE_ALL};
	if (!take_version(text, &rest))
		return ERR_NOTFOUND;
	take_tags(rest, &t);
	read_policies(&t, out);
	if (slice_ieq(t.value[TAG_PSD], SLICE("y")))
		out->psd = DMARC_PSD_YES;
	else if (slice_ieq(t.value[TAG_PSD], SLICE("n")))
		out->psd = DMARC_PSD_NO;
	out->testing = slice_ieq(t.value[TAG_T], SLICE("y"));
	out->dkim_strict = slice_ieq(t.value[TAG_ADKIM], SLICE("s"));
	out->spf_strict = slice_ieq(t.value[TAG_ASPF], SLICE("s"));
	if (t.seen[TAG_FO])
		out->failures = read_failures(t.value[TAG_FO]);
	if (t.seen[TAG_RUA])
		e = read_addresses(a, t.value[TAG_RUA], &out->rua, &out->rua_given);
	if (e == 0 && t.seen[TAG_RUF])
		e = read_addresses(a, t.value[TAG_RUF], &out->ruf, &ruf_given);
	return e;
}
