/* plain_text.c: one pass; ASCII is copied in runs. */
#include "spam/plain_text.h"

#include <utf8proc.h>

#define DECOMPOSED_MAX 20 /* of one character: the longest has 18 */

static const struct {
	int32_t c;
	char latin;
} lookalikes[] = {
#define LOOKALIKE(code, letter) {code, letter},
#include "spam/lookalikes.def"
#undef LOOKALIKE
};

/* The Latin letter that the character looks like, or 0. */
static char
lookalike(int32_t c)
{
	size_t low = 0, high = COUNT_OF(lookalikes);

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (lookalikes[mid].c == c)
			return lookalikes[mid].latin;
		if (lookalikes[mid].c < c)
			low = mid + 1;
		else
			high = mid;
	}
	return 0;
}

static bool
is_direction(int32_t c)
{
	return c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
	    (c >= 0x2066 && c <= 0x2069);
}

static bool
is_invisible(int32_t c)
{
	return c == 0x00ad || c == 0x034f || c == 0x115f || c == 0x1160 || c == 0x17b4 || c == 0x17b5 || c == 0x180e ||
	    (c >= 0x200b && c <= 0x200d) || (c >= 0x2060 && c <= 0x2065) || c == 0x2800 || c == 0x3164 ||
	    (c >= 0xfe00 && c <= 0xfe0f) || c == 0xfeff || c == 0xffa0 || (c >= 0xe0000 && c <= 0xe0fff);
}

static void
put_character(int32_t c, struct buf *out)
{
	uint8_t utf8[4];

	buf_put(out, slice_of(utf8, (size_t)utf8proc_encode_char(c, utf8)));
}

/* The character's parts without the marks above and below Latin letters. */
static void
put_plain(int32_t c, struct buf *out, struct plain_counts *counts)
{
	utf8proc_int32_t parts[DECOMPOSED_MAX];
	int class = 0;
	utf8proc_ssize_t n = utf8proc_decompose_char(
	    c, parts, DECOMPOSED_MAX, UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE, &class);

	if (n <= 0 || n > DECOMPOSED_MAX) {
		put_character(c, out);
		counts->foreign++;
		return;
	}
	if (n == 1 && parts[0] == c)
		counts->foreign++;
	else if (parts[0] < 0x80 && (n == 1 || parts[1] < 0x300 || parts[1] > 0x36f))
		counts->forms++;
	else
		counts->foreign++;
	for (utf8proc_ssize_t i = 0; i < n; i++)
		if (parts[i] < 0x300 || parts[i] > 0x36f)
			put_character(parts[i], out);
}

static size_t
put_other(struct slice rest, struct buf *out, struct plain_counts *counts)
{
	utf8proc_int32_t c;
	utf8proc_ssize_t n = utf8proc_iterate(rest.p, (utf8proc_ssize_t)slice_head(rest, 4).n, &c);

	if (n <= 0)
		return 1;
	if (is_direction(c))
		counts->direction++;
	else if (is_invisible(c))
		counts->invisible++;
	else if (c == 0xa0 || c == 0x3000 || (c >= 0x2000 && c <= 0x200a))
		buf_put_u8(out, ' ');
	else
		put_plain(c, out, counts);
	return (size_t)n;
}

void
plain_text(struct slice in, struct buf *out, struct plain_counts *counts)
{
	for (size_t i = 0; i < in.n && out->err == 0;) {
		size_t from = i;

		for (; i < in.n && slice_at(in, i) < 0x80; i++) {
			uint8_t c = slice_at(in, i);

			counts->letters += ascii_is_alpha(c);
			counts->capitals += c >= 'A' && c <= 'Z';
		}
		buf_put(out, slice_range(in, from, i));
		if (i < in.n)
			i += put_other(slice_from(in, i), out, counts);
	}
}

/* Appends the word with its lookalikes in Latin. */
static void
unmask(struct slice word, struct buf *out, size_t *latin, size_t *masked, size_t *other)
{
	for (size_t i = 0; i < word.n;) {
		utf8proc_int32_t c;
		struct slice rest = slice_from(word, i);
		utf8proc_ssize_t n = utf8proc_iterate(rest.p, (utf8proc_ssize_t)slice_head(rest, 4).n, &c);
		char as;

		if (n <= 0) {
			i++;
			continue;
		}
		i += (size_t)n;
		as = c < 0x80 ? 0 : lookalike(c);
		*latin += c < 0x80 && ascii_is_alpha((uint8_t)c);
		*masked += as != 0;
		*other += as == 0 && c >= 0x370;
		if (as != 0)
			buf_put_u8(out, (uint8_t)as);
		else
			put_character(c, out);
	}
}

bool
plain_disguised(struct slice word, struct buf *out)
{
	size_t latin = 0, masked = 0, other = 0, before = out->n;

	unmask(word, out, &latin, &masked, &other);
	if (latin > 0 && masked > 0 && other == 0)
		return true;
	buf_truncate(out, before);
	return false;
}

bool
plain_looks_like(struct slice word, struct buf *out)
{
	size_t latin = 0, masked = 0, other = 0;

	unmask(word, out, &latin, &masked, &other);
	return masked > 0;
}
