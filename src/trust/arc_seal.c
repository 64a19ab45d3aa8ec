/* arc_seal.c: sealing (RFC 8617 §5.1). The tags stand in the order of their names, as the test suites of ARC want them; lines are only broken
 * where relaxed canonicalization sees one space, and go on with a space, since dkimpy looks for " i=1;". */
#include "trust/arc.h"

#define FIELD_MAX 131072 /* bytes of one field; with the results of strangers in it */

/* A field around its signature. */
struct half_field {
	struct buf before, after;
};

static void
half_field_init(struct half_field *f)
{
	buf_init(&f->before, FIELD_MAX);
	buf_init(&f->after, FIELD_MAX);
}

static void
half_field_free(struct half_field *f)
{
	buf_free(&f->before);
	buf_free(&f->after);
}
#define HALF_FIELD_CLEANUP __attribute__((cleanup(half_field_free)))

/* The field with a signature, or without one. */
static void
put_whole(const struct half_field *f, struct slice signature, struct buf *out)
{
	buf_put(out, buf_slice(&f->before));
	buf_put_base64(out, signature); /* in one line: 684 bytes with the largest key */
	buf_put(out, buf_slice(&f->after));
	if (f->before.err != 0 || f->after.err != 0)
		out->err = ERR_NOMEM;
}

static void
put_names(const struct dkim_headers *h, struct buf *out)
{
	size_t n = dkim_headers_count(h, SLICE("DKIM-Signature"));

	dkim_put_names(h, true, out);
	for (size_t i = 0; i < n && i < 10; i++)
		buf_put_z(out, i % 4 == 0 ? ":\r\n DKIM-Signature" : ":DKIM-Signature");
}

static int
sign_one(const struct dkim_signer *signer, const struct arc_sealing *s, const uint8_t hash[DKIM_HASH_BYTES],
    struct arena *a, struct slice *signature)
{
	uint8_t hashes[1][DKIM_HASH_BYTES];

	memcpy(hashes[0], hash, DKIM_HASH_BYTES);
	return signer->sign(signer->of, &s->key, hashes, 1, a, signature);
}

/* The ARC-Message-Signature: over the message as it is before it is sealed. */
static int
make_signature(struct dkim_reader *r, const struct arc_sealing *s, int instance, const struct dkim_signer *signer,
    struct arena *a, struct buf *out)
{
	struct half_field f HALF_FIELD_CLEANUP;
	struct buf names BUF_CLEANUP, raw BUF_CLEANUP, canonical BUF_CLEANUP;
	uint8_t hash[DKIM_HASH_BYTES];
	struct slice signature;
	uint64_t bytes;
	int err;

	half_field_init(&f);
	buf_init(&names, FIELD_MAX);
	buf_init(&raw, FIELD_MAX);
	buf_init(&canonical, FIELD_MAX);
	if (s->names.n > 0)
		buf_put(&names, s->names);
	else
		put_names(dkim_reader_headers(r), &names);
	dkim_reader_body_hash(r, 0, hash, &bytes);
	buf_printf(&f.before, "ARC-Message-Signature: a=%s;\r\n b=", dkim_algorithm_name(s->key.algorithm));
	buf_put_z(&f.after, ";\r\n bh=");
	buf_put_base64(&f.after, slice_of(hash, sizeof(hash)));
	buf_printf(&f.after, "; c=relaxed/relaxed;\r\n d=%.*s; h=", SLICE_ARG(s->key.domain));
	buf_put(&f.after, buf_slice(&names));
	buf_printf(
	    &f.after, ";\r\n i=%d; s=%.*s; t=%lld\r\n", instance, SLICE_ARG(s->key.selector), (long long)s->now_s);
	put_whole(&f, SLICE_EMPTY, &raw);
	dkim_canon_field(DKIM_RELAXED, buf_slice(&raw), true, &canonical);
	if (raw.err != 0 || canonical.err != 0)
		return ERR_NOMEM;
	err = dkim_headers_hash(
	    dkim_reader_headers(r), buf_slice(&names), DKIM_RELAXED, SLICE_EMPTY, buf_slice(&canonical), hash);
	if (err == 0)
		err = sign_one(signer, s, hash, a, &signature);
	if (err == 0)
		put_whole(&f, signature, out);
	return err != 0 ? err : out->err;
}

