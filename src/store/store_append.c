/* store_append.c: messages that users bring in (APPEND). An upload is in memory until it is larger than
 * limits.body_inline_bytes, then in a temporary file of the account's blobs/. The append gives the file its final name,
 * and is durable when it returns. */
#include "store/store_index.h"

#include <errno.h>
#include <fcntl.h>

#define UPLOAD_STEP (256u * 1024u)

struct store_upload {
	struct store_account *a;
	struct buf mem; /* all of it, or what is not written to the file yet */
	uint8_t *first; /* of a file: its first STORE_HEADER_INLINE_MAX bytes */
	char name[STORE_BLOB_NAME + 1];
	int fd;     /* -1: in memory */
	bool final; /* the file has its final name: it belongs to the account */
	size_t size, size_max;
	int err;
};

int
store_upload_new(struct store_account *a, size_t size_max, struct store_upload **out)
{
	struct store_upload *u = calloc(1, sizeof(*u));

	*out = u;
	if (u == NULL)
		return ERR_NOMEM;
	u->a = a;
	u->fd = -1;
	u->size_max = size_max;
	buf_init(&u->mem, (size_t)a->store->house->limits.body_inline_bytes + UPLOAD_STEP);
	store_account_ref(a);
	return 0;
}

/* On a worker: moves what is in memory to the file. */
static int
spill(void *arg)
{
	struct store_upload *u = arg;
	char tmp[STORE_PATH_MAX];
	int err;

	if (u->fd < 0) {
		if ((u->first = malloc(STORE_HEADER_INLINE_MAX)) == NULL)
			return ERR_NOMEM;
		memcpy(u->first, u->mem.p, u->mem.n < STORE_HEADER_INLINE_MAX ? u->mem.n : STORE_HEADER_INLINE_MAX);
		store_blob_name(u->a->store->house, u->name);
		if ((err = store_blob_path(u->a, u->name, true, tmp)) != 0)
			return err;
		u->fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (u->fd < 0)
			return err_from_errno(errno);
	}
	return store_file_write(u->fd, buf_slice(&u->mem));
}

static int
spill_now(struct store_upload *u)
{
	u->err = work_run(u->a->store->workers, spill, u);
	buf_reset(&u->mem);
	return u->err;
}

int
store_upload_write(struct store_upload *u, struct slice bytes)
{
	size_t inline_max = (size_t)u->a->store->house->limits.body_inline_bytes;

	if (u->err != 0)
		return u->err;
	if (bytes.n > u->size_max - u->size)
		return u->err = ERR_LIMIT;
	u->size += bytes.n;
	while (bytes.n > 0 && u->err == 0) {
		size_t room = inline_max + UPLOAD_STEP - u->mem.n;
		struct slice part = slice_head(bytes, room);

		buf_put(&u->mem, part);
		u->err = u->mem.err;
		bytes = slice_from(bytes, part.n);
		if (u->err == 0 && (u->fd >= 0 ? u->mem.n >= UPLOAD_STEP : u->mem.n == inline_max + UPLOAD_STEP))
			(void)spill_now(u);
	}
	return u->err;
}

size_t
store_upload_size(const struct store_upload *u)
{
	return u->size;
}

void
store_upload_free(struct store_upload **up)
{
	struct store_upload *u = *up;

	*up = NULL;
	if (u == NULL)
		return;
	if (u->fd >= 0) {
		char tmp[STORE_PATH_MAX];

		close(u->fd);
		if (!u->final && store_blob_path(u->a, u->name, true, tmp) == 0)
			(void)unlink(tmp);
	}
	buf_free(&u->mem);
	free(u->first);
	store_account_put(&u->a);
	free(u);
}

static void
put_be64(uint8_t out[8], uint64_t v)
{
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(v >> (56 - 8 * i));
}

/* ---- appending ------------------------------------------------------------------------------------------------------ */

struct appended {
	struct incoming in;
	uint16_t *ids;
	size_t ids_n;
	uint32_t handle;
	bool known; /* its origin is: it is not placed again */
};

struct append_op {
	struct store_account *a;
	const struct store_append *v;
	size_t n;
	struct slice name;
	struct arena mem;
	struct appended *items;
	size_t names_from;
	struct mailbox_row target;
	int64_t modseq;
	uint64_t origin;
	struct buf unlink; /* files of messages or emails that are known already */
};

static int
append_prepare(void *arg)
{
	struct append_op *o = arg;
	int err = 0;

	if (o->a->keywords == NULL)
		return 0; /* no message has keywords: see store_append() */
	o->names_from = o->a->keywords->names_n;
	for (size_t i = 0; i < o->n && err == 0; i++) {
		struct appended *it = &o->items[i];
		struct slice_list names = o->v[i].keywords;

		if (names.n == 0)
			continue;
		if ((it->ids = ARENA_ARRAY(&o->mem, uint16_t, names.n)) == NULL)
			err = ERR_LIMIT;
		if (err == 0)
			err = keywords_ids(o->a, names, true, it->ids, &it->ids_n);
		if (err == 0)
			err = keywords_intern(o->a, it->ids, it->ids_n, &it->handle);
		if (err == 0)
			it->in.keywords = keywords_bytes(o->a->keywords, it->handle, &o->mem);
		if (err == 0 && arena_failed(&o->mem))
			err = ERR_LIMIT;
	}
	if (err == 0)
		return 0;
	for (size_t i = 0; i < o->n; i++)
		keywords_unref(o->a->keywords, o->items[i].handle);
	keywords_forget_from(o->a->keywords, o->names_from);
	return err;
}

