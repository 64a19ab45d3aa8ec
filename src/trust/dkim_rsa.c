/* dkim_rsa.c: see the header. */
#include "trust/dkim_rsa.h"

#include "base/cursor.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>

enum { TAG_INTEGER = 0x02, TAG_BIT_STRING = 0x03, TAG_SEQUENCE = 0x30 };

/* rsaEncryption, and its parameters, NULL (RFC 8017 appendix A.1). */
static const struct slice algorithm = SLICE_INIT("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00");

/* The content of the next element, which must have this tag. Lengths of up to three bytes, in their shortest form. */
static struct slice
element(struct cursor *c, uint8_t tag)
{
	size_t n, bytes;

	cursor_expect_byte(c, tag);
	n = cursor_u8(c);
	if (n >= 0x80) {
		bytes = n & 0x7f;
		n = 0;
		if (bytes == 0 || bytes > 3)
			cursor_fail(c, ERR_SYNTAX);
		for (size_t i = 0; c->err == 0 && i < bytes; i++)
			n = n << 8 | cursor_u8(c);
		if (n < 0x80 || (bytes > 1 && n >> (8 * (bytes - 1)) == 0))
			cursor_fail(c, ERR_SYNTAX);
	}
	return cursor_take(c, n);
}

/* A positive INTEGER without the zero that keeps it positive. */
static struct slice
positive(struct cursor *c)
{
	struct slice s = element(c, TAG_INTEGER);

	if (s.n == 0 || slice_at(s, 0) >= 0x80)
		cursor_fail(c, ERR_SYNTAX);
	else if (slice_at(s, 0) == 0)
		s = slice_from(s, 1);
	if (s.n == 0 || slice_at(s, 0) == 0)
		cursor_fail(c, ERR_SYNTAX);
	return s;
}

/* RSAPublicKey. */
static bool
read_key(struct slice der, struct slice *modulus, struct slice *exponent)
{
	struct cursor outer = cursor_of(der), c = cursor_of(element(&outer, TAG_SEQUENCE));

	*modulus = positive(&c);
	*exponent = positive(&c);
	return outer.err == 0 && cursor_end(&outer) && c.err == 0 && cursor_end(&c);
}

/* The RSAPublicKey in a SubjectPublicKeyInfo. */
static bool
unwrap(struct slice der, struct slice *key)
{
	struct cursor outer = cursor_of(der), c = cursor_of(element(&outer, TAG_SEQUENCE));
	struct slice kind = element(&c, TAG_SEQUENCE), bits = element(&c, TAG_BIT_STRING);

	if (outer.err != 0 || !cursor_end(&outer) || c.err != 0 || !cursor_end(&c) || !slice_eq(kind, algorithm) ||
	    bits.n == 0 || slice_at(bits, 0) != 0)
		return false;
	*key = slice_from(bits, 1);
	return true;
}

static int
bit_count(struct slice number)
{
	int n = (int)(number.n - 1) * 8;

	for (uint8_t top = slice_at(number, 0); top != 0; top >>= 1)
		n++;
	return n;
}

static void
free_bn(BIGNUM **b)
{
	BN_free(*b);
}
static void
free_bld(OSSL_PARAM_BLD **b)
{
	OSSL_PARAM_BLD_free(*b);
}
static void
free_param(OSSL_PARAM **p)
{
	OSSL_PARAM_free(*p);
}
static void
free_ctx(EVP_PKEY_CTX **c)
{
	EVP_PKEY_CTX_free(*c);
}

static EVP_PKEY *
make(struct slice modulus, struct slice exponent)
{
	BIGNUM *n __attribute__((cleanup(free_bn))) = BN_bin2bn(modulus.p, (int)modulus.n, NULL);
	BIGNUM *e __attribute__((cleanup(free_bn))) = BN_bin2bn(exponent.p, (int)exponent.n, NULL);
	OSSL_PARAM_BLD *b __attribute__((cleanup(free_bld))) = OSSL_PARAM_BLD_new();
	OSSL_PARAM *p __attribute__((cleanup(free_param))) = NULL;
	EVP_PKEY_CTX *c __attribute__((cleanup(free_ctx))) = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *key = NULL;

	if (n == NULL || e == NULL || b == NULL || c == NULL ||
	    OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
	    OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, e) != 1)
		return NULL;
	p = OSSL_PARAM_BLD_to_param(b);
	if (p == NULL || EVP_PKEY_fromdata_init(c) != 1 || EVP_PKEY_fromdata(c, &key, EVP_PKEY_PUBLIC_KEY, p) != 1)
		return NULL;
	return key;
}

EVP_PKEY *
dkim_rsa_open(struct slice der, int bits_max, int *bits)
{
	struct slice key = der, modulus, exponent;

	*bits = 0;
	if (der.n > (size_t)1 << 16 ||
	    (!read_key(der, &modulus, &exponent) && (!unwrap(der, &key) || !read_key(key, &modulus, &exponent))))
		return NULL;
	*bits = bit_count(modulus);
	return *bits > bits_max || exponent.n > modulus.n ? NULL : make(modulus, exponent);
}
