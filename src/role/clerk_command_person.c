/* clerk_command_person.c: `account forward` and `account vacation` on the control socket. */
#include "base/moment.h"
#include "role/clerk_private.h"

#define VACATION_DAYS 7 /* RFC 3834 §2 */

struct person_work {
	struct control_session *s;
	struct house *house;
	struct directory_account account;
	struct directory_forward forward;
	struct directory_vacation vacation;
};

static int
find_person(struct control_session *s, struct person_work *w)
{
	*w = (struct person_work){.s = s, .house = s->k->c->house};
	return control_account(s, &w->account);
}

/* ---- forwarding ---------------------------------------------------------------------------------------------- */

static int
set_forward(struct sqltx *tx, void *arg)
{
	struct person_work *w = arg;

	buf_reset(&w->s->what);
	return directory_forward_set(tx, w->house, &w->account, &w->forward, &w->s->what);
}

int
control_run_account_forward(struct control_session *s)
{
	struct person_work w;
	int err = find_person(s, &w);

	if (err == 0)
		err = control_list(&s->request, "targets", &s->arena, &w.forward.targets);
	if (err == 0 && w.forward.targets.n == 0)
		return control_fail(s, ERR_INVALID, "Name one, or use `account forward off`.", "there is no address");
	w.forward.keep = control_bool(&s->request, "keep");
	if (err == 0)
		err = clerk_directory_write(s->k, set_forward, &w);
	if (err == ERR_CONFLICT)
		buf_put_z(
		    &s->todo, "With --keep a copy stays in the mailbox; without it name addresses of others only.");
	return err;
}

int
control_run_account_forward_off(struct control_session *s)
{
	struct person_work w;
	int err = find_person(s, &w);

	return err == 0 ? clerk_directory_write(s->k, set_forward, &w) : err;
}

/* ---- out of office -------------------------------------------------------------------------------------------- */

static int
set_vacation(struct sqltx *tx, void *arg)
{
	struct person_work *w = arg;

	buf_reset(&w->s->what);
	return directory_vacation_set(tx, w->house, w->account.id, &w->vacation, &w->s->what);
}

static int
end_vacation(struct sqltx *tx, void *arg)
{
	struct person_work *w = arg;
	int err = directory_vacation_remove(tx, w->account.id);

	buf_reset(&w->s->what);
	if (err == ERR_NOTFOUND)
		buf_printf(&w->s->what, "%.*s has no out-of-office text.", SLICE_ARG(w->account.address));
	return err;
}

static int
read_vacation(struct sqltx *tx, void *arg)
{
	struct person_work *w = arg;

	return directory_vacation_get(tx, &w->s->arena, w->account.id, &w->vacation);
}

/* A time that may be left out. */
static int
moment_of(struct control_session *s, const char *key, bool end, int64_t otherwise, int64_t *us)
{
	struct slice text = control_text(&s->request, key);

	*us = otherwise;
	if (text.n == 0 || moment_parse(text, end, us) == 0)
		return 0;
	return control_fail(s, ERR_INVALID, "Write it as 2026-12-24 or 2026-12-24T18:00:00+01:00.",
	    "\"%.*s\" is not a date", SLICE_ARG(text));
}

int
control_run_account_vacation(struct control_session *s)
{
	struct person_work w;
	int err = find_person(s, &w);

	w.vacation.text = control_text(&s->request, "text");
	w.vacation.subject = control_text(&s->request, "subject");
	if (w.vacation.subject.n == 0)
		w.vacation.subject = SLICE("");
	w.vacation.days = control_int(&s->request, "days", VACATION_DAYS);
	if (err == 0)
		err = moment_of(s, "from", false, INT64_MIN, &w.vacation.from_us);
	if (err == 0)
		err = moment_of(s, "until", true, INT64_MAX, &w.vacation.until_us);
	if (err == 0 && w.vacation.until_us <= house_now_us(s->k->c->house))
		return control_fail(s, ERR_INVALID, "Give a later day.", "that is over already");
	if (err == 0)
		err = clerk_directory_write(s->k, set_vacation, &w);
	if (err == 0)
		control_account_changed(s, w.account.id);
	return err;
}

int
control_run_account_vacation_off(struct control_session *s)
{
	struct person_work w;
	int err = find_person(s, &w);

	if (err == 0)
		err = clerk_directory_write(s->k, end_vacation, &w);
	if (err == 0)
		control_account_changed(s, w.account.id);
	return err;
}

static void
set_open_time(json_t *o, const char *key, int64_t us)
{
	if (us == INT64_MIN || us == INT64_MAX)
		json_object_set_new(o, key, json_null());
	else
		control_set_time(o, key, us);
}

int
control_run_account_vacation_show(struct control_session *s)
{
	struct person_work w;
	int64_t now_us = house_now_us(s->k->c->house);
	json_t *o;
	int err = find_person(s, &w);

	if (err == 0)
		err = sql_read(s->k->directory_db, read_vacation, &w);
	if (err == ERR_NOTFOUND && w.account.id.n > 0)
		return control_fail(s, err, "`posthouse account vacation` sets one.", "%.*s has no out-of-office text",
		    SLICE_ARG(w.account.address));
	if (err != 0)
		return err;
	o = json_object();
	control_set_text(o, "address", w.account.address);
	json_object_set_new(o, "active", json_boolean(now_us >= w.vacation.from_us && now_us < w.vacation.until_us));
	control_set_text(o, "subject", w.vacation.subject);
	control_set_text(o, "text", w.vacation.text);
	set_open_time(o, "from", w.vacation.from_us);
	set_open_time(o, "until", w.vacation.until_us);
	json_object_set_new(o, "days", json_integer(w.vacation.days));
	err = control_row(s, o);
	json_decref(o);
	return err;
}
