/* iprev: the results of RFC 8601 §2.7.3, and names that strangers would like to see in our headers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/un.h>
#include <cmocka.h>

#include "base/buf.h"
#include "trust/reverse.h"
#include "trust/zone_file.h"

static const char zone_text[] =
    "1.2.0.192.in-addr.arpa. PTR liar.example.org.\n PTR mail.example.org.\n"
    "2.2.0.192.in-addr.arpa. PTR liar.example.org.\n"
    "3.2.0.192.in-addr.arpa. PTR bad\\013\\010name.example.org.\n PTR .\n"
    "$TEMPFAIL 4.2.0.192.in-addr.arpa.\n"
    "5.2.0.192.in-addr.arpa. PTR slow.example.org.\n$TEMPFAIL slow.example.org.\n"
    "6.2.0.192.in-addr.arpa. PTR nowhere.example.org.\n"
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR mail.example.org.\n"
    "mail.example.org. A 192.0.2.99\n A 192.0.2.1\n AAAA 2001:db8::1\nliar.example.org. A 192.0.2.77\n";

static void
results(void **state)
{
	static const struct {
		const char *ip;
		enum trust_result result;
		const char *name, *reason;
	} rows[] = {
	    {"192.0.2.1", TRUST_PASS, "mail.example.org",
		"192.0.2.1 is mail.example.org, and that name leads back to it"},
	    {"::ffff:192.0.2.1", TRUST_PASS, "mail.example.org",
		"192.0.2.1 is mail.example.org, and that name leads back to it"},
	    {"2001:db8::1", TRUST_PASS, "mail.example.org",
		"2001:db8::1 is mail.example.org, and that name leads back to it"},
	    {"192.0.2.2", TRUST_FAIL, "liar.example.org",
		"192.0.2.2 says it is liar.example.org, but that name does not lead back to it"},
	    {"192.0.2.3", TRUST_PERMERROR, "", "192.0.2.3 has no name in DNS"},
	    {"192.0.2.4", TRUST_TEMPERROR, "", "the name of 192.0.2.4 could not be looked up"},
	    {"192.0.2.5", TRUST_TEMPERROR, "slow.example.org",
		"192.0.2.5 says it is slow.example.org, whose addresses could not be looked up"},
	    {"192.0.2.6", TRUST_FAIL, "nowhere.example.org",
		"192.0.2.6 says it is nowhere.example.org, but that name does not lead back to it"},
	    {"192.0.2.7", TRUST_PERMERROR, "", "192.0.2.7 has no name in DNS"},
	};
	ZONE_FILE_CLEANUP struct zone_file *z = NULL;
	BUF_CLEANUP struct buf detail;
	struct trust_dns dns;

	(void)state;
	buf_init(&detail, 1000);
	assert_int_equal(zone_file_new(&z, slice_z(zone_text), &detail), 0);
	dns = zone_file_dns(z);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct arena a ARENA_CLEANUP;
		struct net_address client;
		struct iprev_result r;

		arena_init(&a, 10000);
		assert_int_equal(net_address_parse(slice_z(rows[i].ip), 0, &client), 0);
		assert_int_equal(iprev_check(&dns, &client, &a, &r), 0);
		assert_string_equal(arena_z(&a, r.reason), rows[i].reason);
		assert_string_equal(arena_z(&a, r.name), rows[i].name);
		assert_int_equal(r.result, rows[i].result);
	}
}

static void
no_address(void **state)
{
	struct net_address local = {.n = sizeof(struct sockaddr_un)};
	struct trust_dns none = {NULL, NULL};
	struct arena a ARENA_CLEANUP;
	struct iprev_result r;

	(void)state;
	local.sa.ss_family = AF_UNIX;
	arena_init(&a, 10000);
	assert_int_equal(iprev_check(&none, &local, &a, &r), ERR_INVALID);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(results),
	    cmocka_unit_test(no_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
