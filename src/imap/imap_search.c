/* imap_search.c: SEARCH (RFC 3501 §6.4.4). What the view knows (flags, dates, sizes, numbers) is judged first, without
 * touching a message; the rest is judged by the store's search on a worker thread, in chunks. */
#include "imap/imap_session.h"

#include "imap/imap_match.h"

#define CHUNK 512u

struct searching {
	struct imap_session *s;
	struct imap_search p;
	struct arena *arena;
	size_t words; /* of a message's leaf bits */
	/* A chunk of messages whose answer needs reading. */
	size_t n;
	uint32_t uids[CHUNK];
	uint32_t numbers[CHUNK]; /* what SEARCH answers: sequence number or UID */
	int verdict[CHUNK];      /* 1, 0, -1 */
	uint64_t *leaves;        /* CHUNK * words */
	/* The messages to read, in order; `at` walks with the matcher. */
	size_t pending[CHUNK];
	uint32_t pending_uids[CHUNK];
	size_t pending_n;
	bool hits[CHUNK];
	bool found; /* something was written */
};

/* ---- leaves ---- */

static int64_t
day_of(int64_t s)
{
	return s >= 0 ? s / 86400 : -((-s + 86399) / 86400);
}

static bool
judge_leaf(const struct searching *g, const struct imap_key *k, size_t seq, const struct store_entry *e)
{
	switch (k->kind) {
	case IMAP_KEY_ALL: return true;
	case IMAP_KEY_SEQUENCE: return imap_sequence_has(&k->set, (uint32_t)seq);
	case IMAP_KEY_UID: return imap_sequence_has(&k->set, e->uid);
	case IMAP_KEY_FLAG: return (e->flags & k->flag) != 0;
	case IMAP_KEY_RECENT: return e->recent;
	case IMAP_KEY_NEW: return e->recent && (e->flags & STORE_SEEN) == 0;
	case IMAP_KEY_KEYWORD: return store_view_has_keyword(g->s->view, e, k->text);
	case IMAP_KEY_BEFORE: return day_of(e->internal_s) < k->day;
	case IMAP_KEY_ON: return day_of(e->internal_s) == k->day;
	case IMAP_KEY_SINCE: return day_of(e->internal_s) >= k->day;
	case IMAP_KEY_LARGER: return e->size > k->number;
	case IMAP_KEY_SMALLER: return e->size < k->number;
	default: return false;
	}
}

static void
judge_leaves(
    const struct searching *g, const struct imap_key *k, size_t seq, const struct store_entry *e, uint64_t *bits)
{
	for (; k != NULL; k = k->next) {
		if (k->kind == IMAP_KEY_AND || k->kind == IMAP_KEY_OR)
			judge_leaves(g, k->first, seq, e, bits);
		else if (k->kind < IMAP_KEY_HEADER && judge_leaf(g, k, seq, e))
			bits[k->leaf / 64] |= (uint64_t)1 << (k->leaf % 64);
	}
}

/* Puts numbers for "*"; false if a sequence number does not exist. */
static bool
resolve_sets(struct searching *g, struct imap_key *k)
{
	uint32_t count = (uint32_t)store_view_count(g->s->view);
	uint32_t last = count == 0 ? 0 : store_view_at(g->s->view, count).uid;

	for (; k != NULL; k = k->next) {
		if (k->kind == IMAP_KEY_SEQUENCE && imap_sequence_beyond(&k->set, count))
			return false;
		if (k->kind == IMAP_KEY_SEQUENCE || k->kind == IMAP_KEY_UID)
			imap_sequence_resolve(&k->set, k->kind == IMAP_KEY_UID ? last : count);
		if (k->first != NULL && !resolve_sets(g, k->first))
			return false;
	}
	return true;
}

/* ---- reading messages ---- */

static int
prepare(void *arg)
{
	struct searching *g = arg;

	return imap_match_prepare(&g->p, g->arena);
}

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
	return imap_match_message(&g->p, &l, c->raw, g->s->limits);
}

