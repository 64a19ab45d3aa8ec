/* Reports on TLS: the record that asks for them, URLs, and the file, held against the structure of RFC 8460 §4.4. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "trust/tls_report.h"

#include <jansson.h>

static void
records(void **state)
{
	static const struct {
		const char *one, *two;
		int err;
		const char *mail, *https;
	} cases[] = {
	    {"v=TLSRPTv1;rua=mailto:reports@example.com", "", 0, "reports@example.com ", ""},
	    {"v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt", "v=spf1 -all", 0, "",
		"https://reporting.example.com/v1/tlsrpt "},
	    {"v=TLSRPTv1; x=y; rua=mailto:a@b.test , https://c.test/,mailto:%64@e.test;", "", 0, "a@b.test d@e.test ",
		"https://c.test/ "},
	    {"v=TLSRPTv1; rua=ftp://x/,mailto:,mailto:nobody,mailto:a@[10.0.0.1]", "", ERR_NOTFOUND, "", ""},
	    {"v=TLSRPTv1; rua=https://10.0.0.1/x, https://[::1]/, https://localhost/,https://.a.test/,https://a..test/",
		"", ERR_NOTFOUND, "", ""},
	    {"v=TLSRPTv1; rua=mailto:a@b.test", "v=TLSRPTv1; rua=mailto:c@b.test", ERR_NOTFOUND, "", ""},
	    {"v=TLSRPTv1", "", ERR_NOTFOUND, "", ""},
	    {"v=TLSRPTv2; rua=mailto:a@b.test", "", ERR_NOTFOUND, "", ""},
	    {"rua=mailto:a@b.test; v=TLSRPTv1", "", ERR_NOTFOUND, "", ""},
	    {"", "", ERR_NOTFOUND, "", ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct slice texts[] = {slice_z(cases[i].one), slice_z(cases[i].two)};
		struct tls_report_places places;
		struct buf mail BUF_CLEANUP, https BUF_CLEANUP;
		struct arena a ARENA_CLEANUP;

		arena_init(&a, 1 << 20);
		buf_init(&mail, 4096);
		buf_init(&https, 4096);
		assert_int_equal(tls_report_record((struct slice_list){texts, 2}, &a, &places), cases[i].err);
		for (size_t k = 0; k < places.mail.n; k++)
			buf_printf(&mail, "%.*s ", SLICE_ARG(places.mail.v[k]));
		for (size_t k = 0; k < places.https.n; k++)
			buf_printf(&https, "%.*s ", SLICE_ARG(places.https.v[k]));
		assert_true(slice_eq(buf_slice(&mail), slice_z(cases[i].mail)));
		assert_true(slice_eq(buf_slice(&https), slice_z(cases[i].https)));
	}
}

/* However long the record is, a few places are used. */
static void
long_records(void **state)
{
	struct buf text BUF_CLEANUP;
	struct arena a ARENA_CLEANUP;
	struct tls_report_places places;
	struct slice one;

	(void)state;
	arena_init(&a, 1 << 20);
	buf_init(&text, 1 << 20);
	buf_put_z(&text, "v=TLSRPTv1; rua=");
	for (int i = 0; i < 3000; i++)
		buf_printf(&text, "mailto:a%d@b.test,https://c%d.test/,", i, i);
	one = buf_slice(&text);
	assert_int_equal(tls_report_record((struct slice_list){&one, 1}, &a, &places), 0);
	assert_int_equal(places.mail.n + places.https.n, TLS_REPORT_PLACES_MAX);
}

