/* queue_test.c: mail through the queue: taken, delivered, retried for five days, bounced, held, restarted. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "queue/queue_testing.h"

/* ---- local delivery ------------------------------------------------------------------------------------ */

static void
body_local(struct world *w)
{
	char id[ULID_LEN + 1], again[ULID_LEN + 1];
	struct slice to = SLICE("bob@example.test");
	struct lines l = {.key = "text"};

	assert_int_equal(submit(w, "a@a.test", "bob@example.test", id), SUBMIT_OK);
	UNTIL(w, w->durable_n == 1);
	assert_int_equal(w->deliver_calls, 1);
	assert_string_equal(w->deliveries[0].account, "bob");
	assert_string_equal(w->deliveries[0].message, id);
	assert_string_equal(w->deliveries[0].from, "a@a.test");
	assert_int_equal(queue_length(w), 0);
	assert_int_equal(w->queue->rcpts.n, 0);
	assert_int_equal(w->queue->messages.n, 0);
	assert_int_equal(w->queue->content_bytes, 0);
	UNTIL(w, w->forgotten == 1);
	/* The same submission once more is taken once. */
	memcpy(again, id, sizeof(again));
	assert_int_equal(
	    submit_body(w, "a@a.test", (struct slice_list){&to, 1}, BODY, SLICE_EMPTY, 0, again), SUBMIT_OK);
	settle_down(w);
	assert_int_equal(w->deliver_calls, 1);
	assert_int_equal(queue_trace(w->queue, slice_z(id), collect, &l), 0);
	assert_string_equal(l.text,
	    "Received from mail.a.test [127.0.0.1] over TLSv1.3 TLS_AES_256_GCM_SHA384, sent by a@a.test; accepted for "
	    "1 recipient, 52 bytes\n"
	    "bob@example.test: delivered to the mailbox of bob@example.test\n");
	for (int i = 0; i < 4; i++) {
		static const char *const keys[] = {"<one@a.test>", "one@a.test", "BOB@example.test", "a@a.test"};
		struct lines k = {.key = "id"};

		assert_int_equal(queue_trace(w->queue, slice_z(keys[i]), collect, &k), 0);
		assert_int_equal(k.rows, 2);
	}
	assert_int_equal(queue_trace(w->queue, SLICE("nobody@a.test"), collect, &l), ERR_NOTFOUND);
}

static void
test_local(void **state)
{
	(void)state;
	world_run(world_new(), body_local);
}

/* ---- refusals -------------------------------------------------------------------------------------------- */

static void
body_refused(struct world *w)
{
	char id[ULID_LEN + 1];
	struct buf detail BUF_CLEANUP;
	struct queue_submission s = {.id = SLICE("not a ulid")};

	buf_init(&detail, 1000);
	assert_int_equal(queue_submit(w->queue, &s, &detail), SUBMIT_REFUSED);
	w->house.limits.low_disk_bytes = INT64_MAX;
	w->queue->disk_checked_ms = 0;
	assert_int_equal(submit(w, "a@a.test", "bob@example.test", id), SUBMIT_NO_SPACE);
	w->house.limits.low_disk_bytes = 0;
	w->queue->disk_checked_ms = 0;
	assert_int_equal(submit(w, "a@a.test", "bob@example.test", id), SUBMIT_OK);
	UNTIL(w, w->durable_n == 1);
}

static void
test_refused(void **state)
{
	(void)state;
	world_run(world_new(), body_refused);
}

/* ---- five days of failure --------------------------------------------------------------------------------- */

static bool
contains(const struct world *w, const char *text)
{
	return slice_find(slice_of(w->last_body, w->last_body_n), slice_z(text)) != SLICE_NONE;
}