static int
read_pending(struct searching *g)
{
	int err;

	g->pending_n = 0;
	for (size_t i = 0; i < g->n; i++) {
		if (g->verdict[i] >= 0)
			continue;
		g->pending[g->pending_n] = i;
		g->pending_uids[g->pending_n++] = g->uids[i];
	}
	if (g->pending_n == 0)
		return 0;
	memset(g->hits, 0, sizeof(g->hits));
	err = store_search(g->s->view, g->pending_uids, g->pending_n, !g->p.needs_body, match, g, g->hits);
	for (size_t i = 0; i < g->pending_n && err == 0; i++)
		g->verdict[g->pending[i]] = g->hits[i];
	return err;
}

static int
finish_chunk(struct searching *g)
{
	struct buf BUF_CLEANUP out;
	int err = read_pending(g);

	if (err != 0)
		return err;
	buf_init(&out, CHUNK * 16);
	for (size_t i = 0; i < g->n; i++) {
		if (g->verdict[i] != 1)
			continue;
		if (!g->found)
			imap_write(g->s, SLICE("* SEARCH"));
		g->found = true;
		buf_put_u8(&out, ' ');
		buf_put_u64(&out, g->numbers[i]);
	}
	imap_write(g->s, buf_slice(&out));
	g->n = 0;
	return 0;
}

static int
search_all(struct searching *g)
{
	size_t count = store_view_count(g->s->view);
	int err = 0;

	for (size_t seq = 1; seq <= count && err == 0 && !g->s->ended; seq++) {
		struct store_entry e = store_view_at(g->s->view, seq);
		uint64_t *bits = g->leaves + g->n * g->words;
		struct imap_leaves l = {bits};

		if (e.expunged)
			continue;
		memset(bits, 0, g->words * sizeof(*bits));
		judge_leaves(g, g->p.root, seq, &e, bits);
		g->verdict[g->n] = imap_match_leaves(&g->p, &l);
		if (g->verdict[g->n] == 0)
			continue;
		g->uids[g->n] = e.uid;
		g->numbers[g->n] = g->s->uid ? e.uid : (uint32_t)seq;
		if (++g->n == CHUNK)
			err = finish_chunk(g);
	}
	return err != 0 ? err : finish_chunk(g);
}

static int
search(struct searching *g)
{
	int err = g->p.needs_header || g->p.needs_body || g->p.charset.n > 0 ? work_run(g->s->c->workers, prepare, g)
									     : 0;

	if (err == ERR_UNSUPPORTED) {
		imap_no(g->s, "[BADCHARSET (US-ASCII UTF-8 ISO-8859-1)]", "the charset is not known here");
		return err;
	}
	if (err == ERR_INVALID) {
		imap_bad(g->s, "a string is not text in its charset");
		return err;
	}
	if (err == 0)
		err = search_all(g);
	if (err != 0) {
		if (g->found)
			imap_write(g->s, SLICE("\r\n"));
		imap_no_err(g->s, err);
	}
	return err;
}

void
imap_do_search(struct imap_session *s, struct imap_lex *x)
{
	struct searching *g = ARENA_NEW(&s->arena, struct searching);

	if (g == NULL) {
		imap_no_err(s, ERR_LIMIT);
		return;
	}
	g->s = s;
	g->arena = &s->arena;
	imap_lex_space(x);
	imap_parse_search(x, s->limits, &g->p);
	if (imap_bad_syntax(s, x))
		return;
	if (!resolve_sets(g, g->p.root)) {
		imap_bad(s, "no such message");
		return;
	}
	g->words = g->p.leaves / 64 + 1;
	g->leaves = ARENA_ARRAY(&s->arena, uint64_t, CHUNK * g->words);
	if (g->leaves == NULL) {
		imap_no_err(s, ERR_LIMIT);
		return;
	}
	if (search(g) != 0)
		return;
	imap_write(s, g->found ? SLICE("\r\n") : SLICE("* SEARCH\r\n"));
	imap_ok(s, "", "done");
}
