/* directory_share.c: see directory_share.h. */
#include "directory/directory_share.h"

#include "directory/directory_private.h"

int
directory_share_set(struct sqltx *tx, struct slice owner, struct slice account_id, bool on)
{
	int err = SQL_EXEC(
	    tx, on ? &directory_sql_share_insert : &directory_sql_share_delete, SQLT(owner), SQLT(account_id));

	return err == ERR_CONFLICT ? ERR_NOTFOUND : err;
}

/* The row of the account with that address, or none. */
static int
key_of(struct sqltx *tx, struct arena *a, struct slice address, struct slice *key)
{
	struct directory_address at;
	bool local;
	int err;

	*key = SLICE("");
	if (address.n == 0)
		return 0;
	err = directory_address_here(tx, a, address, &at, &local);
	if (err == 0)
		*key = at.key;
	return err == ERR_SYNTAX ? ERR_NOTFOUND : err;
}

int
directory_share_owners(struct sqltx *tx, struct arena *a, struct slice account_id, struct slice address,
    bool any_domain, size_t max, struct directory_account **v, size_t *n)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	struct slice key;
	size_t cap = 0;
	int err = key_of(tx, a, address, &key);

	*v = NULL;
	*n = 0;
	if (err != 0)
		return err == ERR_NOTFOUND ? 0 : err;
	err = SQL_QUERY(tx, &r, &directory_sql_share_owners, SQLT(account_id), SQLT(key), SQLI(any_domain ? 1 : 0),
	    SQLI((int64_t)max));
	while (err == 0 && (err = sql_next(&r)) == 1) {
		*v = arena_grow(a, *v, *n, &cap, sizeof(**v), max);
		if (*v == NULL)
			return ERR_NOMEM;
		directory_account_row(&r, a, &(*v)[(*n)++]);
		err = arena_failed(a) ? ERR_NOMEM : 0;
	}
	return err;
}

int
directory_share_person(struct sqltx *tx, struct arena *a, struct slice owner, struct slice name, bool short_names,
    bool any_domain, struct directory_account *out)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = directory_login(tx, a, name, short_names, out);

	if (err != 0 || any_domain)
		return err;
	err = SQL_QUERY(tx, &r, &directory_sql_share_same_domain, SQLT(owner), SQLT(out->id));
	if (err == 0)
		err = sql_next(&r);
	return err == 0 ? ERR_NOTFOUND : err < 0 ? err : 0;
}
