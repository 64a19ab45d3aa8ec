/* Signed-in clients that mean harm, or are broken: nothing is lost, other sessions are unharmed, memory is bounded. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "imap/imap_testing.h"

static void
send_many(struct client *c, const char *piece, int times)
{
	for (int i = 0; i < times; i++)
		assert_int_equal(stream_write(c->st, slice_z(piece)), 0);
	assert_int_equal(stream_flush(c->st), 0);
}

WORLD_TEST(test_long_lines)
{
	struct client c;

	client_start(&c, w);
	client_send(&c, SLICE("x SELECT "));
	send_many(&c, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 16384);
	client_send(&c, SLICE("\r\n"));
	wants(client_until(&c, "x "), "x BAD the command line is too long", "1 MB");
	client_send(&c, SLICE("x FETCH "));
	send_many(&c, "((((((((((", 6000);
	client_send(&c, SLICE("\r\n"));
	wants(client_until(&c, "x "), "x BAD", "parentheses");
	client_send(&c, SLICE("x SEARCH {100000+}\r\n"));
	send_many(&c, "(((((((((( ", 9090);
	client_send(&c, SLICE("(((((((((("));
	client_send(&c, SLICE("\r\n"));
	wants(client_until(&c, "x "), "x BAD", "parentheses in a literal");
	/* A tag of 300 bytes. */
	send_many(&c, "tttttttttt", 30);
	client_send(&c, SLICE(" NOOP\r\n"));
	wants(client_until(&c, "* BAD"), "* BAD", "tag");
	expect(&c, "NOOP", "x OK");
	client_end(&c);
}

WORLD_TEST(test_literals)
{
	static const char *const fatal[] = {"x SELECT {4294967295+}\r\n", "x SELECT {99999999999999999999+}\r\n",
	    "x APPEND INBOX {4294967295+}\r\n", "x APPEND INBOX (\\Nonsense) {4294967295+}\r\n"};
	struct client c;

	client_start(&c, w);
	expect(&c, "SELECT {4294967295}", "x BAD");
	expect(&c, "SELECT {1048577}", "x BAD");
	expect(&c, "APPEND INBOX {4294967295}", "x NO");
	client_send(&c, SLICE("x SELECT {3+}\r\na\0b\r\n"));
	wants(client_until(&c, "x "), "x BAD a NUL in a literal", "NUL");
	/* Together they may not be larger either. */
	client_send(&c, SLICE("x SEARCH SUBJECT {600000+}\r\n"));
	send_many(&c, "aaaaaaaaaa", 60000);
	client_send(&c, SLICE(" SUBJECT {600000}\r\n"));
	wants(client_until(&c, "x "), "x BAD", "two literals");
	client_end(&c);
	for (size_t i = 0; i < COUNT_OF(fatal); i++) {
		client_start(&c, w);
		client_send(&c, slice_z(fatal[i]));
		wants(client_until(&c, "* BYE"), "* BYE", fatal[i]);
		client_end(&c);
	}
	/* Half a literal, and gone. */
	client_start(&c, w);
	client_send(&c, SLICE("x APPEND INBOX {1000+}\r\nonly half"));
	client_end(&c);
	client_start(&c, w);
	client_send(&c, SLICE("x LIST {1000+}\r\nonly half"));
	client_end(&c);
	/* Rubbish behind the message. */
	client_start(&c, w);
	client_send(&c, SLICE("x APPEND INBOX {5+}\r\na:b\r\nrubbish\r\n"));
	wants(client_until(&c, "* BYE"), "x BAD", "rubbish");
	client_end(&c);
	client_start(&c, w);
	expect(&c, "STATUS INBOX (MESSAGES)", "MESSAGES 0)");
	client_end(&c);
}

WORLD_TEST(test_errors)
{
	struct client c;

	client_start(&c, w);
	for (int64_t i = 0; i <= w->p->house.limits.imap_errors; i++)
		client_send(&c, SLICE("\r\n"));
	wants(client_until(&c, "* BYE"), "* BYE too many errors", "errors");
	client_end(&c);
}

