/* Return addresses: there and back, forged, old, long, of others. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "directory/srs.h"

#define DAY 86400
#define NOW ((int64_t)20000 * DAY + 5)

static const struct slice key = SLICE_INIT("0123456789abcdef0123456789abcdef");
static const struct slice other_key = SLICE_INIT("0123456789abcdef0123456789abcdeg");

static struct slice
make(struct arena *a, const char *sender, const char *domain)
{
	struct slice out;

	assert_int_equal(srs_forward(key, NOW, slice_z(sender), slice_z(domain), a, &out), 0);
	return out;
}

static struct slice
local_of(struct slice address)
{
	return slice_head(address, slice_rfind_byte(address, '@'));
}

static void
test_there_and_back(void **state)
{
	static const struct {
		const char *sender, *back;
	} v[] = {
	    {"user@remote.test", "user@remote.test"},
	    {"Some.User+tag@Remote.TEST", "Some.User+tag@remote.test"},
	    {"a=b=c@remote.test", "a=b=c@remote.test"},
	    {"gr\xc3\xbcn@b\xc3\xbc"
	     "cher.test",
		"gr\xc3\xbcn@xn--bcher-kva.test"},
	    {"srs0@remote.test", "srs0@remote.test"},
	};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < COUNT_OF(v); i++) {
		struct slice made = make(&a, v[i].sender, "ours.test"), back;
		char *folded = arena_z(&a, local_of(made));

		assert_true(slice_starts(made, SLICE("SRS0=")) && slice_ends(made, SLICE("@ours.test")));
		assert_true(srs_is(local_of(made)));
		assert_int_equal(srs_reverse(key, NOW, 21, local_of(made), &a, &back), 0);
		assert_true(slice_eq(back, slice_z(v[i].back)));
		/* Some servers fold the case on the way. */
		for (char *c = folded; *c != '\0'; c++)
			*c = (char)ascii_lower((uint8_t)*c);
		assert_int_equal(srs_reverse(key, NOW, 21, slice_z(folded), &a, &back), 0);
		assert_true(slice_ieq(back, slice_z(v[i].back)));
	}
	arena_free(&a);
}

/* Three houses after each other: the way back is from the last to the first, which alone knows the sender. */
static void
test_chain(void **state)
{
	struct arena a;
	struct slice one, two, three, back;

	(void)state;
	arena_init(&a, 1 << 20);
	one = make(&a, "user@remote.test", "one.test");
	two = make(&a, arena_z(&a, one), "two.test");
	three = make(&a, arena_z(&a, two), "three.test");
	assert_true(slice_starts(two, SLICE("SRS1=")) && slice_starts(three, SLICE("SRS1=")));
	assert_int_equal(srs_reverse(key, NOW, 21, local_of(three), &a, &back), 0);
	assert_true(slice_eq(back, one));
	assert_int_equal(srs_reverse(key, NOW, 21, local_of(two), &a, &back), 0);
	assert_true(slice_eq(back, one));
	/* Other separators of other houses survive. */
	two = make(&a, "SRS0+abcd=ef=remote.test=user@plus.test", "two.test");
	assert_int_equal(srs_reverse(key, NOW, 21, local_of(two), &a, &back), 0);
	assert_true(slice_eq(back, SLICE("SRS0+abcd=ef=remote.test=user@plus.test")));
	arena_free(&a);
}

static void
test_forged(void **state)
{
	static const char *const bad[] = {"SRS0=", "SRS0==", "SRS0=x", "SRS0=x=y", "SRS0=abcdefgh=aa=remote.test=u",
	    "SRS1=abcdefgh=host.test==x", "SRS0=abcdefgh=aa==u", "SRS2=abcdefgh=aa=remote.test=u", "srs0", "user"};
	struct arena a;
	struct slice made, back;
	uint8_t *bytes;

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_not_equal(srs_reverse(key, NOW, 21, slice_z(bad[i]), &a, &back), 0);
	made = local_of(make(&a, "user@remote.test", "ours.test"));
	assert_int_equal(srs_reverse(other_key, NOW, 21, made, &a, &back), ERR_DENIED);
	for (size_t i = 5; i < made.n; i++) {
		bytes = (uint8_t *)arena_z(&a, made);
		bytes[i] = bytes[i] == 'q' ? 'r' : 'q';
		assert_int_not_equal(srs_reverse(key, NOW, 21, slice_of(bytes, made.n), &a, &back), 0);
	}
	arena_free(&a);
}

static void
test_age(void **state)
{
	struct arena a;
	struct slice made, back;

	(void)state;
	arena_init(&a, 1 << 20);
	made = local_of(make(&a, "user@remote.test", "ours.test"));
	assert_int_equal(srs_reverse(key, NOW + (int64_t)21 * DAY, 21, made, &a, &back), 0);
	assert_int_equal(srs_reverse(key, NOW + (int64_t)22 * DAY, 21, made, &a, &back), ERR_TIMEOUT);
	assert_int_equal(srs_reverse(key, NOW - DAY, 21, made, &a, &back), 0); /* the clock was set back */
	assert_int_equal(srs_reverse(key, NOW - 3 * DAY, 21, made, &a, &back), ERR_TIMEOUT);
	arena_free(&a);
}

static void
test_limits(void **state)
{
	char longest[300];
	struct arena a;
	struct slice out;

	(void)state;
	arena_init(&a, 1 << 20);
	memset(longest, 'x', sizeof(longest));
	assert_int_equal(srs_forward(key, NOW, slice_z("nobody"), SLICE("ours.test"), &a, &out), ERR_SYNTAX);
	assert_int_equal(srs_forward(key, NOW, SLICE("@remote.test"), SLICE("ours.test"), &a, &out), ERR_SYNTAX);
	assert_int_equal(srs_forward(key, NOW, SLICE("x@not a domain"), SLICE("ours.test"), &a, &out), ERR_SYNTAX);
	assert_int_equal(srs_forward(key, NOW, SLICE("\"a b\"@remote.test"), SLICE("ours.test"), &a, &out), ERR_SYNTAX);
	(void)snprintf(longest + 240, 60, "@remote.test");
	assert_int_equal(srs_forward(key, NOW, slice_z(longest), SLICE("ours.test"), &a, &out), ERR_LIMIT);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_chain),
	    cmocka_unit_test(test_forged), cmocka_unit_test(test_age), cmocka_unit_test(test_limits)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
