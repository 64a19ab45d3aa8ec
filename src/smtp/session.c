#include "smtp/session.h"

#include "base/log.h"

/* Recipients and paths of one transaction; a path is at most SMTP_PATH_MAX and lies there three times. */
#define TRANSACTION_BYTES_MAX (4 << 20)

static void
transaction_reset(struct smtp_server *s)
{
	arena_reset(&s->arena);
	s->in_mail = false;
	s->body_8bitmime = false;
	s->reverse_path = SLICE_EMPTY;
	s->recipients = NULL;
	s->recipients_count = s->recipients_cap = 0;
}

/* Answers a path that could not be read. */
static void
refuse_path(
    struct smtp_server *s, int e, const struct smtp_path *path, enum smtp_reply_id syntax, enum smtp_reply_id bad)
{
	if (e == ERR_NOMEM)
		smtp_reply(&s->ch, SMTP_R_NO_SPACE);
	else if (e == ERR_SYNTAX)
		smtp_reply(&s->ch, syntax);
	else if (e == ERR_LIMIT)
		smtp_reply(&s->ch, SMTP_R_BAD_PARAMETER);
	else if (path->error == SMTP_PATH_NOT_ASCII)
		smtp_reply(&s->ch, SMTP_R_NOT_ASCII);
	else
		smtp_reply(&s->ch, bad);
}

/* SIZE (RFC 1870), BODY (RFC 6152) and, in submission, AUTH (RFC 4954 §5, which we do not pass on). True when all is well. */
static bool
mail_parameters(struct smtp_server *s, const struct smtp_parameters *ps)
{
	uint64_t size;

	for (size_t i = 0; i < ps->n; i++) {
		struct slice name = ps->v[i].name, value = ps->v[i].value;

		if (slice_ieq(name, SLICE("SIZE"))) {
			int e = slice_to_u64(value, UINT64_MAX / 2, &size);

			if (e == ERR_SYNTAX) {
				smtp_reply(&s->ch, SMTP_R_BAD_PARAMETER);
				return false;
			}
			if (e != 0 || size > (uint64_t)s->ch.house->limits.smtp_message_bytes) {
				smtp_reply(&s->ch, SMTP_R_TOO_LARGE);
				return false;
			}
		} else if (slice_ieq(name, SLICE("BODY")) && slice_ieq(value, SLICE("8BITMIME"))) {
			s->body_8bitmime = true;
		} else if (slice_ieq(name, SLICE("BODY")) && slice_ieq(value, SLICE("7BIT"))) {
			s->body_8bitmime = false;
		} else if (slice_ieq(name, SLICE("BODY"))) {
			smtp_reply(&s->ch, SMTP_R_BAD_PARAMETER);
			return false;
		} else if (!s->c->submission || !slice_ieq(name, SLICE("AUTH"))) {
			smtp_reply_more(&s->ch, SMTP_R_UNKNOWN_PARAMETER, SLICE_EMPTY);
			return false;
		}
	}
	return true;
}

static void
command_mail(struct smtp_server *s, const struct smtp_command *c)
{
	struct smtp_parameters ps;
	struct smtp_path path;
	bool allowed = true;
	int e;

	if (!s->ch.greeted || s->in_mail) {
		smtp_reply(&s->ch, s->in_mail ? SMTP_R_NESTED_MAIL : SMTP_R_HELLO_FIRST);
		return;
	}
	e = smtp_path_argument_parse(c->argument, SLICE("FROM"), &s->arena, &path, &ps);
	if (e == 0 && !path.null && path.domain.n == 0)
		e = ERR_INVALID;
	if (e != 0) {
		refuse_path(s, e, &path, SMTP_R_BAD_MAIL, SMTP_R_BAD_SENDER);
		transaction_reset(s);
		return;
	}
	if (!mail_parameters(s, &ps)) {
		transaction_reset(s);
		return;
	}
	if (s->c->submission && !path.null)
		e = s->c->backend.may_send_as(s->c->backend.ctx, path.address, &allowed);
	if (e != 0 || !allowed) {
		smtp_reply(&s->ch, e != 0 ? SMTP_R_TEMPFAIL : SMTP_R_NOT_YOUR_ADDRESS);
		transaction_reset(s);
		return;
	}
	s->reverse_path = path.address;
	s->in_mail = true;
	smtp_reply(&s->ch, SMTP_R_SENDER_OK);
}

/* True when the recipient is in the list now; a second time is not added, the message reaches it once. */
static bool
recipient_add(struct smtp_server *s, struct slice address)
{
	for (size_t i = 0; i < s->recipients_count; i++)
		if (slice_eq(s->recipients[i], address))
			return true;
	s->recipients = arena_grow(&s->arena, s->recipients, s->recipients_count, &s->recipients_cap,
	    sizeof(*s->recipients), (size_t)s->ch.house->limits.smtp_recipients);
	if (s->recipients == NULL) {
		s->recipients_count = s->recipients_cap = 0;
		return false;
	}
	s->recipients[s->recipients_count++] = address;
	return true;
}

