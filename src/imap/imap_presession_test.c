/* Before sign-in: what is offered when, both ways to sign in, and strangers who mean harm. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/log.h"
#include "imap/imap.h"

#include "rt/rt_test.h"

struct visitor {
	struct rt_test *x;
	struct stream *st, *server, *desk, *desk_other;
	struct fiber *fiber;
	int result;
	bool cleartext, stopping;
	int answer; /* of sign_in */
	int asked;
	char login[64], password[64], authzid[64], tag[64];
	struct guest_counters counters;
	struct buf out;
};

static void
keep(char out[64], struct slice s)
{
	assert_int_equal(slice_to_z(slice_head(s, 63), out, 64), 0);
}

static int
fake_sign_in(void *ctx, const struct signin_request *r, struct stream **desk)
{
	struct visitor *g = ctx;

	g->asked++;
	keep(g->login, r->login);
	keep(g->password, r->password);
	keep(g->authzid, r->authzid);
	keep(g->tag, r->tag);
	assert_int_equal(r->service, SERVICE_IMAP);
	if (g->answer != 0)
		return g->answer;
	return stream_pair(g->x->loop, desk, &g->desk_other);
}

static void
guest_fiber(void *arg)
{
	struct visitor *g = arg;
	struct signin_ops ops = {.sign_in = fake_sign_in, .ctx = g};
	struct guest_config c = {.house = &g->x->house,
	    .loop = g->x->loop,
	    .cleartext_sign_in = g->cleartext,
	    .client = SLICE("127.0.0.1"),
	    .counters = &g->counters,
	    .stopping = &g->stopping};

	g->result = imap_presession(g->server, &c, &ops, &g->desk);
	if (g->desk == NULL)
		stream_close(&g->server);
}

static const char *
until(struct visitor *g, const char *start)
{
	struct slice line;

	buf_reset(&g->out);
	while (stream_read_line(g->st, SLICE("\r\n"), 65536, &line) == 0) {
		bool last = slice_starts(line, slice_z(start));

		buf_put(&g->out, line);
		buf_put(&g->out, SLICE("\r\n"));
		if (last)
			break;
	}
	buf_put_u8(&g->out, 0);
	return (const char *)g->out.p;
}

static void
say(struct visitor *g, struct slice s)
{
	assert_int_equal(stream_write(g->st, s), 0);
	assert_int_equal(stream_flush(g->st), 0);
}

static void
expect(struct visitor *g, const char *command, const char *want)
{
	const char *got;

	say(g, SLICE("x "));
	say(g, slice_z(command));
	say(g, SLICE("\r\n"));
	got = until(g, "x ");
	if (strstr(got, want) == NULL) {
		(void)fprintf(stderr, "%s\ngave: %s\nwithout: %s\n", command, got, want);
		abort();
	}
}

static void
begin(struct visitor *g, struct rt_test *x, bool cleartext)
{
	*g = (struct visitor){.x = x, .cleartext = cleartext};
	x->house.log_level = LOG_ERROR + 1;
	buf_init(&g->out, 1 << 20);
	assert_int_equal(stream_pair(x->loop, &g->st, &g->server), 0);
	assert_int_equal(fiber_start(x->loop, "guest", guest_fiber, g, &g->fiber), 0);
	assert_non_null(strstr(until(g, "* "), "* OK [CAPABILITY IMAP4rev1 "));
}

static void
end(struct visitor *g)
{
	stream_close(&g->st);
	if (g->fiber != NULL)
		fiber_join(g->x->loop, &g->fiber);
	stream_close(&g->server);
	stream_close(&g->desk);
	stream_close(&g->desk_other);
	buf_free(&g->out);
	assert_int_equal(g->counters.sessions_open, 0);
}

RT_TEST(test_offers)
{
	struct visitor g;

	begin(&g, x, false);
	expect(
	    &g, "CAPABILITY", "* CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ ID ENABLE IDLE SASL-IR LOGINDISABLED\r\nx OK");
	expect(&g, "NOOP", "x OK");
	expect(&g, "ID NIL", "* ID (");
	expect(&g, "LOGIN alice secret", "x NO [PRIVACYREQUIRED]");
	expect(&g, "AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==", "x NO [PRIVACYREQUIRED]");
	expect(&g, "STARTTLS", "x NO");
	expect(&g, "SELECT INBOX", "x BAD");
	expect(&g, "APPEND INBOX {10}", "x BAD");
	expect(&g, "LOGOUT", "* BYE");
	assert_int_equal(g.asked, 0);
	end(&g);
	assert_int_equal(g.result, ERR_CLOSED);
}

RT_TEST(test_login)
{
	struct visitor g;

	begin(&g, x, true);
	expect(&g, "CAPABILITY", " AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-1 AUTH=PLAIN\r\nx OK");
	say(&g, SLICE("t7 LOGIN {5}\r\n"));
	assert_non_null(strstr(until(&g, "+"), "+ "));
	say(&g, SLICE("alice \"pass \\\"word\\\"\"\r\nt8 SELECT INBOX\r\n"));
	fiber_join(x->loop, &g.fiber);
	assert_int_equal(g.result, 0);
	assert_string_equal(g.login, "alice");
	assert_string_equal(g.password, "pass \"word\"");
	assert_string_equal(g.tag, "t7");
	/* What came behind the command waits for the desk. */
	assert_true(slice_eq(stream_pending(g.server), SLICE("t8 SELECT INBOX\r\n")));
	end(&g);
}

