/* queue_bounce.c: reports to senders (RFC 3464): of recipients that failed for good, and once of a delay. The report
 * enters the queue in the transaction that ends the recipients, so that neither is lost nor doubled. It goes to the
 * reverse-path with a null reverse-path of its own; a message that has none is reported to nobody, and the
 * history says so. Recipients of one message that fail together share a report. */
#include "message/build.h"
#include "message/header.h"
#include "queue/queue_private.h"

#define REPORT_RECIPIENTS_MAX 1000
#define REPORT_ARENA_BYTES ((size_t)16 << 20)
#define REPORT_BYTES_MAX ((size_t)4 << 20)

struct report {
	struct queue *q;
	struct window_message *m;
	struct arena *arena;
	bool warning;
	struct build_dsn_recipient *listed; /* those that the sender wants to hear of */
	size_t listed_n;
	struct window_rcpt **failed; /* those that end */
	size_t failed_n;
	char id[ULID_LEN + 1];
	struct row_new fresh; /* the report; no recipients: none is sent */
	struct window_rcpt **entered;
	struct buf text;
	int64_t now_us;
	bool left, in_file;
};

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
	if (p->warning)
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

static void
list_rcpt(struct report *p, struct slice original, struct slice envelope, struct slice code, struct slice status,
    struct slice reply, struct slice host, int64_t attempt_us)
{
	const struct limits *l = &p->q->house->limits;
	struct build_dsn_recipient *d;

