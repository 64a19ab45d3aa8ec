#include "smtp/scram_client.h"

#include "base/buf.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define KEY_MAX 32
#define MESSAGE_MAX 4096

struct derive {
	const EVP_MD *md;
	struct slice password, salt;
	int iterations;
	uint8_t key[KEY_MAX];
	int n;
};

static const EVP_MD *
digest(const struct scram_client *c)
{
	return c->sha256 ? EVP_sha256() : EVP_sha1();
}

static size_t
key_bytes(const struct scram_client *c)
{
	return c->sha256 ? 32 : 20;
}

/* On a worker thread. */
static int
derive_key(void *arg)
{
	struct derive *d = arg;

	return PKCS5_PBKDF2_HMAC((const char *)d->password.p, (int)d->password.n, d->salt.p, (int)d->salt.n,
		   d->iterations, d->md, d->n, d->key) == 1
	    ? 0
	    : ERR_NOMEM;
}

static int
hmac(const struct scram_client *c, const uint8_t *key, struct slice text, uint8_t out[KEY_MAX])
{
	unsigned n = KEY_MAX;

	return HMAC(digest(c), key, (int)key_bytes(c), text.p, text.n, out, &n) == NULL ? ERR_NOMEM : 0;
}

/* RFC 5802 §5.1: "=" and "," of a name. */
static void
put_name(struct buf *b, struct slice user)
{
	for (size_t i = 0; i < user.n; i++) {
		uint8_t ch = slice_at(user, i);

		if (ch == '=')
			buf_put_z(b, "=3D");
		else if (ch == ',')
			buf_put_z(b, "=2C");
		else
			buf_put_u8(b, ch);
	}
}

int
scram_client_first(struct scram_client *c, struct arena *a, bool sha256, struct slice user, struct slice password,
    struct slice nonce, struct slice *out)
{
	struct buf b BUF_CLEANUP;

	*c = (struct scram_client){.arena = a, .sha256 = sha256, .password = password};
	if (user.n == 0 || password.n == 0 || !slice_is_utf8(user, true) || !slice_is_utf8(password, true))
		return ERR_INVALID;
	buf_init(&b, MESSAGE_MAX);
	buf_put_z(&b, "n=");
	put_name(&b, user);
	buf_put_z(&b, ",r=");
	buf_put(&b, nonce);
	c->first_bare = arena_copy(a, buf_slice(&b));
	c->nonce = arena_copy(a, nonce);
	*out = arena_printf(a, "n,,%.*s", SLICE_ARG(c->first_bare));
	return b.err != 0 ? ERR_INVALID : arena_failed(a) ? ERR_NOMEM : 0;
}

/* "x=value" at the front of *rest. */
static bool
attribute(struct slice *rest, uint8_t name, struct slice *value)
{
	struct slice part = slice_cut(rest, ',');

	if (part.n < 2 || slice_at(part, 0) != name || slice_at(part, 1) != '=')
		return false;
	*value = slice_from(part, 2);
	return true;
}

/* RFC 5802 §3: the proof and what the server must sign. */
static int
prove(struct scram_client *c, const uint8_t *salted, struct slice auth_message, uint8_t proof[KEY_MAX])
{
	uint8_t client_key[KEY_MAX], stored[KEY_MAX], server_key[KEY_MAX], signature[KEY_MAX];
	unsigned n = KEY_MAX;
	int e = hmac(c, salted, SLICE("Client Key"), client_key);

	if (e == 0 && EVP_Digest(client_key, key_bytes(c), stored, &n, digest(c), NULL) != 1)
		e = ERR_NOMEM;
	if (e == 0)
		e = hmac(c, stored, auth_message, signature);
	for (size_t i = 0; i < key_bytes(c); i++)
		proof[i] = client_key[i] ^ signature[i];
	if (e == 0)
		e = hmac(c, salted, SLICE("Server Key"), server_key);
	if (e == 0)
		e = hmac(c, server_key, auth_message, signature);
	c->server_signature = arena_copy(c->arena, slice_of(signature, key_bytes(c)));
	OPENSSL_cleanse(client_key, sizeof(client_key));
	return e != 0 ? e : arena_failed(c->arena) ? ERR_NOMEM : 0;
}

static int
read_server_first(
    const struct scram_client *c, struct slice server_first, struct slice *nonce, struct buf *salt, int *iterations)
{
	struct slice rest = server_first, salt64, count;
	uint64_t n;
	int e;

	if (!attribute(&rest, 'r', nonce) || !attribute(&rest, 's', &salt64) || !attribute(&rest, 'i', &count) ||
	    nonce->n <= c->nonce.n || !slice_starts(*nonce, c->nonce) || salt64.n == 0)
		return ERR_SYNTAX;
	e = slice_to_u64(count, SCRAM_CLIENT_ITERATIONS_MAX, &n);
	if (e != 0)
		return e;
	*iterations = (int)n;
	return n == 0 || buf_put_unbase64(salt, salt64) != 0 ? ERR_SYNTAX : 0;
}

int
scram_client_final(struct scram_client *c, struct workers *w, struct slice server_first, struct slice *out)
{
	struct buf salt BUF_CLEANUP, b BUF_CLEANUP;
	struct derive d = {.md = digest(c), .password = c->password, .n = (int)key_bytes(c)};
	struct slice nonce, auth_message, without_proof;
	uint8_t proof[KEY_MAX];
	int e;

	buf_init(&salt, MESSAGE_MAX);
	buf_init(&b, MESSAGE_MAX * 2);
	e = server_first.n > MESSAGE_MAX ? ERR_SYNTAX
					 : read_server_first(c, server_first, &nonce, &salt, &d.iterations);
	if (e != 0)
		return e;
	d.salt = buf_slice(&salt);
	e = w != NULL ? work_run(w, derive_key, &d) : derive_key(&d);
	/* biws: "n,,", no channel binding. */
	without_proof = arena_printf(c->arena, "c=biws,r=%.*s", SLICE_ARG(nonce));
	auth_message = arena_printf(
	    c->arena, "%.*s,%.*s,%.*s", SLICE_ARG(c->first_bare), SLICE_ARG(server_first), SLICE_ARG(without_proof));
	if (e == 0)
		e = prove(c, d.key, auth_message, proof);
	OPENSSL_cleanse(d.key, sizeof(d.key));
	if (e != 0)
		return e;
	buf_put(&b, without_proof);
	buf_put_z(&b, ",p=");
	buf_put_base64(&b, slice_of(proof, key_bytes(c)));
	*out = arena_copy(c->arena, buf_slice(&b));
	return b.err != 0 || arena_failed(c->arena) ? ERR_NOMEM : 0;
}

int
scram_client_verify(const struct scram_client *c, struct slice server_final)
{
	struct slice rest = server_final, value;
	struct buf signature BUF_CLEANUP;

	buf_init(&signature, MESSAGE_MAX);
	if (!attribute(&rest, 'v', &value) || buf_put_unbase64(&signature, value) != 0)
		return ERR_DENIED;
	if (signature.n != c->server_signature.n || CRYPTO_memcmp(signature.p, c->server_signature.p, signature.n) != 0)
		return ERR_DENIED;
	return 0;
}
