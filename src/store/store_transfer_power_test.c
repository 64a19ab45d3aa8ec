/* Power cuts while messages are copied and moved into a mailbox of another account (see store_power_disk.h), at each sync point in turn: no
 * message is lost, none stands twice in a mailbox, and what was answered has happened. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/store_power_disk.h"

#define MESSAGES 70 /* more than go at once */

enum { TOLD_NOTHING, TOLD_APPENDED, TOLD_DONE };

struct act {
	struct place p;
	struct disk disk;
	bool move;
	_Atomic size_t told;
};

static struct slice
text_of(size_t number, struct buf *out)
{
	size_t n = number % 16 == 3 ? 200000 : 200; /* some are files of their own */

	buf_reset(out);
	buf_printf(out, "Message-ID: <%zu@x>\r\n\r\n", number);
	while (out->n < n)
		buf_put_u8(out, (uint8_t)(number + out->n));
	return buf_slice(out);
}

static void
append_all(struct store_account *a)
{
	struct store_append v[MESSAGES] = {0};
	struct store_copied c;
	struct arena ARENA_CLEANUP mem;
	struct buf BUF_CLEANUP text;

	arena_init(&mem, 1u << 20);
	buf_init(&text, 1u << 20);
	for (size_t i = 0; i < MESSAGES; i++) {
		v[i] = (struct store_append){.flags = STORE_SEEN, .internal_s = 5};
		assert_int_equal(store_upload_new(a, 1u << 30, &v[i].upload), 0);
		assert_int_equal(store_upload_write(v[i].upload, text_of(i, &text)), 0);
	}
	assert_int_equal(store_append(a, NULL, SLICE("Sent"), v, MESSAGES, &mem, &c), 0);
	for (size_t i = 0; i < MESSAGES; i++)
		store_upload_free(&v[i].upload);
}

static void
body_act(struct place *p)
{
	static const struct store_filter all = {STORE_FLAGS_ALL, true};
	struct act *t = CONTAINER_OF(p, struct act, p);
	struct store_account *a = make_account(p, "01A"), *b = make_account(p, "01B");
	struct store_view *v;
	struct store_copied c;
	struct arena ARENA_CLEANUP mem;
	uint32_t uids[MESSAGES];

	arena_init(&mem, 1u << 20);
	append_all(a);
	t->told = TOLD_APPENDED;
	v = open_view(a, "Sent");
	for (size_t i = 0; i < MESSAGES; i++)
		uids[i] = store_view_at(v, i + 1).uid;
	assert_int_equal(store_transfer(v, uids, MESSAGES, b, SLICE("Archive"), &all, t->move, &mem, &c), 0);
	assert_int_equal(c.n, MESSAGES);
	t->told = TOLD_DONE;
	store_view_close(&v);
	store_account_put(&a);
	store_account_put(&b);
}

/* How often each message is in the mailbox; each is compared as a whole. */
static void
count(struct place *p, const char *account, const char *mailbox, size_t times[MESSAGES])
{
	struct store_account *a = get_account(p, account);
	struct store_view *v = open_view(a, mailbox);
	struct buf BUF_CLEANUP text;

	buf_init(&text, 1u << 20);
	memset(times, 0, sizeof(*times) * MESSAGES);
	for (size_t i = 1; i <= store_view_count(v); i++) {
		struct store_body *body STORE_BODY_CLEANUP = NULL;
		struct slice raw;
		size_t number = 0;

		assert_int_equal(store_body_open(a, store_view_at(v, i).email, &body), 0);
		assert_int_equal(store_body_raw(body, &raw), 0);
		for (size_t k = 13; k < raw.n && ascii_is_digit(slice_at(raw, k)); k++)
			number = number * 10 + slice_at(raw, k) - '0';
		assert_true(number < MESSAGES && slice_eq(raw, text_of(number, &text)));
		assert_int_equal(store_view_at(v, i).flags, STORE_SEEN);
		times[number]++;
	}
	store_view_close(&v);
	store_account_put(&a);
}

static void
body_after(struct place *p)
{
	struct act *t = CONTAINER_OF(p, struct act, p);
	size_t here[MESSAGES], there[MESSAGES];

	if (t->disk.facts_at_cut < TOLD_APPENDED)
		return;
	count(p, "01A", "Sent", here);
	count(p, "01B", "Archive", there);
	for (size_t i = 0; i < MESSAGES; i++) {
		assert_true(here[i] <= 1 && there[i] <= 1 && here[i] + there[i] >= 1);
		if (!t->move)
			assert_int_equal(here[i], 1);
		if (t->disk.facts_at_cut == TOLD_DONE)
			assert_true(there[i] == 1 && here[i] == !t->move);
	}
}

static bool
act(size_t cut_at, bool tear, bool move)
{
	struct act *t = calloc(1, sizeof(*t));
	bool cut;

	assert_non_null(t);
	t->move = move;
	place_init(&t->p);
	t->p.house.random_seed = cut_at * 2 + tear + 1;
	t->p.house.limits.store_sync_ms = 3;
	power_on(&t->disk, &t->p, &t->told, cut_at, tear);
	place_run(&t->p, body_act);
	cut = power_off(&t->disk, &t->p);
	if (cut)
		place_run(&t->p, body_after);
	place_free(&t->p);
	free(t);
	return cut;
}

static void
act_all(bool tear, bool move)
{
	size_t points = 0;

	while (act(points, tear, move))
		points++;
	assert_true(points > 10);
}

static void
test_copy(void **state)
{
	(void)state;
	act_all(false, false);
	act_all(true, false);
}

static void
test_move(void **state)
{
	(void)state;
	act_all(false, true);
	act_all(true, true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_copy),
	    cmocka_unit_test(test_move),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