RT_TEST(test_authenticate)
{
	struct visitor g;

	begin(&g, x, true);
	expect(&g, "AUTHENTICATE CRAM-MD5", "x NO");
	expect(&g, "AUTHENTICATE PLAIN !!!!", "x BAD");
	expect(&g, "AUTHENTICATE PLAIN =", "x BAD");
	expect(&g, "AUTHENTICATE PLAIN AAAA", "x BAD");
	say(&g, SLICE("x AUTHENTICATE PLAIN\r\n"));
	assert_non_null(strstr(until(&g, "+"), "+ \r\n"));
	say(&g, SLICE("*\r\n"));
	assert_non_null(strstr(until(&g, "x "), "x BAD"));
	g.answer = ERR_UNAVAILABLE;
	expect(&g, "AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==", "x NO [UNAVAILABLE]");
	g.answer = 0;
	say(&g, SLICE("x AUTHENTICATE PLAIN\r\n"));
	assert_non_null(strstr(until(&g, "+"), "+ \r\n"));
	say(&g, SLICE("Ym9iAGFsaWNlAHNlY3JldA==\r\n"));
	fiber_join(x->loop, &g.fiber);
	assert_int_equal(g.result, 0);
	assert_string_equal(g.authzid, "bob");
	assert_string_equal(g.login, "alice");
	assert_string_equal(g.password, "secret");
	end(&g);
}

RT_TEST(test_failures)
{
	struct visitor g;
	int64_t start;

	x->house.limits.sign_in_attempts = 2;
	begin(&g, x, true);
	g.answer = ERR_DENIED;
	start = loop_now_ms(x->loop);
	expect(&g, "LOGIN alice wrong", "x NO [AUTHENTICATIONFAILED]");
	assert_true(loop_now_ms(x->loop) - start >= 900);
	expect(&g, "LOGIN alice wrong", "x NO [AUTHENTICATIONFAILED]");
	assert_true(loop_now_ms(x->loop) - start >= 2900);
	assert_non_null(strstr(until(&g, "* BYE"), "* BYE"));
	end(&g);
	assert_int_equal(g.result, ERR_DENIED);
	assert_int_equal(g.counters.sign_ins_failed, 2);
}

/* Long lines, large literals, endless errors, silence. */
RT_TEST(test_hostile)
{
	static const struct {
		struct slice sent;
		const char *reply;
	} rows[] = {
	    {SLICE_INIT("x LOGIN {4294967296+}\r\n"), "* BYE"},
	    {SLICE_INIT("x LOGIN {99999999999999999999999999+}\r\n"), "* BYE"},
	    {SLICE_INIT("x APPEND INBOX {5+}\r\n"), "* BYE"},
	    {SLICE_INIT("x LOGIN {8193}\r\n"), "x BAD"},
	    {SLICE_INIT("\r\n"), "* BAD"},
	    {SLICE_INIT("\0\0\0\r\n"), "* BAD"},
	    {SLICE_INIT("x LOGIN a\0b c\r\n"), "x BAD"},
	    {SLICE_INIT("x LOGIN {3+}\r\na\0b c\r\n"), "x BAD"},
	    {SLICE_INIT("x LOGIN \"a\nb\" c\r\n"), "x BAD"},
	    {SLICE_INIT("x LOGIN a b c\r\n"), "x BAD"},
	    {SLICE_INIT("x LOGIN a\r\n"), "x BAD"},
	    {SLICE_INIT("x  LOGIN a b\r\n"), "x BAD"},
	    {SLICE_INIT("+ LOGIN a b\r\n"), "* BAD"},
	    {SLICE_INIT("x ID (\"a\" \"b\" \"c\")\r\n"), "x BAD"},
	    {SLICE_INIT("GET / HTTP/1.1\r\n"), "GET BAD"},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct visitor g;
		const char *got;

		begin(&g, x, true);
		g.answer = ERR_DENIED;
		say(&g, rows[i].sent);
		got = until(&g, rows[i].reply);
		if (strstr(got, rows[i].reply) == NULL) {
			(void)fprintf(stderr, "row %zu: %s\n", i, got);
			abort();
		}
		end(&g);
		assert_int_equal(g.asked, 0);
	}
}

RT_TEST(test_long_line)
{
	struct visitor g;
	char a[4096];

	begin(&g, x, true);
	memset(a, 'a', sizeof(a));
	say(&g, SLICE("x "));
	for (int i = 0; i < 256; i++)
		say(&g, slice_of(a, sizeof(a)));
	say(&g, SLICE("\r\n"));
	assert_non_null(strstr(until(&g, "x "), "x BAD"));
	for (int64_t i = 0; i <= x->house.limits.imap_errors; i++)
		say(&g, SLICE("x FOO\r\n"));
	assert_non_null(strstr(until(&g, "* BYE"), "* BYE"));
	end(&g);
}

RT_TEST(test_silence)
{
	struct visitor g;

	x->house.limits.sign_in_timeout_ms = 50;
	begin(&g, x, true);
	assert_non_null(strstr(until(&g, "* BYE"), "* BYE"));
	end(&g);
	assert_int_equal(g.result, ERR_TIMEOUT);
	/* A literal that never comes. */
	begin(&g, x, true);
	say(&g, SLICE("x LOGIN {5+}\r\nab"));
	fiber_join(x->loop, &g.fiber);
	assert_int_equal(g.result, ERR_TIMEOUT);
	end(&g);
	x->house.limits.sign_in_timeout_ms = 60000;
	begin(&g, x, true);
	g.stopping = true;
	fiber_wake(g.fiber);
	assert_non_null(strstr(until(&g, "* BYE"), "* BYE"));
	end(&g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_offers_run),
	    cmocka_unit_test(test_login_run),
	    cmocka_unit_test(test_authenticate_run),
	    cmocka_unit_test(test_failures_run),
	    cmocka_unit_test(test_hostile_run),
	    cmocka_unit_test(test_long_line_run),
	    cmocka_unit_test(test_silence_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
