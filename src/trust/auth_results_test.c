/* Authentication-Results: what is written, what is recognised as ours, and the examples of RFC 8601 read. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "trust/auth_results.h"

static void
written(void **state)
{
	struct buf out BUF_CLEANUP;
	struct auth_results w;

	(void)state;
	buf_init(&out, 10000);
	auth_results_begin(&w, &out, SLICE("mx.example.org"));
	auth_results_put(&w, "spf", TRUST_PASS, SLICE_EMPTY);
	auth_results_property(&w, "smtp.mailfrom", SLICE("a+b@example.net"));
	auth_results_put(&w, "dkim", TRUST_FAIL, SLICE("the body was changed"));
	auth_results_property(&w, "header.d", SLICE("example.net"));
	auth_results_property(&w, "header.b", SLICE_EMPTY);
	auth_results_comment(&w, SLICE("2048 (bits)"));
	auth_results_end(&w);
	assert_string_equal((buf_put_u8(&out, 0), (const char *)out.p),
	    "mx.example.org;\r\n\tspf=pass smtp.mailfrom=a+b@example.net;\r\n\tdkim=fail reason=\"the body was "
	    "changed\" "
	    "header.d=example.net (2048 \\(bits\\))");
	buf_reset(&out);
	auth_results_begin(&w, &out, SLICE("mx"));
	auth_results_end(&w);
	assert_true(slice_eq(buf_slice(&out), SLICE("mx; none")));
}

static void
words_of_strangers(void **state)
{
	struct buf out BUF_CLEANUP;
	struct auth_results w;

	(void)state;
	buf_init(&out, 10000);
	auth_results_begin(&w, &out, SLICE("mx"));
	auth_results_put(&w, "spf", TRUST_NONE, SLICE_EMPTY);
	auth_results_property(&w, "smtp.mailfrom", SLICE("\"a; dkim=pass\\\"\"@x\r\nBcc: y\x7f"));
	assert_true(slice_eq(
	    buf_slice(&out), SLICE("mx;\r\n\tspf=none smtp.mailfrom=\"\\\"a; dkim=pass\\\\\\\"\\\"@x??Bcc: y?\"")));
}

static void
author(const char *value, bool complete, enum auth_results_author want)
{
	struct slice_list own = SLICE_LIST(SLICE("mx.example.org"),
	    SLICE("b\xc3\xbc"
		  "cher.test"));
	enum auth_results_author got = auth_results_author(slice_z(value), own, complete);

	if (got != want)
		fail_msg("%s: %d", value, (int)got);
}

static void
forged(void **state)
{
	static const char *const own[] = {" mx.example.org; spf=pass", "MX.Example.ORG;", "mx.example.org",
	    "mx.example.org.;x", "\r\n\tmx.example.org\r\n\t; dkim=pass", "(a (nested; one) \\) b) mx.example.org (c);",
	    "\"mx.example.org\"; x", "\"mx.\\example.org\" 1; x", "mx.example.org/1; x", "mx.example.org 1; x",
	    "mx.example.org 2; x", "other.test 2; x", "", " ; spf=pass", "( mx", "\"", "mx.example.org spf=pass",
	    "xn--bcher-kva.test; x",
	    ("b\xc3\xbc"
	     "cher.test; x")};
	static const char *const others[] = {"other.test; spf=pass", "mx.example.org.other.test; x", "xmx.example.org;",
	    "example.org; x", "other.test 1; x", "other.test (mx.example.org); x", "(mx.example.org) other.test;"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(own); i++)
		author(own[i], true, AUTH_RESULTS_OWN);
	for (size_t i = 0; i < COUNT_OF(others); i++) {
		author(others[i], true, AUTH_RESULTS_OTHER);
		/* In pieces the answer comes once, and is the same. */
		for (size_t n = 0; n < strlen(others[i]); n++) {
			struct slice_list names = SLICE_LIST(SLICE("mx.example.org"));

			assert_int_not_equal(
			    auth_results_author(slice_of(others[i], n), names, false), AUTH_RESULTS_OWN);
		}
	}
	author(" mx.exam", false, AUTH_RESULTS_UNKNOWN);
	author(" mx.example.org ", false, AUTH_RESULTS_UNKNOWN);
	author(" mx.example.org;", false, AUTH_RESULTS_OWN);
	author("other.test", false, AUTH_RESULTS_UNKNOWN);
	author("(mx.example.org;", false, AUTH_RESULTS_UNKNOWN);
}

