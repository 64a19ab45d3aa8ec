/* backup_work.c: the house, the key and the folder that the commands for backups work with; listing and pruning. */
#include "cli/backup.h"

#include "base/log.h"
#include "role/keeper.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>

#define KEY_TEXT_BYTES 4096

/* file scope: a signal handler has no other place. */
static volatile sig_atomic_t interrupted;

static void
on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

static int
go_on(void *arg)
{
	(void)arg;
	return interrupted ? ERR_CANCELLED : 0;
}

int
backup_begin(struct backup_work *w, struct cli *c, bool reach)
{
	struct sigaction sa = {.sa_handler = on_signal};
	int code;

	*w = (struct backup_work){.c = c, .fd = -1};
	house_init(&w->house, "backup");
	w->house.log_level = LOG_WARN;
	/* What is being written is ended orderly. */
	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigaction(SIGTERM, &sa, NULL);
	code = cli_find_house(c, &w->where);
	return code == 0 && reach ? cli_reach_house(c, &w->where, &w->quiet, BACKUP_SILENCE_S, &w->fd) : code;
}

int
backup_end(struct backup_work *w, int code)
{
	int ended;

	backup_close(&w->repo);
	if (w->fd >= 0)
		(void)close(w->fd);
	ended = cli_quiet_stop(&w->quiet);
	cli_where_free(&w->where);
	return code == 0 ? ended : code;
}

int
backup_ask(struct backup_work *w, const char *command, json_t *args, struct cli_reply *reply, struct cli_fds *fds)
{
	struct cli_fds none CLI_FDS_CLEANUP = {.n = 0};
	json_t *owned = args == NULL ? json_object() : args;
	int err = cli_ask_fds(w->fd, command, owned, reply, fds == NULL ? &none : fds);

	json_decref(owned);
	if (err != 0)
		return cli_fail(
		    w->c, EX_TEMPFAIL, "the house did not answer to %s: %s; its log tells why", command, err_text(err));
	return 0;
}

/* ---- the key ------------------------------------------------------------------------------------------- */

/* 64 hexadecimal digits, perhaps in groups. */
static int
parse_key(struct cli *c, struct slice text, uint8_t key[BACKUP_KEY_BYTES])
{
	size_t n = 0;

	text = slice_trim(text);
	if (sodium_hex2bin(key, BACKUP_KEY_BYTES, (const char *)text.p, text.n, " -:\r\n", &n, NULL) != 0 ||
	    n != BACKUP_KEY_BYTES)
		return cli_fail(c, EX_DATAERR,
		    "that is no key of a backup: it has 64 hexadecimal digits, as `posthouse backup key` shows them");
	return 0;
}

static int
key_of_file(struct cli *c, const char *path, uint8_t key[BACKUP_KEY_BYTES])
{
	struct buf text BUF_CLEANUP, detail BUF_CLEANUP;
	int code;

	buf_init(&text, KEY_TEXT_BYTES + 8192);
	buf_init(&detail, KEY_TEXT_BYTES + HOUSE_PATH_BYTES);
	if (house_read_file(path, KEY_TEXT_BYTES, &text, &detail) != 0)
		return cli_fail(c, EX_NOINPUT, "%.*s", SLICE_ARG(slice_trim(buf_slice(&detail))));
	code = parse_key(c, buf_slice(&text), key);
	explicit_bzero(text.p, text.n);
	return code;
}

static int
key_of_house(struct backup_work *w, uint8_t key[BACKUP_KEY_BYTES])
{
	struct cli_reply reply CLI_REPLY_CLEANUP = {NULL, NULL};
	const char *text;
	int code = 0;

	if (w->fd < 0)
		code = cli_reach_house(w->c, &w->where, &w->quiet, BACKUP_SILENCE_S, &w->fd);
	if (code == 0)
		code = backup_ask(w, "backup key", NULL, &reply, NULL);
	if (code == 0)
		code = cli_reply_code(w->c, &reply);
	if (code != 0)
		return code;
	text = json_string_value(json_object_get(reply.final, "key"));
	return parse_key(w->c, slice_z(text == NULL ? "" : text), key);
}

static int
find_key(struct backup_work *w, uint8_t key[BACKUP_KEY_BYTES])
{
	const char *file = cli_text(w->c, "key_file"), *text = cli_text(w->c, "key");

	if (file != NULL)
		return key_of_file(w->c, file, key);
	return text != NULL ? parse_key(w->c, slice_z(text), key) : key_of_house(w, key);
}

