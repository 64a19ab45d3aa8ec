/* sasl.c: the mechanisms, straight from message to message. What a client sent is copied into an arena that is wiped at
 * the end: it may have been a password. */
#include "directory/sasl.h"

#include "directory/password.h"

#define SASL_ARENA_MAX (1u << 20)
/* A name of NFKC's worst case still fits. */
#define SASL_NAME_MAX 8192

struct mechanism;

/* One exchange. */
struct exchange {
	const struct sasl *s;
	const struct mechanism *mechanism;
	struct signin_request request;
	struct arena arena;
	bool initial; /* there is an initial response, and `response` is it */
	struct slice response;
	struct stream **desk;
};

typedef enum sasl_outcome mechanism_fn(struct exchange *x);
static mechanism_fn sasl_run_plain, sasl_run_login, sasl_run_scram, sasl_run_external;

struct mechanism {
	struct slice name;
	mechanism_fn *run;
	enum scram_hash hash;
	unsigned flags;
};
static const struct mechanism mechanisms[] = {
#define MECHANISM(NAME, name, runner, hash, flags, help) {SLICE_INIT(name), sasl_run_##runner, (hash), (flags)},
#include "directory/mechanisms.def"
#undef MECHANISM
};

/* ---- what is offered ----------------------------------------------------------------------------------------- */

static bool
is_offered(const struct mechanism *m, const struct stream *st, enum bus_service service, bool unbound)
{
	return ((m->flags & SASL_BOUND) == 0 || (stream_is_tls(st) && !unbound)) &&
	    ((m->flags & SASL_SUBMISSION) == 0 || service == SERVICE_SUBMISSION) &&
	    ((m->flags & SASL_CERTIFICATE) == 0 || stream_tls_peer(st) != NULL);
}

void
sasl_put_mechanisms(
    struct buf *out, struct stream *st, enum bus_service service, bool unbound, struct slice before, struct slice after)
{
	for (size_t i = 0; i < COUNT_OF(mechanisms); i++) {
		if (!is_offered(&mechanisms[i], st, service, unbound))
			continue;
		buf_put(out, before);
		buf_put(out, mechanisms[i].name);
		buf_put(out, after);
	}
}

/* ---- messages -------------------------------------------------------------------------------------------------- */

/* Takes a line of the client into x->response. */
static enum sasl_outcome
take(struct exchange *x, struct slice line)
{
	struct buf b;
	enum sasl_outcome o = SASL_SIGNED_IN;

	if (slice_eq(line, SLICE("*")))
		return SASL_CANCELLED;
	buf_init(&b, SASL_LINE_MAX);
	if (!slice_eq(line, SLICE("=")) && buf_put_unbase64(&b, line) != 0)
		o = SASL_MALFORMED;
	x->response = arena_copy(&x->arena, buf_slice(&b));
	if (b.p != NULL)
		explicit_bzero(b.p, b.cap);
	buf_free(&b);
	return o == SASL_SIGNED_IN && arena_failed(&x->arena) ? SASL_BUSY : o;
}

/* Sends the challenge and reads the response to it; an initial response is one to an empty challenge. SASL_SIGNED_IN: go on. */
static enum sasl_outcome
challenge(struct exchange *x, struct slice text)
{
	struct buf base64 BUF_CLEANUP;
	struct slice line;

	buf_init(&base64, SASL_LINE_MAX);
	buf_put_base64(&base64, text);
	if (base64.err != 0)
		return SASL_BUSY;
	return x->s->ask(x->s->ctx, buf_slice(&base64), &line) != 0 ? SASL_ENDED : take(x, line);
}

static enum sasl_outcome
first_response(struct exchange *x, struct slice text)
{
	return x->initial ? SASL_SIGNED_IN : challenge(x, text);
}

/* RFC 4616 §2 and RFC 5802 §5.1 want names prepared; what cannot be prepared is the name of nobody. */
static int
prepare_name(struct exchange *x, struct slice name, struct slice *out)
{
	struct buf b BUF_CLEANUP;
	int err;

	buf_init(&b, SASL_NAME_MAX);
	err = password_prepare(name, &b);
	if (err == ERR_INVALID || err == ERR_LIMIT) {
		*out = name;
		return 0;
	}
	*out = arena_copy(&x->arena, buf_slice(&b));
	return err != 0 ? err : arena_failed(&x->arena) ? ERR_NOMEM : 0;
}

static int
set_names(struct exchange *x, struct slice authzid, struct slice login)
{
	int err = prepare_name(x, login, &x->request.login);

	return err != 0 ? err : prepare_name(x, authzid, &x->request.authzid);
}

static enum sasl_outcome
outcome_of(int err)
{
	return err == 0 ? SASL_SIGNED_IN : err == ERR_DENIED ? SASL_DENIED : SASL_BUSY;
}

