/* sqlite_salvage.c: a table is read by rowid until a page cannot be; then the next place that can be is looked for in steps that
 * double, what lies before it is read backwards, and so on. Tables without rowid are read from both ends. */
#include "base/house.h"
#include "sql/sql_salvage.h"

#include <sqlite3.h>

#define TEXT_BYTES 4096
#define BREAKS_MAX 10000 /* of one table */

struct salvage {
	sqlite3 *from, *to;
	const char *table;
	sqlite3_stmt *insert;
	int columns;
	struct sql_salvaged *n;
	int err; /* of `to` */
};

static int
error_of_target(int rc)
{
	return rc == SQLITE_FULL ? ERR_FULL : rc == SQLITE_NOMEM ? ERR_NOMEM : ERR_IO;
}

/* One row; the first column is the rowid when `skip` is 1. */
static void
take_row(struct salvage *s, sqlite3_stmt *row, int skip)
{
	int rc;

	for (int i = 0; i < s->columns; i++)
		(void)sqlite3_bind_value(s->insert, i + 1, sqlite3_column_value(row, i + skip));
	rc = sqlite3_step(s->insert);
	(void)sqlite3_reset(s->insert);
	if (rc == SQLITE_DONE)
		s->n->rows += sqlite3_changes(s->to);
	else if ((rc & 0xff) == SQLITE_CONSTRAINT || (rc & 0xff) == SQLITE_MISMATCH)
		s->n->refused++;
	else
		s->err = error_of_target(rc);
}

static sqlite3_stmt *
prepare(sqlite3 *db, const char *fmt, const char *table)
{
	char sql[TEXT_BYTES];
	sqlite3_stmt *st = NULL;

	(void)sqlite3_snprintf(sizeof(sql), sql, fmt, table);
	return sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK ? st : NULL;
}

/* Reads on from a rowid in one direction. True: to the end; false: it broke behind *last. */
static bool
read_from(struct salvage *s, const char *fmt, int64_t from, int64_t *last)
{
	sqlite3_stmt *st = prepare(s->from, fmt, s->table);
	int rc = SQLITE_CORRUPT;

	if (st == NULL)
		return false;
	(void)sqlite3_bind_int64(st, 1, from);
	while (s->err == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		*last = sqlite3_column_int64(st, 0);
		take_row(s, st, 1);
	}
	(void)sqlite3_finalize(st);
	return rc == SQLITE_DONE || s->err != 0;
}

/* The first rowid of at least `from` that can be read at once. */
static bool
can_read(struct salvage *s, int64_t from, int64_t *found, bool *end)
{
	sqlite3_stmt *st = prepare(
	    s->from, "SELECT rowid, * FROM \"%w\" WHERE rowid >= ?1 ORDER BY rowid LIMIT 1", s->table);
	int rc = SQLITE_CORRUPT;

	*end = false;
	if (st != NULL) {
		(void)sqlite3_bind_int64(st, 1, from);
		rc = sqlite3_step(st);
		if (rc == SQLITE_ROW)
			*found = sqlite3_column_int64(st, 0);
		*end = rc == SQLITE_DONE;
	}
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW;
}

static void
copy_by_rowid(struct salvage *s)
{
	static const char up[] = "SELECT rowid, * FROM \"%w\" WHERE rowid >= ?1 ORDER BY rowid",
			  down[] = "SELECT rowid, * FROM \"%w\" WHERE rowid < ?1 ORDER BY rowid DESC";
	int64_t from = 0, last = -1, ignored;

	/* Nothing of ours gives a rowid below 1. */
	for (int breaks = 0; breaks < BREAKS_MAX && s->err == 0; breaks++) {
		int64_t broken;
		bool end = false;

		if (read_from(s, up, from, &last))
			return;
		s->n->breaks++;
		broken = (last >= from ? last : from) + 1;
		from = broken;
		for (int64_t step = 1; !can_read(s, from, &from, &end) && !end; step *= 2) {
			/* Nothing behind it can be read, up to the end of all numbers. */
			if ((end = step > INT64_MAX / 4 || broken > INT64_MAX / 2))
				break;
			from = broken + step;
		}
		/* What lies between the break and there, from its far end. */
		(void)read_from(s, down, end ? INT64_MAX : from, &ignored);
		if (end)
			return;
	}
}

