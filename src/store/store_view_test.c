/* Views: sequence numbers, news, recent, keywords; and a long random run of several sessions against a simple model. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/store_testing.h"

#define MAIL "Subject: Hello\r\n\r\nText\r\n"

static void
set_flags(struct store_view *v, uint32_t uid, enum store_flag_op how, uint8_t flags, const char *keyword)
{
	struct slice k = slice_z(keyword);
	struct store_flag_change c = {
	    .op = how, .flags = flags, .keywords = {&k, k.n > 0}, .unchanged_since = UINT64_MAX};

	assert_int_equal(store_flags(v, &uid, 1, &c, NULL), 0);
}

static void
expect(struct store_view *v, enum store_event_kind kind, size_t seq, bool own)
{
	struct store_event e = store_view_next(v, true);

	assert_int_equal(e.kind, kind);
	assert_int_equal(e.seq, seq);
	if (kind != STORE_EVENT_NONE)
		assert_int_equal(e.own, own);
}

static void
body_news(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct store_view *one, *two;
	uint32_t uids[] = {2, 4};

	for (uint64_t i = 1; i <= 5; i++)
		deliver_ok(a, i, MAIL);
	one = open_view(a, "INBOX");
	two = open_view(a, "INBOX");
	assert_int_equal(store_view_recent(one), 5);
	assert_int_equal(store_view_recent(two), 0);
	assert_int_equal(store_view_first_unseen(one), 1);
	set_flags(one, 1, STORE_FLAGS_ADD, STORE_SEEN, "");
	assert_int_equal(store_view_first_unseen(one), 2);
	set_flags(one, 3, STORE_FLAGS_ADD, STORE_FLAGGED, "$Work");
	expect(one, STORE_EVENT_FLAGS, 1, true);
	expect(one, STORE_EVENT_FLAGS, 3, true);
	expect(one, STORE_EVENT_NONE, 0, false);
	set_flags(one, 3, STORE_FLAGS_ADD, STORE_FLAGGED, "$work"); /* changes nothing */
	expect(one, STORE_EVENT_NONE, 0, false);
	assert_int_equal(store_expunge(one, uids, 2, false), 0);
	deliver_ok(a, 6, MAIL);
	expect(one, STORE_EVENT_EXPUNGE, 2, true);
	expect(one, STORE_EVENT_EXPUNGE, 3, true);
	expect(one, STORE_EVENT_EXISTS, 4, false);
	assert_int_equal(store_view_at(one, 4).uid, 6);
	assert_int_equal(store_view_recent(one), 4);
	/* A change that covers an untold one of somebody else is news, whoever made it. */
	set_flags(two, 6, STORE_FLAGS_ADD, STORE_SEEN, "");
	set_flags(one, 6, STORE_FLAGS_ADD, STORE_FLAGGED, "");
	expect(one, STORE_EVENT_FLAGS, 4, false);
	set_flags(one, 6, STORE_FLAGS_REMOVE, STORE_FLAGGED, "");
	expect(one, STORE_EVENT_FLAGS, 4, true);
	expect(one, STORE_EVENT_NONE, 0, false);
	/* The other one holds expunges back for now: numbers stay. */
	assert_int_equal(store_view_next(two, false).kind, STORE_EVENT_FLAGS);
	assert_int_equal(store_view_next(two, false).seq, 3);
	assert_int_equal(store_view_next(two, false).kind, STORE_EVENT_EXISTS);
	assert_int_equal(store_view_next(two, false).kind, STORE_EVENT_NONE);
	assert_int_equal(store_view_count(two), 6);
	assert_true(store_view_at(two, 2).expunged);
	assert_true(store_view_has_news(two));
	expect(two, STORE_EVENT_EXPUNGE, 2, false);
	expect(two, STORE_EVENT_EXPUNGE, 3, false);
	expect(two, STORE_EVENT_NONE, 0, false);
	assert_int_equal(store_view_count(two), 4);
	assert_int_equal(store_view_seq(two, 2), 0);
	assert_int_equal(store_view_seq(two, 5), 3);
	assert_int_equal(store_view_seq_from(two, 4), 3);
	assert_int_equal(store_view_seq_from(two, 7), 5);
	store_view_close(&one);
	store_view_close(&two);
	one = open_view(a, "INBOX");
	assert_int_equal(store_view_count(one), 4);
	assert_int_equal(store_view_recent(one), 0);
	store_view_close(&one);
	store_account_put(&a);
}

