#include "smtp/stuff.h"

struct stuffing {
	struct slice in;
	size_t run; /* in[run..) is not given to the sink yet */
	smtp_stuff_sink *sink;
	void *ctx;
	int e;
};

/* Gives what lies before `to`, then `extra`. */
static void
put(struct stuffing *w, size_t to, struct slice extra)
{
	if (w->e == 0 && to > w->run)
		w->e = w->sink(w->ctx, slice_range(w->in, w->run, to));
	if (w->e == 0 && extra.n > 0)
		w->e = w->sink(w->ctx, extra);
	w->run = to;
}

/* The index of the byte at or after `from`, or the end. */
static size_t
next(struct slice in, size_t from, uint8_t c)
{
	size_t at = slice_find_byte(slice_from(in, from), c);

	return at == SLICE_NONE ? in.n : from + at;
}

int
smtp_stuff_feed(struct smtp_stuff *s, struct slice in, smtp_stuff_sink *sink, void *ctx)
{
	struct stuffing w = {in, 0, sink, ctx, 0};
	size_t at = 0, cr = next(in, 0, '\r'), lf = next(in, 0, '\n');

	while (at < in.n && w.e == 0) {
		if (s->after_cr) {
			s->after_cr = s->in_line = false;
			if (slice_at(in, at) == '\n')
				at++;
			else
				put(&w, at, SLICE("\n"));
			continue;
		}
		if (!s->in_line && slice_at(in, at) == '.')
			put(&w, at, SLICE("."));
		if (cr < at)
			cr = next(in, at, '\r');
		if (lf < at)
			lf = next(in, at, '\n');
		s->in_line = true;
		if (cr < lf) {
			s->after_cr = true;
			at = cr + 1;
		} else if (lf < in.n) {
			put(&w, lf, SLICE("\r"));
			s->in_line = false;
			at = lf + 1;
		} else {
			at = in.n;
		}
	}
	put(&w, in.n, SLICE_EMPTY);
	return w.e;
}

int
smtp_stuff_end(struct smtp_stuff *s, smtp_stuff_sink *sink, void *ctx)
{
	struct slice end = s->after_cr ? SLICE("\n.\r\n") : s->in_line ? SLICE("\r\n.\r\n") : SLICE(".\r\n");

	*s = (struct smtp_stuff){0};
	return sink(ctx, end);
}
