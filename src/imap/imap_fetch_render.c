/* imap_fetch_render.c: the half of FETCH that runs on a worker thread: it parses messages and writes what is told of them into
 * one buffer, or notes where in the message it lies. */
#include "imap/imap_fetch.h"

#include "imap/imap.h"
#include "imap/imap_content.h"
#include "imap/imap_reply.h"
#include "message/text.h"

/* For envelopes, beside the tree of parts. */
#define PARSE_EXTRA_BYTES (16u << 20)
/* Of HTML that a preview is made of. */
#define PREVIEW_HTML_BYTES 65536u

const struct imap_told_name imap_told_names[IMAP_TOLD] = {
    [IMAP_TOLD_ENVELOPE] = {IMAP_FETCH_ENVELOPE, SLICE_INIT("ENVELOPE ")},
    [IMAP_TOLD_BODY] = {IMAP_FETCH_BODY, SLICE_INIT("BODY ")},
    [IMAP_TOLD_BODYSTRUCTURE] = {IMAP_FETCH_BODYSTRUCTURE, SLICE_INIT("BODYSTRUCTURE ")},
};

static void
render_numbered(struct imap_fetch_job *j, struct imap_fetch_one *it, struct arena *a, const struct mime *m,
    const struct imap_section *s, struct imap_extent *e)
{
	struct slice bytes;

	if (mime_section(m, s->numbers, s->numbers_n, s->section, &bytes) != 0)
		return;
	if (s->fields || s->fields_not) {
		e->where = IMAP_EXTENT_RENDERED;
		e->from = j->out.n;
		imap_put_fields(&j->out, a, bytes, s, j->limits);
		e->n = j->out.n - e->from;
		return;
	}
	e->where = IMAP_EXTENT_MESSAGE;
	e->from = bytes.n == 0 ? 0 : (size_t)(bytes.p - it->raw.p);
	e->n = bytes.n;
}

/* The bytes of a part without its transfer encoding; what is no single part has none. */
static void
render_binary(struct imap_fetch_job *j, struct imap_fetch_one *it, const struct mime *m, const struct imap_section *s,
    struct imap_extent *e)
{
	const struct mime_part *p = mime_find(m, s->numbers, s->numbers_n);
	bool whole = s->numbers_n == 0 || (p != NULL && (p->is_multipart || p->has_message));
	struct slice bytes;

	if (p == NULL || (whole && mime_section(m, s->numbers, s->numbers_n, MIME_SECTION_ALL, &bytes) != 0))
		return;
	if (whole) {
		e->where = IMAP_EXTENT_MESSAGE;
		e->from = bytes.n == 0 ? 0 : (size_t)(bytes.p - it->raw.p);
		e->n = bytes.n;
		return;
	}
	if (p->encoding == ENCODING_UNKNOWN) {
		it->unknown_cte = true;
		return;
	}
	e->where = IMAP_EXTENT_RENDERED;
	e->from = j->out.n;
	(void)mime_decode(m, p, &j->out);
	e->n = j->out.n - e->from;
	if (s->form == IMAP_FORM_BINARY_SIZE)
		buf_truncate(&j->out, e->from);
}

static void
render_sections(struct imap_fetch_job *j, struct imap_fetch_one *it, struct arena *a, const struct mime *m)
{
	for (size_t i = 0; i < j->fetch->sections_n; i++) {
		const struct imap_section *s = &j->fetch->sections[i];
		struct imap_extent *e = &it->extents[i];

		if (s->form == IMAP_FORM_BINARY || s->form == IMAP_FORM_BINARY_SIZE) {
			render_binary(j, it, m, s, e);
		} else if (s->numbers_n > 0) {
			render_numbered(j, it, a, m, s, e);
		} else if (s->fields || s->fields_not) {
			e->where = IMAP_EXTENT_RENDERED;
			e->from = j->out.n;
			imap_put_fields(&j->out, a, it->raw, s, j->limits);
			e->n = j->out.n - e->from;
		}
	}
}

static void
render_told(struct imap_fetch_job *j, struct imap_fetch_one *it, struct arena *a, const struct mime *m,
    const struct header *h, int which)
{
	struct imap_extent *e = &it->told[which];

	e->from = j->out.n;
	if (which == IMAP_TOLD_ENVELOPE)
		imap_put_envelope(&j->out, a, h, j->limits);
	else
		imap_put_structure(&j->out, a, m, j->limits, which == IMAP_TOLD_BODYSTRUCTURE);
	e->n = j->out.n - e->from;
}

