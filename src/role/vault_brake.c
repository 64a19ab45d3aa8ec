/* vault_brake.c: see the header. An account is remembered while it has failures, waiters or known addresses; of too many, the one that
 * was used longest ago goes. */
#include "role/vault_brake.h"

#include "base/house.h"
#include "rt/loop.h"
#include "rt/net.h"

#define FREE_FAILURES 10 /* so many wrong passwords are somebody who mistypes, or an old phone */
#define FORGIVE_MS 60000 /* one failure in this time */
#define FAILURES_MAX 1000
#define FAILURE_DELAY_MS 200 /* for each failure that is neither free nor forgiven */
#define DELAY_MAX_MS 10000
#define TURN_MS 30000 /* the longest wait for a turn */
#define WAITERS_MAX 50
#define ACCOUNTS_MAX 100000u
#define ACCOUNT_BYTES_MAX 64 /* names that are longer and begin alike count as one */

struct braked_account {
	struct list_node node; /* in oldest_first */
	uint8_t id[ACCOUNT_BYTES_MAX];
	size_t id_n;
	int64_t failures, since_ms; /* since when the next one is being forgiven */
	uint8_t known[VAULT_BRAKE_KNOWN][16];
	size_t known_n; /* newest first */
	bool taken;
	int waiting; /* and the one that has the turn */
	struct waitq turn;
};

void
vault_brake_init(struct vault_brake *b, struct loop *l)
{
	*b = (struct vault_brake){.loop = l};
	map_init(&b->accounts, SIZE_MAX, house_random_u64(loop_house(l)));
	list_init(&b->oldest_first);
}

static void
drop(struct vault_brake *b, struct braked_account *a)
{
	(void)map_remove(&b->accounts, slice_of(a->id, a->id_n));
	list_remove(&a->node);
	free(a);
}

void
vault_brake_free(struct vault_brake *b)
{
	if (b->loop == NULL)
		return;
	LIST_FOREACH (&b->oldest_first, n)
		drop(b, CONTAINER_OF(n, struct braked_account, node));
	map_free(&b->accounts);
	b->loop = NULL;
}

static void
forgive(const struct vault_brake *b, struct braked_account *a)
{
	int64_t n = (loop_now_ms(b->loop) - a->since_ms) / FORGIVE_MS;

	if (n > 0) {
		a->failures = a->failures > n ? a->failures - n : 0;
		a->since_ms += n * FORGIVE_MS;
	}
}

static struct braked_account *
find(struct vault_brake *b, struct slice account_id)
{
	struct braked_account *a = map_get(&b->accounts, slice_head(account_id, ACCOUNT_BYTES_MAX));

	if (a != NULL) {
		forgive(b, a);
		list_remove(&a->node);
		list_push(&b->oldest_first, &a->node);
	}
	return a;
}

static void
drop_oldest(struct vault_brake *b)
{
	LIST_FOREACH (&b->oldest_first, n) {
		struct braked_account *a = CONTAINER_OF(n, struct braked_account, node);

		if (a->waiting == 0) {
			drop(b, a);
			return;
		}
	}
}

static struct braked_account *
find_or_make(struct vault_brake *b, struct slice account_id)
{
	struct braked_account *a = find(b, account_id);

	if (a != NULL || account_id.n == 0)
		return a;
	account_id = slice_head(account_id, ACCOUNT_BYTES_MAX);
	if (b->accounts.n >= ACCOUNTS_MAX)
		drop_oldest(b);
	if ((a = calloc(1, sizeof(*a))) == NULL)
		return NULL;
	memcpy(a->id, account_id.p, account_id.n);
	a->id_n = account_id.n;
	a->since_ms = loop_now_ms(b->loop);
	waitq_init(&a->turn);
	if (map_put(&b->accounts, account_id, a) != 0) {
		free(a);
		return NULL;
	}
	list_push(&b->oldest_first, &a->node);
	return a;
}

/* False for what is no address. */
static bool
key_of(struct slice client, uint8_t key[16])
{
	struct net_address address;

	if (net_address_parse(client, 0, &address) != 0)
		return false;
	net_address_prefix_key(&address, key);
	return true;
}

static bool
is_known(const struct braked_account *a, const uint8_t key[16])
{
	for (size_t i = 0; i < a->known_n; i++)
		if (memcmp(a->known[i], key, 16) == 0)
			return true;
	return false;
}

static void
make_known(struct braked_account *a, const uint8_t key[16])
{
	size_t at = 0;

	while (at < a->known_n && memcmp(a->known[at], key, 16) != 0)
		at++;
	if (at == a->known_n && at < VAULT_BRAKE_KNOWN)
		a->known_n++;
	else if (at == VAULT_BRAKE_KNOWN)
		at--;
	memmove(a->known[1], a->known[0], at * 16);
	memcpy(a->known[0], key, 16);
}

