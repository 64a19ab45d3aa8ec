#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "smtp/data.h"
#include "smtp/header_watch.h"
#include "smtp/stuff.h"

static int
sink(void *ctx, struct slice run)
{
	buf_put(ctx, run);
	return 0;
}

/* Feeds `in` in pieces cut at the given places (sorted); returns how much was used. */
static size_t
feed(struct smtp_data *d, struct slice in, const size_t *cuts, size_t n, struct buf *out)
{
	size_t at = 0, used;

	for (size_t i = 0; i <= n && d->state != SMTP_DATA_END; i++) {
		size_t to = i < n ? cuts[i] : in.n;

		while (at < to && d->state != SMTP_DATA_END) {
			assert_int_equal(smtp_data_feed(d, slice_range(in, at, to), &used, sink, out), 0);
			at += used;
		}
	}
	return at;
}

static void
good_text_is_kept_byte_for_byte(void **state)
{
	static const struct {
		struct slice in, out;
	} v[] = {
	    {SLICE_INIT(".\r\n"), SLICE_INIT("")},
	    {SLICE_INIT("\r\n.\r\n"), SLICE_INIT("\r\n")},
	    {SLICE_INIT("a\r\n.\r\n"), SLICE_INIT("a\r\n")},
	    {SLICE_INIT("..\r\n.\r\n"), SLICE_INIT(".\r\n")},
	    {SLICE_INIT("..a\r\n...\r\n.\r\n"), SLICE_INIT(".a\r\n..\r\n")},
	    {SLICE_INIT(".a\r\n.\r\n"), SLICE_INIT("a\r\n")},
	    {SLICE_INIT("a.b\r\nc.\r\n.\r\n"), SLICE_INIT("a.b\r\nc.\r\n")},
	    {SLICE_INIT("a\0b\xff\r\n\r\n\r\n.\r\n"), SLICE_INIT("a\0b\xff\r\n\r\n\r\n")},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(v); i++)
		for (size_t cut = 0; cut <= v[i].in.n; cut++) {
			BUF_CLEANUP struct buf out;
			struct smtp_data d;

			buf_init(&out, 1000);
			smtp_data_init(&d, 1000);
			assert_int_equal(feed(&d, v[i].in, &cut, 1, &out), v[i].in.n);
			assert_int_equal(d.state, SMTP_DATA_END);
			assert_false(d.bare);
			assert_false(d.long_line);
			assert_int_equal(d.eight_bit, i == COUNT_OF(v) - 1);
			assert_int_equal(d.bytes, v[i].out.n);
			assert_true(slice_eq(buf_slice(&out), v[i].out));
		}
}

/* Every false end, cut into three pieces at every two places: the end is the true one, and the text is marked. */
static void
nothing_else_ends_a_message(void **state)
{
	static const struct slice ends[] = {SLICE_INIT("\n.\n"), SLICE_INIT("\r.\r"), SLICE_INIT("\n.\r\n"),
	    SLICE_INIT("\r\n.\n"), SLICE_INIT("\r\n.\r"), SLICE_INIT("\r.\r\n"), SLICE_INIT("\r\n.\r\r\n"),
	    SLICE_INIT("\n.\r"), SLICE_INIT("\r.\n"), SLICE_INIT("\r\r\n.\r\n\r."), SLICE_INIT("\r\n\n.\r\n"),
	    SLICE_INIT("\r\n.\r.\r\n"), SLICE_INIT("\n\r.\r\n"), SLICE_INIT("\r\n.\0\r\n\r"),
	    SLICE_INIT("\r\n.\r\0\n")};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		BUF_CLEANUP struct buf in;
		size_t true_end;

		buf_init(&in, 1000);
		buf_put_z(&in, "Subject: x\r\n\r\nbody");
		buf_put(&in, ends[i]);
		/* "\r\r\n.\r\n" holds a true end behind a bare CR: what follows is commands. */
		true_end = slice_find(buf_slice(&in), SLICE("\r\n.\r\n"));
		buf_put_z(&in, "MAIL FROM:<evil@a.test>\r\nRCPT TO:<bob@b.test>\r\nDATA\r\n\r\n.\r\nQUIT\r\n");
		true_end = (true_end != SLICE_NONE ? true_end : slice_find(buf_slice(&in), SLICE("\r\n.\r\n"))) + 5;
		for (size_t a = 0; a <= in.n; a++)
			for (size_t b = a; b <= in.n; b++) {
				BUF_CLEANUP struct buf out;
				struct smtp_data d;

				buf_init(&out, 1000);
				smtp_data_init(&d, 1000);
				assert_int_equal(feed(&d, buf_slice(&in), (size_t[]){a, b}, 2, &out), true_end);
				assert_int_equal(d.state, SMTP_DATA_END);
				assert_true(d.bare);
			}
	}
}

