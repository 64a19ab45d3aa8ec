/* mbox.c: see mbox.h. */
#include "move/mbox.h"

#include "base/cursor.h"
#include "base/house.h"
#include "store/store.h"

static const char weekdays[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/* ---- separators ---------------------------------------------------------------------------------------------------- */

static int
word_of(struct cursor *c, const char (*table)[4], int n)
{
	for (int i = 0; i < n; i++)
		if (cursor_iaccept(c, slice_z(table[i])))
			return i;
	cursor_fail(c, ERR_SYNTAX);
	return 0;
}

static void
spaces(struct cursor *c)
{
	cursor_expect_byte(c, ' ');
	while (cursor_accept_byte(c, ' '))
		;
}

static int
number(struct cursor *c, int min, int max)
{
	int n = (int)cursor_number(c, (uint64_t)max);

	if (n < min)
		cursor_fail(c, ERR_SYNTAX);
	return n;
}

/* " +0200": minutes east. */
static int
zone(struct cursor *c)
{
	bool west = cursor_peek(c) == '-';
	struct slice digits;
	uint64_t n;

	cursor_skip(c, 1);
	digits = cursor_take(c, 4);
	if (slice_to_u64(digits, 9999, &n) != 0) {
		cursor_fail(c, ERR_SYNTAX);
		return 0;
	}
	return (west ? -1 : 1) * (int)(n / 100 * 60 + n % 100);
}

/* "Thu Jan  1 00:00:00 1970", with or without seconds, a zone before or behind the year, and words behind that. */
static bool
asctime_date(struct slice s, int64_t *epoch_s)
{
	struct cursor c = cursor_of(s);
	struct civil_time t = {0};
	int east = 0;

	(void)word_of(&c, weekdays, 7);
	spaces(&c);
	t.month = word_of(&c, months, 12) + 1;
	spaces(&c);
	t.day = number(&c, 1, 31);
	spaces(&c);
	t.hour = number(&c, 0, 23);
	cursor_expect_byte(&c, ':');
	t.minute = number(&c, 0, 59);
	if (cursor_accept_byte(&c, ':'))
		t.second = number(&c, 0, 60);
	spaces(&c);
	if (cursor_peek(&c) == '+' || cursor_peek(&c) == '-') {
		east = zone(&c);
		spaces(&c);
	} else if (cursor_peek(&c) >= 'A') { /* MET, or MET DST */
		while (cursor_peek(&c) >= 'A' || (cursor_peek(&c) == ' ' && cursor_peek_at(&c, 1) >= 'A'))
			cursor_skip(&c, 1);
		spaces(&c);
	}
	t.year = number(&c, 1900, 9999);
	if (cursor_accept_byte(&c, ' ') && (cursor_peek(&c) == '+' || cursor_peek(&c) == '-'))
		east = zone(&c);
	*epoch_s = time_from_civil(&t) - (int64_t)east * 60;
	return c.err == 0;
}

bool
mbox_from_line(struct slice line, int64_t *epoch_s)
{
	struct slice rest;

	if (!slice_starts(line, SLICE("From ")))
		return false;
	rest = slice_trim(slice_from(line, 5));
	/* The sender may be of several words, or none. */
	for (int i = 0; i < 8 && rest.n > 0; i++) {
		size_t space;

		if (asctime_date(rest, epoch_s))
			return true;
		space = slice_find_byte(rest, ' ');
		if (space == SLICE_NONE)
			break;
		rest = slice_from(rest, space + 1);
		while (rest.n > 0 && slice_at(rest, 0) == ' ')
			rest = slice_from(rest, 1);
	}
	return false;
}

static bool
is_field(struct slice s)
{
	size_t n = 0;

	while (n < s.n && slice_at(s, n) > ' ' && slice_at(s, n) < 0x7f && slice_at(s, n) != ':')
		n++;
	return n > 0 && n < s.n && slice_at(s, n) == ':';
}

bool
mbox_begins(struct slice line, struct slice behind, int64_t *epoch_s)
{
	return mbox_from_line(line, epoch_s) &&
	    (behind.n == 0 || is_field(behind) || slice_starts(behind, SLICE(">From ")));
}

void
mbox_put_from_line(struct buf *out, struct slice sender, int64_t epoch_s)
{
	struct civil_time t;

	time_to_civil(epoch_s, &t);
	buf_put_z(out, "From ");
	for (size_t i = 0; i < sender.n; i++)
		buf_put_u8(out, slice_at(sender, i) <= ' ' || slice_at(sender, i) == 0x7f ? '_' : slice_at(sender, i));
	if (sender.n == 0)
		buf_put_z(out, "MAILER-DAEMON");
	buf_printf(out, " %s %s %2d %02d:%02d:%02d %04lld\n", weekdays[t.weekday], months[t.month - 1], t.day, t.hour,
	    t.minute, t.second, (long long)t.year);
}

bool
mbox_is_quotable(struct slice line)
{
	size_t n = 0;

	while (n < line.n && slice_at(line, n) == '>')
		n++;
	return slice_starts(slice_from(line, n), SLICE("From "));
}

/* ---- status -------------------------------------------------------------------------------------------------------- */

static void
letters(struct mbox_status *s, struct slice value)
{
	static const struct {
		uint8_t letter;
		uint8_t flag;
	} table[] = {
	    {'R', STORE_SEEN}, {'A', STORE_ANSWERED}, {'F', STORE_FLAGGED}, {'D', STORE_DELETED}, {'T', STORE_DRAFT}};

	for (size_t i = 0; i < value.n; i++)
		for (size_t k = 0; k < COUNT_OF(table); k++)
			if (slice_at(value, i) == table[k].letter)
				s->flags = (uint8_t)(s->flags | table[k].flag);
}

static void
words(struct mbox_status *s, struct slice value)
{
	while (value.n > 0) {
		struct slice word = slice_cut(&value, ' ');

		if (word.n == 0)
			continue;
		buf_put(&s->keywords, word);
		buf_put_u8(&s->keywords, ' ');
	}
}

/* Four hexadecimal digits. */
static void
mozilla(struct mbox_status *s, struct slice value)
{
	unsigned bits = 0;

	for (size_t i = 0; i < value.n && i < 8; i++) {
		uint8_t c = ascii_lower(slice_at(value, i));

		if (!ascii_is_digit(c) && (c < 'a' || c > 'f'))
			return;
		bits = bits << 4 | (unsigned)(ascii_is_digit(c) ? c - '0' : c - 'a' + 10);
	}
	s->flags = (uint8_t)(s->flags | ((bits & 1) != 0 ? STORE_SEEN : 0) | ((bits & 2) != 0 ? STORE_ANSWERED : 0) |
	    ((bits & 4) != 0 ? STORE_FLAGGED : 0));
	s->gone = s->gone || (bits & 8) != 0;
	s->forwarded = s->forwarded || (bits & 0x1000) != 0;
}

bool
mbox_status_line(struct mbox_status *s, struct slice line)
{
	size_t colon = slice_find_byte(line, ':');
	struct slice name = slice_head(line, colon == SLICE_NONE ? 0 : colon), value;

	if (name.n == 0)
		return false;
	value = slice_trim(slice_from(line, name.n + 1));
	if (slice_ieq(name, SLICE("Status")) || slice_ieq(name, SLICE("X-Status")))
		letters(s, value);
	else if (slice_ieq(name, SLICE("X-Keywords")) || slice_ieq(name, SLICE("X-Mozilla-Keys")))
		words(s, value);
	else if (slice_ieq(name, SLICE("X-Mozilla-Status")))
		mozilla(s, value);
	else if (slice_ieq(name, SLICE("X-IMAP")))
		s->internal = true;
	else
		return slice_ieq(name, SLICE("X-UID")) || slice_ieq(name, SLICE("X-IMAPbase")) ||
		    slice_ieq(name, SLICE("X-Mozilla-Status2"));
	return true;
}

/* ---- messages --------------------------------------------------------------------------------------------------------- */

struct reading {
	struct move_body *body;
	struct mbox_message *m;
	uint64_t max;
	bool in_header, dropped; /* dropped: the field at hand is not the message's */
	size_t blank;            /* bytes of an empty line that is held back: it may belong to the separator */
	bool too_large;
};

static void
put(struct reading *r, struct slice piece)
{
	bool ends = piece.n > 0 && slice_at(piece, piece.n - 1) == '\n';

	if (r->body->n + piece.n > r->max)
		r->too_large = true;
	if (r->too_large)
		return;
	if (ends)
		move_body_put_line(r->body, piece);
	else
		move_body_put(r->body, piece);
}

static void
put_piece(struct reading *r, struct slice piece, bool first)
{
	bool empty = first && slice_trim(slice_head(piece, 2)).n == 0 && piece.n <= 2 && slice_ends(piece, SLICE("\n"));

	if (r->blank > 0)
		put(r, SLICE("\n"));
	r->blank = 0;
	if (r->in_header && empty) {
		r->in_header = false;
		put(r, piece);
		return;
	}
	if (r->in_header && first && slice_at(piece, 0) != ' ' && slice_at(piece, 0) != '\t')
		r->dropped = mbox_status_line(&r->m->status, piece);
	if (empty)
		r->blank = 1;
	else if (!r->in_header || !r->dropped)
		put(r,
		    first && !r->in_header && slice_at(piece, 0) == '>' && mbox_is_quotable(piece)
			? slice_from(piece, 1)
			: piece);
}

/* The separator is at hand: what follows up to the next one. */
static int
read_message(struct move_lines *l, struct reading *r)
{
	struct slice piece;
	uint64_t before;
	int64_t ignored;
	bool first, blank_before = false;

	for (;;) {
		before = move_lines_offset(l);
		if (!move_lines_next(l, &piece, &first))
			break;
		if (first && blank_before && mbox_begins(piece, move_lines_peek(l), &ignored)) {
			int err = move_lines_seek(l, before);

			if (err != 0)
				return err;
			break;
		}
		blank_before = first && (slice_eq(piece, SLICE("\n")) || slice_eq(piece, SLICE("\r\n")));
		put_piece(r, piece, first);
	}
	if (r->too_large)
		r->body->err = ERR_LIMIT;
	return l->err;
}

int
mbox_next(struct move_lines *l, uint64_t max, struct move_body *body, struct mbox_message *out)
{
	struct reading r = {.body = body, .m = out, .max = max, .in_header = true};
	struct slice piece;
	bool first;

	move_body_reset(body);
	buf_reset(&out->status.keywords);
	out->status = (struct mbox_status){.keywords = out->status.keywords};
	for (;;) {
		out->offset = move_lines_offset(l);
		if (!move_lines_next(l, &piece, &first))
			return l->err;
		if (first && mbox_begins(piece, move_lines_peek(l), &out->epoch_s))
			break;
	}
	return read_message(l, &r) != 0 ? l->err : 1;
}
