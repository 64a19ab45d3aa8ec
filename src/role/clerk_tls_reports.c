/* clerk_tls_reports.c: the reports that domains get of what came of the encryption of connections to their servers (RFC 8460). Couriers count;
 * the counts lie in guard.db, a day's until its report found a taker. When a day (of UTC) is over, and up to four hours later, so that not
 * all the world reports at once, a courier looks up who wants a report; it goes by mail, or to a web server. What finds no taker is tried
 * again for two days; a report that is lost on its way is missed by nobody, so nobody is told of it. */
#include "message/build.h"
#include "role/clerk_private.h"

#include "guard/guard_tls.h"
#include "trust/tls_report.h"

#define DAY_S 86400
#define DELAY_S (4 * 3600) /* §4.1 */
#define TRIED_DAYS 2
#define LOOK_MS 5000
#define PAUSE_MS 200
#define COURIER_MS 120000
#define REPORT_ARENA_BYTES ((size_t)32 << 20)
#define JSON_BYTES_MAX ((size_t)16 << 20)
#define MESSAGE_BYTES_MAX ((size_t)16 << 20)
#define POST_BYTES_MAX ((size_t)2 << 20)

struct tls_letter {
	struct clerk_report to;
	int64_t day;
	struct slice domain;
	struct slice packed;
	size_t taken;
};

/* The part of an address behind the @: who reports (§5.3). */
static struct slice
submitter(const struct clerk *k)
{
	struct slice sender = k->c->settings->report_sender;
	size_t at = slice_rfind_byte(sender, '@');

	return at == SLICE_NONE ? sender : slice_from(sender, at + 1);
}

/* ---- by mail ----------------------------------------------------------------------------------------------------- */

/* §5.3. That policies for TLS are not looked at on its way (TLS-Required, RFC 8689) is what §5.3.1 asks for. */
static int
write_message(struct tls_letter *p, struct buf *out)
{
	struct clerk *k = p->to.k;
	struct slice who = submitter(k), sender = k->c->settings->report_sender;
	char boundary[BUILD_BOUNDARY_MAX];
	long long begin_s = p->day * DAY_S;

	build_boundary(k->c->house, boundary);
	build_field_raw(out, SLICE("From"), arena_printf(p->to.a, "<%.*s>", SLICE_ARG(sender)));
	build_field_raw(out, SLICE("To"), arena_printf(p->to.a, "<%.*s>", SLICE_ARG(p->to.destination)));
	build_field_raw(out, SLICE("Subject"),
	    arena_printf(p->to.a, "Report Domain: %.*s Submitter: %.*s Report-ID: <%s@%.*s>", SLICE_ARG(p->domain),
		SLICE_ARG(who), p->to.report_id, SLICE_ARG(who)));
	build_field_date(out, SLICE("Date"), house_now_s(k->c->house));
	buf_printf(out, "Message-ID: <%s@%.*s>\r\n", p->to.id, SLICE_ARG(k->c->settings->hostname));
	buf_printf(
	    out, "TLS-Report-Domain: %.*s\r\nTLS-Report-Submitter: %.*s\r\n", SLICE_ARG(p->domain), SLICE_ARG(who));
	buf_put_z(out, "TLS-Required: No\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n");
	buf_printf(out, "Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n\tboundary=\"%s\"\r\n\r\n--%s\r\n",
	    boundary, boundary);
	build_text_body(out,
	    arena_printf(p->to.a,
		"This is a report of %.*s about the encryption of its connections to the mail servers of %.*s.\r\n",
		SLICE_ARG(k->c->settings->hostname), SLICE_ARG(p->domain)));
	buf_printf(out,
	    "\r\n--%s\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n"
	    "Content-Disposition: attachment;\r\n\tfilename=\"%.*s!%.*s!%lld!%lld.json.gz\"\r\n\r\n",
	    boundary, SLICE_ARG(who), SLICE_ARG(p->domain), begin_s, begin_s + DAY_S - 1);
	clerk_report_put_base64(out, p->packed);
	buf_printf(out, "--%s--\r\n", boundary);
	return out->err;
}

static uint64_t
about(const struct tls_letter *p)
{
	return slice_hash(p->domain, 5) ^ slice_hash(p->to.k->c->settings->report_sender, 6);
}

/* Of failures nobody hears. */
static int
send_mail(struct tls_letter *p, struct slice address)
{
	struct buf message BUF_CLEANUP;
	int e;

	buf_init(&message, MESSAGE_BYTES_MAX);
	p->to.destination = address;
	clerk_report_ids(&p->to, p->day, about(p));
	e = write_message(p, &message);
	if (e == 0)
		e = clerk_report_submit(
		    &p->to, p->domain, SLICE("TLS-REQUIRED=NO\n"), SLICE("NOTIFY=NEVER\n"), buf_slice(&message));
	p->taken += e == 0;
	return e;
}

/* ---- by the web -------------------------------------------------------------------------------------------------- */

/* §5.4 */
static int
send_post(struct tls_letter *p, struct slice url)
{
	struct clerk *k = p->to.k;
	struct bus_courier_report_post_request q = {url, SLICE("application/tlsrpt+gzip"), p->packed};
	struct bus_courier_report_post_reply rep = {0};
	int e;

	if (p->packed.n > POST_BYTES_MAX)
		return ERR_LIMIT;
	e = BUS_CALL(k->c->bus, ROLE_COURIER, 0, courier_report_post, &q, p->to.a, &rep, COURIER_MS);
	LOG(k->c->house, INFO, "report_posted", LOG_S("domain", p->domain), LOG_S("to", url), LOG_I("taken", rep.taken),
	    LOG_S("detail", rep.detail), LOG_E(e));
	p->taken += e == 0 && rep.taken == 1;
	return e == 0 && rep.taken != 1 ? ERR_UNAVAILABLE : e;
}

