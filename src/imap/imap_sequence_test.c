/* Sets of numbers: parsing, "*", joining, walking, printing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "imap/imap_sequence.h"

static struct arena arena;

static struct imap_sequence
parse(const char *z, bool *ok)
{
	struct imap_lex x = imap_lex_of(slice_z(z), &arena, 50);
	struct imap_sequence s = imap_lex_sequence(&x);

	imap_lex_end(&x);
	*ok = !imap_lex_failed(&x);
	return s;
}

static void
walks(const char *set, uint32_t max, const char *expect)
{
	struct buf BUF_CLEANUP out;
	struct imap_walk w = {0};
	uint32_t v[100];
	size_t n = 0;
	bool ok;
	struct imap_sequence s = parse(set, &ok);

	assert_true(ok);
	imap_sequence_resolve(&s, max);
	for (uint32_t k; (k = imap_sequence_next(&s, &w, max)) != 0;) {
		assert_true(imap_sequence_has(&s, k));
		assert_true(n < 100);
		v[n++] = k;
	}
	buf_init(&out, 4096);
	imap_sequence_print(&out, v, n);
	if (!slice_eq(buf_slice(&out), slice_z(expect)))
		fail_msg("%s: %.*s instead of %s", set, SLICE_ARG(buf_slice(&out)), expect);
}

static void
test_walks(void **state)
{
	(void)state;
	walks("1", 5, "1");
	walks("*", 5, "5");
	walks("*", 0, "");
	walks("1:*", 0, "");
	walks("1:4294967295", 5, "1:5");
	walks("4294967295:1", 5, "1:5");
	walks("3:*", 5, "3:5");
	walks("9:*", 5, "5");
	walks("*:2", 5, "2:5");
	walks("5,3,1", 9, "1,3,5");
	walks("2:4,3:7,1", 9, "1:7");
	walks("1,1,1,2", 9, "1:2");
	walks("4294967295,1", 4, "1");
	walks("7:9,1:3", 8, "1:3,7:8");
}

static void
test_refused(void **state)
{
	static const char *const bad[] = {
	    "", "0", "1:", ":1", "1,", ",1", "1:0", "4294967296", "1::2", "a", "1:2:3", "-1", "1 "};
	bool ok;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		(void)parse(bad[i], &ok);
		if (ok)
			fail_msg("%s was taken", bad[i]);
	}
}

static void
test_beyond(void **state)
{
	bool ok;
	struct imap_sequence s;

	(void)state;
	s = parse("1:*", &ok);
	assert_false(imap_sequence_beyond(&s, 3));
	assert_false(imap_sequence_beyond(&s, 1));
	assert_true(imap_sequence_beyond(&s, 0));
	s = parse("4", &ok);
	assert_true(imap_sequence_beyond(&s, 3));
	s = parse("2:9", &ok);
	assert_false(imap_sequence_beyond(&s, 3));
	s = parse("*", &ok);
	assert_true(imap_sequence_beyond(&s, 0));
	assert_false(imap_sequence_beyond(&s, 1));
	s = parse("9:*", &ok);
	assert_true(imap_sequence_beyond(&s, 3));
}

static int
setup(void **state)
{
	(void)state;
	arena_init(&arena, 1 << 22);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_walks),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_beyond),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
