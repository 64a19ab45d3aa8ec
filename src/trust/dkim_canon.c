/* dkim_canon.c: see the header. The body is looked at in runs of bytes that stay as they are, and leaves in pieces of a few hundred bytes or
 * more, since digests are slow with small ones. */
#include "trust/dkim_canon.h"

static bool
is_wsp(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* ---- header fields ------------------------------------------------------------------------------------------- */

/* RFC 6376 §3.4.2: line ends gone, white space one space, none at the ends. */
static void
put_relaxed_value(struct slice value, struct buf *out)
{
	bool space = false, text = false;

	for (size_t i = 0; i < value.n; i++) {
		size_t from = i;

		while (i < value.n && slice_at(value, i) > ' ')
			i++;
		if (i > from) {
			if (space && text)
				buf_put_u8(out, ' ');
			buf_put(out, slice_range(value, from, i));
			space = false;
			text = true;
		}
		if (i == value.n)
			break;
		if (is_wsp(slice_at(value, i)) || slice_at(value, i) == '\r' || slice_at(value, i) == '\n') {
			/* a fold is a line end and the white space behind it */
			space = space || is_wsp(slice_at(value, i));
		} else {
			if (space && text)
				buf_put_u8(out, ' ');
			buf_put_u8(out, slice_at(value, i));
			space = false;
			text = true;
		}
	}
}

void
dkim_canon_field(enum dkim_canon c, struct slice raw, bool last, struct buf *out)
{
	size_t colon = slice_find_byte(raw, ':');

	if (slice_ends(raw, SLICE("\n")))
		raw = slice_head(raw, raw.n - 1);
	if (slice_ends(raw, SLICE("\r")))
		raw = slice_head(raw, raw.n - 1);
	if (c == DKIM_SIMPLE || colon == SLICE_NONE || colon >= raw.n) {
		buf_put(out, raw);
	} else {
		struct slice name = slice_trim(slice_head(raw, colon));

		for (size_t i = 0; i < name.n; i++)
			buf_put_u8(out, ascii_lower(slice_at(name, i)));
		buf_put_u8(out, ':');
		put_relaxed_value(slice_from(raw, colon + 1), out);
	}
	if (!last)
		buf_put(out, SLICE("\r\n"));
}

/* ---- the body ------------------------------------------------------------------------------------------------------ */

void
dkim_body_canon_init(struct dkim_body_canon *b, enum dkim_canon c, dkim_canon_sink *sink, void *ctx)
{
	b->canon = c;
	b->sink = sink;
	b->ctx = ctx;
	b->blank = b->bytes = 0;
	b->space = b->cr = b->text = false;
	b->staged_n = 0;
}

static void
flush(struct dkim_body_canon *b)
{
	if (b->staged_n > 0)
		b->sink(b->ctx, slice_of(b->staged, b->staged_n));
	b->staged_n = 0;
}

static void
put(struct dkim_body_canon *b, struct slice run)
{
	b->bytes += run.n;
	if (run.n > sizeof(b->staged) - b->staged_n)
		flush(b);
	if (run.n > sizeof(b->staged) / 4) {
		flush(b);
		b->sink(b->ctx, run);
		return;
	}
	memcpy(b->staged + b->staged_n, run.p, run.n);
	b->staged_n += run.n;
}

/* Bytes that stay, with what was held back before them. */
static void
put_text(struct dkim_body_canon *b, struct slice run)
{
	for (; b->blank > 0; b->blank--)
		put(b, SLICE("\r\n"));
	if (b->space)
		put(b, SLICE(" "));
	b->space = false;
	b->text = true;
	put(b, run);
}

/* How many bytes at the beginning stay as they are. */
static size_t
plain_run(enum dkim_canon c, struct slice s)
{
	size_t i = 0;

	if (c == DKIM_SIMPLE) {
		i = slice_find_byte(s, '\r');
		return i == SLICE_NONE ? s.n : i;
	}
	while (i < s.n && slice_at(s, i) != '\r' && !is_wsp(slice_at(s, i)))
		i++;
	return i;
}

void
dkim_body_canon_feed(struct dkim_body_canon *b, struct slice run)
{
	size_t i = 0;

	while (i < run.n) {
		uint8_t c = slice_at(run, i);
		size_t n;

		if (b->cr) {
			b->cr = false;
			if (c == '\n') {
				b->blank++;
				b->space = false;
				i++;
				continue;
			}
			put_text(b, SLICE("\r"));
		}
		n = plain_run(b->canon, slice_from(run, i));
		if (n > 0) {
			put_text(b, slice_range(run, i, i + n));
			i += n;
		} else {
			b->cr = c == '\r';
			b->space = b->space || c != '\r';
			i++;
		}
	}
}

/* RFC 6376 §3.4.3, §3.4.4: a body that is not empty ends with one line end; of nothing at all simple makes a line end, relaxed nothing. */
void
dkim_body_canon_end(struct dkim_body_canon *b)
{
	if (b->cr)
		put_text(b, SLICE("\r"));
	if (b->text || b->canon == DKIM_SIMPLE)
		put(b, SLICE("\r\n"));
	b->blank = 0;
	b->cr = b->space = false;
	flush(b);
}
