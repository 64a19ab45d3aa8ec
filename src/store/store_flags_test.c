/* Flags that are in memory and the journal only: seen at once, in the database soon, there again after the end of the process. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sql/testvfs.h"
#include "store/store_journal.h"
#include "store/store_testing.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

static void
change(struct store_view *v, const uint32_t *uids, size_t n, enum store_flag_op op, uint8_t flags, const char *keyword)
{
	struct slice k = slice_z(keyword);
	struct store_flag_change c = {
	    .op = op, .flags = flags, .keywords = {&k, k.n > 0}, .unchanged_since = UINT64_MAX};

	assert_int_equal(store_flags(v, uids, n, &c, NULL), 0);
}

static void
change_one(struct store_view *v, uint32_t uid, enum store_flag_op op, uint8_t flags, const char *keyword)
{
	change(v, &uid, 1, op, flags, keyword);
}

/* So many changes of an account, and it has a journal. */
static void
warm(struct store_view *v)
{
	for (int i = 0; i < 4; i++)
		change_one(v, 1, i % 2 == 0 ? STORE_FLAGS_ADD : STORE_FLAGS_REMOVE, STORE_DRAFT, "");
	assert_non_null(v->box->account->journal);
}

static void
fill(struct store_account *a, int n)
{
	for (int i = 0; i < n; i++)
		assert_int_equal(append_ok(a, "INBOX", "Subject: x\r\n\r\n", 0), i + 1);
}

static uint32_t
unseen_of(struct store_account *a)
{
	struct arena ARENA_CLEANUP mem;
	struct store_mailbox m;

	arena_init(&mem, 65536);
	assert_int_equal(store_mailbox(a, SLICE("INBOX"), &mem, &m), 0);
	return m.unseen;
}

static bool
journal_exists(const struct store_account *a)
{
	char path[STORE_PATH_MAX];

	assert_int_equal(store_path(a->store, acc_id(a), "/flags", path), 0);
	return access(path, F_OK) == 0;
}

static void
body_behind(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct store_view *v, *other;
	uint64_t modseq;

	p->house.limits.store_sync_ms = 1000000;
	fill(a, 10);
	v = open_view(a, "INBOX");
	warm(v);
	modseq = store_view_highestmodseq(v);
	assert_int_equal(a->unsaved_n, 1);
	change_one(v, 2, STORE_FLAGS_ADD, STORE_SEEN, "");
	change_one(v, 3, STORE_FLAGS_ADD, STORE_SEEN | STORE_DELETED, "");
	change_one(v, 3, STORE_FLAGS_REMOVE, STORE_DELETED, "");
	assert_int_equal(store_view_highestmodseq(v), modseq + 3);
	assert_int_equal(a->unsaved_n, 3);
	/* Other sessions see them, and what depends on them is right. */
	other = open_view(a, "INBOX");
	assert_int_equal(store_view_at(other, 3).flags, STORE_SEEN);
	assert_int_equal(store_view_at(other, 3).modseq, modseq + 3);
	assert_int_equal(unseen_of(a), 8);
	assert_int_equal(a->unsaved_n, 0);
	/* New keywords are written at once, known ones are not. */
	change_one(v, 4, STORE_FLAGS_ADD, 0, "Work");
	assert_int_equal(a->unsaved_n, 0);
	change_one(v, 5, STORE_FLAGS_ADD, STORE_FLAGGED, "Work");
	assert_int_equal(a->unsaved_n, 1);
	store_view_close(&other);
	store_view_close(&v);
	/* The mailbox stays until they are written. */
	box_drop_idle(p->store, INT64_MAX, 0);
	assert_int_equal(a->unsaved_n, 1);
	assert_false(store_close_idle_handle(p->store, INT64_MAX, false));
	assert_int_equal(store_sync(p->store), 0);
	assert_int_equal(a->unsaved_n, 0);
	box_drop_idle(p->store, INT64_MAX, 0);
	assert_true(journal_exists(a));
	while (!store_close_idle_handle(p->store, INT64_MAX, false)) /* what is \Recent is being written */
		assert_int_equal(fiber_sleep(p->loop, 1), 0);
	assert_false(journal_exists(a));
	v = open_view(a, "INBOX");
	assert_int_equal(store_view_at(v, 5).flags, STORE_FLAGGED);
	assert_int_equal(store_view_at(v, 2).flags, STORE_SEEN);
	store_view_close(&v);
	store_account_put(&a);
}