static enum sasl_outcome
check_password(struct exchange *x, struct slice authzid, struct slice login, struct slice password)
{
	int err = set_names(x, authzid, login);

	x->request.password = password;
	if (err == 0 && password.n > (size_t)x->s->limits->password_bytes)
		err = ERR_DENIED;
	if (err == 0)
		err = x->s->ops->sign_in(x->s->ops->ctx, &x->request, x->desk);
	return outcome_of(err);
}

/* ---- PLAIN, LOGIN ------------------------------------------------------------------------------------------------ */

int
sasl_plain_parse(struct slice message, struct sasl_plain *out)
{
	struct slice rest = message;

	*out = (struct sasl_plain){0};
	out->authzid = slice_cut(&rest, 0);
	if (rest.p == NULL)
		return ERR_SYNTAX;
	out->authcid = slice_cut(&rest, 0);
	if (rest.p == NULL || slice_find_byte(rest, 0) != SLICE_NONE)
		return ERR_SYNTAX;
	out->password = rest;
	return out->authcid.n == 0 || out->password.n == 0 ? ERR_SYNTAX : 0;
}

static enum sasl_outcome
sasl_run_plain(struct exchange *x)
{
	enum sasl_outcome o = first_response(x, SLICE_EMPTY);
	struct sasl_plain p;

	if (o != SASL_SIGNED_IN)
		return o;
	if (sasl_plain_parse(x->response, &p) != 0)
		return SASL_MALFORMED;
	return check_password(x, p.authzid, p.authcid, p.password);
}

/* draft-murchison-sasl-login. */
static enum sasl_outcome
sasl_run_login(struct exchange *x)
{
	enum sasl_outcome o = first_response(x, SLICE("Username:"));
	struct slice login = x->response;

	if (o == SASL_SIGNED_IN)
		o = challenge(x, SLICE("Password:"));
	if (o != SASL_SIGNED_IN)
		return o;
	if (login.n == 0 || x->response.n == 0 || slice_find_byte(login, 0) != SLICE_NONE)
		return SASL_MALFORMED;
	return check_password(x, SLICE_EMPTY, login, x->response);
}

/* ---- EXTERNAL (RFC 4422 appendix A) --------------------------------------------------------------------------------- */

static enum sasl_outcome
sasl_run_external(struct exchange *x)
{
	enum sasl_outcome o = first_response(x, SLICE_EMPTY);
	int err;

	if (o != SASL_SIGNED_IN)
		return o;
	if (slice_find_byte(x->response, 0) != SLICE_NONE || !slice_is_utf8(x->response, true))
		return SASL_MALFORMED;
	/* Without a name it is for the certificate to tell whose it is. */
	err = x->response.n == 0 ? 0 : prepare_name(x, x->response, &x->request.login);
	if (err == 0)
		err = x->s->ops->sign_in_certificate(x->s->ops->ctx, &x->request, stream_tls_peer(x->s->st), x->desk);
	return outcome_of(err);
}

/* ---- SCRAM (RFC 5802 §5) ----------------------------------------------------------------------------------------- */

/* May the client's first message stand with this mechanism on this connection? (RFC 5802 §6) */
static enum sasl_outcome
check_flag(const struct exchange *x, const struct scram_first *f)
{
	bool bound = (x->mechanism->flags & SASL_BOUND) != 0;

	/* "y" says that we offered no binding. If we did, somebody in between took it out of the list. */
	if (!bound && f->flag == 'y')
		return stream_is_tls(x->s->st) && !x->s->unbound ? SASL_DENIED : SASL_SIGNED_IN;
	return bound == (f->flag == 'p') ? SASL_SIGNED_IN : SASL_MALFORMED;
}

/* What `c=` must hold: the GS2 header, and the channel's own bytes. ERR_UNAVAILABLE for a binding that is not to be had. */
static int
expected_binding(struct exchange *x, const struct scram_first *f, struct buf *out)
{
	buf_put(out, f->gs2);
	if (f->flag != 'p')
		return out->err;
	if (slice_eq(f->binding, SLICE("tls-exporter")))
		return stream_tls_binding(x->s->st, STREAM_BINDING_EXPORTER, out);
	if (slice_eq(f->binding, SLICE("tls-server-end-point")))
		return stream_tls_binding(x->s->st, STREAM_BINDING_SERVER_END_POINT, out);
	return ERR_UNAVAILABLE;
}

/* The client's last message against all that went before. SASL_SIGNED_IN: s has signature and ticket. */
static enum sasl_outcome
prove(struct exchange *x, const struct scram_first *f, struct slice binding, struct slice server_first,
    struct slice nonce, struct signin_scram *s)
{
	struct buf auth_message BUF_CLEANUP;
	struct scram_final last;
	int err = scram_final_parse(x->response, &x->arena, &last);

