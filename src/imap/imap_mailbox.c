/* imap_mailbox.c: commands on mailboxes as such (RFC 3501 §6.3) and the ones without arguments. */
#include "imap/imap_session.h"

#include "base/log.h"
#include "imap/imap_place.h"
#include "imap/imap_utf7.h"

int
imap_name_decode(const struct imap_session *s, struct slice raw, struct buf *out)
{
	if (!imap_utf8_names(s))
		return imap_utf7_decode(raw, out);
	buf_put(out, raw);
	return out->err;
}

struct slice
imap_lex_mailbox(struct imap_session *s, struct imap_lex *x)
{
	struct slice raw = imap_lex_astring(x), name = SLICE_EMPTY;
	struct buf BUF_CLEANUP utf8;

	if (imap_lex_failed(x))
		return SLICE_EMPTY;
	buf_init(&utf8, (size_t)s->limits->mailbox_name_bytes + IMAP_OTHER_BYTES);
	if (imap_name_decode(s, raw, &utf8) != 0 || imap_name_normal(s, buf_slice(&utf8), &s->arena, &name) != 0)
		return SLICE_EMPTY;
	return name;
}

/* One mailbox name and the end: true if the command may go on. */
static bool
one_name(struct imap_session *s, struct imap_lex *x, struct slice *name)
{
	imap_lex_space(x);
	*name = imap_lex_mailbox(s, x);
	imap_lex_end(x);
	if (imap_bad_syntax(s, x))
		return false;
	if (name->p == NULL)
		imap_no(s, "[CANNOT]", "not a possible mailbox name");
	return name->p != NULL;
}

static void
finish(struct imap_session *s, int err)
{
	if (err == 0)
		imap_ok(s, "", "done");
	else
		imap_no_err(s, err);
}

static bool
no_arguments(struct imap_session *s, struct imap_lex *x)
{
	imap_lex_end(x);
	return !imap_bad_syntax(s, x);
}

void
imap_do_capability(struct imap_session *s, struct imap_lex *x)
{
	struct buf BUF_CLEANUP names;

	if (!no_arguments(s, x))
		return;
	buf_init(&names, 4096);
	buf_put(&names, SLICE("* CAPABILITY "));
	imap_put_capabilities(&names, IMAP_CAP_ALWAYS | IMAP_CAP_AFTER, s->limits);
	buf_put(&names, SLICE("\r\n"));
	imap_write_buf(s, &names);
	imap_ok(s, "", "done");
}

void
imap_do_noop(struct imap_session *s, struct imap_lex *x)
{
	if (no_arguments(s, x))
		imap_ok(s, "", "done");
}

void
imap_do_logout(struct imap_session *s, struct imap_lex *x)
{
	if (!no_arguments(s, x))
		return;
	imap_bye(s, "good-bye");
	imap_printf(s, "%.*s OK done\r\n", SLICE_ARG(s->tag));
}

void
imap_do_id(struct imap_session *s, struct imap_lex *x)
{
	struct slice name, version;
	struct buf BUF_CLEANUP out;

	imap_lex_space(x);
	imap_parse_id(x, &name, &version);
	imap_lex_end(x);
	if (imap_bad_syntax(s, x))
		return;
	LOG(s->c->house, DEBUG, "imap_client", LOG_S("login", s->c->login), LOG_S("name", name),
	    LOG_S("version", version));
	buf_init(&out, 1024);
	imap_put_id(&out);
	imap_write_buf(s, &out);
	imap_ok(s, "", "done");
}

void
imap_do_namespace(struct imap_session *s, struct imap_lex *x)
{
	if (!no_arguments(s, x))
		return;
	imap_write(s, SLICE("* NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) NIL\r\n"));
	imap_ok(s, "", "done");
}

void
imap_do_delete(struct imap_session *s, struct imap_lex *x)
{
	struct imap_place at;
	struct slice name;
	int err;

	if (!one_name(s, x, &name))
		return;
	err = imap_place_allow(s, name, STORE_RIGHT_DELETE, &at);
	if (err == 0)
		err = store_mailbox_delete(at.account, at.inner);
	/* A client that deletes what it has selected knows it; it has nothing selected then. */
	if (err == 0 && s->view != NULL && store_view_gone(s->view))
		imap_deselect(s);
	finish(s, err);
}

/* Within one account. */
static void
rename_mailbox(struct imap_session *s, struct slice from, struct slice to)
{
	struct imap_place old, new;
	int err = imap_place_allow(s, from, STORE_RIGHT_DELETE, &old);

	if (err == 0)
		err = imap_place_allow_new(s, to, &new);
	if (err == 0 && old.account != new.account)
		imap_no(s, "[CANNOT]", "a mailbox stays in its account; its messages can be copied");
	else
		finish(s, err == 0 ? store_mailbox_rename(old.account, old.inner, new.inner) : err);
}

void
imap_do_rename(struct imap_session *s, struct imap_lex *x)
{
	struct slice from, to;

	imap_lex_space(x);
	from = imap_lex_mailbox(s, x);
	imap_lex_space(x);
	to = imap_lex_mailbox(s, x);
	imap_lex_end(x);
	if (imap_bad_syntax(s, x))
		return;
	if (from.p == NULL)
		imap_no_err(s, ERR_NOTFOUND);
	else if (to.p == NULL)
		imap_no(s, "[CANNOT]", "not a possible mailbox name");
	else
		rename_mailbox(s, from, to);
}

void
imap_do_subscribe(struct imap_session *s, struct imap_lex *x)
{
	struct slice name;

	if (one_name(s, x, &name))
		finish(s, store_subscribe(s->account, name, true));
}

void
imap_do_unsubscribe(struct imap_session *s, struct imap_lex *x)
{
	struct slice name;

	if (one_name(s, x, &name))
		finish(s, store_subscribe(s->account, name, false));
}

void
imap_do_check(struct imap_session *s, struct imap_lex *x)
{
	/* Everything that a client may count on is durable already; what is left is synced within the second. */
	if (no_arguments(s, x))
		imap_ok(s, "", "done");
}

void
imap_do_close(struct imap_session *s, struct imap_lex *x)
{
	int err = 0;

	if (!no_arguments(s, x))
		return;
	if (!store_view_read_only(s->view) && (s->rights & STORE_RIGHT_EXPUNGE) != 0)
		err = store_expunge(s->view, NULL, 0, true);
	imap_deselect(s);
	finish(s, err == ERR_NOTFOUND ? 0 : err);
}

void
imap_do_unselect(struct imap_session *s, struct imap_lex *x)
{
	if (!no_arguments(s, x))
		return;
	imap_deselect(s);
	imap_ok(s, "", "done");
}
