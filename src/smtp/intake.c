/* intake.c: the text of a message, from 354 or the first BDAT to the reply after its end. */
#include "smtp/session.h"

#include "base/log.h"
#include "message/address.h"
#include "message/date.h"
#include "smtp/trace.h"

#include <errno.h>

#define INTAKE_CHUNK 65536        /* of input at a time */
#define INTAKE_WRITE (256 * 1024) /* to the file at a time */
/* A message that is too large is read on to its end, for the reply; but not for ever. */
#define INTAKE_TOO_MUCH 10 /* times the largest message */
#define HEAD_BYTES_MAX 65536

void
smtp_intake_free(struct smtp_intake *in)
{
	buf_free(&in->body);
	smtp_header_watch_free(&in->watch);
	smtp_header_fix_free(&in->fix);
	if (in->check != NULL)
		in->checks->end(in->check);
	in->check = NULL;
	if (in->fd >= 0)
		close(in->fd);
	in->fd = -1;
	in->open = false;
}

static void
check_open(struct smtp_server *s, struct smtp_intake *in)
{
	const struct smtp_checked who = {s->client, slice_z(s->ch.helo), s->reverse_path};

	in->checks = s->submitting ? NULL : s->c->checks;
	if (in->checks != NULL)
		in->err = in->checks->begin(in->checks->ctx, &who, &in->check);
}

static void
intake_open(struct smtp_server *s)
{
	const struct limits *l = &s->ch.house->limits;
	struct smtp_intake *in = &s->in;

	*in = (struct smtp_intake){.open = true, .fd = -1};
	smtp_data_init(&in->data, (size_t)l->smtp_text_line_bytes);
	in->data.binary = s->mail.body == SMTP_BODY_BINARYMIME;
	smtp_header_watch_init(&in->watch, s->submitting);
	smtp_header_fix_init(&in->fix, s->submitting, s->c->own_names);
	buf_init(&in->body, (size_t)l->body_inline_bytes + INTAKE_WRITE + 4 * INTAKE_CHUNK);
	check_open(s, in);
}

/* ---- the file ------------------------------------------------------------------------------------------- */

struct write_job {
	int fd;
	struct slice what;
};

/* On a worker thread. */
static int
write_all(void *arg)
{
	struct write_job *j = arg;

	while (j->what.n > 0) {
		ssize_t n = write(j->fd, j->what.p, j->what.n);

		if (n < 0 && errno != EINTR)
			return err_from_errno(errno);
		j->what = slice_from(j->what, n < 0 ? 0 : (size_t)n);
	}
	return 0;
}

/* Moves what is in memory into the file. */
static int
spill(struct smtp_server *s, struct smtp_intake *in)
{
	struct write_job job;
	int e = 0;

	if (in->fd < 0)
		e = s->c->backend.blob_create(s->c->backend.ctx, &s->arena, &in->blob, &in->fd);
	if (e != 0)
		return e;
	job = (struct write_job){in->fd, buf_slice(&in->body)};
	e = s->c->workers != NULL ? work_run(s->c->workers, write_all, &job) : write_all(&job);
	if (e == 0) {
		in->written_bytes += (int64_t)in->body.n;
		in->body.n = 0; /* keeps the memory, unlike buf_reset() */
	}
	return e;
}

/* ---- reading -------------------------------------------------------------------------------------------- */

static int
put_run(void *ctx, struct slice run)
{
	struct smtp_intake *in = ctx;

	in->kept_bytes += (int64_t)run.n;
	if (in->err == 0 && !in->too_large && !in->data.bare && !in->data.long_line)
		buf_put(&in->body, run);
	return 0;
}

static int
keep_run(void *ctx, struct slice run)
{
	struct smtp_intake *in = ctx;
	int e = smtp_header_fix_feed(&in->fix, run, put_run, in);

	if (in->check != NULL && !in->too_large)
		in->checks->feed(in->check, run);
	if (!in->watch.done && !in->fix.headless)
		smtp_header_watch_feed(&in->watch, run);
	return e;
}

