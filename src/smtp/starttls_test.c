/* STARTTLS: our client against our server, what was sent in the clear along with it, and that TLS forgets what was said before. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/log.h"
#include "smtp/smtp.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

struct world {
	struct house house;
	struct loop *loop;
	EVP_PKEY *key;
	char *pem;
	long pem_n;
	struct tls_server *tls;
	struct tls_client *client_tls;
	struct smtp_sessions sessions;
	struct smtp_session_config config;
	struct stream *server, *client;
	struct smtp_send_job job;
	struct smtp_send_recipient recipient;
	struct arena arena;
	struct buf head, replies;
	int submits, result;
	void (*client_fn)(struct world *w);
	int fail; /* of the signer */
};

static int
sign(void *arg, struct slice key_id, enum tls_sign_kind kind, struct slice input, struct buf *out)
{
	struct world *w = arg;
	EVP_PKEY_CTX *c;
	size_t n = 0;
	uint8_t *p;

	(void)key_id;
	assert_int_equal(kind, TLS_SIGN_ECDSA);
	if (w->fail != 0)
		return w->fail;
	c = EVP_PKEY_CTX_new(w->key, NULL);
	assert_int_equal(EVP_PKEY_sign_init(c), 1);
	assert_int_equal(EVP_PKEY_sign(c, NULL, &n, input.p, input.n), 1);
	p = buf_reserve(out, n);
	assert_int_equal(EVP_PKEY_sign(c, p, &n, input.p, input.n), 1);
	buf_added(out, n);
	EVP_PKEY_CTX_free(c);
	return fiber_yield(w->loop);
}

static void
make_certificate(struct world *w)
{
	X509 *x = X509_new();
	BIO *b = BIO_new(BIO_s_mem());
	char *p;

	w->key = EVP_EC_gen("P-256");
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), 1), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), -3600));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 86400));
	assert_int_equal(X509_NAME_add_entry_by_txt(
			     X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"mx.test", -1, -1, 0),
	    1);
	assert_int_equal(X509_set_issuer_name(x, X509_get_subject_name(x)), 1);
	assert_int_equal(X509_set_pubkey(x, w->key), 1);
	assert_true(X509_sign(x, w->key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509(b, x), 1);
	w->pem_n = BIO_get_mem_data(b, &p);
	w->pem = malloc((size_t)w->pem_n);
	memcpy(w->pem, p, (size_t)w->pem_n);
	BIO_free(b);
	X509_free(x);
}

static int
take_rcpt(
    void *ctx, struct slice reverse_path, struct slice address, struct arena *a, int64_t *result, struct slice *detail)
{
	(void)ctx;
	(void)a;
	(void)detail;
	(void)reverse_path;
	(void)address;
	*result = RCPT_OK;
	return 0;
}

static int
take_message(void *ctx, const struct smtp_message *m, struct arena *a, int64_t *result, struct slice *detail)
{
	struct world *w = ctx;

	(void)a;
	(void)detail;
	w->submits++;
	buf_reset(&w->head);
	buf_put(&w->head, m->head);
	*result = SUBMIT_OK;
	return 0;
}

static void
server_main(void *arg)
{
	struct world *w = arg;

	smtp_session(w->server, &w->config);
	stream_close(&w->server);
}

static int
connect_server(void *ctx, struct stream **out)
{
	struct world *w = ctx;
	int e;

	while (w->server != NULL)
		(void)!fiber_sleep(w->loop, 1);
	e = stream_pair(w->loop, out, &w->server);
	return e != 0 ? e : fiber_start(w->loop, "server", server_main, w, NULL);
}

static void
client_main(void *arg)
{
	struct world *w = arg;

	w->client_fn(w);
}

static void
run(struct world *w, void (*fn)(struct world *w))
{
	w->client_fn = fn;
	assert_int_equal(fiber_start(w->loop, "client", client_main, w, NULL), 0);
	loop_run(w->loop);
	assert_int_equal(w->sessions.count, 0);
}

