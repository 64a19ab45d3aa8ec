/* store_list.c: listing mailboxes and subscriptions. */
#include "store/store_private.h"

struct list_op {
	struct store_account *a;
	struct arena *mem;
	struct slice name; /* only this one; empty: all … */
	int64_t id;        /* … unless this is not 0: only the one with that id */
	struct store_mailbox *v;
	size_t n, cap;
	struct slice *names; /* subscriptions */
	size_t names_n, names_cap;
};

int
store_name_compare(struct slice a, struct slice b)
{
	bool a_inbox = slice_eq(a, SLICE("INBOX")) || slice_starts(a, SLICE("INBOX/"));
	bool b_inbox = slice_eq(b, SLICE("INBOX")) || slice_starts(b, SLICE("INBOX/"));

	if (a_inbox != b_inbox)
		return a_inbox ? -1 : 1;
	for (size_t i = 0; i < a.n && i < b.n; i++) {
		int x = slice_at(a, i) == '/' ? -1 : slice_at(a, i), y = slice_at(b, i) == '/' ? -1 : slice_at(b, i);

		if (x != y)
			return x - y;
	}
	return a.n < b.n ? -1 : a.n > b.n;
}

static int
compare_mailboxes(const void *a, const void *b)
{
	return store_name_compare(((const struct store_mailbox *)a)->name, ((const struct store_mailbox *)b)->name);
}

static int
compare_slices(const void *a, const void *b)
{
	return store_name_compare(*(const struct slice *)a, *(const struct slice *)b);
}

static int
add_row(struct list_op *o, const struct mailbox_row *r)
{
	struct store_mailbox *v = arena_grow(o->mem, o->v, o->n, &o->cap, sizeof(*v), 1u << 20);

	if (v == NULL)
		return ERR_LIMIT;
	o->v = v;
	v = &o->v[o->n++];
	*v = (struct store_mailbox){.id = r->id,
	    .object_id = arena_copy(o->mem, slice_of(r->object_id, STORE_ID_BYTES)),
	    .name = r->name,
	    .role = (enum store_role)r->role,
	    .selectable = r->selectable,
	    .uidvalidity = r->uidvalidity,
	    .uidnext = (uint32_t)r->uidnext,
	    .highestmodseq = (uint64_t)r->highestmodseq,
	    .messages = (uint32_t)r->messages,
	    .unseen = (uint32_t)r->unseen,
	    .deleted = (uint32_t)r->deleted,
	    .recent = (uint32_t)r->first_recent,
	    .bytes = r->bytes,
	    .changes = (uint64_t)r->changes};
	return arena_failed(o->mem) ? ERR_LIMIT : 0;
}

static int
read_mailboxes(struct sqltx *tx, struct list_op *o)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = o->id != 0 ? SQL_QUERY(tx, &q, &store_sql_mailbox_by_id, ACC(o->a), SQLI(o->id))
	    : o->name.n > 0  ? SQL_QUERY(tx, &q, &store_sql_mailbox_by_name, ACC(o->a), SQLT(o->name))
			     : SQL_QUERY(tx, &q, &store_sql_mailbox_list, ACC(o->a));

	while (err == 0 && (err = sql_next(&q)) == 1) {
		struct mailbox_row r;

		if ((err = row_mailbox_read(&q, o->mem, &r)) == 0)
			err = add_row(o, &r);
	}
	return err;
}

/* `recent` holds the first recent UID until it is replaced by the number of messages from there on. */
static int
count_recent(struct sqltx *tx, struct list_op *o, struct store_mailbox *m)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err;

	if (m->recent >= m->uidnext || m->messages == 0) {
		m->recent = 0;
		return 0;
	}
	err = SQL_QUERY(tx, &q, &store_sql_placement_recent, ACC(o->a), SQLI(m->id), SQLI(m->recent));
	if (err != 0 || (err = sql_next(&q)) < 0)
		return err;
	m->recent = err == 1 ? (uint32_t)sql_col_int(&q, 0) : 0;
	return 0;
}

static int
read_subscriptions(struct sqltx *tx, struct list_op *o)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = SQL_QUERY(tx, &q, &store_sql_subscription_list, ACC(o->a));

	while (err == 0 && (err = sql_next(&q)) == 1) {
		struct slice *v = arena_grow(o->mem, o->names, o->names_n, &o->names_cap, sizeof(*v), 1u << 20);

		if (v == NULL)
			return ERR_LIMIT;
		o->names = v;
		o->names[o->names_n++] = arena_copy(o->mem, sql_col_bytes(&q, 0));
		err = arena_failed(o->mem) ? ERR_LIMIT : 0;
	}
	return err;
}

static int
list_tx(struct sqltx *tx, void *arg)
{
	struct list_op *o = arg;
	int err;

	o->v = NULL;
	o->names = NULL;
	o->n = o->cap = o->names_n = o->names_cap = 0;
	if ((err = read_mailboxes(tx, o)) != 0 || (err = read_subscriptions(tx, o)) != 0)
		return err;
	for (size_t i = 0; i < o->n && err == 0; i++)
		err = count_recent(tx, o, &o->v[i]);
	return err;
}

