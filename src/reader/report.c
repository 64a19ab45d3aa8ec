#include "reader/report.h"

#include "message/mailbox.h"
#include "rt/net.h"

#include <time.h>

#define MERGED_MAX 50
#define PROBLEM_MAX 1000
#define YEAR_2000_S 946684800
#define YEAR_2200_S 7258118400

void
report_begin(struct report *r, const struct limits *l, struct arena *a, uint64_t salt)
{
	*r = (struct report){.limits = l, .a = a, .salt = salt};
	buf_init(&r->policy, REPORT_POLICY_MAX);
	buf_init(&r->problem, PROBLEM_MAX);
}

void
report_free(struct report *r)
{
	buf_free(&r->policy);
	buf_free(&r->problem);
}

void
report_reset(struct report *r)
{
	struct buf problem = r->problem;

	buf_free(&r->policy);
	report_begin(r, r->limits, r->a, r->salt);
	r->problem = problem;
}

int
report_refuse(struct report *r, const char *fmt, ...)
{
	char text[PROBLEM_MAX / 2];
	va_list ap;

	if (r->problem.n > 0)
		return ERR_INVALID;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_put(&r->problem, report_text(r, slice_z(text)));
	return ERR_INVALID;
}

/* ---- rows ------------------------------------------------------------------------------------------------------ */

static size_t
row_bytes(const struct report_row *w)
{
	return w->domain.n + w->source.n + w->outcome.n + w->means.n + w->who.n + w->detail.n + 64;
}

static int
append(struct report *r, const struct report_row *w)
{
	struct report_row *grown = arena_grow(
	    r->a, r->rows, r->n, &r->cap, sizeof(*r->rows), (size_t)r->limits->report_rows + MERGED_MAX + 1);

	if (grown == NULL)
		return ERR_NOMEM;
	r->rows = grown;
	grown[r->n++] = (struct report_row){.domain = arena_copy(r->a, w->domain),
	    .source = arena_copy(r->a, w->source),
	    .count = w->count,
	    .outcome = arena_copy(r->a, w->outcome),
	    .means = arena_copy(r->a, w->means),
	    .who = arena_copy(r->a, w->who),
	    .detail = arena_copy(r->a, w->detail)};
	return arena_failed(r->a) ? ERR_NOMEM : 0;
}

/* To the sum of its kind. */
static int
merge(struct report *r, const struct report_row *w)
{
	struct report_row sum = {.domain = r->domain, .count = w->count, .outcome = w->outcome, .means = w->means};

	for (size_t i = r->n - r->merged; i < r->n; i++) {
		struct report_row *to = &r->rows[i];
		bool last = r->merged >= MERGED_MAX && i + 1 == r->n;

		if (!last && !(slice_eq(to->outcome, w->outcome) && slice_eq(to->means, w->means)))
			continue;
		to->count += w->count;
		return 0;
	}
	if (r->merged + 1 == MERGED_MAX) {
		sum.outcome = SLICE("other");
		sum.means = SLICE_EMPTY;
	}
	r->merged++;
	return append(r, &sum);
}

int
report_add(struct report *r, const struct report_row *w)
{
	size_t bytes = row_bytes(w);

	if (w->count < 1 || w->count > REPORT_COUNT_MAX) {
		r->skipped++;
		return 0;
	}
	if (r->merged > 0 || r->n >= (size_t)r->limits->report_rows ||
	    r->bytes + bytes > (size_t)r->limits->report_row_bytes)
		return merge(r, w);
	r->bytes += bytes;
	return append(r, w);
}

/* ---- values ---------------------------------------------------------------------------------------------------- */

/* Bytes of the character at the front, or 0 when there is none that is valid. */
static size_t
utf8_length(struct slice s)
{
	for (size_t n = 1; n <= 4 && n <= s.n; n++)
		if (slice_is_utf8(slice_head(s, n), true))
			return n;
	return 0;
}

