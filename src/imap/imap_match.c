/* imap_match.c: the keys of a program that need the message, and the texts of a message made once each, when a key first asks. */
#include "imap/imap_match.h"

#include "message/fold.h"
#include "message/date.h"
#include "message/text.h"

/* ---- strings ---- */

static int
fold_string(struct slice charset, struct slice in, struct arena *a, struct slice *out)
{
	struct buf BUF_CLEANUP utf8;
	struct buf BUF_CLEANUP folded;
	int err;

	buf_init(&utf8, in.n * 6 + 64);
	buf_init(&folded, in.n * 24 + 256);
	err = charset_to_utf8(charset, in, CHARSET_THREAD, &utf8);
	if (utf8.err != 0)
		return utf8.err;
	if (err == ERR_INVALID)
		return err;
	text_fold(buf_slice(&utf8), &folded);
	if (folded.err != 0)
		return folded.err;
	*out = arena_copy(a, buf_slice(&folded));
	return out->p == NULL ? ERR_LIMIT : 0;
}

/* The words of a fuzzy key: what lies between punctuation and white space. */
static int
split_words(struct imap_key *k, struct arena *a)
{
	struct slice *v = NULL;
	size_t n = 0, cap = 0, from = 0;

	for (size_t i = 0; i <= k->text.n; i++) {
		if (i < k->text.n && (ascii_is_alnum(slice_at(k->text, i)) || slice_at(k->text, i) >= 0x80))
			continue;
		if (i > from) {
			v = arena_grow(a, v, n, &cap, sizeof(*v), SIZE_MAX / sizeof(*v));
			if (v == NULL)
				return ERR_LIMIT;
			v[n++] = slice_range(k->text, from, i);
		}
		from = i + 1;
	}
	k->words = (struct slice_list){v, n};
	return 0;
}

static int
prepare(struct imap_search *p, struct imap_key *k, struct arena *a)
{
	int err = 0;

	for (; k != NULL && err == 0; k = k->next) {
		if (k->kind == IMAP_KEY_HEADER || k->kind == IMAP_KEY_BODY || k->kind == IMAP_KEY_TEXT)
			err = fold_string(p->charset, k->text, a, &k->text);
		if (err == 0 && k->fuzzy)
			err = split_words(k, a);
		if (err == 0 && k->first != NULL)
			err = prepare(p, k->first, a);
	}
	return err;
}

int
imap_match_prepare(struct imap_search *p, struct arena *a)
{
	if (p->charset.n == 0 || slice_ieq(p->charset, SLICE("US-ASCII")))
		p->charset = SLICE("UTF-8");
	if (!charset_is_known(p->charset))
		return ERR_UNSUPPORTED;
	return prepare(p, p->root, a);
}

/* ---- the message ---- */

struct message {
	const struct imap_search *p;
	const struct imap_leaves *leaves;
	const struct limits *l;
	struct slice raw;
	uint8_t score;
	struct arena arena;
	bool header_parsed, header_folded, body_folded;
	struct header header;
	struct mime mime;
	struct buf header_text, body_text; /* folded */
	int err;
};

static const struct header *
header_of(struct message *m)
{
	if (!m->header_parsed && m->err == 0) {
		m->header_parsed = true;
		m->err = header_parse(&m->arena, m->raw, m->l, &m->header);
	}
	return &m->header;
}

static void
fold_header(struct message *m, const struct header *h, struct buf *out)
{
	struct buf BUF_CLEANUP text;

	buf_init(&text, (size_t)m->l->message_header_bytes * 4);
	text_of_header(h, CHARSET_THREAD, &text);
	text_fold(buf_slice(&text), out);
	buf_put_u8(out, '\n');
}

static void
fold_part_header(struct message *m, const struct mime_part *part)
{
	struct arena_mark mark = arena_mark(&m->arena);
	struct header h;

	m->err = mime_header(&m->arena, &m->mime, part, m->l, &h);
	if (m->err == 0)
		fold_header(m, &h, &m->body_text);
	arena_release(&m->arena, mark);
}

