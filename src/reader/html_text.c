/* html_text.c: a walk over gumbo's tree, without recursion, since a stranger decides how deep it is. The tree lies in an
 * arena; when that is full the parser is left by a jump, which is safe as it holds nothing else. */
#include "reader/html_text.h"

#include "base/arena.h"

#include <gumbo.h>
#include <setjmp.h>

/* gumbo's lists double; tabs only count columns for messages that nobody reads. */
#define TAB_COLUMNS 8

struct parse {
	struct arena tree;
	jmp_buf full;
};

static void *
tree_allocate(void *arg, size_t n)
{
	struct parse *p = arg;
	void *v = arena_alloc(&p->tree, n);

	if (v == NULL)
		longjmp(p->full, 1);
	return v;
}

/* All goes at once. */
static void
tree_free(void *arg, void *v)
{
	(void)arg;
	(void)v;
}

/* ---- what an element means for its text ------------------------------------------------------------------ */

enum shape { SHAPE_INLINE, SHAPE_BLOCK, SHAPE_CELL, SHAPE_BREAK, SHAPE_IMAGE, SHAPE_PRE, SHAPE_DROP };

static enum shape
shape_of(GumboTag tag)
{
	switch (tag) {
	case GUMBO_TAG_SCRIPT:
	case GUMBO_TAG_STYLE:
	case GUMBO_TAG_TEMPLATE:
	case GUMBO_TAG_HEAD:
	case GUMBO_TAG_IFRAME:
	case GUMBO_TAG_OBJECT:
	case GUMBO_TAG_NOFRAMES: return SHAPE_DROP;
	case GUMBO_TAG_BR: return SHAPE_BREAK;
	case GUMBO_TAG_IMG:
	case GUMBO_TAG_AREA: return SHAPE_IMAGE;
	case GUMBO_TAG_PRE:
	case GUMBO_TAG_TEXTAREA:
	case GUMBO_TAG_LISTING:
	case GUMBO_TAG_PLAINTEXT:
	case GUMBO_TAG_XMP: return SHAPE_PRE;
	case GUMBO_TAG_TD:
	case GUMBO_TAG_TH:
	case GUMBO_TAG_OPTION:
	case GUMBO_TAG_BUTTON: return SHAPE_CELL;
	case GUMBO_TAG_ADDRESS:
	case GUMBO_TAG_ARTICLE:
	case GUMBO_TAG_ASIDE:
	case GUMBO_TAG_BLOCKQUOTE:
	case GUMBO_TAG_BODY:
	case GUMBO_TAG_CAPTION:
	case GUMBO_TAG_CENTER:
	case GUMBO_TAG_DD:
	case GUMBO_TAG_DETAILS:
	case GUMBO_TAG_DIR:
	case GUMBO_TAG_DIV:
	case GUMBO_TAG_DL:
	case GUMBO_TAG_DT:
	case GUMBO_TAG_FIELDSET:
	case GUMBO_TAG_FIGCAPTION:
	case GUMBO_TAG_FIGURE:
	case GUMBO_TAG_FOOTER:
	case GUMBO_TAG_FORM:
	case GUMBO_TAG_H1:
	case GUMBO_TAG_H2:
	case GUMBO_TAG_H3:
	case GUMBO_TAG_H4:
	case GUMBO_TAG_H5:
	case GUMBO_TAG_H6:
	case GUMBO_TAG_HEADER:
	case GUMBO_TAG_HR:
	case GUMBO_TAG_HTML:
	case GUMBO_TAG_LEGEND:
	case GUMBO_TAG_LI:
	case GUMBO_TAG_MAIN:
	case GUMBO_TAG_MENU:
	case GUMBO_TAG_NAV:
	case GUMBO_TAG_OL:
	case GUMBO_TAG_P:
	case GUMBO_TAG_SECTION:
	case GUMBO_TAG_SUMMARY:
	case GUMBO_TAG_TABLE:
	case GUMBO_TAG_TBODY:
	case GUMBO_TAG_TFOOT:
	case GUMBO_TAG_THEAD:
	case GUMBO_TAG_TR:
	case GUMBO_TAG_UL: return SHAPE_BLOCK;
	default: return SHAPE_INLINE;
	}
}

/* Is `name: value` among the declarations of a style attribute? */
static bool
style_has(struct slice style, struct slice name, struct slice value)
{
	while (style.n > 0) {
		struct slice v = slice_cut(&style, ';'), n = slice_cut(&v, ':');

		/* "none !important" too. */
		if (slice_ieq(slice_trim(n), name) && slice_istarts(slice_trim(v), value))
			return true;
	}
	return false;
}

