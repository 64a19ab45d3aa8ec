/* cfws.c: skipping comments without recursion. */
#include "message/cfws.h"

static bool
is_white(int c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == 0 || c == '\v' || c == '\f';
}

/* Past a comment; the cursor stands on its "(". */
static struct slice
comment_skip(struct cursor *c)
{
	size_t depth = 0, from = c->pos + 1;

	while (!cursor_end(c)) {
		int b = cursor_u8(c);

		if (b == '\\' && !cursor_end(c))
			cursor_skip(c, 1);
		else if (b == '(')
			depth++;
		else if (b == ')' && --depth == 0)
			return slice_range(c->s, from, c->pos - 1);
	}
	return slice_range(c->s, from, c->pos);
}

void
cfws_skip(struct cursor *c, struct slice *comment)
{
	while (!cursor_end(c)) {
		if (is_white(cursor_peek(c))) {
			cursor_skip(c, 1);
		} else if (cursor_peek(c) == '(') {
			struct slice s = comment_skip(c);

			if (comment != NULL)
				*comment = s;
		} else {
			break;
		}
	}
}

/* One byte of quoted text: escapes are resolved, line ends and NULs left out. */
static void
put_unescaped(struct cursor *c, uint8_t b, struct buf *out)
{
	if (b == '\\' && !cursor_end(c))
		b = cursor_u8(c);
	if (b != '\r' && b != '\n' && b != 0)
		buf_put_u8(out, b);
}

bool
cfws_quoted(struct cursor *c, struct buf *out)
{
	while (!cursor_end(c)) {
		uint8_t b = cursor_u8(c);

		if (b == '"')
			return true;
		put_unescaped(c, b, out);
	}
	return false;
}

void
cfws_put_comment(struct slice comment, struct buf *out)
{
	struct cursor c = cursor_of(slice_trim(comment));

	while (!cursor_end(&c))
		put_unescaped(&c, cursor_u8(&c), out);
}
