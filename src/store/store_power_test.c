/* Power cuts (see store_power_disk.h). The store is opened on what a cut leaves, and what a client or the clerk had been told before it is
 * held against what is there now. The scripted day is repeated for each sync point until it ends without reaching one. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/store_power_disk.h"

/* ---- what the world has been told ----------------------------------------------------------------------------------- */

enum fact_kind {
	FACT_DURABLE,  /* delivery `number` was reported durable */
	FACT_SHOWN,    /* in `mailbox` (of that uidvalidity) `uid` was message `number` */
	FACT_MODSEQ,   /* a modseq was shown */
	FACT_APPENDED, /* APPEND was answered OK */
	FACT_MOVED,
	FACT_COPIED,
	FACT_EXPUNGED, /* so was … of message `number` */
	FACT_EXPUNGING,
	FACT_MOVING /* begun: may or may not have happened */
};

struct fact {
	enum fact_kind kind;
	int account;
	uint64_t number;
	char mailbox[16];
	uint32_t uidvalidity, uid;
	uint64_t modseq;
};

#define FACTS_MAX 20000
#define ACCOUNTS 2
#define MESSAGES 24

struct day {
	struct place p;
	struct disk disk;
	struct fact facts[FACTS_MAX];
	_Atomic size_t n;
	struct store_account *a[ACCOUNTS];
};

static const char *const ids[ACCOUNTS] = {"01A", "01B"};

static void
tell(struct day *d, struct fact f)
{
	assert_true(d->n < FACTS_MAX);
	d->facts[d->n] = f;
	d->n++;
}

static void
on_durable(void *arg, struct slice account_id, struct slice_list list)
{
	struct day *d = CONTAINER_OF(arg, struct day, p);

	for (size_t i = 0; i < list.n; i++) {
		uint64_t number;

		memcpy(&number, list.v[i].p, sizeof(number));
		tell(d,
		    (struct fact){
			.kind = FACT_DURABLE, .account = slice_eq(account_id, slice_z(ids[1])), .number = number});
	}
}

/* Large messages begin with the same header and go on for long. */
static struct slice
text_of(uint64_t number, bool large, uint8_t **owned)
{
	size_t n = large ? 200000 : 120;
	int used;

	*owned = malloc(n);
	assert_non_null(*owned);
	used = snprintf((char *)*owned, n, "Subject: %llu\r\nMessage-ID: <%llu@x>\r\n\r\n", (unsigned long long)number,
	    (unsigned long long)number);
	for (size_t i = (size_t)used; i < n; i++)
		(*owned)[i] = (uint8_t)(number + i);
	return slice_of(*owned, n);
}

static int
deliver_number(struct store_account *a, uint64_t number, enum store_delivered *how)
{
	uint8_t *owned;
	struct slice body = text_of(number, number % 8 == 5, &owned);
	struct store_delivery s = {.body = body, .file = -1, .size = body.n, .received_s = 1};
	int err;

	memcpy(s.delivery_id, &number, sizeof(number));
	err = store_deliver(a, &s, how);
	free(owned);
	return err;
}

/* The number that a message carries, after comparing all of it. */
static uint64_t
number_of(struct store_account *a, uint64_t email)
{
	struct store_body *b;
	struct slice raw, expected;
	uint8_t *owned;
	unsigned long long number = 0;

	assert_int_equal(store_body_open(a, email, &b), 0);
	assert_int_equal(store_body_raw(b, &raw), 0);
	for (size_t i = 9; i < raw.n && ascii_is_digit(slice_at(raw, i)); i++)
		number = number * 10 + slice_at(raw, i) - '0';
	expected = text_of(number, raw.n > 1000, &owned);
	assert_true(slice_eq(raw, expected));
	free(owned);
	store_body_close(&b);
	return number;
}

static void
show(struct day *d, int account, struct store_view *v, const char *mailbox)
{
	struct fact f = {.kind = FACT_SHOWN, .account = account, .uidvalidity = store_view_uidvalidity(v)};

	(void)snprintf(f.mailbox, sizeof(f.mailbox), "%s", mailbox);
	while (store_view_next(v, true).kind != STORE_EVENT_NONE)
		;
	for (size_t i = 1; i <= store_view_count(v); i++) {
		struct store_entry e = store_view_at(v, i);

		f.uid = e.uid;
		f.number = number_of(d->a[account], e.email);
		f.modseq = e.modseq;
		tell(d, f);
	}
	f.kind = FACT_MODSEQ;
	f.modseq = store_view_highestmodseq(v);
	tell(d, f);
}

