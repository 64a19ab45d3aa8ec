/* secret_store.h: password hashes and app passwords in the vault's own database, secrets/vault.db. Functions with
 * a `struct sqltx` run inside sql_write() or sql_read(); none of them hashes for long: that is password.h's. */
#ifndef DIRECTORY_SECRET_STORE_H
#define DIRECTORY_SECRET_STORE_H

#include "base/arena.h"
#include "base/buf.h"
#include "directory/scram.h"
#include "sql/sql.h"

extern const struct sql_migration secret_migrations[];
extern const size_t secret_migrations_count;

/* The hashes of one account's password. */
struct secret_credential {
	struct slice hash; /* "{ARGON2ID}…" or an imported one; empty: no password, nobody signs in with one */
	struct slice scram[SCRAM_KINDS]; /* "{SCRAM-SHA-256}…"; may be empty */
	int64_t changed_us;
};
/* ERR_NOTFOUND. */
NODISCARD int secret_credential_get(
    struct sqltx *tx, struct arena *a, struct slice account_id, struct secret_credential *out);
NODISCARD int secret_credential_set(
    struct sqltx *tx, struct house *h, struct slice account_id, const struct secret_credential *c);
/* Replaces the hash `old` by a fresh one of the same password; harmless if it was changed meanwhile. */
NODISCARD int secret_credential_renew(
    struct sqltx *tx, struct slice account_id, struct slice old, const struct secret_credential *c);
/* Everything of an account, app passwords and certificates too. */
NODISCARD int secret_forget(struct sqltx *tx, struct slice account_id);

/* App passwords are random (125 bits), so a fast keyed hash is as good as a slow one. */
#define APP_PASSWORD_CHARS 25
#define APP_PASSWORD_TEXT_MAX (APP_PASSWORD_CHARS + 4 + 1) /* "abcde-fghij-…" and a NUL */
#define APP_PASSWORD_HASH_BYTES 32
#define APP_PASSWORD_NAME_MAX 200

struct app_password {
	struct slice id; /* ULID */
	struct slice name;
	struct slice last_used_by; /* client address, or empty */
	struct slice hash;
	struct slice scram[SCRAM_KINDS];  /* may be empty */
	int64_t created_us, last_used_us; /* last_used_us: 0 never; recorded at most once an hour */
};
/* A key of the vault's own by its name ("app_password": of these hashes; "scram_salt"); made at the first call. */
NODISCARD int secret_key(struct sqltx *tx, struct house *h, struct slice name, uint8_t key[32]);
void app_password_make(struct house *h, char text[APP_PASSWORD_TEXT_MAX]);
/* False if the text has not the form of an app password; dashes, spaces and case do not matter. */
bool app_password_hash(
    const uint8_t key[32], struct slice account_id, struct slice text, uint8_t hash[APP_PASSWORD_HASH_BYTES]);
/* The password as it was shown, from what was typed; of a text for which app_password_hash() is true. */
void app_password_spell(struct slice text, char out[APP_PASSWORD_TEXT_MAX]);
/* Adds one with p's name, hash and SCRAM keys. ERR_LIMIT: the account has limits.app_passwords of them; ERR_INVALID: the
 * name is empty or over-long. */
NODISCARD int secret_app_add(struct sqltx *tx, struct house *h, struct arena *a, struct slice account_id,
    const struct app_password *p, struct slice *id);
/* Other SCRAM keys of the same password. */
NODISCARD int secret_app_set_scram(
    struct sqltx *tx, struct slice account_id, struct slice id, const struct slice scram[SCRAM_KINDS]);
NODISCARD int secret_app_list(
    struct sqltx *tx, struct arena *a, struct slice account_id, struct app_password **v, size_t *n);
/* ERR_NOTFOUND. */
NODISCARD int secret_app_remove(struct sqltx *tx, struct slice account_id, struct slice id);
NODISCARD int secret_app_used(
    struct sqltx *tx, struct house *h, struct slice account_id, struct slice id, struct slice client);
/* Is it worth a write? */
bool app_password_use_is_news(const struct house *h, const struct app_password *p);

#endif