static int
setup(void **state)
{
	struct tls_client_config tls = {.opportunistic = true};
	struct world *w = calloc(1, sizeof(*w));
	struct tls_certificate c;
	BUF_CLEANUP struct buf detail;

	buf_init(&detail, 1000);
	house_init(&w->house, "test");
	w->house.log_level = LOG_ERROR;
	assert_int_equal(loop_new(&w->loop, &w->house), 0);
	make_certificate(w);
	c = (struct tls_certificate){.chain_pem = slice_of(w->pem, (size_t)w->pem_n), .key_id = SLICE("k")};
	assert_int_equal(tls_server_new(&w->tls, w->loop, (struct tls_signer){sign, w}), 0);
	assert_int_equal(tls_server_set_certificates(w->tls, &c, 1, &detail), 0);
	assert_int_equal(tls_client_new(&w->client_tls, w->loop, &tls, &detail), 0);
	smtp_sessions_init(&w->sessions);
	arena_init(&w->arena, 1 << 20);
	buf_init(&w->head, 10000);
	buf_init(&w->replies, 10000);
	w->config = (struct smtp_session_config){.loop = w->loop,
	    .sessions = &w->sessions,
	    .hostname = SLICE("mx.test"),
	    .client = SLICE("192.0.2.1"),
	    .client_literal = SLICE("[192.0.2.1]"),
	    .tls = w->tls,
	    .backend = {.rcpt = take_rcpt, .submit = take_message, .ctx = w}};
	w->recipient = (struct smtp_send_recipient){.address = SLICE("bob@b.test")};
	w->job = (struct smtp_send_job){.loop = w->loop,
	    .arena = &w->arena,
	    .hostname = SLICE("a.test"),
	    .recipients = &w->recipient,
	    .recipients_count = 1,
	    .body = SLICE("Subject: x\r\n\r\n"),
	    .fd = -1,
	    .size_bytes = 14,
	    .security = {.level = SMTP_TLS_MAY, .client = w->client_tls, .expect = {.name = SLICE("mx.test")}},
	    .connect = connect_server,
	    .connect_ctx = w};
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	tls_server_free(&w->tls);
	tls_client_free(&w->client_tls);
	loop_free(&w->loop);
	EVP_PKEY_free(w->key);
	free(w->pem);
	arena_free(&w->arena);
	buf_free(&w->head);
	buf_free(&w->replies);
	free(w);
	return 0;
}

static void
send_it(struct world *w)
{
	w->recipient.r = (struct smtp_send_result){0};
	w->result = smtp_send(&w->job);
}

static void
client_and_server_agree_on_tls(void **state)
{
	struct world *w = *state;

	run(w, send_it);
	assert_int_equal(w->result, 0);
	assert_int_equal(w->recipient.r.result, SEND_OK);
	assert_true(slice_starts(w->job.tls_text, SLICE("TLSv1.3 TLS_")));
	assert_int_not_equal(
	    slice_find(buf_slice(&w->head), SLICE("by mx.test with ESMTPS (TLSv1.3 TLS_")), SLICE_NONE);
	/* The vault does not sign: the message goes in the clear, once. */
	w->fail = ERR_UNAVAILABLE;
	run(w, send_it);
	assert_int_equal(w->recipient.r.result, SEND_OK);
	assert_int_equal(w->job.tls_text.n, 0);
	assert_int_equal(w->submits, 2);
}

static void
reply(struct world *w)
{
	struct slice line;

	do {
		if (stream_read_line(w->client, SLICE("\r\n"), 1000, &line) != 0)
			return;
	} while (line.n > 3 && slice_at(line, 3) == '-');
	buf_put(&w->replies, slice_head(line, 3));
	buf_put_u8(&w->replies, ' ');
}

static void
say(struct world *w, const char *text)
{
	(void)!stream_write(w->client, slice_z(text));
	(void)!stream_flush(w->client);
}

static void
inject(struct world *w)
{
	(void)!connect_server(w, &w->client);
	say(w, "EHLO a.test\r\nSTARTTLS\r\nMAIL FROM:<evil@a.test>\r\n");
	for (int i = 0; i < 4; i++)
		reply(w);
	stream_close(&w->client);
}

static void
forget(struct world *w)
{
	(void)!connect_server(w, &w->client);
	say(w, "EHLO a.test\r\nMAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nSTARTTLS\r\n");
	for (int i = 0; i < 5; i++)
		reply(w);
	(void)!stream_start_tls_client(w->client, w->client_tls, SLICE("mx.test"), loop_deadline(w->loop, 5000));
	say(w, "DATA\r\nMAIL FROM:<a@a.test>\r\nEHLO a.test\r\nSTARTTLS\r\nQUIT\r\n");
	for (int i = 0; i < 6; i++)
		reply(w);
	stream_close(&w->client);
}

static void
garbage(struct world *w)
{
	(void)!connect_server(w, &w->client);
	say(w, "STARTTLS\r\n");
	reply(w);
	reply(w);
	say(w, "MAIL FROM:<evil@a.test>\r\nNOOP\r\n");
	reply(w);
	stream_close(&w->client);
}

static void
what_was_said_before_is_forgotten(void **state)
{
	struct world *w = *state;

	run(w, inject);
	assert_true(slice_eq(buf_slice(&w->replies), SLICE("220 250 554 ")));
	buf_reset(&w->replies);
	run(w, forget);
	assert_true(slice_eq(buf_slice(&w->replies), SLICE("220 250 250 250 220 503 503 250 503 221 ")));
	buf_reset(&w->replies);
	run(w, garbage);
	assert_true(slice_eq(buf_slice(&w->replies), SLICE("220 220 ")));
	assert_int_equal(w->submits, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(client_and_server_agree_on_tls, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_was_said_before_is_forgotten, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