static void
body_five_days(struct world *w)
{
	char id[ULID_LEN + 1];
	size_t hours = 0;

	w->straw = straw_says_later;
	assert_int_equal(submit(w, "alice@example.test", "x@b.test", id), SUBMIT_OK);
	UNTIL(w, w->sends == 1);
	settle_down(w);
	/* Nothing more before five minutes have passed. */
	advance(w, 200 * INT64_C(1000000));
	assert_int_equal(w->sends, 1);
	advance(w, 160 * INT64_C(1000000));
	UNTIL(w, w->sends == 2);
	for (; hours < 4; hours++)
		advance(w, HOUR_US);
	/* Told once of the delay. */
	UNTIL(w, delivered_to(w, "alice", 0) != NULL);
	assert_string_equal(delivered_to(w, "alice", 0)->from, "");
	assert_true(contains(w, "Action: delayed"));
	assert_true(contains(w, "Status: 4.7.1"));
	assert_true(contains(w, "Auto-Submitted: auto-replied"));
	assert_true(contains(w, "451 4.7.1 try later"));
	for (; hours < 119; hours++)
		advance(w, HOUR_US);
	assert_int_equal(w->deliveries_n, 1);
	/* On a busy machine an attempt may fall into the next hour. */
	assert_true(w->sends > 15 && w->sends < 70);
	advance(w, HOUR_US);
	UNTIL(w, delivered_to(w, "alice", 1) != NULL);
	assert_true(contains(w, "Action: failed"));
	assert_true(contains(w, "Status: 4.4.7"));
	assert_true(contains(w, "multipart/report"));
	assert_true(
	    contains(w, "Final-Recipient: rfc822;x@b.test") || contains(w, "Final-Recipient: rfc822; x@b.test"));
	assert_true(contains(w, "Subject: hello"));
	assert_true(contains(w, id));
	UNTIL(w, is_idle(w));
	hours = w->sends;
	advance(w, 48 * HOUR_US);
	assert_int_equal(w->sends, hours);
	assert_int_equal(w->deliveries_n, 2);
}

static void
test_five_days(void **state)
{
	(void)state;
	world_run(world_new(), body_five_days);
}

/* ---- several recipients of a domain ------------------------------------------------------------------------ */

static void
body_mixed(struct world *w)
{
	struct slice_list to = SLICE_LIST(
	    SLICE("k1@b.test"), SLICE("l1@b.test"), SLICE("n1@b.test"), SLICE("n2@B.test"));
	char id[ULID_LEN + 1] = "";
	struct lines l = {.key = "text"};

	w->straw = straw_says_mixed;
	assert_int_equal(submit_body(w, "alice@example.test", to, BODY, SLICE_EMPTY, 0, id), SUBMIT_OK);
	UNTIL(w, w->durable_n == 1);
	assert_int_equal(w->sends, 1);
	assert_int_equal(w->sent_recipients, 4);
	/* One report for both that were refused. */
	assert_int_equal(w->deliveries_n, 1);
	assert_true(contains(w, "n1@b.test"));
	assert_true(contains(w, "n2@B.test"));
	assert_true(contains(w, "550 5.1.1 no such user"));
	assert_false(contains(w, "k1@b.test"));
	w->straw = straw_says_ok;
	advance(w, 600 * INT64_C(1000000));
	UNTIL(w, w->sends == 2);
	UNTIL(w, is_idle(w));
	assert_int_equal(queue_trace(w->queue, slice_z(id), collect, &l), 0);
	assert_non_null(
	    strstr(l.text, "k1@b.test: taken by the next server: mx.b.test [127.0.0.1]:25 said 250 2.0.0 taken\n"));
	assert_non_null(strstr(
	    l.text, "l1@b.test: not yet: mx.b.test [127.0.0.1]:25 said 451 4.7.1 try later; next attempt at 20"));
	assert_non_null(strstr(l.text,
	    "n1@b.test: failed for good: mx.b.test [127.0.0.1]:25 said 550 5.1.1 no such user (the mailbox does not "
	    "exist or is closed)\n"));
	assert_non_null(strstr(l.text, "alice@example.test: returned to the sender, with a report: message "));
}

static void
test_mixed(void **state)
{
	(void)state;
	world_run(world_new(), body_mixed);
}

