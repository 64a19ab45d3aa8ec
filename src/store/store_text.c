/* store_text.c: what needs no reader is converted at once: plain text and encoded words in the charsets that are built in. */
#include "store/store_text.h"

#include "message/fold.h"
#include "message/mime.h"
#include "message/text.h"
#include "message/words.h"

size_t
text_arena_max(const struct limits *l, size_t raw_bytes)
{
	/* The tree, each part's bytes and its text. */
	return mime_arena_max(l, raw_bytes) * 2 + raw_bytes * 8 + (4u << 20);
}

static struct text_piece *
add_piece(struct arena *a, struct text_plan *p, bool header)
{
	struct text_piece *v = arena_grow(a, p->pieces, p->pieces_n, &p->pieces_cap, sizeof(*v), 1u << 22);

	if (v == NULL)
		return NULL;
	p->pieces = v;
	v += p->pieces_n++;
	*v = (struct text_piece){.header = header, .input = SIZE_MAX};
	return v;
}

static int
add_input(struct arena *a, struct text_plan *p, struct text_piece *piece, enum store_text_kind kind,
    struct slice charset, struct slice bytes)
{
	struct store_text_input *v = arena_grow(a, p->inputs, p->inputs_n, &p->inputs_cap, sizeof(*v), 1u << 22);

	if (v == NULL)
		return ERR_LIMIT;
	p->inputs = v;
	piece->input = p->inputs_n;
	v[p->inputs_n++] = (struct store_text_input){kind, charset, bytes};
	return 0;
}

/* Has it an encoded word in a charset that only a reader converts? */
static bool
words_need_reader(struct slice value)
{
	size_t at;

	while ((at = slice_find(value, SLICE("=?"))) != SLICE_NONE) {
		struct slice rest = slice_from(value, at + 2), charset = slice_cut(&rest, '?');
		struct slice name = slice_cut(&charset, '*'); /* RFC 2231 §5: a language behind it */

		if (charset_is_known(name) && !charset_is_builtin(name))
			return true;
		value = slice_from(value, at + 2);
	}
	return false;
}

static int
plan_fields(struct arena *a, struct text_plan *p, const struct header *h, bool own)
{
	for (size_t i = 0; i < h->n; i++) {
		struct slice value = slice_trim(h->v[i].value);
		struct text_piece *piece = add_piece(a, p, own);
		int err = 0;

		if (piece == NULL)
			return ERR_LIMIT;
		piece->name = h->v[i].name;
		if (words_need_reader(value))
			err = add_input(a, p, piece, STORE_TEXT_WORDS, SLICE_EMPTY, value);
		else
			piece->text = header_text(a, value, CHARSET_FIBER);
		if (err != 0 || arena_failed(a))
			return ERR_LIMIT;
	}
	return 0;
}

static int
plan_text(
    struct arena *a, struct text_plan *p, const struct mime *m, const struct mime_part *part, const struct limits *l)
{
	bool html = mime_is(part, SLICE("text"), SLICE("html"));
	bool builtin = !charset_is_known(part->charset) || charset_is_builtin(part->charset);
	struct text_piece *piece = add_piece(a, p, false);
	struct buf BUF_CLEANUP bytes;
	int err;

	if (piece == NULL)
		return ERR_LIMIT;
	buf_init(&bytes, (size_t)l->message_text_bytes);
	if (!html && builtin) {
		buf_init(&bytes, (size_t)l->message_text_bytes + 64);
		if ((err = text_of_part(m, part, l, CHARSET_FIBER, &bytes)) == ERR_NOMEM)
			return err;
		piece->text = arena_copy(a, buf_slice(&bytes));
		return arena_failed(a) ? ERR_LIMIT : 0;
	}
	(void)mime_decode(m, part, &bytes); /* what is over the limit is cut */
	if (bytes.err == ERR_NOMEM)
		return ERR_NOMEM;
	err = add_input(
	    a, p, piece, html ? STORE_TEXT_HTML : STORE_TEXT_PLAIN, part->charset, arena_copy(a, buf_slice(&bytes)));
	return err == 0 && arena_failed(a) ? ERR_LIMIT : err;
}

int
text_plan(struct arena *a, struct slice raw, const struct limits *l, struct text_plan *out)
{
	struct header h;
	struct mime m;
	int err;

	*out = (struct text_plan){0};
	if ((err = header_parse(a, raw, l, &h)) != 0 || (err = plan_fields(a, out, &h, true)) != 0 ||
	    (err = mime_parse(a, raw, l, CHARSET_FIBER, &m)) != 0)
		return err;
	for (size_t i = 0; i < m.n && err == 0; i++) {
		const struct mime_part *part = &m.v[i];

		if (i > 0 && (err = mime_header(a, &m, part, l, &h)) == 0)
			err = plan_fields(a, out, &h, false);
		if (err == 0 && !part->is_multipart && !part->has_message && mime_is(part, SLICE("text"), SLICE_EMPTY))
			err = plan_text(a, out, &m, part, l);
	}
	return err;
}

void
text_compose(const struct text_plan *p, const struct slice *answers, struct buf *header, struct buf *body)
{
	for (size_t i = 0; i < p->pieces_n; i++) {
		const struct text_piece *piece = &p->pieces[i];
		struct buf *out = piece->header ? header : body;

		if (piece->name.n > 0) {
			text_fold(piece->name, out);
			buf_put(out, SLICE(": "));
		}
		text_fold(piece->input == SIZE_MAX ? piece->text : answers[piece->input], out);
		buf_put_u8(out, '\n');
	}
}

bool
text_has(struct slice text, struct slice needle)
{
	return needle.n == 0 || (text.n >= needle.n && memmem(text.p, text.n, needle.p, needle.n) != NULL);
}

bool
text_field_has(struct slice header, struct slice name, struct slice needle)
{
	while (header.n > 0) {
		struct slice line = slice_cut(&header, '\n');

		if (!slice_starts(line, name) || !slice_starts(slice_from(line, name.n), SLICE(": ")))
			continue;
		if (text_has(slice_from(line, name.n + 2), needle))
			return true;
	}
	return false;
}
