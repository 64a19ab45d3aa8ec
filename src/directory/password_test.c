/* Known answers of every scheme, made with OpenSSL, Python's hashlib and libcrypt, and those of RFC 5802 and 7677. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "directory/password.h"

static const char *const secret_hashes[] = {
    "{SHA512-CRYPT}$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.",
    "{CRYPT}$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.",
    "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.",
    "{sha256-crypt}$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.",
    "{MD5-CRYPT}$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1",
    "{BLF-CRYPT}$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
    "{BLF-CRYPT}$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
    "{DES-CRYPT}abNANd1rDfiNc",
    "{CRYPT}$y$j9T$abcdefghijklmnopqrstu.$7uryFExhLbAhrpK1WytVzeNObCUVaK3VoKccP3fJEIB",
    "{SSHA}1G904nLkTkGWjKNnQuB/hpWXC/hzYWx0c2FsdA==",
    "{SSHA.b64}1G904nLkTkGWjKNnQuB/hpWXC/hzYWx0c2FsdA==",
    "{SSHA256}oBmrdHcA6OZEkkCLeXh71YAerbvhXz1qqwjrPsXmEtNzYWx0c2FsdA==",
    "{SSHA512}aCu7JRc+kLsuEmFs1zTY+AiP7DSGnjjG+dH28Dp+E5usqoAixeTPihKqZmkWal4mUfp63tqvCAkFV1LKTDFH6XNhbHRzYWx0",
    "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
    "{SHA256.HEX}2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
    "{SHA512}vSsar3708Jvp9Szi2NWZZ02Bqp1qRCFpbcTZPdBhnWgs5WtNZKnvCXdhztmeD2cmW192CF5bDufKRpayrW/isg==",
    "{PLAIN-MD5}5ebe2294ecd0e0f08eab7690d2a6ee69",
    "{PBKDF2}$1$saltsalt$5000$9d0487892cf650c51cd61d0b11d60b9c5114b27e",
    "{PLAIN}secret",
};
static const char *const pencil_hashes[] = {
    "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    "{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=",
};

static void
expect(const char *hash, struct slice password)
{
	struct buf detail BUF_CLEANUP, longer BUF_CLEANUP;

	buf_init(&detail, 1024);
	buf_init(&longer, 1024);
	buf_put(&longer, password);
	buf_put_z(&longer, "x");
	assert_int_equal(password_check_import(slice_z(hash), &detail), 0);
	assert_int_equal(password_verify(slice_z(hash), password), 0);
	assert_int_equal(password_verify(slice_z(hash), SLICE("Secret")), ERR_DENIED);
	assert_int_equal(password_verify(slice_z(hash), SLICE("")), ERR_DENIED);
	if (strstr(hash, "DES") == NULL) /* which looks at 8 bytes only */
		assert_int_equal(password_verify(slice_z(hash), buf_slice(&longer)), ERR_DENIED);
	assert_int_equal(password_verify(slice_z(hash), SLICE("secret\0")), ERR_DENIED);
}

static void
test_known_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(secret_hashes); i++)
		expect(secret_hashes[i], SLICE("secret"));
	for (size_t i = 0; i < COUNT_OF(pencil_hashes); i++)
		expect(pencil_hashes[i], SLICE("pencil"));
}

static void
test_refused_imports(void **state)
{
	static const char *const bad[] = {"", "secret", "{NOPE}x", "{PLAIN}", "{SHA512-CRYPT}$5$abc$def",
	    "{SHA512-CRYPT}", "{CRYPT}", "{SHA512-CRYPT}$6$rounds=99999999$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil",
	    "{BLF-CRYPT}$2b$31$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a", "{SSHA}!!!!", "{SSHA}AAAA",
	    "{SHA}", "{PBKDF2}$1$s$0$9d0487892cf650c51cd61d0b11d60b9c5114b27e", "{PBKDF2}$1$s$9999999999$00",
	    "{PBKDF2}$2$s$1$00", "{SCRAM-SHA-1}0,AAAA,AAAA,AAAA", "{SCRAM-SHA-256}4096,AAAA,AAAA,AAAA",
	    "{SCRAM-SHA-256}4096", "{ARGON2ID}$argon2id$v=19$m=99999999,t=2,p=1$AAAA$AAAA",
	    "{ARGON2ID}$argon2i$v=19$m=64,t=2,p=1$AAAA$AAAA", "{ARGON2ID}x",
	    "{CRYPT}$y$jFT$abcdefghijklmnop$abcdefghijkl", "{CRYPT}$sha1$99999999$abcdefgh$abcdefghijklmnop",
	    "{CRYPT}_zzzzabcdabcdefghijk", "{CRYPT}$7$zzzzzabcdefgh$abcdefghijkl", "{", "}", "{}"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct buf detail BUF_CLEANUP;

		buf_init(&detail, 1024);
		assert_true(password_check_import(slice_z(bad[i]), &detail) < 0);
		assert_true(detail.n > 0);
		assert_true(password_verify(slice_z(bad[i]), SLICE("secret")) < 0);
	}
}

