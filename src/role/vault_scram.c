/* vault_scram.c: SCRAM (RFC 5802) without giving the keys away: the porch, which speaks with the client, is told salt and
 * iterations, and asks whether a proof is right.
 *
 * All passwords of an account, app passwords too, have keys with one salt and one number of iterations, since the client's
 * first message only names the account: its proof is then tried against each. App passwords are random, so nothing is
 * lost by sharing a salt. The salt is a keyed hash of the account's id, or of a name that nobody has: so that both are told
 * one, and the same each time. Imported keys keep their own.
 *
 * The nonce is sealed for an account and a hash instead of being remembered, so that nobody can fill a memory with exchanges
 * that he never ends; what is remembered is the nonces that proved something. */
#include "base/log.h"
#include "role/vault_private.h"

#include <sodium.h>

#define NONCE_LIFE_MS 120000 /* the client computes for a while, and may ask its user */
#define NONCE_RANDOM 8
#define NONCE_SEAL 16
#define NONCE_BYTES (8 + NONCE_RANDOM + NONCE_SEAL)

/* ---- salts --------------------------------------------------------------------------------------------------- */

static void
derive_salt(const struct vault *v, enum scram_hash kind, struct slice salt_id, struct scram_keys *out)
{
	crypto_generichash_state s;
	uint8_t k = (uint8_t)kind;
	int64_t iterations = v->house->limits.scram_iterations;

	*out = (struct scram_keys){
	    .iterations = iterations < SCRAM_ITERATIONS_MAX ? (int)iterations : SCRAM_ITERATIONS_MAX,
	    .salt_n = VAULT_SALT_BYTES};
	crypto_generichash_init(&s, v->salt_key, sizeof(v->salt_key), VAULT_SALT_BYTES);
	crypto_generichash_update(&s, &k, 1);
	crypto_generichash_update(&s, salt_id.p, salt_id.n);
	crypto_generichash_final(&s, out->salt, VAULT_SALT_BYTES);
}

static int
parse(enum scram_hash kind, struct slice text, struct scram_keys *out)
{
	struct slice rest;

	return text.n == 0 || password_scheme(text, &rest).n == 0 ? ERR_NOTFOUND : scram_keys_parse(kind, rest, out);
}

void
vault_scram_like(const struct vault *v, struct slice salt_id, const struct secret_credential *c, bool fresh,
    struct scram_keys like[SCRAM_KINDS])
{
	for (enum scram_hash kind = 0; kind < SCRAM_KINDS; kind++) {
		struct scram_keys own SCRAM_KEYS_CLEANUP;

		derive_salt(v, kind, salt_id, &like[kind]);
		if (parse(kind, c->scram[kind], &own) != 0 || (fresh && own.iterations != like[kind].iterations))
			continue;
		like[kind].iterations = own.iterations;
		like[kind].salt_n = own.salt_n;
		memcpy(like[kind].salt, own.salt, own.salt_n);
	}
}

bool
vault_scram_is_like(const struct scram_keys like[SCRAM_KINDS], const struct slice scram[SCRAM_KINDS])
{
	for (enum scram_hash kind = 0; kind < SCRAM_KINDS; kind++) {
		struct scram_keys own SCRAM_KEYS_CLEANUP;

		if (parse(kind, scram[kind], &own) != 0 || own.iterations != like[kind].iterations ||
		    !slice_eq(slice_of(own.salt, own.salt_n), slice_of(like[kind].salt, like[kind].salt_n)))
			return false;
	}
	return true;
}

/* ---- nonces -------------------------------------------------------------------------------------------------- */

static void
seal(const struct vault *v, struct slice account_id, int64_t kind, struct slice open, uint8_t out[NONCE_SEAL])
{
	crypto_generichash_state s;
	uint8_t lead[2] = {(uint8_t)account_id.n, (uint8_t)kind};

	crypto_generichash_init(&s, v->nonce_key, sizeof(v->nonce_key), NONCE_SEAL);
	crypto_generichash_update(&s, lead, sizeof(lead));
	crypto_generichash_update(&s, account_id.p, account_id.n);
	crypto_generichash_update(&s, open.p, open.n);
	crypto_generichash_final(&s, out, NONCE_SEAL);
}

static void
make_nonce(struct vault *v, struct slice account_id, int64_t kind, struct buf *out)
{
	struct buf raw BUF_CLEANUP;
	uint8_t random[NONCE_RANDOM], sealed[NONCE_SEAL];

	buf_init(&raw, NONCE_BYTES);
	house_random(v->house, random, sizeof(random));
	buf_put_be64(&raw, (uint64_t)house_mono_ms(v->house));
	buf_put(&raw, slice_of(random, sizeof(random)));
	seal(v, account_id, kind, buf_slice(&raw), sealed);
	buf_put(&raw, slice_of(sealed, sizeof(sealed)));
	buf_put_base64(out, buf_slice(&raw));
}

/* True if we made it, for this, and lately. */
static bool
is_nonce(const struct vault *v, struct slice account_id, int64_t kind, struct slice text)
{
	struct buf raw BUF_CLEANUP;
	uint8_t sealed[NONCE_SEAL];
	int64_t made = 0, now = house_mono_ms(v->house);

	buf_init(&raw, NONCE_BYTES);
	if (buf_put_unbase64(&raw, text) != 0 || raw.n != NONCE_BYTES)
		return false;
	seal(v, account_id, kind, slice_head(buf_slice(&raw), NONCE_BYTES - NONCE_SEAL), sealed);
	if (sodium_memcmp(sealed, slice_from(buf_slice(&raw), NONCE_BYTES - NONCE_SEAL).p, NONCE_SEAL) != 0)
		return false;
	for (size_t i = 0; i < 8; i++)
		made = made << 8 | slice_at(buf_slice(&raw), i);
	return now >= made && now - made < NONCE_LIFE_MS;
}