static void
urls(void **state)
{
	static const char *const bad[] = {"", "https://", "https:///x", "http://a.test/", "https://a.test:0/",
	    "https://a.test:99999/", "https://u@a.test/", "https://a.test:p/", "https://127.0.0.1/",
	    "https://2130706433/", "https://0x7f.1/", "https://a..test/", "https://.test/", "https://a.test /",
	    "https://a.test/\r\nX: y", "https://[::1]/", "https://a_b.test/", "https://test."};
	struct https_url u;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(https_url_parse(slice_z(bad[i]), &u), ERR_SYNTAX);
	assert_int_equal(https_url_parse(SLICE("HTTPS://R.a.test:8443/v1/x?y=z#f"), &u), 0);
	assert_true(slice_eq(u.host, SLICE("R.a.test")) && slice_eq(u.target, SLICE("/v1/x?y=z")));
	assert_int_equal(u.port, 8443);
	assert_int_equal(https_url_parse(SLICE("https://a.test?q"), &u), 0);
	assert_true(u.port == 443 && slice_eq(u.target, SLICE("?q")));
}

/* The names that an object of the report may have, and what they are; "!" before a name: it has to be there. */
static void
check_object(const json_t *o, const char *const *names, const json_type *types, size_t n)
{
	const char *key;
	json_t *value;

	assert_true(json_is_object(o));
	for (size_t i = 0; i < n; i++)
		if (names[i][0] == '!')
			assert_non_null(json_object_get(o, names[i] + 1));
	json_object_foreach((json_t *)o, key, value)
	{
		bool known = false;

		for (size_t i = 0; i < n; i++)
			if (strcmp(key, names[i] + (names[i][0] == '!')) == 0) {
				known = true;
				assert_int_equal(json_typeof(value), types[i]);
			}
		assert_true(known);
	}
}
#define CHECK_OBJECT(o, names, types) check_object(o, names, types, COUNT_OF(names))

static void
check_report(const json_t *o)
{
	static const char *const top[] = {
	    "!organization-name", "!date-range", "!contact-info", "!report-id", "!policies"};
	static const json_type top_types[] = {JSON_STRING, JSON_OBJECT, JSON_STRING, JSON_STRING, JSON_ARRAY};
	static const char *const range[] = {"!start-datetime", "!end-datetime"};
	static const json_type range_types[] = {JSON_STRING, JSON_STRING};
	static const char *const part[] = {"!policy", "!summary", "failure-details"};
	static const json_type part_types[] = {JSON_OBJECT, JSON_OBJECT, JSON_ARRAY};
	static const char *const policy[] = {"!policy-type", "policy-string", "!policy-domain", "mx-host"};
	static const json_type policy_types[] = {JSON_STRING, JSON_ARRAY, JSON_STRING, JSON_ARRAY};
	static const char *const summary[] = {"!total-successful-session-count", "!total-failure-session-count"};
	static const json_type summary_types[] = {JSON_INTEGER, JSON_INTEGER};
	static const char *const failure[] = {"!result-type", "sending-mta-ip", "receiving-mx-hostname",
	    "receiving-mx-helo", "receiving-ip", "!failed-session-count", "additional-information",
	    "failure-reason-code"};
	static const json_type failure_types[] = {
	    JSON_STRING, JSON_STRING, JSON_STRING, JSON_STRING, JSON_STRING, JSON_INTEGER, JSON_STRING, JSON_STRING};
	size_t i, k;
	json_t *p, *f;

	CHECK_OBJECT(o, top, top_types);
	CHECK_OBJECT(json_object_get(o, "date-range"), range, range_types);
	json_array_foreach(json_object_get(o, "policies"), i, p)
	{
		CHECK_OBJECT(p, part, part_types);
		CHECK_OBJECT(json_object_get(p, "policy"), policy, policy_types);
		CHECK_OBJECT(json_object_get(p, "summary"), summary, summary_types);
		json_array_foreach(json_object_get(p, "failure-details"), k, f) CHECK_OBJECT(f, failure, failure_types);
	}
}

