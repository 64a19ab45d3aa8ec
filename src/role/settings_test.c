/* Settings: the default parses, every mistake is told, reloads refuse what takes a restart. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "bus/values.h"
#include "role/settings.h"
#include "base/log.h"

static struct settings *
good(const char *text)
{
	struct buf detail BUF_CLEANUP;
	struct settings *s;

	buf_init(&detail, 1 << 20);
	if (settings_parse(&s, slice_z(text), &detail) != 0)
		fail_msg("%.*s", SLICE_ARG(buf_slice(&detail)));
	return s;
}

static void
bad(const char *text, const char *says)
{
	struct buf detail BUF_CLEANUP;
	struct settings *s;

	buf_init(&detail, 1 << 20);
	assert_int_not_equal(settings_parse(&s, slice_z(text), &detail), 0);
	assert_null(s);
	buf_put_u8(&detail, 0);
	assert_string_equal((const char *)detail.p, says);
}

static void
test_defaults(void **state)
{
	struct buf out BUF_CLEANUP;
	struct settings *s = good("");

	(void)state;
	assert_int_equal(s->listeners_count, 16);
	assert_int_equal(s->listeners[0].port, 25);
	assert_true(slice_eq(s->listeners[0].address, SLICE("0.0.0.0")));
	assert_true(slice_eq(s->listeners[1].address, SLICE("::")));
	assert_int_equal(s->listeners[14].service, LISTEN_CONTROL);
	assert_int_equal(s->listeners[15].service, LISTEN_LOCAL);
	assert_true(slice_eq(s->data_dir, SLICE("/var/lib/posthouse")));
	assert_true(slice_eq(s->dns_resolv_conf, SLICE("/etc/resolv.conf")));
	assert_int_equal(s->smtp_port, 25);
	assert_int_equal(s->log_level, LOG_INFO);
	assert_false(s->hostname_given);
	assert_true(s->hostname.n > 0);
	assert_int_equal(s->limits.smtp_recipients, 1000);
	settings_free(&s);
	/* What is printed as the default is the default, also with its comments taken away. */
	buf_init(&out, 1 << 20);
	settings_print_default(&out);
	buf_put_u8(&out, 0);
	s = good((const char *)out.p);
	assert_int_equal(s->listeners_count, 16);
	settings_free(&s);
}

static void
test_all_keys(void **state)
{
	struct settings *s = good(
	    "[house]\nhostname = MX.Example.Org\ndata_dir = /d\nuser_prefix =\nlog_format = json\nlog_level = "
	    "debug\nshort_names = yes\n"
	    "cleartext_sign_in = yes\ntest_clock = yes\ngates = 2\nporches = 3\ndesks = 4\ncouriers = 64\n"
	    "[listen a]\nservice = smtp\naddress = 127.0.0.1\nport = 2025\n[listen b]\nservice = imaps\naddress = ::1\n"
	    "[tls x]\ncertificate = /c.pem\nkey = /k.pem\nnames = a.test, *.b.test\n"
	    "[route A.Test]\nhost = 127.0.0.1\nport = 2525\n[route b.test]\nhost = mx.b.test\n"
	    "[submitter office]\nnetworks = 192.0.2.0/28 2001:db8::1\nusers = www-data\nsenders = p@a.test, @b.test\n"
	    "messages_per_hour = 7\nmessages_per_day = 0\n"
	    "[dns]\nresolv_conf =\nforwarders = 127.0.0.1@5300 ::1\nstubs = a.test=127.0.0.1@53,b.test=127.0.0.1@54\n"
	    "trust_anchors = . DS 1 2 3 AA, b DS 1 2 3 BB\ninsecure = a.test\n[send]\nport = 2025\nbind = "
	    "127.0.0.2\n[limits]\nsmtp_recipients = 7\n");

	(void)state;
	assert_true(slice_eq(s->hostname, SLICE("mx.example.org")));
	assert_true(s->hostname_given && s->short_names && s->cleartext_sign_in && s->test_clock && !s->plain);
	assert_int_equal(s->gates + s->porches + s->desks + s->couriers, 73);
	assert_int_equal(s->listeners_count, 4);
	assert_int_equal(s->listeners[1].port, 993);
	assert_int_equal(s->listeners[1].service, LISTEN_IMAPS);
	assert_int_equal(s->tls[0].names.n, 2);
	assert_true(slice_eq(s->tls[0].names.v[1], SLICE("*.b.test")));
	assert_true(slice_eq(s->routes[0].domain, SLICE("a.test")));
	assert_int_equal(s->routes[0].port, 2525);
	assert_int_equal(s->routes[1].port, 25);
	assert_int_equal(s->submitters[0].networks.n + s->submitters[0].users.n + s->submitters[0].senders.n, 5);
	assert_int_equal(s->submitters[0].messages_per_hour, 7);
	assert_int_equal(s->submitters[0].messages_per_day, 0);
	assert_int_equal(s->submitters[0].recipients_per_day, 5000);
	assert_int_equal(s->dns_forwarders.n, 2);
	assert_int_equal(s->dns_stubs.n, 2);
	assert_int_equal(s->dns_trust_anchors.n, 2);
	assert_true(slice_eq(s->dns_trust_anchors.v[1], SLICE("b DS 1 2 3 BB")));
	assert_int_equal(s->dns_resolv_conf.n, 0);
	assert_int_equal(s->limits.smtp_recipients, 7);
	settings_free(&s);
}

