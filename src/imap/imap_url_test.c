#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "imap/imap_url.h"

static const struct {
	const char *text;
	int result;
	const char *mailbox;
	uint32_t uidvalidity, uid;
	const char *section;
	uint32_t offset, count;
} cases[] = {
    /* RFC 4469 §3.1 and §6 */
    {"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER", 0, "Drafts", 385759045, 20, "HEADER", 0, 0},
    {"/Drafts;UIDVALIDITY=385759045/;UID=30/;section=3.MIME", 0, "Drafts", 385759045, 30, "3.MIME", 0, 0},
    {"imap://user@host.example/INBOX/;UID=7", 0, "INBOX", 0, 7, "", 0, 0},
    {"/a%2Fb%20c%C3%BC/;UID=7/;PARTIAL=10.20", 0, "a/b c\xc3\xbc", 0, 7, "", 10, 20},
    {"/a/b/;UID=1/;SECTION=1.2/;PARTIAL=5", 0, "a/b", 0, 1, "1.2", 5, 0},
    {";UID=9", 0, "", 0, 9, "", 0, 0},
    {"/;UID=9/;SECTION=TEXT", 0, "", 0, 9, "TEXT", 0, 0},
    {"", ERR_SYNTAX, "", 0, 0, "", 0, 0},
    {"/INBOX", ERR_SYNTAX, "", 0, 0, "", 0, 0},
    {"/INBOX/;UID=0", ERR_SYNTAX, "", 0, 0, "", 0, 0},
    {"/INBOX/;UID=4294967296", ERR_SYNTAX, "", 0, 0, "", 0, 0},
    {"/INBOX/;UID=1x", ERR_SYNTAX, "", 0, 0, "", 0, 0},
    {"/INBOX/;UID=1/;SECTION=", ERR_SYNTAX, "", 0, 0, "", 0, 0},
    {"/INBOX/;UID=1/;PARTIAL=1.0", ERR_SYNTAX, "", 0, 0, "", 0, 0},
    {"/INBOX/;UID=1/;URLAUTH=anonymous", ERR_SYNTAX, "", 0, 0, "", 0, 0},
    {"/IN%00BOX/;UID=1", ERR_SYNTAX, "", 0, 0, "", 0, 0},
    {"/IN%4/;UID=1", ERR_SYNTAX, "", 0, 0, "", 0, 0},
    {"http://host/INBOX", ERR_SYNTAX, "", 0, 0, "", 0, 0},
};

static void
test_urls(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct arena ARENA_CLEANUP a;
		struct imap_url u;

		arena_init(&a, 1 << 16);
		if (imap_url_parse(slice_z(cases[i].text), &a, &u) != cases[i].result)
			fail_msg("%s", cases[i].text);
		if (cases[i].result != 0)
			continue;
		assert_true(slice_eq(u.mailbox, slice_z(cases[i].mailbox)));
		assert_true(slice_eq(u.section, slice_z(cases[i].section)));
		assert_int_equal(u.uidvalidity, cases[i].uidvalidity);
		assert_int_equal(u.uid, cases[i].uid);
		assert_int_equal(u.offset, cases[i].offset);
		assert_int_equal(u.count, cases[i].count);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_urls)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
