/* vault_dkim.c: signing mail (DKIM, ARC). The keys of domains that send are kept open, since opening one takes longer than reading it;
 * those of the domains that have sent least lately go first. */
#include "base/log.h"
#include "directory/secret_dkim.h"
#include "role/vault_private.h"
#include "trust/dkim_key.h"

#include <openssl/err.h>
#include <openssl/x509.h>

#define TRIES 10 /* to read keys that change meanwhile */

struct ready_key {
	struct slice selector;
	enum dkim_algorithm algorithm;
	EVP_PKEY *pkey;
};

/* The active keys of a domain; perhaps none. */
struct dkim_ready {
	struct list_node node;
	struct arena arena;
	struct slice domain;
	struct ready_key v[SECRET_DKIM_KEYS_MAX];
	size_t n;
};

static void
drop(struct vault *v, struct dkim_ready *r)
{
	if (list_linked(&r->node)) {
		map_remove(&v->dkim.domains, r->domain);
		list_remove(&r->node);
	}
	for (size_t i = 0; i < r->n; i++)
		EVP_PKEY_free(r->v[i].pkey);
	arena_free(&r->arena);
	free(r);
}

void
vault_dkim_start(struct vault *v)
{
	map_init(&v->dkim.domains, (size_t)v->house->limits.dkim_domains + 1, house_random_u64(v->house));
	list_init(&v->dkim.oldest_first);
}

void
vault_dkim_end(struct vault *v)
{
	LIST_FOREACH (&v->dkim.oldest_first, n)
		drop(v, CONTAINER_OF(n, struct dkim_ready, node));
	map_free(&v->dkim.domains);
}