/* ---- one report ----------------------------------------------------------------------------------------------------- */

static int
write_report(struct tls_letter *p, struct buf *packed)
{
	struct clerk *k = p->to.k;
	struct arena *a = p->to.a;
	struct tls_report r = {.organisation = k->c->settings->hostname,
	    .contact = k->c->settings->report_sender,
	    .id = slice_z(p->to.report_id),
	    .domain = p->domain,
	    .begin_s = p->day * DAY_S,
	    .end_s = p->day * DAY_S + DAY_S - 1};
	struct guard_tls_result *v;
	struct tls_report_row *rows;
	struct buf json BUF_CLEANUP;
	int e = guard_tls_of(
	    k->guard_db, p->day, p->domain, (size_t)k->c->house->limits.tls_report_rows, a, &v, &r.rows_n);

	if (e != 0)
		return e;
	rows = ARENA_ARRAY(a, struct tls_report_row, r.rows_n + 1);
	if (rows == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < r.rows_n; i++)
		rows[i] = (struct tls_report_row){
		    v[i].policy, v[i].host, v[i].address, v[i].result, v[i].detail, v[i].sessions};
	r.rows = rows;
	buf_init(&json, JSON_BYTES_MAX);
	e = tls_report_put_json(&r, &json);
	return e == 0 ? clerk_report_pack(k, buf_slice(&json), packed) : e;
}

/* ERR_UNAVAILABLE and others: to be tried again. */
static int
send_report(struct tls_letter *p)
{
	struct clerk *k = p->to.k;
	struct bus_courier_report_places_request q = {p->domain};
	struct bus_courier_report_places_reply places = {0};
	struct buf packed BUF_CLEANUP;
	int e = BUS_CALL(k->c->bus, ROLE_COURIER, 0, courier_report_places, &q, p->to.a, &places, COURIER_MS),
	    failed = 0;

	buf_init(&packed, MESSAGE_BYTES_MAX / 2);
	if (e == 0 && places.result == 1) {
		clerk_report_ids(&p->to, p->day, about(p));
		e = write_report(p, &packed);
		p->packed = buf_slice(&packed);
		for (size_t i = 0; e == 0 && i < places.mail.n; i++)
			if ((failed = send_mail(p, places.mail.v[i])) == ERR_CANCELLED)
				return failed;
		for (size_t i = 0; e == 0 && i < places.https.n; i++)
			if ((failed = send_post(p, places.https.v[i])) == ERR_CANCELLED)
				return failed;
		if (e == 0 && p->taken == 0)
			e = failed;
	}
	/* What does not fit into a report, or goes to nobody, is not tried again. */
	return e == 0 || e == ERR_LIMIT ? guard_tls_done(k->guard_db, p->day, p->domain) : e;
}

/* The next report behind *day and *after: 0; ERR_NOTFOUND: there is none. *late: it has to be tried again. */
static int
next_report(struct clerk *k, int64_t *day, struct buf *after, bool *late)
{
	CLERK_ENTER(k);
	int64_t delay_s = (int64_t)(slice_hash(k->c->settings->hostname, 7) % DELAY_S);
	int64_t today = (house_now_s(k->c->house) - delay_s) / DAY_S;
	struct arena a ARENA_CLEANUP;
	struct tls_letter p = {.to = {.k = k, .a = &a}, .day = *day, .domain = buf_slice(after)};
	int e;

	arena_init(&a, REPORT_ARENA_BYTES);
	e = guard_tls_due(k->guard_db, today - TRIED_DAYS, today, &a, &p.day, &p.domain);
	if (e != 0)
		return e;
	*day = p.day;
	buf_reset(after);
	buf_put(after, p.domain);
	e = send_report(&p);
	if (e == ERR_CANCELLED)
		return e;
	if (e != 0)
		LOG(k->c->house, WARN, "report_not_sent", LOG_S("domain", p.domain), LOG_E(e));
	*late = *late || e != 0;
	return after->err;
}

/* All that are due. False: the fiber is to end. */
static bool
send_all(struct clerk *k, bool *late)
{
	struct buf after BUF_CLEANUP;
	int64_t day = 0;
	int e = 0;

	buf_init(&after, 1000);
	*late = false;
	while (e == 0 && !k->closed)
		if ((e = next_report(k, &day, &after, late)) == 0 && fiber_sleep(k->c->loop, PAUSE_MS) != 0)
			return false;
	if (e != 0 && e != ERR_NOTFOUND && e != ERR_CANCELLED)
		LOG(k->c->house, WARN, "report_not_sent", LOG_E(e));
	return e != ERR_CANCELLED;
}

static void
send_always(void *arg)
{
	struct clerk *k = arg;
	int64_t not_before_s = 0;

	while (fiber_sleep(k->c->loop, LOOK_MS) == 0) {
		const struct settings *s = k->c->settings;
		bool late;

		if (s->report_sender.n == 0 || !s->tls_reports || house_now_s(k->c->house) < not_before_s)
			continue;
		if (!send_all(k, &late))
			return;
		if (late)
			not_before_s = house_now_s(k->c->house) + k->c->house->limits.tls_report_retry_s;
	}
}

int
clerk_tls_reports_start(struct clerk *k)
{
	return k->c->quiet ? 0 : fiber_start(k->c->loop, "tls-reports", send_always, k, &k->tls_reporter);
}

void
clerk_tls_reports_stop(struct clerk *k)
{
	if (k->tls_reporter == NULL)
		return;
	fiber_cancel(k->tls_reporter);
	fiber_join(k->c->loop, &k->tls_reporter);
}
