/* imap_select.c: SELECT and EXAMINE (RFC 3501 §6.3.1, RFC 9051 §6.3.2) with CONDSTORE and QRESYNC (RFC 7162), and what is told
 * of messages that vanished before. */
#include "imap/imap_notify.h"
#include "imap/imap_place.h"

#include <inttypes.h>

/* A VANISHED response is cut after so many UIDs. */
#define VANISHED_STEP 4096u

struct select {
	struct slice name;
	bool condstore, qresync;
	uint32_t uidvalidity; /* of QRESYNC: what the client knows */
	uint64_t modseq;
	bool some; /* only these UIDs are known to it */
	struct imap_sequence known;
	struct imap_range all; /* what is known when nothing was said */
};

/* ---- arguments ---- */

/* known-sequence-set SP known-uid-set: without "*"; the same in number (RFC 7162 §3.2.5.2). */
static void
parse_match_data(struct imap_session *s, struct imap_lex *x)
{
	struct imap_sequence seqs, uids;
	uint64_t n_seqs = 0, n_uids = 0;

	imap_lex_expect(x, '(');
	seqs = imap_lex_sequence(x);
	imap_lex_space(x);
	uids = imap_lex_sequence(x);
	imap_lex_expect(x, ')');
	for (size_t i = 0; i < seqs.n; i++)
		n_seqs += (uint64_t)seqs.v[i].hi - seqs.v[i].lo;
	for (size_t i = 0; i < uids.n; i++)
		n_uids += (uint64_t)uids.v[i].hi - uids.v[i].lo;
	if (n_seqs + seqs.n != n_uids + uids.n || imap_sequence_has_star(&seqs) || imap_sequence_has_star(&uids))
		imap_lex_fail(x, "sequence numbers and UIDs do not go together");
	if (imap_is_on(s, IMAP_ON_UIDONLY))
		imap_lex_fail(x, "[UIDREQUIRED] sequence numbers are not allowed once UIDONLY is enabled");
}

/* What expunging left is kept for good, so the sequence match data, a help for servers that forget, is only checked. */
static void
parse_qresync(struct imap_session *s, struct imap_lex *x, struct select *o)
{
	imap_lex_space(x);
	imap_lex_expect(x, '(');
	o->uidvalidity = imap_lex_nz_number(x);
	imap_lex_space(x);
	o->modseq = imap_lex_number64(x);
	if (imap_lex_accept(x, ' ')) {
		if (imap_lex_peek(x) != '(') {
			o->known = imap_lex_sequence(x);
			o->some = true;
			if (imap_sequence_has_star(&o->known))
				imap_lex_fail(x, "\"*\" among the known UIDs");
			if (imap_lex_accept(x, ' '))
				parse_match_data(s, x);
		} else {
			parse_match_data(s, x);
		}
	}
	imap_lex_expect(x, ')');
	if (!imap_is_on(s, IMAP_ON_QRESYNC))
		imap_lex_fail(x, "QRESYNC is not enabled");
	o->qresync = true;
}

static void
parse_select(struct imap_session *s, struct imap_lex *x, struct select *o)
{
	imap_lex_space(x);
	o->name = imap_lex_mailbox(s, x);
	if (imap_lex_accept(x, ' ')) {
		imap_lex_expect(x, '(');
		do {
			struct slice word = imap_lex_atom(x);

			if (slice_ieq(word, SLICE("CONDSTORE")))
				o->condstore = true;
			else if (slice_ieq(word, SLICE("QRESYNC")))
				parse_qresync(s, x, o);
			else
				imap_lex_fail(x, "no such parameter");
		} while (!imap_lex_failed(x) && imap_lex_accept(x, ' '));
		imap_lex_expect(x, ')');
	}
	imap_lex_end(x);
}

/* ---- what happened meanwhile ---- */

static void
tell_line(struct imap_session *s, size_t *pieces)
{
	buf_put(&s->line, SLICE("\r\n"));
	imap_write_buf(s, &s->line);
	buf_reset(&s->line);
	*pieces = 0;
}

/* One range of the answer; lines do not grow for ever. */
static void
put_vanished(struct imap_session *s, uint32_t lo, uint32_t hi, size_t *pieces)
{
	struct buf *b = &s->line;

	if (*pieces == VANISHED_STEP)
		tell_line(s, pieces);
	buf_put(b, *pieces == 0 ? SLICE("* VANISHED (EARLIER) ") : SLICE(","));
	buf_put_u64(b, lo);
	if (hi > lo) {
		buf_put_u8(b, ':');
		buf_put_u64(b, hi);
	}
	++*pieces;
}

int
imap_tell_vanished_earlier(struct imap_session *s, uint64_t modseq, const struct imap_sequence *set)
{
	struct store_uid_range *v;
	size_t n, pieces = 0, at = 0;
	int err = store_vanished(s->view, modseq, &s->arena, &v, &n);

	buf_reset(&s->line);
	for (size_t i = 0; i < n && err == 0 && !s->ended; i++) {
		while (at < set->n && set->v[at].hi < v[i].lo)
			at++;
		for (size_t k = at; k < set->n && set->v[k].lo <= v[i].hi; k++)
			put_vanished(s, set->v[k].lo > v[i].lo ? set->v[k].lo : v[i].lo,
			    set->v[k].hi < v[i].hi ? set->v[k].hi : v[i].hi, &pieces);
	}
	if (pieces > 0)
		tell_line(s, &pieces);
	return err;
}

