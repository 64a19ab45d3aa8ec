/* store_mailboxes.c: the list of mailboxes, and making, deleting and renaming them (RFC 9051 §6.3.4 to §6.3.9). */
#include "store/store_private.h"

struct mailbox_op {
	struct store_account *a;
	struct arena mem;
	struct slice name, to;
	int role;
	bool on;
	struct buf unlink;
	int64_t id;        /* of the mailbox that was deleted or renamed */
	size_t made, gone; /* bytes of the first level that was made, or went, with it; 0: none */
	bool moved_inbox;
	struct mailbox_row target; /* of INBOX's messages */
};

static void
op_init(struct mailbox_op *o, struct store_account *a)
{
	*o = (struct mailbox_op){.a = a};
	arena_init(&o->mem, 256u << 20);
	buf_init(&o->unlink, 64u << 20);
}

static void
op_free(struct mailbox_op *o)
{
	arena_free(&o->mem);
	buf_free(&o->unlink);
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

static int
next_uidvalidity(struct store_account *a, struct account_row *ar)
{
	int64_t now = house_now_s(a->store->house);

	ar->uidvalidity = ar->uidvalidity >= now ? ar->uidvalidity + 1 : now;
	return ar->uidvalidity > UINT32_MAX ? ERR_LIMIT : 0;
}

int
store_mailbox_insert_row(
    struct sqltx *tx, struct store_account *a, struct account_row *ar, struct slice name, int role, int64_t *id_out)
{
	uint8_t id[STORE_ID_BYTES];
	int err = next_uidvalidity(a, ar);

	if (err != 0)
		return err;
	house_random(a->store->house, id, sizeof(id));
	*id_out = ar->next_mailbox++;
	ar->modseq++;
	err = SQL_EXEC(tx, &store_sql_mailbox_insert, ACC(a), SQLI(*id_out), SQLB(slice_of(id, sizeof(id))), SQLT(name),
	    SQLI(role), SQLI(ar->uidvalidity), SQLI(ar->modseq), SQLI(++ar->changes));
	return err == 0 ? acl_inherit(tx, a, name, *id_out) : err;
}

/* A name that was deleted while it had children comes back as a new mailbox. */
static int
revive_mailbox(struct sqltx *tx, struct store_account *a, struct account_row *ar, const struct mailbox_row *m,
    struct slice name, int role)
{
	uint8_t id[STORE_ID_BYTES];
	int err = next_uidvalidity(a, ar);

	if (err != 0)
		return err;
	house_random(a->store->house, id, sizeof(id));
	ar->modseq++;
	err = SQL_EXEC(tx, &store_sql_mailbox_revive, ACC(a), SQLI(m->id), SQLB(slice_of(id, sizeof(id))), SQLI(role),
	    SQLI(ar->uidvalidity), SQLI(ar->modseq), SQLI(++ar->changes));
	if (err == 0)
		err = SQL_EXEC(tx, &store_sql_acl_clear, ACC(a), SQLI(m->id));
	return err == 0 ? acl_inherit(tx, a, name, m->id) : err;
}

/* Makes what is missing of the levels above `name`. */
static int
insert_parents(struct sqltx *tx, struct store_account *a, struct account_row *ar, struct slice name, size_t *made)
{
	*made = 0;
	for (size_t i = 1; i < name.n; i++) {
		struct mailbox_row row;
		int64_t id;
		int err;

		if (slice_at(name, i) != '/')
			continue;
		err = row_mailbox_by_name(tx, a, slice_head(name, i), NULL, &row);
		if (err == ERR_NOTFOUND) {
			*made = *made == 0 ? i : *made;
			err = store_mailbox_insert_row(tx, a, ar, slice_head(name, i), STORE_ROLE_NONE, &id);
		}
		if (err != 0)
			return err;
	}
	return 0;
}

static int
check_room(struct sqltx *tx, struct store_account *a, struct slice name)
{
	int64_t n = 0;
	int err = row_count(tx, a, &store_sql_mailbox_count, &n);

	for (size_t i = 0; i < name.n; i++)
		n += slice_at(name, i) == '/';
	return err != 0 ? err : n >= a->store->house->limits.mailboxes ? ERR_LIMIT : 0;
}

static int
create_tx(struct sqltx *tx, void *arg)
{
	struct mailbox_op *o = arg;
	struct store_account *a = o->a;
	struct account_row ar;
	struct mailbox_row row;
	int err;

	if ((err = row_account_load(tx, a, &ar)) != 0)
		return err;
	if (o->role != STORE_ROLE_NONE && (err = row_mailbox_by_role(tx, a, o->role, NULL, &row)) != ERR_NOTFOUND)
		return err == 0 ? ERR_CONFLICT : err;
	err = row_mailbox_by_name(tx, a, o->name, NULL, &row);
	if (err == 0 && row.selectable)
		return ERR_EXISTS;
	if (err == 0) {
		err = revive_mailbox(tx, a, &ar, &row, o->name, o->role);
	} else if (err == ERR_NOTFOUND) {
		if ((err = check_room(tx, a, o->name)) == 0 &&
		    (err = insert_parents(tx, a, &ar, o->name, &o->made)) == 0)
			err = store_mailbox_insert_row(tx, a, &ar, o->name, o->role, &o->id);
	}
	return err != 0 ? err : row_account_save(tx, a, &ar);
}

static void
create_finish(void *arg, int err)
{
	struct mailbox_op *o = arg;

	if (err != 0)
		return;
	watch_levels(o->a, o->name, o->made);
	watch_name(o->a, o->name);
}

int
store_mailbox_create(struct store_account *a, struct slice name, enum store_role role)
{
	struct mailbox_op o;
	struct store_op op = {.tx = create_tx, .finish = create_finish, .arg = &o, .write = true, .sync = true};
	int err;

	op_init(&o, a);
	o.role = (int)role;
	if ((err = store_name_normal(&a->store->house->limits, name, &o.mem, &o.name)) == 0)
		err = store_run(a, &op);
	op_free(&o);
	return err;
}

int
store_defaults_insert(struct sqltx *tx, void *account)
{
	static const struct {
		struct slice name;
		int role;
	} defaults[] = {{SLICE_INIT("INBOX"), STORE_ROLE_INBOX}, {SLICE_INIT("Drafts"), STORE_ROLE_DRAFTS},
	    {SLICE_INIT("Sent"), STORE_ROLE_SENT}, {SLICE_INIT("Junk"), STORE_ROLE_JUNK},
	    {SLICE_INIT("Trash"), STORE_ROLE_TRASH}, {SLICE_INIT("Archive"), STORE_ROLE_ARCHIVE}};
	struct store_account *a = account;
	struct account_row ar;
	int64_t id;
	int err;

	err = SQL_EXEC(tx, &store_sql_account_insert, ACC(a), SQLB(slice_of(a->store->boot, STORE_ID_BYTES)),
	    SQLI(a->store->house->limits.account_quota_bytes));
	if (err == 0)
		err = row_account_load(tx, a, &ar);
	for (size_t i = 0; i < COUNT_OF(defaults) && err == 0; i++) {
		err = store_mailbox_insert_row(tx, a, &ar, defaults[i].name, defaults[i].role, &id);
		if (err == 0)
			err = SQL_EXEC(tx, &store_sql_subscription_insert, ACC(a), SQLT(defaults[i].name));
	}
	return err != 0 ? err : row_account_save(tx, a, &ar);
}

/* ---- deleting ------------------------------------------------------------------------------------------------------- */

static int
has_children(struct sqltx *tx, struct mailbox_op *o, struct slice name)
{
	struct slice from = arena_printf(&o->mem, "%.*s/", SLICE_ARG(name)),
		     to = arena_printf(&o->mem, "%.*s0", SLICE_ARG(name));

	if (arena_failed(&o->mem))
		return ERR_LIMIT;
	return row_exists(tx, &store_sql_mailbox_children, SQL_ARGS(ACC(o->a), SQLT(from), SQLT(to)));
}

/* Up to 500 messages of a mailbox with UIDs above *after. */
static int
read_some(struct sqltx *tx, struct store_account *a, int64_t mailbox, uint32_t after, struct message *v,
    struct slice *keywords, struct arena *mem, size_t *n)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = SQL_QUERY(tx, &q, &store_sql_placement_some, ACC(a), SQLI(mailbox), SQLI(after));

	*n = 0;
	while (err == 0 && *n < 500 && (err = sql_next(&q)) == 1) {
		v[*n] = (struct message){.uid = (uint32_t)sql_col_int(&q, 0),
		    .email = (uint64_t)sql_col_int(&q, 1),
		    .flags = (uint8_t)(sql_col_int(&q, 2) & STORE_FLAGS_ALL),
		    .internal_s = sql_col_int(&q, 5),
		    .size = (uint32_t)sql_col_int(&q, 6)};
		keywords[*n] = arena_copy(mem, sql_col_bytes(&q, 3));
		++*n;
		err = arena_failed(mem) ? ERR_LIMIT : 0;
	}
	return err;
}

