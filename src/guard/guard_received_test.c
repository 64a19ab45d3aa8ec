/* Reports of others: each once, bounded, and nobody in the place of another. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/log.h"
#include "guard/guard.h"
#include "guard/guard_received.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct world {
	struct house house;
	struct loop *loop;
	struct sqldb *db;
	struct arena a;
	char path[64];
	void (*fn)(struct world *w);
};

static void
main_fiber(void *arg)
{
	struct world *w = arg;
	struct sqldb_config c = {.loop = w->loop,
	    .path = w->path,
	    .durability = SQL_NORMAL,
	    .migrations = guard_migrations,
	    .migrations_count = guard_migrations_count};
	struct buf detail BUF_CLEANUP;

	buf_init(&detail, 4096);
	assert_int_equal(sqldb_open(&w->db, &w->house, &c, &detail), 0);
	assert_int_equal(sqldb_start(w->db), 0);
	w->fn(w);
	sqldb_close(&w->db);
	loop_stop(w->loop);
}

static void
run(void (*fn)(struct world *w))
{
	static const char *const ends[] = {"", "-wal", "-shm"};
	struct world w = {.fn = fn, .path = "/tmp/ph-received-XXXXXX"};

	house_init(&w.house, "test");
	w.house.log_level = LOG_ERROR;
	arena_init(&w.a, 1 << 24);
	(void)close(mkstemp(w.path));
	assert_int_equal(loop_new(&w.loop, &w.house), 0);
	assert_int_equal(fiber_start(w.loop, "test", main_fiber, &w, NULL), 0);
	loop_run(w.loop);
	loop_free(&w.loop);
	arena_free(&w.a);
	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		char name[80];

		(void)snprintf(name, sizeof(name), "%s%s", w.path, ends[i]);
		(void)unlink(name);
	}
}

/* One with n rows of two messages each. */
static int
add(struct world *w, const char *sender, const char *id, size_t n)
{
	struct guard_received r = {.kind = REPORT_DMARC,
	    .sender = slice_z(sender),
	    .organisation = SLICE("Org"),
	    .report_id = slice_z(id),
	    .domain = SLICE("d.test"),
	    .ours = true,
	    .begin_s = 1000,
	    .end_s = 2000};
	struct guard_received_row v[64];

	for (size_t i = 0; i < n; i++)
		v[i] = (struct guard_received_row){.domain = r.domain,
		    .source = i % 2 == 0 ? SLICE("192.0.2.1") : SLICE("192.0.2.2"),
		    .total = 2,
		    .outcome = i % 2 == 0 ? SLICE("none") : SLICE("reject"),
		    .means = i % 2 == 0 ? SLICE("spf dkim") : SLICE_EMPTY,
		    .who = SLICE("m.test"),
		    .detail = SLICE("a=b\n")};
	return guard_received_add(w->db, &w->house, &r, v, n);
}

static size_t
count(struct world *w, const char *sender)
{
	struct guard_received *v;
	size_t n, found = 0;

	assert_int_equal(guard_received_list(w->db, 0, SLICE_EMPTY, INT64_MAX, 1000, &w->a, &v, &n), 0);
	for (size_t i = 0; i < n; i++)
		found += slice_eq(v[i].sender, slice_z(sender));
	return found;
}

static void
once_body(struct world *w)
{
	struct guard_received_source *v;
	struct guard_received *l, one;
	struct guard_received_row *rows;
	size_t n;

	assert_int_equal(add(w, "r.test", "1", 4), 0);
	assert_int_equal(add(w, "r.test", "1", 4), ERR_EXISTS);
	assert_int_equal(add(w, "", "1", 2), 0); /* who says that he is that one */
	assert_int_equal(add(w, "other.test", "1", 2), 0);
	assert_int_equal(add(w, "r.test", "2", 0), 0);
	assert_int_equal(guard_received_sources(w->db, 0, SLICE_EMPTY, 0, 100, &w->a, &v, &n), 0);
	assert_int_equal(n, 4);
	for (size_t i = 0; i < n; i++) {
		bool good = slice_eq(v[i].source, SLICE("192.0.2.1"));

		assert_int_equal(v[i].messages, v[i].proven ? 6 : 2);
		assert_int_equal(v[i].passed, good ? v[i].messages : 0);
		assert_int_equal(v[i].rejected, good ? 0 : v[i].messages);
		assert_int_equal(v[i].reporters, v[i].proven ? 2 : 1);
	}
	assert_int_equal(guard_received_sources(w->db, 0, SLICE("e.test"), 0, 100, &w->a, &v, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(guard_received_list(w->db, 0, SLICE("d.test"), INT64_MAX, 2, &w->a, &l, &n), 0);
	assert_int_equal(n, 2);
	assert_true(l[0].id > l[1].id);
	assert_int_equal(guard_received_get(w->db, 1, &w->a, &one), 0);
	assert_int_equal(one.total, 8);
	assert_int_equal(guard_received_get(w->db, 99, &w->a, &one), ERR_NOTFOUND);
	assert_int_equal(guard_received_rows(w->db, 1, 1, 100, &w->a, &rows, &n), 0);
	assert_int_equal(n, 3);
	assert_true(slice_eq(rows[0].source, SLICE("192.0.2.2")));
}

static void
bounds_body(struct world *w)
{
	char id[16];

	w->house.limits.received_reports = 20;
	w->house.limits.received_report_rows = 400;
	assert_int_equal(add(w, "r.test", "1", 10), 0);
	/* One who sends many: a quarter is his, by reports and by rows. */
	for (int i = 0; i < 30; i++) {
		(void)snprintf(id, sizeof(id), "many %d", i);
		assert_int_equal(add(w, "many.test", id, 1), 0);
		assert_int_equal(add(w, "", id, 60), 0);
	}
	assert_int_equal(count(w, "many.test"), 5);
	assert_int_equal(count(w, ""), 1);
	/* When all is full, what nobody answers for goes first, then the oldest. */
	for (int i = 0; i < 14; i++) {
		(void)snprintf(id, sizeof(id), "s%d.test", i);
		assert_int_equal(add(w, id, "x", 1), 0);
	}
	assert_int_equal(count(w, ""), 0);
	assert_int_equal(count(w, "r.test"), 1);
	assert_int_equal(add(w, "last.test", "x", 1), 0);
	assert_int_equal(count(w, "r.test"), 0);
	/* And all goes in time. */
	house_clock_advance(&w->house, (w->house.limits.received_report_days + 1) * 86400 * 1000000);
	assert_int_equal(add(w, "late.test", "x", 1), 0);
	assert_int_equal(count(w, "last.test"), 0);
	assert_int_equal(count(w, "late.test"), 1);
}

static void
each_counts_once(void **state)
{
	(void)state;
	run(once_body);
}

static void
the_store_is_bounded(void **state)
{
	(void)state;
	run(bounds_body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(each_counts_once), cmocka_unit_test(the_store_is_bounded)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
