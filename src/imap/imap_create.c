/* imap_create.c: CREATE (RFC 9051 §6.3.4), with a special use (RFC 6154 §3) and the new mailbox's id (RFC 8474 §4.1). */
#include "imap/imap_place.h"

struct create {
	struct slice name;
	enum store_role role;
	bool use_known; /* every use asked for is one that a mailbox can have here */
};

/* "(\Sent)": one mailbox has one use at most. */
static void
parse_uses(struct imap_lex *x, struct create *c)
{
	size_t n = 0;

	imap_lex_expect(x, '(');
	if (imap_lex_accept(x, ')'))
		return;
	do {
		imap_lex_expect(x, '\\');
		if (!imap_role_named(imap_lex_atom(x), &c->role) || ++n > 1)
			c->use_known = false;
	} while (imap_lex_accept(x, ' '));
	imap_lex_expect(x, ')');
}

static void
parse_create(struct imap_session *s, struct imap_lex *x, struct create *c)
{
	imap_lex_space(x);
	c->name = imap_lex_mailbox(s, x);
	if (imap_lex_accept(x, ' ')) {
		imap_lex_expect(x, '(');
		if (!slice_ieq(imap_lex_atom(x), SLICE("USE")))
			imap_lex_fail(x, "no such parameter of CREATE");
		imap_lex_space(x);
		parse_uses(x, c);
		imap_lex_expect(x, ')');
	}
	imap_lex_end(x);
}

static void
tell_created(struct imap_session *s, const struct store_mailbox *m)
{
	struct buf BUF_CLEANUP code;

	buf_init(&code, 128);
	buf_put(&code, SLICE("[MAILBOXID ("));
	imap_put_object_id(&code, 'F', m->object_id);
	buf_put(&code, SLICE(")]"));
	buf_put_u8(&code, 0);
	imap_ok(s, code.err == 0 ? (const char *)code.p : "", "done");
}

void
imap_do_create(struct imap_session *s, struct imap_lex *x)
{
	struct create c = {.role = STORE_ROLE_NONE, .use_known = true};
	struct imap_place at;
	struct store_mailbox m;
	int err;

	parse_create(s, x, &c);
	if (imap_bad_syntax(s, x))
		return;
	if (c.name.p == NULL) {
		imap_no(s, "[CANNOT]", "not a possible mailbox name");
		return;
	}
	if (!c.use_known) {
		imap_no(s, "[USEATTR]", "a mailbox cannot have that use here");
		return;
	}
	err = imap_place_allow_new(s, c.name, &at);
	if (err == 0 && at.other && c.role != STORE_ROLE_NONE)
		err = ERR_CONFLICT;
	if (err == 0)
		err = store_mailbox_create(at.account, at.inner, c.role);
	if (err == ERR_CONFLICT)
		imap_no(s, "[USEATTR]", "another mailbox has that use");
	else if (err != 0 || (err = store_mailbox(at.account, at.inner, &s->arena, &m)) != 0)
		imap_no_err(s, err);
	else
		tell_created(s, &m);
}
