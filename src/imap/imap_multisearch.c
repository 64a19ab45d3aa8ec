/* imap_multisearch.c: ESEARCH: a search of several mailboxes (RFC 7377 MULTISEARCH). */
#include "imap/imap_context.h"
#include "imap/imap_place.h"
#include "imap/imap_search.h"

enum source_kind {
	SOURCE_SELECTED,
	SOURCE_INBOXES,
	SOURCE_PERSONAL,
	SOURCE_SUBSCRIBED,
	SOURCE_SUBTREE,
	SOURCE_SUBTREE_ONE,
	SOURCE_MAILBOXES
};

struct source {
	enum source_kind kind;
	struct slice_list names; /* of the last three */
};

struct multisearch {
	struct source *v; /* in the arena */
	size_t n, cap;
	bool others; /* some source is not "selected" */
	struct imap_return r;
	struct slice program;
	uint32_t limited;
};

/* ---- arguments ---- */

/* mailbox / "(" mailbox *(SP mailbox) ")"; names that cannot be are left out. */
static void
parse_names(struct imap_session *s, struct imap_lex *x, struct slice_list *out)
{
	struct slice *v = NULL;
	size_t n = 0, cap = 0;
	bool many;

	imap_lex_space(x);
	many = imap_lex_accept(x, '(');
	do {
		struct slice name = imap_lex_mailbox(s, x);

		if (imap_lex_failed(x))
			return;
		v = arena_grow(x->arena, v, n, &cap, sizeof(*v), SIZE_MAX / sizeof(*v));
		if (v == NULL) {
			imap_lex_fail(x, "the command is too large");
			return;
		}
		if (name.p != NULL)
			v[n++] = name;
	} while (many && imap_lex_accept(x, ' '));
	if (many)
		imap_lex_expect(x, ')');
	*out = (struct slice_list){v, n};
}

static void
parse_source(struct imap_session *s, struct imap_lex *x, struct multisearch *g)
{
	static const struct {
		struct slice name;
		enum source_kind kind;
	} rows[] = {
	    {SLICE_INIT("selected"), SOURCE_SELECTED},
	    {SLICE_INIT("inboxes"), SOURCE_INBOXES},
	    {SLICE_INIT("personal"), SOURCE_PERSONAL},
	    {SLICE_INIT("subscribed"), SOURCE_SUBSCRIBED},
	    {SLICE_INIT("subtree"), SOURCE_SUBTREE},
	    {SLICE_INIT("subtree-one"), SOURCE_SUBTREE_ONE},
	    {SLICE_INIT("mailboxes"), SOURCE_MAILBOXES},
	};
	struct slice word = imap_lex_atom(x);
	struct source one = {SOURCE_SELECTED, {NULL, 0}};
	size_t i = 0;

	while (i < COUNT_OF(rows) && !slice_ieq(word, rows[i].name))
		i++;
	if (i == COUNT_OF(rows)) {
		imap_lex_fail(x, "no such source of a search");
		return;
	}
	one.kind = rows[i].kind;
	if (one.kind >= SOURCE_SUBTREE)
		parse_names(s, x, &one.names);
	g->others |= one.kind != SOURCE_SELECTED;
	g->v = arena_grow(x->arena, g->v, g->n, &g->cap, sizeof(*g->v), SIZE_MAX / sizeof(*g->v));
	if (g->v == NULL)
		imap_lex_fail(x, "the command is too large");
	else
		g->v[g->n++] = one;
}

static bool
names_selected(const struct multisearch *g)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->v[i].kind == SOURCE_SELECTED)
			return true;
	return g->n == 0;
}

static bool
parse_multisearch(struct imap_session *s, struct imap_lex *x, struct multisearch *g, struct imap_search *p)
{
	imap_lex_space(x);
	if (cursor_iaccept(&x->c, SLICE("IN ("))) {
		do
			parse_source(s, x, g);
		while (!imap_lex_failed(x) && imap_lex_accept(x, ' '));
		imap_lex_expect(x, ')');
		imap_lex_space(x);
	}
	imap_parse_return(x, s->limits, &g->r);
	g->program = cursor_rest(&x->c);
	imap_parse_search(x, s->limits, p);
	if ((g->r.options & IMAP_RETURN_SAVE) && g->others)
		imap_lex_fail(x, "SAVE is for the selected mailbox alone");
	if ((g->r.options & IMAP_RETURN_UPDATE) && (g->others || imap_context_has_tag(s)))
		imap_lex_fail(x, "UPDATE is for the selected mailbox alone, and for a tag once");
	if ((g->r.options & IMAP_RETURN_RELEVANCY) && !p->fuzzy)
		imap_lex_fail(x, "RELEVANCY without FUZZY");
	if (p->by_number && imap_is_on(s, IMAP_ON_UIDONLY))
		imap_lex_fail(x, "[UIDREQUIRED] sequence numbers are not allowed once UIDONLY is enabled");
	if (s->view == NULL && (names_selected(g) || p->by_saved))
		imap_lex_fail(x, "no mailbox is selected");
	if (imap_bad_syntax(s, x))
		return false;
	if (!g->r.given)
		g->r = (struct imap_return){.given = true, .options = IMAP_RETURN_ALL};
	return true;
}

