/* dkim.c: see the header. The order of checks is that of RFC 6376 §6.1: what the signature says, the key, the hashes. */
#include "trust/dkim.h"

#include <libpsl.h>

int
dkim_check_header(struct dkim_reader *r, const struct dkim_signature *s, EVP_PKEY *key, bool *good)
{
	uint8_t hash[DKIM_HASH_BYTES];
	struct buf tail BUF_CLEANUP;
	int err;

	buf_init(&tail, s->field.n + 16);
	dkim_signature_put_unsigned(s, s->header_canon, &tail);
	err = tail.err != 0
	    ? ERR_NOMEM
	    : dkim_headers_hash(dkim_reader_headers(r), s->headers, s->header_canon, s->field, buf_slice(&tail), hash);
	*good = err == 0 && dkim_key_verify(key, hash, s->signature);
	return err;
}

/* Registries' domains sign for nobody (RFC 6376 §8.13 on top-level ones); names that the list of public suffixes has of companies are theirs. */
static bool
is_public_suffix(struct slice domain)
{
	char z[256];

	return slice_to_z(domain, z, sizeof(z)) != 0 || psl_is_public_suffix2(psl_builtin(), z, PSL_TYPE_ICANN) == 1;
}

static void
say(struct dkim_result *out, enum trust_result result, struct slice reason)
{
	out->result = result;
	out->reason = reason;
}

/* What speaks against the signature before its key is known. */
static bool
is_refused(
    struct dkim_reader *r, const struct dkim_signature *s, int64_t now_s, struct arena *a, struct dkim_result *out)
{
	const char *added = dkim_headers_added(dkim_reader_headers(r), s->headers);

	if (dkim_headers_count(dkim_reader_headers(r), SLICE("From")) > 1)
		say(out, TRUST_PERMERROR,
		    SLICE("the message has several From fields, so that nobody can have signed its author"));
	else if (s->algorithm == DKIM_RSA_SHA1)
		say(out, TRUST_POLICY,
		    arena_printf(
			a, "the signature of %.*s is made with SHA-1, which counts no more", SLICE_ARG(s->domain)));
	else if (s->algorithm == DKIM_ALGORITHM_UNKNOWN)
		say(out, TRUST_NEUTRAL,
		    arena_printf(
			a, "the signature of %.*s is made in a way that is not known here", SLICE_ARG(s->domain)));
	else if (is_public_suffix(s->domain))
		say(out, TRUST_POLICY,
		    arena_printf(a,
			"%.*s is a public suffix, under which anybody has names: its signature says nothing",
			SLICE_ARG(s->domain)));
	else if (s->expires_s >= 0 && s->expires_s < now_s)
		say(out, TRUST_POLICY, arena_printf(a, "the signature of %.*s has expired", SLICE_ARG(s->domain)));
	else if (added != NULL)
		say(out, TRUST_POLICY,
		    arena_printf(a, "a field %s was added that the signature of %.*s does not cover", added,
			SLICE_ARG(s->domain)));
	else
		return false;
	return true;
}

/* The body, by its hash and l=. True: it is what was signed, all of it. */
static bool
body_is_signed(struct dkim_reader *r, const struct dkim_found *f, struct arena *a, struct dkim_result *out)
{
	const struct dkim_signature *s = &f->signature;
	uint8_t hash[DKIM_HASH_BYTES];
	uint64_t bytes;

	dkim_reader_body_hash(r, f->hash, hash, &bytes);
	if (s->has_length && s->length > bytes) {
		say(out, TRUST_FAIL,
		    arena_printf(a, "a part of the body that %.*s signed is missing", SLICE_ARG(s->domain)));
		return false;
	}
	if (!slice_eq(s->body_hash, slice_of(hash, sizeof(hash)))) {
		say(out, TRUST_FAIL,
		    arena_printf(a, "the body was changed after %.*s signed it", SLICE_ARG(s->domain)));
		return false;
	}
	out->unsigned_bytes = s->has_length ? bytes - s->length : 0;
	return true;
}

