/* cli_import.c: `posthouse import`: mail from elsewhere into an account. What strangers wrote is read by the mover alone (cli_mover.c). */
#include "cli/cli_move.h"

#include <errno.h>

#define CONNECTIONS 4
#define CONNECTIONS_MAX 32

struct import {
	struct cli_move m;
	struct move_run in;
	struct cli_server server;
	struct slice *only;
};

/* What a source is made of begins with a struct import. */
static int
new_target(void *arg, struct move_target *out)
{
	struct import *i = arg;

	return move_house_target(i->m.loop, &i->m.house.limits, &i->m.account, out);
}

static int
run(struct import *i, void *arg)
{
	struct cli *c = i->m.c;
	int code = cli_move_folders(&i->m, &i->only, &i->in.only);

	i->in.limits = &i->m.house.limits;
	i->in.target = new_target;
	i->in.arg = arg;
	i->in.into = slice_z(cli_text(c, "into"));
	i->in.drop = cli_flag(c, "drop");
	if (code == 0)
		code = cli_move_run(&i->m, &i->in);
	free(i->only);
	return code;
}

/* ---- from another server ----------------------------------------------------------------------------------------- */

static int
new_imap_source(void *arg, struct move_source *out)
{
	struct import *i = arg;

	return move_imap_source(i->m.loop, &i->m.house.limits, &i->server.s, &i->m.scratch, out);
}

int
cli_import_imap(struct cli *c)
{
	struct import i = {.only = NULL};
	json_t *connections = json_object_get(c->args, "connections");
	const char *account = cli_text(c, "account"), *user = cli_text(c, "user");
	int code = cli_move_begin(c, &i.m, account, "brought here");

	i.in.source = new_imap_source;
	i.in.connections = connections == NULL ? CONNECTIONS : (size_t)json_integer_value(connections);
	if (code == 0 && (i.in.connections == 0 || i.in.connections > CONNECTIONS_MAX))
		code = cli_fail(c, EX_USAGE, "import: between 1 and %d connections", CONNECTIONS_MAX);
	if (code == 0)
		code = cli_server_open(&i.m, cli_text(c, "server"), user == NULL ? account : user, &i.server);
	if (code == 0)
		code = run(&i, &i);
	cli_server_close(&i.server);
	return cli_move_end(&i.m, code);
}

/* ---- from files ---------------------------------------------------------------------------------------------------- */

typedef int source_fn(
    const struct limits *limits, const char *path, const struct move_scratch *scratch, struct move_source *out);

struct file_import {
	struct import i;
	source_fn *fn;
	const char *path;
};

static int
new_file_source(void *arg, struct move_source *out)
{
	struct file_import *f = arg;

	return f->fn(&f->i.m.house.limits, f->path, &f->i.m.scratch, out);
}

static int
import_files(struct cli *c, source_fn *fn)
{
	struct file_import f = {.fn = fn, .path = cli_text(c, "path")};
	int code;

	if (access(f.path, R_OK) != 0)
		return cli_fail(c, EX_NOINPUT, "%s cannot be read: %s", f.path, strerror(errno));
	code = cli_move_begin(c, &f.i.m, cli_text(c, "account"), "brought here");
	f.i.m.path = f.path;
	f.i.in.source = new_file_source;
	f.i.in.connections = 1;
	if (code == 0)
		code = run(&f.i, &f);
	return cli_move_end(&f.i.m, code);
}

int
cli_import_maildir(struct cli *c)
{
	return import_files(c, move_maildir_source);
}

int
cli_import_mbox(struct cli *c)
{
	return import_files(c, move_mbox_source);
}

int
cli_import_eml(struct cli *c)
{
	return import_files(c, move_eml_source);
}
