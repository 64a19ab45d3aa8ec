#include "guard/guard_moment.h"

#define SQL_STATEMENT(name, text) static const struct sql_text guard_sql_##name = {"guard_" #name, text};
#include "guard/guard_moment_sql.def"
#undef SQL_STATEMENT

struct moment_job {
	struct slice name;
	int64_t at_s;
};

static int
moment_put(struct sqltx *tx, void *arg)
{
	struct moment_job *j = arg;

	return SQL_EXEC(tx, &guard_sql_moment_put, SQLT(j->name), SQLI(j->at_s));
}

int
guard_moment_put(struct sqldb *db, struct slice name, int64_t at_s)
{
	struct moment_job j = {name, at_s};

	return sql_write(db, moment_put, &j);
}

static int
moment_get(struct sqltx *tx, void *arg)
{
	struct moment_job *j = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int e = SQL_QUERY(tx, &r, &guard_sql_moment_get, SQLT(j->name));

	if (e == 0)
		e = sql_next(&r);
	j->at_s = e == 1 ? sql_col_int(&r, 0) : 0;
	return e < 0 ? e : 0;
}

int
guard_moment_get(struct sqldb *db, struct slice name, int64_t *at_s)
{
	struct moment_job j = {.name = name};
	int e = sql_read(db, moment_get, &j);

	*at_s = j.at_s;
	return e;
}
