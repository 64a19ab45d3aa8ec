/* Zone files: what a good one answers, and what is told of bad ones. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "trust/zone_file.h"

static const char zone_text[] = "; a comment\n"
				"$TTL 1h\n"
				"@ IN SOA ns hostmaster 1 2 3 4 5\n"
				"$ORIGIN example.org.\r\n"
				"@ 3600 IN MX 20 Mail\r\n"
				"\tIN 300 MX 10 mx.Example.NET.\r\n"
				"  TXT ( \"v=spf1 mx\" ; so\n \" -all\"\n) \n"
				"  TXT plain\\032words\\; \"a\\\"b\\000\"\n"
				"mail A 192.0.2.1\n"
				" AAAA 2001:db8::1\n"
				" A 192.0.2.2\n"
				"www CNAME mail\n"
				"there CNAME nowhere\n"
				"loop CNAME loop\n"
				"null MX 0 .\n"
				"*.wild A 192.0.2.9\n"
				"a.b.wild TXT x\n"
				"1.2.0.192.in-addr.arpa. PTR mail\n"
				"$TEMPFAIL slow\n"
				"slow TXT here\n"
				"$TEMPFAIL mail AAAA ptr\n";

struct world {
	struct zone_file *z;
	struct trust_dns dns;
	struct arena a;
};

static void
setup(struct world *w, struct slice text)
{
	BUF_CLEANUP struct buf detail;

	buf_init(&detail, 1000);
	arena_init(&w->a, 1 << 20);
	assert_int_equal(zone_file_new(&w->z, text, &detail), 0);
	w->dns = zone_file_dns(w->z);
}

static void
teardown(struct world *w)
{
	arena_free(&w->a);
	zone_file_free(&w->z);
}

static struct trust_answer
ask(struct world *w, const char *name, enum trust_dns_type type)
{
	struct trust_answer answer;

	assert_int_equal(trust_dns_ask(&w->dns, slice_z(name), type, &w->a, &answer), 0);
	assert_int_equal(answer.status == TRUST_DNS_FOUND, answer.n > 0);
	assert_false(answer.secure);
	return answer;
}

static void
want(struct world *w, const char *name, enum trust_dns_type type, enum trust_dns_status status)
{
	assert_int_equal(ask(w, name, type).status, status);
}

static void
answers(void **state)
{
	struct trust_answer r;
	struct world w;

	(void)state;
	setup(&w, slice_z(zone_text));
	r = ask(&w, "EXAMPLE.org.", TRUST_DNS_MX);
	assert_int_equal(r.n, 2);
	assert_int_equal(r.v[0].preference, 20);
	assert_true(slice_eq(r.v[0].data, SLICE("mail.example.org")));
	assert_true(slice_eq(r.v[1].data, SLICE("mx.example.net")));
	r = ask(&w, "example.org", TRUST_DNS_TXT);
	assert_int_equal(r.n, 2);
	assert_true(slice_eq(r.v[0].data, SLICE("v=spf1 mx -all")));
	assert_true(slice_eq(r.v[1].data, SLICE("plain words;a\"b\0")));
	r = ask(&w, "mail.example.org", TRUST_DNS_A);
	assert_int_equal(r.n, 2);
	assert_true(slice_eq(r.v[0].data, SLICE("\xc0\x00\x02\x01")));
	r = ask(&w, "null.example.org", TRUST_DNS_MX);
	assert_int_equal(r.n, 1);
	assert_int_equal(r.v[0].data.n, 0);
	r = ask(&w, "1.2.0.192.in-addr.arpa", TRUST_DNS_PTR);
	assert_true(slice_eq(r.v[0].data, SLICE("mail.example.org")));
	want(&w, "mail.example.org", TRUST_DNS_MX, TRUST_DNS_NO_DATA);
	want(&w, "org", TRUST_DNS_MX, TRUST_DNS_NO_DATA);
	want(&w, "nobody.example.org", TRUST_DNS_A, TRUST_DNS_NO_NAME);
	teardown(&w);
}

static void
aliases_and_wildcards(void **state)
{
	struct world w;

	(void)state;
	setup(&w, slice_z(zone_text));
	assert_int_equal(ask(&w, "www.example.org", TRUST_DNS_A).n, 2);
	assert_int_equal(ask(&w, "www.example.org", TRUST_DNS_CNAME).n, 1);
	want(&w, "www.example.org", TRUST_DNS_MX, TRUST_DNS_NO_DATA);
	want(&w, "there.example.org", TRUST_DNS_A, TRUST_DNS_NO_NAME);
	want(&w, "loop.example.org", TRUST_DNS_A, TRUST_DNS_TEMPORARY);
	want(&w, "x.wild.example.org", TRUST_DNS_A, TRUST_DNS_FOUND);
	want(&w, "x.y.wild.example.org", TRUST_DNS_A, TRUST_DNS_FOUND);
	want(&w, "x.wild.example.org", TRUST_DNS_TXT, TRUST_DNS_NO_DATA);
	want(&w, "wild.example.org", TRUST_DNS_A, TRUST_DNS_NO_DATA);
	/* A name that exists, be it only as a parent, is not the wildcard's, nor is what is below it. */
	want(&w, "b.wild.example.org", TRUST_DNS_A, TRUST_DNS_NO_DATA);
	want(&w, "x.b.wild.example.org", TRUST_DNS_A, TRUST_DNS_NO_NAME);
	teardown(&w);
}

