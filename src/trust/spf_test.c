/* SPF checks against small zones: identities, includes and redirects, limits, explanations, and what hostile zones come to. The official
 * suites are in test/scenario/test_trust_spf.py. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/buf.h"
#include "trust/spf.h"
#include "trust/zone_file.h"

struct world {
	struct house house;
	struct zone_file *zone;
	struct trust_dns dns; /* the zone's */
	unsigned questions;
	struct arena a;
	struct spf_question q;
	struct spf_result r;
};

static int
query(void *of, struct slice name, enum trust_dns_type type, struct arena *a, struct trust_answer *out)
{
	struct world *w = of;

	w->questions++;
	return w->dns.query(w->dns.of, name, type, a, out);
}

static void
setup(struct world *w, struct slice zone)
{
	BUF_CLEANUP struct buf detail;

	memset(w, 0, sizeof(*w));
	buf_init(&detail, 1000);
	house_init(&w->house, "test");
	arena_init(&w->a, 1 << 20);
	assert_int_equal(zone_file_new(&w->zone, zone, &detail), 0);
	w->dns = zone_file_dns(w->zone);
	w->q = (struct spf_question){.dns = {.query = query, .of = w}, .house = &w->house};
}

static void
teardown(struct world *w)
{
	zone_file_free(&w->zone);
	arena_free(&w->a);
}

static enum trust_result
check(struct world *w, enum spf_identity identity, const char *ip, const char *helo, const char *sender)
{
	assert_int_equal(net_address_parse(slice_z(ip), 0, &w->q.client), 0);
	w->q.helo = slice_z(helo);
	w->q.sender = slice_z(sender);
	w->questions = 0;
	assert_int_equal(spf_check(&w->q, identity, &w->a, &w->r), 0);
	assert_int_equal(w->r.identity, identity);
	assert_true(w->questions <= 10 * 11 + 12);
	return w->r.result;
}

static void
want(struct world *w, const char *ip, const char *sender, enum trust_result result, const char *reason)
{
	enum trust_result got = check(w, SPF_MAIL_FROM, ip, "helo.example.org", sender);

	assert_string_equal(arena_z(&w->a, w->r.reason), reason);
	assert_int_equal(got, result);
}

#define ZONE(w, text) setup(w, SLICE("$ORIGIN example.org.\n" text))

static void
identities(void **state)
{
	struct world w;

	(void)state;
	ZONE(&w,
	    "@ TXT \"v=spf1 ip4:192.0.2.0/24 ~all\"\nhelo TXT \"v=spf1 ip4:192.0.2.1 -all\"\n"
	    "xn--bcher-kva.example. TXT \"v=spf1 exists:%{o}.x.example.org exists:%{l}.y.example.org -all\"\n"
	    "xn--bcher-kva.example.x A 127.0.0.2\n");
	assert_int_equal(check(&w, SPF_HELO, "192.0.2.1", "HELO.example.org", "a@example.org"), TRUST_PASS);
	assert_true(slice_eq(w.r.domain, SLICE("HELO.example.org")));
	assert_int_equal(check(&w, SPF_HELO, "192.0.2.2", "helo.example.org.", ""), TRUST_FAIL);
	assert_int_equal(check(&w, SPF_MAIL_FROM, "192.0.2.2", "helo.example.org", "a@example.org"), TRUST_PASS);
	/* The null reverse-path is postmaster at the name in HELO (§2.4). */
	assert_int_equal(check(&w, SPF_MAIL_FROM, "192.0.2.2", "helo.example.org", ""), TRUST_FAIL);
	assert_true(slice_eq(w.r.domain, SLICE("helo.example.org")));
	assert_int_equal(check(&w, SPF_HELO, "::ffff:192.0.2.1", "helo.example.org", ""), TRUST_PASS);
	assert_int_equal(check(&w, SPF_HELO, "2001:db8::1", "helo.example.org", ""), TRUST_FAIL);
	assert_int_equal(check(&w, SPF_HELO, "192.0.2.1", "[192.0.2.1]", ""), TRUST_NONE);
	assert_string_equal(arena_z(&w.a, w.r.reason), "\"[192.0.2.1]\" is an address, not a domain");
	assert_int_equal(check(&w, SPF_HELO, "192.0.2.1", "localhost", ""), TRUST_NONE);
	assert_int_equal(check(&w, SPF_HELO, "192.0.2.1", "", ""), TRUST_NONE);
	assert_int_equal(check(&w, SPF_HELO, "192.0.2.1", "a..example.org", ""), TRUST_NONE);
	assert_int_equal(check(&w, SPF_HELO, "192.0.2.1", "a\x01.example\r\n.org", ""), TRUST_NONE);
	assert_string_equal(arena_z(&w.a, w.r.reason), "\"a?.example??.org\" is not a domain name");
	/* IDNs are looked up and expanded as A-labels; a local part of other letters matches nothing (RFC 8616 §4). */
	assert_int_equal(check(&w, SPF_MAIL_FROM, "192.0.2.1", "x",
			     "j@B\xc3\xbc"
			     "cher.example"),
	    TRUST_PASS);
	assert_true(slice_eq(w.r.domain, SLICE("xn--bcher-kva.example")));
	teardown(&w);
}