static void
body_keywords(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct store_view *v;
	struct slice names[8], bad = SLICE("no(t"), k;
	struct store_flag_change c = {.op = STORE_FLAGS_ADD, .keywords = {&bad, 1}, .unchanged_since = UINT64_MAX};
	struct store_entry e;
	uint32_t uid = 1;
	char text[16];

	deliver_ok(a, 1, MAIL);
	v = open_view(a, "INBOX");
	set_flags(v, 1, STORE_FLAGS_ADD, 0, "Zeta");
	set_flags(v, 1, STORE_FLAGS_ADD, 0, "alpha");
	e = store_view_at(v, 1);
	assert_int_equal(store_view_keywords(v, &e, names, 8), 2);
	assert_true(slice_eq(names[0], SLICE("Zeta")));
	assert_true(store_view_has_keyword(v, &e, SLICE("ALPHA")));
	assert_false(store_view_has_keyword(v, &e, SLICE("beta")));
	set_flags(v, 1, STORE_FLAGS_REMOVE, 0, "zeta");
	e = store_view_at(v, 1);
	assert_int_equal(store_view_keywords(v, &e, names, 8), 1);
	assert_int_equal(store_flags(v, &uid, 1, &c, NULL), ERR_INVALID);
	assert_int_equal(store_view_all_keywords(v, names, 8), 2);
	/* The limit: two are there, the third is one too many. */
	for (int i = 2; i < 5; i++) {
		(void)snprintf(text, sizeof(text), "k%d", i);
		k = slice_z(text);
		c.keywords = (struct slice_list){&k, 1};
		assert_int_equal(store_flags(v, &uid, 1, &c, NULL), i < 4 ? 0 : ERR_LIMIT);
	}
	assert_int_equal(store_view_all_keywords(v, names, 8), 4);
	store_view_close(&v);
	store_account_put(&a);
	place_restart(p);
	a = get_account(p, "01A");
	v = open_view(a, "INBOX");
	e = store_view_at(v, 1);
	assert_int_equal(store_view_keywords(v, &e, names, 8), 3);
	assert_true(slice_eq(names[0], SLICE("alpha")));
	set_flags(v, 1, STORE_FLAGS_REPLACE, STORE_SEEN, "");
	e = store_view_at(v, 1);
	assert_int_equal(store_view_keywords(v, &e, names, 8), 0);
	assert_int_equal(e.flags, STORE_SEEN);
	store_view_close(&v);
	store_account_put(&a);
}

static void
body_unchanged_since(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct store_view *v, *ro = NULL;
	struct store_flag_change c = {.op = STORE_FLAGS_ADD, .flags = STORE_SEEN};
	uint32_t uids[] = {1, 2, 9};
	bool conflicts[3];

	deliver_ok(a, 1, MAIL);
	deliver_ok(a, 2, MAIL);
	v = open_view(a, "INBOX");
	c.unchanged_since = store_view_highestmodseq(v);
	set_flags(v, 2, STORE_FLAGS_ADD, STORE_DRAFT, "");
	assert_int_equal(store_flags(v, uids, 3, &c, conflicts), 0);
	assert_false(conflicts[0]);
	assert_true(conflicts[1]);
	assert_false(conflicts[2]);
	assert_int_equal(store_view_at(v, 1).flags, STORE_SEEN);
	assert_int_equal(store_view_at(v, 2).flags, STORE_DRAFT);
	assert_int_equal(store_view_open(a, SLICE("INBOX"), true, &ro), 0);
	assert_int_equal(store_flags(ro, uids, 1, &c, NULL), ERR_DENIED);
	assert_int_equal(store_expunge(ro, uids, 1, false), ERR_DENIED);
	store_view_close(&ro);
	store_view_close(&v);
	store_account_put(&a);
}

struct idler {
	struct place *p;
	struct store_account *a;
	int wakes;
	bool stop;
};

static void
idle(void *arg)
{
	struct idler *i = arg;
	struct store_view *v = open_view(i->a, "INBOX");

	store_view_watch(v, fiber_self(i->p->loop));
	while (!i->stop) {
		if (fiber_park(i->p->loop, loop_deadline(i->p->loop, 5000)) != 0)
			break;
		while (store_view_next(v, true).kind != STORE_EVENT_NONE)
			i->wakes++;
	}
	store_view_watch(v, NULL);
	store_view_close(&v);
}

static void
body_idle(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct idler i = {.p = p, .a = a};
	struct fiber *f;

	assert_int_equal(fiber_start(p->loop, "idle", idle, &i, &f), 0);
	assert_int_equal(fiber_sleep(p->loop, 50), 0);
	deliver_ok(a, 1, MAIL);
	assert_int_equal(fiber_yield(p->loop), 0);
	assert_int_equal(fiber_sleep(p->loop, 10), 0);
	assert_int_equal(i.wakes, 1);
	i.stop = true;
	fiber_wake(f);
	fiber_join(p->loop, &f);
	store_account_put(&a);
}

/* ---- the model ---------------------------------------------------------------------------------------------- */

#define VIEWS 4
#define MODEL_MAX 20000

