/* store_index.c: opening search.db, making it anew, and the fiber that fills indexes behind everybody's back: one account at a time, a
 * while after its last message has come, so that a burst is one piece of work. Its work runs on a thread of its own; the account's
 * mailboxes wait for it only while they are read, some messages at a time. */
#include "store/store_index.h"

#include <errno.h>

#define RETRY_MS 60000
/* How often what is wanted may be put off by more coming in. */
#define PUT_OFF_MAX 12

#define SQL_STATEMENT(name, text) const struct sql_text search_sql_##name = {"search_" #name, text};
#include "store/store_search_sql.def"
#undef SQL_STATEMENT

#define SQL_MIGRATION(number, name, sql) {number, name, sql},
static const struct sql_migration search_migrations[] = {
#include "store/store_search_migrations.def"
};
#undef SQL_MIGRATION

static int
index_of(struct store_account *a, struct store_index **out)
{
	struct store_index *x = a->index;

	if (x == NULL) {
		if ((x = calloc(1, sizeof(*x))) == NULL)
			return ERR_NOMEM;
		x->a = a;
		fiber_lock_init(&x->lock);
		a->index = x;
	}
	*out = x;
	return 0;
}

void
index_free(struct store_index **x)
{
	ASSERT(*x == NULL || ((*x)->db == NULL && (*x)->users == 0 && !list_linked(&(*x)->waiting)));
	free(*x);
	*x = NULL;
}

void
index_wanted(struct store_account *a)
{
	struct store *s = a->store;
	struct store_index *x;
	int64_t now = loop_now_ms(s->loop), delay = s->house->limits.search_delay_ms;

	if (s->stopping || a->removed || a->broken != 0 || index_of(a, &x) != 0)
		return;
	if (list_linked(&x->waiting)) {
		if (now + delay - x->first_ms <= delay * PUT_OFF_MAX && x->due_ms < now + delay) {
			x->due_ms = now + delay;
			list_remove(&x->waiting);
			list_push(&s->index_waiting, &x->waiting);
		}
		return;
	}
	x->first_ms = now;
	x->due_ms = now + delay;
	store_account_ref(a);
	list_push(&s->index_waiting, &x->waiting);
	if (s->indexer != NULL)
		fiber_wake(s->indexer);
}

/* ---- the file ------------------------------------------------------------------------------------------------ */

struct open_job {
	struct store_index *x;
	bool fresh; /* it has no version: nothing in it counts */
	int err;
};

static int
version_tx(struct sqltx *tx, void *arg)
{
	struct open_job *j = arg;
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = sql_query(tx, &q, &search_sql_version, NULL, 0);

	if (err != 0 || (err = sql_next(&q)) < 0)
		return err;
	j->fresh = err == 0;
	return err == 1 && sql_col_int(&q, 0) != STORE_SEARCH_VERSION ? ERR_VERSION : 0;
}

static int
set_version_tx(struct sqltx *tx, void *arg)
{
	(void)arg;
	return SQL_EXEC(tx, &search_sql_version_set, SQLI(STORE_SEARCH_VERSION));
}

static void
remove_files(const struct store_account *a)
{
	static const char *const tails[] = {"/search.db", "/search.db-wal", "/search.db-shm", "/search.db-journal"};
	char path[STORE_PATH_MAX];

	for (size_t i = 0; i < COUNT_OF(tails); i++)
		if (store_path(a->store, acc_id(a), tails[i], path) == 0 && unlink(path) != 0 && errno != ENOENT)
			LOG(a->store->house, WARN, "search_not_removed", LOG_S("account", acc_id(a)),
			    LOG_Z("file", path));
}

static int
open_file(struct open_job *j)
{
	struct store_account *a = j->x->a;
	struct store *s = a->store;
	char path[STORE_PATH_MAX];
	struct buf BUF_CLEANUP detail;
	struct sqldb_config c = {.path = path,
	    .vfs = s->vfs,
	    .durability = SQL_NORMAL,
	    .migrations = search_migrations,
	    .migrations_count = COUNT_OF(search_migrations)};
	int err = store_path(s, acc_id(a), "/search.db", path);

	buf_init(&detail, 4096);
	if (err == 0)
		err = sqldb_open(&j->x->db, s->house, &c, &detail);
	if (err == 0 && (err = sql_read_blocking(j->x->db, version_tx, j)) != 0)
		sqldb_close(&j->x->db);
	return err;
}

static int
open_worker(void *arg)
{
	struct open_job *j = arg;
	struct store_account *a = j->x->a;

	j->err = open_file(j);
	if (j->err != ERR_DAMAGED && j->err != ERR_VERSION && j->err != ERR_INVALID)
		return 0;
	LOG(a->store->house, WARN, "search_rebuilt", LOG_S("account", acc_id(a)), LOG_E(j->err),
	    LOG_Z("detail", "the search index is made anew from the messages; nothing is lost"));
	remove_files(a);
	j->err = open_file(j);
	return 0;
}

static int
list_all_tx(struct sqltx *tx, void *arg)
{
	struct store_account *a = arg;

	return SQL_EXEC(tx, &store_sql_unindexed_all, ACC(a));
}