/* What has come is put away; what cannot be kept is read on to its end, for the reply. */
static void
keep(struct smtp_server *s, struct smtp_intake *in)
{
	const struct limits *l = &s->ch.house->limits;

	if (in->data.bytes > (uint64_t)s->message_bytes_max)
		in->too_large = true;
	if (in->err == 0)
		in->err = in->body.err;
	if (in->err == 0 && !in->too_large && in->body.n > (size_t)(in->fd >= 0 ? INTAKE_WRITE : l->body_inline_bytes))
		in->err = spill(s, in);
	if (in->err != 0 || in->too_large)
		buf_reset(&in->body);
}

static void
pace_start(struct smtp_server *s)
{
	s->in.deadline_ms = loop_deadline(s->ch.loop, s->ch.house->limits.smtp_data_timeout_ms);
	s->in.progress = 0;
}

static void
pace_step(struct smtp_server *s, size_t n)
{
	const struct limits *l = &s->ch.house->limits;

	s->in.progress += (int64_t)n;
	if (s->in.progress >= l->smtp_data_rate * l->smtp_data_timeout_ms / 1000)
		pace_start(s);
}

/* Some input, at most `max` bytes; 0, or an error when the session is over. */
static int
next_input(struct smtp_server *s, uint64_t max, struct slice *out)
{
	*out = slice_head(stream_pending(s->ch.st), max < INTAKE_CHUNK ? (size_t)max : INTAKE_CHUNK);
	while (out->n == 0) {
		int e = smtp_channel_wait(&s->ch, INTAKE_CHUNK, s->in.deadline_ms, false);

		if (e != 0)
			return e;
		*out = slice_head(stream_pending(s->ch.st), max < INTAKE_CHUNK ? (size_t)max : INTAKE_CHUNK);
	}
	return 0;
}

static int
took(struct smtp_server *s, size_t n)
{
	stream_consume(s->ch.st, n);
	keep(s, &s->in);
	pace_step(s, n);
	if (s->in.data.bytes / INTAKE_TOO_MUCH <= (uint64_t)s->ch.message_bytes)
		return 0;
	smtp_channel_end(&s->ch, SMTP_R_TOO_MUCH);
	return ERR_LIMIT;
}

/* To the end of the text after DATA: 0, or an error when the session is over. */
static int
read_text(struct smtp_server *s)
{
	struct smtp_intake *in = &s->in;

	pace_start(s);
	while (in->data.state != SMTP_DATA_END) {
		struct slice input;
		size_t used;
		int e = next_input(s, INTAKE_CHUNK, &input);

		if (e == 0)
			e = smtp_data_feed(&in->data, input, &used, keep_run, in);
		if (e == 0)
			e = took(s, used);
		if (e != 0)
			return e;
	}
	return 0;
}

/* One chunk: into the message, or nowhere. */
static int
read_chunk(struct smtp_server *s, uint64_t size, bool wanted)
{
	struct smtp_intake *in = &s->in;

	pace_start(s);
	while (size > 0) {
		struct slice input;
		int e = next_input(s, size, &input);

		if (e == 0 && wanted)
			e = smtp_data_feed_chunk(&in->data, input, keep_run, in);
		else
			in->data.bytes += input.n;
		if (e == 0)
			e = took(s, input.n);
		if (e != 0)
			return e;
		size -= input.n;
	}
	return 0;
}

/* ---- after the end ---------------------------------------------------------------------------------------- */

/* Every mailbox in a field must be one that the submitter may send as; with `foreign`, or one elsewhere. Returns the reply that
 * refuses it, or SMTP_R_OK. */
static enum smtp_reply_id
check_field(struct smtp_server *s, struct smtp_intake *in, enum smtp_kept which, bool foreign)
{
	const struct buf *text = &in->watch.kept[which];
	struct address_list list;

	if (text->err != 0 ||
	    address_parse(&s->arena, buf_slice(text), (size_t)s->ch.house->limits.message_addresses, &list) != 0 ||
	    list.truncated || address_first(&list) == NULL)
		return SMTP_R_NO_FROM;
	for (size_t i = 0; i < list.n; i++) {
		struct smtp_submitter sender = {.result = SENDER_OTHER};
		BUF_CLEANUP struct buf address;

		buf_init(&address, 2 * SMTP_FROM_MAX);
		if (list.v[i].kind != ADDRESS_MAILBOX)
			continue;
		buf_put(&address, list.v[i].local);
		buf_put_z(&address, "@");
		buf_put(&address, list.v[i].domain);
		if (address.err != 0 ||
		    s->c->backend.sender(s->c->backend.ctx, buf_slice(&address), false, &s->arena, &sender) != 0)
			return SMTP_R_TEMPFAIL;
		if (sender.result == SENDER_OK || (sender.result == SENDER_FOREIGN && foreign))
			continue;
		in->bad_field = smtp_kept_name(which);
		return SMTP_R_NOT_YOUR_FROM;
	}
	return SMTP_R_OK;
}

