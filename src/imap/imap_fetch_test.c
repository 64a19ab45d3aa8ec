/* FETCH: every item and every form of section, on messages made to be awkward. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "imap/imap_testing.h"

#define TREE_HEAD \
	"Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\n" \
	"From: Terry Gray <gray@cac.washington.edu>\r\n" \
	"Subject: IMAP4rev1 WG mtg summary\r\n and minutes\r\n" \
	"To: imap@cac.washington.edu, \"Quoted \\\"Name\\\"\" <q@example.test>\r\n" \
	"cc: group: a@example.test, Bee <b@example.test>;, last@example.test\r\n" \
	"Message-Id: <B27397-0100000@cac.washington.edu>\r\n" \
	"MIME-Version: 1.0\r\n" \
	"Content-Type: multipart/mixed; boundary=outer\r\n\r\n"
#define PART1 \
	"Content-Type: text/plain; charset=utf-8; name*=iso-8859-1''%E9t%E9\r\nContent-ID: " \
	"<id1@x>\r\n\r\nfirst\r\nlines\r\n"
#define INNER_HEAD \
	"Subject: inner\r\nFrom: inner@example.test\r\nContent-Type: multipart/alternative; boundary=\"in " \
	"ner\"\r\n\r\n"
#define INNER_BODY \
	"--in ner\r\n\r\nplain\r\n--in ner\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: " \
	"BASE64\r\n\r\nPGI+\r\n--in ner--\r\n"
#define PART2_MIME \
	"Content-Type: message/rfc822\r\nContent-Description: a letter\r\nContent-Disposition: attachment; " \
	"filename=\"x y.eml\"\r\n\r\n"
#define PART3 \
	"Content-Type: application/pdf\r\nContent-MD5: Q2hlY2s=\r\nContent-Language: en, de\r\nContent-Location: " \
	"http://example.test/\r\n\r\n\x01\x80"
#define TREE \
	TREE_HEAD "preamble\r\n--outer\r\n" PART1 "\r\n--outer\r\n" PART2_MIME INNER_HEAD INNER_BODY \
		  "\r\n--outer\r\n" PART3 "\r\n--outer--\r\nepilogue\r\n"

static char answer_text[65536];

/* `* 1 FETCH (BODY[section] {n}` CRLF bytes `)`. */
static void
section_is(struct client *c, const char *section, const char *bytes)
{
	char command[300];

	(void)snprintf(command, sizeof(command), "FETCH 1 BODY.PEEK[%s]", section);
	(void)snprintf(
	    answer_text, sizeof(answer_text), "* 1 FETCH (BODY[%s] {%zu}\r\n%s)\r\n", section, strlen(bytes), bytes);
	exactly(c, command, answer_text);
}

WORLD_TEST(test_sections)
{
	struct client c;

	client_start(&c, w);
	append(&c, "INBOX", SLICE(TREE));
	expect(&c, "SELECT INBOX", "* 1 EXISTS");
	section_is(&c, "", TREE);
	section_is(&c, "HEADER", TREE_HEAD);
	section_is(&c, "TEXT", &TREE[sizeof(TREE_HEAD) - 1]);
	section_is(&c, "1", "first\r\nlines\r\n");
	section_is(&c, "1.MIME",
	    "Content-Type: text/plain; charset=utf-8; name*=iso-8859-1''%E9t%E9\r\nContent-ID: <id1@x>\r\n\r\n");
	section_is(&c, "2", INNER_HEAD INNER_BODY);
	section_is(&c, "2.MIME", PART2_MIME);
	section_is(&c, "2.HEADER", INNER_HEAD);
	section_is(&c, "2.TEXT", INNER_BODY);
	section_is(&c, "2.1", "plain");
	section_is(&c, "2.2", "PGI+");
	section_is(&c, "2.1.MIME", "\r\n");
	section_is(&c, "2.2.MIME", "Content-Type: text/html\r\nContent-Transfer-Encoding: BASE64\r\n\r\n");
	section_is(&c, "3", "\x01\x80");
	section_is(&c, "HEADER.FIELDS (subject FROM)",
	    "From: Terry Gray <gray@cac.washington.edu>\r\nSubject: IMAP4rev1 WG mtg summary\r\n and minutes\r\n\r\n");
	section_is(&c, "HEADER.FIELDS (X-None)", "\r\n");
	section_is(&c, "2.HEADER.FIELDS (From)", "From: inner@example.test\r\n\r\n");
	section_is(&c, "2.HEADER.FIELDS.NOT (From Content-Type)", "Subject: inner\r\n\r\n");
	exactly(&c, "FETCH 1 BODY.PEEK[4]", "* 1 FETCH (BODY[4] NIL)\r\n");
	exactly(&c, "FETCH 1 BODY.PEEK[1.1]", "* 1 FETCH (BODY[1.1] NIL)\r\n");
	exactly(&c, "FETCH 1 BODY.PEEK[1.HEADER]", "* 1 FETCH (BODY[1.HEADER] NIL)\r\n");
	exactly(&c, "FETCH 1 BODY.PEEK[]<3.5>", "* 1 FETCH (BODY[]<3> {5}\r\ne: We)\r\n");
	exactly(&c, "FETCH 1 BODY.PEEK[1]<9.100>", "* 1 FETCH (BODY[1]<9> {5}\r\nnes\r\n)\r\n");
	client_end(&c);
}

