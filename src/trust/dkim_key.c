/* dkim_key.c: see the header. OpenSSL's error queue is left empty. */
#include "trust/dkim_key.h"

#include "trust/dkim_rsa.h"
#include "trust/tag_list.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#define KEY_TEXT_MAX 4096    /* base64 of an RSA key of 16,384 bits is less */
#define RSA_EXPONENT_BITS 64 /* larger ones only cost time */
#define ED25519_BYTES 32

static const char *const algorithms[] = {
    [DKIM_ALGORITHM_UNKNOWN] = "",
    [DKIM_RSA_SHA256] = "rsa-sha256",
    [DKIM_ED25519_SHA256] = "ed25519-sha256",
    [DKIM_RSA_SHA1] = "rsa-sha1",
};

const char *
dkim_algorithm_name(enum dkim_algorithm a)
{
	ASSERT((size_t)a < COUNT_OF(algorithms));
	return algorithms[a];
}

enum dkim_algorithm
dkim_algorithm_of(struct slice name)
{
	for (size_t i = 1; i < COUNT_OF(algorithms); i++)
		if (slice_ieq(name, slice_z(algorithms[i])))
			return (enum dkim_algorithm)i;
	return DKIM_ALGORITHM_UNKNOWN;
}

/* ---- records ---------------------------------------------------------------------------------------------------------- */

static struct slice
value_or(const struct tag_list *l, struct slice name, struct slice otherwise)
{
	const struct tag *t = tag_list_find(l, name);

	return t == NULL ? otherwise : t->value;
}

static int
decode_key(struct arena *a, struct slice text, struct slice *out)
{
	struct buf key BUF_CLEANUP;
	int err;

	buf_init(&key, KEY_TEXT_MAX);
	err = text.n > KEY_TEXT_MAX ? ERR_LIMIT : buf_put_unbase64(&key, tag_without_space(a, text));
	if (err != 0)
		return err;
	*out = arena_copy(a, buf_slice(&key));
	return arena_failed(a) ? ERR_NOMEM : 0;
}

int
dkim_record_parse(struct arena *a, struct slice text, struct dkim_record *out, const char **why)
{
	struct tag_list tags;
	const struct tag *p;
	struct slice kind;

	*out = (struct dkim_record){0};
	*why = "it is no list of tags";
	if (tag_list_parse(text, &tags) != 0)
		return ERR_SYNTAX;
	*why = "its version is not DKIM1";
	if (tag_list_find(&tags, SLICE("v")) != NULL &&
	    (!slice_eq(tags.v[0].name, SLICE("v")) || !slice_eq(tags.v[0].value, SLICE("DKIM1"))))
		return ERR_SYNTAX;
	*why = "it has no p=";
	p = tag_list_find(&tags, SLICE("p"));
	if (p == NULL)
		return ERR_SYNTAX;
	kind = value_or(&tags, SLICE("k"), SLICE("rsa"));
	out->algorithm = slice_eq(kind, SLICE("rsa")) ? DKIM_RSA_SHA256
	    : slice_eq(kind, SLICE("ed25519"))        ? DKIM_ED25519_SHA256
						      : DKIM_ALGORITHM_UNKNOWN;
	out->revoked = p->value.n == 0;
	out->testing = tag_names(value_or(&tags, SLICE("t"), SLICE_EMPTY), SLICE("y"));
	out->strict = tag_names(value_or(&tags, SLICE("t"), SLICE_EMPTY), SLICE("s"));
	out->email = tag_names(value_or(&tags, SLICE("s"), SLICE("*")), SLICE("*")) ||
	    tag_names(value_or(&tags, SLICE("s"), SLICE("*")), SLICE("email"));
	out->sha256 = tag_names(value_or(&tags, SLICE("h"), SLICE("sha256")), SLICE("sha256"));
	*why = "its p= is not base64";
	if (out->revoked)
		return 0;
	return decode_key(a, p->value, &out->key) == ERR_NOMEM ? ERR_NOMEM : out->key.n > 0 ? 0 : ERR_SYNTAX;
}

static void
free_der(uint8_t **der)
{
	OPENSSL_free(*der);
}

int
dkim_record_put(EVP_PKEY *key, struct buf *out)
{
	uint8_t raw[ED25519_BYTES], *der __attribute__((cleanup(free_der))) = NULL;
	size_t n = sizeof(raw);
	int der_n;

	if (dkim_key_algorithm(key) == DKIM_ED25519_SHA256) {
		if (EVP_PKEY_get_raw_public_key(key, raw, &n) != 1)
			return ERR_INVALID;
		buf_put_z(out, "v=DKIM1; k=ed25519; p=");
		buf_put_base64(out, slice_of(raw, n));
		return out->err;
	}
	der_n = i2d_PUBKEY(key, &der);
	if (dkim_key_algorithm(key) != DKIM_RSA_SHA256 || der_n <= 0)
		return ERR_INVALID;
	buf_put_z(out, "v=DKIM1; k=rsa; p=");
	buf_put_base64(out, slice_of(der, (size_t)der_n));
	return out->err;
}

/* ---- keys ---------------------------------------------------------------------------------------------------------------- */

void
dkim_key_free(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
	*key = NULL;
}