/* Takes every message out of `from`: into `to`, or away. */
static int
empty_mailbox(
    struct sqltx *tx, struct mailbox_op *o, struct account_row *ar, struct mailbox_row *from, struct mailbox_row *to)
{
	struct message *v = ARENA_ARRAY(&o->mem, struct message, 500);
	struct slice *keywords = ARENA_ARRAY(&o->mem, struct slice, 500);
	int64_t now = house_now_s(o->a->store->house);
	uint32_t after = 0;
	size_t n = 1;
	int err = arena_failed(&o->mem) ? ERR_LIMIT : 0;

	while (err == 0 && n > 0) {
		struct arena_mark mark = arena_mark(&o->mem);

		err = read_some(tx, o->a, from->id, after, v, keywords, &o->mem, &n);
		for (size_t i = 0; i < n && err == 0; i++) {
			struct message placed = v[i];

			after = v[i].uid;
			if (to != NULL)
				err = row_place(tx, o->a, to, &placed, keywords[i], ar->modseq, now);
			if (err == 0)
				err = row_unplace(
				    tx, o->a, ar, from, &v[i], ar->modseq, to == NULL ? &o->unlink : NULL);
		}
		arena_release(&o->mem, mark);
	}
	return err;
}

static int
delete_row(struct sqltx *tx, struct mailbox_op *o, int64_t id)
{
	int err = SQL_EXEC(tx, &store_sql_tombstone_clear, ACC(o->a), SQLI(id));

	if (err == 0)
		err = SQL_EXEC(tx, &store_sql_metadata_clear, ACC(o->a), SQLI(id));
	if (err == 0)
		err = SQL_EXEC(tx, &store_sql_moved_clear, ACC(o->a), SQLI(id));
	if (err == 0)
		err = SQL_EXEC(tx, &store_sql_acl_clear, ACC(o->a), SQLI(id));
	return err != 0 ? err : SQL_EXEC(tx, &store_sql_mailbox_delete, ACC(o->a), SQLI(id));
}

