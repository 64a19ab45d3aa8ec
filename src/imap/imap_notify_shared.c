/* imap_notify_shared.c: see imap_notify_shared.h. */
#include "imap/imap_notify_shared.h"

#define NAMES_BYTES (64u << 20)

struct watched {
	struct store_account *account;
	struct store_watch *watch;
	struct slice owner; /* "Other Users/ADDRESS"; in the struct's arena */
	struct arena names_mem;
	struct slice_list names; /* of its mailboxes that the session may see and read, in order */
};

struct imap_notify_shared {
	struct arena arena;
	struct watched *v;
	size_t n;
};

static const unsigned needed = STORE_RIGHT_LOOKUP | STORE_RIGHT_READ;

static int
remember(struct watched *w, const struct slice_list *names)
{
	struct arena mem;
	struct slice *v;

	arena_init(&mem, NAMES_BYTES);
	v = ARENA_ARRAY(&mem, struct slice, names->n + 1);
	for (size_t i = 0; v != NULL && i < names->n; i++)
		v[i] = arena_copy(&mem, names->v[i]);
	if (arena_failed(&mem)) {
		arena_free(&mem);
		return ERR_LIMIT;
	}
	arena_free(&w->names_mem);
	w->names_mem = mem;
	w->names = (struct slice_list){v, names->n};
	return 0;
}

static int
watch_owner(struct imap_session *s, struct watched *w, struct slice owner, const struct imap_shared *shared,
    size_t shared_n, unsigned kinds)
{
	struct slice *v = ARENA_ARRAY(&s->arena, struct slice, shared_n + 1);
	struct slice_list names = {v, 0};
	int err;

	if (v == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < shared_n; i++) {
		if (!slice_eq(shared[i].owner, owner))
			continue;
		w->account = shared[i].account;
		if ((shared[i].rights & needed) == needed)
			v[names.n++] = shared[i].inner;
	}
	if (w->account == NULL)
		return ERR_NOTFOUND;
	err = store_watch_open(w->account, kinds | STORE_CHANGE_NAME | STORE_CHANGE_RIGHTS, s->fiber, &w->watch);
	if (err != 0)
		return err;
	store_watch_own(w->watch, fiber_self(s->c->loop));
	return remember(w, &names);
}

int
imap_notify_shared_open(struct imap_session *s, const struct slice_list *owners, const struct imap_shared *shared,
    size_t shared_n, unsigned kinds, struct imap_notify_shared **out)
{
	struct imap_notify_shared *n = calloc(1, sizeof(*n));
	int err = 0;

	*out = n;
	if (n == NULL)
		return ERR_NOMEM;
	arena_init(&n->arena, 16u << 20);
	n->v = ARENA_ARRAY(&n->arena, struct watched, owners->n + 1);
	if (n->v == NULL)
		err = ERR_LIMIT;
	for (size_t i = 0; i < owners->n && err == 0; i++) {
		struct watched *w = &n->v[n->n++];

		*w = (struct watched){.owner = arena_copy(&n->arena, owners->v[i])};
		arena_init(&w->names_mem, NAMES_BYTES);
		err = watch_owner(s, w, owners->v[i], shared, shared_n, kinds);
	}
	if (err != 0)
		imap_notify_shared_close(out);
	return err;
}

void
imap_notify_shared_close(struct imap_notify_shared **np)
{
	struct imap_notify_shared *n = *np;

	*np = NULL;
	if (n == NULL)
		return;
	for (size_t i = 0; i < n->n; i++) {
		store_watch_close(&n->v[i].watch);
		arena_free(&n->v[i].names_mem);
	}
	arena_free(&n->arena);
	free(n);
}

bool
imap_notify_shared_has_changes(const struct imap_notify_shared *n)
{
	for (size_t i = 0; n != NULL && i < n->n; i++)
		if (store_watch_has_changes(n->v[i].watch))
			return true;
	return false;
}

void
imap_notify_shared_own(struct imap_notify_shared *n, const struct fiber *f)
{
	for (size_t i = 0; n != NULL && i < n->n; i++)
		store_watch_own(n->v[i].watch, f);
}

/* ---- telling -------------------------------------------------------------------------------------------------------------- */

static struct slice
full_name(struct imap_session *s, const struct watched *w, struct slice inner)
{
	return arena_printf(&s->arena, "%.*s/%.*s", SLICE_ARG(w->owner), SLICE_ARG(inner));
}

