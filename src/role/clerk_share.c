/* clerk_share.c: who shares mailboxes with whom: what desks ask for their sessions, and `account share` on the control socket, which
 * the account's desk carries out. */
#include "role/clerk_private.h"

#include "directory/directory_share.h"

struct share_work {
	struct clerk *k;
	struct arena *a;
	struct slice owner, account, name;
	struct slice_list ids;
	bool on;
	struct directory_account person;
	struct directory_account *v;
	size_t n;
	struct slice *addresses;
};

/* A desk is told of, and changes, what its own accounts share. */
static bool
is_its_own(const struct clerk *k, const struct bus_peer *desk, struct slice account_id)
{
	return account_desk(account_id, k->c->desks) == bus_peer_index(desk);
}

static int
read_owners(struct sqltx *tx, void *arg)
{
	struct share_work *w = arg;

	return directory_share_owners(tx, w->a, w->account, w->name, w->k->c->settings->sharing_between_domains,
	    (size_t)w->k->c->house->limits.shared_accounts, &w->v, &w->n);
}

static int
on_owners(struct clerk *k, struct bus_peer *from, struct bus_clerk_owners_request *q, struct arena *a,
    struct bus_clerk_owners_reply *rep)
{
	CLERK_ENTER(k);
	struct share_work w = {.k = k, .a = a, .account = q->account_id, .name = q->address};
	struct slice *ids, *addresses;
	size_t n = 0;
	int err;

	if (!is_its_own(k, from, q->account_id))
		return ERR_DENIED;
	err = sql_read(k->directory_db, read_owners, &w);
	if (err != 0)
		return err;
	ids = ARENA_ARRAY(a, struct slice, w.n + 1);
	addresses = ARENA_ARRAY(a, struct slice, w.n + 1);
	if (ids == NULL || addresses == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < w.n; i++) {
		if (!is_its_own(k, from, w.v[i].id))
			continue;
		ids[n] = w.v[i].id;
		addresses[n++] = w.v[i].address;
	}
	rep->ids = (struct slice_list){ids, n};
	rep->addresses = (struct slice_list){addresses, n};
	return 0;
}

static int
read_person(struct sqltx *tx, void *arg)
{
	struct share_work *w = arg;
	const struct settings *s = w->k->c->settings;

	return directory_share_person(
	    tx, w->a, w->owner, w->name, s->short_names, s->sharing_between_domains, &w->person);
}

static int
on_person(struct clerk *k, struct bus_peer *from, struct bus_clerk_person_request *q, struct arena *a,
    struct bus_clerk_person_reply *rep)
{
	CLERK_ENTER(k);
	struct share_work w = {.k = k, .a = a, .owner = q->owner_id, .name = q->name};
	int err;

	if (!is_its_own(k, from, q->owner_id))
		return ERR_DENIED;
	err = sql_read(k->directory_db, read_person, &w);
	rep->result = PERSON_NONE;
	if (err == ERR_NOTFOUND)
		return 0;
	if (err != 0)
		return err;
	rep->result = is_its_own(k, from, w.person.id) ? PERSON_FOUND : PERSON_ELSEWHERE;
	rep->account_id = w.person.id;
	rep->address = w.person.address;
	return 0;
}

static int
read_people(struct sqltx *tx, void *arg)
{
	struct share_work *w = arg;

	for (size_t i = 0; i < w->ids.n; i++) {
		struct directory_account one;
		int err = directory_account_get(tx, w->a, w->ids.v[i], &one);

		if (err != 0 && err != ERR_NOTFOUND)
			return err;
		w->addresses[i] = err == 0 ? one.address : SLICE("");
	}
	return 0;
}

static int
on_people(struct clerk *k, struct bus_peer *from, struct bus_clerk_people_request *q, struct arena *a,
    struct bus_clerk_people_reply *rep)
{
	CLERK_ENTER(k);
	struct share_work w = {.k = k, .a = a, .ids = q->ids, .addresses = ARENA_ARRAY(a, struct slice, q->ids.n + 1)};
	int err;

	if (!is_its_own(k, from, q->owner_id) || q->ids.n > (size_t)k->c->house->limits.acl_entries)
		return ERR_DENIED;
	if (w.addresses == NULL)
		return ERR_LIMIT;
	err = sql_read(k->directory_db, read_people, &w);
	rep->addresses = (struct slice_list){w.addresses, q->ids.n};
	return err;
}

static int
write_share(struct sqltx *tx, void *arg)
{
	struct share_work *w = arg;

	return directory_share_set(tx, w->owner, w->account, w->on);
}

