/* zone_reader.c: tokens of a master file, and what the entries made of them mean. */
#include "trust/zone_reader.h"

#include <stdarg.h>

#define TOKENS_MAX 1000000u /* of one entry */

static const struct {
	const char *name;
	enum trust_dns_type type;
} kept[] = {{"A", TRUST_DNS_A}, {"AAAA", TRUST_DNS_AAAA}, {"CNAME", TRUST_DNS_CNAME}, {"MX", TRUST_DNS_MX},
    {"PTR", TRUST_DNS_PTR}, {"TXT", TRUST_DNS_TXT}};

/* Types that may stand in a zone and that nobody in this room asks for. */
static const char *const others[] = {"SOA", "NS", "SPF", "SRV", "CAA", "TLSA", "HINFO", "NAPTR", "SSHFP", "LOC", "RP",
    "SVCB", "HTTPS", "URI", "DS", "DNSKEY", "CDS", "CDNSKEY", "RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "OPENPGPKEY",
    "SMIMEA", "CSYNC", "ZONEMD"};

void
zone_reader_init(struct zone_reader *r, struct slice text, struct arena *a, struct buf *detail)
{
	*r = (struct zone_reader){.c = cursor_of(text), .a = a, .detail = detail, .line = 1};
}

int
zone_reader_fail(struct zone_reader *r, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_printf(r->detail, "line %u: %s", r->entry_line, text);
	return ERR_SYNTAX;
}

/* ---- tokens ----------------------------------------------------------------------------------------------- */

/* Escapes resolved: \DDD in decimal stands for a byte, a backslash before anything else for that. */
static int
unescape(struct zone_reader *r, struct slice raw, struct zone_token *out)
{
	struct cursor c = cursor_of(raw);
	uint8_t *p = arena_alloc(r->a, raw.n);
	size_t n = 0;

	if (p == NULL)
		return ERR_NOMEM;
	while (!cursor_end(&c)) {
		uint8_t byte = cursor_u8(&c);
		uint64_t value;

		if (byte == '\\' && ascii_is_digit((uint8_t)cursor_peek(&c))) {
			if (cursor_left(&c) < 3 || slice_to_u64(cursor_take(&c, 3), 255, &value) != 0)
				return zone_reader_fail(r, "\\DDD takes three decimal digits, 255 at most");
			byte = (uint8_t)value;
			out->dotted |= byte == '.';
		} else if (byte == '\\') {
			byte = cursor_u8(&c);
			out->dotted |= byte == '.';
		}
		p[n++] = byte;
	}
	out->text = slice_of(p, n);
	return 0;
}

static bool
ends_word(int c)
{
	return c < 0 || c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ';' || c == '(' || c == ')' || c == '"';
}

/* A word, or a string behind its opening quote. One without escapes is not copied. */
static int
read_token(struct zone_reader *r, bool quoted, struct zone_token *out)
{
	size_t from = r->c.pos;
	bool escaped = false;

	*out = (struct zone_token){.quoted = quoted};
	for (;;) {
		int c = cursor_peek(&r->c);

		if (quoted && (c < 0 || c == '\n'))
			return zone_reader_fail(r, "a string without its closing quote");
		if (quoted ? c == '"' : ends_word(c))
			break;
		cursor_skip(&r->c, 1);
		if (c != '\\')
			continue;
		escaped = true;
		if (cursor_end(&r->c) || cursor_peek(&r->c) == '\n')
			return zone_reader_fail(r, "a backslash at the end of the line");
		cursor_skip(&r->c, 1);
	}
	out->text = slice_range(r->c.s, from, r->c.pos);
	if (quoted)
		cursor_skip(&r->c, 1);
	return escaped ? unescape(r, out->text, out) : 0;
}

static int
keep_token(struct zone_reader *r, bool quoted)
{
	struct zone_token t;
	int e = read_token(r, quoted, &t);

	if (e != 0)
		return e;
	if (r->n >= TOKENS_MAX)
		return zone_reader_fail(r, "more than %u words in one entry", TOKENS_MAX);
	r->v = arena_grow(r->a, r->v, r->n, &r->cap, sizeof(*r->v), TOKENS_MAX);
	if (r->v == NULL)
		return ERR_NOMEM;
	r->v[r->n++] = t;
	return 0;
}

/* One byte between tokens; *depth counts parentheses. ERR_NOTFOUND when the entry ends here. */
static int
read_between(struct zone_reader *r, unsigned *depth)
{
	switch (cursor_u8(&r->c)) {
	case '\n': r->line++; return *depth == 0 ? ERR_NOTFOUND : 0;
	case '(': (*depth)++; return 0;
	case ')':
		if (*depth == 0)
			return zone_reader_fail(r, "a closing parenthesis without its opening one");
		(*depth)--;
		return 0;
	case ';': (void)cursor_until(&r->c, '\n'); return 0;
	default: return 0;
	}
}

/* The tokens of one entry, which may go over several lines in parentheses: *blank tells whether white space came first. */
static int
read_line(struct zone_reader *r, bool *blank)
{
	unsigned depth = 0;

	r->n = 0;
	r->entry_line = r->line;
	*blank = cursor_peek(&r->c) == ' ' || cursor_peek(&r->c) == '\t';
	while (!cursor_end(&r->c)) {
		int c = cursor_peek(&r->c), e;

		if (c == '"') {
			cursor_skip(&r->c, 1);
			e = keep_token(r, true);
		} else {
			e = ends_word(c) ? read_between(r, &depth) : keep_token(r, false);
		}
		if (e == ERR_NOTFOUND)
			return 0;
		if (e != 0)
			return e;
	}
	return depth == 0 ? 0 : zone_reader_fail(r, "an opening parenthesis without its closing one");
}

