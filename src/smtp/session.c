#include "smtp/session.h"

#include "base/log.h"
#include "smtp/xclient.h"

/* Recipients and paths of one transaction; a path is at most SMTP_PATH_MAX and lies there three times. */
#define TRANSACTION_BYTES_MAX (4 << 20)
/* Recipients beyond the limit are told so; who does not stop then is not listening. */
#define RCPTS_REFUSED_MAX 100000
#define SMTP_PRIORITY_MAX 9

static void
transaction_reset(struct smtp_server *s)
{
	smtp_intake_free(&s->in);
	arena_reset(&s->arena);
	s->in_mail = s->submitting = s->chunks_failed = false;
	s->message_bytes_max = s->ch.message_bytes;
	s->recipients_max = s->ch.house->limits.smtp_recipients;
	s->mail = (struct smtp_mail_envelope){0};
	s->reverse_path = SLICE_EMPTY;
	s->recipients = s->envelopes = NULL;
	s->recipients_count = s->recipients_cap = s->envelopes_cap = 0;
	s->accepted = 0;
	s->rcpts = 0;
}

/* Answers a path that could not be read. */
static void
refuse_path(
    struct smtp_server *s, int e, const struct smtp_path *path, enum smtp_reply_id syntax, enum smtp_reply_id bad)
{
	bool sender = bad == SMTP_R_BAD_SENDER;

	if (e == ERR_NOMEM)
		smtp_reply(&s->ch, SMTP_R_NO_SPACE);
	else if (e == ERR_SYNTAX)
		smtp_reply(&s->ch, syntax);
	else if (e == ERR_LIMIT)
		smtp_reply(&s->ch, SMTP_R_BAD_PARAMETER);
	else if (path->error == SMTP_PATH_NOT_ASCII)
		smtp_reply(&s->ch, sender ? SMTP_R_NOT_ASCII_SENDER : SMTP_R_NOT_ASCII);
	else
		smtp_reply(&s->ch, bad);
}

/* What this session offers, and what its client has asked for in MAIL. */
static enum smtp_reply_id
read_mail_envelope(struct smtp_server *s, const struct smtp_parameters *ps, const struct smtp_path *path)
{
	const struct limits *l = &s->ch.house->limits;
	const struct smtp_envelope_rules rules = {.now_s = house_now_s(s->ch.house),
	    .message_bytes = s->message_bytes_max,
	    .hold_max_s = s->submitting ? l->submission_hold_ms / 1000 : 0,
	    .priority_max = s->submitting || s->c->lmtp ? SMTP_PRIORITY_MAX : 0,
	    .tls = smtp_channel_is_tls(&s->ch),
	    .auth = s->submitting};
	enum smtp_reply_id refusal = smtp_mail_envelope_read(ps, &rules, &s->mail);

	if (refusal != SMTP_R_OK)
		return refusal;
	if (path->utf8 && !s->mail.utf8)
		return SMTP_R_NOT_ASCII_SENDER;
	s->mail.envid = arena_copy(&s->arena, s->mail.envid);
	return arena_failed(&s->arena) ? SMTP_R_NO_SPACE : SMTP_R_OK;
}

/* What comes before MAIL is even read: SMTP_R_OK, or the reply. */
static enum smtp_reply_id
may_begin(struct smtp_server *s)
{
	if (s->in_mail)
		return SMTP_R_NESTED_MAIL;
	if (!s->ch.greeted)
		return SMTP_R_HELLO_FIRST;
	return s->c->policy.require_tls && !smtp_channel_is_tls(&s->ch) ? SMTP_R_TLS_NEEDED : SMTP_R_OK;
}

/* The lower of the house's limit and the sender's own (0: none). */
static int64_t
lower(int64_t house, int64_t own)
{
	return own > 0 && own < house ? own : house;
}

/* Whether the sender may begin a message, and as what: a listed stranger may submit as its senders and is else like any
 * other. `detail`: a sentence that goes with the reply. */
