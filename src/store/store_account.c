/* store_account.c: accounts in memory and the jobs on their databases. A job holds the account's lock from before it
 * reads memory until memory shows what it has committed; it runs on a worker thread while its fiber waits. Handles are
 * opened by the first job that needs one and closed when they are the longest unused of too many, or unused for a while;
 * an account that nothing refers to any more is freed. A job begins with what is unsaved of flags (store_unsaved.c), in its own
 * transaction if that writes. */
#include "store/store_index.h"
#include "store/store_journal.h"

bool
store_account_id_valid(struct slice id)
{
	if (id.n == 0 || id.n > STORE_ACCOUNT_ID_MAX)
		return false;
	for (size_t i = 0; i < id.n; i++) {
		uint8_t c = slice_at(id, i);

		if (!ascii_is_alnum(c) && c != '_' && (c != '-' || i == 0))
			return false;
	}
	return true;
}

int
store_account_intern(struct store *s, struct slice id, struct store_account **out)
{
	struct store_account *a;
	int err;

	if (!store_account_id_valid(id))
		return ERR_INVALID;
	if (s->failed)
		return ERR_IO;
	if ((a = map_get(&s->accounts, id)) == NULL) {
		if ((a = calloc(1, sizeof(*a) + id.n + 1)) == NULL)
			return ERR_NOMEM;
		a->store = s;
		a->quota_bytes = -1;
		fiber_lock_init(&a->lock);
		list_init(&a->boxes);
		list_init(&a->deliveries);
		list_init(&a->watches);
		memcpy(a->id, id.p, id.n);
		a->id_n = id.n;
		if ((err = map_put(&s->accounts, id, a)) != 0) {
			free(a);
			return err;
		}
		s->counters.accounts++;
	}
	a->refs++;
	*out = a;
	return 0;
}

void
store_account_ref(struct store_account *a)
{
	a->refs++;
}

static bool
lock_is_free(const struct store_account *a)
{
	return a->lock.owner == NULL && list_empty(&a->lock.queue.waiters);
}

void
store_account_settle(struct store_account *a)
{
	struct store *s = a->store;

	if (a->refs > 0 || a->db != NULL || a->dirty || !lock_is_free(a))
		return;
	ASSERT(list_empty(&a->boxes) && list_empty(&a->deliveries));
	if (!a->removed)
		map_remove(&s->accounts, acc_id(a));
	s->counters.accounts--;
	keywords_free(&a->keywords);
	append_forget(a);
	store_work_free(&a->work);
	index_free(&a->index);
	free(a);
}

void
store_account_put(struct store_account **ap)
{
	struct store_account *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	ASSERT(a->refs > 0);
	a->refs--;
	store_account_settle(a);
}

struct slice
store_account_id(const struct store_account *a)
{
	return acc_id(a);
}

void
store_account_set_quota(struct store_account *a, int64_t bytes)
{
	a->quota_bytes = bytes < 0 ? 0 : bytes;
}

struct store_sync_work *
store_work(struct store_account *a)
{
	if (a->work == NULL && (a->work = calloc(1, sizeof(*a->work))) != NULL) {
		buf_init(&a->work->ids, 64u << 20);
		buf_init(&a->work->blobs, 64u << 20);
		buf_init(&a->work->unlink, 64u << 20);
	}
	return a->work;
}

void
store_work_free(struct store_sync_work **w)
{
	if (*w == NULL)
		return;
	buf_free(&(*w)->ids);
	buf_free(&(*w)->blobs);
	buf_free(&(*w)->unlink);
	free(*w);
	*w = NULL;
}

int
store_lock(struct store_account *a)
{
	return fiber_lock_take(a->store->loop, &a->lock, DEADLINE_NEVER);
}

void
store_unlock(struct store_account *a)
{
	fiber_lock_drop(a->store->loop, &a->lock);
}

/* ---- on the worker ------------------------------------------------------------------------------------- */