static void
body_nobody(struct world *w)
{
	struct slice_list to = SLICE_LIST(SLICE("gone@example.test"), SLICE("bob@example.test"));
	char id[ULID_LEN + 1] = "", other[ULID_LEN + 1];
	struct lines l = {.key = "text"};

	assert_int_equal(submit_body(w, "alice@example.test", to, BODY, SLICE_EMPTY, 0, id), SUBMIT_OK);
	UNTIL(w, w->durable_n == 2);
	assert_non_null(delivered_to(w, "bob", 0));
	assert_non_null(delivered_to(w, "alice", 0));
	/* Of the null sender's failures nobody hears, nor does a sender that is gone. */
	w->desk_result = DELIVER_NO_ACCOUNT;
	assert_int_equal(submit(w, "", "bob@example.test", id), SUBMIT_OK);
	assert_int_equal(submit(w, "gone@example.test", "bob@example.test", other), SUBMIT_OK);
	UNTIL(w, w->queue->counters.double_bounces == 2);
	UNTIL(w, is_idle(w));
	assert_int_equal(w->deliveries_n, 2);
	assert_int_equal(queue_trace(w->queue, slice_z(id), collect, &l), 0);
	assert_non_null(strstr(l.text, "the message has no sender, so nobody is told that delivery failed\n"));
}

static void
test_nobody(void **state)
{
	(void)state;
	world_run(world_new(), body_nobody);
}

static void
body_thousand(struct world *w)
{
	struct slice to[1000];
	char names[1000][24], id[ULID_LEN + 1] = "";

	for (int i = 0; i < 1000; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "%c%d@b.test", i < 900 ? 'k' : 'n', i);
		to[i] = slice_z(names[i]);
	}
	w->straw = straw_says_mixed;
	w->send_ms = 20;
	w->house.limits.queue_concurrency = 4;
	assert_int_equal(
	    submit_body(w, "alice@example.test", (struct slice_list){to, 1000}, BODY, SLICE_EMPTY, 0, id), SUBMIT_OK);
	UNTIL(w, w->durable_n == 1);
	assert_int_equal(w->sends, 10);
	assert_int_equal(w->largest_send, 100);
	assert_int_equal(w->most_sending, 4);
	assert_int_equal(w->deliveries_n, 1);
	assert_int_equal(w->queue->counters.sent, 900);
	assert_int_equal(w->queue->counters.failed, 100);
	assert_int_equal(queue_length(w), 0);
}

static void
test_thousand(void **state)
{
	(void)state;
	world_run(world_new(), body_thousand);
}

/* ---- crashes ----------------------------------------------------------------------------------------------- */

static void
body_restart(struct world *w)
{
	char id[20][ULID_LEN + 1];
	uint8_t first[DELIVERY_ID_LEN];

	/* The desk took it, but nobody knows that it is durable. */
	w->silent_desk = true;
	for (int i = 0; i < 20; i++)
		assert_int_equal(submit(w, "a@a.test", "bob@example.test", id[i]), SUBMIT_OK);
	UNTIL(w, w->deliveries_n == 20);
	memcpy(first, w->deliveries[0].id, sizeof(first));
	settle_down(w);
	world_restart(w);
	UNTIL(w, w->deliver_calls == 40);
	assert_int_equal(w->deliveries_n, 20);
	assert_non_null(window_rcpt_find(w->queue, slice_of(first, sizeof(first))));
	/* The desk is restarted: once more. */
	settle_down(w);
	w->silent_desk = false;
	queue_desk_lost(w->queue, 0);
	UNTIL(w, w->durable_n == 20);
	assert_int_equal(w->deliver_calls, 60);
	assert_int_equal(w->deliveries_n, 20);
	assert_int_equal(queue_length(w), 0);
	world_restart(w);
	settle_down(w);
	assert_int_equal(w->deliver_calls, 60);
}

static void
test_restart(void **state)
{
	(void)state;
	world_run(world_new(), body_restart);
}