/* A search for every message by the id that it alone has finds each and no other, whatever has become of the index. */
static void
search(struct day *d, int account, struct store_view *v)
{
	struct store_text_key *keys = calloc(store_view_count(v) + 1, sizeof(*keys));
	struct arena ARENA_CLEANUP mem;
	struct store_found *f = NULL;
	size_t n = store_view_count(v);

	arena_init(&mem, 1u << 20);
	assert_non_null(keys);
	for (size_t i = 0; i < n; i++)
		keys[i] = (struct store_text_key){.scope = STORE_SCOPE_FIELD,
		    .field = SLICE("message-id"),
		    .text = arena_printf(
			&mem, "<%llu@X>", (unsigned long long)number_of(d->a[account], store_view_at(v, i + 1).email))};
	assert_int_equal(store_find_text(v, NULL, 0, keys, n, &f), 0);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++)
			assert_int_equal(
			    store_found_has(f, k, store_view_at(v, i + 1).uid), slice_eq(keys[i].text, keys[k].text));
	store_found_free(&f);
	free(keys);
}

static uint32_t
uid_of(struct day *d, int account, struct store_view *v, uint64_t number)
{
	for (size_t i = 1; i <= store_view_count(v); i++)
		if (number_of(d->a[account], store_view_at(v, i).email) == number)
			return store_view_at(v, i).uid;
	return 0;
}

/* ---- the day ------------------------------------------------------------------------------------------------------------ */

static void
append_number(struct day *d, int account, uint64_t number)
{
	struct store_upload *u;
	struct store_copied c;
	struct store_append one = {.internal_s = 5};
	struct arena ARENA_CLEANUP mem;
	uint8_t *owned;
	struct slice body = text_of(number, number % 2 == 0, &owned);

	arena_init(&mem, 1u << 20);
	assert_int_equal(store_upload_new(d->a[account], 1u << 30, &u), 0);
	assert_int_equal(store_upload_write(u, body), 0);
	one.upload = u;
	assert_int_equal(store_append(d->a[account], NULL, SLICE("Sent"), &one, 1, &mem, &c), 0);
	tell(d,
	    (struct fact){.kind = FACT_APPENDED,
		.account = account,
		.number = number,
		.uidvalidity = c.uidvalidity,
		.uid = c.target[0]});
	store_upload_free(&u);
	free(owned);
}

/* What a user does with a message of the Inbox: number % 4 says. */
static void
work_on(struct day *d, int account, struct store_view *v, uint64_t number)
{
	struct arena ARENA_CLEANUP mem;
	struct store_copied c;
	struct store_flag_change seen = {.op = STORE_FLAGS_ADD, .flags = STORE_SEEN, .unchanged_since = UINT64_MAX};
	uint32_t uid = uid_of(d, account, v, number);
	struct fact f = {.account = account, .number = number};

	arena_init(&mem, 1u << 20);
	if (uid == 0)
		return;
	switch (number % 4) {
	case 0:
		f.kind = FACT_EXPUNGING;
		tell(d, f);
		assert_int_equal(store_expunge(v, &uid, 1, false), 0);
		f.kind = FACT_EXPUNGED;
		break;
	case 1:
		assert_int_equal(store_copy(v, &uid, 1, SLICE("Archive"), false, &mem, &c), 0);
		f.kind = FACT_COPIED;
		break;
	case 2:
		f.kind = FACT_MOVING;
		tell(d, f);
		assert_int_equal(store_copy(v, &uid, 1, SLICE("Archive"), true, &mem, &c), 0);
		f.kind = FACT_MOVED;
		break;
	default:
		assert_int_equal(store_flags(v, &uid, 1, &seen, NULL), 0);
		f.kind = FACT_MODSEQ;
		(void)snprintf(f.mailbox, sizeof(f.mailbox), "INBOX");
		f.modseq = store_view_highestmodseq(v);
	}
	tell(d, f);
}

static void
spend_day(struct place *p)
{
	struct day *d = CONTAINER_OF(p, struct day, p);
	uint64_t next[ACCOUNTS] = {1, 1}, worked[ACCOUNTS] = {1, 1}, appended = 1001;

	for (int i = 0; i < ACCOUNTS; i++)
		d->a[i] = make_account(p, ids[i]);
	for (int round = 0; round < 6 && !d->disk.cut; round++) {
		for (int i = 0; i < ACCOUNTS; i++) {
			struct store_view *v = open_view(d->a[i], "INBOX"), *archive;
			enum store_delivered how;

			for (int j = 0; j < MESSAGES / 6; j++)
				assert_int_equal(deliver_number(d->a[i], next[i]++, &how), 0);
			show(d, i, v, "INBOX");
			while (worked[i] + 2 < next[i])
				work_on(d, i, v, worked[i]++);
			append_number(d, i, appended++);
			archive = open_view(d->a[i], "Archive");
			show(d, i, archive, "Archive");
			show(d, i, v, "INBOX");
			if ((round == 1 || round == 4) && !d->disk.cut)
				search(d, i, v);
			store_view_close(&v);
			store_view_close(&archive);
		}
		if (round == 2) { /* a night between: a clean end */
			for (int i = 0; i < ACCOUNTS; i++)
				store_account_put(&d->a[i]);
			assert_int_equal(store_close(&p->store), 0);
			place_open(p);
			p->store->hooks.durable = on_durable;
			for (int i = 0; i < ACCOUNTS; i++)
				d->a[i] = get_account(p, ids[i]);
		} else if (round % 2 == 0) {
			assert_int_equal(store_sync(p->store), 0);
		}
	}
	for (int i = 0; i < ACCOUNTS; i++)
		store_account_put(&d->a[i]);
}

