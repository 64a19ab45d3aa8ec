/* house_test.c: clock, calendar, randomness, ids. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/house.h"

#include <pthread.h>

static void
test_calendar(void **state)
{
	struct civil_time c;

	(void)state;
	/* Every day of the years 1600 to 2400, there and back, with its weekday. */
	for (int64_t day = -135140; day < 157054; day++) {
		time_to_civil(day * 86400 + 3661, &c);
		assert_int_equal(time_from_civil(&c), day * 86400 + 3661);
		assert_int_equal(c.weekday, ((day + 4) % 7 + 7) % 7);
		assert_true(c.month >= 1 && c.month <= 12 && c.day >= 1 && c.day <= 31);
	}
	time_to_civil(951782400, &c);
	assert_true(c.year == 2000 && c.month == 2 && c.day == 29 && c.weekday == 2);
	time_to_civil(-1, &c);
	assert_true(c.year == 1969 && c.month == 12 && c.day == 31 && c.hour == 23 && c.minute == 59 && c.second == 59);
}

static void
test_rfc3339(void **state)
{
	char z[RFC3339_MAX];

	(void)state;
	time_rfc3339(1795315346123456, z);
	assert_string_equal(z, "2026-11-22T02:42:26.123Z");
	time_rfc3339(-1, z);
	assert_string_equal(z, "1969-12-31T23:59:59.999Z");
	time_rfc3339(0, z);
	assert_string_equal(z, "1970-01-01T00:00:00.000Z");
	time_rfc3339(INT64_MAX, z);
	assert_int_equal(strlen(z), 24);
	time_rfc3339(INT64_MIN / 2, z);
	assert_int_equal(strlen(z), 24);
}

static void
test_clock(void **state)
{
	struct house h;
	int64_t before, mono;

	(void)state;
	house_init(&h, "test");
	before = house_now_us(&h);
	mono = house_mono_ms(&h);
	house_clock_advance(&h, 5ll * 86400 * 1000000);
	assert_true(house_now_us(&h) - before >= 5ll * 86400 * 1000000);
	assert_true(house_now_us(&h) - before < 5ll * 86400 * 1000000 + 60000000);
	assert_true(house_mono_ms(&h) - mono < 60000);
}

static void
test_random(void **state)
{
	struct house a, b;
	uint8_t x[100], y[100];
	size_t seen[7] = {0};

	(void)state;
	house_init(&a, "test");
	house_init(&b, "test");
	house_random(&a, x, sizeof(x));
	house_random(&b, y, sizeof(y));
	assert_memory_not_equal(x, y, sizeof(x));
	/* With a seed it is replayable. */
	a.random_seed = b.random_seed = 3;
	house_random(&a, x, sizeof(x));
	house_random(&b, y, sizeof(y));
	assert_memory_equal(x, y, sizeof(x));
	for (int i = 0; i < 7000; i++)
		seen[house_random_below(&a, 7)]++;
	for (int i = 0; i < 7; i++)
		assert_in_range(seen[i], 800, 1200);
	assert_int_equal(house_random_below(&a, 1), 0);
}

static void
test_ulid(void **state)
{
	struct house h;
	char last[ULID_LEN + 1] = "", id[ULID_LEN + 1];

	(void)state;
	house_init(&h, "test");
	for (int i = 0; i < 200000; i++) {
		house_ulid(&h, id);
		assert_true(strcmp(last, id) < 0);
		memcpy(last, id, sizeof(id));
	}
	assert_true(ulid_is_valid(slice_z(id)));
	/* Also when the clock goes back. */
	house_clock_advance(&h, -3600ll * 1000000);
	house_ulid(&h, id);
	assert_true(strcmp(last, id) < 0);
	assert_false(ulid_is_valid(SLICE("")));
	assert_false(ulid_is_valid(SLICE("01ARZ3NDEKTSV4RRFFQ69G5FA")));
	assert_false(ulid_is_valid(SLICE("01ARZ3NDEKTSV4RRFFQ69G5FAVX")));
	assert_false(ulid_is_valid(SLICE("81ARZ3NDEKTSV4RRFFQ69G5FAV")));
	assert_false(ulid_is_valid(SLICE("01arz3ndektsv4rrffq69g5fav")));
	assert_false(ulid_is_valid(SLICE("01ARZ3NDEKTSV4RRFFQ69G5FA\0")));
	assert_true(ulid_is_valid(SLICE("01ARZ3NDEKTSV4RRFFQ69G5FAV")));
}

#define THREADS 4
#define IDS 5000

struct maker {
	struct house *h;
	char (*ids)[ULID_LEN + 1];
};

static void *
make_ids(void *ctx)
{
	struct maker *m = ctx;

	for (size_t i = 0; i < IDS; i++)
		house_ulid(m->h, m->ids[i]);
	return NULL;
}

static int
compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, ULID_LEN);
}

static void
test_ulid_threads(void **state)
{
	struct house h;
	char(*ids)[ULID_LEN + 1] = calloc((size_t)THREADS * IDS, sizeof(*ids));
	struct maker makers[THREADS];
	pthread_t threads[THREADS];

	(void)state;
	house_init(&h, "test");
	for (size_t t = 0; t < THREADS; t++) {
		makers[t] = (struct maker){&h, ids + t * IDS};
		assert_int_equal(pthread_create(&threads[t], NULL, make_ids, &makers[t]), 0);
	}
	for (size_t t = 0; t < THREADS; t++)
		assert_int_equal(pthread_join(threads[t], NULL), 0);
	qsort(ids, (size_t)THREADS * IDS, sizeof(*ids), compare_ids);
	for (size_t i = 1; i < (size_t)THREADS * IDS; i++)
		assert_true(strcmp(ids[i - 1], ids[i]) != 0);
	free(ids);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_calendar),
	    cmocka_unit_test(test_rfc3339),
	    cmocka_unit_test(test_clock),
	    cmocka_unit_test(test_random),
	    cmocka_unit_test(test_ulid),
	    cmocka_unit_test(test_ulid_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
