/* Whole exchanges against an account "user" with the password "pencil", and what clients send instead. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "directory/sasl.h"

#include "rt/rt_test.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

static void
test_plain(void **state)
{
	struct sasl_plain p;

	(void)state;
	assert_int_equal(sasl_plain_parse(SLICE("\0tim\0tanstaaftanstaaf"), &p), 0);
	assert_int_equal(p.authzid.n, 0);
	assert_true(slice_eq(p.authcid, SLICE("tim")));
	assert_true(slice_eq(p.password, SLICE("tanstaaftanstaaf")));
	assert_int_equal(sasl_plain_parse(SLICE("Ursel\0Kurt\0xipj3plmq"), &p), 0);
	assert_true(slice_eq(p.authzid, SLICE("Ursel")));
	assert_int_equal(sasl_plain_parse(SLICE(""), &p), ERR_SYNTAX);
	assert_int_equal(sasl_plain_parse(SLICE("\0"), &p), ERR_SYNTAX);
	assert_int_equal(sasl_plain_parse(SLICE("\0a"), &p), ERR_SYNTAX);
	assert_int_equal(sasl_plain_parse(SLICE("\0a\0"), &p), ERR_SYNTAX);
	assert_int_equal(sasl_plain_parse(SLICE("\0\0b"), &p), ERR_SYNTAX);
	assert_int_equal(sasl_plain_parse(SLICE("a\0b\0c\0d"), &p), ERR_SYNTAX);
}

/* ---- exchanges ---- */

struct talk {
	struct rt_test *x;
	struct stream *client, *server, *desk;
	const char *lines[4]; /* the client's, in its turn; NULL: as a good client of SCRAM */
	size_t at;
	bool closed;
	char challenges[4][400];
	/* SCRAM's client */
	enum scram_hash hash;
	const char *password, *first, *binding;
	int begun, proven, joined, passwords;
	char login[100], authzid[100];
};

static void
decode(const char *base64, char *out, size_t max)
{
	struct buf b BUF_CLEANUP;

	buf_init(&b, max);
	assert_int_equal(buf_put_unbase64(&b, slice_z(base64)), 0);
	assert_int_equal(slice_to_z(buf_slice(&b), out, max), 0);
}

/* The client's last message for the server's first one, in base64 in a static buffer. */
static const char *
last_message(struct talk *t, const char *server_first)
{
	static char line[2000];
	const struct scram_kind *k = &scram_kinds[t->hash];
	const EVP_MD *md = EVP_get_digestbyname(k->md);
	const char *s = strstr(server_first, ",s=") + 3, *i = strstr(server_first, ",i=") + 3;
	struct buf salt BUF_CLEANUP, text BUF_CLEANUP, c BUF_CLEANUP, out BUF_CLEANUP;
	uint8_t salted[32], client[32], stored[32], signature[32];

	buf_init(&salt, 100);
	buf_init(&text, 1000);
	buf_init(&c, 100);
	buf_init(&out, 2000);
	assert_int_equal(buf_put_unbase64(&salt, slice_of(s, (size_t)(i - 3 - s))), 0);
	assert_int_equal(PKCS5_PBKDF2_HMAC(t->password, (int)strlen(t->password), buf_slice(&salt).p, (int)salt.n, 4096,
			     md, (int)k->n, salted),
	    1);
	HMAC(md, salted, (int)k->n, (const uint8_t *)"Client Key", 10, client, NULL);
	EVP_Digest(client, k->n, stored, NULL, md, NULL);
	buf_put_base64(&c, slice_z(t->binding));
	buf_printf(&text, "%s,%s,c=%.*s,%.*s", strchr(strchr(t->first, ',') + 1, ',') + 1, server_first,
	    SLICE_ARG(buf_slice(&c)), (int)(s - 3 - server_first), server_first);
	HMAC(md, stored, (int)k->n, buf_slice(&text).p, text.n, signature, NULL);
	for (size_t n = 0; n < k->n; n++)
		client[n] ^= signature[n];
	buf_reset(&text);
	buf_printf(&text, "c=%.*s,%.*s,p=", SLICE_ARG(buf_slice(&c)), (int)(s - 3 - server_first), server_first);
	buf_put_base64(&text, slice_of(client, k->n));
	buf_put_base64(&out, buf_slice(&text));
	assert_int_equal(slice_to_z(buf_slice(&out), line, sizeof(line)), 0);
	return line;
}

static int
ask(void *ctx, struct slice challenge, struct slice *line)
{
	struct talk *t = ctx;
	char base64[1000];

	assert_int_equal(slice_to_z(challenge, base64, sizeof(base64)), 0);
	assert_true(t->at < COUNT_OF(t->lines));
	decode(base64, t->challenges[t->at], sizeof(t->challenges[0]));
	if (t->closed)
		return ERR_CLOSED;
	*line = slice_z(t->lines[t->at]);
	if (line->p == NULL && t->at == 0)
		*line = slice_z(last_message(t, t->challenges[0]));
	t->at++;
	return 0;
}

