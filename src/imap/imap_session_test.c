/* Sessions: states, mailboxes, flags, copies, news between sessions, IDLE, and clients that mean harm. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "imap/imap_testing.h"

#define MAIL SLICE("From: a@example.test\r\nSubject: one\r\n\r\nbody\r\n")

WORLD_TEST(test_states)
{
	struct client c;

	client_start(&c, w);
	expect(&c, "CAPABILITY", "* CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ ID ENABLE IDLE ");
	expect(&c, "NOOP", "x OK");
	expect(&c, "FETCH 1 FLAGS", "x BAD");
	expect(&c, "LOGIN a b", "x BAD");
	expect(&c, "STARTTLS", "x BAD");
	expect(&c, "UID NOOP", "x BAD");
	expect(&c, "NAMESPACE", "* NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) NIL\r\nx OK");
	expect(&c, "ID NIL", "* ID (\"name\" \"Posthouse\"");
	expect(&c, "ID (\"name\" \"x\" \"version\" NIL)", "x OK");
	expect(&c, "ENABLE CONDSTORE UTF8=ACCEPT", "* ENABLED CONDSTORE UTF8=ACCEPT\r\nx OK");
	expect(&c, "ENABLE", "x BAD");
	expect(&c, "SELECT nowhere", "x NO [NONEXISTENT]");
	expect(&c, "SELECT inbox", "* 0 EXISTS\r\n* 0 RECENT\r\n");
	wants((const char *)c.out.p, "x OK [READ-WRITE]", "SELECT");
	wants((const char *)c.out.p, "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n", "SELECT");
	wants((const char *)c.out.p, "[PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)]", "SELECT");
	wants((const char *)c.out.p, "[UIDNEXT 1]", "SELECT");
	wants((const char *)c.out.p, "[UIDVALIDITY ", "SELECT");
	expect(&c, "FETCH 1:* FLAGS", "x BAD");
	expect(&c, "UID FETCH 1:* FLAGS", "x OK");
	expect(&c, "EXAMINE INBOX", "x OK [READ-ONLY]");
	wants((const char *)c.out.p, "[PERMANENTFLAGS ()]", "EXAMINE");
	expect(&c, "CHECK", "x OK");
	expect(&c, "UNSELECT", "x OK");
	expect(&c, "CLOSE", "x BAD");
	expect(&c, "SELECT INBOX", "x OK");
	expect(&c, "SELECT nowhere", "x NO");
	expect(&c, "CHECK", "x BAD");
	expect(&c, "nonsense", "x BAD");
	expect(&c, "LOGOUT", "* BYE ");
	wants((const char *)c.out.p, "x OK", "LOGOUT");
	fiber_join(w->p->loop, &c.fiber);
	assert_int_equal(c.result, 0);
	stream_close(&c.st);
	buf_free(&c.out);
	assert_int_equal(w->counters.sessions_open, 0);
}

WORLD_TEST(test_mailboxes)
{
	struct client c;

	client_start(&c, w);
	exactly(&c, "LIST \"\" \"\"", "* LIST (\\Noselect) \"/\" \"\"\r\n");
	exactly(&c, "LIST \"\" %",
	    "* LIST (\\HasNoChildren) \"/\" INBOX\r\n* LIST (\\HasNoChildren \\Archive) \"/\" Archive\r\n"
	    "* LIST (\\HasNoChildren \\Drafts) \"/\" Drafts\r\n* LIST (\\HasNoChildren \\Junk) \"/\" Junk\r\n"
	    "* LIST (\\HasNoChildren \\Sent) \"/\" Sent\r\n* LIST (\\HasNoChildren \\Trash) \"/\" Trash\r\n");
	expect(&c, "CREATE a/b/c", "x OK");
	exactly(&c, "LIST \"\" a%", "* LIST (\\HasChildren) \"/\" a\r\n");
	exactly(&c, "LIST a/ %", "* LIST (\\HasChildren) \"/\" a/b\r\n");
	exactly(&c, "LIST \"\" a*c", "* LIST (\\HasNoChildren) \"/\" a/b/c\r\n");
	expect(&c, "CREATE a/b/c", "x NO [ALREADYEXISTS]");
	expect(&c, "CREATE \"Entw&APw-rfe\"", "x OK");
	exactly(&c, "LIST \"\" Entw*", "* LIST (\\HasNoChildren) \"/\" Entw&APw-rfe\r\n");
	expect(&c, "CREATE \"bad&name\"", "x NO [CANNOT]");
	expect(&c, "CREATE \"a//b\"", "x NO [CANNOT]");
	expect(&c, "CREATE {5+}\r\nlit\"x", "x OK");
	exactly(&c, "LIST \"\" lit*", "* LIST (\\HasNoChildren) \"/\" \"lit\\\"x\"\r\n");
	expect(&c, "DELETE INBOX", "x NO");
	expect(&c, "DELETE nowhere", "x NO [NONEXISTENT]");
	expect(&c, "DELETE a/b", "x OK");
	exactly(&c, "LIST \"\" a/%", "* LIST (\\Noselect \\HasChildren) \"/\" a/b\r\n");
	expect(&c, "SELECT a/b", "x NO");
	expect(&c, "STATUS a/b (MESSAGES)", "x NO");
	expect(&c, "RENAME a z", "x OK");
	exactly(&c, "LIST \"\" z*",
	    "* LIST (\\HasChildren) \"/\" z\r\n* LIST (\\Noselect \\HasChildren) \"/\" z/b\r\n* LIST (\\HasNoChildren) "
	    "\"/\" z/b/c\r\n");
	expect(&c, "RENAME z z/inner", "x NO");
	expect(&c, "SUBSCRIBE z/b/c", "x OK");
	expect(&c, "SUBSCRIBE INBOX", "x OK");
	expect(&c, "LSUB \"\" *", "* LSUB () \"/\" z/b/c\r\n");
	expect(&c, "LSUB \"\" %", "* LSUB (\\Noselect) \"/\" z\r\n");
	expect(&c, "LSUB \"\" z/%", "* LSUB (\\Noselect) \"/\" z/b\r\n");
	expect(&c, "UNSUBSCRIBE z/b/c", "x OK");
	exactly(&c, "LSUB \"\" z*", "");
	expect(&c, "STATUS INBOX (MESSAGES UIDNEXT UIDVALIDITY UNSEEN RECENT)",
	    "* STATUS INBOX (MESSAGES 0 RECENT 0 UIDNEXT 1 UIDVALIDITY ");
	expect(&c, "STATUS INBOX (MESSAGES NONSENSE)", "x BAD");
	expect(&c, "STATUS INBOX ()", "x BAD");
	expect(&c, "LIST \"\" &AOQ*", "x OK");
	client_end(&c);
}

WORLD_TEST(test_append)
{
	struct client c;

	client_start(&c, w);
	expect(&c, "APPEND nowhere {5}", "x NO [TRYCREATE]");
	expect(&c, "APPEND INBOX {0}", "x NO");
	expect(&c, "APPEND INBOX {4294967296}", "x NO [TOOBIG]");
	expect(&c, "APPEND INBOX {99999999999999999999999}", "x BAD");
	expect(&c, "APPEND INBOX nonsense {5}", "x BAD");
	expect(&c, "APPEND INBOX (\\Recent) {5}", "x BAD");
	expect(&c, "APPEND INBOX \"31-Feb-2024 00:00:00 +0000\" {5}", "x BAD");
	expect(&c, "APPEND INBOX", "x BAD");
	/* Synchronising: our word, then the message, then the line's end. */
	client_send(&c, SLICE("x APPEND {5}\r\n"));
	wants(client_until(&c, "+"), "+ ", "APPEND");
	client_send(&c, SLICE("INBOX (\\Seen work) \"01-Feb-1994 21:52:25 -0800\" {5}\r\n"));
	wants(client_until(&c, "+"), "+ ", "APPEND");
	client_send(&c, SLICE("a:b\r\n"));
	client_send(&c, SLICE("\r\n"));
	wants(client_until(&c, "x "), "x OK [APPENDUID ", "APPEND");
	/* A refused one that comes all the same is skipped. */
	client_send(&c, SLICE("x APPEND nowhere {5+}\r\na:b\r\n\r\nx NOOP\r\n"));
	wants(client_until(&c, "x "), "x NO [TRYCREATE]", "APPEND");
	wants(client_until(&c, "x "), "x OK", "NOOP");
	append(&c, "INBOX", SLICE("bytes \0\x80\xff with NUL\r\n"));
	expect(&c, "SELECT INBOX", "* 2 EXISTS");
	exactly(&c, "FETCH 1 (UID FLAGS INTERNALDATE RFC822.SIZE)",
	    "* 1 FETCH (UID 1 FLAGS (\\Seen \\Recent work) INTERNALDATE \" 2-Feb-1994 05:52:25 +0000\" RFC822.SIZE "
	    "5)\r\n");
	ask(&c, "FETCH 2 BODY.PEEK[]");
	assert_non_null(memmem(c.out.p, c.out.n, "{20}\r\nbytes \0\x80\xff with NUL\r\n)\r\n", 29));
	/* Appending to the selected mailbox is news at once. */
	client_send(&c, SLICE("x APPEND INBOX {5+}\r\na:b\r\n\r\n"));
	wants(client_until(&c, "x "), "* 3 EXISTS\r\n", "APPEND");
	client_end(&c);
}

