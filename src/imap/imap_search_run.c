/* imap_search_run.c: a SEARCH program applied to a view. What the view knows (flags, dates, sizes, numbers) is judged first,
 * without touching a message; what strings the messages have is asked of the store's index once; then, in chunks, come
 * identifiers and headers, where asked for. The loop is given to others after a bounded number of judgements. */
#include "imap/imap_match.h"
#include "imap/imap_search.h"

#include "base/house.h"

#define CHUNK 512u
/* Keys that are judged before others get their turn. */
#define JUDGED_AT_ONCE 50000u

struct searching {
	struct imap_session *s;
	struct store_view *v;
	struct imap_search *p;
	struct imap_hits *out;
	size_t cap;
	int64_t now_s;
	bool first_only;
	size_t judged; /* since others had their turn */
	size_t words;  /* of a message's leaf bits */
	struct imap_progress progress;
	size_t looked_at, total;
	struct store_found *found;    /* what the index says; NULL: not asked (yet) */
	const struct imap_key *every; /* a text that every hit has, or NULL */
	uint8_t fit;                  /* of the message that is being judged */
	/* A chunk of messages that are not out yet. */
	size_t n;
	uint32_t uids[CHUNK], seqs[CHUNK];
	int verdict[CHUNK];        /* 1, 0, -1 */
	uint8_t score[CHUNK];      /* of fuzzy programs */
	struct store_fetched *ids; /* CHUNK, or NULL */
	uint64_t *leaves;          /* CHUNK * words, or NULL */
	/* The messages to read, in order. */
	size_t pending[CHUNK];
	uint32_t pending_uids[CHUNK];
	size_t pending_n;
	bool hits[CHUNK];
};

/* ---- leaves ---- */

static int64_t
day_of(int64_t s)
{
	return s >= 0 ? s / 86400 : -((-s + 86399) / 86400);
}

static bool
is_object_id(struct slice given, uint8_t kind, const uint8_t id[STORE_ID_BYTES])
{
	uint8_t text[2 * STORE_ID_BYTES + 1] = {kind};

	for (size_t i = 0; i < STORE_ID_BYTES; i++) {
		text[1 + 2 * i] = (uint8_t) "0123456789abcdef"[id[i] >> 4];
		text[2 + 2 * i] = (uint8_t) "0123456789abcdef"[id[i] & 15];
	}
	return slice_eq(given, slice_of(text, sizeof(text)));
}

static bool
judge_ids(const struct imap_key *k, const struct store_fetched *ids)
{
	switch (k->kind) {
	case IMAP_KEY_SAVEDBEFORE: return day_of(ids->saved_s) < k->day;
	case IMAP_KEY_SAVEDON: return day_of(ids->saved_s) == k->day;
	case IMAP_KEY_SAVEDSINCE: return day_of(ids->saved_s) >= k->day;
	case IMAP_KEY_EMAILID: return is_object_id(k->text, 'M', ids->email_id);
	default: return is_object_id(k->text, 'T', ids->thread_id);
	}
}

static bool
judge_leaf(const struct searching *g, const struct imap_key *k, size_t seq, const struct store_entry *e)
{
	switch (k->kind) {
	case IMAP_KEY_ALL: return true;
	case IMAP_KEY_SEQUENCE: return imap_sequence_has(&k->set, (uint32_t)seq);
	case IMAP_KEY_UID:
	case IMAP_KEY_SAVED: return imap_sequence_has(&k->set, e->uid);
	case IMAP_KEY_FLAG: return (e->flags & k->flag) != 0;
	case IMAP_KEY_RECENT: return e->recent;
	case IMAP_KEY_NEW: return e->recent && (e->flags & STORE_SEEN) == 0;
	case IMAP_KEY_KEYWORD: return store_view_has_keyword(g->v, e, k->text);
	case IMAP_KEY_BEFORE: return day_of(e->internal_s) < k->day;
	case IMAP_KEY_ON: return day_of(e->internal_s) == k->day;
	case IMAP_KEY_SINCE: return day_of(e->internal_s) >= k->day;
	case IMAP_KEY_OLDER: return e->internal_s <= g->now_s - k->number;
	case IMAP_KEY_YOUNGER: return e->internal_s >= g->now_s - k->number;
	case IMAP_KEY_LARGER: return e->size > k->number;
	case IMAP_KEY_SMALLER: return e->size < k->number;
	case IMAP_KEY_MODSEQ: return e->modseq >= k->modseq;
	case IMAP_KEY_UIDAFTER: return e->uid > k->number;
	case IMAP_KEY_UIDBEFORE: return e->uid < k->number;
	default: return false;
	}
}

