/* vault_dkim_make.c: the keys of DKIM: made or imported, rotated, retired, destroyed. A key is "next" while its record is being published,
 * "active" while it signs, and "retired" as long as mail that it signed may still be on its way. */
#include "base/log.h"
#include "directory/secret_dkim.h"
#include "role/vault_private.h"
#include "trust/dkim_sign.h"
#include "trust/trust_dns.h"

#include <jansson.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#define RSA_BITS 2048   /* RFC 8301 §3.2 */
#define RECORD_MAX 2048 /* bytes of a record's text */
#define PAGE 500
#define DNS_STRING 255 /* RFC 1035 §3.3.14 */

static const char *const states[] = {
    [SECRET_DKIM_NEXT] = "next",
    [SECRET_DKIM_ACTIVE] = "active",
    [SECRET_DKIM_RETIRED] = "retired",
};

/* ---- making ---------------------------------------------------------------------------------------------------------- */

#define SECRET_BYTES ((size_t)1 << 20)
#define SECRET_ARENA __attribute__((cleanup(arena_wipe)))

/* One or two keys, from the request to the database. */
struct making {
	struct vault *v;
	struct arena *arena;
	struct slice domain, pem;
	bool first_only; /* for a domain that never had any */
	bool done;
	struct secret_dkim_key keys[2];
	size_t n;
	int64_t waiting; /* keys that are next already */
};

static void
free_pkcs8(PKCS8_PRIV_KEY_INFO **p)
{
	PKCS8_PRIV_KEY_INFO_free(*p);
}

/* The key as it is kept. */
static int
put_key(EVP_PKEY *key, struct arena *a, struct secret_dkim_key *out)
{
	PKCS8_PRIV_KEY_INFO *p8 __attribute__((cleanup(free_pkcs8))) = EVP_PKEY2PKCS8(key);
	struct buf record BUF_CLEANUP;
	uint8_t *der = NULL;
	int n = p8 == NULL ? -1 : i2d_PKCS8_PRIV_KEY_INFO(p8, &der), err;

	if (n <= 0)
		return ERR_NOMEM;
	buf_init(&record, RECORD_MAX);
	err = dkim_record_put(key, &record);
	out->private_key = arena_copy(a, slice_of(der, (size_t)n));
	OPENSSL_clear_free(der, (size_t)n);
	out->record = arena_copy(a, buf_slice(&record));
	out->algorithm = slice_z(dkim_algorithm_name(dkim_key_algorithm(key)));
	out->bits = EVP_PKEY_get_bits(key);
	return err != 0 ? err : arena_failed(a) ? ERR_NOMEM : 0;
}

/* In a hasher's thread: a key of RSA takes a tenth of a second. */
static int
generate(void *arg)
{
	struct making *m = arg;
	int err = 0;

	ERR_clear_error();
	for (size_t i = 0; err == 0 && i < m->n; i++) {
		EVP_PKEY *key DKIM_KEY_CLEANUP = slice_eq(m->keys[i].algorithm, SLICE("rsa-sha256"))
		    ? EVP_RSA_gen(RSA_BITS)
		    : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

		err = key == NULL ? ERR_TLS : put_key(key, m->arena, &m->keys[i]);
	}
	ERR_clear_error();
	return err;
}

static int
no_passphrase(char *out, int n, int writing, void *arg)
{
	(void)out;
	(void)n;
	(void)writing;
	(void)arg;
	return -1;
}

static void
free_bio(BIO **b)
{
	BIO_free(*b);
}