/* ---- which mailboxes ---- */

static bool
below(struct slice name, struct slice top, bool one_level)
{
	struct slice rest;

	if (!slice_starts(name, top) || name.n == top.n)
		return name.n == top.n && slice_eq(name, top);
	rest = slice_from(name, top.n);
	if (slice_at(rest, 0) != '/')
		return false;
	return !one_level || slice_find_byte(slice_from(rest, 1), '/') == SLICE_NONE;
}

/* One that may be searched: its account, its name there, and as the client knows it. */
struct searched {
	struct store_account *account;
	struct slice inner;
	const struct store_mailbox *m;
};

static bool
is_selected(const struct imap_session *s, const struct searched *at)
{
	return s->view != NULL && store_view_account(s->view) == at->account &&
	    store_view_mailbox_id(s->view) == at->m->id;
}

static bool
is_of(const struct imap_session *s, const struct source *o, const struct searched *at)
{
	const struct store_mailbox *m = at->m;
	bool named = false;

	switch (o->kind) {
	case SOURCE_SELECTED: return is_selected(s, at);
	case SOURCE_INBOXES: return m->role == STORE_ROLE_INBOX;
	case SOURCE_PERSONAL: return at->account == s->account;
	case SOURCE_SUBSCRIBED: return m->subscribed;
	case SOURCE_SUBTREE:
	case SOURCE_SUBTREE_ONE:
	case SOURCE_MAILBOXES: break;
	}
	for (size_t i = 0; i < o->names.n && !named; i++)
		named = o->kind == SOURCE_MAILBOXES ? slice_eq(m->name, o->names.v[i])
						    : below(m->name, o->names.v[i], o->kind == SOURCE_SUBTREE_ONE);
	return named;
}

static bool
is_wanted(const struct imap_session *s, const struct multisearch *g, const struct searched *at)
{
	static const struct source selected = {SOURCE_SELECTED, {NULL, 0}};

	if (!at->m->selectable)
		return false;
	for (size_t i = 0; i < g->n; i++)
		if (is_of(s, &g->v[i], at))
			return true;
	return g->n == 0 && is_of(s, &selected, at);
}

/* ---- searching ---- */

static int
search_view(struct imap_session *s, struct multisearch *g, struct store_view *v, struct slice name)
{
	struct imap_search_source source = {name, store_view_uidvalidity(v)};
	struct imap_lex x = imap_lex_of(g->program, &s->arena, s->limits->imap_nesting);
	struct imap_search *p = ARENA_NEW(&s->arena, struct imap_search);
	struct imap_hits h;
	int err;

	if (p == NULL)
		return ERR_LIMIT;
	/* Afresh for each: sets of numbers are of a mailbox. */
	imap_parse_search(&x, s->limits, p);
	err = imap_search_ready(s, p);
	if (err == 0)
		err = imap_search_run(s, v, p, false, &h);
	if (err == 0 && (g->r.options & IMAP_RETURN_SAVE))
		err = imap_search_save(s, &g->r, &h);
	if (err != 0)
		return err;
	if (g->r.options & IMAP_RETURN_UPDATE) {
		s->uid = true;
		imap_context_add(s, g->program, g->r.fetch, false, p, &h);
	}
	g->limited = h.limited != 0 ? h.limited : g->limited;
	if (h.n > 0 && g->r.options != IMAP_RETURN_SAVE)
		imap_tell_esearch(s, v, p, &g->r, &h, true, &source);
	return 0;
}

static int
search_mailbox(struct imap_session *s, struct multisearch *g, const struct searched *at)
{
	struct store_view *v STORE_VIEW_CLEANUP = NULL;
	int err;

	if (is_selected(s, at))
		return search_view(s, g, s->view, at->m->name);
	err = store_view_open(at->account, at->inner, true, &v);
	if (err == 0)
		err = search_view(s, g, v, at->m->name);
	/* It may go meanwhile. */
	return err == ERR_NOTFOUND ? 0 : err;
}

