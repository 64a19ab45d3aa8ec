/* imap_change.c: commands that change messages where they are: STORE, EXPUNGE, and the sets of messages that commands name. */
#include "imap/imap_place.h"

#include <inttypes.h>

#define STORE_BATCH 4096u

/* ---- sets ---- */

/* "$": the UIDs that the last search saved (RFC 5182 §2.1). */
static void
take_saved(struct imap_session *s, struct imap_lex *x, struct imap_iter *it)
{
	it->uid = true;
	it->set.v = ARENA_ARRAY(x->arena, struct imap_range, s->saved.n);
	if (it->set.v == NULL) {
		imap_lex_fail(x, "the command is too large");
		return;
	}
	it->set.n = s->saved.n;
	if (s->saved.n > 0)
		memcpy(it->set.v, s->saved.v, s->saved.n * sizeof(*s->saved.v));
}

void
imap_lex_messages(struct imap_session *s, struct imap_lex *x, struct imap_iter *it)
{
	size_t count = store_view_count(s->view);
	uint32_t max = (uint32_t)count;

	*it = (struct imap_iter){.uid = s->uid, .left = SIZE_MAX};
	imap_lex_space(x);
	if (imap_lex_accept(x, '$')) {
		take_saved(s, x, it);
		return;
	}
	it->set = imap_lex_sequence(x);
	if (imap_lex_failed(x))
		return;
	if (!s->uid && imap_sequence_beyond(&it->set, max)) {
		imap_lex_fail(x, "no such message");
		return;
	}
	if (s->uid)
		max = count == 0 ? 0 : store_view_at(s->view, count).uid;
	imap_sequence_resolve(&it->set, max);
}

static size_t
next_by_uid(struct imap_session *s, struct imap_iter *it)
{
	size_t count = store_view_count(s->view);

	for (; it->range < it->set.n; it->range++, it->seq = 0) {
		struct imap_range r = it->set.v[it->range];

		it->seq = it->seq == 0 ? store_view_seq_from(s->view, r.lo) : it->seq + 1;
		if (it->seq > count)
			return 0;
		if (store_view_at(s->view, it->seq).uid <= r.hi)
			return it->seq;
	}
	return 0;
}

static size_t
next_of_set(struct imap_session *s, struct imap_iter *it)
{
	if (it->uid)
		return next_by_uid(s, it);
	return imap_sequence_next(&it->set, &it->walk, (uint32_t)store_view_count(s->view));
}

size_t
imap_iter_next(struct imap_session *s, struct imap_iter *it)
{
	size_t seq;

	while ((seq = next_of_set(s, it)) != 0) {
		if (it->skip > 0) {
			it->skip--;
			continue;
		}
		if (it->left == 0)
			return 0;
		it->left--;
		if (it->changed_since == 0 || store_view_at(s->view, seq).modseq > it->changed_since)
			return seq;
	}
	return 0;
}

static size_t
count_of_set(struct imap_session *s, const struct imap_iter *it)
{
	struct imap_iter count = *it;
	size_t n = 0;

	while (next_of_set(s, &count) != 0)
		n++;
	return n;
}

void
imap_iter_partial(struct imap_session *s, struct imap_iter *it, const struct imap_partial *p)
{
	size_t n = p->from_end ? count_of_set(s, it) : 0;

	if (!p->from_end) {
		it->skip = p->lo - 1;
		it->left = (size_t)p->hi - p->lo + 1;
	} else if (p->lo > n) {
		it->left = 0;
	} else {
		it->skip = p->hi < n ? n - p->hi : 0;
		it->left = n - it->skip - (p->lo - 1);
	}
}

uint32_t
imap_iter_limit(struct imap_session *s, struct imap_iter *it)
{
	size_t max = (size_t)s->limits->imap_messages, n;
	struct imap_iter first;

	if (store_view_count(s->view) <= max || (n = count_of_set(s, it)) <= max)
		return 0;
	it->skip = n - max;
	first = *it;
	return store_view_at(s->view, imap_iter_next(s, &first)).uid;
}

int
imap_iter_uids(struct imap_session *s, struct imap_iter *it, uint32_t **uids, size_t *n)
{
	struct imap_iter count = *it;
	size_t total = 0, seq;

	while (imap_iter_next(s, &count) != 0)
		total++;
	*n = 0;
	*uids = ARENA_ARRAY(&s->arena, uint32_t, total);
	if (*uids == NULL)
		return ERR_LIMIT;
	while ((seq = imap_iter_next(s, it)) != 0)
		(*uids)[(*n)++] = store_view_at(s->view, seq).uid;
	ASSERT(*n == total);
	return 0;
}

