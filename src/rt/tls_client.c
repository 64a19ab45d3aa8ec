/* tls_client.c: what a client expects of servers. */
#include "rt/tls_private.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

/* Where systems keep their roots in one file. It is read when the client is made: a sandbox may close later. */
static const char *const root_files[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
};

static int
load_roots(SSL_CTX *ctx, struct slice ca_pem, struct buf *detail)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	STACK_OF(X509) * v;
	int r;

	if (ca_pem.n == 0) {
		for (size_t i = 0; i < COUNT_OF(root_files); i++)
			if (access(root_files[i], R_OK) == 0 && X509_STORE_load_file(store, root_files[i]) == 1)
				return 0;
		if (SSL_CTX_set_default_verify_paths(ctx) == 1)
			return 0;
		buf_put_z(detail, "the system's root certificates cannot be read");
		return ERR_NOTFOUND;
	}
	r = tls_parse_pem(ca_pem, &v);
	if (r != 0) {
		buf_put_z(detail, "the root certificates are not PEM certificates that can be read");
		return r;
	}
	for (int i = 0; r == 0 && i < sk_X509_num(v); i++)
		if (X509_STORE_add_cert(store, sk_X509_value(v, i)) != 1)
			r = ERR_NOMEM;
	sk_X509_pop_free(v, X509_free);
	return r;
}

int
tls_client_new(struct tls_client **out, struct loop *l, const struct tls_client_config *c, struct buf *detail)
{
	struct tls_client *t = calloc(1, sizeof(*t));
	/* Without verification an anonymous server is no worse than another (RFC 7435 §3), and old parameters are better
	 * than none. */
	const char *ciphers = c->opportunistic ? "ALL:!eNULL:@SECLEVEL=0" : "HIGH:!aNULL:!eNULL";
	int r;

	(void)l;
	*out = NULL;
	if (t == NULL)
		return ERR_NOMEM;
	t->verify = c->verify && !c->opportunistic;
	r = tls_context_new(&t->ctx, TLS_client_method());
	if (r == 0 && SSL_CTX_set_cipher_list(t->ctx, ciphers) != 1)
		r = ERR_TLS;
	if (r == 0 && t->verify && SSL_CTX_dane_enable(t->ctx) != 1)
		r = ERR_NOMEM;
	if (r == 0 && t->verify && !c->no_roots)
		r = load_roots(t->ctx, c->ca_pem, detail);
	ERR_clear_error();
	if (r != 0) {
		if (detail->n == 0)
			buf_put_z(detail, err_text(r));
		tls_client_free(&t);
		return r;
	}
	SSL_CTX_set_verify(t->ctx, t->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	*out = t;
	return 0;
}

void
tls_client_free(struct tls_client **tp)
{
	struct tls_client *t = *tp;

	if (t == NULL)
		return;
	*tp = NULL;
	SSL_CTX_free(t->ctx);
	free(t);
}