/* The file gets its last bytes and its final name. */
static int
finish_file(struct store_upload *u, struct incoming *in)
{
	char tmp[STORE_PATH_MAX], path[STORE_PATH_MAX];
	struct store_sync_work *w = store_work(u->a);
	int err = store_file_write(u->fd, buf_slice(&u->mem));

	buf_reset(&u->mem);
	if (w == NULL)
		return ERR_NOMEM;
	if (err == 0)
		err = store_blob_path(u->a, u->name, true, tmp);
	if (err == 0)
		err = store_blob_path(u->a, u->name, false, path);
	if (err == 0 && rename(tmp, path) != 0)
		err = err_from_errno(errno);
	if (err != 0)
		return err;
	u->final = true;
	memcpy(in->blob, u->name, sizeof(in->blob));
	buf_put(&w->blobs, slice_z(u->name));
	return w->blobs.err;
}

static int
append_before(struct store_account *a, void *arg)
{
	struct append_op *o = arg;
	struct house *h = a->store->house;
	int err = 0;

	for (size_t i = 0; i < o->n && err == 0; i++) {
		struct store_upload *u = o->v[i].upload;
		struct incoming *in = &o->items[i].in;
		bool file = u != NULL && u->fd >= 0;

		in->flags = o->v[i].flags & STORE_FLAGS_ALL;
		in->internal_s = o->v[i].internal_s == INT64_MIN ? house_now_s(h) : o->v[i].internal_s;
		if (u == NULL)
			continue;
		if (u->err != 0 || u->final)
			return u->err != 0 ? u->err : ERR_INVALID;
		incoming_split(in, SLICE_EMPTY, file ? slice_of(u->first, STORE_HEADER_INLINE_MAX) : buf_slice(&u->mem),
		    u->size, &h->limits);
		incoming_parse(a->store, in);
		if (!file)
			continue;
		in->rest = SLICE_EMPTY;
		if (in->header.n == STORE_HEADER_INLINE_MAX)
			in->header = SLICE_EMPTY;
		err = finish_file(u, in);
	}
	return err;
}

static void
append_undo(struct store_account *a, void *arg)
{
	struct append_op *o = arg;

	for (size_t i = 0; i < o->n; i++)
		if (o->v[i].upload != NULL && o->v[i].upload->final)
			store_blobs_unlink(a, slice_of(o->v[i].upload->name, STORE_BLOB_NAME));
}

/* The email of a message: a new one, or the one that the account has of it. */
static int
insert_email(struct sqltx *tx, struct append_op *o, struct account_row *ar, size_t i)
{
	const struct store_append *v = &o->v[i];
	struct incoming *in = &o->items[i].in;
	int known = v->email_id == NULL ? 0 : row_email_known(tx, o->a, v->email_id, &in->msg);

	if (known < 0)
		return known;
	if (known == 1) {
		in->msg.internal_s = in->internal_s;
		in->msg.flags = in->flags;
		buf_put(&o->unlink, slice_z(in->blob));
		return o->unlink.err;
	}
	if (v->email_id != NULL && v->upload == NULL)
		return ERR_CONFLICT;
	in->own = v->origin.given && moved_is_own(v->origin.source);
	in->given = v->email_id != NULL || in->own;
	if (in->own) {
		put_be64(in->email_id, (uint64_t)v->origin.number);
		memcpy(in->email_id + 8, v->origin.source + 8, 8);
	} else if (in->given) {
		memcpy(in->email_id, v->email_id, STORE_ID_BYTES);
		memcpy(in->thread_id, v->thread_id, STORE_ID_BYTES);
	}
	return incoming_insert(tx, o->a, ar, in);
}

static int
append_one(struct sqltx *tx, struct append_op *o, struct account_row *ar, size_t i)
{
	const struct store_append *v = &o->v[i];
	struct incoming *in = &o->items[i].in;
	int err = v->origin.given ? moved_known(tx, o->a, &v->origin) : 0;

	o->items[i].known = err == 1;
	if (err == 1) {
		buf_put(&o->unlink, slice_z(in->blob));
		return o->unlink.err;
	}
	if (err < 0 || (err = insert_email(tx, o, ar, i)) != 0)
		return err;
	if (v->origin.given)
		return moved_place(tx, o->a, &o->target, v, in, o->modseq);
	return row_place(tx, o->a, &o->target, &in->msg, in->keywords, o->modseq, house_now_s(o->a->store->house));
}

