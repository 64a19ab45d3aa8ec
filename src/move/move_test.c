/* What the parsers of the moving room make of the forms that are out there. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/house.h"
#include "move/maildir_name.h"
#include "move/mbox.h"
#include "move/move_answer.h"
#include "move/move_name.h"

#include <sys/mman.h>
#include <unistd.h>

struct room {
	struct house house;
	struct arena arena;
};

static struct move_answer
answer(struct room *r, const char *text)
{
	struct move_answer a;

	move_answer_parse(slice_z(text), &r->house.limits, &r->arena, &a);
	return a;
}

static void
with_room(void (*fn)(struct room *r))
{
	struct room r;

	house_init(&r.house, "test");
	arena_init(&r.arena, 16u << 20);
	fn(&r);
	arena_free(&r.arena);
}

static void
answers(struct room *r)
{
	struct move_answer a = answer(r,
	    "* 7 FETCH (FLAGS (\\Seen \\Recent $Forwarded \\Odd a]b) UID 9 INTERNALDATE \"17-Jul-1996 02:44:25 -0700\""
	    " RFC822.SIZE 12 ENVELOPE (\"x\" NIL ((NIL NIL \"a\" {3}\r\nb c))) BODY[] \"hi\")");
	uint32_t n;

	assert_int_equal(a.kind, MOVE_ANSWER_FETCH);
	assert_int_equal(a.number, 7);
	assert_int_equal(a.uid, 9);
	assert_int_equal(a.flags, STORE_SEEN);
	assert_int_equal(a.keywords.n, 1);
	assert_true(slice_eq(a.keywords.v[0], SLICE("$Forwarded")));
	assert_int_equal(a.keywords_lost, 2);
	assert_int_equal(a.internal_s, 837596665);
	assert_true(a.has_body && slice_eq(a.body, SLICE("hi")));
	/* A date that is none costs no more than itself; neither does a body that is NIL. */
	a = answer(r, "* 7 FETCH (UID 9 INTERNALDATE \"00-Jan-0000 00:00:00 +0000\" BODY[] NIL FLAGS ())");
	assert_int_equal(a.kind, MOVE_ANSWER_FETCH);
	assert_true(!a.has_date && !a.has_body && a.has_flags);
	a = answer(r, "* LIST (\\HasChildren \\Trash) \"/\" {5}\r\na\"b\\c");
	assert_int_equal(a.kind, MOVE_ANSWER_LIST);
	assert_int_equal(a.role, STORE_ROLE_TRASH);
	assert_true(slice_eq(a.name, SLICE("a\"b\\c")));
	a = answer(r, "* LIST (\\Noselect) NIL INBOX");
	assert_true(!a.selectable && a.delimiter == 0);
	a = answer(r, "* NAMESPACE ((\"INBOX.\" \".\")) ((\"~\" \"/\")) NIL");
	assert_true(slice_eq(a.name, SLICE("INBOX.")) && a.delimiter == '.');
	a = answer(r, "* OK [UIDVALIDITY 77] fine");
	assert_true(move_answer_code_number(a.code, SLICE("UIDVALIDITY"), &n) && n == 77);
	assert_true(!move_answer_code_number(SLICE("UIDVALIDITY 4294967296"), SLICE("UIDVALIDITY"), &n));
	a = answer(r, "m4 NO [THROTTLED] later");
	assert_true(a.kind == MOVE_ANSWER_NO && slice_eq(a.tag, SLICE("m4")) && move_answer_is_throttle(&a));
	a = answer(r, "* XMOVE-MISSING (3 9223372036854775807)");
	assert_true(a.numbers_n == 2 && a.numbers[1] == INT64_MAX);
	assert_int_equal(answer(r, "* 7 FETCH (UID 0 FLAGS ())").kind, MOVE_ANSWER_OTHER);
	assert_int_equal(answer(r, "* 7 FETCH (UID 5").kind, MOVE_ANSWER_OTHER);
	assert_int_equal(answer(r, "").kind, MOVE_ANSWER_OTHER);
}

static void
assert_name(struct room *r, const char *raw, char delimiter, const char *wanted)
{
	struct slice out;

	assert_int_equal(
	    move_name_read(slice_z(raw), (uint8_t)delimiter, SLICE("INBOX."), &r->house.limits, &r->arena, &out), 0);
	if (!slice_eq(out, slice_z(wanted)))
		fail_msg("%s became %.*s, not %s", raw, SLICE_ARG(out), wanted);
}

static void
names(struct room *r)
{
	struct slice out;

	assert_name(r, "INBOX.Sent.2024", '.', "Sent/2024");
	assert_name(r, "inbox", '.', "INBOX");
	assert_name(r, "a/b.c", '.',
	    "a\xe2\x88\x95"
	    "b/c");
	assert_name(r, "a.b/c", '/', "a.b/c");
	assert_name(r, "Entw&APw-rfe", '/', "Entw\xc3\xbcrfe");
	assert_name(r, "caf\xc3\xa9", '/', "caf\xc3\xa9");
	assert_name(r, "caf\xe9", '/', "caf\xef\xbf\xbd");
	assert_name(r, "a..b.", '.', "a/b");
	assert_name(r, "..", '/', "_");
	assert_name(r,
	    "a\x01"
	    "b",
	    '/', "a_b");
	assert_name(r, "&IC4-x", '/', "\xe2\x80\xaex"); /* a bidi mark is a character */
	assert_name(r, "&ICg-x", '/', "_x");            /* a line separator is none */
	assert_int_equal(
	    move_name_read(SLICE("..."), '.', SLICE_EMPTY, &r->house.limits, &r->arena, &out), ERR_INVALID);
	assert_int_equal(move_name_write(SLICE("a\xe2\x88\x95"
					       "b/c.d"),
			     '.', SLICE("INBOX."), &r->arena, &out),
	    0);
	assert_true(slice_eq(out, SLICE("INBOX.a/b.c_d")));
	assert_int_equal(move_name_role(SLICE("gesendete objekte")), STORE_ROLE_SENT);
	assert_int_equal(move_name_role(SLICE("[Gmail]/Spam")), STORE_ROLE_JUNK);
	assert_int_equal(move_name_role(SLICE("Work")), STORE_ROLE_NONE);
}