/* The fields that say whom the message is from are the submitter's (RFC 6409 §6.1 and §8). What somebody sends on (Resent-From,
 * RFC 5322 §3.6.6) keeps the From of its author, unless that is another one of the house: a colleague cannot be made to say
 * something by pretending that he once did. */
static enum smtp_reply_id
check_senders(struct smtp_server *s, struct smtp_intake *in)
{
	const size_t *count = in->watch.kept_count;
	bool resent = count[SMTP_KEPT_RESENT_FROM] > 0;
	enum smtp_reply_id r = SMTP_R_OK;

	if (count[SMTP_KEPT_FROM] == 0 && s->reverse_path.n == 0)
		return SMTP_R_NO_FROM;
	for (int i = 0; i < SMTP_KEPT_COUNT && r == SMTP_R_OK; i++)
		if (count[i] > 0)
			r = check_field(s, in, (enum smtp_kept)i, resent && i <= SMTP_KEPT_SENDER);
	return r;
}

/* Why the text cannot be taken, or SMTP_R_OK. */
static enum smtp_reply_id
judge(struct smtp_server *s, struct smtp_intake *in)
{
	if (in->data.bare)
		return SMTP_R_BARE_IN_DATA;
	if (in->too_large)
		return SMTP_R_TOO_LARGE;
	if (in->data.long_line)
		return SMTP_R_TEXT_LINE_TOO_LONG;
	if (in->watch.received > (size_t)s->ch.house->limits.smtp_received_hops)
		return SMTP_R_LOOPING;
	if (in->err == ERR_FULL)
		return SMTP_R_NO_SPACE;
	if (in->err != 0)
		return SMTP_R_TEMPFAIL;
	return SMTP_R_OK;
}

static void
put_head(struct smtp_server *s, struct smtp_intake *in, struct buf *head, struct slice id, struct slice tls)
{
	int64_t now_s = house_now_s(s->ch.house);
	struct smtp_received r = {.helo = slice_z(s->ch.helo),
	    .client_literal = s->client_literal,
	    .hostname = s->c->hostname,
	    .protocol = smtp_protocol_name((struct smtp_protocol){.extended = s->ch.extended,
		.tls = tls.n > 0,
		.signed_in = s->c->signed_in,
		.lmtp = s->c->lmtp,
		.utf8 = s->mail.utf8}),
	    .tls = tls,
	    .id = id,
	    .priority_given = s->mail.priority_given,
	    .priority = s->mail.priority,
	    .time_s = now_s};

	/* On top, that it is known for the last server's (RFC 8601 §4.1). */
	if (in->finding.results.n > 0) {
		buf_put_z(head, "Authentication-Results: ");
		buf_put(head, in->finding.results);
		buf_put_z(head, "\r\n");
	}
	if (s->recipients_count == 1)
		r.recipient = s->recipients[0];
	/* Where a user sits is nobody's business; the history knows. */
	if (s->submitting) {
		r.helo = s->c->hostname;
		r.client_literal = SLICE_EMPTY;
		r.remark = s->c->signed_in     ? SLICE("a user who has signed in")
		    : s->c->local_sender.n > 0 ? SLICE("a program of this machine")
					       : SLICE("a listed submitter");
	}
	smtp_received_put(head, &r);
	if (!s->submitting)
		return;
	if (in->watch.date_count == 0) {
		buf_put_z(head, "Date: ");
		date_put(head, now_s, 0);
		buf_put_z(head, "\r\n");
	}
	if (in->watch.message_id_count == 0)
		buf_printf(head, "Message-ID: <%.*s@%.*s>\r\n", SLICE_ARG(id), SLICE_ARG(s->c->hostname));
	if (in->watch.kept_count[SMTP_KEPT_FROM] == 0)
		buf_printf(head, "From: <%.*s>\r\n", SLICE_ARG(s->reverse_path));
	if (in->fix.headless)
		buf_put_z(head, "\r\n");
}

