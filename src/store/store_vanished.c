/* store_vanished.c: which messages of a mailbox were expunged since a modseq (RFC 7162 §3.2): the tombstones that expunging
 * leaves. They stay as long as the mailbox, so that a client can come back after any time. */
#include "store/store_private.h"

#define VANISHED_MAX (1u << 23)

struct vanished_op {
	struct store_view *v;
	uint64_t modseq;
	struct arena *mem;
	uint32_t *uids;
	size_t n, cap;
};

static int
vanished_prepare(void *arg)
{
	struct vanished_op *o = arg;

	return o->v->box->gone ? ERR_NOTFOUND : 0;
}

static int
vanished_tx(struct sqltx *tx, void *arg)
{
	struct vanished_op *o = arg;
	struct store_box *b = o->v->box;
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = SQL_QUERY(tx, &q, &store_sql_tombstone_since, ACC(b->account), SQLI(b->id), SQLI(o->modseq));

	o->n = 0;
	while (err == 0 && (err = sql_next(&q)) == 1) {
		uint32_t *v = arena_grow(o->mem, o->uids, o->n, &o->cap, sizeof(*v), VANISHED_MAX);

		if (v == NULL)
			return ERR_LIMIT;
		o->uids = v;
		o->uids[o->n++] = (uint32_t)sql_col_int(&q, 0);
		err = 0;
	}
	return err;
}

static int
by_uid(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

int
store_vanished(struct store_view *v, uint64_t modseq, struct arena *a, uint32_t **uids, size_t *n)
{
	struct vanished_op o = {.v = v, .modseq = modseq > INT64_MAX ? INT64_MAX : modseq, .mem = a};
	struct store_op op = {.prepare = vanished_prepare, .tx = vanished_tx, .arg = &o, .apart = true};
	size_t kept = 0;
	int err = store_run(v->box->account, &op);

	*uids = NULL;
	*n = 0;
	if (err != 0 || o.n == 0)
		return err;
	qsort(o.uids, o.n, sizeof(*o.uids), by_uid);
	for (size_t i = 0; i < o.n; i++)
		if (store_view_seq(v, o.uids[i]) == 0)
			o.uids[kept++] = o.uids[i];
	*uids = o.uids;
	*n = kept;
	return 0;
}
