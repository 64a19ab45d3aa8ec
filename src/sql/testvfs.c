/* testvfs.c: for each file its synced image and the list of writes since. See the header. */
#include "sql/testvfs.h"

#include "base/slice.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <sys/stat.h>

#define SECTOR 512

/* A write, or (data == NULL) a truncation to `at`. */
struct change {
	struct change *next;
	int64_t at;
	size_t n;
	uint8_t *data;
};

struct shadow {
	struct shadow *next;
	char *path;
	bool durable; /* the name survives a cut */
	bool deleted; /* but no sync of the directory has followed: it comes back */
	uint8_t *image;
	size_t image_n, image_cap;
	struct change *first, **last;
};

struct testvfs {
	sqlite3_vfs vfs;
	sqlite3_vfs *real;
	pthread_mutex_t lock;
	struct shadow *shadows;
	uint64_t random, syncs, off_at, fault_at;
	enum testvfs_fault fault;
	bool lasting;
	/* Read without the lock, too: by a read on one thread while the other one's sync cuts the power. */
	_Atomic bool off;
	_Atomic uint32_t generation; /* handles of an earlier one are dead */
};

struct file {
	sqlite3_file base;
	struct testvfs *v;
	struct shadow *shadow; /* NULL: a temporary file */
	uint32_t generation;
};

static sqlite3_file *
real_of(sqlite3_file *f)
{
	return (sqlite3_file *)(void *)((char *)f + sizeof(struct file));
}

/* ---- images ------------------------------------------------------------------------------------------------------ */

static void
must(bool good)
{
	ASSERT(good); /* a test's own disk or memory is exhausted */
}

static void
image_resize(struct shadow *s, size_t n)
{
	size_t cap = n > s->image_cap ? 2 * n : s->image_cap;

	if (cap > s->image_cap) {
		s->image = realloc(s->image, cap);
		must(s->image != NULL);
		s->image_cap = cap;
	}
	if (n > s->image_n)
		memset(s->image + s->image_n, 0, n - s->image_n);
	s->image_n = n;
}

static void
image_write(struct shadow *s, size_t at, const uint8_t *data, size_t n)
{
	if (at + n > s->image_n)
		image_resize(s, at + n);
	memcpy(s->image + at, data, n);
}

static void
drop_changes(struct shadow *s)
{
	struct change *c;

	while ((c = s->first) != NULL) {
		s->first = c->next;
		free(c->data);
		free(c);
	}
	s->last = &s->first;
}

static void
forget_file(struct shadow *s)
{
	drop_changes(s);
	s->durable = s->deleted = false;
	s->image_n = 0;
}

/* The first sync of a new file syncs its directory too (as SQLite's journals do), with all that was deleted there. */
static void
settle_names(struct testvfs *v)
{
	for (struct shadow *s = v->shadows; s != NULL; s = s->next)
		if (s->deleted)
			forget_file(s);
}

/* A sync: all that was written is part of the image. */
static void
settle(struct shadow *s)
{
	for (struct change *c = s->first; c != NULL; c = c->next) {
		if (c->data == NULL)
			image_resize(s, (size_t)c->at);
		else
			image_write(s, (size_t)c->at, c->data, c->n);
	}
	drop_changes(s);
	s->durable = true;
}

static uint64_t
next_random(struct testvfs *v)
{
	v->random = v->random * 6364136223846793005ull + 1442695040888963407ull;
	return v->random >> 33;
}

/* Some sectors of what was written arrive. */
static void
tear(struct testvfs *v, struct shadow *s)
{
	for (struct change *c = s->first; c != NULL; c = c->next) {
		if (c->data == NULL) {
			if (next_random(v) % 2 == 0)
				image_resize(s, (size_t)c->at);
			continue;
		}
		for (size_t done = 0; done < c->n;) {
			size_t at = (size_t)c->at + done, n = SECTOR - at % SECTOR;

			n = n > c->n - done ? c->n - done : n;
			if (next_random(v) % 2 == 0)
				image_write(s, at, c->data + done, n);
			done += n;
		}
	}
	if (s->first != NULL && next_random(v) % 2 == 0)
		s->durable = true;
	drop_changes(s);
}

