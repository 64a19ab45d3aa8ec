/* vault_certificate.c: certificates of users in place of passwords (SASL EXTERNAL). The porch has read the certificate and has seen
 * in the handshake that the client has its key; here is known whose it is. The only certificates that are parsed here are the
 * operator's: those that are bound to an account, and the authorities that vouch for addresses.
 *
 * The authorities' file is copied into secrets/ before the sandbox closes, as certificates of the house are. */
#include "role/vault_private.h"

#include "base/log.h"
#include "directory/secret_certificate.h"
#include "role/vault_files.h"

#include <jansson.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#define SUBJECT_BYTES_MAX 200u
#define CA_BYTES_MAX ((size_t)256 << 10)

struct certificate_call {
	struct house *house;
	struct arena *arena;
	struct slice client;
	struct secret_certificate one;
	struct secret_certificate *v;
	size_t n;
};

static void
free_x509(X509 **x)
{
	X509_free(*x);
}
#define X509_FREE __attribute__((cleanup(free_x509)))

static void
free_bio(BIO **b)
{
	BIO_free(*b);
}
#define BIO_FREE __attribute__((cleanup(free_bio)))

static int
no_passphrase(char *buf, int size, int writing, void *arg)
{
	(void)buf, (void)size, (void)writing, (void)arg;
	return 0;
}

/* The first certificate of PEM text, or NULL. */
static X509 *
parse_first(struct slice pem)
{
	BIO *b BIO_FREE = pem.n == 0 || pem.n > CA_BYTES_MAX ? NULL : BIO_new_mem_buf(pem.p, (int)pem.n);
	X509 *x = b == NULL ? NULL : PEM_read_bio_X509(b, NULL, no_passphrase, NULL);

	ERR_clear_error();
	return x;
}

/* ---- authorities ---------------------------------------------------------------------------------------------- */

static int
ca_path(char out[VAULT_PATH_MAX], const char *data_dir)
{
	return snprintf(out, VAULT_PATH_MAX, "%s/secrets/client-ca.pem", data_dir) >= VAULT_PATH_MAX ? ERR_LIMIT : 0;
}

static int
read_ca(struct slice path, struct buf *pem, struct buf *why)
{
	char z[VAULT_PATH_MAX];
	X509 *first X509_FREE = NULL;
	int err = slice_to_z(path, z, sizeof(z));

	if (err == 0)
		err = vault_file_read(z, pem);
	if (err != 0) {
		buf_printf(why, "client_ca: %.*s cannot be read: %s.", SLICE_ARG(path), err_text(err));
		return err;
	}
	first = parse_first(buf_slice(pem));
	if (first == NULL) {
		buf_printf(why, "client_ca: %.*s holds no certificate in PEM form.", SLICE_ARG(path));
		return ERR_INVALID;
	}
	return 0;
}

int
vault_client_ca_import(struct house *h, const char *data_dir, const struct settings *s, struct buf *detail)
{
	struct buf pem BUF_CLEANUP, old BUF_CLEANUP, why BUF_CLEANUP;
	char path[VAULT_PATH_MAX];
	int err = s->client_ca.n == 0 ? 0 : ca_path(path, data_dir);

	if (err != 0 || s->client_ca.n == 0)
		return err;
	buf_init(&pem, CA_BYTES_MAX);
	buf_init(&old, CA_BYTES_MAX);
	buf_init(&why, 2 * VAULT_PATH_MAX);
	(void)(vault_file_read(path, &old) == 0);
	err = read_ca(s->client_ca, &pem, &why);
	if (err != 0 && err != ERR_INVALID && old.n > 0) {
		LOG(h, WARN, "client_ca_import_skipped", LOG_S("detail", buf_slice(&why)));
		return 0; /* the copy in secrets/ goes on */
	}
	if (err != 0) {
		buf_put(detail, buf_slice(&why));
		return err;
	}
	return slice_eq(buf_slice(&pem), buf_slice(&old)) ? 0 : vault_file_write(path, buf_slice(&pem));
}

int
vault_client_ca_load(struct vault *v, const char *data_dir, const struct settings *s, struct buf *detail)
{
	struct buf pem;
	char path[VAULT_PATH_MAX];
	int err = ca_path(path, data_dir);

	buf_init(&pem, CA_BYTES_MAX);
	if (err == 0 && s->client_certificates && s->client_ca.n > 0)
		err = vault_file_read(path, &pem);
	if (err != 0) {
		buf_free(&pem);
		buf_printf(detail, "client_ca: the copy in %s/secrets cannot be read: %s.", data_dir, err_text(err));
		return err;
	}
	v->asks_clients = s->client_certificates;
	buf_free(&v->client_ca);
	v->client_ca = pem;
	return 0;
}

/* ---- signing in ------------------------------------------------------------------------------------------------ */

static int
find_tx(struct sqltx *tx, void *arg)
{
	struct certificate_call *c = arg;

	return secret_certificate_find(tx, c->arena, c->one.fingerprint, &c->v, &c->n);
}

