/* queue_report.c: what all reports to senders share (RFC 3464, 6533): whom they list, what they say, where they go. They
 * have a null reverse-path of their own, so that nobody ever answers them; a message whose sender is the null one, or is most
 * likely forged, or that is itself an answer of a machine, is reported to nobody (RFC 3834 §2, RFC 3464 §2), and
 * the history says so. */
#include "queue/queue_report.h"
#include "message/header.h"

#define REPORT_BYTES_MAX ((size_t)4 << 20)

/* ---- what is said ------------------------------------------------------------------------------------ */

/* Why, and what the sender can do, by the status (RFC 3463) of a failure; the first whose beginning fits. */
static const struct {
	const char *begins, *sentence;
} reasons[] = {
    {"5.1.1", "There is no such mailbox. Please check the address for a typing mistake."},
    {"5.1.10", "The domain of this address takes no mail."},
    {"5.1.2", "There is no mail server for this domain. Please check the part of the address behind the @."},
    {"5.1.6", "The mailbox has moved. Please ask the recipient for the new address."},
    {"5.1.8", "The other server does not accept your address as a sender."},
    {"5.1", "The other server does not know this address. Please check it for a typing mistake."},
    {"5.2.1", "The mailbox exists, but it does not take mail at present."},
    {"5.2.2", "The mailbox is full. Please let the recipient know by other means."},
    {"5.2.3", "The message is too large for this mailbox. Please send it smaller, or in parts."},
    {"5.3.4", "The message is too large for the other server. Please send it smaller, or in parts."},
    {"5.4.7", "It could not be delivered by the time that you set."},
    {"5.4.6",
	"The message went in a circle between servers; the postmaster of the recipient's domain has to mend that."},
    {"5.4.14",
	"The message went in a circle between servers; the postmaster of the recipient's domain has to mend that."},
    {"5.6", "The other server does not take a message of this form."},
    {"5.7", "The other server refused the message by its rules. What it said may tell why; its postmaster can help."},
    {"5", "The other server refused the message. What it said may tell why."},
    {"4.2.2", "The mailbox was full all the time. Please let the recipient know by other means."},
    {"4", "The other server took no mail for this address in all the time that it was tried."},
};

/* A sentence for people. What was decided here is one already. */
static struct slice
explain(const struct report *p, struct slice host, struct slice status, struct slice reply)
{
	if (host.n == 0)
		return reply;
	if (p->kind == REPORT_DELAYED)
		return SLICE("The other server did not take it yet.");
	for (size_t i = 0; i < COUNT_OF(reasons); i++) {
		struct slice begins = slice_z(reasons[i].begins);

		if (slice_eq(status, begins) || (slice_starts(status, begins) && slice_at(status, begins.n) == '.'))
			return slice_z(reasons[i].sentence);
	}
	return SLICE("The other server refused the message. What it said may tell why.");
}

static struct slice
host_name(struct slice host)
{
	return slice_cut(&host, ' ');
}

/* The reply as it came. N.0.0 is what we say for a server that gave no enhanced code, 4.4.7 when the time is over. */
static struct slice
what_was_said(struct arena *a, struct slice code, struct slice status, struct slice reply)
{
	if (status.n == 0 || slice_ends(status, SLICE(".0.0")) || slice_eq(status, SLICE("4.4.7")))
		return arena_printf(a, "%.*s %.*s", SLICE_ARG(code), SLICE_ARG(reply));
	return arena_printf(a, "%.*s %.*s %.*s", SLICE_ARG(code), SLICE_ARG(status), SLICE_ARG(reply));
}

static struct slice
tell_success(enum build_dsn_action action)
{
	if (action == BUILD_DSN_EXPANDED)
		return SLICE(
		    "The message goes to everybody behind this address; no further report of a delivery will come.");
	return action == BUILD_DSN_RELAYED
	    ? SLICE("The message was handed to the next server, which will not report what becomes of it.")
	    : SLICE("The message is in the mailbox.");
}

