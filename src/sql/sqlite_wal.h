/* sqlite_wal.h: a VFS over another that joins the writes of a write-ahead log. SQLite writes each page in two pieces;
 * a commit of some pages becomes one write. Private to the room. */
#ifndef SQL_SQLITE_WAL_H
#define SQL_SQLITE_WAL_H

typedef struct sqlite3 sqlite3;

/* The name of the joining VFS over the VFS `base` (NULL: the default one), registered at the first call; NULL: no memory, or no such VFS.
 * Any thread. */
const char *sqlite_wal_vfs(const char *base);
/* Grows the log of this database, whose journal mode is WAL and whose VFS joins, ahead of what is written: for those that are synced at
 * each commit. A log of another VFS stays as it is. On the connection's thread. */
void sqlite_wal_ahead(sqlite3 *db);

#endif
