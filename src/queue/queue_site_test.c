/* queue_site_test.c: lanes, sites and what the operator does to them: who waits, who does not, and what is learned. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "queue/queue_testing.h"

#define MINUTE_US (60 * INT64_C(1000000))

static struct straw_reply
says_unreachable(struct world *w, struct slice address)
{
	if (slice_starts(address, SLICE("live")))
		return straw_says_ok(w, address);
	return (struct straw_reply){SEND_TEMPFAIL, "", "4.4.1", "Could not connect", REPLY_CONNECTION};
}

static struct straw_reply
says_less(struct world *w, struct slice address)
{
	(void)w;
	(void)address;
	return (struct straw_reply){SEND_TEMPFAIL, "421", "4.7.0", "too many connections", REPLY_RATE_LIMITED};
}

static struct site *
site_named(struct world *w, const char *name)
{
	return map_get(&w->queue->sites, slice_z(name));
}

static enum bus_submit
submit_many(struct world *w, const char *from, const char *domain, size_t n, char id[ULID_LEN + 1])
{
	struct slice *to = calloc(n, sizeof(*to));
	char(*names)[40] = calloc(n, sizeof(*names));
	enum bus_submit r;

	assert_true(to != NULL && names != NULL);
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "r%zu@%s", i, domain);
		to[i] = slice_z(names[i]);
	}
	id[0] = '\0';
	r = submit_body(w, from, (struct slice_list){to, n}, BODY, SLICE_EMPTY, 0, id);
	free(names);
	free(to);
	return r;
}

/* ---- lanes ------------------------------------------------------------------------------------------- */

static void
test_lane_room(void **state)
{
	(void)state;
	for (size_t max = 1; max < 50; max++) {
		/* Each lane finds room however much the others want. */
		for (int wanted = 0; wanted < LANES; wanted++) {
			size_t held[LANES] = {0};
			bool grew = true;

			while (grew) {
				grew = false;
				for (int i = 0; i < LANES; i++)
					if (i != wanted && lane_has_room(held, (enum lane)i, max)) {
						held[i]++;
						grew = true;
					}
			}
			assert_true(max < 20 || lane_has_room(held, (enum lane)wanted, max));
		}
		assert_true(lane_has_room((size_t[LANES]){0}, LANE_SLOW, max));
	}
}

/* One session, a bulk run under way: what a person sends goes before the rest of it. */
static void
body_overtake(struct world *w)
{
	char id[ULID_LEN + 1], person[ULID_LEN + 1];

	w->send_ms = 5;
	w->house.limits.queue_send_recipients = 1;
	w->house.limits.queue_concurrency = 1;
	assert_int_equal(submit_many(w, "alice@example.test", "b.test", 200, id), SUBMIT_OK);
	UNTIL(w, w->sends >= 3);
	assert_int_equal(submit(w, "bob@example.test", "person@b.test", person), SUBMIT_OK);
	for (int i = 0; i < 1000 && strcmp(w->from, "bob@example.test") != 0; i++)
		assert_int_equal(fiber_sleep(w->loop, 1), 0);
	assert_true(w->sends < 30);
	/* And bulk is not starved by it: it goes on. */
	UNTIL(w, is_idle(w));
	assert_int_equal(w->queue->counters.sent, 201);
}

static void
test_overtake(void **state)
{
	(void)state;
	world_run(world_new(), body_overtake);
}

