/* imap_quota.c: QUOTA (RFC 9208): every mailbox is under the one root of its account, whose name is empty. Quotas are the operator's, so
 * SETQUOTA is refused. */
#include "imap/imap_session.h"

#include <inttypes.h>

#define UNIT 1024 /* STORAGE is counted in these */

static int
put_quota(struct imap_session *s, struct buf *out)
{
	struct store_usage usage;
	struct store_mailbox *v;
	int64_t annotations;
	size_t n;
	int err = store_account_usage(s->account, &usage);

	if (err == 0)
		err = store_mailboxes(s->account, &s->arena, &v, &n);
	if (err == 0)
		err = store_metadata_usage(s->account, &annotations);
	if (err != 0)
		return err;
	buf_put(out, SLICE("* QUOTA \"\" ("));
	if (usage.quota_bytes > 0)
		buf_printf(
		    out, "STORAGE %" PRId64 " %" PRId64 " ", (usage.bytes + UNIT - 1) / UNIT, usage.quota_bytes / UNIT);
	buf_printf(out, "MAILBOX %zu %" PRId64 " ANNOTATION-STORAGE %" PRId64 " %" PRId64 ")\r\n", n,
	    s->limits->mailboxes, (annotations + UNIT - 1) / UNIT, s->limits->metadata_bytes / UNIT);
	return 0;
}

static void
tell_quota(struct imap_session *s)
{
	int err = put_quota(s, &s->line);

	if (err != 0) {
		imap_no_err(s, err);
		return;
	}
	imap_write_buf(s, &s->line);
	imap_ok(s, "", "done");
}

void
imap_do_getquota(struct imap_session *s, struct imap_lex *x)
{
	struct slice root;

	imap_lex_space(x);
	root = imap_lex_astring(x);
	imap_lex_end(x);
	if (imap_bad_syntax(s, x))
		return;
	if (root.n > 0) {
		imap_no(s, "[NONEXISTENT]", "no such quota root");
		return;
	}
	buf_reset(&s->line);
	tell_quota(s);
}

void
imap_do_getquotaroot(struct imap_session *s, struct imap_lex *x)
{
	struct store_mailbox m;
	struct slice name;
	int err;

	imap_lex_space(x);
	name = imap_lex_mailbox(s, x);
	imap_lex_end(x);
	if (imap_bad_syntax(s, x))
		return;
	err = name.p == NULL ? ERR_NOTFOUND : store_mailbox(s->account, name, &s->arena, &m);
	if (err != 0) {
		imap_no_err(s, err);
		return;
	}
	buf_reset(&s->line);
	buf_put(&s->line, SLICE("* QUOTAROOT "));
	imap_put_mailbox(&s->line, name, imap_utf8_names(s));
	buf_put(&s->line, SLICE(" \"\"\r\n"));
	tell_quota(s);
}

void
imap_do_setquota(struct imap_session *s, struct imap_lex *x)
{
	imap_lex_space(x);
	(void)imap_lex_astring(x);
	imap_lex_space(x);
	imap_lex_expect(x, '(');
	while (imap_lex_peek(x) != ')' && !imap_lex_failed(x)) {
		(void)imap_lex_atom(x);
		imap_lex_space(x);
		(void)imap_lex_number(x);
		if (!imap_lex_accept(x, ' '))
			break;
	}
	imap_lex_expect(x, ')');
	imap_lex_end(x);
	if (!imap_bad_syntax(s, x))
		imap_no(s, "[NOPERM]", "quotas are set by the operator");
}
