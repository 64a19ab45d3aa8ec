/* imap_acl.c: access control lists (RFC 4314): SETACL, DELETEACL, GETACL, LISTRIGHTS and MYRIGHTS. The owner of a mailbox has all rights,
 * which nobody can take; others have what their own entry and that of "anyone" give, less what entries behind a dash take. */
#include "imap/imap_place.h"

#define IDENTIFIER_BYTES_MAX 600u

struct acl_call {
	struct imap_place at;
	struct slice mailbox, identifier;
	struct store_acl_entry entry;
};

/* SP mailbox [SP identifier]; what follows is the caller's. */
static void
parse_call(struct imap_session *s, struct imap_lex *x, bool identifier, struct acl_call *c)
{
	imap_lex_space(x);
	c->mailbox = imap_lex_mailbox(s, x);
	if (!identifier)
		return;
	imap_lex_space(x);
	c->identifier = imap_lex_astring(x);
	if (imap_lex_failed(x))
		return;
	if (c->identifier.n == 0 || c->identifier.n > IDENTIFIER_BYTES_MAX || !slice_is_utf8(c->identifier, true) ||
	    slice_eq(c->identifier, SLICE("-")))
		imap_lex_fail(x, "not an identifier");
	for (size_t i = 0; i < c->identifier.n && !imap_lex_failed(x); i++)
		if (slice_at(c->identifier, i) < ' ' || slice_at(c->identifier, i) == 0x7f)
			imap_lex_fail(x, "not an identifier");
}

/* Finds the mailbox for who has the right to administer it. False: NO was said. */
static bool
find_mailbox(struct imap_session *s, struct acl_call *c)
{
	struct store_mailbox m;
	int err = c->mailbox.p == NULL ? ERR_NOTFOUND : imap_place_allow(s, c->mailbox, STORE_RIGHT_ADMINISTER, &c->at);

	if (err == 0 && !c->at.other)
		err = store_mailbox(c->at.account, c->at.inner, &s->arena, &m);
	if (err != 0)
		imap_no_err(s, err);
	return err == 0;
}

/* Whom the identifier stands for: 0, ERR_EXISTS (the owner); otherwise NO was said. */
static int
identify(struct imap_session *s, struct acl_call *c)
{
	const struct imap_sharing *g = s->c->sharing;
	int err = g == NULL ? ERR_NOTFOUND
			    : g->identify(g->of, store_account_id(c->at.account), c->identifier, &s->arena, &c->entry);

	if (err == ERR_NOTFOUND)
		imap_no(s, "[NONEXISTENT]", "there is nobody of that name with whom mailboxes may be shared");
	else if (err == ERR_UNSUPPORTED)
		imap_no(s, "[UNAVAILABLE]",
		    "the server cannot share mailboxes with that account: another process keeps it");
	else if (err != 0 && err != ERR_EXISTS)
		imap_no_err(s, err);
	return err;
}

static void
change(struct imap_session *s, struct acl_call *c, enum store_flag_op op, unsigned rights)
{
	const struct imap_sharing *g = s->c->sharing;
	int err = identify(s, c);

	if (err == ERR_EXISTS && rights == STORE_RIGHTS_ALL && op != STORE_FLAGS_REMOVE && !c->entry.negative) {
		imap_ok(s, "", "the owner has all rights");
		return;
	}
	if (err == ERR_EXISTS)
		imap_no(s, "[CANNOT]", "the owner of a mailbox has all rights to it always");
	if (err != 0)
		return;
	c->entry.rights = rights;
	err = g->set(g->of, c->at.account, c->at.inner, op, &c->entry);
	if (err != 0)
		imap_no_err(s, err);
	else
		imap_ok(s, "", "done");
}

void
imap_do_setacl(struct imap_session *s, struct imap_lex *x)
{
	struct acl_call c = {.entry = {.rights = 0}};
	enum store_flag_op op;
	unsigned rights;

	parse_call(s, x, true, &c);
	imap_lex_space(x);
	if (!store_acl_parse_change(imap_lex_astring(x), &op, &rights))
		imap_lex_fail(x, "no such right");
	imap_lex_end(x);
	if (!imap_bad_syntax(s, x) && find_mailbox(s, &c))
		change(s, &c, op, rights);
}

void
imap_do_deleteacl(struct imap_session *s, struct imap_lex *x)
{
	struct acl_call c = {.entry = {.rights = 0}};

	parse_call(s, x, true, &c);
	imap_lex_end(x);
	if (!imap_bad_syntax(s, x) && find_mailbox(s, &c))
		change(s, &c, STORE_FLAGS_REPLACE, 0);
}

/* ---- reading -------------------------------------------------------------------------------------------------------------- */