/* The priority that the sender gave, as far as it may. */
static void
body_priority(struct world *w)
{
	struct queue_rcpt one = {.original = SLICE("x@b.test")};
	struct queue_submission s = {.origin = ORIGIN_ACCOUNT, .account_id = SLICE("a"), .rcpts = &one, .rcpts_n = 1};
	struct slice plain = SLICE("Subject: x\r\n\r\n"), list = SLICE("List-Unsubscribe: <x>\r\n\r\n");

	assert_int_equal(lane_choose(w->queue, &s, plain), LANE_NORMAL);
	assert_int_equal(lane_choose(w->queue, &s, list), LANE_BULK);
	s.envelope = SLICE("MT-PRIORITY=6\n");
	assert_int_equal(lane_choose(w->queue, &s, plain), LANE_URGENT);
	s.origin = ORIGIN_STRANGER;
	assert_int_equal(lane_choose(w->queue, &s, plain), LANE_NORMAL);
	s.envelope = SLICE("MT-PRIORITY=-2\n");
	assert_int_equal(lane_choose(w->queue, &s, plain), LANE_BULK);
	s = (struct queue_submission){.origin = ORIGIN_ACCOUNT, .account_id = SLICE("b"), .rcpts = &one, .rcpts_n = 1};
	for (int i = 0; i < (int)w->house.limits.queue_bulk_hourly; i++)
		assert_int_equal(lane_choose(w->queue, &s, plain), LANE_NORMAL);
	assert_int_equal(lane_choose(w->queue, &s, plain), LANE_BULK);
}

static void
test_priority(void **state)
{
	(void)state;
	world_run(world_new(), body_priority);
}

/* ---- sites ---------------------------------------------------------------------------------------------- */

static void
body_paused(struct world *w)
{
	char id[ULID_LEN + 1], other[ULID_LEN + 1], live[ULID_LEN + 1];
	struct queue_filter f = {.id = slice_of(other, ULID_LEN)};
	struct queue_acted acted;
	struct site *s;
	size_t sends;

	w->straw = says_unreachable;
	w->house.limits.queue_send_recipients = 1;
	(void)snprintf(w->site, sizeof(w->site), "mx.dead.test");
	assert_int_equal(submit(w, "alice@example.test", "x@one.test", id), SUBMIT_OK);
	UNTIL(w, w->sends == 1);
	settle_down(w);
	s = site_named(w, "mx.dead.test");
	assert_non_null(s);
	assert_true(site_paused(w->queue, s));
	assert_string_equal(s->last_reply, "Could not connect");
	/* The domain is known: its mail is not tried, and waits in the lane of its own. */
	assert_int_equal(submit_many(w, "alice@example.test", "one.test", 50, other), SUBMIT_OK);
	settle_down(w);
	assert_int_equal(w->sends, 1);
	UNTIL(w, w->queue->rcpts.n == 0);
	assert_int_equal(w->queue->counters.postponed, 50);
	/* Another site is not touched by it. */
	w->site[0] = '\0';
	assert_int_equal(submit(w, "alice@example.test", "live@two.test", live), SUBMIT_OK);
	UNTIL(w, w->queue->counters.sent == 1);
	/* Longer each time, one attempt at a time. */
	(void)snprintf(w->site, sizeof(w->site), "mx.dead.test");
	for (int i = 0; i < 4; i++) {
		int64_t before = s->pause_us;

		sends = w->sends;
		advance(w, before + MINUTE_US);
		UNTIL(w, w->sends > sends);
		settle_down(w);
		assert_true(s->pause_us > before);
		assert_true(w->sends <= sends + 2);
	}
	/* The operator need not wait. */
	sends = w->sends;
	assert_int_equal(queue_act(w->queue, &f, QUEUE_RETRY, &acted), 0);
	assert_true(acted.changed > 0);
	UNTIL(w, w->sends > sends);
	settle_down(w);
	/* It answers again: all of it goes. */
	w->straw = straw_says_ok;
	for (int i = 0; i < 40 && !is_idle(w); i++)
		advance(w, 30 * MINUTE_US);
	assert_true(is_idle(w));
	assert_int_equal(s->failures, 0);
	assert_false(site_paused(w->queue, s));
}

static void
test_paused(void **state)
{
	(void)state;
	world_run(world_new(), body_paused);
}