/* In a hasher's thread, too. ERR_SYNTAX: no key in it; ERR_INVALID: it is not one for DKIM. */
static int
import(void *arg)
{
	struct making *m = arg;
	BIO *in __attribute__((cleanup(free_bio))) = BIO_new_mem_buf(m->pem.p, (int)m->pem.n);
	EVP_PKEY *key DKIM_KEY_CLEANUP = NULL;
	int bits;

	ERR_clear_error();
	key = in == NULL ? NULL : PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL);
	ERR_clear_error();
	if (key == NULL)
		return ERR_SYNTAX;
	bits = EVP_PKEY_get_bits(key);
	if (dkim_key_algorithm(key) == DKIM_ALGORITHM_UNKNOWN ||
	    (dkim_key_algorithm(key) == DKIM_RSA_SHA256 && (bits < DKIM_RSA_BITS_MIN || bits > DKIM_SIGNING_BITS_MAX)))
		return ERR_INVALID;
	return put_key(key, m->arena, &m->keys[0]);
}

static int
count_waiting(struct sqltx *tx, struct making *m)
{
	struct secret_dkim_key *v;
	size_t n;
	int err = secret_dkim_list(tx, m->arena, m->domain, &v, &n);

	m->waiting = 0;
	for (size_t i = 0; err == 0 && i < n; i++)
		m->waiting += v[i].state == SECRET_DKIM_NEXT;
	return err;
}

static int
store(struct sqltx *tx, void *arg)
{
	struct making *m = arg;
	bool known = false;
	int err = m->first_only ? secret_dkim_known(tx, m->domain, &known) : 0;

	if (err == 0 && m->keys[0].state == SECRET_DKIM_NEXT)
		err = count_waiting(tx, m);
	if (err == 0 && m->waiting > 0)
		return ERR_CONFLICT;
	for (size_t i = 0; err == 0 && !known && i < m->n; i++)
		err = secret_dkim_add(tx, &m->keys[i]);
	m->done = err == 0 && !known;
	return err;
}

/* "rsa-20260131": the date says when it was made, which whoever rotates keys wants to know. */
static struct slice
selector_of(struct vault *v, struct slice algorithm, unsigned attempt, struct arena *a)
{
	struct slice rest = algorithm, kind = slice_cut(&rest, '-'), name;
	struct civil_time t;

	time_to_civil(house_now_s(v->house), &t);
	name = arena_printf(a, "%.*s-%04d%02d%02d", SLICE_ARG(kind), (int)t.year, (int)t.month, (int)t.day);
	return attempt == 0 ? name : arena_printf(a, "%.*s-%u", SLICE_ARG(name), attempt + 1);
}

static void
name_keys(struct making *m, struct slice selector, unsigned attempt)
{
	for (size_t i = 0; i < m->n; i++)
		m->keys[i].selector = selector.n > 0 ? selector
						     : selector_of(m->v, m->keys[i].algorithm, attempt, m->arena);
}

/* Stores what was made; without a given selector under the first name that is free. */
static int
store_named(struct making *m, struct slice selector)
{
	int err = ERR_EXISTS;

	for (unsigned attempt = 0; err == ERR_EXISTS && attempt < (selector.n > 0 ? 1 : SECRET_DKIM_KEYS_MAX + 1);
	     attempt++) {
		name_keys(m, selector, attempt);
		err = arena_failed(m->arena) ? ERR_NOMEM : sql_write(m->v->db, store, m);
	}
	vault_dkim_changed(m->v, m->domain);
	for (size_t i = 0; m->done && i < m->n; i++)
		LOG(m->v->house, INFO, "dkim_key_added", LOG_S("domain", m->domain),
		    LOG_S("selector", m->keys[i].selector), LOG_S("algorithm", m->keys[i].algorithm),
		    LOG_Z("state", states[m->keys[i].state]));
	return err;
}

static void
plan_key(struct making *m, const char *algorithm, enum secret_dkim_state state)
{
	m->keys[m->n++] = (struct secret_dkim_key){.domain = m->domain,
	    .algorithm = slice_z(algorithm),
	    .state = state,
	    .created_us = house_now_us(m->v->house)};
}

/* Lower case, so that one name is one key. */
static bool
is_name(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_digit(slice_at(s, i)) && (slice_at(s, i) < 'a' || slice_at(s, i) > 'z') &&
		    (slice_at(s, i) == 0 || strchr("-_.", slice_at(s, i)) == NULL))
			return false;
	return trust_dns_is_name(s);
}

