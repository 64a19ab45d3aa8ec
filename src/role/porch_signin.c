/* porch_signin.c: from a name with a password, or with a proof of one, to the desk of the account. The clerk says whose name
 * it is, the vault whether the password or the proof is right; its ticket opens the desk's door. A name that nobody has
 * goes the same way, with an account that nobody is. */
#include "role/porch_private.h"

#include <errno.h>
#include <sys/socket.h>

#define ASK_MS 10000    /* the clerk's books */
#define VERIFY_MS 60000 /* the vault, with its queue of Argon2 */
#define DESK_MS 30000   /* the desk opens the account */
#define REPLY_BYTES_MAX 65536
#define NAME_BYTES_MAX 1000u

/* No account has this id (ids are letters, digits, '-' and '_'): for equal time. */
#define NOBODY SLICE("=")

/* Whose a name is. */
struct found {
	struct slice account_id; /* or NOBODY */
	struct slice salt_id;    /* of anybody */
};

static int
find_account(struct porch *p, struct slice name, struct arena *a, struct found *out)
{
	struct bus_clerk_login_request q = {.name = name};
	struct bus_clerk_login_reply rep = {0};
	int e;

	/* What cannot be a name is asked for all the same, as something harmless, for equal time. */
	if (name.n == 0 || name.n > NAME_BYTES_MAX || !slice_is_utf8(name, true))
		q.name = SLICE("=");
	e = bus_call_again(p->c->bus, ROLE_CLERK, 0, BUS_clerk_login, &q, a, &rep, ASK_MS);
	*out = (struct found){e == 0 && rep.found == 1 ? rep.account_id : NOBODY, rep.salt_id};
	return e;
}

/* The account that the request is for. */
static int
find_accounts(struct porch *p, const struct signin_request *r, struct arena *a, struct found *out)
{
	struct found other;
	int e = find_account(p, r->login, a, out);

	/* RFC 4616 §2, RFC 5802 §5.1: nobody acts for somebody else here. */
	if (e == 0 && r->authzid.n > 0) {
		e = find_account(p, r->authzid, a, &other);
		if (e == 0 && !slice_eq(other.account_id, out->account_id))
			out->account_id = NOBODY;
	}
	return e;
}

static int
error_of(int64_t result)
{
	return result == VERIFY_OK ? 0 : result == VERIFY_BUSY ? ERR_BUSY : ERR_DENIED;
}

/* 0 with a ticket, ERR_DENIED, ERR_BUSY or another error. */
static int
verify(struct porch *p, const struct signin_request *r, const struct found *who, struct arena *a, struct slice *ticket)
{
	struct bus_vault_verify_request q = {.account_id = who->account_id,
	    .salt_id = who->salt_id,
	    .password = r->password,
	    .service = r->service,
	    .client = r->client};
	struct bus_vault_verify_reply rep = {0};
	int e = bus_call_again(p->c->bus, ROLE_VAULT, 0, BUS_vault_verify, &q, a, &rep, VERIFY_MS);

	if (e != 0)
		return e;
	*ticket = rep.ticket;
	return error_of(rep.result);
}

/* Hands one end of a pair to the account's desk. */
static int
join_desk(struct porch_session *s, const struct signin_request *r, struct slice account_id, struct slice ticket,
    struct arena *a, struct stream **desk)
{
	struct porch *p = s->porch;
	struct bus_desk_session_request q = {.service = r->service,
	    .ticket = ticket,
	    .login = r->login,
	    .client = r->client,
	    .tls = r->tls,
	    .tag = r->tag,
	    .utf8 = r->utf8};
	struct bus_desk_session_reply rep = {0};
	int fds[2], e = r->service == SERVICE_IMAP ? porch_return_expect(s) : 0;

	if (e != 0)
		return e;
	q.session = s->number;
	s->desk_index = account_desk(account_id, p->c->desks);
	if (r->helo.n > 0 && slice_is_utf8(r->helo, true))
		q.helo = r->helo;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0)
		return err_from_errno(errno);
	q.socket = fds[1];
	e = BUS_CALL(p->c->bus, ROLE_DESK, s->desk_index, desk_session, &q, a, &rep, DESK_MS);
	(void)close(fds[1]);
	if (e == 0 && rep.result < 0)
		e = (int)rep.result;
	if (e == 0)
		e = stream_new(desk, p->c->loop, fds[0]);
	if (e != 0) {
		(void)close(fds[0]);
		porch_return_forget(s);
	}
	return e;
}

