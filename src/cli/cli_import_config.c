/* cli_import_config.c: who lives in a Postfix and a Dovecot, into the directory of the house: domains, accounts with the hashes of their
 * passwords, aliases. Each line is one question to the house, and is told with what came of it; what is there already stays as
 * it is, so that all of it can be run again. */
#include "cli/cli.h"

#include "move/dovecot_passwd.h"
#include "move/move_file.h"
#include "move/postfix_map.h"

#define FILE_BYTES ((size_t)256 << 20)

struct config_import {
	struct cli *c;
	struct cli_where w;
	struct cli_quiet quiet;
	struct buf text;
	struct arena arena; /* of an entry */
	json_t *accounts;   /* object: addresses that are accounts */
	int fd;
	size_t done, kept, refused;
};

/* ---- asking and telling ------------------------------------------------------------------------------------------- */

static void
tell(struct config_import *i, size_t line, struct slice what, const char *result, const char *why)
{
	struct cli *c = i->c;

	if (c->json) {
		json_t *o = json_object();
		char *text;

		json_object_set_new(o, "line", json_integer((json_int_t)line));
		if (slice_is_utf8(what, true))
			json_object_set_new(
			    o, "address", json_stringn(what.n == 0 ? "" : (const char *)what.p, what.n));
		json_object_set_new(o, "result", json_string(result));
		json_object_set_new(o, "detail", json_string(why));
		text = json_dumps(o, JSON_COMPACT);
		(void)fprintf(c->out, "%s\n", text == NULL ? "" : text);
		free(text);
		json_decref(o);
		return;
	}
	cli_print_clean(c->out, what);
	(void)fprintf(c->out, "%s%s%s%s\n", what.n > 0 ? ": " : "", result, why[0] != '\0' ? ": " : "", why);
}

static void
refuse(struct config_import *i, size_t line, struct slice what, const char *why)
{
	char text[600];

	i->refused++;
	(void)snprintf(text, sizeof(text), "line %zu: %s", line, why);
	tell(i, line, what, "refused", i->c->json ? why : text);
}

/* Takes args. 0, or ERR_CLOSED: there is no house any more. */
static int
ask(struct config_import *i, size_t line, struct slice what, const char *command, json_t *args, const char *result)
{
	struct cli_reply reply CLI_REPLY_CLEANUP = {NULL, NULL};
	json_t *error;
	const char *code, *words;
	int err = args == NULL ? ERR_NOMEM : cli_ask(i->fd, command, args, &reply);

	json_decref(args);
	if (err != 0)
		return err;
	error = json_object_get(reply.final, "error");
	code = json_string_value(json_object_get(error, "code"));
	words = json_string_value(json_object_get(error, "what"));
	if (error == NULL) {
		i->done++;
		tell(i, line, what, result, "");
	} else if (code != NULL && strcmp(code, err_name(ERR_EXISTS)) == 0) {
		i->kept++;
		tell(i, line, what, "is there already", "");
	} else {
		refuse(i, line, what, words == NULL ? "the house refused it" : words);
	}
	return 0;
}

static json_t *
text_of(struct slice s)
{
	return json_stringn(s.n == 0 ? "" : (const char *)s.p, s.n);
}

/* "ann" in the domain that was given is ann@domain. */
static struct slice
address_of(struct config_import *i, struct slice s)
{
	const char *domain = cli_text(i->c, "domain");

	return domain == NULL || slice_find_byte(s, '@') != SLICE_NONE
	    ? arena_copy(&i->arena, s)
	    : arena_printf(&i->arena, "%.*s@%s", SLICE_ARG(s), domain);
}

/* ---- beginning and ending ------------------------------------------------------------------------------------------- */

