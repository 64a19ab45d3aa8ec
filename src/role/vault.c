/* vault.c: the role that has the secrets: private keys, password hashes, ticket keys. It answers the bus and opens
 * nothing but secrets/. Certificates are imported before the sandbox is entered, by whoever may read them. */
#include "base/log.h"
#include "role/vault_files.h"
#include "role/vault_private.h"

#include <openssl/x509.h>

#include <sodium.h>

#define HASH_THREADS 2 /* Argon2 takes much memory */

/* ---- TLS ---------------------------------------------------------------------------------------------------------- */

/* A fresh key when the newest is old; two old ones stay, so that tickets given out before still work. */
static void
rotate(struct vault *v, struct vault_session_keys *k)
{
	int64_t now = house_now_us(v->house);

	if (k->n > 0 && now - k->made_us < VAULT_SESSION_KEY_LIFE_US && now >= k->made_us)
		return;
	memmove(k->key[1], k->key[0], (VAULT_SESSION_KEYS - 1) * VAULT_SESSION_KEY_BYTES);
	house_random(v->house, k->key[0], VAULT_SESSION_KEY_BYTES);
	k->n = k->n < VAULT_SESSION_KEYS ? k->n + 1 : k->n;
	k->made_us = now;
}

int
vault_on_certificates(struct vault *v, struct bus_peer *from, struct bus_vault_certificates_request *r, struct arena *a,
    struct bus_vault_certificates_reply *reply)
{
	struct vault_session_keys *session = bus_peer_role(from) == ROLE_GATE ? &v->gate_keys : &v->porch_keys;
	const struct vault_keys *k = v->keys;
	struct slice *names = ARENA_ARRAY(a, struct slice, k->n), *chains = ARENA_ARRAY(a, struct slice, k->n);
	struct slice *ids = ARENA_ARRAY(a, struct slice, k->n),
		     *tickets = ARENA_ARRAY(a, struct slice, VAULT_SESSION_KEYS);

	(void)r;
	if (arena_failed(a))
		return ERR_NOMEM;
	for (size_t i = 0; i < k->n; i++) { /* copies: a reload may free the keys before the reply is sent */
		names[i] = arena_copy(a, k->v[i].names);
		chains[i] = arena_copy(a, k->v[i].chain_pem);
		ids[i] = arena_copy(a, slice_of(k->v[i].id, VAULT_KEY_ID_BYTES));
	}
	rotate(v, session);
	for (size_t i = 0; i < session->n; i++)
		tickets[i] = arena_copy(a, slice_of(session->key[i], VAULT_SESSION_KEY_BYTES));
	reply->names = (struct slice_list){names, k->n};
	reply->chains_pem = (struct slice_list){chains, k->n};
	reply->key_ids = (struct slice_list){ids, k->n};
	reply->ticket_keys = (struct slice_list){tickets, session->n};
	if (bus_peer_role(from) == ROLE_PORCH && v->asks_clients) {
		reply->ask_clients = 1;
		reply->client_ca_pem = arena_copy(a, buf_slice(&v->client_ca));
	}
	return arena_failed(a) ? ERR_NOMEM : 0;
}

/* The certificate that has the name, else the default one, as with SNI. */
static const struct vault_key *
key_for(const struct vault_keys *k, struct slice name)
{
	for (size_t i = 0; i < k->n; i++) {
		struct slice names = k->v[i].names;

		while (names.n > 0)
			if (slice_ieq(slice_cut(&names, ' '), name))
				return &k->v[i];
	}
	return k->n > 0 ? &k->v[0] : NULL;
}

static int
on_tlsa(struct vault *v, struct bus_peer *from, struct bus_vault_tlsa_request *r, struct arena *a,
    struct bus_vault_tlsa_reply *reply)
{
	const struct vault_key *k = key_for(v->keys, r->name);
	struct buf hex BUF_CLEANUP;
	uint8_t digest[32], *der = NULL;
	int n = k == NULL ? -1 : i2d_PUBKEY(k->pkey, &der);

	(void)from;
	if (n <= 0)
		return ERR_NOTFOUND;
	(void)EVP_Digest(der, (size_t)n, digest, NULL, EVP_sha256(), NULL);
	OPENSSL_free(der);
	buf_init(&hex, 2 * sizeof(digest));
	buf_put_hex(&hex, slice_of(digest, sizeof(digest)));
	reply->digest = arena_copy(a, buf_slice(&hex));
	return arena_failed(a) ? ERR_NOMEM : 0;
}