/* 1: the mailbox is there and may be seen and read; its name is made what the client knows. */
static int
look_up(struct imap_session *s, const struct watched *w, struct slice inner, struct store_mailbox *m)
{
	unsigned rights = 0;
	int err = store_mailbox(w->account, inner, &s->arena, m);

	if (err == 0)
		err = store_acl_rights_of(w->account, m->id, store_account_id(s->account), &rights);
	if (err == ERR_NOTFOUND || (err == 0 && (rights & needed) != needed))
		return 0;
	m->name = full_name(s, w, m->name);
	m->role = STORE_ROLE_NONE;
	return err != 0 ? err : arena_failed(&s->arena) ? ERR_LIMIT : 1;
}

static int
read_names(struct imap_session *s, const struct watched *w, struct slice_list *out)
{
	struct store_acl_mine *mine;
	struct store_mailbox *m;
	struct slice *v;
	size_t mine_n, n, k = 0;
	int err = store_acl_mine(w->account, store_account_id(s->account), &s->arena, &mine, &mine_n);

	if (err == 0)
		err = store_mailboxes(w->account, &s->arena, &m, &n);
	if (err != 0)
		return err;
	if ((v = ARENA_ARRAY(&s->arena, struct slice, n + 1)) == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < n; i++)
		for (size_t r = 0; r < mine_n; r++)
			if (mine[r].mailbox == m[i].id && (mine[r].rights & needed) == needed)
				v[k++] = m[i].name;
	*out = (struct slice_list){v, k};
	return 0;
}

/* What is there now and was not, and the other way round; both lists are in order. */
static int
tell_names(struct imap_session *s, struct watched *w, const struct imap_notify_shared_fns *fns)
{
	struct slice_list now, was = w->names;
	size_t i = 0, k = 0;
	int err = read_names(s, w, &now);

	while (err == 0 && (i < was.n || k < now.n)) {
		int order = i == was.n ? 1 : k == now.n ? -1 : store_name_compare(was.v[i], now.v[k]);
		struct store_mailbox m;

		if (order < 0) {
			fns->name(s, full_name(s, w, was.v[i]), NULL);
		} else if (order > 0) {
			err = look_up(s, w, now.v[k], &m);
			if (err == 1)
				fns->name(s, m.name, &m);
			err = err < 0 ? err : 0;
		}
		i += order <= 0;
		k += order >= 0;
	}
	return err == 0 ? remember(w, &now) : err;
}

static int
tell_messages(
    struct imap_session *s, struct watched *w, const struct store_change *c, const struct imap_notify_shared_fns *fns)
{
	struct store_mailbox m;
	int err = store_mailbox_by_id(w->account, c->mailbox, &s->arena, &m);

	if (err == 0)
		err = look_up(s, w, m.name, &m);
	if (err == 1)
		fns->messages(s, w->account, &m, c->what);
	return err == ERR_NOTFOUND || err > 0 ? 0 : err;
}

static int
tell_metadata(
    struct imap_session *s, struct watched *w, const struct store_change *c, const struct imap_notify_shared_fns *fns)
{
	struct store_mailbox m;
	int err = c->name.n > 0 && slice_starts(c->entry, SLICE("/shared/")) ? look_up(s, w, c->name, &m) : 0;

	if (err == 1)
		fns->metadata(s, &m, c->entry);
	return err < 0 ? err : 0;
}

static int
tell_change(
    struct imap_session *s, struct watched *w, const struct store_change *c, const struct imap_notify_shared_fns *fns)
{
	switch (c->what) {
	case STORE_CHANGE_NAME:
	case STORE_CHANGE_RIGHTS: return tell_names(s, w, fns);
	case STORE_CHANGE_METADATA: return tell_metadata(s, w, c, fns);
	case STORE_CHANGE_SUBSCRIPTION: return 0;
	default: return tell_messages(s, w, c, fns);
	}
}

int
imap_notify_shared_tell(struct imap_session *s, struct imap_notify_shared *n, const struct imap_notify_shared_fns *fns)
{
	int err = 0;

	for (size_t i = 0; n != NULL && i < n->n && err == 0; i++) {
		do {
			struct arena_mark mark = arena_mark(&s->arena);
			struct store_change c;

			err = store_watch_next(n->v[i].watch, &s->arena, &c);
			if (err == 1 && (err = tell_change(s, &n->v[i], &c, fns)) == 0)
				err = 1;
			arena_release(&s->arena, mark);
		} while (err == 1 && !s->ended);
		err = err > 0 ? 0 : err;
	}
	return err;
}