static void
body_expunge(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct store_view *v;
	uint32_t uids[] = {2, 3, 4, 5};
	struct store_copied c;
	struct arena ARENA_CLEANUP mem;

	arena_init(&mem, 1u << 20);
	p->house.limits.store_sync_ms = 1000000;
	fill(a, 6);
	v = open_view(a, "INBOX");
	warm(v);
	change(v, uids, 4, STORE_FLAGS_ADD, STORE_SEEN, "");
	assert_int_equal(store_copy(v, uids, 1, SLICE("INBOX"), false, &mem, &c), 0);
	change(v, uids, 2, STORE_FLAGS_ADD, STORE_DELETED, "");
	assert_int_equal(store_expunge(v, NULL, 0, true), 0);
	change(v, uids + 2, 2, STORE_FLAGS_REMOVE, STORE_SEEN, "");
	assert_int_equal(unseen_of(a), 4);
	change(v, uids, 4, STORE_FLAGS_ADD, STORE_FLAGGED, "");
	assert_int_equal(store_mailbox_rename(a, SLICE("INBOX"), SLICE("Old")), 0);
	store_view_close(&v);
	v = open_view(a, "Old");
	assert_int_equal(store_view_count(v), 5);
	assert_int_equal(store_view_at(v, 2).flags, STORE_FLAGGED);
	assert_int_equal(store_view_at(v, 5).flags, STORE_SEEN);
	change_one(v, 2, STORE_FLAGS_ADD, STORE_ANSWERED, "");
	assert_int_equal(store_mailbox_delete(a, SLICE("Old")), 0);
	assert_int_equal(a->unsaved_n, 0);
	store_view_close(&v);
	store_account_put(&a);
}

/* A copy of a message whose flags are not written yet: what is changed of the copy afterwards is written like anything else. */
static void
body_copies(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct store_view *v, *target;
	uint32_t uid = 2;
	struct store_copied c;
	struct arena ARENA_CLEANUP mem;

	arena_init(&mem, 1u << 20);
	p->house.limits.store_sync_ms = 1000000;
	fill(a, 2);
	v = open_view(a, "INBOX");
	target = open_view(a, "Archive");
	warm(v);
	for (int move = 0; move < 2; move++) {
		change_one(v, uid, STORE_FLAGS_ADD, STORE_SEEN, "");
		assert_true(a->unsaved_n > 0);
		assert_int_equal(store_copy(v, &uid, 1, SLICE("Archive"), move != 0, &mem, &c), 0);
		assert_int_equal(a->unsaved_n, 0);
		change_one(target, c.target[0], STORE_FLAGS_ADD, STORE_FLAGGED, "");
		assert_int_equal(a->unsaved_n, 1);
		assert_int_equal(store_sync(p->store), 0);
		assert_int_equal(a->unsaved_n, 0);
		uid = 1;
	}
	store_view_close(&target);
	store_view_close(&v);
	store_account_put(&a);
	place_restart(p);
	a = get_account(p, "01A");
	target = open_view(a, "Archive");
	assert_int_equal(store_view_count(target), 2);
	assert_int_equal(store_view_at(target, 1).flags, STORE_SEEN | STORE_FLAGGED);
	assert_int_equal(store_view_at(target, 2).flags, STORE_SEEN | STORE_FLAGGED);
	store_view_close(&target);
	store_account_put(&a);
}

static void
body_full(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct store_view *v;

	p->house.limits.store_sync_ms = 1000000;
	fill(a, 2);
	v = open_view(a, "INBOX");
	warm(v);
	/* More than the journal holds: from time to time they are written. */
	for (int i = 0; i < 4000; i++)
		change_one(v, 2, i % 2 == 0 ? STORE_FLAGS_ADD : STORE_FLAGS_REMOVE, STORE_FLAGGED, "");
	assert_true(p->store->counters.transactions < 60);
	change_one(v, 2, STORE_FLAGS_ADD, STORE_ANSWERED, "");
	store_view_close(&v);
	store_account_put(&a);
	place_crash(p);
	a = get_account(p, "01A");
	v = open_view(a, "INBOX");
	assert_int_equal(store_view_at(v, 2).flags, STORE_ANSWERED);
	assert_false(journal_exists(a));
	store_view_close(&v);
	store_account_put(&a);
}

/* What cannot be written is refused; what was taken before stays, over the end of the process too. */
static void
body_stuck(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct store_flag_change c = {.op = STORE_FLAGS_ADD, .flags = STORE_SEEN, .unchanged_since = UINT64_MAX};
	struct store_view *v;
	uint32_t uid = 1;

	p->house.limits.store_sync_ms = 1000000;
	fill(a, 2);
	v = open_view(a, "INBOX");
	warm(v);
	change_one(v, 2, STORE_FLAGS_ADD, STORE_FLAGGED, "");
	testvfs_fail(p->extra, TESTVFS_WRITE_FULL, 1, true);
	assert_int_equal(store_sync(p->store), ERR_FULL);
	assert_int_equal(store_flags(v, &uid, 1, &c, NULL), ERR_FULL);
	assert_int_equal(store_view_at(v, 1).flags & STORE_SEEN, 0);
	assert_int_equal(store_view_at(v, 2).flags, STORE_FLAGGED);
	testvfs_fail(p->extra, TESTVFS_NO_FAULT, 0, false);
	store_view_close(&v);
	store_account_put(&a);
	place_crash(p);
	a = get_account(p, "01A");
	v = open_view(a, "INBOX");
	assert_int_equal(store_view_at(v, 2).flags, STORE_FLAGGED);
	store_view_close(&v);
	store_account_put(&a);
}

