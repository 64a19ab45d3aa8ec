/* store.c: the store of a process: opening, the mark of a clean end, failing, closing.
 *
 * The mark. accounts/desk-N.boot holds a random id and a letter: R while the store runs, C after a clean end. A store that
 * finds C goes on with the same id; any other takes a new one. Every account keeps the id under which it was last
 * used, so that after an unclean end, and only then, its first use adds the gap to its UIDs and modseqs. */
#include "store/store_index.h"

#define STORE_JOBS_MAX 100000
#define STORE_ACCOUNTS_MAX 10000000

int
store_open(struct store **out, const struct store_config *c, struct buf *detail)
{
	struct house *h = loop_house(c->loop);
	struct store *s = calloc(1, sizeof(*s));
	bool clean = false;
	int err = 0;

	*out = NULL;
	if (s == NULL)
		return ERR_NOMEM;
	s->magic = STORE_MAGIC;
	s->loop = c->loop;
	s->house = h;
	s->index = c->index;
	s->threads = c->threads < 2 ? 2 : c->threads;
	s->hooks = c->hooks;
	s->dir = strdup(c->dir);
	s->vfs = c->vfs == NULL ? NULL : strdup(c->vfs);
	map_init(&s->accounts, STORE_ACCOUNTS_MAX, house_random_u64(h));
	map_init(&s->bodies, STORE_ACCOUNTS_MAX, house_random_u64(h));
	list_init(&s->handles);
	list_init(&s->dirty);
	list_init(&s->recents);
	list_init(&s->bodies_idle);
	list_init(&s->boxes_idle);
	list_init(&s->index_waiting);
	list_init(&s->index_open);
	waitq_init(&s->body_memory_freed);
	if (s->dir == NULL || (c->vfs != NULL && s->vfs == NULL))
		err = ERR_NOMEM;
	if (err == 0)
		err = store_mark_read(s, s->boot, &clean);
	if (err == 0 && !clean)
		house_random(h, s->boot, sizeof(s->boot));
	s->unclean = !clean;
	if (err == 0)
		err = store_mark_write(s, false);
	if (err == 0)
		err = workers_new(&s->workers, c->loop, "store", s->threads, STORE_JOBS_MAX);
	if (err == 0)
		err = workers_new(&s->index_workers, c->loop, "index", 1, STORE_JOBS_MAX);
	if (err != 0) {
		buf_printf(detail, "cannot use the folder of accounts %s: %s.", c->dir, err_text(err));
		store_abandon(&s);
		return err;
	}
	*out = s;
	return 0;
}

int
store_start(struct store *s)
{
	int err = workers_start(s->workers);

	if (err == 0)
		err = workers_start(s->index_workers);
	if (err == 0)
		err = fiber_start(s->loop, "store syncer", store_syncer, s, &s->syncer);
	if (err == 0)
		err = fiber_start(s->loop, "store indexer", index_fiber, s, &s->indexer);
	s->started = err == 0;
	return err;
}

static void
store_free(struct store **sp)
{
	struct store *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	body_cache_clear(s);
	ASSERT(s->accounts.n == 0);
	if (s->workers != NULL)
		workers_free(&s->workers);
	if (s->index_workers != NULL)
		workers_free(&s->index_workers);
	map_free(&s->accounts);
	map_free(&s->bodies);
	free(s->dir);
	free(s->vfs);
	s->magic = 0;
	free(s);
}

static void
stop_syncer(struct store *s)
{
	s->stopping = true;
	if (s->syncer == NULL)
		return;
	fiber_wake(s->syncer);
	fiber_join(s->loop, &s->syncer);
}

/* What is left cannot be written now. */
static bool
only_stuck(const struct store *s)
{
	size_t stuck = 0;

	LIST_FOREACH (&s->dirty, n)
		stuck += CONTAINER_OF(n, struct store_account, dirty_node)->unsaved_stuck;
	return stuck == s->dirty_n; /* the syncer may have some in hand */
}

int
store_sync(struct store *s)
{
	while (s->dirty_n > 0 && !s->failed) {
		size_t before = s->dirty_n;

		store_sync_due(s, INT64_MAX);
		if (s->dirty_n > 0 && !s->failed && only_stuck(s))
			return ERR_FULL;
		if (s->dirty_n >= before && !s->failed && fiber_sleep(s->loop, 10) != 0)
			return ERR_CANCELLED;
	}
	return s->failed ? ERR_IO : 0;
}

static void
wait_for_recents(struct store *s)
{
	while (!list_empty(&s->recents))
		if (fiber_sleep(s->loop, 1) != 0)
			return;
}

int
store_close(struct store **sp)
{
	struct store *s = *sp;
	int err;

	if (s == NULL)
		return 0;
	index_stop(s);
	stop_syncer(s);
	box_drop_idle(s, INT64_MAX, 0);
	wait_for_recents(s);
	err = store_sync(s); /* changes of flags that cannot be written stay in the journals: the end is no clean one */
	box_drop_all(s);
	while (store_close_idle_handle(s, INT64_MAX, false))
		;
	if (err == 0 && s->failed)
		err = ERR_IO;
	if (err == 0)
		err = store_mark_write(s, true);
	store_free(sp);
	return err;
}

void
store_abandon(struct store **sp)
{
	struct store *s = *sp;

	if (s == NULL)
		return;
	if (s->started) {
		index_stop(s);
		stop_syncer(s);
		box_drop_all(s);
		wait_for_recents(s);
		while (store_close_idle_handle(s, INT64_MAX, true))
			;
	}
	store_free(sp);
}

void
store_fail(struct store *s, struct slice account_id)
{
	if (s->failed)
		return;
	s->failed = true;
	LOG(s->house, ERROR, "store_failed", LOG_S("account", account_id),
	    LOG_Z("detail",
		"a sync failed: what is on the disk is unknown; this process stops and the rest is read anew"));
	if (s->hooks.failed != NULL)
		s->hooks.failed(s->hooks.arg, account_id);
}

bool
store_has_failed(const struct store *s)
{
	return s->failed;
}

void
store_counters(const struct store *s, struct store_counters *out)
{
	*out = s->counters;
	out->handles = (int64_t)s->handles_n;
	out->dirty_accounts = (int64_t)s->dirty_n;
	out->indexes_behind = s->index_busy;
	LIST_FOREACH (&s->index_waiting, n)
		out->indexes_behind++;
	out->body_bytes = (int64_t)s->bodies_idle_bytes + s->body_memory;
}
