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
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#define CRLF SLICE("\r\n")

/* ---- a vault of its own: keys, certificates, and a signer that takes its time ---- */

struct test_key {
	EVP_PKEY *key;
	char *pem; /* certificate */
	size_t pem_n;
};

struct vault {
	struct loop *loop;
	struct test_key keys[4]; /* by key id "0" to "3" */
	int64_t wait_ms;
	int gather; /* nothing is signed until so many wait for it at a time */
	int fail;
	int signing, signing_max, signed_n;
};

static void
add_extension(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_nconf_nid(NULL, NULL, nid, value);

	assert_non_null(e);
	assert_int_equal(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
}

static void
make_certificate(struct test_key *k, const char *san)
{
	X509 *x = X509_new();
	BIO *b = BIO_new(BIO_s_mem());
	char *p;
	long n;

	assert_int_equal(X509_set_version(x, 2), 1);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), 1), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), -3600));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 86400));
	assert_int_equal(X509_NAME_add_entry_by_txt(
			     X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0),
	    1);
	assert_int_equal(X509_set_issuer_name(x, X509_get_subject_name(x)), 1);
	assert_int_equal(X509_set_pubkey(x, k->key), 1);
	add_extension(x, NID_subject_alt_name, san);
	assert_true(X509_sign(x, k->key, EVP_PKEY_get_base_id(k->key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509(b, x), 1);
	n = BIO_get_mem_data(b, &p);
	k->pem = malloc((size_t)n);
	k->pem_n = (size_t)n;
	memcpy(k->pem, p, (size_t)n);
	BIO_free(b);
	X509_free(x);
}

static void
vault_open(struct vault *v, struct loop *l)
{
	*v = (struct vault){.loop = l};
	v->keys[0].key = EVP_EC_gen("P-256");
	v->keys[1].key = EVP_RSA_gen(2048);
	v->keys[2].key = EVP_EC_gen("P-256");
	v->keys[3].key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	make_certificate(&v->keys[0], "DNS:a.test,DNS:*.wild.test");
	make_certificate(&v->keys[1], "DNS:a.test");
	make_certificate(&v->keys[2], "DNS:b.test,DNS:exact.wild.test");
	make_certificate(&v->keys[3], "DNS:ed.test");
}

static void
vault_close(struct vault *v)
{
	for (size_t i = 0; i < 4; i++) {
		EVP_PKEY_free(v->keys[i].key);
		free(v->keys[i].pem);
	}
}

static int
vault_sign(void *arg, struct slice key_id, enum tls_sign_kind kind, struct slice input, struct buf *out)
{
	struct vault *v = arg;
	EVP_PKEY *key = v->keys[key_id.p[0] - '0'].key;
	EVP_PKEY_CTX *c;
	size_t n = 0;
	uint8_t *p;
	int r = 0;

	if (++v->signing > v->signing_max)
		v->signing_max = v->signing;
	/* Leaves dirt in the error queue, as another fiber's work might. */
	ERR_raise(ERR_LIB_USER, 42);
	for (int i = 0; r == 0 && i < 20000 && v->signing_max < v->gather; i++)
		r = fiber_sleep(v->loop, 1);
	if (r == 0 && v->wait_ms > 0)
		r = fiber_sleep(v->loop, 1 + (int64_t)house_random_below(loop_house(v->loop), (uint64_t)v->wait_ms));
	ERR_raise(ERR_LIB_USER, 43);
	v->signing--;
	if (r != 0 || v->fail != 0)
		return r != 0 ? r : v->fail;
	c = EVP_PKEY_CTX_new(key, NULL);
	assert_int_equal(EVP_PKEY_sign_init(c), 1);
	if (kind == TLS_SIGN_RSA_PKCS1)
		assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PADDING), 1);
	if (kind == TLS_SIGN_RSA_RAW)
		assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(c, RSA_NO_PADDING), 1);
	assert_int_equal(EVP_PKEY_sign(c, NULL, &n, input.p, input.n), 1);
	p = buf_reserve(out, n);
	assert_non_null(p);
	assert_int_equal(EVP_PKEY_sign(c, p, &n, input.p, input.n), 1);
	buf_added(out, n);
	EVP_PKEY_CTX_free(c);
	v->signed_n++;
	return 0;
}

