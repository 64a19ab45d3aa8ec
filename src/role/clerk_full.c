/* clerk_full.c: accounts that are full: mail for them is refused at RCPT, before it is sent (452 4.2.2). The desks tell which
 * are: with the answer to a delivery that did not fit, and again when messages have been removed. Nobody is asked at RCPT; while no
 * account is full nothing is looked up either. An account is forgotten after some minutes, so that the next message shows
 * how things are. */
#include "role/clerk_private.h"

#define FULL_MAX 10000
#define FORGET_S 300

static int64_t
now_s(const struct clerk *k)
{
	return house_now_us(k->c->house) / 1000000;
}

void
clerk_full_put(struct clerk *k, struct slice account_id)
{
	/* The map holds the time itself. */
	void *until_s = (void *)(uintptr_t)(now_s(k) + FORGET_S);

	if (k->full.n >= FULL_MAX)
		map_free(&k->full);
	(void)!map_put(&k->full, account_id, until_s);
}

void
clerk_full_remove(struct clerk *k, struct slice account_id)
{
	if (k->full.n > 0)
		(void)map_remove(&k->full, account_id);
}

static bool
is_full(struct clerk *k, struct slice account_id)
{
	int64_t until_s = (int64_t)(uintptr_t)map_get(&k->full, account_id), now = now_s(k);

	/* Or the clock was set back. */
	if (until_s <= now || until_s > now + FORGET_S)
		clerk_full_remove(k, account_id);
	return until_s > now;
}

/* Reports of trouble are never turned away (RFC 5321 §4.5.1, RFC 2142). */
static bool
always_open(struct slice address)
{
	size_t at = slice_rfind_byte(address, '@');
	struct slice name = at == SLICE_NONE ? address : slice_head(address, at);

	return slice_ieq(name, SLICE("postmaster")) || slice_ieq(name, SLICE("abuse"));
}

bool
clerk_full(struct clerk *k, struct slice address, const struct directory_writer *from)
{
	struct arena a ARENA_CLEANUP;
	struct clerk_expansion x = {.addresses = {&address, 1}, .from = *from};

	if (k->full.n == 0 || always_open(address))
		return false;
	arena_init(&a, (size_t)4 << 20);
	if (clerk_targets_expand(k, &x, &a) != 0)
		return false;
	for (size_t i = 0; i < x.n; i++)
		if (x.v[i].target.kind != QUEUE_TARGET_LOCAL || !is_full(k, x.v[i].target.account_id))
			return false;
	return x.n > 0;
}

static int
on_room(struct clerk *k, struct bus_peer *from, struct bus_clerk_account_room_request *q, struct arena *a,
    struct bus_clerk_account_room_reply *rep)
{
	CLERK_ENTER(k);
	(void)a;
	(void)rep;
	if (account_desk(q->account_id, k->c->desks) != bus_peer_index(from))
		return ERR_DENIED;
	clerk_full_remove(k, q->account_id);
	return 0;
}

void
clerk_full_handle(struct clerk *k)
{
	map_init(&k->full, SIZE_MAX, house_random_u64(k->c->house));
	BUS_HANDLE(k->c->bus, clerk_account_room, on_room, k);
}
