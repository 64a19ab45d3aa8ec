/* send_message.c: MAIL, RCPT, DATA and the text, for all recipients in transactions of at most limits.queue_send_recipients
 * (RFC 5321 §3.3). */
#include "smtp/send.h"

#include "message/address.h"
#include "smtp/path.h"
#include "smtp/stuff.h"

#include <errno.h>

#define READ_CHUNK 65536
/* RFC 5321 §4.5.3.2.5: a block of data. */
#define BLOCK_TIMEOUT_MS 180000

/* One transaction. */
struct transaction {
	struct smtp_sender *s;
	struct smtp_send_recipient **group;
	size_t n, accepted;
	bool *ok; /* parallel: accepted by RCPT */
};

static void
group_result(
    struct transaction *t, bool accepted_only, int result, int code, const char *status, struct slice text, bool final)
{
	for (size_t i = 0; i < t->n; i++)
		if (!t->group[i]->r.final && (!accepted_only || t->ok[i]))
			smtp_sender_result(t->s, t->group[i], result, code, status, text, final);
}

/* ---- paths ---------------------------------------------------------------------------------------------- */

/* Writes an address as a path's inside, quoted where it must be. False when it cannot be said in SMTP: outside ASCII, control
 * characters, a domain that is none. */
static bool
path_put(struct buf *out, struct slice address)
{
	size_t at = slice_rfind_byte(address, '@');
	struct slice local, domain;

	if (at == SLICE_NONE || address.n > SMTP_PATH_MAX)
		return false;
	local = slice_head(address, at);
	domain = slice_from(address, at + 1);
	if (!smtp_domain_is_valid(domain) && (!slice_starts(domain, SLICE("[")) || !slice_ends(domain, SLICE("]"))))
		return false;
	for (size_t i = 0; i < address.n; i++)
		if (slice_at(address, i) < 32 || slice_at(address, i) > 126)
			return false;
	address_put_spec(out, local, domain);
	return out->err == 0;
}

/* True when the envelope (`NAME=value` lines) has this line. */
static bool
envelope_has(struct slice envelope, struct slice line)
{
	while (envelope.n > 0)
		if (slice_ieq(slice_cut(&envelope, '\n'), line))
			return true;
	return false;
}

/* ---- the commands ----------------------------------------------------------------------------------------- */

static int64_t
message_bytes(const struct smtp_send_job *job)
{
	return (int64_t)job->head.n + job->size_bytes;
}

static void
command_mail(struct smtp_sender *s, struct slice path)
{
	char size[40] = "";

	if (s->can.size)
		(void)snprintf(size, sizeof(size), " SIZE=%lld", (long long)message_bytes(s->job));
	smtp_sender_command(s, "MAIL FROM:<%.*s>%s%s", SLICE_ARG(path), size,
	    s->can.eight_bit && envelope_has(s->job->envelope, SLICE("BODY=8BITMIME")) ? " BODY=8BITMIME" : "");
}

static void
command_rcpt(struct smtp_sender *s, const struct smtp_send_recipient *r)
{
	BUF_CLEANUP struct buf path;

	buf_init(&path, 4 * SMTP_PATH_MAX);
	ASSERT(path_put(&path, r->address)); /* by precheck() */
	smtp_sender_command(s, "RCPT TO:<%.*s>", SLICE_ARG(buf_slice(&path)));
}

/* 552 to RCPT, with this enhanced status or "": an old way to say that there are too many (RFC 5321 §4.5.3.1.10), unless the
 * status tells of something else (RFC 3463 §3.6: X.5.3), as 5.2.2 of a full mailbox. */
static bool
means_too_many(const char *status)
{
	return status[0] == '\0' || strcmp(status, "5.5.3") == 0;
}

/* The reply to RCPT of group[i]. */
static void
take_rcpt_reply(struct transaction *t, size_t i)
{
	struct smtp_sender *s = t->s;

	t->ok[i] = smtp_reply_class(&s->reply, 2);
	if (t->ok[i]) {
		t->accepted++;
	} else if (s->reply.code == 552 && means_too_many(s->reply.status)) {
		smtp_sender_result(s, t->group[i], SEND_TEMPFAIL, 552, "4.5.3", buf_slice(&s->reply.text), false);
	} else {
		smtp_sender_result_of_reply(s, t->group[i], false);
	}
}

/* After 421, or when the connection broke, at `when`. */
static int
transaction_lost(struct transaction *t, int e, const char *when)
{
	if (e == 0)
		smtp_sender_refused(t->s, true);
	else
		smtp_sender_lost(t->s, e, when);
	return e == 0 ? ERR_UNAVAILABLE : e;
}

/* Says MAIL, RCPT and DATA one by one (RFC 5321) or all at once (RFC 2920). 0: who was not accepted has a result; with
 * `*data` DATA was said, and s->reply is the reply to it. */