static struct tls_certificate
certificate(struct vault *v, const char *id)
{
	const struct test_key *k = &v->keys[*id - '0'];

	return (struct tls_certificate){.chain_pem = slice_of(k->pem, k->pem_n), .key_id = slice_z(id)};
}

static struct tls_server *
server_new(struct vault *v, const char *ids)
{
	struct tls_certificate c[4];
	struct tls_server *s;
	BUF_CLEANUP struct buf detail;
	static const char *const each[] = {"0", "1", "2", "3"};
	size_t n = 0;

	buf_init(&detail, 1000);
	for (; *ids != 0; ids++)
		c[n++] = certificate(v, each[*ids - '0']);
	assert_int_equal(tls_server_new(&s, v->loop, (struct tls_signer){vault_sign, v}), 0);
	assert_false(tls_server_ready(s));
	assert_int_equal(tls_server_set_certificates(s, c, n, &detail), 0);
	assert_true(tls_server_ready(s));
	return s;
}

static struct tls_client *
client_new(struct vault *v, bool verify, size_t root)
{
	struct tls_client_config c = {.verify = verify, .opportunistic = !verify};
	struct tls_client *t;
	BUF_CLEANUP struct buf detail;

	buf_init(&detail, 1000);
	if (verify)
		c.ca_pem = slice_of(v->keys[root].pem, v->keys[root].pem_n);
	assert_int_equal(tls_client_new(&t, v->loop, &c, &detail), 0);
	return t;
}

/* ---- one side in a fiber of its own ---- */

struct side {
	struct loop *loop;
	struct stream *st;
	struct tls_server *server;
	struct tls_client *client;
	const char *name;
	int64_t ms;
	int result;
	struct fiber *fiber;
};

static void
side_main(void *arg)
{
	struct side *s = arg;
	int64_t end = loop_deadline(s->loop, s->ms == 0 ? 20000 : s->ms);

	s->result = s->server != NULL ? stream_start_tls_server(s->st, s->server, end)
				      : stream_start_tls_client(s->st, s->client, slice_z(s->name), end);
}

/* Both sides of a handshake. */
static void
shake(struct rt_test *x, struct side *server, struct side *client)
{
	server->loop = client->loop = x->loop;
	assert_int_equal(stream_pair(x->loop, &server->st, &client->st), 0);
	assert_int_equal(fiber_start(x->loop, "server", side_main, server, &server->fiber), 0);
	assert_int_equal(fiber_start(x->loop, "client", side_main, client, &client->fiber), 0);
	fiber_join(x->loop, &server->fiber);
	fiber_join(x->loop, &client->fiber);
}

static void
say_and_close(struct side *server, struct side *client)
{
	struct slice line;

	assert_int_equal(stream_printf(server->st, "220 %s\r\n", "hello"), 0);
	assert_int_equal(stream_flush(server->st), 0);
	assert_int_equal(stream_read_line(client->st, CRLF, 100, &line), 0);
	assert_true(slice_eq(line, SLICE("220 hello")));
	/* close_notify ends one direction only. */
	assert_int_equal(stream_printf(client->st, "QUIT\r\n"), 0);
	assert_int_equal(stream_shutdown(client->st), 0);
	assert_int_equal(stream_read_line(server->st, CRLF, 100, &line), 0);
	assert_true(slice_eq(line, SLICE("QUIT")));
	assert_int_equal(stream_read_line(server->st, CRLF, 100, &line), ERR_CLOSED);
	assert_int_equal(stream_printf(server->st, "221 bye\r\n"), 0);
	assert_int_equal(stream_shutdown(server->st), 0);
	assert_int_equal(stream_read_line(client->st, CRLF, 100, &line), 0);
	assert_int_equal(stream_read_line(client->st, CRLF, 100, &line), ERR_CLOSED);
}