WORLD_TEST(test_id_flood)
{
	struct client c;
	struct buf BUF_CLEANUP id;

	w->p->house.limits.imap_errors = 1000;
	buf_init(&id, 1 << 20);
	buf_put(&id, SLICE("ID ("));
	for (int i = 0; i < 5000; i++)
		buf_put(&id, SLICE("\"a\" \"b\" "));
	buf_put(&id, SLICE("\"a\" NIL)\0"));
	client_start(&c, w);
	for (int i = 0; i < 100; i++)
		expect(&c, (const char *)id.p, "x BAD");
	client_end(&c);
}

/* 1,000 stars over many mailboxes. */
WORLD_TEST(test_list_stars)
{
	struct client c;
	struct buf BUF_CLEANUP pattern;
	int64_t start;

	client_start(&c, w);
	for (int i = 0; i < 500; i++) {
		char name[200];

		memset(name, 'a', sizeof(name));
		(void)snprintf(name + 100, sizeof(name) - 100, "%d", i);
		assert_int_equal(store_mailbox_create(w->account, slice_z(name), STORE_ROLE_NONE), 0);
	}
	buf_init(&pattern, 1 << 20);
	buf_put(&pattern, SLICE("LIST \"\" \""));
	for (int i = 0; i < 1000; i++)
		buf_put(&pattern, i % 10 ? SLICE("*") : SLICE("*a"));
	buf_put(&pattern, SLICE("b\"\0"));
	start = loop_now_ms(w->p->loop);
	exactly(&c, (const char *)pattern.p, "");
	assert_true(loop_now_ms(w->p->loop) - start < 5000);
	client_end(&c);
}

/* A client that asks for much and reads nothing is dropped; others go on. */
WORLD_TEST(test_slow_reader)
{
	struct client slow, other;
	struct buf BUF_CLEANUP big;

	w->p->house.limits.write_timeout_ms = 200;
	buf_init(&big, 1u << 24);
	for (int i = 0; i < 100000; i++)
		buf_put(&big, SLICE("a line of this message is this long\r\n"));
	client_start(&slow, w);
	append(&slow, "INBOX", buf_slice(&big));
	expect(&slow, "SELECT INBOX", "x OK");
	client_send(&slow, SLICE("x FETCH 1 (BODY.PEEK[])\r\nx FETCH 1 (BODY.PEEK[])\r\nx FETCH 1 (BODY.PEEK[1])\r\n"));
	client_start(&other, w);
	expect(&other, "SELECT INBOX", "* 1 EXISTS");
	fiber_join(w->p->loop, &slow.fiber);
	assert_int_equal(slow.result, ERR_TIMEOUT);
	stream_close(&slow.st);
	buf_free(&slow.out);
	expect(&other, "NOOP", "x OK");
	client_end(&other);
}

/* Clients that hang up at every byte of a session. */
WORLD_TEST(test_hang_ups)
{
	struct slice talk = SLICE(
	    "a SELECT INBOX\r\nb APPEND INBOX {7+}\r\nabc\r\n\r\n\r\nc FETCH 1:* (BODY[] ENVELOPE)\r\n"
	    "d SEARCH TEXT abc\r\ne STORE 1 +FLAGS (\\Deleted)\r\nf EXPUNGE\r\ng IDLE\r\nDONE\r\nh LOGOUT\r\n");

	for (size_t n = 0; n <= talk.n; n++) {
		struct client c;

		client_start(&c, w);
		client_send(&c, slice_head(talk, n));
		if (n % 3 == 0)
			assert_int_equal(fiber_sleep(w->p->loop, 1), 0);
		client_end(&c);
	}
	assert_int_equal(w->counters.sessions_open, 0);
	assert_int_equal(w->counters.idling, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_long_lines),
	    cmocka_unit_test(test_literals),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_id_flood),
	    cmocka_unit_test(test_list_stars),
	    cmocka_unit_test(test_slow_reader),
	    cmocka_unit_test(test_hang_ups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
