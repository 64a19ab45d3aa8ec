/* store_deliver.c: deliveries. Those that wait for an account's lock at the same time are taken together by the first
 * that gets it: one job, one transaction. The first after a pause goes at once; while mail streams in, the next batch
 * begins limits.delivery_gather_ms after the last: the message is in the queue, and a transaction of five costs little
 * more than one of one. A delivery that cannot be (over quota, say) fails alone, since all that can
 * refuse it is known before its rows are written; should the transaction itself fail, each is tried by itself.
 *
 * Bodies over limits.body_inline_bytes become files, written before the transaction begins. */
#include "store/store_index.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define COPY_STEP (256u * 1024u)

struct delivery {
	struct list_node node; /* in account->deliveries */
	const struct store_delivery *d;
	struct fiber *fiber;
	struct incoming in;
	uint8_t *bytes; /* of a small file, or the first part of a large one */
	int64_t mailbox;
	bool taken, done, parked, duplicate;
	int err;
};

struct batch {
	struct store_account *a;
	struct delivery **v;
	size_t n;
	struct mailbox_row *rows; /* mailboxes that got something */
	size_t rows_n;
};

/* ---- files, on the worker --------------------------------------------------------------------------------------- */

static int
copy_file(int from, uint64_t size, int to)
{
	uint8_t *step = malloc(COPY_STEP);
	int err = 0;

	if (step == NULL)
		return ERR_NOMEM;
	for (uint64_t at = 0; at < size && err == 0;) {
		size_t n = size - at < COPY_STEP ? (size_t)(size - at) : COPY_STEP;

		if ((err = store_file_read(from, at, step, n)) == 0)
			err = store_file_write(to, slice_of(step, n));
		at += n;
	}
	free(step);
	return err == ERR_DAMAGED ? ERR_INVALID : err; /* shorter than was said */
}

/* Writes head and body into a new file of blobs/ under its final name. */
static int
write_blob(struct store_account *a, struct delivery *d)
{
	char tmp[STORE_PATH_MAX], path[STORE_PATH_MAX];
	struct store_sync_work *w = store_work(a);
	int fd, err;

	store_blob_name(a->store->house, d->in.blob);
	if ((err = store_blob_path(a, d->in.blob, true, tmp)) != 0 ||
	    (err = store_blob_path(a, d->in.blob, false, path)) != 0)
		return err;
	if (w == NULL)
		return ERR_NOMEM;
	if ((fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) < 0)
		return err_from_errno(errno);
	err = store_file_write(fd, d->d->head);
	if (err == 0)
		err = d->d->file >= 0 ? copy_file(d->d->file, d->d->size, fd) : store_file_write(fd, d->d->body);
	close(fd);
	if (err == 0 && rename(tmp, path) != 0)
		err = err_from_errno(errno);
	if (err == 0) {
		buf_put(&w->blobs, slice_z(d->in.blob));
		err = w->blobs.err;
	}
	if (err != 0) {
		(void)unlink(tmp);
		(void)unlink(path);
	}
	return err;
}

/* Makes d->in of what is to be delivered. */
static int
load_delivery(struct store_account *a, struct delivery *d)
{
	const struct limits *l = &a->store->house->limits;
	bool large = d->d->size > (uint64_t)l->body_inline_bytes;
	struct slice body = d->d->body;
	size_t n = large ? STORE_HEADER_INLINE_MAX : (size_t)d->d->size;
	int err;

	if (d->d->size > (uint64_t)INT32_MAX || d->d->head.n > STORE_HEADER_INLINE_MAX)
		return ERR_LIMIT;
	if (d->d->file >= 0) {
		if (n > d->d->size)
			n = (size_t)d->d->size;
		if ((d->bytes = malloc(n + 1)) == NULL)
			return ERR_NOMEM;
		if ((err = store_file_read(d->d->file, 0, d->bytes, n)) != 0)
			return err == ERR_DAMAGED ? ERR_INVALID : err;
		body = slice_of(d->bytes, n);
	} else if (body.n != d->d->size) {
		return ERR_INVALID;
	}
	incoming_split(&d->in, d->d->head, body, d->d->size, l);
	d->in.internal_s = d->d->received_s;
	d->in.flags = d->d->flags & STORE_FLAGS_ALL;
	incoming_parse(a->store, &d->in);
	if (!large)
		return 0;
	d->in.rest = SLICE_EMPTY;
	if (d->in.header.n > STORE_HEADER_INLINE_MAX || (d->d->file >= 0 && d->in.header.n == body.n))
		d->in.header = SLICE_EMPTY; /* read from the file when it is wanted */
	return write_blob(a, d);
}

