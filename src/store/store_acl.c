/* store_acl.c: see store_acl.h. The rows lie in the account's own database; everything that changes them passes here, so that sessions
 * learn from a counter in memory whether the rights that they read still hold. */
#include "store/store_acl.h"

#include "store/store_private.h"

struct acl_op {
	struct store_account *a;
	struct arena *mem;
	struct slice name, who;
	int64_t id; /* of the mailbox */
	enum store_flag_op op;
	const struct store_acl_entry *set;
	struct store_acl_entry *v;
	struct store_acl_mine *mine;
	size_t n, cap;
	unsigned rights;
	bool gives;
};

/* ---- letters -------------------------------------------------------------------------------------------------------------- */

static const struct {
	char letter;
	unsigned rights; /* c and d: all that they stand for */
	bool virtual;
} letters[] = {
    {'l', STORE_RIGHT_LOOKUP, false},
    {'r', STORE_RIGHT_READ, false},
    {'s', STORE_RIGHT_SEEN, false},
    {'w', STORE_RIGHT_WRITE, false},
    {'i', STORE_RIGHT_INSERT, false},
    {'p', STORE_RIGHT_POST, false},
    {'k', STORE_RIGHT_CREATE, false},
    {'x', STORE_RIGHT_DELETE, false},
    {'t', STORE_RIGHT_DELETED, false},
    {'e', STORE_RIGHT_EXPUNGE, false},
    {'c', STORE_RIGHT_CREATE | STORE_RIGHT_DELETE, true},
    {'d', STORE_RIGHT_DELETED | STORE_RIGHT_EXPUNGE, true},
    {'a', STORE_RIGHT_ADMINISTER, false},
};

void
store_acl_put_rights(struct buf *out, unsigned rights)
{
	for (size_t i = 0; i < COUNT_OF(letters); i++)
		if ((rights & letters[i].rights) != 0)
			buf_put_u8(out, (uint8_t)letters[i].letter);
}

bool
store_acl_parse_change(struct slice text, enum store_flag_op *op, unsigned *rights)
{
	*op = slice_starts(text, SLICE("+")) ? STORE_FLAGS_ADD
	    : slice_starts(text, SLICE("-")) ? STORE_FLAGS_REMOVE
					     : STORE_FLAGS_REPLACE;
	if (*op != STORE_FLAGS_REPLACE)
		text = slice_from(text, 1);
	*rights = 0;
	for (size_t i = 0; i < text.n; i++) {
		size_t k = 0;

		while (k < COUNT_OF(letters) && (uint8_t)letters[k].letter != slice_at(text, i))
			k++;
		if (k == COUNT_OF(letters))
			return false;
		*rights |= letters[k].rights;
	}
	return true;
}

/* ---- reading -------------------------------------------------------------------------------------------------------------- */

static int
find_mailbox(struct sqltx *tx, struct acl_op *o)
{
	struct mailbox_row row;
	int err;

	if (o->name.n == 0)
		return 0;
	err = row_mailbox_by_name(tx, o->a, o->name, NULL, &row);
	o->id = row.id;
	return err;
}

static int
get_tx(struct sqltx *tx, void *arg)
{
	struct acl_op *o = arg;
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = find_mailbox(tx, o);

	o->n = o->cap = 0;
	o->v = NULL;
	if (err == 0)
		err = SQL_QUERY(tx, &q, &store_sql_acl_list, ACC(o->a), SQLI(o->id));
	while (err == 0 && (err = sql_next(&q)) == 1) {
		struct store_acl_entry *v = arena_grow(o->mem, o->v, o->n, &o->cap, sizeof(*v), 1u << 16);

		if (v == NULL)
			return ERR_LIMIT;
		o->v = v;
		o->v[o->n++] = (struct store_acl_entry){arena_copy(o->mem, sql_col_bytes(&q, 0)),
		    sql_col_int(&q, 1) != 0, (unsigned)sql_col_int(&q, 2) & STORE_RIGHTS_ALL};
		err = arena_failed(o->mem) ? ERR_LIMIT : 0;
	}
	return err;
}

int
store_acl_get(struct store_account *acc, struct slice mailbox, struct arena *a, struct store_acl_entry **v, size_t *n)
{
	struct acl_op o = {.a = acc, .mem = a, .name = mailbox};
	struct store_op op = {.tx = get_tx, .arg = &o};
	int err = store_run(acc, &op);

	*v = err == 0 ? o.v : NULL;
	*n = err == 0 ? o.n : 0;
	return err;
}

