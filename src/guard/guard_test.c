/* Counts of senders over hours and days, and over restarts. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/log.h"
#include "guard/guard.h"
#include "guard/guard_dmarc.h"
#include "guard/guard_tls.h"

#include <unistd.h>

#define A SLICE("account:a")
#define B SLICE("account:b")

struct world {
	struct house house;
	struct loop *loop;
	struct sqldb *db;
	struct guard *g;
	char path[64];
	void (*fn)(struct world *w);
};

static void
advance(struct world *w, int64_t minutes)
{
	house_clock_advance(&w->house, minutes * 60 * 1000000);
}

static void
open_guard(struct world *w)
{
	struct sqldb_config c = {.loop = w->loop,
	    .path = w->path,
	    .durability = SQL_NORMAL,
	    .migrations = guard_migrations,
	    .migrations_count = guard_migrations_count};
	struct buf detail BUF_CLEANUP;

	buf_init(&detail, 4096);
	assert_int_equal(sqldb_open(&w->db, &w->house, &c, &detail), 0);
	assert_int_equal(sqldb_start(w->db), 0);
	assert_int_equal(guard_open(&w->g, &w->house, w->loop, w->db), 0);
}

static void
close_guard(struct world *w)
{
	guard_close(&w->g);
	sqldb_close(&w->db);
}

static void
main_fiber(void *arg)
{
	struct world *w = arg;

	open_guard(w);
	w->fn(w);
	close_guard(w);
	loop_stop(w->loop);
}

static void
run(void (*fn)(struct world *w))
{
	static const char *const ends[] = {"", "-wal", "-shm"};
	struct world w = {.fn = fn, .path = "/tmp/ph-guard-XXXXXX"};

	house_init(&w.house, "test");
	w.house.log_level = LOG_ERROR;
	(void)close(mkstemp(w.path));
	/* To the beginning of a slot. */
	house_clock_advance(&w.house, (600 - house_now_s(&w.house) % 600) * 1000000);
	assert_int_equal(loop_new(&w.loop, &w.house), 0);
	assert_int_equal(fiber_start(w.loop, "test", main_fiber, &w, NULL), 0);
	loop_run(w.loop);
	loop_free(&w.loop);
	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		char name[80];

		(void)snprintf(name, sizeof(name), "%s%s", w.path, ends[i]);
		(void)unlink(name);
	}
}

static bool
take(struct world *w, struct slice who, int64_t recipients, struct guard_rates r, struct guard_refusal *why)
{
	return guard_take(w->g, who, recipients, &r, true, why);
}

static void
rates_body(struct world *w)
{
	const struct guard_rates hour = {.messages_per_hour = 3}, day = {.messages_per_hour = 3, .messages_per_day = 5},
				 to = {.recipients_per_hour = 10};
	struct guard_refusal why;
	struct guard_usage u;

	for (int i = 0; i < 3; i++) {
		assert_true(take(w, A, 1, hour, &why));
		advance(w, 10);
	}
	/* Looking counts nothing. */
	assert_true(guard_take(w->g, B, 1, &hour, false, &why));
	assert_false(take(w, A, 1, hour, &why));
	assert_string_equal(why.what, "messages");
	assert_false(why.day);
	assert_int_equal(why.limit, 3);
	assert_in_range(why.wait_s, 1795, 1800); /* the first of them was half an hour ago */
	advance(w, 30);
	assert_true(take(w, A, 1, hour, &why));
	assert_false(take(w, A, 1, hour, &why));
	advance(w, 60);
	assert_true(take(w, A, 1, day, &why));
	assert_false(take(w, A, 1, day, &why));
	assert_true(why.day);
	assert_in_range(why.wait_s, 22 * 3600 - 10, 22 * 3600 + 10);
	guard_usage(w->g, A, &u);
	assert_int_equal(u.messages_hour, 1);
	assert_int_equal(u.messages_day, 5);
	assert_int_equal(u.refused_day, 3);
	assert_int_equal(guard_stopped(w->g), 1);

	assert_true(take(w, B, 9, to, &why));
	assert_false(take(w, B, 2, to, &why));
	assert_string_equal(why.what, "recipients");
	guard_give_back(w->g, B, 9);
	assert_true(take(w, B, 10, to, &why));
	guard_give_back(w->g, SLICE("nobody"), 1);
	/* No rate, no end; and a day later nothing is known. */
	for (int i = 0; i < 1000; i++)
		assert_true(take(w, SLICE("c"), 1000, (struct guard_rates){0}, &why));
	advance(w, 24 * 60 + 10);
	guard_usage(w->g, A, &u);
	assert_int_equal(u.messages_day + u.refused_day, 0);
	assert_int_equal(guard_stopped(w->g), 0);
}

