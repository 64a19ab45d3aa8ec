/* Macros: the examples of RFC 7208 §7.4, syntax at its edges, and texts that become huge. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/buf.h"
#include "trust/spf_macro.h"

static const struct client_ip v4 = {.bytes = {192, 0, 2, 3}, .n = 4};
static const struct client_ip v6 = {.bytes = {0x20, 1, 0x0d, 0xb8, [14] = 0xcb, 1}, .n = 16};

static struct spf_values
values_of(const struct client_ip *ip)
{
	return (struct spf_values){.local = SLICE("strong-bad"),
	    .sender_domain = SLICE("email.example.com"),
	    .domain = SLICE("email.example.com"),
	    .helo = SLICE("[192.0.2.3]"),
	    .validated = SLICE("mx.example.org"),
	    .receiver = SLICE("mail.example.net"),
	    .ip = ip,
	    .now_s = 1400000000};
}

static void
want_domain(const struct client_ip *ip, const char *text, const char *name)
{
	struct spf_values values = values_of(ip);
	struct arena a ARENA_CLEANUP;
	struct slice out;

	arena_init(&a, 10000);
	assert_int_equal(spf_macro_check(slice_z(text), SPF_MODIFIER), 0);
	assert_int_equal(spf_macro_domain(slice_z(text), &values, &a, &out), 0);
	assert_string_equal(arena_z(&a, out), name);
}

static void
examples(void **state)
{
	static const char *const rows[][2] = {{"%{s}", "strong-bad@email.example.com"}, {"%{o}", "email.example.com"},
	    {"%{d}", "email.example.com"}, {"%{d4}", "email.example.com"}, {"%{d3}", "email.example.com"},
	    {"%{d2}", "example.com"}, {"%{d1}", "com"}, {"%{dr}", "com.example.email"}, {"%{d2r}", "example.email"},
	    {"%{l}", "strong-bad"}, {"%{l-}", "strong.bad"}, {"%{lr}", "strong-bad"}, {"%{lr-}", "bad.strong"},
	    {"%{l1r-}", "strong"}, {"%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"},
	    {"%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"},
	    {"%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"},
	    {"%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"},
	    {"%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"},
	    {"%{d000002}.", "example.com"}, {"%{d99999999999999999999}", "email.example.com"}, {"%{D1R}", "email"},
	    {"%{H}", "%5B192.0.2.3%5D"}, {"%{S}", "strong-bad%40email.example.com"},
	    {"%{s=}", "strong-bad@email.example.com"}, {"%{p2}.a.org.", "example.org.a.org"},
	    {"%%.%_.%-.org", "%. .%20.org"}, {"%{l1--}", "bad"}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		want_domain(&v4, rows[i][0], rows[i][1]);
	want_domain(&v6, "%{ir}.%{v}._spf.%{d2}",
	    "1.0.B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6._spf.example.com");
}

/* Empty parts are parts (§7.3). */
static void
empty_parts(void **state)
{
	struct spf_values values = values_of(&v4);
	struct arena a ARENA_CLEANUP;
	struct slice out;

	(void)state;
	arena_init(&a, 10000);
	values.local = SLICE("-a--b-");
	assert_int_equal(spf_macro_explain(SLICE("%{l-}|%{lr-}|%{l2-}|%{l2r-}|%{l3r-}"), &values, 100, &a, &out), 0);
	assert_true(slice_eq(out, SLICE(".a..b.|.b..a.|b.|a.|.a.")));
	values.local = SLICE("");
	assert_int_equal(spf_macro_explain(SLICE("<%{l}%{lr}%{l1r-}>"), &values, 100, &a, &out), 0);
	assert_true(slice_eq(out, SLICE("<>")));
}

