/* Whole sessions: sign-in before a porch's eyes, and a snapshot of a real Inbox behind a desk's. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "pop3/pop3.h"
#include "store/store_testing.h"

struct client {
	struct place *p;
	struct store_account *account;
	struct stream *st, *server, *desk, *desk_other;
	struct fiber *fiber;
	struct pop3_counters counters;
	struct guest_counters before;
	struct buf out;
	bool stopping, cleartext, utf8, refused;
	int result, answer, asked;
	char login[64], password[64];
};

static void
session_fiber(void *arg)
{
	struct client *c = arg;
	struct pop3_session_config config = {.house = &c->p->house,
	    .loop = c->p->loop,
	    .login = SLICE("alice"),
	    .client = SLICE("127.0.0.1"),
	    .utf8 = c->utf8,
	    .refused = c->refused,
	    .counters = &c->counters,
	    .stopping = &c->stopping};

	c->result = pop3_session(c->server, c->account, &config);
	stream_close(&c->server);
}

static int
fake_sign_in(void *ctx, const struct signin_request *r, struct stream **desk)
{
	struct client *c = ctx;

	c->asked++;
	assert_int_equal(slice_to_z(slice_head(r->login, 63), c->login, sizeof(c->login)), 0);
	assert_int_equal(slice_to_z(slice_head(r->password, 63), c->password, sizeof(c->password)), 0);
	return c->answer != 0 ? c->answer : stream_pair(c->p->loop, desk, &c->desk_other);
}

static void
presession_fiber(void *arg)
{
	struct client *c = arg;
	struct signin_ops ops = {.sign_in = fake_sign_in, .ctx = c};
	struct guest_config config = {.house = &c->p->house,
	    .loop = c->p->loop,
	    .cleartext_sign_in = c->cleartext,
	    .client = SLICE("127.0.0.1"),
	    .counters = &c->before,
	    .stopping = &c->stopping};

	c->result = pop3_presession(c->server, &config, &ops, &c->desk);
	if (c->desk == NULL)
		stream_close(&c->server);
}

/* One line, or with `multi` all up to the dot when it begins with +OK. */
static const char *
reply(struct client *c, bool multi)
{
	struct slice line;

	buf_reset(&c->out);
	do {
		if (stream_read_line(c->st, SLICE("\r\n"), 1 << 20, &line) != 0)
			break;
		buf_put(&c->out, line);
		buf_put(&c->out, SLICE("\r\n"));
	} while (multi && slice_starts(buf_slice(&c->out), SLICE("+OK")) && !slice_eq(line, SLICE(".")));
	buf_put_u8(&c->out, 0);
	buf_truncate(&c->out, c->out.n - 1);
	return (const char *)c->out.p;
}

static void
say(struct client *c, const char *text)
{
	assert_int_equal(stream_write(c->st, slice_z(text)), 0);
	assert_int_equal(stream_flush(c->st), 0);
}

static void
exchange(struct client *c, const char *command, const char *want, bool multi)
{
	const char *got;

	say(c, command);
	say(c, "\r\n");
	got = reply(c, multi);
	if (strncmp(got, want, strlen(want)) != 0) {
		(void)fprintf(stderr, "%s\ngave: %s\nwanted: %s\n", command, got, want);
		abort();
	}
}

static void
expect(struct client *c, const char *command, const char *want)
{
	exchange(c, command, want, false);
}

static void
expect_lines(struct client *c, const char *command, const char *want)
{
	exchange(c, command, want, true);
	assert_int_equal(c->out.n, strlen(want));
}

static void
begin(struct client *c, struct place *p, struct store_account *account, fiber_fn *fn)
{
	bool cleartext = c->cleartext, utf8 = c->utf8, refused = c->refused;

	*c = (struct client){.p = p, .account = account, .cleartext = cleartext, .utf8 = utf8, .refused = refused};
	buf_init(&c->out, 1 << 26);
	assert_int_equal(stream_pair(p->loop, &c->st, &c->server), 0);
	assert_int_equal(fiber_start(p->loop, "session", fn, c, &c->fiber), 0);
	assert_memory_equal(reply(c, false), refused ? "-ERR [LOGIN-DELAY]" : "+OK", refused ? 18 : 3);
}

static void
end(struct client *c)
{
	stream_close(&c->st);
	if (c->fiber != NULL)
		fiber_join(c->p->loop, &c->fiber);
	stream_close(&c->server);
	stream_close(&c->desk);
	stream_close(&c->desk_other);
	buf_free(&c->out);
	assert_int_equal(c->counters.sessions_open, 0);
}