WORLD_TEST(test_flags)
{
	struct client c;

	client_start(&c, w);
	for (int i = 0; i < 5; i++)
		append(&c, "INBOX", MAIL);
	expect(&c, "SELECT INBOX", "* 5 EXISTS");
	exactly(&c, "STORE 1,3 +FLAGS (\\Seen)",
	    "* 1 FETCH (FLAGS (\\Seen \\Recent))\r\n* 3 FETCH (FLAGS (\\Seen \\Recent))\r\n");
	exactly(&c, "STORE 1 +FLAGS (\\Seen)", "* 1 FETCH (FLAGS (\\Seen \\Recent))\r\n");
	exactly(&c, "STORE 1 -FLAGS.SILENT \\Seen", "");
	exactly(&c, "FETCH 1 FLAGS", "* 1 FETCH (FLAGS (\\Recent))\r\n");
	expect(&c, "STORE 2 FLAGS (\\Deleted $Forwarded)", "* 2 FETCH (FLAGS (\\Deleted \\Recent $Forwarded))\r\n");
	wants((const char *)c.out.p, "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded)\r\n", "STORE");
	expect(&c, "UID STORE 5:* +FLAGS $forwarded \\Flagged",
	    "* 5 FETCH (UID 5 FLAGS (\\Flagged \\Recent $Forwarded))\r\n");
	exactly(&c, "UID STORE 99 +FLAGS \\Seen", "");
	exactly(&c, "STORE 5 FLAGS ()", "* 5 FETCH (FLAGS (\\Recent))\r\n");
	expect(&c, "STORE 6 FLAGS ()", "x BAD");
	expect(&c, "STORE 1 FLAGS (\\Recent)", "x BAD");
	expect(&c, "STORE 1 FLAGS (\\Nonsense)", "x BAD");
	expect(&c, "STORE 1 FLAG (\\Seen)", "x BAD");
	exactly(&c, "UID EXPUNGE 3:4", "");
	exactly(&c, "EXPUNGE", "* 2 EXPUNGE\r\n");
	expect(&c, "STORE 1:4 +FLAGS.SILENT (\\Deleted)", "x OK");
	exactly(&c, "UID EXPUNGE 3,5", "* 2 EXPUNGE\r\n* 3 EXPUNGE\r\n");
	expect(&c, "CLOSE", "x OK");
	expect(&c, "STATUS INBOX (MESSAGES)", "MESSAGES 0)");
	expect(&c, "EXAMINE INBOX", "x OK");
	append(&c, "INBOX", MAIL);
	expect(&c, "NOOP", "x OK");
	expect(&c, "STORE 1 +FLAGS \\Seen", "x NO");
	expect(&c, "EXPUNGE", "x NO");
	expect(&c, "MOVE 1 Trash", "x NO");
	expect(&c, "FETCH 1 BODY[]", "x OK");
	exactly(&c, "FETCH 1 FLAGS", "* 1 FETCH (FLAGS (\\Recent))\r\n");
	client_end(&c);
}

