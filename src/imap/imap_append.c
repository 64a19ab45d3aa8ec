/* imap_append.c: APPEND (RFC 3501 §6.3.11): the message goes from the stream to the store piece by piece, and whatever
 * is wrong is said before the client sends it, where it waits for our word. */
#include "imap/imap_session.h"

struct append {
	struct slice mailbox;
	struct imap_flags flags;
	int64_t internal_s;
};

/* The arguments up to the announced literal. */
static void
parse_append(struct imap_session *s, struct imap_lex *x, struct append *a)
{
	imap_lex_space(x);
	a->mailbox = imap_lex_mailbox(s, x);
	imap_lex_space(x);
	if (imap_lex_peek(x) == '(') {
		imap_parse_flags(x, s->limits, false, &a->flags);
		imap_lex_space(x);
	}
	a->internal_s = INT64_MIN;
	if (imap_lex_peek(x) == '"') {
		a->internal_s = imap_lex_date_time(x);
		imap_lex_space(x);
	}
	imap_lex_expect(x, '{');
	(void)cursor_number(&x->c, INT64_MAX);
	(void)imap_lex_accept(x, '+');
	imap_lex_expect(x, '}');
	imap_lex_end(x);
	if (!imap_lex_failed(x) && !s->command.has_message)
		imap_lex_fail(x, "expected the message as a literal");
}

/* Takes the literal. A failing store does not keep the rest of it from being read. `*stored` is the store's result; the
 * result the stream's. */
static int
take_literal(struct imap_session *s, struct store_upload *u, int *stored)
{
	uint64_t left = s->command.message_size;

	*stored = 0;
	while (left > 0) {
		struct slice pending = stream_pending(s->st);
		size_t n;

		if (pending.n == 0) {
			int err = stream_fill(s->st, 65536);

			if (err != 0)
				return err;
			continue;
		}
		n = pending.n < left ? pending.n : (size_t)left;
		if (*stored == 0)
			*stored = store_upload_write(u, slice_head(pending, n));
		stream_consume(s->st, n);
		left -= n;
	}
	return 0;
}

/* The line behind the literal must be empty: true, or a reply has been given. */
static bool
take_line_end(struct imap_session *s)
{
	struct slice line;
	int err = stream_read_line(s->st, SLICE("\r\n"), (size_t)s->limits->imap_line_bytes, &line);

	if (err == 0 && line.n == 0)
		return true;
	if (err == 0 || err == ERR_LIMIT) {
		/* Where the next command begins is not known for sure. */
		imap_bad(s, "extra characters after the message");
		imap_bye(s, "extra characters after the message");
	}
	return false;
}

static void
store_message(struct imap_session *s, const struct append *a, struct store_upload *u)
{
	struct store_append one = {
	    .upload = u, .flags = a->flags.flags, .keywords = a->flags.keywords, .internal_s = a->internal_s};
	struct store_copied out;
	char code[64];
	int err = store_append(s->account, s->view, a->mailbox, &one, 1, &s->arena, &out);

	if (err == ERR_NOTFOUND) {
		imap_no(s, "[TRYCREATE]", "no such mailbox");
	} else if (err != 0) {
		imap_no_err(s, err);
	} else {
		s->c->counters->messages_appended++;
		ASSERT(out.n == 1);
		(void)snprintf(code, sizeof(code), "[APPENDUID %u %u]", out.uidvalidity, out.target[0]);
		imap_ok(s, code, "done");
	}
}

/* What can be known before the message is sent: 0, or a reply has been given. */
static int
check_target(struct imap_session *s, const struct append *a)
{
	struct store_mailbox m;
	int err = a->mailbox.p == NULL ? ERR_INVALID : store_mailbox(s->account, a->mailbox, &s->arena, &m);

	if (err == 0 && !m.selectable)
		err = ERR_NOTFOUND;
	if (err == ERR_NOTFOUND)
		imap_no(s, "[TRYCREATE]", "no such mailbox");
	else if (err == ERR_INVALID)
		imap_no(s, "[CANNOT]", "not a possible mailbox name");
	else if (err != 0)
		imap_no_err(s, err);
	return err;
}

static void
receive(struct imap_session *s, const struct append *a)
{
	struct store_upload *u STORE_UPLOAD_CLEANUP = NULL;
	int err = store_upload_new(s->account, (size_t)s->limits->smtp_message_bytes, &u), stored;

	if (err != 0) {
		imap_no_err(s, err);
		return;
	}
	s->command.has_message = false; /* from here on it is read */
	if (!s->command.message_nonsync) {
		imap_write(s, SLICE("+ OK\r\n"));
		if (stream_flush(s->st) != 0)
			return;
	}
	if (take_literal(s, u, &stored) != 0 || !take_line_end(s))
		return;
	if (stored != 0)
		imap_no_err(s, stored);
	else
		store_message(s, a, u);
}

/* A literal that is refused but comes all the same, of a bearable size: it is read and forgotten, so that the session
 * can go on. */
static void
discard(struct imap_session *s)
{
	uint64_t left = s->command.message_size;

	if (!s->command.message_nonsync || left > (uint64_t)s->limits->smtp_message_bytes)
		return;
	s->command.has_message = false;
	while (left > 0) {
		struct slice pending = stream_pending(s->st);
		size_t n = pending.n < left ? pending.n : (size_t)left;

		if (n == 0 && stream_fill(s->st, 65536) != 0)
			return;
		stream_consume(s->st, n);
		left -= n;
	}
	(void)take_line_end(s);
}

void
imap_do_append(struct imap_session *s, struct imap_lex *x)
{
	struct append a = {0};

	parse_append(s, x, &a);
	if (imap_lex_failed(x)) {
		(void)imap_bad_syntax(s, x);
	} else if (s->command.message_size > (uint64_t)s->limits->smtp_message_bytes) {
		imap_no(s, "[LIMIT]", "the message is too large");
	} else if (s->command.message_size == 0) {
		imap_no(s, "[CANNOT]", "an empty message");
	} else if (check_target(s, &a) == 0) {
		receive(s, &a);
		return;
	}
	discard(s);
}
