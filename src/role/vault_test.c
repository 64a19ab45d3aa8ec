/* The vault over real bus links: a porch, a gate, a desk and a clerk ask; what each may and may not. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "role/vault_private.h"

#include "base/log.h"
#include "role/vault_files.h"

#include <ftw.h>
#include <jansson.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <sys/stat.h>

static const enum bus_role askers[] = {ROLE_GATE, ROLE_PORCH, ROLE_DESK, ROLE_CLERK};

struct world {
	struct house house;
	struct loop *loop;
	struct settings settings;
	struct role_context context;
	struct bus *vault, *peers[COUNT_OF(askers)];
	struct arena arena;
	struct buf detail;
	char dir[64];
};

#define ALICE SLICE("01J00000000000000000000001")
#define BOB SLICE("01J00000000000000000000002")

static int
remove_path(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void
start_vault(struct world *w)
{
	int sv[2];

	assert_int_equal(bus_new(&w->vault, w->loop, ROLE_VAULT, 0), 0);
	w->context = (struct role_context){.house = &w->house,
	    .loop = w->loop,
	    .bus = w->vault,
	    .settings = &w->settings,
	    .role = ROLE_VAULT,
	    .desks = 1,
	    .data_dir = w->dir};
	assert_int_equal(role_vault_ops.warm(&w->context, &w->detail), 0);
	assert_int_equal(role_vault_ops.start(&w->context, &w->detail), 0);
	for (size_t i = 0; i < COUNT_OF(askers); i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
		assert_int_equal(bus_add_peer(w->vault, askers[i], 0, sv[0]), 0);
		assert_int_equal(bus_new(&w->peers[i], w->loop, askers[i], 0), 0);
		assert_int_equal(bus_add_peer(w->peers[i], ROLE_VAULT, 0, sv[1]), 0);
	}
}

static void
stop_vault(struct world *w)
{
	role_vault_ops.shutdown(&w->context, 5000);
	for (size_t i = 0; i < COUNT_OF(askers); i++)
		bus_free(&w->peers[i]);
	bus_free(&w->vault);
}

struct run {
	struct world *w;
	void (*fn)(struct world *w);
};

static void
run_fiber(void *arg)
{
	struct run *r = arg;

	start_vault(r->w);
	r->fn(r->w);
	stop_vault(r->w);
	loop_stop(r->w->loop);
}

static void
run(void (*fn)(struct world *w))
{
	struct world w = {0};
	struct run r = {&w, fn};

	house_init(&w.house, "vault");
	w.house.log_level = LOG_ERROR + 1;
	w.house.limits.argon2_memory_kib = 1024;
	w.house.limits.scram_iterations = 4096;
	w.settings.hostname = SLICE("Mail.example.test");
	buf_init(&w.detail, 4096);
	arena_init(&w.arena, 64 << 20);
	(void)snprintf(w.dir, sizeof(w.dir), "/tmp/ph-vault-XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	assert_int_equal(loop_new(&w.loop, &w.house), 0);
	assert_int_equal(fiber_start(w.loop, "test", run_fiber, &r, NULL), 0);
	loop_run(w.loop);
	loop_free(&w.loop);
	arena_free(&w.arena);
	buf_free(&w.detail);
	nftw(w.dir, remove_path, 8, FTW_DEPTH | FTW_PHYS);
}

static struct bus *
peer(struct world *w, enum bus_role role)
{
	for (size_t i = 0; i < COUNT_OF(askers); i++)
		if (askers[i] == role)
			return w->peers[i];
	return NULL;
}

#define ASK(w, role, name, reply, ...) \
	BUS_CALL(peer((w), (role)), ROLE_VAULT, 0, name, (&(struct bus_##name##_request){__VA_ARGS__}), &(w)->arena, \
	    (reply), 20000)

/* ---- passwords ------------------------------------------------------------------------------------------------- */

static int64_t
verify(struct world *w, struct slice id, struct slice password, struct slice *ticket)
{
	struct bus_vault_verify_reply r = {0};

	assert_int_equal(ASK(w, ROLE_PORCH, vault_verify, &r, .account_id = id, .password = password,
			     .service = SERVICE_IMAP, .client = SLICE("192.0.2.1")),
	    0);
	if (ticket != NULL)
		*ticket = r.ticket;
	assert_int_equal(r.ticket.n, r.result == VERIFY_OK ? VAULT_TICKET_BYTES : 0);
	return r.result;
}

static struct slice
set_password(struct world *w, struct slice id, struct slice password, struct slice hash)
{
	struct bus_vault_set_password_reply r = {0};

	assert_int_equal(
	    ASK(w, ROLE_CLERK, vault_set_password, &r, .account_id = id, .password = password, .hash = hash), 0);
	return r.detail;
}

