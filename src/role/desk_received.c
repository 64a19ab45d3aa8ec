/* desk_received.c: mail that came to an address of [trust] report_address: once it is in its mailbox, a reader of its own is asked whether it holds a
 * report of others about our domains, and the clerk is told what it says. One message after the other, so that nobody's reports hold up
 * mail; what waits when the process ends is not counted. Whose report it is, is what our own gate found out about its mail. */
#include "base/cursor.h"
#include "directory/directory_address.h"
#include "message/header.h"
#include "message/mailbox.h"
#include "reader/reader_texts.h"
#include "role/desk_private.h"
#include "rt/stream.h"
#include "trust/auth_results.h"

#include <fcntl.h>
#include <unistd.h>

#define READING_ARENA_BYTES ((size_t)48 << 20)
#define OPEN_MS 10000

struct waiting {
	struct list_node node;
	struct buf id, recipient, head, body;
	int file; /* or -1 */
	int64_t size;
};

static void
waiting_free(struct waiting *w)
{
	buf_free(&w->id);
	buf_free(&w->recipient);
	buf_free(&w->head);
	buf_free(&w->body);
	if (w->file >= 0)
		(void)close(w->file);
	free(w);
}

/* ---- whose mail it is ------------------------------------------------------------------------------------------- */

/* sender: the domain that the mail is shown to come from, or empty; method: what shows it, or the most that was found out. */
struct proof {
	struct slice sender, method;
	size_t rank, tried;
};

static void
weigh(struct arena *a, const struct auth_results_item *i, struct proof *p)
{
	/* What proves more comes later. */
	static const struct {
		struct slice method, property;
	} ways[] = {{SLICE_INIT("spf"), SLICE_INIT("smtp.mailfrom")}, {SLICE_INIT("dkim"), SLICE_INIT("header.d")},
	    {SLICE_INIT("dmarc"), SLICE_INIT("header.from")}};

	for (size_t w = 0; w < COUNT_OF(ways); w++) {
		struct slice value = auth_results_find(i, ways[w].property), domain;
		size_t at = slice_rfind_byte(value, '@'), rank = w + 1;

		if (!slice_eq(i->method, ways[w].method))
			continue;
		value = at == SLICE_NONE ? value : slice_from(value, at + 1);
		if (slice_eq(i->result, SLICE("pass")) && rank > p->rank && domain_normalise(a, value, &domain) == 0) {
			p->sender = domain;
			p->method = ways[w].method;
			p->rank = rank;
		} else if (p->rank == 0 && rank > p->tried) {
			p->method = arena_printf(a, "%.*s=%.*s", SLICE_ARG(i->method), SLICE_ARG(i->result));
			p->tried = rank;
		}
	}
}

/* What the gate wrote on top: ours is the only one of our name. */
static struct proof
find_proof(struct desk *d, struct slice head, struct arena *a)
{
	struct header_iter it = header_iter_of(head, head.n);
	struct proof p = {.method = SLICE("not checked")};
	struct header_field f;

	while (header_next(&it, &f)) {
		struct auth_results_field results;

		if (!slice_ieq(f.name, SLICE("Authentication-Results")) ||
		    auth_results_parse(a, f.value, &results) != 0 || !slice_ieq(results.id, d->c->settings->hostname))
			continue;
		for (size_t i = 0; i < results.n; i++)
			weigh(a, &results.v[i], &p);
	}
	return p;
}

/* ---- asking a reader ---------------------------------------------------------------------------------------------- */

struct load_job {
	int fd;
	uint8_t *to;
	size_t n;
};

/* On a worker thread. */
static int
load_file(void *arg)
{
	struct load_job *j = arg;

	for (size_t at = 0; at < j->n;) {
		ssize_t got = pread(j->fd, j->to + at, j->n - at, (off_t)at);

		if (got <= 0)
			return ERR_IO;
		at += (size_t)got;
	}
	return 0;
}

