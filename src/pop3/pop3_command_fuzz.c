/* Lines that parse, and stuffing that can be undone. */
#include "pop3/pop3_command.h"
#include "pop3/pop3_stuff.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* What a client makes of a multi-line response: true if it ended exactly at the end. */
static bool
unstuff(struct slice in, struct buf *out)
{
	while (in.n > 0) {
		size_t at = slice_find(in, SLICE("\r\n"));
		struct slice line;

		if (at == SLICE_NONE)
			return false;
		line = slice_head(in, at);
		in = slice_from(in, at + 2);
		if (slice_eq(line, SLICE(".")))
			return in.n == 0;
		buf_put(out, slice_starts(line, SLICE(".")) ? slice_from(line, 1) : line);
		buf_put(out, SLICE("\r\n"));
	}
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct slice in = slice_of(p, n);
	struct pop3_command c;
	uint64_t v[2];
	struct buf BUF_CLEANUP wire;
	struct buf BUF_CLEANUP back;
	struct pop3_stuff s = pop3_stuff_of(0, false, 0);
	size_t step = n == 0 ? 1 : 1 + p[0] % 7u;

	if (pop3_command_parse(in, &c) == 0)
		(void)pop3_numbers(&c, v, 2);
	buf_init(&wire, 1 << 22);
	buf_init(&back, 1 << 22);
	for (size_t at = 0; at < n; at += step)
		pop3_stuff_feed(&s, slice_range(in, at, at + step < n ? at + step : n), &wire);
	pop3_stuff_end(&s, &wire);
	ASSERT(unstuff(buf_slice(&wire), &back));
	/* A bare LF before a dot costs a dot; all else comes back, with a line end at the end. */
	if (slice_find(in, SLICE("\n.")) == SLICE_NONE && slice_find(in, SLICE("\n\r\n")) == SLICE_NONE)
		ASSERT(slice_starts(buf_slice(&back), in));
	return 0;
}
