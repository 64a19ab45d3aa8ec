/* imap_match.c: the strings of a program made ready for the index, and the keys that need a message's header. */
#include "imap/imap_match.h"

#include "message/date.h"
#include "message/fold.h"
#include "message/header.h"

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
	const struct imap_leaves *leaves;
	bool dated; /* it has a readable Date */
	int64_t day;
};

static bool
match_sent(const struct message *m, const struct imap_key *k)
{
	if (!m->dated)
		return false;
	return k->kind == IMAP_KEY_SENTBEFORE ? m->day < k->day
	    : k->kind == IMAP_KEY_SENTON      ? m->day == k->day
					      : m->day >= k->day;
}

static bool
judge(const struct message *m, const struct imap_key *k)
{
	bool v;

	if (k->kind == IMAP_KEY_AND || k->kind == IMAP_KEY_OR) {
		bool stop = k->kind == IMAP_KEY_OR;

		v = !stop;
		for (const struct imap_key *c = k->first; c != NULL && v != stop; c = c->next)
			v = judge(m, c);
	} else if (k->kind < IMAP_KEY_SENTBEFORE) {
		v = imap_leaf(m->leaves, k->leaf);
	} else {
		v = match_sent(m, k);
	}
	return v != k->negated;
}

bool
imap_match_header(
    const struct imap_search *p, const struct imap_leaves *l, struct slice header, const struct limits *limits)
{
	struct header_iter it = header_iter_of(header, (size_t)limits->message_header_bytes);
	struct header_field f;
	struct message m = {.leaves = l};
	struct message_date d;

	while (header_next(&it, &f))
		if (slice_ieq(f.name, SLICE("Date"))) {
			if (date_parse(f.value, &d) == 0) {
				m.dated = true;
				m.day = date_day(&d);
			}
			break;
		}
	return judge(&m, p->root);
}
