/* params.c: parameters. First all pieces are collected as they stand; then pieces of one name (RFC 2231 §3
 * continuations) are sorted together, joined, and decoded. What has RFC 2231 marks wins over the plain parameter of
 * that name, which is there for old readers. */
#include "message/params.h"

#include "message/cfws.h"
#include "message/words.h"

#define PIECES_PER_PARAM 10
#define SECTION_NONE (-1)
#define SECTION_MAX 9999
#define WIRE_CHUNK 60

/* One `name*section*=value` as it stands. */
struct piece {
	struct slice name; /* base name, lower case */
	int section;       /* SECTION_NONE without *N */
	bool extended;     /* trailing *: percent escapes */
	size_t value_at;   /* into the text buffer */
	size_t value_n;
	size_t order;
};

struct reader {
	struct arena *a;
	struct buf text; /* unquoted values, one after the other */
	struct piece *v; /* malloc'd: scratch */
	size_t n, cap, max;
	bool truncated;
};

static void
reader_free(struct reader *r)
{
	buf_free(&r->text);
	free(r->v);
}

/* Letters of a token, generously: whatever is no delimiter. */
static bool
is_name_byte(uint8_t c)
{
	return c > ' ' && c < 0x7f && c != '=' && c != ';' && c != '"' && c != '(' && c != ')' && c != ',' &&
	    c != '<' && c != '>';
}

static struct slice
name_read(struct cursor *c)
{
	size_t from = c->pos;

	while (!cursor_end(c) && is_name_byte((uint8_t)cursor_peek(c)))
		cursor_skip(c, 1);
	return slice_range(c->s, from, c->pos);
}

static struct slice
lower_copy(struct arena *a, struct slice s)
{
	uint8_t *p = arena_alloc(a, s.n);

	if (p == NULL)
		return SLICE_EMPTY;
	for (size_t i = 0; i < s.n; i++)
		p[i] = ascii_lower(slice_at(s, i));
	return slice_of(p, s.n);
}

/* Does a new `name=` begin here (a `;` was forgotten)? */
static bool
at_parameter(struct cursor c)
{
	if (name_read(&c).n == 0)
		return false;
	cursor_skip_wsp(&c);
	return cursor_peek(&c) == '=';
}

/* A value without quotes: up to `;`, a comment, or the next `name=`; words inside stay together ("name=my
 * file.doc"). */
static void
plain_value(struct cursor *c, struct buf *out)
{
	size_t solid = out->n;

	while (!cursor_end(c)) {
		int b = cursor_peek(c);

		if (b == ';')
			break;
		if (b == ' ' || b == '\t' || b == '\r' || b == '\n') {
			struct cursor ahead = *c;

			while (!cursor_end(&ahead) && ascii_is_space((uint8_t)cursor_peek(&ahead)))
				cursor_skip(&ahead, 1);
			if (cursor_peek(&ahead) == '(' || at_parameter(ahead))
				break;
			*c = ahead;
			buf_put_u8(out, ' ');
			continue;
		}
		cursor_skip(c, 1);
		if (b == 0)
			continue;
		buf_put_u8(out, (uint8_t)b);
		solid = out->n;
	}
	/* White space at the end is none of the value. */
	if (out->err == 0 && out->n > solid)
		buf_truncate(out, solid);
}

/* `base`, `base*`, `base*3`, `base*3*`. */
static void
name_split(struct slice name, struct piece *p)
{
	size_t star;
	uint64_t section;

	p->section = SECTION_NONE;
	p->extended = false;
	if (slice_ends(name, SLICE("*")) && name.n > 1) {
		p->extended = true;
		name = slice_head(name, name.n - 1);
	}
	star = slice_rfind_byte(name, '*');
	if (star != SLICE_NONE && star > 0 && slice_to_u64(slice_from(name, star + 1), SECTION_MAX, &section) == 0) {
		p->section = (int)section;
		name = slice_head(name, star);
	}
	p->name = name;
}

