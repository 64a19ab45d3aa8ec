/* What DNS says, against what it should. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "trust/dns_advice.h"

#define R ADVICE_RIGHT
#define W ADVICE_WRONG
#define M ADVICE_MISSING

static void
cases(void **state)
{
	static const struct {
		enum dns_advice_kind kind;
		const char *wanted, *one, *two; /* two: NULL for none; one too */
		bool secure;
		enum dns_advice_state state;
	} v[] = {
	    {ADVICE_MX, "10 mx.a.test.", "5 MX.a.test", NULL, false, R},
	    {ADVICE_MX, "10 mx.a.test.", "5 mx.b.test.", "10 mx.a.test.", false, R},
	    {ADVICE_MX, "10 mx.a.test.", "5 mx.b.test", NULL, false, W},
	    {ADVICE_MX, "10 mx.a.test.", "0 ", NULL, false, W},
	    {ADVICE_MX, "10 mx.a.test.", NULL, NULL, false, M},
	    {ADVICE_SPF, "v=spf1 mx -all", "v=spf1 -all", "x", false, R},
	    {ADVICE_SPF, "v=spf1 mx -all", "v=spf1 -all", "V=SPF1", false, W},
	    {ADVICE_SPF, "v=spf1 mx -all", "v=spf10 -all", NULL, false, M},
	    {ADVICE_DKIM, "v=DKIM1; k=rsa; p=AAAA", "v=DKIM1; p=AA AA", NULL, false, R},
	    {ADVICE_DKIM, "v=DKIM1; k=rsa; p=AAAA", "v=DKIM1; p=BBBB", NULL, false, W},
	    {ADVICE_DKIM, "v=DKIM1; k=rsa; p=AAAA", "v=DKIM1; p=", NULL, false, W},
	    {ADVICE_DKIM, "v=DKIM1; k=rsa; p=AAAA", "v=DKIM1; p=AAAA", "v=DKIM1; p=BBBB", false, W},
	    {ADVICE_DKIM, "v=DKIM1; k=rsa; p=AAAA", NULL, NULL, false, M},
	    {ADVICE_DMARC, "", "v=DMARC1; p=reject", "other", false, R},
	    {ADVICE_DMARC, "", "v=DMARC1; p=reject", "v=DMARC1; p=none", false, W},
	    {ADVICE_DMARC, "", "v=DMARC1; p=perhaps", NULL, false, W},
	    {ADVICE_DMARC, "", "v=spf1 -all", NULL, false, M},
	    {ADVICE_STS, "", "v=STSv1; id=1", NULL, false, R},
	    {ADVICE_STS, "", "v=STSv1; id=", NULL, false, W},
	    {ADVICE_STS, "", "v=STSv1; id=1", "v=STSv1; id=2", false, W},
	    {ADVICE_STS, "", NULL, NULL, false, M},
	    {ADVICE_TLS_REPORT, "", "v=TLSRPTv1; rua=mailto:a@a.test", NULL, false, R},
	    {ADVICE_TLS_REPORT, "", "v=TLSRPTv1; rua=a@a.test", NULL, false, W},
	    {ADVICE_TLS_REPORT, "", "x", NULL, false, M},
	    {ADVICE_TLSA, "3 1 1 00ff", "3 1 1 00FF", NULL, true, R},
	    {ADVICE_TLSA, "3 1 1 00ff", "3 1 1 00FF", NULL, false, W},
	    {ADVICE_TLSA, "3 1 1 00ff", "3 1 1 0000", NULL, true, W},
	    {ADVICE_TLSA, "3 1 1 00ff", NULL, NULL, true, M},
	    {ADVICE_SRV, "0 1 993 mx.a.test.", "5 9 993 mx.a.test", NULL, false, R},
	    {ADVICE_SRV, "0 1 993 mx.a.test.", "0 1 143 mx.a.test", NULL, false, W},
	    {ADVICE_SRV, "0 1 993 mx.a.test.", "", NULL, false, W},
	    {ADVICE_SRV, "0 1 993 mx.a.test.", NULL, NULL, false, M},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(v); i++) {
		struct slice texts[] = {
		    slice_z(v[i].one == NULL ? "" : v[i].one), slice_z(v[i].two == NULL ? "" : v[i].two)};
		size_t n = v[i].one == NULL ? 0 : v[i].two == NULL ? 1 : 2;
		struct arena a ARENA_CLEANUP;
		struct dns_advice got;

		arena_init(&a, 1 << 20);
		assert_int_equal(dns_advice_judge(v[i].kind, slice_z(v[i].wanted), (struct slice_list){texts, n},
				     v[i].secure, &a, &got),
		    0);
		assert_int_equal(got.state, v[i].state);
		assert_true(got.told.n > 0);
		assert_int_equal(got.todo.n > 0, got.state != ADVICE_RIGHT);
	}
}

static void
kinds(void **state)
{
	(void)state;
	for (int k = 0; k < ADVICE_KINDS; k++)
		assert_int_equal(dns_advice_kind_of(slice_z(dns_advice_kind_name((enum dns_advice_kind)k))), k);
	assert_int_equal(dns_advice_kind_of(SLICE("x")), ADVICE_KINDS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(cases), cmocka_unit_test(kinds)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
