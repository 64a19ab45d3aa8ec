/* Deliveries: once and only once, many at a time, large ones, threads. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/store_testing.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>

#define ACCOUNTS 5
#define SENDERS 20
#define EACH 15

struct sender {
	struct place *p;
	struct store_account **accounts;
	uint64_t first;
	size_t delivered, duplicates;
};

static void
send_all(void *arg)
{
	struct sender *s = arg;

	for (uint64_t i = 0; i < EACH; i++) {
		enum store_delivered how;
		char text[128];

		(void)snprintf(text, sizeof(text), "Message-ID: <%d@example.test>\r\n\r\n%d\r\n", (int)(s->first + i),
		    (int)(s->first + i));
		assert_int_equal(
		    deliver_to(s->accounts[(s->first + i) % ACCOUNTS], s->first + i, "", slice_z(text), &how), 0);
		if (how == STORE_DELIVERED)
			s->delivered++;
		else
			s->duplicates++;
	}
}

/* Every message is sent by two senders at the same time. */
static void
body_concurrent(struct place *p)
{
	struct store_account *a[ACCOUNTS];
	struct sender s[SENDERS];
	struct fiber *f[SENDERS];
	size_t delivered = 0, duplicates = 0;
	struct store_counters n;
	char id[16];

	p->house.limits.delivery_gather_ms = 10;
	for (int i = 0; i < ACCOUNTS; i++) {
		(void)snprintf(id, sizeof(id), "01A%d", i);
		a[i] = make_account(p, id);
	}
	for (size_t i = 0; i < SENDERS; i++) {
		s[i] = (struct sender){.p = p, .accounts = a, .first = i / 2 * EACH};
		assert_int_equal(fiber_start(p->loop, "sender", send_all, &s[i], &f[i]), 0);
	}
	for (size_t i = 0; i < SENDERS; i++) {
		fiber_join(p->loop, &f[i]);
		delivered += s[i].delivered;
		duplicates += s[i].duplicates;
	}
	assert_int_equal(delivered, SENDERS / 2 * EACH);
	assert_int_equal(duplicates, SENDERS / 2 * EACH);
	store_counters(p->store, &n);
	assert_true(n.transactions * 3 < (int64_t)(delivered + duplicates)); /* what streams in is gathered */
	for (int i = 0; i < ACCOUNTS; i++) {
		struct store_view *v = open_view(a[i], "INBOX");

		assert_int_equal(store_view_count(v), SENDERS / 2 * EACH / ACCOUNTS);
		store_view_close(&v);
		store_account_put(&a[i]);
	}
}

struct one {
	struct store_account *a;
	struct slice body;
	uint64_t id;
	int err;
};

static void
send_one(void *arg)
{
	struct one *o = arg;
	enum store_delivered how;

	o->err = deliver_to(o->a, o->id, "", o->body, &how);
}

/* In one batch the one that is over quota fails alone. */
static void
body_alone(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	static uint8_t big[5000];
	struct one o[3] = {
	    {a, SLICE("\r\nsmall"), 1, 1}, {a, slice_of(big, sizeof(big)), 2, 1}, {a, SLICE("\r\nsmall"), 3, 1}};
	struct fiber *f[3];

	store_account_set_quota(a, 1000);
	for (int i = 0; i < 3; i++)
		assert_int_equal(fiber_start(p->loop, "one", send_one, &o[i], &f[i]), 0);
	for (int i = 0; i < 3; i++)
		fiber_join(p->loop, &f[i]);
	assert_int_equal(o[0].err, 0);
	assert_int_equal(o[1].err, ERR_QUOTA);
	assert_int_equal(o[2].err, 0);
	store_account_put(&a);
}

static void
cancelled(void *arg)
{
	struct one *o = arg;
	enum store_delivered how;

	o->err = deliver_to(o->a, o->id, "", o->body, &how);
}

