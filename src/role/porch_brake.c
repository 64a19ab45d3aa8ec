/* porch_brake.c: see the header. An address is remembered while it has sessions or failures that are not forgiven. */
#include "role/porch_brake.h"

#include "base/house.h"
#include "rt/loop.h"

#define TURN_MS 30000        /* the longest wait for a turn */
#define FORGIVE_MS 30000     /* one failure in this time */
#define FAILURE_DELAY_MS 100 /* for each failure that is not forgiven */
#define DELAY_MAX_MS 10000
#define FAILURES_MAX 1000
#define ADDRESSES_MAX 100000u

struct brake_address {
	struct list_node node; /* in oldest_first */
	uint8_t key[16];
	int64_t waiting, under_way;
	int64_t failures, since_ms; /* since when the next one is being forgiven */
	struct waitq turn;
};

void
porch_brake_init(struct porch_brake *b, struct loop *l)
{
	*b = (struct porch_brake){.loop = l};
	map_init(&b->by_address, SIZE_MAX, house_random_u64(loop_house(l)));
	list_init(&b->oldest_first);
}

static void
drop(struct porch_brake *b, struct brake_address *a)
{
	(void)map_remove(&b->by_address, slice_of(a->key, sizeof(a->key)));
	list_remove(&a->node);
	free(a);
}

void
porch_brake_free(struct porch_brake *b)
{
	LIST_FOREACH (&b->oldest_first, n)
		drop(b, CONTAINER_OF(n, struct brake_address, node));
	map_free(&b->by_address);
}

static void
forgive(const struct porch_brake *b, struct brake_address *a)
{
	int64_t now_ms = loop_now_ms(b->loop), n = (now_ms - a->since_ms) / FORGIVE_MS;

	if (n > 0) {
		a->failures = a->failures > n ? a->failures - n : 0;
		a->since_ms += n * FORGIVE_MS;
	}
}

/* The addresses that nobody uses: forgiven ones go; and, of too many, the one that was used longest ago. A few each
 * time. */
static void
drop_old(struct porch_brake *b)
{
	int looked = 0;

	LIST_FOREACH (&b->oldest_first, n) {
		struct brake_address *a = CONTAINER_OF(n, struct brake_address, node);

		if (++looked > 4)
			break;
		forgive(b, a);
		if (a->waiting == 0 && (a->failures == 0 || b->by_address.n > ADDRESSES_MAX))
			drop(b, a);
	}
}

static struct brake_address *
find(struct porch_brake *b, const struct net_address *client)
{
	uint8_t key[16];
	struct brake_address *a;

	net_address_prefix_key(client, key);
	a = map_get(&b->by_address, slice_of(key, sizeof(key)));
	if (a != NULL) {
		list_remove(&a->node);
		list_push(&b->oldest_first, &a->node);
		return a;
	}
	if ((a = calloc(1, sizeof(*a))) == NULL)
		return NULL;
	memcpy(a->key, key, sizeof(key));
	a->since_ms = loop_now_ms(b->loop);
	waitq_init(&a->turn);
	if (map_put(&b->by_address, slice_of(key, sizeof(key)), a) != 0) {
		free(a);
		return NULL;
	}
	list_push(&b->oldest_first, &a->node);
	return a;
}

struct brake_address *
porch_brake_arrive(struct porch_brake *b, const struct net_address *client)
{
	struct brake_address *a;

	drop_old(b);
	a = find(b, client);
	if (a == NULL || a->waiting >= loop_house(b->loop)->limits.porch_waiting_per_address) {
		b->refused++;
		return NULL;
	}
	a->waiting++;
	return a;
}

void
porch_brake_depart(struct porch_brake *b, struct brake_address **ap)
{
	struct brake_address *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	ASSERT(a->waiting > 0);
	forgive(b, a);
	if (--a->waiting == 0 && a->failures == 0)
		drop(b, a);
}

int
porch_brake_enter(struct porch_brake *b, struct brake_address *a)
{
	int64_t end_ms = loop_deadline(b->loop, TURN_MS);
	int err = 0;

	while (err == 0 && a->under_way >= loop_house(b->loop)->limits.sign_ins_per_address)
		err = waitq_wait(b->loop, &a->turn, end_ms);
	if (err == 0)
		a->under_way++;
	else
		b->refused++;
	return err == ERR_TIMEOUT ? ERR_BUSY : err;
}

void
porch_brake_leave(struct porch_brake *b, struct brake_address *a, bool wrong)
{
	forgive(b, a);
	if (wrong) {
		int64_t delay_ms = a->failures * FAILURE_DELAY_MS;

		if (a->failures == 0)
			a->since_ms = loop_now_ms(b->loop);
		if (a->failures < FAILURES_MAX)
			a->failures++;
		/* A cancelled session is let go at once. */
		(void)!fiber_sleep(b->loop, delay_ms < DELAY_MAX_MS ? delay_ms : DELAY_MAX_MS);
	}
	a->under_way--;
	waitq_wake_one(&a->turn);
}
