/* arc.c: verifying chains, in the order of RFC 8617 §5.2. The seals are checked in one walk over the sets: what seal i covers is what
 * seal i-1 covers, that seal, and the set i without its signature. */
#include "trust/arc.h"

#include <openssl/evp.h>

static bool
is_arc(const struct header_field *f, struct slice name)
{
	return slice_ieq(f->name, name);
}

/* Of an ARC-Authentication-Results the instance comes first (RFC 8617 §4.1.1). */
static int
results_instance(struct slice value)
{
	struct slice rest = value, first = slice_cut(&rest, ';');

	return rest.p == NULL ? 0 : arc_instance_of(first);
}

static void
put(struct arc_sets *s, const struct header_field *v[], int instance, const struct header_field *f)
{
	if (instance == 0) {
		s->fault = "an ARC field has no sound instance";
		s->n = s->n > 0 ? s->n : 1;
		return;
	}
	if (v[instance] != NULL)
		s->fault = "an ARC field is there twice";
	v[instance] = f;
	s->n = instance > s->n ? instance : s->n;
}

void
arc_sets_find(const struct header *h, struct arc_sets *out)
{
	*out = (struct arc_sets){0};
	for (size_t i = 0; i < h->n; i++) {
		const struct header_field *f = &h->v[i];

		if (is_arc(f, SLICE("ARC-Seal")))
			put(out, out->seal, arc_instance_of(f->value), f);
		else if (is_arc(f, SLICE("ARC-Message-Signature")))
			put(out, out->signature, arc_instance_of(f->value), f);
		else if (is_arc(f, SLICE("ARC-Authentication-Results")))
			put(out, out->results, results_instance(f->value), f);
	}
}

/* ---- verifying ----------------------------------------------------------------------------------------------------- */

struct chain {
	struct dkim_reader *reader;
	const struct trust_dns *dns;
	struct arena *arena;
	struct dkim_key_cache *keys;
	int64_t now_s;
	struct arc_sets sets;
	struct dkim_signature seals[ARC_INSTANCE_MAX + 1];
	struct arc_result *out;
};

static int
fail(struct chain *c, struct slice reason)
{
	c->out->result = TRUST_FAIL;
	c->out->reason = reason;
	return reason.p == NULL ? ERR_NOMEM : 0;
}

static bool
failed(const struct chain *c)
{
	return c->out->result == TRUST_FAIL;
}

/* Steps 1 to 3. */
static int
check_structure(struct chain *c)
{
	struct arc_sets *s = &c->sets;

	if (s->fault != NULL)
		return fail(c, slice_z(s->fault));
	for (int i = 1; i <= s->n; i++) {
		struct slice cv;
		const char *why;
		int err;

		if (s->results[i] == NULL || s->signature[i] == NULL || s->seal[i] == NULL)
			return fail(c, arena_printf(c->arena, "the set %d of the chain is not complete", i));
		err = dkim_seal_parse(c->arena, s->seal[i], &c->seals[i], &cv, &why);
		if (err == ERR_NOMEM)
			return err;
		if (err != 0)
			return fail(c, arena_printf(c->arena, "the seal %d cannot be read: %s", i, why));
		if (!slice_ieq(cv, i == 1 ? SLICE("none") : SLICE("pass")))
			return fail(c,
			    slice_ieq(cv, SLICE("fail"))
				? arena_printf(c->arena, "the chain was broken already when %.*s sealed it",
				      SLICE_ARG(c->seals[i].domain))
				: arena_printf(c->arena, "the seal %d does not say what it found before", i));
	}
	return 0;
}

/* A key for the seal or the signature of a set; NULL: the chain has failed. */
static int
get_key(struct chain *c, const struct dkim_signature *s, EVP_PKEY **key)
{
	const struct dkim_fetched *f;
	int err;

	*key = NULL;
	if (s->algorithm != DKIM_RSA_SHA256 && s->algorithm != DKIM_ED25519_SHA256)
		return fail(c,
		    arena_printf(
			c->arena, "what %.*s sealed is signed in a way that does not count", SLICE_ARG(s->domain)));
	err = dkim_key_fetch(c->keys, s, c->dns, c->arena, &f);
	if (err != 0)
		return err;
	if (f->result != TRUST_PASS)
		return fail(c, f->reason);
	*key = f->key;
	return 0;
}

/* Step 4: the message is as the newest sealer passed it on. */
static int
check_message(struct chain *c)
{
	const struct dkim_found *f = dkim_reader_arc_signature(c->reader);
	const struct dkim_signature *s = &f->signature;
	uint8_t hash[DKIM_HASH_BYTES];
	uint64_t bytes = 0;
	EVP_PKEY *key;
	bool good = false;
	int err;

	if (f->fault != NULL || f->hash < 0)
		return fail(c,
		    arena_printf(c->arena, "the signature of the set %d cannot be read: %s", c->sets.n,
			f->fault == NULL ? "there are too many" : f->fault));
	dkim_reader_body_hash(c->reader, f->hash, hash, &bytes);
	if (!slice_eq(s->body_hash, slice_of(hash, sizeof(hash))) || (s->has_length && s->length != bytes))
		return fail(
		    c, arena_printf(c->arena, "the body was changed after %.*s sealed it", SLICE_ARG(s->domain)));
	if (s->expires_s >= 0 && s->expires_s < c->now_s)
		return fail(c, arena_printf(c->arena, "the signature of %.*s has expired", SLICE_ARG(s->domain)));
	err = get_key(c, s, &key);
	if (err != 0 || key == NULL)
		return err;
	err = dkim_check_header(c->reader, s, key, &good);
	if (err == 0 && !good)
		return fail(
		    c, arena_printf(c->arena, "the header was changed after %.*s sealed it", SLICE_ARG(s->domain)));
	return err;
}

