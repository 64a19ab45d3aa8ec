/* Group commit and reading, from fibers on a loop. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sql/sql.h"
#include "sql/testvfs.h"

#include "base/log.h"

#include <ftw.h>
#include <sys/stat.h>

#define WRITERS 50
#define EACH 20

static const struct sql_migration migrations[] = {
    {1, "begin", "CREATE TABLE item (id INTEGER NOT NULL PRIMARY KEY, body BLOB NOT NULL) STRICT"},
};
static const struct sql_text insert = {"insert", "INSERT INTO item (id, body) VALUES ($1, $2)"};
static const struct sql_text count = {"count", "SELECT COUNT(*) FROM item"};
static const struct sql_text ids = {"ids", "SELECT id FROM item ORDER BY id"};

struct world {
	struct house house;
	struct loop *loop;
	struct testvfs *vfs;
	struct sqldb *db;
	char dir[64], path[128];
	void (*fn)(struct world *w);
	int running, ok, refused, failed;
	enum sql_durability durability;
	int wal_kib;
	bool acknowledged[WRITERS * EACH];
	uint64_t cut_at;
	enum testvfs_cut how;
	bool reached;
};

struct writer {
	struct world *w;
	int64_t from;
	struct fiber *fiber;
};

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void
open_db(struct world *w)
{
	struct sqldb_config c = {.loop = w->loop,
	    .path = w->path,
	    .vfs = "group",
	    .durability = w->durability,
	    .wal_kib = w->wal_kib,
	    .migrations = migrations,
	    .migrations_count = 1};
	struct buf detail BUF_CLEANUP;

	buf_init(&detail, 4096);
	assert_int_equal(sqldb_open(&w->db, &w->house, &c, &detail), 0);
	assert_int_equal(sqldb_start(w->db), 0);
}

static void
main_fiber(void *arg)
{
	struct world *w = arg;

	open_db(w);
	w->fn(w);
	sqldb_close(&w->db);
	loop_stop(w->loop);
}

static void
run_world(struct world *w)
{
	house_init(&w->house, "test");
	w->house.log_level = LOG_ERROR + 1;
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/ph-group-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void)snprintf(w->path, sizeof(w->path), "%s/a.db", w->dir);
	assert_int_equal(testvfs_new(&w->vfs, "group", 1), 0);
	assert_int_equal(loop_new(&w->loop, &w->house), 0);
	assert_int_equal(fiber_start(w->loop, "test", main_fiber, w, NULL), 0);
	loop_run(w->loop);
	loop_free(&w->loop);
	testvfs_free(&w->vfs);
	nftw(w->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void
run(void (*fn)(struct world *w))
{
	struct world w = {.fn = fn, .durability = SQL_FULL};

	run_world(&w);
}

static int
put(struct sqltx *tx, void *arg)
{
	uint8_t body[3000] = {0};

	return SQL_EXEC(tx, &insert, SQLI(*(int64_t *)arg), SQLB(slice_of(body, sizeof(body))));
}

/* Writes, then thinks better of every fifth. */
static int
put_or_refuse(struct sqltx *tx, void *arg)
{
	int err = put(tx, arg);

	return err == 0 && *(int64_t *)arg % 5 == 0 ? ERR_DENIED : err;
}

static int
count_fn(struct sqltx *tx, void *arg)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = sql_query(tx, &r, &count, NULL, 0);

	if (err == 0)
		err = sql_next(&r);
	*(int64_t *)arg = err == 1 ? sql_col_int(&r, 0) : -1;
	return err < 0 ? err : 0;
}

static int64_t
rows(struct world *w)
{
	int64_t n = -1;

	assert_int_equal(sql_read(w->db, count_fn, &n), 0);
	return n;
}

static void
writer_fiber(void *arg)
{
	struct writer *x = arg;

	for (int64_t id = x->from; id < x->from + EACH; id++) {
		int err = sql_write(x->w->db, put_or_refuse, &id);

		x->w->acknowledged[id] = err == 0;
		if (err == 0)
			x->w->ok++;
		else if (err == ERR_DENIED)
			x->w->refused++;
		else
			x->w->failed++;
	}
	x->w->running--;
}

static void
start_writers(struct world *w, struct writer v[WRITERS])
{
	for (int i = 0; i < WRITERS; i++) {
		v[i] = (struct writer){.w = w, .from = i * EACH};
		w->running++;
		assert_int_equal(fiber_start(w->loop, "writer", writer_fiber, &v[i], &v[i].fiber), 0);
	}
}

static void
join_writers(struct world *w, struct writer v[WRITERS])
{
	for (int i = 0; i < WRITERS; i++)
		fiber_join(w->loop, &v[i].fiber);
}

static void
many_writers(struct world *w)
{
	struct writer v[WRITERS];
	uint64_t syncs = testvfs_syncs(w->vfs);
	int64_t before = 0, now;

	start_writers(w, v);
	while (w->running > 0) { /* a reader never waits and never sees less than before */
		now = rows(w);
		assert_true(now >= before);
		before = now;
	}
	join_writers(w, v);
	assert_int_equal(w->ok, WRITERS * EACH * 4 / 5);
	assert_int_equal(w->refused, WRITERS * EACH / 5);
	assert_int_equal(rows(w), w->ok);
	/* far fewer syncs than commits: that is the point */
	assert_true(testvfs_syncs(w->vfs) - syncs < (uint64_t)w->ok / 2);
	sqldb_close(&w->db);
	open_db(w);
	assert_int_equal(rows(w), w->ok);
}

