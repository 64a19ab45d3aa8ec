/* vault_app.c: app passwords: random, shown once, each with a name, removable one by one. */
#include "role/vault_private.h"

#include <jansson.h>
#include <sodium.h>

struct app_call {
	struct house *house;
	struct arena *arena;
	struct slice account_id, id;
	struct app_password fresh;
	struct app_password *v;
	size_t n;
};

static int
add(struct sqltx *tx, void *arg)
{
	struct app_call *c = arg;

	return secret_app_add(tx, c->house, c->arena, c->account_id, &c->fresh, &c->id);
}

static int
list(struct sqltx *tx, void *arg)
{
	struct app_call *c = arg;

	return secret_app_list(tx, c->arena, c->account_id, &c->v, &c->n);
}

static int
remove_one(struct sqltx *tx, void *arg)
{
	struct app_call *c = arg;

	return secret_app_remove(tx, c->account_id, c->id);
}

int
vault_on_app_password_add(struct vault *v, struct bus_peer *from, struct bus_vault_app_password_add_request *r,
    struct arena *a, struct bus_vault_app_password_add_reply *reply)
{
	struct vault *self VAULT_ACTIVE = vault_enter(v);
	struct vault_account account = {.house = v->house, .arena = a, .account_id = r->account_id};
	struct vault_scram_job j VAULT_SCRAM_JOB_CLEANUP = {0};
	uint8_t hash[APP_PASSWORD_HASH_BYTES];
	char text[APP_PASSWORD_TEXT_MAX];
	struct app_call c = {.house = v->house,
	    .arena = a,
	    .account_id = r->account_id,
	    .fresh = {.name = slice_trim(r->name), .hash = slice_of(hash, sizeof(hash))}};
	int err;

	(void)from;
	if (r->account_id.n == 0 || r->account_id.n > VAULT_ACCOUNT_ID_MAX)
		return ERR_INVALID;
	app_password_make(v->house, text);
	ASSERT(app_password_hash(v->app_key, r->account_id, slice_z(text), hash));
	vault_scram_job_init(&j, v, slice_z(text));
	err = vault_account_read(v, &account);
	vault_scram_like(v, r->account_id, &account.credential, false, j.like);
	if (err == 0)
		err = work_run(v->hashers, vault_scram_job_run, &j);
	for (size_t i = 0; i < SCRAM_KINDS; i++)
		c.fresh.scram[i] = buf_slice(&j.made[i]);
	if (err == 0)
		err = sql_write(v->db, add, &c);
	reply->id = SLICE("");
	reply->password = SLICE("");
	if (err == 0) {
		reply->id = c.id;
		reply->password = arena_copy(a, slice_z(text));
	} else if (err == ERR_LIMIT) {
		reply->detail = arena_printf(a,
		    "the account has %lld app passwords, which is the limit: remove one first.",
		    (long long)v->house->limits.app_passwords);
	} else if (err == ERR_INVALID) {
		reply->detail = arena_printf(
		    a, "an app password needs a name of 1 to %d bytes.", APP_PASSWORD_NAME_MAX);
	}
	sodium_memzero(text, sizeof(text));
	return reply->detail.n > 0 || err == 0 ? 0 : err;
}

static struct slice
to_json(const struct app_password *p, struct arena *a)
{
	char created[RFC3339_MAX], used[RFC3339_MAX];
	json_t *o;

	time_rfc3339(p->created_us, created);
	time_rfc3339(p->last_used_us, used);
	o = json_pack("{s:s%,s:s%,s:s,s:o,s:s%}", "id", (const char *)p->id.p, p->id.n, "name", (const char *)p->name.p,
	    p->name.n, "created_at", created, "last_used_at", p->last_used_us == 0 ? json_null() : json_string(used),
	    "last_used_by", p->last_used_by.n == 0 ? "" : (const char *)p->last_used_by.p, p->last_used_by.n);
	return vault_row_text(o, a);
}

int
vault_on_app_password_list(struct vault *v, struct bus_peer *from, struct bus_vault_app_password_list_request *r,
    struct arena *a, struct bus_vault_app_password_list_reply *reply)
{
	struct vault *self VAULT_ACTIVE = vault_enter(v);
	struct app_call c = {.arena = a, .account_id = r->account_id};
	struct slice *out;
	int err = sql_read(v->db, list, &c);

	(void)from;
	if (err != 0)
		return err;
	out = ARENA_ARRAY(a, struct slice, c.n == 0 ? 1 : c.n);
	for (size_t i = 0; out != NULL && i < c.n; i++)
		out[i] = to_json(&c.v[i], a);
	reply->json = (struct slice_list){out, c.n};
	return arena_failed(a) ? ERR_NOMEM : 0;
}

int
vault_on_app_password_remove(struct vault *v, struct bus_peer *from, struct bus_vault_app_password_remove_request *r,
    struct arena *a, struct bus_vault_app_password_remove_reply *reply)
{
	struct vault *self VAULT_ACTIVE = vault_enter(v);
	struct app_call c = {.account_id = r->account_id, .id = r->id};
	int err = sql_write(v->db, remove_one, &c);

	(void)from;
	(void)a;
	reply->removed = err == 0;
	vault_credentials_changed(v, r->account_id);
	return err == ERR_NOTFOUND ? 0 : err;
}
