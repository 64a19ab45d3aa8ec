/* send_message.c: MAIL, RCPT, DATA or BDAT, for all recipients in transactions of at most limits.queue_send_recipients
 * (RFC 5321 §3.3) or of what the server allows (RFC 9422). */
#include "smtp/send.h"

/* One transaction. */
struct transaction {
	struct smtp_sender *s;
	struct smtp_send_recipient **group;
	size_t n, accepted;
	bool *ok;  /* parallel: accepted by RCPT */
	bool bdat; /* instead of DATA */
};

static void
group_result(
    struct transaction *t, bool accepted_only, int result, int code, const char *status, struct slice text, bool final)
{
	for (size_t i = 0; i < t->n; i++)
		if (!t->group[i]->r.final && (!accepted_only || t->ok[i]))
			smtp_sender_result(t->s, t->group[i], result, code, status, text, final);
}

/* ---- the envelope ----------------------------------------------------------------------------------------- */

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

/* The reply to MAIL. *refused: this server does not take the message. */
static int
take_mail_reply(struct transaction *t, bool *refused)
{
	struct smtp_sender *s = t->s;
	bool warm = s->warm;
	int e = smtp_sender_reply(s, s->house->limits.send_command_timeout_ms, NULL);

	s->warm = false;
	/* A server may end a connection that waits at any time, and nothing is lost by that. */
	if (s->c->dead && warm && e != ERR_CANCELLED)
		return ERR_CLOSED;
	if (s->c->dead)
		return transaction_lost(t, e, "after MAIL");
	*refused = !smtp_reply_class(&s->reply, 2);
	if (*refused)
		smtp_sender_refused(s, false);
	return 0;
}

/* Says MAIL, RCPT and DATA one by one (RFC 5321) or all at once (RFC 2920). 0: who was not accepted has a result; with
 * `*data` DATA was said, and s->reply is the reply to it. */
static int
say_envelope(struct transaction *t, bool *data)
{
	struct smtp_sender *s = t->s;
	bool ahead = s->c->can.pipelining, refused = false;
	int64_t timeout_ms = s->house->limits.send_command_timeout_ms;
	int e;

	*data = false;
	smtp_sender_mail(s);
	for (size_t i = 0; ahead && i < t->n; i++)
		smtp_sender_rcpt(s, t->group[i]);
	if (ahead && !t->bdat)
		smtp_sender_command(s, SLICE("DATA"));
	e = take_mail_reply(t, &refused);
	if (e != 0 || (refused && !ahead))
		return e;
	for (size_t i = 0; i < t->n; i++) {
		if (!ahead)
			smtp_sender_rcpt(s, t->group[i]);
		e = smtp_sender_reply(s, timeout_ms, NULL);
		if (s->c->dead)
			return transaction_lost(t, e, "after RCPT");
		if (!refused)
			take_rcpt_reply(t, i);
	}
	if (t->bdat || (!ahead && t->accepted == 0))
		return 0;
	if (!ahead)
		smtp_sender_command(s, SLICE("DATA"));
	*data = true;
	e = smtp_sender_reply(s, timeout_ms, NULL);
	return s->c->dead ? transaction_lost(t, e, "after DATA") : 0;
}

/* ---- the text ------------------------------------------------------------------------------------------- */

/* The reply that decides is in s->reply. */
static void
take_verdict(struct transaction *t)
{
	struct smtp_sender *s = t->s;

	s->c->messages++;
	if (!smtp_reply_class(&s->reply, 2)) {
		for (size_t i = 0; i < t->n; i++)
			if (t->ok[i])
				smtp_sender_result_of_reply(s, t->group[i], false);
		return;
	}
	group_result(t, true, SEND_OK, s->reply.code, s->reply.status, buf_slice(&s->reply.text), true);
	for (size_t i = 0; i < t->n; i++)
		t->group[i]->r.dsn = t->ok[i] && s->c->can.dsn;
}

/* Our own trouble with the text. Without its end the remote forgets what it got. */
static int
text_unreadable(struct transaction *t, int e)
{
	t->s->c->dead = true;
	group_result(t, true, SEND_TEMPFAIL, 0, "4.3.0", SLICE("The message could not be read here"), true);
	return e;
}

/* Nobody knows whether it was taken (RFC 1047): later, not at another host now. */
static int
verdict_lost(struct transaction *t, int e)
{
	group_result(t, true, SEND_TEMPFAIL, 0, "4.4.2",
	    SLICE("The connection was lost after the end of the message, before the remote server's answer"), true);
	smtp_sender_lost(t->s, e, "after the end of the message");
	return e;
}

/* After 354. Sets the results of the accepted recipients. */
static int
send_data(struct transaction *t)
{
	struct smtp_sender *s = t->s;
	int e = smtp_sender_data(s);

	if (e != 0 && stream_error(s->c->st) == 0)
		return text_unreadable(t, e);
	if (e != 0) {
		s->c->dead = true;
		smtp_sender_lost(s, e, "while the message was sent");
		return e;
	}
	e = smtp_sender_reply(s, s->house->limits.send_data_timeout_ms, NULL);
	if (e != 0)
		return verdict_lost(t, e);
	take_verdict(t);
	return 0;
}

