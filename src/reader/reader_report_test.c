/* Reports of others: as the world sends them, and as nobody should. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "reader/reader_report.h"
#include "reader/report_zip.h"

#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#define RECORD(ip, count, result) \
	"<record><row><source_ip>" ip "</source_ip><count>" count "</count><policy_evaluated>" result \
	"</policy_evaluated></row><identifiers><header_from>Example.ORG</header_from></identifiers>"
#define HEAD \
	"<report_metadata><org_name>Receiver</org_name><email>a@r.test</email><report_id>77</" \
	"report_id><date_range><begin>" \
	"1793491200</begin><end>1793577599</end></date_range></report_metadata>"
#define POLICY "<policy_published><domain>example.org</domain><p>reject</p><sp></sp></policy_published>"

struct world {
	struct limits l;
	struct arena a;
	struct bus_reader_report_reply r;
};

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	*state = w;
	limits_default(&w->l);
	arena_init(&w->a, READER_REPORT_ARENA);
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	arena_free(&w->a);
	free(w);
	return 0;
}

static void
read_it(struct world *w, struct slice in)
{
	struct bus_reader_report_request q = {in};

	arena_reset(&w->a);
	w->r = (struct bus_reader_report_reply){0};
	assert_int_equal(reader_report(&w->l, 4711, &q, &w->a, &w->r), 0);
}

static void
is(struct slice s, const char *want)
{
	if (!slice_eq(s, slice_z(want)))
		fail_msg("\"%.*s\" is not \"%s\"", SLICE_ARG(s), want);
}

static void
refused(struct world *w, struct slice in, const char *words)
{
	read_it(w, in);
	assert_int_equal(w->r.kind, REPORT_NONE);
	if (slice_find(w->r.problem, slice_z(words)) == SLICE_NONE)
		fail_msg("\"%.*s\" does not say \"%s\"", SLICE_ARG(w->r.problem), words);
}

/* ---- packing ------------------------------------------------------------------------------------------------------ */

/* raw: without the gzip header, as in zip archives. */
static struct slice
deflated(struct arena *a, struct slice in, bool raw)
{
	z_stream z = {.next_in = (Bytef *)in.p, .avail_in = (uInt)in.n};
	uint8_t *out;

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, raw ? -15 : 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.avail_out = (uInt)deflateBound(&z, in.n);
	z.next_out = out = arena_alloc(a, z.avail_out);
	assert_non_null(out);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	(void)deflateEnd(&z);
	return slice_of(out, z.total_out);
}

static void
put_le(struct buf *b, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++, v >>= 8)
		buf_put_u8(b, (uint8_t)v);
}

struct zipped {
	const char *name;
	struct slice in;
	uint32_t flags, method;
	int64_t size; /* told; -1: as it is */
};

static struct slice
zip(struct arena *a, const struct zipped *v, size_t n)
{
	struct buf out, directory;
	struct slice s;
	size_t at;

	buf_init(&out, 64 << 20);
	buf_init(&directory, 1 << 20);
	for (size_t i = 0; i < n; i++) {
		struct slice packed = v[i].method == 8 ? deflated(a, v[i].in, true) : v[i].in;
		uint32_t crc = (uint32_t)crc32(0, v[i].in.p, (uInt)v[i].in.n),
			 size = v[i].size >= 0 ? (uint32_t)v[i].size : (uint32_t)v[i].in.n;

		at = out.n;
		put_le(&out, 0x04034b50, 4);
		put_le(&directory, 0x02014b50, 4);
		put_le(&directory, 20, 2);
		for (int j = 0; j < 2; j++) {
			struct buf *b = j == 0 ? &out : &directory;

			put_le(b, 20, 2);
			put_le(b, v[i].flags, 2);
			put_le(b, v[i].method, 2);
			put_le(b, 0, 4);
			put_le(b, crc, 4);
			put_le(b, (uint32_t)packed.n, 4);
			put_le(b, size, 4);
			put_le(b, (uint32_t)strlen(v[i].name), 2);
			put_le(b, 0, 2);
		}
		put_le(&directory, 0, 10);
		put_le(&directory, (uint32_t)at, 4);
		buf_put_z(&out, v[i].name);
		buf_put_z(&directory, v[i].name);
		buf_put(&out, packed);
	}
	at = out.n;
	buf_put(&out, buf_slice(&directory));
	put_le(&out, 0x06054b50, 4);
	put_le(&out, 0, 4);
	put_le(&out, (uint32_t)n, 2);
	put_le(&out, (uint32_t)n, 2);
	put_le(&out, (uint32_t)directory.n, 4);
	put_le(&out, (uint32_t)at, 4);
	put_le(&out, 0, 2);
	assert_int_equal(out.err, 0);
	s = arena_copy(a, buf_slice(&out));
	buf_free(&out);
	buf_free(&directory);
	return s;
}

