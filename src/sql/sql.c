/* sql.c: databases and transactions without regard to the engine: opening, the blocking calls, statements and
 * rows. The threads of sql_write() and sql_read() are in sql_group.c, migrations in sql_migrate.c.
 *
 * A struct sqldb owns its connections. What fails for good (a commit or fsync whose outcome nobody knows)
 * sticks in `failed`: from then on every call answers with it. */
#include "base/log.h"
#include "sql/sql_engine.h"

int
sql_note_error(struct sqldb *db, struct sqlconn *c, int err)
{
	const char *words = c == db->reader ? db->reader_error : db->writer_error;
	bool final;

	if (err >= 0)
		return err;
	final = db->engine->is_final(c);
	if (final)
		atomic_store(&db->failed, err);
	if (words[0] != '\0') {
		pthread_mutex_lock(&db->error_lock);
		memcpy(db->error, words, SQL_ERROR_MAX);
		pthread_mutex_unlock(&db->error_lock);
	}
	if (final || err == ERR_IO || err == ERR_DAMAGED || err == ERR_FULL)
		LOG(db->house, ERROR, "sql_failed", LOG_Z("database", db->path), LOG_E(err), LOG_Z("detail", words),
		    LOG_I("final", final));
	return err;
}

int
sqldb_failed(const struct sqldb *db)
{
	return atomic_load(&((struct sqldb *)(uintptr_t)db)->failed);
}

void
sqldb_last_error(struct sqldb *db, struct buf *out)
{
	pthread_mutex_lock(&db->error_lock);
	buf_put_z(out, db->error);
	pthread_mutex_unlock(&db->error_lock);
}

static void
explain_open(struct buf *detail, const struct sqldb_config *c, int err, const char *words)
{
	if (err == ERR_BUSY)
		buf_printf(detail, "%s is in use by another process: stop it first.", c->path);
	else if (err == ERR_DAMAGED)
		buf_printf(detail, "%s is damaged or no database (%s): restore it from a backup.", c->path, words);
	else
		buf_printf(detail, "cannot open %s: %s (%s).", c->path, err_text(err), words);
}

int
sqldb_open(struct sqldb **out, struct house *h, const struct sqldb_config *c, struct buf *detail)
{
	struct sqldb *db = calloc(1, sizeof(*db));
	struct sql_open o = {.house = h, .config = c};
	int err;

	*out = NULL;
	if (db == NULL)
		return ERR_NOMEM;
	db->house = h;
	db->loop = c->loop;
	db->engine = &sqlite_engine;
	db->path = strdup(c->path);
	pthread_mutex_init(&db->error_lock, NULL);
	if (db->path == NULL) {
		sqldb_close(&db);
		return ERR_NOMEM;
	}
	err = db->engine->open(&db->writer, &o, db->writer_error);
	if (err == 0)
		err = sql_migrate(db, c, detail);
	if (err == 0 && c->loop != NULL) {
		o.reader = true;
		err = db->engine->open(&db->reader, &o, db->reader_error);
	}
	if (err != 0) {
		if (detail->n == 0)
			explain_open(detail, c, err, db->reader_error[0] != '\0' ? db->reader_error : db->writer_error);
		sqldb_close(&db);
		return err;
	}
	*out = db;
	return 0;
}

static void
close_connection(struct sqldb *db, struct sqlconn **c)
{
	if (*c == NULL)
		return;
	if (sqldb_failed(db) != 0)
		db->engine->keep_log(*c);
	db->engine->close(c);
}

void
sqldb_close(struct sqldb **dbp)
{
	struct sqldb *db = *dbp;

	*dbp = NULL;
	if (db == NULL)
		return;
	if (db->started)
		sql_group_stop(db);
	close_connection(db, &db->reader);
	close_connection(db, &db->writer);
	pthread_mutex_destroy(&db->error_lock);
	free(db->path);
	free(db);
}

int
sqldb_start(struct sqldb *db)
{
	ASSERT(db->loop != NULL && !db->started);
	return sql_group_start(db);
}

void
sqldb_shrink(struct sqldb *db)
{
	ASSERT(!db->started);
	db->engine->shrink(db->writer);
}

/* ---- transactions ------------------------------------------------------------------------------- */

int
sql_call(struct sqldb *db, struct sqlconn *c, bool writable, sql_fn *fn, void *arg)
{
	struct sqltx tx = {.db = db, .engine = db->engine, .conn = c, .writable = writable};
	int err = fn(&tx, arg);

	for (size_t i = 0; i < SQL_OPEN_ROWS_MAX; i++)
		if (tx.open_rows[i] != NULL)
			db->engine->reset(c, tx.open_rows[i]);
	return err;
}

int
sql_run_write(struct sqldb *db, sql_fn *fn, void *arg)
{
	const struct sql_engine *e = db->engine;
	int result, err = sqldb_failed(db);

	if (err != 0)
		return err;
	err = e->begin(db->writer, true);
	if (err != 0)
		return sql_note_error(db, db->writer, err);
	result = sql_call(db, db->writer, true, fn, arg);
	if (result < 0) {
		e->rollback(db->writer);
		return result;
	}
	if (!e->in_transaction(db->writer)) /* fn swallowed an error that ended the transaction */
		return ERR_IO;
	err = e->commit(db->writer);
	return err != 0 ? sql_note_error(db, db->writer, err) : result;
}

