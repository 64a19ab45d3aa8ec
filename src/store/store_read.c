/* store_read.c: reading messages in batches, what is kept with them, and looking through them. */
#include "store/store_private.h"

#include <errno.h>
#include <fcntl.h>

/* A search looks at so much before others of the account get their turn. */
#define SEARCH_STEP_MESSAGES 128
#define SEARCH_STEP_BYTES (8u << 20)

/* ---- batches ------------------------------------------------------------------------------------------------- */

struct fetch_op {
	struct store_view *v;
	struct store_account *a;
	struct store_fetched *f;
	size_t n, done;
	unsigned want;
	struct arena *mem;
};

static int
fetch_prepare(void *arg)
{
	struct fetch_op *o = arg;

	if (o->v->box->gone)
		return ERR_NOTFOUND;
	for (size_t i = 0; i < o->n; i++) {
		struct store_fetched *f = &o->f[i];
		const struct message *m = box_message(o->v->box, f->uid);

		*f = (struct store_fetched){.uid = f->uid, .found = m != NULL};
		if (m != NULL) {
			f->email = m->email;
			f->size = m->size;
		}
	}
	return 0;
}

static int
join(struct arena *mem, struct slice a, struct slice b, struct slice c, struct slice *out)
{
	size_t n = a.n + b.n + c.n, at = 0;
	uint8_t *p = arena_alloc(mem, n + 1);

	if (p == NULL)
		return ERR_LIMIT;
	for (int i = 0; i < 3; i++) {
		struct slice s = i == 0 ? a : i == 1 ? b : c;

		if (s.n > 0)
			memcpy(p + at, s.p, s.n);
		at += s.n;
	}
	*out = slice_of(p, n);
	return 0;
}

static int
fetch_email(struct sqltx *tx, struct fetch_op *o, struct store_fetched *f, unsigned want)
{
	const struct sql_text *t = (want & STORE_WANT_RAW) != 0 ? &store_sql_email_raw
	    : (want & STORE_WANT_HEADER) != 0                   ? &store_sql_email_header
								: &store_sql_email_ids;
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	struct slice head, header;
	int err = SQL_QUERY(tx, &q, t, ACC(o->a), SQLI(f->email));

	if (err != 0 || (err = sql_next(&q)) < 0)
		return err;
	if (err == 0 || sql_col_bytes(&q, 0).n != STORE_ID_BYTES || sql_col_bytes(&q, 1).n != STORE_ID_BYTES)
		return ERR_DAMAGED;
	memcpy(f->email_id, sql_col_bytes(&q, 0).p, STORE_ID_BYTES);
	memcpy(f->thread_id, sql_col_bytes(&q, 1).p, STORE_ID_BYTES);
	f->header_size = (uint32_t)sql_col_int(&q, 2);
	f->large = !sql_col_null(&q, 3);
	if ((want & (STORE_WANT_RAW | STORE_WANT_HEADER)) == 0)
		return 0;
	head = sql_col_bytes(&q, 4);
	header = sql_col_bytes(&q, 5);
	if (f->large && header.n == 0)
		return 0;
	if ((want & STORE_WANT_RAW) == 0 || f->large)
		return join(o->mem, head, header, SLICE_EMPTY, &f->header);
	if ((err = join(o->mem, head, header, sql_col_bytes(&q, 6), &f->raw)) == 0)
		f->header = slice_head(f->raw, head.n + header.n);
	return err;
}

static int
fetch_saved(struct sqltx *tx, struct fetch_op *o, struct store_fetched *f)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = SQL_QUERY(tx, &q, &store_sql_placement_get, ACC(o->a), SQLI(o->v->box->id), SQLI(f->uid));

	if (err == 0 && (err = sql_next(&q)) == 1) {
		f->saved_s = sql_col_int(&q, 2);
		return 0;
	}
	return err == 0 ? ERR_DAMAGED : err;
}

static int
fetch_cache(struct sqltx *tx, struct fetch_op *o, struct store_fetched *f)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = SQL_QUERY(tx, &q, &store_sql_cache_get, ACC(o->a), SQLI(f->email));

	if (err == 0 && (err = sql_next(&q)) == 1) {
		err = 0;
		f->cache = arena_copy(o->mem, sql_col_bytes(&q, 0));
	}
	return err == 0 && arena_failed(o->mem) ? ERR_LIMIT : err;
}

