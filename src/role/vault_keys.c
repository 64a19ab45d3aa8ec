/* vault_keys.c: certificates and keys as files, and in memory. Keys leave this file only as EVP_PKEY. */
#include "role/vault_keys.h"

#include "base/log.h"
#include "role/vault_files.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define SELF_SIGNED_DAYS 3650
#define CERTIFICATES_MAX 1000

static void
free_bio(BIO **b)
{
	BIO_free(*b);
}
static void
free_x509(X509 **x)
{
	X509_free(*x);
}
static void
free_pkey(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
}
#define BIO_CLEANUP __attribute__((cleanup(free_bio)))
#define X509_CLEANUP __attribute__((cleanup(free_x509)))
#define PKEY_CLEANUP __attribute__((cleanup(free_pkey)))

/* ---- PEM ------------------------------------------------------------------------------------------------------- */

/* No passphrase is ever asked for on a terminal. */
static int
no_passphrase(char *out, int n, int writing, void *arg)
{
	(void)out;
	(void)n;
	(void)writing;
	(void)arg;
	return -1;
}

/* The first certificate and the first key of PEM text; each may be NULL. */
static void
parse_pem(struct slice pem, X509 **cert, EVP_PKEY **key)
{
	BIO *a BIO_CLEANUP = BIO_new_mem_buf(pem.p, (int)pem.n), *b BIO_CLEANUP = BIO_new_mem_buf(pem.p, (int)pem.n);

	ERR_clear_error();
	if (cert != NULL)
		*cert = a == NULL ? NULL : PEM_read_bio_X509(a, NULL, no_passphrase, NULL);
	if (key != NULL)
		*key = b == NULL ? NULL : PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL);
	ERR_clear_error();
}

static bool
key_is_usable(EVP_PKEY *k)
{
	int type = EVP_PKEY_get_base_id(k);

	if (type == EVP_PKEY_RSA)
		return EVP_PKEY_get_bits(k) >= 2048 && EVP_PKEY_get_bits(k) <= 8192;
	return type == EVP_PKEY_EC || type == EVP_PKEY_ED25519;
}

/* A sentence about a pair that does not fit, or NULL. */
static const char *
pair_fault(X509 *cert, EVP_PKEY *key)
{
	if (cert == NULL)
		return "has no certificate in PEM form";
	if (key == NULL)
		return "has no private key in PEM form without a passphrase";
	if (!key_is_usable(key))
		return "has a key that is neither RSA of 2048 to 8192 bits, nor EC, nor Ed25519";
	return X509_check_private_key(cert, key) == 1 ? NULL : "has a certificate that is not of its key";
}

/* Only the certificates of the text, written anew. */
static int
put_chain(struct slice pem, struct buf *out)
{
	BIO *in BIO_CLEANUP = BIO_new_mem_buf(pem.p, (int)pem.n), *made BIO_CLEANUP = BIO_new(BIO_s_mem());
	char *p = NULL;
	long n;

	if (in == NULL || made == NULL)
		return ERR_NOMEM;
	for (;;) {
		X509 *x X509_CLEANUP = PEM_read_bio_X509(in, NULL, no_passphrase, NULL);

		if (x == NULL)
			break;
		if (PEM_write_bio_X509(made, x) != 1)
			return ERR_NOMEM;
	}
	ERR_clear_error();
	n = BIO_get_mem_data(made, &p);
	buf_put(out, slice_of(p, (size_t)n));
	return out->err;
}

static int
put_key(EVP_PKEY *key, struct buf *out)
{
	BIO *made BIO_CLEANUP = BIO_new(BIO_s_secmem());
	char *p = NULL;
	long n;

	if (made == NULL || PEM_write_bio_PKCS8PrivateKey(made, key, NULL, NULL, 0, NULL, NULL) != 1)
		return ERR_NOMEM;
	n = BIO_get_mem_data(made, &p);
	buf_put(out, slice_of(p, (size_t)n));
	return out->err;
}

/* ---- import ---------------------------------------------------------------------------------------------------------- */

static int
pem_path(char out[VAULT_PATH_MAX], const char *data_dir, struct slice name)
{
	int n = snprintf(out, VAULT_PATH_MAX, "%s/secrets/tls/%.*s.pem", data_dir, SLICE_ARG(name));

	return n < 0 || n >= VAULT_PATH_MAX ? ERR_LIMIT : 0;
}

static int
make_dirs(const char *data_dir)
{
	char path[VAULT_PATH_MAX];
	int err;

	if (snprintf(path, sizeof(path), "%s/secrets", data_dir) >= (int)sizeof(path))
		return ERR_LIMIT;
	err = vault_make_dir(path);
	if (err == 0 && snprintf(path, sizeof(path), "%s/secrets/tls", data_dir) >= (int)sizeof(path))
		err = ERR_LIMIT;
	return err != 0 ? err : vault_make_dir(path);
}