int
cli_backup_key(struct cli *c)
{
	struct backup_work w;
	uint8_t key[BACKUP_KEY_BYTES];
	char text[2 * BACKUP_KEY_BYTES + 1];
	int code = backup_begin(&w, c, true);

	if (code == 0)
		code = key_of_house(&w, key);
	if (code != 0)
		return backup_end(&w, code);
	(void)sodium_bin2hex(text, sizeof(text), key, sizeof(key));
	if (c->json) {
		(void)fprintf(c->out, "{\"key\":\"%s\"}\n", text);
	} else {
		for (size_t i = 0; i < sizeof(text) - 1; i += 4)
			(void)fprintf(c->out, "%.4s%s", text + i, i % 32 == 28 ? "\n" : " ");
		(void)fputs("Keep it where the backups are not: without it nobody can read them.\n", c->err);
	}
	sodium_memzero(key, sizeof(key));
	sodium_memzero(text, sizeof(text));
	return backup_end(&w, EX_OK);
}

/* ---- the folder ----------------------------------------------------------------------------------------- */

static int
exit_code(int err)
{
	switch (err) {
	case ERR_NOTFOUND: return EX_NOINPUT;
	case ERR_DENIED: return EX_NOPERM;
	case ERR_FULL:
	case ERR_BUSY:
	case ERR_CANCELLED: return EX_TEMPFAIL;
	case ERR_DAMAGED:
	case ERR_VERSION:
	case ERR_CONFLICT: return EX_DATAERR;
	case ERR_NOMEM: return EX_OSERR;
	default: return EX_IOERR;
	}
}

int
backup_fail(struct backup_work *w, int err)
{
	const char *words = w->repo == NULL ? "" : backup_words(w->repo);

	return cli_fail(w->c, exit_code(err), "%s", words[0] != '\0' ? words : err_text(err));
}

int
backup_open_repo(struct backup_work *w, const char *dir, bool write)
{
	struct backup_config config = {
	    .house = &w->house, .dir = dir, .write = write, .check = cli_flag(w->c, "whole"), .step = go_on};
	struct buf detail BUF_CLEANUP;
	int code, err;

	if (sodium_init() < 0)
		return cli_fail(w->c, EX_OSERR, "libsodium cannot be initialised");
	buf_init(&detail, 8192);
	code = find_key(w, config.key);
	if (code != 0)
		return code;
	err = backup_open(&w->repo, &config, &detail);
	sodium_memzero(config.key, sizeof(config.key));
	if (err == 0)
		return 0;
	return cli_fail(
	    w->c, exit_code(err), "%.*s", SLICE_ARG(detail.n > 0 ? buf_slice(&detail) : slice_z(err_text(err))));
}

/* ---- descriptions ----------------------------------------------------------------------------------------- */

static int
load_description(struct backup_work *w, struct slice name, json_t **out)
{
	struct buf text BUF_CLEANUP;
	int err;

	*out = NULL;
	buf_init(&text, BACKUP_SNAPSHOT_MAX);
	err = backup_load(w->repo, name, &text);
	if (err == 0)
		*out = json_loadb(text.n == 0 ? "" : (const char *)text.p, text.n, 0, NULL);
	if (err == 0 && json_integer_value(json_object_get(*out, "posthouse_backup")) != BACKUP_FORM) {
		json_decref(*out);
		*out = NULL;
		err = ERR_VERSION;
	}
	return err;
}

int
backup_describe(struct backup_work *w, const char *wanted, struct arena *a, struct slice *name, json_t **out)
{
	struct slice_list names;
	int err = backup_names(w->repo, a, &names);

	*out = NULL;
	*name = SLICE_EMPTY;
	if (err != 0)
		return err;
	for (size_t i = 0; i < names.n && name->n == 0; i++)
		if (wanted == NULL || slice_eq(names.v[i], slice_z(wanted)))
			*name = names.v[i];
	return name->n == 0 ? ERR_NOTFOUND : load_description(w, *name, out);
}

/* ---- pruning ------------------------------------------------------------------------------------------------ */

static int
mark_account(struct backup_work *w, const json_t *account, struct map *used)
{
	const json_t *file = json_object_get(account, "tree"), *one;
	json_t *tree = NULL;
	size_t i;
	int err = backup_file_mark(file, used);

	if (err == 0)
		err = backup_tree_get(w->repo, file, &tree);
	/* One that is damaged says nothing of its pieces: they would go. */
	if (err != 0)
		return err;
	json_array_foreach(json_object_get(tree, "files"), i, one)
	{
		err = backup_file_mark(one, used);
		if (err != 0)
			break;
	}
	json_decref(tree);
	return err;
}

/* Marks what a backup needs; trees that an earlier one had are known. */
static int
mark_backup(struct backup_work *w, struct slice name, struct map *used, struct map *trees)
{
	static char yes;
	json_t *about = NULL, *one;
	size_t i;
	int err = load_description(w, name, &about);

	json_array_foreach(json_object_get(about, "files"), i, one)
	{
		if (err == 0)
			err = backup_file_mark(one, used);
	}
	json_array_foreach(json_object_get(about, "accounts"), i, one)
	{
		const char *ids = json_string_value(json_object_get(json_object_get(one, "tree"), "ids"));

		if (err != 0 || ids == NULL || map_get(trees, slice_z(ids)) != NULL)
			continue;
		err = mark_account(w, one, used);
		if (err == 0)
			err = map_put(trees, slice_z(ids), &yes);
	}
	json_decref(about);
	return err;
}

