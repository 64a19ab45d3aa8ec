/* imap_fold.c: ASCII by hand, the rest by utf8proc. */
#include "imap/imap_fold.h"

#include <utf8proc.h>

static void
put_folded(struct buf *out, utf8proc_int32_t u)
{
	utf8proc_int32_t v[16];
	int boundary = 0;
	utf8proc_ssize_t n = utf8proc_decompose_char(
	    u, v, (utf8proc_ssize_t)COUNT_OF(v), UTF8PROC_CASEFOLD | UTF8PROC_DECOMPOSE, &boundary);

	if (n < 0 || n > (utf8proc_ssize_t)COUNT_OF(v)) {
		v[0] = u;
		n = 1;
	}
	for (utf8proc_ssize_t i = 0; i < n; i++) {
		uint8_t *p = buf_reserve(out, 4);

		if (p == NULL)
			return;
		buf_added(out, (size_t)utf8proc_encode_char(v[i], p));
	}
}

void
imap_fold(struct slice utf8, struct buf *out)
{
	bool space = false;

	for (size_t i = 0; i < utf8.n && out->err == 0;) {
		uint8_t b = slice_at(utf8, i);
		utf8proc_int32_t u;
		utf8proc_ssize_t len;

		if (ascii_is_space(b)) {
			if (!space)
				buf_put_u8(out, ' ');
			space = true;
			i++;
			continue;
		}
		space = false;
		if (b < 0x80) {
			buf_put_u8(out, ascii_lower(b));
			i++;
			continue;
		}
		len = utf8proc_iterate(utf8.p + i, (utf8proc_ssize_t)(utf8.n - i), &u);
		if (len <= 0) {
			buf_put_u8(out, b);
			i++;
			continue;
		}
		put_folded(out, u);
		i += (size_t)len;
	}
}
