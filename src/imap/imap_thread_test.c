/* THREAD: the examples of RFC 5256, and conversations that nobody had: chains, loops and stars of many messages. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "imap/imap_thread.h"

#define LIST(...) \
	((struct slice_list){ \
	    (const struct slice[]){__VA_ARGS__}, sizeof((const struct slice[]){__VA_ARGS__}) / sizeof(struct slice)})

static void
check(enum imap_thread_algorithm algorithm, struct imap_digest *d, size_t n, const char *want)
{
	struct arena ARENA_CLEANUP a;
	struct buf BUF_CLEANUP out;

	for (size_t i = 0; i < n; i++) {
		d[i].seq = d[i].number = (uint32_t)i + 1;
		if (d[i].date_s == 0)
			d[i].date_s = (int64_t)i;
	}
	arena_init(&a, 1u << 20);
	buf_init(&out, 1u << 20);
	assert_int_equal(imap_thread(algorithm, d, n, 7, &a, &out), 0);
	buf_put_u8(&out, 0);
	assert_string_equal((const char *)out.p, want);
}

static void
test_references(void **state)
{
	struct imap_digest tree[] = {
	    {.message_id = SLICE("a")},
	    {.message_id = SLICE("b"), .references = LIST(SLICE("a"))},
	    {.message_id = SLICE("c"), .references = LIST(SLICE("a"), SLICE("b"))},
	    {.message_id = SLICE("d"), .references = LIST(SLICE("a"), SLICE("b"))},
	    {.message_id = SLICE("e"), .references = LIST(SLICE("b"), SLICE("c"))},
	    {.message_id = SLICE("f"), .references = LIST(SLICE("lost"), SLICE("lost2"))},
	    {.message_id = SLICE("g"), .references = LIST(SLICE("lost"), SLICE("lost2"))},
	    {.message_id = SLICE("h"), .references = LIST(SLICE("other"))},
	};
	struct imap_digest dates[] = {
	    {.message_id = SLICE("late"), .date_s = 100},
	    {.message_id = SLICE("b"), .references = LIST(SLICE("early")), .date_s = 60},
	    {.message_id = SLICE("c"), .references = LIST(SLICE("early")), .date_s = 50},
	    {.message_id = SLICE("early"), .date_s = 10},
	};
	struct imap_digest doubles[] = {
	    {.message_id = SLICE("a")},
	    {.message_id = SLICE("a")},
	    {.message_id = SLICE("b"), .references = LIST(SLICE("a"))},
	    {.message_id = SLICE_EMPTY},
	    {.message_id = SLICE_EMPTY},
	};
	/* The last one named is the parent, also where it was named before; what stands between keeps its place. */
	struct imap_digest again[] = {
	    {.message_id = SLICE("a")},
	    {.message_id = SLICE("b"), .references = LIST(SLICE("a"))},
	    {.message_id = SLICE("c"), .references = LIST(SLICE("a"), SLICE("b"), SLICE("a"))},
	    {.message_id = SLICE("d"), .references = LIST(SLICE("b"), SLICE("a"), SLICE("b"), SLICE("lost"))},
	    {.message_id = SLICE("e"), .references = LIST(SLICE("b"), SLICE("b"))},
	};

	(void)state;
	check(IMAP_THREAD_REFERENCES, again, COUNT_OF(again), "(1 (2 (4)(5))(3))");
	check(IMAP_THREAD_REFERENCES, tree, COUNT_OF(tree), "(1 2 (3 5)(4))((6)(7))(8)");
	check(IMAP_THREAD_REFERENCES, dates, COUNT_OF(dates), "(4 (3)(2))(1)");
	check(IMAP_THREAD_REFERENCES, doubles, COUNT_OF(doubles), "(1 3)(2)(4)(5)");
}

static void
test_subjects(void **state)
{
	struct imap_digest same[] = {
	    {.text[IMAP_DIGEST_SUBJECT] = SLICE("x"), .is_reply = true},
	    {.text[IMAP_DIGEST_SUBJECT] = SLICE("x")},
	    {.text[IMAP_DIGEST_SUBJECT] = SLICE("x"), .is_reply = true},
	    {.text[IMAP_DIGEST_SUBJECT] = SLICE("y")},
	    {.text[IMAP_DIGEST_SUBJECT] = SLICE("y")},
	    {.text[IMAP_DIGEST_SUBJECT] = SLICE("y")},
	    {.text[IMAP_DIGEST_SUBJECT] = SLICE_EMPTY},
	    {.text[IMAP_DIGEST_SUBJECT] = SLICE_EMPTY},
	};

	(void)state;
	check(IMAP_THREAD_REFERENCES, same, COUNT_OF(same), "(2 (1)(3))((4)(5)(6))(7)(8)");
	check(IMAP_THREAD_ORDEREDSUBJECT, same, COUNT_OF(same), "(1 (2)(3))(4 (5)(6))(7 8)");
}

