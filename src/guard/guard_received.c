#include "guard/guard_received.h"

#define SQL_STATEMENT(name, text) static const struct sql_text guard_sql_##name = {"guard_" #name, text};
#include "guard/guard_received_sql.def"
#undef SQL_STATEMENT

#define DAY_S 86400
#define SENDER_SHARE 4 /* nobody fills more than one in so many */
#define DROP_BATCH 50
#define DROPS_MAX 100 /* of one addition */

struct job {
	struct guard_received *report;
	const struct guard_received_row *rows;
	size_t n;
	const struct limits *limits;
	/* listings */
	int64_t since_s, id, from;
	struct slice domain;
	size_t skip, max;
	struct arena *a;
	void *v;
};

/* ---- adding --------------------------------------------------------------------------------------------------- */

static int
two_numbers(struct sql_rows *r, int64_t *one, int64_t *two)
{
	int e = sql_next(r);

	*one = e == 1 ? sql_col_int(r, 0) : 0;
	*two = e == 1 ? sql_col_int(r, 1) : 0;
	return e;
}

/* Drops the reports that the query names: how many, and their rows. */
static int
drop_found(struct sqltx *tx, struct sql_rows *found, int64_t *reports, int64_t *rows)
{
	int64_t ids[DROP_BATCH], id, count;
	size_t n = 0;
	int e = 1;

	while (n < DROP_BATCH && (e = two_numbers(found, &id, &count)) == 1) {
		ids[n++] = id;
		*rows += count;
	}
	sql_done(found);
	*reports += (int64_t)n;
	e = e < 0 ? e : 0;
	for (size_t i = 0; i < n && e == 0; i++) {
		e = SQL_EXEC(tx, &guard_sql_received_drop_rows, SQLI(ids[i]));
		if (e == 0)
			e = SQL_EXEC(tx, &guard_sql_received_drop, SQLI(ids[i]));
	}
	return e;
}

/* What must go is small where nobody misbehaves: the store is trimmed at each addition. */
static int
trim(struct sqltx *tx, const struct sql_text *size, const struct sql_text *oldest, struct slice sender, bool of_sender,
    int64_t reports_max, int64_t rows_max)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	struct sql_value v[2] = {SQLT(sender), SQLI(1)};
	const struct sql_value *args = of_sender ? v : v + 1;
	int64_t reports, rows;
	int e = sql_query(tx, &r, size, v, of_sender ? 1 : 0);

	if (e == 0)
		e = two_numbers(&r, &reports, &rows);
	sql_done(&r);
	for (int i = 0; e >= 0 && i < DROPS_MAX && (reports > reports_max || rows > rows_max); i++) {
		int64_t gone = 0, gone_rows = 0;

		e = sql_query(tx, &r, oldest, args, of_sender ? 2 : 1);
		if (e == 0)
			e = drop_found(tx, &r, &gone, &gone_rows);
		reports -= gone;
		rows -= gone_rows;
		if (gone == 0)
			break;
	}
	return e < 0 ? e : 0;
}

static int
make_room(struct sqltx *tx, const struct job *j)
{
	const struct limits *l = j->limits;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int64_t gone = 0, gone_rows = 0;
	int e = SQL_QUERY(tx, &r, &guard_sql_received_old,
	    SQLI(j->report->received_s - l->received_report_days * DAY_S), SQLI(DROP_BATCH));

	if (e == 0)
		e = drop_found(tx, &r, &gone, &gone_rows);
	if (e == 0)
		e = trim(tx, &guard_sql_received_size_of, &guard_sql_received_oldest_of, j->report->sender, true,
		    l->received_reports / SENDER_SHARE, l->received_report_rows / SENDER_SHARE);
	if (e == 0)
		e = trim(tx, &guard_sql_received_size, &guard_sql_received_least, SLICE_EMPTY, false,
		    l->received_reports, l->received_report_rows);
	return e;
}

static int
first_number(struct sql_rows *r, int64_t *out)
{
	int e = sql_next(r);

	*out = e == 1 ? sql_col_int(r, 0) : 0;
	sql_done(r);
	return e;
}

static int
add_rows(struct sqltx *tx, const struct job *j)
{
	int e = 0;

	for (size_t i = 0; e == 0 && i < j->n; i++) {
		const struct guard_received_row *w = &j->rows[i];

		e = SQL_EXEC(tx, &guard_sql_received_row, SQLI(j->report->id), SQLI((int64_t)i), SQLT(w->domain),
		    SQLT(w->source), SQLI(w->total), SQLT(w->outcome), SQLT(w->means), SQLT(w->who), SQLT(w->detail));
	}
	return e;
}

