#include "reader/report_tls.h"

#include <jansson.h>

#define POLICY_STRINGS_MAX 50

static struct slice
text_at(const struct report *r, const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return json_is_string(v) ? report_text(r, slice_of(json_string_value(v), json_string_length(v))) : SLICE_EMPTY;
}

/* A number, also as a text of digits; 0 when it is neither. */
static int64_t
number_at(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	uint64_t n;

	if (json_is_string(v) &&
	    slice_to_u64(slice_of(json_string_value(v), json_string_length(v)), REPORT_COUNT_MAX, &n) == 0)
		return (int64_t)n;
	return json_is_integer(v) && json_integer_value(v) > 0 && json_integer_value(v) <= REPORT_COUNT_MAX
	    ? json_integer_value(v)
	    : 0;
}

/* The things at the key: an array's, or the one that stands there without an array. */
static size_t
count_at(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return json_is_array(v) ? json_array_size(v) : json_is_object(v) || json_is_string(v) ? 1 : 0;
}

static const json_t *
item_at(const json_t *o, const char *key, size_t i)
{
	const json_t *v = json_object_get(o, key);

	return json_is_array(v) ? json_array_get(v, i) : v;
}

static void
put_text(const struct report *r, struct buf *out, const char *name, const json_t *o, const char *key)
{
	report_put(r, out, name, text_at(r, o, key));
}

static void
put_address(const struct report *r, struct buf *out, const char *name, const json_t *o, const char *key)
{
	report_put(r, out, name, report_address(r, text_at(r, o, key)));
}

/* The policy as it was seen, with the domain that it is of. */
static void
put_policy(struct report *r, const json_t *policy, struct slice domain)
{
	report_put(r, &r->policy, "domain", domain);
	put_text(r, &r->policy, "type", policy, "policy-type");
	for (size_t i = 0; i < count_at(policy, "policy-string") && i < POLICY_STRINGS_MAX; i++) {
		const json_t *v = item_at(policy, "policy-string", i);

		if (json_is_string(v))
			report_put(r, &r->policy, "line", slice_of(json_string_value(v), json_string_length(v)));
	}
}

/* §4.4: the failures that are told one by one; *told: how many sessions they make. */
static int
read_failure(struct report *r, struct report_row row, const json_t *failure, int64_t *told)
{
	struct buf detail BUF_CLEANUP;

	buf_init(&detail, REPORT_ROW_DETAIL_MAX);
	row.outcome = text_at(r, failure, "result-type");
	row.count = number_at(failure, "failed-session-count");
	row.source = report_address(r, text_at(r, failure, "sending-mta-ip"));
	row.who = text_at(r, failure, "receiving-mx-hostname");
	if (row.outcome.n == 0 || slice_eq(row.outcome, SLICE("successful")))
		row.outcome = SLICE("unknown");
	put_address(r, &detail, "receiving_ip", failure, "receiving-ip");
	put_text(r, &detail, "receiving_helo", failure, "receiving-mx-helo");
	put_text(r, &detail, "reason", failure, "failure-reason-code");
	put_text(r, &detail, "information", failure, "additional-information");
	row.detail = buf_slice(&detail);
	*told += row.count;
	return report_add(r, &row);
}

static int
read_policy(struct report *r, const json_t *item)
{
	const json_t *policy = json_object_get(item, "policy"), *summary = json_object_get(item, "summary");
	struct report_row row = {.domain = report_domain(r, text_at(r, policy, "policy-domain")),
	    .means = text_at(r, policy, "policy-type"),
	    .outcome = SLICE("successful"),
	    .count = number_at(summary, "total-successful-session-count")};
	int64_t failures = number_at(summary, "total-failure-session-count"), told = 0;
	int e = row.count > 0 ? report_add(r, &row) : 0;

	if (row.means.n == 0)
		row.means = SLICE("unknown");
	if (r->domain.n == 0)
		r->domain = row.domain;
	put_policy(r, policy, row.domain);
	for (size_t i = 0; e == 0 && i < count_at(item, "failure-details"); i++)
		e = read_failure(r, row, item_at(item, "failure-details", i), &told);
	row.outcome = SLICE("unknown");
	row.count = failures - told;
	return e == 0 && row.count > 0 ? report_add(r, &row) : e;
}

static int
read_report(struct report *r, const json_t *o)
{
	const json_t *range = json_object_get(o, "date-range");
	int e = 0;

	if (!json_is_object(o) || json_object_get(o, "policies") == NULL)
		return report_refuse(r, "the JSON is no TLS report");
	r->organisation = text_at(r, o, "organization-name");
	r->contact = text_at(r, o, "contact-info");
	r->id = text_at(r, o, "report-id");
	r->begin_s = report_time(text_at(r, range, "start-datetime"));
	r->end_s = report_time(text_at(r, range, "end-datetime"));
	if (r->organisation.n == 0)
		r->organisation = r->contact;
	if (r->organisation.n == 0 && r->id.n == 0)
		return report_refuse(r, "the report does not say whose it is");
	if (r->begin_s == 0 || r->end_s < r->begin_s)
		return report_refuse(r, "the report does not say which days it is about");
	for (size_t i = 0; e == 0 && i < count_at(o, "policies"); i++)
		e = read_policy(r, item_at(o, "policies", i));
	if (e == 0 && arena_failed(r->a))
		e = ERR_NOMEM;
	if (r->id.n == 0)
		r->id = arena_printf(r->a, "%lld-%lld", (long long)r->begin_s, (long long)r->end_s);
	r->kind = REPORT_TLS;
	return e;
}

int
report_tls_read(struct report *r, struct slice json)
{
	json_error_t error;
	json_t *o = json_loadb((const char *)json.p, json.n, JSON_DISABLE_EOF_CHECK, &error);
	int e;

	if (o == NULL && json_error_code(&error) == json_error_out_of_memory)
		return ERR_NOMEM;
	if (o == NULL)
		return report_refuse(r, "the JSON is damaged in line %d: %s", error.line, error.text);
	e = read_report(r, o);
	json_decref(o);
	return e;
}
