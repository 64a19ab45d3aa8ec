/* Arguments of XCLIENT, as Postfix and others send them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/xclient.h"

static void
arguments(void **state)
{
	static const struct {
		const char *argument;
		int error;
		const char *address, *helo;
		uint16_t port;
	} v[] = {{"NAME=spike.porcupine.org ADDR=168.100.189.2 PROTO=ESMTP", 0, "168.100.189.2", "", 0},
	    {"ADDR=IPV6:2001:db8::1 PORT=4711  HELO=a+2Eb", 0, "2001:db8::1", "a.b", 4711},
	    {"addr=192.0.2.1 port=1", 0, "192.0.2.1", "", 1}, {"ADDR=2001:db8::1", 0, "2001:db8::1", "", 0},
	    {"NAME=[UNAVAILABLE] ADDR=[tempunavail] HELO=[UNAVAILABLE] LOGIN=[UNAVAILABLE]", 0, "", "", 0},
	    {"HELO=[192.0.2.1] PROTO=SMTP DESTADDR=192.0.2.2 DESTPORT=25 LOGIN=bob", 0, "", "[192.0.2.1]", 0},
	    {"", ERR_SYNTAX, "", "", 0}, {"ADDR", ERR_SYNTAX, "", "", 0}, {"ADDR=", ERR_SYNTAX, "", "", 0},
	    {"=x", ERR_SYNTAX, "", "", 0}, {"ADDR=x", ERR_SYNTAX, "", "", 0},
	    {"ADDR=192.0.2.300", ERR_SYNTAX, "", "", 0}, {"PORT=65536", ERR_SYNTAX, "", "", 0},
	    {"PORT=x", ERR_SYNTAX, "", "", 0}, {"PROTO=HTTP", ERR_SYNTAX, "", "", 0},
	    {"HELO=a b", ERR_SYNTAX, "", "", 0}, {"HELO=a+0Db", ERR_SYNTAX, "", "", 0},
	    {"HELO=a(b", ERR_SYNTAX, "", "", 0}, {"HELO=a+", ERR_SYNTAX, "", "", 0},
	    {"NAME=+0A", ERR_SYNTAX, "", "", 0}, {"NAME=a NAME=b", ERR_SYNTAX, "", "", 0},
	    {"WHAT=x", ERR_SYNTAX, "", "", 0}};
	char text[NET_ADDRESS_TEXT_MAX];
	struct smtp_xclient x;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(v); i++) {
		int e = smtp_xclient_parse(slice_z(v[i].argument), &x);

		if (e != v[i].error)
			fail_msg("%s: %s", v[i].argument, err_name(e));
		if (e != 0)
			continue;
		assert_int_equal(x.has_address, v[i].address[0] != '\0');
		assert_int_equal(x.has_helo, v[i].helo[0] != '\0');
		assert_string_equal(x.helo, v[i].helo);
		net_address_text(&x.address, text);
		assert_string_equal(text, v[i].address);
		assert_int_equal(net_address_port(&x.address), v[i].port);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(arguments)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
