/* secret_store.c: see the header. */
#include "directory/secret_store.h"

#include "directory/secret_certificate.h"

#include <sodium.h>

#define SQL_STATEMENT(name, text) static const struct sql_text sql_##name = {"secret_" #name, text};
#include "directory/secret_sql.def"
#undef SQL_STATEMENT

const struct sql_migration secret_migrations[] = {
#define SQL_MIGRATION(number, name, sql) {number, name, sql},
#include "directory/secret_migrations.def"
#undef SQL_MIGRATION
};
const size_t secret_migrations_count = COUNT_OF(secret_migrations);

#define HOUR_US INT64_C(3600000000)

int
secret_credential_get(struct sqltx *tx, struct arena *a, struct slice account_id, struct secret_credential *out)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &sql_credential_get, SQLT(account_id));

	*out = (struct secret_credential){0};
	if (err == 0)
		err = sql_next(&r);
	if (err != 1)
		return err < 0 ? err : ERR_NOTFOUND;
	*out = (struct secret_credential){arena_copy(a, sql_col_bytes(&r, 0)),
	    {arena_copy(a, sql_col_bytes(&r, 1)), arena_copy(a, sql_col_bytes(&r, 2))}, sql_col_int(&r, 3)};
	return arena_failed(a) ? ERR_NOMEM : 0;
}

int
secret_credential_set(struct sqltx *tx, struct house *h, struct slice account_id, const struct secret_credential *c)
{
	return SQL_EXEC(tx, &sql_credential_set, SQLT(account_id), SQLT(c->hash), SQLT(c->scram[SCRAM_SHA_1]),
	    SQLT(c->scram[SCRAM_SHA_256]), SQLI(house_now_us(h)));
}

int
secret_credential_renew(struct sqltx *tx, struct slice account_id, struct slice old, const struct secret_credential *c)
{
	return SQL_EXEC(tx, &sql_credential_renew, SQLT(account_id), SQLT(c->hash), SQLT(c->scram[SCRAM_SHA_1]),
	    SQLT(c->scram[SCRAM_SHA_256]), SQLT(old));
}

int
secret_forget(struct sqltx *tx, struct slice account_id)
{
	int err = SQL_EXEC(tx, &sql_credential_delete, SQLT(account_id));

	if (err == 0)
		err = SQL_EXEC(tx, &sql_app_delete_all, SQLT(account_id));
	return err != 0 ? err : secret_certificate_forget(tx, account_id);
}

/* ---- app passwords ------------------------------------------------------------------------------------------ */

int
secret_key(struct sqltx *tx, struct house *h, struct slice name, uint8_t key[32])
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &sql_key_get, SQLT(name));

	if (err == 0)
		err = sql_next(&r);
	if (err == 1 && sql_col_bytes(&r, 0).n == 32) {
		memcpy(key, sql_col_bytes(&r, 0).p, 32);
		return 0;
	}
	if (err != 0)
		return err < 0 ? err : ERR_DAMAGED;
	house_random(h, key, 32);
	return SQL_EXEC(tx, &sql_key_insert, SQLT(name), SQLB(slice_of(key, 32)));
}

/* 32 letters and digits that are not easily taken for each other. */
static const char alphabet[] = "abcdefghijkmnpqrstuvwxyz23456789";

void
app_password_make(struct house *h, char text[APP_PASSWORD_TEXT_MAX])
{
	uint8_t random[APP_PASSWORD_CHARS];
	size_t n = 0;

	_Static_assert(sizeof(alphabet) == 33, "5 bits a character");
	house_random(h, random, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++) {
		if (i > 0 && i % 5 == 0)
			text[n++] = '-';
		text[n++] = alphabet[random[i] % 32];
	}
	text[n] = '\0';
	sodium_memzero(random, sizeof(random));
}

/* The letters alone. */
static bool
letters(struct slice text, char plain[APP_PASSWORD_CHARS])
{
	size_t n = 0;
	bool good = text.n <= 3 * APP_PASSWORD_CHARS;

	for (size_t i = 0; good && i < text.n; i++) {
		uint8_t c = ascii_lower(slice_at(text, i));

		if (c == '-' || c == ' ')
			continue;
		good = n < APP_PASSWORD_CHARS && c != '\0' && strchr(alphabet, c) != NULL;
		if (good)
			plain[n++] = (char)c;
	}
	return good && n == APP_PASSWORD_CHARS;
}