/* What waits for a site that never answers is warned of and returned in time, though nobody tries it. */
static void
body_dead_for_ever(struct world *w)
{
	char id[ULID_LEN + 1], other[ULID_LEN + 1];

	w->straw = says_unreachable;
	w->house.limits.queue_site_pause_max_ms = INT64_C(1000) * 86400 * 30;
	w->house.limits.queue_site_pause_min_ms = w->house.limits.queue_site_pause_max_ms;
	w->house.limits.queue_retry_min_ms = w->house.limits.queue_site_pause_max_ms;
	assert_int_equal(submit(w, "", "x@b.test", other), SUBMIT_OK);
	UNTIL(w, w->sends == 1);
	settle_down(w);
	assert_int_equal(submit(w, "alice@example.test", "y@b.test", id), SUBMIT_OK);
	settle_down(w);
	for (int i = 0; i < 6; i++)
		advance(w, HOUR_US);
	UNTIL(w, delivered_to(w, "alice", 0) != NULL);
	assert_non_null(strstr(w->last_body, "Action: delayed"));
	for (int i = 0; i < 120; i++)
		advance(w, HOUR_US);
	UNTIL(w, delivered_to(w, "alice", 1) != NULL);
	assert_non_null(strstr(w->last_body, "Action: failed"));
	assert_non_null(strstr(w->last_body, "Could not connect"));
	assert_int_equal(w->sends, 1);
	UNTIL(w, is_idle(w));
}

static void
test_dead_for_ever(void **state)
{
	(void)state;
	world_run(world_new(), body_dead_for_ever);
}

static void
body_feedback(struct world *w)
{
	char id[ULID_LEN + 1];
	struct site *s;

	w->send_ms = 20;
	w->house.limits.queue_send_recipients = 1;
	assert_int_equal(submit_many(w, "alice@example.test", "b.test", 300, id), SUBMIT_OK);
	UNTIL(w, w->queue->counters.sent == 300);
	s = site_named(w, "b.test");
	assert_int_equal(s->limit_milli, 50000);
	assert_in_range(w->most_sending, 30, 50);
	/* It wants less: half, not one for each that says so at the same time; and it is not paused. */
	w->straw = says_less;
	assert_int_equal(submit_many(w, "alice@example.test", "b.test", 40, id), SUBMIT_OK);
	UNTIL(w, w->queue->counters.deferred == 40);
	assert_int_equal(s->limit_milli, 25000);
	assert_false(site_paused(w->queue, s));
	/* Slowly back. */
	w->straw = straw_says_ok;
	assert_int_equal(submit_many(w, "alice@example.test", "b.test", 100, id), SUBMIT_OK);
	UNTIL(w, w->queue->counters.sent == 400);
	assert_in_range(s->limit_milli, 26000, 31000);
}

static void
test_feedback(void **state)
{
	(void)state;
	world_run(world_new(), body_feedback);
}

static void
body_names(struct world *w)
{
	char id[ULID_LEN + 1];

	(void)snprintf(w->site, sizeof(w->site), "mx.shared.test");
	assert_int_equal(submit(w, "alice@example.test", "x@one.test", id), SUBMIT_OK);
	assert_int_equal(submit(w, "alice@example.test", "x@two.test", id), SUBMIT_OK);
	UNTIL(w, w->queue->counters.sent == 2);
	assert_true(slice_eq(site_name_of(w->queue, SLICE("one.test")), SLICE("mx.shared.test")));
	site_names_flush(w->queue, true);
	w->house.limits.queue_sites = 1; /* the most lately seen only */
	world_restart(w);
	assert_int_equal(w->queue->site_names.n, 1);
	w->house.limits.queue_sites = 20000;
	world_restart(w);
	assert_true(slice_eq(site_name_of(w->queue, SLICE("one.test")), SLICE("mx.shared.test")));
	assert_true(slice_eq(site_name_of(w->queue, SLICE("two.test")), SLICE("mx.shared.test")));
	assert_true(slice_eq(site_name_of(w->queue, SLICE("three.test")), SLICE("three.test")));
	assert_true(queue_site_fits(SLICE("mx.google.com:25"), SLICE("google.com")));
	assert_true(queue_site_fits(SLICE("google.com"), SLICE("google.com")));
	assert_false(queue_site_fits(SLICE("mx.notgoogle.com"), SLICE("google.com")));
	assert_false(queue_site_fits(SLICE("com"), SLICE("google.com")));
	assert_false(queue_site_fits(SLICE_EMPTY, SLICE("google.com")));
}