/* What was judged at the door still holds after a restart. */
static void
body_junk(struct world *w)
{
	struct lines l = {.key = "text"}, kinds = {.key = "kind"};
	char id[ULID_LEN + 1];

	w->judged_junk = true;
	w->rcpt_envelope = "NOTIFY=SUCCESS\n";
	w->desk_error = ERR_CLOSED;
	assert_int_equal(submit(w, "a@a.test", "bob@example.test", id), SUBMIT_OK);
	UNTIL(w, w->deliver_calls >= 1);
	world_restart(w);
	w->desk_error = 0;
	UNTIL(w, w->durable_n == 1);
	assert_string_equal(w->deliveries[0].mailbox, "junk");
	settle_down(w);
	assert_int_equal(queue_trace(w->queue, slice_z(id), collect, &kinds), 0);
	assert_string_equal(kinds.text, "received\nchecked\ndelivered\n");
	assert_int_equal(queue_trace(w->queue, slice_z(id), collect, &l), 0);
	assert_non_null(strstr(l.text, "\nit is not from whom it says\n"));
	/* Nobody was told of the success: a report would be a second message. */
	assert_int_equal(w->deliveries_n + w->sends, 1);
	w->judged_junk = false;
	assert_int_equal(submit(w, "a@a.test", "bob@example.test", id), SUBMIT_OK);
	UNTIL(w, w->sends == 1);
	assert_string_equal(w->deliveries[1].mailbox, "");
}

/* Who is named in vain gets no report, also after a restart; who lives here gets one. */
static void
body_forged(struct world *w)
{
	struct lines l = {.key = "text"};
	char id[ULID_LEN + 1];

	w->judged_forged = true;
	w->desk_error = ERR_CLOSED;
	assert_int_equal(submit(w, "a@a.test", "bob@example.test", id), SUBMIT_OK);
	UNTIL(w, w->deliver_calls >= 1);
	world_restart(w);
	w->desk_error = 0;
	w->desk_result = DELIVER_NO_ACCOUNT;
	UNTIL(w, w->queue->counters.double_bounces == 1);
	UNTIL(w, is_idle(w));
	assert_int_equal(w->sends, 0);
	assert_int_equal(queue_trace(w->queue, slice_z(id), collect, &l), 0);
	assert_non_null(strstr(l.text,
	    "\nthe sender is most likely forged (SPF or DMARC says that the message is not from there), "
	    "so nobody is told\n"));
	w->judged_forged = false;
	assert_int_equal(submit(w, "a@a.test", "bob@example.test", id), SUBMIT_OK);
	UNTIL(w, w->sends == 1);
}

static void
test_forged(void **state)
{
	(void)state;
	world_run(world_new(), body_forged);
}

static void
test_junk(void **state)
{
	(void)state;
	world_run(world_new(), body_junk);
}

static void
body_desk_down(struct world *w)
{
	char id[ULID_LEN + 1];

	w->desk_error = ERR_CLOSED;
	assert_int_equal(submit(w, "a@a.test", "bob@example.test", id), SUBMIT_OK);
	assert_int_equal(submit(w, "a@a.test", "alice@example.test", id), SUBMIT_OK);
	UNTIL(w, w->deliver_calls >= 2);
	w->desk_error = 0;
	UNTIL(w, w->durable_n == 2);
	assert_int_equal(w->deliveries_n, 2);
	assert_int_equal(queue_length(w), 0);
	/* Over quota: tried for the lifetime, then 5.2.2. */
	w->desk_result = DELIVER_OVER_QUOTA;
	assert_int_equal(submit(w, "x@b.test", "bob@example.test", id), SUBMIT_OK);
	settle_down(w);
	assert_int_equal(queue_length(w), 1);
	for (int i = 0; i < 121; i++)
		advance(w, HOUR_US);
	UNTIL(w, is_idle(w));
	/* The delay warning and the bounce. */
	assert_int_equal(w->sends, 2);
}

static void
test_desk_down(void **state)
{
	(void)state;
	world_run(world_new(), body_desk_down);
}

/* ---- large bodies -------------------------------------------------------------------------------------------- */

static size_t
files_in(struct world *w, const char *sub)
{
	char path[200];
	size_t n = 0;
	DIR *d;

	(void)snprintf(path, sizeof(path), "%s/queue/%s", w->dir, sub);
	d = opendir(path);
	assert_non_null(d);
	for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
		n += e->d_type == DT_REG;
	closedir(d);
	return n;
}

