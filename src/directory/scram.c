/* scram.c: see the header. Attributes are read strictly in RFC 5802's order: a message that a client may not send is none. */
#include "directory/scram.h"

#include "base/cursor.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>

const struct scram_kind scram_kinds[SCRAM_KINDS] = {
    [SCRAM_SHA_1] = {SLICE_INIT("SCRAM-SHA-1"), "SHA1", 20},
    [SCRAM_SHA_256] = {SLICE_INIT("SCRAM-SHA-256"), "SHA256", 32},
};

/* ---- messages ------------------------------------------------------------------------------------------------ */

/* "x=value" at the front of *rest, up to a comma or the end; both are consumed. */
static int
attribute(struct slice *rest, uint8_t name, struct slice *value)
{
	struct slice all = rest->p == NULL ? SLICE_EMPTY : slice_cut(rest, ',');

	if (all.n < 2 || slice_at(all, 0) != name || slice_at(all, 1) != '=')
		return ERR_SYNTAX;
	*value = slice_from(all, 2);
	return 0;
}

/* RFC 5802 §5.1: "=2C" is a comma, "=3D" an equals sign, and "=" is nothing else. */
static int
unescape(struct slice text, struct arena *a, struct slice *out)
{
	uint8_t *v = arena_alloc(a, text.n + 1);
	size_t n = 0;

	if (v == NULL)
		return ERR_NOMEM;
	if (text.n == 0)
		return ERR_SYNTAX;
	for (size_t i = 0; i < text.n; i++) {
		struct slice code = slice_head(slice_from(text, i), 3);

		v[n] = slice_at(text, i);
		if (v[n] == '=') {
			if (!slice_ieq(code, SLICE("=2C")) && !slice_ieq(code, SLICE("=3D")))
				return ERR_SYNTAX;
			v[n] = slice_ieq(code, SLICE("=2C")) ? ',' : '=';
			i += 2;
		}
		n++;
	}
	*out = slice_of(v, n);
	return 0;
}

static bool
is_nonce(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (slice_at(s, i) < 0x21 || slice_at(s, i) > 0x7e)
			return false;
	return s.n > 0;
}

/* cb-name = 1*(ALPHA / DIGIT / "." / "-") */
static bool
is_binding_name(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_alnum(slice_at(s, i)) && slice_at(s, i) != '.' && slice_at(s, i) != '-')
			return false;
	return s.n > 0;
}

/* What follows the attributes that we know: each "letter=something". */
static bool
are_extensions(struct slice rest)
{
	while (rest.p != NULL) {
		struct slice one = slice_cut(&rest, ',');

		if (one.n < 3 || !ascii_is_alpha(slice_at(one, 0)) || slice_at(one, 1) != '=')
			return false;
	}
	return true;
}

static int
parse_gs2(struct slice *rest, struct arena *a, struct scram_first *out)
{
	struct slice flag = slice_cut(rest, ','), authzid = rest->p == NULL ? SLICE_EMPTY : slice_cut(rest, ',');

	if (rest->p == NULL || flag.n == 0)
		return ERR_SYNTAX;
	out->flag = slice_at(flag, 0);
	if (out->flag == 'p') {
		if (!slice_starts(flag, SLICE("p=")) || !is_binding_name(slice_from(flag, 2)))
			return ERR_SYNTAX;
		out->binding = slice_from(flag, 2);
	} else if (flag.n != 1 || (out->flag != 'n' && out->flag != 'y')) {
		return ERR_SYNTAX;
	}
	/* "a=" with nothing behind it is no name by the grammar, but what libgsasl makes of an empty one. */
	if (authzid.n == 0 || slice_eq(authzid, SLICE("a=")))
		return 0;
	return slice_starts(authzid, SLICE("a=")) ? unescape(slice_from(authzid, 2), a, &out->authzid) : ERR_SYNTAX;
}

int
scram_first_parse(struct slice message, struct arena *a, struct scram_first *out)
{
	struct slice rest = message, name = SLICE_EMPTY;
	int err;

	*out = (struct scram_first){0};
	if (!slice_is_utf8(message, true))
		return ERR_SYNTAX;
	err = parse_gs2(&rest, a, out);
	if (err != 0)
		return err;
	out->bare = rest;
	out->gs2 = slice_head(message, message.n - rest.n);
	if (slice_starts(rest, SLICE("m=")))
		return ERR_UNSUPPORTED;
	err = attribute(&rest, 'n', &name);
	if (err == 0)
		err = unescape(name, a, &out->username);
	if (err == 0)
		err = attribute(&rest, 'r', &out->nonce);
	if (err == 0 && (!is_nonce(out->nonce) || !are_extensions(rest)))
		err = ERR_SYNTAX;
	return err;
}

static int
unbase64(struct slice text, struct arena *a, struct slice *out)
{
	struct buf b BUF_CLEANUP;

	buf_init(&b, text.n + 4);
	if (text.n == 0 || buf_put_unbase64(&b, text) != 0)
		return ERR_SYNTAX;
	*out = arena_copy(a, buf_slice(&b));
	return arena_failed(a) ? ERR_NOMEM : 0;
}