static void
copy_from_both_ends(struct salvage *s)
{
	static const char *const orders[] = {
	    "SELECT * FROM \"%w\"", "SELECT * FROM \"%w\" ORDER BY 1 DESC, 2 DESC, 3 DESC"};

	for (size_t i = 0; i < COUNT_OF(orders) && s->err == 0; i++) {
		sqlite3_stmt *st = prepare(s->from, orders[i], s->table);
		int rc = SQLITE_CORRUPT;

		while (st != NULL && s->err == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW)
			take_row(s, st, 0);
		(void)sqlite3_finalize(st);
		if (rc == SQLITE_DONE)
			return;
		s->n->breaks++;
	}
}

/* "INSERT OR IGNORE INTO t VALUES (?,?,…)" for as many columns as the table has. */
static bool
prepare_insert(struct salvage *s)
{
	sqlite3_stmt *st = prepare(s->to, "SELECT * FROM \"%w\" LIMIT 0", s->table);
	char sql[TEXT_BYTES];
	size_t n;

	s->columns = st == NULL ? 0 : sqlite3_column_count(st);
	(void)sqlite3_finalize(st);
	(void)sqlite3_snprintf(TEXT_BYTES / 2, sql, "INSERT OR IGNORE INTO \"%w\" VALUES (", s->table);
	n = strlen(sql);
	for (int i = 0; i < s->columns && n + 4 < sizeof(sql); i++)
		n += (size_t)snprintf(sql + n, sizeof(sql) - n, i == 0 ? "?" : ",?");
	(void)snprintf(sql + n, sizeof(sql) - n, ")");
	return s->columns > 0 && sqlite3_prepare_v2(s->to, sql, -1, &s->insert, NULL) == SQLITE_OK;
}

/* The table of the old file may have fewer columns, when it is of an older version: then it is left to its snapshot. */
static bool
same_columns(struct salvage *s)
{
	sqlite3_stmt *st = prepare(s->from, "SELECT * FROM \"%w\" LIMIT 0", s->table);
	int n = st == NULL ? -1 : sqlite3_column_count(st);

	(void)sqlite3_finalize(st);
	return n == s->columns;
}

static void
copy_table(struct salvage *s, bool has_rowid)
{
	if (!prepare_insert(s)) {
		s->err = ERR_IO;
	} else if (!same_columns(s)) {
		s->n->breaks++;
	} else if (has_rowid) {
		copy_by_rowid(s);
	} else {
		copy_from_both_ends(s);
	}
	(void)sqlite3_finalize(s->insert);
	s->insert = NULL;
}

static void
copy_tables(struct salvage *s)
{
	sqlite3_stmt *list = NULL;
	int rc = sqlite3_prepare_v2(s->to,
	    "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE "
	    "'sqlite_%'",
	    -1, &list, NULL);

	while (rc == SQLITE_OK && s->err == 0 && sqlite3_step(list) == SQLITE_ROW) {
		s->table = (const char *)sqlite3_column_text(list, 0);
		if (s->table != NULL)
			copy_table(s, sqlite3_column_int(list, 1) == 0);
	}
	if (rc != SQLITE_OK)
		s->err = ERR_IO;
	(void)sqlite3_finalize(list);
}

int
sql_salvage(const char *from, const char *to, struct sql_salvaged *out, struct buf *detail)
{
	struct salvage s = {.n = out};
	int rc;

	*out = (struct sql_salvaged){0};
	rc = sqlite3_open_v2(from, &s.from, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(
		    s.from, "PRAGMA locking_mode = EXCLUSIVE; SELECT COUNT(*) FROM sqlite_schema", NULL, NULL, NULL);
	if (rc != SQLITE_OK) {
		buf_printf(detail, "%s cannot be read: %s", from, sqlite3_errmsg(s.from));
		(void)sqlite3_close_v2(s.from);
		return ERR_DAMAGED;
	}
	rc = sqlite3_open_v2(to, &s.to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(s.to, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL; BEGIN IMMEDIATE",
		    NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		copy_tables(&s);
	if (rc == SQLITE_OK && s.err == 0)
		rc = sqlite3_exec(s.to, "COMMIT", NULL, NULL, NULL);
	if (rc != SQLITE_OK && s.err == 0)
		s.err = error_of_target(rc);
	if (s.err != 0)
		buf_printf(detail, "%s cannot be written: %s", to, sqlite3_errmsg(s.to));
	(void)sqlite3_close_v2(s.to);
	(void)sqlite3_close_v2(s.from);
	return s.err;
}
