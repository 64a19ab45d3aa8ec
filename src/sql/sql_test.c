/* Opening, statements, transactions, migrations and errors through the blocking side. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sql/sql.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const struct sql_migration migrations[] = {
    {1, "begin",
	"CREATE TABLE item (id INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL UNIQUE, body BLOB) STRICT;"
	"CREATE TABLE part (id INTEGER NOT NULL REFERENCES item (id), n INTEGER NOT NULL CHECK (n > 0)) STRICT"},
    {2, "more", "ALTER TABLE item ADD COLUMN extra TEXT"},
};
static const struct sql_text insert = {"insert", "INSERT INTO item (body, id, name) VALUES ($3, $1, $2)"};
static const struct sql_text get = {"get", "SELECT id, name, body FROM item WHERE id = $1"};
static const struct sql_text all = {"all", "SELECT id FROM item ORDER BY id"};
static const struct sql_text count = {"count", "SELECT COUNT(*) FROM item"};
static const struct sql_text insert_part = {"insert_part", "INSERT INTO part (id, n) VALUES ($1, $2)"};
static const struct sql_text erase = {"erase", "DELETE FROM item WHERE id >= $1"};
static const struct sql_text broken = {"broken", "SELECT FROM nothing"};

struct place {
	struct house house;
	char dir[64];
	char path[128];
	struct sqldb *db;
	struct buf detail;
};

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static struct sqldb_config
config_of(struct place *p, size_t n)
{
	return (struct sqldb_config){
	    .path = p->path, .durability = SQL_FULL, .migrations = migrations, .migrations_count = n, .cache_kib = 256};
}

static int
open_with(struct place *p, size_t n)
{
	struct sqldb_config c = config_of(p, n);

	buf_reset(&p->detail);
	return sqldb_open(&p->db, &p->house, &c, &p->detail);
}

static int
setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	house_init(&p->house, "test");
	p->house.log_level = LOG_ERROR + 1;
	buf_init(&p->detail, 4096);
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/ph-sql-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	(void)snprintf(p->path, sizeof(p->path), "%s/a.db", p->dir);
	assert_int_equal(open_with(p, COUNT_OF(migrations)), 0);
	*state = p;
	return 0;
}

static int
teardown(void **state)
{
	struct place *p = *state;

	sqldb_close(&p->db);
	buf_free(&p->detail);
	nftw(p->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(p);
	return 0;
}

static int
put(struct sqltx *tx, void *arg)
{
	int64_t id = *(int64_t *)arg;
	char name[32];

	(void)snprintf(name, sizeof(name), "n%lld", (long long)id);
	return SQL_EXEC(tx, &insert, SQLI(id), SQLT(slice_z(name)), SQLB(SLICE("\0\1\2")));
}

static int
count_fn(struct sqltx *tx, void *arg)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = sql_query(tx, &r, &count, NULL, 0);

	if (err != 0)
		return err;
	err = sql_next(&r);
	*(int64_t *)arg = err == 1 ? sql_col_int(&r, 0) : -1;
	return err < 0 ? err : 0;
}

static int64_t
items(struct place *p)
{
	int64_t n = -1;

	assert_int_equal(sql_read_blocking(p->db, count_fn, &n), 0);
	return n;
}

static int
read_back(struct sqltx *tx, void *arg)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};

	(void)arg;
	assert_int_equal(SQL_QUERY(tx, &r, &get, SQLI(7)), 0);
	assert_int_equal(sql_next(&r), 1);
	assert_int_equal(sql_col_int(&r, 0), 7);
	assert_true(slice_eq(sql_col_bytes(&r, 1), SLICE("n7")));
	assert_true(slice_eq(sql_col_bytes(&r, 2), SLICE("\0\1\2")));
	assert_int_equal(sql_next(&r), 0);
	assert_int_equal(sql_next(&r), 0);
	sql_done(&r);
	return 5;
}

static void
test_write_and_read(void **state)
{
	struct place *p = *state;
	int64_t id = 7;

	assert_int_equal(sql_write_blocking(p->db, put, &id), 0);
	assert_int_equal(sql_read_blocking(p->db, read_back, NULL), 5);
	assert_int_equal(items(p), 1);
	sqldb_close(&p->db);
	assert_int_equal(open_with(p, 2), 0);
	assert_int_equal(items(p), 1);
}

static int
put_then_fail(struct sqltx *tx, void *arg)
{
	int err = put(tx, arg);

	assert_int_equal(err, 0);
	return ERR_DENIED;
}

static int
put_twice(struct sqltx *tx, void *arg)
{
	int err = put(tx, arg);

	assert_int_equal(err, 0);
	assert_int_equal(put(tx, arg), ERR_EXISTS);
	return 0; /* a refused row does not spoil the rest */
}

