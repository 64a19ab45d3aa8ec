#include "smtp/send.h"

#include "base/log.h"

#include <stdarg.h>

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

/* Who it was, for a sentence. */
static struct slice
host_text(const struct smtp_sender *s)
{
	return s->job->host.n > 0 ? s->job->host : SLICE("the remote server");
}

static void
result_for_open(struct smtp_sender *s, const char *status, struct slice text)
{
	for (size_t i = 0; i < s->job->recipients_count; i++)
		if (!s->job->recipients[i].r.final)
			smtp_sender_result(s, &s->job->recipients[i], SEND_TEMPFAIL, 0, status, text, false);
}

void
smtp_sender_lost(struct smtp_sender *s, int e, const char *when)
{
	struct slice host = host_text(s);
	struct arena *a = s->job->arena;

	if (e == ERR_SYNTAX || e == ERR_LIMIT)
		result_for_open(
		    s, "4.5.0", arena_printf(a, "What %.*s answered %s is not SMTP", SLICE_ARG(host), when));
	else if (e == ERR_TIMEOUT)
		result_for_open(s, "4.4.2", arena_printf(a, "No answer in time from %.*s %s", SLICE_ARG(host), when));
	else
		result_for_open(s, "4.4.2",
		    arena_printf(a, "The connection to %.*s was lost %s: %s", SLICE_ARG(host), when, err_text(e)));
}

/* ---- commands and replies ----------------------------------------------------------------------------------- */

void
smtp_sender_command(struct smtp_sender *s, const char *fmt, ...)
{
	BUF_CLEANUP struct buf b;
	char text[1400]; /* longer than MAIL with its path and all parameters */
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ASSERT(n >= 0 && (size_t)n < sizeof(text));
	buf_init(&b, sizeof(text) + 2);
	buf_put(&b, slice_of(text, (size_t)n));
	buf_put_z(&b, "\r\n");
	/* Failure sticks to the stream and is found when the reply is read. */
	(void)!stream_write(s->st, buf_slice(&b));
}

static void
capability_take(struct smtp_capabilities *can, struct slice text)
{
	struct slice word = slice_cut(&text, ' ');

	if (slice_ieq(word, SLICE("PIPELINING")))
		can->pipelining = true;
	else if (slice_ieq(word, SLICE("8BITMIME")))
		can->eight_bit = true;
	else if (slice_ieq(word, SLICE("STARTTLS")))
		can->starttls = true;
	else if (slice_ieq(word, SLICE("SIZE"))) {
		can->size = true;
		if (slice_to_u64(slice_trim(text), UINT64_MAX / 2, &can->size_max) != 0)
			can->size_max = 0;
	}
}

static int
read_reply(struct smtp_sender *s, struct smtp_capabilities *can)
{
	size_t max = (size_t)s->house->limits.send_reply_bytes;

	smtp_reply_reset(&s->reply);
	while (!s->reply.complete) {
		struct slice line, text;
		bool first = s->reply.lines == 0;
		int e = stream_read_line(s->st, SLICE("\n"), max, &line);

		if (e == 0)
			e = smtp_reply_line(&s->reply, line, &text);
		if (e != 0)
			return e;
		if (can != NULL && !first)
			capability_take(can, text);
	}
	return 0;
}

int
smtp_sender_reply(struct smtp_sender *s, int64_t timeout_ms, struct smtp_capabilities *can)
{
	int e;

	if (s->dead)
		return ERR_CLOSED;
	stream_set_timeouts(s->st, timeout_ms, timeout_ms);
	stream_set_deadline(s->st, loop_deadline(s->job->loop, timeout_ms));
	e = stream_flush(s->st);
	if (e == 0)
		e = read_reply(s, can);
	s->dead = e != 0 || s->reply.code == 421;
	return e;
}

/* ---- the connection --------------------------------------------------------------------------------------- */

