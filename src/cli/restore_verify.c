/* restore_verify.c: `posthouse restore SOURCE --verify`: reads every piece, opens every database as a restore would find it, and
 * tells of each account how the mail in the backup compares with the mail in the house. Changes nothing. */
#include "cli/restore.h"

#include "store/store_archive.h"

#include <errno.h>
#include <fcntl.h>

struct verify {
	struct restore *r;
	struct cli_reply reply;
	struct buf scratch;
	char path[RESTORE_PATH_BYTES];
	struct map blobs; /* of one account: name → its file */
	int64_t messages, bytes, missing, files_bad;
};

static int
count_message(void *arg, const struct store_archived *m)
{
	struct verify *v = arg;
	const json_t *file;

	v->messages++;
	v->bytes += (int64_t)m->size;
	if (m->blob.n == 0) {
		if (m->head.n + m->header.n + m->rest.n != m->size)
			v->missing++;
		return 0;
	}
	file = map_get(&v->blobs, m->blob);
	if (file == NULL || json_integer_value(json_object_get(file, "size")) != (json_int_t)m->size)
		v->missing++;
	return 0;
}

/* Counts what the database has, mailbox by mailbox. */
static int
look_through(struct verify *v, struct slice id, struct buf *detail)
{
	struct store_archive *ar = NULL;
	struct store_mailbox *boxes = NULL;
	struct arena a ARENA_CLEANUP;
	size_t n = 0;
	int err;

	arena_init(&a, (size_t)256 << 20);
	err = store_archive_open(&ar, &v->r->w.house, v->path, id, detail);
	if (err == 0)
		err = store_archive_check(ar, detail);
	if (err == 0)
		err = store_archive_mailboxes(ar, &a, &boxes, &n);
	for (size_t i = 0; i < n && err == 0; i++)
		err = store_archive_each(ar, boxes[i].id, true, count_message, v, &v->missing);
	store_archive_close(&ar);
	return err;
}

/* Messages that the house has of the account; -1: no such account. */
static int64_t
in_house(struct verify *v, const char *address)
{
	struct cli_reply reply CLI_REPLY_CLEANUP = {NULL, NULL};
	json_t *stored;

	if (v->r->w.fd < 0 || address == NULL ||
	    backup_ask(&v->r->w, "account show", json_pack("{s:s}", "address", address), &reply, NULL) != 0)
		return -1;
	stored = json_object_get(json_array_get(reply.rows, 0), "stored");
	return stored == NULL ? -1 : json_integer_value(json_object_get(stored, "messages"));
}

static void
tell_account(struct verify *v, const char *address, int err, const struct buf *detail)
{
	int64_t here = in_house(v, address);
	json_t *row = json_pack("{s:s, s:I, s:I, s:I, s:I}", "account", address == NULL ? "?" : address, "messages",
	    (json_int_t)v->messages, "bytes", (json_int_t)v->bytes, "damaged_files", (json_int_t)v->files_bad,
	    "messages_missing", (json_int_t)v->missing);

	(void)json_object_set_new(row, "messages_in_house", here < 0 ? json_null() : json_integer(here));
	if (err != 0)
		(void)json_object_set_new(row, "database",
		    json_stringn(detail->n == 0 ? err_text(err) : (const char *)detail->p,
			detail->n == 0 ? strlen(err_text(err)) : detail->n));
	if (err != 0 || v->files_bad > 0 || v->missing > 0)
		v->r->damaged++;
	(void)json_array_append_new(v->reply.rows, row);
}

/* Reads all files of a tree but the database, which is read anyway; remembers the large messages. */
static int
check_files(struct verify *v, const json_t *tree, const json_t **database)
{
	json_t *file;
	size_t i;
	int err = 0;

	*database = NULL;
	json_array_foreach(json_object_get(tree, "files"), i, file)
	{
		const char *path = json_string_value(json_object_get(file, "path"));
		int64_t damaged = 0;

		if (path != NULL && strcmp(path, "mail.db") == 0) {
			*database = file;
			continue;
		}
		err = backup_file_check(v->r->w.repo, file, &v->scratch, &damaged);
		if (err != 0)
			return backup_fail(&v->r->w, err);
		if (damaged > 0)
			v->files_bad++;
		else if (path != NULL && strncmp(path, "blobs/", 6) == 0)
			err = map_put(&v->blobs, slice_z(path + 6), file);
	}
	return err == 0 ? 0 : EX_OSERR;
}

static int
verify_account(struct verify *v, const json_t *account)
{
	const char *id = json_string_value(json_object_get(account, "id")),
		   *address = json_string_value(json_object_get(account, "address"));
	struct buf detail BUF_CLEANUP;
	const json_t *database = NULL;
	json_t *tree = NULL;
	bool bad = false;
	int code = 0, err;

	buf_init(&detail, 65536);
	v->messages = v->bytes = v->missing = v->files_bad = 0;
	map_init(&v->blobs, SIZE_MAX, house_random_u64(&v->r->w.house));
	err = id == NULL ? ERR_INVALID : backup_tree_get(v->r->w.repo, json_object_get(account, "tree"), &tree);
	if (err == 0)
		code = check_files(v, tree, &database);
	if (err == 0 && code == 0 && database != NULL)
		code = restore_scratch(v->r, database, v->path, &bad);
	if (err == 0 && code == 0 && database != NULL) {
		v->files_bad += bad;
		err = look_through(v, slice_z(id), &detail);
		restore_scratch_remove(v->path);
	} else if (err == 0 && code == 0) {
		err = ERR_DAMAGED;
	}
	if (code == 0)
		tell_account(v, address, err, &detail);
	map_free(&v->blobs);
	json_decref(tree);
	return code;
}

static int
verify_books(struct verify *v)
{
	json_t *file;
	size_t i;

	json_array_foreach(json_object_get(v->r->about, "files"), i, file)
	{
		const char *path = json_string_value(json_object_get(file, "path"));
		int64_t damaged = 0;
		int err = backup_file_check(v->r->w.repo, file, &v->scratch, &damaged);

		if (err != 0)
			return backup_fail(&v->r->w, err);
		v->r->files++;
		if (damaged == 0)
			continue;
		v->r->damaged++;
		(void)json_array_append_new(v->reply.rows,
		    json_pack("{s:s, s:I}", "file", path == NULL ? "?" : path, "damaged_pieces", damaged));
	}
	return 0;
}

int
restore_verify(struct restore *r)
{
	struct verify v = {.r = r, .reply = {json_array(), json_object()}};
	json_t *account;
	size_t i;
	int code;

	buf_init(&v.scratch, BACKUP_PIECE_MAX + 1);
	/* With a key of its own there may be no house to compare with. */
	if (r->w.fd < 0 && access(r->w.where.dir, F_OK) == 0)
		r->w.fd = cli_connect_to(r->w.where.dir, "control", BACKUP_SILENCE_S);
	code = verify_books(&v);
	json_array_foreach(json_object_get(r->about, "accounts"), i, account)
	{
		if (code == 0)
			code = verify_account(&v, account);
	}
	if (code == 0) {
		cli_print_reply(r->w.c, &v.reply);
		code = r->damaged > 0 ? EX_DATAERR : EX_OK;
	}
	buf_free(&v.scratch);
	cli_reply_free(&v.reply);
	return code;
}
