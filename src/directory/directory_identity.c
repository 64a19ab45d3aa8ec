/* directory_identity.c: identities, rights to send as somebody else, limits of sending. */
#include "directory/directory_identity.h"

#include "base/house.h"
#include "directory/directory_private.h"

#define NAME_BYTES_MAX 400u

/* ---- identities ---------------------------------------------------------------------------------------------- */

static int
identity_key(struct sqltx *tx, struct slice address, struct arena *a, struct directory_address *at, struct buf *detail)
{
	bool local;
	int err = directory_address_parse(address, true, a, at);

	if (err == 0 && at->domain.n == 0)
		err = ERR_SYNTAX;
	if (err == ERR_SYNTAX)
		SAY(detail, "\"%.*s\" is not an address of the form name@domain, nor a domain of the form @domain.",
		    SLICE_ARG(address));
	return err == 0 ? directory_canonical(tx, a, at, &local) : err;
}

static int
count_identities(struct sqltx *tx, struct slice account_id, int64_t *n)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &directory_sql_identity_count, SQLT(account_id));

	if (err == 0)
		err = sql_next(&r);
	*n = err == 1 ? sql_col_int(&r, 0) : 0;
	return err < 0 ? err : 0;
}

int
directory_identity_set(struct sqltx *tx, struct house *h, struct slice account_id, struct slice address,
    struct slice name, struct buf *detail)
{
	struct arena a ARENA_CLEANUP;
	struct directory_address at;
	int64_t n = 0;
	int err;

	arena_init(&a, DIRECTORY_SCRATCH_BYTES);
	err = identity_key(tx, address, &a, &at, detail);
	if (err == 0 && (name.n > NAME_BYTES_MAX || !slice_is_utf8(name, true))) {
		SAY(detail, "the name is longer than %u bytes, or not UTF-8.", NAME_BYTES_MAX);
		return ERR_INVALID;
	}
	if (err == 0)
		err = SQL_EXEC(tx, &directory_sql_identity_insert, SQLT(account_id), SQLT(at.key),
		    SQLT(at.local.n > 0 ? at.spelt : at.key), SQLT(name), SQLI(house_now_us(h)));
	if (err == ERR_CONFLICT) {
		SAY(detail, "there is no account %.*s.", SLICE_ARG(account_id));
		return ERR_NOTFOUND;
	}
	if (err == 0)
		err = count_identities(tx, account_id, &n);
	if (err == 0 && n > h->limits.identities) {
		SAY(detail, "an account has at most %lld identities.", (long long)h->limits.identities);
		return ERR_LIMIT;
	}
	return err;
}

int
directory_identity_remove(struct sqltx *tx, struct slice account_id, struct slice address, struct buf *detail)
{
	struct arena a ARENA_CLEANUP;
	struct directory_address at;
	int err;

	arena_init(&a, DIRECTORY_SCRATCH_BYTES);
	err = identity_key(tx, address, &a, &at, detail);
	if (err == 0)
		err = SQL_EXEC(tx, &directory_sql_identity_delete, SQLT(account_id), SQLT(at.key));
	if (err == 0 && sql_changes(tx) == 0) {
		SAY(detail, "the account has no identity %.*s.", SLICE_ARG(address));
		err = ERR_NOTFOUND;
	}
	return err;
}

int
directory_identity_list(
    struct sqltx *tx, struct arena *a, struct slice account_id, struct directory_identity **v, size_t *n)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	size_t cap = 0;
	int err = SQL_QUERY(tx, &r, &directory_sql_identity_list, SQLT(account_id));

	*v = NULL;
	*n = 0;
	while (err == 0 && (err = sql_next(&r)) == 1) {
		*v = arena_grow(a, *v, *n, &cap, sizeof(**v), SIZE_MAX / sizeof(**v));
		if (*v == NULL)
			return ERR_NOMEM;
		(*v)[(*n)++] = (struct directory_identity){
		    arena_copy(a, sql_col_bytes(&r, 0)), arena_copy(a, sql_col_bytes(&r, 1)), sql_col_int(&r, 2)};
		err = arena_failed(a) ? ERR_NOMEM : 0;
	}
	return err;
}