static int
begin(struct config_import *i, struct cli *c)
{
	const char *file = cli_text(c, "file");
	int err, code;

	*i = (struct config_import){.c = c, .fd = -1, .accounts = json_object()};
	buf_init(&i->text, FILE_BYTES + 65536);
	buf_init(&i->w.config, 1u << 20);
	arena_init(&i->arena, (size_t)64 << 20);
	if ((err = move_file_text(file, FILE_BYTES, &i->text)) != 0)
		return cli_fail(c, EX_NOINPUT, "%s cannot be read: %s", file, err_text(err));
	if (!slice_is_utf8(buf_slice(&i->text), true))
		return cli_fail(
		    c, EX_DATAERR, "%s is not a text in UTF-8; give the text that Postfix makes its map from", file);
	code = cli_find_house(c, &i->w);
	return code != 0 ? code : cli_reach_house(c, &i->w, &i->quiet, CLI_SILENCE_S, &i->fd);
}

static int
end(struct config_import *i, int code, int err)
{
	struct cli *c = i->c;
	int ended;

	if (code == 0 && err != 0)
		code = cli_fail(c, EX_TEMPFAIL, "the house did not answer: %s; run this again", err_text(err));
	if (code == 0 && !c->json)
		(void)fprintf(
		    c->out, "%zu taken over, %zu there already, %zu refused.\n", i->done, i->kept, i->refused);
	if (code == 0 && i->refused > 0)
		code = EX_DATAERR;
	if (i->fd >= 0)
		(void)close(i->fd);
	ended = cli_quiet_stop(&i->quiet);
	cli_where_free(&i->w);
	buf_free(&i->text);
	arena_free(&i->arena);
	json_decref(i->accounts);
	return code == 0 ? ended : code;
}

/* ---- domains ------------------------------------------------------------------------------------------------------------- */

int
cli_import_domains(struct cli *c)
{
	struct config_import i;
	struct postfix_map map;
	struct postfix_entry e;
	int code = begin(&i, c), err = 0, r = 0;

	postfix_map_init(&map, buf_slice(&i.text), false);
	while (code == 0 && err == 0 && (r = postfix_map_next(&map, &e)) != 0) {
		struct slice keys = e.key, name;

		/* A map has one on a line; a list as in main.cf has commas. */
		while (r == 1 && err == 0 && postfix_value_next(&keys, &name))
			err = ask(&i, map.line, name, "domain add", json_pack("{s:o}", "name", text_of(name)), "added");
		if (r != 1)
			refuse(&i, map.line, SLICE_EMPTY, "that is no entry");
	}
	postfix_map_free(&map);
	return end(&i, code, err);
}

/* ---- accounts -------------------------------------------------------------------------------------------------------------- */

static int
add_account(struct config_import *i, size_t line, const struct dovecot_user *u)
{
	struct slice address = address_of(i, u->user);
	json_t *args = json_pack("{s:o}", "address", text_of(address));

	if (u->hash.n > 0)
		json_object_set_new(args, "hash", text_of(u->hash));
	if (u->name.n > 0)
		json_object_set_new(args, "display_name", text_of(u->name));
	if (u->quota_bytes > 0)
		json_object_set_new(args, "quota_bytes", json_integer((json_int_t)u->quota_bytes));
	return ask(i, line, address, "account add", args, u->locked ? "added, without a password" : "added");
}

int
cli_import_accounts(struct cli *c)
{
	struct config_import i;
	int code = begin(&i, c), err = 0;
	struct slice rest = buf_slice(&i.text);
	size_t line = 0;

	while (code == 0 && err == 0 && rest.n > 0) {
		struct slice text = slice_cut(&rest, '\n');
		struct dovecot_user u;
		int r;

		line++;
		arena_reset(&i.arena);
		r = dovecot_passwd_line(text, &i.arena, &u);
		if (r == 1)
			err = add_account(&i, line, &u);
		else if (r != 0)
			refuse(&i, line, SLICE_EMPTY, "that is no line of a passwd-file");
	}
	return end(&i, code, err);
}

/* ---- aliases ---------------------------------------------------------------------------------------------------------------- */

