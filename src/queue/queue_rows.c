/* queue_rows.c: the statements, and rows as data. Everything here runs inside transactions, on the database's
 * thread. */
#include "message/header.h"
#include "queue/queue_private.h"

#define SQL_STATEMENT(name, text) const struct sql_text queue_sql_##name = {#name, text};
#include "queue/queue_sql.def"
#undef SQL_STATEMENT

#define SQL_MIGRATION(number, name, sql) {number, name, sql},
const struct sql_migration queue_migrations[] = {
#include "queue/queue_migrations.def"
};
#undef SQL_MIGRATION
const size_t queue_migrations_count = COUNT_OF(queue_migrations);

#define ID(r) SQLB(slice_of((r)->delivery_id, DELIVERY_ID_LEN))
#define KEY_ARENA_BYTES 65536

struct slice
address_key(struct arena *a, struct slice address)
{
	uint8_t *p = arena_alloc(a, address.n + 1);

	if (p == NULL)
		return SLICE_EMPTY;
	for (size_t i = 0; i < address.n; i++)
		p[i] = ascii_lower(slice_at(address, i));
	return slice_of(p, address.n);
}

static int
insert_rcpt(struct sqltx *tx, struct slice id, const struct row_rcpt *r)
{
	struct arena a ARENA_CLEANUP;
	struct slice original, address;

	arena_init(&a, KEY_ARENA_BYTES);
	original = address_key(&a, r->original);
	address = address_key(&a, r->address);
	if (arena_failed(&a))
		return ERR_LIMIT;
	return SQL_EXEC(tx, &queue_sql_recipient_insert, ID(r), SQLT(id), SQLI(r->number), SQLI(r->kind),
	    SQLT(r->account_id), SQLB(r->original), SQLB(r->address), SQLB(r->via), SQLB(original),
	    slice_eq(original, address) ? SQLN : SQLB(address), SQLB(r->envelope), SQLI(r->state), SQLI(r->result),
	    SQLI(r->due_us), SQLI(r->changed_us), SQLB(r->code), SQLB(r->status), SQLB(r->reply), SQLB(r->host),
	    SQLI(r->lane), SQLI(r->tell), r->return_path_set ? SQLB(r->return_path) : SQLN);
}

int
row_new_insert(struct sqltx *tx, struct row_new *n)
{
	const struct row_message *m = &n->m;
	struct arena a ARENA_CLEANUP;
	struct slice sender;
	int err;

	arena_init(&a, KEY_ARENA_BYTES);
	sender = address_key(&a, m->reverse_path);
	if (arena_failed(&a))
		return ERR_LIMIT;
	n->existed = false;
	err = SQL_EXEC(tx, &queue_sql_message_insert, SQLT(m->id), SQLI(m->origin), SQLT(m->account_id),
	    SQLB(m->reverse_path), sender.n == 0 ? SQLN : SQLB(sender), SQLB(m->envelope), SQLT(m->client),
	    SQLB(m->helo), SQLT(m->tls), m->message_id.n == 0 ? SQLN : SQLB(m->message_id), SQLI(m->size_bytes),
	    SQLI(m->received_us), SQLI(m->recipients), SQLI((int64_t)n->rcpts_n), SQLI(m->junk), SQLT(m->findings),
	    SQLI(m->forged));
	if (err != 0)
		return err;
	if (sql_changes(tx) == 0) {
		n->existed = true;
		return 0;
	}
	err = SQL_EXEC(tx, &queue_sql_content_insert, SQLT(m->id), SQLB(m->head), SQLB(m->body), SQLI(m->in_file));
	for (size_t i = 0; err == 0 && i < n->rcpts_n; i++)
		err = insert_rcpt(tx, m->id, &n->rcpts[i]);
	return err;
}

int
row_message_get(struct sqltx *tx, struct arena *a, struct slice id, struct row_message *out)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &queue_sql_message_get, SQLT(id));

	if (err == 0)
		err = sql_next(&r);
	if (err <= 0)
		return err < 0 ? err : ERR_NOTFOUND;
	*out = (struct row_message){
	    .id = arena_copy(a, sql_col_bytes(&r, 0)),
	    .origin = sql_col_int(&r, 1),
	    .account_id = arena_copy(a, sql_col_bytes(&r, 2)),
	    .reverse_path = arena_copy(a, sql_col_bytes(&r, 3)),
	    .envelope = arena_copy(a, sql_col_bytes(&r, 4)),
	    .client = arena_copy(a, sql_col_bytes(&r, 5)),
	    .helo = arena_copy(a, sql_col_bytes(&r, 6)),
	    .tls = arena_copy(a, sql_col_bytes(&r, 7)),
	    .message_id = arena_copy(a, sql_col_bytes(&r, 8)),
	    .size_bytes = sql_col_int(&r, 9),
	    .received_us = sql_col_int(&r, 10),
	    .recipients = sql_col_int(&r, 11),
	    .waiting = sql_col_int(&r, 12),
	    .warned = sql_col_int(&r, 13),
	    .left_us = sql_col_int(&r, 14),
	    .junk = sql_col_int(&r, 15) != 0,
	    .findings = arena_copy(a, sql_col_bytes(&r, 16)),
	    .forged = sql_col_int(&r, 17) != 0,
	};
	return arena_failed(a) ? ERR_LIMIT : 0;
}