/* Of o->id. */
static int
read_rights(struct sqltx *tx, struct acl_op *o)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	unsigned given = 0, taken = 0;
	int err = SQL_QUERY(tx, &q, &store_sql_acl_of, ACC(o->a), SQLI(o->id), SQLT(o->who));

	while (err == 0 && (err = sql_next(&q)) == 1) {
		*(sql_col_int(&q, 0) != 0 ? &taken : &given) |= (unsigned)sql_col_int(&q, 1);
		err = 0;
	}
	o->rights = given & ~taken & STORE_RIGHTS_ALL;
	return err;
}

static int
rights_tx(struct sqltx *tx, void *arg)
{
	struct acl_op *o = arg;
	int err = find_mailbox(tx, o);

	return err == 0 ? read_rights(tx, o) : err;
}

static int
rights_above_tx(struct sqltx *tx, void *arg)
{
	struct acl_op *o = arg;
	struct slice name = o->name;
	size_t at;

	o->rights = 0;
	while ((at = slice_rfind_byte(name, '/')) != SLICE_NONE) {
		struct mailbox_row row;
		int err;

		name = slice_head(name, at);
		err = row_mailbox_by_name(tx, o->a, name, NULL, &row);
		if (err == ERR_NOTFOUND)
			continue;
		o->id = row.id;
		return err == 0 ? read_rights(tx, o) : err;
	}
	return 0;
}

static int
ask_rights(struct acl_op *o, sql_fn *tx, unsigned *rights)
{
	struct store_op op = {.tx = tx, .arg = o};
	int err = store_run(o->a, &op);

	*rights = err == 0 ? o->rights : 0;
	return err;
}

int
store_acl_rights(struct store_account *acc, struct slice mailbox, struct slice who, unsigned *rights)
{
	struct acl_op o = {.a = acc, .name = mailbox, .who = who};

	return ask_rights(&o, rights_tx, rights);
}

int
store_acl_rights_of(struct store_account *acc, int64_t mailbox, struct slice who, unsigned *rights)
{
	struct acl_op o = {.a = acc, .id = mailbox, .who = who};

	return ask_rights(&o, rights_tx, rights);
}

int
store_acl_rights_above(struct store_account *acc, struct slice name, struct slice who, unsigned *rights)
{
	struct acl_op o = {.a = acc, .name = name, .who = who};

	return ask_rights(&o, rights_above_tx, rights);
}

/* Rows come by mailbox, what is taken behind what is given. */
static int
mine_tx(struct sqltx *tx, void *arg)
{
	struct acl_op *o = arg;
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	size_t kept = 0;
	int err = SQL_QUERY(tx, &q, &store_sql_acl_mine, ACC(o->a), SQLT(o->who));

	o->n = o->cap = 0;
	o->mine = NULL;
	while (err == 0 && (err = sql_next(&q)) == 1) {
		int64_t id = sql_col_int(&q, 0);
		unsigned rights = (unsigned)sql_col_int(&q, 2) & STORE_RIGHTS_ALL;

		err = 0;
		if (o->n == 0 || o->mine[o->n - 1].mailbox != id) {
			struct store_acl_mine *v = arena_grow(o->mem, o->mine, o->n, &o->cap, sizeof(*v), 1u << 20);

			if (v == NULL)
				return ERR_LIMIT;
			o->mine = v;
			o->mine[o->n++] = (struct store_acl_mine){.mailbox = id};
		}
		if (sql_col_int(&q, 1) == 0)
			o->mine[o->n - 1].rights |= rights;
		else
			o->mine[o->n - 1].rights &= ~rights;
	}
	for (size_t i = 0; i < o->n; i++)
		if (o->mine[i].rights != 0)
			o->mine[kept++] = o->mine[i];
	o->n = kept;
	return err;
}

int
store_acl_mine(struct store_account *acc, struct slice who, struct arena *a, struct store_acl_mine **v, size_t *n)
{
	struct acl_op o = {.a = acc, .mem = a, .who = who};
	struct store_op op = {.tx = mine_tx, .arg = &o};
	int err = store_run(acc, &op);

	*v = err == 0 ? o.mine : NULL;
	*n = err == 0 ? o.n : 0;
	return err;
}

