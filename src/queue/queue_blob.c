/* queue_blob.c: large bodies as files. The role that receives writes into queue/blobs/tmp/NAME through a descriptor
 * that it is handed; at acceptance the file is synced, renamed to queue/blobs/ID and the folder synced, before
 * the commit that makes the message exist. Files of messages that do not exist are swept at the start. */
#include "queue/queue_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define BLOB_AGE_MS_MAX 3600000
#define BLOB_IDLE_MS_MAX 30000 /* nobody writes it any more, and it is not submitted: it was refused */
#define BLOB_LOOK_MS 5000
#define START_BYTES ((size_t)65536)
#define DISK_CHECK_MS 1000

struct blob {
	char name[QUEUE_BLOB_NAME_MAX];
	uint64_t owner;
	int64_t made_ms;
	int64_t idle_since_ms; /* 0: somebody has it open for writing */
	struct list_node node;
};

static int
open_dir(int at, const char *path, int *fd)
{
	if (mkdirat(at, path, 0700) != 0 && errno != EEXIST)
		return err_from_errno(errno);
	*fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return *fd < 0 ? err_from_errno(errno) : 0;
}

int
blob_dirs_open(struct queue *q, struct buf *detail)
{
	int dir = -1, err = open_dir(AT_FDCWD, q->dir, &dir);

	if (err == 0)
		err = open_dir(dir, "blobs", &q->blobs_fd);
	if (err == 0)
		err = open_dir(q->blobs_fd, "tmp", &q->tmp_fd);
	/* The folders themselves must survive what is put into them. */
	if (err == 0 && (fsync(dir) != 0 || fsync(q->blobs_fd) != 0))
		err = ERR_IO;
	if (err != 0)
		buf_printf(detail, "cannot open %s/blobs: %s: check that the folder belongs to this user.", q->dir,
		    err_text(err));
	if (dir >= 0)
		close(dir);
	return err;
}

/* ---- the sweep ------------------------------------------------------------------------------------- */

static int
each_file(int fd, int (*fn)(void *arg, const char *name), void *arg)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	if (d == NULL) {
		if (copy >= 0)
			close(copy);
		return ERR_IO;
	}
	while (err == 0 && (e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && strcmp(e->d_name, "tmp") != 0)
			err = fn(arg, e->d_name);
	closedir(d);
	return err;
}

static int
remove_tmp(void *arg, const char *name)
{
	struct queue *q = arg;

	(void)unlinkat(q->tmp_fd, name, 0);
	return 0;
}

struct sweep {
	struct queue *q;
	struct sqltx *tx;
};

static int
remove_orphan(void *arg, const char *name)
{
	struct sweep *s = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err;

	if (!ulid_is_valid(slice_z(name)))
		return 0; /* not ours */
	err = SQL_QUERY(s->tx, &r, &queue_sql_content_in_file, SQLT(slice_z(name)));
	if (err == 0)
		err = sql_next(&r);
	if (err == 0 || (err == 1 && sql_col_int(&r, 0) == 0)) {
		LOG(s->q->house, INFO, "blob_swept", LOG_Z("id", name));
		(void)unlinkat(s->q->blobs_fd, name, 0);
	}
	return err < 0 ? err : 0;
}

static int
sweep_blobs(struct sqltx *tx, void *arg)
{
	struct sweep *s = arg;

	s->tx = tx;
	return each_file(s->q->blobs_fd, remove_orphan, s);
}

int
blob_sweep(struct queue *q, struct buf *detail)
{
	struct sweep s = {.q = q};
	int err = each_file(q->tmp_fd, remove_tmp, q);

	if (err == 0)
		err = sql_read(q->db, sweep_blobs, &s);
	if (err != 0)
		buf_printf(detail, "cannot read %s/blobs: %s.", q->dir, err_text(err));
	return err;
}

/* ---- files that are being written ------------------------------------------------------------------------ */

static void
forget_blob(struct queue *q, struct blob *b, bool remove)
{
	if (remove)
		(void)unlinkat(q->tmp_fd, b->name, 0);
	map_remove(&q->blobs, slice_z(b->name));
	list_remove(&b->node);
	free(b);
}

void
blob_init(struct queue *q)
{
	q->blobs_fd = q->tmp_fd = -1;
	list_init(&q->blobs_list);
	map_init(&q->blobs, (size_t)q->house->limits.queue_blobs, house_random_u64(q->house));
}

