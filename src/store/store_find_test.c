/* store_find_test.c: what a search finds is what reading every message finds, whatever has become of the index. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/store_testing.h"

#include "message/fold.h"
#include "store/store_text.h"

#include <fcntl.h>

#define WORDS 40
#define KEYS 60

/* Stands for a reader: angle brackets and what is between them go; all other text in capitals, so that it shows who read it. */
static int
texts(
    void *arg, struct slice account_id, const struct store_text_input *v, size_t n, struct arena *a, struct slice *out)
{
	int *fail = arg;

	(void)account_id;
	if (fail != NULL && *fail > 0) {
		--*fail;
		return ERR_UNAVAILABLE;
	}
	for (size_t i = 0; i < n; i++) {
		struct buf BUF_CLEANUP b;
		bool tag = false;

		buf_init(&b, v[i].bytes.n + 16);
		for (size_t k = 0; k < v[i].bytes.n; k++) {
			uint8_t c = slice_at(v[i].bytes, k);

			if (c == '<')
				tag = true;
			else if (c == '>')
				tag = false;
			else if (!tag)
				buf_put_u8(&b, c);
		}
		out[i] = arena_copy(a, buf_slice(&b));
	}
	return 0;
}

static void
word(struct house *h, struct buf *out)
{
	static const char *const odd[] = {"\xc3\xa9t\xc3\xa9", "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e",
	    "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82"};
	uint64_t which = house_random_below(h, WORDS);

	if (which < COUNT_OF(odd)) {
		buf_put_z(out, odd[which]);
		return;
	}
	for (uint64_t i = 0; i < 2 + which % 5; i++)
		buf_put_u8(out, (uint8_t)("abc"[(which >> i ^ i) % 3]));
}

static void
message(struct house *h, struct buf *out)
{
	bool html = house_random_below(h, 4) == 0;

	buf_reset(out);
	buf_put_z(out, "Subject: ");
	word(h, out);
	buf_put_z(out, "\r\n ");
	word(h, out);
	buf_put_z(out, "\r\nX-Tag: ");
	word(h, out);
	buf_put_z(out,
	    html ? "\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
		 : "\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n");
	for (uint64_t n = house_random_below(h, 12); n > 0; n--) {
		if (html && n % 3 == 0)
			buf_put_z(out, "<b class=abc>");
		word(h, out);
		buf_put_z(out, n % 4 == 0 ? "\r\n" : " ");
	}
	buf_put_u8(out, 0);
}

struct asked {
	struct store_text_key v[KEYS];
	struct buf text[KEYS];
};

/* At a character. */
static struct slice
cut(struct slice s, size_t max)
{
	s = slice_head(s, max);
	while (!slice_is_utf8(s, false))
		s = slice_head(s, s.n - 1);
	return s;
}

static void
ask_random(struct house *h, struct asked *q)
{
	for (size_t i = 0; i < KEYS; i++) {
		struct buf BUF_CLEANUP b;

		buf_init(&b, 256);
		buf_init(&q->text[i], 1024);
		for (uint64_t n = house_random_below(h, 3) + (i % 7 != 0); n > 0; n--) {
			word(h, &b);
			if (n > 1)
				buf_put_u8(&b, ' ');
		}
		text_fold(cut(buf_slice(&b), 1 + (size_t)house_random_below(h, 12)), &q->text[i]);
		q->v[i] = (struct store_text_key){.scope = (enum store_text_scope)(i % 3),
		    .field = i % 2 == 0 ? SLICE("x-tag") : SLICE("SUBJECT"),
		    .text = buf_slice(&q->text[i])};
	}
}

static void
asked_free(struct asked *q)
{
	for (size_t i = 0; i < KEYS; i++)
		buf_free(&q->text[i]);
}

