/* vault_password.c: is this the password of that account? Argon2 runs on two threads with a bounded queue; an account
 * without a password, or none at all, costs the same. What was right is remembered for minutes as a keyed hash. The
 * desk gets to know of a sign-in only by a ticket that works once. */
#include "base/log.h"
#include "role/vault_private.h"

#include <sodium.h>

static void
wipe(struct slice s)
{
	if (s.n > 0)
		sodium_memzero((void *)(uintptr_t)s.p, s.n);
}

/* ---- in the hashers' threads -------------------------------------------------------------------------------------- */

void
vault_scram_job_init(struct vault_scram_job *j, struct vault *v, struct slice password)
{
	*j = (struct vault_scram_job){.house = v->house, .password = password};
	for (size_t i = 0; i < SCRAM_KINDS; i++)
		buf_init(&j->made[i], PASSWORD_HASH_MAX);
}

void
vault_scram_job_free(struct vault_scram_job *j)
{
	for (size_t i = 0; i < SCRAM_KINDS; i++)
		buf_free(&j->made[i]);
}

int
vault_scram_job_run(void *job)
{
	struct vault_scram_job *j = job;
	int err = 0;

	for (enum scram_hash kind = 0; err == 0 && kind < SCRAM_KINDS; kind++)
		err = password_scram(j->house, kind, j->password, &j->like[kind], &j->made[kind]);
	if (err != ERR_INVALID)
		return err;
	for (size_t i = 0; i < SCRAM_KINDS; i++)
		buf_reset(&j->made[i]);
	return 0;
}

/* What was made, for the database. */
static void
take_scram(const struct vault_scram_job *j, struct slice scram[SCRAM_KINDS])
{
	for (size_t i = 0; i < SCRAM_KINDS; i++)
		scram[i] = j->made[i].n == 0 ? SLICE("") : buf_slice(&j->made[i]);
}

struct hash_job {
	struct house *house;
	struct slice password;
	struct slice hash;  /* to verify against */
	struct slice dummy; /* hashed as well when `hash` is of another kind: refusals cost the same */
	struct buf made;
	struct vault_scram_job scram;
};

static void
hash_job_init(struct hash_job *j, struct vault *v, struct slice password)
{
	*j = (struct hash_job){.house = v->house, .password = password, .dummy = buf_slice(&v->dummy)};
	buf_init(&j->made, PASSWORD_HASH_MAX);
	vault_scram_job_init(&j->scram, v, password);
}

static void
hash_job_free(struct hash_job *j)
{
	buf_free(&j->made);
	vault_scram_job_free(&j->scram);
}
#define HASH_JOB_CLEANUP __attribute__((cleanup(hash_job_free)))

static int
verify_job(void *arg)
{
	struct hash_job *j = arg;
	int err = j->hash.n == 0 ? ERR_DENIED : password_verify(j->hash, j->password);

	if (err != 0 && !password_is_current(j->house, j->hash) && password_verify(j->dummy, j->password) == 0)
		return ERR_DENIED; /* nobody knows the dummy's */
	return err;
}

/* All hashes of a new password. */
static int
make_job(void *arg)
{
	struct hash_job *j = arg;
	int err = password_hash(j->house, j->password, &j->made);

	return err != 0 ? err : vault_scram_job_run(&j->scram);
}

/* ---- in the database's threads ------------------------------------------------------------------------------------- */

static int
read_account(struct sqltx *tx, void *arg)
{
	struct vault_account *c = arg;
	int err = secret_credential_get(tx, c->arena, c->account_id, &c->credential);

	if (err == ERR_NOTFOUND)
		err = 0;
	return err != 0 ? err : secret_app_list(tx, c->arena, c->account_id, &c->apps, &c->apps_n);
}

int
vault_account_read(struct vault *v, struct vault_account *c)
{
	return sql_read(v->db, read_account, c);
}

static int
renew(struct sqltx *tx, void *arg)
{
	struct vault_account *c = arg;

	return secret_credential_renew(tx, c->account_id, c->old, &c->credential);
}

static int
renew_app(struct sqltx *tx, void *arg)
{
	struct vault_account *c = arg;

	return secret_app_set_scram(tx, c->account_id, c->app_id, c->scram);
}

static int
store(struct sqltx *tx, void *arg)
{
	struct vault_account *c = arg;

	return secret_credential_set(tx, c->house, c->account_id, &c->credential);
}

static int
note_use(struct sqltx *tx, void *arg)
{
	struct vault_account *c = arg;

	return secret_app_used(tx, c->house, c->account_id, c->app_id, c->client);
}

static int
forget_account(struct sqltx *tx, void *arg)
{
	return secret_forget(tx, ((struct vault_account *)arg)->account_id);
}

/* ---- verifying --------------------------------------------------------------------------------------------------------- */

