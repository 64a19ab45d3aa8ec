/* store_rows.c: the statements of an account's database, and the steps that several transactions share. Everything here
 * blocks and runs inside a transaction function on a worker. */
#include "store/store_private.h"

#define SQL_STATEMENT(name, text) const struct sql_text store_sql_##name = {"store_" #name, text};
#include "store/store_sql.def"
#undef SQL_STATEMENT

#define SQL_MIGRATION(number, name, sql) {number, name, sql},
const struct sql_migration store_migrations[] = {
#include "store/store_migrations.def"
};
#undef SQL_MIGRATION
const size_t store_migrations_count = COUNT_OF(store_migrations);

static void
copy_id(uint8_t out[STORE_ID_BYTES], struct slice s)
{
	memset(out, 0, STORE_ID_BYTES);
	if (s.n == STORE_ID_BYTES)
		memcpy(out, s.p, STORE_ID_BYTES);
}

int
row_exists(struct sqltx *tx, const struct sql_text *t, const struct sql_value *v, size_t n)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = sql_query(tx, &q, t, v, n);

	return err != 0 ? err : sql_next(&q);
}

int
row_count(struct sqltx *tx, struct store_account *a, const struct sql_text *t, int64_t *out)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = SQL_QUERY(tx, &q, t, ACC(a));

	if (err != 0 || (err = sql_next(&q)) < 0)
		return err;
	*out = err == 1 ? sql_col_int(&q, 0) : 0;
	return 0;
}

/* ---- the account ------------------------------------------------------------------------------------- */

int
row_account_load(struct sqltx *tx, struct store_account *a, struct account_row *r)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int64_t quota_bytes;
	int err = SQL_QUERY(tx, &q, &store_sql_account_get, ACC(a));

	if (err != 0 || (err = sql_next(&q)) < 0)
		return err;
	if (err == 0)
		return ERR_NOTFOUND;
	copy_id(r->boot, sql_col_bytes(&q, 0));
	r->next_mailbox = sql_col_int(&q, 1);
	if (a->modseq < (uint64_t)sql_col_int(&q, 2))
		a->modseq = (uint64_t)sql_col_int(&q, 2);
	r->modseq = (int64_t)a->modseq; /* of unsaved changes of flags, too */
	r->uidvalidity = sql_col_int(&q, 3);
	r->used_bytes = sql_col_int(&q, 4);
	quota_bytes = a->quota_bytes;
	r->quota_bytes = quota_bytes >= 0 ? quota_bytes : sql_col_int(&q, 5);
	r->changes = sql_col_int(&q, 6);
	return 0;
}

int
row_account_save(struct sqltx *tx, struct store_account *a, const struct account_row *r)
{
	a->modseq = (uint64_t)r->modseq;
	return SQL_EXEC(tx, &store_sql_account_update, ACC(a), SQLI(r->next_mailbox), SQLI(r->modseq),
	    SQLI(r->uidvalidity), SQLI(r->used_bytes), SQLI(r->quota_bytes), SQLI(r->changes));
}

/* ---- mailboxes --------------------------------------------------------------------------------------- */

int
row_mailbox_read(struct sql_rows *q, struct arena *mem, struct mailbox_row *r)
{
	*r = (struct mailbox_row){0};
	r->id = sql_col_int(q, 0);
	copy_id(r->object_id, sql_col_bytes(q, 1));
	if (mem != NULL) {
		r->name = arena_copy(mem, sql_col_bytes(q, 2));
		if (arena_failed(mem))
			return ERR_LIMIT;
	}
	r->role = (int)sql_col_int(q, 3);
	r->selectable = sql_col_int(q, 4) != 0;
	r->uidvalidity = (uint32_t)sql_col_int(q, 5);
	r->uidnext = sql_col_int(q, 6);
	r->highestmodseq = sql_col_int(q, 7);
	r->first_recent = sql_col_int(q, 8);
	r->messages = sql_col_int(q, 9);
	r->unseen = sql_col_int(q, 10);
	r->deleted = sql_col_int(q, 11);
	r->bytes = sql_col_int(q, 12);
	r->changes = sql_col_int(q, 13);
	r->uid_floor = sql_col_int(q, 14);
	r->tombstones = sql_col_int(q, 15);
	r->vanished_from = sql_col_int(q, 16);
	return 0;
}

static int
mailbox_one(struct sqltx *tx, const struct sql_text *t, struct store_account *a, struct sql_value key,
    struct arena *mem, struct mailbox_row *r)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = SQL_QUERY(tx, &q, t, ACC(a), key);

	if (err != 0 || (err = sql_next(&q)) < 0)
		return err;
	return err == 0 ? ERR_NOTFOUND : row_mailbox_read(&q, mem, r);
}

int
row_mailbox_by_name(
    struct sqltx *tx, struct store_account *a, struct slice name, struct arena *mem, struct mailbox_row *r)
{
	return mailbox_one(tx, &store_sql_mailbox_by_name, a, SQLT(name), mem, r);
}

int
row_mailbox_by_id(struct sqltx *tx, struct store_account *a, int64_t id, struct arena *mem, struct mailbox_row *r)
{
	return mailbox_one(tx, &store_sql_mailbox_by_id, a, SQLI(id), mem, r);
}