/* What a session has been told: UIDs in order, and their flags. */
struct model {
	struct store_view *v;
	uint32_t uids[MODEL_MAX];
	uint8_t flags[MODEL_MAX];
	size_t n;
};

static void
model_check(const struct model *m)
{
	assert_int_equal(store_view_count(m->v), m->n);
	for (size_t i = 0; i < m->n; i++) {
		struct store_entry e = store_view_at(m->v, i + 1);

		assert_int_equal(e.uid, m->uids[i]);
		assert_int_equal(store_view_seq(m->v, e.uid), i + 1);
		assert_int_equal(store_view_seq_from(m->v, e.uid), i + 1);
	}
}

static void
model_pull(struct model *m, bool expunges)
{
	struct store_event e;

	while ((e = store_view_next(m->v, expunges)).kind != STORE_EVENT_NONE) {
		if (e.kind == STORE_EVENT_EXPUNGE) {
			assert_true(expunges && e.seq >= 1 && e.seq <= m->n);
			assert_int_equal(m->uids[e.seq - 1], e.uid);
			memmove(m->uids + e.seq - 1, m->uids + e.seq, (m->n - e.seq) * sizeof(m->uids[0]));
			memmove(m->flags + e.seq - 1, m->flags + e.seq, m->n - e.seq);
			m->n--;
		} else if (e.kind == STORE_EVENT_FLAGS) {
			assert_int_equal(m->uids[e.seq - 1], e.uid);
			m->flags[e.seq - 1] = store_view_at(m->v, e.seq).flags;
		} else {
			assert_int_equal(e.kind, STORE_EVENT_EXISTS);
			assert_true(e.seq > m->n);
			for (; m->n < e.seq; m->n++) {
				m->uids[m->n] = store_view_at(m->v, m->n + 1).uid;
				m->flags[m->n] = store_view_at(m->v, m->n + 1).flags;
			}
		}
		assert_int_equal(store_view_count(m->v), m->n);
	}
	/* After the news, what it was told is what is. */
	for (size_t i = 0; i < m->n; i++) {
		struct store_entry s = store_view_at(m->v, i + 1);

		if (!s.expunged)
			assert_int_equal(s.flags, m->flags[i]);
		assert_true(!expunges || !s.expunged);
	}
}

static void
model_open(struct model *m, struct store_account *a)
{
	m->v = open_view(a, "INBOX");
	m->n = store_view_count(m->v);
	for (size_t i = 0; i < m->n; i++) {
		m->uids[i] = store_view_at(m->v, i + 1).uid;
		m->flags[i] = store_view_at(m->v, i + 1).flags;
	}
}

static void
model_act(struct place *p, struct store_account *a, struct model *m, uint64_t *next_id)
{
	struct house *h = &p->house;
	uint64_t what = house_random_below(h, 100);
	struct arena ARENA_CLEANUP mem;
	struct store_copied c;
	uint32_t uids[64];
	size_t n = 0;

	arena_init(&mem, 1u << 20);
	for (size_t i = 0; i < m->n && n < COUNT_OF(uids); i++)
		if (house_random_below(h, 8) == 0)
			uids[n++] = m->uids[i];
	if (what < 25) {
		deliver_ok(a, (*next_id)++, MAIL);
	} else if (what < 50) {
		struct store_flag_change f = {.op = (enum store_flag_op)house_random_below(h, 3),
		    .flags = (uint8_t)house_random_below(h, 32),
		    .unchanged_since = UINT64_MAX};

		assert_int_equal(store_flags(m->v, uids, n, &f, NULL), 0);
	} else if (what < 65) {
		assert_int_equal(store_expunge(m->v, uids, n, false), 0);
	} else if (what < 80) {
		assert_int_equal(store_copy(m->v, uids, n, SLICE("INBOX"), what < 70, &mem, &c), 0);
	} else if (what < 97) {
		model_pull(m, what < 90);
	} else {
		store_view_close(&m->v);
		model_open(m, a);
	}
}