/* A name becomes a file's: no slashes, no dots in front. "default" is the self-signed one's. */
static bool
name_is_safe(struct slice name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!ascii_is_alnum(slice_at(name, i)) &&
		    (i == 0 || strchr("._-", slice_at(name, i)) == NULL || slice_at(name, i) == 0))
			return false;
	return name.n > 0 && name.n <= 100;
}

static int
read_named(struct slice path, struct buf *out)
{
	char z[VAULT_PATH_MAX];
	int err = slice_to_z(path, z, sizeof(z));

	return err != 0 ? err : vault_file_read(z, out);
}

/* Certificate and key of one section, checked, as one PEM text. */
static int
read_pair(const struct tls_settings *t, struct buf *pem, struct buf *detail)
{
	struct buf cert_pem BUF_CLEANUP, key_pem VAULT_WIPE;
	X509 *cert X509_CLEANUP = NULL;
	EVP_PKEY *key PKEY_CLEANUP = NULL;
	const char *fault;
	int err;

	buf_init(&cert_pem, VAULT_FILE_MAX);
	buf_init(&key_pem, VAULT_FILE_MAX);
	err = read_named(t->certificate, &cert_pem);
	if (err != 0) {
		buf_printf(detail, "[tls %.*s]: cannot read the certificate %.*s: %s.", SLICE_ARG(t->name),
		    SLICE_ARG(t->certificate), err_text(err));
		return err;
	}
	err = read_named(t->key, &key_pem);
	if (err != 0) {
		buf_printf(detail, "[tls %.*s]: cannot read the key %.*s: %s.", SLICE_ARG(t->name), SLICE_ARG(t->key),
		    err_text(err));
		return err;
	}
	parse_pem(buf_slice(&cert_pem), &cert, NULL);
	parse_pem(buf_slice(&key_pem), NULL, &key);
	fault = pair_fault(cert, key);
	if (fault != NULL) {
		buf_printf(detail, "[tls %.*s] %s.", SLICE_ARG(t->name), fault);
		return ERR_INVALID;
	}
	err = put_key(key, pem);
	return err != 0 ? err : put_chain(buf_slice(&cert_pem), pem);
}

static int
import_one(struct house *h, const char *data_dir, const struct tls_settings *t, struct buf *detail)
{
	struct buf pem VAULT_WIPE, old VAULT_WIPE, why BUF_CLEANUP;
	char path[VAULT_PATH_MAX];
	int err;

	buf_init(&pem, 2 * VAULT_FILE_MAX);
	buf_init(&old, 2 * VAULT_FILE_MAX);
	buf_init(&why, 2048);
	if (!name_is_safe(t->name)) {
		buf_printf(detail, "[tls %.*s]: the name may have letters, digits and . _ - only.", SLICE_ARG(t->name));
		return ERR_INVALID;
	}
	err = pem_path(path, data_dir, t->name);
	if (err != 0)
		return err;
	err = vault_file_read(path, &old);
	if (err != 0 && err != ERR_NOTFOUND)
		return err;
	err = read_pair(t, &pem, &why);
	if (err != 0 && err != ERR_INVALID && old.n > 0) {
		LOG(h, WARN, "tls_import_skipped", LOG_S("name", t->name), LOG_S("detail", buf_slice(&why)));
		return 0; /* the copy in secrets/ goes on */
	}
	if (err != 0) {
		buf_put(detail, buf_slice(&why));
		return err;
	}
	if (slice_eq(buf_slice(&pem), buf_slice(&old)))
		return 0;
	LOG(h, INFO, "tls_imported", LOG_S("name", t->name));
	return vault_file_write(path, buf_slice(&pem));
}

int
vault_keys_import(struct house *h, const char *data_dir, const struct settings *s, struct buf *detail)
{
	int err = make_dirs(data_dir);

	for (size_t i = 0; err == 0 && i < s->tls_count; i++)
		err = import_one(h, data_dir, &s->tls[i], detail);
	if (err != 0 && detail->n == 0)
		buf_printf(detail, "cannot write to %s/secrets/tls: %s.", data_dir, err_text(err));
	return err;
}

/* ---- a self-signed certificate ------------------------------------------------------------------------------------------- */

static bool
add_extension(X509 *x, int nid, const char *value)
{
	X509V3_CTX c;
	X509_EXTENSION *e;
	bool good;

	X509V3_set_ctx_nodb(&c);
	X509V3_set_ctx(&c, x, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &c, nid, value);
	good = e != NULL && X509_add_ext(x, e, -1) == 1;
	X509_EXTENSION_free(e);
	return good;
}

