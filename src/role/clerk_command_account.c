/* clerk_command_account.c: accounts on the control socket. An account is in three places: its folder (desk), its password
 * (vault), its row (directory). The row comes last and goes last: an account that is listed is whole, and what a failure
 * leaves behind before that belongs to an id that nobody knows; removal can be repeated until it is through. */
#include "role/clerk_private.h"

#include <unistd.h>

#define REMOVE_MS 600000

struct account_work {
	struct control_session *s;
	struct house *house;
	struct arena *a;
	struct slice address;
	struct directory_account in, out;
	struct directory_forward forward;
	bool vacation;
};

/* ---- finding ----------------------------------------------------------------------------------------- */

static int
find_account(struct sqltx *tx, void *arg)
{
	struct account_work *w = arg;

	return directory_account_find(tx, w->a, w->address, &w->out);
}

/* The account that the request names. */
static int
named_account(struct control_session *s, struct account_work *w)
{
	int err;

	*w = (struct account_work){
	    .s = s, .house = s->k->c->house, .a = &s->arena, .address = control_text(&s->request, "address")};
	err = sql_read(s->k->directory_db, find_account, w);
	if (err == ERR_NOTFOUND)
		return control_fail(s, ERR_NOTFOUND, "`posthouse account list` shows all accounts.",
		    "there is no account %.*s", SLICE_ARG(w->address));
	w->in = w->out;
	return err;
}

int
control_account(struct control_session *s, struct directory_account *out)
{
	struct account_work w;
	int err = named_account(s, &w);

	*out = w.out;
	return err;
}

void
control_account_changed(struct control_session *s, struct slice account_id)
{
	struct bus_desk_account_changed_request q = {.account_id = account_id};
	struct bus_desk_account_changed_reply rep;
	int err = BUS_CALL(s->k->c->bus, ROLE_DESK, account_desk(account_id, s->k->c->desks), desk_account_changed, &q,
	    &s->arena, &rep, CLERK_ASK_MS);

	clerk_full_remove(s->k, account_id);
	if (err != 0)
		LOG(s->k->c->house, DEBUG, "desk_not_told", LOG_S("account_id", account_id), LOG_E(err));
}

static int
update_account(struct sqltx *tx, void *arg)
{
	struct account_work *w = arg;

	buf_reset(&w->s->what);
	return directory_account_update(tx, &w->in, &w->s->what);
}

/* ---- the other places --------------------------------------------------------------------------------- */

static int
desk_of(struct control_session *s, struct slice id)
{
	return account_desk(id, s->k->c->desks);
}

static int
set_password(struct control_session *s, struct slice id)
{
	struct bus_vault_set_password_request q = {.account_id = id,
	    .password = control_text(&s->request, "password"),
	    .hash = control_text(&s->request, "hash")};
	struct bus_vault_set_password_reply rep = {0};
	int err;

	if (q.password.n > 0 && q.hash.n > 0)
		return control_fail(s, ERR_INVALID, "Give one of them.", "a password and a hash exclude each other");
	if (q.password.n > (size_t)s->k->c->house->limits.password_bytes)
		return control_fail(s, ERR_LIMIT, "Choose a shorter one.", "the password is longer than %lld bytes",
		    (long long)s->k->c->house->limits.password_bytes);
	err = BUS_CALL(s->k->c->bus, ROLE_VAULT, 0, vault_set_password, &q, &s->arena, &rep, CLERK_ASK_MS);
	return err == 0 && rep.detail.n == 0 ? 0 : control_fail_role(s, "vault", err, rep.detail);
}

static int
forget_passwords(struct control_session *s, struct slice id)
{
	struct bus_vault_forget_request q = {.account_id = id};
	struct bus_vault_forget_reply rep;
	int err = BUS_CALL(s->k->c->bus, ROLE_VAULT, 0, vault_forget, &q, &s->arena, &rep, CLERK_ASK_MS);

	return err == 0 || err == ERR_NOTFOUND ? 0 : control_fail_role(s, "vault", err, SLICE_EMPTY);
}

