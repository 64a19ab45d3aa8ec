/* store_fill.c: from messages to the index, a batch at a time: read them (a short job of the account), take them apart, have a
 * reader read what only it may, write their texts durably, and only then strike them off mail.db's list. */
#include "store/store_index.h"

#include "store/store_text.h"

#include <errno.h>
#include <fcntl.h>
#include <zstd.h>

#define BATCH_MESSAGES 64
#define BATCH_BYTES (8u << 20)
/* Half the size of the text, and unpacked in half the time of what is a quarter smaller. */
#define COMPRESSION (-1)

struct filled {
	uint64_t email;
	size_t size;
	bool gone; /* expunged, or its file is away: nothing to read */
	char blob[STORE_BLOB_NAME + 1];
	uint8_t *raw; /* owned */
	size_t raw_n;
	struct arena mem;
	struct text_plan plan;
	struct slice *answers;
};

struct fill {
	struct store_account *a;
	const uint64_t *wanted;
	size_t wanted_n;
	uint64_t from;
	bool left;
	struct filled v[BATCH_MESSAGES];
	size_t n;
};

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static bool
is_wanted(const struct fill *f, uint64_t email)
{
	size_t low = 0, high = f->wanted_n;

	if (f->wanted == NULL)
		return true;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (f->wanted[mid] < email)
			low = mid + 1;
		else
			high = mid;
	}
	return low < f->wanted_n && f->wanted[low] == email;
}

/* The message's bytes, or the name of its file. */
static int
read_one(struct sqltx *tx, struct fill *f, struct filled *m)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	size_t n = 0, at = 0;
	int err = SQL_QUERY(tx, &q, &store_sql_email_raw, ACC(f->a), SQLI(m->email));

	if (err != 0 || (err = sql_next(&q)) < 0)
		return err;
	m->gone = err == 0;
	if (err == 0)
		return 0;
	if (!sql_col_null(&q, 3)) {
		m->gone = slice_to_z(sql_col_bytes(&q, 3), m->blob, sizeof(m->blob)) != 0;
		return 0;
	}
	for (int col = 4; col <= 6; col++)
		n += sql_col_bytes(&q, col).n;
	if ((m->raw = malloc(n + 1)) == NULL)
		return ERR_NOMEM;
	for (int col = 4; col <= 6; col++) {
		struct slice part = sql_col_bytes(&q, col);

		if (part.n > 0)
			memcpy(m->raw + at, part.p, part.n);
		at += part.n;
	}
	m->raw_n = n;
	return 0;
}

static void
forget(struct fill *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].raw);
		arena_free(&f->v[i].mem);
	}
	f->n = 0;
}

static int
read_tx(struct sqltx *tx, void *arg)
{
	struct fill *f = arg;
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	uint64_t last = f->from;
	size_t bytes = 0;
	int err = SQL_QUERY(tx, &q, &store_sql_unindexed_list, ACC(f->a), SQLI(f->from));

	forget(f);
	f->left = false;
	while (err == 0 && (err = sql_next(&q)) == 1) {
		uint64_t email = (uint64_t)sql_col_int(&q, 0);

		err = 0;
		if (f->n == BATCH_MESSAGES || bytes >= BATCH_BYTES) {
			f->left = true;
			break;
		}
		last = email;
		if (!is_wanted(f, email))
			continue;
		f->v[f->n] = (struct filled){.email = email};
		arena_init(&f->v[f->n].mem, 0);
		err = read_one(tx, f, &f->v[f->n]);
		bytes += f->v[f->n].blob[0] != '\0' ? BATCH_BYTES / 8 : f->v[f->n].raw_n;
		f->n++;
	}
	if (err == 0)
		f->from = last;
	return err;
}

/* ---- taking apart -------------------------------------------------------------------------------------------------- */

static void
read_file(struct store_account *a, struct filled *m)
{
	char path[STORE_PATH_MAX];
	off_t size = 0;
	int fd = store_blob_path(a, m->blob, false, path) == 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	m->gone = true;
	if (fd >= 0 && (size = lseek(fd, 0, SEEK_END)) > 0 && size <= INT32_MAX &&
	    (m->raw = malloc((size_t)size)) != NULL) {
		m->gone = store_file_read(fd, 0, m->raw, (size_t)size) != 0;
		m->raw_n = (size_t)size;
	}
	if (fd >= 0)
		close(fd);
}

static int
plan_worker(void *arg)
{
	struct fill *f = arg;
	const struct limits *l = &f->a->store->house->limits;

	for (size_t i = 0; i < f->n; i++) {
		struct filled *m = &f->v[i];
		int err;

		if (m->blob[0] != '\0')
			read_file(f->a, m);
		if (m->gone)
			continue;
		arena_init(&m->mem, text_arena_max(l, m->raw_n));
		err = text_plan(&m->mem, slice_of(m->raw, m->raw_n), l, &m->plan);
		if (err == ERR_NOMEM)
			return err;
		/* Over a limit: what was read until then is what is found. */
		if (m->plan.inputs_n > 0 && (m->answers = ARENA_ARRAY(&m->mem, struct slice, m->plan.inputs_n)) == NULL)
			return ERR_NOMEM;
	}
	return 0;
}

