/* sqlite_wal.c: what is appended to a write-ahead log gathers in memory until the frame of a commit is whole, which is
 * when SQLite makes the commit visible, or until the file is read, synced or anything else. So nobody can tell the
 * difference: a commit's frames are in the file before SQLite shows them to other connections, before a sync, and before COMMIT
 * returns; an error of writing them is that commit's. Everything that is not an append goes straight to the file.
 *
 * A log that is synced at each commit is grown ahead of what is written, with zeros: a sync then has no new size to write beside the data,
 * which costs the disk about as much again. Zeros are no frame (their checksum is wrong), so whoever reads the log stops at them.
 *
 * Format of a frame (sqlite.org/fileformat2.html §4.1): a header of 24 bytes, whose bytes 4 to 7 are not zero in the last frame of a
 * commit, and a page. */
#include "sql/sqlite_wal.h"

#include "base/slice.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#define WAL_HEADER 32
#define FRAME_HEADER 24
#define JOIN_BYTES 65536
#define AHEAD_BYTES (1 << 20)
#define NAME_MAX_BYTES 64

struct wal_file {
	sqlite3_file file;
	sqlite3_file *real; /* behind this struct */
	uint8_t *joined;    /* JOIN_BYTES; NULL while nothing waits */
	int n;
	sqlite3_int64 at;   /* where the joined bytes begin in the file */
	sqlite3_int64 end;  /* of what was written, with what waits */
	bool commit;        /* the frame whose header came last ends a commit */
	bool ahead;         /* grown ahead of what is written */
	sqlite3_int64 size; /* of the file, when it is */
};

static void
wal_drop(struct wal_file *w)
{
	free(w->joined);
	w->joined = NULL;
}

/* Writes to the file; where that makes it longer, it becomes AHEAD_BYTES longer still. */
static int
file_write(struct wal_file *w, const void *p, int n, sqlite3_int64 at)
{
	static const uint8_t zeros[65536];
	int rc = w->real->pMethods->xWrite(w->real, p, n, at);
	sqlite3_int64 end = at + n;

	if (rc != SQLITE_OK || !w->ahead || end <= w->size)
		return rc;
	for (w->size = end; w->size < end + AHEAD_BYTES; w->size += (int)sizeof(zeros))
		if (w->real->pMethods->xWrite(w->real, zeros, (int)sizeof(zeros), w->size) != SQLITE_OK) {
			w->ahead = false; /* a full disk, say: the log itself may still find room */
			break;
		}
	return SQLITE_OK;
}

/* On failure the bytes stay: whoever asked may not be who wrote them, and their transaction may go on without
 * hearing of it. Its next write, or its commit, tries again. */
static int
wal_flush(struct wal_file *w)
{
	int rc;

	if (w->joined == NULL)
		return SQLITE_OK;
	rc = file_write(w, w->joined, w->n, w->at);
	if (rc == SQLITE_OK)
		wal_drop(w);
	return rc;
}

/* For who writes: on failure SQLite rolls the transaction back, and nothing of it may come later. */
static int
wal_flush_own(struct wal_file *w)
{
	int rc = wal_flush(w);

	wal_drop(w);
	return rc;
}

/* Does the header of this frame, whose bytes 4 to 7 are the size of the database then, end a commit? */
static bool
ends_commit(const uint8_t *b, int n)
{
	return n == FRAME_HEADER && (b[4] | b[5] | b[6] | b[7]) != 0;
}

static int
write_through(struct wal_file *w, const void *p, int n, sqlite3_int64 at)
{
	int rc = wal_flush_own(w);

	w->commit = ends_commit(p, n);
	return rc == SQLITE_OK ? file_write(w, p, n, at) : rc;
}

/* Appends to what waits; false: no memory or no room. */
static bool
join(struct wal_file *w, const void *p, int n, sqlite3_int64 at)
{
	if (w->joined == NULL) {
		w->joined = malloc(JOIN_BYTES);
		if (w->joined == NULL)
			return false;
		w->n = 0;
		w->at = at;
	}
	if (n > JOIN_BYTES - w->n)
		return false;
	memcpy(w->joined + w->n, p, (size_t)n);
	w->n += n;
	return true;
}

