/* sqlite.c: the SQLite engine. WAL with a WAL file that stays; checkpoints are ours, so that their failed
 * fsyncs do not pass unseen (SQLite's automatic ones ignore them) and so that nobody waits for them.
 *
 * Durability (design §3): FULL databases fsync the WAL at each commit. NORMAL ones do not; sync() gets the WAL's
 * file from SQLite and calls its xSync. A failed fsync, and any I/O error of a commit, makes the connection
 * final: what is on disk is unknown, and asking the kernel again would only bring a false yes. */
#include "sql/sql_dialect.h"
#include "sql/sql_engine.h"
#include "sql/sqlite_wal.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

/* The size of a WAL at which a checkpoint is due, unless the database says otherwise; the file is cut back to twice that. */
#define WAL_KIB 4000
#define FRAME_KIB 4
#define BUSY_TIMEOUT_MS 10000

/* A prepared statement in the cache. The same text may be in use twice at once: then there are two. */
struct sqlite_stmt {
	struct sqlite_stmt *next; /* of the same text */
	sqlite3_stmt *stmt;
	bool busy;
};

struct cache_slot {
	const struct sql_text *text;
	struct sqlite_stmt *first;
};

struct sqlconn {
	sqlite3 *db;
	char *error;
	bool final;
	int frames;               /* in the WAL after the last commit */
	int frames_checked;       /* when a checkpoint was last tried */
	int frames_max;           /* after so many one is due */
	struct cache_slot *cache; /* open addressing by the address of the text */
	size_t cache_cap, cache_n;
};

static int
error_of(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
	case SQLITE_ROW: return 0;
	case SQLITE_NOMEM: return ERR_NOMEM;
	case SQLITE_FULL: return ERR_FULL;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB: return ERR_DAMAGED;
	case SQLITE_BUSY:
	case SQLITE_LOCKED: return ERR_BUSY;
	case SQLITE_TOOBIG: return ERR_LIMIT;
	case SQLITE_CONSTRAINT: break;
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_READONLY: return ERR_DENIED;
	case SQLITE_MISMATCH:
	case SQLITE_RANGE:
	case SQLITE_ERROR: return ERR_INVALID;
	default: return ERR_IO;
	}
	if (rc == SQLITE_CONSTRAINT_PRIMARYKEY || rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_ROWID)
		return ERR_EXISTS;
	return rc == SQLITE_CONSTRAINT_DATATYPE ? ERR_INVALID : ERR_CONFLICT;
}

/* The error of a result code, its words kept; a failed fsync makes the connection final. */
static int
note(struct sqlconn *c, int rc)
{
	int err = error_of(rc);

	if (err != 0)
		(void)snprintf(c->error, SQL_ERROR_MAX, "%s: %s [%d]", err_name(err),
		    c->db != NULL ? sqlite3_errmsg(c->db) : sqlite3_errstr(rc), rc);
	if (rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC)
		c->final = true;
	return err;
}

/* ---- statements ---------------------------------------------------------------------------------------- */

static struct cache_slot *
cache_find(struct cache_slot *v, size_t cap, const struct sql_text *t)
{
	size_t i = (size_t)(((uintptr_t)t >> 4) * 0x9e3779b97f4a7c15ull >> 20) & (cap - 1);

	while (v[i].text != NULL && v[i].text != t)
		i = (i + 1) & (cap - 1);
	return &v[i];
}

static struct cache_slot *
cache_slot(struct sqlconn *c, const struct sql_text *t)
{
	struct cache_slot *s, *v;
	size_t cap;

	if (c->cache_n * 2 >= c->cache_cap) {
		cap = c->cache_cap == 0 ? 64 : c->cache_cap * 2;
		v = calloc(cap, sizeof(*v));
		if (v == NULL)
			return NULL;
		for (size_t i = 0; i < c->cache_cap; i++)
			if (c->cache[i].text != NULL)
				*cache_find(v, cap, c->cache[i].text) = c->cache[i];
		free(c->cache);
		c->cache = v;
		c->cache_cap = cap;
	}
	s = cache_find(c->cache, c->cache_cap, t);
	if (s->text == NULL) {
		s->text = t;
		c->cache_n++;
	}
	return s;
}