static const char *
service_name(enum bus_service s)
{
	return s == SERVICE_IMAP ? "imap" : s == SERVICE_POP3 ? "pop3" : "submission";
}

/* Counts and logs how it ended, and returns that. */
static int
told(struct porch_session *s, const struct signin_request *r, int e)
{
	struct porch *p = s->porch;

	if (e == 0) {
		p->sign_ins++;
		LOG(p->c->house, INFO, "signed_in", LOG_S("login", r->login),
		    LOG_Z("service", service_name(r->service)), LOG_S("mechanism", r->mechanism),
		    LOG_S("client", r->client), LOG_S("tls", r->tls));
		porch_brake_depart(&p->brake, &s->brake);
		return 0;
	}
	p->sign_ins_failed++;
	LOG(p->c->house, WARN, "sign_in_failed", LOG_S("login", slice_head(r->login, 200)),
	    LOG_Z("service", service_name(r->service)), LOG_S("mechanism", r->mechanism), LOG_S("client", r->client),
	    LOG_E(e));
	return e;
}

static int
enter(struct porch_session *s)
{
	return s->brake == NULL ? 0 : porch_brake_enter(&s->porch->brake, s->brake);
}

static void
leave(struct porch_session *s, int e)
{
	if (s->brake != NULL)
		porch_brake_leave(&s->porch->brake, s->brake, e == ERR_DENIED);
}

/* ---- passwords ----------------------------------------------------------------------------------------------- */

static int
check_and_join(struct porch_session *s, const struct signin_request *r, struct arena *a, struct stream **desk)
{
	struct porch *p = s->porch;
	struct found who;
	struct slice ticket;
	int e = find_accounts(p, r, a, &who);

	if (e == 0)
		e = verify(p, r, &who, a, &ticket);
	if (e == 0 && slice_eq(who.account_id, NOBODY))
		e = ERR_DENIED;
	return e != 0 ? e : join_desk(s, r, who.account_id, ticket, a, desk);
}

static int
sign_in(void *ctx, const struct signin_request *r, struct stream **desk)
{
	struct porch_session *s = ctx;
	struct arena ARENA_CLEANUP a;
	int e = enter(s);

	*desk = NULL;
	if (e != 0)
		return told(s, r, e);
	arena_init(&a, REPLY_BYTES_MAX);
	e = check_and_join(s, r, &a, desk);
	leave(s, e);
	return told(s, r, e);
}

/* ---- certificates ---------------------------------------------------------------------------------------------- */

/* The account of the address that an authority has put into the certificate: `wanted`, or any where that is empty. */
static int
find_vouched(struct porch *p, const struct tls_peer *peer, struct slice wanted, struct arena *a, struct found *who,
    struct slice *login)
{
	int e = 0;

	*who = (struct found){SLICE_EMPTY, SLICE_EMPTY};
	for (size_t i = 0; e == 0 && i < peer->names_n && who->account_id.n == 0; i++) {
		struct slice name = arena_copy(a, slice_z(peer->names[i]));
		struct found one;

		e = find_account(p, name, a, &one);
		if (e == 0 && !slice_eq(one.account_id, NOBODY) &&
		    (wanted.n == 0 || slice_eq(one.account_id, wanted))) {
			*who = one;
			*login = name;
		}
	}
	return e;
}

/* Whose the certificate is, and a ticket. r->login becomes the name that it goes by. */
static int
verify_certificate(struct porch *p, struct signin_request *r, const struct tls_peer *peer, struct arena *a,
    struct slice *account_id, struct slice *ticket)
{
	struct bus_vault_certificate_request q = {.fingerprint = slice_of(peer->fingerprint, sizeof(peer->fingerprint)),
	    .service = r->service,
	    .client = r->client};
	struct bus_vault_certificate_reply rep = {0};
	struct found named = {SLICE_EMPTY, SLICE_EMPTY}, vouched;
	struct slice address = SLICE_EMPTY;
	int64_t now_s = house_now_s(p->c->house);
	int e = r->login.n == 0 ? 0 : find_account(p, r->login, a, &named);

