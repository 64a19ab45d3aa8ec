/* stream_tls.c: a stream under TLS. OpenSSL works on the non-blocking descriptor itself. Its error queue belongs to
 * the thread, so every call goes: clear the queue, call, take the result and the text, with no switch of fibers
 * in between. Only a handshake may park inside OpenSSL, in the signature; no other fiber may use the stream then. */
#include "rt/stream_private.h"
#include "rt/tls_private.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>

/* What a call that returned r came to: ERR_BUSY with *want, ERR_CLOSED at the end of input, or an error. `e`: errno. */
static int
outcome(struct tls_session *t, int r, int e, int *want)
{
	int kind = SSL_get_error(t->ssl, r);

	switch (kind) {
	case SSL_ERROR_WANT_READ: *want = UV_READABLE; return ERR_BUSY;
	case SSL_ERROR_WANT_WRITE: *want = UV_WRITABLE; return ERR_BUSY;
	case SSL_ERROR_ZERO_RETURN: return ERR_CLOSED;
	default: break;
	}
	t->dead = true;
	tls_error_text(t->info.error, sizeof(t->info.error));
	if (kind != SSL_ERROR_SYSCALL)
		return ERR_TLS;
	if (e != 0)
		(void)snprintf(t->info.error, sizeof(t->info.error), "%s", err_text(err_from_errno(e)));
	return e == 0 ? ERR_CLOSED : err_from_errno(e);
}

static int
enter(struct tls_session *t)
{
	ASSERT(!t->inside);
	if (t->ssl == NULL || t->dead)
		return ERR_TLS;
	ERR_clear_error();
	errno = 0;
	return 0;
}

int64_t
tls_session_read(struct stream *st, void *p, size_t n, int *want)
{
	struct tls_session *t = st->tls;
	int r = enter(t);

	if (r != 0)
		return stream_fail(st, r);
	r = SSL_read(t->ssl, p, n > INT_MAX ? INT_MAX : (int)n);
	if (r > 0) {
		st->bytes_in += (size_t)r;
		return r;
	}
	r = outcome(t, r, errno, want);
	return t->dead ? stream_fail(st, r) : r;
}

int64_t
tls_session_write(struct stream *st, const void *p, size_t n, int *want)
{
	struct tls_session *t = st->tls;
	int r = enter(t);

	if (r != 0)
		return r;
	r = SSL_write(t->ssl, p, n > INT_MAX ? INT_MAX : (int)n);
	if (r > 0) {
		st->bytes_out += (size_t)r;
		return r;
	}
	return outcome(t, r, errno, want);
}

int
tls_session_shutdown(struct stream *st, int *want)
{
	struct tls_session *t = st->tls;
	int r = enter(t);

	if (r != 0 || (SSL_get_shutdown(t->ssl) & SSL_SENT_SHUTDOWN) != 0)
		return r;
	r = SSL_shutdown(t->ssl);
	/* 0: ours is sent, the peer's has not come. */
	return r >= 0 ? 0 : outcome(t, r, errno, want);
}

static void
forget_server(struct tls_session *t)
{
	tls_generation_unref(t->generation);
	tls_server_unref(t->server);
	t->generation = NULL;
	t->server = NULL;
}

static void
drop_ssl(struct tls_session *t)
{
	SSL_free(t->ssl);
	t->ssl = NULL;
	forget_server(t);
	ERR_clear_error();
}

void
tls_session_free(struct tls_session **tp, bool polite)
{
	struct tls_session *t = *tp;

	*tp = NULL;
	if (t->ssl != NULL && polite && enter(t) == 0)
		(void)SSL_shutdown(t->ssl);
	drop_ssl(t);
	tls_peer_free(&t->peer);
	free(t);
}

/* ---- handshakes ---- */

static int
shake_once(struct tls_session *t, int *want)
{
	int r = enter(t);

	if (r != 0)
		return r;
	t->inside = true;
	r = SSL_do_handshake(t->ssl);
	t->inside = false;
	return r == 1 ? 0 : outcome(t, r, errno, want);
}

static enum tls_problem
problem_of(long why)
{
	switch (why) {
	case X509_V_OK: return TLS_PROBLEM_NONE;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH: return TLS_PROBLEM_NAME;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID: return TLS_PROBLEM_EXPIRED;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_CERT_UNTRUSTED:
	case X509_V_ERR_CERT_REVOKED:
	case X509_V_ERR_DANE_NO_MATCH: return TLS_PROBLEM_UNTRUSTED;
	default: return TLS_PROBLEM_OTHER;
	}
}

/* What came of the check, in words when it failed. */
static void
note_check(struct tls_session *t)
{
	long why = SSL_get_verify_result(t->ssl);

	t->info.problem = problem_of(why);
	if (why != X509_V_OK)
		(void)snprintf(t->info.error, sizeof(t->info.error), "the certificate is not accepted: %s",
		    X509_verify_cert_error_string(why));
}

