/* imap_sort.c: SORT and THREAD (RFC 5256), SORT=DISPLAY (RFC 5957) and ESORT (RFC 5267 §3). */
#include "imap/imap_sort.h"

#include "imap/imap_context.h"
#include "imap/imap_digest.h"
#include "imap/imap_thread.h"

#include "base/house.h"

#include <inttypes.h>

enum sort_by { SORT_ARRIVAL, SORT_DATE, SORT_SIZE, SORT_RELEVANCY, SORT_TEXT /* and above: of that text */ };

/* Of a criterion twice the first counts, so there are no more than kinds. */
#define CRITERIA_MAX (SORT_TEXT + IMAP_DIGEST_TEXTS)

struct criterion {
	unsigned by;
	bool reverse;
};

struct sorting {
	struct imap_search p;
	struct imap_return r;
	struct criterion v[CRITERIA_MAX];
	size_t n;
	unsigned want;
	struct imap_hits hits;
	struct imap_digest *d;
	enum imap_thread_algorithm algorithm;
	uint64_t key;
	struct arena *a;
	struct buf *out;
};

/* ---- arguments ---- */

static void
add_criterion(struct imap_lex *x, struct sorting *g, unsigned by, bool reverse)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->v[i].by == by)
			return;
	if (g->n == CRITERIA_MAX) {
		imap_lex_fail(x, "too many sort criteria");
		return;
	}
	g->v[g->n++] = (struct criterion){by, reverse};
	if (by >= SORT_TEXT)
		g->want |= 1u << (by - SORT_TEXT);
	else if (by == SORT_DATE)
		g->want |= IMAP_DIGEST_DATE;
}

static void
parse_criterion(struct imap_lex *x, struct sorting *g)
{
	static const struct {
		struct slice name;
		unsigned by;
	} rows[] = {
	    {SLICE_INIT("ARRIVAL"), SORT_ARRIVAL},
	    {SLICE_INIT("CC"), SORT_TEXT + IMAP_DIGEST_CC},
	    {SLICE_INIT("DATE"), SORT_DATE},
	    {SLICE_INIT("DISPLAYFROM"), SORT_TEXT + IMAP_DIGEST_DISPLAYFROM},
	    {SLICE_INIT("DISPLAYTO"), SORT_TEXT + IMAP_DIGEST_DISPLAYTO},
	    {SLICE_INIT("FROM"), SORT_TEXT + IMAP_DIGEST_FROM},
	    {SLICE_INIT("RELEVANCY"), SORT_RELEVANCY},
	    {SLICE_INIT("SIZE"), SORT_SIZE},
	    {SLICE_INIT("SUBJECT"), SORT_TEXT + IMAP_DIGEST_SUBJECT},
	    {SLICE_INIT("TO"), SORT_TEXT + IMAP_DIGEST_TO},
	};
	bool reverse = cursor_iaccept(&x->c, SLICE("REVERSE "));
	struct slice name = imap_lex_atom(x);

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (slice_ieq(name, rows[i].name)) {
			add_criterion(x, g, rows[i].by, reverse);
			return;
		}
	}
	imap_lex_fail(x, "no such sort criterion");
}

static void
parse_criteria(struct imap_lex *x, struct sorting *g)
{
	imap_lex_expect(x, '(');
	do
		parse_criterion(x, g);
	while (!imap_lex_failed(x) && imap_lex_accept(x, ' '));
	imap_lex_expect(x, ')');
}

/* SP charset SP keys: of both commands. */
static void
parse_program(struct imap_lex *x, const struct limits *l, struct imap_search *p)
{
	imap_lex_space(x);
	p->charset = imap_lex_astring(x);
	imap_lex_space(x);
	imap_parse_search_keys(x, l, p);
}

static bool
parse_keys(struct imap_session *s, struct imap_lex *x, struct sorting *g)
{
	parse_program(x, s->limits, &g->p);
	if ((g->r.options & IMAP_RETURN_UPDATE) && imap_context_has_tag(s))
		imap_lex_fail(x, "that tag is of a search that is being updated");
	if (g->p.by_number && imap_is_on(s, IMAP_ON_UIDONLY))
		imap_lex_fail(x, "[UIDREQUIRED] sequence numbers are not allowed once UIDONLY is enabled");
	if (imap_bad_syntax(s, x))
		return false;
	if (g->p.by_modseq)
		imap_condstore_on(s);
	return imap_search_prepare(s, &g->p) == 0;
}

