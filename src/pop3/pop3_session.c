/* pop3_session.c: the desk's half of a session: the TRANSACTION and UPDATE states (RFC 1939 §5, §6) over a view of the Inbox
 * that never takes news, so that it stays the snapshot that the protocol wants. */
#include "pop3/pop3.h"

#include "base/log.h"
#include "message/surrogate.h"
#include "pop3/pop3_ahead.h"
#include "pop3/pop3_command.h"
#include "pop3/pop3_stuff.h"
#include "store/store.h"

#define PIECE_BYTES 65536u
#define ERRORS_MAX 50
/* Messages that were read ahead are kept so long for a client that is silent. */
#define AHEAD_KEEP_MS 5000

struct session {
	struct stream *st;
	struct store_account *account;
	const struct pop3_session_config *c;
	const struct limits *limits;
	struct store_view *view;
	struct pop3_ahead ahead;
	bool *deleted; /* by sequence number - 1 */
	size_t count;
	size_t left;         /* messages not marked … */
	uint64_t left_bytes; /* … and their size */
	int64_t errors;
	bool ended;
	int result;
};

typedef void session_handler(struct session *s, const struct pop3_command *c);
#define COMMAND(name, handler, help) static session_handler pop3_do_##handler;
#include "pop3/commands.def"

static const struct {
	struct slice name;
	session_handler *handler;
} session_rows[] = {
#define COMMAND(name, handler, help) {SLICE_INIT(name), pop3_do_##handler},
#include "pop3/commands.def"
};

static void
end(struct session *s, int result)
{
	s->ended = true;
	if (s->result == 0)
		s->result = result;
}

static void
say(struct session *s, struct slice bytes)
{
	int err = stream_write(s->st, bytes);

	if (err != 0)
		end(s, err);
}

static void
bad(struct session *s, struct slice reply)
{
	s->errors++;
	s->c->counters->commands_bad++;
	say(s, reply);
}

/* The message a command names: its sequence number, or 0 after a reply. */
static size_t
named(struct session *s, const uint64_t *number, int have, int want)
{
	if (have != want) {
		bad(s, SLICE("-ERR wrong arguments\r\n"));
		return 0;
	}
	if (number[0] == 0 || number[0] > s->count || s->deleted[number[0] - 1]) {
		say(s, SLICE("-ERR no such message\r\n"));
		return 0;
	}
	return (size_t)number[0];
}

static bool
no_argument(struct session *s, const struct pop3_command *c)
{
	uint64_t none[1];

	if (pop3_numbers(c, none, 0) == 0 || c->argument.n == 0)
		return true;
	bad(s, SLICE("-ERR unexpected argument\r\n"));
	return false;
}

static void
pop3_do_capa(struct session *s, const struct pop3_command *c)
{
	struct buf BUF_CLEANUP out;

	(void)c;
	buf_init(&out, 4096);
	buf_put(&out, SLICE("+OK capabilities\r\n"));
	/* RFC 2449 §5: those of the other state may be told too; USER and SASL are no use now. */
	pop3_put_capabilities(&out, s->limits, POP3_CAP_ALWAYS);
	say(s, buf_slice(&out));
}

static void
pop3_do_lang(struct session *s, const struct pop3_command *c)
{
	struct buf BUF_CLEANUP out;

	buf_init(&out, 1000);
	pop3_put_language(&out, c);
	say(s, buf_slice(&out));
}

static void
say_totals(struct session *s, const char *format)
{
	int err = stream_printf(s->st, format, s->left, s->left_bytes);

	if (err != 0)
		end(s, err);
}

static void
pop3_do_stat(struct session *s, const struct pop3_command *c)
{
	if (no_argument(s, c))
		say_totals(s, "+OK %zu %ju\r\n");
}

static void
say_line(struct session *s, const char *lead, size_t seq, bool uidl)
{
	struct store_entry e = store_view_at(s->view, seq);
	int err;

	/* A UID is never given twice under one UIDVALIDITY. */
	if (uidl)
		err = stream_printf(s->st, "%s%zu %08x%08x\r\n", lead, seq, store_view_uidvalidity(s->view), e.uid);
	else
		err = stream_printf(s->st, "%s%zu %u\r\n", lead, seq, e.size);
	if (err != 0)
		end(s, err);
}

