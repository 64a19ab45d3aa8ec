#include "reader/reader_report.h"

#include "message/mime.h"
#include "reader/report_failure.h"
#include "reader/report_file.h"

struct report_mail {
	struct report *r;
	struct mime mime;
};

static bool
name_ends(const struct mime_part *p, const struct slice *ends, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (slice_iends(p->filename, ends[i]))
			return true;
	return false;
}

/* Does the mail say that this is the file of a report? If so, why it cannot be read is worth telling. */
static bool
is_declared(const struct mime_part *p)
{
	static const struct slice ends[] = {SLICE_INIT(".xml"), SLICE_INIT(".xml.gz"), SLICE_INIT(".json"),
	    SLICE_INIT(".json.gz"), SLICE_INIT(".zip"), SLICE_INIT(".gz")};
	static const struct slice types[] = {SLICE_INIT("gzip"), SLICE_INIT("x-gzip"), SLICE_INIT("zip"),
	    SLICE_INIT("x-zip"), SLICE_INIT("x-zip-compressed"), SLICE_INIT("gzip-compressed"), SLICE_INIT("xml"),
	    SLICE_INIT("tlsrpt+gzip"), SLICE_INIT("tlsrpt+json")};

	if (mime_is(p, SLICE("text"), SLICE("xml")) || name_ends(p, ends, COUNT_OF(ends)))
		return true;
	for (size_t i = 0; i < COUNT_OF(types); i++)
		if (mime_is(p, SLICE("application"), types[i]))
			return true;
	return false;
}

/* Within a message that the message holds? */
static bool
is_embedded(const struct mime *m, const struct mime_part *p)
{
	while (p->parent != MIME_NONE) {
		p = &m->v[p->parent];
		if (p->has_message)
			return true;
	}
	return false;
}

static bool
may_be_file(const struct mime_part *p)
{
	return !p->is_multipart && !p->has_message && !slice_eq(p->type, SLICE("multipart")) &&
	    !slice_eq(p->type, SLICE("message")) && !slice_eq(p->type, SLICE("image")) &&
	    !slice_eq(p->type, SLICE("audio")) && !slice_eq(p->type, SLICE("video")) &&
	    (!slice_eq(p->type, SLICE("text")) || is_declared(p) || mime_is(p, SLICE("text"), SLICE("plain")));
}

static int
decode(struct report_mail *m, const struct mime_part *p, struct buf *out)
{
	buf_init(out, m->mime.raw.n + 64);
	(void)mime_decode(&m->mime, p, out);
	return out->err;
}

/* 1: it was a report; 0: none, or one that cannot be read. */
static int
read_part(struct report_mail *m, const struct mime_part *p)
{
	size_t told = m->r->problem.n;
	struct buf file BUF_CLEANUP;
	int e = decode(m, p, &file);

	if (e != 0)
		return e;
	e = report_file_is(buf_slice(&file))
	    ? report_file_read(m->r, buf_slice(&file))
	    : report_refuse(m->r, "the attached file is neither gzip, zip, XML nor JSON");
	if (e != ERR_INVALID)
		return e == 0 ? 1 : e;
	report_reset(m->r);
	/* Of what is nowhere said to be a report nothing is to be told: a text may begin with a bracket. */
	if (!is_declared(p))
		buf_truncate(&m->r->problem, told);
	return 0;
}

/* The fields of a failure report, and the message that it is about. */
static int
read_feedback(struct report_mail *m, const struct mime_part *feedback)
{
	struct buf fields BUF_CLEANUP, returned BUF_CLEANUP;
	int e = decode(m, feedback, &fields);

	buf_init(&returned, 0);
	for (size_t i = 0; e == 0 && i < m->mime.n; i++) {
		const struct mime_part *p = &m->mime.v[i];

		if (is_embedded(&m->mime, p) ||
		    !(mime_is(p, SLICE("message"), SLICE("rfc822")) || mime_is(p, SLICE("message"), SLICE("global")) ||
			mime_is(p, SLICE("text"), SLICE("rfc822-headers"))))
			continue;
		e = decode(m, p, &returned);
		break;
	}
	if (e == 0)
		e = report_failure_read(
		    m->r, buf_slice(&fields), buf_slice(&returned), mime_raw_header(&m->mime, &m->mime.v[0]));
	return e;
}

/* 0 also without a report. */
static int
read_mail(struct report_mail *m)
{
	int e = 0;

	for (size_t i = 0; i < m->mime.n; i++)
		if (mime_is(&m->mime.v[i], SLICE("message"), SLICE("feedback-report")) &&
		    !is_embedded(&m->mime, &m->mime.v[i]))
			return read_feedback(m, &m->mime.v[i]);
	for (size_t i = 0; e == 0 && i < m->mime.n; i++)
		if (may_be_file(&m->mime.v[i]) && !is_embedded(&m->mime, &m->mime.v[i]))
			e = read_part(m, &m->mime.v[i]);
	return e < 0 ? e : 0;
}

static int
read_any(struct report *r, struct slice in)
{
	struct report_mail m = {.r = r};
	int e;

	if (in.n > (size_t)r->limits->report_message_bytes)
		return report_refuse(r, "it has %zu bytes, and reports of more than %lld are not opened", in.n,
		    (long long)r->limits->report_message_bytes);
	if (report_file_is(in))
		return report_file_read(r, in);
	e = mime_parse(r->a, in, r->limits, CHARSET_FIBER, &m.mime);
	return e == 0 ? read_mail(&m) : e;
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

static int
answer_rows(const struct report *r, struct arena *a, struct bus_reader_report_reply *reply)
{
	struct slice *v = ARENA_ARRAY(a, struct slice, 7 * r->n + 1);
	struct slice_list *const lists[] = {&reply->domains, &reply->sources, &reply->counts, &reply->outcomes,
	    &reply->means, &reply->who, &reply->details};

	if (v == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < r->n; i++) {
		const struct report_row *w = &r->rows[i];
		const struct slice cells[] = {w->domain, w->source, arena_printf(a, "%lld", (long long)w->count),
		    w->outcome, w->means, w->who, w->detail};

		for (size_t j = 0; j < COUNT_OF(cells); j++)
			v[j * r->n + i] = cells[j];
	}
	for (size_t j = 0; j < COUNT_OF(lists); j++)
		*lists[j] = (struct slice_list){v + j * r->n, r->n};
	return arena_failed(a) ? ERR_NOMEM : 0;
}

int
reader_report(const struct limits *l, uint64_t salt, const struct bus_reader_report_request *q, struct arena *a,
    struct bus_reader_report_reply *reply)
{
	struct report r REPORT_CLEANUP;
	int e;

	report_begin(&r, l, a, salt);
	e = read_any(&r, q->message);
	if (e == ERR_INVALID)
		e = 0;
	if (e == 0 && r.kind != REPORT_NONE) {
		*reply = (struct bus_reader_report_reply){.kind = r.kind,
		    .organisation = r.organisation,
		    .contact = r.contact,
		    .report_id = r.id,
		    .domain = r.domain,
		    .begin_s = r.begin_s,
		    .end_s = r.end_s,
		    .policy = arena_copy(a, buf_slice(&r.policy))};
		e = answer_rows(&r, a, reply);
	} else if (e == 0) {
		reply->problem = arena_copy(a, buf_slice(&r.problem));
	}
	return e != 0 || arena_failed(a) ? ERR_NOMEM : 0;
}
