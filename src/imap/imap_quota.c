/* imap_quota.c: QUOTA (RFC 9208): every mailbox is under the one root of its account. The own one's name is empty, others' are "Other
 * Users/ADDRESS", told to who may read some mailbox there. Quotas are the operator's, so SETQUOTA is refused. */
#include "imap/imap_place.h"

#include <inttypes.h>

#define UNIT 1024 /* STORAGE is counted in these */

static void
put_storage(struct buf *out, const struct store_usage *usage)
{
	if (usage->quota_bytes > 0)
		buf_printf(
		    out, "STORAGE %" PRId64 " %" PRId64, (usage->bytes + UNIT - 1) / UNIT, usage->quota_bytes / UNIT);
}

static int
put_own_quota(struct imap_session *s, const struct store_usage *usage, struct buf *out)
{
	struct store_mailbox *v;
	int64_t annotations;
	size_t n;
	int err = store_mailboxes(s->account, &s->arena, &v, &n);

	if (err == 0)
		err = store_metadata_usage(s->account, &annotations);
	if (err != 0)
		return err;
	buf_put(out, SLICE("* QUOTA \"\" ("));
	put_storage(out, usage);
	buf_printf(out, "%sMAILBOX %zu %" PRId64 " ANNOTATION-STORAGE %" PRId64 " %" PRId64 ")\r\n",
	    usage->quota_bytes > 0 ? " " : "", n, s->limits->mailboxes, (annotations + UNIT - 1) / UNIT,
	    s->limits->metadata_bytes / UNIT);
	return 0;
}

/* How many mailboxes and annotations somebody else has is nobody's business. */
static void
put_others_quota(const struct store_usage *usage, struct slice root, struct buf *out)
{
	buf_put(out, SLICE("* QUOTA "));
	imap_put_string(out, root);
	buf_put(out, SLICE(" ("));
	put_storage(out, usage);
	buf_put(out, SLICE(")\r\n"));
}

/* Another's account of which some mailbox may be read, if it has a quota. */
static int
find_root(struct imap_session *s, struct slice root, struct store_usage *usage)
{
	struct imap_shared *v;
	size_t n;
	int err = imap_shared_mailboxes(s, &v, &n);

	for (size_t i = 0; i < n && err == 0; i++) {
		if (slice_eq(v[i].owner, root) && (v[i].rights & STORE_RIGHT_READ) != 0) {
			err = store_account_usage(v[i].account, usage);
			return err == 0 && usage->quota_bytes == 0 ? ERR_NOTFOUND : err;
		}
	}
	return err == 0 ? ERR_NOTFOUND : err;
}

void
imap_do_getquota(struct imap_session *s, struct imap_lex *x)
{
	struct store_usage usage;
	struct slice root;
	int err;

	imap_lex_space(x);
	root = imap_lex_astring(x);
	imap_lex_end(x);
	if (imap_bad_syntax(s, x))
		return;
	buf_reset(&s->line);
	err = root.n == 0 ? store_account_usage(s->account, &usage) : find_root(s, root, &usage);
	if (err == 0 && root.n == 0)
		err = put_own_quota(s, &usage, &s->line);
	else if (err == 0)
		put_others_quota(&usage, root, &s->line);
	if (err == ERR_NOTFOUND) {
		imap_no(s, "[NONEXISTENT]", "no such quota root");
	} else if (err != 0) {
		imap_no_err(s, err);
	} else {
		imap_write_buf(s, &s->line);
		imap_ok(s, "", "done");
	}
}

static int
put_root(struct imap_session *s, const struct imap_place *at, struct buf *out)
{
	struct slice root = at->other ? slice_head(at->name, at->name.n - at->inner.n - 1) : SLICE("");
	struct store_usage usage;
	int err = store_account_usage(at->account, &usage);

	if (err != 0)
		return err;
	buf_put(out, SLICE("* QUOTAROOT "));
	imap_put_mailbox(out, at->name, imap_utf8_names(s));
	if (!at->other || usage.quota_bytes > 0) {
		buf_put_u8(out, ' ');
		imap_put_string(out, root);
	}
	buf_put(out, SLICE("\r\n"));
	if (!at->other)
		return put_own_quota(s, &usage, out);
	if (usage.quota_bytes > 0)
		put_others_quota(&usage, root, out);
	return 0;
}

void
imap_do_getquotaroot(struct imap_session *s, struct imap_lex *x)
{
	struct store_mailbox m;
	struct imap_place at;
	struct slice name;
	int err;

	imap_lex_space(x);
	name = imap_lex_mailbox(s, x);
	imap_lex_end(x);
	if (imap_bad_syntax(s, x))
		return;
	err = name.p == NULL ? ERR_NOTFOUND : imap_place_allow(s, name, STORE_RIGHT_READ, &at);
	if (err == 0)
		err = store_mailbox(at.account, at.inner, &s->arena, &m);
	buf_reset(&s->line);
	if (err == 0)
		err = put_root(s, &at, &s->line);
	if (err != 0) {
		imap_no_err(s, err);
		return;
	}
	imap_write_buf(s, &s->line);
	imap_ok(s, "", "done");
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