struct sign_job {
	EVP_PKEY *pkey;
	enum tls_sign_kind kind;
	struct slice input;
	uint8_t out[VAULT_SIGNATURE_MAX];
	size_t n;
};

static int
sign_job(void *arg)
{
	struct sign_job *j = arg;

	return vault_sign_raw(j->pkey, j->kind, j->input, j->out, &j->n);
}

int
vault_on_sign(struct vault *v, struct bus_peer *from, struct bus_vault_sign_request *r, struct arena *a,
    struct bus_vault_sign_reply *reply)
{
	struct vault *self VAULT_ACTIVE = vault_enter(v);
	const struct vault_key *k = vault_keys_find(v->keys, r->key_id);
	struct sign_job *j;
	int err;

	if (k == NULL)
		return ERR_NOTFOUND;
	if (!vault_sign_shape(k->pkey, (enum tls_sign_kind)r->kind, r->input)) {
		v->refused_signatures++;
		LOG(v->house, WARN, "signature_refused", LOG_Z("role", bus_role_name(bus_peer_role(from))),
		    LOG_I("kind", r->kind), LOG_I("bytes", r->input.n));
		return ERR_DENIED;
	}
	j = ARENA_NEW(a, struct sign_job);
	if (j == NULL)
		return ERR_NOMEM;
	j->pkey = k->pkey;
	j->kind = (enum tls_sign_kind)r->kind;
	j->input = r->input;
	EVP_PKEY_up_ref(j->pkey); /* a reload may free the keys meanwhile */
	err = work_run(v->signers, sign_job, j);
	EVP_PKEY_free(j->pkey);
	reply->signature = slice_of(j->out, err == 0 ? j->n : 0);
	v->signatures += err == 0;
	return err;
}

/* ---- the role ---------------------------------------------------------------------------------------------------------- */

static int
vault_warm(struct role_context *c, struct buf *detail)
{
	struct vault_relays *relays = NULL;
	int err;

	if (sodium_init() < 0) {
		buf_put_z(detail, "libsodium cannot be initialised.");
		return ERR_UNAVAILABLE;
	}
	(void)EVP_sha1(); /* loads OpenSSL's providers */
	(void)EVP_get_digestbyname("SHA512");
	err = vault_keys_import(c->house, c->data_dir, c->settings, detail);
	if (err == 0)
		err = vault_client_ca_import(c->house, c->data_dir, c->settings, detail);
	if (err == 0)
		err = vault_relays_read(&relays, c->settings, detail);
	/* For vault_start(). */
	c->state = relays;
	return err;
}

static int
open_database(struct vault *v, const char *data_dir, struct buf *detail)
{
	char path[VAULT_PATH_MAX], snapshots[VAULT_PATH_MAX];
	struct sqldb_config config = {.loop = v->loop,
	    .path = path,
	    .durability = SQL_FULL,
	    .migrations = secret_migrations,
	    .migrations_count = secret_migrations_count,
	    .snapshot_dir = snapshots,
	    .cache_kib = 1024,
	    .secure_delete = true};
	int err;

	if (snprintf(path, sizeof(path), "%s/secrets/vault.db", data_dir) >= (int)sizeof(path) ||
	    snprintf(snapshots, sizeof(snapshots), "%s/secrets", data_dir) >= (int)sizeof(snapshots))
		return ERR_LIMIT;
	err = sqldb_open(&v->db, v->house, &config, detail);
	return err != 0 ? err : sqldb_start(v->db);
}

static void
vault_free(struct vault **vp)
{
	struct vault *v = *vp;

	*vp = NULL;
	if (v == NULL)
		return;
	vault_guess_end(v);
	workers_free(&v->hashers);
	workers_free(&v->signers);
	sqldb_close(&v->db);
	vault_keys_free(&v->keys);
	vault_relays_free(&v->relays);
	buf_free(&v->client_ca);
	vault_password_end(v);
	vault_dkim_end(v);
	sodium_memzero(&v->gate_keys, sizeof(v->gate_keys));
	sodium_memzero(&v->porch_keys, sizeof(v->porch_keys));
	free(v);
}

