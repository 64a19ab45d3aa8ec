/* secret_guess.c: see the header. */
#include "directory/secret_guess.h"

#define SQL_STATEMENT(name, text) static const struct sql_text sql_##name = {"secret_" #name, text};
#include "directory/secret_guess_sql.def"
#undef SQL_STATEMENT

int
secret_guess_list(struct sqltx *tx, struct arena *a, struct secret_guess **v, size_t *n)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	size_t cap = 0;
	int err = SQL_QUERY(tx, &r, &sql_guess_list);

	*v = NULL;
	*n = 0;
	if (err != 0)
		return err;
	while ((err = sql_next(&r)) == 1) {
		*v = arena_grow(a, *v, *n, &cap, sizeof(**v), SIZE_MAX / sizeof(**v));
		if (*v == NULL)
			return ERR_NOMEM;
		(*v)[(*n)++] = (struct secret_guess){.name = arena_copy(a, sql_col_bytes(&r, 0)),
		    .failures = sql_col_int(&r, 1),
		    .since_us = sql_col_int(&r, 2),
		    .known = arena_copy(a, sql_col_bytes(&r, 3))};
	}
	return err != 0 ? err : arena_failed(a) ? ERR_NOMEM : 0;
}

int
secret_guess_replace(struct sqltx *tx, const struct secret_guess *v, size_t n)
{
	int err = SQL_EXEC(tx, &sql_guess_delete_all);

	for (size_t i = 0; err == 0 && i < n; i++)
		err = SQL_EXEC(
		    tx, &sql_guess_insert, SQLT(v[i].name), SQLI(v[i].failures), SQLI(v[i].since_us), SQLB(v[i].known));
	return err;
}
