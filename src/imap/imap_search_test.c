/* SEARCH: every key, decoded text, charsets, logic, nesting. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "imap/imap_testing.h"

static void
found(struct client *c, const char *program, const char *numbers)
{
	char command[4096], want[4096];

	(void)snprintf(command, sizeof(command), "SEARCH %s", program);
	(void)snprintf(want, sizeof(want), "* SEARCH%s%s\r\n", numbers[0] == 0 ? "" : " ", numbers);
	exactly(c, command, want);
}

static void
fill(struct client *c)
{
	append(c, "INBOX (\\Seen) \"01-Jan-2020 10:00:00 +0000\"",
	    SLICE("From: Fred Foobar <foobar@example.test>\r\nTo: bob@example.test\r\nDate: Tue, 31 Dec 2019 23:30:00 "
		  "-0800\r\n"
		  "Subject: =?iso-8859-1?Q?Gr=FC=DFe?= aus\r\n\tM=FCnchen\r\nX-Flag:\r\n\r\nplain words here\r\n"));
	append(c, "INBOX (\\Flagged work) \"02-Jan-2020 10:00:00 +0000\"",
	    SLICE("From: Alice <alice@example.test>\r\nCc: carol@example.test\r\nBcc: secret@example.test\r\nSubject: "
		  "second\r\n"
		  "Date: 5 Jan 2020 00:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
		  "Content-Transfer-Encoding: base64\r\n\r\nw4RwZmVsIHVuZCBCaXJuZW4K\r\n"));
	append(c, "INBOX (\\Answered \\Draft) \"03-Jan-2020 23:59:59 +0000\"",
	    SLICE("From: x@example.test\r\nSubject: third\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
		  "--b\r\nContent-Type: text/html; charset=koi8-r\r\nContent-Transfer-Encoding: "
		  "quoted-printable\r\n\r\n<b>=F0=D2=C9=D7=C5=D4</b>\r\n"
		  "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: =?utf-8?Q?eingebettet?=\r\n\r\ninner text\r\n"
		  "--b\r\nContent-Type: application/octet-stream; name=attachment.bin\r\nContent-Transfer-Encoding: "
		  "base64\r\n\r\naGlkZGVu\r\n--b--\r\n"));
	append(c, "INBOX (\\Deleted) \"04-Jan-2020 00:00:00 +0000\"",
	    SLICE("Subject: fourth\r\n\r\nquick brown\r\nfox and \"quotes\"\r\n"));
}

WORLD_TEST(test_keys)
{
	struct client c;

	client_start(&c, w);
	fill(&c);
	expect(&c, "SELECT INBOX", "* 4 EXISTS");
	found(&c, "ALL", "1 2 3 4");
	found(&c, "SEEN", "1");
	found(&c, "UNSEEN", "2 3 4");
	found(&c, "FLAGGED", "2");
	found(&c, "UNFLAGGED", "1 3 4");
	found(&c, "ANSWERED DRAFT", "3");
	found(&c, "UNANSWERED UNDRAFT UNDELETED", "1 2");
	found(&c, "DELETED", "4");
	found(&c, "KEYWORD WORK", "2");
	found(&c, "UNKEYWORD work", "1 3 4");
	found(&c, "KEYWORD other", "");
	found(&c, "NEW", "2 3 4");
	found(&c, "RECENT", "1 2 3 4");
	found(&c, "OLD", "");
	found(&c, "2:3", "2 3");
	found(&c, "UID 3:*", "3 4");
	found(&c, "UID 9:*", "4");
	found(&c, "*", "4");
	found(&c, "BEFORE 2-Jan-2020", "1");
	found(&c, "ON 3-Jan-2020", "3");
	found(&c, "SINCE \"03-Jan-2020\"", "3 4");
	found(&c, "SENTON 31-Dec-2019", "1");
	found(&c, "SENTBEFORE 1-Jan-2020", "1");
	found(&c, "SENTSINCE 1-Jan-2020", "2");
	found(&c, "LARGER 300", "3");
	found(&c, "SMALLER 100", "4");
	found(&c, "FROM foobar", "1");
	found(&c, "FROM \"fred foo\"", "1");
	found(&c, "TO bob CC bob", "");
	found(&c, "CC carol BCC secret", "2");
	found(&c, "HEADER Date \"Dec 2019\"", "1");
	found(&c, "HEADER X-Flag \"\"", "1");
	found(&c, "HEADER Subject \"\"", "1 2 3 4");
	found(&c, "SUBJECT second", "2");
	found(&c, "BODY second", "");
	found(&c, "TEXT second", "2");
	found(&c, "BODY \"quick brown fox\"", "4");
	found(&c, "BODY \"\\\"quotes\\\"\"", "4");
	found(&c, "BODY hidden", "");
	found(&c, "BODY attachment.bin", "3");
	found(&c, "BODY \"inner text\" BODY eingebettet", "3");
	found(&c, "NOT SEEN NOT FLAGGED", "3 4");
	found(&c, "NOT NOT SEEN", "1");
	found(&c, "OR SEEN OR FLAGGED SUBJECT fourth", "1 2 4");
	found(&c, "OR (SEEN 1) (NOT (SUBJECT third) UNSEEN)", "1 2 4");
	found(&c, "NOT (OR SEEN TEXT second)", "3 4");
	exactly(&c, "UID SEARCH UID 2:3 UNSEEN", "* SEARCH 2 3\r\n");
	expect(&c, "NOOP", "x OK");
	client_end(&c);
}

WORLD_TEST(test_charsets)
{
	struct client c;

	client_start(&c, w);
	fill(&c);
	expect(&c, "SELECT INBOX", "* 4 EXISTS");
	found(&c,
	    "CHARSET UTF-8 SUBJECT {7+}\r\ngr\xc3\xbc\xc3\x9f"
	    "e",
	    "1");
	found(&c,
	    "CHARSET utf-8 SUBJECT {7+}\r\nGR\xc3\x9c\xc3\x9f"
	    "E",
	    "1");
	found(&c,
	    "CHARSET ISO-8859-1 SUBJECT {5+}\r\nGr\xfc\xdf"
	    "e",
	    "1");
	found(&c, "BODY {6+}\r\n\xc3\xa4pfel", "2");
	found(&c, "CHARSET UTF-8 BODY {7+}\r\na\xcc\x88pfel", "2");
	found(&c, "CHARSET KOI8-R BODY {6+}\r\n\xd0\xd2\xc9\xd7\xc5\xd4", "3");
	found(&c, "CHARSET US-ASCII SUBJECT third", "3");
	expect(&c, "SEARCH CHARSET X-NONSENSE SUBJECT x", "x NO [BADCHARSET (");
	expect(&c, "SEARCH CHARSET X-NONSENSE ALL", "x NO [BADCHARSET (");
	expect(&c, "SEARCH CHARSET UTF-8 SUBJECT {2+}\r\n\xff\xfe", "x BAD");
	client_end(&c);
}

WORLD_TEST(test_refused)
{
	static const char *const bad[] = {"", "NONSENSE", "SEEN ", "SEEN  FLAGGED", "(SEEN", "SEEN)", "()", "NOT",
	    "OR SEEN", "OR SEEN ", "SUBJECT", "HEADER x", "BEFORE 32-Jan-2020", "BEFORE 1-Foo-2020", "LARGER -1",
	    "LARGER 4294967296", "UID", "UID 0", "KEYWORD", "1:", "CHARSET", "CHARSET UTF-8", "SEEN (",
	    "KEYWORD \"a\""};
	struct client c;
	struct buf BUF_CLEANUP deep;

	client_start(&c, w);
	fill(&c);
	w->p->house.limits.imap_errors = 1000;
	expect(&c, "SELECT INBOX", "* 4 EXISTS");
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		char command[100];

		(void)snprintf(command, sizeof(command), "SEARCH %s", bad[i]);
		expect(&c, command, "x BAD");
	}
	buf_init(&deep, 1 << 20);
	for (int i = 0; i < 30000; i++)
		buf_put_u8(&deep, '(');
	buf_put_u8(&deep, 0);
	client_send(&c, SLICE("x SEARCH "));
	client_send(&c, slice_z((const char *)deep.p));
	client_send(&c, SLICE("\r\n"));
	wants(client_until(&c, "x "), "x BAD", "parentheses");
	/* OR on the left goes deep, on the right it does not. */
	buf_reset(&deep);
	buf_put(&deep, SLICE("SEARCH "));
	for (int i = 0; i < 1000; i++)
		buf_put(&deep, SLICE("OR SEEN "));
	buf_put(&deep, SLICE("FLAGGED\0"));
	exactly(&c, (const char *)deep.p, "* SEARCH 1 2\r\n");
	buf_reset(&deep);
	buf_put(&deep, SLICE("SEARCH "));
	for (int i = 0; i < 5000; i++)
		buf_put(&deep, SLICE("SEEN "));
	buf_put(&deep, SLICE("FLAGGED\0"));
	expect(&c, (const char *)deep.p, "x BAD");
	/* Each of these reads every message. */
	for (int over = 0; over < 2; over++) {
		buf_reset(&deep);
		buf_put(&deep, SLICE("SEARCH "));
		for (int i = 0; i < w->p->house.limits.imap_search_texts + over; i++)
			buf_put(&deep, i % 2 == 0 ? SLICE("NOT TEXT nowhere ") : SLICE("NOT BODY nowhere "));
		buf_put(&deep, SLICE("FLAGGED\0"));
		if (over == 0)
			exactly(&c, (const char *)deep.p, "* SEARCH 2\r\n");
		else
			expect(&c, (const char *)deep.p, "x BAD");
	}
	client_end(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_keys),
	    cmocka_unit_test(test_charsets),
	    cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
