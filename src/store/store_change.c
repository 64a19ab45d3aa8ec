/* store_change.c: what sessions do to messages that are there: expunge, copy, move (flags: store_flags.c). Each is one transaction: what
 * is to change is taken from memory under the account's lock, written by the worker, and then shown to all views.
 *
 * The worker must not look at sets of keywords: sessions of other mailboxes may end meanwhile and free some. So the
 * bytes of the rows are made beforehand. */
#include "store/store_private.h"

static int64_t
now_s(const struct store_account *a)
{
	return house_now_s(a->store->house);
}

/* A message that goes, or is copied. */
struct item {
	struct message m;
	uint32_t handle;       /* its keywords, counted */
	struct slice keywords; /* their bytes, in the operation's arena */
};

struct change_op {
	struct store_view *v;
	struct store_account *a;
	const uint32_t *uids;
	size_t uids_n;
	struct arena mem;
	struct item *items;
	size_t n, cap;
	int64_t modseq;
	struct buf unlink;
	/* expunge */
	bool deleted_only;
	/* copy */
	struct slice to;
	bool move;
	struct mailbox_row target;
	uint32_t *source_uids, *target_uids;
};

static void
change_init(struct change_op *o, struct store_view *v, const uint32_t *uids, size_t n)
{
	*o = (struct change_op){.v = v, .a = v->box->account, .uids = uids, .uids_n = n};
	arena_init(&o->mem, 1u << 30);
	buf_init(&o->unlink, 64u << 20);
}

static void
change_free(struct change_op *o)
{
	arena_free(&o->mem);
	buf_free(&o->unlink);
}

static struct item *
add_item(struct change_op *o, const struct message *m)
{
	struct item *v = arena_grow(&o->mem, o->items, o->n, &o->cap, sizeof(*v), 1u << 26);

	if (v == NULL)
		return NULL;
	o->items = v;
	v = &o->items[o->n++];
	*v = (struct item){.m = *m};
	return v;
}

/* The bytes of the item's keywords; those of the item before, if it has the same set. */
static void
set_item_keywords(struct change_op *o, struct item *it, uint32_t handle)
{
	const struct item *before = it > o->items ? it - 1 : NULL;

	it->handle = handle;
	it->keywords = before != NULL && before->handle == handle ? before->keywords
								  : keywords_bytes(o->a->keywords, handle, &o->mem);
}

static void
drop_handles(struct change_op *o)
{
	for (size_t i = 0; i < o->n; i++)
		keywords_unref(o->a->keywords, o->items[i].handle);
}

static int
check_view(const struct store_view *v, bool writes)
{
	if (v->box->gone)
		return ERR_NOTFOUND;
	return writes && v->read_only ? ERR_DENIED : 0;
}

/* ---- expunge ------------------------------------------------------------------------------------------------ */

static int
expunge_prepare(void *arg)
{
	struct change_op *o = arg;
	struct store_box *b = o->v->box;
	int err = check_view(o->v, true);

	if (err != 0)
		return err;
	if (o->uids == NULL) {
		for (size_t i = 0; i < b->n; i++)
			if (b->v[i].dead == 0 && (b->v[i].flags & STORE_DELETED) != 0 && add_item(o, &b->v[i]) == NULL)
				return ERR_LIMIT;
	} else {
		for (size_t i = 0; i < o->uids_n; i++) {
			const struct message *m = box_message(b, o->uids[i]);

			if (m == NULL || (o->deleted_only && (m->flags & STORE_DELETED) == 0))
				continue;
			if (o->n > 0 && o->items[o->n - 1].m.uid >= m->uid)
				continue; /* named twice */
			if (add_item(o, m) == NULL)
				return ERR_LIMIT;
		}
	}
	return o->n == 0;
}

static int
expunge_tx(struct sqltx *tx, void *arg)
{
	struct change_op *o = arg;
	struct store_account *a = o->a;
	struct account_row ar;
	struct mailbox_row m;
	int err;

	buf_reset(&o->unlink);
	if ((err = row_account_load(tx, a, &ar)) != 0 || (err = row_mailbox_by_id(tx, a, o->v->box->id, NULL, &m)) != 0)
		return err;
	o->modseq = ++ar.modseq;
	for (size_t i = 0; i < o->n && err == 0; i++)
		err = row_unplace(tx, a, &ar, &m, &o->items[i].m, o->modseq, &o->unlink);
	if (err != 0 || (err = row_mailbox_save(tx, a, &m)) != 0)
		return err;
	return row_account_save(tx, a, &ar);
}

static void
expunge_finish(void *arg, int err)
{
	struct change_op *o = arg;
	struct store_box *b = o->v->box;

	if (err != 0)
		return;
	b->expunge_origin = o->v->number;
	for (size_t i = 0; i < o->n; i++)
		box_expunge(b, o->items[i].m.uid);
	if ((uint64_t)o->modseq > b->highestmodseq)
		b->highestmodseq = (uint64_t)o->modseq;
	o->a->store->counters.expunges += (int64_t)o->n;
	if (o->n > 0 && o->a->store->hooks.removed != NULL)
		o->a->store->hooks.removed(o->a->store->hooks.arg, store_account_id(o->a));
	box_wake(b);
	watch_messages(o->a, b->id, STORE_CHANGE_EXPUNGE);
}

int
store_expunge(struct store_view *v, const uint32_t *uids, size_t n, bool deleted_only)
{
	struct change_op o;
	struct store_op op = {.prepare = expunge_prepare,
	    .tx = expunge_tx,
	    .finish = expunge_finish,
	    .arg = &o,
	    .write = true,
	    .sync = true,
	    .unlink = &o.unlink};
	int err;

	change_init(&o, v, uids, n);
	o.deleted_only = deleted_only;
	err = store_run(o.a, &op);
	change_free(&o);
	return err;
}