struct job {
	struct store_account *a;
	const struct store_op *op;    /* NULL: only sync or close */
	struct store_account *victim; /* whose handle is to be closed first; its lock is held */
	struct unsaved *unsaved;      /* flags to write first; NULL: none */
	bool sync, close, abandon;
	bool opened, committed, saved;
	bool synced, victim_synced;
	int err, sync_err, save_err;
};

static int
sync_account(struct store_account *a)
{
	int err = a->work == NULL ? 0 : store_blobs_sync(a, buf_slice(&a->work->blobs));

	if (err == 0)
		err = sqldb_sync_blocking(a->db);
	if (err == 0 && a->work != NULL) {
		store_blobs_unlink(a, buf_slice(&a->work->unlink));
		buf_reset(&a->work->unlink);
		buf_reset(&a->work->blobs);
	}
	return err;
}

struct recovery {
	struct store_account *a;
	struct buf journal;
};

static int
recover_rows(struct sqltx *tx, void *arg)
{
	struct recovery *r = arg;
	struct store_account *a = r->a;
	struct account_row row;
	int err;

	if ((err = journal_replay(tx, a, buf_slice(&r->journal))) != 0 ||
	    (err = SQL_EXEC(tx, &store_sql_account_boot, ACC(a), SQLB(slice_of(a->store->boot, STORE_ID_BYTES)),
		 SQLI(STORE_GAP_MODSEQ))) != 0 ||
	    (err = row_account_load(tx, a, &row)) != 0)
		return err;
	return SQL_EXEC(tx, &store_sql_mailbox_gap, ACC(a), SQLI(STORE_GAP_UID), SQLI(row.modseq));
}

static int
compare_names(const void *a, const void *b)
{
	return memcmp(a, b, STORE_BLOB_NAME);
}

int
store_blob_names(struct sqltx *tx, void *arg)
{
	struct blob_names *b = arg;
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = SQL_QUERY(tx, &q, &store_sql_email_blobs, ACC(b->a));

	buf_reset(&b->names);
	if (err != 0)
		return err;
	while ((err = sql_next(&q)) == 1)
		if (sql_col_bytes(&q, 0).n == STORE_BLOB_NAME)
			buf_put(&b->names, sql_col_bytes(&q, 0));
	if (b->names.n > 0)
		qsort(b->names.p, b->names.n / STORE_BLOB_NAME, STORE_BLOB_NAME, compare_names);
	return err != 0 ? err : b->names.err;
}

/* After an unclean end: what was shown but not durable may be lost, so that numbers go on behind a gap; and files of
 * commits that are there may not have been synced. Changes of flags that were only in the journal are made. Durable before
 * anything is shown. `boot` is the run that ended. */
static int
recover(struct store_account *a, const uint8_t boot[STORE_ID_BYTES])
{
	struct blob_names b = {.a = a};
	struct recovery r = {.a = a};
	int err;

	buf_init(&b.names, 256u << 20);
	buf_init(&r.journal, 2 * STORE_JOURNAL_BYTES);
	err = sql_read_blocking(a->db, store_blob_names, &b);
	if (err == 0)
		err = store_blobs_reconcile(a, buf_slice(&b.names), NULL);
	buf_free(&b.names);
	if (err == 0)
		err = journal_read(a, boot, &r.journal);
	if (err == 0)
		err = sql_write_blocking(a->db, recover_rows, &r);
	buf_free(&r.journal);
	if (err == 0 && (err = sqldb_sync_blocking(a->db)) == 0)
		journal_remove(a);
	return err;
}

struct row_read {
	struct store_account *a;
	struct account_row row;
};

static int
read_row(struct sqltx *tx, void *arg)
{
	struct row_read *r = arg;
	int err = row_account_load(tx, r->a, &r->row);

	if (err == 0 && (err = row_exists(tx, &store_sql_unindexed_any, SQL_ARGS(ACC(r->a)))) >= 0) {
		r->a->unindexed = err == 1;
		err = 0;
	}
	return err;
}

