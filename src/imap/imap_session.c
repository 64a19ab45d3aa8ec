/* imap_session.c: the desk's half of a session: the loop of commands. The session's own fiber only waits, on a stack that
 * stays small; each command runs on a fiber of its own, whose stack goes back to the pool when it is answered, and
 * so does the command's memory. That is what lets thousands of sessions idle. */
#include "imap/imap_session.h"

#include "base/log.h"
#include "imap/imap_notify.h"
#include "imap/imap_place.h"

static const struct command_row {
	struct slice name;
	unsigned states;
	bool uid;
	imap_handler *handler;
} command_rows[] = {
#define COMMAND(name, states, uid, handler, help) {SLICE_INIT(name), states, uid, imap_do_##handler},
#include "imap/commands.def"
};

static const struct command_row *
find_command(struct slice name)
{
	for (size_t i = 0; i < COUNT_OF(command_rows); i++)
		if (slice_ieq(command_rows[i].name, name))
			return &command_rows[i];
	return NULL;
}

static void
dispatch(struct imap_session *s, struct imap_lex *x)
{
	struct slice name = imap_lex_atom(x);
	const struct command_row *row;

	s->uid = slice_ieq(name, SLICE("UID"));
	if (s->uid) {
		imap_lex_space(x);
		name = imap_lex_atom(x);
	}
	if (imap_bad_syntax(s, x))
		return;
	row = find_command(name);
	s->name = s->uid ? arena_printf(&s->arena, "UID %.*s", SLICE_ARG(name)) : name;
	if (row == NULL || (s->uid && !row->uid))
		imap_bad(s, "no such command");
	else if ((row->states & (s->view != NULL ? IMAP_SELECTED : IMAP_SIGNED_IN)) == 0)
		imap_bad(s, "no mailbox is selected");
	else if (imap_is_on(s, IMAP_ON_UIDONLY) && row->uid && !s->uid && !slice_ieq(name, SLICE("EXPUNGE")))
		imap_bad(s, "[UIDREQUIRED] sequence numbers are not allowed once UIDONLY is enabled");
	else
		row->handler(s, x);
}

static void
serve_command(struct imap_session *s)
{
	const struct imap_command_limits l = {
	    (size_t)s->limits->imap_line_bytes, (size_t)s->limits->imap_command_bytes};
	struct slice text;
	int64_t began_us;
	int err;

	buf_reset(&s->command.text);
	s->name = SLICE_EMPTY;
	s->uid = false;
	err = imap_command_read(s->st, &l, &s->command);
	if (err != 0 && err != ERR_SYNTAX && err != ERR_LIMIT)
		return;
	s->c->counters->commands++;
	began_us = house_mono_us(s->c->house);
	text = buf_slice(&s->command.text);
	s->tag = imap_command_tag(text);
	if (err == 0 && s->tag.n == 0)
		s->command.why = "expected a tag";
	if (s->command.why != NULL) {
		imap_bad(s, s->command.why);
		if (err == ERR_LIMIT)
			imap_bye(s, "that was too much");
	} else {
		struct imap_lex x = imap_lex_of(text, &s->arena, s->limits->imap_nesting);

		(void)imap_lex_tag(&x);
		imap_lex_space(&x);
		if (!imap_bad_syntax(s, &x))
			dispatch(s, &x);
	}
	histogram_add(&s->c->counters->times, HISTOGRAM_COMMANDS, house_mono_us(s->c->house) - began_us);
	/* An APPEND that was refused before its literal was read: it still comes. */
	if (s->command.has_message && s->command.message_nonsync && !s->ended)
		imap_bye(s, "the message literal cannot be taken");
	if (s->errors > s->limits->imap_errors && !s->ended)
		imap_bye(s, "too many errors");
}

/* One thing to do, on a fiber of its own. */
static void
step(struct imap_session *s)
{
	imap_notify_own(s, fiber_self(s->c->loop));
	imap_view_check(s);
	if (s->ended)
		;
	else if (s->idling)
		imap_idle_step(s);
	else if (stream_readable_now(s->st))
		serve_command(s);
	if (!s->ended && stream_error(s->st) == 0)
		imap_push_news(s);
	imap_notify_own(s, NULL);
	if (s->view != NULL && store_view_gone(s->view) && !s->ended)
		imap_bye(s, "the selected mailbox has been deleted");
	imap_places_forget(s);
	if (!stream_readable_now(s->st) || s->ended) {
		if (stream_flush(s->st) != 0)
			s->ended = true;
		arena_free(&s->arena);
		buf_free(&s->command.text);
		buf_free(&s->line);
	} else {
		arena_reset(&s->arena);
	}
}

