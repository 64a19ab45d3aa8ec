/* imap_place.c: see imap_place.h. */
#include "imap/imap_place.h"

#include "base/log.h"
#include "base/map.h"

#define PREFIX SLICE("Other Users/")
#define FLAG_RIGHTS (STORE_RIGHT_SEEN | STORE_RIGHT_WRITE | STORE_RIGHT_DELETED)

/* Another account that the command at hand has to do with. */
struct imap_other {
	struct imap_other *next;
	struct store_account *account;
	size_t address_n;
	uint8_t address[];
};

/* ---- names ---------------------------------------------------------------------------------------------------------------- */

bool
imap_is_others(struct slice name)
{
	return slice_starts(name, IMAP_OTHER_USERS) &&
	    (name.n == IMAP_OTHER_USERS.n || slice_at(name, IMAP_OTHER_USERS.n) == '/');
}

/* "Other Users/ADDRESS/inner": true if it has all three. */
static bool
split(struct slice name, struct slice *address, struct slice *inner)
{
	size_t at;

	if (!slice_starts(name, PREFIX))
		return false;
	*address = slice_from(name, PREFIX.n);
	if ((at = slice_find_byte(*address, '/')) == SLICE_NONE)
		return false;
	*inner = slice_from(*address, at + 1);
	*address = slice_head(*address, at);
	return address->n > 0 && inner->n > 0;
}

int
imap_name_normal(struct imap_session *s, struct slice utf8, struct arena *a, struct slice *out)
{
	struct slice address, inner, level;
	int err;

	if (!imap_is_others(utf8) || !split(utf8, &address, &inner))
		return store_name_normal(s->limits, utf8, a, out);
	*out = SLICE_EMPTY;
	if (address.n > IMAP_OTHER_BYTES - PREFIX.n - 1)
		return ERR_LIMIT;
	if ((err = store_name_normal(s->limits, address, a, &level)) != 0 ||
	    (err = store_name_normal(s->limits, inner, a, &inner)) != 0)
		return err;
	*out = arena_printf(a, "Other Users/%.*s/%.*s", SLICE_ARG(address), SLICE_ARG(inner));
	return out->n == 0 ? ERR_NOMEM : 0;
}

/* ---- accounts ------------------------------------------------------------------------------------------------------------- */

static struct store_account *
known(struct imap_session *s, struct slice address)
{
	for (struct imap_other *o = s->others; o != NULL; o = o->next)
		if (slice_eq(slice_of(o->address, o->address_n), address))
			return o->account;
	return NULL;
}

static int
hold(struct imap_session *s, struct slice owner_id, struct slice address, struct store_account **out)
{
	const struct imap_sharing *g = s->c->sharing;
	struct imap_other *o;
	int err;

	if ((*out = known(s, address)) != NULL)
		return 0;
	if ((o = malloc(sizeof(*o) + address.n)) == NULL)
		return ERR_NOMEM;
	if ((err = g->open(g->of, owner_id, &o->account)) != 0) {
		free(o);
		return err;
	}
	o->next = s->others;
	o->address_n = address.n;
	memcpy(o->address, address.p, address.n);
	s->others = o;
	*out = o->account;
	return 0;
}

void
imap_places_forget(struct imap_session *s)
{
	struct imap_other *o;

	while ((o = s->others) != NULL) {
		s->others = o->next;
		store_account_put(&o->account);
		free(o);
	}
}

static int
owner_of(struct imap_session *s, struct slice address, struct store_account **out)
{
	const struct imap_sharing *g = s->c->sharing;
	struct imap_person *v;
	size_t n;
	int err;

	if ((*out = known(s, address)) != NULL)
		return 0;
	if (g == NULL)
		return ERR_NOTFOUND;
	err = g->owners(g->of, store_account_id(s->account), address, &s->arena, &v, &n);
	if (err == 0 && n == 0)
		err = ERR_NOTFOUND;
	return err == 0 ? hold(s, v->id, address, out) : err;
}

/* ---- places --------------------------------------------------------------------------------------------------------------- */

static int
find_account(struct imap_session *s, struct slice name, struct imap_place *out)
{
	struct slice address;

	*out = (struct imap_place){.name = name, .inner = name};
	if (!imap_is_others(name)) {
		out->account = s->account;
		out->rights = STORE_RIGHTS_ALL;
		return 0;
	}
	out->other = true;
	return split(name, &address, &out->inner) ? owner_of(s, address, &out->account) : ERR_NOTFOUND;
}

int
imap_place_find(struct imap_session *s, struct slice name, struct imap_place *out)
{
	int err = find_account(s, name, out);

	if (err != 0 || !out->other)
		return err;
	err = store_acl_rights(out->account, out->inner, store_account_id(s->account), &out->rights);
	out->exists = err == 0;
	return err == ERR_NOTFOUND ? 0 : err;
}