void
report_list(struct report *p, const struct report_recipient *r)
{
	const struct limits *l = &p->q->house->limits;
	enum build_dsn_action action = p->kind == REPORT_FAILED ? BUILD_DSN_FAILED
	    : p->kind == REPORT_DELAYED                         ? BUILD_DSN_DELAYED
	    : r->result == RESULT_EXPANDED                      ? BUILD_DSN_EXPANDED
	    : r->result == RESULT_SENT                          ? BUILD_DSN_RELAYED
								: BUILD_DSN_DELIVERED;
	struct slice event = p->kind == REPORT_FAILED ? SLICE("FAILURE") : SLICE("DELAY");
	bool success = p->kind == REPORT_SUCCESS;

	if (p->listed_n >= REPORT_RECIPIENTS_MAX || (!success && !envelope_notify(r->envelope, event)))
		return;
	p->listed[p->listed_n++] = (struct build_dsn_recipient){
	    .original = xtext_decode(p->arena, envelope_value(r->envelope, SLICE("ORCPT"))),
	    .final = r->original,
	    .action = action,
	    .status = success && r->status.n == 0 ? SLICE("2.0.0") : r->status,
	    .remote_mta = host_name(r->host),
	    .diagnostic = r->host.n > 0 ? what_was_said(p->arena, r->code, r->status, r->reply) : SLICE_EMPTY,
	    .explanation = success ? tell_success(action) : explain(p, r->host, r->status, r->reply),
	    .last_attempt_s = r->at_us / 1000000,
	    .will_retry_until_s = p->kind == REPORT_DELAYED
		? (p->m->when.by_return && p->m->when.by_us > 0 ? p->m->when.by_us
								: p->m->when.base_us + l->queue_lifetime_ms * 1000) /
		    1000000
		: 0,
	};
}

static void
put_duration(struct arena *a, int64_t ms, struct slice *out)
{
	int64_t hours = ms / 3600000;

	if (hours >= 48)
		*out = arena_printf(a, "%lld days", (long long)(hours / 24));
	else if (hours >= 2)
		*out = arena_printf(a, "%lld hours", (long long)hours);
	else
		*out = arena_printf(a, "%lld minutes", (long long)(ms / 60000 > 0 ? ms / 60000 : 1));
}

static struct slice
report_text(struct report *p)
{
	const struct limits *l = &p->q->house->limits;
	struct slice lifetime;

	put_duration(p->arena, l->queue_lifetime_ms, &lifetime);
	if (p->kind == REPORT_SUCCESS)
		return arena_printf(p->arena,
		    "This is the mail server %s.\n\n"
		    "You asked to hear when your message has got on its way. This is what became of it.\n",
		    p->q->hostname);
	if (p->kind == REPORT_FAILED)
		return arena_printf(p->arena,
		    "This is the mail server %s.\n\n"
		    "Your message could not be delivered to the %s below.\n"
		    "It will not be tried again: once the reason is mended, please send it anew.\n",
		    p->q->hostname, p->listed_n == 1 ? "recipient" : "recipients");
	return arena_printf(p->arena,
	    "This is the mail server %s.\n\n"
	    "Your message has not yet been delivered to the %s below.\n"
	    "You need not do anything: it will be tried until the message is %.*s old.\n",
	    p->q->hostname, p->listed_n == 1 ? "recipient" : "recipients", SLICE_ARG(lifetime));
}

/* Reads at most `max` bytes of a file. */
struct file_head {
	int fd;
	struct buf *out;
	size_t max;
};

static int
read_file_head(void *arg)
{
	struct file_head *f = arg;

	while (f->out->n < f->max) {
		uint8_t *to = buf_reserve(f->out, f->max - f->out->n);
		ssize_t got = to == NULL ? -1 : pread(f->fd, to, f->max - f->out->n, (off_t)f->out->n);

		if (got <= 0)
			return got == 0 ? 0 : ERR_IO;
		buf_added(f->out, (size_t)got);
	}
	return 0;
}

