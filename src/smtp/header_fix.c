#include "smtp/header_fix.h"

#include "trust/auth_results.h"

/* Semicolons in comments before the name of who wrote a field, behind which it is looked for. */
#define LOOKS_MAX 16

enum state {
	LINE_START,
	NAME, /* its bytes are held */
	KEEP, /* the rest of the line stays */
	DROP, /* the rest of the line goes */
	HOLD  /* it is held: who wrote it is not known yet */
};

static const struct slice removed[] = {SLICE_INIT("bcc"), SLICE_INIT("resent-bcc"), SLICE_INIT("return-path")};

void
smtp_header_fix_init(struct smtp_header_fix *f, bool submission, struct slice_list own)
{
	*f = (struct smtp_header_fix){.state = LINE_START, .first = true, .submission = submission, .own = own};
	buf_init(&f->held, SMTP_HEADER_HELD_MAX + 2 * SMTP_HEADER_RESULTS_MAX);
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

/* The first line of a submission is no field: there is no header section (a message piped from a program, as a rule). In a
 * stranger's it hides nothing that is behind it. */
static void
no_field(struct smtp_header_fix *f)
{
	f->state = KEEP;
	if (f->first && f->submission)
		f->headless = f->done = true;
	f->first = false;
}

static bool
is_removed(const struct smtp_header_fix *f)
{
	for (size_t i = 0; i < COUNT_OF(removed) && f->submission; i++)
		if (slice_eq(slice_of(f->name, f->name_n), removed[i]))
			return true;
	return false;
}

static void
drop_field(struct smtp_header_fix *f)
{
	f->dropping = true;
	f->removed++;
	f->state = DROP;
}

/* Looks at what is held of Authentication-Results. `complete`: the field is over. */
static void
judge_results(struct smtp_header_fix *f, bool complete)
{
	struct slice text = buf_slice(&f->held), value = slice_from(text, text.n - f->held_value_n);
	enum auth_results_author by = auth_results_author(value, f->own, complete);

	f->results = by == AUTH_RESULTS_UNKNOWN;
	if (by == AUTH_RESULTS_OWN)
		drop_field(f);
	else if (by == AUTH_RESULTS_OTHER)
		f->state = KEEP;
}

/* The name is there. */
static void
field_begins(struct smtp_header_fix *f)
{
	f->first = false;
	f->looks = 0;
	f->held_value_n = 0;
	f->results = f->own.n > 0 && slice_eq(slice_of(f->name, f->name_n), SLICE("authentication-results"));
	f->state = f->results ? HOLD : KEEP;
	if (is_removed(f))
		drop_field(f);
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
		field_begins(f);
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
	if (f->results && (c == ' ' || c == '\t')) {
		f->state = HOLD;
	} else if (c == '\r' || c == '\n') { /* the empty line; alone they are refused elsewhere */
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

/* What the state says of what is held. */
static int
settle(struct smtp_header_fix *f, smtp_header_sink *sink, void *ctx)
{
	if (f->state == KEEP && f->held.n > 0)
		return give_held(f, sink, ctx);
	if (f->state == DROP)
		f->held.n = 0;
	return 0;
}

/* A line of Authentication-Results, to the semicolon behind the name of who wrote it. */
static size_t
hold(struct smtp_header_fix *f, struct slice run, size_t i, size_t to)
{
	struct slice piece = slice_head(slice_range(run, i, to), SMTP_HEADER_RESULTS_MAX - f->held_value_n);
	size_t semicolon = f->looks < LOOKS_MAX ? slice_find_byte(piece, ';') : SLICE_NONE;

	if (semicolon != SLICE_NONE)
		piece = slice_head(piece, semicolon + 1);
	buf_put(&f->held, piece);
	f->held_value_n += piece.n;
	if (semicolon != SLICE_NONE || f->held_value_n >= SMTP_HEADER_RESULTS_MAX) {
		f->looks++;
		judge_results(f, f->held_value_n >= SMTP_HEADER_RESULTS_MAX);
	}
	return i + piece.n;
}

/* The field that is held is over where a line does not go on with it. */
static int
end_results(struct smtp_header_fix *f, int next, smtp_header_sink *sink, void *ctx)
{
	int e;

	if (!f->results || next == ' ' || next == '\t')
		return 0;
	judge_results(f, true);
	e = settle(f, sink, ctx);
	f->state = LINE_START;
	return e;
}

int
smtp_header_fix_feed(struct smtp_header_fix *f, struct slice run, smtp_header_sink *sink, void *ctx)
{
	size_t i = 0;
	int e = 0;

	while (i < run.n && e == 0 && !f->done) {
		if (f->state == LINE_START) {
			e = end_results(f, slice_at(run, i), sink, ctx);
			line_starts(f, slice_at(run, i));
		} else if (f->state == NAME) {
			i += name_byte(f, slice_at(run, i));
			e = settle(f, sink, ctx);
		} else {
			/* To the end of the line at once. */
			size_t lf = slice_find_byte(slice_from(run, i), '\n');
			size_t to = lf == SLICE_NONE ? run.n : i + lf + 1;

			if (f->state == KEEP)
				e = give(slice_range(run, i, to), sink, ctx);
			if (f->state == HOLD) {
				to = hold(f, run, i, to);
				e = settle(f, sink, ctx);
			}
			i = to;
			if (slice_at(run, i - 1) == '\n')
				f->state = LINE_START;
		}
	}
	return e != 0 ? e : give(slice_from(run, i), sink, ctx);
}

int
smtp_header_fix_end(struct smtp_header_fix *f, smtp_header_sink *sink, void *ctx)
{
	if (f->state == NAME)
		no_field(f);
	if (f->results)
		judge_results(f, true);
	if (f->state == DROP)
		f->held.n = 0;
	return give_held(f, sink, ctx);
}
