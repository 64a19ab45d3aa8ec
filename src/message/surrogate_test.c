/* Headers of RFC 6532 as clients of before see them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "message/surrogate.h"

#include "base/house.h"

static void
expect(const char *in, const char *want)
{
	struct buf out BUF_CLEANUP;
	struct house h;

	house_init(&h, "test");
	buf_init(&out, 1 << 16);
	assert_int_equal(surrogate_needed(slice_z(in), &h.limits), strcmp(in, want) != 0);
	surrogate_header(slice_z(in), &h.limits, &out);
	if (out.err != 0 || !slice_eq(buf_slice(&out), slice_z(want)))
		fail_msg("got:\n%.*s", SLICE_ARG(buf_slice(&out)));
}

static void
test_surrogates(void **state)
{
	(void)state;
	expect("", "");
	expect("Subject: x\r\n folded\r\n\r\n", "Subject: x\r\n folded\r\n\r\n");
	expect("Subject: caf\xe9\r\n\r\n", "Subject: caf\xe9\r\n\r\n"); /* no UTF-8 */
	expect("Subject: gr\xc3\xbc\xc3\x9f\x65\r\nTo: b@x.test\r\n\r\n",
	    "Subject: =?utf-8?B?Z3LDvMOfZQ==?=\r\nTo: b@x.test\r\n\r\n");
	expect("From: J\xc3\xb6rg <joerg@x.test>, a@b\xc3\xbc.test\r\n\r\n",
	    "From: =?utf-8?B?SsO2cmc=?= <joerg@x.test>, a@xn--b-eha.test\r\n\r\n");
	expect("To: \xc3\xb6@x.test\r\n\r\n", "To: =?utf-8?B?w7ZAeC50ZXN0?=:;\r\n\r\n");
	expect("Content-Type: text/plain; name=\"\xc3\xb6.txt\"\r\n\r\n",
	    "Content-Type: text/plain; name=\"=?utf-8?B?w7YudHh0?=\"\r\n\r\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_surrogates)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