static void
cache_free(struct sqlconn *c)
{
	struct sqlite_stmt *s;

	for (size_t i = 0; i < c->cache_cap; i++)
		while ((s = c->cache[i].first) != NULL) {
			c->cache[i].first = s->next;
			ASSERT(!s->busy);
			sqlite3_finalize(s->stmt);
			free(s);
		}
	free(c->cache);
	c->cache = NULL;
	c->cache_cap = c->cache_n = 0;
}

static int
engine_prepare(struct sqlconn *c, const struct sql_text *t, void **out)
{
	struct cache_slot *slot = cache_slot(c, t);
	struct sqlite_stmt *s;
	struct buf sql BUF_CLEANUP;
	int rc;

	buf_init(&sql, SQL_TEXT_MAX);
	*out = NULL;
	if (slot == NULL)
		return ERR_NOMEM;
	for (s = slot->first; s != NULL && s->busy; s = s->next)
		;
	if (s == NULL) {
		sql_dialect_sqlite(&sql, slice_z(t->text));
		s = calloc(1, sizeof(*s));
		if (s == NULL || sql.err != 0) {
			free(s);
			return sql.err != 0 ? sql.err : ERR_NOMEM;
		}
		rc = sqlite3_prepare_v3(
		    c->db, (const char *)buf_slice(&sql).p, (int)sql.n, SQLITE_PREPARE_PERSISTENT, &s->stmt, NULL);
		if (rc != SQLITE_OK || s->stmt == NULL) {
			free(s);
			return rc != SQLITE_OK ? note(c, rc) : ERR_INVALID;
		}
		s->next = slot->first;
		slot->first = s;
	}
	s->busy = true;
	*out = s;
	return 0;
}

static bool
engine_stmt_writes(void *stmt)
{
	return sqlite3_stmt_readonly(((struct sqlite_stmt *)stmt)->stmt) == 0;
}

static int
engine_bind(struct sqlconn *c, void *stmt, const struct sql_value *v, size_t n, bool keep)
{
	sqlite3_stmt *s = ((struct sqlite_stmt *)stmt)->stmt;
	sqlite3_destructor_type how = keep ? SQLITE_TRANSIENT : SQLITE_STATIC;
	int rc = SQLITE_OK;

	ASSERT((size_t)sqlite3_bind_parameter_count(s) == n);
	for (size_t i = 0; i < n && rc == SQLITE_OK; i++) {
		const void *p = v[i].s.n == 0 ? "" : (const void *)v[i].s.p;

		switch (v[i].kind) {
		case SQL_NULL: rc = sqlite3_bind_null(s, (int)i + 1); break;
		case SQL_INT: rc = sqlite3_bind_int64(s, (int)i + 1, v[i].i); break;
		case SQL_TEXT: rc = sqlite3_bind_text64(s, (int)i + 1, p, v[i].s.n, how, SQLITE_UTF8); break;
		case SQL_BLOB: rc = sqlite3_bind_blob64(s, (int)i + 1, p, v[i].s.n, how); break;
		}
	}
	return note(c, rc);
}

static int
engine_step(struct sqlconn *c, void *stmt)
{
	int rc = sqlite3_step(((struct sqlite_stmt *)stmt)->stmt);

	return rc == SQLITE_ROW ? 1 : note(c, rc);
}

static void
engine_reset(struct sqlconn *c, void *stmt)
{
	struct sqlite_stmt *s = stmt;

	(void)c;
	sqlite3_reset(s->stmt); /* its result repeats that of the last step */
	sqlite3_clear_bindings(s->stmt);
	s->busy = false;
}

static int64_t
engine_changes(struct sqlconn *c)
{
	return sqlite3_changes64(c->db);
}

static int64_t
engine_col_int(void *stmt, int col)
{
	return sqlite3_column_int64(((struct sqlite_stmt *)stmt)->stmt, col);
}

static bool
engine_col_null(void *stmt, int col)
{
	return sqlite3_column_type(((struct sqlite_stmt *)stmt)->stmt, col) == SQLITE_NULL;
}