static int
used_tx(struct sqltx *tx, void *arg)
{
	struct certificate_call *c = arg;

	return secret_certificate_used(tx, c->house, c->one.account_id, c->one.fingerprint, c->client);
}

static void
note_use(struct vault *v, struct certificate_call *c, const struct secret_certificate *used)
{
	int err;

	if (!secret_certificate_use_is_news(v->house, used))
		return;
	c->one.account_id = used->account_id;
	err = sql_write(v->db, used_tx, c);
	if (err != 0)
		LOG(v->house, WARN, "certificate_use_not_recorded", LOG_E(err));
}

/* Whose it is: 0, ERR_DENIED or another error. */
static int
find_account(struct vault *v, const struct bus_vault_certificate_request *r, struct arena *a,
    struct bus_vault_certificate_reply *reply)
{
	struct certificate_call c = {
	    .house = v->house, .arena = a, .client = r->client, .one = {.fingerprint = r->fingerprint}};
	const struct secret_certificate *found = NULL;
	int err = r->fingerprint.n == SECRET_FINGERPRINT_BYTES ? sql_read(v->db, find_tx, &c) : ERR_DENIED;

	if (err != 0)
		return err;
	if (r->account_id.n == 0 && c.n == 1)
		found = &c.v[0];
	for (size_t i = 0; i < c.n && r->account_id.n > 0; i++)
		if (slice_eq(c.v[i].account_id, r->account_id))
			found = &c.v[i];
	if (found != NULL) {
		reply->account_id = found->account_id;
		reply->login = found->login;
		note_use(v, &c, found);
		return 0;
	}
	if (r->account_id.n == 0 || r->vouched != 1 || v->client_ca.n == 0)
		return ERR_DENIED;
	reply->account_id = r->account_id;
	return 0;
}

int
vault_on_certificate(struct vault *v, struct bus_peer *from, struct bus_vault_certificate_request *r, struct arena *a,
    struct bus_vault_certificate_reply *reply)
{
	struct vault *self VAULT_ACTIVE = vault_enter(v);
	struct braked_account *turn = NULL;
	uint64_t changes;
	int err = ERR_DENIED;

	(void)from;
	reply->result = VERIFY_BAD;
	if (v->asks_clients && r->account_id.n <= VAULT_ACCOUNT_ID_MAX) {
		err = vault_brake_enter(&v->brake, r->salt_id, r->client, &turn);
		changes = v->changes;
		if (err == 0)
			err = find_account(v, r, a, reply);
		vault_brake_leave(&v->brake, r->salt_id, r->client, &turn, err);
		if (err == 0 && changes != v->changes) /* it may have been taken away */
			err = ERR_BUSY;
	}
	if (err == 0)
		err = vault_give_ticket(v, reply->account_id, r->service, a, &reply->ticket);
	reply->result = vault_count_verified(v, err);
	return 0;
}

/* ---- what the operator does -------------------------------------------------------------------------------------- */

static int
add_tx(struct sqltx *tx, void *arg)
{
	struct certificate_call *c = arg;

	return secret_certificate_add(tx, c->house, c->arena, &c->one);
}

static int
list_tx(struct sqltx *tx, void *arg)
{
	struct certificate_call *c = arg;

	return secret_certificate_list(tx, c->arena, c->one.account_id, &c->v, &c->n);
}

static int
remove_tx(struct sqltx *tx, void *arg)
{
	struct certificate_call *c = arg;

	return secret_certificate_remove(tx, c->one.account_id, c->one.fingerprint);
}

static int64_t
expiry_us(const X509 *x)
{
	struct tm tm = {0};

	return ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) == 1 ? (int64_t)timegm(&tm) * 1000000 : 0;
}

static struct slice
subject_of(X509 *x, struct arena *a)
{
	BIO *b BIO_FREE = BIO_new(BIO_s_mem());
	char *p = NULL;
	long n = 0;

	if (b != NULL && X509_NAME_print_ex(b, X509_get_subject_name(x), 0, XN_FLAG_RFC2253) >= 0)
		n = BIO_get_mem_data(b, &p);
	ERR_clear_error();
	return arena_copy(a, slice_head(slice_of(p, n < 0 ? 0 : (size_t)n), SUBJECT_BYTES_MAX));
}

static struct slice
hex_of(struct slice bytes, struct arena *a)
{
	struct buf hex BUF_CLEANUP;

	buf_init(&hex, 2 * SECRET_FINGERPRINT_BYTES);
	buf_put_hex(&hex, bytes);
	return arena_copy(a, buf_slice(&hex));
}

static int
fill(struct certificate_call *c, struct slice pem, struct arena *a, struct slice *detail)
{
	X509 *x X509_FREE = parse_first(pem);
	uint8_t *digest = arena_alloc(a, SECRET_FINGERPRINT_BYTES);
	char when[RFC3339_MAX];
	unsigned n = 0;

	if (x == NULL) {
		*detail = SLICE("the file holds no certificate in PEM form (-----BEGIN CERTIFICATE-----).");
		return ERR_INVALID;
	}
	if (digest == NULL || X509_digest(x, EVP_sha256(), digest, &n) != 1 || n != SECRET_FINGERPRINT_BYTES)
		return ERR_NOMEM;
	c->one.fingerprint = slice_of(digest, n);
	c->one.subject = subject_of(x, a);
	c->one.expires_us = expiry_us(x);
	if (c->one.expires_us > house_now_us(c->house))
		return arena_failed(a) ? ERR_NOMEM : 0;
	time_rfc3339(c->one.expires_us, when);
	*detail = arena_printf(a, "the certificate has expired (%s).", when);
	return ERR_INVALID;
}