void
blob_close(struct queue *q)
{
	LIST_FOREACH (&q->blobs_list, n)
		forget_blob(q, CONTAINER_OF(n, struct blob, node), true);
	map_free(&q->blobs);
	if (q->blobs_fd >= 0)
		close(q->blobs_fd);
	if (q->tmp_fd >= 0)
		close(q->tmp_fd);
}

int
queue_blob_create(struct queue *q, uint64_t owner, char name[QUEUE_BLOB_NAME_MAX], int *fd)
{
	struct blob *b;
	char id[ULID_LEN + 1];

	if (q->failed != 0 || q->stopping)
		return ERR_UNAVAILABLE;
	if (blob_disk_low(q))
		return ERR_FULL;
	if (q->blobs.n >= (size_t)q->house->limits.queue_blobs)
		return ERR_LIMIT;
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return ERR_NOMEM;
	house_ulid(q->house, id);
	(void)snprintf(b->name, sizeof(b->name), "%s", id);
	b->owner = owner;
	b->made_ms = house_mono_ms(q->house);
	*fd = openat(q->tmp_fd, b->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*fd < 0 || map_put(&q->blobs, slice_z(b->name), b) != 0) {
		int err = *fd < 0 ? err_from_errno(errno) : ERR_NOMEM;

		if (*fd >= 0) {
			close(*fd);
			(void)unlinkat(q->tmp_fd, b->name, 0);
		}
		free(b);
		return err;
	}
	list_push(&q->blobs_list, &b->node);
	memcpy(name, b->name, QUEUE_BLOB_NAME_MAX);
	return 0;
}

void
queue_blob_owner_gone(struct queue *q, uint64_t owner)
{
	LIST_FOREACH (&q->blobs_list, n) {
		struct blob *b = CONTAINER_OF(n, struct blob, node);

		if (b->owner == owner)
			forget_blob(q, b, true);
	}
}

