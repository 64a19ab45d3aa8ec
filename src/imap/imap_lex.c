/* imap_lex.c: atoms, strings, numbers and dates of RFC 3501 §9. */
#include "imap/imap_lex.h"

#include "base/house.h"

enum {
	CLASS_ATOM = 1,    /* ATOM-CHAR */
	CLASS_ASTRING = 2, /* ASTRING-CHAR */
	CLASS_LIST = 4,    /* list-char */
	CLASS_TAG = 8,
	CLASS_QUOTED = 16 /* in a quoted string without a backslash; 8-bit included */
};

static unsigned
char_class(uint8_t b)
{
	if (b < 0x20 || b == 0x7f)
		return b == 0 || b == '\r' || b == '\n' ? 0 : CLASS_QUOTED;
	if (b >= 0x80)
		return CLASS_QUOTED;
	switch (b) {
	case '(':
	case ')':
	case '{':
	case ' ': return CLASS_QUOTED;
	case '%':
	case '*': return CLASS_QUOTED | CLASS_LIST;
	case '"':
	case '\\': return 0;
	case ']': return CLASS_QUOTED | CLASS_LIST | CLASS_ASTRING | CLASS_TAG;
	case '+': return CLASS_QUOTED | CLASS_LIST | CLASS_ASTRING | CLASS_ATOM;
	default: return CLASS_QUOTED | CLASS_LIST | CLASS_ASTRING | CLASS_ATOM | CLASS_TAG;
	}
}

struct imap_lex
imap_lex_of(struct slice command, struct arena *arena, int64_t depth_max)
{
	return (struct imap_lex){.c = cursor_of(command), .arena = arena, .depth_max = depth_max};
}

void
imap_lex_fail(struct imap_lex *x, const char *why)
{
	if (x->why == NULL)
		x->why = why;
	cursor_fail(&x->c, ERR_SYNTAX);
}

int
imap_lex_peek(const struct imap_lex *x)
{
	return cursor_peek(&x->c);
}

bool
imap_lex_accept(struct imap_lex *x, uint8_t b)
{
	return cursor_accept_byte(&x->c, b);
}

void
imap_lex_expect(struct imap_lex *x, uint8_t b)
{
	if (!cursor_accept_byte(&x->c, b))
		imap_lex_fail(x,
		    b == '('       ? "expected '('"
			: b == ')' ? "expected ')'"
			: b == '"' ? "expected a quote"
			: b == ']' ? "expected ']'"
				   : "unexpected character");
}

void
imap_lex_space(struct imap_lex *x)
{
	if (!cursor_accept_byte(&x->c, ' '))
		imap_lex_fail(x, "expected a space");
}

void
imap_lex_end(struct imap_lex *x)
{
	if (!imap_lex_failed(x) && !cursor_end(&x->c))
		imap_lex_fail(x, "extra characters after the arguments");
}

static struct slice
span(struct imap_lex *x, unsigned class)
{
	struct slice rest = cursor_rest(&x->c);
	size_t n = 0;

	while (n < rest.n && (char_class(slice_at(rest, n)) & class) != 0)
		n++;
	return cursor_take(&x->c, n);
}

static struct slice
span_or_fail(struct imap_lex *x, unsigned class, const char *why)
{
	struct slice s = span(x, class);

	if (s.n == 0)
		imap_lex_fail(x, why);
	return s;
}

struct slice
imap_lex_tag(struct imap_lex *x)
{
	return span_or_fail(x, CLASS_TAG, "expected a tag");
}

struct slice
imap_lex_atom(struct imap_lex *x)
{
	return span_or_fail(x, CLASS_ATOM, "expected an atom");
}

/* Behind a backslash was one of the two that must have it; copies without the backslashes. */
static struct slice
unescape(struct imap_lex *x, struct slice raw)
{
	uint8_t *p = arena_alloc(x->arena, raw.n);
	size_t n = 0;

	if (p == NULL) {
		imap_lex_fail(x, "the command is too large");
		return SLICE_EMPTY;
	}
	for (size_t i = 0; i < raw.n; i++) {
		if (slice_at(raw, i) == '\\')
			i++;
		p[n++] = slice_at(raw, i);
	}
	return slice_of(p, n);
}

