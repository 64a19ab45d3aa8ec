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
count_guess(const struct vault_brake *b, struct braked_account *a)
{
	if (a->failures == 0)
		a->since_ms = loop_now_ms(b->loop);
	if (a->failures < FAILURES_MAX)
		a->failures++;
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