static int
append_tx(struct sqltx *tx, void *arg)
{
	struct append_op *o = arg;
	struct store_account *a = o->a;
	struct account_row ar;
	int err;

	if ((err = row_account_load(tx, a, &ar)) != 0 ||
	    (err = row_mailbox_by_name(tx, a, o->name, NULL, &o->target)) != 0)
		return err;
	if (!o->target.selectable)
		return ERR_NOTFOUND;
	buf_reset(&o->unlink);
	o->modseq = ++ar.modseq;
	if (a->keywords != NULL && (err = keywords_save(tx, a, o->names_from)) != 0)
		return err;
	buf_reset(&o->unlink);
	for (size_t i = 0; i < o->n && err == 0; i++)
		err = append_one(tx, o, &ar, i);
	if (err != 0 || (err = row_mailbox_save(tx, a, &o->target)) != 0)
		return err;
	return row_account_save(tx, a, &ar);
}

static void
append_finish(void *arg, int err)
{
	struct append_op *o = arg;
	struct store_box *box = err == 0 ? box_find(o->a, o->target.id) : NULL;

	for (size_t i = 0; i < o->n; i++) {
		struct appended *it = &o->items[i];

		if (box == NULL || box->gone || it->known) {
			keywords_unref(o->a->keywords, it->handle);
			continue;
		}
		it->in.msg.keywords = it->handle;
		box_add(box, &it->in.msg, &o->target);
	}
	if (err != 0) {
		if (o->a->keywords != NULL)
			keywords_forget_from(o->a->keywords, o->names_from);
		return;
	}
	o->a->unsynced_uids += (uint32_t)o->n;
	index_wanted(o->a);
	watch_messages(o->a, o->target.id, STORE_CHANGE_NEW);
	o->a->store->counters.appends += (int64_t)o->n;
	if (box != NULL) {
		box->append_origin = o->origin;
		box_wake(box);
	}
}

/* ---- where to ---- */

static bool
took(const struct store_account *a, struct slice name)
{
	return a->append_to != NULL && slice_eq(slice_z(a->append_to), name);
}

static void
remember(struct store_account *a, struct slice name)
{
	if (took(a, name))
		return;
	append_forget(a);
	if ((a->append_to = malloc(name.n + 1)) == NULL)
		return; /* it is looked up the next time */
	memcpy(a->append_to, name.p, name.n);
	a->append_to[name.n] = '\0';
}

void
append_forget(struct store_account *a)
{
	free(a->append_to);
	a->append_to = NULL;
}

int
store_append_check(struct store_account *a, struct slice mailbox)
{
	struct arena ARENA_CLEANUP mem;
	struct store_mailbox m;
	struct slice name;
	int err;

	arena_init(&mem, 1u << 20);
	if ((err = store_name_normal(&a->store->house->limits, mailbox, &mem, &name)) != 0)
		return err == ERR_INVALID ? ERR_NOTFOUND : err;
	if (!a->removed && (took(a, name) || box_find_name(a, name) != NULL))
		return 0;
	if ((err = store_mailbox(a, name, &mem, &m)) != 0)
		return err;
	if (!m.selectable)
		return ERR_NOTFOUND;
	remember(a, name);
	return 0;
}

static bool
any_keywords(const struct store_append *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].keywords.n > 0)
			return true;
	return false;
}

int
store_append(struct store_account *a, struct store_view *view, struct slice mailbox, const struct store_append *v,
    size_t n, struct arena *mem, struct store_copied *out)
{
	struct append_op o = {.a = a, .v = v, .n = n, .origin = view == NULL ? 0 : view->number};
	struct store_op op = {.prepare = append_prepare,
	    .before = append_before,
	    .tx = append_tx,
	    .undo = append_undo,
	    .finish = append_finish,
	    .arg = &o,
	    .write = true,
	    .sync = true};
	int err = 0;

	*out = (struct store_copied){0};
	arena_init(&o.mem, 64u << 20);
	buf_init(&o.unlink, n * STORE_BLOB_NAME + 1);
	op.unlink = &o.unlink;
	if (any_keywords(v, n))
		err = keywords_load(a);
	if (err == 0)
		err = store_name_normal(&a->store->house->limits, mailbox, &o.mem, &o.name);
	if (err == ERR_INVALID)
		err = ERR_NOTFOUND;
	if (err == 0 && (o.items = ARENA_ARRAY(&o.mem, struct appended, n)) == NULL)
		err = ERR_LIMIT;
	if (err == 0)
		err = store_run(a, &op);
	if (err == 0) {
		out->uidvalidity = o.target.uidvalidity;
		out->target = ARENA_ARRAY(mem, uint32_t, n + 1);
		out->n = out->target == NULL ? 0 : n;
		for (size_t i = 0; i < out->n; i++)
			out->target[i] = o.items[i].known ? 0 : o.items[i].in.msg.uid;
	}
	for (size_t i = 0; o.items != NULL && i < n; i++)
		incoming_free(&o.items[i].in);
	buf_free(&o.unlink);
	arena_free(&o.mem);
	return err;
}
