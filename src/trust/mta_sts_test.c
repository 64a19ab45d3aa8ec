/* Records and policies of MTA-STS: those of the standard, and broken ones. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "trust/mta_sts.h"

static void
want_record(struct slice_list texts, int err, const char *id)
{
	struct slice got = SLICE_EMPTY;

	assert_int_equal(mta_sts_record(texts, &got), err);
	if (err == 0)
		assert_true(slice_eq(got, slice_z(id)));
}

static void
records(void **state)
{
	(void)state;
	want_record(SLICE_LIST(SLICE("v=STSv1; id=20160831085700Z;")), 0, "20160831085700Z");
	want_record(SLICE_LIST(SLICE("v=STSv1;id=1;x=y=z ; ")), 0, "1");
	want_record(SLICE_LIST(SLICE("other"), SLICE("v=STSv1 ; id=A1")), 0, "A1");
	want_record(SLICE_LIST(SLICE("v=STSv1; id=1"), SLICE("v=STSv1; id=2")), ERR_NOTFOUND, NULL);
	want_record(SLICE_LIST(SLICE("v=STSv2; id=1")), ERR_NOTFOUND, NULL);
	want_record(SLICE_LIST(SLICE("v=STSv1x; id=1")), ERR_NOTFOUND, NULL);
	want_record(SLICE_LIST(SLICE("id=1; v=STSv1")), ERR_NOTFOUND, NULL);
	want_record((struct slice_list){NULL, 0}, ERR_NOTFOUND, NULL);
	want_record(SLICE_LIST(SLICE("v=STSv1")), ERR_SYNTAX, NULL);
	want_record(SLICE_LIST(SLICE("v=STSv1; id=")), ERR_SYNTAX, NULL);
	want_record(SLICE_LIST(SLICE("v=STSv1; id=a-b")), ERR_SYNTAX, NULL);
	want_record(SLICE_LIST(SLICE("v=STSv1; id=123456789012345678901234567890123")), ERR_SYNTAX, NULL);
	want_record(SLICE_LIST(SLICE("v=STSv1; nonsense; id=1")), ERR_SYNTAX, NULL);
}

static int
parse(const char *text, struct arena *a, struct mta_sts_policy *p)
{
	return mta_sts_policy_parse(slice_z(text), a, 3, p);
}

static void
policies(void **state)
{
	struct arena a ARENA_CLEANUP;
	struct mta_sts_policy p;

	(void)state;
	arena_init(&a, 100000);
	assert_int_equal(parse("version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.Example.NET\r\nmx: "
			       "backupmx.example.com\r\nmax_age: 604800\r\n",
			     &a, &p),
	    0);
	assert_int_equal(p.mode, MTA_STS_ENFORCE);
	assert_int_equal(p.max_age_s, 604800);
	assert_int_equal(p.mx.n, 3);
	assert_true(mta_sts_matches(&p, SLICE("MAIL.example.com")));
	assert_true(mta_sts_matches(&p, SLICE("mail.example.com.")));
	assert_true(mta_sts_matches(&p, SLICE("a.example.net")));
	assert_false(mta_sts_matches(&p, SLICE("example.net")));
	assert_false(mta_sts_matches(&p, SLICE(".example.net")));
	assert_false(mta_sts_matches(&p, SLICE("a.b.example.net")));
	assert_false(mta_sts_matches(&p, SLICE("evil.com")));
	assert_false(mta_sts_matches(&p, SLICE_EMPTY));
	/* Any order, LF, unknown fields, no end; the first of repeated ones counts; a year at most. */
	assert_int_equal(
	    parse("max_age:9999999999\nx: y\n\nmode:testing \nmode: none\nversion: STSv1\nmx: a", &a, &p), 0);
	assert_int_equal(p.mode, MTA_STS_TESTING);
	assert_int_equal(p.max_age_s, MTA_STS_MAX_AGE_S);
	assert_int_equal(parse("version: STSv1\nmode: none\nmax_age: 0\n", &a, &p), 0);
	assert_int_equal(p.mode, MTA_STS_NONE);
}

static void
broken_policies(void **state)
{
	static const char *const broken[] = {"", "<html>\n", "version: STSv2\nmode: none\nmax_age: 1\n",
	    "mode: none\nmax_age: 1\n", "version: STSv1\nmax_age: 1\n", "version: STSv1\nmode: none\n",
	    "version: STSv1\nmode: enforce\nmax_age: 1\n", "version: STSv1\nmode: ENFORCE\nmx: a\nmax_age: 1\n",
	    "version: STSv1\nmode: enforce\nmx: a\nmax_age: -1\n",
	    "version: STSv1\nmode: enforce\nmx: a\nmax_age: 12345678901\n",
	    "version: STSv1\nmode: enforce\nmx: *\nmax_age: 1\n",
	    "version: STSv1\nmode: enforce\nmx: a.*.b\nmax_age: 1\n",
	    "version: STSv1\nmode: enforce\nmx: a b\nmax_age: 1\n", "version: STSv1\nmode: enforce\nmx:\nmax_age: 1\n"};
	struct arena a ARENA_CLEANUP;
	struct mta_sts_policy p;

	(void)state;
	arena_init(&a, 100000);
	for (size_t i = 0; i < COUNT_OF(broken); i++)
		if (parse(broken[i], &a, &p) != ERR_SYNTAX)
			fail_msg("%s", broken[i]);
	assert_int_equal(
	    parse("version: STSv1\nmode: enforce\nmx: a\nmx: b\nmx: c\nmx: d\nmax_age: 1\n", &a, &p), ERR_LIMIT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(records), cmocka_unit_test(policies), cmocka_unit_test(broken_policies)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
