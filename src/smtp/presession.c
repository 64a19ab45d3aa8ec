/* presession.c: submission before sign-in (RFC 6409, RFC 4954). Runs in the porch, which knows no mail: what it learns is a
 * name and a password, and then it only carries bytes. */
#include "smtp/channel.h"

#include "base/log.h"

#define AUTH_LINE_MAX 12288 /* RFC 4954 §4 */
#define AUTH_ARENA_MAX 65536

struct presession {
	struct smtp_channel ch;
	const struct smtp_presession_config *c;
	struct arena arena; /* of one AUTH command */
	int64_t failures;
	struct stream *desk; /* after sign-in */
};

struct credentials {
	struct slice authzid, login, password;
};

/* Decodes a line of base64 into the arena; "=" alone is the empty string (RFC 4954 §4). Answers when it cannot. */
static int
decode(struct presession *p, struct slice text, struct slice *out)
{
	BUF_CLEANUP struct buf b;

	buf_init(&b, AUTH_LINE_MAX);
	if (!slice_eq(text, SLICE("=")) && (buf_put_unbase64(&b, text) != 0 || b.err != 0)) {
		smtp_reply(&p->ch, SMTP_R_BAD_BASE64);
		return ERR_SYNTAX;
	}
	*out = arena_copy(&p->arena, buf_slice(&b));
	if (!arena_failed(&p->arena))
		return 0;
	smtp_reply(&p->ch, SMTP_R_AUTH_BUSY);
	return ERR_NOMEM;
}

/* Sends a challenge (base64) and reads the client's answer. */
static int
challenge(struct presession *p, struct slice text, struct slice *answer)
{
	struct slice line;
	int e;

	smtp_reply_more(&p->ch, SMTP_R_CHALLENGE, text);
	e = smtp_channel_line(&p->ch, AUTH_LINE_MAX, &line);
	if (e != 0)
		return e;
	if (slice_eq(line, SLICE("*"))) {
		smtp_reply(&p->ch, SMTP_R_AUTH_CANCELLED);
		return ERR_SYNTAX;
	}
	return decode(p, line, answer);
}

/* RFC 4616: [authzid] NUL authcid NUL passwd. */
static int
read_plain(struct presession *p, struct slice initial, struct credentials *out)
{
	struct slice message;
	int e = initial.n > 0 ? decode(p, initial, &message) : challenge(p, SLICE_EMPTY, &message);

	if (e != 0)
		return e;
	out->authzid = slice_cut(&message, '\0');
	if (message.p != NULL)
		out->login = slice_cut(&message, '\0');
	if (message.p == NULL || out->login.n == 0 || slice_find_byte(message, '\0') != SLICE_NONE) {
		smtp_reply(&p->ch, SMTP_R_BAD_BASE64);
		return ERR_SYNTAX;
	}
	out->password = message;
	return 0;
}

/* draft-murchison-sasl-login: "Username:" and "Password:", both in base64. */
static int
read_login(struct presession *p, struct slice initial, struct credentials *out)
{
	int e = initial.n > 0 ? decode(p, initial, &out->login) : challenge(p, SLICE("VXNlcm5hbWU6"), &out->login);

	return e != 0 ? e : challenge(p, SLICE("UGFzc3dvcmQ6"), &out->password);
}

static void
sign_in(struct presession *p, const struct credentials *cr)
{
	struct signin_request r = {.service = SERVICE_SUBMISSION,
	    .authzid = cr->authzid,
	    .login = cr->login,
	    .password = cr->password,
	    .client = p->c->client,
	    .helo = slice_z(p->ch.helo),
	    .tls = smtp_tls_text(p->ch.st, &p->arena)};
	int e;

	if (cr->password.n > (size_t)p->ch.house->limits.password_bytes)
		e = ERR_DENIED;
	else
		e = p->c->signin.sign_in(p->c->signin.ctx, &r, &p->desk);
	if (e == 0)
		return;
	if (e != ERR_DENIED) {
		smtp_reply(&p->ch, SMTP_R_AUTH_BUSY);
		return;
	}
	if (++p->failures >= p->ch.house->limits.sign_in_attempts) {
		smtp_reply(&p->ch, SMTP_R_BAD_PASSWORD);
		smtp_channel_end(&p->ch, SMTP_R_TOO_MANY_ERRORS);
		return;
	}
	smtp_reply(&p->ch, SMTP_R_BAD_PASSWORD);
}