static void
recipient_judge(struct smtp_server *s, struct slice address)
{
	static const enum smtp_reply_id replies[] = {[RCPT_OK] = SMTP_R_RECIPIENT_OK,
	    [RCPT_REMOTE] = SMTP_R_NO_RELAY,
	    [RCPT_UNKNOWN] = SMTP_R_NO_SUCH_USER,
	    [RCPT_DISABLED] = SMTP_R_DISABLED,
	    [RCPT_SYNTAX] = SMTP_R_BAD_ADDRESS,
	    [RCPT_TEMPFAIL] = SMTP_R_TEMPFAIL,
	    [RCPT_NO_SPACE] = SMTP_R_NO_SPACE,
	    [RCPT_NOT_ALLOWED] = SMTP_R_NOT_FOR_YOU,
	    [RCPT_BAD_RETURN] = SMTP_R_BAD_RETURN,
	    [RCPT_LOOP] = SMTP_R_ADDRESS_LOOP};
	int64_t result = 0;
	int e = s->c->backend.rcpt(s->c->backend.ctx, s->reverse_path, address, &result);

	if (e != 0 || result < RCPT_OK || (size_t)result >= COUNT_OF(replies)) {
		smtp_reply(&s->ch, SMTP_R_TEMPFAIL);
		return;
	}
	if (result == RCPT_OK || (result == RCPT_REMOTE && s->c->submission)) {
		smtp_reply(&s->ch, recipient_add(s, address) ? SMTP_R_RECIPIENT_OK : SMTP_R_NO_SPACE);
		return;
	}
	s->c->sessions->recipients_refused++;
	smtp_reply(&s->ch, replies[result]);
}

static void
command_rcpt(struct smtp_server *s, const struct smtp_command *c)
{
	struct smtp_parameters ps;
	struct smtp_path path;
	int e;

	if (!s->in_mail) {
		smtp_reply(&s->ch, SMTP_R_MAIL_FIRST);
		return;
	}
	if (s->recipients_count >= (size_t)s->ch.house->limits.smtp_recipients) {
		smtp_reply(&s->ch, SMTP_R_TOO_MANY_RECIPIENTS);
		return;
	}
	e = smtp_path_argument_parse(c->argument, SLICE("TO"), &s->arena, &path, &ps);
	if (e == 0 && path.null)
		e = ERR_INVALID;
	if (e != 0)
		refuse_path(s, e, &path, SMTP_R_BAD_RCPT, SMTP_R_BAD_RECIPIENT);
	else if (ps.n > 0)
		smtp_reply(&s->ch, SMTP_R_UNKNOWN_PARAMETER);
	else
		recipient_judge(s, path.address);
}

static void
command_data(struct smtp_server *s)
{
	if (!s->in_mail) {
		smtp_reply(&s->ch, SMTP_R_MAIL_FIRST);
		return;
	}
	if (s->recipients_count == 0) {
		smtp_reply(&s->ch, SMTP_R_RCPT_FIRST);
		return;
	}
	smtp_reply(&s->ch, SMTP_R_GO_AHEAD);
	smtp_intake_run(s);
	transaction_reset(s);
}

static void
command_run(struct smtp_server *s, const struct smtp_command *c)
{
	if (!smtp_channel_accepts(&s->ch, c))
		return;
	switch (c->verb) {
	case SMTP_MAIL: command_mail(s, c); break;
	case SMTP_RCPT: command_rcpt(s, c); break;
	case SMTP_DATA: command_data(s); break;
	case SMTP_AUTH: smtp_reply(&s->ch, SMTP_R_SIGNED_IN_ALREADY); break;
	case SMTP_EHLO:
	case SMTP_HELO:
	case SMTP_RSET:
	case SMTP_STARTTLS:
		transaction_reset(s);
		(void)smtp_channel_common(&s->ch, c);
		break;
	default: (void)smtp_channel_common(&s->ch, c);
	}
}

static void
greet(struct smtp_server *s)
{
	const struct smtp_session_config *c = s->c;

	if (c->refused) {
		smtp_channel_end(&s->ch, SMTP_R_TOO_MANY_SESSIONS);
	} else if (c->submission) {
		/* The porch has heard EHLO and AUTH; RFC 4954 keeps the state without a security layer. */
		s->ch.greeted = s->ch.extended = slice_to_z(c->helo, s->ch.helo, sizeof(s->ch.helo)) == 0 &&
		    c->helo.n > 0;
		smtp_reply(&s->ch, SMTP_R_SIGNED_IN);
	} else {
		(void)!stream_printf(s->ch.st, "%d %.*s %s\r\n", smtp_replies[SMTP_R_GREETING].code,
		    SLICE_ARG(c->hostname), smtp_replies[SMTP_R_GREETING].text);
	}
}

void
smtp_session(struct stream *st, const struct smtp_session_config *c)
{
	struct smtp_server *s = calloc(1, sizeof(*s));
	struct slice line;

	if (s == NULL)
		return;
	smtp_channel_open(&s->ch, st, c->loop, c->sessions);
	s->c = c;
	s->ch.hostname = c->hostname;
	s->ch.tls = c->tls;
	s->ch.where = c->submission ? SMTP_DESK : SMTP_GATE;
	arena_init(&s->arena, TRANSACTION_BYTES_MAX);
	greet(s);
	while (!s->ch.over) {
		int e = smtp_channel_line(&s->ch, (size_t)s->ch.house->limits.smtp_command_bytes, &line);

		if (e == 0) {
			struct smtp_command command = smtp_command_parse(line);

			command_run(s, &command);
		} else if (e != ERR_LIMIT) {
			break;
		}
	}
	smtp_channel_close(&s->ch);
	arena_free(&s->arena);
	free(s);
}