static int
sweep(struct backup_work *w, const struct slice_list *names, const bool *keep, json_t *row)
{
	struct map used, trees;
	int64_t removed = 0, bytes = 0;
	int err = 0;

	map_init(&used, SIZE_MAX, house_random_u64(&w->house));
	map_init(&trees, SIZE_MAX, house_random_u64(&w->house));
	for (size_t i = 0; i < names->n && err == 0; i++)
		if (keep[i])
			err = mark_backup(w, names->v[i], &used, &trees);
	if (err == 0)
		err = backup_sweep(w->repo, &used, &removed, &bytes);
	map_free(&used);
	map_free(&trees);
	(void)json_object_set_new(row, "pieces_removed", json_integer(removed));
	(void)json_object_set_new(row, "bytes_freed", json_integer(bytes));
	return err;
}

int
backup_prune(struct backup_work *w, const struct backup_rule *rule, json_t *row)
{
	struct arena a ARENA_CLEANUP;
	struct slice_list names;
	int64_t dropped = 0;
	bool *keep;
	int err;

	arena_init(&a, (size_t)64 << 20);
	err = backup_names(w->repo, &a, &names);
	if (err != 0)
		return backup_fail(w, err);
	keep = ARENA_ARRAY(&a, bool, names.n + 1);
	if (keep == NULL)
		return backup_fail(w, ERR_NOMEM);
	backup_keep(names.v, names.n, rule, keep);
	for (size_t i = 0; i < names.n && err == 0; i++)
		if (!keep[i]) {
			err = backup_drop(w->repo, names.v[i]);
			dropped++;
		}
	if (err == 0)
		err = sweep(w, &names, keep, row);
	(void)json_object_set_new(row, "pruned", json_integer(dropped));
	return err == 0 ? 0 : backup_fail(w, err);
}

void
backup_print(struct cli *c, json_t *row)
{
	struct cli_reply reply = {json_array(), json_object()};

	(void)json_array_append(reply.rows, row);
	cli_print_reply(c, &reply);
	cli_reply_free(&reply);
}

int
cli_backup_prune(struct cli *c)
{
	struct backup_work w;
	struct backup_rule rule = {.days = json_integer_value(json_object_get(c->args, "keep_days")),
	    .weeks = json_integer_value(json_object_get(c->args, "keep_weeks")),
	    .months = json_integer_value(json_object_get(c->args, "keep_months"))};
	json_t *row = json_object();
	int code = backup_begin(&w, c, false);

	if (code == 0)
		code = backup_open_repo(&w, cli_text(c, "destination"), true);
	if (code == 0)
		code = backup_prune(&w, &rule, row);
	if (code == 0)
		backup_print(c, row);
	json_decref(row);
	return backup_end(&w, code);
}

/* ---- listing -------------------------------------------------------------------------------------------------- */

static json_t *
listed(struct backup_work *w, struct slice name)
{
	json_t *about = NULL, *row = json_object(), *one;
	int64_t bytes = 0;
	size_t i;
	int err = load_description(w, name, &about);

	(void)json_object_set_new(row, "backup", json_stringn((const char *)name.p, name.n));
	if (err != 0) {
		(void)json_object_set_new(row, "damaged", json_string(err_text(err)));
		return row;
	}
	json_array_foreach(json_object_get(about, "files"), i, one)
	    bytes += json_integer_value(json_object_get(one, "size"));
	json_array_foreach(json_object_get(about, "accounts"), i, one)
	    bytes += json_integer_value(json_object_get(one, "size"));
	(void)json_object_set(row, "made_at", json_object_get(about, "made_at"));
	(void)json_object_set(row, "version", json_object_get(about, "version"));
	(void)json_object_set_new(
	    row, "accounts", json_integer((json_int_t)json_array_size(json_object_get(about, "accounts"))));
	(void)json_object_set_new(row, "bytes", json_integer(bytes));
	json_decref(about);
	return row;
}

int
cli_backup_list(struct cli *c)
{
	struct backup_work w;
	struct cli_reply reply = {json_array(), json_object()};
	struct arena a ARENA_CLEANUP;
	struct slice_list names = {NULL, 0};
	int code = backup_begin(&w, c, false), err;

	arena_init(&a, (size_t)64 << 20);
	if (code == 0)
		code = backup_open_repo(&w, cli_text(c, "destination"), false);
	if (code == 0 && (err = backup_names(w.repo, &a, &names)) != 0)
		code = backup_fail(&w, err);
	for (size_t i = 0; code == 0 && i < names.n; i++)
		(void)json_array_append_new(reply.rows, listed(&w, names.v[i]));
	if (code == 0)
		cli_print_reply(c, &reply);
	cli_reply_free(&reply);
	return backup_end(&w, code);
}