/* ---- against a model, with ends of the process between ---- */

#define MESSAGES 40
#define KEYWORDS 3

struct model {
	uint8_t flags[MESSAGES + 1];
	unsigned keywords[MESSAGES + 1];
	bool gone[MESSAGES + 1];
};

static const char *const names[KEYWORDS] = {"One", "Two", "Three"};

static void
check_model(struct store_account *a, struct store_view *v, const struct model *m)
{
	size_t seq = 0;
	uint32_t unseen = 0;

	for (uint32_t uid = 1; uid <= MESSAGES; uid++) {
		struct store_entry e;

		if (m->gone[uid])
			continue;
		e = store_view_at(v, ++seq);
		assert_int_equal(e.uid, uid);
		assert_int_equal(e.flags, m->flags[uid]);
		assert_true(e.modseq <= store_view_highestmodseq(v));
		for (int k = 0; k < KEYWORDS; k++)
			assert_int_equal(
			    store_view_has_keyword(v, &e, slice_z(names[k])), (m->keywords[uid] >> k & 1) != 0);
		unseen += (e.flags & STORE_SEEN) == 0;
	}
	assert_int_equal(store_view_count(v), seq);
	assert_int_equal(unseen_of(a), unseen);
}

static void
change_model(struct place *p, struct store_view *v, struct model *m)
{
	struct house *h = &p->house;
	uint32_t uids[MESSAGES], step = 1 + (uint32_t)house_random_below(h, 3);
	enum store_flag_op op = (enum store_flag_op)house_random_below(h, 3);
	uint8_t flags = (uint8_t)(house_random_below(h, 256) & STORE_FLAGS_ALL & ~STORE_DELETED);
	int k = (int)house_random_below(h, KEYWORDS * 3);
	unsigned bit = k < KEYWORDS ? 1u << k : 0;
	size_t n = 0;

	for (uint32_t uid = 1 + (uint32_t)house_random_below(h, MESSAGES); uid <= MESSAGES && n < 12; uid += step)
		uids[n++] = uid;
	change(v, uids, n, op, flags, k < KEYWORDS ? names[k] : "");
	for (size_t i = 0; i < n; i++) {
		m->flags[uids[i]] = flags_after(m->flags[uids[i]], op, flags);
		m->keywords[uids[i]] = op == STORE_FLAGS_REPLACE ? bit
		    : op == STORE_FLAGS_ADD                      ? m->keywords[uids[i]] | bit
								 : m->keywords[uids[i]] & ~bit;
	}
}

static void
take_news(struct store_view *v)
{
	while (store_view_next(v, true).kind != STORE_EVENT_NONE)
		;
}

static void
body_model(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct model m = {0};
	struct store_view *v;
	uint64_t modseq = 0;

	p->house.limits.store_sync_ms = 1000000;
	fill(a, MESSAGES);
	v = open_view(a, "INBOX");
	for (int i = 0; i < 600; i++) {
		uint32_t uid = 1 + (uint32_t)house_random_below(&p->house, MESSAGES);

		change_model(p, v, &m);
		assert_true(store_view_highestmodseq(v) >= modseq);
		modseq = store_view_highestmodseq(v);
		if (i % 7 == 3)
			check_model(a, v, &m);
		if (i % 61 == 60) {
			assert_int_equal(store_expunge(v, &uid, 1, false), 0);
			m.gone[uid] = true;
		}
		take_news(v);
		if (house_random_below(&p->house, 25) != 0)
			continue;
		store_view_close(&v);
		store_account_put(&a);
		if (house_random_below(&p->house, 4) == 0)
			place_restart(p);
		else
			place_crash(p);
		a = get_account(p, "01A");
		v = open_view(a, "INBOX");
		assert_true(store_view_highestmodseq(v) >= modseq);
		check_model(a, v, &m);
	}
	store_view_close(&v);
	store_account_put(&a);
}

/* ---- the journal ---- */

struct seen {
	uint64_t modseqs[64];
	size_t n;
};