/* A read lease is granted only while nobody has the file open for writing (fcntl(2)). */
static bool
is_being_written(struct queue *q, const struct blob *b)
{
	int fd = openat(q->tmp_fd, b->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool written = fd >= 0 && fcntl(fd, F_SETLEASE, F_RDLCK) != 0;

	if (fd >= 0)
		close(fd); /* and with it the lease */
	return written;
}

void
blob_expire(struct queue *q, int64_t now_ms)
{
	if (now_ms - q->blobs_looked_ms < BLOB_LOOK_MS)
		return;
	q->blobs_looked_ms = now_ms;
	LIST_FOREACH (&q->blobs_list, n) {
		struct blob *b = CONTAINER_OF(n, struct blob, node);

		if (is_being_written(q, b))
			b->idle_since_ms = 0;
		else if (b->idle_since_ms == 0)
			b->idle_since_ms = now_ms;
		if (now_ms - b->made_ms > BLOB_AGE_MS_MAX ||
		    (b->idle_since_ms != 0 && now_ms - b->idle_since_ms > BLOB_IDLE_MS_MAX))
			forget_blob(q, b, true);
	}
}

/* ---- looking into it ----------------------------------------------------------------------------------------- */

struct peek {
	struct queue *q;
	char name[QUEUE_BLOB_NAME_MAX];
	uint8_t *to;
	size_t max, n;
};

/* On a worker thread. */
static int
read_start(void *arg)
{
	struct peek *p = arg;
	int fd = openat(p->q->tmp_fd, p->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t got;

	if (fd < 0)
		return err_from_errno(errno);
	got = pread(fd, p->to, p->max, 0);
	close(fd);
	p->n = got < 0 ? 0 : (size_t)got;
	return got < 0 ? ERR_IO : 0;
}

int
queue_blob_start(struct queue *q, struct slice name, uint64_t owner, size_t max, struct buf *out)
{
	struct blob *b = map_get(&q->blobs, name);
	struct peek p = {.q = q, .max = max};
	int err;

	if (b == NULL || b->owner != owner)
		return ERR_NOTFOUND;
	memcpy(p.name, b->name, sizeof(p.name));
	p.to = buf_reserve(out, max);
	if (p.to == NULL)
		return out->err;
	err = work_run(q->c.workers, read_start, &p);
	if (err == 0)
		buf_added(out, p.n);
	return err;
}

int
queue_blob_open(struct queue *q, struct slice name, uint64_t owner)
{
	const struct blob *b = map_get(&q->blobs, name);
	int fd;

	if (b == NULL || b->owner != owner)
		return ERR_NOTFOUND;
	fd = openat(q->tmp_fd, b->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? err_from_errno(errno) : fd;
}

/* ---- acceptance ------------------------------------------------------------------------------------------- */

struct take {
	struct queue *q;
	char from[QUEUE_BLOB_NAME_MAX];
	char to[ULID_LEN + 1];
	uint8_t *start;
	size_t start_n;
	bool sync_failed;
};

/* On a worker thread. */
static int
take_file(void *arg)
{
	struct take *t = arg;
	int fd = openat(t->q->tmp_fd, t->from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), err = 0;
	ssize_t got;

	if (fd < 0)
		return err_from_errno(errno);
	got = pread(fd, t->start, START_BYTES, 0);
	if (got < 0)
		err = ERR_IO;
	else
		t->start_n = (size_t)got;
	if (err == 0 && fsync(fd) != 0) {
		t->sync_failed = errno != ENOSPC && errno != EDQUOT;
		err = err_from_errno(errno);
	}
	close(fd);
	/* link() refuses a name that is taken: another message's body is never replaced. */
	if (err == 0 && linkat(t->q->tmp_fd, t->from, t->q->blobs_fd, t->to, 0) != 0)
		err = err_from_errno(errno);
	else if (err == 0 && fsync(t->q->blobs_fd) != 0) {
		t->sync_failed = true;
		err = ERR_IO;
	}
	(void)unlinkat(t->q->tmp_fd, t->from, 0);
	return err;
}

int
blob_take(struct queue *q, struct slice name, uint64_t owner, struct slice id, struct arena *a, struct slice *start)
{
	struct blob *b = map_get(&q->blobs, name);
	struct take t = {.q = q};
	int err;

	*start = SLICE_EMPTY;
	if (b == NULL || b->owner != owner)
		return ERR_NOTFOUND;
	memcpy(t.from, b->name, sizeof(t.from));
	err = slice_to_z(id, t.to, sizeof(t.to));
	t.start = arena_alloc(a, START_BYTES);
	if (err != 0 || t.start == NULL)
		return err != 0 ? err : ERR_NOMEM;
	forget_blob(q, b, false);
	err = work_run(q->c.workers, take_file, &t);
	if (t.sync_failed)
		finish_storage_failed(q, ERR_IO, "a body could not be synced");
	*start = slice_of(t.start, t.start_n);
	return err;
}

void
blob_discard(struct queue *q, struct slice id)
{
	finish_unlink(q, id);
}

int
blob_open(struct queue *q, struct slice id)
{
	char name[ULID_LEN + 1];
	int fd, err = slice_to_z(id, name, sizeof(name));

	if (err != 0)
		return err;
	fd = openat(q->blobs_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? err_from_errno(errno) : fd;
}

bool
blob_disk_low(struct queue *q)
{
	struct statvfs v;
	int64_t now_ms = house_mono_ms(q->house);

	if (q->disk_checked_ms != 0 && now_ms - q->disk_checked_ms < DISK_CHECK_MS)
		return q->disk_low;
	q->disk_checked_ms = now_ms;
	if (fstatvfs(q->blobs_fd, &v) == 0) {
		int64_t free_bytes = (int64_t)v.f_bavail * (int64_t)v.f_frsize;
		int64_t free_files = v.f_files == 0 ? INT64_MAX : (int64_t)v.f_favail;
		bool low = free_bytes < q->house->limits.low_disk_bytes || free_files < q->house->limits.low_disk_files;

		if (low && !q->disk_low)
			LOG(q->house, ERROR, "disk_low", LOG_I("free_bytes", free_bytes),
			    LOG_I("free_files", free_files), LOG_I("low_disk_bytes", q->house->limits.low_disk_bytes),
			    LOG_Z("do",
				"free space on the disk of the data folder; until then new mail is asked to come "
				"again"));
		else if (!low && q->disk_low)
			LOG(q->house, INFO, "disk_has_room", LOG_I("free_bytes", free_bytes));
		q->disk_low = low;
	}
	return q->disk_low;
}

bool
queue_disk_low(struct queue *q)
{
	return blob_disk_low(q);
}
