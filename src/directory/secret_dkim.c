/* secret_dkim.c: see the header. */
#include "directory/secret_dkim.h"

#define SQL_STATEMENT(name, text) static const struct sql_text sql_##name = {"secret_" #name, text};
#include "directory/secret_dkim_sql.def"
#undef SQL_STATEMENT

static int
read_keys(struct sql_rows *r, struct arena *a, struct secret_dkim_key **v, size_t *n)
{
	size_t cap = 0;
	int err;

	*v = NULL;
	*n = 0;
	while ((err = sql_next(r)) == 1) {
		*v = arena_grow(a, *v, *n, &cap, sizeof(**v), SIZE_MAX / sizeof(**v));
		if (*v == NULL)
			return ERR_NOMEM;
		(*v)[(*n)++] = (struct secret_dkim_key){
		    .domain = arena_copy(a, sql_col_bytes(r, 0)),
		    .selector = arena_copy(a, sql_col_bytes(r, 1)),
		    .algorithm = arena_copy(a, sql_col_bytes(r, 2)),
		    .private_key = arena_copy(a, sql_col_bytes(r, 3)),
		    .record = arena_copy(a, sql_col_bytes(r, 4)),
		    .bits = sql_col_int(r, 5),
		    .state = (enum secret_dkim_state)sql_col_int(r, 6),
		    .created_us = sql_col_int(r, 7),
		    .changed_us = sql_col_int(r, 8),
		};
	}
	return err != 0 ? err : arena_failed(a) ? ERR_NOMEM : 0;
}

int
secret_dkim_list(struct sqltx *tx, struct arena *a, struct slice domain, struct secret_dkim_key **v, size_t *n)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &sql_dkim_list, SQLT(domain));

	*n = 0;
	return err != 0 ? err : read_keys(&r, a, v, n);
}

int
secret_dkim_page(struct sqltx *tx, struct arena *a, struct slice domain, struct slice selector, size_t max,
    struct secret_dkim_key **v, size_t *n)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &sql_dkim_page, SQLT(domain), SQLT(selector), SQLI((int64_t)max));

	*n = 0;
	return err != 0 ? err : read_keys(&r, a, v, n);
}

int
secret_dkim_known(struct sqltx *tx, struct slice domain, bool *known)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &sql_dkim_known, SQLT(domain));

	if (err == 0)
		err = sql_next(&r);
	*known = err == 1;
	return err < 0 ? err : 0;
}

/* Is there room for one more of this name? */
static int
check_room(struct sqltx *tx, const struct secret_dkim_key *key)
{
	struct sql_rows same SQL_ROWS_CLEANUP = {0}, count SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &same, &sql_dkim_get, SQLT(key->domain), SQLT(key->selector));

	if (err == 0)
		err = sql_next(&same);
	if (err != 0)
		return err < 0 ? err : ERR_EXISTS;
	err = SQL_QUERY(tx, &count, &sql_dkim_count, SQLT(key->domain));
	if (err == 0)
		err = sql_next(&count);
	if (err != 1)
		return err < 0 ? err : ERR_DAMAGED;
	return sql_col_int(&count, 0) >= SECRET_DKIM_KEYS_MAX ? ERR_LIMIT : 0;
}

int
secret_dkim_add(struct sqltx *tx, const struct secret_dkim_key *key)
{
	int err = check_room(tx, key);

	if (err == 0)
		err = SQL_EXEC(tx, &sql_dkim_know, SQLT(key->domain));
	return err != 0
	    ? err
	    : SQL_EXEC(tx, &sql_dkim_insert, SQLT(key->domain), SQLT(key->selector), SQLT(key->algorithm),
		  SQLB(key->private_key), SQLT(key->record), SQLI(key->bits), SQLI(key->state), SQLI(key->created_us));
}

int
secret_dkim_set_state(
    struct sqltx *tx, struct slice domain, struct slice selector, enum secret_dkim_state state, int64_t now_us)
{
	int err = SQL_EXEC(tx, &sql_dkim_state, SQLT(domain), SQLT(selector), SQLI(state), SQLI(now_us));

	return err == 0 && sql_changes(tx) == 0 ? ERR_NOTFOUND : err;
}

int
secret_dkim_remove(struct sqltx *tx, struct slice domain, struct slice selector)
{
	int err = SQL_EXEC(tx, &sql_dkim_delete, SQLT(domain), SQLT(selector));

	return err == 0 && sql_changes(tx) == 0 ? ERR_NOTFOUND : err;
}

int
secret_dkim_forget(struct sqltx *tx, struct slice domain)
{
	int err = SQL_EXEC(tx, &sql_dkim_delete_all, SQLT(domain));

	return err != 0 ? err : SQL_EXEC(tx, &sql_dkim_unknow, SQLT(domain));
}
