/* store_body.c: one message for reading, whole or in pieces. A message that lies in the database is read once and kept in
 * memory; when nobody reads it any more it stays for a while (limits.store_body_cache_bytes for all), since clients
 * ask for one part after the other. A large one is an open file; it is read into memory only by store_body_raw(),
 * whose sum is bounded by limits.store_body_memory_bytes. */
#include "store/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

struct store_body {
	struct store *store;
	uint32_t refs;
	struct list_node idle; /* in store->bodies_idle, the longest unused first */
	size_t size;
	uint8_t *bytes; /* of a large one: NULL until it is wanted whole */
	bool loading;
	struct waitq loaded;
	int fd; /* -1: in memory */
	size_t key_n;
	uint8_t key[STORE_ACCOUNT_ID_MAX + 8];
};

static struct slice
body_key(const struct store_body *b)
{
	return slice_of(b->key, b->key_n);
}

static void
body_free(struct store_body *b)
{
	struct store *s = b->store;

	map_remove(&s->bodies, body_key(b));
	if (b->fd >= 0) {
		close(b->fd);
		if (b->bytes != NULL) {
			s->body_memory -= (int64_t)b->size;
			waitq_wake_all(&s->body_memory_freed);
		}
	}
	free(b->bytes);
	free(b);
}

static void
drop_idle(struct store *s, size_t max)
{
	while (s->bodies_idle_bytes > max) {
		struct store_body *b = CONTAINER_OF(list_pop(&s->bodies_idle), struct store_body, idle);

		s->bodies_idle_bytes -= b->size;
		body_free(b);
	}
}

void
body_cache_clear(struct store *s)
{
	struct list_node *n;

	while ((n = list_pop(&s->bodies_idle)) != NULL)
		body_free(CONTAINER_OF(n, struct store_body, idle));
	s->bodies_idle_bytes = 0;
}

void
store_body_close(struct store_body **bp)
{
	struct store_body *b = *bp;
	struct store *s;

	*bp = NULL;
	if (b == NULL)
		return;
	ASSERT(b->refs > 0);
	if (--b->refs > 0)
		return;
	s = b->store;
	if (b->fd >= 0) {
		body_free(b);
		return;
	}
	list_push(&s->bodies_idle, &b->idle);
	s->bodies_idle_bytes += b->size;
	drop_idle(s, (size_t)s->house->limits.store_body_cache_bytes);
}

/* ---- opening ------------------------------------------------------------------------------------------------- */

struct body_op {
	struct store_account *a;
	uint64_t email;
	struct store_body *b;
};

static int
open_large(struct body_op *o, struct slice blob, size_t size)
{
	char path[STORE_PATH_MAX];
	struct stat st;
	int err;

	if (blob.n != STORE_BLOB_NAME)
		return ERR_DAMAGED;
	if ((err = store_blob_path(o->a, (const char *)blob.p, false, path)) != 0)
		return err;
	o->b->size = size;
	if ((o->b->fd = open(path, O_RDONLY | O_CLOEXEC)) >= 0 && fstat(o->b->fd, &st) == 0 &&
	    (size_t)st.st_size == size)
		return 0;
	/* Not ERR_DAMAGED, which is the whole account: only this message suffers, until the file is back. */
	LOG(o->a->store->house, ERROR, "body_unreadable", LOG_S("account", acc_id(o->a)), LOG_Z("file", path),
	    LOG_Z("detail", o->b->fd < 0 ? strerror(errno) : "the file has another size than its message"),
	    LOG_Z("do", "bring the file back from a backup"));
	return ERR_UNAVAILABLE;
}

static int
body_tx(struct sqltx *tx, void *arg)
{
	struct body_op *o = arg;
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int64_t size;
	size_t at = 0;
	int err;

	{
		struct sql_rows SQL_ROWS_CLEANUP sizes = {0};

		if ((err = SQL_QUERY(tx, &sizes, &store_sql_email_size, ACC(o->a), SQLI(o->email))) != 0 ||
		    (err = sql_next(&sizes)) < 0)
			return err;
		if (err == 0)
			return ERR_NOTFOUND;
		size = sql_col_int(&sizes, 0);
		if (size < 0 || size > UINT32_MAX)
			return ERR_DAMAGED;
		if (!sql_col_null(&sizes, 1))
			return open_large(o, sql_col_bytes(&sizes, 1), (size_t)size);
	}
	if ((err = SQL_QUERY(tx, &q, &store_sql_email_raw, ACC(o->a), SQLI(o->email))) != 0 || (err = sql_next(&q)) < 0)
		return err;
	if (err == 0)
		return ERR_NOTFOUND;
	free(o->b->bytes);
	o->b->size = (size_t)size;
	if ((o->b->bytes = malloc((size_t)size + 1)) == NULL)
		return ERR_NOMEM;
	for (int col = 4; col <= 6; col++) {
		struct slice part = sql_col_bytes(&q, col);

		if (part.n > (size_t)size - at)
			return ERR_DAMAGED;
		if (part.n > 0)
			memcpy(o->b->bytes + at, part.p, part.n);
		at += part.n;
	}
	return at == (size_t)size ? 0 : ERR_DAMAGED;
}

