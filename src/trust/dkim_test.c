/* DKIM: the signed message of RFC 8463 appendix A, messages that are signed here, and what strangers may do to them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "trust/dkim.h"
#include "trust/dkim_sign.h"
#include "trust/zone_file.h"

#include <openssl/rsa.h>
#include <sys/resource.h>

#define NOW 1528640000

static const char rfc8463[] = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
			      " d=football.example.com; i=@football.example.com;\r\n"
			      " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
			      " subject : date : message-id : from : subject : date;\r\n"
			      " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
			      " b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
			      " Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
			      "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
			      " d=football.example.com; i=@football.example.com;\r\n"
			      " q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"
			      " date : message-id : from : subject : date;\r\n"
			      " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
			      " b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r\n"
			      " DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r\n"
			      " dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\r\n"
			      "From: Joe SixPack <joe@football.example.com>\r\n"
			      "To: Suzie Q <suzie@shopping.example.net>\r\n"
			      "Subject: Is dinner ready?\r\n"
			      "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
			      "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
			      "\r\n"
			      "Hi.\r\n"
			      "\r\n"
			      "We lost the game.  Are you hungry yet?\r\n"
			      "\r\n"
			      "Joe.\r\n";

static const char rfc8463_zone[] = "brisbane._domainkey.football.example.com. IN TXT (\n"
				   " \"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\")\n"
				   "test._domainkey.football.example.com. IN TXT (\n"
				   " \"v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR\"\n"
				   " \"iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC\"\n"
				   " \"DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3\"\n"
				   " \"Ip3G+2kryOTIKT+l/K4w3QIDAQAB\")\n";

struct world {
	struct limits limits;
	struct arena arena;
	struct buf zone_text, detail;
	struct zone_file *zone;
	struct trust_dns dns;
	struct dkim_results results;
	EVP_PKEY *rsa, *ed;
};

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	limits_default(&w->limits);
	arena_init(&w->arena, 64 << 20);
	buf_init(&w->zone_text, 1 << 20);
	buf_init(&w->detail, 4096);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	zone_file_free(&w->zone);
	dkim_key_free(&w->rsa);
	dkim_key_free(&w->ed);
	buf_free(&w->zone_text);
	buf_free(&w->detail);
	arena_free(&w->arena);
	free(w);
	return 0;
}

static void
use_zone(struct world *w, struct slice text)
{
	zone_file_free(&w->zone);
	assert_int_equal(zone_file_new(&w->zone, text, &w->detail), 0);
	w->dns = zone_file_dns(w->zone);
}

static struct dkim_reader *
read_in(struct world *w, struct slice message, size_t piece, enum dkim_reading what)
{
	struct dkim_reader *r;

	assert_int_equal(dkim_reader_new(&r, &w->limits, what), 0);
	for (; message.n > 0; message = slice_from(message, message.n < piece ? message.n : piece))
		dkim_reader_feed(r, slice_head(message, piece));
	assert_int_equal(dkim_reader_end(r), 0);
	return r;
}

/* The result of the first signature, or TRUST_NONE. */
static enum trust_result
verify_at(struct world *w, struct slice message, size_t piece, int64_t now)
{
	struct dkim_reader *r = read_in(w, message, piece, DKIM_VERIFYING);

	assert_int_equal(dkim_verify(r, &w->dns, now, &w->arena, &w->results), 0);
	for (size_t i = 0; i < w->results.n; i++)
		assert_true(w->results.v[i].reason.n > 0);
	dkim_reader_free(&r);
	return w->results.n == 0 ? TRUST_NONE : w->results.v[0].result;
}

static enum trust_result
verify(struct world *w, struct slice message)
{
	return verify_at(w, message, SIZE_MAX / 2, NOW);
}

/* The text with the first `from` (which must be there) made `to`. */
static struct slice
with(struct world *w, struct slice text, const char *from, const char *to)
{
	size_t at = slice_find(text, slice_z(from));

	assert_int_not_equal(at, SLICE_NONE);
	return arena_printf(
	    &w->arena, "%.*s%s%s", (int)at, (const char *)text.p, to, (const char *)text.p + at + strlen(from));
}

