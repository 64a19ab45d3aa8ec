/* What `posthouse fsck` finds in an account, what it mends, and what it puts aside. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/store_check.h"
#include "store/store_testing.h"

#include <dirent.h>
#include <fcntl.h>

#define MAIL "Message-ID: <one@example.test>\r\nSubject: Hello\r\n\r\nText\r\n"

static size_t
check(struct place *p, const char *id, bool repair, const char *kind)
{
	struct arena ARENA_CLEANUP mem;
	struct store_finding *v;
	size_t n, same = 0;

	arena_init(&mem, 1u << 24);
	assert_int_equal(store_account_check(p->store, slice_z(id), repair, &mem, &v, &n), 0);
	for (size_t i = 0; i < n; i++) {
		if (getenv("SHOW") != NULL)
			(void)printf("%s: %.*s (%d)\n", v[i].kind, SLICE_ARG(v[i].detail), (int)v[i].mended);
		same += kind != NULL && strcmp(v[i].kind, kind) == 0;
	}
	return kind == NULL ? n : same;
}

static int
exec_text(struct sqltx *tx, void *arg)
{
	return sql_exec(tx, arg, NULL, 0);
}

/* SQL in the account's database, which the store has closed. */
static void
with_sql(struct place *p, const char *id, const char *sql)
{
	char place[STORE_PLACE_MAX], path[256];
	struct sqldb_config c = {
	    .path = path, .migrations = store_migrations, .migrations_count = store_migrations_count};
	struct buf BUF_CLEANUP detail;
	struct sqldb *db;

	buf_init(&detail, 4096);
	assert_int_equal(store_account_place(slice_z(id), place), 0);
	(void)snprintf(path, sizeof(path), "%s/%s/mail.db", p->dir, place);
	assert_int_equal(store_close(&p->store), 0);
	assert_int_equal(sqldb_open(&db, &p->house, &c, &detail), 0);
	assert_int_equal(sql_write_blocking(db, exec_text, &(struct sql_text){"test", sql}), 0);
	sqldb_close(&db);
	place_open(p);
}

static void
make_mail(struct place *p)
{
	struct store_account *a = make_account(p, "01A");

	for (uint64_t i = 1; i <= 5; i++)
		deliver_ok(a, i, MAIL);
	(void)append_ok(a, "Sent", MAIL, STORE_SEEN | STORE_DELETED);
	store_account_put(&a);
	assert_int_equal(check(p, "01A", false, NULL), 0);
}

static void
body_rows(struct place *p)
{
	static const struct {
		const char *sql, *kind;
	} v[] = {
	    {"UPDATE mailboxes SET messages = 77, unseen = 3 WHERE name = 'INBOX'", "mailbox_counts"},
	    {"UPDATE mailboxes SET deleted = 0 WHERE name = 'Sent'", "mailbox_counts"},
	    {"UPDATE mailboxes SET uidnext = 2 WHERE name = 'INBOX'", "mailbox_uidnext"},
	    {"UPDATE mailboxes SET highestmodseq = 1 WHERE name = 'INBOX'", "mailbox_modseq"},
	    {"UPDATE account SET used_bytes = 5", "account_bytes"},
	    {"UPDATE account SET next_mailbox = 2", "account_counters"},
	    {"UPDATE emails SET size = size + 1 WHERE email = (SELECT MIN(email) FROM emails)", "email_size"},
	    {"UPDATE placements SET size = 1 WHERE uid = 3", "placement_size"},
	    {"DELETE FROM placements WHERE uid = 2", "email_unplaced"},
	    {"DELETE FROM emails WHERE email = (SELECT MAX(email) FROM emails)", "placement_without_email"},
	    {"UPDATE placements SET mailbox = 55 WHERE uid = 4", "placement_without_mailbox"},
	    {"INSERT INTO tombstones SELECT account_id, mailbox, 1, uid FROM placements WHERE uid = 3",
		"tombstone_of_living"},
	    {"INSERT INTO tombstones SELECT account_id, 99, 1, 1 FROM account", "tombstone_without_mailbox"},
	    {"INSERT INTO metadata SELECT account_id, 99, x'61', x'61' FROM account", "metadata_without_mailbox"},
	    {"INSERT INTO caches SELECT account_id, 99, x'61' FROM account", "cache_without_email"},
	    {"INSERT INTO thread_refs SELECT account_id, x'61', 99, x'61' FROM account", "thread_without_email"},
	    {"DELETE FROM mailboxes WHERE name = 'INBOX'", "inbox_missing"},
	    {"DELETE FROM account", "database_damaged"},
	};

	make_mail(p);
	for (size_t i = 0; i < COUNT_OF(v); i++) {
		size_t found;

		with_sql(p, "01A", v[i].sql);
		found = check(p, "01A", false, v[i].kind);
		if (found == 0)
			fail_msg("%s: not found", v[i].sql);
		assert_int_equal(check(p, "01A", false, v[i].kind), found); /* a look changes nothing */
		assert_int_equal(check(p, "01A", true, v[i].kind), found);
		if (check(p, "01A", false, NULL) != 0)
			fail_msg("%s: not mended", v[i].sql);
	}
}