static struct store_body *
find(struct store *s, struct slice key)
{
	struct store_body *b = map_get(&s->bodies, key);

	if (b == NULL)
		return NULL;
	if (b->refs++ == 0) {
		list_remove(&b->idle);
		s->bodies_idle_bytes -= b->size;
	}
	return b;
}

int
store_body_open(struct store_account *a, uint64_t email, struct store_body **out)
{
	struct store *s = a->store;
	struct body_op o = {.a = a, .email = email};
	struct store_op op = {.tx = body_tx, .arg = &o, .apart = true};
	struct store_body *b = calloc(1, sizeof(*b));
	int err;

	*out = NULL;
	if (b == NULL)
		return ERR_NOMEM;
	b->store = s;
	b->refs = 1;
	b->fd = -1;
	waitq_init(&b->loaded);
	memcpy(b->key, a->id, a->id_n);
	memcpy(b->key + a->id_n, &email, sizeof(email));
	b->key_n = a->id_n + sizeof(email);
	if ((*out = find(s, body_key(b))) != NULL) {
		free(b);
		return 0;
	}
	o.b = b;
	if ((err = store_run(a, &op)) == 0) {
		if ((*out = find(s, body_key(b))) == NULL && (err = map_put(&s->bodies, body_key(b), b)) == 0) {
			*out = b;
			return 0;
		}
	}
	/* Not there, or another fiber was faster. */
	if (b->fd >= 0)
		close(b->fd);
	free(b->bytes);
	free(b);
	return err;
}

size_t
store_body_size(const struct store_body *b)
{
	return b->size;
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

struct read_job {
	const struct store_body *b;
	size_t offset, n;
	uint8_t *to;
};

static int
read_worker(void *arg)
{
	struct read_job *j = arg;

	return store_file_read(j->b->fd, j->offset, j->to, j->n);
}

int
store_body_read(struct store_body *b, size_t offset, size_t n, struct buf *out)
{
	struct read_job j = {.b = b, .offset = offset};
	int err;

	if (offset >= b->size)
		return 0;
	j.n = n < b->size - offset ? n : b->size - offset;
	if (b->bytes != NULL) {
		buf_put(out, slice_range(slice_of(b->bytes, b->size), offset, offset + j.n));
		return out->err;
	}
	if ((j.to = buf_reserve(out, j.n)) == NULL)
		return out->err;
	if ((err = work_run(b->store->workers, read_worker, &j)) == 0)
		buf_added(out, j.n);
	return err;
}

static int
load(struct store_body *b)
{
	struct store *s = b->store;
	struct read_job j = {.b = b, .n = b->size};
	int err;

	while (s->body_memory > 0 && s->body_memory + (int64_t)b->size > s->house->limits.store_body_memory_bytes)
		if ((err = waitq_wait(s->loop, &s->body_memory_freed, DEADLINE_NEVER)) != 0)
			return err;
	if ((j.to = malloc(b->size + 1)) == NULL)
		return ERR_NOMEM;
	s->body_memory += (int64_t)b->size;
	if ((err = work_run(s->workers, read_worker, &j)) == 0) {
		b->bytes = j.to;
		return 0;
	}
	s->body_memory -= (int64_t)b->size;
	waitq_wake_all(&s->body_memory_freed);
	free(j.to);
	return err;
}

int
store_body_raw(struct store_body *b, struct slice *out)
{
	int err = 0;

	*out = SLICE_EMPTY;
	while (b->bytes == NULL && b->loading)
		if ((err = waitq_wait(b->store->loop, &b->loaded, DEADLINE_NEVER)) != 0)
			return err;
	if (b->bytes == NULL) {
		b->loading = true;
		err = load(b);
		b->loading = false;
		waitq_wake_all(&b->loaded);
	}
	if (err == 0)
		*out = slice_of(b->bytes, b->size);
	return err;
}
