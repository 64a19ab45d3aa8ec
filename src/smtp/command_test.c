#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/command.h"
#include "smtp/reply.h"
#include "smtp/trace.h"

static void
verbs_are_recognised(void **state)
{
	static const struct {
		const char *line;
		enum smtp_verb verb;
		const char *argument;
	} v[] = {{"EHLO a.test", SMTP_EHLO, "a.test"}, {"ehlo  a.test ", SMTP_EHLO, "a.test"}, {"QUIT", SMTP_QUIT, ""},
	    {"quit ", SMTP_QUIT, ""}, {"MAIL FROM:<>", SMTP_MAIL, "FROM:<>"}, {"MAILFROM:<>", SMTP_VERB_UNKNOWN, ""},
	    {"", SMTP_VERB_UNKNOWN, ""}, {"GET / HTTP/1.1", SMTP_VERB_FOREIGN, "/ HTTP/1.1"},
	    {"host: x", SMTP_VERB_FOREIGN, "x"}, {"XCLIENT a", SMTP_XCLIENT, "a"}, {"XFOO a", SMTP_VERB_UNKNOWN, "a"},
	    {"NOOP\ta", SMTP_VERB_UNKNOWN, ""}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(v); i++) {
		struct smtp_command c = smtp_command_parse(slice_z(v[i].line));

		assert_int_equal(c.verb, v[i].verb);
		assert_true(slice_eq(c.argument, slice_z(v[i].argument)));
	}
}

struct path_row {
	const char *argument;
	int error; /* of smtp_path_argument_parse */
	const char *address, *parameters;
};

static const struct path_row paths[] = {
    {"FROM:<>", 0, "", ""},
    {"FROM:< >", 0, "", ""},
    {"FROM:<a@b.test>", 0, "a@b.test", ""},
    {"from: <a@b.test>", 0, "a@b.test", ""},
    {"FROM :<a@b.test>", 0, "a@b.test", ""},
    {"FROM:a@b.test", 0, "a@b.test", ""},
    {"FROM:a@b.test SIZE=1", 0, "a@b.test", "SIZE=1;"},
    {"FROM:< a@b.test >", 0, "a@b.test", ""},
    {"FROM:<A.B@EXAMPLE.Test.>", 0, "A.B@example.test", ""},
    {"FROM:<\"a b\"@b.test>", 0, "a b@b.test", ""},
    {"FROM:<\"a\\\"b\"@b.test>", 0, "a\"b@b.test", ""},
    {"FROM:<\"a@c\"@b.test>", 0, "a@c@b.test", ""},
    {"FROM:<\"a>b\"@b.test> BODY=8BITMIME", 0, "a>b@b.test", "BODY=8BITMIME;"},
    {"FROM:<a%c@b.test>", 0, "a%c@b.test", ""},
    {"FROM:<c!a@b.test>", 0, "c!a@b.test", ""},
    {"FROM:<@x.test,@y.test:a@b.test>", 0, "a@b.test", ""},
    {"FROM:<@x.test:a@b.test>", 0, "a@b.test", ""},
    {"FROM:<a@[192.0.2.1]>", 0, "a@[192.0.2.1]", ""},
    {"FROM:<a@[IPv6:2001:DB8::1]>", 0, "a@[ipv6:2001:db8::1]", ""},
    {"FROM:<a..b@b.test>", 0, "a..b@b.test", ""},
    {"FROM:<postmaster>", 0, "postmaster", ""},
    {"FROM:<a@b.test>  SIZE=100   BODY=7BIT ", 0, "a@b.test", "SIZE=100;BODY=7BIT;"},
    {"FROM:<a@b.test> SMTPUTF8", 0, "a@b.test", "SMTPUTF8=;"},
    {"FROM:<a@b.test> AUTH=<>", 0, "a@b.test", "AUTH=<>;"},
    {"FROM:", ERR_SYNTAX, "", ""},
    {"FROM", ERR_SYNTAX, "", ""},
    {"TO:<a@b.test>", ERR_SYNTAX, "", ""},
    {"FROM:<a@b.test", ERR_INVALID, "", ""},
    {"FROM:a@b.test>", ERR_INVALID, "", ""},
    {"FROM:<a@b.test>SIZE=1", ERR_INVALID, "", ""},
    {"FROM:<a@>", ERR_INVALID, "", ""},
    {"FROM:<@b.test>", ERR_INVALID, "", ""},
    {"FROM:<a@b@c.test>", ERR_INVALID, "", ""},
    {"FROM:<a b@c.test>", ERR_INVALID, "", ""},
    {"FROM:<a@b..test>", ERR_INVALID, "", ""},
    {"FROM:<a@.test>", ERR_INVALID, "", ""},
    {"FROM:<a@-b.test>", ERR_INVALID, "", ""},
    {"FROM:<\"a@b.test>", ERR_INVALID, "", ""},
    {"FROM:\"\"", ERR_INVALID, "", ""},
    {"FROM:<\"\"@b.test>", ERR_INVALID, "", ""},
    {"FROM:<\"a\"b@b.test>", ERR_INVALID, "", ""},
    {"FROM:<a@[1.2.3]>", ERR_INVALID, "", ""},
    {"FROM:<a@[IPv6:zz]>", ERR_INVALID, "", ""},
    {"FROM:<a@[192.0.2.1>", ERR_INVALID, "", ""},
    {"FROM:<a@b\xc3\xa9.test>", 0, "a@xn--b-bga.test", ""},
    {"FROM:<a@B\xc3\x89.TEST.>", 0, "a@xn--b-bga.test", ""},
    {"FROM:<\xc3\xa9@b.test>", 0, "\xc3\xa9@b.test", ""},
    {"FROM:<\"\xc3\xa9 \"@b.test>", 0, "\xc3\xa9 @b.test", ""},
    {"FROM:<a@b.test> ORCPT=utf-8;\xc3\xa9", 0, "a@b.test", "ORCPT=utf-8;\xc3\xa9;"},
    {"FROM:<a@b.test> ORCPT=\xc3", ERR_LIMIT, "", ""},
    {"FROM:<\xc3@b.test>", ERR_INVALID, "", ""},
    {"FROM:<\xc2\x85@b.test>", ERR_INVALID, "", ""},
    {"FROM:<a@\xc3.test>", ERR_INVALID, "", ""},
    {"FROM:<a@\xe2\x84\xa1\xef\xbc\x8f.test>", ERR_INVALID, "", ""},
    {"FROM:<Alice <a@b.test>>", ERR_INVALID, "", ""},
    {"FROM:<@x.test,a@b.test>", ERR_INVALID, "", ""},
    {"FROM:<a@b.test> SIZE=1 size=2", ERR_LIMIT, "", ""},
    {"FROM:<a@b.test> =1", ERR_LIMIT, "", ""},
    {"FROM:<a@b.test> SIZE=", ERR_LIMIT, "", ""},
    {"FROM:<a@b.test> SIZE=1=2", ERR_LIMIT, "", ""},
    {"FROM:<a@b.test> a b c d e f g h i j k l m n o p q r", ERR_LIMIT, "", ""},
};