static void
list(struct session *s, const struct pop3_command *c, bool uidl)
{
	uint64_t number[1];
	int n = c->argument.n == 0 ? 0 : pop3_numbers(c, number, 1);

	if (n != 0) {
		size_t seq = named(s, number, n, 1);

		if (seq != 0)
			say_line(s, "+OK ", seq, uidl);
		return;
	}
	say_totals(s, "+OK %zu messages (%ju octets)\r\n");
	for (size_t seq = 1; seq <= s->count && !s->ended; seq++)
		if (!s->deleted[seq - 1])
			say_line(s, "", seq, uidl);
	say(s, SLICE(".\r\n"));
}

static void
pop3_do_list(struct session *s, const struct pop3_command *c)
{
	list(s, c, false);
}

static void
pop3_do_uidl(struct session *s, const struct pop3_command *c)
{
	list(s, c, true);
}

/* ---- messages ---- */

/* Stuffs and sends bytes of the message in pieces. */
static void
send_bytes(struct session *s, struct pop3_stuff *stuff, struct slice bytes)
{
	while (bytes.n > 0 && !stuff->done && !s->ended) {
		struct slice piece = slice_head(bytes, PIECE_BYTES);
		struct buf BUF_CLEANUP out;

		buf_init(&out, 2 * PIECE_BYTES);
		(void)buf_reserve(&out, piece.n + piece.n / 16);
		pop3_stuff_feed(stuff, piece, &out);
		say(s, buf_slice(&out));
		bytes = slice_from(bytes, piece.n);
	}
}

/* Sends the message's bytes from `from` on: false when the session ended. */
static bool
send_file(struct session *s, struct pop3_stuff *stuff, struct store_body *body, size_t from)
{
	struct buf BUF_CLEANUP piece;
	int err = 0;

	buf_init(&piece, PIECE_BYTES);
	for (size_t at = from; err == 0 && at < store_body_size(body) && !stuff->done && !s->ended; at += piece.n) {
		buf_reset(&piece);
		err = store_body_read(body, at, PIECE_BYTES, &piece);
		if (err == 0 && piece.n == 0)
			err = ERR_DAMAGED;
		if (err == 0)
			send_bytes(s, stuff, buf_slice(&piece));
	}
	if (err == 0)
		return !s->ended;
	/* Half a message cannot be taken back: only closing tells the client. */
	LOG(s->c->house, ERROR, "pop3_body_unreadable", LOG_S("login", s->c->login), LOG_E(err));
	end(s, err);
	return false;
}

/* The header for a client that knows no UTF-8 ones, in `out`, or nothing when it may have it as it is. */
static int
make_surrogate(struct session *s, const struct store_fetched *f, struct store_body *body, struct buf *out)
{
	struct slice header = slice_head(f->raw, f->header_size);
	struct buf BUF_CLEANUP copy;
	int err = 0;

	buf_init(&copy, (size_t)s->limits->message_header_bytes);
	if (s->c->utf8 || f->header_size > copy.max)
		return 0;
	if (body != NULL) {
		err = store_body_read(body, 0, f->header_size, &copy);
		header = buf_slice(&copy);
	}
	if (err == 0 && surrogate_needed(header, s->limits))
		surrogate_header(header, s->limits, out);
	return err != 0 ? err : copy.err != 0 ? copy.err : out->err;
}

static void
send_fetched(struct session *s, const struct store_fetched *f, bool limited, uint64_t lines)
{
	struct store_body *body STORE_BODY_CLEANUP = NULL;
	struct buf BUF_CLEANUP header, tail;
	struct pop3_stuff stuff;
	size_t from;
	int err = f->large ? store_body_open(s->account, f->email, &body) : 0;

	buf_init(&header, 8 * (size_t)s->limits->message_header_bytes);
	buf_init(&tail, 16);
	if (err == 0)
		err = make_surrogate(s, f, body, &header);
	if (err != 0) {
		LOG(s->c->house, ERROR, "pop3_body_unreadable", LOG_S("login", s->c->login), LOG_E(err));
		say(s, SLICE("-ERR [SYS/TEMP] the message cannot be read now\r\n"));
		return;
	}
	from = header.n > 0 ? f->header_size : 0;
	stuff = pop3_stuff_of(header.n > 0 ? header.n : f->header_size, limited, lines);
	say(s, SLICE("+OK the message follows\r\n"));
	send_bytes(s, &stuff, buf_slice(&header));
	if (f->large && !send_file(s, &stuff, body, from))
		return;
	if (!f->large)
		send_bytes(s, &stuff, slice_from(f->raw, from));
	pop3_stuff_end(&stuff, &tail);
	say(s, buf_slice(&tail));
	s->c->counters->messages_retrieved++;
}

