#include "smtp/channel.h"

#include "base/log.h"

const struct smtp_reply_row smtp_replies[SMTP_R_COUNT] = {
#define REPLY(name, code, status, text) {(code), (status), (text)},
#include "smtp/replies.def"
#undef REPLY
};

void
smtp_sessions_init(struct smtp_sessions *s)
{
	*s = (struct smtp_sessions){0};
	list_init(&s->running);
}

void
smtp_sessions_stop(struct smtp_sessions *s)
{
	s->stopping = true;
	LIST_FOREACH (&s->running, n) {
		struct smtp_channel *ch = CONTAINER_OF(n, struct smtp_channel, node);
		struct fiber *f = ch->waiting;

		ch->waiting = NULL;
		if (f != NULL)
			fiber_wake(f);
	}
}

void
smtp_channel_open(struct smtp_channel *ch, struct stream *st, struct loop *loop, struct smtp_sessions *sessions)
{
	*ch = (struct smtp_channel){
	    .sessions = sessions, .st = st, .loop = loop, .house = loop_house(loop), .deadline_ms = DEADLINE_NEVER};
	ch->message_bytes = ch->house->limits.smtp_message_bytes;
	ch->mails_max = ch->house->limits.smtp_session_messages;
	stream_set_timeouts(st, ch->house->limits.smtp_command_timeout_ms, ch->house->limits.write_timeout_ms);
	list_push(&sessions->running, &ch->node);
	sessions->count++;
	sessions->started++;
}

void
smtp_channel_close(struct smtp_channel *ch)
{
	(void)!stream_shutdown(ch->st);
	list_remove(&ch->node);
	ch->sessions->count--;
}

/* ---- replies -------------------------------------------------------------------------------------------- */

static void
write_reply(struct smtp_channel *ch, int code, const char *status, struct slice text, struct slice more)
{
	/* A failed write sticks to the stream: the next read ends the session. */
	if (status[0] != '\0')
		(void)!stream_printf(ch->st, "%d %s ", code, status);
	else
		(void)!stream_printf(ch->st, "%d ", code);
	(void)!stream_write(ch->st, text);
	(void)!stream_write(ch->st, more);
	(void)!stream_write(ch->st, SLICE("\r\n"));
}

void
smtp_channel_end(struct smtp_channel *ch, enum smtp_reply_id id)
{
	const struct smtp_reply_row *r = &smtp_replies[id];

	if (ch->over)
		return;
	write_reply(ch, r->code, r->status, slice_z(r->text), SLICE_EMPTY);
	ch->over = true;
}

/* Who makes many errors waits for each further reply a little longer. False when too many wait already. */
static bool
tarpit(struct smtp_channel *ch)
{
	const struct limits *l = &ch->house->limits;
	int64_t delay_ms = (ch->errors - l->smtp_errors_free) * l->smtp_tarpit_ms;

	if (delay_ms <= 0)
		return true;
	if (ch->sessions->delayed >= l->smtp_tarpit_sessions)
		return false;
	ch->sessions->delayed++;
	/* A cancelled session is let go at once. */
	(void)!fiber_sleep(ch->loop, delay_ms < l->smtp_tarpit_max_ms ? delay_ms : l->smtp_tarpit_max_ms);
	ch->sessions->delayed--;
	return true;
}

/* Before an error is answered. False: it is one too many. */
static bool
count_error(struct smtp_channel *ch)
{
	enum smtp_guarded g = SMTP_GUARD_FREE;

	ch->errors++;
	if (ch->guard != NULL)
		g = ch->guard->count(ch->guard->ctx, SMTP_COUNTED_ERROR);
	if (ch->errors >= ch->house->limits.smtp_errors || g == SMTP_GUARD_OVER)
		return false;
	return g == SMTP_GUARD_FREE || tarpit(ch);
}

void
smtp_reply_again(struct smtp_channel *ch, enum smtp_reply_id id, struct slice more)
{
	const struct smtp_reply_row *r = &smtp_replies[id];

	if (!ch->over)
		write_reply(ch, r->code, r->status, slice_z(r->text), more);
}