static void
close_both(struct side *server, struct side *client)
{
	stream_close(&server->st);
	stream_close(&client->st);
}

RT_TEST(test_sni)
{
	static const struct {
		const char *sni;
		size_t root;
	} cases[] = {{"a.test", 0}, {"b.test", 2}, {"x.wild.test", 0}, {"exact.wild.test", 2}, {"B.TEST.", 2}};
	struct vault v;
	struct tls_server *s;

	vault_open(&v, x->loop);
	s = server_new(&v, "02");
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct tls_client *c = client_new(&v, true, cases[i].root);
		struct side a = {.server = s}, b = {.client = c, .name = cases[i].sni};

		shake(x, &a, &b);
		assert_int_equal(a.result, 0);
		assert_int_equal(b.result, 0);
		assert_true(stream_is_tls(a.st));
		assert_true(stream_tls_info(b.st)->verified);
		assert_string_equal(stream_tls_info(a.st)->version, "TLSv1.3");
		assert_int_equal(stream_tls_info(a.st)->bits, 256);
		assert_int_equal(strncasecmp(stream_tls_info(a.st)->server_name, cases[i].sni, 5), 0);
		say_and_close(&a, &b);
		close_both(&a, &b);
		tls_client_free(&c);
	}
	assert_int_equal(v.signed_n, COUNT_OF(cases));
	/* Unknown or no name: the first certificate; the client decides. */
	for (size_t i = 0; i < 2; i++) {
		struct tls_client *c = client_new(&v, false, 0);
		struct side a = {.server = s}, b = {.client = c, .name = i == 0 ? "a.b.wild.test" : "192.0.2.1"};

		shake(x, &a, &b);
		assert_int_equal(b.result, 0);
		assert_false(stream_tls_info(b.st)->verified);
		if (i == 1)
			assert_string_equal(stream_tls_info(a.st)->server_name, "");
		close_both(&a, &b);
		tls_client_free(&c);
	}
	tls_server_free(&s);
	vault_close(&v);
}

RT_TEST(test_client_refuses)
{
	struct vault v;
	struct tls_server *s;
	struct tls_client *stranger, *right;

	vault_open(&v, x->loop);
	s = server_new(&v, "0");
	stranger = client_new(&v, true, 2);
	right = client_new(&v, true, 0);
	for (size_t i = 0; i < 3; i++) {
		static const char *const names[] = {"a.test", "c.test", "192.0.2.7"};
		struct side a = {.server = s}, b = {.client = i == 0 ? stranger : right, .name = names[i]};

		shake(x, &a, &b);
		assert_int_equal(b.result, ERR_TLS);
		assert_non_null(strstr(stream_tls_info(b.st)->error, "not accepted"));
		assert_int_equal(stream_error(b.st), ERR_TLS);
		assert_int_equal(stream_write(b.st, SLICE("x")), ERR_TLS);
		assert_false(stream_is_tls(b.st));
		/* TLS 1.3: the server hears of it after its own handshake, at the latest when it reads. */
		if (a.result == 0)
			assert_int_equal(stream_fill(a.st, 10), ERR_TLS);
		close_both(&a, &b);
	}
	tls_client_free(&stranger);
	tls_client_free(&right);
	tls_server_free(&s);
	vault_close(&v);
}

/* OpenSSL as the client of a thread-less test: its own settings, over a stream's other end. */
struct plain {
	struct loop *loop;
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
	bool done, reused;
	SSL_SESSION *session;
};

static int
on_session(SSL *ssl, SSL_SESSION *s)
{
	struct plain *p = SSL_get_app_data(ssl);

	SSL_SESSION_free(p->session);
	p->session = s;
	return 1;
}