static const enum bus_type answered[] = {BUS_vault_certificates, BUS_vault_sign, BUS_vault_verify, BUS_vault_redeem,
    BUS_vault_scram_begin, BUS_vault_scram_prove, BUS_vault_set_password, BUS_vault_forget, BUS_vault_app_password_add,
    BUS_vault_app_password_list, BUS_vault_app_password_remove, BUS_vault_copy, BUS_vault_backup_key,
    BUS_vault_dkim_keys, BUS_vault_dkim_sign, BUS_vault_dkim_list, BUS_vault_dkim_add, BUS_vault_dkim_change,
    BUS_vault_certificate, BUS_vault_certificate_add, BUS_vault_certificate_list, BUS_vault_certificate_remove,
    BUS_vault_guess_list, BUS_vault_guess_lift, BUS_vault_tlsa};

static void
register_handlers(struct vault *v, struct bus *b)
{
	BUS_HANDLE(b, vault_certificates, vault_on_certificates, v);
	BUS_HANDLE(b, vault_sign, vault_on_sign, v);
	BUS_HANDLE(b, vault_tlsa, on_tlsa, v);
	BUS_HANDLE(b, vault_verify, vault_on_verify, v);
	BUS_HANDLE(b, vault_redeem, vault_on_redeem, v);
	BUS_HANDLE(b, vault_scram_begin, vault_on_scram_begin, v);
	BUS_HANDLE(b, vault_scram_prove, vault_on_scram_prove, v);
	BUS_HANDLE(b, vault_set_password, vault_on_set_password, v);
	BUS_HANDLE(b, vault_forget, vault_on_forget, v);
	BUS_HANDLE(b, vault_app_password_add, vault_on_app_password_add, v);
	BUS_HANDLE(b, vault_app_password_list, vault_on_app_password_list, v);
	BUS_HANDLE(b, vault_relay, vault_on_relay, v);
	BUS_HANDLE(b, vault_certificate, vault_on_certificate, v);
	BUS_HANDLE(b, vault_guess_list, vault_on_guess_list, v);
	BUS_HANDLE(b, vault_guess_lift, vault_on_guess_lift, v);
	BUS_HANDLE(b, vault_certificate_add, vault_on_certificate_add, v);
	BUS_HANDLE(b, vault_certificate_list, vault_on_certificate_list, v);
	BUS_HANDLE(b, vault_certificate_remove, vault_on_certificate_remove, v);
	BUS_HANDLE(b, vault_copy, vault_on_copy, v);
	BUS_HANDLE(b, vault_backup_key, vault_on_backup_key, v);
	BUS_HANDLE(b, vault_app_password_remove, vault_on_app_password_remove, v);
	BUS_HANDLE(b, vault_dkim_keys, vault_on_dkim_keys, v);
	BUS_HANDLE(b, vault_dkim_sign, vault_on_dkim_sign, v);
	BUS_HANDLE(b, vault_dkim_list, vault_on_dkim_list, v);
	BUS_HANDLE(b, vault_dkim_add, vault_on_dkim_add, v);
	BUS_HANDLE(b, vault_dkim_change, vault_on_dkim_change, v);
}

static int
vault_start(struct role_context *c, struct buf *detail)
{
	struct vault *v = calloc(1, sizeof(*v));
	int err;

	if (v == NULL)
		return ERR_NOMEM;
	v->relays = c->state;
	c->state = NULL;
	v->house = c->house;
	v->loop = c->loop;
	v->desks = c->desks;
	v->data_dir = c->data_dir;
	vault_dkim_start(v);
	err = vault_keys_load(&v->keys, c->house, c->data_dir, c->settings, detail);
	if (err == 0)
		err = vault_client_ca_load(v, c->data_dir, c->settings, detail);
	if (err == 0)
		err = open_database(v, c->data_dir, detail);
	if (err == 0)
		err = workers_new(
		    &v->hashers, c->loop, "vault-hash", HASH_THREADS, (size_t)c->house->limits.argon2_queue);
	if (err == 0)
		err = workers_new(&v->signers, c->loop, "vault-sign", 1, (size_t)c->house->limits.sign_queue);
	if (err == 0)
		err = workers_start(v->hashers);
	if (err == 0)
		err = workers_start(v->signers);
	if (err == 0)
		err = vault_password_start(v);
	if (err == 0)
		err = vault_guess_start(v);
	if (err != 0) {
		if (detail->n == 0)
			buf_printf(detail, "the vault cannot start: %s.", err_text(err));
		vault_free(&v);
		return err;
	}
	c->state = v;
	register_handlers(v, c->bus);
	return 0;
}

