/* Power cuts and broken disks: what was acknowledged is there afterwards, whatever became of the rest. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sql/sql.h"
#include "sql/testvfs.h"

#include <ftw.h>
#include <sys/stat.h>

static const struct sql_migration migrations[] = {
    {1, "begin", "CREATE TABLE item (id INTEGER NOT NULL PRIMARY KEY, body BLOB NOT NULL) STRICT"},
};
static const struct sql_text insert = {"insert", "INSERT INTO item (id, body) VALUES ($1, $2)"};
static const struct sql_text all = {"all", "SELECT id, body FROM item ORDER BY id"};

struct place {
	struct house house;
	char dir[64], path[128];
	struct testvfs *vfs;
	struct sqldb *db;
};

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int
open_db(struct place *p, enum sql_durability durability)
{
	struct sqldb_config c = {.path = p->path,
	    .vfs = "cut",
	    .durability = durability,
	    .migrations = migrations,
	    .migrations_count = 1,
	    .cache_kib = 64};
	struct buf detail BUF_CLEANUP;

	buf_init(&detail, 4096);
	return sqldb_open(&p->db, &p->house, &c, &detail);
}

static void
begin(struct place *p, uint64_t seed, enum sql_durability durability)
{
	*p = (struct place){0};
	house_init(&p->house, "test");
	p->house.log_level = LOG_ERROR + 1;
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/ph-power-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	(void)snprintf(p->path, sizeof(p->path), "%s/a.db", p->dir);
	assert_int_equal(testvfs_new(&p->vfs, "cut", seed), 0);
	assert_int_equal(open_db(p, durability), 0);
}

static void
end(struct place *p)
{
	sqldb_close(&p->db);
	testvfs_free(&p->vfs);
	nftw(p->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* A row's body follows from its id, some over several pages. */
static void
body_of(int64_t id, uint8_t *body, size_t *n)
{
	*n = (size_t)(id * 37 % 9000) + 1;
	memset(body, (int)(id & 0xff), *n);
}

static int
put(struct sqltx *tx, void *arg)
{
	int64_t id = *(int64_t *)arg;
	uint8_t body[9001];
	size_t n;

	body_of(id, body, &n);
	return SQL_EXEC(tx, &insert, SQLI(id), SQLB(slice_of(body, n)));
}

/* Every row whole, ids 0, 1, 2 … without a gap; how many. */
static int
check_all(struct sqltx *tx, void *arg)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int64_t *n = arg;
	uint8_t body[9001];
	size_t body_n;
	int err = sql_query(tx, &r, &all, NULL, 0);

	assert_int_equal(err, 0);
	for (*n = 0; (err = sql_next(&r)) == 1; ++*n) {
		assert_int_equal(sql_col_int(&r, 0), *n);
		body_of(*n, body, &body_n);
		assert_true(slice_eq(sql_col_bytes(&r, 1), slice_of(body, body_n)));
	}
	return err;
}

static int64_t
rows(struct place *p)
{
	int64_t n = -1;

	assert_int_equal(sql_read_blocking(p->db, check_all, &n), 0);
	return n;
}

static void
cut_and_reopen(struct place *p, enum testvfs_cut how, enum sql_durability durability)
{
	assert_int_equal(testvfs_cut(p->vfs, how), 0);
	sqldb_close(&p->db);
	assert_int_equal(open_db(p, durability), 0);
}

/* A day of 600 commits and some checkpoints, cut just before one of its syncs. */
static void
full_day(enum testvfs_cut how, uint64_t sync, bool *reached)
{
	struct place p;
	int64_t acknowledged = 0, n;

	begin(&p, sync, SQL_FULL);
	testvfs_power_off_at_sync(p.vfs, sync);
	for (int64_t id = 0; id < 600 && !testvfs_is_off(p.vfs); id++)
		acknowledged += sql_write_blocking(p.db, put, &id) == 0;
	*reached = testvfs_is_off(p.vfs);
	cut_and_reopen(&p, how, SQL_FULL);
	n = rows(&p);
	assert_true(n == acknowledged || n == acknowledged + 1); /* the one under way may have arrived */
	for (int64_t id = n; id < n + 5; id++)
		assert_int_equal(sql_write_blocking(p.db, put, &id), 0);
	assert_int_equal(rows(&p), n + 5);
	end(&p);
}

static void
test_full_survives(void **state)
{
	bool reached = true;

	(void)state;
	/* each of the first syncs, then by strides through commits and checkpoints */
	for (uint64_t sync = 1; reached; sync += sync < 12 ? 1 : 13) {
		full_day(TESTVFS_DROP, sync, &reached);
		full_day(TESTVFS_TEAR, sync, &reached);
	}
}