void
smtp_reply_more(struct smtp_channel *ch, enum smtp_reply_id id, struct slice more)
{
	const struct smtp_reply_row *r = &smtp_replies[id];
	/* Who sends to many at once may learn so in the middle of a pipeline. */
	bool fine = ch->over || r->code < 400 || id == SMTP_R_TOO_MANY_RECIPIENTS || count_error(ch);

	if (ch->over)
		return;
	write_reply(ch, r->code, r->status, slice_z(r->text), more);
	if (!fine)
		smtp_channel_end(ch, SMTP_R_TOO_MANY_ERRORS);
}

void
smtp_reply(struct smtp_channel *ch, enum smtp_reply_id id)
{
	smtp_reply_more(ch, id, SLICE_EMPTY);
}

/* ---- reading -------------------------------------------------------------------------------------------- */

/* Waits until something is pending, or an error is; what the role wants meanwhile comes first. */
static int
wait_first(struct smtp_channel *ch, int64_t deadline_ms, bool command)
{
	int e = 0;

	while (e == 0 && !stream_readable_now(ch->st)) {
		if (command && ch->sessions->stopping) {
			smtp_channel_end(ch, SMTP_R_STOPPING);
			return ERR_CANCELLED;
		}
		e = stream_flush(ch->st);
		if (e != 0)
			break;
		ch->waiting = command ? fiber_self(ch->loop) : NULL;
		e = stream_wait_readable_or_wake(ch->st, deadline_ms);
		ch->waiting = NULL;
	}
	return e;
}

int
smtp_channel_wait(struct smtp_channel *ch, size_t max, int64_t deadline_ms, bool command)
{
	bool begun = stream_pending(ch->st).n > 0;
	int e = ch->over ? ERR_CLOSED : begun ? stream_flush(ch->st) : wait_first(ch, deadline_ms, command);

	if (e == 0 && (begun || stream_pending(ch->st).n == 0)) {
		stream_set_deadline(ch->st, deadline_ms);
		e = stream_fill(ch->st, max);
		stream_set_deadline(ch->st, DEADLINE_NEVER);
	}
	if (e == ERR_TIMEOUT)
		smtp_channel_end(ch, SMTP_R_TIMEOUT);
	if (e != 0 && e != ERR_LIMIT)
		ch->over = true;
	return e;
}

/* A line over the limit: read on to its end, then say so. */
static int
skip_long_line(struct smtp_channel *ch)
{
	if (stream_skip_line(ch->st, SLICE("\r\n")) != 0) {
		ch->over = true;
		return ERR_CLOSED;
	}
	smtp_reply(ch, SMTP_R_LINE_TOO_LONG);
	return ERR_LIMIT;
}

int
smtp_channel_line(struct smtp_channel *ch, size_t max, struct slice *line)
{
	int64_t deadline = loop_deadline(ch->loop, ch->house->limits.smtp_command_timeout_ms);
	size_t seen = 0;

	if (ch->over)
		return ERR_CLOSED;
	if (deadline > ch->deadline_ms)
		deadline = ch->deadline_ms;
	for (;;) {
		struct slice in = slice_head(stream_pending(ch->st), max);
		size_t lf = slice_find_byte(slice_from(in, seen), '\n');
		int e;

		if (lf != SLICE_NONE) {
			size_t cr = slice_find_byte(slice_head(in, seen + lf), '\r');

			if (cr == SLICE_NONE || cr + 1 != seen + lf) {
				smtp_channel_end(ch, SMTP_R_BARE_LINE_END);
				return ERR_SYNTAX;
			}
			return stream_read_line(ch->st, SLICE("\r\n"), max, line);
		}
		seen = in.n;
		if (in.n == max)
			return skip_long_line(ch);
		e = smtp_channel_wait(ch, max, deadline, true);
		if (e != 0 && e != ERR_LIMIT)
			return e;
	}
}

/* ---- commands that need no message ------------------------------------------------------------------------- */

struct slice
smtp_tls_text(struct stream *st, struct arena *a)
{
	const struct tls_info *info = stream_is_tls(st) ? stream_tls_info(st) : NULL;

	return info == NULL ? SLICE_EMPTY : arena_printf(a, "%s %s", info->version, info->cipher);
}