static void
sentences(void **state)
{
	struct world w;

	(void)state;
	ZONE(&w,
	    "@ TXT \"v=spf1 mx ?ip4:192.0.2.9 include:inc.example.org ~all\"\n@ MX 5 mail\nmail A 192.0.2.1\n"
	    "inc TXT \"v=spf1 include:deep.example.org -all\"\ndeep TXT \"v=spf1 ip4:198.51.100.0/24\"\n"
	    "a TXT \"v=spf1 redirect=b.example.org\"\nb TXT \"v=spf1 ip4:192.0.2.1\"\n"
	    "c TXT \"v=spf1 a:b.%{d} moo\"\nd TXT \"v=spf1 include:mail.example.org\"\n"
	    "e TXT \"v=spf1\"\ne TXT \"v=spf1 -all\"\nf TXT \"v=spf1 a:slow.example.org\"\n$TEMPFAIL slow\n"
	    "g TXT \"v=spf1 include:c.example.org\"\n");
	want(&w, "192.0.2.1", "a@example.org", TRUST_PASS, "192.0.2.1 may send for example.org: it matches \"mx\"");
	want(&w, "192.0.2.2", "a@example.org", TRUST_SOFTFAIL,
	    "192.0.2.2 should not send for example.org: it matches \"~all\"");
	want(&w, "192.0.2.9", "a@example.org", TRUST_NEUTRAL,
	    "192.0.2.9 may or may not send for example.org: it matches \"?ip4:192.0.2.9\"");
	want(&w, "198.51.100.7", "a@example.org", TRUST_PASS,
	    "198.51.100.7 may send for example.org: it matches \"include:inc.example.org\", there "
	    "\"ip4:198.51.100.0/24\" of "
	    "deep.example.org");
	assert_true(slice_eq(w.r.term, SLICE("include:inc.example.org")));
	want(&w, "192.0.2.1", "a@a.example.org", TRUST_PASS,
	    "192.0.2.1 may send for a.example.org: it matches \"ip4:192.0.2.1\" of b.example.org");
	want(&w, "192.0.2.2", "a@a.example.org", TRUST_NEUTRAL,
	    "a.example.org does not say whether 192.0.2.2 may send for it");
	want(&w, "192.0.2.1", "a@c.example.org", TRUST_PERMERROR,
	    "the SPF record of c.example.org is broken: \"moo\" is no mechanism of SPF");
	want(&w, "192.0.2.1", "a@d.example.org", TRUST_PERMERROR, "mail.example.org has no SPF record");
	want(&w, "192.0.2.1", "a@e.example.org", TRUST_PERMERROR, "e.example.org has more than one SPF record");
	want(&w, "192.0.2.1", "a@f.example.org", TRUST_TEMPERROR,
	    "the A records of slow.example.org could not be looked up");
	want(&w, "192.0.2.1", "a@slow.example.org", TRUST_TEMPERROR,
	    "the TXT records of slow.example.org could not be looked up");
	want(&w, "192.0.2.1", "a@g.example.org", TRUST_PERMERROR,
	    "the SPF record of c.example.org is broken: \"moo\" is no mechanism of SPF");
	want(&w, "192.0.2.1", "a@mail.example.org", TRUST_NONE, "mail.example.org has no SPF record");
	teardown(&w);
}

