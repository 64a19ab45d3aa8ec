/* cli_restore.c: `posthouse restore SOURCE`: a whole house, into a folder that has none. All of it is written below DIR/restoring and
 * made durable; then its parts are renamed to where they belong, and the house's lock is held all the while. A folder in which
 * that was cut off is not served, and the next restore into it begins anew.
 *
 * What is damaged in the backup is restored as far as it can be and told: the house then mends itself of it (`posthouse fsck`). */
#include "cli/restore.h"

#include "role/keeper.h"
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define RESTORING "restoring"

/* ---- files ----------------------------------------------------------------------------------------------- */

bool
restore_path_is_plain(const char *path)
{
	struct slice rest = slice_z(path);

	if (rest.n == 0 || rest.n > 512)
		return false;
	while (rest.p != NULL) {
		struct slice part = slice_cut(&rest, '/');

		if (part.n == 0 || slice_at(part, 0) == '.')
			return false;
	}
	return true;
}

/* Makes the folders above a path below `at`. */
static int
make_parents(int at, const char *path)
{
	char part[1024];

	for (size_t i = 1; path[i] != '\0' && i < sizeof(part); i++) {
		if (path[i] != '/')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdirat(at, part, 0700) != 0 && errno != EEXIST)
			return err_from_errno(errno);
	}
	return 0;
}

int
restore_file(struct restore *r, int at, const char *path, const json_t *file)
{
	int64_t damaged = 0;
	int fd, code, err = restore_path_is_plain(path) ? make_parents(at, path) : ERR_INVALID;

	if (err != 0)
		return cli_fail(r->w.c, EX_DATAERR, "the backup has a file in a strange place");
	fd = openat(at, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return cli_fail(r->w.c, EX_CANTCREAT, "%s cannot be written: %s", path, strerror(errno));
	err = backup_file_get(r->w.repo, file, fd, true, &damaged);
	(void)close(fd);
	code = err == 0 ? 0
	    : err == ERR_FULL
	    ? cli_fail(r->w.c, EX_TEMPFAIL, "there is no room for %s: make some, then restore again", path)
	    : backup_fail(&r->w, err);
	r->files++;
	if (damaged > 0) {
		r->damaged++;
		(void)cli_fail(
		    r->w.c, 0, "%s is damaged in the backup: %lld of its pieces are missing", path, (long long)damaged);
	}
	return code;
}

int
restore_scratch(struct restore *r, const json_t *file, char path[RESTORE_PATH_BYTES], bool *bad)
{
	const char *dir = cli_text(r->w.c, "scratch");
	int64_t damaged = 0;
	int fd, err;

	(void)snprintf(path, RESTORE_PATH_BYTES, "%s/posthouse-restore-XXXXXX", dir == NULL ? "/var/tmp" : dir);
	fd = mkstemp(path);
	if (fd < 0)
		return cli_fail(r->w.c, EX_CANTCREAT, "%s cannot be made: %s; --scratch DIR names another folder", path,
		    strerror(errno));
	err = backup_file_get(r->w.repo, file, fd, true, &damaged);
	(void)close(fd);
	*bad = damaged > 0;
	if (err == 0)
		return 0;
	(void)unlink(path);
	return err == ERR_FULL
	    ? cli_fail(r->w.c, EX_TEMPFAIL, "there is no room for %s; --scratch DIR names another folder", path)
	    : backup_fail(&r->w, err);
}

void
restore_scratch_remove(const char *path)
{
	static const char *const tails[] = {"", "-wal", "-shm"};
	char one[RESTORE_PATH_BYTES + 8];

	for (size_t i = 0; i < COUNT_OF(tails); i++) {
		(void)snprintf(one, sizeof(one), "%s%s", path, tails[i]);
		(void)unlink(one);
	}
}

static int
restore_account(struct restore *r, int at, const json_t *account)
{
	const char *id = json_string_value(json_object_get(account, "id")), *address;
	char place[STORE_PLACE_MAX], path[1024];
	json_t *tree = NULL, *file;
	size_t i;
	int code = 0, err = id == NULL ? ERR_INVALID : store_account_place(slice_z(id), place);

	address = json_string_value(json_object_get(account, "address"));
	if (err == 0)
		err = backup_tree_get(r->w.repo, json_object_get(account, "tree"), &tree);
	if (err != 0) {
		r->damaged++;
		(void)cli_fail(r->w.c, 0, "the account %s is damaged in the backup, and left out",
		    address == NULL ? "?" : address);
		return 0;
	}
	(void)snprintf(path, sizeof(path), "accounts/%s/blobs/x", place);
	if (make_parents(at, path) != 0)
		code = cli_fail(r->w.c, EX_CANTCREAT, "%s cannot be made: %s", path, strerror(errno));
	json_array_foreach(json_object_get(tree, "files"), i, file)
	{
		const char *name = json_string_value(json_object_get(file, "path"));

		if (code != 0)
			break;
		if (snprintf(path, sizeof(path), "accounts/%s/%s", place, name == NULL ? "" : name) >=
		    (int)sizeof(path))
			path[0] = '\0';
		code = restore_file(r, at, path, file);
	}
	json_decref(tree);
	r->accounts++;
	return code;
}

/* ---- the folder -------------------------------------------------------------------------------------------- */

static void
remove_tree(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (unlinkat(fd, e->d_name, 0) != 0 && (errno == EISDIR || errno == EPERM))
			remove_tree(fd, e->d_name);
	}
	if (d != NULL)
		(void)closedir(d);
	else if (fd >= 0)
		(void)close(fd);
	(void)unlinkat(at, name, AT_REMOVEDIR);
}

