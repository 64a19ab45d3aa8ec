/* tls_peer.c: certificates of clients. A server that asks for them takes any into the handshake, and none too: what a
 * certificate is good for is decided by those who know accounts. What the handshake adds is that the client has its key, and
 * whether one of the configured authorities vouches for it.
 *
 * A resumed session has the certificate of the first one, which the ticket carries, and what came of its check then. The
 * tickets of a server that asks otherwise, or trusts others, are not taken: they are of another session id context. */
#include "rt/stream_private.h"
#include "rt/tls_private.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#define CHAIN_DEPTH_MAX 10
#define CHAIN_BYTES_MAX 32768
#define NAME_BYTES_MAX 320 /* RFC 5321 §4.5.3.1: 64 and 255, and what is between */
_Static_assert(TLS_PEER_FINGERPRINT_BYTES == SHA256_DIGEST_LENGTH, "SHA-256");

static int64_t
house_s(const struct tls_session *t)
{
	return house_now_s(loop_house(t->server->loop));
}

/* Never refuses. The result that is kept tells whether an authority vouches, at the house's time. */
static int
on_peer_certificate(X509_STORE_CTX *c, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(c, SSL_get_ex_data_X509_STORE_CTX_idx());
	const struct tls_session *t = SSL_get_app_data(ssl);
	const struct tls_server *s = arg;

	if (!s->vouches || t->server == NULL) {
		X509_STORE_CTX_set_error(c, X509_V_ERR_CERT_UNTRUSTED);
		return 1;
	}
	X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(c), (time_t)house_s(t));
	if (X509_verify_cert(c) != 1 && X509_STORE_CTX_get_error(c) == X509_V_OK)
		X509_STORE_CTX_set_error(c, X509_V_ERR_UNSPECIFIED);
	return 1;
}

static int
trust(struct tls_server *s, struct slice ca_pem, struct buf *detail)
{
	X509_STORE *store = X509_STORE_new();
	STACK_OF(X509) *v = NULL;
	int r = store == NULL ? ERR_NOMEM : ca_pem.n == 0 ? 0 : tls_parse_pem(ca_pem, &v);

	for (int i = 0; r == 0 && i < sk_X509_num(v); i++)
		if (X509_STORE_add_cert(store, sk_X509_value(v, i)) != 1)
			r = ERR_INVALID;
	sk_X509_pop_free(v, X509_free);
	ERR_clear_error();
	if (r != 0) {
		X509_STORE_free(store);
		buf_put_z(
		    detail, "the authorities for certificates of clients are no PEM certificates that can be read");
		return r;
	}
	s->vouches = ca_pem.n > 0;
	SSL_CTX_set_cert_store(s->ctx, store); /* which owns it */
	return 0;
}

int
tls_server_ask_certificates(struct tls_server *s, bool ask, struct slice ca_pem, struct buf *detail)
{
	uint8_t context[SHA256_DIGEST_LENGTH];
	int r = trust(s, ask ? ca_pem : SLICE_EMPTY, detail);

	if (r != 0)
		return r;
	(void)SHA256(ca_pem.n == 0 ? (const uint8_t *)"" : ca_pem.p, ask ? ca_pem.n : 0, context);
	context[0] = ask;
	if (SSL_CTX_set_session_id_context(s->ctx, context, sizeof(context)) != 1)
		return ERR_TLS;
	SSL_CTX_set_cert_verify_callback(s->ctx, ask ? on_peer_certificate : NULL, s);
	SSL_CTX_set_verify_depth(s->ctx, CHAIN_DEPTH_MAX);
	SSL_CTX_set_max_cert_list(s->ctx, CHAIN_BYTES_MAX);
	SSL_CTX_set_verify(s->ctx, ask ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	return 0;
}

/* ---- what is kept of a certificate ----------------------------------------------------------------------------- */

static int64_t
seconds_of(const ASN1_TIME *when)
{
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int days = 0, seconds = 0;
	bool ok = epoch != NULL && when != NULL && ASN1_TIME_diff(&days, &seconds, epoch, when) == 1;

	ASN1_TIME_free(epoch);
	return ok ? (int64_t)days * 86400 + seconds : INT64_MIN;
}

/* The addresses that the authority has put in (RFC 5280 §4.2.1.6). */
static void
keep_names(struct tls_peer *p, X509 *leaf)
{
	GENERAL_NAMES *v = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; v != NULL && i < sk_GENERAL_NAME_num(v) && p->names_n < TLS_PEER_NAMES_MAX; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(v, i);
		const ASN1_STRING *text = name->type == GEN_EMAIL ? name->d.rfc822Name : NULL;
		int n = text == NULL ? 0 : ASN1_STRING_length(text);

		if (n <= 0 || n > NAME_BYTES_MAX)
			continue;
		p->names[p->names_n] = strndup((const char *)ASN1_STRING_get0_data(text), (size_t)n);
		/* A NUL inside would make another name of it. */
		if (p->names[p->names_n] != NULL && strlen(p->names[p->names_n]) == (size_t)n)
			p->names_n++;
		else
			free(p->names[p->names_n]);
	}
	GENERAL_NAMES_free(v);
}

struct tls_peer *
tls_peer_of(X509 *leaf, bool vouched)
{
	struct tls_peer *p = calloc(1, sizeof(*p));
	unsigned n = 0;

	if (p == NULL)
		return NULL;
	if (X509_digest(leaf, EVP_sha256(), p->fingerprint, &n) != 1 || n != sizeof(p->fingerprint)) {
		ERR_clear_error();
		free(p);
		return NULL;
	}
	p->from_s = seconds_of(X509_get0_notBefore(leaf));
	p->until_s = seconds_of(X509_get0_notAfter(leaf));
	p->vouched = vouched;
	if (vouched)
		keep_names(p, leaf);
	ERR_clear_error();
	return p;
}

void
tls_peer_keep(struct tls_session *t)
{
	X509 *leaf = t->server == NULL ? NULL : SSL_get0_peer_certificate(t->ssl);

	if (leaf != NULL)
		t->peer = tls_peer_of(leaf, t->server->vouches && SSL_get_verify_result(t->ssl) == X509_V_OK);
}

void
tls_peer_free(struct tls_peer **pp)
{
	struct tls_peer *p = *pp;

	*pp = NULL;
	for (size_t i = 0; p != NULL && i < p->names_n; i++)
		free(p->names[i]);
	free(p);
}

const struct tls_peer *
stream_tls_peer(const struct stream *st)
{
	return stream_is_tls(st) ? st->tls->peer : NULL;
}