static int
add(struct sqltx *tx, void *arg)
{
	struct job *j = arg;
	struct guard_received *r = j->report;
	struct sql_rows known SQL_ROWS_CLEANUP = {0};
	int e = SQL_QUERY(tx, &known, &guard_sql_received_known, SQLI(r->kind), SQLT(r->sender), SQLT(r->organisation),
	    SQLT(r->report_id), SQLT(r->domain));

	if (e == 0)
		e = first_number(&known, &r->id);
	if (e != 0)
		return e == 1 ? ERR_EXISTS : e;
	e = sql_query(tx, &known, &guard_sql_received_last, NULL, 0);
	if (e == 0)
		e = first_number(&known, &r->id);
	r->id++;
	if (e >= 0)
		e = SQL_EXEC(tx, &guard_sql_received_new, SQLI(r->id), SQLI(r->kind), SQLT(r->sender), SQLT(r->proof),
		    SQLT(r->organisation), SQLT(r->contact), SQLT(r->report_id), SQLT(r->domain), SQLI(r->ours),
		    SQLT(r->policy), SQLT(r->problem), SQLI(r->begin_s), SQLI(r->end_s), SQLI(r->received_s),
		    SQLT(r->message), SQLT(r->recipient), SQLI(r->rows), SQLI(r->total));
	if (e == 0)
		e = add_rows(tx, j);
	return e == 0 ? make_room(tx, j) : e;
}

int
guard_received_add(
    struct sqldb *db, struct house *h, struct guard_received *r, const struct guard_received_row *v, size_t n)
{
	struct job j = {.report = r, .rows = v, .n = n, .limits = &h->limits};

	r->received_s = house_now_s(h);
	r->rows = (int64_t)n;
	r->total = 0;
	for (size_t i = 0; i < n; i++)
		r->total += v[i].total;
	return sql_write(db, add, &j);
}

/* ---- listings -------------------------------------------------------------------------------------------------- */

static struct slice
text(struct job *j, struct sql_rows *r, int col)
{
	return arena_copy(j->a, sql_col_bytes(r, col));
}

static void
take_report(struct job *j, struct sql_rows *r, void *to)
{
	*(struct guard_received *)to = (struct guard_received){.id = sql_col_int(r, 0),
	    .kind = (enum bus_report)sql_col_int(r, 1),
	    .sender = text(j, r, 2),
	    .proof = text(j, r, 3),
	    .organisation = text(j, r, 4),
	    .contact = text(j, r, 5),
	    .report_id = text(j, r, 6),
	    .domain = text(j, r, 7),
	    .ours = sql_col_int(r, 8) != 0,
	    .policy = text(j, r, 9),
	    .problem = text(j, r, 10),
	    .begin_s = sql_col_int(r, 11),
	    .end_s = sql_col_int(r, 12),
	    .received_s = sql_col_int(r, 13),
	    .message = text(j, r, 14),
	    .recipient = text(j, r, 15),
	    .rows = sql_col_int(r, 16),
	    .total = sql_col_int(r, 17)};
}

static void
take_row(struct job *j, struct sql_rows *r, void *to)
{
	*(struct guard_received_row *)to = (struct guard_received_row){.domain = text(j, r, 0),
	    .source = text(j, r, 1),
	    .total = sql_col_int(r, 2),
	    .outcome = text(j, r, 3),
	    .means = text(j, r, 4),
	    .who = text(j, r, 5),
	    .detail = text(j, r, 6)};
}

static void
take_source(struct job *j, struct sql_rows *r, void *to)
{
	*(struct guard_received_source *)to = (struct guard_received_source){.domain = text(j, r, 0),
	    .source = text(j, r, 1),
	    .proven = sql_col_int(r, 2) != 0,
	    .who = text(j, r, 3),
	    .messages = sql_col_int(r, 4),
	    .passed = sql_col_int(r, 5),
	    .spf = sql_col_int(r, 6),
	    .dkim = sql_col_int(r, 7),
	    .quarantined = sql_col_int(r, 8),
	    .rejected = sql_col_int(r, 9),
	    .reporters = sql_col_int(r, 10),
	    .reporter = text(j, r, 11),
	    .begin_s = sql_col_int(r, 12),
	    .end_s = sql_col_int(r, 13)};
}

static void
take_sessions(struct job *j, struct sql_rows *r, void *to)
{
	*(struct guard_received_sessions *)to = (struct guard_received_sessions){.domain = text(j, r, 0),
	    .policy = text(j, r, 1),
	    .result = text(j, r, 2),
	    .proven = sql_col_int(r, 3) != 0,
	    .host = text(j, r, 4),
	    .sessions = sql_col_int(r, 5),
	    .reporters = sql_col_int(r, 6),
	    .reporter = text(j, r, 7),
	    .begin_s = sql_col_int(r, 8),
	    .end_s = sql_col_int(r, 9)};
}

