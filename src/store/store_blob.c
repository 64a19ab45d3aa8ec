/* store_blob.c: files of an account: its folder, the large messages in blobs/, and the mark in accounts/ that tells
 * whether the last end was clean. Everything here blocks and runs on a worker (or before the loop runs).
 *
 * A file in blobs/ is written as NAME.tmp, renamed to NAME before the row that names it is committed, synced before that
 * commit counts as durable, and removed only after the row's removal is durable. So whatever happens, a durable row
 * has its file; files without a row are removed at the first use after an unclean end.
 *
 * The folder blobs/ also tells whether an account exists: it is made last, when the database is durable, and taken away first,
 * by renaming it to removed/. So a database that is missing beside it was lost, and an account without it was never
 * shown to anybody, or is being removed: making the account finishes either. */
#include "store/store_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

int
store_account_place(struct slice account_id, char out[STORE_PLACE_MAX])
{
	uint32_t h = 0x811c9dc5u; /* FNV-1a: names the folder for good */

	if (!store_account_id_valid(account_id))
		return ERR_INVALID;
	for (size_t i = 0; i < account_id.n; i++)
		h = (h ^ slice_at(account_id, i)) * 0x01000193u;
	h ^= h >> 16;
	(void)snprintf(out, STORE_PLACE_MAX, "%02x/%.*s", h & 0xffu, SLICE_ARG(account_id));
	return 0;
}

int
store_path(const struct store *s, struct slice account_id, const char *tail, char out[STORE_PATH_MAX])
{
	char place[STORE_PLACE_MAX];
	int n, err = store_account_place(account_id, place);

	if (err != 0)
		return err;
	n = snprintf(out, STORE_PATH_MAX, "%s/%s%s", s->dir, place, tail);
	return n < 0 || n >= STORE_PATH_MAX ? ERR_LIMIT : 0;
}

int
store_blob_path(const struct store_account *a, const char *name, bool temporary, char out[STORE_PATH_MAX])
{
	char tail[STORE_BLOB_NAME + 16];

	snprintf(tail, sizeof(tail), "/blobs/%.*s%s", STORE_BLOB_NAME, name, temporary ? ".tmp" : "");
	return store_path(a->store, acc_id(a), tail, out);
}

void
store_blob_name(struct house *h, char out[STORE_BLOB_NAME + 1])
{
	uint8_t id[STORE_BLOB_NAME / 2];

	house_random(h, id, sizeof(id));
	for (size_t i = 0; i < sizeof(id); i++)
		snprintf(out + 2 * i, 3, "%02x", id[i]);
}

int
store_file_write(int fd, struct slice s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? ERR_IO : err_from_errno(errno);
		s = slice_from(s, (size_t)n);
	}
	return 0;
}