static void
test_names(void **state)
{
	(void)state;
	world_run(world_new(), body_names);
}

/* ---- the operator ------------------------------------------------------------------------------------------ */

static void
body_suspended(struct world *w)
{
	struct lines l = {.key = "name"};
	char id[ULID_LEN + 1], person[ULID_LEN + 1];
	int64_t recipients;

	assert_int_equal(queue_suspend(w->queue, SLICE(""), 0), ERR_INVALID);
	assert_int_equal(queue_suspend(w->queue, SLICE("B.test"), 0), 0);
	assert_int_equal(submit_many(w, "alice@example.test", "b.test", 20, id), SUBMIT_OK);
	assert_int_equal(submit(w, "alice@example.test", "x@c.test", person), SUBMIT_OK);
	UNTIL(w, w->queue->counters.sent == 1);
	world_restart(w);
	for (int i = 0; i < 3; i++)
		advance(w, HOUR_US);
	assert_int_equal(queue_suspensions(w->queue, collect, &l), 0);
	assert_string_equal(l.text, "b.test\n");
	assert_int_equal(w->sends, 1);
	assert_int_equal(queue_resume(w->queue, SLICE("c.test"), &recipients), ERR_NOTFOUND);
	assert_int_equal(queue_resume(w->queue, SLICE("b.TEST"), &recipients), 0);
	assert_int_equal(recipients, 20);
	UNTIL(w, is_idle(w));
	/* For a time. */
	assert_int_equal(queue_suspend(w->queue, SLICE("b.test"), house_now_us(&w->house) + 30 * MINUTE_US), 0);
	assert_int_equal(submit(w, "alice@example.test", "x@b.test", person), SUBMIT_OK);
	advance(w, 20 * MINUTE_US);
	assert_int_equal(queue_length(w), 1);
	advance(w, 20 * MINUTE_US);
	UNTIL(w, is_idle(w));
}

static void
test_suspended(void **state)
{
	(void)state;
	world_run(world_new(), body_suspended);
}

static void
body_suppressed(struct world *w)
{
	struct lines l = {.key = "address"};
	char id[ULID_LEN + 1];
	size_t sends;

	w->straw = straw_says_mixed;
	for (int i = 0; i < 2; i++)
		assert_int_equal(submit(w, "alice@example.test", "n@b.test", id), SUBMIT_OK);
	UNTIL(w, w->queue->counters.failed == 2);
	/* A delivery clears the count. */
	w->straw = straw_says_ok;
	assert_int_equal(submit(w, "alice@example.test", "n@b.test", id), SUBMIT_OK);
	UNTIL(w, w->queue->counters.sent == 1);
	w->straw = straw_says_mixed;
	for (int i = 0; i < 3; i++) {
		assert_false(suppress_is(w->queue, SLICE("n@b.test")));
		assert_int_equal(submit(w, "alice@example.test", "n@b.test", id), SUBMIT_OK);
		UNTIL(w, w->queue->counters.failed == 3 + i);
		settle_down(w);
	}
	assert_true(suppress_is(w->queue, SLICE("N@B.test")));
	sends = w->sends;
	world_restart(w);
	assert_int_equal(submit(w, "alice@example.test", "N@b.test", id), SUBMIT_OK);
	UNTIL(w, w->queue->counters.failed == 1);
	assert_int_equal(w->sends, sends);
	assert_int_equal(queue_suppress_list(w->queue, collect, &l), 0);
	assert_string_equal(l.text, "n@b.test\n");
	/* Strangers' mail that goes there by an alias is not ours to judge. */
	assert_int_equal(submit(w, "s@a.test", "n@b.test", id), SUBMIT_OK);
	UNTIL(w, w->sends == sends + 2); /* and its bounce */
	assert_int_equal(queue_suppress_remove(w->queue, SLICE("n@b.test")), 0);
	assert_int_equal(queue_suppress_remove(w->queue, SLICE("n@b.test")), ERR_NOTFOUND);
	assert_int_equal(queue_suppress_add(w->queue, SLICE("@b.test"), SLICE_EMPTY), ERR_INVALID);
	assert_false(suppress_is(w->queue, SLICE("n@b.test")));
}