static int
fetch_one(struct sqltx *tx, struct fetch_op *o, struct store_fetched *f)
{
	unsigned want = o->want;
	int err = (want & STORE_WANT_CACHE) != 0 ? fetch_cache(tx, o, f) : 0;

	if ((want & STORE_WANT_UNCACHED) != 0 && f->cache.n == 0)
		want |= STORE_WANT_RAW;
	if (err == 0 && (want & (STORE_WANT_HEADER | STORE_WANT_RAW | STORE_WANT_IDS)) != 0)
		err = fetch_email(tx, o, f, want);
	if (err == 0 && (want & STORE_WANT_IDS) != 0)
		err = fetch_saved(tx, o, f);
	return err;
}

static int
fetch_tx(struct sqltx *tx, void *arg)
{
	struct fetch_op *o = arg;
	int err = 0;

	for (o->done = 0; o->done < o->n; o->done++) {
		struct store_fetched *f = &o->f[o->done];
		struct arena_mark mark = arena_mark(o->mem);

		if (!f->found || (err = fetch_one(tx, o, f)) == 0)
			continue;
		if (err == ERR_LIMIT && o->done > 0) { /* the arena is full: the rest another time */
			arena_release(o->mem, mark);
			o->mem->failed = false;
			return 0;
		}
		return err;
	}
	return 0;
}

int
store_fetch(struct store_view *v, struct store_fetched *f, size_t n, unsigned want, struct arena *a, size_t *done)
{
	struct fetch_op o = {.v = v, .a = v->box->account, .f = f, .n = n, .want = want, .mem = a};
	struct store_op op = {.prepare = fetch_prepare, .tx = fetch_tx, .arg = &o, .apart = true};
	int err = store_run(o.a, &op);

	*done = err == 0 ? o.done : 0;
	return err;
}

/* ---- what is kept with an email --------------------------------------------------------------------------------- */

struct cache_op {
	struct store_account *a;
	const struct store_cached *v;
	size_t n;
};

static int
cache_tx(struct sqltx *tx, void *arg)
{
	struct cache_op *o = arg;
	int err = 0;

	for (size_t i = 0; i < o->n && err == 0; i++) {
		if (o->v[i].cache.n > STORE_CACHE_MAX)
			continue;
		err = row_exists(tx, &store_sql_email_exists, SQL_ARGS(ACC(o->a), SQLI(o->v[i].email)));
		if (err == 1)
			err = SQL_EXEC(tx, &store_sql_cache_put, ACC(o->a), SQLI(o->v[i].email), SQLB(o->v[i].cache));
	}
	return err;
}

int
store_caches_put(struct store_account *a, const struct store_cached *v, size_t n)
{
	struct cache_op o = {a, v, n};
	struct store_op op = {.tx = cache_tx, .arg = &o, .write = true};

	return n == 0 ? 0 : store_run(a, &op);
}

int
store_cache_put(struct store_account *a, uint64_t email, struct slice cache)
{
	return store_caches_put(a, &(struct store_cached){email, cache}, 1);
}

/* ---- looking through messages -------------------------------------------------------------------------------------- */

struct search_op {
	struct store_view *v;
	struct store_account *a;
	const uint32_t *uids;
	size_t n, at, step_n; /* the step looks at uids[at .. at + step_n - 1] */
	uint64_t emails[SEARCH_STEP_MESSAGES];
	uint32_t sizes[SEARCH_STEP_MESSAGES];
	bool header_only;
	store_match_fn *match;
	void *arg;
	bool *hits;
};

static int
search_prepare(void *arg)
{
	struct search_op *o = arg;
	size_t bytes = 0;

	if (o->v->box->gone)
		return ERR_NOTFOUND;
	for (o->step_n = 0; o->at + o->step_n < o->n && o->step_n < SEARCH_STEP_MESSAGES && bytes < SEARCH_STEP_BYTES;
	     o->step_n++) {
		const struct message *m = box_message(o->v->box, o->uids[o->at + o->step_n]);

		o->emails[o->step_n] = m == NULL ? 0 : m->email;
		o->sizes[o->step_n] = m == NULL ? 0 : m->size;
		bytes += m == NULL || o->header_only ? 0 : m->size;
	}
	return 0;
}

