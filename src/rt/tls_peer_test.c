#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rt/stream.h"
#include "rt/tls.h"

#include "rt/rt_test.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

/* ---- certificates ---- */

struct identity {
	EVP_PKEY *key;
	X509 *certificate;
};

struct wish {
	const char *names[12];   /* rfc822Name each; "dns:…" for another kind; '#' becomes a NUL */
	int64_t from_s, until_s; /* from now */
	bool authority;
	size_t padding; /* bytes of a comment that makes it long */
};

static void
add_names(X509 *x, const struct wish *w)
{
	GENERAL_NAMES *all = GENERAL_NAMES_new();

	for (size_t i = 0; i < COUNT_OF(w->names) && w->names[i] != NULL; i++) {
		bool dns = strncmp(w->names[i], "dns:", 4) == 0;
		ASN1_IA5STRING *text = ASN1_IA5STRING_new();
		GENERAL_NAME *name = GENERAL_NAME_new();
		char *copy = strdup(w->names[i] + (dns ? 4 : 0));
		int n = (int)strlen(copy);

		for (int k = 0; k < n; k++)
			if (copy[k] == '#')
				copy[k] = 0;
		assert_int_equal(ASN1_STRING_set(text, copy, n), 1);
		free(copy);
		GENERAL_NAME_set0_value(name, dns ? GEN_DNS : GEN_EMAIL, text);
		assert_true(sk_GENERAL_NAME_push(all, name) > 0);
	}
	if (sk_GENERAL_NAME_num(all) > 0)
		assert_int_equal(X509_add1_ext_i2d(x, NID_subject_alt_name, all, 0, X509V3_ADD_DEFAULT), 1);
	GENERAL_NAMES_free(all);
}

static void
add_text(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_nconf_nid(NULL, NULL, nid, value);

	assert_non_null(e);
	assert_int_equal(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
}

/* Signed by `by`, or by itself. */
static struct identity
identity_new(const struct wish *w, const struct identity *by, const char *name)
{
	struct identity i = {EVP_EC_gen("P-256"), X509_new()};
	X509 *x = i.certificate;

	assert_int_equal(X509_set_version(x, 2), 1);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), 7), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), w->from_s));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), w->until_s));
	assert_int_equal(X509_NAME_add_entry_by_txt(
			     X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0),
	    1);
	assert_int_equal(X509_set_issuer_name(x, X509_get_subject_name(by == NULL ? x : by->certificate)), 1);
	assert_int_equal(X509_set_pubkey(x, i.key), 1);
	if (w->authority)
		add_text(x, NID_basic_constraints, "critical,CA:TRUE");
	if (w->padding > 0) {
		char *text = calloc(1, w->padding + 1);

		memset(text, 'x', w->padding);
		add_text(x, NID_netscape_comment, text);
		free(text);
	}
	add_names(x, w);
	assert_true(X509_sign(x, by == NULL ? i.key : by->key, EVP_sha256()) > 0);
	return i;
}

static void
identity_free(struct identity *i)
{
	EVP_PKEY_free(i->key);
	X509_free(i->certificate);
}

static struct slice
pem_of(const struct identity *i, BIO *b)
{
	char *p;
	long n;

	assert_int_equal(PEM_write_bio_X509(b, i->certificate), 1);
	n = BIO_get_mem_data(b, &p);
	return slice_of(p, (size_t)n);
}

/* ---- a server, whose vault signs at once ---- */

static int
sign(void *arg, struct slice key_id, enum tls_sign_kind kind, struct slice input, struct buf *out)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(arg, NULL);
	size_t n = 0;
	uint8_t *p;

	(void)key_id;
	(void)kind;
	assert_int_equal(EVP_PKEY_sign_init(c), 1);
	assert_int_equal(EVP_PKEY_sign(c, NULL, &n, input.p, input.n), 1);
	p = buf_reserve(out, n);
	assert_non_null(p);
	assert_int_equal(EVP_PKEY_sign(c, p, &n, input.p, input.n), 1);
	buf_added(out, n);
	EVP_PKEY_CTX_free(c);
	return 0;
}

static const struct wish usual = {.from_s = -3600, .until_s = 86400};
static const struct wish usual_authority = {.from_s = -3600, .until_s = 86400, .authority = true};

struct server {
	struct identity self;
	struct tls_server *tls;
};