static void
body_commands(struct place *p)
{
	struct store_account *a = make_account(p, "01ALICE");
	struct client c = {0}, other = {0};

	(void)append_ok(a, "INBOX", "Subject: one\r\n\r\n.dot\r\nlast", 0);
	(void)append_ok(a, "INBOX", "Subject: two\r\n\r\n", STORE_SEEN);
	(void)append_ok(a, "INBOX", "Subject: three\r\n\r\na\r\nb\r\n", 0);
	begin(&c, p, a, session_fiber);
	expect(&c, "STAT", "+OK 3 66\r\n");
	expect_lines(&c, "CAPA",
	    "+OK capabilities\r\nTOP\r\nUIDL\r\nPIPELINING\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nEXPIRE NEVER\r\nUTF8 "
	    "USER\r\nLANG\r\n"
	    "IMPLEMENTATION Posthouse-" POSTHOUSE_VERSION "\r\n.\r\n");
	expect_lines(&c, "LIST", "+OK 3 messages (66 octets)\r\n1 26\r\n2 16\r\n3 24\r\n.\r\n");
	expect(&c, "LIST 2", "+OK 2 16\r\n");
	expect(&c, "list 4", "-ERR");
	expect(&c, "LIST 0", "-ERR");
	expect(&c, "LIST x", "-ERR");
	expect_lines(&c, "RETR 1", "+OK the message follows\r\nSubject: one\r\n\r\n..dot\r\nlast\r\n.\r\n");
	expect_lines(&c, "RETR 2", "+OK the message follows\r\nSubject: two\r\n\r\n.\r\n");
	expect_lines(&c, "TOP 3 1", "+OK the message follows\r\nSubject: three\r\n\r\na\r\n.\r\n");
	expect_lines(&c, "TOP 3 0", "+OK the message follows\r\nSubject: three\r\n\r\n.\r\n");
	expect(&c, "TOP 3", "-ERR");
	expect(&c, "RETR", "-ERR");
	expect(&c, "NOOP", "+OK");
	expect(&c, "DELE 2", "+OK");
	expect(&c, "DELE 2", "-ERR");
	expect(&c, "RETR 2", "-ERR");
	expect_lines(&c, "LIST", "+OK 2 messages (50 octets)\r\n1 26\r\n3 24\r\n.\r\n");
	expect(&c, "RSET", "+OK 3 messages");
	expect(&c, "DELE 1", "+OK");
	expect(&c, "nonsense", "-ERR");
	/* Another session, and mail that comes, do not change the snapshot. */
	deliver_ok(a, 1, "Subject: four\r\n\r\n");
	begin(&other, p, a, session_fiber);
	expect(&other, "STAT", "+OK 4 ");
	expect(&c, "STAT", "+OK 2 40\r\n");
	expect(&c, "QUIT", "+OK");
	end(&c);
	assert_int_equal(c.result, 0);
	expect(&other, "RETR 1", "-ERR");
	expect(&other, "STAT", "+OK 4 ");
	/* Without QUIT nothing is removed. */
	expect(&other, "DELE 2", "+OK");
	end(&other);
	begin(&c, p, a, session_fiber);
	expect(&c, "STAT", "+OK 3 ");
	say(&c, "UIDL\r\n");
	(void)reply(&c, true);
	assert_non_null(strstr((char *)c.out.p, "00000002\r\n2 "));
	expect(&c, "QUIT", "+OK");
	end(&c);
	store_account_put(&a);
}

static void
body_large(struct place *p)
{
	struct store_account *a = make_account(p, "01ALICE");
	struct client c = {0};
	struct buf BUF_CLEANUP big;
	struct slice got;

	buf_init(&big, 1 << 24);
	buf_put(&big, SLICE("Subject: big\r\n\r\n"));
	for (int i = 0; i < 30000; i++)
		buf_put(&big, SLICE("a line that has nothing special\r\n"));
	buf_put_u8(&big, 0);
	(void)append_ok(a, "INBOX", (char *)big.p, 0);
	begin(&c, p, a, session_fiber);
	say(&c, "RETR 1\r\n");
	(void)reply(&c, true);
	got = slice_from(buf_slice(&c.out), strlen("+OK the message follows\r\n"));
	assert_true(slice_eq(slice_head(got, big.n - 1), slice_head(buf_slice(&big), big.n - 1)));
	assert_true(slice_eq(slice_from(got, big.n - 1), SLICE(".\r\n")));
	expect_lines(
	    &c, "TOP 1 1", "+OK the message follows\r\nSubject: big\r\n\r\na line that has nothing special\r\n.\r\n");
	expect(&c, "NOOP", "+OK");
	end(&c);
	store_account_put(&a);
}

/* RFC 6856 §2.1: what is not ASCII is sent as it is only to whom it was said to be welcome. */
static void
body_surrogate(struct place *p)
{
	struct store_account *a = make_account(p, "01ALICE");
	struct client c = {0};

	(void)append_ok(a, "INBOX", "Subject: \xc3\xb6\r\nA: b\r\n\r\n\xc3\xb6\r\n", 0);
	begin(&c, p, a, session_fiber);
	expect_lines(
	    &c, "RETR 1", "+OK the message follows\r\nSubject: =?utf-8?B?w7Y=?=\r\nA: b\r\n\r\n\xc3\xb6\r\n.\r\n");
	expect_lines(&c, "TOP 1 0", "+OK the message follows\r\nSubject: =?utf-8?B?w7Y=?=\r\nA: b\r\n\r\n.\r\n");
	end(&c);
	c.utf8 = true;
	begin(&c, p, a, session_fiber);
	expect_lines(&c, "RETR 1", "+OK the message follows\r\nSubject: \xc3\xb6\r\nA: b\r\n\r\n\xc3\xb6\r\n.\r\n");
	end(&c);
	c.refused = true;
	begin(&c, p, a, session_fiber);
	end(&c);
	assert_int_equal(c.result, ERR_BUSY);
	store_account_put(&a);
}