/* RFC 5280 §4.1. */
static bool
fill_certificate(struct house *h, X509 *x, EVP_PKEY *key, const char *hostname)
{
	int64_t now = house_now_s(h);
	X509_NAME *name = X509_get_subject_name(x);
	char alt[512];

	(void)snprintf(alt, sizeof(alt), "DNS:%s", hostname);
	return X509_set_version(x, X509_VERSION_3) == 1 &&
	    ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), house_random_u64(h) >> 1 | 1) == 1 &&
	    ASN1_TIME_set(X509_getm_notBefore(x), (time_t)(now - 86400)) != NULL &&
	    ASN1_TIME_set(X509_getm_notAfter(x), (time_t)(now + (int64_t)SELF_SIGNED_DAYS * 86400)) != NULL &&
	    X509_set_pubkey(x, key) == 1 &&
	    X509_NAME_add_entry_by_txt(
		name, "CN", MBSTRING_UTF8, (const uint8_t *)hostname, (int)strnlen(hostname, 64), -1, 0) == 1 &&
	    X509_set_issuer_name(x, name) == 1 && add_extension(x, NID_subject_alt_name, alt) &&
	    add_extension(x, NID_basic_constraints, "critical,CA:FALSE") &&
	    add_extension(x, NID_ext_key_usage, "serverAuth") && X509_sign(x, key, EVP_sha256()) > 0;
}

static bool
hostname_is_plain(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_alnum(slice_at(s, i)) && slice_at(s, i) != '.' && slice_at(s, i) != '-')
			return false;
	return s.n > 0 && s.n < 254;
}

static int
make_self_signed(struct house *h, struct slice hostname, const char *path)
{
	EVP_PKEY *key PKEY_CLEANUP = EVP_EC_gen("P-256");
	X509 *x X509_CLEANUP = X509_new();
	struct buf pem VAULT_WIPE;
	BIO *made BIO_CLEANUP = BIO_new(BIO_s_mem());
	char host[256], *p = NULL;
	long n;
	int err;

	buf_init(&pem, VAULT_FILE_MAX);
	err = slice_to_z(hostname_is_plain(hostname) ? hostname : SLICE("localhost"), host, sizeof(host));
	if (err != 0)
		return err;
	if (key == NULL || x == NULL || made == NULL || !fill_certificate(h, x, key, host) ||
	    PEM_write_bio_X509(made, x) != 1)
		return ERR_TLS;
	err = put_key(key, &pem);
	if (err != 0)
		return err;
	n = BIO_get_mem_data(made, &p);
	buf_put(&pem, slice_of(p, (size_t)n));
	return pem.err != 0 ? pem.err : vault_file_write(path, buf_slice(&pem));
}

/* ---- loading ------------------------------------------------------------------------------------------------------------------ */

static void
put_name(struct buf *out, struct slice name)
{
	if (name.n == 0 || slice_find_byte(name, ' ') != SLICE_NONE || !slice_is_ascii(name) ||
	    slice_find_byte(name, 0) != SLICE_NONE)
		return;
	if (out->n > 0)
		buf_put_u8(out, ' ');
	for (size_t i = 0; i < name.n; i++)
		buf_put_u8(out, ascii_lower(slice_at(name, i)));
}

/* The dNSNames of the leaf (RFC 6125 §6.4.4: the common name only counts without any). */
static void
put_certificate_names(X509 *x, struct buf *out)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	char cn[256];
	int n;

	for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);

		if (g->type == GEN_DNS)
			put_name(out,
			    slice_of(ASN1_STRING_get0_data(g->d.dNSName), (size_t)ASN1_STRING_length(g->d.dNSName)));
	}
	GENERAL_NAMES_free(names);
	if (out->n > 0)
		return;
	n = X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, cn, sizeof(cn));
	if (n > 0)
		put_name(out, slice_of(cn, (size_t)n));
}

static int
key_id(EVP_PKEY *key, uint8_t id[VAULT_KEY_ID_BYTES])
{
	uint8_t *der = NULL, digest[32];
	int n = i2d_PUBKEY(key, &der);

	if (n <= 0 || EVP_Digest(der, (size_t)n, digest, NULL, EVP_sha256(), NULL) != 1) {
		OPENSSL_free(der);
		return ERR_NOMEM;
	}
	OPENSSL_free(der);
	memcpy(id, digest, VAULT_KEY_ID_BYTES);
	return 0;
}

static int64_t
expiry(X509 *x)
{
	struct tm tm = {0};
	struct civil_time c;

	if (ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) != 1)
		return 0;
	c = (struct civil_time){.year = tm.tm_year + 1900,
	    .month = tm.tm_mon + 1,
	    .day = tm.tm_mday,
	    .hour = tm.tm_hour,
	    .minute = tm.tm_min,
	    .second = tm.tm_sec};
	return time_from_civil(&c);
}