int
vault_on_certificate_add(struct vault *v, struct bus_peer *from, struct bus_vault_certificate_add_request *r,
    struct arena *a, struct bus_vault_certificate_add_reply *reply)
{
	struct vault *self VAULT_ACTIVE = vault_enter(v);
	struct certificate_call c = {
	    .house = v->house, .arena = a, .one = {.account_id = r->account_id, .login = r->login}};
	int err;

	(void)from;
	if (r->account_id.n == 0 || r->account_id.n > VAULT_ACCOUNT_ID_MAX)
		return ERR_INVALID;
	err = fill(&c, r->pem, a, &reply->detail);
	if (err == 0)
		err = sql_write(v->db, add_tx, &c);
	if (err == ERR_LIMIT)
		reply->detail = arena_printf(a,
		    "the account has %lld certificates, which is the limit: remove one first.",
		    (long long)v->house->limits.client_certificates);
	if (err == 0)
		reply->fingerprint = hex_of(c.one.fingerprint, a);
	return reply->detail.n > 0 || err == 0 ? 0 : err;
}

static struct slice
to_json(const struct secret_certificate *p, struct arena *a)
{
	char created[RFC3339_MAX], expires[RFC3339_MAX], used[RFC3339_MAX];
	struct slice hex = hex_of(p->fingerprint, a);
	json_t *o;

	time_rfc3339(p->created_us, created);
	time_rfc3339(p->expires_us, expires);
	time_rfc3339(p->last_used_us, used);
	o = json_pack("{s:s%,s:s%,s:s,s:s,s:o,s:s%}", "fingerprint", (const char *)hex.p, hex.n, "subject",
	    p->subject.n == 0 ? "" : (const char *)p->subject.p, p->subject.n, "expires_at", expires, "created_at",
	    created, "last_used_at", p->last_used_us == 0 ? json_null() : json_string(used), "last_used_by",
	    p->last_used_by.n == 0 ? "" : (const char *)p->last_used_by.p, p->last_used_by.n);
	return vault_row_text(o, a);
}

int
vault_on_certificate_list(struct vault *v, struct bus_peer *from, struct bus_vault_certificate_list_request *r,
    struct arena *a, struct bus_vault_certificate_list_reply *reply)
{
	struct vault *self VAULT_ACTIVE = vault_enter(v);
	struct certificate_call c = {.arena = a, .one = {.account_id = r->account_id}};
	struct slice *out;
	int err = sql_read(v->db, list_tx, &c);

	(void)from;
	if (err != 0)
		return err;
	out = ARENA_ARRAY(a, struct slice, c.n == 0 ? 1 : c.n);
	for (size_t i = 0; out != NULL && i < c.n; i++)
		out[i] = to_json(&c.v[i], a);
	reply->json = (struct slice_list){out, c.n};
	return arena_failed(a) ? ERR_NOMEM : 0;
}

/* Hexadecimal digits, with or without colons between: false if it is no fingerprint. */
static bool
parse_fingerprint(struct slice text, uint8_t out[SECRET_FINGERPRINT_BYTES])
{
	size_t digits = 0;

	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = ascii_lower(slice_at(text, i));
		uint8_t value = c >= '0' && c <= '9' ? (uint8_t)(c - '0') : (uint8_t)(c - 'a' + 10);

		if (c == ':')
			continue;
		if (value > 15 || digits == (size_t)2 * SECRET_FINGERPRINT_BYTES)
			return false;
		out[digits / 2] = (uint8_t)(digits % 2 == 0 ? value << 4 : out[digits / 2] | value);
		digits++;
	}
	return digits == (size_t)2 * SECRET_FINGERPRINT_BYTES;
}

int
vault_on_certificate_remove(struct vault *v, struct bus_peer *from, struct bus_vault_certificate_remove_request *r,
    struct arena *a, struct bus_vault_certificate_remove_reply *reply)
{
	struct vault *self VAULT_ACTIVE = vault_enter(v);
	uint8_t fingerprint[SECRET_FINGERPRINT_BYTES];
	struct certificate_call c = {
	    .one = {.account_id = r->account_id, .fingerprint = slice_of(fingerprint, sizeof(fingerprint))}};
	int err = parse_fingerprint(r->fingerprint, fingerprint) ? sql_write(v->db, remove_tx, &c) : ERR_NOTFOUND;

	(void)from;
	(void)a;
	reply->removed = err == 0;
	vault_credentials_changed(v, r->account_id);
	return err == ERR_NOTFOUND ? 0 : err;
}