struct step_call {
	struct imap_session *s;
	struct fiber *waiter;
	bool done;
};

static void
step_fiber(void *arg)
{
	struct step_call *c = arg;

	step(c->s);
	c->done = true;
	fiber_wake(c->waiter);
}

static int
run_step(struct imap_session *s)
{
	struct step_call c = {s, s->fiber, false};
	struct fiber *f;
	int err = fiber_start(s->c->loop, "imap command", step_fiber, &c, &f);

	if (err != 0) {
		imap_bye(s, "out of memory");
		return err;
	}
	while (!c.done) {
		err = fiber_park(s->c->loop, DEADLINE_NEVER);
		if (err != 0)
			fiber_cancel(f);
		if (err != 0)
			break;
	}
	fiber_join(s->c->loop, &f);
	return err;
}

/* Until there is input, or news for an idling client. */
static int
wait_for_work(struct imap_session *s)
{
	int64_t end = loop_deadline(s->c->loop, s->limits->imap_idle_timeout_ms);

	for (;;) {
		int64_t still = loop_deadline(s->c->loop, IMAP_IDLE_STILL_HERE_MS);
		int err;

		if (*s->c->stopping) {
			imap_bye(s, "the server is shutting down");
			return ERR_CLOSED;
		}
		if (stream_readable_now(s->st) || imap_has_news_to_push(s))
			return 0;
		err = stream_wait_readable_or_wake(s->st, s->idling && still < end ? still : end);
		if (err == ERR_TIMEOUT && s->idling && loop_now_ms(s->c->loop) < end) {
			/* Keeps the ways through address translators open. */
			imap_write(s, SLICE("* OK Still here\r\n"));
			err = stream_flush(s->st);
		} else if (err == ERR_TIMEOUT) {
			imap_bye(s, "idle for too long");
		}
		if (err != 0)
			return err;
	}
}

static void
greet(struct imap_session *s)
{
	struct buf BUF_CLEANUP names;

	buf_init(&names, 4096);
	imap_put_capabilities(&names, IMAP_CAP_ALWAYS | IMAP_CAP_AFTER, s->limits);
	imap_write(s, s->c->tag);
	imap_write(s, SLICE(" OK [CAPABILITY "));
	imap_write_buf(s, &names);
	imap_write(s, SLICE("] Signed in\r\n"));
}

int
imap_session(struct stream *st, struct store_account *account, const struct imap_session_config *c)
{
	struct imap_session s = {
	    .st = st,
	    .account = account,
	    .c = c,
	    .limits = &c->house->limits,
	    .rights = STORE_RIGHTS_ALL,
	    .fiber = fiber_self(c->loop),
	};
	int err;

	arena_init(&s.arena, IMAP_COMMAND_ARENA_BYTES);
	buf_init(&s.line, IMAP_RESPONSE_BYTES_MAX);
	buf_init(&s.command.text, (size_t)(s.limits->imap_line_bytes + s.limits->imap_command_bytes + 1024));
	stream_set_timeouts(st, IMAP_MID_COMMAND_MS, s.limits->write_timeout_ms);
	c->counters->sessions++;
	c->counters->sessions_open++;
	greet(&s);
	err = stream_flush(st);
	while (err == 0 && !s.ended) {
		err = wait_for_work(&s);
		if (err == 0)
			err = run_step(&s);
		if (err == 0)
			err = stream_error(st);
	}
	if (s.ended)
		err = stream_error(st) != 0 ? stream_error(st) : stream_flush(st);
	imap_notify_end(&s);
	imap_deselect(&s);
	if (s.idling)
		c->counters->idling--;
	arena_free(&s.arena);
	buf_free(&s.command.text);
	buf_free(&s.line);
	c->counters->sessions_open--;
	LOG(c->house, INFO, "imap_session_ended", LOG_S("login", c->login), LOG_S("client", c->client), LOG_E(err),
	    LOG_I("bytes_out", stream_bytes_out(st)));
	return err;
}