int
row_mailbox_by_role(struct sqltx *tx, struct store_account *a, int role, struct arena *mem, struct mailbox_row *r)
{
	return mailbox_one(tx, &store_sql_mailbox_by_role, a, SQLI(role), mem, r);
}

int
row_mailbox_save(struct sqltx *tx, struct store_account *a, struct mailbox_row *r)
{
	int err = r->tombstones > a->store->house->limits.mailbox_tombstones ? tombstones_prune(tx, a, r) : 0;

	if (err != 0)
		return err;
	return SQL_EXEC(tx, &store_sql_mailbox_counters, ACC(a), SQLI(r->id), SQLI(r->uidnext), SQLI(r->highestmodseq),
	    SQLI(r->messages), SQLI(r->unseen), SQLI(r->deleted), SQLI(r->bytes), SQLI(r->tombstones),
	    SQLI(r->vanished_from));
}

/* ---- placements -------------------------------------------------------------------------------------- */

static void
count_message(struct mailbox_row *m, const struct message *msg, int64_t by)
{
	m->messages += by;
	m->bytes += by * (int64_t)msg->size;
	if ((msg->flags & STORE_SEEN) == 0)
		m->unseen += by;
	if ((msg->flags & STORE_DELETED) != 0)
		m->deleted += by;
}

int
row_place(struct sqltx *tx, struct store_account *a, struct mailbox_row *m, struct message *msg, struct slice keywords,
    int64_t modseq, int64_t saved_s)
{
	if (m->uidnext < m->uid_floor)
		m->uidnext = m->uid_floor;
	return row_place_next(tx, a, m, msg, keywords, modseq, saved_s);
}

int
row_place_next(struct sqltx *tx, struct store_account *a, struct mailbox_row *m, struct message *msg,
    struct slice keywords, int64_t modseq, int64_t saved_s)
{
	int err;

	if (m->uidnext >= STORE_UID_MAX)
		return ERR_LIMIT;
	if (m->messages >= a->store->house->limits.mailbox_messages)
		return ERR_QUOTA;
	msg->uid = (uint32_t)m->uidnext;
	msg->modseq = (uint64_t)modseq;
	err = SQL_EXEC(tx, &store_sql_placement_insert, ACC(a), SQLI(m->id), SQLI(msg->uid), SQLI(msg->email),
	    SQLI(msg->flags), keywords.n == 0 ? SQLN : SQLB(keywords), SQLI(modseq), SQLI(msg->internal_s),
	    SQLI(saved_s), SQLI(msg->size));
	if (err != 0)
		return err;
	m->uidnext++;
	m->highestmodseq = modseq;
	count_message(m, msg, 1);
	return 0;
}

/* Deletes the message's hashes from the thread index. */
static int
drop_refs(struct sqltx *tx, struct store_account *a, uint64_t email, struct slice refs)
{
	int err = 0;

	for (size_t i = 0; i + 8 <= refs.n && err == 0; i += 8)
		err = SQL_EXEC(tx, &store_sql_thread_delete, ACC(a), SQLB(slice_range(refs, i, i + 8)), SQLI(email));
	return err;
}

int
row_email_drop(struct sqltx *tx, struct store_account *a, struct account_row *ar, uint64_t email, struct buf *unlink)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	uint8_t refs[STORE_REFS_MAX * 8];
	size_t refs_n;
	int err = row_exists(tx, &store_sql_placement_of_email, SQL_ARGS(ACC(a), SQLI(email)));

	if (err != 0)
		return err < 0 ? err : 0;
	if ((err = SQL_QUERY(tx, &q, &store_sql_email_size, ACC(a), SQLI(email))) != 0 || (err = sql_next(&q)) <= 0)
		return err;
	ar->used_bytes -= sql_col_int(&q, 0);
	buf_put(unlink, sql_col_bytes(&q, 1));
	refs_n = slice_head(sql_col_bytes(&q, 2), sizeof(refs)).n;
	if (refs_n > 0)
		memcpy(refs, sql_col_bytes(&q, 2).p, refs_n);
	sql_done(&q);
	if ((err = drop_refs(tx, a, email, slice_of(refs, refs_n))) != 0)
		return err;
	if ((err = SQL_EXEC(tx, &store_sql_cache_delete, ACC(a), SQLI(email))) != 0)
		return err;
	return SQL_EXEC(tx, &store_sql_email_delete, ACC(a), SQLI(email));
}

int
row_unplace(struct sqltx *tx, struct store_account *a, struct account_row *ar, struct mailbox_row *m,
    const struct message *msg, int64_t modseq, struct buf *unlink)
{
	int err = SQL_EXEC(tx, &store_sql_placement_delete, ACC(a), SQLI(m->id), SQLI(msg->uid));

	if (err != 0)
		return err;
	if (sql_changes(tx) != 1)
		return ERR_DAMAGED;
	if ((err = SQL_EXEC(tx, &store_sql_tombstone_insert, ACC(a), SQLI(m->id), SQLI(modseq), SQLI(msg->uid))) != 0)
		return err;
	m->tombstones++;
	m->highestmodseq = modseq;
	count_message(m, msg, -1);
	return unlink == NULL ? 0 : row_email_drop(tx, a, ar, msg->email, unlink);
}