static bool
is_hidden(const GumboElement *e)
{
	const GumboAttribute *style = gumbo_get_attribute(&e->attributes, "style");
	struct slice s = style == NULL ? SLICE_EMPTY : slice_z(style->value);

	return gumbo_get_attribute(&e->attributes, "hidden") != NULL || style_has(s, SLICE("display"), SLICE("none")) ||
	    style_has(s, SLICE("visibility"), SLICE("hidden")) || style_has(s, SLICE("mso-hide"), SLICE("all"));
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

struct writer {
	struct buf *out;
	size_t from;   /* where the document's text begins in `out` */
	unsigned pre;  /* how many elements around keep white space */
	bool space;    /* white space is owed before the next character */
	bool new_line; /* the next character begins a line */
};

static void
put_text(struct writer *w, struct slice s)
{
	size_t from = 0;

	for (size_t i = 0; i <= s.n; i++) {
		bool end = i == s.n, space = !end && ascii_is_space(slice_at(s, i));

		if (!end && !space)
			continue;
		if (i > from) {
			if (w->new_line && w->out->n > w->from)
				buf_put_u8(w->out, '\n');
			else if (w->space && w->out->n > w->from)
				buf_put_u8(w->out, ' ');
			buf_put(w->out, slice_range(s, from, i));
			w->new_line = w->space = false;
		}
		from = i + 1;
		if (space && w->pre > 0 && slice_at(s, i) == '\n')
			w->new_line = true;
		else if (space)
			w->space = true;
	}
}

static void
enter(struct writer *w, const GumboNode *n, enum shape shape)
{
	const GumboAttribute *alt;

	switch (shape) {
	case SHAPE_PRE: w->pre++; __attribute__((fallthrough));
	case SHAPE_BLOCK:
	case SHAPE_BREAK: w->new_line = true; break;
	case SHAPE_CELL: w->space = true; break;
	case SHAPE_IMAGE:
		if ((alt = gumbo_get_attribute(&n->v.element.attributes, "alt")) != NULL)
			put_text(w, slice_z(alt->value));
		break;
	default: break;
	}
}

static void
leave(struct writer *w, enum shape shape)
{
	if (shape == SHAPE_PRE)
		w->pre--;
	if (shape == SHAPE_BLOCK || shape == SHAPE_PRE)
		w->new_line = true;
	else if (shape == SHAPE_CELL)
		w->space = true;
}

/* Visits a node on the way down: true if its children are to be visited. */
static bool
visit(struct writer *w, const GumboNode *n)
{
	enum shape shape;

	switch (n->type) {
	case GUMBO_NODE_DOCUMENT: return true;
	case GUMBO_NODE_ELEMENT: break;
	case GUMBO_NODE_TEXT:
	case GUMBO_NODE_CDATA:
	case GUMBO_NODE_WHITESPACE: put_text(w, slice_z(n->v.text.text)); return false;
	default: return false;
	}
	shape = shape_of(n->v.element.tag);
	if (shape == SHAPE_DROP || is_hidden(&n->v.element))
		return false;
	enter(w, n, shape);
	return true;
}

static const GumboVector *
children_of(const GumboNode *n)
{
	return n->type == GUMBO_NODE_DOCUMENT ? &n->v.document.children : &n->v.element.children;
}

static const GumboNode *
next_sibling(const GumboNode *n)
{
	const GumboVector *v = children_of(n->parent);

	return n->index_within_parent + 1 < v->length ? v->data[n->index_within_parent + 1] : NULL;
}

static void
leave_node(struct writer *w, const GumboNode *n)
{
	if (n->type == GUMBO_NODE_ELEMENT)
		leave(w, shape_of(n->v.element.tag));
}

static void
walk(struct writer *w, const GumboNode *root)
{
	const GumboNode *n = root;
	bool down = visit(w, root);

	while (w->out->err == 0) {
		if (down && children_of(n)->length > 0) {
			n = children_of(n)->data[0];
			down = visit(w, n);
			continue;
		}
		if (down)
			leave_node(w, n);
		while (n != root && next_sibling(n) == NULL) {
			n = n->parent;
			leave_node(w, n);
		}
		if (n == root)
			return;
		n = next_sibling(n);
		down = visit(w, n);
	}
}

/* A frame of its own for setjmp: nothing that changes is read after the jump. */
static int
parse_and_walk(struct parse *p, struct slice html, struct writer *w)
{
	GumboOptions options = kGumboDefaultOptions;
	const GumboOutput *tree;

	options.allocator = tree_allocate;
	options.deallocator = tree_free;
	options.userdata = p;
	options.tab_stop = TAB_COLUMNS;
	options.max_errors = 0;
	if (setjmp(p->full) != 0)
		return ERR_LIMIT;
	tree = gumbo_parse_with_options(&options, html.n == 0 ? "" : (const char *)html.p, html.n);
	walk(w, tree->document);
	return w->out->err;
}

int
html_text(struct slice html, size_t memory_max, struct buf *out)
{
	struct parse p;
	struct writer w = {.out = out, .from = out->n};
	int err;

	arena_init(&p.tree, memory_max);
	err = parse_and_walk(&p, html, &w);
	arena_free(&p.tree);
	return err;
}

struct slice
html_charset(struct slice html)
{
	struct slice head = slice_head(html, 1024);
	size_t at = slice_ifind(head, SLICE("charset="));
	size_t end = 0;

	if (at == SLICE_NONE || slice_ifind(slice_head(head, at), SLICE("<meta")) == SLICE_NONE)
		return SLICE_EMPTY;
	head = slice_from(head, at + 8);
	if (head.n > 0 && (slice_at(head, 0) == '"' || slice_at(head, 0) == '\''))
		head = slice_from(head, 1);
	while (end < head.n &&
	    (ascii_is_alnum(slice_at(head, end)) || slice_find_byte(SLICE("-_.:+"), slice_at(head, end)) != SLICE_NONE))
		end++;
	return slice_head(head, end);
}