typedef void take_fn(struct job *j, struct sql_rows *r, void *to);

/* What a query gives, each taken into a place of `size` bytes. */
static int
take_all(struct job *j, struct sql_rows *r, take_fn *take, size_t size)
{
	int e = 1;

	for (j->n = 0; j->n < j->max && (e = sql_next(r)) == 1; j->n++)
		take(j, r, (uint8_t *)j->v + j->n * size);
	return e < 0 ? e : 0;
}

static int
list(struct sqltx *tx, void *arg)
{
	struct job *j = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int e = SQL_QUERY(
	    tx, &r, &guard_sql_received_list, SQLI(j->since_s), SQLT(j->domain), SQLI(j->id), SQLI((int64_t)j->max));

	return e == 0 ? take_all(j, &r, take_report, sizeof(struct guard_received)) : e;
}

static int
get(struct sqltx *tx, void *arg)
{
	struct job *j = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int e = SQL_QUERY(tx, &r, &guard_sql_received_get, SQLI(j->id));

	return e == 0 ? take_all(j, &r, take_report, sizeof(struct guard_received)) : e;
}

static int
rows(struct sqltx *tx, void *arg)
{
	struct job *j = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int e = SQL_QUERY(tx, &r, &guard_sql_received_rows, SQLI(j->id), SQLI(j->from), SQLI((int64_t)j->max));

	return e == 0 ? take_all(j, &r, take_row, sizeof(struct guard_received_row)) : e;
}

static int
sources(struct sqltx *tx, void *arg)
{
	struct job *j = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int e = SQL_QUERY(tx, &r, &guard_sql_received_sources, SQLI(j->since_s), SQLT(j->domain), SQLI((int64_t)j->max),
	    SQLI((int64_t)j->skip));

	return e == 0 ? take_all(j, &r, take_source, sizeof(struct guard_received_source)) : e;
}

static int
sessions(struct sqltx *tx, void *arg)
{
	struct job *j = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int e = SQL_QUERY(tx, &r, &guard_sql_received_sessions, SQLI(j->since_s), SQLT(j->domain),
	    SQLI((int64_t)j->max), SQLI((int64_t)j->skip));

	return e == 0 ? take_all(j, &r, take_sessions, sizeof(struct guard_received_sessions)) : e;
}

/* Runs a reading job into places of its own. */
static int
run(struct sqldb *db, sql_fn *fn, struct job *j, size_t size)
{
	int e;

	j->v = arena_array(j->a, j->max + 1, size);
	if (j->v == NULL)
		return ERR_NOMEM;
	e = sql_read(db, fn, j);
	return e == 0 && arena_failed(j->a) ? ERR_NOMEM : e;
}

int
guard_received_list(struct sqldb *db, int64_t since_s, struct slice domain, int64_t below, size_t max, struct arena *a,
    struct guard_received **v, size_t *n)
{
	struct job j = {.since_s = since_s, .domain = domain, .id = below, .max = max, .a = a};
	int e = run(db, list, &j, sizeof(**v));

	*v = j.v;
	*n = e == 0 ? j.n : 0;
	return e;
}

int
guard_received_get(struct sqldb *db, int64_t id, struct arena *a, struct guard_received *out)
{
	struct job j = {.id = id, .max = 1, .a = a};
	int e = run(db, get, &j, sizeof(*out));

	if (e != 0 || j.n == 0)
		return e != 0 ? e : ERR_NOTFOUND;
	memcpy(out, j.v, sizeof(*out));
	return 0;
}

int
guard_received_rows(
    struct sqldb *db, int64_t id, int64_t from, size_t max, struct arena *a, struct guard_received_row **v, size_t *n)
{
	struct job j = {.id = id, .from = from, .max = max, .a = a};
	int e = run(db, rows, &j, sizeof(**v));

	*v = j.v;
	*n = e == 0 ? j.n : 0;
	return e;
}

int
guard_received_sources(struct sqldb *db, int64_t since_s, struct slice domain, size_t skip, size_t max, struct arena *a,
    struct guard_received_source **v, size_t *n)
{
	struct job j = {.since_s = since_s, .domain = domain, .skip = skip, .max = max, .a = a};
	int e = run(db, sources, &j, sizeof(**v));

	*v = j.v;
	*n = e == 0 ? j.n : 0;
	return e;
}

int
guard_received_sessions(struct sqldb *db, int64_t since_s, struct slice domain, size_t skip, size_t max,
    struct arena *a, struct guard_received_sessions **v, size_t *n)
{
	struct job j = {.since_s = since_s, .domain = domain, .skip = skip, .max = max, .a = a};
	int e = run(db, sessions, &j, sizeof(**v));

	*v = j.v;
	*n = e == 0 ? j.n : 0;
	return e;
}