WORLD_TEST(test_copy)
{
	struct client c;

	client_start(&c, w);
	for (int i = 0; i < 4; i++)
		append(&c, "INBOX", MAIL);
	expect(&c, "SELECT INBOX", "* 4 EXISTS");
	expect(&c, "COPY 1:2 nowhere", "x NO [TRYCREATE]");
	expect(&c, "COPY 1:2 Trash", " 1:2 1:2]");
	expect(&c, "UID COPY 4,1 Trash", " 1,4 3:4]");
	expect(&c, "UID COPY 50 Trash", "x OK done");
	expect(&c, "COPY 1 INBOX", " 1 5]");
	expect(&c, "MOVE 2:3 Archive", " 2:3 1:2]");
	wants((const char *)c.out.p, "* 2 EXPUNGE\r\n", "MOVE");
	expect(&c, "UID MOVE 5 Archive", "* OK [COPYUID ");
	expect(&c, "STATUS Archive (MESSAGES)", "MESSAGES 3)");
	expect(&c, "NOOP", "x OK");
	exactly(&c, "FETCH 1:2 UID", "* 1 FETCH (UID 1)\r\n* 2 FETCH (UID 4)\r\n");
	client_end(&c);
}

WORLD_TEST(test_news)
{
	struct client a, b;

	client_start(&a, w);
	client_start(&b, w);
	for (int i = 0; i < 3; i++)
		append(&a, "INBOX", MAIL);
	expect(&a, "SELECT INBOX", "* 3 EXISTS\r\n* 3 RECENT");
	expect(&b, "SELECT INBOX", "* 3 EXISTS\r\n* 0 RECENT");
	expect(&a, "STORE 2 +FLAGS \\Flagged", "x OK");
	exactly(&b, "NOOP", "* 2 FETCH (FLAGS (\\Flagged))\r\n");
	expect(&a, "STORE 1 +FLAGS.SILENT \\Deleted", "x OK");
	expect(&a, "EXPUNGE", "* 1 EXPUNGE\r\n");
	append(&a, "INBOX", MAIL);
	/* No EXPUNGE during FETCH, STORE and SEARCH by numbers; the message that is gone cannot be read. */
	expect(&b, "FETCH 2 FLAGS", "* 2 FETCH (FLAGS (\\Flagged))\r\n");
	assert_null(strstr((const char *)b.out.p, "EXPUNGE"));
	expect(&b, "FETCH 1 BODY.PEEK[]", "x NO [EXPUNGEISSUED]");
	assert_null(strstr((const char *)b.out.p, " EXPUNGE\r\n"));
	expect(&b, "SEARCH ALL", "* SEARCH 2 3 4\r\n");
	expect(&b, "STORE 1 +FLAGS \\Seen", "x NO [EXPUNGEISSUED]");
	exactly(&b, "UID FETCH 2 FLAGS", "* 2 FETCH (UID 2 FLAGS (\\Flagged))\r\n* 1 EXPUNGE\r\n");
	exactly(&b, "FETCH 1 FLAGS", "* 1 FETCH (FLAGS (\\Flagged))\r\n");
	/* A mailbox that is deleted or renamed under a session. */
	expect(&a, "CREATE room", "x OK");
	expect(&b, "SELECT room", "x OK");
	expect(&a, "RENAME room chamber", "x OK");
	expect(&b, "NOOP", "x OK");
	append(&a, "chamber", MAIL);
	expect(&b, "NOOP", "* 1 EXISTS");
	expect(&a, "SELECT chamber", "x OK");
	expect(&a, "DELETE chamber", "x OK");
	expect(&a, "FETCH 1 FLAGS", "x BAD");
	ask(&b, "NOOP");
	wants(client_until(&b, "* BYE"), "* BYE", "deleted under us");
	client_end(&a);
	client_end(&b);
}