/* Brings an opened database to where it may be used; one that is `made` now may have no rows yet. */
static int
prepare_database(struct store_account *a, bool made)
{
	struct row_read r = {.a = a};
	int err = sql_read_blocking(a->db, read_row, &r);
	bool empty = err == ERR_NOTFOUND;

	if (empty && !made)
		return ERR_DAMAGED;
	if (empty && (err = sql_write_blocking(a->db, store_defaults_insert, a)) == 0)
		err = sqldb_sync_blocking(a->db);
	if (err == 0 && made)
		err = store_folder_finish(a->store, acc_id(a));
	if (err == 0 && !empty && memcmp(r.row.boot, a->store->boot, STORE_ID_BYTES) != 0)
		err = recover(a, r.row.boot);
	if (err == 0 && a->modseq_synced == 0)
		a->modseq_synced = a->modseq;
	return err;
}

static void
log_database_lost(const struct store_account *a, const char *what)
{
	char path[STORE_PATH_MAX], detail[STORE_PATH_MAX + 128];

	if (store_path(a->store, acc_id(a), "/mail.db", path) != 0)
		return;
	(void)snprintf(detail, sizeof(detail), "%s %s; no new one is made: restore it from a backup.", path, what);
	LOG(a->store->house, ERROR, "account_unavailable", LOG_S("account", acc_id(a)), LOG_E(ERR_DAMAGED),
	    LOG_Z("detail", detail));
}

static int
open_database(struct store_account *a, bool create)
{
	struct store *s = a->store;
	char path[STORE_PATH_MAX];
	struct buf BUF_CLEANUP detail;
	struct sqldb_config c = {.path = path,
	    .vfs = s->vfs,
	    .durability = SQL_NORMAL,
	    .migrations = store_migrations,
	    .migrations_count = store_migrations_count};
	int err = store_account_look(s, acc_id(a));
	bool made = err == ERR_NOTFOUND && create;

	buf_init(&detail, 4096);
	if (err == ERR_DAMAGED)
		log_database_lost(a, "is missing");
	if (made)
		err = store_folder_create(s, acc_id(a));
	if (err != 0 || (err = store_path(s, acc_id(a), "/mail.db", path)) != 0)
		return err;
	if ((err = sqldb_open(&a->db, s->house, &c, &detail)) != 0) {
		LOG(s->house, ERROR, "account_unavailable", LOG_S("account", acc_id(a)), LOG_E(err),
		    LOG_S("detail", buf_slice(&detail)));
		return err;
	}
	if ((err = prepare_database(a, made)) == ERR_DAMAGED)
		log_database_lost(a, "is damaged or empty");
	if (err != 0)
		sqldb_close(&a->db);
	return err;
}

static void
close_victim(struct job *j, struct store_account *v)
{
	if (v->dirty && !j->abandon && v->broken == 0) {
		j->sync_err = sync_account(v);
		j->victim_synced = j->sync_err == 0;
	}
	journal_close(v, &v->journal);
	v->flag_jobs = 0;
	sqldb_close(&v->db);
}

/* What is unsaved and then the job, as one transaction. */
static int
tx_after_unsaved(struct sqltx *tx, void *arg)
{
	struct job *j = arg;
	int err = unsaved_tx(tx, j->unsaved);

	return err != 0 ? err : j->op->tx(tx, j->op->arg);
}

static int
run_tx(struct job *j)
{
	struct store_account *a = j->a;
	const struct store_op *op = j->op;
	int err;

	if (!op->write)
		return sql_read_blocking(a->db, op->tx, op->arg);
	if (j->unsaved == NULL)
		return sql_write_blocking(a->db, op->tx, op->arg);
	err = sql_write_blocking(a->db, tx_after_unsaved, j);
	j->saved = err == 0;
	return err;
}

/* What is unsaved, in a transaction of its own. If that fails the job goes on all the same. */
static void
save_first(struct job *j)
{
	j->save_err = sql_write_blocking(j->a->db, unsaved_tx, j->unsaved);
	j->saved = j->save_err == 0;
}

