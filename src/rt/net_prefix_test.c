#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rt/net_prefix.h"

static bool
contains(const char *prefix, const char *address)
{
	struct net_prefix p;
	struct net_address a;

	assert_int_equal(net_prefix_parse(slice_z(prefix), &p), 0);
	assert_int_equal(net_address_parse(slice_z(address), 25, &a), 0);
	return net_prefix_contains(&p, &a);
}

static void
addresses_are_in_their_networks(void **state)
{
	(void)state;
	assert_true(contains("192.0.2.0/24", "192.0.2.255"));
	assert_false(contains("192.0.2.0/24", "192.0.3.0"));
	assert_true(contains("192.0.2.7", "192.0.2.7"));
	assert_false(contains("192.0.2.7", "192.0.2.6"));
	assert_true(contains("192.0.2.128/25", "192.0.2.200"));
	assert_false(contains("192.0.2.128/25", "192.0.2.100"));
	assert_true(contains("0.0.0.0/0", "203.0.113.1"));
	assert_false(contains("0.0.0.0/0", "2001:db8::1"));
	assert_true(contains("2001:db8::/32", "2001:db8:ffff::1"));
	assert_false(contains("2001:db8::/32", "2001:db9::1"));
	assert_true(contains("::/0", "2001:db8::1"));
	assert_true(contains("192.0.2.0/24", "::ffff:192.0.2.9"));
}

static void
what_is_no_network_is_refused(void **state)
{
	static const char *const v[] = {"", "/", "192.0.2.0/", "192.0.2.0/33", "192.0.2.1/24", "192.0.2.0/24/8",
	    "192.0.2.0/-1", "2001:db8::/129", "2001:db8::1/64", "example.test", "192.0.2/24", "192.0.2.0/ 24"};
	struct net_prefix p;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(v); i++)
		assert_int_equal(net_prefix_parse(slice_z(v[i]), &p), ERR_SYNTAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(addresses_are_in_their_networks),
	    cmocka_unit_test(what_is_no_network_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