static void
limits(void **state)
{
	struct world w;

	(void)state;
	ZONE(&w,
	    "loop TXT \"v=spf1 include:loop.example.org -all\"\n"
	    "ring TXT \"v=spf1 redirect=gnir.example.org\"\ngnir TXT \"v=spf1 redirect=ring.example.org\"\n"
	    "void TXT \"v=spf1 a:n1.example.org mx:n2.example.org exists:n3.example.org +all\"\n"
	    "two TXT \"v=spf1 a:n1.example.org mx:n2.example.org +all\"\n"
	    "mx6 TXT \"v=spf1 mx ~all\"\n MX 1 m1\n MX 2 m2\n MX 3 m3\n MX 4 m4\n"
	    "m1 A 192.0.2.1\nm2 A 192.0.2.2\nm3 A 192.0.2.3\nm4 AAAA 2001:db8::4\n"
	    "p TXT \"v=spf1 a:%{p}.x.org exists:%{p}.example.org exists:%{p}.example.org ~all\"\n"
	    "null TXT \"v=spf1 mx mx mx ?all\"\n MX 0 .\n");
	want(&w, "192.0.2.1", "a@loop.example.org", TRUST_PERMERROR, "the check takes more than 10 lookups in DNS");
	assert_int_equal(w.questions, 11);
	want(&w, "192.0.2.1", "a@ring.example.org", TRUST_PERMERROR, "the check takes more than 10 lookups in DNS");
	want(&w, "192.0.2.1", "a@void.example.org", TRUST_PERMERROR, "more than 2 terms lead to nothing in DNS");
	assert_int_equal(w.r.void_lookups, 3);
	assert_int_equal(check(&w, SPF_MAIL_FROM, "192.0.2.1", "x", "a@two.example.org"), TRUST_PASS);
	assert_int_equal(w.r.void_lookups, 2);
	/* A term counts once, and only if nothing came of it. */
	assert_int_equal(check(&w, SPF_MAIL_FROM, "2001:db8::4", "x", "a@mx6.example.org"), TRUST_PASS);
	assert_int_equal(w.r.void_lookups, 0);
	assert_int_equal(check(&w, SPF_MAIL_FROM, "192.0.2.9", "x", "a@null.example.org"), TRUST_NEUTRAL);
	assert_int_equal(w.r.void_lookups, 0);
	/* %{p} is looked up once, and counts as one. */
	w.house.limits.spf_void_lookups = 10;
	assert_int_equal(check(&w, SPF_MAIL_FROM, "192.0.2.9", "x", "a@p.example.org"), TRUST_SOFTFAIL);
	assert_int_equal(w.r.lookups, 4);
	assert_int_equal(w.questions, 5);
	teardown(&w);
}

static void
explanations(void **state)
{
	struct world w;

	(void)state;
	ZONE(&w,
	    "@ TXT \"v=spf1 -all exp=why.%{d}\"\nwhy TXT \"%{i} is none of %{d}'s; \" \"%{l} %{h} %{r} %{p}\"\n"
	    "two TXT \"v=spf1 -all exp=w2.example.org\"\nw2 TXT one\nw2 TXT two\n"
	    "long TXT \"v=spf1 -all exp=wl.example.org\"\nwl TXT "
	    "\"%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}"
	    "%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}%{s}\"\n"
	    "soft TXT \"v=spf1 ~all exp=why.example.org\"\n"
	    "inc TXT \"v=spf1 -include:all.example.org ?all exp=mine.example.org\"\n"
	    "all TXT \"v=spf1 +all exp=why.example.org\"\nmine TXT mine\n"
	    "1.2.0.192.in-addr.arpa. PTR x.example.org.\n PTR evil\\013name.example.org.\nx A 192.0.2.1\n");
	w.q.receiver = SLICE("mx.example.net");
	assert_int_equal(check(&w, SPF_MAIL_FROM, "192.0.2.1", "helo", "jo@example.org"), TRUST_FAIL);
	assert_string_equal(
	    arena_z(&w.a, w.r.explanation), "192.0.2.1 is none of example.org's; jo helo mx.example.net x.example.org");
	assert_int_equal(w.r.lookups, 0);
	/* Nothing that could end a line of SMTP, nor another charset. */
	assert_int_equal(check(&w, SPF_MAIL_FROM, "192.0.2.1", "a\r\n250 ok", "jo@example.org"), TRUST_FAIL);
	assert_int_equal(w.r.explanation.n, 0);
	assert_int_equal(check(&w, SPF_MAIL_FROM, "192.0.2.1", "helo", "j\xc3\xb6@example.org"), TRUST_FAIL);
	assert_int_equal(w.r.explanation.n, 0);
	assert_int_equal(check(&w, SPF_MAIL_FROM, "192.0.2.1", "helo", "jo@two.example.org"), TRUST_FAIL);
	assert_int_equal(w.r.explanation.n, 0);
	assert_int_equal(check(&w, SPF_MAIL_FROM, "192.0.2.1", "helo", "jo@long.example.org"), TRUST_FAIL);
	assert_int_equal(w.r.explanation.n, SPF_EXPLANATION_BYTES_MAX);
	assert_int_equal(check(&w, SPF_MAIL_FROM, "192.0.2.1", "helo", "jo@soft.example.org"), TRUST_SOFTFAIL);
	assert_int_equal(w.r.explanation.n, 0);
	assert_int_equal(check(&w, SPF_MAIL_FROM, "192.0.2.1", "helo", "jo@inc.example.org"), TRUST_FAIL);
	assert_true(slice_eq(w.r.explanation, SLICE("mine")));
	teardown(&w);
}