static int
deliver_before(struct store_account *a, void *arg)
{
	struct batch *b = arg;

	for (size_t i = 0; i < b->n; i++)
		if (b->v[i]->err == 0 && !b->v[i]->done && b->v[i]->in.size == 0)
			b->v[i]->err = load_delivery(a, b->v[i]);
	return 0;
}

static void
remove_blob(struct store_account *a, struct delivery *d)
{
	if (d->in.blob[0] != '\0')
		store_blobs_unlink(a, slice_of(d->in.blob, STORE_BLOB_NAME));
}

/* ---- the transaction ---------------------------------------------------------------------------------------------- */

static int
role_of(struct slice name)
{
	static const struct {
		struct slice name;
		int role;
	} roles[] = {{SLICE_INIT("inbox"), STORE_ROLE_INBOX}, {SLICE_INIT("drafts"), STORE_ROLE_DRAFTS},
	    {SLICE_INIT("sent"), STORE_ROLE_SENT}, {SLICE_INIT("junk"), STORE_ROLE_JUNK},
	    {SLICE_INIT("trash"), STORE_ROLE_TRASH}, {SLICE_INIT("archive"), STORE_ROLE_ARCHIVE}};

	for (size_t i = 0; i < COUNT_OF(roles); i++)
		if (slice_ieq(name, roles[i].name))
			return roles[i].role;
	return STORE_ROLE_NONE;
}

/* The row of the mailbox that a delivery names, or of the Inbox; each is loaded once in a batch. */
static int
find_mailbox(struct sqltx *tx, struct batch *b, struct slice hint, struct mailbox_row **out)
{
	struct mailbox_row row;
	int role = role_of(hint), err = ERR_NOTFOUND;

	if (role != STORE_ROLE_NONE)
		err = row_mailbox_by_role(tx, b->a, role, NULL, &row);
	if (err == ERR_NOTFOUND && hint.n > 0 && slice_is_utf8(hint, true))
		err = row_mailbox_by_name(tx, b->a, hint, NULL, &row);
	if (err == ERR_NOTFOUND || (err == 0 && !row.selectable))
		err = row_mailbox_by_name(tx, b->a, SLICE("INBOX"), NULL, &row);
	if (err != 0)
		return err == ERR_NOTFOUND ? ERR_DAMAGED : err;
	for (size_t i = 0; i < b->rows_n; i++)
		if (b->rows[i].id == row.id) {
			*out = &b->rows[i];
			return 0;
		}
	b->rows[b->rows_n] = row;
	*out = &b->rows[b->rows_n++];
	return 0;
}

