/* spf_macro.c: a text is read piece by piece: literal bytes, %% %_ %-, and %{…}; checking and expanding share the reader. */
#include "trust/spf_macro.h"

#include "base/cursor.h"

#include <stdio.h>

#define NAME_BYTES_MAX 253u
#define TAIL_BYTES 512u /* of a long name, what is kept: more than a name can have */
#define PARTS_MAX 1000u /* a number of parts above what any value has: "all of them" */

enum piece_kind { PIECE_LITERAL, PIECE_MACRO };

struct piece {
	enum piece_kind kind;
	struct slice text; /* PIECE_LITERAL: the bytes that it stands for */
	bool escape;       /* which were written as %%, %_ or %- */
	uint8_t letter;    /* PIECE_MACRO: in lower case */
	bool upper;        /* it was not: the value is URL-escaped */
	unsigned parts;    /* 0: no number was given */
	bool reverse;
	struct slice delimiters;
};

static bool
is_delimiter(int c)
{
	return c == '.' || c == '-' || c == '+' || c == ',' || c == '/' || c == '_' || c == '=';
}

static bool
is_literal(int c)
{
	return c >= ' ' && c <= '~' && c != '%';
}

/* Behind "%{". */
static int
read_macro(struct cursor *c, struct piece *out)
{
	uint8_t letter = cursor_u8(c);
	size_t from;
	bool digits = false;

	out->kind = PIECE_MACRO;
	out->letter = ascii_lower(letter);
	out->upper = letter != out->letter;
	while (cursor_peek(c) >= '0' && cursor_peek(c) <= '9') {
		out->parts = out->parts * 10 + (unsigned)(cursor_u8(c) - '0');
		if (out->parts > PARTS_MAX)
			out->parts = PARTS_MAX;
		digits = true;
	}
	if (digits && out->parts == 0)
		return ERR_SYNTAX;
	out->reverse = cursor_iaccept(c, SLICE("r"));
	from = c->pos;
	while (is_delimiter(cursor_peek(c)))
		cursor_skip(c, 1);
	out->delimiters = slice_range(c->s, from, c->pos);
	cursor_expect_byte(c, '}');
	return c->err != 0 || slice_find_byte(SLICE("slodiphcrtv"), out->letter) == SLICE_NONE ? ERR_SYNTAX : 0;
}

/* The next piece of what is not yet at its end. */
static int
read_piece(struct cursor *c, struct piece *out)
{
	size_t from = c->pos;

	*out = (struct piece){.kind = PIECE_LITERAL};
	if (cursor_accept_byte(c, '%')) {
		out->escape = true;
		switch (cursor_u8(c)) {
		case '{': return read_macro(c, out);
		case '%': out->text = SLICE("%"); return 0;
		case '_': out->text = SLICE(" "); return 0;
		case '-': out->text = SLICE("%20"); return 0;
		default: return ERR_SYNTAX;
		}
	}
	while (is_literal(cursor_peek(c)))
		cursor_skip(c, 1);
	out->text = slice_range(c->s, from, c->pos);
	return out->text.n == 0 ? ERR_SYNTAX : 0;
}

/* ---- checking ------------------------------------------------------------------------------------------------ */

/* The last label of a name that is no macro: letters, digits, hyphens within, and not digits alone (RFC 7208 §7.1). */
static bool
is_toplabel(struct slice s)
{
	bool other = false;

	if (s.n == 0 || slice_at(s, 0) == '-' || slice_at(s, s.n - 1) == '-')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_is_alnum(slice_at(s, i)) && slice_at(s, i) != '-')
			return false;
		other |= !ascii_is_digit(slice_at(s, i));
	}
	return other;
}

/* Is the literal end of a domain-spec "." toplabel [ "." ]? */
static bool
is_domain_end(struct slice s)
{
	size_t dot;

	if (slice_ends(s, SLICE(".")))
		s = slice_head(s, s.n - 1);
	dot = slice_rfind_byte(s, '.');
	return dot != SLICE_NONE && is_toplabel(slice_from(s, dot + 1));
}

int
spf_macro_check(struct slice text, enum spf_use use)
{
	struct cursor c = cursor_of(text);
	struct piece last = {.kind = PIECE_LITERAL};

	while (!cursor_end(&c)) {
		int e = read_piece(&c, &last);

		if (e != 0)
			return e;
		if (last.kind == PIECE_LITERAL) {
			if (use != SPF_EXPLAIN && !last.escape && slice_find_byte(last.text, ' ') != SLICE_NONE)
				return ERR_SYNTAX;
		} else if (use == SPF_DOMAIN_SPEC && slice_find_byte(SLICE("crt"), last.letter) != SLICE_NONE) {
			return ERR_SYNTAX;
		}
	}
	if (use != SPF_DOMAIN_SPEC || (text.n > 0 && (last.kind == PIECE_MACRO || last.escape)))
		return 0;
	return is_domain_end(last.text) ? 0 : ERR_SYNTAX;
}

bool
spf_macro_uses(struct slice text, uint8_t letter)
{
	struct cursor c = cursor_of(text);
	struct piece piece;

	while (!cursor_end(&c)) {
		if (read_piece(&c, &piece) != 0)
			return false;
		if (piece.kind == PIECE_MACRO && piece.letter == letter)
			return true;
	}
	return false;
}

/* ---- expanding ----------------------------------------------------------------------------------------------- */

/* Where the expansion goes. A name keeps its end, an explanation its beginning. */
struct sink {
	uint8_t *p;
	size_t n, max;
	bool keep_end;
	bool escape; /* bytes are written as %XX where RFC 3986 does not have them as unreserved */
};