static struct imap_extent
put_extent(struct buf *out, struct slice bytes)
{
	size_t from = out->n;

	buf_put(out, bytes);
	return (struct imap_extent){.where = IMAP_EXTENT_RENDERED, .from = from, .n = bytes.n};
}

/* A stranger's HTML is read by another process: imap_preview.c. */
static void
take_html(struct imap_fetch_job *j, struct imap_fetch_one *it, const struct mime *m, const struct mime_part *p)
{
	struct buf BUF_CLEANUP html;

	buf_init(&html, PREVIEW_HTML_BYTES);
	(void)mime_decode(m, p, &html); /* of a longer one the beginning will do */
	it->html = put_extent(&j->out, buf_slice(&html));
	it->charset = put_extent(&j->out, p->charset);
}

/* RFC 8970: NIL if there is nothing to make one from. */
static void
render_preview(struct imap_fetch_job *j, struct imap_fetch_one *it, const struct mime *m)
{
	const struct mime_part *html = text_plain_part(m) == NULL ? text_html_part(m) : NULL;
	struct buf BUF_CLEANUP text;
	int err;

	if (html != NULL) {
		take_html(j, it, m, html);
		return;
	}
	buf_init(&text, IMAP_PREVIEW_CHARACTERS * 4 + 16);
	err = text_preview(m, j->limits, CHARSET_THREAD, IMAP_PREVIEW_CHARACTERS, &text);
	it->preview = (struct imap_extent){.where = IMAP_EXTENT_RENDERED, .from = j->out.n};
	imap_put_nstring(&j->out, err != 0 ? SLICE_EMPTY : text.n == 0 ? SLICE("") : buf_slice(&text));
	it->preview.n = j->out.n - it->preview.from;
}

static void
render(struct imap_fetch_job *j, struct imap_fetch_one *it)
{
	struct arena ARENA_CLEANUP a;
	struct mime m = {0};
	struct header h = {0};
	size_t start = j->out.n;
	int err;

	arena_init(&a, mime_arena_max(j->limits, it->raw.n) + PARSE_EXTRA_BYTES);
	err = j->tree ? mime_parse(&a, it->raw, j->limits, CHARSET_THREAD, &m) : 0;
	if (err == 0 && (j->items & IMAP_FETCH_ENVELOPE))
		err = header_parse(&a, it->raw, j->limits, &h);
	if (err == 0) {
		for (int i = 0; i < IMAP_TOLD; i++)
			if (j->items & imap_told_names[i].item)
				render_told(j, it, &a, &m, &h, i);
		if (j->items & IMAP_FETCH_PREVIEW)
			render_preview(j, it, &m);
		render_sections(j, it, &a, &m);
	}
	if (err != 0 || j->out.err != 0) {
		j->out.err = 0;
		buf_truncate(&j->out, start);
		it->failed = true;
	}
}

int
imap_fetch_render(void *arg)
{
	struct imap_fetch_job *j = arg;

	for (size_t i = 0; i < j->n; i++)
		if (j->v[i].raw.p != NULL)
			render(j, &j->v[i]);
	return 0;
}

void
imap_describe(const struct limits *l, struct slice raw, struct buf *out)
{
	static const struct imap_fetch nothing;
	struct imap_fetch_one one = {.raw = raw};
	struct imap_fetch_job j = {.fetch = &nothing,
	    .items = IMAP_FETCH_ENVELOPE | IMAP_FETCH_BODY | IMAP_FETCH_BODYSTRUCTURE,
	    .limits = l,
	    .tree = true,
	    .v = &one,
	    .n = 1};
	struct slice told[IMAP_TOLD];

	buf_init(&j.out, out->max * IMAP_TOLD);
	(void)imap_fetch_render(&j);
	for (int i = 0; i < IMAP_TOLD && !one.failed; i++)
		told[i] = slice_range(buf_slice(&j.out), one.told[i].from, one.told[i].from + one.told[i].n);
	if (!one.failed)
		imap_cache_write(told, out);
	buf_free(&j.out);
}