static int
say_envelope(struct transaction *t, struct slice reverse_path, bool *data)
{
	struct smtp_sender *s = t->s;
	int64_t timeout_ms = s->house->limits.send_command_timeout_ms;
	bool refused = false;
	int e;

	*data = false;
	command_mail(s, reverse_path);
	for (size_t i = 0; s->can.pipelining && i < t->n; i++)
		command_rcpt(s, t->group[i]);
	if (s->can.pipelining)
		smtp_sender_command(s, "DATA");
	e = smtp_sender_reply(s, timeout_ms, NULL);
	if (s->dead)
		return transaction_lost(t, e, "after MAIL");
	if (!smtp_reply_class(&s->reply, 2)) {
		refused = true;
		smtp_sender_refused(s, false);
		if (!s->can.pipelining)
			return 0;
	}
	for (size_t i = 0; i < t->n; i++) {
		if (!s->can.pipelining)
			command_rcpt(s, t->group[i]);
		e = smtp_sender_reply(s, timeout_ms, NULL);
		if (s->dead)
			return transaction_lost(t, e, "after RCPT");
		if (!refused)
			take_rcpt_reply(t, i);
	}
	if (!s->can.pipelining && t->accepted == 0)
		return 0;
	if (!s->can.pipelining)
		smtp_sender_command(s, "DATA");
	*data = true;
	e = smtp_sender_reply(s, timeout_ms, NULL);
	return s->dead ? transaction_lost(t, e, "after DATA") : 0;
}

/* ---- the text ------------------------------------------------------------------------------------------- */

static int
send_run(void *ctx, struct slice run)
{
	struct smtp_sender *s = ctx;

	stream_set_deadline(s->st, loop_deadline(s->job->loop, BLOCK_TIMEOUT_MS));
	return stream_write(s->st, run);
}

struct read_job {
	int fd;
	uint8_t *to;
	size_t n;
	int64_t offset;
};

