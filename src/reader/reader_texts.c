/* reader_texts.c: each input by its kind. */
#include "reader/reader_texts.h"

#include "message/words.h"
#include "reader/html_text.h"

/* Of a tree: a document of one-letter elements needs some 60 times its own size. */
#define TREE_BYTES_MAX (256u << 20)

/* Cut at the beginning of a character. */
static struct slice
cut_utf8(struct slice s, size_t max)
{
	if (s.n <= max)
		return s;
	while (max > 0 && (slice_at(s, max) & 0xc0) == 0x80)
		max--;
	return slice_head(s, max);
}

static void
read_html(struct slice charset, struct slice in, struct buf *out)
{
	struct buf BUF_CLEANUP utf8;
	size_t before = out->n;

	if (!charset_is_known(charset))
		charset = html_charset(in);
	buf_init(&utf8, in.n * 4 + 64);
	(void)charset_to_utf8(charset, in, CHARSET_THREAD, &utf8);
	if (html_text(buf_slice(&utf8), TREE_BYTES_MAX, out) == ERR_LIMIT && out->err == 0)
		buf_truncate(out, before);
}

int
reader_texts(const struct limits *l, const struct bus_reader_texts_request *q, struct arena *a,
    struct bus_reader_texts_reply *reply)
{
	size_t max = (size_t)l->message_text_bytes;
	struct slice *texts;

	if (q->kinds.n != q->inputs.n || q->charsets.n != q->inputs.n)
		return ERR_INVALID;
	if ((texts = ARENA_ARRAY(a, struct slice, q->inputs.n)) == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < q->inputs.n; i++) {
		struct slice kind = q->kinds.v[i], in = slice_head(q->inputs.v[i], max);
		struct buf BUF_CLEANUP text;

		buf_init(&text, in.n * 6 + 64);
		if (slice_eq(kind, READER_HTML))
			read_html(q->charsets.v[i], in, &text);
		else if (slice_eq(kind, READER_PLAIN))
			(void)charset_to_utf8(q->charsets.v[i], in, CHARSET_THREAD, &text);
		else if (slice_eq(kind, READER_WORDS))
			words_decode(in, CHARSET_THREAD, &text);
		if (text.err == ERR_NOMEM)
			return ERR_NOMEM;
		texts[i] = arena_copy(a, cut_utf8(buf_slice(&text), max));
		if (arena_failed(a))
			return ERR_LIMIT;
	}
	reply->texts = (struct slice_list){texts, q->inputs.n};
	return 0;
}
