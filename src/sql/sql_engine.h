/* sql_engine.h: what an engine (sqlite.c, later PostgreSQL) provides to sql.c. Private to the room. A connection
 * is used by one thread at a time; every function blocks. Results are those of sql.h. */
#ifndef SQL_SQL_ENGINE_H
#define SQL_SQL_ENGINE_H

#include "sql/sql.h"

#include <pthread.h>

struct sqlconn; /* one connection; each engine defines its own */

#define SQL_ERROR_MAX 512
#define SQL_OPEN_ROWS_MAX 8
#define SQL_PATH_MAX 4096

struct sql_open {
	struct house *house;
	const struct sqldb_config *config;
	bool reader; /* a second connection, that only reads */
};

struct sql_engine {
	const char *name;
	/* `error` is where the connection leaves the words for its last failure: SQL_ERROR_MAX bytes. */
	int (*open)(struct sqlconn **out, const struct sql_open *o, char *error);
	/* Closing it shall leave the log as it is: what of it is on the disk is unknown, and whoever opens it next reads it with care. */
	void (*keep_log)(struct sqlconn *c);
	void (*close)(struct sqlconn **c);
	int (*begin)(struct sqlconn *c, bool write);
	int (*commit)(struct sqlconn *c);
	/* True after a failure that leaves unknown what is durable (fsync, commit): nothing may be written any more. */
	bool (*is_final)(struct sqlconn *c);
	void (*rollback)(struct sqlconn *c);
	int (*savepoint)(struct sqlconn *c);
	int (*release)(struct sqlconn *c);
	int (*rollback_to)(struct sqlconn *c); /* and release */
	/* False when an error has ended the transaction by itself. */
	bool (*in_transaction)(struct sqlconn *c);
	int (*prepare)(struct sqlconn *c, const struct sql_text *t, void **stmt);
	bool (*stmt_writes)(void *stmt);
	/* keep: copy the bytes of values. */
	int (*bind)(struct sqlconn *c, void *stmt, const struct sql_value *v, size_t n, bool keep);
	int (*step)(struct sqlconn *c, void *stmt); /* 1 row, 0 end, negative */
	void (*reset)(struct sqlconn *c, void *stmt);
	int64_t (*changes)(struct sqlconn *c);
	int64_t (*col_int)(void *stmt, int col);
	struct slice (*col_bytes)(void *stmt, int col);
	bool (*col_null)(void *stmt, int col);
	/* Several statements of a migration, in the common dialect. */
	int (*script)(struct sqlconn *c, const char *sql);
	int (*has_table)(struct sqlconn *c, const char *name, bool *has);
	int (*is_empty)(struct sqlconn *c, bool *empty); /* no tables at all */
	int (*snapshot)(struct sqlconn *c, const char *to);
	/* Inside a transaction: page by page, so that what has not changed lies where it lay in an older copy. */
	int (*copy)(struct sqlconn *c, const char *to);
	int (*integrity)(struct sqlconn *c, struct buf *out);
	/* After a commit was answered: whether the log is long enough (true once), and bringing it into the database as far as others let it;
	 * any connection may. */
	bool (*checkpoint_due)(struct sqlconn *writer);
	int (*checkpoint)(struct sqlconn *c);
	int (*sync)(struct sqlconn *c);
	void (*shrink)(struct sqlconn *c);
};

extern const struct sql_engine sqlite_engine;

struct sqltx {
	struct sqldb *db;
	const struct sql_engine *engine;
	struct sqlconn *conn;
	bool writable;
	void *open_rows[SQL_OPEN_ROWS_MAX];
};

/* A queued call of sql_write() or sql_read(); lies on the waiting fiber's stack. */
struct sql_job {
	struct sql_job *next;
	sql_fn *fn;
	void *arg;
	int result;
	bool finished; /* has its result; does not run again in this batch */
	bool woken;    /* on the loop's thread: the caller may go on */
	struct fiber *fiber;
	struct loop_job post;
};

/* A thread with a queue of jobs: the writer takes all that wait, the reader one by one. */
struct sql_thread {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct sql_job *first, **last;
	bool running, stop;
};

struct sqldb {
	struct house *house;
	struct loop *loop;
	const struct sql_engine *engine;
	struct sqlconn *writer, *reader; /* reader: NULL without a loop */
	char *path;                      /* for the log */
	_Atomic int failed;
	bool started;
	struct sql_thread write_thread, read_thread;
	struct {
		struct sql_job job; /* in the reader's queue, or nowhere */
		bool asked;         /* of the writer's thread */
		_Atomic bool done;
	} checkpoint;
	pthread_mutex_t error_lock;
	char error[SQL_ERROR_MAX];        /* the last failure's words, under error_lock */
	char writer_error[SQL_ERROR_MAX]; /* the connections' own, each on its thread */
	char reader_error[SQL_ERROR_MAX];
};

/* sql.c, for the other files of the room: */

/* Remembers (and logs, where the operator should know) what happened; makes final failures stick. Returns err. */
int sql_note_error(struct sqldb *db, struct sqlconn *c, int err);
/* Runs fn and closes what rows it left open. */
int sql_call(struct sqldb *db, struct sqlconn *c, bool writable, sql_fn *fn, void *arg);
/* One transaction of one function. */
int sql_run_write(struct sqldb *db, sql_fn *fn, void *arg);
int sql_run_read(struct sqldb *db, struct sqlconn *c, sql_fn *fn, void *arg);

/* sql_group.c */
int sql_group_start(struct sqldb *db);
void sql_group_stop(struct sqldb *db);

/* sql_migrate.c: brings the schema up to date on the writer. */
int sql_migrate(struct sqldb *db, const struct sqldb_config *c, struct buf *detail);

#endif
