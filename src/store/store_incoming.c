/* store_incoming.c: what a message needs before it becomes a row: the end of its header section, its ids, and its
 * thread. A message joins the thread of any message that it refers to, or that referred to it, if both have the same
 * base subject (RFC 8621 §3); so each message leaves hashes of (message id, base subject) for its own id and for
 * those that it refers to. */
#include "message/threads.h"
#include "store/store_private.h"

size_t
incoming_header_size(struct slice body, size_t max)
{
	size_t at = 0;

	/* The first empty line, with or without CR. */
	while (at < body.n && at < max) {
		size_t end = slice_find_byte(slice_from(body, at), '\n');
		size_t length = end == SLICE_NONE ? body.n - at : end;

		if (end == SLICE_NONE)
			return body.n;
		if (length == 0 || (length == 1 && slice_at(body, at) == '\r'))
			return at + end + 1;
		at += end + 1;
	}
	return at < body.n ? at : body.n;
}

void
incoming_split(struct incoming *in, struct slice head, struct slice body, uint64_t size, const struct limits *l)
{
	size_t n = incoming_header_size(body, (size_t)l->message_header_bytes);

	in->head = head;
	in->header = slice_head(body, n);
	in->rest = slice_from(body, n);
	in->size = head.n + size;
	in->header_size = (uint32_t)(head.n + n);
}

/* A hash that lies on disk: must never change. FNV-1a, 64 bits, with a final mix. */
static uint64_t
ref_hash(struct slice id, struct slice subject)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < id.n; i++)
		h = (h ^ slice_at(id, i)) * 0x100000001b3u;
	h = (h ^ 0x100u) * 0x100000001b3u;
	for (size_t i = 0; i < subject.n; i++)
		h = (h ^ ascii_lower(slice_at(subject, i))) * 0x100000001b3u;
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdu;
	h ^= h >> 33;
	return h;
}

static void
add_ref(struct incoming *in, struct slice id, struct slice subject)
{
	uint64_t h = ref_hash(id, subject);

	if (id.n == 0 || in->refs_n == STORE_REFS_MAX)
		return;
	for (size_t i = 0; i < in->refs_n; i++)
		if (in->refs[i] == h)
			return;
	in->refs[in->refs_n++] = h;
}

/* The message is in one piece, but for our trace fields of a delivery. */
static void
describe(struct store *s, struct incoming *in)
{
	struct slice raw = slice_of(in->header.p, in->header.n + in->rest.n);
	struct buf BUF_CLEANUP whole;

	if (s->hooks.describe == NULL || in->size != in->head.n + raw.n)
		return;
	buf_init(&whole, in->size + 1);
	if (in->head.n > 0) {
		buf_put(&whole, in->head);
		buf_put(&whole, raw);
		raw = buf_slice(&whole);
	}
	buf_free(&in->cache);
	buf_init(&in->cache, STORE_CACHE_MAX);
	if (whole.err == 0)
		s->hooks.describe(&s->house->limits, raw, &in->cache);
	if (in->cache.err != 0)
		buf_reset(&in->cache);
}

void
incoming_free(struct incoming *in)
{
	buf_free(&in->cache);
}

void
incoming_parse(struct store *s, struct incoming *in)
{
	struct house *h = s->house;
	struct arena ARENA_CLEANUP mem;
	struct header header;
	struct message_thread t;

	arena_init(&mem, 4u << 20);
	in->refs_n = 0;
	describe(s, in);
	if (header_parse(&mem, in->header, &h->limits, &header) != 0 ||
	    message_thread_parse(&mem, &header, CHARSET_THREAD, &t) != 0)
		return; /* too much of a header: the message is a thread of its own */
	add_ref(in, t.message_id, t.base_subject);
	/* The nearest ancestors, newest first, and the root. */
	for (size_t i = t.references.n; i > 0 && in->refs_n < STORE_REFS_MAX - 1; i--)
		add_ref(in, t.references.v[i - 1], t.base_subject);
	if (t.references.n > 0)
		add_ref(in, t.references.v[0], t.base_subject);
}

static void
put_be64(uint8_t out[8], uint64_t v)
{
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(v >> (56 - 8 * i));
}

/* The number is the front of the id. */
static uint64_t
email_number(const uint8_t *id)
{
	uint64_t n = 0;

	for (int i = 0; i < 8; i++)
		n = n << 8 | id[i];
	return n;
}

int
row_email_known(struct sqltx *tx, struct store_account *a, const uint8_t *id, struct message *m)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	uint64_t email = email_number(id);
	int err = email > INT64_MAX ? 0 : SQL_QUERY(tx, &q, &store_sql_email_known, ACC(a), SQLI(email));

	if (err != 0 || email > INT64_MAX || (err = sql_next(&q)) <= 0)
		return err;
	if (!slice_eq(sql_col_bytes(&q, 0), slice_of(id, STORE_ID_BYTES)))
		return 0;
	if (m != NULL) {
		m->email = email;
		m->size = (uint32_t)sql_col_int(&q, 1);
	}
	return 1;
}