static enum smtp_reply_id
sender_may_begin(struct smtp_server *s, const struct smtp_path *path, struct slice *detail)
{
	struct smtp_submitter sender = {.result = SENDER_OTHER};
	int e;

	*detail = SLICE_EMPTY;
	if (!s->c->submission && !s->listed)
		return SMTP_R_OK;
	e = s->c->backend.sender(s->c->backend.ctx, path->null ? SLICE_EMPTY : path->address, true, &s->arena, &sender);
	if (e != 0)
		return SMTP_R_TEMPFAIL;
	*detail = sender.detail;
	if (sender.result == SENDER_RATE)
		return SMTP_R_RATE;
	s->submitting = sender.result == SENDER_OK;
	if (!s->submitting)
		return s->c->submission ? SMTP_R_NOT_YOUR_ADDRESS : SMTP_R_OK;
	s->message_bytes_max = lower(s->message_bytes_max, sender.message_bytes);
	s->recipients_max = lower(s->recipients_max, sender.recipients);
	return SMTP_R_OK;
}

static bool
is_over(struct smtp_server *s, enum smtp_counted what)
{
	const struct smtp_guard *g = s->c->guard;

	return g != NULL && g->count(g->ctx, what) == SMTP_GUARD_OVER;
}

static void
command_mail(struct smtp_server *s, const struct smtp_command *c)
{
	enum smtp_reply_id refusal = may_begin(s);
	struct smtp_parameters ps;
	struct smtp_path path;
	struct slice detail;
	int e;

	if (refusal == SMTP_R_OK && is_over(s, SMTP_COUNTED_MESSAGE))
		refusal = SMTP_R_TOO_FAST;
	if (refusal != SMTP_R_OK) {
		smtp_reply(&s->ch, refusal);
		return;
	}
	if (s->ch.mails_max > 0 && ++s->mails > s->ch.mails_max) {
		smtp_channel_end(&s->ch, SMTP_R_TOO_MANY_MESSAGES);
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
	refusal = sender_may_begin(s, &path, &detail);
	if (refusal == SMTP_R_OK) {
		detail = SLICE_EMPTY;
		refusal = read_mail_envelope(s, &ps, &path);
	}
	if (refusal != SMTP_R_OK) {
		smtp_reply_more(&s->ch, refusal, detail);
		transaction_reset(s);
		return;
	}
	s->reverse_path = path.address;
	s->in_mail = true;
	smtp_reply(&s->ch, s->mail.priority_lowered ? SMTP_R_PRIORITY_LOWERED : SMTP_R_SENDER_OK);
}

/* True when the recipient is in the list now; a second time is not added, the message reaches it once. */
static bool
recipient_add(struct smtp_server *s, struct slice address, struct slice envelope)
{
	size_t n = s->recipients_count, max = (size_t)s->ch.house->limits.smtp_recipients;

	for (size_t i = 0; i < n; i++)
		if (slice_eq(s->recipients[i], address))
			return true;
	s->recipients = arena_grow(&s->arena, s->recipients, n, &s->recipients_cap, sizeof(*s->recipients), max);
	s->envelopes = arena_grow(&s->arena, s->envelopes, n, &s->envelopes_cap, sizeof(*s->envelopes), max);
	if (s->recipients == NULL || s->envelopes == NULL) {
		s->recipients_count = s->recipients_cap = s->envelopes_cap = 0;
		s->recipients = s->envelopes = NULL;
		return false;
	}
	s->recipients[n] = address;
	s->envelopes[n] = envelope;
	s->recipients_count++;
	return true;
}

/* Answers; true when the recipient is in. */
static bool
recipient_judge(struct smtp_server *s, struct slice address, struct slice envelope)
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
	    [RCPT_LOOP] = SMTP_R_ADDRESS_LOOP,
	    [RCPT_FULL] = SMTP_R_FULL,
	    [RCPT_SUPPRESSED] = SMTP_R_NO_RELAY};
	struct slice detail = SLICE_EMPTY;
	int64_t result = 0;
	int e = s->c->backend.rcpt(s->c->backend.ctx, s->reverse_path, address, &s->arena, &result, &detail);

	if (e != 0 || result < RCPT_OK || (size_t)result >= COUNT_OF(replies)) {
		smtp_reply(&s->ch, SMTP_R_TEMPFAIL);
		return false;
	}
	if (result == RCPT_OK || (result == RCPT_REMOTE && s->submitting)) {
		bool added = recipient_add(s, address, envelope);

		smtp_reply(&s->ch, added ? SMTP_R_RECIPIENT_OK : SMTP_R_NO_SPACE);
		s->accepted += added;
		return added;
	}
	s->c->sessions->recipients_refused++;
	/* What the list of suppressed addresses says is for those who may send there. */
	if (result == RCPT_SUPPRESSED && s->submitting)
		smtp_reply_more(&s->ch, SMTP_R_SUPPRESSED, detail);
	else
		smtp_reply(&s->ch, replies[result]);
	return false;
}

