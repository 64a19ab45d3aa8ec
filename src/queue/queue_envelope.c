/* queue_envelope.c: parameters of MAIL and RCPT as they travel with a message: `NAME=value` lines. */
#include "queue/queue_private.h"

struct slice
envelope_value(struct slice envelope, struct slice name)
{
	while (envelope.n > 0) {
		struct slice line = slice_cut(&envelope, '\n'), key = slice_cut(&line, '=');

		if (slice_ieq(slice_trim(key), name))
			return slice_trim(line);
	}
	return SLICE_EMPTY;
}

bool
envelope_has(struct slice envelope, struct slice name)
{
	while (envelope.n > 0) {
		struct slice line = slice_cut(&envelope, '\n');

		if (slice_ieq(slice_trim(slice_cut(&line, '=')), name))
			return true;
	}
	return false;
}

int64_t
envelope_number(struct slice envelope, struct slice name, int64_t otherwise)
{
	struct slice v = envelope_value(envelope, name);
	bool minus = v.n > 1 && slice_at(v, 0) == '-';
	uint64_t n;

	if (slice_to_u64(minus ? slice_from(v, 1) : v, INT64_MAX / 1000000, &n) != 0)
		return otherwise;
	return minus ? -(int64_t)n : (int64_t)n;
}

struct deadlines
envelope_deadlines(struct slice envelope, int64_t received_us)
{
	struct deadlines d = {.base_us = received_us};
	struct slice by, mode;
	int64_t hold;
	uint64_t at;

	if (envelope.n == 0)
		return d;
	hold = envelope_number(envelope, SLICE("HOLDUNTIL"), 0) * 1000000;
	if (hold > received_us)
		d.base_us = hold;
	mode = envelope_value(envelope, SLICE("BY"));
	by = slice_cut(&mode, ';');
	if (slice_to_u64(by, INT64_MAX / 1000000, &at) != 0)
		return d;
	d.by_us = (int64_t)at * 1000000;
	d.by_return = mode.n > 0 && ascii_lower(slice_at(mode, 0)) == 'r';
	d.by_trace = mode.n > 1 && ascii_lower(slice_at(mode, 1)) == 't';
	return d;
}

struct slice
envelope_of_target(struct arena *a, struct slice envelope, bool drop_original)
{
	struct slice out = SLICE_EMPTY;

	while (envelope.n > 0) {
		struct slice line = slice_cut(&envelope, '\n'), value = line, name = slice_trim(slice_cut(&value, '='));

		if (drop_original && slice_ieq(name, SLICE("ORCPT")))
			continue;
		if (slice_ieq(name, SLICE("NOTIFY"))) {
			bool failure = envelope_notify(line, SLICE("FAILURE")),
			     delay = envelope_notify(line, SLICE("DELAY"));

			line = failure && delay ? SLICE("NOTIFY=FAILURE,DELAY")
			    : failure           ? SLICE("NOTIFY=FAILURE")
			    : delay             ? SLICE("NOTIFY=DELAY")
						: SLICE("NOTIFY=NEVER");
		}
		out = arena_printf(a, "%.*s%.*s\n", SLICE_ARG(out), SLICE_ARG(line));
	}
	return out;
}

static int
hex_digit(uint8_t c)
{
	if (ascii_is_digit(c))
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* UTF-8 stands for itself (RFC 6533 §3: utf-8-addr-unitext). */
struct slice
xtext_decode(struct arena *a, struct slice s)
{
	uint8_t *p = arena_alloc(a, s.n + 1);
	size_t n = 0;

	for (size_t i = 0; p != NULL && i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (c == '+') {
			int high = i + 2 < s.n ? hex_digit(slice_at(s, i + 1)) : -1;
			int low = i + 2 < s.n ? hex_digit(slice_at(s, i + 2)) : -1;

			if (high < 0 || low < 0)
				return SLICE_EMPTY;
			c = (uint8_t)(high * 16 + low);
			i += 2;
		} else if (c < 33 || c == 127 || c == '=') {
			return SLICE_EMPTY;
		}
		p[n++] = c;
	}
	return p == NULL ? SLICE_EMPTY : slice_of(p, n);
}

bool
envelope_notify(struct slice envelope, struct slice event)
{
	struct slice list = envelope_value(envelope, SLICE("NOTIFY"));

	if (list.n == 0)
		return !slice_ieq(event, SLICE("SUCCESS"));
	while (list.n > 0)
		if (slice_ieq(slice_trim(slice_cut(&list, ',')), event))
			return true;
	return false;
}
