/* extract_html.c: how a page is made: its tags in their order, attributes, colours, sizes, and where it leads. */
#include "spam/extract_private.h"
#include "spam/html_scan.h"

#define TAGS_MAX 20000

/* In lower case, at most `max` bytes. */
static struct slice
lower(struct slice s, uint8_t *out, size_t max)
{
	s = slice_head(s, max);
	for (size_t i = 0; i < s.n; i++)
		out[i] = ascii_lower(slice_at(s, i));
	return slice_of(out, s.n);
}

static bool
is_one_of(struct slice name, const struct slice *of, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (slice_eq(name, of[i]))
			return true;
	return false;
}

static void
put_attribute(struct extract_links *l, struct slice tag, struct slice name, struct slice value)
{
	static const struct slice links[] = {SLICE_INIT("href"), SLICE_INIT("action")},
				  pictures[] = {SLICE_INIT("src"), SLICE_INIT("background")},
				  shown[] = {SLICE_INIT("color"), SLICE_INIT("bgcolor"), SLICE_INIT("size"),
				      SLICE_INIT("face"), SLICE_INIT("width"), SLICE_INIT("height"),
				      SLICE_INIT("http-equiv"), SLICE_INIT("name"), SLICE_INIT("type"),
				      SLICE_INIT("method"), SLICE_INIT("align"), SLICE_INIT("border")};
	uint8_t text[48];

	if (is_one_of(name, links, COUNT_OF(links)))
		extract_link(l, "link to", value);
	else if (is_one_of(name, pictures, COUNT_OF(pictures)))
		extract_link(l, "picture from", value);
	else if (is_one_of(name, shown, COUNT_OF(shown)))
		spam_feature_pair(l->f, SPAM_HTML, "attribute", name, lower(value, text, sizeof(text)));
	else if (slice_eq(name, SLICE("style")))
		for (size_t i = 0; i < 8 && value.n > 0; i++)
			spam_feature(
			    l->f, SPAM_HTML, "style", lower(slice_trim(slice_cut(&value, ';')), text, sizeof(text)));
	else if (slice_istarts(name, SLICE("on")))
		spam_feature(l->f, SPAM_HTML, "page runs a program", SLICE_EMPTY);
	spam_feature_pair(l->f, SPAM_HTML, "tag", tag, name);
}

static void
put_tag(struct extract_links *l, const struct html_tag *t, struct slice name)
{
	struct slice attributes = t->attributes, attribute, value;
	uint8_t text[24];

	spam_feature(l->f, SPAM_HTML, t->closing ? "end of" : "tag", name);
	if (t->name.n > 0 && !t->closing && slice_at(t->name, 0) < 'a')
		spam_feature(l->f, SPAM_HTML, "tags in capitals", SLICE_EMPTY);
	for (size_t i = 0; i < 16 && html_attribute(&attributes, &attribute, &value); i++)
		put_attribute(l, name, lower(attribute, text, sizeof(text)), value);
}

void
extract_html(struct extract_links *l, struct slice html)
{
	struct html_scan s = {.in = html};
	struct html_tag t;
	uint8_t names[2][24];
	struct slice before = SLICE_EMPTY;
	size_t tags = 0;

	while (tags < TAGS_MAX && html_next(&s, &t)) {
		struct slice name = lower(t.name, names[tags % 2], sizeof(names[0]));

		put_tag(l, &t, name);
		if (!t.closing && before.n > 0)
			spam_feature_pair(l->f, SPAM_HTML, "tags", before, name);
		before = name;
		tags++;
	}
	spam_feature_size(l->f, SPAM_HTML, "tags in the page:", tags);
	spam_feature_size(l->f, SPAM_HTML, "comments in the page:", s.comments);
}