/* On a worker thread: exactly n bytes; a file that is shorter than it was is damaged. */
static int
read_chunk(void *arg)
{
	struct read_job *j = arg;

	while (j->n > 0) {
		ssize_t n = pread(j->fd, j->to, j->n, j->offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? ERR_DAMAGED : err_from_errno(errno);
		j->to += n;
		j->n -= (size_t)n;
		j->offset += n;
	}
	return 0;
}

/* ERR_DAMAGED or ERR_IO: the file is at fault, not the connection. */
static int
send_file(struct smtp_sender *s, struct smtp_stuff *stuff)
{
	struct smtp_send_job *job = s->job;
	BUF_CLEANUP struct buf chunk;
	int e = 0;

	buf_init(&chunk, READ_CHUNK);
	for (int64_t at = 0; e == 0 && at < job->size_bytes;) {
		size_t n = job->size_bytes - at < READ_CHUNK ? (size_t)(job->size_bytes - at) : READ_CHUNK;
		struct read_job r = {job->fd, NULL, n, at};

		chunk.n = 0;
		r.to = buf_reserve(&chunk, n);
		if (r.to == NULL)
			return ERR_NOMEM;
		e = job->workers != NULL ? work_run(job->workers, read_chunk, &r) : read_chunk(&r);
		if (e != 0)
			return e == ERR_BUSY ? e : ERR_DAMAGED;
		buf_added(&chunk, n);
		e = smtp_stuff_feed(stuff, buf_slice(&chunk), send_run, s);
		at += (int64_t)n;
	}
	return e;
}

static int
send_text(struct smtp_sender *s)
{
	struct smtp_stuff stuff = {0};
	int e = smtp_stuff_feed(&stuff, s->job->head, send_run, s);

	if (e == 0 && s->job->fd >= 0)
		e = send_file(s, &stuff);
	else if (e == 0)
		e = smtp_stuff_feed(&stuff, s->job->body, send_run, s);
	if (e == 0)
		e = smtp_stuff_end(&stuff, send_run, s);
	return e != 0 ? e : stream_flush(s->st);
}

/* After 354. Sets the results of the accepted recipients. */
static int
send_data(struct transaction *t)
{
	struct smtp_sender *s = t->s;
	int e = send_text(s);

	if (e != 0 && stream_error(s->st) == 0) {
		/* Our own trouble. Without the dot the remote forgets what it got. */
		s->dead = true;
		group_result(t, true, SEND_TEMPFAIL, 0, "4.3.0", SLICE("The message could not be read here"), true);
		return e;
	}
	if (e != 0) {
		s->dead = true;
		smtp_sender_lost(s, e, "while the message was sent");
		return e;
	}
	e = smtp_sender_reply(s, s->house->limits.send_data_timeout_ms, NULL);
	if (e != 0) {
		/* Nobody knows whether it was taken (RFC 1047): later, not at another host now. */
		group_result(t, true, SEND_TEMPFAIL, 0, "4.4.2",
		    SLICE("The connection was lost after the end of the message, before the remote server's answer"),
		    true);
		smtp_sender_lost(s, e, "after the end of the message");
		return e;
	}
	if (smtp_reply_class(&s->reply, 2)) {
		group_result(t, true, SEND_OK, s->reply.code, s->reply.status, buf_slice(&s->reply.text), true);
		return 0;
	}
	for (size_t i = 0; i < t->n; i++)
		if (t->ok[i])
			smtp_sender_result_of_reply(s, t->group[i], false);
	return 0;
}

/* ---- transactions --------------------------------------------------------------------------------------- */

/* One transaction for the group. 0: every recipient has a result and the connection is good for another, or dead. */
static int
transaction_run(struct transaction *t, struct slice reverse_path)
{
	struct smtp_sender *s = t->s;
	bool data;
	int e = say_envelope(t, reverse_path, &data);

	if (e != 0)
		return e;
	if (data && s->reply.code == 354) {
		if (t->accepted > 0)
			return send_data(t);
		/* Said ahead: nobody is to get it, so it is nothing. */
		(void)!stream_write(s->st, SLICE(".\r\n"));
		return smtp_sender_reply(s, s->house->limits.send_data_timeout_ms, NULL) == 0 ? 0 : ERR_CLOSED;
	}
	for (size_t i = 0; data && i < t->n; i++)
		if (t->ok[i])
			smtp_sender_result_of_reply(s, t->group[i], false);
	smtp_sender_command(s, "RSET");
	return smtp_sender_reply(s, s->house->limits.send_command_timeout_ms, NULL) == 0 ? 0 : ERR_CLOSED;
}

/* What can be said before any command: addresses that SMTP has no form for, a message over the announced size. */
static bool
precheck(struct smtp_sender *s, struct buf *reverse_path)
{
	struct smtp_send_job *job = s->job;

	if (job->reverse_path.n > 0 && !path_put(reverse_path, job->reverse_path)) {
		for (size_t i = 0; i < job->recipients_count; i++)
			if (!job->recipients[i].r.final)
				smtp_sender_result(s, &job->recipients[i], SEND_FAIL, 0, "5.6.7",
				    SLICE("The sender's address cannot be expressed in SMTP"), true);
		return false;
	}
	for (size_t i = 0; i < job->recipients_count; i++) {
		struct smtp_send_recipient *r = &job->recipients[i];
		BUF_CLEANUP struct buf path;

		buf_init(&path, 4 * SMTP_PATH_MAX);
		if (r->r.final)
			continue;
		if (!path_put(&path, r->address))
			smtp_sender_result(s, r, SEND_FAIL, 0, "5.6.7",
			    SLICE("The recipient's address cannot be expressed in SMTP"), true);
		else if (s->can.size_max > 0 && (uint64_t)message_bytes(job) > s->can.size_max)
			smtp_sender_result(s, r, SEND_FAIL, 0, "5.3.4",
			    arena_printf(job->arena, "The message has %lld bytes; the remote server takes at most %llu",
				(long long)message_bytes(job), (unsigned long long)s->can.size_max),
			    true);
	}
	return true;
}

/* The next recipients without a result in this session, from *at on. */
static size_t
next_group(struct smtp_send_job *job, size_t *at, struct smtp_send_recipient **group, size_t max)
{
	size_t n = 0;

	for (; *at < job->recipients_count && n < max; (*at)++)
		if (!job->recipients[*at].r.final)
			group[n++] = &job->recipients[*at];
	return n;
}

int
smtp_send_message(struct smtp_sender *s)
{
	struct smtp_send_job *job = s->job;
	size_t max = (size_t)s->house->limits.queue_send_recipients, at = 0;
	struct smtp_send_recipient **group = ARENA_ARRAY(job->arena, struct smtp_send_recipient *, max);
	bool *ok = ARENA_ARRAY(job->arena, bool, max);
	BUF_CLEANUP struct buf reverse_path;
	int e = 0;

	buf_init(&reverse_path, 4 * SMTP_PATH_MAX);
	if (group == NULL || ok == NULL)
		return ERR_NOMEM;
	if (!precheck(s, &reverse_path))
		return 0;
	while (e == 0 && !s->dead) {
		struct transaction t = {s, group, next_group(job, &at, group, max), 0, ok};

		if (t.n == 0)
			break;
		memset(ok, 0, max * sizeof(*ok));
		e = transaction_run(&t, buf_slice(&reverse_path));
	}
	/* A 421 after the data of a group: the other groups have not been tried. */
	for (; e == 0 && at < job->recipients_count; at++)
		if (!job->recipients[at].r.final)
			smtp_sender_result_of_reply(s, &job->recipients[at], false);
	return e;
}
