/* sql_migrate.c: numbered migrations. The table sql_migrations tells which were applied, with the checksum of their
 * text; all that are missing are applied in one transaction. Older data is copied to the snapshot folder first;
 * newer data, and data whose migrations are not those of this program, is refused and left untouched. */
#include "base/log.h"
#include "sql/sql_engine.h"

static const char create_table[] =
    "CREATE TABLE sql_migrations (number INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL,"
    " applied_us INTEGER NOT NULL) STRICT";
static const struct sql_text text_list = {
    "migration_list", "SELECT number, name, checksum FROM sql_migrations ORDER BY number"};
static const struct sql_text text_add = {
    "migration_add", "INSERT INTO sql_migrations (number, name, checksum, applied_us) VALUES ($1, $2, $3, $4)"};

struct migration_run {
	struct sqldb *db;
	const struct sqldb_config *config;
	struct buf *detail;
	bool has_table;
	int applied; /* how many are in the data */
};

/* FNV-1a over the text: it tells a changed file from an unchanged one, no more. */
static void
checksum(const struct sql_migration *m, char out[17])
{
	uint64_t h = 0xcbf29ce484222325ull;
	struct slice s = slice_z(m->sql);

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ slice_at(s, i)) * 0x100000001b3ull;
	(void)snprintf(out, 17, "%016llx", (unsigned long long)h);
}

/* Compares what was applied with what this program has. */
static int
check_applied(struct sqltx *tx, void *arg)
{
	struct migration_run *r = arg;
	struct sql_rows rows SQL_ROWS_CLEANUP = {0};
	char sum[17];
	int err = SQL_QUERY(tx, &rows, &text_list, );

	r->applied = 0;
	if (err != 0)
		return err;
	while ((err = sql_next(&rows)) == 1) {
		int64_t number = sql_col_int(&rows, 0);
		struct slice name = sql_col_bytes(&rows, 1);

		if (number > (int64_t)r->config->migrations_count) {
			buf_printf(r->detail,
			    "%s was written by a newer version of Posthouse (its migration %lld, \"%.*s\", is not "
			    "known here): "
			    "run that version, or restore the snapshot made before the upgrade.",
			    r->config->path, (long long)number, SLICE_ARG(name));
			return ERR_VERSION;
		}
		if (number != r->applied + 1) {
			buf_printf(r->detail, "%s lacks migration %d: restore it from a backup.", r->config->path,
			    r->applied + 1);
			return ERR_DAMAGED;
		}
		checksum(&r->config->migrations[number - 1], sum);
		if (!slice_eq(sql_col_bytes(&rows, 2), slice_z(sum))) {
			buf_printf(r->detail,
			    "%s was made with another text of migration %lld, \"%.*s\": run the version that made it.",
			    r->config->path, (long long)number, SLICE_ARG(name));
			return ERR_VERSION;
		}
		r->applied++;
	}
	return err;
}

static int
apply_missing(struct sqltx *tx, void *arg)
{
	struct migration_run *r = arg;
	char sum[17];
	int err = 0;

	if (!r->has_table)
		err = tx->engine->script(tx->conn, create_table);
	for (size_t i = (size_t)r->applied; err == 0 && i < r->config->migrations_count; i++) {
		const struct sql_migration *m = &r->config->migrations[i];

		ASSERT(m->number == (int)i + 1);
		checksum(m, sum);
		err = tx->engine->script(tx->conn, m->sql);
		if (err == 0)
			err = SQL_EXEC(tx, &text_add, SQLI(m->number), SQLT(slice_z(m->name)), SQLT(slice_z(sum)),
			    SQLI(house_now_us(r->db->house)));
		if (err != 0)
			buf_printf(r->detail, "migration %d, \"%s\", of %s failed and was rolled back: %s (%s).",
			    m->number, m->name, r->config->path, err_text(err), r->db->writer_error);
	}
	return err;
}

/* SNAPSHOT_DIR/mail.db-3-20261122T031500Z, or beside the database. */
static int
snapshot(struct migration_run *r)
{
	char to[SQL_PATH_MAX], when[RFC3339_MAX], id[ULID_LEN + 1];
	const char *path = r->config->path, *slash = strrchr(path, '/');
	int n, err;

	time_rfc3339(house_now_us(r->db->house), when);
	house_ulid(r->db->house, id);
	if (r->config->snapshot_dir != NULL)
		n = snprintf(to, sizeof(to), "%s/%s-%d-%.10s-%s", r->config->snapshot_dir,
		    slash == NULL ? path : slash + 1, r->applied, when, id);
	else
		n = snprintf(to, sizeof(to), "%s-%d-%.10s-%s", path, r->applied, when, id);
	if (n < 0 || (size_t)n >= sizeof(to))
		return ERR_LIMIT;
	err = r->db->engine->snapshot(r->db->writer, to);
	if (err != 0)
		buf_printf(r->detail, "cannot copy %s to %s before it is brought up to date: %s (%s).", path, to,
		    err_text(err), r->db->writer_error);
	else
		LOG(r->db->house, INFO, "sql_snapshot", LOG_Z("database", path), LOG_Z("snapshot", to));
	return err;
}

int
sql_migrate(struct sqldb *db, const struct sqldb_config *c, struct buf *detail)
{
	struct migration_run r = {.db = db, .config = c, .detail = detail};
	bool empty = false;
	int err = db->engine->has_table(db->writer, "sql_migrations", &r.has_table);

	if (err == 0 && !r.has_table)
		err = db->engine->is_empty(db->writer, &empty);
	if (err == 0 && !r.has_table && !empty) {
		buf_printf(detail, "%s is a database, but not one of Posthouse: move it away.", c->path);
		return ERR_DAMAGED;
	}
	if (err == 0 && r.has_table)
		err = sql_run_read(db, db->writer, check_applied, &r);
	if (err != 0 || r.applied == (int)c->migrations_count)
		return err;
	if (r.applied > 0)
		err = snapshot(&r);
	return err != 0 ? err : sql_run_write(db, apply_missing, &r);
}