static int
job_worker(void *arg)
{
	struct job *j = arg;
	struct store_account *a = j->a;
	const struct store_op *op = j->op;

	if (j->victim != NULL)
		close_victim(j, j->victim);
	if (j->close) {
		close_victim(j, a);
		return 0;
	}
	if (a->db == NULL && op != NULL && !op->closed) {
		if ((j->err = open_database(a, op->create)) != 0)
			return 0;
		j->opened = true;
	}
	if (j->unsaved != NULL && (op == NULL || op->tx == NULL || !op->write))
		save_first(j);
	if (op != NULL) {
		if (op->before != NULL)
			j->err = op->before(a, op->arg);
		if (j->err == 0 && op->tx != NULL)
			j->err = run_tx(j);
		if (j->err != 0) {
			if (op->undo != NULL)
				op->undo(a, op->arg);
			return 0;
		}
		j->committed = op->write && op->tx != NULL;
		if (op->unlink != NULL && op->unlink->n > 0 && store_work(a) != NULL)
			buf_put(&a->work->unlink, buf_slice(op->unlink));
	}
	if (j->sync && a->db != NULL) {
		j->sync_err = sync_account(a);
		j->synced = j->sync_err == 0;
	}
	return 0;
}

/* ---- on the loop ----------------------------------------------------------------------------------------- */

static void
note_closed(struct store_account *a)
{
	list_remove(&a->handle_node);
	a->store->handles_n--;
}

static void
note_synced(struct store_account *a)
{
	struct store *s = a->store;
	struct store_sync_work *w = a->work;

	a->synced = a->commits;
	a->unsynced_uids = 0;
	a->modseq_synced = a->modseq;
	a->work = NULL;
	s->counters.syncs++;
	store_clear_dirty(a);
	if (a->unsaved_n > 0) /* it could not be written */
		store_mark_dirty(a);
	for (size_t i = 0; w != NULL && i < w->ids.n;) {
		struct slice ids[256];
		size_t n = 0;

		for (; i < w->ids.n && n < COUNT_OF(ids); i += STORE_ID_BYTES)
			ids[n++] = slice_range(buf_slice(&w->ids), i, i + STORE_ID_BYTES);
		if (s->hooks.durable != NULL)
			s->hooks.durable(s->hooks.arg, acc_id(a), (struct slice_list){ids, n});
	}
	store_work_free(&w);
}

/* A handle that can be closed now: the longest unused whose lock is free. */
static struct store_account *
find_victim(struct store *s, const struct store_account *except, int64_t before_ms)
{
	LIST_FOREACH (&s->handles, n) {
		struct store_account *v = CONTAINER_OF(n, struct store_account, handle_node);

		if (v->used_ms >= before_ms)
			return NULL;
		if (v != except && lock_is_free(v) && v->unsaved_n == 0)
			return v;
	}
	return NULL;
}

static void
release_victim(struct job *j)
{
	struct store_account *v = j->victim;

	note_closed(v);
	if (j->victim_synced)
		note_synced(v);
	else if (v->dirty)
		store_clear_dirty(v);
	store_unlock(v);
	store_account_settle(v);
}

static void
note_saved(struct job *j)
{
	struct store_account *a = j->a;

	a->unsaved_stuck = !j->saved && (j->unsaved->err != 0 || j->save_err != 0 || j->err == ERR_FULL);
	unsaved_free(&j->unsaved);
	if (!j->saved)
		return;
	unsaved_saved(a);
	if (j->committed) /* one transaction */
		return;
	a->commits++;
	a->store->counters.transactions++;
	store_mark_dirty(a);
}

/* Takes along what is unsaved, unless the job has nothing to do with it. */
static int
take_unsaved(struct job *j)
{
	const struct store_op *op = j->op;

	if (j->a->unsaved_n == 0 || j->close || (op != NULL && (op->apart || op->closed)))
		return 0;
	j->unsaved = unsaved_take(j->a);
	return j->unsaved == NULL && op != NULL && op->write ? ERR_NOMEM : 0;
}