static int
make_folder(struct control_session *s, struct slice id)
{
	struct bus_desk_account_create_request q = {.account_id = id};
	struct bus_desk_account_create_reply rep = {0};
	int err = BUS_CALL(
	    s->k->c->bus, ROLE_DESK, desk_of(s, id), desk_account_create, &q, &s->arena, &rep, CLERK_ASK_MS);

	return err == 0 && rep.detail.n == 0 ? 0 : control_fail_role(s, "desk", err, rep.detail);
}

static int
remove_folder(struct control_session *s, struct slice id)
{
	struct bus_desk_account_remove_request q = {.account_id = id};
	struct bus_desk_account_remove_reply rep = {0};
	int err = BUS_CALL(
	    s->k->c->bus, ROLE_DESK, desk_of(s, id), desk_account_remove, &q, &s->arena, &rep, REMOVE_MS);

	if (err == ERR_NOTFOUND)
		return 0;
	return err == 0 && rep.detail.n == 0 ? 0 : control_fail_role(s, "desk", err, rep.detail);
}

/* ---- adding --------------------------------------------------------------------------------------------- */

static int
insert_account(struct sqltx *tx, void *arg)
{
	struct account_work *w = arg;

	buf_reset(&w->s->what);
	return directory_account_add(tx, w->house, w->a, &w->in, &w->out, &w->s->what);
}

/* As insert_account, and undoes it: whether it would succeed. */
static int
try_account(struct sqltx *tx, void *arg)
{
	int err = insert_account(tx, arg);

	return err == 0 ? ERR_CANCELLED : err;
}

/* Takes back what was made for an id without a row; the words of the failure stay. */
static void
undo(struct control_session *s, struct slice id)
{
	struct buf what = s->what, todo = s->todo;

	buf_init(&s->what, what.max);
	buf_init(&s->todo, todo.max);
	if (forget_passwords(s, id) != 0 || remove_folder(s, id) != 0)
		LOG(s->k->c->house, WARN, "account_leftovers", LOG_S("account_id", id));
	buf_free(&s->what);
	buf_free(&s->todo);
	s->what = what;
	s->todo = todo;
}

int
control_run_account_add(struct control_session *s)
{
	struct account_work w = {.s = s, .house = s->k->c->house, .a = &s->arena};
	char id[ULID_LEN + 1];
	int err;

	house_ulid(s->k->c->house, id);
	w.in = (struct directory_account){.id = slice_z(id),
	    .address = control_text(&s->request, "address"),
	    .display_name = control_text(&s->request, "display_name"),
	    .quota_bytes = control_int(&s->request, "quota_bytes", s->k->c->house->limits.account_quota_bytes),
	    .enabled = true,
	    .admin = control_bool(&s->request, "admin")};
	if (w.in.quota_bytes < 0)
		return control_fail(s, ERR_INVALID, "Give a number of bytes; 0 is unlimited.", "the quota is negative");
	err = sql_write(s->k->directory_db, try_account, &w);
	if (err != ERR_CANCELLED)
		return err;
	buf_reset(&s->what);
	err = make_folder(s, w.in.id);
	if (err == 0)
		err = set_password(s, w.in.id);
	if (err == 0)
		err = clerk_directory_write(s->k, insert_account, &w);
	if (err != 0) {
		undo(s, w.in.id);
		return err;
	}
	LOG(s->k->c->house, INFO, "account_added", LOG_S("address", w.out.address), LOG_S("account_id", w.out.id));
	control_set_text(s->done, "id", w.out.id);
	control_set_text(s->done, "address", w.out.address);
	return 0;
}

/* ---- removing --------------------------------------------------------------------------------------------- */

static int
delete_account(struct sqltx *tx, void *arg)
{
	struct account_work *w = arg;

	buf_reset(&w->s->what);
	return directory_account_remove(tx, w->out.id, &w->s->what);
}