static void
server_open(struct server *s, struct loop *l)
{
	BIO *b = BIO_new(BIO_s_mem());
	struct tls_certificate c = {.key_id = SLICE("0")};
	uint8_t ticket_key[80];
	BUF_CLEANUP struct buf detail;

	buf_init(&detail, 1000);
	s->self = identity_new(&usual, NULL, "server");
	c.chain_pem = pem_of(&s->self, b);
	assert_int_equal(tls_server_new(&s->tls, l, (struct tls_signer){sign, s->self.key}), 0);
	assert_int_equal(tls_server_set_certificates(s->tls, &c, 1, &detail), 0);
	memset(ticket_key, 5, sizeof(ticket_key));
	assert_int_equal(tls_server_set_ticket_keys(s->tls, SLICE_LIST(slice_of(ticket_key, sizeof(ticket_key)))), 0);
	BIO_free(b);
}

static void
server_close(struct server *s)
{
	tls_server_free(&s->tls);
	identity_free(&s->self);
}

static void
ask(struct server *s, bool yes, const struct identity *authority)
{
	BIO *b = BIO_new(BIO_s_mem());
	BUF_CLEANUP struct buf detail;

	buf_init(&detail, 1000);
	assert_int_equal(
	    tls_server_ask_certificates(s->tls, yes, authority == NULL ? SLICE_EMPTY : pem_of(authority, b), &detail),
	    0);
	BIO_free(b);
}

/* ---- a client of OpenSSL's ---- */

struct client {
	struct loop *loop;
	int version;
	const struct identity *self, *between; /* what it shows, and who is between it and the authority */
	SSL_SESSION *session;                  /* to resume; then the newest */
	SSL *ssl;
	bool reused;
};

static int
on_session(SSL *ssl, SSL_SESSION *s)
{
	struct client *c = SSL_get_app_data(ssl);

	SSL_SESSION_free(c->session);
	c->session = s;
	return 1;
}

static void
client_main(void *arg)
{
	struct client *c = arg;
	char got[10];
	int r = 0;

	do {
		ERR_clear_error();
		r = SSL_do_handshake(c->ssl);
		if (r != 1 && SSL_get_error(c->ssl, r) != SSL_ERROR_WANT_READ)
			break;
		if (fiber_sleep(c->loop, 1) != 0)
			break;
	} while (r != 1);
	c->reused = SSL_session_reused(c->ssl) == 1;
	/* Until the server closes: tickets come behind the handshake. */
	do {
		ERR_clear_error();
		r = SSL_read(c->ssl, got, sizeof(got));
	} while (r != 0 && SSL_get_error(c->ssl, r) == SSL_ERROR_WANT_READ && fiber_sleep(c->loop, 1) == 0);
	ERR_clear_error();
}

struct seen {
	int result;
	bool any;
	struct tls_peer peer; /* names are copies */
	char names[TLS_PEER_NAMES_MAX][330];
};

/* A handshake: what the server has of the client. */
static struct seen
shake(struct rt_test *x, struct server *s, struct client *c)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	struct seen seen = {0};
	struct stream *st;
	struct fiber *f;
	int fd[2];

	assert_int_equal(SSL_CTX_set_max_proto_version(ctx, c->version == 0 ? TLS1_3_VERSION : c->version), 1);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_session);
	if (c->self != NULL) {
		assert_int_equal(SSL_CTX_use_certificate(ctx, c->self->certificate), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey(ctx, c->self->key), 1);
	}
	if (c->between != NULL)
		assert_int_equal(SSL_CTX_add1_chain_cert(ctx, c->between->certificate), 1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	assert_int_equal(stream_new(&st, x->loop, fd[0]), 0);
	c->loop = x->loop;
	c->ssl = SSL_new(ctx);
	(void)SSL_set_app_data(c->ssl, c);
	assert_int_equal(SSL_set_fd(c->ssl, fd[1]), 1);
	if (c->session != NULL)
		assert_int_equal(SSL_set_session(c->ssl, c->session), 1);
	SSL_set_connect_state(c->ssl);
	assert_int_equal(fiber_start(x->loop, "client", client_main, c, &f), 0);
	seen.result = stream_start_tls_server(st, s->tls, loop_deadline(x->loop, 60000));
	if (stream_tls_peer(st) != NULL) {
		seen.any = true;
		seen.peer = *stream_tls_peer(st);
		for (size_t i = 0; i < seen.peer.names_n; i++)
			(void)snprintf(seen.names[i], sizeof(seen.names[i]), "%s", seen.peer.names[i]);
	}
	stream_close(&st);
	fiber_join(x->loop, &f);
	/* OpenSSL takes a session that was not shut down for one that must not be resumed. */
	SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(c->ssl);
	SSL_CTX_free(ctx);
	(void)close(fd[1]);
	ERR_clear_error();
	return seen;
}

