#include "trust/dkim_rsa.h"

#include "base/cursor.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>

#define DER_INTEGER 0x02
#define DER_BIT_STRING 0x03
#define DER_SEQUENCE 0x30

/* ---- DER --------------------------------------------------------------------------------------------------- */

/* A length of up to two bytes of its own (X.690 §8.1.3). */
static size_t
take_length(struct cursor *c)
{
	uint8_t first = cursor_u8(c);

	if (first < 0x80)
		return first;
	if (first == 0x81)
		return cursor_u8(c);
	if (first == 0x82)
		return cursor_be16(c);
	cursor_fail(c, ERR_SYNTAX);
	return 0;
}

/* The content of the next value, which must have this tag. */
static struct slice
take(struct cursor *c, uint8_t tag)
{
	cursor_expect_byte(c, tag);
	return cursor_take(c, take_length(c));
}

/* A positive INTEGER. */
static struct slice
take_number(struct cursor *c)
{
	struct slice s = take(c, DER_INTEGER);

	if (s.n == 0 || slice_at(s, 0) >= 0x80)
		cursor_fail(c, ERR_SYNTAX);
	return s;
}

/* RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER } (RFC 8017 §A.1.1) */
static int
read_numbers(struct slice sequence, struct slice *n, struct slice *e)
{
	struct cursor c = cursor_of(sequence);

	*n = take_number(&c);
	*e = take_number(&c);
	return c.err == 0 && cursor_end(&c) ? 0 : ERR_SYNTAX;
}

/* What is within the outer sequence of either form. */
static int
read_key(struct slice sequence, struct slice *n, struct slice *e)
{
	static const uint8_t rsa_encryption[] = {
	    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
	struct cursor c = cursor_of(sequence), inner;
	struct slice algorithm, bits;

	if (cursor_peek(&c) == DER_INTEGER)
		return read_numbers(sequence, n, e);
	algorithm = take(&c, DER_SEQUENCE);
	bits = take(&c, DER_BIT_STRING);
	if (c.err != 0 || !cursor_end(&c) || !slice_eq(algorithm, slice_of(rsa_encryption, sizeof(rsa_encryption))))
		return ERR_SYNTAX;
	inner = cursor_of(bits);
	cursor_expect_byte(&inner, 0); /* no unused bits */
	sequence = take(&inner, DER_SEQUENCE);
	return inner.err == 0 && cursor_end(&inner) ? read_numbers(sequence, n, e) : ERR_SYNTAX;
}

/* ---- the key ------------------------------------------------------------------------------------------------- */

/* What OpenSSL wants to make a key of two numbers. */
struct making {
	BIGNUM *n, *e;
	OSSL_PARAM_BLD *build;
	OSSL_PARAM *params;
	EVP_PKEY_CTX *ctx;
};

static void
making_end(struct making *m)
{
	EVP_PKEY_CTX_free(m->ctx);
	OSSL_PARAM_free(m->params);
	OSSL_PARAM_BLD_free(m->build);
	BN_free(m->e);
	BN_free(m->n);
}

static EVP_PKEY *
make_key(struct slice n, struct slice e)
{
	__attribute__((cleanup(making_end))) struct making m = {.n = BN_bin2bn(n.p, (int)n.n, NULL),
	    .e = BN_bin2bn(e.p, (int)e.n, NULL),
	    .build = OSSL_PARAM_BLD_new(),
	    .ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL)};
	EVP_PKEY *key = NULL;

	if (m.n == NULL || m.e == NULL || m.build == NULL || m.ctx == NULL ||
	    OSSL_PARAM_BLD_push_BN(m.build, OSSL_PKEY_PARAM_RSA_N, m.n) != 1 ||
	    OSSL_PARAM_BLD_push_BN(m.build, OSSL_PKEY_PARAM_RSA_E, m.e) != 1)
		return NULL;
	m.params = OSSL_PARAM_BLD_to_param(m.build);
	if (m.params == NULL || EVP_PKEY_fromdata_init(m.ctx) != 1 ||
	    EVP_PKEY_fromdata(m.ctx, &key, EVP_PKEY_PUBLIC_KEY, m.params) != 1)
		return NULL;
	return key;
}

EVP_PKEY *
dkim_rsa_open(struct slice der)
{
	struct cursor c = cursor_of(der);
	struct slice sequence = take(&c, DER_SEQUENCE), n, e;

	if (c.err != 0 || !cursor_end(&c) || read_key(sequence, &n, &e) != 0)
		return NULL;
	return make_key(n, e);
}