static int
bad_part(struct sqltx *tx, void *arg)
{
	const int64_t *v = arg;

	return SQL_EXEC(tx, &insert_part, SQLI(v[0]), SQLI(v[1]));
}

static int
bad_statement(struct sqltx *tx, void *arg)
{
	(void)arg;
	return sql_exec(tx, &broken, NULL, 0);
}

static int
wrong_type(struct sqltx *tx, void *arg)
{
	(void)arg;
	return SQL_EXEC(tx, &insert, SQLI(5), SQLT(SLICE("x")), SQLT(SLICE("text in a blob")));
}

static void
test_errors_roll_back(void **state)
{
	struct place *p = *state;
	int64_t id = 1;
	struct buf words BUF_CLEANUP;

	buf_init(&words, 1024);
	assert_int_equal(sql_write_blocking(p->db, put_then_fail, &id), ERR_DENIED);
	assert_int_equal(items(p), 0);
	assert_int_equal(sql_write_blocking(p->db, put_twice, &id), 0);
	assert_int_equal(items(p), 1);
	assert_int_equal(sql_write_blocking(p->db, bad_part, (int64_t[]){1, 0}), ERR_CONFLICT);
	assert_int_equal(sql_write_blocking(p->db, bad_part, (int64_t[]){99, 1}), ERR_CONFLICT);
	assert_int_equal(sql_write_blocking(p->db, bad_part, (int64_t[]){1, 1}), 0);
	assert_int_equal(sql_write_blocking(p->db, wrong_type, NULL), ERR_INVALID);
	assert_int_equal(sql_write_blocking(p->db, bad_statement, NULL), ERR_INVALID);
	sqldb_last_error(p->db, &words);
	assert_true(slice_find(buf_slice(&words), SLICE("syntax error")) != SLICE_NONE);
	assert_int_equal(sqldb_failed(p->db), 0);
	assert_int_equal(items(p), 1);
}

static int
odd_values(struct sqltx *tx, void *arg)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};

	(void)arg;
	assert_int_equal(SQL_EXEC(tx, &insert, SQLI(1), SQLT(SLICE("\xff")), SQLN), ERR_INVALID);
	assert_int_equal(SQL_EXEC(tx, &insert, SQLI(1), SQLT(SLICE("a\0b")), SQLN), ERR_INVALID);
	assert_int_equal(SQL_EXEC(tx, &insert, SQLI(1), SQLT(SLICE("\xed\xa0\x80")), SQLN), ERR_INVALID);
	assert_int_equal(SQL_EXEC(tx, &insert, SQLI(1), SQLN, SQLN), ERR_CONFLICT);
	assert_int_equal(SQL_EXEC(tx, &insert, SQLI(1), SQLT(SLICE_EMPTY), SQLB(SLICE_EMPTY)), 0);
	assert_int_equal(SQL_EXEC(tx, &insert, SQLI(INT64_MIN), SQLT(SLICE("gr\xc3\xbc\xc3\x9f")), SQLN), 0);
	assert_int_equal(SQL_QUERY(tx, &r, &get, SQLI(1)), 0);
	assert_int_equal(sql_next(&r), 1);
	assert_int_equal(sql_col_bytes(&r, 1).n, 0);
	assert_false(sql_col_null(&r, 1));
	assert_non_null(sql_col_bytes(&r, 2).p);
	sql_done(&r);
	assert_int_equal(SQL_QUERY(tx, &r, &get, SQLI(INT64_MIN)), 0);
	assert_int_equal(sql_next(&r), 1);
	assert_int_equal(sql_col_int(&r, 0), INT64_MIN);
	assert_true(sql_col_null(&r, 2));
	assert_null(sql_col_bytes(&r, 2).p);
	return 0;
}

static void
test_values(void **state)
{
	struct place *p = *state;

	assert_int_equal(sql_write_blocking(p->db, odd_values, NULL), 0);
}

static int
many_rows_open(struct sqltx *tx, void *arg)
{
	struct sql_rows r[9];

	(void)arg;
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(sql_query(tx, &r[i], &all, NULL, 0), 0);
		for (size_t k = 0; k <= i; k++) {
			assert_int_equal(sql_next(&r[i]), 1);
			assert_int_equal(sql_col_int(&r[i], 0), (int64_t)k);
		}
	}
	assert_int_equal(sql_query(tx, &r[8], &all, NULL, 0), ERR_LIMIT);
	assert_int_equal(sql_next(&r[8]), 0);
	sql_done(&r[8]);
	sql_done(&r[3]);
	assert_int_equal(sql_query(tx, &r[8], &all, NULL, 0), 0);
	assert_int_equal(sql_next(&r[8]), 1);
	return 0; /* the rest is closed behind us */
}