static void
send_message(struct session *s, size_t seq, bool limited, uint64_t lines)
{
	const struct store_fetched *f;
	int err = pop3_ahead_take(&s->ahead, seq, &f);

	if (err != 0)
		say(s, SLICE("-ERR [SYS/TEMP] the message cannot be read now\r\n"));
	else if (!f->found)
		say(s, SLICE("-ERR the message was removed by another session\r\n"));
	else
		send_fetched(s, f, limited, lines);
}

static void
pop3_do_retr(struct session *s, const struct pop3_command *c)
{
	uint64_t number[1];
	size_t seq = named(s, number, pop3_numbers(c, number, 1), 1);

	if (seq != 0)
		send_message(s, seq, false, 0);
}

static void
pop3_do_top(struct session *s, const struct pop3_command *c)
{
	uint64_t number[2];
	size_t seq = named(s, number, pop3_numbers(c, number, 2), 2);

	if (seq != 0)
		send_message(s, seq, true, number[1]);
}

static void
pop3_do_dele(struct session *s, const struct pop3_command *c)
{
	uint64_t number[1];
	size_t seq = named(s, number, pop3_numbers(c, number, 1), 1);

	if (seq == 0)
		return;
	s->deleted[seq - 1] = true;
	s->left--;
	s->left_bytes -= store_view_at(s->view, seq).size;
	say(s, SLICE("+OK marked\r\n"));
}

static void
count_all(struct session *s)
{
	s->left = s->count;
	s->left_bytes = 0;
	for (size_t seq = 1; seq <= s->count; seq++) {
		s->deleted[seq - 1] = false;
		s->left_bytes += store_view_at(s->view, seq).size;
	}
}

static void
pop3_do_rset(struct session *s, const struct pop3_command *c)
{
	if (!no_argument(s, c))
		return;
	count_all(s);
	say_totals(s, "+OK %zu messages (%ju octets)\r\n");
}

static void
pop3_do_noop(struct session *s, const struct pop3_command *c)
{
	(void)c;
	say(s, SLICE("+OK\r\n"));
}

/* The UPDATE state: through a view that may write; the snapshot's took no \Recent from IMAP sessions. */
static int
update(struct session *s)
{
	struct store_view *v STORE_VIEW_CLEANUP = NULL;
	size_t n = 0, total = s->count - s->left;
	uint32_t *uids = calloc(total, sizeof(*uids));
	int err = uids == NULL ? ERR_NOMEM : store_view_open(s->account, SLICE("INBOX"), false, &v);

	for (size_t seq = 1; seq <= s->count && err == 0; seq++)
		if (s->deleted[seq - 1])
			uids[n++] = store_view_at(s->view, seq).uid;
	if (err == 0 && store_view_uidvalidity(v) != store_view_uidvalidity(s->view))
		err = ERR_CONFLICT;
	if (err == 0)
		err = store_expunge(v, uids, n, false);
	if (err == 0)
		s->c->counters->messages_deleted += (int64_t)n;
	free(uids);
	return err;
}

static void
pop3_do_quit(struct session *s, const struct pop3_command *c)
{
	int err = 0;

	if (!no_argument(s, c))
		return;
	if (s->left < s->count)
		err = update(s);
	say(s, err == 0 ? SLICE("+OK good-bye\r\n") : SLICE("-ERR [SYS/TEMP] marked messages were not removed\r\n"));
	end(s, 0);
}

/* ---- the loop ---- */

static void
run(struct session *s, struct slice line)
{
	struct pop3_command c;

	if (pop3_command_parse(line, &c) != 0) {
		bad(s, SLICE("-ERR not a command\r\n"));
		return;
	}
	for (size_t i = 0; i < COUNT_OF(session_rows); i++) {
		if (slice_ieq(c.verb, session_rows[i].name)) {
			session_rows[i].handler(s, &c);
			return;
		}
	}
	bad(s, SLICE("-ERR no such command\r\n"));
}

