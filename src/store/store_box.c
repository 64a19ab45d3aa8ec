/* store_box.c: a selected mailbox in memory, shared by all sessions that have it selected: its messages in UID order
 * (38 bytes each) and what changed lately. Exists while there is a view of it.
 *
 * A message that is expunged stays in the array, marked dead, as long as some view still counts it. Changes of flags are
 * noted as (modseq, range of UIDs): the modseq is that of one operation, so the messages of the range that
 * still carry it are exactly those whose latest change it was. A view that fell behind the log looks through all messages
 * by modseq instead. */
#include "store/store_private.h"

struct store_box *
box_find(struct store_account *a, int64_t id)
{
	LIST_FOREACH (&a->boxes, n) {
		struct store_box *b = CONTAINER_OF(n, struct store_box, node);

		if (b->id == id && !b->gone)
			return b;
	}
	return NULL;
}

struct store_box *
box_find_name(struct store_account *a, struct slice name)
{
	LIST_FOREACH (&a->boxes, n) {
		struct store_box *b = CONTAINER_OF(n, struct store_box, node);

		if (!b->gone && slice_eq(slice_of(b->name, b->name_n), name))
			return b;
	}
	return NULL;
}

/* ---- between views ---- */

static void
forget_idle(struct store_box *b)
{
	list_remove(&b->idle_node);
	b->account->store->boxes_idle_messages -= b->idle_n;
}

void
box_wake_up(struct store_box *b)
{
	struct store_account *a = b->account;

	if (!list_linked(&b->idle_node))
		return;
	forget_idle(b);
	store_account_put(&a); /* the view has its own */
}

/* Nobody counts the dead any more, nor waits for what has changed. */
static void
shed(struct store_box *b)
{
	size_t to = 0;

	for (size_t i = 0; i < b->n && b->dead_n > 0; i++) {
		if (b->v[i].dead != 0)
			keywords_unref(b->account->keywords, b->v[i].keywords);
		else
			b->v[to++] = b->v[i];
	}
	if (b->dead_n > 0) {
		b->account->store->counters.messages_in_views -= (int64_t)(b->n - to);
		b->n = to;
	}
	b->dead_n = 0;
	b->dead_retry = 64;
	b->log_first += b->log_n;
	b->log_n = b->log_cap = 0;
	free(b->log);
	b->log = NULL;
}

void
box_rest(struct store_box *b)
{
	struct store *s = b->account->store;
	size_t max = (size_t)s->house->limits.store_view_cache_messages;

	if (b->unsaved_n == 0 && (b->gone || s->stopping || b->n > max)) {
		box_free(&b);
		return;
	}
	shed(b);
	b->idle_n = b->n + 1; /* a mailbox costs something, too */
	b->idle_ms = loop_now_ms(s->loop);
	s->boxes_idle_messages += b->idle_n;
	list_push(&s->boxes_idle, &b->idle_node);
	store_account_ref(b->account);
	box_drop_idle(s, INT64_MIN, max);
}

void
box_drop_idle(struct store *s, int64_t before_ms, size_t messages_max)
{
	LIST_FOREACH (&s->boxes_idle, n) {
		struct store_box *b = CONTAINER_OF(n, struct store_box, idle_node);
		struct store_account *a = b->account;

		if (b->unsaved_n > 0)
			continue;
		if (b->idle_ms > before_ms && s->boxes_idle_messages <= messages_max)
			return;
		forget_idle(b);
		box_free(&b);
		store_account_put(&a);
	}
}

void
box_drop_all(struct store *s)
{
	LIST_FOREACH (&s->boxes_idle, n)
		unsaved_drop(CONTAINER_OF(n, struct store_box, idle_node)->account);
	box_drop_idle(s, INT64_MAX, 0);
}

static int
set_name(struct store_box *b, struct slice name)
{
	char *z = malloc(name.n + 1);

	if (z == NULL)
		return ERR_NOMEM;
	memcpy(z, name.p, name.n);
	z[name.n] = '\0';
	free(b->name);
	b->name = z;
	b->name_n = name.n;
	return 0;
}

int
box_new(struct store_account *a, const struct mailbox_row *m, struct store_box **out)
{
	struct store_box *b = calloc(1, sizeof(*b));

	*out = NULL;
	if (b == NULL)
		return ERR_NOMEM;
	list_init(&b->views);
	b->account = a;
	b->id = m->id;
	memcpy(b->object_id, m->object_id, STORE_ID_BYTES);
	b->uidvalidity = m->uidvalidity;
	b->first_recent = b->recent_saved = (uint32_t)m->first_recent;
	b->dead_retry = 64;
	box_counters(b, m);
	if (set_name(b, m->name) != 0) {
		free(b);
		return ERR_NOMEM;
	}
	list_push(&a->boxes, &b->node);
	*out = b;
	return 0;
}

