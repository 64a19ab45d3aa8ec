/* mime_test.c: the tree of parts, its offsets, IMAP sections, and floods. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "message/mime.h"

/* One line a part: depth spaces, number, type, "body" with line ends as |. */
static void
show(const struct mime *m, struct buf *out)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct mime_part *p = &m->v[i];
		struct slice body = mime_raw_body(m, p);

		for (size_t k = 0; k < p->depth; k++)
			buf_put_u8(out, ' ');
		mime_put_number(m, p, out);
		buf_printf(out, "(%.*s/%.*s)", SLICE_ARG(p->type), SLICE_ARG(p->subtype));
		if (!p->is_multipart && !p->has_message)
			for (size_t k = 0; k < body.n; k++) {
				if (slice_at(body, k) == '\n')
					buf_put_u8(out, '|');
				else if (slice_at(body, k) != '\r')
					buf_put_u8(out, slice_at(body, k));
			}
		if (p->boundary_missing)
			buf_put_u8(out, '!');
		buf_put_u8(out, '\n');
	}
	buf_put_u8(out, 0);
}

#define MULTI(b) "Content-Type: multipart/mixed; boundary=\"" b "\"\n\n"

static const struct {
	const char *raw, *shown;
} trees[] = {
    {"", "(text/plain)\n"},
    {"\n", "(text/plain)\n"},
    {"\nbody", "(text/plain)body\n"},
    {"A: b\n\nbody\n", "(text/plain)body|\n"},
    {"Content-Type: image/PNG\n\n--x", "(image/png)--x\n"},
    {"Content-Type: text\n\nx", "(text/plain)x\n"},
    {"Content-Type: image\n\nx", "(application/octet-stream)x\n"},
    {"Content-Type: te\xff/x\n\nx", "(application/octet-stream)x\n"},
    {"Content-Type: a/b\nContent-Type: c/d\n\nx", "(a/b)x\n"},
    /* a multipart */
    {MULTI("x") "pre\n--x\n\none\n--x\nContent-Type: a/b\n\ntwo\n\n--x--\nepi\n",
	"(multipart/mixed)\n 1(text/plain)one\n 2(a/b)two|\n"},
    {MULTI("x") "--x\n\none--x\n\n--x--", "(multipart/mixed)\n 1(text/plain)one--x|\n"},
    {MULTI("x") "--x \t\n\none\n--x--  \nepi", "(multipart/mixed)\n 1(text/plain)one\n"},
    {MULTI("x") "--x\n\none\n--xy\nstill\n--x-\nstill\n --x\n--x--",
	"(multipart/mixed)\n 1(text/plain)one|--xy|still|--x-|still| --x\n"},
    {MULTI("x") "--x\n\none\n--x--\n--x\n\nepilogue", "(multipart/mixed)\n 1(text/plain)one\n"},
    {MULTI("x") "--x\n\none", "(multipart/mixed)!\n 1(text/plain)one\n"},
    {MULTI("x") "--x\n--x\n--x--", "(multipart/mixed)\n 1(text/plain)\n 2(text/plain)\n"},
    {MULTI("x") "--x\nA: b\n--x--", "(multipart/mixed)\n 1(text/plain)\n"},
    {MULTI("x") "--x", "(multipart/mixed)!\n 1(text/plain)\n"},
    {MULTI("x") "no part", "(multipart/mixed)no part!\n"},
    {MULTI("") "--\n\nx\n----", "(multipart/mixed)--||x|----\n"},
    {"Content-Type: multipart/mixed\n\n--x\n\n", "(multipart/mixed)--x||\n"},
    {"Content-Type: multipart/mixed; boundary=x \n\n--x\n\na\n--x--", "(multipart/mixed)\n 1(text/plain)a\n"},
    /* nesting */
    {MULTI("a") "--a\n" MULTI("b") "--b\n\n1.1\n--b\n\n1.2\n--b--\n--a\n\n2\n--a--",
	"(multipart/mixed)\n 1(multipart/mixed)\n  1.1(text/plain)1.1\n  1.2(text/plain)1.2\n 2(text/plain)2\n"},
    {MULTI("a") "--a\n" MULTI("b") "--b\n\n1.1\n--a\n\n2\n--a--",
	"(multipart/mixed)\n 1(multipart/mixed)!\n  1.1(text/plain)1.1\n 2(text/plain)2\n"},
    /* one boundary begins like the other, or looks like the other's end */
    {MULTI("a") "--a\n" MULTI("aa") "--aa\n\n1.1\n--aa--\n--a\n\n2\n--a--",
	"(multipart/mixed)\n 1(multipart/mixed)\n  1.1(text/plain)1.1\n 2(text/plain)2\n"},
    {MULTI("a") "--a\n" MULTI("a--") "--a--\n\n1.1\n--a----\n--a\n\n2\n--a--",
	"(multipart/mixed)\n 1(multipart/mixed)\n  1.1(text/plain)1.1\n 2(text/plain)2\n"},
    {MULTI("a") "--a\n" MULTI("a") "--a\n\nx\n--a--\n--a--",
	"(multipart/mixed)\n 1(multipart/mixed)\n  1.1(text/plain)x\n"},
    /* embedded messages */
    {"Content-Type: message/rfc822\n\nSubject: i\n\nbody", "(message/rfc822)\n 1.1(text/plain)body\n"},
    {MULTI("x") "--x\nContent-Type: message/rfc822\n\nS: i\n\nbody\n--x\nContent-Type: message/rfc822\n\n" MULTI(
	 "y") "--y\n\n2.1\n--y\nContent-Type: message/rfc822\n\nS: j\n\nin\n--y--\n--x--",
	"(multipart/mixed)\n 1(message/rfc822)\n  1.1(text/plain)body\n 2(message/rfc822)\n  2(multipart/mixed)\n"
	"   2.1(text/plain)2.1\n   2.2(message/rfc822)\n    2.2.1(text/plain)in\n"},
    {"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeAo=",
	"(message/rfc822)U3ViamVjdDogeAo=\n"},
    {"Content-Type: multipart/digest; boundary=d\n\n--d\n\nS: a\n\none\n--d\nContent-Type: text/plain\n\ntwo\n--d--",
	"(multipart/digest)\n 1(message/rfc822)\n  1.1(text/plain)one\n 2(text/plain)two\n"},
};