static void
of_the_rfc(void **state)
{
	struct world *w = *state;
	struct slice text = slice_z(rfc8463);

	use_zone(w, slice_z(rfc8463_zone));
	for (size_t piece = 1; piece < 80; piece++) {
		assert_int_equal(verify_at(w, text, piece, NOW), TRUST_PASS);
		assert_int_equal(w->results.n, 2);
		assert_int_equal(w->results.v[1].result, TRUST_PASS);
	}
	assert_int_equal(w->results.v[0].key_bits, 256);
	assert_int_equal(w->results.v[1].key_bits, 1024);
	assert_true(slice_eq(w->results.v[0].domain, SLICE("football.example.com")));
	assert_true(slice_eq(w->results.v[0].identity, SLICE("@football.example.com")));
	assert_true(slice_eq(w->results.v[0].reason, SLICE("the signature of football.example.com is valid")));
	/* relaxed: white space at the ends of lines, empty lines at the end */
	assert_int_equal(verify(w, with(w, text, "Joe.\r\n", "Joe. \t\r\n\r\n \r\n\r\n")), TRUST_PASS);
	assert_int_equal(verify(w, with(w, text, "Subject: Is", "SUBJECT : \r\n\tIs ")), TRUST_PASS);
	assert_int_equal(verify(w, with(w, text, "the game", "a game")), TRUST_FAIL);
	assert_int_equal(w->results.v[1].result, TRUST_FAIL);
	assert_int_equal(verify(w, with(w, text, "dinner", "supper")), TRUST_FAIL);
	assert_int_equal(verify(w, with(w, text, "Message-ID: ", "X-Nothing: added\r\nMessage-ID: ")), TRUST_PASS);
	/* a second From, Subject: named twice in h=; a To: only once */
	assert_int_equal(verify(w, with(w, text, "From: ", "From: x@example.com\r\nFrom: ")), TRUST_PERMERROR);
	assert_int_equal(verify(w, with(w, text, "Subject: ", "Subject: new\r\nSubject: ")), TRUST_FAIL);
	assert_int_equal(verify(w, with(w, text, "To: ", "To: x@example.com\r\nTo: ")), TRUST_POLICY);
	assert_int_equal(verify(w, with(w, text, "Message-ID: ", "X: a\nb\r\nMessage-ID: ")), TRUST_PERMERROR);
	assert_int_equal(verify(w, with(w, text, "Message-ID: ", "X: a\rb\r\nMessage-ID: ")), TRUST_PERMERROR);
	assert_int_equal(verify(w, SLICE("From: a@b.test\r\n\r\nhi\r\n")), TRUST_NONE);
	assert_int_equal(verify(w, SLICE("")), TRUST_NONE);
}

