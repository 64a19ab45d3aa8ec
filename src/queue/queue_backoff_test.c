/* queue_backoff_test.c: the waits between attempts, and the parameters of envelopes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "queue/queue_private.h"

#define MINUTE_US (60 * INT64_C(1000000))

static void
test_backoff(void **state)
{
	struct house h;
	int64_t now = 1000 * MINUTE_US, received = now, previous = 0;
	struct deadlines d = {.base_us = received};
	int attempts = 1;
	bool at_warning = false, at_end = false;

	(void)state;
	house_init(&h, "clerk");
	for (; !backoff_expired(&h.limits, now, &d); attempts++) {
		int64_t next = backoff_next_us(&h.limits, &h, now, &d, attempts, false), wait = next - now;

		at_warning = at_warning || next == received + h.limits.queue_warning_ms * 1000;
		at_end = at_end || next == received + h.limits.queue_lifetime_ms * 1000;
		assert_true(wait > 0 && wait <= h.limits.queue_retry_max_ms * 1000);
		if (attempts <= 6 && !at_warning)
			assert_true(wait > previous);
		previous = wait;
		now = next;
	}
	assert_true(at_warning && at_end);
	assert_true(attempts > 30 && attempts < 60);
	/* After the end and without sense in the limits it still ends. */
	h.limits.queue_retry_min_ms = 0;
	h.limits.queue_retry_max_ms = -5;
	assert_true(backoff_next_us(&h.limits, &h, now, &d, 1000000, true) > now);
	h.limits.queue_retry_min_ms = INT64_C(1) << 40;
	h.limits.queue_retry_max_ms = INT64_C(1) << 41;
	assert_true(backoff_next_us(&h.limits, &h, now, &d, 70, true) > now);
}

static void
test_envelope(void **state)
{
	struct slice e = SLICE("ENVID=QQ+2B1\nRET=HDRS\n"),
		     r = SLICE("NOTIFY=FAILURE,delay\nORCPT=rfc822;a+2Bb@c.test");
	struct arena a ARENA_CLEANUP;

	(void)state;
	arena_init(&a, 65536);
	assert_true(slice_eq(envelope_value(e, SLICE("ret")), SLICE("HDRS")));
	assert_true(slice_eq(xtext_decode(&a, envelope_value(e, SLICE("ENVID"))), SLICE("QQ+1")));
	assert_true(slice_eq(xtext_decode(&a, envelope_value(r, SLICE("ORCPT"))), SLICE("rfc822;a+b@c.test")));
	assert_int_equal(envelope_value(r, SLICE("NOTI")).n, 0);
	assert_true(envelope_notify(r, SLICE("FAILURE")) && envelope_notify(r, SLICE("DELAY")) &&
	    !envelope_notify(r, SLICE("SUCCESS")));
	assert_false(envelope_notify(SLICE("NOTIFY=NEVER"), SLICE("FAILURE")));
	assert_true(envelope_notify(SLICE_EMPTY, SLICE("FAILURE")) && !envelope_notify(SLICE_EMPTY, SLICE("SUCCESS")));
	for (size_t i = 0; i < 4; i++) {
		static const char *const bad[] = {"+", "+2", "+2b", "a=b"};

		assert_int_equal(xtext_decode(&a, slice_z(bad[i])).n, 0);
	}
}

static void
test_text(void **state)
{
	struct arena a ARENA_CLEANUP;

	(void)state;
	arena_init(&a, 65536);
	assert_true(slice_eq(text_clean(&a, SLICE("a\r\nb\0c"), 100), SLICE("a  b?c")));
	assert_true(slice_eq(text_clean(&a, SLICE("\xff\xfe"), 100), SLICE("??")));
	assert_true(slice_eq(text_clean(&a, SLICE("gr\xc3\xbc\xc3\x9f"), 5), SLICE("gr\xc3\xbc")));
	assert_true(slice_eq(text_clean(&a, SLICE("gr\xc3\xbc\xc3\x9f"), 6), SLICE("gr\xc3\xbc\xc3\x9f")));
	assert_true(
	    slice_eq(header_message_id(SLICE("Subject: x\r\nmessage-id:\r\n <a@b>\r\n\r\nMessage-ID: <no>"), 1000),
		SLICE("a@b")));
	assert_int_equal(header_message_id(SLICE("Subject: x\r\n\r\nMessage-ID: <no>"), 1000).n, 0);
	assert_true(slice_eq(header_message_id(SLICE("Message-ID: <a@b"), 1000), SLICE("a@b")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_backoff),
	    cmocka_unit_test(test_envelope),
	    cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