	if (p->listed_n >= REPORT_RECIPIENTS_MAX ||
	    !envelope_notify(envelope, p->warning ? SLICE("DELAY") : SLICE("FAILURE")))
		return;
	d = &p->listed[p->listed_n++];
	*d = (struct build_dsn_recipient){
	    .original = xtext_decode(p->arena, envelope_value(envelope, SLICE("ORCPT"))),
	    .final = original,
	    .action = p->warning ? BUILD_DSN_DELAYED : BUILD_DSN_FAILED,
	    .status = status,
	    .remote_mta = host_name(host),
	    .diagnostic = host.n > 0 ? what_was_said(p->arena, code, status, reply) : SLICE_EMPTY,
	    .explanation = explain(p, host, status, reply),
	    .last_attempt_s = attempt_us / 1000000,
	    .will_retry_until_s = p->warning ? (p->m->received_us / 1000 + l->queue_lifetime_ms) / 1000 : 0,
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
	if (!p->warning)
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
		*headers_only = slice_ieq(envelope_value(p->m->envelope, SLICE("RET")), SLICE("HDRS"));
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

static int
write_text(struct report *p)
{
	struct queue *q = p->q;
	struct build_dsn d = {
	    .reporting_mta = slice_z(q->hostname),
	    .from = arena_printf(p->arena, "MAILER-DAEMON@%s", q->hostname),
	    .from_name = SLICE("Mail Delivery System"),
	    .to = p->m->reverse_path,
	    .subject = p->warning ? SLICE("Your message is delayed") : SLICE("Your message could not be delivered"),
	    .text = report_text(p),
	    .envelope_id = xtext_decode(p->arena, envelope_value(p->m->envelope, SLICE("ENVID"))),
	    .queue_id = p->m->id,
	    .arrival_s = p->m->received_us / 1000000,
	    .recipients = p->listed,
	    .recipients_n = p->listed_n,
	};

	d.original = original_bytes(p, &d.headers_only);
	if (arena_failed(p->arena))
		return ERR_LIMIT;
	return build_dsn(q->house, &d, &p->text);
}

/* ---- where it goes -------------------------------------------------------------------------------------- */

/* Makes the row of the report with the recipients that its address expands to; none when there is nobody. */
static int
address_report(struct report *p)
{
	struct queue *q = p->q;
	struct queue_target *t = NULL;
	size_t n = 0, used = 0;
	int err;

	if (p->m->reverse_path.n == 0 || p->listed_n == 0)
		return 0;
	err = q->c.ops.expand(q->c.ops.ctx, p->m->reverse_path, p->arena, &t, &n);
	if (err != 0)
		return err;
	p->fresh.rcpts = ARENA_ARRAY(p->arena, struct row_rcpt, n + 1);
	if (p->fresh.rcpts == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < n; i++) {
		struct row_rcpt *r = &p->fresh.rcpts[used];

		if (t[i].kind == QUEUE_TARGET_NONE)
			continue;
		*r = (struct row_rcpt){
		    .number = (int64_t)++used,
		    .kind = t[i].kind,
		    .account_id = t[i].account_id,
		    .original = p->m->reverse_path,
		    .address = t[i].address,
		    .via = t[i].via,
		    .due_us = p->now_us,
		};
		delivery_id_make(q->house, r->delivery_id);
	}
	if (used == 0)
		return 0;
	err = write_text(p);
	if (err != 0)
		return err;
	house_ulid(q->house, p->id);
	p->fresh.rcpts_n = used;
	p->fresh.m = (struct row_message){
	    .id = slice_z(p->id),
	    .origin = ORIGIN_SYSTEM,
	    .size_bytes = (int64_t)p->text.n,
	    .received_us = p->now_us,
	    .body = buf_slice(&p->text),
	    .message_id = header_message_id(buf_slice(&p->text), (size_t)q->house->limits.message_header_bytes),
	};
	return 0;
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

static int
end_rcpts(struct sqltx *tx, struct report *p, int64_t *ended)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < p->failed_n; i++) {
		const struct window_rcpt *r = p->failed[i];
		struct sql_rows rows SQL_ROWS_CLEANUP = {0};

		err = SQL_QUERY(tx, &rows, &queue_sql_recipient_done, SQLB(slice_of(r->delivery_id, DELIVERY_ID_LEN)),
		    SQLI(RESULT_FAILED), SQLI(p->now_us), SQLB(r->code), SQLB(r->status), SQLB(r->reply),
		    SQLB(r->host));
		if (err == 0)
			err = sql_next(&rows);
		if (err == 1)
			(*ended)++;
		err = err < 0 ? err : 0;
	}
	return err;
}

static int
write_report(struct sqltx *tx, void *arg)
{
	struct report *p = arg;
	int64_t changed = 0;
	int err;

	p->left = p->in_file = false;
	if (p->warning) {
		err = SQL_EXEC(tx, &queue_sql_message_warned, SQLT(p->m->id));
		changed = err == 0 ? sql_changes(tx) : 0;
	} else {
		err = end_rcpts(tx, p, &changed);
		if (err == 0 && changed > 0)
			err = row_message_less(tx, p->m->id, changed, p->now_us, &p->left, &p->in_file);
	}
	if (err != 0)
		return err;
	if (changed == 0)
		return ERR_NOTFOUND; /* others were quicker: nothing to report */
	if (p->fresh.rcpts_n > 0) {
		struct slice detail = p->warning ? SLICE("told the sender of the delay: message ")
						 : SLICE("returned to the sender, with a report: message ");
		char text[200];

		(void)snprintf(text, sizeof(text), "%.*s%s", SLICE_ARG(detail), p->id);
		err = row_new_insert(tx, &p->fresh);
		if (err == 0)
			err = row_history_add(tx, p->m->id, p->now_us, p->m->reverse_path,
			    p->warning ? HISTORY_DELAYED : HISTORY_BOUNCED, slice_z(text));
	} else if (!p->warning) {
		err = row_history_add(tx, p->m->id, p->now_us, SLICE_EMPTY, HISTORY_NOTE,
		    p->m->reverse_path.n == 0
			? SLICE("the message has no sender, so nobody is told that delivery failed")
			: p->listed_n == 0
			? SLICE("the sender did not want to be told that delivery failed")
			: SLICE("the sender has no mailbox here any more, so nobody is told that delivery failed"));
	}
	return err;
}

static void
settle(struct report *p, bool written)
{
	struct queue *q = p->q;

	for (size_t i = 0; i < p->failed_n; i++) {
		struct window_rcpt *r = p->failed[i];

		if (written) {
			LOG(q->house, INFO, "delivery_failed", LOG_S("id", p->m->id), LOG_S("recipient", r->original),
			    LOG_S("host", r->host), LOG_S("status", r->status), LOG_S("reply", r->reply));
			q->counters.failed++;
		}
		window_rcpt_remove(q, r);
	}
	if (!written)
		return;
	if (p->fresh.rcpts_n > 0) {
		if (p->warning)
			q->counters.warnings++;
		else
			q->counters.bounces++;
		LOG(q->house, INFO, p->warning ? "sender_warned" : "bounce_queued", LOG_S("id", p->m->id),
		    LOG_Z("report", p->id), LOG_S("to", p->m->reverse_path));
	} else if (!p->warning) {
		q->counters.double_bounces++;
		LOG(q->house, WARN, "bounce_to_nobody", LOG_S("id", p->m->id));
	}
	if (p->left && p->in_file)
		finish_unlink(q, p->m->id);
}

/* Builds and writes. The recipients stay FAILED when that does not succeed: the schedule tries again. */
static int
send_report(struct report *p)
{
	struct queue *q = p->q;
	int err = address_report(p);

	if (err == 0 && p->fresh.rcpts_n > 0) {
		p->entered = ARENA_ARRAY(p->arena, struct window_rcpt *, p->fresh.rcpts_n);
		err = p->entered == NULL ? ERR_LIMIT : accept_enter(q, &p->fresh, p->entered);
	}
	if (err == 0)
		err = q->failed != 0 ? q->failed : sql_write(q->db, write_report, p);
	if (err != 0 && sqldb_failed(q->db) != 0)
		finish_storage_failed(q, err, "a commit to queue.db failed");
	if (p->entered != NULL)
		accept_go(q, &p->fresh, p->entered, err == 0);
	return err;
}

static bool
report_init(struct report *p, struct queue *q, struct window_message *m, struct arena *a, bool warning, size_t rcpts)
{
	*p = (struct report){.q = q, .m = m, .arena = a, .warning = warning, .now_us = house_now_us(q->house)};
	p->listed = ARENA_ARRAY(a, struct build_dsn_recipient, rcpts + 1);
	p->failed = ARENA_ARRAY(a, struct window_rcpt *, rcpts + 1);
	return p->listed != NULL && p->failed != NULL;
}

void
bounce_flush(struct queue *q, struct window_message *m, bool now)
{
	struct arena a ARENA_CLEANUP;
	struct report p;
	int err;

	arena_init(&a, REPORT_ARENA_BYTES);
	if (m->failed_n == 0 || m->bouncing || (m->active > 0 && !now) ||
	    !report_init(&p, q, m, &a, false, REPORT_RECIPIENTS_MAX))
		return;
	buf_init(&p.text, REPORT_BYTES_MAX);
	m->bouncing = true;
	window_message_ref(m);
	LIST_FOREACH (&m->failed, n) {
		struct window_rcpt *r = CONTAINER_OF(n, struct window_rcpt, node);

		if (p.failed_n == REPORT_RECIPIENTS_MAX)
			break;
		p.failed[p.failed_n++] = r;
		list_rcpt(&p, r->original, r->envelope, r->code, r->status, r->reply, r->host, p.now_us);
	}
	err = send_report(&p);
	if (err == 0 || err == ERR_NOTFOUND)
		settle(&p, err == 0);
	else
		LOG(q->house, ERROR, "bounce_not_written", LOG_S("id", m->id), LOG_E(err));
	buf_free(&p.text);
	m->bouncing = false;
	window_message_unref(q, m);
}

/* ---- the delay warning ------------------------------------------------------------------------------------- */

static int
read_waiting(struct sqltx *tx, void *arg)
{
	struct report *p = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &queue_sql_recipient_waiting, SQLT(p->m->id), SQLI(REPORT_RECIPIENTS_MAX));

