/* What follows from the checks: verdicts, and what is told of them. Signatures and chains of ARC are the scenarios' (test_trust_gate.py). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "trust/assess.h"
#include "trust/zone_file.h"

static const char zone[] =
    "strict.test. TXT \"v=spf1 ip4:192.0.2.1 -all\"\n_dmarc.strict.test. TXT \"v=DMARC1; p=reject\"\n"
    "_dmarc.junk.test. TXT \"v=DMARC1; p=quarantine\"\n_dmarc.calm.test. TXT \"v=DMARC1; p=none\"\n"
    "_dmarc.trial.test. TXT \"v=DMARC1; p=quarantine; t=y\"\n"
    "h.test. TXT \"v=spf1 ip4:192.0.2.9 -all\"\n"
    "list.test. TXT \"v=spf1 ip4:192.0.2.2 -all\"\n$TEMPFAIL _dmarc.silent.test.\n";

struct letter {
	const char *client, *sender, *header;
	struct assess_rules rules;
};

struct want {
	enum trust_result dmarc;
	enum assess_verdict verdict;
	enum assess_override override;
};

/* *results, *findings and *reply are NUL-terminated; they may be NULL. */
static void
assess(const struct letter *l, const struct want *want, struct buf *results, struct buf *findings, struct buf *reply)
{
	struct dkim_reader *r __attribute__((cleanup(dkim_reader_free))) = NULL;
	ZONE_FILE_CLEANUP struct zone_file *z = NULL;
	struct arena a ARENA_CLEANUP;
	struct buf detail BUF_CLEANUP;
	struct house house;
	struct assess_question q = {
	    .house = &house, .hostname = SLICE("mx.in.test"), .helo = SLICE("h.test"), .rules = &l->rules};
	struct assessment got;

	house_init(&house, "test");
	arena_init(&a, 16 << 20);
	buf_init(&detail, 1000);
	assert_int_equal(zone_file_new(&z, slice_z(zone), &detail), 0);
	q.dns = zone_file_dns(z);
	q.sender = slice_z(l->sender);
	assert_int_equal(net_address_parse(slice_z(l->client), 0, &q.client), 0);
	assert_int_equal(dkim_reader_new(&r, &house.limits, DKIM_VERIFYING), 0);
	dkim_reader_feed(r, slice_z(l->header));
	dkim_reader_feed(r, SLICE("\r\nHello\r\n"));
	assert_int_equal(dkim_reader_end(r), 0);
	q.reader = r;
	assert_int_equal(assess_message(&q, &a, &got), 0);
	assert_int_equal(got.dmarc.result, want->dmarc);
	assert_int_equal(got.verdict, want->verdict);
	assert_int_equal(got.override, want->override);
	assert_int_equal(got.reply.n > 0, want->verdict >= ASSESS_DEFER);
	if (results != NULL) {
		assess_put_results(&q, &got, results);
		buf_put_u8(results, 0);
	}
	if (findings != NULL) {
		assess_put_findings(&q, &got, findings);
		buf_put_u8(findings, 0);
	}
	if (reply != NULL) {
		buf_put(reply, got.reply);
		buf_put_u8(reply, 0);
	}
}

#define STRANGER "192.0.2.9"

static void
verdict(const char *client, const char *sender, const char *header, struct assess_rules rules, struct want want)
{
	const struct letter l = {client, sender, header, rules};

	assess(&l, &want, NULL, NULL, NULL);
}

