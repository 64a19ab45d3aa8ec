/* queue_prune.c: removes the story of messages that left more than limits.history_days ago, in small steps, so that
 * it never holds up acceptance. Message ids sort by time: a walk over them from the oldest needs no index of its
 * own, and stops at the first that are too young. */
#include "queue/queue_private.h"

#define STEP_ROWS 100
#define STEP_PAUSE_MS 50
#define ROUND_US (3600 * INT64_C(1000000)) /* of the house's clock */
#define LOOK_MS 1000
#define DAY_US (24 * 3600 * INT64_C(1000000))

struct prune {
	char after[ULID_LEN + 1];
	char before[ULID_LEN + 1]; /* no message with this id or a later one can be old enough */
	int64_t cutoff_us;
	bool notes;
	bool more;
};

/* The smallest ULID of that moment. */
static void
ulid_floor(int64_t us, char out[ULID_LEN + 1])
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	uint64_t ms = us < 0 ? 0 : (uint64_t)us / 1000;

	for (int i = 9; i >= 0; i--) {
		out[i] = digits[ms % 32];
		ms /= 32;
	}
	memset(out + 10, '0', ULID_LEN - 10);
	out[ULID_LEN] = '\0';
}

struct prune_ids {
	char v[STEP_ROWS][ULID_LEN + 1];
	size_t n;
};

static int
remove_story(struct sqltx *tx, struct slice id)
{
	int err = SQL_EXEC(tx, &queue_sql_prune_recipients, SQLT(id));

	if (err == 0)
		err = SQL_EXEC(tx, &queue_sql_prune_history, SQLT(id));
	if (err == 0)
		err = SQL_EXEC(tx, &queue_sql_prune_message, SQLT(id));
	return err;
}

/* Rows of the history about what never was a message here (refused at the door). */
static int
prune_notes(struct sqltx *tx, struct prune *p)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	struct prune_ids ids = {.n = 0};
	int err = SQL_QUERY(tx, &r, &queue_sql_prune_notes_candidates, SQLI(p->cutoff_us), SQLI(STEP_ROWS));

	while (err == 0 && (err = sql_next(&r)) == 1 && ids.n < STEP_ROWS)
		err = slice_to_z(sql_col_bytes(&r, 0), ids.v[ids.n++], ULID_LEN + 1);
	sql_done(&r);
	p->more = ids.n == STEP_ROWS;
	for (size_t i = 0; err >= 0 && i < ids.n; i++)
		err = SQL_EXEC(tx, &queue_sql_prune_history, SQLT(slice_z(ids.v[i])));
	return err < 0 ? err : 0;
}

static int
prune_messages(struct sqltx *tx, struct prune *p)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	struct prune_ids ids = {.n = 0};
	char last[ULID_LEN + 1] = "";
	size_t seen = 0;
	int err = SQL_QUERY(
	    tx, &r, &queue_sql_prune_candidates, SQLT(slice_z(p->after)), SQLT(slice_z(p->before)), SQLI(STEP_ROWS));

	while (err == 0 && (err = sql_next(&r)) == 1) {
		int64_t left_us = sql_col_int(&r, 1);

		err = slice_to_z(sql_col_bytes(&r, 0), last, sizeof(last));
		if (left_us > 0 && left_us < p->cutoff_us && ids.n < STEP_ROWS)
			memcpy(ids.v[ids.n++], last, sizeof(last));
		seen++;
	}
	p->more = seen == STEP_ROWS;
	for (size_t i = 0; err == 0 && i < ids.n; i++)
		err = remove_story(tx, slice_z(ids.v[i]));
	if (err == 0 && seen > 0)
		memcpy(p->after, last, sizeof(last));
	return err;
}

static int
prune_step(struct sqltx *tx, void *arg)
{
	struct prune *p = arg;
	char after[ULID_LEN + 1];
	int err;

	/* A repeated run starts where this one did. */
	memcpy(after, p->after, sizeof(after));
	err = p->notes ? prune_notes(tx, p) : prune_messages(tx, p);
	if (err != 0)
		memcpy(p->after, after, sizeof(after));
	return err;
}

/* What was learned of sites and counted of addresses long ago. */
static int
prune_learned(struct sqltx *tx, void *arg)
{
	const struct prune *p = arg;
	int err = SQL_EXEC(tx, &queue_sql_prune_sites, SQLI(p->cutoff_us));

	return err != 0 ? err : SQL_EXEC(tx, &queue_sql_prune_suppression, SQLI(p->cutoff_us));
}

static void
prune_round(struct queue *q)
{
	struct prune p = {.cutoff_us = house_now_us(q->house) - q->house->limits.history_days * DAY_US};
	int err = 0;

	ulid_floor(p.cutoff_us, p.before);
	err = sql_write(q->db, prune_learned, &p);
	if (err != 0) {
		LOG(q->house, ERROR, "history_not_pruned", LOG_E(err));
		return;
	}
	for (int pass = 0; pass < 2; pass++) {
		p.notes = pass == 1;
		do {
			err = sql_write(q->db, prune_step, &p);
			if (err != 0)
				LOG(q->house, ERROR, "history_not_pruned", LOG_E(err));
			if (err != 0 || fiber_sleep(q->loop, STEP_PAUSE_MS) != 0)
				return;
		} while (p.more);
	}
}

void
prune_main(void *arg)
{
	struct queue *q = arg;
	int64_t last_us = INT64_MIN;

	while (fiber_sleep(q->loop, LOOK_MS) == 0) {
		int64_t now_us = house_now_us(q->house);

		if (last_us != INT64_MIN && now_us - last_us < ROUND_US)
			continue;
		last_us = now_us;
		prune_round(q);
	}
}
