/* arena_test.c: allocation, marks, limits. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"

static void
test_alloc(void **state)
{
	ARENA_CLEANUP struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	assert_null(a.chunk);
	for (size_t n = 0; n < 3000; n += 7) {
		uint8_t *p = arena_alloc(&a, n);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xff, n);
	}
	assert_string_equal(arena_z(&a, SLICE("abc")), "abc");
	assert_true(slice_eq(arena_printf(&a, "%d-%s", 5, "x"), SLICE("5-x")));
	assert_true(slice_eq(arena_copy(&a, SLICE("a\0b")), SLICE("a\0b")));
	assert_non_null(arena_copy(&a, SLICE_EMPTY).p);
}

static void
test_limit(void **state)
{
	ARENA_CLEANUP struct arena a;

	(void)state;
	arena_init(&a, 100);
	assert_non_null(arena_alloc(&a, 60));
	assert_null(arena_alloc(&a, 60));
	assert_true(arena_failed(&a));
	/* Smaller ones may still succeed; the failure stays visible. */
	assert_non_null(arena_alloc(&a, 10));
	assert_true(arena_failed(&a));
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_array(&a, SIZE_MAX / 2, 4));
	assert_null(arena_copy(&a, slice_of("x", SIZE_MAX)).p);
	arena_free(&a);
	assert_false(arena_failed(&a));
}

static void
test_marks(void **state)
{
	ARENA_CLEANUP struct arena a;
	struct arena_mark start, mark;
	char *kept;
	size_t used;

	(void)state;
	arena_init(&a, 1 << 20);
	start = arena_mark(&a);
	kept = arena_z(&a, SLICE("kept"));
	used = a.used;
	for (int round = 0; round < 100; round++) {
		mark = arena_mark(&a);
		for (int i = 0; i < 20; i++)
			assert_non_null(arena_alloc(&a, 1000));
		arena_release(&a, mark);
		assert_int_equal(a.used, used);
	}
	assert_string_equal(kept, "kept");
	arena_release(&a, start);
	assert_null(a.chunk);
	assert_int_equal(a.used, 0);
}

static void
test_reset(void **state)
{
	ARENA_CLEANUP struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	arena_reset(&a);
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 100; i++)
			assert_non_null(arena_alloc(&a, 1000));
		arena_reset(&a);
		assert_int_equal(a.used, 0);
		assert_non_null(a.chunk);
	}
	assert_non_null(arena_alloc(&a, 500000));
	arena_reset(&a);
	assert_null(a.chunk);
}

static void
test_grow(void **state)
{
	ARENA_CLEANUP struct arena a;
	int *v = NULL;
	size_t cap = 0, n = 0;

	(void)state;
	arena_init(&a, 1 << 20);
	for (; n < 100; n++) {
		v = arena_grow(&a, v, n, &cap, sizeof(*v), 100);
		assert_non_null(v);
		v[n] = (int)n;
	}
	for (size_t i = 0; i < n; i++)
		assert_int_equal(v[i], i);
	assert_int_equal(cap, 100);
	assert_null(arena_grow(&a, v, n, &cap, sizeof(*v), 100));
	assert_true(arena_failed(&a));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_alloc),
	    cmocka_unit_test(test_limit),
	    cmocka_unit_test(test_marks),
	    cmocka_unit_test(test_reset),
	    cmocka_unit_test(test_grow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
