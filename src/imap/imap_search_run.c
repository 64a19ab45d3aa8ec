/* imap_search_run.c: a SEARCH program applied to a view. Strings are looked for first, all at once, in the store's index. Then
 * the keys are judged message by message: what the view and the index know without reading anything, and only for those that
 * are still undecided, in chunks, identifiers and the Date field. The loop is given to others after a bounded number of
 * judgements. */
#include "imap/imap_search.h"

#include "base/house.h"
#include "message/date.h"
#include "message/header.h"

#define CHUNK 512u
/* Keys that are judged before others get their turn. */
#define JUDGED_AT_ONCE 50000u
#define NO_DATE INT64_MIN

struct searching {
	struct imap_session *s;
	struct store_view *v;
	struct imap_search *p;
	struct imap_hits *out;
	struct store_found *found;    /* what the index says of the strings; NULL: not asked (yet) */
	const struct imap_key *every; /* a text that all hits have, or NULL */
	size_t cap;
	int64_t now_s;
	bool first_only;
	size_t judged; /* since others had their turn */
	uint8_t score; /* of the message that is being judged */
	struct imap_progress progress;
	size_t looked_at, total;
	/* A chunk of messages that are not out yet. */
	size_t n;
	uint32_t uids[CHUNK], seqs[CHUNK];
	int verdict[CHUNK]; /* 1, 0, -1 */
	uint8_t scores[CHUNK];
	struct store_fetched *ids; /* CHUNK, or NULL */
	int64_t *days;             /* CHUNK, or NULL: of the Date fields */
	size_t at;                 /* walks with the store's candidates */
	bool hits[CHUNK];
};

/* What has been read of the message that is judged. */
struct known {
	const struct store_fetched *ids; /* or NULL */
	const int64_t *day;              /* or NULL */
};

/* ---- keys ---- */

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
judge_sent(const struct imap_key *k, int64_t day)
{
	if (day == NO_DATE)
		return false;
	return k->kind == IMAP_KEY_SENTBEFORE ? day < k->day
	    : k->kind == IMAP_KEY_SENTON      ? day == k->day
					      : day >= k->day;
}

/* A fuzzy key also takes a text that has all its words, in whatever order; it then fits less well (RFC 6203 §4). */
static bool
judge_text(struct searching *g, const struct imap_key *k, uint32_t uid)
{
	if (store_found_has(g->found, k->at, uid))
		return true;
	if (k->words == 0)
		return false;
	g->judged += k->words;
	for (size_t i = 1; i <= k->words; i++)
		if (!store_found_has(g->found, k->at + i, uid))
			return false;
	if (g->score > 20)
		g->score /= 2;
	return true;
}

static bool
judge_entry(const struct searching *g, const struct imap_key *k, size_t seq, const struct store_entry *e)
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

/* 1, 0, or -1: not before more is known. */
static int
judge(struct searching *g, const struct imap_key *k, size_t seq, const struct store_entry *e, struct known known)
{
	int v;

	g->judged++;
	if (k->kind == IMAP_KEY_AND || k->kind == IMAP_KEY_OR) {
		int stop = k->kind == IMAP_KEY_OR;

		v = !stop;
		for (const struct imap_key *c = k->first; c != NULL && v != stop; c = c->next) {
			int one = judge(g, c, seq, e, known);

			v = one == stop ? stop : one < 0 ? -1 : v;
		}
	} else if (imap_key_is_text(k)) {
		v = g->found == NULL ? -1 : judge_text(g, k, e->uid);
	} else if (imap_key_is_id(k)) {
		v = known.ids == NULL ? -1 : judge_ids(k, known.ids);
	} else if (imap_key_is_sent(k)) {
		v = known.day == NULL ? -1 : judge_sent(k, *known.day);
	} else {
		v = judge_entry(g, k, seq, e);
	}
	return v < 0 ? v : v ^ k->negated;
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

/* ---- what has to be read ---- */

static int
read_ids(struct searching *g)
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
	for (size_t i = 0; i < g->n; i++)
		if (!g->ids[i].found)
			g->verdict[i] = 0;
	return 0;
}

/* On a worker thread: the fiber waits meanwhile. Candidates come in the order of the UIDs. */
static int
note_day(void *arg, const struct store_candidate *c)
{
	struct searching *g = arg;
	struct header_iter it = header_iter_of(c->raw, (size_t)g->s->limits->message_header_bytes);
	struct header_field f;
	struct message_date date;

	while (g->at < g->n && g->uids[g->at] < c->uid)
		g->at++;
	while (g->at < g->n && g->uids[g->at] == c->uid && header_next(&it, &f)) {
		if (!slice_ieq(f.name, SLICE("Date")))
			continue;
		if (date_parse(f.value, &date) == 0)
			g->days[g->at] = date_day(&date);
		break;
	}
	return 0;
}

