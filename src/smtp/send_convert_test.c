/* Messages in a form for servers without 8BITMIME or BINARYMIME. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/send_convert.h"

static int
convert(struct slice in, bool eight_bit, bool binary, struct buf *out)
{
	struct arena a ARENA_CLEANUP;
	struct limits limits;

	limits_default(&limits);
	arena_init(&a, 1 << 20);
	buf_init(out, 1 << 20);
	return smtp_convert_message(&a, in, eight_bit, binary, &limits, out);
}

static void
want(struct slice in, bool eight_bit, bool binary, const char *text)
{
	struct buf out BUF_CLEANUP;

	assert_int_equal(convert(in, eight_bit, binary, &out), 0);
	if (!slice_eq(buf_slice(&out), slice_z(text)))
		fail_msg("got\n%.*s", SLICE_ARG(buf_slice(&out)));
	assert_false(smtp_convert_is_needed(buf_slice(&out), eight_bit, binary));
}

static void
only_what_must_change_changes(void **state)
{
	(void)state;
	want(SLICE("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: "
		   "8bit\r\nX: 1\r\n\r\n"
		   "pre\xff\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
		   "8bit\r\n\r\n\xc3\xbc\r\n"
		   "--b\r\nContent-Type: text/plain\r\n\r\nplain\r\n"
		   "--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xff\xfe\r\n"
		   "--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
		   "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
		   "8bit\r\n\r\n\xc3\xb6\r\n"
		   "--b--\r\nafter\r\n"),
	    false, false,
	    "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nX: 1\r\nContent-Transfer-Encoding: "
	    "7bit\r\n\r\n"
	    "pre?\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
	    "quoted-printable\r\n\r\n=C3=BC\r\n"
	    "--b\r\nContent-Type: text/plain\r\n\r\nplain\r\n"
	    "--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n//4=\r\n\r\n"
	    "--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
	    "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
	    "quoted-printable\r\n\r\n=C3=B6\r\n"
	    "--b--\r\nafter\r\n");
}

static void
binary_becomes_lines(void **state)
{
	(void)state;
	want(SLICE(
		 "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: "
		 "binary\r\n\r\n"
		 "--b\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\n\r\r\n"
		 "--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xbc\r\n"
		 "--b--\r\n"),
	    true, true,
	    "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
	    "--b\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\nAAoN\r\n\r\n"
	    "--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xbc\r\n"
	    "--b--\r\n");
}

static void
signed_parts_are_not_touched(void **state)
{
	struct buf out BUF_CLEANUP;

	(void)state;
	assert_int_equal(convert(SLICE("Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\nContent-Type: "
				       "text/plain\r\n\r\n\xc3\xbc\r\n"
				       "--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n"),
			     false, false, &out),
	    ERR_UNSUPPORTED);
}

static void
garbage_is_carried(void **state)
{
	(void)state;
	want(SLICE("Subject: x\r\n\r\n\0\xff"), false, true,
	    "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; "
	    "charset=unknown-8bit\r\nContent-Transfer-Encoding: "
	    "base64\r\n\r\nAP8=\r\n");
	want(SLICE("Content-Type: multipart/mixed; boundary=b\r\n\r\n\xff\r\n"), false, false,
	    "Content-Type: multipart/mixed; boundary=b\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: "
	    "base64\r\n\r\n/w0K\r\n");
	want(SLICE("plain"), false, false, "plain");
	want(SLICE_EMPTY, false, false, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(only_what_must_change_changes),
	    cmocka_unit_test(binary_becomes_lines), cmocka_unit_test(signed_parts_are_not_touched),
	    cmocka_unit_test(garbage_is_carried)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
