/* send_auth.c: signing in to a smart host (RFC 4954), with the best mechanism that both know. Passwords are said only
 * under TLS, and nothing of them is logged. What goes wrong is worth another try later: the settings may be mended
 * meanwhile, and mail is not lost for a changed password. */
#include "smtp/send.h"

#include "base/log.h"
#include "smtp/scram_client.h"

#define LINE_MAX_BYTES 8192
#define NONCE_BYTES 18

static int
say_base64(struct smtp_sender *s, const char *before, struct slice text)
{
	struct buf b BUF_CLEANUP;

	buf_init(&b, LINE_MAX_BYTES);
	buf_put_z(&b, before);
	buf_put_base64(&b, text);
	if (b.err != 0)
		return ERR_LIMIT;
	smtp_sender_command(s, buf_slice(&b));
	return smtp_sender_reply(s, s->house->limits.send_command_timeout_ms, NULL);
}

/* The text of 334, decoded. ERR_UNAVAILABLE: another reply. */
static int
challenge(struct smtp_sender *s, int e, struct slice *out)
{
	struct buf b BUF_CLEANUP;

	if (e != 0)
		return e;
	if (s->reply.code != 334)
		return ERR_UNAVAILABLE;
	buf_init(&b, LINE_MAX_BYTES);
	if (buf_put_unbase64(&b, slice_trim(buf_slice(&s->reply.text))) != 0)
		return ERR_SYNTAX;
	*out = arena_copy(s->job->arena, buf_slice(&b));
	return 0;
}

static int
plain(struct smtp_sender *s, const struct smtp_sign_in *in)
{
	struct buf b BUF_CLEANUP;

	buf_init(&b, LINE_MAX_BYTES);
	buf_put_u8(&b, 0);
	buf_put(&b, in->user);
	buf_put_u8(&b, 0);
	buf_put(&b, in->password);
	return b.err != 0 ? ERR_LIMIT : say_base64(s, "AUTH PLAIN ", buf_slice(&b));
}

static int
login(struct smtp_sender *s, const struct smtp_sign_in *in)
{
	int e;

	smtp_sender_command(s, SLICE("AUTH LOGIN"));
	e = smtp_sender_reply(s, s->house->limits.send_command_timeout_ms, NULL);
	/* What it asks ("Username:") is not looked at: the order is fixed. */
	if (e == 0 && s->reply.code == 334)
		e = say_base64(s, "", in->user);
	if (e == 0 && s->reply.code == 334)
		e = say_base64(s, "", in->password);
	return e;
}

static int
scram(struct smtp_sender *s, const struct smtp_sign_in *in, bool sha256)
{
	struct scram_client c;
	struct buf nonce BUF_CLEANUP;
	uint8_t random[NONCE_BYTES];
	struct slice text;
	int e;

	buf_init(&nonce, 100);
	house_random(s->house, random, sizeof(random));
	buf_put_base64(&nonce, slice_of(random, sizeof(random)));
	e = scram_client_first(&c, s->job->arena, sha256, in->user, in->password, buf_slice(&nonce), &text);
	if (e == 0)
		e = say_base64(s, sha256 ? "AUTH SCRAM-SHA-256 " : "AUTH SCRAM-SHA-1 ", text);
	e = challenge(s, e, &text);
	if (e == 0)
		e = scram_client_final(&c, s->job->workers, text, &text);
	if (e == 0)
		e = say_base64(s, "", text);
	/* The server's proof may come with 334, to be answered by an empty line. */
	e = challenge(s, e, &text);
	if (e == 0)
		e = scram_client_verify(&c, text);
	if (e == 0)
		e = say_base64(s, "", SLICE_EMPTY);
	return e;
}

static int
attempt(struct smtp_sender *s, const struct smtp_sign_in *in)
{
	unsigned can = s->c->can.mechanisms;

	if ((can & SMTP_MECHANISM_SCRAM_SHA256) != 0)
		return scram(s, in, true);
	if ((can & SMTP_MECHANISM_SCRAM_SHA1) != 0)
		return scram(s, in, false);
	if ((can & SMTP_MECHANISM_PLAIN) != 0)
		return plain(s, in);
	return (can & SMTP_MECHANISM_LOGIN) != 0 ? login(s, in) : ERR_UNSUPPORTED;
}

static int
refused(struct smtp_sender *s, const char *status, const char *what)
{
	smtp_sender_result_all(s, SEND_TEMPFAIL, status,
	    arena_printf(s->job->arena, "%.*s %s", SLICE_ARG(smtp_sender_host(s)), what), false);
	LOG(s->house, WARN, "relay_sign_in_failed", LOG_S("host", smtp_sender_host(s)), LOG_Z("why", what),
	    LOG_I("code", s->reply.code), LOG_S("reply", buf_slice(&s->reply.text)));
	return ERR_DENIED;
}

int
smtp_sender_sign_in(struct smtp_sender *s, const struct smtp_sign_in *in)
{
	int e;

	if (!stream_is_tls(s->c->st))
		return refused(s, "4.7.11", "is not reached over TLS: no password is sent in the clear");
	e = attempt(s, in);
	if (e == ERR_CANCELLED || e == ERR_NOMEM)
		return e;
	if (s->c->dead && e != 0) {
		smtp_sender_lost(s, e, "while signing in");
		return e;
	}
	if (e == ERR_UNSUPPORTED)
		return refused(s, "4.7.8", "offers no way to sign in that is known here (SCRAM, PLAIN, LOGIN)");
	if (e == ERR_DENIED)
		return refused(s, "4.7.8", "could not prove that it knows the password itself");
	if (e == 0 && smtp_reply_class(&s->reply, 2))
		return 0;
	if (e != 0 && e != ERR_UNAVAILABLE)
		return refused(s, "4.7.8", "does not sign in as it should");
	return refused(s, "4.7.8",
	    arena_z(s->job->arena,
		arena_printf(s->job->arena, "does not take the user name and password: %d %.*s", s->reply.code,
		    SLICE_ARG(buf_slice(&s->reply.text)))));
}