/* A fuzzy key also takes a text that has all its words, in whatever order; it then fits less well. */
static bool
judge_text(struct searching *g, const struct imap_key *k, uint32_t uid)
{
	if (store_found_has(g->found, k->found, uid))
		return true;
	if (!k->fuzzy || k->words.n == 0)
		return false;
	for (size_t i = 0; i < k->words.n; i++)
		if (!store_found_has(g->found, k->found + 1 + i, uid))
			return false;
	g->fit = g->fit > 20 ? (uint8_t)(g->fit / 2) : g->fit;
	return true;
}

/* 1, 0, or -1: not known without the message, or without its identifiers. */
static int
judge(struct searching *g, const struct imap_key *k, size_t seq, const struct store_entry *e,
    const struct store_fetched *ids)
{
	int v;

	g->judged++;
	if (k->kind == IMAP_KEY_AND || k->kind == IMAP_KEY_OR) {
		int stop = k->kind == IMAP_KEY_OR;

		v = !stop;
		for (const struct imap_key *c = k->first; c != NULL && v != stop; c = c->next) {
			int one = judge(g, c, seq, e, ids);

			v = one == stop ? stop : one < 0 ? -1 : v;
		}
	} else if (k->kind < IMAP_KEY_SAVEDBEFORE) {
		v = judge_leaf(g, k, seq, e);
	} else if (k->kind < IMAP_KEY_AND && ids != NULL) {
		v = judge_ids(k, ids);
	} else if (k->kind >= IMAP_KEY_HEADER && k->kind <= IMAP_KEY_TEXT && g->found != NULL) {
		v = judge_text(g, k, e->uid);
	} else {
		v = -1;
	}
	return v < 0 ? v : v ^ k->negated;
}

/* All of them, for the matcher, which has no view. */
static void
note_leaves(struct searching *g, const struct imap_key *k, size_t seq, const struct store_entry *e,
    const struct store_fetched *ids, uint64_t *bits)
{
	for (; k != NULL; k = k->next) {
		g->judged++;
		if (k->kind == IMAP_KEY_AND || k->kind == IMAP_KEY_OR)
			note_leaves(g, k->first, seq, e, ids, bits);
		else if (k->kind < IMAP_KEY_SAVEDBEFORE                          ? judge_leaf(g, k, seq, e)
			: k->kind < IMAP_KEY_AND && ids != NULL                  ? judge_ids(k, ids)
			: k->kind >= IMAP_KEY_HEADER && k->kind <= IMAP_KEY_TEXT ? judge_text(g, k, e->uid)
										 : false)
			bits[k->leaf / 64] |= (uint64_t)1 << (k->leaf % 64);
	}
}

/* Puts numbers for "*" and UIDs for "$". */
static int
resolve_sets(struct searching *g, struct imap_key *k)
{
	uint32_t count = (uint32_t)store_view_count(g->v);
	uint32_t last = count == 0 ? 0 : store_view_at(g->v, count).uid;

	for (; k != NULL; k = k->next) {
		if (k->kind == IMAP_KEY_SAVED) {
			k->set.n = g->s->saved.n;
			k->set.v = ARENA_ARRAY(&g->s->arena, struct imap_range, k->set.n);
			if (k->set.v == NULL)
				return ERR_LIMIT;
			if (k->set.n > 0)
				memcpy(k->set.v, g->s->saved.v, k->set.n * sizeof(*k->set.v));
		} else if (k->kind == IMAP_KEY_SEQUENCE || k->kind == IMAP_KEY_UID) {
			imap_sequence_resolve(&k->set, k->kind == IMAP_KEY_UID ? last : count);
		}
		if (k->first != NULL && resolve_sets(g, k->first) != 0)
			return ERR_LIMIT;
	}
	return 0;
}

