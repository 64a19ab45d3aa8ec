/* directory_books.c: adding, changing, removing and listing accounts; what the other books have in common. */
#include "base/house.h"
#include "directory/directory_identity.h"
#include "directory/directory_private.h"

/* ---- in common ------------------------------------------------------------------------------------------------ */

int
directory_text_list(
    struct sqltx *tx, struct arena *a, const struct sql_text *t, struct slice key, struct slice_list *out)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	struct slice *v = NULL;
	size_t cap = 0;
	struct sql_value value = SQLT(key);
	int err = sql_query(tx, &r, t, &value, 1);

	*out = (struct slice_list){0};
	if (err != 0)
		return err;
	while ((err = sql_next(&r)) == 1) {
		v = arena_grow(a, v, out->n, &cap, sizeof(*v), SIZE_MAX / sizeof(*v));
		if (v == NULL)
			return ERR_NOMEM;
		v[out->n++] = arena_copy(a, sql_col_bytes(&r, 0));
		out->v = v;
	}
	return err != 0 ? err : arena_failed(a) ? ERR_NOMEM : 0;
}

int
directory_targets_spell(struct arena *a, struct slice_list in, struct slice_list *out, struct buf *detail)
{
	struct slice *v = ARENA_ARRAY(a, struct slice, in.n + 1);
	struct directory_address at;

	*out = (struct slice_list){v, in.n};
	if (v == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < in.n; i++) {
		int err = directory_address_parse(in.v[i], false, a, &at);

		if (err == ERR_SYNTAX || (err == 0 && at.domain.n == 0)) {
			SAY(detail, "\"%.*s\" is not an address of the form name@domain.", SLICE_ARG(in.v[i]));
			return ERR_SYNTAX;
		}
		if (err != 0)
			return err;
		v[i] = at.spelt;
	}
	return 0;
}

int
directory_refuse_loop(struct sqltx *tx, struct house *h, struct arena *a, struct slice address, struct buf *detail)
{
	struct directory_ask ask = {.limits = &h->limits, .from = {.anybody = true}};
	struct directory_targets t;
	int err = directory_expand(tx, &ask, a, address, &t);

	if (err != 0 || !t.looped)
		return err;
	SAY(detail, "mail to %.*s would go in a circle: what it leads to leads back to it.", SLICE_ARG(address));
	return ERR_CONFLICT;
}

/* ---- accounts ------------------------------------------------------------------------------------------------- */

void
directory_account_row(struct sql_rows *r, struct arena *a, struct directory_account *out)
{
	*out = (struct directory_account){
	    .id = arena_copy(a, sql_col_bytes(r, 0)),
	    .address = arena_copy(a, sql_col_bytes(r, 1)),
	    .display_name = arena_copy(a, sql_col_bytes(r, 2)),
	    .quota_bytes = sql_col_int(r, 3),
	    .enabled = sql_col_int(r, 4) != 0,
	    .admin = sql_col_int(r, 5) != 0,
	    .created_us = sql_col_int(r, 6),
	};
}

int
directory_account_by(
    struct sqltx *tx, struct arena *a, const struct sql_text *t, const struct slice *v, struct directory_account *out)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	struct sql_value value = v == NULL ? SQLN : SQLT(*v);
	int err = sql_query(tx, &r, t, &value, v == NULL ? 0 : 1);

	if (err == 0)
		err = sql_next(&r);
	if (err != 1)
		return err < 0 ? err : ERR_NOTFOUND;
	directory_account_row(&r, a, out);
	return arena_failed(a) ? ERR_NOMEM : 0;
}

int
directory_account_get(struct sqltx *tx, struct arena *a, struct slice id, struct directory_account *out)
{
	return directory_account_by(tx, a, &directory_sql_account_by_id, &id, out);
}

int
directory_account_find(struct sqltx *tx, struct arena *a, struct slice address, struct directory_account *out)
{
	struct directory_address at;
	bool local;
	int err = directory_address_here(tx, a, address, &at, &local);

	if (err == 0)
		err = directory_account_by(tx, a, &directory_sql_account_by_key, &at.key, out);
	return err == ERR_SYNTAX ? ERR_NOTFOUND : err;
}

int
directory_own_address(struct sqltx *tx, struct arena *a, struct slice address, bool alias, struct directory_address *at,
    struct buf *detail)
{
	struct directory_alias other_alias;
	struct directory_account other_account;
	struct slice domain;
	bool local = false;
	int err = directory_address_parse(address, alias, a, at);

