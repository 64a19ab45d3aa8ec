/* desk_share.c: mailboxes that accounts share: what sessions ask of the house about other accounts (imap.h), and the commands of the
 * operator. An entry is written behind the clerk's knowing that the account shares with that person, and the clerk forgets it behind
 * the last entry's going: a power cut in between leaves somebody who is looked for in vain, never one who is not found. */
#include "role/desk_private.h"

/* ---- asking the clerk ------------------------------------------------------------------------------------------------------ */

static int
owners(void *of, struct slice account_id, struct slice address, struct arena *a, struct imap_person **v, size_t *n)
{
	struct desk *d = of;
	struct bus_clerk_owners_request q = {.account_id = account_id, .address = address};
	struct bus_clerk_owners_reply rep = {0};
	int err = bus_call_again(d->c->bus, ROLE_CLERK, 0, BUS_clerk_owners, &q, a, &rep, DESK_ASK_MS);

	*n = 0;
	if (err != 0)
		return err;
	if (rep.ids.n != rep.addresses.n)
		return ERR_INVALID;
	if ((*v = ARENA_ARRAY(a, struct imap_person, rep.ids.n + 1)) == NULL)
		return ERR_LIMIT;
	for (; *n < rep.ids.n; ++*n)
		(*v)[*n] = (struct imap_person){rep.ids.v[*n], rep.addresses.v[*n]};
	return 0;
}

static int
open_owner(void *of, struct slice owner_id, struct store_account **out)
{
	return desk_account_open(of, owner_id, true, out);
}

static int
identify(void *of, struct slice owner_id, struct slice identifier, struct arena *a, struct store_acl_entry *out)
{
	struct desk *d = of;
	struct bus_clerk_person_request q = {.owner_id = owner_id};
	struct bus_clerk_person_reply rep = {0};
	int err;

	*out = (struct store_acl_entry){.negative = slice_starts(identifier, SLICE("-")), .who = SLICE("")};
	q.name = slice_from(identifier, out->negative ? 1 : 0);
	if (slice_eq(q.name, SLICE("anyone")))
		return 0;
	err = bus_call_again(d->c->bus, ROLE_CLERK, 0, BUS_clerk_person, &q, a, &rep, DESK_ASK_MS);
	if (err == 0 && rep.result == PERSON_FOUND)
		out->who = rep.account_id;
	return err != 0                          ? err
	    : rep.result == PERSON_ELSEWHERE     ? ERR_UNSUPPORTED
	    : rep.result == PERSON_NONE          ? ERR_NOTFOUND
	    : slice_eq(rep.account_id, owner_id) ? ERR_EXISTS
						 : 0;
}

/* "-bob@example.test", "anyone", or "" for an account that is no more. */
static struct slice
identifier_of(struct arena *a, const struct store_acl_entry *e, struct slice address)
{
	if (e->who.n == 0)
		return e->negative ? SLICE("-anyone") : SLICE("anyone");
	return address.n == 0 || !e->negative ? address : arena_printf(a, "-%.*s", SLICE_ARG(address));
}

static int
identifiers(
    void *of, struct slice owner_id, const struct store_acl_entry *v, size_t n, struct arena *a, struct slice *out)
{
	struct desk *d = of;
	struct slice *ids = ARENA_ARRAY(a, struct slice, n + 1);
	struct bus_clerk_people_request q = {.owner_id = owner_id};
	struct bus_clerk_people_reply rep = {0};
	int err;

	if (ids == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < n; i++)
		ids[i] = v[i].who.p == NULL ? SLICE("") : v[i].who;
	q.ids = (struct slice_list){ids, n};
	err = n == 0 ? 0 : bus_call_again(d->c->bus, ROLE_CLERK, 0, BUS_clerk_people, &q, a, &rep, DESK_ASK_MS);
	if (err == 0 && rep.addresses.n != n)
		err = ERR_INVALID;
	for (size_t i = 0; err == 0 && i < n; i++)
		out[i] = identifier_of(a, &v[i], rep.addresses.v[i]);
	return err;
}

/* ---- changing -------------------------------------------------------------------------------------------------------------- */

static int
tell_clerk(struct desk *d, struct slice owner_id, struct slice account_id, bool on)
{
	struct arena ARENA_CLEANUP mem;
	struct bus_clerk_share_request q = {
	    .owner_id = owner_id, .account_id = account_id.p == NULL ? SLICE("") : account_id, .on = on};
	struct bus_clerk_share_reply rep;

	arena_init(&mem, 65536);
	return bus_call_again(d->c->bus, ROLE_CLERK, 0, BUS_clerk_share, &q, &mem, &rep, DESK_ASK_MS);
}

/* With the lock: one who is given rights is not forgotten because another's are taken meanwhile. */
static int
set_locked(struct desk *d, struct store_account *account, struct slice mailbox, enum store_flag_op op,
    const struct store_acl_entry *e)
{
	struct slice owner = store_account_id(account);
	bool gives = !e->negative && e->rights != 0 && op != STORE_FLAGS_REMOVE;
	int err = gives ? tell_clerk(d, owner, e->who, true) : 0;

	if (err != 0)
		return err;
	err = store_acl_set(account, mailbox, op, e);
	/* What the clerk knows too much does no harm. */
	if (store_acl_gives(account, e->who, &gives) == 0 && !gives && !e->negative)
		(void)!tell_clerk(d, owner, e->who, false);
	return err;
}

