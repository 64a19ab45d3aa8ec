#include "role/report_apart.h"

#include "base/cursor.h"
#include "reader/reader_texts.h"
#include "role/reader_private.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

static bool
send_all(int fd, struct slice s)
{
	while (s.n > 0) {
		ssize_t put = send(fd, s.p, s.n, MSG_NOSIGNAL);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		s = slice_from(s, (size_t)put);
	}
	return true;
}

static bool
receive_all(int fd, uint8_t *to, size_t n)
{
	while (n > 0) {
		ssize_t got = recv(fd, to, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		to += got;
		n -= (size_t)got;
	}
	return true;
}

static int
exchange(int fd, struct slice file, struct arena *a, struct bus_reader_report_reply *reply)
{
	struct bus_reader_report_request q = {file};
	struct buf frame BUF_CLEANUP;
	uint8_t head[4], *in;
	struct cursor c = cursor_of(slice_of(head, sizeof(head)));
	uint32_t length;
	size_t nfds;
	int e;

	buf_init(&frame, READER_FRAME_MAX);
	buf_put_be32(&frame, 0);
	if ((e = bus_encode(BUS_reader_report, false, &q, &frame, NULL, &nfds, 0)) != 0)
		return e;
	buf_patch_be32(&frame, 0, (uint32_t)(frame.n - 4));
	if (!send_all(fd, buf_slice(&frame)) || !receive_all(fd, head, sizeof(head)))
		return ERR_DAMAGED;
	length = cursor_be32(&c);
	if (length > READER_FRAME_MAX)
		return ERR_DAMAGED;
	if ((in = arena_alloc(a, length)) == NULL)
		return ERR_NOMEM;
	if (!receive_all(fd, in, length) ||
	    bus_decode(BUS_reader_report, true, slice_of(in, length), NULL, 0, a, reply) != 0)
		return ERR_DAMAGED;
	return 0;
}

int
report_apart_read(
    struct house *h, struct slice file, struct arena *a, struct bus_reader_report_reply *reply, struct buf *detail)
{
	struct reader_child child = {.house = h};
	int sv[2], status, e = sandbox_child_build(&child.sandbox, detail);
	pid_t pid;

	if (e != 0)
		return e;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) != 0) {
		free(child.sandbox);
		return ERR_IO;
	}
	pid = fork();
	if (pid == 0) {
		/* Without this a user who is not root may enter no filter. */
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
			_exit(1);
		reader_child_main(&child, READER_REPORTS, sv[1]);
	}
	(void)close(sv[1]);
	e = pid < 0 ? ERR_IO : exchange(sv[0], file, a, reply);
	(void)close(sv[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	free(child.sandbox);
	return e;
}