static void
test_loops(void **state)
{
	struct imap_digest two[] = {
	    {.message_id = SLICE("a"), .references = LIST(SLICE("b"))},
	    {.message_id = SLICE("b"), .references = LIST(SLICE("a"))},
	};
	struct imap_digest self[] = {
	    {.message_id = SLICE("a"), .references = LIST(SLICE("a"))},
	    {.message_id = SLICE("b"), .references = LIST(SLICE("x"), SLICE("y"), SLICE("x"), SLICE("b"))},
	    {.message_id = SLICE("c"), .references = LIST(SLICE("b"), SLICE("c"), SLICE("a"))},
	};

	(void)state;
	/* The link that was made last is the one that would close the loop. */
	check(IMAP_THREAD_REFERENCES, two, COUNT_OF(two), "(2 1)");
	check(IMAP_THREAD_REFERENCES, self, COUNT_OF(self), "(2)(3 1)");
}

/* Every number once, parentheses that close, and an end in time. */
static void
many(struct imap_digest *d, size_t n)
{
	struct arena ARENA_CLEANUP a;
	struct buf BUF_CLEANUP out;
	uint8_t *seen = calloc(n + 1, 1);
	clock_t start = clock();
	size_t number = 0, told = 0;
	int64_t depth = 0;

	assert_non_null(seen);
	for (size_t i = 0; i < n; i++) {
		d[i].seq = d[i].number = (uint32_t)i + 1;
		d[i].date_s = (int64_t)(n - i);
	}
	arena_init(&a, 1u << 28);
	buf_init(&out, 1u << 26);
	assert_int_equal(imap_thread(IMAP_THREAD_REFERENCES, d, n, 1, &a, &out), 0);
	for (size_t i = 0; i < out.n; i++) {
		uint8_t b = out.p[i];

		if (ascii_is_digit(b)) {
			number = number * 10 + (size_t)(b - '0');
			continue;
		}
		if (number > 0) {
			assert_true(number <= n && seen[number] == 0);
			seen[number] = 1;
			told++;
		}
		number = 0;
		depth += b == '(' ? 1 : b == ')' ? -1 : 0;
		assert_true(depth >= 0);
	}
	assert_int_equal(depth, 0);
	assert_int_equal(told, n);
	free(seen);
	/* A square of these would take minutes. */
	assert_true((clock() - start) / CLOCKS_PER_SEC < 20);
}

#define MANY 100000u

static void
test_many(void **state)
{
	static const char *const shapes[] = {"chain", "chain from the end", "loop", "star", "lost chain"};
	struct arena ARENA_CLEANUP a;

	(void)state;
	arena_init(&a, 1u << 28);
	for (size_t shape = 0; shape < COUNT_OF(shapes); shape++) {
		struct imap_digest *d = ARENA_ARRAY(&a, struct imap_digest, MANY);

		assert_non_null(d);
		for (size_t i = 0; i < MANY; i++) {
			struct slice *refs = ARENA_ARRAY(&a, struct slice, 2);
			size_t before = shape == 1 ? (i + 1) % MANY : (i + MANY - 1) % MANY;

			assert_non_null(refs);
			d[i].message_id = arena_printf(&a, "%zu@x", i);
			refs[0] = shape == 3 ? SLICE("0@x") : arena_printf(&a, "%zu@x", before);
			if (shape == 4) { /* each hangs on a chain of messages that are not there */
				refs[0] = arena_printf(&a, "lost%zu", before);
				refs[1] = arena_printf(&a, "lost%zu", i);
			}
			d[i].references = (struct slice_list){refs, shape == 4 ? 2 : 1};
			if ((shape == 0 && i == 0) || (shape == 1 && i == MANY - 1))
				d[i].references.n = 0;
		}
		many(d, MANY);
		arena_reset(&a);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_references),
	    cmocka_unit_test(test_subjects),
	    cmocka_unit_test(test_loops),
	    cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
