/* cli_quiet.c: when no house runs, a command starts one without network and deliveries for as long as it takes: the same
 * keeper, in a child, which holds the house's lock. */
#include "cli/cli.h"

#include "role/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static void
say_ready(void *ctx, struct loop *l, const struct settings *s)
{
	ssize_t ignored = write(*(int *)ctx, "r", 1);

	(void)l;
	(void)s;
	(void)ignored;
}

static _Noreturn void
run_keeper(const struct cli_where *w, int ready_fd)
{
	struct keeper_config k = {.config = buf_slice(&w->config),
	    .data_dir = w->dir,
	    .roles = ROLE_VAULT | ROLE_CLERK | ROLE_DESK,
	    .flags = START_QUIET,
	    .on_ready = say_ready,
	    .on_ready_ctx = &ready_fd};
	struct buf detail;
	int code;

	/* A command that is killed leaves no house behind. */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	buf_init(&detail, 65536);
	code = keeper_run(&k, &detail);
	/* That another command was faster is its parent's to deal with. */
	if (detail.n > 0 && code != EX_TEMPFAIL)
		(void)fprintf(stderr, "posthouse: %.*s\n", SLICE_ARG(slice_trim(buf_slice(&detail))));
	_exit(code);
}

int
cli_quiet_start(struct cli *c, const struct cli_where *w, struct cli_quiet *q)
{
	int ready[2], code;
	char byte;
	ssize_t n;

	q->pid = 0;
	if (access(w->dir, F_OK) != 0)
		return cli_fail(c, EX_NOINPUT, "there is no house in %s (%s); `posthouse setup` makes one", w->dir,
		    strerror(errno));
	if (pipe2(ready, O_CLOEXEC) != 0)
		return cli_fail(c, EX_OSERR, "no pipe: %s", strerror(errno));
	(void)fflush(c->out);
	q->pid = fork();
	if (q->pid == 0)
		run_keeper(w, ready[1]);
	(void)close(ready[1]);
	do
		n = q->pid < 0 ? 0 : read(ready[0], &byte, 1);
	while (n < 0 && errno == EINTR);
	(void)close(ready[0]);
	if (n == 1)
		return EX_OK;
	/* It has said why. */
	code = q->pid > 0 ? cli_quiet_stop(q) : EX_OSERR;
	return code == EX_OK ? EX_UNAVAILABLE : code;
}

int
cli_quiet_stop(struct cli_quiet *q)
{
	int status;

	if (q->pid <= 0)
		return EX_OK;
	(void)kill(q->pid, SIGTERM);
	while (waitpid(q->pid, &status, 0) < 0)
		if (errno != EINTR)
			return EX_OSERR;
	q->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
}
