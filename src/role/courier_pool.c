#include "role/courier_pool.h"

#define SWEEP_MS 1000
#define HOST_BYTES 300

struct pool_place {
	struct list idle; /* latest first */
	size_t key_n;
	uint8_t key[]; /* of the map */
};

struct pool_entry {
	struct list_node of_all, of_place;
	struct pool_place *place;
	struct smtp_connection *connection;
	int64_t opened_ms, idle_since_ms;
	char host[HOST_BYTES];
};

/* ---- entries ---------------------------------------------------------------------------------------------- */

static struct smtp_connection *
entry_remove(struct courier_pool *p, struct pool_entry *e)
{
	struct smtp_connection *c = e->connection;
	struct pool_place *place = e->place;

	list_remove(&e->of_all);
	list_remove(&e->of_place);
	p->count--;
	free(e);
	if (list_empty(&place->idle)) {
		(void)map_remove(&p->places, slice_of(place->key, place->key_n));
		free(place);
	}
	return c;
}

static void
entry_close(struct courier_pool *p, struct pool_entry *e)
{
	struct smtp_connection *c = entry_remove(p, e);

	smtp_connection_close(&c);
}

static struct pool_place *
place_get(struct courier_pool *p, struct slice key)
{
	struct pool_place *place = map_get(&p->places, key);

	if (place != NULL)
		return place;
	place = calloc(1, sizeof(*place) + key.n);
	if (place == NULL)
		return NULL;
	list_init(&place->idle);
	place->key_n = key.n;
	memcpy(place->key, key.p, key.n);
	if (map_put(&p->places, key, place) == 0)
		return place;
	free(place);
	return NULL;
}

/* ---- the sweeper ------------------------------------------------------------------------------------------ */

/* Waited long enough, or ended by the server. */
static bool
is_over(const struct courier_pool *p, struct pool_entry *e)
{
	const struct limits *l = &loop_house(p->loop)->limits;

	return loop_now_ms(p->loop) - e->idle_since_ms >= l->send_reuse_idle_ms ||
	    !smtp_connection_is_quiet(e->connection);
}

/* Closing may let others run, so that each look begins anew. */
static bool
close_one(struct courier_pool *p)
{
	LIST_FOREACH (&p->idle, node) {
		struct pool_entry *e = CONTAINER_OF(node, struct pool_entry, of_all);

		if (is_over(p, e)) {
			entry_close(p, e);
			return true;
		}
	}
	return false;
}

static void
sweep(void *arg)
{
	struct courier_pool *p = arg;
	int e = 0;

	while (e == 0 && !p->stopping) {
		if (list_empty(&p->idle)) {
			e = waitq_wait(p->loop, &p->filled, DEADLINE_NEVER);
			continue;
		}
		e = fiber_sleep(p->loop, SWEEP_MS);
		while (close_one(p))
			;
	}
}

int
courier_pool_start(struct courier_pool *p, struct loop *l)
{
	struct house *h = loop_house(l);

	*p = (struct courier_pool){.loop = l};
	list_init(&p->idle);
	waitq_init(&p->filled);
	map_init(&p->places, (size_t)h->limits.send_reuse_connections + 1, house_random_u64(h));
	return fiber_start(l, "courier-pool", sweep, p, &p->sweeper);
}

void
courier_pool_stop(struct courier_pool *p)
{
	if (p->loop == NULL || p->stopping)
		return;
	p->stopping = true;
	if (p->sweeper != NULL) {
		fiber_cancel(p->sweeper);
		fiber_join(p->loop, &p->sweeper);
	}
	while (!list_empty(&p->idle))
		entry_close(p, CONTAINER_OF(list_first(&p->idle), struct pool_entry, of_all));
	map_free(&p->places);
}

/* ---- in and out --------------------------------------------------------------------------------------------- */

bool
courier_pool_take(struct courier_pool *p, struct slice place, struct arena *a, struct pool_connection *out)
{
	for (;;) {
		struct pool_place *at = map_get(&p->places, place);
		struct pool_entry *e = at == NULL ? NULL
						  : CONTAINER_OF(list_first(&at->idle), struct pool_entry, of_place);

		if (e == NULL)
			return false;
		if (!is_over(p, e)) {
			*out = (struct pool_connection){
			    .host = arena_copy(a, slice_z(e->host)), .opened_ms = e->opened_ms};
			out->connection = entry_remove(p, e);
			p->reused++;
			return true;
		}
		entry_close(p, e);
	}
}

static bool
is_worth_keeping(const struct courier_pool *p, const struct pool_connection *c)
{
	const struct limits *l = &loop_house(p->loop)->limits;
	size_t sent = smtp_connection_messages(c->connection);

	return !p->stopping && l->send_reuse_idle_ms > 0 && sent < (size_t)l->send_reuse_messages &&
	    sent < smtp_connection_messages_max(c->connection) &&
	    loop_now_ms(p->loop) - c->opened_ms < l->send_reuse_ms;
}

void
courier_pool_put(struct courier_pool *p, struct slice place, struct pool_connection *c)
{
	size_t max = (size_t)loop_house(p->loop)->limits.send_reuse_connections;
	struct pool_entry *e;
	struct pool_place *at;

	if (c->connection == NULL)
		return;
	e = is_worth_keeping(p, c) ? calloc(1, sizeof(*e)) : NULL;
	if (e != NULL && p->count >= max && !list_empty(&p->idle))
		entry_close(p, CONTAINER_OF(list_first(&p->idle), struct pool_entry, of_all));
	at = e == NULL ? NULL : place_get(p, place);
	if (at == NULL || p->count >= max) {
		if (at != NULL && list_empty(&at->idle)) {
			(void)map_remove(&p->places, place);
			free(at);
		}
		free(e);
		smtp_connection_close(&c->connection);
		return;
	}
	e->place = at;
	e->connection = c->connection;
	c->connection = NULL;
	e->opened_ms = c->opened_ms;
	e->idle_since_ms = loop_now_ms(p->loop);
	(void)snprintf(e->host, sizeof(e->host), "%.*s", SLICE_ARG(c->host));
	list_push(&p->idle, &e->of_all);
	list_push_front(&at->idle, &e->of_place);
	if (p->count++ == 0)
		waitq_wake_one(&p->filled);
}
