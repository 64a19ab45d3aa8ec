#include "reader/report_failure.h"

#include "message/address.h"
#include "message/date.h"
#include "message/header.h"

struct failure {
	struct report *r;
	struct header fields, returned, mail;
	struct buf detail;
};

static struct slice
value_of(struct failure *f, const struct header *h, struct slice name)
{
	return report_text(f->r, header_unfold(f->r->a, header_value(h, name)));
}

static void
put(struct failure *f, const char *name, const struct header *h, struct slice field)
{
	report_put(f->r, &f->detail, name, value_of(f, h, field));
}

/* The domain of an address field. */
static struct slice
domain_of(struct failure *f, const struct header *h, struct slice name)
{
	const struct address *first;
	struct address_list list;

	if (address_parse(f->r->a, header_value(h, name), (size_t)f->r->limits->message_addresses, &list) != 0)
		return SLICE_EMPTY;
	first = address_first(&list);
	return first == NULL ? SLICE_EMPTY : report_domain(f->r, first->domain);
}

/* RFC 6591 §3.2.2 */
static struct slice
outcome_of(struct failure *f)
{
	struct slice v = value_of(f, &f->fields, SLICE("Delivery-Result"));

	if (slice_ieq(v, SLICE("delivered")))
		return SLICE("none");
	if (slice_ieq(v, SLICE("spam")))
		return SLICE("quarantine");
	return slice_ieq(v, SLICE("reject")) ? SLICE("reject") : SLICE("unknown");
}

/* Identity-Alignment names what was not aligned (RFC 9991 §4): what is not named was. */
static struct slice
means_of(struct failure *f)
{
	struct slice v = value_of(f, &f->fields, SLICE("Identity-Alignment"));
	bool dkim = slice_ifind(v, SLICE("dkim")) == SLICE_NONE, spf = slice_ifind(v, SLICE("spf")) == SLICE_NONE;

	if (v.n == 0)
		return SLICE_EMPTY;
	return dkim && spf ? SLICE("spf dkim") : dkim ? SLICE("dkim") : spf ? SLICE("spf") : SLICE_EMPTY;
}

/* "dns; mx.example.org" */
static struct slice
organisation_of(struct failure *f)
{
	struct slice mta = value_of(f, &f->fields, SLICE("Reporting-MTA")), type = slice_cut(&mta, ';');
	struct slice name = mta.p == NULL ? type : slice_trim(mta);

	return name.n > 0 ? name : domain_of(f, &f->mail, SLICE("From"));
}

static int64_t
arrival(struct failure *f)
{
	struct message_date at;

	if (date_parse(header_value(&f->fields, SLICE("Arrival-Date")), &at) != 0 &&
	    date_parse(header_value(&f->fields, SLICE("Received-Date")), &at) != 0)
		return 0;
	return at.epoch_s < 946684800 || at.epoch_s > 7258118400 ? 0 : at.epoch_s;
}

static void
put_details(struct failure *f)
{
	put(f, "feedback_type", &f->fields, SLICE("Feedback-Type"));
	put(f, "auth_failure", &f->fields, SLICE("Auth-Failure"));
	put(f, "authentication_results", &f->fields, SLICE("Authentication-Results"));
	put(f, "envelope_from", &f->fields, SLICE("Original-Mail-From"));
	put(f, "envelope_to", &f->fields, SLICE("Original-Rcpt-To"));
	put(f, "dkim_domain", &f->fields, SLICE("DKIM-Domain"));
	put(f, "dkim_selector", &f->fields, SLICE("DKIM-Selector"));
	put(f, "spf_dns", &f->fields, SLICE("SPF-DNS"));
	put(f, "from", &f->returned, SLICE("From"));
	put(f, "subject", &f->returned, SLICE("Subject"));
	put(f, "message_id", &f->returned, SLICE("Message-ID"));
}

static int
read_fields(struct failure *f)
{
	struct report *r = f->r;
	struct slice incidents = value_of(f, &f->fields, SLICE("Incidents"));
	struct report_row row = {.count = 1};
	uint64_t n;

	if (value_of(f, &f->fields, SLICE("Feedback-Type")).n == 0)
		return report_refuse(r, "the report does not say of which type it is");
	if (slice_to_u64(incidents, REPORT_COUNT_MAX, &n) == 0 && n > 0)
		row.count = (int64_t)n;
	r->domain = report_domain(r, value_of(f, &f->fields, SLICE("Reported-Domain")));
	row.domain = domain_of(f, &f->returned, SLICE("From"));
	if (r->domain.n == 0)
		r->domain = row.domain;
	if (row.domain.n == 0)
		row.domain = r->domain;
	row.source = report_address(r, value_of(f, &f->fields, SLICE("Source-IP")));
	row.outcome = outcome_of(f);
	row.means = means_of(f);
	row.who = report_domain(r, value_of(f, &f->fields, SLICE("DKIM-Domain")));
	put_details(f);
	row.detail = buf_slice(&f->detail);
	r->organisation = organisation_of(f);
	r->contact = value_of(f, &f->mail, SLICE("From"));
	r->id = value_of(f, &f->mail, SLICE("Message-ID"));
	r->begin_s = r->end_s = arrival(f);
	r->kind = REPORT_FAILURE;
	return report_add(r, &row);
}

int
report_failure_read(struct report *r, struct slice fields, struct slice returned, struct slice mail)
{
	struct failure f = {.r = r};
	int e = header_parse(r->a, fields, r->limits, &f.fields);

	buf_init(&f.detail, REPORT_ROW_DETAIL_MAX);
	if (e == 0)
		e = header_parse(r->a, returned, r->limits, &f.returned);
	if (e == 0)
		e = header_parse(r->a, mail, r->limits, &f.mail);
	if (e == 0)
		e = read_fields(&f);
	buf_free(&f.detail);
	return e == 0 && arena_failed(r->a) ? ERR_NOMEM : e;
}