WORLD_TEST(test_structure)
{
	struct client c;

	client_start(&c, w);
	append(&c, "INBOX", SLICE(TREE));
	expect(&c, "SELECT INBOX", "* 1 EXISTS");
	exactly(&c, "FETCH 1 ENVELOPE",
	    "* 1 FETCH (ENVELOPE (\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev1 WG mtg summary and minutes\" "
	    "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((\"Terry Gray\" NIL \"gray\" "
	    "\"cac.washington.edu\")) "
	    "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) "
	    "((NIL NIL \"imap\" \"cac.washington.edu\")(\"Quoted \\\"Name\\\"\" NIL \"q\" \"example.test\")) "
	    "((NIL NIL \"group\" NIL)(NIL NIL \"a\" \"example.test\")(\"Bee\" NIL \"b\" \"example.test\")(NIL NIL NIL "
	    "NIL)"
	    "(NIL NIL \"last\" \"example.test\")) NIL NIL \"<B27397-0100000@cac.washington.edu>\"))\r\n");
	exactly(&c, "FETCH 1 BODY",
	    "* 1 FETCH (BODY ((\"text\" \"plain\" (\"charset\" \"utf-8\" \"name*\" \"utf-8''%C3%A9t%C3%A9\") "
	    "\"<id1@x>\" NIL \"7bit\" 14 2)"
	    "(\"message\" \"rfc822\" NIL NIL \"a letter\" \"7bit\" 209 (NIL \"inner\" ((NIL NIL \"inner\" "
	    "\"example.test\")) "
	    "((NIL NIL \"inner\" \"example.test\")) ((NIL NIL \"inner\" \"example.test\")) NIL NIL NIL NIL NIL) "
	    "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 5 1)(\"text\" \"html\" (\"charset\" "
	    "\"us-ascii\") NIL NIL \"base64\" 4 1) "
	    "\"alternative\") 13)(\"application\" \"pdf\" NIL NIL NIL \"7bit\" 2) \"mixed\"))\r\n");
	expect(&c, "FETCH 1 BODYSTRUCTURE",
	    "(\"application\" \"pdf\" NIL NIL NIL \"7bit\" 2 \"Q2hlY2s=\" NIL (\"en\" \"de\") "
	    "\"http://example.test/\") "
	    "\"mixed\" (\"boundary\" \"outer\") NIL NIL NIL))\r\n");
	wants((const char *)c.out.p, " NIL (\"attachment\" (\"filename\" \"x y.eml\")) NIL NIL)", "BODYSTRUCTURE");
	client_end(&c);
}