static struct slice
mail_with(struct arena *a, const char *head, struct slice file)
{
	struct buf out;
	struct slice s;

	buf_init(&out, 64 << 20);
	buf_printf(&out,
	    "From: a@r.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; "
	    "boundary=b\r\n\r\n--b\r\nContent-Type: "
	    "text/plain\r\n\r\nThis is <a report>.\r\n--b\r\n%s\r\nContent-Transfer-Encoding: base64\r\n\r\n",
	    head);
	buf_put_base64(&out, file);
	buf_put_z(&out, "\r\n--b--\r\n");
	s = arena_copy(a, buf_slice(&out));
	buf_free(&out);
	return s;
}

/* ---- aggregate reports --------------------------------------------------------------------------------------------- */

#define PLAIN \
	"<?xml version=\"1.0\"?><feedback>" HEAD POLICY RECORD("192.0.2.1", "12", \
	    "<disposition>none</disposition><dkim>pass</dkim><spf>fail</spf>") "<auth_results><dkim><domain>example." \
									       "org</domain><result>pass</result></" \
									       "dkim><spf><domain>mailer.test</" \
									       "domain><result>" \
									       "pass</result></spf></auth_results></" \
									       "record></feedback>"

static void
is_plain(struct world *w)
{
	assert_int_equal(w->r.kind, REPORT_DMARC);
	is(w->r.organisation, "Receiver");
	is(w->r.report_id, "77");
	is(w->r.domain, "example.org");
	is(w->r.policy, "p=reject\n");
	assert_int_equal(w->r.begin_s, 1793491200);
	assert_int_equal(w->r.domains.n, 1);
	is(w->r.domains.v[0], "example.org");
	is(w->r.sources.v[0], "192.0.2.1");
	is(w->r.counts.v[0], "12");
	is(w->r.outcomes.v[0], "none");
	is(w->r.means.v[0], "dkim");
	is(w->r.who.v[0], "mailer.test");
	is(w->r.details.v[0], "dkim_domain=example.org\ndkim_result=pass\nspf_domain=mailer.test\nspf_result=pass\n");
}

static void
all_packings(void **state)
{
	struct world *w = *state;
	struct slice xml = SLICE(PLAIN), packed;
	struct buf both BUF_CLEANUP;
	struct arena a ARENA_CLEANUP;
	const struct zipped one[] = {{"__MACOSX/._r.xml", SLICE("x"), 0, 0, -1}, {"dir/", SLICE_EMPTY, 0, 0, -1},
	    {"read.me", SLICE("?"), 0, 0, -1}, {"r.XML", xml, 0, 8, -1}};
	static const char *const types[] = {"Content-Type: application/gzip; name=r.xml.gz",
	    "Content-Type: application/octet-stream;\r\n\tname=r.xml.gz", "Content-Type: text/plain", "X: y",
	    "ContentType: application/gzip;\r\n\tname=\"r.xml.gz\"", "Content-Type: application/zip"};

	arena_init(&a, 1 << 24);
	read_it(w, xml);
	is_plain(w);
	packed = deflated(&a, xml, false);
	read_it(w, packed);
	is_plain(w);
	for (size_t i = 0; i < COUNT_OF(types); i++) {
		read_it(w, mail_with(&a, types[i], packed));
		is_plain(w);
		read_it(w, mail_with(&a, types[i], zip(&a, one, COUNT_OF(one))));
		is_plain(w);
	}
	read_it(w, mail_with(&a, "Content-Type: text/xml", xml));
	is_plain(w);
	read_it(w, arena_printf(&a, "Subject: x\r\nContent-Type: application/xml\r\n\r\n%s", PLAIN));
	is_plain(w);
	/* Two gzip files in a row are one; what else is behind them is not looked at. */
	buf_init(&both, 1 << 20);
	buf_put(&both, deflated(&a, slice_head(xml, 100), false));
	buf_put(&both, deflated(&a, slice_from(xml, 100), false));
	buf_put_z(&both, "padding");
	read_it(w, buf_slice(&both));
	is_plain(w);
	read_it(w, SLICE_EMPTY);
	assert_int_equal(w->r.kind, REPORT_NONE);
	assert_int_equal(w->r.problem.n, 0);
}

