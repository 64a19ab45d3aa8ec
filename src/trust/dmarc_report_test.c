/* Aggregate reports: what is remembered of a message, which addresses may be written to, and the file. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "trust/dmarc_report.h"
#include "trust/zone_file.h"

static void
text_is(struct buf *b, const char *want)
{
	buf_put_u8(b, 0);
	assert_string_equal((const char *)b->p, want);
	buf_reset(b);
}

static void
rows_and_policies(void **state)
{
	struct dkim_result keys[] = {
	    {.result = TRUST_PASS, .domain = SLICE_INIT("a.test"), .selector = SLICE_INIT("s")},
	    {.result = TRUST_PERMERROR},
	    {.result = TRUST_FAIL, .domain = SLICE_INIT("b.test"), .selector = SLICE_INIT("x\ny\xff")}};
	struct dmarc_signature signatures[3] = {{.aligned = true}};
	struct assessment r = {.spf = {.result = TRUST_SOFTFAIL, .domain = SLICE_INIT("b.test")},
	    .dkim = {keys, 3, 0},
	    .signatures = signatures,
	    .dmarc = {.result = TRUST_PASS,
		.author = SLICE_INIT("a.test"),
		.policy = DMARC_POLICY_REJECT,
		.record = {
		    .p = DMARC_POLICY_REJECT, .failures = DMARC_FAILURE_ANY | DMARC_FAILURE_SPF, .testing = true}}};
	struct assess_question q = {.sender = SLICE_INIT("x@b.test")};
	struct buf out BUF_CLEANUP;

	(void)state;
	buf_init(&out, 10000);
	assert_int_equal(net_address_parse(SLICE("192.0.2.1"), 0, &q.client), 0);
	dmarc_report_put_row(&q, &r, &out);
	text_is(&out,
	    "source_ip=192.0.2.1\ndisposition=pass\ndkim=pass\nspf=fail\nheader_from=a.test\nenvelope_from=b.test\n"
	    "dkim_domain=a.test\ndkim_selector=s\ndkim_result=pass\ndkim_domain=b.test\ndkim_selector=x?y?\n"
	    "dkim_result=fail\nspf_domain=b.test\nspf_result=softfail\n");
	r.dmarc.result = TRUST_FAIL;
	r.verdict = ASSESS_TO_JUNK;
	r.override = ASSESS_MAILING_LIST;
	r.override_comment = "a list";
	r.dkim.n = 0;
	dmarc_report_put_row(&q, &r, &out);
	text_is(&out,
	    "source_ip=192.0.2.1\ndisposition=quarantine\ndkim=fail\nspf=fail\nreason=mailing_list\ncomment=a list\n"
	    "header_from=a.test\nenvelope_from=b.test\nspf_domain=b.test\nspf_result=softfail\n");
	dmarc_report_put_policy(&r.dmarc, &out);
	text_is(&out, "p=reject\nsp=none\nnp=none\nadkim=r\naspf=r\nfo=1:s\ntesting=y\n");
}

/* RFC 9990 §4 */
static void
destinations(void **state)
{
	static const char zone[] =
	    "_dmarc.blue.example.com. TXT \"v=DMARC1; p=none\"\n_dmarc.example.com. TXT \"v=DMARC1; p=none\"\n"
	    "blue.example.com._report._dmarc.red.example.net. TXT \"v=DMARC1\"\n"
	    "blue.example.com._report._dmarc.other.test. TXT \"v=DMARC1; rua=mailto:there@other.test\"\n"
	    "blue.example.com._report._dmarc.thief.test. TXT \"v=DMARC1; rua=mailto:victim@victim.test\"\n"
	    "blue.example.com._report._dmarc.odd.test. TXT \"yes\"\n"
	    "*._report._dmarc.all.test. TXT \"v=DMARC1;\"\n$TEMPFAIL _dmarc.silent.test.\n";
	static const struct slice addresses[] = {SLICE_INIT("a@blue.example.com"), SLICE_INIT("b@mail.example.com"),
	    SLICE_INIT("c@red.example.net"), SLICE_INIT("d@other.test"), SLICE_INIT("e@thief.test"),
	    SLICE_INIT("f@odd.test"), SLICE_INIT("g@nobody.test"), SLICE_INIT("h@all.test"),
	    SLICE_INIT("i@silent.test")};
	static const char *const want[] = {
	    "a@blue.example.com", "b@mail.example.com", "c@red.example.net", "there@other.test", "h@all.test"};
	ZONE_FILE_CLEANUP struct zone_file *z = NULL;
	struct arena a ARENA_CLEANUP;
	struct buf detail BUF_CLEANUP;
	struct slice_list got;
	struct trust_dns dns;

	(void)state;
	arena_init(&a, 1 << 20);
	buf_init(&detail, 1000);
	assert_int_equal(zone_file_new(&z, slice_z(zone), &detail), 0);
	dns = zone_file_dns(z);
	assert_int_equal(dmarc_report_destinations(&dns, &a, SLICE("blue.example.com"),
			     (struct slice_list){addresses, COUNT_OF(addresses) - 1}, &got),
	    0);
	assert_int_equal(got.n, COUNT_OF(want));
	for (size_t i = 0; i < got.n; i++)
		assert_true(slice_eq(got.v[i], slice_z(want[i])));
	assert_int_equal(dmarc_report_destinations(&dns, &a, SLICE("blue.example.com"),
			     (struct slice_list){addresses, COUNT_OF(addresses)}, &got),
	    ERR_UNAVAILABLE);
}

