/* clerk_command_house.c: `status`, `clock`, `reload`, `stop` on the control socket: what the keeper and the other roles
 * are asked for. */
#include "role/clerk_health.h"
#include "role/clerk_private.h"

#define RELOAD_MS 60000

/* ---- status ------------------------------------------------------------------------------------------ */

int
control_run_status(struct control_session *s)
{
	struct role_context *c = s->k->c;
	bool check = control_bool(&s->request, "check");
	json_t *rows, *problems, *row;
	size_t i;
	int err = clerk_look(s->k, &rows);

	if (err != 0)
		return control_fail_role(s, "keeper", err, SLICE_EMPTY);
	problems = clerk_problems(s->k, rows);
	json_array_foreach(check ? problems : rows, i, row)
	{
		err = control_row(s, row);
		if (err != 0)
			break;
	}
	control_set_text(s->done, "hostname", c->settings->hostname);
	json_object_set_new(s->done, "version", json_string(POSTHOUSE_VERSION));
	json_object_set_new(s->done, "generation", json_integer(c->settings->generation));
	control_set_time(s->done, "now", house_now_us(c->house));
	json_object_set_new(s->done, "health", json_string(health_word(health_level(problems))));
	if (!check)
		json_object_set(s->done, "problems", problems);
	json_decref(problems);
	json_decref(rows);
	return err;
}

/* ---- the clock ------------------------------------------------------------------------------------------ */

static void
tell_clock(struct control_session *s, int64_t offset_us)
{
	control_set_time(s->done, "now", house_now_us(s->k->c->house));
	json_object_set_new(s->done, "offset_seconds", json_integer(offset_us / 1000000));
}

int
control_run_clock_show(struct control_session *s)
{
	tell_clock(s, atomic_load(&s->k->c->house->clock_offset_us));
	return 0;
}

int
control_run_clock_advance(struct control_session *s)
{
	struct role_context *c = s->k->c;
	int64_t seconds = control_int(&s->request, "seconds", 0);
	struct bus_keeper_clock_request q = {.advance_us = seconds * 1000000};
	struct bus_keeper_clock_reply rep = {0};
	int err;

	if (!c->settings->test_clock)
		return control_fail(
		    s, ERR_DENIED, "Start a house for tests with --test-clock.", "this house goes by the real time");
	if (seconds <= 0 || seconds > INT64_C(10) * 366 * 86400)
		return control_fail(s, ERR_INVALID, "Give a time between 1 second and 10 years.",
		    "the clock cannot be advanced by that much");
	err = BUS_CALL(c->bus, ROLE_KEEPER, 0, keeper_clock, &q, &s->arena, &rep, CLERK_ASK_MS);
	if (err != 0 || rep.detail.n > 0)
		return control_fail_role(s, "keeper", err, rep.detail);
	queue_wake(s->k->queue);
	tell_clock(s, rep.offset_us);
	return 0;
}

/* ---- reload, stop ------------------------------------------------------------------------------------------ */

int
control_run_reload(struct control_session *s)
{
	struct bus_keeper_reload_request q;
	struct bus_keeper_reload_reply rep = {0};
	int err;

	memset(&q, 0, sizeof(q));
	err = BUS_CALL(s->k->c->bus, ROLE_KEEPER, 0, keeper_reload, &q, &s->arena, &rep, RELOAD_MS);
	if (err == 0 && rep.detail.n > 0)
		return control_fail(s, ERR_INVALID, "Nothing was taken over; the house goes on as it was.", "%.*s",
		    SLICE_ARG(slice_trim(rep.detail)));
	if (err != 0)
		return control_fail_role(s, "keeper", err, rep.detail);
	json_object_set_new(s->done, "generation", json_integer(s->k->c->settings->generation));
	return 0;
}

int
control_run_stop(struct control_session *s)
{
	struct bus_keeper_stop_request q;
	struct bus_keeper_stop_reply rep;
	int err;

	memset(&q, 0, sizeof(q));
	err = BUS_CALL(s->k->c->bus, ROLE_KEEPER, 0, keeper_stop, &q, &s->arena, &rep, CLERK_ASK_MS);
	return err == 0 ? 0 : control_fail_role(s, "keeper", err, SLICE_EMPTY);
}
