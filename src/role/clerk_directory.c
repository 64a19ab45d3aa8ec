/* clerk_directory.c: what gates, porches and desks ask of the directory. */
#include "role/clerk_private.h"
#include "role/clerk_vacation.h"

int
clerk_directory_write(struct clerk *k, sql_fn *fn, void *arg)
{
	int err = directory_write(k->directory, fn, arg);

	clerk_targets_forget(k);
	return err;
}

static int
on_rcpt(struct clerk *k, struct bus_peer *from, struct bus_clerk_rcpt_request *q, struct arena *a,
    struct bus_clerk_rcpt_reply *rep)
{
	CLERK_ENTER(k);
	struct directory_writer sender = {.signed_in = bus_peer_role(from) == ROLE_DESK, .path = q->reverse_path};
	struct directory_rcpt r = {0};
	struct slice address;
	int err;

	k->counters.rcpt++;
	err = clerk_program_address(k, q->address, false, a, &address);
	if (err == 0)
		err = directory_check_rcpt(k->directory, address, &sender, &r);
	if (err != 0)
		LOG(k->c->house, ERROR, "directory_failed", LOG_E(err));
	else if (r.result == RCPT_TEMPFAIL)
		LOG(k->c->house, ERROR, "address_leads_too_far", LOG_S("address", address),
		    LOG_Z("do",
			"make the chain of aliases or the groups behind it smaller, or raise directory_alias_depth or "
			"directory_expansion; until then its mail waits at who sends it"));
	rep->result = err != 0 ? RCPT_TEMPFAIL : r.result;
	rep->local = err == 0 && r.local;
	if (rep->result == RCPT_OK && clerk_full(k, address, &sender))
		rep->result = RCPT_FULL;
	if (rep->result == RCPT_REMOTE && queue_suppressed(k->queue, address, a, &rep->detail))
		rep->result = RCPT_SUPPRESSED;
	return 0;
}

struct login {
	struct slice name;
	bool short_names;
	struct arena *a;
	struct directory_account account;
};

static int
read_login(struct sqltx *tx, void *arg)
{
	struct login *l = arg;

	return directory_login(tx, l->a, l->name, l->short_names, &l->account);
}

static int
on_login(struct clerk *k, struct bus_peer *from, struct bus_clerk_login_request *q, struct arena *a,
    struct bus_clerk_login_reply *rep)
{
	CLERK_ENTER(k);
	struct login l = {.name = q->name, .short_names = k->c->settings->short_names, .a = a};
	int err;

	(void)from;
	k->counters.login++;
	err = sql_read(k->directory_db, read_login, &l);
	if (err != 0 && err != ERR_NOTFOUND)
		return err;
	rep->salt_id = l.account.id.n > 0 ? l.account.id : l.account.address;
	if (err == ERR_NOTFOUND)
		return 0;
	rep->found = 1;
	rep->account_id = l.account.id;
	rep->address = l.account.address;
	return 0;
}

struct account_get {
	struct slice id;
	struct arena *a;
	struct directory_account account;
	struct directory_vacation vacation;
	bool has_vacation;
};

static int
read_account(struct sqltx *tx, void *arg)
{
	struct account_get *g = arg;
	int err = directory_account_get(tx, g->a, g->id, &g->account);

	if (err != 0)
		return err;
	err = directory_vacation_get(tx, g->a, g->id, &g->vacation);
	g->has_vacation = err == 0;
	return err == ERR_NOTFOUND ? 0 : err;
}

/* A desk is told of its own accounts only. */
static bool
is_its_own(const struct clerk *k, const struct bus_peer *desk, struct slice account_id)
{
	return account_desk(account_id, k->c->desks) == bus_peer_index(desk);
}

static int
on_account(struct clerk *k, struct bus_peer *from, struct bus_clerk_account_request *q, struct arena *a,
    struct bus_clerk_account_reply *rep)
{
	CLERK_ENTER(k);
	struct account_get g = {.id = q->account_id, .a = a};
	int err;

	k->counters.account++;
	if (!is_its_own(k, from, q->account_id))
		return ERR_DENIED;
	err = sql_read(k->directory_db, read_account, &g);
	if (err == ERR_NOTFOUND)
		return 0;
	if (err != 0)
		return err;
	*rep = (struct bus_clerk_account_reply){.found = 1,
	    .address = g.account.address,
	    .display_name = g.account.display_name,
	    .quota_bytes = g.account.quota_bytes,
	    .enabled = g.account.enabled,
	    .vacation = g.has_vacation};
	return 0;
}

/* ---- out of office ------------------------------------------------------------------------------------------- */

struct vacation_ask {
	struct account_get get;
	struct slice sender;
	struct slice_list addresses;
	bool own, own_sender;
};

static int
read_vacation(struct sqltx *tx, void *arg)
{
	struct vacation_ask *v = arg;
	int err = read_account(tx, &v->get);

	v->own = v->own_sender = false;
	if (err == 0 && v->get.has_vacation)
		err = directory_is_own(tx, v->get.a, v->get.id, v->sender, &v->own_sender);
	for (size_t i = 0; err == 0 && v->get.has_vacation && !v->own && i < v->addresses.n; i++)
		err = directory_is_own(tx, v->get.a, v->get.id, v->addresses.v[i], &v->own);
	return err;
}

static int
on_vacation(struct clerk *k, struct bus_peer *from, struct bus_clerk_vacation_request *q, struct arena *a,
    struct bus_clerk_vacation_reply *rep)
{
	CLERK_ENTER(k);
	struct vacation_ask v = {.get = {.id = q->account_id, .a = a}, .sender = q->sender, .addresses = q->addresses};
	const struct directory_vacation *text = &v.get.vacation;
	int64_t now_us = house_now_us(k->c->house);
	int err;

	if (!is_its_own(k, from, q->account_id) || q->addresses.n > CLERK_VACATION_ADDRESSES)
		return ERR_DENIED;
	err = sql_read(k->directory_db, read_vacation, &v);
	if (err != 0)
		return err == ERR_NOTFOUND ? 0 : err;
	if (!v.get.has_vacation || !v.own || v.own_sender || !v.get.account.enabled || now_us < text->from_us ||
	    now_us >= text->until_us)
		return 0;
	*rep = (struct bus_clerk_vacation_reply){.answer = 1,
	    .address = v.get.account.address,
	    .display_name = v.get.account.display_name,
	    .subject = text->subject,
	    .text = text->text,
	    .days = text->days,
	    .edition = text->set_us};
	return 0;
}

void
clerk_directory_handle(struct clerk *k)
{
	BUS_HANDLE(k->c->bus, clerk_rcpt, on_rcpt, k);
	BUS_HANDLE(k->c->bus, clerk_login, on_login, k);
	BUS_HANDLE(k->c->bus, clerk_account, on_account, k);
	BUS_HANDLE(k->c->bus, clerk_vacation, on_vacation, k);
}
