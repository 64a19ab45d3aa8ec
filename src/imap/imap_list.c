/* imap_list.c: LIST (RFC 9051 §6.3.9: with the options of RFC 5258, STATUS of RFC 5819, \HasChildren of RFC 3348 and the special
 * uses of RFC 6154). The names that exist, those subscribed to without existing, and with RECURSIVEMATCH the levels above them
 * are put into one sorted list, and with them what others share and the session may see; each is told once, whatever matches it. */
#include "imap/imap_list.h"

#include "base/map.h"
#include "imap/imap_metadata.h"
#include "imap/imap_place.h"

static const struct slice role_names[] = {
    [STORE_ROLE_DRAFTS] = SLICE_INIT("\\Drafts"),
    [STORE_ROLE_SENT] = SLICE_INIT("\\Sent"),
    [STORE_ROLE_JUNK] = SLICE_INIT("\\Junk"),
    [STORE_ROLE_TRASH] = SLICE_INIT("\\Trash"),
    [STORE_ROLE_ARCHIVE] = SLICE_INIT("\\Archive"),
};

bool
imap_role_named(struct slice name, enum store_role *role)
{
	for (size_t i = 0; i < COUNT_OF(role_names); i++) {
		if (role_names[i].n > 0 && slice_ieq(slice_from(role_names[i], 1), name)) {
			*role = (enum store_role)i;
			return true;
		}
	}
	return false;
}

/* A name that may be told. */
struct entry {
	struct slice name;
	const struct store_mailbox *m;    /* NULL: it does not exist */
	const struct imap_shared *shared; /* another's; NULL: the own account's */
	bool subscribed;
	bool below; /* something that the selection wants is below it */
	bool level; /* only there for what is below it, and told where a "%" matches it (RFC 3501 §6.3.8) */
};

struct names {
	const struct imap_listing *l;
	struct entry *v;
	size_t n, cap;
	struct map map; /* name → index + 1 */
};

static void
names_free(struct names *t)
{
	map_free(&t->map);
}

static void *
index_value(size_t i)
{
	return (void *)(uintptr_t)(i + 1);
}

static struct entry *
names_find(const struct names *t, struct slice name)
{
	uintptr_t i = (uintptr_t)map_get(&t->map, name);

	return i == 0 ? NULL : &t->v[i - 1];
}

/* The entry of the name, made if there is none; NULL past a limit. */
static struct entry *
names_add(struct names *t, struct slice name)
{
	struct imap_session *s = t->l->s;
	struct entry *e = names_find(t, name);
	struct entry *v;

	if (e != NULL)
		return e;
	v = arena_grow(&s->arena, t->v, t->n, &t->cap, sizeof(*v), t->map.max);
	if (v == NULL || map_put(&t->map, name, index_value(t->n)) != 0)
		return NULL;
	t->v = v;
	t->v[t->n] = (struct entry){.name = name};
	return &t->v[t->n++];
}

static bool
has_role(const struct store_mailbox *m)
{
	return m != NULL && m->role < COUNT_OF(role_names) && role_names[m->role].n > 0;
}

static bool
is_selected(const struct imap_listing *l, const struct entry *e)
{
	if ((l->options & IMAP_LIST_SUBSCRIBED) != 0)
		return e->subscribed && ((l->options & IMAP_LIST_SPECIAL_USE) == 0 || has_role(e->m));
	if ((l->options & IMAP_LIST_SPECIAL_USE) != 0)
		return has_role(e->m);
	return e->m != NULL;
}

/* The levels above another's mailbox that are not mailboxes, or none that may be seen: "Other Users" and the owner's, which are only
 * names, and what looks as if it did not exist (RFC 4314 §4). */
static int
add_levels(struct names *t, const struct imap_shared *m)
{
	static const struct store_mailbox only_a_name = {.has_children = true};

	for (size_t at = IMAP_OTHER_USERS.n; at < m->m.name.n; at++) {
		struct entry *e;
		bool is_new;

		if (slice_at(m->m.name, at) != '/')
			continue;
		is_new = names_find(t, slice_head(m->m.name, at)) == NULL;
		if ((e = names_add(t, slice_head(m->m.name, at))) == NULL)
			return ERR_LIMIT;
		if (at <= m->owner.n)
			e->m = &only_a_name;
		else if (is_new)
			e->level = true;
	}
	return 0;
}

