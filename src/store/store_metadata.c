/* store_metadata.c: annotations of mailboxes and of the account as a whole (RFC 5464): small values under names that a client
 * chooses. They go with their mailbox, and are counted and bounded by the table of limits. */
#include "store/store_private.h"

struct metadata_op {
	struct store_account *a;
	struct arena *mem;
	struct slice mailbox; /* empty: the account */
	int64_t id;           /* of the mailbox; 0: the account */
	const struct store_annotation *set;
	size_t set_n;
	struct store_annotation *v;
	size_t n, cap;
	int64_t bytes; /* of all values of the account */
};

static int
find_mailbox(struct sqltx *tx, struct metadata_op *o)
{
	struct mailbox_row row;
	int err;

	o->id = 0;
	if (o->mailbox.n == 0)
		return 0;
	err = row_mailbox_by_name(tx, o->a, o->mailbox, NULL, &row);
	if (err == 0 && !row.selectable)
		err = ERR_NOTFOUND;
	o->id = row.id;
	return err;
}

static int
get_tx(struct sqltx *tx, void *arg)
{
	struct metadata_op *o = arg;
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = find_mailbox(tx, o);

	o->n = o->cap = 0;
	o->v = NULL;
	if (err == 0)
		err = SQL_QUERY(tx, &q, &store_sql_metadata_list, ACC(o->a), SQLI(o->id));
	while (err == 0 && (err = sql_next(&q)) == 1) {
		struct store_annotation *v = arena_grow(o->mem, o->v, o->n, &o->cap, sizeof(*v), 1u << 16);

		if (v == NULL)
			return ERR_LIMIT;
		o->v = v;
		o->v[o->n++] = (struct store_annotation){
		    arena_copy(o->mem, sql_col_bytes(&q, 0)), arena_copy(o->mem, sql_col_bytes(&q, 1)), false};
		err = arena_failed(o->mem) ? ERR_LIMIT : 0;
	}
	return err;
}

/* What the account has after the change may not be over the limits; a change that only removes always passes. */
static int
check_limits(struct sqltx *tx, struct metadata_op *o)
{
	const struct limits *l = &o->a->store->house->limits;
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	bool adds = false;
	int err;

	for (size_t i = 0; i < o->set_n; i++)
		adds = adds || !o->set[i].remove;
	if (!adds)
		return 0;
	err = SQL_QUERY(tx, &q, &store_sql_metadata_usage, ACC(o->a));
	if (err == 0)
		err = sql_next(&q);
	if (err < 0)
		return err;
	return err == 1 && (sql_col_int(&q, 0) > l->metadata_entries || sql_col_int(&q, 1) > l->metadata_bytes)
	    ? ERR_QUOTA
	    : 0;
}

static int
set_tx(struct sqltx *tx, void *arg)
{
	struct metadata_op *o = arg;
	int err = find_mailbox(tx, o);

	for (size_t i = 0; i < o->set_n && err == 0; i++) {
		const struct store_annotation *e = &o->set[i];

		err = e->remove
		    ? SQL_EXEC(tx, &store_sql_metadata_delete, ACC(o->a), SQLI(o->id), SQLB(e->entry))
		    : SQL_EXEC(tx, &store_sql_metadata_put, ACC(o->a), SQLI(o->id), SQLB(e->entry), SQLB(e->value));
	}
	return err == 0 ? check_limits(tx, o) : err;
}

static int
usage_tx(struct sqltx *tx, void *arg)
{
	struct metadata_op *o = arg;
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = SQL_QUERY(tx, &q, &store_sql_metadata_usage, ACC(o->a));

	if (err == 0)
		err = sql_next(&q);
	o->bytes = err == 1 ? sql_col_int(&q, 1) : 0;
	return err < 0 ? err : 0;
}

static void
set_finish(void *arg, int err)
{
	struct metadata_op *o = arg;

	for (size_t i = 0; i < o->set_n && err == 0; i++)
		watch_metadata(o->a, o->mailbox, o->set[i].entry);
}

int
store_metadata_get(
    struct store_account *acc, struct slice mailbox, struct arena *a, struct store_annotation **v, size_t *n)
{
	struct metadata_op o = {.a = acc, .mem = a, .mailbox = mailbox};
	struct store_op op = {.tx = get_tx, .arg = &o};
	int err = store_run(acc, &op);

	*v = err == 0 ? o.v : NULL;
	*n = err == 0 ? o.n : 0;
	return err;
}

int
store_metadata_set(struct store_account *acc, struct slice mailbox, const struct store_annotation *v, size_t n)
{
	struct metadata_op o = {.a = acc, .mailbox = mailbox, .set = v, .set_n = n};
	struct store_op op = {.tx = set_tx, .finish = set_finish, .arg = &o, .write = true, .sync = true};

	return store_run(acc, &op);
}

int
store_metadata_usage(struct store_account *acc, int64_t *bytes)
{
	struct metadata_op o = {.a = acc};
	struct store_op op = {.tx = usage_tx, .arg = &o};
	int err = store_run(acc, &op);

	*bytes = o.bytes;
	return err;
}