struct slice
report_text(const struct report *r, struct slice raw)
{
	size_t max = (size_t)r->limits->report_text_bytes;
	struct buf out BUF_CLEANUP;

	buf_init(&out, max + 4);
	raw = slice_trim(raw);
	while (raw.n > 0) {
		size_t n = utf8_length(raw);
		uint8_t c = slice_at(raw, 0);

		if (out.n + (n == 0 ? 1 : n) > max)
			break;
		if (n == 0 || (n == 1 && (c < ' ' || c == 127)))
			buf_put_u8(&out, n == 0 ? '?' : ' ');
		else
			buf_put(&out, slice_head(raw, n));
		raw = slice_from(raw, n == 0 ? 1 : n);
	}
	return arena_copy(r->a, slice_trim(buf_slice(&out)));
}

struct slice
report_domain(const struct report *r, struct slice raw)
{
	struct slice out;

	raw = slice_trim(raw);
	if (raw.n == 0 || raw.n > 1000 || domain_normalise(r->a, raw, &out) != 0 || !slice_is_ascii(out) ||
	    slice_at(out, 0) == '[')
		return SLICE_EMPTY;
	return report_text(r, out);
}

struct slice
report_address(const struct report *r, struct slice raw)
{
	struct net_address at;
	char text[NET_ADDRESS_TEXT_MAX];

	if (net_address_parse(slice_trim(raw), 0, &at) != 0)
		return SLICE_EMPTY;
	net_address_text(&at, text);
	return arena_copy(r->a, slice_z(text));
}

void
report_put(const struct report *r, struct buf *lines, const char *name, struct slice value)
{
	value = report_text(r, value);
	if (value.n > 0 && lines->n + strlen(name) + value.n + 2 <= lines->max)
		buf_printf(lines, "%s=%.*s\n", name, SLICE_ARG(value));
}

static int64_t
sane_time(int64_t s)
{
	return s >= YEAR_2000_S && s < YEAR_2200_S ? s : 0;
}

/* Digits at the front as a number; -1 without. */
static int64_t
take_number(struct slice *s, size_t digits)
{
	uint64_t v;

	if (s->n < digits || slice_to_u64(slice_head(*s, digits), INT32_MAX, &v) != 0)
		return -1;
	*s = slice_from(*s, digits);
	return (int64_t)v;
}

static bool
take_byte(struct slice *s, const char *any)
{
	if (s->n == 0 || slice_find_byte(slice_z(any), slice_at(*s, 0)) == SLICE_NONE)
		return false;
	*s = slice_from(*s, 1);
	return true;
}

/* RFC 3339 §5.6; the time may be missing, and so may the zone, which is UTC then. */
static int64_t
read_date(struct slice s)
{
	struct tm at = {0};
	int64_t year = take_number(&s, 4), month, day, hour = 0, minute = 0, second = 0, zone = 0;
	bool east;

	month = take_byte(&s, "-") ? take_number(&s, 2) : -1;
	day = take_byte(&s, "-") ? take_number(&s, 2) : -1;
	if (s.n > 0 && take_byte(&s, "Tt ")) {
		hour = take_number(&s, 2);
		minute = take_byte(&s, ":") ? take_number(&s, 2) : -1;
		second = take_byte(&s, ":") ? take_number(&s, 2) : 0;
	}
	if (take_byte(&s, "."))
		while (take_byte(&s, "0123456789"))
			;
	east = s.n > 0 && slice_at(s, 0) == '+';
	if (take_byte(&s, "+-")) {
		int64_t h = take_number(&s, 2), m = take_byte(&s, ":") ? take_number(&s, 2) : 0;

		zone = h < 0 || h > 23 || m < 0 || m > 59 ? -1 : h * 3600 + m * 60;
	} else {
		(void)take_byte(&s, "Zz");
	}
	if (s.n > 0 || year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 ||
	    minute < 0 || minute > 59 || second < 0 || second > 60 || zone < 0)
		return 0;
	at.tm_year = (int)year - 1900;
	at.tm_mon = (int)month - 1;
	at.tm_mday = (int)day;
	at.tm_hour = (int)hour;
	at.tm_min = (int)minute;
	at.tm_sec = (int)second;
	return sane_time((int64_t)timegm(&at) - (east ? zone : -zone));
}

int64_t
report_time(struct slice raw)
{
	struct slice s = slice_trim(raw), whole = slice_head(s, slice_find_byte(s, '.'));
	uint64_t v;

	if (slice_to_u64(whole, INT64_MAX, &v) == 0)
		return sane_time((int64_t)v);
	return read_date(s);
}