static void
test_ours(void **state)
{
	struct scram_keys like = {.iterations = 4096, .salt = "0123456789abcdef", .salt_n = 16};
	struct house h;
	struct buf hash BUF_CLEANUP, other BUF_CLEANUP;

	(void)state;
	house_init(&h, "test");
	h.limits.argon2_memory_kib = 1024;
	buf_init(&hash, PASSWORD_HASH_MAX);
	buf_init(&other, PASSWORD_HASH_MAX);
	assert_int_equal(password_hash(&h, SLICE("pa\0ss"), &hash), 0);
	assert_int_equal(password_verify(buf_slice(&hash), SLICE("pa\0ss")), 0);
	assert_int_equal(password_verify(buf_slice(&hash), SLICE("pa")), ERR_DENIED);
	assert_true(password_is_current(&h, buf_slice(&hash)));
	assert_int_equal(password_hash(&h, SLICE("pa\0ss"), &other), 0);
	assert_false(slice_eq(buf_slice(&hash), buf_slice(&other)));
	h.limits.argon2_passes = 3;
	assert_false(password_is_current(&h, buf_slice(&hash)));
	assert_false(password_is_current(&h, slice_z(secret_hashes[0])));
	buf_reset(&hash);
	assert_int_equal(password_scram(&h, SCRAM_SHA_256, SLICE("pencil"), &like, &hash), 0);
	assert_int_equal(password_verify(buf_slice(&hash), SLICE("pencil")), 0);
	assert_int_equal(password_verify(buf_slice(&hash), SLICE("pencils")), ERR_DENIED);
	assert_int_equal(password_scram(&h, SCRAM_SHA_1, SLICE("\xff"), &like, &other), ERR_INVALID);
	buf_reset(&other);
	h.limits.password_bytes = 3;
	assert_int_equal(password_hash(&h, SLICE("four"), &other), ERR_LIMIT);
	assert_int_equal(password_scram(&h, SCRAM_SHA_1, SLICE("four"), &like, &other), ERR_LIMIT);
}

/* RFC 4013 §3, and spellings of one password. */
static void
test_prepare(void **state)
{
	static const struct {
		const char *in, *out;
	} good[] = {{"I\xc2\xadX", "IX"}, {"user", "user"}, {"USER", "USER"}, {"\xc2\xaa", "a"}, {"\xe2\x85\xa8", "IX"},
	    {"a\xc2\xa0"
	     "b",
		"a b"},
	    {"u\xcc\x88", "\xc3\xbc"}, {"\xd8\xa7\xd8\xa8", "\xd8\xa7\xd8\xa8"}};
	/* RFC 4013 §3's last two, a control, a private one, both directions */
	static const char *const bad[] = {"\x07", "\xd8\xa7\x31", "a\xc2\x80", "\xee\x80\x80", "\xd8\xa7\x61\xd8\xa7"};
	struct house h;
	struct buf hash BUF_CLEANUP;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		struct buf out BUF_CLEANUP;

		buf_init(&out, 100);
		assert_int_equal(password_prepare(slice_z(good[i].in), &out), 0);
		assert_true(slice_eq(buf_slice(&out), slice_z(good[i].out)));
	}
	house_init(&h, "test");
	h.limits.argon2_memory_kib = 1024;
	buf_init(&hash, PASSWORD_HASH_MAX);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(password_prepare(slice_z(bad[i]), &hash), ERR_INVALID);
	assert_int_equal(password_prepare(SLICE("a\x07"), &hash), ERR_INVALID);
	assert_int_equal(password_prepare(SLICE("\xff"), &hash), ERR_INVALID);
	assert_int_equal(password_hash(&h, SLICE("gr\xc3\xbcn"), &hash), 0);
	assert_int_equal(password_verify(buf_slice(&hash), SLICE("gru\xcc\x88n")), 0);
	/* an imported hash is of the bytes as they were typed */
	assert_int_equal(password_verify(SLICE("{PLAIN}gru\xcc\x88n"), SLICE("gru\xcc\x88n")), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_known_answers),
	    cmocka_unit_test(test_refused_imports),
	    cmocka_unit_test(test_ours),
	    cmocka_unit_test(test_prepare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
