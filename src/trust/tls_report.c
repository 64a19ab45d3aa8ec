#include "trust/tls_report.h"

#include "base/house.h"
#include "trust/dmarc_record.h"

#include <jansson.h>

/* ---- the record --------------------------------------------------------------------------------------------- */

static bool
is_ours(struct slice text)
{
	return slice_eq(slice_trim(slice_cut(&text, ';')), SLICE("v=TLSRPTv1"));
}

/* Adds what can be used of `rua=…,…`. */
static void
take_places(
    struct slice list, struct arena *a, struct slice *mail, size_t *mail_n, struct slice *https, size_t *https_n)
{
	struct https_url url;

	while (list.p != NULL && *mail_n + *https_n < TLS_REPORT_PLACES_MAX) {
		struct slice uri = slice_trim(slice_cut(&list, ','));

		if (https_url_parse(uri, &url) == 0) {
			https[(*https_n)++] = uri;
			continue;
		}
		mail[*mail_n] = dmarc_record_address(a, uri);
		*mail_n += mail[*mail_n].n > 0;
	}
}

int
tls_report_record(struct slice_list texts, struct arena *a, struct tls_report_places *out)
{
	struct slice *mail = ARENA_ARRAY(a, struct slice, TLS_REPORT_PLACES_MAX);
	struct slice *https = ARENA_ARRAY(a, struct slice, TLS_REPORT_PLACES_MAX);
	struct slice text = SLICE_EMPTY;
	size_t found = 0, mail_n = 0, https_n = 0;

	*out = (struct tls_report_places){0};
	if (mail == NULL || https == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < texts.n; i++)
		if (is_ours(texts.v[i])) {
			text = texts.v[i];
			found++;
		}
	if (found != 1)
		return ERR_NOTFOUND;
	(void)slice_cut(&text, ';');
	while (text.p != NULL) {
		struct slice value = slice_cut(&text, ';'), name = slice_trim(slice_cut(&value, '='));

		if (slice_eq(name, SLICE("rua")))
			take_places(value, a, mail, &mail_n, https, &https_n);
	}
	out->mail = (struct slice_list){mail, mail_n};
	out->https = (struct slice_list){https, https_n};
	if (arena_failed(a))
		return ERR_NOMEM;
	return mail_n + https_n > 0 ? 0 : ERR_NOTFOUND;
}

/* ---- URLs ----------------------------------------------------------------------------------------------------- */

/* A name with a letter in its last label: no address of IPv4 in any of its forms. */
static bool
is_host(struct slice s)
{
	size_t dot = slice_rfind_byte(s, '.');
	uint8_t before = '.';

	if (s.n == 0 || s.n > 253 || dot == SLICE_NONE || dot == 0 || dot + 1 >= s.n)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (!ascii_is_alnum(c) && c != '-' && (c != '.' || before == '.'))
			return false;
		before = c;
	}
	return ascii_is_alpha(slice_at(s, dot + 1));
}

int
https_url_parse(struct slice url, struct https_url *out)
{
	struct slice rest, port;
	uint64_t number = 443;
	size_t end;

	*out = (struct https_url){0};
	if (url.n > 2000 || !slice_istarts(url, SLICE("https://")))
		return ERR_SYNTAX;
	for (size_t i = 0; i < url.n; i++)
		if (slice_at(url, i) <= 32 || slice_at(url, i) > 126)
			return ERR_SYNTAX;
	rest = slice_from(url, 8);
	rest = slice_cut(&rest, '#');
	for (end = 0; end < rest.n && slice_at(rest, end) != '/' && slice_at(rest, end) != '?'; end++)
		;
	out->target = slice_from(rest, end);
	port = slice_head(rest, end);
	out->host = slice_cut(&port, ':');
	if (port.n > 0 && (slice_to_u64(port, 65535, &number) != 0 || number == 0))
		return ERR_SYNTAX;
	out->port = (uint16_t)number;
	return is_host(out->host) ? 0 : ERR_SYNTAX;
}

