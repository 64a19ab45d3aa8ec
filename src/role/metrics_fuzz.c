/* metrics_fuzz.c: rows as a broken process may send them, as JSON: whatever they are, each line of the text is one of the format. */
#include "role/clerk_health.h"
#include "role/metrics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_line(struct slice line)
{
	size_t open = slice_find_byte(line, '{'), close = slice_rfind_byte(line, '}');
	bool quoted = false;

	if (slice_starts(line, SLICE("# HELP posthouse_")) || slice_starts(line, SLICE("# TYPE posthouse_")))
		return;
	ASSERT(slice_starts(line, SLICE("posthouse_")));
	ASSERT(open != SLICE_NONE && close != SLICE_NONE && close > open && close + 2 < line.n);
	for (size_t i = open + 1; i < close; i++) {
		uint8_t c = slice_at(line, i);

		ASSERT(c >= ' ');
		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
	}
	ASSERT(!quoted);
	for (size_t i = close + 2; i < line.n; i++)
		ASSERT(ascii_is_digit(slice_at(line, i)) || slice_at(line, i) == '.' || slice_at(line, i) == '-');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *rows = json_loadb((const char *)data, size, 0, NULL), *problems;
	struct limits limits;
	struct health_facts facts = {.limits = &limits,
	    .now_s = 1800000000,
	    .begin_s = 1,
	    .backup_s = 5,
	    .jump_s = -99,
	    .jumped_at_s = 1799999999};
	struct buf out, line;

	buf_init(&out, 1 << 20);
	metrics_put(rows, &out);
	for (struct slice rest = buf_slice(&out); out.err == 0 && rest.n > 0;)
		check_line(slice_cut(&rest, '\n'));
	buf_free(&out);
	limits_default(&limits);
	problems = health_judge(rows, &facts);
	buf_init(&line, 65536);
	health_line(problems, &line);
	ASSERT(line.err == 0 && line.n > 0 && slice_find_byte(buf_slice(&line), '\n') == SLICE_NONE);
	buf_free(&line);
	json_decref(problems);
	json_decref(rows);
	return 0;
}