static const struct tls_report_row rows[] = {
    {SLICE_INIT("no-policy-found"), SLICE_INIT("mx.b.test"), SLICE_INIT("192.0.2.1"), SLICE_INIT("successful"),
	SLICE_INIT(""), 3},
    {SLICE_INIT("sts"), SLICE_INIT(""), SLICE_INIT(""), SLICE_INIT("sts-policy-fetch-error"),
	SLICE_INIT("mta-sts.b.test: \"no\" \xc3\xa4"), 1},
    {SLICE_INIT("sts\nversion: STSv1\nmode: enforce\nmx: *.b.test\nmx: mx.b.test\nmax_age: 86400"),
	SLICE_INIT("mx.b.test"), SLICE_INIT("2001:db8::1"), SLICE_INIT("certificate-expired"), SLICE_INIT("expired"),
	2},
    {SLICE_INIT("sts\nversion: STSv1\nmode: enforce\nmx: *.b.test\nmx: mx.b.test\nmax_age: 86400"),
	SLICE_INIT("mx.b.test"), SLICE_INIT("2001:db8::1"), SLICE_INIT("starttls-not-supported"), SLICE_INIT(""), 4},
    {SLICE_INIT("sts\nversion: STSv1\nmode: enforce\nmx: *.b.test\nmx: mx.b.test\nmax_age: 86400"),
	SLICE_INIT("mx.b.test"), SLICE_INIT("2001:db8::1"), SLICE_INIT("successful"), SLICE_INIT(""), 5},
    {SLICE_INIT("tlsa\n3 1 1 00ff"), SLICE_INIT("mx.b.test"), SLICE_INIT("192.0.2.1"), SLICE_INIT("successful"),
	SLICE_INIT(""), 6},
};

static const char *
string_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static void
file(void **state)
{
	const struct tls_report r = {.organisation = SLICE("mx.a.test"),
	    .contact = SLICE("tls@a.test"),
	    .id = SLICE("1"),
	    .domain = SLICE("b.test"),
	    .begin_s = 1459468800,
	    .end_s = 1459468800 + 86399,
	    .rows = rows,
	    .rows_n = COUNT_OF(rows)};
	struct buf out BUF_CLEANUP;
	json_t *o, *parts, *sts, *failures;

	(void)state;
	buf_init(&out, 1 << 20);
	assert_int_equal(tls_report_put_json(&r, &out), 0);
	o = json_loadb((const char *)out.p, out.n, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(o);
	check_report(o);
	assert_memory_equal(string_of(json_object_get(o, "date-range"), "start-datetime"), "2016-04-01T00:00:00", 19);
	parts = json_object_get(o, "policies");
	assert_int_equal(json_array_size(parts), 4);
	sts = json_array_get(parts, 2);
	failures = json_object_get(sts, "failure-details");
	assert_int_equal(json_array_size(failures), 2);
	assert_int_equal(
	    json_integer_value(json_object_get(json_object_get(sts, "summary"), "total-failure-session-count")), 6);
	assert_int_equal(
	    json_integer_value(json_object_get(json_object_get(sts, "summary"), "total-successful-session-count")), 5);
	assert_int_equal(json_array_size(json_object_get(json_object_get(sts, "policy"), "policy-string")), 5);
	assert_string_equal(
	    json_string_value(json_array_get(json_object_get(json_object_get(sts, "policy"), "mx-host"), 0)),
	    "*.b.test");
	assert_string_equal(string_of(json_array_get(failures, 0), "receiving-ip"), "2001:db8::1");
	assert_string_equal(
	    json_string_value(json_array_get(
		json_object_get(json_object_get(json_array_get(parts, 3), "policy"), "policy-string"), 0)),
	    "3 1 1 00ff");
	json_decref(o);
}

/* What finds no room is an error, not half a file. */
static void
no_room(void **state)
{
	const struct tls_report r = {.organisation = SLICE("mx.a.test"), .rows = rows, .rows_n = COUNT_OF(rows)};
	struct buf out BUF_CLEANUP;

	(void)state;
	buf_init(&out, 100);
	assert_int_not_equal(tls_report_put_json(&r, &out), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(records), cmocka_unit_test(long_records),
	    cmocka_unit_test(urls), cmocka_unit_test(file), cmocka_unit_test(no_room)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