	if (err != 0)
		return err == ERR_SYNTAX ? SASL_MALFORMED : SASL_BUSY;
	if (!slice_eq(last.nonce, nonce))
		return SASL_MALFORMED;
	if (!slice_eq(binding, last.binding))
		return SASL_DENIED;
	buf_init(&auth_message, 3 * SASL_LINE_MAX);
	buf_put(&auth_message, f->bare);
	buf_put_u8(&auth_message, ',');
	buf_put(&auth_message, server_first);
	buf_put_u8(&auth_message, ',');
	buf_put(&auth_message, last.without_proof);
	if (auth_message.err != 0)
		return SASL_BUSY;
	return outcome_of(
	    x->s->ops->scram_prove(x->s->ops->ctx, &x->request, &x->arena, s, buf_slice(&auth_message), last.proof));
}

static enum sasl_outcome
sasl_run_scram(struct exchange *x)
{
	struct signin_scram s = {.hash = x->mechanism->hash};
	struct buf binding BUF_CLEANUP = {0}, first BUF_CLEANUP = {0}, last BUF_CLEANUP = {0};
	struct scram_first f;
	struct slice nonce;
	int err;
	enum sasl_outcome o = first_response(x, SLICE_EMPTY);

	if (o != SASL_SIGNED_IN)
		return o;
	if (scram_first_parse(x->response, &x->arena, &f) != 0)
		return SASL_MALFORMED;
	o = check_flag(x, &f);
	if (o != SASL_SIGNED_IN)
		return o;
	buf_init(&binding, SASL_LINE_MAX);
	err = expected_binding(x, &f, &binding);
	if (err != 0)
		return err == ERR_UNAVAILABLE ? SASL_NO_MECHANISM : SASL_BUSY;
	if (set_names(x, f.authzid, f.username) != 0 ||
	    x->s->ops->scram_begin(x->s->ops->ctx, &x->request, &x->arena, &s) != 0)
		return SASL_BUSY;
	buf_init(&first, SASL_LINE_MAX);
	buf_init(&last, SASL_LINE_MAX);
	nonce = arena_printf(&x->arena, "%.*s%.*s", SLICE_ARG(f.nonce), SLICE_ARG(s.nonce));
	buf_printf(&first, "r=%.*s,s=", SLICE_ARG(nonce));
	buf_put_base64(&first, s.salt);
	buf_printf(&first, ",i=%lld", (long long)s.iterations);
	if (first.err != 0 || nonce.n != f.nonce.n + s.nonce.n)
		return SASL_MALFORMED; /* a nonce of kilobytes */
	o = challenge(x, buf_slice(&first));
	if (o == SASL_SIGNED_IN)
		o = prove(x, &f, buf_slice(&binding), buf_slice(&first), nonce, &s);
	if (o != SASL_SIGNED_IN)
		return o;
	buf_put_z(&last, "v=");
	buf_put_base64(&last, s.signature);
	o = challenge(x, buf_slice(&last));
	if (o == SASL_SIGNED_IN && x->response.n > 0)
		o = SASL_MALFORMED;
	return o != SASL_SIGNED_IN ? o : outcome_of(x->s->ops->scram_join(x->s->ops->ctx, &x->request, &s, x->desk));
}

/* ---- one exchange --------------------------------------------------------------------------------------------------- */

static void
begin(struct exchange *x, const struct sasl *s, struct stream **desk)
{
	*x = (struct exchange){.s = s, .request = s->request, .desk = desk};
	arena_init(&x->arena, SASL_ARENA_MAX);
	*desk = NULL;
}

enum sasl_outcome
sasl_sign_in(const struct sasl *s, struct slice mechanism, struct slice initial, struct stream **desk)
{
	struct exchange x;
	enum sasl_outcome o = SASL_NO_MECHANISM;

	begin(&x, s, desk);
	for (size_t i = 0; i < COUNT_OF(mechanisms) && x.mechanism == NULL; i++)
		if (slice_ieq(mechanisms[i].name, mechanism) &&
		    is_offered(&mechanisms[i], s->st, s->request.service, s->unbound))
			x.mechanism = &mechanisms[i];
	if (x.mechanism != NULL) {
		x.request.mechanism = x.mechanism->name;
		x.initial = initial.p != NULL;
		o = x.initial ? take(&x, initial) : SASL_SIGNED_IN;
		if (o == SASL_SIGNED_IN)
			o = x.mechanism->run(&x);
	}
	arena_wipe(&x.arena);
	return o;
}

enum sasl_outcome
sasl_password(
    const struct sasl *s, struct slice authzid, struct slice login, struct slice password, struct stream **desk)
{
	struct exchange x;
	enum sasl_outcome o;

	begin(&x, s, desk);
	x.request.mechanism = SLICE("password");
	o = check_password(
	    &x, arena_copy(&x.arena, authzid), arena_copy(&x.arena, login), arena_copy(&x.arena, password));
	arena_wipe(&x.arena);
	return o;
}