/* The original as far as it may be returned; all of it only when it is small. */
static struct slice
original_bytes(struct report *p, bool *headers_only)
{
	size_t max = (size_t)p->q->house->limits.bounce_returned_bytes;
	struct carried c = {.fd = -1};
	struct buf body BUF_CLEANUP;
	struct slice start;
	uint8_t *all;
	size_t n;

	buf_init(&body, max + 1);
	*headers_only = true;
	if (content_load(p->q, p->m, p->arena, &c) != 0)
		return SLICE_EMPTY;
	start = c.body;
	if (c.fd >= 0) {
		struct file_head f = {c.fd, &body, max};

		if (work_run(p->q->c.workers, read_file_head, &f) != 0)
			buf_reset(&body);
		close(c.fd);
		start = buf_slice(&body);
	} else if (c.head.n + c.body.n <= max) {
		/* RFC 3461 §4.3: RET=FULL is for failures. */
		*headers_only = p->kind != REPORT_FAILED ||
		    slice_ieq(envelope_value(p->m->envelope, SLICE("RET")), SLICE("HDRS"));
	}
	start = slice_head(start, max);
	n = c.head.n + start.n;
	all = arena_alloc(p->arena, n + 1);
	if (all == NULL)
		return SLICE_EMPTY;
	if (c.head.n > 0)
		memcpy(all, c.head.p, c.head.n);
	if (start.n > 0)
		memcpy(all + c.head.n, start.p, start.n);
	return slice_of(all, n);
}

/* ---- whether ---------------------------------------------------------------------------------------------- */

/* Its Auto-Submitted says that a machine answered a message (RFC 3834 §5). */
static bool
is_automatic_answer(const struct report *p, struct slice header)
{
	struct header_iter it = header_iter_of(header, (size_t)p->q->house->limits.message_header_bytes);
	struct header_field f;

	while (header_next(&it, &f)) {
		struct slice v = slice_trim(f.value);

		if (slice_ieq(f.name, SLICE("Auto-Submitted")))
			return slice_ieq(slice_trim(slice_cut(&v, ';')), SLICE("auto-replied"));
	}
	return false;
}

/* Why nobody is told; empty when the sender is to be. */
static struct slice
why_silent(const struct report *p, const struct queue_target *t, size_t n, struct slice header)
{
	bool stranger = p->m->origin == ORIGIN_STRANGER;

	/* Mail in the name of somebody who lives here, from a client that has not signed in: hardly that person's. */
	for (size_t i = 0; stranger && !p->return_path_set && i < n; i++)
		if (t[i].kind == QUEUE_TARGET_LOCAL)
			return SLICE("the sender is most likely forged (an address of this house, not signed in), so "
				     "nobody is told");
	for (size_t i = 0; stranger && p->m->forged && i < n; i++)
		if (t[i].kind == QUEUE_TARGET_REMOTE)
			return SLICE(
			    "the sender is most likely forged (SPF or DMARC says that the message is not from there), "
			    "so nobody is told");
	for (size_t i = 0; stranger && i < p->failed_n; i++)
		if (p->failed[i]->reply_class == REPLY_CONTENT || p->failed[i]->reply_class == REPLY_POLICY)
			return SLICE("another server took it for unwanted mail, whose sender is most likely forged, so "
				     "nobody is told");
	if (is_automatic_answer(p, header))
		return SLICE("the message is an answer of a machine, so nobody is told");
	return SLICE_EMPTY;
}

/* ---- where it goes -------------------------------------------------------------------------------------- */

static struct slice
subject(const struct report *p)
{
	switch (p->kind) {
	case REPORT_DELAYED: return SLICE("Your message is delayed");
	case REPORT_SUCCESS: return SLICE("Your message was passed on");
	case REPORT_FAILED:
	default: return SLICE("Your message could not be delivered");
	}
}

