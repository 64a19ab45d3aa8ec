/* imap_parse_fetch.c: what FETCH asks for (RFC 3501 §6.4.5), and its modifiers (RFC 4466 §2.3). */
#include "imap/imap_parse.h"

static const struct {
	struct slice name;
	unsigned items;
} simple_items[] = {
    {SLICE_INIT("FLAGS"), IMAP_FETCH_FLAGS},
    {SLICE_INIT("UID"), IMAP_FETCH_UID},
    {SLICE_INIT("INTERNALDATE"), IMAP_FETCH_INTERNALDATE},
    {SLICE_INIT("RFC822.SIZE"), IMAP_FETCH_SIZE},
    {SLICE_INIT("ENVELOPE"), IMAP_FETCH_ENVELOPE},
    {SLICE_INIT("BODYSTRUCTURE"), IMAP_FETCH_BODYSTRUCTURE},
    {SLICE_INIT("MODSEQ"), IMAP_FETCH_MODSEQ},
    {SLICE_INIT("EMAILID"), IMAP_FETCH_EMAILID},
    {SLICE_INIT("THREADID"), IMAP_FETCH_THREADID},
    {SLICE_INIT("SAVEDATE"), IMAP_FETCH_SAVEDATE},
    {SLICE_INIT("PREVIEW"), IMAP_FETCH_PREVIEW},
};

static const struct {
	struct slice name;
	enum imap_section_form form;
	enum mime_section section;
	bool peek;
} rfc822_items[] = {
    {SLICE_INIT("RFC822"), IMAP_FORM_RFC822, MIME_SECTION_ALL, false},
    {SLICE_INIT("RFC822.HEADER"), IMAP_FORM_RFC822_HEADER, MIME_SECTION_HEADER, true},
    {SLICE_INIT("RFC822.TEXT"), IMAP_FORM_RFC822_TEXT, MIME_SECTION_TEXT, false},
};

static const struct {
	struct slice name;
	enum imap_section_form form;
	bool peek;
} bracket_items[] = {
    {SLICE_INIT("BODY"), IMAP_FORM_BODY, false}, /* first: it exists without a section too */
    {SLICE_INIT("BODY.PEEK"), IMAP_FORM_BODY, true},
    {SLICE_INIT("BINARY"), IMAP_FORM_BINARY, false},
    {SLICE_INIT("BINARY.PEEK"), IMAP_FORM_BINARY, true},
    {SLICE_INIT("BINARY.SIZE"), IMAP_FORM_BINARY_SIZE, true},
};

static const struct {
	struct slice name;
	unsigned items;
} macros[] = {
    {SLICE_INIT("ALL"), IMAP_FETCH_FLAGS | IMAP_FETCH_INTERNALDATE | IMAP_FETCH_SIZE | IMAP_FETCH_ENVELOPE},
    {SLICE_INIT("FAST"), IMAP_FETCH_FLAGS | IMAP_FETCH_INTERNALDATE | IMAP_FETCH_SIZE},
    {SLICE_INIT("FULL"),
	IMAP_FETCH_FLAGS | IMAP_FETCH_INTERNALDATE | IMAP_FETCH_SIZE | IMAP_FETCH_ENVELOPE | IMAP_FETCH_BODY},
};

/* Items are atoms up to the section's bracket: "BODY", "BODY.PEEK", "RFC822.SIZE". */
static struct slice
item_name(struct imap_lex *x)
{
	struct slice rest = cursor_rest(&x->c);
	size_t n = 0;

	while (n < rest.n && (ascii_is_alnum(slice_at(rest, n)) || slice_at(rest, n) == '.'))
		n++;
	if (n == 0)
		imap_lex_fail(x, "expected a FETCH item");
	return cursor_take(&x->c, n);
}

static void
parse_numbers(struct imap_lex *x, struct imap_section *s)
{
	uint32_t *v = NULL;
	size_t n = 0, cap = 0;

	while (ascii_is_digit((uint8_t)imap_lex_peek(x)) && imap_lex_peek(x) >= 0) {
		v = arena_grow(x->arena, v, n, &cap, sizeof(*v), SIZE_MAX);
		if (v == NULL) {
			imap_lex_fail(x, "the command is too large");
			return;
		}
		v[n++] = imap_lex_nz_number(x);
		if (!imap_lex_accept(x, '.'))
			break;
		if (imap_lex_peek(x) == ']')
			imap_lex_fail(x, "a part number ends in '.'");
	}
	s->numbers = v;
	s->numbers_n = n;
}

static void
parse_field_names(struct imap_lex *x, struct imap_section *s)
{
	struct slice *v = NULL;
	size_t n = 0, cap = 0;

	imap_lex_space(x);
	imap_lex_expect(x, '(');
	do {
		struct slice name = imap_lex_astring(x);

		if (imap_lex_failed(x))
			return;
		v = arena_grow(x->arena, v, n, &cap, sizeof(*v), SIZE_MAX);
		if (v == NULL) {
			imap_lex_fail(x, "the command is too large");
			return;
		}
		v[n++] = name;
	} while (imap_lex_accept(x, ' '));
	imap_lex_expect(x, ')');
	s->names = (struct slice_list){v, n};
}