static int
piece_add(struct reader *r, struct slice name, size_t value_at)
{
	struct piece *p;

	if (r->n >= r->max) {
		r->truncated = true;
		return 0;
	}
	if (r->n == r->cap) {
		size_t cap = r->cap == 0 ? 8 : r->cap * 2;
		struct piece *v = realloc(r->v, cap * sizeof(*v));

		if (v == NULL)
			return ERR_NOMEM;
		r->v = v;
		r->cap = cap;
	}
	p = &r->v[r->n];
	name_split(name, p);
	p->name = lower_copy(r->a, p->name);
	p->value_at = value_at;
	p->value_n = r->text.n - value_at;
	p->order = r->n++;
	return r->text.err != 0 ? r->text.err : arena_failed(r->a) ? ERR_LIMIT : 0;
}

static int
read_pieces(struct reader *r, struct cursor *c)
{
	while (!cursor_end(c)) {
		struct slice name;
		size_t at;
		int err;

		cfws_skip(c, NULL);
		if (cursor_accept_byte(c, ';'))
			continue;
		name = name_read(c);
		cfws_skip(c, NULL);
		if (name.n == 0 || !cursor_accept_byte(c, '=')) {
			/* No parameter: go on behind the next `;`, or with the next word. */
			if (name.n == 0 && !cursor_end(c))
				cursor_skip(c, 1);
			continue;
		}
		cfws_skip(c, NULL);
		at = r->text.n;
		if (cursor_accept_byte(c, '"'))
			(void)cfws_quoted(c, &r->text);
		else
			plain_value(c, &r->text);
		err = piece_add(r, name, at);
		if (err != 0)
			return err;
	}
	return 0;
}

