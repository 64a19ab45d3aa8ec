/* backup_repo.h: the folder that backups are written to. Everything in it is encrypted (libsodium's secretstream) and named so that
 * whoever has the folder alone learns only how much there is and when it was written.
 *
 *   posthouse-backup     what it is, and a text by which a wrong key is told from a right one
 *   objects/aa/REST      pieces of files by a keyed hash of their content, so that what is there is not written again
 *   snapshots/NAME       one backup: a list of files and their pieces; NAME begins with its time
 *   new/                 pieces of a backup that is being made; what is left there is dropped
 *   lock                 held while something is written
 *
 * A backup exists from the moment when its snapshot has its name; its pieces have been durable before. So it may be cut off
 * anywhere: what was complete stays so, and the next one begins with what is there.
 *
 * Everything here blocks; a repository belongs to one thread. Errors leave a sentence in backup_words(). */
#ifndef BACKUP_BACKUP_REPO_H
#define BACKUP_BACKUP_REPO_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"

#define BACKUP_KEY_BYTES 32
#define BACKUP_ID_BYTES 32
#define BACKUP_PIECE_MAX ((size_t)1 << 20)
#define BACKUP_SNAPSHOT_MAX ((size_t)1 << 30)
#define BACKUP_NAME_MAX 64

struct backup_repo;

struct backup_config {
	struct house *house;
	const char *dir;
	uint8_t key[BACKUP_KEY_BYTES];
	bool write; /* takes the lock; makes the folder if there is none, or an empty one */
	bool check; /* a piece that is there is read, and written again if it is damaged */
	/* Asked before each change of the folder: an error ends the work with it. May be NULL. */
	int (*step)(void *arg);
	void *step_arg;
};

struct backup_counters {
	int64_t pieces, pieces_new; /* put; of these not there before */
	int64_t bytes, bytes_new;   /* the same, before encryption */
};

/* ERR_NOTFOUND: no backup there; ERR_DENIED: made with another key; ERR_BUSY: somebody else writes; ERR_VERSION: of a newer Posthouse;
 * ERR_CONFLICT: the folder has something else in it. `detail` gets a sentence. */
NODISCARD int backup_open(struct backup_repo **out, const struct backup_config *c, struct buf *detail);
void backup_close(struct backup_repo **r); /* sets to NULL; NULL is fine. Drops what has not become a snapshot. */
const char *backup_words(const struct backup_repo *r);
void backup_count(const struct backup_repo *r, struct backup_counters *out);

/* Keeps a piece of at most BACKUP_PIECE_MAX bytes. ERR_FULL. */
NODISCARD int backup_put(struct backup_repo *r, struct slice piece, uint8_t id[BACKUP_ID_BYTES]);
/* Appends a piece to `out`. ERR_NOTFOUND: it is missing; ERR_DAMAGED: it is not what was written. */
NODISCARD int backup_get(struct backup_repo *r, const uint8_t id[BACKUP_ID_BYTES], struct buf *out);

/* Makes everything that was put durable, then the snapshot with this content. */
NODISCARD int backup_save(struct backup_repo *r, struct slice content, char name[BACKUP_NAME_MAX]);
/* Names, the newest first; in `a`. */
NODISCARD int backup_names(struct backup_repo *r, struct arena *a, struct slice_list *out);
/* ERR_NOTFOUND, ERR_DAMAGED. */
NODISCARD int backup_load(struct backup_repo *r, struct slice name, struct buf *out);
NODISCARD int backup_drop(struct backup_repo *r, struct slice name);
/* Removes the pieces whose ids are not in `keep`. *removed, *bytes: how many, and of what size as files. */
NODISCARD int backup_sweep(struct backup_repo *r, const struct map *keep, int64_t *removed, int64_t *bytes);

#endif