	if (err == ERR_SYNTAX || (err == 0 && at->domain.n == 0)) {
		SAY(detail, "\"%.*s\" is not an address of the form name@domain.", SLICE_ARG(address));
		return ERR_SYNTAX;
	}
	if (err == 0)
		err = directory_domain_find(tx, a, at->domain, &local, &domain);
	if (err == 0 && !local) {
		SAY(detail, "there is no domain %.*s here: add it first.", SLICE_ARG(at->domain));
		return ERR_NOTFOUND;
	}
	if (err == 0 && !slice_eq(domain, at->domain)) {
		SAY(detail, "%.*s only stands for %.*s: add the address there.", SLICE_ARG(at->domain),
		    SLICE_ARG(domain));
		return ERR_CONFLICT;
	}
	if (err == 0)
		err = alias ? directory_account_by(tx, a, &directory_sql_account_by_key, &at->key, &other_account)
			    : directory_alias_get(tx, a, at->spelt, &other_alias);
	if (err == 0) {
		SAY(detail, "%.*s is %s already.", SLICE_ARG(at->spelt), alias ? "an account" : "an alias");
		return ERR_EXISTS;
	}
	return err == ERR_NOTFOUND ? 0 : err;
}

int
directory_account_add(struct sqltx *tx, struct house *h, struct arena *a, const struct directory_account *in,
    struct directory_account *out, struct buf *detail)
{
	struct directory_address at;
	char id[ULID_LEN + 1];
	int err = directory_own_address(tx, a, in->address, false, &at, detail);

	*out = *in;
	if (err != 0)
		return err;
	if (in->id.n == 0) {
		house_ulid(h, id);
		out->id = arena_copy(a, slice_z(id));
	}
	out->address = at.spelt;
	out->created_us = house_now_us(h);
	if (!ulid_is_valid(out->id) || in->quota_bytes < 0 || !slice_is_utf8(in->display_name, true)) {
		SAY(detail, "the id, quota or name of the new account %.*s is not valid.", SLICE_ARG(at.spelt));
		return ERR_INVALID;
	}
	err = SQL_EXEC(tx, &directory_sql_account_insert, SQLT(out->id), SQLT(out->address), SQLT(at.key),
	    SQLT(at.domain), SQLT(in->display_name), SQLI(in->quota_bytes), SQLI(in->enabled), SQLI(in->admin),
	    SQLI(out->created_us));
	if (err == ERR_EXISTS)
		SAY(detail, "the account %.*s is there already.", SLICE_ARG(at.spelt));
	return err;
}

/* After a statement that names an account by its id. */
static int
account_changed(struct sqltx *tx, int err, struct slice id, struct buf *detail)
{
	if (err != 0 || sql_changes(tx) > 0)
		return err;
	SAY(detail, "there is no account %.*s.", SLICE_ARG(id));
	return ERR_NOTFOUND;
}

int
directory_account_update(struct sqltx *tx, const struct directory_account *in, struct buf *detail)
{
	int err = in->quota_bytes < 0 ? ERR_INVALID : 0;

	if (err == 0)
		err = SQL_EXEC(tx, &directory_sql_account_update, SQLT(in->id), SQLT(in->display_name),
		    SQLI(in->quota_bytes), SQLI(in->enabled), SQLI(in->admin));
	if (err == ERR_INVALID)
		SAY(detail, "a quota is not negative, and a name is UTF-8.");
	return account_changed(tx, err, in->id, detail);
}

int
directory_account_remove(struct sqltx *tx, struct slice id, struct buf *detail)
{
	struct arena a ARENA_CLEANUP;
	struct directory_account old;
	struct directory_address at;
	int err;

	arena_init(&a, DIRECTORY_SCRATCH_BYTES);
	err = directory_account_get(tx, &a, id, &old);
	if (err == 0)
		err = directory_address_parse(old.address, false, &a, &at);
	if (err == 0)
		err = directory_identity_forget(tx, at.key);
	if (err != 0 && err != ERR_NOTFOUND)
		return err;
	if ((err = SQL_EXEC(tx, &directory_sql_share_forget, SQLT(id))) != 0)
		return err;
	return account_changed(tx, SQL_EXEC(tx, &directory_sql_account_delete, SQLT(id)), id, detail);
}

int
directory_key_after(struct slice after, struct arena *a, struct slice *key)
{
	struct directory_address at;
	int err;

	*key = SLICE("");
	if (after.n == 0)
		return 0;
	err = directory_address_parse(after, true, a, &at);
	if (err == 0)
		*key = at.key;
	return err;
}

int
directory_account_list(
    struct sqltx *tx, struct arena *a, struct slice after, size_t max, struct directory_account **v, size_t *n)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	size_t cap = 0;
	struct slice key;
	int err = directory_key_after(after, a, &key);

	*v = NULL;
	*n = 0;
	if (err == 0)
		err = SQL_QUERY(tx, &r, &directory_sql_account_list, SQLT(key), SQLI(max));
	while (err == 0 && (err = sql_next(&r)) == 1) {
		*v = arena_grow(a, *v, *n, &cap, sizeof(**v), max);
		if (*v == NULL)
			return ERR_NOMEM;
		directory_account_row(&r, a, &(*v)[(*n)++]);
		err = arena_failed(a) ? ERR_NOMEM : 0;
	}
	return err;
}
