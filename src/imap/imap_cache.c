/* imap_cache.c: a mark, three lengths, three texts. */
#include "imap/imap_cache.h"

#include "base/cursor.h"

/* Changes with what is told: an older text is not told any more. */
#define MARK SLICE("imap3")

void
imap_cache_write(const struct slice told[IMAP_TOLD], struct buf *out)
{
	buf_put(out, MARK);
	for (int i = 0; i < IMAP_TOLD; i++)
		buf_put_be32(out, (uint32_t)told[i].n);
	for (int i = 0; i < IMAP_TOLD; i++)
		buf_put(out, told[i]);
}

bool
imap_cache_read(struct slice cache, struct slice told[IMAP_TOLD])
{
	struct cursor c = cursor_of(cache);
	uint32_t n[IMAP_TOLD];

	cursor_expect(&c, MARK);
	for (int i = 0; i < IMAP_TOLD; i++)
		n[i] = cursor_be32(&c);
	for (int i = 0; i < IMAP_TOLD; i++) {
		told[i] = cursor_take(&c, n[i]);
		/* Each is a list in parentheses. */
		if (!slice_starts(told[i], SLICE("(")) || !slice_ends(told[i], SLICE(")")))
			return false;
	}
	return c.err == 0 && cursor_end(&c);
}
