/* RSA keys out of DER: as OpenSSL reads them, of both forms; and each way in which they can be cut short or changed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "trust/dkim_rsa.h"

#include <openssl/err.h>
#include <openssl/x509.h>

static void
both_forms(void **state)
{
	static const size_t bits[] = {512, 1024, 2048, 4096};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bits); i++) {
		EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", bits[i]);
		uint8_t *der[2] = {NULL, NULL};
		int n[2], read_bits;

		assert_non_null(key);
		n[0] = i2d_PUBKEY(key, &der[0]);
		n[1] = i2d_PublicKey(key, &der[1]);
		for (size_t form = 0; form < 2; form++) {
			EVP_PKEY *read = dkim_rsa_open(slice_of(der[form], (size_t)n[form]), 4096, &read_bits);

			assert_non_null(read);
			assert_int_equal(read_bits, (int)bits[i]);
			assert_int_equal(EVP_PKEY_eq(key, read), 1);
			assert_int_equal(EVP_PKEY_get_bits(read), (int)bits[i]);
			EVP_PKEY_free(read);
			for (size_t cut = 0; cut < (size_t)n[form]; cut++)
				assert_null(dkim_rsa_open(slice_of(der[form], cut), 4096, &read_bits));
			assert_null(dkim_rsa_open(slice_of(der[form], (size_t)n[form]), (int)bits[i] - 1, &read_bits));
			assert_int_equal(read_bits, (int)bits[i]);
			OPENSSL_free(der[form]);
		}
		EVP_PKEY_free(key);
	}
}

static void
others(void **state)
{
	static const struct slice rows[] = {SLICE_INIT(""), SLICE_INIT("\x30\x00"), SLICE_INIT("\x30\x80\x02\x01\x01"),
	    SLICE_INIT("\x30\x06\x02\x01\x81\x02\x01\x03"), SLICE_INIT("\x30\x05\x02\x00\x02\x01\x03"),
	    SLICE_INIT("\x30\x07\x02\x01\x21\x02\x01\x03\x00"), SLICE_INIT("\x30\x06\x02\x01\x21\x02\x01\x03\x00"),
	    SLICE_INIT("\x30\x83\x00\x00\x06\x02\x01\x21\x02\x01\x03"), SLICE_INIT("\x31\x06\x02\x01\x21\x02\x01\x03")};
	EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	uint8_t *der = NULL;
	int n = i2d_PUBKEY(other, &der), bits;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_null(dkim_rsa_open(rows[i], 8192, &bits));
	assert_null(dkim_rsa_open(slice_of(der, (size_t)n), 8192, &bits));
	assert_int_equal(bits, 0);
	OPENSSL_free(der);
	EVP_PKEY_free(other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(both_forms),
	    cmocka_unit_test(others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