int
imap_place_allow(struct imap_session *s, struct slice name, unsigned needed, struct imap_place *out)
{
	int err = imap_place_find(s, name, out);

	if (err != 0 || (out->rights & needed) == needed)
		return err;
	return (out->rights & STORE_RIGHT_LOOKUP) != 0 ? ERR_DENIED : ERR_NOTFOUND;
}

int
imap_place_allow_new(struct imap_session *s, struct slice name, struct imap_place *out)
{
	unsigned above = 0;
	int err = find_account(s, name, out);

	if (err == 0 && out->other)
		err = store_acl_rights_above(out->account, out->inner, store_account_id(s->account), &above);
	/* The same whatever lies there. */
	return err == ERR_NOTFOUND || (err == 0 && out->other && (above & STORE_RIGHT_CREATE) == 0) ? ERR_DENIED : err;
}

struct store_filter
imap_filter_of(unsigned rights)
{
	struct store_filter f = {.keywords = (rights & STORE_RIGHT_WRITE) != 0};

	if ((rights & STORE_RIGHT_SEEN) != 0)
		f.flags |= STORE_SEEN;
	if ((rights & STORE_RIGHT_DELETED) != 0)
		f.flags |= STORE_DELETED;
	if ((rights & STORE_RIGHT_WRITE) != 0)
		f.flags |= STORE_ANSWERED | STORE_FLAGGED | STORE_DRAFT;
	return f;
}

/* ---- lists ---------------------------------------------------------------------------------------------------------------- */

struct sharing {
	struct imap_session *s;
	struct imap_shared *v;
	size_t n, cap;
	struct slice_list subscribed;
};

static const struct store_acl_mine *
rights_to(const struct store_acl_mine *v, size_t n, int64_t mailbox)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (v[mid].mailbox < mailbox)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && v[lo].mailbox == mailbox ? &v[lo] : NULL;
}

static bool
is_listed(const struct slice_list *names, struct slice name)
{
	for (size_t i = 0; i < names->n; i++)
		if (slice_eq(names->v[i], name))
			return true;
	return false;
}

static int
add_mailbox(struct sharing *g, struct store_account *account, struct slice owner, const struct store_mailbox *m,
    unsigned rights)
{
	struct arena *a = &g->s->arena;
	struct imap_shared *v = arena_grow(a, g->v, g->n, &g->cap, sizeof(*v), 1u << 20);

	if (v == NULL)
		return ERR_LIMIT;
	g->v = v;
	v = &g->v[g->n++];
	*v = (struct imap_shared){.account = account, .owner = owner, .inner = m->name, .m = *m, .rights = rights};
	v->m.name = arena_printf(a, "%.*s/%.*s", SLICE_ARG(owner), SLICE_ARG(m->name));
	v->m.role = STORE_ROLE_NONE;
	v->m.has_children = false;
	v->m.subscribed = is_listed(&g->subscribed, v->m.name);
	return arena_failed(a) ? ERR_LIMIT : 0;
}

static int
add_owner(struct sharing *g, const struct imap_person *person)
{
	struct imap_session *s = g->s;
	struct slice owner = arena_printf(&s->arena, "Other Users/%.*s", SLICE_ARG(person->address));
	struct store_account *account;
	struct store_acl_mine *mine;
	struct store_mailbox *m;
	size_t mine_n, m_n;
	int err = hold(s, person->id, person->address, &account);

	if (err == 0)
		err = store_acl_mine(account, store_account_id(s->account), &s->arena, &mine, &mine_n);
	if (err == 0 && mine_n == 0)
		return 0;
	if (err == 0)
		err = store_mailboxes(account, &s->arena, &m, &m_n);
	for (size_t i = 0; err == 0 && i < m_n; i++) {
		const struct store_acl_mine *r = rights_to(mine, mine_n, m[i].id);

		if (r != NULL && (r->rights & STORE_RIGHT_LOOKUP) != 0)
			err = add_mailbox(g, account, owner, &m[i], r->rights);
	}
	return err;
}

/* A mailbox has children when the session may see some of what is below it. */
static int
mark_children(struct sharing *g)
{
	struct map names __attribute__((cleanup(map_free)));
	int err = 0;

	map_init(&names, g->n + 1, house_random_u64(g->s->c->house));
	for (size_t i = 0; i < g->n && err == 0; i++)
		err = map_put(&names, g->v[i].m.name, &g->v[i]);
	for (size_t i = 0; i < g->n && err == 0; i++) {
		struct slice name = g->v[i].m.name;

		for (size_t at = g->v[i].owner.n + 1; at < name.n; at++) {
			struct imap_shared *above = slice_at(name, at) == '/' ? map_get(&names, slice_head(name, at))
									      : NULL;

			if (above != NULL)
				above->m.has_children = true;
		}
	}
	return err;
}