static void
body_hostile(struct place *p)
{
	struct store_account *a = make_account(p, "01ALICE");
	struct client c = {0};
	char line[2000];

	begin(&c, p, a, session_fiber);
	memset(line, 'A', sizeof(line) - 1);
	line[sizeof(line) - 1] = 0;
	expect(&c, line, "-ERR the line is too long");
	expect(&c, "STAT", "+OK 0 0");
	for (int i = 0; i < 60; i++)
		say(&c, "FOO\r\n");
	while (strstr(reply(&c, false), "too many") == NULL)
		assert_true(c.out.n > 0);
	end(&c);
	/* Pipelined, and gone before the answers. */
	begin(&c, p, a, session_fiber);
	say(&c, "STAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n");
	end(&c);
	begin(&c, p, a, session_fiber);
	c.stopping = true;
	fiber_wake(c.fiber);
	assert_memory_equal(reply(&c, false), "-ERR [SYS/TEMP]", 15);
	end(&c);
	p->house.limits.pop3_idle_timeout_ms = 30;
	begin(&c, p, a, session_fiber);
	fiber_join(p->loop, &c.fiber);
	assert_int_equal(c.result, ERR_TIMEOUT);
	end(&c);
	store_account_put(&a);
}

static void
body_before(struct place *p)
{
	struct client c = {0};

	begin(&c, p, NULL, presession_fiber);
	expect_lines(&c, "CAPA",
	    "+OK capabilities\r\nTOP\r\nUIDL\r\nPIPELINING\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nEXPIRE NEVER\r\nUTF8 "
	    "USER\r\nLANG\r\n"
	    "IMPLEMENTATION Posthouse-" POSTHOUSE_VERSION "\r\n.\r\n");
	expect(&c, "USER alice", "-ERR");
	expect(&c, "PASS secret", "-ERR");
	expect(&c, "AUTH PLAIN AGFsaWNlAHNlY3JldA==", "-ERR");
	expect(&c, "STLS", "-ERR");
	expect(&c, "STAT", "-ERR");
	expect_lines(&c, "LANG", "+OK languages follow\r\nen English\r\n.\r\n");
	expect(&c, "LANG *", "+OK en ");
	expect(&c, "LANG EN", "+OK en ");
	expect(&c, "LANG de", "-ERR");
	expect(&c, "UTF8 x", "-ERR");
	expect(&c, "UTF8", "+OK");
	expect_lines(&c, "AUTH", "+OK\r\n.\r\n");
	expect(&c, "QUIT", "+OK");
	end(&c);
	assert_int_equal(c.asked, 0);
	c.cleartext = true;
	begin(&c, p, NULL, presession_fiber);
	expect(&c, "PASS secret", "-ERR USER");
	expect(&c, "USER", "-ERR");
	c.answer = ERR_DENIED;
	expect(&c, "USER alice", "+OK");
	expect(&c, "PASS wrong", "-ERR [AUTH]");
	expect(&c, "PASS again", "-ERR USER");
	c.answer = ERR_UNAVAILABLE;
	expect(&c, "AUTH PLAIN AGFsaWNlAHNlY3JldA==", "-ERR [SYS/TEMP]");
	expect(&c, "AUTH NTLM", "-ERR");
	expect(&c, "AUTH PLAIN !", "-ERR");
	expect(&c, "AUTH PLAIN", "+ ");
	expect(&c, "*", "-ERR");
	expect(&c, "AUTH PLAIN", "+ ");
	c.answer = 0;
	say(&c, "AGFsaWNlAHNlY3JldA==\r\n");
	fiber_join(p->loop, &c.fiber);
	assert_int_equal(c.result, 0);
	assert_string_equal(c.login, "alice");
	assert_string_equal(c.password, "secret");
	end(&c);
	c.cleartext = true;
	begin(&c, p, NULL, presession_fiber);
	say(&c, "USER bob\r\nPASS with a space \r\nSTAT\r\n");
	fiber_join(p->loop, &c.fiber);
	assert_string_equal(c.login, "bob");
	assert_string_equal(c.password, "with a space ");
	assert_true(slice_eq(stream_pending(c.server), SLICE("STAT\r\n")));
	end(&c);
}

#define PLACE_TEST(name) \
	static void test_##name(void **state) \
	{ \
		(void)state; \
		with_place(body_##name); \
	}
PLACE_TEST(commands)
PLACE_TEST(large)
PLACE_TEST(surrogate)
PLACE_TEST(hostile)
PLACE_TEST(before)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_commands),
	    cmocka_unit_test(test_large),
	    cmocka_unit_test(test_surrogate),
	    cmocka_unit_test(test_hostile),
	    cmocka_unit_test(test_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
