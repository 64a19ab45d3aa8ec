/* SPF records: what their terms mean, and what is told of broken ones. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/buf.h"
#include "trust/spf_record.h"

static void
versions(void **state)
{
	(void)state;
	assert_true(spf_record_is_spf(SLICE("v=spf1")));
	assert_true(spf_record_is_spf(SLICE("V=SPF1 -all")));
	assert_false(spf_record_is_spf(SLICE("v=spf10 -all")));
	assert_false(spf_record_is_spf(SLICE("v=spf1\t-all")));
	assert_false(spf_record_is_spf(SLICE(" v=spf1")));
	assert_false(spf_record_is_spf(SLICE_EMPTY));
}

static void
terms(void **state)
{
	static const struct {
		enum spf_kind kind;
		enum trust_result qualifier;
		const char *spec;
		unsigned bits4, bits6;
	} wanted[] = {{SPF_A, TRUST_PASS, "", 32, 128}, {SPF_A, TRUST_FAIL, "b.org", 24, 64},
	    {SPF_MX, TRUST_SOFTFAIL, "", 32, 0}, {SPF_PTR, TRUST_NEUTRAL, "", 32, 128},
	    {SPF_IP4, TRUST_PASS, "", 8, 128}, {SPF_IP6, TRUST_PASS, "", 32, 32},
	    {SPF_INCLUDE, TRUST_PASS, "%{d2}", 32, 128}, {SPF_EXISTS, TRUST_FAIL, "%{i}.c.org", 32, 128},
	    {SPF_UNKNOWN, TRUST_NONE, "x:y/z", 32, 128}, {SPF_UNKNOWN, TRUST_NONE, "", 32, 128},
	    {SPF_EXP, TRUST_NONE, "e.org", 32, 128}, {SPF_REDIRECT, TRUST_NONE, "r.org", 32, 128}};
	struct spf_record record;
	struct slice rest, wrong;
	struct spf_term t;
	const char *why;
	size_t n = 0;

	(void)state;
	assert_int_equal(
	    spf_record_parse(
		SLICE("v=spf1  +a -A:b.org/24//64 ~mx//0 ?ptr ip4:10.0.0.0/8 ip6:2001:db8::/32 include:%{d2} "
		      "-exists:%{i}.c.org m.n-o_p=x:y/z a= EXP=e.org redirect=r.org  "),
		&record, &wrong, &why),
	    0);
	assert_true(slice_eq(record.redirect, SLICE("r.org")));
	assert_true(slice_eq(record.exp, SLICE("e.org")));
	for (rest = record.terms; spf_record_next(&rest, &t); n++) {
		assert_true(n < COUNT_OF(wanted));
		assert_int_equal(t.kind, wanted[n].kind);
		assert_int_equal(t.qualifier, wanted[n].qualifier);
		assert_true(slice_eq(t.spec, slice_z(wanted[n].spec)));
		assert_int_equal(t.bits4, wanted[n].bits4);
		assert_int_equal(t.bits6, wanted[n].bits6);
	}
	assert_int_equal(n, COUNT_OF(wanted));
	/* An "all", wherever it stands, makes a redirect void (§6.1). */
	assert_int_equal(spf_record_parse(SLICE("v=spf1 redirect=r.org ?all"), &record, &wrong, &why), 0);
	assert_int_equal(record.redirect.n, 0);
}

static void
mistakes(void **state)
{
	static const char *const rows[][3] = {{"v=spf1 moo", "moo", "is no mechanism of SPF"},
	    {"v=spf1 -", "-", "is no mechanism of SPF"}, {"v=spf1 --all", "--all", "is no mechanism of SPF"},
	    {"v=spf1 all:x.org", "all:x.org", "takes nothing behind it"},
	    {"v=spf1 all\tx", "all\tx", "is no mechanism of SPF"}, {"v=spf1 include", "include", "lacks its domain"},
	    {"v=spf1 include:", "include:", "has no valid domain"},
	    {"v=spf1 a/33", "a/33", "has a prefix length that is none"},
	    {"v=spf1 a/024", "a/024", "has a prefix length that is none"},
	    {"v=spf1 mx//129", "mx//129", "has a prefix length that is none"},
	    {"v=spf1 a/", "a/", "has something behind it that does not belong there"},
	    {"v=spf1 ptr/24", "ptr/24", "has something behind it that does not belong there"},
	    {"v=spf1 a:192.0.2.1", "a:192.0.2.1", "has an address where a domain belongs (ip4: or ip6: take one)"},
	    {"v=spf1 ip4:192.0.2", "ip4:192.0.2", "has no IPv4 address"},
	    {"v=spf1 ip4:192.0.02.1", "ip4:192.0.02.1", "has no IPv4 address"},
	    {"v=spf1 ip4", "ip4", "lacks its address"},
	    {"v=spf1 ip4:192.0.2.1/", "ip4:192.0.2.1/", "has a prefix length that is none"},
	    {"v=spf1 ip6:192.0.2.1", "ip6:192.0.2.1", "has no IPv6 address"},
	    {"v=spf1 ip6:fe80::1%eth0", "ip6:fe80::1%eth0", "has no IPv6 address"},
	    {"v=spf1 redirect:x.org", "redirect:x.org", "is no mechanism of SPF"},
	    {"v=spf1 a:b\xc3\xbc.org", "a:b\xc3\xbc.org", "is not written in ASCII"},
	    {"v=spf1 a:%{x}.org", "a:%{x}.org", "has a macro that is none"},
	    {"v=spf1 redirect=", "redirect=", "has no valid domain"},
	    {"v=spf1 exp=a.org EXP=b.org", "EXP=b.org", "appears a second time"},
	    {"v=spf1 x=%q", "x=%q", "has a macro that is none"}, {"v=spf1 1x=y", "1x=y", "is no mechanism of SPF"},
	    {"v=spf1 -all \xff", "\xff", "is no mechanism of SPF"}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct spf_record record;
		struct slice wrong;
		const char *why;

		assert_int_equal(spf_record_parse(slice_z(rows[i][0]), &record, &wrong, &why), ERR_SYNTAX);
		assert_true(slice_eq(wrong, slice_z(rows[i][1])));
		assert_string_equal(why, rows[i][2]);
	}
}

/* As large as a record can be, and larger. */
static void
large(void **state)
{
	BUF_CLEANUP struct buf text;
	struct spf_record record;
	struct slice rest, wrong;
	struct spf_term t;
	const char *why;
	size_t n = 0;

	(void)state;
	buf_init(&text, 1 << 20);
	buf_put_z(&text, "v=spf1");
	while (text.n + 2 <= SPF_RECORD_BYTES_MAX)
		buf_put_z(&text, " a");
	assert_int_equal(spf_record_parse(buf_slice(&text), &record, &wrong, &why), 0);
	for (rest = record.terms; spf_record_next(&rest, &t); n++)
		assert_int_equal(t.kind, SPF_A);
	assert_int_equal(n, (text.n - 6) / 2);
	buf_put_z(&text, " a");
	assert_int_equal(spf_record_parse(buf_slice(&text), &record, &wrong, &why), ERR_SYNTAX);
	assert_string_equal(why, "begins a record that is too long");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(versions),
	    cmocka_unit_test(terms),
	    cmocka_unit_test(mistakes),
	    cmocka_unit_test(large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