WORLD_TEST(test_items)
{
	struct client c;

	client_start(&c, w);
	append(&c, "INBOX \"17-Jul-1996 02:44:25 -0700\"", SLICE("Subject: x\r\n\r\nbody\r\n"));
	append(&c, "INBOX \"17-Jul-1996 02:44:25 -0700\"", SLICE("no header at all"));
	append(&c, "INBOX (\\Seen)", SLICE("\r\nonly body\r\n"));
	append(&c, "INBOX", SLICE("Subject: cut off"));
	append(&c, "INBOX", SLICE("Subject: \x80\xff\r\nFrom: caf\xc3\xa9 <x@y>\r\n\r\n"));
	expect(&c, "SELECT INBOX", "* 5 EXISTS");
	exactly(&c, "FETCH 1 FAST",
	    "* 1 FETCH (FLAGS (\\Recent) INTERNALDATE \"17-Jul-1996 09:44:25 +0000\" RFC822.SIZE 20)\r\n");
	exactly(&c, "FETCH 1 (rfc822.header)", "* 1 FETCH (RFC822.HEADER {14}\r\nSubject: x\r\n\r\n)\r\n");
	exactly(&c, "FETCH 1 flags", "* 1 FETCH (FLAGS (\\Recent))\r\n");
	exactly(&c, "FETCH 1 RFC822.TEXT", "* 1 FETCH (FLAGS (\\Seen \\Recent) RFC822.TEXT {6}\r\nbody\r\n)\r\n");
	exactly(&c, "FETCH 1 RFC822.TEXT", "* 1 FETCH (RFC822.TEXT {6}\r\nbody\r\n)\r\n");
	exactly(&c, "FETCH 1 (BODY[] RFC822)",
	    "* 1 FETCH (BODY[] {20}\r\nSubject: x\r\n\r\nbody\r\n RFC822 {20}\r\nSubject: x\r\n\r\nbody\r\n)\r\n");
	exactly(&c, "UID FETCH 2 (BODY.PEEK[TEXT])", "* 2 FETCH (UID 2 BODY[TEXT] {0}\r\n)\r\n");
	exactly(&c, "FETCH 3 (BODY[HEADER] BODY[TEXT])",
	    "* 3 FETCH (BODY[HEADER] {2}\r\n\r\n BODY[TEXT] {11}\r\nonly body\r\n)\r\n");
	exactly(&c, "FETCH 4 BODY.PEEK[HEADER.FIELDS (Subject)]",
	    "* 4 FETCH (BODY[HEADER.FIELDS (Subject)] {20}\r\nSubject: cut off\r\n\r\n)\r\n");
	exactly(&c, "FETCH 4 BODY.PEEK[TEXT]", "* 4 FETCH (BODY[TEXT] {0}\r\n)\r\n");
	expect(&c, "FETCH 5 ENVELOPE", "(ENVELOPE (NIL {2}\r\n\x80\xff (({5}\r\ncaf\xc3\xa9 NIL \"x\" \"y\"))");
	expect(&c, "FETCH 1:5 FULL", "* 5 FETCH (FLAGS");
	expect(&c, "FETCH 1:5 ALL", "* 2 FETCH (FLAGS");
	expect(&c, "FETCH 1:5 (BODYSTRUCTURE UID)",
	    "* 3 FETCH (UID 3 BODYSTRUCTURE (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 11 1");
	exactly(&c, "FETCH 5:4294967295 UID", "* 5 FETCH (UID 5)\r\n");
	exactly(&c, "FETCH * UID", "* 5 FETCH (UID 5)\r\n");
	exactly(&c, "UID FETCH 9:* UID", "* 5 FETCH (UID 5)\r\n");
	exactly(&c, "UID FETCH 4294967295 UID", "");
	expect(&c, "FETCH 6 UID", "x BAD");
	expect(&c, "FETCH 0 UID", "x BAD");
	expect(&c, "FETCH 1 BODY[", "x BAD");
	expect(&c, "FETCH 1 BODY[0]", "x BAD");
	expect(&c, "FETCH 1 BODY[1.]", "x BAD");
	expect(&c, "FETCH 1 BODY[MIME]", "x BAD");
	expect(&c, "FETCH 1 BODY[]<0.0>", "x BAD");
	expect(&c, "FETCH 1 BODY[HEADER.FIELDS ()]", "x BAD");
	expect(&c, "FETCH 1 BODY.PEEK", "x BAD");
	expect(&c, "FETCH 1 (FLAGS", "x BAD");
	expect(&c, "FETCH 1 (ALL)", "x BAD");
	expect(&c, "FETCH 1 ()", "x BAD");
	expect(&c, "FETCH 1 NONSENSE", "x BAD");
	client_end(&c);
}

