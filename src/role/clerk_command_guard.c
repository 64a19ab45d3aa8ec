/* clerk_command_guard.c: failed sign-ins of accounts on the control socket: who guesses, and to be forgiven. The vault counts them, by the
 * ids of accounts, and by names that nobody has. */
#include "role/clerk_private.h"

struct guard_work {
	struct arena *a;
	struct slice id;
	struct directory_account out;
};

static int
get_account(struct sqltx *tx, void *arg)
{
	struct guard_work *w = arg;

	return directory_account_get(tx, w->a, w->id, &w->out);
}

static int
put_row(struct control_session *s, struct slice name, struct slice json)
{
	struct guard_work w = {.a = &s->arena, .id = name};
	int err = sql_read(s->k->directory_db, get_account, &w);
	json_t *o;

	if (err != 0 && err != ERR_NOTFOUND)
		return err;
	o = json_loadb((const char *)json.p, json.n, 0, NULL);
	if (o == NULL)
		return ERR_INVALID;
	control_set_text(o, "name", err == 0 ? w.out.address : name);
	(void)json_object_set_new(o, "account", json_boolean(err == 0));
	err = control_row(s, o);
	json_decref(o);
	return err;
}

int
control_run_guard_list(struct control_session *s)
{
	struct bus_vault_guess_list_request q;
	struct bus_vault_guess_list_reply rep = {0};
	int err;

	memset(&q, 0, sizeof(q));
	err = BUS_CALL(s->k->c->bus, ROLE_VAULT, 0, vault_guess_list, &q, &s->arena, &rep, CLERK_ASK_MS);
	if (err != 0)
		return control_fail_role(s, "vault", err, SLICE_EMPTY);
	if (rep.json.n != rep.names.n)
		return ERR_INVALID;
	for (size_t i = 0; err == 0 && i < rep.names.n; i++)
		err = put_row(s, rep.names.v[i], rep.json.v[i]);
	return err;
}

static int
find_account(struct sqltx *tx, void *arg)
{
	struct guard_work *w = arg;

	return directory_account_find(tx, w->a, w->id, &w->out);
}

int
control_run_guard_lift(struct control_session *s)
{
	struct guard_work w = {.a = &s->arena, .id = control_text(&s->request, "name")};
	struct bus_vault_guess_lift_request q = {.name = w.id};
	struct bus_vault_guess_lift_reply rep = {0};
	int err = sql_read(s->k->directory_db, find_account, &w);

	if (err == 0)
		q.name = w.out.id;
	err = BUS_CALL(s->k->c->bus, ROLE_VAULT, 0, vault_guess_lift, &q, &s->arena, &rep, CLERK_ASK_MS);
	if (err != 0)
		return control_fail_role(s, "vault", err, SLICE_EMPTY);
	return rep.lifted ? 0
			  : control_fail(s, ERR_NOTFOUND, "`posthouse guard list` shows who has any.",
				"%.*s has no failed sign-ins", SLICE_ARG(w.id));
}