bool
smtp_channel_is_tls(const struct smtp_channel *ch)
{
	return ch->tls_outside || stream_is_tls(ch->st);
}

static void
command_hello(struct smtp_channel *ch, const struct smtp_command *c)
{
	if (!smtp_helo_is_valid(c->argument) || slice_to_z(c->argument, ch->helo, sizeof(ch->helo)) != 0) {
		smtp_reply(ch, SMTP_R_BAD_HELO);
		return;
	}
	ch->greeted = true;
	ch->extended = c->verb != SMTP_HELO;
	if (ch->extended)
		smtp_reply_extensions(ch);
	else
		smtp_reply_more(ch, SMTP_R_HELLO, ch->hostname);
}

static void
command_help(struct smtp_channel *ch)
{
	const struct smtp_reply_row *r = &smtp_replies[SMTP_R_HELP];

	for (size_t i = 0; i < smtp_commands_count; i++)
		if ((smtp_commands[i].where & ch->where) != 0)
			(void)!stream_printf(
			    ch->st, "%d-%s %.*s\r\n", r->code, r->status, SLICE_ARG(smtp_commands[i].help));
	smtp_reply_more(ch, SMTP_R_HELP, SLICE("End of help"));
}

static void
command_starttls(struct smtp_channel *ch)
{
	int e;

	if (stream_is_tls(ch->st)) {
		smtp_reply(ch, SMTP_R_TLS_ALREADY);
		return;
	}
	if (ch->tls == NULL) {
		smtp_reply(ch, SMTP_R_NOT_IMPLEMENTED);
		return;
	}
	if (!tls_server_ready(ch->tls)) {
		smtp_reply(ch, SMTP_R_TLS_UNAVAILABLE);
		return;
	}
	/* What was sent along with STARTTLS was not protected by it (RFC 3207 §5). */
	if (stream_pending(ch->st).n > 0) {
		smtp_channel_end(ch, SMTP_R_TLS_FAILED);
		return;
	}
	smtp_reply(ch, SMTP_R_STARTTLS);
	e = stream_flush(ch->st);
	if (e == 0)
		e = stream_start_tls_server(
		    ch->st, ch->tls, loop_deadline(ch->loop, ch->house->limits.handshake_timeout_ms));
	if (e != 0) {
		LOG(ch->house, INFO, "smtp_handshake_failed", LOG_E(e));
		ch->over = true;
	}
	/* RFC 3207 §4.2: everything before is forgotten. */
	ch->greeted = ch->extended = false;
	ch->helo[0] = '\0';
}

bool
smtp_channel_common(struct smtp_channel *ch, const struct smtp_command *c)
{
	switch (c->verb) {
	case SMTP_EHLO:
	case SMTP_LHLO:
	case SMTP_HELO: command_hello(ch, c); return true;
	case SMTP_NOOP:
	case SMTP_RSET: smtp_reply(ch, SMTP_R_OK); return true;
	case SMTP_VRFY: smtp_reply(ch, SMTP_R_VRFY); return true;
	case SMTP_HELP: command_help(ch); return true;
	case SMTP_QUIT: smtp_channel_end(ch, SMTP_R_QUIT); return true;
	case SMTP_STARTTLS: command_starttls(ch); return true;
	default: return false;
	}
}

bool
smtp_channel_accepts(struct smtp_channel *ch, const struct smtp_command *c)
{
	if (c->verb == SMTP_VERB_FOREIGN)
		smtp_channel_end(ch, SMTP_R_NOT_SMTP);
	else if (c->row == NULL)
		smtp_reply(ch, SMTP_R_UNKNOWN);
	else if ((c->row->where & ch->where) == 0)
		smtp_reply(ch, SMTP_R_NOT_IMPLEMENTED);
	else if (c->row->argument == SMTP_ARGUMENT_NONE && c->argument.n > 0)
		smtp_reply(ch, SMTP_R_NO_ARGUMENT);
	else if (c->row->argument == SMTP_ARGUMENT_SOME && c->argument.n == 0)
		smtp_reply(ch, SMTP_R_NEEDS_ARGUMENT);
	else
		return true;
	return false;
}
