/* cli_mover.c: the process in which mail is moved. It reads what strangers wrote, so it has walls of its own (role/sandbox.def): no network,
 * no file but those below the path that the command names, none of the house, nothing to start. What it needs beyond that it asks its parent
 * for, over a pair of sockets, and gets as a descriptor: a connection to the one account's desk, a connection to the one server, a file without a name.
 * Its parent reads nothing of strangers.
 *
 * A question is one byte; the answer an error and perhaps a descriptor. The last word of the mover is its result. When either ends, so does
 * the other. */
#include "cli/cli_move.h"

#include "role/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum ask { ASK_ACCOUNT = 1, ASK_SERVER, ASK_SCRATCH, ASK_DONE };

/* What the mover says: `counts` and what follows only with ASK_DONE. */
struct word {
	int ask;
	int err;
	struct move_counts counts;
	uint64_t folders, folders_failed, damaged;
};

/* ---- a word and a descriptor --------------------------------------------------------------------------------------- */

union one_fd {
	struct cmsghdr align;
	char space[CMSG_SPACE(sizeof(int))];
};

static int
send_answer(int link, int err, int fd)
{
	union one_fd control = {0};
	struct iovec v = {&err, sizeof(err)};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
	ssize_t n;

	if (fd >= 0) {
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
		*CMSG_FIRSTHDR(&m) = (struct cmsghdr){
		    .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(fd))};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &fd, sizeof(fd));
	}
	do
		n = sendmsg(link, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(err) ? 0 : ERR_CLOSED;
}

static bool
receive_answer(int link, int *err, int *fd)
{
	union one_fd control;
	struct iovec v = {err, sizeof(*err)};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	struct cmsghdr *c;
	ssize_t n;

	*fd = -1;
	do
		n = recvmsg(link, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(*err))
		return false;
	c = CMSG_FIRSTHDR(&m);
	if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(*fd)))
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	return true;
}