bool
app_password_hash(
    const uint8_t key[32], struct slice account_id, struct slice text, uint8_t hash[APP_PASSWORD_HASH_BYTES])
{
	crypto_generichash_state state;
	char plain[APP_PASSWORD_CHARS];
	bool good = letters(text, plain);

	if (good) {
		crypto_generichash_init(&state, key, 32, APP_PASSWORD_HASH_BYTES);
		crypto_generichash_update(&state, account_id.p, account_id.n);
		crypto_generichash_update(&state, (const uint8_t *)"", 1);
		crypto_generichash_update(&state, (const uint8_t *)plain, sizeof(plain));
		crypto_generichash_final(&state, hash, APP_PASSWORD_HASH_BYTES);
		sodium_memzero(&state, sizeof(state));
	}
	sodium_memzero(plain, sizeof(plain));
	return good;
}

void
app_password_spell(struct slice text, char out[APP_PASSWORD_TEXT_MAX])
{
	char plain[APP_PASSWORD_CHARS];
	size_t n = 0;

	ASSERT(letters(text, plain));
	for (size_t i = 0; i < sizeof(plain); i++) {
		if (i > 0 && i % 5 == 0)
			out[n++] = '-';
		out[n++] = plain[i];
	}
	out[n] = '\0';
	sodium_memzero(plain, sizeof(plain));
}

int
secret_app_add(struct sqltx *tx, struct house *h, struct arena *a, struct slice account_id,
    const struct app_password *p, struct slice *id)
{
	struct app_password *v;
	char ulid[ULID_LEN + 1];
	size_t n;
	int err;

	if (p->name.n == 0 || p->name.n > APP_PASSWORD_NAME_MAX)
		return ERR_INVALID;
	err = secret_app_list(tx, a, account_id, &v, &n);
	if (err == 0 && n >= (size_t)h->limits.app_passwords)
		err = ERR_LIMIT;
	if (err != 0)
		return err;
	house_ulid(h, ulid);
	*id = arena_copy(a, slice_z(ulid));
	return SQL_EXEC(tx, &sql_app_insert, SQLT(account_id), SQLT(slice_z(ulid)), SQLT(p->name), SQLB(p->hash),
	    SQLI(house_now_us(h)), SQLT(p->scram[SCRAM_SHA_1]), SQLT(p->scram[SCRAM_SHA_256]));
}

int
secret_app_set_scram(struct sqltx *tx, struct slice account_id, struct slice id, const struct slice scram[SCRAM_KINDS])
{
	return SQL_EXEC(
	    tx, &sql_app_scram, SQLT(account_id), SQLT(id), SQLT(scram[SCRAM_SHA_1]), SQLT(scram[SCRAM_SHA_256]));
}

int
secret_app_list(struct sqltx *tx, struct arena *a, struct slice account_id, struct app_password **v, size_t *n)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	size_t cap = 0;
	int err = SQL_QUERY(tx, &r, &sql_app_list, SQLT(account_id));

	*v = NULL;
	*n = 0;
	if (err != 0)
		return err;
	while ((err = sql_next(&r)) == 1) {
		*v = arena_grow(a, *v, *n, &cap, sizeof(**v), SIZE_MAX / sizeof(**v));
		if (*v == NULL)
			return ERR_NOMEM;
		(*v)[(*n)++] = (struct app_password){
		    .id = arena_copy(a, sql_col_bytes(&r, 0)),
		    .name = arena_copy(a, sql_col_bytes(&r, 1)),
		    .created_us = sql_col_int(&r, 2),
		    .last_used_us = sql_col_int(&r, 3),
		    .last_used_by = arena_copy(a, sql_col_bytes(&r, 4)),
		    .hash = arena_copy(a, sql_col_bytes(&r, 5)),
		    .scram = {arena_copy(a, sql_col_bytes(&r, 6)), arena_copy(a, sql_col_bytes(&r, 7))},
		};
	}
	return err != 0 ? err : arena_failed(a) ? ERR_NOMEM : 0;
}

int
secret_app_remove(struct sqltx *tx, struct slice account_id, struct slice id)
{
	int err = SQL_EXEC(tx, &sql_app_delete, SQLT(account_id), SQLT(id));

	return err == 0 && sql_changes(tx) == 0 ? ERR_NOTFOUND : err;
}

int
secret_app_used(struct sqltx *tx, struct house *h, struct slice account_id, struct slice id, struct slice client)
{
	return SQL_EXEC(tx, &sql_app_used, SQLT(account_id), SQLT(id), SQLI(house_now_us(h)), SQLT(client));
}

bool
app_password_use_is_news(const struct house *h, const struct app_password *p)
{
	int64_t ago = house_now_us(h) - p->last_used_us;

	return ago >= HOUR_US || ago < 0;
}
