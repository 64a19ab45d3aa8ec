/* Where mail goes, asked of a name server with a zone that has every case; skipped where NSD is not installed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/log.h"
#include "bus/values.h"
#include "dns/nsd_test.h"
#include "role/courier_route.h"

static const char zone[] = "$ORIGIN a.test.\n"
			   "@ 60 IN SOA ns hostmaster 1 60 60 60 60\n"
			   "@ NS ns\n"
			   "ns A 127.0.0.1\n"
			   "two MX 20 mx2\n"
			   "two MX 10 mx1\n"
			   "even MX 10 mx1\n"
			   "even MX 10 mx2\n"
			   "even MX 10 mx3\n"
			   "null MX 0 .\n"
			   "fallback A 192.0.2.9\n"
			   "ours MX 10 mx1\n"
			   "ours MX 20 Us\n"
			   "ours MX 20 mx2\n"
			   "ours MX 30 mx3\n"
			   "loop MX 10 us\n"
			   "loop MX 20 mx1\n"
			   "us A 192.0.2.8\n"
			   "nowhere MX 10 missing\n"
			   "mx1 A 192.0.2.1\n"
			   "mx1 A 192.0.2.11\n"
			   "mx1 AAAA 2001:db8::1\n"
			   "mx2 A 192.0.2.2\n"
			   "mx3 AAAA 2001:db8::3\n";

struct world {
	struct house house;
	struct loop *loop;
	struct dns *dns;
	struct arena arena;
	struct settings settings;
	const char *sender;
	bool ended;
};

static struct route
find(struct world *w, const char *domain, const char *fixed)
{
	struct route r;

	struct route_question q = {slice_z(domain), slice_z(fixed), slice_z(w->sender)};

	assert_int_equal(
	    route_find(w->dns, &w->house, &w->settings, &q, &w->arena, loop_deadline(w->loop, 10000), &r), 0);
	assert_true(r.n > 0 || (r.result != 0 && r.status != NULL && r.text.n > 0));
	return r;
}

static void
want_hosts(struct world *w, const char *domain, const char *fixed, const char *names)
{
	struct route r = find(w, domain, fixed);
	BUF_CLEANUP struct buf b;

	buf_init(&b, 1000);
	for (size_t i = 0; i < r.n; i++)
		buf_printf(
		    &b, "%.*s:%u%s;", SLICE_ARG(r.hosts[i].name), r.hosts[i].port, r.hosts[i].is_address ? "=" : "");
	if (!slice_eq(buf_slice(&b), slice_z(names)))
		fail_msg("%s: %.*s", domain, SLICE_ARG(buf_slice(&b)));
}

static void
want_none(struct world *w, const char *domain, const char *fixed, int result, const char *status)
{
	struct route r = find(w, domain, fixed);

	assert_int_equal(r.n, 0);
	assert_int_equal(r.result, result);
	assert_string_equal(r.status, status);
}

static void
want_site(struct world *w, const char *domain, const char *fixed, const char *site)
{
	struct route r = find(w, domain, fixed);

	if (!slice_eq(r.site, slice_z(site)))
		fail_msg("%s: %.*s", domain, SLICE_ARG(r.site));
}

/* Hosts of one preference come in any order. */
static void
equals_are_shuffled(struct world *w)
{
	unsigned seen = 0;

	for (int i = 0; i < 200 && seen != 7; i++) {
		struct route r = find(w, "even.a.test", "");

		assert_int_equal(r.n, 3);
		seen |= 1u << (slice_at(r.hosts[0].name, 2) - '1');
	}
	assert_int_equal(seen, 7);
}

static void
want_addresses(struct world *w, const char *host, const char *want, bool want_temporary)
{
	struct route_host h = {.name = slice_z(host), .port = 25};
	BUF_CLEANUP struct buf b;
	struct route_addresses found;

	buf_init(&b, 1000);
	assert_int_equal(route_addresses(w->dns, &h, &w->arena, loop_deadline(w->loop, 10000), &found), 0);
	for (size_t i = 0; i < found.n; i++) {
		char text[NET_ADDRESS_TEXT_MAX];

		net_address_text(&found.v[i], text);
		/* The two IPv4 addresses of mx1 may come in either order. */
		buf_put(&b, slice_head(slice_z(text), 9));
		buf_put_u8(&b, ';');
	}
	if (!slice_eq(buf_slice(&b), slice_z(want)))
		fail_msg("%s: %.*s", host, SLICE_ARG(buf_slice(&b)));
	assert_int_equal(found.temporary, want_temporary);
}

static void
wait_for_server(struct world *w)
{
	for (int i = 0; i < 100 && find(w, "two.a.test", "").n == 0; i++)
		assert_int_equal(fiber_sleep(w->loop, 50), 0);
}

