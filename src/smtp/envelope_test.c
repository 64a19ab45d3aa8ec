/* Parameters of MAIL and RCPT: what is accepted comes out in one form, what is not is refused with the right reply. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/envelope.h"

#define NOW 1795330000 /* 2026-11-22T06:46:40Z */

static void
parse(struct arena *a, const char *parameters, struct smtp_parameters *ps)
{
	struct smtp_path path;

	assert_int_equal(
	    smtp_path_argument_parse(arena_printf(a, "FROM:<a@b.test> %s", parameters), SLICE("FROM"), a, &path, ps),
	    0);
}

/* The lines, or the reply's status, of MAIL. */
static void
check_mail(const char *parameters, const struct smtp_envelope_rules *rules, const char *want)
{
	ARENA_CLEANUP struct arena a;
	BUF_CLEANUP struct buf out;
	struct smtp_mail_envelope e;
	struct smtp_parameters ps;
	enum smtp_reply_id id;

	arena_init(&a, 100000);
	buf_init(&out, SMTP_MAIL_LINES_MAX);
	parse(&a, parameters, &ps);
	id = smtp_mail_envelope_read(&ps, rules, &e);
	if (id == SMTP_R_OK)
		smtp_mail_envelope_put(&e, false, false, &out);
	else
		buf_printf(&out, "%d %s", smtp_replies[id].code, smtp_replies[id].status);
	assert_int_equal(out.err, 0);
	if (!slice_eq(buf_slice(&out), slice_z(want)))
		fail_msg("%s: %.*s", parameters, SLICE_ARG(buf_slice(&out)));
}

static void
check_rcpt(const char *parameters, bool utf8, const char *want)
{
	ARENA_CLEANUP struct arena a;
	BUF_CLEANUP struct buf out;
	struct smtp_parameters ps;
	enum smtp_reply_id id;

	arena_init(&a, 100000);
	buf_init(&out, SMTP_RCPT_LINES_MAX);
	parse(&a, parameters, &ps);
	id = smtp_rcpt_envelope_read(&ps, utf8, &out);
	if (id != SMTP_R_OK) {
		buf_reset(&out);
		buf_printf(&out, "%d %s", smtp_replies[id].code, smtp_replies[id].status);
	}
	if (!slice_eq(buf_slice(&out), slice_z(want)))
		fail_msg("%s: %.*s", parameters, SLICE_ARG(buf_slice(&out)));
}

static void
strangers(void **state)
{
	static const struct smtp_envelope_rules rules = {.now_s = NOW, .message_bytes = 1000};
	static const struct {
		const char *given, *want;
	} v[] = {{"", ""}, {"SIZE=1000", ""}, {"SIZE=1001", "552 5.3.4"}, {"SIZE", "501 5.5.4"},
	    {"SIZE=00000000000000000001", ""}, {"SIZE=000000000000000000001", "501 5.5.4"}, {"SIZE=+1", "501 5.5.4"},
	    {"BODY=7bit", ""}, {"body=8BitMime", "BODY=8BITMIME\n"}, {"BODY=BINARYMIME", "BODY=BINARYMIME\n"},
	    {"BODY", "501 5.5.4"}, {"BODY=8BIT", "501 5.5.4"}, {"SMTPUTF8", "SMTPUTF8=\n"},
	    {"SMTPUTF8=YES", "501 5.5.4"}, {"RET=full", "RET=FULL\n"}, {"RET=HDRS", "RET=HDRS\n"},
	    {"RET=ALL", "501 5.5.4"}, {"RET", "501 5.5.4"}, {"ENVID=QQ+20+7E", "ENVID=QQ+20+7E\n"},
	    {"ENVID", "501 5.5.4"}, {"ENVID=+2", "501 5.5.4"}, {"ENVID=+", "501 5.5.4"}, {"ENVID=+2b", "501 5.5.4"},
	    {"ENVID=a+0Ab", "501 5.5.4"}, {"ENVID=a+FFb", "501 5.5.4"}, {"ENVID=\xc3\xa9", "501 5.5.4"},
	    {"REQUIRETLS", "530 5.7.10"}, {"HOLDFOR=60", "555 5.5.4"}, {"HOLDUNTIL=x", "555 5.5.4"},
	    {"AUTH=<>", "555 5.5.4"}, {"NOTIFY=NEVER", "555 5.5.4"}, {"XYZZY", "555 5.5.4"},
	    {"BY=60;R", "BY=1795330060;R\n"}, {"BY=+60;rt", "BY=1795330060;RT\n"}, {"BY=-60;N", "BY=1795329940;N\n"},
	    {"BY=0;N", "BY=1795330000;N\n"}, {"BY=999999999;NT", "BY=2795329999;NT\n"},
	    {"BY=1000000000;N", "501 5.5.4"}, {"BY=0;R", "501 5.5.4"}, {"BY=-1;R", "501 5.5.4"}, {"BY=60", "501 5.5.4"},
	    {"BY=60;", "501 5.5.4"}, {"BY=60;X", "501 5.5.4"}, {"BY=60;RX", "501 5.5.4"}, {"BY=60;RTT", "501 5.5.4"},
	    {"BY=;R", "501 5.5.4"}, {"BY=+-6;R", "501 5.5.4"}, {"BY", "501 5.5.4"},
	    {"MT-PRIORITY=0", "MT-PRIORITY=0\n"}, {"MT-PRIORITY=-9", "MT-PRIORITY=-9\n"},
	    {"MT-PRIORITY=9", "MT-PRIORITY=0\n"}, {"MT-PRIORITY=10", "501 5.5.4"}, {"MT-PRIORITY=+1", "501 5.5.4"},
	    {"MT-PRIORITY=-0", "501 5.5.4"}, {"MT-PRIORITY=-", "501 5.5.4"}, {"MT-PRIORITY", "501 5.5.4"}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(v); i++)
		check_mail(v[i].given, &rules, v[i].want);
}