static int
see(void *arg, const struct journal_record *r)
{
	struct seen *s = arg;

	assert_true(s->n < COUNT_OF(s->modseqs));
	s->modseqs[s->n++] = r->modseq;
	assert_int_equal(r->runs_n, 2);
	assert_int_equal(r->runs[1].hi, 9);
	assert_int_equal(r->keywords.n, 4);
	return 0;
}

static void
read_journal(struct store_account *a, const uint8_t *boot, size_t cut, size_t flip, struct seen *s)
{
	struct arena ARENA_CLEANUP mem;
	struct buf BUF_CLEANUP b;

	*s = (struct seen){.n = 0};
	arena_init(&mem, 1u << 20);
	buf_init(&b, 2 * STORE_JOURNAL_BYTES);
	assert_int_equal(journal_read(a, boot, &b), 0);
	if (flip < b.n)
		buf_patch_u8(&b, flip, (uint8_t)(slice_at(buf_slice(&b), flip) ^ 0x10));
	assert_int_equal(journal_each(slice_head(buf_slice(&b), cut), &mem, see, s), 0);
}

/* Writing to files fails, as on a full disk. */
static bool
put_without_room(struct store_journal *j, const struct journal_record *r)
{
	struct rlimit before, none;
	bool put;

	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	put = journal_put(j, r);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	(void)signal(SIGXFSZ, SIG_DFL);
	return put;
}

static void
body_journal(struct place *p)
{
	static const struct uid_run runs[] = {{1, 3}, {9, 9}};
	struct store_account *a = make_account(p, "01A");
	struct journal_record r = {.mailbox = 7,
	    .op = STORE_FLAGS_ADD,
	    .flags = 1,
	    .keywords = SLICE_INIT("\0\1\0\2"),
	    .runs = runs,
	    .runs_n = 2};
	struct store_journal *j;
	struct seen s;
	uint8_t other[STORE_ID_BYTES] = {1};
	size_t one;

	assert_int_equal(journal_open(a, &j), 0);
	read_journal(a, p->store->boot, SIZE_MAX, SIZE_MAX, &s);
	assert_int_equal(s.n, 0);
	for (r.modseq = 10; r.modseq < 20; r.modseq++)
		assert_true(journal_put(j, &r));
	read_journal(a, p->store->boot, SIZE_MAX, SIZE_MAX, &s);
	assert_int_equal(s.n, 10);
	assert_int_equal(s.modseqs[9], 19);
	read_journal(a, other, SIZE_MAX, SIZE_MAX, &s);
	assert_int_equal(s.n, 0);
	one = 16 + 8 + 8 + 1 + 1 + 2 + 4 + 4 + 16;
	for (size_t i = 0; i < 10 * one; i++) { /* torn, or a bit wrong: those before it count */
		read_journal(a, p->store->boot, 24 + i, SIZE_MAX, &s);
		assert_int_equal(s.n, i / one);
		read_journal(a, p->store->boot, SIZE_MAX, 24 + i, &s);
		assert_int_equal(s.n, i / one);
	}
	journal_saved(j);
	r.modseq = 30;
	assert_false(put_without_room(j, &r)); /* it is refused, and what comes then takes its place */
	assert_true(journal_put(j, &r));
	read_journal(a, p->store->boot, SIZE_MAX, SIZE_MAX, &s);
	assert_int_equal(s.n, 1);
	while (journal_put(j, &r))
		;
	journal_close(a, &j);
	assert_true(journal_exists(a));
	assert_int_equal(journal_open(a, &j), 0);
	journal_close(a, &j);
	assert_false(journal_exists(a));
	store_account_put(&a);
}

static void
test_behind(void **state)
{
	(void)state;
	with_place(body_behind);
}
static void
test_expunge(void **state)
{
	(void)state;
	with_place(body_expunge);
}
static void
test_copies(void **state)
{
	(void)state;
	with_place(body_copies);
}
static void
test_full(void **state)
{
	(void)state;
	with_place(body_full);
}
static void
test_stuck(void **state)
{
	struct testvfs *v;
	struct place p;

	(void)state;
	place_init(&p);
	p.vfs = "stuck";
	assert_int_equal(testvfs_new(&v, p.vfs, 1), 0);
	p.extra = v;
	place_run(&p, body_stuck);
	place_free(&p);
	testvfs_free(&v);
}
static void
test_model(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct place p;

		place_init(&p);
		p.house.random_seed = seed;
		place_run(&p, body_model);
		place_free(&p);
	}
}
static void
test_journal(void **state)
{
	(void)state;
	with_place(body_journal);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_behind),
	    cmocka_unit_test(test_expunge),
	    cmocka_unit_test(test_copies),
	    cmocka_unit_test(test_full),
	    cmocka_unit_test(test_stuck),
	    cmocka_unit_test(test_model),
	    cmocka_unit_test(test_journal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
