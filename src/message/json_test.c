/* json_test.c: what is printed is JSON that says what the message says; every message of a corpus, and damaged ones,
 * can be printed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "message/json.h"

#include <ftw.h>
#include <jansson.h>

#define CORPUS "../shared/corpus"

#define SAMPLE slice_of(sample, sizeof(sample) - 1)

static const char sample[] =
    "From: =?utf-8?q?J=C3=B6rg?= <j@x.test>\r\nTo: G: a@b.test;, \"Q, R\" <q@r.test>\r\n"
    "Date: Sun, 22 Nov 2026 02:42:26 +0100\r\nSubject: Re: [list] =?iso-2022-jp?B?GyRCRnxLXBsoQg==?=\r\n"
    "Message-ID: <m@x>\r\nReferences: <a@x> <b@x>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    "--b\r\nContent-Type: text/plain; charset=koi8-r\r\nContent-Transfer-Encoding: base64\r\n\r\nwQ==\r\n"
    "--b\r\nContent-Type: image/png; name*=utf-8''%C3%A4.png\r\nContent-Disposition: "
    "attachment\r\n\r\nx\0y\r\n--b--\r\n";

static const char *
str(json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	assert_non_null(s);
	return s;
}

static void
test_json(void **state)
{
	struct house h;
	BUF_CLEANUP struct buf b;
	json_t *top, *part, *to;
	json_error_t err;

	(void)state;
	house_init(&h, "test");
	buf_init(&b, 1 << 20);
	assert_int_equal(message_print_json(&h, SAMPLE, &b), 0);
	assert_int_equal(b.p[b.n - 1], '\n');
	top = json_loadb((char *)b.p, b.n, 0, &err);
	assert_non_null(top);
	assert_string_equal(str(top, "subject"), "Re: [list] \xe6\x97\xa5\xe6\x9c\xac");
	assert_string_equal(str(top, "base_subject"), "\xe6\x97\xa5\xe6\x9c\xac");
	assert_string_equal(str(top, "message_id"), "m@x");
	assert_int_equal(json_array_size(json_object_get(top, "references")), 2);
	assert_string_equal(str(json_object_get(top, "date"), "utc"), "2026-11-22T01:42:26.000Z");
	assert_string_equal(str(json_array_get(json_object_get(top, "from"), 0), "name"), "J\xc3\xb6rg");
	to = json_object_get(top, "to");
	assert_int_equal(json_array_size(to), 4);
	assert_string_equal(str(json_array_get(to, 0), "group"), "G");
	assert_string_equal(str(json_array_get(to, 3), "address"), "q@r.test");
	assert_int_equal(json_array_size(json_object_get(top, "headers")), 7);
	assert_int_equal(json_array_size(json_object_get(top, "parts")), 3);
	part = json_array_get(json_object_get(top, "parts"), 1);
	assert_string_equal(str(part, "section"), "1");
	assert_string_equal(str(part, "text"), "\xd0\xb0");
	assert_int_equal(json_integer_value(json_object_get(part, "size_bytes")), 4);
	assert_int_equal(json_integer_value(json_object_get(part, "decoded_bytes")), 1);
	part = json_array_get(json_object_get(top, "parts"), 2);
	assert_string_equal(str(part, "filename"), "\xc3\xa4.png");
	assert_string_equal(str(json_object_get(part, "parameters"), "name"), "\xc3\xa4.png");
	json_decref(top);
}

static void
test_text(void **state)
{
	struct house h;
	BUF_CLEANUP struct buf b;

	(void)state;
	house_init(&h, "test");
	buf_init(&b, 1 << 20);
	assert_int_equal(message_print_text(&h, SAMPLE, &b), 0);
	assert_true(slice_find(buf_slice(&b), SLICE("From         J\xc3\xb6rg <j@x.test>\n")) != SLICE_NONE);
	assert_true(
	    slice_find(buf_slice(&b), SLICE("  1 text/plain, koi8-r, base64, 4 bytes, 1 lines\n")) != SLICE_NONE);
	assert_true(slice_find(buf_slice(&b), SLICE("  2 image/png, 7bit, 3 bytes, 1 lines, \"\xc3\xa4.png\"\n")) !=
	    SLICE_NONE);
}

static void
test_full(void **state)
{
	struct house h;

	(void)state;
	house_init(&h, "test");
	for (size_t max = 0; max < 2000; max += 100) {
		BUF_CLEANUP struct buf b;

		buf_init(&b, max);
		assert_int_equal(message_print_json(&h, SAMPLE, &b), ERR_LIMIT);
	}
}

/* Must give valid JSON that is one line. */
static void
print_one(struct house *h, struct slice raw)
{
	BUF_CLEANUP struct buf b;
	json_t *top;

	buf_init(&b, 256 << 20);
	assert_int_equal(message_print_json(h, raw, &b), 0);
	assert_int_equal(slice_find_byte(buf_slice(&b), '\n'), b.n - 1);
	top = json_loadb((char *)b.p, b.n, JSON_ALLOW_NUL, NULL);
	assert_non_null(top);
	json_decref(top);
	buf_reset(&b);
	assert_int_equal(message_print_text(h, raw, &b), 0);
}

static void
test_damaged(void **state)
{
	struct house h;
	uint8_t copy[sizeof(sample)];

	(void)state;
	house_init(&h, "test");
	for (size_t n = 0; n < sizeof(sample); n += 3)
		print_one(&h, slice_of(sample, n));
	for (size_t i = 0; i < 300; i++) {
		memcpy(copy, sample, sizeof(sample));
		for (size_t k = 0; k < 5; k++)
			copy[(i * 7919 + k * 104729) % sizeof(copy)] = (uint8_t)(i * 31 + k * 57);
		print_one(&h, slice_of(copy, sizeof(copy)));
	}
}

/* nftw() has no place for a context: this is the test's only one. */
static struct {
	struct house h;
	size_t messages;
} corpus;

static int
corpus_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	FILE *f;
	uint8_t *p;

	(void)ftw;
	if (type != FTW_F || st->st_size == 0)
		return 0;
	f = fopen(path, "rb");
	assert_non_null(f);
	p = malloc((size_t)st->st_size);
	assert_non_null(p);
	assert_int_equal(fread(p, 1, (size_t)st->st_size, f), st->st_size);
	(void)fclose(f);
	print_one(&corpus.h, slice_of(p, (size_t)st->st_size));
	free(p);
	corpus.messages++;
	return 0;
}

static void
test_corpus(void **state)
{
	(void)state;
	if (access(CORPUS, R_OK) != 0)
		skip();
	house_init(&corpus.h, "test");
	assert_int_equal(nftw(CORPUS, corpus_file, 20, FTW_PHYS), 0);
	assert_true(corpus.messages > 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_json),
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_full),
	    cmocka_unit_test(test_damaged),
	    cmocka_unit_test(test_corpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
