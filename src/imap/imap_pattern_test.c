/* LIST patterns: the rules of RFC 3501 §6.3.8, and that no pattern is slow. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/house.h"
#include "imap/imap_pattern.h"

static bool
match(const char *reference, const char *pattern, const char *name)
{
	struct arena ARENA_CLEANUP a;
	struct imap_pattern *p;
	struct slice n = slice_z(name);

	arena_init(&a, 1 << 20);
	p = imap_pattern_new(&a, slice_z(reference), slice_z(pattern), 1000);
	assert_non_null(p);
	return imap_pattern_match(
	    p, n, slice_ieq(slice_head(n, 5), SLICE("INBOX")) && (n.n == 5 || slice_at(n, 5) == '/'));
}

static void
test_rules(void **state)
{
	(void)state;
	assert_true(match("", "*", "a/b/c"));
	assert_true(match("", "*", ""));
	assert_true(match("", "%", "a"));
	assert_false(match("", "%", "a/b"));
	assert_true(match("", "%/%", "a/b"));
	assert_false(match("", "%/%", "a/b/c"));
	assert_true(match("", "*/c", "a/b/c"));
	assert_true(match("a/", "%", "a/b"));
	assert_true(match("a/", "*", "a/b/c"));
	assert_true(match("", "a*%b", "axx/yyb"));
	assert_true(match("", "a%*b", "axx/yyb"));
	assert_true(match("", "a%b", "ab"));
	assert_false(match("", "a%b", "a/b"));
	assert_true(match("", "%a%b%", "xxaxxbxx"));
	assert_true(match("", "inbox", "INBOX"));
	assert_true(match("", "InBoX/sub", "INBOX/sub"));
	assert_false(match("", "inbox/SUB", "INBOX/sub"));
	assert_true(match("", "i%x", "INBOX"));
	assert_false(match("", "inboxes", "INBOX"));
	assert_false(match("", "A", "a"));
	assert_true(match("", "abc", "abc"));
	assert_false(match("", "abc", "abcd"));
	assert_false(match("", "", "a"));
	assert_true(match("", "*%*%*", "anything/at/all"));
}

static void
test_long_literals(void **state)
{
	char pattern[200], name[200];

	(void)state;
	for (int n = 60; n < 70; n++) {
		memset(pattern, 'a', sizeof(pattern));
		memset(name, 'a', sizeof(name));
		pattern[n] = '*';
		pattern[n + 1] = 'b';
		pattern[n + 2] = 0;
		name[n + 50] = 'b';
		name[n + 51] = 0;
		assert_true(match("", pattern, name));
		name[n + 50] = 'c';
		assert_false(match("", pattern, name));
	}
}

/* 1,000 stars over 10,000 names, each as bad as can be. */
static void
test_never_slow(void **state)
{
	struct arena ARENA_CLEANUP a;
	struct imap_pattern *p;
	struct house h;
	char pattern[2001], name[1001];
	int64_t start;

	(void)state;
	house_init(&h, "test");
	arena_init(&a, 1 << 20);
	for (int i = 0; i < 1000; i++) {
		pattern[2 * i] = i % 2 ? '%' : '*';
		pattern[2 * i + 1] = i == 999 ? 'b' : 'a';
	}
	pattern[2000] = 0;
	memset(name, 'a', 1000);
	name[1000] = 0;
	p = imap_pattern_new(&a, SLICE(""), slice_z(pattern), 1000);
	assert_non_null(p);
	start = house_mono_ms(&h);
	for (int i = 0; i < 10000; i++)
		assert_false(imap_pattern_match(p, slice_z(name), false));
	assert_true(house_mono_ms(&h) - start < 20000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rules),
	    cmocka_unit_test(test_long_literals),
	    cmocka_unit_test(test_never_slow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