static void
test_policy_of_listeners(void **state)
{
	struct settings *s = good(
	    "[listen a]\nservice = smtp\naddress = 127.0.0.1\nallow = 192.0.2.0/24, ::1\nproxy_protocol = "
	    "10.0.0.1\nxclient = 10.0.0.2\ntrusted = 10.0.0.0/8\nearly_talker_check = no\nclient_limits = "
	    "no\nrequire_tls = yes\nmessage_bytes = 1000\n[listen b]\nservice = lmtp\naddress = 127.0.0.1\n"
	    "[listen c]\nservice = imap\naddress = 127.0.0.1\nallow = 10.0.0.0/8\n");
	const struct listen_settings *a = &s->listeners[0], *b = &s->listeners[1];
	struct net_address inside, outside;

	(void)state;
	assert_int_equal(net_address_parse(SLICE("192.0.2.77"), 1, &inside), 0);
	assert_int_equal(net_address_parse(SLICE("192.0.3.77"), 1, &outside), 0);
	assert_true(network_list_contains(a->allow, &inside) && !network_list_contains(a->allow, &outside));
	assert_int_equal(a->allow.n, 2);
	assert_int_equal(a->proxy_protocol.n + a->xclient.n + a->trusted.n, 3);
	assert_true(!a->early_talker_check && !a->client_limits && a->require_tls && a->message_bytes == 1000);
	assert_int_equal(b->service, LISTEN_LMTP);
	assert_int_equal(b->port, 24);
	assert_true(b->early_talker_check && b->client_limits && !b->require_tls && b->message_bytes == 0);
	assert_false(listen_service_is_porch(LISTEN_LMTP));
	settings_free(&s);
	s = good(
	    "[listen m]\nservice = metrics\n[listen n]\nservice = metrics\naddress = 192.0.2.1\nallow = 192.0.2.0/24\n"
	    "[listen o]\nservice = metrics\naddress = ::1\n");
	assert_true(slice_eq(s->listeners[0].address, SLICE("127.0.0.1")) && s->listeners[0].port == 9825);
	assert_false(listen_service_is_porch(LISTEN_METRICS));
	assert_int_equal(s->listeners_count, 3 + 14 + 2);
	settings_free(&s);
	bad("[listen m]\nservice = metrics\naddress = *\n[listen n]\nservice = metrics\naddress = 192.0.2.1\n",
	    "line 1: [listen m] tells everybody who can reach it how the house is: use address = 127.0.0.1, or name "
	    "who may "
	    "ask with allow\n"
	    "line 4: [listen n] tells everybody who can reach it how the house is: use address = 127.0.0.1, or name "
	    "who may "
	    "ask with allow\n");
	bad("[listen a]\nservice = smtp\nallow = 192.0.2.1/24\n[listen b]\nservice = imap\ntrusted = ::1\n[listen "
	    "c]\nservice = smtp\nmessage_bytes = much\nport = 26\n",
	    "line 3: allow is a list of IP addresses and networks (192.0.2.0/24, with no bits set behind the prefix), "
	    "not "
	    "192.0.2.1/24\n"
	    "line 6: trusted is for the services smtp and lmtp only\n"
	    "line 9: message_bytes is a whole number, not much\n");
}

