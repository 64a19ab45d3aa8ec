/* store_moved.c: messages that are brought here from another server, perhaps in many passes while both are in use. Each is
 * remembered by its origin in the transaction that places it, and stays remembered when it is expunged here: whatever is
 * interrupted and begun anew, none comes twice, and none that its person has removed comes back.
 *
 * UIDs. Clients need not download again what they have when a mailbox keeps UIDVALIDITY and UIDs. Only a mailbox that never had
 * a message here can take those of another server over. From then on the UIDs below its floor are the other server's: messages
 * from there get the UID that they have there while it is higher than all before; all other messages get UIDs from the floor on,
 * so that a UID never means one message there and another one here. */
#include "store/store_private.h"

/* How many messages may come in there from the last look at it until the last pass, without a UID being in doubt. */
#define FLOOR_GAP 100000
#define MODSEQ_MAX (1ull << 48)

struct moved_op {
	struct store_account *a;
	const uint8_t *source;
	struct store_moved *v;
	const struct store_moved *set;
	size_t n, cap;
	int64_t lo, hi;
	struct arena *mem;
	/* adopt */
	struct slice name;
	uint32_t uidvalidity, uidnext;
	uint64_t modseq;
	bool done, kept, changed;
	int64_t mailbox, next, highest;
};

static struct sql_value
source_of(const struct moved_op *o)
{
	return SQLB(slice_of(o->source, STORE_ID_BYTES));
}

/* ---- placing ------------------------------------------------------------------------------------------------------- */

bool
moved_is_own(const uint8_t source[STORE_ID_BYTES])
{
	for (size_t i = 0; i < 8; i++)
		if (source[i] != 0xff)
			return false;
	return true;
}

int
moved_known(struct sqltx *tx, struct store_account *a, const struct store_origin *o)
{
	if (moved_is_own(o->source))
		return row_exists(tx, &store_sql_placement_of_email, SQL_ARGS(ACC(a), SQLI(o->number)));
	return row_exists(
	    tx, &store_sql_moved_get, SQL_ARGS(ACC(a), SQLB(slice_of(o->source, STORE_ID_BYTES)), SQLI(o->number)));
}

static int
join_keywords(struct slice_list v, struct buf *out)
{
	for (size_t i = 0; i < v.n; i++) {
		if (i > 0)
			buf_put_u8(out, ' ');
		buf_put(out, v.v[i]);
	}
	return out->err;
}

int
moved_place(struct sqltx *tx, struct store_account *a, struct mailbox_row *m, const struct store_append *v,
    struct incoming *in, int64_t modseq)
{
	const struct store_origin *o = &v->origin;
	int64_t now = house_now_s(a->store->house);
	struct buf BUF_CLEANUP words;
	int err;

	buf_init(&words, 1u << 20);
	if ((err = join_keywords(v->keywords, &words)) != 0)
		return err;
	if (o->uid >= m->uidnext && o->uid < m->uid_floor) {
		m->uidnext = o->uid;
		err = row_place_next(tx, a, m, &in->msg, in->keywords, modseq, now);
	} else {
		err = row_place(tx, a, m, &in->msg, in->keywords, modseq, now);
	}
	if (err != 0 || moved_is_own(o->source))
		return err;
	return SQL_EXEC(tx, &store_sql_moved_insert, ACC(a), SQLB(slice_of(o->source, STORE_ID_BYTES)), SQLI(o->number),
	    SQLI(m->id), SQLI(in->msg.uid), SQLI(in->flags), SQLT(buf_slice(&words)));
}

/* ---- what is remembered ----------------------------------------------------------------------------------------------- */