static void
add_change(struct shadow *s, int64_t at, const void *data, size_t n)
{
	struct change *c = calloc(1, sizeof(*c));

	must(c != NULL);
	c->at = at;
	c->n = n;
	if (data != NULL) {
		c->data = malloc(n + 1);
		must(c->data != NULL);
		memcpy(c->data, data, n);
	}
	*s->last = c;
	s->last = &c->next;
}

/* The shadow of a path; a new one begins with what is on the disk. */
static struct shadow *
shadow_of(struct testvfs *v, const char *path)
{
	struct shadow *s;
	uint8_t block[4096];
	ssize_t n;
	int fd;

	for (s = v->shadows; s != NULL; s = s->next)
		if (strcmp(s->path, path) == 0)
			return s;
	s = calloc(1, sizeof(*s));
	must(s != NULL);
	s->path = strdup(path);
	must(s->path != NULL);
	s->last = &s->first;
	s->next = v->shadows;
	v->shadows = s;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	s->durable = fd >= 0;
	while (fd >= 0 && (n = read(fd, block, sizeof(block))) > 0)
		image_write(s, s->image_n, block, (size_t)n);
	if (fd >= 0)
		close(fd);
	return s;
}

/* ---- files ----------------------------------------------------------------------------------------------------------- */

static bool
is_dead(struct file *f)
{
	return f->shadow != NULL && (f->v->off || f->generation != f->v->generation);
}

/* The code of an injected fault that is due, or SQLITE_OK. */
static int
fault_due(struct testvfs *v, bool sync)
{
	static const int codes[] = {SQLITE_OK, SQLITE_FULL, SQLITE_IOERR_WRITE, SQLITE_IOERR_FSYNC};

	if (v->fault == TESTVFS_NO_FAULT || (v->fault == TESTVFS_SYNC_ERROR) != sync ||
	    (v->fault_at > 0 && --v->fault_at > 0))
		return SQLITE_OK;
	if (v->lasting)
		return codes[v->fault];
	v->fault_at = 0;
	return codes[v->fault == TESTVFS_NO_FAULT ? 0 : v->fault];
}

static void
fault_spent(struct testvfs *v, int rc)
{
	if (rc != SQLITE_OK && !v->lasting)
		v->fault = TESTVFS_NO_FAULT;
}

static int
file_close(sqlite3_file *f)
{
	return real_of(f)->pMethods->xClose(real_of(f));
}

static int
file_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	struct file *t = (struct file *)f;

	return is_dead(t) ? SQLITE_IOERR_READ : real_of(f)->pMethods->xRead(real_of(f), p, n, at);
}

static int
file_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	struct file *t = (struct file *)f;
	int rc;

	if (t->shadow == NULL)
		return real_of(f)->pMethods->xWrite(real_of(f), p, n, at);
	pthread_mutex_lock(&t->v->lock);
	rc = is_dead(t) ? SQLITE_IOERR_WRITE : fault_due(t->v, false);
	fault_spent(t->v, rc);
	if (rc == SQLITE_OK)
		rc = real_of(f)->pMethods->xWrite(real_of(f), p, n, at);
	if (rc == SQLITE_OK)
		add_change(t->shadow, at, p, (size_t)n);
	pthread_mutex_unlock(&t->v->lock);
	return rc;
}

static int
file_truncate(sqlite3_file *f, sqlite3_int64 n)
{
	struct file *t = (struct file *)f;
	int rc;

	if (t->shadow == NULL)
		return real_of(f)->pMethods->xTruncate(real_of(f), n);
	pthread_mutex_lock(&t->v->lock);
	rc = is_dead(t) ? SQLITE_IOERR_TRUNCATE : real_of(f)->pMethods->xTruncate(real_of(f), n);
	if (rc == SQLITE_OK)
		add_change(t->shadow, n, NULL, 0);
	pthread_mutex_unlock(&t->v->lock);
	return rc;
}