/* Nothing is lost: a message without a place is found again. */
static void
body_recovered(struct place *p)
{
	struct store_account *a;
	struct store_view *v;

	make_mail(p);
	with_sql(
	    p, "01A", "DELETE FROM placements WHERE mailbox IN (SELECT mailbox FROM mailboxes WHERE name = 'INBOX')");
	a = get_account(p, "01A");
	v = open_view(a, "INBOX");
	assert_int_equal(check(p, "01A", true, "email_unplaced"), 5);
	assert_int_equal(store_view_next(v, true).kind, STORE_EVENT_GONE);
	store_view_close(&v);
	v = open_view(a, "Recovered");
	assert_int_equal(store_view_count(v), 5);
	store_view_close(&v);
	store_account_put(&a);
	assert_int_equal(check(p, "01A", false, NULL), 0);
}

static char *
account_file(struct place *p, const char *name, char out[256])
{
	char place[STORE_PLACE_MAX];

	assert_int_equal(store_account_place(SLICE("01A"), place), 0);
	(void)snprintf(out, 256, "%s/%s/%s", p->dir, place, name);
	return out;
}

/* The first file of a folder of the account whose name begins so; false: none. */
static bool
find_file(struct place *p, const char *folder, const char *begin, char out[512])
{
	char path[256];
	DIR *d = opendir(account_file(p, folder, path));
	struct dirent *e;
	bool found = false;

	while (d != NULL && !found && (e = readdir(d)) != NULL) {
		found = e->d_name[0] != '.' && strncmp(e->d_name, begin, strlen(begin)) == 0;
		(void)snprintf(out, 512, "%s/%s", path, e->d_name);
	}
	if (d != NULL)
		(void)closedir(d);
	return found;
}

static void
body_files(struct place *p)
{
	char path[256], file[512], text[512];
	struct store_account *a;
	ssize_t n;
	int fd;

	p->house.limits.body_inline_bytes = 16;
	make_mail(p); /* each is a file */
	fd = open(account_file(p, "blobs/0123456789abcdef0123456789abcdef", path), O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, MAIL, 20), 20);
	close(fd);
	assert_int_equal(check(p, "01A", false, "file_without_message"), 1);
	assert_int_equal(check(p, "01A", true, "file_without_message"), 1);
	assert_int_equal(access(account_file(p, "aside/0123456789abcdef0123456789abcdef.eml", path), R_OK), 0);
	assert_int_equal(check(p, "01A", false, NULL), 0);
	/* One that is gone: its header is put aside, the message stays listed. */
	a = get_account(p, "01A");
	store_account_put(&a);
	assert_true(find_file(p, "blobs", "", file));
	assert_int_equal(unlink(file), 0);
	assert_int_equal(check(p, "01A", false, "file_missing"), 1);
	assert_int_equal(check(p, "01A", true, "file_missing"), 1);
	assert_true(find_file(p, "aside", "header-", file));
	fd = open(file, O_RDONLY);
	n = read(fd, text, sizeof(text));
	assert_true(n > 0 && slice_find(slice_of(text, (size_t)n), SLICE("Subject: Hello")) != SLICE_NONE);
	close(fd);
}