/* Without any index: the text of one message, and whether it has the key. */
static bool
plainly(struct place *p, struct slice raw, const struct store_text_key *k)
{
	struct arena ARENA_CLEANUP a;
	struct buf BUF_CLEANUP header;
	struct buf BUF_CLEANUP body;
	struct text_plan plan;
	struct slice answers[8], field = k->field;
	struct buf BUF_CLEANUP folded;

	arena_init(&a, text_arena_max(&p->house.limits, raw.n));
	buf_init(&header, 65536);
	buf_init(&body, 65536);
	buf_init(&folded, 256);
	assert_int_equal(text_plan(&a, raw, &p->house.limits, &plan), 0);
	assert_true(plan.inputs_n <= COUNT_OF(answers));
	assert_int_equal(texts(NULL, SLICE_EMPTY, plan.inputs, plan.inputs_n, &a, answers), 0);
	text_compose(&plan, answers, &header, &body);
	text_fold(field, &folded);
	if (k->scope == STORE_SCOPE_FIELD)
		return text_field_has(buf_slice(&header), buf_slice(&folded), k->text);
	return text_has(buf_slice(&body), k->text) ||
	    (k->scope == STORE_SCOPE_TEXT && text_has(buf_slice(&header), k->text));
}

static size_t
check(struct place *p, struct store_view *v)
{
	struct asked *q = calloc(1, sizeof(*q));
	struct store_found STORE_FOUND_CLEANUP *f = NULL;
	size_t hits = 0;

	ask_random(&p->house, q);
	assert_int_equal(store_find_text(v, NULL, 0, q->v, KEYS, &f), 0);
	for (size_t seq = 1; seq <= store_view_count(v); seq++) {
		struct store_entry e = store_view_at(v, seq);
		struct store_body *b;
		struct slice raw;

		if (e.expunged)
			continue;
		assert_int_equal(store_body_open(store_view_account(v), e.email, &b), 0);
		assert_int_equal(store_body_raw(b, &raw), 0);
		for (size_t k = 0; k < KEYS; k++) {
			bool has = plainly(p, raw, &q->v[k]);

			assert_int_equal(store_found_has(f, k, e.uid), has);
			hits += has;
		}
		store_body_close(&b);
	}
	for (size_t k = 0; k < KEYS; k++) { /* the same from hit to hit, and of a few messages alone */
		struct store_found STORE_FOUND_CLEANUP *few = NULL;
		uint32_t uids[] = {1, 5, 17, 40, 41, UINT32_MAX};
		size_t n = 0;

		for (uint32_t uid = 0; (uid = store_found_next(f, k, uid + 1)) != 0;)
			n += store_view_seq(v, uid) != 0;
		for (size_t seq = 1; seq <= store_view_count(v); seq++)
			n -= store_found_has(f, k, store_view_at(v, seq).uid);
		assert_int_equal(n, 0);
		assert_int_equal(store_find_text(v, uids, COUNT_OF(uids), &q->v[k], 1, &few), 0);
		for (size_t i = 0; i < COUNT_OF(uids); i++)
			assert_int_equal(store_found_has(few, 0, uids[i]), store_found_has(f, k, uids[i]));
		assert_false(store_found_has(few, 0, 2));
	}
	asked_free(q);
	free(q);
	return hits;
}

static void
fill(struct place *p, struct store_account *a, const char *mailbox, size_t n)
{
	struct buf BUF_CLEANUP m;

	buf_init(&m, 65536);
	for (size_t i = 0; i < n; i++) {
		message(&p->house, &m);
		append_ok(a, mailbox, (const char *)m.p, i % 5 == 0 ? STORE_DELETED : 0);
	}
}

/* Until the index has caught up and its segments are made. */
static void
settle(struct place *p)
{
	struct store_counters c;
	int64_t before;

	do {
		store_counters(p->store, &c);
		before = c.indexed;
		assert_int_equal(fiber_sleep(p->loop, 60), 0);
		store_counters(p->store, &c);
	} while (c.indexed != before || !list_empty(&p->store->index_waiting));
	assert_int_equal(fiber_sleep(p->loop, 100), 0);
}

static void
search_place(struct place *p)
{
	p->house.limits.search_delay_ms = 10;
	p->house.limits.search_segment = 8;
	p->store->hooks.texts = texts;
}

