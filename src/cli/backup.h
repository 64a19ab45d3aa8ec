/* backup.h: what `posthouse backup` and `posthouse restore` share. */
#ifndef CLI_BACKUP_H
#define CLI_BACKUP_H

#include "backup/backup_file.h"
#include "backup/backup_keep.h"
#include "cli/cli.h"

#define BACKUP_SILENCE_S 3600 /* a copy of a large database */

/* A backup as it is described: {"posthouse_backup":1,"version","made_at","files":[FILE],"accounts":[ACCOUNT]}. FILE is that of
 * backup/backup_file.h; ACCOUNT is {"id","address","mark","size","tree":FILE}, the tree {"files":[FILE]}. */
#define BACKUP_FORM 1

struct backup_work {
	struct cli *c;
	struct house house;
	struct cli_where where;
	struct cli_quiet quiet;
	int fd; /* to the house; -1: none */
	struct backup_repo *repo;
};

/* Finds the house and, with `reach`, connects to it: 0 or an exit code (told). The work is to be ended in any case. */
NODISCARD int backup_begin(struct backup_work *w, struct cli *c, bool reach);
int backup_end(struct backup_work *w, int code);
/* Asks the house; told when it fails. `args` is used up. */
NODISCARD int backup_ask(
    struct backup_work *w, const char *command, json_t *args, struct cli_reply *reply, struct cli_fds *fds);
/* Opens the folder of backups with the key of --key-file or --key-stdin, else with that of the house. */
NODISCARD int backup_open_repo(struct backup_work *w, const char *dir, bool write);
/* An error of the repository, told, as an exit code. */
int backup_fail(struct backup_work *w, int err);
/* The description of a backup: of the name, or with NULL the newest. *name lies in `a`. ERR_NOTFOUND: there is none. */
NODISCARD int backup_describe(
    struct backup_work *w, const char *wanted, struct arena *a, struct slice *name, json_t **out);
/* Prunes by a rule: told when it fails. Adds what was done to `row`. */
NODISCARD int backup_prune(struct backup_work *w, const struct backup_rule *rule, json_t *row);
/* Prints one row. */
void backup_print(struct cli *c, json_t *row);

#endif
