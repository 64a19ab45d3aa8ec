/* reader.c: the role that has readers made: strangers' HTML, charsets and encoded words become plain text, and their reports data, in processes that
 * have nothing but a socket to whoever asked. This process itself reads nothing of strangers': it is the clean start that
 * readers are forked from, with every charset open, a moment's work each. A reader (reader_child.c) gives up everything before it reads
 * its first byte, serves the texts of one account for a while and ends with its socket. */
#include "role/reader_private.h"

#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <uv.h>

#define CHILDREN_MAX 256

struct readers {
	struct role_context *c;
	struct charset_warmth *charsets;
	struct reader_child child;
	uv_signal_t on_chld;
	int64_t alive, opened, died;
};

static int
warm(struct role_context *c, struct buf *detail)
{
	struct readers *r = calloc(1, sizeof(*r));
	size_t missing;
	int err;

	if (r == NULL)
		return ERR_NOMEM;
	c->state = r;
	r->c = c;
	r->child.house = c->house;
	if ((r->charsets = charset_warm(&missing)) == NULL) {
		buf_put_z(detail, "cannot open the charset converters");
		return ERR_NOMEM;
	}
	err = sandbox_child_build(&r->child.sandbox, detail);
	if (err == ERR_UNSUPPORTED && c->settings->allow_unsandboxed) {
		buf_reset(detail);
		err = 0;
	}
	return err;
}

/* ---- making a reader ----------------------------------------------------------------------------------------- */

struct forking {
	struct loop_job job;
	struct readers *r;
	struct fiber *fiber;
	enum bus_reader what;
	int fd; /* the reader's end */
	int err;
	bool done;
};

/* On the loop's own stack, which is the size that libraries expect: the reader goes on with it. */
static void
fork_reader(void *arg)
{
	struct forking *f = arg;
	pid_t pid = fork();

	if (pid == 0)
		reader_child_main(&f->r->child, f->what, f->fd);
	f->err = pid < 0 ? err_from_errno(errno) : 0;
	f->done = true;
	fiber_wake(f->fiber);
}

static int
on_open(struct readers *r, struct bus_peer *from, struct bus_reader_open_request *q, struct arena *a,
    struct bus_reader_open_reply *reply)
{
	struct forking f = {.job = {.fn = fork_reader}, .r = r, .fiber = fiber_self(r->c->loop)};
	int sv[2];

	(void)from;
	(void)a;
	if (q->what != READER_TEXTS && q->what != READER_REPORTS)
		return ERR_INVALID;
	f.what = (enum bus_reader)q->what;
	if (r->alive >= CHILDREN_MAX)
		return ERR_BUSY;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) != 0)
		return err_from_errno(errno);
	f.fd = sv[1];
	f.job.arg = &f;
	loop_post(r->c->loop, &f.job);
	while (!f.done)
		fiber_park_always(r->c->loop);
	(void)close(sv[1]);
	if (f.err != 0) {
		(void)close(sv[0]);
		return f.err;
	}
	r->alive++;
	r->opened++;
	reply->socket = sv[0];
	return 0;
}

static void
got_child(uv_signal_t *s, int number)
{
	struct readers *r = s->data;
	int status;
	pid_t pid;

	(void)number;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		r->alive--;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			continue;
		r->died++;
		LOG(r->c->house, WARN, "reader_died", LOG_I("pid", pid),
		    LOG_I("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0),
		    LOG_I("code", WIFEXITED(status) ? WEXITSTATUS(status) : 0),
		    LOG_Z("detail", "what it was reading is left out: a text of a message in searches, or a report"));
	}
}

/* ---- the role ------------------------------------------------------------------------------------------------ */

static int
start(struct role_context *c, struct buf *detail)
{
	struct readers *r = c->state;

	if (uv_signal_init(loop_uv(c->loop), &r->on_chld) != 0 ||
	    uv_signal_start(&r->on_chld, got_child, SIGCHLD) != 0) {
		buf_put_z(detail, "cannot watch for the ends of readers");
		return ERR_IO;
	}
	r->on_chld.data = r;
	uv_unref((uv_handle_t *)&r->on_chld);
	BUS_HANDLE(c->bus, reader_open, on_open, r);
	return 0;
}

static void
status(struct role_context *c, json_t *into)
{
	const struct readers *r = c->state;

	json_object_set_new(into, "readers", json_integer((json_int_t)r->alive));
	json_object_set_new(into, "readers_total", json_integer((json_int_t)r->opened));
	json_object_set_new(into, "readers_died", json_integer((json_int_t)r->died));
}

/* Readers end with the sockets of those who asked for them. */
static void
shut_down(struct role_context *c, int64_t grace_ms)
{
	struct readers *r = c->state;

	(void)grace_ms;
	uv_close((uv_handle_t *)&r->on_chld, NULL);
	charset_cool(r->charsets);
	r->charsets = NULL;
}

const struct role_ops role_reader_ops = {
    .role = ROLE_READER, .warm = warm, .start = start, .status = status, .shutdown = shut_down};