int
store_file_read(int fd, uint64_t offset, void *out, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = pread(fd, (uint8_t *)out + done, n - done, (off_t)(offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_from_errno(errno);
		if (got == 0)
			return ERR_DAMAGED;
		done += (size_t)got;
	}
	return 0;
}

static int
sync_path(const char *path, int flags, bool data_only)
{
	int fd = open(path, flags | O_RDONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return err_from_errno(errno);
	if ((data_only ? fdatasync(fd) : fsync(fd)) != 0)
		err = ERR_IO;
	close(fd);
	return err;
}

int
store_fsync_dir(const char *path)
{
	return sync_path(path, O_DIRECTORY, false);
}

static int
make_dir(const char *path)
{
	return mkdir(path, 0700) != 0 && errno != EEXIST ? err_from_errno(errno) : 0;
}

/* Removes the files in a folder (not its folders). */
static int
empty_dir(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	int err = 0;

	if (d == NULL)
		return errno == ENOENT ? 0 : err_from_errno(errno);
	while ((e = readdir(d)) != NULL)
		if (e->d_type != DT_DIR && unlinkat(dirfd(d), e->d_name, 0) != 0 && errno != ENOENT)
			err = err_from_errno(errno);
	closedir(d);
	return err;
}

static int
present(const char *path, bool *yes)
{
	struct stat st;

	*yes = stat(path, &st) == 0;
	return *yes || errno == ENOENT || errno == ENOTDIR ? 0 : err_from_errno(errno);
}

int
store_account_look(const struct store *s, struct slice account_id)
{
	char path[STORE_PATH_MAX], blobs[STORE_PATH_MAX];
	bool made, database;
	int err;

	if ((err = store_path(s, account_id, "/blobs", blobs)) != 0 ||
	    (err = store_path(s, account_id, "/mail.db", path)) != 0 || (err = present(blobs, &made)) != 0 ||
	    (err = present(path, &database)) != 0)
		return err;
	return !made ? ERR_NOTFOUND : database ? 0 : ERR_DAMAGED;
}

/* Removes what is in the folder of an account whose blobs/ is renamed already. */
static int
finish_removal(const char *path, const char *removed)
{
	char aside[STORE_PATH_MAX];
	int err;

	(void)snprintf(aside, sizeof(aside), "%.*s/aside", STORE_PATH_MAX - 8, path);
	if ((err = empty_dir(aside)) != 0 || (rmdir(aside) != 0 && errno != ENOENT))
		return err != 0 ? err : err_from_errno(errno);
	if ((err = empty_dir(path)) != 0 || (err = empty_dir(removed)) != 0 || (err = store_fsync_dir(path)) != 0)
		return err;
	return rmdir(removed) != 0 && errno != ENOENT ? err_from_errno(errno) : 0;
}

int
store_folder_create(const struct store *s, struct slice account_id)
{
	char path[STORE_PATH_MAX], removed[STORE_PATH_MAX];
	char *slash;
	bool begun;
	int err;

	if ((err = store_path(s, account_id, "/removed", removed)) != 0 ||
	    (err = store_path(s, account_id, "", path)) != 0)
		return err;
	slash = strrchr(path, '/');
	*slash = '\0';
	if ((err = make_dir(path)) != 0 || (err = store_fsync_dir(s->dir)) != 0)
		return err;
	*slash = '/';
	if ((err = make_dir(path)) != 0)
		return err;
	*slash = '\0';
	if ((err = store_fsync_dir(path)) != 0)
		return err;
	*slash = '/';
	if ((err = present(removed, &begun)) != 0)
		return err;
	return begun ? finish_removal(path, removed) : 0;
}

int
store_folder_finish(const struct store *s, struct slice account_id)
{
	char path[STORE_PATH_MAX], blobs[STORE_PATH_MAX];
	int err;

	if ((err = store_path(s, account_id, "/blobs", blobs)) != 0 ||
	    (err = store_path(s, account_id, "", path)) != 0 || (err = store_fsync_dir(path)) != 0 ||
	    (err = make_dir(blobs)) != 0 || (err = store_fsync_dir(path)) != 0)
		return err;
	return store_fsync_dir(blobs);
}

int
store_folder_remove(const struct store *s, struct slice account_id)
{
	char path[STORE_PATH_MAX], blobs[STORE_PATH_MAX], removed[STORE_PATH_MAX];
	bool there;
	int err;

	if ((err = store_path(s, account_id, "/blobs", blobs)) != 0 ||
	    (err = store_path(s, account_id, "/removed", removed)) != 0 ||
	    (err = store_path(s, account_id, "", path)) != 0 || (err = present(path, &there)) != 0 || !there)
		return err;
	if (rename(blobs, removed) != 0 && errno != ENOENT)
		return err_from_errno(errno);
	if ((err = store_fsync_dir(path)) != 0 || (err = finish_removal(path, removed)) != 0)
		return err;
	if (rmdir(path) != 0 && errno != ENOENT)
		return err_from_errno(errno);
	*strrchr(path, '/') = '\0';
	return store_fsync_dir(path);
}

/* ---- large messages ----------------------------------------------------------------------------------- */

static bool
sorted_contains(struct slice names, const char *name)
{
	size_t low = 0, high = names.n / STORE_BLOB_NAME;

	while (low < high) {
		size_t mid = (low + high) / 2;
		int c = memcmp(
		    slice_range(names, mid * STORE_BLOB_NAME, (mid + 1) * STORE_BLOB_NAME).p, name, STORE_BLOB_NAME);

		if (c == 0)
			return true;
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

int
store_blobs_reconcile(const struct store_account *a, struct slice keep, const char *aside)
{
	char path[STORE_PATH_MAX], file[STORE_PATH_MAX];
	DIR *d;
	struct dirent *e;
	int err = store_path(a->store, acc_id(a), "/blobs", path);

	if (err != 0)
		return err;
	if ((d = opendir(path)) == NULL)
		return err_from_errno(errno);
	while (err == 0 && (e = readdir(d)) != NULL) {
		if (e->d_type == DT_DIR)
			continue;
		if (strlen(e->d_name) == STORE_BLOB_NAME && sorted_contains(keep, e->d_name)) {
			if ((err = store_blob_path(a, e->d_name, false, file)) == 0)
				err = sync_path(file, 0, true);
		} else if (aside != NULL && strlen(e->d_name) == STORE_BLOB_NAME) {
			(void)snprintf(file, sizeof(file), "%.*s/%.*s.eml", (int)(STORE_PATH_MAX - 64), aside,
			    (int)STORE_BLOB_NAME, e->d_name);
			if (renameat(dirfd(d), e->d_name, AT_FDCWD, file) != 0)
				err = err_from_errno(errno);
		} else {
			(void)unlinkat(dirfd(d), e->d_name, 0);
		}
	}
	closedir(d);
	return err != 0 ? err : store_fsync_dir(path);
}

int
store_blobs_sync(const struct store_account *a, struct slice names)
{
	char path[STORE_PATH_MAX];
	int err;

	if (names.n == 0)
		return 0;
	for (size_t i = 0; i + STORE_BLOB_NAME <= names.n; i += STORE_BLOB_NAME) {
		if ((err = store_blob_path(a, (const char *)slice_from(names, i).p, false, path)) != 0)
			return err;
		if ((err = sync_path(path, 0, true)) != 0 && err != ERR_NOTFOUND) /* expunged meanwhile */
			return err;
	}
	if ((err = store_path(a->store, acc_id(a), "/blobs", path)) != 0)
		return err;
	return store_fsync_dir(path);
}

void
store_blobs_unlink(const struct store_account *a, struct slice names)
{
	char path[STORE_PATH_MAX];

	for (size_t i = 0; i + STORE_BLOB_NAME <= names.n; i += STORE_BLOB_NAME)
		if (store_blob_path(a, (const char *)slice_from(names, i).p, false, path) == 0)
			(void)unlink(path); /* what stays is removed after the next unclean end */
}

/* ---- the mark ------------------------------------------------------------------------------------------- */

static int
mark_path(const struct store *s, const char *tail, char out[STORE_PATH_MAX])
{
	int n = snprintf(out, STORE_PATH_MAX, "%s/desk-%d.boot%s", s->dir, s->index, tail);

	return n < 0 || n >= STORE_PATH_MAX ? ERR_LIMIT : 0;
}

int
store_mark_read(const struct store *s, uint8_t boot[STORE_ID_BYTES], bool *clean)
{
	char path[STORE_PATH_MAX];
	uint8_t mark[STORE_ID_BYTES + 1];
	int fd, err = mark_path(s, "", path);

	*clean = false;
	if (err != 0)
		return err;
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return errno == ENOENT ? 0 : err_from_errno(errno);
	err = store_file_read(fd, 0, mark, sizeof(mark));
	close(fd);
	if (err == 0 && mark[STORE_ID_BYTES] == 'C') {
		memcpy(boot, mark, STORE_ID_BYTES);
		*clean = true;
	}
	return err == ERR_DAMAGED ? 0 : err;
}

int
store_mark_write(const struct store *s, bool clean)
{
	char path[STORE_PATH_MAX], tmp[STORE_PATH_MAX];
	uint8_t mark[STORE_ID_BYTES + 1];
	int fd, err;

	if ((err = mark_path(s, "", path)) != 0 || (err = mark_path(s, ".tmp", tmp)) != 0)
		return err;
	memcpy(mark, s->boot, STORE_ID_BYTES);
	mark[STORE_ID_BYTES] = clean ? 'C' : 'R';
	if ((fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) < 0)
		return err_from_errno(errno);
	err = store_file_write(fd, slice_of(mark, sizeof(mark)));
	if (err == 0 && fsync(fd) != 0)
		err = ERR_IO;
	close(fd);
	if (err == 0 && rename(tmp, path) != 0)
		err = err_from_errno(errno);
	return err != 0 ? err : store_fsync_dir(s->dir);
}
