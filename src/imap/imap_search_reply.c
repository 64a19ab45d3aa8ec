/* imap_search_reply.c: what is told of, and kept from, the messages that a search found: ESEARCH responses (RFC 4731, 5267,
 * 9394, 6203, 7162), "$" (RFC 5182), and progress meanwhile (RFC 9585). */
#include "imap/imap_search.h"

#include <inttypes.h>

/* ---- ESEARCH ---- */

static uint32_t
number_of(const struct store_view *v, uint32_t seq, bool uid)
{
	return uid ? store_view_at(v, seq).uid : seq;
}

/* Appends hits from..from+n-1 as a set in their order. */
static void
put_set(struct buf *out, const struct store_view *v, const struct imap_hits *h, size_t from, size_t n, bool uid)
{
	uint32_t part[512];

	for (size_t i = 0; i < n;) {
		size_t k = 0;

		if (i > 0)
			buf_put_u8(out, ',');
		for (; k < COUNT_OF(part) && i < n; k++, i++)
			part[k] = number_of(v, h->seqs[from + i], uid);
		imap_sequence_print(out, part, k);
	}
}

/* Which of `n` results a PARTIAL range names: `*from` and how many, maybe none. */
static size_t
partial_of(const struct imap_partial *p, size_t n, size_t *from)
{
	size_t lo = p->lo, hi = p->hi < n ? p->hi : n;

	*from = 0;
	if (lo > n)
		return 0;
	*from = p->from_end ? n - hi : lo - 1;
	return hi - lo + 1;
}

static void
put_partial(
    struct buf *out, const struct store_view *v, const struct imap_partial *p, const struct imap_hits *h, bool uid)
{
	const char *minus = p->from_end ? "-" : "";
	size_t from, n = partial_of(p, h->n, &from);

	buf_printf(out, " PARTIAL (%s%u:%s%u ", minus, p->lo, minus, p->hi);
	if (n == 0)
		buf_put(out, SLICE("NIL"));
	else
		put_set(out, v, h, from, n, uid);
	buf_put_u8(out, ')');
}

/* The lowest and the highest; of sorted hits the first and the last (RFC 5267 §3.1). */
static void
extremes(const struct imap_hits *h, uint32_t *min, uint32_t *max)
{
	*min = h->n == 0 ? 0 : h->seqs[0];
	*max = h->n == 0 ? 0 : h->seqs[h->n - 1];
}

/* RFC 4731 §3.2: the highest of those that are told. */
static uint64_t
modseq_of(
    const struct store_view *v, const struct imap_return *r, const struct imap_hits *h, uint32_t min, uint32_t max)
{
	uint64_t top = 0, m;

	if ((r->options & (IMAP_RETURN_ALL | IMAP_RETURN_COUNT | IMAP_RETURN_PARTIAL)) == 0) {
		if (r->options & IMAP_RETURN_MIN)
			top = store_view_at(v, min).modseq;
		if ((r->options & IMAP_RETURN_MAX) && (m = store_view_at(v, max).modseq) > top)
			top = m;
		return top;
	}
	for (size_t i = 0; i < h->n; i++)
		if ((m = store_view_at(v, h->seqs[i]).modseq) > top)
			top = m;
	return top;
}

static void
put_found(struct buf *out, struct store_view *v, const struct imap_search *p, const struct imap_return *r,
    const struct imap_hits *h, bool uid)
{
	uint32_t min, max;

	extremes(h, &min, &max);
	if (r->options & IMAP_RETURN_MIN)
		buf_printf(out, " MIN %u", number_of(v, min, uid));
	if (r->options & IMAP_RETURN_MAX)
		buf_printf(out, " MAX %u", number_of(v, max, uid));
	if (r->options & IMAP_RETURN_ALL) {
		buf_put(out, SLICE(" ALL "));
		put_set(out, v, h, 0, h->n, uid);
	}
	if ((r->options & IMAP_RETURN_RELEVANCY) && h->scores != NULL) {
		size_t from = 0, n = r->partial.given ? partial_of(&r->partial, h->n, &from) : h->n;

		buf_put(out, SLICE(" RELEVANCY ("));
		for (size_t i = 0; i < n; i++)
			buf_printf(out, "%s%u", i > 0 ? " " : "", h->scores[from + i]);
		buf_put_u8(out, ')');
	}
	if (p->by_modseq)
		buf_printf(out, " MODSEQ %" PRIu64, modseq_of(v, r, h, min, max));
}