static int
get_one(struct sqltx *tx, struct moved_op *o, struct store_moved *v)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err;

	if (moved_is_own(o->source)) {
		err = row_exists(tx, &store_sql_placement_of_email, SQL_ARGS(ACC(o->a), SQLI(v->number)));
		*v = (struct store_moved){.number = v->number, .known = err == 1};
		return err < 0 ? err : 0;
	}
	err = SQL_QUERY(tx, &q, &store_sql_moved_get, ACC(o->a), source_of(o), SQLI(v->number));
	if (err == 0)
		err = sql_next(&q);
	if (err < 0)
		return err;
	*v = (struct store_moved){.number = v->number, .known = err == 1};
	if (err == 0)
		return 0;
	v->mailbox = sql_col_int(&q, 0);
	v->uid = (uint32_t)sql_col_int(&q, 1);
	v->flags = (uint8_t)(sql_col_int(&q, 2) & STORE_FLAGS_ALL);
	v->keywords = arena_copy(o->mem, sql_col_bytes(&q, 3));
	return arena_failed(o->mem) ? ERR_LIMIT : 0;
}

static int
get_tx(struct sqltx *tx, void *arg)
{
	struct moved_op *o = arg;
	int err = 0;

	for (size_t i = 0; i < o->n && err == 0; i++)
		err = get_one(tx, o, &o->v[i]);
	return err;
}

int
store_moved_get(
    struct store_account *acc, const uint8_t source[STORE_ID_BYTES], struct store_moved *v, size_t n, struct arena *mem)
{
	struct moved_op o = {.a = acc, .source = source, .v = v, .n = n, .mem = mem};
	struct store_op op = {.tx = get_tx, .arg = &o};

	return store_run(acc, &op);
}

static int
range_tx(struct sqltx *tx, void *arg)
{
	struct moved_op *o = arg;
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = SQL_QUERY(tx, &q, &store_sql_moved_range, ACC(o->a), source_of(o), SQLI(o->lo), SQLI(o->hi));

	o->n = o->cap = 0;
	o->v = NULL;
	while (err == 0 && (err = sql_next(&q)) == 1) {
		struct store_moved *v = arena_grow(o->mem, o->v, o->n, &o->cap, sizeof(*v), SIZE_MAX);

		if (v == NULL)
			return ERR_LIMIT;
		o->v = v;
		o->v[o->n++] = (struct store_moved){.number = sql_col_int(&q, 0),
		    .known = true,
		    .mailbox = sql_col_int(&q, 1),
		    .uid = (uint32_t)sql_col_int(&q, 2)};
		err = 0;
	}
	return err;
}

int
store_moved_range(struct store_account *acc, const uint8_t source[STORE_ID_BYTES], int64_t lo, int64_t hi,
    struct arena *mem, struct store_moved **v, size_t *n)
{
	struct moved_op o = {.a = acc, .source = source, .lo = lo, .hi = hi, .mem = mem};
	struct store_op op = {.tx = range_tx, .arg = &o};
	int err = store_run(acc, &op);

	*v = err == 0 ? o.v : NULL;
	*n = err == 0 ? o.n : 0;
	return err;
}

static int
flags_tx(struct sqltx *tx, void *arg)
{
	struct moved_op *o = arg;
	int err = 0;

	for (size_t i = 0; i < o->n && err == 0; i++)
		err = SQL_EXEC(tx, &store_sql_moved_flags, ACC(o->a), source_of(o), SQLI(o->set[i].number),
		    SQLI(o->set[i].flags), SQLT(o->set[i].keywords));
	return err;
}

int
store_moved_flags(
    struct store_account *acc, const uint8_t source[STORE_ID_BYTES], const struct store_moved *v, size_t n)
{
	struct moved_op o = {.a = acc, .source = source, .set = v, .n = n};
	struct store_op op = {.tx = flags_tx, .arg = &o, .write = true};

	return n == 0 ? 0 : store_run(acc, &op);
}

/* ---- carrying a folder on ------------------------------------------------------------------------------------------------ */

/* Has there never been a message that anybody may remember? */
static int
is_fresh(struct sqltx *tx, struct moved_op *o, const struct mailbox_row *m)
{
	int any;

	if (m->messages > 0 || m->uid_floor > 0)
		return 0;
	any = row_exists(tx, &store_sql_tombstone_any, SQL_ARGS(ACC(o->a), SQLI(m->id)));
	return any < 0 ? any : any == 0;
}