void
vault_dkim_changed(struct vault *v, struct slice domain)
{
	struct dkim_ready *r = map_get(&v->dkim.domains, domain);

	v->dkim.changes++;
	if (r != NULL)
		drop(v, r);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct reading {
	struct arena arena;
	struct slice domain;
	struct secret_dkim_key *v;
	size_t n;
	bool known;
	struct dkim_ready *ready;
};

static int
read_keys(struct sqltx *tx, void *arg)
{
	struct reading *r = arg;
	int err = secret_dkim_known(tx, r->domain, &r->known);

	return err != 0 ? err : secret_dkim_list(tx, &r->arena, r->domain, &r->v, &r->n);
}

/* Opens the active keys; in a signer's thread. */
static int
open_keys(void *arg)
{
	struct reading *r = arg;
	struct dkim_ready *to = r->ready;

	ERR_clear_error();
	for (size_t i = 0; i < r->n && to->n < SECRET_DKIM_KEYS_MAX; i++) {
		const uint8_t *p = r->v[i].private_key.p;
		EVP_PKEY *key;

		if (r->v[i].state != SECRET_DKIM_ACTIVE)
			continue;
		key = d2i_AutoPrivateKey(NULL, &p, (long)r->v[i].private_key.n);
		if (key == NULL)
			continue; /* the others still sign */
		to->v[to->n++] = (struct ready_key){.selector = arena_copy(&to->arena, r->v[i].selector),
		    .algorithm = dkim_key_algorithm(key),
		    .pkey = key};
	}
	ERR_clear_error();
	return arena_failed(&to->arena) ? ERR_NOMEM : 0;
}

/* Puts the keys where they are found again, unless others were put there meanwhile, or they have changed since they were read. */
static void
keep(struct vault *v, struct dkim_ready *r)
{
	if (map_get(&v->dkim.domains, r->domain) != NULL)
		return;
	if (v->dkim.domains.n >= (size_t)v->house->limits.dkim_domains && !list_empty(&v->dkim.oldest_first))
		drop(v, CONTAINER_OF(v->dkim.oldest_first.head.next, struct dkim_ready, node));
	if (map_put(&v->dkim.domains, r->domain, r) == 0)
		list_push(&v->dkim.oldest_first, &r->node);
}

static void
free_reading(struct reading *r)
{
	arena_wipe(&r->arena);
}

static int
load(struct vault *v, struct slice domain, bool *known, struct dkim_ready **out)
{
	struct reading r __attribute__((cleanup(free_reading))) = {.domain = domain};
	uint64_t changes = v->dkim.changes;
	struct dkim_ready *ready = calloc(1, sizeof(*ready));
	int err;

	*out = NULL;
	if (ready == NULL)
		return ERR_NOMEM;
	arena_init(&r.arena, 1 << 20);
	arena_init(&ready->arena, 65536);
	ready->domain = arena_copy(&ready->arena, domain);
	r.ready = ready;
	err = sql_read(v->db, read_keys, &r);
	if (err == 0 && r.n > 0)
		err = work_run(v->signers, open_keys, &r);
	*known = r.known;
	if (err == 0 && changes != v->dkim.changes)
		err = ERR_CONFLICT;
	if (err == 0 && r.known)
		keep(v, ready);
	if (err != 0 || !list_linked(&ready->node))
		drop(v, ready);
	*out = map_get(&v->dkim.domains, domain);
	return err;
}

/* The keys of a domain, without parking between the return and the caller's next wait. ERR_NOTFOUND: it never had any. */
static int
find(struct vault *v, struct slice domain, bool make, struct dkim_ready **out)
{
	int err = ERR_CONFLICT;

	*out = map_get(&v->dkim.domains, domain);
	for (int i = 0; i < TRIES && *out == NULL && err == ERR_CONFLICT; i++) {
		bool known = false;

		err = load(v, domain, &known, out);
		if (err == 0 && !known)
			err = make ? vault_dkim_make_first(v, domain) : ERR_NOTFOUND;
		if (err == 0 && *out == NULL)
			err = ERR_CONFLICT;
	}
	if (*out == NULL)
		return err == ERR_CONFLICT ? ERR_BUSY : err;
	/* used last */
	list_remove(&(*out)->node);
	list_push(&v->dkim.oldest_first, &(*out)->node);
	return 0;
}

int
vault_on_dkim_keys(struct vault *v, struct bus_peer *from, struct bus_vault_dkim_keys_request *r, struct arena *a,
    struct bus_vault_dkim_keys_reply *reply)
{
	struct vault *self VAULT_ACTIVE = vault_enter(v);
	struct slice *selectors = ARENA_ARRAY(a, struct slice, SECRET_DKIM_KEYS_MAX),
		     *algorithms = ARENA_ARRAY(a, struct slice, SECRET_DKIM_KEYS_MAX);
	struct dkim_ready *ready;
	int err = arena_failed(a) ? ERR_NOMEM : find(v, r->domain, r->make != 0, &ready);

	(void)from;
	if (err != 0)
		return err == ERR_NOTFOUND ? 0 : err;
	for (size_t i = 0; i < ready->n; i++) {
		selectors[i] = arena_copy(a, ready->v[i].selector);
		algorithms[i] = slice_z(dkim_algorithm_name(ready->v[i].algorithm));
	}
	reply->selectors = (struct slice_list){selectors, ready->n};
	reply->algorithms = (struct slice_list){algorithms, ready->n};
	return arena_failed(a) ? ERR_NOMEM : 0;
}

/* ---- signing ------------------------------------------------------------------------------------------------------- */

struct sign_job {
	size_t n;
	EVP_PKEY *pkey[SECRET_DKIM_KEYS_MAX];
	struct slice hash[SECRET_DKIM_KEYS_MAX];
	uint8_t out[SECRET_DKIM_KEYS_MAX][DKIM_SIGNATURE_BYTES_MAX];
	size_t out_n[SECRET_DKIM_KEYS_MAX];
};

static int
sign(void *arg)
{
	struct sign_job *j = arg;
	int err = 0;

	for (size_t i = 0; err == 0 && i < j->n; i++)
		err = dkim_key_sign(j->pkey[i], j->hash[i].p, j->out[i], &j->out_n[i]);
	return err;
}

static EVP_PKEY *
key_of(const struct dkim_ready *r, struct slice selector)
{
	for (size_t i = 0; i < r->n; i++)
		if (slice_eq(r->v[i].selector, selector))
			return r->v[i].pkey;
	return NULL;
}

static bool
is_sound(const struct bus_vault_dkim_sign_request *r)
{
	if (r->selectors.n == 0 || r->selectors.n > SECRET_DKIM_KEYS_MAX || r->hashes.n != r->selectors.n)
		return false;
	for (size_t i = 0; i < r->hashes.n; i++)
		if (r->hashes.v[i].n != DKIM_HASH_BYTES)
			return false;
	return true;
}

int
vault_on_dkim_sign(struct vault *v, struct bus_peer *from, struct bus_vault_dkim_sign_request *r, struct arena *a,
    struct bus_vault_dkim_sign_reply *reply)
{
	struct vault *self VAULT_ACTIVE = vault_enter(v);
	struct sign_job *j = ARENA_NEW(a, struct sign_job);
	struct slice *out = ARENA_ARRAY(a, struct slice, SECRET_DKIM_KEYS_MAX);
	struct dkim_ready *ready;
	int err;

	(void)from;
	if (!is_sound(r))
		return ERR_INVALID;
	err = arena_failed(a) ? ERR_NOMEM : find(v, r->domain, false, &ready);
	for (; err == 0 && j->n < r->selectors.n; j->n++) {
		EVP_PKEY *key = key_of(ready, r->selectors.v[j->n]);

		if (key == NULL) {
			err = ERR_NOTFOUND;
			break;
		}
		EVP_PKEY_up_ref(key); /* they may be dropped meanwhile */
		j->pkey[j->n] = key;
		j->hash[j->n] = r->hashes.v[j->n];
	}
	if (err == 0)
		err = work_run(v->signers, sign, j);
	for (size_t i = 0; j != NULL && i < j->n; i++) {
		EVP_PKEY_free(j->pkey[i]);
		out[i] = slice_of(j->out[i], j->out_n[i]);
	}
	if (err == 0)
		reply->signatures = (struct slice_list){out, r->selectors.n};
	v->signatures += err == 0;
	return err;
}
