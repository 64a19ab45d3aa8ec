/* clerk_command_report.c: `report`, `report list` and `report show` on the control socket. */
#include "role/clerk_private.h"

#include "guard/guard_received.h"
#include "message/mailbox.h"
#include "role/report_json.h"

#define DAY_S 86400
#define PAGE 500
#define PAGE_ARENA_BYTES ((size_t)64 << 20)

/* What a listing is asked for. */
struct scope {
	int64_t since_s;
	struct slice domain;
};

static int
find_scope(struct control_session *s, int64_t days_otherwise, struct scope *out)
{
	struct slice name = control_text(&s->request, "domain");
	int64_t days = control_int(&s->request, "days", days_otherwise);

	*out = (struct scope){.since_s = 0};
	if (days > 0 && days < 1000000)
		out->since_s = house_now_s(s->k->c->house) - days * DAY_S;
	if (name.n > 0 && domain_normalise(&s->arena, name, &out->domain) != 0)
		return control_fail(s, ERR_INVALID, "Write it as example.org.", "%.*s is no domain", SLICE_ARG(name));
	return 0;
}

static void
set_number(json_t *o, const char *key, int64_t n)
{
	(void)json_object_set_new(o, key, json_integer(n));
}

static void
set_days(json_t *o, int64_t begin_s, int64_t end_s)
{
	if (begin_s > 0)
		control_set_time(o, "begins_at", begin_s * 1000000);
	if (end_s > 0)
		control_set_time(o, "ends_at", end_s * 1000000);
}

/* Sends a row, and gives it up. */
static int
send_row(struct control_session *s, json_t *row)
{
	int e = control_row(s, row);

	json_decref(row);
	return e;
}

/* ---- the summary ------------------------------------------------------------------------------------------------ */

static int
show_source(struct control_session *s, const struct guard_received_source *v)
{
	json_t *o = json_object();

	control_set_text(o, "kind", SLICE("dmarc"));
	control_set_text(o, "domain", v->domain);
	control_set_text(o, "source", v->source);
	control_set_text(o, "who", v->who);
	set_number(o, "messages", v->messages);
	set_number(o, "passed", v->passed);
	set_number(o, "spf", v->spf);
	set_number(o, "dkim", v->dkim);
	set_number(o, "quarantined", v->quarantined);
	set_number(o, "rejected", v->rejected);
	set_number(o, "reporters", v->reporters);
	control_set_text(o, "reporter", v->reporter);
	(void)json_object_set_new(o, "proven", json_boolean(v->proven));
	set_days(o, v->begin_s, v->end_s);
	return send_row(s, o);
}

static int
show_sessions(struct control_session *s, const struct guard_received_sessions *v)
{
	json_t *o = json_object();

	control_set_text(o, "kind", SLICE("tls"));
	control_set_text(o, "domain", v->domain);
	control_set_text(o, "policy", v->policy);
	control_set_text(o, "result", v->result);
	set_number(o, "sessions", v->sessions);
	control_set_text(o, "host", v->host);
	set_number(o, "reporters", v->reporters);
	control_set_text(o, "reporter", v->reporter);
	(void)json_object_set_new(o, "proven", json_boolean(v->proven));
	set_days(o, v->begin_s, v->end_s);
	return send_row(s, o);
}

static int
show_sources(struct control_session *s, const struct scope *of, struct arena *a)
{
	size_t n = PAGE, skip = 0;
	int e = 0;

	for (; e == 0 && n == PAGE; skip += n) {
		struct guard_received_source *v;

		arena_reset(a);
		e = guard_received_sources(s->k->guard_db, of->since_s, of->domain, skip, PAGE, a, &v, &n);
		for (size_t i = 0; e == 0 && i < n; i++)
			e = show_source(s, &v[i]);
	}
	return e;
}

static int
show_all_sessions(struct control_session *s, const struct scope *of, struct arena *a)
{
	size_t n = PAGE, skip = 0;
	int e = 0;

	for (; e == 0 && n == PAGE; skip += n) {
		struct guard_received_sessions *v;

		arena_reset(a);
		e = guard_received_sessions(s->k->guard_db, of->since_s, of->domain, skip, PAGE, a, &v, &n);
		for (size_t i = 0; e == 0 && i < n; i++)
			e = show_sessions(s, &v[i]);
	}
	return e;
}

