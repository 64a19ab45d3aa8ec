/* imap_search_text.c: the strings of a SEARCH program, made comparable (i;unicode-casemap, RFC 5255 I18NLEVEL=1), as the store's search takes
 * them. What of a message is looked at is the store's matter (store.h, store_find_text()). */
#include "imap/imap_search.h"
#include "message/charset.h"
#include "message/fold.h"

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

static int
add_text(struct imap_search *p, struct arena *a, const struct imap_key *k, struct slice text)
{
	struct store_text_key *v = arena_grow(
	    a, p->texts, p->texts_n, &p->texts_cap, sizeof(*v), SIZE_MAX / sizeof(*v));

	if (v == NULL)
		return ERR_LIMIT;
	p->texts = v;
	v[p->texts_n++] = (struct store_text_key){
	    .scope = k->kind == IMAP_KEY_HEADER ? STORE_SCOPE_FIELD
		: k->kind == IMAP_KEY_BODY      ? STORE_SCOPE_BODY
						: STORE_SCOPE_TEXT,
	    .field = k->name,
	    .text = text,
	};
	return 0;
}

/* The words of a fuzzy key, what lies between punctuation and white space: each is looked for on its own. */
static int
add_words(struct imap_search *p, struct arena *a, struct imap_key *k)
{
	size_t from = 0, before = p->texts_n;
	int err = 0;

	for (size_t i = 0; i <= k->text.n && err == 0; i++) {
		if (i < k->text.n && (ascii_is_alnum(slice_at(k->text, i)) || slice_at(k->text, i) >= 0x80))
			continue;
		if (i > from)
			err = add_text(p, a, k, slice_range(k->text, from, i));
		from = i + 1;
	}
	k->words = p->texts_n - before;
	return err;
}

static int
prepare(struct imap_search *p, struct imap_key *k, struct arena *a)
{
	int err = 0;

	for (; k != NULL && err == 0; k = k->next) {
		if (k->first != NULL)
			err = prepare(p, k->first, a);
		if (!imap_key_is_text(k) || err != 0)
			continue;
		err = fold_string(p->charset, k->text, a, &k->text);
		k->at = p->texts_n;
		if (err == 0)
			err = add_text(p, a, k, k->text);
		if (err == 0 && k->fuzzy)
			err = add_words(p, a, k);
	}
	return err;
}

struct preparing {
	struct imap_search *p;
	struct arena *arena;
};

/* On a worker thread: converting may block. */
static int
prepare_job(void *arg)
{
	struct preparing *g = arg;
	struct imap_search *p = g->p;

	if (p->charset.n == 0 || slice_ieq(p->charset, SLICE("US-ASCII")))
		p->charset = SLICE("UTF-8");
	if (!charset_is_known(p->charset))
		return ERR_UNSUPPORTED;
	return prepare(p, p->root, g->arena);
}

int
imap_search_ready(struct imap_session *s, struct imap_search *p)
{
	struct preparing g = {p, &s->arena};

	return p->has_texts || p->charset.n > 0 ? work_run(s->c->workers, prepare_job, &g) : 0;
}

int
imap_search_prepare(struct imap_session *s, struct imap_search *p)
{
	int err = imap_search_ready(s, p);

	if (err == ERR_UNSUPPORTED)
		imap_no(s, "[BADCHARSET (US-ASCII UTF-8 ISO-8859-1)]", "the charset is not known here");
	else if (err == ERR_INVALID)
		imap_bad(s, "a string is not text in its charset");
	else if (err != 0)
		imap_no_err(s, err);
	return err;
}
