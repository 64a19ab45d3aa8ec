/* cli_export.c: `posthouse export`: an account's mail to another server, or into files. */
#include "cli/cli_move.h"

typedef int target_fn(const struct limits *limits, const char *path, struct move_target *out);

struct export
{
	struct cli_move m;
	struct move_run run;
	struct cli_server server;
	target_fn *fn;
	struct slice *only;
};

static int
new_source(void *arg, struct move_source *out)
{
	struct export *e = arg;

	return move_house_source(e->m.loop, &e->m.house.limits, &e->m.account, &e->m.scratch, out);
}

static int
new_target(void *arg, struct move_target *out)
{
	struct export *e = arg;

	return e->fn != NULL ? e->fn(&e->m.house.limits, cli_text(e->m.c, "path"), out)
			     : move_imap_target(e->m.loop, &e->m.house.limits, &e->server.s, out);
}

static int export(struct export *e, int code)
{
	if (code == 0)
		code = cli_move_folders(&e->m, &e->only, &e->run.only);
	e->run.limits = &e->m.house.limits;
	e->run.source = new_source;
	e->run.target = new_target;
	e->run.arg = e;
	e->run.connections = 1;
	if (code == 0)
		code = cli_move_run(&e->m, &e->run);
	free(e->only);
	cli_server_close(&e->server);
	return cli_move_end(&e->m, code);
}

static int
export_files(struct cli *c, target_fn *fn)
{
	struct export e = {.fn = fn};
	int code = cli_move_begin(c, &e.m, cli_text(c, "account"), "written");

	e.m.path = cli_text(c, "path");
	e.m.writes = true;
	return export(&e, code);
}

int
cli_export_maildir(struct cli *c)
{
	return export_files(c, move_maildir_target);
}

int
cli_export_mbox(struct cli *c)
{
	return export_files(c, move_mbox_target);
}

int
cli_export_eml(struct cli *c)
{
	return export_files(c, move_eml_target);
}

int
cli_export_imap(struct cli *c)
{
	struct export e = {.fn = NULL};
	const char *account = cli_text(c, "account"), *user = cli_text(c, "user");
	int code = cli_move_begin(c, &e.m, account, "sent there");

	if (code == 0)
		code = cli_server_open(&e.m, cli_text(c, "server"), user == NULL ? account : user, &e.server);
	return export(&e, code);
}