static void
plain_main(void *arg)
{
	struct plain *p = arg;
	char got[10];
	int r = 0;

	for (int i = 0; i < 2000 && r != 1; i++) {
		ERR_clear_error();
		r = SSL_do_handshake(p->ssl);
		if (r != 1 && SSL_get_error(p->ssl, r) != SSL_ERROR_WANT_READ)
			return;
		assert_int_equal(fiber_sleep(p->loop, 1), 0);
	}
	p->done = r == 1;
	p->reused = SSL_session_reused(p->ssl) == 1;
	for (int i = 0; i < 20; i++) {
		ERR_clear_error();
		(void)SSL_read(p->ssl, got, sizeof(got));
		assert_int_equal(fiber_sleep(p->loop, 1), 0);
	}
	ERR_clear_error();
}

/* A handshake of a client with settings of its own: the server's result. */
static int
plain_shake(struct rt_test *x, struct plain *p, struct tls_server *s, SSL_SESSION *resume, const char **cipher)
{
	struct side a = {.loop = x->loop, .server = s};
	struct fiber *f;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	assert_int_equal(stream_new(&a.st, x->loop, fd[0]), 0);
	p->loop = x->loop;
	p->fd = fd[1];
	p->done = p->reused = false;
	p->ssl = SSL_new(p->ctx);
	(void)SSL_set_app_data(p->ssl, p);
	assert_int_equal(SSL_set_fd(p->ssl, fd[1]), 1);
	if (resume != NULL)
		assert_int_equal(SSL_set_session(p->ssl, resume), 1);
	SSL_set_connect_state(p->ssl);
	assert_int_equal(fiber_start(x->loop, "plain", plain_main, p, &f), 0);
	side_main(&a);
	fiber_join(x->loop, &f);
	if (cipher != NULL)
		*cipher = a.result == 0 ? stream_tls_info(a.st)->cipher : "";
	stream_close(&a.st);
	/* A ticket that renews a resumed session of TLS 1.2 is not handed to on_session(). */
	if (p->reused && SSL_version(p->ssl) == TLS1_2_VERSION) {
		SSL_SESSION_free(p->session);
		p->session = SSL_get1_session(p->ssl);
	}
	/* OpenSSL takes a session that was not shut down for one that must not be resumed. */
	SSL_set_shutdown(p->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(p->ssl);
	(void)close(p->fd);
	ERR_clear_error();
	return a.result;
}

RT_TEST(test_versions_and_keys)
{
	static const struct {
		int min, max;
		const char *sigalgs;
		int result;
		bool rsa;
	} cases[] = {
	    {TLS1_3_VERSION, TLS1_3_VERSION, "ECDSA+SHA256", 0, false},
	    {TLS1_3_VERSION, TLS1_3_VERSION, "RSA-PSS+SHA256", 0, true},
	    {TLS1_3_VERSION, TLS1_3_VERSION, "RSA-PSS+SHA512", 0, true},
	    {TLS1_2_VERSION, TLS1_2_VERSION, "ECDSA+SHA384", 0, false},
	    {TLS1_2_VERSION, TLS1_2_VERSION, "RSA+SHA256", 0, true},
	    {TLS1_2_VERSION, TLS1_2_VERSION, "RSA-PSS+SHA256", 0, true},
	    {TLS1_VERSION, TLS1_1_VERSION, "ECDSA+SHA1:RSA+SHA1", ERR_TLS, false},
	};
	struct vault v;
	struct tls_server *s;

	vault_open(&v, x->loop);
	v.wait_ms = 3;
	s = server_new(&v, "01");
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct plain p = {.ctx = SSL_CTX_new(TLS_client_method())};
		const char *cipher;

		assert_int_equal(SSL_CTX_set_min_proto_version(p.ctx, cases[i].min), 1);
		assert_int_equal(SSL_CTX_set_max_proto_version(p.ctx, cases[i].max), 1);
		assert_int_equal(SSL_CTX_set_cipher_list(p.ctx, "ALL:@SECLEVEL=0"), 1);
		assert_int_equal(SSL_CTX_set1_sigalgs_list(p.ctx, cases[i].sigalgs), 1);
		assert_int_equal(plain_shake(x, &p, s, NULL, &cipher), cases[i].result);
		assert_int_equal(p.done, cases[i].result == 0);
		if (cases[i].result == 0 && cases[i].max == TLS1_2_VERSION)
			assert_int_equal(
			    strstr(cipher, "RSA") != NULL && strstr(cipher, "ECDSA") == NULL, cases[i].rsa);
		SSL_CTX_free(p.ctx);
	}
	/* Static RSA key exchange is never agreed on. */
	{
		struct plain p = {.ctx = SSL_CTX_new(TLS_client_method())};

		assert_int_equal(SSL_CTX_set_max_proto_version(p.ctx, TLS1_2_VERSION), 1);
		assert_int_equal(SSL_CTX_set_cipher_list(p.ctx, "kRSA"), 1);
		assert_int_equal(plain_shake(x, &p, s, NULL, NULL), ERR_TLS);
		SSL_CTX_free(p.ctx);
	}
	tls_server_free(&s);
	vault_close(&v);
}