static int
wal_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	struct wal_file *w = (struct wal_file *)f;
	bool ends;
	int rc;

	if (at < w->end || (at == 0 && n == WAL_HEADER)) {
		/* A new frame, or a new log, where what waits begins or before it: its transaction was rolled back. */
		if (w->joined != NULL && at <= w->at && (n == FRAME_HEADER || at == 0))
			wal_drop(w);
		rc = write_through(w, p, n, at);
		if (at == 0)
			w->end = n; /* it begins anew */
		else if (at + n > w->end)
			w->end = at + n;
		return rc;
	}
	ends = n != FRAME_HEADER && w->commit;
	if (at > w->end && (rc = wal_flush_own(w)) != SQLITE_OK)
		return rc;
	w->end = at + n;
	if (!join(w, p, n, at)) {
		if ((rc = wal_flush_own(w)) != SQLITE_OK)
			return rc;
		if (!join(w, p, n, at))
			return write_through(w, p, n, at);
	}
	w->commit = ends_commit(p, n);
	return ends ? wal_flush_own(w) : SQLITE_OK;
}

/* ---- everything else: what waits goes first ------------------------------------------------------------------ */

static int
wal_close(sqlite3_file *f)
{
	struct wal_file *w = (struct wal_file *)f;
	int rc = wal_flush_own(w), closed = w->real->pMethods->xClose(w->real);

	return rc != SQLITE_OK ? rc : closed;
}

static int
wal_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	struct wal_file *w = (struct wal_file *)f;
	int rc = wal_flush(w);

	return rc == SQLITE_OK ? w->real->pMethods->xRead(w->real, p, n, at) : rc;
}

static int
wal_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	struct wal_file *w = (struct wal_file *)f;
	int rc = wal_flush(w);

	if (rc != SQLITE_OK)
		return rc;
	w->end = w->size = size;
	return w->real->pMethods->xTruncate(w->real, size);
}

static int
wal_sync(sqlite3_file *f, int flags)
{
	struct wal_file *w = (struct wal_file *)f;
	int rc = wal_flush_own(w);

	return rc == SQLITE_OK ? w->real->pMethods->xSync(w->real, flags) : rc;
}

static int
wal_size(sqlite3_file *f, sqlite3_int64 *size)
{
	struct wal_file *w = (struct wal_file *)f;
	int rc = wal_flush(w);

	return rc == SQLITE_OK ? w->real->pMethods->xFileSize(w->real, size) : rc;
}

static int
wal_control(sqlite3_file *f, int op, void *arg)
{
	struct wal_file *w = (struct wal_file *)f;
	int rc = wal_flush(w);

	return rc == SQLITE_OK ? w->real->pMethods->xFileControl(w->real, op, arg) : rc;
}

static int
wal_lock(sqlite3_file *f, int level)
{
	sqlite3_file *real = ((struct wal_file *)f)->real;

	return real->pMethods->xLock(real, level);
}

static int
wal_unlock(sqlite3_file *f, int level)
{
	sqlite3_file *real = ((struct wal_file *)f)->real;

	return real->pMethods->xUnlock(real, level);
}

static int
wal_reserved(sqlite3_file *f, int *out)
{
	sqlite3_file *real = ((struct wal_file *)f)->real;

	return real->pMethods->xCheckReservedLock(real, out);
}

static int
wal_sector(sqlite3_file *f)
{
	sqlite3_file *real = ((struct wal_file *)f)->real;

	return real->pMethods->xSectorSize(real);
}

static int
wal_character(sqlite3_file *f)
{
	sqlite3_file *real = ((struct wal_file *)f)->real;

	return real->pMethods->xDeviceCharacteristics(real);
}

static const sqlite3_io_methods wal_methods = {
    .iVersion = 1,
    .xClose = wal_close,
    .xRead = wal_read,
    .xWrite = wal_write,
    .xTruncate = wal_truncate,
    .xSync = wal_sync,
    .xFileSize = wal_size,
    .xLock = wal_lock,
    .xUnlock = wal_unlock,
    .xCheckReservedLock = wal_reserved,
    .xFileControl = wal_control,
    .xSectorSize = wal_sector,
    .xDeviceCharacteristics = wal_character,
};

void
sqlite_wal_ahead(sqlite3 *db)
{
	sqlite3_file *f = NULL;
	struct wal_file *w;

	if (sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &f) != SQLITE_OK || f == NULL ||
	    f->pMethods != &wal_methods)
		return;
	w = (struct wal_file *)f;
	w->ahead = w->real->pMethods->xFileSize(w->real, &w->size) == SQLITE_OK;
}

/* ---- the VFS ----------------------------------------------------------------------------------------------------- */

/* One of ours; they live as long as the process. */
struct joining {
	sqlite3_vfs vfs;
	struct joining *next;
	char name[NAME_MAX_BYTES]; /* "wal-" and the name of the base */
};

/* The base by its name, since tests register theirs anew. */
static sqlite3_vfs *
base_of(sqlite3_vfs *v)
{
	return sqlite3_vfs_find(v->zName + 4);
}

