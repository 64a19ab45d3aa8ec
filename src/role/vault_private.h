/* vault_private.h: the vault's state, shared by vault.c (wiring, keys) and vault_password.c. */
#ifndef ROLE_VAULT_PRIVATE_H
#define ROLE_VAULT_PRIVATE_H

#include "directory/password.h"
#include "directory/secret_store.h"
#include "role/role.h"
#include "role/vault_brake.h"
#include "role/vault_keys.h"
#include "role/vault_memory.h"
#include "rt/work.h"

#define VAULT_TICKET_BYTES 32
#define VAULT_BACKUP_KEY_BYTES 32
#define VAULT_TICKET_LIFE_MS 60000
#define VAULT_SALT_BYTES 16
#define VAULT_SESSION_KEY_BYTES 80
#define VAULT_SESSION_KEYS 3
#define VAULT_SESSION_KEY_LIFE_US (INT64_C(12) * 3600 * 1000000)

/* TLS session ticket keys of one asking role, newest first. */
struct vault_session_keys {
	uint8_t key[VAULT_SESSION_KEYS][VAULT_SESSION_KEY_BYTES];
	size_t n;
	int64_t made_us; /* of the newest */
};

/* Keys of DKIM that are ready to sign: struct dkim_ready of vault_dkim.c by domain. */
struct vault_dkim {
	struct map domains;
	struct list oldest_first;
	uint64_t changes; /* of keys in the database */
};

struct vault {
	struct house *house;
	struct loop *loop;
	struct sqldb *db;
	const char *data_dir;
	struct workers *hashers, *signers;
	struct vault_keys *keys;
	struct vault_session_keys gate_keys, porch_keys;
	struct vault_memory remembered; /* keyed hashes of passwords that were right */
	struct vault_memory tickets;
	struct vault_memory proofs; /* nonces of SCRAM that proved something */
	struct vault_brake brake;
	struct fiber *guess_saver;
	uint8_t memory_key[32];
	uint8_t app_key[32];
	uint8_t salt_key[32];        /* of SCRAM's salts; kept */
	uint8_t nonce_key[32];       /* of the seals on nonces; of this process */
	struct buf dummy;            /* a hash that costs what a real one does */
	uint64_t changes;            /* of credentials: what was verified before one is not remembered after it */
	bool asks_clients;           /* users' programs are asked for a certificate */
	struct buf client_ca;        /* PEM: authorities that vouch for addresses in them; empty: none */
	struct vault_relays *relays; /* passwords of smart hosts */
	struct vault_dkim dkim;
	int desks;     /* of the house: each redeems tickets of its own accounts only */
	size_t active; /* handlers that run: the vault is not freed under them */
	uint64_t verified, refused, busy, signatures, refused_signatures;
};

/* The row as compact JSON, in `a`; empty: no memory. Takes `row`, which may be NULL. */
struct slice vault_row_text(json_t *row, struct arena *a);

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

/* What the database knows of an account's passwords; in the arena. */
struct vault_account {
	struct house *house;
	struct arena *arena;
	struct slice account_id, client;
	struct secret_credential credential;
	struct app_password *apps;
	size_t apps_n;
	struct slice old, app_id;        /* for renewing */
	struct slice scram[SCRAM_KINDS]; /* likewise */
};
/* Fills credential and apps; an account that has neither is no error. */
NODISCARD int vault_account_read(struct vault *v, struct vault_account *c);
/* Records the use of an app password, at most once an hour. */
void vault_note_app_use(struct vault *v, struct vault_account *c, const struct app_password *used);
NODISCARD int vault_give_ticket(
    struct vault *v, struct slice account_id, int64_t service, struct arena *a, struct slice *out);
/* Counts how a verification ended (0, ERR_DENIED, others): its enum vault_verify_result. */
int64_t vault_count_verified(struct vault *v, int err);
/* The SCRAM keys of a password, in a hasher's thread; `like` is from vault_scram_like(). Both stay empty for a password
 * that SCRAM cannot carry. */
struct vault_scram_job {
	struct house *house;
	struct slice password;
	struct scram_keys like[SCRAM_KINDS];
	struct buf made[SCRAM_KINDS];
};
void vault_scram_job_init(struct vault_scram_job *j, struct vault *v, struct slice password);
void vault_scram_job_free(struct vault_scram_job *j);
#define VAULT_SCRAM_JOB_CLEANUP __attribute__((cleanup(vault_scram_job_free)))
NODISCARD int vault_scram_job_run(void *job);

/* vault_scram.c */
void vault_scram_start(struct vault *v);
void vault_scram_end(struct vault *v);
/* Salt and iterations that keys of this account have, by its credential; `fresh`: of a new password, with today's iterations. */
void vault_scram_like(const struct vault *v, struct slice salt_id, const struct secret_credential *c, bool fresh,
    struct scram_keys like[SCRAM_KINDS]);