/* EHLO, or HELO for a server that does not know it (RFC 5321 §3.2). On failure the results are set. */
static int
hello(struct smtp_sender *s)
{
	const struct limits *l = &s->house->limits;
	int e;

	s->can = (struct smtp_capabilities){0};
	smtp_sender_command(s, "EHLO %.*s", SLICE_ARG(s->job->hostname));
	e = smtp_sender_reply(s, l->send_command_timeout_ms, &s->can);
	if (e == 0 && smtp_reply_class(&s->reply, 5)) {
		s->can = (struct smtp_capabilities){0};
		smtp_sender_command(s, "HELO %.*s", SLICE_ARG(s->job->hostname));
		e = smtp_sender_reply(s, l->send_command_timeout_ms, NULL);
	}
	if (e != 0) {
		smtp_sender_lost(s, e, "after EHLO");
		return e;
	}
	if (smtp_reply_class(&s->reply, 2))
		return 0;
	smtp_sender_refused(s, true);
	return ERR_UNAVAILABLE;
}

/* Connects, reads the greeting and says EHLO. */
static int
open_connection(struct smtp_sender *s)
{
	int e;

	stream_close(&s->st);
	s->dead = false;
	e = s->job->connect(s->job->connect_ctx, &s->st);
	if (e != 0) {
		result_for_open(s, "4.4.1",
		    arena_printf(s->job->arena, "Could not connect to %.*s: %s", SLICE_ARG(host_text(s)), err_text(e)));
		return e;
	}
	e = smtp_sender_reply(s, s->house->limits.send_greeting_timeout_ms, NULL);
	if (e != 0) {
		smtp_sender_lost(s, e, "before its greeting");
		return e;
	}
	if (smtp_reply_class(&s->reply, 2))
		return hello(s);
	smtp_sender_refused(s, true);
	return ERR_UNAVAILABLE;
}

/* STARTTLS and EHLO again (RFC 3207). Any failure of it ends the connection, and the caller goes in the clear: an
 * encrypted message that cannot be sent helps nobody (RFC 7435). */
static int
start_tls(struct smtp_sender *s)
{
	const struct tls_info *info;
	int e;

	smtp_sender_command(s, "STARTTLS");
	e = smtp_sender_reply(s, s->house->limits.send_command_timeout_ms, NULL);
	if (e == 0 && !smtp_reply_class(&s->reply, 2))
		return ERR_UNSUPPORTED;
	if (e == 0)
		e = stream_start_tls_client(s->st, s->job->tls, s->job->server_name,
		    loop_deadline(s->job->loop, s->house->limits.handshake_timeout_ms));
	if (e == 0)
		e = hello(s);
	if (e != 0)
		return e == ERR_CANCELLED || e == ERR_NOMEM ? e : ERR_TLS;
	info = stream_tls_info(s->st);
	s->job->tls_text = arena_printf(s->job->arena, "%s %s", info->version, info->cipher);
	return 0;
}

static int
open_session(struct smtp_sender *s)
{
	int e = open_connection(s);

	if (e != 0 || !s->can.starttls || s->job->tls == NULL)
		return e;
	e = start_tls(s);
	if (e == ERR_UNSUPPORTED && !s->dead)
		return 0; /* refused politely: the connection is still good */
	if (e == 0 || e == ERR_CANCELLED || e == ERR_NOMEM)
		return e;
	LOG(s->house, INFO, "smtp_send_without_tls", LOG_S("host", s->job->server_name), LOG_E(e));
	return open_connection(s);
}

int
smtp_send(struct smtp_send_job *job)
{
	struct smtp_sender *s = calloc(1, sizeof(*s));
	int e;

	if (s == NULL)
		return ERR_NOMEM;
	s->job = job;
	s->house = loop_house(job->loop);
	job->tls_text = SLICE_EMPTY;
	smtp_reply_init(&s->reply, (size_t)s->house->limits.send_reply_bytes);
	e = open_session(s);
	if (e == 0)
		e = smtp_send_message(s);
	if (s->st != NULL && !s->dead) {
		smtp_sender_command(s, "QUIT");
		(void)!stream_shutdown(s->st);
	}
	stream_close(&s->st);
	smtp_reply_free(&s->reply);
	free(s);
	return arena_failed(job->arena) && e == 0 ? ERR_NOMEM : e;
}
