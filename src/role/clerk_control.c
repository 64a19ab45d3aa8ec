/* clerk_control.c: the control socket DIR/run/control. Only root and the user of the keeper get in (the socket's mode says
 * so too). Each connection is a session of lines: a request, its rows, its end; several requests may follow each other.
 * Passwords travel here, so requests are never logged with their arguments. */
#include "role/clerk_private.h"

#include <stdarg.h>

#define SESSIONS_MAX 100
#define WORDS_BYTES 8192
#define REQUEST_ARENA_BYTES ((size_t)16 << 20)
#define IDLE_MS 600000

static control_fn *const control_functions[CONTROL_COUNT] = {
#define CONTROL_COMMAND(name, words, help) [CONTROL_##name] = control_run_##name,
#define CONTROL_ARG(command, key, type, need, help)
#include "role/control.def"
#undef CONTROL_COMMAND
#undef CONTROL_ARG
};

/* ---- writing ---------------------------------------------------------------------------------------- */

static int
write_json(struct control_session *s, json_t *o)
{
	char *text;

	if (s->st == NULL) /* it speaks with somebody else now */
		s->stream_err = ERR_CLOSED;
	if (s->stream_err != 0)
		return s->stream_err;
	text = json_dumps(o, JSON_COMPACT);
	if (text == NULL)
		return ERR_NOMEM;
	s->stream_err = stream_write(s->st, slice_z(text));
	free(text);
	if (s->stream_err == 0)
		s->stream_err = stream_write(s->st, SLICE("\n"));
	return s->stream_err;
}

int
control_row(struct control_session *s, json_t *row)
{
	json_t *o = json_object();
	int err;

	json_object_set(o, "row", row);
	err = write_json(s, o);
	json_decref(o);
	return err;
}

int
control_json_rows(struct control_session *s, struct slice_list json)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < json.n; i++) {
		json_t *o = json_loadb((const char *)json.v[i].p, json.v[i].n, 0, NULL);

		err = o == NULL ? ERR_INVALID : control_row(s, o);
		json_decref(o);
	}
	return err;
}

void
control_set_text(json_t *o, const char *key, struct slice utf8)
{
	json_object_set_new(
	    o, key, json_stringn((const char *)(utf8.p == NULL ? (const uint8_t *)"" : utf8.p), utf8.n));
}

void
control_set_time(json_t *o, const char *key, int64_t us)
{
	char text[RFC3339_MAX];

	time_rfc3339(us, text);
	json_object_set_new(o, key, json_string(text));
}

int
control_fail(struct control_session *s, int err, const char *todo, const char *fmt, ...)
{
	char text[1000];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_reset(&s->what);
	buf_reset(&s->todo);
	buf_put_z(&s->what, text);
	buf_put_z(&s->todo, todo);
	return err;
}

int
control_fail_role(struct control_session *s, const char *role, int err, struct slice detail)
{
	if (err == ERR_CLOSED || err == ERR_TIMEOUT)
		return control_fail(s, ERR_UNAVAILABLE, "Look at `posthouse status` and the log, and try again.",
		    "the %s does not answer (%s)", role, err_text(err));
	detail = slice_trim(detail);
	if (detail.n > 0)
		return control_fail(s, err == 0 ? ERR_INVALID : err, "", "%.*s", SLICE_ARG(detail));
	return control_fail(s, err, "Look at the log.", "the %s failed: %s", role, err_text(err));
}

static const char *
default_todo(int err)
{
	switch (err) {
	case ERR_NOTFOUND: return "Check the spelling; the list command shows what there is.";
	case ERR_EXISTS: return "Choose another name, or change the one that exists.";
	case ERR_FULL: return "Free space on the disk, then try again.";
	case ERR_SYNTAX:
	case ERR_INVALID: return "Correct the command; its help shows the form.";
	case ERR_CONFLICT: return "Nothing was changed.";
	default: return "Look at the log, then try again.";
	}
}

static void
write_error(struct control_session *s, int err)
{
	json_t *o = json_object(), *e = json_object();
	struct slice what = buf_slice(&s->what), todo = buf_slice(&s->todo);

	if (what.n == 0 || !slice_is_utf8(what, true))
		what = slice_z(err_text(err));
	if (todo.n == 0)
		todo = slice_z(default_todo(err));
	json_object_set_new(e, "code", json_string(err_name(err)));
	control_set_text(e, "what", what);
	control_set_text(e, "do", todo);
	json_object_set_new(o, "error", e);
	(void)!write_json(s, o);
	json_decref(o);
}

/* ---- one request ------------------------------------------------------------------------------------------ */