/* The owner's sign-in name: its own session knows it, and for others it stands in the name. */
static int
put_owner(struct imap_session *s, const struct acl_call *c, struct buf *out)
{
	const struct imap_sharing *g = s->c->sharing;
	struct store_acl_entry owner = {.who = store_account_id(c->at.account)};
	struct slice name = SLICE_EMPTY;
	int err = g == NULL ? 0 : g->identifiers(g->of, owner.who, &owner, 1, &s->arena, &name);

	if (err != 0)
		return err;
	buf_put_u8(out, ' ');
	imap_put_string(out, name.n == 0 ? s->c->login : name);
	buf_put_u8(out, ' ');
	store_acl_put_rights(out, STORE_RIGHTS_ALL);
	return 0;
}

static int
put_entries(struct imap_session *s, const struct acl_call *c, struct buf *out)
{
	const struct imap_sharing *g = s->c->sharing;
	struct store_acl_entry *v;
	struct slice *names;
	size_t n;
	int err = store_acl_get(c->at.account, c->at.inner, &s->arena, &v, &n);

	if (err != 0 || n == 0)
		return err;
	if ((names = ARENA_ARRAY(&s->arena, struct slice, n)) == NULL)
		return ERR_LIMIT;
	err = g == NULL ? 0 : g->identifiers(g->of, store_account_id(c->at.account), v, n, &s->arena, names);
	for (size_t i = 0; i < n && err == 0; i++) {
		if (names[i].n == 0)
			continue;
		buf_put_u8(out, ' ');
		imap_put_string(out, names[i]);
		buf_put_u8(out, ' ');
		store_acl_put_rights(out, v[i].rights);
	}
	return err;
}

void
imap_do_getacl(struct imap_session *s, struct imap_lex *x)
{
	struct acl_call c = {.entry = {.rights = 0}};
	int err;

	parse_call(s, x, false, &c);
	imap_lex_end(x);
	if (imap_bad_syntax(s, x) || !find_mailbox(s, &c))
		return;
	buf_reset(&s->line);
	buf_put(&s->line, SLICE("* ACL "));
	imap_put_mailbox(&s->line, c.mailbox, imap_utf8_names(s));
	err = put_owner(s, &c, &s->line);
	if (err == 0)
		err = put_entries(s, &c, &s->line);
	if (err != 0) {
		imap_no_err(s, err);
		return;
	}
	buf_put(&s->line, SLICE("\r\n"));
	imap_write_buf(s, &s->line);
	imap_ok(s, "", "done");
}

/* Every right can be given alone; c and d are told by themselves (RFC 4314 §2.1.1). The owner has all, always. */
void
imap_do_listrights(struct imap_session *s, struct imap_lex *x)
{
	struct acl_call c = {.entry = {.rights = 0}};
	int err;

	parse_call(s, x, true, &c);
	imap_lex_end(x);
	if (imap_bad_syntax(s, x) || !find_mailbox(s, &c))
		return;
	err = identify(s, &c);
	if (err != 0 && err != ERR_EXISTS)
		return;
	buf_reset(&s->line);
	buf_put(&s->line, SLICE("* LISTRIGHTS "));
	imap_put_mailbox(&s->line, c.mailbox, imap_utf8_names(s));
	buf_put_u8(&s->line, ' ');
	imap_put_string(&s->line, c.identifier);
	buf_put(
	    &s->line, err == ERR_EXISTS ? SLICE(" lrswipkxtecda\r\n") : SLICE(" \"\" l r s w i p k x t e c d a\r\n"));
	imap_write_buf(s, &s->line);
	imap_ok(s, "", "done");
}

void
imap_put_my_rights(struct imap_session *s, struct buf *out, struct slice name, unsigned rights)
{
	buf_put(out, SLICE("* MYRIGHTS "));
	imap_put_mailbox(out, name, imap_utf8_names(s));
	buf_put_u8(out, ' ');
	store_acl_put_rights(out, rights);
	buf_put(out, SLICE("\r\n"));
}

void
imap_do_myrights(struct imap_session *s, struct imap_lex *x)
{
	static const unsigned any = STORE_RIGHT_LOOKUP | STORE_RIGHT_READ | STORE_RIGHT_INSERT | STORE_RIGHT_CREATE |
	    STORE_RIGHT_DELETE | STORE_RIGHT_ADMINISTER;
	struct acl_call c = {.entry = {.rights = 0}};
	struct store_mailbox m;
	int err;

	parse_call(s, x, false, &c);
	imap_lex_end(x);
	if (imap_bad_syntax(s, x))
		return;
	err = c.mailbox.p == NULL ? ERR_NOTFOUND : imap_place_find(s, c.mailbox, &c.at);
	if (err == 0)
		err = c.at.other ? ((c.at.rights & any) == 0 ? ERR_NOTFOUND : 0)
				 : store_mailbox(c.at.account, c.at.inner, &s->arena, &m);
	if (err != 0) {
		imap_no_err(s, err);
		return;
	}
	buf_reset(&s->line);
	imap_put_my_rights(s, &s->line, c.mailbox, c.at.rights);
	imap_write_buf(s, &s->line);
	imap_ok(s, "", "done");
}