static struct slice
engine_col_bytes(void *stmt, int col)
{
	sqlite3_stmt *s = ((struct sqlite_stmt *)stmt)->stmt;
	const void *p;

	if (sqlite3_column_type(s, col) == SQLITE_NULL)
		return SLICE_EMPTY;
	p = sqlite3_column_blob(s, col);
	return slice_of(p == NULL ? "" : p, (size_t)sqlite3_column_bytes(s, col));
}

/* ---- transactions ---------------------------------------------------------------------------------------- */

static const struct sql_text text_begin = {"begin", "BEGIN"};
static const struct sql_text text_begin_write = {"begin_write", "BEGIN IMMEDIATE"};
static const struct sql_text text_commit = {"commit", "COMMIT"};
static const struct sql_text text_rollback = {"rollback", "ROLLBACK"};
static const struct sql_text text_savepoint = {"savepoint", "SAVEPOINT job"};
static const struct sql_text text_release = {"release", "RELEASE job"};
static const struct sql_text text_rollback_to = {"rollback_to", "ROLLBACK TO job"};

/* The result code of a statement without parameters; its words kept. */
static int
run(struct sqlconn *c, const struct sql_text *t, int *rc)
{
	void *stmt = NULL;
	int err = engine_prepare(c, t, &stmt);

	*rc = SQLITE_NOMEM;
	if (err != 0)
		return err;
	*rc = sqlite3_step(((struct sqlite_stmt *)stmt)->stmt);
	err = note(c, *rc);
	engine_reset(c, stmt);
	return err;
}

static bool
engine_in_transaction(struct sqlconn *c)
{
	return sqlite3_get_autocommit(c->db) == 0;
}
static bool
engine_is_final(struct sqlconn *c)
{
	return c->final;
}

static void
engine_rollback(struct sqlconn *c)
{
	int rc;

	if (!engine_in_transaction(c))
		return;
	(void)run(c, &text_rollback, &rc);
	if (engine_in_transaction(c)) /* no memory for the statement: the connection is of no more use */
		c->final = true;
}

static int
engine_begin(struct sqlconn *c, bool write)
{
	int rc;

	return c->final ? ERR_IO : run(c, write ? &text_begin_write : &text_begin, &rc);
}

static int
engine_commit(struct sqlconn *c)
{
	int rc, err = run(c, &text_commit, &rc);

	if (err == 0)
		return 0;
	/* Its commit frame may have reached the disk or not. */
	if ((rc & 0xff) == SQLITE_IOERR && rc != SQLITE_IOERR_NOMEM)
		c->final = true;
	engine_rollback(c);
	return err;
}

static int
engine_savepoint(struct sqlconn *c)
{
	int rc;

	return run(c, &text_savepoint, &rc);
}

static int
engine_release(struct sqlconn *c)
{
	int rc;

	return run(c, &text_release, &rc);
}

static int
engine_rollback_to(struct sqlconn *c)
{
	int rc, err = run(c, &text_rollback_to, &rc);

	return err != 0 ? err : engine_release(c);
}

/* ---- the file ---------------------------------------------------------------------------------------------- */

static int
on_commit(void *arg, sqlite3 *db, const char *name, int frames)
{
	struct sqlconn *c = arg;

	(void)db;
	(void)name;
	c->frames = frames;
	return SQLITE_OK;
}

static bool
engine_checkpoint_due(struct sqlconn *c)
{
	if (c->frames < c->frames_checked) /* the WAL was begun anew */
		c->frames_checked = 0;
	if (c->frames - c->frames_checked < c->frames_max || c->final)
		return false;
	c->frames_checked = c->frames;
	return true;
}

static int
engine_checkpoint(struct sqlconn *c)
{
	int rc = c->final ? SQLITE_OK : sqlite3_wal_checkpoint_v2(c->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);

	return rc == SQLITE_BUSY ? 0 : note(c, rc); /* busy: a reader is there; next time */
}

