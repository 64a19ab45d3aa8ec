/* What clients may do, and when it is forgotten. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "role/gate_brake.h"

struct world {
	struct house house;
	struct loop *loop;
	struct gate_brake brake;
};

static struct net_address
address(const char *text)
{
	struct net_address a;

	assert_int_equal(net_address_parse(slice_z(text), 25, &a), 0);
	return a;
}

static bool
arrive(struct world *w, const char *text, struct gate_visit *v)
{
	struct net_address a = address(text);

	return gate_brake_arrive(&w->brake, &a, v);
}

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	house_init(&w->house, "test");
	assert_int_equal(loop_new(&w->loop, &w->house), 0);
	gate_brake_init(&w->brake, w->loop);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	gate_brake_free(&w->brake);
	loop_free(&w->loop);
	free(w);
	return 0;
}

static void
sessions_of_an_address_and_its_network(void **state)
{
	struct world *w = *state;
	struct gate_visit v[10];

	w->house.limits.smtp_sessions_per_address = 2;
	w->house.limits.smtp_network_factor = 2;
	assert_true(arrive(w, "192.0.2.1", &v[0]));
	assert_true(arrive(w, "192.0.2.1", &v[1]));
	assert_false(arrive(w, "192.0.2.1", &v[2]));
	assert_null(v[2].address);
	assert_true(arrive(w, "::ffff:192.0.2.2", &v[2]));
	assert_true(arrive(w, "192.0.2.3", &v[3]));
	/* The network has its four. */
	assert_false(arrive(w, "192.0.2.4", &v[4]));
	assert_true(arrive(w, "192.0.3.4", &v[4]));
	gate_brake_depart(&w->brake, &v[0]);
	assert_true(arrive(w, "192.0.2.4", &v[0]));
	/* IPv6: its /64 is one client, its /48 the network. */
	assert_true(arrive(w, "2001:db8:1:1::1", &v[5]));
	assert_true(arrive(w, "2001:db8:1:1::2", &v[6]));
	assert_false(arrive(w, "2001:db8:1:1::3", &v[7]));
	assert_true(arrive(w, "2001:db8:1:2::1", &v[7]));
	assert_true(arrive(w, "2001:db8:1:3::1", &v[8]));
	assert_false(arrive(w, "2001:db8:1:4::1", &v[9]));
	assert_true(arrive(w, "2001:db8:2:4::1", &v[9]));
	for (size_t i = 0; i < COUNT_OF(v); i++)
		gate_brake_depart(&w->brake, &v[i]);
	assert_int_equal(w->brake.refused, 4);
}

static void
rates(void **state)
{
	struct world *w = *state;
	struct gate_visit v, other;

	w->house.limits.smtp_messages_per_minute = 3;
	w->house.limits.smtp_recipients_per_minute = 0;
	w->house.limits.smtp_errors_per_minute = 2;
	w->house.limits.smtp_network_factor = 100;
	assert_true(arrive(w, "192.0.2.1", &v));
	for (int i = 0; i < 3; i++)
		assert_true(gate_brake_count(&w->brake, &v, SMTP_COUNTED_MESSAGE));
	assert_false(gate_brake_count(&w->brake, &v, SMTP_COUNTED_MESSAGE));
	for (int i = 0; i < 1000; i++)
		assert_true(gate_brake_count(&w->brake, &v, SMTP_COUNTED_RECIPIENT));
	assert_true(gate_brake_count(&w->brake, &v, SMTP_COUNTED_ERROR));
	assert_true(gate_brake_count(&w->brake, &v, SMTP_COUNTED_ERROR));
	assert_false(gate_brake_count(&w->brake, &v, SMTP_COUNTED_ERROR));
	/* Who has made too many errors need not come again, also from a session that has ended. */
	assert_false(arrive(w, "192.0.2.1", &other));
	gate_brake_depart(&w->brake, &v);
	assert_false(arrive(w, "192.0.2.1", &other));
	assert_true(arrive(w, "192.0.2.2", &other));
	gate_brake_depart(&w->brake, &other);
	/* A session that is not counted may do anything. */
	for (int i = 0; i < 10; i++)
		assert_true(gate_brake_count(&w->brake, &other, SMTP_COUNTED_ERROR));
}

static void
connections(void **state)
{
	struct world *w = *state;
	struct gate_visit v;

	w->house.limits.smtp_connections_per_minute = 3;
	for (int i = 0; i < 3; i++) {
		assert_true(arrive(w, "192.0.2.1", &v));
		gate_brake_depart(&w->brake, &v);
	}
	assert_false(arrive(w, "192.0.2.1", &v));
	/* Strangers without end: the oldest are forgotten, never those with sessions. */
	assert_true(arrive(w, "192.0.2.9", &v));
	for (int i = 0; i < 300000; i++) {
		char text[64];
		struct gate_visit one;

		(void)snprintf(text, sizeof(text), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
		if (arrive(w, text, &one))
			gate_brake_depart(&w->brake, &one);
	}
	assert_true(w->brake.by_key.n < 250000);
	assert_true(gate_brake_count(&w->brake, &v, SMTP_COUNTED_MESSAGE));
	gate_brake_depart(&w->brake, &v);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {T(sessions_of_an_address_and_its_network), T(rates), T(connections)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