void
imap_tell_esearch(struct imap_session *s, struct store_view *v, const struct imap_search *p,
    const struct imap_return *r, const struct imap_hits *h, bool uid, const struct imap_search_source *source)
{
	struct buf BUF_CLEANUP out;

	buf_init(&out, IMAP_RESPONSE_BYTES_MAX);
	buf_put(&out, SLICE("* ESEARCH (TAG "));
	imap_put_string(&out, s->tag);
	if (source != NULL) {
		buf_put(&out, SLICE(" MAILBOX "));
		imap_put_mailbox(&out, source->mailbox, imap_utf8_names(s));
		buf_printf(&out, " UIDVALIDITY %u", source->uidvalidity);
	}
	buf_put(&out, uid ? SLICE(") UID") : SLICE(")"));
	if (r->options & IMAP_RETURN_COUNT)
		buf_printf(&out, " COUNT %zu", h->n);
	if (h->n > 0)
		put_found(&out, v, p, r, h, uid);
	if (r->partial.given)
		put_partial(&out, v, &r->partial, h, uid);
	buf_put(&out, SLICE("\r\n"));
	imap_write_buf(s, &out);
}

/* ---- "$" ---- */

void
imap_forget_result(struct imap_session *s)
{
	free(s->saved.v);
	s->saved = (struct imap_sequence){NULL, 0};
}

int
imap_save_result(struct imap_session *s, const struct imap_sequence *uids)
{
	struct imap_range *v = NULL;

	if (uids->n > 0) {
		v = malloc(uids->n * sizeof(*v));
		if (v == NULL)
			return ERR_NOMEM;
		memcpy(v, uids->v, uids->n * sizeof(*v));
	}
	imap_forget_result(s);
	s->saved = (struct imap_sequence){v, uids->n};
	return 0;
}

/* Which hits the options save (RFC 5182 §2.1, RFC 9394 §3.2 table 1): bounds among the hits, in the view's order. */
int
imap_search_save(struct imap_session *s, const struct imap_return *r, const struct imap_hits *h)
{
	bool all = (r->options & (IMAP_RETURN_ALL | IMAP_RETURN_COUNT)) != 0 ||
	    (r->options & (IMAP_RETURN_MIN | IMAP_RETURN_MAX | IMAP_RETURN_PARTIAL)) == 0;
	struct imap_sequence set = {ARENA_ARRAY(&s->arena, struct imap_range, h->n), 0};
	size_t from = 0, n = r->partial.given ? partial_of(&r->partial, h->n, &from) : 0;
	uint32_t min, max;

	if (set.v == NULL)
		return ERR_LIMIT;
	extremes(h, &min, &max);
	for (size_t i = 0; i < h->n; i++) {
		uint32_t uid;

		if (!all && !(i >= from && i < from + n) && !((r->options & IMAP_RETURN_MIN) && h->seqs[i] == min) &&
		    !((r->options & IMAP_RETURN_MAX) && h->seqs[i] == max))
			continue;
		uid = store_view_at(s->view, h->seqs[i]).uid;
		if (set.n > 0 && set.v[set.n - 1].hi + 1 == uid)
			set.v[set.n - 1].hi = uid;
		else
			set.v[set.n++] = (struct imap_range){uid, uid};
	}
	/* Sorted hits are not in order. */
	imap_sequence_resolve(&set, UINT32_MAX);
	return imap_save_result(s, &set);
}

/* ---- progress ---- */

void
imap_progress_start(struct imap_session *s, struct imap_progress *g)
{
	g->due_ms = loop_now_ms(s->c->loop) + s->limits->imap_progress_ms;
}

void
imap_progress(struct imap_session *s, struct imap_progress *g, size_t done, size_t all)
{
	if (loop_now_ms(s->c->loop) < g->due_ms || s->ended || done >= all)
		return;
	imap_progress_start(s, g);
	imap_write(s, SLICE("* OK [INPROGRESS ("));
	if (slice_find_byte(s->tag, ']') != SLICE_NONE || s->tag.n == 0)
		imap_write(s, SLICE("NIL"));
	else
		imap_printf(s, "\"%.*s\"", SLICE_ARG(s->tag));
	imap_printf(s, " %zu %zu)] %zu of %zu messages looked at\r\n", done, all, done, all);
	if (stream_flush(s->st) != 0)
		s->ended = true;
}