/* Refusals are the delivery's own: nothing of it has been written then. */
static int
deliver_one(struct sqltx *tx, struct batch *b, struct account_row *ar, struct delivery *d)
{
	struct slice id = slice_of(d->d->delivery_id, STORE_ID_BYTES);
	struct mailbox_row *m;
	int err = row_exists(tx, &store_sql_delivered_get, SQL_ARGS(ACC(b->a), SQLB(id)));

	if (err != 0) {
		d->duplicate = err == 1;
		return err < 0 ? err : 0;
	}
	if ((err = find_mailbox(tx, b, d->d->mailbox, &m)) != 0)
		return err;
	if ((ar->quota_bytes > 0 && ar->used_bytes + (int64_t)d->in.size > ar->quota_bytes) ||
	    m->messages >= b->a->store->house->limits.mailbox_messages || m->uidnext >= STORE_UID_MAX) {
		d->err = ERR_QUOTA;
		return 0;
	}
	if ((err = SQL_EXEC(tx, &store_sql_delivered_insert, ACC(b->a), SQLB(id))) != 0 ||
	    (err = incoming_insert(tx, b->a, ar, &d->in)) != 0)
		return err;
	d->mailbox = m->id;
	return row_place(tx, b->a, m, &d->in.msg, SLICE_EMPTY, ar->modseq, house_now_s(b->a->store->house));
}

static int
deliver_tx(struct sqltx *tx, void *arg)
{
	struct batch *b = arg;
	struct account_row ar;
	int err;

	b->rows_n = 0;
	if ((err = row_account_load(tx, b->a, &ar)) != 0)
		return err;
	ar.modseq++;
	for (size_t i = 0; i < b->n && err == 0; i++) {
		b->v[i]->duplicate = false;
		if (b->v[i]->err == 0)
			err = deliver_one(tx, b, &ar, b->v[i]);
	}
	for (size_t i = 0; i < b->rows_n && err == 0; i++)
		err = row_mailbox_save(tx, b->a, &b->rows[i]);
	return err != 0 ? err : row_account_save(tx, b->a, &ar);
}

/* ---- on the loop ----------------------------------------------------------------------------------------------------- */

static const struct mailbox_row *
batch_row(const struct batch *b, int64_t id)
{
	for (size_t i = 0; i < b->rows_n; i++)
		if (b->rows[i].id == id)
			return &b->rows[i];
	return NULL;
}

static void
show(struct batch *b, struct delivery *d)
{
	struct store_account *a = b->a;
	struct store_box *box = box_find(a, d->mailbox);
	struct store_sync_work *w = store_work(a);

	if (w != NULL)
		buf_put(&w->ids, slice_of(d->d->delivery_id, STORE_ID_BYTES));
	if (d->duplicate) {
		a->store->counters.duplicates++;
		return;
	}
	a->store->counters.deliveries++;
	a->unsynced_uids++;
	index_wanted(a);
	if (box != NULL)
		box_add(box, &d->in.msg, batch_row(b, d->mailbox));
}

static void
deliver_finish(void *arg, int err)
{
	struct batch *b = arg;

	if (err != 0)
		return;
	for (size_t i = 0; i < b->n; i++) {
		if (b->v[i]->err == ERR_QUOTA)
			b->a->store->counters.over_quota++;
		if (b->v[i]->err == 0)
			show(b, b->v[i]);
	}
	for (size_t i = 0; i < b->rows_n; i++) {
		struct store_box *box = box_find(b->a, b->rows[i].id);

		if (box != NULL)
			box_wake(box);
		watch_messages(b->a, b->rows[i].id, STORE_CHANGE_NEW);
	}
}

/* On the worker, after a batch has failed as a whole and will not be tried again; and for those that were refused. */
static int
clean_before(struct store_account *a, void *arg)
{
	struct batch *b = arg;

	for (size_t i = 0; i < b->n; i++)
		if (b->v[i]->err != 0 || b->v[i]->duplicate)
			remove_blob(a, b->v[i]);
	return 0;
}

static bool
needs_cleaning(const struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->v[i]->in.blob[0] != '\0' && (b->v[i]->err != 0 || b->v[i]->duplicate))
			return true;
	return false;
}