/* The last word on a message: in LMTP one for each recipient that was accepted (RFC 2033 §4.2). */
static void
reply_last(struct smtp_server *s, enum smtp_reply_id id, struct slice more)
{
	for (size_t i = s->c->lmtp ? s->accepted : 1; i > 1; i--)
		smtp_reply_again(&s->ch, id, more);
	smtp_reply_more(&s->ch, id, more);
}

static void
reply_submitted(struct smtp_server *s, int e, int64_t result, struct slice id, struct slice detail)
{
	if (e == 0 && result == SUBMIT_OK) {
		s->c->sessions->messages++;
		reply_last(s, SMTP_R_QUEUED, id);
		return;
	}
	s->c->sessions->messages_refused++;
	if (e == 0 && result == SUBMIT_REFUSED && detail.n > 0)
		reply_last(s, SMTP_R_REFUSED_DETAIL, detail);
	else if (e == 0 && result == SUBMIT_RATE)
		reply_last(s, SMTP_R_RATE, detail);
	else if (e == 0 && result == SUBMIT_LOOP)
		reply_last(s, SMTP_R_LOOPING, SLICE_EMPTY);
	else if (e == 0 && result == SUBMIT_REFUSED)
		reply_last(s, SMTP_R_REFUSED, SLICE_EMPTY);
	else
		reply_last(
		    s, e == ERR_FULL || result == SUBMIT_NO_SPACE ? SMTP_R_NO_SPACE : SMTP_R_TEMPFAIL, SLICE_EMPTY);
}

static void
submit(struct smtp_server *s)
{
	struct smtp_intake *in = &s->in;
	struct slice tls = s->c->beginning == SMTP_BEGINS_GREETING ? smtp_tls_text(s->ch.st, &s->arena)
								   : s->c->tls_text;
	struct slice detail = SLICE_EMPTY;
	BUF_CLEANUP struct buf head, envelope;
	char id[ULID_LEN + 1];
	struct smtp_message m;
	int64_t result = 0;
	int e = 0;

	buf_init(&head, HEAD_BYTES_MAX);
	buf_init(&envelope, SMTP_MAIL_LINES_MAX);
	house_ulid(s->ch.house, id);
	put_head(s, in, &head, slice_z(id), tls);
	smtp_mail_envelope_put(&s->mail, in->data.eight_bit, smtp_header_watch_tls_not_required(&in->watch), &envelope);
	if (in->fd >= 0 && in->body.n > 0)
		e = spill(s, in);
	if (e == 0 && (envelope.err != 0 || head.err != 0))
		e = ERR_NOMEM;
	m = (struct smtp_message){.submission = s->submitting,
	    .id = slice_z(id),
	    .reverse_path = s->reverse_path,
	    .envelope = buf_slice(&envelope),
	    .recipients = {s->recipients, s->recipients_count},
	    .recipient_envelopes = {s->envelopes, s->recipients_count},
	    .helo = slice_z(s->ch.helo),
	    .client = s->client,
	    .tls = tls,
	    .head = buf_slice(&head),
	    .body = buf_slice(&in->body),
	    .blob = in->blob,
	    .size_bytes = in->kept_bytes,
	    .judged = in->finding.judged,
	    .findings = in->finding.findings};
	if (e == 0)
		e = s->c->backend.submit(s->c->backend.ctx, &m, &s->arena, &result, &detail);
	s->c->sessions->bytes += in->data.bytes;
	LOG(s->ch.house, INFO, e == 0 && result == SUBMIT_OK ? "smtp_accepted" : "smtp_not_accepted", LOG_S("id", m.id),
	    LOG_S("client", m.client), LOG_S("helo", m.helo), LOG_S("from", m.reverse_path),
	    LOG_I("recipients", m.recipients.n), LOG_I("size", m.size_bytes), LOG_I("priority", s->mail.priority),
	    LOG_S("tls", m.tls), LOG_E(e));
	reply_submitted(s, e, result, m.id, detail);
}