int
control_run_account_remove(struct control_session *s)
{
	struct account_work w;
	int err = named_account(s, &w);

	if (err != 0)
		return err;
	/* From here on nobody signs in and nothing new is taken. */
	w.in.enabled = false;
	err = clerk_directory_write(s->k, update_account, &w);
	if (err == 0)
		err = forget_passwords(s, w.out.id);
	if (err == 0)
		err = remove_folder(s, w.out.id);
	if (err == 0)
		err = clerk_directory_write(s->k, delete_account, &w);
	if (err == 0)
		LOG(s->k->c->house, INFO, "account_removed", LOG_S("address", w.out.address),
		    LOG_S("account_id", w.out.id));
	return err;
}

/* ---- showing and changing ---------------------------------------------------------------------------------- */

/* Where its mail goes beside its mailbox, and whether it answers. */
static int
read_ways(struct sqltx *tx, void *arg)
{
	struct account_work *w = arg;
	struct directory_vacation vacation;
	int err = directory_forward_get(tx, w->a, w->out.id, &w->forward);

	if (err != 0)
		return err;
	err = directory_vacation_get(tx, w->a, w->out.id, &vacation);
	w->vacation = err == 0;
	return err == ERR_NOTFOUND ? 0 : err;
}

static void
set_ways(json_t *o, const struct account_work *w)
{
	json_t *to = json_array();

	for (size_t i = 0; i < w->forward.targets.n; i++)
		json_array_append_new(
		    to, json_stringn((const char *)w->forward.targets.v[i].p, w->forward.targets.v[i].n));
	json_object_set_new(o, "forward_to", to);
	json_object_set_new(o, "forward_keeps", json_boolean(w->forward.keep));
	json_object_set_new(o, "vacation", json_boolean(w->vacation));
}

int
control_run_account_show(struct control_session *s)
{
	struct bus_desk_account_status_request q;
	struct bus_desk_account_status_reply rep = {0};
	struct account_work w;
	json_t *o, *stored = NULL;
	int err = named_account(s, &w);

	if (err == 0)
		err = sql_read(s->k->directory_db, read_ways, &w);
	if (err != 0)
		return err;
	q = (struct bus_desk_account_status_request){.account_id = w.out.id};
	o = json_object();
	control_set_text(o, "id", w.out.id);
	control_set_text(o, "address", w.out.address);
	control_set_text(o, "display_name", w.out.display_name);
	json_object_set_new(o, "quota_bytes", json_integer(w.out.quota_bytes));
	json_object_set_new(o, "enabled", json_boolean(w.out.enabled));
	json_object_set_new(o, "admin", json_boolean(w.out.admin));
	control_set_time(o, "created_at", w.out.created_us);
	set_ways(o, &w);
	err = clerk_sending_show(s, w.out.id, o);
	/* An account is shown even while its desk is down. */
	if (BUS_CALL(s->k->c->bus, ROLE_DESK, desk_of(s, w.out.id), desk_account_status, &q, &s->arena, &rep,
		CLERK_ASK_MS) == 0)
		stored = json_loadb((const char *)rep.json.p, rep.json.n, 0, NULL);
	if (stored != NULL)
		json_object_set_new(o, "stored", stored);
	if (err == 0)
		err = control_row(s, o);
	json_decref(o);
	return err;
}

/* The connection itself goes to the account's desk. */
int
control_run_account_mail(struct control_session *s)
{
	struct bus_desk_operator_reply rep;
	struct account_work w;
	struct buf BUF_CLEANUP unread;
	int fd = -1, err = named_account(s, &w), again;

	if (err != 0)
		return err;
	buf_init(&unread, 65536);
	if (stream_pending(s->st).n > 0)
		return control_fail(
		    s, ERR_INVALID, "Wait for the answer before going on.", "there is something behind the request");
	if ((err = stream_detach(&s->st, &unread, &fd)) != 0)
		return err;
	err = BUS_CALL(s->k->c->bus, ROLE_DESK, desk_of(s, w.out.id), desk_operator,
	    (&(struct bus_desk_operator_request){.account_id = w.out.id, .login = w.out.address, .socket = fd}),
	    &s->arena, &rep, CLERK_ASK_MS);
	if (err == 0) {
		(void)close(fd);
		return 0;
	}
	if ((again = stream_new(&s->st, s->k->c->loop, fd)) != 0) {
		(void)close(fd);
		return again;
	}
	return control_fail_role(s, "desk", err, SLICE_EMPTY);
}

