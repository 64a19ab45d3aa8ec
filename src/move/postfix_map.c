/* postfix_map.c: see postfix_map.h. */
#include "move/postfix_map.h"

#define ENTRY_BYTES ((size_t)4 << 20)

void
postfix_map_init(struct postfix_map *m, struct slice text, bool colon)
{
	*m = (struct postfix_map){.rest = text, .colon = colon, .next_line = 1};
	buf_init(&m->joined, ENTRY_BYTES);
}

void
postfix_map_free(struct postfix_map *m)
{
	buf_free(&m->joined);
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* Remarks and empty lines lie between entries and within them. */
static bool
is_nothing(struct slice line)
{
	struct slice s = slice_trim(line);

	return s.n == 0 || slice_at(s, 0) == '#';
}

/* Lines up to the next one that begins an entry. */
static void
join(struct postfix_map *m)
{
	while (m->rest.n > 0) {
		struct slice after = m->rest, line = slice_cut(&after, '\n');

		if (!is_nothing(line)) {
			if (!is_blank(slice_at(line, 0)))
				return;
			buf_put_u8(&m->joined, ' ');
			buf_put(&m->joined, slice_trim(line));
		}
		m->rest = after;
		m->next_line++;
	}
}

/* Where the key ends: behind its quotes, or at white space or the colon. */
static size_t
key_end(struct slice s, bool colon)
{
	bool quoted = false;
	size_t i = 0;

	for (; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (c == '\\' && quoted && i + 1 < s.n)
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (colon ? c == ':' : is_blank(c)))
			break;
	}
	return i;
}

static struct slice
unquote(struct slice s)
{
	return s.n >= 2 && slice_at(s, 0) == '"' && slice_at(s, s.n - 1) == '"' ? slice_range(s, 1, s.n - 1) : s;
}

int
postfix_map_next(struct postfix_map *m, struct postfix_entry *out)
{
	struct slice line;
	size_t end;

	*out = (struct postfix_entry){.key = SLICE_EMPTY};
	do {
		if (m->rest.n == 0)
			return 0;
		m->line = m->next_line++;
		line = slice_cut(&m->rest, '\n');
	} while (is_nothing(line));
	buf_reset(&m->joined);
	buf_put(&m->joined, slice_trim(line));
	if (is_blank(slice_at(line, 0)))
		return ERR_SYNTAX; /* it goes on with nothing */
	join(m);
	if (m->joined.err != 0)
		return ERR_LIMIT;
	line = buf_slice(&m->joined);
	end = key_end(line, m->colon);
	if (m->colon && end == line.n)
		return ERR_SYNTAX;
	out->key = unquote(slice_trim(slice_head(line, end)));
	out->value = slice_trim(slice_from(line, m->colon ? end + 1 : end));
	return out->key.n == 0 ? ERR_SYNTAX : 1;
}

bool
postfix_value_next(struct slice *rest, struct slice *out)
{
	bool quoted = false;
	size_t i;

	while (rest->n > 0 && (is_blank(slice_at(*rest, 0)) || slice_at(*rest, 0) == ','))
		*rest = slice_from(*rest, 1);
	for (i = 0; i < rest->n; i++) {
		uint8_t c = slice_at(*rest, i);

		if (c == '"')
			quoted = !quoted;
		else if (!quoted && (is_blank(c) || c == ','))
			break;
	}
	*out = slice_head(*rest, i);
	*rest = slice_from(*rest, i);
	return out->n > 0;
}
