/* store_unsaved.c: changes of flags that sessions see already and the database does not. They are in memory and in the
 * account's journal (store_journal.h); the next job of the account that does not stand apart from flags writes them, at the latest
 * the syncer's within limits.store_sync_ms. So many changes become one transaction, and neighbours that became alike
 * one statement.
 *
 * A mailbox with such messages stays in memory until they are written, and its account's database is not closed. */
#include "store/store_journal.h"

/* Neighbours with the same flags, keywords and modseq. */
struct unsaved_run {
	uint32_t lo, hi;
	size_t n;
	uint64_t modseq;
	uint32_t handle;
	uint8_t flags;
	struct slice keywords;
};

struct unsaved_box {
	int64_t id, unseen, deleted;
	uint64_t highestmodseq;
	struct unsaved_run *v;
	size_t n, cap;
};

static bool
continues(const struct unsaved_run *r, const struct message *m)
{
	return r->modseq == m->modseq && r->flags == m->flags && r->handle == m->keywords;
}

static int
add_run(struct unsaved *u, struct unsaved_box *to, const struct message *m)
{
	const struct unsaved_run *before = to->n > 0 ? &to->v[to->n - 1] : NULL;
	struct slice keywords = before != NULL && before->handle == m->keywords
	    ? before->keywords
	    : keywords_bytes(u->a->keywords, m->keywords, &u->mem);
	struct unsaved_run *v = arena_grow(&u->mem, to->v, to->n, &to->cap, sizeof(*v), 1u << 24);

	if (v == NULL || arena_failed(&u->mem))
		return ERR_NOMEM;
	to->v = v;
	to->v[to->n++] = (struct unsaved_run){.lo = m->uid,
	    .hi = m->uid,
	    .n = 1,
	    .modseq = m->modseq,
	    .handle = m->keywords,
	    .flags = m->flags,
	    .keywords = keywords};
	return 0;
}

static int
take_box(struct unsaved *u, const struct store_box *b)
{
	struct unsaved_box *boxes = arena_grow(&u->mem, u->boxes, u->n, &u->cap, sizeof(*boxes), 1u << 20), *to;
	bool broken = true; /* a message between that has nothing to write */
	int err = 0;

	if (boxes == NULL)
		return ERR_NOMEM;
	u->boxes = boxes;
	to = &u->boxes[u->n++];
	*to = (struct unsaved_box){
	    .id = b->id, .unseen = b->unsaved_unseen, .deleted = b->unsaved_deleted, .highestmodseq = b->highestmodseq};
	for (size_t i = box_lower_bound(b, b->unsaved_min); i < b->n && b->v[i].uid <= b->unsaved_max && err == 0;
	     i++) {
		const struct message *m = &b->v[i];

		if (m->dead != 0)
			continue; /* its row is gone */
		if (m->unsaved && !broken && continues(&to->v[to->n - 1], m)) {
			to->v[to->n - 1].hi = m->uid;
			to->v[to->n - 1].n++;
		} else if (m->unsaved) {
			err = add_run(u, to, m);
		}
		broken = !m->unsaved;
	}
	return err;
}

struct unsaved *
unsaved_take(struct store_account *a)
{
	struct unsaved *u = a->unsaved_n == 0 ? NULL : calloc(1, sizeof(*u));
	int err = 0;

	if (u == NULL)
		return NULL;
	u->a = a;
	u->modseq = a->modseq;
	arena_init(&u->mem, 1u << 30);
	LIST_FOREACH (&a->boxes, n) {
		const struct store_box *b = CONTAINER_OF(n, struct store_box, node);

		if (b->unsaved_n > 0 && err == 0)
			err = take_box(u, b);
	}
	if (err != 0)
		unsaved_free(&u);
	return u;
}

void
unsaved_free(struct unsaved **u)
{
	if (*u == NULL)
		return;
	arena_free(&(*u)->mem);
	free(*u);
	*u = NULL;
}

static int
write_run(struct sqltx *tx, struct unsaved *u, const struct unsaved_box *b, const struct unsaved_run *r)
{
	struct sql_value keywords = r->keywords.n == 0 ? SQLN : SQLB(r->keywords);
	int err = r->n == 1 ? SQL_EXEC(tx, &store_sql_placement_flags, ACC(u->a), SQLI(b->id), SQLI(r->lo),
				  SQLI(r->flags), keywords, SQLI(r->modseq))
			    : SQL_EXEC(tx, &store_sql_placement_flags_run, ACC(u->a), SQLI(b->id), SQLI(r->lo),
				  SQLI(r->hi), SQLI(r->flags), keywords, SQLI(r->modseq));

	if (err != 0)
		return err;
	return sql_changes(tx) == (int64_t)r->n ? 0 : ERR_DAMAGED;
}

static int
write_box(struct sqltx *tx, struct unsaved *u, const struct unsaved_box *b)
{
	struct mailbox_row m;
	int err = row_mailbox_by_id(tx, u->a, b->id, NULL, &m);

	for (size_t i = 0; i < b->n && err == 0; i++)
		err = write_run(tx, u, b, &b->v[i]);
	if (err != 0)
		return err;
	m.unseen += b->unseen;
	m.deleted += b->deleted;
	if (m.highestmodseq < (int64_t)b->highestmodseq)
		m.highestmodseq = (int64_t)b->highestmodseq;
	return row_mailbox_save(tx, u->a, &m);
}

int
unsaved_tx(struct sqltx *tx, void *arg)
{
	struct unsaved *u = arg;
	struct account_row row;
	int err = row_account_load(tx, u->a, &row);

	for (size_t i = 0; i < u->n && err == 0; i++)
		err = write_box(tx, u, &u->boxes[i]);
	if (err == 0 && row.modseq < (int64_t)u->modseq)
		row.modseq = (int64_t)u->modseq;
	if (err == 0)
		err = row_account_save(tx, u->a, &row);
	u->err = err;
	return err;
}

static void
forget_box(struct store_box *b)
{
	for (size_t i = box_lower_bound(b, b->unsaved_min); i < b->n && b->v[i].uid <= b->unsaved_max; i++)
		b->v[i].unsaved = false;
	b->account->unsaved_n -= b->unsaved_n;
	b->unsaved_n = 0;
	b->unsaved_unseen = b->unsaved_deleted = 0;
}

void
unsaved_drop(struct store_account *a)
{
	LIST_FOREACH (&a->boxes, n) {
		struct store_box *b = CONTAINER_OF(n, struct store_box, node);

		if (b->unsaved_n > 0)
			forget_box(b);
	}
	ASSERT(a->unsaved_n == 0);
	a->unsaved_stuck = false;
}

void
unsaved_saved(struct store_account *a)
{
	unsaved_drop(a);
	if (a->journal != NULL)
		journal_saved(a->journal);
}
