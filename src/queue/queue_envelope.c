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

static int
hex_digit(uint8_t c)
{
	if (ascii_is_digit(c))
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

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
		} else if (c < 33 || c > 126 || c == '=') {
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