static int
read_days(struct searching *g)
{
	for (size_t i = 0; i < g->n; i++)
		g->days[i] = NO_DATE;
	g->at = 0;
	return store_search(g->v, g->uids, g->n, true, note_day, g, g->hits);
}

/* ---- messages ---- */

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
	int err = g->n == 0 || g->ids == NULL ? 0 : read_ids(g);

	if (err == 0 && g->n > 0 && g->days != NULL)
		err = read_days(g);
	if (err == 0 && store_view_gone(g->v))
		err = ERR_NOTFOUND;
	for (size_t i = 0; i < g->n && err == 0; i++) {
		struct known known = {g->ids == NULL ? NULL : &g->ids[i], g->days == NULL ? NULL : &g->days[i]};
		struct store_entry e = store_view_at(g->v, g->seqs[i]);

		g->score = 100;
		if (g->verdict[i] < 0) {
			g->verdict[i] = judge(g, g->p->root, g->seqs[i], &e, known);
			g->scores[i] = g->score;
		}
		if (g->verdict[i] == 1)
			err = add_hit(g, g->seqs[i], g->scores[i]);
	}
	g->n = 0;
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
	imap_progress(g->s, &g->progress, g->looked_at, g->total);
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
	g->score = 100;
	verdict = judge(g, g->p->root, seq, &e, (struct known){NULL, NULL});
	/* What is known already goes straight out, unless others wait before it. */
	if (verdict >= 0 && g->n == 0)
		return verdict == 1 ? add_hit(g, (uint32_t)seq, g->score) : 0;
	if (verdict == 0)
		return 0;
	g->uids[g->n] = e.uid;
	g->seqs[g->n] = (uint32_t)seq;
	g->verdict[g->n] = verdict;
	g->scores[g->n] = g->score;
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

/* ---- strings ---- */

/* Is every key of the program a text? Then no message is ruled out before the index is asked. */
static bool
texts_only(const struct imap_key *root)
{
	for (const struct imap_key *k = root->first; k != NULL; k = k->next)
		if (!imap_key_is_text(k))
			return false;
	return true;
}

/* Asks the index for all strings of the program, of the messages that the other keys have not ruled out. */
static int
ask_index(struct searching *g, const struct imap_key *within)
{
	uint32_t *uids = NULL;
	size_t n = 0, cap = 0;
	int err = 0;

	if (texts_only(g->p->root))
		return store_find_text(g->v, NULL, 0, g->p->texts, g->p->texts_n, &g->found);
	for (size_t seq = first_seq(g, within); seq <= g->total && err == 0; seq = next_seq(g, within, seq)) {
		struct store_entry e = store_view_at(g->v, seq);

		if (!e.expunged && judge(g, g->p->root, seq, &e, (struct known){NULL, NULL}) < 0) {
			uids = arena_grow(&g->s->arena, uids, n, &cap, sizeof(*uids), SIZE_MAX / sizeof(*uids));
			if (uids == NULL)
				return ERR_LIMIT;
			uids[n++] = e.uid;
		}
		err = give_way(g);
	}
	if (err == 0 && n > 0)
		err = store_find_text(g->v, uids, n, g->p->texts, g->p->texts_n, &g->found);
	return err;
}

/* A text that all hits must have: only messages that have it are looked at. */
static const struct imap_key *
text_of_all(const struct searching *g)
{
	if (g->found == NULL || g->p->root->negated)
		return NULL;
	for (const struct imap_key *k = g->p->root->first; k != NULL; k = k->next)
		if (!k->negated && !k->fuzzy && imap_key_is_text(k))
			return k;
	return NULL;
}

/* seq, or the first behind it that has that text. */
static size_t
skip_to_text(struct searching *g, const struct imap_key *within, size_t seq)
{
	while (g->every != NULL && seq <= g->total) {
		uint32_t next = store_found_next(g->found, g->every->at, store_view_at(g->v, seq).uid);
		size_t at = next == 0 ? g->total + 1 : store_view_seq_from(g->v, next);

		if (at == seq || at > g->total)
			return at;
		seq = next_seq(g, within, at - 1);
		if (seq == at)
			break;
	}
	return seq;
}

/* ---- all of it ---- */

static int
search_all(struct searching *g)
{
	const struct imap_key *within = set_of_all(g->p->root);
	int err = 0;

	g->total = store_view_count(g->v);
	if (g->p->texts_n > 0 && g->total > 0)
		err = ask_index(g, within);
	if (err == 0 && store_view_gone(g->v))
		err = ERR_NOTFOUND;
	if (err != 0)
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
	if (p->needs_ids)
		g->ids = ARENA_ARRAY(&s->arena, struct store_fetched, CHUNK);
	if (p->needs_dates)
		g->days = ARENA_ARRAY(&s->arena, int64_t, CHUNK);
	if (arena_failed(&s->arena) || resolve_sets(g, p->root) != 0)
		return ERR_LIMIT;
	imap_progress_start(s, &g->progress);
	err = search_all(g);
	store_found_free(&g->found);
	return err;
}
