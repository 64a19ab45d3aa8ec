/* tls_key.c: keys that are not here. OpenSSL is given a key object whose public half comes from the certificate and
 * whose signing function asks the signer, which may park the handshaking fiber. Providers, which OpenSSL 3 would
 * rather have, offer no way to do this for a single key, so the methods of 1.1 are used, in this file only. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "rt/tls_private.h"

#include "base/log.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#define SIGNATURE_MAX 4096
/* The slot that OpenSSL reserves for the application. */
#define APP_DATA 0

struct tls_key_methods {
	RSA_METHOD *rsa;
	EC_KEY_METHOD *ec;
};

/* The length of the signature put to out[max], or 0. */
static size_t
ask(struct tls_entry *e, enum tls_sign_kind kind, struct slice input, uint8_t *out, size_t max)
{
	BUF_CLEANUP struct buf sig;
	int r;

	buf_init(&sig, SIGNATURE_MAX);
	r = e->signer.sign(e->signer.arg, slice_of(e->key_id, e->key_id_n), kind, input, &sig);
	/* Other fibers have used OpenSSL meanwhile, and its error queue is the thread's. */
	ERR_clear_error();
	if (r == 0)
		r = sig.err != 0 ? sig.err : sig.n == 0 || sig.n > max ? ERR_INVALID : 0;
	if (r != 0) {
		LOG(loop_house(e->loop), WARN, "tls_sign_failed", LOG_S("key", slice_of(e->key_id, e->key_id_n)),
		    LOG_E(r));
		return 0;
	}
	memcpy(out, sig.p, sig.n);
	return sig.n;
}

static int
rsa_sign(int n, const unsigned char *from, unsigned char *to, RSA *rsa, int padding)
{
	size_t size = (size_t)RSA_size(rsa);
	enum tls_sign_kind kind = padding == RSA_NO_PADDING ? TLS_SIGN_RSA_RAW : TLS_SIGN_RSA_PKCS1;

	if (n <= 0 || (padding != RSA_NO_PADDING && padding != RSA_PKCS1_PADDING))
		return -1;
	return ask(RSA_get_ex_data(rsa, APP_DATA), kind, slice_of(from, (size_t)n), to, size) == size ? (int)size : -1;
}

/* There is no static-RSA key exchange here, and nothing else decrypts. */
static int
rsa_refuse(int n, const unsigned char *from, unsigned char *to, RSA *rsa, int padding)
{
	(void)n;
	(void)from;
	(void)to;
	(void)rsa;
	(void)padding;
	return -1;
}

static int
ec_sign(int type, const unsigned char *digest, int n, unsigned char *sig, unsigned int *sig_n, const BIGNUM *kinv,
    const BIGNUM *r, EC_KEY *key)
{
	(void)type;
	(void)kinv;
	(void)r;
	if (n <= 0)
		return 0;
	*sig_n = (unsigned)ask(EC_KEY_get_ex_data(key, APP_DATA), TLS_SIGN_ECDSA, slice_of(digest, (size_t)n), sig,
	    (size_t)ECDSA_size(key));
	return *sig_n > 0;
}

int
tls_key_methods_new(struct tls_key_methods **out)
{
	struct tls_key_methods *m = calloc(1, sizeof(*m));

	*out = NULL;
	if (m == NULL)
		return ERR_NOMEM;
	m->rsa = RSA_meth_dup(RSA_PKCS1_OpenSSL());
	m->ec = EC_KEY_METHOD_new(EC_KEY_OpenSSL());
	if (m->rsa == NULL || m->ec == NULL || RSA_meth_set_priv_enc(m->rsa, rsa_sign) != 1 ||
	    RSA_meth_set_priv_dec(m->rsa, rsa_refuse) != 1) {
		tls_key_methods_free(&m);
		return ERR_NOMEM;
	}
	EC_KEY_METHOD_set_sign(m->ec, ec_sign, NULL, NULL);
	*out = m;
	return 0;
}

void
tls_key_methods_free(struct tls_key_methods **mp)
{
	struct tls_key_methods *m = *mp;

	if (m == NULL)
		return;
	*mp = NULL;
	RSA_meth_free(m->rsa);
	EC_KEY_METHOD_free(m->ec);
	free(m);
}

static int
make_ec(const struct tls_key_methods *m, struct tls_entry *e, EVP_PKEY *public)
{
	EC_KEY *shared = EVP_PKEY_get1_EC_KEY(public);
	EC_KEY *key = shared == NULL ? NULL : EC_KEY_dup(shared);

	EC_KEY_free(shared);
	e->type = TLS_KEY_EC;
	if (key != NULL && EC_KEY_set_method(key, m->ec) == 1 && EC_KEY_set_ex_data(key, APP_DATA, e) == 1 &&
	    EVP_PKEY_assign_EC_KEY(e->key, key) == 1)
		return 0;
	EC_KEY_free(key);
	return ERR_NOMEM;
}

static int
make_rsa(const struct tls_key_methods *m, struct tls_entry *e, EVP_PKEY *public)
{
	RSA *shared = EVP_PKEY_get1_RSA(public);
	RSA *key = shared == NULL ? NULL : RSAPublicKey_dup(shared);

	RSA_free(shared);
	e->type = TLS_KEY_RSA;
	if (key != NULL && RSA_set_method(key, m->rsa) == 1 && RSA_set_ex_data(key, APP_DATA, e) == 1 &&
	    EVP_PKEY_assign_RSA(e->key, key) == 1)
		return 0;
	RSA_free(key);
	return ERR_NOMEM;
}

int
tls_key_make(const struct tls_key_methods *m, struct tls_entry *e)
{
	EVP_PKEY *public = X509_get0_pubkey(e->leaf);
	int r = ERR_UNSUPPORTED;

	ERR_clear_error();
	e->key = EVP_PKEY_new();
	if (e->key == NULL)
		return ERR_NOMEM;
	if (public != NULL && EVP_PKEY_get_base_id(public) == EVP_PKEY_EC)
		r = make_ec(m, e, public);
	else if (public != NULL && EVP_PKEY_get_base_id(public) == EVP_PKEY_RSA)
		r = make_rsa(m, e, public);
	ERR_clear_error();
	return r;
}
