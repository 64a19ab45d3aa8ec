/* threads_test.c: message ids and base subjects. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "message/threads.h"

#include "base/buf.h"

static void
test_ids(void **state)
{
	static const struct {
		const char *value, *ids;
	} rows[] = {
	    {"", ""},
	    {"<a@b>", "a@b;"},
	    {" <a@b>\r\n\t<c@d> <a@b>", "a@b;c@d;"},
	    {"<\"a b\"@c> <\"x\"@y>", "a b@c;x@y;"},
	    {"<x@y> <\"x\" @ (comment) y>", "x@y;"},
	    {"Your message of Monday <a@b>", "a@b;"},
	    {"<a@b <c@d>", "c@d;"},
	    {"<a@b", ""},
	    {"<> <  > <c@d>", "c@d;"},
	    {"a@b", "a@b;"},
	    {"no id here", ""},
	    {"<a\r\n b@c>", "ab@c;"},
	    {"<noat>", "noat;"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		ARENA_CLEANUP struct arena a;
		BUF_CLEANUP struct buf b;
		struct slice_list l;

		arena_init(&a, 1 << 20);
		buf_init(&b, 10000);
		assert_int_equal(message_ids_parse(&a, slice_z(rows[i].value), 50, &l), 0);
		for (size_t k = 0; k < l.n; k++) {
			buf_put(&b, l.v[k]);
			buf_put_u8(&b, ';');
		}
		buf_put_u8(&b, 0);
		assert_string_equal((char *)b.p, rows[i].ids);
	}
}

/* Of too many the first and the last stay, in order. */
static void
test_window(void **state)
{
	(void)state;
	for (size_t n = 0; n < 30; n++)
		for (size_t max = 1; max < 6; max++) {
			ARENA_CLEANUP struct arena a;
			BUF_CLEANUP struct buf b;
			struct slice_list l;

			arena_init(&a, 1 << 20);
			buf_init(&b, 10000);
			for (size_t i = 0; i < n; i++)
				buf_printf(&b, "<%zu@x> ", i);
			assert_int_equal(message_ids_parse(&a, buf_slice(&b), max, &l), 0);
			assert_int_equal(l.n, n < max ? n : max);
			for (size_t i = 0; i < l.n; i++) {
				size_t want = i == 0 ? 0 : n - l.n + i;

				assert_true(slice_eq(l.v[i], arena_printf(&a, "%zu@x", want)));
			}
		}
}

static void
test_subjects(void **state)
{
	static const struct {
		const char *subject, *base;
		bool reply;
	} rows[] = {
	    {"", "", false},
	    {"hello", "hello", false},
	    {"  a\t b\r\n c  ", "a b c", false},
	    {"Re: hello", "hello", true},
	    {"RE:re :FW: Fwd:hello", "hello", true},
	    {"Re[2]: hello", "hello", true},
	    {"Re [x] : hello", "hello", true},
	    {"[list] Re: [other] hello", "hello", true},
	    {"[list] hello", "hello", false},
	    {"[only]", "[only]", false},
	    {"[a][b] [c]", "[c]", false},
	    {"Re: [only]", "[only]", true},
	    {"hello (fwd)", "hello", true},
	    {"hello (fwd) (FWD) ", "hello", true},
	    {"[fwd: hello]", "hello", true},
	    {"[Fwd: Re: [x] hello (fwd)]", "hello", true},
	    {"[fwd: [fwd: [fwd: deep]]]", "deep", true},
	    {"Re:", "", true},
	    {"Reply: x", "Reply: x", false},
	    {"Refwd", "Refwd", false},
	    {"[unclosed Re: x", "[unclosed Re: x", false},
	    {"[a[b]] x", "[a[b]] x", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		ARENA_CLEANUP struct arena a;
		bool reply;
		struct slice s;

		arena_init(&a, 1 << 20);
		s = subject_base(&a, slice_z(rows[i].subject), &reply);
		if (!slice_eq(s, slice_z(rows[i].base)) || reply != rows[i].reply)
			print_message("%s: %.*s %d\n", rows[i].subject, SLICE_ARG(s), reply);
		assert_true(slice_eq(s, slice_z(rows[i].base)));
		assert_int_equal(reply, rows[i].reply);
	}
}

static void
test_floods(void **state)
{
	static const char *const units[] = {
	    "[a]", "[", "Re:", "(fwd)", "[fwd:", "[a]Re:", "]", "Re[", "<a@b>", "<", ">", "<\""};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(units); i++) {
		ARENA_CLEANUP struct arena a;
		BUF_CLEANUP struct buf b;
		struct slice_list l;
		bool reply;

		arena_init(&a, 16 << 20);
		buf_init(&b, 1 << 20);
		while (b.n + 20 < b.max)
			buf_put_z(&b, units[i]);
		(void)subject_base(&a, buf_slice(&b), &reply);
		assert_int_equal(message_ids_parse(&a, buf_slice(&b), MESSAGE_REFERENCES_MAX, &l), 0);
	}
}

static void
test_thread(void **state)
{
	ARENA_CLEANUP struct arena a;
	struct limits limits;
	struct message_thread t;
	struct header h;

	(void)state;
	limits_default(&limits);
	arena_init(&a, 1 << 20);
	assert_int_equal(
	    header_parse(&a, SLICE("Message-ID: <m@x>\nIn-Reply-To: <p@x> <q@x>\nSubject: =?utf-8?q?Re:_=C3=A4?=\n\n"),
		&limits, &h),
	    0);
	assert_int_equal(message_thread_parse(&a, &h, CHARSET_FIBER, &t), 0);
	assert_true(
	    slice_eq(t.message_id, SLICE("m@x")) && t.references.n == 1 && slice_eq(t.references.v[0], SLICE("p@x")));
	assert_true(slice_eq(t.base_subject, SLICE("\xc3\xa4")) && t.is_reply);
	assert_int_equal(header_parse(&a, SLICE("References: <a@x>\n <b@x>\nIn-Reply-To: <p@x>\n\n"), &limits, &h), 0);
	assert_int_equal(message_thread_parse(&a, &h, CHARSET_FIBER, &t), 0);
	assert_true(t.message_id.n == 0 && t.references.n == 2 && slice_eq(t.references.v[1], SLICE("b@x")));
	assert_int_equal(header_parse(&a, SLICE("References: <a@x> <b@x> <\"a\"@x>\n\n"), &limits, &h), 0);
	assert_int_equal(message_thread_parse(&a, &h, CHARSET_FIBER, &t), 0);
	assert_true(t.references.n == 2 && t.chain.n == 3 && slice_eq(t.chain.v[2], SLICE("a@x")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ids),
	    cmocka_unit_test(test_window),
	    cmocka_unit_test(test_subjects),
	    cmocka_unit_test(test_floods),
	    cmocka_unit_test(test_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