static int
write_text(struct report *p, struct slice original, bool headers_only)
{
	struct queue *q = p->q;
	struct build_dsn d = {
	    .reporting_mta = slice_z(q->hostname),
	    .from = arena_printf(p->arena, "MAILER-DAEMON@%s", q->hostname),
	    .from_name = SLICE("Mail Delivery System"),
	    .to = p->return_path,
	    .subject = subject(p),
	    .text = report_text(p),
	    .envelope_id = xtext_decode(p->arena, envelope_value(p->m->envelope, SLICE("ENVID"))),
	    .queue_id = p->m->id,
	    .arrival_s = p->m->received_us / 1000000,
	    .recipients = p->listed,
	    .recipients_n = p->listed_n,
	    .original = original,
	    .headers_only = headers_only,
	    .utf8 = envelope_has(p->m->envelope, SLICE("SMTPUTF8")),
	};

	if (arena_failed(p->arena))
		return ERR_LIMIT;
	p->utf8 = d.utf8;
	return build_dsn(q->house, &d, &p->text);
}

static size_t
add_targets(struct report *p, const struct queue_target *t, size_t n)
{
	size_t used = 0;

	for (size_t i = 0; i < n; i++) {
		struct row_rcpt *r = &p->fresh.rcpts[used];

		if (t[i].kind == QUEUE_TARGET_NONE)
			continue;
		*r = (struct row_rcpt){
		    .number = (int64_t)++used,
		    .kind = t[i].kind,
		    .account_id = t[i].account_id,
		    .original = p->return_path,
		    .address = t[i].address,
		    .via = t[i].via,
		    .due_us = p->now_us,
		    .lane = LANE_BULK,
		};
		delivery_id_make(p->q->house, r->delivery_id);
	}
	return used;
}

/* The signatures above the report, where it leaves the house. */
static int
sign(struct report *p, const struct queue_target *t, size_t n, struct slice *head)
{
	struct queue_rcpt *rcpts = ARENA_ARRAY(p->arena, struct queue_rcpt, n + 1);
	struct queue_submission s = {.id = slice_z(p->id),
	    .origin = ORIGIN_SYSTEM,
	    .body = buf_slice(&p->text),
	    .size_bytes = (int64_t)p->text.n,
	    .rcpts = rcpts,
	    .rcpts_n = n};
	int err;

	if (rcpts == NULL)
		return ERR_LIMIT;
	if (p->q->c.ops.sign == NULL)
		return 0;
	for (size_t i = 0; i < n; i++)
		rcpts[i] = (struct queue_rcpt){.original = p->return_path, .target = t[i]};
	err = p->q->c.ops.sign(p->q->c.ops.ctx, &s, p->arena);
	*head = s.head;
	return err;
}

/* Makes the row of the report with the recipients that its address expands to; none when there is nobody, and p->silent
 * says why. */
