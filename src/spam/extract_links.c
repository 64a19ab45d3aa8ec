/* extract_links.c: where a message leads to. */
#include "spam/extract_private.h"
#include "spam/url.h"

static void
put_path(struct extract_links *l, struct slice path)
{
	struct slice file = slice_head(path, 200), rest = file, segment;
	size_t query = slice_find_byte(file, '?'), slash, dot;
	uint8_t shape[34];

	if (query != SLICE_NONE) {
		struct slice name = slice_from(file, query + 1);

		spam_feature(l->f, SPAM_LINKS, "link asks for", slice_head(slice_cut(&name, '='), 24));
		file = rest = slice_head(file, query);
	}
	(void)slice_cut(&rest, '/');
	segment = slice_cut(&rest, '/');
	spam_feature(l->f, SPAM_LINKS, "link's folder", slice_head(segment, 32));
	slash = slice_rfind_byte(file, '/');
	file = slash == SLICE_NONE ? file : slice_from(file, slash + 1);
	if ((dot = slice_rfind_byte(file, '.')) != SLICE_NONE)
		spam_feature(l->f, SPAM_LINKS, "link to a file", slice_head(slice_from(file, dot), 8));
	spam_feature(l->f, SPAM_LINKS, "link's form", slice_of(shape, extract_shape(path, shape, 32)));
}

void
extract_link(struct extract_links *l, const char *kind, struct slice link)
{
	struct arena_mark mark = arena_mark(l->a);
	struct url u;

	if (++l->n > l->max)
		return;
	if (!url_parse(l->a, link, &u)) {
		if (u.scheme.n > 0)
			spam_feature(l->f, SPAM_LINKS, "link by", u.scheme);
		if (slice_ieq(u.scheme, SLICE("mailto")))
			spam_feature(l->f, SPAM_LINKS, "mail to", slice_head(u.path, 80));
		arena_release(l->a, mark);
		return;
	}
	spam_feature(l->f, SPAM_LINKS, kind, slice_z(u.domain));
	spam_feature(l->f, SPAM_LINKS, "host", slice_z(u.host));
	if (u.scheme.n > 0)
		spam_feature(l->f, SPAM_LINKS, "link by", u.scheme);
	if (slice_rfind_byte(slice_z(u.host), '.') != SLICE_NONE && !u.number)
		spam_feature(l->f, SPAM_LINKS, "link under",
		    slice_from(slice_z(u.host), slice_rfind_byte(slice_z(u.host), '.')));
	if (u.number)
		spam_feature(l->f, SPAM_LINKS, "link to a number", SLICE_EMPTY);
	if (u.user)
		spam_feature(l->f, SPAM_LINKS, "link with a user's name", SLICE_EMPTY);
	if (u.port)
		spam_feature(l->f, SPAM_LINKS, "link with a port", SLICE_EMPTY);
	if (u.escaped)
		spam_feature(l->f, SPAM_LINKS, "link with an escaped host", SLICE_EMPTY);
	if (u.unicode)
		spam_feature(l->f, SPAM_LINKS, "link beyond ASCII", SLICE_EMPTY);
	if (!slice_eq(slice_z(u.domain), l->from_domain))
		l->foreign++;
	else
		spam_feature(l->f, SPAM_LINKS, "link to its sender", SLICE_EMPTY);
	put_path(l, u.path);
	arena_release(l->a, mark);
}

void
extract_text_links(struct extract_links *l, struct slice text)
{
	struct slice link;

	for (size_t at = 0; l->n < l->max && url_next(text, &at, &link);)
		extract_link(l, "link to", link);
}