int
vault_dkim_make_first(struct vault *v, struct slice domain)
{
	struct arena secret SECRET_ARENA;
	struct making m = {.v = v, .arena = &secret, .domain = domain, .first_only = true};
	int err;

	arena_init(&secret, SECRET_BYTES);
	if (!is_name(domain))
		return ERR_INVALID;
	plan_key(&m, "rsa-sha256", SECRET_DKIM_ACTIVE);
	plan_key(&m, "ed25519-sha256", SECRET_DKIM_ACTIVE);
	err = work_run(v->hashers, generate, &m);
	return err != 0 ? err : store_named(&m, SLICE_EMPTY);
}

/* Why keys could not be added; empty: an error that is nobody's mistake. */
static struct slice
tell(const struct making *m, int err, struct slice selector, struct arena *a)
{
	switch (err) {
	case ERR_SYNTAX: return SLICE("the file holds no private key in PEM form without a passphrase.");
	case ERR_INVALID:
		return SLICE(
		    "DKIM signs with RSA keys of 1024 to 4096 bits and with Ed25519 keys; this is another one.");
	case ERR_EXISTS:
		return arena_printf(a,
		    "%.*s has a key %.*s already: choose another selector, or remove that key first.",
		    SLICE_ARG(m->domain), SLICE_ARG(selector));
	case ERR_LIMIT:
		return arena_printf(a,
		    "%.*s has %d keys, which is the limit: remove those that are retired first (`posthouse dkim "
		    "remove`).",
		    SLICE_ARG(m->domain), SECRET_DKIM_KEYS_MAX);
	case ERR_CONFLICT:
		return arena_printf(a,
		    "%.*s has keys that wait to be used already: publish their records (`posthouse dkim show`), then "
		    "`posthouse dkim activate %.*s`.",
		    SLICE_ARG(m->domain), SLICE_ARG(m->domain));
	default: return SLICE_EMPTY;
	}
}

int
vault_on_dkim_add(struct vault *v, struct bus_peer *from, struct bus_vault_dkim_add_request *r, struct arena *a,
    struct bus_vault_dkim_add_reply *reply)
{
	struct vault *self VAULT_ACTIVE = vault_enter(v);
	struct arena secret SECRET_ARENA;
	struct making m = {.v = v, .arena = &secret, .domain = r->domain, .pem = r->pem};
	enum secret_dkim_state state = slice_eq(r->state, SLICE("next")) ? SECRET_DKIM_NEXT : SECRET_DKIM_ACTIVE;
	bool rsa = slice_eq(r->algorithm, SLICE("rsa-sha256")), ed = slice_eq(r->algorithm, SLICE("ed25519-sha256"));
	int err;

	(void)from;
	arena_init(&secret, SECRET_BYTES);
	if (!is_name(r->domain) || (r->selector.n > 0 && !is_name(r->selector))) {
		reply->detail = SLICE("a selector is made of lower-case letters, digits, - and dots.");
		return 0;
	}
	if (r->selector.n > 0 && r->pem.n == 0 && !rsa && !ed) {
		reply->detail = SLICE(
		    "two keys cannot have one selector: name the algorithm, or leave the selector to us.");
		return 0;
	}
	if (rsa || r->algorithm.n == 0 || r->pem.n > 0)
		plan_key(&m, "rsa-sha256", state);
	if ((ed || r->algorithm.n == 0) && r->pem.n == 0)
		plan_key(&m, "ed25519-sha256", state);
	if (m.n == 0)
		return ERR_INVALID;
	err = work_run(v->hashers, r->pem.n > 0 ? import : generate, &m);
	if (err == 0)
		err = store_named(&m, r->selector);
	reply->detail = tell(&m, err, r->selector, a);
	return reply->detail.n > 0 ? 0 : err;
}

/* ---- states ---------------------------------------------------------------------------------------------------------- */