	p->listed_n = 0;
	while (err == 0 && (err = sql_next(&r)) == 1) {
		list_rcpt(p, arena_copy(p->arena, sql_col_bytes(&r, 0)), arena_copy(p->arena, sql_col_bytes(&r, 1)),
		    arena_copy(p->arena, sql_col_bytes(&r, 3)), arena_copy(p->arena, sql_col_bytes(&r, 4)),
		    arena_copy(p->arena, sql_col_bytes(&r, 5)), arena_copy(p->arena, sql_col_bytes(&r, 6)),
		    sql_col_int(&r, 2));
		err = arena_failed(p->arena) ? ERR_LIMIT : 0;
	}
	return err;
}

void
bounce_warn(struct queue *q, struct window_message *m)
{
	struct arena a ARENA_CLEANUP;
	struct report p;
	int err;

	arena_init(&a, REPORT_ARENA_BYTES);
	if (m->warned || m->reverse_path.n == 0 || !report_init(&p, q, m, &a, true, REPORT_RECIPIENTS_MAX))
		return;
	m->warned = true;
	buf_init(&p.text, REPORT_BYTES_MAX);
	err = sql_read(q->db, read_waiting, &p);
	if (err == 0 && p.listed_n > 0)
		err = send_report(&p);
	if (err == 0 && p.listed_n > 0)
		settle(&p, true);
	else if (err != 0 && err != ERR_NOTFOUND) {
		m->warned = false;
		LOG(q->house, ERROR, "warning_not_written", LOG_S("id", m->id), LOG_E(err));
	}
	buf_free(&p.text);
}