/* NORMAL: what was there at the last sync survives; the database is whole, with a prefix of the commits. */
static void
test_normal_and_sync(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		struct place p;
		int64_t synced = 0, n, total = (int64_t)(seed * 40);

		begin(&p, seed, SQL_NORMAL);
		for (int64_t id = 0; id < total; id++) {
			assert_int_equal(sql_write_blocking(p.db, put, &id), 0);
			if (id % 17 == 0) {
				assert_int_equal(sqldb_sync_blocking(p.db), 0);
				synced = id + 1;
			}
		}
		cut_and_reopen(&p, seed % 2 == 0 ? TESTVFS_DROP : TESTVFS_TEAR, SQL_NORMAL);
		n = rows(&p);
		assert_in_range(n, synced, total);
		end(&p);
	}
}

static void
test_power_off_at_once(void **state)
{
	struct place p;
	int64_t id = 0;

	(void)state;
	begin(&p, 1, SQL_NORMAL);
	assert_int_equal(sql_write_blocking(p.db, put, &id), 0);
	cut_and_reopen(&p, TESTVFS_DROP, SQL_NORMAL); /* even the schema was perhaps not synced: it is made again */
	assert_in_range(rows(&p), 0, 1);
	end(&p);
}

static void
test_failed_sync_is_final(void **state)
{
	struct place p;
	uint64_t syncs;
	int64_t id = 0;

	(void)state;
	begin(&p, 1, SQL_FULL);
	assert_int_equal(sql_write_blocking(p.db, put, &id), 0);
	testvfs_fail(p.vfs, TESTVFS_SYNC_ERROR, 1, 0);
	id = 1;
	assert_int_equal(sql_write_blocking(p.db, put, &id), ERR_IO);
	assert_int_equal(sqldb_failed(p.db), ERR_IO);
	assert_int_equal(sql_write_blocking(p.db, put, &id), ERR_IO); /* though the disk would work again */
	cut_and_reopen(&p, TESTVFS_DROP, SQL_FULL);
	assert_int_equal(rows(&p), 1);
	end(&p);
	begin(&p, 1, SQL_NORMAL);
	id = 0;
	assert_int_equal(sql_write_blocking(p.db, put, &id), 0);
	testvfs_fail(p.vfs, TESTVFS_SYNC_ERROR, 1, 0);
	assert_int_equal(sqldb_sync_blocking(p.db), ERR_IO);
	assert_int_equal(sqldb_sync_blocking(p.db), ERR_IO);
	id = 1;
	assert_int_equal(sql_write_blocking(p.db, put, &id), ERR_IO);
	syncs = testvfs_syncs(p.vfs);
	sqldb_close(&p.db); /* the log stays as it is: nothing of it goes into the database after another sync */
	assert_int_equal(testvfs_syncs(p.vfs), syncs);
	assert_int_equal(open_db(&p, SQL_NORMAL), 0);
	assert_int_equal(rows(&p), 1);
	end(&p);
}

/* A full disk refuses and keeps what was there; with room again work goes on. */
static void
test_full_disk(void **state)
{
	(void)state;
	for (uint64_t nth = 1; nth < 8; nth++) {
		struct place p;
		int64_t id = 0;

		begin(&p, 1, SQL_FULL);
		assert_int_equal(sql_write_blocking(p.db, put, &id), 0);
		id = 200; /* several pages */
		testvfs_fail(p.vfs, TESTVFS_WRITE_FULL, nth, 1);
		if (sql_write_blocking(p.db, put, &id) == 0) {
			end(&p);
			break;
		}
		assert_int_equal(sqldb_failed(p.db), 0);
		testvfs_fail(p.vfs, TESTVFS_NO_FAULT, 0, 0);
		for (id = 1; id < 20; id++)
			assert_int_equal(sql_write_blocking(p.db, put, &id), 0);
		cut_and_reopen(&p, TESTVFS_DROP, SQL_FULL);
		assert_int_equal(rows(&p), 20);
		end(&p);
	}
}

static void
test_write_error(void **state)
{
	struct place p;
	int64_t id = 0;

	(void)state;
	begin(&p, 1, SQL_FULL);
	assert_int_equal(sql_write_blocking(p.db, put, &id), 0);
	id = 1;
	testvfs_fail(p.vfs, TESTVFS_WRITE_ERROR, 1, 0);
	assert_int_equal(sql_write_blocking(p.db, put, &id), ERR_IO);
	cut_and_reopen(&p, TESTVFS_TEAR, SQL_FULL);
	assert_int_equal(rows(&p), 1);
	end(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_full_survives),
	    cmocka_unit_test(test_normal_and_sync),
	    cmocka_unit_test(test_power_off_at_once),
	    cmocka_unit_test(test_failed_sync_is_final),
	    cmocka_unit_test(test_full_disk),
	    cmocka_unit_test(test_write_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