int
directory_identity_forget(struct sqltx *tx, struct slice key)
{
	return SQL_EXEC(tx, &directory_sql_identity_forget, SQLT(key));
}

/* ---- who may send as whom -------------------------------------------------------------------------------------- */

static int
has_identity(struct sqltx *tx, struct slice account_id, struct slice key, bool *has)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err;

	if (*has || key.n == 0)
		return 0;
	err = SQL_QUERY(tx, &r, &directory_sql_identity_get, SQLT(account_id), SQLT(key));
	if (err == 0)
		err = sql_next(&r);
	*has = err == 1;
	return err < 0 ? err : 0;
}

/* The address itself, without its tag, or its whole domain. */
static int
identity_allows(
    struct sqltx *tx, struct arena *a, struct slice account_id, const struct directory_address *at, bool *allowed)
{
	struct slice user, tag;
	int err = has_identity(tx, account_id, at->key, allowed);

	if (err == 0 && directory_split_tag(at->local, &user, &tag))
		err = has_identity(tx, account_id, directory_key(a, user, at->domain), allowed);
	return err == 0 ? has_identity(tx, account_id, directory_key(a, SLICE_EMPTY, at->domain), allowed) : err;
}

int
directory_sender(struct sqltx *tx, struct slice account_id, struct slice address, enum directory_sender *out)
{
	struct arena a ARENA_CLEANUP;
	struct directory_account self;
	struct directory_address at;
	bool allowed = false, local = true;
	int err;

	*out = DIRECTORY_SENDER_OTHER;
	arena_init(&a, DIRECTORY_SCRATCH_BYTES);
	err = directory_address_parse(address, false, &a, &at);
	if (err != 0 || at.domain.n == 0)
		return err == ERR_SYNTAX || err == 0 ? 0 : err;
	err = directory_canonical(tx, &a, &at, &local);
	if (err == 0 && local)
		err = directory_may_send_as(tx, account_id, address, &allowed);
	if (err == 0 && !allowed)
		err = directory_account_get(tx, &a, account_id, &self);
	if (err == 0 && !allowed && self.enabled)
		err = identity_allows(tx, &a, account_id, &at, &allowed);
	if (err == 0 || err == ERR_NOTFOUND)
		*out = allowed ? DIRECTORY_SENDER_OWN : local ? DIRECTORY_SENDER_OTHER : DIRECTORY_SENDER_FOREIGN;
	return err == ERR_NOTFOUND ? 0 : err;
}

/* ---- limits ------------------------------------------------------------------------------------------------------ */

int
directory_limits_get(struct sqltx *tx, struct slice account_id, struct directory_account_limits *out)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &directory_sql_limits_get, SQLT(account_id));

	*out = (struct directory_account_limits){DIRECTORY_LIMIT_DEFAULT, DIRECTORY_LIMIT_DEFAULT,
	    DIRECTORY_LIMIT_DEFAULT, DIRECTORY_LIMIT_DEFAULT, DIRECTORY_LIMIT_DEFAULT, DIRECTORY_LIMIT_DEFAULT};
	if (err == 0)
		err = sql_next(&r);
	if (err != 1)
		return err;
	*out = (struct directory_account_limits){sql_col_int(&r, 0), sql_col_int(&r, 1), sql_col_int(&r, 2),
	    sql_col_int(&r, 3), sql_col_int(&r, 4), sql_col_int(&r, 5)};
	return 0;
}

int
directory_limits_set(struct sqltx *tx, struct slice account_id, const struct directory_account_limits *in)
{
	int err = SQL_EXEC(tx, &directory_sql_limits_set, SQLT(account_id), SQLI(in->message_bytes),
	    SQLI(in->recipients), SQLI(in->messages_per_hour), SQLI(in->messages_per_day),
	    SQLI(in->recipients_per_hour), SQLI(in->recipients_per_day));

	return err == ERR_CONFLICT ? ERR_NOTFOUND : err;
}
