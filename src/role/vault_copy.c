/* vault_copy.c: what the vault gives for a backup: its files, for reading, and the key that the backup is encrypted with. Both go to
 * who may command the house, by way of the clerk. */
#include "role/vault_private.h"
#include "role/vault_files.h"

#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>

#define NAMES_MAX 1000
#define DEPTH_MAX 3

struct copying {
	struct vault *v;
	char path[VAULT_PATH_MAX];
	int fd;
	struct arena *a;
	struct slice *names;
	size_t n, cap;
};

static int
secret_path(struct vault *v, struct slice name, char out[VAULT_PATH_MAX])
{
	int n = snprintf(out, VAULT_PATH_MAX, "%s/secrets%s%.*s", v->data_dir, name.n == 0 ? "" : "/", SLICE_ARG(name));

	return n < 0 || n >= VAULT_PATH_MAX ? ERR_LIMIT : 0;
}

/* ---- the database -------------------------------------------------------------------------------------- */

static int
copy_tx(struct sqltx *tx, void *arg)
{
	struct copying *c = arg;
	int err;

	(void)unlink(c->path); /* of one that was cut off */
	err = sql_copy(tx, c->path);
	if (err == 0 && (c->fd = open(c->path, O_RDONLY | O_CLOEXEC)) < 0)
		err = err_from_errno(errno);
	(void)unlink(c->path);
	return err;
}

/* ---- the other files ------------------------------------------------------------------------------------- */

/* The database and what belongs to it are copied, not listed. */
static bool
is_listed(const char *name)
{
	return name[0] != '.' && strncmp(name, "vault.db", 8) != 0 && strncmp(name, "copy.db", 7) != 0;
}

static int list_folder(struct copying *c, struct slice below, int depth);

static int
list_one(struct copying *c, struct slice below, const struct dirent *e, int depth)
{
	struct slice name = arena_printf(c->a, "%.*s%s%s", SLICE_ARG(below), below.n == 0 ? "" : "/", e->d_name), *v;

	if (arena_failed(c->a) || !slice_is_utf8(name, true))
		return arena_failed(c->a) ? ERR_LIMIT : 0;
	if (e->d_type == DT_DIR)
		return depth < DEPTH_MAX ? list_folder(c, name, depth + 1) : 0;
	if (e->d_type != DT_REG)
		return 0;
	v = arena_grow(c->a, c->names, c->n, &c->cap, sizeof(*v), NAMES_MAX);
	if (v == NULL)
		return ERR_LIMIT;
	c->names = v;
	c->names[c->n++] = name;
	return 0;
}

static int
list_folder(struct copying *c, struct slice below, int depth)
{
	char path[VAULT_PATH_MAX];
	struct dirent *e;
	DIR *d;
	int err = secret_path(c->v, below, path);

	if (err != 0 || (d = opendir(path)) == NULL)
		return err != 0 ? err : err_from_errno(errno);
	while (err == 0 && (e = readdir(d)) != NULL)
		if (is_listed(e->d_name))
			err = list_one(c, below, e, depth);
	(void)closedir(d);
	return err;
}

/* One of the files that are listed: no path leads out of the folder. */
static int
open_file(struct copying *c, struct slice name)
{
	struct slice rest = name;
	int err;

	while (rest.p != NULL && rest.n > 0) {
		struct slice part = slice_cut(&rest, '/');

		if (part.n == 0 || slice_at(part, 0) == '.')
			return ERR_INVALID;
	}
	if ((err = secret_path(c->v, name, c->path)) != 0)
		return err;
	c->fd = open(c->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	return c->fd < 0 ? err_from_errno(errno) : 0;
}

int
vault_on_copy(struct vault *v, struct bus_peer *from, struct bus_vault_copy_request *q, struct arena *a,
    struct bus_vault_copy_reply *reply)
{
	struct vault *self VAULT_ACTIVE = vault_enter(v);
	struct copying c = {.v = v, .fd = -1, .a = a};
	int err;

	(void)from;
	if (q->name.n > 0) {
		err = open_file(&c, q->name);
	} else {
		err = secret_path(v, SLICE("copy.db"), c.path);
		if (err == 0)
			err = sql_read(v->db, copy_tx, &c);
		if (err == 0)
			err = list_folder(&c, SLICE_EMPTY, 0);
	}
	reply->file = c.fd;
	reply->names = (struct slice_list){c.names, c.n};
	return err;
}

/* ---- the key ----------------------------------------------------------------------------------------------- */

int
vault_on_backup_key(struct vault *v, struct bus_peer *from, struct bus_vault_backup_key_request *q, struct arena *a,
    struct bus_vault_backup_key_reply *reply)
{
	struct buf key VAULT_WIPE;
	char path[VAULT_PATH_MAX];
	int err = secret_path(v, SLICE("backup.key"), path);

	(void)from;
	(void)q;
	buf_init(&key, VAULT_FILE_MAX);
	if (err == 0)
		err = vault_file_read(path, &key);
	if (err == ERR_NOTFOUND) {
		uint8_t fresh[VAULT_BACKUP_KEY_BYTES];

		house_random(v->house, fresh, sizeof(fresh));
		buf_reset(&key);
		buf_put(&key, slice_of(fresh, sizeof(fresh)));
		sodium_memzero(fresh, sizeof(fresh));
		err = vault_file_write(path, buf_slice(&key));
		if (err == 0)
			LOG(v->house, INFO, "backup_key_made", LOG_Z("file", path));
	}
	if (err == 0 && key.n != VAULT_BACKUP_KEY_BYTES)
		err = ERR_DAMAGED;
	if (err == 0)
		reply->key = arena_copy(a, buf_slice(&key));
	return err;
}
