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
#define LARGE 2 /* its body is a file */
#define LATER \
	(MESSAGES - 1) /* to a remote that asks to come again; held and released meanwhile, and taken in the end */
#define ASKED 4        /* the sender wants to hear of its delivery */
#define SYNCS_MAX 200

struct day {
	struct testvfs *vfs;
	uint64_t off_at;
	bool was_off;
	enum testvfs_cut how;
	char ids[MESSAGES][ULID_LEN + 1];
	bool taken[MESSAGES];
	bool later_taken;           /* by the remote */
	bool suspended, suppressed; /* the operator was told so */
};

static struct day *
day_of(struct world *w)
{
	return w->extra;
}

/* Even ones go to a mailbox; odd ones to a remote that refuses them, so that the sender, who lives here, gets a bounce. */
static const char *
recipient_of(int i)
{
	if (i == LATER)
		return "later@b.test";
	return i % 2 == 0 ? "bob@example.test" : "nobody@b.test";
}

static enum bus_submit
submit_file(struct world *w, const char *to, char id[ULID_LEN + 1])
{
	char name[QUEUE_BLOB_NAME_MAX];
	struct slice one = slice_z(to);
	int fd;

	id[0] = '\0';
	if (queue_blob_create(w->queue, 1, name, &fd) != 0)
		return SUBMIT_TEMPFAIL;
	assert_int_equal(write(fd, BODY.p, BODY.n), (ssize_t)BODY.n);
	close(fd);
	return submit_body(w, "alice@example.test", (struct slice_list){&one, 1}, SLICE_EMPTY, slice_z(name), 1, id);
}

static enum bus_submit
submit_nth(struct world *w, int i, char id[ULID_LEN + 1])
{
	if (i == LARGE)
		return submit_file(w, recipient_of(i), id);
	return submit(w, "alice@example.test", recipient_of(i), id);
}

/* What the operator does. The power may be off. */
static void
act(struct world *w, const char *id, enum queue_action what)
{
	struct queue_filter one = {.id = slice_z(id)};
	struct queue_acted changed;

	(void)!queue_act(w->queue, &one, what, &changed);
	settle_down(w);
}

static struct straw_reply
straw_takes_later(struct world *w, struct slice address)
{
	if (!slice_starts(address, SLICE("later")))
		return straw_says_mixed(w, address);
	day_of(w)->later_taken = true;
	return straw_says_ok(w, address);
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

/* Until the power fails, or to its end. */
static void
live_a_day(struct world *w, struct day *day)
{
	w->straw = straw_says_mixed;
	for (int i = 0; i < MESSAGES; i++) {
		w->rcpt_envelope = i == ASKED ? "NOTIFY=SUCCESS,FAILURE\n" : NULL;
		day->taken[i] = submit_nth(w, i, day->ids[i]) == SUBMIT_OK;
		if (i % 3 == 0)
			settle_down(w);
	}
	w->rcpt_envelope = NULL;
	settle_down(w);
	day->suspended = queue_suspend(w->queue, SLICE("c.test"), 0) == 0;
	day->suppressed = queue_suppress_add(w->queue, SLICE("x@c.test"), SLICE_EMPTY) == 0;
	for (int i = 0; i < 400 && w->queue->counters.successes == 0 && !testvfs_is_off(day->vfs); i++)
		if (fiber_sleep(w->loop, 2) != 0)
			break;
	act(w, day->ids[LATER], QUEUE_HOLD);
	advance(w, HOUR_US);
	act(w, day->ids[LATER], QUEUE_RELEASE);
	advance(w, HOUR_US);
}

static void
cut_and_start_again(struct world *w, struct day *day)
{
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
}

static void
body_day(struct world *w)
{
	struct day *day = day_of(w);
	size_t refused_taken = 0;

	testvfs_power_off_at_sync(day->vfs, day->off_at);
	live_a_day(w, day);
	cut_and_start_again(w, day);
	w->straw = straw_takes_later;
	/* The cut may have come between hold and release. */
	settle_down(w);
	act(w, day->ids[LATER], QUEUE_RELEASE);
	for (int i = 0; i < 12 && !is_idle(w); i++)
		advance(w, HOUR_US);
	UNTIL(w, is_idle(w));
	settle_down(w);
	for (int i = 0; i < 500 && deliveries_of(w, "alice", NULL) < MESSAGES / 2 && day->taken[ASKED]; i++)
		assert_int_equal(fiber_sleep(w->loop, 2), 0);
	for (int i = 0; i < MESSAGES; i++) {
		refused_taken += i % 2 == 1 && i != LATER && day->taken[i];
		if (i % 2 == 0 && day->taken[i])
			assert_int_equal(deliveries_of(w, "bob", day->ids[i]), 1);
		/* The answer may have been lost with the power although the message was kept: then it is there once, too. */
		assert_true(deliveries_of(w, "bob", day->ids[i]) <= 1);
	}
	assert_true(deliveries_of(w, "alice", NULL) >= refused_taken + day->taken[ASKED]);
	assert_true(deliveries_of(w, "alice", NULL) <= MESSAGES / 2);
	assert_true(!day->suspended || queue_suspended(w->queue, SLICE("c.test")));
	assert_true(!day->suppressed || suppress_is(w->queue, SLICE("X@c.test")));
	assert_true(!day->taken[LATER] || day->later_taken);
}

/* True when the power failed at the n-th sync: the day has no fewer. */
static bool
day_cut_at(uint64_t n, enum testvfs_cut how)
{
	struct day day = {.off_at = n, .how = how};
	struct world *w = world_new();

	w->house.log_level = LOG_ERROR + 1;
	w->extra = &day;
	w->vfs = "queue-power";
	assert_int_equal(testvfs_new(&day.vfs, "queue-power", n), 0);
	world_run(w, body_day);
	testvfs_free(&day.vfs);
	return day.was_off;
}

static void
test_power(void **state)
{
	uint64_t n = 1;

	(void)state;
	while (n < SYNCS_MAX && day_cut_at(n, TESTVFS_DROP) && day_cut_at(n, TESTVFS_TEAR))
		n++;
	assert_in_range(n, 2, SYNCS_MAX - 1);
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