static int
put_many(struct sqltx *tx, void *arg)
{
	int err = 0;

	for (int64_t i = 0; err == 0 && i < *(int64_t *)arg; i++)
		err = put(tx, &i);
	return err;
}

static int
erase_from(struct sqltx *tx, void *arg)
{
	int err = SQL_EXEC(tx, &erase, SQLI(*(int64_t *)arg));

	return err != 0 ? err : (int)sql_changes(tx);
}

static void
test_open_rows(void **state)
{
	struct place *p = *state;
	int64_t n = 20, from = 15;

	assert_int_equal(sql_write_blocking(p->db, put_many, &n), 0);
	assert_int_equal(sql_read_blocking(p->db, many_rows_open, NULL), 0);
	assert_int_equal(sql_write_blocking(p->db, many_rows_open, NULL), 0);
	assert_int_equal(sql_write_blocking(p->db, erase_from, &from), 5);
	sqldb_shrink(p->db);
	assert_int_equal(items(p), 15);
}

static void
test_ten_thousand(void **state)
{
	struct place *p = *state;
	int64_t n = 10000;

	assert_int_equal(sql_write_blocking(p->db, put_many, &n), 0);
	for (int64_t id = n; id < n + 100; id++)
		assert_int_equal(sql_write_blocking(p->db, put, &id), 0);
	assert_int_equal(items(p), n + 100);
}

/* A process that ends in the middle of a transaction leaves what was committed. */
static void
test_killed_writer(void **state)
{
	struct place *p = *state;
	int64_t n = 10;
	int status;
	pid_t pid;

	sqldb_close(&p->db);
	pid = fork();
	if (pid == 0) {
		if (open_with(p, 2) != 0 || sql_write_blocking(p->db, put_many, &n) != 0)
			_exit(1);
		_exit(0); /* without closing */
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(open_with(p, 2), 0);
	assert_int_equal(items(p), 10);
}

static void
test_second_process_is_refused(void **state)
{
	struct place *p = *state;
	struct sqldb *other = NULL;
	struct sqldb_config c = config_of(p, 2);

	buf_reset(&p->detail);
	assert_int_equal(sqldb_open(&other, &p->house, &c, &p->detail), ERR_BUSY);
	assert_null(other);
	assert_true(slice_find(buf_slice(&p->detail), SLICE("in use")) != SLICE_NONE);
}

/* Files beside the database that are neither it nor its WAL. */
static size_t
snapshots(struct place *p)
{
	DIR *d = opendir(p->dir);
	size_t n = 0;

	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		n += slice_starts(slice_z(e->d_name), SLICE("a.db-1-"));
	closedir(d);
	return n;
}

static void
test_migrations(void **state)
{
	struct place *p = *state;
	struct sql_migration changed[2] = {migrations[0], migrations[1]};
	struct sqldb_config c = config_of(p, 2);
	char wal[160];
	int64_t id = 1;

	sqldb_close(&p->db);
	(void)unlink(p->path);
	(void)snprintf(wal, sizeof(wal), "%s-wal", p->path);
	(void)unlink(wal);
	assert_int_equal(open_with(p, 1), 0);
	assert_int_equal(sql_write_blocking(p->db, put, &id), 0);
	sqldb_close(&p->db);
	assert_int_equal(snapshots(p), 0);
	assert_int_equal(open_with(p, 2), 0); /* brought up to date, after a copy */
	assert_int_equal(snapshots(p), 1);
	assert_int_equal(items(p), 1);
	sqldb_close(&p->db);
	assert_int_equal(open_with(p, 1), ERR_VERSION);
	assert_true(slice_find(buf_slice(&p->detail), SLICE("newer version")) != SLICE_NONE);
	changed[1].sql = "ALTER TABLE item ADD COLUMN other TEXT";
	c.migrations = changed;
	buf_reset(&p->detail);
	assert_int_equal(sqldb_open(&p->db, &p->house, &c, &p->detail), ERR_VERSION);
	assert_int_equal(open_with(p, 2), 0);
	assert_int_equal(items(p), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_write_and_read, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_errors_roll_back, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_values, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_open_rows, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_ten_thousand, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_killed_writer, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_second_process_is_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_migrations, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
