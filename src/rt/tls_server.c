/* tls_server.c: the certificates of a TLS server, their choice by SNI (exact name, then wildcard, then the first),
 * and session tickets. Resumption is stateless; there is no cache. */
#include "rt/tls_private.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#define NAMES_MAX 100000
#define NAME_MAX_BYTES 255
/* How long a ticket may be used; the keys rotate faster than four of these. */
#define TICKET_SECONDS 7200

/* Forward secrecy always: nothing without an ephemeral key exchange, so RSA keys only sign. */
static const char cipher_list[] = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL";

/* ---- names ---- */

/* Lower case, no dot at the end: false if it cannot be a name. */
static bool
name_normal(struct slice in, char out[NAME_MAX_BYTES + 1], struct slice *name)
{
	size_t n = in.n;

	if (n > 0 && slice_at(in, n - 1) == '.')
		n--;
	if (n == 0 || n > NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i < n; i++) {
		uint8_t c = slice_at(in, i);

		if (c <= ' ' || c >= 127)
			return false;
		out[i] = (char)ascii_lower(c);
	}
	out[n] = 0;
	*name = slice_of(out, n);
	return true;
}

static struct tls_choice *
choice_for(struct tls_generation *g, struct slice sni)
{
	char text[NAME_MAX_BYTES + 1], wild[NAME_MAX_BYTES + 2];
	struct slice name;
	struct tls_choice *c;
	size_t dot;

	if (!name_normal(sni, text, &name))
		return &g->fallback;
	c = map_get(&g->names, name);
	dot = slice_find_byte(name, '.');
	if (c == NULL && dot != SLICE_NONE) {
		/* RFC 6125 §6.4.3: the star stands for the whole first label. */
		(void)snprintf(wild, sizeof(wild), "*%s", text + dot);
		c = map_get(&g->names, slice_z(wild));
	}
	return c != NULL ? c : &g->fallback;
}

/* ---- generations ---- */

void
tls_generation_unref(struct tls_generation *g)
{
	size_t at = 0;
	struct slice name;
	void *choice;

	if (g == NULL || --g->refs > 0)
		return;
	while (map_next(&g->names, &at, &name, &choice))
		free(choice);
	map_free(&g->names);
	for (size_t i = 0; i < g->n; i++) {
		X509_free(g->entries[i].leaf);
		sk_X509_pop_free(g->entries[i].chain, X509_free);
		EVP_PKEY_free(g->entries[i].key);
		free(g->entries[i].key_id);
	}
	free(g->entries);
	free(g);
}

static int
add_name(struct tls_generation *g, struct tls_entry *e, struct slice raw)
{
	char text[NAME_MAX_BYTES + 1];
	struct slice name;
	struct tls_choice *c;
	int r;

	if (!name_normal(raw, text, &name))
		return ERR_SYNTAX;
	c = map_get(&g->names, name);
	if (c == NULL) {
		c = calloc(1, sizeof(*c));
		r = c == NULL ? ERR_NOMEM : map_put(&g->names, name, c);
		if (r != 0) {
			free(c);
			return r;
		}
	}
	/* The first certificate for a name wins. */
	if (c->by_type[e->type] == NULL)
		c->by_type[e->type] = e;
	return 0;
}

static struct slice
asn1_text(const ASN1_STRING *s)
{
	int n = ASN1_STRING_length(s);

	return slice_of(ASN1_STRING_get0_data(s), n < 0 ? 0 : (size_t)n);
}

/* The DNS names of the leaf (RFC 6125 §6.4.4), and its common name if it has none. What is no name is passed over. */
static int
add_leaf_names(struct tls_generation *g, struct tls_entry *e)
{
	GENERAL_NAMES *v = X509_get_ext_d2i(e->leaf, NID_subject_alt_name, NULL, NULL);
	X509_NAME *subject = X509_get_subject_name(e->leaf);
	int r = 0, cn;
	bool any = false;

	for (int i = 0; r == 0 && v != NULL && i < sk_GENERAL_NAME_num(v); i++) {
		GENERAL_NAME *name = sk_GENERAL_NAME_value(v, i);

		if (name->type != GEN_DNS)
			continue;
		r = add_name(g, e, asn1_text(name->d.dNSName));
		any |= r == 0;
		r = r == ERR_SYNTAX ? 0 : r;
	}
	GENERAL_NAMES_free(v);
	cn = any || r != 0 ? -1 : X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	if (cn >= 0) {
		r = add_name(g, e, asn1_text(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, cn))));
		r = r == ERR_SYNTAX ? 0 : r;
	}
	ERR_clear_error();
	return r;
}

