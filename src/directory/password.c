/* password.c: preparing, Argon2id, SCRAM keys of passwords. The imported schemes are in password_import.c. */
#include "directory/password.h"

#include "directory/password_private.h"

#include <sodium.h>
#include <utf8proc.h>

/* RFC 4013 §2.1: non-ASCII spaces become U+0020. */
static utf8proc_int32_t
map_space(utf8proc_int32_t c, void *data)
{
	(void)data;
	return c > 0x7f && utf8proc_category(c) == UTF8PROC_CATEGORY_ZS ? ' ' : c;
}

/* RFC 4013 §2.3: controls, private use, what is no character, what changes the display or is there for other protocols. */
static bool
is_prohibited(utf8proc_int32_t c)
{
	switch (utf8proc_category(c)) {
	case UTF8PROC_CATEGORY_CC:
	case UTF8PROC_CATEGORY_CF:
	case UTF8PROC_CATEGORY_CO:
	case UTF8PROC_CATEGORY_CS:
	case UTF8PROC_CATEGORY_ZL:
	case UTF8PROC_CATEGORY_ZP: return true;
	default: break;
	}
	return (c & 0xfffe) == 0xfffe || (c >= 0xfdd0 && c <= 0xfdef) || c == 0xfffc || c == 0xfffd ||
	    (c >= 0x2ff0 && c <= 0x2ffb);
}

static bool
is_right_to_left(utf8proc_int32_t c)
{
	utf8proc_propval_t class = utf8proc_get_property(c)->bidi_class;

	return class == UTF8PROC_BIDI_CLASS_R || class == UTF8PROC_BIDI_CLASS_AL;
}

/* RFC 4013 §2.3 and §2.4 (RFC 3454 §6): text that runs from right to left does so from its first character to its last, and
 * has none that runs the other way. */
static bool
may_stand(struct slice text)
{
	utf8proc_int32_t c = 0, first = 0;
	bool right = false, left = false;

	for (size_t at = 0; at < text.n;) {
		struct slice rest = slice_from(text, at);
		utf8proc_ssize_t n = utf8proc_iterate(rest.p, (utf8proc_ssize_t)rest.n, &c);

		if (n <= 0 || is_prohibited(c))
			return false;
		if (at == 0)
			first = c;
		right |= is_right_to_left(c);
		left |= utf8proc_get_property(c)->bidi_class == UTF8PROC_BIDI_CLASS_L;
		at += (size_t)n;
	}
	return !right || (!left && is_right_to_left(first) && is_right_to_left(c));
}

int
password_prepare(struct slice password, struct buf *out)
{
	utf8proc_uint8_t *mapped = NULL;
	utf8proc_ssize_t n;
	int err = 0;

	if (!slice_is_utf8(password, true))
		return ERR_INVALID;
	for (size_t i = 0; i < password.n; i++)
		if (slice_at(password, i) < 0x20 || slice_at(password, i) == 0x7f)
			return ERR_INVALID;
	if (slice_is_ascii(password)) {
		buf_put(out, password);
		return out->err;
	}
	n = utf8proc_map_custom(password.p, (utf8proc_ssize_t)password.n, &mapped,
	    UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_IGNORE, map_space, NULL);
	if (n < 0)
		return n == UTF8PROC_ERROR_NOMEM ? ERR_NOMEM : ERR_INVALID;
	if (may_stand(slice_of(mapped, (size_t)n)))
		buf_put(out, slice_of(mapped, (size_t)n));
	else
		err = ERR_INVALID;
	if (err == 0)
		err = out->err;
	sodium_memzero(mapped, (size_t)n);
	free(mapped);
	return err;
}

void
password_wipe(struct buf *b)
{
	if (b->cap > 0)
		sodium_memzero(b->p, b->cap);
	buf_free(b);
}

/* The prepared form, or the bytes as they are where there is none. */
static int
prepared(struct slice password, struct buf *out)
{
	int err = password_prepare(password, out);

	if (err != ERR_INVALID)
		return err;
	buf_put(out, password);
	return out->err;
}