static void
restart_body(struct world *w)
{
	struct guard_refusal why;
	struct guard_usage u;

	for (int i = 0; i < 500; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "s%d", i);
		for (int j = 0; j < 4; j++) {
			assert_true(take(w, slice_z(name), 2, (struct guard_rates){0}, &why));
			if (i % 100 == 0)
				advance(w, 10);
		}
	}
	assert_false(take(w, SLICE("s7"), 2, (struct guard_rates){.messages_per_day = 1}, &why));
	close_guard(w);
	open_guard(w);
	for (int i = 0; i < 500; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "s%d", i);
		guard_usage(w->g, slice_z(name), &u);
		assert_int_equal(u.messages_day, 4);
		assert_int_equal(u.recipients_day, 8);
	}
	guard_usage(w->g, SLICE("s7"), &u);
	assert_int_equal(u.refused_day, 1);
	assert_true(u.refused_last_us > 0);
	guard_forget(w->g, SLICE("s7"));
	close_guard(w);
	open_guard(w);
	guard_usage(w->g, SLICE("s7"), &u);
	assert_int_equal(u.messages_day + u.refused_day, 0);
	/* What is older than a day goes from the disk too. */
	advance(w, 25 * 60);
	assert_true(take(w, A, 1, (struct guard_rates){0}, &why));
	close_guard(w);
	open_guard(w);
	guard_usage(w->g, SLICE("s8"), &u);
	assert_int_equal(u.messages_day, 0);
}

static void
count(struct world *w, const char *domain, const char *policy, const char *row, int64_t n)
{
	const struct guard_dmarc_row r = {.domain = slice_z(domain),
	    .policy = slice_z(policy),
	    .destinations = SLICE("a@b.test\n"),
	    .row = slice_z(row),
	    .count = n};

	assert_int_equal(guard_dmarc_add(w->db, &w->house, &r, 1), 0);
}

/* The next report; NULL: none is due. */
static void
report(struct world *w, const char *domain, const char *policy, size_t rows, int64_t sum)
{
	struct arena a ARENA_CLEANUP;
	struct guard_dmarc_row of, *v;
	int64_t today = house_now_s(&w->house) / 86400;
	size_t n;
	int e;

	arena_init(&a, 4 << 20);
	e = guard_dmarc_due(w->db, today, &a, &of);
	assert_int_equal(e, domain == NULL ? ERR_NOTFOUND : 0);
	if (domain == NULL)
		return;
	assert_true(of.day < today && slice_eq(of.destinations, SLICE("a@b.test\n")));
	assert_true(slice_eq(of.domain, slice_z(domain)) && slice_eq(of.policy, slice_z(policy)));
	assert_int_equal(guard_dmarc_rows(w->db, &w->house, &of, &a, &v, &n), 0);
	assert_int_equal(n, rows);
	for (size_t i = 0; i < n; i++)
		sum -= v[i].count;
	assert_int_equal(sum, 0);
	assert_int_equal(guard_dmarc_done(w->db, &of), 0);
}

