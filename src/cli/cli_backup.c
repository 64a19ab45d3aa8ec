/* cli_backup.c: `posthouse backup DEST`. The house hands out descriptors of copies (src/role/clerk_command_backup.c); this process
 * cuts them into pieces, encrypts these and writes them. It begins with what the newest backup there has: an account whose mark is
 * the same is taken over as it is, a large message by its name, and a piece that is there is not written again. */
#include "cli/backup.h"

#include "base/log.h"

#define ACCOUNT_TRIES 3 /* a message may be expunged between the list of names and its turn */

struct making {
	struct backup_work w;
	bool whole;
	struct slice before_name;
	json_t *before;      /* the newest backup there; NULL: none */
	struct map accounts; /* its accounts by id → json_t, borrowed */
	json_t *now, *files, *accounts_now;
	int64_t unchanged, failed;
	int err; /* of the repository */
};

/* ---- files ----------------------------------------------------------------------------------------------- */

/* Asks for one descriptor and keeps what it has. ERR_NOTFOUND: it is no more. */
static int
put_remote(struct making *m, const char *command, json_t *args, const char *path, size_t piece_bytes, json_t **out)
{
	struct cli_reply reply CLI_REPLY_CLEANUP = {NULL, NULL};
	struct cli_fds fds CLI_FDS_CLEANUP = {.n = 0};
	const char *error;
	int code = backup_ask(&m->w, command, args, &reply, &fds);

	*out = NULL;
	if (code != 0)
		return code;
	error = json_string_value(json_object_get(json_object_get(reply.final, "error"), "code"));
	if (error != NULL && strcmp(error, err_name(ERR_NOTFOUND)) == 0)
		return EX_NOINPUT;
	if (error != NULL || fds.n != 1)
		return error != NULL ? cli_reply_code(m->w.c, &reply) : EX_PROTOCOL;
	m->err = backup_file_put(m->w.repo, fds.v[0], path, piece_bytes, out);
	return m->err == 0 ? 0 : backup_fail(&m->w, m->err);
}

static size_t
piece_for(const char *path)
{
	size_t n = strlen(path);

	return n > 3 && strcmp(path + n - 3, ".db") == 0 ? BACKUP_PIECE_DATABASE : BACKUP_PIECE_BODY;
}

static int
put_books(struct making *m)
{
	struct cli_reply reply CLI_REPLY_CLEANUP = {NULL, NULL};
	json_t *row, *file;
	size_t i;
	int code = backup_ask(&m->w, "backup begin", NULL, &reply, NULL);

	if (code == 0)
		code = cli_reply_code(m->w.c, &reply);
	for (i = 0; code == 0 && i < json_array_size(reply.rows); i++) {
		const char *path;

		row = json_array_get(reply.rows, i);
		path = json_string_value(json_object_get(row, "path"));
		if (path == NULL)
			continue;
		code = put_remote(m, "backup file", json_pack("{s:s}", "path", path), path, piece_for(path), &file);
		if (code == 0)
			(void)json_array_append_new(m->files, file);
	}
	return code;
}

/* The configuration, which this process can read itself. */
static int
put_config(struct making *m)
{
	json_t *file;

	if (m->w.where.config.n == 0)
		return 0;
	m->err = backup_bytes_put(m->w.repo, buf_slice(&m->w.where.config), "posthouse.conf", BACKUP_PIECE_BODY, &file);
	if (m->err != 0)
		return backup_fail(&m->w, m->err);
	(void)json_array_append_new(m->files, file);
	return 0;
}

/* ---- accounts ---------------------------------------------------------------------------------------------- */

/* The large messages of the account in the backup before: name → file, borrowed from *tree. */
static void
know_blobs(struct making *m, const json_t *before, json_t **tree, struct map *known)
{
	json_t *file;
	size_t i;

	*tree = NULL;
	if (before == NULL || m->whole || backup_tree_get(m->w.repo, json_object_get(before, "tree"), tree) != 0)
		return;
	json_array_foreach(json_object_get(*tree, "files"), i, file)
	{
		struct slice path = slice_z(json_string_value(json_object_get(file, "path")));

		if (slice_starts(path, SLICE("blobs/")))
			(void)!map_put(known, slice_from(path, 6), file);
	}
}

static int
put_blob(struct making *m, const char *id, struct slice name, const struct map *known, json_t *files)
{
	json_t *file = map_get(known, name);
	char path[64], text[48];
	int code;

	if (file != NULL) {
		(void)json_array_append(files, file);
		return 0;
	}
	(void)snprintf(text, sizeof(text), "%.*s", SLICE_ARG(name));
	(void)snprintf(path, sizeof(path), "blobs/%s", text);
	code = put_remote(
	    m, "backup blob", json_pack("{s:s, s:s}", "id", id, "name", text), path, BACKUP_PIECE_BODY, &file);
	if (code == 0)
		(void)json_array_append_new(files, file);
	return code;
}

#define BLOB_NAME 32