/* What sessions were shown as \Recent is known in memory first. */
static void
list_finish(void *arg, int err)
{
	struct list_op *o = arg;

	for (size_t i = 0; err == 0 && i < o->n; i++) {
		struct store_box *b = box_find(o->a, o->v[i].id);

		if (b == NULL)
			continue;
		o->v[i].recent = 0;
		for (size_t j = box_lower_bound(b, b->first_recent); j < b->n; j++)
			o->v[i].recent += b->v[j].dead == 0;
	}
}

static bool
is_subscribed(const struct list_op *o, struct slice name)
{
	return o->names_n > 0 && bsearch(&name, o->names, o->names_n, sizeof(name), compare_slices) != NULL;
}

static int
list_run(struct list_op *o)
{
	struct store_op op = {.tx = list_tx, .finish = list_finish, .arg = o};
	int err = store_run(o->a, &op);

	if (err != 0)
		return err;
	if (o->n > 1)
		qsort(o->v, o->n, sizeof(*o->v), compare_mailboxes);
	if (o->names_n > 1)
		qsort(o->names, o->names_n, sizeof(*o->names), compare_slices);
	for (size_t i = 0; i < o->n; i++) {
		struct slice name = o->v[i].name, next = i + 1 < o->n ? o->v[i + 1].name : SLICE_EMPTY;

		o->v[i].subscribed = is_subscribed(o, name);
		o->v[i].has_children = next.n > name.n && slice_starts(next, name) && slice_at(next, name.n) == '/';
	}
	return 0;
}

int
store_mailboxes(struct store_account *acc, struct arena *a, struct store_mailbox **out, size_t *n)
{
	struct list_op o = {.a = acc, .mem = a};
	int err = list_run(&o);

	*out = err == 0 ? o.v : NULL;
	*n = err == 0 ? o.n : 0;
	return err;
}

struct one_op {
	struct list_op list;
	bool children;
};

static int
one_tx(struct sqltx *tx, void *arg)
{
	struct one_op *o = arg;
	struct slice from, to;
	int err;

	o->list.v = NULL;
	o->list.n = o->list.cap = 0;
	if ((err = read_mailboxes(tx, &o->list)) != 0)
		return err;
	if (o->list.n != 1)
		return ERR_NOTFOUND;
	o->list.name = o->list.v[0].name;
	from = arena_printf(o->list.mem, "%.*s/", SLICE_ARG(o->list.name));
	to = arena_printf(o->list.mem, "%.*s0", SLICE_ARG(o->list.name));
	if (arena_failed(o->list.mem))
		return ERR_LIMIT;
	if ((err = count_recent(tx, &o->list, &o->list.v[0])) != 0)
		return err;
	if ((err = row_exists(tx, &store_sql_mailbox_children, SQL_ARGS(ACC(o->list.a), SQLT(from), SQLT(to)))) < 0)
		return err;
	o->list.v[0].has_children = err == 1;
	if ((err = row_exists(tx, &store_sql_subscription_get, SQL_ARGS(ACC(o->list.a), SQLT(o->list.name)))) < 0)
		return err;
	o->list.v[0].subscribed = err == 1;
	return 0;
}

static void
one_finish(void *arg, int err)
{
	struct one_op *o = arg;

	list_finish(&o->list, err);
}

int
store_mailbox(struct store_account *acc, struct slice name, struct arena *a, struct store_mailbox *out)
{
	struct one_op o = {.list = {.a = acc, .mem = a}};
	struct store_op op = {.tx = one_tx, .finish = one_finish, .arg = &o};
	int err = store_name_normal(&acc->store->house->limits, name, a, &o.list.name);

	if (err == 0 && (err = store_run(acc, &op)) == 0)
		*out = o.list.v[0];
	return err == ERR_INVALID ? ERR_NOTFOUND : err;
}

int
store_mailbox_by_id(struct store_account *acc, int64_t id, struct arena *a, struct store_mailbox *out)
{
	struct one_op o = {.list = {.a = acc, .mem = a, .id = id}};
	struct store_op op = {.tx = one_tx, .finish = one_finish, .arg = &o};
	int err = store_run(acc, &op);

	if (err == 0)
		*out = o.list.v[0];
	return err;
}

int
store_subscriptions(struct store_account *acc, struct arena *a, struct slice_list *out)
{
	struct list_op o = {.a = acc, .mem = a};
	int err = list_run(&o);

	*out = err == 0 ? (struct slice_list){o.names, o.names_n} : (struct slice_list){NULL, 0};
	return err;
}

struct deleted_op {
	struct store_account *a;
	int64_t mailbox, bytes;
};

static int
deleted_tx(struct sqltx *tx, void *arg)
{
	struct deleted_op *o = arg;
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = SQL_QUERY(tx, &q, &store_sql_placement_deleted, ACC(o->a), SQLI(o->mailbox));

	o->bytes = 0;
	while (err == 0 && (err = sql_next(&q)) == 1) {
		if ((sql_col_int(&q, 0) & STORE_DELETED) != 0)
			o->bytes += sql_col_int(&q, 1);
		err = 0;
	}
	return err;
}

int
store_deleted_bytes(struct store_account *acc, int64_t mailbox, int64_t *bytes)
{
	struct deleted_op o = {.a = acc, .mailbox = mailbox};
	struct store_op op = {.tx = deleted_tx, .arg = &o};
	int err = store_run(acc, &op);

	*bytes = o.bytes;
	return err;
}