/* Parents that are only there for their children go with the last of these. */
static int
delete_empty_parents(struct sqltx *tx, struct mailbox_op *o, struct slice name)
{
	size_t at;

	o->gone = 0;
	while ((at = slice_rfind_byte(name, '/')) != SLICE_NONE) {
		struct mailbox_row row;
		int err;

		name = slice_head(name, at);
		err = row_mailbox_by_name(tx, o->a, name, NULL, &row);
		if (err != 0 || row.selectable)
			return err == ERR_NOTFOUND ? 0 : err;
		if ((err = has_children(tx, o, name)) != 0)
			return err < 0 ? err : 0;
		if ((err = delete_row(tx, o, row.id)) != 0)
			return err;
		o->gone = name.n;
	}
	return 0;
}

static int
delete_tx(struct sqltx *tx, void *arg)
{
	struct mailbox_op *o = arg;
	struct store_account *a = o->a;
	struct account_row ar;
	struct mailbox_row row;
	int children, err;

	buf_reset(&o->unlink);
	if ((err = row_account_load(tx, a, &ar)) != 0 || (err = row_mailbox_by_name(tx, a, o->name, NULL, &row)) != 0)
		return err;
	if ((children = has_children(tx, o, o->name)) < 0)
		return children;
	if (!row.selectable && children == 1)
		return ERR_DENIED;
	o->id = row.id;
	ar.modseq++;
	ar.changes++;
	if ((err = empty_mailbox(tx, o, &ar, &row, NULL)) != 0)
		return err;
	if (children == 1) {
		row.messages = row.unseen = row.deleted = row.bytes = row.tombstones = 0;
		if ((err = row_mailbox_save(tx, a, &row)) == 0 &&
		    (err = SQL_EXEC(tx, &store_sql_tombstone_clear, ACC(a), SQLI(row.id))) == 0 &&
		    (err = SQL_EXEC(tx, &store_sql_metadata_clear, ACC(a), SQLI(row.id))) == 0 &&
		    (err = SQL_EXEC(tx, &store_sql_moved_clear, ACC(a), SQLI(row.id))) == 0 &&
		    (err = SQL_EXEC(tx, &store_sql_acl_clear, ACC(a), SQLI(row.id))) == 0)
			err = SQL_EXEC(tx, &store_sql_mailbox_shape, ACC(a), SQLI(row.id), SQLT(o->name),
			    SQLI(STORE_ROLE_NONE), SQLI(0), SQLI(ar.changes));
	} else if ((err = delete_row(tx, o, row.id)) == 0) {
		err = delete_empty_parents(tx, o, o->name);
	}
	return err != 0 ? err : row_account_save(tx, a, &ar);
}