static int
redeem(struct world *w, struct slice ticket)
{
	struct bus_vault_redeem_reply r = {0};
	int err = ASK(w, ROLE_DESK, vault_redeem, &r, .ticket = ticket);

	if (err == 0) {
		assert_true(slice_eq(r.account_id, ALICE));
		assert_int_equal(r.service, SERVICE_IMAP);
	}
	return err;
}

static void
passwords(struct world *w)
{
	struct vault *v = w->context.state;
	struct bus_vault_forget_reply none;
	struct slice ticket, second;
	char longer[2000] = {0};

	assert_int_equal(verify(w, ALICE, SLICE("secret"), NULL), VERIFY_BAD);
	assert_int_equal(set_password(w, ALICE, SLICE("secret"), SLICE_EMPTY).n, 0);
	assert_int_equal(verify(w, ALICE, SLICE("wrong"), NULL), VERIFY_BAD);
	assert_int_equal(verify(w, BOB, SLICE("secret"), NULL), VERIFY_BAD);
	assert_int_equal(verify(w, SLICE(""), SLICE("secret"), NULL), VERIFY_BAD);
	assert_int_equal(verify(w, ALICE, SLICE(""), NULL), VERIFY_BAD);
	assert_int_equal(verify(w, ALICE, slice_of(longer, sizeof(longer)), NULL), VERIFY_BAD);
	assert_int_equal(verify(w, ALICE, SLICE("secret"), &ticket), VERIFY_OK);
	assert_int_equal(v->remembered.map.n, 1);
	assert_int_equal(verify(w, ALICE, SLICE("secret"), &second), VERIFY_OK);
	assert_false(slice_eq(ticket, second));
	/* once only, and not a made-up one */
	assert_int_equal(redeem(w, ticket), 0);
	assert_int_equal(redeem(w, ticket), ERR_DENIED);
	assert_int_equal(redeem(w, SLICE("short")), ERR_DENIED);
	assert_int_equal(redeem(w, slice_of(longer, 32)), ERR_DENIED);
	/* nor by a desk whose account it is not, which does not leave it for later either */
	for (v->desks = 2; account_desk(ALICE, v->desks) == 0;)
		v->desks++;
	assert_int_equal(redeem(w, second), ERR_DENIED);
	v->desks = 1;
	assert_int_equal(redeem(w, second), ERR_DENIED);
	assert_int_equal(verify(w, ALICE, SLICE("secret"), &second), VERIFY_OK);
	/* a change ends what was remembered and what was not redeemed */
	assert_int_equal(set_password(w, ALICE, SLICE("other"), SLICE_EMPTY).n, 0);
	assert_int_equal(redeem(w, second), ERR_DENIED);
	assert_int_equal(v->remembered.map.n, 0);
	assert_int_equal(verify(w, ALICE, SLICE("secret"), NULL), VERIFY_BAD);
	assert_int_equal(verify(w, ALICE, SLICE("other"), NULL), VERIFY_OK);
	assert_int_equal(set_password(w, ALICE, SLICE_EMPTY, SLICE_EMPTY).n, 0);
	assert_int_equal(verify(w, ALICE, SLICE("other"), NULL), VERIFY_BAD);
	assert_true(set_password(w, ALICE, slice_of(longer, sizeof(longer)), SLICE_EMPTY).n > 0);
	assert_int_equal(set_password(w, ALICE, SLICE("again"), SLICE_EMPTY).n, 0);
	assert_int_equal(ASK(w, ROLE_CLERK, vault_forget, &none, .account_id = ALICE), 0);
	assert_int_equal(verify(w, ALICE, SLICE("again"), NULL), VERIFY_BAD);
}

static void
imports(struct world *w)
{
	struct vault *v = w->context.state;
	uint64_t writes = v->verified;

	assert_true(set_password(w, ALICE, SLICE_EMPTY, SLICE("{NOPE}x")).n > 0);
	assert_int_equal(verify(w, ALICE, SLICE("secret"), NULL), VERIFY_BAD);
	assert_int_equal(set_password(w, ALICE, SLICE_EMPTY, SLICE("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=")).n, 0);
	assert_int_equal(verify(w, ALICE, SLICE("wrong"), NULL), VERIFY_BAD);
	assert_int_equal(verify(w, ALICE, SLICE("secret"), NULL), VERIFY_OK); /* renewed now */
	vault_credentials_changed(v, ALICE);
	assert_int_equal(verify(w, ALICE, SLICE("secret"), NULL), VERIFY_OK);
	assert_int_equal(set_password(w, BOB, SLICE_EMPTY, SLICE("{PLAIN}plain")).n, 0);
	assert_int_equal(verify(w, BOB, SLICE("plain"), NULL), VERIFY_OK);
	assert_int_equal(v->verified, writes + 3);
}