static void
explanations(void **state)
{
	struct spf_values values = values_of(&v6);
	struct arena a ARENA_CLEANUP;
	struct slice out;

	(void)state;
	arena_init(&a, 10000);
	assert_int_equal(
	    spf_macro_explain(SLICE("See http://%{d}/why?s=%{S}&i=%{C} %{r} %{t}."), &values, 400, &a, &out), 0);
	assert_true(slice_eq(out,
	    SLICE("See http://email.example.com/why?s=strong-bad%40email.example.com&i=2001%3Adb8%3A%3Acb01 "
		  "mail.example.net 1400000000.")));
	assert_int_equal(spf_macro_explain(SLICE("abc%{d}"), &values, 5, &a, &out), 0);
	assert_true(slice_eq(out, SLICE("abcem")));
}

static void
syntax(void **state)
{
	static const char *const good[] = {"%{d}", "%{d}.x", "a.b", "a.b.", "a.b-c", "a.1b", "a:b/c.org", "%%", "%_",
	    "%-", "x%{i1r.-+,/_=}", "a.%{l}%{o}", "..org"};
	static const char *const bad[] = {"", ".", "a", "a.", "a.-b", "a.b-", "a.1", "a.b_c", "%{d}.", "%{d}x", "%",
	    "%{", "%{d", "%{d0}", "%{dr1}", "%{d1rr}", "%{x}", "%{}", "%{c}", "%{R}", "%{t}", "%(d)", "%d.org",
	    "a b.org", "a.%{d}\x01", "\xc3\xa9.org", "%{d1:}", "%{d }", "a.org/24"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++)
		assert_int_equal(spf_macro_check(slice_z(good[i]), SPF_DOMAIN_SPEC), 0);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(spf_macro_check(slice_z(bad[i]), SPF_DOMAIN_SPEC), ERR_SYNTAX);
	assert_int_equal(spf_macro_check(SLICE("Sent at %{t} to %{r}, 100%%."), SPF_EXPLAIN), 0);
	assert_int_equal(spf_macro_check(SLICE(""), SPF_EXPLAIN), 0);
	assert_int_equal(spf_macro_check(SLICE("50% off"), SPF_EXPLAIN), ERR_SYNTAX);
	assert_int_equal(spf_macro_check(SLICE("a\tb"), SPF_EXPLAIN), ERR_SYNTAX);
	assert_true(spf_macro_uses(SLICE("a.%{P2r}"), 'p'));
	assert_false(spf_macro_uses(SLICE("p.%%{p}"), 'p'));
}

/* §7.3: labels go from the left until 253 bytes are left; and a megabyte of macros costs no memory. */
static void
truncation(void **state)
{
	struct spf_values values = values_of(&v4);
	struct arena a ARENA_CLEANUP;
	BUF_CLEANUP struct buf text;
	struct slice out;

	(void)state;
	arena_init(&a, 4000);
	buf_init(&text, 2 << 20);
	while (text.n < 1u << 20)
		buf_put_z(&text, "%{s}.%{H}.%{l}");
	buf_put_z(&text, ".end.org");
	assert_int_equal(spf_macro_check(buf_slice(&text), SPF_DOMAIN_SPEC), 0);
	assert_int_equal(spf_macro_domain(buf_slice(&text), &values, &a, &out), 0);
	assert_true(out.n <= 253 && out.n > 240 && slice_ends(out, SLICE(".end.org")));
	/* 60 + 1 + ... = 254 bytes and one more label in front: the first one goes. */
	buf_reset(&text);
	for (int i = 0; i < 4; i++) {
		for (int j = 0; j < 62; j++)
			buf_put_u8(&text, 'x');
		buf_put_u8(&text, '.');
	}
	buf_put_z(&text, "ab");
	assert_int_equal(text.n, 254);
	assert_int_equal(spf_macro_domain(buf_slice(&text), &values, &a, &out), 0);
	assert_int_equal(out.n, 254 - 63);
	assert_int_equal(spf_macro_domain(slice_from(buf_slice(&text), 1), &values, &a, &out), 0);
	assert_int_equal(out.n, 253);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(examples),
	    cmocka_unit_test(empty_parts),
	    cmocka_unit_test(explanations),
	    cmocka_unit_test(syntax),
	    cmocka_unit_test(truncation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