static int
say(int link, const struct word *w)
{
	ssize_t n;

	do
		n = send(link, w, sizeof(*w), MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(*w) ? 0 : ERR_CLOSED;
}

/* ---- the mover ------------------------------------------------------------------------------------------------------- */

/* Without its parent it does nothing more: what fails then is no message's fault. */
static int
ask(struct cli_move *m, enum ask what, int *fd)
{
	struct word w = {.ask = (int)what};
	int err = ERR_CLOSED;

	if (say(m->link, &w) != 0 || !receive_answer(m->link, &err, fd))
		_exit(EX_TEMPFAIL);
	return err == 0 && *fd < 0 ? ERR_CLOSED : err;
}

static int
ask_account(void *arg, int *fd)
{
	return ask(arg, ASK_ACCOUNT, fd);
}

static int
ask_server(void *arg, int *fd)
{
	return ask(arg, ASK_SERVER, fd);
}

static int
ask_scratch(void *arg, int *fd)
{
	return ask(arg, ASK_SCRATCH, fd);
}

static int
raise_walls(struct cli_move *m)
{
	struct sandbox_config walls = {.role = m->writes ? SANDBOX_MOVER_OUT : SANDBOX_MOVER,
	    .data_dir = m->w.dir,
	    .path = m->path,
	    .allow_unsandboxed = cli_flag(m->c, "allow_unsandboxed")};
	struct buf BUF_CLEANUP detail;
	int err;

	buf_init(&detail, 8192);
	err = sandbox_enter(&walls, &detail);
	if (err != 0)
		return cli_fail(m->c, EX_UNAVAILABLE, "mail of strangers is only read behind walls: %.*s",
		    SLICE_ARG(slice_trim(buf_slice(&detail))));
	if (detail.n > 0)
		(void)cli_fail(m->c, 0, "%.*s", SLICE_ARG(slice_trim(buf_slice(&detail))));
	return 0;
}

struct call {
	struct cli_move *m;
	struct move_run *run;
	int err;
};

static void
move(void *arg)
{
	struct call *k = arg;

	k->err = move_run(k->run);
	loop_stop(k->m->loop);
}

/* On the mover's loop: what move_run() says. */
static int
run_loop(struct cli_move *m, struct move_run *run)
{
	struct call k = {m, run, ERR_NOMEM};

	run->loop = m->loop;
	run->report = m->report;
	if (fiber_start(m->loop, "move", move, &k, NULL) == 0)
		loop_run(m->loop);
	return k.err;
}

static int
work(struct cli_move *m, struct move_run *run)
{
	struct word last = {.ask = ASK_DONE};
	int code;

	m->account = (struct move_account){m, ask_account};
	m->scratch = (struct move_scratch){m, ask_scratch};
	if (loop_new(&m->loop, &m->house) != 0)
		return cli_fail(m->c, EX_OSERR, "out of memory");
	if (m->server != NULL) {
		m->server->s.connect = ask_server;
		m->server->s.arg = m;
		if ((code = cli_server_start_tls(m, m->server)) != 0)
			return code;
	}
	if ((code = raise_walls(m)) != 0)
		return code;
	run->scratch = &m->scratch;
	last.err = run_loop(m, run);
	last.counts = run->counts;
	last.folders = run->folders;
	last.folders_failed = run->folders_failed;
	last.damaged = m->damaged;
	(void)fflush(m->c->out);
	return say(m->link, &last) == 0 ? 0 : EX_SOFTWARE;
}

/* Nothing that the command has open comes along but its standard streams. */
static void
close_others(int but)
{
	(void)close_range(STDERR_FILENO + 1, (unsigned)but - 1, 0);
	(void)close_range((unsigned)but + 1, ~0u, 0);
}

static _Noreturn void
be_mover(struct cli_move *m, struct move_run *run, int link, pid_t parent)
{
	int code;

	m->link = link;
	if (link > STDERR_FILENO + 1)
		close_others(link);
	else
		(void)close_range(STDERR_FILENO + 2, ~0u, 0);
	code = sandbox_prepare(parent) == 0 ? work(m, run) : EX_OSERR;
	(void)fflush(m->c->out);
	(void)fflush(m->c->err);
	_exit(code);
}

/* ---- its parent ------------------------------------------------------------------------------------------------------- */

static int
answer(struct cli_move *m, int link, int what)
{
	int fd = -1, err = ERR_INVALID, sent;

	if (what == ASK_ACCOUNT)
		err = cli_move_account(m, &fd);
	else if (what == ASK_SERVER && m->server != NULL)
		err = cli_server_connect(m->server, &fd);
	else if (what == ASK_SCRATCH)
		err = move_body_scratch(&fd);
	sent = send_answer(link, err, fd);
	if (fd >= 0)
		(void)close(fd);
	return sent;
}

/* Until the mover has ended. Whether it has said what came of it. */
static bool
attend(struct cli_move *m, int link, struct word *w)
{
	for (;;) {
		ssize_t n;

		do
			n = recv(link, w, sizeof(*w), 0);
		while (n < 0 && errno == EINTR);
		if (n != (ssize_t)sizeof(*w))
			return false;
		if (w->ask == ASK_DONE)
			return true;
		if (answer(m, link, w->ask) != 0)
			return false;
	}
}

static int
conclude(struct cli_move *m, struct move_run *run, bool said, const struct word *w, int status)
{
	if (WIFSIGNALED(status))
		return cli_fail(m->c, EX_SOFTWARE,
		    "the process that moves the mail was ended by signal %d; what it has moved stays: run this again "
		    "to go on",
		    WTERMSIG(status));
	if (!said)
		return WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : EX_SOFTWARE; /* told */
	run->counts = w->counts;
	m->damaged = w->damaged;
	return cli_move_conclude(m, &w->counts, (size_t)w->folders, (size_t)w->folders_failed, w->err);
}

int
cli_move_run(struct cli_move *m, struct move_run *run)
{
	int link[2], status = 0;
	struct word w = {0};
	pid_t parent = getpid(), pid;
	bool said;

	/* Where files go the folder is made before the walls, which are around what is there. */
	if (m->writes && m->path != NULL && mkdir(m->path, 0700) != 0 && errno != EEXIST)
		return cli_fail(m->c, EX_CANTCREAT, "%s cannot be made: %s", m->path, strerror(errno));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) != 0)
		return cli_fail(m->c, EX_OSERR, "no sockets: %s", strerror(errno));
	(void)fflush(m->c->out);
	(void)fflush(m->c->err);
	pid = fork();
	if (pid == 0) {
		(void)close(link[0]);
		be_mover(m, run, link[1], parent);
	}
	(void)close(link[1]);
	if (pid < 0) {
		(void)close(link[0]);
		return cli_fail(m->c, EX_OSERR, "no process: %s", strerror(errno));
	}
	said = attend(m, link[0], &w);
	(void)close(link[0]);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return cli_fail(m->c, EX_OSERR, "the process that moves the mail is lost: %s", strerror(errno));
	return conclude(m, run, said, &w, status);
}

/* ---- without walls ---------------------------------------------------------------------------------------------------- */

static int
connect_account(void *arg, int *fd)
{
	return cli_move_account(arg, fd);
}

int
cli_move_run_here(struct cli_move *m, struct move_run *run)
{
	int err;

	m->account = (struct move_account){m, connect_account};
	if (loop_new(&m->loop, &m->house) != 0)
		return cli_fail(m->c, EX_OSERR, "out of memory");
	err = run_loop(m, run);
	loop_free(&m->loop);
	return cli_move_conclude(m, &run->counts, run->folders, run->folders_failed, err);
}