WORLD_TEST(test_idle)
{
	struct client a, b;

	client_start(&a, w);
	client_start(&b, w);
	expect(&b, "SELECT INBOX", "x OK");
	client_send(&b, SLICE("i IDLE\r\n"));
	wants(client_until(&b, "+"), "+ idling", "IDLE");
	append(&a, "INBOX", MAIL);
	wants(client_until(&b, "* 1 RECENT"), "* 1 EXISTS\r\n* 1 RECENT\r\n", "IDLE");
	expect(&a, "SELECT INBOX", "x OK");
	expect(&a, "STORE 1 +FLAGS (\\Deleted)", "x OK");
	wants(client_until(&b, "* 1 FETCH"), "* 1 FETCH (FLAGS (\\Deleted \\Recent))\r\n", "IDLE");
	expect(&a, "EXPUNGE", "x OK");
	wants(client_until(&b, "* 1 EXPUNGE"), "* 1 EXPUNGE\r\n", "IDLE");
	client_send(&b, SLICE("DO"));
	assert_int_equal(fiber_sleep(w->p->loop, 20), 0);
	client_send(&b, SLICE("NE\r\nx NOOP\r\n"));
	wants(client_until(&b, "i "), "i OK", "DONE");
	wants(client_until(&b, "x "), "x OK", "NOOP");
	/* Without a mailbox too; and anything but DONE ends it with BAD. */
	expect(&b, "UNSELECT", "x OK");
	client_send(&b, SLICE("i IDLE\r\nx NOOP\r\n"));
	wants(client_until(&b, "i "), "i BAD", "IDLE");
	expect(&b, "NOOP", "x OK");
	client_send(&b, SLICE("i IDLE\r\n"));
	wants(client_until(&b, "+"), "+ idling", "IDLE");
	assert_int_equal(w->counters.idling, 1);
	/* Shutdown wakes it. */
	w->stopping = true;
	fiber_wake(b.fiber);
	wants(client_until(&b, "* BYE"), "* BYE", "shutdown");
	fiber_join(w->p->loop, &b.fiber);
	assert_int_equal(b.result, 0);
	assert_int_equal(w->counters.idling, 0);
	client_end(&a);
	stream_close(&b.st);
	buf_free(&b.out);
}