static int
piece_compare(const void *x, const void *y)
{
	const struct piece *a = x, *b = y;
	int r = slice_cmp(a->name, b->name);

	if (r != 0)
		return r;
	if (a->section != b->section)
		return a->section < b->section ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

static int
hex(uint8_t c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void
put_percent(struct slice s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (c == '%' && i + 2 < s.n && hex(slice_at(s, i + 1)) >= 0 && hex(slice_at(s, i + 2)) >= 0) {
			c = (uint8_t)(hex(slice_at(s, i + 1)) << 4 | hex(slice_at(s, i + 2)));
			i += 2;
		}
		buf_put_u8(out, c);
	}
}

/* charset'language'text: cuts the charset off; without two apostrophes all is text. */
static struct slice
charset_cut(struct slice *s)
{
	struct slice rest = *s, charset;
	size_t at = slice_find_byte(rest, '\'');

	if (at == SLICE_NONE)
		return SLICE_EMPTY;
	charset = slice_head(rest, at);
	rest = slice_from(rest, at + 1);
	at = slice_find_byte(rest, '\'');
	if (at == SLICE_NONE)
		return SLICE_EMPTY;
	*s = slice_from(rest, at + 1);
	return charset;
}

/* In a finished value no control byte stays: it ends up in headers, file names and terminals. */
static struct slice
clean_copy(struct arena *a, struct buf *b, size_t from)
{
	uint8_t *p = b->p;

	for (size_t i = from; i < b->n; i++)
		if (p[i] < ' ' || p[i] == 0x7f)
			p[i] = ' ';
	return arena_copy(a, slice_from(buf_slice(b), from));
}

/* Joins the pieces v[0..n) of one name: sections 0, 1, … without a gap (some begin with 1). */
static void
join(struct reader *r, const struct piece *v, size_t n, enum charset_place place, struct buf *scratch, struct buf *done,
    struct mime_param *out)
{
	struct slice charset = SLICE_EMPTY, text = buf_slice(&r->text);
	int expect = v[0].section;
	bool extended = false;

	buf_reset(scratch);
	buf_reset(done);
	for (size_t i = 0; i < n; i++) {
		struct slice value = slice_range(text, v[i].value_at, v[i].value_at + v[i].value_n);

		if (v[i].section < expect)
			continue; /* said twice: the first one counts */
		if (v[i].section != expect)
			break;
		if (i == 0 && v[i].extended) {
			charset = charset_cut(&value);
			extended = true;
		}
		if (v[i].extended)
			put_percent(value, scratch);
		else
			buf_put(scratch, value);
		if (expect++ == SECTION_NONE)
			break;
	}
	if (extended)
		(void)charset_to_utf8(charset, buf_slice(scratch), place, done);
	else
		words_decode(buf_slice(scratch), place, done);
	if (!extended && slice_is_ascii(buf_slice(scratch)) && !slice_eq(buf_slice(scratch), buf_slice(done)))
		out->written = clean_copy(r->a, scratch, 0);
	out->value = clean_copy(r->a, done, 0);
}

/* Chooses among the pieces of one name: first the continued ones, then `name*`, then the plain one. */
static void
choose(struct reader *r, const struct piece *v, size_t n, enum charset_place place, struct buf *scratch,
    struct buf *done, struct mime_param *out)
{
	size_t numbered = 0;

	while (numbered < n && v[numbered].section == SECTION_NONE)
		numbered++;
	if (numbered < n && v[numbered].section <= 1) {
		join(r, v + numbered, n - numbered, place, scratch, done, out);
		return;
	}
	for (size_t i = 0; i < numbered; i++)
		if (v[i].extended) {
			join(r, v + i, 1, place, scratch, done, out);
			return;
		}
	join(r, v, 1, place, scratch, done, out);
}

static void
boundary_keep(struct reader *r, struct mime_params *out)
{
	for (size_t i = 0; i < r->n && out->boundary.n == 0; i++)
		if (slice_eq(r->v[i].name, SLICE("boundary")) && r->v[i].section == SECTION_NONE && !r->v[i].extended)
			out->boundary = arena_copy(r->a,
			    slice_range(buf_slice(&r->text), r->v[i].value_at, r->v[i].value_at + r->v[i].value_n));
}

static int
assemble(struct reader *r, size_t max, enum charset_place place, struct mime_params *out)
{
	BUF_CLEANUP struct buf scratch;
	BUF_CLEANUP struct buf done;
	struct mime_param *v = NULL;
	size_t cap = 0;

	buf_init(&scratch, r->text.n + 16);
	buf_init(&done, r->text.n * 4 + 16);
	boundary_keep(r, out);
	if (r->n > 0)
		qsort(r->v, r->n, sizeof(*r->v), piece_compare);
	for (size_t i = 0, end; i < r->n; i = end) {
		for (end = i + 1; end < r->n && slice_eq(r->v[end].name, r->v[i].name);)
			end++;
		if (out->n >= max) {
			out->truncated = true;
			break;
		}
		v = arena_grow(r->a, v, out->n, &cap, sizeof(*v), max);
		if (v == NULL)
			return ERR_LIMIT;
		v[out->n] = (struct mime_param){.name = r->v[i].name};
		choose(r, r->v + i, end - i, place, &scratch, &done, &v[out->n]);
		/* Continuations of a boundary are no common sight, but they are allowed. */
		if (out->boundary.n == 0 && slice_eq(v[out->n].name, SLICE("boundary")))
			out->boundary = v[out->n].value;
		out->n++;
		out->v = v;
	}
	return arena_failed(r->a) ? ERR_LIMIT : scratch.err != 0 ? scratch.err : done.err;
}

/* "text/plain", "attachment": one word, or two with a slash between. */
static struct slice
first_value(struct arena *a, struct cursor *c)
{
	struct slice first, second;

	cfws_skip(c, NULL);
	(void)cursor_accept_byte(c, '"');
	first = name_read(c);
	cfws_skip(c, NULL);
	/* is_name_byte() takes the slash too, so only spaces around it bring us here. */
	if (!slice_ends(first, SLICE("/")) && cursor_peek(c) != '/')
		return lower_copy(a, first);
	if (cursor_accept_byte(c, '/'))
		cfws_skip(c, NULL);
	second = name_read(c);
	if (slice_ends(first, SLICE("/")))
		first = slice_head(first, first.n - 1);
	if (slice_starts(second, SLICE("/")))
		second = slice_from(second, 1);
	return lower_copy(a, arena_printf(a, "%.*s/%.*s", SLICE_ARG(first), SLICE_ARG(second)));
}

int
params_parse(struct arena *a, struct slice raw, const struct limits *limits, enum charset_place place,
    struct slice *value, struct mime_params *out)
{
	__attribute__((cleanup(reader_free))) struct reader r = {
	    .a = a, .max = (size_t)limits->message_parameters * PIECES_PER_PARAM};
	struct cursor c = cursor_of(raw);
	int err;

	*out = (struct mime_params){0};
	*value = first_value(a, &c);
	buf_init(&r.text, raw.n + 1);
	/* `name=x` without a value before it is what some mailers write. */
	if (cursor_peek(&c) == '=')
		c.pos = 0;
	err = read_pieces(&r, &c);
	if (err == 0)
		err = assemble(&r, (size_t)limits->message_parameters, place, out);
	out->truncated |= r.truncated;
	return err;
}

const struct slice *
params_get(const struct mime_params *p, struct slice name)
{
	for (size_t i = 0; i < p->n; i++)
		if (slice_eq(p->v[i].name, name))
			return &p->v[i].value;
	return NULL;
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

static bool
is_token(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (c <= ' ' || c >= 0x7f || strchr("()<>@,;:\\\"/[]?=*'%", c) != NULL)
			return false;
	}
	return s.n > 0;
}

/* RFC 2231 attribute-char stays, all else becomes %XX. */
static size_t
percent_width(uint8_t c)
{
	return is_token(slice_of(&c, 1)) ? 1 : 3;
}

static void
put_percent_encoded(struct slice s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (percent_width(c) == 1)
			buf_put_u8(out, c);
		else
			buf_printf(out, "%%%02X", c);
	}
}

