/* directory_domain.c: domains, names that stand for them, and the archive that copies of their mail go to. */
#include "base/house.h"
#include "directory/directory_private.h"

static int
domain_name(struct slice name, struct arena *a, struct slice *out, struct buf *detail)
{
	int err = directory_domain_normalise(name, a, out);

	if (err == ERR_SYNTAX)
		SAY(detail, "\"%.*s\" is not a domain name.", SLICE_ARG(name));
	return err;
}

/* A name that is neither a domain nor an alias of one yet. */
static int
fresh_name(struct sqltx *tx, struct slice name, struct arena *a, struct slice *domain, struct buf *detail)
{
	struct slice canonical;
	bool local = false;
	int err = domain_name(name, a, domain, detail);

	if (err == 0)
		err = directory_domain_find(tx, a, *domain, &local, &canonical);
	if (err != 0 || !local)
		return err;
	if (slice_eq(canonical, *domain))
		SAY(detail, "the domain %.*s is there already.", SLICE_ARG(*domain));
	else
		SAY(detail, "%.*s stands for %.*s already.", SLICE_ARG(*domain), SLICE_ARG(canonical));
	return ERR_EXISTS;
}

int
directory_domain_add(struct sqltx *tx, struct house *h, struct slice name, struct buf *detail)
{
	struct arena a ARENA_CLEANUP;
	struct slice domain;
	int err;

	arena_init(&a, DIRECTORY_SCRATCH_BYTES);
	err = fresh_name(tx, name, &a, &domain, detail);
	return err == 0 ? SQL_EXEC(tx, &directory_sql_domain_insert, SQLT(domain), SQLI(house_now_us(h))) : err;
}

int
directory_domain_remove(struct sqltx *tx, struct slice name, struct buf *detail)
{
	struct arena a ARENA_CLEANUP;
	struct slice domain;
	int err;

	arena_init(&a, DIRECTORY_SCRATCH_BYTES);
	err = domain_name(name, &a, &domain, detail);
	if (err == 0)
		err = SQL_EXEC(tx, &directory_sql_domain_delete, SQLT(domain));
	if (err == ERR_CONFLICT) {
		SAY(detail,
		    "the domain %.*s still has accounts, aliases or domains that stand for it: remove them first.",
		    SLICE_ARG(domain));
	} else if (err == 0 && sql_changes(tx) == 0) {
		SAY(detail, "there is no domain %.*s.", SLICE_ARG(domain));
		err = ERR_NOTFOUND;
	}
	return err;
}

int
directory_domain_list(struct sqltx *tx, struct arena *a, struct directory_domain **v, size_t *n)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	size_t cap = 0;
	int err = sql_query(tx, &r, &directory_sql_domain_list, NULL, 0);

	*v = NULL;
	*n = 0;
	if (err != 0)
		return err;
	while ((err = sql_next(&r)) == 1) {
		*v = arena_grow(a, *v, *n, &cap, sizeof(**v), SIZE_MAX / sizeof(**v));
		if (*v == NULL)
			return ERR_NOMEM;
		(*v)[(*n)++] = (struct directory_domain){arena_copy(a, sql_col_bytes(&r, 0)), sql_col_int(&r, 1),
		    sql_col_int(&r, 2), sql_col_int(&r, 3), arena_copy(a, sql_col_bytes(&r, 4)),
		    sql_col_int(&r, 5) != 0, sql_col_int(&r, 6) != 0};
	}
	return err != 0 ? err : arena_failed(a) ? ERR_NOMEM : 0;
}

/* ---- domains that stand for others ------------------------------------------------------------------------------ */

int
directory_domain_alias_add(
    struct sqltx *tx, struct house *h, struct slice name, struct slice target, struct buf *detail)
{
	struct arena a ARENA_CLEANUP;
	struct slice fresh, domain, canonical;
	bool local = false;
	int err;

