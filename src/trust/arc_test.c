/* ARC: chains that are made here, and the test suites of ARC (../shared/vectors/arc; skipped without them). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "trust/arc.h"
#include "trust/zone_file.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>

#define VECTORS "../shared/vectors/arc/tests/"
#define NOW 1528640000

struct world {
	struct limits limits;
	struct arena arena;
	struct zone_file *zone;
	struct buf zone_text, detail;
	struct trust_dns dns;
	EVP_PKEY *key;
};

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	limits_default(&w->limits);
	arena_init(&w->arena, 256 << 20);
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
	dkim_key_free(&w->key);
	buf_free(&w->zone_text);
	buf_free(&w->detail);
	arena_free(&w->arena);
	free(w);
	return 0;
}

static void
use_zone(struct world *w)
{
	zone_file_free(&w->zone);
	assert_int_equal(zone_file_new(&w->zone, buf_slice(&w->zone_text), &w->detail), 0);
	w->dns = zone_file_dns(w->zone);
}

static struct dkim_reader *
read_in(struct world *w, struct slice message, enum dkim_reading what)
{
	struct dkim_reader *r;

	assert_int_equal(dkim_reader_new(&r, &w->limits, what), 0);
	dkim_reader_feed(r, message);
	assert_int_equal(dkim_reader_end(r), 0);
	return r;
}

static enum trust_result
verify(struct world *w, struct slice message, struct arc_result *out)
{
	struct dkim_reader *r = read_in(w, message, DKIM_VERIFYING);

	assert_int_equal(arc_verify(r, &w->dns, NOW, &w->arena, out), 0);
	assert_true(out->reason.n > 0);
	for (size_t i = 0; i < out->n; i++) { /* they may point into the reader */
		struct arc_sealer *s = (struct arc_sealer *)&out->sealers[i];

		s->results = arena_copy(&w->arena, s->results);
	}
	dkim_reader_free(&r);
	return out->result;
}

static int
sign_here(void *of, const struct dkim_signing_key *keys, const uint8_t (*hashes)[DKIM_HASH_BYTES], size_t n,
    struct arena *a, struct slice *signatures)
{
	struct world *w = of;
	uint8_t out[DKIM_SIGNATURE_BYTES_MAX];
	size_t out_n;

	(void)keys;
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(dkim_key_sign(w->key, hashes[i], out, &out_n), 0);
		signatures[i] = arena_copy(a, slice_of(out, out_n));
	}
	return 0;
}

static int
try_seal(struct world *w, struct slice message, const struct arc_sealing *s, struct slice *out)
{
	struct dkim_reader *r = read_in(w, message, DKIM_SIGNING);
	struct dkim_signer signer = {sign_here, w};
	struct buf fields BUF_CLEANUP;
	int err;

	buf_init(&fields, 1 << 20);
	err = arc_seal(r, s, &signer, &w->arena, &fields);
	dkim_reader_free(&r);
	*out = arena_copy(&w->arena, buf_slice(&fields));
	return err;
}

/* The message with one more set on top. */
static struct slice
seal(struct world *w, struct slice message, enum trust_result chain, const char *results)
{
	struct arc_sealing s = {.results = slice_z(results),
	    .chain = chain,
	    .key = {SLICE("example.org"), SLICE("k"), dkim_key_algorithm(w->key)},
	    .now_s = NOW};
	struct slice fields;

	assert_int_equal(try_seal(w, message, &s, &fields), 0);
	return arena_printf(
	    &w->arena, "%.*s%.*s", (int)fields.n, (const char *)fields.p, (int)message.n, (const char *)message.p);
}

static void
use_key(struct world *w, EVP_PKEY *key)
{
	dkim_key_free(&w->key);
	w->key = key;
	assert_non_null(key);
	buf_reset(&w->zone_text);
	buf_put_z(&w->zone_text, "k._domainkey.example.org. TXT \"");
	assert_int_equal(dkim_record_put(key, &w->zone_text), 0);
	buf_put_z(&w->zone_text, "\"\n");
	use_zone(w);
}

static struct slice
replaced(struct world *w, struct slice text, const char *from, const char *to)
{
	size_t at = slice_find(text, slice_z(from)), n = strlen(from);

	assert_int_not_equal(at, SLICE_NONE);
	return arena_printf(&w->arena, "%.*s%s%.*s", (int)at, (const char *)text.p, to, (int)(text.n - at - n),
	    (const char *)text.p + at + n);
}

