/* send_connection.c: from connecting to a server that waits for MAIL; and connections that are kept. */
#include "smtp/send.h"

#include "base/log.h"

/* ---- connections that are kept -------------------------------------------------------------------------- */

static int
connection_new(struct smtp_sender *s)
{
	s->c = calloc(1, sizeof(*s->c));
	if (s->c == NULL)
		return ERR_NOMEM;
	s->c->loop = s->job->loop;
	return 0;
}

void
smtp_connection_close(struct smtp_connection **cp)
{
	struct smtp_connection *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	if (c->st != NULL && !c->dead) {
		/* Nobody waits for the answer; who does not take seven bytes at once does not get them. */
		stream_set_deadline(c->st, loop_now_ms(c->loop));
		(void)!stream_write(c->st, SLICE("QUIT\r\n"));
		(void)!stream_shutdown(c->st);
	}
	stream_close(&c->st);
	free(c);
}

bool
smtp_connection_is_quiet(struct smtp_connection *c)
{
	return !c->dead && stream_error(c->st) == 0 && !stream_readable_now(c->st);
}

size_t
smtp_connection_messages(const struct smtp_connection *c)
{
	return c->messages;
}

size_t
smtp_connection_messages_max(const struct smtp_connection *c)
{
	return c->can.mail_max == 0 || c->can.mail_max > SIZE_MAX ? SIZE_MAX : (size_t)c->can.mail_max;
}

/* ---- greeting and EHLO ------------------------------------------------------------------------------------ */

static void
say_hello(struct smtp_sender *s, const char *verb)
{
	smtp_sender_command(s, arena_printf(s->job->arena, "%s %.*s", verb, SLICE_ARG(s->job->hostname)));
}

/* EHLO, or HELO for a server that does not know it (RFC 5321 §3.2). On failure the results are set. */
static int
hello(struct smtp_sender *s)
{
	const struct limits *l = &s->house->limits;
	int e;

	s->c->can = (struct smtp_capabilities){0};
	say_hello(s, "EHLO");
	e = smtp_sender_reply(s, l->send_command_timeout_ms, &s->c->can);
	if (e == 0 && smtp_reply_class(&s->reply, 5)) {
		s->c->can = (struct smtp_capabilities){0};
		say_hello(s, "HELO");
		e = smtp_sender_reply(s, l->send_command_timeout_ms, NULL);
	}
	if (e != 0) {
		smtp_sender_lost(s, e, "after EHLO");
		return e;
	}
	if (smtp_reply_class(&s->reply, 2))
		return 0;
	smtp_sender_refused(s, true);
	return ERR_UNAVAILABLE;
}

static void
note_tls(struct smtp_sender *s, enum smtp_tls_result result, struct slice error)
{
	s->job->tls_result = result;
	s->job->tls_error = error;
}

static void
note_handshake(struct smtp_sender *s, int e)
{
	static const enum smtp_tls_result results[] = {[TLS_PROBLEM_NONE] = SMTP_TLS_FAILED,
	    [TLS_PROBLEM_NAME] = SMTP_TLS_WRONG_NAME,
	    [TLS_PROBLEM_EXPIRED] = SMTP_TLS_EXPIRED,
	    [TLS_PROBLEM_UNTRUSTED] = SMTP_TLS_UNTRUSTED,
	    [TLS_PROBLEM_OTHER] = SMTP_TLS_FAILED};
	const struct tls_info *info = stream_tls_info(s->c->st);
	bool fine = e == 0 && (info->verified || s->job->security.expect.check == TLS_CHECK_NONE);

	if (fine)
		note_tls(s, SMTP_TLS_FINE, SLICE_EMPTY);
	else
		note_tls(s, info == NULL ? SMTP_TLS_FAILED : results[info->problem],
		    info == NULL ? slice_z(err_text(e)) : arena_copy(s->job->arena, slice_z(info->error)));
	if (e != 0)
		return;
	(void)snprintf(s->c->tls_text, sizeof(s->c->tls_text), "%s %s, certificate %s%.*s", info->version, info->cipher,
	    info->verified                                        ? "verified by "
		: s->job->security.expect.check != TLS_CHECK_NONE ? "not valid"
								  : "not checked",
	    SLICE_ARG(info->verified ? s->job->security.verified_by : SLICE_EMPTY));
}

static int
shake_hands(struct smtp_sender *s)
{
	const struct smtp_security *x = &s->job->security;
	int e = stream_start_tls_expect(
	    s->c->st, x->client, &x->expect, loop_deadline(s->job->loop, s->house->limits.handshake_timeout_ms));

	s->c->dead = e != 0;
	note_handshake(s, e);
	return e;
}