/* A message that is a file: whole, in parts, its header. */
WORLD_TEST(test_large)
{
	struct client c;
	struct buf BUF_CLEANUP big;
	char want[100];
	size_t body_at;

	buf_init(&big, 1u << 24);
	buf_put(&big, SLICE("Subject: big\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"));
	body_at = big.n;
	buf_put(&big, SLICE("--b\r\n\r\nsmall\r\n--b\r\nContent-Type: application/octet-stream\r\n\r\n"));
	for (int i = 0; i < 50000; i++)
		buf_printf(&big, "line number %d of a long attachment\r\n", i);
	buf_put(&big, SLICE("--b--\r\n"));
	assert_int_equal(big.err, 0);
	client_start(&c, w);
	append(&c, "INBOX", buf_slice(&big));
	expect(&c, "SELECT INBOX", "* 1 EXISTS");
	ask(&c, "FETCH 1 BODY.PEEK[]");
	(void)snprintf(want, sizeof(want), "* 1 FETCH (BODY[] {%zu}\r\n", big.n);
	wants((const char *)c.out.p, want, "BODY[]");
	assert_memory_equal(c.out.p + strlen(want), big.p, big.n);
	ask(&c, "FETCH 1 BODY.PEEK[TEXT]");
	(void)snprintf(want, sizeof(want), "* 1 FETCH (BODY[TEXT] {%zu}\r\n", big.n - body_at);
	wants((const char *)c.out.p, want, "BODY[TEXT]");
	assert_memory_equal(c.out.p + strlen(want), big.p + body_at, big.n - body_at);
	exactly(&c, "FETCH 1 BODY.PEEK[HEADER.FIELDS (Subject)]",
	    "* 1 FETCH (BODY[HEADER.FIELDS (Subject)] {16}\r\nSubject: big\r\n\r\n)\r\n");
	exactly(&c, "FETCH 1 BODY.PEEK[1]", "* 1 FETCH (BODY[1] {5}\r\nsmall)\r\n");
	exactly(&c, "FETCH 1 BODY.PEEK[2]<5.6>", "* 1 FETCH (BODY[2]<5> {6}\r\nnumber)\r\n");
	expect(&c, "FETCH 1 BODY.PEEK[]<1000000.6>", "* 1 FETCH (BODY[]<1000000> {6}\r\n");
	/* Told anew, then from memory: alike. */
	expect(&c, "FETCH 1 (ENVELOPE BODYSTRUCTURE)", "\"big\"");
	{
		struct slice first = slice_of(strdup((char *)c.out.p), c.out.n);

		ask(&c, "FETCH 1 (ENVELOPE BODYSTRUCTURE)");
		assert_true(slice_eq(first, buf_slice(&c.out)));
		ask(&c, "FETCH 1 (ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER]<0.7>)");
		wants((char *)c.out.p, " BODY[HEADER]<0> {7}\r\nSubject)\r\n", "from memory, with a section");
		expect(&c, "FETCH 1 BODY", "((\"text\" \"plain\"");
		free((void *)(uintptr_t)first.p);
	}
	expect(&c, "FETCH 1 BODY[HEADER]", "* 1 FETCH (FLAGS (\\Seen \\Recent) BODY[HEADER] {");
	client_end(&c);
}

/* More messages than a batch, sizes around what is kept inline. */
WORLD_TEST(test_many)
{
	struct client c;
	struct buf BUF_CLEANUP m;
	const char *at;

	buf_init(&m, 1u << 20);
	client_start(&c, w);
	for (int i = 1; i <= 200; i++) {
		buf_reset(&m);
		buf_printf(&m, "Subject: number %d\r\n\r\n", i);
		for (int k = 0; k < (i % 50 == 0 ? 200000 : i * 37); k++)
			buf_put_u8(&m, (uint8_t)('a' + k % 26));
		append(&c, "INBOX", buf_slice(&m));
	}
	expect(&c, "SELECT INBOX", "* 200 EXISTS");
	at = ask(&c, "FETCH 1:* (BODY.PEEK[])");
	for (int i = 1; i <= 200; i++) {
		char subject[40];

		(void)snprintf(subject, sizeof(subject), "\r\nSubject: number %d\r\n\r\nabc", i);
		wants(at, subject, "FETCH 1:*");
	}
	wants(at, "x OK", "FETCH 1:*");
	/* Large messages among small ones: each is told its own. */
	at = ask(&c, "FETCH 1:* (ENVELOPE BODY.PEEK[HEADER.FIELDS (subject)])");
	for (int i = 1; i <= 200; i++) {
		char told[160];

		(void)snprintf(told, sizeof(told),
		    "* %d FETCH (ENVELOPE (NIL \"number %d\" NIL NIL NIL NIL NIL NIL NIL NIL) "
		    "BODY[HEADER.FIELDS (subject)] {%d}\r\nSubject: number %d\r\n\r\n)\r\n",
		    i, i, 21 + (i > 9) + (i > 99), i);
		wants(at, told, "FETCH 1:* of headers");
	}
	expect(&c, "FETCH 200:1 (FLAGS)", "* 200 FETCH (FLAGS");
	expect(&c, "FETCH 2:4,199 BODY[HEADER.FIELDS (subject)]",
	    "* 199 FETCH (FLAGS (\\Seen \\Recent) BODY[HEADER.FIELDS (subject)] {23}\r\nSubject: number "
	    "199\r\n\r\n)\r\n");
	client_end(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sections),
	    cmocka_unit_test(test_structure),
	    cmocka_unit_test(test_items),
	    cmocka_unit_test(test_large),
	    cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
