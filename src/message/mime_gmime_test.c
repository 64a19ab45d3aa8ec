/* mime_gmime_test.c: GMime as an oracle. The same messages are read by both; types, nesting, decoded content and
 * decoded headers must agree, except for the differences that are listed, with their reasons, in `known`. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "message/mime.h"
#include "message/words.h"

#ifdef HAVE_GMIME

#include <ftw.h>
#include <gmime/gmime.h>

#define CORPUS "../shared/corpus"

enum difference { SAME, TYPE, CHILDREN, CONTENT, HEADER_COUNT, HEADER_NAME, HEADER_VALUE, DIFFERENCES };
static const char *const difference_names[] = {
    "same", "type", "children", "content", "header count", "header name", "header value"};

/* Why a difference is right on our side. Every one that is met must match a row, and no row may excuse more than
 * its share of the corpus. */
enum reason { QP_WHITE_SPACE, QP_STRAY, BASE64_PADDING, CHARSET, REASONS };
static const struct {
	const char *text;
	size_t per_thousand; /* messages, at most */
} known[REASONS] = {
    [QP_WHITE_SPACE] =
	{"quoted-printable: GMime keeps white space at the ends of lines, RFC 2045 §6.7 (3) has it removed", 60},
    [QP_STRAY] =
	{"quoted-printable with lines of bare = signs: GMime takes what follows \"==\" as text, we read an escape or a "
	 "soft line break that the second = begins",
	    2},
    [BASE64_PADDING] = {"base64 that lacks its padding: GMime drops the last byte, we keep it", 2},
    [CHARSET] =
	{"encoded words: GMime stops in iso-2022-jp that is split between words, reads 0x80..0x9f of iso-8859-1 as "
	 "control characters where mailers mean windows-1252, and replaces bad characters by ? and not U+FFFD",
	    3},
};

static struct {
	struct limits limits;
	size_t messages, parts, headers;
	size_t seen[REASONS];
	size_t unexplained;
} run;

struct pair {
	const struct mime *m;
	enum difference d;
	bool explained;
	enum reason reason;
	struct buf note;
};

static void PRINTF_LIKE(3, 4) differ(struct pair *p, enum difference d, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	if (p->d != SAME)
		return;
	p->d = d;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_put_z(&p->note, text);
}

static void
explain(struct pair *p, enum reason reason)
{
	p->explained = true;
	p->reason = reason;
}

/* Without spaces and TABs before line ends. */
static struct slice
right_trimmed(struct arena *a, struct slice s)
{
	uint8_t *out = arena_alloc(a, s.n);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (c == '\r')
			continue;
		if (c == '\n')
			while (n > 0 && (out[n - 1] == ' ' || out[n - 1] == '\t'))
				n--;
		out[n++] = c;
	}
	return slice_trim(slice_of(out, n));
}

static void
explain_content(struct pair *p, const struct mime_part *part, struct slice ours, struct slice theirs)
{
	ARENA_CLEANUP struct arena a;

	arena_init(&a, ours.n + theirs.n + 1000);
	if (part->encoding == ENCODING_QP && slice_eq(right_trimmed(&a, ours), right_trimmed(&a, theirs)))
		explain(p, QP_WHITE_SPACE);
	else if (part->encoding == ENCODING_QP && slice_find(mime_raw_body(p->m, part), SLICE("==")) != SLICE_NONE)
		explain(p, QP_STRAY);
	else if (part->encoding == ENCODING_BASE64 && ours.n == theirs.n + 1 && slice_starts(ours, theirs) &&
	    !slice_ends(slice_trim(mime_raw_body(p->m, part)), SLICE("=")))
		explain(p, BASE64_PADDING);
}