/* Connects, and reads the greeting. */
static int
open_connection(struct smtp_sender *s)
{
	struct slice host = smtp_sender_host(s);
	int e;

	smtp_connection_close(&s->c);
	e = connection_new(s);
	if (e == 0)
		e = s->job->connect(s->job->connect_ctx, &s->c->st);
	if (e != 0) {
		smtp_sender_result_all(s, SEND_TEMPFAIL, "4.4.1",
		    arena_printf(s->job->arena, "Could not connect to %.*s: %s", SLICE_ARG(host), err_text(e)), false);
		return e;
	}
	if (s->job->security.implicit) {
		e = shake_hands(s);
		if (e != 0) {
			smtp_sender_result_all(s, SEND_TEMPFAIL, "4.7.5",
			    arena_printf(s->job->arena, "The TLS connection to %.*s failed: %.*s", SLICE_ARG(host),
				SLICE_ARG(s->job->tls_error)),
			    false);
			return e == ERR_CANCELLED || e == ERR_NOMEM ? e : ERR_TLS;
		}
	}
	e = smtp_sender_reply(s, s->house->limits.send_greeting_timeout_ms, NULL);
	if (e != 0) {
		smtp_sender_lost(s, e, "before its greeting");
		return e;
	}
	if (smtp_reply_class(&s->reply, 2))
		return hello(s);
	smtp_sender_refused(s, true);
	return ERR_UNAVAILABLE;
}

/* ---- STARTTLS --------------------------------------------------------------------------------------------- */

/* STARTTLS and EHLO again (RFC 3207 §4.2). ERR_UNSUPPORTED: refused in words, the connection is as good as before. */
static int
start_tls(struct smtp_sender *s)
{
	int e;

	smtp_sender_command(s, SLICE("STARTTLS"));
	e = smtp_sender_reply(s, s->house->limits.send_command_timeout_ms, NULL);
	if (e == 0 && !smtp_reply_class(&s->reply, 2)) {
		note_tls(s, SMTP_TLS_NOT_OFFERED,
		    arena_printf(s->job->arena, "the server refused STARTTLS: %d %.*s", s->reply.code,
			SLICE_ARG(buf_slice(&s->reply.text))));
		return ERR_UNSUPPORTED;
	}
	if (e != 0)
		note_tls(s, SMTP_TLS_FAILED, SLICE("the connection was lost after STARTTLS"));
	else
		e = shake_hands(s);
	if (e == 0)
		e = hello(s);
	return e == 0 || e == ERR_CANCELLED || e == ERR_NOMEM ? e : ERR_TLS;
}

/* "; its MTA-STS policy demands it" */
static void
tls_is_missing(struct smtp_sender *s, const char *status, const char *what, struct slice why)
{
	struct arena *a = s->job->arena;
	struct slice by = s->job->security.demanded_by;

	/* RFC 8689 §4.2.1: who asked for it is told at once. */
	bool at_once = s->job->require_tls;

	smtp_sender_result_all(s, at_once ? SEND_FAIL : SEND_TEMPFAIL, at_once ? "5.7.10" : status,
	    arena_printf(a, "%.*s %s%s%.*s%s%.*s", SLICE_ARG(smtp_sender_host(s)), what, why.n > 0 ? ": " : "",
		SLICE_ARG(why), by.n > 0 ? "; encryption is demanded by " : "", SLICE_ARG(by)),
	    false);
}

/* Where TLS must be: nothing has gone out when it is not. */
static int
demand_tls(struct smtp_sender *s)
{
	int e;

	if (!s->c->can.starttls) {
		note_tls(s, SMTP_TLS_NOT_OFFERED, SLICE("the server does not offer STARTTLS"));
		tls_is_missing(s, "4.7.4", "does not offer encryption (STARTTLS)", SLICE_EMPTY);
		return ERR_TLS;
	}
	e = start_tls(s);
	if (e == ERR_UNSUPPORTED)
		tls_is_missing(s, "4.7.4", "offers encryption (STARTTLS) and then refuses it", SLICE_EMPTY);
	else if (e == ERR_TLS && s->job->tls_result != SMTP_TLS_FINE)
		tls_is_missing(s, "4.7.5", "cannot be trusted", s->job->tls_error);
	return e == ERR_UNSUPPORTED ? ERR_TLS : e;
}

static int
secure(struct smtp_sender *s)
{
	const struct smtp_security *x = &s->job->security;
	int e;

	if (x->implicit || x->client == NULL || x->level == SMTP_TLS_NEVER)
		return 0;
	if (x->level == SMTP_TLS_MUST)
		return demand_tls(s);
	if (!s->c->can.starttls) {
		note_tls(s, SMTP_TLS_NOT_OFFERED, SLICE("the server does not offer STARTTLS"));
		return 0;
	}
	/* Any failure of it ends the connection, and the message goes in the clear: an encrypted message that cannot be sent
	 * helps nobody (RFC 7435). */
	e = start_tls(s);
	if (e == ERR_UNSUPPORTED && !s->c->dead)
		return 0;
	if (e == 0 || e == ERR_CANCELLED || e == ERR_NOMEM)
		return e;
	LOG(s->house, INFO, "smtp_send_without_tls", LOG_S("host", smtp_sender_host(s)),
	    LOG_S("why", s->job->tls_error));
	return open_connection(s);
}

int
smtp_sender_open(struct smtp_sender *s)
{
	int e = open_connection(s);

	if (e == 0)
		e = secure(s);
	if (e == 0 && s->job->sign_in != NULL)
		e = smtp_sender_sign_in(s, s->job->sign_in);
	return e;
}
