/* Answers that are kept: copies, their time, their bounds. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "trust/trust_cache.h"

#include <stdio.h>

struct world {
	struct house house;
	struct trust_cache cache;
};

static int
setup(void **state)
{
	static struct world w; /* file scope: one test after the other */

	house_init(&w.house, "test");
	trust_cache_init(&w.cache, &w.house);
	*state = &w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	trust_cache_free(&w->cache);
	return 0;
}

static void
put(struct world *w, const char *name, const char *text, uint32_t ttl_s)
{
	struct trust_record v[2] = {{.data = slice_z(text), .preference = 7}, {.data = SLICE_EMPTY}};
	struct trust_answer a = {.status = TRUST_DNS_FOUND, .secure = true, .v = v, .n = 2};

	trust_cache_put(&w->cache, slice_z(name), TRUST_DNS_TXT, &a, ttl_s);
}

/* The text, "-" when there is none, or "!" for a temporary error. */
static void
get(struct world *w, const char *name, enum trust_dns_type type, const char *want)
{
	struct arena a ARENA_CLEANUP;
	struct trust_answer got;
	int found;

	arena_init(&a, 65536);
	found = trust_cache_get(&w->cache, slice_z(name), type, &a, &got);
	assert_int_equal(found, strcmp(want, "-") != 0);
	if (found == 0)
		return;
	if (strcmp(want, "!") == 0) {
		assert_int_equal(got.status, TRUST_DNS_TEMPORARY);
		return;
	}
	assert_true(got.status == TRUST_DNS_FOUND && got.secure && got.n == 2);
	assert_true(slice_eq(got.v[0].data, slice_z(want)) && got.v[0].preference == 7 && got.v[1].data.n == 0);
}

static void
kept_and_forgotten(void **state)
{
	struct world *w = *state;

	get(w, "a.test", TRUST_DNS_TXT, "-");
	put(w, "a.test", "one", 100);
	get(w, "A.Test", TRUST_DNS_TXT, "one");
	get(w, "a.test", TRUST_DNS_A, "-");
	put(w, "a.test", "two", 100);
	get(w, "a.test", TRUST_DNS_TXT, "two");
	house_clock_advance(&w->house, 99 * 1000000LL);
	get(w, "a.test", TRUST_DNS_TXT, "two");
	house_clock_advance(&w->house, 2 * 1000000LL);
	get(w, "a.test", TRUST_DNS_TXT, "-");
	assert_int_equal(w->cache.bytes, 0);
	put(w, "a.test", "three", 0);
	get(w, "a.test", TRUST_DNS_TXT, "-");
	/* A day is the longest; and a clock that goes back makes nothing younger. */
	put(w, "a.test", "four", UINT32_MAX);
	house_clock_advance(&w->house, -10 * 1000000LL);
	get(w, "a.test", TRUST_DNS_TXT, "-");
}

static void
silence(void **state)
{
	struct world *w = *state;
	struct trust_answer a = {.status = TRUST_DNS_TEMPORARY};

	trust_cache_put(&w->cache, SLICE("a.test"), TRUST_DNS_TXT, &a, 0);
	get(w, "a.test", TRUST_DNS_TXT, "!");
	house_clock_advance(&w->house, (w->house.limits.trust_dns_retry_s + 1) * 1000000);
	get(w, "a.test", TRUST_DNS_TXT, "-");
}

static void
bounds(void **state)
{
	struct world *w = *state;
	char name[300], large[70000];

	w->house.limits.trust_cache_answers = 10;
	for (int i = 0; i < 15; i++) {
		(void)snprintf(name, sizeof(name), "%d.test", i);
		put(w, name, "x", 100);
		get(w, "0.test", TRUST_DNS_TXT, "x"); /* what is used stays */
	}
	assert_int_equal(w->cache.by_key.n, 10);
	get(w, "1.test", TRUST_DNS_TXT, "-");
	get(w, "14.test", TRUST_DNS_TXT, "x");
	w->house.limits.trust_cache_bytes = 1 << 20;
	memset(large, 'x', sizeof(large));
	large[sizeof(large) - 1] = '\0';
	put(w, "large.test", large, 100);
	get(w, "large.test", TRUST_DNS_TXT, "-");
	large[60000] = '\0';
	w->house.limits.trust_cache_answers = 10000;
	for (int i = 0; i < 40; i++) {
		(void)snprintf(name, sizeof(name), "l%d.test", i);
		put(w, name, large, 100);
		assert_true(w->cache.bytes <= 1 << 20);
	}
	get(w, "l39.test", TRUST_DNS_TXT, large);
	get(w, "0.test", TRUST_DNS_TXT, "-");
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	put(w, name, "x", 100);
	get(w, name, TRUST_DNS_TXT, "-");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(kept_and_forgotten, setup, teardown),
	    cmocka_unit_test_setup_teardown(silence, setup, teardown),
	    cmocka_unit_test_setup_teardown(bounds, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
