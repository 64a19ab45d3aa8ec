/* imap_command.c: the loop of lines and literals that makes up a command. */
#include "imap/imap_command.h"

#include "imap/imap_lex.h"

#define CRLF SLICE("\r\n")

struct slice
imap_command_tag(struct slice text)
{
	struct arena none;
	struct imap_lex x;
	struct slice tag;

	arena_init(&none, 0);
	x = imap_lex_of(slice_head(text, IMAP_TAG_BYTES_MAX), &none, 0);
	tag = imap_lex_tag(&x);
	return imap_lex_peek(&x) == ' ' || (cursor_end(&x.c) && text.n < IMAP_TAG_BYTES_MAX) ? tag : SLICE_EMPTY;
}

/* Is what was read so far "tag APPEND mailbox …" or "tag [UID] REPLACE n mailbox …", so that the literal announced at its end is
 * the message, or a piece of it? */
static bool
awaits_message(struct slice text)
{
	struct arena ARENA_CLEANUP a;
	struct imap_lex x;
	struct slice name;

	arena_init(&a, text.n + 64);
	x = imap_lex_of(text, &a, 0);
	(void)imap_lex_tag(&x);
	imap_lex_space(&x);
	name = imap_lex_atom(&x);
	if (slice_ieq(name, SLICE("UID"))) {
		imap_lex_space(&x);
		name = imap_lex_atom(&x);
	}
	imap_lex_space(&x);
	if (slice_ieq(name, SLICE("REPLACE"))) {
		(void)imap_lex_number(&x);
		imap_lex_space(&x);
	} else if (!slice_ieq(name, SLICE("APPEND"))) {
		return false;
	}
	(void)imap_lex_astring(&x);
	return !imap_lex_failed(&x) && imap_lex_peek(&x) == ' ';
}

static int
refuse(struct imap_command *c, int err, const char *why)
{
	c->why = why;
	return err;
}

static int
read_line(struct stream *st, struct imap_command *c, size_t max)
{
	struct slice line;
	int err = stream_read_line(st, CRLF, max, &line);

	if (err == ERR_LIMIT) {
		if (c->text.n == 0)
			buf_put(&c->text, slice_head(stream_pending(st), IMAP_TAG_BYTES_MAX));
		err = stream_skip_line(st, CRLF);
		return err != 0 ? err : refuse(c, ERR_SYNTAX, "the command line is too long");
	}
	if (err != 0)
		return err;
	buf_put(&c->text, line);
	return c->text.err;
}

static int
read_literal(struct stream *st, struct imap_command *c, size_t n)
{
	uint8_t *p;

	buf_put(&c->text, CRLF);
	p = buf_reserve(&c->text, n);
	if (p == NULL)
		return c->text.err;
	if (n > 0) {
		int err = stream_read_exact(st, p, n);

		if (err != 0)
			return err;
	}
	buf_added(&c->text, n);
	return 0;
}

static int
go_ahead(struct stream *st)
{
	int err = stream_write(st, SLICE("+ OK\r\n"));

	return err != 0 ? err : stream_flush(st);
}

int
imap_command_read(struct stream *st, const struct imap_command_limits *l, struct imap_command *c)
{
	size_t line_bytes = 0, literal_bytes = 0;

	c->has_message = false;
	c->why = NULL;
	for (;;) {
		size_t before = c->text.n;
		uint64_t size;
		bool nonsync;
		int err = read_line(st, c, l->line_bytes - line_bytes);

		if (err != 0)
			return err;
		line_bytes += c->text.n - before;
		if (line_bytes > l->line_bytes)
			line_bytes = l->line_bytes;
		err = imap_literal_at_end(slice_from(buf_slice(&c->text), before), &size, &nonsync);
		if (err == 0)
			return 0;
		if (err == 1 && awaits_message(buf_slice(&c->text))) {
			c->has_message = true;
			c->message_size = size;
			c->message_nonsync = nonsync;
			return 0;
		}
		if (err < 0 || size > l->literal_bytes - literal_bytes)
			return refuse(c, nonsync ? ERR_LIMIT : ERR_SYNTAX, "the literal is too large");
		if (!nonsync) {
			err = go_ahead(st);
			if (err != 0)
				return err;
		}
		err = read_literal(st, c, (size_t)size);
		if (err != 0)
			return err;
		literal_bytes += (size_t)size;
	}
}
