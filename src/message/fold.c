/* fold.c: ASCII by hand, the rest by utf8proc. */
#include "message/fold.h"

#include <utf8proc.h>

/* The longest decomposition of one character has 18 (U+FDFA). */
#define DECOMPOSED_MAX 32

static void
put_folded(struct buf *out, utf8proc_int32_t u)
{
	utf8proc_int32_t v[DECOMPOSED_MAX];
	int boundary = 0;
	/* UnicodeData.txt has no title case for sharp s; utf8proc thinks of the capital one. */
	utf8proc_ssize_t n = utf8proc_decompose_char(u == 0xdf ? u : utf8proc_totitle(u), v,
	    (utf8proc_ssize_t)COUNT_OF(v), UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, &boundary);

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

/* Length of the run of printable ASCII at i, copied in upper case. */
static size_t
put_ascii(struct slice s, size_t i, struct buf *out)
{
	uint8_t piece[256];
	size_t n = 0;

	while (i + n < s.n && n < sizeof(piece)) {
		uint8_t c = slice_at(s, i + n);

		if (c <= ' ' || c >= 0x80)
			break;
		piece[n++] = ascii_upper(c);
	}
	buf_put(out, slice_of(piece, n));
	return n;
}

void
text_fold(struct slice utf8, struct buf *out)
{
	bool space = false;

	for (size_t i = 0; i < utf8.n && out->err == 0;) {
		uint8_t b = slice_at(utf8, i);
		utf8proc_int32_t u;
		utf8proc_ssize_t len;

		if (b <= ' ') {
			if (!space)
				buf_put_u8(out, ' ');
			space = true;
			i++;
			continue;
		}
		space = false;
		if (b < 0x80) {
			i += put_ascii(utf8, i, out);
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