static int
load(struct desk *d, struct waiting *w, struct arena *a, struct slice *out)
{
	struct load_job j = {.fd = w->file, .n = (size_t)w->size};
	int e;

	*out = buf_slice(&w->body);
	if (w->file < 0)
		return 0;
	j.to = arena_alloc(a, j.n);
	if (j.to == NULL)
		return ERR_NOMEM;
	e = work_run(d->workers, load_file, &j);
	*out = slice_of(j.to, j.n);
	return e;
}

static int
open_reader(struct desk *d, struct stream **out)
{
	struct arena ARENA_CLEANUP a;
	struct bus_reader_open_request q = {.what = READER_REPORTS};
	struct bus_reader_open_reply reply = {.socket = -1};
	int64_t ms = d->c->house->limits.reader_timeout_ms;
	int e;

	arena_init(&a, 4096);
	e = bus_call_again(d->c->bus, ROLE_READER, 0, BUS_reader_open, &q, &a, &reply, OPEN_MS);
	if (e == 0 && reply.socket < 0)
		e = ERR_UNAVAILABLE;
	if (e == 0)
		e = stream_new(out, d->c->loop, (int)reply.socket);
	if (e != 0)
		return e;
	stream_set_timeouts(*out, ms, ms);
	stream_set_deadline(*out, loop_deadline(d->c->loop, ms));
	return 0;
}

static int
exchange(struct stream *s, struct slice message, struct arena *a, struct bus_reader_report_reply *reply)
{
	struct bus_reader_report_request q = {message};
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
	if ((e = stream_write(s, buf_slice(&frame))) != 0 || (e = stream_flush(s)) != 0 ||
	    (e = stream_read_exact(s, head, sizeof(head))) != 0)
		return e;
	length = cursor_be32(&c);
	if (length > READER_FRAME_MAX || (in = arena_alloc(a, length)) == NULL)
		return ERR_LIMIT;
	if ((e = stream_read_exact(s, in, length)) != 0)
		return e;
	return bus_decode(BUS_reader_report, true, slice_of(in, length), NULL, 0, a, reply);
}

/* A reader that ends, hangs or talks nonsense has met a report that is not worth another. */
static int
ask_reader(struct desk *d, struct slice message, struct arena *a, struct bus_reader_report_reply *reply)
{
	struct stream *s = NULL;
	int e = open_reader(d, &s);

	if (e != 0)
		return e;
	e = exchange(s, message, a, reply);
	stream_close(&s);
	if (e == 0 || e == ERR_CANCELLED || e == ERR_NOMEM)
		return e;
	*reply = (struct bus_reader_report_reply){
	    .problem = SLICE("reading it took too much time or memory, or was more than the reader could bear")};
	return 0;
}

/* ---- one message ---------------------------------------------------------------------------------------------------- */

static int
tell_clerk(struct desk *d, const struct waiting *w, const struct bus_reader_report_reply *r, struct arena *a)
{
	struct proof p = find_proof(d, buf_slice(&w->head), a);
	struct bus_clerk_report_received_reply rep;
	struct bus_clerk_report_received_request q = {.message_id = buf_slice(&w->id),
	    .recipient = buf_slice(&w->recipient),
	    .sender = p.sender,
	    .proof = p.method,
	    .kind = r->kind,
	    .problem = r->problem,
	    .organisation = r->organisation,
	    .contact = r->contact,
	    .report_id = r->report_id,
	    .domain = r->domain,
	    .begin_s = r->begin_s,
	    .end_s = r->end_s,
	    .policy = r->policy,
	    .domains = r->domains,
	    .sources = r->sources,
	    .counts = r->counts,
	    .outcomes = r->outcomes,
	    .means = r->means,
	    .who = r->who,
	    .details = r->details};

	/* The same twice counts once. */
	return bus_call_again(d->c->bus, ROLE_CLERK, 0, BUS_clerk_report_received, &q, a, &rep, DESK_ASK_MS);
}