int
vault_brake_enter(struct vault_brake *b, struct slice account_id, struct slice client, struct braked_account **turn)
{
	struct braked_account *a = find(b, account_id);
	int64_t end_ms = loop_deadline(b->loop, TURN_MS);
	uint8_t key[16];
	int err = 0;

	*turn = NULL;
	if (a == NULL || a->failures <= FREE_FAILURES || (key_of(client, key) && is_known(a, key)))
		return 0;
	if (a->waiting >= WAITERS_MAX) {
		b->refused++;
		return ERR_BUSY;
	}
	a->waiting++;
	b->waited += a->taken;
	while (err == 0 && a->taken)
		err = waitq_wait(b->loop, &a->turn, end_ms);
	if (err != 0) {
		a->waiting--;
		b->refused++;
		return err == ERR_TIMEOUT ? ERR_BUSY : err;
	}
	a->taken = true;
	*turn = a;
	return 0;
}

static void
count_guess(struct vault_brake *b, struct braked_account *a)
{
	if (a->failures == 0)
		a->since_ms = loop_now_ms(b->loop);
	if (a->failures < FAILURES_MAX)
		a->failures++;
	b->changed = true;
}

void
vault_brake_leave(
    struct vault_brake *b, struct slice account_id, struct slice client, struct braked_account **turn, int err)
{
	struct braked_account *a = err == 0 || err == ERR_DENIED ? find_or_make(b, account_id) : *turn;
	uint8_t key[16];

	if (a != NULL && err == ERR_DENIED)
		count_guess(b, a);
	if (a != NULL && err == 0 && key_of(client, key))
		make_known(a, key);
	if (*turn == NULL)
		return;
	a = *turn;
	*turn = NULL;
	if (err == ERR_DENIED) {
		int64_t delay_ms = (a->failures - FREE_FAILURES) * FAILURE_DELAY_MS;

		(void)!fiber_sleep(b->loop, delay_ms < DELAY_MAX_MS ? delay_ms : DELAY_MAX_MS);
	}
	a->taken = false;
	a->waiting--;
	waitq_wake_one(&a->turn);
}

int64_t
vault_brake_failures(struct vault_brake *b, struct slice account_id)
{
	const struct braked_account *a = find(b, account_id);

	return a == NULL ? 0 : a->failures;
}

/* ---- what is kept --------------------------------------------------------------------------------------------- */

static int
by_failures(const void *x, const void *y)
{
	const struct vault_brake_row *a = x, *b = y;

	return a->failures != b->failures ? (a->failures < b->failures ? 1 : -1)
					  : slice_cmp(a->account_id, b->account_id);
}

int
vault_brake_rows(struct vault_brake *b, struct arena *a, struct vault_brake_row **rows, size_t *n)
{
	struct vault_brake_row *v = NULL;
	size_t cap = 0;

	*n = 0;
	LIST_FOREACH (&b->oldest_first, node) {
		struct braked_account *one = CONTAINER_OF(node, struct braked_account, node);

		forgive(b, one);
		/* (A long name that nobody has may be cut within a character.) */
		if (one->failures == 0 || !slice_is_utf8(slice_of(one->id, one->id_n), true))
			continue;
		v = arena_grow(a, v, *n, &cap, sizeof(*v), ACCOUNTS_MAX);
		if (v == NULL)
			return ERR_LIMIT;
		v[(*n)++] = (struct vault_brake_row){.account_id = arena_copy(a, slice_of(one->id, one->id_n)),
		    .failures = one->failures,
		    .waiting = one->waiting,
		    .since_ms = loop_now_ms(b->loop) - one->since_ms,
		    .known = arena_copy(a, slice_of(one->known, one->known_n * 16))};
	}
	if (*n > 0)
		qsort(v, *n, sizeof(*v), by_failures);
	*n = *n < VAULT_BRAKE_ROWS ? *n : VAULT_BRAKE_ROWS;
	*rows = v;
	return arena_failed(a) ? ERR_LIMIT : 0;
}

void
vault_brake_restore(struct vault_brake *b, const struct vault_brake_row *row)
{
	struct braked_account *a = find_or_make(b, row->account_id);
	size_t n = row->known.n / 16;

	if (a == NULL)
		return;
	a->failures = row->failures < 0 ? 0 : row->failures < FAILURES_MAX ? row->failures : FAILURES_MAX;
	a->since_ms = loop_now_ms(b->loop) - (row->since_ms < 0 ? 0 : row->since_ms);
	a->known_n = n < VAULT_BRAKE_KNOWN ? n : VAULT_BRAKE_KNOWN;
	if (a->known_n > 0)
		memcpy(a->known, row->known.p, a->known_n * 16);
	forgive(b, a);
}

bool
vault_brake_lift(struct vault_brake *b, struct slice account_id)
{
	struct braked_account *a = find(b, account_id);
	bool had = a != NULL && a->failures > 0;

	if (had) {
		a->failures = 0;
		b->changed = true;
	}
	return had;
}