/* When each certificate expires, in seconds since 1970, by the first of its names. */
static json_t *
expiries(const struct vault_keys *keys)
{
	json_t *o = json_object();

	for (size_t i = 0; i < keys->n; i++) {
		struct slice names = keys->v[i].names, first = slice_cut(&names, ' ');
		char name[256];
		json_t *known;

		if (slice_to_z(first, name, sizeof(name)) != 0)
			continue;
		/* Of two for one name, as of RSA and of elliptic curves, the one that ends first. */
		known = json_object_get(o, name);
		if (known == NULL || json_integer_value(known) > keys->v[i].expires_s)
			(void)json_object_set_new(o, name, json_integer(keys->v[i].expires_s));
	}
	return o;
}

static void
vault_status(struct role_context *c, json_t *into)
{
	const struct vault *v = c->state;

	if (v == NULL)
		return;
	(void)json_object_set_new(into, "verified", json_integer((json_int_t)v->verified));
	(void)json_object_set_new(into, "refused", json_integer((json_int_t)v->refused));
	(void)json_object_set_new(into, "busy", json_integer((json_int_t)v->busy));
	(void)json_object_set_new(into, "signatures", json_integer((json_int_t)v->signatures));
	(void)json_object_set_new(into, "refused_signatures", json_integer((json_int_t)v->refused_signatures));
	(void)json_object_set_new(into, "remembered", json_integer((json_int_t)v->remembered.map.n));
	(void)json_object_set_new(into, "guesses_refused", json_integer((json_int_t)v->brake.refused));
	(void)json_object_set_new(into, "guesses_waited", json_integer((json_int_t)v->brake.waited));
	(void)json_object_set_new(into, "certificates", json_integer((json_int_t)v->keys->n));
	(void)json_object_set_new(into, "certificates_expire", expiries(v->keys));
	(void)json_object_set_new(into, "hashes_waiting", json_integer((json_int_t)workers_waiting(v->hashers)));
}

static int
vault_reload(struct role_context *c, const struct settings *fresh, struct buf *detail)
{
	struct vault *v = c->state;
	struct vault_keys *keys = NULL;
	int err = vault_keys_import(c->house, c->data_dir, fresh, detail);

	if (err == 0)
		err = vault_keys_load(&keys, c->house, c->data_dir, fresh, detail);
	if (err == 0)
		err = vault_client_ca_import(c->house, c->data_dir, fresh, detail);
	if (err == 0)
		err = vault_client_ca_load(v, c->data_dir, fresh, detail);
	if (err != 0) {
		vault_keys_free(&keys);
		return err;
	}
	vault_keys_free(&v->keys);
	v->keys = keys;
	return 0;
}

struct slice
vault_row_text(json_t *row, struct arena *a)
{
	char *text = row == NULL ? NULL : json_dumps(row, JSON_COMPACT);
	struct slice out = arena_copy(a, slice_z(text));

	free(text);
	json_decref(row);
	return out;
}

static void
vault_shutdown(struct role_context *c, int64_t grace_ms)
{
	struct vault *v = c->state;
	int64_t deadline = loop_deadline(c->loop, grace_ms);

	c->state = NULL;
	if (v == NULL)
		return;
	for (size_t i = 0; i < COUNT_OF(answered); i++)
		bus_handle(c->bus, answered[i], NULL, NULL);
	while (v->active > 0 && loop_now_ms(c->loop) < deadline && fiber_sleep(c->loop, 10) == 0)
		;
	if (v->active == 0) /* else the process ends with them */
		vault_free(&v);
}

const struct role_ops role_vault_ops = {
    .role = ROLE_VAULT,
    .warm = vault_warm,
    .start = vault_start,
    .status = vault_status,
    .reload = vault_reload,
    .shutdown = vault_shutdown,
};