static int
vfs_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out_flags)
{
	sqlite3_vfs *base = base_of(v);
	struct wal_file *w = (struct wal_file *)f;
	int rc;

	f->pMethods = NULL;
	if (base == NULL || base->szOsFile + (int)sizeof(*w) > v->szOsFile)
		return SQLITE_CANTOPEN;
	/* The others are the base's own, and what it keeps of them stays right. */
	if ((flags & SQLITE_OPEN_WAL) == 0)
		return base->xOpen(base, name, f, flags, out_flags);
	memset(w, 0, sizeof(*w));
	w->real = (sqlite3_file *)(w + 1);
	rc = base->xOpen(base, name, w->real, flags, out_flags);
	if (rc == SQLITE_OK)
		f->pMethods = &wal_methods;
	else if (w->real->pMethods != NULL)
		(void)w->real->pMethods->xClose(w->real);
	return rc;
}

static int
vfs_delete(sqlite3_vfs *v, const char *name, int sync_dir)
{
	sqlite3_vfs *base = base_of(v);

	return base == NULL ? SQLITE_IOERR_DELETE : base->xDelete(base, name, sync_dir);
}

static int
vfs_access(sqlite3_vfs *v, const char *name, int flags, int *out)
{
	sqlite3_vfs *base = base_of(v);

	return base == NULL ? SQLITE_IOERR_ACCESS : base->xAccess(base, name, flags, out);
}

static int
vfs_full_path(sqlite3_vfs *v, const char *name, int n, char *out)
{
	sqlite3_vfs *base = base_of(v);

	return base == NULL ? SQLITE_CANTOPEN : base->xFullPathname(base, name, n, out);
}

static int
vfs_randomness(sqlite3_vfs *v, int n, char *out)
{
	sqlite3_vfs *base = base_of(v);

	return base == NULL ? 0 : base->xRandomness(base, n, out);
}

static int
vfs_sleep(sqlite3_vfs *v, int us)
{
	sqlite3_vfs *base = base_of(v);

	return base == NULL ? 0 : base->xSleep(base, us);
}

static int
vfs_time(sqlite3_vfs *v, double *days)
{
	sqlite3_vfs *base = base_of(v);

	return base == NULL ? SQLITE_ERROR : base->xCurrentTime(base, days);
}

static int
vfs_last_error(sqlite3_vfs *v, int n, char *out)
{
	sqlite3_vfs *base = base_of(v);

	return base == NULL || base->xGetLastError == NULL ? 0 : base->xGetLastError(base, n, out);
}

static struct joining *
joining_new(const sqlite3_vfs *base)
{
	struct joining *j = calloc(1, sizeof(*j));
	int n;

	if (j == NULL)
		return NULL;
	n = snprintf(j->name, sizeof(j->name), "wal-%s", base->zName);
	j->vfs = (sqlite3_vfs){.iVersion = 1,
	    .szOsFile = base->szOsFile + (int)sizeof(struct wal_file),
	    .mxPathname = base->mxPathname,
	    .zName = j->name,
	    .xOpen = vfs_open,
	    .xDelete = vfs_delete,
	    .xAccess = vfs_access,
	    .xFullPathname = vfs_full_path,
	    .xRandomness = vfs_randomness,
	    .xSleep = vfs_sleep,
	    .xCurrentTime = vfs_time,
	    .xGetLastError = vfs_last_error};
	if (n < 0 || (size_t)n >= sizeof(j->name) || sqlite3_vfs_register(&j->vfs, 0) != SQLITE_OK) {
		free(j);
		return NULL;
	}
	return j;
}

/* SQLite counts its memory under one lock for all threads, and nobody asks for the sum. */
static void
no_memory_count(void)
{
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* too late when a test has started SQLite: it counts, then */
}

const char *
sqlite_wal_vfs(const char *base_name)
{
	static pthread_once_t configured = PTHREAD_ONCE_INIT;
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct joining *all;
	struct joining *j;
	sqlite3_vfs *base;

	pthread_once(&configured, no_memory_count);
	base = sqlite3_initialize() == SQLITE_OK ? sqlite3_vfs_find(base_name) : NULL;
	if (base == NULL)
		return NULL;
	pthread_mutex_lock(&lock);
	for (j = all; j != NULL && strcmp(j->name + 4, base->zName) != 0; j = j->next)
		;
	if (j == NULL && (j = joining_new(base)) != NULL) {
		j->next = all;
		all = j;
	}
	pthread_mutex_unlock(&lock);
	return j == NULL ? NULL : j->name;
}