/* ---- SORT ---- */

static int
compare_number(int64_t a, int64_t b)
{
	return a < b ? -1 : a > b;
}

static int
compare_by(const struct imap_digest *a, const struct imap_digest *b, unsigned by)
{
	switch (by) {
	case SORT_ARRIVAL: return compare_number(a->arrival_s, b->arrival_s);
	case SORT_DATE: return compare_number(a->date_s, b->date_s);
	case SORT_SIZE: return compare_number(a->size, b->size);
	case SORT_RELEVANCY: return compare_number(b->score, a->score); /* the best first (RFC 6203 §5) */
	default: return slice_cmp(a->text[by - SORT_TEXT], b->text[by - SORT_TEXT]);
	}
}

static int
compare(const void *x, const void *y, void *arg)
{
	const struct imap_digest *a = x, *b = y;
	const struct sorting *g = arg;

	for (size_t i = 0; i < g->n; i++) {
		int order = compare_by(a, b, g->v[i].by);

		if (order != 0)
			return g->v[i].reverse ? -order : order;
	}
	return compare_number(a->seq, b->seq);
}

/* On a worker thread. */
static int
sort_job(void *arg)
{
	struct sorting *g = arg;

	qsort_r(g->d, g->hits.n, sizeof(*g->d), compare, g);
	for (size_t i = 0; i < g->hits.n; i++) {
		g->hits.seqs[i] = g->d[i].seq;
		if (g->hits.scores != NULL)
			g->hits.scores[i] = g->d[i].score;
	}
	return 0;
}

static void
tell_sort(struct imap_session *s, const struct sorting *g)
{
	uint64_t modseq = 0;

	buf_reset(&s->line);
	buf_put(&s->line, SLICE("* SORT"));
	for (size_t i = 0; i < g->hits.n && !s->ended; i++) {
		struct store_entry e = store_view_at(s->view, g->hits.seqs[i]);

		buf_put_u8(&s->line, ' ');
		buf_put_u64(&s->line, s->uid ? e.uid : g->hits.seqs[i]);
		if (e.modseq > modseq)
			modseq = e.modseq;
		if (s->line.n > 32768) {
			imap_write_buf(s, &s->line);
			buf_reset(&s->line);
		}
	}
	if (g->p.by_modseq && g->hits.n > 0)
		buf_printf(&s->line, " (MODSEQ %" PRIu64 ")", modseq);
	buf_put(&s->line, SLICE("\r\n"));
	imap_write_buf(s, &s->line);
}

/* Finds the messages and what is needed of them, then runs the job with them. */
static int
find_and_work(struct imap_session *s, struct sorting *g, int (*job)(void *arg))
{
	int err = imap_search_run(s, s->view, &g->p, false, &g->hits);

	if (err != 0)
		return err;
	g->d = arena_array(g->a, g->hits.n, sizeof(*g->d));
	if (g->d == NULL)
		return ERR_LIMIT;
	err = imap_digest_collect(s, s->view, &g->hits, g->want, s->uid, g->a, g->d);
	return err != 0 ? err : work_run(s->c->workers, job, g);
}

static void
sort(struct imap_session *s, struct sorting *g, struct slice program)
{
	int err = find_and_work(s, g, sort_job);

	if (err == 0 && store_view_gone(s->view))
		err = ERR_NOTFOUND;
	if (err == 0 && (g->r.options & IMAP_RETURN_SAVE))
		err = imap_search_save(s, &g->r, &g->hits);
	if (err != 0) {
		if (g->r.options & IMAP_RETURN_SAVE)
			imap_forget_result(s);
		imap_no_err(s, err);
		return;
	}
	if (g->r.options & IMAP_RETURN_UPDATE)
		imap_context_add(s, program, g->r.fetch, true, &g->p, &g->hits);
	if (!g->r.given)
		tell_sort(s, g);
	else if (g->r.options != IMAP_RETURN_SAVE)
		imap_tell_esearch(s, s->view, &g->p, &g->r, &g->hits, s->uid, NULL);
	imap_ok_limited(s, g->hits.limited, "");
}