static int
engine_sync(struct sqlconn *c)
{
	sqlite3_file *wal = NULL;
	int rc;

	if (c->final)
		return ERR_IO;
	rc = sqlite3_file_control(c->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
	if (rc != SQLITE_OK)
		return note(c, rc);
	if (wal == NULL || wal->pMethods == NULL) /* nothing was written since it was opened */
		return 0;
	rc = wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
	if (rc == SQLITE_OK)
		return 0;
	c->final = true;
	(void)snprintf(c->error, SQL_ERROR_MAX, "io: fsync of the write-ahead log failed [%d]", rc);
	return ERR_IO;
}

static int
engine_script(struct sqlconn *c, const char *sql)
{
	return note(c, sqlite3_exec(c->db, sql, NULL, NULL, NULL));
}

static int
count_of(struct sqlconn *c, const char *sql, const char *name, int64_t *n)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(c->db, sql, -1, &s, NULL);

	if (rc != SQLITE_OK)
		return note(c, rc);
	if (name != NULL)
		sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	rc = sqlite3_step(s);
	*n = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
	rc = sqlite3_finalize(s);
	return note(c, rc);
}

static int
engine_has_table(struct sqlconn *c, const char *name, bool *has)
{
	int64_t n = 0;
	int err = count_of(c, "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1", name, &n);

	*has = n != 0;
	return err;
}

static int
engine_is_empty(struct sqlconn *c, bool *empty)
{
	int64_t n = 0;
	int err = count_of(c, "SELECT COUNT(*) FROM sqlite_schema", NULL, &n);

	*empty = n == 0;
	return err;
}

static int
sync_path(const char *path, int flags)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | flags), err = 0;

	if (fd < 0)
		return err_from_errno(errno);
	if (fsync(fd) != 0)
		err = err_from_errno(errno);
	close(fd);
	return err;
}

/* The directory entry of a file. */
static int
sync_parent(const char *path)
{
	char dir[SQL_PATH_MAX];
	struct slice p = slice_z(path);
	size_t slash = slice_rfind_byte(p, '/');
	int err;

	if (slash == SLICE_NONE)
		return sync_path(".", O_DIRECTORY);
	err = slice_to_z(slice_head(p, slash == 0 ? 1 : slash), dir, sizeof(dir));
	return err != 0 ? err : sync_path(dir, O_DIRECTORY);
}

static int
engine_snapshot(struct sqlconn *c, const char *to)
{
	sqlite3_stmt *s = NULL;
	int err, rc = sqlite3_prepare_v2(c->db, "VACUUM INTO ?1", -1, &s, NULL);

	if (rc != SQLITE_OK)
		return note(c, rc);
	sqlite3_bind_text(s, 1, to, -1, SQLITE_STATIC);
	sqlite3_step(s);
	err = note(c, sqlite3_finalize(s));
	if (err == 0)
		err = sync_path(to, 0);
	return err != 0 ? err : sync_parent(to);
}

static int
copy_pages(struct sqlconn *c, sqlite3 *to)
{
	sqlite3_backup *b;
	int rc = sqlite3_exec(to, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;", NULL, NULL, NULL);

	if (rc != SQLITE_OK)
		return note(c, rc);
	if ((b = sqlite3_backup_init(to, "main", c->db, "main")) == NULL)
		return note(c, sqlite3_extended_errcode(to));
	rc = sqlite3_backup_step(b, -1);
	(void)sqlite3_backup_finish(b);
	return rc == SQLITE_DONE ? 0 : note(c, rc);
}

static int
engine_copy(struct sqlconn *c, const char *path)
{
	sqlite3 *to = NULL;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), err;

	if (fd < 0)
		return err_from_errno(errno);
	close(fd);
	err = note(c, sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));
	if (err == 0)
		err = copy_pages(c, to);
	sqlite3_close_v2(to);
	if (err != 0)
		(void)unlink(path);
	return err;
}

static int
engine_integrity(struct sqlconn *c, struct buf *out)
{
	sqlite3_stmt *s = NULL;
	int err, rc = sqlite3_prepare_v2(c->db, "PRAGMA integrity_check(20)", -1, &s, NULL);
	bool sound = true;

	while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		const char *text = (const char *)sqlite3_column_text(s, 0);

		rc = SQLITE_OK;
		if (text != NULL && strcmp(text, "ok") == 0)
			continue;
		sound = false;
		buf_printf(out, "%s\n", text == NULL ? "out of memory" : text);
	}
	err = note(c, rc);
	sqlite3_finalize(s);
	return err != 0 ? err : sound ? 0 : ERR_DAMAGED;
}

