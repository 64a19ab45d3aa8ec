#include "smtp/data.h"

void
smtp_data_init(struct smtp_data *d, size_t line_max)
{
	*d = (struct smtp_data){.state = SMTP_DATA_LINE_START, .line_max = line_max};
}

/* True if a byte is over 127; eight bytes a step. */
static bool
has_eight_bit(struct slice s)
{
	uint64_t word, all = 0;
	size_t i = 0;

	for (; s.n - i >= sizeof(word); i += sizeof(word)) {
		memcpy(&word, s.p + i, sizeof(word));
		all |= word;
	}
	return (all & 0x8080808080808080u) != 0 || !slice_is_ascii(slice_from(s, i));
}

/* Emits in[from..to) and counts it. */
static int
emit(struct smtp_data *d, struct slice in, size_t from, size_t to, smtp_data_sink *sink, void *ctx)
{
	struct slice run = slice_range(in, from, to);

	if (run.n == 0)
		return 0;
	d->bytes += run.n;
	if (!d->eight_bit)
		d->eight_bit = has_eight_bit(run);
	return sink(ctx, run);
}

static void
line_grows(struct smtp_data *d, size_t n)
{
	d->line += n;
	if (d->line > d->line_max)
		d->long_line = true;
}

/* Inside a line, at `at`: moves to the byte behind the next CR (state LINE_CR) or to the end of the input. */
static size_t
scan_line(struct smtp_data *d, struct slice in, size_t at)
{
	size_t cr = slice_find_byte(slice_from(in, at), '\r');
	size_t to = cr == SLICE_NONE ? in.n : at + cr;

	if (slice_find_byte(slice_range(in, at, to), '\n') != SLICE_NONE)
		d->bare = true;
	if (cr != SLICE_NONE) {
		to++;
		d->state = SMTP_DATA_LINE_CR;
	}
	line_grows(d, to - at);
	return to;
}

/* One byte of a state in which every byte counts. Returns true if the byte belongs to the message. */
static bool
step(struct smtp_data *d, uint8_t c)
{
	switch (d->state) {
	case SMTP_DATA_LINE_START:
		d->state = c == '.' ? SMTP_DATA_DOT : c == '\r' ? SMTP_DATA_LINE_CR : SMTP_DATA_LINE;
		d->bare |= c == '\n';
		d->line = c == '.' ? 0 : 1;
		return c != '.';
	case SMTP_DATA_DOT:
		d->state = c == '\r' ? SMTP_DATA_DOT_CR : SMTP_DATA_LINE;
		d->bare |= c == '\n';
		line_grows(d, c != '\r');
		return c != '\r';
	case SMTP_DATA_DOT_CR:
		/* Not the end: the CR stood alone, and is not kept, since the message is refused anyway. */
		d->bare |= c != '\n';
		d->state = c == '\n' ? SMTP_DATA_END : c == '\r' ? SMTP_DATA_LINE_CR : SMTP_DATA_LINE;
		line_grows(d, 1);
		return c != '\n';
	case SMTP_DATA_LINE_CR:
		d->bare |= c != '\n';
		d->state = c == '\n' ? SMTP_DATA_LINE_START : c == '\r' ? SMTP_DATA_LINE_CR : SMTP_DATA_LINE;
		line_grows(d, 1);
		return true;
	case SMTP_DATA_LINE:
	case SMTP_DATA_END: break;
	}
	ASSERT(d->state == SMTP_DATA_LINE);
	return true;
}

int
smtp_data_feed(struct smtp_data *d, struct slice in, size_t *used, smtp_data_sink *sink, void *ctx)
{
	size_t at = 0, run = 0; /* in[run..at) is to be emitted */
	int e = 0;

	while (at < in.n && d->state != SMTP_DATA_END && e == 0) {
		if (d->state == SMTP_DATA_LINE) {
			at = scan_line(d, in, at);
			continue;
		}
		if (!step(d, slice_at(in, at))) {
			e = emit(d, in, run, at, sink, ctx);
			run = at + 1;
		}
		at++;
	}
	*used = at;
	return e != 0 ? e : emit(d, in, run, at, sink, ctx);
}

/* The line ends of a chunk, whose dots are text. */
static void
scan_chunk(struct smtp_data *d, struct slice in)
{
	size_t at = 0;

	while (at < in.n) {
		uint8_t c = slice_at(in, at);

		if (d->state == SMTP_DATA_LINE) {
			at = scan_line(d, in, at);
			continue;
		}
		if (d->state == SMTP_DATA_LINE_START) {
			d->line = 0;
			d->bare |= c == '\n';
		} else {
			d->bare |= c != '\n';
		}
		line_grows(d, 1);
		d->state = c == '\r'                             ? SMTP_DATA_LINE_CR
		    : c == '\n' && d->state == SMTP_DATA_LINE_CR ? SMTP_DATA_LINE_START
								 : SMTP_DATA_LINE;
		at++;
	}
}

int
smtp_data_feed_chunk(struct smtp_data *d, struct slice in, smtp_data_sink *sink, void *ctx)
{
	if (!d->binary)
		scan_chunk(d, in);
	return emit(d, in, 0, in.n, sink, ctx);
}

void
smtp_data_end_chunks(struct smtp_data *d)
{
	d->bare |= d->state == SMTP_DATA_LINE_CR;
	d->state = SMTP_DATA_END;
}