/* ---- identifiers ---- */

static int
fetch_ids(struct searching *g)
{
	size_t at = 0;

	for (size_t i = 0; i < g->n; i++)
		g->ids[i] = (struct store_fetched){.uid = g->uids[i]};
	while (at < g->n) {
		size_t done;
		int err = store_fetch(g->v, g->ids + at, g->n - at, STORE_WANT_IDS, &g->s->arena, &done);

		if (err != 0)
			return err;
		at += done;
	}
	for (size_t i = 0; i < g->n; i++) {
		struct store_entry e = store_view_at(g->v, g->seqs[i]);

		if (!g->ids[i].found)
			g->verdict[i] = 0;
		else if (g->verdict[i] < 0) {
			g->fit = 100;
			g->verdict[i] = judge(g, g->p->root, g->seqs[i], &e, &g->ids[i]);
			g->score[i] = g->fit;
		}
	}
	return 0;
}

/* ---- reading messages ---- */

/* On a worker thread: the fiber waits meanwhile, so that everything of the chunk may be read. */
static int
match(void *arg, const struct store_candidate *c)
{
	struct searching *g = arg;
	size_t lo = 0, hi = g->pending_n;
	struct imap_leaves l;

	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (g->pending_uids[mid] <= c->uid)
			lo = mid;
		else
			hi = mid;
	}
	if (g->pending_n == 0 || g->pending_uids[lo] != c->uid)
		return 0;
	l.bits = g->leaves + g->pending[lo] * g->words;
	return imap_match_header(g->p, &l, c->raw, g->s->limits);
}

static int
read_pending(struct searching *g)
{
	int err;

	g->pending_n = 0;
	for (size_t i = 0; i < g->n; i++) {
		struct store_entry e = store_view_at(g->v, g->seqs[i]);
		uint64_t *bits = g->leaves + i * g->words;

		if (g->verdict[i] >= 0)
			continue;
		memset(bits, 0, g->words * sizeof(*bits));
		note_leaves(g, g->p->root, g->seqs[i], &e, g->ids == NULL ? NULL : &g->ids[i], bits);
		g->pending[g->pending_n] = i;
		g->pending_uids[g->pending_n++] = g->uids[i];
	}
	if (g->pending_n == 0)
		return 0;
	memset(g->hits, 0, sizeof(g->hits));
	err = store_search(g->v, g->pending_uids, g->pending_n, true, match, g, g->hits);
	for (size_t i = 0; i < g->pending_n && err == 0; i++)
		g->verdict[g->pending[i]] = g->hits[i];
	return err;
}

/* ---- all of it ---- */

static int
add_hit(struct searching *g, uint32_t seq, uint8_t score)
{
	struct imap_hits *h = g->out;
	size_t before = g->cap;

	h->seqs = arena_grow(&g->s->arena, h->seqs, h->n, &g->cap, sizeof(*h->seqs), SIZE_MAX / 8);
	if (h->seqs == NULL)
		return ERR_LIMIT;
	if (g->p->fuzzy) {
		h->scores = arena_grow(&g->s->arena, h->scores, h->n, &before, 1, SIZE_MAX / 8);
		if (h->scores == NULL)
			return ERR_LIMIT;
		h->scores[h->n] = score;
	}
	h->seqs[h->n++] = seq;
	return 0;
}

static int
finish_chunk(struct searching *g)
{
	int err = g->p->needs_ids ? fetch_ids(g) : 0;

	if (err == 0 && g->leaves != NULL)
		err = read_pending(g);
	for (size_t i = 0; i < g->n && err == 0; i++)
		if (g->verdict[i] == 1)
			err = add_hit(g, g->seqs[i], g->score[i]);
	g->n = 0;
	if (err == 0 && store_view_gone(g->v))
		err = ERR_NOTFOUND;
	if (err == 0)
		imap_progress(g->s, &g->progress, g->looked_at, g->total);
	return err;
}

static int
give_way(struct searching *g)
{
	int err;

	if (g->judged < JUDGED_AT_ONCE)
		return 0;
	g->judged = 0;
	err = fiber_yield(g->s->c->loop);
	return err == 0 && store_view_gone(g->v) ? ERR_NOTFOUND : err;
}

