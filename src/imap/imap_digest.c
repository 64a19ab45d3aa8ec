/* imap_digest.c: reads the headers of messages in steps on a worker thread and keeps what is asked for. */
#include "imap/imap_digest.h"

#include "message/address.h"
#include "message/date.h"
#include "message/fold.h"
#include "message/threads.h"

#define STEP 2048u
#define SCRATCH_BYTES (32u << 20)

struct collecting {
	const struct limits *l;
	struct arena *a;
	struct arena scratch; /* of the message at hand */
	struct buf folded;
	unsigned want;
	struct imap_digest *d; /* of the step, UIDs in uids[] */
	uint32_t uids[STEP];
	bool hits[STEP];
	size_t n, at;
};

/* ---- on the worker thread ---- */

static int
keep(struct collecting *g, struct slice text, struct slice *out)
{
	buf_reset(&g->folded);
	text_fold(text, &g->folded);
	*out = arena_copy(g->a, buf_slice(&g->folded));
	return g->folded.err != 0 ? g->folded.err : arena_failed(g->a) ? ERR_LIMIT : 0;
}

static struct slice
display_of(struct collecting *g, const struct address *ad)
{
	struct slice name = header_text(&g->scratch, ad->name, CHARSET_THREAD);

	if (name.n > 0)
		return name;
	if (ad->domain.n == 0)
		return ad->local;
	return arena_printf(&g->scratch, "%.*s@%.*s", SLICE_ARG(ad->local), SLICE_ARG(ad->domain));
}

/* The first address of a field, or the name of the group that it begins with (RFC 5256 §3: the addr-mailbox of its envelope form). */
static int
keep_address(
    struct collecting *g, const struct header *h, struct slice field, struct slice *mailbox, struct slice *display)
{
	const struct header_field *f = header_find(h, field);
	struct address_list list = {0};
	int err = 0;

	if (f == NULL || (address_parse(&g->scratch, f->value, 2, &list) != 0 && list.n == 0) || list.n == 0)
		return 0;
	if (mailbox != NULL)
		err = keep(g, list.v[0].kind == ADDRESS_MAILBOX ? list.v[0].local : list.v[0].name, mailbox);
	if (err == 0 && display != NULL)
		err = keep(g, list.v[0].kind == ADDRESS_MAILBOX ? display_of(g, &list.v[0]) : list.v[0].name, display);
	return err;
}

static int
keep_addresses(struct collecting *g, const struct header *h, struct imap_digest *d)
{
	static const struct {
		struct slice field;
		enum imap_digest_text mailbox;
		unsigned display; /* IMAP_DIGEST_TEXTS: none */
	} rows[] = {
	    {SLICE_INIT("Cc"), IMAP_DIGEST_CC, IMAP_DIGEST_TEXTS},
	    {SLICE_INIT("From"), IMAP_DIGEST_FROM, IMAP_DIGEST_DISPLAYFROM},
	    {SLICE_INIT("To"), IMAP_DIGEST_TO, IMAP_DIGEST_DISPLAYTO},
	};
	int err = 0;

	for (size_t i = 0; i < COUNT_OF(rows) && err == 0; i++) {
		bool mailbox = (g->want >> rows[i].mailbox & 1) != 0;
		bool display = rows[i].display < IMAP_DIGEST_TEXTS && (g->want >> rows[i].display & 1) != 0;

		if (mailbox || display)
			err = keep_address(g, h, rows[i].field, mailbox ? &d->text[rows[i].mailbox] : NULL,
			    display ? &d->text[rows[i].display] : NULL);
	}
	return err;
}

static int
keep_references(struct collecting *g, const struct message_thread *t, struct imap_digest *d)
{
	struct slice *v = ARENA_ARRAY(g->a, struct slice, t->chain.n);

	d->message_id = arena_copy(g->a, t->message_id);
	for (size_t i = 0; i < t->chain.n && v != NULL; i++)
		v[i] = arena_copy(g->a, t->chain.v[i]);
	d->references = (struct slice_list){v, t->chain.n};
	return arena_failed(g->a) ? ERR_LIMIT : 0;
}

