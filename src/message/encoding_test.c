/* encoding_test.c: transfer encodings. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "message/encoding.h"

static const struct {
	enum encoding e;
	struct slice in, out;
	bool good;
} rows[] = {
    {ENCODING_7BIT, SLICE_INIT("a\r\n\0b"), SLICE_INIT("a\r\n\0b"), true},
    {ENCODING_BASE64, SLICE_INIT(""), SLICE_INIT(""), true},
    {ENCODING_BASE64, SLICE_INIT("YQ=="), SLICE_INIT("a"), true},
    {ENCODING_BASE64, SLICE_INIT("YW\r\nI="), SLICE_INIT("ab"), true},
    {ENCODING_BASE64, SLICE_INIT("YWJj"), SLICE_INIT("abc"), true},
    {ENCODING_BASE64, SLICE_INIT("YQ==\r\n____\r\nlist footer"), SLICE_INIT("a"), false},
    {ENCODING_BASE64, SLICE_INIT("YQ"), SLICE_INIT("a"), false},
    {ENCODING_BASE64, SLICE_INIT("YWI"), SLICE_INIT("ab"), false},
    {ENCODING_BASE64, SLICE_INIT("YWJjY"), SLICE_INIT("abc"), false},
    {ENCODING_BASE64, SLICE_INIT("Y!W*Jj\xff"), SLICE_INIT("abc"), false},
    {ENCODING_BASE64, SLICE_INIT("===="), SLICE_INIT(""), true},
    {ENCODING_QP, SLICE_INIT("a=3Db"), SLICE_INIT("a=b"), true},
    {ENCODING_QP, SLICE_INIT("a=3db=e4"), SLICE_INIT("a=b\xe4"), true},
    {ENCODING_QP, SLICE_INIT("a=\r\nb"), SLICE_INIT("ab"), true},
    {ENCODING_QP, SLICE_INIT("a=\nb"), SLICE_INIT("ab"), true},
    {ENCODING_QP, SLICE_INIT("a= \t\r\nb"), SLICE_INIT("ab"), true},
    {ENCODING_QP, SLICE_INIT("a \t\r\nb  \nc"), SLICE_INIT("a\r\nb\nc"), true},
    {ENCODING_QP, SLICE_INIT("a \r\nb \t "), SLICE_INIT("a\r\nb"), true},
    {ENCODING_QP, SLICE_INIT("a b= "), SLICE_INIT("a b"), true},
    {ENCODING_QP, SLICE_INIT("a b =20 "), SLICE_INIT("a b  "), true},
    {ENCODING_QP, SLICE_INIT(" =4"), SLICE_INIT(" =4"), false},
    {ENCODING_QP, SLICE_INIT("a \r"), SLICE_INIT("a \r"), true},
    {ENCODING_QP, SLICE_INIT("   "), SLICE_INIT(""), true},
    {ENCODING_QP, SLICE_INIT("a b=20\r\n"), SLICE_INIT("a b \r\n"), true},
    {ENCODING_QP, SLICE_INIT("a \rb"), SLICE_INIT("a \rb"), true},
    {ENCODING_QP, SLICE_INIT("a=XYb"), SLICE_INIT("a=XYb"), false},
    {ENCODING_QP, SLICE_INIT("a=4"), SLICE_INIT("a=4"), false},
    {ENCODING_QP, SLICE_INIT("a=4=41"), SLICE_INIT("a=4A"), false},
    {ENCODING_QP, SLICE_INIT("a=="), SLICE_INIT("a="), false},
    {ENCODING_QP, SLICE_INIT("a="), SLICE_INIT("a"), true},
    {ENCODING_QP, SLICE_INIT("a= x"), SLICE_INIT("a= x"), false},
    {ENCODING_QP, SLICE_INIT("\xe4\0="), SLICE_INIT("\xe4\0"), true},
    {ENCODING_UUENCODE, SLICE_INIT("junk\r\nbegin 644 cat.txt\r\n#0V%T\r\n`\r\nend\r\nmore"), SLICE_INIT("Cat"), true},
    {ENCODING_UUENCODE, SLICE_INIT("begin 644 c\n#0V%T\n"), SLICE_INIT("Cat"), false},
    {ENCODING_UUENCODE, SLICE_INIT("begin 644 c\n#0V\nend\n"), SLICE_INIT("C`\0"), false},
    {ENCODING_UUENCODE, SLICE_INIT("nothing"), SLICE_INIT(""), false},
    {ENCODING_UNKNOWN, SLICE_INIT("=41"), SLICE_INIT("=41"), true},
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		BUF_CLEANUP struct buf b;
		bool good;

		buf_init(&b, 1000);
		good = encoding_decode(rows[i].e, rows[i].in, &b);
		if (good != rows[i].good || !slice_eq(buf_slice(&b), rows[i].out))
			print_message("row %zu: %d %.*s\n", i, good, SLICE_ARG(buf_slice(&b)));
		assert_true(slice_eq(buf_slice(&b), rows[i].out));
		assert_int_equal(good, rows[i].good);
	}
}

/* Byte by byte gives the same as all at once. */
static void
test_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		BUF_CLEANUP struct buf b;
		struct decoder d;

		buf_init(&b, 1000);
		decoder_init(&d, rows[i].e);
		for (size_t k = 0; k < rows[i].in.n; k++)
			decoder_feed(&d, slice_range(rows[i].in, k, k + 1), &b);
		decoder_end(&d, &b);
		assert_true(slice_eq(buf_slice(&b), rows[i].out));
		assert_int_equal(!d.damaged, rows[i].good);
	}
}

