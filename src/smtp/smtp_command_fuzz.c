/* Command lines, and names in HELO. */
#include "smtp/command.h"
#include "smtp/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct smtp_command c = smtp_command_parse(slice_of(p, n));
	BUF_CLEANUP struct buf b;

	ASSERT(c.verb < SMTP_VERB_COUNT && (c.row == NULL || c.row->verb == c.verb));
	(void)smtp_helo_is_valid(c.argument);
	/* Whatever the name is, it stays inside its field. */
	buf_init(&b, 1 << 20);
	smtp_received_put(&b,
	    &(struct smtp_received){.helo = slice_head(c.argument, 1000),
		.hostname = SLICE("h"),
		.protocol = SLICE("SMTP"),
		.id = SLICE("i")});
	ASSERT(slice_find(slice_head(buf_slice(&b), b.n), SLICE("\r\n\tby h with SMTP\r\n\tid i;\r\n\t")) ==
	    slice_find_byte(buf_slice(&b), '\r'));
	return 0;
}