/* The parameters as lines, in the arena. */
static enum smtp_reply_id
read_rcpt_envelope(
    struct smtp_server *s, const struct smtp_parameters *ps, const struct smtp_path *path, struct slice *out)
{
	enum smtp_reply_id refusal;
	BUF_CLEANUP struct buf lines;

	buf_init(&lines, SMTP_RCPT_LINES_MAX);
	refusal = smtp_rcpt_envelope_read(ps, s->mail.utf8, &lines);
	*out = arena_copy(&s->arena, buf_slice(&lines));
	if (refusal != SMTP_R_OK)
		return refusal;
	if (path->utf8 && !s->mail.utf8)
		return SMTP_R_NOT_ASCII;
	return lines.err != 0 || arena_failed(&s->arena) ? SMTP_R_NO_SPACE : SMTP_R_OK;
}

static bool
rcpt(struct smtp_server *s, struct slice argument)
{
	enum smtp_reply_id refusal;
	struct slice envelope;
	struct smtp_parameters ps;
	struct smtp_path path;
	int e = smtp_path_argument_parse(argument, SLICE("TO"), &s->arena, &path, &ps);

	if (e == 0 && path.null)
		e = ERR_INVALID;
	if (e != 0) {
		refuse_path(s, e, &path, SMTP_R_BAD_RCPT, SMTP_R_BAD_RECIPIENT);
		return false;
	}
	refusal = read_rcpt_envelope(s, &ps, &path, &envelope);
	if (refusal != SMTP_R_OK) {
		smtp_reply(&s->ch, refusal);
		return false;
	}
	return recipient_judge(s, path.address, envelope);
}

static void
command_rcpt(struct smtp_server *s, const struct smtp_command *c)
{
	struct arena_mark mark = arena_mark(&s->arena);

	if (!s->in_mail) {
		smtp_reply(&s->ch, SMTP_R_MAIL_FIRST);
	} else if (s->in.open || s->chunks_failed) {
		smtp_reply(&s->ch, s->in.open ? SMTP_R_CHUNKS_BEGUN : SMTP_R_CHUNKS_FAILED);
	} else if ((int64_t)s->recipients_count >= s->recipients_max) {
		if (++s->rcpts > RCPTS_REFUSED_MAX)
			smtp_channel_end(&s->ch, SMTP_R_TOO_MANY_ERRORS);
		else
			smtp_reply(&s->ch, SMTP_R_TOO_MANY_RECIPIENTS);
	} else if (is_over(s, SMTP_COUNTED_RECIPIENT)) {
		smtp_reply(&s->ch, SMTP_R_TOO_FAST);
	} else if (!rcpt(s, c->argument)) {
		arena_release(&s->arena, mark);
	}
}

/* Why a text cannot begin, or SMTP_R_OK. */
static enum smtp_reply_id
may_send_text(const struct smtp_server *s, bool chunks)
{
	if (!s->in_mail)
		return SMTP_R_MAIL_FIRST;
	if (s->chunks_failed)
		return SMTP_R_CHUNKS_FAILED;
	if (s->in.open && !chunks)
		return SMTP_R_CHUNKS_BEGUN;
	if (s->recipients_count == 0)
		return SMTP_R_RCPT_FIRST;
	/* RFC 3030 §3 */
	return s->mail.body == SMTP_BODY_BINARYMIME && !chunks ? SMTP_R_BINARY_NEEDS_BDAT : SMTP_R_OK;
}

/* A message was taken or refused, and the next may take its time. */
static void
transaction_end(struct smtp_server *s)
{
	transaction_reset(s);
	s->ch.deadline_ms = loop_deadline(s->ch.loop, s->ch.house->limits.smtp_idle_timeout_ms);
	s->idle_commands = 0;
}