static void
key_records(void **state)
{
	static const struct {
		const char *from, *to;
		enum trust_result expected;
	} cases[] = {
	    {"v=DKIM1; k=ed25519", "k=ed25519", TRUST_PASS},
	    {"v=DKIM1; k=ed25519", "v=DKIM2; k=ed25519", TRUST_PERMERROR},
	    {"v=DKIM1; k=ed25519", "k=ed25519; v=DKIM1", TRUST_PERMERROR},
	    {"v=DKIM1; k=ed25519", "v=DKIM1; k=rsa", TRUST_PERMERROR},
	    {"v=DKIM1; k=ed25519", "v=DKIM1; k=unknown", TRUST_PERMERROR},
	    {"v=DKIM1; k=ed25519", "v=DKIM1; k=ed25519; k=ed25519", TRUST_PERMERROR},
	    {"v=DKIM1; k=ed25519", "v=DKIM1; k=ed25519; h=sha1 : sha256", TRUST_PASS},
	    {"v=DKIM1; k=ed25519", "v=DKIM1; k=ed25519; h=sha1", TRUST_PERMERROR},
	    {"v=DKIM1; k=ed25519", "v=DKIM1; k=ed25519; s=other : email", TRUST_PASS},
	    {"v=DKIM1; k=ed25519", "v=DKIM1; k=ed25519; s=other", TRUST_PERMERROR},
	    {"v=DKIM1; k=ed25519", "v=DKIM1; k=ed25519; t=s; n=a note; unknown=x", TRUST_PASS},
	    {"p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "p=", TRUST_PERMERROR},
	    {"p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "p=AAAA", TRUST_PERMERROR},
	    {"p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "p=11qYA!", TRUST_PERMERROR},
	    {"; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "", TRUST_PERMERROR},
	    {"brisbane.", "perth.", TRUST_PERMERROR},
	    {"brisbane.", "$TEMPFAIL brisbane._domainkey.football.example.com.\nperth.", TRUST_TEMPERROR},
	};
	struct world *w = *state;
	struct slice text;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		use_zone(w, with(w, slice_z(rfc8463_zone), cases[i].from, cases[i].to));
		assert_int_equal(verify(w, slice_z(rfc8463)), cases[i].expected);
	}
	/* a key that is being tested: failures do not count */
	use_zone(w, with(w, slice_z(rfc8463_zone), "k=ed25519", "k=ed25519; t=y"));
	assert_int_equal(verify(w, slice_z(rfc8463)), TRUST_PASS);
	assert_true(w->results.v[0].testing);
	assert_false(w->results.v[1].testing);
	assert_int_equal(verify(w, with(w, slice_z(rfc8463), "dinner", "supper")), TRUST_NEUTRAL);
	assert_int_equal(w->results.v[1].result, TRUST_FAIL);
	/* a key that is not for names below its domain */
	text = with(w, slice_z(rfc8463), "i=@football", "i=joe@sub.football");
	use_zone(w, slice_z(rfc8463_zone));
	assert_int_equal(verify(w, text), TRUST_FAIL);
	use_zone(w, with(w, slice_z(rfc8463_zone), "k=ed25519", "k=ed25519; t=s"));
	assert_int_equal(verify(w, text), TRUST_PERMERROR);
	/* of two records the one that fits */
	use_zone(w,
	    with(w, slice_z(rfc8463_zone), "brisbane.",
		"brisbane._domainkey.football.example.com. TXT \"nothing\"\nbrisbane."));
	assert_int_equal(verify(w, slice_z(rfc8463)), TRUST_PASS);
}

/* ---- signing --------------------------------------------------------------------------------------------------- */

static int
sign_here(void *of, const struct dkim_signing_key *keys, const uint8_t (*hashes)[DKIM_HASH_BYTES], size_t n,
    struct arena *a, struct slice *signatures)
{
	struct world *w = of;
	uint8_t out[DKIM_SIGNATURE_BYTES_MAX];
	size_t out_n;

	for (size_t i = 0; i < n; i++) {
		assert_int_equal(
		    dkim_key_sign(keys[i].algorithm == DKIM_RSA_SHA256 ? w->rsa : w->ed, hashes[i], out, &out_n), 0);
		signatures[i] = arena_copy(a, slice_of(out, out_n));
	}
	return 0;
}

static void
make_keys(struct world *w, unsigned bits)
{
	dkim_key_free(&w->rsa);
	dkim_key_free(&w->ed);
	w->rsa = EVP_RSA_gen(bits);
	w->ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	assert_non_null(w->rsa);
	assert_non_null(w->ed);
	buf_reset(&w->zone_text);
	buf_put_z(&w->zone_text, "r._domainkey.example.org. TXT \"");
	assert_int_equal(dkim_record_put(w->rsa, &w->zone_text), 0);
	buf_put_z(&w->zone_text, "\"\ne._domainkey.example.org. TXT \"");
	assert_int_equal(dkim_record_put(w->ed, &w->zone_text), 0);
	buf_put_z(&w->zone_text, "\"\n");
	use_zone(w, buf_slice(&w->zone_text));
}

static const struct dkim_signing_key both[] = {
    {SLICE_INIT("example.org"), SLICE_INIT("r"), DKIM_RSA_SHA256},
    {SLICE_INIT("example.org"), SLICE_INIT("e"), DKIM_ED25519_SHA256},
};

/* The message with two signatures in front. */
static struct slice
sign(struct world *w, struct slice message)
{
	struct dkim_reader *r = read_in(w, message, SIZE_MAX / 2, DKIM_SIGNING);
	struct dkim_signer signer = {sign_here, w};
	struct buf out BUF_CLEANUP;

	buf_init(&out, 32 << 20);
	assert_int_equal(dkim_sign(r, both, 2, NOW, &signer, &w->arena, &out), 0);
	dkim_reader_free(&r);
	buf_put(&out, message);
	return arena_copy(&w->arena, buf_slice(&out));
}

static void
signed_here(void **state)
{
	static const char *const messages[] = {
	    "From: a@example.org\r\nTo: b@example.net\r\nSubject: s\r\nDate: d\r\n\r\nhello\r\n",
	    "From: a@example.org\r\n\r\n",
	    "From: a@example.org\r\n",
	    "From: a@example.org",
	    "From: a@example.org\r\n\r\n\r\n\r\n",
	    "From: a@example.org\r\n\r\nno line end",
	    "From: a@example.org\r\n\r\n \t \r\n  two  spaces\t\r\n\r\n",
	    "From: a@example.org\r\nTo: 1@x.test\r\nTo: 2@x.test\r\nSubject:\r\n folded\r\n\r\nx\r\n",
	    "From: a@example.org\r\nX:\xff\x80\r\n\r\n\xff\xfe\r\n",
	};
	struct world *w = *state;
	struct buf crowd BUF_CLEANUP;

	make_keys(w, 2048);
	for (size_t i = 0; i < COUNT_OF(messages); i++) {
		struct slice text = sign(w, slice_z(messages[i]));

		for (size_t piece = 1; piece < 9; piece += 3) {
			assert_int_equal(verify_at(w, text, piece, NOW), TRUST_PASS);
			assert_int_equal(w->results.n, 2);
			assert_int_equal(w->results.v[1].result, TRUST_PASS);
		}
		/* no line is long, and no field that a reader sees can be added */
		assert_int_equal(verify(w, with(w, text, "From: ", "Subject: new\r\nFrom: ")), TRUST_FAIL);
		assert_int_equal(verify(w, with(w, text, "From: ", "Cc: new\r\nFrom: ")), TRUST_FAIL);
		assert_int_equal(verify(w, with(w, text, "From: ", "Received: new\r\nFrom: ")), TRUST_PASS);
	}
	assert_int_equal(verify_at(w, sign(w, slice_z(messages[0])), 7, NOW - 1000), TRUST_PASS);
	/* A field for each recipient: all are covered. */
	buf_init(&crowd, 65536);
	buf_put_z(&crowd, "From: a@example.org\r\n");
	for (int i = 0; i < 97; i++)
		buf_printf(&crowd, "Cc: a%d@example.net\r\n", i);
	assert_int_equal(verify(w, sign(w, buf_slice(&crowd))), TRUST_PASS);
}

/* DER (ITU-T X.690): a tag, the length, the content. */
static void
put_der(struct buf *out, uint8_t tag, struct slice content)
{
	buf_put_u8(out, tag);
	if (content.n >= 0x80)
		buf_put_u8(out, 0x82);
	if (content.n >= 0x80)
		buf_put_be16(out, (uint16_t)content.n);
	else
		buf_put_u8(out, (uint8_t)content.n);
	buf_put(out, content);
}

static void
put_number(struct buf *out, unsigned bits)
{
	struct buf n BUF_CLEANUP;

	buf_init(&n, 8192);
	buf_put_u8(&n, bits % 8 == 0 ? 0 : 1);
	for (unsigned i = 0; i < bits / 8; i++)
		buf_put_u8(&n, 0xff);
	put_der(out, 2, buf_slice(&n));
}

/* Publishes a key of that many bits, with an exponent of that many; returns the message. */
static struct slice
with_rsa_key(struct world *w, struct slice message, unsigned bits, unsigned exponent_bits)
{
	struct buf numbers BUF_CLEANUP, der BUF_CLEANUP;

	buf_init(&numbers, 65536);
	buf_init(&der, 65536);
	put_number(&numbers, bits);
	put_number(&numbers, exponent_bits);
	put_der(&der, 0x30, buf_slice(&numbers));
	buf_reset(&w->zone_text);
	buf_put_z(&w->zone_text, "r._domainkey.example.org. TXT \"v=DKIM1; p=");
	buf_put_base64(&w->zone_text, buf_slice(&der));
	buf_put_z(&w->zone_text, "\"\n");
	use_zone(w, buf_slice(&w->zone_text));
	return message;
}

static void
bad_keys(void **state)
{
	struct world *w = *state;
	struct slice text;

	make_keys(w, 1024);
	assert_int_equal(verify(w, sign(w, SLICE("From: a@example.org\r\n\r\nx\r\n"))), TRUST_PASS);
	make_keys(w, 512);
	text = sign(w, SLICE("From: a@example.org\r\n\r\nx\r\n"));
	assert_int_equal(verify(w, text), TRUST_POLICY);
	assert_int_equal(w->results.v[0].key_bits, 512);
	/* an exponent as long as the modulus; more bits than are worth the while */
	assert_int_equal(verify(w, with_rsa_key(w, text, 2048, 2048)), TRUST_POLICY);
	assert_int_equal(verify(w, with_rsa_key(w, text, 16384, 17)), TRUST_POLICY);
	assert_int_equal(w->results.v[0].key_bits, 16384);
	assert_int_equal(verify(w, with_rsa_key(w, text, 2048, 17)), TRUST_FAIL);
	make_keys(w, 512);
	assert_int_equal(verify(w, text), TRUST_POLICY);
}

/* A field as the first of the message, signed or not. */
static enum trust_result
verify_field(struct world *w, const char *tags)
{
	return verify(w, arena_printf(&w->arena, "DKIM-Signature: %s\r\nFrom: a@example.org\r\n\r\nx\r\n", tags));
}

static void
broken_fields(void **state)
{
	static const struct {
		const char *tags;
		enum trust_result expected;
	} cases[] = {
#define BH "bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; "
#define REST "s=r; h=from; " BH "b=AAAA"
	    {"", TRUST_NEUTRAL},
	    {";", TRUST_NEUTRAL},
	    {"v=1", TRUST_NEUTRAL},
	    {"v=1; a=rsa-sha256; d=example.org; " REST, TRUST_FAIL},
	    {"v=1; a=rsa-sha256; d=example.org; " REST ";", TRUST_FAIL},
	    {"v=1; a=rsa-sha256; d=example.org; " REST ";;", TRUST_NEUTRAL},
	    {"v=1; a=rsa-sha256; d=example.org; " REST "; b=BBBB", TRUST_NEUTRAL},
	    {"v=2; a=rsa-sha256; d=example.org; " REST, TRUST_NEUTRAL},
	    {"a=rsa-sha256; d=example.org; " REST, TRUST_NEUTRAL},
	    {"v=1; d=example.org; " REST, TRUST_NEUTRAL},
	    {"v=1; a=rsa-sha1; d=example.org; " REST, TRUST_POLICY},
	    {"v=1; a=rsa-sha3; d=example.org; " REST, TRUST_NEUTRAL},
	    {"v=1; a=rsa-sha256; d=; " REST, TRUST_NEUTRAL},
	    {"v=1; a=rsa-sha256; d=org; " REST, TRUST_POLICY},
	    {"v=1; a=rsa-sha256; d=co.uk; " REST, TRUST_POLICY},
	    {"v=1; a=rsa-sha256; d=example.org; i=a@other.org; " REST, TRUST_NEUTRAL},
	    {"v=1; a=rsa-sha256; d=example.org; i=a@badexample.org; " REST, TRUST_NEUTRAL},
	    {"v=1; a=rsa-sha256; d=example.org; i=a@sub.example.org; " REST, TRUST_FAIL},
	    {"v=1; a=rsa-sha256; d=example.org; i=none; " REST, TRUST_NEUTRAL},
	    {"v=1; a=rsa-sha256; d=example.org; c=other/simple; " REST, TRUST_NEUTRAL},
	    {"v=1; a=rsa-sha256; d=example.org; c=relaxed; " REST, TRUST_FAIL},
	    {"v=1; a=rsa-sha256; d=example.org; l=1x; " REST, TRUST_NEUTRAL},
	    {"v=1; a=rsa-sha256; d=example.org; l=99999999999999999999999999; " REST, TRUST_NEUTRAL},
	    {"v=1; a=rsa-sha256; d=example.org; l=1000; " REST, TRUST_FAIL},
	    {"v=1; a=rsa-sha256; d=example.org; t=5; x=3; " REST, TRUST_NEUTRAL},
	    {"v=1; a=rsa-sha256; d=example.org; x=3; " REST, TRUST_POLICY},
	    {"v=1; a=rsa-sha256; d=example.org; q=carrier/pigeon; " REST, TRUST_NEUTRAL},
	    {"v=1; a=rsa-sha256; d=example.org; s=r; h=to; " BH "b=AAAA", TRUST_NEUTRAL},
	    {"v=1; a=rsa-sha256; d=example.org; s=r; h=; " BH "b=AAAA", TRUST_NEUTRAL},
	    {"v=1; a=rsa-sha256; d=example.org; s=r; h=from; bh=AAAA; b=AAAA", TRUST_NEUTRAL},
	    {"v=1; a=rsa-sha256; d=example.org; s=a b; h=from; " BH "b=AAAA", TRUST_NEUTRAL},
	    {"v=1; a=rsa-sha256; d=example.org; s=r; h=from; " BH "b=", TRUST_NEUTRAL},
	    {"v=1; a=rsa-sha256; d=example.org; s=r; h=from; " BH "b=A A A A", TRUST_FAIL},
	};
	struct world *w = *state;

	make_keys(w, 1024);
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(verify_field(w, cases[i].tags), cases[i].expected);
}

static void
lengths(void **state)
{
	struct world *w = *state;
	struct dkim_reader *r;
	uint8_t hash[DKIM_HASH_BYTES];
	uint64_t bytes;
	struct slice text;
	struct buf b64 BUF_CLEANUP;

	make_keys(w, 1024);
	buf_init(&b64, 1000);
	r = read_in(w, SLICE("From: a@example.org\r\n\r\nhello\r\n"), 1, DKIM_SIGNING);
	dkim_reader_body_hash(r, 0, hash, &bytes);
	dkim_reader_free(&r);
	assert_int_equal(bytes, 7);
	buf_put_base64(&b64, slice_of(hash, sizeof(hash)));
	for (int more = 0; more < 2; more++) {
		struct dkim_headers *index;
		struct header header;
		struct buf tail BUF_CLEANUP, sig BUF_CLEANUP;
		uint8_t out[DKIM_SIGNATURE_BYTES_MAX];
		size_t n;
		struct slice field = arena_printf(&w->arena,
		    "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.org; s=e; l=7; h=from; "
		    "bh=%.*s; b=",
		    (int)b64.n, (const char *)b64.p);

		buf_init(&tail, 4096);
		buf_init(&sig, 4096);
		dkim_canon_field(DKIM_RELAXED, field, true, &tail);
		assert_int_equal(header_parse(&w->arena, SLICE("From: a@example.org\r\n\r\n"), &w->limits, &header), 0);
		assert_int_equal(dkim_headers_index(&w->arena, &header, &index), 0);
		assert_int_equal(
		    dkim_headers_hash(index, SLICE("from"), DKIM_RELAXED, SLICE_EMPTY, buf_slice(&tail), hash), 0);
		assert_int_equal(dkim_key_sign(w->ed, hash, out, &n), 0);
		buf_put_base64(&sig, slice_of(out, n));
		text = arena_printf(&w->arena, "%.*s%.*s\r\nFrom: a@example.org\r\n\r\nhello\r\n%s", SLICE_ARG(field),
		    (int)sig.n, (const char *)sig.p, more ? "and a footer\r\n" : "");
		assert_int_equal(verify(w, text), more ? TRUST_POLICY : TRUST_PASS);
		assert_true(w->results.v[0].has_length);
		assert_int_equal(w->results.v[0].unsigned_bytes, more ? 14 : 0);
	}
}

static void
many(void **state)
{
	struct world *w = *state;
	struct buf text BUF_CLEANUP;
	struct slice one;

	buf_init(&text, 64 << 20);
	make_keys(w, 1024);
	one = sign(w, SLICE("From: a@example.org\r\n\r\nx\r\n"));
	one = slice_head(one, slice_find(one, SLICE("From: a")));
	for (int i = 0; i < 250; i++)
		buf_put(&text, one);
	buf_put_z(&text, "From: a@example.org\r\n\r\nx\r\n");
	assert_int_equal(verify(w, buf_slice(&text)), TRUST_PASS);
	assert_int_equal(w->results.n, 10);
	assert_int_equal(w->results.skipped, 490);
	/* a header that is larger than we look at; fields without end */
	buf_reset(&text);
	buf_put(&text, one);
	while (text.n < 10 << 20)
		buf_put_z(&text,
		    "X: "
		    "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n");
	buf_put_z(&text, "From: a@example.org\r\n\r\nx\r\n");
	assert_int_equal(verify_at(w, buf_slice(&text), 65536, NOW), TRUST_PERMERROR);
	buf_reset(&text);
	buf_put(&text, one);
	for (int i = 0; i < 20000; i++)
		buf_put_z(&text, "X: y\r\n");
	buf_put_z(&text, "From: a@example.org\r\n\r\nx\r\n");
	assert_int_equal(verify(w, buf_slice(&text)), TRUST_PERMERROR);
}

static long
resident_kib(void)
{
	struct rusage u;

	assert_int_equal(getrusage(RUSAGE_SELF, &u), 0);
	return u.ru_maxrss;
}

/* A body of 50 MB takes no more memory than none. */
static void
large_body(void **state)
{
	struct world *w = *state;
	struct dkim_reader *r;
	struct slice head;
	uint8_t *piece = malloc(65536);
	long before;

	assert_non_null(piece);
	make_keys(w, 1024);
	head = sign(w, SLICE("From: a@example.org\r\n\r\nx\r\n"));
	for (size_t i = 0; i < 65536; i++)
		piece[i] = (uint8_t) "a b\r\n\r\n \t"[i % 10];
	assert_int_equal(dkim_reader_new(&r, &w->limits, DKIM_VERIFYING), 0);
	dkim_reader_feed(r, head);
	before = resident_kib();
	for (int i = 0; i < 50 << 4; i++)
		dkim_reader_feed(r, slice_of(piece, 65536));
	assert_int_equal(dkim_reader_end(r), 0);
	assert_true(resident_kib() - before < 4096);
	assert_int_equal(dkim_verify(r, &w->dns, NOW, &w->arena, &w->results), 0);
	assert_int_equal(w->results.v[0].result, TRUST_FAIL);
	dkim_reader_free(&r);
	free(piece);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(of_the_rfc, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(key_records, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(signed_here, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(bad_keys, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(broken_fields, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(lengths, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(many, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(large_body, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