void
imap_do_sort(struct imap_session *s, struct imap_lex *x)
{
	struct sorting *g = ARENA_NEW(&s->arena, struct sorting);
	struct arena ARENA_CLEANUP a;
	struct slice program;

	arena_init(&a, IMAP_DIGEST_BYTES_MAX);
	if (g == NULL) {
		imap_no_err(s, ERR_LIMIT);
		return;
	}
	g->a = &a;
	imap_lex_space(x);
	imap_parse_return(x, s->limits, &g->r);
	program = cursor_rest(&x->c);
	parse_criteria(x, g);
	if (parse_keys(s, x, g))
		sort(s, g, program);
}

/* ---- again, for contexts ---- */

void
imap_parse_sort_search(struct imap_lex *x, const struct limits *l, struct imap_search *out)
{
	struct sorting g = {.n = 0};

	parse_criteria(x, &g);
	*out = (struct imap_search){0};
	parse_program(x, l, out);
}

int
imap_sort_again(struct imap_session *s, struct slice arguments, struct imap_hits *out)
{
	struct imap_lex x = imap_lex_of(arguments, &s->arena, s->limits->imap_nesting);
	struct sorting *g = ARENA_NEW(&s->arena, struct sorting);
	struct arena ARENA_CLEANUP a;
	int err;

	arena_init(&a, IMAP_DIGEST_BYTES_MAX);
	if (g == NULL)
		return ERR_LIMIT;
	g->a = &a;
	parse_criteria(&x, g);
	parse_program(&x, s->limits, &g->p);
	if (imap_lex_failed(&x))
		return ERR_SYNTAX;
	err = imap_search_ready(s, &g->p);
	if (err == 0)
		err = find_and_work(s, g, sort_job);
	*out = g->hits;
	return err;
}

/* ---- THREAD ---- */

static int
thread_job(void *arg)
{
	struct sorting *g = arg;

	return imap_thread(g->algorithm, g->d, g->hits.n, g->key, g->a, g->out);
}

static void
thread(struct imap_session *s, struct sorting *g)
{
	struct buf BUF_CLEANUP out;
	int err;

	buf_init(&out, IMAP_RESPONSE_BYTES_MAX);
	g->out = &out;
	g->key = house_random_u64(s->c->house);
	g->want = IMAP_DIGEST_DATE | 1u << IMAP_DIGEST_SUBJECT;
	if (g->algorithm == IMAP_THREAD_REFERENCES)
		g->want |= IMAP_DIGEST_REFERENCES;
	err = find_and_work(s, g, thread_job);
	if (err != 0) {
		imap_no_err(s, err);
		return;
	}
	imap_write(s, out.n > 0 ? SLICE("* THREAD ") : SLICE("* THREAD"));
	imap_write_buf(s, &out);
	imap_write(s, SLICE("\r\n"));
	imap_ok_limited(s, g->hits.limited, "");
}

void
imap_do_thread(struct imap_session *s, struct imap_lex *x)
{
	struct sorting *g = ARENA_NEW(&s->arena, struct sorting);
	struct arena ARENA_CLEANUP a;
	struct slice name;

	arena_init(&a, IMAP_DIGEST_BYTES_MAX);
	if (g == NULL) {
		imap_no_err(s, ERR_LIMIT);
		return;
	}
	g->a = &a;
	imap_lex_space(x);
	name = imap_lex_atom(x);
	g->algorithm = slice_ieq(name, SLICE("REFERENCES")) ? IMAP_THREAD_REFERENCES : IMAP_THREAD_ORDEREDSUBJECT;
	if (!slice_ieq(name, SLICE("REFERENCES")) && !slice_ieq(name, SLICE("ORDEREDSUBJECT")))
		imap_lex_fail(x, "no such threading algorithm");
	if (parse_keys(s, x, g))
		thread(s, g);
}
