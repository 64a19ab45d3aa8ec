/* testvfs.h: a SQLite VFS for tests of power cuts and broken disks. It passes everything on to real files and
 * remembers what each file was when it was last synced; a cut puts the files back to that, or to something between.
 *
 *     testvfs_new(&v, "cut", seed);   config.vfs = "cut";   … work …
 *     testvfs_cut(v, TESTVFS_DROP);   sqldb_close(&db);     sqldb_open(…) again
 *
 * A file that was never synced is gone after a cut; a deleted file comes back unless its directory was synced (asked
 * for, or with the first sync of another new file). What does not go through SQLite is not seen. Any thread. */
#ifndef SQL_TESTVFS_H
#define SQL_TESTVFS_H

#include "base/err.h"

#include <stdint.h>

struct testvfs;

enum testvfs_cut {
	TESTVFS_DROP, /* every write since the file's last sync is lost */
	TESTVFS_TEAR  /* of these writes a random choice of 512-byte sectors reached the disk */
};

enum testvfs_fault {
	TESTVFS_NO_FAULT,
	TESTVFS_WRITE_FULL,  /* ENOSPC */
	TESTVFS_WRITE_ERROR, /* EIO */
	TESTVFS_SYNC_ERROR
};

/* Registers the VFS under `name` (static). The same seed tears alike. */
NODISCARD int testvfs_new(struct testvfs **out, const char *name, uint64_t seed);
/* No database may be open on it any more. */
void testvfs_free(struct testvfs **v);
/* How many syncs were asked for since testvfs_new(). */
uint64_t testvfs_syncs(struct testvfs *v);
/* The power fails just before the n-th sync from now (1 is the next): from then on everything fails and nothing more
 * reaches the files; testvfs_cut() must follow. 0: not at all. */
void testvfs_power_off_at_sync(struct testvfs *v, uint64_t n);
/* True once that has happened. */
int testvfs_is_off(struct testvfs *v);
/* The n-th write or sync from now (1 is the next) and, if `lasting`, all after it fail, until the next call. */
void testvfs_fail(struct testvfs *v, enum testvfs_fault fault, uint64_t n, int lasting);
/* Rewrites the files as a power cut leaves them. Handles that are open now fail from here on: close them. */
NODISCARD int testvfs_cut(struct testvfs *v, enum testvfs_cut how);

#endif