static void
body_exact(struct place *p)
{
	struct store_account STORE_ACCOUNT_CLEANUP *a = make_account(p, "alice");
	struct store_view STORE_VIEW_CLEANUP *v = open_view(a, "INBOX");
	struct store_view STORE_VIEW_CLEANUP *other = open_view(a, "Archive");
	struct arena ARENA_CLEANUP mem;
	struct store_copied c;
	uint32_t uids[] = {30, 2, 7};

	search_place(p);
	arena_init(&mem, 1 << 20);
	for (int round = 0; round < 6; round++) {
		fill(p, a, round % 2 == 0 ? "INBOX" : "Archive", 150);
		while (store_view_next(v, true).kind != STORE_EVENT_NONE ||
		    store_view_next(other, true).kind != STORE_EVENT_NONE)
			;
		/* Before, while and after the index takes them in. */
		assert_true(check(p, v) > 0);
		if (round % 2 == 1)
			settle(p);
		assert_true(check(p, v) > 0);
		if (round == 1)
			assert_int_equal(store_expunge(v, NULL, 0, false), 0);
		if (round == 3) /* emails out of the order of UIDs, and one twice */
			for (size_t i = 0; i < 3; i++)
				assert_int_equal(store_copy(v, &uids[i], 1, SLICE("Archive"), i == 0, &mem, &c), 0);
		assert_true(round == 0 || check(p, other) > 0);
	}
}

static void
test_exact(void **state)
{
	(void)state;
	with_place(body_exact);
}

static void
body_lost(struct place *p)
{
	struct store_account *a = make_account(p, "alice");
	struct store_view *v = open_view(a, "INBOX");
	char path[STORE_PATH_MAX];

	search_place(p);
	fill(p, a, "INBOX", 100);
	settle(p);
	assert_int_equal(store_path(p->store, SLICE("alice"), "/search.db", path), 0);
	for (int how = 0; how < 4; how++) {
		int fd;

		store_view_close(&v);
		store_account_put(&a);
		assert_int_equal(store_close(&p->store), 0);
		if (how == 0) {
			assert_int_equal(unlink(path), 0);
		} else if (how == 1) { /* no database at all */
			fd = open(path, O_WRONLY | O_TRUNC);
			assert_int_equal(write(fd, "garbage in here, and more than a header of it; ", 47), 47);
			close(fd);
		} else if (how == 2) { /* pages of it */
			fd = open(path, O_WRONLY);
			for (off_t at = 8192; at < lseek(fd, 0, SEEK_END); at += 4096)
				assert_int_equal(pwrite(fd, "\x0d\xff\xff\xff\xff\xff\xff\xff", 8, at), 8);
			close(fd);
		}
		place_open(p);
		search_place(p);
		a = get_account(p, "alice");
		v = open_view(a, "INBOX");
		assert_true(check(p, v) > 0);
		settle(p);
		assert_true(check(p, v) > 0);
	}
	store_view_close(&v);
	assert_int_equal(store_account_remove(p->store, SLICE("alice")), 0);
	assert_int_not_equal(access(path, F_OK), 0);
	store_account_put(&a);
}

static void
test_lost(void **state)
{
	(void)state;
	with_place(body_lost);
}

static void
body_no_reader(struct place *p)
{
	struct store_account STORE_ACCOUNT_CLEANUP *a = make_account(p, "alice");
	struct store_view STORE_VIEW_CLEANUP *v = NULL;
	struct store_text_key k = {.scope = STORE_SCOPE_BODY, .text = SLICE("SECRET")};
	struct store_found STORE_FOUND_CLEANUP *f = NULL;
	int fail = 3;

	search_place(p);
	p->store->hooks.texts_arg = &fail;
	append_ok(a, "INBOX", "Content-Type: text/html\r\n\r\n<p>se<b>cret</b>", 0);
	v = open_view(a, "INBOX");
	/* Not now; and then as if nothing had been. */
	assert_int_equal(store_find_text(v, NULL, 0, &k, 1, &f), ERR_UNAVAILABLE);
	assert_null(f);
	fail = 0;
	assert_int_equal(store_find_text(v, NULL, 0, &k, 1, &f), 0);
	assert_true(store_found_has(f, 0, 1));
	assert_false(store_found_has(f, 0, 2));
}

static void
test_no_reader(void **state)
{
	(void)state;
	with_place(body_no_reader);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_exact),
	    cmocka_unit_test(test_lost),
	    cmocka_unit_test(test_no_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
