#include "guard/guard_tls.h"

#define SQL_STATEMENT(name, text) static const struct sql_text guard_sql_##name = {"guard_" #name, text};
#include "guard/guard_tls_sql.def"
#undef SQL_STATEMENT

#define DAY_S 86400

/* ---- policies ---------------------------------------------------------------------------------------------- */

struct policy_job {
	const struct guard_policy *in;
	struct guard_policy *out;
	struct slice domain;
	struct arena *a;
	int64_t now_s, before_s;
	size_t max, n;
	struct slice *domains;
	struct guard_policy *v;
};

static int
count(struct sqltx *tx, const struct sql_text *t, const struct sql_value *v, size_t n, int64_t *out)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int e = sql_query(tx, &r, t, v, n);

	if (e == 0)
		e = sql_next(&r);
	*out = e == 1 ? sql_col_int(&r, 0) : 0;
	return e < 0 ? e : 0;
}

static int
policy_put(struct sqltx *tx, void *arg)
{
	struct policy_job *j = arg;
	int64_t there;
	int e = SQL_EXEC(tx, &guard_sql_sts_prune, SQLI(j->now_s));

	if (e == 0)
		e = SQL_EXEC(tx, &guard_sql_sts_put, SQLT(j->in->domain), SQLT(j->in->id), SQLT(j->in->text),
		    SQLI(j->in->fetched_s), SQLI(j->in->expires_s));
	if (e == 0)
		e = count(tx, &guard_sql_sts_count, NULL, 0, &there);
	if (e == 0 && there > (int64_t)j->max)
		e = SQL_EXEC(tx, &guard_sql_sts_drop_oldest, SQLI(there - (int64_t)j->max));
	return e;
}

int
guard_policy_put(struct sqldb *db, struct house *h, const struct guard_policy *p)
{
	struct policy_job j = {.in = p, .now_s = house_now_s(h), .max = (size_t)h->limits.mta_sts_policies};

	return sql_write(db, policy_put, &j);
}

static int
policy_get(struct sqltx *tx, void *arg)
{
	struct policy_job *j = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int e = SQL_QUERY(tx, &r, &guard_sql_sts_get, SQLT(j->domain), SQLI(j->now_s));

	if (e == 0)
		e = sql_next(&r);
	if (e != 1)
		return e == 0 ? ERR_NOTFOUND : e;
	*j->out = (struct guard_policy){.domain = j->domain,
	    .id = arena_copy(j->a, sql_col_bytes(&r, 0)),
	    .text = arena_copy(j->a, sql_col_bytes(&r, 1)),
	    .fetched_s = sql_col_int(&r, 2)};
	return arena_failed(j->a) ? ERR_NOMEM : 0;
}

int
guard_policy_get(struct sqldb *db, struct house *h, struct slice domain, struct arena *a, struct guard_policy *out)
{
	struct policy_job j = {.domain = domain, .now_s = house_now_s(h), .a = a, .out = out};

	return sql_read(db, policy_get, &j);
}

static int
policy_due(struct sqltx *tx, void *arg)
{
	struct policy_job *j = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int e = SQL_QUERY(tx, &r, &guard_sql_sts_due, SQLI(j->before_s), SQLI(j->now_s), SQLI(j->max));

	for (j->n = 0; e == 0 && j->n < j->max;) {
		e = sql_next(&r);
		if (e == 1)
			j->domains[j->n++] = arena_copy(j->a, sql_col_bytes(&r, 0));
		e = e == 1 ? 0 : e == 0 ? 1 : e;
	}
	return e < 0 ? e : arena_failed(j->a) ? ERR_NOMEM : 0;
}

int
guard_policy_due(
    struct sqldb *db, struct house *h, int64_t before_s, size_t max, struct arena *a, struct slice_list *domains)
{
	struct policy_job j = {.before_s = before_s, .now_s = house_now_s(h), .a = a, .max = max};
	int e;

