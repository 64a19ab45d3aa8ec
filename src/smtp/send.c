/* send.c: one message to one host. Opens a connection, or uses the one it is given, and keeps or ends it. */
#include "smtp/send.h"

#include "base/log.h"

/* ---- results -------------------------------------------------------------------------------------------- */

void
smtp_sender_result(struct smtp_sender *s, struct smtp_send_recipient *r, int result, int code, const char *status,
    struct slice text, bool final)
{
	static const char *const defaults[] = {[SEND_OK] = "2.0.0", [SEND_TEMPFAIL] = "4.0.0", [SEND_FAIL] = "5.0.0"};

	/* Of several hosts that fail, the one that leaves hope counts, and rather one that spoke than one that did not. */
	if (!final && r->r.result == SEND_TEMPFAIL && (result == SEND_FAIL || (code == 0 && r->r.code != 0)))
		return;
	r->r.result = result;
	r->r.code = code;
	r->r.final = final;
	if (slice_to_z(slice_z(status[0] != '\0' ? status : defaults[result]), r->r.status, sizeof(r->r.status)) != 0)
		r->r.status[0] = '\0';
	r->r.text = arena_copy(s->job->arena, text);
}

void
smtp_sender_result_of_reply(struct smtp_sender *s, struct smtp_send_recipient *r, bool other_host)
{
	int code = s->reply.code;
	int result = code / 100 == 5 ? SEND_FAIL : SEND_TEMPFAIL;

	if (code / 100 == 4 || code / 100 == 5)
		smtp_sender_result(
		    s, r, result, code, s->reply.status, buf_slice(&s->reply.text), result == SEND_FAIL && !other_host);
	else
		smtp_sender_result(s, r, SEND_TEMPFAIL, code, "4.5.0",
		    SLICE("The remote server gave a reply that has no meaning here"), false);
}

void
smtp_sender_refused(struct smtp_sender *s, bool other_host)
{
	for (size_t i = 0; i < s->job->recipients_count; i++)
		if (!s->job->recipients[i].r.final)
			smtp_sender_result_of_reply(s, &s->job->recipients[i], other_host);
}

struct slice
smtp_sender_host(const struct smtp_sender *s)
{
	return s->job->host.n > 0 ? s->job->host : SLICE("the remote server");
}

void
smtp_sender_result_all(struct smtp_sender *s, int result, const char *status, struct slice text, bool final)
{
	for (size_t i = 0; i < s->job->recipients_count; i++)
		if (!s->job->recipients[i].r.final)
			smtp_sender_result(s, &s->job->recipients[i], result, 0, status, text, final);
}

void
smtp_sender_lost(struct smtp_sender *s, int e, const char *when)
{
	struct slice host = smtp_sender_host(s), text;
	struct arena *a = s->job->arena;

	if (e == ERR_SYNTAX || e == ERR_LIMIT)
		text = arena_printf(a, "What %.*s answered %s is not SMTP", SLICE_ARG(host), when);
	else if (e == ERR_TIMEOUT)
		text = arena_printf(a, "No answer in time from %.*s %s", SLICE_ARG(host), when);
	else
		text = arena_printf(a, "The connection to %.*s was lost %s: %s", SLICE_ARG(host), when, err_text(e));
	smtp_sender_result_all(s, SEND_TEMPFAIL, e == ERR_SYNTAX || e == ERR_LIMIT ? "4.5.0" : "4.4.2", text, false);
}

/* ---- commands and replies ----------------------------------------------------------------------------------- */

void
smtp_sender_command(struct smtp_sender *s, struct slice line)
{
	/* Failure sticks to the stream and is found when the reply is read. */
	(void)!stream_write(s->c->st, line);
	(void)!stream_write(s->c->st, SLICE("\r\n"));
}

static int
read_reply(struct smtp_sender *s, struct smtp_capabilities *can)
{
	size_t max = (size_t)s->house->limits.send_reply_bytes;

	smtp_reply_reset(&s->reply);
	while (!s->reply.complete) {
		struct slice line, text;
		bool first = s->reply.lines == 0;
		int e = stream_read_line(s->c->st, SLICE("\n"), max, &line);

		if (e == 0)
			e = smtp_reply_line(&s->reply, line, &text);
		if (e != 0)
			return e;
		if (can != NULL && !first)
			smtp_capabilities_take(can, text);
	}
	return 0;
}

int
smtp_sender_reply(struct smtp_sender *s, int64_t timeout_ms, struct smtp_capabilities *can)
{
	struct smtp_connection *c = s->c;
	int e;

	if (c->dead)
		return ERR_CLOSED;
	stream_set_timeouts(c->st, timeout_ms, timeout_ms);
	stream_set_deadline(c->st, loop_deadline(s->job->loop, timeout_ms));
	e = stream_flush(c->st);
	if (e == 0)
		e = read_reply(s, can);
	c->dead = e != 0 || s->reply.code == 421;
	return e;
}

/* ---- the whole -------------------------------------------------------------------------------------------- */

int
smtp_send(struct smtp_send_job *job)
{
	struct smtp_sender *s = calloc(1, sizeof(*s));
	int e = 0;

	if (s == NULL)
		return ERR_NOMEM;
	s->job = job;
	s->house = loop_house(job->loop);
	job->tls_text = job->tls_error = SLICE_EMPTY;
	job->tls_result = SMTP_TLS_NOT_TRIED;
	smtp_reply_init(&s->reply, (size_t)s->house->limits.send_reply_bytes);
	buf_init(&s->converted, (size_t)s->house->limits.send_convert_bytes * 2);
	s->c = job->connection;
	job->connection = NULL;
	s->warm = s->c != NULL;
	if (s->c == NULL)
		e = smtp_sender_open(s);
	if (e == 0) {
		job->tls_text = arena_copy(job->arena, slice_z(s->c->tls_text));
		e = smtp_send_message(s);
	}
	if (e == 0 && job->keep && s->c != NULL && !s->c->dead) {
		job->connection = s->c;
		s->c = NULL;
	}
	smtp_connection_close(&s->c);
	smtp_reply_free(&s->reply);
	buf_free(&s->converted);
	free(s);
	return arena_failed(job->arena) && e == 0 ? ERR_NOMEM : e;
}