int
imap_shared_mailboxes(struct imap_session *s, struct imap_shared **v, size_t *n)
{
	const struct imap_sharing *of = s->c->sharing;
	struct sharing g = {.s = s};
	struct imap_person *people;
	size_t people_n = 0;
	int err = of == NULL
	    ? 0
	    : of->owners(of->of, store_account_id(s->account), SLICE(""), &s->arena, &people, &people_n);

	if (err == 0 && people_n > 0)
		err = store_subscriptions(s->account, &s->arena, &g.subscribed);
	for (size_t i = 0; err == 0 && i < people_n; i++) {
		/* An address that would be two levels has no name here. */
		if (slice_find_byte(people[i].address, '/') != SLICE_NONE)
			continue;
		err = add_owner(&g, &people[i]);
		if (err != 0 && err != ERR_LIMIT && err != ERR_NOMEM && err != ERR_CANCELLED) {
			LOG(s->c->house, DEBUG, "not_shared_now", LOG_S("login", s->c->login),
			    LOG_S("owner", people[i].address), LOG_E(err));
			err = 0;
		}
	}
	if (err == 0)
		err = mark_children(&g);
	*v = g.v;
	*n = g.n;
	return err;
}

/* ---- the selected mailbox ------------------------------------------------------------------------------------------------- */

static bool
is_others_view(const struct imap_session *s)
{
	return s->view != NULL && s->view_owner_n > 0;
}

bool
imap_view_entered(struct imap_session *s, const struct imap_place *at)
{
	s->rights = at->rights;
	if (!at->other)
		return true;
	s->view_owner_n = at->name.n - at->inner.n;
	s->view_owner = malloc(s->view_owner_n);
	if (s->view_owner == NULL) {
		s->view_owner_n = 0;
		return false;
	}
	memcpy(s->view_owner, at->name.p, s->view_owner_n);
	/* One more change than there was: read once more, since they may have changed while it was opened. */
	s->acl_changes = store_acl_changes(at->account) - 1;
	return true;
}

void
imap_view_left(struct imap_session *s)
{
	free(s->view_owner);
	s->view_owner = NULL;
	s->view_owner_n = 0;
	s->rights = STORE_RIGHTS_ALL;
}

bool
imap_view_is_stale(const struct imap_session *s)
{
	return is_others_view(s) && !store_view_gone(s->view) &&
	    s->acl_changes != store_acl_changes(store_view_account(s->view));
}

void
imap_view_check(struct imap_session *s)
{
	unsigned before = s->rights, rights;
	int err;

	if (!imap_view_is_stale(s))
		return;
	s->acl_changes = store_acl_changes(store_view_account(s->view));
	err = store_acl_rights_of(
	    store_view_account(s->view), store_view_mailbox_id(s->view), store_account_id(s->account), &rights);
	if (err != 0 || (rights & STORE_RIGHT_READ) == 0) {
		imap_bye(s, "you may not read the selected mailbox any more");
		return;
	}
	s->rights = rights;
	if (((rights ^ before) & FLAG_RIGHTS) != 0 && !store_view_gone(s->view))
		imap_tell_flag_names(s);
}

struct slice
imap_view_name(struct imap_session *s)
{
	struct slice inner = store_view_name(s->view);

	return s->view_owner_n == 0 ? inner
				    : arena_printf(&s->arena, "%.*s%.*s",
					  SLICE_ARG(slice_of(s->view_owner, s->view_owner_n)), SLICE_ARG(inner));
}

/* The keywords of an entry that are not in the list yet. */
static size_t
add_keywords(struct imap_session *s, const struct store_entry *e, struct slice *v, size_t n, size_t max)
{
	struct slice *some = ARENA_ARRAY(&s->arena, struct slice, max);
	size_t count = some == NULL ? 0 : store_view_keywords(s->view, e, some, max), had = n;

	for (size_t i = 0; i < count && i < max; i++) {
		size_t k = 0;

		while (k < had && !slice_eq(v[k], some[i]))
			k++;
		if (k == had && n < max)
			v[n++] = some[i];
	}
	return n;
}

size_t
imap_view_keywords(struct imap_session *s, struct slice **out)
{
	size_t max = store_view_all_keywords(s->view, NULL, 0), n = 0, sets_n = 0;
	uint32_t sets[64]; /* seen lately: most messages have one of few */

	*out = ARENA_ARRAY(&s->arena, struct slice, max + 1);
	if (*out == NULL)
		return 0;
	if (!is_others_view(s))
		return store_view_all_keywords(s->view, *out, max);
	for (size_t seq = 1; seq <= store_view_count(s->view) && n < max; seq++) {
		struct store_entry e = store_view_at(s->view, seq);
		struct arena_mark mark = arena_mark(&s->arena);
		size_t i = 0;

		while (i < sets_n && i < COUNT_OF(sets) && sets[i] != e.keywords)
			i++;
		if (e.keywords == 0 || (i < sets_n && i < COUNT_OF(sets)))
			continue;
		sets[sets_n++ % COUNT_OF(sets)] = e.keywords;
		n = add_keywords(s, &e, *out, n, max);
		arena_release(&s->arena, mark);
	}
	return n;
}

bool
imap_view_allows(struct imap_session *s, unsigned needed)
{
	if ((s->rights & needed) == needed)
		return true;
	imap_no(s, "[NOPERM]", "you have no right to do that here");
	return false;
}