static void
app_passwords(struct world *w)
{
	struct bus_vault_app_password_add_reply add = {0};
	struct bus_vault_app_password_list_reply list = {0};
	struct bus_vault_app_password_remove_reply gone = {0};
	struct slice text;
	json_t *o;
	char upper[64];

	assert_int_equal(ASK(w, ROLE_CLERK, vault_app_password_add, &add, .account_id = ALICE, .name = SLICE(" ")), 0);
	assert_true(add.detail.n > 0);
	assert_int_equal(
	    ASK(w, ROLE_CLERK, vault_app_password_add, &add, .account_id = ALICE, .name = SLICE("phone \"1\"")), 0);
	assert_int_equal(add.detail.n, 0);
	assert_int_equal(add.password.n, 29);
	text = add.password;
	assert_int_equal(verify(w, ALICE, text, NULL), VERIFY_OK);
	assert_int_equal(verify(w, BOB, text, NULL), VERIFY_BAD);
	for (size_t i = 0; i < text.n; i++)
		upper[i] = (char)ascii_upper(slice_at(text, i) == '-' ? ' ' : slice_at(text, i));
	assert_int_equal(verify(w, ALICE, slice_of(upper, text.n), NULL), VERIFY_OK);
	assert_int_equal(ASK(w, ROLE_CLERK, vault_app_password_list, &list, .account_id = ALICE), 0);
	assert_int_equal(list.json.n, 1);
	o = json_loadb((const char *)list.json.v[0].p, list.json.v[0].n, 0, NULL);
	assert_non_null(o);
	assert_string_equal(json_string_value(json_object_get(o, "name")), "phone \"1\"");
	assert_string_equal(json_string_value(json_object_get(o, "last_used_by")), "192.0.2.1");
	json_decref(o);
	w->house.limits.app_passwords = 1;
	assert_int_equal(
	    ASK(w, ROLE_CLERK, vault_app_password_add, &add, .account_id = ALICE, .name = SLICE("more")), 0);
	assert_true(add.detail.n > 0);
	assert_int_equal(ASK(w, ROLE_CLERK, vault_app_password_remove, &gone, .account_id = BOB, .id = add.id), 0);
	assert_int_equal(gone.removed, 0);
	assert_int_equal(ASK(w, ROLE_CLERK, vault_app_password_list, &list, .account_id = ALICE), 0);
	o = json_loadb((const char *)list.json.v[0].p, list.json.v[0].n, 0, NULL);
	assert_int_equal(ASK(w, ROLE_CLERK, vault_app_password_remove, &gone, .account_id = ALICE,
			     .id = slice_z(json_string_value(json_object_get(o, "id")))),
	    0);
	json_decref(o);
	assert_int_equal(gone.removed, 1);
	assert_int_equal(verify(w, ALICE, text, NULL), VERIFY_BAD);
}

/* ---- SCRAM ------------------------------------------------------------------------------------------------------ */

/* What a client of SCRAM would send: the proof of a password, with what the vault said. */
static void
make_proof(enum scram_hash kind, struct slice password, const struct bus_vault_scram_begin_reply *b,
    struct slice message, uint8_t proof[32])
{
	const struct scram_kind *k = &scram_kinds[kind];
	const EVP_MD *md = EVP_get_digestbyname(k->md);
	uint8_t salted[32], stored[32], signature[32];

	assert_int_equal(PKCS5_PBKDF2_HMAC((const char *)password.p, (int)password.n, b->salt.p, (int)b->salt.n,
			     (int)b->iterations, md, (int)k->n, salted),
	    1);
	HMAC(md, salted, (int)k->n, (const uint8_t *)"Client Key", 10, proof, NULL);
	EVP_Digest(proof, k->n, stored, NULL, md, NULL);
	HMAC(md, stored, (int)k->n, message.p, message.n, signature, NULL);
	for (size_t i = 0; i < k->n; i++)
		proof[i] ^= signature[i];
}

static struct bus_vault_scram_begin_reply
scram_begin(struct world *w, enum scram_hash kind, struct slice account_id, struct slice salt_id)
{
	struct bus_vault_scram_begin_reply r = {0};

	assert_int_equal(
	    ASK(w, ROLE_PORCH, vault_scram_begin, &r, .account_id = account_id, .salt_id = salt_id, .hash = kind), 0);
	return r;
}

