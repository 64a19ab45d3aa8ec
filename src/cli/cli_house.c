/* cli_house.c: commands of the house: to the one that runs, else to a quiet one for the time of the command. */
#include "cli/cli.h"

#include <errno.h>

#define BUSY_TRIES 50
#define BUSY_PAUSE_US 200000

/* Asks over an open connection and prints what comes. */
static int
ask_and_print(struct cli *c, int fd)
{
	struct cli_reply reply CLI_REPLY_CLEANUP;
	int err = cli_ask(fd, c->command->words, c->args, &reply), code;

	if (err != 0)
		return cli_fail(c, EX_TEMPFAIL, "the house did not answer: %s; its log tells why", err_text(err));
	code = cli_reply_code(c, &reply);
	cli_print_reply(c, &reply);
	return code;
}

int
cli_reach_house(struct cli *c, const struct cli_where *w, struct cli_quiet *quiet, int silence_s, int *fd)
{
	int code = 0;

	for (int i = 0; i < BUSY_TRIES; i++) {
		*fd = cli_connect_to(w->dir, "control", silence_s);
		if (*fd >= 0)
			return 0;
		if (errno != ENOENT && errno != ECONNREFUSED && errno != ENOTDIR)
			return cli_fail(c, EX_NOPERM, "the house in %s cannot be asked: %s", w->dir, strerror(errno));
		code = quiet->pid > 0 ? 0 : cli_quiet_start(c, w, quiet);
		if (code != 0 && code != EX_TEMPFAIL)
			return code;
		if (code == EX_TEMPFAIL)
			(void)usleep(BUSY_PAUSE_US);
	}
	return cli_fail(
	    c, EX_TEMPFAIL, "the house in %s does not answer; %s/lock names the process that has it", w->dir, w->dir);
}

static int
ask_house(struct cli *c, int silence_s)
{
	struct cli_where w CLI_WHERE_CLEANUP;
	struct cli_quiet quiet = {0};
	int code = cli_find_house(c, &w), fd = -1, ended;

	if (code != 0)
		return code;
	code = cli_reach_house(c, &w, &quiet, silence_s, &fd);
	if (code == 0)
		code = ask_and_print(c, fd);
	if (fd >= 0)
		(void)close(fd);
	ended = cli_quiet_stop(&quiet);
	return code == 0 ? ended : code;
}

int
cli_house(struct cli *c)
{
	return ask_house(c, CLI_SILENCE_S);
}

/* What is wrong, in sentences. */
static void
print_problems(struct cli *c, const json_t *problems)
{
	for (size_t i = 0; i < json_array_size(problems); i++) {
		const json_t *p = json_array_get(problems, i);
		const char *level = json_string_value(json_object_get(p, "level")),
			   *what = json_string_value(json_object_get(p, "what")),
			   *todo = json_string_value(json_object_get(p, "do"));

		cli_print_clean(c->out, slice_z(level == NULL ? "" : level));
		(void)fputs(": ", c->out);
		cli_print_wrapped(
		    c->out, what == NULL ? "" : what, level == NULL ? 2 : strlen(level) + 2, 2, CLI_LINE_WIDTH);
		(void)fputs("\n  ", c->out);
		cli_print_wrapped(c->out, todo == NULL ? "" : todo, 2, 2, CLI_LINE_WIDTH);
		(void)fputs("\n\n", c->out);
	}
}

/* As other programs that watch: 0, 1, 2. */
static int
check_code(const struct cli_reply *r)
{
	const char *health = json_string_value(json_object_get(r->final, "health"));

	return health == NULL || strcmp(health, "critical") == 0 ? 2 : strcmp(health, "warning") == 0 ? 1 : 0;
}

static int
ask_status(struct cli *c, int fd, bool check)
{
	struct cli_reply reply CLI_REPLY_CLEANUP;
	int err = cli_ask(fd, c->command->words, c->args, &reply), code;

	if (err != 0)
		return cli_fail(
		    c, check ? 2 : EX_TEMPFAIL, "the house did not answer: %s; its log tells why", err_text(err));
	code = cli_reply_code(c, &reply);
	if (code == 0 && !c->json) {
		print_problems(c, check ? reply.rows : json_object_get(reply.final, "problems"));
		(void)json_object_del(reply.final, "problems");
	}
	if (check && code == 0 && !c->json)
		(void)json_array_clear(reply.rows);
	cli_print_reply(c, &reply);
	return code != 0 || !check ? code : check_code(&reply);
}

/* A house that does not run is not started to be looked at, when a script asks. */
int
cli_status(struct cli *c)
{
	struct cli_where w CLI_WHERE_CLEANUP;
	struct cli_quiet quiet = {0};
	bool check = cli_flag(c, "check");
	int code = cli_find_house(c, &w), fd = -1, ended;

	if (code != 0)
		return code;
	if (check && (fd = cli_connect(w.dir)) < 0)
		return cli_fail(c, 2, "no house runs in %s", w.dir);
	if (!check)
		code = cli_reach_house(c, &w, &quiet, CLI_SILENCE_S, &fd);
	if (code == 0)
		code = ask_status(c, fd, check);
	if (fd >= 0)
		(void)close(fd);
	ended = cli_quiet_stop(&quiet);
	return code == 0 ? ended : code;
}

int
cli_house_long(struct cli *c)
{
	return ask_house(c, CLI_LONG_SILENCE_S);
}

int
cli_stop(struct cli *c)
{
	struct cli_where w CLI_WHERE_CLEANUP;
	int code = cli_find_house(c, &w), fd;

	if (code != 0)
		return code;
	fd = cli_connect(w.dir);
	if (fd < 0)
		return cli_fail(c, EX_UNAVAILABLE, "no house runs in %s", w.dir);
	code = ask_and_print(c, fd);
	(void)close(fd);
	return code;
}
