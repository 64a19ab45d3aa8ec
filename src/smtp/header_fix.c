#include "smtp/header_fix.h"

enum state {
	LINE_START,
	NAME, /* its bytes are held */
	KEEP, /* the rest of the line stays */
	DROP  /* the rest of the line goes */
};

static const struct slice removed[] = {SLICE_INIT("bcc"), SLICE_INIT("resent-bcc"), SLICE_INIT("return-path")};

void
smtp_header_fix_init(struct smtp_header_fix *f)
{
	*f = (struct smtp_header_fix){.state = LINE_START, .first = true};
	buf_init(&f->held, SMTP_HEADER_HELD_MAX + 1);
}

void
smtp_header_fix_free(struct smtp_header_fix *f)
{
	buf_free(&f->held);
}

static int
give(struct slice run, smtp_header_sink *sink, void *ctx)
{
	return run.n == 0 ? 0 : sink(ctx, run);
}

static int
give_held(struct smtp_header_fix *f, smtp_header_sink *sink, void *ctx)
{
	int e = give(buf_slice(&f->held), sink, ctx);

	f->held.n = 0;
	return e;
}

/* The first line is no field: there is no header section (a message piped from a program, as a rule). */
static void
no_field(struct smtp_header_fix *f)
{
	f->state = KEEP;
	if (f->first)
		f->headless = f->done = true;
	f->first = false;
}

static bool
is_removed(const struct smtp_header_fix *f)
{
	for (size_t i = 0; i < COUNT_OF(removed); i++)
		if (slice_eq(slice_of(f->name, f->name_n), removed[i]))
			return true;
	return false;
}

/* A byte of the name. False: it is to be looked at again in the new state. */
static bool
name_byte(struct smtp_header_fix *f, uint8_t c)
{
	if (c == '\r' || c == '\n') {
		no_field(f);
		return false;
	}
	buf_put_u8(&f->held, c);
	if (c == ':') {
		f->first = false;
		f->dropping = is_removed(f);
		f->state = f->dropping ? DROP : KEEP;
		f->removed += f->dropping;
	} else if (c == ' ' || c == '\t') {
		f->name_over = true;
	} else if (c != '\0' && f->name_over) {
		no_field(f);
	} else if (c != '\0') {
		if (f->name_n < sizeof(f->name))
			f->name[f->name_n] = ascii_lower(c);
		f->name_n++;
	}
	if (f->state == NAME && f->held.n > SMTP_HEADER_HELD_MAX)
		no_field(f);
	return true;
}

static void
line_starts(struct smtp_header_fix *f, uint8_t c)
{
	if (c == '\r' || c == '\n') { /* the empty line; alone they are refused elsewhere */
		f->done = true;
		f->first = false;
		f->state = KEEP;
	} else if (c == ' ' || c == '\t') {
		if (f->first)
			no_field(f);
		f->state = f->dropping ? DROP : KEEP;
	} else {
		f->dropping = f->name_over = false;
		f->name_n = 0;
		f->state = NAME;
	}
}

int
smtp_header_fix_feed(struct smtp_header_fix *f, struct slice run, smtp_header_sink *sink, void *ctx)
{
	size_t i = 0;
	int e = 0;

	while (i < run.n && e == 0 && !f->done) {
		if (f->state == LINE_START) {
			line_starts(f, slice_at(run, i));
		} else if (f->state == NAME) {
			i += name_byte(f, slice_at(run, i));
			if (f->state == DROP)
				f->held.n = 0;
			else if (f->state == KEEP)
				e = give_held(f, sink, ctx);
		} else {
			/* To the end of the line at once. */
			size_t lf = slice_find_byte(slice_from(run, i), '\n');
			size_t to = lf == SLICE_NONE ? run.n : i + lf + 1;

			if (f->state == KEEP)
				e = give(slice_range(run, i, to), sink, ctx);
			if (lf != SLICE_NONE)
				f->state = LINE_START;
			i = to;
		}
	}
	return e != 0 ? e : give(slice_from(run, i), sink, ctx);
}

int
smtp_header_fix_end(struct smtp_header_fix *f, smtp_header_sink *sink, void *ctx)
{
	if (f->state == NAME)
		no_field(f);
	return give_held(f, sink, ctx);
}
