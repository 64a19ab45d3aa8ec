/* moment.c: reads a day or a time; days that the calendar has not are refused. */
#include "base/moment.h"

#include "base/cursor.h"
#include "base/house.h"

#define DAY_S 86400

/* Exactly n digits. */
static int
digits(struct cursor *c, size_t n)
{
	struct slice s = cursor_take(c, n);
	uint64_t v = 0;

	if (c->err == 0 && slice_to_u64(s, 9999, &v) != 0)
		cursor_fail(c, ERR_SYNTAX);
	return (int)v;
}

static int
in_range(struct cursor *c, int v, int min, int max)
{
	if (v < min || v > max)
		cursor_fail(c, ERR_SYNTAX);
	return v;
}

static void
read_time(struct cursor *c, struct civil_time *t)
{
	t->hour = in_range(c, digits(c, 2), 0, 23);
	cursor_expect_byte(c, ':');
	t->minute = in_range(c, digits(c, 2), 0, 59);
	if (cursor_accept_byte(c, ':'))
		t->second = in_range(c, digits(c, 2), 0, 59);
}

/* Seconds that the zone is ahead of UTC. */
static int64_t
read_zone(struct cursor *c)
{
	int sign = 0, hours, minutes;

	if (cursor_iaccept(c, SLICE("z")))
		return 0;
	if (cursor_accept_byte(c, '+'))
		sign = 1;
	else if (cursor_accept_byte(c, '-'))
		sign = -1;
	if (sign == 0)
		return 0;
	hours = in_range(c, digits(c, 2), 0, 23);
	cursor_expect_byte(c, ':');
	minutes = in_range(c, digits(c, 2), 0, 59);
	return (int64_t)sign * (hours * 3600 + minutes * 60);
}

int
moment_parse(struct slice s, bool end, int64_t *us)
{
	struct cursor c = cursor_of(slice_trim(s));
	struct civil_time t = {0}, again;
	bool timed;
	int64_t at;

	*us = 0;
	t.year = in_range(&c, digits(&c, 4), 1970, 9999);
	cursor_expect_byte(&c, '-');
	t.month = in_range(&c, digits(&c, 2), 1, 12);
	cursor_expect_byte(&c, '-');
	t.day = in_range(&c, digits(&c, 2), 1, 31);
	timed = cursor_iaccept(&c, SLICE("t")) || cursor_accept_byte(&c, ' ');
	if (timed)
		read_time(&c, &t);
	if (c.err != 0)
		return ERR_SYNTAX;
	at = time_from_civil(&t);
	time_to_civil(at, &again); /* the 31st of April is the 1st of May there */
	if (again.month != t.month || again.day != t.day)
		return ERR_SYNTAX;
	if (timed)
		at -= read_zone(&c);
	else if (end)
		at += DAY_S;
	if (c.err != 0 || !cursor_end(&c))
		return ERR_SYNTAX;
	*us = at * 1000000;
	return 0;
}