static int
put_blobs(struct making *m, const char *id, int names_fd, const struct map *known, json_t *files)
{
	char name[BLOB_NAME];
	int code = 0;

	for (off_t at = 0; code == 0 && pread(names_fd, name, sizeof(name), at) == (ssize_t)sizeof(name);
	     at += BLOB_NAME) {
		struct slice s = slice_of(name, sizeof(name));

		/* It goes on to be part of a path. */
		for (size_t i = 0; i < s.n; i++)
			if (!ascii_is_alnum(slice_at(s, i)))
				return EX_PROTOCOL;
		code = put_blob(m, id, s, known, files);
	}
	return code;
}

/* One look at the account. EX_NOINPUT: one of its messages went meanwhile. */
static int
try_account(struct making *m, const char *id, const struct map *known, json_t **files)
{
	struct cli_reply reply CLI_REPLY_CLEANUP = {NULL, NULL};
	struct cli_fds fds CLI_FDS_CLEANUP = {.n = 0};
	json_t *file;
	int code = backup_ask(&m->w, "backup account", json_pack("{s:s}", "id", id), &reply, &fds);

	*files = json_array();
	if (code == 0)
		code = cli_reply_code(m->w.c, &reply);
	if (code == 0 && fds.n != 2)
		code = EX_PROTOCOL;
	if (code != 0)
		return code;
	m->err = backup_file_put(m->w.repo, fds.v[0], "mail.db", BACKUP_PIECE_DATABASE, &file);
	if (m->err != 0)
		return backup_fail(&m->w, m->err);
	(void)json_array_append_new(*files, file);
	return put_blobs(m, id, fds.v[1], known, *files);
}

static int
describe_account(struct making *m, json_t *account, const char *mark, json_t *files)
{
	json_t *tree = json_pack("{s:O}", "files", files), *file = NULL, *one;
	int64_t bytes = 0;
	size_t i;

	json_array_foreach(files, i, one) bytes += json_integer_value(json_object_get(one, "size"));
	m->err = backup_tree_put(m->w.repo, tree, &file);
	json_decref(tree);
	if (m->err != 0)
		return backup_fail(&m->w, m->err);
	(void)json_array_append_new(m->accounts_now,
	    json_pack("{s:O, s:O, s:s, s:I, s:o}", "id", json_object_get(account, "id"), "address",
		json_object_get(account, "address"), "mark", mark, "size", (json_int_t)bytes, "tree", file));
	return 0;
}

static int
put_account(struct making *m, json_t *account, const char *id, const char *mark)
{
	struct map known;
	json_t *tree = NULL, *files = NULL, *before = map_get(&m->accounts, slice_z(id));
	int code = EX_NOINPUT;

	map_init(&known, SIZE_MAX, house_random_u64(&m->w.house));
	know_blobs(m, before, &tree, &known);
	for (int i = 0; code == EX_NOINPUT && i < ACCOUNT_TRIES; i++) {
		json_decref(files);
		code = try_account(m, id, &known, &files);
	}
	if (code == 0)
		code = describe_account(m, account, mark, files);
	json_decref(files);
	json_decref(tree);
	map_free(&known);
	return code;
}

/* An account that cannot be read stays in the backup as it was before, and the others go on. */
static void
keep_before(struct making *m, const json_t *account, const char *id)
{
	json_t *before = map_get(&m->accounts, slice_z(id)), *kept;
	const char *address = json_string_value(json_object_get(account, "address"));

	m->failed++;
	(void)cli_fail(m->w.c, 0, "the account %s could not be read%s", address == NULL ? id : address,
	    before == NULL ? " and is not in this backup" : ": this backup has it as the one before");
	if (before == NULL)
		return;
	kept = json_copy(before);
	(void)json_object_set_new(kept, "mark", json_string(""));
	if (json_object_get(kept, "kept_from") == NULL)
		(void)json_object_set_new(
		    kept, "kept_from", json_stringn((const char *)m->before_name.p, m->before_name.n));
	(void)json_array_append_new(m->accounts_now, kept);
}

static int
visit_account(struct making *m, json_t *account)
{
	struct cli_reply reply CLI_REPLY_CLEANUP = {NULL, NULL};
	const char *id = json_string_value(json_object_get(account, "id")), *mark, *old;
	json_t *before;
	int code;

	if (id == NULL)
		return EX_PROTOCOL;
	code = backup_ask(&m->w, "backup mark", json_pack("{s:s}", "id", id), &reply, NULL);
	if (code != 0)
		return code;
	mark = json_string_value(json_object_get(reply.final, "mark"));
	mark = mark == NULL ? "" : mark;
	before = map_get(&m->accounts, slice_z(id));
	old = json_string_value(json_object_get(before, "mark"));
	if (mark[0] != '\0' && old != NULL && strcmp(mark, old) == 0 && !m->whole) {
		m->unchanged++;
		return json_array_append(m->accounts_now, before) == 0 ? 0 : EX_OSERR;
	}
	code = put_account(m, account, id, mark);
	/* What the destination has against it, or a house that is gone, ends the backup. */
	if (code != 0 && m->err == 0 && code != EX_TEMPFAIL) {
		keep_before(m, account, id);
		code = 0;
	}
	return code;
}