int
control_run_report(struct control_session *s)
{
	CLERK_ENTER(s->k);
	struct arena a ARENA_CLEANUP;
	struct scope of;
	int e = find_scope(s, 7, &of);

	arena_init(&a, PAGE_ARENA_BYTES);
	if (e == 0)
		e = show_sources(s, &of, &a);
	return e == 0 ? show_all_sessions(s, &of, &a) : e;
}

/* ---- reports one by one -------------------------------------------------------------------------------------------- */

static json_t *
report_row(const struct guard_received *r)
{
	json_t *o = json_object();
	char id[24];

	(void)snprintf(id, sizeof(id), "%lld", (long long)r->id);
	control_set_text(o, "id", slice_z(id));
	control_set_text(o, "kind", slice_z(report_json_kind(r->kind)));
	control_set_text(o, "domain", r->domain);
	control_set_text(o, "organisation", r->organisation);
	control_set_text(o, "contact", r->contact);
	control_set_text(o, "report_id", r->report_id);
	control_set_text(o, "sender", r->sender);
	control_set_text(o, "proof", r->proof);
	(void)json_object_set_new(o, "proven", json_boolean(r->sender.n > 0));
	(void)json_object_set_new(o, "ours", json_boolean(r->ours));
	set_number(o, "total", r->total);
	set_number(o, "rows", r->rows);
	set_days(o, r->begin_s, r->end_s);
	control_set_time(o, "received_at", r->received_s * 1000000);
	control_set_text(o, "message", r->message);
	control_set_text(o, "recipient", r->recipient);
	if (r->problem.n > 0)
		control_set_text(o, "problem", r->problem);
	return o;
}

int
control_run_report_list(struct control_session *s)
{
	CLERK_ENTER(s->k);
	struct arena a ARENA_CLEANUP;
	struct scope of;
	int64_t below = INT64_MAX;
	size_t n = PAGE;
	int e = find_scope(s, 30, &of);

	arena_init(&a, PAGE_ARENA_BYTES);
	while (e == 0 && n == PAGE) {
		struct guard_received *v;

		arena_reset(&a);
		e = guard_received_list(s->k->guard_db, of.since_s, of.domain, below, PAGE, &a, &v, &n);
		for (size_t i = 0; e == 0 && i < n; i++) {
			e = send_row(s, report_row(&v[i]));
			below = v[i].id;
		}
	}
	return e;
}

static int
show_rows(struct control_session *s, const struct guard_received *r, struct arena *a)
{
	size_t n = PAGE;
	int64_t from = 0;
	int e = 0;

	for (; e == 0 && n == PAGE; from += (int64_t)n) {
		struct guard_received_row *v;

		arena_reset(a);
		e = guard_received_rows(s->k->guard_db, r->id, from, PAGE, a, &v, &n);
		for (size_t i = 0; e == 0 && i < n; i++) {
			const struct report_json_row row = {r->kind, v[i].domain, v[i].source, v[i].total, v[i].outcome,
			    v[i].means, v[i].who, v[i].detail};

			e = send_row(s, report_json_row(&row));
		}
	}
	return e;
}

int
control_run_report_show(struct control_session *s)
{
	CLERK_ENTER(s->k);
	struct slice name = control_text(&s->request, "id");
	struct guard_received r;
	struct arena a ARENA_CLEANUP;
	uint64_t id;
	json_t *o;
	int e = slice_to_u64(name, INT64_MAX, &id);

	arena_init(&a, PAGE_ARENA_BYTES);
	if (e == 0)
		e = guard_received_get(s->k->guard_db, (int64_t)id, &s->arena, &r);
	if (e == ERR_SYNTAX || e == ERR_LIMIT || e == ERR_NOTFOUND)
		return control_fail(s, ERR_NOTFOUND, "`posthouse report list` shows those that there are.",
		    "there is no report %.*s", SLICE_ARG(name));
	if (e != 0)
		return e;
	o = report_row(&r);
	(void)json_object_set_new(o, "policy", report_json_lines(r.policy));
	e = send_row(s, o);
	return e == 0 ? show_rows(s, &r, &a) : e;
}