static size_t
names_given(const struct multisearch *g)
{
	size_t n = 0;

	for (size_t i = 0; i < g->n; i++)
		n += g->v[i].kind == SOURCE_MAILBOXES ? g->v[i].names.n : 0;
	return n;
}

/* Of who names a mailbox it is not asked that it may be seen, only that it may be read (RFC 7377 §2.2). Others are passed over. */
static int
add_named(struct imap_session *s, struct slice name, struct searched *v, size_t *n)
{
	struct imap_place at;
	struct store_mailbox *m;
	int err;

	for (size_t i = 0; i < *n; i++)
		if (slice_eq(v[i].m->name, name))
			return 0;
	err = imap_place_find(s, name, &at);
	if (err == 0 && (!at.exists || (at.rights & STORE_RIGHT_READ) == 0))
		err = ERR_NOTFOUND;
	if (err == 0 && (m = ARENA_NEW(&s->arena, struct store_mailbox)) == NULL)
		err = ERR_LIMIT;
	if (err == 0)
		err = store_mailbox(at.account, at.inner, &s->arena, m);
	if (err != 0)
		return err == ERR_NOTFOUND ? 0 : err;
	m->name = name;
	m->role = STORE_ROLE_NONE;
	m->subscribed = false;
	v[(*n)++] = (struct searched){at.account, at.inner, m};
	return 0;
}

/* The own mailboxes, and those of others that may be seen and read (RFC 7377 §2.2); those that are named or selected and may only be
 * read, too. */
static int
list_searched(struct imap_session *s, const struct multisearch *g, struct searched **out, size_t *n)
{
	struct store_mailbox *own, *view = ARENA_NEW(&s->arena, struct store_mailbox);
	struct imap_shared *shared = NULL;
	size_t own_n, shared_n = 0;
	bool seen = s->view == NULL || s->view_owner_n == 0;
	int err = store_mailboxes(s->account, &s->arena, &own, &own_n);

	if (err == 0 && g->others)
		err = imap_shared_mailboxes(s, &shared, &shared_n);
	*n = 0;
	if (err != 0)
		return err;
	if (view == NULL ||
	    (*out = ARENA_ARRAY(&s->arena, struct searched, own_n + shared_n + names_given(g) + 1)) == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < own_n; i++)
		if (!imap_is_others(own[i].name))
			(*out)[(*n)++] = (struct searched){s->account, own[i].name, &own[i]};
	for (size_t i = 0; i < shared_n; i++) {
		struct searched one = {shared[i].account, shared[i].inner, &shared[i].m};

		seen = seen || is_selected(s, &one);
		if ((shared[i].rights & STORE_RIGHT_READ) != 0)
			(*out)[(*n)++] = one;
	}
	if (!seen) {
		*view = (struct store_mailbox){
		    .id = store_view_mailbox_id(s->view), .name = imap_view_name(s), .selectable = true};
		(*out)[(*n)++] = (struct searched){store_view_account(s->view), SLICE_EMPTY, view};
	}
	for (size_t i = 0; i < g->n && err == 0; i++)
		for (size_t k = 0; g->v[i].kind == SOURCE_MAILBOXES && k < g->v[i].names.n && err == 0; k++)
			if (imap_is_others(g->v[i].names.v[k]))
				err = add_named(s, g->v[i].names.v[k], *out, n);
	return err;
}

static int
search_mailboxes(struct imap_session *s, struct multisearch *g)
{
	struct imap_progress progress;
	struct searched *v;
	size_t n;
	int err = list_searched(s, g, &v, &n);

	imap_progress_start(s, &progress);
	for (size_t i = 0; i < n && err == 0 && !s->ended; i++) {
		struct arena_mark mark = arena_mark(&s->arena);

		if (!is_wanted(s, g, &v[i]))
			continue;
		err = search_mailbox(s, g, &v[i]);
		arena_release(&s->arena, mark);
		imap_progress(s, &progress, i, n);
	}
	return err;
}

void
imap_do_esearch(struct imap_session *s, struct imap_lex *x)
{
	struct imap_search *p = ARENA_NEW(&s->arena, struct imap_search);
	struct multisearch g = {.n = 0};
	int err;

	if (p == NULL) {
		imap_no_err(s, ERR_LIMIT);
		return;
	}
	if (!parse_multisearch(s, x, &g, p) || imap_search_prepare(s, p) != 0)
		return;
	if (p->by_modseq)
		imap_condstore_on(s);
	err = search_mailboxes(s, &g);
	if (err != 0)
		imap_no_err(s, err);
	else
		imap_ok_limited(s, g.limited, "");
}
