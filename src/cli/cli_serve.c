/* cli_serve.c: `posthouse serve`: the keeper in the foreground. */
#include "cli/cli.h"

#include "role/keeper.h"

static void
say_ready(void *ctx, struct loop *l, const struct settings *s)
{
	struct cli *c = ctx;

	(void)l;
	(void)fprintf(c->out, "posthouse %s: ready as %.*s\n", POSTHOUSE_VERSION, SLICE_ARG(s->hostname));
	(void)fflush(c->out);
}

int
cli_serve(struct cli *c)
{
	struct cli_where w CLI_WHERE_CLEANUP;
	struct keeper_config k = {.on_ready = say_ready, .on_ready_ctx = c};
	struct buf detail BUF_CLEANUP;
	int code = cli_find_house(c, &w);

	buf_init(&detail, 65536);
	if (code != 0)
		return code;
	if (w.config_path[0] == '\0')
		return cli_fail(c, EX_CONFIG,
		    "there is no configuration: neither --config FILE, nor posthouse.conf in %s. `posthouse setup` "
		    "makes a new house.",
		    w.dir);
	k.config = buf_slice(&w.config);
	k.config_path = w.config_path;
	k.data_dir = w.dir;
	k.flags = (cli_flag(c, "plain") ? START_PLAIN : 0) | (cli_flag(c, "test_clock") ? START_TEST_CLOCK : 0) |
	    (cli_flag(c, "allow_unsandboxed") ? START_UNSANDBOXED : 0);
	code = keeper_run(&k, &detail);
	if (detail.n > 0)
		(void)cli_fail(c, code, "%.*s", SLICE_ARG(slice_trim(buf_slice(&detail))));
	return code;
}