static int
address_report(struct report *p)
{
	struct queue *q = p->q;
	struct queue_target *t = NULL;
	struct slice original, head = SLICE_EMPTY;
	bool headers_only;
	size_t n = 0, used;
	int err;

	p->silent = p->return_path.n == 0 ? SLICE("the message has no sender, so nobody is told that delivery failed")
	    : p->listed_n == 0            ? SLICE("the sender did not want to be told that delivery failed")
					  : SLICE_EMPTY;
	if (p->silent.n > 0)
		return 0;
	err = q->c.ops.expand(q->c.ops.ctx, p->return_path, p->arena, &t, &n);
	if (err != 0)
		return err;
	p->fresh.rcpts = ARENA_ARRAY(p->arena, struct row_rcpt, n + 1);
	if (p->fresh.rcpts == NULL)
		return ERR_LIMIT;
	original = original_bytes(p, &headers_only);
	p->silent = why_silent(p, t, n, original);
	if (p->silent.n > 0)
		return 0;
	used = add_targets(p, t, n);
	p->silent = SLICE("the sender has no mailbox here any more, so nobody is told that delivery failed");
	if (used == 0)
		return 0;
	err = write_text(p, original, headers_only);
	if (err != 0)
		return err;
	house_ulid(q->house, p->id);
	err = sign(p, t, n, &head);
	if (err != 0)
		return err;
	p->fresh.rcpts_n = used;
	p->fresh.m = (struct row_message){
	    .id = slice_z(p->id),
	    .origin = ORIGIN_SYSTEM,
	    .size_bytes = (int64_t)p->text.n,
	    .received_us = p->now_us,
	    .recipients = (int64_t)used,
	    .envelope = p->utf8 ? SLICE("BODY=8BITMIME\nSMTPUTF8=\n") : SLICE_EMPTY,
	    .head = head,
	    .body = buf_slice(&p->text),
	    .message_id = header_message_id(buf_slice(&p->text), (size_t)q->house->limits.message_header_bytes),
	};
	return 0;
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

int
report_note(struct sqltx *tx, struct report *p)
{
	static const struct {
		enum bus_history kind;
		const char *text;
	} words[] = {
	    [REPORT_FAILED] = {HISTORY_BOUNCED, "returned to the sender, with a report: message "},
	    [REPORT_DELAYED] = {HISTORY_DELAYED, "told the sender of the delay: message "},
	    [REPORT_SUCCESS] = {HISTORY_NOTE, "told the sender, who had asked for it, that it was passed on: message "},
	};
	char text[200];
	int err;

	if (p->fresh.rcpts_n == 0)
		return p->kind == REPORT_FAILED
		    ? row_history_add(tx, p->m->id, p->now_us, SLICE_EMPTY, HISTORY_NOTE, p->silent)
		    : 0;
	(void)snprintf(text, sizeof(text), "%s%s", words[p->kind].text, p->id);
	err = row_new_insert(tx, &p->fresh);
	return err != 0 ? err
			: row_history_add(tx, p->m->id, p->now_us, p->return_path, words[p->kind].kind, slice_z(text));
}

int
report_send(struct report *p, sql_fn *write)
{
	struct queue *q = p->q;
	int err = address_report(p);

	if (err == 0 && p->fresh.rcpts_n > 0) {
		p->entered = ARENA_ARRAY(p->arena, struct window_rcpt *, p->fresh.rcpts_n);
		err = p->entered == NULL ? ERR_LIMIT : accept_enter(q, &p->fresh, p->entered);
	}
	if (err == 0)
		err = q->failed != 0 ? q->failed : sql_write(q->db, write, p);
	if (err != 0 && sqldb_failed(q->db) != 0)
		finish_storage_failed(q, err, "a commit to queue.db failed");
	if (p->entered != NULL)
		accept_go(q, &p->fresh, p->entered, err == 0);
	if (err == 0 && p->fresh.rcpts_n > 0)
		LOG(q->house, INFO,
		    p->kind == REPORT_FAILED        ? "bounce_queued"
			: p->kind == REPORT_DELAYED ? "sender_warned"
						    : "success_reported",
		    LOG_S("id", p->m->id), LOG_Z("report", p->id), LOG_S("to", p->return_path));
	if (err == 0 && p->left && p->in_file)
		finish_unlink(q, p->m->id);
	return err;
}

bool
report_init(struct report *p, struct queue *q, struct window_message *m, struct arena *a, enum report_kind kind)
{
	*p = (struct report){
	    .q = q, .m = m, .arena = a, .kind = kind, .return_path = m->reverse_path, .now_us = house_now_us(q->house)};
	p->listed = ARENA_ARRAY(a, struct build_dsn_recipient, REPORT_RECIPIENTS_MAX + 1);
	p->failed = ARENA_ARRAY(a, struct window_rcpt *, REPORT_RECIPIENTS_MAX + 1);
	buf_init(&p->text, REPORT_BYTES_MAX);
	return p->listed != NULL && p->failed != NULL;
}