/* A disk that is full for a while: each caller hears of it or has its row; afterwards everything works. */
static void
full_disk(struct world *w)
{
	struct writer v[WRITERS];
	int64_t id = 1000001;

	testvfs_fail(w->vfs, TESTVFS_WRITE_FULL, 100, 0);
	start_writers(w, v);
	join_writers(w, v);
	assert_int_equal(w->ok + w->refused + w->failed, WRITERS * EACH);
	assert_int_equal(rows(w), w->ok);
	assert_int_equal(sqldb_failed(w->db), 0);
	assert_int_equal(sql_write(w->db, put, &id), 0);
}

/* A failed fsync: all of the batch hear of it, and nothing is written any more. */
static void
failed_sync(struct world *w)
{
	struct writer v[WRITERS];
	int64_t id = 1000001;

	assert_int_equal(sql_write(w->db, put, &id), 0);
	testvfs_fail(w->vfs, TESTVFS_SYNC_ERROR, 2, 0);
	start_writers(w, v);
	join_writers(w, v);
	assert_true(w->failed > 0);
	assert_int_equal(sqldb_failed(w->db), ERR_IO);
	id++;
	assert_int_equal(sql_write(w->db, put, &id), ERR_IO);
	assert_int_equal(sql_read(w->db, count_fn, &id), ERR_IO);
	assert_int_equal(testvfs_cut(w->vfs, TESTVFS_DROP), 0);
	sqldb_close(&w->db);
	open_db(w);
	assert_true(rows(w) >= w->ok + 1);
}

/* A sync that fails in the reader's checkpoint is the database's last: the writer does not finish that checkpoint, nor does closing. */
static void
failed_checkpoint(struct world *w)
{
	int64_t id = 0;
	uint64_t syncs = testvfs_syncs(w->vfs);

	testvfs_fail(w->vfs, TESTVFS_SYNC_ERROR, 1, 0);
	while (sql_write(w->db, put, &id) == 0)
		w->ok = (int)++id;
	assert_int_equal(sqldb_failed(w->db), ERR_IO);
	for (int i = 0; i < 3; i++)
		assert_int_equal(sql_write(w->db, put, &id), ERR_IO);
	sqldb_close(&w->db);
	assert_int_equal(testvfs_syncs(w->vfs), syncs + 1);
	open_db(w);
	assert_in_range(rows(w), w->ok, w->ok + 1);
}

static int
check_ids(struct sqltx *tx, void *arg)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	const struct world *w = arg;
	bool there[WRITERS * EACH] = {false};
	int err = sql_query(tx, &r, &ids, NULL, 0);

	while (err == 0 && (err = sql_next(&r)) == 1) {
		int64_t id = sql_col_int(&r, 0);

		assert_in_range(id, 0, WRITERS * EACH - 1);
		there[id] = true;
		assert_true(id % 5 != 0); /* was refused */
		err = 0;
	}
	for (size_t i = 0; i < COUNT_OF(there); i++)
		assert_true(there[i] || !w->acknowledged[i]);
	return err;
}

/* The power fails at one of the syncs of many commits, with checkpoints beside them: what was acknowledged is there. */
static void
power_cut(struct world *w)
{
	struct writer v[WRITERS];

	testvfs_power_off_at_sync(w->vfs, w->cut_at);
	start_writers(w, v);
	join_writers(w, v);
	w->reached = testvfs_is_off(w->vfs) != 0;
	if (!w->reached)
		return;
	assert_int_equal(testvfs_cut(w->vfs, w->how), 0);
	sqldb_close(&w->db);
	open_db(w);
	assert_int_equal(sql_read(w->db, check_ids, w), 0);
}

static void
cancelled_fiber(void *arg)
{
	struct writer *x = arg;

	x->w->ok += sql_write(x->w->db, put, &x->from) == 0;
}

/* A cancelled fiber still waits for its commit: the job lies on its stack. */
static void
cancelled(struct world *w)
{
	struct writer x = {.w = w, .from = 7};

	assert_int_equal(fiber_start(w->loop, "writer", cancelled_fiber, &x, &x.fiber), 0);
	fiber_cancel(x.fiber);
	fiber_join(w->loop, &x.fiber);
	assert_int_equal(w->ok, 1);
	assert_int_equal(rows(w), 1);
}

static void
test_many_writers(void **state)
{
	(void)state;
	run(many_writers);
}
static void
test_full_disk(void **state)
{
	(void)state;
	run(full_disk);
}
static void
test_failed_sync(void **state)
{
	(void)state;
	run(failed_sync);
}
static void
test_failed_checkpoint(void **state)
{
	struct world w = {.fn = failed_checkpoint, .durability = SQL_NORMAL, .wal_kib = 64};

	(void)state;
	run_world(&w);
}
static void
test_power_cut(void **state)
{
	bool reached = true;

	(void)state;
	for (uint64_t at = 1; reached && at < 60; at += 1 + at / 3)
		for (int how = TESTVFS_DROP; how <= TESTVFS_TEAR; how++) {
			struct world w = {.fn = power_cut,
			    .durability = SQL_FULL,
			    .wal_kib = 256,
			    .cut_at = at,
			    .how = (enum testvfs_cut)how};

			run_world(&w);
			reached = reached && w.reached;
		}
}
static void
test_cancelled(void **state)
{
	(void)state;
	run(cancelled);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_many_writers),
	    cmocka_unit_test(test_full_disk),
	    cmocka_unit_test(test_failed_sync),
	    cmocka_unit_test(test_failed_checkpoint),
	    cmocka_unit_test(test_power_cut),
	    cmocka_unit_test(test_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