/* An email's number: milliseconds and 20 random bits, so that rows lie in order of arrival and a number lost in a power
 * cut is not given again. Its id adds eight random bytes. */
static int
choose_number(struct sqltx *tx, struct store_account *a, struct incoming *in)
{
	struct house *h = a->store->house;
	int err;

	if (in->given) {
		in->msg.email = email_number(in->email_id);
		err = row_exists(tx, &store_sql_email_exists, SQL_ARGS(ACC(a), SQLI(in->msg.email)));
		if (err <= 0)
			return err;
		in->given = false; /* another's number: then it gets ids of its own */
	}
	for (int tries = 0; tries < 100; tries++) {
		uint64_t ms = (uint64_t)house_now_ms(h) & 0x3ffffffffffu;

		in->msg.email = ms << 20 | house_random_below(h, 1u << 20);
		if (in->msg.email <= a->last_email) /* the same millisecond: they stay in order */
			in->msg.email = a->last_email + 1 + house_random_below(h, 1000);
		err = row_exists(tx, &store_sql_email_exists, SQL_ARGS(ACC(a), SQLI(in->msg.email)));
		if (err < 0)
			return err;
		if (err == 0) {
			a->last_email = in->msg.email;
			put_be64(in->email_id, in->msg.email);
			house_random(h, in->email_id + 8, 8);
			return 0;
		}
	}
	return ERR_LIMIT;
}

static int
choose_thread(struct sqltx *tx, struct store_account *a, struct incoming *in)
{
	if (in->given && !in->own)
		return 0;
	memcpy(in->thread_id, in->email_id, STORE_ID_BYTES);
	for (size_t i = 0; i < in->refs_n; i++) {
		struct sql_rows SQL_ROWS_CLEANUP q = {0};
		uint8_t ref[8];
		int err;

		put_be64(ref, in->refs[i]);
		err = SQL_QUERY(tx, &q, &store_sql_thread_get, ACC(a), SQLB(slice_of(ref, 8)));
		if (err != 0 || (err = sql_next(&q)) < 0)
			return err;
		if (err == 1 && sql_col_bytes(&q, 0).n == STORE_ID_BYTES) {
			memcpy(in->thread_id, sql_col_bytes(&q, 0).p, STORE_ID_BYTES);
			return 0;
		}
	}
	return 0;
}

int
incoming_insert(struct sqltx *tx, struct store_account *a, struct account_row *ar, struct incoming *in)
{
	uint8_t refs[STORE_REFS_MAX * 8];
	int err;

	if (in->size > UINT32_MAX)
		return ERR_LIMIT;
	if (ar->quota_bytes > 0 && ar->used_bytes + (int64_t)in->size > ar->quota_bytes)
		return ERR_QUOTA;
	if ((err = choose_number(tx, a, in)) != 0 || (err = choose_thread(tx, a, in)) != 0)
		return err;
	for (size_t i = 0; i < in->refs_n; i++)
		put_be64(refs + i * 8, in->refs[i]);
	err = SQL_EXEC(tx, &store_sql_email_insert, ACC(a), SQLI(in->msg.email),
	    SQLB(slice_of(in->email_id, STORE_ID_BYTES)), SQLB(slice_of(in->thread_id, STORE_ID_BYTES)), SQLI(in->size),
	    SQLI(in->header_size), SQLI(in->internal_s), in->blob[0] == '\0' ? SQLN : SQLT(slice_z(in->blob)),
	    SQLB(slice_of(refs, in->refs_n * 8)), SQLB(in->head), SQLB(in->header), SQLB(in->rest));
	for (size_t i = 0; i < in->refs_n && err == 0; i++)
		err = SQL_EXEC(tx, &store_sql_thread_insert, ACC(a), SQLB(slice_of(refs + i * 8, 8)),
		    SQLI(in->msg.email), SQLB(slice_of(in->thread_id, STORE_ID_BYTES)));
	if (err == 0)
		err = SQL_EXEC(tx, &store_sql_unindexed_insert, ACC(a), SQLI(in->msg.email));
	if (err == 0 && in->cache.n > 0)
		err = SQL_EXEC(tx, &store_sql_cache_put, ACC(a), SQLI(in->msg.email), SQLB(buf_slice(&in->cache)));
	if (err != 0)
		return err;
	ar->used_bytes += (int64_t)in->size;
	in->msg.size = (uint32_t)in->size;
	in->msg.internal_s = in->internal_s;
	in->msg.flags = in->flags;
	return 0;
}