static int
digest(struct collecting *g, struct slice raw, struct imap_digest *d)
{
	struct header h;
	struct message_date date;
	struct message_thread t;
	const struct header_field *f;
	int err = header_parse(&g->scratch, raw, g->l, &h);

	if (err == 0 && (g->want & IMAP_DIGEST_DATE) && (f = header_find(&h, SLICE("Date"))) != NULL &&
	    date_parse(f->value, &date) == 0)
		d->date_s = date.epoch_s;
	if (err == 0)
		err = keep_addresses(g, &h, d);
	if (err != 0 || (g->want & (IMAP_DIGEST_REFERENCES | 1u << IMAP_DIGEST_SUBJECT)) == 0)
		return err;
	err = message_thread_parse(&g->scratch, &h, CHARSET_THREAD, &t);
	if (err == 0 && (g->want >> IMAP_DIGEST_SUBJECT & 1) != 0)
		err = keep(g, t.base_subject, &d->text[IMAP_DIGEST_SUBJECT]);
	d->is_reply = t.is_reply;
	if (err == 0 && (g->want & IMAP_DIGEST_REFERENCES))
		err = keep_references(g, &t, d);
	return err;
}

/* Candidates come in the order of the UIDs; those that are gone do not come. */
static int
match(void *arg, const struct store_candidate *c)
{
	struct collecting *g = arg;
	int err;

	while (g->at < g->n && g->uids[g->at] < c->uid)
		g->at++;
	if (g->at == g->n || g->uids[g->at] != c->uid)
		return 0;
	arena_reset(&g->scratch);
	err = digest(g, c->raw, &g->d[g->at]);
	/* A header that needs more than that is sorted by what was found of it. */
	if (arena_failed(&g->scratch) && !arena_failed(g->a)) {
		g->scratch.failed = false;
		err = 0;
	}
	return err;
}

/* ---- on the fiber ---- */

static int
collect(struct imap_session *s, struct store_view *v, struct collecting *g, struct imap_digest *d, size_t n)
{
	struct imap_progress progress;

	imap_progress_start(s, &progress);
	for (size_t from = 0; from < n && !s->ended; from += g->n) {
		int err;

		g->n = n - from < STEP ? n - from : STEP;
		g->at = 0;
		g->d = d + from;
		for (size_t i = 0; i < g->n; i++)
			g->uids[i] = store_view_at(v, g->d[i].seq).uid;
		err = store_search(v, g->uids, g->n, true, match, g, g->hits);
		if (err != 0)
			return err;
		if (store_view_gone(v))
			return ERR_NOTFOUND;
		imap_progress(s, &progress, from + g->n, n);
	}
	return 0;
}

int
imap_digest_collect(struct imap_session *s, struct store_view *v, const struct imap_hits *h, unsigned want, bool uid,
    struct arena *a, struct imap_digest *d)
{
	struct collecting *g;
	int err;

	for (size_t i = 0; i < h->n; i++) {
		struct store_entry e = store_view_at(v, h->seqs[i]);

		d[i] = (struct imap_digest){.seq = h->seqs[i],
		    .size = e.size,
		    .number = uid ? e.uid : h->seqs[i],
		    .score = h->scores == NULL ? 0 : h->scores[i],
		    .arrival_s = e.internal_s,
		    .date_s = e.internal_s};
	}
	if (want == 0)
		return 0;
	g = ARENA_NEW(&s->arena, struct collecting);
	if (g == NULL)
		return ERR_LIMIT;
	g->l = s->limits;
	g->a = a;
	g->want = want;
	arena_init(&g->scratch, SCRATCH_BYTES);
	buf_init(&g->folded, SCRATCH_BYTES);
	err = collect(s, v, g, d, h->n);
	arena_free(&g->scratch);
	buf_free(&g->folded);
	return err;
}