/* A fiber that is cancelled while it waits neither hangs nor leaves its memory behind. */
static void
body_cancelled(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct one o[8];
	struct fiber *f[8];

	for (uint64_t i = 0; i < 8; i++) {
		o[i] = (struct one){a, SLICE("\r\nx"), i + 1, 1};
		assert_int_equal(fiber_start(p->loop, "cancelled", cancelled, &o[i], &f[i]), 0);
	}
	assert_int_equal(fiber_yield(p->loop), 0);
	for (int i = 0; i < 8; i++)
		fiber_cancel(f[i]);
	for (int i = 0; i < 8; i++)
		fiber_join(p->loop, &f[i]);
	for (uint64_t i = 0; i < 8; i++) {
		enum store_delivered how;

		assert_true(o[i].err == 0 || o[i].err == ERR_CANCELLED);
		assert_int_equal(deliver_to(a, i + 1, "", SLICE("\r\nx"), &how), 0);
		assert_int_equal(how, o[i].err == 0 ? STORE_DUPLICATE : STORE_DELIVERED);
	}
	store_account_put(&a);
}

static size_t
count_blobs(struct place *p, const char *id)
{
	char path[STORE_PATH_MAX];
	struct dirent *e;
	size_t n = 0;
	DIR *d;

	assert_int_equal(store_path(p->store, slice_z(id), "/blobs", path), 0);
	assert_non_null(d = opendir(path));
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

/* Bytes of every value, in lines that are too long for anything. */
static struct slice
large_body(size_t n)
{
	uint8_t *p = malloc(n);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 7 + i / 256);
	memcpy(p, "Subject: large\r\n\r\n", 18);
	return slice_of(p, n);
}

static void
check_body(struct store_account *a, struct store_view *v, size_t seq, struct slice head, struct slice body)
{
	struct store_entry e = store_view_at(v, seq);
	struct store_body *b;
	struct buf BUF_CLEANUP out;
	struct slice raw;

	buf_init(&out, 1u << 24);
	assert_int_equal(e.size, head.n + body.n);
	assert_int_equal(store_body_open(a, e.email, &b), 0);
	assert_int_equal(store_body_size(b), head.n + body.n);
	for (size_t at = 0; at < head.n + body.n; at += 100000)
		assert_int_equal(store_body_read(b, at, 100000, &out), 0);
	assert_true(slice_eq(slice_head(buf_slice(&out), head.n), head));
	assert_true(slice_eq(slice_from(buf_slice(&out), head.n), body));
	assert_int_equal(store_body_raw(b, &raw), 0);
	assert_true(slice_eq(raw, buf_slice(&out)));
	store_body_close(&b);
}

static void
body_large(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct slice body = large_body(700000), head = SLICE("Return-Path: <a@b>\r\n");
	struct store_delivery d = {.head = head, .file = memfd_create("mail", MFD_CLOEXEC), .size = body.n};
	struct store_view *v;
	struct arena ARENA_CLEANUP mem;
	struct store_fetched f = {.uid = 1};
	enum store_delivered how;
	size_t done;

	arena_init(&mem, 1u << 22);
	assert_int_equal(store_file_write(d.file, body), 0);
	for (uint8_t i = 1; i <= 3; i++) {
		d.delivery_id[0] = i;
		d.body = SLICE_EMPTY;
		if (i == 3) { /* in memory, though large */
			close(d.file);
			d.file = -1;
			d.body = body;
		}
		assert_int_equal(store_deliver(a, &d, &how), 0);
		assert_int_equal(how, STORE_DELIVERED);
		assert_int_equal(store_deliver(a, &d, &how), 0);
		assert_int_equal(how, STORE_DUPLICATE);
	}
	assert_int_equal(count_blobs(p, "01A"), 3); /* those of the duplicates are gone */
	v = open_view(a, "INBOX");
	for (size_t i = 1; i <= 3; i++)
		check_body(a, v, i, head, body);
	assert_int_equal(store_fetch(v, &f, 1, STORE_WANT_RAW | STORE_WANT_HEADER, &mem, &done), 0);
	assert_true(f.large);
	assert_true(slice_eq(f.header, SLICE("Return-Path: <a@b>\r\nSubject: large\r\n\r\n")));
	assert_int_equal(store_sync(p->store), 0);
	store_view_close(&v);
	store_account_put(&a);
	place_crash(p); /* nothing that has a row is taken for a leftover */
	assert_int_equal(count_blobs(p, "01A"), 3);
	a = get_account(p, "01A");
	v = open_view(a, "INBOX");
	for (size_t i = 1; i <= 3; i++)
		check_body(a, v, i, head, body);
	assert_int_equal(store_expunge(v, (const uint32_t[]){1, 3}, 2, false), 0);
	assert_int_equal(count_blobs(p, "01A"), 1);
	store_view_close(&v);
	store_account_put(&a);
	free((void *)(uintptr_t)body.p);
}

