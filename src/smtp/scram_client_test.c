/* SCRAM's client against the examples of its RFCs, and servers that lie. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/scram_client.h"

struct example {
	bool sha256;
	const char *nonce, *first, *server_first, *final, *server_final;
};

static const struct example examples[] = {
    /* RFC 5802 §5 */
    {false, "fyko+d2lbbFgONRv9qkxdawL", "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
	"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
	"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
	"v=rmF9pqV8S7suAoZWja4dJRkFsKQ="},
    /* RFC 7677 §3 */
    {true, "rOprNGfwEbeRWgbNEkqO", "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
	"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
	"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
	"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
};

static void
examples_of_the_standards(void **state)
{
	struct arena a ARENA_CLEANUP;

	(void)state;
	arena_init(&a, 100000);
	for (size_t i = 0; i < COUNT_OF(examples); i++) {
		const struct example *x = &examples[i];
		struct scram_client c;
		struct slice out;

		assert_int_equal(
		    scram_client_first(&c, &a, x->sha256, SLICE("user"), SLICE("pencil"), slice_z(x->nonce), &out), 0);
		assert_true(slice_eq(out, slice_z(x->first)));
		assert_int_equal(scram_client_final(&c, NULL, slice_z(x->server_first), &out), 0);
		assert_true(slice_eq(out, slice_z(x->final)));
		assert_int_equal(scram_client_verify(&c, slice_z(x->server_final)), 0);
		assert_int_equal(scram_client_verify(&c, SLICE("v=rmF9pqV8S7suAoZWja4dJRkFsKR=")), ERR_DENIED);
		assert_int_equal(scram_client_verify(&c, SLICE("e=invalid-proof")), ERR_DENIED);
		assert_int_equal(scram_client_verify(&c, SLICE_EMPTY), ERR_DENIED);
	}
}

static void
names_are_escaped(void **state)
{
	struct arena a ARENA_CLEANUP;
	struct scram_client c;
	struct slice out;

	(void)state;
	arena_init(&a, 10000);
	assert_int_equal(scram_client_first(&c, &a, true, SLICE("a=b,c"), SLICE("x"), SLICE("n"), &out), 0);
	assert_true(slice_eq(out, SLICE("n,,n=a=3Db=2Cc,r=n")));
	assert_int_equal(scram_client_first(&c, &a, true, SLICE("a\0b"), SLICE("x"), SLICE("n"), &out), ERR_INVALID);
	assert_int_equal(scram_client_first(&c, &a, true, SLICE("a"), SLICE("\xff"), SLICE("n"), &out), ERR_INVALID);
	assert_int_equal(scram_client_first(&c, &a, true, SLICE_EMPTY, SLICE("x"), SLICE("n"), &out), ERR_INVALID);
}

static void
servers_that_lie(void **state)
{
	static const struct {
		const char *text;
		int err;
	} cases[] = {
	    {"", ERR_SYNTAX},
	    {"r=n,s=QSXC,i=1", ERR_SYNTAX}, /* adds nothing to the nonce */
	    {"r=other,s=QSXC,i=1", ERR_SYNTAX},
	    {"r=nx,s=,i=1", ERR_SYNTAX},
	    {"r=nx,s=!!!!,i=1", ERR_SYNTAX},
	    {"r=nx,s=QSXC", ERR_SYNTAX},
	    {"r=nx,s=QSXC,i=0", ERR_SYNTAX},
	    {"r=nx,s=QSXC,i=-1", ERR_SYNTAX},
	    {"r=nx,s=QSXC,i=1000001", ERR_LIMIT},
	    {"m=ext,r=nx,s=QSXC,i=1", ERR_SYNTAX},
	};
	struct arena a ARENA_CLEANUP;

	(void)state;
	arena_init(&a, 100000);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct scram_client c;
		struct slice out;

		assert_int_equal(scram_client_first(&c, &a, true, SLICE("u"), SLICE("p"), SLICE("n"), &out), 0);
		assert_int_equal(scram_client_final(&c, NULL, slice_z(cases[i].text), &out), cases[i].err);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(examples_of_the_standards),
	    cmocka_unit_test(names_are_escaped), cmocka_unit_test(servers_that_lie)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
