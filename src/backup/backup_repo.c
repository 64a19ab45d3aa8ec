/* backup_repo.c: see the header. Pieces are written into new/ without waiting for the disk; before the snapshot the whole file
 * system is synced once, they are renamed to where they belong, and it is synced again. So a piece in objects/ is whole after a
 * power cut too. */
#include "backup/backup_repo.h"

#include "backup/backup_seal.h"
#include "base/house.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/stat.h>

#define MARK_NAME "posthouse-backup"
#define MARK_TEXT "This folder is a backup of a Posthouse."
#define ID_HEX (2 * BACKUP_ID_BYTES)
#define PATH_BYTES 128
#define WORDS_BYTES 1024

struct backup_repo {
	struct house *house;
	char dir[4096];
	uint8_t seal_key[BACKUP_KEY_BYTES], id_key[BACKUP_KEY_BYTES];
	int fd, lock_fd;
	bool write, check;
	int (*step)(void *arg);
	void *step_arg;
	struct buf sealed;
	struct backup_counters n;
	char words[WORDS_BYTES];
};

static int say(struct backup_repo *r, int err, const char *fmt, ...) PRINTF_LIKE(3, 4);

static int
say(struct backup_repo *r, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(r->words, sizeof(r->words), fmt, ap);
	va_end(ap);
	return err;
}

/* What the last system call on a path of the folder failed with. */
static int
say_errno(struct backup_repo *r, const char *path)
{
	int number = errno;

	if (number == ENOSPC || number == EDQUOT)
		return say(r, ERR_FULL,
		    "%s is full: make room, or prune old backups; those that are complete are as they were", r->dir);
	return say(r, err_from_errno(number), "%s/%s: %s", r->dir, path, strerror(number));
}

static int
step(struct backup_repo *r)
{
	int err = r->step == NULL ? 0 : r->step(r->step_arg);

	return err == 0 ? 0 : say(r, err, "the work was interrupted; what was complete is as it was");
}

const char *
backup_words(const struct backup_repo *r)
{
	return r->words;
}

void
backup_count(const struct backup_repo *r, struct backup_counters *out)
{
	*out = r->n;
}

/* ---- files ------------------------------------------------------------------------------------------- */

static void
hex(const uint8_t id[BACKUP_ID_BYTES], char out[ID_HEX + 1])
{
	(void)sodium_bin2hex(out, ID_HEX + 1, id, BACKUP_ID_BYTES);
}

static void
piece_path(const uint8_t id[BACKUP_ID_BYTES], bool fresh, char out[PATH_BYTES])
{
	char text[ID_HEX + 1];

	hex(id, text);
	if (fresh)
		(void)snprintf(out, PATH_BYTES, "new/%s", text);
	else
		(void)snprintf(out, PATH_BYTES, "objects/%.2s/%s", text, text + 2);
}

static int
write_file(struct backup_repo *r, const char *path, struct slice s, bool sync)
{
	int fd = openat(r->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), err = 0;

	if (fd < 0)
		return say_errno(r, path);
	while (s.n > 0 && err == 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno != EINTR)
			err = say_errno(r, path);
		else if (n > 0)
			s = slice_from(s, (size_t)n);
	}
	if (err == 0 && sync && fsync(fd) != 0)
		err = say_errno(r, path);
	if (close(fd) != 0 && err == 0)
		err = say_errno(r, path);
	if (err != 0)
		(void)unlinkat(r->fd, path, 0);
	return err;
}

static int
read_file(struct backup_repo *r, const char *path, struct buf *out)
{
	int fd = openat(r->fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), err = 0;
	ssize_t n = 1;

	if (fd < 0 && errno == ENOENT)
		return say(r, ERR_NOTFOUND, "%s/%s is missing", r->dir, path);
	if (fd < 0)
		return say_errno(r, path);
	while (n != 0 && err == 0) {
		uint8_t *at = buf_reserve(out, 65536);

		n = at == NULL ? -1 : read(fd, at, 65536);
		if (n > 0)
			buf_added(out, (size_t)n);
		else if (at == NULL)
			err = say(r, ERR_DAMAGED, "%s/%s is longer than it was written", r->dir, path);
		else if (n < 0 && errno != EINTR)
			err = say_errno(r, path);
	}
	(void)close(fd);
	return err;
}