static void
read_waiting(struct desk *d, struct waiting *w)
{
	struct bus_reader_report_reply reply = {.kind = REPORT_NONE};
	struct arena a ARENA_CLEANUP;
	struct slice message;
	int e = 0;

	arena_init(&a, READING_ARENA_BYTES);
	if (w->size > d->c->house->limits.report_message_bytes) {
		reply.problem = arena_printf(&a,
		    "the message has %lld bytes, and reports of more than %lld are not opened", (long long)w->size,
		    (long long)d->c->house->limits.report_message_bytes);
	} else {
		e = load(d, w, &a, &message);
		if (e == 0)
			e = ask_reader(d, message, &a, &reply);
	}
	if (e == 0 && (reply.kind != REPORT_NONE || reply.problem.n > 0))
		e = tell_clerk(d, w, &reply, &a);
	if (e != 0)
		LOG(d->c->house, WARN, "report_not_read", LOG_S("id", buf_slice(&w->id)), LOG_E(e));
}

static void
read_all(void *arg)
{
	struct desk *d = arg;
	struct list_node *n;

	while (!d->stopping && (n = list_pop(&d->received)) != NULL) {
		struct waiting *w = CONTAINER_OF(n, struct waiting, node);

		read_waiting(d, w);
		waiting_free(w);
		d->received_count--;
	}
	d->receiving = false;
}

/* ---- taking them ------------------------------------------------------------------------------------------------------ */

static bool
is_report_address(struct desk *d, struct slice recipient)
{
	const struct slice_list *v = &d->c->settings->report_addresses;
	struct directory_address is, want;
	struct arena a ARENA_CLEANUP;

	arena_init(&a, 65536);
	if (v->n == 0 || directory_address_parse(recipient, false, &a, &is) != 0)
		return false;
	for (size_t i = 0; i < v->n; i++)
		if (directory_address_parse(v->v[i], false, &a, &want) == 0 && slice_eq(is.key, want.key))
			return true;
	return false;
}

static int
copy(const struct bus_desk_deliver_request *q, struct waiting *w)
{
	const struct slice from[] = {q->message_id, q->recipient, q->head, q->body};
	struct buf *const to[] = {&w->id, &w->recipient, &w->head, &w->body};
	int e = 0;

	w->size = q->size_bytes;
	w->file = -1;
	for (size_t i = 0; i < COUNT_OF(to); i++) {
		buf_init(to[i], from[i].n + 1);
		buf_put(to[i], from[i]);
		if (to[i]->err != 0)
			e = to[i]->err;
	}
	if (e == 0 && q->file >= 0 && (w->file = fcntl((int)q->file, F_DUPFD_CLOEXEC, 3)) < 0)
		e = ERR_LIMIT;
	return e;
}

void
desk_received(struct desk *d, const struct bus_desk_deliver_request *q)
{
	struct waiting *w;
	int e;

	if (d->stopping || !is_report_address(d, q->recipient))
		return;
	w = d->received_count >= (size_t)d->c->house->limits.report_waiting ? NULL : calloc(1, sizeof(*w));
	e = w == NULL ? ERR_BUSY : copy(q, w);
	if (e == 0 && !d->receiving) {
		e = fiber_start(d->c->loop, "received reports", read_all, d, NULL);
		d->receiving = e == 0;
	}
	if (e == 0) {
		list_push(&d->received, &w->node);
		d->received_count++;
		return;
	}
	if (w != NULL)
		waiting_free(w);
	LOG(d->c->house, WARN, "report_not_read", LOG_S("id", q->message_id), LOG_E(e));
}

void
desk_received_start(struct desk *d)
{
	list_init(&d->received);
}

void
desk_received_end(struct desk *d, int64_t end_ms)
{
	struct list_node *n;

	while (d->receiving && loop_now_ms(d->c->loop) < end_ms)
		if (fiber_sleep(d->c->loop, 5) != 0)
			break;
	while ((n = list_pop(&d->received)) != NULL)
		waiting_free(CONTAINER_OF(n, struct waiting, node));
}