static void
users(void **state)
{
	static const struct smtp_envelope_rules rules = {
	    .now_s = NOW, .message_bytes = 1000, .hold_max_s = 86400, .priority_max = 9, .tls = true, .auth = true};
	static const struct {
		const char *given, *want;
	} v[] = {{"REQUIRETLS", "REQUIRETLS=\n"}, {"REQUIRETLS=YES", "501 5.5.4"}, {"AUTH=<>", ""},
	    {"AUTH=alice+40example.test", ""}, {"AUTH=a+b", "501 5.5.4"}, {"AUTH", "501 5.5.4"},
	    {"MT-PRIORITY=9", "MT-PRIORITY=9\n"}, {"HOLDFOR=60", "HOLDUNTIL=1795330060\n"},
	    {"HOLDFOR=86400", "HOLDUNTIL=1795416400\n"}, {"HOLDFOR=86401", "501 5.5.4"}, {"HOLDFOR=0", "501 5.5.4"},
	    {"HOLDFOR=060", "501 5.5.4"}, {"HOLDFOR=-1", "501 5.5.4"}, {"HOLDFOR", "501 5.5.4"},
	    {"HOLDFOR=9999999999", "501 5.5.4"}, {"HOLDFOR=60 HOLDUNTIL=2026-11-22T06:47:00Z", "501 5.5.4"},
	    {"HOLDUNTIL=2026-11-22T06:47:40Z", "HOLDUNTIL=1795330060\n"},
	    {"HOLDUNTIL=2026-11-22t06:47:40.25z", "HOLDUNTIL=1795330060\n"},
	    {"HOLDUNTIL=2026-11-22T06:47:40", "501 5.5.4"}, {"HOLDUNTIL=2026-11-22T06:47:40+01:00", "501 5.5.4"},
	    {"HOLDUNTIL=2026-11-22T06:47:40.Z", "501 5.5.4"}, {"HOLDUNTIL=2026-13-22T06:47:40Z", "501 5.5.4"},
	    {"HOLDUNTIL=2027-02-29T06:47:40Z", "501 5.5.4"}, {"HOLDUNTIL=2026-11-22T24:00:00Z", "501 5.5.4"},
	    {"HOLDUNTIL=2027-11-22T06:47:40Z", "501 5.5.4"}, {"HOLDUNTIL=2026-11-22", "501 5.5.4"},
	    {"HOLDUNTIL=2020-01-01T00:00:00Z", "HOLDUNTIL=1577836800\n"},
	    {"HOLDFOR=60 BY=60;N", "HOLDUNTIL=1795330060\nBY=1795330060;N\n"}, {"HOLDFOR=61 BY=60;N", "501 5.5.4"},
	    {"BY=60;R HOLDFOR=61", "501 5.5.4"},
	    {"SIZE=10 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=x REQUIRETLS HOLDFOR=1 BY=10;RT MT-PRIORITY=3 AUTH=<>",
		"BODY=8BITMIME\nSMTPUTF8=\nRET=FULL\nENVID=x\nREQUIRETLS=\nHOLDUNTIL=1795330001\nBY=1795330010;RT\nMT-"
		"PRIORITY=3\n"}};
	char envid[SMTP_ENVID_MAX + 20] = "ENVID=", want[SMTP_ENVID_MAX + 20];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(v); i++)
		check_mail(v[i].given, &rules, v[i].want);
	memset(envid + 6, 'e', SMTP_ENVID_MAX);
	(void)snprintf(want, sizeof(want), "%s\n", envid);
	check_mail(envid, &rules, want);
	envid[6 + SMTP_ENVID_MAX] = 'e';
	check_mail(envid, &rules, "501 5.5.4");
}