static void
maildirs(struct room *r)
{
	struct maildir_name m;
	struct slice base;
	uint32_t v, n;

	(void)r;
	maildir_name_parse(SLICE("1.M2P3.host,S=5:2,FSac"), &m);
	assert_true(slice_eq(m.base, SLICE("1.M2P3.host,S=5")));
	assert_int_equal(m.flags, STORE_FLAGGED | STORE_SEEN);
	assert_int_equal(m.keywords, 5);
	maildir_name_parse(SLICE("a:2,PT,extra"), &m);
	assert_true(m.forwarded && m.flags == STORE_DELETED);
	maildir_name_parse(SLICE("foreign file"), &m);
	assert_true(slice_eq(m.base, SLICE("foreign file")) && m.flags == 0);
	assert_true(
	    maildir_uidlist_head(SLICE("3 V1275660208 N25022 G3085f01b"), &v, &n) && v == 1275660208 && n == 25022);
	assert_false(maildir_uidlist_head(SLICE("1 1275660208 25022"), &v, &n));
	assert_true(maildir_uidlist_line(SLICE("25006 W2341 :1276528487.M364837P9451.host,S=1355:2,S"), &v, &base));
	assert_true(v == 25006 && slice_eq(base, SLICE("1276528487.M364837P9451.host,S=1355")));
	assert_false(maildir_uidlist_line(SLICE("0 :x"), &v, &base));
}

static const char box[] = "trash before\n"
			  "From a@b Thu Jan  1 00:00:10 1970\n"
			  "Subject: one\n"
			  "Status: RO\n"
			  "X-Status: AF\n"
			  "X-Keywords: Work  Home\n"
			  "\n"
			  ">From here on\n"
			  ">>From there\n"
			  "From you, unquoted\n"
			  "\n"
			  "From c@d Thu Jan  1 00:00:10 1970 is a date\n"
			  "\n"
			  "From e@f Thu Jan  1 01:00:20 1970 +0100\n"
			  "Subject: two\n"
			  "\n"
			  "\n"
			  "\n"
			  "From g@h Thu Jan  1 00:00:30 1970\n"
			  "Subject: three";

static void
mboxes(struct room *r)
{
	static const struct {
		const char *text;
		int64_t date;
		uint8_t flags;
	} wanted[] = {
	    {"Subject: one\r\n\r\nFrom here on\r\n>From there\r\nFrom you, unquoted\r\n\r\n"
	     "From c@d Thu Jan  1 00:00:10 1970 is a date\r\n",
		10, STORE_SEEN | STORE_ANSWERED | STORE_FLAGGED},
	    {"Subject: two\r\n\r\n\r\n", 20, 0},
	    {"Subject: three", 30, 0},
	};
	struct move_body body MOVE_BODY_CLEANUP;
	struct mbox_message m = {0};
	struct move_lines l;
	int fd = memfd_create("mbox", MFD_CLOEXEC);

	(void)r;
	assert_int_equal(write(fd, box, sizeof(box) - 1), sizeof(box) - 1);
	move_lines_adopt(&l, fd);
	assert_int_equal(move_lines_seek(&l, 0), 0);
	move_body_init(&body, NULL);
	buf_init(&m.status.keywords, 1000);
	for (size_t i = 0; i < COUNT_OF(wanted); i++) {
		assert_int_equal(mbox_next(&l, 1u << 20, &body, &m), 1);
		if (!slice_eq(buf_slice(&body.mem), slice_z(wanted[i].text)))
			fail_msg("%zu: %.*s", i, SLICE_ARG(buf_slice(&body.mem)));
		assert_int_equal(m.epoch_s, wanted[i].date);
		assert_int_equal(m.status.flags, wanted[i].flags);
		if (i == 0)
			assert_true(slice_eq(buf_slice(&m.status.keywords), SLICE("Work Home ")));
	}
	assert_int_equal(mbox_next(&l, 1u << 20, &body, &m), 0);
	buf_free(&m.status.keywords);
	move_lines_close(&l);
}

static void
test_answers(void **state)
{
	(void)state;
	with_room(answers);
}

static void
test_names(void **state)
{
	(void)state;
	with_room(names);
}

static void
test_maildirs(void **state)
{
	(void)state;
	with_room(maildirs);
}

static void
test_mboxes(void **state)
{
	(void)state;
	with_room(mboxes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers), cmocka_unit_test(test_names),
	    cmocka_unit_test(test_maildirs), cmocka_unit_test(test_mboxes)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
