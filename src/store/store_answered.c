/* store_answered.c: who was answered by an account while its person was away, so that nobody is answered with each message.
 * The table is bounded: it is cut when it is a tenth over its limit. */
#include "store/store_private.h"

#define SENDER_BYTES_MAX 64

struct answer_op {
	struct store_account *a;
	struct slice sender, delivery_id;
	int64_t now_s, period_s;
	bool mine;
};

static int
look_up(struct sqltx *tx, struct answer_op *o)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &store_sql_answered_get, ACC(o->a), SQLB(o->sender));

	if (err == 0)
		err = sql_next(&r);
	o->mine = err == 0;
	if (err == 1) {
		int64_t at_s = sql_col_int(&r, 1);

		/* A clock that was set back does not silence the account for years. */
		o->mine = slice_eq(sql_col_bytes(&r, 0), o->delivery_id) || at_s + o->period_s <= o->now_s ||
		    at_s > o->now_s;
	}
	return err < 0 ? err : 0;
}

static int
prune(struct sqltx *tx, struct answer_op *o)
{
	int64_t max = o->a->store->house->limits.vacation_answered;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &store_sql_answered_count, ACC(o->a));

	if (err == 0)
		err = sql_next(&r);
	if (err != 1 || sql_col_int(&r, 0) <= max + max / 10)
		return err < 0 ? err : 0;
	return SQL_EXEC(tx, &store_sql_answered_prune, ACC(o->a), SQLI(max));
}

static int
claim_tx(struct sqltx *tx, void *arg)
{
	struct answer_op *o = arg;
	int err = look_up(tx, o);

	if (err != 0 || !o->mine)
		return err;
	err = SQL_EXEC(tx, &store_sql_answered_put, ACC(o->a), SQLB(o->sender), SQLB(o->delivery_id), SQLI(o->now_s));
	return err == 0 ? prune(tx, o) : err;
}

static int
release_tx(struct sqltx *tx, void *arg)
{
	struct answer_op *o = arg;

	return SQL_EXEC(tx, &store_sql_answered_delete, ACC(o->a), SQLB(o->sender), SQLB(o->delivery_id));
}

int
store_answer_claim(struct store_account *a, struct slice sender, const uint8_t delivery_id[STORE_ID_BYTES],
    int64_t period_s, bool *mine)
{
	struct answer_op o = {.a = a,
	    .sender = sender,
	    .delivery_id = slice_of(delivery_id, STORE_ID_BYTES),
	    .now_s = house_now_s(a->store->house),
	    .period_s = period_s};
	struct store_op op = {.tx = claim_tx, .arg = &o, .write = true, .sync = true};
	int err = sender.n == 0 || sender.n > SENDER_BYTES_MAX ? ERR_INVALID : store_run(a, &op);

	*mine = err == 0 && o.mine;
	return err;
}

int
store_answer_release(struct store_account *a, struct slice sender, const uint8_t delivery_id[STORE_ID_BYTES])
{
	struct answer_op o = {.a = a, .sender = sender, .delivery_id = slice_of(delivery_id, STORE_ID_BYTES)};
	struct store_op op = {.tx = release_tx, .arg = &o, .write = true};

	return store_run(a, &op);
}
