/* restore.h: what the files of `posthouse restore` share. */
#ifndef CLI_RESTORE_H
#define CLI_RESTORE_H

#include "cli/backup.h"

struct restore {
	struct backup_work w;
	struct slice name; /* of the backup */
	json_t *about;     /* its description */
	int64_t files, accounts, damaged;
};

/* A relative path of plain names: not out of the folder, nothing hidden. */
bool restore_path_is_plain(const char *path);
/* Writes one file of the backup below the folder `at`; damage is told and counted. 0 or an exit code (told). */
NODISCARD int restore_file(struct restore *r, int at, const char *path, const json_t *file);

/* The database of an account as a file where it can be opened, whose name goes to `path`; *bad: pieces of it are missing. */
#define RESTORE_PATH_BYTES (HOUSE_PATH_BYTES + 64)
NODISCARD int restore_scratch(struct restore *r, const json_t *file, char path[RESTORE_PATH_BYTES], bool *bad);
void restore_scratch_remove(const char *path);

/* restore_account.c: mail out of the backup into an account of the house: 0 or an exit code (told). */
NODISCARD int restore_into_account(struct restore *r);
/* restore_verify.c: the drill: 0 or an exit code (told). */
NODISCARD int restore_verify(struct restore *r);

#endif