static void
crlf(const char *in, struct buf *out)
{
	for (; *in != 0; in++) {
		if (*in == '\n')
			buf_put_u8(out, '\r');
		buf_put_u8(out, (uint8_t)*in);
	}
}

static void
test_trees(void **state)
{
	struct limits limits;

	(void)state;
	limits_default(&limits);
	for (size_t i = 0; i < COUNT_OF(trees) * 2; i++) {
		ARENA_CLEANUP struct arena a;
		BUF_CLEANUP struct buf raw;
		BUF_CLEANUP struct buf b;
		struct mime m;

		buf_init(&raw, 10000);
		buf_init(&b, 10000);
		if (i % 2 == 0)
			buf_put_z(&raw, trees[i / 2].raw);
		else
			crlf(trees[i / 2].raw, &raw);
		arena_init(&a, mime_arena_max(&limits, raw.n));
		assert_int_equal(mime_parse(&a, buf_slice(&raw), &limits, CHARSET_FIBER, &m), 0);
		show(&m, &b);
		if (strcmp((char *)b.p, trees[i / 2].shown) != 0)
			print_message("%s\n", trees[i / 2].raw);
		assert_string_equal((char *)b.p, trees[i / 2].shown);
	}
}

static void
test_fields(void **state)
{
	static const char raw[] =
	    "Content-Type: Text/Plain; charset=ISO-8859-1; name=n.txt\r\n"
	    "Content-Transfer-Encoding: Quoted-Printable\r\nContent-ID: <a@b>\r\nContent-Description: a\r\n "
	    "b\r\nContent-MD5: x==\r\n"
	    "Content-Location: http://x/\r\nContent-Language: en, de (German)\r\n"
	    "Content-Disposition: Attachment; filename*=utf-8''%C3%A4; size=3\r\n\r\nH=E4\r\nlast";
	ARENA_CLEANUP struct arena a;
	BUF_CLEANUP struct buf b;
	struct limits limits;
	struct mime m;
	const struct mime_part *p;
	struct header h;

	(void)state;
	limits_default(&limits);
	arena_init(&a, 1 << 20);
	buf_init(&b, 1000);
	assert_int_equal(mime_parse(&a, slice_z(raw), &limits, CHARSET_FIBER, &m), 0);
	p = &m.v[0];
	assert_true(
	    mime_is(p, SLICE("text"), SLICE("plain")) && mime_is(p, SLICE("text"), SLICE_EMPTY) && p->type_given);
	assert_true(slice_eq(p->charset, SLICE("ISO-8859-1")) && slice_eq(p->filename, SLICE("\xc3\xa4")));
	assert_true(p->encoding == ENCODING_QP && slice_eq(p->encoding_given, SLICE("quoted-printable")));
	assert_true(slice_eq(p->id, SLICE("<a@b>")) && slice_eq(p->description, SLICE("a b")) &&
	    slice_eq(p->md5, SLICE("x==")));
	assert_true(slice_eq(p->location, SLICE("http://x/")) && p->languages.n == 2 &&
	    slice_eq(p->languages.v[1], SLICE("de")));
	assert_true(slice_eq(p->disposition, SLICE("attachment")) && p->disposition_params.n == 2);
	assert_int_equal(p->header_lines, 10);
	assert_int_equal(p->body_lines, 2);
	assert_true(mime_decode(&m, p, &b));
	assert_true(slice_eq(buf_slice(&b), SLICE("H\xe4\r\nlast")));
	assert_int_equal(mime_header(&a, &m, p, &limits, &h), 0);
	assert_int_equal(h.n, 8);
}