/* ---- Argon2id ------------------------------------------------------------------------------------------ */

static size_t
memory_bytes(const struct house *h)
{
	return (size_t)h->limits.argon2_memory_kib * 1024;
}
static unsigned long long
passes(const struct house *h)
{
	return (unsigned long long)h->limits.argon2_passes;
}

int
password_hash(struct house *h, struct slice password, struct buf *out)
{
	char hash[crypto_pwhash_STRBYTES];
	struct buf p PASSWORD_CLEANUP;
	int err;

	buf_init(&p, PASSWORD_PREPARED_MAX);
	if (password.n > (size_t)h->limits.password_bytes)
		return ERR_LIMIT;
	err = prepared(password, &p);
	if (err != 0)
		return err;
	if (crypto_pwhash_str_alg(hash, p.n == 0 ? "" : (const char *)buf_slice(&p).p, p.n, passes(h), memory_bytes(h),
		crypto_pwhash_ALG_ARGON2ID13) != 0)
		return ERR_NOMEM;
	buf_put_z(out, "{ARGON2ID}");
	buf_put_z(out, hash);
	return out->err;
}

bool
password_is_current(const struct house *h, struct slice hash)
{
	char z[crypto_pwhash_STRBYTES];
	struct slice rest;

	return slice_ieq(password_scheme(hash, &rest), SLICE("ARGON2ID")) && slice_to_z(rest, z, sizeof(z)) == 0 &&
	    crypto_pwhash_str_needs_rehash(z, passes(h), memory_bytes(h)) == 0;
}

/* ---- SCRAM --------------------------------------------------------------------------------------------------- */

int
password_scram(
    struct house *h, enum scram_hash kind, struct slice password, const struct scram_keys *like, struct buf *out)
{
	struct scram_keys k SCRAM_KEYS_CLEANUP = *like;
	struct buf p PASSWORD_CLEANUP;
	int err;

	buf_init(&p, PASSWORD_PREPARED_MAX);
	if (password.n > (size_t)h->limits.password_bytes)
		return ERR_LIMIT;
	err = password_prepare(password, &p);
	if (err == 0)
		err = scram_keys_make(kind, buf_slice(&p), &k);
	if (err == 0)
		scram_keys_put(kind, &k, out);
	return err != 0 ? err : out->err;
}

/* ---- verifying ---------------------------------------------------------------------------------------------------- */

struct slice
password_scheme(struct slice hash, struct slice *rest)
{
	size_t end = slice_find_byte(hash, '}');

	*rest = hash;
	if (slice_starts(hash, SLICE("{")) && end != SLICE_NONE) {
		*rest = slice_from(hash, end + 1);
		return slice_range(hash, 1, end);
	}
	if (slice_starts(hash, SLICE("$argon2id$")))
		return SLICE("ARGON2ID");
	if (slice_starts(hash, SLICE("$argon2i$")))
		return SLICE("ARGON2I");
	return slice_starts(hash, SLICE("$")) ? SLICE("CRYPT") : SLICE_EMPTY;
}

int
password_verify(struct slice hash, struct slice password)
{
	struct slice rest, scheme = password_scheme(hash, &rest);
	const struct password_scheme_row *row = password_scheme_find(scheme);
	struct buf p PASSWORD_CLEANUP;
	int err;

	buf_init(&p, PASSWORD_PREPARED_MAX);
	if (row == NULL)
		return ERR_UNSUPPORTED;
	err = row->check(rest, row); /* what costs too much is not even begun */
	if (err == 0)
		err = prepared(password, &p);
	if (err != 0)
		return err;
	err = row->verify(rest, buf_slice(&p), row);
	/* Other servers hashed the bytes as they came. */
	if (err == ERR_DENIED && !slice_eq(buf_slice(&p), password))
		err = row->verify(rest, password, row);
	return err;
}