/* ---- entries ------------------------------------------------------------------------------------------------ */

int
zone_reader_name(struct zone_reader *r, struct zone_token token, struct slice *out)
{
	struct slice text = token.text;
	bool absolute = slice_ends(text, SLICE("."));
	struct slice parts[] = {absolute ? slice_head(text, text.n - 1) : text, SLICE("."), r->origin};
	size_t n = 0;
	uint8_t *p;

	if (token.dotted)
		return zone_reader_fail(r, "\"%.*s\": a full stop within a label is not supported", SLICE_ARG(text));
	if (slice_eq(text, SLICE("@"))) {
		*out = r->origin;
		return 0;
	}
	p = arena_alloc(r->a, text.n + r->origin.n + 1);
	if (p == NULL)
		return ERR_NOMEM;
	for (size_t part = 0; part < (absolute || r->origin.n == 0 ? 1 : COUNT_OF(parts)); part++)
		for (size_t i = 0; i < parts[part].n; i++)
			p[n++] = ascii_lower(slice_at(parts[part], i));
	*out = slice_of(p, n);
	if (!trust_dns_is_name(*out) && (n > 0 || !absolute))
		return zone_reader_fail(r, "\"%.*s\" is not a name", SLICE_ARG(slice_head(text, 300)));
	return 0;
}

static bool
find_kept(struct slice name, enum trust_dns_type *type)
{
	for (size_t i = 0; i < COUNT_OF(kept); i++)
		if (slice_ieq(name, slice_z(kept[i].name))) {
			*type = kept[i].type;
			return true;
		}
	return false;
}

static bool
is_other(struct slice name)
{
	for (size_t i = 0; i < COUNT_OF(others); i++)
		if (slice_ieq(name, slice_z(others[i])))
			return true;
	return slice_istarts(name, SLICE("TYPE")) && name.n > 4;
}

/* 3600, 1h30m, or a class. */
static bool
is_ttl_or_class(struct slice s)
{
	if (slice_ieq(s, SLICE("IN")))
		return true;
	if (s.n == 0 || !ascii_is_digit(slice_at(s, 0)))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_alnum(slice_at(s, i)))
			return false;
	return true;
}

static int
record(struct zone_reader *r, bool blank, struct zone_entry *out)
{
	size_t at = blank ? 0 : 1;
	int e = 0;

	if (!blank) {
		e = zone_reader_name(r, r->v[0], &r->owner);
		r->has_owner = true;
	}
	if (e != 0)
		return e;
	if (!r->has_owner)
		return zone_reader_fail(r, "the first record has no name");
	for (int i = 0; i < 2 && at < r->n && is_ttl_or_class(r->v[at].text); i++)
		at++;
	if (at >= r->n)
		return zone_reader_fail(r, "a record without a type");
	*out = (struct zone_entry){.owner = r->owner, .v = r->v + at + 1, .n = r->n - at - 1};
	if (find_kept(r->v[at].text, &out->type))
		out->kind = ZONE_RECORD;
	else if (is_other(r->v[at].text))
		out->kind = ZONE_OTHER;
	else
		return zone_reader_fail(
		    r, "the record type \"%.*s\" is not supported", SLICE_ARG(slice_head(r->v[at].text, 100)));
	return 0;
}

/* The next type of a $TEMPFAIL line. */
static int
next_type(struct zone_reader *r, struct zone_entry *out)
{
	struct slice name = r->v[r->n - r->types_left--].text;

	*out = (struct zone_entry){.kind = ZONE_FAILS_FOR, .owner = r->owner};
	if (find_kept(name, &out->type))
		return 0;
	return zone_reader_fail(r, "nobody asks for the type \"%.*s\"", SLICE_ARG(slice_head(name, 100)));
}

/* ERR_EXISTS: done, and it gives no entry. */
static int
directive(struct zone_reader *r, struct zone_entry *out)
{
	struct slice word = r->v[0].text;
	int e;

	if (slice_ieq(word, SLICE("$TTL")))
		return ERR_EXISTS;
	if (slice_ieq(word, SLICE("$ORIGIN"))) {
		e = r->n != 2 ? zone_reader_fail(r, "$ORIGIN takes one name")
			      : zone_reader_name(r, r->v[1], &r->origin);
		return e == 0 ? ERR_EXISTS : e;
	}
	if (!slice_ieq(word, SLICE("$TEMPFAIL")))
		return zone_reader_fail(r, "%.*s is not supported", SLICE_ARG(slice_head(word, 100)));
	if (r->n < 2)
		return zone_reader_fail(r, "$TEMPFAIL takes a name, and perhaps types");
	e = zone_reader_name(r, r->v[1], &r->owner);
	r->has_owner = true;
	if (e != 0)
		return e;
	r->types_left = r->n - 2;
	if (r->types_left > 0)
		return next_type(r, out);
	*out = (struct zone_entry){.kind = ZONE_FAILS, .owner = r->owner};
	return 0;
}

int
zone_reader_next(struct zone_reader *r, struct zone_entry *out)
{
	if (r->types_left > 0)
		return next_type(r, out);
	while (!cursor_end(&r->c)) {
		bool blank;
		int e = read_line(r, &blank);

		if (e != 0)
			return e;
		if (r->n == 0)
			continue;
		e = !blank && slice_starts(r->v[0].text, SLICE("$")) ? directive(r, out) : record(r, blank, out);
		if (e != ERR_EXISTS)
			return e;
	}
	return ERR_NOTFOUND;
}