static const char sections[] =
    "Subject: top\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
    "--x\r\n\r\none\r\n--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nbody\r\n"
    "--x\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed; "
    "boundary=y\r\n\r\n--y\r\n\r\nthree\r\n--y--\r\n--x--\r\n";

static void
test_sections(void **state)
{
	static const struct {
		uint32_t path[4];
		size_t n;
		enum mime_section s;
		const char *text; /* NULL: not there */
	} rows[] = {
	    {{0}, 0, MIME_SECTION_HEADER, "Subject: top\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"},
	    {{0}, 0, MIME_SECTION_MIME, NULL},
	    {{1}, 1, MIME_SECTION_ALL, "one"},
	    {{1}, 1, MIME_SECTION_MIME, "\r\n"},
	    {{1}, 1, MIME_SECTION_HEADER, NULL},
	    {{1}, 1, MIME_SECTION_TEXT, NULL},
	    {{1, 1}, 2, MIME_SECTION_ALL, NULL},
	    {{0}, 1, MIME_SECTION_ALL, NULL},
	    {{4}, 1, MIME_SECTION_ALL, NULL},
	    {{2}, 1, MIME_SECTION_ALL, "Subject: in\r\n\r\nbody"},
	    {{2}, 1, MIME_SECTION_MIME, "Content-Type: message/rfc822\r\n\r\n"},
	    {{2}, 1, MIME_SECTION_HEADER, "Subject: in\r\n\r\n"},
	    {{2}, 1, MIME_SECTION_TEXT, "body"},
	    {{2, 1}, 2, MIME_SECTION_ALL, "body"},
	    {{2, 1}, 2, MIME_SECTION_MIME, "Subject: in\r\n\r\n"},
	    {{2, 2}, 2, MIME_SECTION_ALL, NULL},
	    {{2, 1, 1}, 3, MIME_SECTION_ALL, NULL},
	    {{3, 1}, 2, MIME_SECTION_ALL, "three"},
	    {{3}, 1, MIME_SECTION_TEXT, "--y\r\n\r\nthree\r\n--y--"},
	    {{3, 1, 1}, 3, MIME_SECTION_ALL, NULL},
	};
	ARENA_CLEANUP struct arena a;
	struct limits limits;
	struct slice out;
	struct mime m;

	(void)state;
	limits_default(&limits);
	arena_init(&a, 1 << 20);
	assert_int_equal(mime_parse(&a, slice_z(sections), &limits, CHARSET_FIBER, &m), 0);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		int err = mime_section(&m, rows[i].path, rows[i].n, rows[i].s, &out);

		if ((err == 0) != (rows[i].text != NULL) || (err == 0 && !slice_eq(out, slice_z(rows[i].text))))
			print_message("row %zu: %d %.*s\n", i, err, SLICE_ARG(out));
		assert_int_equal(err, rows[i].text == NULL ? ERR_NOTFOUND : 0);
		if (err == 0)
			assert_true(slice_eq(out, slice_z(rows[i].text)));
	}
	assert_int_equal(mime_section(&m, NULL, 0, MIME_SECTION_ALL, &out), 0);
	assert_int_equal(out.n, strlen(sections));
	assert_ptr_equal(mime_message_of(&m, &m.v[0]), &m.v[0]);
	assert_ptr_equal(mime_message_of(&m, &m.v[2]), &m.v[3]);
	assert_null(mime_message_of(&m, &m.v[1]));
	/* In a simple message 1 is its body. */
	assert_int_equal(mime_parse(&a, SLICE("A: b\n\nbody"), &limits, CHARSET_FIBER, &m), 0);
	assert_int_equal(mime_section(&m, (const uint32_t[]){1}, 1, MIME_SECTION_ALL, &out), 0);
	assert_true(slice_eq(out, SLICE("body")));
	assert_int_equal(mime_section(&m, (const uint32_t[]){1, 1}, 2, MIME_SECTION_ALL, &out), ERR_NOTFOUND);
}