RT_TEST(test_tickets)
{
	uint8_t keys[3][80];
	struct vault v;

	vault_open(&v, x->loop);
	house_random(&x->house, keys, sizeof(keys));
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct tls_server *s = server_new(&v, "0");
		struct plain p = {.ctx = SSL_CTX_new(TLS_client_method())};
		int before = v.signed_n;

		assert_int_equal(SSL_CTX_set_max_proto_version(p.ctx, version), 1);
		(void)SSL_CTX_set_session_cache_mode(p.ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(p.ctx, on_session);
		/* No keys, no tickets. */
		assert_int_equal(plain_shake(x, &p, s, NULL, NULL), 0);
		assert_true(p.session == NULL || !SSL_SESSION_has_ticket(p.session));
		assert_int_equal(tls_server_set_ticket_keys(s, SLICE_LIST(slice_of(keys[0], 79))), ERR_INVALID);
		assert_int_equal(tls_server_set_ticket_keys(s, SLICE_LIST(slice_of(keys[0], 80))), 0);
		assert_int_equal(plain_shake(x, &p, s, NULL, NULL), 0);
		assert_true(p.session != NULL && SSL_SESSION_has_ticket(p.session));
		/* Resumed: nothing is signed. A key that has moved back still opens it, and the client gets a new ticket. */
		assert_int_equal(plain_shake(x, &p, s, p.session, NULL), 0);
		assert_true(p.reused);
		assert_int_equal(v.signed_n, before + 2);
		assert_int_equal(
		    tls_server_set_ticket_keys(s, SLICE_LIST(slice_of(keys[1], 80), slice_of(keys[0], 80))), 0);
		assert_int_equal(plain_shake(x, &p, s, p.session, NULL), 0);
		assert_true(p.reused);
		/* Another server with the newest key takes it; one that lost the keys shakes hands in full. */
		assert_int_equal(tls_server_set_ticket_keys(s, SLICE_LIST(slice_of(keys[1], 80))), 0);
		assert_int_equal(plain_shake(x, &p, s, p.session, NULL), 0);
		assert_true(p.reused);
		assert_int_equal(tls_server_set_ticket_keys(s, SLICE_LIST(slice_of(keys[2], 80))), 0);
		assert_int_equal(plain_shake(x, &p, s, p.session, NULL), 0);
		assert_false(p.reused);
		assert_int_equal(v.signed_n, before + 3);
		SSL_SESSION_free(p.session);
		SSL_CTX_free(p.ctx);
		tls_server_free(&s);
	}
	vault_close(&v);
}

#define MANY 60