/* RFC 6376 §3.6.1: whoever is testing is not punished for a failure. */
static void
finish(struct dkim_result *out, const struct dkim_signature *s, bool good, struct arena *a)
{
	if (out->result == TRUST_NONE && !good)
		say(out, TRUST_FAIL,
		    arena_printf(a, "the signature of %.*s does not fit: the header was changed, or it is forged",
			SLICE_ARG(s->domain)));
	if (out->result == TRUST_NONE && out->unsigned_bytes > 0)
		say(out, TRUST_POLICY,
		    arena_printf(a, "the signature of %.*s is valid, but leaves the last %llu bytes of the body open",
			SLICE_ARG(s->domain), (unsigned long long)out->unsigned_bytes));
	if (out->result == TRUST_NONE)
		say(out, TRUST_PASS, arena_printf(a, "the signature of %.*s is valid", SLICE_ARG(s->domain)));
	if (out->result == TRUST_FAIL && out->testing)
		say(out, TRUST_NEUTRAL,
		    arena_printf(
			a, "%.*s (%.*s is only testing its key)", SLICE_ARG(out->reason), SLICE_ARG(s->domain)));
}

static int
check(struct dkim_reader *r, const struct dkim_found *f, struct dkim_key_cache *keys, const struct trust_dns *dns,
    int64_t now_s, struct arena *a, struct dkim_result *out)
{
	const struct dkim_signature *s = &f->signature;
	const struct dkim_fetched *key;
	bool good = false;
	int err;

	if (f->fault != NULL || f->hash < 0) {
		say(out, TRUST_NEUTRAL,
		    arena_printf(
			a, "a signature cannot be read: %s", f->fault == NULL ? "there are too many" : f->fault));
		return 0;
	}
	if (is_refused(r, s, now_s, a, out))
		return 0;
	err = dkim_key_fetch(keys, s, dns, a, &key);
	if (err != 0)
		return err;
	out->key_bits = key->bits;
	out->testing = key->record.testing;
	if (key->result != TRUST_PASS) {
		say(out, key->result, key->reason);
		return 0;
	}
	if (key->record.strict && !slice_eq(s->identity_domain, s->domain)) {
		say(out, TRUST_PERMERROR,
		    arena_printf(a, "the key of %.*s is not for names below it, and the signature is for one",
			SLICE_ARG(s->domain)));
		return 0;
	}
	if (body_is_signed(r, f, a, out))
		err = dkim_check_header(r, s, key->key, &good);
	finish(out, s, good, a);
	return err;
}

static int
give_up(const char *fault, size_t all, struct arena *a, struct dkim_results *out)
{
	struct dkim_result *v = ARENA_NEW(a, struct dkim_result);

	if (v == NULL)
		return ERR_NOMEM;
	say(v, TRUST_PERMERROR, arena_copy(a, slice_z(fault)));
	*out = (struct dkim_results){.v = v, .n = 1, .skipped = all};
	return 0;
}

/* Is there a signature at all in a header that cannot be used? */
static bool
is_signed(const struct dkim_reader *r)
{
	const struct header *h = dkim_reader_header(r);

	return h->n == 0 || header_find(h, SLICE("DKIM-Signature")) != NULL;
}

int
dkim_verify(
    struct dkim_reader *r, const struct trust_dns *dns, int64_t now_s, struct arena *a, struct dkim_results *out)
{
	size_t n, all;
	const struct dkim_found *found = dkim_reader_signatures(r, &n, &all);
	struct dkim_key_cache *keys DKIM_KEY_CACHE_CLEANUP = dkim_key_cache_new(a);
	struct dkim_result *v;
	int err = 0;

	*out = (struct dkim_results){0};
	if (dkim_reader_fault(r) != NULL)
		return is_signed(r) ? give_up(dkim_reader_fault(r), all, a, out) : 0;
	v = ARENA_ARRAY(a, struct dkim_result, n + 1);
	if (v == NULL || keys == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; err == 0 && i < n; i++) {
		const struct dkim_signature *s = &found[i].signature;

		v[i] = (struct dkim_result){.domain = arena_copy(a, s->domain),
		    .selector = arena_copy(a, s->selector),
		    .identity = arena_copy(a, s->identity),
		    .algorithm = arena_copy(a, s->algorithm_text),
		    .signature = arena_copy(a, s->signature_text),
		    .has_length = s->has_length};
		err = check(r, &found[i], keys, dns, now_s, a, &v[i]);
	}
	*out = (struct dkim_results){.v = v, .n = n, .skipped = all - n};
	return err != 0 ? err : arena_failed(a) ? ERR_NOMEM : 0;
}