static struct bus_vault_scram_prove_reply
scram_send(struct world *w, enum scram_hash kind, struct slice id, struct slice nonce, struct slice message,
    const uint8_t proof[32])
{
	struct bus_vault_scram_prove_reply r = {0};

	assert_int_equal(ASK(w, ROLE_PORCH, vault_scram_prove, &r, .account_id = id, .hash = kind, .nonce = nonce,
			     .auth_message = message, .proof = slice_of(proof, scram_kinds[kind].n),
			     .service = SERVICE_IMAP, .client = SLICE("192.0.2.1")),
	    0);
	assert_int_equal(r.ticket.n, r.result == VERIFY_OK ? VAULT_TICKET_BYTES : 0);
	assert_int_equal(r.signature.n, r.result == VERIFY_OK ? scram_kinds[kind].n : 0);
	return r;
}

/* A whole sign-in: enum vault_verify_result. */
static int64_t
scram(struct world *w, enum scram_hash kind, struct slice id, struct slice password)
{
	struct bus_vault_scram_begin_reply b = scram_begin(w, kind, id, id);
	struct slice message = arena_printf(&w->arena, "n=x,r=c,r=c%.*s,s=,i=,c=biws,r=", SLICE_ARG(b.nonce));
	uint8_t proof[32];

	make_proof(kind, password, &b, message, proof);
	return scram_send(w, kind, id, b.nonce, message, proof).result;
}

static void
scram_nonces(struct world *w)
{
	struct bus_vault_scram_begin_reply b = scram_begin(w, SCRAM_SHA_256, ALICE, ALICE);
	struct slice message = arena_printf(&w->arena, "x%.*sx", SLICE_ARG(b.nonce)), ticket, other;
	uint8_t proof[32];

	make_proof(SCRAM_SHA_256, SLICE("secret"), &b, message, proof);
	/* A proof counts once, for its account and hash, with the nonce that it was made for. */
	other = scram_begin(w, SCRAM_SHA_256, ALICE, ALICE).nonce;
	assert_int_equal(scram_send(w, SCRAM_SHA_256, ALICE, other, message, proof).result, VERIFY_BAD);
	assert_int_equal(scram_send(w, SCRAM_SHA_256, BOB, b.nonce, message, proof).result, VERIFY_BAD);
	assert_int_equal(scram_send(w, SCRAM_SHA_1, ALICE, b.nonce, message, proof).result, VERIFY_BAD);
	assert_int_equal(scram_send(w, SCRAM_SHA_256, ALICE, SLICE("AAAA"), message, proof).result, VERIFY_BAD);
	assert_int_equal(scram_send(w, SCRAM_SHA_256, ALICE, SLICE(""), message, proof).result, VERIFY_BAD);
	ticket = scram_send(w, SCRAM_SHA_256, ALICE, b.nonce, message, proof).ticket;
	assert_int_equal(redeem(w, ticket), 0);
	assert_int_equal(scram_send(w, SCRAM_SHA_256, ALICE, b.nonce, message, proof).result, VERIFY_BAD);
}

