/* store_archive.c: see the header. */
#include "store/store_archive.h"

#include "sql/sql.h"
#include "store/store_private.h"

#define KEYWORDS_MAX 4096

struct store_archive {
	struct house *house;
	struct sqldb *db;
	struct arena mem;
	struct slice account_id;
	struct slice *keywords; /* by their number */
	size_t keywords_n;
};
#define OWNER(ar) SQLT((ar)->account_id)

static int
read_keywords(struct sqltx *tx, void *arg)
{
	struct store_archive *ar = arg;
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = SQL_QUERY(tx, &q, &store_sql_keyword_list, OWNER(ar));

	while (err == 0 && (err = sql_next(&q)) == 1) {
		int64_t at = sql_col_int(&q, 0);

		if (at >= 0 && at < KEYWORDS_MAX)
			ar->keywords[at] = arena_copy(&ar->mem, sql_col_bytes(&q, 1));
		err = arena_failed(&ar->mem) ? ERR_LIMIT : 0;
	}
	return err;
}

int
store_archive_open(
    struct store_archive **out, struct house *h, const char *path, struct slice account_id, struct buf *detail)
{
	struct sqldb_config config = {.path = path,
	    .durability = SQL_NORMAL,
	    .migrations = store_migrations,
	    .migrations_count = store_migrations_count};
	struct store_archive *ar = calloc(1, sizeof(*ar));
	int err;

	*out = NULL;
	if (ar == NULL)
		return ERR_NOMEM;
	ar->house = h;
	arena_init(&ar->mem, (size_t)16 << 20);
	ar->account_id = arena_copy(&ar->mem, account_id);
	ar->keywords = ARENA_ARRAY(&ar->mem, struct slice, KEYWORDS_MAX);
	err = arena_failed(&ar->mem) ? ERR_NOMEM : sqldb_open(&ar->db, h, &config, detail);
	if (err == 0)
		err = sql_read_blocking(ar->db, read_keywords, ar);
	if (err != 0) {
		if (detail->n == 0)
			buf_printf(detail, "%s cannot be read: %s", path, err_text(err));
		store_archive_close(&ar);
	}
	*out = ar;
	return err;
}

void
store_archive_close(struct store_archive **arp)
{
	struct store_archive *ar = *arp;

	*arp = NULL;
	if (ar == NULL)
		return;
	sqldb_close(&ar->db);
	arena_free(&ar->mem);
	free(ar);
}

static int
check_tx(struct sqltx *tx, void *arg)
{
	return sql_integrity(tx, arg);
}

int
store_archive_check(struct store_archive *ar, struct buf *detail)
{
	return sql_read_blocking(ar->db, check_tx, detail);
}

/* ---- mailboxes ----------------------------------------------------------------------------------------- */

struct listing {
	struct store_archive *ar;
	struct arena *a;
	struct store_mailbox *v;
	size_t n, cap;
};

static int
list_tx(struct sqltx *tx, void *arg)
{
	struct listing *l = arg;
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = SQL_QUERY(tx, &q, &store_sql_mailbox_list, OWNER(l->ar));

	while (err == 0 && (err = sql_next(&q)) == 1) {
		struct mailbox_row row;
		struct store_mailbox *v = arena_grow(l->a, l->v, l->n, &l->cap, sizeof(*v), 1u << 20);

		if (v == NULL)
			return ERR_LIMIT;
		l->v = v;
		if ((err = row_mailbox_read(&q, l->a, &row)) != 0)
			return err;
		l->v[l->n++] = (struct store_mailbox){.id = row.id,
		    .object_id = arena_copy(l->a, slice_of(row.object_id, STORE_ID_BYTES)),
		    .name = row.name,
		    .role = (enum store_role)row.role,
		    .selectable = row.selectable,
		    .uidvalidity = row.uidvalidity,
		    .uidnext = (uint32_t)row.uidnext,
		    .highestmodseq = (uint64_t)row.highestmodseq,
		    .messages = (uint32_t)row.messages,
		    .unseen = (uint32_t)row.unseen,
		    .deleted = (uint32_t)row.deleted,
		    .bytes = row.bytes};
	}
	return err;
}

