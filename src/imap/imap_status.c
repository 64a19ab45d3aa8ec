/* imap_status.c: STATUS (RFC 9051 §6.3.11, with RFC 8438, 7162, 8474, 7889 and 9208), also as LIST returns it (RFC 5819). */
#include "imap/imap_place.h"

#include <inttypes.h>

void
imap_put_status(struct imap_session *s, struct buf *out, struct store_account *account, const struct store_mailbox *m,
    unsigned items)
{
	buf_put(out, SLICE("* STATUS "));
	imap_put_mailbox(out, m->name, imap_utf8_names(s));
	buf_put(out, SLICE(" ("));
	if (items & IMAP_STATUS_MESSAGES)
		buf_printf(out, "MESSAGES %u ", m->messages);
	if ((items & IMAP_STATUS_RECENT) && !imap_is_on(s, IMAP_ON_REV2))
		buf_printf(out, "RECENT %u ", m->recent);
	if (items & IMAP_STATUS_UIDNEXT)
		buf_printf(out, "UIDNEXT %u ", m->uidnext);
	if (items & IMAP_STATUS_UIDVALIDITY)
		buf_printf(out, "UIDVALIDITY %u ", m->uidvalidity);
	if (items & IMAP_STATUS_UNSEEN)
		buf_printf(out, "UNSEEN %u ", m->unseen);
	if (items & IMAP_STATUS_DELETED)
		buf_printf(out, "DELETED %u ", m->deleted);
	if (items & IMAP_STATUS_SIZE)
		buf_printf(out, "SIZE %" PRId64 " ", m->bytes);
	if (items & IMAP_STATUS_HIGHESTMODSEQ)
		buf_printf(out, "HIGHESTMODSEQ %" PRIu64 " ", m->highestmodseq);
	if (items & IMAP_STATUS_MAILBOXID) {
		buf_put(out, SLICE("MAILBOXID ("));
		imap_put_object_id(out, 'F', m->object_id);
		buf_put(out, SLICE(") "));
	}
	if (items & IMAP_STATUS_APPENDLIMIT)
		buf_printf(out, "APPENDLIMIT %" PRId64 " ", s->limits->smtp_message_bytes);
	if (items & IMAP_STATUS_DELETED_STORAGE) {
		int64_t bytes;

		if (store_deleted_bytes(account, m->id, &bytes) == 0)
			buf_printf(out, "DELETED-STORAGE %" PRId64 " ", bytes);
	}
	if (slice_ends(buf_slice(out), SLICE(" ")))
		buf_truncate(out, out->n - 1);
	buf_put(out, SLICE(")\r\n"));
}

void
imap_do_status(struct imap_session *s, struct imap_lex *x)
{
	struct store_mailbox m;
	struct imap_place at;
	struct slice name;
	unsigned items;
	int err;

	imap_lex_space(x);
	name = imap_lex_mailbox(s, x);
	imap_lex_space(x);
	items = imap_parse_status(x);
	imap_lex_end(x);
	if (imap_bad_syntax(s, x))
		return;
	err = name.p == NULL ? ERR_NOTFOUND : imap_place_allow(s, name, STORE_RIGHT_READ, &at);
	if (err == 0)
		err = store_mailbox(at.account, at.inner, &s->arena, &m);
	if (err == 0 && !m.selectable)
		err = ERR_NOTFOUND;
	if (err != 0) {
		imap_no_err(s, err);
		return;
	}
	if (items & IMAP_STATUS_HIGHESTMODSEQ)
		imap_condstore_on(s);
	m.name = at.name;
	buf_reset(&s->line);
	imap_put_status(s, &s->line, at.account, &m, items);
	imap_write_buf(s, &s->line);
	imap_ok(s, "", "done");
}