static void
command_data(struct smtp_server *s)
{
	enum smtp_reply_id refusal = may_send_text(s, false);

	smtp_reply(&s->ch, refusal == SMTP_R_OK ? SMTP_R_GO_AHEAD : refusal);
	if (refusal != SMTP_R_OK)
		return;
	smtp_intake_run(s);
	transaction_end(s);
}

/* RFC 3030 §2. What follows the line are bytes of the message, whether or not it is wanted; and where that cannot be said, the
 * session ends, since those bytes must not be taken for commands. */
static void
command_bdat(struct smtp_server *s, const struct smtp_command *c)
{
	enum smtp_reply_id refusal = may_send_text(s, true);
	int64_t began_ms = loop_now_ms(s->ch.loop);
	uint64_t size;
	bool last;

	if (smtp_bdat_argument_parse(c->argument, &size, &last) != 0) {
		smtp_channel_end(&s->ch, SMTP_R_BAD_BDAT);
		return;
	}
	smtp_intake_chunk(s, size, last, refusal);
	/* While a chunk came, at its own pace, nobody was idle. */
	s->ch.deadline_ms += loop_now_ms(s->ch.loop) - began_ms;
	if (last && refusal == SMTP_R_OK && !s->chunks_failed)
		transaction_end(s);
}

static void
put_greeting(struct smtp_server *s)
{
	const struct smtp_reply_row *r = &smtp_replies[s->c->lmtp ? SMTP_R_GREETING_LMTP : SMTP_R_GREETING];

	(void)!stream_printf(s->ch.st, "%d %.*s %s", r->code, SLICE_ARG(s->c->hostname), r->text);
	if (s->c->local_sender.n > 0)
		(void)!stream_printf(s->ch.st, " for <%.*s>", SLICE_ARG(s->c->local_sender));
	(void)!stream_write(s->ch.st, SLICE("\r\n"));
}

static void
client_is(struct smtp_server *s, const struct net_address *a)
{
	net_address_text(a, s->client_text);
	net_address_literal(a, s->literal_text);
	s->client = slice_z(s->client_text);
	s->client_literal = slice_z(s->literal_text);
}

/* The session begins anew, as that of the client that the proxy tells of. */
static void
command_xclient(struct smtp_server *s, const struct smtp_command *c)
{
	const struct smtp_guard *g = s->c->guard;
	struct smtp_xclient x;

	if (!s->ch.xclient || s->in_mail) {
		smtp_reply(&s->ch, s->in_mail ? SMTP_R_NOT_NOW : SMTP_R_NOT_IMPLEMENTED);
		return;
	}
	if (smtp_xclient_parse(c->argument, &x) != 0) {
		smtp_reply(&s->ch, SMTP_R_BAD_XCLIENT);
		return;
	}
	/* What the proxy itself may do is not what its clients may. */
	s->listed = false;
	if (x.has_address)
		client_is(s, &x.address);
	LOG(s->ch.house, INFO, "smtp_proxied", LOG_S("proxy", s->c->client), LOG_S("client", s->client));
	if (x.has_address && g != NULL && !g->renamed(g->ctx, &x.address)) {
		smtp_channel_end(&s->ch, SMTP_R_TOO_MANY_SESSIONS);
		return;
	}
	memcpy(s->ch.helo, x.helo, sizeof(x.helo));
	s->ch.greeted = x.has_helo;
	s->ch.extended = x.has_helo && x.extended;
	put_greeting(s);
}

/* Commands that bring no message are few. */
static bool
is_idle_command(enum smtp_verb v)
{
	return v == SMTP_NOOP || v == SMTP_RSET || v == SMTP_HELP || v == SMTP_VRFY || v == SMTP_EHLO ||
	    v == SMTP_HELO || v == SMTP_LHLO || v == SMTP_XCLIENT;
}