	j.domains = ARENA_ARRAY(a, struct slice, max);
	if (j.domains == NULL)
		return ERR_NOMEM;
	e = sql_read(db, policy_due, &j);
	*domains = (struct slice_list){j.domains, e == 0 ? j.n : 0};
	return e;
}

static int
policy_list(struct sqltx *tx, void *arg)
{
	struct policy_job *j = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int e = SQL_QUERY(tx, &r, &guard_sql_sts_list, SQLI(j->now_s), SQLT(j->domain), SQLI(j->max));

	for (j->n = 0; e == 0 && j->n < j->max;) {
		e = sql_next(&r);
		if (e == 1)
			j->v[j->n++] = (struct guard_policy){arena_copy(j->a, sql_col_bytes(&r, 0)),
			    arena_copy(j->a, sql_col_bytes(&r, 1)), arena_copy(j->a, sql_col_bytes(&r, 2)),
			    sql_col_int(&r, 3), sql_col_int(&r, 4)};
		e = e == 1 ? 0 : e == 0 ? 1 : e;
	}
	return e < 0 ? e : arena_failed(j->a) ? ERR_NOMEM : 0;
}

int
guard_policy_list(struct sqldb *db, struct house *h, struct slice after, size_t max, struct arena *a,
    struct guard_policy **v, size_t *n)
{
	struct policy_job j = {.domain = after, .now_s = house_now_s(h), .a = a, .max = max};
	int e;

	j.v = ARENA_ARRAY(a, struct guard_policy, max);
	if (j.v == NULL)
		return ERR_NOMEM;
	e = sql_read(db, policy_list, &j);
	*v = j.v;
	*n = e == 0 ? j.n : 0;
	return e;
}

/* ---- results ------------------------------------------------------------------------------------------------ */

struct result_job {
	const struct guard_tls_result *in;
	size_t n, max, skip;
	int64_t day, keep_days, from, before;
	struct slice domain;
	struct arena *a;
	struct guard_tls_result *v;
};

static int
add_one(struct sqltx *tx, const struct guard_tls_result *r, int64_t day, int64_t *room)
{
	const struct sql_value v[] = {SQLI(day), SQLT(r->domain), SQLT(r->policy), SQLT(r->host), SQLT(r->address),
	    SQLT(r->result), SQLI(r->sessions), SQLT(r->detail)};
	int e = sql_exec(tx, &guard_sql_tls_add, v, COUNT_OF(v));

	if (e != 0 || sql_changes(tx) > 0 || *room <= 0)
		return e;
	--*room;
	return sql_exec(tx, &guard_sql_tls_new, v, COUNT_OF(v));
}

static int
results_add(struct sqltx *tx, void *arg)
{
	struct result_job *j = arg;
	int64_t there, room;
	int e = SQL_EXEC(tx, &guard_sql_tls_prune, SQLI(j->day - j->keep_days));

	if (e == 0)
		e = SQL_EXEC(tx, &guard_sql_tls_done_prune, SQLI(j->day - j->keep_days));
	if (e == 0)
		e = count(tx, &guard_sql_tls_count, SQL_ARGS(SQLI(j->day)), &there);
	room = e == 0 ? (int64_t)j->max - there : 0;
	for (size_t i = 0; e == 0 && i < j->n; i++)
		e = add_one(tx, &j->in[i], j->day, &room);
	return e;
}

int
guard_tls_add(struct sqldb *db, struct house *h, const struct guard_tls_result *v, size_t n)
{
	struct result_job j = {.in = v,
	    .n = n,
	    .max = (size_t)h->limits.tls_results,
	    .day = house_now_s(h) / DAY_S,
	    .keep_days = h->limits.tls_results_days};

	return sql_write(db, results_add, &j);
}