static void
quirks(void **state)
{
	struct world *w = *state;

	/* Namespaces, a byte order mark, white space, a version, words in capitals, a number with a point, unknown elements, junk at the end. */
	read_it(w,
	    SLICE("\xef\xbb\xbf\r\n  <?xml version=\"1.0\"?><n:feedback "
		  "xmlns:n=\"urn:ietf:params:xml:ns:dmarc-2.0\"><n:version>1.0"
		  "</n:version><n:report_metadata><n:org_name> A\n B "
		  "</n:org_name><n:report_id>x</n:report_id><n:date_range><n:begin>"
		  "1793491200.5</n:begin><n:end>2026-11-02T00:00:00Z</n:end></n:date_range></"
		  "n:report_metadata><n:new><n:record/>"
		  "</n:new><n:policy_published><n:domain>EXAMPLE.org.</n:domain></"
		  "n:policy_published><n:record><n:row><n:source_ip>"
		  "::FFFF</n:source_ip><n:count> 2 "
		  "</n:count><n:policy_evaluated><n:disposition>Reject</n:disposition><n:dkim>PASS"
		  "</n:dkim><n:spf>Pass</n:spf></n:policy_evaluated></n:row></n:record></n:feedback>\0\0junk <"));
	assert_int_equal(w->r.kind, REPORT_DMARC);
	is(w->r.organisation, "A  B");
	is(w->r.domain, "example.org");
	is(w->r.domains.v[0], "example.org");
	is(w->r.sources.v[0], "::ffff");
	is(w->r.outcomes.v[0], "reject");
	is(w->r.means.v[0], "spf dkim");
	assert_int_equal(w->r.end_s - w->r.begin_s, 86400);

	/* Empty rows and rows without sound numbers are left out; a missing policy, a missing id. */
	read_it(w,
	    SLICE("<feedback><report_metadata><org_name>R</org_name><date_range><begin>1793491200</"
		  "begin><end>1793577599</end>"
		  "</date_range></report_metadata><record/>" RECORD("", "1", "") "</record>" RECORD(
		      "192.0.2.300", "1", "") "</record>" RECORD("192.0.2.3", "-1", "") "</record>" RECORD("192.0.2.3",
		      "0", "") "</record>" RECORD("192.0.2.3", "99999999999", "") "</record>" RECORD("192.0.2.4", "1",
		      "") "<auth_results><spf/><dkim></dkim></auth_results></record></feedback>"));
	assert_int_equal(w->r.kind, REPORT_DMARC);
	is(w->r.domain, "example.org");
	is(w->r.report_id, "1793491200-1793577599");
	assert_int_equal(w->r.domains.n, 1);
	is(w->r.outcomes.v[0], "unknown");
	is(w->r.means.v[0], "");

	/* Charsets: one that is built in, one that nobody knows. */
	read_it(w,
	    SLICE("<?xml version=\"1.0\" encoding=\"windows-1252\"?><feedback>" POLICY
		  "<report_metadata><org_name>caf\xe9</org_name><date_range><begin>1793491200</begin><end>1793577599</"
		  "end>"
		  "</date_range></report_metadata></feedback>"));
	is(w->r.organisation, "caf\xef\xbf\xbd");
	read_it(w,
	    SLICE("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><feedback>" POLICY
		  "<report_metadata><org_name>caf\xe9</org_name><date_range><begin>1793491200</begin><end>1793577599</"
		  "end>"
		  "</date_range></report_metadata></feedback>"));
	is(w->r.organisation, "caf\xc3\xa9");
}