/* RFC 7162 §3.2.5.1: as UID FETCH known-uids (FLAGS) (CHANGEDSINCE modseq VANISHED). */
static int
tell_changes(struct imap_session *s, struct select *o)
{
	int err;

	if (o->some)
		imap_sequence_resolve(&o->known, store_view_uidnext(s->view) - 1);
	else
		o->known = (struct imap_sequence){&o->all, 1};
	err = imap_tell_vanished_earlier(s, o->modseq, &o->known);
	for (size_t seq = 1; err == 0 && !s->ended && seq <= store_view_count(s->view); seq++) {
		struct store_entry e = store_view_at(s->view, seq);

		if (e.modseq > o->modseq && !e.expunged && imap_sequence_has(&o->known, e.uid))
			imap_tell_flags(s, seq, true);
	}
	return err;
}

/* ---- the answer ---- */

static void
tell_mailbox(struct imap_session *s)
{
	struct buf BUF_CLEANUP out;
	size_t unseen = imap_is_on(s, IMAP_ON_REV2) ? 0 : store_view_first_unseen(s->view);

	imap_tell_flag_names(s);
	imap_printf(s, "* %zu EXISTS\r\n", store_view_count(s->view));
	if (!imap_is_on(s, IMAP_ON_REV2))
		imap_printf(s, "* %zu RECENT\r\n", store_view_recent(s->view));
	/* A sequence number, which UIDONLY has not. */
	if (unseen > 0 && !imap_is_on(s, IMAP_ON_UIDONLY))
		imap_printf(s, "* OK [UNSEEN %zu] The first unseen message\r\n", unseen);
	imap_printf(s, "* OK [UIDVALIDITY %u] UIDs are valid\r\n* OK [UIDNEXT %u] The next UID\r\n",
	    store_view_uidvalidity(s->view), store_view_uidnext(s->view));
	imap_printf(s, "* OK [HIGHESTMODSEQ %" PRIu64 "] The highest modseq\r\n", store_view_highestmodseq(s->view));
	buf_init(&out, ((size_t)s->limits->mailbox_name_bytes + IMAP_OTHER_BYTES) * 8 + 512);
	buf_put(&out, SLICE("* OK [MAILBOXID ("));
	imap_put_object_id(&out, 'F', store_view_object_id(s->view));
	buf_put(&out, SLICE(")] Its identifier\r\n"));
	if (imap_is_on(s, IMAP_ON_REV2)) {
		buf_put(&out, SLICE("* LIST () \"/\" "));
		imap_put_mailbox(&out, imap_view_name(s), imap_utf8_names(s));
		buf_put(&out, SLICE("\r\n"));
	}
	imap_write_buf(s, &out);
}

/* With rights to change nothing that others see, it is open for reading only (RFC 4314 §5.2); all flags are seen by all. */
static int
open_view(struct imap_session *s, struct slice name, bool *read_only)
{
	static const unsigned writing = STORE_RIGHT_INSERT | STORE_RIGHT_EXPUNGE | STORE_RIGHT_SEEN |
	    STORE_RIGHT_WRITE | STORE_RIGHT_DELETED;
	struct imap_place at;
	int err = name.p == NULL ? ERR_NOTFOUND : imap_place_allow(s, name, STORE_RIGHT_READ, &at);

	if (err != 0)
		return err;
	*read_only = *read_only || (at.rights & writing) == 0;
	err = store_view_open(at.account, at.inner, *read_only, &s->view);
	if (err == 0 && !imap_view_entered(s, &at))
		err = ERR_NOMEM;
	if (err != 0)
		imap_deselect(s);
	return err;
}

static void
open_mailbox(struct imap_session *s, struct imap_lex *x, bool read_only)
{
	struct select o = {.all = {1, UINT32_MAX}};
	int err;

	parse_select(s, x, &o);
	if (imap_bad_syntax(s, x))
		return;
	/* RFC 3501 §6.3.1: whatever comes of it, the old mailbox is no longer selected. */
	if (s->view != NULL)
		imap_write(s, SLICE("* OK [CLOSED] The mailbox before is closed\r\n"));
	imap_deselect(s);
	if (o.condstore)
		imap_condstore_on(s);
	err = open_view(s, o.name, &read_only);
	if (err == 0) {
		imap_watch_view(s);
		tell_mailbox(s);
		if (o.qresync && o.uidvalidity == store_view_uidvalidity(s->view))
			err = tell_changes(s, &o);
		if (err != 0)
			imap_deselect(s);
	}
	if (err != 0)
		imap_no_err(s, err);
	else
		imap_ok(s, read_only ? "[READ-ONLY]" : "[READ-WRITE]", "selected");
}

void
imap_do_select(struct imap_session *s, struct imap_lex *x)
{
	open_mailbox(s, x, false);
}

void
imap_do_examine(struct imap_session *s, struct imap_lex *x)
{
	open_mailbox(s, x, true);
}