static void
body_day(struct place *p)
{
	p->store->hooks.durable = on_durable;
	spend_day(p);
}

/* ---- the morning after ---------------------------------------------------------------------------------------------------- */

struct found {
	uint32_t uidvalidity, uidnext;
	uint64_t highestmodseq;
	size_t n;
	uint32_t uid[256];
	uint64_t number[256];
};

static void
look(struct day *d, int account, const char *mailbox, struct found *f)
{
	struct store_view *v = open_view(d->a[account], mailbox);

	*f = (struct found){.uidvalidity = store_view_uidvalidity(v),
	    .uidnext = store_view_uidnext(v),
	    .highestmodseq = store_view_highestmodseq(v),
	    .n = store_view_count(v)};
	assert_true(f->n <= 256);
	for (size_t i = 0; i < f->n; i++) {
		f->uid[i] = store_view_at(v, i + 1).uid;
		f->number[i] = number_of(d->a[account], store_view_at(v, i + 1).email);
	}
	if (strcmp(mailbox, "INBOX") == 0)
		search(d, account, v);
	store_view_close(&v);
}

static size_t
times(const struct found *f, uint64_t number)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++)
		n += f->number[i] == number;
	return n;
}

static bool
told(const struct day *d, enum fact_kind kind, int account, uint64_t number)
{
	for (size_t i = 0; i < d->disk.facts_at_cut; i++)
		if (d->facts[i].kind == kind && d->facts[i].account == account && d->facts[i].number == number)
			return true;
	return false;
}

/* A UID that was shown means the same message, or none, and is not given again; modseqs go on above what was shown. */
static void
check_shown(const struct day *d, int account, const char *mailbox, const struct found *f)
{
	for (size_t i = 0; i < d->disk.facts_at_cut; i++) {
		const struct fact *fact = &d->facts[i];

		if (fact->account != account || strcmp(fact->mailbox, mailbox) != 0)
			continue;
		if (fact->kind == FACT_MODSEQ)
			assert_true(fact->modseq <= f->highestmodseq);
		if (fact->kind != FACT_SHOWN || fact->uidvalidity != f->uidvalidity)
			continue;
		assert_true(fact->uid < f->uidnext);
		for (size_t j = 0; j < f->n; j++)
			if (f->uid[j] == fact->uid)
				assert_int_equal(f->number[j], fact->number);
	}
}

static void
check_messages(
    struct day *d, int account, const struct found *inbox, const struct found *archive, const struct found *sent)
{
	for (uint64_t number = 1; number <= MESSAGES; number++) {
		size_t in = times(inbox, number), away = times(archive, number);
		bool begun = told(d, FACT_EXPUNGING, account, number), gone = told(d, FACT_EXPUNGED, account, number);
		bool moving = told(d, FACT_MOVING, account, number), copied = told(d, FACT_COPIED, account, number);

		if (gone)
			assert_int_equal(in + away, 0);
		else if (begun)
			assert_in_range(in + away, 0, 1);
		if (told(d, FACT_MOVED, account, number)) {
			assert_int_equal(in, 0);
			assert_int_equal(away, 1);
		} else if (moving) {
			assert_in_range(in + away, 0, 1);
		}
		if (copied) {
			assert_int_equal(in, 1);
			assert_int_equal(away, 1);
		}
		assert_true(in <= 1 && away <= 1);
		if (told(d, FACT_DURABLE, account, number) && !begun && !moving)
			assert_int_equal(number % 4 == 1 ? in : in + away, 1);
	}
	for (uint64_t number = 1001; number < 1001 + 100; number++)
		if (told(d, FACT_APPENDED, account, number))
			assert_int_equal(times(sent, number), 1);
}

