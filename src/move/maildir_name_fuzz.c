/* Names of files in anybody's Maildir: flags that are written are read again. */
#include "move/maildir_name.h"

#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice s = slice_of(data, size), base;
	struct maildir_name one, again;
	struct buf BUF_CLEANUP b;
	uint32_t v, n;

	buf_init(&b, 1u << 20);
	maildir_name_parse(s, &one);
	buf_put(&b, one.base);
	maildir_name_put_info(&b, one.flags, one.forwarded, one.keywords);
	if (b.err == 0) {
		maildir_name_parse(buf_slice(&b), &again);
		ASSERT(slice_eq(again.base, one.base) && again.flags == one.flags && again.forwarded == one.forwarded &&
		    again.keywords == one.keywords);
	}
	(void)maildir_uidlist_head(s, &v, &n);
	if (maildir_uidlist_line(s, &v, &base))
		ASSERT(v > 0 && base.n > 0);
	return 0;
}
