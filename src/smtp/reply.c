#include "smtp/reply.h"

#include "base/cursor.h"

void
smtp_reply_init(struct smtp_reply *r, size_t max)
{
	*r = (struct smtp_reply){.max = max};
	buf_init(&r->text, max);
}

void
smtp_reply_free(struct smtp_reply *r)
{
	buf_free(&r->text);
}

void
smtp_reply_reset(struct smtp_reply *r)
{
	r->code = 0;
	r->status[0] = '\0';
	r->complete = false;
	r->lines = r->bytes = 0;
	buf_reset(&r->text);
}

/* Appends a line of text: control characters become spaces, what is not UTF-8 becomes question marks. */
static void
put_text(struct buf *out, struct slice text)
{
	bool utf8 = slice_is_utf8(text, true);

	text = slice_trim(text);
	if (out->n > 0 && text.n > 0)
		buf_put_u8(out, ' ');
	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = slice_at(text, i);

		buf_put_u8(out, c < 32 || c == 127 ? ' ' : c > 127 && !utf8 ? '?' : c);
	}
}

/* "5.1.1 " at the cursor (RFC 3463 §2), if its class is that of the code. Moves past it. */
static void
status_parse(struct cursor *c, int code, char out[SMTP_STATUS_MAX])
{
	struct cursor at = *c;
	uint64_t class = cursor_number(&at, 5), subject, detail;
	struct slice text;

	cursor_expect_byte(&at, '.');
	subject = cursor_number(&at, 999);
	cursor_expect_byte(&at, '.');
	detail = cursor_number(&at, 999);
	if (at.err != 0 || (int)class != code / 100 || (!cursor_end(&at) && cursor_peek(&at) != ' '))
		return;
	(void)subject;
	(void)detail;
	text = slice_range(c->s, c->pos, at.pos);
	*c = at;
	if (out[0] == '\0' && slice_to_z(text, out, SMTP_STATUS_MAX) != 0)
		out[0] = '\0';
}

int
smtp_reply_line(struct smtp_reply *r, struct slice line, struct slice *text)
{
	struct cursor c;
	int code = 0;

	if (slice_ends(line, SLICE("\r")))
		line = slice_head(line, line.n - 1);
	r->bytes += line.n + 2;
	if (r->bytes > r->max)
		return ERR_LIMIT;
	c = cursor_of(line);
	for (int i = 0; i < 3; i++) {
		uint8_t digit = cursor_u8(&c);

		if (!ascii_is_digit(digit))
			return ERR_SYNTAX;
		code = code * 10 + (digit - '0');
	}
	if (c.err != 0 || code < 200 || code > 599 || (r->lines > 0 && code != r->code))
		return ERR_SYNTAX;
	if (cursor_accept_byte(&c, '-'))
		r->complete = false;
	else if (cursor_end(&c) || cursor_accept_byte(&c, ' '))
		r->complete = true;
	else
		return ERR_SYNTAX;
	r->code = code;
	r->lines++;
	status_parse(&c, code, r->status);
	if (text != NULL)
		*text = slice_trim(cursor_rest(&c));
	put_text(&r->text, cursor_rest(&c));
	return 0;
}