static void
command_run(struct smtp_server *s, const struct smtp_command *c)
{
	if (!smtp_channel_accepts(&s->ch, c))
		return;
	if (is_idle_command(c->verb) && ++s->idle_commands > s->ch.house->limits.smtp_idle_commands) {
		smtp_channel_end(&s->ch, SMTP_R_TOO_MANY_COMMANDS);
		return;
	}
	switch (c->verb) {
	case SMTP_MAIL: command_mail(s, c); break;
	case SMTP_RCPT: command_rcpt(s, c); break;
	case SMTP_DATA: command_data(s); break;
	case SMTP_BDAT: command_bdat(s, c); break;
	case SMTP_XCLIENT: command_xclient(s, c); break;
	case SMTP_AUTH: smtp_reply(&s->ch, SMTP_R_SIGNED_IN_ALREADY); break;
	case SMTP_EHLO:
	case SMTP_HELO:
	case SMTP_LHLO:
	case SMTP_RSET:
	case SMTP_STARTTLS:
		transaction_reset(s);
		(void)smtp_channel_common(&s->ch, c);
		break;
	default: (void)smtp_channel_common(&s->ch, c);
	}
}

/* Only a robot that does not listen speaks before the greeting, or one that was tricked into it. */
static bool
talks_early(struct smtp_server *s)
{
	int64_t end_ms = loop_deadline(s->ch.loop, s->ch.house->limits.smtp_greeting_delay_ms);

	if (!s->c->policy.early_talker_check || stream_wait_readable_or_wake(s->ch.st, end_ms) != 0 ||
	    stream_pending(s->ch.st).n == 0)
		return false;
	LOG(s->ch.house, INFO, "early_talker", LOG_S("client", s->client));
	(void)is_over(s, SMTP_COUNTED_ERROR);
	return true;
}

static void
greet(struct smtp_server *s)
{
	const struct smtp_session_config *c = s->c;

	if (c->refused) {
		smtp_channel_end(&s->ch, SMTP_R_TOO_MANY_SESSIONS);
	} else if (c->beginning != SMTP_BEGINS_GREETING) {
		/* The porch has heard EHLO and AUTH; RFC 4954 keeps the state without a security layer. */
		s->ch.greeted = s->ch.extended = slice_to_z(c->helo, s->ch.helo, sizeof(s->ch.helo)) == 0 &&
		    c->helo.n > 0;
		if (c->beginning == SMTP_BEGINS_SIGNED_IN)
			smtp_reply(&s->ch, SMTP_R_SIGNED_IN);
	} else if (talks_early(s)) {
		smtp_channel_end(&s->ch, SMTP_R_EARLY_TALKER);
	} else {
		put_greeting(s);
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
	s->client = c->client;
	s->client_literal = c->client_literal;
	s->listed = c->listed;
	s->ch.guard = c->guard;
	s->ch.xclient = c->policy.xclient;
	s->ch.hostname = c->hostname;
	s->ch.tls = c->tls;
	s->ch.where = c->submission ? SMTP_DESK : c->lmtp ? SMTP_LMTP : SMTP_GATE;
	s->ch.tls_outside = c->submission && c->tls_text.n > 0;
	s->ch.deadline_ms = loop_deadline(c->loop, s->ch.house->limits.smtp_idle_timeout_ms);
	if (c->policy.message_bytes > 0)
		s->ch.message_bytes = c->policy.message_bytes;
	if (c->policy.plain)
		s->ch.mails_max = 0;
	s->in.fd = -1;
	arena_init(&s->arena, TRANSACTION_BYTES_MAX);
	transaction_reset(s);
	greet(s);
	while (!s->ch.over) {
		int e = smtp_channel_line(&s->ch, (size_t)s->ch.house->limits.smtp_command_bytes, &line);

		if (e == 0) {
			struct smtp_command command = smtp_command_parse(line);
			bool content = command.verb == SMTP_DATA || command.verb == SMTP_BDAT;
			int64_t began_us = house_mono_us(s->ch.house);

			command_run(s, &command);
			if (!content)
				histogram_add(
				    &c->sessions->times, HISTOGRAM_COMMANDS, house_mono_us(s->ch.house) - began_us);
		} else if (e != ERR_LIMIT) {
			break;
		}
	}
	smtp_channel_close(&s->ch);
	smtp_intake_free(&s->in);
	arena_free(&s->arena);
	free(s);
}
