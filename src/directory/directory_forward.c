/* directory_forward.c: what happens with an account's mail beside its mailbox: forwarding, and the answer while its person
 * is away. */
#include "base/house.h"
#include "directory/directory_private.h"

/* ---- forwarding -------------------------------------------------------------------------------------------------- */

int
directory_forward_get(struct sqltx *tx, struct arena *a, struct slice account_id, struct directory_forward *out)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &directory_sql_forward_get, SQLT(account_id));

	*out = (struct directory_forward){0};
	if (err == 0)
		err = sql_next(&r);
	if (err != 1)
		return err;
	out->keep = sql_col_int(&r, 0) != 0;
	return directory_text_list(tx, a, &directory_sql_forward_target_list, account_id, &out->targets);
}

int
directory_forward_set(struct sqltx *tx, struct house *h, const struct directory_account *account,
    const struct directory_forward *in, struct buf *detail)
{
	struct arena a ARENA_CLEANUP;
	struct slice_list targets;
	int err;

	if (in->targets.n > (size_t)h->limits.directory_alias_targets) {
		SAY(detail, "an account forwards to at most %lld addresses.",
		    (long long)h->limits.directory_alias_targets);
		return ERR_LIMIT;
	}
	arena_init(&a, DIRECTORY_SCRATCH_BYTES);
	err = directory_targets_spell(&a, in->targets, &targets, detail);
	if (err == 0 && targets.n == 0)
		return SQL_EXEC(tx, &directory_sql_forward_delete, SQLT(account->id));
	if (err == 0)
		err = SQL_EXEC(tx, &directory_sql_forward_set, SQLT(account->id), SQLI(in->keep));
	if (err == 0)
		err = SQL_EXEC(tx, &directory_sql_forward_target_delete, SQLT(account->id));
	for (size_t i = 0; err == 0 && i < targets.n; i++)
		err = SQL_EXEC(
		    tx, &directory_sql_forward_target_insert, SQLT(account->id), SQLI(i), SQLT(targets.v[i]));
	return err == 0 ? directory_refuse_loop(tx, h, &a, account->address, detail) : err;
}

/* ---- out of office ------------------------------------------------------------------------------------------------ */

int
directory_vacation_set(
    struct sqltx *tx, struct house *h, struct slice account_id, const struct directory_vacation *in, struct buf *detail)
{
	const struct limits *l = &h->limits;
	const char *why = NULL;

	if (slice_trim(in->text).n == 0)
		why = "the text is empty.";
	else if (!slice_is_utf8(in->text, true) || !slice_is_utf8(in->subject, true))
		why = "the text or the subject is not valid UTF-8.";
	else if (slice_find_byte(in->subject, '\n') != SLICE_NONE || slice_find_byte(in->subject, '\r') != SLICE_NONE)
		why = "the subject has more than one line.";
	else if (in->until_us <= in->from_us)
		why = "it would end before it begins.";
	else if (in->days < 1 || in->days > l->vacation_days_max)
		why = "a sender is answered once in 1 to 365 days.";
	if (why != NULL) {
		SAY(detail, "%s", why);
		return ERR_INVALID;
	}
	if (in->text.n > (size_t)l->vacation_text_bytes || in->subject.n > (size_t)l->vacation_subject_bytes) {
		SAY(detail, "the text is longer than %lld bytes, or the subject than %lld.",
		    (long long)l->vacation_text_bytes, (long long)l->vacation_subject_bytes);
		return ERR_LIMIT;
	}
	return SQL_EXEC(tx, &directory_sql_vacation_set, SQLT(account_id), SQLT(in->subject), SQLT(in->text),
	    SQLI(in->from_us), SQLI(in->until_us), SQLI(in->days), SQLI(house_now_us(h)));
}

int
directory_vacation_get(struct sqltx *tx, struct arena *a, struct slice account_id, struct directory_vacation *out)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &directory_sql_vacation_get, SQLT(account_id));

	if (err == 0)
		err = sql_next(&r);
	if (err != 1)
		return err < 0 ? err : ERR_NOTFOUND;
	*out = (struct directory_vacation){
	    .subject = arena_copy(a, sql_col_bytes(&r, 0)),
	    .text = arena_copy(a, sql_col_bytes(&r, 1)),
	    .from_us = sql_col_int(&r, 2),
	    .until_us = sql_col_int(&r, 3),
	    .days = sql_col_int(&r, 4),
	    .set_us = sql_col_int(&r, 5),
	};
	return arena_failed(a) ? ERR_NOMEM : 0;
}

int
directory_vacation_remove(struct sqltx *tx, struct slice account_id)
{
	int err = SQL_EXEC(tx, &directory_sql_vacation_delete, SQLT(account_id));

	return err == 0 && sql_changes(tx) == 0 ? ERR_NOTFOUND : err;
}