static void
scrams(struct world *w)
{
	struct bus_vault_app_password_add_reply add = {0};
	struct bus_vault_scram_begin_reply real, nobody, again;

	assert_int_equal(set_password(w, ALICE, SLICE("secret"), SLICE_EMPTY).n, 0);
	for (enum scram_hash kind = 0; kind < SCRAM_KINDS; kind++) {
		assert_int_equal(scram(w, kind, ALICE, SLICE("secret")), VERIFY_OK);
		assert_int_equal(scram(w, kind, ALICE, SLICE("wrong")), VERIFY_BAD);
		assert_int_equal(scram(w, kind, BOB, SLICE("secret")), VERIFY_BAD);
	}
	scram_nonces(w);
	/* nobody's salt is like anybody's: steady, its own, of one length */
	real = scram_begin(w, SCRAM_SHA_256, ALICE, ALICE);
	nobody = scram_begin(w, SCRAM_SHA_256, SLICE("="), SLICE("nobody@example.test"));
	again = scram_begin(w, SCRAM_SHA_256, SLICE("="), SLICE("nobody@example.test"));
	assert_true(slice_eq(nobody.salt, again.salt) && nobody.salt.n == real.salt.n);
	assert_int_equal(nobody.iterations, real.iterations);
	assert_false(slice_eq(nobody.salt, real.salt));
	assert_false(slice_eq(nobody.salt, scram_begin(w, SCRAM_SHA_1, SLICE("="), SLICE("nobody@example.test")).salt));
	/* app passwords are tried too, and outlive a change of the password */
	assert_int_equal(
	    ASK(w, ROLE_CLERK, vault_app_password_add, &add, .account_id = ALICE, .name = SLICE("phone")), 0);
	assert_int_equal(scram(w, SCRAM_SHA_256, ALICE, add.password), VERIFY_OK);
	assert_int_equal(set_password(w, ALICE, SLICE("other"), SLICE_EMPTY).n, 0);
	assert_int_equal(scram(w, SCRAM_SHA_1, ALICE, add.password), VERIFY_OK);
	assert_int_equal(scram(w, SCRAM_SHA_256, ALICE, SLICE("secret")), VERIFY_BAD);
	assert_int_equal(scram(w, SCRAM_SHA_256, ALICE, SLICE("other")), VERIFY_OK);
	/* more iterations: with the next password that is sent; the app password follows likewise */
	w->house.limits.scram_iterations = 5000;
	vault_credentials_changed(w->context.state, ALICE);
	assert_int_equal(scram_begin(w, SCRAM_SHA_256, ALICE, ALICE).iterations, 4096);
	assert_int_equal(verify(w, ALICE, SLICE("other"), NULL), VERIFY_OK);
	assert_int_equal(scram_begin(w, SCRAM_SHA_256, ALICE, ALICE).iterations, 5000);
	assert_int_equal(scram(w, SCRAM_SHA_256, ALICE, SLICE("other")), VERIFY_OK);
	assert_int_equal(scram(w, SCRAM_SHA_256, ALICE, add.password), VERIFY_BAD);
	assert_int_equal(verify(w, ALICE, add.password, NULL), VERIFY_OK);
	assert_int_equal(scram(w, SCRAM_SHA_256, ALICE, add.password), VERIFY_OK);
	/* an imported hash of another kind has no keys before a password was sent; SCRAM's own works at once */
	assert_int_equal(set_password(w, BOB, SLICE_EMPTY, SLICE("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=")).n, 0);
	assert_int_equal(scram(w, SCRAM_SHA_1, BOB, SLICE("secret")), VERIFY_BAD);
	assert_int_equal(verify(w, BOB, SLICE("secret"), NULL), VERIFY_OK);
	assert_int_equal(scram(w, SCRAM_SHA_1, BOB, SLICE("secret")), VERIFY_OK);
	assert_int_equal(
	    set_password(w, BOB, SLICE_EMPTY,
		SLICE("{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE="))
		.n,
	    0);
	assert_int_equal(scram(w, SCRAM_SHA_1, BOB, SLICE("pencil")), VERIFY_OK);
}

/* ---- keys -------------------------------------------------------------------------------------------------------------- */

static int
sign(struct world *w, enum bus_role role, struct slice id, enum tls_sign_kind kind, struct slice input,
    struct slice *out)
{
	struct bus_vault_sign_reply r = {0};
	int err = ASK(w, role, vault_sign, &r, .key_id = id, .kind = kind, .input = input);

	if (out != NULL)
		*out = r.signature;
	return err;
}

static EVP_PKEY *
public_key(struct slice chain_pem)
{
	BIO *b = BIO_new_mem_buf(chain_pem.p, (int)chain_pem.n);
	X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
	EVP_PKEY *k = X509_get_pubkey(x);

	assert_non_null(k);
	X509_free(x);
	BIO_free(b);
	return k;
}

static bool
signature_is_good(EVP_PKEY *k, int padding, struct slice signature, struct slice digest)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(k, NULL);
	bool good = EVP_PKEY_verify_init(c) == 1;

	if (padding != 0)
		good = good && EVP_PKEY_CTX_set_rsa_padding(c, padding) == 1 &&
		    EVP_PKEY_CTX_set_signature_md(c, EVP_sha256()) == 1;
	good = good && EVP_PKEY_verify(c, signature.p, signature.n, digest.p, digest.n) == 1;
	EVP_PKEY_CTX_free(c);
	return good;
}

