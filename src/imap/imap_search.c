/* imap_search.c: SEARCH (RFC 3501 §6.4.4, RFC 9051 §6.4.4) and its answers. */
#include "imap/imap_context.h"
#include "imap/imap_search.h"

#include <inttypes.h>

/* "* SEARCH 2 5 (MODSEQ 7)" */
static void
tell_search(struct imap_session *s, const struct imap_search *p, const struct imap_hits *h)
{
	uint64_t modseq = 0;

	buf_reset(&s->line);
	buf_put(&s->line, SLICE("* SEARCH"));
	for (size_t i = 0; i < h->n && !s->ended; i++) {
		struct store_entry e = store_view_at(s->view, h->seqs[i]);

		buf_put_u8(&s->line, ' ');
		buf_put_u64(&s->line, s->uid ? e.uid : h->seqs[i]);
		if (e.modseq > modseq)
			modseq = e.modseq;
		if (s->line.n > 32768) {
			imap_write_buf(s, &s->line);
			buf_reset(&s->line);
		}
	}
	if (p->by_modseq && h->n > 0)
		buf_printf(&s->line, " (MODSEQ %" PRIu64 ")", modseq);
	buf_put(&s->line, SLICE("\r\n"));
	imap_write_buf(s, &s->line);
}

/* RFC 5182 §2.1: a search that fails leaves nothing saved. */
static void
forget(struct imap_session *s, const struct imap_return *r)
{
	if (r->options & IMAP_RETURN_SAVE)
		imap_forget_result(s);
}

static void
answer(struct imap_session *s, const struct imap_search *p, struct imap_return *r, const struct imap_hits *h)
{
	int err = (r->options & IMAP_RETURN_SAVE) ? imap_search_save(s, r, h) : 0;

	if (err != 0) {
		imap_no_err(s, err);
		return;
	}
	if (!r->given && imap_is_on(s, IMAP_ON_REV2)) {
		r->given = true;
		r->options = IMAP_RETURN_ALL;
	}
	if (!r->given)
		tell_search(s, p, h);
	else if (r->options != IMAP_RETURN_SAVE)
		imap_tell_esearch(s, s->view, p, r, h, s->uid, NULL);
	imap_ok_limited(s, h->limited, "");
}

void
imap_do_search(struct imap_session *s, struct imap_lex *x)
{
	struct imap_search *p = ARENA_NEW(&s->arena, struct imap_search);
	struct imap_return r;
	struct imap_hits h;
	struct slice program;
	bool first_only;
	int err;

	if (p == NULL) {
		imap_no_err(s, ERR_LIMIT);
		return;
	}
	imap_lex_space(x);
	imap_parse_return(x, s->limits, &r);
	program = cursor_rest(&x->c);
	imap_parse_search(x, s->limits, p);
	if ((r.options & IMAP_RETURN_UPDATE) && imap_context_has_tag(s))
		imap_lex_fail(x, "that tag is of a search that is being updated");
	if ((r.options & IMAP_RETURN_RELEVANCY) && !p->fuzzy)
		imap_lex_fail(x, "RELEVANCY without FUZZY");
	if (p->charset.n > 0 && imap_is_on(s, IMAP_ON_UTF8))
		imap_lex_fail(x, "no CHARSET once UTF8=ACCEPT is enabled: strings are UTF-8");
	if (p->by_number && imap_is_on(s, IMAP_ON_UIDONLY))
		imap_lex_fail(x, "[UIDREQUIRED] sequence numbers are not allowed once UIDONLY is enabled");
	if (imap_bad_syntax(s, x))
		return;
	if (p->by_modseq)
		imap_condstore_on(s);
	if (imap_search_prepare(s, p) != 0) {
		forget(s, &r);
		return;
	}
	first_only = (r.options & ~(unsigned)(IMAP_RETURN_SAVE | IMAP_RETURN_CONTEXT)) == IMAP_RETURN_MIN;
	err = imap_search_run(s, s->view, p, first_only, &h);
	if (err == 0) {
		if (r.options & IMAP_RETURN_UPDATE)
			imap_context_add(s, program, r.fetch, false, p, &h);
		answer(s, p, &r, &h);
		return;
	}
	forget(s, &r);
	imap_no_err(s, err);
}
