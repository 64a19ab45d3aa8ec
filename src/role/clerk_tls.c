/* clerk_tls.c: keeps for the couriers, which have no files, the MTA-STS policies that they fetched and the counts of what came of their
 * connections; lists both. */
#include "role/clerk_private.h"

#include "guard/guard_tls.h"
#include "trust/mta_sts.h"

#define DUE_MAX 100
#define TEXT_MAX 2500u
#define LIST_PAGE 500
#define LIST_ARENA_BYTES ((size_t)64 << 20)
#define DAY_S 86400

static int
on_sts_get(struct clerk *k, struct bus_peer *from, struct bus_clerk_sts_get_request *q, struct arena *a,
    struct bus_clerk_sts_get_reply *rep)
{
	CLERK_ENTER(k);
	struct guard_policy p;
	int e = guard_policy_get(k->guard_db, k->c->house, q->domain, a, &p);

	(void)from;
	if (e == ERR_NOTFOUND)
		return 0;
	if (e == 0)
		*rep = (struct bus_clerk_sts_get_reply){1, p.id, p.text, p.fetched_s};
	return e;
}

static int
on_sts_put(struct clerk *k, struct bus_peer *from, struct bus_clerk_sts_put_request *q, struct arena *a,
    struct bus_clerk_sts_put_reply *rep)
{
	CLERK_ENTER(k);
	struct guard_policy p = {q->domain, q->policy_id, q->policy, q->fetched_s, q->expires_s};

	(void)from;
	(void)a;
	(void)rep;
	if (q->domain.n == 0 || q->domain.n > 253 || q->policy_id.n > MTA_STS_ID_MAX ||
	    q->policy.n > MTA_STS_POLICY_BYTES_MAX)
		return ERR_INVALID;
	return guard_policy_put(k->guard_db, k->c->house, &p);
}

static int
on_sts_due(struct clerk *k, struct bus_peer *from, struct bus_clerk_sts_due_request *q, struct arena *a,
    struct bus_clerk_sts_due_reply *rep)
{
	CLERK_ENTER(k);
	(void)from;
	return guard_policy_due(k->guard_db, k->c->house, q->before_s, DUE_MAX, a, &rep->domains);
}

static bool
is_text(struct slice s)
{
	return s.n <= TEXT_MAX && slice_is_utf8(s, true);
}

static int
on_tls_results(struct clerk *k, struct bus_peer *from, struct bus_clerk_tls_results_request *q, struct arena *a,
    struct bus_clerk_tls_results_reply *rep)
{
	CLERK_ENTER(k);
	size_t n = q->domains.n;
	struct guard_tls_result *v = ARENA_ARRAY(a, struct guard_tls_result, n + 1);

	(void)from;
	(void)rep;
	if (q->policies.n != n || q->hosts.n != n || q->addresses.n != n || q->results.n != n || q->sessions.n != n ||
	    q->details.n != n)
		return ERR_INVALID;
	if (v == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		uint64_t sessions;

		if (!is_text(q->domains.v[i]) || !is_text(q->policies.v[i]) || !is_text(q->hosts.v[i]) ||
		    !is_text(q->addresses.v[i]) || !is_text(q->results.v[i]) || !is_text(q->details.v[i]) ||
		    slice_to_u64(q->sessions.v[i], INT32_MAX, &sessions) != 0)
			return ERR_INVALID;
		v[i] = (struct guard_tls_result){0, q->domains.v[i], q->policies.v[i], q->hosts.v[i], q->addresses.v[i],
		    q->results.v[i], (int64_t)sessions, q->details.v[i]};
	}
	return guard_tls_add(k->guard_db, k->c->house, v, n);
}

void
clerk_tls_handle(struct clerk *k)
{
	BUS_HANDLE(k->c->bus, clerk_sts_get, on_sts_get, k);
	BUS_HANDLE(k->c->bus, clerk_sts_put, on_sts_put, k);
	BUS_HANDLE(k->c->bus, clerk_sts_due, on_sts_due, k);
	BUS_HANDLE(k->c->bus, clerk_tls_results, on_tls_results, k);
}

/* ---- listings ------------------------------------------------------------------------------------------------ */

static int
show_policy(struct control_session *s, const struct guard_policy *p, struct arena *a)
{
	json_t *row = json_object(), *mx = json_array();
	struct mta_sts_policy policy;
	int e;

	control_set_text(row, "domain", p->domain);
	control_set_text(row, "id", p->id);
	if (mta_sts_policy_parse(p->text, a, (size_t)s->k->c->house->limits.mta_sts_names, &policy) == 0) {
		control_set_text(row, "mode", slice_z(mta_sts_mode_name(policy.mode)));
		for (size_t i = 0; i < policy.mx.n; i++)
			(void)json_array_append_new(mx, json_stringn((const char *)policy.mx.v[i].p, policy.mx.v[i].n));
	}
	(void)json_object_set_new(row, "mx", mx);
	control_set_time(row, "fetched_at", p->fetched_s * 1000000);
	control_set_time(row, "expires_at", p->expires_s * 1000000);
	e = control_row(s, row);
	json_decref(row);
	return e;
}

int
control_run_trust_policies(struct control_session *s)
{
	CLERK_ENTER(s->k);
	struct arena a ARENA_CLEANUP;
	char after[256] = "";
	size_t n = LIST_PAGE;
	int e = 0;

	arena_init(&a, LIST_ARENA_BYTES);
	while (e == 0 && n == LIST_PAGE) {
		struct guard_policy *v;

		arena_reset(&a);
		e = guard_policy_list(s->k->guard_db, s->k->c->house, slice_z(after), LIST_PAGE, &a, &v, &n);
		for (size_t i = 0; e == 0 && i < n; i++)
			e = show_policy(s, &v[i], &a);
		if (e == 0 && n > 0)
			e = slice_to_z(v[n - 1].domain, after, sizeof(after));
	}
	return e;
}

static int
show_result(struct control_session *s, const struct guard_tls_result *r)
{
	json_t *row = json_object();
	struct slice policy = r->policy;
	char at[RFC3339_MAX];
	int e;

	time_rfc3339(r->day * DAY_S * 1000000, at);
	control_set_text(row, "day", slice_head(slice_z(at), 10));
	control_set_text(row, "domain", r->domain);
	control_set_text(row, "policy", slice_cut(&policy, '\n'));
	control_set_text(row, "said", policy);
	control_set_text(row, "result", r->result);
	(void)json_object_set_new(row, "sessions", json_integer(r->sessions));
	control_set_text(row, "host", r->host);
	control_set_text(row, "address", r->address);
	control_set_text(row, "detail", r->detail);
	e = control_row(s, row);
	json_decref(row);
	return e;
}

int
control_run_trust_tls(struct control_session *s)
{
	CLERK_ENTER(s->k);
	int64_t days = control_int(&s->request, "days", 1);
	int64_t day = house_now_s(s->k->c->house) / DAY_S - (days < 1 ? 0 : days - 1);
	struct arena a ARENA_CLEANUP;
	size_t n = LIST_PAGE;
	int e = 0;

	arena_init(&a, LIST_ARENA_BYTES);
	for (size_t skip = 0; e == 0 && n == LIST_PAGE; skip += n) {
		struct guard_tls_result *v;

		arena_reset(&a);
		e = guard_tls_list(s->k->guard_db, day, skip, LIST_PAGE, &a, &v, &n);
		for (size_t i = 0; e == 0 && i < n; i++)
			e = show_result(s, &v[i]);
	}
	return e;
}