WORLD_TEST(test_timeouts)
{
	struct client c;

	w->p->house.limits.imap_idle_timeout_ms = 50;
	client_start(&c, w);
	wants(client_until(&c, "* BYE"), "* BYE", "autologout");
	client_end(&c);
	client_start(&c, w);
	client_send(&c, SLICE("i IDLE\r\n"));
	wants(client_until(&c, "* BYE"), "+ idling\r\n* BYE", "autologout");
	client_end(&c);
}

/* A cancelled session ends, whatever it does. */
WORLD_TEST(test_cancel)
{
	struct client c;

	client_start(&c, w);
	fiber_cancel(c.fiber);
	client_end(&c);
	assert_int_equal(c.result, ERR_CANCELLED);
	client_start(&c, w);
	client_send(&c, SLICE("x LOGIN {100}\r\n"));
	wants(client_until(&c, "+"), "+ ", "literal");
	fiber_cancel(c.fiber);
	client_end(&c);
	assert_int_equal(c.result, ERR_CANCELLED);
}

WORLD_TEST(test_pipelining)
{
	struct client c;
	struct buf BUF_CLEANUP all;

	client_start(&c, w);
	buf_init(&all, 1 << 20);
	for (int i = 0; i < 1000; i++)
		buf_printf(&all, "x%d NOOP\r\n", i);
	client_send(&c, buf_slice(&all));
	wants(client_until(&c, "x999 "), "x500 OK", "pipelining");
	client_end(&c);
}