static void
memory_key(const struct vault *v, struct slice account_id, struct slice password, uint8_t out[32])
{
	crypto_generichash_state s;
	uint8_t n = (uint8_t)account_id.n;

	crypto_generichash_init(&s, v->memory_key, sizeof(v->memory_key), 32);
	crypto_generichash_update(&s, &n, 1);
	crypto_generichash_update(&s, account_id.p, account_id.n);
	crypto_generichash_update(&s, password.p, password.n);
	crypto_generichash_final(&s, out, 32);
	sodium_memzero(&s, sizeof(s));
}

void
vault_note_app_use(struct vault *v, struct vault_account *c, const struct app_password *used)
{
	int err;

	if (!app_password_use_is_news(v->house, used))
		return;
	c->app_id = used->id;
	err = sql_write(v->db, note_use, c);
	if (err != 0)
		LOG(v->house, WARN, "app_password_use_not_recorded", LOG_E(err));
}

/* One of the account's app passwords, or NULL. */
static const struct app_password *
find_app_password(struct vault *v, const struct vault_account *c, struct slice password)
{
	const struct app_password *found = NULL;
	uint8_t hash[APP_PASSWORD_HASH_BYTES];

	if (c->apps_n == 0 || !app_password_hash(v->app_key, c->account_id, password, hash))
		return NULL;
	for (size_t i = 0; i < c->apps_n; i++)
		if (c->apps[i].hash.n == sizeof(hash) && sodium_memcmp(c->apps[i].hash.p, hash, sizeof(hash)) == 0)
			found = &c->apps[i];
	return found;
}

static void
log_renewed(struct vault *v, const struct vault_account *c, int err)
{
	if (err == 0)
		LOG(v->house, INFO, "password_hash_renewed", LOG_S("account", c->account_id));
	else
		LOG(v->house, WARN, "password_hash_not_renewed", LOG_S("account", c->account_id), LOG_E(err));
}

/* An app password gets the SCRAM keys that it has not, or not with the account's salt. */
static void
renew_app_keys(struct vault *v, struct vault_account *c, const struct app_password *app, struct slice password,
    const struct scram_keys like[SCRAM_KINDS])
{
	struct vault_scram_job j VAULT_SCRAM_JOB_CLEANUP;
	char text[APP_PASSWORD_TEXT_MAX];
	int err;

	app_password_spell(password, text);
	vault_scram_job_init(&j, v, slice_z(text));
	memcpy(j.like, like, sizeof(j.like));
	err = work_run(v->hashers, vault_scram_job_run, &j);
	if (err == 0) {
		c->app_id = app->id;
		take_scram(&j, c->scram);
		err = sql_write(v->db, renew_app, c);
	}
	log_renewed(v, c, err);
	sodium_memzero(text, sizeof(text));
}

/* A hash of another server, or of another cost, becomes today's, and so do SCRAM keys that are missing. Failing to is no
 * failure of the sign-in. */
static void
renew_hash(struct vault *v, struct vault_account *c, struct slice password, const struct scram_keys like[SCRAM_KINDS])
{
	struct hash_job j HASH_JOB_CLEANUP;
	int err;

	hash_job_init(&j, v, password);
	memcpy(j.scram.like, like, sizeof(j.scram.like));
	err = work_run(v->hashers, make_job, &j);
	if (err == 0) {
		c->old = c->credential.hash;
		c->credential.hash = buf_slice(&j.made);
		take_scram(&j.scram, c->credential.scram);
		err = sql_write(v->db, renew, c);
	}
	log_renewed(v, c, err);
}

/* Has it all that is made of a password today? A password that SCRAM cannot carry never gets keys. */
static bool
is_current(
    struct vault *v, const struct vault_account *c, struct slice password, const struct scram_keys like[SCRAM_KINDS])
{
	struct buf prepared BUF_CLEANUP;
	bool carried;

	if (!password_is_current(v->house, c->credential.hash))
		return false;
	buf_init(&prepared, SIZE_MAX);
	carried = password_prepare(password, &prepared) == 0;
	if (prepared.p != NULL)
		sodium_memzero(prepared.p, prepared.cap);
	return !carried || vault_scram_is_like(like, c->credential.scram);
}

