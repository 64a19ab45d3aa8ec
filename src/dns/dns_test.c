/* Decoding; and questions to an NSD on a loopback port with a zone of its own, skipped where NSD is not installed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/log.h"
#include "dns/dns.h"
#include "dns/nsd_test.h"

/* ---- decoding ------------------------------------------------------------------------------------------- */

static void
records_are_decoded(void **state)
{
	struct net_address address;
	char text[NET_ADDRESS_TEXT_MAX];
	struct arena a;
	struct dns_mx mx;
	struct dns_srv srv;
	struct slice s;

	(void)state;
	arena_init(&a, 1 << 20);
	assert_int_equal(dns_mx_decode(SLICE("\0\x0a\2MX\1A\4test\0"), &a, &mx), 0);
	assert_int_equal(mx.preference, 10);
	assert_true(slice_eq(mx.host, SLICE("mx.a.test")));
	assert_int_equal(dns_mx_decode(SLICE("\0\0\0"), &a, &mx), 0);
	assert_int_equal(mx.host.n, 0);
	assert_int_equal(dns_mx_decode(SLICE("\0\0\2a"), &a, &mx), ERR_SYNTAX);
	assert_int_equal(dns_mx_decode(SLICE("\0\0\0x"), &a, &mx), ERR_SYNTAX);
	assert_int_equal(dns_mx_decode(SLICE(""), &a, &mx), ERR_SYNTAX);
	assert_int_equal(dns_mx_decode(SLICE("\0\0\xc0\0"), &a, &mx), ERR_SYNTAX);
	assert_int_equal(dns_srv_decode(SLICE("\0\x01\0\x02\x03\xe1\2MX\1A\4test\0"), &a, &srv), 0);
	assert_true(srv.priority == 1 && srv.weight == 2 && srv.port == 993 && slice_eq(srv.host, SLICE("mx.a.test")));
	assert_int_equal(dns_srv_decode(SLICE("\0\0\0\0\0\0\0"), &a, &srv), 0);
	assert_int_equal(dns_srv_decode(SLICE("\0\0\0\0\0"), &a, &srv), ERR_SYNTAX);
	assert_int_equal(dns_srv_decode(SLICE("\0\0\0\0\0\0\2a"), &a, &srv), ERR_SYNTAX);
	assert_int_equal(dns_name_decode(SLICE("\3a.b\0"), &a, &s), ERR_SYNTAX);
	assert_int_equal(dns_name_decode(SLICE("\3a\nb\0"), &a, &s), ERR_SYNTAX);
	assert_int_equal(dns_txt_decode(SLICE("\3abc\0\2de"), &a, &s), 0);
	assert_true(slice_eq(s, SLICE("abcde")));
	assert_int_equal(dns_txt_decode(SLICE("\3ab"), &a, &s), ERR_SYNTAX);
	assert_int_equal(dns_txt_decode(SLICE(""), &a, &s), ERR_SYNTAX);
	assert_int_equal(dns_address_decode(DNS_A, SLICE("\x7f\0\0\1"), 25, &address), 0);
	net_address_text(&address, text);
	assert_string_equal(text, "127.0.0.1");
	assert_int_equal(net_address_port(&address), 25);
	assert_int_equal(dns_address_decode(DNS_AAAA, SLICE("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"), 25, &address), 0);
	net_address_text(&address, text);
	assert_string_equal(text, "::1");
	assert_int_equal(dns_address_decode(DNS_A, SLICE("\x7f\0\0"), 25, &address), ERR_SYNTAX);
	arena_free(&a);
}

/* ---- a name server ---------------------------------------------------------------------------------------- */

static const char zone[] = "$ORIGIN a.test.\n"
			   "@ 60 IN SOA ns hostmaster 1 60 60 60 60\n"
			   "@ NS ns\n"
			   "ns A 127.0.0.1\n"
			   "@ MX 10 mx1\n"
			   "@ MX 20 MX2\n"
			   "@ TXT \"one\" \" two\"\n"
			   "mx1 A 192.0.2.1\n"
			   "mx1 AAAA 2001:db8::1\n"
			   "mx2 A 192.0.2.2\n"
			   "null MX 0 .\n"
			   "alias CNAME mx1\n"
			   "xn--mller-kva A 192.0.2.3\n";

/* ---- asking ----------------------------------------------------------------------------------------------- */

struct world {
	struct house house;
	struct loop *loop;
	struct dns *dns;
	struct arena arena;
	void (*body)(struct world *w);
	bool ended;
};

static void
world_main(void *arg)
{
	struct world *w = arg;

	w->body(w);
	w->ended = true;
}

static void
world_run(const struct dns_config *c, void (*body)(struct world *w))
{
	struct world w = {.body = body};
	BUF_CLEANUP struct buf detail;

	buf_init(&detail, 1000);
	house_init(&w.house, "test");
	w.house.log_level = LOG_ERROR;
	arena_init(&w.arena, 1 << 20);
	assert_int_equal(loop_new(&w.loop, &w.house), 0);
	assert_int_equal(dns_new(&w.dns, w.loop, c, &detail), 0);
	assert_int_equal(dns_start(w.dns), 0);
	assert_int_equal(fiber_start(w.loop, "test", world_main, &w, NULL), 0);
	loop_run(w.loop);
	assert_true(w.ended);
	dns_free(&w.dns);
	loop_free(&w.loop);
	arena_free(&w.arena);
}

static struct dns_answer
ask(struct world *w, const char *name, enum dns_type type)
{
	struct dns_answer answer;

	assert_int_equal(dns_ask(w->dns, slice_z(name), type, &w->arena, loop_deadline(w->loop, 10000), &answer), 0);
	return answer;
}