static void
delete_finish(void *arg, int err)
{
	struct mailbox_op *o = arg;
	struct store_box *b = err == 0 ? box_find(o->a, o->id) : NULL;

	if (b != NULL)
		box_gone(b);
	if (err != 0)
		return;
	append_forget(o->a);
	watch_name(o->a, o->name);
	watch_levels(o->a, o->name, o->gone);
	if (o->a->store->hooks.removed != NULL)
		o->a->store->hooks.removed(o->a->store->hooks.arg, store_account_id(o->a));
}

int
store_mailbox_delete(struct store_account *a, struct slice name)
{
	struct mailbox_op o;
	struct store_op op = {.tx = delete_tx, .finish = delete_finish, .arg = &o, .write = true, .sync = true};
	int err;

	op_init(&o, a);
	op.unlink = &o.unlink;
	if ((err = store_name_normal(&a->store->house->limits, name, &o.mem, &o.name)) == 0)
		err = slice_eq(o.name, SLICE("INBOX")) ? ERR_DENIED : store_run(a, &op);
	op_free(&o);
	return err == ERR_INVALID ? ERR_NOTFOUND : err;
}

/* ---- renaming -------------------------------------------------------------------------------------------------------- */

struct child {
	struct child *next;
	int64_t id;
	struct slice name;
	int role;
	bool selectable;
};

static int
read_children(struct sqltx *tx, struct mailbox_op *o, struct child **out)
{
	struct slice from = arena_printf(&o->mem, "%.*s/", SLICE_ARG(o->name)),
		     to = arena_printf(&o->mem, "%.*s0", SLICE_ARG(o->name));
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = arena_failed(&o->mem)
	    ? ERR_LIMIT
	    : SQL_QUERY(tx, &q, &store_sql_mailbox_children, ACC(o->a), SQLT(from), SQLT(to));

	*out = NULL;
	while (err == 0 && (err = sql_next(&q)) == 1) {
		struct child *c = ARENA_NEW(&o->mem, struct child);

		if (c == NULL)
			return ERR_LIMIT;
		*c = (struct child){*out, sql_col_int(&q, 0), arena_copy(&o->mem, sql_col_bytes(&q, 1)),
		    (int)sql_col_int(&q, 2), sql_col_int(&q, 3) != 0};
		*out = c;
		err = 0;
	}
	return err;
}

/* The child's name below the new parent. */
static int
child_name(struct mailbox_op *o, struct slice name, struct slice *out)
{
	struct slice raw = arena_printf(&o->mem, "%.*s%.*s", SLICE_ARG(o->to), SLICE_ARG(slice_from(name, o->name.n)));

	if (arena_failed(&o->mem))
		return ERR_LIMIT;
	return store_name_normal(&o->a->store->house->limits, raw, &o->mem, out);
}

static int
rename_children(struct sqltx *tx, struct mailbox_op *o, struct account_row *ar)
{
	struct child *c;
	int err = read_children(tx, o, &c);

	for (; c != NULL && err == 0; c = c->next) {
		struct slice name;

		if ((err = child_name(o, c->name, &name)) == 0)
			err = SQL_EXEC(tx, &store_sql_mailbox_shape, ACC(o->a), SQLI(c->id), SQLT(name), SQLI(c->role),
			    SQLI(c->selectable), SQLI(ar->changes));
	}
	return err;
}

static int
move_inbox(struct sqltx *tx, struct mailbox_op *o, struct account_row *ar, struct mailbox_row *inbox)
{
	int64_t id;
	int err = store_mailbox_insert_row(tx, o->a, ar, o->to, STORE_ROLE_NONE, &id);

	if (err != 0 || (err = row_mailbox_by_id(tx, o->a, id, NULL, &o->target)) != 0)
		return err;
	o->moved_inbox = true;
	if ((err = empty_mailbox(tx, o, ar, inbox, &o->target)) != 0 || (err = row_mailbox_save(tx, o->a, inbox)) != 0)
		return err;
	return row_mailbox_save(tx, o->a, &o->target);
}