static void
test_full(void **state)
{
	static const enum encoding all[] = {ENCODING_7BIT, ENCODING_QP, ENCODING_BASE64};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(all); i++) {
		BUF_CLEANUP struct buf b;

		buf_init(&b, 5);
		assert_false(encoding_decode(all[i], SLICE("YWJjYWJjYWJjYWJj"), &b));
		assert_int_equal(b.err, ERR_LIMIT);
		assert_int_equal(b.n, 5);
	}
}

static void
test_names(void **state)
{
	(void)state;
	assert_int_equal(encoding_parse(SLICE("")), ENCODING_7BIT);
	assert_int_equal(encoding_parse(SLICE(" Base64 ")), ENCODING_BASE64);
	assert_int_equal(encoding_parse(SLICE("(a (b)) \"quoted-printable\"; x")), ENCODING_QP);
	assert_int_equal(encoding_parse(SLICE("X-UUEncode")), ENCODING_UUENCODE);
	assert_int_equal(encoding_parse(SLICE("8bit")), ENCODING_8BIT);
	assert_int_equal(encoding_parse(SLICE("rot13")), ENCODING_UNKNOWN);
	assert_string_equal(encoding_name(ENCODING_QP), "quoted-printable");
	assert_string_equal(encoding_name(ENCODING_UNKNOWN), "unknown");
}

static void
check_written(struct slice in, enum encoding e, const char *written)
{
	BUF_CLEANUP struct buf b;

	buf_init(&b, 100000);
	encoding_encode(e, in, &b);
	assert_true(slice_eq(buf_slice(&b), slice_z(written)));
}

static void
test_writing(void **state)
{
	BUF_CLEANUP struct buf lines;

	(void)state;
	check_written(SLICE("a\nb\r\nc"), ENCODING_7BIT, "a\r\nb\r\nc");
	check_written(SLICE("gr\xc3\xbc\xc3\x9f = \nFrom x\n.\nend "), ENCODING_QP,
	    "gr=C3=BC=C3=9F =3D=20\r\n=46rom x\r\n=2E\r\nend=20");
	check_written(SLICE("abcd"), ENCODING_BASE64, "YWJjZA==\r\n");
	assert_int_equal(encoding_choose(SLICE("plain\r\ntext")), ENCODING_7BIT);
	assert_int_equal(encoding_choose(SLICE("a text that is mostly ASCII with one \xc3\xa4")), ENCODING_QP);
	assert_int_equal(encoding_choose(SLICE("\xc3\xa4\xc3\xa4\xc3\xa4")), ENCODING_BASE64);
	assert_int_equal(encoding_choose(SLICE("bare \r in a text that is plain otherwise")), ENCODING_QP);
	buf_init(&lines, 4000);
	for (int i = 0; i < 998; i++)
		buf_put_u8(&lines, 'x');
	assert_int_equal(encoding_choose(buf_slice(&lines)), ENCODING_7BIT);
	buf_put_u8(&lines, 'x');
	assert_int_equal(encoding_choose(buf_slice(&lines)), ENCODING_QP);
}

/* Whatever is encoded keeps to 76 columns and comes back. */
static void
test_round_trip(void **state)
{
	BUF_CLEANUP struct buf in;

	(void)state;
	buf_init(&in, 5000);
	for (unsigned i = 0; i < 5000; i++)
		buf_put_u8(&in, (uint8_t)(i * 2654435761u >> 21));
	for (size_t n = 0; n < 5000; n = n * 5 / 4 + 1) {
		struct slice s = slice_head(buf_slice(&in), n);

		for (int round = 0; round < 2; round++) {
			BUF_CLEANUP struct buf coded;
			BUF_CLEANUP struct buf back;
			struct slice rest;

			buf_init(&coded, 30000);
			buf_init(&back, 30000);
			if (round == 0)
				encoding_put_base64(s, &coded);
			else
				encoding_put_qp(s, false, &coded);
			rest = buf_slice(&coded);
			while (rest.n > 0)
				assert_true(slice_cut(&rest, '\n').n <= 77);
			assert_true(
			    encoding_decode(round == 0 ? ENCODING_BASE64 : ENCODING_QP, buf_slice(&coded), &back));
			assert_true(slice_eq(buf_slice(&back), s));
		}
	}
}

#define VECTORS "../shared/vectors/mime/tests/data/encodings/"

static struct slice
file(const char *name, struct buf *b)
{
	char path[200];
	FILE *f;
	size_t n;

	(void)snprintf(path, sizeof(path), VECTORS "%s", name);
	f = fopen(path, "rb");
	assert_non_null(f);
	buf_init(b, 1 << 20);
	while ((n = fread(buf_reserve(b, 4096), 1, 4096, f)) > 0)
		buf_added(b, n);
	(void)fclose(f);
	return buf_slice(b);
}

static void
test_vectors(void **state)
{
	static const struct {
		const char *coded, *plain;
		enum encoding e;
	} files[] = {{"photo.b64", "photo.jpg", ENCODING_BASE64}, {"photo.uu", "photo.jpg", ENCODING_UUENCODE},
	    {"wikipedia.qp", "wikipedia.txt", ENCODING_QP}};

	(void)state;
	if (access(VECTORS, R_OK) != 0)
		skip();
	for (size_t i = 0; i < COUNT_OF(files); i++) {
		BUF_CLEANUP struct buf coded;
		BUF_CLEANUP struct buf plain;
		BUF_CLEANUP struct buf out;

		buf_init(&out, 1 << 20);
		assert_true(encoding_decode(files[i].e, file(files[i].coded, &coded), &out));
		assert_true(slice_eq(buf_slice(&out), file(files[i].plain, &plain)));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_pieces),
	    cmocka_unit_test(test_full),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_writing),
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