static void
run_request(struct control_session *s, struct slice line)
{
	int err;

	s->done = json_object();
	arena_init(&s->arena, REQUEST_ARENA_BYTES);
	buf_reset(&s->what);
	buf_reset(&s->todo);
	s->k->counters.control++;
	err = control_request_parse(line, &s->request, &s->what);
	if (err == 0) {
		LOG(s->k->c->house, DEBUG, "control_request",
		    LOG_Z("command", control_commands[s->request.command].words));
		err = control_functions[s->request.command](s);
	}
	if (err == 0) {
		json_object_set_new(s->done, "ok", json_true());
		(void)!write_json(s, s->done);
	} else {
		write_error(s, err);
	}
	if (s->stream_err == 0)
		s->stream_err = stream_flush(s->st);
	control_request_free(&s->request);
	json_decref(s->done);
	arena_free(&s->arena);
}

static void
serve(struct control_session *s)
{
	size_t max = (size_t)s->k->c->house->limits.control_line_bytes;
	struct buf copy BUF_CLEANUP;
	struct slice line;

	buf_init(&copy, max);
	buf_init(&s->what, WORDS_BYTES);
	buf_init(&s->todo, WORDS_BYTES);
	stream_set_timeouts(s->st, IDLE_MS, s->k->c->house->limits.write_timeout_ms);
	while (s->stream_err == 0) {
		int err = stream_read_line(s->st, SLICE("\n"), max, &line);

		if (err == ERR_LIMIT) {
			write_error(s,
			    control_fail(
				s, ERR_LIMIT, "Send less at once.", "the request is longer than %zu bytes", max));
			(void)!stream_flush(s->st);
			break;
		}
		if (err != 0)
			break;
		/* The line lies in the stream's buffer, which the next write or read may move. */
		buf_reset(&copy);
		buf_put(&copy, line);
		if (copy.err != 0)
			break;
		run_request(s, buf_slice(&copy));
		explicit_bzero(copy.p, copy.n);
	}
	clerk_backup_end(s);
	buf_free(&s->what);
	buf_free(&s->todo);
}

/* ---- who may ------------------------------------------------------------------------------------------------- */

static bool
peer_is_allowed(struct clerk *k, int fd)
{
	struct ucred peer = {0};
	socklen_t n = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0 || n != sizeof(peer))
		return false;
	if (peer.uid == 0 || peer.uid == k->keeper_uid)
		return true;
	LOG(k->c->house, WARN, "control_refused", LOG_I("uid", peer.uid), LOG_I("pid", peer.pid));
	return false;
}

static void
on_connection(struct net_session *n)
{
	struct control_session s = {.k = n->arg};
	struct buf unread BUF_CLEANUP;
	bool allowed;
	int fd = -1;

	buf_init(&unread, 4096);
	if (stream_detach(&n->stream, &unread, &fd) != 0) {
		stream_close(&n->stream);
		return;
	}
	allowed = peer_is_allowed(s.k, fd);
	if (stream_new(&s.st, s.k->c->loop, fd) != 0) {
		close(fd);
		return;
	}
	if (allowed) {
		serve(&s);
	} else {
		buf_init(&s.what, WORDS_BYTES);
		buf_init(&s.todo, WORDS_BYTES);
		write_error(&s,
		    control_fail(&s, ERR_DENIED, "Run the command as root, or as the user who runs the house.",
			"this user may not command the house"));
		(void)!stream_flush(s.st);
		buf_free(&s.what);
		buf_free(&s.todo);
	}
	stream_close(&s.st);
}

int
clerk_control_start(struct clerk *k, struct buf *detail)
{
	for (size_t i = 0; i < k->c->listeners_count; i++) {
		int err;

		if (k->c->listeners[i].settings->service != LISTEN_CONTROL)
			continue;
		err = net_accept_start(&k->control, k->c->loop, k->c->listeners[i].fd, SESSIONS_MAX, on_connection, k);
		if (err != 0)
			buf_printf(detail, "the control socket cannot be served: %s.", err_text(err));
		return err;
	}
	return 0;
}

void
clerk_control_stop(struct clerk *k)
{
	if (k->control == NULL)
		return;
	net_acceptor_stop(k->control);
	/* The session that asked for the stop still has its answer to send. */
	for (int i = 0; i < 50 && net_acceptor_sessions(k->control) > 0; i++)
		if (fiber_sleep(k->c->loop, 2) != 0)
			break;
	net_acceptor_cancel_sessions(k->control);
	while (net_acceptor_sessions(k->control) > 0)
		if (fiber_sleep(k->c->loop, 1) != 0)
			break;
}