/* What is sealed before the seal itself: all sets, or of a broken chain only the new one (RFC 8617 §5.1.2). */
static int
put_sealed(const struct arc_sets *sets, const struct arc_sealing *s, struct slice results, struct slice signature,
    struct buf *out)
{
	for (int i = 1; i <= sets->n && s->chain != TRUST_FAIL; i++) {
		if (sets->results[i] == NULL || sets->signature[i] == NULL || sets->seal[i] == NULL)
			return ERR_INVALID;
		dkim_canon_field(DKIM_RELAXED, sets->results[i]->raw, false, out);
		dkim_canon_field(DKIM_RELAXED, sets->signature[i]->raw, false, out);
		dkim_canon_field(DKIM_RELAXED, sets->seal[i]->raw, false, out);
	}
	dkim_canon_field(DKIM_RELAXED, results, false, out);
	dkim_canon_field(DKIM_RELAXED, signature, false, out);
	return out->err;
}

static int
make_seal(const struct arc_sets *sets, const struct arc_sealing *s, struct slice results, struct slice signature_field,
    const struct dkim_signer *signer, struct arena *a, struct buf *out)
{
	struct half_field f HALF_FIELD_CLEANUP;
	struct buf raw BUF_CLEANUP, sealed BUF_CLEANUP;
	uint8_t hash[DKIM_HASH_BYTES];
	struct slice signature;
	int err;

	half_field_init(&f);
	buf_init(&raw, FIELD_MAX);
	buf_init(&sealed, SIZE_MAX / 2); /* at most twice the header */
	buf_printf(&f.before, "ARC-Seal: a=%s;\r\n b=", dkim_algorithm_name(s->key.algorithm));
	buf_printf(&f.after, "; cv=%s;\r\n d=%.*s; i=%d; s=%.*s; t=%lld\r\n", trust_result_name(s->chain),
	    SLICE_ARG(s->key.domain), sets->n + 1, SLICE_ARG(s->key.selector), (long long)s->now_s);
	put_whole(&f, SLICE_EMPTY, &raw);
	err = raw.err != 0 ? ERR_NOMEM : put_sealed(sets, s, results, signature_field, &sealed);
	if (err != 0)
		return err;
	dkim_canon_field(DKIM_RELAXED, buf_slice(&raw), true, &sealed);
	if (sealed.err != 0 || EVP_Digest(sealed.p, sealed.n, hash, NULL, EVP_sha256(), NULL) != 1)
		return ERR_NOMEM;
	err = sign_one(signer, s, hash, a, &signature);
	if (err == 0)
		put_whole(&f, signature, out);
	return err != 0 ? err : out->err;
}

/* Does the newest seal say that the chain is broken? */
static bool
is_known_as_broken(const struct arc_sets *sets, struct arena *a)
{
	struct dkim_signature seal;
	struct slice cv;
	const char *why;

	return sets->n > 0 && sets->seal[sets->n] != NULL &&
	    dkim_seal_parse(a, sets->seal[sets->n], &seal, &cv, &why) == 0 && slice_ieq(cv, SLICE("fail"));
}

int
arc_seal(struct dkim_reader *r, const struct arc_sealing *s, const struct dkim_signer *signer, struct arena *a,
    struct buf *out)
{
	struct buf results BUF_CLEANUP, signature BUF_CLEANUP;
	struct arc_sets *sets = ARENA_NEW(a, struct arc_sets);
	int err;

	if (sets == NULL)
		return ERR_NOMEM;
	if (dkim_reader_fault(r) != NULL || dkim_reader_headers(r) == NULL)
		return ERR_INVALID;
	arc_sets_find(dkim_reader_header(r), sets);
	if (sets->n == ARC_INSTANCE_MAX || is_known_as_broken(sets, a))
		return 0;
	if ((sets->n == 0) != (s->chain == TRUST_NONE) || (s->chain == TRUST_PASS && sets->fault != NULL))
		return ERR_INVALID;
	buf_init(&results, FIELD_MAX);
	buf_init(&signature, FIELD_MAX);
	buf_printf(&results, "ARC-Authentication-Results: i=%d; ", sets->n + 1);
	buf_put(&results, slice_trim(s->results));
	buf_put_z(&results, "\r\n");
	err = results.err != 0 ? ERR_LIMIT : make_signature(r, s, sets->n + 1, signer, a, &signature);
	if (err == 0)
		err = make_seal(sets, s, buf_slice(&results), buf_slice(&signature), signer, a, out);
	if (err != 0)
		return err;
	buf_put(out, buf_slice(&signature));
	buf_put(out, buf_slice(&results));
	return out->err;
}