static void
paths_are_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		BUF_CLEANUP struct buf ps;
		struct smtp_parameters parameters;
		struct smtp_path path;
		struct arena a;
		int e;

		buf_init(&ps, 1000);
		arena_init(&a, 100000);
		e = smtp_path_argument_parse(slice_z(paths[i].argument), SLICE("FROM"), &a, &path, &parameters);
		if (e != paths[i].error)
			fail_msg("%s: %s", paths[i].argument, err_name(e));
		if (e == 0) {
			if (!slice_eq(path.address, slice_z(paths[i].address)))
				fail_msg("%s: <%.*s>", paths[i].argument, SLICE_ARG(path.address));
			assert_int_equal(path.null, path.address.n == 0);
			for (size_t j = 0; j < parameters.n; j++)
				buf_printf(&ps, "%.*s=%.*s;", SLICE_ARG(parameters.v[j].name),
				    SLICE_ARG(parameters.v[j].value));
			assert_true(slice_eq(buf_slice(&ps), slice_z(paths[i].parameters)));
		}
		arena_free(&a);
	}
}

static void
long_paths_are_refused(void **state)
{
	static const struct {
		size_t local, labels;
		int error;
		enum smtp_path_error why;
	} v[] = {{64, 1, 0, SMTP_PATH_FINE}, {256, 1, 0, SMTP_PATH_FINE}, {257, 1, ERR_INVALID, SMTP_PATH_LONG},
	    {1, 25, 0, SMTP_PATH_FINE}, {1, 26, ERR_INVALID, SMTP_PATH_LONG}, {256, 25, 0, SMTP_PATH_FINE}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(v); i++) {
		BUF_CLEANUP struct buf b;
		struct smtp_parameters ps;
		struct smtp_path path;
		struct arena a;

		buf_init(&b, 10000);
		arena_init(&a, 100000);
		buf_put_z(&b, "TO:<");
		for (size_t j = 0; j < v[i].local; j++)
			buf_put_u8(&b, 'x');
		buf_put_u8(&b, '@');
		for (size_t j = 0; j < v[i].labels; j++)
			buf_put_z(&b, "123456789.");
		buf_put_z(&b, "test>");
		assert_int_equal(smtp_path_argument_parse(buf_slice(&b), SLICE("TO"), &a, &path, &ps), v[i].error);
		assert_int_equal(path.error, v[i].why);
		arena_free(&a);
	}
}

