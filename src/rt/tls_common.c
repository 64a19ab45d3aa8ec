/* tls_common.c: what TLS servers and clients share. */
#include "rt/tls_private.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#define CHAIN_MAX 1000

int
tls_context_new(SSL_CTX **out, const SSL_METHOD *method)
{
	SSL_CTX *c;

	ERR_clear_error();
	*out = c = SSL_CTX_new(method);
	if (c == NULL || SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set1_groups_list(c, "X25519:P-256:P-384:P-521") != 1) {
		SSL_CTX_free(c);
		*out = NULL;
		ERR_clear_error();
		return ERR_NOMEM;
	}
	/* Mail protocols mark the ends of what they carry, so an end without close_notify is an end like another. */
	(void)SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	(void)SSL_CTX_set_mode(c,
	    SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
		SSL_MODE_AUTO_RETRY);
	(void)SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_read_ahead(c, 1);
	return 0;
}

void
tls_error_text(char *out, size_t max)
{
	unsigned long e = ERR_get_error();
	const char *reason = ERR_reason_error_string(e);

	(void)snprintf(out, max, "%s",
	    e == 0               ? "the connection ended"
		: reason != NULL ? reason
				 : "an unknown TLS error");
	ERR_clear_error();
}

int
tls_parse_pem(struct slice pem, STACK_OF(X509) * *out)
{
	STACK_OF(X509) *v = sk_X509_new_null();
	BIO *b;
	X509 *x;
	int r = 0;

	*out = NULL;
	ERR_clear_error();
	b = pem.n > INT32_MAX || pem.n == 0 ? NULL : BIO_new_mem_buf(pem.p, (int)pem.n);
	if (v == NULL || b == NULL)
		r = pem.n == 0 ? ERR_SYNTAX : pem.n > INT32_MAX ? ERR_LIMIT : ERR_NOMEM;
	while (r == 0 && (x = PEM_read_bio_X509(b, NULL, NULL, NULL)) != NULL) {
		if (sk_X509_num(v) >= CHAIN_MAX)
			r = ERR_LIMIT;
		else if (sk_X509_push(v, x) > 0)
			continue;
		else
			r = ERR_NOMEM;
		X509_free(x);
	}
	/* Anything but "no further block" is damage, and so is a text without a certificate. */
	if (r == 0 && (sk_X509_num(v) == 0 || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE))
		r = ERR_SYNTAX;
	ERR_clear_error();
	BIO_free(b);
	if (r != 0)
		sk_X509_pop_free(v, X509_free);
	else
		*out = v;
	return r;
}
