/* sql.h: one interface to SQL, two engines (SQLite here; PostgreSQL is a second file behind the same
 * functions). Statements are written once with $1 parameters in tables; transactions are functions,
 * so that an engine may batch them (group commit) or repeat them (serialization failures).
 *
 * Two sides: `sqltx` calls block and run on a worker thread inside a transaction function; `sql_write` and
 * `sql_read` are called from fibers and wait. */
#ifndef SQL_SQL_H
#define SQL_SQL_H

#include "base/arena.h"
#include "base/buf.h"
#include "rt/fiber.h"

struct sqldb; /* an open database and the thread(s) that use it */
struct sqltx; /* inside a transaction function */

/* A statement: its text uses only what SQLite (STRICT tables) and PostgreSQL share, with $1 parameters. Static
 * data: the cache of prepared statements is keyed by its address. Rooms list theirs in ROOM_sql.def as
 * SQL_STATEMENT(name, "text"), and their migrations in ROOM_migrations.def as SQL_MIGRATION(number, "name", "sql"),
 * so that a test can prepare all of them on a real PostgreSQL. */
struct sql_text {
	const char *name;
	const char *text;
};

enum sql_kind { SQL_NULL, SQL_INT, SQL_TEXT, SQL_BLOB };
struct sql_value {
	enum sql_kind kind;
	int64_t i;
	struct slice s; /* TEXT must be valid UTF-8 without NUL: else ERR_INVALID, never a broken row */
};
#define SQLI(v) ((struct sql_value){.kind = SQL_INT, .i = (int64_t)(v)})
#define SQLT(v) ((struct sql_value){.kind = SQL_TEXT, .s = (v)})
#define SQLB(v) ((struct sql_value){.kind = SQL_BLOB, .s = (v)})
#define SQLN ((struct sql_value){.kind = SQL_NULL})

/* A numbered migration; `sql` may hold several statements. Written in the common dialect: column types
 * INTEGER, TEXT, BLOB (the PostgreSQL engine reads BIGINT, TEXT, BYTEA), tables end in STRICT. */
struct sql_migration {
	int number; /* 1, 2, … without gaps */
	const char *name;
	const char *sql;
};

enum sql_durability {
	SQL_FULL,  /* a commit survives power loss */
	SQL_NORMAL /* a commit survives the process; sqldb_sync() makes it survive power loss */
};

struct sqldb_config {
	struct loop *loop; /* NULL: only the blocking side is used (command line, tests) */
	const char *path;  /* of the SQLite file */
	const char *vfs;   /* NULL, or the name of a test VFS */
	enum sql_durability durability;
	const struct sql_migration *migrations;
	size_t migrations_count;
	const char *snapshot_dir; /* older data is copied here before it is migrated; NULL: beside the file */
	int cache_kib;            /* page cache of a connection; 0: 2000 */
	int wal_kib; /* a log of this length is written back to the database: what is deleted sooner never is; at most
	                             1000000; 0: 4000 */
	bool secure_delete; /* deleted content is overwritten with zeros (secrets); else only where that is free */
};

/* Opens (creates) and migrates. ERR_VERSION: newer data; ERR_DAMAGED; `detail` gets a sentence. Blocking. Without a
 * loop the one handle locks the database exclusively (no -shm file); with one, a second handle reads. Every
 * database has one writing process: a database locked by another is ERR_BUSY at once. */
NODISCARD int sqldb_open(struct sqldb **out, struct house *h, const struct sqldb_config *c, struct buf *detail);
/* Finishes what is queued, ends the threads, closes; sets *db to NULL. NULL is fine. */
void sqldb_close(struct sqldb **db);
/* Starts the threads of sql_write() and sql_read(); after the sandbox is entered. */
NODISCARD int sqldb_start(struct sqldb *db);
/* 0, or the error after which nothing works any more: a failed fsync or commit (ERR_IO). What was committed last
 * may or may not survive: the role stops and starts afresh. Any thread. */