static int
job_run(struct job *j)
{
	struct store_account *a = j->a;
	struct store *s = a->store;
	bool had = a->db != NULL;
	int err = take_unsaved(j);

	if (err != 0)
		return err;
	if (!had && s->handles_n >= (size_t)s->house->limits.account_handles) {
		j->victim = find_victim(s, a, INT64_MAX);
		if (j->victim != NULL && (err = store_lock(j->victim)) != 0) {
			unsaved_free(&j->unsaved);
			return err;
		}
	}
	err = work_run(s->workers, job_worker, j);
	if (err != 0) { /* the queue is full: nothing has run */
		unsaved_free(&j->unsaved);
		if (j->victim != NULL)
			store_unlock(j->victim);
		return err;
	}
	if (j->unsaved != NULL)
		note_saved(j);
	if (j->victim != NULL)
		release_victim(j);
	if (!had && a->db != NULL) {
		list_push(&s->handles, &a->handle_node);
		s->handles_n++;
		s->counters.handles_opened++;
		a->exists = true;
		if (a->unindexed)
			index_wanted(a);
	} else if (had && a->db == NULL) {
		note_closed(a);
	} else if (had) {
		list_remove(&a->handle_node);
		list_push(&s->handles, &a->handle_node);
	}
	a->used_ms = loop_now_ms(s->loop);
	return 0;
}

static void
note_damage(struct store_account *a)
{
	if (a->broken != 0)
		return;
	a->broken = ERR_DAMAGED;
	unsaved_drop(a);
	store_clear_dirty(a);
	LOG(a->store->house, ERROR, "account_damaged", LOG_S("account", acc_id(a)),
	    LOG_Z("detail",
		"the account's database is damaged; the account is refused, others go on: restore it from a backup"));
}

int
store_state(const struct store_account *a)
{
	if (a->store->failed)
		return ERR_IO;
	return a->removed ? ERR_NOTFOUND : a->broken;
}

int
store_run_locked(struct store_account *a, const struct store_op *op)
{
	struct store *s = a->store;
	struct job j = {.a = a, .op = op};
	int err = store_state(a);

	j.sync = (op->sync && list_empty(&a->lock.queue.waiters)) || a->unsynced_uids > STORE_UNSYNCED_UIDS_MAX ||
	    a->modseq - a->modseq_synced > STORE_UNSYNCED_MODSEQS_MAX;
	if (err == 0 && (err = job_run(&j)) == 0)
		err = j.err;
	if (j.committed) {
		a->commits++;
		s->counters.transactions++;
		store_mark_dirty(a);
	}
	if (op->finish != NULL)
		op->finish(op->arg, err);
	if (j.synced)
		note_synced(a);
	if (j.sync_err != 0 || ((err != 0 || j.save_err != 0) && a->db != NULL && sqldb_failed(a->db) != 0)) {
		store_fail(s, acc_id(a));
		return ERR_IO;
	}
	if (err == ERR_DAMAGED || j.save_err == ERR_DAMAGED)
		note_damage(a);
	return err;
}

int
store_run(struct store_account *a, const struct store_op *op)
{
	uint64_t commits;
	int err = store_lock(a);

	if (err != 0)
		return err;
	store_account_ref(a);
	err = store_state(a);
	if (err == 0 && op->prepare != NULL)
		err = op->prepare(op->arg);
	if (err == 0)
		err = store_run_locked(a, op);
	else if (err == 1)
		err = 0;
	commits = a->commits;
	store_unlock(a);
	if (err == 0 && op->sync)
		err = store_make_durable(a, commits);
	store_account_put(&a);
	return err;
}

int
store_make_durable(struct store_account *a, uint64_t commits)
{
	struct job j = {.a = a, .sync = true};
	int err;

	if (a->synced >= commits && !a->dirty)
		return 0;
	if ((err = store_lock(a)) != 0)
		return err;
	err = store_state(a);
	if (err == 0 && (a->synced < commits || a->dirty)) {
		ASSERT(a->db != NULL);
		if ((err = job_run(&j)) == 0 && (err = j.sync_err) == 0)
			note_synced(a);
		if (j.sync_err != 0 || (j.save_err != 0 && sqldb_failed(a->db) != 0)) {
			store_fail(a->store, acc_id(a));
			err = ERR_IO;
		}
		if (j.save_err == ERR_DAMAGED)
			note_damage(a);
	}
	store_unlock(a);
	return err;
}