static int
take_over(struct sqltx *tx, struct moved_op *o, struct account_row *ar, struct mailbox_row *m)
{
	/* What is made here later under the same name must differ from it. */
	if (ar->uidvalidity < o->uidvalidity)
		ar->uidvalidity = o->uidvalidity;
	if (m->uidvalidity != o->uidvalidity)
		m->uidnext = 1;
	m->uidvalidity = o->uidvalidity;
	m->highestmodseq = ++ar->modseq;
	o->changed = true;
	return row_account_save(tx, o->a, ar);
}

/* The folder there has modseqs above ours. A number that no server reaches in its life is none. */
static int
climb(struct sqltx *tx, struct moved_op *o, struct account_row *ar, struct mailbox_row *m)
{
	if (o->done || o->modseq > MODSEQ_MAX || (int64_t)o->modseq <= ar->modseq)
		return 0;
	ar->modseq = (int64_t)o->modseq;
	m->vanished_from = ar->modseq;
	m->highestmodseq = ++ar->modseq;
	return row_account_save(tx, o->a, ar);
}

static int
adopt_tx(struct sqltx *tx, void *arg)
{
	struct moved_op *o = arg;
	struct account_row ar;
	struct mailbox_row m;
	int64_t floor = (int64_t)o->uidnext + FLOOR_GAP;
	int err;

	o->kept = o->changed = false;
	if ((err = row_account_load(tx, o->a, &ar)) != 0 ||
	    (err = row_mailbox_by_name(tx, o->a, o->name, NULL, &m)) != 0)
		return err;
	o->mailbox = m.id;
	if (!m.selectable)
		return ERR_NOTFOUND;
	if (m.uidvalidity != o->uidvalidity || m.uid_floor == 0) {
		if (floor >= STORE_UID_MAX || o->uidvalidity == 0 || o->uidvalidity >= UINT32_MAX - (1u << 20))
			return 0;
		if ((err = is_fresh(tx, o, &m)) <= 0)
			return err;
		if ((err = take_over(tx, o, &ar, &m)) != 0)
			return err;
	}
	o->kept = true;
	/* While no message from elsewhere has come, the floor may still rise with the folder there. */
	if (m.uidnext < m.uid_floor || m.uid_floor == 0) {
		if (m.uid_floor < floor && floor < STORE_UID_MAX)
			m.uid_floor = floor;
		if (o->done && m.uidnext < o->uidnext && o->uidnext < m.uid_floor)
			m.uidnext = o->uidnext;
	}
	if ((err = climb(tx, o, &ar, &m)) != 0)
		return err;
	o->next = m.uidnext;
	o->highest = m.highestmodseq;
	return SQL_EXEC(tx, &store_sql_mailbox_adopt, ACC(o->a), SQLI(m.id), SQLI(m.uidvalidity), SQLI(m.uidnext),
	    SQLI(m.uid_floor), SQLI(m.highestmodseq), SQLI(m.vanished_from));
}

static void
adopt_finish(void *arg, int err)
{
	struct moved_op *o = arg;
	struct store_box *b = err == 0 && o->kept ? box_find(o->a, o->mailbox) : NULL;

	if (b == NULL)
		return;
	/* Who looks at the empty mailbox has to look again. */
	if (o->changed)
		box_gone(b);
	else
		b->uidnext = (uint32_t)o->next;
	if (b->highestmodseq < (uint64_t)o->highest)
		b->highestmodseq = (uint64_t)o->highest;
}

int
store_mailbox_adopt(struct store_account *acc, struct slice name, uint32_t uidvalidity, uint32_t uidnext,
    uint64_t modseq, bool done, bool *kept)
{
	struct moved_op o = {.a = acc, .uidvalidity = uidvalidity, .uidnext = uidnext, .modseq = modseq, .done = done};
	struct store_op op = {.tx = adopt_tx, .finish = adopt_finish, .arg = &o, .write = true, .sync = true};
	struct arena ARENA_CLEANUP mem;
	int err;

	arena_init(&mem, 1u << 16);
	err = store_name_normal(&acc->store->house->limits, name, &mem, &o.name);
	if (err == 0)
		err = store_run(acc, &op);
	*kept = err == 0 && o.kept;
	return err == ERR_INVALID ? ERR_NOTFOUND : err;
}