static int
have_read(struct fill *f)
{
	const struct store_hooks *h = &f->a->store->hooks;
	int err = 0;

	for (size_t i = 0; i < f->n && err == 0 && h->texts != NULL; i++) {
		struct filled *m = &f->v[i];

		if (m->plan.inputs_n > 0)
			err = h->texts(
			    h->texts_arg, acc_id(f->a), m->plan.inputs, m->plan.inputs_n, &m->mem, m->answers);
	}
	return err;
}

/* ---- writing -------------------------------------------------------------------------------------------------------- */

static int
write_one(struct sqltx *tx, struct filled *m, ZSTD_CCtx *z, int64_t *doc)
{
	struct buf BUF_CLEANUP text;
	struct buf BUF_CLEANUP body;
	struct buf BUF_CLEANUP packed;
	uint8_t *to;
	size_t header_n, n;
	int err;

	buf_init(&text, 1u << 30);
	buf_init(&body, 1u << 29);
	buf_init(&packed, 1u << 30);
	text_compose(&m->plan, m->answers, &text, &body);
	header_n = text.n;
	buf_put(&text, buf_slice(&body));
	if (text.err != 0 || body.err != 0)
		return ERR_NOMEM;
	if ((to = buf_reserve(&packed, ZSTD_compressBound(text.n))) == NULL)
		return packed.err;
	n = ZSTD_compressCCtx(
	    z, to, ZSTD_compressBound(text.n), text.n == 0 ? (const void *)"" : text.p, text.n, COMPRESSION);
	if (ZSTD_isError(n))
		return ERR_NOMEM;
	if ((err = SQL_EXEC(tx, &search_sql_text_insert, SQLI(m->email), SQLI(header_n), SQLI(text.n),
		 SQLB(slice_of(to, n)))) != 0)
		return err;
	if (sql_changes(tx) == 0)
		return 0; /* it was durable already, and only mail.db did not know */
	return SQL_EXEC(tx, &search_sql_doc_insert, SQLI((*doc)++), SQLI(m->email));
}

static int
write_tx(struct sqltx *tx, void *arg)
{
	struct fill *f = arg;
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	ZSTD_CCtx *z;
	int64_t doc;
	int err = sql_query(tx, &q, &search_sql_doc_next, NULL, 0);

	if (err != 0 || (err = sql_next(&q)) != 1)
		return err == 0 ? ERR_DAMAGED : err;
	doc = sql_col_int(&q, 0);
	sql_done(&q);
	if ((z = ZSTD_createCCtx()) == NULL)
		return ERR_NOMEM;
	err = 0;
	for (size_t i = 0; i < f->n && err == 0; i++)
		if (!f->v[i].gone)
			err = write_one(tx, &f->v[i], z, &doc);
	ZSTD_freeCCtx(z);
	return err;
}

static int
strike_tx(struct sqltx *tx, void *arg)
{
	struct fill *f = arg;
	int err = 0;

	for (size_t i = 0; i < f->n && err == 0; i++)
		err = SQL_EXEC(tx, &store_sql_unindexed_delete, ACC(f->a), SQLI(f->v[i].email));
	return err;
}

/* The index is held only while it is written: a reader may take its time. Two may fill at once; what the other has written
 * stays. */
static int
fill_batch(struct fill *f)
{
	struct store_op strike = {.tx = strike_tx, .arg = f, .write = true};
	struct store_index *x;
	int err = work_run(f->a->store->index_workers, plan_worker, f);

	if (err == 0)
		err = have_read(f);
	if (err == 0 && (err = index_take(f->a, &x)) == 0) {
		err = index_run(x, write_tx, f, true, true);
		index_give(x);
	}
	return err != 0 ? err : store_run(f->a, &strike);
}

/* A file that is made now lists everything, so it comes first. */
static int
open_first(struct store_account *a)
{
	struct store_index *x;
	int err = index_take(a, &x);

	if (err == 0)
		index_give(x);
	return err;
}

int
index_fill(struct store_account *a, const uint64_t *wanted, size_t n, uint64_t *from, bool *left)
{
	struct fill *f = calloc(1, sizeof(*f)); /* too large for a fiber's stack */
	struct store_op read = {.tx = read_tx, .arg = f, .apart = true};
	int err = f == NULL ? ERR_NOMEM : open_first(a);

	*left = false;
	if (err != 0) {
		free(f);
		return err;
	}
	f->a = a;
	f->wanted = wanted;
	f->wanted_n = n;
	f->from = *from;
	err = store_run(a, &read);
	if (err == 0 && f->n > 0)
		err = fill_batch(f);
	if (err == 0) {
		*from = f->from;
		*left = f->left;
		a->store->counters.indexed += (int64_t)f->n;
	}
	forget(f);
	free(f);
	return err;
}
