/* store_vanished.c: which messages of a mailbox were expunged since a modseq (RFC 7162 §3.2): the tombstones that expunging leaves, so
 * that a client can come back after a long time. Of each mailbox limits.mailbox_tombstones are kept at most; when there are
 * more, the older half goes, and the row says up to which modseq they are forgotten. A client that knows no more than that
 * is told all UIDs that are not there, as RFC 7162 §3.2.10.1 allows: it has forgotten most of them already. */
#include "store/store_private.h"

#define VANISHED_MAX (1u << 23)

struct vanished_op {
	struct store_view *v;
	uint64_t modseq;
	struct arena *mem;
	bool forgotten; /* some of them */
	uint32_t *uids;
	size_t n, cap;
};

/* ---- tombstones ------------------------------------------------------------------------------------------------- */

/* The modseq of the newest that is to go; 0: there are not so many. */
static int
newest_to_go(struct sqltx *tx, struct store_account *a, const struct mailbox_row *m, int64_t keep, int64_t *modseq)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = SQL_QUERY(tx, &q, &store_sql_tombstone_after, ACC(a), SQLI(m->id), SQLI(keep));

	*modseq = 0;
	if (err != 0 || (err = sql_next(&q)) <= 0)
		return err;
	*modseq = sql_col_int(&q, 0);
	return 0;
}

int
tombstones_prune(struct sqltx *tx, struct store_account *a, struct mailbox_row *m)
{
	int64_t keep = a->store->house->limits.mailbox_tombstones / 2, modseq;
	int err = newest_to_go(tx, a, m, keep, &modseq);

	if (err == 0 && modseq == 0)
		m->tombstones = keep;
	if (err != 0 || modseq == 0)
		return err;
	if ((err = SQL_EXEC(tx, &store_sql_tombstone_prune, ACC(a), SQLI(m->id), SQLI(modseq))) != 0)
		return err;
	m->tombstones -= sql_changes(tx);
	m->vanished_from = modseq;
	return 0;
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

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
	struct mailbox_row m;
	int err = row_mailbox_by_id(tx, b->account, b->id, NULL, &m);

	o->n = 0;
	o->forgotten = err == 0 && m.vanished_from > (int64_t)o->modseq;
	if (err != 0 || o->forgotten)
		return err;
	err = SQL_QUERY(tx, &q, &store_sql_tombstone_since, ACC(b->account), SQLI(b->id), SQLI(o->modseq));
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

struct ranges {
	struct arena *mem;
	struct store_uid_range *v;
	size_t n, cap;
};

/* Adds lo..hi (which may be empty), above all that are there. */
static int
add_range(struct ranges *r, uint32_t lo, uint32_t hi)
{
	struct store_uid_range *v;

	if (lo > hi)
		return 0;
	if (r->n > 0 && lo <= r->v[r->n - 1].hi + 1) {
		r->v[r->n - 1].hi = hi;
		return 0;
	}
	if ((v = arena_grow(r->mem, r->v, r->n, &r->cap, sizeof(*v), VANISHED_MAX)) == NULL)
		return ERR_LIMIT;
	r->v = v;
	r->v[r->n++] = (struct store_uid_range){lo, hi};
	return 0;
}

static int
of_tombstones(struct vanished_op *o, struct ranges *r)
{
	int err = 0;

	if (o->n > 0)
		qsort(o->uids, o->n, sizeof(*o->uids), by_uid);
	for (size_t i = 0; i < o->n && err == 0; i++)
		if (store_view_seq(o->v, o->uids[i]) == 0)
			err = add_range(r, o->uids[i], o->uids[i]);
	return err;
}

/* All between the messages that are there. */
static int
of_gaps(const struct store_view *v, struct ranges *r)
{
	const struct store_box *b = v->box;
	uint32_t next = 1;
	int err = 0;

	for (size_t i = 0; i < b->n && err == 0; i++) {
		if (b->v[i].dead != 0 && !view_shows(v, i))
			continue;
		err = add_range(r, next, b->v[i].uid - 1);
		next = b->v[i].uid + 1;
	}
	return err != 0 ? err : add_range(r, next, b->uidnext - 1);
}

int
store_vanished(struct store_view *v, uint64_t modseq, struct arena *a, struct store_uid_range **out, size_t *n)
{
	struct vanished_op o = {.v = v, .modseq = modseq > INT64_MAX ? INT64_MAX : modseq, .mem = a};
	struct store_op op = {.prepare = vanished_prepare, .tx = vanished_tx, .arg = &o, .apart = true};
	struct ranges r = {.mem = a};
	int err = store_run(v->box->account, &op);

	*out = NULL;
	*n = 0;
	if (err == 0)
		err = o.forgotten ? of_gaps(v, &r) : of_tombstones(&o, &r);
	if (err != 0)
		return err;
	*out = r.v;
	*n = r.n;
	return 0;
}