static void
test_mistakes(void **state)
{
	(void)state;
	bad("[house]\ncolour = red\nshort_names = maybe\ngates = 65\nhostname = a..b\n[garden]\n[dns x]\n[listen]\n",
	    "line 2: [house] has no setting colour; `posthouse config default` lists all\n"
	    "line 3: short_names is no or yes, not maybe\n"
	    "line 4: gates is a number from 0 to 64, not 65\n"
	    "line 5: hostname is a host name (letters, digits, - and dots), not a..b\n"
	    "line 6: there is no section [garden]; `posthouse config default` lists all\n"
	    "line 7: [dns] takes no name\n"
	    "line 8: [listen] needs a name: [listen NAME]\n");
	bad("[listen a]\nport = 0\n[listen b]\nservice = gopher\n[listen c]\nservice = smtp\naddress =\n",
	    "line 2: port is a port number from 1 to 65535, not 0\n"
	    "line 1: [listen a] needs a service\n"
	    "line 4: service is smtp, submission, submissions, imap, imaps, pop3, pop3s, lmtp or metrics, not gopher\n"
	    "line 5: [listen c] needs an address, or *\n");
}

static void
test_mistakes_of_the_whole(void **state)
{
	(void)state;
	bad("[house]\ncleartext_sign_in = yes\n",
	    "cleartext_sign_in = yes is refused: not every listener is on a loopback address\n");
	bad("[house]\ndata_dir = here\n", "data_dir must be an absolute path\n");
	bad("[listen a]\nservice = smtp\n[listen b]\nservice = imap\nport = 25\naddress = ::\n",
	    "[listen a] and [listen b] have the same address and port\n");
	bad("[tls a]\ncertificate = /x\n", "line 1: [tls a] needs a certificate and a key\n");
	bad("[route a_b..c]\nhost = x\n", "line 1: [route a_b..c] needs the name of a domain\n");
	bad("[route a.test]\n", "line 1: [route a.test] needs a host or a relay\n");
	bad("[limits]\nsmtp_recipients = many\nfish = 1\n",
	    "line 2: smtp_recipients is a whole number\nline 3: there is no limit fish; `posthouse config default` "
	    "lists all\n");
}

static void
test_diff(void **state)
{
	struct buf out BUF_CLEANUP, detail BUF_CLEANUP;

	(void)state;
	buf_init(&out, 65536);
	buf_init(&detail, 65536);
	assert_int_equal(
	    settings_print_diff(SLICE("[house]\nlog_level = info\nhostname = a.test\n[dns]\nforwarders =\n[listen "
				      "x]\nservice = smtp\naddress = *\n[limits]\nsmtp_recipients = 1000\n"
				      "smtp_errors = 3\n"),
		&out, &detail),
	    0);
	buf_put_u8(&out, 0);
	assert_string_equal(
	    (const char *)out.p, "[house]\nhostname = a.test\n[listen x]\nservice = smtp\n[limits]\nsmtp_errors = 3\n");
}

static void
test_reload(void **state)
{
	struct settings *a = good("[house]\nhostname = a.test\n"),
			*b = good("[house]\nhostname = b.test\nlog_level = debug\n");
	struct settings *c = good(
	    "[house]\ndata_dir = /x\ndesks = 3\n[listen a]\nservice = smtp\n[limits]\nbus_message_bytes = 100000\n");
	struct buf detail BUF_CLEANUP;

	(void)state;
	buf_init(&detail, 65536);
	assert_int_equal(settings_may_reload(a, b, &detail), 0);
	assert_int_equal(settings_may_reload(a, c, &detail), ERR_INVALID);
	buf_put_u8(&detail, 0);
	assert_string_equal((const char *)detail.p,
	    "data_dir has changed: restart the house\nthe number of processes has changed: restart the house\n"
	    "[listen] sections have changed: restart the house\nbus_message_bytes has changed: restart the house\n");
	settings_start(c, START_PLAIN | START_TEST_CLOCK, 9, SLICE("mail.example.org"));
	assert_true(c->plain && c->test_clock && !c->allow_unsandboxed);
	assert_int_equal(c->generation, 9);
	assert_true(slice_eq(c->hostname, SLICE("mail.example.org")));
	settings_start(a, 0, 1, SLICE("mail.example.org"));
	assert_true(slice_eq(a->hostname, SLICE("a.test")));
	settings_free(&a);
	settings_free(&b);
	settings_free(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_all_keys),
	    cmocka_unit_test(test_policy_of_listeners),
	    cmocka_unit_test(test_mistakes),
	    cmocka_unit_test(test_mistakes_of_the_whole),
	    cmocka_unit_test(test_diff),
	    cmocka_unit_test(test_reload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