/* What of the header was still held, and whom a submission says that it is from. */
static enum smtp_reply_id
finish_header(struct smtp_server *s, struct smtp_intake *in)
{
	if (smtp_header_fix_end(&in->fix, put_run, in) != 0 || in->body.err != 0)
		return SMTP_R_TEMPFAIL;
	return s->submitting ? check_senders(s, in) : SMTP_R_OK;
}

/* What was found out about who sent it. */
static enum smtp_reply_id
finish_check(struct smtp_intake *in)
{
	static const enum smtp_reply_id replies[] = {[SMTP_CHECKED_FINE] = SMTP_R_OK,
	    [SMTP_CHECKED_LATER] = SMTP_R_SENDER_UNKNOWN,
	    [SMTP_CHECKED_SPF] = SMTP_R_SPF_FAILED,
	    [SMTP_CHECKED_DMARC] = SMTP_R_DMARC_FAILED};

	if (in->check == NULL)
		return SMTP_R_OK;
	return in->checks->judge(in->check, &in->finding) == 0 ? replies[in->finding.result] : SMTP_R_TEMPFAIL;
}

/* What goes with a reply that refuses. */
static struct slice
refusal_detail(const struct smtp_intake *in, enum smtp_reply_id refusal)
{
	return refusal == SMTP_R_NOT_YOUR_FROM ? slice_z(in->bad_field)
	    : refusal == SMTP_R_SPF_FAILED || refusal == SMTP_R_DMARC_FAILED || refusal == SMTP_R_SENDER_UNKNOWN
	    ? in->finding.reply
	    : SLICE_EMPTY;
}

/* The text is there: it goes to the backend, or is refused. */
static void
end_text(struct smtp_server *s)
{
	int64_t began_us = house_mono_us(s->ch.house);
	enum smtp_reply_id refusal = judge(s, &s->in);

	if (refusal == SMTP_R_OK)
		refusal = finish_header(s, &s->in);
	if (refusal == SMTP_R_OK)
		refusal = finish_check(&s->in);
	if (refusal == SMTP_R_OK) {
		submit(s);
		histogram_add(
		    &s->c->sessions->message_times, HISTOGRAM_COMMANDS, house_mono_us(s->ch.house) - began_us);
		return;
	}
	s->c->sessions->messages_refused++;
	LOG(s->ch.house, INFO, "smtp_refused", LOG_S("client", s->client), LOG_S("from", s->reverse_path),
	    LOG_I("code", smtp_replies[refusal].code), LOG_Z("why", smtp_replies[refusal].text),
	    LOG_I("size", s->in.data.bytes));
	reply_last(s, refusal, refusal_detail(&s->in, refusal));
}

void
smtp_intake_run(struct smtp_server *s)
{
	intake_open(s);
	if (read_text(s) == 0)
		end_text(s);
	smtp_intake_free(&s->in);
}

/* A chunk that is not wanted. LMTP gives a reply for each recipient after the last one, be there none (RFC 2033 §4.3). */
static void
refuse_chunk(struct smtp_server *s, uint64_t size, bool last, enum smtp_reply_id refusal)
{
	if (!s->in.open)
		intake_open(s);
	if (read_chunk(s, size, false) != 0)
		return;
	smtp_intake_free(&s->in);
	s->chunks_failed = s->in_mail;
	if (!s->c->lmtp || !last || !s->in_mail || s->accepted > 0)
		smtp_reply(&s->ch, refusal);
}

void
smtp_intake_chunk(struct smtp_server *s, uint64_t size, bool last, enum smtp_reply_id refusal)
{
	char text[24];

	if (refusal != SMTP_R_OK) {
		refuse_chunk(s, size, last, refusal);
		return;
	}
	if (!s->in.open)
		intake_open(s);
	if (read_chunk(s, size, true) != 0)
		return;
	if (last) {
		smtp_data_end_chunks(&s->in.data);
		end_text(s);
		return;
	}
	/* What is wrong already will not become right. */
	refusal = judge(s, &s->in);
	if (refusal != SMTP_R_OK) {
		s->c->sessions->messages_refused++;
		smtp_intake_free(&s->in);
		s->chunks_failed = true;
		smtp_reply(&s->ch, refusal);
		return;
	}
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)size);
	smtp_reply_more(&s->ch, SMTP_R_CHUNK_OK, slice_z(text));
}
