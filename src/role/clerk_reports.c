/* clerk_reports.c: the reports that other domains get of the mail that said to be from them (RFC 9990). Gates tell what they have found;
 * the counts lie in guard.db. When a day (of UTC) is over, each domain gets a message with the day's report; then its counts go. A
 * report is submitted under an id that is made of what it is about, so that after a crash it is not sent twice. */
#include "message/build.h"
#include "role/clerk_private.h"

#include "guard/guard_dmarc.h"
#include "trust/dmarc_report.h"

#define DAY_S 86400
#define LOOK_MS 5000
#define PAUSE_MS 200 /* between two reports */
#define TEXT_MAX DMARC_ROW_BYTES_MAX
#define REPORT_ARENA_BYTES ((size_t)64 << 20)
#define XML_BYTES_MAX ((size_t)32 << 20)
#define MESSAGE_BYTES_MAX ((size_t)24 << 20)
#define LIST_PAGE 500
#define HEAD_BYTES_MAX 8192

/* ---- what gates tell ------------------------------------------------------------------------------------------ */

static bool
is_text(struct slice s)
{
	return s.n > 0 && s.n <= TEXT_MAX && slice_is_utf8(s, true);
}

static int
on_results(struct clerk *k, struct bus_peer *from, struct bus_clerk_dmarc_results_request *q, struct arena *a,
    struct bus_clerk_dmarc_results_reply *rep)
{
	CLERK_ENTER(k);
	size_t n = q->domains.n;
	struct guard_dmarc_row *v = ARENA_ARRAY(a, struct guard_dmarc_row, n + 1);

	(void)from;
	(void)rep;
	if (q->policies.n != n || q->destinations.n != n || q->rows.n != n || q->counts.n != n)
		return ERR_INVALID;
	if (v == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		uint64_t count;

		if (!is_text(q->domains.v[i]) || !is_text(q->policies.v[i]) || !is_text(q->destinations.v[i]) ||
		    !is_text(q->rows.v[i]) || slice_to_u64(q->counts.v[i], INT32_MAX, &count) != 0)
			return ERR_INVALID;
		v[i] = (struct guard_dmarc_row){
		    0, q->domains.v[i], q->policies.v[i], q->destinations.v[i], q->rows.v[i], (int64_t)count};
	}
	/* Where nobody sends reports nothing is kept for them. */
	if (k->c->settings->report_sender.n == 0)
		return 0;
	return guard_dmarc_add(k->guard_db, k->c->house, v, n);
}

/* ---- one report --------------------------------------------------------------------------------------------------- */

struct report {
	struct clerk_report to;
	const struct guard_dmarc_row *of; /* day, domain, policy, destinations */
	struct slice xml;
};

static void
make_ids(struct report *p)
{
	clerk_report_ids(&p->to, p->of->day, slice_hash(p->of->domain, 1) ^ slice_hash(p->of->policy, 2));
}

/* The message (RFC 9990 §3.5.2). */
static int
write_message(struct report *p, struct buf *out)
{
	struct clerk *k = p->to.k;
	struct arena *a = p->to.a;
	const struct settings *s = k->c->settings;
	struct buf packed BUF_CLEANUP;
	char boundary[BUILD_BOUNDARY_MAX];
	int64_t begin_s = p->of->day * DAY_S;
	struct slice file = arena_printf(a, "%.*s!%.*s!%lld!%lld.xml.gz", SLICE_ARG(s->hostname),
	    SLICE_ARG(p->of->domain), (long long)begin_s, (long long)begin_s + DAY_S - 1);
	int e;

	buf_init(&packed, MESSAGE_BYTES_MAX / 2);
	e = clerk_report_pack(k, p->xml, &packed);
	if (e != 0)
		return e;
	build_boundary(k->c->house, boundary);
	build_field_raw(out, SLICE("From"), arena_printf(a, "<%.*s>", SLICE_ARG(s->report_sender)));
	build_field_raw(out, SLICE("To"), arena_printf(a, "<%.*s>", SLICE_ARG(p->to.destination)));
	build_field_raw(out, SLICE("Subject"),
	    arena_printf(a, "Report Domain: %.*s Submitter: %.*s Report-ID: <%s@%.*s>", SLICE_ARG(p->of->domain),
		SLICE_ARG(s->hostname), p->to.report_id, SLICE_ARG(s->hostname)));
	build_field_date(out, SLICE("Date"), house_now_s(k->c->house));
	buf_printf(out, "Message-ID: <%s@%.*s>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n", p->to.id,
	    SLICE_ARG(s->hostname));
	buf_printf(out, "Content-Type: multipart/mixed; boundary=\"%s\"\r\n\r\n--%s\r\n", boundary, boundary);
	build_text_body(out,
	    arena_printf(a, "This is a DMARC aggregate report of %.*s about mail that said to be from %.*s.\r\n",
		SLICE_ARG(s->hostname), SLICE_ARG(p->of->domain)));
	buf_printf(out,
	    "\r\n--%s\r\nContent-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n"
	    "Content-Disposition: attachment;\r\n\tfilename=\"%.*s\"\r\n\r\n",
	    boundary, SLICE_ARG(file));
	clerk_report_put_base64(out, buf_slice(&packed));
	buf_printf(out, "--%s--\r\n", boundary);
	return out->err;
}