static void
failures_and_no_names(void **state)
{
	char label[65] = {0}, longest[300] = {0};
	struct world w;

	(void)state;
	setup(&w, slice_z(zone_text));
	want(&w, "slow.example.org", TRUST_DNS_A, TRUST_DNS_TEMPORARY);
	want(&w, "slow.example.org", TRUST_DNS_TXT, TRUST_DNS_FOUND);
	want(&w, "mail.example.org", TRUST_DNS_AAAA, TRUST_DNS_TEMPORARY);
	want(&w, "mail.example.org", TRUST_DNS_PTR, TRUST_DNS_TEMPORARY);
	want(&w, "mail.example.org", TRUST_DNS_A, TRUST_DNS_FOUND);
	memset(label, 'a', 64);
	memset(longest, 'a', 299);
	for (size_t i = 1; i < sizeof(longest); i += 2)
		longest[i] = '.';
	longest[299] = '\0';
	want(&w, label, TRUST_DNS_A, TRUST_DNS_NO_NAME);
	want(&w, longest, TRUST_DNS_A, TRUST_DNS_NO_NAME);
	want(&w, "", TRUST_DNS_A, TRUST_DNS_NO_NAME);
	want(&w, ".", TRUST_DNS_A, TRUST_DNS_NO_NAME);
	want(&w, "a..org", TRUST_DNS_A, TRUST_DNS_NO_NAME);
	teardown(&w);
}

static void
mistakes(void **state)
{
	static const struct {
		const char *text, *told;
	} rows[] = {{" A 192.0.2.1", "line 1: the first record has no name"},
	    {"a A 192.0.2.1\n\nb A 2001:db8::1", "line 3: A takes one address"},
	    {"a AAAA 192.0.2.1", "line 1: AAAA takes one address"},
	    {"a A 192.0.2.1 192.0.2.2", "line 1: A takes one address"}, {"a A", "line 1: A takes one address"},
	    {"a", "line 1: a record without a type"}, {"a 1 IN", "line 1: a record without a type"},
	    {"a TEXT x", "line 1: the record type \"TEXT\" is not supported"},
	    {"a MX mail", "line 1: MX takes a preference and a host, as \"MX 10 mail\""},
	    {"a MX 65536 mail", "line 1: MX takes a preference and a host, as \"MX 10 mail\""},
	    {"a PTR b c", "line 1: PTR takes one name"}, {"a TXT", "line 1: TXT without a text"},
	    {"a TXT \"x\n\"", "line 1: a string without its closing quote"},
	    {"a TXT \"x", "line 1: a string without its closing quote"},
	    {"a TXT (\n\"x\"\n", "line 1: an opening parenthesis without its closing one"},
	    {"a TXT )", "line 1: a closing parenthesis without its opening one"},
	    {"a TXT x\\", "line 1: a backslash at the end of the line"},
	    {"a TXT x\\25", "line 1: \\DDD takes three decimal digits, 255 at most"},
	    {"a TXT \"x\\256\"", "line 1: \\DDD takes three decimal digits, 255 at most"},
	    {"a..b A 192.0.2.1", "line 1: \"a..b\" is not a name"}, {"\"\" A 192.0.2.1", "line 1: \"\" is not a name"},
	    {"a\\.b A 192.0.2.1", "line 1: \"a.b\": a full stop within a label is not supported"},
	    {"a\\046b A 192.0.2.1", "line 1: \"a.b\": a full stop within a label is not supported"},
	    {"$INCLUDE other", "line 1: $INCLUDE is not supported"}, {"$ORIGIN", "line 1: $ORIGIN takes one name"},
	    {"$TEMPFAIL", "line 1: $TEMPFAIL takes a name, and perhaps types"},
	    {"$TEMPFAIL a A SOA", "line 1: nobody asks for the type \"SOA\""}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		BUF_CLEANUP struct buf detail;
		struct zone_file *z;

		buf_init(&detail, 1000);
		assert_int_equal(zone_file_new(&z, slice_z(rows[i].text), &detail), ERR_SYNTAX);
		assert_null(z);
		buf_put_u8(&detail, 0);
		assert_string_equal((const char *)detail.p, rows[i].told);
	}
}

/* A TXT record of ten megabytes in strings of 250 bytes, each with an escape, on one line; and a name with 20,000 addresses. */
static void
large(void **state)
{
	BUF_CLEANUP struct buf text;
	struct trust_answer r;
	struct world w;

	(void)state;
	buf_init(&text, ZONE_FILE_BYTES_MAX);
	buf_put_z(&text, "big TXT");
	for (size_t n = 0; n < 10u << 20; n += 250) {
		buf_put_z(&text, " \"\\065");
		for (size_t i = 1; i < 250; i++)
			buf_put_u8(&text, 'A');
		buf_put_u8(&text, '"');
	}
	buf_put_z(&text, "\nmany A 192.0.2.0\n");
	for (unsigned i = 1; i < 20000; i++)
		buf_printf(&text, " A 10.0.%u.%u\n", i >> 8, i & 255);
	assert_int_equal(text.err, 0);
	setup(&w, buf_slice(&text));
	r = ask(&w, "big", TRUST_DNS_TXT);
	assert_true(r.v[0].data.n >= 10u << 20);
	for (size_t i = 0; i < r.v[0].data.n; i++)
		assert_int_equal(slice_at(r.v[0].data, i), 'A');
	assert_int_equal(ask(&w, "many", TRUST_DNS_A).n, 20000);
	teardown(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(answers),
	    cmocka_unit_test(aliases_and_wildcards),
	    cmocka_unit_test(failures_and_no_names),
	    cmocka_unit_test(mistakes),
	    cmocka_unit_test(large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