static int
on_share(struct clerk *k, struct bus_peer *from, struct bus_clerk_share_request *q, struct arena *a,
    struct bus_clerk_share_reply *rep)
{
	CLERK_ENTER(k);
	struct share_work w = {.k = k, .a = a, .owner = q->owner_id, .account = q->account_id, .on = q->on != 0};

	(void)rep;
	if (!is_its_own(k, from, q->owner_id) || (q->account_id.n > 0 && !is_its_own(k, from, q->account_id)))
		return ERR_DENIED;
	return sql_write(k->directory_db, write_share, &w);
}

void
clerk_share_handle(struct clerk *k)
{
	BUS_HANDLE(k->c->bus, clerk_owners, on_owners, k);
	BUS_HANDLE(k->c->bus, clerk_person, on_person, k);
	BUS_HANDLE(k->c->bus, clerk_people, on_people, k);
	BUS_HANDLE(k->c->bus, clerk_share, on_share, k);
}

/* ---- the control socket ---------------------------------------------------------------------------------------------------- */

static int
say(struct control_session *s, int64_t result, const struct bus_desk_share_request *q)
{
	switch (result) {
	case SHARE_OK: return 0;
	case SHARE_NO_MAILBOX:
		return control_fail(s, ERR_NOTFOUND, "`posthouse account show` lists its mailboxes.",
		    "the account has no mailbox %.*s", SLICE_ARG(q->mailbox));
	case SHARE_NOBODY:
		return control_fail(s, ERR_NOTFOUND,
		    "Name an account as `posthouse account list` shows it, or anyone. With accounts of other domains "
		    "mailboxes are shared"
		    " where the configuration has sharing_between_domains = yes.",
		    "the account cannot share with %.*s", SLICE_ARG(q->identifier));
	case SHARE_ELSEWHERE:
		return control_fail(s, ERR_UNSUPPORTED, "Set `desks = 1` in [house] and start the house again.",
		    "%.*s is kept by another desk process, and mailboxes are shared within one only",
		    SLICE_ARG(q->identifier));
	case SHARE_BAD_RIGHTS:
		return control_fail(s, ERR_INVALID,
		    "The letters are l (see), r (read), s (mark read), w (other flags), i (put mail in), p, k (make "
		    "mailboxes below), x"
		    " (delete the mailbox), t (mark deleted), e (expunge), a (share it further).",
		    "%.*s are no rights", SLICE_ARG(q->rights));
	case SHARE_OWNER:
		return control_fail(
		    s, ERR_INVALID, "Name another account.", "an account has all rights to its own mailboxes");
	default:
		return control_fail(s, ERR_LIMIT, "Take somebody out first, or raise acl_entries in [limits].",
		    "the mailbox has as many entries as it may have");
	}
}

static int
change(struct control_session *s, struct slice rights)
{
	struct directory_account owner;
	struct bus_desk_share_request q = {.mailbox = control_text(&s->request, "mailbox"),
	    .identifier = control_text(&s->request, "who"),
	    .rights = rights};
	struct bus_desk_share_reply rep = {0};
	int err = control_account(s, &owner);

	if (err != 0)
		return err;
	q.account_id = owner.id;
	err = BUS_CALL(s->k->c->bus, ROLE_DESK, account_desk(owner.id, s->k->c->desks), desk_share, &q, &s->arena, &rep,
	    CLERK_ASK_MS);
	if (err != 0)
		return control_fail_role(s, "desk", err, SLICE_EMPTY);
	return say(s, rep.result, &q);
}

int
control_run_account_share(struct control_session *s)
{
	return change(s, control_text(&s->request, "rights"));
}

int
control_run_account_unshare(struct control_session *s)
{
	return change(s, SLICE(""));
}

int
control_run_account_shares(struct control_session *s)
{
	struct directory_account owner;
	struct bus_desk_shares_request q;
	struct bus_desk_shares_reply rep = {0};
	int err = control_account(s, &owner);

	if (err != 0)
		return err;
	q = (struct bus_desk_shares_request){.account_id = owner.id};
	err = BUS_CALL(s->k->c->bus, ROLE_DESK, account_desk(owner.id, s->k->c->desks), desk_shares, &q, &s->arena,
	    &rep, CLERK_ASK_MS);
	if (err != 0)
		return control_fail_role(s, "desk", err, SLICE_EMPTY);
	for (size_t i = 0; err == 0 && i < rep.mailboxes.n && i < rep.identifiers.n && i < rep.rights.n; i++) {
		json_t *o = json_object();

		control_set_text(o, "mailbox", rep.mailboxes.v[i]);
		control_set_text(o, "who", rep.identifiers.v[i]);
		control_set_text(o, "rights", rep.rights.v[i]);
		err = control_row(s, o);
		json_decref(o);
	}
	return err;
}