static void
read_rcpt(struct sql_rows *r, struct arena *a, struct row_rcpt *out)
{
	struct slice id = sql_col_bytes(r, 0);

	*out = (struct row_rcpt){
	    .number = sql_col_int(r, 1),
	    .kind = sql_col_int(r, 2),
	    .account_id = arena_copy(a, sql_col_bytes(r, 3)),
	    .original = arena_copy(a, sql_col_bytes(r, 4)),
	    .address = arena_copy(a, sql_col_bytes(r, 5)),
	    .via = arena_copy(a, sql_col_bytes(r, 6)),
	    .envelope = arena_copy(a, sql_col_bytes(r, 7)),
	    .state = sql_col_int(r, 8),
	    .result = sql_col_int(r, 9),
	    .attempts = sql_col_int(r, 10),
	    .due_us = sql_col_int(r, 11),
	    .changed_us = sql_col_int(r, 12),
	    .code = arena_copy(a, sql_col_bytes(r, 13)),
	    .status = arena_copy(a, sql_col_bytes(r, 14)),
	    .reply = arena_copy(a, sql_col_bytes(r, 15)),
	    .host = arena_copy(a, sql_col_bytes(r, 16)),
	    .lane = sql_col_int(r, 17),
	    .tell = sql_col_int(r, 18),
	    .return_path_set = !sql_col_null(r, 19),
	    .return_path = arena_copy(a, sql_col_bytes(r, 19)),
	    .route = arena_copy(a, sql_col_bytes(r, 20)),
	    .reply_class = sql_col_int(r, 21),
	};
	if (id.n == DELIVERY_ID_LEN)
		memcpy(out->delivery_id, id.p, id.n);
}

int
row_rcpts_get(struct sqltx *tx, struct arena *a, struct slice id, struct row_rcpt **v, size_t *n)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	size_t cap = 0;
	int err = SQL_QUERY(tx, &r, &queue_sql_recipient_of_message, SQLT(id));

	*v = NULL;
	*n = 0;
	while (err == 0 && (err = sql_next(&r)) == 1) {
		*v = arena_grow(a, *v, *n, &cap, sizeof(**v), 1u << 20);
		if (*v == NULL)
			return ERR_LIMIT;
		read_rcpt(&r, a, &(*v)[(*n)++]);
		err = arena_failed(a) ? ERR_LIMIT : 0;
	}
	return err;
}

int
row_history_add(struct sqltx *tx, struct slice id, int64_t at_us, struct slice recipient, enum bus_history kind,
    struct slice detail)
{
	struct arena a ARENA_CLEANUP;
	struct slice key;

	arena_init(&a, KEY_ARENA_BYTES);
	key = address_key(&a, recipient);
	if (arena_failed(&a))
		return ERR_LIMIT;
	return SQL_EXEC(tx, &queue_sql_history_insert, SQLT(id), SQLI(at_us), SQLB(recipient),
	    key.n == 0 ? SQLN : SQLB(key), SQLI(kind), SQLT(detail));
}

int
row_message_less(struct sqltx *tx, struct slice id, int64_t count, int64_t now_us, bool *left, bool *in_file)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &queue_sql_message_less, SQLT(id), SQLI(count), SQLI(now_us));

	*left = *in_file = false;
	if (err == 0)
		err = sql_next(&r);
	if (err <= 0)
		return err;
	*left = sql_col_int(&r, 0) != 0;
	sql_done(&r);
	if (!*left)
		return 0;
	err = SQL_QUERY(tx, &r, &queue_sql_content_delete, SQLT(id));
	if (err == 0)
		err = sql_next(&r);
	if (err == 1)
		*in_file = sql_col_int(&r, 0) != 0;
	return err < 0 ? err : 0;
}

/* ---- small things ------------------------------------------------------------------------------------ */

struct slice
text_clean(struct arena *a, struct slice s, size_t max)
{
	bool utf8 = slice_is_utf8(s, true);
	struct slice cut = slice_head(s, max);
	uint8_t *p;

	/* Not in the middle of a character. */
	while (utf8 && cut.n > 0 && cut.n < s.n && (slice_at(s, cut.n) & 0xc0) == 0x80)
		cut.n--;
	p = arena_alloc(a, cut.n + 1);
	if (p == NULL)
		return SLICE_EMPTY;
	for (size_t i = 0; i < cut.n; i++) {
		uint8_t c = slice_at(cut, i);

		if (c == '\r' || c == '\n' || c == '\t')
			c = ' ';
		else if (c < 0x20 || c == 0x7f || (!utf8 && c >= 0x80))
			c = '?';
		p[i] = c;
	}
	return slice_of(p, cut.n);
}

struct slice
header_message_id(struct slice header, size_t max_bytes)
{
	struct header_iter it = header_iter_of(header, max_bytes);
	struct header_field f;

	while (header_next(&it, &f)) {
		struct slice v;

		if (!slice_ieq(f.name, SLICE("Message-ID")))
			continue;
		v = slice_trim(f.value);
		if (v.n >= 2 && slice_at(v, 0) == '<') {
			v = slice_from(v, 1);
			v = slice_cut(&v, '>');
		}
		return slice_head(slice_trim(v), 998);
	}
	return SLICE_EMPTY;
}

void
delivery_id_make(struct house *h, uint8_t out[DELIVERY_ID_LEN])
{
	int64_t ms = house_now_ms(h);

	for (int i = 0; i < 6; i++)
		out[i] = (uint8_t)(ms >> (40 - 8 * i));
	house_random(h, out + 6, DELIVERY_ID_LEN - 6);
}