int
sql_run_read(struct sqldb *db, struct sqlconn *c, sql_fn *fn, void *arg)
{
	int result, err = sqldb_failed(db);

	if (err != 0)
		return err;
	err = db->engine->begin(c, false);
	if (err != 0)
		return sql_note_error(db, c, err);
	result = sql_call(db, c, false, fn, arg);
	db->engine->rollback(c); /* nothing was written: ends the snapshot */
	return result;
}

int
sql_write_blocking(struct sqldb *db, sql_fn *fn, void *arg)
{
	int result;

	ASSERT(!db->started);
	result = sql_run_write(db, fn, arg);
	if (result >= 0 && db->engine->checkpoint_due(db->writer))
		(void)sql_note_error(db, db->writer, db->engine->checkpoint(db->writer));
	return result;
}

int
sql_read_blocking(struct sqldb *db, sql_fn *fn, void *arg)
{
	ASSERT(!db->started);
	return sql_run_read(db, db->writer, fn, arg);
}

int
sqldb_sync_blocking(struct sqldb *db)
{
	int err = sqldb_failed(db);

	ASSERT(!db->started);
	if (err != 0)
		return err;
	err = db->engine->sync(db->writer);
	return sql_note_error(db, db->writer, err);
}

/* ---- statements ------------------------------------------------------------------------------------- */

static int
check_values(const struct sql_value *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].kind == SQL_TEXT && !slice_is_utf8(v[i].s, true))
			return ERR_INVALID;
	return 0;
}

/* A bound statement, ready to step. */
static int
start(struct sqltx *tx, const struct sql_text *t, const struct sql_value *v, size_t n, bool keep, void **stmt)
{
	int err = check_values(v, n);

	if (err != 0)
		return err;
	err = tx->engine->prepare(tx->conn, t, stmt);
	if (err != 0)
		return sql_note_error(tx->db, tx->conn, err);
	ASSERT(tx->writable || !tx->engine->stmt_writes(*stmt));
	err = tx->engine->bind(tx->conn, *stmt, v, n, keep);
	if (err != 0)
		tx->engine->reset(tx->conn, *stmt);
	return sql_note_error(tx->db, tx->conn, err);
}

int
sql_exec(struct sqltx *tx, const struct sql_text *t, const struct sql_value *v, size_t n)
{
	void *stmt = NULL;
	int err = start(tx, t, v, n, false, &stmt);

	if (err != 0)
		return err;
	do
		err = tx->engine->step(tx->conn, stmt);
	while (err == 1);
	tx->engine->reset(tx->conn, stmt);
	return sql_note_error(tx->db, tx->conn, err);
}

int64_t
sql_changes(struct sqltx *tx)
{
	return tx->engine->changes(tx->conn);
}

int
sql_query(struct sqltx *tx, struct sql_rows *r, const struct sql_text *t, const struct sql_value *v, size_t n)
{
	int err;

	*r = (struct sql_rows){.tx = tx};
	for (size_t i = 0; i < SQL_OPEN_ROWS_MAX; i++) {
		if (tx->open_rows[i] != NULL)
			continue;
		err = start(tx, t, v, n, true, &r->stmt);
		if (err != 0)
			r->stmt = NULL;
		tx->open_rows[i] = r->stmt;
		return err;
	}
	return ERR_LIMIT;
}

int
sql_next(struct sql_rows *r)
{
	int err;

	if (r->stmt == NULL)
		return 0;
	err = r->tx->engine->step(r->tx->conn, r->stmt);
	if (err != 1)
		sql_done(r);
	return err < 0 ? sql_note_error(r->tx->db, r->tx->conn, err) : err;
}

void
sql_done(struct sql_rows *r)
{
	if (r->stmt == NULL)
		return;
	for (size_t i = 0; i < SQL_OPEN_ROWS_MAX; i++)
		if (r->tx->open_rows[i] == r->stmt)
			r->tx->open_rows[i] = NULL;
	r->tx->engine->reset(r->tx->conn, r->stmt);
	r->stmt = NULL;
}

int64_t
sql_col_int(struct sql_rows *r, int col)
{
	ASSERT(r->stmt != NULL);
	return r->tx->engine->col_int(r->stmt, col);
}

struct slice
sql_col_bytes(struct sql_rows *r, int col)
{
	ASSERT(r->stmt != NULL);
	return r->tx->engine->col_bytes(r->stmt, col);
}

bool
sql_col_null(struct sql_rows *r, int col)
{
	ASSERT(r->stmt != NULL);
	return r->tx->engine->col_null(r->stmt, col);
}

int
sql_copy(struct sqltx *tx, const char *to)
{
	return sql_note_error(tx->db, tx->conn, tx->engine->copy(tx->conn, to));
}

int
sql_integrity(struct sqltx *tx, struct buf *out)
{
	return sql_note_error(tx->db, tx->conn, tx->engine->integrity(tx->conn, out));
}