/* The lock is held. */
static void
run_batch(struct store_account *a, struct delivery **v, size_t n)
{
	struct batch b = {.a = a, .v = v, .n = n};
	struct store_op op = {
	    .before = deliver_before, .tx = deliver_tx, .finish = deliver_finish, .arg = &b, .write = true};
	struct store_op clean = {.before = clean_before, .arg = &b, .closed = true};
	int err = (b.rows = calloc(n, sizeof(*b.rows))) == NULL ? ERR_NOMEM : store_run_locked(a, &op);

	if (err != 0 && n > 1 && err != ERR_IO && err != ERR_DAMAGED && err != ERR_FULL && err != ERR_NOTFOUND) {
		for (size_t i = 0; i < n; i++)
			run_batch(a, &v[i], 1); /* one of them is to blame */
		free(b.rows);
		return;
	}
	for (size_t i = 0; i < n && err != 0; i++)
		if (v[i]->err == 0)
			v[i]->err = err;
	if (needs_cleaning(&b) && store_run_locked(a, &clean) != 0)
		LOG(a->store->house, DEBUG, "blob_left", LOG_S("account", acc_id(a)));
	free(b.rows);
}

/* Takes what waits, in batches, until `me` is done. The lock is held. */
static void
take_deliveries(struct store_account *a, const struct delivery *me)
{
	struct delivery *v[64];

	while (!me->done) {
		size_t n = 0;
		struct list_node *node;

		while (n < COUNT_OF(v) && (node = list_pop(&a->deliveries)) != NULL) {
			v[n] = CONTAINER_OF(node, struct delivery, node);
			v[n++]->taken = true;
		}
		a->gathered_ms = loop_now_ms(a->store->loop);
		run_batch(a, v, n);
		for (size_t i = 0; i < n; i++) {
			v[i]->done = true;
			free(v[i]->bytes);
			v[i]->bytes = NULL;
			incoming_free(&v[i]->in);
			if (v[i]->parked)
				fiber_wake(v[i]->fiber);
		}
	}
}

/* 0 when the next batch may begin. */
static int
gather(struct store_account *a)
{
	struct loop *l = a->store->loop;
	int64_t wait_ms = a->gathered_ms + a->store->house->limits.delivery_gather_ms - loop_now_ms(l);

	return wait_ms > 0 && a->gathered_ms > 0 ? fiber_sleep(l, wait_ms) : 0;
}

/* Sees to it that `me` is taken, by this fiber or by another that came first. */
static int
have_taken(struct store_account *a, struct delivery *me)
{
	int err = gather(a);

	if (err == 0 && !me->taken && (err = store_lock(a)) == 0) {
		take_deliveries(a, me);
		store_unlock(a);
	}
	if (!me->taken)
		list_remove(&me->node);
	return err;
}

int
store_deliver(struct store_account *a, const struct store_delivery *d, enum store_delivered *out)
{
	struct loop *l = a->store->loop;
	struct delivery me = {.d = d, .fiber = fiber_self(l)};
	int err;

	store_account_ref(a);
	list_push(&a->deliveries, &me.node);
	err = have_taken(a, &me);
	/* Another fiber may have it in hand still, when this one was cancelled. */
	me.parked = true;
	while (me.taken && !me.done)
		fiber_park_always(l);
	if (me.done)
		err = me.err;
	store_account_put(&a);
	if (err == 0)
		*out = me.duplicate ? STORE_DUPLICATE : STORE_DELIVERED;
	return err;
}

/* ---- forgetting ---------------------------------------------------------------------------------------------------------- */

struct forget_op {
	struct store_account *a;
	struct slice_list ids;
};

static int
forget_tx(struct sqltx *tx, void *arg)
{
	struct forget_op *f = arg;
	int err = 0;

	for (size_t i = 0; i < f->ids.n && err == 0; i++)
		err = SQL_EXEC(tx, &store_sql_delivered_delete, ACC(f->a), SQLB(f->ids.v[i]));
	return err;
}

int
store_forget(struct store_account *a, struct slice_list delivery_ids)
{
	struct forget_op f = {a, delivery_ids};
	struct store_op op = {.tx = forget_tx, .arg = &f, .write = true};

	return delivery_ids.n == 0 ? 0 : store_run(a, &op);
}