static void
parse_section_text(struct imap_lex *x, struct imap_section *s)
{
	struct slice word = item_name(x);

	if (slice_ieq(word, SLICE("HEADER"))) {
		s->section = MIME_SECTION_HEADER;
	} else if (slice_ieq(word, SLICE("HEADER.FIELDS")) || slice_ieq(word, SLICE("HEADER.FIELDS.NOT"))) {
		s->section = MIME_SECTION_HEADER;
		s->fields = word.n == 13;
		s->fields_not = !s->fields;
		parse_field_names(x, s);
	} else if (slice_ieq(word, SLICE("TEXT"))) {
		s->section = MIME_SECTION_TEXT;
	} else if (slice_ieq(word, SLICE("MIME")) && s->numbers_n > 0) {
		s->section = MIME_SECTION_MIME;
	} else {
		imap_lex_fail(x, "no such section");
	}
}

void
imap_parse_section(struct imap_lex *x, struct imap_section *s)
{
	parse_numbers(x, s);
	if (imap_lex_peek(x) != ']' && s->form == IMAP_FORM_BODY)
		parse_section_text(x, s);
	imap_lex_expect(x, ']');
	if (s->form != IMAP_FORM_BINARY_SIZE && imap_lex_accept(x, '<')) {
		s->partial = true;
		s->offset = imap_lex_number(x);
		imap_lex_expect(x, '.');
		s->count = imap_lex_nz_number(x);
		imap_lex_expect(x, '>');
	}
}

static void
add_section(struct imap_lex *x, struct imap_fetch *f, size_t *cap, const struct imap_section *s, size_t max)
{
	if (imap_lex_failed(x))
		return;
	f->sections = arena_grow(x->arena, f->sections, f->sections_n, cap, sizeof(*s), max);
	if (f->sections == NULL) {
		f->sections_n = 0;
		imap_lex_fail(x, "too many items");
		return;
	}
	f->sections[f->sections_n++] = *s;
	if (!s->peek)
		f->sets_seen = true;
}

static void
parse_item(struct imap_lex *x, struct imap_fetch *f, size_t *cap, size_t max)
{
	struct slice name = item_name(x);
	struct imap_section s = {0};

	for (size_t i = 0; i < COUNT_OF(simple_items); i++) {
		if (slice_ieq(name, simple_items[i].name)) {
			f->items |= simple_items[i].items;
			if (simple_items[i].items == IMAP_FETCH_PREVIEW && cursor_iaccept(&x->c, SLICE(" (LAZY)")))
				f->items |= IMAP_FETCH_PREVIEW_LAZY;
			return;
		}
	}
	for (size_t i = 0; i < COUNT_OF(rfc822_items); i++) {
		if (slice_ieq(name, rfc822_items[i].name)) {
			s.form = rfc822_items[i].form;
			s.section = rfc822_items[i].section;
			s.peek = rfc822_items[i].peek;
			add_section(x, f, cap, &s, max);
			return;
		}
	}
	for (size_t i = 0; i < COUNT_OF(bracket_items); i++) {
		if (!slice_ieq(name, bracket_items[i].name))
			continue;
		s.form = bracket_items[i].form;
		s.peek = bracket_items[i].peek;
		if (imap_lex_accept(x, '[')) {
			imap_parse_section(x, &s);
			add_section(x, f, cap, &s, max);
		} else if (i == 0) {
			f->items |= IMAP_FETCH_BODY;
		} else {
			imap_lex_fail(x, "an item without its section");
		}
		return;
	}
	imap_lex_fail(x, "no such FETCH item");
}

static bool
parse_macro(struct imap_lex *x, struct imap_fetch *f)
{
	struct imap_lex before = *x;
	struct slice name = item_name(x);

	for (size_t i = 0; i < COUNT_OF(macros); i++) {
		if (slice_ieq(name, macros[i].name)) {
			f->items = macros[i].items;
			return true;
		}
	}
	*x = before;
	return false;
}

static void
parse_items(struct imap_lex *x, const struct limits *l, struct imap_fetch *out)
{
	size_t cap = 0, max = (size_t)l->imap_fetch_items;

	if (imap_lex_peek(x) != '(') {
		if (!parse_macro(x, out))
			parse_item(x, out, &cap, max);
		return;
	}
	imap_lex_expect(x, '(');
	do
		parse_item(x, out, &cap, max);
	while (!imap_lex_failed(x) && imap_lex_accept(x, ' '));
	imap_lex_expect(x, ')');
}