static const char *const parts[] = {"secrets", "books", "accounts", "posthouse.conf"};

/* The folder of the new house, with its lock; nothing of a house in it but what an earlier restore has left. */
static int
open_target(struct restore *r, int *dir, int *lock)
{
	struct backup_work *w = &r->w;
	struct buf detail BUF_CLEANUP;
	bool again;

	*dir = *lock = -1;
	buf_init(&detail, 8192);
	if (house_make_folder(w->where.dir, 0700, &detail) != 0 || house_lock(w->where.dir, lock, &detail) != 0)
		return cli_fail(w->c, EX_CANTCREAT, "%.*s", SLICE_ARG(slice_trim(buf_slice(&detail))));
	*dir = open(w->where.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*dir < 0)
		return cli_fail(w->c, EX_CANTCREAT, "%s cannot be opened: %s", w->where.dir, strerror(errno));
	again = faccessat(*dir, RESTORING, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		if (faccessat(*dir, parts[i], F_OK, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		if (!again)
			return cli_fail(w->c, EX_CANTCREAT,
			    "there is a house in %s (it has %s): restore into an empty folder, --dir DIR, or bring "
			    "back "
			    "one account with --account",
			    w->where.dir, parts[i]);
		if (unlinkat(*dir, parts[i], 0) != 0)
			remove_tree(*dir, parts[i]);
	}
	remove_tree(*dir, RESTORING);
	return mkdirat(*dir, RESTORING, 0700) != 0
	    ? cli_fail(w->c, EX_CANTCREAT, "%s/%s cannot be made: %s", w->where.dir, RESTORING, strerror(errno))
	    : 0;
}

/* From here on it is a house. */
static int
settle(struct restore *r, int dir)
{
	char from[64];

	if (syncfs(dir) != 0)
		return cli_fail(r->w.c, EX_IOERR, "the disk cannot be synced: %s", strerror(errno));
	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		(void)snprintf(from, sizeof(from), RESTORING "/%s", parts[i]);
		if (renameat(dir, from, dir, parts[i]) != 0 && errno != ENOENT)
			return cli_fail(r->w.c, EX_IOERR, "%s/%s cannot be put in its place: %s", r->w.where.dir,
			    parts[i], strerror(errno));
	}
	if (syncfs(dir) != 0)
		return cli_fail(r->w.c, EX_IOERR, "the disk cannot be synced: %s", strerror(errno));
	remove_tree(dir, RESTORING);
	return syncfs(dir) != 0 ? cli_fail(r->w.c, EX_IOERR, "the disk cannot be synced: %s", strerror(errno)) : 0;
}

static int
write_house(struct restore *r, int dir)
{
	int at = openat(dir, RESTORING, O_RDONLY | O_DIRECTORY | O_CLOEXEC), code = 0;
	json_t *one;
	size_t i;

	if (at < 0)
		return cli_fail(r->w.c, EX_IOERR, "%s/%s: %s", r->w.where.dir, RESTORING, strerror(errno));
	json_array_foreach(json_object_get(r->about, "files"), i, one)
	{
		const char *path = json_string_value(json_object_get(one, "path"));

		if (code == 0)
			code = restore_file(r, at, path == NULL ? "" : path, one);
	}
	json_array_foreach(json_object_get(r->about, "accounts"), i, one)
	{
		if (code == 0)
			code = restore_account(r, at, one);
	}
	(void)close(at);
	return code;
}

static int
restore_house(struct restore *r)
{
	int dir, lock, code = open_target(r, &dir, &lock);

	if (code == 0)
		code = write_house(r, dir);
	if (code == 0)
		code = settle(r, dir);
	if (dir >= 0)
		(void)close(dir);
	if (lock >= 0)
		(void)close(lock);
	return code;
}

/* ---- the command -------------------------------------------------------------------------------------------- */

static int
open_backup(struct restore *r, struct arena *a)
{
	struct cli *c = r->w.c;
	int code = backup_open_repo(&r->w, cli_text(c, "source"), false), err;

	if (code != 0)
		return code;
	err = backup_describe(&r->w, cli_text(c, "backup"), a, &r->name, &r->about);
	if (err == ERR_NOTFOUND)
		return cli_fail(c, EX_NOINPUT, "%s has no%s backup%s%s; `posthouse backup list` shows them",
		    cli_text(c, "source"), cli_text(c, "backup") == NULL ? " complete" : " such",
		    cli_text(c, "backup") == NULL ? "" : ": ",
		    cli_text(c, "backup") == NULL ? "" : cli_text(c, "backup"));
	return err == 0 ? 0 : backup_fail(&r->w, err);
}

/* A house that is to come has no key yet. */
static int
check_key(struct cli *c)
{
	if (cli_text(c, "key_file") != NULL || cli_text(c, "key") != NULL)
		return 0;
	return cli_fail(c, EX_USAGE,
	    "a house is restored with the key of its backups, as `posthouse backup key` has shown it: --key-file FILE "
	    "or --key-stdin");
}

int
cli_restore(struct cli *c)
{
	struct restore r = {.accounts = 0};
	struct arena a ARENA_CLEANUP;
	bool verify = cli_flag(c, "verify"), into = cli_text(c, "account") != NULL;
	json_t *row = NULL;
	int code;

	arena_init(&a, (size_t)64 << 20);
	code = backup_begin(&r.w, c, false);
	if (code == 0 && !verify && !into)
		code = check_key(c);
	if (code == 0)
		code = open_backup(&r, &a);
	if (code == 0)
		code = verify ? restore_verify(&r) : into ? restore_into_account(&r) : restore_house(&r);
	if (code == 0 && !verify && !into) {
		row = json_pack("{s:s, s:s%, s:I, s:I, s:I}", "dir", r.w.where.dir, "backup", (const char *)r.name.p,
		    r.name.n, "files", (json_int_t)r.files, "accounts", (json_int_t)r.accounts, "damaged",
		    (json_int_t)r.damaged);
		backup_print(c, row);
		json_decref(row);
		code = r.damaged > 0 ? EX_DATAERR : EX_OK;
	}
	json_decref(r.about);
	return backup_end(&r.w, code);
}