static void
serve(struct session *s)
{
	struct slice line;
	int err = stream_read_line(s->st, SLICE("\r\n"), (size_t)s->limits->pop3_line_bytes, &line);

	if (err == ERR_LIMIT) {
		err = stream_skip_line(s->st, SLICE("\r\n"));
		if (err == 0)
			bad(s, SLICE("-ERR the line is too long\r\n"));
	} else if (err == 0) {
		int64_t began_us = house_mono_us(s->c->house);
		char copy[1024];

		/* The line lies in the stream's buffer: handlers write, and may read from the store meanwhile. */
		s->c->counters->commands++;
		line = slice_head(line, sizeof(copy));
		if (line.n > 0)
			memcpy(copy, line.p, line.n);
		run(s, slice_of(copy, line.n));
		histogram_add(&s->c->counters->times, HISTOGRAM_COMMANDS, house_mono_us(s->c->house) - began_us);
	}
	if (err != 0)
		end(s, err);
}

/* Waits for input or a wake until `deadline`; what was read ahead is not kept for all that time. */
static int
wait_for_input(struct session *s, int64_t deadline)
{
	int64_t keep = loop_deadline(s->c->loop, AHEAD_KEEP_MS);
	int err;

	if (!pop3_ahead_holds(&s->ahead) || keep >= deadline)
		return stream_wait_readable_or_wake(s->st, deadline);
	err = stream_wait_readable_or_wake(s->st, keep);
	if (err != ERR_TIMEOUT)
		return err;
	pop3_ahead_forget(&s->ahead);
	return stream_wait_readable_or_wake(s->st, deadline);
}

static void
wait_for_command(struct session *s)
{
	int64_t deadline = loop_deadline(s->c->loop, s->limits->pop3_idle_timeout_ms);

	while (!s->ended) {
		int err;

		if (*s->c->stopping) {
			say(s, SLICE("-ERR [SYS/TEMP] the server is shutting down\r\n"));
			end(s, 0);
			return;
		}
		if (stream_pending(s->st).n > 0) /* pipelined */
			return;
		err = stream_flush(s->st);
		if (err == 0)
			err = wait_for_input(s, deadline);
		/* RFC 1939 §3: the autologout removes nothing. */
		if (err == ERR_TIMEOUT)
			say(s, SLICE("-ERR idle for too long\r\n"));
		if (err != 0)
			end(s, err);
		else if (stream_readable_now(s->st))
			return;
	}
}

static int
begin(struct session *s)
{
	int err = store_view_open(s->account, SLICE("INBOX"), true, &s->view);

	if (err != 0)
		return err;
	s->count = store_view_count(s->view);
	s->deleted = calloc(s->count + 1, sizeof(*s->deleted));
	if (s->deleted == NULL)
		return ERR_NOMEM;
	count_all(s);
	pop3_ahead_init(&s->ahead, s->view, s->deleted, (size_t)s->limits->pop3_ahead_bytes);
	return 0;
}

int
pop3_session(struct stream *st, struct store_account *account, const struct pop3_session_config *c)
{
	struct session s = {.st = st, .account = account, .c = c, .limits = &c->house->limits};
	int err;

	stream_set_timeouts(st, s.limits->pop3_idle_timeout_ms, s.limits->write_timeout_ms);
	c->counters->sessions++;
	c->counters->sessions_open++;
	err = c->refused ? ERR_BUSY : begin(&s);
	if (c->refused) { /* RFC 2449 §8.1.1 */
		say(&s, SLICE("-ERR [LOGIN-DELAY] that is too soon after the last time\r\n"));
		end(&s, err);
	} else if (err == 0) {
		say_totals(&s, "+OK %zu messages (%ju octets)\r\n");
	} else {
		say(&s, SLICE("-ERR [SYS/TEMP] the mailbox cannot be opened now\r\n"));
		end(&s, err);
	}
	while (!s.ended) {
		wait_for_command(&s);
		if (!s.ended)
			serve(&s);
		if (s.errors > ERRORS_MAX && !s.ended) {
			say(&s, SLICE("-ERR too many errors\r\n"));
			end(&s, ERR_LIMIT);
		}
	}
	if (stream_error(st) == 0 && stream_flush(st) != 0)
		end(&s, stream_error(st));
	pop3_ahead_forget(&s.ahead);
	store_view_close(&s.view);
	free(s.deleted);
	c->counters->sessions_open--;
	LOG(c->house, INFO, "pop3_session_ended", LOG_S("login", c->login), LOG_S("client", c->client), LOG_E(s.result),
	    LOG_I("bytes_out", stream_bytes_out(st)));
	return s.result;
}
