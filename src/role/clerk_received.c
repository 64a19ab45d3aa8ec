/* clerk_received.c: reports of others about our domains, as desks have had them read: checked, kept in guard.db, and told of in the history of the
 * messages that brought them. What they say is the word of those who sent it: a report is told apart by the domain that its mail was shown to
 * come from, so that nobody can put another's report in his place. */
#include "role/clerk_private.h"

#include "guard/guard_received.h"
#include "message/mailbox.h"
#include "role/report_json.h"

#define WORDS_MAX 4096
#define LINES_MAX 8192
#define MERGED_ROWS 50 /* that a reader adds to limits.report_rows */
#define DETAIL_BYTES 4096

/* ---- what a desk tells ------------------------------------------------------------------------------------------- */

static bool
is_text(struct slice s, size_t max, bool lines)
{
	if (s.n > max || !slice_is_utf8(s, true))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (slice_at(s, i) < ' ' && !(lines && slice_at(s, i) == '\n'))
			return false;
	return true;
}

static bool
head_is_sound(const struct bus_clerk_report_received_request *q)
{
	const struct slice words[] = {
	    q->message_id, q->sender, q->proof, q->problem, q->organisation, q->contact, q->report_id, q->domain};

	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (!is_text(words[i], WORDS_MAX, false))
			return false;
	return q->kind >= REPORT_NONE && q->kind <= REPORT_FAILURE && is_text(q->policy, LINES_MAX, true) &&
	    (q->kind == REPORT_NONE) == (q->problem.n > 0);
}

/* The rows, checked; NULL when they are not sound. */
static struct guard_received_row *
take_rows(struct clerk *k, const struct bus_clerk_report_received_request *q, struct arena *a)
{
	size_t n = q->domains.n;
	struct guard_received_row *v = ARENA_ARRAY(a, struct guard_received_row, n + 1);

	if (v == NULL || n > (size_t)k->c->house->limits.report_rows + MERGED_ROWS || q->sources.n != n ||
	    q->counts.n != n || q->outcomes.n != n || q->means.n != n || q->who.n != n || q->details.n != n)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		const struct slice words[] = {
		    q->domains.v[i], q->sources.v[i], q->outcomes.v[i], q->means.v[i], q->who.v[i]};
		uint64_t count;

		for (size_t j = 0; j < COUNT_OF(words); j++)
			if (!is_text(words[j], WORDS_MAX, false))
				return NULL;
		if (!is_text(q->details.v[i], LINES_MAX, true) || slice_to_u64(q->counts.v[i], INT64_MAX, &count) != 0)
			return NULL;
		v[i] = (struct guard_received_row){.domain = words[0],
		    .source = words[1],
		    .total = (int64_t)count,
		    .outcome = words[2],
		    .means = words[3],
		    .who = words[4],
		    .detail = q->details.v[i]};
	}
	return v;
}

struct ownership {
	struct arena *a;
	struct slice domain;
	bool ours;
};

/* The domain, or one above it. */
static int
find_ours(struct sqltx *tx, void *arg)
{
	struct ownership *o = arg;
	struct slice name = o->domain, canonical;
	int e = 0;

	for (o->ours = false; e == 0 && !o->ours && name.n > 0; (void)slice_cut(&name, '.'))
		e = directory_domain_find(tx, o->a, name, &o->ours, &canonical);
	return e;
}

static void
tell_history(struct clerk *k, const struct guard_received *r, bool known)
{
	struct buf words BUF_CLEANUP;

	buf_init(&words, DETAIL_BYTES * 4);
	if (r->kind == REPORT_NONE)
		buf_printf(&words, "the report that it holds cannot be read: %.*s", SLICE_ARG(r->problem));
	else
		buf_printf(&words, "it holds a report (%s) of %.*s about %.*s%s", report_json_kind(r->kind),
		    SLICE_ARG(r->organisation), SLICE_ARG(r->domain), known ? ", which is known already" : "");
	if (r->sender.n == 0)
		buf_printf(&words, "; nothing shows who sent it (%.*s)", SLICE_ARG(r->proof));
	if (queue_history_add(k->queue, r->message, r->recipient, HISTORY_NOTE, buf_slice(&words)) != 0)
		LOG(k->c->house, DEBUG, "history_not_told", LOG_S("id", r->message));
}

static int
on_report(struct clerk *k, struct bus_peer *from, struct bus_clerk_report_received_request *q, struct arena *a,
    struct bus_clerk_report_received_reply *rep)
{
	CLERK_ENTER(k);
	struct guard_received_row *rows = take_rows(k, q, a);
	struct ownership o = {.a = a, .domain = q->domain};
	struct guard_received r = {.kind = (enum bus_report)q->kind,
	    .sender = q->sender,
	    .proof = q->proof,
	    .organisation = q->organisation,
	    .contact = q->contact,
	    .report_id = q->report_id,
	    .domain = q->domain,
	    .policy = q->policy,
	    .problem = q->problem,
	    .begin_s = q->begin_s,
	    .end_s = q->end_s,
	    .message = q->message_id,
	    .recipient = arena_copy(a, q->recipient)};
	int e;

	(void)from;
	if (rows == NULL || !head_is_sound(q) || !is_text(r.recipient, WORDS_MAX, false))
		return ERR_INVALID;
	if (r.kind == REPORT_NONE || r.report_id.n == 0)
		r.report_id = r.message;
	e = sql_read(k->directory_db, find_ours, &o);
	r.ours = o.ours;
	if (e == 0)
		e = guard_received_add(k->guard_db, k->c->house, &r, rows, q->domains.n);
	rep->known = e == ERR_EXISTS;
	if (e != 0 && e != ERR_EXISTS)
		return e;
	LOG(k->c->house, INFO, "report_received", LOG_S("id", r.message), LOG_Z("kind", report_json_kind(r.kind)),
	    LOG_S("organisation", r.organisation), LOG_S("domain", r.domain), LOG_S("sender", r.sender),
	    LOG_S("report_id", r.report_id), LOG_I("rows", r.rows), LOG_I("total", r.total), LOG_I("known", rep->known),
	    LOG_S("problem", r.problem));
	tell_history(k, &r, rep->known != 0);
	return 0;
}

void
clerk_received_handle(struct clerk *k)
{
	BUS_HANDLE(k->c->bus, clerk_report_received, on_report, k);
}