int
scram_final_parse(struct slice message, struct arena *a, struct scram_final *out)
{
	size_t comma = slice_rfind_byte(message, ',');
	struct slice rest, last, binding = SLICE_EMPTY, proof = SLICE_EMPTY;
	int err;

	*out = (struct scram_final){0};
	if (comma == SLICE_NONE || !slice_is_utf8(message, true))
		return ERR_SYNTAX;
	out->without_proof = rest = slice_head(message, comma);
	last = slice_from(message, comma + 1);
	err = attribute(&rest, 'c', &binding);
	if (err == 0)
		err = attribute(&rest, 'r', &out->nonce);
	if (err == 0)
		err = attribute(&last, 'p', &proof);
	if (err == 0 && (!is_nonce(out->nonce) || !are_extensions(rest)))
		err = ERR_SYNTAX;
	if (err == 0)
		err = unbase64(binding, a, &out->binding);
	return err != 0 ? err : unbase64(proof, a, &out->proof);
}

/* ---- keys ---------------------------------------------------------------------------------------------------- */

void
scram_keys_wipe(struct scram_keys *k)
{
	sodium_memzero(k, sizeof(*k));
}

static int
fixed(struct slice text, uint8_t *out, size_t max, size_t *n)
{
	struct buf b BUF_CLEANUP;
	int err;

	buf_init(&b, max);
	err = buf_put_unbase64(&b, text);
	if (err != 0 || b.n == 0)
		return ERR_SYNTAX;
	memcpy(out, buf_slice(&b).p, b.n);
	*n = b.n;
	return 0;
}

int
scram_keys_parse(enum scram_hash kind, struct slice text, struct scram_keys *out)
{
	struct slice rest = text, iterations = slice_cut(&rest, ','), salt = slice_cut(&rest, ','),
		     stored = slice_cut(&rest, ',');
	size_t stored_n = 0, server_n = 0;
	uint64_t n = 0;
	int err = slice_to_u64(iterations, SCRAM_ITERATIONS_MAX, &n);

	*out = (struct scram_keys){.iterations = (int)n};
	if (err == 0)
		err = fixed(salt, out->salt, sizeof(out->salt), &out->salt_n);
	if (err == 0)
		err = fixed(stored, out->stored, sizeof(out->stored), &stored_n);
	if (err == 0)
		err = fixed(rest, out->server, sizeof(out->server), &server_n);
	if (err != 0 || n == 0 || stored_n != scram_kinds[kind].n || server_n != scram_kinds[kind].n)
		return ERR_SYNTAX;
	return 0;
}

void
scram_keys_put(enum scram_hash kind, const struct scram_keys *k, struct buf *out)
{
	const struct scram_kind *row = &scram_kinds[kind];

	buf_printf(out, "{%.*s}%d,", SLICE_ARG(row->name), k->iterations);
	buf_put_base64(out, slice_of(k->salt, k->salt_n));
	buf_put_u8(out, ',');
	buf_put_base64(out, slice_of(k->stored, row->n));
	buf_put_u8(out, ',');
	buf_put_base64(out, slice_of(k->server, row->n));
}

static bool
hmac(const EVP_MD *md, size_t n, const uint8_t *key, struct slice text, uint8_t out[SCRAM_KEY_MAX])
{
	unsigned int got = 0;

	return HMAC(md, key, (int)n, text.p, text.n, out, &got) != NULL && got == n;
}

/* RFC 5802 §3: SaltedPassword := Hi(password, salt, i); ClientKey := HMAC(SaltedPassword, "Client Key");
 * StoredKey := H(ClientKey); ServerKey := HMAC(SaltedPassword, "Server Key"). */
int
scram_keys_make(enum scram_hash kind, struct slice password, struct scram_keys *out)
{
	size_t n = scram_kinds[kind].n;
	const EVP_MD *md = EVP_get_digestbyname(scram_kinds[kind].md);
	uint8_t salted[SCRAM_KEY_MAX], client[SCRAM_KEY_MAX];
	bool good = md != NULL &&
	    PKCS5_PBKDF2_HMAC(password.n == 0 ? "" : (const char *)password.p, (int)password.n, out->salt,
		(int)out->salt_n, out->iterations, md, (int)n, salted) == 1 &&
	    hmac(md, n, salted, SLICE("Client Key"), client) && hmac(md, n, salted, SLICE("Server Key"), out->server) &&
	    EVP_Digest(client, n, out->stored, NULL, md, NULL) == 1;

	sodium_memzero(salted, sizeof(salted));
	sodium_memzero(client, sizeof(client));
	return good ? 0 : ERR_NOMEM;
}

/* ClientSignature := HMAC(StoredKey, AuthMessage); the proof is ClientKey XOR ClientSignature; ServerSignature :=
 * HMAC(ServerKey, AuthMessage). */
int
scram_verify(enum scram_hash kind, const struct scram_keys *k, struct slice auth_message, struct slice proof,
    uint8_t signature[SCRAM_KEY_MAX])
{
	size_t n = scram_kinds[kind].n;
	const EVP_MD *md = EVP_get_digestbyname(scram_kinds[kind].md);
	uint8_t client[SCRAM_KEY_MAX], stored[SCRAM_KEY_MAX];
	bool good;

	if (md == NULL || proof.n != n || !hmac(md, n, k->stored, auth_message, client))
		return md == NULL ? ERR_NOMEM : ERR_DENIED;
	for (size_t i = 0; i < n; i++)
		client[i] ^= slice_at(proof, i);
	good = EVP_Digest(client, n, stored, NULL, md, NULL) == 1 && sodium_memcmp(stored, k->stored, n) == 0 &&
	    hmac(md, n, k->server, auth_message, signature);
	sodium_memzero(client, sizeof(client));
	return good ? 0 : ERR_DENIED;
}
