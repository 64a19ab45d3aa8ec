/* secret_certificate.c: see the header. */
#include "directory/secret_certificate.h"

#define SQL_STATEMENT(name, text) static const struct sql_text sql_##name = {"secret_" #name, text};
#include "directory/secret_certificate_sql.def"
#undef SQL_STATEMENT

#define HOUR_US INT64_C(3600000000)

static int
read_rows(struct sql_rows *r, struct arena *a, struct secret_certificate **v, size_t *n)
{
	size_t cap = 0;
	int err;

	*v = NULL;
	*n = 0;
	while ((err = sql_next(r)) == 1) {
		*v = arena_grow(a, *v, *n, &cap, sizeof(**v), SIZE_MAX / sizeof(**v));
		if (*v == NULL)
			return ERR_NOMEM;
		(*v)[(*n)++] = (struct secret_certificate){
		    .account_id = arena_copy(a, sql_col_bytes(r, 0)),
		    .fingerprint = arena_copy(a, sql_col_bytes(r, 1)),
		    .login = arena_copy(a, sql_col_bytes(r, 2)),
		    .subject = arena_copy(a, sql_col_bytes(r, 3)),
		    .expires_us = sql_col_int(r, 4),
		    .created_us = sql_col_int(r, 5),
		    .last_used_us = sql_col_int(r, 6),
		    .last_used_by = arena_copy(a, sql_col_bytes(r, 7)),
		};
	}
	return err != 0 ? err : arena_failed(a) ? ERR_NOMEM : 0;
}

int
secret_certificate_list(
    struct sqltx *tx, struct arena *a, struct slice account_id, struct secret_certificate **v, size_t *n)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &sql_certificate_list, SQLT(account_id));

	return err != 0 ? err : read_rows(&r, a, v, n);
}

int
secret_certificate_find(
    struct sqltx *tx, struct arena *a, struct slice fingerprint, struct secret_certificate **v, size_t *n)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &sql_certificate_find, SQLB(fingerprint));

	return err != 0 ? err : read_rows(&r, a, v, n);
}

int
secret_certificate_add(struct sqltx *tx, struct house *h, struct arena *a, const struct secret_certificate *c)
{
	struct secret_certificate *v;
	size_t n;
	int err = secret_certificate_list(tx, a, c->account_id, &v, &n);

	for (size_t i = 0; err == 0 && i < n; i++)
		if (slice_eq(v[i].fingerprint, c->fingerprint))
			n = 0;
	if (err == 0 && n >= (size_t)h->limits.client_certificates)
		err = ERR_LIMIT;
	return err != 0 ? err
			: SQL_EXEC(tx, &sql_certificate_put, SQLT(c->account_id), SQLB(c->fingerprint), SQLT(c->login),
			      SQLT(c->subject), SQLI(c->expires_us), SQLI(house_now_us(h)));
}

int
secret_certificate_remove(struct sqltx *tx, struct slice account_id, struct slice fingerprint)
{
	int err = SQL_EXEC(tx, &sql_certificate_delete, SQLT(account_id), SQLB(fingerprint));

	return err == 0 && sql_changes(tx) == 0 ? ERR_NOTFOUND : err;
}

int
secret_certificate_used(
    struct sqltx *tx, struct house *h, struct slice account_id, struct slice fingerprint, struct slice client)
{
	return SQL_EXEC(
	    tx, &sql_certificate_used, SQLT(account_id), SQLB(fingerprint), SQLI(house_now_us(h)), SQLT(client));
}

int
secret_certificate_forget(struct sqltx *tx, struct slice account_id)
{
	return SQL_EXEC(tx, &sql_certificate_delete_all, SQLT(account_id));
}

bool
secret_certificate_use_is_news(const struct house *h, const struct secret_certificate *c)
{
	int64_t ago = house_now_us(h) - c->last_used_us;

	return ago >= HOUR_US || ago < 0;
}