int
store_archive_mailboxes(struct store_archive *ar, struct arena *a, struct store_mailbox **out, size_t *n)
{
	struct listing l = {.ar = ar, .a = a};
	int err = sql_read_blocking(ar->db, list_tx, &l);

	*out = l.v;
	*n = l.n;
	return err;
}

/* ---- messages -------------------------------------------------------------------------------------------- */

struct walk {
	struct store_archive *ar;
	int64_t mailbox;
	bool whole;
	store_archived_fn *fn;
	void *arg;
	int64_t *lost;
	struct slice keywords[KEYWORDS_MAX];
};

static void
take_keywords(struct walk *w, struct slice be16, struct store_archived *m)
{
	size_t n = 0;

	for (size_t i = 0; i + 2 <= be16.n && n < KEYWORDS_MAX; i += 2) {
		size_t id = (size_t)(slice_at(be16, i) << 8 | slice_at(be16, i + 1));

		if (id < KEYWORDS_MAX && w->ar->keywords[id].n > 0)
			w->keywords[n++] = w->ar->keywords[id];
	}
	m->keywords = (struct slice_list){w->keywords, n};
}

static int
tell_email(struct sqltx *tx, struct walk *w, struct store_archived *m)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = SQL_QUERY(
	    tx, &q, w->whole ? &store_sql_email_raw : &store_sql_email_ids, OWNER(w->ar), SQLI(m->email));

	if (err != 0 || (err = sql_next(&q)) < 0)
		return err;
	if (err == 0) {
		++*w->lost;
		return 0;
	}
	m->email_id = sql_col_bytes(&q, 0);
	m->blob = sql_col_bytes(&q, 3);
	if (w->whole) {
		m->head = sql_col_bytes(&q, 4);
		m->header = sql_col_bytes(&q, 5);
		m->rest = sql_col_bytes(&q, 6);
	}
	return w->fn(w->arg, m);
}

static int
walk_tx(struct sqltx *tx, void *arg)
{
	struct walk *w = arg;
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = SQL_QUERY(tx, &q, &store_sql_placement_list, OWNER(w->ar), SQLI(w->mailbox));

	while (err == 0 && (err = sql_next(&q)) == 1) {
		struct store_archived m = {.uid = (uint32_t)sql_col_int(&q, 0),
		    .email = (uint64_t)sql_col_int(&q, 1),
		    .flags = (uint8_t)(sql_col_int(&q, 2) & STORE_FLAGS_ALL),
		    .internal_s = sql_col_int(&q, 5),
		    .size = (uint64_t)sql_col_int(&q, 6)};

		take_keywords(w, sql_col_bytes(&q, 3), &m);
		err = tell_email(tx, w, &m);
	}
	return err;
}

int
store_archive_each(
    struct store_archive *ar, int64_t mailbox, bool whole, store_archived_fn *fn, void *arg, int64_t *lost)
{
	struct walk *w = calloc(1, sizeof(*w));
	int err;

	if (w == NULL)
		return ERR_NOMEM;
	w->ar = ar;
	w->mailbox = mailbox;
	w->whole = whole;
	w->fn = fn;
	w->arg = arg;
	w->lost = lost;
	err = sql_read_blocking(ar->db, walk_tx, w);
	free(w);
	return err;
}

struct one {
	struct walk w;
	uint64_t email;
	int64_t lost;
};

static int
read_tx(struct sqltx *tx, void *arg)
{
	struct one *o = arg;
	struct store_archived m = {.email = o->email};
	int err = tell_email(tx, &o->w, &m);

	return err == 0 && o->lost > 0 ? ERR_NOTFOUND : err;
}

int
store_archive_read(struct store_archive *ar, uint64_t email, store_archived_fn *fn, void *arg)
{
	struct one *o = calloc(1, sizeof(*o));
	int err;

	if (o == NULL)
		return ERR_NOMEM;
	o->w.ar = ar;
	o->w.whole = true;
	o->w.fn = fn;
	o->w.arg = arg;
	o->w.lost = &o->lost;
	o->email = email;
	err = sql_read_blocking(ar->db, read_tx, o);
	free(o);
	return err;
}
