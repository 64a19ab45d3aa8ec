/* The exchanges of RFC 5802 §5 and RFC 7677 §3, and messages that are none. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "directory/scram.h"

struct example {
	enum scram_hash hash;
	const char *keys, *first, *server_first, *final, *signature;
};
static const struct example examples[] = {
    {SCRAM_SHA_1, "4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=",
	"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
	"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
	"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
	"rmF9pqV8S7suAoZWja4dJRkFsKQ="},
    {SCRAM_SHA_256,
	"4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
	"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
	"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
	"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
	"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
};

static void
run_example(const struct example *e)
{
	struct arena ARENA_CLEANUP a;
	struct buf base64 BUF_CLEANUP, text BUF_CLEANUP;
	struct scram_first first;
	struct scram_final last;
	struct scram_keys keys, made;
	uint8_t signature[SCRAM_KEY_MAX];
	struct slice message, other;

	arena_init(&a, 1 << 20);
	buf_init(&base64, 1000);
	buf_init(&text, 1000);
	assert_int_equal(scram_keys_parse(e->hash, slice_z(e->keys), &keys), 0);
	made = (struct scram_keys){.iterations = keys.iterations, .salt_n = keys.salt_n};
	memcpy(made.salt, keys.salt, keys.salt_n);
	assert_int_equal(scram_keys_make(e->hash, SLICE("pencil"), &made), 0);
	scram_keys_put(e->hash, &made, &text);
	assert_true(slice_ends(buf_slice(&text), slice_z(e->keys)));
	assert_int_equal(scram_first_parse(slice_z(e->first), &a, &first), 0);
	assert_true(slice_eq(first.gs2, SLICE("n,,")));
	assert_true(slice_eq(first.username, SLICE("user")));
	assert_int_equal(scram_final_parse(slice_z(e->final), &a, &last), 0);
	assert_true(slice_eq(last.binding, first.gs2));
	assert_true(slice_starts(last.nonce, first.nonce));
	message = arena_printf(
	    &a, "%.*s,%s,%.*s", SLICE_ARG(first.bare), e->server_first, SLICE_ARG(last.without_proof));
	assert_int_equal(scram_verify(e->hash, &keys, message, last.proof, signature), 0);
	buf_put_base64(&base64, slice_of(signature, scram_kinds[e->hash].n));
	assert_true(slice_eq(buf_slice(&base64), slice_z(e->signature)));
	other = arena_printf(&a, "%.*sx", SLICE_ARG(message));
	assert_int_equal(scram_verify(e->hash, &keys, other, last.proof, signature), ERR_DENIED);
	assert_int_equal(scram_verify(e->hash, &keys, message, slice_from(last.proof, 1), signature), ERR_DENIED);
	keys.stored[0] ^= 1;
	assert_int_equal(scram_verify(e->hash, &keys, message, last.proof, signature), ERR_DENIED);
}

static void
test_examples(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(examples); i++)
		run_example(&examples[i]);
}

static void
test_first(void **state)
{
	static const char *const bad[] = {"", "n", "n,", "n,,", "n,,n=", "n,,n=a", "n,,n=a,r=", "n,,r=b,n=a",
	    "x,,n=a,r=b", "nn,,n=a,r=b", "p,,n=a,r=b", "p=,,n=a,r=b", "p=a b,,n=a,r=b", "n,b,n=a,r=b", "n,a=b=,n=a,r=b",
	    "n,,n=a=2,r=b", "n,,n=a=2X,r=b", "n,,n=a,r=b,", "n,,n=a,r=b,x", "n,,n=a,r=b,x=", "n,,n=a,r=b,1=c",
	    "n,,n=a,r=b c", "n,,n=\xff,r=b", "n,,N=a,r=b", " n,,n=a,r=b"};
	struct arena ARENA_CLEANUP a;
	struct scram_first f;

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		if (scram_first_parse(slice_z(bad[i]), &a, &f) != ERR_SYNTAX)
			fail_msg("taken: %s", bad[i]);
	assert_int_equal(scram_first_parse(SLICE("n,,n=a\0,r=b"), &a, &f), ERR_SYNTAX);
	assert_int_equal(scram_first_parse(SLICE("n,,m=x,n=a,r=b"), &a, &f), ERR_UNSUPPORTED);
	assert_int_equal(scram_first_parse(SLICE("p=tls-exporter,a=b=2Cc=3Dd,n==2C=3d,r=x!y,z=1,y=2"), &a, &f), 0);
	assert_int_equal(f.flag, 'p');
	assert_true(slice_eq(f.binding, SLICE("tls-exporter")));
	assert_true(slice_eq(f.authzid, SLICE("b,c=d")));
	assert_true(slice_eq(f.gs2, SLICE("p=tls-exporter,a=b=2Cc=3Dd,")));
	assert_true(slice_eq(f.username, SLICE(",=")));
	assert_true(slice_eq(f.nonce, SLICE("x!y")));
}

static void
test_final(void **state)
{
	static const char *const bad[] = {"", "c=biws", "c=biws,r=a", "c=biws,p=YQ==", "r=a,c=biws,p=YQ==",
	    "c=,r=a,p=YQ==", "c=biws,r=,p=YQ==", "c=biws,r=a,p=", "c=biws,r=a,p=!",
	    "c=b!ws,r=a,p=YQ==", "c=biws,r=a,p=YQ==,x=y",
	    "c=biws,r=a,x,p=YQ==", "c=biws,r=a b,p=YQ==", "c=biws,r=a,p=YQ==,"};
	struct arena ARENA_CLEANUP a;
	struct scram_final f;

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		if (scram_final_parse(slice_z(bad[i]), &a, &f) != ERR_SYNTAX)
			fail_msg("taken: %s", bad[i]);
	assert_int_equal(scram_final_parse(SLICE("c=biws,r=a,x=y,p=YQ=="), &a, &f), 0);
	assert_true(slice_eq(f.without_proof, SLICE("c=biws,r=a,x=y")));
	assert_true(slice_eq(f.proof, SLICE("a")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_examples),
	    cmocka_unit_test(test_first),
	    cmocka_unit_test(test_final),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
