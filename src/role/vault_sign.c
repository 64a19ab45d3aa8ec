/* vault_sign.c: what may be signed, and signing it. */
#include "role/vault_keys.h"

#include <openssl/err.h>
#include <openssl/rsa.h>

/* RFC 8017 §9.2 notes: the DER in front of the digest. */
static const struct {
	struct slice prefix;
	size_t digest_n;
} digest_infos[] = {
    {SLICE_INIT("\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"), 32},
    {SLICE_INIT("\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30"), 48},
    {SLICE_INIT("\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40"), 64},
};

static bool
is_digest_info(struct slice in)
{
	for (size_t i = 0; i < COUNT_OF(digest_infos); i++)
		if (in.n == digest_infos[i].prefix.n + digest_infos[i].digest_n &&
		    slice_starts(in, digest_infos[i].prefix))
			return true;
	return false;
}

/* RFC 8017 appendix B.2.1. */
static bool
mgf1(const EVP_MD *md, struct slice seed, uint8_t *mask, size_t n)
{
	size_t digest_n = (size_t)EVP_MD_get_size(md), done = 0;
	uint8_t digest[EVP_MAX_MD_SIZE], counter[4];
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool good = c != NULL;

	for (uint32_t i = 0; good && done < n; i++) {
		size_t part = n - done < digest_n ? n - done : digest_n;

		counter[0] = (uint8_t)(i >> 24);
		counter[1] = (uint8_t)(i >> 16);
		counter[2] = (uint8_t)(i >> 8);
		counter[3] = (uint8_t)i;
		good = EVP_DigestInit_ex(c, md, NULL) == 1 && EVP_DigestUpdate(c, seed.p, seed.n) == 1 &&
		    EVP_DigestUpdate(c, counter, 4) == 1 && EVP_DigestFinal_ex(c, digest, NULL) == 1;
		if (good)
			memcpy(mask + done, digest, part);
		done += part;
	}
	EVP_MD_CTX_free(c);
	return good;
}

/* RFC 8017 §9.1.2 steps 3 to 10, with the salt as long as the digest (RFC 8446 §4.2.3): what is masked must be zeros, 0x01,
 * salt. A block of any other origin passes with a chance of 2^-1000. */
static bool
is_pss_of(struct slice em, size_t bits, const EVP_MD *md)
{
	size_t h = (size_t)EVP_MD_get_size(md), db_n;
	uint8_t mask[VAULT_SIGNATURE_MAX];
	uint8_t unused = (uint8_t)(0xff << (8 - (8 * em.n - bits)));

	if (em.n < 2 * h + 2 || em.n > sizeof(mask) || slice_at(em, em.n - 1) != 0xbc ||
	    (slice_at(em, 0) & unused) != 0)
		return false;
	db_n = em.n - h - 1;
	if (!mgf1(md, slice_range(em, db_n, db_n + h), mask, db_n))
		return false;
	for (size_t i = 0; i < db_n; i++)
		mask[i] ^= slice_at(em, i);
	mask[0] &= (uint8_t)~unused;
	for (size_t i = 0; i < db_n - h - 1; i++)
		if (mask[i] != 0)
			return false;
	return mask[db_n - h - 1] == 1;
}

static bool
is_pss(struct slice in, EVP_PKEY *pkey)
{
	size_t size = (size_t)EVP_PKEY_get_size(pkey), bits = (size_t)EVP_PKEY_get_bits(pkey) - 1;
	struct slice em = in;

	if (in.n != size || bits < 2047)
		return false;
	if (bits % 8 == 0) { /* the encoded message is a byte shorter than the modulus */
		if (slice_at(in, 0) != 0)
			return false;
		em = slice_from(in, 1);
	}
	return is_pss_of(em, bits, EVP_sha256()) || is_pss_of(em, bits, EVP_sha384()) ||
	    is_pss_of(em, bits, EVP_sha512());
}

/* RFC 8446 §4.4.3, or RFC 8422 §5.4: two randoms, then named_curve with a point. */
static bool
is_handshake_message(struct slice in)
{
	static const struct slice context = SLICE_INIT("TLS 1.3, server CertificateVerify");
	struct slice text;

	if (in.n < 64)
		return false;
	text = slice_from(in, 64);
	if (slice_starts(text, context) && text.n > context.n && slice_at(text, context.n) == 0) {
		for (size_t i = 0; i < 64; i++)
			if (slice_at(in, i) != ' ')
				return false;
		return text.n == context.n + 1 + 32 || text.n == context.n + 1 + 48;
	}
	return text.n >= 4 && slice_at(text, 0) == 3 && text.n == 4 + (size_t)slice_at(text, 3);
}

bool
vault_sign_shape(EVP_PKEY *pkey, enum tls_sign_kind kind, struct slice input)
{
	int type = EVP_PKEY_get_base_id(pkey);

	switch (kind) {
	case TLS_SIGN_ECDSA: return type == EVP_PKEY_EC && (input.n == 32 || input.n == 48 || input.n == 64);
	case TLS_SIGN_RSA_PKCS1: return type == EVP_PKEY_RSA && is_digest_info(input);
	case TLS_SIGN_RSA_RAW: return type == EVP_PKEY_RSA && is_pss(input, pkey);
	case TLS_SIGN_ED25519: return type == EVP_PKEY_ED25519 && is_handshake_message(input);
	}
	return false;
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

int
vault_sign_raw(EVP_PKEY *pkey, enum tls_sign_kind kind, struct slice input, uint8_t out[VAULT_SIGNATURE_MAX], size_t *n)
{
	EVP_PKEY_CTX *c __attribute__((cleanup(free_pkey_ctx))) = NULL;
	EVP_MD_CTX *m __attribute__((cleanup(free_md_ctx))) = NULL;
	bool good;

	ERR_clear_error();
	*n = VAULT_SIGNATURE_MAX;
	if (kind == TLS_SIGN_ED25519) {
		m = EVP_MD_CTX_new();
		good = m != NULL && EVP_DigestSignInit(m, NULL, NULL, NULL, pkey) == 1 &&
		    EVP_DigestSign(m, out, n, input.p, input.n) == 1;
	} else {
		c = EVP_PKEY_CTX_new(pkey, NULL);
		good = c != NULL && EVP_PKEY_sign_init(c) == 1;
		if (good && kind == TLS_SIGN_RSA_PKCS1)
			good = EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PADDING) == 1;
		if (good && kind == TLS_SIGN_RSA_RAW)
			good = EVP_PKEY_CTX_set_rsa_padding(c, RSA_NO_PADDING) == 1;
		good = good && EVP_PKEY_sign(c, out, n, input.p, input.n) == 1;
	}
	ERR_clear_error();
	return good ? 0 : ERR_TLS;
}