/* A file without a row is removed after an unclean end. */
static void
body_leftover(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	char path[STORE_PATH_MAX];
	struct store_usage u;
	int fd;

	assert_int_equal(store_blob_path(a, "0123456789abcdef0123456789abcdef", false, path), 0);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	store_account_put(&a);
	place_crash(p);
	a = get_account(p, "01A");
	assert_int_equal(store_account_usage(a, &u), 0);
	assert_int_equal(count_blobs(p, "01A"), 0);
	store_account_put(&a);
}

static void
body_threads(struct place *p)
{
	static const char *const mails[] = {
	    "Message-ID: <1@x>\r\nSubject: Plan\r\n\r\n",
	    "Message-ID: <3@x>\r\nReferences: <1@x> <2@x>\r\nSubject: Re: Plan\r\n\r\n",
	    "Message-ID: <2@x>\r\nIn-Reply-To: <1@x>\r\nSubject: RE: [list] plan\r\n\r\n",
	    "Message-ID: <4@x>\r\nIn-Reply-To: <1@x>\r\nSubject: Something else\r\n\r\n",
	    "Subject: Plan\r\n\r\n",
	};
	struct store_account *a = make_account(p, "01A");
	struct store_fetched f[5];
	struct store_view *v;
	struct arena ARENA_CLEANUP mem;
	size_t done;

	arena_init(&mem, 1u << 20);
	for (uint64_t i = 0; i < 5; i++) {
		deliver_ok(a, i + 1, mails[i]);
		f[i].uid = (uint32_t)i + 1;
	}
	v = open_view(a, "INBOX");
	assert_int_equal(store_fetch(v, f, 5, STORE_WANT_IDS, &mem, &done), 0);
	assert_int_equal(done, 5);
	assert_memory_equal(f[0].thread_id, f[1].thread_id, STORE_ID_BYTES);
	assert_memory_equal(f[0].thread_id, f[2].thread_id, STORE_ID_BYTES);
	assert_memory_not_equal(f[0].thread_id, f[3].thread_id, STORE_ID_BYTES);
	assert_memory_not_equal(f[0].thread_id, f[4].thread_id, STORE_ID_BYTES);
	assert_memory_not_equal(f[0].email_id, f[1].email_id, STORE_ID_BYTES);
	store_view_close(&v);
	store_account_put(&a);
}

static void
body_places(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	static const struct {
		const char *hint, *mailbox;
	} cases[] = {{"junk", "Junk"}, {"SENT", "Sent"}, {"Archive", "Archive"}, {"No/Such", "INBOX"},
	    {"\xff", "INBOX"}, {"Mine", "Mine"}};
	struct arena ARENA_CLEANUP mem;
	struct store_mailbox m;
	enum store_delivered how;

	arena_init(&mem, 1u << 20);
	assert_int_equal(store_mailbox_create(a, SLICE("Mine"), STORE_ROLE_NONE), 0);
	for (uint64_t i = 0; i < COUNT_OF(cases); i++) {
		uint32_t before;

		assert_int_equal(store_mailbox(a, slice_z(cases[i].mailbox), &mem, &m), 0);
		before = m.messages;
		assert_int_equal(deliver_to(a, i + 1, cases[i].hint, SLICE("\r\n"), &how), 0);
		assert_int_equal(store_mailbox(a, slice_z(cases[i].mailbox), &mem, &m), 0);
		assert_int_equal(m.messages, before + 1);
	}
	store_account_put(&a);
}

#define TEST(name) \
	static void test_##name(void **state) \
	{ \
		(void)state; \
		with_place(body_##name); \
	}
TEST(concurrent)
TEST(alone)
TEST(cancelled)
TEST(large)
TEST(leftover)
TEST(threads)
TEST(places)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_concurrent),
	    cmocka_unit_test(test_alone),
	    cmocka_unit_test(test_cancelled),
	    cmocka_unit_test(test_large),
	    cmocka_unit_test(test_leftover),
	    cmocka_unit_test(test_threads),
	    cmocka_unit_test(test_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