void
params_wire(struct arena *a, const struct mime_param *p, struct slice *name, struct slice *value)
{
	BUF_CLEANUP struct buf b;

	*name = p->name;
	*value = p->written.n > 0 ? p->written : p->value;
	if (slice_is_ascii(*value))
		return;
	buf_init(&b, p->value.n * 3 + 16);
	buf_put(&b, SLICE("utf-8''"));
	put_percent_encoded(p->value, &b);
	*name = arena_printf(a, "%.*s*", SLICE_ARG(p->name));
	*value = arena_copy(a, buf_slice(&b));
}

/* One `; text` on this line or the next. */
static void
put_piece(struct buf *out, struct slice text, size_t *column)
{
	buf_put_u8(out, ';');
	if (*column + 2 + text.n > 76) {
		buf_put(out, SLICE("\r\n"));
		*column = 0;
	}
	buf_put_u8(out, ' ');
	buf_put(out, text);
	*column += 2 + text.n;
}

static void
quoted(struct buf *b, struct slice name, struct slice value)
{
	buf_put(b, name);
	buf_put_u8(b, '=');
	if (is_token(value)) {
		buf_put(b, value);
		return;
	}
	buf_put_u8(b, '"');
	for (size_t i = 0; i < value.n; i++) {
		uint8_t c = slice_at(value, i);

		if (c == '"' || c == '\\')
			buf_put_u8(b, '\\');
		buf_put_u8(b, c < ' ' || c == 0x7f ? ' ' : c);
	}
	buf_put_u8(b, '"');
}

void
params_put(struct buf *out, struct slice name, struct slice utf8, size_t *column)
{
	BUF_CLEANUP struct buf b;
	size_t section = 0, i = 0;

	buf_init(&b, name.n + utf8.n * 3 + 64);
	if (slice_is_ascii(utf8) && name.n + utf8.n < 200) {
		quoted(&b, name, utf8);
		put_piece(out, buf_slice(&b), column);
		return;
	}
	do {
		size_t width = 0;

		buf_reset(&b);
		buf_printf(&b, "%.*s*%zu*=%s", SLICE_ARG(name), section, section == 0 ? "utf-8''" : "");
		while (i < utf8.n && width + percent_width(slice_at(utf8, i)) <= WIRE_CHUNK) {
			width += percent_width(slice_at(utf8, i));
			put_percent_encoded(slice_range(utf8, i, i + 1), &b);
			i++;
		}
		put_piece(out, buf_slice(&b), column);
		section++;
	} while (i < utf8.n);
}