/* To each address that wants it. */
static int
send_report(struct report *p)
{
	struct slice rest = p->of->destinations;
	int e = 0;

	while (e == 0 && rest.n > 0) {
		struct buf message BUF_CLEANUP;

		p->to.destination = slice_cut(&rest, '\n');
		make_ids(p);
		buf_init(&message, MESSAGE_BYTES_MAX);
		e = write_message(p, &message);
		if (e == 0)
			e = clerk_report_submit(&p->to, p->of->domain, SLICE_EMPTY, SLICE_EMPTY, buf_slice(&message));
	}
	return e;
}

/* The next report that is due: 0; ERR_NOTFOUND: there is none. */
static int
next_report(struct clerk *k)
{
	CLERK_ENTER(k);
	struct arena a ARENA_CLEANUP;
	struct buf xml BUF_CLEANUP;
	struct guard_dmarc_row of, *v;
	struct dmarc_report r = {.organisation = k->c->settings->hostname, .email = k->c->settings->report_sender};
	struct report p = {.to = {.k = k, .a = &a}, .of = &of};
	struct dmarc_report_row *rows;
	int e;

	arena_init(&a, REPORT_ARENA_BYTES);
	buf_init(&xml, XML_BYTES_MAX);
	e = guard_dmarc_due(k->guard_db, house_now_s(k->c->house) / DAY_S, &a, &of);
	if (e == 0)
		e = guard_dmarc_rows(k->guard_db, k->c->house, &of, &a, &v, &r.rows_n);
	if (e != 0)
		return e;
	rows = ARENA_ARRAY(&a, struct dmarc_report_row, r.rows_n + 1);
	if (rows == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < r.rows_n; i++)
		rows[i] = (struct dmarc_report_row){v[i].row, v[i].count};
	make_ids(&p);
	r.id = slice_z(p.to.report_id);
	r.domain = of.domain;
	r.policy = of.policy;
	r.begin_s = of.day * DAY_S;
	r.end_s = r.begin_s + DAY_S - 1;
	r.rows = rows;
	if (dmarc_report_put_xml(&r, &xml) > 0) {
		p.xml = buf_slice(&xml);
		e = xml.err != 0 ? xml.err : send_report(&p);
	}
	/* What cannot be said in one report is not worth holding up the others; what could not be queued is tried again. */
	return e == 0 || e == ERR_LIMIT ? guard_dmarc_done(k->guard_db, &of) : e;
}

static void
send_always(void *arg)
{
	struct clerk *k = arg;

	while (fiber_sleep(k->c->loop, LOOK_MS) == 0) {
		int e = 0;

		while (e == 0 && k->c->settings->report_sender.n > 0 && !k->closed)
			if ((e = next_report(k)) == 0 && fiber_sleep(k->c->loop, PAUSE_MS) != 0)
				return;
		if (e == ERR_CANCELLED)
			return;
		if (e != 0 && e != ERR_NOTFOUND)
			LOG(k->c->house, WARN, "report_not_sent", LOG_E(e));
	}
}

int
clerk_reports_start(struct clerk *k)
{
	BUS_HANDLE(k->c->bus, clerk_dmarc_results, on_results, k);
	return k->c->quiet ? 0 : fiber_start(k->c->loop, "reports", send_always, k, &k->reporter);
}

void
clerk_reports_stop(struct clerk *k)
{
	if (k->reporter == NULL)
		return;
	fiber_cancel(k->reporter);
	fiber_join(k->c->loop, &k->reporter);
}

/* ---- listing -------------------------------------------------------------------------------------------------------- */

static struct slice
line_value(struct slice lines, struct slice name)
{
	while (lines.p != NULL) {
		struct slice value = slice_cut(&lines, '\n'), key = slice_cut(&value, '=');

		if (slice_eq(key, name))
			return value;
	}
	return SLICE_EMPTY;
}

static int
show(struct control_session *s, const struct guard_dmarc_row *r)
{
	static const char *const names[] = {
	    "source_ip", "disposition", "dkim", "spf", "reason", "header_from", "envelope_from"};
	json_t *row = json_object();
	char at[RFC3339_MAX];
	int e;

	time_rfc3339(r->day * DAY_S * 1000000, at);
	control_set_text(row, "day", slice_head(slice_z(at), 10));
	control_set_text(row, "domain", r->domain);
	(void)json_object_set_new(row, "count", json_integer(r->count));
	for (size_t i = 0; i < COUNT_OF(names); i++)
		control_set_text(row, names[i], line_value(r->row, slice_z(names[i])));
	control_set_text(row, "to", slice_trim(r->destinations));
	e = control_row(s, row);
	json_decref(row);
	return e;
}

int
control_run_report_pending(struct control_session *s)
{
	CLERK_ENTER(s->k);
	struct arena a ARENA_CLEANUP;
	size_t n = LIST_PAGE, skip = 0;
	int e = 0;

	arena_init(&a, REPORT_ARENA_BYTES);
	for (; e == 0 && n == LIST_PAGE; skip += n) {
		struct guard_dmarc_row *v;

		arena_reset(&a);
		e = guard_dmarc_list(s->k->guard_db, 0, skip, LIST_PAGE, &a, &v, &n);
		for (size_t i = 0; e == 0 && i < n; i++)
			e = show(s, &v[i]);
	}
	return e;
}
