/* html_scan.c: as browsers cut tags: a quoted value may hold a >. */
#include "spam/html_scan.h"

static bool
is_name(uint8_t c)
{
	return ascii_is_alnum(c) || c == '-' || c == ':' || c == '_';
}

/* Behind the end of a comment that begins at `at` ("<!--"). */
static size_t
comment_end(struct slice in, size_t at)
{
	size_t end = slice_find(slice_from(in, at + 4), SLICE("-->"));

	return end == SLICE_NONE ? in.n : at + 4 + end + 3;
}

/* Of the > that ends the tag, quotes seen; the end of the text without one. */
static size_t
tag_end(struct slice in, size_t at)
{
	uint8_t quote = 0, before = 0;

	for (; at < in.n; at++) {
		uint8_t c = slice_at(in, at);

		if (quote != 0)
			quote = c == quote ? 0 : quote;
		else if (c == '>')
			return at;
		else if ((c == '"' || c == '\'') && before == '=')
			quote = c;
		if (!ascii_is_space(c))
			before = c;
	}
	return in.n;
}

/* Where </name begins, from `at` on. */
static size_t
raw_text_end(struct slice in, size_t at, struct slice name)
{
	for (; at < in.n; at++) {
		size_t lt = slice_find_byte(slice_from(in, at), '<');

		if (lt == SLICE_NONE)
			return in.n;
		at += lt;
		if (in.n - at > name.n + 1 && slice_at(in, at + 1) == '/' &&
		    slice_istarts(slice_from(in, at + 2), name))
			return at;
	}
	return in.n;
}

static void
cut_tag(struct html_scan *s, size_t at, struct html_tag *t)
{
	size_t name, end = tag_end(s->in, at + 1);

	*t = (struct html_tag){.at = at};
	t->closing = at + 1 < s->in.n && slice_at(s->in, at + 1) == '/';
	name = at + 1 + t->closing;
	for (at = name; at < end && is_name(slice_at(s->in, at)); at++)
		continue;
	t->name = slice_range(s->in, name, at);
	t->attributes = slice_range(s->in, at, end);
	t->end = s->pos = end < s->in.n ? end + 1 : end;
	if (!t->closing && (slice_ieq(t->name, SLICE("script")) || slice_ieq(t->name, SLICE("style"))))
		s->pos = raw_text_end(s->in, s->pos, t->name);
}

bool
html_next(struct html_scan *s, struct html_tag *t)
{
	while (s->pos < s->in.n) {
		size_t lt = slice_find_byte(slice_from(s->in, s->pos), '<');
		uint8_t next;

		if (lt == SLICE_NONE || s->pos + lt + 1 >= s->in.n)
			break;
		lt += s->pos;
		next = slice_at(s->in, lt + 1);
		if (slice_starts(slice_from(s->in, lt), SLICE("<!--"))) {
			s->comments++;
			s->pos = comment_end(s->in, lt);
		} else if (ascii_is_alpha(next) || next == '/' || next == '!' || next == '?') {
			cut_tag(s, lt, t);
			return true;
		} else {
			s->pos = lt + 1;
		}
	}
	s->pos = s->in.n;
	return false;
}

static struct slice
attribute_value(struct slice *rest)
{
	size_t end = 0;
	uint8_t quote;
	struct slice value;

	while (rest->n > 0 && ascii_is_space(slice_at(*rest, 0)))
		*rest = slice_from(*rest, 1);
	if (rest->n == 0)
		return *rest;
	quote = slice_at(*rest, 0);
	if (quote == '"' || quote == '\'') {
		*rest = slice_from(*rest, 1);
		while (end < rest->n && slice_at(*rest, end) != quote)
			end++;
		value = slice_head(*rest, end);
		*rest = slice_from(*rest, end < rest->n ? end + 1 : end);
		return value;
	}
	while (end < rest->n && !ascii_is_space(slice_at(*rest, end)))
		end++;
	value = slice_head(*rest, end);
	*rest = slice_from(*rest, end);
	return value;
}

bool
html_attribute(struct slice *attributes, struct slice *name, struct slice *value)
{
	struct slice rest = *attributes;
	size_t n = 0;

	while (rest.n > 0 && !is_name(slice_at(rest, 0)))
		rest = slice_from(rest, 1);
	while (n < rest.n && is_name(slice_at(rest, n)))
		n++;
	*name = slice_head(rest, n);
	rest = slice_from(rest, n);
	*value = SLICE_EMPTY;
	while (rest.n > 0 && ascii_is_space(slice_at(rest, 0)))
		rest = slice_from(rest, 1);
	if (rest.n > 0 && slice_at(rest, 0) == '=') {
		rest = slice_from(rest, 1);
		*value = attribute_value(&rest);
	}
	*attributes = rest;
	return name->n > 0;
}