static void
not_reports(void **state)
{
	struct world *w = *state;
	struct arena a ARENA_CLEANUP;

	arena_init(&a, 1 << 24);
	refused(w, SLICE("<html><body>hello</body></html>"), "no DMARC report");
	refused(w, SLICE("{\"a\":1}"), "no TLS report");
	refused(w, SLICE("{\"a\":"), "damaged");
	refused(w, SLICE("<feedback>" HEAD POLICY "<record>"), "damaged in line 1");
	refused(w, SLICE("<feedback>" HEAD "</feedback>"), "which domain");
	refused(w, SLICE("<feedback>" POLICY "</feedback>"), "whose");
	refused(w, SLICE("<feedback><report_metadata><org_name>R</org_name></report_metadata>" POLICY "</feedback>"),
	    "which days");
	refused(w, mail_with(&a, "Content-Type: application/gzip", SLICE("unused")), "neither gzip, zip, XML nor JSON");
	refused(w, deflated(&a, SLICE("unused"), false), "neither XML nor JSON");
	refused(w, deflated(&a, SLICE("  \r\n"), false), "empty");
	/* A letter is no report, whatever it begins with. */
	read_it(w, SLICE("Subject: hi\r\n\r\n{hello} there\r\n"));
	assert_int_equal(w->r.problem.n, 0);
	read_it(w, SLICE("Subject: hi\r\nContent-Type: text/html\r\n\r\n<p>hello</p>\r\n"));
	assert_int_equal(w->r.problem.n, 0);
}

/* ---- what nobody should send ------------------------------------------------------------------------------------------- */

static void
entities_and_depth(void **state)
{
	struct world *w = *state;
	struct buf deep BUF_CLEANUP;

	refused(w, SLICE("<!DOCTYPE f [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><feedback>&b;</feedback>"),
	    "document type");
	refused(w, SLICE("<!DOCTYPE f SYSTEM \"file:///etc/passwd\"><feedback/>"), "document type");
	refused(w, SLICE("<!DOCTYPE f [<!ENTITY % x SYSTEM \"http://127.0.0.1/\">%x;]><feedback/>"), "document type");
	refused(w, SLICE("<feedback>&unknown;</feedback>"), "damaged");
	buf_init(&deep, 1 << 20);
	buf_put_z(&deep, "<feedback>");
	for (int i = 0; i < 50000; i++)
		buf_put_z(&deep, "<a>");
	refused(w, buf_slice(&deep), "too many levels");
	w->l.report_elements = 100;
	buf_reset(&deep);
	buf_put_z(&deep, "<feedback>");
	for (int i = 0; i < 200; i++)
		buf_put_z(&deep, "<a/>");
	refused(w, buf_slice(&deep), "too many elements");
}

static void
long_values(void **state)
{
	struct world *w = *state;
	struct buf xml BUF_CLEANUP;

	buf_init(&xml, 64 << 20);
	buf_put_z(&xml, "<feedback>" HEAD POLICY RECORD("192.0.2.1", "1", "") "<auth_results>");
	for (int i = 0; i < 1000; i++) {
		buf_put_z(&xml, "<dkim><domain>");
		for (int j = 0; j < 2000; j++)
			buf_put_z(&xml, "a.");
		buf_put_z(&xml, "</domain><result>pass</result></dkim>");
	}
	buf_put_z(&xml, "</auth_results></record></feedback>");
	read_it(w, buf_slice(&xml));
	assert_int_equal(w->r.kind, REPORT_DMARC);
	assert_true(w->r.details.v[0].n <= REPORT_ROW_DETAIL_MAX);
	is(w->r.who.v[0], "");
}

/* More rows than are kept apart: nothing is lost of what they count. */
static void
many_rows(void **state)
{
	struct world *w = *state;
	struct buf xml BUF_CLEANUP;
	uint64_t sum = 0, n;

	w->l.report_rows = 10;
	buf_init(&xml, 64 << 20);
	buf_put_z(&xml, "<feedback>" HEAD POLICY);
	for (int i = 0; i < 5000; i++)
		buf_printf(&xml, RECORD("192.0.%d.%d", "2", "<disposition>%s</disposition><dkim>%s</dkim>") "</record>",
		    i / 250, i % 250, i % 2 == 0 ? "none" : "reject", i % 3 == 0 ? "pass" : "fail");
	buf_put_z(&xml, "</feedback>");
	read_it(w, buf_slice(&xml));
	assert_int_equal(w->r.domains.n, 14);
	for (size_t i = 0; i < w->r.counts.n; i++) {
		assert_int_equal(slice_to_u64(w->r.counts.v[i], INT64_MAX, &n), 0);
		sum += n;
		assert_int_equal(w->r.sources.v[i].n == 0, i >= 10);
		is(w->r.domains.v[i], "example.org");
	}
	assert_int_equal(sum, 10000);
}

