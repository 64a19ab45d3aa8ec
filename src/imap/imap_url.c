/* imap_url.c: see imap_url.h. */
#include "imap/imap_url.h"

#include "base/cursor.h"

static int
hex_value(uint8_t b)
{
	if (b >= '0' && b <= '9')
		return b - '0';
	b |= 0x20;
	return b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1;
}

/* Percent-encoding undone; NULL for a bad one. */
static struct slice
decoded(struct slice s, struct arena *a)
{
	uint8_t *p = arena_alloc(a, s.n + 1);
	size_t n = 0;

	for (size_t i = 0; p != NULL && i < s.n; i++) {
		uint8_t b = slice_at(s, i);

		if (b == '%') {
			int high = i + 2 < s.n ? hex_value(slice_at(s, i + 1)) : -1;
			int low = i + 2 < s.n ? hex_value(slice_at(s, i + 2)) : -1;

			if (high < 0 || low < 0)
				return SLICE_EMPTY;
			b = (uint8_t)(high << 4 | low);
			i += 2;
		}
		if (b == 0)
			return SLICE_EMPTY;
		p[n++] = b;
	}
	return slice_of(p, p == NULL ? 0 : n);
}

/* The value of ";NAME=value" if the text begins so; it ends at '/' or ';'. */
static bool
parameter(struct slice *rest, struct slice name, struct slice *value)
{
	size_t end;

	if (!slice_istarts(*rest, name))
		return false;
	*rest = slice_from(*rest, name.n);
	for (end = 0; end < rest->n; end++)
		if (slice_at(*rest, end) == '/' || slice_at(*rest, end) == ';')
			break;
	*value = slice_head(*rest, end);
	*rest = slice_from(*rest, end);
	return true;
}

static bool
number(struct slice s, uint32_t *out)
{
	struct cursor c = cursor_of(s);

	*out = (uint32_t)cursor_number(&c, UINT32_MAX);
	return c.err == 0 && cursor_end(&c) && s.n > 0;
}

static bool
parse_partial(struct slice value, struct imap_url *u)
{
	size_t dot = slice_find_byte(value, '.');

	if (dot == SLICE_NONE)
		return number(value, &u->offset);
	return number(slice_head(value, dot), &u->offset) && number(slice_from(value, dot + 1), &u->count) &&
	    u->count > 0;
}

/* Drops "imap://authority" and the slash that begins an absolute path. */
static struct slice
without_server(struct slice text)
{
	size_t slash;

	if (slice_istarts(text, SLICE("imap://"))) {
		text = slice_from(text, 7);
		slash = slice_find_byte(text, '/');
		text = slash == SLICE_NONE ? SLICE_EMPTY : slice_from(text, slash);
	}
	return slice_starts(text, SLICE("/")) && !slice_starts(text, SLICE("/;")) ? slice_from(text, 1) : text;
}

/* The mailbox is everything before its first parameter: ";UIDVALIDITY=" or "/;UID=". */
static struct slice
take_mailbox(struct slice *rest)
{
	size_t semicolon = slice_find_byte(*rest, ';');
	struct slice name = slice_head(*rest, semicolon == SLICE_NONE ? rest->n : semicolon);

	*rest = slice_from(*rest, name.n);
	if (slice_istarts(*rest, SLICE(";UID=")) && slice_ends(name, SLICE("/")))
		name = slice_head(name, name.n - 1);
	return name;
}

int
imap_url_parse(struct slice text, struct arena *a, struct imap_url *u)
{
	struct slice rest = without_server(text), name, value;

	*u = (struct imap_url){.section = SLICE("")};
	name = take_mailbox(&rest);
	u->mailbox = decoded(name, a);
	if (name.n > 0 && u->mailbox.n == 0)
		return arena_failed(a) ? ERR_NOMEM : ERR_SYNTAX;
	if (parameter(&rest, SLICE(";UIDVALIDITY="), &value) && !number(value, &u->uidvalidity))
		return ERR_SYNTAX;
	if (slice_starts(rest, SLICE("/")))
		rest = slice_from(rest, 1);
	if (!parameter(&rest, SLICE(";UID="), &value) || !number(value, &u->uid) || u->uid == 0)
		return ERR_SYNTAX;
	if (parameter(&rest, SLICE("/;SECTION="), &value)) {
		u->section = decoded(value, a);
		if (u->section.n == 0)
			return arena_failed(a) ? ERR_NOMEM : ERR_SYNTAX;
	}
	if (parameter(&rest, SLICE("/;PARTIAL="), &value) && !parse_partial(value, u))
		return ERR_SYNTAX;
	return rest.n == 0 ? 0 : ERR_SYNTAX;
}
