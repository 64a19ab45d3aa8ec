/* What programs may write into sendmail: it becomes header lines that end in CR LF and lines of a body without any, and all
 * recipients have a domain. */
#include "cli/sendmail.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
check_body(struct sendmail_input *in)
{
	struct slice line;

	while (sendmail_input_line(in, &line) == 1)
		ASSERT(slice_find_byte(line, '\n') == SLICE_NONE && slice_find_byte(line, '\r') == SLICE_NONE);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct sendmail s = {.from_header = true, .full_name = "N", .own_address = SLICE("me@here.test")};
	struct sendmail_input in;
	struct buf header, first, out;
	FILE *file = n == 0 ? NULL : fmemopen((void *)(uintptr_t)p, n, "r");

	if (file == NULL)
		return 0;
	arena_init(&s.arena, (size_t)64 << 20);
	sendmail_input_init(&in, file, (n & 1) != 0);
	buf_init(&header, 4u << 20);
	buf_init(&first, 4u << 20);
	buf_init(&out, 8u << 20);
	if (sendmail_header_read(&in, &header, &first) >= 0 &&
	    sendmail_header_finish(&s, buf_slice(&header), &out) == 0) {
		ASSERT(out.n >= 2 && slice_ends(buf_slice(&out), SLICE("\r\n")));
		for (size_t i = 0; i < s.recipients_n; i++)
			ASSERT(slice_rfind_byte(s.recipients[i], '@') != SLICE_NONE);
		check_body(&in);
	}
	buf_free(&header);
	buf_free(&first);
	buf_free(&out);
	sendmail_input_free(&in);
	arena_free(&s.arena);
	(void)fclose(file);
	return 0;
}
