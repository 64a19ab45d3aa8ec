/* imap_preview.c: PREVIEW (RFC 8970) of messages that have no plain text: a reader, which is another process, makes text of their HTML. If
 * none can do that now they have no preview, which the client may ask for again. */
#include "imap/imap_fetch.h"
#include "imap/imap_reply.h"
#include "message/text.h"
#include "store/store.h"

#define TEXTS_BYTES_MAX (16u << 20)

static void
put_preview(struct imap_fetch_job *j, struct imap_fetch_one *it, struct slice text)
{
	struct buf BUF_CLEANUP words;
	size_t from = j->out.n;

	buf_init(&words, IMAP_PREVIEW_CHARACTERS * 4 + 16);
	if (text_preview_of(text, IMAP_PREVIEW_CHARACTERS, &words) != 0)
		return;
	imap_put_nstring(&j->out, words.n == 0 ? SLICE("") : buf_slice(&words));
	if (j->out.err != 0) {
		j->out.err = 0;
		buf_truncate(&j->out, from);
		return;
	}
	it->preview = (struct imap_extent){.where = IMAP_EXTENT_RENDERED, .from = from, .n = j->out.n - from};
}

static struct slice
bytes_of(const struct imap_fetch_job *j, const struct imap_extent *e)
{
	return slice_range(buf_slice(&j->out), e->from, e->from + e->n);
}

void
imap_preview_html(struct store_account *acc, struct imap_fetch_job *j)
{
	struct arena ARENA_CLEANUP mem;
	struct store_text_input *inputs;
	struct slice *texts;
	size_t n = 0;

	arena_init(&mem, TEXTS_BYTES_MAX);
	inputs = ARENA_ARRAY(&mem, struct store_text_input, j->n);
	texts = ARENA_ARRAY(&mem, struct slice, j->n);
	if (inputs == NULL || texts == NULL)
		return;
	for (size_t i = 0; i < j->n; i++)
		if (j->v[i].html.where != IMAP_EXTENT_NIL && !j->v[i].failed)
			inputs[n++] = (struct store_text_input){.kind = STORE_TEXT_HTML,
			    .charset = bytes_of(j, &j->v[i].charset),
			    .bytes = bytes_of(j, &j->v[i].html)};
	if (n == 0 || store_texts(acc, inputs, n, &mem, texts) != 0)
		return;
	n = 0;
	for (size_t i = 0; i < j->n; i++)
		if (j->v[i].html.where != IMAP_EXTENT_NIL && !j->v[i].failed)
			put_preview(j, &j->v[i], texts[n++]);
}