static void
body_blob(struct world *w)
{
	struct slice to = SLICE("bob@example.test");
	char name[QUEUE_BLOB_NAME_MAX], left[QUEUE_BLOB_NAME_MAX], id[ULID_LEN + 1] = "", path[200];
	int fd;

	assert_int_equal(queue_blob_create(w->queue, 7, left, &fd), 0);
	close(fd);
	assert_int_equal(queue_blob_create(w->queue, 8, name, &fd), 0);
	assert_int_equal(write(fd, BODY.p, BODY.n), (ssize_t)BODY.n);
	close(fd);
	assert_int_equal(files_in(w, "blobs/tmp"), 2);
	/* Somebody else's file. */
	assert_int_equal(submit_body(w, "a@a.test", (struct slice_list){&to, 1}, SLICE_EMPTY, slice_z(name), 7, id),
	    SUBMIT_TEMPFAIL);
	w->silent_desk = true;
	assert_int_equal(
	    submit_body(w, "a@a.test", (struct slice_list){&to, 1}, SLICE_EMPTY, slice_z(name), 8, id), SUBMIT_OK);
	UNTIL(w, w->deliveries_n == 1);
	assert_true(contains(w, "Hello."));
	assert_int_equal(files_in(w, "blobs"), 1);
	queue_blob_owner_gone(w->queue, 7);
	assert_int_equal(files_in(w, "blobs/tmp"), 0);
	/* An orphan is swept at the start, the message's file is not. */
	(void)snprintf(path, sizeof(path), "%s/queue/blobs/01J0000000000000000000000A", w->dir);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	settle_down(w);
	w->silent_desk = false;
	world_restart(w);
	assert_int_equal(files_in(w, "blobs"), 1);
	UNTIL(w, w->durable_n == 1);
	assert_int_equal(w->deliveries_n, 1);
	UNTIL(w, files_in(w, "blobs") == 0);
	/* Its Message-ID was read from the file. */
	{
		struct lines l = {.key = "id"};

		assert_int_equal(queue_trace(w->queue, SLICE("one@a.test"), collect, &l), 0);
	}
}

/* A body that was refused is not kept for an hour. */
static void
body_blob_refused(struct world *w)
{
	char name[QUEUE_BLOB_NAME_MAX];
	int64_t now_ms = house_mono_ms(&w->house);
	int fd;

	assert_int_equal(queue_blob_create(w->queue, 7, name, &fd), 0);
	for (int i = 0; i < 10; i++)
		blob_expire(w->queue, now_ms += 6000);
	assert_int_equal(files_in(w, "blobs/tmp"), 1);
	close(fd);
	for (int i = 0; i < 5; i++)
		blob_expire(w->queue, now_ms += 6000);
	assert_int_equal(files_in(w, "blobs/tmp"), 1);
	for (int i = 0; i < 5; i++)
		blob_expire(w->queue, now_ms += 6000);
	assert_int_equal(files_in(w, "blobs/tmp"), 0);
}

static void
test_blob_refused(void **state)
{
	(void)state;
	world_run(world_new(), body_blob_refused);
}

static void
test_blob(void **state)
{
	(void)state;
	world_run(world_new(), body_blob);
}

/* ---- the operator ----------------------------------------------------------------------------------------------- */

