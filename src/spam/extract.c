/* extract.c: the parts of a message in their order: header, texts with their links, attachments; then what is known besides. */
#include "spam/extract_private.h"

#include "message/text.h"
#include "reader/html_text.h"

#define TREE_BYTES_MAX (64u << 20) /* of one page's tree */
#define PARTS_MAX 64               /* parts that are looked at */
#define GRAMS_BYTES 6000           /* of the text */

static int
read_here(void *of, bool html, struct slice charset, struct slice decoded, struct buf *out)
{
	BUF_CLEANUP struct buf utf8;

	(void)of;
	buf_init(&utf8, decoded.n * 4 + 64);
	if (!html) {
		(void)charset_to_utf8(charset, decoded, CHARSET_THREAD, out);
		return out->err;
	}
	if (!charset_is_known(charset))
		charset = html_charset(decoded);
	(void)charset_to_utf8(charset, decoded, CHARSET_THREAD, &utf8);
	return utf8.err != 0 ? utf8.err : html_text(buf_slice(&utf8), TREE_BYTES_MAX, out);
}

struct spam_texts
spam_texts_here(void)
{
	return (struct spam_texts){read_here, NULL};
}

void
spam_extractor_init(struct spam_extractor *x, const struct limits *limits)
{
	size_t text = (size_t)limits->spam_text_bytes;

	*x = (struct spam_extractor){.limits = limits};
	arena_init(&x->arena, mime_arena_max(limits, (size_t)limits->spam_message_bytes) + (4u << 20));
	buf_init(&x->decoded, text);
	buf_init(&x->text, text * 4);
	buf_init(&x->plain, text * 8);
}

void
spam_extractor_free(struct spam_extractor *x)
{
	arena_free(&x->arena);
	buf_free(&x->decoded);
	buf_free(&x->text);
	buf_free(&x->plain);
}

/* ---- parts ---------------------------------------------------------------------------------------------------------- */

struct parts {
	struct spam_extractor *x;
	const struct spam_message *m;
	struct spam_features *f;
	struct mime mime;
	struct extract_links links;
	struct plain_counts counts;
	size_t html, plain, attached, left; /* of text that may still be read */
	size_t html_bytes;
};

static void
put_attachment(struct parts *p, const struct mime_part *part)
{
	size_t dot = slice_rfind_byte(part->filename, '.');
	uint8_t shape[34], text[16];

	p->attached++;
	spam_feature_pair(p->f, SPAM_SHAPE, "attachment", part->type, slice_head(part->subtype, 40));
	if (part->filename.n == 0)
		return;
	spam_feature(p->f, SPAM_SHAPE, "file's form", slice_of(shape, extract_shape(part->filename, shape, 32)));
	if (dot != SLICE_NONE) {
		struct slice ending = slice_head(slice_from(part->filename, dot), sizeof(text));

		for (size_t i = 0; i < ending.n; i++)
			text[i] = ascii_lower(slice_at(ending, i));
		spam_feature(p->f, SPAM_SHAPE, "attached file", slice_of(text, ending.n));
	}
}

/* The part's bytes, transfer encoding removed, as far as they are looked at. */
static struct slice
decode(struct parts *p, const struct mime_part *part)
{
	struct slice all;

	buf_reset(&p->x->decoded);
	(void)mime_decode(&p->mime, part, &p->x->decoded);
	all = slice_head(buf_slice(&p->x->decoded), p->left);
	p->left -= all.n;
	return all;
}

static void
put_text(struct parts *p, const struct mime_part *part)
{
	struct buf *text = &p->x->text, *plain = &p->x->plain;
	bool html = slice_eq(part->subtype, SLICE("html"));
	size_t before = text->n, plain_before = plain->n;
	struct slice decoded = decode(p, part);

	if (html)
		extract_html(&p->links, decoded);
	p->html += html;
	p->html_bytes += html ? decoded.n : 0;
	p->plain += !html;
	spam_feature(p->f, SPAM_SHAPE, "charset", slice_head(part->charset, 24));
	spam_feature(p->f, SPAM_SHAPE, "encoding", slice_head(part->encoding_given, 24));
	if (p->m->texts.read(p->m->texts.of, html, part->charset, decoded, text) != 0 || text->err != 0) {
		text->err = 0;
		buf_truncate(text, before);
	}
	plain_text(slice_from(buf_slice(text), before), plain, &p->counts);
	if (!html)
		extract_text_links(&p->links, slice_from(buf_slice(plain), plain_before));
	buf_put_u8(plain, '\n');
}