static void
nul_bytes(void **state)
{
	static const char text[] = " mx\0.example.org; spf=pass";
	struct slice_list names = SLICE_LIST(SLICE("mx.example.org"));

	(void)state;
	assert_int_equal(auth_results_author(slice_of(text, sizeof(text) - 1), names, true), AUTH_RESULTS_OWN);
}

/* "method=result name=value…|…" */
static void
reads(const char *value, int err, const char *want)
{
	struct arena a ARENA_CLEANUP;
	struct buf text BUF_CLEANUP;
	struct auth_results_field f;

	arena_init(&a, 1 << 20);
	buf_init(&text, 4000);
	assert_int_equal(auth_results_parse(&a, slice_z(value), &f), err);
	buf_put(&text, f.id);
	for (size_t i = 0; i < f.n; i++) {
		buf_printf(&text, "|%.*s=%.*s", SLICE_ARG(f.v[i].method), SLICE_ARG(f.v[i].result));
		for (size_t k = 0; k < f.v[i].n; k++)
			buf_printf(&text, " %.*s=%.*s", SLICE_ARG(f.v[i].v[k].name), SLICE_ARG(f.v[i].v[k].value));
	}
	buf_put_u8(&text, 0);
	assert_string_equal((const char *)text.p, want);
}

/* Appendix B of RFC 8601. */
static void
examples(void **state)
{
	(void)state;
	reads("example.org 1; none", 0, "example.org");
	reads(
	    "example.com;\r\n spf=pass smtp.mailfrom=example.net", 0, "example.com|spf=pass smtp.mailfrom=example.net");
	reads("example.com;\r\n auth=pass (cram-md5) smtp.auth=sender@example.net;\r\n spf=pass "
	      "smtp.mailfrom=example.net",
	    0, "example.com|auth=pass smtp.auth=sender@example.net|spf=pass smtp.mailfrom=example.net");
	reads("example.com; iprev=pass\r\n policy.iprev=192.0.2.200", 0,
	    "example.com|iprev=pass policy.iprev=192.0.2.200");
	reads("example.com;\r\n dkim=fail reason=\"bad signature\"\r\n header.i=@mail-router.example.net", 0,
	    "example.com|dkim=fail reason=bad signature header.i=@mail-router.example.net");
	reads(
	    "foo.example.net (foobar) 1 (baz);\r\n dkim (Because I like it) / 1 (One yay) = (wait for it) fail\r\n "
	    "policy "
	    "(A dot can go here) . (like that) expired\r\n (this surprised me) = (as I wasn't expecting it) 1362471462",
	    0, "foo.example.net|dkim=fail policy.expired=1362471462");
	reads("mx; spf=pass smtp.mailfrom=\"a b\"@example.net", 0, "mx|spf=pass smtp.mailfrom=a b@example.net");
	reads("mx; spf=pass; ", 0, "mx|spf=pass");
}

static void
broken(void **state)
{
	struct arena a ARENA_CLEANUP;
	struct buf many BUF_CLEANUP;
	struct auth_results_field f;

	(void)state;
	reads("", ERR_SYNTAX, "");
	reads("mx 3; spf=pass", ERR_SYNTAX, "mx");
	reads("mx; spf", ERR_SYNTAX, "mx");
	reads("mx; spf=pass; =fail", ERR_SYNTAX, "mx|spf=pass");
	reads("mx; spf=pass x", ERR_SYNTAX, "mx");
	reads("mx; spf=pass; none", ERR_SYNTAX, "mx|spf=pass");
	reads("mx spf=pass", ERR_SYNTAX, "mx");
	buf_init(&many, 100000);
	buf_put_z(&many, "mx");
	for (int i = 0; i <= AUTH_RESULTS_ITEMS_MAX; i++)
		buf_put_z(&many, "; dkim=pass");
	arena_init(&a, 1 << 20);
	assert_int_equal(auth_results_parse(&a, buf_slice(&many), &f), ERR_LIMIT);
	assert_int_equal(f.n, AUTH_RESULTS_ITEMS_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(written),
	    cmocka_unit_test(words_of_strangers),
	    cmocka_unit_test(forged),
	    cmocka_unit_test(nul_bytes),
	    cmocka_unit_test(examples),
	    cmocka_unit_test(broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
