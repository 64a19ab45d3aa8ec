/* imap_incoming.c: see imap_incoming.h. */
#include "imap/imap_incoming.h"

#define CRLF SLICE("\r\n")
#define BLOCK_BYTES 65536

static void
look_for_literal(struct imap_incoming *in, struct slice line)
{
	in->announced = imap_literal_at_end(line, &in->size, &in->nonsync) == 1;
}

void
imap_incoming_begin(struct imap_incoming *in, struct imap_session *s, struct imap_lex *x)
{
	*in = (struct imap_incoming){.s = s, .x = x};
	in->announced = s->command.has_message;
	in->size = s->command.message_size;
	in->nonsync = s->command.message_nonsync;
	/* From here on it is this that reads it. */
	s->command.has_message = false;
}

static bool
lose(struct imap_incoming *in)
{
	in->lost = true;
	return false;
}

/* The line behind a literal becomes the one at hand. */
static bool
next_line(struct imap_incoming *in)
{
	struct imap_session *s = in->s;
	struct slice line;
	int err = stream_read_line(s->st, CRLF, (size_t)s->limits->imap_line_bytes, &line);

	in->announced = false;
	if (err == ERR_LIMIT) {
		imap_bad(s, "the command line is too long");
		imap_bye(s, "the command line is too long");
	}
	if (err != 0)
		return lose(in);
	line = arena_copy(&s->arena, line);
	if (arena_failed(&s->arena)) {
		imap_bye(s, "the command is too large");
		return lose(in);
	}
	look_for_literal(in, line);
	in->line = imap_lex_of(line, &s->arena, s->limits->imap_nesting);
	in->x = &in->line;
	return true;
}

/* "{n}" at the end of the line. */
static bool
expect_announcement(struct imap_incoming *in)
{
	struct imap_lex *x = in->x;

	(void)imap_lex_accept(x, '~');
	imap_lex_expect(x, '{');
	(void)cursor_number(&x->c, INT64_MAX);
	(void)imap_lex_accept(x, '+');
	imap_lex_expect(x, '}');
	imap_lex_end(x);
	if (!imap_lex_failed(x) && !in->announced)
		imap_lex_fail(x, "expected the message as a literal");
	return !imap_lex_failed(x);
}

static bool
go_ahead(struct imap_incoming *in)
{
	struct imap_session *s = in->s;

	if (in->nonsync)
		return true;
	imap_write(s, SLICE("+ OK\r\n"));
	return stream_flush(s->st) == 0 || lose(in);
}

/* The bytes of the literal, to `u` or (NULL) away. */
static bool
take_bytes(struct imap_incoming *in, struct store_upload *u, int *stored)
{
	struct stream *st = in->s->st;

	for (uint64_t left = in->size; left > 0;) {
		struct slice pending = stream_pending(st);
		size_t n = pending.n < left ? pending.n : (size_t)left;

		if (n == 0) {
			if (stream_fill(st, BLOCK_BYTES) != 0)
				return lose(in);
			continue;
		}
		if (u != NULL && *stored == 0)
			*stored = store_upload_write(u, slice_head(pending, n));
		stream_consume(st, n);
		left -= n;
	}
	return true;
}

bool
imap_incoming_message(struct imap_incoming *in, struct store_upload *u, int *stored)
{
	return expect_announcement(in) && go_ahead(in) && take_bytes(in, u, stored) && next_line(in);
}

struct slice
imap_incoming_astring(struct imap_incoming *in, size_t max)
{
	struct imap_session *s = in->s;
	uint8_t *p;
	size_t n;

	if (imap_lex_peek(in->x) != '{')
		return imap_lex_astring(in->x);
	if (!expect_announcement(in))
		return SLICE_EMPTY;
	n = (size_t)in->size;
	p = in->size > max ? NULL : arena_alloc(&s->arena, n + 1);
	if (p == NULL) {
		imap_lex_fail(in->x, "the literal is too large");
		return SLICE_EMPTY;
	}
	if (!go_ahead(in))
		return SLICE_EMPTY;
	if (stream_read_exact(s->st, p, n) != 0) {
		(void)lose(in);
		return SLICE_EMPTY;
	}
	return next_line(in) ? slice_of(p, n) : SLICE_EMPTY;
}

void
imap_incoming_skip(struct imap_incoming *in)
{
	uint64_t max = (uint64_t)in->s->limits->smtp_message_bytes, skipped = 0;
	int ignored = 0;

	/* A literal that waits for our word never comes: the client has its answer. */
	while (!in->lost && in->announced && in->nonsync) {
		if (in->size > max - skipped) {
			imap_bye(in->s, "the message literal cannot be taken");
			in->lost = true;
			return;
		}
		skipped += in->size;
		if (!take_bytes(in, NULL, &ignored) || !next_line(in))
			return;
	}
}