static void
put_part(struct parts *p, const struct mime_part *part)
{
	bool attached = slice_eq(part->disposition, SLICE("attachment")) || part->filename.n > 0;

	spam_feature_pair(p->f, SPAM_SHAPE, "part", part->type, slice_head(part->subtype, 40));
	if (part->parent != MIME_NONE) {
		const struct mime_part *parent = &p->mime.v[part->parent];

		spam_feature_pair(
		    p->f, SPAM_SHAPE, "part within", slice_head(parent->subtype, 40), slice_head(part->subtype, 40));
	}
	if (part->boundary_missing)
		spam_feature(p->f, SPAM_SHAPE, "a boundary is missing", SLICE_EMPTY);
	if (attached)
		put_attachment(p, part);
	if (part->children == 0 && slice_eq(part->type, SLICE("text")) && p->left > 0 &&
	    !(attached && p->plain + p->html > 0))
		put_text(p, part);
}

/* ---- the whole ---------------------------------------------------------------------------------------------------------- */

static void
put_shape(struct parts *p)
{
	struct slice plain = buf_slice(&p->x->plain);

	spam_feature_size(p->f, SPAM_SHAPE, "parts:", p->mime.n);
	spam_feature_size(p->f, SPAM_SHAPE, "attachments:", p->attached);
	spam_feature_size(p->f, SPAM_SHAPE, "links:", p->links.n);
	spam_feature_size(p->f, SPAM_SHAPE, "links to others:", p->links.foreign);
	spam_feature_size(p->f, SPAM_SHAPE, "bytes of text:", plain.n);
	if (p->html > 0) {
		spam_feature(p->f, SPAM_SHAPE, "page", p->plain > 0 ? SLICE("beside plain text") : SLICE("alone"));
		spam_feature_size(p->f, SPAM_SHAPE, "page's bytes to each of text:", p->html_bytes / (plain.n + 1));
	}
	if (p->counts.letters > 50)
		spam_feature_size(p->f, SPAM_SHAPE, "capitals in 64:", p->counts.capitals * 64 / p->counts.letters);
	spam_feature_size(p->f, SPAM_SHAPE, "foreign letters:", p->counts.foreign);
	spam_feature_size(p->f, SPAM_SHAPE, "invisible characters:", p->counts.invisible);
	spam_feature_size(p->f, SPAM_SHAPE, "marks of direction:", p->counts.direction);
	spam_feature_size(p->f, SPAM_SHAPE, "letters in other forms:", p->counts.forms);
	if (p->mime.limited)
		spam_feature(p->f, SPAM_SHAPE, "too many parts", SLICE_EMPTY);
}

static void
put_trust(struct spam_features *f, const struct spam_trust *t)
{
	if (!t->known)
		return;
	spam_feature(f, SPAM_TRUST, "SPF", slice_z(trust_result_name(t->spf)));
	spam_feature(f, SPAM_TRUST, "DKIM", slice_z(trust_result_name(t->dkim)));
	spam_feature(f, SPAM_TRUST, "DMARC", slice_z(trust_result_name(t->dmarc)));
	spam_feature(f, SPAM_TRUST, "ARC", slice_z(trust_result_name(t->arc)));
	spam_feature(f, SPAM_TRUST, "name of its address", slice_z(trust_result_name(t->iprev)));
}

static int
parse(struct parts *p, struct header *h)
{
	struct spam_extractor *x = p->x;
	struct slice raw = slice_head(p->m->raw, (size_t)x->limits->spam_message_bytes);
	int e = mime_parse(&x->arena, raw, x->limits, p->m->place, &p->mime);

	return e != 0 ? e : mime_header(&x->arena, &p->mime, &p->mime.v[0], x->limits, h);
}

int
spam_extract(struct spam_extractor *x, const struct spam_message *m, struct spam_features *f)
{
	struct parts p = {.x = x, .m = m, .f = f, .left = (size_t)x->limits->spam_text_bytes};
	struct header h;
	int e;

	spam_features_reset(f);
	arena_reset(&x->arena);
	buf_reset(&x->text);
	buf_reset(&x->plain);
	if ((e = parse(&p, &h)) != 0)
		return e;
	p.links = (struct extract_links){.a = &x->arena, .f = f, .max = (size_t)x->limits->spam_links};
	extract_header(x, m, &h, f, &p.links.from_domain);
	for (size_t i = 0; i < p.mime.n && i < PARTS_MAX; i++)
		put_part(&p, &p.mime.v[i]);
	extract_words(f, SPAM_WORDS, SPAM_PAIRS, buf_slice(&x->plain));
	spam_feature_grams(f, SPAM_BYTES, slice_head(buf_slice(&x->plain), GRAMS_BYTES));
	put_shape(&p);
	put_trust(f, &m->trust);
	return x->plain.err == ERR_NOMEM || x->decoded.err == ERR_NOMEM ? ERR_NOMEM : 0;
}