static void
self_signed(struct world *w)
{
	struct bus_vault_certificates_reply c = {0}, again = {0}, gate = {0};
	struct slice digest = SLICE("0123456789abcdef0123456789abcdef"), signature;
	EVP_PKEY *k;

	assert_int_equal(ASK(w, ROLE_PORCH, vault_certificates, &c), 0);
	assert_int_equal(c.names.n, 1);
	assert_true(slice_eq(c.names.v[0], SLICE("mail.example.test")));
	assert_int_equal(c.ticket_keys.n, 1);
	assert_int_equal(c.ticket_keys.v[0].n, 80);
	assert_true(slice_find(c.chains_pem.v[0], SLICE("PRIVATE")) == SLICE_NONE);
	k = public_key(c.chains_pem.v[0]);
	assert_int_equal(sign(w, ROLE_PORCH, c.key_ids.v[0], TLS_SIGN_ECDSA, digest, &signature), 0);
	assert_true(signature_is_good(k, 0, signature, digest));
	EVP_PKEY_free(k);
	assert_int_equal(sign(w, ROLE_GATE, c.key_ids.v[0], TLS_SIGN_ECDSA, slice_head(digest, 20), NULL), ERR_DENIED);
	assert_int_equal(sign(w, ROLE_GATE, c.key_ids.v[0], TLS_SIGN_ECDSA, SLICE_EMPTY, NULL), ERR_DENIED);
	assert_int_equal(sign(w, ROLE_GATE, c.key_ids.v[0], TLS_SIGN_RSA_PKCS1, digest, NULL), ERR_DENIED);
	assert_int_equal(sign(w, ROLE_GATE, c.key_ids.v[0], (enum tls_sign_kind)99, digest, NULL), ERR_DENIED);
	assert_int_equal(sign(w, ROLE_GATE, SLICE("nothing"), TLS_SIGN_ECDSA, digest, NULL), ERR_NOTFOUND);
	/* ticket keys: per role, rotated by the house's clock, two old ones kept */
	assert_int_equal(ASK(w, ROLE_GATE, vault_certificates, &gate), 0);
	assert_false(slice_eq(gate.ticket_keys.v[0], c.ticket_keys.v[0]));
	for (int i = 0; i < 4; i++) {
		house_clock_advance(&w->house, INT64_C(13) * 3600 * 1000000);
		assert_int_equal(ASK(w, ROLE_PORCH, vault_certificates, &again), 0);
		if (i == 0)
			assert_true(slice_eq(again.ticket_keys.v[1], c.ticket_keys.v[0]));
	}
	assert_int_equal(again.ticket_keys.n, 3);
	/* the certificate stays over a restart */
	stop_vault(w);
	start_vault(w);
	assert_int_equal(ASK(w, ROLE_PORCH, vault_certificates, &again), 0);
	assert_true(slice_eq(again.key_ids.v[0], c.key_ids.v[0]));
}