static void
parse_flood(struct buf *raw, size_t *parts, bool *limited, size_t *depth)
{
	ARENA_CLEANUP struct arena a;
	struct limits limits;
	struct mime m;

	limits_default(&limits);
	arena_init(&a, mime_arena_max(&limits, raw->n));
	assert_int_equal(raw->err, 0);
	assert_int_equal(mime_parse(&a, buf_slice(raw), &limits, CHARSET_FIBER, &m), 0);
	*parts = m.n;
	*limited = m.limited;
	*depth = 0;
	for (size_t i = 0; i < m.n; i++)
		if (m.v[i].depth > *depth)
			*depth = m.v[i].depth;
	assert_int_equal(m.v[0].body_end, raw->n);
}

static void
test_many_parts(void **state)
{
	BUF_CLEANUP struct buf raw;
	size_t parts, depth;
	bool limited;

	(void)state;
	buf_init(&raw, 4 << 20);
	buf_put_z(&raw, MULTI("x"));
	for (int i = 0; i < 10000; i++)
		buf_put_z(&raw, "--x\n\nbody\n");
	buf_put_z(&raw, "--x--\n");
	parse_flood(&raw, &parts, &limited, &depth);
	assert_int_equal(parts, 1000);
	assert_true(limited);
}

static void
test_deep(void **state)
{
	size_t parts, depth;
	bool limited;

	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		BUF_CLEANUP struct buf raw;

		buf_init(&raw, 8 << 20);
		for (int i = 0; i < 1000; i++) {
			if (kind == 0 || (kind == 2 && i % 2 == 0))
				buf_printf(&raw, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i);
			else
				buf_put_z(&raw, "Content-Type: message/rfc822\n\n");
		}
		buf_put_z(&raw, "\nend\n");
		for (int i = 0; i < 100000; i++)
			buf_put_z(&raw, "--b\n");
		parse_flood(&raw, &parts, &limited, &depth);
		assert_int_equal(depth, 50);
		assert_int_equal(parts, 51);
		assert_true(limited);
	}
}

/* Megabytes of what could be looked at again and again. */
static void
test_floods(void **state)
{
	static const char *const units[] = {"A: b\n", "\n--", "--x\n", "--x",
	    "--x\nContent-Type: multipart/mixed; boundary=x\n\n", "--x\nContent-Type: message/rfc822\n\n", "-\n", "\r",
	    "a:\n ", "Content-Type: a/b; c=d\n", "--x--\n", "\0"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(units); i++) {
		BUF_CLEANUP struct buf raw;
		size_t parts, depth;
		bool limited;

		buf_init(&raw, 4 << 20);
		buf_put_z(&raw, MULTI("x"));
		while (raw.n + 100 < raw.max)
			buf_put(&raw, units[i][0] == 0 ? SLICE("\0") : slice_z(units[i]));
		parse_flood(&raw, &parts, &limited, &depth);
	}
}

/* Cut anywhere, a message is still read, and nothing lies outside it. */
static void
test_truncation(void **state)
{
	struct limits limits;

	(void)state;
	limits_default(&limits);
	for (size_t n = 0; n <= strlen(sections); n++) {
		ARENA_CLEANUP struct arena a;
		struct mime m;
		/* A copy of its own, so that reading past its end is seen. */
		uint8_t *copy = malloc(n + 1);

		memcpy(copy, sections, n);
		copy = realloc(copy, n == 0 ? 1 : n);
		arena_init(&a, mime_arena_max(&limits, n));
		assert_int_equal(mime_parse(&a, slice_of(copy, n), &limits, CHARSET_FIBER, &m), 0);
		for (size_t i = 0; i < m.n; i++)
			assert_true(m.v[i].body_end <= n && m.v[i].header_end <= m.v[i].body_end);
		free(copy);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_trees),
	    cmocka_unit_test(test_fields),
	    cmocka_unit_test(test_sections),
	    cmocka_unit_test(test_many_parts),
	    cmocka_unit_test(test_deep),
	    cmocka_unit_test(test_floods),
	    cmocka_unit_test(test_truncation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
