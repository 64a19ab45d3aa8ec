/* pop3_command.c: splitting lines. */
#include "pop3/pop3_command.h"

#include "base/cursor.h"

int
pop3_command_parse(struct slice line, struct pop3_command *out)
{
	size_t n = 0;

	*out = (struct pop3_command){0};
	for (size_t i = 0; i < line.n; i++) {
		uint8_t b = slice_at(line, i);

		if (b == 0 || b == '\r' || b == '\n')
			return ERR_SYNTAX;
	}
	while (n < line.n && ascii_is_alnum(slice_at(line, n)))
		n++;
	out->verb = slice_head(line, n);
	if (n == 0)
		return ERR_SYNTAX;
	if (n == line.n)
		return 0;
	if (slice_at(line, n) != ' ')
		return ERR_SYNTAX;
	out->argument = slice_from(line, n + 1);
	out->has_argument = true;
	return 0;
}

int
pop3_numbers(const struct pop3_command *c, uint64_t out[], int max)
{
	struct cursor cur = cursor_of(c->argument);
	int n = 0;

	if (!c->has_argument)
		return 0;
	for (;;) {
		if (n == max)
			return -1;
		out[n++] = cursor_number(&cur, UINT32_MAX);
		if (cur.err != 0)
			return -1;
		if (cursor_end(&cur))
			return n;
		/* A space at the very end is forgiven: some clients send it. */
		if (!cursor_accept_byte(&cur, ' '))
			return -1;
		if (cursor_end(&cur))
			return n;
	}
}

void
pop3_put_capabilities(struct buf *out, const struct limits *limits, unsigned when)
{
	static const struct {
		struct slice line;
		unsigned when;
	} rows[] = {
#define CAPABILITY(line, when) {SLICE_INIT(line), when},
#include "pop3/capabilities.def"
#undef CAPABILITY
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if ((rows[i].when & when) == 0)
			continue;
		buf_put(out, rows[i].line);
		buf_put(out, SLICE("\r\n"));
	}
	if (limits->pop3_login_delay_ms > 0)
		buf_printf(out, "LOGIN-DELAY %lld\r\n", (long long)(limits->pop3_login_delay_ms + 999) / 1000);
	buf_put(out, SLICE(".\r\n"));
}

void
pop3_put_language(struct buf *out, const struct pop3_command *c)
{
	struct slice range = c->argument;

	/* RFC 4647 §3.3.1: a range fits a tag that it is, or that it begins up to a hyphen. */
	if (range.n == 0)
		buf_put(out, SLICE("+OK languages follow\r\nen English\r\n.\r\n"));
	else if (slice_eq(range, SLICE("*")) || slice_ieq(range, SLICE("en")))
		buf_put(out, SLICE("+OK en English it is\r\n"));
	else
		buf_put(out, SLICE("-ERR there is no such language here\r\n"));
}
