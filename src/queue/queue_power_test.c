/* queue_power_test.c: the power fails at every sync of queue.db in turn. What was acknowledged is delivered exactly once
 * afterwards, bounces neither lost nor doubled; the desk of straw loses what it had not synced, and forgets a
 * delivery once it is told to, so that delivering again would show. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "queue/queue_testing.h"
#include "sql/testvfs.h"

#define MESSAGES 8
#define SYNCS_MAX 200

struct day {
	struct testvfs *vfs;
	uint64_t off_at;
	bool was_off;
	enum testvfs_cut how;
	char ids[MESSAGES][ULID_LEN + 1];
	bool taken[MESSAGES];
};

/* Even ones go to a mailbox; odd ones to a remote that refuses them, so that the sender, who lives here, gets a bounce. */
static const char *
recipient_of(int i)
{
	return i % 2 == 0 ? "bob@example.test" : "nobody@b.test";
}

static size_t
deliveries_of(const struct world *w, const char *account, const char *message)
{
	size_t n = 0;

	for (size_t i = 0; i < w->deliveries_n; i++)
		n += !w->deliveries[i].lost && strcmp(w->deliveries[i].account, account) == 0 &&
		    (message == NULL || strcmp(w->deliveries[i].message, message) == 0);
	return n;
}

/* The desk's own power cut: what it has not said to be durable may be gone. */
static void
desk_power_cut(struct world *w)
{
	for (size_t i = 0; i < w->deliveries_n; i++) {
		struct straw_delivery *d = &w->deliveries[i];

		if (d->durable || d->lost || house_random_below(&w->house, 2) == 0)
			continue;
		d->lost = true;
		(void)map_remove(&w->mailboxes, slice_of(d->id, DELIVERY_ID_LEN));
	}
}

static struct day *
day_of(struct world *w)
{
	return w->extra;
}

static void
body_day(struct world *w)
{
	struct day *day = day_of(w);
	size_t refused_taken = 0;

	w->straw = straw_says_mixed;
	testvfs_power_off_at_sync(day->vfs, day->off_at);
	for (int i = 0; i < MESSAGES; i++) {
		day->taken[i] = submit(w, "alice@example.test", recipient_of(i), day->ids[i]) == SUBMIT_OK;
		if (i % 3 == 0)
			settle_down(w);
	}
	settle_down(w);
	settle_down(w);
	day->was_off = testvfs_is_off(day->vfs);
	queue_stop(w->queue, loop_deadline(w->loop, 0));
	while (w->reporting > 0)
		assert_int_equal(fiber_sleep(w->loop, 1), 0);
	queue_close(&w->queue);
	assert_int_equal(testvfs_cut(day->vfs, day->how), 0);
	sqldb_close(&w->db);
	desk_power_cut(w);
	world_open(w);
	assert_int_equal(queue_start(w->queue), 0);
	UNTIL(w, is_idle(w));
	settle_down(w);
	for (int i = 0; i < MESSAGES; i++) {
		refused_taken += i % 2 == 1 && day->taken[i];
		if (i % 2 == 0 && day->taken[i])
			assert_int_equal(deliveries_of(w, "bob", day->ids[i]), 1);
		/* The answer may have been lost with the power although the message was kept: then it is there once, too. */
		assert_true(deliveries_of(w, "bob", day->ids[i]) <= 1);
	}
	assert_true(deliveries_of(w, "alice", NULL) >= refused_taken);
	assert_true(deliveries_of(w, "alice", NULL) <= MESSAGES / 2);
}

static void
test_power(void **state)
{
	(void)state;
	for (uint64_t n = 1; n < SYNCS_MAX; n++) {
		struct day day = {.off_at = n, .how = n % 2 == 0 ? TESTVFS_DROP : TESTVFS_TEAR};
		struct world *w = world_new();

		w->house.log_level = LOG_ERROR + 1;
		w->extra = &day;
		w->vfs = "queue-power";
		assert_int_equal(testvfs_new(&day.vfs, "queue-power", n), 0);
		world_run(w, body_day);
		testvfs_free(&day.vfs);
		if (!day.was_off)
			return; /* the day has fewer syncs */
	}
	fail();
}

/* A full disk: refused, nothing half done; when there is room again, all goes on. */
static void
body_full(struct world *w)
{
	struct day *day = day_of(w);
	char id[ULID_LEN + 1];
	enum bus_submit r;

	assert_int_equal(submit(w, "alice@example.test", "bob@example.test", id), SUBMIT_OK);
	UNTIL(w, w->durable_n == 1);
	testvfs_fail(day->vfs, TESTVFS_WRITE_FULL, 1, 1);
	r = submit(w, "alice@example.test", "bob@example.test", id);
	assert_true(r == SUBMIT_NO_SPACE || r == SUBMIT_TEMPFAIL);
	settle_down(w);
	assert_int_equal(w->deliveries_n, 1);
	testvfs_fail(day->vfs, TESTVFS_NO_FAULT, 0, 0);
	if (w->fatal != 0) /* the engine could not tell what is durable: as the role does */
		world_restart(w);
	assert_int_equal(submit(w, "alice@example.test", "bob@example.test", id), SUBMIT_OK);
	UNTIL(w, w->durable_n == 2);
}

/* A failed sync is final: the role must end. */
static void
body_sync_error(struct world *w)
{
	struct day *day = day_of(w);
	char id[ULID_LEN + 1];

	testvfs_fail(day->vfs, TESTVFS_SYNC_ERROR, 1, 1);
	assert_int_equal(submit(w, "alice@example.test", "bob@example.test", id), SUBMIT_TEMPFAIL);
	assert_int_equal(w->fatal, ERR_IO);
	assert_int_equal(submit(w, "alice@example.test", "bob@example.test", id), SUBMIT_TEMPFAIL);
	testvfs_fail(day->vfs, TESTVFS_NO_FAULT, 0, 0);
}

static void
run_with_faults(void (*body)(struct world *w))
{
	struct day day = {0};
	struct world *w = world_new();

	w->house.log_level = LOG_ERROR + 1;
	w->extra = &day;
	w->vfs = "queue-fault";
	assert_int_equal(testvfs_new(&day.vfs, "queue-fault", 1), 0);
	world_run(w, body);
	testvfs_free(&day.vfs);
}

static void
test_faults(void **state)
{
	(void)state;
	run_with_faults(body_full);
	run_with_faults(body_sync_error);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_power),
	    cmocka_unit_test(test_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