static void
command_auth(struct presession *p, const struct smtp_command *c)
{
	struct slice initial = c->argument;
	struct slice mechanism = slice_cut(&initial, ' ');
	struct credentials cr = {0};
	int e;

	if (!stream_is_tls(p->ch.st) && !p->c->cleartext_sign_in) {
		smtp_reply(&p->ch, SMTP_R_TLS_FIRST);
		return;
	}
	if (!p->ch.greeted) {
		smtp_reply(&p->ch, SMTP_R_HELLO_FIRST);
		return;
	}
	initial = arena_copy(&p->arena, slice_trim(initial));
	if (slice_ieq(mechanism, SLICE("PLAIN")))
		e = read_plain(p, initial, &cr);
	else if (slice_ieq(mechanism, SLICE("LOGIN")))
		e = read_login(p, initial, &cr);
	else {
		smtp_reply(&p->ch, SMTP_R_BAD_MECHANISM);
		return;
	}
	if (e == 0)
		sign_in(p, &cr);
	/* The password does not stay in memory that is used again. */
	if (cr.password.n > 0)
		explicit_bzero((void *)(uintptr_t)cr.password.p, cr.password.n);
	arena_reset(&p->arena);
}

static void
command_run(struct presession *p, const struct smtp_command *c)
{
	if (!smtp_channel_accepts(&p->ch, c))
		return;
	switch (c->verb) {
	case SMTP_AUTH: command_auth(p, c); break;
	case SMTP_MAIL:
	case SMTP_RCPT:
	case SMTP_DATA: smtp_reply(&p->ch, SMTP_R_SIGN_IN_FIRST); break;
	/* Its bytes follow, and are no commands. */
	case SMTP_BDAT: smtp_channel_end(&p->ch, SMTP_R_SIGN_IN_FIRST); break;
	default: (void)smtp_channel_common(&p->ch, c);
	}
}

/* Signed in: from here on the desk speaks, and what the client has sent ahead goes to it. */
static void
join(struct presession *p)
{
	struct stream *st = p->ch.st;

	stream_set_deadline(st, DEADLINE_NEVER);
	/* The desk ends idle sessions with a reply; the porch waits longer, for a desk that is gone. */
	if (stream_flush(st) == 0)
		(void)!stream_proxy(st, p->desk, 2 * p->ch.house->limits.smtp_command_timeout_ms);
	stream_close(&p->desk);
}

void
smtp_presession(struct stream *st, const struct smtp_presession_config *c)
{
	struct presession *p = calloc(1, sizeof(*p));
	struct slice line;

	if (p == NULL)
		return;
	smtp_channel_open(&p->ch, st, c->loop, c->sessions);
	p->c = c;
	p->ch.hostname = c->hostname;
	p->ch.tls = c->tls;
	p->ch.where = SMTP_PORCH;
	p->ch.cleartext_sign_in = c->cleartext_sign_in;
	p->ch.deadline_ms = loop_deadline(c->loop, p->ch.house->limits.sign_in_timeout_ms);
	arena_init(&p->arena, AUTH_ARENA_MAX);
	(void)!stream_printf(st, "%d %.*s %s\r\n", smtp_replies[SMTP_R_GREETING].code, SLICE_ARG(c->hostname),
	    smtp_replies[SMTP_R_GREETING].text);
	while (!p->ch.over && p->desk == NULL) {
		int e = smtp_channel_line(&p->ch, (size_t)p->ch.house->limits.smtp_command_bytes, &line);

		if (e == 0) {
			struct smtp_command command = smtp_command_parse(line);

			command_run(p, &command);
		} else if (e != ERR_LIMIT) {
			break;
		}
	}
	if (p->desk != NULL)
		join(p);
	smtp_channel_close(&p->ch);
	arena_free(&p->arena);
	free(p);
}
