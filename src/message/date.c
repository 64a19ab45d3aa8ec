/* date.c: dates. The reader of mail dates looks at each number and word in turn and takes it for what it can be, since
 * real mail has them in every order. */
#include "message/date.h"

#include "base/house.h"
#include "message/cfws.h"

static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char weekdays[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

/* RFC 5322 §4.3. All other names, the military ones too, say nothing (-0000). */
static const struct {
	struct slice name;
	int offset_min;
} zones[] = {
    {SLICE_INIT("GMT"), 0},
    {SLICE_INIT("UT"), 0},
    {SLICE_INIT("UTC"), 0},
    {SLICE_INIT("Z"), 0},
    {SLICE_INIT("EST"), -300},
    {SLICE_INIT("EDT"), -240},
    {SLICE_INIT("CST"), -360},
    {SLICE_INIT("CDT"), -300},
    {SLICE_INIT("MST"), -420},
    {SLICE_INIT("MDT"), -360},
    {SLICE_INIT("PST"), -480},
    {SLICE_INIT("PDT"), -420},
};

#define UNSET (-1)

struct reader {
	struct cursor c;
	int year, month, day; /* UNSET, or their values; month 1.. */
	int hour, minute, second;
	bool pm, am;
	int offset_min;
	bool zone_known, zone_numeric;
};

/* Digits of a number, at most nine of them counted. */
static int
number(struct cursor *c, size_t *digits)
{
	int v = 0;

	*digits = 0;
	while (cursor_peek(c) >= '0' && cursor_peek(c) <= '9') {
		int d = cursor_u8(c) - '0';

		if (++*digits <= 9)
			v = v * 10 + d;
	}
	return v;
}

/* Moves past CFWS to `b` and past it, or stays. */
static bool
accept_after_cfws(struct cursor *c, uint8_t b)
{
	struct cursor ahead = *c;

	cfws_skip(&ahead, NULL);
	if (!cursor_accept_byte(&ahead, b))
		return false;
	*c = ahead;
	return true;
}

/* Behind the hour's colon: minutes, and seconds with a fraction if they are there. */
static void
read_time(struct reader *r, int hour)
{
	size_t digits;
	int minute, second = 0;

	cfws_skip(&r->c, NULL);
	minute = number(&r->c, &digits);
	if (digits == 0 || r->hour != UNSET)
		return;
	if (accept_after_cfws(&r->c, ':')) {
		cfws_skip(&r->c, NULL);
		second = number(&r->c, &digits);
		if (cursor_peek(&r->c) == '.' || cursor_peek(&r->c) == ',') {
			struct cursor ahead = r->c;

			cursor_skip(&ahead, 1);
			(void)number(&ahead, &digits);
			if (digits > 0)
				r->c = ahead;
		}
	}
	if (hour > 24 || minute > 59 || second > 60)
		return;
	r->hour = hour == 24 ? 0 : hour;
	r->minute = minute;
	r->second = second;
}

static int
full_year(int year, size_t digits)
{
	if (digits == 2)
		return year < 50 ? year + 2000 : year + 1900;
	return digits == 3 ? year + 1900 : year;
}

/* "2026-11-22" behind its first hyphen. */
static bool
read_iso(struct reader *r, int year)
{
	struct cursor c = r->c;
	size_t digits;
	int month = number(&c, &digits), day;

	if (digits != 2 || !cursor_accept_byte(&c, '-'))
		return false;
	day = number(&c, &digits);
	if (digits != 2 || month < 1 || month > 12)
		return false;
	r->year = year;
	r->month = month;
	r->day = day;
	r->c = c;
	return true;
}

static void
read_number(struct reader *r)
{
	size_t digits;
	int v = number(&r->c, &digits);

	if (digits <= 2 && accept_after_cfws(&r->c, ':')) {
		read_time(r, v);
	} else if (digits == 4 && r->day == UNSET && r->month == UNSET && cursor_peek(&r->c) == '-' &&
	    cursor_peek_at(&r->c, 1) >= '0' && cursor_peek_at(&r->c, 1) <= '9') {
		cursor_skip(&r->c, 1);
		if (!read_iso(r, v))
			r->year = v;
	} else if (digits >= 3) {
		if (r->year == UNSET && digits <= 4)
			r->year = full_year(v, digits);
	} else if (r->day == UNSET) {
		r->day = v;
	} else if (r->year == UNSET && r->month != UNSET) {
		r->year = full_year(v, digits);
	}
}

/* "+0100" or "-05:30", the cursor on the sign. A number in front of it has been the time. */
static void
read_offset(struct reader *r)
{
	bool west = cursor_u8(&r->c) == '-';
	size_t digits, more;
	int v;

	if (r->hour == UNSET || r->zone_numeric)
		return;
	v = number(&r->c, &digits);
	if (digits == 2 && cursor_accept_byte(&r->c, ':'))
		v = v * 100 + number(&r->c, &more);
	else if (digits == 1 || digits == 2)
		v *= 100;
	if (digits == 0 || digits > 4)
		return;
	r->zone_numeric = true;
	r->zone_known = v / 100 < 24 && v % 100 < 60 && !(west && v == 0);
	r->offset_min = !r->zone_known ? 0 : (v / 100 * 60 + v % 100) * (west ? -1 : 1);
}

static void
read_word(struct reader *r)
{
	size_t from = r->c.pos;
	struct slice word;

	while (!cursor_end(&r->c) && ascii_is_alpha((uint8_t)cursor_peek(&r->c)))
		cursor_skip(&r->c, 1);
	word = slice_range(r->c.s, from, r->c.pos);
	for (int i = 0; i < 12 && r->month == UNSET && word.n >= 3; i++)
		if (slice_istarts(word, slice_z(months[i]))) {
			r->month = i + 1;
			return;
		}
	if (r->hour == UNSET)
		return;
	r->pm |= slice_ieq(word, SLICE("PM"));
	r->am |= slice_ieq(word, SLICE("AM"));
	for (size_t i = 0; i < COUNT_OF(zones) && !r->zone_known && !r->zone_numeric; i++)
		if (slice_ieq(word, zones[i].name)) {
			r->zone_known = true;
			r->offset_min = zones[i].offset_min;
		}
}

static int
finish(struct reader *r, struct message_date *out)
{
	struct civil_time t = {.year = r->year, .month = r->month, .day = r->day};

	/* A year is from 1900 on (RFC 5322 §3.3); "0102" is neither that nor the 102 of §4.3, and sorts nothing. */
	if (r->year == UNSET || r->month == UNSET || r->day < 1 || r->day > 31 || r->year < 1900)
		return ERR_SYNTAX;
	if (r->hour != UNSET) {
		if (r->pm && r->hour < 12)
			r->hour += 12;
		if (r->am && r->hour == 12)
			r->hour = 0;
		t.hour = r->hour;
		t.minute = r->minute;
		t.second = r->second;
	}
	*out = (struct message_date){time_from_civil(&t) - (int64_t)r->offset_min * 60, r->offset_min, r->zone_known};
	return 0;
}

int
date_parse(struct slice value, struct message_date *out)
{
	struct reader r = {.c = cursor_of(value), .year = UNSET, .month = UNSET, .day = UNSET, .hour = UNSET};

	for (;;) {
		int c;

		cfws_skip(&r.c, NULL);
		c = cursor_peek(&r.c);
		if (c < 0)
			return finish(&r, out);
		if (ascii_is_digit((uint8_t)c))
			read_number(&r);
		else if (ascii_is_alpha((uint8_t)c))
			read_word(&r);
		else if (c == '+' || c == '-')
			read_offset(&r);
		else
			cursor_skip(&r.c, 1);
	}
}

static void
put_offset(struct buf *out, int offset_min)
{
	int v = offset_min < 0 ? -offset_min : offset_min;

	buf_printf(out, "%c%02d%02d", offset_min < 0 ? '-' : '+', v / 60, v % 60);
}

void
date_put(struct buf *out, int64_t epoch_s, int offset_min)
{
	struct civil_time t;

	time_to_civil(epoch_s + (int64_t)offset_min * 60, &t);
	buf_printf(out, "%s, %02d %s %04lld %02d:%02d:%02d ", weekdays[t.weekday], t.day, months[t.month - 1],
	    (long long)t.year, t.hour, t.minute, t.second);
	put_offset(out, offset_min);
}

void
date_put_imap(struct buf *out, int64_t epoch_s, int offset_min)
{
	struct civil_time t;

	time_to_civil(epoch_s + (int64_t)offset_min * 60, &t);
	buf_printf(out, "%2d-%s-%04lld %02d:%02d:%02d ", t.day, months[t.month - 1], (long long)t.year, t.hour,
	    t.minute, t.second);
	put_offset(out, offset_min);
}

/* Exactly `want` digits, up to max. */
static int
digits_of(struct cursor *c, size_t want, int max)
{
	size_t got;
	int v = number(c, &got);

	if (got != want || v > max)
		cursor_fail(c, ERR_SYNTAX);
	return v;
}

/* dd-Mon-yyyy; a day of one digit may stand alone or behind a space. */
static struct civil_time
read_imap_day(struct cursor *c)
{
	struct civil_time t = {0};
	struct slice word;
	size_t digits;

	(void)cursor_accept_byte(c, ' ');
	t.day = number(c, &digits);
	cursor_expect_byte(c, '-');
	word = cursor_take(c, 3);
	for (int i = 0; i < 12; i++)
		if (slice_ieq(word, slice_z(months[i])))
			t.month = i + 1;
	cursor_expect_byte(c, '-');
	t.year = digits_of(c, 4, 9999);
	if (digits == 0 || digits > 2 || t.day < 1 || t.day > 31 || t.month == 0)
		cursor_fail(c, ERR_SYNTAX);
	return t;
}

int
date_parse_imap(struct slice s, struct message_date *out)
{
	struct cursor c = cursor_of(s);
	struct civil_time t = read_imap_day(&c);
	int sign, hours, minutes;
	struct slice zone;

	cursor_expect_byte(&c, ' ');
	t.hour = digits_of(&c, 2, 23);
	cursor_expect_byte(&c, ':');
	t.minute = digits_of(&c, 2, 59);
	cursor_expect_byte(&c, ':');
	t.second = digits_of(&c, 2, 60);
	cursor_expect_byte(&c, ' ');
	sign = cursor_peek(&c);
	if (sign != '+' && sign != '-')
		cursor_fail(&c, ERR_SYNTAX);
	cursor_skip(&c, 1);
	zone = cursor_take(&c, 4);
	if (c.err != 0 || !cursor_end(&c))
		return ERR_SYNTAX;
	c = cursor_of(slice_head(zone, 2));
	hours = digits_of(&c, 2, 23);
	if (c.err != 0)
		return ERR_SYNTAX;
	c = cursor_of(slice_from(zone, 2));
	minutes = digits_of(&c, 2, 59);
	if (c.err != 0)
		return ERR_SYNTAX;
	out->offset_min = (hours * 60 + minutes) * (sign == '-' ? -1 : 1);
	out->zone_known = !(sign == '-' && out->offset_min == 0);
	out->epoch_s = time_from_civil(&t) - (int64_t)out->offset_min * 60;
	return 0;
}

int
date_parse_imap_day(struct slice s, int64_t *day)
{
	struct cursor c = cursor_of(s);
	struct civil_time t = read_imap_day(&c);

	if (c.err != 0 || !cursor_end(&c))
		return ERR_SYNTAX;
	*day = time_from_civil(&t) / 86400;
	if (time_from_civil(&t) % 86400 < 0)
		(*day)--;
	return 0;
}

int64_t
date_day(const struct message_date *d)
{
	int64_t s = d->epoch_s + (int64_t)d->offset_min * 60;

	return s / 86400 - (s % 86400 < 0 ? 1 : 0);
}