/* ---- STORE ---- */

struct storing {
	struct imap_session *s;
	struct store_flag_change c;
	bool silent, conditional;
	bool gone;           /* some of the messages no longer exist */
	uint32_t *conflicts; /* UIDs, ascending */
	size_t conflicts_n, conflicts_cap;
};

/* "(UNCHANGEDSINCE n) " (RFC 7162 §3.1.3) */
static void
parse_modifiers(struct imap_lex *x, struct storing *g)
{
	g->c.unchanged_since = UINT64_MAX;
	if (!imap_lex_accept(x, '('))
		return;
	do {
		if (!slice_ieq(imap_lex_atom(x), SLICE("UNCHANGEDSINCE")))
			imap_lex_fail(x, "no such STORE modifier");
		imap_lex_space(x);
		g->c.unchanged_since = imap_lex_number64(x);
		g->conditional = true;
	} while (!imap_lex_failed(x) && imap_lex_accept(x, ' '));
	imap_lex_expect(x, ')');
	imap_lex_space(x);
}

static void
parse_store(struct imap_session *s, struct imap_lex *x, struct storing *g)
{
	struct imap_flags flags;

	imap_lex_space(x);
	parse_modifiers(x, g);
	g->c.op = imap_lex_accept(x, '+') ? STORE_FLAGS_ADD
	    : imap_lex_accept(x, '-')     ? STORE_FLAGS_REMOVE
					  : STORE_FLAGS_REPLACE;
	if (!cursor_iaccept(&x->c, SLICE("FLAGS")))
		imap_lex_fail(x, "expected FLAGS, +FLAGS or -FLAGS");
	g->silent = cursor_iaccept(&x->c, SLICE(".SILENT"));
	imap_lex_space(x);
	imap_parse_flags(x, s->limits, true, &flags);
	imap_lex_end(x);
	g->c.flags = flags.flags;
	g->c.keywords = flags.keywords;
}

static int
note_conflicts(struct storing *g, const uint32_t *uids, const bool *conflicts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!conflicts[i])
			continue;
		g->conflicts = arena_grow(&g->s->arena, g->conflicts, g->conflicts_n, &g->conflicts_cap,
		    sizeof(*g->conflicts), SIZE_MAX / sizeof(*g->conflicts));
		if (g->conflicts == NULL)
			return ERR_LIMIT;
		g->conflicts[g->conflicts_n++] = uids[i];
	}
	return 0;
}

/* In batches, so that "STORE 1:*" of a large mailbox takes little memory. */
static int
change_flags(struct storing *g, struct imap_iter it)
{
	struct imap_session *s = g->s;
	uint32_t *uids = ARENA_ARRAY(&s->arena, uint32_t, STORE_BATCH);
	bool *conflicts = ARENA_ARRAY(&s->arena, bool, STORE_BATCH);
	size_t seq = 1, n;

	if (uids == NULL || conflicts == NULL)
		return ERR_LIMIT;
	while (seq != 0) {
		int err;

		for (n = 0; n < STORE_BATCH && (seq = imap_iter_next(s, &it)) != 0;) {
			struct store_entry e = store_view_at(s->view, seq);

			g->gone |= e.expunged;
			uids[n++] = e.uid;
		}
		if (n == 0)
			break;
		err = store_flags(s->view, uids, n, &g->c, g->conditional ? conflicts : NULL);
		if (err == 0 && g->conditional)
			err = note_conflicts(g, uids, conflicts, n);
		if (err != 0)
			return err;
	}
	return 0;
}

/* The flags as they are now, or with .SILENT what has to be told even so: modseqs (RFC 7162 §3.1.3). */
static void
tell_stored(struct storing *g, struct imap_iter *it)
{
	struct imap_session *s = g->s;
	size_t seq, at = 0;

	if (g->silent && !imap_is_on(s, IMAP_ON_CONDSTORE))
		return;
	while (!s->ended && !store_view_gone(s->view) && (seq = imap_iter_next(s, it)) != 0) {
		struct store_entry e = store_view_at(s->view, seq);

		if (at < g->conflicts_n && g->conflicts[at] == e.uid)
			at++;
		else if (!e.expunged)
			imap_tell_flags(s, seq, !g->silent);
	}
}