static void
keep_fingerprint(struct tls_session *t)
{
	X509 *shown = SSL_get0_peer_certificate(t->ssl);
	uint8_t hash[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (shown != NULL && X509_digest(shown, EVP_sha256(), hash, &n) == 1 && n == sizeof(t->info.fingerprint))
		memcpy(t->info.fingerprint, hash, n);
}

static void
fill_info(struct tls_session *t, bool verify)
{
	const char *name = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);

	t->info.version = SSL_get_version(t->ssl);
	t->info.cipher = SSL_get_cipher_name(t->ssl);
	t->info.bits = SSL_get_cipher_bits(t->ssl, NULL);
	t->info.verified = verify && SSL_get_verify_result(t->ssl) == X509_V_OK &&
	    SSL_get0_peer_certificate(t->ssl) != NULL;
	if (verify) {
		note_check(t);
		keep_fingerprint(t);
	}
	if (name != NULL)
		(void)snprintf(t->info.server_name, sizeof(t->info.server_name), "%s", name);
}

/* RFC 5929 §4.1: by the hash of the certificate's signature, but never MD5 or SHA-1; none where the signature has no single
 * hash. */
static void
keep_end_point(struct tls_session *t)
{
	X509 *shown = t->generation == NULL ? NULL : tls_server_shown(t);
	int hash = NID_undef;
	unsigned n = 0;
	const EVP_MD *md;

	if (shown == NULL || X509_get_signature_info(shown, &hash, NULL, NULL, NULL) != 1)
		return;
	md = hash == NID_md5 || hash == NID_sha1 ? EVP_sha256() : EVP_get_digestbynid(hash);
	if (md != NULL && X509_digest(shown, md, t->end_point, &n) == 1)
		t->end_point_n = n;
}

/* Runs the handshake of st->tls to its end. A failure sticks, and leaves the sentence in the info. */
static int
shake(struct stream *st, bool verify, int64_t deadline_ms)
{
	struct tls_session *t = st->tls;
	int64_t end = deadline_ms < st->deadline_ms ? deadline_ms : st->deadline_ms;
	int r, want = 0;

	while ((r = shake_once(t, &want)) == ERR_BUSY) {
		r = stream_wait(st, STREAM_READER, want, end);
		if (r != 0)
			break;
	}
	if (r == 0) {
		fill_info(t, verify);
		keep_end_point(t);
		tls_peer_keep(t);
		/* Keys and certificates have done their work. */
		SSL_certs_clear(t->ssl);
		forget_server(t);
		ERR_clear_error();
		return 0;
	}
	if (verify)
		note_check(t);
	if (t->info.error[0] == 0)
		(void)snprintf(t->info.error, sizeof(t->info.error), "%s", err_text(r));
	drop_ssl(t);
	/* The end of input in the middle of a handshake is a failed one. */
	return stream_fail(st, r);
}

static int
session_new(struct stream *st, SSL_CTX *ctx)
{
	struct tls_session *t;

	ASSERT(st->tls == NULL);
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return ERR_NOMEM;
	ERR_clear_error();
	t->info.version = t->info.cipher = "";
	t->ssl = SSL_new(ctx);
	if (t->ssl == NULL || SSL_set_fd(t->ssl, st->fd) != 1) {
		SSL_free(t->ssl);
		free(t);
		ERR_clear_error();
		return ERR_NOMEM;
	}
	(void)SSL_set_app_data(t->ssl, t);
	st->tls = t;
	return 0;
}

/* What came in the clear must not be taken for what came under TLS (RFC 3207 §5). */
static int
ready_to_start(struct stream *st)
{
	int r = stream_flush(st);

	if (r == 0 && st->in.n > 0)
		r = ERR_SYNTAX;
	return r;
}

int
stream_start_tls_server(struct stream *st, struct tls_server *s, int64_t deadline_ms)
{
	int r = ready_to_start(st);

	if (r == 0 && s->now == NULL)
		r = ERR_UNAVAILABLE;
	if (r == 0)
		r = session_new(st, s->ctx);
	if (r != 0)
		return r;
	SSL_set_accept_state(st->tls->ssl);
	st->tls->server = s;
	s->refs++;
	st->tls->generation = s->now;
	s->now->refs++;
	return shake(st, false, deadline_ms);
}

/* SNI (names only, RFC 6066 §3) and the name or address that the certificate must have. */
static int
expect_name(SSL *ssl, struct slice name, bool verify)
{
	char text[256];
	uint8_t ip[16];
	bool address;

	if (name.n > 0 && slice_at(name, name.n - 1) == '.')
		name = slice_head(name, name.n - 1);
	if (name.n == 0)
		return verify ? ERR_INVALID : 0;
	if (slice_to_z(name, text, sizeof(text)) != 0)
		return ERR_INVALID;
	address = inet_pton(AF_INET, text, ip) == 1 || inet_pton(AF_INET6, text, ip) == 1;
	if (!address && SSL_set_tlsext_host_name(ssl, text) != 1)
		return ERR_INVALID;
	if (!verify)
		return 0;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (address)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), text) == 1 ? 0 : ERR_INVALID;
	return SSL_set1_host(ssl, text) == 1 ? 0 : ERR_INVALID;
}