/* Which addresses are accounts: theirs are not aliases, but ways on. */
static int
read_accounts(struct config_import *i)
{
	struct cli_reply reply CLI_REPLY_CLEANUP = {NULL, NULL};
	json_t *args = json_object(), *row;
	int err = cli_ask(i->fd, "account list", args, &reply);
	size_t at;

	json_decref(args);
	json_array_foreach(reply.rows, at, row)
	{
		const char *address = json_string_value(json_object_get(row, "address"));

		if (address != NULL)
			json_object_set_new(i->accounts, address, json_true());
	}
	return err;
}

static bool
is_program(struct slice target)
{
	return target.n > 0 && strchr("|/:\"", slice_at(target, 0)) != NULL;
}

/* Postfix's maps know no case. */
static struct slice
lower(struct config_import *i, struct slice s)
{
	uint8_t *p = arena_alloc(&i->arena, s.n + 1);

	for (size_t k = 0; p != NULL && k < s.n; k++)
		p[k] = ascii_lower(slice_at(s, k));
	return slice_of(p, p == NULL ? 0 : s.n);
}

/* Where it leads, without itself: *keep tells whether it was there. NULL: told. */
static json_t *
targets_of(struct config_import *i, size_t line, struct slice address, struct slice value, bool *keep)
{
	json_t *targets = json_array();
	struct slice one;

	*keep = false;
	while (postfix_value_next(&value, &one)) {
		struct slice target;

		if (is_program(one)) {
			refuse(i, line, address,
			    "it leads to a program, a file or a list in a file, which no address of the house does");
			json_decref(targets);
			return NULL;
		}
		target = lower(i, address_of(i, one));
		if (slice_eq(target, address))
			*keep = true;
		else
			json_array_append_new(targets, text_of(target));
	}
	return targets;
}

static int
add_alias(struct config_import *i, size_t line, const struct postfix_entry *e)
{
	struct slice address = lower(i, address_of(i, e->key));
	char *z = arena_z(&i->arena, address);
	bool keep, account = z != NULL && json_object_get(i->accounts, z) != NULL;
	json_t *targets = targets_of(i, line, address, e->value, &keep);
	const char *first = json_string_value(json_array_get(targets, 0));

	if (targets == NULL)
		return 0;
	if (first == NULL) {
		json_decref(targets);
		if (keep) {
			i->kept++;
			tell(i, line, address, "leads to itself", "");
		} else {
			refuse(i, line, address, "it leads nowhere");
		}
		return 0;
	}
	if (slice_at(address, 0) == '@' && first[0] == '@') {
		json_t *args = json_pack("{s:o, s:s}", "name", text_of(slice_from(address, 1)), "domain", first + 1);

		json_decref(targets);
		return ask(i, line, address, "domain alias", args, "stands for that domain");
	}
	if (account)
		return ask(i, line, address, "account forward",
		    json_pack("{s:o, s:o, s:b}", "address", text_of(address), "targets", targets, "keep", keep),
		    "is forwarded");
	if (keep)
		json_array_append_new(targets, text_of(address));
	return ask(i, line, address, "alias add",
	    json_pack("{s:o, s:o}", "address", text_of(address), "targets", targets), "added");
}

int
cli_import_aliases(struct cli *c)
{
	struct config_import i;
	struct postfix_map map;
	struct postfix_entry e;
	int code = begin(&i, c), err = code == 0 ? read_accounts(&i) : 0, r = 0;

	postfix_map_init(&map, buf_slice(&i.text), cli_flag(c, "etc"));
	while (code == 0 && err == 0 && (r = postfix_map_next(&map, &e)) != 0) {
		arena_reset(&i.arena);
		if (r == 1)
			err = add_alias(&i, map.line, &e);
		else
			refuse(&i, map.line, SLICE_EMPTY, "that is no entry");
	}
	postfix_map_free(&map);
	return end(&i, code, err);
}