/* ---- tests ---- */

RT_TEST(test_any_is_taken)
{
	struct server s;
	struct identity own = identity_new(
	    &(struct wish){.names = {"ann@a.test"}, .from_s = -100, .until_s = 1000}, NULL, "ann");
	struct client nobody = {0}, c = {.self = &own};
	uint8_t digest[32];
	struct seen seen;

	server_open(&s, x->loop);
	/* Not asked: none is shown. */
	seen = shake(x, &s, &c);
	assert_int_equal(seen.result, 0);
	assert_false(seen.any);
	ask(&s, true, NULL);
	assert_int_equal(X509_digest(own.certificate, EVP_sha256(), digest, NULL), 1);
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		int64_t now = house_now_s(&x->house);

		nobody.version = c.version = version;
		seen = shake(x, &s, &nobody);
		assert_int_equal(seen.result, 0);
		assert_false(seen.any);
		/* Nobody vouches for it: it is kept, its names are not. */
		SSL_SESSION_free(c.session);
		c.session = NULL;
		seen = shake(x, &s, &c);
		assert_int_equal(seen.result, 0);
		assert_true(seen.any);
		assert_memory_equal(seen.peer.fingerprint, digest, sizeof(digest));
		assert_false(seen.peer.vouched);
		assert_int_equal(seen.peer.names_n, 0);
		assert_in_range(seen.peer.until_s - seen.peer.from_s, 1100, 1101);
		assert_true(seen.peer.from_s < now && now < seen.peer.until_s);
	}
	SSL_SESSION_free(nobody.session);
	SSL_SESSION_free(c.session);
	identity_free(&own);
	server_close(&s);
}

RT_TEST(test_who_vouches)
{
	static const struct wish expired = {.names = {"ann@a.test"}, .from_s = -7200, .until_s = -3600},
				 later = {.names = {"ann@a.test"}, .from_s = 3600, .until_s = 86400},
				 ann = {.names = {"dns:a.test", "ann@a.test", "dns:ann@dns.test"},
				     .from_s = -3600,
				     .until_s = 7200};
	struct server s;
	struct identity root = identity_new(&usual_authority, NULL, "root"),
			other = identity_new(&usual_authority, NULL, "other"),
			between = identity_new(&usual_authority, &root, "between"),
			no_authority = identity_new(&usual, &root, "none");
	const struct {
		const struct wish *wish;
		const struct identity *by, *shown;
		bool vouched;
	} cases[] = {
	    {&ann, &root, NULL, true},
	    {&ann, &between, &between, true},
	    {&ann, &between, NULL, false},
	    {&ann, &other, NULL, false},
	    {&ann, &other, &other, false},
	    {&ann, &no_authority, &no_authority, false},
	    {&ann, NULL, NULL, false},
	    {&expired, &root, NULL, false},
	    {&later, &root, NULL, false},
	};

	server_open(&s, x->loop);
	ask(&s, true, &root);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct identity i_self = identity_new(cases[i].wish, cases[i].by, "ann");
		struct client c = {.self = &i_self, .between = cases[i].shown};
		struct seen seen = shake(x, &s, &c);

		assert_int_equal(seen.result, 0);
		assert_true(seen.any);
		assert_int_equal(seen.peer.vouched, cases[i].vouched);
		assert_int_equal(seen.peer.names_n, cases[i].vouched ? 1 : 0);
		if (cases[i].vouched)
			assert_string_equal(seen.names[0], "ann@a.test");
		SSL_SESSION_free(c.session);
		identity_free(&i_self);
	}
	/* It is the house's clock that counts. */
	{
		struct identity self = identity_new(&ann, &root, "ann");
		struct client c = {.self = &self};

		house_clock_advance(&x->house, 10800 * INT64_C(1000000));
		assert_false(shake(x, &s, &c).peer.vouched);
		SSL_SESSION_free(c.session);
		identity_free(&self);
	}
	identity_free(&root);
	identity_free(&other);
	identity_free(&between);
	identity_free(&no_authority);
	server_close(&s);
}