/* Decoded text of every text part, and the headers of all parts below the message's own. */
static void
fold_body(struct message *m)
{
	if (m->body_folded || m->err != 0)
		return;
	m->body_folded = true;
	m->err = mime_parse(&m->arena, m->raw, m->l, CHARSET_THREAD, &m->mime);
	for (size_t i = 0; i < m->mime.n && m->err == 0; i++) {
		const struct mime_part *part = &m->mime.v[i];
		struct buf BUF_CLEANUP text;

		if (i > 0)
			fold_part_header(m, part);
		if (part->is_multipart || part->has_message || !mime_is(part, SLICE("text"), SLICE_EMPTY))
			continue;
		buf_init(&text, (size_t)m->l->message_text_bytes + 64);
		/* What could not be decoded is not found; the rest is. */
		if (text_of_part(&m->mime, part, m->l, CHARSET_THREAD, &text) == ERR_NOMEM)
			m->err = ERR_NOMEM;
		text_fold(buf_slice(&text), &m->body_text);
		buf_put_u8(&m->body_text, '\n');
	}
}

/* A fuzzy key also takes a text that has all its words, in whatever order; it then fits less well. */
static bool
found(struct message *m, struct slice text, const struct imap_key *k)
{
	if (slice_find(text, k->text) != SLICE_NONE)
		return true;
	if (!k->fuzzy || k->words.n == 0)
		return false;
	for (size_t i = 0; i < k->words.n; i++)
		if (slice_find(text, k->words.v[i]) == SLICE_NONE)
			return false;
	m->score = m->score > 20 ? (uint8_t)(m->score / 2) : m->score;
	return true;
}

static bool
match_field(struct message *m, const struct imap_key *k)
{
	const struct header *h = header_of(m);

	for (const struct header_field *f = header_find(h, k->name); f != NULL; f = header_find_next(h, f)) {
		struct arena_mark mark = arena_mark(&m->arena);
		struct buf BUF_CLEANUP folded;
		bool hit;

		buf_init(&folded, f->value.n * 24 + 256);
		text_fold(header_text(&m->arena, f->value, CHARSET_THREAD), &folded);
		hit = found(m, buf_slice(&folded), k);
		arena_release(&m->arena, mark);
		if (hit)
			return true;
	}
	return false;
}

static bool
match_sent(struct message *m, const struct imap_key *k)
{
	const struct header_field *f = header_find(header_of(m), SLICE("Date"));
	struct message_date d;
	int64_t day;

	if (f == NULL || date_parse(f->value, &d) != 0)
		return false;
	day = date_day(&d);
	return k->kind == IMAP_KEY_SENTBEFORE ? day < k->day
	    : k->kind == IMAP_KEY_SENTON      ? day == k->day
					      : day >= k->day;
}

static bool
match_text(struct message *m, const struct imap_key *k)
{
	if (k->kind == IMAP_KEY_TEXT) {
		if (!m->header_folded && m->err == 0) {
			m->header_folded = true;
			fold_header(m, header_of(m), &m->header_text);
		}
		if (found(m, buf_slice(&m->header_text), k))
			return true;
	}
	fold_body(m);
	return found(m, buf_slice(&m->body_text), k);
}

static bool
judge(struct message *m, const struct imap_key *k)
{
	bool v;

	if (k->kind == IMAP_KEY_AND || k->kind == IMAP_KEY_OR) {
		bool stop = k->kind == IMAP_KEY_OR;

		v = !stop;
		for (const struct imap_key *c = k->first; c != NULL && v != stop; c = c->next)
			v = judge(m, c);
	} else if (k->kind < IMAP_KEY_HEADER) {
		v = imap_leaf(m->leaves, k->leaf);
	} else if (k->kind == IMAP_KEY_HEADER) {
		v = match_field(m, k);
	} else if (k->kind == IMAP_KEY_BODY || k->kind == IMAP_KEY_TEXT) {
		v = match_text(m, k);
	} else {
		v = match_sent(m, k);
	}
	return v != k->negated;
}

int
imap_match_message(const struct imap_search *p, const struct imap_leaves *l, struct slice raw,
    const struct limits *limits, uint8_t *score)
{
	struct message m = {.p = p, .leaves = l, .l = limits, .raw = raw, .score = 100};
	bool v;

	arena_init(&m.arena, mime_arena_max(limits, raw.n) * 2 + (1u << 20));
	buf_init(&m.header_text, (size_t)limits->message_header_bytes * 8);
	buf_init(&m.body_text, raw.n * 8 + (1u << 20));
	v = judge(&m, p->root);
	arena_free(&m.arena);
	buf_free(&m.header_text);
	buf_free(&m.body_text);
	*score = m.score;
	return m.err != 0 ? m.err : v;
}