static int
fake_sign_in(void *ctx, const struct signin_request *r, struct stream **desk)
{
	struct talk *t = ctx;

	(void)desk;
	t->passwords++;
	assert_int_equal(slice_to_z(r->login, t->login, sizeof(t->login)), 0);
	assert_int_equal(slice_to_z(r->authzid, t->authzid, sizeof(t->authzid)), 0);
	return slice_eq(r->password, SLICE("pencil")) ? 0 : ERR_DENIED;
}

static int
fake_begin(void *ctx, const struct signin_request *r, struct arena *a, struct signin_scram *s)
{
	struct talk *t = ctx;

	(void)a;
	t->begun++;
	assert_int_equal(slice_to_z(r->login, t->login, sizeof(t->login)), 0);
	assert_int_equal(slice_to_z(r->authzid, t->authzid, sizeof(t->authzid)), 0);
	s->salt = SLICE("0123456789");
	s->iterations = 4096;
	s->nonce = SLICE("SERVER");
	return slice_eq(r->login, SLICE("busy")) ? ERR_UNAVAILABLE : 0;
}

static int
fake_prove(void *ctx, const struct signin_request *r, struct arena *a, struct signin_scram *s,
    struct slice auth_message, struct slice proof)
{
	struct talk *t = ctx;
	struct scram_keys k = {.iterations = 4096, .salt = "0123456789", .salt_n = 10};
	uint8_t signature[SCRAM_KEY_MAX];
	int err = scram_keys_make(s->hash, SLICE("pencil"), &k);

	(void)r;
	t->proven++;
	assert_int_equal(s->hash, t->hash);
	if (err == 0)
		err = scram_verify(s->hash, &k, auth_message, proof, signature);
	s->signature = arena_copy(a, slice_of(signature, scram_kinds[s->hash].n));
	return err;
}

static int
fake_join(void *ctx, const struct signin_request *r, const struct signin_scram *s, struct stream **desk)
{
	struct talk *t = ctx;

	(void)r;
	(void)s;
	(void)desk;
	t->joined++;
	return 0;
}

static enum sasl_outcome
talk(struct talk *t, const char *mechanism, const char *initial)
{
	struct signin_ops ops = {.sign_in = fake_sign_in,
	    .scram_begin = fake_begin,
	    .scram_prove = fake_prove,
	    .scram_join = fake_join,
	    .ctx = t};
	struct sasl s = {.limits = &t->x->house.limits,
	    .ops = &ops,
	    .request = {.service = SERVICE_SUBMISSION},
	    .ask = ask,
	    .ctx = t};
	enum sasl_outcome o;

	assert_int_equal(stream_pair(t->x->loop, &t->client, &t->server), 0);
	s.st = t->server;
	o = sasl_sign_in(&s, slice_z(mechanism), slice_z(initial), &t->desk);
	stream_close(&t->client);
	stream_close(&t->server);
	assert_true(o != SASL_SIGNED_IN || t->joined + t->passwords == 1);
	return o;
}

/* A SCRAM exchange whose initial response is `first` in the clear. */
static enum sasl_outcome
scram(struct talk *t, const char *mechanism, const char *first)
{
	struct buf b BUF_CLEANUP;

	buf_init(&b, 1000);
	buf_put_base64(&b, slice_z(first));
	buf_put_u8(&b, 0);
	t->first = first;
	if (t->password == NULL)
		t->password = "pencil";
	if (t->binding == NULL)
		t->binding = "n,,";
	if (t->lines[1] == NULL)
		t->lines[1] = "";
	return talk(t, mechanism, (const char *)buf_slice(&b).p);
}

RT_TEST(test_scram)
{
	struct talk t = {.x = x, .hash = SCRAM_SHA_256};

	assert_int_equal(scram(&t, "scram-sha-256",
			     "n,,n=us\xc2\xad"
			     "er,r=abc"),
	    SASL_SIGNED_IN);
	assert_string_equal(t.challenges[0], "r=abcSERVER,s=MDEyMzQ1Njc4OQ==,i=4096");
	assert_memory_equal(t.challenges[1], "v=", 2);
	assert_string_equal(t.login, "user"); /* prepared */
	t = (struct talk){.x = x, .hash = SCRAM_SHA_1, .binding = "n,a=user,"};
	assert_int_equal(scram(&t, "SCRAM-SHA-1", "n,a=user,n=user,r=abc,e=x"), SASL_SIGNED_IN);
	assert_string_equal(t.authzid, "user");
	t = (struct talk){.x = x, .hash = SCRAM_SHA_256, .binding = "y,,"};
	assert_int_equal(
	    scram(&t, "SCRAM-SHA-256", "y,,n=user,r=abc"), SASL_SIGNED_IN); /* nothing is offered here to bind to */
}

