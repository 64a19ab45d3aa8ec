/* map_test.c: the hash map against a plain array, over many random steps. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/house.h"
#include "base/map.h"

#define KEYS 300

static void
test_random_steps(void **state)
{
	struct house h;
	struct map m;
	int values[KEYS];
	bool present[KEYS] = {false};
	size_t count = 0;

	(void)state;
	house_init(&h, "test");
	h.random_seed = 11;
	map_init(&m, KEYS, house_random_u64(&h));
	for (int step = 0; step < 100000; step++) {
		size_t k = house_random_below(&h, KEYS);
		char key[16];
		struct slice s = slice_of(key, (size_t)snprintf(key, sizeof(key), "key%zu", k));

		switch (house_random_below(&h, 3)) {
		case 0:
			assert_int_equal(map_put(&m, s, &values[k]), 0);
			count += !present[k];
			present[k] = true;
			break;
		case 1:
			assert_ptr_equal(map_remove(&m, s), present[k] ? &values[k] : NULL);
			count -= present[k];
			present[k] = false;
			break;
		default: assert_ptr_equal(map_get(&m, s), present[k] ? &values[k] : NULL);
		}
		assert_int_equal(m.n, count);
	}
	map_free(&m);
}

static void
test_limit_and_walk(void **state)
{
	struct map m;
	struct slice key;
	void *value;
	size_t at = 0, seen = 0;
	int x, y;

	(void)state;
	map_init(&m, 2, 5);
	assert_null(map_get(&m, SLICE("a")));
	assert_null(map_remove(&m, SLICE("a")));
	assert_false(map_next(&m, &at, &key, &value));
	assert_int_equal(map_put(&m, SLICE(""), &x), 0);
	assert_int_equal(map_put(&m, SLICE("a\0b"), &x), 0);
	assert_int_equal(map_put(&m, SLICE("c"), &x), ERR_LIMIT);
	/* Replacing is possible when it is full. */
	assert_int_equal(map_put(&m, SLICE("a\0b"), &y), 0);
	at = 0;
	while (map_next(&m, &at, &key, &value)) {
		assert_ptr_equal(value, key.n == 0 ? &x : &y);
		seen++;
	}
	assert_int_equal(seen, 2);
	map_free(&m);
	assert_null(map_get(&m, SLICE("")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_steps), cmocka_unit_test(test_limit_and_walk)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