static int
file_sync(sqlite3_file *f, int flags)
{
	struct file *t = (struct file *)f;
	int rc;

	(void)flags; /* the real disk need not spin for a test */
	if (t->shadow == NULL)
		return SQLITE_OK;
	pthread_mutex_lock(&t->v->lock);
	t->v->syncs++;
	if (t->v->off_at > 0 && --t->v->off_at == 0)
		t->v->off = true;
	rc = is_dead(t) ? SQLITE_IOERR_FSYNC : fault_due(t->v, true);
	fault_spent(t->v, rc);
	if (rc == SQLITE_OK && !t->shadow->durable)
		settle_names(t->v);
	if (rc == SQLITE_OK)
		settle(t->shadow);
	pthread_mutex_unlock(&t->v->lock);
	return rc;
}

static int
file_size(sqlite3_file *f, sqlite3_int64 *n)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), n);
}
static int
file_lock(sqlite3_file *f, int how)
{
	return real_of(f)->pMethods->xLock(real_of(f), how);
}
static int
file_unlock(sqlite3_file *f, int how)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), how);
}
static int
file_check_lock(sqlite3_file *f, int *held)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), held);
}
static int
file_control(sqlite3_file *f, int op, void *arg)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}
static int
file_sector(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}
static int
file_traits(sqlite3_file *f)
{
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}
static int
file_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
	return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, out);
}
static int
file_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return real_of(f)->pMethods->xShmLock(real_of(f), at, n, flags);
}
static void
file_shm_barrier(sqlite3_file *f)
{
	real_of(f)->pMethods->xShmBarrier(real_of(f));
}
static int
file_shm_unmap(sqlite3_file *f, int erase)
{
	return real_of(f)->pMethods->xShmUnmap(real_of(f), erase);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2, /* no xFetch: nothing is mapped behind our back */
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_lock,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_traits,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

/* ---- the file system ---------------------------------------------------------------------------------------------------- */

static int
vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *f, int flags, int *out_flags)
{
	struct testvfs *v = vfs->pAppData;
	struct file *t = (struct file *)f;
	int rc;

	memset(f, 0, sizeof(*t));
	if (v->off)
		return SQLITE_CANTOPEN;
	if (path != NULL && (flags & SQLITE_OPEN_DELETEONCLOSE) == 0) {
		pthread_mutex_lock(&v->lock);
		t->shadow = shadow_of(v, path);
		if (t->shadow->deleted && (flags & SQLITE_OPEN_CREATE) != 0)
			forget_file(t->shadow);
		pthread_mutex_unlock(&v->lock);
	}
	t->v = v;
	t->generation = v->generation;
	rc = v->real->xOpen(v->real, path, real_of(f), flags, out_flags);
	f->pMethods = rc == SQLITE_OK ? &methods : NULL;
	return rc;
}

static int
vfs_delete(sqlite3_vfs *vfs, const char *path, int sync_dir)
{
	struct testvfs *v = vfs->pAppData;
	struct shadow *s;
	int rc;

	pthread_mutex_lock(&v->lock);
	rc = v->off ? SQLITE_IOERR_DELETE : v->real->xDelete(v->real, path, 0);
	if (rc == SQLITE_OK) {
		s = shadow_of(v, path);
		s->deleted = s->durable;
		if (sync_dir || !s->durable)
			forget_file(s);
	}
	pthread_mutex_unlock(&v->lock);
	return rc;
}

static int
vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *out)
{
	sqlite3_vfs *real = ((struct testvfs *)vfs->pAppData)->real;

	return real->xAccess(real, path, flags, out);
}