/* Handshakes interleave in a signer that takes its time, while the certificates are replaced again and again. */
RT_TEST(test_many_and_reload)
{
	struct vault v;
	struct tls_server *s;
	struct tls_client *c;
	struct side a[MANY], b[MANY];
	struct tls_certificate two[2];
	BUF_CLEANUP struct buf detail;

	buf_init(&detail, 1000);
	vault_open(&v, x->loop);
	v.wait_ms = 30;
	v.gather = 4;
	s = server_new(&v, "0");
	c = client_new(&v, false, 0);
	for (size_t i = 0; i < MANY; i++) {
		a[i] = (struct side){.loop = x->loop, .server = s};
		b[i] = (struct side){.loop = x->loop, .client = c, .name = i % 2 == 0 ? "a.test" : "b.test"};
		assert_int_equal(stream_pair(x->loop, &a[i].st, &b[i].st), 0);
		assert_int_equal(fiber_start(x->loop, "server", side_main, &a[i], &a[i].fiber), 0);
		assert_int_equal(fiber_start(x->loop, "client", side_main, &b[i], &b[i].fiber), 0);
		assert_int_equal(fiber_sleep(x->loop, i % 3 == 0), 0);
		two[0] = certificate(&v, i % 2 == 0 ? "1" : "0");
		two[1] = certificate(&v, "2");
		assert_int_equal(tls_server_set_certificates(s, two, 1 + i % 2, &detail), 0);
		/* What cannot be used changes nothing. */
		two[0] = certificate(&v, "3");
		assert_int_equal(tls_server_set_certificates(s, two, 1, &detail), ERR_UNSUPPORTED);
		two[0].chain_pem = SLICE("nonsense");
		assert_int_equal(tls_server_set_certificates(s, two, 1, &detail), ERR_SYNTAX);
		assert_int_equal(tls_server_set_certificates(s, two, 0, &detail), ERR_INVALID);
		two[0].chain_pem = slice_head(certificate(&v, "0").chain_pem, 300);
		assert_int_equal(tls_server_set_certificates(s, two, 1, &detail), ERR_SYNTAX);
		assert_true(detail.n > 0);
		buf_reset(&detail);
	}
	/* The server may go before its sessions. */
	for (size_t i = 0; i < MANY; i++) {
		fiber_join(x->loop, &a[i].fiber);
		fiber_join(x->loop, &b[i].fiber);
		assert_int_equal(a[i].result, 0);
		assert_int_equal(b[i].result, 0);
	}
	tls_server_free(&s);
	tls_client_free(&c);
	for (size_t i = 0; i < MANY; i++) {
		say_and_close(&a[i], &b[i]);
		close_both(&a[i], &b[i]);
	}
	assert_true(v.signing_max >= v.gather);
	vault_close(&v);
}

/* A vault that refuses, a handshake that is cancelled in the signature, a client that says nothing or nonsense. */
RT_TEST(test_failures)
{
	struct vault v;
	struct tls_server *s;
	struct tls_client *c;
	struct side a, b;

	vault_open(&v, x->loop);
	s = server_new(&v, "01");
	c = client_new(&v, false, 0);
	x->house.log_level = LOG_ERROR;
	v.fail = ERR_UNAVAILABLE;
	a = (struct side){.server = s};
	b = (struct side){.client = c, .name = "a.test"};
	shake(x, &a, &b);
	assert_int_equal(a.result, ERR_TLS);
	assert_int_equal(b.result, ERR_TLS);
	close_both(&a, &b);

	v.fail = 0;
	v.wait_ms = 5000;
	a = (struct side){.loop = x->loop, .server = s};
	b = (struct side){.loop = x->loop, .client = c, .name = "a.test"};
	assert_int_equal(stream_pair(x->loop, &a.st, &b.st), 0);
	assert_int_equal(fiber_start(x->loop, "server", side_main, &a, &a.fiber), 0);
	assert_int_equal(fiber_start(x->loop, "client", side_main, &b, &b.fiber), 0);
	while (v.signing == 0)
		assert_int_equal(fiber_sleep(x->loop, 1), 0);
	fiber_cancel(a.fiber);
	fiber_join(x->loop, &a.fiber);
	assert_int_equal(a.result, ERR_TLS);
	stream_close(&a.st);
	fiber_join(x->loop, &b.fiber);
	assert_int_not_equal(b.result, 0);
	stream_close(&b.st);
	v.wait_ms = 0;

	a = (struct side){.loop = x->loop, .server = s, .ms = 30};
	assert_int_equal(stream_pair(x->loop, &a.st, &b.st), 0);
	side_main(&a);
	assert_int_equal(a.result, ERR_TIMEOUT);
	close_both(&a, &b);

	a = (struct side){.loop = x->loop, .server = s, .ms = 5000};
	assert_int_equal(stream_pair(x->loop, &a.st, &b.st), 0);
	assert_int_equal(stream_write(b.st, SLICE("EHLO there\r\nMAIL FROM:<>\r\n")), 0);
	assert_int_equal(stream_flush(b.st), 0);
	side_main(&a);
	assert_int_equal(a.result, ERR_TLS);
	assert_true(stream_tls_info(a.st)->error[0] != 0);
	close_both(&a, &b);

	a = (struct side){.loop = x->loop, .server = s, .ms = 5000};
	assert_int_equal(stream_pair(x->loop, &a.st, &b.st), 0);
	stream_close(&b.st);
	side_main(&a);
	assert_int_equal(a.result, ERR_CLOSED);
	stream_close(&a.st);

	tls_client_free(&c);
	tls_server_free(&s);
	/* A server without certificates. */
	assert_int_equal(tls_server_new(&s, x->loop, (struct tls_signer){vault_sign, &v}), 0);
	a = (struct side){.loop = x->loop, .server = s};
	assert_int_equal(stream_pair(x->loop, &a.st, &b.st), 0);
	side_main(&a);
	assert_int_equal(a.result, ERR_UNAVAILABLE);
	close_both(&a, &b);
	tls_server_free(&s);
	vault_close(&v);
}