/* ---- what the porch asks ------------------------------------------------------------------------------------- */

int
vault_on_scram_begin(struct vault *v, struct bus_peer *from, struct bus_vault_scram_begin_request *r, struct arena *a,
    struct bus_vault_scram_begin_reply *reply)
{
	struct vault *self VAULT_ACTIVE = vault_enter(v);
	struct vault_account c = {.house = v->house, .arena = a, .account_id = r->salt_id};
	struct scram_keys like[SCRAM_KINDS];
	struct buf nonce BUF_CLEANUP = {0};
	int err;

	(void)from;
	if (r->hash < 0 || r->hash >= SCRAM_KINDS || r->account_id.n > VAULT_ACCOUNT_ID_MAX)
		return ERR_INVALID;
	err = vault_account_read(v, &c);
	if (err != 0)
		return err;
	buf_init(&nonce, 2 * NONCE_BYTES);
	vault_scram_like(v, r->salt_id, &c.credential, false, like);
	make_nonce(v, r->account_id, r->hash, &nonce);
	reply->salt = arena_copy(a, slice_of(like[r->hash].salt, like[r->hash].salt_n));
	reply->iterations = like[r->hash].iterations;
	reply->nonce = arena_copy(a, buf_slice(&nonce));
	return arena_failed(a) ? ERR_NOMEM : nonce.err;
}

/* Was the proof made with one of the account's passwords? 0 with the server's signature (app: which app password, or NULL),
 * or ERR_DENIED. */
static int
prove(const struct vault_account *c, const struct bus_vault_scram_prove_request *r, uint8_t signature[SCRAM_KEY_MAX],
    const struct app_password **app)
{
	enum scram_hash kind = (enum scram_hash)r->hash;
	int err = ERR_DENIED;

	for (size_t i = 0; err == ERR_DENIED && i <= c->apps_n; i++) {
		struct scram_keys keys SCRAM_KEYS_CLEANUP;

		*app = i == 0 ? NULL : &c->apps[i - 1];
		if (parse(kind, i == 0 ? c->credential.scram[kind] : c->apps[i - 1].scram[kind], &keys) == 0)
			err = scram_verify(kind, &keys, r->auth_message, r->proof, signature);
	}
	return err;
}

/* 0, ERR_DENIED, ERR_BUSY or another error. */
static int
check(struct vault *v, const struct bus_vault_scram_prove_request *r, struct arena *a, struct slice *signature)
{
	struct vault_account c = {.house = v->house, .arena = a, .account_id = r->account_id, .client = r->client};
	uint64_t changes = v->changes;
	const struct app_password *app = NULL;
	uint8_t *made = arena_alloc(a, SCRAM_KEY_MAX);
	int err = made == NULL ? ERR_NOMEM : vault_account_read(v, &c);

	if (err == 0)
		err = prove(&c, r, made, &app);
	if (err == 0 && (changes != v->changes || vault_memory_has(&v->proofs, r->nonce)))
		err = changes != v->changes ? ERR_BUSY : ERR_DENIED;
	if (err == 0)
		err = vault_memory_put(&v->proofs, r->nonce, r->account_id, 0);
	if (err == 0)
		*signature = slice_of(made, scram_kinds[r->hash].n);
	if (err == 0 && app != NULL)
		vault_note_app_use(v, &c, app);
	return err == ERR_LIMIT ? ERR_BUSY : err;
}

int
vault_on_scram_prove(struct vault *v, struct bus_peer *from, struct bus_vault_scram_prove_request *r, struct arena *a,
    struct bus_vault_scram_prove_reply *reply)
{
	struct vault *self VAULT_ACTIVE = vault_enter(v);
	struct braked_account *turn = NULL;
	int err = ERR_DENIED;

	(void)from;
	if (r->hash >= 0 && r->hash < SCRAM_KINDS && r->account_id.n <= VAULT_ACCOUNT_ID_MAX &&
	    is_nonce(v, r->account_id, r->hash, r->nonce) && slice_find(r->auth_message, r->nonce) != SLICE_NONE) {
		err = vault_brake_enter(&v->brake, r->salt_id, r->client, &turn);
		if (err == 0)
			err = check(v, r, a, &reply->signature);
		vault_brake_leave(&v->brake, r->salt_id, r->client, &turn, err);
	}
	if (err == 0)
		err = vault_give_ticket(v, r->account_id, r->service, a, &reply->ticket);
	reply->result = vault_count_verified(v, err);
	return 0;
}

void
vault_scram_start(struct vault *v)
{
	(void)sodium_mlock(v->nonce_key, sizeof(v->nonce_key));
	house_random(v->house, v->nonce_key, sizeof(v->nonce_key));
	vault_memory_init(&v->proofs, v->house, (size_t)v->house->limits.sign_in_tickets, NONCE_LIFE_MS);
}

void
vault_scram_end(struct vault *v)
{
	vault_memory_free(&v->proofs);
	(void)sodium_munlock(v->nonce_key, sizeof(v->nonce_key)); /* which wipes */
}
