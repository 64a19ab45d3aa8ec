#include "guard/guard_dmarc.h"

#define SQL_STATEMENT(name, text) static const struct sql_text guard_sql_##name = {"guard_" #name, text};
#include "guard/guard_dmarc_sql.def"
#undef SQL_STATEMENT

#define DAY_S 86400

struct job {
	const struct guard_dmarc_row *in;
	size_t n, max, skip;
	int64_t day, keep_days;
	struct arena *a;
	struct guard_dmarc_row *v;
};

static int
count_rows(struct sqltx *tx, int64_t day, int64_t *out)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int e = SQL_QUERY(tx, &r, &guard_sql_dmarc_count, SQLI(day));

	if (e == 0)
		e = sql_next(&r);
	*out = e == 1 ? sql_col_int(&r, 0) : 0;
	return e < 0 ? e : 0;
}

static int
add_one(struct sqltx *tx, const struct guard_dmarc_row *r, int64_t day, int64_t *room)
{
	const struct sql_value v[] = {
	    SQLI(day), SQLT(r->domain), SQLT(r->policy), SQLT(r->row), SQLT(r->destinations), SQLI(r->count)};
	int e = sql_exec(tx, &guard_sql_dmarc_add, v, COUNT_OF(v));

	if (e != 0 || sql_changes(tx) > 0 || *room <= 0)
		return e;
	--*room;
	return sql_exec(tx, &guard_sql_dmarc_new, v, COUNT_OF(v));
}

static int
add(struct sqltx *tx, void *arg)
{
	struct job *j = arg;
	int64_t there, room;
	int e = SQL_EXEC(tx, &guard_sql_dmarc_prune, SQLI(j->day - j->keep_days));

	if (e == 0)
		e = count_rows(tx, j->day, &there);
	room = e == 0 ? (int64_t)j->max - there : 0;
	for (size_t i = 0; e == 0 && i < j->n; i++)
		e = add_one(tx, &j->in[i], j->day, &room);
	return e;
}

int
guard_dmarc_add(struct sqldb *db, struct house *h, const struct guard_dmarc_row *v, size_t n)
{
	struct job j = {.in = v,
	    .n = n,
	    .max = (size_t)h->limits.dmarc_results,
	    .day = house_now_s(h) / DAY_S,
	    .keep_days = h->limits.dmarc_results_days};

	return sql_write(db, add, &j);
}

/* All rows of a statement with these columns: 0 or an error. */
static int
read_rows(struct job *j, struct sql_rows *r, bool whole)
{
	int e = 0;

	for (j->n = 0; e == 0 && j->n < j->max;) {
		e = sql_next(r);
		if (e != 1)
			return e;
		e = 0;
		j->v[j->n] = (struct guard_dmarc_row){.day = sql_col_int(r, 0),
		    .domain = arena_copy(j->a, sql_col_bytes(r, 1)),
		    .policy = arena_copy(j->a, sql_col_bytes(r, 2)),
		    .destinations = arena_copy(j->a, sql_col_bytes(r, 3))};
		if (whole) {
			j->v[j->n].row = arena_copy(j->a, sql_col_bytes(r, 4));
			j->v[j->n].count = sql_col_int(r, 5);
		}
		j->n++;
	}
	return e;
}

static int
due(struct sqltx *tx, void *arg)
{
	struct job *j = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int e = SQL_QUERY(tx, &r, &guard_sql_dmarc_due, SQLI(j->day));

	return e != 0 ? e : read_rows(j, &r, false);
}

int
guard_dmarc_due(struct sqldb *db, int64_t day, struct arena *a, struct guard_dmarc_row *out)
{
	struct job j = {.day = day, .a = a, .v = out, .max = 1};
	int e = sql_read(db, due, &j);

	if (e == 0 && arena_failed(a))
		e = ERR_NOMEM;
	return e != 0 ? e : j.n == 1 ? 0 : ERR_NOTFOUND;
}

static int
rows(struct sqltx *tx, void *arg)
{
	struct job *j = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int e = SQL_QUERY(tx, &r, &guard_sql_dmarc_rows, SQLI(j->in->day), SQLT(j->in->domain), SQLT(j->in->policy),
	    SQLI((int64_t)j->max));

	return e != 0 ? e : read_rows(j, &r, true);
}

static int
run_listing(struct sqldb *db, sql_fn *fn, struct job *j, struct guard_dmarc_row **v, size_t *n)
{
	int e;

	*n = 0;
	j->v = ARENA_ARRAY(j->a, struct guard_dmarc_row, j->max);
	if (j->v == NULL)
		return ERR_NOMEM;
	e = sql_read(db, fn, j);
	*v = j->v;
	*n = e == 0 ? j->n : 0;
	return e == 0 && arena_failed(j->a) ? ERR_NOMEM : e;
}

int
guard_dmarc_rows(struct sqldb *db, struct house *h, const struct guard_dmarc_row *of, struct arena *a,
    struct guard_dmarc_row **v, size_t *n)
{
	struct job j = {.in = of, .a = a, .max = (size_t)h->limits.dmarc_report_rows};

	return run_listing(db, rows, &j, v, n);
}

static int
list(struct sqltx *tx, void *arg)
{
	struct job *j = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int e = SQL_QUERY(tx, &r, &guard_sql_dmarc_list, SQLI(j->day), SQLI((int64_t)j->max), SQLI((int64_t)j->skip));

	return e != 0 ? e : read_rows(j, &r, true);
}

int
guard_dmarc_list(
    struct sqldb *db, int64_t day, size_t skip, size_t max, struct arena *a, struct guard_dmarc_row **v, size_t *n)
{
	struct job j = {.day = day, .skip = skip, .max = max, .a = a};

	return run_listing(db, list, &j, v, n);
}

static int
done(struct sqltx *tx, void *arg)
{
	const struct guard_dmarc_row *of = arg;

	return SQL_EXEC(tx, &guard_sql_dmarc_done, SQLI(of->day), SQLT(of->domain), SQLT(of->policy));
}

int
guard_dmarc_done(struct sqldb *db, const struct guard_dmarc_row *of)
{
	struct guard_dmarc_row copy = *of;

	return sql_write(db, done, &copy);
}
