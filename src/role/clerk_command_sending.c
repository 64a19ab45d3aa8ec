/* clerk_command_sending.c: `account identity` and `account limit` on the control socket: as whom an account may send, and
 * how much. */
#include "role/clerk_private.h"

#include "directory/directory_identity.h"

struct work {
	struct control_session *s;
	struct slice address, identity, name;
	struct directory_account account;
	struct directory_identity *v;
	size_t n;
	struct directory_account_limits limits;
};

/* ---- identities --------------------------------------------------------------------------------------------- */

static int
find(struct sqltx *tx, struct work *w)
{
	int err = directory_account_find(tx, &w->s->arena, w->address, &w->account);

	buf_reset(&w->s->what);
	if (err == ERR_NOTFOUND)
		buf_printf(&w->s->what, "there is no account %.*s", SLICE_ARG(w->address));
	return err;
}

static int
set_identity(struct sqltx *tx, void *arg)
{
	struct work *w = arg;
	int err = find(tx, w);

	return err != 0
	    ? err
	    : directory_identity_set(tx, w->s->k->c->house, w->account.id, w->identity, w->name, &w->s->what);
}

static int
remove_identity(struct sqltx *tx, void *arg)
{
	struct work *w = arg;
	int err = find(tx, w);

	return err != 0 ? err : directory_identity_remove(tx, w->account.id, w->identity, &w->s->what);
}

static int
list_identities(struct sqltx *tx, void *arg)
{
	struct work *w = arg;
	int err = find(tx, w);

	return err != 0 ? err : directory_identity_list(tx, &w->s->arena, w->account.id, &w->v, &w->n);
}

static struct work
work_of(struct control_session *s)
{
	return (struct work){.s = s,
	    .address = control_text(&s->request, "address"),
	    .identity = control_text(&s->request, "identity"),
	    .name = control_text(&s->request, "name")};
}

int
control_run_identity_add(struct control_session *s)
{
	struct work w = work_of(s);
	int err = clerk_directory_write(s->k, set_identity, &w);

	if (err == 0)
		LOG(s->k->c->house, INFO, "identity_added", LOG_S("account", w.account.address),
		    LOG_S("identity", w.identity));
	return err;
}

int
control_run_identity_remove(struct control_session *s)
{
	struct work w = work_of(s);
	int err = clerk_directory_write(s->k, remove_identity, &w);

	if (err == 0)
		LOG(s->k->c->house, INFO, "identity_removed", LOG_S("account", w.account.address),
		    LOG_S("identity", w.identity));
	return err;
}

int
control_run_identity_list(struct control_session *s)
{
	struct work w = work_of(s);
	int err = sql_read(s->k->directory_db, list_identities, &w);

	for (size_t i = 0; err == 0 && i < w.n; i++) {
		json_t *o = json_object();

		control_set_text(o, "identity", w.v[i].address);
		control_set_text(o, "name", w.v[i].name);
		control_set_time(o, "created_at", w.v[i].created_us);
		err = control_row(s, o);
		json_decref(o);
	}
	return err;
}

/* ---- limits --------------------------------------------------------------------------------------------------- */

/* The keys of the request and of the answer, with the member of each. */
static const struct {
	const char *key;
	size_t offset;
} members[] = {
    {"message_bytes", offsetof(struct directory_account_limits, message_bytes)},
    {"recipients", offsetof(struct directory_account_limits, recipients)},
    {"messages_per_hour", offsetof(struct directory_account_limits, messages_per_hour)},
    {"messages_per_day", offsetof(struct directory_account_limits, messages_per_day)},
    {"recipients_per_hour", offsetof(struct directory_account_limits, recipients_per_hour)},
    {"recipients_per_day", offsetof(struct directory_account_limits, recipients_per_day)},
};

static int64_t *
member(struct directory_account_limits *l, size_t i)
{
	return (int64_t *)((char *)l + members[i].offset);
}

static int
set_limits(struct sqltx *tx, void *arg)
{
	struct work *w = arg;
	int err = find(tx, w);

	if (err == 0)
		err = directory_limits_get(tx, w->account.id, &w->limits);
	for (size_t i = 0; i < COUNT_OF(members); i++) {
		int64_t now = control_bool(&w->s->request, "defaults") ? DIRECTORY_LIMIT_DEFAULT
								       : *member(&w->limits, i);

		*member(&w->limits, i) = control_int(&w->s->request, members[i].key, now);
	}
	return err == 0 ? directory_limits_set(tx, w->account.id, &w->limits) : err;
}

static int
find_only(struct sqltx *tx, void *arg)
{
	return find(tx, arg);
}

/* What holds for the account now, and what it has sent. */
int
clerk_sending_show(struct control_session *s, struct slice account_id, json_t *into)
{
	struct directory_account_limits own;
	struct clerk_sender sender;
	struct guard_usage u;
	json_t *limits = json_object(), *sent = json_object();
	int err = clerk_sender_of_account(s->k, account_id, SLICE_EMPTY, &sender);

	json_object_set_new(into, "limits", limits);
	json_object_set_new(into, "sent", sent);
	if (err != 0)
		return err;
	own = (struct directory_account_limits){sender.message_bytes, sender.recipients, sender.rates.messages_per_hour,
	    sender.rates.messages_per_day, sender.rates.recipients_per_hour, sender.rates.recipients_per_day};
	for (size_t i = 0; i < COUNT_OF(members); i++)
		json_object_set_new(limits, members[i].key, json_integer(*member(&own, i)));
	guard_usage(s->k->guard, slice_z(sender.name), &u);
	json_object_set_new(sent, "messages_last_hour", json_integer(u.messages_hour));
	json_object_set_new(sent, "messages_last_day", json_integer(u.messages_day));
	json_object_set_new(sent, "recipients_last_hour", json_integer(u.recipients_hour));
	json_object_set_new(sent, "recipients_last_day", json_integer(u.recipients_day));
	json_object_set_new(sent, "refused_last_day", json_integer(u.refused_day));
	if (u.refused_last_us > 0)
		control_set_time(sent, "refused_last_at", u.refused_last_us);
	return 0;
}

int
control_run_account_limit(struct control_session *s)
{
	struct work w = work_of(s);
	bool forget = control_bool(&s->request, "forget_sent"), change = control_bool(&s->request, "defaults");
	char name[64];
	int err;

	for (size_t i = 0; i < COUNT_OF(members); i++) {
		int64_t v = control_int(&s->request, members[i].key, DIRECTORY_LIMIT_DEFAULT);

		change = change || v != DIRECTORY_LIMIT_DEFAULT;
		if (v < DIRECTORY_LIMIT_DEFAULT)
			return control_fail(
			    s, ERR_INVALID, "Give a number; 0 is no limit.", "%s is negative", members[i].key);
	}
	err = change ? clerk_directory_write(s->k, set_limits, &w) : sql_read(s->k->directory_db, find_only, &w);
	if (err != 0)
		return err;
	(void)snprintf(name, sizeof(name), "account:%.*s", SLICE_ARG(w.account.id));
	if (forget)
		guard_forget(s->k->guard, slice_z(name));
	if (change || forget)
		LOG(s->k->c->house, INFO, "account_limit", LOG_S("account", w.account.address),
		    LOG_I("forget_sent", forget));
	return clerk_sending_show(s, w.account.id, s->done);
}