static int
each_name(
    struct backup_repo *r, const char *folder, int (*fn)(struct backup_repo *r, const char *name, void *arg), void *arg)
{
	int fd = openat(r->fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), err = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (d == NULL) {
		if (fd >= 0)
			(void)close(fd);
		return errno == ENOENT ? 0 : say_errno(r, folder);
	}
	while (err == 0 && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			err = fn(r, e->d_name, arg);
	(void)closedir(d);
	return err;
}

/* ---- opening ----------------------------------------------------------------------------------------- */

static int
refuse_name(struct backup_repo *r, const char *name, void *arg)
{
	(void)arg;
	/* What the making of this folder may have left. */
	if (strcmp(name, "lock") == 0 || strcmp(name, "lost+found") == 0 || strcmp(name, MARK_NAME ".tmp") == 0 ||
	    strcmp(name, "objects") == 0 || strcmp(name, "snapshots") == 0 || strcmp(name, "new") == 0)
		return 0;
	return say(r, ERR_CONFLICT,
	    "%s has something else in it (%s): a backup needs a folder of its own, empty at first", r->dir, name);
}

static int
make_folders(struct backup_repo *r)
{
	static const char *const names[] = {"objects", "snapshots", "new"};
	char path[PATH_BYTES];

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (mkdirat(r->fd, names[i], 0700) != 0 && errno != EEXIST)
			return say_errno(r, names[i]);
	for (int i = 0; i < 256; i++) {
		(void)snprintf(path, sizeof(path), "objects/%02x", i);
		if (mkdirat(r->fd, path, 0700) != 0 && errno != EEXIST)
			return say_errno(r, path);
	}
	return 0;
}

/* The mark comes last: a folder with one is whole. */
static int
make_mark(struct backup_repo *r)
{
	int err = each_name(r, ".", refuse_name, NULL);

	if (err == 0)
		err = step(r);
	if (err == 0)
		err = make_folders(r);
	buf_reset(&r->sealed);
	if (err == 0)
		err = backup_seal(r->seal_key, SLICE(MARK_NAME), SLICE(MARK_TEXT), &r->sealed);
	if (err == 0)
		err = write_file(r, MARK_NAME ".tmp", buf_slice(&r->sealed), true);
	if (err == 0)
		err = step(r);
	if (err == 0 && renameat(r->fd, MARK_NAME ".tmp", r->fd, MARK_NAME) != 0)
		err = say_errno(r, MARK_NAME);
	if (err == 0 && fsync(r->fd) != 0)
		err = say_errno(r, ".");
	return err;
}

static int
check_mark(struct backup_repo *r)
{
	struct buf plain BUF_CLEANUP;
	int err;

	buf_init(&plain, 4096);
	buf_reset(&r->sealed);
	err = read_file(r, MARK_NAME, &r->sealed);
	if (err == ERR_NOTFOUND && r->write)
		return make_mark(r);
	if (err == ERR_NOTFOUND)
		return say(r, err, "there is no backup in %s", r->dir);
	if (err != 0)
		return err;
	err = backup_unseal(r->seal_key, SLICE(MARK_NAME), buf_slice(&r->sealed), &plain);
	if (err == ERR_VERSION)
		return say(r, err, "%s was written by a newer version of Posthouse: use that one", r->dir);
	if (err != 0)
		return say(r, ERR_DENIED,
		    "the key is not the one of the backup in %s (or its file %s is damaged); `posthouse backup key` "
		    "shows the key of a house",
		    r->dir, MARK_NAME);
	return 0;
}

static int
remove_new(struct backup_repo *r, const char *name, void *arg)
{
	char path[PATH_BYTES * 4];

	(void)arg;
	(void)snprintf(path, sizeof(path), "new/%s", name);
	return unlinkat(r->fd, path, 0) != 0 && errno != ENOENT ? say_errno(r, path) : 0;
}

static int
take_lock(struct backup_repo *r)
{
	r->lock_fd = openat(r->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (r->lock_fd < 0)
		return say_errno(r, "lock");
	if (flock(r->lock_fd, LOCK_EX | LOCK_NB) != 0)
		return say(r, ERR_BUSY, "another backup is being written to %s: wait for its end", r->dir);
	return 0;
}

static int
open_folder(struct backup_repo *r)
{
	int err = 0;

	if (r->write && mkdir(r->dir, 0700) != 0 && errno != EEXIST)
		return say(r, err_from_errno(errno), "the folder %s cannot be made: %s", r->dir, strerror(errno));
	r->fd = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->fd < 0)
		return say(r, err_from_errno(errno), "%s cannot be opened: %s", r->dir, strerror(errno));
	if (r->write)
		err = take_lock(r);
	if (err == 0)
		err = check_mark(r);
	if (err == 0 && r->write)
		err = make_folders(r);
	if (err == 0 && r->write)
		err = each_name(r, "new", remove_new, NULL);
	return err;
}

int
backup_open(struct backup_repo **out, const struct backup_config *c, struct buf *detail)
{
	struct backup_repo *r = calloc(1, sizeof(*r));
	int err;

	*out = NULL;
	if (r == NULL || sodium_init() < 0 || strlen(c->dir) >= sizeof(r->dir)) {
		free(r);
		return ERR_NOMEM;
	}
	r->house = c->house;
	r->write = c->write;
	r->check = c->check;
	r->step = c->step;
	r->step_arg = c->step_arg;
	r->fd = r->lock_fd = -1;
	(void)snprintf(r->dir, sizeof(r->dir), "%s", c->dir);
	buf_init(&r->sealed, BACKUP_SNAPSHOT_MAX + BACKUP_SEAL_EXTRA);
	(void)crypto_kdf_derive_from_key(r->seal_key, sizeof(r->seal_key), 1, "phbackup", c->key);
	(void)crypto_kdf_derive_from_key(r->id_key, sizeof(r->id_key), 2, "phbackup", c->key);
	err = open_folder(r);
	if (err != 0) {
		buf_put_z(detail, r->words);
		backup_close(&r);
	}
	*out = r;
	return err;
}

void
backup_close(struct backup_repo **rp)
{
	struct backup_repo *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	if (r->lock_fd >= 0) {
		if (r->fd >= 0)
			(void)!each_name(r, "new", remove_new, NULL);
		(void)close(r->lock_fd);
	}
	if (r->fd >= 0)
		(void)close(r->fd);
	buf_free(&r->sealed);
	sodium_memzero(r, sizeof(*r));
	free(r);
}

/* ---- pieces ------------------------------------------------------------------------------------------ */

static bool
is_whole(struct backup_repo *r, const uint8_t id[BACKUP_ID_BYTES])
{
	struct buf piece BUF_CLEANUP;

	buf_init(&piece, BACKUP_PIECE_MAX + 1);
	return backup_get(r, id, &piece) == 0;
}

int
backup_put(struct backup_repo *r, struct slice piece, uint8_t id[BACKUP_ID_BYTES])
{
	char there[PATH_BYTES], fresh[PATH_BYTES];
	struct stat st;
	int err;

	ASSERT(r->write && piece.n <= BACKUP_PIECE_MAX);
	(void)crypto_generichash(id, BACKUP_ID_BYTES, piece.p, piece.n, r->id_key, sizeof(r->id_key));
	piece_path(id, false, there);
	piece_path(id, true, fresh);
	r->n.pieces++;
	r->n.bytes += (int64_t)piece.n;
	if (fstatat(r->fd, fresh, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	/* One of another length was damaged since: it is written anew. */
	if (fstatat(r->fd, there, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_size == (off_t)(piece.n + BACKUP_SEAL_EXTRA) && (!r->check || is_whole(r, id)))
		return 0;
	if ((err = step(r)) != 0)
		return err;
	buf_reset(&r->sealed);
	err = backup_seal(r->seal_key, slice_of(id, BACKUP_ID_BYTES), piece, &r->sealed);
	if (err != 0)
		return say(r, err, "no memory for a piece");
	r->n.pieces_new++;
	r->n.bytes_new += (int64_t)piece.n;
	return write_file(r, fresh, buf_slice(&r->sealed), false);
}

int
backup_get(struct backup_repo *r, const uint8_t id[BACKUP_ID_BYTES], struct buf *out)
{
	char path[PATH_BYTES];
	uint8_t check[BACKUP_ID_BYTES];
	size_t before = out->n;
	struct slice piece;
	int err;

	piece_path(id, false, path);
	buf_reset(&r->sealed);
	if ((err = read_file(r, path, &r->sealed)) != 0)
		return err;
	err = backup_unseal(r->seal_key, slice_of(id, BACKUP_ID_BYTES), buf_slice(&r->sealed), out);
	if (err == ERR_DAMAGED || err == ERR_VERSION)
		return say(r, ERR_DAMAGED, "%s/%s is damaged", r->dir, path);
	if (err != 0)
		return say(r, err, "no memory for a piece");
	piece = slice_from(buf_slice(out), before);
	(void)crypto_generichash(check, sizeof(check), piece.p, piece.n, r->id_key, sizeof(r->id_key));
	return memcmp(check, id, sizeof(check)) == 0 ? 0 : say(r, ERR_DAMAGED, "%s/%s is another piece", r->dir, path);
}

/* ---- snapshots --------------------------------------------------------------------------------------- */

static int
settle_piece(struct backup_repo *r, const char *name, void *arg)
{
	char from[PATH_BYTES * 4], to[PATH_BYTES * 4];

	(void)arg;
	if (strlen(name) != ID_HEX)
		return 0;
	(void)snprintf(from, sizeof(from), "new/%s", name);
	(void)snprintf(to, sizeof(to), "objects/%.2s/%s", name, name + 2);
	return renameat(r->fd, from, r->fd, to) != 0 ? say_errno(r, to) : 0;
}

static int
sync_all(struct backup_repo *r)
{
	return syncfs(r->fd) != 0 ? say_errno(r, ".") : 0;
}

int
backup_save(struct backup_repo *r, struct slice content, char name[BACKUP_NAME_MAX])
{
	char path[PATH_BYTES], tmp[PATH_BYTES], when[RFC3339_MAX], ulid[ULID_LEN + 1];
	int err;

	ASSERT(r->write && content.n <= BACKUP_SNAPSHOT_MAX);
	time_rfc3339(house_now_us(r->house), when);
	house_ulid(r->house, ulid);
	(void)snprintf(name, BACKUP_NAME_MAX, "%.4s%.2s%.2sT%.2s%.2s%.2s.%.3sZ-%.6s", when, when + 5, when + 8,
	    when + 11, when + 14, when + 17, when + 20, ulid + ULID_LEN - 6);
	(void)snprintf(path, sizeof(path), "snapshots/%s", name);
	(void)snprintf(tmp, sizeof(tmp), "new/%s", name);
	buf_reset(&r->sealed);
	err = backup_seal(r->seal_key, slice_z(name), content, &r->sealed);
	if (err != 0)
		return say(r, err, "no memory for the list of files");
	if ((err = step(r)) != 0 || (err = sync_all(r)) != 0 || (err = step(r)) != 0 ||
	    (err = each_name(r, "new", settle_piece, NULL)) != 0 || (err = step(r)) != 0 || (err = sync_all(r)) != 0 ||
	    (err = step(r)) != 0 || (err = write_file(r, tmp, buf_slice(&r->sealed), true)) != 0 ||
	    (err = step(r)) != 0)
		return err;
	if (renameat(r->fd, tmp, r->fd, path) != 0)
		return say_errno(r, path);
	return sync_all(r);
}

struct names {
	struct arena *a;
	struct slice *v;
	size_t n, cap;
};

static int
add_name(struct backup_repo *r, const char *name, void *arg)
{
	struct names *l = arg;
	struct slice *v;

	if (strlen(name) >= BACKUP_NAME_MAX || strchr(name, '-') == NULL)
		return 0;
	v = arena_grow(l->a, l->v, l->n, &l->cap, sizeof(*v), 1u << 20);
	if (v == NULL)
		return say(r, ERR_LIMIT, "%s has too many backups", r->dir);
	l->v = v;
	l->v[l->n++] = arena_copy(l->a, slice_z(name));
	return 0;
}

static int
newest_first(const void *x, const void *y)
{
	return slice_cmp(*(const struct slice *)y, *(const struct slice *)x);
}

int
backup_names(struct backup_repo *r, struct arena *a, struct slice_list *out)
{
	struct names l = {.a = a};
	int err = each_name(r, "snapshots", add_name, &l);

	if (l.n > 1)
		qsort(l.v, l.n, sizeof(*l.v), newest_first);
	*out = (struct slice_list){l.v, l.n};
	return err;
}

static int
snapshot_path(struct backup_repo *r, struct slice name, char path[PATH_BYTES])
{
	if (name.n == 0 || name.n >= BACKUP_NAME_MAX || slice_find_byte(name, '/') != SLICE_NONE ||
	    slice_at(name, 0) == '.')
		return say(r, ERR_NOTFOUND, "there is no backup %.*s", SLICE_ARG(name));
	(void)snprintf(path, PATH_BYTES, "snapshots/%.*s", SLICE_ARG(name));
	return 0;
}

int
backup_load(struct backup_repo *r, struct slice name, struct buf *out)
{
	char path[PATH_BYTES];
	int err = snapshot_path(r, name, path);

	buf_reset(&r->sealed);
	if (err == 0)
		err = read_file(r, path, &r->sealed);
	if (err != 0)
		return err;
	err = backup_unseal(r->seal_key, name, buf_slice(&r->sealed), out);
	return err == 0 ? 0 : say(r, err == ERR_VERSION ? ERR_DAMAGED : err, "%s/%s is damaged", r->dir, path);
}

int
backup_drop(struct backup_repo *r, struct slice name)
{
	char path[PATH_BYTES];
	int err = snapshot_path(r, name, path);

	if (err == 0)
		err = step(r);
	if (err == 0 && unlinkat(r->fd, path, 0) != 0)
		err = say_errno(r, path);
	return err;
}

struct sweep {
	const struct map *keep;
	char folder[PATH_BYTES];
	int64_t *removed, *bytes;
};

static int
sweep_piece(struct backup_repo *r, const char *name, void *arg)
{
	struct sweep *s = arg;
	char text[ID_HEX + 1], path[PATH_BYTES * 4];
	uint8_t id[BACKUP_ID_BYTES];
	struct stat st;
	size_t n = 0;
	int err;

	if (snprintf(text, sizeof(text), "%s%s", s->folder + sizeof("objects/") - 1, name) != ID_HEX ||
	    sodium_hex2bin(id, sizeof(id), text, ID_HEX, NULL, &n, NULL) != 0 || n != sizeof(id))
		return 0; /* nothing of ours */
	if (map_get(s->keep, slice_of(id, sizeof(id))) != NULL)
		return 0;
	(void)snprintf(path, sizeof(path), "%s/%s", s->folder, name);
	if ((err = step(r)) != 0)
		return err;
	if (fstatat(r->fd, path, &st, AT_SYMLINK_NOFOLLOW) != 0 || unlinkat(r->fd, path, 0) != 0)
		return say_errno(r, path);
	++*s->removed;
	*s->bytes += st.st_size;
	return 0;
}

int
backup_sweep(struct backup_repo *r, const struct map *keep, int64_t *removed, int64_t *bytes)
{
	struct sweep s = {.keep = keep, .removed = removed, .bytes = bytes};
	/* That a snapshot is gone must be durable before its pieces go. */
	int err = sync_all(r);

	*removed = *bytes = 0;
	for (int i = 0; i < 256 && err == 0; i++) {
		(void)snprintf(s.folder, sizeof(s.folder), "objects/%02x", i);
		err = each_name(r, s.folder, sweep_piece, &s);
	}
	return err;
}