bool
store_close_idle_handle(struct store *s, int64_t before_ms, bool abandon)
{
	struct store_account *a = find_victim(s, NULL, before_ms);
	struct job j = {.a = a, .close = true, .abandon = abandon || s->failed};

	if (a == NULL || store_lock(a) != 0)
		return false;
	store_account_ref(a);
	if (job_run(&j) == 0) {
		if (j.victim_synced)
			note_synced(a);
		else
			store_clear_dirty(a);
		if (j.sync_err != 0)
			store_fail(s, acc_id(a));
	}
	store_unlock(a);
	store_account_put(&a);
	return true;
}

/* ---- making, finding, removing ------------------------------------------------------------------------------- */

int
store_account_create(struct store *s, struct slice account_id)
{
	struct store_account STORE_ACCOUNT_CLEANUP *a = NULL;
	struct store_op op = {.create = true};
	int err = store_account_intern(s, account_id, &a);

	return err != 0 ? err : store_run(a, &op);
}

static int
look_worker(void *arg)
{
	const struct store_account *a = arg;

	return store_account_look(a->store, acc_id(a));
}

/* Under the lock: what is being made or removed is not seen by half. */
static int
look(struct store_account *a)
{
	int err = store_lock(a);

	if (err != 0)
		return err;
	if ((err = work_run(a->store->workers, look_worker, a)) == 0)
		a->exists = !a->removed;
	if (err == ERR_DAMAGED)
		log_database_lost(a, "is missing");
	store_unlock(a);
	return err == 0 && a->removed ? ERR_NOTFOUND : err;
}

int
store_account_get(struct store *s, struct slice account_id, struct store_account **out)
{
	struct store_account *a = NULL;
	int err;

	*out = NULL;
	if ((err = store_account_intern(s, account_id, &a)) != 0)
		return err;
	if (!a->exists)
		err = look(a);
	if (err == 0 && a->broken != 0)
		err = a->broken;
	if (err != 0)
		store_account_put(&a);
	*out = a;
	return err;
}

static int
remove_before(struct store_account *a, void *arg)
{
	(void)arg;
	journal_close(a, &a->journal);
	sqldb_close(&a->db);
	return store_folder_remove(a->store, acc_id(a));
}

static void
remove_finish(void *arg, int err)
{
	struct store_account *a = arg;

	if (err != 0)
		return;
	a->removed = true;
	a->exists = false;
	map_remove(&a->store->accounts, acc_id(a));
	unsaved_drop(a);
	store_clear_dirty(a);
	store_work_free(&a->work);
	LIST_FOREACH (&a->boxes, n)
		box_gone(CONTAINER_OF(n, struct store_box, node));
}

int
store_account_remove(struct store *s, struct slice account_id)
{
	struct store_account STORE_ACCOUNT_CLEANUP *a = NULL;
	struct store_op op = {.before = remove_before, .finish = remove_finish, .closed = true};
	int err = store_account_intern(s, account_id, &a);

	if (err != 0)
		return err;
	op.arg = a;
	a->broken = 0; /* a damaged account can be removed */
	if ((err = index_remove(a)) == 0)
		err = store_run(a, &op);
	return err == ERR_NOTFOUND ? 0 : err;
}

struct usage_op {
	struct store_account *a;
	struct store_usage *out;
};

static int
usage_tx(struct sqltx *tx, void *arg)
{
	struct usage_op *u = arg;
	struct account_row row;
	int err = row_account_load(tx, u->a, &row);

	if (err != 0)
		return err;
	u->out->bytes = row.used_bytes;
	u->out->quota_bytes = row.quota_bytes;
	return row_count(tx, u->a, &store_sql_account_usage, &u->out->messages);
}

int
store_account_usage(struct store_account *a, struct store_usage *out)
{
	struct usage_op u = {a, out};
	struct store_op op = {.tx = usage_tx, .arg = &u, .apart = true};

	*out = (struct store_usage){0};
	return store_run(a, &op);
}