static void
body_operator(struct world *w)
{
	char id[ULID_LEN + 1], other[ULID_LEN + 1], blocked[ULID_LEN + 1];
	struct queue_filter one = {.id = slice_of(id, ULID_LEN)}, domain = {.address = SLICE("@b.test")};
	struct queue_filter unknown = {.id = slice_of(blocked, ULID_LEN)};
	struct queue_acted changed;
	size_t sends;

	w->straw = straw_says_later;
	assert_int_equal(submit(w, "alice@example.test", "x@b.test", id), SUBMIT_OK);
	assert_int_equal(submit(w, "alice@example.test", "x@c.test", other), SUBMIT_OK);
	UNTIL(w, w->sends == 2);
	UNTIL(w, is_resting(w));
	house_ulid(&w->house, blocked);
	assert_int_equal(queue_act(w->queue, &unknown, QUEUE_HOLD, &changed), ERR_NOTFOUND);
	assert_int_equal(queue_act(w->queue, &one, QUEUE_RETRY, &changed), 0);
	assert_int_equal(changed.changed, 1);
	UNTIL(w, w->sends == 3);
	UNTIL(w, is_resting(w));
	assert_int_equal(queue_act(w->queue, &domain, QUEUE_HOLD, &changed), 0);
	assert_int_equal(changed.changed, 1);
	for (int i = 0; i < 3; i++)
		advance(w, HOUR_US);
	UNTIL(w, is_resting(w));
	sends = w->sends;
	assert_int_equal(queue_act(w->queue, &one, QUEUE_RETRY, &changed), 0);
	assert_int_equal(changed.changed, 0);
	w->straw = straw_says_ok;
	one.held = true;
	assert_int_equal(queue_act(w->queue, &one, QUEUE_RELEASE, &changed), 0);
	assert_int_equal(changed.changed, 1);
	UNTIL(w, w->sends > sends);
	UNTIL(w, queue_length(w) == 1);
	one = (struct queue_filter){.id = slice_of(other, ULID_LEN)};
	assert_int_equal(queue_act(w->queue, &one, QUEUE_REMOVE, &changed), 0);
	assert_int_equal(changed.changed, 1);
	assert_int_equal(queue_length(w), 0);
	assert_int_equal(w->deliveries_n, 0);
	{
		struct lines l = {.key = "text"};

		assert_int_equal(queue_trace(w->queue, slice_z(other), collect, &l), 0);
		assert_non_null(strstr(l.text, "x@c.test: the operator removed it\n"));
		l = (struct lines){.key = "id"};
		assert_int_equal(queue_show(w->queue, slice_z(id), collect, &l), 0);
		assert_int_equal(l.rows, 1);
	}
}

static void
test_operator(void **state)
{
	(void)state;
	world_run(world_new(), body_operator);
}

/* ---- a small window, and a destination that blocks it -------------------------------------------------------- */

static void
body_window(struct world *w)
{
	char id[ULID_LEN + 1];

	for (int i = 0; i < 300; i++)
		assert_int_equal(submit(w, "a@a.test", "bob@example.test", id), SUBMIT_OK);
	for (int i = 0; i < 60 && w->durable_n < 300; i++)
		advance(w, 10 * INT64_C(1000000));
	assert_int_equal(w->durable_n, 300);
	assert_int_equal(w->deliveries_n, 300);
	assert_int_equal(queue_length(w), 0);
}

static void
body_blocked(struct world *w)
{
	struct lines l = {.key = "id"};
	char id[ULID_LEN + 1];

	/* The sessions to b.test never end; its mail is more than the window. */
	w->send_ms = 1000000;
	for (int i = 0; i < 100; i++)
		assert_int_equal(submit(w, "a@a.test", "x@b.test", id), SUBMIT_OK);
	for (int i = 0; i < 50; i++)
		assert_int_equal(submit(w, "a@a.test", "bob@example.test", id), SUBMIT_OK);
	UNTIL(w, w->durable_n == 50);
	/* One session, as long as nothing is known of the server. */
	assert_int_equal(w->sending, 1);
	assert_int_equal(queue_length(w), 100);
	/* What was never tried has no entries in the indexes, in the window or not. */
	w->house.limits.trace_messages = 1000;
	assert_int_equal(queue_trace(w->queue, SLICE("X@b.test"), collect, &l), 0);
	assert_int_equal(l.rows, 200);
	l = (struct lines){.key = "id"};
	assert_int_equal(queue_trace(w->queue, SLICE("<one@a.test>"), collect, &l), 0);
	assert_int_equal(l.rows, 300);
	w->house.limits.trace_messages = 3;
	l = (struct lines){.key = "id"};
	assert_int_equal(queue_trace(w->queue, SLICE("x@b.test"), collect, &l), 0);
	assert_int_equal(l.rows, 6);
}

