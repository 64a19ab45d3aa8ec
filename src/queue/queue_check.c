/* queue_check.c: do the queue's rows and files belong together? */
#include "queue/queue_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#define FLAWS_MAX 10000

struct flaws {
	struct queue *q;
	struct arena *a;
	struct queue_flaw *v;
	size_t n, cap;
};

static int
add(struct flaws *f, const char *kind, struct slice detail)
{
	struct queue_flaw *v;

	if (f->n == FLAWS_MAX)
		return 0;
	v = arena_grow(f->a, f->v, f->n, &f->cap, sizeof(*v), FLAWS_MAX);
	if (v == NULL || arena_failed(f->a))
		return ERR_LIMIT;
	f->v = v;
	f->v[f->n++] = (struct queue_flaw){kind, detail};
	return 0;
}

/* Messages whose body should be a file. */
static int
check_files(struct sqltx *tx, struct flaws *f)
{
	struct sql_rows SQL_ROWS_CLEANUP r = {0};
	int err = SQL_QUERY(tx, &r, &queue_sql_check_in_file, );

	while (err == 0 && (err = sql_next(&r)) == 1) {
		struct slice id = sql_col_bytes(&r, 0);
		char name[QUEUE_BLOB_NAME_MAX];

		err = slice_to_z(id, name, sizeof(name));
		if (err == 0 && faccessat(f->q->blobs_fd, name, R_OK, AT_SYMLINK_NOFOLLOW) != 0)
			err = add(f, "file_missing",
			    arena_printf(f->a,
				"the body of message %s is gone: bring books/queue/blobs/%s back from a backup, or "
				"remove the message",
				name, name));
	}
	return err;
}

static int
check_rows(struct sqltx *tx, struct flaws *f, const struct sql_text *t, const char *kind, const char *what)
{
	struct sql_rows SQL_ROWS_CLEANUP r = {0};
	int err = SQL_QUERY(tx, &r, t, );

	while (err == 0 && (err = sql_next(&r)) == 1)
		err = add(f, kind, arena_printf(f->a, "%s %.*s", what, SLICE_ARG(sql_col_bytes(&r, 0))));
	return err;
}

static int
check_tx(struct sqltx *tx, void *arg)
{
	struct flaws *f = arg;
	int err;

	f->n = 0;
	err = check_files(tx, f);
	if (err == 0)
		err = check_rows(
		    tx, f, &queue_sql_check_no_content, "message_without_content", "nothing is kept of message");
	if (err == 0)
		err = check_rows(tx, f, &queue_sql_check_no_message, "recipient_without_message",
		    "there are recipients of no message");
	return err;
}

int
queue_check(struct queue *q, struct arena *a, struct queue_flaw **v, size_t *n)
{
	struct flaws f = {.q = q, .a = a};
	int err = sql_read(q->db, check_tx, &f);

	*v = f.v;
	*n = f.n;
	return err;
}
