/* imap_copy.c: COPY and MOVE (RFC 3501 §6.4.7, RFC 4315, RFC 6851). */
#include "imap/imap_place.h"

#include <inttypes.h>

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

/* Into the same account with all flags, or into another, or with some. */
static int
copy_to(struct imap_session *s, const struct imap_place *to, const uint32_t *uids, size_t n, bool move,
    struct store_copied *out)
{
	static const unsigned flags = STORE_RIGHT_SEEN | STORE_RIGHT_WRITE | STORE_RIGHT_DELETED;
	struct store_filter filter = imap_filter_of(to->rights);

	return to->account == store_view_account(s->view) && (to->rights & flags) == flags
	    ? store_copy(s->view, uids, n, to->inner, move, &s->arena, out)
	    : store_transfer(s->view, uids, n, to->account, to->inner, &filter, move, &s->arena, out);
}

static void
copy_or_move(struct imap_session *s, struct imap_lex *x, bool move)
{
	struct store_copied out = {0};
	struct imap_place at;
	struct imap_iter it;
	struct slice to, code;
	uint32_t *uids, lowest;
	char limit[64];
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
	/* RFC 6851 §4.2 */
	if (move && !imap_view_allows(s, STORE_RIGHT_DELETED | STORE_RIGHT_EXPUNGE))
		return;
	lowest = imap_iter_limit(s, &it);
	if (lowest != 0 && !move) {
		/* All or nothing. */
		(void)snprintf(limit, sizeof(limit), "[MESSAGELIMIT %" PRId64 " %u]", s->limits->imap_messages, lowest);
		imap_no(s, limit, "that is too many messages at once");
		return;
	}
	err = imap_place_allow(s, to, STORE_RIGHT_INSERT, &at);
	if (err == 0)
		err = imap_iter_uids(s, &it, &uids, &n);
	if (err == 0 && n > 0)
		err = copy_to(s, &at, uids, n, move, &out);
	if (err == ERR_NOTFOUND) {
		imap_no(s, "[TRYCREATE]", "no such mailbox");
		return;
	}
	if (err != 0) {
		imap_no_err(s, err);
		return;
	}
	/* RFC 4315 §3: nothing about a mailbox that may not be read. */
	code = (at.rights & STORE_RIGHT_READ) != 0 ? copy_code(s, &out) : SLICE("");
	if (move && code.n > 0) {
		/* RFC 6851 §4.3: COPYUID before the EXPUNGEs. */
		imap_write(s, SLICE("* OK "));
		imap_write(s, code);
		imap_write(s, SLICE(" moved\r\n"));
		imap_ok_limited(s, lowest, imap_modseq_code(s, limit));
		return;
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
