/* store_salvage.c: a new mail.db out of what can be read of a damaged one. The damaged files are kept in aside/; nothing is removed.
 * The new one is made beside and durable before it takes the name, so that this can be cut off and begun anew. What it lacks and
 * what does not fit together any more, store_check.c deals with. */
#include "store/store_check.h"

#include "sql/sql_salvage.h"
#include "store/store_index.h"
#include "store/store_journal.h"
#include "store/store_salvage.h"

#include <errno.h>
#include <sys/stat.h>

static int
account_path(const struct store_account *a, const char *tail, char out[STORE_PATH_MAX])
{
	return store_path(a->store, acc_id(a), tail, out);
}

static int
insert_account_row(struct sqltx *tx, void *arg)
{
	struct store_account *a = arg;
	struct account_row row;
	static const uint8_t no_boot[STORE_ID_BYTES];
	int err = row_account_load(tx, a, &row);

	/* Of another boot: the first use skips ahead, as after an unclean end. */
	if (err != ERR_NOTFOUND)
		return err != 0 ? err
				: SQL_EXEC(tx, &store_sql_account_boot, ACC(a), SQLB(slice_of(no_boot, STORE_ID_BYTES)),
				      SQLI(STORE_GAP_MODSEQ));
	/* Its counters are lost: beyond what they can have been. */
	err = SQL_EXEC(tx, &store_sql_account_insert, ACC(a), SQLB(slice_of(no_boot, STORE_ID_BYTES)), SQLI(0));
	if (err == 0)
		err = row_account_load(tx, a, &row);
	row.next_mailbox = 1000000;
	row.modseq = house_now_ms(a->store->house);
	return err != 0 ? err : row_account_save(tx, a, &row);
}

/* An empty database of this version, and afterwards the account's row in it. */
static int
open_new(struct store_account *a, const char *path, sql_fn *then, struct buf *detail)
{
	struct sqldb_config c = {.path = path,
	    .durability = SQL_FULL,
	    .migrations = store_migrations,
	    .migrations_count = store_migrations_count};
	struct sqldb *db = NULL;
	int err = sqldb_open(&db, a->store->house, &c, detail);

	if (err == 0 && then != NULL)
		err = sql_write_blocking(db, then, a);
	sqldb_close(&db);
	return err;
}

static void
remove_database(const char *path)
{
	static const char *const tails[] = {"", "-wal", "-shm"};
	char one[STORE_PATH_MAX + 8];

	for (size_t i = 0; i < COUNT_OF(tails); i++) {
		(void)snprintf(one, sizeof(one), "%s%s", path, tails[i]);
		(void)unlink(one);
	}
}

static int
make_aside(struct store_account *a, char out[STORE_PATH_MAX])
{
	int err = account_path(a, "/aside", out);

	return err == 0 && mkdir(out, 0700) != 0 && errno != EEXIST ? err_from_errno(errno) : err;
}

/* Large messages whose rows are lost are messages all the same: the first use of the new database would remove their files. */
static int
keep_blobs(struct store_account *a, struct salvaging *s)
{
	struct blob_names b = {.a = a};
	struct sqldb_config c = {.path = s->fresh,
	    .durability = SQL_FULL,
	    .migrations = store_migrations,
	    .migrations_count = store_migrations_count};
	struct sqldb *db = NULL;
	int err = make_aside(a, s->aside);

	buf_init(&b.names, 256u << 20);
	if (err == 0)
		err = sqldb_open(&db, a->store->house, &c, s->detail);
	if (err == 0)
		err = sql_read_blocking(db, store_blob_names, &b);
	sqldb_close(&db);
	if (err == 0)
		err = store_blobs_reconcile(a, buf_slice(&b.names), s->aside);
	buf_free(&b.names);
	return err;
}

/* mail.db and its log go to aside/, mail.db.new takes the name. */
static int
exchange(struct store_account *a, struct salvaging *s)
{
	char wal[STORE_PATH_MAX], to[STORE_PATH_MAX + 8], id[ULID_LEN + 1], tail[80];
	int err;

	house_ulid(a->store->house, id);
	(void)snprintf(tail, sizeof(tail), "/aside/mail.db-%s", id);
	if ((err = account_path(a, tail, s->aside)) != 0 || (err = account_path(a, "/mail.db-wal", wal)) != 0)
		return err;
	(void)snprintf(to, sizeof(to), "%s-wal", s->aside);
	/* A second name first: there is a mail.db at every moment. */
	if (link(s->from, s->aside) != 0 || (rename(wal, to) != 0 && errno != ENOENT) || rename(s->fresh, s->from) != 0)
		return err_from_errno(errno);
	remove_database(s->fresh);
	if ((err = account_path(a, "", wal)) != 0)
		return err;
	return store_fsync_dir(wal);
}

int
salvage_account(struct store_account *a, void *arg)
{
	struct salvaging *s = arg;
	int err, read;

	sqldb_close(&a->db);
	journal_close(a, &a->journal);
	if ((err = account_path(a, "/mail.db", s->from)) != 0 || (err = account_path(a, "/mail.db.new", s->fresh)) != 0)
		return err;
	remove_database(s->fresh);
	if ((err = open_new(a, s->fresh, NULL, s->detail)) != 0)
		return err;
	read = sql_salvage(s->from, s->fresh, &s->n, s->detail);
	if (read != 0 && read != ERR_DAMAGED)
		return read;
	s->nothing = read == ERR_DAMAGED || s->n.rows == 0;
	if ((err = open_new(a, s->fresh, insert_account_row, s->detail)) != 0 || (err = keep_blobs(a, s)) != 0)
		return err;
	return exchange(a, s);
}

void
salvage_finish(void *arg, int err)
{
	struct store_account *a = ((struct salvaging *)arg)->a;

	if (err != 0)
		return;
	a->broken = 0;
	unsaved_drop(a);
	store_clear_dirty(a);
	LIST_FOREACH (&a->boxes, n) {
		struct store_box *b = CONTAINER_OF(n, struct store_box, node);

		/* Its sets of keywords are those of the old dictionary. */
		for (size_t i = 0; i < b->n; i++)
			b->v[i].keywords = 0;
		box_gone(b);
	}
	keywords_free(&a->keywords);
}