static void
tag_first(struct store_view *v, const char *word)
{
	uint32_t uid = store_view_at(v, 1).uid;
	struct slice k = slice_z(word);
	struct store_flag_change c = {.op = STORE_FLAGS_ADD, .keywords = {&k, 1}, .unchanged_since = UINT64_MAX};

	assert_int_equal(store_flags(v, &uid, 1, &c, NULL), 0);
}

/* A page of zeros in the middle of the file: what can be read is saved, the old file kept. A session that has the mailbox
 * selected, with keywords of before, ends without harm to those of now. */
static void
body_salvage(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct store_view *v, *now;
	struct store_entry e;
	struct store_usage u;
	char path[256], text[3000], file[512];
	uint8_t zeros[4096] = {0};
	struct stat st;
	int fd;

	memset(text, 'x', sizeof(text));
	memcpy(text, "Subject: a\r\n\r\n", 14);
	text[sizeof(text) - 1] = '\0';
	for (uint64_t i = 1; i <= 200; i++)
		deliver_ok(a, i, text);
	v = open_view(a, "INBOX");
	tag_first(v, "Old");
	assert_int_equal(store_sync(p->store), 0);
	while (!store_close_idle_handle(p->store, INT64_MAX, false))
		assert_int_equal(fiber_sleep(p->loop, 1), 0);
	store_account_put(&a);
	fd = open(account_file(p, "mail.db", path), O_RDWR);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pwrite(fd, zeros, sizeof(zeros), st.st_size / 2 / 4096 * 4096), sizeof(zeros));
	close(fd);
	assert_int_equal(check(p, "01A", false, "database_damaged"), 1);
	assert_int_equal(check(p, "01A", true, "database_salvaged"), 1);
	assert_int_equal(check(p, "01A", false, NULL), 0);
	a = get_account(p, "01A");
	assert_int_equal(store_account_usage(a, &u), 0);
	assert_in_range(u.messages, 190, 200);
	deliver_ok(a, 1000, text);
	assert_true(store_view_gone(v));
	now = open_view(a, "INBOX");
	tag_first(now, "New");
	store_view_close(&v);
	e = store_view_at(now, 1);
	assert_true(store_view_has_keyword(now, &e, SLICE("New")));
	store_view_close(&now);
	store_account_put(&a);
	assert_true(find_file(p, "aside", "mail.db-", file));
}

/* Nothing of it can be read. */
static void
body_lost(struct place *p)
{
	struct store_account *a;
	uint8_t zeros[4096] = {0};
	char path[256], file[512];
	int fd;

	make_mail(p);
	place_restart(p);
	fd = open(account_file(p, "mail.db", path), O_RDWR);
	assert_int_equal(pwrite(fd, zeros, sizeof(zeros), 0), sizeof(zeros));
	close(fd);
	assert_int_equal(store_account_get(p->store, SLICE("01A"), &a), 0);
	store_account_put(&a);
	assert_int_equal(check(p, "01A", false, "database_damaged"), 1);
	assert_int_equal(check(p, "01A", true, "database_lost"), 1);
	assert_int_equal(check(p, "01A", false, NULL), 0);
	a = get_account(p, "01A");
	deliver_ok(a, 1, MAIL);
	store_account_put(&a);
	assert_true(find_file(p, "aside", "mail.db-", file));
}

static void
test_rows(void **state)
{
	(void)state;
	with_place(body_rows);
}

static void
test_recovered(void **state)
{
	(void)state;
	with_place(body_recovered);
}

static void
test_files(void **state)
{
	(void)state;
	with_place(body_files);
}

static void
test_salvage(void **state)
{
	(void)state;
	with_place(body_salvage);
}

static void
test_lost(void **state)
{
	(void)state;
	with_place(body_lost);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_recovered),
	    cmocka_unit_test(test_files), cmocka_unit_test(test_salvage), cmocka_unit_test(test_lost)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
