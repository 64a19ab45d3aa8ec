/* The joined writes of a log: transactions that spill, are rolled back, fail and are cut off leave what SQLite promises. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sql/sqlite_wal.h"
#include "sql/testvfs.h"

#include "base/slice.h"

#include <ftw.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define SPILL_ROWS 300 /* of 3000 bytes: many times the cache, and several times what is joined */

struct place {
	char dir[64], path[128];
	struct testvfs *vfs;
	sqlite3 *db;
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
run(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static void
must(sqlite3 *db, const char *sql)
{
	int rc = run(db, sql);

	if (rc != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
}

static sqlite3 *
connect_to(struct place *p, bool alone, bool full)
{
	sqlite3 *db = NULL;
	char sql[256];

	assert_int_equal(
	    sqlite3_open_v2(p->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, sqlite_wal_vfs("cut")),
	    SQLITE_OK);
	(void)snprintf(sql, sizeof(sql),
	    "PRAGMA locking_mode = %s; PRAGMA cache_size = 8; PRAGMA cache_spill = 8; PRAGMA temp_store = MEMORY;"
	    "PRAGMA journal_mode = WAL; PRAGMA synchronous = %s; PRAGMA wal_autocheckpoint = 0",
	    alone ? "EXCLUSIVE" : "NORMAL", full ? "FULL" : "NORMAL");
	must(db, sql);
	return db;
}

static void
begin(struct place *p, bool alone, bool full, uint64_t seed)
{
	*p = (struct place){0};
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/ph-wal-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	(void)snprintf(p->path, sizeof(p->path), "%s/a.db", p->dir);
	assert_int_equal(testvfs_new(&p->vfs, "cut", seed), 0);
	p->db = connect_to(p, alone, full);
	must(p->db, "CREATE TABLE item (id INTEGER PRIMARY KEY, body BLOB NOT NULL)");
}

static void
end(struct place *p)
{
	assert_int_equal(sqlite3_close(p->db), SQLITE_OK);
	testvfs_free(&p->vfs);
	(void)nftw(p->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Rows from..from+n-1; their bodies follow from their ids. */
static int
insert(sqlite3 *db, int from, int n)
{
	char sql[256];

	(void)snprintf(sql, sizeof(sql),
	    "WITH RECURSIVE c(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM c WHERE i < %d)"
	    " INSERT INTO item SELECT i, CAST(printf('%%.*c', 3000, char(65 + i %% 26)) AS BLOB) FROM c",
	    from, from + n - 1);
	return run(db, sql);
}

static int
count_of(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *s = NULL;
	int n;

	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	n = sqlite3_column_int(s, 0);
	assert_int_equal(sqlite3_finalize(s), SQLITE_OK);
	return n;
}

/* How many rows there are; all of them are whole, and so is the database. */
static int
rows(sqlite3 *db)
{
	assert_int_equal(count_of(db, "SELECT COUNT(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
	assert_int_equal(count_of(db,
			     "SELECT COUNT(*) FROM item WHERE"
			     " body <> CAST(printf('%.*c', 3000, char(65 + id % 26)) AS BLOB)"),
	    0);
	return count_of(db, "SELECT COUNT(*) FROM item");
}

/* What another process would find: the files are opened anew, without a clean end. */
static int
rows_after_cut(struct place *p, enum testvfs_cut how, bool alone, bool full)
{
	assert_int_equal(testvfs_cut(p->vfs, how), 0);
	(void)sqlite3_close(p->db);
	p->db = connect_to(p, alone, full);
	return rows(p->db);
}

static void
test_spill(void **state)
{
	(void)state;
	for (int alone = 0; alone < 2; alone++) {
		struct place p;

		begin(&p, alone != 0, true, 1);
		must(p.db, "BEGIN IMMEDIATE");
		assert_int_equal(insert(p.db, 0, SPILL_ROWS), SQLITE_OK);
		assert_int_equal(rows(p.db), SPILL_ROWS); /* reads what has spilled */
		must(p.db, "ROLLBACK");
		assert_int_equal(rows(p.db), 0);
		must(p.db, "BEGIN IMMEDIATE");
		assert_int_equal(insert(p.db, 0, 10), SQLITE_OK);
		must(p.db, "SAVEPOINT a");
		assert_int_equal(insert(p.db, 10, SPILL_ROWS), SQLITE_OK);
		must(p.db, "ROLLBACK TO a; RELEASE a; SAVEPOINT b");
		assert_int_equal(insert(p.db, 10, 40), SQLITE_OK);
		must(p.db, "RELEASE b; UPDATE item SET body = CAST(printf('%.*c', 3000, char(65 + id % 26)) AS BLOB)");
		must(p.db, "COMMIT");
		assert_int_equal(rows(p.db), 50);
		assert_int_equal(rows_after_cut(&p, TESTVFS_DROP, alone != 0, true), 50);
		end(&p);
	}
}

/* The other connection sees each commit when COMMIT has returned, and nothing sooner; through restarts of the log. */
static void
test_reader(void **state)
{
	struct place p;
	sqlite3 *reader;
	int n = 0;

	(void)state;
	begin(&p, false, false, 1);
	reader = connect_to(&p, false, false);
	for (int i = 0; i < 40; i++) {
		int more = i % 8 == 7 ? 60 : 1 + i % 3;

		must(p.db, "BEGIN IMMEDIATE");
		assert_int_equal(insert(p.db, n, more), SQLITE_OK);
		assert_int_equal(count_of(reader, "SELECT COUNT(*) FROM item"), n);
		must(p.db, i % 5 == 4 ? "ROLLBACK" : "COMMIT");
		n += i % 5 == 4 ? 0 : more;
		assert_int_equal(rows(reader), n);
		if (i % 10 == 3)
			must(p.db, "PRAGMA wal_checkpoint(PASSIVE)");
		if (i % 10 == 6)
			must(p.db, "PRAGMA wal_checkpoint(RESTART)");
		if (i % 10 == 9)
			must(p.db, "PRAGMA wal_checkpoint(TRUNCATE)");
	}
	assert_int_equal(sqlite3_close(reader), SQLITE_OK);
	end(&p);
}

/* The n-th write fails, once or for a while: the transaction in which that happens is refused, the others are kept. */
static bool
fail_at(enum testvfs_fault fault, uint64_t nth, int lasting, bool alone, bool spill)
{
	struct place p;
	bool failed;

	begin(&p, alone, true, 1);
	assert_int_equal(insert(p.db, 0, 5), SQLITE_OK);
	testvfs_fail(p.vfs, fault, nth, lasting);
	must(p.db, "BEGIN IMMEDIATE");
	failed = insert(p.db, 5, spill ? SPILL_ROWS : 3) != SQLITE_OK || run(p.db, "COMMIT") != SQLITE_OK;
	testvfs_fail(p.vfs, TESTVFS_NO_FAULT, 0, 0);
	if (sqlite3_get_autocommit(p.db) == 0)
		must(p.db, "ROLLBACK");
	if (failed) {
		assert_int_equal(rows(p.db), 5);
		assert_int_equal(insert(p.db, 5, 1), SQLITE_OK); /* it was that commit's error */
		assert_int_equal(insert(p.db, 6, SPILL_ROWS), SQLITE_OK);
		assert_int_equal(rows(p.db), SPILL_ROWS + 6);
		assert_int_equal(rows_after_cut(&p, TESTVFS_TEAR, alone, true), SPILL_ROWS + 6);
	}
	end(&p);
	return failed;
}

static void
test_write_errors(void **state)
{
	(void)state;
	for (int how = 0; how < 16; how++) {
		enum testvfs_fault fault = how & 1 ? TESTVFS_WRITE_FULL : TESTVFS_WRITE_ERROR;
		uint64_t n = 1;

		while (fail_at(fault, n, (how & 2) != 0, (how & 4) != 0, (how & 8) != 0))
			n += n < 4 ? 1 : 5;
		assert_true(n > 1);
	}
}

/* A read that cannot write first what waits fails; the transaction goes on, and then its commit has all of it or fails. */
static void
test_error_while_reading(void **state)
{
	(void)state;
	for (int lasting = 0; lasting < 2; lasting++)
		for (int extra = 1; extra < 40; extra += 3) {
			struct place p;
			int rc;

			begin(&p, true, false, 1);
			assert_int_equal(insert(p.db, 0, 5), SQLITE_OK);
			must(p.db, "BEGIN IMMEDIATE; SAVEPOINT job");
			assert_int_equal(insert(p.db, 5, 20 + extra), SQLITE_OK);
			must(p.db, "RELEASE job; SAVEPOINT job");
			testvfs_fail(p.vfs, TESTVFS_WRITE_FULL, 1, lasting);
			(void)run(p.db, "SELECT SUM(LENGTH(body)) FROM item");
			rc = sqlite3_get_autocommit(p.db) != 0 ? SQLITE_FULL
							       : run(p.db, "ROLLBACK TO job; RELEASE job; COMMIT");
			testvfs_fail(p.vfs, TESTVFS_NO_FAULT, 0, 0);
			if (sqlite3_get_autocommit(p.db) == 0)
				must(p.db, "ROLLBACK");
			assert_int_equal(rows(p.db), rc == SQLITE_OK ? 25 + extra : 5);
			/* the log as a process that comes after a crash reads it */
			must(p.db, "PRAGMA synchronous = FULL");
			assert_int_equal(insert(p.db, 1000, 1), SQLITE_OK);
			assert_int_equal(
			    rows_after_cut(&p, TESTVFS_DROP, true, true), rc == SQLITE_OK ? 26 + extra : 6);
			end(&p);
		}
}

/* Small and spilling transactions, rollbacks and checkpoints; the power goes at a sync. */
static bool
cut_at(uint64_t sync, enum testvfs_cut how, bool alone)
{
	struct place p;
	int acknowledged = 0, more = 0, n;
	bool reached;

	begin(&p, alone, true, sync);
	testvfs_power_off_at_sync(p.vfs, sync);
	for (int i = 0; i < 24 && !testvfs_is_off(p.vfs); i++) {
		more = i % 6 == 5 ? 50 : 1 + i % 4;
		if (run(p.db, "BEGIN IMMEDIATE") != SQLITE_OK)
			break;
		if (i % 4 == 2 && insert(p.db, 5000, 40) == SQLITE_OK) {
			must(p.db, "ROLLBACK; BEGIN IMMEDIATE");
		}
		if (insert(p.db, acknowledged, more) != SQLITE_OK || run(p.db, "COMMIT") != SQLITE_OK)
			break;
		acknowledged += more;
		more = 0;
		if (i % 7 == 6)
			(void)run(
			    p.db, i % 2 == 0 ? "PRAGMA wal_checkpoint(PASSIVE)" : "PRAGMA wal_checkpoint(RESTART)");
	}
	reached = testvfs_is_off(p.vfs) != 0;
	n = rows_after_cut(&p, how, alone, true);
	assert_true(n == acknowledged || n == acknowledged + more);
	assert_int_equal(insert(p.db, n, SPILL_ROWS), SQLITE_OK);
	assert_int_equal(rows_after_cut(&p, how, alone, true), n + SPILL_ROWS);
	end(&p);
	return reached;
}

static void
test_power_cuts(void **state)
{
	(void)state;
	for (int alone = 0; alone < 2; alone++)
		for (uint64_t sync = 1;; sync += sync < 8 ? 1 : 3) {
			bool reached = cut_at(sync, TESTVFS_DROP, alone != 0);

			if (!cut_at(sync, TESTVFS_TEAR, alone != 0) || !reached)
				break;
		}
}

/* ---- the file by itself ------------------------------------------------------------------------------------------- */

#define PAGE 512

static sqlite3_file *
open_log(struct place *p)
{
	sqlite3_vfs *v = sqlite3_vfs_find(sqlite_wal_vfs("cut"));
	sqlite3_file *f;
	char path[160];

	assert_non_null(v);
	f = calloc(1, (size_t)v->szOsFile);
	assert_non_null(f);
	(void)snprintf(path, sizeof(path), "%s-wal", p->path);
	assert_int_equal(
	    v->xOpen(v, path, f, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_WAL, NULL), SQLITE_OK);
	assert_int_equal(f->pMethods->xTruncate(f, 0), SQLITE_OK);
	return f;
}

static void
close_log(sqlite3_file *f)
{
	assert_int_equal(f->pMethods->xClose(f), SQLITE_OK);
	free(f);
}

static int
write_frame(sqlite3_file *f, int at, int fill, bool commit)
{
	uint8_t head[24], page[PAGE];
	int rc;

	memset(head, fill, sizeof(head));
	memset(head + 4, commit ? 1 : 0, 4);
	memset(page, fill, sizeof(page));
	rc = f->pMethods->xWrite(f, head, sizeof(head), at);
	return rc != SQLITE_OK ? rc : f->pMethods->xWrite(f, page, sizeof(page), at + 24);
}

/* What is really in the file, not by way of the VFS. */
static int64_t
size_on_disk(struct place *p)
{
	char path[160];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s-wal", p->path);
	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

static void
test_file(void **state)
{
	enum { FRAME = 24 + PAGE };
	uint8_t head[32] = {7}, back[PAGE];
	sqlite3_int64 size;
	struct place p;
	sqlite3_file *f;

	(void)state;
	begin(&p, false, true, 1);
	must(p.db, "PRAGMA wal_checkpoint(TRUNCATE)");
	f = open_log(&p);
	assert_int_equal(f->pMethods->xWrite(f, head, sizeof(head), 0), SQLITE_OK);
	assert_int_equal(write_frame(f, 32, 1, false), SQLITE_OK);
	assert_int_equal(size_on_disk(&p), 32); /* it waits */
	assert_int_equal(f->pMethods->xFileSize(f, &size), SQLITE_OK);
	assert_int_equal(size, 32 + FRAME);
	assert_int_equal(write_frame(f, 32 + FRAME, 2, true), SQLITE_OK);
	assert_int_equal(size_on_disk(&p), 32 + 2 * FRAME); /* a commit does not */
	assert_int_equal(write_frame(f, 32 + 2 * FRAME, 3, false), SQLITE_OK);
	assert_int_equal(f->pMethods->xRead(f, back, PAGE, 32 + 2 * FRAME + 24), SQLITE_OK);
	assert_int_equal(back[0], 3);
	assert_int_equal(write_frame(f, 32 + 3 * FRAME, 4, false), SQLITE_OK);
	assert_int_equal(f->pMethods->xTruncate(f, 32 + 2 * FRAME), SQLITE_OK);
	assert_int_equal(size_on_disk(&p), 32 + 2 * FRAME);
	assert_int_equal(write_frame(f, 32 + 2 * FRAME, 5, false), SQLITE_OK);
	assert_int_equal(f->pMethods->xSync(f, SQLITE_SYNC_NORMAL), SQLITE_OK);
	assert_int_equal(size_on_disk(&p), 32 + 3 * FRAME);
	/* Half a frame was there when its transaction failed; a commit in its place is written at once. */
	assert_int_equal(f->pMethods->xWrite(f, head, 24, 32 + 3 * FRAME), SQLITE_OK);
	assert_int_equal(write_frame(f, 32 + 3 * FRAME, 6, true), SQLITE_OK);
	assert_int_equal(size_on_disk(&p), 32 + 4 * FRAME);
	/* What was rolled back is not written any more, and no later commit fails for it. */
	assert_int_equal(write_frame(f, 32 + 4 * FRAME, 7, false), SQLITE_OK);
	assert_int_equal(write_frame(f, 32 + 5 * FRAME, 8, false), SQLITE_OK);
	assert_int_equal(write_frame(f, 32 + 4 * FRAME, 9, true), SQLITE_OK);
	assert_int_equal(size_on_disk(&p), 32 + 5 * FRAME);
	/* A reader meets the error and the frame is kept for the commit; the commit meets it and nothing is kept. */
	assert_int_equal(f->pMethods->xTruncate(f, 32 + 4 * FRAME), SQLITE_OK);
	assert_int_equal(write_frame(f, 32 + 4 * FRAME, 10, false), SQLITE_OK);
	testvfs_fail(p.vfs, TESTVFS_WRITE_FULL, 1, 0);
	assert_int_equal(f->pMethods->xRead(f, back, PAGE, 56), SQLITE_FULL);
	assert_int_equal(write_frame(f, 32 + 5 * FRAME, 11, true), SQLITE_OK);
	assert_int_equal(f->pMethods->xRead(f, back, PAGE, 32 + 4 * FRAME + 24), SQLITE_OK);
	assert_int_equal(back[PAGE - 1], 10);
	testvfs_fail(p.vfs, TESTVFS_WRITE_FULL, 1, 0);
	assert_int_equal(write_frame(f, 32 + 6 * FRAME, 12, true), SQLITE_FULL);
	assert_int_equal(f->pMethods->xSync(f, SQLITE_SYNC_NORMAL), SQLITE_OK);
	assert_int_equal(size_on_disk(&p), 32 + 6 * FRAME);
	assert_int_equal(f->pMethods->xTruncate(f, 0), SQLITE_OK);
	close_log(f);
	end(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_file),
	    cmocka_unit_test(test_spill),
	    cmocka_unit_test(test_reader),
	    cmocka_unit_test(test_write_errors),
	    cmocka_unit_test(test_error_while_reading),
	    cmocka_unit_test(test_power_cuts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
