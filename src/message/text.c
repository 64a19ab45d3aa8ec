/* text.c: the text of parts. */
#include "message/text.h"

#include "message/words.h"

#define PREVIEW_BYTES 65536
#define FIELD_TEXT_MAX (4u * 1024u * 1024u)

bool
text_is_plain(const struct mime_part *p)
{
	return mime_is(p, SLICE("text"), SLICE("plain")) && !slice_eq(p->disposition, SLICE("attachment"));
}

/* Cuts what is over max, at the beginning of a character. */
static struct slice
cut_utf8(struct slice s, size_t max)
{
	if (s.n <= max)
		return s;
	while (max > 0 && (slice_at(s, max) & 0xc0) == 0x80)
		max--;
	return slice_head(s, max);
}

/* CRLF becomes LF; a lone CR too. */
static void
put_lines(struct slice s, struct buf *out)
{
	while (s.n > 0) {
		size_t at = slice_find_byte(s, '\r');

		if (at == SLICE_NONE) {
			buf_put(out, s);
			return;
		}
		buf_put(out, slice_head(s, at));
		buf_put_u8(out, '\n');
		at += at + 1 < s.n && slice_at(s, at + 1) == '\n' ? 2 : 1;
		s = slice_from(s, at);
	}
}

int
text_of_part(const struct mime *m, const struct mime_part *p, const struct limits *limits, enum charset_place place,
    struct buf *out)
{
	size_t max = (size_t)limits->message_text_bytes;
	BUF_CLEANUP struct buf bytes;
	BUF_CLEANUP struct buf utf8;
	struct slice text;

	if (!mime_is(p, SLICE("text"), SLICE_EMPTY))
		return ERR_UNSUPPORTED;
	buf_init(&bytes, max);
	buf_init(&utf8, max * 4 + 16);
	(void)mime_decode(m, p, &bytes);
	if (bytes.err == ERR_NOMEM)
		return ERR_NOMEM;
	(void)charset_to_utf8(p->charset, buf_slice(&bytes), place, &utf8);
	if (utf8.err == ERR_NOMEM)
		return ERR_NOMEM;
	text = cut_utf8(buf_slice(&utf8), max);
	/* What the cut made of the last character. */
	if (bytes.err == ERR_LIMIT && slice_ends(text, SLICE("\xef\xbf\xbd")))
		text = slice_head(text, text.n - 3);
	put_lines(text, out);
	return out->err;
}

static bool
is_html(const struct mime_part *p)
{
	return mime_is(p, SLICE("text"), SLICE("html")) && !slice_eq(p->disposition, SLICE("attachment"));
}

static const struct mime_part *
first_part(const struct mime *m, bool (*is)(const struct mime_part *p))
{
	for (size_t i = 0; i < m->n; i++) {
		const struct mime_part *p = &m->v[i];

		if (p->is_message && i > 0)
			return NULL;
		if (is(p) && !p->is_multipart)
			return p;
		/* What is in an embedded message is not this message's text: its parts follow it, so they are skipped. */
		if (p->has_message)
			while (i + 1 < m->n && m->v[i + 1].depth > p->depth)
				i++;
	}
	return NULL;
}

const struct mime_part *
text_plain_part(const struct mime *m)
{
	return first_part(m, text_is_plain);
}

const struct mime_part *
text_html_part(const struct mime *m)
{
	return first_part(m, is_html);
}

void
text_of_header(const struct header *h, enum charset_place place, struct buf *out)
{
	BUF_CLEANUP struct buf value;

	buf_init(&value, FIELD_TEXT_MAX);
	for (size_t i = 0; i < h->n && out->err == 0; i++) {
		buf_reset(&value);
		words_decode(slice_trim(h->v[i].value), place, &value);
		buf_put(out, h->v[i].name);
		buf_put(out, SLICE(": "));
		buf_put(out, buf_slice(&value));
		buf_put_u8(out, '\n');
		if (value.err == ERR_NOMEM)
			out->err = ERR_NOMEM;
	}
}

/* Fields of an embedded message, one by one, without an array of them. */
static void
put_embedded_header(const struct mime *m, const struct mime_part *p, const struct limits *limits,
    enum charset_place place, struct buf *out)
{
	struct header_iter it = header_iter_of(mime_raw_header(m, p), (size_t)limits->message_header_bytes);
	struct header_field f;

	while (out->err == 0 && header_next(&it, &f)) {
		struct header one = {.v = &f, .n = 1};

		text_of_header(&one, place, out);
	}
}

int
text_of_message(const struct mime *m, const struct limits *limits, enum charset_place place, struct buf *out)
{
	int err = 0;

	for (size_t i = 0; i < m->n && err == 0; i++) {
		const struct mime_part *p = &m->v[i];

		if (p->is_message && i > 0)
			put_embedded_header(m, p, limits, place, out);
		if (!mime_is(p, SLICE("text"), SLICE("plain")))
			continue;
		err = text_of_part(m, p, limits, place, out);
		if (err == 0 && !slice_ends(buf_slice(out), SLICE("\n")))
			buf_put_u8(out, '\n');
	}
	return err != 0 ? err : out->err;
}

/* Appends a line's words with single spaces until `*left` characters are used up. */
static void
put_words(struct slice line, size_t *left, struct buf *out)
{
	bool space = out->n > 0;

	for (size_t i = 0; i<line.n && * left> 0; i++) {
		uint8_t c = slice_at(line, i);

		if (c <= ' ' || c == 0x7f) {
			space = out->n > 0;
			continue;
		}
		if ((c & 0xc0) != 0x80) {
			if (space && *left > 1) {
				buf_put_u8(out, ' ');
				(*left)--;
			}
			space = false;
			(*left)--;
		}
		buf_put_u8(out, c);
		/* The last character may have more bytes. */
		while (*left == 0 && i + 1 < line.n && (slice_at(line, i + 1) & 0xc0) == 0x80)
			buf_put_u8(out, slice_at(line, ++i));
	}
}

int
text_preview_of(struct slice text, size_t max_chars, struct buf *out)
{
	BUF_CLEANUP struct buf words;

	buf_init(&words, PREVIEW_BYTES);
	while (text.n > 0 && max_chars > 0) {
		struct slice line = slice_cut(&text, '\n');

		if (slice_eq(line, SLICE("-- ")))
			break;
		if (!slice_starts(line, SLICE(">")))
			put_words(line, &max_chars, &words);
	}
	buf_put(out, buf_slice(&words));
	return words.err != 0 ? words.err : out->err;
}

int
text_preview(
    const struct mime *m, const struct limits *limits, enum charset_place place, size_t max_chars, struct buf *out)
{
	const struct mime_part *p = text_plain_part(m);
	struct limits small = *limits;
	BUF_CLEANUP struct buf text;
	int err;

	if (p == NULL)
		return 0;
	if (small.message_text_bytes > PREVIEW_BYTES)
		small.message_text_bytes = PREVIEW_BYTES;
	buf_init(&text, PREVIEW_BYTES);
	err = text_of_part(m, p, &small, place, &text);
	return err != 0 ? err : text_preview_of(buf_slice(&text), max_chars, out);
}
