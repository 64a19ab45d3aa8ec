/* password_import.c: the schemes of other servers, as Dovecot spells them. Their costs are bounded at import, so that a
 * hash cannot stop the vault's threads for minutes. Comparisons take the same time wherever they differ. */
#include "base/cursor.h"
#include "directory/password_private.h"

#include <crypt.h>
#include <openssl/evp.h>
#include <sodium.h>

#define ITERATIONS_MAX 5000000
#define BCRYPT_COST_MAX 16
#define ARGON2_MEMORY_KIB_MAX (1 << 20)
#define ARGON2_PASSES_MAX 50
#define SALT_MAX 256

static int
compare(const void *a, const void *b, size_t n)
{
	return sodium_memcmp(a, b, n) == 0 ? 0 : ERR_DENIED;
}

/* ---- crypt(3) -------------------------------------------------------------------------------------------------- */

static int
verify_crypt(struct slice hash, struct slice password, const struct password_scheme_row *row)
{
	struct crypt_data *data;
	char setting[PASSWORD_HASH_MAX], z[PASSWORD_HASH_MAX * 2];
	const char *made;
	int err;

	(void)row;
	if (slice_to_z(hash, setting, sizeof(setting)) != 0)
		return ERR_SYNTAX;
	if (slice_to_z(password, z, sizeof(z)) != 0) /* crypt() ends at a NUL */
		return ERR_DENIED;
	data = calloc(1, sizeof(*data));
	if (data == NULL)
		return ERR_NOMEM;
	made = crypt_rn(z, setting, data, (int)sizeof(*data));
	if (made == NULL || made[0] == '*')
		err = ERR_UNSUPPORTED;
	else
		err = strlen(made) == hash.n ? compare(made, setting, hash.n) : ERR_DENIED;
	sodium_memzero(data, sizeof(*data));
	sodium_memzero(z, sizeof(z));
	free(data);
	return err;
}

/* Moves past the method of a crypt hash and its cost: "$5$rounds=N$…", "$2y$NN$…", yescrypt's "$y$jCT$" near its default. Of
 * libcrypt's other methods some have costs without bounds: they are not taken. */
static void
skip_crypt_method(struct cursor *c)
{
	if (cursor_accept(c, SLICE("$2"))) {
		cursor_skip(c, 1);
		cursor_expect_byte(c, '$');
		(void)cursor_number(c, BCRYPT_COST_MAX);
		cursor_expect_byte(c, '$');
	} else if (cursor_accept(c, SLICE("$5$rounds=")) || cursor_accept(c, SLICE("$6$rounds="))) {
		(void)cursor_number(c, ITERATIONS_MAX);
		cursor_expect_byte(c, '$');
	} else if (cursor_accept(c, SLICE("$y$j"))) {
		if (slice_find_byte(SLICE("56789AB"), cursor_u8(c)) == SLICE_NONE)
			cursor_fail(c, ERR_LIMIT);
		cursor_expect(c, SLICE("T$"));
	} else if (!cursor_accept(c, SLICE("$1$")) && !cursor_accept(c, SLICE("$5$")) &&
	    !cursor_accept(c, SLICE("$6$")) &&
	    (cursor_peek(c) == '$' || cursor_peek(c) == '_')) { /* '_': BSDi's DES, with rounds of its own */
		cursor_fail(c, ERR_SYNTAX);
	}
}

static int
check_crypt(struct slice hash, const struct password_scheme_row *row)
{
	struct cursor c = cursor_of(hash);
	char z[PASSWORD_HASH_MAX];

	if (slice_to_z(hash, z, sizeof(z)) != 0 || !slice_is_ascii(hash) || slice_ends(hash, SLICE("$")) || hash.n < 13)
		return ERR_SYNTAX;
	if (row->prefix != NULL && !slice_starts(hash, slice_z(row->prefix)))
		return ERR_SYNTAX;
	skip_crypt_method(&c);
	if (c.err != 0)
		return c.err;
	return crypt_checksalt(z) == CRYPT_SALT_INVALID ? ERR_SYNTAX : 0;
}