static void
body_morning(struct place *p)
{
	struct day *d = CONTAINER_OF(p, struct day, p);
	static struct found inbox, archive, sent, after;
	enum store_delivered how;

	for (int i = 0; i < ACCOUNTS; i++) {
		/* The clerk makes the account if it was never told that it is there. */
		if (store_account_get(p->store, slice_z(ids[i]), &d->a[i]) != 0) {
			for (size_t j = 0; j < d->disk.facts_at_cut; j++)
				assert_true(d->facts[j].account != i);
		}
		if (d->a[i] == NULL)
			d->a[i] = make_account(p, ids[i]);
		else
			assert_int_equal(store_account_create(p->store, slice_z(ids[i])), 0);
		look(d, i, "INBOX", &inbox);
		look(d, i, "Archive", &archive);
		look(d, i, "Sent", &sent);
		check_shown(d, i, "INBOX", &inbox);
		check_shown(d, i, "Archive", &archive);
		check_messages(d, i, &inbox, &archive, &sent);
		/* The clerk delivers everything again: what was durable is a duplicate, and everything is there once. */
		for (uint64_t number = 1; number <= MESSAGES; number++) {
			assert_int_equal(deliver_number(d->a[i], number, &how), 0);
			if (told(d, FACT_DURABLE, i, number) || told(d, FACT_EXPUNGED, i, number) ||
			    told(d, FACT_MOVED, i, number))
				assert_int_equal(how, STORE_DUPLICATE);
		}
		look(d, i, "INBOX", &after);
		check_shown(d, i, "INBOX", &after);
		for (uint64_t number = 1; number <= MESSAGES; number++)
			if (!told(d, FACT_EXPUNGING, i, number))
				assert_true(times(&after, number) + times(&archive, number) >= 1);
		store_account_put(&d->a[i]);
	}
}

/* One day with the power going at that sync point. False when the day has fewer. */
static bool
live_day(size_t cut_at, bool tear)
{
	struct day *d = calloc(1, sizeof(*d));
	bool cut;

	assert_non_null(d);
	place_init(&d->p);
	d->p.house.random_seed = cut_at * 2 + tear + 1;
	d->p.house.limits.store_sync_ms = 3;
	d->p.house.limits.search_segment = 4;
	power_on(&d->disk, &d->p, &d->n, cut_at, tear);
	place_run(&d->p, body_day);
	cut = power_off(&d->disk, &d->p);
	if (cut)
		place_run(&d->p, body_morning);
	place_free(&d->p);
	free(d);
	return cut;
}

/* With sanitizers, which are slow, either test takes every other point. */
#ifdef POSTHOUSE_SANITIZED
#define STEP 2
#else
#define STEP 1
#endif

static void
test_drop(void **state)
{
	size_t points = 0;

	(void)state;
	while (live_day(points, false))
		points += STEP;
	assert_true(points > 30);
}

static void
test_tear(void **state)
{
	size_t points = STEP - 1;

	(void)state;
	while (live_day(points, true))
		points += STEP;
	assert_true(points > 30);
}

/* A failed sync is final: nothing is reported, the role is told, everything is refused, and the next start is unclean. */
static void
body_broken(struct place *p)
{
	struct store_account *a = make_account(p, ids[0]);
	struct store_upload *u;
	struct store_append one = {.internal_s = 5};
	struct store_copied c;
	struct arena ARENA_CLEANUP mem;
	enum store_delivered how;

	arena_init(&mem, 65536);
	assert_int_equal(store_sync(p->store), 0);
	assert_int_equal(deliver_number(a, 1, &how), 0);
	disk->broken = true;
	assert_int_equal(store_upload_new(a, 100, &u), 0);
	assert_int_equal(store_upload_write(u, SLICE("x: y\r\n\r\n")), 0);
	one.upload = u;
	assert_int_equal(store_append(a, NULL, SLICE("Sent"), &one, 1, &mem, &c), ERR_IO);
	store_upload_free(&u);
	disk->broken = false; /* it does not matter any more */
	assert_true(p->failed);
	assert_true(store_has_failed(p->store));
	assert_int_equal(deliver_number(a, 2, &how), ERR_IO);
	assert_int_equal(store_sync(p->store), ERR_IO);
	assert_int_equal(p->durable.n, 0);
	store_account_put(&a);
	place_crash(p);
	a = get_account(p, ids[0]);
	assert_int_equal(deliver_number(a, 1, &how), 0);
	assert_int_equal(store_sync(p->store), 0);
	assert_int_equal(p->durable.n, STORE_ID_BYTES);
	store_account_put(&a);
}

static void
test_broken(void **state)
{
	struct day *d = calloc(1, sizeof(*d));

	(void)state;
	assert_non_null(d);
	place_init(&d->p);
	power_on(&d->disk, &d->p, &d->n, SIZE_MAX, false);
	place_run(&d->p, body_broken);
	assert_false(power_off(&d->disk, &d->p));
	place_free(&d->p);
	free(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_broken),
	    cmocka_unit_test(test_drop),
	    cmocka_unit_test(test_tear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
