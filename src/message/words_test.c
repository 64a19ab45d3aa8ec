/* words_test.c: encoded words. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "message/words.h"

#define CHINESE "\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xbd\xa0\xe5\xa5\xbd"

static const struct {
	struct slice in;
	const char *out;
} rows[] = {
    {SLICE_INIT(""), ""},
    {SLICE_INIT("plain text"), "plain text"},
    /* RFC 2047 §8 */
    {SLICE_INIT("(=?ISO-8859-1?Q?a?=)"), "(a)"},
    {SLICE_INIT("=?ISO-8859-1?Q?a?= b"), "a b"},
    {SLICE_INIT("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?="), "ab"},
    {SLICE_INIT("=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?="), "ab"},
    {SLICE_INIT("=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?="), "ab"},
    {SLICE_INIT("=?ISO-8859-1?Q?a_b?="), "a b"},
    {SLICE_INIT("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?="), "a b"},
    {SLICE_INIT("=?iso-8859-1?q?Keld_J=F8rn?= x"), "Keld J\xc3\xb8rn x"},
    {SLICE_INIT("=?iso-8859-1*en?b?5A==?="), "\xc3\xa4"},
    {SLICE_INIT("x =?koi8-r?B?wQ==?= y"), "x \xd0\xb0 y"},
    /* a character split between words, in both encodings */
    {SLICE_INIT("=?utf-8?Q?=C3?= =?utf-8?Q?=A4?="), "\xc3\xa4"},
    {SLICE_INIT("=?utf-8?B?ww==?=\r\n =?UTF-8?Q?=A4?="), "\xc3\xa4"},
    {SLICE_INIT("=?utf-8?B?w?= =?utf-8?B?6Q=?="), "\xc3\xa4"},
    /* as met in practice */
    {SLICE_INIT("a=?utf-8?q?b?=c=?utf-8?q?d?="), "abcd"},
    {SLICE_INIT("=?utf-8?q?a?==?utf-8?q?b?="), "ab"},
    {SLICE_INIT("=?utf-8?q?a b c?= d"), "a b c d"},
    {SLICE_INIT("=?utf-8?b?4oKs?="), "\xe2\x82\xac"},
    {SLICE_INIT("=?utf-8?b?4oKs"), "=?utf-8?b?4oKs"},
    {SLICE_INIT("=?utf-8?b?YQ?="), "a"},
    {SLICE_INIT("=?utf-8?q?100%_=?="), "100% ="},
    {SLICE_INIT("=?utf-8?q?=ZZ=4?="), "=ZZ=4"},
    {SLICE_INIT("=?utf-8?q?\?=x"), "x"},
    {SLICE_INIT("=?utf-8?x?a?="), "=?utf-8?x?a?="},
    {SLICE_INIT("=?utf-8?q"), "=?utf-8?q"},
    {SLICE_INIT("=?=?=?utf-8?q?a?="), "=?=?a"},
    {SLICE_INIT("=?utf-8?q?open =?utf-8?q?a?="), "=?utf-8?q?open a"},
    {SLICE_INIT("=?nonsense?q?=E4?="), "\xc3\xa4"},
    {SLICE_INIT("=?us-ascii?q?=E4?="), "\xc3\xa4"},
    {SLICE_INIT("raw \xe4 and \xc3"), "raw \xc3\xa4 and \xc3\x83"},
    {SLICE_INIT("raw \xc3\xa4"), "raw \xc3\xa4"},
    {SLICE_INIT("fold\r\n ed\n\tline"), "fold ed line"},
    /* nothing can forge a line or a terminal sequence */
    {SLICE_INIT("=?utf-8?q?a=0D=0ABcc:_x=00=1B=7F?="), "a  Bcc: x   "},
    {SLICE_INIT("a\0b\rc"), "a b c"},
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		BUF_CLEANUP struct buf b;

		buf_init(&b, 1000);
		words_decode(rows[i].in, CHARSET_THREAD, &b);
		if (!slice_eq(buf_slice(&b), slice_z(rows[i].out)))
			print_message("%.*s: %.*s\n", SLICE_ARG(rows[i].in), SLICE_ARG(buf_slice(&b)));
		assert_true(slice_eq(buf_slice(&b), slice_z(rows[i].out)));
	}
}

static void
test_floods(void **state)
{
	static const char *const units[] = {
	    "=?", "=?utf-8?q?", "=?utf-8?b?YQ==?= ", "?=", "=?a?q?b?=", "=?a?b?Y", "=?a?q?=?=?b?q?\?="};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(units); i++) {
		BUF_CLEANUP struct buf b;
		BUF_CLEANUP struct buf out;

		buf_init(&b, 1 << 19);
		buf_init(&out, 4 << 20);
		while (b.n + 20 < b.max)
			buf_put_z(&b, units[i]);
		words_decode(buf_slice(&b), CHARSET_FIBER, &out);
		assert_int_equal(out.err, 0);
	}
}

/* Lines keep to their width, and reading gives the text back. */
static void
test_encoding(void **state)
{
	static const char *const texts[] = {"", "plain", "gr\xc3\xbc\xc3\x9f dich", "=?utf-8?q?a?=", " lead", "a  b",
	    "a\x01", CHINESE CHINESE CHINESE CHINESE,
	    "A long subject of plain words that must be folded since it goes on and on beyond the width of a line of "
	    "mail",
	    "Ein langer Betreff mit Umlauten \xc3\xa4\xc3\xb6\xc3\xbc und vielen W\xc3\xb6rtern, der in mehrere "
	    "kodierte W\xc3\xb6rter zerf\xc3\xa4llt"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++)
		for (size_t column = 1; column < 80; column += 6) {
			BUF_CLEANUP struct buf b;
			BUF_CLEANUP struct buf back;
			struct slice rest;
			size_t first = column;

			buf_init(&b, 10000);
			buf_init(&back, 10000);
			words_encode(slice_z(texts[i]), column, &b);
			assert_true(slice_is_ascii(buf_slice(&b)));
			rest = buf_slice(&b);
			while (rest.n > 0) {
				struct slice line = slice_cut(&rest, '\n');

				assert_true(first + line.n <= 79 || first > 60);
				assert_true(rest.p == NULL || slice_trim(line).n > 0 || first > 1);
				first = 0;
			}
			/* Where nothing fitted into the first line it begins with a fold, which readers trim. */
			words_decode(slice_from(buf_slice(&b), slice_starts(buf_slice(&b), SLICE("\r\n ")) ? 3 : 0),
			    CHARSET_FIBER, &back);
			/* a control character comes back as a space */
			if (strchr(texts[i], 1) == NULL)
				assert_true(slice_eq(buf_slice(&back), slice_z(texts[i])));
		}
}

static void
test_long_run(void **state)
{
	BUF_CLEANUP struct buf in;
	BUF_CLEANUP struct buf out;
	struct slice rest;

	(void)state;
	buf_init(&in, 5000);
	buf_init(&out, 50000);
	while (in.n < 5000)
		buf_put_u8(&in, 'x');
	words_encode(buf_slice(&in), 10, &out);
	rest = buf_slice(&out);
	while (rest.n > 0)
		assert_true(slice_cut(&rest, '\n').n <= 78);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_floods),
	    cmocka_unit_test(test_encoding),
	    cmocka_unit_test(test_long_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