static int
close_worker(void *arg)
{
	struct store_index *x = arg;

	sqldb_close(&x->db);
	return 0;
}

static void
note_closed(struct store_index *x)
{
	struct store_account *a = x->a;

	if (!list_linked(&x->opened))
		return;
	list_remove(&x->opened);
	a->store->index_open_n--;
	store_account_put(&a);
}

/* The queue of work may be full: then it stays open for now. */
static void
close_index(struct store_index *x)
{
	if (work_run(x->a->store->workers, close_worker, x) == 0)
		note_closed(x);
}

/* Closes the longest unused of too many. */
static void
make_room(struct store *s)
{
	while (s->index_open_n >= (size_t)s->house->limits.search_handles) {
		struct store_index *victim = NULL;
		struct store_account *a;

		LIST_FOREACH (&s->index_open, n)
			if (victim == NULL && CONTAINER_OF(n, struct store_index, opened)->users == 0)
				victim = CONTAINER_OF(n, struct store_index, opened);
		if (victim == NULL || fiber_lock_take(s->loop, &victim->lock, DEADLINE_NEVER) != 0)
			return;
		a = victim->a;
		store_account_ref(a);
		victim->users++;
		close_index(victim);
		victim->users--;
		fiber_lock_drop(s->loop, &victim->lock);
		store_account_put(&a);
	}
}

/* Under the lock. */
static int
open_index(struct store_index *x)
{
	struct store_account *a = x->a;
	struct store *s = a->store;
	struct open_job j = {.x = x};
	int err;

	make_room(s);
	err = work_run(s->workers, open_worker, &j);

	if (err == 0)
		err = j.err;
	if (err != 0)
		return err;
	store_account_ref(a);
	list_push(&s->index_open, &x->opened);
	s->index_open_n++;
	if (j.fresh) {
		struct store_op all = {.tx = list_all_tx, .arg = a, .write = true, .sync = true};

		/* Only what is listed durably may count as made. */
		if ((err = store_run(a, &all)) == 0)
			err = index_run(x, set_version_tx, NULL, true, true);
		if (err != 0 && x->db != NULL)
			close_index(x);
	}
	if (err == 0 && !x->working)
		index_wanted(a); /* to go on where it was when it was closed */
	return err;
}

int
index_take(struct store_account *a, struct store_index **out)
{
	struct store_index *x;
	int err = index_of(a, &x);

	*out = NULL;
	if (err != 0)
		return err;
	store_account_ref(a);
	x->users++;
	if ((err = fiber_lock_take(a->store->loop, &x->lock, DEADLINE_NEVER)) == 0) {
		if (a->removed || a->store->failed || a->store->index_stopped)
			err = ERR_CLOSED;
		else if (x->db == NULL)
			err = open_index(x);
		if (err != 0)
			fiber_lock_drop(a->store->loop, &x->lock);
	}
	if (err != 0) {
		x->users--;
		store_account_put(&a);
		return err;
	}
	*out = x;
	return 0;
}

void
index_give(struct store_index *x)
{
	struct store_account *a = x->a;

	x->used_ms = loop_now_ms(a->store->loop);
	if (list_linked(&x->opened)) {
		list_remove(&x->opened);
		list_push(&a->store->index_open, &x->opened);
	}
	fiber_lock_drop(a->store->loop, &x->lock);
	x->users--;
	store_account_put(&a);
}

static int
remake_worker(void *arg)
{
	struct store_index *x = arg;

	sqldb_close(&x->db);
	remove_files(x->a);
	return 0;
}

int
index_rebuild(struct store_index *x)
{
	struct store *s = x->a->store;
	int err = work_run(s->workers, remake_worker, x);

	if (err != 0)
		return err;
	note_closed(x);
	LOG(s->house, WARN, "search_rebuilt", LOG_S("account", acc_id(x->a)),
	    LOG_Z("detail", "the search index was damaged and is made anew from the messages; nothing is lost"));
	return open_index(x);
}

/* ---- work on it ------------------------------------------------------------------------------------------------ */

struct run_job {
	struct store_index *x;
	sql_fn *fn;
	void *arg;
	bool write, sync;
	int err;
};

static int
run_worker(void *arg)
{
	struct run_job *j = arg;

	j->err = j->write ? sql_write_blocking(j->x->db, j->fn, j->arg) : sql_read_blocking(j->x->db, j->fn, j->arg);
	if (j->err >= 0 && j->sync) {
		int err = sqldb_sync_blocking(j->x->db);

		j->err = err != 0 ? err : j->err;
	}
	return 0;
}

int
index_run(struct store_index *x, sql_fn *fn, void *arg, bool write, bool sync)
{
	struct store *s = x->a->store;
	struct run_job j = {.x = x, .fn = fn, .arg = arg, .write = write, .sync = sync};
	int err = x->db == NULL ? ERR_CLOSED : work_run(write ? s->index_workers : s->workers, run_worker, &j);

	if (err != 0)
		return err;
	if (j.err == ERR_DAMAGED)
		return (err = index_rebuild(x)) != 0 ? err : ERR_CONFLICT;
	if (j.err == ERR_IO) /* what is on the disk is unknown: it is read again */
		close_index(x);
	return j.err;
}