	arena_init(&a, DIRECTORY_SCRATCH_BYTES);
	err = domain_name(target, &a, &domain, detail);
	if (err == 0)
		err = directory_domain_find(tx, &a, domain, &local, &canonical);
	if (err == 0 && !local) {
		SAY(detail, "there is no domain %.*s here: add it first.", SLICE_ARG(domain));
		return ERR_NOTFOUND;
	}
	if (err == 0)
		err = fresh_name(tx, name, &a, &fresh, detail);
	return err == 0
	    ? SQL_EXEC(tx, &directory_sql_domain_alias_insert, SQLT(fresh), SQLT(canonical), SQLI(house_now_us(h)))
	    : err;
}

int
directory_domain_alias_remove(struct sqltx *tx, struct slice name, struct buf *detail)
{
	struct arena a ARENA_CLEANUP;
	struct slice domain;
	int err;

	arena_init(&a, DIRECTORY_SCRATCH_BYTES);
	err = domain_name(name, &a, &domain, detail);
	if (err == 0)
		err = SQL_EXEC(tx, &directory_sql_domain_alias_delete, SQLT(domain));
	if (err == 0 && sql_changes(tx) == 0) {
		SAY(detail, "%.*s stands for no other domain.", SLICE_ARG(domain));
		err = ERR_NOTFOUND;
	}
	return err;
}

int
directory_domain_alias_list(struct sqltx *tx, struct arena *a, struct directory_domain_alias **v, size_t *n)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	size_t cap = 0;
	int err = sql_query(tx, &r, &directory_sql_domain_alias_list, NULL, 0);

	*v = NULL;
	*n = 0;
	if (err != 0)
		return err;
	while ((err = sql_next(&r)) == 1) {
		*v = arena_grow(a, *v, *n, &cap, sizeof(**v), SIZE_MAX / sizeof(**v));
		if (*v == NULL)
			return ERR_NOMEM;
		(*v)[(*n)++] = (struct directory_domain_alias){
		    arena_copy(a, sql_col_bytes(&r, 0)), arena_copy(a, sql_col_bytes(&r, 1)), sql_col_int(&r, 2)};
	}
	return err != 0 ? err : arena_failed(a) ? ERR_NOMEM : 0;
}

/* ---- archives ------------------------------------------------------------------------------------------------------ */

int
directory_domain_bcc_set(struct sqltx *tx, struct slice name, struct slice bcc, bool in, bool out, struct buf *detail)
{
	struct arena a ARENA_CLEANUP;
	struct slice domain;
	struct slice_list spelt = {0};
	int err;

	arena_init(&a, DIRECTORY_SCRATCH_BYTES);
	err = domain_name(name, &a, &domain, detail);
	if (err == 0 && bcc.n > 0)
		err = directory_targets_spell(&a, (struct slice_list){&bcc, 1}, &spelt, detail);
	if (err == 0)
		err = SQL_EXEC(tx, &directory_sql_domain_bcc_set, SQLT(domain),
		    SQLT(spelt.n > 0 ? *spelt.v : SLICE("")), SQLI(in), SQLI(out));
	if (err == 0 && sql_changes(tx) == 0) {
		SAY(detail, "there is no domain %.*s.", SLICE_ARG(domain));
		err = ERR_NOTFOUND;
	}
	return err;
}

int
directory_domain_bcc_count(struct sqltx *tx, int64_t *n)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = sql_query(tx, &r, &directory_sql_domain_bcc_count, NULL, 0);

	if (err == 0)
		err = sql_next(&r);
	if (err == 1)
		*n = sql_col_int(&r, 0);
	return err < 0 ? err : 0;
}

int
directory_domain_bcc(struct sqltx *tx, struct arena *a, struct slice name, bool out, struct slice *bcc)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &directory_sql_domain_bcc_get, SQLT(name));

	*bcc = SLICE_EMPTY;
	if (err == 0)
		err = sql_next(&r);
	if (err != 1)
		return err;
	if (sql_col_int(&r, out ? 2 : 1) != 0)
		*bcc = arena_copy(a, sql_col_bytes(&r, 0));
	return arena_failed(a) ? ERR_NOMEM : 0;
}
