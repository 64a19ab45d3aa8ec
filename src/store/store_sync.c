/* store_sync.c: the fiber that makes commits durable behind the deliveries' backs. Accounts with unsynced commits queue
 * up in order of their first one; when that is limits.store_sync_ms old they are synced, many accounts in one go,
 * as many at a time as there are threads. It also closes handles that nobody has used for a while. */
#include "store/store_private.h"

#define SYNC_IDLE_MS 10000

void
store_mark_dirty(struct store_account *a)
{
	struct store *s = a->store;

	if (a->dirty || a->broken != 0)
		return;
	a->dirty = true;
	a->dirty_ms = loop_now_ms(s->loop);
	list_push(&s->dirty, &a->dirty_node);
	if (s->dirty_n++ == 0 && s->syncer != NULL)
		fiber_wake(s->syncer);
}

void
store_clear_dirty(struct store_account *a)
{
	if (!a->dirty)
		return;
	a->dirty = false;
	list_remove(&a->dirty_node);
	a->store->dirty_n--;
}

/* One round: several fibers take accounts from one list. */
struct sync_round {
	struct store *store;
	struct list accounts;
};

static void
sync_some(void *arg)
{
	struct sync_round *r = arg;
	struct list_node *n;

	while ((n = list_pop(&r->accounts)) != NULL) {
		struct store_account *a = CONTAINER_OF(n, struct store_account, dirty_node);
		int err;

		store_account_ref(a);
		err = store_make_durable(a, a->commits);
		if (err != 0 && a->dirty && a->broken == 0 && !a->store->failed) {
			/* Not synced this time (the queue of work was full): in the next round. */
			list_remove(&a->dirty_node);
			list_push(&a->store->dirty, &a->dirty_node);
			a->dirty_ms = loop_now_ms(a->store->loop);
		} else if (err == 0 && a->dirty && a->unsaved_n == 0) {
			store_clear_dirty(a);
		}
		store_account_put(&a);
	}
}

void
store_sync_due(struct store *s, int64_t before_ms)
{
	struct sync_round r = {.store = s};
	struct fiber *f[16] = {0};
	size_t n = 0, helpers = s->threads < 17 ? (size_t)s->threads - 1 : 16;

	list_init(&r.accounts);
	LIST_FOREACH (&s->dirty, node) {
		struct store_account *a = CONTAINER_OF(node, struct store_account, dirty_node);

		if (a->dirty_ms > before_ms)
			break;
		list_remove(node);
		list_push(&r.accounts, node);
		n++;
	}
	for (size_t i = 0; i < helpers && i + 1 < n; i++)
		if (fiber_start(s->loop, "store sync helper", sync_some, &r, &f[i]) != 0)
			f[i] = NULL;
	sync_some(&r);
	for (size_t i = 0; i < helpers; i++)
		if (f[i] != NULL)
			fiber_join(s->loop, &f[i]);
}

void
store_syncer(void *arg)
{
	struct store *s = arg;
	const struct limits *l = &s->house->limits;

	while (!s->stopping) {
		int64_t now = loop_now_ms(s->loop), until = now + SYNC_IDLE_MS;
		struct list_node *first = list_first(&s->dirty);

		if (s->failed)
			first = NULL;
		if (first != NULL)
			until = CONTAINER_OF(first, struct store_account, dirty_node)->dirty_ms + l->store_sync_ms;
		if (first != NULL && until <= now) {
			store_sync_due(s, now - l->store_sync_ms / 2);
			continue;
		}
		if (fiber_park(s->loop, until) == ERR_CANCELLED)
			return;
		if (s->stopping)
			return;
		box_drop_idle(s, loop_now_ms(s->loop) - l->store_view_idle_ms, SIZE_MAX);
		while (store_close_idle_handle(s, loop_now_ms(s->loop) - l->account_handle_idle_ms, false))
			;
	}
}