static void
free_md(EVP_MD_CTX **md)
{
	EVP_MD_CTX_free(*md);
}
#define MD_CLEANUP __attribute__((cleanup(free_md)))

static int
hash_field(EVP_MD_CTX *md, struct slice raw)
{
	struct buf text BUF_CLEANUP;

	buf_init(&text, raw.n + 16);
	dkim_canon_field(DKIM_RELAXED, raw, false, &text);
	return text.err == 0 && EVP_DigestUpdate(md, text.p, text.n) == 1 ? 0 : ERR_NOMEM;
}

/* The hash that seal i signs; then `md` is what seal i+1 begins with. */
static int
hash_set(struct chain *c, EVP_MD_CTX *md, int i, uint8_t hash[DKIM_HASH_BYTES])
{
	EVP_MD_CTX *own MD_CLEANUP = EVP_MD_CTX_new();
	struct buf seal BUF_CLEANUP;
	int err = hash_field(md, c->sets.results[i]->raw);

	buf_init(&seal, c->sets.seal[i]->raw.n + 16);
	if (err == 0)
		err = hash_field(md, c->sets.signature[i]->raw);
	dkim_signature_put_unsigned(&c->seals[i], DKIM_RELAXED, &seal);
	if (err == 0 &&
	    (own == NULL || seal.err != 0 || EVP_MD_CTX_copy_ex(own, md) != 1 ||
		EVP_DigestUpdate(own, seal.p, seal.n) != 1 || EVP_DigestFinal_ex(own, hash, NULL) != 1))
		err = ERR_NOMEM;
	return err != 0 ? err : hash_field(md, c->sets.seal[i]->raw);
}

/* Step 6. Any seal that does not fit breaks the chain, so that the order is free. */
static int
check_seals(struct chain *c)
{
	EVP_MD_CTX *md MD_CLEANUP = EVP_MD_CTX_new();
	int err = md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1 ? ERR_NOMEM : 0;

	for (int i = 1; err == 0 && !failed(c) && i <= c->sets.n; i++) {
		uint8_t hash[DKIM_HASH_BYTES];
		EVP_PKEY *key;

		err = hash_set(c, md, i, hash);
		if (err == 0)
			err = get_key(c, &c->seals[i], &key);
		if (err == 0 && key != NULL && !dkim_key_verify(key, hash, c->seals[i].signature))
			err = fail(c,
			    arena_printf(
				c->arena, "the seal %d, of %.*s, does not fit", i, SLICE_ARG(c->seals[i].domain)));
	}
	return err;
}

static int
tell_sealers(struct chain *c)
{
	struct arc_sealer *v = ARENA_ARRAY(c->arena, struct arc_sealer, (size_t)c->sets.n);

	for (int i = 1; v != NULL && i <= c->sets.n; i++) {
		struct slice results = c->sets.results[i]->value;

		(void)slice_cut(&results, ';');
		v[i - 1] = (struct arc_sealer){.domain = c->seals[i].domain, .results = slice_trim(results)};
	}
	c->out->sealers = v;
	c->out->n = v == NULL ? 0 : (size_t)c->sets.n;
	c->out->result = TRUST_PASS;
	c->out->reason = arena_printf(c->arena, "%.*s sealed the message, and the chain of %d seals is whole",
	    SLICE_ARG(c->seals[c->sets.n].domain), c->sets.n);
	return arena_failed(c->arena) ? ERR_NOMEM : 0;
}

int
arc_verify(struct dkim_reader *r, const struct trust_dns *dns, int64_t now_s, struct arena *a, struct arc_result *out)
{
	struct dkim_key_cache *keys DKIM_KEY_CACHE_CLEANUP = dkim_key_cache_new(a);
	struct chain *c = ARENA_NEW(a, struct chain);
	int err;

	*out = (struct arc_result){.result = TRUST_NONE, .reason = SLICE("nobody has sealed the message")};
	if (c == NULL || keys == NULL)
		return ERR_NOMEM;
	*c = (struct chain){.reader = r, .dns = dns, .arena = a, .keys = keys, .now_s = now_s, .out = out};
	arc_sets_find(dkim_reader_header(r), &c->sets);
	if (c->sets.n == 0)
		return 0;
	if (dkim_reader_fault(r) != NULL)
		return fail(c, arena_copy(a, slice_z(dkim_reader_fault(r))));
	err = check_structure(c);
	if (err == 0 && !failed(c))
		err = check_message(c);
	if (err == 0 && !failed(c))
		err = check_seals(c);
	return err != 0 || failed(c) ? err : tell_sealers(c);
}