void
imap_parse_fetch_items(struct imap_lex *x, const struct limits *l, struct imap_fetch *out)
{
	*out = (struct imap_fetch){0};
	if (imap_lex_peek(x) != '(')
		imap_lex_fail(x, "expected items in parentheses");
	parse_items(x, l, out);
}

void
imap_parse_partial(struct imap_lex *x, struct imap_partial *out)
{
	out->given = true;
	out->from_end = imap_lex_accept(x, '-');
	out->lo = imap_lex_nz_number(x);
	imap_lex_expect(x, ':');
	if (out->from_end)
		imap_lex_expect(x, '-');
	out->hi = imap_lex_nz_number(x);
	if (out->lo > out->hi) {
		uint32_t lo = out->hi;

		out->hi = out->lo;
		out->lo = lo;
	}
}

static void
parse_fetch_modifier(struct imap_lex *x, struct imap_fetch *out)
{
	struct slice name = imap_lex_atom(x);

	if (slice_ieq(name, SLICE("CHANGEDSINCE"))) {
		imap_lex_space(x);
		out->changed = true;
		out->changed_since = imap_lex_number64(x);
		out->items |= IMAP_FETCH_MODSEQ;
	} else if (slice_ieq(name, SLICE("VANISHED"))) {
		out->vanished = true;
	} else if (slice_ieq(name, SLICE("PARTIAL"))) {
		imap_lex_space(x);
		imap_parse_partial(x, &out->partial);
	} else {
		imap_lex_fail(x, "no such FETCH modifier");
	}
}

void
imap_parse_fetch(struct imap_lex *x, const struct limits *l, struct imap_fetch *out)
{
	*out = (struct imap_fetch){0};
	parse_items(x, l, out);
	if (imap_lex_accept(x, ' ')) {
		imap_lex_expect(x, '(');
		do
			parse_fetch_modifier(x, out);
		while (!imap_lex_failed(x) && imap_lex_accept(x, ' '));
		imap_lex_expect(x, ')');
	}
	imap_lex_end(x);
	if (out->vanished && !out->changed)
		imap_lex_fail(x, "VANISHED without CHANGEDSINCE");
}

/* A field name goes back as an atom-like quoted string; one that cannot be quoted as a literal. */
static void
put_name(struct buf *out, struct slice name)
{
	if (!imap_is_quotable(name)) {
		buf_put_u8(out, '{');
		buf_put_u64(out, name.n);
		buf_put(out, SLICE("}\r\n"));
		buf_put(out, name);
		return;
	}
	if (imap_is_atom(name)) {
		buf_put(out, name);
		return;
	}
	buf_put_u8(out, '"');
	for (size_t i = 0; i < name.n; i++) {
		if (slice_at(name, i) == '"' || slice_at(name, i) == '\\')
			buf_put_u8(out, '\\');
		buf_put_u8(out, slice_at(name, i));
	}
	buf_put_u8(out, '"');
}

static void
put_section_text(struct buf *out, const struct imap_section *s)
{
	if (s->section == MIME_SECTION_ALL)
		return;
	if (s->numbers_n > 0)
		buf_put_u8(out, '.');
	if (s->section == MIME_SECTION_TEXT) {
		buf_put(out, SLICE("TEXT"));
	} else if (s->section == MIME_SECTION_MIME) {
		buf_put(out, SLICE("MIME"));
	} else if (!s->fields && !s->fields_not) {
		buf_put(out, SLICE("HEADER"));
	} else {
		buf_put(out, s->fields ? SLICE("HEADER.FIELDS (") : SLICE("HEADER.FIELDS.NOT ("));
		for (size_t i = 0; i < s->names.n; i++) {
			if (i > 0)
				buf_put_u8(out, ' ');
			put_name(out, s->names.v[i]);
		}
		buf_put_u8(out, ')');
	}
}

void
imap_put_section(struct buf *out, const struct imap_section *s)
{
	if (s->form == IMAP_FORM_RFC822 || s->form == IMAP_FORM_RFC822_HEADER || s->form == IMAP_FORM_RFC822_TEXT) {
		for (size_t i = 0; i < COUNT_OF(rfc822_items); i++)
			if (rfc822_items[i].form == s->form)
				buf_put(out, rfc822_items[i].name);
		return;
	}
	buf_put(out,
	    s->form == IMAP_FORM_BODY              ? SLICE("BODY[")
		: s->form == IMAP_FORM_BINARY_SIZE ? SLICE("BINARY.SIZE[")
						   : SLICE("BINARY["));
	for (size_t i = 0; i < s->numbers_n; i++) {
		if (i > 0)
			buf_put_u8(out, '.');
		buf_put_u64(out, s->numbers[i]);
	}
	put_section_text(out, s);
	buf_put_u8(out, ']');
	if (s->partial) {
		buf_put_u8(out, '<');
		buf_put_u64(out, s->offset);
		buf_put_u8(out, '>');
	}
}