static int
vfs_full_path(sqlite3_vfs *vfs, const char *path, int n, char *out)
{
	sqlite3_vfs *real = ((struct testvfs *)vfs->pAppData)->real;

	return real->xFullPathname(real, path, n, out);
}

int
testvfs_new(struct testvfs **out, const char *name, uint64_t seed)
{
	struct testvfs *v = calloc(1, sizeof(*v));

	*out = NULL;
	if (v == NULL)
		return ERR_NOMEM;
	v->real = sqlite3_vfs_find(NULL);
	v->random = seed;
	v->vfs = *v->real;
	v->vfs.pNext = NULL;
	v->vfs.zName = name;
	v->vfs.pAppData = v;
	v->vfs.szOsFile = (int)sizeof(struct file) + v->real->szOsFile;
	v->vfs.xOpen = vfs_open;
	v->vfs.xDelete = vfs_delete;
	v->vfs.xAccess = vfs_access;
	v->vfs.xFullPathname = vfs_full_path;
	pthread_mutex_init(&v->lock, NULL);
	if (sqlite3_vfs_register(&v->vfs, 0) != SQLITE_OK) {
		free(v);
		return ERR_NOMEM;
	}
	*out = v;
	return 0;
}

void
testvfs_free(struct testvfs **vp)
{
	struct testvfs *v = *vp;
	struct shadow *s;

	*vp = NULL;
	if (v == NULL)
		return;
	sqlite3_vfs_unregister(&v->vfs);
	while ((s = v->shadows) != NULL) {
		v->shadows = s->next;
		drop_changes(s);
		free(s->image);
		free(s->path);
		free(s);
	}
	pthread_mutex_destroy(&v->lock);
	free(v);
}

uint64_t
testvfs_syncs(struct testvfs *v)
{
	uint64_t n;

	pthread_mutex_lock(&v->lock);
	n = v->syncs;
	pthread_mutex_unlock(&v->lock);
	return n;
}

void
testvfs_power_off_at_sync(struct testvfs *v, uint64_t n)
{
	pthread_mutex_lock(&v->lock);
	v->off_at = n;
	pthread_mutex_unlock(&v->lock);
}

int
testvfs_is_off(struct testvfs *v)
{
	int off;

	pthread_mutex_lock(&v->lock);
	off = v->off;
	pthread_mutex_unlock(&v->lock);
	return off;
}

void
testvfs_fail(struct testvfs *v, enum testvfs_fault fault, uint64_t n, int lasting)
{
	pthread_mutex_lock(&v->lock);
	v->fault = fault;
	v->fault_at = n;
	v->lasting = lasting != 0;
	pthread_mutex_unlock(&v->lock);
}

/* Writes the image over the real file. */
static int
restore(struct shadow *s)
{
	int fd;
	bool good;

	if (!s->durable) {
		s->image_n = 0;
		return unlink(s->path) == 0 || errno == ENOENT ? 0 : ERR_IO;
	}
	fd = open(s->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return ERR_IO;
	good = s->image_n == 0 || write(fd, s->image, s->image_n) == (ssize_t)s->image_n;
	close(fd);
	return good ? 0 : ERR_IO;
}

int
testvfs_cut(struct testvfs *v, enum testvfs_cut how)
{
	char shm[4096];
	int err = 0;

	pthread_mutex_lock(&v->lock);
	for (struct shadow *s = v->shadows; s != NULL; s = s->next) {
		if (how == TESTVFS_TEAR)
			tear(v, s);
		drop_changes(s);
		s->deleted = false;
		if (restore(s) != 0)
			err = ERR_IO;
		(void)snprintf(shm, sizeof(shm), "%s-shm", s->path); /* memory */
		(void)unlink(shm);
	}
	v->generation++;
	v->off = false;
	v->off_at = 0;
	v->fault = TESTVFS_NO_FAULT;
	pthread_mutex_unlock(&v->lock);
	return err;
}