static void
policies(void **state)
{
	const struct assess_rules obey = {.dmarc = ASSESS_OBEY}, junk = {.dmarc = ASSESS_JUNK},
				  note = {.dmarc = ASSESS_NOTE};
	const char *strict = "From: a@strict.test\r\n", *to_junk = "From: a@junk.test\r\n";

	(void)state;
	verdict("192.0.2.1", "x@strict.test", strict, obey, (struct want){TRUST_PASS, ASSESS_FINE, ASSESS_AS_ASKED});
	verdict(STRANGER, "", strict, obey, (struct want){TRUST_FAIL, ASSESS_REFUSE, ASSESS_AS_ASKED});
	verdict(STRANGER, "", strict, junk, (struct want){TRUST_FAIL, ASSESS_TO_JUNK, ASSESS_LOCAL_POLICY});
	verdict(STRANGER, "", strict, note, (struct want){TRUST_FAIL, ASSESS_FINE, ASSESS_LOCAL_POLICY});
	verdict(STRANGER, "", to_junk, obey, (struct want){TRUST_FAIL, ASSESS_TO_JUNK, ASSESS_AS_ASKED});
	verdict(STRANGER, "", to_junk, junk, (struct want){TRUST_FAIL, ASSESS_TO_JUNK, ASSESS_AS_ASKED});
	verdict(STRANGER, "", "From: a@calm.test\r\n", obey, (struct want){TRUST_FAIL, ASSESS_FINE, ASSESS_AS_ASKED});
	verdict(STRANGER, "", "From: a@trial.test\r\n", obey, (struct want){TRUST_FAIL, ASSESS_FINE, ASSESS_TEST_MODE});
	verdict(
	    STRANGER, "", "From: a@unknown.test\r\n", obey, (struct want){TRUST_NONE, ASSESS_FINE, ASSESS_AS_ASKED});
}

static void
lists(void **state)
{
	const struct slice names[] = {SLICE("list.test")};
	const struct assess_rules known = {.dmarc = ASSESS_OBEY, .lists = {names, 1}}, unknown = {.dmarc = ASSESS_OBEY};
	const char *plain = "From: a@strict.test\r\n", *listed = "From: a@strict.test\r\nList-Id: <x.list.test>\r\n";

	(void)state;
	verdict("192.0.2.2", "x@list.test", plain, known, (struct want){TRUST_FAIL, ASSESS_FINE, ASSESS_MAILING_LIST});
	verdict(STRANGER, "x@list.test", listed, known, (struct want){TRUST_FAIL, ASSESS_REFUSE, ASSESS_AS_ASKED});
	verdict("192.0.2.2", "x@list.test", listed, unknown,
	    (struct want){TRUST_FAIL, ASSESS_TO_JUNK, ASSESS_MAILING_LIST});
	verdict("192.0.2.2", "x@list.test", plain, unknown, (struct want){TRUST_FAIL, ASSESS_REFUSE, ASSESS_AS_ASKED});
}

static void
several_authors(void **state)
{
	const struct assess_rules obey = {.dmarc = ASSESS_OBEY};

	(void)state;
	verdict(STRANGER, "", "From: a@calm.test, b@strict.test\r\n", obey,
	    (struct want){TRUST_FAIL, ASSESS_REFUSE, ASSESS_AS_ASKED});
	verdict(STRANGER, "", "From: a@calm.test\r\nX: y\r\nfrom : b@junk.test\r\n", obey,
	    (struct want){TRUST_FAIL, ASSESS_TO_JUNK, ASSESS_AS_ASKED});
	verdict(STRANGER, "", "From: a@1.test, a@2.test, a@3.test, a@strict.test\r\n", obey,
	    (struct want){TRUST_PERMERROR, ASSESS_TO_JUNK, ASSESS_AS_ASKED});
	verdict(STRANGER, "", "Subject: x\r\n", obey, (struct want){TRUST_PERMERROR, ASSESS_FINE, ASSESS_AS_ASKED});
}

static void
other_rules(void **state)
{
	const struct assess_rules hard = {.dmarc = ASSESS_OBEY, .spf_reject = true, .defer = true},
				  soft = {.dmarc = ASSESS_OBEY};

	(void)state;
	verdict(STRANGER, "x@strict.test", "From: a@unknown.test\r\n", hard,
	    (struct want){TRUST_NONE, ASSESS_REFUSE_SPF, ASSESS_AS_ASKED});
	verdict(STRANGER, "x@strict.test", "From: a@unknown.test\r\n", soft,
	    (struct want){TRUST_NONE, ASSESS_FINE, ASSESS_AS_ASKED});
	verdict(STRANGER, "", "From: a@silent.test\r\n", hard,
	    (struct want){TRUST_TEMPERROR, ASSESS_DEFER, ASSESS_AS_ASKED});
	verdict(STRANGER, "", "From: a@silent.test\r\n", soft,
	    (struct want){TRUST_TEMPERROR, ASSESS_FINE, ASSESS_AS_ASKED});
}

