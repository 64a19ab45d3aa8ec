/* auth_results.c: the grammar of RFC 8601 §2.2. */
#include "trust/auth_results.h"

#include "message/cfws.h"
#include "message/mailbox.h"

#define VALUE_MAX 400 /* bytes of a stranger's word that are told */

/* ---- writing ------------------------------------------------------------------------------------------------- */

/* RFC 2045 §5.1, without what would make a value look like something else; an address may have one @ (pvalue). */
static bool
is_plain(struct slice s)
{
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (!ascii_is_alnum(c) && (c == 0 || strchr(".-_+@!#$%&*^|~{}`", c) == NULL))
			return false;
	}
	return true;
}

/* Bytes that could end a line or hide become question marks. */
static void
put_clean(struct buf *out, struct slice s, const char *escaped)
{
	s = slice_head(s, VALUE_MAX);
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (c < 32 || c == 127) {
			buf_put_u8(out, '?');
			continue;
		}
		if (strchr(escaped, c) != NULL)
			buf_put_u8(out, '\\');
		buf_put_u8(out, c);
	}
}

static void
put_value(struct buf *out, struct slice s)
{
	if (is_plain(s)) {
		buf_put(out, slice_head(s, VALUE_MAX));
		return;
	}
	buf_put_u8(out, '"');
	put_clean(out, s, "\"\\");
	buf_put_u8(out, '"');
}

void
auth_results_begin(struct auth_results *w, struct buf *out, struct slice id)
{
	*w = (struct auth_results){.out = out};
	put_value(out, id);
}

void
auth_results_put(struct auth_results *w, const char *method, enum trust_result result, struct slice reason)
{
	buf_printf(w->out, ";\r\n\t%s=%s", method, trust_result_name(result));
	if (reason.n > 0) {
		buf_put_z(w->out, " reason=");
		put_value(w->out, reason);
	}
	w->any = true;
}

void
auth_results_property(struct auth_results *w, const char *name, struct slice value)
{
	if (value.n == 0)
		return;
	buf_printf(w->out, " %s=", name);
	put_value(w->out, value);
}

void
auth_results_comment(struct auth_results *w, struct slice comment)
{
	buf_put_z(w->out, " (");
	put_clean(w->out, comment, "()\\");
	buf_put_z(w->out, ")");
}