/* ---- Argon2 ------------------------------------------------------------------------------------------------------- */

static int
verify_argon2(struct slice hash, struct slice password, const struct password_scheme_row *row)
{
	char z[crypto_pwhash_STRBYTES];

	(void)row;
	if (slice_to_z(hash, z, sizeof(z)) != 0)
		return ERR_SYNTAX;
	return crypto_pwhash_str_verify(z, password.n == 0 ? "" : (const char *)password.p, password.n) == 0
	    ? 0
	    : ERR_DENIED;
}

/* "$argon2id$v=19$m=65536,t=2,p=1$salt$hash" */
static int
check_argon2(struct slice hash, const struct password_scheme_row *row)
{
	struct cursor c = cursor_of(hash);

	if (hash.n >= crypto_pwhash_STRBYTES)
		return ERR_LIMIT;
	cursor_expect(&c, slice_z(row->prefix));
	cursor_expect(&c, SLICE("v=19$m="));
	(void)cursor_number(&c, ARGON2_MEMORY_KIB_MAX);
	cursor_expect(&c, SLICE(",t="));
	(void)cursor_number(&c, ARGON2_PASSES_MAX);
	cursor_expect(&c, SLICE(",p="));
	(void)cursor_number(&c, 64);
	cursor_expect_byte(&c, '$');
	if (c.err == 0 &&
	    (slice_find_byte(cursor_rest(&c), '$') == SLICE_NONE || slice_find_byte(hash, 0) != SLICE_NONE))
		return ERR_SYNTAX;
	return c.err;
}

/* ---- digests: {SHA}, {SSHA}, … -------------------------------------------------------------------------------------- */

/* The digest's bytes: base64, or hexadecimal where the length says so (Dovecot's rule). */
static int
decode(struct slice text, size_t digest_n, struct buf *out)
{
	uint8_t raw[EVP_MAX_MD_SIZE + SALT_MAX];
	size_t n = 0;

	if (text.n > 4 * (EVP_MAX_MD_SIZE + SALT_MAX))
		return ERR_LIMIT;
	if (text.n == 2 * digest_n &&
	    sodium_hex2bin(raw, sizeof(raw), (const char *)text.p, text.n, NULL, &n, NULL) == 0) {
		buf_put(out, slice_of(raw, n));
		return out->err;
	}
	return buf_put_unbase64(out, text);
}

static int
digest_parts(struct slice hash, const struct password_scheme_row *row, struct buf *out, size_t *digest_n)
{
	const EVP_MD *md = EVP_get_digestbyname(row->md);
	int err;

	if (md == NULL)
		return ERR_UNSUPPORTED;
	*digest_n = (size_t)EVP_MD_get_size(md);
	err = decode(hash, *digest_n, out);
	if (err != 0)
		return err;
	/* the salt is what follows; {SSHA…} without one is an unsalted digest */
	return out->n < *digest_n || out->n > *digest_n + SALT_MAX ? ERR_SYNTAX : 0;
}

static int
check_digest(struct slice hash, const struct password_scheme_row *row)
{
	struct buf raw BUF_CLEANUP;
	size_t n;

	buf_init(&raw, PASSWORD_HASH_MAX);
	return digest_parts(hash, row, &raw, &n);
}

static int
verify_digest(struct slice hash, struct slice password, const struct password_scheme_row *row)
{
	struct buf raw BUF_CLEANUP, text PASSWORD_CLEANUP;
	uint8_t digest[EVP_MAX_MD_SIZE];
	size_t n;
	int err;

	buf_init(&raw, PASSWORD_HASH_MAX);
	buf_init(&text, PASSWORD_PREPARED_MAX + SALT_MAX);
	err = digest_parts(hash, row, &raw, &n);
	if (err != 0)
		return err;
	buf_put(&text, password);
	buf_put(&text, slice_from(buf_slice(&raw), n));
	if (text.err != 0)
		return text.err;
	if (EVP_Digest(text.n == 0 ? (const void *)"" : buf_slice(&text).p, text.n, digest, NULL,
		EVP_get_digestbyname(row->md), NULL) != 1)
		return ERR_UNSUPPORTED;
	return compare(digest, buf_slice(&raw).p, n);
}

