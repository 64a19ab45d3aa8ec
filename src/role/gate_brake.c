/* gate_brake.c: see the header. A client is remembered while it has sessions or has done something in the last minute. Each rate
 * is a bucket that leaks: what is in it is forgotten within a minute when nothing is added. */
#include "role/gate_brake.h"

#include "base/house.h"
#include "rt/loop.h"

#define MINUTE_MS 60000
#define CLIENTS_MAX 200000u
#define KEY_BYTES 17

enum rate { RATE_CONNECTIONS, RATE_MESSAGES, RATE_RECIPIENTS, RATE_ERRORS, RATE_COUNT };

struct gate_client {
	struct list_node node; /* in oldest_first */
	uint8_t key[KEY_BYTES];
	bool network;
	int64_t sessions;
	int64_t level[RATE_COUNT]; /* times MINUTE_MS */
	int64_t since_ms;          /* when the levels were true */
};

void
gate_brake_init(struct gate_brake *b, struct loop *l)
{
	*b = (struct gate_brake){.loop = l};
	map_init(&b->by_key, SIZE_MAX, house_random_u64(loop_house(l)));
	list_init(&b->oldest_first);
}

static void
drop(struct gate_brake *b, struct gate_client *c)
{
	(void)map_remove(&b->by_key, slice_of(c->key, sizeof(c->key)));
	list_remove(&c->node);
	free(c);
}

void
gate_brake_free(struct gate_brake *b)
{
	LIST_FOREACH (&b->oldest_first, n)
		drop(b, CONTAINER_OF(n, struct gate_client, node));
	map_free(&b->by_key);
}

/* The limit of a client; 0: none. */
static int64_t
limit_of(const struct gate_brake *b, const struct gate_client *c, enum rate r)
{
	const struct limits *l = &loop_house(b->loop)->limits;
	const int64_t limits[RATE_COUNT] = {[RATE_CONNECTIONS] = l->smtp_connections_per_minute,
	    [RATE_MESSAGES] = l->smtp_messages_per_minute,
	    [RATE_RECIPIENTS] = l->smtp_recipients_per_minute,
	    [RATE_ERRORS] = l->smtp_errors_per_minute};

	return limits[r] * (c->network ? l->smtp_network_factor : 1);
}

static void
leak(const struct gate_brake *b, struct gate_client *c)
{
	int64_t now_ms = loop_now_ms(b->loop), passed_ms = now_ms - c->since_ms;

	c->since_ms = now_ms;
	for (int r = 0; r < RATE_COUNT; r++) {
		int64_t limit = limit_of(b, c, (enum rate)r);

		if (passed_ms >= MINUTE_MS || limit == 0)
			c->level[r] = 0;
		else
			c->level[r] -= passed_ms * limit < c->level[r] ? passed_ms * limit : c->level[r];
	}
}

/* One more would be too many. */
static bool
is_full(const struct gate_brake *b, const struct gate_client *c, enum rate r)
{
	int64_t limit = limit_of(b, c, r);

	return limit > 0 && c->level[r] + MINUTE_MS > limit * MINUTE_MS;
}

static bool
is_idle(const struct gate_client *c)
{
	int64_t all = c->sessions;

	for (int r = 0; r < RATE_COUNT; r++)
		all += c->level[r];
	return all == 0;
}

/* Those that do nothing any more; and, of too many, the one that was seen longest ago. A few each time. */
static void
drop_old(struct gate_brake *b)
{
	int looked = 0;

	LIST_FOREACH (&b->oldest_first, n) {
		struct gate_client *c = CONTAINER_OF(n, struct gate_client, node);

		if (++looked > 4)
			break;
		leak(b, c);
		if (is_idle(c) || (c->sessions == 0 && b->by_key.n > CLIENTS_MAX))
			drop(b, c);
	}
}

static void
make_key(const struct net_address *a, bool network, uint8_t key[KEY_BYTES])
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	key[0] = network;
	net_address_prefix_key(a, key + 1);
	if (network && memcmp(key + 1, mapped, sizeof(mapped)) == 0)
		key[16] = 0;
	else if (network)
		key[7] = key[8] = 0;
}

static struct gate_client *
find(struct gate_brake *b, const struct net_address *a, bool network)
{
	uint8_t key[KEY_BYTES];
	struct gate_client *c;

	make_key(a, network, key);
	c = map_get(&b->by_key, slice_of(key, sizeof(key)));
	if (c != NULL) {
		list_remove(&c->node);
		list_push(&b->oldest_first, &c->node);
		leak(b, c);
		return c;
	}
	if ((c = calloc(1, sizeof(*c))) == NULL)
		return NULL;
	memcpy(c->key, key, sizeof(key));
	c->network = network;
	c->since_ms = loop_now_ms(b->loop);
	if (map_put(&b->by_key, slice_of(key, sizeof(key)), c) != 0) {
		free(c);
		return NULL;
	}
	list_push(&b->oldest_first, &c->node);
	return c;
}

static bool
may_arrive(const struct gate_brake *b, const struct gate_client *c)
{
	const struct limits *l = &loop_house(b->loop)->limits;

	return c != NULL && c->sessions < l->smtp_sessions_per_address * (c->network ? l->smtp_network_factor : 1) &&
	    !is_full(b, c, RATE_CONNECTIONS) && !is_full(b, c, RATE_ERRORS);
}

bool
gate_brake_arrive(struct gate_brake *b, const struct net_address *client, struct gate_visit *v)
{
	struct gate_client *address, *network;

	*v = (struct gate_visit){0};
	drop_old(b);
	address = find(b, client, false);
	network = find(b, client, true);
	if (!may_arrive(b, address) || !may_arrive(b, network)) {
		b->refused++;
		return false;
	}
	*v = (struct gate_visit){address, network};
	address->sessions++;
	network->sessions++;
	address->level[RATE_CONNECTIONS] += MINUTE_MS;
	network->level[RATE_CONNECTIONS] += MINUTE_MS;
	return true;
}

static void
depart(struct gate_brake *b, struct gate_client *c)
{
	if (c == NULL)
		return;
	ASSERT(c->sessions > 0);
	c->sessions--;
	leak(b, c);
	if (is_idle(c))
		drop(b, c);
}

void
gate_brake_depart(struct gate_brake *b, struct gate_visit *v)
{
	depart(b, v->address);
	depart(b, v->network);
	*v = (struct gate_visit){0};
}

bool
gate_brake_count(struct gate_brake *b, const struct gate_visit *v, enum smtp_counted what)
{
	const enum rate r = what == SMTP_COUNTED_MESSAGE ? RATE_MESSAGES
	    : what == SMTP_COUNTED_RECIPIENT             ? RATE_RECIPIENTS
							 : RATE_ERRORS;
	bool fine;

	if (v->address == NULL)
		return true;
	leak(b, v->address);
	leak(b, v->network);
	fine = !is_full(b, v->address, r) && !is_full(b, v->network, r);
	if (!fine) {
		b->refused++;
		return false;
	}
	v->address->level[r] += MINUTE_MS;
	v->network->level[r] += MINUTE_MS;
	return true;
}
