/* store_copy.c: what an account hands out for a backup: its database as it is at one moment, and its large messages, each as a
 * descriptor for reading. The copy has no name any more when it is handed out. */
#include "store/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* Times of files are those of the last tick of the clock: what changed within this may change again without a trace. */
#define MARK_SETTLED_S 2

/* ---- the mark ------------------------------------------------------------------------------------------ */

struct mark {
	struct store_account *a;
	char *out;
};

static int
mark_before(struct store_account *a, void *arg)
{
	static const char *const names[] = {"/mail.db", "/mail.db-wal"};
	char *out = ((struct mark *)arg)->out, path[STORE_PATH_MAX];
	struct house *h = a->store->house;
	/* Of the file system: a test clock does not move it. */
	int64_t now_s = (house_now_us(h) - atomic_load(&h->clock_offset_us)) / 1000000;
	size_t n = 0;

	out[0] = '\0';
	/* So are those that a run which was cut off has left in its journal. */
	if (store_path(a->store, acc_id(a), "/flags", path) == 0 && a->db == NULL && access(path, F_OK) == 0)
		return 0;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		struct stat st;
		int err = store_path(a->store, acc_id(a), names[i], path);

		if (err != 0)
			return err;
		if (stat(path, &st) != 0 && (i == 0 || errno != ENOENT))
			return err_from_errno(errno);
		if (st.st_mtim.tv_sec > now_s - MARK_SETTLED_S) {
			out[0] = '\0';
			return 0;
		}
		n += (size_t)snprintf(out + n, STORE_MARK_MAX - n, "%s%llx.%llx.%llx.%lx", i == 0 ? "" : "-",
		    (unsigned long long)st.st_ino, (unsigned long long)st.st_size,
		    (unsigned long long)st.st_mtim.tv_sec, (unsigned long)st.st_mtim.tv_nsec);
	}
	return 0;
}

/* Flags that the database does not have yet are a change. */
static int
mark_prepare(void *arg)
{
	struct mark *m = arg;

	m->out[0] = '\0';
	return m->a->unsaved_n > 0;
}

int
store_account_mark(struct store_account *a, char out[STORE_MARK_MAX])
{
	struct mark m = {a, out};
	struct store_op op = {.prepare = mark_prepare, .before = mark_before, .arg = &m, .closed = true};
	int err = store_run(a, &op);

	if (a->unsaved_n > 0) /* the files are about to change */
		out[0] = '\0';
	return err;
}

/* ---- the copy ------------------------------------------------------------------------------------------ */

struct copy {
	struct store_account *a;
	char database[STORE_PATH_MAX], names[STORE_PATH_MAX];
	int names_fd;
	struct buf list;
};

static int
list_blobs(struct sqltx *tx, struct copy *c)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = SQL_QUERY(tx, &q, &store_sql_email_blobs, ACC(c->a));

	buf_reset(&c->list);
	while (err == 0 && (err = sql_next(&q)) == 1) {
		if (sql_col_bytes(&q, 0).n == STORE_BLOB_NAME)
			buf_put(&c->list, sql_col_bytes(&q, 0));
		err = c->list.err;
	}
	return err != 0 ? err : store_file_write(c->names_fd, buf_slice(&c->list));
}

static int
copy_tx(struct sqltx *tx, void *arg)
{
	struct copy *c = arg;
	int err = sql_copy(tx, c->database);

	return err != 0 ? err : list_blobs(tx, c);
}

static int
copy_before(struct store_account *a, void *arg)
{
	struct copy *c = arg;
	char tail[64];
	int err;

	(void)snprintf(tail, sizeof(tail), "/copy-%016llx.db", (unsigned long long)house_random_u64(a->store->house));
	if ((err = store_path(a->store, acc_id(a), tail, c->database)) != 0)
		return err;
	(void)snprintf(c->names, sizeof(c->names), "%.*s.list", (int)(STORE_PATH_MAX - 8), c->database);
	c->names_fd = open(c->names, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return c->names_fd < 0 ? err_from_errno(errno) : 0;
}

int
store_account_copy(struct store_account *a, int *database, int *names)
{
	struct copy c = {.a = a, .names_fd = -1};
	struct store_op op = {.before = copy_before, .tx = copy_tx, .arg = &c};
	int err;

	buf_init(&c.list, 256u << 20);
	*database = *names = -1;
	err = store_run(a, &op);
	if (err == 0 && (*database = open(c.database, O_RDONLY | O_CLOEXEC)) < 0)
		err = err_from_errno(errno);
	/* Not the one that may be written to. */
	if (err == 0 && (*names = open(c.names, O_RDONLY | O_CLOEXEC)) < 0)
		err = err_from_errno(errno);
	if (c.database[0] != '\0')
		(void)unlink(c.database);
	if (c.names[0] != '\0')
		(void)unlink(c.names);
	if (c.names_fd >= 0)
		(void)close(c.names_fd);
	if (err != 0 && *database >= 0) {
		(void)close(*database);
		*database = -1;
	}
	buf_free(&c.list);
	return err;
}

/* ---- large messages -------------------------------------------------------------------------------------- */

struct blob {
	const char *name;
	int fd;
};

static int
blob_before(struct store_account *a, void *arg)
{
	struct blob *b = arg;
	char path[STORE_PATH_MAX];
	int err = store_blob_path(a, b->name, false, path);

	if (err == 0 && (b->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) < 0)
		err = err_from_errno(errno);
	return err;
}

int
store_blob_open(struct store_account *a, struct slice name, int *fd)
{
	char text[STORE_BLOB_NAME + 1];
	struct blob b = {text, -1};
	struct store_op op = {.before = blob_before, .arg = &b, .closed = true};
	int err;

	*fd = -1;
	for (size_t i = 0; i < name.n; i++)
		if (!ascii_is_alnum(slice_at(name, i)))
			return ERR_INVALID;
	if (name.n != STORE_BLOB_NAME || slice_to_z(name, text, sizeof(text)) != 0)
		return ERR_INVALID;
	err = store_run(a, &op);
	*fd = b.fd;
	return err;
}