static void
compare_content(struct pair *p, const struct mime_part *ours, GMimePart *theirs)
{
	GMimeDataWrapper *w = g_mime_part_get_content(theirs);
	GMimeStream *mem = g_mime_stream_mem_new();
	BUF_CLEANUP struct buf b;
	GByteArray *bytes;

	buf_init(&b, p->m->raw.n * 2 + 64);
	(void)mime_decode(p->m, ours, &b);
	if (w != NULL)
		(void)g_mime_data_wrapper_write_to_stream(w, mem);
	bytes = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(mem));
	if (!slice_eq(buf_slice(&b), slice_of(bytes->data, bytes->len))) {
		explain_content(p, ours, buf_slice(&b), slice_of(bytes->data, bytes->len));
		differ(p, CONTENT, "%zu bytes, theirs %u (%s)", b.n, bytes->len, encoding_name(ours->encoding));
	}
	g_object_unref(mem);
}

/* Of the fields of a message GMime gives the Content- ones to its part. */
enum which { ALL_FIELDS, MESSAGE_FIELDS, CONTENT_FIELDS };

static bool
wanted(struct slice name, enum which which)
{
	return which == ALL_FIELDS || slice_istarts(name, SLICE("Content-")) == (which == CONTENT_FIELDS);
}

/* GMime keeps the TAB of folding and control characters, where we give a space. */
static struct slice
tidy(struct arena *a, const char *z)
{
	char *copy = arena_z(a, slice_z(z));

	for (char *c = copy; *c != 0; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	return slice_trim(slice_z(copy));
}

static void
compare_field(struct pair *p, const struct header_field *f, GMimeHeader *t, struct arena *a)
{
	char *unfolded = g_mime_utils_header_unfold(g_mime_header_get_raw_value(t));
	char *text = g_mime_utils_header_decode_text(NULL, unfolded);
	struct slice mine = header_text(a, f->value, CHARSET_THREAD), their = tidy(a, text);

	run.headers++;
	if (!slice_ieq(f->name, slice_z(g_mime_header_get_name(t))))
		differ(p, HEADER_NAME, "%.*s, theirs %s", SLICE_ARG(f->name), g_mime_header_get_name(t));
	else if (!slice_eq(mine, their)) {
		if (slice_ifind(f->value, SLICE("=?iso-2022-jp?")) != SLICE_NONE ||
		    (slice_ifind(f->value, SLICE("=?iso-8859-1?Q?")) != SLICE_NONE &&
			slice_find(f->value, SLICE("=9")) != SLICE_NONE) ||
		    (slice_find(f->value, SLICE("=?")) != SLICE_NONE &&
			slice_find(mine, SLICE("\xef\xbf\xbd")) != SLICE_NONE))
			explain(p, CHARSET);
		differ(p, HEADER_VALUE, "%.*s: [%.*s], theirs [%.*s]", SLICE_ARG(f->name), SLICE_ARG(mine),
		    SLICE_ARG(their));
	}
	g_free(text);
	g_free(unfolded);
}

static void
compare_headers(struct pair *p, const struct mime_part *ours, GMimeObject *theirs, enum which which)
{
	GMimeHeaderList *list = g_mime_object_get_header_list(theirs);
	int n = g_mime_header_list_get_count(list), k = 0;
	ARENA_CLEANUP struct arena a;
	struct header h;

	arena_init(&a, 64 << 20);
	assert_int_equal(mime_header(&a, p->m, ours, &run.limits, &h), 0);
	for (size_t i = 0; i < h.n && p->d == SAME; i++) {
		if (!wanted(h.v[i].name, which))
			continue;
		if (k < n)
			compare_field(p, &h.v[i], g_mime_header_list_get_header_at(list, k), &a);
		k++;
	}
	if (k != n)
		differ(p, HEADER_COUNT, "%d, theirs %d", k, n);
}

static void
compare(struct pair *p, const struct mime_part *ours, GMimeObject *theirs)
{
	GMimeContentType *ct = g_mime_object_get_content_type(theirs);
	const struct mime *m = p->m;

	run.parts++;
	if (!slice_ieq(ours->type, slice_z(g_mime_content_type_get_media_type(ct))) ||
	    !slice_ieq(ours->subtype, slice_z(g_mime_content_type_get_media_subtype(ct))))
		differ(p, TYPE, "%.*s/%.*s, theirs %s/%s", SLICE_ARG(ours->type), SLICE_ARG(ours->subtype),
		    g_mime_content_type_get_media_type(ct), g_mime_content_type_get_media_subtype(ct));
	compare_headers(p, ours, theirs, ours->is_message ? CONTENT_FIELDS : ALL_FIELDS);
	if (GMIME_IS_MULTIPART(theirs)) {
		GMimeMultipart *mp = GMIME_MULTIPART(theirs);
		size_t i = ours->first_child;

		if ((int)ours->children != g_mime_multipart_get_count(mp))
			differ(p, CHILDREN, "%zu, theirs %d", ours->children, g_mime_multipart_get_count(mp));
		for (int k = 0; i != MIME_NONE && p->d == SAME; k++, i = m->v[i].next)
			compare(p, &m->v[i], g_mime_multipart_get_part(mp, k));
	} else if (GMIME_IS_MESSAGE_PART(theirs)) {
		GMimeMessage *inner = g_mime_message_part_get_message(GMIME_MESSAGE_PART(theirs));

		if (ours->has_message != (inner != NULL))
			differ(p, CHILDREN, "%zu, theirs %d", ours->children, inner != NULL);
		else if (inner != NULL) {
			compare_headers(p, &m->v[ours->first_child], GMIME_OBJECT(inner), MESSAGE_FIELDS);
			compare(p, &m->v[ours->first_child], g_mime_message_get_mime_part(inner));
		}
	} else if (ours->children > 0) {
		differ(p, CHILDREN, "%zu, theirs a leaf", ours->children);
	} else {
		compare_content(p, ours, GMIME_PART(theirs));
	}
}

/* Compares one message; an unexplained difference is printed and counted. */
static void
compare_message(const char *name, struct slice raw)
{
	GMimeStream *stream = g_mime_stream_mem_new_with_buffer((const char *)raw.p, raw.n);
	GMimeParser *parser = g_mime_parser_new_with_stream(stream);
	GMimeMessage *theirs = g_mime_parser_construct_message(parser, NULL);
	ARENA_CLEANUP struct arena a;
	struct mime m;
	struct pair p = {.m = &m};

	arena_init(&a, mime_arena_max(&run.limits, raw.n));
	assert_int_equal(mime_parse(&a, raw, &run.limits, CHARSET_THREAD, &m), 0);
	assert_non_null(theirs);
	buf_init(&p.note, 100000);
	run.messages++;
	compare_headers(&p, &m.v[0], GMIME_OBJECT(theirs), MESSAGE_FIELDS);
	compare(&p, &m.v[0], g_mime_message_get_mime_part(theirs));
	if (p.d != SAME && p.explained) {
		run.seen[p.reason]++;
	} else if (p.d != SAME) {
		run.unexplained++;
		print_message("%s: %s: %.*s\n", name, difference_names[p.d], SLICE_ARG(buf_slice(&p.note)));
	}
	buf_free(&p.note);
	g_object_unref(theirs);
	g_object_unref(parser);
	g_object_unref(stream);
}

static int
corpus_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	FILE *f;
	uint8_t *p;

	(void)ftw;
	if (type != FTW_F || st->st_size == 0)
		return 0;
	f = fopen(path, "rb");
	p = malloc((size_t)st->st_size);
	assert_true(f != NULL && p != NULL);
	assert_int_equal(fread(p, 1, (size_t)st->st_size, f), st->st_size);
	(void)fclose(f);
	compare_message(path, slice_of(p, (size_t)st->st_size));
	free(p);
	return 0;
}