/* Do keys in text have these? */
bool vault_scram_is_like(const struct scram_keys like[SCRAM_KINDS], const struct slice scram[SCRAM_KINDS]);
int vault_on_scram_begin(struct vault *v, struct bus_peer *from, struct bus_vault_scram_begin_request *r,
    struct arena *a, struct bus_vault_scram_begin_reply *reply);
int vault_on_scram_prove(struct vault *v, struct bus_peer *from, struct bus_vault_scram_prove_request *r,
    struct arena *a, struct bus_vault_scram_prove_reply *reply);

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
/* vault_certificate.c. Import: before the sandbox closes, and at a reload as far as the file can be read then. */
NODISCARD int vault_client_ca_import(
    struct house *h, const char *data_dir, const struct settings *s, struct buf *detail);
NODISCARD int vault_client_ca_load(struct vault *v, const char *data_dir, const struct settings *s, struct buf *detail);
int vault_on_certificate(struct vault *v, struct bus_peer *from, struct bus_vault_certificate_request *r,
    struct arena *a, struct bus_vault_certificate_reply *reply);
int vault_on_certificate_add(struct vault *v, struct bus_peer *from, struct bus_vault_certificate_add_request *r,
    struct arena *a, struct bus_vault_certificate_add_reply *reply);
int vault_on_certificate_list(struct vault *v, struct bus_peer *from, struct bus_vault_certificate_list_request *r,
    struct arena *a, struct bus_vault_certificate_list_reply *reply);
int vault_on_certificate_remove(struct vault *v, struct bus_peer *from, struct bus_vault_certificate_remove_request *r,
    struct arena *a, struct bus_vault_certificate_remove_reply *reply);
/* vault_guess.c: the brake's counts in the database; start and end while that is open. */
NODISCARD int vault_guess_start(struct vault *v);
void vault_guess_end(struct vault *v);
int vault_on_guess_list(struct vault *v, struct bus_peer *from, struct bus_vault_guess_list_request *r, struct arena *a,
    struct bus_vault_guess_list_reply *reply);
int vault_on_guess_lift(struct vault *v, struct bus_peer *from, struct bus_vault_guess_lift_request *r, struct arena *a,
    struct bus_vault_guess_lift_reply *reply);
/* A credential of the account changed: nothing verified before counts any more. */
void vault_credentials_changed(struct vault *v, struct slice account_id);

/* vault.c */
int vault_on_certificates(struct vault *v, struct bus_peer *from, struct bus_vault_certificates_request *r,
    struct arena *a, struct bus_vault_certificates_reply *reply);
int vault_on_sign(struct vault *v, struct bus_peer *from, struct bus_vault_sign_request *r, struct arena *a,
    struct bus_vault_sign_reply *reply);

/* vault_dkim.c: signing with the keys of DKIM. */
void vault_dkim_start(struct vault *v);
void vault_dkim_end(struct vault *v);
/* The keys of a domain are others than before. */
void vault_dkim_changed(struct vault *v, struct slice domain);
int vault_on_dkim_keys(struct vault *v, struct bus_peer *from, struct bus_vault_dkim_keys_request *r, struct arena *a,
    struct bus_vault_dkim_keys_reply *reply);
int vault_on_dkim_sign(struct vault *v, struct bus_peer *from, struct bus_vault_dkim_sign_request *r, struct arena *a,
    struct bus_vault_dkim_sign_reply *reply);

/* vault_dkim_make.c: making them, and their states. */
/* Makes keys for a domain that never had any. ERR_INVALID: it is no domain. */
NODISCARD int vault_dkim_make_first(struct vault *v, struct slice domain);
int vault_on_dkim_list(struct vault *v, struct bus_peer *from, struct bus_vault_dkim_list_request *r, struct arena *a,
    struct bus_vault_dkim_list_reply *reply);
int vault_on_dkim_add(struct vault *v, struct bus_peer *from, struct bus_vault_dkim_add_request *r, struct arena *a,
    struct bus_vault_dkim_add_reply *reply);
int vault_on_dkim_change(struct vault *v, struct bus_peer *from, struct bus_vault_dkim_change_request *r,
    struct arena *a, struct bus_vault_dkim_change_reply *reply);

/* vault_relay.c: passwords of smart hosts, by the files of the settings; before the sandbox. */
struct vault_relays;
NODISCARD int vault_relays_read(struct vault_relays **out, const struct settings *s, struct buf *detail);
/* Wipes them. */
void vault_relays_free(struct vault_relays **r);
int vault_on_relay(struct vault *v, struct bus_peer *from, struct bus_vault_relay_request *q, struct arena *a,
    struct bus_vault_relay_reply *reply);

/* vault_copy.c: what a backup asks for. */
int vault_on_copy(struct vault *v, struct bus_peer *from, struct bus_vault_copy_request *q, struct arena *a,
    struct bus_vault_copy_reply *reply);
int vault_on_backup_key(struct vault *v, struct bus_peer *from, struct bus_vault_backup_key_request *q, struct arena *a,
    struct bus_vault_backup_key_reply *reply);

#endif