static int
put_accounts(struct making *m)
{
	struct cli_reply reply CLI_REPLY_CLEANUP = {NULL, NULL};
	json_t *account;
	size_t i;
	int code = backup_ask(&m->w, "account list", NULL, &reply, NULL);

	if (code == 0)
		code = cli_reply_code(m->w.c, &reply);
	for (i = 0; code == 0 && i < json_array_size(reply.rows); i++) {
		account = json_array_get(reply.rows, i);
		code = visit_account(m, account);
	}
	return code;
}

/* ---- the whole --------------------------------------------------------------------------------------------- */

static int
load_before(struct making *m, struct arena *a)
{
	json_t *account;
	size_t i;
	int err = backup_describe(&m->w, NULL, a, &m->before_name, &m->before);

	if (err != 0 && err != ERR_NOTFOUND)
		(void)cli_fail(m->w.c, 0, "the newest backup cannot be read (%s): everything is written anew",
		    backup_words(m->w.repo));
	json_array_foreach(json_object_get(m->before, "accounts"), i, account)
	{
		const char *id = json_string_value(json_object_get(account, "id"));

		if (id != NULL && map_put(&m->accounts, slice_z(id), account) != 0)
			return cli_fail(m->w.c, EX_OSERR, "out of memory");
	}
	return 0;
}

static int
save(struct making *m, json_t *row)
{
	char name[BACKUP_NAME_MAX], when[RFC3339_MAX], *text;
	struct backup_counters n;

	time_rfc3339(house_now_us(&m->w.house), when);
	m->now = json_pack("{s:i, s:s, s:s, s:O, s:O}", "posthouse_backup", BACKUP_FORM, "version", POSTHOUSE_VERSION,
	    "made_at", when, "files", m->files, "accounts", m->accounts_now);
	text = m->now == NULL ? NULL : json_dumps(m->now, JSON_COMPACT);
	m->err = text == NULL ? ERR_NOMEM : backup_save(m->w.repo, slice_z(text), name);
	free(text);
	if (m->err != 0)
		return backup_fail(&m->w, m->err);
	backup_count(m->w.repo, &n);
	(void)json_object_update_new(row,
	    json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "backup", name, "accounts",
		(json_int_t)json_array_size(m->accounts_now), "accounts_unchanged", (json_int_t)m->unchanged,
		"accounts_unreadable", (json_int_t)m->failed, "pieces_read", (json_int_t)n.pieces, "bytes_read",
		(json_int_t)n.bytes, "pieces_written", (json_int_t)n.pieces_new, "bytes_written",
		(json_int_t)n.bytes_new));
	return 0;
}

static int
make(struct making *m, json_t *row)
{
	struct arena a ARENA_CLEANUP;
	int code;

	arena_init(&a, (size_t)64 << 20);
	code = load_before(m, &a);
	if (code == 0)
		code = put_config(m);
	if (code == 0)
		code = put_books(m);
	if (code == 0)
		code = put_accounts(m);
	if (code == EX_PROTOCOL)
		code = cli_fail(m->w.c, EX_PROTOCOL, "the house answered what this version does not understand");
	return code == 0 ? save(m, row) : code;
}

/* Only when something of it was given. */
static int
prune(struct making *m, json_t *row)
{
	json_t *args = m->w.c->args;
	struct backup_rule rule = {.days = json_integer_value(json_object_get(args, "keep_days")),
	    .weeks = json_integer_value(json_object_get(args, "keep_weeks")),
	    .months = json_integer_value(json_object_get(args, "keep_months"))};

	return rule.days + rule.weeks + rule.months == 0 ? 0 : backup_prune(&m->w, &rule, row);
}

/* So that `posthouse status` knows how old the last backup is. Nothing of the backup hangs on it. */
static int
tell_house(struct making *m)
{
	struct cli_reply reply CLI_REPLY_CLEANUP = {NULL, NULL};
	int code = backup_ask(&m->w, "backup end", json_pack("{s:b}", "whole", 1), &reply, NULL);

	return code == 0 ? cli_reply_code(m->w.c, &reply) : code;
}

int
cli_backup(struct cli *c)
{
	struct making m = {.whole = cli_flag(c, "whole")};
	json_t *row = json_object();
	int code = backup_begin(&m.w, c, true);

	m.files = json_array();
	m.accounts_now = json_array();
	map_init(&m.accounts, SIZE_MAX, house_random_u64(&m.w.house));
	if (code == 0)
		code = backup_open_repo(&m.w, cli_text(c, "destination"), true);
	if (code == 0)
		code = make(&m, row);
	if (code == 0 && m.failed == 0)
		code = tell_house(&m);
	if (code == 0)
		code = prune(&m, row);
	if (code == 0) {
		backup_print(c, row);
		code = m.failed > 0 ? EX_DATAERR : EX_OK;
	}
	json_decref(row);
	json_decref(m.now);
	json_decref(m.files);
	json_decref(m.accounts_now);
	json_decref(m.before);
	map_free(&m.accounts);
	return backup_end(&m.w, code);
}