static int
send_chunks(struct transaction *t)
{
	struct smtp_sender *s = t->s;
	bool refused;
	int e = smtp_sender_bdat(s);

	if (e != 0 && stream_error(s->c->st) == 0 && !s->c->dead)
		return text_unreadable(t, e);
	if (e != 0) {
		s->c->dead = true;
		return verdict_lost(t, e);
	}
	refused = !smtp_reply_class(&s->reply, 2);
	take_verdict(t);
	if (!refused || s->c->dead)
		return 0;
	smtp_sender_command(s, SLICE("RSET"));
	return smtp_sender_reply(s, s->house->limits.send_command_timeout_ms, NULL) == 0 ? 0 : ERR_CLOSED;
}

/* ---- transactions --------------------------------------------------------------------------------------- */

/* One transaction for the group. 0: every recipient has a result and the connection is good for another, or dead. */
static int
transaction_run(struct transaction *t)
{
	struct smtp_sender *s = t->s;
	bool data;
	int e = say_envelope(t, &data);

	if (e != 0)
		return e;
	if (t->bdat && t->accepted > 0)
		return send_chunks(t);
	if (data && s->reply.code == 354) {
		if (t->accepted > 0)
			return send_data(t);
		/* Said ahead: nobody is to get it, so it is nothing. */
		(void)!stream_write(s->c->st, SLICE(".\r\n"));
		return smtp_sender_reply(s, s->house->limits.send_data_timeout_ms, NULL) == 0 ? 0 : ERR_CLOSED;
	}
	for (size_t i = 0; data && i < t->n; i++)
		if (t->ok[i])
			smtp_sender_result_of_reply(s, t->group[i], false);
	smtp_sender_command(s, SLICE("RSET"));
	return smtp_sender_reply(s, s->house->limits.send_command_timeout_ms, NULL) == 0 ? 0 : ERR_CLOSED;
}

static struct slice
domain_of(const struct smtp_send_recipient *r)
{
	size_t at = slice_rfind_byte(r->address, '@');

	return at == SLICE_NONE ? SLICE_EMPTY : slice_from(r->address, at + 1);
}

/* May this one join? RCPTDOMAINMAX (RFC 9422 §4.3) bounds the domains of a group. */
static bool
fits_group(const struct smtp_sender *s, struct smtp_send_recipient *const *group, size_t n, struct slice domain)
{
	uint64_t domains = 1;

	if (s->c->can.rcpt_domain_max == 0)
		return true;
	for (size_t i = 0; i < n; i++) {
		struct slice other = domain_of(group[i]);
		bool first = true;

		if (slice_ieq(other, domain))
			return true;
		for (size_t j = 0; j < i && first; j++)
			first = !slice_ieq(domain_of(group[j]), other);
		domains += first;
	}
	return domains <= s->c->can.rcpt_domain_max;
}

/* The next recipients without a result in this session, from *at on. */
static size_t
next_group(struct smtp_sender *s, size_t *at, struct smtp_send_recipient **group, size_t max)
{
	struct smtp_send_job *job = s->job;
	size_t n = 0;

	for (; *at < job->recipients_count && n < max; (*at)++) {
		struct smtp_send_recipient *r = &job->recipients[*at];

		if (r->r.final)
			continue;
		if (!fits_group(s, group, n, domain_of(r)))
			break;
		group[n++] = r;
	}
	return n;
}

static size_t
group_max(const struct smtp_sender *s)
{
	size_t max = (size_t)s->house->limits.queue_send_recipients;

	return s->c->can.rcpt_max > 0 && s->c->can.rcpt_max < max ? (size_t)s->c->can.rcpt_max : max;
}

/* MAILMAX (RFC 9422 §4.1): what is left goes in another session, at the next attempt. */
static bool
connection_is_used_up(struct smtp_sender *s)
{
	if (smtp_connection_messages(s->c) < smtp_connection_messages_max(s->c))
		return false;
	smtp_sender_result_all(s, SEND_TEMPFAIL, "4.5.3",
	    SLICE("The remote server takes no more messages in one session; the rest follows in another"), false);
	return true;
}

int
smtp_send_message(struct smtp_sender *s)
{
	struct smtp_send_job *job = s->job;
	size_t max = group_max(s), at = 0;
	struct smtp_send_recipient **group = ARENA_ARRAY(job->arena, struct smtp_send_recipient *, max);
	bool *ok = ARENA_ARRAY(job->arena, bool, max), fits, first = true;
	int e;

	if (group == NULL || ok == NULL)
		return ERR_NOMEM;
	e = smtp_sender_fit(s, &fits);
	if (e != 0) {
		smtp_sender_result_all(s, SEND_TEMPFAIL, "4.3.0", SLICE("The message could not be read here"), true);
		return e == ERR_NOMEM || e == ERR_CANCELLED ? e : 0;
	}
	while (fits && e == 0 && !s->c->dead) {
		struct transaction t = {.s = s, .group = group, .ok = ok, .bdat = s->c->can.chunking};

		t.n = next_group(s, &at, group, max);
		if (t.n == 0 || (!first && connection_is_used_up(s)))
			break;
		first = false;
		memset(ok, 0, max * sizeof(*ok));
		e = transaction_run(&t);
	}
	/* A 421 after the data of a group: the other groups have not been tried. */
	for (; fits && e == 0 && s->c->dead && at < job->recipients_count; at++)
		if (!job->recipients[at].r.final)
			smtp_sender_result_of_reply(s, &job->recipients[at], false);
	return e;
}
