/* tag_list.c: see the header. */
#include "trust/tag_list.h"

static bool
is_fws(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* RFC 6376 §3.2: ALPHA *(ALPHA / DIGIT / "_"). */
static bool
is_tag_name(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (!(i == 0 ? ascii_is_alpha(c) : ascii_is_alnum(c) || c == '_'))
			return false;
	}
	return s.n > 0;
}

/* VALCHAR, white space and what RFC 8616 adds; never ";", which ends the value. A line may only be broken where it goes on with
 * white space. */
static bool
is_tag_value(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if ((c < 0x21 && !is_fws(c)) || c == 0x7f)
			return false;
	}
	return true;
}

static struct slice
trim_fws(struct slice s)
{
	while (s.n > 0 && is_fws(slice_at(s, 0)))
		s = slice_from(s, 1);
	while (s.n > 0 && is_fws(slice_at(s, s.n - 1)))
		s = slice_head(s, s.n - 1);
	return s;
}

static int
take_tag(struct slice spec, struct tag_list *out)
{
	size_t eq = slice_find_byte(spec, '=');
	struct tag t;

	if (eq == SLICE_NONE)
		return ERR_SYNTAX;
	t.name = trim_fws(slice_head(spec, eq));
	t.span = slice_from(spec, eq + 1);
	t.value = trim_fws(t.span);
	if (!is_tag_name(t.name) || !is_tag_value(t.value) || tag_list_find(out, t.name) != NULL)
		return ERR_SYNTAX;
	if (out->n == TAG_LIST_MAX)
		return ERR_LIMIT;
	out->v[out->n++] = t;
	return 0;
}

int
tag_list_parse(struct slice text, struct tag_list *out)
{
	int err = 0;

	out->n = 0;
	if (trim_fws(text).n == 0)
		return 0;
	while (err == 0 && text.p != NULL) {
		struct slice spec = slice_cut(&text, ';');

		/* one ";" may end the list */
		if (out->n > 0 && trim_fws(text).n == 0 && text.p == NULL && trim_fws(spec).n == 0)
			break;
		err = take_tag(spec, out);
	}
	return err;
}

const struct tag *
tag_list_find(const struct tag_list *l, struct slice name)
{
	for (size_t i = 0; i < l->n; i++)
		if (slice_eq(l->v[i].name, name))
			return &l->v[i];
	return NULL;
}

struct slice
tag_without_space(struct arena *a, struct slice value)
{
	uint8_t *out;
	size_t n = 0, space = 0;

	for (size_t i = 0; i < value.n; i++)
		space += is_fws(slice_at(value, i));
	if (space == 0)
		return value;
	out = arena_alloc(a, value.n);
	if (out == NULL)
		return SLICE_EMPTY;
	for (size_t i = 0; i < value.n; i++)
		if (!is_fws(slice_at(value, i)))
			out[n++] = slice_at(value, i);
	return slice_of(out, n);
}

bool
tag_names(struct slice colon_list, struct slice item)
{
	while (colon_list.p != NULL)
		if (slice_ieq(trim_fws(slice_cut(&colon_list, ':')), item))
			return true;
	return false;
}