/* NSD may need a moment to listen. */
static void
wait_for_server(struct world *w)
{
	for (int i = 0; i < 100; i++) {
		struct dns_answer answer = ask(w, "ns.a.test", DNS_A);

		if (answer.status == DNS_OK)
			return;
		assert_int_equal(fiber_sleep(w->loop, 50), 0);
	}
	fail_msg("no answer from NSD");
}

static void
questions(struct world *w)
{
	struct dns_answer answer;
	struct slice text;
	struct dns_mx mx;
	unsigned seen = 0;

	wait_for_server(w);
	answer = ask(w, "A.test.", DNS_MX);
	assert_int_equal(answer.status, DNS_OK);
	assert_int_equal(answer.rdata.n, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(dns_mx_decode(answer.rdata.v[i], &w->arena, &mx), 0);
		assert_true(slice_eq(mx.host, mx.preference == 10 ? SLICE("mx1.a.test") : SLICE("mx2.a.test")));
		seen += mx.preference;
	}
	assert_int_equal(seen, 30);
	answer = ask(w, "a.test", DNS_TXT);
	assert_int_equal(dns_txt_decode(answer.rdata.v[0], &w->arena, &text), 0);
	assert_true(slice_eq(text, SLICE("one two")));
	answer = ask(w, "null.a.test", DNS_MX);
	assert_int_equal(dns_mx_decode(answer.rdata.v[0], &w->arena, &mx), 0);
	assert_int_equal(mx.host.n, 0);
	answer = ask(w, "alias.a.test", DNS_A);
	assert_int_equal(answer.status, DNS_OK);
	assert_true(slice_istarts(answer.canonical, SLICE("mx1.a.test")));
	assert_int_equal(ask(w, "mx1.a.test", DNS_MX).status, DNS_NODATA);
	assert_int_equal(ask(w, "nothing.a.test", DNS_MX).status, DNS_NXDOMAIN);
	assert_int_equal(ask(w, "m\xc3\xbcller.a.test", DNS_A).status, DNS_OK);
}

static void
a_zone_is_asked_about(void **state)
{
	char stub[64];
	struct slice stubs;
	struct nsd s;

	(void)state;
	if (nsd_path() == NULL)
		skip();
	nsd_start(&s, zone);
	(void)snprintf(stub, sizeof(stub), "a.test=127.0.0.1@%u", s.port);
	stubs = slice_z(stub);
	world_run(&(struct dns_config){.stubs = {&stubs, 1}}, questions);
	nsd_stop(&s);
}

static void
bad_names(struct world *w)
{
	static const char *const names[] = {"", ".", "a..b", "a b", "a\\.b",
	    "1234567890123456789012345678901234567890123456789012345678901234.test", "\xff.test", "a.test..", ".a"};
	struct dns_answer answer;

	for (size_t i = 0; i < COUNT_OF(names); i++)
		assert_int_equal(
		    dns_ask(w->dns, slice_z(names[i]), DNS_A, &w->arena, DEADLINE_NEVER, &answer), ERR_INVALID);
	assert_int_equal(dns_ask(w->dns, SLICE("a\0b.test"), DNS_A, &w->arena, DEADLINE_NEVER, &answer), ERR_INVALID);
}

/* Nobody answers there: the deadline counts, and a question that was given up is forgotten by unbound too. */
static void
nobody_answers(struct world *w)
{
	struct dns_answer answer;

	assert_int_equal(dns_ask(w->dns, SLICE("a.test"), DNS_MX, &w->arena, loop_deadline(w->loop, 50), &answer), 0);
	assert_int_equal(answer.status, DNS_TEMPFAIL);
	/* Given up before it was even asked. */
	assert_int_equal(dns_ask(w->dns, SLICE("b.test"), DNS_MX, &w->arena, loop_now_ms(w->loop) - 1, &answer), 0);
	assert_int_equal(answer.status, DNS_TEMPFAIL);
	/* A fiber that is cancelled. */
	fiber_cancel(fiber_self(w->loop));
	assert_int_equal(dns_ask(w->dns, SLICE("c.test"), DNS_MX, &w->arena, DEADLINE_NEVER, &answer), ERR_CANCELLED);
}

static void
trouble(void **state)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char forwarder[64];
	struct slice forwarders;

	(void)state;
	/* A socket that takes questions and never answers. */
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	(void)snprintf(forwarder, sizeof(forwarder), "127.0.0.1@%u", ntohs(sa.sin_port));
	forwarders = slice_z(forwarder);
	world_run(&(struct dns_config){.forwarders = {&forwarders, 1}}, bad_names);
	world_run(&(struct dns_config){.forwarders = {&forwarders, 1}}, nobody_answers);
	close(fd);
}

static void
configuration_errors_are_told(void **state)
{
	static const struct slice bad = SLICE_INIT("not an address");
	const struct dns_config v[] = {{.forwarders = {&bad, 1}}, {.stubs = {&bad, 1}}, {.trust_anchors = {&bad, 1}},
	    {.resolv_conf = "/nonexistent/resolv.conf"}};
	struct house house;
	struct loop *loop;

	(void)state;
	house_init(&house, "test");
	assert_int_equal(loop_new(&loop, &house), 0);
	for (size_t i = 0; i < COUNT_OF(v); i++) {
		BUF_CLEANUP struct buf detail;
		struct dns *d;

		buf_init(&detail, 1000);
		assert_int_not_equal(dns_new(&d, loop, &v[i], &detail), 0);
		assert_null(d);
		assert_true(slice_starts(buf_slice(&detail), SLICE("DNS: ")));
	}
	loop_free(&loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(records_are_decoded),
	    cmocka_unit_test(a_zone_is_asked_about),
	    cmocka_unit_test(trouble),
	    cmocka_unit_test(configuration_errors_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