/* ---- copy and move --------------------------------------------------------------------------------------------- */

static int
copy_prepare(void *arg)
{
	struct change_op *o = arg;
	int err = check_view(o->v, o->move);

	if (err != 0)
		return err;
	for (size_t i = 0; i < o->uids_n; i++) {
		const struct message *m = box_message(o->v->box, o->uids[i]);
		struct item *it;

		if (m == NULL || (o->n > 0 && o->items[o->n - 1].m.uid >= m->uid))
			continue;
		if ((it = add_item(o, m)) == NULL)
			err = ERR_LIMIT;
		if (err != 0)
			break;
		keywords_ref(o->a->keywords, m->keywords);
		set_item_keywords(o, it, m->keywords);
	}
	if (arena_failed(&o->mem))
		err = ERR_LIMIT;
	if (err != 0)
		drop_handles(o);
	return err;
}

static int
copy_one(struct sqltx *tx, struct change_op *o, struct account_row *ar, struct mailbox_row *source,
    struct mailbox_row *target, struct item *it)
{
	struct message placed = it->m;
	int err = row_place(tx, o->a, target, &placed, it->keywords, o->modseq, now_s(o->a));

	if (err == 0 && o->move)
		err = row_unplace(tx, o->a, ar, source, &it->m, o->modseq, NULL);
	o->target_uids[it - o->items] = placed.uid;
	return err;
}

static int
copy_tx(struct sqltx *tx, void *arg)
{
	struct change_op *o = arg;
	struct store_account *a = o->a;
	struct account_row ar;
	struct mailbox_row source, *from = &source;
	int err;

	if ((err = row_account_load(tx, a, &ar)) != 0 ||
	    (err = row_mailbox_by_name(tx, a, o->to, NULL, &o->target)) != 0)
		return err;
	if (!o->target.selectable)
		return ERR_NOTFOUND;
	if (o->n == 0)
		return 0;
	if (o->target.id == o->v->box->id)
		from = &o->target;
	else if ((err = row_mailbox_by_id(tx, a, o->v->box->id, NULL, &source)) != 0)
		return err;
	o->modseq = ++ar.modseq;
	for (size_t i = 0; i < o->n && err == 0; i++)
		err = copy_one(tx, o, &ar, from, &o->target, &o->items[i]);
	if (err == 0)
		err = row_mailbox_save(tx, a, &o->target);
	if (err == 0 && o->move && from != &o->target)
		err = row_mailbox_save(tx, a, from);
	return err != 0 ? err : row_account_save(tx, a, &ar);
}

static void
copy_finish(void *arg, int err)
{
	struct change_op *o = arg;
	struct store_box *source = o->v->box, *target = err == 0 ? box_find(o->a, o->target.id) : NULL;

	if (target == NULL)
		drop_handles(o);
	if (err != 0)
		return;
	o->a->unsynced_uids += (uint32_t)o->n;
	for (size_t i = 0; i < o->n && target != NULL; i++) {
		struct message m = o->items[i].m;

		m.uid = o->target_uids[i];
		m.modseq = (uint64_t)o->modseq;
		if (target->gone)
			keywords_unref(o->a->keywords, m.keywords);
		else
			box_add(target, &m, &o->target);
	}
	for (size_t i = 0; i < o->n && o->move; i++)
		box_expunge(source, o->items[i].m.uid);
	if (o->move && o->n > 0) {
		source->expunge_origin = o->v->number;
		if ((uint64_t)o->modseq > source->highestmodseq)
			source->highestmodseq = (uint64_t)o->modseq;
		box_wake(source);
		watch_messages(o->a, source->id, STORE_CHANGE_EXPUNGE);
	}
	if (o->n > 0)
		watch_messages(o->a, o->target.id, STORE_CHANGE_NEW);
	if (target != NULL)
		box_wake(target);
	o->a->store->counters.copies += (int64_t)o->n;
}

static int
copy_result(struct change_op *o, struct arena *a, struct store_copied *out)
{
	out->uidvalidity = o->target.uidvalidity;
	out->n = o->n;
	out->source = ARENA_ARRAY(a, uint32_t, o->n + 1);
	out->target = ARENA_ARRAY(a, uint32_t, o->n + 1);
	if (out->source == NULL || out->target == NULL) {
		*out = (struct store_copied){.uidvalidity = o->target.uidvalidity};
		return 0; /* it is done: only the caller's list is too long for its arena */
	}
	for (size_t i = 0; i < o->n; i++) {
		out->source[i] = o->items[i].m.uid;
		out->target[i] = o->target_uids[i];
	}
	return 0;
}

int
store_copy(struct store_view *v, const uint32_t *uids, size_t n, struct slice to, bool move, struct arena *a,
    struct store_copied *out)
{
	struct change_op o;
	struct store_op op = {
	    .prepare = copy_prepare, .tx = copy_tx, .finish = copy_finish, .arg = &o, .write = true, .sync = true};
	int err;

	*out = (struct store_copied){0};
	change_init(&o, v, uids, n);
	o.move = move;
	err = store_name_normal(&o.a->store->house->limits, to, &o.mem, &o.to);
	if (err == 0 && (o.target_uids = ARENA_ARRAY(&o.mem, uint32_t, n + 1)) == NULL)
		err = ERR_LIMIT;
	if (err == 0)
		err = store_run(o.a, &op);
	if (err == 0)
		err = copy_result(&o, a, out);
	change_free(&o);
	return err == ERR_INVALID ? ERR_NOTFOUND : err;
}