/* ---- {PBKDF2}$1$salt$iterations$hex ------------------------------------------------------------------------------------ */

struct pbkdf2 {
	struct slice salt;
	int iterations;
	uint8_t key[20];
};

static int
parse_pbkdf2(struct slice hash, struct pbkdf2 *out)
{
	struct cursor c = cursor_of(hash);
	struct slice hex;
	size_t n = 0;

	cursor_expect(&c, SLICE("$1$"));
	out->salt = cursor_until(&c, '$');
	cursor_expect_byte(&c, '$');
	out->iterations = (int)cursor_number(&c, ITERATIONS_MAX);
	cursor_expect_byte(&c, '$');
	hex = cursor_rest(&c);
	if (c.err != 0)
		return c.err;
	if (out->iterations < 1 || out->salt.n > SALT_MAX || hex.n != 40 ||
	    sodium_hex2bin(out->key, sizeof(out->key), (const char *)hex.p, hex.n, NULL, &n, NULL) != 0 || n != 20)
		return ERR_SYNTAX;
	return 0;
}

static int
check_pbkdf2(struct slice hash, const struct password_scheme_row *row)
{
	struct pbkdf2 p;

	(void)row;
	return parse_pbkdf2(hash, &p);
}

static int
verify_pbkdf2(struct slice hash, struct slice password, const struct password_scheme_row *row)
{
	struct pbkdf2 p;
	uint8_t key[20];
	int err = parse_pbkdf2(hash, &p);

	(void)row;
	if (err != 0)
		return err;
	if (slice_find_byte(password, 0) != SLICE_NONE) /* HMAC pads keys with NULs */
		return ERR_DENIED;
	if (PKCS5_PBKDF2_HMAC(password.n == 0 ? "" : (const char *)password.p, (int)password.n, p.salt.p, (int)p.salt.n,
		p.iterations, EVP_sha1(), sizeof(key), key) != 1)
		return ERR_NOMEM;
	return compare(key, p.key, sizeof(key));
}

/* ---- {SCRAM-SHA-256}iterations,salt,stored,server ---------------------------------------------------------------------------- */

static enum scram_hash
scram_of(const struct password_scheme_row *row)
{
	return slice_ieq(row->name, scram_kinds[SCRAM_SHA_1].name) ? SCRAM_SHA_1 : SCRAM_SHA_256;
}

static int
check_scram(struct slice hash, const struct password_scheme_row *row)
{
	struct scram_keys k SCRAM_KEYS_CLEANUP;

	return scram_keys_parse(scram_of(row), hash, &k);
}

static int
verify_scram(struct slice hash, struct slice password, const struct password_scheme_row *row)
{
	enum scram_hash kind = scram_of(row);
	struct scram_keys k SCRAM_KEYS_CLEANUP, made SCRAM_KEYS_CLEANUP = {0};
	int err = scram_keys_parse(kind, hash, &k);

	if (err == 0 && slice_find_byte(password, 0) != SLICE_NONE) /* HMAC pads keys with NULs */
		err = ERR_DENIED;
	if (err != 0)
		return err;
	made = k;
	err = scram_keys_make(kind, password, &made);
	return err != 0 ? err : compare(made.stored, k.stored, scram_kinds[kind].n);
}

/* ---- {PLAIN} ------------------------------------------------------------------------------------------------------------------ */

static int
verify_plain(struct slice hash, struct slice password, const struct password_scheme_row *row)
{
	(void)row;
	return hash.n == password.n && hash.n > 0 ? compare(hash.p, password.p, hash.n) : ERR_DENIED;
}

static int
check_plain(struct slice hash, const struct password_scheme_row *row)
{
	(void)row;
	return hash.n > 0 ? 0 : ERR_SYNTAX;
}

/* ---- the table ------------------------------------------------------------------------------------------------------------------- */