RT_TEST(test_scram_refused)
{
	static const struct {
		const char *first, *password, *binding, *last, *end;
		enum sasl_outcome want;
	} rows[] = {
	    {"n,,n=user,r=abc", "pencils", NULL, NULL, NULL, SASL_DENIED},
	    {"n,,n=user,r=abc", NULL, "y,,", NULL, NULL, SASL_DENIED},
	    {"n,,n=user,r=abc", NULL, "n,a=x,", NULL, NULL, SASL_DENIED},
	    {"n,,n=user,r=abc", NULL, NULL, "*", NULL, SASL_CANCELLED},
	    {"n,,n=user,r=abc", NULL, NULL, "", NULL, SASL_MALFORMED},
	    {"n,,n=user,r=abc", NULL, NULL, "!", NULL, SASL_MALFORMED},
	    {"n,,n=user,r=abc", NULL, NULL, "Yz1iaXdzLHI9YWJjLHA9WVE9PQ==", NULL,
		SASL_MALFORMED}, /* its own nonce only */
	    {"n,,n=user,r=abc", NULL, NULL, "Yz1iaXdzLHI9YWJjU0VSVkVSLHA9WVE9PQ==", NULL, SASL_DENIED}, /* p=YQ== */
	    {"n,,n=user,r=abc", NULL, NULL, NULL, "*", SASL_CANCELLED},
	    {"n,,n=user,r=abc", NULL, NULL, NULL, "YQ==", SASL_MALFORMED},
	    {"n,,n=busy,r=abc", NULL, NULL, NULL, NULL, SASL_BUSY},
	    {"p=tls-exporter,,n=user,r=abc", NULL, NULL, NULL, NULL, SASL_MALFORMED},
	    {"n,,n=user", NULL, NULL, NULL, NULL, SASL_MALFORMED},
	    {"n,,m=x,n=user,r=abc", NULL, NULL, NULL, NULL, SASL_MALFORMED},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct talk t = {.x = x,
		    .hash = SCRAM_SHA_256,
		    .password = rows[i].password,
		    .binding = rows[i].binding,
		    .lines = {rows[i].last, rows[i].end}};

		if (scram(&t, "SCRAM-SHA-256", rows[i].first) != rows[i].want)
			fail_msg("row %zu", i);
		assert_int_equal(t.joined, 0);
	}
}

RT_TEST(test_mechanisms)
{
	struct talk t = {.x = x, .lines = {"dXNlcg==", "cGVuY2ls"}};
	struct buf names BUF_CLEANUP;

	assert_int_equal(talk(&t, "LOGIN", NULL), SASL_SIGNED_IN);
	assert_string_equal(t.challenges[0], "Username:");
	assert_string_equal(t.challenges[1], "Password:");
	assert_string_equal(t.login, "user");
	t = (struct talk){.x = x, .lines = {"cGVuY2ls"}};
	assert_int_equal(talk(&t, "login", "dXNlcg=="), SASL_SIGNED_IN);
	t = (struct talk){.x = x, .lines = {"AHVzZXIAcGVuY2ls"}};
	assert_int_equal(talk(&t, "PLAIN", NULL), SASL_SIGNED_IN);
	assert_string_equal(t.challenges[0], "");
	t = (struct talk){.x = x};
	assert_int_equal(talk(&t, "PLAIN", "YQBib2IAcGVuY2ls"), SASL_SIGNED_IN);
	assert_string_equal(t.authzid, "a");
	t = (struct talk){.x = x};
	assert_int_equal(talk(&t, "PLAIN", "AHVzZXIAd3Jvbmc="), SASL_DENIED);
	assert_int_equal(talk(&t, "PLAIN", "="), SASL_MALFORMED);
	assert_int_equal(talk(&t, "PLAIN", ""), SASL_MALFORMED);
	assert_int_equal(talk(&t, "PLAIN", "!"), SASL_MALFORMED);
	assert_int_equal(talk(&t, "PLAIN", "*"), SASL_CANCELLED);
	assert_int_equal(talk(&t, "CRAM-MD5", NULL), SASL_NO_MECHANISM);
	assert_int_equal(talk(&t, "", NULL), SASL_NO_MECHANISM);
	assert_int_equal(talk(&t, "SCRAM-SHA-256-PLUS", NULL), SASL_NO_MECHANISM); /* not without TLS */
	t.closed = true;
	assert_int_equal(talk(&t, "PLAIN", NULL), SASL_ENDED);
	buf_init(&names, 1000);
	assert_int_equal(stream_pair(x->loop, &t.client, &t.server), 0);
	sasl_put_mechanisms(&names, t.server, SERVICE_IMAP, false, SLICE("<"), SLICE(">"));
	assert_true(slice_eq(buf_slice(&names), SLICE("<SCRAM-SHA-256><SCRAM-SHA-1><PLAIN>")));
	stream_close(&t.client);
	stream_close(&t.server);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_plain),
	    cmocka_unit_test(test_scram_run),
	    cmocka_unit_test(test_scram_refused_run),
	    cmocka_unit_test(test_mechanisms_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