static int
entry_make(struct tls_server *s, struct tls_entry *e, const struct tls_certificate *c, struct buf *detail)
{
	int r = tls_parse_pem(c->chain_pem, &e->chain);

	if (r != 0) {
		buf_printf(detail, "the certificate file of key %.*s holds no PEM certificates that can be read",
		    SLICE_ARG(c->key_id));
		return r;
	}
	e->loop = s->loop;
	e->signer = s->signer;
	e->leaf = sk_X509_shift(e->chain);
	e->key_id = malloc(c->key_id.n + 1);
	if (e->key_id == NULL)
		return ERR_NOMEM;
	if (c->key_id.n > 0)
		memcpy(e->key_id, c->key_id.p, c->key_id.n);
	e->key_id_n = c->key_id.n;
	r = tls_key_make(s->methods, e);
	if (r == ERR_UNSUPPORTED)
		buf_printf(
		    detail, "the certificate of key %.*s has a key that is neither RSA nor EC", SLICE_ARG(c->key_id));
	return r;
}

/* The certificate goes through OpenSSL's own checks now, so that a handshake does not find out. */
static int
entry_check(struct tls_server *s, struct tls_entry *e, struct buf *detail)
{
	SSL *probe = SSL_new(s->ctx);
	char text[200];
	int ok = probe == NULL ? 0 : SSL_use_cert_and_key(probe, e->leaf, e->key, e->chain, 1);

	tls_error_text(text, sizeof(text));
	SSL_free(probe);
	if (ok == 1)
		return 0;
	buf_printf(detail, "the certificate of key %.*s cannot be used: %s",
	    SLICE_ARG(slice_of(e->key_id, e->key_id_n)), text);
	return ERR_INVALID;
}

static int
generation_fill(struct tls_server *s, struct tls_generation *g, const struct tls_certificate *v, struct buf *detail)
{
	for (size_t i = 0; i < g->n; i++) {
		struct tls_entry *e = &g->entries[i];
		int r = entry_make(s, e, &v[i], detail);

		if (r == 0)
			r = entry_check(s, e, detail);
		for (size_t k = 0; r == 0 && k < v[i].names.n; k++) {
			r = add_name(g, e, v[i].names.v[k]);
			if (r == ERR_SYNTAX)
				buf_printf(detail, "\"%.*s\" is not a host name", SLICE_ARG(v[i].names.v[k]));
		}
		if (r == 0 && v[i].names.n == 0)
			r = add_leaf_names(g, e);
		if (r != 0)
			return r;
	}
	return 0;
}

/* The first certificate, and beside it one of the other type of key that shares a name with it. */
static void
choose_fallback(struct tls_generation *g)
{
	size_t at = 0;
	struct slice name;
	void *p;

	g->fallback.by_type[g->entries[0].type] = &g->entries[0];
	while (map_next(&g->names, &at, &name, &p)) {
		struct tls_choice *c = p;

		if (c->by_type[g->entries[0].type] == &g->entries[0]) {
			g->fallback = *c;
			if (c->by_type[TLS_KEY_EC] != NULL && c->by_type[TLS_KEY_RSA] != NULL)
				return;
		}
	}
}

int
tls_server_set_certificates(struct tls_server *s, const struct tls_certificate *v, size_t n, struct buf *detail)
{
	struct tls_generation *g;
	int r;

	if (n == 0) {
		buf_put_z(detail, "no certificate is given");
		return ERR_INVALID;
	}
	g = calloc(1, sizeof(*g));
	if (g == NULL)
		return ERR_NOMEM;
	g->refs = 1;
	map_init(&g->names, NAMES_MAX, house_random_u64(loop_house(s->loop)));
	g->entries = calloc(n, sizeof(*g->entries));
	g->n = g->entries == NULL ? 0 : n;
	r = g->entries == NULL ? ERR_NOMEM : generation_fill(s, g, v, detail);
	if (r != 0) {
		if (detail->n == 0)
			buf_put_z(detail, err_text(r));
		tls_generation_unref(g);
		return r;
	}
	choose_fallback(g);
	tls_generation_unref(s->now);
	s->now = g;
	return 0;
}

/* ---- callbacks of the handshake ---- */

static int
on_certificate(SSL *ssl, void *arg)
{
	struct tls_session *t = SSL_get_app_data(ssl);
	const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	struct tls_choice *c;
	int ok = 0;

	(void)arg;
	ASSERT(t->generation != NULL);
	c = choice_for(t->generation, slice_z(sni));
	for (size_t i = 0; i < TLS_KEY_TYPES; i++) {
		struct tls_entry *e = c->by_type[i];

		if (e == NULL)
			continue;
		ok = SSL_use_cert_and_key(ssl, e->leaf, e->key, e->chain, 1);
		if (ok != 1)
			break;
	}
	return ok;
}