static void
lines_have_a_limit(void **state)
{
	static const struct {
		const char *in;
		bool is_long;
	} v[] = {{"12345678\r\n.\r\n", false}, {"123456789\r\n.\r\n", true}, {"1\r\n12345678\r\n\r\n.\r\n", false},
	    {"..2345678\r\n.\r\n", false}, {"..23456789\r\n.\r\n", true}, {".12345678\r\n.\r\n", false},
	    {".123456789\r\n.\r\n", true}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(v); i++)
		for (size_t cut = 0; cut <= strlen(v[i].in); cut++) {
			BUF_CLEANUP struct buf out;
			struct smtp_data d;

			buf_init(&out, 1000);
			smtp_data_init(&d, 10);
			(void)feed(&d, slice_z(v[i].in), &cut, 1, &out);
			assert_int_equal(d.state, SMTP_DATA_END);
			assert_int_equal(d.long_line, v[i].is_long);
		}
}

static void
header_fields_are_counted(void **state)
{
	static const char text[] = "Received: from a\r\n\tby b\r\nRECEIVED : x\r\nX-Received: no\r\nFrom: Alice\r\n "
				   "<a@a.test>\r\nfrom:b@b.test\r\n"
				   "Receivedx: no\r\n Received: folded\r\nbroken line\r\nDate: "
				   "now\r\nMessage-ID:<x>\r\n\r\nReceived: body\r\nFrom: c@c.test\r\n";
	struct slice in = slice_z(text);

	(void)state;
	for (size_t cut = 0; cut <= in.n; cut++) {
		struct smtp_header_watch w;

		smtp_header_watch_init(&w, true);
		smtp_header_watch_feed(&w, slice_head(in, cut));
		smtp_header_watch_feed(&w, slice_from(in, cut));
		assert_true(w.done);
		assert_int_equal(w.received, 2);
		assert_int_equal(w.kept_count[SMTP_KEPT_FROM], 2);
		assert_int_equal(w.date_count, 1);
		assert_int_equal(w.message_id_count, 1);
		assert_true(slice_eq(buf_slice(&w.kept[SMTP_KEPT_FROM]), SLICE(" Alice <a@a.test>, b@b.test")));
		smtp_header_watch_free(&w);
	}
}

/* However a field's name is dressed, whoever reads the message may see it. */
static void
disguised_names_are_seen(void **state)
{
	static const char text[] =
	    "\0\r\nFrom                                \t : a@a.test\r\nFr\0om: b@b.test\r\nFr om: no\r\n"
	    "From x: no\r\n From: folded\r\n\r\nFrom: body\r\n";
	struct slice in = slice_of(text, sizeof(text) - 1);

	(void)state;
	for (size_t cut = 0; cut <= in.n; cut++) {
		struct smtp_header_watch w;

		smtp_header_watch_init(&w, true);
		smtp_header_watch_feed(&w, slice_head(in, cut));
		smtp_header_watch_feed(&w, slice_from(in, cut));
		assert_true(w.done);
		assert_int_equal(w.kept_count[SMTP_KEPT_FROM], 2);
		assert_true(slice_eq(buf_slice(&w.kept[SMTP_KEPT_FROM]), SLICE(" a@a.test,  b@b.test")));
		smtp_header_watch_free(&w);
	}
}

static void
outgoing_text_is_stuffed_and_made_whole(void **state)
{
	static const struct {
		struct slice in, out;
	} v[] = {
	    {SLICE_INIT(""), SLICE_INIT(".\r\n")},
	    {SLICE_INIT("a\r\n"), SLICE_INIT("a\r\n.\r\n")},
	    {SLICE_INIT("a"), SLICE_INIT("a\r\n.\r\n")},
	    {SLICE_INIT(".\r\n..\r\na."), SLICE_INIT("..\r\n...\r\na.\r\n.\r\n")},
	    {SLICE_INIT("a\n.\nb"), SLICE_INIT("a\r\n..\r\nb\r\n.\r\n")},
	    {SLICE_INIT("a\r.\r\r\nb\r"), SLICE_INIT("a\r\n..\r\n\r\nb\r\n.\r\n")},
	    {SLICE_INIT("\n\n\r\n"), SLICE_INIT("\r\n\r\n\r\n.\r\n")},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(v); i++)
		for (size_t cut = 0; cut <= v[i].in.n; cut++) {
			BUF_CLEANUP struct buf out;
			struct smtp_stuff s = {0};

			buf_init(&out, 1000);
			assert_int_equal(smtp_stuff_feed(&s, slice_head(v[i].in, cut), sink, &out), 0);
			assert_int_equal(smtp_stuff_feed(&s, slice_from(v[i].in, cut), sink, &out), 0);
			assert_int_equal(smtp_stuff_end(&s, sink, &out), 0);
			if (!slice_eq(buf_slice(&out), v[i].out))
				fail_msg("row %zu cut %zu: %.*s", i, cut, SLICE_ARG(buf_slice(&out)));
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(good_text_is_kept_byte_for_byte),
	    cmocka_unit_test(nothing_else_ends_a_message),
	    cmocka_unit_test(lines_have_a_limit),
	    cmocka_unit_test(header_fields_are_counted),
	    cmocka_unit_test(disguised_names_are_seen),
	    cmocka_unit_test(outgoing_text_is_stuffed_and_made_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