static void
body_model(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct model *m = calloc(VIEWS, sizeof(*m));
	struct store_view *truth;
	uint64_t next_id = 1;

	for (int i = 0; i < VIEWS; i++)
		model_open(&m[i], a);
	for (int step = 0; step < 1500; step++) {
		/* The last one is lazy: it pulls seldom, so that it falls behind the log. */
		size_t who = house_random_below(&p->house, 40) == 0 ? VIEWS - 1
								    : house_random_below(&p->house, VIEWS - 1);

		model_act(p, a, &m[who], &next_id);
		if (step % 10 == 0)
			model_check(&m[house_random_below(&p->house, VIEWS)]);
	}
	truth = open_view(a, "INBOX");
	for (int i = 0; i < VIEWS; i++) {
		model_pull(&m[i], true);
		model_check(&m[i]);
		assert_int_equal(m[i].n, store_view_count(truth));
		for (size_t j = 0; j < m[i].n; j++) {
			assert_int_equal(m[i].uids[j], store_view_at(truth, j + 1).uid);
			assert_int_equal(m[i].flags[j], store_view_at(truth, j + 1).flags);
		}
		store_view_close(&m[i].v);
	}
	store_view_close(&truth);
	/* What memory said is what the disk says. */
	truth = open_view(a, "INBOX");
	assert_int_equal(store_view_count(truth), m[0].n);
	for (size_t j = 0; j < m[0].n; j++) {
		assert_int_equal(m[0].uids[j], store_view_at(truth, j + 1).uid);
		assert_int_equal(m[0].flags[j], store_view_at(truth, j + 1).flags);
	}
	store_view_close(&truth);
	store_account_put(&a);
	free(m);
}

static void
test_news(void **state)
{
	(void)state;
	with_place(body_news);
}

static void
test_keywords(void **state)
{
	struct place p;

	(void)state;
	place_init(&p);
	p.house.limits.mailbox_keywords = 4;
	place_run(&p, body_keywords);
	place_free(&p);
}

static void
test_unchanged_since(void **state)
{
	(void)state;
	with_place(body_unchanged_since);
}

static void
test_idle(void **state)
{
	(void)state;
	with_place(body_idle);
}

static void
test_model(void **state)
{
	struct place p;

	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		place_init(&p);
		p.house.random_seed = seed;
		place_run(&p, body_model);
		place_free(&p);
	}
}

static void
vanished_are(struct store_view *v, uint64_t modseq, const struct store_uid_range *expected, size_t n)
{
	struct arena ARENA_CLEANUP mem;
	struct store_uid_range *found;
	size_t found_n;

	arena_init(&mem, 1u << 20);
	assert_int_equal(store_vanished(v, modseq, &mem, &found, &found_n), 0);
	assert_int_equal(found_n, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(found[i].lo, expected[i].lo);
		assert_int_equal(found[i].hi, expected[i].hi);
	}
}
#define VANISHED(v, modseq, ...) \
	vanished_are((v), (modseq), (const struct store_uid_range[]){__VA_ARGS__}, \
	    COUNT_OF(((const struct store_uid_range[]){__VA_ARGS__})))

static void
expunge_one(struct store_view *v, uint32_t uid)
{
	assert_int_equal(store_expunge(v, &uid, 1, false), 0);
}

/* Of what was expunged long ago only that it is not there is known. */
static void
body_vanished(struct place *p)
{
	struct store_account *a = make_account(p, "01A");
	struct store_view *v, *late;
	uint64_t modseq[31];

	p->house.limits.mailbox_tombstones = 10;
	for (int i = 0; i < 30; i++)
		(void)append_ok(a, "INBOX", "Subject: x\r\n\r\n", 0);
	v = open_view(a, "INBOX");
	late = open_view(a, "INBOX");
	for (uint32_t uid = 2; uid <= 20; uid += 2) {
		expunge_one(v, uid);
		while (store_view_next(v, true).kind != STORE_EVENT_NONE)
			;
		modseq[uid] = store_view_highestmodseq(v);
	}
	VANISHED(v, modseq[2], {4, 4}, {6, 6}, {8, 8}, {10, 10}, {12, 12}, {14, 14}, {16, 16}, {18, 18}, {20, 20});
	VANISHED(v, modseq[18], {20, 20});
	vanished_are(v, modseq[20], NULL, 0);
	expunge_one(v, 3); /* one too many: the newest five stay */
	expunge_one(v, 30);
	while (store_view_next(v, true).kind != STORE_EVENT_NONE)
		;
	VANISHED(v, modseq[18], {3, 3}, {20, 20}, {30, 30});
	VANISHED(
	    v, modseq[2], {2, 4}, {6, 6}, {8, 8}, {10, 10}, {12, 12}, {14, 14}, {16, 16}, {18, 18}, {20, 20}, {30, 30});
	vanished_are(late, modseq[2], NULL, 0); /* it counts them all still */
	while (store_view_next(late, true).kind != STORE_EVENT_NONE)
		;
	VANISHED(late, 0, {2, 4}, {6, 6}, {8, 8}, {10, 10}, {12, 12}, {14, 14}, {16, 16}, {18, 18}, {20, 20}, {30, 30});
	store_view_close(&late);
	store_view_close(&v);
	store_account_put(&a);
}

static void
test_vanished(void **state)
{
	(void)state;
	with_place(body_vanished);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_news),
	    cmocka_unit_test(test_keywords),
	    cmocka_unit_test(test_unchanged_since),
	    cmocka_unit_test(test_idle),
	    cmocka_unit_test(test_model),
	    cmocka_unit_test(test_vanished),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