static void
put_raw(struct sink *s, uint8_t c)
{
	if (s->n == s->max) {
		if (!s->keep_end)
			return;
		memmove(s->p, s->p + (s->max - TAIL_BYTES), TAIL_BYTES);
		s->n = TAIL_BYTES;
	}
	s->p[s->n++] = c;
}

static void
put(struct sink *s, uint8_t c)
{
	static const char hex[] = "0123456789ABCDEF";

	if (!s->escape || ascii_is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
		put_raw(s, c);
		return;
	}
	put_raw(s, '%');
	put_raw(s, (uint8_t)hex[c >> 4]);
	put_raw(s, (uint8_t)hex[c & 15]);
}

static void
put_all(struct sink *s, struct slice text)
{
	for (size_t i = 0; i < text.n; i++)
		put(s, slice_at(text, i));
}

static bool
splits(const struct piece *m, uint8_t c)
{
	return m->delimiters.n == 0 ? c == '.' : slice_find_byte(m->delimiters, c) != SLICE_NONE;
}

/* The right-hand parts, joined by full stops. */
static void
put_parts(struct sink *s, const struct piece *m, struct slice value)
{
	size_t from = value.n;

	for (unsigned parts = 1; from > 0; from--)
		if (splits(m, slice_at(value, from - 1)) && m->parts > 0 && ++parts > m->parts)
			break;
	for (size_t i = from; i < value.n; i++)
		put(s, splits(m, slice_at(value, i)) ? '.' : slice_at(value, i));
}

/* The same of the reversed parts: the left-hand ones, from the last of them to the first. */
static void
put_parts_reversed(struct sink *s, const struct piece *m, struct slice value)
{
	size_t to = 0;

	for (unsigned parts = 1; to < value.n; to++)
		if (splits(m, slice_at(value, to)) && m->parts > 0 && ++parts > m->parts)
			break;
	for (;;) {
		size_t from = to;

		while (from > 0 && !splits(m, slice_at(value, from - 1)))
			from--;
		put_all(s, slice_range(value, from, to));
		if (from == 0)
			return;
		put(s, '.');
		to = from - 1;
	}
}

static void
put_value(struct sink *s, const struct piece *m, struct slice value)
{
	if (m->reverse)
		put_parts_reversed(s, m, value);
	else if (m->parts > 0 || m->delimiters.n > 0)
		put_parts(s, m, value);
	else
		put_all(s, value);
}

/* The sender is put together only here: "local@domain". */
static int
put_sender(struct sink *s, const struct piece *m, const struct spf_values *v, struct arena *a)
{
	size_t n = v->local.n + 1 + v->sender_domain.n;
	uint8_t *p = arena_alloc(a, n);

	if (p == NULL)
		return ERR_NOMEM;
	if (v->local.n > 0)
		memcpy(p, v->local.p, v->local.n);
	p[v->local.n] = '@';
	if (v->sender_domain.n > 0)
		memcpy(p + v->local.n + 1, v->sender_domain.p, v->sender_domain.n);
	put_value(s, m, slice_of(p, n));
	return 0;
}

static int
put_macro(struct sink *s, const struct piece *m, const struct spf_values *v, struct arena *a)
{
	char text[CLIENT_IP_DOTTED_MAX];

	switch (m->letter) {
	case 's': return put_sender(s, m, v, a);
	case 'l': put_value(s, m, v->local); break;
	case 'o': put_value(s, m, v->sender_domain); break;
	case 'd': put_value(s, m, v->domain); break;
	case 'i': put_value(s, m, client_ip_dotted(v->ip, text)); break;
	case 'p': put_value(s, m, v->validated); break;
	case 'h': put_value(s, m, v->helo); break;
	case 'r': put_value(s, m, v->receiver); break;
	case 'v': put_value(s, m, v->ip->n == 4 ? SLICE("in-addr") : SLICE("ip6")); break;
	case 'c':
		client_ip_text(v->ip, text);
		put_value(s, m, slice_z(text));
		break;
	default:
		(void)snprintf(text, sizeof(text), "%lld", (long long)v->now_s);
		put_value(s, m, slice_z(text));
		break;
	}
	return 0;
}

static int
expand(struct slice text, const struct spf_values *v, struct sink *s, struct arena *a)
{
	struct cursor c = cursor_of(text);

	while (!cursor_end(&c) && (s->keep_end || s->n < s->max)) {
		struct arena_mark mark = arena_mark(a);
		struct piece piece;
		int e = read_piece(&c, &piece);

		ASSERT(e == 0);
		s->escape = piece.upper;
		if (piece.kind == PIECE_LITERAL)
			put_all(s, piece.text);
		else
			e = put_macro(s, &piece, v, a);
		arena_release(a, mark);
		if (e != 0)
			return e;
	}
	return 0;
}

int
spf_macro_domain(struct slice text, const struct spf_values *values, struct arena *a, struct slice *out)
{
	struct sink s = {.p = arena_alloc(a, 2u * TAIL_BYTES), .max = 2u * TAIL_BYTES, .keep_end = true};
	int e = s.p == NULL ? ERR_NOMEM : expand(text, values, &s, a);

	if (e != 0)
		return e;
	*out = slice_of(s.p, s.n);
	if (slice_ends(*out, SLICE(".")))
		*out = slice_head(*out, out->n - 1);
	while (out->n > NAME_BYTES_MAX && slice_find_byte(*out, '.') != SLICE_NONE)
		(void)slice_cut(out, '.');
	return 0;
}

int
spf_macro_explain(struct slice text, const struct spf_values *values, size_t max, struct arena *a, struct slice *out)
{
	struct sink s = {.p = arena_alloc(a, max), .max = max};
	int e = s.p == NULL ? ERR_NOMEM : expand(text, values, &s, a);

	*out = slice_of(s.p, e == 0 ? s.n : 0);
	return e;
}