/* RFC 5465: between commands, of the whole account. */
WORLD_TEST(test_notify)
{
	struct client one, two;

	client_start(&one, w);
	client_start(&two, w);
	expect(&two, "CREATE box", "x OK");
	expect(&one,
	    "NOTIFY SET (selected (MessageNew (UID) MessageExpunge)) (personal (MessageNew MessageExpunge "
	    "MailboxName))",
	    "x OK");
	append(&two, "box", MAIL);
	wants(client_until(&one, "* STATUS"), "* STATUS box (MESSAGES 1 UIDNEXT 2 UIDVALIDITY ", "APPEND");
	expect(&one, "SELECT box", "x OK");
	append(&two, "box", MAIL);
	wants(client_until(&one, "* 2 FETCH"), "* 2 EXISTS\r\n* 2 RECENT\r\n* 2 FETCH (UID 2)\r\n", "APPEND");
	/* What the session itself does is no news to it. */
	append(&one, "box", MAIL);
	exactly(&one, "CREATE own", "");
	exactly(&one, "COPY 1 INBOX", "");
	expect(&two, "SELECT box", "x OK");
	expect(&two, "STORE 1 +FLAGS (\\Deleted)", "x OK");
	expect(&two, "EXPUNGE", "x OK");
	wants(client_until(&one, "* 1 EXPUNGE"), "* 1 EXPUNGE", "EXPUNGE");
	expect(&two, "RENAME own of/another", "x OK");
	wants(client_until(&one, "* LIST (\\HasNoChildren)"),
	    "* LIST (\\HasChildren) \"/\" of\r\n* LIST (\\HasNoChildren) \"/\" of/another (\"OLDNAME\" (own))\r\n",
	    "RENAME");
	/* The mailbox that it has goes under it. */
	expect(&two, "DELETE box", "x OK");
	wants(client_until(&one, "* BYE"), "* BYE ", "DELETE");
	client_end(&one);
	client_end(&two);
}

/* A client that never reads hears no more once too much waits for it, its session ends when writing takes too long, and nobody else
 * waits for it. */
WORLD_TEST(test_notify_unread)
{
	struct client one, two;
	struct buf BUF_CLEANUP line;

	w->p->house.limits.write_timeout_ms = 200;
	w->p->house.limits.imap_notify_pending = 50;
	client_start(&one, w);
	client_start(&two, w);
	expect(&one, "NOTIFY SET (personal (ServerMetadataChange))", "x OK");
	buf_init(&line, 1u << 20);
	for (int round = 0; round < 200; round++) {
		buf_reset(&line);
		buf_put(&line, SLICE("SETMETADATA \"\" ("));
		for (int i = 0; i < 40; i++)
			buf_printf(&line, "%s/shared/%0400d/%d NIL", i == 0 ? "" : " ", round, i);
		buf_put(&line, SLICE(")"));
		buf_put_u8(&line, 0);
		expect(&two, (const char *)line.p, "x OK");
		if (w->counters.sessions_open == 1)
			break;
	}
	for (int i = 0; i < 100 && w->counters.sessions_open == 2; i++)
		assert_int_equal(fiber_sleep(w->p->loop, 20), 0);
	assert_int_equal(w->counters.sessions_open, 1);
	expect(&two, "NOOP", "x OK");
	client_end(&one);
	client_end(&two);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_states),
	    cmocka_unit_test(test_mailboxes),
	    cmocka_unit_test(test_append),
	    cmocka_unit_test(test_flags),
	    cmocka_unit_test(test_copy),
	    cmocka_unit_test(test_news),
	    cmocka_unit_test(test_idle),
	    cmocka_unit_test(test_timeouts),
	    cmocka_unit_test(test_cancel),
	    cmocka_unit_test(test_pipelining),
	    cmocka_unit_test(test_notify),
	    cmocka_unit_test(test_notify_unread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