static void
engine_shrink(struct sqlconn *c)
{
	cache_free(c);
	sqlite3_db_release_memory(c->db);
}

/* ---- opening -------------------------------------------------------------------------------------------------- */

static int
set_up(struct sqlconn *c, const struct sql_open *o)
{
	const struct sqldb_config *k = o->config;
	char sql[512];
	int rc, keep = 1, wal_kib = k->wal_kib > 0 ? k->wal_kib : WAL_KIB;

	c->frames_max = wal_kib / FRAME_KIB;
	sqlite3_busy_timeout(c->db, k->loop != NULL ? BUSY_TIMEOUT_MS : 0);
	sqlite3_extended_result_codes(c->db, 1);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
	sqlite3_limit(c->db, SQLITE_LIMIT_ATTACHED, 1); /* VACUUM INTO needs one */
	/* EXCLUSIVE comes before the first look at the file: then WAL needs no shared memory. */
	(void)snprintf(sql, sizeof(sql),
	    "PRAGMA locking_mode = %s; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON;"
	    "PRAGMA cache_size = -%d; PRAGMA secure_delete = %s; PRAGMA journal_mode = WAL; PRAGMA synchronous = %s;"
	    "PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = %d;",
	    k->loop != NULL ? "NORMAL" : "EXCLUSIVE", k->cache_kib > 0 ? k->cache_kib : 2000,
	    k->secure_delete ? "ON" : "FAST", k->durability == SQL_FULL ? "FULL" : "NORMAL", wal_kib * 2048);
	rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_file_control(c->db, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
	if (rc == SQLITE_OK && !o->reader && k->loop != NULL && k->durability == SQL_FULL)
		sqlite_wal_ahead(c->db);
	if (rc == SQLITE_OK && o->reader)
		rc = sqlite3_exec(c->db, "PRAGMA query_only = ON", NULL, NULL, NULL);
	sqlite3_wal_hook(c->db, on_commit, c);
	return note(c, rc);
}

static void engine_close(struct sqlconn **c);

static int
engine_open(struct sqlconn **out, const struct sql_open *o, char *error)
{
	struct sqlconn *c = calloc(1, sizeof(*c));
	const char *vfs = sqlite_wal_vfs(o->config->vfs);
	bool fresh = access(o->config->path, F_OK) != 0;
	int err;

	*out = NULL;
	if (c == NULL)
		return ERR_NOMEM;
	c->error = error;
	err = note(c,
	    sqlite3_open_v2(o->config->path, &c->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (o->reader ? 0 : SQLITE_OPEN_CREATE),
		vfs != NULL ? vfs : o->config->vfs));
	if (err == 0)
		err = set_up(c, o);
	if (err == 0 && fresh)
		err = sync_parent(o->config->path);
	if (err != 0)
		engine_close(&c);
	*out = c;
	return err;
}

static void
engine_keep_log(struct sqlconn *c)
{
	(void)sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}

static void
engine_close(struct sqlconn **cp)
{
	struct sqlconn *c = *cp;

	*cp = NULL;
	cache_free(c);
	sqlite3_close_v2(c->db);
	free(c);
}

const struct sql_engine sqlite_engine = {
    .name = "sqlite",
    .open = engine_open,
    .keep_log = engine_keep_log,
    .close = engine_close,
    .begin = engine_begin,
    .commit = engine_commit,
    .is_final = engine_is_final,
    .rollback = engine_rollback,
    .savepoint = engine_savepoint,
    .release = engine_release,
    .rollback_to = engine_rollback_to,
    .in_transaction = engine_in_transaction,
    .prepare = engine_prepare,
    .stmt_writes = engine_stmt_writes,
    .bind = engine_bind,
    .step = engine_step,
    .reset = engine_reset,
    .changes = engine_changes,
    .col_int = engine_col_int,
    .col_bytes = engine_col_bytes,
    .col_null = engine_col_null,
    .script = engine_script,
    .has_table = engine_has_table,
    .is_empty = engine_is_empty,
    .snapshot = engine_snapshot,
    .copy = engine_copy,
    .integrity = engine_integrity,
    .checkpoint_due = engine_checkpoint_due,
    .checkpoint = engine_checkpoint,
    .sync = engine_sync,
    .shrink = engine_shrink,
};