static int
set(void *of, struct store_account *account, struct slice mailbox, enum store_flag_op op,
    const struct store_acl_entry *e)
{
	struct desk *d = of;
	int err = fiber_lock_take(d->c->loop, &d->sharing, loop_deadline(d->c->loop, 2 * (int64_t)DESK_ASK_MS));

	if (err != 0)
		return err;
	err = set_locked(d, account, mailbox, op, e);
	fiber_lock_drop(d->c->loop, &d->sharing);
	return err;
}

struct imap_sharing
desk_sharing(struct desk *d)
{
	return (struct imap_sharing){.of = d,
	    .owners = owners,
	    .open = open_owner,
	    .identify = identify,
	    .identifiers = identifiers,
	    .set = set};
}

/* ---- asked by the clerk ---------------------------------------------------------------------------------------------------- */

static int
share(struct desk *d, const struct bus_desk_share_request *q, struct arena *a)
{
	struct store_account STORE_ACCOUNT_CLEANUP *account = NULL;
	struct store_acl_entry e;
	enum store_flag_op op;
	struct slice name;
	unsigned rights;
	int err = desk_account_open(d, q->account_id, true, &account);

	if (err != 0)
		return err;
	if (!store_acl_parse_change(q->rights, &op, &rights))
		return ERR_SYNTAX;
	if (store_name_normal(&d->c->house->limits, q->mailbox, a, &name) != 0)
		return ERR_INVALID;
	if ((err = identify(d, q->account_id, q->identifier, a, &e)) != 0)
		return err;
	e.rights = rights;
	err = set(d, account, name, op, &e);
	return err == ERR_NOTFOUND ? ERR_INVALID : err;
}

static int
on_share(struct desk *d, struct bus_peer *from, struct bus_desk_share_request *q, struct arena *a,
    struct bus_desk_share_reply *rep)
{
	int err;

	(void)from;
	if (d->stopping)
		return ERR_UNAVAILABLE;
	d->requests++;
	err = share(d, q, a);
	d->requests--;
	switch (err) {
	case 0: rep->result = SHARE_OK; break;
	case ERR_INVALID: rep->result = SHARE_NO_MAILBOX; break;
	case ERR_NOTFOUND: rep->result = SHARE_NOBODY; break;
	case ERR_UNSUPPORTED: rep->result = SHARE_ELSEWHERE; break;
	case ERR_SYNTAX: rep->result = SHARE_BAD_RIGHTS; break;
	case ERR_EXISTS: rep->result = SHARE_OWNER; break;
	case ERR_LIMIT: rep->result = SHARE_LIMIT; break;
	default: return err;
	}
	return 0;
}

struct listing {
	struct arena *a;
	struct slice *mailboxes, *identifiers, *rights;
	size_t n, cap;
};

static bool
add_row(struct listing *l, struct slice mailbox, struct slice identifier, unsigned rights)
{
	struct buf BUF_CLEANUP letters;

	if (l->n == l->cap)
		return false;
	buf_init(&letters, 64);
	store_acl_put_rights(&letters, rights);
	l->mailboxes[l->n] = mailbox;
	l->identifiers[l->n] = identifier;
	l->rights[l->n++] = arena_copy(l->a, buf_slice(&letters));
	return true;
}

static int
list_mailbox(struct desk *d, struct store_account *account, struct slice mailbox, struct listing *l)
{
	struct store_acl_entry *v;
	struct slice *names;
	size_t n;
	int err = store_acl_get(account, mailbox, l->a, &v, &n);

	if (err != 0 || n == 0)
		return err == ERR_NOTFOUND ? 0 : err;
	if ((names = ARENA_ARRAY(l->a, struct slice, n)) == NULL)
		return ERR_LIMIT;
	err = identifiers(d, store_account_id(account), v, n, l->a, names);
	for (size_t i = 0; i < n && err == 0; i++)
		if (names[i].n > 0 && !add_row(l, mailbox, names[i], v[i].rights))
			err = ERR_LIMIT;
	return err;
}

static int
list_shares(struct desk *d, struct slice account_id, struct listing *l)
{
	struct store_account STORE_ACCOUNT_CLEANUP *account = NULL;
	struct store_mailbox *v;
	size_t n;
	int err = desk_account_open(d, account_id, true, &account);

	if (err == 0)
		err = store_mailboxes(account, l->a, &v, &n);
	if (err != 0)
		return err;
	l->cap = n * (size_t)d->c->house->limits.acl_entries;
	l->cap = l->cap < 20000 ? l->cap : 20000;
	l->mailboxes = ARENA_ARRAY(l->a, struct slice, l->cap + 1);
	l->identifiers = ARENA_ARRAY(l->a, struct slice, l->cap + 1);
	l->rights = ARENA_ARRAY(l->a, struct slice, l->cap + 1);
	if (arena_failed(l->a))
		return ERR_LIMIT;
	for (size_t i = 0; i < n && err == 0; i++)
		err = list_mailbox(d, account, v[i].name, l);
	return err;
}

static int
on_shares(struct desk *d, struct bus_peer *from, struct bus_desk_shares_request *q, struct arena *a,
    struct bus_desk_shares_reply *rep)
{
	struct listing l = {.a = a};
	int err;

	(void)from;
	if (d->stopping)
		return ERR_UNAVAILABLE;
	d->requests++;
	err = list_shares(d, q->account_id, &l);
	d->requests--;
	rep->mailboxes = (struct slice_list){l.mailboxes, l.n};
	rep->identifiers = (struct slice_list){l.identifiers, l.n};
	rep->rights = (struct slice_list){l.rights, l.n};
	return err;
}

void
desk_share_handle(struct desk *d)
{
	fiber_lock_init(&d->sharing);
	BUS_HANDLE(d->c->bus, desk_share, on_share, d);
	BUS_HANDLE(d->c->bus, desk_shares, on_shares, d);
}