static int
look_at(struct searching *g, size_t seq)
{
	struct store_entry e = store_view_at(g->v, seq);
	int verdict;

	g->looked_at++;
	if (e.expunged)
		return 0;
	g->fit = 100;
	verdict = judge(g, g->p->root, seq, &e, NULL);
	/* What is known already goes straight out, unless others wait before it. */
	if (verdict >= 0 && g->n == 0)
		return verdict == 1 ? add_hit(g, (uint32_t)seq, g->fit) : 0;
	if (verdict == 0)
		return 0;
	g->uids[g->n] = e.uid;
	g->seqs[g->n] = (uint32_t)seq;
	g->verdict[g->n] = verdict;
	g->score[g->n] = g->fit;
	return ++g->n == CHUNK ? finish_chunk(g) : 0;
}

/* The messages to look at: those of a set that all hits must be in, if there is one among the keys. */
static size_t
next_seq(const struct searching *g, const struct imap_key *within, size_t seq)
{
	const struct imap_sequence *set = within == NULL ? NULL : &within->set;
	uint32_t number;

	seq++;
	if (set == NULL || seq > store_view_count(g->v))
		return seq;
	number = within->kind == IMAP_KEY_SEQUENCE ? (uint32_t)seq : store_view_at(g->v, seq).uid;
	number = imap_sequence_from(set, number);
	if (number == 0)
		return store_view_count(g->v) + 1;
	return within->kind == IMAP_KEY_SEQUENCE ? number : store_view_seq_from(g->v, number);
}

static const struct imap_key *
set_of_all(const struct imap_key *root)
{
	for (const struct imap_key *k = root->negated ? NULL : root->first; k != NULL; k = k->next)
		if (!k->negated &&
		    (k->kind == IMAP_KEY_SEQUENCE || k->kind == IMAP_KEY_UID || k->kind == IMAP_KEY_SAVED))
			return k;
	return NULL;
}

/* RFC 9738 §3.1: of more than limits.imap_messages only the newest are looked at. */
static size_t
first_seq(struct searching *g, const struct imap_key *within)
{
	size_t max = (size_t)g->s->limits->imap_messages, n = 0, seq = next_seq(g, within, 0), skip;

	if (store_view_count(g->v) <= max)
		return seq;
	for (size_t at = seq; at <= store_view_count(g->v); at = next_seq(g, within, at))
		n++;
	for (skip = n > max ? n - max : 0; skip > 0; skip--)
		seq = next_seq(g, within, seq);
	if (n > max)
		g->out->limited = store_view_at(g->v, seq).uid;
	return seq;
}

/* ---- texts ---- */

struct text_keys {
	struct store_text_key *v;
	size_t n, cap;
};

static int
add_text(struct searching *g, struct text_keys *t, const struct imap_key *k, struct slice text)
{
	t->v = arena_grow(&g->s->arena, t->v, t->n, &t->cap, sizeof(*t->v), SIZE_MAX / sizeof(*t->v));
	if (t->v == NULL)
		return ERR_LIMIT;
	t->v[t->n++] = (struct store_text_key){.scope = k->kind == IMAP_KEY_HEADER ? STORE_SCOPE_FIELD
		: k->kind == IMAP_KEY_BODY                                         ? STORE_SCOPE_BODY
										   : STORE_SCOPE_TEXT,
	    .field = k->name,
	    .text = text};
	return 0;
}

static int
note_texts(struct searching *g, struct imap_key *k, struct text_keys *t)
{
	int err = 0;

	for (; k != NULL && err == 0; k = k->next) {
		if (k->first != NULL)
			err = note_texts(g, k->first, t);
		if (err != 0 || k->kind < IMAP_KEY_HEADER || k->kind > IMAP_KEY_TEXT)
			continue;
		k->found = t->n;
		err = add_text(g, t, k, k->text);
		for (size_t i = 0; i < k->words.n && err == 0; i++)
			err = add_text(g, t, k, k->words.v[i]);
	}
	return err;
}