/* 0: right; ERR_DENIED: wrong; ERR_BUSY; other errors. */
static int
check(struct vault *v, struct slice account_id, struct slice password, struct slice client, struct arena *a)
{
	struct vault_account c = {.house = v->house, .arena = a, .account_id = account_id, .client = client};
	struct scram_keys like[SCRAM_KINDS];
	struct hash_job j HASH_JOB_CLEANUP;
	const struct app_password *app;
	int err;

	hash_job_init(&j, v, password);
	err = vault_account_read(v, &c);
	if (err != 0)
		return err;
	app = find_app_password(v, &c, password);
	/* App passwords follow the account's salt; the password itself has it renewed with the iterations of today. */
	vault_scram_like(v, account_id, &c.credential, app == NULL, like);
	if (app != NULL) {
		vault_note_app_use(v, &c, app);
		if (!vault_scram_is_like(like, app->scram))
			renew_app_keys(v, &c, app, password, like);
		return 0;
	}
	j.hash = c.credential.hash;
	err = work_run(v->hashers, verify_job, &j);
	if (err == 0 && !is_current(v, &c, password, like))
		renew_hash(v, &c, password, like);
	if (err == 0 || err == ERR_DENIED || err == ERR_BUSY)
		return err;
	LOG(v->house, ERROR, "password_hash_unusable", LOG_S("account", account_id), LOG_E(err));
	return ERR_DENIED;
}

int
vault_give_ticket(struct vault *v, struct slice account_id, int64_t service, struct arena *a, struct slice *out)
{
	uint8_t *ticket = arena_alloc(a, VAULT_TICKET_BYTES);

	if (ticket == NULL)
		return ERR_NOMEM;
	house_random(v->house, ticket, VAULT_TICKET_BYTES);
	*out = slice_of(ticket, VAULT_TICKET_BYTES);
	return vault_memory_put(&v->tickets, *out, account_id, service);
}

int64_t
vault_count_verified(struct vault *v, int err)
{
	if (err == ERR_DENIED) {
		v->refused++;
		return VERIFY_BAD;
	}
	if (err != 0) {
		v->busy++;
		return VERIFY_BUSY;
	}
	v->verified++;
	return VERIFY_OK;
}

int
vault_on_verify(struct vault *v, struct bus_peer *from, struct bus_vault_verify_request *r, struct arena *a,
    struct bus_vault_verify_reply *reply)
{
	struct vault *self VAULT_ACTIVE = vault_enter(v);
	struct braked_account *turn = NULL;
	uint64_t changes;
	uint8_t key[32];
	int err;

	(void)from;
	reply->result = VERIFY_BAD;
	if (r->account_id.n > VAULT_ACCOUNT_ID_MAX || r->password.n > (size_t)v->house->limits.password_bytes ||
	    r->password.n == 0) {
		v->refused++;
		return 0;
	}
	memory_key(v, r->account_id, r->password, key);
	if (vault_memory_has(&v->remembered, slice_of(key, sizeof(key)))) {
		err = 0;
	} else {
		err = vault_brake_enter(&v->brake, r->salt_id, r->client, &turn);
		changes = v->changes;
		if (err == 0)
			err = check(v, r->account_id, r->password, r->client, a);
		vault_brake_leave(&v->brake, r->salt_id, r->client, &turn, err);
		if (err == 0 && changes != v->changes) /* it may have been the old one */
			err = ERR_BUSY;
		else if (err == 0) /* a full memory only makes the next sign-in slower */
			(void)(vault_memory_put(&v->remembered, slice_of(key, sizeof(key)), r->account_id, 0) == 0);
	}
	wipe(r->password);
	sodium_memzero(key, sizeof(key));
	if (err == 0)
		err = vault_give_ticket(v, r->account_id, r->service, a, &reply->ticket);
	reply->result = vault_count_verified(v, err);
	return 0;
}

int
vault_on_redeem(struct vault *v, struct bus_peer *from, struct bus_vault_redeem_request *r, struct arena *a,
    struct bus_vault_redeem_reply *reply)
{
	uint8_t account[VAULT_ACCOUNT_ID_MAX];
	size_t n = 0;

	if (r->ticket.n != VAULT_TICKET_BYTES ||
	    !vault_memory_take(&v->tickets, r->ticket, account, &n, &reply->service))
		return ERR_DENIED;
	if (account_desk(slice_of(account, n), v->desks) != bus_peer_index(from)) {
		LOG(v->house, WARN, "ticket_of_another_desk", LOG_I("desk", bus_peer_index(from)));
		reply->service = 0;
		return ERR_DENIED;
	}
	reply->account_id = arena_copy(a, slice_of(account, n));
	return arena_failed(a) ? ERR_NOMEM : 0;
}

/* ---- changing ---------------------------------------------------------------------------------------------------------- */

void
vault_credentials_changed(struct vault *v, struct slice account_id)
{
	v->changes++;
	vault_memory_forget(&v->remembered, account_id);
	vault_memory_forget(&v->tickets, account_id);
}