/* Commands sent behind STARTTLS in the clear are never taken for what came under TLS (RFC 3207 §5). */
RT_TEST(test_injected_plaintext)
{
	struct vault v;
	struct tls_server *s;
	struct stream *a, *b;
	struct slice line;

	vault_open(&v, x->loop);
	s = server_new(&v, "0");
	assert_int_equal(stream_pair(x->loop, &a, &b), 0);
	assert_int_equal(stream_write(b, SLICE("STARTTLS\r\nRSET\r\n")), 0);
	assert_int_equal(stream_flush(b), 0);
	assert_int_equal(stream_read_line(a, CRLF, 100, &line), 0);
	assert_int_equal(stream_start_tls_server(a, s, loop_deadline(x->loop, 5000)), ERR_SYNTAX);
	assert_false(stream_is_tls(a));
	stream_close(&a);
	stream_close(&b);
	tls_server_free(&s);
	vault_close(&v);
}

struct mover {
	struct stream *st;
	size_t n;
	uint8_t seed;
	int result;
	struct fiber *fiber;
};

static uint8_t
pattern(size_t i, uint8_t seed)
{
	return (uint8_t)(i * 7 + (i >> 9) + seed);
}

static void
mover_main(void *arg)
{
	struct mover *m = arg;
	uint8_t block[777];

	for (size_t sent = 0; m->result == 0 && sent < m->n; sent += sizeof(block)) {
		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = pattern(sent + i, m->seed);
		m->result = stream_write(m->st, slice_of(block, sizeof(block)));
	}
	if (m->result == 0)
		m->result = stream_shutdown(m->st);
}

static void
taker_main(void *arg)
{
	struct mover *m = arg;
	size_t at = 0;

	for (;;) {
		struct slice p;

		m->result = stream_fill(m->st, 10000);
		if (m->result != 0)
			break;
		p = stream_pending(m->st);
		for (size_t i = 0; i < p.n; i++)
			if (p.p[i] != pattern(at + i, m->seed))
				fail();
		at += p.n;
		stream_consume(m->st, p.n);
	}
	m->n = at;
}