/* ---- the report ------------------------------------------------------------------------------------------------- */

static json_t *
text(struct slice s)
{
	return json_stringn((const char *)s.p, s.n);
}

static void
set_text(json_t *o, const char *key, struct slice s)
{
	if (s.n > 0)
		(void)json_object_set_new(o, key, text(s));
}

static void
set_time(json_t *o, const char *key, int64_t s)
{
	char at[RFC3339_MAX];

	time_rfc3339(s * 1000000, at);
	set_text(o, key, slice_z(at));
}

/* {policy-type, policy-string, policy-domain, mx-host} */
static json_t *
make_policy(const struct tls_report *r, struct slice lines)
{
	json_t *o = json_object(), *strings = json_array(), *hosts = json_array();
	struct slice type = slice_cut(&lines, '\n');

	set_text(o, "policy-type", type);
	while (lines.n > 0) {
		struct slice line = slice_cut(&lines, '\n');

		(void)json_array_append_new(strings, text(line));
		if (slice_eq(type, SLICE("sts")) && slice_starts(line, SLICE("mx: ")))
			(void)json_array_append_new(hosts, text(slice_from(line, 4)));
	}
	if (json_array_size(strings) > 0)
		(void)json_object_set(o, "policy-string", strings);
	set_text(o, "policy-domain", r->domain);
	if (json_array_size(hosts) > 0)
		(void)json_object_set(o, "mx-host", hosts);
	json_decref(strings);
	json_decref(hosts);
	return o;
}

static json_t *
make_failure(const struct tls_report_row *row)
{
	json_t *o = json_object();

	set_text(o, "result-type", row->result);
	set_text(o, "receiving-mx-hostname", row->host);
	set_text(o, "receiving-ip", row->address);
	(void)json_object_set_new(o, "failed-session-count", json_integer(row->sessions));
	set_text(o, "failure-reason-code", row->detail);
	return o;
}

/* The rows of one policy, from *at on. */
static json_t *
make_part(const struct tls_report *r, size_t *at)
{
	json_t *part = json_object(), *summary = json_object(), *failures = json_array();
	struct slice policy = r->rows[*at].policy;
	int64_t good = 0, bad = 0;

	for (; *at < r->rows_n && slice_eq(r->rows[*at].policy, policy); ++*at) {
		const struct tls_report_row *row = &r->rows[*at];

		if (slice_eq(row->result, SLICE("successful"))) {
			good += row->sessions;
			continue;
		}
		bad += row->sessions;
		(void)json_array_append_new(failures, make_failure(row));
	}
	(void)json_object_set_new(part, "policy", make_policy(r, policy));
	(void)json_object_set_new(summary, "total-successful-session-count", json_integer(good));
	(void)json_object_set_new(summary, "total-failure-session-count", json_integer(bad));
	(void)json_object_set_new(part, "summary", summary);
	if (json_array_size(failures) > 0)
		(void)json_object_set(part, "failure-details", failures);
	json_decref(failures);
	return part;
}

static int
to_buf(const char *bytes, size_t n, void *arg)
{
	struct buf *out = arg;

	buf_put(out, slice_of(bytes, n));
	return out->err == 0 ? 0 : -1;
}

int
tls_report_put_json(const struct tls_report *r, struct buf *out)
{
	json_t *o = json_object(), *range = json_object(), *parts = json_array();
	int e;

	set_text(o, "organization-name", r->organisation);
	set_time(range, "start-datetime", r->begin_s);
	set_time(range, "end-datetime", r->end_s);
	(void)json_object_set_new(o, "date-range", range);
	set_text(o, "contact-info", r->contact);
	set_text(o, "report-id", r->id);
	for (size_t at = 0; at < r->rows_n;)
		(void)json_array_append_new(parts, make_part(r, &at));
	(void)json_object_set_new(o, "policies", parts);
	e = json_dump_callback(o, to_buf, out, JSON_INDENT(1));
	json_decref(o);
	return out->err != 0 ? out->err : e == 0 ? 0 : ERR_NOMEM;
}
