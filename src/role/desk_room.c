/* desk_room.c: accounts that are full. The clerk refuses mail for these before it is sent (clerk_full.c); the desk tells it that there
 * is no room with the answer to a delivery, and that there is room again when messages have been removed. What is lost on
 * the way is made up for: the clerk forgets a full account after some minutes, and the next delivery shows. */
#include "role/desk_private.h"

#define ROOM_BYTES 16384 /* with less than that hardly any message fits */
#define FULL_MAX 10000

bool
desk_room_none(struct desk *d, struct slice account_id)
{
	struct store_account *account = NULL;
	struct store_usage u;
	int err;

	d->requests++;
	err = store_account_get(d->store, account_id, &account);
	if (err == 0)
		err = store_account_usage(account, &u);
	store_account_put(&account);
	d->requests--;
	if (err != 0 || u.quota_bytes == 0 || u.quota_bytes - u.bytes >= ROOM_BYTES)
		return false;
	if (d->full.n >= FULL_MAX)
		map_free(&d->full);
	return map_put(&d->full, account_id, d) == 0;
}

struct room {
	struct desk *desk;
	size_t n;
	uint8_t account[STORE_ACCOUNT_ID_MAX];
};

static void
tell(void *arg)
{
	struct room *r = arg;
	struct desk *d = r->desk;
	struct arena ARENA_CLEANUP mem;
	struct bus_clerk_account_room_request q = {.account_id = slice_of(r->account, r->n)};
	struct bus_clerk_account_room_reply rep;
	int err;

	arena_init(&mem, 4096);
	err = bus_call_again(d->c->bus, ROLE_CLERK, 0, BUS_clerk_account_room, &q, &mem, &rep, DESK_ASK_MS);
	if (err != 0)
		LOG(d->c->house, DEBUG, "clerk_not_told", LOG_S("account", q.account_id), LOG_E(err));
	d->requests--;
	free(r);
}

void
desk_room_freed(void *desk, struct slice account_id)
{
	struct desk *d = desk;
	struct room *r;

	if (d->full.n == 0 || map_remove(&d->full, account_id) == NULL || d->stopping)
		return;
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return;
	r->desk = d;
	r->n = slice_head(account_id, sizeof(r->account)).n;
	memcpy(r->account, account_id.p, r->n);
	d->requests++;
	if (fiber_start(d->c->loop, "desk room", tell, r, NULL) != 0) {
		d->requests--;
		free(r);
	}
}