int sqldb_failed(const struct sqldb *db);
/* Appends the engine's own words for the last error, for the log. Any thread. */
void sqldb_last_error(struct sqldb *db, struct buf *out);
/* Gives back the memory of page cache and prepared statements. From the thread that owns the database. */
void sqldb_shrink(struct sqldb *db);

typedef int sql_fn(struct sqltx *tx, void *arg);
/* From a fiber: runs fn in a write transaction on the database's thread and waits until it is committed (group
 * commit: concurrent calls share one commit; each is a savepoint, so one that fails with a negative result
 * is rolled back alone). Returns fn's negative result, or the commit's error. fn may run more than once
 * and must not touch the loop. Not interrupted by cancellation. */
NODISCARD int sql_write(struct sqldb *db, sql_fn *fn, void *arg);
/* The same for reading only: sees a consistent snapshot, waits for no commit. */
NODISCARD int sql_read(struct sqldb *db, sql_fn *fn, void *arg);
/* Blocking forms, from a thread that owns the database at the moment (no sqldb_start()). */
NODISCARD int sql_write_blocking(struct sqldb *db, sql_fn *fn, void *arg);
NODISCARD int sql_read_blocking(struct sqldb *db, sql_fn *fn, void *arg);
/* Makes all commits of a SQL_NORMAL database durable (design §3: xSync of the WAL). Blocking. A failed sync is
 * final: every later call fails with ERR_IO. */
NODISCARD int sqldb_sync_blocking(struct sqldb *db);

/* Inside a transaction function. Errors: ERR_EXISTS (a unique key), ERR_CONFLICT (another constraint), ERR_INVALID (text that
 * is not UTF-8 or contains NUL; a value of the wrong type), ERR_FULL, ERR_IO, ERR_DAMAGED, ERR_BUSY, ERR_LIMIT, ERR_NOMEM. After an
 * error fn should return it: the transaction is then rolled back. After ERR_EXISTS and ERR_CONFLICT it may go on. */
NODISCARD int sql_exec(struct sqltx *tx, const struct sql_text *t, const struct sql_value *v, size_t n);
#define SQL_EXEC(tx, t, ...) sql_exec((tx), (t), SQL_ARGS(__VA_ARGS__))
#define SQL_ARGS(...) \
	(const struct sql_value[]){__VA_ARGS__}, \
	    sizeof((const struct sql_value[]){__VA_ARGS__}) / sizeof(struct sql_value)
/* Rows changed by the last sql_exec. */
int64_t sql_changes(struct sqltx *tx);

/* Copies the database, as this transaction sees it, to the new file `to`: page by page, so that a part that has not changed lies
 * where it lay in an older copy. For reading transactions: ERR_BUSY in one that has written. ERR_EXISTS: there is such a
 * file; ERR_FULL. Not synced; on failure nothing is left. */
NODISCARD int sql_copy(struct sqltx *tx, const char *to);

/* Looks through the whole database: 0, or ERR_DAMAGED with the first things that are wrong in `out`, a line each. */
NODISCARD int sql_integrity(struct sqltx *tx, struct buf *out);

/* A running query. Up to 8 may be open at once in one transaction function. */
struct sql_rows {
	struct sqltx *tx;
	void *stmt;
};
/* The bytes of the values are copied; sql_exec() does not keep them beyond the call. */
NODISCARD int sql_query(
    struct sqltx *tx, struct sql_rows *r, const struct sql_text *t, const struct sql_value *v, size_t n);
#define SQL_QUERY(tx, r, t, ...) sql_query((tx), (r), (t), SQL_ARGS(__VA_ARGS__))
/* 1: a row is there; 0: no more (closed already); negative: an error (closed already). */
NODISCARD int sql_next(struct sql_rows *r);
/* Ends a query early; harmless after its end. */
void sql_done(struct sql_rows *r);
#define SQL_ROWS_CLEANUP __attribute__((cleanup(sql_done)))
int64_t sql_col_int(struct sql_rows *r, int col); /* 0 for NULL */
/* TEXT or BLOB, valid until the next sql_next; {NULL,0} for NULL. */
struct slice sql_col_bytes(struct sql_rows *r, int col);
bool sql_col_null(struct sql_rows *r, int col);

#endif