/* "[MODIFIED 7,9]": by number or UID as the command was (RFC 7162 §3.1.3). */
static const char *
modified_code(struct storing *g)
{
	struct imap_session *s = g->s;
	struct slice code;

	if (g->conflicts_n == 0)
		return "";
	for (size_t i = 0; i < g->conflicts_n && !s->uid; i++)
		g->conflicts[i] = (uint32_t)store_view_seq(s->view, g->conflicts[i]);
	buf_reset(&s->line);
	buf_put(&s->line, SLICE("[MODIFIED "));
	imap_sequence_print(&s->line, g->conflicts, g->conflicts_n);
	buf_put_u8(&s->line, ']');
	code = s->line.err != 0 ? SLICE("") : buf_slice(&s->line);
	return arena_z(&s->arena, code);
}

/* Flags without a right to them stay as they are; when it is none of those that were named, NO is said (RFC 4314 §4). */
static bool
permit(struct storing *g)
{
	struct store_filter may = imap_filter_of(g->s->rights);
	bool all = g->c.op == STORE_FLAGS_REPLACE && g->c.flags == 0 && g->c.keywords.n == 0;
	bool any = all ? may.flags != 0 : (g->c.flags & may.flags) != 0 || (may.keywords && g->c.keywords.n > 0);

	if (!any && (g->c.flags != 0 || g->c.keywords.n > 0 || all))
		return imap_view_allows(g->s, STORE_RIGHTS_ALL);
	g->c.flags &= may.flags;
	if (!may.keywords)
		g->c.keywords = (struct slice_list){NULL, 0};
	if (g->c.op == STORE_FLAGS_REPLACE) {
		g->c.kept_flags = STORE_FLAGS_ALL & (uint8_t)~may.flags;
		g->c.kept_keywords = !may.keywords;
	}
	return true;
}

void
imap_do_store(struct imap_session *s, struct imap_lex *x)
{
	struct storing g = {.s = s};
	struct imap_iter it;
	const char *code;
	uint32_t lowest;
	int err;

	imap_lex_messages(s, x, &it);
	parse_store(s, x, &g);
	if (imap_bad_syntax(s, x))
		return;
	if (!permit(&g))
		return;
	if (g.conditional)
		imap_condstore_on(s);
	lowest = imap_iter_limit(s, &it);
	err = change_flags(&g, it);
	if (err != 0) {
		imap_no_err(s, err);
		return;
	}
	/* The view takes the changes in as news; without expunges sequence numbers stay. */
	imap_tell_news(s, false);
	tell_stored(&g, &it);
	code = modified_code(&g);
	if (g.gone)
		imap_no(
		    s, code == NULL || code[0] == 0 ? "[EXPUNGEISSUED]" : code, "some of the messages no longer exist");
	else
		imap_ok_limited(s, lowest, code == NULL ? "" : code);
}

/* ---- EXPUNGE ---- */

const char *
imap_modseq_code(struct imap_session *s, char code[64])
{
	code[0] = 0;
	if (!imap_is_on(s, IMAP_ON_QRESYNC))
		return code;
	imap_tell_news(s, true);
	if (s->view != NULL && !store_view_gone(s->view) && !store_view_has_news(s->view))
		(void)snprintf(code, 64, "[HIGHESTMODSEQ %" PRIu64 "]", store_view_highestmodseq(s->view));
	return code;
}

void
imap_do_expunge(struct imap_session *s, struct imap_lex *x)
{
	struct imap_iter it;
	uint32_t *uids = NULL;
	uint32_t lowest = 0;
	char code[64];
	size_t n = 0;
	int err = 0;

	if (s->uid)
		imap_lex_messages(s, x, &it);
	imap_lex_end(x);
	if (imap_bad_syntax(s, x))
		return;
	if (store_view_read_only(s->view)) {
		imap_no(s, "[READ-ONLY]", "the mailbox is open for reading only");
		return;
	}
	if (!imap_view_allows(s, STORE_RIGHT_EXPUNGE))
		return;
	if (s->uid) {
		lowest = imap_iter_limit(s, &it);
		err = imap_iter_uids(s, &it, &uids, &n);
	}
	if (err == 0 && !(s->uid && n == 0))
		err = store_expunge(s->view, uids, n, true);
	if (err != 0)
		imap_no_err(s, err);
	else
		imap_ok_limited(s, lowest, imap_modseq_code(s, code));
}