/* Reads one PEM file into *out. */
static int
load_file(struct vault_keys *k, const char *path, struct slice_list names, struct vault_key *out)
{
	struct buf pem VAULT_WIPE, text BUF_CLEANUP;
	X509 *cert X509_CLEANUP = NULL;
	int err;

	buf_init(&pem, 2 * VAULT_FILE_MAX);
	buf_init(&text, VAULT_FILE_MAX);
	err = vault_file_read(path, &pem);
	if (err != 0)
		return err;
	parse_pem(buf_slice(&pem), &cert, &out->pkey);
	if (pair_fault(cert, out->pkey) != NULL)
		return ERR_DAMAGED;
	for (size_t i = 0; i < names.n; i++)
		put_name(&text, names.v[i]);
	if (names.n == 0)
		put_certificate_names(cert, &text);
	out->names = arena_copy(&k->arena, buf_slice(&text));
	buf_reset(&text);
	err = put_chain(buf_slice(&pem), &text);
	out->chain_pem = arena_copy(&k->arena, buf_slice(&text));
	out->expires_s = expiry(cert);
	if (err == 0)
		err = key_id(out->pkey, out->id);
	return err != 0 ? err : arena_failed(&k->arena) ? ERR_NOMEM : 0;
}

static void
drop_key(struct vault_key *key)
{
	EVP_PKEY_free(key->pkey);
	key->pkey = NULL;
}

/* The default certificate; a new one when there is none, it cannot be read, is of another host, or ends within 30 days. */
static int
load_self_signed(struct vault_keys *k, struct house *h, const char *data_dir, struct slice hostname)
{
	struct slice host = hostname_is_plain(hostname) ? hostname : SLICE("localhost");
	char path[VAULT_PATH_MAX];
	int err = pem_path(path, data_dir, SLICE("default"));

	if (err == 0)
		err = load_file(k, path, (struct slice_list){0}, &k->v[0]);
	if (err == 0 && slice_ieq(k->v[0].names, host) && k->v[0].expires_s > house_now_s(h) + INT64_C(30) * 86400)
		return 0;
	if (err != 0 && err != ERR_NOTFOUND && err != ERR_DAMAGED)
		return err;
	drop_key(&k->v[0]);
	LOG(h, INFO, "tls_self_signed", LOG_S("hostname", host));
	err = make_self_signed(h, host, path);
	return err != 0 ? err : load_file(k, path, (struct slice_list){0}, &k->v[0]);
}

int
vault_keys_load(
    struct vault_keys **out, struct house *h, const char *data_dir, const struct settings *s, struct buf *detail)
{
	struct vault_keys *k = calloc(1, sizeof(*k));
	char path[VAULT_PATH_MAX];
	int err = k == NULL ? ERR_NOMEM : 0;

	*out = NULL;
	if (err == 0 && s->tls_count > CERTIFICATES_MAX)
		err = ERR_LIMIT;
	if (err == 0) {
		arena_init(&k->arena, 256 << 20);
		k->n = s->tls_count > 0 ? s->tls_count : 1;
		k->v = ARENA_ARRAY(&k->arena, struct vault_key, k->n);
		err = k->v == NULL ? ERR_NOMEM : make_dirs(data_dir);
	}
	if (err == 0 && s->tls_count == 0)
		err = load_self_signed(k, h, data_dir, s->hostname);
	for (size_t i = 0; err == 0 && i < s->tls_count; i++) {
		err = name_is_safe(s->tls[i].name) ? pem_path(path, data_dir, s->tls[i].name) : ERR_INVALID;
		if (err == 0)
			err = load_file(k, path, s->tls[i].names, &k->v[i]);
		if (err == 0 && k->v[i].expires_s < house_now_s(h))
			LOG(h, WARN, "tls_certificate_expired", LOG_S("name", s->tls[i].name));
	}
	if (err != 0) {
		buf_printf(detail, "cannot load the certificates in %s/secrets/tls: %s.", data_dir, err_text(err));
		vault_keys_free(&k);
	}
	*out = k;
	return err;
}

void
vault_keys_free(struct vault_keys **kp)
{
	struct vault_keys *k = *kp;

	*kp = NULL;
	if (k == NULL)
		return;
	for (size_t i = 0; k->v != NULL && i < k->n; i++)
		drop_key(&k->v[i]);
	arena_free(&k->arena);
	free(k);
}

const struct vault_key *
vault_keys_find(const struct vault_keys *k, struct slice id)
{
	for (size_t i = 0; i < k->n; i++)
		if (slice_eq(slice_of(k->v[i].id, VAULT_KEY_ID_BYTES), id))
			return &k->v[i];
	return NULL;
}
