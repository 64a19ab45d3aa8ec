/* store_watch.c: watches. Whoever finishes a job tells it here, on the loop and on the fiber whose doing it is. */
#include "store/store_private.h"

struct change {
	struct list_node node;
	unsigned what;
	int64_t mailbox;
	size_t name_n, old_n, entry_n;
	uint8_t bytes[]; /* the three behind each other */
};

struct store_watch {
	struct list_node node; /* in account->watches */
	struct store_account *account;
	struct fiber *wake;
	const struct fiber *own;
	unsigned kinds;
	struct list changes; /* oldest first */
	size_t n;
	bool lost;
};

static void
forget(struct store_watch *w)
{
	struct list_node *n;

	while ((n = list_pop(&w->changes)) != NULL)
		free(CONTAINER_OF(n, struct change, node));
	w->n = 0;
}

int
store_watch_open(struct store_account *acc, unsigned kinds, struct fiber *wake, struct store_watch **out)
{
	struct store_watch *w = calloc(1, sizeof(*w));

	*out = w;
	if (w == NULL)
		return ERR_NOMEM;
	list_init(&w->changes);
	w->account = acc;
	w->wake = wake;
	w->kinds = kinds;
	store_account_ref(acc);
	list_push(&acc->watches, &w->node);
	return 0;
}

void
store_watch_close(struct store_watch **wp)
{
	struct store_watch *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	list_remove(&w->node);
	forget(w);
	store_account_put(&w->account);
	free(w);
}

void
store_watch_own(struct store_watch *w, const struct fiber *f)
{
	w->own = f;
}

bool
store_watch_has_changes(const struct store_watch *w)
{
	return w->lost || w->n > 0;
}

static struct slice
name_of(const struct change *c)
{
	return slice_of(c->bytes, c->name_n);
}

static struct slice
old_of(const struct change *c)
{
	return slice_of(c->bytes + c->name_n, c->old_n);
}

static struct slice
entry_of(const struct change *c)
{
	return slice_of(c->bytes + c->name_n + c->old_n, c->entry_n);
}

int
store_watch_next(struct store_watch *w, struct arena *a, struct store_change *out)
{
	struct list_node *n;
	struct change *c;

	if (w->lost) {
		w->lost = false;
		return ERR_LIMIT;
	}
	if ((n = list_pop(&w->changes)) == NULL)
		return 0;
	c = CONTAINER_OF(n, struct change, node);
	w->n--;
	*out = (struct store_change){
	    c->what, c->mailbox, arena_copy(a, name_of(c)), arena_copy(a, old_of(c)), arena_copy(a, entry_of(c))};
	free(c);
	return arena_failed(a) ? ERR_LIMIT : 1;
}

/* What is waiting already need not be told twice. A change of names stays in its place among others of names. */
static bool
is_waiting(struct store_watch *w, const struct store_change *of)
{
	const unsigned messages = STORE_CHANGE_NEW | STORE_CHANGE_EXPUNGE | STORE_CHANGE_FLAGS;

	LIST_FOREACH (&w->changes, n) {
		struct change *c = CONTAINER_OF(n, struct change, node);

		if ((of->what & messages) != 0 && (c->what & messages) != 0 && c->mailbox == of->mailbox) {
			c->what |= of->what;
			return true;
		}
		if (c->what == of->what && (of->what & messages) == 0 && slice_eq(name_of(c), of->name) &&
		    slice_eq(old_of(c), of->old_name) && slice_eq(entry_of(c), of->entry))
			return true;
	}
	return false;
}

static void
put(struct change *c, size_t at, struct slice s)
{
	if (s.n > 0)
		memcpy(c->bytes + at, s.p, s.n);
}

static void
note(struct store_watch *w, const struct store_change *of)
{
	struct change *c = NULL;

	if (w->lost || is_waiting(w, of))
		return;
	if (w->n < (size_t)w->account->store->house->limits.imap_notify_pending)
		c = malloc(sizeof(*c) + of->name.n + of->old_name.n + of->entry.n);
	if (c == NULL) {
		forget(w);
		w->lost = true;
	} else {
		*c = (struct change){.what = of->what,
		    .mailbox = of->mailbox,
		    .name_n = of->name.n,
		    .old_n = of->old_name.n,
		    .entry_n = of->entry.n};
		put(c, 0, of->name);
		put(c, of->name.n, of->old_name);
		put(c, of->name.n + of->old_name.n, of->entry);
		list_push(&w->changes, &c->node);
		w->n++;
	}
	fiber_wake(w->wake);
}

static void
note_all(struct store_account *a, struct store_change of)
{
	const struct fiber *self = fiber_self(a->store->loop);
	unsigned what = of.what;

	LIST_FOREACH (&a->watches, n) {
		struct store_watch *w = CONTAINER_OF(n, struct store_watch, node);

		of.what = what & w->kinds;
		if (of.what != 0 && (w->own == NULL || w->own != self))
			note(w, &of);
	}
}

void
watch_messages(struct store_account *a, int64_t mailbox, unsigned what)
{
	note_all(a, (struct store_change){.what = what, .mailbox = mailbox});
}

void
watch_name(struct store_account *a, struct slice name)
{
	note_all(a, (struct store_change){.what = STORE_CHANGE_NAME, .name = name});
}

void
watch_levels(struct store_account *a, struct slice name, size_t top)
{
	for (size_t i = top; top > 0 && i < name.n; i++)
		if (slice_at(name, i) == '/')
			watch_name(a, slice_head(name, i));
}

void
watch_rename(struct store_account *a, struct slice from, struct slice to)
{
	note_all(a, (struct store_change){.what = STORE_CHANGE_NAME, .name = to, .old_name = from});
}

void
watch_subscription(struct store_account *a, struct slice name)
{
	note_all(a, (struct store_change){.what = STORE_CHANGE_SUBSCRIPTION, .name = name});
}

void
watch_metadata(struct store_account *a, struct slice name, struct slice entry)
{
	note_all(a, (struct store_change){.what = STORE_CHANGE_METADATA, .name = name, .entry = entry});
}

void
watch_rights(struct store_account *a, struct slice name)
{
	note_all(a, (struct store_change){.what = STORE_CHANGE_RIGHTS, .name = name});
}