struct change {
	struct vault *v;
	struct arena *arena;
	struct slice domain, selector;
	int64_t now_us;
	size_t changed;
};

static int
activate(struct sqltx *tx, void *arg)
{
	struct change *c = arg;
	struct secret_dkim_key *v;
	size_t n, next = 0;
	int err = secret_dkim_list(tx, c->arena, c->domain, &v, &n);

	for (size_t i = 0; err == 0 && i < n; i++)
		next += v[i].state == SECRET_DKIM_NEXT;
	for (size_t i = 0; err == 0 && next > 0 && i < n; i++)
		if (v[i].state != SECRET_DKIM_RETIRED)
			err = secret_dkim_set_state(tx, c->domain, v[i].selector,
			    v[i].state == SECRET_DKIM_NEXT ? SECRET_DKIM_ACTIVE : SECRET_DKIM_RETIRED, c->now_us);
	c->changed = next;
	return err;
}

static int
retire(struct sqltx *tx, void *arg)
{
	struct change *c = arg;

	return secret_dkim_set_state(tx, c->domain, c->selector, SECRET_DKIM_RETIRED, c->now_us);
}

static int
remove_one(struct sqltx *tx, void *arg)
{
	struct change *c = arg;

	return secret_dkim_remove(tx, c->domain, c->selector);
}

static int
forget(struct sqltx *tx, void *arg)
{
	struct change *c = arg;

	return secret_dkim_forget(tx, c->domain);
}

int
vault_on_dkim_change(struct vault *v, struct bus_peer *from, struct bus_vault_dkim_change_request *r, struct arena *a,
    struct bus_vault_dkim_change_reply *reply)
{
	static sql_fn *const changes[] = {
	    [DKIM_ACTIVATE] = activate, [DKIM_RETIRE] = retire, [DKIM_REMOVE] = remove_one, [DKIM_FORGET] = forget};
	static const char *const names[] = {
	    [DKIM_ACTIVATE] = "activate", [DKIM_RETIRE] = "retire", [DKIM_REMOVE] = "remove", [DKIM_FORGET] = "forget"};
	struct vault *self VAULT_ACTIVE = vault_enter(v);
	struct change c = {
	    .v = v, .arena = a, .domain = r->domain, .selector = r->selector, .now_us = house_now_us(v->house)};
	int err;

	(void)from;
	if (r->change < DKIM_ACTIVATE || r->change > DKIM_FORGET)
		return ERR_INVALID;
	err = sql_write(v->db, changes[r->change], &c);
	vault_dkim_changed(v, r->domain);
	if (err == 0)
		LOG(v->house, INFO, "dkim_keys_changed", LOG_S("domain", r->domain), LOG_S("selector", r->selector),
		    LOG_Z("change", names[r->change]));
	if (err == ERR_NOTFOUND)
		reply->detail = arena_printf(a, "%.*s has no key %.*s: `posthouse dkim list` shows them.",
		    SLICE_ARG(r->domain), SLICE_ARG(r->selector));
	else if (err == 0 && r->change == DKIM_ACTIVATE && c.changed == 0)
		reply->detail = arena_printf(a,
		    "%.*s has no keys that wait to be used: `posthouse dkim rotate %.*s` makes them.",
		    SLICE_ARG(r->domain), SLICE_ARG(r->domain));
	return reply->detail.n > 0 ? 0 : err;
}

/* ---- telling ------------------------------------------------------------------------------------------------------------ */

struct listing {
	struct arena *arena;
	struct slice domain, after_domain, after_selector;
	struct secret_dkim_key *v;
	size_t n;
};

static int
list(struct sqltx *tx, void *arg)
{
	struct listing *l = arg;

	if (l->domain.n > 0)
		return secret_dkim_list(tx, l->arena, l->domain, &l->v, &l->n);
	return secret_dkim_page(tx, l->arena, l->after_domain, l->after_selector, PAGE, &l->v, &l->n);
}