static void
test_suppressed(void **state)
{
	(void)state;
	world_run(world_new(), body_suppressed);
}

static void
body_acts(struct world *w)
{
	char id[ULID_LEN + 1];
	struct queue_filter f = {.id = slice_of(id, ULID_LEN)};
	struct queue_acted acted;

	w->straw = straw_says_later;
	assert_int_equal(submit(w, "alice@example.test", "l@b.test", id), SUBMIT_OK);
	UNTIL(w, w->sends == 1);
	UNTIL(w, is_resting(w));
	assert_int_equal(queue_act(w->queue, &f, QUEUE_FAIL, &acted), 0);
	assert_int_equal(acted.changed, 1);
	UNTIL(w, delivered_to(w, "alice", 0) != NULL);
	UNTIL(w, is_idle(w));
	/* By way of another server; the site is that one then. */
	assert_int_equal(submit(w, "alice@example.test", "l@b.test", id), SUBMIT_OK);
	UNTIL(w, w->sends == 2);
	UNTIL(w, is_resting(w));
	w->straw = straw_says_ok;
	assert_int_equal(queue_reroute(w->queue, &f, SLICE("10.0.0.1:2525"), &acted), 0);
	UNTIL(w, is_idle(w));
	assert_string_equal(w->route, "10.0.0.1:2525");
	assert_non_null(site_named(w, "10.0.0.1:2525"));
	/* While it is under way: afterwards. */
	w->straw = straw_says_later;
	w->send_ms = 30;
	assert_int_equal(submit(w, "alice@example.test", "l@b.test", id), SUBMIT_OK);
	UNTIL(w, w->sending == 1);
	assert_int_equal(queue_act(w->queue, &f, QUEUE_REMOVE, &acted), 0);
	assert_int_equal(acted.changed, 0);
	assert_int_equal(acted.under_way, 1);
	UNTIL(w, is_idle(w));
	assert_int_equal(w->queue->counters.removed, 1);
}

static void
test_acts(void **state)
{
	(void)state;
	world_run(world_new(), body_acts);
}

/* ---- success ----------------------------------------------------------------------------------------------- */

static size_t
count(const char *text, const char *what)
{
	size_t n = 0;

	for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what))
		n++;
	return n;
}