static int
rename_tx(struct sqltx *tx, void *arg)
{
	struct mailbox_op *o = arg;
	struct store_account *a = o->a;
	struct account_row ar;
	struct mailbox_row row, other;
	int err;

	o->moved_inbox = false;
	if ((err = row_account_load(tx, a, &ar)) != 0 || (err = row_mailbox_by_name(tx, a, o->name, NULL, &row)) != 0)
		return err;
	if ((err = row_mailbox_by_name(tx, a, o->to, NULL, &other)) != ERR_NOTFOUND)
		return err == 0 ? ERR_EXISTS : err;
	o->id = row.id;
	ar.changes++;
	ar.modseq++;
	if ((err = check_room(tx, a, o->to)) != 0 || (err = insert_parents(tx, a, &ar, o->to, &o->made)) != 0)
		return err;
	if (slice_eq(o->name, SLICE("INBOX")))
		err = move_inbox(tx, o, &ar, &row);
	else if ((err = rename_children(tx, o, &ar)) == 0 &&
	    (err = SQL_EXEC(tx, &store_sql_mailbox_shape, ACC(a), SQLI(row.id), SQLT(o->to), SQLI(row.role),
		 SQLI(row.selectable), SQLI(ar.changes))) == 0)
		err = delete_empty_parents(tx, o, o->name);
	return err != 0 ? err : row_account_save(tx, a, &ar);
}

static void
rename_boxes(struct mailbox_op *o)
{
	LIST_FOREACH (&o->a->boxes, n) {
		struct store_box *b = CONTAINER_OF(n, struct store_box, node);
		struct slice old = slice_of(b->name, b->name_n), name = o->to;

		if (b->gone)
			continue;
		if (b->id != o->id &&
		    (!slice_starts(old, o->name) || old.n <= o->name.n || slice_at(old, o->name.n) != '/' ||
			child_name(o, old, &name) != 0))
			continue;
		box_renamed(b, name);
	}
}

static void
rename_finish(void *arg, int err)
{
	struct mailbox_op *o = arg;
	struct store_box *b;

	if (err != 0)
		return;
	append_forget(o->a);
	watch_levels(o->a, o->to, o->made);
	watch_rename(o->a, o->name, o->to);
	if (!o->moved_inbox) {
		watch_levels(o->a, o->name, o->gone);
		rename_boxes(o);
		return;
	}
	o->a->unsynced_uids += (uint32_t)o->target.messages;
	watch_messages(o->a, o->id, STORE_CHANGE_EXPUNGE);
	if ((b = box_find(o->a, o->id)) == NULL)
		return;
	b->expunge_origin = 0;
	for (size_t i = 0; i < b->n; i++)
		if (b->v[i].dead == 0)
			box_expunge(b, b->v[i].uid);
	b->highestmodseq = (uint64_t)o->target.highestmodseq;
	box_wake(b);
}

int
store_mailbox_rename(struct store_account *a, struct slice from, struct slice to)
{
	struct mailbox_op o;
	struct store_op op = {.tx = rename_tx, .finish = rename_finish, .arg = &o, .write = true, .sync = true};
	int err;

	op_init(&o, a);
	err = store_name_normal(&a->store->house->limits, from, &o.mem, &o.name);
	if (err == ERR_INVALID)
		err = ERR_NOTFOUND;
	if (err == 0)
		err = store_name_normal(&a->store->house->limits, to, &o.mem, &o.to);
	if (err == 0 && slice_starts(o.to, o.name) && o.to.n > o.name.n && slice_at(o.to, o.name.n) == '/' &&
	    !slice_eq(o.name, SLICE("INBOX")))
		err = ERR_INVALID; /* into itself */
	if (err == 0)
		err = store_run(a, &op);
	op_free(&o);
	return err;
}

/* ---- subscriptions ------------------------------------------------------------------------------------------------------ */

static int
subscribe_tx(struct sqltx *tx, void *arg)
{
	struct mailbox_op *o = arg;
	int64_t n;
	int err;

	if (!o->on)
		return SQL_EXEC(tx, &store_sql_subscription_delete, ACC(o->a), SQLT(o->name));
	if ((err = row_count(tx, o->a, &store_sql_subscription_count, &n)) != 0)
		return err;
	if (n >= o->a->store->house->limits.mailbox_subscriptions)
		return ERR_LIMIT;
	return SQL_EXEC(tx, &store_sql_subscription_insert, ACC(o->a), SQLT(o->name));
}

static void
subscribe_finish(void *arg, int err)
{
	struct mailbox_op *o = arg;

	if (err == 0)
		watch_subscription(o->a, o->name);
}

int
store_subscribe(struct store_account *a, struct slice name, bool on)
{
	struct mailbox_op o;
	struct store_op op = {.tx = subscribe_tx, .finish = subscribe_finish, .arg = &o, .write = true, .sync = true};
	int err;

	op_init(&o, a);
	o.on = on;
	if ((err = store_name_normal(&a->store->house->limits, name, &o.mem, &o.name)) == 0)
		err = store_run(a, &op);
	op_free(&o);
	return err;
}