static void
slow_answers(void **state)
{
	struct world w;

	(void)state;
	ZONE(&w, "@ TXT \"v=spf1 a:a.example.org -all\"\na A 192.0.2.7\n");
	w.house.limits.spf_timeout_ms = -1;
	want(&w, "192.0.2.1", "a@example.org", TRUST_TEMPERROR, "the check took longer than 0 seconds");
	assert_int_equal(w.questions, 0);
	teardown(&w);
}

/* A record of ten megabytes; one as large as can be, of includes of itself; a name with 20,000 addresses; 3,000 TXT records; deep
 * nesting; giant macros. All of it ends, in little of the caller's memory. */
static void
hostile(void **state)
{
	BUF_CLEANUP struct buf zone;
	struct world w;

	(void)state;
	buf_init(&zone, ZONE_FILE_BYTES_MAX);
	buf_put_z(&zone, "$ORIGIN example.org.\nbig TXT \"v=spf1");
	while (zone.n < 10u << 20)
		buf_put_z(&zone, " ip4:10.0.0.1");
	buf_put_z(&zone, " -all\"\nfull TXT \"v=spf1");
	for (size_t i = 0; i < 65000 - 20; i += 26)
		buf_put_z(&zone, " ?include:full.example.org");
	buf_put_z(&zone, " -all\"\nmacro TXT \"v=spf1 exists:");
	for (size_t i = 0; i < 60000; i += 5)
		buf_put_z(&zone, "%{S}.");
	buf_put_z(&zone, "org ~all\"\nmany TXT \"v=spf1 a -all\"\n");
	for (unsigned i = 0; i < 20000; i++)
		buf_printf(&zone, " A 10.1.%u.%u\n", i >> 8, i & 255);
	for (unsigned i = 0; i < 3000; i++)
		buf_printf(&zone, "records TXT \"v=spf1 ip4:10.2.%u.%u\"\nmx MX 1 m%u\n", i >> 8, i & 255, i);
	buf_put_z(&zone, "mx TXT \"v=spf1 mx -all\"\nptr TXT \"v=spf1 ptr:example.org -all\"\n");
	for (unsigned i = 0; i < 3000; i++)
		buf_printf(&zone, "1.2.0.192.in-addr.arpa. PTR h%u\nh%u A 192.0.2.%u\n", i, i, i < 10 ? 9 : 1);
	for (unsigned i = 0; i < 200; i++)
		buf_printf(&zone, "n%u TXT \"v=spf1 include:n%u.example.org -all\"\n", i, i + 1);
	assert_int_equal(zone.err, 0);
	setup(&w, buf_slice(&zone));
	want(&w, "192.0.2.1", "a@big.example.org", TRUST_PERMERROR,
	    "the SPF record of big.example.org is broken: \"v=spf1\" begins a record that is too long");
	want(&w, "192.0.2.1", "a@full.example.org", TRUST_PERMERROR, "the check takes more than 10 lookups in DNS");
	assert_int_equal(check(&w, SPF_MAIL_FROM, "192.0.2.1", "x", "a@macro.example.org"), TRUST_SOFTFAIL);
	assert_int_equal(check(&w, SPF_MAIL_FROM, "10.1.78.31", "x", "a@many.example.org"), TRUST_PASS);
	want(&w, "192.0.2.1", "a@records.example.org", TRUST_PERMERROR,
	    "records.example.org has more than one SPF record");
	want(&w, "192.0.2.1", "a@mx.example.org", TRUST_PERMERROR, "mx.example.org has more than 10 MX records");
	/* The tenth name is the last that is looked at, and only from the eleventh on they lead back. */
	assert_int_equal(check(&w, SPF_MAIL_FROM, "192.0.2.1", "x", "a@ptr.example.org"), TRUST_FAIL);
	assert_int_equal(w.questions, 12);
	want(&w, "192.0.2.1", "a@n0.example.org", TRUST_PERMERROR, "the check takes more than 10 lookups in DNS");
	assert_true(w.a.used < 100000);
	teardown(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(identities),
	    cmocka_unit_test(sentences),
	    cmocka_unit_test(limits),
	    cmocka_unit_test(explanations),
	    cmocka_unit_test(slow_answers),
	    cmocka_unit_test(hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