static void
body_success(struct world *w)
{
	struct slice_list to = SLICE_LIST(SLICE("bob@example.test"), SLICE("k@b.test"), SLICE("n@b.test"));
	char id[ULID_LEN + 1] = "";

	w->straw = straw_says_mixed;
	w->envelope = "ENVID=a+2Bb\n";
	w->rcpt_envelope = "NOTIFY=SUCCESS\nORCPT=rfc822;x@y.test\n";
	assert_int_equal(submit_body(w, "alice@example.test", to, BODY, SLICE_EMPTY, 0, id), SUBMIT_OK);
	UNTIL(w, w->queue->counters.successes == 1);
	w->rcpt_envelope = NULL;
	UNTIL(w, delivered_to(w, "alice", 0) != NULL);
	UNTIL(w, is_idle(w));
	assert_int_equal(count(w->last_body, "Action: delivered"), 1);
	assert_int_equal(count(w->last_body, "Action: relayed"), 1);
	assert_int_equal(count(w->last_body, "Action: failed"), 0);
	assert_int_equal(count(w->last_body, "Original-Envelope-Id: a+b"), 1);
	assert_int_equal(count(w->last_body, "Original-Recipient: rfc822;x@y.test"), 2);
	/* The next server reports itself; nobody is told who has no sender. */
	w->dsn = true;
	w->rcpt_envelope = "NOTIFY=SUCCESS\n";
	assert_int_equal(submit(w, "alice@example.test", "k@b.test", id), SUBMIT_OK);
	assert_int_equal(submit(w, "", "bob@example.test", id), SUBMIT_OK);
	UNTIL(w, is_idle(w));
	for (int i = 0; i < 400; i++)
		assert_int_equal(fiber_sleep(w->loop, 2), 0);
	assert_int_equal(w->queue->counters.successes, 1);
	/* The clerk dies between the delivery and the report: it is made at the next start. */
	assert_int_equal(submit(w, "alice@example.test", "bob@example.test", id), SUBMIT_OK);
	UNTIL(w, delivered_to(w, "bob", 2) != NULL && delivered_to(w, "bob", 2)->durable && w->reporting == 0);
	w->rcpt_envelope = NULL;
	world_restart(w);
	UNTIL(w, w->queue->counters.successes == 1);
	UNTIL(w, is_idle(w));
	assert_non_null(delivered_to(w, "alice", 1));
	assert_null(delivered_to(w, "alice", 2));
}

static void
test_success(void **state)
{
	(void)state;
	world_run(world_new(), body_success);
}

static void
body_by(struct world *w)
{
	char id[ULID_LEN + 1], envelope[100];
	int64_t now_s = house_now_us(&w->house) / 1000000;

	w->straw = straw_says_later;
	(void)snprintf(envelope, sizeof(envelope), "BY=%lld;R\n", (long long)now_s + 600);
	w->envelope = envelope;
	assert_int_equal(submit(w, "alice@example.test", "l@b.test", id), SUBMIT_OK);
	w->envelope = NULL;
	UNTIL(w, w->sends == 1);
	UNTIL(w, is_resting(w));
	advance(w, 11 * MINUTE_US);
	UNTIL(w, delivered_to(w, "alice", 0) != NULL);
	assert_non_null(strstr(w->last_body, "Status: 5.4.7"));
	UNTIL(w, is_idle(w));
	/* FUTURERELEASE: nothing before, and the lifetime begins then. */
	w->straw = straw_says_ok;
	(void)snprintf(envelope, sizeof(envelope), "HOLDUNTIL=%lld\n", (long long)now_s + 86400 * 30);
	w->envelope = envelope;
	w->sends = 0;
	assert_int_equal(submit(w, "alice@example.test", "k@b.test", id), SUBMIT_OK);
	w->envelope = NULL;
	world_restart(w);
	advance(w, 29 * 24 * HOUR_US);
	assert_int_equal(w->sends, 0);
	advance(w, 24 * HOUR_US);
	UNTIL(w, w->sends == 1);
	UNTIL(w, is_idle(w));
	assert_null(delivered_to(w, "alice", 1));
}

static void
test_by(void **state)
{
	(void)state;
	world_run(world_new(), body_by);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lane_room),
	    cmocka_unit_test(test_overtake),
	    cmocka_unit_test(test_priority),
	    cmocka_unit_test(test_paused),
	    cmocka_unit_test(test_dead_for_ever),
	    cmocka_unit_test(test_feedback),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_suspended),
	    cmocka_unit_test(test_suppressed),
	    cmocka_unit_test(test_acts),
	    cmocka_unit_test(test_success),
	    cmocka_unit_test(test_by),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