static EVP_PKEY *
write_rsa_pair(const char *key_path, const char *cert_path)
{
	EVP_PKEY *k = EVP_RSA_gen(2048);
	X509 *x = X509_new();
	FILE *f;

	assert_non_null(k);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_NAME_add_entry_by_txt(
	    X509_get_subject_name(x), "CN", MBSTRING_ASC, (const uint8_t *)"RSA.example.test", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, k);
	assert_true(X509_sign(x, k, EVP_sha256()) > 0);
	f = fopen(cert_path, "w");
	assert_int_equal(PEM_write_X509(f, x), 1);
	fclose(f);
	f = fopen(key_path, "w");
	assert_int_equal(PEM_write_PrivateKey(f, k, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
	X509_free(x);
	return k;
}

/* The encoded block of a PSS signature, as a TLS stack hands it over: what a signature is the private power of. */
static void
pss_block(EVP_PKEY *k, struct slice digest, uint8_t block[256])
{
	EVP_PKEY_CTX *s = EVP_PKEY_CTX_new(k, NULL), *r = EVP_PKEY_CTX_new(k, NULL);
	uint8_t signature[256];
	size_t n = sizeof(signature), block_n = 256;

	assert_int_equal(EVP_PKEY_sign_init(s), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(s, RSA_PKCS1_PSS_PADDING), 1);
	assert_int_equal(EVP_PKEY_CTX_set_signature_md(s, EVP_sha256()), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(s, RSA_PSS_SALTLEN_DIGEST), 1);
	assert_int_equal(EVP_PKEY_sign(s, signature, &n, digest.p, digest.n), 1);
	assert_int_equal(EVP_PKEY_verify_recover_init(r), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(r, RSA_NO_PADDING), 1);
	assert_int_equal(EVP_PKEY_verify_recover(r, block, &block_n, signature, n), 1);
	EVP_PKEY_CTX_free(s);
	EVP_PKEY_CTX_free(r);
}

static void
configured(struct world *w)
{
	char key_path[128], cert_path[128];
	struct tls_settings t = {.name = SLICE("main")};
	struct settings fresh = {.hostname = SLICE("mail.example.test"), .tls = &t, .tls_count = 1};
	struct bus_vault_certificates_reply c = {0};
	uint8_t block[256], info[51];
	static const uint8_t prefix[19] =
	    "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
	struct slice digest = SLICE("0123456789abcdef0123456789abcdef"), signature;
	EVP_PKEY *k, *private;

	(void)snprintf(key_path, sizeof(key_path), "%s/k.pem", w->dir);
	(void)snprintf(cert_path, sizeof(cert_path), "%s/c.pem", w->dir);
	t.key = slice_z(key_path);
	t.certificate = slice_z(cert_path);
	assert_true(role_vault_ops.reload(&w->context, &fresh, &w->detail) < 0); /* nothing there: the old goes on */
	assert_true(w->detail.n > 0);
	assert_int_equal(ASK(w, ROLE_PORCH, vault_certificates, &c), 0);
	assert_true(slice_eq(c.names.v[0], SLICE("mail.example.test")));
	private = write_rsa_pair(key_path, cert_path);
	assert_int_equal(role_vault_ops.reload(&w->context, &fresh, &w->detail), 0);
	assert_int_equal(ASK(w, ROLE_PORCH, vault_certificates, &c), 0);
	assert_true(slice_eq(c.names.v[0], SLICE("rsa.example.test")));
	k = public_key(c.chains_pem.v[0]);
	memcpy(info, prefix, 19);
	memcpy(info + 19, digest.p, 32);
	assert_int_equal(sign(w, ROLE_PORCH, c.key_ids.v[0], TLS_SIGN_RSA_PKCS1, slice_of(info, 51), &signature), 0);
	assert_true(signature_is_good(k, RSA_PKCS1_PADDING, signature, digest));
	pss_block(private, digest, block);
	EVP_PKEY_free(private);
	assert_int_equal(sign(w, ROLE_PORCH, c.key_ids.v[0], TLS_SIGN_RSA_RAW, slice_of(block, 256), &signature), 0);
	assert_true(signature_is_good(k, RSA_PKCS1_PSS_PADDING, signature, digest));
	EVP_PKEY_free(k);
	/* a ciphertext, a torn block, a digest without its DigestInfo: no */
	block[100] ^= 1;
	assert_int_equal(sign(w, ROLE_PORCH, c.key_ids.v[0], TLS_SIGN_RSA_RAW, slice_of(block, 256), NULL), ERR_DENIED);
	memset(block, 0, sizeof(block));
	assert_int_equal(sign(w, ROLE_PORCH, c.key_ids.v[0], TLS_SIGN_RSA_RAW, slice_of(block, 256), NULL), ERR_DENIED);
	block[255] = 0xbc;
	assert_int_equal(sign(w, ROLE_PORCH, c.key_ids.v[0], TLS_SIGN_RSA_RAW, slice_of(block, 256), NULL), ERR_DENIED);
	assert_int_equal(sign(w, ROLE_PORCH, c.key_ids.v[0], TLS_SIGN_RSA_PKCS1, digest, NULL), ERR_DENIED);
	assert_int_equal(sign(w, ROLE_PORCH, c.key_ids.v[0], TLS_SIGN_ECDSA, digest, NULL), ERR_DENIED);
	/* the originals may go: the copy in secrets/ is enough */
	(void)unlink(key_path);
	assert_int_equal(role_vault_ops.reload(&w->context, &fresh, &w->detail), 0);
	t.name = SLICE("../evil");
	assert_true(role_vault_ops.reload(&w->context, &fresh, &w->detail) < 0);
}

/* ---- keys of DKIM ------------------------------------------------------------------------------------------------- */

static struct bus_vault_dkim_keys_reply
dkim_keys(struct world *w, struct slice domain, bool make)
{
	struct bus_vault_dkim_keys_reply r = {0};

	assert_int_equal(ASK(w, ROLE_CLERK, vault_dkim_keys, &r, .domain = domain, .make = make), 0);
	assert_int_equal(r.selectors.n, r.algorithms.n);
	return r;
}

static int
sign_for(struct world *w, struct slice domain, struct slice selector, struct slice hash)
{
	struct bus_vault_dkim_sign_reply r = {0};
	int err = ASK(w, ROLE_CLERK, vault_dkim_sign, &r, .domain = domain, .selectors = SLICE_LIST(selector),
	    .hashes = SLICE_LIST(hash));

	if (err == 0) {
		assert_int_equal(r.signatures.n, 1);
		assert_true(r.signatures.v[0].n == 64 || r.signatures.v[0].n == 256);
	}
	return err;
}

static void
dkim_change(struct world *w, struct slice domain, struct slice selector, int64_t change, bool good)
{
	struct bus_vault_dkim_change_reply r = {0};

	assert_int_equal(
	    ASK(w, ROLE_CLERK, vault_dkim_change, &r, .domain = domain, .selector = selector, .change = change), 0);
	assert_int_equal(r.detail.n == 0, good);
}

struct asking {
	struct world *w;
	int left;
};

static void
ask_for_first_keys(void *arg)
{
	struct asking *a = arg;

	assert_int_equal(dkim_keys(a->w, SLICE("at.once.test"), true).selectors.n, 2);
	a->left--;
}

static void
dkim(struct world *w)
{
	struct bus_vault_dkim_keys_reply keys;
	struct bus_vault_dkim_list_reply list = {0};
	struct bus_vault_dkim_add_reply add = {0};
	struct slice hash = SLICE("0123456789abcdef0123456789abcdef"), domain = SLICE("example.test");
	struct asking asking = {w, 3};

	/* nothing is made before it is wanted */
	assert_int_equal(dkim_keys(w, domain, false).selectors.n, 0);
	assert_int_equal(sign_for(w, domain, SLICE("x"), hash), ERR_NOTFOUND);
	keys = dkim_keys(w, domain, true);
	assert_int_equal(keys.selectors.n, 2);
	assert_true(slice_eq(keys.algorithms.v[0], SLICE("rsa-sha256")));
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(sign_for(w, domain, keys.selectors.v[i], hash), 0);
	/* only hashes, and with keys of that domain */
	assert_int_equal(sign_for(w, domain, keys.selectors.v[0], SLICE("short")), ERR_INVALID);
	assert_int_equal(sign_for(w, domain, SLICE("other"), hash), ERR_NOTFOUND);
	assert_int_equal(sign_for(w, SLICE("other.test"), keys.selectors.v[0], hash), ERR_NOTFOUND);
	/* several who need the first keys at once get the same */
	for (int i = 0; i < 3; i++)
		assert_int_equal(fiber_start(w->loop, "ask", ask_for_first_keys, &asking, NULL), 0);
	while (asking.left > 0)
		assert_int_equal(fiber_sleep(w->loop, 5), 0);
	assert_int_equal(ASK(w, ROLE_CLERK, vault_dkim_list, &list, .domain = SLICE("at.once.test")), 0);
	assert_int_equal(list.json.n, 2);
	assert_int_equal(ASK(w, ROLE_CLERK, vault_dkim_list, &list, .after_domain = SLICE("at.once.test"),
			     .after_selector = SLICE("zzz")),
	    0);
	assert_int_equal(list.json.n, 2);
	/* what is retired signs no more, and what is next not yet */
	dkim_change(w, domain, keys.selectors.v[0], DKIM_RETIRE, true);
	assert_int_equal(sign_for(w, domain, keys.selectors.v[0], hash), ERR_NOTFOUND);
	assert_int_equal(sign_for(w, domain, keys.selectors.v[1], hash), 0);
	assert_int_equal(ASK(w, ROLE_CLERK, vault_dkim_add, &add, .domain = domain, .selector = SLICE("coming"),
			     .algorithm = SLICE("ed25519-sha256"), .state = SLICE("next")),
	    0);
	assert_int_equal(add.detail.n, 0);
	assert_int_equal(sign_for(w, domain, SLICE("coming"), hash), ERR_NOTFOUND);
	dkim_change(w, domain, SLICE(""), DKIM_ACTIVATE, true);
	assert_int_equal(sign_for(w, domain, SLICE("coming"), hash), 0);
	assert_int_equal(sign_for(w, domain, keys.selectors.v[1], hash), ERR_NOTFOUND);
	dkim_change(w, domain, SLICE(""), DKIM_ACTIVATE, false);
	dkim_change(w, domain, SLICE("none"), DKIM_REMOVE, false);
	/* of more domains than are kept ready */
	w->house.limits.dkim_domains = 0;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(dkim_keys(w, domain, true).selectors.n, 1);
		assert_int_equal(dkim_keys(w, SLICE("at.once.test"), true).selectors.n, 2);
	}
	/* the limit of a domain */
	for (int i = 3; i < 9; i++)
		assert_int_equal(ASK(w, ROLE_CLERK, vault_dkim_add, &add, .domain = domain,
				     .selector = arena_printf(&w->arena, "k%d", i),
				     .algorithm = SLICE("ed25519-sha256"), .state = SLICE("active")),
		    0);
	assert_true(add.detail.n > 0);
	dkim_change(w, domain, SLICE(""), DKIM_FORGET, true);
	assert_int_equal(dkim_keys(w, domain, false).selectors.n, 0);
}

static void
test_dkim(void **state)
{
	(void)state;
	run(dkim);
}

static void
test_passwords(void **state)
{
	(void)state;
	run(passwords);
}
static void
test_imports(void **state)
{
	(void)state;
	run(imports);
}
static void
test_app_passwords(void **state)
{
	(void)state;
	run(app_passwords);
}
static void
test_scrams(void **state)
{
	(void)state;
	run(scrams);
}
static void
test_self_signed(void **state)
{
	(void)state;
	run(self_signed);
}
static void
test_configured(void **state)
{
	(void)state;
	run(configured);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_passwords),
	    cmocka_unit_test(test_imports),
	    cmocka_unit_test(test_app_passwords),
	    cmocka_unit_test(test_scrams),
	    cmocka_unit_test(test_self_signed),
	    cmocka_unit_test(test_configured),
	    cmocka_unit_test(test_dkim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