/* Names that would read as others, and more of them than are kept. */
RT_TEST(test_names)
{
	char longest[321], too_long[322];
	struct server s;
	struct identity root = identity_new(&usual_authority, NULL, "root"), self;
	struct wish w = {.names = {"ann@a.test#.evil.test", "", longest, too_long, "#", "b@a.test", "c@a.test",
			     "d@a.test", "e@a.test", "f@a.test", "g@a.test", "h@a.test"},
	    .from_s = -100,
	    .until_s = 1000};
	struct client c = {.self = &self};
	struct seen seen;

	memset(longest, 'x', 320);
	longest[320] = 0;
	memset(too_long, 'x', 321);
	too_long[321] = 0;
	server_open(&s, x->loop);
	ask(&s, true, &root);
	self = identity_new(&w, &root, "many");
	seen = shake(x, &s, &c);
	assert_int_equal(seen.result, 0);
	assert_true(seen.peer.vouched);
	assert_int_equal(seen.peer.names_n, TLS_PEER_NAMES_MAX);
	assert_string_equal(seen.names[0], longest);
	for (size_t i = 1; i < TLS_PEER_NAMES_MAX; i++)
		assert_string_equal(seen.names[i], w.names[i + 4]);
	SSL_SESSION_free(c.session);
	identity_free(&self);
	/* A chain as long as no chain is. */
	w.padding = 40000;
	self = identity_new(&w, &root, "long");
	c.session = NULL;
	seen = shake(x, &s, &c);
	assert_int_equal(seen.result, ERR_TLS);
	assert_false(seen.any);
	SSL_SESSION_free(c.session);
	identity_free(&self);
	identity_free(&root);
	server_close(&s);
}

/* A resumed session has the first one's certificate and verdict; a server that asks otherwise takes no such ticket. */
RT_TEST(test_resumed)
{
	struct server s;
	struct identity root = identity_new(&usual_authority, NULL, "root"),
			other = identity_new(&usual_authority, NULL, "other"),
			self = identity_new(
			    &(struct wish){.names = {"ann@a.test"}, .from_s = -100, .until_s = 1000}, &root, "ann");

	server_open(&s, x->loop);
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct client c = {.self = &self, .version = version};
		struct seen seen;

		ask(&s, true, &root);
		seen = shake(x, &s, &c);
		assert_true(seen.peer.vouched && !c.reused && c.session != NULL);
		seen = shake(x, &s, &c);
		assert_true(c.reused && seen.any && seen.peer.vouched);
		assert_int_equal(seen.peer.names_n, 1);
		assert_string_equal(seen.names[0], "ann@a.test");
		/* Other authorities, none, and not asked at all: each another server. */
		ask(&s, true, &other);
		seen = shake(x, &s, &c);
		assert_true(!c.reused && seen.any && !seen.peer.vouched);
		ask(&s, true, NULL);
		seen = shake(x, &s, &c);
		assert_true(!c.reused && seen.any && !seen.peer.vouched);
		ask(&s, false, NULL);
		seen = shake(x, &s, &c);
		assert_true(!c.reused && !seen.any && seen.result == 0);
		SSL_SESSION_free(c.session);
	}
	identity_free(&self);
	identity_free(&root);
	identity_free(&other);
	server_close(&s);
}

RT_TEST(test_bad_authorities)
{
	struct server s;
	struct identity root = identity_new(&usual_authority, NULL, "root"),
			self = identity_new(
			    &(struct wish){.names = {"ann@a.test"}, .from_s = -100, .until_s = 1000}, &root, "ann");
	struct client c = {.self = &self};
	BUF_CLEANUP struct buf detail;

	buf_init(&detail, 1000);
	server_open(&s, x->loop);
	ask(&s, true, &root);
	assert_int_equal(tls_server_ask_certificates(s.tls, true, SLICE("no certificate"), &detail), ERR_SYNTAX);
	assert_true(detail.n > 0);
	assert_int_equal(ERR_peek_error(), 0);
	/* What was set before holds. */
	assert_true(shake(x, &s, &c).peer.vouched);
	SSL_SESSION_free(c.session);
	identity_free(&self);
	identity_free(&root);
	server_close(&s);
}

#define T(name) cmocka_unit_test(name##_run)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_any_is_taken),
	    T(test_who_vouches),
	    T(test_names),
	    T(test_resumed),
	    T(test_bad_authorities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