void
auth_results_end(struct auth_results *w)
{
	if (!w->any)
		buf_put_z(w->out, "; none");
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

struct reader {
	struct cursor c;
	struct arena *a;
};

/* What ends a word that is not quoted. */
static bool
ends_word(int c, const char *also)
{
	return c <= ' ' || c == ';' || c == '(' || c == ')' || c == '"' || strchr(also, c) != NULL;
}

/* A word, quoted or not, without NULs (which some readers leave out); empty: there is none. *whole is false when it touches the end
 * of what there is, so that more of it might come. */
static struct slice
read_word(struct reader *r, const char *ends, bool *whole)
{
	BUF_CLEANUP struct buf word;

	buf_init(&word, 65536);
	*whole = true;
	if (cursor_peek(&r->c) == '"') {
		cursor_skip(&r->c, 1);
		*whole = cfws_quoted(&r->c, &word);
	} else {
		while (cursor_peek(&r->c) == 0 || !ends_word(cursor_peek(&r->c), ends)) {
			uint8_t c = cursor_u8(&r->c);

			if (c != 0)
				buf_put_u8(&word, c);
		}
		*whole = !cursor_end(&r->c);
	}
	return word.err != 0 ? SLICE_EMPTY : arena_copy(r->a, buf_slice(&word));
}

static struct slice
lower_word(struct reader *r, const char *ends)
{
	bool whole;
	struct slice word = read_word(r, ends, &whole);
	uint8_t *p = arena_alloc(r->a, word.n + 1);

	for (size_t i = 0; p != NULL && i < word.n; i++)
		p[i] = ascii_lower(slice_at(word, i));
	return slice_of(p, p == NULL ? 0 : word.n);
}

/* The id and a version, which only may be 1. */
static struct slice
read_id(struct reader *r, bool *known, bool *whole)
{
	struct slice id;
	uint64_t version = 1;

	cfws_skip(&r->c, NULL);
	id = read_word(r, "/", whole);
	if (cursor_peek(&r->c) == '/')
		cursor_skip(&r->c, 1);
	cfws_skip(&r->c, NULL);
	if (ascii_is_digit((uint8_t)(cursor_end(&r->c) ? 0 : cursor_peek(&r->c)))) {
		bool all;

		*known = slice_to_u64(read_word(r, "", &all), 1000, &version) == 0 && version == 1;
		cfws_skip(&r->c, NULL);
	} else {
		*known = true;
	}
	return id;
}

static bool
same_name(struct arena *a, struct slice id, struct slice own)
{
	struct slice plain, name;

	if (slice_ieq(id, own))
		return true;
	return domain_normalise(a, id, &plain) == 0 && domain_normalise(a, own, &name) == 0 && slice_eq(plain, name);
}

enum auth_results_author
auth_results_author(struct slice value, struct slice_list own, bool complete)
{
	struct arena ARENA_CLEANUP a;
	struct reader r = {cursor_of(value), &a};
	struct slice id;
	bool known, whole;

	arena_init(&a, 262144);
	id = read_id(&r, &known, &whole);
	if (!complete && (!whole || cursor_end(&r.c)))
		return AUTH_RESULTS_UNKNOWN;
	if (id.n == 0 || !known)
		return AUTH_RESULTS_OWN;
	for (size_t i = 0; i < own.n; i++)
		if (same_name(&a, id, own.v[i]))
			return AUTH_RESULTS_OWN;
	return AUTH_RESULTS_OTHER;
}

/* " = ": true when it was there. */
static bool
read_equals(struct reader *r)
{
	cfws_skip(&r->c, NULL);
	if (cursor_peek(&r->c) != '=')
		return false;
	cursor_skip(&r->c, 1);
	cfws_skip(&r->c, NULL);
	return true;
}

/* "method/1 = result": false when it is "none", or no result. */
static bool
read_method(struct reader *r, struct auth_results_item *out)
{
	out->method = lower_word(r, "=/");
	cfws_skip(&r->c, NULL);
	if (cursor_peek(&r->c) == '/') {
		cursor_skip(&r->c, 1);
		cfws_skip(&r->c, NULL);
		(void)lower_word(r, "=");
	}
	if (!read_equals(r))
		return false;
	out->result = lower_word(r, "");
	return out->method.n > 0 && out->result.n > 0;
}

/* "ptype . property = value", or "reason = value". */
static bool
read_property(struct reader *r, struct auth_results_property *out)
{
	struct slice type = lower_word(r, "=."), name = SLICE_EMPTY;
	bool whole;

	cfws_skip(&r->c, NULL);
	if (cursor_peek(&r->c) == '.') {
		cursor_skip(&r->c, 1);
		cfws_skip(&r->c, NULL);
		name = lower_word(r, "=");
	}
	if (type.n == 0 || !read_equals(r))
		return false;
	out->name = name.n == 0 ? type : arena_printf(r->a, "%.*s.%.*s", SLICE_ARG(type), SLICE_ARG(name));
	out->value = read_word(r, "", &whole);
	/* An address may have its local part in quotes. */
	if (cursor_peek(&r->c) == '@') {
		struct slice domain = read_word(r, "", &whole);

		out->value = arena_printf(r->a, "%.*s%.*s", SLICE_ARG(out->value), SLICE_ARG(domain));
	}
	return true;
}

/* One result: true when there was one. */
static bool
read_item(struct reader *r, struct auth_results_item *out)
{
	cfws_skip(&r->c, NULL);
	if (!read_method(r, out))
		return false;
	for (;;) {
		cfws_skip(&r->c, NULL);
		if (cursor_end(&r->c) || cursor_peek(&r->c) == ';')
			return true;
		if (out->n == AUTH_RESULTS_PROPERTIES_MAX || !read_property(r, &out->v[out->n]))
			return false;
		out->n++;
	}
}

int
auth_results_parse(struct arena *a, struct slice value, struct auth_results_field *out)
{
	struct reader r = {cursor_of(value), a};
	struct auth_results_item *v = ARENA_ARRAY(a, struct auth_results_item, AUTH_RESULTS_ITEMS_MAX);
	size_t n = 0;
	bool known, whole;
	int e = 0;

	*out = (struct auth_results_field){.id = read_id(&r, &known, &whole), .v = v};
	if (v == NULL)
		return ERR_NOMEM;
	if (out->id.n == 0 || !known)
		return arena_failed(a) ? ERR_NOMEM : ERR_SYNTAX;
	while (e == 0 && cursor_peek(&r.c) == ';') {
		cursor_skip(&r.c, 1);
		cfws_skip(&r.c, NULL);
		if (cursor_end(&r.c))
			break;
		if (n == AUTH_RESULTS_ITEMS_MAX) {
			e = ERR_LIMIT;
		} else if (read_item(&r, &v[n])) {
			n++;
		} else if (!(n == 0 && slice_eq(v[n].method, SLICE("none")))) {
			v[n] = (struct auth_results_item){0};
			e = ERR_SYNTAX;
		}
	}
	out->n = n;
	if (e == 0 && !cursor_end(&r.c))
		e = ERR_SYNTAX;
	return arena_failed(a) ? ERR_NOMEM : e;
}

struct slice
auth_results_find(const struct auth_results_item *i, struct slice name)
{
	for (size_t k = 0; k < i->n; k++)
		if (slice_eq(i->v[k].name, name))
			return i->v[k].value;
	return SLICE_EMPTY;
}
