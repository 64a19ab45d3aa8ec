/* vault_private.h: the vault's state, shared by vault.c (wiring, keys) and vault_password.c. */
#ifndef ROLE_VAULT_PRIVATE_H
#define ROLE_VAULT_PRIVATE_H

#include "directory/password.h"
#include "directory/secret_store.h"
#include "role/role.h"
#include "role/vault_keys.h"
#include "role/vault_memory.h"
#include "rt/work.h"

#define VAULT_TICKET_BYTES 32
#define VAULT_TICKET_LIFE_MS 60000
#define VAULT_SESSION_KEY_BYTES 80
#define VAULT_SESSION_KEYS 3
#define VAULT_SESSION_KEY_LIFE_US (INT64_C(12) * 3600 * 1000000)

/* TLS session ticket keys of one asking role, newest first. */
struct vault_session_keys {
	uint8_t key[VAULT_SESSION_KEYS][VAULT_SESSION_KEY_BYTES];
	size_t n;
	int64_t made_us; /* of the newest */
};

struct vault {
	struct house *house;
	struct loop *loop;
	struct sqldb *db;
	struct workers *hashers, *signers;
	struct vault_keys *keys;
	struct vault_session_keys gate_keys, porch_keys;
	struct vault_memory remembered; /* keyed hashes of passwords that were right */
	struct vault_memory tickets;
	uint8_t memory_key[32];
	uint8_t app_key[32];
	struct buf dummy; /* a hash that costs what a real one does */
	uint64_t changes; /* of credentials: what was verified before one is not remembered after it */
	int desks;        /* of the house: each redeems tickets of its own accounts only */
	size_t active;    /* handlers that run: the vault is not freed under them */
	uint64_t verified, refused, busy, signatures, refused_signatures;
};

/* In a handler that parks: `struct vault *self VAULT_ACTIVE = vault_enter(v);`. */
static inline struct vault *
vault_enter(struct vault *v)
{
	v->active++;
	return v;
}
static inline void
vault_leave(struct vault **v)
{
	(*v)->active--;
}
#define VAULT_ACTIVE __attribute__((cleanup(vault_leave), unused))

/* vault_password.c: handlers, and what start() prepares for them. */
NODISCARD int vault_password_start(struct vault *v);
void vault_password_end(struct vault *v);
int vault_on_verify(struct vault *v, struct bus_peer *from, struct bus_vault_verify_request *r, struct arena *a,
    struct bus_vault_verify_reply *reply);
int vault_on_redeem(struct vault *v, struct bus_peer *from, struct bus_vault_redeem_request *r, struct arena *a,
    struct bus_vault_redeem_reply *reply);
int vault_on_set_password(struct vault *v, struct bus_peer *from, struct bus_vault_set_password_request *r,
    struct arena *a, struct bus_vault_set_password_reply *reply);
int vault_on_forget(struct vault *v, struct bus_peer *from, struct bus_vault_forget_request *r, struct arena *a,
    struct bus_vault_forget_reply *reply);
/* vault_app.c */
int vault_on_app_password_add(struct vault *v, struct bus_peer *from, struct bus_vault_app_password_add_request *r,
    struct arena *a, struct bus_vault_app_password_add_reply *reply);
int vault_on_app_password_list(struct vault *v, struct bus_peer *from, struct bus_vault_app_password_list_request *r,
    struct arena *a, struct bus_vault_app_password_list_reply *reply);
int vault_on_app_password_remove(struct vault *v, struct bus_peer *from,
    struct bus_vault_app_password_remove_request *r, struct arena *a,
    struct bus_vault_app_password_remove_reply *reply);
/* A credential of the account changed: nothing verified before counts any more. */
void vault_credentials_changed(struct vault *v, struct slice account_id);

/* vault.c */
int vault_on_certificates(struct vault *v, struct bus_peer *from, struct bus_vault_certificates_request *r,
    struct arena *a, struct bus_vault_certificates_reply *reply);
int vault_on_sign(struct vault *v, struct bus_peer *from, struct bus_vault_sign_request *r, struct arena *a,
    struct bus_vault_sign_reply *reply);

#endif