static void
test_corpus(void **state)
{
	(void)state;
	if (access(CORPUS, R_OK) != 0)
		skip();
	run.messages = 0;
	assert_int_equal(nftw(CORPUS, corpus_file, 20, FTW_PHYS), 0);
	print_message("%zu messages, %zu parts, %zu header fields\n", run.messages, run.parts, run.headers);
	assert_int_equal(run.unexplained, 0);
	for (size_t i = 0; i < REASONS; i++) {
		print_message("%zu: %s\n", run.seen[i], known[i].text);
		assert_true(run.seen[i] * 1000 <= run.messages * known[i].per_thousand);
	}
}

#define MULTI(b) "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"" b "\"\n\n"

/* Shapes that a corpus has few of. Both must see the same in them, with bare LF and with CRLF. */
static const char *const samples[] = {
    "Subject: plain\n\nbody\n",
    "Subject: =?utf-8?Q?=C3=A4?= =?utf-8?Q?_b?=\nFrom: =?utf-8?B?w6Q=?= <a@b>\n\nx\n",
    "Subject: =?utf-8?Q?=C3?=\n =?utf-8?Q?=A4?= tail\n\nx\n",
    "Subject: =?koi8-r?B?wQ==?= and =?windows-1251?Q?=E0?=\n\nx\n",
    "Subject: =?iso-8859-15?Q?=A4_5?= folded\n here\n\nx\n",
    "Subject: raw \xc3\xa4\n\nx\n",
    MULTI("x") "preamble\n--x\n\none\n--x\nContent-Type: image/png\nContent-Transfer-Encoding: "
	       "base64\n\nAAEC\nAw==\n--x--\nepilogue\n",
    MULTI("x") "--x\n\none\n--x\n\ntwo, and no end\n",
    MULTI("x") "--x\nContent-Type: multipart/alternative; boundary=y\n\n--y\n\na\n--y\nContent-Type: "
	       "text/html\n\nb\n--y--\n--x\n\nc\n--x--\n",
    MULTI("a") "--a\n" MULTI("ab") "--ab\n\n1.1\n--ab--\n--a\n\n2\n--a--\n",
    MULTI("x") "--x\nContent-Type: message/rfc822\n\nSubject: in\n\nbody\n--x--\n",
    MULTI("x") "--x\nContent-Type: message/rfc822\n\nSubject: in\n" MULTI(
	"y") "--y\n\ndeep\n--y--\n\n--x\n\nlast\n--x--\n",
    "Content-Type: multipart/digest; boundary=d\n\n--d\n\nSubject: a\n\none\n--d\n\nSubject: b\n\ntwo\n--d--\n",
    "Content-Type: message/rfc822\n\nSubject: in\n\nbody\n",
    MULTI("x") "--x\nContent-Transfer-Encoding: quoted-printable\n\nH=E4llo =\nthere =3D\n--x--\n",
    MULTI("x") "--x\nContent-Transfer-Encoding: x-uuencode\n\nbegin 644 c\n#0V%T\n`\nend\n--x--\n",
    MULTI("=_x?y:z") "--=_x?y:z\n\none\n--=_x?y:z--\n",
    MULTI("x") "--x\n\n\n--x\n\n--x--\n",
    MULTI("x") "--x\n\nnot a boundary:\n--xy\n -- x\n--x--\n",
    "Content-Type: TEXT/X-Foo; a=\"b;c\"\n\nx\n",
};

static void
test_samples(void **state)
{
	(void)state;
	run.unexplained = 0;
	for (size_t i = 0; i < COUNT_OF(samples); i++) {
		BUF_CLEANUP struct buf crlf;

		buf_init(&crlf, 10000);
		for (const char *c = samples[i]; *c != 0; c++) {
			if (*c == '\n')
				buf_put_u8(&crlf, '\r');
			buf_put_u8(&crlf, (uint8_t)*c);
		}
		compare_message(samples[i], slice_z(samples[i]));
		compare_message(samples[i], buf_slice(&crlf));
	}
	assert_int_equal(run.unexplained, 0);
	for (size_t i = 0; i < REASONS; i++)
		assert_int_equal(run.seen[i], 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_samples), cmocka_unit_test(test_corpus)};

	limits_default(&run.limits);
	g_mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int
main(void)
{
	return 0;
}

#endif