static int
read_shared(struct names *t)
{
	struct imap_shared *v;
	size_t n;
	int err = imap_shared_mailboxes(t->l->s, &v, &n);

	t->map.max += n * (size_t)t->l->s->limits->mailbox_depth;
	for (size_t i = 0; i < n && err == 0; i++) {
		struct entry *e = names_add(t, v[i].m.name);

		if (e == NULL)
			return ERR_LIMIT;
		e->m = &v[i].m;
		e->shared = &v[i];
		e->subscribed = e->subscribed || v[i].m.subscribed;
		e->level = false;
		err = add_levels(t, &v[i]);
	}
	return err;
}

static int
read_names(struct names *t)
{
	struct imap_session *s = t->l->s;
	struct store_mailbox *v;
	struct slice_list subscribed = {0};
	size_t n;
	int err = store_mailboxes(s->account, &s->arena, &v, &n);

	if (err == 0 && (t->l->options & IMAP_LIST_SUBSCRIBED) != 0)
		err = store_subscriptions(s->account, &s->arena, &subscribed);
	for (size_t i = 0; i < n && err == 0; i++) {
		struct entry *e = names_add(t, v[i].name);

		if (e == NULL)
			return ERR_LIMIT;
		/* What has such a name from elsewhere cannot be reached. */
		if (imap_is_others(v[i].name))
			continue;
		e->m = &v[i];
		e->subscribed = v[i].subscribed;
	}
	for (size_t i = 0; i < subscribed.n && err == 0; i++) {
		struct entry *e = names_add(t, subscribed.v[i]);

		if (e == NULL)
			return ERR_LIMIT;
		e->subscribed = true;
	}
	return err == 0 ? read_shared(t) : err;
}

/* Marks every level above what is selected; levels that do not exist are added. */
static int
mark_levels(struct names *t)
{
	size_t n = t->n;

	for (size_t i = 0; i < n; i++) {
		struct slice name = t->v[i].name;

		if (!is_selected(t->l, &t->v[i]))
			continue;
		for (size_t at = 1; at < name.n; at++) {
			struct entry *e;

			if (slice_at(name, at) != '/')
				continue;
			e = names_add(t, slice_head(name, at));
			if (e == NULL)
				return ERR_LIMIT;
			e->below = true;
		}
	}
	return 0;
}

static void
put_attribute(struct buf *out, struct slice name)
{
	if (!slice_ends(buf_slice(out), SLICE("(")))
		buf_put_u8(out, ' ');
	buf_put(out, name);
}

static void
put_attributes(const struct imap_listing *l, const struct entry *e, struct buf *out)
{
	if (e->m == NULL)
		put_attribute(out, SLICE("\\NonExistent"));
	else if (!e->m->selectable)
		put_attribute(out, SLICE("\\Noselect"));
	if (e->level)
		put_attribute(out, SLICE("\\HasChildren"));
	if (e->m != NULL)
		put_attribute(out, e->m->has_children ? SLICE("\\HasChildren") : SLICE("\\HasNoChildren"));
	if (has_role(e->m))
		put_attribute(out, role_names[e->m->role]);
	if (e->subscribed && (l->options & IMAP_LIST_RETURN_SUBSCRIBED) != 0)
		put_attribute(out, SLICE("\\Subscribed"));
}

static void
put_start(const struct imap_listing *l, const struct entry *e, struct buf *out)
{
	buf_put(out, SLICE("* LIST ("));
	put_attributes(l, e, out);
	buf_put(out, SLICE(") \"/\" "));
	imap_put_mailbox(out, e->name, imap_utf8_names(l->s));
}