static void
chains(void **state)
{
	struct slice text = SLICE("From: a@example.org\r\nSubject: s\r\nDKIM-Signature: v=1\r\n\r\nhello\r\n");
	struct world *w = *state;
	struct arc_result r;

	use_key(w, EVP_RSA_gen(2048));
	assert_int_equal(verify(w, text, &r), TRUST_NONE);
	for (int i = 1; i <= ARC_INSTANCE_MAX; i++) {
		text = seal(w, text, i == 1 ? TRUST_NONE : TRUST_PASS, "mx.example.org; spf=pass;\r\n\tdkim=fail");
		if (i > 3 && i < ARC_INSTANCE_MAX)
			continue;
		assert_int_equal(verify(w, text, &r), TRUST_PASS);
		assert_int_equal(r.n, i);
		assert_true(slice_eq(r.sealers[0].domain, SLICE("example.org")));
		assert_true(slice_eq(r.sealers[i - 1].results, SLICE("mx.example.org; spf=pass;\r\n\tdkim=fail")));
		assert_int_equal(verify(w, replaced(w, text, "hello", "goodbye"), &r), TRUST_FAIL);
		assert_int_equal(verify(w, replaced(w, text, "Subject: s", "Subject: t"), &r), TRUST_FAIL);
		assert_int_equal(verify(w, replaced(w, text, "spf=pass", "spf=fail"), &r), TRUST_FAIL);
		assert_int_equal(
		    verify(w, replaced(w, text, "\nSubject: ", "\nCc: x@y.test\r\nSubject: "), &r), TRUST_FAIL);
		assert_int_equal(
		    verify(w, replaced(w, text, "\nSubject: ", "\nX-New: x\r\nSubject: "), &r), TRUST_PASS);
	}
	/* it is as long as can be */
	assert_int_equal(seal(w, text, TRUST_PASS, "mx.example.org; none").n, text.n);
	/* who finds it broken says so, once */
	use_key(w, EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
	text = seal(w, SLICE("From: a@example.org\r\n\r\nhello\r\n"), TRUST_NONE, "mx.example.org; none");
	assert_int_equal(verify(w, text, &r), TRUST_PASS);
	text = seal(w, replaced(w, text, "hello", "goodbye"), TRUST_FAIL, "mx.example.org; arc=fail");
	assert_int_equal(verify(w, text, &r), TRUST_FAIL);
	assert_int_equal(seal(w, text, TRUST_FAIL, "mx.example.org; arc=fail").n, text.n);
}

static void
refused(void **state)
{
	struct world *w = *state;
	struct arc_sealing s = {.results = SLICE("mx; none"),
	    .chain = TRUST_PASS,
	    .key = {SLICE("example.org"), SLICE("k"), DKIM_ED25519_SHA256}};
	struct slice out, plain = SLICE("From: a@example.org\r\n\r\nhello\r\n");
	struct arc_result r;

	use_key(w, EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
	assert_int_equal(try_seal(w, plain, &s, &out), ERR_INVALID);
	assert_int_equal(try_seal(w, SLICE("From: a\nX: y\r\n\r\n"), &s, &out), ERR_INVALID);
	s.chain = TRUST_NONE;
	assert_int_equal(try_seal(w, seal(w, plain, TRUST_NONE, "mx; none"), &s, &out), ERR_INVALID);
	assert_int_equal(verify(w, SLICE("ARC-Seal: i=51; cv=none\r\n\r\n"), &r), TRUST_FAIL);
	assert_int_equal(verify(w, SLICE("ARC-Seal: x\r\n\r\n"), &r), TRUST_FAIL);
	assert_int_equal(verify(w, SLICE("ARC-Seal: i=1; cv=none\nX: y\r\n\r\n"), &r), TRUST_FAIL);
}

static void
results(void **state)
{
	struct world *w = *state;
	struct buf out BUF_CLEANUP;
	struct header h;
	enum trust_result chain;

	buf_init(&out, 4096);
	assert_int_equal(
	    header_parse(&w->arena,
		SLICE(
		    "Authentication-Results: MX.example.org 1; spf=pass (a; b \\) ; c) smtp.mfrom=\"x;y\"; arc=pass\r\n"
		    "Authentication-Results: other.test; dkim=pass\r\n"
		    "Authentication-Results: mx.example.org; none\r\n"
		    "Authentication-Results: mx.example.org;\r\n dmarc=fail;\r\n\r\n"),
		&w->limits, &h),
	    0);
	arc_results_gather(&h, SLICE("mx.example.org"), &out, &chain);
	assert_int_equal(chain, TRUST_PASS);
	assert_true(slice_eq(buf_slice(&out),
	    SLICE("mx.example.org; spf=pass (a; b \\) ; c) smtp.mfrom=\"x;y\";\r\n\tarc=pass;\r\n\tdmarc=fail")));
	buf_reset(&out);
	arc_results_gather(&h, SLICE("nobody.test"), &out, &chain);
	assert_true(slice_eq(buf_slice(&out), SLICE("nobody.test; none")));
	assert_int_equal(chain, TRUST_NONE);
}

/* ---- the suites -------------------------------------------------------------------------------------------------- */

/* As much of YAML as they use: scenarios between `---`; values in the line, or as blocks (`|`: lines, `>-`: joined by spaces) that are
 * indented deeper than their key. */
struct yaml {
	struct slice rest;
	struct arena *arena;
};

static size_t
indent_of(struct slice line)
{
	size_t n = 0;

	while (n < line.n && slice_at(line, n) == ' ')
		n++;
	return n;
}

/* The next line without moving; false at the end. */
static bool
peek(const struct yaml *y, struct slice *line)
{
	struct slice rest = y->rest;

	if (rest.n == 0)
		return false;
	*line = slice_cut(&rest, '\n');
	return true;
}

static void
pass_line(struct yaml *y)
{
	(void)slice_cut(&y->rest, '\n');
}

/* The block below a key: its lines ended by `end` each. */
static struct slice
block(struct yaml *y, size_t key_indent, bool lines)
{
	struct buf out BUF_CLEANUP;
	struct slice line;
	size_t indent = 0;

	buf_init(&out, 1 << 20);
	while (peek(y, &line) && (slice_trim(line).n == 0 || indent_of(line) > key_indent)) {
		pass_line(y);
		if (indent == 0 && slice_trim(line).n > 0)
			indent = indent_of(line);
		line = line.n > indent ? slice_from(line, indent) : SLICE_EMPTY;
		buf_put(&out, lines ? line : slice_trim(line));
		buf_put_z(&out, lines ? "\r\n" : "");
		if (indent == 0)
			indent = lines && slice_trim(line).n == 0 ? 0 : indent;
	}
	/* one line end at the end, as `|` has it */
	while (lines && slice_ends(buf_slice(&out), SLICE("\r\n\r\n")))
		out.n -= 2;
	return arena_copy(y->arena, buf_slice(&out));
}

struct entry {
	size_t indent;
	struct slice key, value;
};

/* The next key with its value; false at the end of the scenario. */
static bool
next(struct yaml *y, struct entry *out)
{
	struct slice line, value;

	while (peek(y, &line) && slice_trim(line).n == 0)
		pass_line(y);
	if (!peek(y, &line) || slice_starts(line, SLICE("---")))
		return false;
	pass_line(y);
	out->indent = indent_of(line);
	out->key = slice_trim(slice_cut(&line, ':'));
	value = slice_trim(line);
	if (slice_eq(value, SLICE("|")) || slice_starts(value, SLICE(">")))
		value = block(y, out->indent, slice_eq(value, SLICE("|")));
	out->value = value;
	return true;
}

/* A suite in the arena; false when it is not there. */
static bool
suite(struct world *w, const char *path, struct yaml *out)
{
	FILE *f = fopen(path, "r");
	char *text;
	size_t n;

	if (f == NULL)
		return false;
	text = arena_alloc(&w->arena, 1 << 20);
	assert_non_null(text);
	n = fread(text, 1, 1 << 20, f);
	(void)fclose(f);
	*out = (struct yaml){slice_of(text, n), &w->arena};
	return true;
}

struct case_ {
	struct slice name, message, cv, seal, signature, results, names, time;
};

struct scenario {
	struct case_ v[64];
	size_t n;
	struct slice private_key;
};

/* Reads a scenario and takes its DNS records. */
static void
read_scenario(struct world *w, struct yaml *y, struct scenario *s)
{
	struct slice top = SLICE_EMPTY;
	struct entry e;

	s->n = 0;
	s->private_key = SLICE_EMPTY;
	buf_reset(&w->zone_text);
	while (next(y, &e)) {
		struct case_ *c = s->n > 0 ? &s->v[s->n - 1] : NULL;

		if (e.indent == 0) {
			top = e.key;
			s->private_key = slice_eq(top, SLICE("privatekey")) ? e.value : s->private_key;
		} else if (e.indent == 2 && slice_eq(top, SLICE("tests"))) {
			/* a name that is there twice: the later one counts, as in YAML's dictionaries */
			for (size_t i = 0; i < s->n; i++)
				if (slice_eq(s->v[i].name, e.key))
					s->v[i].message = SLICE_EMPTY;
			assert_true(s->n < COUNT_OF(s->v));
			s->v[s->n++] = (struct case_){.name = e.key};
		} else if (e.indent == 2 && slice_eq(top, SLICE("txt-records"))) {
			buf_printf(&w->zone_text, "%.*s. TXT \"", SLICE_ARG(e.key));
			for (size_t i = 0; i < e.value.n; i++)
				if (slice_at(e.value, i) > ' ')
					buf_put_u8(&w->zone_text, slice_at(e.value, i));
			buf_put_z(&w->zone_text, "\"\n");
		} else if (c != NULL && e.indent == 4) {
			struct {
				struct slice key, *to;
			} fields[] = {{SLICE("message"), &c->message}, {SLICE("cv"), &c->cv}, {SLICE("AS"), &c->seal},
			    {SLICE("AMS"), &c->signature}, {SLICE("AAR"), &c->results},
			    {SLICE("sig-headers"), &c->names}, {SLICE("t"), &c->time}};

			for (size_t i = 0; i < COUNT_OF(fields); i++)
				if (slice_eq(e.key, fields[i].key))
					*fields[i].to = e.value;
		}
	}
	pass_line(y); /* --- */
	use_zone(w);
}

static void
validation_suite(void **state)
{
	struct world *w = *state;
	struct scenario *s = calloc(1, sizeof(*s));
	struct yaml y;
	size_t done = 0, wrong = 0;

	assert_non_null(s);
	if (!suite(w, VECTORS "arc-draft-validation-tests.yml", &y)) {
		free(s);
		skip();
	}
	while (y.rest.n > 0) {
		read_scenario(w, &y, s);
		for (size_t i = 0; i < s->n; i++) {
			const struct case_ *c = &s->v[i];
			/* an empty `cv` stands for a chain that says itself that it is broken */
			enum trust_result expected = slice_eq(c->cv, SLICE("Pass")) ? TRUST_PASS
			    : slice_eq(c->cv, SLICE("None"))                        ? TRUST_NONE
										    : TRUST_FAIL;
			struct arc_result r;

			if (c->message.p == NULL)
				continue;
			done++;
			if (verify(w, c->message, &r) == expected)
				continue;
			wrong++;
			print_message("%.*s: expected %s, found %s: %.*s\n", SLICE_ARG(c->name),
			    trust_result_name(expected), trust_result_name(r.result), SLICE_ARG(r.reason));
		}
	}
	free(s);
	print_message("%zu cases, %zu differ\n", done, wrong);
	assert_int_equal(wrong, 0);
	assert_int_equal(done, 171);
}

/* What a case expects, without white space (which relaxed canonicalization and base64 do not know); the suite's `b=` and ours must be the
 * same bytes. */
static struct slice
plain(struct world *w, struct slice s)
{
	struct buf out BUF_CLEANUP;

	buf_init(&out, 1 << 16);
	for (size_t i = 0; i < s.n; i++)
		if (slice_at(s, i) > ' ')
			buf_put_u8(&out, slice_at(s, i));
	return arena_copy(&w->arena, buf_slice(&out));
}

static void
sign_case(struct world *w, const struct case_ *c)
{
	static const char *const names[] = {"ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results"};
	const struct slice expected[] = {c->seal, c->signature, c->results};
	struct arc_sealing s = {.key = {SLICE("example.org"), SLICE("dummy"), DKIM_RSA_SHA256}, .names = c->names};
	struct buf gathered BUF_CLEANUP;
	struct header h;
	struct slice out;
	uint64_t t;

	assert_int_equal(slice_to_u64(c->time, UINT32_MAX, &t), 0);
	s.now_s = (int64_t)t;
	buf_init(&gathered, 1 << 16);
	assert_int_equal(header_parse(&w->arena, c->message, &w->limits, &h), 0);
	arc_results_gather(&h, SLICE("lists.example.org"), &gathered, &s.chain);
	s.results = buf_slice(&gathered);
	assert_int_equal(try_seal(w, c->message, &s, &out), 0);
	assert_int_equal(header_parse(&w->arena, out, &w->limits, &h), 0);
	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (!slice_eq(plain(w, header_value(&h, slice_z(names[i]))), plain(w, expected[i]))) {
			print_message("%.*s: %s\n%.*s\nexpected\n%.*s\n", SLICE_ARG(c->name), names[i],
			    SLICE_ARG(header_value(&h, slice_z(names[i]))), SLICE_ARG(expected[i]));
			fail();
		}
}

static void
signing_suite(void **state)
{
	struct world *w = *state;
	struct scenario *s = calloc(1, sizeof(*s));
	struct yaml y;
	size_t done = 0;

	assert_non_null(s);
	if (!suite(w, VECTORS "arc-draft-sign-tests.yml", &y)) {
		free(s);
		skip();
	}
	while (y.rest.n > 0) {
		BIO *pem;

		read_scenario(w, &y, s);
		pem = BIO_new_mem_buf(s->private_key.p, (int)s->private_key.n);
		assert_non_null(pem);
		dkim_key_free(&w->key);
		w->key = PEM_read_bio_PrivateKey(pem, NULL, NULL, NULL);
		BIO_free(pem);
		assert_non_null(w->key);
		for (size_t i = 0; i < s->n; i++, done++)
			sign_case(w, &s->v[i]);
	}
	free(s);
	print_message("%zu cases\n", done);
	assert_int_equal(done, 17);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(chains, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(refused, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(results, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(validation_suite, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(signing_suite, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