static void
bombs(void **state)
{
	struct world *w = *state;
	struct arena a ARENA_CLEANUP;
	size_t n = (size_t)110 << 20;
	char *big = malloc(n);
	struct slice gz;
	struct zipped one = {"r.xml", slice_of(big, n), 0, 8, -1};

	arena_init(&a, (size_t)1 << 30);
	assert_non_null(big);
	memset(big, ' ', n);
	memcpy(big, "<feedback>", 10);
	gz = deflated(&a, slice_of(big, n), false);
	assert_true(gz.n < 1 << 20);
	refused(w, gz, "holds more than 67108864 bytes");
	assert_true(w->a.used < 2 << 20); /* memory does not grow with them */
	refused(w, mail_with(&a, "Content-Type: application/gzip", gz), "holds more than 67108864 bytes");
	refused(w, zip(&a, &one, 1), "holds a file of 115343360 bytes");
	one.size = 10; /* it lies */
	refused(w, zip(&a, &one, 1), "holds more than 67108864 bytes");
	memcpy(big, "{         ", 10);
	refused(w, deflated(&a, slice_of(big, n), false), "the JSON has more than 8388608 bytes");
	/* 100 MB as they are. */
	refused(w, slice_of(big, n), "are not opened");
	free(big);
}

static void
damaged_archives(void **state)
{
	struct world *w = *state;
	struct arena a ARENA_CLEANUP;
	struct slice xml = SLICE(PLAIN), gz, z;
	struct zipped v[3] = {{"a.xml", xml, 0, 8, -1}};
	const char *why;
	struct report_zip_file f;
	struct buf changed BUF_CLEANUP;

	arena_init(&a, 1 << 24);
	gz = deflated(&a, xml, false);
	for (size_t i = 2; i + 8 < gz.n; i += 7)
		refused(w, slice_head(gz, i), i < 2 ? "" : "cut off");
	z = zip(&a, v, 1);
	for (size_t i = 4; i < z.n; i++)
		refused(w, slice_head(z, i), "zip archive");
	buf_init(&changed, 1 << 20);
	/* Any one byte: read as it was, or refused, and never more. */
	for (size_t i = 4; i < z.n; i++) {
		buf_reset(&changed);
		buf_put(&changed, z);
		buf_patch_u8(&changed, i, slice_at(z, i) ^ 0x55);
		read_it(w, buf_slice(&changed));
		if (w->r.kind == REPORT_DMARC)
			is_plain(w);
		else
			assert_true(w->r.problem.n > 0);
	}
	v[0].flags = 1;
	refused(w, zip(&a, v, 1), "encrypted");
	v[0].flags = 0;
	v[0].method = 12;
	refused(w, zip(&a, v, 1), "packed in a way");
	v[0].method = 0;
	v[0].size = 0xffffffff;
	refused(w, zip(&a, v, 1), "4 GB");
	assert_int_equal(report_zip_find(zip(&a, v, 0), 10, &f, &why), ERR_NOTFOUND);
	v[0].size = -1;
	v[1] = v[2] = v[0];
	assert_int_equal(report_zip_find(zip(&a, v, 3), 2, &f, &why), ERR_LIMIT);
	assert_int_equal(report_zip_find(zip(&a, v, 3), 3, &f, &why), 0);
	assert_true(slice_eq(f.packed, xml));
}

/* ---- TLS, failures ---------------------------------------------------------------------------------------------------------- */

static void
tls(void **state)
{
	struct world *w = *state;
	/* As large senders write it: no contact, numbers as texts, one address missing, details that make less than the whole. */
	static const char json[] =
	    "{\"organization-name\":\"Company-X\",\"date-range\":{\"start-datetime\":\"2026-04-01T00:00:00Z\",\"end-"
	    "datetime\":"
	    "\"2026-04-01T23:59:59+00:00\"},\"contact-info\":null,\"report-id\":\"5065\",\"policies\":[{\"policy\":{"
	    "\"policy-type\":"
	    "\"sts\",\"policy-string\":[\"version: STSv1\",\"mode: "
	    "testing\"],\"policy-domain\":\"Example.Org\",\"mx-host\":\"*.m\"},"
	    "\"summary\":{\"total-successful-session-count\":5326,\"total-failure-session-count\":303},\"failure-"
	    "details\":[{"
	    "\"result-type\":\"certificate-expired\",\"sending-mta-ip\":\"2001:DB8::1\",\"receiving-mx-hostname\":"
	    "\"mx1.m\","
	    "\"failed-session-count\":100},{\"result-type\":\"successful\",\"failed-session-count\":\"200\"},{},7]},"
	    "{\"policy\":{\"policy-type\":\"no-policy-found\"},\"summary\":{\"total-successful-session-count\":1}},"
	    "null]}";

	read_it(w, slice_z(json));
	assert_int_equal(w->r.kind, REPORT_TLS);
	is(w->r.organisation, "Company-X");
	is(w->r.domain, "example.org");
	assert_int_equal(w->r.end_s - w->r.begin_s, 86399);
	assert_int_equal(w->r.domains.n, 5);
	is(w->r.outcomes.v[0], "successful");
	is(w->r.counts.v[0], "5326");
	is(w->r.outcomes.v[1], "certificate-expired");
	is(w->r.sources.v[1], "2001:db8::1");
	is(w->r.who.v[1], "mx1.m");
	is(w->r.outcomes.v[2], "unknown");
	is(w->r.counts.v[2], "200");
	is(w->r.counts.v[3], "3");
	is(w->r.means.v[4], "no-policy-found");
	is(w->r.domains.v[4], "");
	refused(w, SLICE("{\"policies\":[]}"), "whose");
	refused(w, SLICE("{\"policies\":[],\"report-id\":\"1\"}"), "which days");
}