X509 *
tls_server_shown(struct tls_session *t)
{
	const char *sni = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
	const struct tls_choice *c = choice_for(t->generation, slice_z(sni));
	const struct tls_entry *ec = c->by_type[TLS_KEY_EC], *rsa = c->by_type[TLS_KEY_RSA];

	if (SSL_session_reused(t->ssl) == 0)
		return SSL_get_certificate(t->ssl);
	/* The ticket does not tell which of two it was. */
	return ec != NULL && rsa != NULL ? NULL : ec != NULL ? ec->leaf : rsa != NULL ? rsa->leaf : NULL;
}

static int
on_server_name(SSL *ssl, int *alert, void *arg)
{
	(void)ssl;
	(void)alert;
	(void)arg;
	return SSL_TLSEXT_ERR_OK;
}

/* RFC 5077 §4's construction: AES-256-CBC under HMAC-SHA256. 1: done; 2: done, and a ticket of the newest key should
 * follow; 0: unknown key, so a full handshake; -1: failed. */
static int
on_ticket(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt)
{
	struct tls_session *t = SSL_get_app_data(ssl);
	struct tls_server *s = t->server;
	char digest[] = "SHA256";
	OSSL_PARAM params[3];
	uint8_t *key = NULL;
	size_t i = 0;
	int ok;

	if (s == NULL || s->ticket_keys_n == 0)
		return 0;
	if (!encrypt)
		while (i < s->ticket_keys_n && memcmp(s->ticket_keys[i], name, 16) != 0)
			i++;
	if (i == s->ticket_keys_n)
		return 0;
	key = s->ticket_keys[i];
	if (encrypt) {
		memcpy(name, key, 16);
		house_random(loop_house(s->loop), iv, 16);
	}
	params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key + 16, 32);
	params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
	params[2] = OSSL_PARAM_construct_end();
	ok = EVP_MAC_CTX_set_params(mac, params) == 1 &&
	    EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key + 48, iv, encrypt) == 1;
	/* RFC 8446 §C.4: a client of TLS 1.3 should use a ticket once, so it gets another. */
	return !ok ? -1 : encrypt || (i == 0 && SSL_version(ssl) != TLS1_3_VERSION) ? 1 : 2;
}

/* ---- life ---- */

int
tls_server_new(struct tls_server **out, struct loop *l, struct tls_signer signer)
{
	struct tls_server *s = calloc(1, sizeof(*s));
	int r;

	*out = NULL;
	if (s == NULL)
		return ERR_NOMEM;
	s->refs = 1;
	s->loop = l;
	s->signer = signer;
	r = tls_context_new(&s->ctx, TLS_server_method());
	if (r == 0)
		r = tls_key_methods_new(&s->methods);
	if (r == 0 &&
	    (SSL_CTX_set_cipher_list(s->ctx, cipher_list) != 1 ||
		SSL_CTX_set_tlsext_ticket_key_evp_cb(s->ctx, on_ticket) != 1))
		r = ERR_TLS;
	if (r != 0) {
		tls_server_unref(s);
		return r;
	}
	(void)SSL_CTX_set_options(
	    s->ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA | SSL_OP_NO_TICKET);
	(void)SSL_CTX_set_num_tickets(s->ctx, 0);
	(void)SSL_CTX_set_timeout(s->ctx, TICKET_SECONDS);
	SSL_CTX_set_cert_cb(s->ctx, on_certificate, NULL);
	(void)SSL_CTX_set_tlsext_servername_callback(s->ctx, on_server_name);
	*out = s;
	return 0;
}

int
tls_server_set_ticket_keys(struct tls_server *s, struct slice_list keys)
{
	if (keys.n > TLS_TICKET_KEYS_MAX)
		return ERR_LIMIT;
	for (size_t i = 0; i < keys.n; i++)
		if (keys.v[i].n != TLS_TICKET_KEY_BYTES)
			return ERR_INVALID;
	OPENSSL_cleanse(s->ticket_keys, sizeof(s->ticket_keys));
	for (size_t i = 0; i < keys.n; i++)
		memcpy(s->ticket_keys[i], keys.v[i].p, TLS_TICKET_KEY_BYTES);
	s->ticket_keys_n = keys.n;
	if (keys.n > 0)
		(void)SSL_CTX_clear_options(s->ctx, SSL_OP_NO_TICKET);
	else
		(void)SSL_CTX_set_options(s->ctx, SSL_OP_NO_TICKET);
	(void)SSL_CTX_set_num_tickets(s->ctx, keys.n > 0 ? 1 : 0);
	return 0;
}

bool
tls_server_ready(const struct tls_server *s)
{
	return s->now != NULL;
}

void
tls_server_unref(struct tls_server *s)
{
	if (s == NULL || --s->refs > 0)
		return;
	tls_generation_unref(s->now);
	SSL_CTX_free(s->ctx);
	tls_key_methods_free(&s->methods);
	OPENSSL_cleanse(s->ticket_keys, sizeof(s->ticket_keys));
	free(s);
}

void
tls_server_free(struct tls_server **sp)
{
	tls_server_unref(*sp);
	*sp = NULL;
}