static void
reports_body(struct world *w)
{
	struct arena a ARENA_CLEANUP;
	struct guard_dmarc_row *v;
	size_t n;

	w->house.limits.dmarc_results = 4;
	count(w, "b.test", "p=none", "one", 2);
	count(w, "b.test", "p=none", "one", 3);
	count(w, "b.test", "p=none", "two", 1);
	count(w, "b.test", "p=reject", "one", 7);
	count(w, "a.test", "p=none", "one", 1);
	/* No room for more that are different. */
	count(w, "c.test", "p=none", "one", 1);
	count(w, "a.test", "p=none", "one", 1);
	report(w, NULL, NULL, 0, 0);
	arena_init(&a, 4 << 20);
	assert_int_equal(guard_dmarc_list(w->db, 0, 1, 2, &a, &v, &n), 0);
	assert_int_equal(n, 2);
	assert_true(slice_eq(v[0].domain, SLICE("b.test")) && v[0].count == 5);
	advance(w, 24 * 60);
	count(w, "b.test", "p=none", "one", 100);
	close_guard(w);
	open_guard(w);
	report(w, "a.test", "p=none", 1, 2);
	report(w, "b.test", "p=none", 2, 6);
	report(w, "b.test", "p=reject", 1, 7);
	report(w, NULL, NULL, 0, 0);
	/* What could not be sent for too long goes. */
	advance(w, (w->house.limits.dmarc_results_days + 1) * 24 * 60);
	count(w, "d.test", "p=none", "one", 1);
	report(w, NULL, NULL, 0, 0);
	advance(w, 24 * 60);
	report(w, "d.test", "p=none", 1, 1);
}

static void
tls_count(struct world *w, struct slice domain, struct slice policy, int64_t sessions)
{
	const struct guard_tls_result r = {.domain = domain,
	    .policy = policy,
	    .host = SLICE("mx"),
	    .result = SLICE("successful"),
	    .sessions = sessions};

	assert_int_equal(guard_tls_add(w->db, &w->house, &r, 1), 0);
}

/* Each day and domain is due once, in order, until it is done. */
static void
tls_reports_body(struct world *w)
{
	int64_t today = house_now_s(&w->house) / 86400, day = 0;
	struct slice domain = SLICE_EMPTY;
	struct arena a ARENA_CLEANUP;
	struct guard_tls_result *v;
	size_t n;

	arena_init(&a, 4 << 20);
	tls_count(w, SLICE("b.test"), SLICE("sts\nmode: none"), 1);
	tls_count(w, SLICE("b.test"), SLICE("sts\nmode: none"), 2);
	tls_count(w, SLICE("b.test"), SLICE("no-policy-found"), 4);
	tls_count(w, SLICE("a.test"), SLICE("tlsa"), 1);
	assert_int_equal(guard_tls_due(w->db, today - 2, today, &a, &day, &domain), ERR_NOTFOUND);
	advance(w, 24 * 60);
	assert_int_equal(guard_tls_due(w->db, today - 1, today + 1, &a, &day, &domain), 0);
	assert_true(day == today && slice_eq(domain, SLICE("a.test")));
	assert_int_equal(guard_tls_done(w->db, day, domain), 0);
	assert_int_equal(guard_tls_due(w->db, today - 1, today + 1, &a, &day, &domain), 0);
	assert_true(slice_eq(domain, SLICE("b.test")));
	assert_int_equal(guard_tls_of(w->db, day, domain, 10, &a, &v, &n), 0);
	assert_int_equal(n, 2);
	assert_true(slice_eq(v[0].policy, SLICE("no-policy-found")) && v[1].sessions == 3);
	/* Not done, but behind the cursor; and then from the beginning. */
	assert_int_equal(guard_tls_due(w->db, today - 1, today + 1, &a, &day, &domain), ERR_NOTFOUND);
	close_guard(w);
	open_guard(w);
	day = 0;
	domain = SLICE_EMPTY;
	assert_int_equal(guard_tls_due(w->db, today - 1, today + 1, &a, &day, &domain), 0);
	assert_true(slice_eq(domain, SLICE("b.test")));
	day = 0;
	domain = SLICE_EMPTY;
	assert_int_equal(guard_tls_due(w->db, today + 1, today + 2, &a, &day, &domain), ERR_NOTFOUND);
}

static void
tls_reports_of_a_day(void **state)
{
	(void)state;
	run(tls_reports_body);
}

static void
reports_of_a_day(void **state)
{
	(void)state;
	run(reports_body);
}

static void
rates_of_an_hour_and_a_day(void **state)
{
	(void)state;
	run(rates_body);
}

static void
counts_survive_a_restart(void **state)
{
	(void)state;
	run(restart_body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rates_of_an_hour_and_a_day),
	    cmocka_unit_test(reports_of_a_day),
	    cmocka_unit_test(tls_reports_of_a_day),
	    cmocka_unit_test(counts_survive_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