/* The credential of an imported hash; what is plain text becomes a password to hash (*password). */
static int
import_hash(struct slice hash, struct secret_credential *c, struct slice *password, struct buf *detail)
{
	struct slice rest, scheme = password_scheme(hash, &rest);
	int err = password_check_import(hash, detail);

	if (err != 0)
		return err;
	if (slice_ieq(scheme, SLICE("PLAIN")) || slice_ieq(scheme, SLICE("CLEARTEXT")) ||
	    slice_ieq(scheme, SLICE("CLEAR"))) {
		*password = rest;
		return 0;
	}
	c->hash = hash;
	for (size_t i = 0; i < SCRAM_KINDS; i++)
		if (slice_ieq(scheme, scram_kinds[i].name))
			c->scram[i] = hash;
	return 0;
}

int
vault_on_set_password(struct vault *v, struct bus_peer *from, struct bus_vault_set_password_request *r, struct arena *a,
    struct bus_vault_set_password_reply *reply)
{
	struct vault *self VAULT_ACTIVE = vault_enter(v);
	struct vault_account c = {.house = v->house, .account_id = r->account_id, .arena = a};
	struct secret_credential fresh = {.hash = SLICE(""), .scram = {SLICE(""), SLICE("")}};
	struct slice password = r->password;
	struct hash_job j HASH_JOB_CLEANUP;
	struct buf detail BUF_CLEANUP;
	int err = 0;

	(void)from;
	buf_init(&detail, 1024);
	if (r->account_id.n == 0 || r->account_id.n > VAULT_ACCOUNT_ID_MAX)
		err = ERR_INVALID;
	if (err == 0 && r->hash.n > 0)
		err = import_hash(r->hash, &fresh, &password, &detail);
	hash_job_init(&j, v, password);
	if (err == 0) /* the salt stays: app passwords have keys with it */
		err = vault_account_read(v, &c);
	vault_scram_like(v, r->account_id, &c.credential, true, j.scram.like);
	if (err == 0 && password.n > 0) {
		err = work_run(v->hashers, make_job, &j);
		if (err == ERR_LIMIT)
			buf_printf(
			    &detail, "a password has at most %lld bytes.", (long long)v->house->limits.password_bytes);
		fresh.hash = buf_slice(&j.made);
		take_scram(&j.scram, fresh.scram);
	}
	c.credential = fresh;
	if (err == 0)
		err = sql_write(v->db, store, &c);
	vault_credentials_changed(v, r->account_id);
	wipe(r->password);
	wipe(r->hash);
	reply->detail = arena_copy(a, buf_slice(&detail));
	/* What the operator can mend is told in words, in a reply. */
	return err != 0 && detail.n > 0 ? 0 : err;
}

int
vault_on_forget(struct vault *v, struct bus_peer *from, struct bus_vault_forget_request *r, struct arena *a,
    struct bus_vault_forget_reply *reply)
{
	struct vault *self VAULT_ACTIVE = vault_enter(v);
	struct vault_account c = {.account_id = r->account_id};
	int err = sql_write(v->db, forget_account, &c);

	(void)from;
	(void)a;
	(void)reply;
	vault_credentials_changed(v, r->account_id);
	return err;
}

/* ---- starting --------------------------------------------------------------------------------------------------------------- */

static int
own_keys(struct sqltx *tx, void *arg)
{
	struct vault *v = arg;
	int err = secret_key(tx, v->house, SLICE("app_password"), v->app_key);

	return err != 0 ? err : secret_key(tx, v->house, SLICE("scram_salt"), v->salt_key);
}

static int
dummy_job(void *arg)
{
	struct vault *v = arg;
	uint8_t random[32];

	house_random(v->house, random, sizeof(random));
	buf_reset(&v->dummy);
	return password_hash(v->house, slice_of(random, sizeof(random)), &v->dummy);
}

int
vault_password_start(struct vault *v)
{
	int err;

	(void)sodium_mlock(v->memory_key, sizeof(v->memory_key));
	(void)sodium_mlock(v->app_key, sizeof(v->app_key));
	house_random(v->house, v->memory_key, sizeof(v->memory_key));
	vault_memory_init(
	    &v->remembered, v->house, (size_t)v->house->limits.verify_remembered, v->house->limits.verify_remember_ms);
	vault_memory_init(&v->tickets, v->house, (size_t)v->house->limits.sign_in_tickets, VAULT_TICKET_LIFE_MS);
	vault_scram_start(v);
	vault_brake_init(&v->brake, v->loop);
	buf_init(&v->dummy, PASSWORD_HASH_MAX);
	err = sql_write(v->db, own_keys, v);
	return err != 0 ? err : work_run(v->hashers, dummy_job, v);
}

void
vault_password_end(struct vault *v)
{
	if (v->remembered.house == NULL)
		return;
	vault_memory_free(&v->remembered);
	vault_memory_free(&v->tickets);
	vault_scram_end(v);
	vault_brake_free(&v->brake);
	buf_free(&v->dummy);
	(void)sodium_munlock(v->memory_key, sizeof(v->memory_key)); /* which wipes */
	(void)sodium_munlock(v->app_key, sizeof(v->app_key));
}