static void
test_window(void **state)
{
	struct world *w = world_new();

	(void)state;
	w->house.limits.queue_window = 12;
	world_run(w, body_window);
	w = world_new();
	w->house.limits.queue_window = 20;
	world_run(w, body_blocked);
}

/* ---- pruning ------------------------------------------------------------------------------------------------------ */

static void
body_prune(struct world *w)
{
	char id[ULID_LEN + 1], held[ULID_LEN + 1], note[ULID_LEN + 1];
	struct queue_filter one = {.id = slice_of(held, ULID_LEN)};
	struct lines l = {.key = NULL}; /* asked again and again: only counted */
	struct queue_acted changed;

	assert_int_equal(submit(w, "a@a.test", "bob@example.test", id), SUBMIT_OK);
	UNTIL(w, w->durable_n == 1);
	w->straw = straw_says_later;
	assert_int_equal(submit(w, "", "x@b.test", held), SUBMIT_OK);
	UNTIL(w, w->sends == 1);
	UNTIL(w, is_resting(w));
	assert_int_equal(queue_act(w->queue, &one, QUEUE_HOLD, &changed), 0);
	assert_int_equal(changed.changed, 1);
	house_ulid(&w->house, note);
	assert_int_equal(
	    queue_history_add(w->queue, slice_z(note), SLICE("z@example.test"), HISTORY_NOTE, SLICE("refused")), 0);
	advance(w, 29 * 24 * HOUR_US);
	for (int i = 0; i < 600; i++)
		assert_int_equal(fiber_sleep(w->loop, 2), 0);
	assert_int_equal(queue_trace(w->queue, slice_z(id), collect, &l), 0);
	assert_int_equal(queue_trace(w->queue, SLICE("z@example.test"), collect, &l), 0);
	advance(w, 2 * 24 * HOUR_US);
	UNTIL(w, queue_trace(w->queue, slice_z(id), collect, &l) == ERR_NOTFOUND);
	UNTIL(w, queue_trace(w->queue, slice_z(note), collect, &l) == ERR_NOTFOUND);
	/* What is still here keeps its story. */
	assert_int_equal(queue_trace(w->queue, slice_z(held), collect, &l), 0);
}

static void
test_prune(void **state)
{
	(void)state;
	world_run(world_new(), body_prune);
}

/* ---- many at a time --------------------------------------------------------------------------------------------- */

#define LOAD_FIBERS 50
#define LOAD_EACH 40

struct load {
	struct world *w;
	size_t done;
};

static void
load_main(void *arg)
{
	struct load *x = arg;
	char id[ULID_LEN + 1];

	for (int i = 0; i < LOAD_EACH; i++) {
		assert_int_equal(submit(x->w, "a@a.test", "bob@example.test", id), SUBMIT_OK);
		x->done++;
	}
}

static void
body_load(struct world *w)
{
	struct load x = {.w = w};

	for (int i = 0; i < LOAD_FIBERS; i++)
		assert_int_equal(fiber_start(w->loop, "load", load_main, &x, NULL), 0);
	UNTIL(w, x.done == LOAD_FIBERS * LOAD_EACH);
	UNTIL(w, w->durable_n == LOAD_FIBERS * LOAD_EACH);
	assert_int_equal(w->deliveries_n, LOAD_FIBERS * LOAD_EACH);
	assert_int_equal(w->deliver_calls, LOAD_FIBERS * LOAD_EACH);
}

static void
test_load(void **state)
{
	(void)state;
	world_run(world_new(), body_load);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_local),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_five_days),
	    cmocka_unit_test(test_mixed),
	    cmocka_unit_test(test_nobody),
	    cmocka_unit_test(test_thousand),
	    cmocka_unit_test(test_restart),
	    cmocka_unit_test(test_junk),
	    cmocka_unit_test(test_forged),
	    cmocka_unit_test(test_desk_down),
	    cmocka_unit_test(test_blob),
	    cmocka_unit_test(test_blob_refused),
	    cmocka_unit_test(test_operator),
	    cmocka_unit_test(test_window),
	    cmocka_unit_test(test_prune),
	    cmocka_unit_test(test_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