/* The record as a line of a zone file, in strings that are short enough. */
static struct slice
zone_line(const struct secret_dkim_key *k, struct arena *a)
{
	struct buf out BUF_CLEANUP;
	struct slice rest = k->record;

	buf_init(&out, 2 * RECORD_MAX);
	buf_printf(&out, "%.*s._domainkey.%.*s. TXT", SLICE_ARG(k->selector), SLICE_ARG(k->domain));
	while (rest.n > 0) {
		struct slice part = slice_head(rest, DNS_STRING);

		buf_printf(&out, " \"%.*s\"", SLICE_ARG(part));
		rest = slice_from(rest, part.n);
	}
	return arena_copy(a, buf_slice(&out));
}

/* What is to be done about a key. */
static struct slice
next_step(const struct vault *v, const struct secret_dkim_key *k, struct arena *a)
{
	int64_t until_us = k->changed_us + v->house->limits.dkim_retired_ms * 1000;
	char when[RFC3339_MAX];

	time_rfc3339(until_us, when);
	switch (k->state) {
	case SECRET_DKIM_NEXT:
		return arena_printf(a,
		    "Publish the record. When all name servers have it: posthouse dkim activate %.*s",
		    SLICE_ARG(k->domain));
	case SECRET_DKIM_ACTIVE: return SLICE("It signs: the record has to be in the DNS.");
	case SECRET_DKIM_RETIRED: break;
	}
	if (house_now_us(v->house) < until_us)
		return arena_printf(a, "It signs no more. Leave the record in the DNS until %.10s.", when);
	return arena_printf(a, "Take the record out of the DNS, then: posthouse dkim remove %.*s %.*s",
	    SLICE_ARG(k->domain), SLICE_ARG(k->selector));
}

static void
set_text(json_t *o, const char *name, struct slice s)
{
	(void)json_object_set_new(o, name, json_stringn(s.n == 0 ? "" : (const char *)s.p, s.n));
}

static struct slice
to_json(const struct vault *v, const struct secret_dkim_key *k, struct arena *a)
{
	char since[RFC3339_MAX], created[RFC3339_MAX];
	json_t *o = json_object();

	time_rfc3339(k->changed_us, since);
	time_rfc3339(k->created_us, created);
	set_text(o, "domain", k->domain);
	set_text(o, "selector", k->selector);
	set_text(o, "algorithm", k->algorithm);
	(void)json_object_set_new(o, "bits", json_integer(k->bits));
	(void)json_object_set_new(o, "state", json_string(states[k->state]));
	(void)json_object_set_new(o, "since", json_string(since));
	(void)json_object_set_new(o, "created_at", json_string(created));
	set_text(o, "name", arena_printf(a, "%.*s._domainkey.%.*s", SLICE_ARG(k->selector), SLICE_ARG(k->domain)));
	(void)json_object_set_new(o, "type", json_string("TXT"));
	set_text(o, "value", k->record);
	set_text(o, "record", zone_line(k, a));
	set_text(o, "next", next_step(v, k, a));
	return vault_row_text(o, a);
}

int
vault_on_dkim_list(struct vault *v, struct bus_peer *from, struct bus_vault_dkim_list_request *r, struct arena *a,
    struct bus_vault_dkim_list_reply *reply)
{
	struct vault *self VAULT_ACTIVE = vault_enter(v);
	struct listing l = {
	    .arena = a, .domain = r->domain, .after_domain = r->after_domain, .after_selector = r->after_selector};
	struct slice *out;
	int err = sql_read(v->db, list, &l);

	(void)from;
	out = ARENA_ARRAY(a, struct slice, l.n + 1);
	for (size_t i = 0; err == 0 && out != NULL && i < l.n; i++) {
		if (l.v[i].state < SECRET_DKIM_NEXT || l.v[i].state > SECRET_DKIM_RETIRED)
			return ERR_DAMAGED;
		out[i] = to_json(v, &l.v[i], a);
	}
	reply->json = (struct slice_list){out, l.n};
	return err != 0 ? err : arena_failed(a) ? ERR_NOMEM : 0;
}