/* 1 MB both ways at once: each side has a fiber that reads and one that writes. */
RT_TEST(test_both_ways)
{
	struct vault v;
	struct tls_server *s;
	struct tls_client *c;
	struct side a, b;
	struct mover m[4];

	vault_open(&v, x->loop);
	s = server_new(&v, "0");
	c = client_new(&v, false, 0);
	a = (struct side){.server = s};
	b = (struct side){.client = c, .name = "a.test"};
	shake(x, &a, &b);
	assert_int_equal(a.result | b.result, 0);
	m[0] = (struct mover){.st = a.st, .n = 777 * 1350, .seed = 1};
	m[1] = (struct mover){.st = b.st, .n = 777 * 1350, .seed = 2};
	m[2] = (struct mover){.st = a.st, .seed = 2};
	m[3] = (struct mover){.st = b.st, .seed = 1};
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(fiber_start(x->loop, "mover", i < 2 ? mover_main : taker_main, &m[i], &m[i].fiber), 0);
	for (size_t i = 0; i < 4; i++)
		fiber_join(x->loop, &m[i].fiber);
	assert_int_equal(m[0].result | m[1].result, 0);
	assert_int_equal(m[2].result, ERR_CLOSED);
	assert_int_equal(m[2].n, 777 * 1350);
	assert_int_equal(m[3].n, 777 * 1350);
	close_both(&a, &b);
	tls_client_free(&c);
	tls_server_free(&s);
	vault_close(&v);
}

/* A proxy with TLS on one side, as between a client and a desk. */
static void
proxy_main(void *arg)
{
	struct side *s = arg;

	s->result = stream_start_tls_server(s->st, s->server, DEADLINE_NEVER);
	if (s->result == 0) {
		struct stream *desk = (struct stream *)(uintptr_t)s->name;

		s->result = stream_proxy(s->st, desk, 5000);
		stream_close(&desk);
	}
	stream_close(&s->st);
}

RT_TEST(test_proxy_under_tls)
{
	struct vault v;
	struct tls_server *s;
	struct tls_client *c;
	struct side a, b;
	struct stream *near, *far;
	struct mover m[4];

	vault_open(&v, x->loop);
	s = server_new(&v, "0");
	c = client_new(&v, false, 0);
	assert_int_equal(stream_pair(x->loop, &near, &far), 0);
	a = (struct side){.loop = x->loop, .server = s, .name = (const char *)near};
	b = (struct side){.loop = x->loop, .client = c, .name = "a.test"};
	assert_int_equal(stream_pair(x->loop, &a.st, &b.st), 0);
	assert_int_equal(fiber_start(x->loop, "proxy", proxy_main, &a, &a.fiber), 0);
	side_main(&b);
	assert_int_equal(b.result, 0);
	m[0] = (struct mover){.st = far, .n = 777 * 1350, .seed = 1};
	m[1] = (struct mover){.st = b.st, .n = 777 * 1350, .seed = 2};
	m[2] = (struct mover){.st = far, .seed = 2};
	m[3] = (struct mover){.st = b.st, .seed = 1};
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(fiber_start(x->loop, "mover", i < 2 ? mover_main : taker_main, &m[i], &m[i].fiber), 0);
	for (size_t i = 0; i < 4; i++)
		fiber_join(x->loop, &m[i].fiber);
	fiber_join(x->loop, &a.fiber);
	assert_int_equal(m[0].result | m[1].result | a.result, 0);
	assert_int_equal(m[2].n, 777 * 1350);
	assert_int_equal(m[3].n, 777 * 1350);
	stream_close(&far);
	stream_close(&b.st);
	tls_client_free(&c);
	tls_server_free(&s);
	vault_close(&v);
}

RT_TEST(test_client_configuration)
{
	struct tls_client *c;
	struct tls_client_config bad = {.verify = true, .ca_pem = SLICE("no certificate")}, own = {.verify = true};
	BUF_CLEANUP struct buf detail;

	buf_init(&detail, 1000);
	assert_int_equal(tls_client_new(&c, x->loop, &bad, &detail), ERR_SYNTAX);
	assert_null(c);
	assert_true(detail.n > 0);
	assert_int_equal(tls_client_new(&c, x->loop, &own, &detail), 0);
	tls_client_free(&c);
}

#define T(name) cmocka_unit_test(name##_run)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_sni),
	    T(test_client_refuses),
	    T(test_versions_and_keys),
	    T(test_tickets),
	    T(test_many_and_reload),
	    T(test_failures),
	    T(test_injected_plaintext),
	    T(test_both_ways),
	    T(test_proxy_under_tls),
	    T(test_client_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