static struct slice
quoted(struct imap_lex *x)
{
	struct slice rest = cursor_rest(&x->c);
	bool escaped = false;
	size_t n = 0;

	for (;; n++) {
		if (n >= rest.n) {
			imap_lex_fail(x, "a quoted string without its end");
			return SLICE_EMPTY;
		}
		if (slice_at(rest, n) == '"')
			break;
		if (slice_at(rest, n) == '\\') {
			n++;
			escaped = true;
			if (n < rest.n && (slice_at(rest, n) == '"' || slice_at(rest, n) == '\\'))
				continue;
			imap_lex_fail(x, "a backslash before an ordinary character");
			return SLICE_EMPTY;
		}
		if ((char_class(slice_at(rest, n)) & CLASS_QUOTED) == 0) {
			imap_lex_fail(x, "a NUL or a line end in a quoted string");
			return SLICE_EMPTY;
		}
	}
	cursor_skip(&x->c, n + 1);
	return escaped ? unescape(x, slice_head(rest, n)) : slice_head(rest, n);
}

static struct slice
literal(struct imap_lex *x)
{
	uint64_t n = cursor_number(&x->c, UINT32_MAX);
	struct slice s;

	(void)cursor_accept_byte(&x->c, '+');
	cursor_expect(&x->c, SLICE("}\r\n"));
	if (x->c.err != 0 || n > cursor_left(&x->c)) {
		if (x->why == NULL)
			x->why = "a malformed literal";
		cursor_fail(&x->c, ERR_SYNTAX);
		return SLICE_EMPTY;
	}
	s = cursor_take(&x->c, (size_t)n);
	if (slice_find_byte(s, 0) != SLICE_NONE) {
		imap_lex_fail(x, "a NUL in a literal");
		return SLICE_EMPTY;
	}
	return s;
}

struct slice
imap_lex_string(struct imap_lex *x)
{
	if (cursor_accept_byte(&x->c, '"'))
		return quoted(x);
	if (cursor_accept_byte(&x->c, '{'))
		return literal(x);
	imap_lex_fail(x, "expected a string");
	return SLICE_EMPTY;
}

struct slice
imap_lex_astring(struct imap_lex *x)
{
	int b = cursor_peek(&x->c);

	if (b == '"' || b == '{')
		return imap_lex_string(x);
	return span_or_fail(x, CLASS_ASTRING, "expected an atom or a string");
}

struct slice
imap_lex_object_id(struct imap_lex *x)
{
	struct slice id = imap_lex_astring(x);

	for (size_t i = 0; i < id.n; i++) {
		uint8_t b = slice_at(id, i);

		if (!ascii_is_alnum(b) && b != '_' && b != '-')
			imap_lex_fail(x, "expected an object identifier");
	}
	if (id.n > 255)
		imap_lex_fail(x, "expected an object identifier");
	return id;
}

bool
imap_lex_nstring(struct imap_lex *x, struct slice *out)
{
	*out = SLICE_EMPTY;
	if (cursor_iaccept(&x->c, SLICE("NIL")))
		return true;
	*out = imap_lex_string(x);
	return false;
}

struct slice
imap_lex_list_mailbox(struct imap_lex *x)
{
	int b = cursor_peek(&x->c);

	if (b == '"' || b == '{')
		return imap_lex_string(x);
	return span_or_fail(x, CLASS_LIST, "expected a mailbox pattern");
}

uint32_t
imap_lex_number(struct imap_lex *x)
{
	uint64_t n;

	if (imap_lex_failed(x))
		return 0;
	n = cursor_number(&x->c, UINT32_MAX);
	if (x->c.err != 0 && x->why == NULL)
		x->why = "expected a number of 32 bits";
	return (uint32_t)n;
}

uint32_t
imap_lex_nz_number(struct imap_lex *x)
{
	uint32_t n = imap_lex_number(x);

	if (n == 0)
		imap_lex_fail(x, "expected a number over zero");
	return n;
}

uint64_t
imap_lex_number64(struct imap_lex *x)
{
	uint64_t n;

	if (imap_lex_failed(x))
		return 0;
	n = cursor_number(&x->c, INT64_MAX);
	if (x->c.err != 0 && x->why == NULL)
		x->why = "expected a number of 63 bits";
	return n;
}

