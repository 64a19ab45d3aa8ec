/* clerk_command_backup.c: what `posthouse backup` asks on the control socket. The process that writes a backup reads no folder of
 * the house: whoever owns a file hands out a descriptor for reading, of a copy made at one moment where the file changes. The
 * clerk's own copies lie in books/copy while the backup runs, beside links to the large bodies of the queue.
 *
 * The queue is copied first, then the directory, then the vault, the accounts last. So a message that was accepted before is in the
 * queue's copy, or durable in its account, or both; in that case the account knows the delivery, since desks are told to forget
 * none while a backup runs. */
#include "role/clerk_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define PATH_BYTES 2048
#define COPY_MS 3600000 /* a copy of a large database */

struct copying {
	struct clerk *k;
	char dir[PATH_BYTES];  /* books/copy */
	char path[PATH_BYTES]; /* of the copy that is made */
};

/* ---- files, on a worker --------------------------------------------------------------------------------- */

static void
remove_files(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL)
		(void)unlinkat(dirfd(d), e->d_name, 0);
	if (d != NULL)
		(void)closedir(d);
	(void)rmdir(dir);
}

static int
remove_copies(void *arg)
{
	struct copying *c = arg;
	char blobs[PATH_BYTES + 8];

	(void)snprintf(blobs, sizeof(blobs), "%s/blobs", c->dir);
	remove_files(blobs);
	remove_files(c->dir);
	return 0;
}

static int
make_folders(void *arg)
{
	struct copying *c = arg;
	char blobs[PATH_BYTES + 8];

	(void)remove_copies(c);
	(void)snprintf(blobs, sizeof(blobs), "%s/blobs", c->dir);
	return mkdir(c->dir, 0700) != 0 || mkdir(blobs, 0700) != 0 ? err_from_errno(errno) : 0;
}

/* Bodies of messages in the queue keep a second name, so that none goes while it is copied. */
static int
link_blobs(void *arg)
{
	struct copying *c = arg;
	char from[PATH_BYTES + 16], to[PATH_BYTES + 16];
	struct dirent *e;
	int err = 0, target;
	DIR *d;

	(void)snprintf(from, sizeof(from), "%s/queue/blobs", c->k->c->data_dir);
	(void)snprintf(to, sizeof(to), "%s/blobs", c->dir);
	target = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = opendir(from);
	if (d == NULL || target < 0)
		err = err_from_errno(errno);
	while (err == 0 && (e = readdir(d)) != NULL)
		if (e->d_type == DT_REG && linkat(dirfd(d), e->d_name, target, e->d_name, 0) != 0 && errno != EEXIST &&
		    errno != ENOENT)
			err = err_from_errno(errno);
	if (d != NULL)
		(void)closedir(d);
	if (target >= 0)
		(void)close(target);
	return err;
}

static int
copy_tx(struct sqltx *tx, void *arg)
{
	struct copying *c = arg;

	return sql_copy(tx, c->path);
}

static int
copy_database(struct copying *c, struct sqldb *db, const char *name)
{
	(void)snprintf(c->path, sizeof(c->path), "%.*s/%s", (int)(PATH_BYTES - 32), c->dir, name);
	return sql_read(db, copy_tx, c);
}

static void
start_copying(struct copying *c, struct clerk *k)
{
	*c = (struct copying){.k = k};
	(void)snprintf(c->dir, sizeof(c->dir), "%s/copy", k->c->data_dir);
}

static int
copy_books(struct copying *c)
{
	struct clerk *k = c->k;
	int err = work_run(k->workers, make_folders, c);

	if (err == 0)
		err = work_run(k->workers, link_blobs, c);
	if (err == 0)
		err = copy_database(c, k->queue_db, "queue.db");
	/* Those of messages that came between the links and the copy. */
	if (err == 0)
		err = work_run(k->workers, link_blobs, c);
	if (err == 0)
		err = copy_database(c, k->directory_db, "directory.db");
	return err == 0 ? copy_database(c, k->guard_db, "guard.db") : err;
}

/* ---- beginning and ending ---------------------------------------------------------------------------------- */