static void
file(void **state)
{
	const struct dmarc_report_row rows[] = {
	    {SLICE_INIT(
		 "source_ip=192.0.2.1\ndisposition=quarantine\ndkim=fail\nspf=fail\nreason=mailing_list\ncomment=a "
		 "<list> & co\nheader_from=a.test\nenvelope_from=\ndkim_domain=b.test\ndkim_selector=s\ndkim_result="
		 "softfail\nspf_domain=b.test\nspf_result=softfail\n"),
		7},
	    {SLICE_INIT(
		 "source_ip=192.0.2.1\ndisposition=burn\ndkim=fail\nspf=fail\nheader_from=a.test\nspf_result=pass\n"),
		1},
	    {SLICE_INIT(""), 1}};
	const struct dmarc_report r = {.organisation = SLICE_INIT("mx.in.test"),
	    .email = SLICE_INIT("a@in.test"),
	    .id = SLICE_INIT("1"),
	    .domain = SLICE_INIT("a.test"),
	    .policy = SLICE_INIT("p=reject\nsp=what\ntesting=n\n"),
	    .begin_s = 86400,
	    .end_s = 172799,
	    .rows = rows,
	    .rows_n = 3};
	struct buf out BUF_CLEANUP;

	(void)state;
	buf_init(&out, 100000);
	assert_int_equal(dmarc_report_put_xml(&r, &out), 1);
	text_is(&out,
	    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	    "<feedback xmlns=\"urn:ietf:params:xml:ns:dmarc-2.0\">\n  <version>1.0</version>\n  <report_metadata>\n"
	    "    <org_name>mx.in.test</org_name>\n    <email>a@in.test</email>\n    <report_id>1</report_id>\n"
	    "    <date_range>\n      <begin>86400</begin>\n      <end>172799</end>\n    </date_range>\n"
	    "    <generator>Posthouse</generator>\n  </report_metadata>\n  <policy_published>\n    "
	    "<domain>a.test</domain>\n"
	    "    <p>reject</p>\n    <testing>n</testing>\n    <discovery_method>treewalk</discovery_method>\n"
	    "  </policy_published>\n  <record>\n    <row>\n      <source_ip>192.0.2.1</source_ip>\n      "
	    "<count>7</count>\n"
	    "      <policy_evaluated>\n        <disposition>quarantine</disposition>\n        <dkim>fail</dkim>\n"
	    "        <spf>fail</spf>\n        <reason>\n          <type>mailing_list</type>\n"
	    "          <comment>a &lt;list&gt; &amp; co</comment>\n        </reason>\n      </policy_evaluated>\n    "
	    "</row>\n"
	    "    <identifiers>\n      <header_from>a.test</header_from>\n    </identifiers>\n    <auth_results>\n"
	    "      <dkim>\n        <domain>b.test</domain>\n        <selector>s</selector>\n        "
	    "<result>fail</result>\n"
	    "      </dkim>\n      <spf>\n        <domain>b.test</domain>\n        <scope>mfrom</scope>\n"
	    "        <result>softfail</result>\n      </spf>\n    </auth_results>\n  </record>\n</feedback>\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rows_and_policies),
	    cmocka_unit_test(destinations),
	    cmocka_unit_test(file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