static void
told(void **state)
{
	const struct letter refused = {STRANGER, "x@y.test", "From: a@strict.test\r\n", {.dmarc = ASSESS_OBEY}},
			    junk = {STRANGER, "", "From: a@junk.test\r\n", {.dmarc = ASSESS_OBEY}};
	struct buf results BUF_CLEANUP, findings BUF_CLEANUP, reply BUF_CLEANUP;

	(void)state;
	buf_init(&results, 10000);
	buf_init(&findings, 10000);
	buf_init(&reply, 1000);
	assess(&refused, &(struct want){TRUST_FAIL, ASSESS_REFUSE, ASSESS_AS_ASKED}, NULL, NULL, &reply);
	assert_string_equal((const char *)reply.p,
	    "DMARC: the message says that it is from strict.test, and neither a signature nor the server that sent it "
	    "confirms "
	    "that; strict.test asks to refuse such mail");
	assess(&junk, &(struct want){TRUST_FAIL, ASSESS_TO_JUNK, ASSESS_AS_ASKED}, &results, &findings, NULL);
	assert_non_null(strstr((const char *)results.p, "mx.in.test;\r\n\tiprev="));
	assert_non_null(strstr((const char *)results.p,
	    ";\r\n\tspf=pass smtp.helo=h.test;\r\n\tdkim=none;\r\n\tdmarc=fail header.from=junk.test "
	    "policy.dmarc=quarantine"));
	assert_non_null(strstr((const char *)findings.p, "DKIM: none, the message is not signed. DMARC: fail, "));
	assert_non_null(strstr((const char *)findings.p, ". So it goes into Junk, as the author's domain asks"));
}

/* The client's own name is told of beside MAIL FROM, and changes nothing. */
static void
names_of_clients(void **state)
{
	const struct letter l = {STRANGER, "x@strict.test", "From: a@calm.test\r\n", {.spf_reject = false}},
			    alone = {STRANGER, "", "From: a@h.test\r\n", {.spf_reject = true}};
	const struct want want = {TRUST_FAIL, ASSESS_FINE, ASSESS_AS_ASKED};
	struct buf results BUF_CLEANUP, findings BUF_CLEANUP;

	(void)state;
	buf_init(&results, 10000);
	buf_init(&findings, 10000);
	assess(&l, &want, &results, &findings, NULL);
	assert_non_null(strstr((const char *)results.p,
	    ";\r\n\tspf=fail smtp.mailfrom=x@strict.test;\r\n\tspf=pass smtp.helo=h.test;\r\n\tdkim=none"));
	assert_non_null(strstr((const char *)findings.p, ". SPF of the client's name: pass, "));
	buf_reset(&results);
	assess(&alone, &(struct want){TRUST_NONE, ASSESS_FINE, ASSESS_AS_ASKED}, &results, NULL, NULL);
	assert_non_null(strstr((const char *)results.p, ";\r\n\tspf=pass smtp.helo=h.test;\r\n\tdkim=none"));
}

/* Whom a report of a failure would not be meant for. */
static void
forged(void **state)
{
	static const struct {
		enum trust_result spf, dmarc;
		bool aligned, forged;
	} cases[] = {
	    {TRUST_PASS, TRUST_FAIL, false, false}, /* a mailing list */
	    {TRUST_PASS, TRUST_PASS, true, false},
	    {TRUST_FAIL, TRUST_PASS, true, false}, /* passed on by somebody, and signed by the sender's own domain */
	    {TRUST_FAIL, TRUST_PASS, false, true}, /* signed by another one */
	    {TRUST_FAIL, TRUST_NONE, false, true},
	    {TRUST_FAIL, TRUST_FAIL, true, true},
	    {TRUST_SOFTFAIL, TRUST_NONE, false, false},
	    {TRUST_NONE, TRUST_FAIL, false, true},
	    {TRUST_TEMPERROR, TRUST_TEMPERROR, false, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct assessment r = {.spf = {.result = cases[i].spf},
		    .dmarc = {.result = cases[i].dmarc, .spf_aligned = cases[i].aligned}};

		assert_int_equal(assess_is_forged(&r), cases[i].forged);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(policies),
	    cmocka_unit_test(lists),
	    cmocka_unit_test(several_authors),
	    cmocka_unit_test(other_rules),
	    cmocka_unit_test(told),
	    cmocka_unit_test(names_of_clients),
	    cmocka_unit_test(forged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