void
clerk_backup_end(struct control_session *s)
{
	struct copying c;

	if (!s->backing_up)
		return;
	s->backing_up = false;
	s->k->backing_up = false;
	start_copying(&c, s->k);
	if (work_run(s->k->workers, remove_copies, &c) != 0)
		LOG(s->k->c->house, WARN, "backup_copies_left", LOG_Z("folder", c.dir));
}

void
clerk_backup_clean(struct clerk *k)
{
	struct copying c;

	start_copying(&c, k);
	(void)remove_copies(&c);
}

static int
path_row(struct control_session *s, const char *folder, struct slice name)
{
	json_t *o = json_object();
	int err;

	control_set_text(o, "path", arena_printf(&s->arena, "%s%.*s", folder, SLICE_ARG(name)));
	err = control_row(s, o);
	json_decref(o);
	return err;
}

static int
blob_rows(struct control_session *s, const struct copying *c)
{
	char path[PATH_BYTES + 8];
	struct dirent *e;
	int err = 0;
	DIR *d;

	(void)snprintf(path, sizeof(path), "%s/blobs", c->dir);
	d = opendir(path);
	while (err == 0 && d != NULL && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			err = path_row(s, "books/queue/blobs/", slice_z(e->d_name));
	if (d == NULL)
		return err_from_errno(errno);
	(void)closedir(d);
	return err;
}

/* What of the vault's is files; the copy of its database is asked for once more when it is read. */
static int
secret_rows(struct control_session *s)
{
	struct bus_vault_copy_request q = {.name = SLICE_EMPTY};
	struct bus_vault_copy_reply rep = {.file = -1};
	int err = BUS_CALL(s->k->c->bus, ROLE_VAULT, 0, vault_copy, &q, &s->arena, &rep, CLERK_ASK_MS);

	if (err != 0)
		return control_fail_role(s, "vault", err, SLICE_EMPTY);
	if (rep.file >= 0)
		(void)close((int)rep.file);
	err = path_row(s, "secrets/vault.db", SLICE_EMPTY);
	for (size_t i = 0; err == 0 && i < rep.names.n; i++)
		err = path_row(s, "secrets/", rep.names.v[i]);
	return err;
}

int
control_run_backup_begin(struct control_session *s)
{
	static const char *const names[] = {"books/queue.db", "books/directory.db", "books/guard.db"};
	struct copying c;
	int err;

	if (s->k->backing_up)
		return control_fail(s, ERR_BUSY, "Wait for its end.", "another backup of this house is being made");
	s->k->backing_up = s->backing_up = true;
	start_copying(&c, s->k);
	err = copy_books(&c);
	if (err != 0) {
		clerk_backup_end(s);
		return control_fail(s, err,
		    err == ERR_FULL ? "Free space on the disk of the house." : "Look at the log.",
		    "the books cannot be copied: %s", err_text(err));
	}
	for (size_t i = 0; err == 0 && i < COUNT_OF(names); i++)
		err = path_row(s, names[i], SLICE_EMPTY);
	if (err == 0)
		err = blob_rows(s, &c);
	return err == 0 ? secret_rows(s) : err;
}

int
control_run_backup_end(struct control_session *s)
{
	CLERK_ENTER(s->k);

	clerk_backup_end(s);
	if (control_bool(&s->request, "whole"))
		clerk_backup_ended(s->k);
	return 0;
}

/* ---- handing out ---------------------------------------------------------------------------------------------- */

/* {"row":{"file":NAME}} with the descriptor on its first byte; closes it. */
static int
file_row(struct control_session *s, const char *name, int64_t fd)
{
	struct slice line = arena_printf(&s->arena, "{\"row\":{\"file\":\"%s\"}}\n", name);

	if (s->stream_err == 0)
		s->stream_err = arena_failed(&s->arena) ? ERR_NOMEM
		    : fd < 0                            ? ERR_INVALID
							: stream_send_fd(s->st, line, (int)fd);
	if (fd >= 0)
		(void)close((int)fd);
	return s->stream_err;
}

/* A copy in books/copy by the path that the row of it told. */
static int
open_book(struct control_session *s, struct slice name, int *fd)
{
	char path[PATH_BYTES + 256];
	struct slice file = name;

	if (slice_starts(name, SLICE("queue/blobs/")))
		file = slice_from(name, sizeof("queue/blobs/") - 1);
	if (!s->backing_up || file.n == 0 || file.n > 128 || slice_find_byte(file, '/') != SLICE_NONE ||
	    slice_at(file, 0) == '.')
		return ERR_NOTFOUND;
	(void)snprintf(
	    path, sizeof(path), "%s/copy/%s%.*s", s->k->c->data_dir, file.n == name.n ? "" : "blobs/", SLICE_ARG(file));
	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return *fd < 0 ? err_from_errno(errno) : 0;
}

static int
open_secret(struct control_session *s, struct slice name, int64_t *fd)
{
	struct bus_vault_copy_request q = {.name = slice_eq(name, SLICE("vault.db")) ? SLICE_EMPTY : name};
	struct bus_vault_copy_reply rep = {.file = -1};
	int err = BUS_CALL(s->k->c->bus, ROLE_VAULT, 0, vault_copy, &q, &s->arena, &rep, CLERK_ASK_MS);

	*fd = err == 0 ? rep.file : -1;
	return err;
}

int
control_run_backup_file(struct control_session *s)
{
	struct slice path = control_text(&s->request, "path");
	int64_t fd = -1;
	int book = -1, err = ERR_NOTFOUND;

	if (slice_starts(path, SLICE("books/"))) {
		err = open_book(s, slice_from(path, sizeof("books/") - 1), &book);
		fd = book;
	} else if (slice_starts(path, SLICE("secrets/"))) {
		err = open_secret(s, slice_from(path, sizeof("secrets/") - 1), &fd);
	}
	if (err != 0)
		return control_fail(s, err, "`backup begin` tells what there is.", "%.*s cannot be read: %s",
		    SLICE_ARG(path), err_text(err));
	return file_row(s, "file", fd);
}

int
control_run_backup_mark(struct control_session *s)
{
	struct bus_desk_mark_request q = {.account_id = control_text(&s->request, "id")};
	struct bus_desk_mark_reply rep = {.mark = SLICE_EMPTY};
	int err = BUS_CALL(s->k->c->bus, ROLE_DESK, account_desk(q.account_id, s->k->c->desks), desk_mark, &q,
	    &s->arena, &rep, CLERK_ASK_MS);

	if (err != 0)
		return control_fail_role(s, "desk", err, SLICE_EMPTY);
	control_set_text(s->done, "mark", rep.mark);
	return 0;
}

int
control_run_backup_account(struct control_session *s)
{
	struct bus_desk_copy_request q = {.account_id = control_text(&s->request, "id")};
	struct bus_desk_copy_reply rep = {.database = -1, .names = -1};
	int err = BUS_CALL(s->k->c->bus, ROLE_DESK, account_desk(q.account_id, s->k->c->desks), desk_copy, &q,
	    &s->arena, &rep, COPY_MS);

	if (err != 0)
		return control_fail_role(s, "desk", err, SLICE_EMPTY);
	err = file_row(s, "database", rep.database);
	if (err == 0)
		return file_row(s, "names", rep.names);
	(void)close((int)rep.names);
	return err;
}

int
control_run_backup_blob(struct control_session *s)
{
	struct bus_desk_blob_request q = {
	    .account_id = control_text(&s->request, "id"), .name = control_text(&s->request, "name")};
	struct bus_desk_blob_reply rep = {.file = -1};
	int err = BUS_CALL(s->k->c->bus, ROLE_DESK, account_desk(q.account_id, s->k->c->desks), desk_blob, &q,
	    &s->arena, &rep, CLERK_ASK_MS);

	return err != 0 ? control_fail_role(s, "desk", err, SLICE_EMPTY) : file_row(s, "blob", rep.file);
}

int
control_run_backup_key(struct control_session *s)
{
	struct bus_vault_backup_key_request q;
	struct bus_vault_backup_key_reply rep = {.key = SLICE_EMPTY};
	struct buf text BUF_CLEANUP;
	int err;

	memset(&q, 0, sizeof(q));
	buf_init(&text, 4096);
	err = BUS_CALL(s->k->c->bus, ROLE_VAULT, 0, vault_backup_key, &q, &s->arena, &rep, CLERK_ASK_MS);
	if (err != 0)
		return control_fail_role(s, "vault", err, SLICE_EMPTY);
	buf_put_hex(&text, rep.key);
	control_set_text(s->done, "key", buf_slice(&text));
	explicit_bzero(text.p, text.n);
	return 0;
}