static void
recipients(void **state)
{
	static const struct {
		const char *given;
		bool utf8;
		const char *want;
	} v[] = {{"", false, ""}, {"NOTIFY=never", false, "NOTIFY=NEVER\n"}, {"NOTIFY=Delay", false, "NOTIFY=DELAY\n"},
	    {"NOTIFY=DELAY,FAILURE,SUCCESS", false, "NOTIFY=SUCCESS,FAILURE,DELAY\n"},
	    {"NOTIFY=NEVER,DELAY", false, "501 5.5.4"}, {"NOTIFY=DELAY,NEVER", false, "501 5.5.4"},
	    {"NOTIFY=DELAY,DELAY", false, "501 5.5.4"}, {"NOTIFY=DELAY,", false, "501 5.5.4"},
	    {"NOTIFY=,DELAY", false, "501 5.5.4"}, {"NOTIFY", false, "501 5.5.4"}, {"NOTIFY=X", false, "501 5.5.4"},
	    {"ORCPT=rfc822;Bob+40x@a.test", false, "ORCPT=rfc822;Bob+40x@a.test\n"},
	    {"ORCPT=X400;c+3Dus", false, "ORCPT=X400;c+3Dus\n"}, {"ORCPT=rfc822;", false, "501 5.5.4"},
	    {"ORCPT=;x", false, "501 5.5.4"}, {"ORCPT=rfc822", false, "501 5.5.4"}, {"ORCPT", false, "501 5.5.4"},
	    {"ORCPT=rfc(822;x", false, "501 5.5.4"}, {"ORCPT=rfc822;+0D+0A", false, "501 5.5.4"},
	    {"ORCPT=rfc822;+C3", false, "501 5.5.4"},
	    {"ORCPT=rfc822;j+C3+BC+20+E2+82+AC@a", false, "ORCPT=utf-8;j\\x{FC}\\x{20}\\x{20AC}@a\n"},
	    {"ORCPT=rfc822;\xc3\xa9", true, "501 5.5.4"}, {"ORCPT=utf-8;\xc3\xa9@a", false, "501 5.5.4"},
	    {"ORCPT=utf-8;\xc3\xa9@a", true, "ORCPT=utf-8;\xc3\xa9@a\n"},
	    {"ORCPT=UTF-8;\\x{E9}@a", false, "ORCPT=UTF-8;\\x{E9}@a\n"}, {"ORCPT=utf-8;a+20b", true, "501 5.5.4"},
	    {"ORCPT=rfc822;a NOTIFY=NEVER", false, "ORCPT=rfc822;a\nNOTIFY=NEVER\n"}, {"SIZE=1", false, "555 5.5.4"},
	    {"RET=FULL", false, "555 5.5.4"}};
	char orcpt[SMTP_ORCPT_MAX + 20] = "ORCPT=rfc822;", want[SMTP_ORCPT_MAX + 20];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(v); i++)
		check_rcpt(v[i].given, v[i].utf8, v[i].want);
	memset(orcpt + 13, 'o', SMTP_ORCPT_MAX - 7);
	(void)snprintf(want, sizeof(want), "%s\n", orcpt);
	check_rcpt(orcpt, false, want);
	orcpt[6 + SMTP_ORCPT_MAX] = 'o';
	check_rcpt(orcpt, false, "501 5.5.4");
}

/* What the text itself tells is added, and REQUIRETLS is stronger than a field of the header. */
static void
what_the_text_tells(void **state)
{
	struct smtp_mail_envelope e = {0};
	BUF_CLEANUP struct buf out;

	(void)state;
	buf_init(&out, SMTP_MAIL_LINES_MAX);
	smtp_mail_envelope_put(&e, true, true, &out);
	assert_true(slice_eq(buf_slice(&out), SLICE("BODY=8BITMIME\nTLS-REQUIRED=NO\n")));
	buf_reset(&out);
	e.require_tls = true;
	e.body = SMTP_BODY_BINARYMIME;
	smtp_mail_envelope_put(&e, true, true, &out);
	assert_true(slice_eq(buf_slice(&out), SLICE("BODY=BINARYMIME\nREQUIRETLS=\n")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(strangers),
	    cmocka_unit_test(users),
	    cmocka_unit_test(recipients),
	    cmocka_unit_test(what_the_text_tells),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
