/* pop3_stuff.c: byte-stuffing. A bare LF in a message that was stored so counts as a line end here: clients that read by LF
 * must not take a dot behind it for the end. */
#include "pop3/pop3_stuff.h"

struct pop3_stuff
pop3_stuff_of(uint64_t header_size, bool limited, uint64_t lines)
{
	return (struct pop3_stuff){
	    .at_line_end = true, .header_left = header_size, .limited = limited, .lines_left = lines};
}

/* All of it, in runs between the dots. */
static void
feed_whole(struct pop3_stuff *s, struct slice in, struct buf *out)
{
	size_t from = 0, at = 0, found;
	bool before_lf = in.n > 1 ? slice_at(in, in.n - 2) == '\r' : s->after_cr;

	do {
		if (!s->inside_line && slice_at(in, at) == '.') {
			buf_put(out, slice_range(in, from, at));
			buf_put_u8(out, '.');
			from = at;
		}
		found = slice_find_byte(slice_from(in, at), '\n');
		s->inside_line = found == SLICE_NONE;
		at = s->inside_line ? in.n : at + found + 1;
	} while (at < in.n);
	buf_put(out, slice_from(in, from));
	s->at_line_end = !s->inside_line && before_lf;
	s->after_cr = slice_at(in, in.n - 1) == '\r';
}

/* The header and so many lines. */
static void
feed_limited(struct pop3_stuff *s, struct slice in, struct buf *out)
{
	while (in.n > 0 && !s->done) {
		size_t at = slice_find_byte(in, '\n');
		size_t n = at == SLICE_NONE ? in.n : at + 1;

		if (s->header_left == 0 && s->lines_left == 0 && !s->inside_line) {
			s->done = true;
			return;
		}
		/* The empty line belongs to the header, whose end may only lie behind a line end. */
		if (!s->inside_line && slice_at(in, 0) == '.')
			buf_put_u8(out, '.');
		buf_put(out, slice_head(in, n));
		s->inside_line = at == SLICE_NONE;
		s->at_line_end = !s->inside_line && (n > 1 ? slice_at(in, n - 2) == '\r' : s->after_cr);
		s->after_cr = slice_at(in, n - 1) == '\r';
		if (s->header_left > 0)
			s->header_left -= n < s->header_left ? n : s->header_left;
		else if (!s->inside_line && s->lines_left > 0)
			s->lines_left--;
		in = slice_from(in, n);
	}
}

void
pop3_stuff_feed(struct pop3_stuff *s, struct slice in, struct buf *out)
{
	if (s->limited)
		feed_limited(s, in, out);
	else if (in.n > 0)
		feed_whole(s, in, out);
}

void
pop3_stuff_end(struct pop3_stuff *s, struct buf *out)
{
	/* A bare LF is a line end to some clients and none to others: the dot must stand alone for both. */
	if (!s->at_line_end)
		buf_put(out, s->after_cr ? SLICE("\n") : SLICE("\r\n"));
	buf_put(out, SLICE(".\r\n"));
}