static int
gives_tx(struct sqltx *tx, void *arg)
{
	struct acl_op *o = arg;
	int err = row_exists(tx, &store_sql_acl_gives, SQL_ARGS(ACC(o->a), SQLT(o->who)));

	o->gives = err == 1;
	return err < 0 ? err : 0;
}

int
store_acl_gives(struct store_account *acc, struct slice who, bool *gives)
{
	struct acl_op o = {.a = acc, .who = who};
	struct store_op op = {.tx = gives_tx, .arg = &o};
	int err = store_run(acc, &op);

	*gives = o.gives;
	return err;
}

/* ---- changing ------------------------------------------------------------------------------------------------------------- */

static int
present_rights(struct sqltx *tx, struct acl_op *o, unsigned *rights)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = SQL_QUERY(
	    tx, &q, &store_sql_acl_get, ACC(o->a), SQLI(o->id), SQLT(o->set->who), SQLI(o->set->negative ? 1 : 0));

	if (err == 0)
		err = sql_next(&q);
	*rights = err == 1 ? (unsigned)sql_col_int(&q, 0) & STORE_RIGHTS_ALL : 0;
	return err < 0 ? err : 0;
}

static int
check_entries(struct sqltx *tx, struct acl_op *o)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = SQL_QUERY(tx, &q, &store_sql_acl_count, ACC(o->a), SQLI(o->id));

	if (err == 0)
		err = sql_next(&q);
	if (err < 0)
		return err;
	return err == 1 && sql_col_int(&q, 0) > o->a->store->house->limits.acl_entries ? ERR_LIMIT : 0;
}

static int
set_tx(struct sqltx *tx, void *arg)
{
	struct acl_op *o = arg;
	const struct store_acl_entry *e = o->set;
	unsigned rights = 0;
	int err = find_mailbox(tx, o);

	if (err == 0)
		err = present_rights(tx, o, &rights);
	if (err != 0)
		return err;
	rights = o->op == STORE_FLAGS_REPLACE ? e->rights
	    : o->op == STORE_FLAGS_ADD        ? rights | e->rights
					      : rights & ~e->rights;
	if (rights == 0)
		return SQL_EXEC(
		    tx, &store_sql_acl_delete, ACC(o->a), SQLI(o->id), SQLT(e->who), SQLI(e->negative ? 1 : 0));
	err = SQL_EXEC(
	    tx, &store_sql_acl_put, ACC(o->a), SQLI(o->id), SQLT(e->who), SQLI(e->negative ? 1 : 0), SQLI(rights));
	return err == 0 ? check_entries(tx, o) : err;
}

static void
set_finish(void *arg, int err)
{
	struct acl_op *o = arg;

	if (err == 0)
		acl_changed(o->a, o->name);
}

int
store_acl_set(struct store_account *acc, struct slice mailbox, enum store_flag_op op, const struct store_acl_entry *e)
{
	struct acl_op o = {.a = acc, .name = mailbox, .op = op, .set = e};
	struct store_op run = {.tx = set_tx, .finish = set_finish, .arg = &o, .write = true, .sync = true};

	return mailbox.n == 0 ? ERR_NOTFOUND : store_run(acc, &run);
}

uint64_t
store_acl_changes(const struct store_account *acc)
{
	return acc->acl_changes;
}

/* ---- for the rest of the room ----------------------------------------------------------------------------------------------- */

void
acl_changed(struct store_account *a, struct slice name)
{
	a->acl_changes++;
	LIST_FOREACH (&a->boxes, n) {
		struct store_box *b = CONTAINER_OF(n, struct store_box, node);

		LIST_FOREACH (&b->views, k) {
			struct store_view *v = CONTAINER_OF(k, struct store_view, node);

			if (v->watcher != NULL)
				fiber_wake(v->watcher);
		}
	}
	watch_rights(a, name);
}

int
acl_inherit(struct sqltx *tx, struct store_account *a, struct slice name, int64_t id)
{
	struct mailbox_row parent;
	size_t at = slice_rfind_byte(name, '/');
	int err;

	if (at == SLICE_NONE)
		return 0;
	err = row_mailbox_by_name(tx, a, slice_head(name, at), NULL, &parent);
	if (err != 0)
		return err == ERR_NOTFOUND ? 0 : err;
	return SQL_EXEC(tx, &store_sql_acl_inherit, ACC(a), SQLI(id), SQLI(parent.id));
}