static const struct password_scheme_row schemes[] = {
    {SLICE_INIT("ARGON2ID"), verify_argon2, check_argon2, NULL, "$argon2id$"},
    {SLICE_INIT("ARGON2I"), verify_argon2, check_argon2, NULL, "$argon2i$"},
    {SLICE_INIT("SCRAM-SHA-1"), verify_scram, check_scram, NULL, NULL},
    {SLICE_INIT("SCRAM-SHA-256"), verify_scram, check_scram, NULL, NULL},
    {SLICE_INIT("CRYPT"), verify_crypt, check_crypt, NULL, NULL},
    {SLICE_INIT("DES-CRYPT"), verify_crypt, check_crypt, NULL, NULL},
    {SLICE_INIT("MD5-CRYPT"), verify_crypt, check_crypt, NULL, "$1$"},
    {SLICE_INIT("BLF-CRYPT"), verify_crypt, check_crypt, NULL, "$2"},
    {SLICE_INIT("SHA256-CRYPT"), verify_crypt, check_crypt, NULL, "$5$"},
    {SLICE_INIT("SHA512-CRYPT"), verify_crypt, check_crypt, NULL, "$6$"},
    {SLICE_INIT("PBKDF2"), verify_pbkdf2, check_pbkdf2, NULL, NULL},
    {SLICE_INIT("SHA"), verify_digest, check_digest, "SHA1", NULL},
    {SLICE_INIT("SHA1"), verify_digest, check_digest, "SHA1", NULL},
    {SLICE_INIT("SHA256"), verify_digest, check_digest, "SHA256", NULL},
    {SLICE_INIT("SHA512"), verify_digest, check_digest, "SHA512", NULL},
    {SLICE_INIT("SSHA"), verify_digest, check_digest, "SHA1", NULL},
    {SLICE_INIT("SSHA256"), verify_digest, check_digest, "SHA256", NULL},
    {SLICE_INIT("SSHA512"), verify_digest, check_digest, "SHA512", NULL},
    {SLICE_INIT("SMD5"), verify_digest, check_digest, "MD5", NULL},
    {SLICE_INIT("LDAP-MD5"), verify_digest, check_digest, "MD5", NULL},
    {SLICE_INIT("PLAIN-MD5"), verify_digest, check_digest, "MD5", NULL},
    {SLICE_INIT("PLAIN"), verify_plain, check_plain, NULL, NULL},
    {SLICE_INIT("CLEARTEXT"), verify_plain, check_plain, NULL, NULL},
    {SLICE_INIT("CLEAR"), verify_plain, check_plain, NULL, NULL},
};

/* Without the encoding that Dovecot allows behind it: {SSHA.b64}, {SHA256.HEX}; decode() sees it by itself. */
static struct slice
without_encoding(struct slice scheme)
{
	static const struct slice encodings[] = {SLICE_INIT(".b64"), SLICE_INIT(".base64"), SLICE_INIT(".hex")};

	for (size_t i = 0; i < COUNT_OF(encodings); i++)
		if (slice_iends(scheme, encodings[i]))
			return slice_head(scheme, scheme.n - encodings[i].n);
	return scheme;
}

const struct password_scheme_row *
password_scheme_find(struct slice scheme)
{
	struct slice name = without_encoding(scheme);

	for (size_t i = 0; i < COUNT_OF(schemes); i++)
		if (slice_ieq(name, schemes[i].name))
			return &schemes[i];
	return NULL;
}

int
password_check_import(struct slice hash, struct buf *detail)
{
	struct slice rest, scheme = password_scheme(hash, &rest);
	const struct password_scheme_row *row = password_scheme_find(scheme);
	int err;

	if (row == NULL) {
		buf_printf(detail, "the password scheme \"%.*s\" is not known: a hash looks like {SHA512-CRYPT}$6$…",
		    SLICE_ARG(scheme));
		return ERR_UNSUPPORTED;
	}
	err = hash.n > PASSWORD_HASH_MAX ? ERR_LIMIT : row->check(rest, row);
	if (err == ERR_LIMIT)
		buf_printf(detail, "the %.*s hash would cost too much to check.", SLICE_ARG(row->name));
	else if (err != 0)
		buf_printf(detail, "the %.*s hash is not well formed.", SLICE_ARG(row->name));
	return err;
}
