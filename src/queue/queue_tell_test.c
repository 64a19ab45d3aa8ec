/* queue_tell_test.c: the wording of traces is what people read: it is compared with queue_tell_test.golden, which
 * changes only on purpose. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "queue/queue_tell.h"

static void
add(struct buf *out, struct slice line)
{
	buf_put(out, line.n == 0 ? SLICE("(nothing)") : line);
	buf_put_u8(out, '\n');
}

static void
tell_messages(struct arena *a, struct buf *out)
{
	struct row_message m = {.origin = ORIGIN_STRANGER,
	    .reverse_path = SLICE("a@a.test"),
	    .helo = SLICE("mail.a.test"),
	    .client = SLICE("192.0.2.1"),
	    .tls = SLICE("TLSv1.3 TLS_AES_256_GCM_SHA384"),
	    .recipients = 2,
	    .size_bytes = 1234};

	add(out, tell_received(a, &m));
	m.tls = SLICE_EMPTY;
	m.reverse_path = SLICE_EMPTY;
	m.recipients = 1;
	add(out, tell_received(a, &m));
	m.helo = SLICE("evil\r\nhelo\x1b[31m\xff");
	m.reverse_path = SLICE("gr\xc3\xbc\xc3\x9f@a.test");
	add(out, tell_received(a, &m));
	m.origin = ORIGIN_ACCOUNT;
	m.helo = SLICE("laptop");
	add(out, tell_received(a, &m));
	m.client = SLICE_EMPTY;
	m.helo = SLICE_EMPTY;
	add(out, tell_received(a, &m));
	m.origin = ORIGIN_SYSTEM;
	add(out, tell_received(a, &m));
}

static void
tell_rcpts(struct arena *a, struct buf *out)
{
	struct row_rcpt r = {.original = SLICE("bob+lists@example.test"),
	    .address = SLICE("bob@example.test"),
	    .due_us = 1763780546000000};
	static const enum row_result results[] = {RESULT_DELIVERED, RESULT_SENT, RESULT_FAILED, RESULT_REMOVED};

	add(out, tell_expanded(a, &r));
	r.via = SLICE("sales@example.test");
	add(out, tell_expanded(a, &r));
	add(out, tell_rcpt(a, &r));
	r.attempts = 1;
	add(out, tell_rcpt(a, &r));
	r.attempts = 3;
	add(out, tell_rcpt(a, &r));
	r.state = ROW_HELD;
	add(out, tell_rcpt(a, &r));
	r.state = ROW_DONE;
	r.code = SLICE("550");
	r.status = SLICE("5.1.1");
	r.reply = SLICE("no such user");
	r.host = SLICE("mx.b.test [192.0.2.7]:25");
	for (size_t i = 0; i < COUNT_OF(results); i++) {
		r.result = results[i];
		add(out, tell_rcpt(a, &r));
	}
	r.result = RESULT_FAILED;
	r.reply = SLICE("5.1.1 no such user");
	add(out, tell_rcpt(a, &r));
	r.host = r.code = SLICE_EMPTY;
	r.reply = SLICE("there is no such mailbox here");
	add(out, tell_rcpt(a, &r));
	add(out,
	    tell_history(a, SLICE("x@b.test"), HISTORY_DEFERRED, SLICE("mx.b.test said 451; next attempt at noon")));
	add(out, tell_history(a, SLICE_EMPTY, HISTORY_NOTE, SLICE("a note\r\nof two lines")));
}

static void
test_wording(void **state)
{
	struct arena a ARENA_CLEANUP;
	struct buf out BUF_CLEANUP;
	char golden[16384];
	FILE *f = fopen("src/queue/queue_tell_test.golden", "re");
	size_t n;

	(void)state;
	assert_non_null(f);
	n = fread(golden, 1, sizeof(golden) - 1, f);
	fclose(f);
	golden[n] = '\0';
	arena_init(&a, 1u << 20);
	buf_init(&out, sizeof(golden));
	tell_messages(&a, &out);
	tell_rcpts(&a, &out);
	buf_put_u8(&out, '\0');
	assert_int_equal(out.err, 0);
	assert_string_equal((const char *)out.p, golden);
}

static void
test_kinds(void **state)
{
	(void)state;
	for (int k = HISTORY_RECEIVED; k <= HISTORY_NOTE; k++)
		for (int j = HISTORY_RECEIVED; j < k; j++)
			assert_string_not_equal(tell_history_kind(k), tell_history_kind(j));
	assert_string_equal(tell_history_kind(99), "note");
	assert_string_equal(tell_origin(ORIGIN_ACCOUNT), "account");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_wording),
	    cmocka_unit_test(test_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