/* Is every key of the program a text? Then no message is ruled out before the index is asked. */
static bool
texts_only(const struct imap_key *root)
{
	for (const struct imap_key *k = root->first; k != NULL; k = k->next)
		if (k->kind < IMAP_KEY_HEADER || k->kind > IMAP_KEY_TEXT)
			return false;
	return true;
}

/* Asks the index for all strings of the program, of the messages that the other keys have not ruled out. */
static int
ask_index(struct searching *g, const struct imap_key *within)
{
	struct text_keys t = {.v = NULL};
	uint32_t *uids = NULL;
	size_t n = 0, cap = 0;
	int err = note_texts(g, g->p->root, &t);

	if (err != 0 || texts_only(g->p->root))
		return err != 0 ? err : store_find_text(g->v, NULL, 0, t.v, t.n, &g->found);
	for (size_t seq = first_seq(g, within); seq <= g->total && err == 0; seq = next_seq(g, within, seq)) {
		struct store_entry e = store_view_at(g->v, seq);

		if (!e.expunged && judge(g, g->p->root, seq, &e, NULL) < 0) {
			uids = arena_grow(&g->s->arena, uids, n, &cap, sizeof(*uids), SIZE_MAX / sizeof(*uids));
			if (uids == NULL)
				return ERR_LIMIT;
			uids[n++] = e.uid;
		}
		err = give_way(g);
	}
	if (err == 0 && n > 0)
		err = store_find_text(g->v, uids, n, t.v, t.n, &g->found);
	return err;
}

/* A text that all hits must have: only messages that have it are looked at. */
static const struct imap_key *
text_of_all(const struct searching *g)
{
	if (g->found == NULL || g->p->root->negated)
		return NULL;
	for (const struct imap_key *k = g->p->root->first; k != NULL; k = k->next)
		if (!k->negated && !k->fuzzy && k->kind >= IMAP_KEY_HEADER && k->kind <= IMAP_KEY_TEXT)
			return k;
	return NULL;
}

/* seq, or the first behind it that has that text. */
static size_t
skip_to_text(struct searching *g, const struct imap_key *within, size_t seq)
{
	while (g->every != NULL && seq <= g->total) {
		uint32_t next = store_found_next(g->found, g->every->found, store_view_at(g->v, seq).uid);
		size_t at = next == 0 ? g->total + 1 : store_view_seq_from(g->v, next);

		if (at == seq || at > g->total)
			return at;
		seq = next_seq(g, within, at - 1);
		if (seq == at)
			break;
	}
	return seq;
}

static int
search_all(struct searching *g)
{
	const struct imap_key *within = set_of_all(g->p->root);
	int err = 0;

	g->total = store_view_count(g->v);
	if (g->p->needs_text && g->total > 0 && (err = ask_index(g, within)) != 0)
		return err;
	g->every = text_of_all(g);
	for (size_t seq = skip_to_text(g, within, first_seq(g, within)); seq <= g->total && err == 0 && !g->s->ended;
	     seq = skip_to_text(g, within, next_seq(g, within, seq))) {
		err = look_at(g, seq);
		if (err == 0)
			err = give_way(g);
		if (g->first_only && g->out->n > 0)
			return err;
	}
	return err != 0 ? err : finish_chunk(g);
}

int
imap_search_run(
    struct imap_session *s, struct store_view *v, struct imap_search *p, bool first_only, struct imap_hits *out)
{
	struct searching *g = ARENA_NEW(&s->arena, struct searching);
	int err;

	*out = (struct imap_hits){.seqs = NULL};
	if (g == NULL)
		return ERR_LIMIT;
	g->s = s;
	g->v = v;
	g->p = p;
	g->out = out;
	g->first_only = first_only;
	g->now_s = house_now_s(s->c->house);
	g->words = p->leaves / 64 + 1;
	if (p->needs_header)
		g->leaves = ARENA_ARRAY(&s->arena, uint64_t, CHUNK * g->words);
	if (p->needs_ids)
		g->ids = ARENA_ARRAY(&s->arena, struct store_fetched, CHUNK);
	if (arena_failed(&s->arena) || resolve_sets(g, p->root) != 0)
		return ERR_LIMIT;
	imap_progress_start(s, &g->progress);
	err = search_all(g);
	store_found_free(&g->found);
	return err;
}
