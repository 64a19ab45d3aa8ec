/* header.c: walks header fields in place. A field is a line `name:` and the lines after it that begin with white
 * space. */
#include "message/header.h"

#include "message/words.h"

struct header_iter
header_iter_of(struct slice raw, size_t max_bytes)
{
	return (struct header_iter){.raw = raw, .max = max_bytes};
}

bool
header_name_is_valid(struct slice name)
{
	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = slice_at(name, i);

		if (c <= ' ' || c >= 0x7f || c == ':')
			return false;
	}
	return name.n > 0;
}

/* The end of the line that begins at pos: behind its LF, or the end of the bytes. */
static size_t
line_end(struct slice s, size_t pos)
{
	size_t at = slice_find_byte(slice_from(s, pos), '\n');

	return at == SLICE_NONE ? s.n : pos + at + 1;
}

static bool
is_blank(struct slice line)
{
	return slice_eq(line, SLICE("\n")) || slice_eq(line, SLICE("\r\n"));
}

static bool
continues(struct slice s, size_t pos)
{
	return pos < s.n && (slice_at(s, pos) == ' ' || slice_at(s, pos) == '\t');
}

static struct slice
without_line_end(struct slice s)
{
	if (slice_ends(s, SLICE("\n")))
		s = slice_head(s, s.n - 1);
	if (slice_ends(s, SLICE("\r")))
		s = slice_head(s, s.n - 1);
	return s;
}

/* Splits a whole field (its lines) at the colon. False if it is no field. */
static bool
field_split(struct slice raw, size_t first_line, struct header_field *f)
{
	size_t colon = slice_find_byte(slice_head(raw, first_line), ':');
	size_t end = colon;

	if (colon == SLICE_NONE)
		return false;
	/* "Subject : x" is an obsolete form (RFC 5322 §4.5.8). */
	while (end > 0 && (slice_at(raw, end - 1) == ' ' || slice_at(raw, end - 1) == '\t'))
		end--;
	f->name = slice_head(raw, end);
	f->value = without_line_end(slice_from(raw, colon + 1));
	f->raw = raw;
	return header_name_is_valid(f->name);
}

bool
header_next(struct header_iter *it, struct header_field *f)
{
	struct slice s = slice_head(it->raw, it->max);

	while (!it->ended) {
		size_t start = it->pos, end, first;

		if (start >= s.n) {
			it->ended = true;
			break;
		}
		end = first = line_end(s, start);
		it->pos = end;
		if (is_blank(slice_range(s, start, end))) {
			it->ended = it->blank = true;
			break;
		}
		while (continues(s, end))
			end = line_end(s, end);
		it->pos = end;
		/* Lines of white space before any field belong to none. */
		if (!continues(s, start) && field_split(slice_range(s, start, end), first - start, f))
			return true;
		it->skipped++;
	}
	return false;
}

int
header_parse(struct arena *a, struct slice raw, const struct limits *limits, struct header *out)
{
	struct header_iter it = header_iter_of(raw, (size_t)limits->message_header_bytes);
	struct header_field f, *v = NULL;
	size_t cap = 0;

	*out = (struct header){0};
	while (header_next(&it, &f)) {
		if (out->n >= (size_t)limits->message_headers) {
			out->truncated = true;
			continue;
		}
		v = arena_grow(a, v, out->n, &cap, sizeof(*v), (size_t)limits->message_headers);
		if (v == NULL) {
			out->n = 0;
			return ERR_LIMIT;
		}
		v[out->n++] = f;
		out->v = v;
	}
	out->size = it.pos;
	return 0;
}

static const struct header_field *
find_from(const struct header *h, size_t i, struct slice name)
{
	for (; i < h->n; i++)
		if (slice_ieq(h->v[i].name, name))
			return &h->v[i];
	return NULL;
}

const struct header_field *
header_find(const struct header *h, struct slice name)
{
	return find_from(h, 0, name);
}

const struct header_field *
header_find_next(const struct header *h, const struct header_field *f)
{
	return find_from(h, (size_t)(f - h->v) + 1, f->name);
}

const struct header_field *
header_find_last(const struct header *h, struct slice name)
{
	for (size_t i = h->n; i > 0; i--)
		if (slice_ieq(h->v[i - 1].name, name))
			return &h->v[i - 1];
	return NULL;
}

struct slice
header_value(const struct header *h, struct slice name)
{
	const struct header_field *f = header_find(h, name);

	return f == NULL ? SLICE_EMPTY : f->value;
}

struct slice
header_unfold(struct arena *a, struct slice value)
{
	uint8_t *out;
	size_t n = 0;

	value = slice_trim(value);
	if (slice_find_byte(value, '\n') == SLICE_NONE && slice_find_byte(value, '\r') == SLICE_NONE)
		return value;
	out = arena_alloc(a, value.n);
	if (out == NULL)
		return SLICE_EMPTY;
	for (size_t i = 0; i < value.n; i++) {
		uint8_t c = slice_at(value, i);

		if (c == '\n' || (c == '\r' && i + 1 < value.n && slice_at(value, i + 1) == '\n'))
			continue;
		out[n++] = c == '\r' ? ' ' : c;
	}
	return slice_of(out, n);
}

struct slice
header_text(struct arena *a, struct slice value, enum charset_place place)
{
	/* The worst growth is a windows-1252 byte that becomes three. */
	BUF_CLEANUP struct buf b;

	buf_init(&b, value.n * 4 + 16);
	words_decode(slice_trim(value), place, &b);
	return arena_copy(a, slice_trim(buf_slice(&b)));
}