void
box_free(struct store_box **bp)
{
	struct store_box *b = *bp;

	*bp = NULL;
	if (b == NULL)
		return;
	ASSERT(list_empty(&b->views) && !list_linked(&b->idle_node));
	list_remove(&b->node);
	for (size_t i = 0; i < b->n; i++)
		keywords_unref(b->account->keywords, b->v[i].keywords);
	b->account->store->counters.messages_in_views -= (int64_t)b->n;
	free(b->v);
	free(b->log);
	free(b->name);
	free(b);
}

void
box_counters(struct store_box *b, const struct mailbox_row *m)
{
	b->uidnext = (uint32_t)m->uidnext;
	b->highestmodseq = (uint64_t)m->highestmodseq;
}

size_t
box_lower_bound(const struct store_box *b, uint32_t uid)
{
	size_t low = 0, high = b->n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (b->v[mid].uid < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct message *
box_message(struct store_box *b, uint32_t uid)
{
	size_t i = box_lower_bound(b, uid);

	return i < b->n && b->v[i].uid == uid && b->v[i].dead == 0 ? &b->v[i] : NULL;
}

void
box_add(struct store_box *b, const struct message *m, const struct mailbox_row *row)
{
	if (b->n == b->cap) {
		size_t cap = b->cap + b->cap / 32 + 8;
		struct message *v = realloc(b->v, cap * sizeof(*v));

		if (v == NULL) { /* its sessions have to start again */
			keywords_unref(b->account->keywords, m->keywords);
			box_gone(b);
			return;
		}
		b->v = v;
		b->cap = cap;
	}
	ASSERT(b->n == 0 || b->v[b->n - 1].uid < m->uid);
	b->v[b->n] = *m;
	b->v[b->n++].unsaved = 0; /* a copy is in the database as it is, though what it was made of was not */
	b->account->store->counters.messages_in_views++;
	if (row != NULL)
		box_counters(b, row);
}

void
box_expunge(struct store_box *b, uint32_t uid)
{
	struct message *m = box_message(b, uid);
	size_t i;

	if (m == NULL)
		return;
	i = (size_t)(m - b->v);
	m->dead = 1;
	b->dead_n++;
	LIST_FOREACH (&b->views, n) {
		struct store_view *v = CONTAINER_OF(n, struct store_view, node);

		if (i < v->known)
			v->untold_dead++;
	}
}

void
box_changed(struct store_box *b, uint64_t modseq, uint64_t origin, uint32_t uid_min, uint32_t uid_max)
{
	if (modseq > b->highestmodseq)
		b->highestmodseq = modseq;
	if (b->log_n == BOX_LOG_MAX) {
		memmove(b->log, b->log + BOX_LOG_MAX / 2, BOX_LOG_MAX / 2 * sizeof(*b->log));
		b->log_n -= BOX_LOG_MAX / 2;
		b->log_first += BOX_LOG_MAX / 2;
	}
	if (b->log_n == b->log_cap) {
		size_t cap = b->log_cap == 0 ? 4 : b->log_cap * 2;
		struct box_change *log = realloc(b->log, cap * sizeof(*log));

		if (log == NULL) { /* the views look through all messages instead */
			b->log_first += b->log_n + 1;
			b->log_n = 0;
			return;
		}
		b->log = log;
		b->log_cap = cap;
	}
	b->log[b->log_n++] = (struct box_change){modseq, origin, uid_min, uid_max};
}

void
box_gone(struct store_box *b)
{
	b->gone = true;
	box_wake(b);
}

void
box_renamed(struct store_box *b, struct slice name)
{
	if (set_name(b, name) != 0) {
		box_gone(b);
		return;
	}
	LIST_FOREACH (&b->views, n)
		CONTAINER_OF(n, struct store_view, node)->renamed = true;
	box_wake(b);
}

void
box_wake(struct store_box *b)
{
	LIST_FOREACH (&b->views, n) {
		struct store_view *v = CONTAINER_OF(n, struct store_view, node);

		if (v->watcher != NULL && store_view_has_news(v))
			fiber_wake(v->watcher);
	}
}

/* ---- removing the dead -------------------------------------------------------------------------------- */

static bool
still_counted(const struct store_box *b, size_t i)
{
	LIST_FOREACH (&b->views, n)
		if (view_shows(CONTAINER_OF(n, struct store_view, node), i))
			return true;
	return false;
}

/* Lets go of dead messages that no view counts any more. Linear, so it waits until there is something to gain. */
void
box_compact(struct store_box *b)
{
	size_t to = 0;

	if (b->dead_n < b->dead_retry || b->dead_n * 4 < b->n)
		return;
	for (size_t i = 0; i < b->n; i++)
		if (b->v[i].dead != 0 && !still_counted(b, i)) {
			b->v[i].dead = 2;
			keywords_unref(b->account->keywords, b->v[i].keywords);
		}
	LIST_FOREACH (&b->views, n)
		view_forget_dropped(CONTAINER_OF(n, struct store_view, node));
	for (size_t i = 0; i < b->n; i++)
		if (b->v[i].dead != 2)
			b->v[to++] = b->v[i];
	b->account->store->counters.messages_in_views -= (int64_t)(b->n - to);
	b->dead_n -= b->n - to;
	b->dead_retry = b->dead_n * 2 + 64;
	b->n = to;
}