void
imap_put_list(struct imap_session *s, struct buf *out, struct slice name, const struct store_mailbox *m,
    bool subscribed, struct slice old_name)
{
	struct imap_listing l = {.s = s, .options = IMAP_LIST_RETURN_SUBSCRIBED};
	struct entry e = {.name = name, .m = m, .subscribed = subscribed};

	put_start(&l, &e, out);
	if (old_name.n > 0) {
		buf_put(out, SLICE(" (\"OLDNAME\" ("));
		imap_put_mailbox(out, old_name, imap_utf8_names(s));
		buf_put(out, SLICE("))"));
	}
	buf_put(out, SLICE("\r\n"));
}

static void
tell(const struct imap_listing *l, const struct entry *e)
{
	struct imap_session *s = l->s;
	struct buf *out = &s->line;
	struct arena_mark mark = arena_mark(&s->arena);
	unsigned rights = e->shared != NULL ? e->shared->rights : imap_is_others(e->name) ? 0 : STORE_RIGHTS_ALL;

	buf_reset(out);
	put_start(l, e, out);
	if (e->below && (l->options & IMAP_LIST_SUBSCRIBED) != 0)
		buf_put(out, SLICE(" (CHILDINFO (\"SUBSCRIBED\"))"));
	else if (e->below)
		buf_put(out, SLICE(" (CHILDINFO (\"SPECIAL-USE\"))"));
	buf_put(out, SLICE("\r\n"));
	if ((l->options & IMAP_LIST_RETURN_STATUS) != 0 && e->m != NULL && e->m->selectable &&
	    (rights & STORE_RIGHT_READ) != 0)
		imap_put_status(s, out, e->shared == NULL ? s->account : e->shared->account, e->m, l->status_items);
	/* RFC 8440 §3: of what the selection wants, not of what is told for its children alone. */
	if ((l->options & IMAP_LIST_RETURN_MYRIGHTS) != 0 && e->m != NULL && is_selected(l, e) && rights != 0)
		imap_put_my_rights(s, out, e->name, rights);
	/* What went meanwhile has none. */
	if ((l->options & IMAP_LIST_RETURN_METADATA) != 0 && e->m != NULL && e->m->selectable)
		(void)!imap_put_metadata(s, out, e->name, &l->entries);
	imap_write_buf(s, out);
	arena_release(&s->arena, mark);
}

static int
compare_entries(const void *a, const void *b)
{
	return store_name_compare(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static int
list_all(const struct imap_listing *l)
{
	struct names t __attribute__((cleanup(names_free))) = {.l = l};
	bool plain = (l->options & (IMAP_LIST_SUBSCRIBED | IMAP_LIST_SPECIAL_USE)) == 0;
	int err;

	map_init(&t.map, (size_t)(l->s->limits->mailboxes + l->s->limits->mailbox_subscriptions) * 4,
	    house_random_u64(l->s->c->house));
	err = read_names(&t);
	if (err == 0 && (l->options & IMAP_LIST_RECURSIVEMATCH) != 0)
		err = mark_levels(&t);
	if (err != 0)
		return err;
	if (t.n > 1)
		qsort(t.v, t.n, sizeof(*t.v), compare_entries);
	for (size_t i = 0; i < t.n && !l->s->ended; i++)
		if ((is_selected(l, &t.v[i]) || t.v[i].below || (t.v[i].level && l->percent && plain)) &&
		    imap_listing_matches(l, t.v[i].name))
			tell(l, &t.v[i]);
	return 0;
}

void
imap_do_list(struct imap_session *s, struct imap_lex *x)
{
	struct imap_listing l;
	int err;

	if (!imap_parse_listing(s, x, true, &l))
		return;
	if (l.root) {
		imap_write(s, SLICE("* LIST (\\Noselect) \"/\" \"\"\r\n"));
		imap_ok(s, "", "done");
		return;
	}
	if ((l.status_items & IMAP_STATUS_HIGHESTMODSEQ) != 0)
		imap_condstore_on(s);
	err = list_all(&l);
	if (err != 0)
		imap_no_err(s, err);
	else
		imap_ok(s, "", "done");
}
