/* password.c: preparing, Argon2id, SCRAM keys. The imported schemes are in password_import.c. */
#include "directory/password.h"

#include "directory/password_private.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <sodium.h>
#include <utf8proc.h>

/* RFC 4013 §2.1: non-ASCII spaces become U+0020. */
static utf8proc_int32_t
map_space(utf8proc_int32_t c, void *data)
{
	(void)data;
	return c > 0x7f && utf8proc_category(c) == UTF8PROC_CATEGORY_ZS ? ' ' : c;
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
	buf_put(out, slice_of(mapped, (size_t)n));
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

const struct scram_kind scram_kinds[2] = {
    [SCRAM_SHA_1] = {SLICE_INIT("SCRAM-SHA-1"), "SHA1", 20},
    [SCRAM_SHA_256] = {SLICE_INIT("SCRAM-SHA-256"), "SHA256", 32},
};

/* RFC 5802 §3: SaltedPassword := Hi(password, salt, i); ClientKey := HMAC(SaltedPassword, "Client Key");
 * StoredKey := H(ClientKey); ServerKey := HMAC(SaltedPassword, "Server Key"). */
int
scram_derive(const struct scram_kind *k, struct slice password, struct slice salt, int iterations, uint8_t stored[32],
    uint8_t server[32])
{
	const EVP_MD *md = EVP_get_digestbyname(k->md);
	uint8_t salted[32], client[32];
	unsigned int n = 0;
	bool good = md != NULL &&
	    PKCS5_PBKDF2_HMAC(password.n == 0 ? "" : (const char *)password.p, (int)password.n, salt.p, (int)salt.n,
		iterations, md, (int)k->n, salted) == 1 &&
	    HMAC(md, salted, (int)k->n, (const uint8_t *)"Client Key", 10, client, &n) != NULL &&
	    HMAC(md, salted, (int)k->n, (const uint8_t *)"Server Key", 10, server, &n) != NULL &&
	    EVP_Digest(client, k->n, stored, NULL, md, NULL) == 1;

	sodium_memzero(salted, sizeof(salted));
	sodium_memzero(client, sizeof(client));
	return good ? 0 : ERR_NOMEM;
}

int
password_scram(struct house *h, enum scram_hash kind, struct slice password, struct buf *out)
{
	const struct scram_kind *k = &scram_kinds[kind];
	uint8_t salt[16], stored[32], server[32];
	struct buf p PASSWORD_CLEANUP;
	int err;

	buf_init(&p, PASSWORD_PREPARED_MAX);
	if (password.n > (size_t)h->limits.password_bytes)
		return ERR_LIMIT;
	err = password_prepare(password, &p);
	if (err != 0)
		return err;
	house_random(h, salt, sizeof(salt));
	err = scram_derive(
	    k, buf_slice(&p), slice_of(salt, sizeof(salt)), (int)h->limits.scram_iterations, stored, server);
	if (err != 0)
		return err;
	buf_printf(out, "{%.*s}%lld,", SLICE_ARG(k->name), (long long)h->limits.scram_iterations);
	buf_put_base64(out, slice_of(salt, sizeof(salt)));
	buf_put_u8(out, ',');
	buf_put_base64(out, slice_of(stored, k->n));
	buf_put_u8(out, ',');
	buf_put_base64(out, slice_of(server, k->n));
	sodium_memzero(stored, sizeof(stored));
	sodium_memzero(server, sizeof(server));
	return out->err;
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
