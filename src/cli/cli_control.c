/* cli_control.c: the client's side of the control socket: a line of JSON out, lines of JSON in, the last of which has "ok"
 * or "error". */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#define REPLY_BYTES (256u << 20)
#define LINE_BYTES (16u << 20)

int
cli_connect(const char *dir)
{
	return cli_connect_to(dir, "control", CLI_SILENCE_S);
}

int
cli_connect_to(const char *dir, const char *name, int silence_s)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct timeval silence = {.tv_sec = silence_s};
	char path[HOUSE_PATH_BYTES + 64];
	int fd, run, saved;

	/* Through the open folder: its path may be longer than an address of a socket can be. */
	(void)snprintf(path, sizeof(path), "%s/run", dir);
	run = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (run < 0)
		return -1;
	(void)snprintf(un.sun_path, sizeof(un.sun_path), "/proc/self/fd/%d/%s", run, name);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence));
	}
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&un, sizeof(un)) != 0) {
		saved = errno;
		(void)close(fd);
		errno = saved;
		fd = -1;
	}
	saved = errno;
	(void)close(run);
	errno = saved;
	return fd;
}

static int
send_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t put = send(fd, p, n, MSG_NOSIGNAL);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return ERR_CLOSED;
		p += put;
		n -= (size_t)put;
	}
	return 0;
}

int
cli_ask_send(int fd, const char *command, json_t *args)
{
	json_t *request = json_pack("{s:s, s:O}", "command", command, "args", args);
	char *text = request == NULL ? NULL : json_dumps(request, JSON_COMPACT);
	int err = text == NULL ? ERR_NOMEM : send_all(fd, text, strlen(text));

	if (err == 0)
		err = send_all(fd, "\n", 1);
	free(text);
	json_decref(request);
	return err;
}

/* 1: that was the last line; 0: a row; or an error. */
static int
take_line(struct slice line, struct cli_reply *reply)
{
	json_error_t error;
	json_t *v = json_loadb((const char *)line.p, line.n, 0, &error), *row = json_object_get(v, "row");
	int r = ERR_SYNTAX;

	if (row != NULL) {
		r = json_array_append(reply->rows, row) == 0 ? 0 : ERR_NOMEM;
		json_decref(v);
	} else if (json_object_get(v, "ok") != NULL || json_object_get(v, "error") != NULL) {
		reply->final = v;
		r = 1;
	} else {
		json_decref(v);
	}
	return r;
}

void
cli_fds_close(struct cli_fds *fds)
{
	for (size_t i = 0; i < fds->n; i++)
		if (fds->v[i] >= 0)
			(void)close(fds->v[i]);
	fds->n = 0;
}

static void
take_fds(struct msghdr *m, struct cli_fds *fds)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		size_t n = c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS
		    ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int)
		    : 0;

		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (fds->n < CLI_FDS_MAX)
				fds->v[fds->n++] = fd;
			else
				(void)close(fd);
		}
	}
}

/* As read(), with what descriptors come along. */
static ssize_t
receive(int fd, void *p, size_t n, struct cli_fds *fds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(CLI_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = {p, n};
	struct msghdr m = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t got = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);

	if (got > 0)
		take_fds(&m, fds);
	return got;
}

int
cli_ask(int fd, const char *command, json_t *args, struct cli_reply *reply)
{
	struct cli_fds fds CLI_FDS_CLEANUP = {.n = 0};

	return cli_ask_fds(fd, command, args, reply, &fds);
}

int
cli_ask_fds(int fd, const char *command, json_t *args, struct cli_reply *reply, struct cli_fds *fds)
{
	int err = cli_ask_send(fd, command, args);

	*reply = (struct cli_reply){NULL, NULL};
	return err != 0 ? err : cli_ask_read(fd, reply, fds);
}

int
cli_ask_read(int fd, struct cli_reply *reply, struct cli_fds *fds)
{
	struct buf in BUF_CLEANUP;
	size_t total = 0;
	int r = 0;

	*reply = (struct cli_reply){json_array(), NULL};
	buf_init(&in, LINE_BYTES);
	while (r == 0 && total < REPLY_BYTES) {
		size_t end = slice_find_byte(buf_slice(&in), '\n');
		ssize_t got;
		uint8_t *at;

		if (end != SLICE_NONE) {
			r = take_line(slice_head(buf_slice(&in), end), reply);
			buf_consume(&in, end + 1);
			continue;
		}
		at = buf_reserve(&in, 65536);
		if (at == NULL)
			return in.err;
		got = receive(fd, at, 65536, fds);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return ERR_TIMEOUT;
		if (got <= 0)
			return ERR_CLOSED;
		buf_added(&in, (size_t)got);
		total += (size_t)got;
	}
	return r == 1 ? 0 : r == 0 ? ERR_LIMIT : r;
}

void
cli_reply_free(struct cli_reply *r)
{
	json_decref(r->rows);
	json_decref(r->final);
	*r = (struct cli_reply){NULL, NULL};
}

static int
code_of(const char *name)
{
	static const struct {
		int err, code;
	} v[] = {{ERR_NOTFOUND, EX_NOUSER}, {ERR_EXISTS, EX_DATAERR}, {ERR_INVALID, EX_DATAERR},
	    {ERR_SYNTAX, EX_DATAERR}, {ERR_CONFLICT, EX_DATAERR}, {ERR_BUSY, EX_TEMPFAIL},
	    {ERR_UNAVAILABLE, EX_TEMPFAIL}, {ERR_TIMEOUT, EX_TEMPFAIL}, {ERR_CLOSED, EX_TEMPFAIL},
	    {ERR_FULL, EX_TEMPFAIL}, {ERR_DENIED, EX_NOPERM}, {ERR_IO, EX_IOERR}, {ERR_NOMEM, EX_OSERR},
	    {ERR_LIMIT, EX_DATAERR}};

	for (size_t i = 0; name != NULL && i < COUNT_OF(v); i++)
		if (strcmp(name, err_name(v[i].err)) == 0)
			return v[i].code;
	return EX_SOFTWARE;
}

int
cli_reply_code(struct cli *c, const struct cli_reply *r)
{
	json_t *error = json_object_get(r->final, "error");
	const char *what = json_string_value(json_object_get(error, "what")),
		   *help = json_string_value(json_object_get(error, "do"));

	if (error == NULL)
		return EX_OK;
	(void)cli_fail(c, 0, "%s", what == NULL ? "the house refused" : what);
	if (help != NULL && help[0] != '\0')
		(void)fprintf(c->err, "  %s\n", help);
	return code_of(json_string_value(json_object_get(error, "code")));
}