/* Names that are as good as the first. */
static int
expect_names(SSL *ssl, struct slice_list names)
{
	for (size_t i = 0; i < names.n; i++) {
		char text[256];

		if (slice_to_z(names.v[i], text, sizeof(text)) != 0 || SSL_add1_host(ssl, text) != 1)
			return ERR_INVALID;
	}
	return 0;
}

/* RFC 7672 §3.1: DANE-TA(2) and DANE-EE(3); for the latter neither names nor dates count. */
static int
expect_records(SSL *ssl, const struct tls_expect *x)
{
	size_t usable = 0;
	char name[256];

	if (slice_to_z(x->name, name, sizeof(name)) != 0 || SSL_dane_enable(ssl, name) != 1)
		return ERR_INVALID;
	(void)SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	for (size_t i = 0; i < x->tlsa_n; i++) {
		const struct tls_tlsa *t = &x->tlsa[i];

		if (t->usage == TLSA_DANE_TA || t->usage == TLSA_DANE_EE)
			usable += SSL_dane_tlsa_add(ssl, t->usage, t->selector, t->matching, t->data.p, t->data.n) > 0;
	}
	ERR_clear_error();
	return usable > 0 ? 0 : ERR_INVALID;
}

static int
expect_all(SSL *ssl, const struct tls_client *c, const struct tls_expect *x, int64_t now_s)
{
	int r;

	ASSERT(c->verify || x->check == TLS_CHECK_NONE);
	if (x->check == TLS_CHECK_DANE) {
		SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		r = expect_records(ssl, x);
	} else {
		r = expect_name(ssl, x->name, x->check == TLS_CHECK_ROOTS);
	}
	if (r == 0 && x->check != TLS_CHECK_NONE)
		r = expect_names(ssl, x->names);
	X509_VERIFY_PARAM_set_time(SSL_get0_param(ssl), (time_t)now_s);
	SSL_set_verify(ssl, x->check != TLS_CHECK_NONE && !x->lenient ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	return r;
}

int
stream_start_tls_expect(struct stream *st, struct tls_client *c, const struct tls_expect *expect, int64_t deadline_ms)
{
	int r = ready_to_start(st);

	if (r == 0)
		r = session_new(st, c->ctx);
	if (r != 0)
		return r;
	SSL_set_connect_state(st->tls->ssl);
	r = expect_all(st->tls->ssl, c, expect, house_now_s(loop_house(st->loop)));
	if (r != 0) {
		(void)snprintf(st->tls->info.error, sizeof(st->tls->info.error),
		    expect->check == TLS_CHECK_DANE ? "no TLSA record can be used"
						    : "the server's name is not a host name");
		drop_ssl(st->tls);
		return stream_fail(st, r);
	}
	return shake(st, expect->check != TLS_CHECK_NONE, deadline_ms);
}

int
stream_start_tls_client(struct stream *st, struct tls_client *c, struct slice name, int64_t deadline_ms)
{
	struct tls_expect expect = {.check = c->verify ? TLS_CHECK_ROOTS : TLS_CHECK_NONE, .name = name};

	return stream_start_tls_expect(st, c, &expect, deadline_ms);
}

bool
stream_is_tls(const struct stream *st)
{
	return st->tls != NULL && st->tls->ssl != NULL;
}

const struct tls_info *
stream_tls_info(struct stream *st)
{
	return st->tls == NULL ? NULL : &st->tls->info;
}

/* RFC 9266 §2; §3: below TLS 1.3 only with the extended master secret, without which two connections may share a secret. */
static int export(struct tls_session *t, struct buf *out)
{
	static const char label[] = "EXPORTER-Channel-Binding";
	uint8_t key[32];
	bool good = SSL_version(t->ssl) == TLS1_3_VERSION || SSL_get_extms_support(t->ssl) == 1;

	ERR_clear_error();
	good = good &&
	    SSL_export_keying_material(t->ssl, key, sizeof(key), label, sizeof(label) - 1, (const uint8_t *)"", 0, 1) ==
		1;
	ERR_clear_error();
	if (good)
		buf_put(out, slice_of(key, sizeof(key)));
	OPENSSL_cleanse(key, sizeof(key));
	return good ? out->err : ERR_UNAVAILABLE;
}

int
stream_tls_binding(struct stream *st, enum stream_binding kind, struct buf *out)
{
	struct tls_session *t = st->tls;

	if (!stream_is_tls(st) || t->dead || SSL_is_server(t->ssl) != 1)
		return ERR_UNAVAILABLE;
	if (kind == STREAM_BINDING_EXPORTER)
		return export(t, out);
	buf_put(out, slice_of(t->end_point, t->end_point_n));
	return t->end_point_n == 0 ? ERR_UNAVAILABLE : out->err;
}