/* ---- in the background ------------------------------------------------------------------------------------------- */

struct growing {
	size_t docs; /* of a segment */
	bool more;
};

static int
grow_tx(struct sqltx *tx, void *arg)
{
	struct growing *g = arg;
	int err = segments_grow(tx, g->docs);

	g->more = err == 1;
	return err < 0 ? err : 0;
}

/* Segments, a step at a time, with others in between. */
static int
grow(struct store_account *a)
{
	struct growing g = {(size_t)a->store->house->limits.search_segment, true};
	int err = 0;

	while (g.more && err == 0 && !a->store->index_stopped) {
		struct store_index *x;

		g.more = false;
		if ((err = index_take(a, &x)) != 0)
			return err;
		err = index_run(x, grow_tx, &g, true, false);
		index_give(x);
	}
	return err;
}

static void
work_on(struct store_account *a)
{
	struct store *s = a->store;
	uint64_t from = 0;
	bool left = true;
	int err = 0;

	while (left && err == 0 && !s->index_stopped)
		if ((err = index_fill(a, NULL, 0, &from, &left)) == 0)
			err = grow(a);
	if (err == 0 || s->index_stopped || a->removed)
		return;
	if (err != ERR_CONFLICT)
		LOG(s->house, WARN, "search_behind", LOG_S("account", acc_id(a)), LOG_E(err),
		    LOG_Z("detail", "messages are not indexed for now and will be tried again; searching works"));
	index_wanted(a);
	if (a->index != NULL && err != ERR_CONFLICT)
		a->index->due_ms = a->index->first_ms = loop_now_ms(s->loop) + RETRY_MS;
}

static struct store_index *
first_due(struct store *s, int64_t now, int64_t *until)
{
	LIST_FOREACH (&s->index_waiting, n) {
		struct store_index *x = CONTAINER_OF(n, struct store_index, waiting);

		if (x->due_ms <= now)
			return x;
		if (x->due_ms < *until)
			*until = x->due_ms;
	}
	return NULL;
}

static void
close_idle(struct store *s, int64_t before_ms, int64_t *until)
{
	LIST_FOREACH (&s->index_open, n) {
		struct store_index *x = CONTAINER_OF(n, struct store_index, opened);
		struct store_account *a = x->a;
		int64_t end = x->used_ms + s->house->limits.account_handle_idle_ms;

		if (x->used_ms > before_ms) {
			*until = end < *until ? end : *until;
			return;
		}
		if (x->users > 0 || fiber_lock_take(s->loop, &x->lock, DEADLINE_NEVER) != 0)
			continue;
		store_account_ref(a);
		x->users++;
		if (x->db != NULL)
			close_index(x);
		x->users--;
		fiber_lock_drop(s->loop, &x->lock);
		store_account_put(&a);
		*until = 0; /* the list has changed */
		return;
	}
}

void
index_fiber(void *arg)
{
	struct store *s = arg;

	while (!s->index_stopped) {
		int64_t now = loop_now_ms(s->loop), until = DEADLINE_NEVER;
		struct store_index *x = first_due(s, now, &until);

		if (x != NULL) {
			struct store_account *a = x->a;

			list_remove(&x->waiting);
			s->index_busy = x->working = true;
			work_on(a);
			s->index_busy = x->working = false;
			store_account_put(&a);
			continue;
		}
		close_idle(s, now - s->house->limits.account_handle_idle_ms, &until);
		if (until > now && fiber_park(s->loop, until) == ERR_CANCELLED)
			return;
	}
}

void
index_stop(struct store *s)
{
	struct list_node *n;

	s->index_stopped = true;
	if (s->indexer != NULL) {
		fiber_wake(s->indexer);
		fiber_join(s->loop, &s->indexer);
	}
	while ((n = list_pop(&s->index_waiting)) != NULL) {
		struct store_account *a = CONTAINER_OF(n, struct store_index, waiting)->a;

		store_account_put(&a);
	}
	while ((n = list_first(&s->index_open)) != NULL) {
		struct store_index *x = CONTAINER_OF(n, struct store_index, opened);
		struct store_account *a = x->a;

		store_account_ref(a);
		if (fiber_lock_take(s->loop, &x->lock, DEADLINE_NEVER) == 0) {
			(void)close_worker(x);
			note_closed(x);
			fiber_lock_drop(s->loop, &x->lock);
		}
		store_account_put(&a);
	}
}

int
index_remove(struct store_account *a)
{
	struct store_index *x = a->index;
	struct store_account *waiting = a;
	int err;

	if (x == NULL)
		return 0;
	if (list_linked(&x->waiting)) {
		list_remove(&x->waiting);
		store_account_put(&waiting);
	}
	if ((err = fiber_lock_take(a->store->loop, &x->lock, DEADLINE_NEVER)) != 0)
		return err;
	if (x->db != NULL)
		close_index(x);
	fiber_lock_drop(a->store->loop, &x->lock);
	return x->db == NULL ? 0 : ERR_BUSY;
}