static int
read_results(struct result_job *j, struct sql_rows *r)
{
	int e = 0;

	for (j->n = 0; e == 0 && j->n < j->max;) {
		e = sql_next(r);
		if (e == 1)
			j->v[j->n++] = (struct guard_tls_result){sql_col_int(r, 0),
			    arena_copy(j->a, sql_col_bytes(r, 1)), arena_copy(j->a, sql_col_bytes(r, 2)),
			    arena_copy(j->a, sql_col_bytes(r, 3)), arena_copy(j->a, sql_col_bytes(r, 4)),
			    arena_copy(j->a, sql_col_bytes(r, 5)), sql_col_int(r, 6),
			    arena_copy(j->a, sql_col_bytes(r, 7))};
		e = e == 1 ? 0 : e == 0 ? 1 : e;
	}
	return e < 0 ? e : arena_failed(j->a) ? ERR_NOMEM : 0;
}

static int
results_list(struct sqltx *tx, void *arg)
{
	struct result_job *j = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int e = SQL_QUERY(tx, &r, &guard_sql_tls_list, SQLI(j->day), SQLI(j->max), SQLI(j->skip));

	return e != 0 ? e : read_results(j, &r);
}

static int
results_of(struct sqltx *tx, void *arg)
{
	struct result_job *j = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int e = SQL_QUERY(tx, &r, &guard_sql_tls_of, SQLI(j->day), SQLT(j->domain), SQLI(j->max));

	return e != 0 ? e : read_results(j, &r);
}

static int
run_results(struct sqldb *db, sql_fn *fn, struct result_job *j, struct guard_tls_result **v, size_t *n)
{
	int e;

	j->v = ARENA_ARRAY(j->a, struct guard_tls_result, j->max);
	if (j->v == NULL)
		return ERR_NOMEM;
	e = sql_read(db, fn, j);
	*v = j->v;
	*n = e == 0 ? j->n : 0;
	return e;
}

int
guard_tls_list(
    struct sqldb *db, int64_t day, size_t skip, size_t max, struct arena *a, struct guard_tls_result **v, size_t *n)
{
	struct result_job j = {.day = day, .skip = skip, .max = max, .a = a};

	return run_results(db, results_list, &j, v, n);
}

/* ---- reports -------------------------------------------------------------------------------------------------- */

int
guard_tls_of(struct sqldb *db, int64_t day, struct slice domain, size_t max, struct arena *a,
    struct guard_tls_result **v, size_t *n)
{
	struct result_job j = {.day = day, .domain = domain, .max = max, .a = a};

	return run_results(db, results_of, &j, v, n);
}

static int
find_due(struct sqltx *tx, void *arg)
{
	struct result_job *j = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int e = SQL_QUERY(tx, &r, &guard_sql_tls_due, SQLI(j->from), SQLI(j->before), SQLI(j->day), SQLT(j->domain));

	if (e == 0)
		e = sql_next(&r);
	if (e != 1)
		return e == 0 ? ERR_NOTFOUND : e;
	j->day = sql_col_int(&r, 0);
	j->domain = arena_copy(j->a, sql_col_bytes(&r, 1));
	return arena_failed(j->a) ? ERR_NOMEM : 0;
}

int
guard_tls_due(struct sqldb *db, int64_t from, int64_t before, struct arena *a, int64_t *day, struct slice *domain)
{
	struct result_job j = {.from = from, .before = before, .day = *day, .domain = *domain, .a = a};
	int e = sql_read(db, find_due, &j);

	if (e == 0) {
		*day = j.day;
		*domain = j.domain;
	}
	return e;
}

static int
mark_done(struct sqltx *tx, void *arg)
{
	const struct result_job *j = arg;

	return SQL_EXEC(tx, &guard_sql_tls_done, SQLI(j->day), SQLT(j->domain));
}

int
guard_tls_done(struct sqldb *db, int64_t day, struct slice domain)
{
	struct result_job j = {.day = day, .domain = domain};

	return sql_write(db, mark_done, &j);
}