static void
replies_of_others_are_read_with_care(void **state)
{
	static const struct {
		const char *lines[4];
		int error, code;
		const char *status, *text;
	} v[] = {
	    {{"250 OK"}, 0, 250, "", "OK"},
	    {{"250"}, 0, 250, "", ""},
	    {{"250 2.1.5 fine\r"}, 0, 250, "2.1.5", "fine"},
	    {{"550-5.1.1 no", "550 5.1.1 such user"}, 0, 550, "5.1.1", "no such user"},
	    {{"550 4.1.1 odd"}, 0, 550, "", "4.1.1 odd"},
	    {{"550 5.1.1"}, 0, 550, "5.1.1", ""},
	    {{"550 5.1.1x"}, 0, 550, "", "5.1.1x"},
	    {{"550 5.1234.1 x"}, 0, 550, "", "5.1234.1 x"},
	    {{"450 \x01\tx\xff"}, 0, 450, "", "  x?"},
	    {{"450 \xc3\xa9"}, 0, 450, "", "\xc3\xa9"},
	    {{"250-a", "251 b"}, ERR_SYNTAX, 250, "", "a"},
	    {{"25 x"}, ERR_SYNTAX, 0, "", ""},
	    {{"199 x"}, ERR_SYNTAX, 0, "", ""},
	    {{"600 x"}, ERR_SYNTAX, 0, "", ""},
	    {{"250+x"}, ERR_SYNTAX, 0, "", ""},
	    {{"HTTP/1.1 400 Bad Request"}, ERR_SYNTAX, 0, "", ""},
	    {{""}, ERR_SYNTAX, 0, "", ""},
	    {{"250-12345678901234567890", "250-12345678901234567890", "250 x"}, ERR_LIMIT, 250, "",
		"12345678901234567890"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(v); i++) {
		SMTP_REPLY_CLEANUP struct smtp_reply r;
		int e = 0;

		smtp_reply_init(&r, 50);
		for (size_t j = 0; e == 0 && v[i].lines[j] != NULL; j++) {
			assert_false(r.complete);
			e = smtp_reply_line(&r, slice_z(v[i].lines[j]), NULL);
		}
		assert_int_equal(e, v[i].error);
		assert_int_equal(r.complete, e == 0);
		assert_int_equal(r.code, v[i].code);
		assert_string_equal(r.status, v[i].status);
		assert_true(slice_eq(buf_slice(&r.text), slice_z(v[i].text)));
	}
}

static void
received_cannot_be_broken_out_of(void **state)
{
	struct smtp_received r = {.helo = SLICE("a)b;c\"d\\e(f\x01"),
	    .client_literal = SLICE("[192.0.2.1]"),
	    .hostname = SLICE("mx.test"),
	    .protocol = smtp_protocol_name((struct smtp_protocol){.extended = true, .tls = true}),
	    .tls = SLICE("TLSv1.3 X"),
	    .id = SLICE("01J"),
	    .recipient = SLICE("bob@b.test"),
	    .time_s = 1795316906};
	BUF_CLEANUP struct buf b;

	(void)state;
	buf_init(&b, 1000);
	smtp_received_put(&b, &r);
	assert_true(slice_eq(buf_slice(&b),
	    SLICE("Received: from a?b?c?d?e?f? ([192.0.2.1])\r\n\tby mx.test with ESMTPS (TLSv1.3 X)\r\n\tid 01J\r\n\t"
		  "for <bob@b.test>;\r\n\tSun, 22 Nov 2026 03:08:26 +0000\r\n")));
	/* What was quoted on the wire is quoted again. */
	r.recipient = SLICE("x>; evil (\"@b.test");
	buf_reset(&b);
	smtp_received_put(&b, &r);
	assert_int_not_equal(slice_find(buf_slice(&b), SLICE("\tfor <\"x>; evil (\\\"\"@b.test>;\r\n")), SLICE_NONE);
	assert_true(slice_eq(smtp_protocol_name((struct smtp_protocol){.extended = false}), SLICE("SMTP")));
	assert_true(
	    slice_eq(smtp_protocol_name((struct smtp_protocol){.extended = true, .tls = true, .signed_in = true}),
		SLICE("ESMTPSA")));
	assert_true(slice_eq(smtp_protocol_name((struct smtp_protocol){.extended = true, .lmtp = true, .utf8 = true}),
	    SLICE("UTF8LMTP")));
}

static void
names_in_helo(void **state)
{
	static const char *const good[] = {"a", "a.test", "[127.0.0.1]", "[IPv6:::1]", "my_pc", "a.test.", "WIN-2K/3"};
	static const char *const bad[] = {"", "a b", "a(b", "a\"", "a;b", "<a>", "a\x80", "a\tb"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++)
		assert_true(smtp_helo_is_valid(slice_z(good[i])));
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_false(smtp_helo_is_valid(slice_z(bad[i])));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(verbs_are_recognised),
	    cmocka_unit_test(paths_are_read),
	    cmocka_unit_test(long_paths_are_refused),
	    cmocka_unit_test(replies_of_others_are_read_with_care),
	    cmocka_unit_test(received_cannot_be_broken_out_of),
	    cmocka_unit_test(names_in_helo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