/* A large message, or its front, from its file. ERR_NOTFOUND when that is missing or too short: the rest of the account
 * is well. */
static int
read_large(struct search_op *o, struct slice blob, size_t n, struct buf *out)
{
	char path[STORE_PATH_MAX];
	uint8_t *to;
	int fd, err;

	if (blob.n != STORE_BLOB_NAME)
		return ERR_NOTFOUND;
	if ((err = store_blob_path(o->a, (const char *)blob.p, false, path)) != 0)
		return err;
	if ((to = buf_reserve(out, n + 1)) == NULL)
		return out->err;
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return err_from_errno(errno);
	err = store_file_read(fd, 0, to, n);
	close(fd);
	if (err == 0)
		buf_added(out, n);
	return err == ERR_DAMAGED ? ERR_NOTFOUND : err;
}

static int
search_one(struct sqltx *tx, struct search_op *o, size_t i, struct buf *raw)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	struct store_candidate c = {.uid = o->uids[o->at + i], .size = o->sizes[i]};
	const struct sql_text *t = o->header_only ? &store_sql_email_header : &store_sql_email_raw;
	int err = SQL_QUERY(tx, &q, t, ACC(o->a), SQLI(o->emails[i]));

	if (err != 0 || (err = sql_next(&q)) < 0)
		return err;
	if (err == 0)
		return ERR_DAMAGED;
	buf_reset(raw);
	if (!sql_col_null(&q, 3) && (!o->header_only || sql_col_bytes(&q, 5).n == 0)) {
		size_t n = o->header_only ? (size_t)sql_col_int(&q, 2) : c.size;

		if ((err = read_large(o, sql_col_bytes(&q, 3), n < c.size ? n : c.size, raw)) != 0)
			return err == ERR_NOTFOUND ? 0 : err;
	} else {
		buf_put(raw, sql_col_bytes(&q, 4));
		buf_put(raw, sql_col_bytes(&q, 5));
		if (!o->header_only)
			buf_put(raw, sql_col_bytes(&q, 6));
	}
	sql_done(&q);
	c.raw = buf_slice(raw);
	if (raw->err != 0)
		return raw->err;
	if (o->header_only)
		c.raw = slice_head(c.raw, incoming_header_size(c.raw, SIZE_MAX));
	err = o->match(o->arg, &c);
	o->hits[o->at + i] = err == 1;
	return err < 0 ? err : 0;
}

static int
search_tx(struct sqltx *tx, void *arg)
{
	struct search_op *o = arg;
	struct buf BUF_CLEANUP raw;
	int err = 0;

	buf_init(&raw, (size_t)INT32_MAX);
	for (size_t i = 0; i < o->step_n && err == 0; i++)
		if (o->emails[i] != 0)
			err = search_one(tx, o, i, &raw);
	return err;
}

int
store_search(struct store_view *v, const uint32_t *uids, size_t n, bool header_only, store_match_fn *match, void *arg,
    bool *hits)
{
	struct search_op *o = calloc(1, sizeof(*o)); /* too large for a fiber's stack */
	struct store_op op = {.prepare = search_prepare, .tx = search_tx, .arg = o, .apart = true};
	int err = 0;

	if (o == NULL)
		return ERR_NOMEM;
	*o = (struct search_op){.v = v,
	    .a = v->box->account,
	    .uids = uids,
	    .n = n,
	    .header_only = header_only,
	    .match = match,
	    .arg = arg,
	    .hits = hits};
	for (size_t i = 0; i < n; i++)
		hits[i] = false;
	while (o->at < n && err == 0) {
		err = store_run(o->a, &op);
		o->at += o->step_n;
	}
	free(o);
	return err;
}

/* ---- strangers' texts ---- */

int
store_texts(struct store_account *acc, const struct store_text_input *v, size_t n, struct arena *a, struct slice *texts)
{
	const struct store_hooks *h = &acc->store->hooks;

	return h->texts == NULL ? ERR_UNAVAILABLE : h->texts(h->texts_arg, acc_id(acc), v, n, a, texts);
}
