/* imap_change.c: commands that change messages: STORE, COPY, MOVE, EXPUNGE, and the sets of messages they name. */
#include "imap/imap_session.h"

#define STORE_BATCH 4096u

/* ---- sets ---- */

void
imap_lex_messages(struct imap_session *s, struct imap_lex *x, struct imap_iter *it)
{
	size_t count = store_view_count(s->view);
	uint32_t max = (uint32_t)count;

	*it = (struct imap_iter){.uid = s->uid};
	imap_lex_space(x);
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

size_t
imap_iter_next(struct imap_session *s, struct imap_iter *it)
{
	if (it->uid)
		return next_by_uid(s, it);
	return imap_sequence_next(&it->set, &it->walk, (uint32_t)store_view_count(s->view));
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

static void
parse_store(struct imap_session *s, struct imap_lex *x, struct store_flag_change *c, bool *silent)
{
	struct imap_flags flags;

	imap_lex_space(x);
	c->op = imap_lex_accept(x, '+') ? STORE_FLAGS_ADD
	    : imap_lex_accept(x, '-')   ? STORE_FLAGS_REMOVE
					: STORE_FLAGS_REPLACE;
	if (!cursor_iaccept(&x->c, SLICE("FLAGS")))
		imap_lex_fail(x, "expected FLAGS, +FLAGS or -FLAGS");
	*silent = cursor_iaccept(&x->c, SLICE(".SILENT"));
	imap_lex_space(x);
	imap_parse_flags(x, s->limits, true, &flags);
	imap_lex_end(x);
	c->flags = flags.flags;
	c->keywords = flags.keywords;
	c->unchanged_since = UINT64_MAX;
}

/* In batches, so that "STORE 1:*" of a large mailbox takes little memory. */
static int
change_flags(struct imap_session *s, struct imap_iter it, const struct store_flag_change *c, bool *gone)
{
	uint32_t *uids = ARENA_ARRAY(&s->arena, uint32_t, STORE_BATCH);
	size_t seq = 1, n;

	if (uids == NULL)
		return ERR_LIMIT;
	while (seq != 0) {
		int err;

		for (n = 0; n < STORE_BATCH && (seq = imap_iter_next(s, &it)) != 0;) {
			struct store_entry e = store_view_at(s->view, seq);

			*gone |= e.expunged;
			uids[n++] = e.uid;
		}
		if (n == 0)
			break;
		err = store_flags(s->view, uids, n, c, NULL);
		if (err != 0)
			return err;
	}
	return 0;
}

void
imap_do_store(struct imap_session *s, struct imap_lex *x)
{
	struct store_flag_change c;
	struct imap_iter it;
	bool silent, gone = false;
	size_t seq;
	int err;

	imap_lex_messages(s, x, &it);
	parse_store(s, x, &c, &silent);
	if (imap_bad_syntax(s, x))
		return;
	err = change_flags(s, it, &c, &gone);
	if (err != 0) {
		imap_no_err(s, err);
		return;
	}
	/* The view takes the changes in as news; without expunges sequence numbers stay. */
	imap_tell_news(s, false);
	while (!silent && !s->ended && (seq = imap_iter_next(s, &it)) != 0)
		if (!store_view_at(s->view, seq).expunged)
			imap_tell_flags(s, seq);
	if (gone)
		imap_no(s, "[EXPUNGEISSUED]", "some of the messages no longer exist");
	else
		imap_ok(s, "", "done");
}

/* ---- COPY and MOVE ---- */

static struct slice
copy_code(struct imap_session *s, const struct store_copied *out)
{
	struct buf BUF_CLEANUP b;

	if (out->n == 0)
		return SLICE("");
	buf_init(&b, 64 + out->n * 24);
	buf_printf(&b, "[COPYUID %u ", out->uidvalidity);
	imap_sequence_print(&b, out->source, out->n);
	buf_put_u8(&b, ' ');
	imap_sequence_print(&b, out->target, out->n);
	buf_put_u8(&b, ']');
	return b.err != 0 ? SLICE("") : arena_copy(&s->arena, buf_slice(&b));
}

static void
copy_or_move(struct imap_session *s, struct imap_lex *x, bool move)
{
	struct store_copied out = {0};
	struct imap_iter it;
	struct slice to, code;
	uint32_t *uids;
	size_t n;
	int err;

	imap_lex_messages(s, x, &it);
	imap_lex_space(x);
	to = imap_lex_mailbox(s, x);
	imap_lex_end(x);
	if (imap_bad_syntax(s, x))
		return;
	if (to.p == NULL) {
		imap_no(s, "[CANNOT]", "not a possible mailbox name");
		return;
	}
	if (move && store_view_read_only(s->view)) {
		imap_no(s, "[READ-ONLY]", "the mailbox is open for reading only");
		return;
	}
	err = imap_iter_uids(s, &it, &uids, &n);
	if (err == 0 && n > 0)
		err = store_copy(s->view, uids, n, to, move, &s->arena, &out);
	if (err == ERR_NOTFOUND) {
		imap_no(s, "[TRYCREATE]", "no such mailbox");
		return;
	}
	if (err != 0) {
		imap_no_err(s, err);
		return;
	}
	code = copy_code(s, &out);
	if (move && code.n > 0) {
		/* RFC 6851 §4.3: COPYUID before the EXPUNGEs. */
		imap_write(s, SLICE("* OK "));
		imap_write(s, code);
		imap_write(s, SLICE(" moved\r\n"));
		code = SLICE("");
	}
	imap_tell_news(s, true);
	imap_write(s, s->tag);
	imap_write(s, SLICE(" OK "));
	imap_write(s, code);
	imap_write(s, code.n > 0 ? SLICE(" done\r\n") : SLICE("done\r\n"));
}

void
imap_do_copy(struct imap_session *s, struct imap_lex *x)
{
	copy_or_move(s, x, false);
}

void
imap_do_move(struct imap_session *s, struct imap_lex *x)
{
	copy_or_move(s, x, true);
}

/* ---- EXPUNGE ---- */

void
imap_do_expunge(struct imap_session *s, struct imap_lex *x)
{
	struct imap_iter it;
	uint32_t *uids = NULL;
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
	if (s->uid)
		err = imap_iter_uids(s, &it, &uids, &n);
	if (err == 0 && !(s->uid && n == 0))
		err = store_expunge(s->view, uids, n, true);
	if (err != 0)
		imap_no_err(s, err);
	else
		imap_ok(s, "", "done");
}
