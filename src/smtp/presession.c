/* presession.c: submission before sign-in (RFC 6409, RFC 4954). Runs in the porch, which knows no mail: what it learns is a
 * name and a password, and then it only carries bytes. */
#include "smtp/channel.h"

#include "directory/sasl.h"

struct presession {
	struct smtp_channel ch;
	const struct smtp_presession_config *c;
	struct arena arena; /* of one AUTH command */
	int64_t failures;
	struct stream *desk; /* after sign-in */
};

static int
ask(void *ctx, struct slice challenge, struct slice *line)
{
	struct presession *p = ctx;

	smtp_reply_more(&p->ch, SMTP_R_CHALLENGE, challenge);
	return smtp_channel_line(&p->ch, SASL_LINE_MAX, line);
}

static void
answer(struct presession *p, enum sasl_outcome o)
{
	switch (o) {
	case SASL_SIGNED_IN:
	case SASL_ENDED: break;
	case SASL_DENIED:
		smtp_reply(&p->ch, SMTP_R_BAD_PASSWORD);
		if (++p->failures >= p->ch.house->limits.sign_in_attempts)
			smtp_channel_end(&p->ch, SMTP_R_TOO_MANY_ERRORS);
		break;
	case SASL_BUSY: smtp_reply(&p->ch, SMTP_R_AUTH_BUSY); break;
	case SASL_MALFORMED: smtp_reply(&p->ch, SMTP_R_BAD_BASE64); break;
	case SASL_CANCELLED: smtp_reply(&p->ch, SMTP_R_AUTH_CANCELLED); break;
	case SASL_NO_MECHANISM: smtp_reply(&p->ch, SMTP_R_BAD_MECHANISM); break;
	}
}

/* RFC 4954 §4. */
static void
command_auth(struct presession *p, const struct smtp_command *c)
{
	struct slice initial = c->argument;
	struct slice mechanism = slice_cut(&initial, ' ');
	struct sasl s = {.limits = &p->ch.house->limits,
	    .ops = &p->c->signin,
	    .st = p->ch.st,
	    .ask = ask,
	    .ctx = p,
	    .unbound = !p->c->channel_binding};

	if (!stream_is_tls(p->ch.st) && !p->c->cleartext_sign_in) {
		smtp_reply(&p->ch, SMTP_R_TLS_FIRST);
		return;
	}
	if (!p->ch.greeted) {
		smtp_reply(&p->ch, SMTP_R_HELLO_FIRST);
		return;
	}
	s.request = (struct signin_request){.service = SERVICE_SUBMISSION,
	    .client = p->c->client,
	    .helo = slice_z(p->ch.helo),
	    .tls = smtp_tls_text(p->ch.st, &p->arena)};
	answer(p, sasl_sign_in(&s, mechanism, initial, &p->desk));
	arena_reset(&p->arena);
}

/* A listed device begins a message without signing in: another session goes on from here, with this command. */
static void
command_mail(struct presession *p, const struct smtp_command *c)
{
	struct slice line = arena_printf(&p->arena, "MAIL %.*s\r\n", SLICE_ARG(c->argument));
	int e = p->c->unsigned_session == NULL || !p->ch.greeted || arena_failed(&p->arena)
	    ? ERR_DENIED
	    : p->c->unsigned_session(
		  p->c->signin.ctx, slice_z(p->ch.helo), smtp_tls_text(p->ch.st, &p->arena), &p->desk);

	if (e == 0 && (stream_write(p->desk, line) != 0 || (e = stream_flush(p->desk)) != 0))
		stream_close(&p->desk);
	if (p->desk == NULL)
		smtp_reply(&p->ch, e == ERR_DENIED ? SMTP_R_SIGN_IN_FIRST : SMTP_R_TEMPFAIL);
	arena_reset(&p->arena);
}

static void
command_run(struct presession *p, const struct smtp_command *c)
{
	if (!smtp_channel_accepts(&p->ch, c))
		return;
	switch (c->verb) {
	case SMTP_AUTH: command_auth(p, c); break;
	case SMTP_MAIL: command_mail(p, c); break;
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
	p->ch.channel_binding = c->channel_binding;
	p->ch.deadline_ms = loop_deadline(c->loop, p->ch.house->limits.sign_in_timeout_ms);
	arena_init(&p->arena, 4096);
	(void)!stream_printf(st, "%d %.*s %s\r\n", smtp_replies[SMTP_R_GREETING].code, SLICE_ARG(c->hostname),
	    smtp_replies[SMTP_R_GREETING].text);
	while (!p->ch.over && p->desk == NULL) {
		/* RFC 4954 §4: the line of AUTH may be longer than others. */
		int e = smtp_channel_line(&p->ch, SASL_LINE_MAX, &line);

		if (e == 0 && line.n + 2 > (size_t)p->ch.house->limits.smtp_command_bytes &&
		    !slice_istarts(line, SLICE("AUTH "))) {
			smtp_reply(&p->ch, SMTP_R_LINE_TOO_LONG);
		} else if (e == 0) {
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