int
control_run_account_password(struct control_session *s)
{
	struct account_work w;
	int err = named_account(s, &w);

	if (err != 0)
		return err;
	if (control_text(&s->request, "password").n == 0 && control_text(&s->request, "hash").n == 0)
		return control_fail(
		    s, ERR_INVALID, "Give one with --password-stdin or --hash.", "there is no password");
	return set_password(s, w.out.id);
}

static int
set_enabled(struct control_session *s, bool enabled)
{
	struct account_work w;
	int err = named_account(s, &w);

	w.in.enabled = enabled;
	if (err == 0)
		err = clerk_directory_write(s->k, update_account, &w);
	if (err == 0)
		control_account_changed(s, w.out.id);
	return err;
}

int
control_run_account_enable(struct control_session *s)
{
	return set_enabled(s, true);
}

int
control_run_account_disable(struct control_session *s)
{
	return set_enabled(s, false);
}

int
control_run_account_quota(struct control_session *s)
{
	struct account_work w;
	int64_t quota = control_int(&s->request, "quota_bytes", 0);
	int err = named_account(s, &w);

	if (err == 0 && quota < 0)
		return control_fail(s, ERR_INVALID, "Give a number of bytes; 0 is unlimited.", "the quota is negative");
	w.in.quota_bytes = quota;
	if (err == 0)
		err = clerk_directory_write(s->k, update_account, &w);
	if (err == 0)
		control_account_changed(s, w.out.id);
	return err;
}

/* ---- app passwords ------------------------------------------------------------------------------------------- */

int
control_run_app_password_add(struct control_session *s)
{
	struct bus_vault_app_password_add_request q;
	struct bus_vault_app_password_add_reply rep = {0};
	struct account_work w;
	int err = named_account(s, &w);

	if (err != 0)
		return err;
	q = (struct bus_vault_app_password_add_request){
	    .account_id = w.out.id, .name = control_text(&s->request, "name")};
	err = BUS_CALL(s->k->c->bus, ROLE_VAULT, 0, vault_app_password_add, &q, &s->arena, &rep, CLERK_ASK_MS);
	if (err != 0 || rep.password.n == 0)
		return control_fail_role(s, "vault", err, rep.detail);
	control_set_text(s->done, "id", rep.id);
	control_set_text(s->done, "password", rep.password);
	return 0;
}

int
control_run_app_password_list(struct control_session *s)
{
	struct bus_vault_app_password_list_request q;
	struct bus_vault_app_password_list_reply rep = {0};
	struct account_work w;
	int err = named_account(s, &w);

	if (err != 0)
		return err;
	q = (struct bus_vault_app_password_list_request){.account_id = w.out.id};
	err = BUS_CALL(s->k->c->bus, ROLE_VAULT, 0, vault_app_password_list, &q, &s->arena, &rep, CLERK_ASK_MS);
	if (err != 0)
		return control_fail_role(s, "vault", err, SLICE_EMPTY);
	return control_json_rows(s, rep.json);
}

int
control_run_app_password_remove(struct control_session *s)
{
	struct bus_vault_app_password_remove_request q;
	struct bus_vault_app_password_remove_reply rep = {0};
	struct account_work w;
	struct slice id = control_text(&s->request, "id");
	int err = named_account(s, &w);

	if (err != 0)
		return err;
	q = (struct bus_vault_app_password_remove_request){.account_id = w.out.id, .id = id};
	err = BUS_CALL(s->k->c->bus, ROLE_VAULT, 0, vault_app_password_remove, &q, &s->arena, &rep, CLERK_ASK_MS);
	if (err != 0)
		return control_fail_role(s, "vault", err, SLICE_EMPTY);
	return rep.removed ? 0
			   : control_fail(s, ERR_NOTFOUND, "`posthouse account app-password list` shows them.",
				 "the account has no app password %.*s", SLICE_ARG(id));
}