static int
digits(struct imap_lex *x, size_t n)
{
	struct slice s = cursor_take(&x->c, n);
	uint64_t v = 0;

	if (s.n != n || slice_to_u64(s, 9999, &v) != 0)
		imap_lex_fail(x, "malformed date or time");
	return (int)v;
}

static int
month(struct imap_lex *x)
{
	static const struct slice names[12] = {SLICE_INIT("jan"), SLICE_INIT("feb"), SLICE_INIT("mar"),
	    SLICE_INIT("apr"), SLICE_INIT("may"), SLICE_INIT("jun"), SLICE_INIT("jul"), SLICE_INIT("aug"),
	    SLICE_INIT("sep"), SLICE_INIT("oct"), SLICE_INIT("nov"), SLICE_INIT("dec")};

	for (int i = 0; i < 12; i++)
		if (cursor_iaccept(&x->c, names[i]))
			return i + 1;
	imap_lex_fail(x, "malformed month");
	return 1;
}

static void
month_and_year(struct imap_lex *x, struct civil_time *t)
{
	struct civil_time back;

	imap_lex_expect(x, '-');
	t->month = month(x);
	imap_lex_expect(x, '-');
	t->year = digits(x, 4);
	if (imap_lex_failed(x))
		return;
	/* 31-Feb comes back as another day. */
	if (t->day < 1 || t->day > 31)
		imap_lex_fail(x, "no such day");
	else {
		time_to_civil(time_from_civil(t), &back);
		if (back.day != t->day)
			imap_lex_fail(x, "no such day");
	}
}

int64_t
imap_lex_date(struct imap_lex *x)
{
	bool in_quotes = imap_lex_accept(x, '"');
	struct civil_time t = {0};
	int64_t s;

	t.day = digits(x, cursor_peek_at(&x->c, 1) == '-' ? 1 : 2);
	month_and_year(x, &t);
	if (in_quotes)
		imap_lex_expect(x, '"');
	if (imap_lex_failed(x))
		return 0;
	s = time_from_civil(&t);
	return s >= 0 ? s / 86400 : -((-s + 86399) / 86400);
}

int64_t
imap_lex_date_time(struct imap_lex *x)
{
	struct civil_time t = {0};
	bool west;
	int zone_h, zone_m;

	imap_lex_expect(x, '"');
	t.day = digits(x, imap_lex_accept(x, ' ') ? 1 : 2);
	month_and_year(x, &t);
	imap_lex_space(x);
	t.hour = digits(x, 2);
	imap_lex_expect(x, ':');
	t.minute = digits(x, 2);
	imap_lex_expect(x, ':');
	t.second = digits(x, 2);
	imap_lex_space(x);
	west = imap_lex_accept(x, '-');
	if (!west)
		imap_lex_expect(x, '+');
	zone_h = digits(x, 2);
	zone_m = digits(x, 2);
	imap_lex_expect(x, '"');
	if (t.hour > 23 || t.minute > 59 || t.second > 60 || zone_m > 59)
		imap_lex_fail(x, "no such time of day");
	if (imap_lex_failed(x))
		return 0;
	return time_from_civil(&t) + (west ? 1 : -1) * (int64_t)(zone_h * 3600 + zone_m * 60);
}

bool
imap_is_atom(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((char_class(slice_at(s, i)) & CLASS_ATOM) == 0)
			return false;
	return s.n > 0;
}

bool
imap_is_quotable(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t b = slice_at(s, i);

		if (b == 0 || b == '\r' || b == '\n' || b >= 0x80)
			return false;
	}
	return true;
}

int
imap_literal_at_end(struct slice line, uint64_t *size, bool *nonsync)
{
	size_t end, open;
	struct slice number;

	*size = 0;
	*nonsync = false;
	if (line.n < 3 || slice_at(line, line.n - 1) != '}')
		return 0;
	end = line.n - 1;
	if (slice_at(line, end - 1) == '+') {
		*nonsync = true;
		end--;
	}
	for (open = end; open > 0 && ascii_is_digit(slice_at(line, open - 1)); open--)
		;
	if (open == end || open == 0 || slice_at(line, open - 1) != '{')
		return 0;
	number = slice_range(line, open, end);
	return slice_to_u64(number, INT64_MAX, size) == 0 ? 1 : ERR_SYNTAX;
}