	if (e == 0)
		e = find_vouched(p, peer, named.account_id, a, &vouched, &address);
	if (e != 0)
		return e;
	q.vouched = vouched.account_id.n > 0;
	q.account_id = named.account_id.n > 0 ? named.account_id : vouched.account_id;
	q.salt_id = named.account_id.n > 0 ? named.salt_id : vouched.salt_id;
	/* One that is not valid now is nobody's, and counts as a guess. */
	if (now_s < peer->from_s || now_s > peer->until_s) {
		q.fingerprint = SLICE_EMPTY;
		q.vouched = 0;
	}
	e = BUS_CALL(p->c->bus, ROLE_VAULT, 0, vault_certificate, &q, a, &rep, VERIFY_MS);
	if (e == 0)
		e = error_of(rep.result);
	if (r->login.n == 0)
		r->login = address.n > 0 ? address : rep.login;
	*account_id = rep.account_id;
	*ticket = rep.ticket;
	return e;
}

static int
sign_in_certificate(void *ctx, const struct signin_request *request, const struct tls_peer *peer, struct stream **desk)
{
	struct porch_session *s = ctx;
	struct signin_request r = *request;
	struct arena ARENA_CLEANUP a;
	struct slice account_id, ticket;
	int e = enter(s);

	*desk = NULL;
	if (e != 0)
		return told(s, &r, e);
	arena_init(&a, REPLY_BYTES_MAX);
	e = verify_certificate(s->porch, &r, peer, &a, &account_id, &ticket);
	if (e == 0)
		e = join_desk(s, &r, account_id, ticket, &a, desk);
	leave(s, e);
	return told(s, &r, e);
}

/* ---- SCRAM --------------------------------------------------------------------------------------------------- */

static int
scram_begin(void *ctx, const struct signin_request *r, struct arena *a, struct signin_scram *s)
{
	struct porch *p = ((struct porch_session *)ctx)->porch;
	struct bus_vault_scram_begin_request q = {.hash = s->hash};
	struct bus_vault_scram_begin_reply rep = {0};
	struct found who;
	int e = find_accounts(p, r, a, &who);

	if (e != 0)
		return e;
	q.account_id = who.account_id;
	q.salt_id = who.salt_id;
	e = bus_call_again(p->c->bus, ROLE_VAULT, 0, BUS_vault_scram_begin, &q, a, &rep, ASK_MS);
	s->account_id = who.account_id;
	s->salt_id = who.salt_id;
	s->salt = rep.salt;
	s->iterations = rep.iterations;
	s->nonce = rep.nonce;
	return e;
}

static int
scram_prove(void *ctx, const struct signin_request *r, struct arena *a, struct signin_scram *s,
    struct slice auth_message, struct slice proof)
{
	struct porch_session *session = ctx;
	struct bus_vault_scram_prove_request q = {.account_id = s->account_id,
	    .salt_id = s->salt_id,
	    .hash = s->hash,
	    .nonce = s->nonce,
	    .auth_message = auth_message,
	    .proof = proof,
	    .service = r->service,
	    .client = r->client};
	struct bus_vault_scram_prove_reply rep = {0};
	int e = enter(session);

	if (e != 0)
		return told(session, r, e);
	e = BUS_CALL(session->porch->c->bus, ROLE_VAULT, 0, vault_scram_prove, &q, a, &rep, VERIFY_MS);
	if (e == 0)
		e = error_of(rep.result);
	if (e == 0 && slice_eq(s->account_id, NOBODY))
		e = ERR_DENIED;
	leave(session, e);
	s->signature = rep.signature;
	s->ticket = rep.ticket;
	return e == 0 ? 0 : told(session, r, e);
}

static int
scram_join(void *ctx, const struct signin_request *r, const struct signin_scram *s, struct stream **desk)
{
	struct porch_session *session = ctx;
	struct arena ARENA_CLEANUP a;

	arena_init(&a, REPLY_BYTES_MAX);
	return told(session, r, join_desk(session, r, s->account_id, s->ticket, &a, desk));
}

struct signin_ops
porch_signin_ops(struct porch_session *s)
{
	return (struct signin_ops){.sign_in = sign_in,
	    .sign_in_certificate = sign_in_certificate,
	    .scram_begin = scram_begin,
	    .scram_prove = scram_prove,
	    .scram_join = scram_join,
	    .ctx = s};
}