static void
settings_say_more(struct world *w)
{
	static struct relay_settings relays[] = {
	    {.name = SLICE_INIT("one"), .host = SLICE_INIT("one.test"), .port = 587},
	    {.name = SLICE_INIT("two"), .host = SLICE_INIT("two.test"), .port = 465, .tls = SECURITY_IMPLICIT}};
	static struct sender_settings senders[] = {{.domain = SLICE_INIT("by-relay.test"), .relay = SLICE_INIT("two")},
	    {.domain = SLICE_INIT("as-others.test")}};
	struct route r;

	w->settings.relays = relays;
	w->settings.relays_count = COUNT_OF(relays);
	w->settings.senders = senders;
	w->settings.senders_count = COUNT_OF(senders);
	w->sender = "by-relay.test";
	r = find(w, "two.a.test", "");
	assert_ptr_equal(r.relay, &relays[1]);
	assert_int_equal(r.tls, SECURITY_IMPLICIT);
	want_hosts(w, "two.a.test", "", "two.test:465;");
	/* What is said of the recipient's domain counts before what is said of the sender's. */
	want_hosts(w, "fixed.a.test", "", "relay.a.test:587;");
	want_hosts(w, "two.a.test", "x.test:99", "x.test:99;");
	w->sender = "as-others.test";
	want_hosts(w, "mx2.a.test", "", "mx2.a.test:2525;");
	w->settings.send_relay = SLICE("one");
	want_hosts(w, "mx2.a.test", "", "one.test:587;");
	w->settings.send_relay = SLICE_EMPTY;
	w->sender = "";
}

static void
body(void *arg)
{
	static struct route_settings routes[] = {
	    {.domain = SLICE_INIT("fixed.a.test"), .host = SLICE_INIT("relay.a.test"), .port = 587}};
	struct world *w = arg;

	wait_for_server(w);
	want_hosts(w, "two.a.test", "", "mx1.a.test:2525;mx2.a.test:2525;");
	want_hosts(w, "TWO.a.test.", "", "mx1.a.test:2525;mx2.a.test:2525;");
	want_hosts(w, "fallback.a.test", "", "fallback.a.test:2525;");
	want_hosts(w, "ours.a.test", "", "mx1.a.test:2525;");
	want_none(w, "loop.a.test", "", SEND_FAIL, "5.4.6");
	want_none(w, "us.a.test", "", SEND_FAIL, "5.4.6");
	want_none(w, "null.a.test", "", SEND_FAIL, "5.1.10");
	want_none(w, "nothing.a.test", "", SEND_FAIL, "5.1.2");
	want_none(w, "not a name", "", SEND_FAIL, "5.1.2");
	want_hosts(w, "[127.0.0.1]", "", "127.0.0.1:2525=;");
	want_hosts(w, "[IPv6:::1]", "", "::1:2525=;");
	want_none(w, "[x-tag:1]", "", SEND_FAIL, "5.1.2");
	want_hosts(w, "two.a.test", "127.0.0.1:99", "127.0.0.1:99=;");
	want_hosts(w, "two.a.test", "[::1]:99", "::1:99=;");
	want_hosts(w, "two.a.test", "relay.a.test:99", "relay.a.test:99;");
	want_none(w, "two.a.test", "relay", SEND_TEMPFAIL, "4.3.5");
	want_none(w, "two.a.test", "relay:0", SEND_TEMPFAIL, "4.3.5");
	w->settings.routes = routes;
	w->settings.routes_count = 1;
	want_hosts(w, "FIXED.a.test", "", "relay.a.test:587;");
	settings_say_more(w);
	want_site(w, "two.a.test", "", "mx1.a.test");
	want_site(w, "even.a.test", "", "mx1.a.test");
	want_site(w, "loop.a.test", "", "us.a.test");
	want_site(w, "null.a.test", "", "null.a.test");
	want_site(w, "nothing.a.test", "", "nothing.a.test");
	want_site(w, "fallback.a.test", "", "fallback.a.test:2525");
	want_site(w, "fixed.a.test", "", "relay.a.test:587");
	want_site(w, "[127.0.0.1]", "127.0.0.1:25", "127.0.0.1");
	equals_are_shuffled(w);
	want_addresses(w, "mx1.a.test", "2001:db8:;192.0.2.1;192.0.2.1;", false);
	want_addresses(w, "mx2.a.test", "192.0.2.2;", false);
	want_addresses(w, "missing.a.test", "", false);
	w->ended = true;
}

static void
every_kind_of_domain(void **state)
{
	struct world w = {0};
	BUF_CLEANUP struct buf detail;
	struct slice stub;
	char text[64];
	struct nsd s;

	(void)state;
	if (nsd_path() == NULL)
		skip();
	nsd_start(&s, zone);
	buf_init(&detail, 1000);
	house_init(&w.house, "test");
	arena_init(&w.arena, 4 << 20);
	w.settings.smtp_port = 2525;
	w.settings.hostname = SLICE("us.a.test");
	(void)snprintf(text, sizeof(text), "a.test=127.0.0.1@%u", s.port);
	stub = slice_z(text);
	assert_int_equal(loop_new(&w.loop, &w.house), 0);
	assert_int_equal(dns_new(&w.dns, w.loop, &(struct dns_config){.stubs = {&stub, 1}}, &detail), 0);
	assert_int_equal(dns_start(w.dns), 0);
	assert_int_equal(fiber_start(w.loop, "test", body, &w, NULL), 0);
	loop_run(w.loop);
	assert_true(w.ended);
	dns_free(&w.dns);
	loop_free(&w.loop);
	arena_free(&w.arena);
	nsd_stop(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_kind_of_domain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