static void
failure(void **state)
{
	struct world *w = *state;
	static const char mail[] =
	    "From: <dmarc@receiver.test>\r\nMessage-ID: <1@receiver.test>\r\nMIME-Version: 1.0\r\nContent-Type: "
	    "multipart/report; "
	    "report-type=feedback-report; boundary=b\r\n\r\n--b\r\n\r\nThis is a report.\r\n--b\r\nContent-Type: "
	    "message/feedback-report\r\n\r\nFeedback-Type: auth-failure\r\nAuth-Failure: dmarc\r\nSource-IP: "
	    "192.0.2.7\r\n"
	    "Arrival-Date: Sat, 8 Oct 2026 20:15:58 +0000\r\nReporting-MTA: dns; mx.receiver.test\r\nDelivery-Result: "
	    "reject\r\n"
	    "Identity-Alignment: dkim\r\nIncidents: 3\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nFrom: Bob "
	    "<bob@Example.org>\r\nSubject: =?x?=\r\nContent-Type: application/zip\r\n\r\nPK\x03\x04\r\n--b--\r\n";

	read_it(w, slice_of(mail, sizeof(mail) - 1));
	assert_int_equal(w->r.kind, REPORT_FAILURE);
	is(w->r.organisation, "mx.receiver.test");
	is(w->r.report_id, "<1@receiver.test>");
	is(w->r.domain, "example.org");
	is(w->r.sources.v[0], "192.0.2.7");
	is(w->r.counts.v[0], "3");
	is(w->r.outcomes.v[0], "reject");
	is(w->r.means.v[0], "spf");
	assert_true(slice_find(w->r.details.v[0], SLICE("subject==?x?=\n")) != SLICE_NONE);
	refused(w,
	    SLICE("Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: "
		  "message/feedback-report\r\n\r\n\r\n--b--"),
	    "of which type");
	/* In a message within the message nothing is looked for. */
	read_it(w,
	    SLICE("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: "
		  "message/rfc822\r\n\r\nContent-Type: "
		  "application/xml\r\n\r\n" PLAIN "\r\n--b--\r\n"));
	assert_int_equal(w->r.kind, REPORT_NONE);
	assert_int_equal(w->r.problem.n, 0);
}

static void
times(void **state)
{
	static const struct {
		const char *text;
		int64_t want;
	} v[] = {{"1793491200", 1793491200}, {" 1793491200.75 ", 1793491200}, {"2026-11-01T00:00:00Z", 1793491200},
	    {"2026-11-01", 1793491200}, {"2026-11-01 01:00:00+01:00", 1793491200},
	    {"2026-10-31T23:00:00.5-01:00", 1793491200}, {"2026-13-01", 0}, {"0", 0}, {"-1", 0},
	    {"99999999999999999999", 0}, {"", 0}, {"2026-11-01T24:00:00Z", 0}, {"2026-11-01T00:00:00Zjunk", 0},
	    {"1793491200000", 0}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(v); i++)
		if (report_time(slice_z(v[i].text)) != v[i].want)
			fail_msg("%s is %lld", v[i].text, (long long)report_time(slice_z(v[i].text)));
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {TEST(all_packings), TEST(quirks), TEST(not_reports),
	    TEST(entities_and_depth), TEST(long_values), TEST(many_rows), TEST(bombs), TEST(damaged_archives),
	    TEST(tls), TEST(failure), TEST(times)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