enum dkim_algorithm
dkim_key_algorithm(EVP_PKEY *key)
{
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_RSA: return DKIM_RSA_SHA256;
	case EVP_PKEY_ED25519: return DKIM_ED25519_SHA256;
	default: return DKIM_ALGORITHM_UNKNOWN;
	}
}

static bool
exponent_is_small(EVP_PKEY *key)
{
	BIGNUM *e = NULL;
	bool small = EVP_PKEY_get_bn_param(key, "e", &e) == 1 && BN_num_bits(e) <= RSA_EXPONENT_BITS;

	BN_free(e);
	return small;
}

static const char *
rsa_fault(EVP_PKEY *key, int bits)
{
	if (bits < DKIM_RSA_BITS_MIN)
		return "the RSA key has less than 1024 bits";
	if (bits > DKIM_RSA_BITS_MAX)
		return "the RSA key has more than 8192 bits";
	return exponent_is_small(key) ? NULL : "the RSA key has too large an exponent";
}

int
dkim_key_open(const struct dkim_record *r, EVP_PKEY **out, int *bits, const char **why)
{
	EVP_PKEY *key DKIM_KEY_CLEANUP = NULL;

	*out = NULL;
	*bits = 0;
	ERR_clear_error();
	if (r->algorithm == DKIM_ED25519_SHA256 && r->key.n == ED25519_BYTES)
		key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, r->key.p, r->key.n);
	else if (r->algorithm == DKIM_RSA_SHA256)
		key = dkim_rsa_open(r->key, DKIM_RSA_BITS_MAX, bits);
	ERR_clear_error();
	*why = "p= holds no key of the kind that k= names";
	if (key == NULL && *bits <= DKIM_RSA_BITS_MAX)
		return ERR_INVALID;
	if (r->algorithm == DKIM_RSA_SHA256)
		*why = rsa_fault(key, *bits);
	else
		*bits = EVP_PKEY_get_bits(key);
	ERR_clear_error();
	if (r->algorithm == DKIM_RSA_SHA256 && *why != NULL)
		return ERR_INVALID;
	*out = key;
	key = NULL;
	return 0;
}

static void
free_pkey_ctx(EVP_PKEY_CTX **c)
{
	EVP_PKEY_CTX_free(*c);
}
static void
free_md_ctx(EVP_MD_CTX **c)
{
	EVP_MD_CTX_free(*c);
}
#define PKEY_CTX_CLEANUP __attribute__((cleanup(free_pkey_ctx)))
#define MD_CTX_CLEANUP __attribute__((cleanup(free_md_ctx)))

bool
dkim_key_verify(EVP_PKEY *key, const uint8_t hash[DKIM_HASH_BYTES], struct slice signature)
{
	EVP_PKEY_CTX *c PKEY_CTX_CLEANUP = NULL;
	EVP_MD_CTX *m MD_CTX_CLEANUP = NULL;
	bool good = false;

	ERR_clear_error();
	if (dkim_key_algorithm(key) == DKIM_ED25519_SHA256) {
		m = EVP_MD_CTX_new();
		good = m != NULL && EVP_DigestVerifyInit(m, NULL, NULL, NULL, key) == 1 &&
		    EVP_DigestVerify(m, signature.p, signature.n, hash, DKIM_HASH_BYTES) == 1;
	} else if (dkim_key_algorithm(key) == DKIM_RSA_SHA256) {
		c = EVP_PKEY_CTX_new(key, NULL);
		good = c != NULL && EVP_PKEY_verify_init(c) == 1 &&
		    EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PADDING) == 1 &&
		    EVP_PKEY_CTX_set_signature_md(c, EVP_sha256()) == 1 &&
		    EVP_PKEY_verify(c, signature.p, signature.n, hash, DKIM_HASH_BYTES) == 1;
	}
	ERR_clear_error();
	return good;
}

int
dkim_key_sign(EVP_PKEY *key, const uint8_t hash[DKIM_HASH_BYTES], uint8_t out[DKIM_SIGNATURE_BYTES_MAX], size_t *n)
{
	EVP_PKEY_CTX *c PKEY_CTX_CLEANUP = NULL;
	EVP_MD_CTX *m MD_CTX_CLEANUP = NULL;
	enum dkim_algorithm a = dkim_key_algorithm(key);
	bool good;

	*n = DKIM_SIGNATURE_BYTES_MAX;
	if (a == DKIM_ALGORITHM_UNKNOWN || (size_t)EVP_PKEY_get_size(key) > DKIM_SIGNATURE_BYTES_MAX)
		return ERR_INVALID;
	ERR_clear_error();
	if (a == DKIM_ED25519_SHA256) {
		m = EVP_MD_CTX_new();
		good = m != NULL && EVP_DigestSignInit(m, NULL, NULL, NULL, key) == 1 &&
		    EVP_DigestSign(m, out, n, hash, DKIM_HASH_BYTES) == 1;
	} else {
		c = EVP_PKEY_CTX_new(key, NULL);
		good = c != NULL && EVP_PKEY_sign_init(c) == 1 &&
		    EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PADDING) == 1 &&
		    EVP_PKEY_CTX_set_signature_md(c, EVP_sha256()) == 1 &&
		    EVP_PKEY_sign(c, out, n, hash, DKIM_HASH_BYTES) == 1;
	}
	ERR_clear_error();
	return good ? 0 : ERR_TLS;
}
